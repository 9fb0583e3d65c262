"""What a gate does on a disk that is full: ``python -m tests.brain.storage.full FOLDER``, a small one of its own.

Prints as JSON what it was told, and what is then on record.
"""

import asyncio
import json
from pathlib import Path
import sqlite3
import sys

from brain_server.protocol import CommandStatus, Json
from tests.brain.gatehouse import Clock, Gatehouse, refusal


def fill(folder: Path) -> Path:
    """Take all the space that is left, and return the file that has it."""
    path = folder / "filler"
    try:
        with path.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
    except OSError:
        return path


async def told(folder: Path) -> Json:
    """Ask for things on a full disk, and then on one with space again."""
    house = Gatehouse(f"sqlite:///{folder / 'safety.db'}", folder, Clock())
    await house.open()
    await house.furnish()
    event, waiting = await house.approved(), await house.event("open", by="dan")
    await house.claim(event)
    ballast = folder / "safety.db.ballast"
    before = ballast.stat().st_size
    filler = fill(folder)
    result: Json = {
        "hazards": [await refusal(house.ask("open", by=by)) for by in ("ada", "bob", "cyd")],
        "lock": await refusal(house.ask("lock")),
        "settled": (await house.gate.settle(event["command_id"], CommandStatus.ACKED, "seen"))[
            "status"
        ],
        "approved": await refusal(house.approve(waiting, "bob")),
        "denied": await refusal(house.deny(waiting, "cyd")),
        "reserve": [before, ballast.stat().st_size],
    }
    filler.unlink()
    result |= {
        "afterwards": await refusal(house.ask("open")),
        "health": await house.database.check(),
        "kinds": [row["kind"] for row in await house.trail()],
        "reasons": [row["data"]["reason"] for row in await house.trail("refused")],
        "problem": await house.problem(),
    }
    await house.close()
    with sqlite3.connect(folder / "safety.db") as connection:
        result["integrity"] = connection.execute("PRAGMA integrity_check").fetchall()
    connection.close()
    return result


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(told(Path(sys.argv[1])))))
