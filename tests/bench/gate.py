"""What the gate costs: from the last approval to the device, and against calling the driver directly.

``python -m tests.bench.gate [--count 500] [--json FILE]``, everything in one process, the safety database on
this folder's disk with ``synchronous=FULL``. Compare the ratios and not the milliseconds.
"""

import argparse
import asyncio
from collections.abc import Awaitable, Callable
import json
from pathlib import Path
from statistics import median, quantiles
import sys
import tempfile
import time
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, delete, insert

from brain_server.app import Brain
from brain_server.commands import Caller, Scope
from brain_server.devices import Request
from brain_server.drivers import Order
from brain_server.protocol import Channel, Json
from brain_server.safety.directory import KeyParams, PresenceParams, Sync
from brain_server.safety.step import Decision
from brain_server.settings import Settings
from brain_server.storage.tables import safety_state
from tests.bench.process import PUBLIC_KEY, sign

CALLER: Final = Caller(token="bench", scope=Scope.INTEGRATION)
ADA: Final = Caller(
    token="bench", scope=Scope.INTEGRATION, user_id="ada", channel=Channel.DASHBOARD
)
PEOPLE: Final = {"ada": "operator", "bob": "engineer"}


class Watched:
    """A driver's ``execute``, and when it was called for what."""

    def __init__(self, execute: Callable[[Order], Awaitable[Any]]) -> None:
        """Take the real one."""
        self._execute = execute
        self.called: dict[str, float] = {}

    async def __call__(self, order: Order) -> Any:
        """Note the time, and call it."""
        self.called[order.command_id] = time.perf_counter()
        return await self._execute(order)


def figures(seconds: list[float]) -> Json:
    """Return median and tail in milliseconds."""
    tail = quantiles(seconds, n=100)[98]
    return {"p50_ms": round(median(seconds) * 1000, 3), "p99_ms": round(tail * 1000, 3)}


async def timed(work: Callable[[], Awaitable[Any]]) -> float:
    """Return how long something takes."""
    started = time.perf_counter()
    await work()
    return time.perf_counter() - started


async def furnished(brain: Brain) -> str:
    """Pair, tell who and what there is, and add a door; returns its id."""
    await brain.directory.register(CALLER, KeyParams(public_key=PUBLIC_KEY))
    known = {
        "users": [
            {"id": name, "display_name": name, "roles": [role]} for name, role in PEOPLE.items()
        ],
        "zones": [{"id": "lab", "name": "Lab", "hazard_level": "high"}],
        "policies": [],
    }
    await brain.directory.sync(CALLER, msgspec.convert(known, Sync))
    seen = {"zone_id": "lab", "user_id": "bob", "source": "unifi", "status": "present"}
    await brain.directory.presence(
        CALLER, msgspec.convert(seen | {"observed_at": time.time()}, PresenceParams)
    )
    door = await brain.registry.put("demo", {"kind": "door"}, name="Door", zone_id="lab")
    return door.record.id


async def approved(brain: Brain, watched: Watched, door: str) -> tuple[float, float]:
    """Open the door with two people; returns the seconds from approval to device, and to the end."""
    asked = await brain.devices.request(ADA, Request(device_id=door, intent="unlock"))
    event, command = asked["event"], asked["command"]["id"]
    at = time.time()
    decision = Decision(
        event_id=event["id"],
        approve=True,
        subject=event["subject"],
        user_id="bob",
        channel=Channel.MOBILE,
        at=at,
        signature=sign(event, "bob", "approve", at),
    )
    with brain.devices.watch(command) as outcome:
        started = time.perf_counter()
        await brain.gate.decide(decision)
        ended = await outcome(10)
    assert ended is not None
    assert ended["status"] == "acked"
    return watched.called[command] - started, time.perf_counter() - started


async def measure(folder: Path, count: int) -> Json:
    """Return all figures."""
    brain = Brain(Settings(data_dir=folder, port=0, token="bench"))
    await brain.start()
    door = await furnished(brain)
    driver = brain.registry.get(door).driver
    direct = driver.execute
    watched = Watched(direct)
    driver.execute = watched  # type: ignore[method-assign]  # one method is watched
    wait = Request(device_id=door, intent="lock", wait=10)
    high = [await approved(brain, watched, door) for _ in range(count)]
    low = [await timed(lambda: brain.devices.request(ADA, wait)) for _ in range(count)]
    order = Order(command_id="bench", intent="lock", params={})
    alone = [await timed(lambda: direct(order)) for _ in range(count)]
    commit = [await timed(lambda: brain.safety_db.write(_touch)) for _ in range(count)]
    await brain.stop()
    found = {
        "approve_to_device": figures([device for device, _ in high]),
        "approve_to_done": figures([done for _, done in high]),
        "safe_request_to_done": figures(low),
        "driver_alone": figures(alone),
        "one_durable_commit": figures(commit),
    }
    base, flush = found["driver_alone"]["p50_ms"], found["one_durable_commit"]["p50_ms"]
    found["ratios"] = {
        "approve_to_device_in_commits": round(found["approve_to_device"]["p50_ms"] / flush, 2),
        "safe_request_in_commits": round(found["safe_request_to_done"]["p50_ms"] / flush, 2),
        "safe_request_to_driver_alone": round(found["safe_request_to_done"]["p50_ms"] / base, 1),
        "gate_adds_ms": round(found["safe_request_to_done"]["p50_ms"] - base, 3),
    }
    return {"count": count} | found


def _touch(connection: Connection) -> None:
    """Change one row, really: SQLite writes nothing where a value stays the same."""
    connection.execute(delete(safety_state).where(safety_state.c.key == "bench"))
    connection.execute(insert(safety_state).values(key="bench", value=str(time.time())))


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--json", type=Path)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kitty-gate-") as folder:
        found = asyncio.run(measure(Path(folder), wanted.count))
    text_ = json.dumps(found, indent=2)
    print(text_)
    if wanted.json is not None:
        wanted.json.write_text(text_ + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
