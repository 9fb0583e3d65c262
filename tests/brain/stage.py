"""Models on a stage: how a test adds them, and what the brain wrote down about them."""

from pathlib import Path
from typing import Any, Final

from sqlalchemy import Table, select

from brain_server import providers
from brain_server.app import Brain
from brain_server.protocol import Json
from tests.brain.home import Home
from tests.brain.minds.double import Double

type Scripts = dict[str, Any]

MINDS: Final = str(Path(__file__).parent / "minds")
NEAR: Final = {"provider": "double", "name": "Near", "options": {"part": "near"}}
FAR: Final = {
    "provider": "double",
    "name": "Claude",
    "options": {"part": "far", "key": "sk-planted-key-1234567890"},
    "tier": "frontier",
    "price_in": 3.0,
    "price_out": 15.0,
}
WEB: Final = {"provider": "web_double", "name": "Web", "options": {}}

# Before any brain starts: it finds the double among its providers.
providers.__path__.append(MINDS)


def double() -> Any:
    """Return the class of the double as the brain knows it: under another name than the tests."""
    return __import__("brain_server.providers.double", fromlist=["Double"]).Double


def set_stage() -> Scripts:
    """Return the scripts, empty."""
    real = double()
    for one in (real.scripts, real.heard):
        one.clear()
    real.cancelled.clear()
    Double.scripts, Double.heard, Double.cancelled = real.scripts, real.heard, real.cancelled
    scripts: Scripts = real.scripts
    return scripts


def web() -> Any:
    """Return the class of the web as the brain knows it."""
    return __import__("brain_server.providers.web_double", fromlist=["WebDouble"]).WebDouble


async def near(home: Home, **more: Any) -> str:
    """Add a model in the house."""
    made: Json = await home.command("providers.put", NEAR | more)
    return str(made["id"])


async def far(home: Home, **more: Any) -> str:
    """Add a paid model."""
    made: Json = await home.command("providers.put", FAR | more)
    return str(made["id"])


async def rows(brain: Brain, table: Table) -> list[Json]:
    """Return every row of a table, oldest first."""
    query = select(table).order_by(table.c.id)
    return await brain.brain_db.read(
        lambda connection: [dict(row) for row in connection.execute(query).mappings()]
    )
