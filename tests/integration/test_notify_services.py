"""The action that tells people something."""

from typing import Any

from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ServiceValidationError
import probatio as vol
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.kitty.protocol import Json

from .conftest import ADA, BOB, EVE
from .fake_brain import FakeBrain
from .workshop import act, workshop_fixture  # noqa: F401 - fixtures are asked for by name

SENT: Json = {"id": "a1" * 16, "repeated": False}


@pytest.fixture
def platforms() -> tuple[Platform, ...]:
    """Load nothing: an action needs no entity."""
    return ()


@pytest.fixture(autouse=True)
def sent(workshop: MockConfigEntry, brain: FakeBrain) -> None:
    """Let the brain take it."""
    brain.answers["notifications.send"] = lambda _params, _caller: SENT


async def test_an_automation_tells_people_with_a_message_alone(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """News, each on its own."""
    assert await act(hass, "notify", None, message="Hello") == SENT
    assert brain.sent("notifications.send") == [{"message": "Hello", "severity": "info"}]


async def test_everything_about_an_incident_can_be_said(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """For one person, with answers, and how often it may come."""
    hass.states.async_set("person.bob", "home", {"user_id": BOB})
    given: Json = {
        "message": "Full",
        "title": "Disk",
        "severity": "critical",
        "key": "disk",
        "actions": [{"id": "yes", "title": "Tidy"}],
    }
    await act(hass, "notify", EVE, **given, cooldown={"minutes": 5}, person="person.bob")
    assert brain.sent("notifications.send") == [given | {"cooldown": 300.0, "user_id": BOB}]
    caller = brain.callers("notifications.send")[0]
    assert caller is not None
    assert caller["user_id"] == EVE


async def test_a_person_without_a_user_cannot_be_told(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """Nobody else is told instead."""
    hass.states.async_set("person.cat", "home")
    with pytest.raises(ServiceValidationError) as caught:
        await act(hass, "notify", ADA, message="Hello", person="person.cat")
    assert caught.value.translation_key == "person_without_user"
    assert brain.sent("notifications.send") == []


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"message": ""},
        {"message": "M", "severity": "loud"},
        {"message": "M", "person": "light.lamp"},
        {"message": "M", "cooldown": {"minutes": -1}},
        {"message": "M", "actions": [{"id": "a"}]},
        {"message": "M", "actions": [{"id": str(one), "title": "T"} for one in range(4)]},
    ],
)
async def test_what_makes_no_sense_is_refused(
    hass: HomeAssistant, brain: FakeBrain, wrong: dict[str, Any]
) -> None:
    """Before the brain hears of it."""
    with pytest.raises(vol.Invalid):
        await act(hass, "notify", ADA, **wrong)
    assert brain.sent("notifications.send") == []
