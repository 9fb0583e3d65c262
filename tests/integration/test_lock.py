"""Doors as locks: what waits, what falls back, what works without the brain."""

from homeassistant.components.lock import LockEntityFeature
from homeassistant.const import Platform
from homeassistant.core import Context, HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, snapshot_platform
from syrupy.assertion import SnapshotAssertion

from custom_components.kitty.protocol import Json

from .conftest import ADA, BOB, DOOR
from .fake_brain import FakeBrain
from .workshop import (  # noqa: F401 - fixtures are asked for by name
    NOW,
    RealLock,
    change,
    gone,
    push,
    real_lock_fixture,
    settled,
    snapshot_fixture,
    state,
    workshop_fixture,
)

ENTITY = "lock.workshop_door"


@pytest.fixture
def platforms() -> tuple[Platform, ...]:
    """Load only what these tests are about."""
    return (Platform.LOCK,)


async def call(hass: HomeAssistant, service: str, user_id: str | None = ADA) -> None:
    """Call a service of the lock as a user."""
    await hass.services.async_call(
        "lock", service, {"entity_id": ENTITY}, blocking=True, context=Context(user_id=user_id)
    )


async def pending_unlock(hass: HomeAssistant, brain: FakeBrain) -> tuple[Json, Json]:
    """Let an unlock wait for people; return its event and its command."""
    event = brain.event(DOOR, "unlock", initiated_by=ADA)
    command = brain.command(DOOR, "unlock", event_id=event["id"], requested_by=ADA)
    await push(hass, brain, "safety.event", event)
    await push(hass, brain, "command.updated", command)
    return event, command


async def test_the_locks_are_as_they_were(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    entity_registry: er.EntityRegistry,
    snapshot: SnapshotAssertion,
) -> None:
    """Every entity of the platform has its state and its entry."""
    await snapshot_platform(hass, entity_registry, snapshot, workshop.entry_id)


@pytest.mark.parametrize(
    ("seen", "shown"),
    [
        ({"locked": False, "open": False, "jammed": False}, "unlocked"),
        ({"locked": False, "open": True, "jammed": False}, "open"),
        ({"locked": None, "open": None, "jammed": True}, "jammed"),
        ({"locked": None, "open": None, "jammed": False}, "unknown"),
    ],
)
async def test_a_lock_shows_what_was_observed(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, seen: Json, shown: str
) -> None:
    """The state is the device's, not what somebody asked for."""
    await change(hass, brain, DOOR, state=seen)
    assert state(hass, ENTITY).state == shown


