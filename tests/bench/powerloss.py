"""What a power loss leaves of acknowledged decisions: a replay of the real writes, cut at random.

python -m tests.bench.powerloss [--count N] [--operations N] [--json FILE]

A child process works at a real gate under strace, which records every write and every fsync of the safety
database and when each operation was acknowledged. Each trial stops that record at a random moment: what
was synced stays, of everything later a random choice of 512-byte sectors arrived, others did not. The
files are then opened as after a reboot. Every acknowledged audit row must be there, the chain must
verify and the database be whole. The same with ``synchronous=NORMAL`` has to lose rows; if it does not, the
rig does not bite.
"""

import argparse
import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
import json
import os
from pathlib import Path
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

from sqlalchemy import create_engine, inspect
from sqlalchemy.exc import DatabaseError

from brain_server import storage
from brain_server.safety.audit import GENESIS, Chain, Head
from brain_server.safety.keys import Keys
from tests.brain.gatehouse import Clock, Gatehouse

SECTOR = 512
CALL = re.compile(
    r"^(?P<pid>\d+) +(?:(?P<name>\w+)\((?P<args>.*)|<\.\.\. (?P<resumed>\w+) resumed>(?P<rest>.*))$"
)
TARGET = re.compile(r'^\d+<(?P<path>[^>]*)>(?:, "(?P<data>[^"]*)"(?:\.\.\.)?)?(?P<tail>.*)$')
WRITES = {"pwrite64", "write"}
SYNCS = {"fsync", "fdatasync"}


@dataclass(frozen=True, slots=True)
class Op:
    """One thing that the trace shows: a write, a sync, a truncation, or an acknowledgement."""

    kind: str
    path: str = ""
    data: bytes = b""
    at: int = 0


