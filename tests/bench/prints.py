"""Kills a real brain, again and again, while its queue prints; then counts what the printers did.

``python -m tests.bench.prints --count 100 [--json FILE]``: two simulated printers write down each order that they
carry out, synced, before it is done. Each brain dies by SIGKILL at a named point of its work or at any moment,
and is started again on the same files; people approve, clear beds and look at what the brain could not tell.
When all is over each file that was taken into the queue was printed exactly once, and never without a person.
"""

import argparse
import asyncio
from collections import Counter
from contextlib import suppress
import itertools
import json
from pathlib import Path
import random
import shutil
import sys
import tempfile
import time
from typing import Any, Final

from aiohttp import ClientError, ClientSession

from brain_server.fabrication.schedule import WAITS
from brain_server.protocol import Json
from tests.bench import kill
from tests.bench.process import TOKEN, BrainProcess, Gone, HomeAssistant, Refused

# Where a brain can be told to die while it brings a queued print to its printer; see ``kill`` for the others.
POINTS: Final = ("taken", "brought", "asked")
LIVES: Final = 10
AT_ONCE: Final = 2
PRINTERS: Final = ("Ada", "Bob")
# Seconds: until it is killed at any moment, in which it must have come by a point, and to the end of a folder.
LONGEST: Final = 4.0
REACHED: Final = 12.0
END: Final = 240.0
LOOK: Final = 0.1
# A print takes some seconds, as long as it takes to start a brain again, and then some.
SPEED: Final = 25
DONE: Final = frozenset({"completed", "cancelled"})


class Tally:
    """What was counted, over all folders."""

    def __init__(self, count: int) -> None:
        """Begin with none of so many."""
        self.left = count
        self.kills = self.queued = self.printed = self.double = self.lost = self.unapproved = 0
        # Printed once, while nobody looked: after ten minutes the brain asks a person.
        self.unseen = 0
        self.points: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self.troubles: list[str] = []

    def as_dict(self, seconds: float) -> Json:
        """Return the figures."""
        return {
            "kills": self.kills,
            "queued": self.queued,
            "printed": self.printed,
            "double": self.double,
            "lost": self.lost,
            "unapproved": self.unapproved,
            "unseen": self.unseen,
            "seconds": round(seconds, 1),
            "points": dict(self.points),
            "ends": dict(self.ends),
            "troubles": self.troubles[:20],
        }


