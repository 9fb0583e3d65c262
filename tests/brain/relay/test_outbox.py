"""What others are told: written with what it tells of, read in order, kept as long as somebody needs it."""

import asyncio
from collections.abc import Iterator
import json
from pathlib import Path

import pytest
from sqlalchemy import Connection, select, update

from brain_server.commands import Caller, Scope
from brain_server.errors import Conflict
from brain_server.observability import counters, request_id
from brain_server.outbox import MOST_BYTES, OPEN_TOPICS, TOPICS, Outbox, Read, tell
from brain_server.protocol import Json
from brain_server.relay.published import FORMS
from brain_server.storage import Database, tables
from tests.brain.conftest import postgres_database
from tests.brain.gatehouse import Clock
from tests.brain.relay.desk import Desk, eventually
from tests.brain.soon import SOON

READER = Caller(token="t", scope=Scope.READ)
DAY = 86_400.0


async def read(desk: Desk, **params: float) -> Json:
    """Read as a client does."""
    found: Json = await desk.outbox.listed(READER, Read(**params))
    return found


def numbers(rows: list[Json]) -> list[int]:
    """Return what the rows say."""
    return [row["data"]["n"] for row in rows]


async def test_what_is_told_in_a_transaction_that_fails_is_not_told(desk: Desk) -> None:
    def work(connection: Connection) -> None:
        tell(connection, 1.0, "job", "k", "said", {})
        raise Conflict("busy", "No")

    with pytest.raises(Conflict):
        await desk.database.write(work)
    assert await desk.outbox.read(0, 10) == []


async def test_rows_are_read_in_their_order_behind_an_id(desk: Desk) -> None:
    await desk.tell(1, 2, 3)
    first, *rest = await desk.outbox.read(0, 10)
    assert numbers(rest) == [2, 3]
    assert await desk.outbox.read(first["id"], 10) == rest


async def test_a_row_knows_the_request_that_it_comes_from(desk: Desk) -> None:
    request_id.set("r-1")
    await desk.tell(1)
    (row,) = await desk.outbox.read(0, 10)
    assert row["request_id"] == "r-1"


async def test_what_comes_from_one_source_is_told_once(desk: Desk) -> None:
    await desk.tell(1, 2, source="audit:7")
    assert numbers(await desk.outbox.read(0, 10)) == [1]


async def test_nobody_is_told_of_a_topic_that_is_unknown(desk: Desk) -> None:
    with pytest.raises(ValueError, match="gossip"):
        await desk.tell(1, topic="gossip")


async def test_data_that_is_too_large_is_left_out_and_the_rest_is_told(desk: Desk) -> None:
    large = {"text": "x" * MOST_BYTES}
    await desk.database.write(lambda connection: tell(connection, 1.0, "job", "k", "said", large))
    (row,) = await desk.outbox.read(0, 10)
    assert row["data"] == {"left_out": len(json.dumps(large))}


async def test_clients_hear_of_new_rows_in_their_order(desk: Desk) -> None:
    await desk.tell(1, 2)
    await eventually(lambda: len(desk.heard) == 2)
    assert numbers(desk.heard) == [1, 2]
    assert desk.heard[0] | {"id": 1} == {
        "id": 1,
        "topic": "job",
        "key": "k",
        "name": "said",
        "data": {"n": 1},
        "at": desk.clock(),
    }


async def test_after_a_restart_only_what_is_new_is_news(desk: Desk) -> None:
    await desk.tell(1)
    desk = await desk.again()
    await desk.tell(2)
    await eventually(lambda: desk.heard)
    await desk.tasks.stop()
    assert numbers(desk.heard) == [2]


async def test_whatever_clients_are_told_makes_it_look_at_once(
    database: Database, clock: Clock
) -> None:
    desk = Desk(database, clock, look_every=60)
    await desk.start()
    await asyncio.sleep(0.02)  # by then it looks for news
    await desk.tell(1)
    desk.bus.publish("job.updated", {})
    await eventually(lambda: desk.heard)
    await desk.tasks.stop()


