"""A commit whose answer never came: what PostgreSQL kept is not done again, and what it did not keep is."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing
import threading
import time
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, create_engine, insert, select, text
from sqlalchemy.pool import PoolProxiedConnection

from brain_server import storage
from brain_server.observability import Tasks
from brain_server.storage import Database, tables
from tests.brain.conftest import ENGINES
from tests.brain.gatehouse import refusal
from tests.brain.home import until
from tests.brain.soon import SOON

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


class Paused:
    """Work that stands still in its transaction, for so long that PostgreSQL ends its session, when first done."""

    def __init__(self, store: Database) -> None:
        """Look from a connection of its own."""
        self._look = create_engine(store.url)
        self.tries = 0

    def __call__(self, connection: Connection) -> str:
        """Write a row, at last."""
        self.tries += 1
        done = write(connection)
        if self.tries == 1:
            own = connection.execute(text("SELECT pg_backend_pid()")).scalar()
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 1"))
            deadline = time.monotonic() + SOON
            while self._is_there(own) and time.monotonic() < deadline:
                time.sleep(0.005)  # until the next look, in the thread that writes
        connection.execute(select(tables.safety_state.c.key))
        return done

    def _is_there(self, session: Any) -> Any:
        query = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :session")
        with self._look.connect() as connection:
            return connection.execute(query, {"session": session}).scalar()

    def close(self) -> None:
        """Hang up."""
        self._look.dispose()


async def test_what_a_pause_cut_off_is_done_again(store: Database) -> None:
    """The machine slept in the middle of it, say; PostgreSQL has a word of its own for that."""
    with closing(Paused(store)) as paused:
        assert await store.write(paused) == "done"
    assert (await keys(store), paused.tries) == (["a"], 2)


async def test_what_a_pause_cut_off_among_others_is_done_again_with_them(store: Database) -> None:
    """Nothing of the batch was kept, and nobody hears of it."""
    begun, go = threading.Event(), threading.Event()

    def hold(_connection: Connection) -> None:
        begun.set()
        go.wait(SOON)

    def other(connection: Connection) -> str:
        connection.execute(insert(tables.safety_state), {"key": "b", "value": "2"})
        return "done"

    first = Tasks().start("holding", store.write(hold))
    await until(begun.is_set, "that the writer is busy")
    with closing(Paused(store)) as paused:
        both = Tasks().start("both", gathered(store.write(paused), store.write(other)))
        await until(lambda: store._queue.qsize() == 2, "that both wait")
        go.set()
        assert await both == ["done", "done"]
    await first
    assert (sorted(await keys(store)), paused.tries) == (["a", "b"], 2)


async def gathered(*works: Awaitable[str]) -> list[str]:
    """Wait for all of it."""
    return await asyncio.gather(*works)
