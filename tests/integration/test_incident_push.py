"""Alarms on phones: who is told, with which picture, how often, and what the buttons do and for whom."""

import asyncio
from collections.abc import AsyncIterator
import json
from typing import Any
from unittest.mock import patch

from homeassistant.components import persistent_notification as pn
from homeassistant.const import Platform
from homeassistant.core import Context, EventOrigin, HomeAssistant
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    MockUser,
    async_capture_events,
)
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.kitty import incident_push
from custom_components.kitty.protocol import Json

from .conftest import ADA, BOB, EVE, eventually, rules
from .fake_brain import FakeBrain, FakeError
from .press import PRESS, Phones
from .shop import INCIDENT, JOB, camera, incident, job
from .workshop import (  # noqa: F401 - fixtures are asked for by name
    CAMERA,
    PRINTER,
    push,
    settled,
    workshop_fixture,
)

TAG = f"kitty-incident-{INCIDENT}"
NOTE = f"kitty_incident_{INCIDENT}"
OTHER = "2c" * 16


@pytest.fixture
def platforms() -> tuple[Platform, ...]:
    """Load only what these tests are about."""
    return (Platform.BUTTON, Platform.CAMERA, Platform.IMAGE)


@pytest.fixture
def parts() -> dict[str, list[Json]]:
    """Return what there is: a camera before the printer."""
    return {"vision": [camera()]}


@pytest.fixture(autouse=True)
def watched(brain: FakeBrain, parts: dict[str, list[Json]]) -> None:
    """Let the camera watch a print before anybody looks."""
    brain.workshop = parts
    brain.jobs = {JOB: job()}


@pytest.fixture
async def phones(
    hass: HomeAssistant, workshop: MockConfigEntry, hass_client_no_auth: ClientSessionGenerator
) -> AsyncIterator[Phones]:
    """Return the phones of the house: Ada has one."""
    found = await Phones(hass).start(hass_client_no_auth)
    await found.add(ADA, "ada")
    yield found
    await found.stop()


def alarm(**changes: Any) -> Json:
    """Return an incident after which the print goes on."""
    return incident(action="notify", **changes)


def buttons(shown: Json) -> dict[str, str]:
    """Return the actions of the buttons by what stands on them."""
    return {one["title"]: one["action"] for one in shown["data"]["actions"]}


async def test_an_incident_comes_to_the_phones_of_those_who_are_trusted_there(
    hass: HomeAssistant, phones: Phones, brain: FakeBrain
) -> None:
    """Ada and Bob have roles in the workshop, Eve has none."""
    await phones.add(BOB, "bob")
    await phones.add(EVE, "eve")
    await push(hass, brain, "incident.updated", alarm())
    shown = await phones.shown("ada")
    assert shown["title"] == "Printer: The print may be failing"
    assert shown["message"].splitlines() == [
        "93 % sure. File: cat.gcode",
        "It goes on printing.",
        "strings everywhere",
    ]
    assert (await phones.shown("bob"))["data"]["tag"] == TAG
    assert phones.pushes["eve"] == []


