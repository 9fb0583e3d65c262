"""The fixtures of a library."""

from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import ClientSession
import pytest

from brain_server.storage import Database, tables
from tests.brain.autonomy.research.library import Library, Web, well
from tests.brain.gatehouse import Clock
from tests.brain.stage import Scripts, set_stage
from tests.standins.web import serving


@pytest.fixture
def scripts() -> Scripts:
    """Give what each model says; both read well."""
    made = set_stage()
    made["near"] = made["far"] = well
    return made


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    """Give a small web."""
    made = Web()
    async with serving(anything=made.page) as url:
        made.url = url
        yield made


@pytest.fixture
async def search(web: Web) -> AsyncIterator[str]:
    """Give the address of a server that searches the small web."""
    async with serving(mcp=web.server()) as url:
        yield f"{url}/mcp"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """Give the open database of a brain."""
    url = f"sqlite:///{tmp_path / 'brain.db'}"
    made = Database(url, tables.brain, name="brain", durable=False)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def library(
    database: Database, clock: Clock, tmp_path: Path, web: Web, scripts: Scripts
) -> AsyncIterator[Library]:
    """Give a library that has begun, without a search and without models."""
    del scripts
    async with ClientSession() as session:
        made = Library(database, clock, session, tmp_path, web)
        await made.start()
        yield made
        for life in made.lives:
            await life.stop()