async def test_what_is_said_in_a_conversation_is_not_shown(desk: Desk) -> None:
    data = {"tier": "local", "text": "the code is 1234", "reply": "No."}
    await desk.database.write(
        lambda connection: tell(connection, 1.0, "conversation", "c", "answered", data)
    )
    await eventually(lambda: desk.heard)
    (item,) = (await read(desk, after=0))["items"]
    assert item["data"] == desk.heard[0]["data"] == {"tier": "local"}


async def test_waiting_ends_with_a_new_row(desk: Desk) -> None:
    async with asyncio.TaskGroup() as both:
        both.create_task(desk.outbox.wait(0, 60))
        await asyncio.sleep(0.01)  # by then it waits
        await desk.tell(1)


async def test_waiting_ends_in_time(desk: Desk) -> None:
    await desk.outbox.wait(0, 0.01)
    assert desk.heard == []


async def test_others_are_told_that_a_brain_has_come(desk: Desk) -> None:
    await desk.outbox.tell_status("5eed", "online")
    (row,) = await desk.outbox.read(0, 10)
    assert (row["topic"], row["key"], row["name"]) == ("event", "5eed", "agent_status_change")
    assert row["data"] == {
        "event_type": "AGENT_STATUS_CHANGE",
        "source": "5eed",
        "data": {"status": "online"},
        "timestamp": desk.clock(),
    }


# -- cursors ----------------------------------------------------------------------------------------------


async def test_a_new_sink_begins_at_the_end(desk: Desk) -> None:
    await desk.tell(1, 2)
    at = await desk.outbox.cursor("mqtt")
    await desk.tell(3)
    assert numbers(await desk.outbox.read(at, 10)) == [3]
    assert await desk.outbox.cursor("mqtt") == at


async def test_a_sink_may_begin_elsewhere(desk: Desk) -> None:
    assert await desk.outbox.cursor("audit", begin=17) == 17


async def test_two_that_begin_at_once_begin_at_the_same_place(desk: Desk) -> None:
    await desk.tell(1)
    found = await asyncio.gather(*(desk.outbox.cursor("mqtt", begin=at) for at in (1, 2, 3)))
    assert len(set(found)) == 1


async def test_a_cursor_moves_only_from_where_it_is(desk: Desk) -> None:
    at = await desk.outbox.cursor("mqtt")
    await desk.outbox.move("mqtt", at, at + 5)
    with pytest.raises(Conflict) as caught:
        await desk.outbox.move("mqtt", at, at + 6)
    assert caught.value.code == "cursor_moved"
    assert await desk.outbox.cursor("mqtt") == at + 5


async def test_it_is_known_how_many_rows_wait_for_a_sink(desk: Desk) -> None:
    await desk.outbox.cursor("mqtt")
    await desk.tell(1, 2, 3)
    assert await desk.outbox.waiting("mqtt") == 3


# -- forgetting -------------------------------------------------------------------------------------------


async def test_old_rows_go_and_the_last_one_stays(desk: Desk) -> None:
    await desk.tell(1, 2, 3)
    desk.clock.now += 8 * DAY
    await desk.outbox.tidy()
    assert numbers(await desk.outbox.read(0, 10)) == [3]


async def test_rows_of_this_week_stay(desk: Desk) -> None:
    await desk.tell(1, 2, 3)
    desk.clock.now += 6 * DAY
    await desk.outbox.tidy()
    assert numbers(await desk.outbox.read(0, 10)) == [1, 2, 3]


async def test_what_a_sink_still_has_to_get_stays(desk: Desk) -> None:
    desk.outbox.sinks.add("mqtt")
    at = await desk.outbox.cursor("mqtt")
    await desk.tell(1, 2, 3)
    await desk.outbox.move("mqtt", at, at + 1)
    desk.clock.now += 8 * DAY
    await desk.outbox.tidy()
    assert numbers(await desk.outbox.read(0, 10)) == [2, 3]