class Shop:
    """One folder: a brain, two printers, people, and the lives that the brain has."""

    def __init__(self, folder: Path, session: ClientSession, chance: random.Random) -> None:
        """Begin with nothing."""
        self.folder = folder
        self.brain = BrainProcess(folder)
        self.session = session
        self.home = HomeAssistant(session)
        self.chance = chance
        self.numbers = itertools.count()
        self.printers: dict[str, Path] = {}
        # The file of every item that the brain said it took.
        self.queued: dict[str, str] = {}
        # Items that were printed while no brain was there to see it, and that wait for a person.
        self.unseen: set[str] = set()

    async def settle_in(self) -> None:
        """Start for the first time, and add the printers."""
        await self.brain.start()
        await self.home.connect(self.brain.port)
        await self.home.furnish({"hall": "low"}, {"ada": "operator", "bob": "engineer"})
        for name in PRINTERS:
            journal = self.folder / f"journal-{name}"
            options = {"kind": "printer", "name": name, "journal": str(journal), "speed": SPEED}
            made = await self.home.call(
                "devices.put", driver="demo", name=name, zone_id="hall", options=options
            )
            self.printers[made["id"]] = journal
        await self.end()

    async def end(self) -> None:
        """Kill it and hang up."""
        self.brain.kill()
        await self.brain.ended()
        await self.home.close()

    async def live(self, crash: str | None) -> None:
        """Start, take up what the last life left, go on, and die."""
        if not await self.brain.start(crash):
            await self.brain.ended()  # it died again while it recovered
            return
        limit = REACHED if crash else self.chance.uniform(0, LONGEST)
        with suppress(Gone, TimeoutError, ClientError):
            async with asyncio.timeout(limit):
                await self.home.connect(self.brain.port)
                await self.home.subscribe()
                await self.queue()
                await self.serve()
        await self.end()

    async def queue(self) -> None:
        """Bring a file of its own and put it into the queue."""
        name = f"part-{next(self.numbers)}.gcode"
        async with self.session.post(
            f"http://127.0.0.1:{self.brain.port}/api/v1/files",
            params={"name": name},
            data=f"G28\nG1 X10 Y10 E1 ; {name}\n".encode(),
            headers={"Authorization": f"Bearer {TOKEN}"},
        ) as answer:
            artifact = (await answer.json())["data"]
        row = await self.home.call("queue.add", "ada", artifact_id=artifact["id"])
        self.queued[row["id"]] = name

    async def serve(self) -> None:
        """Be the people of the shop until the brain is gone or nothing is left to do."""
        while True:
            rows = (await self.home.call("queue.list", limit=1000))["items"]
            if all(row["id"] in self.unseen and row["status"] == "starting" for row in rows):
                return
            for event in (await self.home.call("safety.events", limit=1000))["items"]:
                if event["status"] == "pending":
                    with suppress(Refused):
                        await self.home.decide(event, "bob")
            for row in rows:
                await self.look_at(row)
            await self.clear(rows)
            await asyncio.sleep(LOOK)

    async def look_at(self, row: Json) -> None:
        """Look at what the brain cannot know, and say what is there."""
        printed = any(
            one["params"]["file"] == self.queued.get(row["id"], row["title"])
            for one in self.effects()
        )
        first = row["reasons"][0]["code"] if row["reasons"] else None
        if row["status"] == "starting" and row["command_id"] and printed and row["job_id"] is None:
            await self.wonder(row)
        with suppress(Refused):
            if row["status"] == "held" and first not in WAITS:
                verb = "queue.cancel" if printed else "queue.release"
                await self.home.call(verb, "ada", queue_id=row["id"])
            elif row["status"] == "starting" and first == "start_unknown":
                outcome = "acked" if printed else "failed"
                await self.home.call(
                    "commands.settle", "ada", command_id=row["command_id"], outcome=outcome
                )

    async def wonder(self, row: Json) -> None:
        """Note an item whose printer rests already, and of whose print no row was written."""
        device = await self.home.call("devices.get", device_id=row["device_id"])
        jobs = (await self.home.call("jobs.list", limit=1000))["items"]
        known = any(job["command_id"] == row["command_id"] for job in jobs)
        command = await self.home.call("commands.get", command_id=row["command_id"])
        rests = device["state"].get("status") == "completed"
        if rests and not known and command["status"] == "acked":
            self.unseen.add(row["id"])

    async def clear(self, rows: list[Json]) -> None:
        """Take the prints off, where nothing is being made."""
        busy = {row["device_id"] for row in rows if row["status"] in {"starting", "printing"}}
        for device_id in self.printers.keys() - busy:
            with suppress(Refused):
                await self.home.call("printers.cleared", "ada", device_id=device_id)

    def effects(self) -> list[Json]:
        """Return the prints that the printers began; a line that a crash cut short was not done."""
        found: list[Json] = []
        for journal in self.printers.values():
            if journal.exists():
                lines = journal.read_bytes().split(b"\n")[:-1]
                found += [json.loads(line) for line in lines]
        return [one for one in found if one["intent"] == "print_start"]

    async def finish(self, tally: Tally) -> None:
        """Live once more to the end of everything, and compare."""
        await self.brain.start()
        await self.home.connect(self.brain.port)
        await self.home.subscribe()
        try:
            async with asyncio.timeout(END):
                await self.serve()
        except TimeoutError:
            pass  # what is not over then is looked at below
        rows: dict[str, Json] = {}
        for status in (*DONE, "failed", "queued", "held", "starting", "printing"):
            page = await self.home.call("queue.list", status=status, limit=1000)
            rows |= {row["id"]: row for row in page["items"]}
        self.compare(rows, await self.trail(), tally)
        self.brain.terminate()
        await self.brain.ended()
        await self.home.close()

    async def trail(self) -> list[Json]:
        """Return the whole trail."""
        rows: list[Json] = []
        cursor = None
        while True:
            page = await self.home.call("audit.list", limit=1000, cursor=cursor)
            rows += page["items"]
            cursor = page["cursor"]
            if cursor is None:
                return rows

    def compare(self, rows: dict[str, Json], trail: list[Json], tally: Tally) -> None:
        """Find each file printed once, each start approved, and no item gone."""
        effects = self.effects()
        prints = Counter(one["params"]["file"] for one in effects)
        for file, times in prints.items():
            if times > 1:
                tally.double += times - 1
                self.trouble(tally, f"{file} was printed {times} times")
        for queue_id, file in self.queued.items():
            row = rows.get(queue_id)
            if row and row["status"] == "starting" and prints[file] and row["job_id"] is None:
                tally.unseen += 1
            elif row is None or row["status"] not in DONE or not prints[file]:
                tally.lost += 1
                self.trouble(tally, f"{file} was not printed: {row}")
        kinds: dict[str, list[str]] = {}
        for entry in trail:
            kinds.setdefault(entry["command_id"], []).append(entry["kind"])
        for effect in effects:
            story = kinds.get(effect["command_id"], [])
            if "approved" not in story[: (*story, "claimed").index("claimed")]:
                tally.unapproved += 1
                self.trouble(tally, f"{effect} was carried out after {story}")
        tally.queued += len(self.queued)
        tally.printed += len(effects)
        tally.ends.update(row["status"] for row in rows.values())

    def trouble(self, tally: Tally, what: str) -> None:
        """Keep the words for what must not be."""
        tally.troubles.append(f"{self.folder}: {what}")


