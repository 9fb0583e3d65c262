"""Writing and reading: many at once, together on the disk, each for itself when it fails."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import replace
import logging
from pathlib import Path
import threading
from typing import Any, Self

import pytest
from sqlalchemy import Connection, event, insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from brain_server import storage
from brain_server.errors import Unavailable
from brain_server.storage import Database, tables
from brain_server.storage.tables import safety_state
from tests.brain.gatehouse import busy, refusal
from tests.brain.soon import SOON

STRANGE = (
    "'); DROP TABLE safety_state; --",
    '"; DELETE FROM safety_state WHERE ""="',
    "%s :name ? {} $1 \\",
    "ünï∂ 🐈 \u202e",
    "line\nbreak\ttab",
    " ",
)


def put(key: str, value: str = "") -> Callable[[Connection], str]:
    """Return work that stores a value."""

    def work(connection: Connection) -> str:
        connection.execute(insert(safety_state).values(key=key, value=value))
        return key

    return work


def begun[T](work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Begin something, to be waited for later."""
    return asyncio.get_running_loop().create_task(work)


async def kept(store: Database) -> dict[str, str]:
    """Return all that is stored."""
    return await store.read(
        lambda connection: {row.key: row.value for row in connection.execute(select(safety_state))}
    )


class Held:
    """Keeps the writer busy, so that what comes meanwhile waits together."""

    def __init__(self, store: Database) -> None:
        """Take the database."""
        self.store = store
        self.begun, self.go_on = threading.Event(), threading.Event()

    def work(self, _connection: Connection) -> None:
        """Wait in the writer's thread."""
        self.begun.set()
        self.go_on.wait(SOON)

    async def __aenter__(self) -> Self:
        """Begin."""
        async with asyncio.TaskGroup() as tasks:
            self.task = begun(self.store.write(self.work))
            tasks.create_task(asyncio.to_thread(self.begun.wait, 5))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let the writer go on."""
        self.go_on.set()
        await asyncio.wait([self.task])


async def test_what_waits_together_is_committed_together(store: Database) -> None:
    """One flush of the disk for all of them, and each gets its own answer."""
    commits: list[Connection] = []
    event.listen(store._engine, "commit", commits.append)
    async with Held(store):
        waiting = [begun(store.write(put(f"k{n:02}"))) for n in range(32)]
        await asyncio.sleep(0)
    assert await asyncio.gather(*waiting) == [f"k{n:02}" for n in range(32)]
    assert len(commits) == 2
    assert len(await kept(store)) == 32


async def test_of_many_the_one_that_fails_takes_only_itself_back(store: Database) -> None:
    """Whether the database refuses it or its own code breaks."""

    def breaks(connection: Connection) -> None:
        put("half")(connection)
        raise LookupError("broken")

    async with Held(store):
        waiting = [begun(store.write(work)) for work in (put("a"), put("a"), breaks, put("b"))]
        await asyncio.sleep(0)
    first, again, broken, last = await asyncio.gather(*waiting, return_exceptions=True)
    assert (first, last) == ("a", "b")
    assert isinstance(again, IntegrityError)
    assert isinstance(broken, LookupError)
    assert (await kept(store)).keys() == {"a", "b"}


async def test_an_error_in_the_middle_stores_nothing(store: Database) -> None:
    """Alone in its transaction, too."""

    def breaks(connection: Connection) -> None:
        for key in ("a", "b", "a"):
            put(key)(connection)

    with pytest.raises(IntegrityError):
        await store.write(breaks)
    assert await kept(store) == {}


async def test_nobody_is_told_that_something_is_kept_that_is_not(store: Database) -> None:
    """A connection that breaks takes all that waited with it, or they are tried again."""

    def breaks(connection: Connection) -> None:
        connection.connection.dbapi_connection.close()  # type: ignore[union-attr]  # there is one inside a transaction
        connection.execute(text("SELECT 1"))

    async with Held(store):
        waiting = [begun(store.write(work)) for work in (put("a"), breaks, put("b"))]
        await asyncio.sleep(0)
    first, broken, last = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(broken, Exception)
    assert {first, last} & {"a", "b"} == (await kept(store)).keys()
    assert await store.write(put("c")) == "c"


async def test_the_writer_survives_whatever_a_caller_does(store: Database) -> None:
    """Its thread is the only one there is."""

    def breaks(_connection: Connection) -> None:
        raise RuntimeError("broken")

    for _ in range(3):
        with pytest.raises(RuntimeError, match="broken"):
            await store.write(breaks)
    assert await store.write(put("a")) == "a"


async def test_a_write_whose_caller_left_before_it_began_is_not_made(store: Database) -> None:
    """Nobody wants it any more."""
    async with Held(store):
        gone = begun(store.write(put("gone")))
        await asyncio.sleep(0)
        gone.cancel()
        with suppress(asyncio.CancelledError):
            await gone
    assert await store.write(put("a")) == "a"
    assert (await kept(store)).keys() == {"a"}


async def test_a_write_whose_caller_left_while_it_was_made_is_made(store: Database) -> None:
    """And the writer goes on."""
    held = Held(store)
    async with held:
        held.task.cancel()
        await asyncio.wait([held.task])
    assert held.task.cancelled()
    assert await store.write(put("a")) == "a"


async def test_what_is_written_knows_who_wants_it(store: Database) -> None:
    """The caller's context goes along into the writer's thread."""
    who: ContextVar[str] = ContextVar("who")
    who.set("ada")
    assert await store.write(lambda _connection: who.get()) == "ada"
    async with Held(store):
        waiting = [begun(store.write(lambda _connection: who.get())) for _ in "ab"]
        await asyncio.sleep(0)
    assert await asyncio.gather(*waiting) == ["ada", "ada"]


async def test_closing_finishes_what_was_accepted(database_url: str) -> None:
    """Nothing that waits is lost."""
    store = Database(database_url, tables.safety, name="safety", durable=True)
    await store.open()
    waiting = [begun(store.write(put(f"k{n}"))) for n in range(300)]
    await asyncio.sleep(0)
    await store.close()
    assert len(await asyncio.gather(*waiting)) == 300
    await store.open()
    assert len(await kept(store)) == 300
    await store.close()


# -- reading ------------------------------------------------------------------------------------------


async def test_what_a_read_writes_is_refused(store: Database) -> None:
    """A reader's connection cannot write."""
    with pytest.raises((Unavailable, DBAPIError)):
        await store.read(put("a"))
    assert await kept(store) == {}


