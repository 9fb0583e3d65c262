"""What people say to the workshop, and what it says to them: beds, alarms, filament, events."""

import json
from typing import Any

from homeassistant.const import Platform
from homeassistant.core import Context, HomeAssistant, State
from homeassistant.exceptions import ServiceValidationError, Unauthorized
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, MockUser
from syrupy.assertion import SnapshotAssertion

from custom_components.kitty.protocol import Json

from .conftest import ADA, EVE, eventually
from .fake_brain import FakeBrain, FakeError
from .shop import INCIDENT, JOB, SEEN, camera, incident, job, seen, stock
from .workshop import (  # noqa: F401 - fixtures are asked for by name
    CAMERA,
    NOW,
    PRINTER,
    change,
    device,
    gone,
    printing,
    push,
    settled,
    snapshot_fixture,
    state,
    workshop_fixture,
)

BED = "binary_sensor.workshop_printer_bed_clear"
BLIND = "binary_sensor.workshop_printer_camera_problem"
READ_ONLY = "binary_sensor.workshop_printer_takes_no_orders"
LOW = "binary_sensor.brain_filament_low"
CLEARED = "button.workshop_printer_bed_cleared"
FALSE_ALARM = "button.workshop_printer_false_alarm"
PRINTS = "event.workshop_printer_prints"
INCIDENTS = "event.workshop_printer_incidents"


@pytest.fixture
def platforms() -> tuple[Platform, ...]:
    """Load only what these tests are about."""
    return (Platform.BINARY_SENSOR, Platform.BUTTON, Platform.EVENT)


@pytest.fixture
def parts() -> dict[str, list[Json]]:
    """Return what there is: a camera before the printer, and some PLA."""
    return {"vision": [camera()], "stock": [stock()]}


@pytest.fixture(autouse=True)
def filled(brain: FakeBrain, parts: dict[str, list[Json]]) -> None:
    """Let the workshop have it before anybody looks."""
    brain.workshop = parts


async def press(hass: HomeAssistant, entity_id: str, user_id: str = ADA) -> None:
    """Press a button as a user."""
    await hass.services.async_call(
        "button", "press", {"entity_id": entity_id}, blocking=True, context=Context(user_id=user_id)
    )


def last(hass: HomeAssistant, entity_id: str) -> State:
    """Return the last event of an entity."""
    return state(hass, entity_id)


async def test_the_entities_of_a_watched_printer_are_as_they_were(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    entity_registry: er.EntityRegistry,
    snapshot: SnapshotAssertion,
) -> None:
    """Those that only a printer before a camera has, and their entries."""
    for entity_id in (BLIND, FALSE_ALARM, INCIDENTS):
        assert entity_registry.async_get(entity_id) == snapshot(name=f"{entity_id}-entry")
        assert hass.states.get(entity_id) == snapshot(name=f"{entity_id}-state")


# -- the bed ------------------------------------------------------------------------------------------