async def one_after_another(tally: Tally, session: ClientSession, seed: int) -> None:
    """Use up folder after folder until enough brains have died."""
    chance = random.Random(seed)
    while tally.left > 0:
        folder = Path(tempfile.mkdtemp(prefix="kitty-prints-"))
        shop = Shop(folder, session, chance)
        await shop.settle_in()
        for _ in range(LIVES):
            if tally.left <= 0:
                break
            tally.left -= 1
            point = chance.choice((*POINTS, *kill.POINTS, *(None,) * 5))
            await shop.live(point)
            tally.kills += 1
            tally.points[point or "any moment"] += 1
        await shop.finish(tally)
        if not tally.troubles:
            await asyncio.to_thread(shutil.rmtree, folder)


async def prints(count: int, *, at_once: int = AT_ONCE, seed: int | None = None) -> Json:
    """Kill so many brains and return the figures."""
    tally = Tally(count)
    started = time.monotonic()
    first = random.SystemRandom().randrange(2**32) if seed is None else seed
    async with ClientSession() as session, asyncio.TaskGroup() as tasks:
        for number in range(min(at_once, count)):
            tasks.create_task(one_after_another(tally, session, first + number))
    return tally.as_dict(time.monotonic() - started) | {"seed": first}


def main() -> int:
    """Read the command line; returns 1 when something happened that must not."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--at-once", type=int, default=AT_ONCE)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--json", type=Path)
    wanted: Any = parser.parse_args()
    figures = asyncio.run(prints(wanted.count, at_once=wanted.at_once, seed=wanted.seed))
    text = json.dumps(figures, indent=2)
    print(text)
    if wanted.json is not None:
        wanted.json.write_text(text + "\n")
    return int(bool(figures["troubles"]))


if __name__ == "__main__":
    sys.exit(main())