async def test_forty_readers_and_forty_writers_at_once_are_all_served(store: Database) -> None:
    """None of them meets a locked database."""
    work = [store.write(put(f"k{n}")) for n in range(40)] + [kept(store) for _ in range(40)]
    await asyncio.gather(*work)
    assert len(await kept(store)) == 40


@pytest.mark.service
@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_forty_readers_of_postgres_run_side_by_side(store: Database) -> None:
    """None waits for the connection of another: each goes on only when all have one."""
    meeting = threading.Barrier(40)

    def work(connection: Connection) -> int:
        connection.execute(text("SELECT 1"))
        return meeting.wait(SOON)

    met = await asyncio.gather(*(store.read(work) for _ in range(40)))
    assert sorted(met) == list(range(40))


async def test_two_processes_that_change_the_same_things_the_other_way_round_both_do_it_at_once(
    store: Database, database_url: str
) -> None:
    """Each would hold what the other waits for, until the server ends one of them after a second."""
    other = Database(database_url, tables.safety, name="safety", durable=True)
    await other.open()
    for key in ("a", "b"):
        await store.write(put(key))
    met, runs = threading.Barrier(2), [0, 0]

    def change(which: int, *keys: str) -> Callable[[Connection], None]:
        def work(connection: Connection) -> None:
            runs[which] += 1
            for key in keys:
                this = update(safety_state).where(safety_state.c.key == key)
                connection.execute(this.values(value=safety_state.c.value + str(which)))
                if key == keys[0]:
                    with suppress(threading.BrokenBarrierError):
                        met.wait(0.3)

        return work

    await asyncio.gather(store.write(change(0, "a", "b")), other.write(change(1, "b", "a")))
    assert (runs, {*(await kept(store)).values()} <= {"01", "10"}) == ([1, 1], True)
    await other.close()


