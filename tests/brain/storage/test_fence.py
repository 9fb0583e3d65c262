"""A fence in front of the writes: what it refuses leaves nothing, and what it lets through is as always."""

from pathlib import Path

from sqlalchemy import Connection, insert, select

from brain_server.errors import Unavailable
from brain_server.storage import Database, tables
from tests.brain.gatehouse import refusal

ROW = {"key": "a", "value": "1"}


def closed(_connection: Connection) -> None:
    """Refuse everything."""
    raise Unavailable("not_awake", "Another brain is awake now")


async def keys(store: Database) -> list[str]:
    """Return what was written."""
    query = select(tables.safety_state.c.key)
    return await store.read(lambda connection: list(connection.execute(query).scalars()))


def write(connection: Connection) -> None:
    """Write a row."""
    connection.execute(insert(tables.safety_state), ROW)


async def test_what_the_fence_refuses_is_not_written(store: Database) -> None:
    """Whoever wanted it is told why."""
    store.fence = closed
    assert (await refusal(store.write(write)), await keys(store)) == ("not_awake", [])


async def test_the_fence_comes_first_in_each_transaction(store: Database) -> None:
    """It sees nothing of what is about to be written."""
    seen: list[list[str]] = []
    query = select(tables.safety_state.c.key)
    store.fence = lambda connection: seen.append(list(connection.execute(query).scalars()))
    await store.write(write)
    await store.write(lambda connection: None)
    assert seen == [[], ["a"]]


async def test_reading_needs_no_fence(store: Database, tmp_path: Path) -> None:
    """It changes nothing."""
    await store.write(write)
    store.fence = closed
    assert await keys(store) == ["a"]


async def test_a_database_is_well_again_when_its_fence_is(store: Database) -> None:
    """A refusal is no fault of the database."""
    store.fence = closed
    await refusal(store.write(write))
    store.fence = None
    await store.write(write)
    assert (await store.check(), await keys(store)) == (None, ["a"])
