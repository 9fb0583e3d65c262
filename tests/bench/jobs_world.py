"""What ``jobs`` is made of: the databases, the processes that share one, and the world that counts what they do."""

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
import json
import os
from pathlib import Path
import signal
import sys
import tempfile
import time
from typing import Any, Final, Self

from aiohttp import web
from sqlalchemy import Engine, create_engine, text

from brain_server.protocol import Json
from tests.bench import peers
from tests.standins.postgres import Postgres

ROOT: Final = Path(__file__).parents[2]
LIMIT: Final = 60.0


@dataclass
class Evidence:
    """What was seen: each call from outside, and who had what in hand when he was hit."""

    calls: Counter[str] = field(default_factory=Counter)
    # How late the first call of each time came.
    late: dict[str, float] = field(default_factory=dict)
    done: dict[str, float] = field(default_factory=dict)
    first: float = 0.0
    in_hand: dict[str, set[str]] = field(default_factory=dict)
    # Since when a piece waits because of which fault, and how long each waited.
    waiting: dict[str, tuple[str, float]] = field(default_factory=dict)
    waited: list[tuple[str, float]] = field(default_factory=list)
    _moved: asyncio.Event = field(default_factory=asyncio.Event)

    def heard(self, who: str, line: str) -> None:
        """Take a line of a replica."""
        word, at, name = line.split(" ", 2)
        moment = float(at)
        self._moved.set()
        if word == "begin":
            self.first = self.first or moment
            self.in_hand.setdefault(who, set()).add(name)
        elif word == "done":
            for held in self.in_hand.values():
                held.discard(name)
            self.done.setdefault(name, moment)
            if name in self.waiting:
                fault, since = self.waiting.pop(name)
                self.waited.append((fault, moment - since))

    async def begun(self) -> None:
        """Wait until somebody has begun with something."""
        while not self.first:
            self._moved.clear()
            await self._moved.wait()

    async def reached(self, count: int) -> None:
        """Wait until so many pieces are done."""
        while len(self.done) < count:
            self._moved.clear()
            await self._moved.wait()

    def hit(self, who: str, fault: str, moment: float) -> None:
        """Note that a replica was hit with what it had in hand."""
        for name in self.in_hand.get(who, ()):
            self.waiting.setdefault(name, (fault, moment))

    def called(self, name: str) -> None:
        """Count a call from inside."""
        self.calls[name] += 1
        _, _, due = name.partition("@")
        if due:
            self.late.setdefault(name, time.time() - float(due))


class World:
    """A server that counts; each call names the piece of work that it comes from."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self.evidence = Evidence()
        self.port = 0
        self._runner: web.AppRunner

    async def __aenter__(self) -> Self:
        """Listen."""
        app = web.Application()
        app.router.add_post("/", self._called)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Listen no more."""
        await self._runner.cleanup()

    async def _called(self, request: web.Request) -> web.Response:
        with suppress(ConnectionError):  # killed in the middle of its call
            self.evidence.called(await request.text())
        return web.Response()


class Store:
    """A database of one kind, with a table of effects beside what the engine keeps in it."""

    def __init__(self, kind: str) -> None:
        """Describe it; nothing runs yet."""
        self.kind = kind
        self.url = self.system_url = ""
        self.server: Postgres | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="kitty-jobs-")
        self._engine: Engine

    def __enter__(self) -> Self:
        """Make it."""
        if self.kind == "postgres":
            self.server = Postgres()
            self.server.start()
            self.url, self.system_url = self.server.new_database(), self.server.new_database()
        else:
            folder = Path(self._folder.name)
            self.url, self.system_url = (
                f"sqlite:///{folder / name}" for name in ("brain.db", "dbos.db")
            )
        self._engine = create_engine(self.url, pool_pre_ping=True)
        return self

    def __exit__(self, *_: object) -> None:
        """Remove it."""
        self._engine.dispose()
        if self.server is not None:
            self.server.stop()
        self._folder.cleanup()

    def lay_out(self) -> None:
        """Make the table of effects; a second row of one name is a second effect."""
        number = "INTEGER PRIMARY KEY" if self.server is None else "BIGSERIAL PRIMARY KEY"
        with self._engine.begin() as connection:
            connection.execute(text(f"CREATE TABLE bench_effects (id {number}, name TEXT)"))

    def effects(self) -> Counter[str]:
        """Count the effects of each piece of work."""
        rows = self.ask("SELECT name, count(*) FROM bench_effects GROUP BY name")
        return Counter(dict(rows))

    def ask(self, words: str) -> list[tuple[Any, ...]]:
        """Return the rows of a question."""
        with self._engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(words))]


