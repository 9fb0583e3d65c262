"""Who is awake, of several brains on one PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
import threading
import time

import psycopg
import pytest
from sqlalchemy import insert, select

from brain_server.cluster.lease import Lease
from brain_server.storage import Database, tables
from tests.brain.cluster.conftest import TTL
from tests.brain.gatehouse import refusal
from tests.brain.home import until
from tests.brain.soon import SOON
from tests.standins.postgres import Postgres

# Most of them last as long as some leases do.
pytestmark = [pytest.mark.service, pytest.mark.timeout(60)]

type Leased = Callable[..., Lease]
ROW = {"name": "vision", "enabled": False, "changed_at": 0.0}


@asynccontextmanager
async def opened(lease: Lease) -> AsyncIterator[Database]:
    """Open the database of a brain that is awake."""
    database = Database(lease.url, tables.brain, name="brain", durable=False)
    database.fence = lease.check
    await database.open()
    await lease.settle()
    try:
        yield database
    finally:
        await database.close()


async def names(database: Database) -> list[str]:
    """Return what was written."""
    query = select(tables.capabilities.c.name)
    return await database.read(lambda connection: list(connection.execute(query).scalars()))


async def write(database: Database) -> None:
    """Write one row."""
    await database.write(lambda connection: connection.execute(insert(tables.capabilities), ROW))


async def say(url: str, words: str) -> None:
    """Run a statement as somebody else."""
    address = url.replace("+psycopg", "")
    async with await psycopg.AsyncConnection.connect(address, autocommit=True) as connection:
        await connection.execute(words.encode())


async def die(lease: Lease) -> None:
    """End a brain as a kill does: its sessions are gone, its rows stay."""
    await lease.release()


async def pause(lease: Lease) -> None:
    """Let a brain stand still, its session open."""
    await lease._tasks.stop()


async def test_only_one_is_awake(made: str, leased: Leased) -> None:
    """Whoever comes second stands by."""
    first, second = leased(), leased()
    assert (await first.try_to_win(), await second.try_to_win()) == (True, False)
    assert (first.fresh, second.fresh) == (True, False)
    assert (await first.health(), await second.health()) == (None, "Another brain may be awake")


async def test_each_owner_has_a_higher_fence(made: str, leased: Leased) -> None:
    """By which a late one is known."""
    lives = [leased() for _ in range(3)]
    for one in lives:
        assert await one.win()
        await die(one)
    assert [one.fence for one in lives] == [1, 2, 3]


async def test_a_brain_takes_over_as_soon_as_the_other_is_gone(made: str, leased: Leased) -> None:
    """It does not wait for the lease to lapse."""
    first, second = leased(ttl=600.0), leased(ttl=600.0)
    await first.try_to_win()
    winning = asyncio.get_running_loop().create_task(second.win())
    await asyncio.sleep(0.2)  # by then it waits
    started = time.monotonic()
    await die(first)
    assert await winning
    assert time.monotonic() - started < 30.0


async def test_a_new_database_gets_its_owner_with_its_tables(url: str, leased: Leased) -> None:
    """The lock alone keeps the others out until then."""
    first, second = leased(), leased()
    assert await first.try_to_win()
    assert first.fence is None
    await asyncio.sleep(TTL)  # it renews what there is
    assert first.fresh
    assert not await second.try_to_win()
    async with opened(first):
        assert first.fence == 1


async def test_the_one_that_is_awake_writes(made: str, leased: Leased) -> None:
    """And its sessions carry its name."""
    lease = leased()
    await lease.win()
    async with opened(lease) as database:
        await write(database)
        named = await database.read(
            lambda connection: connection.exec_driver_sql("SHOW application_name").scalar()
        )
        assert (await names(database), named) == (["vision"], lease.name)


# -- one that does not move ---------------------------------------------------------------------------


async def test_a_brain_that_stands_still_is_put_to_sleep(made: str, leased: Leased) -> None:
    """Though it still has the lock, and nobody told the server that it is gone."""
    first, second = leased(), leased()
    await first.win()
    await pause(first)
    assert await asyncio.wait_for(second.win(), SOON)
    assert (first.fresh, second.fresh, second.fence) == (False, True, 2)


async def test_a_brain_that_comes_back_late_writes_nothing(made: str, leased: Leased) -> None:
    """It is told so, and to end."""
    first, second = leased(), leased()
    await first.win()
    async with opened(first) as database:
        await pause(first)
        await second.win()
        assert await refusal(write(database)) == "not_awake"
        await until(first._stop.is_set, "the end")
        assert (first.lost, await names(database)) == (True, [])


async def test_a_brain_that_comes_back_late_finds_out_by_itself(made: str, leased: Leased) -> None:
    """Without writing anything."""
    first, second = leased(), leased()
    await first.win()
    await pause(first)
    await second.win()
    first._tasks.start("lease", first._keep())
    await asyncio.wait_for(first._stop.wait(), SOON)
    assert (first.lost, second.lost) == (True, False)


async def test_a_brain_that_comes_back_late_may_send_nothing(made: str, leased: Leased) -> None:
    """What it had taken before may be on its way to a device."""
    first, second = leased(), leased()
    await first.win()
    async with opened(first) as database:
        assert await refusal(database.read(first.confirm)) is None
        await pause(first)
        await second.win()
        assert await refusal(database.read(first.confirm)) == "not_awake"


async def test_what_is_being_written_during_a_takeover_is_not_kept(
    made: str, leased: Leased
) -> None:
    """A transaction that stands open must not keep the new owner waiting."""
    first, second = leased(), leased()
    await first.win()
    begun, over = threading.Event(), threading.Event()
    async with opened(first) as database:

        def slowly(connection: object) -> None:
            connection.execute(insert(tables.capabilities), ROW)  # type: ignore[attr-defined]  # a connection
            begun.set()
            over.wait(40)  # longer than the lease lasts

        writing = asyncio.get_running_loop().create_task(refusal(database.write(slowly)))
        await until(begun.is_set, "its transaction")
        await pause(first)
        assert await asyncio.wait_for(second.win(), 30)
        over.set()
        assert await writing == "not_awake"
        assert await names(database) == []


async def test_a_brain_that_moves_is_left_alone(made: str, leased: Leased) -> None:
    """However long the others look at it."""
    first, second = leased(), leased()
    await first.win()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(second.win(), 4 * TTL)
    assert (first.fresh, first.lost) == (True, False)


async def test_a_pause_of_ones_own_is_no_standing_still_of_the_other(
    made: str, leased: Leased
) -> None:
    """What was read before the pause is old, and proves nothing."""
    first, second = leased(), leased()
    await first.win()
    assert not await second.try_to_win()
    look = second._look

    async def late(connection: object) -> object:
        found = await look(connection)  # type: ignore[arg-type]  # as readers get it
        await asyncio.sleep(2 * TTL)  # so long that it could have been lost
        return found

    second._look = late  # type: ignore[method-assign, assignment]  # the test puts its own in its place
    second._looked_at = 0.0
    assert not await second.try_to_win()
    assert (first.fresh, first.lost) == (True, False)


# -- lost connections ---------------------------------------------------------------------------------


def cut(lease: Lease) -> str:
    """Return the statement that ends the session in which a brain holds the lock."""
    return f"SELECT pg_terminate_backend({lease._session})"


async def test_a_brain_whose_session_was_cut_takes_the_lock_again(
    made: str, leased: Leased
) -> None:
    """With its fence: nobody else was awake meanwhile."""
    lease = leased()
    await lease.win()
    before = lease._session
    await say(made, cut(lease))
    await until(lambda: lease._session != before, "a new session")
    await asyncio.sleep(TTL)  # so long that it could have been lost
    assert (lease.fresh, lease.fence) == (True, 1)


async def test_a_brain_is_no_longer_awake_when_another_has_taken_the_lock(
    made: str, leased: Leased
) -> None:
    """Its session was cut, and the other was faster."""
    first, second = leased(), leased()
    await first.win()
    await pause(first)
    await say(made, cut(first))
    assert await asyncio.wait_for(second.win(), SOON)
    first._tasks.start("lease", first._keep())
    await asyncio.wait_for(first._stop.wait(), SOON)
    assert (first.lost, second.fence) == (True, 2)


async def test_a_dead_session_of_ones_own_is_ended(made: str, leased: Leased) -> None:
    """The server takes it for alive, as it does when the network was cut."""
    lease = leased()
    await lease.win()
    dead, lease._connection = lease._connection, None
    await until(lambda: lease._connection is not None, "a new session")
    await until(lambda: lease.fresh and lease._session, "the lock")
    await asyncio.sleep(TTL)  # so long that it could have been lost
    assert (lease.fresh, lease.lost) == (True, False)
    assert dead is not None
    with pytest.raises(psycopg.OperationalError):
        await dead.execute("SELECT 1")


async def test_a_row_that_somebody_removed_ends_the_owner(made: str, leased: Leased) -> None:
    """As a restored backup does; the next one begins anew."""
    first, second = leased(), leased()
    await first.win()
    async with opened(first) as database:
        await say(made, "DELETE FROM leases WHERE name = 'brain'")
        assert await refusal(write(database)) == "not_awake"
    await die(first)
    assert await second.win()
    assert (second.fence, second.lost) == (1, False)


async def test_the_one_that_was_awake_stays_so_when_the_database_comes_back(
    leased: Leased,
) -> None:
    """The others give it a head start."""
    server = Postgres()
    try:
        await asyncio.to_thread(server.start)
        url = await asyncio.to_thread(server.new_database)
        database = Database(url, tables.brain, name="brain", durable=False)
        await database.open()
        await database.close()
        first, second = leased(ttl=4.0, address=url), leased(ttl=4.0, address=url)
        await first.win()
        before = first._session
        winning = asyncio.get_running_loop().create_task(second.win())
        await until(lambda: second._session, "a session of the second")
        waited = second._session
        await asyncio.to_thread(server.restart)
        await until(lambda: first._session != before and second._session != waited, "both")
        await asyncio.sleep(3)  # time for what must not happen: longer than the head start
        await until(lambda: first.fresh, "the lease")
        assert (first.fence, winning.done()) == (1, False)
        second._stop.set()
        assert not await winning
    finally:
        await asyncio.to_thread(server.stop)


async def test_a_database_that_is_not_there_is_told_at_the_start(leased: Leased) -> None:
    """A wrong address should not look like standing by."""
    lease = leased(address="postgresql+psycopg://nobody@127.0.0.1:1/none")
    assert await refusal(lease.try_to_win()) == "storage_failed"


# -- whose database -----------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", ["others", None])
async def test_a_brain_with_other_keys_does_not_stand_by(
    made: str, leased: Leased, keys: str | None
) -> None:
    """It could neither check what the others signed, nor go on with their audit trail."""
    first, stranger = leased(), leased(keys=keys)
    await first.win()
    assert await refusal(stranger.win()) == "other_keys"


async def test_a_brain_with_other_keys_does_not_take_over(made: str, leased: Leased) -> None:
    """Also when nobody else is there any more; and it does not keep the lock."""
    first, stranger, third = leased(), leased(keys="others"), leased()
    await first.win()
    assert not await third.try_to_win()
    await die(first)
    stranger._looked_at = time.monotonic()  # it wins the lock before it has looked
    assert await refusal(stranger.win()) == "other_keys"
    await stranger.release()
    assert await third.win()


async def test_a_brain_that_is_told_to_stop_stands_by_no_longer(made: str, leased: Leased) -> None:
    """It never was awake."""
    first, second = leased(), leased()
    await first.win()
    winning = asyncio.get_running_loop().create_task(second.win())
    await asyncio.sleep(0.1)  # by then it waits
    second._stop.set()
    assert not await asyncio.wait_for(winning, SOON)
