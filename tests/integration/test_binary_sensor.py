"""Binary sensors: what is connected, what is broken, what waits for people."""

from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, snapshot_platform
from syrupy.assertion import SnapshotAssertion

from .conftest import DOOR
from .fake_brain import FakeBrain
from .workshop import (  # noqa: F401 - fixtures are asked for by name
    PRINTER,
    change,
    gone,
    push,
    snapshot_fixture,
    state,
    workshop_fixture,
)


@pytest.fixture
def platforms() -> tuple[Platform, ...]:
    """Load only what these tests are about."""
    return (Platform.BINARY_SENSOR,)


async def test_the_binary_sensors_are_as_they_were(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    entity_registry: er.EntityRegistry,
    snapshot: SnapshotAssertion,
) -> None:
    """Every entity of the platform has its state and its entry."""
    await snapshot_platform(hass, entity_registry, snapshot, workshop.entry_id)


async def test_that_the_brain_is_away_is_known(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The connection is the one thing that is known without the brain."""
    assert state(hass, "binary_sensor.brain_connection").state == "on"
    await gone(hass, brain, workshop)
    assert state(hass, "binary_sensor.brain_connection").state == "off"
    assert state(hass, "binary_sensor.brain_health").state == "unavailable"


async def test_an_ill_part_of_the_brain_is_named(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Only what is ill is listed."""
    parts = {"database": {"ok": True, "detail": None}, "disk": {"ok": False, "detail": "full"}}
    await push(hass, brain, "health.updated", {"status": "degraded", "parts": parts})
    shown = state(hass, "binary_sensor.brain_health")
    assert (shown.state, shown.attributes["parts"]) == ("on", {"disk": "full"})


async def test_whoever_hears_it_is_connected(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """After a start of Home Assistant the brain knows last that it is there."""
    parts = {"home_assistant": {"ok": False, "detail": "Home Assistant is not connected"}}
    await push(hass, brain, "health.updated", {"status": "degraded", "parts": parts})
    shown = state(hass, "binary_sensor.brain_health")
    assert (shown.state, shown.attributes["parts"]) == ("off", {})


@pytest.mark.parametrize(
    ("online", "connection", "problem"),
    [("online", "on", "off"), ("offline", "off", "off"), ("fault", "on", "on")],
)
async def test_a_device_says_whether_it_answers_and_whether_it_is_ill(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    online: str,
    connection: str,
    problem: str,
) -> None:
    """A printer that is off is not ill."""
    await change(hass, brain, PRINTER, online=online, reason="why")
    assert state(hass, "binary_sensor.workshop_printer_connection").state == connection
    shown = state(hass, "binary_sensor.workshop_printer_problem")
    assert (shown.state, shown.attributes["reason"]) == (problem, "why")


async def test_a_device_shows_that_people_are_asked(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Only the device of the request."""
    await push(hass, brain, "safety.event", brain.event(DOOR))
    assert state(hass, "binary_sensor.workshop_door_approval_pending").state == "on"
    assert state(hass, "binary_sensor.workshop_printer_approval_pending").state == "off"


async def test_a_device_that_the_brain_lost_is_unavailable(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Its subentry keeps its entities for the day it comes back."""
    await push(hass, brain, "device.removed", {"id": DOOR})
    assert state(hass, "binary_sensor.workshop_door_connection").state == "unavailable"
    await push(hass, brain, "device.updated", brain.devices[DOOR])
    assert state(hass, "binary_sensor.workshop_door_connection").state == "on"
