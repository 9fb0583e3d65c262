"""A real brain in a process of its own, and the socket to it; for benches that end it in every way."""

import asyncio
import base64
from contextlib import suppress
import itertools
import json
import os
from pathlib import Path
import sys
import time
from typing import Any, Final

from aiohttp import ClientConnectionError, ClientSession, ClientWebSocketResponse, WSMsgType
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from brain_server.protocol import Json, approval_bytes

ROOT: Final = Path(__file__).parents[2]
TOKEN: Final = "tok"
KEY: Final = Ed25519PrivateKey.from_private_bytes(b"the bench's Home Assistant's key")
PUBLIC_KEY: Final = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()
LIMIT: Final = 20.0


class Gone(Exception):
    """The brain ended before it answered."""


class Refused(Exception):
    """The brain said no; the code is its word for it."""

    def __init__(self, error: Json) -> None:
        """Keep the code."""
        super().__init__(error["code"])
        self.code: str = error["code"]


def sign(event: Json, user: str, decision: str, at: float, key: Ed25519PrivateKey = KEY) -> str:
    """Return Home Assistant's signature of what a person pressed on a phone."""
    message = approval_bytes(
        event_id=event["id"],
        subject=event["subject"],
        user_id=user,
        decision=decision,
        channel="mobile",
        ppe=False,
        at=at,
    )
    return base64.b64encode(key.sign(message)).decode()


class BrainProcess:
    """``kitty-brain serve`` on a folder; started, killed and started again."""

    def __init__(self, folder: Path, **settings: str) -> None:
        """Say where it lives; settings are those of the environment, without their prefix."""
        self.folder = folder
        self.port = 0
        self._settings = settings
        self._process: asyncio.subprocess.Process

    async def start(self, crash: str | None = None) -> bool:
        """Start it and wait until it listens; False when it ended before, as by ``crash``."""
        own = {"data_dir": str(self.folder), "port": "0", "token": TOKEN, "log_level": "error"}
        chosen = {f"KITTY_{name.upper()}": value for name, value in (own | self._settings).items()}
        # Nobody measures the coverage of what is killed; it would only start more slowly.
        unwanted = ("KITTY_", "COVERAGE_", "PYTHONDONTWRITEBYTECODE")
        clean = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
        with (self.folder / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "brain_server", "serve"),
                env=clean | chosen | ({"KITTY_CRASH": crash} if crash else {}),
                cwd=ROOT,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdout is not None
        async with asyncio.timeout(LIMIT):
            line = await self._process.stdout.readline()
        if line:
            self.port = json.loads(line)["port"]
        elif crash is None:
            raise RuntimeError((self.folder / "log").read_text()[-2000:])
        return bool(line)

    @property
    def pid(self) -> int:
        """Return which process it is."""
        return self._process.pid

    def kill(self) -> None:
        """Kill it, as a power cut does."""
        with suppress(ProcessLookupError):
            self._process.kill()

    def terminate(self) -> None:
        """Ask it to end."""
        with suppress(ProcessLookupError):
            self._process.terminate()

    async def ended(self) -> int:
        """Wait until it is gone; returns its status, negative for a signal."""
        async with asyncio.timeout(LIMIT):
            return await self._process.wait()


