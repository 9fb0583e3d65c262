"""Whether what comes by itself comes once: two processes share a schedule and a queue, and are hit again and again.

``python -m tests.bench.jobs [--engines kitty,aps,dbos] [--stores sqlite,postgres] [--seconds 240] [--tasks 10000]``

A hundred schedules (every 20 or 30 s) and the tasks are laid out first. Then both processes work while they are
killed (``kill -9``: at any moment, at named points, both at once), stopped for longer than a lease and continued,
and PostgreSQL is restarted, with and without a crash. Each piece of work calls the world outside, which counts, and
then writes a row in the engine's own database, in whatever way that engine says happens once. When all is over:

- ``missed`` times have no row, ``doubled`` times have two; ``lost`` tasks have no row, ``doubled_effects`` two
- ``repeated_calls`` are calls from a piece of work that had called before; no engine promises that there are none
- ``recovery`` is how long a piece that somebody had in hand when he was hit took until it was done after all

Then, with nobody being hit: how many tasks a second, and what two idle processes use. And once one of the two is
killed and does not come back: how long until the other has done what that one had in hand.
"""

import argparse
import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
import json
import math
from pathlib import Path
import random
import signal
import sys
import time
from typing import Final

from brain_server.protocol import Json
from tests.bench.jobs_world import Evidence, Program, Replica, Store, World, programs

LEASE: Final = 3.0
PERIODS: Final = {20: 60, 30: 40}
# Seconds: between two faults, of a dead process, of one that is to die at a point; leases: of a stopped one.
BETWEEN: Final = (0.2, 1.5)
STOPPED: Final = (1.2, 2.0)
DEAD: Final = (0.0, 1.5)
REACHED: Final = 4.0
# Seconds after which an engine that says it is ready must have seen its schedules.
AWAKE: Final = 3.0
TAKES: Final = (0.02, 0.2)
# So long one waits for what somebody who does not come back had in hand.
GONE: Final = 40.0
# At the end nothing must have moved for so long, and so long it may take at most.
STILL: Final = 20.0
END: Final = 180.0
PARTS: Final = ("suffer", "race", "rest", "lose")
FAULTS: Final = {"kill": 8, "point": 6, "stop": 4, "both": 2, "restart": 1, "crash": 1}


@dataclass(frozen=True, kw_only=True)
class Wish:
    """How much is to be done."""

    seconds: float = 240.0
    lease: float = LEASE
    tasks: int = 10_000
    speed_tasks: int = 2000
    idle: float = 15.0
    periods: tuple[tuple[int, int], ...] = tuple(PERIODS.items())
    seed: int = 0

    def schedules(self) -> dict[str, str]:
        """Return the timing of each schedule."""
        return {
            f"every-{seconds}-{number}": f"every {seconds}s"
            for seconds, count in self.periods
            for number in range(count)
        }

    def times(self, first: float, last: float) -> set[str]:
        """Return each time that comes after ``first``, until ``last``."""
        return {
            f"every-{seconds}-{number}@{seconds * turn}"
            for seconds, count in self.periods
            for number in range(count)
            for turn in range(math.floor(first / seconds) + 1, math.floor(last / seconds) + 1)
        }


