"""Kills a real brain, again and again, while people open a door; then counts what the door did.

``python -m tests.bench.kill --count 1000 [--json FILE]``: each brain dies by SIGKILL at a named point of its
work or at any moment, and is started again on the same files. After each restart four things must hold:

- no effect twice (the door writes down the id of every order that it carries out),
- no effect without the people that it needs, by the trail and by what the client sent,
- nothing lost that was acknowledged: every answered request, decision and outcome is in the trail,
- the chain of the trail holds.

At the end of each folder every command has come to an end, and SQLite finds its file whole.
"""

import argparse
import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
import itertools
import json
from pathlib import Path
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from typing import Final
import uuid

from aiohttp import ClientSession
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from brain_server.protocol import Json
from tests.bench.process import BrainProcess, Gone, HomeAssistant, Refused

# Where a brain can be told to die; None is any moment.
POINTS: Final = ("authorized", "approved", "claimed", "sent", "effect", "settled")
LIVES: Final = 20
AT_ONCE: Final = 3
# Seconds until it is killed at any moment, and in which it must have come by a point.
LONGEST: Final = 0.12
REACHED: Final = 5.0
END: Final = 30.0
FINAL: Final = frozenset({"acked", "failed", "unknown", "denied", "expired"})
LEVELS: Final = {"lab": "high", "hall": "low"}
PEOPLE: Final = {"ada": "operator", "bob": "engineer", "cyd": "safety", "dan": "admin"}
STRANGER: Final = Ed25519PrivateKey.generate()


@dataclass
class Scene:
    """Who asks for what, and who then says what."""

    name: str
    intent: str
    user: str | None
    channel: str
    says: tuple[tuple[str, str], ...]
    may_run: bool
    often: int = 1


SCENES: Final = (
    Scene("two", "unlock", "ada", "dashboard", (("bob", "approve"),), may_run=True, often=5),
    Scene("voice", "open", None, "voice", (("bob", "approve"), ("cyd", "approve")), True, often=4),
    Scene("half", "unlock", None, "voice", (("bob", "approve"),), may_run=False),
    Scene("self", "open", "ada", "dashboard", (("ada", "approve"),), may_run=False),
    Scene("no", "unlock", "ada", "dashboard", (("bob", "deny"), ("cyd", "approve")), may_run=False),
    Scene("forged", "open", "ada", "dashboard", (("dan", "forge"),), may_run=False),
    Scene("lock", "lock", "ada", "dashboard", (), may_run=True, often=3),
)


@dataclass
class Wish:
    """One request as its client knows it, over all lives of the brain."""

    scene: Scene
    key: str = field(default_factory=lambda: uuid.uuid4().hex)
    command: str | None = None
    event: Json | None = None
    over: bool = False
    # Whom the client ever sent an approval of, answered or not.
    approved: set[str] = field(default_factory=set)


class Tally:
    """What was counted, over all folders."""

    def __init__(self, count: int) -> None:
        """Begin with none of so many."""
        self.left = count
        self.kills = self.double = self.unapproved = self.lost = self.effects = self.unfinished = 0
        self.chain_ok = True
        self.states: Counter[str] = Counter()
        self.points: Counter[str] = Counter()
        self.troubles: list[str] = []

    def trouble(self, what: str, folder: Path) -> None:
        """Keep the words for what must not be."""
        self.troubles.append(f"{folder}: {what}")

    def as_dict(self, seconds: float) -> Json:
        """Return the figures."""
        return {
            "kills": self.kills,
            "double": self.double,
            "unapproved": self.unapproved,
            "lost": self.lost,
            "chain_ok": self.chain_ok,
            "seconds": round(seconds, 1),
            "kills_per_second": round(self.kills / seconds, 2),
            "effects": self.effects,
            "unfinished": self.unfinished,
            "states": dict(self.states),
            "points": dict(self.points),
            "troubles": self.troubles[:20],
        }