@dataclass(slots=True)
class Disk:
    """One file: what is certain, and the writes since the last sync."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[Op] = field(default_factory=list)

    def sync(self) -> None:
        """Make certain what was written."""
        for op in self.pending:
            _apply(self.durable, op)
        self.pending.clear()

    def after_loss(self, chance: random.Random) -> bytes:
        """Return what a power loss may leave: each unsynced sector arrived or did not."""
        left = bytearray(self.durable)
        share = chance.random()
        for op in self.pending:
            if op.kind == "truncate":
                if chance.random() < share:
                    _apply(left, op)
                continue
            for start in range(0, len(op.data), SECTOR):
                if chance.random() < share:
                    piece = op.data[start : start + SECTOR]
                    _apply(left, Op("write", op.path, piece, op.at + start))
        return bytes(left)


def _apply(content: bytearray, op: Op) -> None:
    if op.kind == "truncate":
        del content[op.at :]
        content.extend(bytes(max(0, op.at - len(content))))
        return
    content.extend(bytes(max(0, op.at + len(op.data) - len(content))))
    content[op.at : op.at + len(op.data)] = op.data


async def work(folder: Path, operations: int, durable: str) -> None:
    """Use a gate and say on standard output which audit row is acknowledged; the traced child runs this."""
    if durable == "no":
        connect = storage._sqlite
        storage._sqlite = lambda url, **how: connect(url, **how | {"synchronous": "NORMAL"})
    house = Gatehouse(f"sqlite:///{folder / 'safety.db'}", folder, Clock())
    await house.open()
    await house.furnish()

    async def acknowledge() -> None:
        head = await house.database.read(house.gate.chain.head)
        os.write(1, b"ACK %d\n" % head.seq)

    await acknowledge()
    for number in range(operations):
        event = await house.event(zone="shop", device=f"{number:032x}")
        await acknowledge()
        await house.approve(event, "bob")
        await acknowledge()
        await house.claim(event)
        await acknowledge()
    os._exit(0)  # no clean end: a checkpoint at close would hide what matters


def record(folder: Path, operations: int, *, durable: bool) -> list[Op]:
    """Run the child under strace and return what it did to the database, in order."""
    log = folder / "trace"
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(
        [
            *("strace", "-f", "-y", "-xx", "-s", "70000", "-o", str(log)),
            *("-e", "trace=write,pwrite64,fsync,fdatasync,ftruncate"),
            *(sys.executable, "-m", "tests.bench.powerloss", "--child", str(folder)),
            *("--operations", str(operations), "--durable", "yes" if durable else "no"),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        env=env,
    )
    return list(parse(log, folder / "safety.db"))


def parse(log: Path, database: Path) -> Iterator[Op]:
    """Read a trace: a write counts from its beginning, a sync only from its end."""
    mine = {str(database), f"{database}-wal"}
    begun: dict[str, Op] = {}
    for line in log.read_text("latin-1").splitlines():
        match = CALL.match(line)
        if match is None:
            continue
        if match["resumed"]:
            if (op := begun.pop(match["pid"], None)) is not None:
                yield op
            continue
        op = _op(match["name"], match["args"], mine)
        if op is None:
            continue
        if op.kind == "sync" and "<unfinished" in match["args"]:
            begun[match["pid"]] = op
        else:
            yield op


def _op(name: str, args: str, mine: set[str]) -> Op | None:
    target = TARGET.match(args)
    if target is None:
        return None
    path = _text(target["path"])
    data = bytes.fromhex((target["data"] or "").replace("\\x", ""))
    if name == "write" and data.startswith(b"ACK "):
        return Op("ack", at=int(data.split()[1]))
    if path not in mine:
        return None
    if name in SYNCS:
        return Op("sync", path)
    numbers = re.findall(r"-?\d+", target["tail"])
    if name == "pwrite64":
        return Op("write", path, data, int(numbers[1]))
    if name == "ftruncate":
        return Op("truncate", path, at=int(numbers[0]))
    message = f"SQLite wrote without an offset: {name}"
    raise ValueError(message)


def _text(path: str) -> str:
    return bytes.fromhex(path.replace("\\x", "")).decode() if path.startswith("\\x") else path


def trials(ops: Sequence[Op], keys: Keys, count: int, seed: int) -> dict[str, int]:
    """Cut the record ``count`` times and open what is left each time."""
    chance = random.Random(seed)
    first = next(number for number, op in enumerate(ops) if op.kind == "ack")
    cuts = sorted(chance.randrange(first, len(ops)) for _ in range(count))
    found = {"losses": 0, "lost": 0, "trials_with_loss": 0, "broken": 0, "chain_bad": 0}
    disks: dict[str, Disk] = {}
    acknowledged = position = 0
    with tempfile.TemporaryDirectory(dir=_memory()) as place:
        for cut in cuts:
            for op in ops[position : cut + 1]:
                if op.kind == "ack":
                    acknowledged = op.at
                elif op.kind == "sync":
                    disks.setdefault(op.path, Disk()).sync()
                else:
                    disks.setdefault(op.path, Disk()).pending.append(op)
            position = max(position, cut + 1)
            for path, disk in disks.items():
                (Path(place) / Path(path).name).write_bytes(disk.after_loss(chance))
            _judge(Path(place), keys, acknowledged, found)
    return found


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _judge(place: Path, keys: Keys, acknowledged: int, found: dict[str, int]) -> None:
    found["losses"] += 1
    for leftover in place.glob("*-shm"):
        leftover.unlink()
    engine = create_engine(f"sqlite:///{place / 'safety.db'}")
    head = Head(0, GENESIS)
    try:
        with engine.connect() as connection:
            whole = connection.exec_driver_sql("PRAGMA integrity_check").scalar()
            found["broken"] += whole != "ok"
            if inspect(connection).has_table("audit_log"):
                head, problem = Chain(keys.chain).verify(connection)
                found["chain_bad"] += problem is not None
    except DatabaseError:
        found["broken"] += 1
    finally:
        engine.dispose()
    missing = max(0, acknowledged - head.seq)
    found["lost"] += missing
    found["trials_with_loss"] += missing > 0


def measure(count: int, operations: int, *, durable: bool, seed: int = 7) -> dict[str, int]:
    """Record once and lose power ``count`` times."""
    folder = Path(tempfile.mkdtemp(prefix="kitty-powerloss-"))
    try:
        ops = record(folder, operations, durable=durable)
        return trials(ops, Keys.load(folder / "keys.json"), count, seed)
    finally:
        shutil.rmtree(folder)


def main(argv: Sequence[str] | None = None) -> int:
    """Run with FULL, then a tenth of it with NORMAL as the control; exit 1 when anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=15_000)
    parser.add_argument("--operations", type=int, default=40)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", type=Path)
    parser.add_argument("--durable", default="yes")
    given = parser.parse_args(argv)
    if given.child is not None:
        asyncio.run(work(given.child, given.operations, given.durable))
        return 0
    started = time.perf_counter()
    full = measure(given.count, given.operations, durable=True)
    control = measure(max(50, given.count // 10), given.operations, durable=False)
    result = full | {
        "control_losses": control["losses"],
        "control_trials_with_loss": control["trials_with_loss"],
        "seconds": round(time.perf_counter() - started, 1),
    }
    print(json.dumps(result, indent=1))
    if given.json is not None:
        given.json.write_text(json.dumps(result))
    bites = control["trials_with_loss"] > 0
    return 0 if bites and not (full["lost"] or full["broken"] or full["chain_bad"]) else 1


if __name__ == "__main__":
    sys.exit(main())