class Trial:
    """One engine on one database."""

    def __init__(self, program: Program, store: Store, world: World, wish: Wish) -> None:
        """Describe it; nothing runs yet."""
        self.program = program
        self.store = store
        self.world = world
        self.wish = wish
        self.chance = random.Random(wish.seed)
        self.faults: Counter[str] = Counter()
        self.outages: list[float] = []
        self.replicas: list[Replica] = []

    @property
    def evidence(self) -> Evidence:
        """Return what was seen so far."""
        return self.world.evidence

    async def lay_out(
        self, tasks: int, *, spread: float, takes: tuple[float, float], schedules: dict[str, str]
    ) -> None:
        """Lay out the work, and make the replicas that will do it."""
        given = {
            "url": self.store.url,
            "system_url": self.store.system_url,
            "port": self.world.port,
            "lease": self.wish.lease,
            "tasks": tasks,
            "spread": spread,
            "takes": takes,
            "schedules": schedules,
        }
        await Replica("fill", self.program, given, self.evidence).fill(600)
        await asyncio.to_thread(self.store.lay_out)
        self.replicas = [Replica(name, self.program, given, self.evidence) for name in "ab"]

    async def each(self, do: Callable[[Replica], Awaitable[object]]) -> None:
        """Do something with both at once."""
        async with asyncio.TaskGroup() as tasks:
            for replica in self.replicas:
                tasks.create_task(self._one(do, replica))

    @staticmethod
    async def _one(do: Callable[[Replica], Awaitable[object]], replica: Replica) -> None:
        await do(replica)

    # -- faults -----------------------------------------------------------------------------------------

    async def suffer(self) -> Json:
        """Work under faults; returns what became of it."""
        wish = self.wish
        await self.lay_out(
            wish.tasks, spread=wish.seconds * 0.8, takes=TAKES, schedules=wish.schedules()
        )
        await self.each(self.rise)
        first, started = time.time() + AWAKE, time.monotonic()
        while time.monotonic() < started + wish.seconds:
            await asyncio.sleep(self.chance.uniform(*BETWEEN))  # by chance, as in a house
            await self.fault()
        last = time.time()
        wanted = wish.times(first, last) | {f"task-{number}" for number in range(wish.tasks)}
        await self.settle(wanted)
        await self.each(Replica.kill)
        return self.judge(wanted)

    async def fault(self) -> None:
        """Let one thing go wrong, and be mended."""
        can = {
            name: often
            for name, often in FAULTS.items()
            if (name != "point" or self.program.points)
            and (name not in {"restart", "crash"} or self.store.server)
        }
        name = self.chance.choices(list(can), list(can.values()))[0]
        replica = self.chance.choice(self.replicas)
        self.faults[name] += 1
        match name:
            case "stop":
                await self.stop(replica)
            case "both":
                await self.each(Replica.kill)
                await asyncio.sleep(self.chance.uniform(*DEAD))  # by chance, as in a house
                await self.each(self.rise)
            case "restart" | "crash":
                await self.restart(crash=name == "crash")
            case _:
                await replica.kill()
                await asyncio.sleep(self.chance.uniform(*DEAD))  # by chance, as in a house
                if name == "point":
                    await self.die_at_a_point(replica)
                await self.rise(replica)

    async def rise(self, replica: Replica) -> None:
        """Start until it stays."""
        while not await replica.start():
            await replica.kill()
            self.faults["would not start"] += 1

    async def die_at_a_point(self, replica: Replica) -> None:
        """Start it so that it dies at a point, wherever that is."""
        point = self.chance.choice(self.program.points)
        await replica.start(point)
        self.faults[f"at {point}"] += await replica.died(REACHED)
        await replica.kill()

    async def stop(self, replica: Replica) -> None:
        """Stop it for longer than a lease lasts, and let it go on."""
        moment = time.monotonic()
        replica.signal(signal.SIGSTOP)
        await asyncio.sleep(0.1)  # by then it stands still
        self.evidence.hit(replica.name, "stop", moment)
        await asyncio.sleep(
            self.chance.uniform(*STOPPED) * self.wish.lease
        )  # by chance, as in a house
        replica.signal(signal.SIGCONT)

    async def restart(self, *, crash: bool) -> None:
        """End the database and start it again."""
        assert self.store.server is not None
        moment = time.monotonic()
        for replica in self.replicas:
            self.evidence.hit(replica.name, "database", moment)
        await asyncio.to_thread(self.store.server.restart, crash=crash)
        self.outages.append(time.monotonic() - moment)

    async def settle(self, wanted: set[str]) -> None:
        """Wait until everything is done, or nothing moves any more."""
        ends, moved, before = time.monotonic() + END, time.monotonic(), -1
        while time.monotonic() < min(ends, moved + STILL):
            left = len(wanted - self.evidence.done.keys())
            if left == 0:
                break
            if left != before:
                moved, before = time.monotonic(), left
            await asyncio.sleep(0.5)  # until the next look
        await asyncio.sleep(self.wish.lease + 1)  # who would do something twice may do it now

    def judge(self, wanted: set[str]) -> Json:
        """Count what there is, and what there should not be."""
        effects = self.store.effects()
        ticks = {name for name in wanted if "@" in name}
        found: Json = {
            "fired": len(ticks & effects.keys()),
            "missed": len(ticks - effects.keys()),
            "doubled": sum(effects[name] - 1 for name in effects.keys() & ticks),
            "tasks": len(wanted - ticks),
            "lost": len(wanted - ticks - effects.keys()),
            "doubled_effects": sum(effects[name] - 1 for name in effects.keys() & (wanted - ticks)),
            "repeated_calls": sum(self.evidence.calls[name] - 1 for name in self.evidence.calls),
            "late_s": _spread(
                [self.evidence.late[name] for name in ticks & self.evidence.late.keys()]
            ),
            "recovery_s": {
                fault: _spread(
                    [wait for name, wait in self.evidence.waited if fault in (name, "all")]
                )
                for fault in ("all", *sorted({name for name, _ in self.evidence.waited}))
            },
            "never_recovered": len(self.evidence.waiting.keys() & wanted),
            "faults": dict(self.faults),
            "outages_s": _spread(self.outages),
        }
        if self.program.name == "kitty":
            counts = "SELECT status, count(*) FROM work GROUP BY status"
            ends = "SELECT outcome, count(*) FROM work_tries GROUP BY outcome"
            found["work"], found["tries"] = dict(self.store.ask(counts)), dict(self.store.ask(ends))
        if found["missed"] or found["lost"] or found["doubled"] or found["doubled_effects"]:
            found["examples"] = (
                sorted(wanted - effects.keys())[:10]
                + sorted(name for name, count in effects.items() if count > 1)[:10]
            )
            found["complaints"] = [line for one in self.replicas for line in one.troubles[-60:]]
        return found

    # -- in peace ---------------------------------------------------------------------------------------

    async def race(self) -> Json:
        """Do many tasks as fast as they go."""
        count = self.wish.speed_tasks
        await self.lay_out(count, spread=0, takes=(0, 0), schedules={})
        await self.each(self.rise)
        async with asyncio.timeout(300):
            await self.evidence.reached(count)
        await self.each(Replica.kill)
        seconds = max(self.evidence.done.values()) - self.evidence.first
        return {"tasks_per_s": round(count / seconds, 1)}

    async def lose(self) -> Json:
        """Kill one of them, for good, and see when the other has done what that one had in hand."""
        await self.lay_out(60, spread=0, takes=(1.0, 1.0), schedules={})
        await self.each(self.rise)
        await self.evidence.reached(8)
        await self.replicas[0].kill("gone")
        left = len(self.evidence.waiting)
        with suppress(TimeoutError):
            async with asyncio.timeout(GONE):
                await self.evidence.reached(60)
        await self.each(Replica.kill)
        waits = [wait for fault, wait in self.evidence.waited if fault == "gone"]
        return {"gone": {"in_hand": left, "done_after_s": _spread(waits)}}

    async def rest(self) -> Json:
        """Wait for what does not come, and weigh both."""
        far = dict.fromkeys(Wish().schedules(), "every 24h")
        await self.lay_out(0, spread=0, takes=(0, 0), schedules=far)
        await self.each(self.rise)
        await asyncio.sleep(5)  # the start is over by then
        before = [replica.weight() for replica in self.replicas]
        await asyncio.sleep(self.wish.idle)  # what is measured is doing nothing
        after = [replica.weight() for replica in self.replicas]
        await self.each(Replica.kill)
        used = [two[0] - one[0] for one, two in zip(before, after, strict=True)]
        return {
            "idle_cpu_percent": round(100 * sum(used) / len(used) / self.wish.idle, 2),
            "idle_rss_mb": round(sum(weight for _, weight in after) / len(after), 1),
        }


