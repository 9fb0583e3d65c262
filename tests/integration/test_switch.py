"""Power outlets: on asks people, off waits for cool, and only what was observed shows."""

from homeassistant.const import Platform
from homeassistant.core import Context, HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, snapshot_platform
from syrupy.assertion import SnapshotAssertion

from .conftest import ADA
from .fake_brain import FakeBrain
from .workshop import (  # noqa: F401 - fixtures are asked for by name
    POWER,
    PRINTER,
    RealPlug,
    change,
    gone,
    push,
    real_plug_fixture,
    settled,
    snapshot_fixture,
    state,
    workshop_fixture,
)

ENTITY = "switch.workshop_printer_power"


@pytest.fixture
def platforms() -> tuple[Platform, ...]:
    """Load only what these tests are about."""
    return (Platform.SWITCH,)


async def call(hass: HomeAssistant, service: str) -> None:
    """Call a service of the outlet as Ada."""
    await hass.services.async_call(
        "switch", service, {"entity_id": ENTITY}, blocking=True, context=Context(user_id=ADA)
    )


async def test_the_switches_are_as_they_were(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    entity_registry: er.EntityRegistry,
    snapshot: SnapshotAssertion,
) -> None:
    """Every entity of the platform has its state and its entry."""
    await snapshot_platform(hass, entity_registry, snapshot, workshop.entry_id)


@pytest.mark.parametrize(
    ("service", "intent"), [("turn_on", "power_on"), ("turn_off", "power_off")]
)
async def test_a_switch_asks_the_brain(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, service: str, intent: str
) -> None:
    """Both directions are requests."""
    await call(hass, service)
    assert brain.sent("devices.request") == [{"device_id": POWER, "intent": intent, "params": {}}]


async def test_an_on_that_waits_for_people_says_so_and_stays_off(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """What was asked for is not what is."""
    await call(hass, "turn_on")
    await settled(hass, brain)
    shown = state(hass, ENTITY)
    assert (shown.state, shown.attributes["waiting_for"]) == ("off", "approval")


async def test_an_off_that_waits_for_cool_says_so_and_stays_on(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """A deferred off is visible, and nothing is cut while the printer is hot."""
    await change(hass, brain, POWER, state={"on": True})
    command = brain.command(POWER, "power_off", status="deferred")
    await push(hass, brain, "command.updated", command)
    shown = state(hass, ENTITY)
    assert (shown.state, shown.attributes["waiting_for"]) == ("on", "power_off_when_cool")


async def test_without_the_brain_a_cool_outlet_switches_off(
    hass: HomeAssistant, real_plug: RealPlug, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The safe direction needs nobody where nothing is hot."""
    cool = {"actual": 20.0, "target": 0.0}
    await change(hass, brain, PRINTER, state={"status": "idle", "nozzle": cool, "bed": cool})
    await gone(hass, brain, workshop)
    assert state(hass, ENTITY).state == "on"
    await call(hass, "turn_off")
    await hass.async_block_till_done()
    assert state(hass, ENTITY).state == "off"


async def test_without_the_brain_a_hot_outlet_stays_on(
    hass: HomeAssistant, real_plug: RealPlug, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Off is only safe when what it feeds was last seen cool."""
    await gone(hass, brain, workshop)
    with pytest.raises(HomeAssistantError) as caught:
        await call(hass, "turn_off")
    assert caught.value.translation_key == "load_may_be_hot"


async def test_without_the_brain_nothing_is_switched_on(
    hass: HomeAssistant, real_plug: RealPlug, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The dangerous direction says why it cannot be."""
    await gone(hass, brain, workshop)
    with pytest.raises(HomeAssistantError) as caught:
        await call(hass, "turn_on")
    assert caught.value.translation_key == "brain_unavailable"