@dataclass(frozen=True)
class Program:
    """One engine of durable work: how a replica of it is started."""

    name: str
    python: str
    words: tuple[str, ...]
    # Where a replica can be told to die.
    points: tuple[str, ...] = ()


KITTY: Final = Program(
    "kitty",
    sys.executable,
    ("-m", "tests.bench.jobs_replica"),
    points=("tick", "work_taken", "step_done", "work_done"),
)


def programs(wanted: list[str]) -> list[Program]:
    """Return the engines that are wanted and can be had."""
    found = [KITTY] if "kitty" in wanted else []
    others = [name for name in wanted if name != "kitty"]
    if not others or (python := peers.installed("jobs", peers.JOBS)) is None:
        return found
    return found + [
        Program(name, str(python), (str(peers.HERE / f"{name}_replica.py"),)) for name in others
    ]


class Replica:
    """One of the processes that share the work, in one life after the other."""

    def __init__(self, name: str, program: Program, given: Json, evidence: Evidence) -> None:
        """Say what it is told; nothing runs yet."""
        self.name = name
        self.lives = 0
        self.troubles: list[str] = []
        self._program = program
        self._given = given
        self._evidence = evidence
        self._process: asyncio.subprocess.Process
        self._reader: asyncio.Task[None]
        self._ready = asyncio.Event()

    @property
    def pid(self) -> int:
        """Return the number of its process."""
        return self._process.pid

    async def run(self, role: str, crash: str | None = None) -> None:
        """Begin a life."""
        self.lives += 1
        self._ready = asyncio.Event()
        given = self._given | {
            "role": role,
            "name": self.name,
            "owner": f"{self.name}-{self.lives}",
        }
        unwanted = ("KITTY_", "COVERAGE_", "PYTHONDONTWRITEBYTECODE")
        env = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
        self._process = await asyncio.create_subprocess_exec(
            self._program.python,
            *self._program.words,
            json.dumps(given),
            env=env | ({"KITTY_CRASH": crash} if crash else {}),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=2**20,
        )
        self._reader = asyncio.get_running_loop().create_task(self._read(self._process))

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen(process.stdout))
            tasks.create_task(self._hear_complaints(process.stderr))
        self._ready.set()

    async def _listen(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            words = line.decode().rstrip("\n")
            if words.startswith("ready"):
                self._ready.set()
            else:
                self._evidence.heard(self.name, words)

    async def _hear_complaints(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            self.troubles = [*self.troubles[-199:], line.decode(errors="replace").rstrip()]

    async def start(self, crash: str | None = None) -> bool:
        """Begin to serve, and wait until it does; False when it ended before."""
        await self.run("serve", crash)
        async with asyncio.timeout(LIMIT):
            await self._ready.wait()
        return self._process.returncode is None

    async def fill(self, limit: float) -> None:
        """Let the work be laid out."""
        await self.run("fill")
        async with asyncio.timeout(limit):
            await self._reader
            if await self._process.wait():
                raise RuntimeError("\n".join(self.troubles[-30:]))

    async def died(self, limit: float) -> bool:
        """Tell whether it dies by itself within this time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await self._process.wait()
        return self._process.returncode is not None

    async def kill(self, fault: str = "kill") -> None:
        """Kill it, as a power cut does, and note what it had in hand."""
        if self.lives == 0:
            return
        moment = time.monotonic()
        self.signal(signal.SIGKILL)
        await self._process.wait()
        await self._reader
        self._evidence.hit(self.name, fault, moment)
        self._evidence.in_hand.pop(self.name, None)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this process, and to no other."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    def weight(self) -> tuple[float, float]:
        """Return the seconds of processor time that it has used, and the megabytes that it holds."""
        words = Path(f"/proc/{self.pid}/stat").read_text("ascii").rpartition(") ")[2].split()
        ticks = int(words[11]) + int(words[12])
        pages = int(Path(f"/proc/{self.pid}/statm").read_text("ascii").split()[1])
        return ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE") / 1e6
