"""A house full of people, held: requests at a steady rate by many people, each with a WebSocket of their own.

``python -m tests.bench.load [--users N] [--rate N] [--seconds N] [--several] [--json FILE] [--plot FILE]``: to a real
brain process, or with ``--several`` to two on PostgreSQL behind HAProxy. Each socket hears every event, too.
"""

import argparse
import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
import itertools
import json
from pathlib import Path
import sys
import tempfile
import time
from typing import Final

from aiohttp import ClientError, ClientSession, ClientWebSocketResponse, WSMsgType

from brain_server.protocol import Json
from tests.bench.plot import Line, plot
from tests.bench.process import TOKEN, BrainProcess
from tests.brain import home
from tests.brain.cluster.brains import Pair
from tests.standins.postgres import Postgres

ZONE: Final = {"id": "shop", "name": "Shop", "hazard_level": "low"}
BUCKETS: Final = 60
SAMPLE: Final = 1.0
AGAIN: Final = 0.2
EVENT: Final = '{"type":"event"'
ENDS: Final = frozenset({"result", "error"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One request: when it was sent, how long it took, and whether it was done."""

    at: float
    seconds: float
    ok: bool


class Person:
    """Somebody with a WebSocket: asks for things and hears what happens; comes back when it ends."""

    def __init__(self, session: ClientSession, name: str) -> None:
        """Take a session that leads to the brain."""
        self._session = session
        self._socket: ClientWebSocketResponse | None = None
        self._caller = {"user_id": name, "channel": "dashboard"}
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Json]] = {}
        self.subscribed = asyncio.Event()
        self.events = 0
        self.breaks = 0

    async def live(self) -> None:
        """Listen for ever."""
        while True:
            with suppress(ClientError):
                async with self._session.ws_connect("/ws") as socket:
                    self._socket = socket
                    await socket.send_str(json.dumps({"type": "subscribe", "id": 0}))
                    await self._listen(socket)
            self.breaks += 1
            for waiter in self._waiting.values():
                waiter.cancel()
            self._waiting.clear()
            await asyncio.sleep(AGAIN)  # until it tries again

    async def _listen(self, socket: ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            if message.data.startswith(EVENT):
                self.events += 1
                continue
            frame = json.loads(message.data)
            if frame["type"] == "snapshot":
                self.subscribed.set()
            elif frame["type"] in ENDS and (waiter := self._waiting.pop(frame["id"], None)):
                waiter.set_result(frame)

    async def act(self, action: str, params: Json) -> Json:
        """Run a command and return the frame that ends it; ClientError where the socket ends first."""
        number = next(self._ids)
        waiter = self._waiting[number] = asyncio.get_running_loop().create_future()
        frame = {"type": "command", "action": action, "params": params, "caller": self._caller}
        assert self._socket is not None
        await self._socket.send_str(json.dumps(frame | {"id": number}))
        await asyncio.wait([waiter])
        if waiter.cancelled():
            raise ClientError
        return await waiter

    async def timed(self, began: float, action: str, params: Json) -> Sample:
        """Run a command and say how long it took."""
        started = time.perf_counter()
        try:
            done = (await self.act(action, params))["type"] == "result"
        except ClientError:
            done = False
        seconds = time.perf_counter() - started
        return Sample(at=started - began, seconds=seconds, ok=done)


@asynccontextmanager
async def alone(folder: Path) -> AsyncIterator[tuple[str, str, int]]:
    """Run one brain; yields its address, its token and its process."""
    brain = BrainProcess(folder, request_rate="1000", request_burst="2000")
    await brain.start()
    try:
        yield f"http://127.0.0.1:{brain.port}", TOKEN, brain.pid
    finally:
        brain.terminate()
        await brain.ended()


@asynccontextmanager
async def several(folder: Path) -> AsyncIterator[tuple[str, str, int]]:
    """Run two brains behind HAProxy; yields their address, their token and the process that is awake."""
    server = Postgres()
    try:
        await asyncio.to_thread(server.start)
        url = await asyncio.to_thread(server.new_database)
        more = {"KITTY_REQUEST_RATE": "1000", "KITTY_REQUEST_BURST": "2000"}
        async with Pair(url, folder, "4.0", **more) as pair:
            yield f"http://127.0.0.1:{pair.front.port}", home.TOKEN, pair.first.pid
    finally:
        await asyncio.to_thread(server.stop)


async def furnished(person: Person, names: Sequence[str]) -> str:
    """Tell who lives here and add a door; returns its id."""
    users = [{"id": name, "display_name": name.title(), "roles": ["operator"]} for name in names]
    rules: Json = {"users": users, "zones": [ZONE], "policies": []}
    await person.act("safety.sync", rules)
    door = {"driver": "demo", "name": "Door", "zone_id": "shop", "options": {"kind": "door"}}
    await person.act("devices.put", door)
    items = (await person.act("devices.list", {}))["data"]["items"]
    return str(items[0]["id"])


async def measure(users: int, rate: float, seconds: float, *, both: bool) -> Json:
    """Send at a steady rate, whatever the answers take; returns the figures and what they were made of."""
    names = [f"user{number}" for number in range(users)]
    with tempfile.TemporaryDirectory() as folder:
        async with (several if both else alone)(Path(folder)) as (address, token, pid):
            headers = {"Authorization": f"Bearer {token}"}
            async with ClientSession(address, headers=headers) as session:
                people = [Person(session, name) for name in names]
                async with asyncio.TaskGroup() as group:
                    listening = [group.create_task(one.live()) for one in people]
                    for person in people:
                        await person.subscribed.wait()
                    device_id = await furnished(people[0], names)
                    found = await _sent(people, device_id, rate, seconds, pid)
                    for task in listening:
                        task.cancel()
    heard, breaks = sum(one.events for one in people), sum(one.breaks for one in people)
    return found | {"users": users, "events_heard": heard, "sockets_cut": breaks}


async def _sent(
    people: Sequence[Person], device_id: str, rate: float, seconds: float, pid: int
) -> Json:
    mix = itertools.cycle(
        [
            ("devices.list", {}),
            ("conversation.process", {"text": "is the door locked?"}),
            ("devices.request", {"device_id": device_id, "intent": "lock"}),
            ("safety.events", {}),
            ("audit.list", {"limit": 20}),
        ]
    )
    began = time.perf_counter()
    memory: list[float] = []
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(_watch(pid, memory))
        tasks = []
        for number, person in zip(
            range(int(rate * seconds)), itertools.cycle(people), strict=False
        ):
            # Each at its time, however long the others take.
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
            tasks.append(group.create_task(person.timed(began, *next(mix))))
        await asyncio.gather(*tasks)
        watching.cancel()
    elapsed = time.perf_counter() - began
    samples = [task.result() for task in tasks]
    times = sorted(one.seconds for one in samples)
    return {
        "requests": len(times),
        "per_second": round(len(times) / elapsed, 1),
        "errors": sum(not one.ok for one in samples),
        "p50_ms": _share(times, 0.5),
        "p99_ms": _share(times, 0.99),
        "rss_mb": {"first": memory[0], "most": max(memory), "last": memory[-1]},
        "over_time": _buckets(samples, elapsed),
        "rss_over_time": memory,
    }


async def _watch(pid: int, memory: list[float]) -> None:
    """Note how much memory a process has, once a second."""
    pages = Path(f"/proc/{pid}/statm")
    while True:
        resident = int((await asyncio.to_thread(pages.read_text)).split()[1])
        memory.append(round(resident * 4096 / 2**20, 1))
        await asyncio.sleep(SAMPLE)  # between two samples


def _share(ordered: Sequence[float], share: float) -> float:
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000, 2)


def _buckets(samples: Sequence[Sample], elapsed: float) -> list[Json]:
    """Return the figures of each sixtieth of the time."""
    width = elapsed / BUCKETS
    found = []
    for number in range(BUCKETS):
        inside = sorted(one.seconds for one in samples if int(one.at / width) == number)
        if inside:
            at = round((number + 0.5) * width, 1)
            found.append({"at": at, "p50_ms": _share(inside, 0.5), "p99_ms": _share(inside, 0.99)})
    return found


def draw(found: Json) -> str:
    """Return the picture of a run."""
    points = found["over_time"]
    memory = list(enumerate(found["rss_over_time"]))
    return plot(
        f"{found['users']} people, {found['per_second']:g} requests a second",
        [
            Line("p50, ms", [(one["at"], one["p50_ms"]) for one in points]),
            Line("p99, ms", [(one["at"], one["p99_ms"]) for one in points]),
            Line("memory, MB", [(at * SAMPLE, size) for at, size in memory]),
        ],
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and, when asked, write the figures and a picture; exit 1 when anything failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--several", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args(argv)
    found = asyncio.run(measure(given.users, given.rate, given.seconds, both=given.several))
    if given.plot is not None:
        given.plot.write_text(draw(found))
    shown = {name: value for name, value in found.items() if not name.endswith("_over_time")}
    shown.pop("over_time", None)
    print(json.dumps(shown, indent=1))
    if given.json is not None:
        given.json.write_text(json.dumps(found))
    return 1 if found["errors"] else 0


if __name__ == "__main__":
    sys.exit(main())
