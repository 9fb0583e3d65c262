"""What goes on by itself on a full disk: ``python -m tests.brain.schedule.full FOLDER``, a small one of its own.

Prints as JSON what was refused, what was done, and what others were told.
"""

import asyncio
import json
from pathlib import Path
import sqlite3
import sys

from sqlalchemy import Connection

from brain_server.bus import Bus
from brain_server.errors import Unavailable
from brain_server.outbox import Outbox, tell
from brain_server.protocol import Json
from brain_server.schedule import put
from tests.brain.gatehouse import Clock
from tests.brain.schedule.conftest import eventually
from tests.brain.schedule.test_kills_faults import HOUR, Files, Outside, row_of, runs
from tests.brain.storage.full import fill


async def refused(files: Files, size: int) -> str | None:
    """Take in a piece of work and tell of it, in one transaction; returns the code where there was no room."""

    def work(connection: Connection) -> None:
        put(connection, 0, "no", {"padding": "x" * size}, key=f"no:{size}")
        tell(connection, 0, "task", "no", "no", {"size": size})

    try:
        await files.database.write(work)
    except Unavailable as err:
        return err.code
    return None


async def told(folder: Path) -> Json:
    """Let a time come on a full disk, and then on one with space again."""
    files, clock, outside = Files(folder, Clock()), Clock(), Outside()
    files.clock = clock
    outside.go_on.clear()
    await files.start(outside)
    due = (await row_of(files.brain))["next_at"]
    clock.now = due
    await eventually(lambda: files.brain.listed(status="running"))
    filler = fill(folder)
    # What has room in the pages that there are is written; what needs one more is not.
    codes = [await refused(files, size) for size in (200_000, 100_000)]
    outside.go_on.set()
    clock.now = due + HOUR
    await asyncio.sleep(1)  # time for what must not happen
    result: Json = {"codes": codes, "health": await files.database.check()}
    outbox = Outbox(files.database, Bus(), clock)
    result["told"] = [row["data"] for row in await outbox.read(0, 100)]
    filler.unlink()
    await runs(files.brain, 2)
    result |= {
        "again": await refused(files, 200_000),
        "well": await files.database.check(),
        "told_again": [row["data"] for row in await outbox.read(0, 100)],
        "done": [one.partition("@")[2] for one in outside.done],
        "due": [f"{due:.0f}", f"{due + HOUR:.0f}"],
    }
    await files.stop()
    with sqlite3.connect(files.path) as connection:
        result["integrity"] = connection.execute("PRAGMA integrity_check").fetchall()
    connection.close()
    return result


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(told(Path(sys.argv[1])))))