class HomeAssistant:
    """The integration's end of the socket: calls, and every event in order."""

    def __init__(self, session: ClientSession) -> None:
        """Take a session; nothing is open yet."""
        self._session = session
        self._ids = itertools.count(1)
        self._open: dict[int, asyncio.Future[Any]] = {}
        self._ws: ClientWebSocketResponse | None = None
        self._reader: asyncio.Task[None]
        self.commands: dict[str, Json] = {}
        # The head of the trail that was seen last, in whichever life; and how often it was gone.
        self.head: Json = {"seq": 0, "hash": "0" * 64}
        self.forgotten = 0
        self.changed = asyncio.Event()
        self.gone = asyncio.Event()

    async def connect(self, port: int) -> None:
        """Connect; Gone when there is nobody."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        try:
            self._ws = await self._session.ws_connect(
                f"http://127.0.0.1:{port}/ws", headers=headers
            )
        except (ClientConnectionError, OSError) as err:
            raise Gone from err
        self.gone = asyncio.Event()
        self.commands.clear()  # what ended meanwhile would look open for ever
        self._reader = asyncio.get_running_loop().create_task(self._read(self._ws))
        # As the integration does: what was approved before a restart waits for this.
        anchored = await self.call("audit.anchor", **self.head)
        self.forgotten += not anchored["ok"]

    async def _read(self, ws: ClientWebSocketResponse) -> None:
        async for message in ws:
            if message.type is WSMsgType.TEXT:
                self._take(json.loads(message.data))
        self.gone.set()
        self.changed.set()
        for future in self._open.values():
            if not future.done():
                future.set_exception(Gone())
        self._open.clear()

    def _take(self, frame: Json) -> None:
        if frame["type"] == "snapshot":  # here, before the events that come after it
            self.commands.update((one["id"], one) for one in frame["data"]["commands"])
        if frame["type"] in {"result", "error", "snapshot"}:
            future = self._open.pop(frame["id"], None)
            if future is None or future.done():
                return
            if frame["type"] == "error":
                future.set_exception(Refused(frame["error"]))
            else:
                future.set_result(frame["data"])
        elif frame["type"] == "event" and frame["event"] == "command.updated":
            self.commands[frame["data"]["id"]] = frame["data"]
            self.changed.set()
        elif frame["type"] == "event" and frame["event"] == "audit.head":
            self.head = {name: frame["data"][name] for name in ("seq", "hash")}

    async def close(self) -> None:
        """Hang up."""
        if self._ws is not None:
            await self._ws.close()
            await self._reader

    async def _send(self, frame: Json) -> Any:
        number = next(self._ids)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._ws is None or self._ws.closed or self.gone.is_set():
            raise Gone
        self._open[number] = future
        try:
            await self._ws.send_str(json.dumps(frame | {"id": number}))
        except (ClientConnectionError, OSError) as err:
            self._open.pop(number, None)
            raise Gone from err
        async with asyncio.timeout(LIMIT):
            return await future

    async def call(
        self, action: str, user: str | None = None, channel: str = "dashboard", **params: Any
    ) -> Any:
        """Run a command as a person; Refused, or Gone when the brain ended."""
        caller = {"user_id": user, "name": user, "channel": channel, "context_id": None}
        return await self._send(
            {"type": "command", "action": action, "params": params, "caller": caller}
        )

    async def subscribe(self) -> Json:
        """Listen to events; returns the snapshot."""
        data: Json = await self._send({"type": "subscribe"})
        return data

    async def furnish(self, levels: dict[str, str], people: dict[str, str]) -> None:
        """Pair, and tell zones with their danger and people with their role."""
        await self.call("integration.register", public_key=PUBLIC_KEY)
        await self.call(
            "safety.sync",
            users=[
                {"id": name, "display_name": name.title(), "roles": [role]}
                for name, role in people.items()
            ],
            zones=[
                {"id": name, "name": name.title(), "hazard_level": level}
                for name, level in levels.items()
            ],
            policies=[],
        )

    async def see(self, user: str, zone: str) -> None:
        """Tell that somebody is in a zone now."""
        seen = {"zone_id": zone, "user_id": user, "source": "sensor", "status": "present"}
        await self.call("safety.presence", observed_at=time.time(), **seen)

    async def decide(
        self, event: Json, user: str, decision: str = "approve", key: Ed25519PrivateKey = KEY
    ) -> Json:
        """Let a person press a button on a phone."""
        at = time.time()
        decided: Json = await self.call(
            "safety.decide",
            user,
            "mobile",
            event_id=event["id"],
            decision=decision,
            subject=event["subject"],
            at=at,
            signature=sign(event, user, decision, at, key),
        )
        return decided
