"""Decisions on a phone: who is asked, whose press counts, and what happens to old buttons."""

import asyncio
from http import HTTPStatus
import json
import logging
import time
from unittest.mock import patch

from homeassistant.components import persistent_notification as pn
from homeassistant.core import EventOrigin, HomeAssistant
from homeassistant.helpers import issue_registry as ir
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    MockUser,
    async_capture_events,
    async_fire_time_changed,
)

from custom_components.kitty import phones as phones_module
from custom_components.kitty.const import DOMAIN
from custom_components.kitty.errors import Refused
from custom_components.kitty.protocol import Json

from .conftest import (
    ADA,
    BOB,
    DOOR,
    EVE,
    ZONE,
    Door,
    decide,
    eventually,
    heard,
    kitty_entry,
    of,
    rules,
    set_up,
    until,
)
from .fake_brain import FakeBrain, FakeError
from .press import PRESS, Phones, approve, asked, deny, full_disk


async def test_those_who_may_decide_are_asked_on_their_phones(
    phones: Phones, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """Only the phones of eligible people ring, and say who wants what."""
    ada, bob = await phones.add(ADA, "ada"), await phones.add(BOB, "bob")
    await asked(brain, kitty, BOB)
    push = await phones.shown(bob)
    assert push["title"] == "Unlock: Workshop door"
    assert push["message"].startswith("Ada asks. Danger: medium. 0 of 1 people agree. Until ")
    assert phones.pushes[ada] == []


async def test_a_notification_is_as_safe_as_a_phone_allows(
    phones: Phones, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """The phone must be unlocked, the text stays off the lock screen, and it goes away by itself."""
    bob = await phones.add(BOB, "bob")
    event = await asked(brain, kitty, BOB)
    push = await phones.shown(bob)
    data = push["data"]
    assert data["tag"] == f"kitty-approval-{event['id']}"
    assert [action["authenticationRequired"] for action in data["actions"]] == [True, True]
    assert (data["visibility"], data["ttl"], data["priority"]) == ("private", 0, "high")
    assert 55 <= data["timeout"] <= 60
    assert not any(name in push["message"] for name in (event["nonce"], event["subject"]))


async def test_no_token_passes_through_an_action_or_a_state(
    hass: HomeAssistant, phones: Phones, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """What others can read of Home Assistant's events does not hold a button."""
    calls = async_capture_events(hass, "call_service")
    bob = await phones.add(BOB, "bob")
    await asked(brain, kitty, BOB)
    token = approve(await phones.shown(bob)).rpartition("_")[2]
    assert len(token) == 32
    assert not any(token in str(call.data) for call in calls)
    assert token not in json.dumps(
        [state.as_dict() for state in hass.states.async_all()], default=str
    )


async def test_only_the_hash_of_a_token_is_kept(
    phones: Phones, kitty: MockConfigEntry, brain: FakeBrain, hass_storage: Json
) -> None:
    """A stolen backup holds no button that works."""
    bob = await phones.add(BOB, "bob")
    await asked(brain, kitty, BOB)
    token = approve(await phones.shown(bob)).rpartition("_")[2]
    assert token not in json.dumps(hass_storage[f"kitty.{brain.instance_id}"])


async def test_a_press_on_the_phone_decides(
    phones: Phones, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """The person of the phone approves, by the mobile road."""
    bob = await phones.add(BOB, "bob")
    event = await asked(brain, kitty, BOB)
    await phones.press(bob, approve(await phones.shown(bob)))
    await brain.until(lambda: brain.events[event["id"]]["status"] == "approved")
    caller = brain.callers("safety.decide")[0]
    assert caller is not None
    assert (caller["user_id"], caller["channel"]) == (BOB, "mobile")


async def test_a_press_on_deny_denies(
    phones: Phones, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """One denial ends it."""
    bob = await phones.add(BOB, "bob")
    event = await asked(brain, kitty, BOB)
    await phones.press(bob, deny(await phones.shown(bob)))
    await brain.until(lambda: brain.events[event["id"]]["status"] == "denied")


async def test_a_decision_clears_every_phone(
    phones: Phones, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """After the decision the request is gone from all phones of all people."""
    names = [await phones.add(*one) for one in ((BOB, "bob"), (BOB, "tablet"), (ADA, "ada"))]
    event = await asked(brain, kitty, ADA, BOB)
    push = await phones.shown("bob")
    await phones.shown("ada")
    await phones.press("bob", approve(push))
    for name in names:
        cleared = await phones.shown(name, 2)
        assert cleared["message"] == "clear_notification"
        assert cleared["data"] == {"tag": f"kitty-approval-{event['id']}"}


async def test_the_first_of_two_approvals_is_shown_to_the_second_person(
    phones: Phones, kitty: MockConfigEntry, brain: FakeBrain, high: None
) -> None:
    """The text is replaced under the same tag, its buttons stay the same; the first phone is clear."""
    await phones.add(ADA, "ada")
    await phones.add(BOB, "bob")
    brain.eligible = [ADA, BOB]
    await kitty.runtime_data.approvals.request(DOOR, "unlock", {}, of(None))
    first, other = await phones.shown("bob"), await phones.shown("ada")
    await phones.press("bob", approve(first))
    second = await phones.shown("ada", 2)
    assert "1 of 2 people agree" in second["message"]
    assert approve(second) == approve(other)
    assert (await phones.shown("bob", 2))["message"] == "clear_notification"


async def test_a_second_press_on_the_phone_is_one_decision(
    phones: Phones, kitty: MockConfigEntry, brain: FakeBrain, high: None
) -> None:
    """A nervous finger approves once and is no attack."""
    bob = await phones.add(BOB, "bob")
    await asked(brain, kitty, BOB, EVE)
    action = approve(await phones.shown(bob))
    await asyncio.gather(*(phones.press(bob, action) for _ in range(3)))
    await phones.press(bob, action)
    assert len(brain.sent("safety.decide")) == 1
    assert brain.sent("safety.attempt") == []


async def test_another_persons_phone_with_the_same_button(
    phones: Phones, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """A token works only from the phone of the person it was made for."""
    bob, eve = await phones.add(BOB, "bob"), await phones.add(EVE, "eve")
    event = await asked(brain, kitty, BOB)
    await phones.press(eve, approve(await phones.shown(bob)))
    attempt = await brain.received_command("safety.attempt")
    assert attempt == {"user_id": EVE, "reason": "foreign_token", "event_id": event["id"]}
    assert brain.sent("safety.decide") == []


async def test_a_person_named_in_the_data_is_not_believed(
    phones: Phones, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """A phone can send any data; whose it is, Home Assistant knows."""
    bob, eve = await phones.add(BOB, "bob"), await phones.add(EVE, "eve")
    await asked(brain, kitty, BOB)
    action = approve(await phones.shown(bob))
    await phones.fire(eve, {"action": action, "user_id": BOB, "context": {"user_id": BOB}})
    await brain.received_command("safety.attempt")
    assert brain.sent("safety.decide") == []


async def test_a_made_up_button(phones: Phones, kitty: MockConfigEntry, brain: FakeBrain) -> None:
    """Guessing is counted against whoever guesses."""
    eve = await phones.add(EVE, "eve")
    await phones.press(eve, f"KITTY_APPROVE_{'0' * 32}")
    attempt = await brain.received_command("safety.attempt")
    assert attempt == {"user_id": EVE, "reason": "wrong_token", "event_id": None}


async def test_a_button_of_somebody_else_is_left_alone(
    phones: Phones, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """Other integrations have buttons, too."""
    await phones.press(await phones.add(EVE, "eve"), "OPEN_GARAGE")
    assert brain.sent("safety.attempt") == []


async def test_an_event_that_no_phone_sent(
    hass: HomeAssistant, phones: Phones, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """An automation that fires the event of a phone is found out by its origin."""
    bob = await phones.add(BOB, "bob")
    event = await asked(brain, kitty, BOB)
    data = {"action": approve(await phones.shown(bob))}
    hass.bus.async_fire(PRESS, data, context=of(BOB))
    attempt = await brain.received_command("safety.attempt")
    assert (attempt["reason"], attempt["event_id"]) == ("wrong_token", event["id"])
    hass.bus.async_fire(PRESS, data, origin=EventOrigin.remote)
    note = await brain.received_command("audit.note")
    assert note["data"].pop("at") > 0
    assert note["data"] == {"reason": "foreign_token", "event_id": event["id"]}
    assert brain.sent("safety.decide") == []


async def test_a_phone_whose_owner_was_switched_off(
    phones: Phones, kitty: MockConfigEntry, brain: FakeBrain, people: dict[str, MockUser]
) -> None:
    """A deactivated user's phone decides nothing."""
    bob = await phones.add(BOB, "bob")
    await asked(brain, kitty, BOB)
    action = approve(await phones.shown(bob))
    people[BOB].is_active = False
    await phones.press(bob, action)
    assert (await brain.received_command("safety.attempt"))["reason"] == "foreign_token"


async def test_a_restart_while_people_decide(
    hass: HomeAssistant, phones: Phones, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """A notification from before the restart still works, and is not sent again."""
    bob = await phones.add(BOB, "bob")
    event = await asked(brain, kitty, BOB)
    action = approve(await phones.shown(bob))
    await eventually(lambda: kitty.runtime_data.ledger.shows(event, BOB))
    assert await hass.config_entries.async_reload(kitty.entry_id)
    await heard(kitty)
    assert len(phones.pushes[bob]) == 1
    await phones.press(bob, action)
    await brain.until(lambda: brain.events[event["id"]]["status"] == "approved")
    assert (await phones.shown(bob, 2))["message"] == "clear_notification"


async def test_a_restart_before_a_phone_was_reached(
    hass: HomeAssistant, phones: Phones, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """Its buttons are on the disk already, and on no phone: it is asked anew."""
    bob = await phones.add(BOB, "bob")
    held = asyncio.Event()

    async def hold(*_args: object, **_more: object) -> None:
        held.set()
        await asyncio.Event().wait()

    with patch.object(hass.data["mobile_app"]["notify"], "async_send_message", hold):
        event = await asked(brain, kitty, BOB)
        await held.wait()
        assert await hass.config_entries.async_unload(kitty.entry_id)
    await set_up(hass, kitty)
    await phones.press(bob, approve(await phones.shown(bob)))
    await brain.until(lambda: brain.events[event["id"]]["status"] == "approved")


async def test_a_request_that_was_decided_while_the_brain_was_asked_is_not_shown_again(
    phones: Phones, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """The news of the decision comes before the brain says that it cannot hear this one."""
    bob = await phones.add(BOB, "bob")
    event = await asked(brain, kitty, BOB)
    push = await phones.shown(bob)

    async def late(_params: Json, _caller: Json | None) -> Json:
        await brain.push("safety.event", event | {"status": "denied", "denied_by": ADA})
        await phones.shown(bob, 2)
        raise FakeError("database_busy")

    brain.answers["safety.decide"] = late
    await phones.press(bob, approve(push))
    assert [one["message"] for one in phones.pushes[bob][1:]] == ["clear_notification"]


async def test_a_button_from_before_a_restart_whose_time_is_over(
    hass: HomeAssistant, phones: Phones, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """A stale button does nothing; the brain hears of it, and the phone is cleared."""
    bob = await phones.add(BOB, "bob")
    event = await asked(brain, kitty, BOB)
    action = approve(await phones.shown(bob))
    assert await hass.config_entries.async_unload(kitty.entry_id)
    brain.events[event["id"]] = event | {"status": "expired", "eligible": []}
    brain.restarted()
    await set_up(hass, kitty)
    assert (await phones.shown(bob, 2))["message"] == "clear_notification"
    await phones.press(bob, action)
    attempt = await brain.received_command("safety.attempt")
    assert attempt == {"user_id": BOB, "reason": "expired_token", "event_id": event["id"]}
    assert brain.sent("safety.decide") == []


async def test_a_stale_button_while_the_brain_is_away(
    hass: HomeAssistant, phones: Phones, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """What could not be reported is reported when the brain is back."""
    bob = await phones.add(BOB, "bob")
    event = await asked(brain, kitty, BOB)
    action = approve(await phones.shown(bob))
    await brain.push("safety.event", event | {"status": "expired", "eligible": []})
    await phones.shown(bob, 2)
    await brain.stop()
    await until(kitty, lambda data: not data.connected)
    await phones.press(bob, action)
    assert brain.sent("safety.attempt") == []
    await brain.start()
    assert (await brain.received_command("safety.attempt"))["reason"] == "expired_token"


async def test_a_request_whose_event_the_brain_has_forgotten(
    hass: HomeAssistant, phones: Phones, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """An event that is not in the snapshot any more is taken off the phones."""
    bob = await phones.add(BOB, "bob")
    await asked(brain, kitty, BOB)
    await phones.shown(bob)
    brain.events.clear()
    brain.restarted()
    await brain.drop()
    assert (await phones.shown(bob, 2))["message"] == "clear_notification"


async def test_a_request_ends_by_itself(
    hass: HomeAssistant, phones: Phones, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """When the time is over, the phones are cleared even if the brain says nothing."""
    bob = await phones.add(BOB, "bob")
    event = await asked(brain, kitty, BOB)
    await phones.shown(bob)
    with patch("custom_components.kitty.ledger.time", lambda: time.time() + 61):
        async_fire_time_changed(hass, dt_util.utc_from_timestamp(event["expires_at"] + 1))
        assert (await phones.shown(bob, 2))["message"] == "clear_notification"
    with pytest.raises(Refused) as caught:
        await decide(kitty, event, "approve", BOB)
    assert caught.value.code == "expired"


async def test_a_press_that_the_brain_refuses_is_answered_on_the_phone(
    phones: Phones, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """The person learns that the press did not count, and has no button any more."""

    def refuse(_params: Json, _caller: Json | None) -> Json:
        raise FakeError("presence_required", "Nobody is known to be there")

    brain.answers["safety.decide"] = refuse
    bob = await phones.add(BOB, "bob")
    await asked(brain, kitty, BOB)
    await phones.press(bob, approve(await phones.shown(bob)))
    answer = await phones.shown(bob, 2)
    assert answer["message"] == "Nobody is known to be there"
    assert "actions" not in answer["data"]


async def test_a_press_that_does_not_reach_the_brain_can_be_repeated(
    phones: Phones, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """The person gets the question again, with buttons that work."""
    real = brain.answers["safety.decide"]

    async def vanish(_params: Json, _caller: Json | None) -> Json:
        await brain.drop()
        return {}

    brain.answers["safety.decide"] = vanish
    bob = await phones.add(BOB, "bob")
    event = await asked(brain, kitty, BOB)
    await phones.press(bob, approve(await phones.shown(bob)))
    again = await phones.shown(bob, 2)
    assert again["message"].startswith("The brain is not connected")
    brain.answers["safety.decide"] = real
    await until(kitty, lambda data: data.connected)
    await phones.press(bob, approve(again))
    await brain.until(lambda: brain.events[event["id"]]["status"] == "approved")


async def test_protection_is_confirmed_on_the_button_itself(
    phones: Phones, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """Where equipment is required, the button says that it is worn."""
    bob = await phones.add(BOB, "bob")
    event = brain.event(DOOR, eligible=[BOB], requires_ppe=True)
    await brain.push("safety.event", event)
    push = await phones.shown(bob)
    assert push["data"]["actions"][0]["title"] == "Approve, protection worn"
    await phones.press(bob, approve(push))
    assert (await brain.received_command("safety.decide"))["ppe"] is True


async def test_only_the_chosen_phones_ring(
    hass: HomeAssistant, phones: Phones, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """A person with several phones may name the one for approvals; another's phone never rings."""
    for user_id, name in ((BOB, "bob"), (BOB, "tablet"), (EVE, "eve")):
        await phones.add(user_id, name)
    options = rules()
    options["people"][BOB]["notify"] = ["mobile_app_tablet", "notify.mobile_app_eve"]
    hass.config_entries.async_update_entry(kitty, options=options)
    await asked(brain, kitty, BOB)
    await phones.shown("tablet")
    assert (phones.pushes["bob"], phones.pushes["eve"]) == ([], [])


async def test_the_parameters_are_shown(
    phones: Phones, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """People approve a file and a temperature, not just a word."""
    bob = await phones.add(BOB, "bob")
    event = brain.event(DOOR, "heat", params={"nozzle": 210.0}, eligible=[BOB])
    await brain.push("safety.event", event)
    assert (await phones.shown(bob))["message"].endswith("\nNozzle: 210 °C")


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (
            {"file": "part.gcode", "ventilation": True},
            "File: part.gcode, Somebody says that the air moves",
        ),
        (
            {"file": "part.gcode", "ventilation": False},
            "File: part.gcode, Nobody says that the air moves",
        ),
        ({"file": "box.3mf", "plate": 2}, "File: box.3mf, Plate 2"),
        ({"file": "{nozzle} {0}", "speed": 1.5}, "File: {nozzle} {0}, speed: 1.5"),
    ],
)
async def test_a_start_is_shown_in_words(
    phones: Phones, kitty: MockConfigEntry, brain: FakeBrain, params: Json, words: str
) -> None:
    """What has no words is shown all the same, and no name is taken for a place to fill in."""
    bob = await phones.add(BOB, "bob")
    event = brain.event(DOOR, "print_start", params=params, eligible=[BOB])
    await brain.push("safety.event", event)
    assert (await phones.shown(bob))["message"].endswith(f"\n{words}")


async def test_a_person_without_a_phone_is_asked_on_the_dashboard(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """There is always a place where the request shows; it goes when it is decided."""
    event = await asked(brain, kitty, BOB)
    shown = pn._async_get_or_create_notifications(hass)
    await eventually(lambda: f"kitty_{event['id']}" in shown)
    notification = shown[f"kitty_{event['id']}"]
    assert notification["title"] == "Unlock: Workshop door"
    assert "KITTY_" not in notification["message"]
    await decide(kitty, event, "approve", BOB)
    await eventually(lambda: f"kitty_{event['id']}" not in shown)


async def test_names_from_far_away_are_no_markup(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """A picture or a link in a file name is shown as text."""
    event = brain.event(DOOR, params={"file": "![x](http://evil)"}, eligible=[BOB])
    await brain.push("safety.event", event)
    shown = pn._async_get_or_create_notifications(hass)
    await eventually(lambda: f"kitty_{event['id']}" in shown)
    assert "\\!\\[x\\]\\(http://evil\\)" in shown[f"kitty_{event['id']}"]["message"]


async def test_a_phone_that_cannot_be_reached(
    hass: HomeAssistant,
    phones: Phones,
    kitty: MockConfigEntry,
    brain: FakeBrain,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When no phone of a person takes the request, the dashboard shows it."""
    monkeypatch.setattr(phones_module, "PUSH_TIMEOUT", 0.05)
    await phones.add(BOB, "bob")
    phones.reachable.clear()
    event = await asked(brain, kitty, BOB)
    shown = pn._async_get_or_create_notifications(hass)
    await eventually(lambda: f"kitty_{event['id']}" in shown)
    phones.reachable.set()


@pytest.mark.parametrize(
    "status", [HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.NOT_FOUND]
)
async def test_a_push_that_the_service_does_not_take(
    hass: HomeAssistant,
    phones: Phones,
    kitty: MockConfigEntry,
    brain: FakeBrain,
    status: HTTPStatus,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The mobile app only logs it; the dashboard shows the request all the same."""
    await phones.add(BOB, "bob")
    phones.status = status
    event = await asked(brain, kitty, BOB)
    shown = pn._async_get_or_create_notifications(hass)
    await eventually(lambda: f"kitty_{event['id']}" in shown)
    assert "A phone could not be reached" in caplog.text


async def test_a_phone_that_takes_no_pushes(
    hass: HomeAssistant, phones: Phones, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """A person who forbade them is asked on the dashboard."""
    await phones.add(BOB, "bob", pushes=False)
    event = await asked(brain, kitty, BOB)
    shown = pn._async_get_or_create_notifications(hass)
    await eventually(lambda: f"kitty_{event['id']}" in shown)


async def test_a_push_that_breaks_asks_the_others_all_the_same(
    hass: HomeAssistant, phones: Phones, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """One phone whose registration is damaged does not keep the request from anybody."""
    await phones.add(ADA, "ada")
    await phones.add(BOB, "bob")
    (damaged,) = (
        one for one in hass.config_entries.async_entries("mobile_app") if one.title == "ada"
    )
    app_data = {"push_url": damaged.data["app_data"]["push_url"]}
    hass.config_entries.async_update_entry(damaged, data=damaged.data | {"app_data": app_data})
    event = await asked(brain, kitty, ADA, BOB)
    await phones.shown("bob")
    shown = pn._async_get_or_create_notifications(hass)
    await eventually(lambda: f"kitty_{event['id']}" in shown)


async def test_a_house_without_kitty_listens_to_no_log(
    hass: HomeAssistant, phones: Phones, kitty: MockConfigEntry
) -> None:
    """What was put into the log of the mobile app is taken out again."""
    log = logging.getLogger(phones_module.PUSH_LOG)
    assert log.handlers
    assert await hass.config_entries.async_unload(kitty.entry_id)
    assert log.handlers == []


async def test_a_request_that_nobody_may_decide_is_a_repair_issue(
    kitty: MockConfigEntry, brain: FakeBrain, issue_registry: ir.IssueRegistry
) -> None:
    """A request that waits for nobody is put before the administrator."""
    await brain.push("safety.event", brain.event(DOOR, eligible=[]))
    issue = (DOMAIN, f"no_approver.{kitty.entry_id}.{ZONE}")
    await eventually(lambda: issue in issue_registry.issues)


async def test_a_full_disk_asks_nobody(
    phones: Phones, kitty: MockConfigEntry, brain: FakeBrain, caplog: pytest.LogCaptureFixture
) -> None:
    """A token that is not kept is not sent; the log says why nobody was asked."""
    bob = await phones.add(BOB, "bob")
    with full_disk():
        await brain.push("safety.event", brain.event(DOOR, eligible=[BOB]))
        await eventually(lambda: "Nobody can be asked" in caplog.text)
    assert phones.pushes[bob] == []


async def test_a_report_that_cannot_be_kept_is_logged(
    phones: Phones, kitty: MockConfigEntry, brain: FakeBrain, caplog: pytest.LogCaptureFixture
) -> None:
    """With a full disk a wrong button still does nothing."""
    eve = await phones.add(EVE, "eve")
    with full_disk():
        await phones.press(eve, f"KITTY_DENY_{'0' * 32}")
    assert "A report is not kept" in caplog.text


async def test_a_report_that_the_brain_does_not_take_is_dropped(
    phones: Phones, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """A report that can never be delivered does not hold up the next."""

    def refuse(_params: Json, _caller: Json | None) -> Json:
        raise FakeError("invalid_params")

    brain.answers["safety.attempt"] = refuse
    eve = await phones.add(EVE, "eve")
    for digit in "01":
        await phones.press(eve, f"KITTY_DENY_{digit * 32}")
    await brain.received_command("safety.attempt", 2)
    await eventually(lambda: kitty.runtime_data.ledger.summary()["outbox"] == 0)


async def test_another_house_does_not_see_these_approvals(
    hass: HomeAssistant, no_platforms: None, brain: FakeBrain, door: Door
) -> None:
    """A ledger belongs to a brain: another brain starts with an empty one."""
    entry = await set_up(hass, kitty_entry(brain))
    assert entry.runtime_data.ledger.summary() == {
        "events": 0,
        "spent": 0,
        "tokens": 0,
        "outbox": 0,
    }


async def test_another_thing_under_the_same_request_is_shown_anew(
    phones: Phones, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """The button of what was shown first decides nothing else."""
    bob = await phones.add(BOB, "bob")
    event = await asked(brain, kitty, BOB)
    old = approve(await phones.shown(bob))
    other = brain.event(DOOR, "unlock", id=event["id"], zone_id=ZONE, eligible=[BOB], nonce="n")
    await brain.push("safety.event", other)
    await eventually(lambda: len(phones.pushes[bob]) == 2)
    await phones.press(bob, old)
    await eventually(lambda: len(phones.pushes[bob]) == 3)
    assert brain.sent("safety.decide") == []


async def test_what_does_not_match_its_hash_is_not_shown(
    phones: Phones, kitty: MockConfigEntry, brain: FakeBrain, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody is asked about one thing for the sake of another."""
    bob = await phones.add(BOB, "bob")
    forged = brain.event(DOOR, "unlock", zone_id=ZONE, eligible=[BOB], subject="0" * 64)
    await brain.push("safety.event", forged)
    await eventually(lambda: "Nobody is asked" in caplog.text)
    assert phones.pushes[bob] == []
