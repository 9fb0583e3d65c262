"""Sensors: printers, measurements, and how the gate stands."""

import json

from homeassistant.components.logbook.helpers import is_sensor_continuous
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, snapshot_platform
from syrupy.assertion import SnapshotAssertion

from .conftest import ADA, DOOR
from .fake_brain import FakeBrain
from .workshop import (  # noqa: F401 - fixtures are asked for by name
    NOW,
    PRINTER,
    SENSOR,
    change,
    gone,
    push,
    snapshot_fixture,
    state,
    workshop_fixture,
)

PENDING = "sensor.brain_pending_approvals"
UNKNOWN = "sensor.brain_unknown_outcomes"
DECISION = "sensor.brain_last_decision"
AUDIT = "sensor.brain_audit_record"
AIR = "sensor.workshop_air"


@pytest.fixture
def platforms() -> tuple[Platform, ...]:
    """Load only what these tests are about."""
    return (Platform.SENSOR,)


async def test_the_sensors_are_as_they_were(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    entity_registry: er.EntityRegistry,
    snapshot: SnapshotAssertion,
) -> None:
    """Every entity of the platform has its state and its entry."""
    await snapshot_platform(hass, entity_registry, snapshot, workshop.entry_id)


@pytest.mark.parametrize("entity_id", [AUDIT, PENDING, UNKNOWN])
async def test_figures_do_not_fill_the_logbook(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    entity_registry: er.EntityRegistry,
    entity_id: str,
) -> None:
    """Each audit row would be a line of its own, under the lines that tell what happened."""
    assert is_sensor_continuous(hass, entity_registry, entity_id)


@pytest.mark.parametrize("entity_id", [PENDING, UNKNOWN])
async def test_what_is_counted_is_not_counted_in_wrong_words(
    hass: HomeAssistant, workshop: MockConfigEntry, entity_id: str
) -> None:
    """Units know no singular: it would say "1 requests"."""
    assert "unit_of_measurement" not in state(hass, entity_id).attributes


async def test_a_printer_without_a_job_shows_its_status_only(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """What is not there is unknown, not zero."""
    await change(hass, brain, PRINTER, state={"status": "idle", "job": None})
    shown = {
        name: state(hass, f"sensor.workshop_printer_{name}").state
        for name in ("status", "progress", "file", "remaining_time", "nozzle_temperature")
    }
    assert shown.pop("status") == "idle"
    assert set(shown.values()) == {"unknown"}


async def test_a_file_name_that_is_too_long_is_cut(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """A state has room for 255 characters."""
    await change(hass, brain, PRINTER, state={"status": "printing", "job": {"file": "x" * 300}})
    assert state(hass, "sensor.workshop_printer_file").state == "x" * 255


async def test_a_printer_that_is_switched_off_is_unavailable(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Off is no error and no number."""
    await change(hass, brain, PRINTER, online="offline", state={})
    assert state(hass, "sensor.workshop_printer_status").state == "unavailable"


async def test_a_number_is_a_measurement_with_its_unit(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    """Home Assistant keeps statistics of it."""
    shown = state(hass, AIR)
    assert (shown.state, shown.attributes["unit_of_measurement"]) == ("21.5", "°C")
    assert shown.attributes["state_class"] == "measurement"


async def test_a_word_is_shown_as_it_is(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """A sensor may say something else than a number."""
    await change(hass, brain, SENSOR, state={"value": "fair", "unit": None})
    shown = state(hass, AIR)
    assert (shown.state, "state_class" in shown.attributes) == ("fair", False)


async def test_a_request_that_waits_is_counted_and_described(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """People see what waits, for whom and until when."""
    event = brain.event(DOOR, "unlock", initiated_by=ADA, created_at=NOW, expires_at=NOW + 60)
    await push(hass, brain, "safety.event", event)
    shown = state(hass, PENDING)
    assert shown.state == "1"
    assert shown.attributes["requests"] == [
        {
            "device": "Door",
            "intent": "unlock",
            "requested_by": "Ada",
            "expires_at": "2026-11-18T11:07:40+00:00",
        }
    ]


async def test_no_secret_of_a_request_shows(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Nothing with which a request could be approved is a state or an attribute."""
    event = brain.event(DOOR)
    await push(hass, brain, "safety.event", event)
    text = json.dumps([found.as_dict() for found in hass.states.async_all()], default=str)
    assert [name for name in ("nonce", "subject", "id") if event[name] in text] == []


async def test_a_command_that_nobody_saw_end_is_counted(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """It stays until somebody has looked."""
    command = brain.command(DOOR, "unlock", status="unknown")
    await push(hass, brain, "command.updated", command)
    shown = state(hass, UNKNOWN)
    assert shown.state == "1"
    assert shown.attributes["commands"] == [
        {"device": "Door", "intent": "unlock", "command_id": command["id"]}
    ]
    await push(hass, brain, "command.updated", command | {"status": "acked"})
    assert state(hass, UNKNOWN).state == "0"


async def test_the_last_decision_has_its_time(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """An expiry is nobody's decision."""
    await push(hass, brain, "safety.event", brain.event(DOOR, status="denied", resolved_at=NOW))
    expired = brain.event(DOOR, status="expired", resolved_at=NOW + 100)
    await push(hass, brain, "safety.event", expired)
    assert state(hass, DECISION).state == "2026-11-18T11:06:40+00:00"


async def test_the_anchor_of_the_audit_is_recorded(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The recorder keeps number and hash, so that the brain cannot rewrite what was."""
    await push(hass, brain, "audit.head", {"seq": 8, "hash": "n3w", "at": NOW})
    shown = state(hass, AUDIT)
    assert (shown.state, shown.attributes["hash"]) == ("8", "n3w")


async def test_without_the_brain_its_figures_are_unavailable(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """An old number would look like a new one."""
    await gone(hass, brain, workshop)
    assert {found.state for found in hass.states.async_all("sensor")} == {"unavailable"}
