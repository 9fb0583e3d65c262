"""A brain in a process of its own that researches until it is killed: it never gets behind the second page."""

import asyncio
from pathlib import Path
import sys
from typing import Any

from aiohttp import ClientSession

from brain_server.storage import Database, tables
from tests.brain.autonomy.research.library import TWO, Library, Web, of_page, well
from tests.brain.gatehouse import Clock
from tests.brain.stage import set_stage


async def live(folder: Path, url: str) -> None:
    """Do the work that there is, and say when the second page is before the model."""
    held = asyncio.Event()

    def read(request: Any) -> list[Any]:
        if not of_page(request, TWO):
            return well(request)
        sys.stdout.write("reading\n")
        sys.stdout.flush()
        return [held]

    set_stage()["near"] = read
    database = Database(
        f"sqlite:///{folder / 'brain.db'}", tables.brain, name="brain", durable=False
    )
    await database.open()
    async with ClientSession() as session:
        await Library(database, Clock(), session, folder, Web(url=url)).start()
        await held.wait()


if __name__ == "__main__":
    asyncio.run(live(Path(sys.argv[1]), sys.argv[2]))