async def test_only_people_with_the_roles_of_the_area_are_told(
    hass: HomeAssistant, phones: Phones, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """As with requests."""
    await phones.add(BOB, "bob")
    options = rules(required_roles=["safety"])
    hass.config_entries.async_update_entry(workshop, options=options)
    await push(hass, brain, "incident.updated", alarm())
    await phones.shown("bob")
    assert phones.pushes["ada"] == []


async def test_the_picture_is_one_of_home_assistants_own(
    hass: HomeAssistant, phones: Phones, brain: FakeBrain, entity_registry: er.EntityRegistry
) -> None:
    """The app fetches it as the person it belongs to; the brain's address is nowhere."""
    await push(hass, brain, "incident.updated", alarm())
    shown = await phones.shown("ada")
    frame = entity_registry.async_get_entity_id("image", "kitty", f"{PRINTER}-frame")
    assert shown["data"]["image"] == f"/api/image_proxy/{frame}"
    assert brain.url not in json.dumps(shown)


async def test_without_a_kept_picture_the_camera_itself_is_shown(
    hass: HomeAssistant, phones: Phones, brain: FakeBrain, entity_registry: er.EntityRegistry
) -> None:
    """As it sees now."""
    await push(hass, brain, "incident.updated", alarm(picture=None))
    eye = entity_registry.async_get_entity_id("camera", "kitty", f"{CAMERA}-camera")
    assert (await phones.shown("ada"))["data"]["image"] == f"/api/camera_proxy/{eye}"


async def test_an_alarm_of_a_camera_that_home_assistant_does_not_show(
    hass: HomeAssistant, phones: Phones, brain: FakeBrain
) -> None:
    """It comes without a picture."""
    await push(hass, brain, "incident.updated", alarm(picture=None, device_id="77" * 16))
    assert "image" not in (await phones.shown("ada"))["data"]


async def test_the_buttons_need_an_unlocked_phone(
    hass: HomeAssistant, phones: Phones, brain: FakeBrain
) -> None:
    """Whoever picks a phone up can read, and do nothing."""
    await push(hass, brain, "incident.updated", alarm())
    actions = (await phones.shown("ada"))["data"]["actions"]
    assert [one["title"] for one in actions] == ["Pause", "Cancel the print", "False alarm"]
    assert all(one["authenticationRequired"] for one in actions)


async def test_what_was_paused_already_has_no_button_to_pause(
    hass: HomeAssistant, phones: Phones, brain: FakeBrain
) -> None:
    """The message says that it was."""
    await push(hass, brain, "incident.updated", incident())
    shown = await phones.shown("ada")
    assert list(buttons(shown)) == ["Cancel the print", "False alarm"]
    assert "The print was paused." in shown["message"]


async def test_one_incident_is_one_notification(
    hass: HomeAssistant, phones: Phones, brain: FakeBrain
) -> None:
    """However often it is seen."""
    await push(hass, brain, "incident.updated", alarm())
    await phones.shown("ada")
    await push(hass, brain, "incident.updated", alarm(seen=30, confidence=0.99))
    assert len(phones.pushes["ada"]) == 1


@pytest.mark.parametrize("status", ["confirmed", "false_alarm", "over"])
async def test_an_incident_that_is_answered_or_over_leaves_the_phones(
    hass: HomeAssistant, phones: Phones, brain: FakeBrain, status: str
) -> None:
    """By whomever it was answered."""
    await push(hass, brain, "incident.updated", alarm())
    await phones.shown("ada")
    await push(hass, brain, "incident.updated", alarm(status=status))
    cleared = await phones.shown("ada", 2)
    assert (cleared["message"], cleared["data"]["tag"]) == ("clear_notification", TAG)


async def test_an_incident_that_ended_while_the_brain_was_away_leaves_the_phones(
    hass: HomeAssistant, phones: Phones, brain: FakeBrain
) -> None:
    """The next snapshot does not hold it."""
    await push(hass, brain, "incident.updated", alarm())
    await phones.shown("ada")
    brain.restarted()
    await brain.drop()
    assert (await phones.shown("ada", 2))["message"] == "clear_notification"


async def test_a_press_on_pause_pauses_in_the_name_of_who_pressed(
    hass: HomeAssistant, phones: Phones, brain: FakeBrain
) -> None:
    """And says so, with the buttons that are left."""
    await push(hass, brain, "incident.updated", alarm())
    await phones.press("ada", buttons(await phones.shown("ada"))["Pause"])
    asked = await brain.received_command("devices.request")
    assert (asked["device_id"], asked["intent"]) == (PRINTER, "print_pause")
    caller = brain.callers("devices.request")[0]
    assert caller is not None
    assert (caller["user_id"], caller["channel"]) == (ADA, "mobile")
    again = await phones.shown("ada", 2)
    assert again["message"].startswith("The printer was asked to pause.")
    assert again["data"]["alert_once"] is True
    assert list(buttons(again)) == ["Cancel the print", "False alarm"]


async def test_a_press_on_cancel_cancels(
    hass: HomeAssistant, phones: Phones, brain: FakeBrain
) -> None:
    """Also after a pause."""
    await push(hass, brain, "incident.updated", alarm())
    await phones.press("ada", buttons(await phones.shown("ada"))["Pause"])
    await phones.press("ada", buttons(await phones.shown("ada", 2))["Cancel the print"])
    assert (await brain.received_command("devices.request", 2))["intent"] == "print_cancel"


async def test_a_press_on_false_alarm_answers(
    hass: HomeAssistant, phones: Phones, brain: FakeBrain
) -> None:
    """The brain tells everybody."""

    async def take(params: Json, _caller: Json | None) -> Json:
        row = alarm(status=params["verdict"], answered_by=ADA)
        await brain.push("incident.updated", row)
        return row

    brain.answers["vision.answer"] = take
    await push(hass, brain, "incident.updated", alarm())
    await phones.press("ada", buttons(await phones.shown("ada"))["False alarm"])
    answer = {"incident_id": INCIDENT, "verdict": "false_alarm"}
    assert await brain.received_command("vision.answer") == answer
    assert (await phones.shown("ada", 2))["message"] == "clear_notification"


async def test_a_button_works_once(
    hass: HomeAssistant, phones: Phones, brain: FakeBrain, caplog: pytest.LogCaptureFixture
) -> None:
    """A second press of the same button does nothing."""
    await push(hass, brain, "incident.updated", alarm())
    action = buttons(await phones.shown("ada"))["Pause"]
    await phones.press("ada", action)
    await phones.shown("ada", 2)
    await phones.press("ada", action)
    await settled(hass, brain)
    assert len(brain.sent("devices.request")) == 1
    assert "is not of that person" in caplog.text


async def test_a_button_of_another_person_does_nothing(
    hass: HomeAssistant, phones: Phones, brain: FakeBrain
) -> None:
    """Whoever copies an action id has nothing."""
    await phones.add(BOB, "bob")
    await push(hass, brain, "incident.updated", alarm())
    await phones.press("bob", buttons(await phones.shown("ada"))["Pause"])
    await settled(hass, brain)
    assert brain.sent("devices.request") == []


async def test_an_event_that_no_phone_sent_does_nothing(
    hass: HomeAssistant, phones: Phones, brain: FakeBrain
) -> None:
    """An automation may fire the same event."""
    await push(hass, brain, "incident.updated", alarm())
    action = buttons(await phones.shown("ada"))["Pause"]
    context = Context(user_id=ADA)
    hass.bus.async_fire(PRESS, {"action": action}, EventOrigin.local, context)
    await settled(hass, brain)
    assert brain.sent("devices.request") == []


async def test_other_buttons_are_no_business_of_alarms(
    hass: HomeAssistant, phones: Phones, brain: FakeBrain, caplog: pytest.LogCaptureFixture
) -> None:
    """People have automations of their own."""
    await phones.press("ada", "OPEN_GARAGE")
    assert "A button of an incident" not in caplog.text


async def test_somebody_who_may_not_control_the_printer_is_told_so(
    hass: HomeAssistant, phones: Phones, brain: FakeBrain, people: dict[str, MockUser]
) -> None:
    """The buttons act with the rights of who presses."""
    people[ADA].mock_policy({})
    await push(hass, brain, "incident.updated", alarm())
    await phones.press("ada", buttons(await phones.shown("ada"))["Pause"])
    again = await phones.shown("ada", 2)
    assert again["message"].startswith("You may not control this printer")
    assert brain.sent("devices.request") == []


async def test_a_press_that_the_brain_refuses_can_be_repeated(
    hass: HomeAssistant, phones: Phones, brain: FakeBrain
) -> None:
    """The person gets the reason, and buttons that work."""
    real = brain.answers["devices.request"]

    def refuse(_params: Json, _caller: Json | None) -> Json:
        raise FakeError("not_capable", "Printer cannot do this")

    brain.answers["devices.request"] = refuse
    await push(hass, brain, "incident.updated", alarm())
    await phones.press("ada", buttons(await phones.shown("ada"))["Pause"])
    again = await phones.shown("ada", 2)
    assert list(buttons(again)) == ["Pause", "Cancel the print", "False alarm"]
    brain.answers["devices.request"] = real
    await phones.press("ada", buttons(again)["Pause"])
    assert (await phones.shown("ada", 3))["message"].startswith("The printer was asked")


async def test_a_press_that_ends_the_incident_shows_it_no_more(
    hass: HomeAssistant, phones: Phones, brain: FakeBrain
) -> None:
    """What comes back from a press never brings an old alarm back."""
    real = brain.answers["devices.request"]

    async def end(params: Json, caller: Json | None) -> Any:
        await brain.push("incident.updated", alarm(status="over"))
        return await real(params, caller)

    brain.answers["devices.request"] = end
    await push(hass, brain, "incident.updated", alarm())
    await phones.press("ada", buttons(await phones.shown("ada"))["Cancel the print"])
    await brain.received_command("devices.request")
    await settled(hass, brain)
    assert [one["message"] for one in phones.pushes["ada"]][1:] == ["clear_notification"]


async def test_after_a_false_alarm_the_same_print_rings_no_more(
    hass: HomeAssistant, phones: Phones, brain: FakeBrain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the camera sees next in it."""
    monkeypatch.setattr(incident_push, "COOLDOWN_S", 0.0)
    await push(hass, brain, "incident.updated", alarm())
    await phones.shown("ada")
    await push(hass, brain, "incident.updated", alarm(status="false_alarm"))
    await push(hass, brain, "incident.updated", alarm(id=OTHER))
    await settled(hass, brain)
    assert [one["data"]["tag"] for one in phones.pushes["ada"]] == [TAG, TAG]


async def test_a_camera_that_cries_again_waits(
    hass: HomeAssistant, phones: Phones, brain: FakeBrain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is still true when it may ring again is told then."""
    monkeypatch.setattr(incident_push, "COOLDOWN_S", 0.3)
    await push(hass, brain, "incident.updated", alarm())
    await phones.shown("ada")
    await push(hass, brain, "incident.updated", alarm(id=OTHER, job_id="9b" * 16))
    await push(hass, brain, "incident.updated", alarm(id=OTHER, job_id="9b" * 16, seen=5))
    assert len(phones.pushes["ada"]) == 1
    assert (await phones.shown("ada", 2))["data"]["tag"] == f"kitty-incident-{OTHER}"


async def test_what_is_over_before_the_camera_may_ring_again_is_never_told(
    hass: HomeAssistant, phones: Phones, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Ten minutes are long."""
    await push(hass, brain, "incident.updated", alarm())
    await phones.shown("ada")
    await push(hass, brain, "incident.updated", alarm(id=OTHER, job_id="9b" * 16))
    await push(hass, brain, "incident.updated", alarm(id=OTHER, status="over"))
    assert len(phones.pushes["ada"]) == 1


async def test_a_restart_while_phones_ring_leaves_nobody_out(
    hass: HomeAssistant, phones: Phones, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Bob's turn would have come after Ada's phone."""
    await phones.add(BOB, "bob")
    held = asyncio.Event()

    async def hold(*_args: object, **_more: object) -> None:
        held.set()
        await asyncio.Event().wait()

    brain.workshop["incidents"] = [alarm()]
    with patch.object(hass.data["mobile_app"]["notify"], "async_send_message", hold):
        await push(hass, brain, "incident.updated", alarm())
        await held.wait()
        assert await hass.config_entries.async_unload(workshop.entry_id)
    assert await hass.config_entries.async_setup(workshop.entry_id)
    assert (await phones.shown("ada"))["data"]["tag"] == TAG
    assert (await phones.shown("bob"))["data"]["tag"] == TAG


async def noted(hass_storage: dict[str, Any], brain: FakeBrain) -> None:
    """Wait until it is on the disk that everybody was rung: nobody is again after a restart."""
    key = f"kitty.{brain.instance_id}.incidents"
    await eventually(lambda: hass_storage[key]["data"]["left"] == {})


async def test_a_restart_rings_nobody_twice_and_its_buttons_still_work(
    hass: HomeAssistant,
    phones: Phones,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    hass_storage: dict[str, Any],
) -> None:
    """What is on the phone stays there."""
    brain.workshop["incidents"] = [alarm()]
    await push(hass, brain, "incident.updated", alarm())
    action = buttons(await phones.shown("ada"))["Pause"]
    await noted(hass_storage, brain)
    assert await hass.config_entries.async_reload(workshop.entry_id)
    await settled(hass, brain)
    assert len(phones.pushes["ada"]) == 1
    await phones.press("ada", action)
    assert (await brain.received_command("devices.request"))["intent"] == "print_pause"


async def test_a_restart_forgets_no_pause_between_alarms(
    hass: HomeAssistant,
    phones: Phones,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    hass_storage: dict[str, Any],
) -> None:
    """A timer that waits is let go of, and set again."""
    later = alarm(id=OTHER, job_id="9b" * 16)
    await push(hass, brain, "incident.updated", alarm())
    await phones.shown("ada")
    await noted(hass_storage, brain)
    await push(hass, brain, "incident.updated", later)
    brain.workshop["incidents"] = [alarm(), later]
    assert await hass.config_entries.async_reload(workshop.entry_id)
    await settled(hass, brain)
    assert len(phones.pushes["ada"]) == 1


async def test_a_stale_button_clears_its_phone(
    hass: HomeAssistant, phones: Phones, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The incident ended in the same moment."""
    await push(hass, brain, "incident.updated", alarm())
    action = buttons(await phones.shown("ada"))["Pause"]
    coordinator = workshop.runtime_data.coordinator
    coordinator._remove("incidents", INCIDENT)
    await phones.press("ada", action)
    assert (await phones.shown("ada", 2))["message"] == "clear_notification"
    assert brain.sent("devices.request") == []


async def test_without_a_phone_the_house_shows_it(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """As plain text, until it is answered."""
    shown = pn._async_get_or_create_notifications(hass)
    await push(hass, brain, "incident.updated", alarm(detail="![x](http://evil)"))
    await eventually(lambda: NOTE in shown)
    assert "\\!\\[x\\]" in shown[NOTE]["message"]
    await push(hass, brain, "incident.updated", alarm(status="over"))
    await eventually(lambda: NOTE not in shown)


async def test_no_token_is_kept_or_passes_through_an_action(
    hass: HomeAssistant, phones: Phones, brain: FakeBrain, hass_storage: Json
) -> None:
    """Neither a backup nor an event of Home Assistant holds a button that works."""
    calls = async_capture_events(hass, "call_service")
    await push(hass, brain, "incident.updated", alarm())
    action = buttons(await phones.shown("ada"))["Pause"]
    token = action.rpartition("_")[2]
    assert len(token) == 32
    assert token not in json.dumps(hass_storage[f"kitty.{brain.instance_id}.incidents"])
    assert not any(token in str(call.data) for call in calls)