def _spread(values: Sequence[float]) -> Json | None:
    """Return how many there are, the middle one, the one that one in a hundred exceeds, and the most."""
    if not values:
        return None
    rows = sorted(values)
    p50, p99 = (rows[min(len(rows) - 1, int(len(rows) * share))] for share in (0.5, 0.99))
    return {
        "count": len(rows),
        "p50": round(p50, 3),
        "p99": round(p99, 3),
        "most": round(rows[-1], 3),
    }


async def trial(program: Program, kind: str, wish: Wish, parts: Sequence[str]) -> Json:
    """Try one engine on one kind of database."""
    found: Json = {}
    for part in parts:
        with Store(kind) as store:
            async with World() as world:
                one = Trial(program, store, world, wish)
                do: Callable[[], Awaitable[Json]] = getattr(one, part)
                try:
                    found |= await do()
                finally:
                    await one.each(Replica.kill)
    return found


async def measure(wish: Wish, engines: list[str], stores: list[str], parts: Sequence[str]) -> Json:
    """Try each engine on each kind of database, one after the other."""
    found: Json = {"seconds": wish.seconds, "lease_s": wish.lease, "seed": wish.seed}
    for program in programs(engines):
        found[program.name] = {}
        for kind in stores:
            found[program.name][kind] = await trial(program, kind, wish, parts)
            print(program.name, kind, json.dumps(found[program.name][kind]), file=sys.stderr)
    return found


def main() -> int:
    """Read the command line; returns 1 when ours did something that must not be."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--engines", default="kitty,aps,dbos")
    parser.add_argument("--stores", default="sqlite,postgres")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    wish = Wish(seconds=args.seconds, tasks=args.tasks, seed=args.seed)
    lists = [words.split(",") for words in (args.engines, args.stores, args.parts)]
    figures = asyncio.run(measure(wish, *lists))
    print(json.dumps(figures, indent=1))
    if args.json is not None:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    bad = ("missed", "doubled", "lost", "doubled_effects")
    return int(any(one.get(name) for one in figures.get("kitty", {}).values() for name in bad))


if __name__ == "__main__":
    sys.exit(main())
