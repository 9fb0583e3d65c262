"""Work lights: asked for like everything, shown as observed."""

from homeassistant.const import Platform
from homeassistant.core import Context, HomeAssistant
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, snapshot_platform
from syrupy.assertion import SnapshotAssertion

from .conftest import ADA
from .fake_brain import FakeBrain
from .workshop import LIGHT, change, gone, snapshot_fixture, state, workshop_fixture  # noqa: F401 - fixtures are asked for by name

ENTITY = "light.workshop_bench"


@pytest.fixture
def platforms() -> tuple[Platform, ...]:
    """Load only what these tests are about."""
    return (Platform.LIGHT,)


async def test_the_lights_are_as_they_were(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    entity_registry: er.EntityRegistry,
    snapshot: SnapshotAssertion,
) -> None:
    """Every entity of the platform has its state and its entry."""
    await snapshot_platform(hass, entity_registry, snapshot, workshop.entry_id)


@pytest.mark.parametrize(
    ("service", "intent"), [("turn_on", "light_on"), ("turn_off", "light_off")]
)
async def test_a_light_asks_the_brain(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, service: str, intent: str
) -> None:
    """Both directions are requests, and the state waits for what is observed."""
    await hass.services.async_call(
        "light", service, {"entity_id": ENTITY}, blocking=True, context=Context(user_id=ADA)
    )
    assert brain.sent("devices.request") == [{"device_id": LIGHT, "intent": intent, "params": {}}]
    assert state(hass, ENTITY).state == "on"


async def test_a_light_shows_what_was_observed(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The brain's word is the state."""
    await change(hass, brain, LIGHT, state={"on": False})
    assert state(hass, ENTITY).state == "off"


@pytest.mark.parametrize("silent", ["offline"])
async def test_a_silent_light_is_unavailable(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, silent: str
) -> None:
    """A device that does not answer has no state."""
    await change(hass, brain, LIGHT, online=silent)
    assert state(hass, ENTITY).state == "unavailable"


async def test_without_the_brain_a_light_is_unavailable_and_comes_back_with_it(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """A light has no safe direction, so it waits for the brain."""
    await gone(hass, brain, workshop)
    assert state(hass, ENTITY).state == "unavailable"
    await brain.start()
    await brain.until(lambda: len(brain.subscriptions) == 2)
    await hass.async_block_till_done(wait_background_tasks=False)
    await brain.received_command("integration.register", 2)
    assert state(hass, ENTITY).state == "on"
