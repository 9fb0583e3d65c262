"""What the brain tells others, as events: each once, whoever was away, and when those who wait for them are there."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from unittest.mock import patch

from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import EVENT_HOMEASSISTANT_STARTED
from homeassistant.core import CoreState, Event, HomeAssistant
from homeassistant.helpers.storage import Store
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_capture_events,
    async_fire_time_changed,
)

from custom_components.kitty.const import EVENT_KITTY
from custom_components.kitty.logbook import async_describe_events
from custom_components.kitty.outbox import PAGE
from custom_components.kitty.protocol import Json

from .conftest import eventually, heard, kitty_entry, set_up
from .fake_brain import FakeBrain, FakeError
from .workshop import NOW, push

LATER = "2099-01-01T00:00:00+00:00"


@pytest.fixture
def fired(hass: HomeAssistant) -> list[Event[dict[str, Any]]]:
    """Return what the integration fires on the bus."""
    captured: list[Event[dict[str, Any]]] = async_capture_events(hass, EVENT_KITTY)
    return captured


@pytest.fixture
async def entry(
    hass: HomeAssistant, no_platforms: None, brain: FakeBrain
) -> AsyncIterator[MockConfigEntry]:
    """Return the entry of a brain, not yet set up."""
    made = kitty_entry(brain)
    yield made
    if made.state is ConfigEntryState.LOADED:
        await hass.config_entries.async_unload(made.entry_id)


@pytest.fixture
async def ready(hass: HomeAssistant, entry: MockConfigEntry, brain: FakeBrain) -> MockConfigEntry:
    """Return the entry once it knows from where to read."""
    await set_up(hass, entry)
    await brain.received_command("outbox.read", 2)
    return entry


def row(number: int, topic: str = "job", **data: Any) -> Json:
    """Return something that is told."""
    return {
        "id": number,
        "topic": topic,
        "key": "k",
        "name": "completed",
        "data": {"n": number} | data,
        "at": NOW + number,
    }


async def told(hass: HomeAssistant, brain: FakeBrain, *rows: Json) -> None:
    """Tell something, and the clients that there is something."""
    brain.outbox.extend(rows)
    await push(hass, brain, "outbox.added", rows[-1])


def numbers(fired: list[Event[dict[str, Any]]]) -> list[int]:
    """Return which rows were fired."""
    return [event.data["id"] for event in fired]


async def test_what_is_told_is_fired_with_all_that_is_known_of_it(
    hass: HomeAssistant, ready: MockConfigEntry, brain: FakeBrain, fired: list[Event[Any]]
) -> None:
    """An automation chooses by topic and name."""
    await told(hass, brain, row(1))
    await eventually(lambda: fired)
    assert fired[0].data == {
        "topic": "job",
        "key": "k",
        "name": "completed",
        "id": 1,
        "data": {"n": 1},
    }


async def test_an_automation_acts_on_it(
    hass: HomeAssistant, ready: MockConfigEntry, brain: FakeBrain
) -> None:
    """As a person writes it."""
    assert await async_setup_component(
        hass,
        "automation",
        {
            "automation": {
                "triggers": {
                    "trigger": "event",
                    "event_type": EVENT_KITTY,
                    "event_data": {"topic": "route.updates"},
                },
                "actions": {
                    "event": "delayed",
                    "event_data": {"minutes": "{{ trigger.event.data.data.minutes }}"},
                },
            }
        },
    )
    delayed = async_capture_events(hass, "delayed")
    await told(hass, brain, row(1), row(2, "route.updates", minutes=25))
    await eventually(lambda: delayed)
    assert [event.data["minutes"] for event in delayed] == [25]


async def test_what_was_told_before_is_no_news_to_a_new_house(
    hass: HomeAssistant, entry: MockConfigEntry, brain: FakeBrain, fired: list[Event[Any]]
) -> None:
    """It begins with what comes next."""
    brain.outbox = [row(1), row(2)]
    await set_up(hass, entry)
    await brain.received_command("outbox.read", 2)
    await told(hass, brain, row(3))
    await eventually(lambda: fired)
    assert numbers(fired) == [3]


async def test_what_is_told_while_home_assistant_is_away_is_fired_when_it_is_back(
    hass: HomeAssistant, ready: MockConfigEntry, brain: FakeBrain, fired: list[Event[Any]]
) -> None:
    """Once: what was fired before is not fired again."""
    await told(hass, brain, row(1))
    await eventually(lambda: numbers(fired) == [1])
    assert await hass.config_entries.async_unload(ready.entry_id)
    brain.outbox += [row(2), row(3)]
    assert await hass.config_entries.async_setup(ready.entry_id)
    await eventually(lambda: len(fired) == 3)
    assert numbers(fired) == [1, 2, 3]


async def test_what_is_told_over_a_restart_of_the_brain_is_fired_once(
    hass: HomeAssistant, ready: MockConfigEntry, brain: FakeBrain, fired: list[Event[Any]]
) -> None:
    """Its other events begin anew; these have the ids of its database."""
    await told(hass, brain, row(1))
    await eventually(lambda: fired)
    await brain.stop()
    brain.restarted()
    brain.outbox.append(row(2))
    await brain.start()
    await eventually(lambda: len(fired) == 2)
    assert numbers(fired) == [1, 2]


async def test_many_are_fired_page_by_page_in_their_order(
    hass: HomeAssistant, ready: MockConfigEntry, brain: FakeBrain, fired: list[Event[Any]]
) -> None:
    """The place is kept behind each page."""
    count = PAGE * 2 + 5
    await told(hass, brain, *(row(number) for number in range(1, count + 1)))
    await eventually(lambda: len(fired) == count)
    assert numbers(fired) == list(range(1, count + 1))
    await brain.received_command("outbox.read", 6)
    assert [one.get("after") for one in brain.sent("outbox.read")][-3:] == [PAGE, PAGE * 2, count]


async def test_the_brain_is_told_of_the_row_by_its_time_too(
    hass: HomeAssistant, ready: MockConfigEntry, brain: FakeBrain, fired: list[Event[Any]]
) -> None:
    """By it the brain knows that an older backup was restored."""
    await told(hass, brain, row(1))
    await eventually(lambda: fired)
    last = await brain.received_command("outbox.read", 4)
    assert last == {"after": 1, "at": NOW + 1, "limit": PAGE}


async def test_a_brain_that_cannot_read_now_is_asked_again(
    hass: HomeAssistant, ready: MockConfigEntry, brain: FakeBrain, fired: list[Event[Any]]
) -> None:
    """With the next news, or when the connection is back."""
    read = brain.answers["outbox.read"]

    def busy(_params: Json, _caller: Json | None) -> Json:
        raise FakeError("database_busy")

    brain.answers["outbox.read"] = busy
    await told(hass, brain, row(1))
    assert fired == []
    brain.answers["outbox.read"] = read
    await told(hass, brain, row(2))
    await eventually(lambda: len(fired) == 2)
    assert numbers(fired) == [1, 2]


async def test_what_a_busy_brain_did_not_give_is_fired_though_nothing_else_is_told(
    hass: HomeAssistant, ready: MockConfigEntry, brain: FakeBrain, fired: list[Event[Any]]
) -> None:
    """The next news may be hours away."""
    read = brain.answers["outbox.read"]

    def busy(_params: Json, _caller: Json | None) -> Json:
        raise FakeError("database_busy")

    brain.answers["outbox.read"] = busy
    await told(hass, brain, row(1))
    await brain.received_command("outbox.read", 3)
    await heard(ready)
    brain.answers["outbox.read"] = read
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(seconds=31))
    await eventually(lambda: fired)
    assert numbers(fired) == [1]


async def test_a_reload_fires_nothing_a_second_time(
    hass: HomeAssistant, ready: MockConfigEntry, brain: FakeBrain, fired: list[Event[Any]]
) -> None:
    """Also one that comes while the place is on its way to the disk."""
    disk, write = asyncio.Event(), Store._async_write_data

    async def slow(store: Store[Any], data: Json) -> None:
        if store.key.endswith(".outbox"):
            await disk.wait()
        await write(store, data)

    client = ready.runtime_data.client
    with patch.object(Store, "_async_write_data", slow):
        await told(hass, brain, row(1))
        await eventually(lambda: fired)
        reload = hass.async_create_task(hass.config_entries.async_reload(ready.entry_id))
        await eventually(lambda: not client.connected)
        disk.set()
        assert await reload
    await brain.received_command("outbox.read", 4)
    await told(hass, brain, row(2))
    await eventually(lambda: 2 in numbers(fired))
    assert numbers(fired) == [1, 2]


async def test_nothing_is_fired_before_those_who_wait_for_it_are_there(
    hass: HomeAssistant, entry: MockConfigEntry, brain: FakeBrain, fired: list[Event[Any]]
) -> None:
    """Automations are set up while Home Assistant starts."""
    hass.set_state(CoreState.starting)
    await set_up(hass, entry)
    await told(hass, brain, row(1))
    assert brain.sent("outbox.read") == []
    hass.set_state(CoreState.running)
    hass.bus.async_fire(EVENT_HOMEASSISTANT_STARTED)
    await brain.received_command("outbox.read", 2)
    await told(hass, brain, row(2))
    await eventually(lambda: fired)
    assert numbers(fired) == [2]


async def test_a_warning_that_is_over_warns_nobody(
    hass: HomeAssistant, ready: MockConfigEntry, brain: FakeBrain, fired: list[Event[Any]]
) -> None:
    """It was told while Home Assistant was away."""
    old = row(1, "weather.alerts", valid_until="2020-01-01T00:00:00+00:00")
    await told(hass, brain, old, row(2, "weather.alerts", valid_until=LATER), row(3))
    await eventually(lambda: len(fired) == 2)
    assert numbers(fired) == [2, 3]


async def test_nothing_is_left_of_it_when_the_brain_is_removed(
    hass: HomeAssistant, ready: MockConfigEntry, hass_storage: dict[str, Any]
) -> None:
    """Another brain begins anew."""
    await hass.async_block_till_done()
    assert any(name.endswith(".outbox") for name in hass_storage)
    await hass.config_entries.async_remove(ready.entry_id)
    assert not any(name.endswith(".outbox") for name in hass_storage)


def test_the_logbook_says_what_was_told(hass: HomeAssistant) -> None:
    """By itself the event has no device."""
    described: dict[str, Any] = {}
    async_describe_events(hass, lambda _domain, name, describe: described.update({name: describe}))
    event: Event[Any] = Event(EVENT_KITTY, {"topic": "job", "name": "first_layer", "data": {}})
    assert described[EVENT_KITTY](event) == {"name": "KITTY", "message": "told of job: first layer"}


async def test_a_brain_that_refuses_is_asked_again_with_the_next_news(
    hass: HomeAssistant, ready: MockConfigEntry, brain: FakeBrain, fired: list[Event[Any]]
) -> None:
    """Whatever it did not like this once, nothing of it is lost."""
    read = brain.answers["outbox.read"]
    refused = asyncio.Event()

    def refuse(_params: Json, _caller: Json | None) -> Json:
        refused.set()
        raise FakeError("invalid_params")

    brain.answers["outbox.read"] = refuse
    await told(hass, brain, row(1))
    await refused.wait()
    await heard(ready)
    brain.answers["outbox.read"] = read
    await told(hass, brain, row(2))
    await eventually(lambda: numbers(fired) == [1, 2])
