"""Devices: where they hang, when they appear, when they go."""

from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers import area_registry as ar, device_registry as dr, entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, MockUser

from .conftest import DOOR, ZONE
from .fake_brain import FakeBrain
from .workshop import (  # noqa: F401 - fixtures are asked for by name
    SENSOR,
    change,
    device,
    push,
    state,
    workshop_fixture,
)

NEW = "4e" * 16


@pytest.fixture
def platforms() -> tuple[Platform, ...]:
    """Load only what these tests are about."""
    return (Platform.SENSOR, Platform.LOCK)


def registered(hass: HomeAssistant, entry: MockConfigEntry, value: str) -> dr.DeviceEntry | None:
    """Return the device with this identifier."""
    return dr.async_get(hass).async_get_device_by_identifier(("kitty", value), entry.entry_id)


def must(found: dr.DeviceEntry | None) -> dr.DeviceEntry:
    """Return a device that must be there."""
    assert found is not None
    return found


async def test_the_brain_is_the_hub_of_its_devices(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """A device hangs on the brain, in its area, under its subentry."""
    hub, door = (must(registered(hass, workshop, value)) for value in (brain.instance_id, DOOR))
    assert (hub.entry_type, hub.sw_version, hub.config_subentry_id) == ("service", "0.1.0", None)
    assert (door.via_device_id, door.area_id) == (hub.id, ZONE)
    assert workshop.subentries[door.config_subentry_id or ""].data["device_id"] == DOOR


async def test_a_device_that_nobody_added_here_has_no_entities(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """While a person adds a device, the brain has it before Home Assistant does."""
    scale = device(NEW, "sensor", "Scale", state={"value": 3, "unit": "kg"})
    await push(hass, brain, "device.updated", scale)
    assert registered(hass, workshop, NEW) is None


async def test_a_device_that_gains_an_ability_gains_its_entities(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """No reload is needed, and what is there already stays."""
    await change(hass, brain, SENSOR, kind="printer", capabilities=["print_start"])
    assert state(hass, "sensor.workshop_air_status").state == "unknown"


async def test_a_device_that_comes_late_gets_its_entities(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The brain may start before the device does."""
    door = brain.devices[DOOR]
    del brain.devices[DOOR]
    brain.answers["devices.put"] = lambda params, _caller: params
    assert await hass.config_entries.async_reload(workshop.entry_id)
    assert state(hass, "lock.workshop_door").state == "unavailable"
    await push(hass, brain, "device.updated", door)
    assert state(hass, "lock.workshop_door").state == "locked"


async def test_a_device_that_a_person_added_stays(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Its entities are unavailable until the brain has it again."""
    await push(hass, brain, "device.removed", {"id": DOOR})
    assert registered(hass, workshop, DOOR) is not None
    assert state(hass, "lock.workshop_door").state == "unavailable"


async def test_a_new_version_of_a_device_shows(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The registry follows the device."""
    await change(hass, brain, DOOR, sw_version="2.0", name="Front door")
    door = must(registered(hass, workshop, DOOR))
    assert (door.sw_version, door.name) == ("2.0", "Front door")


async def test_an_area_that_is_unknown_is_not_made(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """A zone that was deleted here does not come back by a device."""
    await change(hass, brain, SENSOR, kind="printer", zone_id="attic")
    assert [area.id for area in ar.async_get(hass).async_list_areas()] == [ZONE]


async def test_a_user_who_comes_later_is_named_too(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Names follow the users of Home Assistant."""
    MockUser(id="eva", name="Eva").add_to_hass(hass)
    hass.bus.async_fire("user_added", {"user_id": "eva"})
    await hass.async_block_till_done()
    command = brain.command(DOOR, "lock", status="acked", ack_at=1.0, requested_by="eva")
    await push(hass, brain, "command.updated", command)
    assert state(hass, "lock.workshop_door").attributes["changed_by"] == "Eva"


async def test_an_unload_takes_every_entity_along(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Nothing keeps listening to a brain that is let go."""
    assert await hass.config_entries.async_unload(workshop.entry_id)
    entities = er.async_entries_for_config_entry(er.async_get(hass), workshop.entry_id)
    assert {state(hass, found.entity_id).state for found in entities} == {"unavailable"}
