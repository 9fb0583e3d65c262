"""A commit whose answer never came: what PostgreSQL kept is not done again, and what it did not keep is."""

from collections.abc import Callable

import psycopg
import pytest
from sqlalchemy import Connection, insert, select
from sqlalchemy.pool import PoolProxiedConnection

from brain_server import storage
from brain_server.storage import Database, tables
from tests.brain.conftest import ENGINES
from tests.brain.gatehouse import refusal

pytestmark = pytest.mark.parametrize("database_url", ENGINES[1:], indirect=True)


def write(connection: Connection) -> str:
    """Write a row."""
    connection.execute(insert(tables.safety_state), {"key": "a", "value": "1"})
    return "done"


async def keys(store: Database) -> list[str]:
    """Return what was written."""
    query = select(tables.safety_state.c.key)
    return await store.read(lambda connection: list(connection.execute(query).scalars()))


@pytest.fixture
def cut_off(store: Database, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Give what cuts the next connections off, before or after the server has done the commit."""

    def cut(after: str, times: int = 1) -> list[str]:
        dialect = store._engine.dialect
        commit = dialect.do_commit
        left = ["cut"] * times

        def do_commit(connection: PoolProxiedConnection) -> None:
            if not left:
                commit(connection)
                return
            left.pop()
            if after == "commit":
                commit(connection)
            connection.dbapi_connection.close()
            message = "the connection is lost"
            raise psycopg.OperationalError(message)

        monkeypatch.setattr(dialect, "do_commit", do_commit)
        return left

    return cut


async def test_what_was_kept_is_not_done_again(
    store: Database, cut_off: Callable[..., list[str]]
) -> None:
    """The one who waits learns that it was done; a second time would fail, or be a second one."""
    left = cut_off("commit")
    assert await store.write(write) == "done"
    assert (await keys(store), left) == (["a"], [])


async def test_what_was_not_kept_is_done_again(
    store: Database, cut_off: Callable[..., list[str]]
) -> None:
    """As after any other lost connection."""
    left = cut_off("nothing")
    assert await store.write(write) == "done"
    assert (await keys(store), left) == (["a"], [])


async def test_what_nobody_knows_is_told_so(
    store: Database, cut_off: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is not done again."""
    monkeypatch.setattr(storage, "VERDICT_SECONDS", 0.3)
    monkeypatch.setattr(storage, "_BECAME", storage.text("SELECT CAST(:number AS text)"))
    cut_off("commit")
    assert await refusal(store.write(write)) == "storage_failed"
    assert await keys(store) == ["a"]


async def test_what_wrote_nothing_needs_no_verdict(
    store: Database, cut_off: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can be done again whatever became of it."""
    monkeypatch.setattr(storage, "_BECAME", storage.text("SELECT no_such_thing(:number)"))
    cut_off("nothing")
    assert await store.write(lambda _connection: "looked") == "looked"
