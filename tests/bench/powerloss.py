"""Cuts the power to the safety database, thousands of times, by replaying what it wrote.

``python -m tests.bench.powerloss --count 15000 [--json FILE]``: a gate works under strace, and prints the head
of its trail with each answer that it gives. From the recorded writes and syncs the disk is rebuilt as
a power cut at a random moment could have left it: what was synced is there; of what was not, any 512-byte
sector may be missing, old, or newer than its neighbour. SQLite then opens the files. Of each trial is asked:

- is every row of the trail there whose head had been told,
- do the rows, and the states of commands and events, agree with what was written, and does the chain hold,
- does SQLite find its file whole.

As a control the same is done with ``synchronous=NORMAL``, where rows must get lost, else the rig is blunt.
"""

import argparse
import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
import json
import os
from pathlib import Path
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from typing import Final, NamedTuple

from sqlalchemy import create_engine

from brain_server.bus import Event
from brain_server.protocol import CommandStatus, Json
from brain_server.safety.audit import Chain
from brain_server.safety.keys import Keys
from tests.brain.gatehouse import Clock, Gatehouse

ROOT: Final = Path(__file__).parents[2]
SECTOR: Final = 512
DATABASE, LOG = "safety.db", "safety.db-wal"
CALLS: Final = "openat,close,write,pwrite64,fsync,fdatasync,ftruncate,unlink"
ACK: Final = b"ACK "
# The chain is recomputed in one trial of so many; in every trial its rows are compared with the original's.
RECOMPUTE: Final = 20
# How a moment's unsynced sectors fare: the chance of each to have reached the disk.
FATES: Final = (0.0, 0.1, 0.5, 0.9, 1.0)

type Head = tuple[int, str]

_CALL: Final = re.compile(r"^(\w+)\((.*)")
_RESUMED: Final = re.compile(r"^<\.\.\. (\w+) resumed>")
_OFFSET: Final = re.compile(r'", \d+, (\d+)')
_TEXT: Final = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


# -- the work that is recorded ------------------------------------------------------------------------