class Door:
    """One folder: a brain, its door, its client, and the lives that it has."""

    def __init__(self, folder: Path, session: ClientSession, chance: random.Random) -> None:
        """Begin with nothing."""
        self.folder = folder
        self.journal = folder / "journal"
        self.brain = BrainProcess(folder)
        self.home = HomeAssistant(session)
        self.chance = chance
        self.wishes: list[Wish] = []
        # What the brain answered, as (kind of row, command, event, person).
        self.acknowledged: set[tuple[str, str, str | None, str | None]] = set()
        self.device = ""

    async def settle_in(self) -> None:
        """Start for the first time, and add the door."""
        await self.brain.start()
        await self.home.connect(self.brain.port)
        await self.home.furnish(LEVELS, PEOPLE)
        made = await self.home.call(
            "devices.put",
            driver="demo",
            name="Door",
            zone_id="lab",
            options={"kind": "door", "name": "Door", "journal": str(self.journal)},
        )
        self.device = made["id"]
        self.brain.kill()
        await self.brain.ended()
        await self.home.close()

    async def live(self, crash: str | None, tally: Tally) -> None:
        """Start, look at what the last life left, go on, and die."""
        if not await self.brain.start(crash):
            await self.brain.ended()  # it died again while it recovered
            return
        try:
            await self.home.connect(self.brain.port)
            await self.home.subscribe()
            await self.check(tally)
            await self.home.see("bob", "lab")
            await self.be_busy(crash)
        except Gone:
            pass
        self.brain.kill()
        await self.brain.ended()
        await self.home.close()

    async def be_busy(self, crash: str | None) -> None:
        """Open the door in several ways at once until the brain is gone."""
        scenes = self.chance.choices(SCENES, [scene.often for scene in SCENES], k=AT_ONCE)
        self.wishes += [Wish(scene) for scene in scenes]
        if crash is not None:  # something that comes by every point
            self.wishes.append(Wish(SCENES[0]))
        waiting = [wish for wish in self.wishes if not wish.over][-8:]
        wait = REACHED if crash else self.chance.uniform(0, LONGEST)
        work = asyncio.gather(*(self.pursue(wish) for wish in waiting), return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await (self.home.gone.wait() if crash else asyncio.shield(work))
        self.brain.kill()
        for result in await work:
            if isinstance(result, BaseException) and not isinstance(result, Gone):
                raise result

    async def pursue(self, wish: Wish) -> None:
        """Ask (again, with the same key), let people speak, and wait for the end."""
        scene = wish.scene
        answer = await self.home.call(
            "devices.request",
            scene.user,
            scene.channel,
            device_id=self.device,
            intent=scene.intent,
            params={},
            idempotency_key=wish.key,
        )
        wish.command, wish.event = answer["command"]["id"], answer["event"]
        self.home.commands.setdefault(wish.command, answer["command"])
        self.heard("claimed" if wish.event is None else "requested", wish, scene.user)
        for person, word in scene.says:
            await self.speak(wish, person, word)
        while not self.is_over(wish):
            self.home.changed.clear()
            await self.home.changed.wait()
            if self.home.gone.is_set():
                raise Gone

    def is_over(self, wish: Wish) -> bool:
        """Note the end of a wish, when there is one; half a wish is over when it was spoken."""
        status = self.home.commands[wish.command or ""]["status"]
        wish.over = status in FINAL or not wish.scene.may_run
        if status in FINAL - {"denied", "expired"}:
            self.heard(status, wish, None)
        return wish.over

    async def speak(self, wish: Wish, person: str, word: str) -> None:
        """Let a person decide; what is refused is no decision."""
        assert wish.event is not None
        try:
            if word == "forge":
                await self.home.decide(wish.event, person, key=STRANGER)
                return
            wish.approved |= {person} if word == "approve" else set()
            await self.home.decide(wish.event, person, word)
        except Refused:
            return
        self.heard(word, wish, person)

    def heard(self, kind: str, wish: Wish, person: str | None) -> None:
        """Remember that the brain acknowledged something."""
        event = wish.event["id"] if wish.event else None
        self.acknowledged.add((kind, wish.command or "", event, person))

    # -- what must hold -------------------------------------------------------------------------------

    async def check(self, tally: Tally) -> None:
        """Compare door, client and trail."""
        verified = await self.home.call("audit.verify")
        if not verified["ok"]:
            tally.chain_ok = False
            tally.trouble(str(verified["problem"]), self.folder)
        # The door first: while it recovers it may act, and each act is in the trail before.
        effects = Counter(effect["command_id"] for effect in self.effects())
        trail = await self.trail()
        for command, times in effects.items():
            tally.double += times - 1
            if times > 1:
                tally.trouble(f"command {command} was carried out {times} times", self.folder)
        if self.home.forgotten:
            tally.lost += 1
            tally.trouble("the trail does not contain the head that was seen last", self.folder)
        self.check_people(effects, trail, tally)
        self.check_promises(trail, tally)

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

    def effects(self) -> list[Json]:
        """Return what the door did; a line that a crash cut short was not done."""
        if not self.journal.exists():
            return []
        lines = self.journal.read_bytes().split(b"\n")[:-1]
        return [json.loads(line) for line in lines]

    def check_people(self, effects: Counter[str], trail: list[Json], tally: Tally) -> None:
        """Find two people behind everything that the door did, before it was claimed."""
        stories: dict[str, list[Json]] = {}
        for row in trail:
            stories.setdefault(row["command_id"], []).append(row)
        known = {wish.command: wish for wish in self.wishes}
        for command in effects:
            story = stories.get(command, [])
            before = list(itertools.takewhile(lambda row: row["kind"] != "claimed", story))
            people = {row["user_id"] for row in before if row["kind"] in {"confirmed", "approved"}}
            asked = {
                row["user_id"]
                for row in before
                if row["kind"] == "requested" and row["data"]["channel"] == "dashboard"
            }
            wish = known.get(command)
            sent = wish.approved if wish else people
            safe = bool(story) and story[0]["data"]["intent"] == "lock"
            was_claimed = sum(row["kind"] == "claimed" for row in story) == 1
            if not was_claimed or not (safe or len((people & sent) | asked) >= 2):
                tally.unapproved += 1
                tally.trouble(f"command {command} ran with {people} after {asked}", self.folder)
            if wish is not None and not wish.scene.may_run:
                tally.unapproved += 1
                tally.trouble(f"command {command} of scene {wish.scene.name} ran", self.folder)

    def check_promises(self, trail: list[Json], tally: Tally) -> None:
        """Find everything that the brain acknowledged in its trail."""
        rows = {(row["kind"], row["command_id"], row["event_id"], row["user_id"]) for row in trail}
        words = {"approve": ("confirmed", "approved"), "deny": ("denied",)}
        for kind, command, event, person in self.acknowledged:
            kinds = words.get(kind, (kind,))
            if not any((one, command, event, person) in rows for one in kinds):
                tally.lost += 1
                tally.trouble(f"{kind} of {command} by {person} is not in the trail", self.folder)

    def unfinished(self) -> list[Json]:
        """Return the commands that have not come to an end."""
        return [one for one in self.home.commands.values() if one["status"] not in FINAL]

    async def finish(self, tally: Tally) -> None:
        """Live once more to the end: give up what waits, and wait for what runs."""
        await self.brain.start()
        await self.home.connect(self.brain.port)
        snapshot = await self.home.subscribe()
        for event in snapshot["events"]:
            if event["status"] == "pending":
                with suppress(Refused):
                    await self.home.decide(event, "dan", "deny")
        with suppress(TimeoutError):
            async with asyncio.timeout(END):
                while self.unfinished():
                    self.home.changed.clear()
                    await self.home.changed.wait()
        for command in self.unfinished():
            tally.trouble(f"no end: {command}", self.folder)
        await self.check(tally)
        page = await self.home.call("commands.list", limit=1000)
        tally.unfinished += len(self.unfinished())
        tally.states.update(command["status"] for command in page["items"])
        tally.effects += len(self.effects())
        self.brain.terminate()
        await self.brain.ended()
        await self.home.close()
        with sqlite3.connect(self.folder / "safety.db") as connection:
            whole = connection.execute("PRAGMA integrity_check").fetchone()
        connection.close()
        if whole != ("ok",):
            tally.trouble(f"integrity_check: {whole}", self.folder)


async def one_after_another(tally: Tally, session: ClientSession, seed: int) -> None:
    """Use up folder after folder until enough brains have died."""
    chance = random.Random(seed)
    while tally.left > 0:
        folder = Path(tempfile.mkdtemp(prefix="kitty-kill-"))
        door = Door(folder, session, chance)
        await door.settle_in()
        for _ in range(LIVES):
            if tally.left <= 0:
                break
            tally.left -= 1
            point = chance.choice((*POINTS, None, None, None))
            await door.live(point, tally)
            tally.kills += 1
            tally.points[point or "any moment"] += 1
        await door.finish(tally)
        if not tally.troubles:
            await asyncio.to_thread(shutil.rmtree, folder)


async def kill(count: int, *, at_once: int = 4, seed: int | None = None) -> Json:
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
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--json", type=Path)
    wanted = parser.parse_args()
    figures = asyncio.run(kill(wanted.count, at_once=wanted.at_once, seed=wanted.seed))
    text = json.dumps(figures, indent=2)
    print(text)
    if wanted.json is not None:
        wanted.json.write_text(text + "\n")
    return int(bool(figures["troubles"]))


if __name__ == "__main__":
    sys.exit(main())
