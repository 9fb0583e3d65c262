"""Events: what happened to requests, prints and people, once each, under whoever acted."""

from typing import Any

from homeassistant.const import Platform
from homeassistant.core import Event, HomeAssistant
from homeassistant.helpers import device_registry as dr, entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_capture_events,
    snapshot_platform,
)
from syrupy.assertion import SnapshotAssertion

from custom_components.kitty.const import EVENT_KITTY
from custom_components.kitty.errors import BrainUnavailable
from custom_components.kitty.event import EVENT_ALARM
from custom_components.kitty.origin import Caller
from custom_components.kitty.protocol import Channel, Json

from .conftest import ADA, BOB, DOOR
from .fake_brain import FakeBrain
from .workshop import (  # noqa: F401 - fixtures are asked for by name
    LIGHT,
    NOW,
    POWER,
    PRINTER,
    change,
    gone,
    push,
    settled,
    snapshot_fixture,
    state,
    workshop_fixture,
)

REQUESTS = "event.workshop_door_requests"
PRINTS = "event.workshop_printer_prints"
ALARMS = "event.brain_alarms"


@pytest.fixture
def platforms() -> tuple[Platform, ...]:
    """Load only what these tests are about."""
    return (Platform.EVENT,)


@pytest.fixture
def fired(hass: HomeAssistant) -> list[Event[dict[str, Any]]]:
    """Return what the integration fires on the bus."""
    captured: list[Event[dict[str, Any]]] = async_capture_events(hass, EVENT_KITTY)
    return captured


def kind(hass: HomeAssistant, entity_id: str) -> Any:
    """Return the type of the last event."""
    return state(hass, entity_id).attributes["event_type"]


def job(**changes: Any) -> Json:
    """Return a print."""
    return {
        "id": "0b" * 16,
        "device_id": PRINTER,
        "command_id": None,
        "file": "cat.gcode",
        "status": "printing",
        "progress": 0.0,
        "started_at": NOW,
        "completed_at": None,
        "requested_by": ADA,
        "error": None,
    } | changes


def ada() -> Caller:
    """Return Ada at a dashboard."""
    return Caller(user_id=ADA, name="Ada", channel=Channel.DASHBOARD)


async def decided(entry: MockConfigEntry, event: Json, decision: str) -> None:
    """Record what Bob decided, as our own records have it."""
    ledger = entry.runtime_data.ledger
    await ledger.record_decision(event, BOB, decision, channel="dashboard", ppe=False)


async def test_the_brain_puts_nobodys_name_on_the_bus(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    fired: list[Event[dict[str, Any]]],
) -> None:
    """Who is only said to have asked or approved is not the user of a context."""
    event = brain.event(DOOR, "unlock", initiated_by=ADA)
    await push(hass, brain, "safety.event", event)
    approved = event | {"status": "approved", "approved_by": [BOB]}
    await push(hass, brain, "safety.event", approved)
    assert [one.context.user_id for one in fired] == [None, None]


async def test_the_events_are_as_they_were(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    entity_registry: er.EntityRegistry,
    snapshot: SnapshotAssertion,
) -> None:
    """Every entity of the platform has its state and its entry."""
    await snapshot_platform(hass, entity_registry, snapshot, workshop.entry_id)