async def work(folder: Path, operations: int, *, durable: bool) -> None:
    """Let a gate work, and tell the head of its trail with each answer."""
    url = f"sqlite:///{folder / DATABASE}"
    house = Gatehouse(url, folder, Clock(), durable=durable)
    await house.open()
    house.bus.listen("audit.head", _tell)
    await house.furnish()
    await house.see("bob")

    async def whole(number: int) -> None:
        event = await house.event(device=f"{number:032x}")
        await house.approve(event, "bob")
        await house.claim(event)
        await house.gate.settle(event["command_id"], CommandStatus.ACKED, "seen")

    for number in range(0, operations // 4, 8):
        for one in range(4):
            await whole(number + one)
        await asyncio.gather(*(whole(number + one) for one in range(4, 8)))
    await house.close()


def _tell(event: Event) -> None:
    os.write(1, ACK + f"{event.data['seq']} {event.data['hash']}\n".encode())


# -- the record ---------------------------------------------------------------------------------------


class Step(NamedTuple):
    """One thing that happened to a file, or a head that was told."""

    what: str
    name: str = ""
    offset: int = 0
    data: bytes = b""
    head: Head = (0, "")


def record(folder: Path, operations: int, *, durable: bool) -> list[Step]:
    """Run the work under strace and return what it did to its two files."""
    trace = folder / "trace"
    subprocess.run(
        [
            *("strace", "-f", "-qq", "-xx", "-s", "1000000", "-e", f"trace={CALLS}"),
            *("-o", str(trace), sys.executable, "-m", "tests.bench.powerloss"),
            *("--work", str(folder), str(operations), "full" if durable else "normal"),
        ],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    with trace.open() as lines:
        steps = list(read(lines, folder))
    trace.unlink()
    return steps


def read(lines: Iterator[str], folder: Path) -> Iterator[Step]:
    """Read a trace; a write counts from its beginning, a sync for what was written before it began."""
    files: dict[int, str] = {}
    syncing: dict[str, Step] = {}
    names = {str(folder / name): name for name in (DATABASE, LOG)}
    for line in lines:
        process, _, said = line.rstrip("\n").partition(" ")
        said = said.lstrip()
        if (resumed := _RESUMED.match(said)) and process in syncing:
            if resumed[1] in {"fsync", "fdatasync"}:
                yield syncing.pop(process)
            continue
        call = _CALL.match(said)
        if call is None:
            continue
        yield from _steps(process, call[1], call[2], files, syncing, names)


def _steps(
    process: str,
    call: str,
    rest: str,
    files: dict[int, str],
    syncing: dict[str, Step],
    names: dict[str, str],
) -> Iterator[Step]:
    if call == "openat":
        path = bytes.fromhex(_TEXT.search(rest)[1].replace("\\x", "")).decode()  # type: ignore[index]  # the double has the part that is used
        number = int(rest.rpartition("= ")[2].split()[0])
        files.pop(number, None)
        if path in names:
            files[number] = names[path]
        return
    number = int(re.match(r"-?\d+", rest)[0]) if rest[:1].isdigit() else -1  # type: ignore[index]  # the double has the part that is used
    name = files.get(number, "")
    if call == "close":
        files.pop(number, None)
    elif call == "write" and number == 1:
        words = _bytes(rest)
        if words.startswith(ACK):
            seq, chain = words.removeprefix(ACK).split()
            yield Step("told", head=(int(seq), chain.decode()))
    elif not name:
        return
    elif call == "pwrite64":
        yield Step("write", name, int(_OFFSET.search(rest)[1]), _bytes(rest))  # type: ignore[index]  # the double has the part that is used
    elif call in {"fsync", "fdatasync"}:
        step = Step("sync", name)
        yield Step("syncing", name)
        if "unfinished" in rest:
            syncing[process] = step
        else:
            yield step
    elif call == "ftruncate":
        yield Step("cut", name, int(rest.split(",")[1].split(")", maxsplit=1)[0]))


def _bytes(rest: str) -> bytes:
    found = _TEXT.search(rest)
    return bytes.fromhex(found[1].replace("\\x", "")) if found else b""


# -- the disk -----------------------------------------------------------------------------------------


@dataclass
class File:
    """A file on a disk with a cache: what is safe, and what is only written."""

    safe: bytearray = field(default_factory=bytearray)
    pending: list[Step] = field(default_factory=list)
    # How much of what is pending was there when the sync began that runs now.
    promised: int = 0

    def take(self, step: Step) -> None:
        """Let something happen to it."""
        match step.what:
            case "syncing":
                self.promised = len(self.pending)
            case "sync":
                for one in self.pending[: self.promised]:
                    _apply(self.safe, one, one.offset, one.data)
                del self.pending[: self.promised]
            case _:
                self.pending.append(step)

    def after_a_cut(self, chance: random.Random) -> bytes:
        """Return what could be on the disk when the power goes now."""
        disk = bytearray(self.safe)
        fate = chance.choice(FATES)
        pieces = [piece for step in self.pending for piece in _sectors(step)]
        if chance.random() < 0.5:  # the disk writes in its own order
            chance.shuffle(pieces)
        for step, offset, data in pieces:
            if chance.random() < fate:
                _apply(disk, step, offset, data)
        return bytes(disk)


def _apply(disk: bytearray, step: Step, offset: int, data: bytes) -> None:
    if step.what == "cut":
        del disk[step.offset :]
        return
    disk.extend(bytes(max(0, offset - len(disk))))
    disk[offset : offset + len(data)] = data


def _sectors(step: Step) -> Iterator[tuple[Step, int, bytes]]:
    """Split a write at the borders of sectors; what lies outside of it in a sector is not touched."""
    begin, end = step.offset, step.offset + len(step.data)
    if step.what == "cut":
        yield step, 0, b""
    while begin < end:
        border = min(end, (begin // SECTOR + 1) * SECTOR)
        yield step, begin, step.data[begin - step.offset : border - step.offset]
        begin = border


# -- the trials ---------------------------------------------------------------------------------------


@dataclass
class Original:
    """What the whole work left behind: every row of the trail, the key, and how far setting up went."""

    rows: list[tuple[object, ...]]
    chain: bytes
    begin: int


def original(folder: Path, steps: Sequence[Step]) -> Original:
    """Read the finished database, and check that its chain holds."""
    chain = Keys.load(folder / "keys.json").chain
    rows = _rows(folder / DATABASE)
    assert _verified(folder / DATABASE, chain) is None
    # Before the first answer there is nothing to lose.
    begin = next(number for number, step in enumerate(steps) if step.what == "told")
    return Original(rows, chain, begin)


def _rows(path: Path) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT * FROM audit_log ORDER BY seq").fetchall()
    finally:
        connection.close()


def _verified(path: Path, key: bytes) -> str | None:
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        _, problem = Chain(key).verify(connection)
    engine.dispose()
    return problem


# What the trail says last of each command and event, and what their rows say.
BOOKS: Final = """
SELECT (SELECT count(*) FROM device_commands) <> (SELECT count(DISTINCT command_id) FROM audit_log)
    OR EXISTS (SELECT 1 FROM device_commands c JOIN (
        SELECT command_id, max(seq) AS seq FROM audit_log GROUP BY command_id) last
        ON last.command_id = c.id JOIN audit_log a ON a.seq = last.seq
      WHERE c.status <> CASE a.kind WHEN 'requested' THEN 'pending' WHEN 'approved' THEN 'pending'
        ELSE a.kind END)
    OR EXISTS (SELECT 1 FROM safety_events e JOIN audit_log a
        ON a.event_id = e.id AND a.kind = 'approved' WHERE e.status <> 'approved')
"""


@dataclass
class Found:
    """What came of some trials."""

    trials: int = 0
    # Cuts at which something was written and not yet synced.
    midway: int = 0
    lossy: int = 0
    most_lost: int = 0
    broken: int = 0
    altered: int = 0
    recomputed: int = 0

    def __add__(self, other: Found) -> Found:
        """Return both together."""
        return Found(
            self.trials + other.trials,
            self.midway + other.midway,
            self.lossy + other.lossy,
            max(self.most_lost, other.most_lost),
            self.broken + other.broken,
            self.altered + other.altered,
            self.recomputed + other.recomputed,
        )


def try_some(steps: Sequence[Step], known: Original, count: int, seed: int) -> Found:
    """Cut the power so many times, at moments in order, and look at what is left."""
    chance = random.Random(seed)
    moments = sorted(chance.randrange(known.begin, len(steps) + 1) for _ in range(count))
    files = {DATABASE: File(), LOG: File()}
    found, at, told = Found(), 0, 0
    with tempfile.TemporaryDirectory(prefix="kitty-power-", dir=_memory()) as place:
        folder = Path(place)
        for moment in moments:
            for step in steps[at:moment]:
                if step.what == "told":
                    told = max(told, step.head[0])
                else:
                    files[step.name].take(step)
            at = moment
            found.midway += any(file.pending for file in files.values())
            for name, file in files.items():
                (folder / name).write_bytes(file.after_a_cut(chance))
            look(folder, known, told, found)
            for left in folder.iterdir():
                left.unlink()
    return found


def _memory() -> str | None:
    """Return a place in memory for the rebuilt disks, where there is one."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def look(folder: Path, known: Original, told: int, found: Found) -> None:
    """Open what the cut left, as the brain would, and compare."""
    found.trials += 1
    path = folder / DATABASE
    connection = sqlite3.connect(path)
    rows, whole, books = [], False, True
    try:
        whole = connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        # A database that lost everything, its tables included, is whole.
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'audit_log'").fetchone():
            rows = connection.execute("SELECT * FROM audit_log ORDER BY seq").fetchall()
            books = connection.execute(BOOKS).fetchone() == (0,)
    except sqlite3.DatabaseError:
        whole = False
    finally:
        connection.close()
    lost = max(0, told - len(rows))
    found.lossy += lost > 0
    found.most_lost = max(found.most_lost, lost)
    found.broken += not whole
    altered = rows != known.rows[: len(rows)] or not books
    if rows and found.trials % RECOMPUTE == 0:
        found.recomputed += 1
        altered = altered or _verified(path, known.chain) is not None
    found.altered += altered


def trials(count: int, operations: int, *, durable: bool, processes: int, seed: int) -> Json:
    """Record one piece of work, cut its power so many times, and return what was found."""
    folder = Path(tempfile.mkdtemp(prefix="kitty-power-"))
    started = time.monotonic()
    steps = record(folder, operations, durable=durable)
    known = original(folder, steps)
    recorded = time.monotonic()
    each = [count // processes + (number < count % processes) for number in range(processes)]
    with ProcessPoolExecutor(processes) as pool:
        parts = [
            pool.submit(try_some, steps, known, part, seed + number)
            for number, part in enumerate(each)
        ]
        found = sum((part.result() for part in parts), Found())
    shutil.rmtree(folder)
    return {
        "trials": found.trials,
        "midway": found.midway,
        "lost": found.lossy,
        "most_rows_lost": found.most_lost,
        "integrity_failed": found.broken,
        "chain_broken": found.altered,
        "chains_recomputed": found.recomputed,
        "answers": sum(step.what == "told" for step in steps),
        "writes": sum(step.what == "write" for step in steps),
        "syncs": sum(step.what == "sync" for step in steps),
        "recording_seconds": round(recorded - started, 1),
        "seconds": round(time.monotonic() - recorded, 1),
    }


def powerloss(
    count: int, *, control: int = 400, operations: int = 640, processes: int = 2, seed: int = 1
) -> Json:
    """Return the figures for FULL, and for NORMAL as a control."""
    more = {"operations": operations, "processes": processes, "seed": seed}
    full = trials(count, durable=True, **more)
    normal = trials(control, durable=False, **more)
    sound = full["lost"] == full["integrity_failed"] == full["chain_broken"] == 0
    return {"full": full, "normal": normal, "ok": sound and normal["lost"] > 0, "seed": seed}


def main() -> int:
    """Read the command line; returns 1 when something was lost, or nothing in the control."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=15_000)
    parser.add_argument("--control", type=int, default=1000)
    parser.add_argument("--operations", type=int, default=640)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--work", nargs=3, metavar=("FOLDER", "OPERATIONS", "SYNC"))
    wanted = parser.parse_args()
    if wanted.work is not None:
        folder, operations, sync = wanted.work
        asyncio.run(work(Path(folder), int(operations), durable=sync == "full"))
        return 0
    figures = powerloss(
        wanted.count, control=wanted.control, operations=wanted.operations, seed=wanted.seed
    )
    text = json.dumps(figures, indent=2)
    print(text)
    if wanted.json is not None:
        wanted.json.write_text(text + "\n")
    return int(not figures["ok"])


if __name__ == "__main__":
    sys.exit(main())