async def test_what_a_sink_does_not_get_for_a_month_goes_and_is_counted(
    desk: Desk, counted: None
) -> None:
    desk.outbox.sinks.add("mqtt")
    await desk.outbox.cursor("mqtt")
    await desk.tell(1, 2, 3)
    desk.clock.now += 29 * DAY
    await desk.outbox.tidy()
    assert numbers(await desk.outbox.read(0, 10)) == [3]
    assert counters["outbox_forgotten"] == 2


@pytest.fixture
def counted() -> Iterator[None]:
    """Count from zero."""
    counters.pop("outbox_forgotten", None)
    yield
    counters.pop("outbox_forgotten", None)


# -- reading over the wire --------------------------------------------------------------------------------


async def test_a_reader_without_a_place_learns_where_the_end_is(desk: Desk) -> None:
    await desk.tell(1, 2)
    found = await read(desk)
    assert found == {"items": [], "last": {"after": 2, "at": desk.clock()}}


async def test_the_end_of_an_empty_outbox_is_its_beginning(desk: Desk) -> None:
    found = await read(desk)
    await desk.tell(1)
    assert numbers((await read(desk, **found["last"]))["items"]) == [1]


async def test_a_reader_goes_on_where_it_was(desk: Desk) -> None:
    await desk.tell(1)
    place = (await read(desk))["last"]
    desk.clock.now += 1
    await desk.tell(2, 3)
    assert numbers((await read(desk, **place))["items"]) == [2, 3]
    assert numbers((await read(desk, **place, limit=1))["items"]) == [2]


async def test_a_reader_goes_on_by_the_time_after_an_older_backup_was_restored(desk: Desk) -> None:
    """The ids of what came after the backup are given again."""
    await desk.tell(1, 2, 3)
    place = (await read(desk))["last"]
    desk.clock.now += 60

    def restored(connection: Connection) -> None:
        connection.execute(
            update(tables.outbox).where(tables.outbox.c.id == 3).values(created_at=desk.clock())
        )

    await desk.database.write(restored)
    assert numbers((await read(desk, **place))["items"]) == [3]


async def test_a_reader_goes_on_where_its_row_was_forgotten(desk: Desk) -> None:
    await desk.tell(1)
    place = (await read(desk))["last"]
    desk.clock.now += DAY
    await desk.tell(2, 3)
    desk.clock.now += 7.5 * DAY
    await desk.tell(4)
    await desk.outbox.tidy()
    assert numbers((await read(desk, **place))["items"]) == [4]


async def test_what_is_read_at_once_fits_into_a_frame(desk: Desk) -> None:
    data = {"n": 1, "text": "x" * (MOST_BYTES - 100)}

    def work(connection: Connection) -> None:
        for _ in range(20):
            tell(connection, 1.0, "job", "k", "said", data)

    await desk.database.write(work)
    items = (await read(desk, after=0))["items"]
    assert len(items) == 8


def test_every_open_topic_has_a_form() -> None:
    assert set(FORMS) == OPEN_TOPICS
    assert OPEN_TOPICS < TOPICS


@pytest.mark.service
async def test_no_row_is_passed_over_where_two_brains_write_at_once(
    tmp_path: Path, request: pytest.FixtureRequest, clock: Clock
) -> None:
    """On PostgreSQL an id that is given earlier could be seen later."""
    with postgres_database(tmp_path, request) as url:
        brains = [Database(url, tables.brain, name="brain", durable=False) for _ in range(3)]
        for brain in brains:
            await brain.open()
        desks = [Desk(brain, clock) for brain in brains]
        reader = Outbox(brains[2], desks[2].bus, clock)
        seen: list[int] = []

        async def follow() -> None:
            while len(seen) < 400:
                rows = await reader.read(seen[-1] if seen else 0, 50)
                seen.extend(row["id"] for row in rows)

        async with asyncio.timeout(SOON), asyncio.TaskGroup() as group:
            group.create_task(follow())
            for desk in desks[:2]:
                for _ in range(20):
                    group.create_task(desk.tell(*range(10)))
        stored = await brains[0].read(
            lambda connection: list(connection.execute(select(tables.outbox.c.id)).scalars())
        )
        for brain in brains:
            await brain.close()
    assert sorted(stored) == seen
