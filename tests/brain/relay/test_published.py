"""What people publish: in the form of its topic, once, and not too much."""

import asyncio
from typing import Any

import msgspec
import pytest

from brain_server.commands import Caller, Scope, collect, prepare
from brain_server.errors import InvalidRequest
from brain_server.outbox import MOST_BYTES
from brain_server.protocol import Json
from brain_server.relay.published import FORMS, Events, Publish
from brain_server.storage import Database
from tests.brain.gatehouse import Clock
from tests.brain.relay.desk import Desk, eventually

PERSON = Caller(token="t", scope=Scope.CONTROL, user_id="ada")
LATER = "2099-01-01T00:00:00+00:00"
GOOD: dict[str, Json] = {
    "shipment.requests": {
        "id": "s1",
        "origin": "Berlin",
        "destination": "Wien",
        "items": [{"name": "vase", "fragile": True}],
        "priority": 5,
        "deadline": LATER,
    },
    "packing.results": {"id": "p1", "placements": [], "use": 0.8, "risk": 0.1, "bins": 1},
    "route.updates": {"shipment_id": "s1", "weather": 4, "traffic": "severe", "minutes": 25},
    "weather.alerts": {"type": "storm", "severity": 4, "valid_until": LATER},
    "damage.predictions": {"shipment_id": "s1", "probability": 0.03},
}


@pytest.fixture
def events(desk: Desk) -> Events:
    """Give what takes events."""
    return Events(desk.database, desk.bus, desk.clock)


async def publish(events: Events, caller: Caller = PERSON, **params: Any) -> Json:
    """Publish as the wire does."""
    spec = collect(events)["events.publish"]
    found: Json = await spec.run(caller, prepare(spec, caller, params))
    return found


def route(**changes: Any) -> Json:
    """Return an event of a route."""
    data = GOOD["route.updates"] | changes
    return {"topic": "route.updates", "key": "s1", "name": "delayed", "data": data}


@pytest.mark.parametrize("topic", FORMS)
async def test_an_event_of_each_topic_is_told(desk: Desk, events: Events, topic: str) -> None:
    found = await publish(events, topic=topic, key="s1", name="said", data=GOOD[topic])
    (row,) = await desk.outbox.read(0, 10)
    assert (row["id"], row["topic"], row["key"], row["data"]) == (
        found["id"],
        topic,
        "s1",
        GOOD[topic],
    )


async def test_it_is_told_at_once(database: Database, clock: Clock) -> None:
    desk = Desk(database, clock, look_every=3600)
    await desk.start()
    await asyncio.sleep(0.02)  # by then it looks for news
    await publish(Events(desk.database, desk.bus, desk.clock), **route())
    await eventually(lambda: desk.heard)
    await desk.tasks.stop()


async def test_what_is_said_besides_the_form_stays(desk: Desk, events: Events) -> None:
    await publish(events, **route(road="A9"))
    (row,) = await desk.outbox.read(0, 10)
    assert row["data"]["road"] == "A9"


async def test_with_the_same_key_it_is_the_same_event(desk: Desk, events: Events) -> None:
    first = await publish(events, **route(), idempotency_key="once")
    assert await publish(events, **route(), idempotency_key="once") == first
    assert len(await desk.outbox.read(0, 10)) == 1


async def test_the_key_of_another_person_is_another_key(desk: Desk, events: Events) -> None:
    await publish(events, **route(), idempotency_key="once")
    other = Caller(token="t", scope=Scope.CONTROL, user_id="bob")
    await publish(events, other, **route(), idempotency_key="once")
    assert len(await desk.outbox.read(0, 10)) == 2


@pytest.mark.parametrize(
    ("topic", "wrong"),
    [
        ("shipment.requests", {"items": []}),
        ("shipment.requests", {"priority": 11}),
        ("shipment.requests", {"deadline": "2099-01-01T00:00:00"}),
        ("packing.results", {"use": 1.5}),
        ("route.updates", {"weather": 6}),
        ("route.updates", {"traffic": "none"}),
        ("route.updates", {"minutes": -1}),
        ("weather.alerts", {"type": "frogs"}),
        ("weather.alerts", {"valid_until": "2020-01-01T00:00:00+00:00"}),
        ("damage.predictions", {"probability": 2}),
    ],
)
async def test_what_does_not_keep_the_form_is_refused(
    desk: Desk, events: Events, topic: str, wrong: Json
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await publish(events, topic=topic, key="s1", name="said", data=GOOD[topic] | wrong)
    assert caught.value.code == "invalid_params"
    assert next(iter(wrong)) in caught.value.message
    assert await desk.outbox.read(0, 10) == []


async def test_what_is_too_large_is_refused(desk: Desk, events: Events) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await publish(events, **route(road="x" * MOST_BYTES))
    assert caught.value.code == "event_too_large"


@pytest.mark.parametrize(
    "wrong",
    [
        {"topic": "safety"},
        {"topic": "kitty/#"},
        {"name": "Not A Name"},
        {"key": "a\nb"},
        {"key": ""},
    ],
    ids=["ours", "any", "name", "line", "empty"],
)
def test_only_open_topics_and_plain_names_are_taken(wrong: Json) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(route() | wrong, Publish)
