"""A workshop after a year: 100,000 messages and 10,000 prints, listed by a real brain; and a database that stays small.

``python -m tests.bench.workshop [--rows N] [--jobs N] [--times N] [--postgres] [--json FILE]``
"""

import argparse
import asyncio
from collections.abc import Callable, Sequence
import itertools
import json
from pathlib import Path
import random
import sys
import tempfile
import time
from typing import Any, Final

from aiohttp import ClientSession
from sqlalchemy import func, insert, select

from brain_server.devices.packing import as_stored
from brain_server.devices.telemetry import Telemetry
from brain_server.protocol import Json
from brain_server.storage import Database, tables
from brain_server.storage.tables import artifacts, devices, jobs, new_id, telemetry
from tests.bench.process import TOKEN, BrainProcess
from tests.standins.postgres import Postgres

DAY: Final = 86_400.0
BATCH: Final = 2000
PRINTERS: Final = 5
FILES: Final = 500
SEED: Final = 20_261_121
MOST_MS: Final = 50.0
STATUSES: Final = ("completed", "completed", "completed", "failed", "aborted")
# Of ten states of a printer two are long: with several slots and a long file name.
PAYLOADS: Final = (*(["x" * 400] * 8), *[json.dumps({"slots": ["PLA"] * 300})] * 2)


def printer(number: int) -> Json:
    """Return the row of a printer whose driver is not there, so that it does nothing."""
    return {
        "id": f"{number:032x}",
        "driver": "bench",
        "external_id": f"p{number}",
        "name": f"Printer {number}",
        "kind": "printer",
        "capabilities": [],
        "options": {},
        "created_at": 0.0,
    }


def message(device: str, at: float, chance: random.Random) -> Json:
    """Return the row of one message."""
    row = {"id": new_id(), "device_id": device, "topic": "bench", "recorded_at": at}
    return row | as_stored(chance.choice(PAYLOADS))


def job(device: str, at: float, chance: random.Random, files: Sequence[str]) -> Json:
    """Return the row of one print."""
    return {
        "id": new_id(),
        "device_id": device,
        "file": f"part-{chance.randrange(FILES)}.gcode",
        "status": chance.choice(STATUSES),
        "artifact_id": chance.choice(files),
        "material": "PLA",
        "created_at": at,
        "started_at": at,
        "completed_at": at + 3600,
        "hazardous": False,
    }


async def fill(database: Database, rows: int, prints: int) -> None:
    """Write a year."""
    chance, now = random.Random(SEED), time.time()
    things = [printer(number) for number in range(PRINTERS)]
    files = [
        {"id": new_id(), "sha256": f"{number:064x}", "name": f"part-{number}.gcode"}
        | {"kind": "gcode", "size": 1000, "created_at": now, "facts": {"materials": ["PLA"]}}
        for number in range(FILES)
    ]
    await write(database, devices, things)
    await write(database, artifacts, files)
    said = (message(things[at % PRINTERS]["id"], now, chance) for at in range(rows))
    for part in itertools.batched(said, BATCH, strict=False):
        await write(database, telemetry, list(part))
    ids = [file["id"] for file in files]
    year = [now - 365 * DAY * (1 - at / prints) - 7200 for at in range(prints)]
    done = (job(chance.choice(things)["id"], at, chance, ids) for at in year)
    for part in itertools.batched(done, BATCH, strict=False):
        await write(database, jobs, list(part))


async def write(database: Database, table: Any, rows: list[Json]) -> None:
    """Insert rows."""
    await database.write(lambda connection: connection.execute(insert(table), rows))


async def middle(database: Database, table: Any) -> str:
    """Return the id in the middle of a table."""
    count = select(func.count()).select_from(table)
    query = select(table.c.id).order_by(table.c.id)

    def work(connection: Any) -> str:
        half = (connection.execute(count).scalar() or 0) // 2
        return str(connection.execute(query.offset(half).limit(1)).scalar())

    return await database.read(work)


async def timed(session: ClientSession, path: str, times: int) -> Json:
    """Return how long one list takes."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        async with session.get(path) as answer:
            await answer.read()
            answer.raise_for_status()
        found.append((time.perf_counter() - began) * 1000)
    found.sort()
    return {
        "p50_ms": round(found[len(found) // 2], 2),
        "p99_ms": round(found[int(len(found) * 0.99)], 2),
    }


async def lists(url: str, folder: Path, rows: int, prints: int, times: int) -> Json:
    """Fill a database and measure its lists."""
    database = Database(
        url or f"sqlite:///{folder / 'brain.db'}", tables.brain, name="brain", durable=False
    )
    await database.open()
    await fill(database, rows, prints)
    half_said, half_done = await middle(database, telemetry), await middle(database, jobs)
    await database.close()
    brain = BrainProcess(folder, database_url=url, request_rate="1000000", request_burst="1000000")
    await brain.start()
    device = f"{1:032x}"
    paths = {
        "first jobs": "jobs.list",
        "jobs in the middle": f"jobs.list?cursor={half_done}",
        "jobs of a printer": f"jobs.list?device_id={device}&cursor={half_done}",
        "one job": f"jobs.get?job_id={half_done}",
        "first messages": f"telemetry.list?device_id={device}",
        "messages in the middle": f"telemetry.list?device_id={device}&cursor={half_said}",
        "files": "files.list",
    }
    headers = {"Authorization": f"Bearer {TOKEN}"}
    found: Json = {}
    async with ClientSession(f"http://127.0.0.1:{brain.port}", headers=headers) as session:
        for name, path in paths.items():
            found[name] = await timed(session, f"/api/v1/{path}", times)
    brain.terminate()
    await brain.ended()
    return found


async def bounded(folder: Path, rows: int) -> Json:
    """Live ninety days, each with its messages, and keep thirty: the size of the file after each month."""
    clock = [0.0]
    database = Database(
        f"sqlite:///{folder / 'kept.db'}", tables.brain, name="brain", durable=False
    )
    await database.open()
    await write(database, devices, [printer(1)])
    keeper: Callable[[], Any] = Telemetry(
        database,
        None,  # type: ignore[arg-type]  # it forgets without knowing any device
        lambda: clock[0],
        days=30,
    ).forget
    chance, sizes = random.Random(SEED), []
    for day in range(90):
        clock[0] = day * DAY
        said = [message(f"{1:032x}", clock[0], chance) for _ in range(rows // 30)]
        for part in itertools.batched(said, BATCH, strict=False):
            await write(database, telemetry, list(part))
        await keeper()
        if day % 30 == 29:
            sizes.append(round((folder / "kept.db").stat().st_size / 1e6, 1))
    await database.close()
    return {"mb_after_months": sizes}


async def measure(url: str, rows: int, prints: int, times: int) -> Json:
    """Measure everything."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found: Json = {"lists": await lists(url, folder, rows, prints, times)}
        if not url:
            found["mb"] = round((folder / "brain.db").stat().st_size / 1e6, 1)
            found |= await bounded(folder, rows)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and, when asked, write the figures; exit 1 when a list is slow."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(argv)
    sizes = given.rows, given.jobs, given.times
    found: Json = {"sqlite": asyncio.run(measure("", *sizes))}
    if given.postgres:
        server = Postgres()
        server.start()
        try:
            found["postgresql"] = asyncio.run(measure(server.new_database(), *sizes))
        finally:
            server.stop()
    print(json.dumps(found, indent=1))
    if given.json is not None:
        given.json.write_text(json.dumps(found))
    slow = [one["p99_ms"] for part in found.values() for one in part["lists"].values()]
    return 1 if max(slow) > MOST_MS else 0


if __name__ == "__main__":
    sys.exit(main())
