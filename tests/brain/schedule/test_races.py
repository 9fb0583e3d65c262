"""Races of brains that share a PostgreSQL, and writes whose answer is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
import threading

import pytest
from sqlalchemy import Connection, text

from brain_server.bus import Bus
from brain_server.errors import KittyError, Unavailable
from brain_server.observability import Tasks
from brain_server.schedule import Kind, Run, Schedule, put, worker
from brain_server.storage import Database, tables
from tests.brain.gatehouse import Clock
from tests.brain.schedule.conftest import Brain
from tests.brain.soon import SOON
from tests.standins.postgres import Postgres
from tests.standins.proxy import Proxy

pytestmark = pytest.mark.service


async def opened(url: str, stack: AsyncExitStack) -> Database:
    """Open a database until the end of the test."""
    made = Database(url, tables.brain, name="brain", durable=False)
    await made.open()
    stack.push_async_callback(made.close)
    return made


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Give what is undone at the end."""
    async with AsyncExitStack() as made:
        yield made


@pytest.fixture
async def two(postgres: Postgres, stack: AsyncExitStack) -> list[Database]:
    """Give the same database twice, as two processes have it."""
    url = postgres.new_database()
    stack.callback(postgres.give_back, url)
    return [await opened(url, stack) for _ in range(2)]


def brain(
    database: Database, clock: Clock, stack: AsyncExitStack, owner: str, lease: float = 0.5
) -> Brain:
    """Make a brain that ends with the test."""
    bus, tasks = Bus(), Tasks()
    made = Schedule(database, bus, tasks, clock, owner=owner, lease=lease, look_every=0.02)
    stack.push_async_callback(tasks.stop)
    stack.push_async_callback(made.stop)
    return Brain(made, bus, tasks)


async def test_brains_that_open_a_new_database_at_once_all_open_it(
    postgres: Postgres, stack: AsyncExitStack
) -> None:
    """One makes the tables, the others find them."""
    url = postgres.new_database()
    stack.callback(postgres.give_back, url)
    assert len(await asyncio.gather(*(opened(url, stack) for _ in range(3)))) == 3


async def test_brains_that_start_at_once_note_a_new_job_once(
    two: list[Database], clock: Clock, stack: AsyncExitStack
) -> None:
    """As after an upgrade of two replicas; ten times, because it is a race."""
    for number in range(10):
        brains = [brain(one, clock, stack, f"{number}") for one in two]
        for one in brains:
            one.schedule.every(f"job-{number}", "every 1h")
        await asyncio.gather(*(one.schedule.start(alone=False) for one in brains))
        assert len(await brains[0].schedule.jobs()) == 1


async def test_the_same_key_from_two_brains_at_once_is_the_same_work(two: list[Database]) -> None:
    """Two transactions, both of which wanted to begin first: it is one piece."""

    def add(connection: Connection) -> str:
        return put(connection, 0, "sum", {}, key="once")

    ids: set[str] = set()
    for _ in range(20):
        ids |= set(await asyncio.gather(*(one.write(add) for one in two)))
        assert len(ids) == 1
        await two[0].write(lambda connection: connection.execute(text("DELETE FROM work")))
        ids.clear()


async def test_the_next_life_of_a_brain_does_what_its_last_one_had_in_hand(
    two: list[Database], clock: Clock, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when both go by one name, and while the next one is busy with something long."""
    monkeypatch.setattr(worker, "RENEW", 0.1)
    begun, done, for_ever = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def hang(_run: Run) -> None:
        begun.set()
        await for_ever.wait()

    async def finish(_run: Run) -> None:
        done.set()

    last, following = (brain(one, clock, stack, "pod-0") for one in two)
    last.can("sum", hang)
    await last.schedule.start(alone=False)
    await last.schedule.add("sum", {})
    await begun.wait()
    await last.tasks.stop()
    following.can("sum", finish)
    following.can("long", hang)
    await following.schedule.start(alone=False)
    await following.schedule.add("long", {})
    async with asyncio.timeout(SOON):
        await done.wait()


async def test_a_brain_that_pauses_while_it_writes_holds_nobody_up_for_longer_than_a_lease(
    two: list[Database], clock: Clock, stack: AsyncExitStack
) -> None:
    """PostgreSQL ends its transaction, and with it the turn in which it writes."""
    held, go_on, done = threading.Event(), threading.Event(), asyncio.Event()

    def pause(_connection: Connection) -> None:
        held.set()
        go_on.wait(8)

    async def finish(_run: Run) -> None:
        done.set()

    other = brain(two[1], clock, stack, "other")
    other.schedule.worker.register(Kind(name="sum", run=finish))
    await other.schedule.start(alone=False)
    paused = asyncio.get_running_loop().create_task(two[0].write(pause))
    await asyncio.to_thread(held.wait)
    try:
        async with asyncio.timeout(7):
            with pytest.raises(Unavailable, match="busy"):
                await other.schedule.add("sum", {})
            await other.schedule.add("sum", {})
            await done.wait()
    finally:
        go_on.set()
        await asyncio.gather(paused, return_exceptions=True)


class LosesTheAnswer(Proxy):
    """Brings one COMMIT to the server, and breaks before its answer is back."""

    def __init__(self, target: int) -> None:
        super().__init__(target)
        self.armed = False

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection("127.0.0.1", self.target)

        async def up() -> None:
            while data := await reader.read(65536):
                ours.write(data)
            ours.close()

        async def down() -> None:
            while data := await theirs.read(65536):
                if self.armed and b"COMMIT\0" in data:
                    self.armed = False
                    break
                writer.write(data)
            writer.transport.abort()

        await asyncio.gather(up(), down(), return_exceptions=True)


async def test_a_write_whose_answer_is_lost_is_not_written_twice(
    postgres: Postgres, stack: AsyncExitStack
) -> None:
    """The server has committed, the line breaks: it may be reported as unknown, but never be there twice."""
    url = postgres.new_database()
    stack.callback(postgres.give_back, url)
    direct = await opened(url, stack)
    road = await stack.enter_async_context(LosesTheAnswer.to(postgres.port))
    lossy = await opened(url.replace(f":{postgres.port}/", f":{road.port}/"), stack)
    road.armed = True
    with suppress(KittyError):
        await lossy.write(lambda connection: put(connection, 0, "sum", {}))
    count = text("SELECT count(*) FROM work")
    assert await direct.read(lambda connection: connection.execute(count).scalar()) == 1


async def test_a_full_disk_is_called_full_also_when_several_write_at_once(tmp_path: Path) -> None:
    """Else the reserve of the safety database is not given up, and refusals are not recorded."""
    database = Database(f"sqlite:///{tmp_path / 'b.db'}", tables.brain, name="brain", durable=False)
    await database.open()

    def limit(connection: Connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    await database.write(limit)
    codes = set()
    for _ in range(20):
        writes = (
            database.write(lambda connection: put(connection, 0, "sum", {"x": "y" * 3000}))
            for _ in range(5)
        )
        found = await asyncio.gather(*writes, return_exceptions=True)
        codes |= {one.code for one in found if isinstance(one, KittyError)}
    broken = database.broken
    await database.close()
    assert (codes, broken) == ({"storage_full"}, "The disk is full")