async def test_a_request_is_an_event_of_its_device(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Who asked is told; other devices are not concerned."""
    event = brain.event(DOOR, "unlock", initiated_by=ADA)
    await workshop.runtime_data.ledger.record_request(event, ada())
    await push(hass, brain, "safety.event", event)
    shown = state(hass, REQUESTS)
    assert shown.attributes["event_type"] == "requested"
    assert (shown.attributes["requested_by"], shown.attributes["intent"]) == ("Ada", "unlock")
    assert shown.context.user_id == ADA
    assert kind(hass, "event.workshop_printer_power_requests") is None


@pytest.mark.parametrize(
    ("status", "more", "actor"),
    [
        ("approved", {"approved_by": [ADA, BOB]}, BOB),
        ("denied", {"denied_by": BOB}, BOB),
        ("expired", {}, None),
    ],
)
async def test_a_decision_is_an_event_under_who_decided(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    status: str,
    more: Json,
    actor: str | None,
) -> None:
    """The logbook shows the person."""
    event = brain.event(DOOR, "unlock", initiated_by=ADA)
    await decided(workshop, event, "deny" if status == "denied" else "approve")
    await push(hass, brain, "safety.event", event)
    await push(hass, brain, "safety.event", event | {"status": status} | more)
    shown = state(hass, REQUESTS)
    assert (shown.attributes["event_type"], shown.context.user_id) == (status, actor)


@pytest.mark.parametrize(
    ("status", "shown"), [("acked", "done"), ("failed", "failed"), ("unknown", "unknown")]
)
async def test_the_end_of_a_command_is_an_event(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, status: str, shown: str
) -> None:
    """Done, failed, or nobody knows."""
    command = brain.command(DOOR, "unlock", status="sent", requested_by=ADA)
    await push(hass, brain, "command.updated", command)
    assert kind(hass, REQUESTS) is None
    await push(hass, brain, "command.updated", command | {"status": status})
    assert kind(hass, REQUESTS) == shown


async def test_what_is_done_tells_who_asked_and_who_approved(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    fired: list[Event[dict[str, Any]]],
) -> None:
    """The bus has it under the approver, with the device and nothing secret."""
    event = brain.event(
        DOOR, "unlock", initiated_by=ADA, status="approved", approved_by=[BOB], people=[BOB]
    )
    command = brain.command(
        DOOR, "unlock", status="acked", requested_by=ADA, event_id=event["id"], ack_at=NOW
    )
    await decided(workshop, event, "approve")
    await push(hass, brain, "safety.event", event)
    await push(hass, brain, "command.updated", command)
    done = fired[-1]
    door = dr.async_get(hass).async_get_device_by_identifier(("kitty", DOOR), workshop.entry_id)
    assert door is not None
    assert done.context.user_id == BOB
    assert done.data == {
        "type": "done",
        "name": "Door",
        "device_id": door.id,
        "entity_id": None,
        "event_id": event["id"],
        "command_id": command["id"],
        "intent": "unlock",
        "level": "medium",
        "requested_by": "Ada",
        "channel": "dashboard",
        "approved_by": ["Bob"],
        "denied_by": None,
        "reason": None,
        "detail": None,
    }


async def test_the_same_news_twice_is_one_event(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    fired: list[Event[dict[str, Any]]],
) -> None:
    """A detail that changes is no new status."""
    event = brain.event(DOOR)
    await push(hass, brain, "safety.event", event)
    await push(hass, brain, "safety.event", event | {"people": [ADA]})
    assert [one.data["type"] for one in fired] == ["requested"]


async def test_a_light_that_is_switched_is_no_event(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    fired: list[Event[dict[str, Any]]],
) -> None:
    """Only devices that people watch over have events."""
    await push(hass, brain, "command.updated", brain.command(LIGHT, "light_on", status="acked"))
    assert fired == []


async def test_what_was_decided_while_the_wire_was_down_is_told_afterwards(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    fired: list[Event[dict[str, Any]]],
) -> None:
    """A brain that restarted tells by its snapshot; what is old and was not known is no news."""
    event = brain.event(DOOR)
    await push(hass, brain, "safety.event", event)
    await gone(hass, brain, workshop)
    brain.restarted()
    brain.events[event["id"]] = event | {"status": "denied", "denied_by": BOB}
    new, old = brain.event(POWER, "power_on"), brain.event(POWER, "power_on", created_at=NOW)
    brain.events |= {new["id"]: new, old["id"]: old | {"status": "expired"}}
    await brain.start()
    await brain.until(lambda: len(brain.subscriptions) == 2)
    await settled(hass, brain)
    told = [(one.data["event_id"], one.data["type"]) for one in fired[1:]]
    assert told == [(event["id"], "denied"), (new["id"], "requested")]


async def test_what_happened_before_the_wire_was_known_to_be_down_is_told_afterwards(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    fired: list[Event[dict[str, Any]]],
) -> None:
    """A machine that loses its power says no goodbye: it is missed a minute later."""
    await settled(hass, brain)
    event = brain.event(DOOR)
    workshop.runtime_data.client._drop(BrainUnavailable())
    brain.restarted()
    brain.events[event["id"]] = event
    await brain.drop()
    await brain.until(lambda: len(brain.subscriptions) == 2)
    await settled(hass, brain)
    assert [one.data["event_id"] for one in fired] == [event["id"]]


async def test_what_the_brain_remembers_at_the_start_is_no_news(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    fired: list[Event[dict[str, Any]]],
) -> None:
    """A restart of Home Assistant tells nothing twice."""
    await push(hass, brain, "safety.event", brain.event(DOOR))
    await push(hass, brain, "job.updated", job())
    await hass.config_entries.async_reload(workshop.entry_id)
    await settled(hass, brain)
    assert len(fired) == 1


async def test_statuses_that_the_snapshot_forgot_are_forgotten(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    fired: list[Event[dict[str, Any]]],
) -> None:
    """A thousand requests later memory is as before, and the news still come."""
    for _ in range(450):
        await brain.push("safety.event", brain.event(DOOR, status="expired"))
    await push(hass, brain, "safety.event", brain.event(DOOR))
    assert fired[-1].data["type"] == "requested"


@pytest.mark.parametrize(
    ("status", "shown"),
    [("completed", "finished"), ("failed", "failed"), ("aborted", "cancelled")],
)
async def test_a_print_starts_and_ends(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, status: str, shown: str
) -> None:
    """Both are events of the printer."""
    await push(hass, brain, "job.updated", job(status="preparing"))
    assert kind(hass, PRINTS) is None
    await push(hass, brain, "job.updated", job())
    assert kind(hass, PRINTS) == "started"
    await push(hass, brain, "job.updated", job(status=status, completed_at=NOW))
    assert (kind(hass, PRINTS), state(hass, PRINTS).attributes["file"]) == (shown, "cat.gcode")


async def test_a_print_that_goes_on_after_a_pause_does_not_start_again(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """A pause is not an end."""
    await push(hass, brain, "job.updated", job())
    before = state(hass, PRINTS).state
    await push(hass, brain, "job.updated", job(status="paused"))
    await push(hass, brain, "job.updated", job())
    assert state(hass, PRINTS).state == before


async def test_a_print_is_not_on_the_bus(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    fired: list[Event[dict[str, Any]]],
) -> None:
    """The bus is for requests and decisions."""
    await push(hass, brain, "job.updated", job())
    assert fired == []


async def test_a_person_who_was_forced_is_an_alarm_and_not_in_the_logbook(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    fired: list[Event[dict[str, Any]]],
) -> None:
    """Automations hear of it; whoever stands beside the person does not."""
    alarms = async_capture_events(hass, EVENT_ALARM)
    await push(hass, brain, "safety.duress", {"user_id": ADA, "event_id": "e", "device_id": DOOR})
    assert (kind(hass, ALARMS), state(hass, ALARMS).attributes["person"]) == ("duress", "Ada")
    assert [(one.data["type"], one.data["name"]) for one in alarms] == [("duress", "Door")]
    assert fired == []


async def test_a_person_who_was_forced_to_change_their_code_is_an_alarm(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """There is no request and no device then."""
    forced = {"user_id": ADA, "event_id": None, "device_id": None}
    await push(hass, brain, "safety.duress", forced)
    shown = state(hass, ALARMS).attributes
    assert (shown["event_type"], shown["person"], shown["event_id"]) == ("duress", "Ada", None)


async def test_a_person_who_is_locked_out_is_an_alarm(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Who, until when, and why."""
    await push(hass, brain, "safety.lockout", {"user_id": BOB, "until": NOW, "reason": "wrong_pin"})
    shown = state(hass, ALARMS).attributes
    assert (shown["event_type"], shown["person"], shown["until"], shown["reason"]) == (
        "lockout",
        "Bob",
        NOW,
        "wrong_pin",
    )


async def test_a_device_that_is_off_keeps_its_events(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """What happened stays true while a printer is off."""
    await push(hass, brain, "job.updated", job())
    await change(hass, brain, PRINTER, online="offline")
    assert kind(hass, PRINTS) == "started"