async def test_strange_words_are_stored_as_they_are(store: Database) -> None:
    """As values and as keys; none of them is ever code."""
    for words in STRANGE:
        await store.write(put(words, words))
    assert await kept(store) == {words: words for words in STRANGE}


# -- when it does not work ----------------------------------------------------------------------------


@pytest.fixture
async def impatient(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """Give a database that waits a hundredth of a second for others."""
    monkeypatch.setattr(storage, "BUSY_SECONDS", 0.01)
    store = Database(database_url, tables.safety, name="safety", durable=True)
    await store.open()
    yield store
    await store.close()


def audited(connection: Connection) -> None:
    """Write what the gate writes: a row of the trail."""
    connection.execute(
        insert(tables.audit).values(
            seq=1, at=0.0, kind="note", data={}, previous="0" * 64, hash="1" * 64
        )
    )


async def test_a_busy_database_is_said_to_be_busy_and_reads_go_on(impatient: Database) -> None:
    """After three tries; nothing of the write is kept, and the next one works."""
    with busy(str(impatient.url)):
        with pytest.raises(Unavailable) as refused:
            await impatient.write(audited)
        assert await kept(impatient) == {}
    assert (refused.value.code, refused.value.fields) == ("database_busy", {"retry_after": 1})
    await impatient.write(audited)


async def test_a_hiccup_goes_unnoticed(
    impatient: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who comes back within three tries meets an open door."""
    # So long between the tries that a busy machine is back in time.
    monkeypatch.setattr(storage, "DATABASE", replace(storage.DATABASE, first_s=1.0))
    with busy(str(impatient.url)):
        waiting = begun(impatient.write(audited))
        await asyncio.sleep(0.05)  # the first try has failed, the second has not begun
        assert not waiting.done()
    await waiting


async def test_a_slow_query_is_named_in_the_log(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With how long it took."""
    store = Database(database_url, tables.safety, name="safety", durable=True, slow_ms=0)
    await store.open()
    await store.write(put("a"))
    await kept(store)
    await store.close()
    slow = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert any(line.startswith("Slow query on safety: put") for line in slow)
    assert any(line.startswith("Slow query on safety: kept") for line in slow)


async def test_a_database_that_is_well_says_so(store: Database) -> None:
    """To the health check."""
    assert await store.check() is None


@pytest.mark.service
@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_a_connection_that_was_cut_is_replaced(store: Database) -> None:
    """The server was restarted: the next write and read just work."""

    def cut(connection: Connection) -> None:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )

    await asyncio.gather(*(kept(store) for _ in range(5)))
    await store.write(cut)
    await asyncio.gather(*(kept(store) for _ in range(5)))
    assert await store.write(put("a")) == "a"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_file_that_is_no_database_is_not_opened(database_url: str) -> None:
    """It says so, and the file is left as it is."""
    path = Path(database_url.removeprefix("sqlite:///"))
    content = b"my diary\n" * 1000
    await asyncio.to_thread(path.write_bytes, content)
    store = Database(database_url, tables.safety, name="safety", durable=True)
    assert await refusal(store.open()) == "storage_failed"
    assert await asyncio.to_thread(path.read_bytes) == content


async def test_a_server_that_is_not_there_is_said_to_be_away() -> None:
    """After three tries."""
    url = "postgresql+psycopg://nobody@127.0.0.1:1/nothing"
    store = Database(url, tables.safety, name="safety", durable=True)
    assert await refusal(store.open()) == "database_busy"