async def test_an_unlock_is_asked_for_by_the_user_who_pressed(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The brain hears whose finger it was."""
    await call(hass, "unlock")
    assert brain.sent("devices.request") == [{"device_id": DOOR, "intent": "unlock", "params": {}}]
    caller = brain.callers("devices.request")[0]
    assert caller is not None
    assert (caller["user_id"], caller["channel"]) == (ADA, "dashboard")


async def test_an_unlock_that_waits_for_people_shows_unlocking(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The service returns at once; the state says that something is under way."""
    await call(hass, "unlock")
    await settled(hass, brain)
    assert state(hass, ENTITY).state == "unlocking"


@pytest.mark.parametrize("end", ["denied", "expired", "failed"])
async def test_an_unlock_that_comes_to_nothing_falls_back_to_locked(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, end: str
) -> None:
    """Nothing but the observed bolt is left."""
    _, command = await pending_unlock(hass, brain)
    assert state(hass, ENTITY).state == "unlocking"
    await push(hass, brain, "command.updated", command | {"status": end})
    assert state(hass, ENTITY).state == "locked"


@pytest.mark.parametrize(("intent", "shown"), [("lock", "locking"), ("open", "opening")])
async def test_a_command_on_its_way_shows(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, intent: str, shown: str
) -> None:
    """Locking and opening show while they last."""
    command = brain.command(DOOR, intent, status="sent")
    await push(hass, brain, "command.updated", command)
    assert state(hass, ENTITY).state == shown


async def test_the_lock_says_who_approved_the_last_change(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The approvers count, not who asked."""
    event, command = await pending_unlock(hass, brain)
    await push(
        hass, brain, "safety.event", event | {"status": "approved", "approved_by": [ADA, BOB]}
    )
    await push(hass, brain, "command.updated", command | {"status": "acked", "ack_at": NOW})
    assert state(hass, ENTITY).attributes["changed_by"] == "Ada, Bob"


async def test_the_lock_says_who_locked_it_where_nobody_had_to_approve(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The person entity gives the name where there is one."""
    hass.states.async_set("person.ada", "home", {"user_id": ADA, "friendly_name": "Ada L."})
    command = brain.command(DOOR, "lock", status="acked", ack_at=NOW, requested_by=ADA)
    await push(hass, brain, "command.updated", command)
    assert state(hass, ENTITY).attributes["changed_by"] == "Ada L."


async def test_nobody_is_named_for_what_an_automation_did(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """A command of nobody has no name."""
    command = brain.command(DOOR, "lock", status="acked", ack_at=NOW)
    await push(hass, brain, "command.updated", command)
    assert "changed_by" not in state(hass, ENTITY).attributes


async def test_a_door_that_cannot_open_has_no_open(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The feature follows the capability."""
    assert state(hass, ENTITY).attributes["supported_features"] == LockEntityFeature.OPEN
    await change(hass, brain, DOOR, capabilities=["lock", "unlock"])
    assert state(hass, ENTITY).attributes["supported_features"] == 0


async def test_opening_is_asked_for(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Open is an intent of its own."""
    await call(hass, "open")
    assert brain.sent("devices.request")[0]["intent"] == "open"


@pytest.mark.parametrize(
    ("status", "code"),
    [("denied", "command_denied"), ("failed", "command_failed"), ("unknown", "command_unknown")],
)
async def test_a_request_that_is_over_at_once_is_an_error(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, status: str, code: str
) -> None:
    """Whoever pressed hears that it did not work."""
    command = brain.command(DOOR, "unlock", status=status, detail="no_policy")
    brain.answers["devices.request"] = lambda _params, _caller: {"command": command, "event": None}
    with pytest.raises(HomeAssistantError) as caught:
        await call(hass, "unlock")
    assert caught.value.translation_key == code
    assert "Door" in str(caught.value)


async def test_without_the_brain_the_door_still_locks(
    hass: HomeAssistant, real_lock: RealLock, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The safe direction needs nobody."""
    real_lock.show(locked=False)
    await gone(hass, brain, workshop)
    assert state(hass, ENTITY).state == "unlocked"
    await call(hass, "lock")
    await hass.async_block_till_done()
    assert (real_lock.calls, state(hass, ENTITY).state) == (1, "locked")


async def test_without_the_brain_the_door_does_not_unlock(
    hass: HomeAssistant, real_lock: RealLock, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The dangerous direction says why it cannot be."""
    await gone(hass, brain, workshop)
    with pytest.raises(HomeAssistantError) as caught:
        await call(hass, "unlock")
    assert caught.value.translation_key == "brain_unavailable"


async def test_without_the_brain_nothing_is_under_way(
    hass: HomeAssistant, real_lock: RealLock, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """An unlock that waited shows as locked once nobody can carry it out."""
    await pending_unlock(hass, brain)
    await gone(hass, brain, workshop)
    assert state(hass, ENTITY).state == "locked"


async def test_with_the_brain_only_the_brain_is_believed(
    hass: HomeAssistant, real_lock: RealLock, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The lock behind the door changes nothing before the brain says so."""
    real_lock.show(locked=False)
    await hass.async_block_till_done()
    assert state(hass, ENTITY).state == "locked"


async def test_without_brain_and_lock_the_door_is_unavailable(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Where nothing is behind the door, nothing can be done."""
    await gone(hass, brain, workshop)
    assert state(hass, ENTITY).state == "unavailable"
