"""What the gate recorded, told to others: in its order, once, and nothing that helps to force a person."""

import asyncio
from collections.abc import AsyncIterator
import json

import pytest

from brain_server.protocol import CommandStatus, Json
from brain_server.relay.trail import LOOK_EVERY, SINK, Trail
from tests.brain.gatehouse import DOOR, Gatehouse
from tests.brain.relay.desk import Desk, eventually


@pytest.fixture
async def trail(house: Gatehouse, desk: Desk) -> Trail:
    """Give a follower that has seen the chain so far."""
    trail = Trail(house.database, desk.database, desk.outbox, house.bus, desk.clock)
    await trail.follow()
    return trail


async def told(desk: Desk) -> list[Json]:
    """Return what others were told."""
    return await desk.outbox.read(0, 500)


def names(rows: list[Json]) -> list[str]:
    """Return the names of what was told."""
    return [row["name"] for row in rows]


async def test_what_was_recorded_before_is_no_news(
    house: Gatehouse, desk: Desk, trail: Trail
) -> None:
    assert await house.trail() != []
    assert await told(desk) == []


async def test_a_request_is_told_with_what_people_did_about_it(
    house: Gatehouse, desk: Desk, trail: Trail
) -> None:
    event = await house.approved()
    await house.claim(event)
    await house.gate.settle(event["command_id"], CommandStatus.ACKED, "observed")
    await trail.follow()
    rows = await told(desk)
    assert names(rows) == ["requested", "approved", "claimed", "acked"]
    assert {(row["topic"], row["key"]) for row in rows} == {("safety", event["command_id"])}
    assert rows[0]["data"] == {
        "user_id": "ada",
        "device_id": DOOR,
        "event_id": event["id"],
        "command_id": event["command_id"],
        "device": "Door",
        "intent": "unlock",
        "level": "high",
        "channel": "dashboard",
        "at": desk.clock(),
    }


async def test_nothing_is_told_twice_however_often_it_looks(
    house: Gatehouse, desk: Desk, trail: Trail
) -> None:
    await house.event()
    await trail.follow()
    await trail.follow()
    again = Trail(house.database, desk.database, desk.outbox, house.bus, desk.clock)
    await again.follow()
    assert names(await told(desk)) == ["requested"]


async def test_what_was_told_is_known_even_where_the_place_was_lost(
    house: Gatehouse, desk: Desk, trail: Trail
) -> None:
    """As after a restore of an older backup of one database."""
    before = await desk.outbox.cursor(SINK)
    await house.event()
    await trail.follow()
    await desk.outbox.move(SINK, await desk.outbox.cursor(SINK), before)
    await trail.follow()
    assert names(await told(desk)) == ["requested"]


async def test_it_goes_on_after_an_older_chain_was_restored(
    house: Gatehouse, desk: Desk, trail: Trail
) -> None:
    at = await desk.outbox.cursor(SINK)
    await desk.outbox.move(SINK, at, at + 1000)
    await trail.follow()
    await house.event()
    await trail.follow()
    assert names(await told(desk)) == ["requested"]


async def test_a_forced_approval_looks_like_a_denial(
    house: Gatehouse, desk: Desk, trail: Trail
) -> None:
    await house.set_pin("bob", "1234", "9999")
    event = await house.event()
    await house.approve(event, "bob", pin="9999")
    await trail.follow()
    rows = await told(desk)
    assert names(rows) == ["requested", "denied"]
    assert "duress" not in json.dumps([row["data"] for row in rows])


async def test_codes_keys_attempts_and_lockouts_stay_inside(
    house: Gatehouse, desk: Desk, trail: Trail
) -> None:
    event = await house.event()
    await house.set_pin("bob", "1234")
    for _ in range(6):
        await house.gate.attempt("bob", "wrong_token", event["id"])
    await trail.follow()
    rows = await told(desk)
    assert {"pin_changed", "attempt"} <= {row["kind"] for row in await house.trail()}
    assert names(rows) == ["requested"]
    assert event["nonce"] not in json.dumps(rows)


async def test_many_rows_are_told_in_the_order_of_the_chain(
    house: Gatehouse, desk: Desk, trail: Trail
) -> None:
    for number in range(120):
        await house.gate.step(
            lambda step, number=number: step.audit("voided", data={"reason": str(number)})
        )
    await trail.follow()
    assert [row["data"]["reason"] for row in await told(desk)] == [str(n) for n in range(120)]
    assert {row["key"] for row in await told(desk)} == {"house"}


@pytest.fixture
async def running(trail: Trail, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Let it run; it looks only when it is called."""
    monkeypatch.setattr("brain_server.relay.trail.LOOK_EVERY", 3600)
    desk.tasks.keep_up("trail", trail.run)
    await asyncio.sleep(0.02)  # by then it follows
    yield
    await desk.tasks.stop()


async def test_it_tells_at_once(house: Gatehouse, desk: Desk, trail: Trail, running: None) -> None:
    await house.event()
    await eventually(lambda: desk.heard)
    assert desk.heard[0]["name"] == "requested"


async def test_it_looks_now_and_then_for_what_other_processes_recorded(
    house: Gatehouse, desk: Desk, trail: Trail, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert LOOK_EVERY <= 5
    monkeypatch.setattr("brain_server.relay.trail.LOOK_EVERY", 0.01)
    deaf = Trail(house.database, desk.database, desk.outbox, desk.bus, desk.clock)
    desk.tasks.keep_up("trail", deaf.run)
    await house.event()
    await eventually(lambda: desk.heard)


async def test_who_is_not_the_one_to_do_it_tells_nothing(
    house: Gatehouse, desk: Desk, trail: Trail
) -> None:
    idle = Trail(
        house.database, desk.database, desk.outbox, house.bus, desk.clock, may=lambda: False
    )
    desk.tasks.keep_up("trail", idle.run)
    await house.event()
    await asyncio.sleep(0.05)  # time for what must not happen
    assert await told(desk) == []
