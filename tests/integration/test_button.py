"""Buttons: one finger, one request, and time to see which."""

from typing import Any

from homeassistant.const import Platform
from homeassistant.core import Context, HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, snapshot_platform
from syrupy.assertion import SnapshotAssertion

from custom_components.kitty.protocol import Json

from .conftest import ADA, BOB, DOOR, ZONE, rules
from .fake_brain import FakeBrain
from .workshop import (  # noqa: F401 - fixtures are asked for by name
    PRINTER,
    change,
    printing,
    push,
    settled,
    shown_for_a_second,
    snapshot_fixture,
    state,
    workshop_fixture,
)

APPROVE = "button.workshop_door_approve"
DENY = "button.workshop_door_deny"


@pytest.fixture
def platforms() -> tuple[Platform, ...]:
    """Load only what these tests are about."""
    return (Platform.BUTTON,)


async def press(hass: HomeAssistant, entity_id: str, user_id: str | None = ADA) -> None:
    """Press a button as a user."""
    await hass.services.async_call(
        "button", "press", {"entity_id": entity_id}, blocking=True, context=Context(user_id=user_id)
    )


async def requested(hass: HomeAssistant, brain: FakeBrain, **changes: Any) -> Json:
    """Let Bob ask for the door, and let it be seen."""
    event = brain.event(DOOR, "unlock", initiated_by=BOB, **changes)
    await push(hass, brain, "safety.event", event)
    await shown_for_a_second(hass)
    return event


async def test_the_buttons_are_as_they_were(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    entity_registry: er.EntityRegistry,
    snapshot: SnapshotAssertion,
) -> None:
    """Every entity of the platform has its state and its entry."""
    await snapshot_platform(hass, entity_registry, snapshot, workshop.entry_id)


@pytest.mark.parametrize("button", [APPROVE, DENY])
async def test_without_a_request_nothing_can_be_decided(
    hass: HomeAssistant, workshop: MockConfigEntry, button: str
) -> None:
    """A button that decides nothing is unavailable."""
    assert state(hass, button).state == "unavailable"


@pytest.mark.parametrize("button", [APPROVE, DENY])
async def test_a_request_that_is_not_what_it_shows_cannot_be_decided(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, button: str
) -> None:
    """What a person reads is what is signed, or nothing is."""
    await requested(hass, brain, subject="0" * 64)
    assert state(hass, button).state == "unavailable"


@pytest.mark.parametrize("button", [APPROVE, DENY])
async def test_a_request_that_has_just_appeared_cannot_be_decided(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, button: str
) -> None:
    """A finger on its way elsewhere decides nothing."""
    await push(hass, brain, "safety.event", brain.event(DOOR))
    assert state(hass, button).state == "unavailable"
    await press(hass, button)
    assert brain.sent("safety.decide") == []


@pytest.mark.parametrize(("button", "decision"), [(APPROVE, "approve"), (DENY, "deny")])
async def test_a_press_is_the_decision_of_who_presses(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, button: str, decision: str
) -> None:
    """The brain hears the user of the press, by the road of a dashboard."""
    event = await requested(hass, brain)
    await press(hass, button)
    sent, caller = brain.sent("safety.decide")[0], brain.callers("safety.decide")[0]
    assert caller is not None
    assert (sent["event_id"], sent["decision"], sent["ppe"]) == (event["id"], decision, False)
    assert (caller["user_id"], caller["channel"]) == (ADA, "dashboard")


async def test_after_the_decision_the_button_is_unavailable(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """What is decided cannot be decided again."""
    await requested(hass, brain)
    await press(hass, APPROVE)
    await settled(hass, brain)
    assert state(hass, APPROVE).state == "unavailable"


async def test_two_requests_cannot_be_decided_by_one_button(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Nobody could tell which one was meant."""
    await requested(hass, brain)
    await requested(hass, brain)
    assert state(hass, APPROVE).state == "unavailable"


async def test_another_request_must_be_seen_anew(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """When one ends and the next begins, the time to look begins again."""
    first = await requested(hass, brain)
    await push(hass, brain, "safety.event", brain.event(DOOR))
    await push(hass, brain, "safety.event", first | {"status": "expired"})
    assert state(hass, APPROVE).state == "unavailable"
    await shown_for_a_second(hass)
    assert state(hass, APPROVE).state == "unknown"


async def test_nobody_approves_by_an_automation(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """A press without a user decides nothing, and says why."""
    await requested(hass, brain)
    with pytest.raises(HomeAssistantError) as caught:
        await press(hass, APPROVE, user_id=None)
    assert caught.value.translation_key == "user_required"
    assert brain.sent("safety.decide") == []


async def test_a_request_that_needs_protective_equipment_is_not_approved_without_saying_so(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The plain button does not vouch for equipment; denying is always possible."""
    await requested(hass, brain, requires_ppe=True)
    assert state(hass, APPROVE).state == "unavailable"
    assert state(hass, DENY).state == "unknown"


class TestWhereEquipmentIsNeeded:
    """An area that asks for protective equipment."""

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        """Return rules that ask for it."""
        house = rules()
        house["zones"][ZONE]["requires_ppe"] = True
        return house

    async def test_the_button_says_that_it_is_worn(
        self, hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
    ) -> None:
        """Pressing is the statement."""
        await requested(hass, brain, requires_ppe=True)
        entity_id = "button.workshop_door_approve_ppe_worn"
        assert state(hass, entity_id).name == "Door Approve (PPE worn)"
        await press(hass, entity_id)
        assert brain.sent("safety.decide")[0]["ppe"] is True


async def test_devices_that_need_nobody_have_no_decisions(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    """A light or a thermometer asks nobody."""
    names = {
        entity_id for entity_id in hass.states.async_entity_ids("button") if "_air_" in entity_id
    }
    names |= {
        entity_id for entity_id in hass.states.async_entity_ids("button") if "_bench" in entity_id
    }
    assert names == set()


@pytest.mark.parametrize(
    ("status", "there"),
    [
        ("printing", {"pause_print", "cancel_print"}),
        ("preparing", {"pause_print", "cancel_print"}),
        ("paused", {"resume_print", "cancel_print"}),
        ("error", {"cancel_print"}),
        ("idle", set()),
        ("completed", set()),
    ],
)
async def test_a_printer_offers_what_fits_its_state(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    status: str,
    there: set[str],
) -> None:
    """A button that would do nothing is unavailable."""
    await change(hass, brain, PRINTER, state=printing(status=status))
    offered = {
        name
        for name in ("pause_print", "resume_print", "cancel_print")
        if state(hass, f"button.workshop_printer_{name}").state != "unavailable"
    }
    assert offered == there


@pytest.mark.parametrize(
    ("button", "status", "intent"),
    [
        ("pause_print", "printing", "print_pause"),
        ("resume_print", "paused", "print_resume"),
        ("cancel_print", "printing", "print_cancel"),
    ],
)
async def test_a_printer_is_asked(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    button: str,
    status: str,
    intent: str,
) -> None:
    """Each button is one request."""
    await change(hass, brain, PRINTER, state=printing(status=status))
    await press(hass, f"button.workshop_printer_{button}")
    assert brain.sent("devices.request") == [{"device_id": PRINTER, "intent": intent, "params": {}}]