async def test_who_says_that_the_bed_is_clear_is_told_to_the_brain(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """In the name of the person; it is clear when the brain says so."""
    await press(hass, CLEARED)
    assert brain.sent("printers.cleared") == [{"device_id": PRINTER}]
    caller = brain.callers("printers.cleared")[0]
    assert caller is not None
    assert (caller["user_id"], caller["channel"]) == (ADA, "dashboard")
    assert state(hass, BED).state == "off"
    await push(hass, brain, "bed.updated", {"device_id": PRINTER, "clear": True})
    assert state(hass, BED).state == "on"


async def test_a_refusal_of_the_brain_is_a_refusal_of_the_button(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """With the brain's own words."""

    def refuse(_params: Json, _caller: Json | None) -> Json:
        raise FakeError("printer_busy")

    brain.answers["printers.cleared"] = refuse
    with pytest.raises(ServiceValidationError) as refused:
        await press(hass, CLEARED)
    assert refused.value.translation_key == "printer_busy"


async def test_while_something_is_printed_no_bed_can_be_cleared(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The button waits for the end of the print."""
    await push(hass, brain, "bed.updated", {"device_id": PRINTER, "clear": True})
    await push(hass, brain, "job.updated", job())
    assert (state(hass, BED).state, state(hass, CLEARED).state) == ("off", "unavailable")


async def test_who_may_not_control_the_printer_says_nothing_of_its_bed(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    people: dict[str, MockUser],
) -> None:
    """Home Assistant's own rights hold."""
    people[EVE].mock_policy({"entities": {"entity_ids": {CLEARED: {"read": True}}}})
    with pytest.raises(Unauthorized):
        await press(hass, CLEARED, EVE)
    assert brain.sent("printers.cleared") == []


# -- alarms -------------------------------------------------------------------------------------------


async def test_without_an_alarm_none_can_be_false(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    """The button is there when there is something to answer."""
    assert state(hass, FALSE_ALARM).state == "unavailable"


async def test_a_false_alarm_is_answered_in_the_name_of_who_presses(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """And the button goes with the alarm."""
    await push(hass, brain, "incident.updated", incident())
    assert state(hass, FALSE_ALARM).state == "unknown"
    await press(hass, FALSE_ALARM)
    assert brain.sent("vision.answer") == [{"incident_id": INCIDENT, "verdict": "false_alarm"}]
    caller = brain.callers("vision.answer")[0]
    assert caller is not None
    assert caller["user_id"] == ADA
    await push(hass, brain, "incident.updated", incident(status="false_alarm", closed_at=NOW))
    assert state(hass, FALSE_ALARM).state == "unavailable"


async def test_every_open_alarm_of_the_printer_is_answered(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Two cameras may have seen the same; a confirmed one and those of others stay."""
    await push(hass, brain, "incident.updated", incident())
    await push(hass, brain, "incident.updated", incident(id="2" * 32, device_id=PRINTER))
    await push(hass, brain, "incident.updated", incident(id="3" * 32, status="confirmed"))
    await push(hass, brain, "incident.updated", incident(id="4" * 32, device_id="e" * 32))
    await press(hass, FALSE_ALARM)
    answered = [one["incident_id"] for one in brain.sent("vision.answer")]
    assert answered == [INCIDENT, "2" * 32]


async def test_an_alarm_belongs_to_the_printer_of_its_print(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Whatever the camera looks at by now."""
    await push(hass, brain, "job.updated", job())
    await push(hass, brain, "vision.updated", camera(printer_id=None))
    await push(hass, brain, "incident.updated", incident())
    assert last(hass, INCIDENTS).attributes["event_type"] == "opened"


# -- what is well and what is not ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("health", "shown"), [("ok", "off"), ("unknown", "off"), ("frozen", "on"), ("dark", "on")]
)
async def test_a_camera_that_shows_nothing_of_use_is_a_problem(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, health: str, shown: str
) -> None:
    """One that has not looked yet is none."""
    await push(hass, brain, "vision.updated", camera(health=health, reason="no_change"))
    assert state(hass, BLIND).state == shown
    assert state(hass, BLIND).attributes["cameras"] == {"Eye": health}


async def test_the_problem_of_a_camera_has_its_name(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Frozen is another thing than dark."""
    await push(hass, brain, "vision.updated", camera(health="frozen", reason="no_change"))
    about = state(hass, BLIND).attributes
    assert (about["health"], about["reason"]) == ("frozen", "no_change")


@pytest.mark.parametrize("parts", [{}])
async def test_what_nobody_watches_has_neither_alarms_nor_cameras(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    """An entity that can never tell anything is none."""
    assert [hass.states.get(one) for one in (BLIND, FALSE_ALARM, INCIDENTS)] == [None] * 3


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"state": printing(read_only=True), "reason": "read_only"}, "on"),
        ({"state": printing()}, "off"),
        ({"online": "offline", "state": {}}, "unknown"),
    ],
)
async def test_a_printer_that_takes_no_orders_says_so(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    changes: dict[str, Any],
    shown: str,
) -> None:
    """With the reason; of one that is off nobody knows."""
    await change(hass, brain, PRINTER, **changes)
    assert state(hass, READ_ONLY).state == shown
    assert state(hass, READ_ONLY).attributes["reason"] == changes.get("reason")


async def test_too_little_filament_is_one_problem_of_the_house(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """With the materials that are short."""
    assert state(hass, LOW).state == "off"
    await push(hass, brain, "stock.updated", stock(low=True))
    await push(hass, brain, "stock.updated", stock(material="ABS", low=True))
    assert state(hass, LOW).state == "on"
    assert state(hass, LOW).attributes["materials"] == ["ABS", "PLA"]


# -- events -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["first_layer_ok", "spaghetti_detected", "nozzle_clog"])
async def test_what_is_seen_of_a_print_is_an_event(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, kind: str
) -> None:
    """With how sure it is, and never with a picture."""
    await push(hass, brain, "job.updated", job())
    await push(hass, brain, "print.event", seen(type=kind))
    about = last(hass, PRINTS).attributes
    assert (about["event_type"], about["confidence"]) == (kind, 0.97)
    assert (about["file"], about["job_id"], about["print_event_id"]) == ("cat.gcode", JOB, SEEN)
    assert "p2c" not in json.dumps(dict(about), default=str)


async def test_the_end_of_a_print_is_told_once(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """By the job; that the printer was seen to be done adds nothing."""
    await push(hass, brain, "job.updated", job(status="completed"))
    before = last(hass, PRINTS).state
    await push(hass, brain, "print.event", seen(type="completed"))
    assert (last(hass, PRINTS).state, last(hass, PRINTS).attributes["event_type"]) == (
        before,
        "finished",
    )


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"status": "confirmed", "answered_by": ADA}, "confirmed"),
        ({"status": "false_alarm", "answered_by": ADA, "closed_at": NOW}, "false_alarm"),
        ({"status": "over", "closed_at": NOW}, "over"),
    ],
)
async def test_what_becomes_of_an_alarm_is_an_event(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    changes: dict[str, Any],
    kind: str,
) -> None:
    """With the id by which its picture is found, and who answered."""
    await push(hass, brain, "incident.updated", incident())
    opened = last(hass, INCIDENTS).attributes
    assert (opened["event_type"], opened["incident_id"]) == ("opened", INCIDENT)
    assert (opened["kind"], opened["camera"]) == ("spaghetti_detected", "Eye")
    assert "p1c" not in json.dumps(dict(opened), default=str)
    await push(hass, brain, "incident.updated", incident(**changes))
    about = last(hass, INCIDENTS).attributes
    who = "Ada" if "answered_by" in changes else None
    assert (about["event_type"], about["answered_by"]) == (kind, who)


async def test_the_figures_of_an_alarm_are_no_news(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """It is seen again and again."""
    await push(hass, brain, "incident.updated", incident())
    before = last(hass, INCIDENTS).state
    await push(hass, brain, "incident.updated", incident(seen=9, confidence=0.99))
    assert last(hass, INCIDENTS).state == before


async def test_an_alarm_that_began_while_the_brain_was_away_is_told(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """After a restart of the brain its list says so."""
    brain.workshop["incidents"] = [incident(created_at=9e9)]
    brain.restarted()
    await brain.drop()
    await eventually(lambda: last(hass, INCIDENTS).attributes.get("event_type") == "opened")


async def test_an_alarm_that_was_open_before_is_no_news(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Home Assistant starts while one is open: nobody is told twice."""
    brain.workshop["incidents"] = [incident()]
    await hass.config_entries.async_reload(workshop.entry_id)
    await settled(hass, brain)
    assert state(hass, FALSE_ALARM).state != "unavailable"
    assert last(hass, INCIDENTS).attributes["event_type"] is None
