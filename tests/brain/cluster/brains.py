"""Real brains in processes of their own, on one PostgreSQL and one folder, behind a real HAProxy."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
import json
import os
from pathlib import Path
import signal
import sys
from typing import Self

from aiohttp import ClientError, ClientSession

from brain_server.protocol import Json
from tests.brain.home import ROOT, TOKEN, Home, until
from tests.standins.haproxy import in_front
from tests.standins.server import free_port

LIMIT = 40.0
# Much longer than a busy machine keeps a brain from renewing it.
LEASE = "3"


@dataclass
class Place:
    """Where somebody serves: enough of a brain for a client."""

    port: int


class Brain(Place):
    """One ``kitty-brain serve``; started, killed, paused and started again on its port."""

    def __init__(self, url: str, folder: Path, number: int, lease: str = LEASE) -> None:
        """Say where it lives, and after which time it is taken for gone."""
        super().__init__(free_port())
        self._log = folder / f"log-{number}"
        self._settings = {
            "KITTY_DATABASE_URL": url,
            "KITTY_DATA_DIR": str(folder),
            "KITTY_PORT": str(self.port),
            "KITTY_TOKEN": TOKEN,
            "KITTY_LEASE_TTL": lease,
        }
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, **more: str) -> Json:
        """Start it and return what it says first."""
        await self._begin(more)
        return await self.said()

    async def refused(self, **more: str) -> tuple[int, str]:
        """Start it where it cannot run; returns its status, and the code that it says."""
        await self._begin(more)
        status = await self.ended()
        last = self._log.read_text().splitlines()[-1]
        return status, last.rpartition("[")[2].rstrip("]")

    async def _begin(self, more: dict[str, str]) -> None:
        clean = {name: value for name, value in os.environ.items() if name[:6] != "KITTY_"}
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "brain_server", "serve"),
                env=clean | self._settings | more,
                cwd=ROOT,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )

    async def said(self) -> Json:
        """Return the next thing that it says."""
        assert self._process is not None
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), LIMIT)
        assert line, self._log.read_text()[-2000:]
        told: Json = json.loads(line)
        return told

    @property
    def pid(self) -> int:
        """Return which process it is."""
        assert self._process is not None
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Return its status when it is gone."""
        assert self._process is not None
        return await asyncio.wait_for(self._process.wait(), LIMIT)

    async def paused(self) -> None:
        """Wait until it stands still, as it was told to."""
        assert self._process is not None
        stat = Path(f"/proc/{self._process.pid}/stat")
        await until(
            lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", "the pause", LIMIT
        )

    async def remove(self) -> None:
        """End it, whatever it does."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()


class Pair:
    """Two brains and what stands in front of them."""

    def __init__(self, url: str, folder: Path, lease: str = LEASE, **more: str) -> None:
        """Say where they live; ``more`` goes to the environment of each."""
        self.folder = folder
        self._more = more
        self.first, self.second = (Brain(url, folder, number, lease) for number in (1, 2))

    async def __aenter__(self) -> Self:
        """Start both, the first one awake, and wait until that is known in front."""
        self._opened = AsyncExitStack()
        self._opened.push_async_callback(self.first.remove)
        self._opened.push_async_callback(self.second.remove)
        ports = (self.first.port, self.second.port)
        self.front = Place(await self._opened.enter_async_context(in_front(ports)))
        await self.first.start(**self._more)
        await self.second.start(**self._more)
        await self.reachable()
        return self

    async def __aexit__(self, *_: object) -> None:
        """End all."""
        await self._opened.aclose()

    async def reachable(self) -> None:
        """Wait until a brain answers through the front."""
        async with asyncio.timeout(LIMIT), ClientSession() as session:
            while True:
                if await _status(session, f"http://127.0.0.1:{self.front.port}/awake") == 200:
                    return
                await asyncio.sleep(0.02)  # until the next look

    @asynccontextmanager
    async def home(self) -> AsyncIterator[Home]:
        """Connect Home Assistant through the front."""
        await self.reachable()
        async with Home(self.front) as home:  # type: ignore[arg-type]  # all of a brain that is used
            await home.furnish()
            yield home


async def _status(session: ClientSession, url: str) -> int:
    try:
        async with session.get(url) as answer:
            return answer.status
    except ClientError:
        return 0
