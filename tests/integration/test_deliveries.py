"""Notifications of the brain: on the phones of those who want them, once, and answered by who was asked."""

import asyncio
from http import HTTPStatus
from typing import Any
from unittest.mock import patch

from homeassistant.components import persistent_notification as pn
from homeassistant.components.notify import NotifyEntityFeature
from homeassistant.core import Context, EventOrigin, HomeAssistant, ServiceCall
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.storage import Store
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, MockUser

from custom_components.kitty import deliveries
from custom_components.kitty.protocol import Json

from .conftest import ADA, BOB, EVE, eventually, frozen, heard, rules, set_up
from .fake_brain import FakeBrain, FakeError, new_id
from .press import PRESS, Phones

NOTIFICATION = "a1" * 16
NOTE = f"kitty_notify_{NOTIFICATION}"
BUTTONS = [{"id": "yes", "title": "Do it"}, {"id": "no", "title": "Leave it"}]

pytestmark = pytest.mark.usefixtures("kitty")


def letter(**changes: Any) -> Json:
    """Return what the brain asks for: a new delivery of one notification."""
    return {
        "delivery_id": new_id(),
        "notification_id": NOTIFICATION,
        "key": "disk",
        "target": None,
        "title": "Disk",
        "message": "It is full.",
        "severity": "warning",
        "user_id": None,
        "actions": [],
    } | changes


async def notify(brain: FakeBrain, **changes: Any) -> Json:
    """Deliver something; returns what the brain is told."""
    answer = await brain.ask("ha.notify", letter(**changes))
    told: Json = answer.get("data") or answer["error"]
    return told


def notes(hass: HomeAssistant) -> dict[str, Any]:
    """Return what is shown in Home Assistant itself."""
    return {
        key: (one["title"], one["message"])
        for key, one in pn._async_get_or_create_notifications(hass).items()
        if key.startswith("kitty_notify")
    }


def buttons(shown: Json) -> dict[str, str]:
    """Return the actions of the buttons by what stands on them."""
    return {one["title"]: one["action"] for one in shown["data"]["actions"]}


def people(hass: HomeAssistant, entry: MockConfigEntry, **least: str) -> None:
    """Let people choose from which severity on they want to hear of something."""
    options = rules()
    for user_id, name in ((ADA, "ada"), (BOB, "bob")):
        if name in least:
            options["people"][user_id]["least_severity"] = least[name]
    hass.config_entries.async_update_entry(entry, options=frozen(options))


@pytest.fixture
async def ada(phones: Phones) -> str:
    """Return Ada's phone."""
    return await phones.add(ADA, "ada")


# -- whom it reaches ----------------------------------------------------------------------------------


async def test_a_warning_rings_those_who_are_listed(
    hass: HomeAssistant, phones: Phones, ada: str, brain: FakeBrain
) -> None:
    """Eve has no role here, and is told nothing."""
    bob, eve = await phones.add(BOB, "bob"), await phones.add(EVE, "eve")
    told = await notify(brain)
    assert sorted(told["told"]) == sorted([ADA, BOB])
    shown = await phones.shown(ada)
    assert (shown["title"], shown["message"]) == ("Disk", "It is full.")
    assert (len(phones.pushes[bob]), phones.pushes[eve], notes(hass)) == (1, [], {})


@pytest.mark.parametrize(
    ("severity", "reached"),
    [("info", {ADA}), ("warning", {ADA}), ("critical", {ADA, BOB})],
)
async def test_people_choose_how_important_it_must_be(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain, severity: str, reached: set[str]
) -> None:
    """Ada wants to hear of everything, Bob of alarms only."""
    people(hass, kitty, ada="info", bob="critical")
    assert set((await notify(brain, severity=severity))["told"]) == reached


async def test_news_ring_nobody_who_did_not_ask_for_them(
    hass: HomeAssistant, phones: Phones, ada: str, brain: FakeBrain
) -> None:
    """Nor are they shown to everybody instead."""
    assert await notify(brain, severity="info") == {"told": []}
    assert (phones.pushes[ada], notes(hass)) == ([], {})


async def test_a_question_rings_as_many_as_a_warning(
    phones: Phones, ada: str, brain: FakeBrain
) -> None:
    """Softly; somebody should answer it."""
    told = await notify(brain, severity="info", actions=BUTTONS)
    assert sorted(told["told"]) == sorted([ADA, BOB])
    assert (await phones.shown(ada))["data"]["push"]["interruption-level"] == "passive"


async def test_a_warning_that_nobody_wants_is_shown_in_the_house(
    hass: HomeAssistant, kitty: MockConfigEntry, phones: Phones, ada: str, brain: FakeBrain
) -> None:
    """Somebody must be able to see it."""
    people(hass, kitty, ada="nothing", bob="nothing")
    assert await notify(brain, severity="critical") == {"told": []}
    assert (phones.pushes[ada], list(notes(hass))) == ([], [NOTE])


async def test_what_is_for_one_person_reaches_that_person_alone(
    phones: Phones, ada: str, brain: FakeBrain
) -> None:
    """Whatever the severity, and hidden on a locked screen."""
    eve = await phones.add(EVE, "eve")
    assert await notify(brain, user_id=EVE, severity="info") == {"told": [EVE]}
    assert (await phones.shown(eve))["data"]["visibility"] == "private"
    assert phones.pushes[ada] == []


async def test_who_is_not_there_any_more_is_told_nothing(
    phones: Phones, brain: FakeBrain, people: dict[str, MockUser]
) -> None:
    """An account that was switched off has phones, still."""
    eve = await phones.add(EVE, "eve")
    people[EVE].is_active = False
    assert (await notify(brain, user_id=EVE))["code"] == "person_unknown"
    assert phones.pushes[eve] == []


async def test_who_has_no_phone_finds_it_in_the_house(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """As plain text: no link, no picture."""
    hostile = {"title": "# [x](http://evil)", "message": "![](http://evil/pixel) \u2039b\u203a"}
    assert await notify(brain, user_id=ADA, **hostile) == {"told": [ADA]}
    (shown,) = notes(hass).values()
    assert shown == (
        "\\# \\[x\\]\\(http://evil\\)",
        "\\!\\[\\]\\(http://evil/pixel\\) \u2039b\u203a",
    )


@pytest.mark.parametrize(
    ("severity", "level"),
    [("info", "passive"), ("warning", "active"), ("critical", "time-sensitive")],
)
async def test_a_phone_rings_as_loudly_as_it_matters(
    phones: Phones, ada: str, brain: FakeBrain, severity: str, level: str
) -> None:
    """In a channel of its own, so that a person can silence each."""
    await notify(brain, user_id=ADA, severity=severity)
    data = (await phones.shown(ada))["data"]
    assert data["push"]["interruption-level"] == level
    words = {"info": "KITTY news", "warning": "KITTY warnings", "critical": "KITTY alarms"}
    assert data["channel"] == words[severity]


async def test_a_later_notification_of_an_incident_takes_the_place_of_the_first(
    phones: Phones, ada: str, brain: FakeBrain
) -> None:
    """A phone shows one for each incident."""
    for key in ("disk", "disk", "printer"):
        await notify(brain, notification_id=new_id(), user_id=ADA, key=key)
    first, second, other = [push["data"]["tag"] for push in phones.pushes[ada]]
    assert first == second != other


async def test_a_long_text_fits_a_push(phones: Phones, ada: str, brain: FakeBrain) -> None:
    """It can be read as a whole in the list."""
    await notify(brain, user_id=ADA, message="x" * 4000)
    message = (await phones.shown(ada))["message"]
    assert (len(message), message[-1]) == (1000, "…")


# -- once ---------------------------------------------------------------------------------------------


async def test_a_delivery_that_comes_again_shows_nothing_twice(
    phones: Phones, ada: str, brain: FakeBrain
) -> None:
    """The answer was lost; it is given again."""
    asked = letter(user_id=ADA)
    answers = [await brain.ask("ha.notify", asked) for _ in range(2)]
    assert [one["data"] for one in answers] == [{"told": [ADA]}] * 2
    assert len(phones.pushes[ada]) == 1


async def test_a_delivery_that_comes_again_after_a_restart_shows_nothing_twice(
    hass: HomeAssistant, phones: Phones, ada: str, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """It is remembered on the disk."""
    asked = letter(user_id=ADA)
    await brain.ask("ha.notify", asked)
    assert await hass.config_entries.async_reload(kitty.entry_id)
    await heard(kitty)
    assert (await brain.ask("ha.notify", asked))["data"] == {"told": [ADA]}
    assert len(phones.pushes[ada]) == 1


async def test_who_was_reached_before_a_restart_is_not_rung_again_with_the_others(
    hass: HomeAssistant,
    phones: Phones,
    ada: str,
    kitty: MockConfigEntry,
    brain: FakeBrain,
    hass_storage: dict[str, Any],
) -> None:
    """Bob's phone was out of reach, and the brain has heard nothing of Ada's."""
    bob = await phones.add(BOB, "bob")
    notifier, asked = hass.data["mobile_app"]["notify"], letter()
    send, held = notifier.async_send_message, asyncio.Event()

    async def hold(message: str, **more: Any) -> None:
        if more["target"] == ["webhook-bob"]:
            held.set()
            await asyncio.Event().wait()
        await send(message, **more)

    with (
        patch.object(notifier, "async_send_message", hold),
        # Bob stays out of reach, however long the rest takes.
        patch("custom_components.kitty.phones.PUSH_TIMEOUT", 600.0),
    ):
        asking = hass.async_create_background_task(brain.ask("ha.notify", asked), "ask")
        await phones.shown(ada)
        await held.wait()
        await hass.async_block_till_done()
        kept = f"kitty.{brain.instance_id}.deliveries"
        await eventually(
            lambda: kept in hass_storage and ADA in str(hass_storage[kept]["data"]["done"])
        )
        assert await hass.config_entries.async_unload(kitty.entry_id)
    asking.cancel()
    await set_up(hass, kitty)
    told = (await brain.ask("ha.notify", asked))["data"]["told"]
    assert sorted(told) == sorted([ADA, BOB])
    assert (len(phones.pushes[ada]), len(phones.pushes[bob])) == (1, 1)


async def test_a_delivery_that_comes_again_while_it_is_under_way_is_the_same(
    phones: Phones, ada: str, brain: FakeBrain
) -> None:
    """The brain was too impatient."""
    phones.reachable.clear()
    asked = letter(user_id=ADA)
    first, second = brain.question("ha.notify", asked), brain.question("ha.notify", asked)
    await heard_of(brain)
    phones.reachable.set()
    assert [(await one)["data"] for one in (first, second)] == [{"told": [ADA]}] * 2
    assert len(phones.pushes[ada]) == 1


async def heard_of(brain: FakeBrain) -> None:
    """Wait until the integration has taken what it was sent so far."""
    assert (await brain.ask("ha.observe", {"device_id": "none"}))["error"]


async def test_what_is_remembered_has_an_end(
    monkeypatch: pytest.MonkeyPatch, phones: Phones, ada: str, brain: FakeBrain
) -> None:
    """Deliveries that are long over are forgotten first."""
    monkeypatch.setattr(deliveries, "DONE_MAX", 2)
    first = letter(user_id=ADA)
    await brain.ask("ha.notify", first)
    for _ in range(2):
        await notify(brain, user_id=ADA)
    await brain.ask("ha.notify", first)
    assert len(phones.pushes[ada]) == 4


async def test_what_makes_no_sense_is_refused(brain: FakeBrain) -> None:
    """A severity that there is not."""
    assert (await notify(brain, severity="loud"))["code"] == "invalid_request"


# -- phones out of reach ------------------------------------------------------------------------------


async def test_a_phone_out_of_reach_is_tried_again_by_the_brain(
    hass: HomeAssistant, phones: Phones, ada: str, brain: FakeBrain
) -> None:
    """Meanwhile it is shown in the house, and no longer when it has arrived."""
    asked = letter(user_id=ADA)
    phones.status = HTTPStatus.INTERNAL_SERVER_ERROR
    refused = await brain.ask("ha.notify", asked)
    assert refused["error"]["code"] == "phones_unreachable"
    assert list(notes(hass)) == [NOTE]
    phones.status = HTTPStatus.CREATED
    assert (await brain.ask("ha.notify", asked))["data"] == {"told": [ADA]}
    assert notes(hass) == {}


async def test_only_who_was_not_reached_is_rung_again(
    phones: Phones, ada: str, brain: FakeBrain, hass: HomeAssistant
) -> None:
    """Bob has it already."""
    bob = await phones.add(BOB, "bob")
    phones.failing = {ada}
    asked = letter()
    assert (await brain.ask("ha.notify", asked))["error"]["code"] == "phones_unreachable"
    phones.failing = set()
    told = (await brain.ask("ha.notify", asked))["data"]["told"]
    assert sorted(told) == sorted([ADA, BOB])
    assert (len(phones.pushes[ada]), len(phones.pushes[bob])) == (2, 1)
    assert notes(hass) == {}


# -- answers ------------------------------------------------------------------------------------------


@pytest.fixture
def taken(brain: FakeBrain) -> None:
    """Let the brain take every answer."""
    brain.answers["notifications.answer"] = lambda params, _caller: params


async def asked_of(brain: FakeBrain, *user_ids: str | None, **changes: Any) -> None:
    """Ask one person after the other, or everybody."""
    for user_id in user_ids:
        await notify(brain, user_id=user_id, actions=BUTTONS, **changes)


@pytest.mark.usefixtures("taken")
async def test_an_answer_is_that_of_the_person_whose_phone_it_is(
    phones: Phones, ada: str, brain: FakeBrain
) -> None:
    """By the road of a phone, and only from an unlocked one."""
    await asked_of(brain, ADA)
    shown = await phones.shown(ada)
    assert all(one["authenticationRequired"] for one in shown["data"]["actions"])
    await phones.press(ada, buttons(shown)["Do it"])
    answer = await brain.received_command("notifications.answer")
    assert answer == {"notification_id": NOTIFICATION, "action": "yes"}
    caller = brain.callers("notifications.answer")[0]
    assert caller is not None
    assert (caller["user_id"], caller["channel"]) == (ADA, "mobile")


@pytest.mark.usefixtures("taken")
async def test_a_button_works_only_on_the_phone_of_who_was_asked(
    phones: Phones, ada: str, brain: FakeBrain, caplog: pytest.LogCaptureFixture
) -> None:
    """Eve has seen it over Ada's shoulder."""
    eve = await phones.add(EVE, "eve")
    await asked_of(brain, ADA)
    await phones.press(eve, buttons(await phones.shown(ada))["Do it"])
    assert brain.sent("notifications.answer") == []
    assert "not of that person" in caplog.text


@pytest.mark.usefixtures("taken")
async def test_no_automation_presses_a_button(
    hass: HomeAssistant, phones: Phones, ada: str, brain: FakeBrain
) -> None:
    """Though it may know the action, and speak for Ada."""
    await asked_of(brain, ADA)
    action = buttons(await phones.shown(ada))["Do it"]
    hass.bus.async_fire(PRESS, {"action": action}, EventOrigin.local, Context(user_id=ADA))
    await hass.async_block_till_done()
    assert brain.sent("notifications.answer") == []


@pytest.mark.usefixtures("taken")
async def test_other_buttons_are_left_alone(
    hass: HomeAssistant, phones: Phones, ada: str, brain: FakeBrain
) -> None:
    """They belong to somebody else."""
    await asked_of(brain, ADA)
    await phones.press(ada, "OTHER_ACTION")
    await phones.press(ada, "KITTY_NOTIFY_0000")
    assert brain.sent("notifications.answer") == []


@pytest.mark.usefixtures("taken")
async def test_a_button_works_once(phones: Phones, ada: str, brain: FakeBrain) -> None:
    """And the other one not after it."""
    await asked_of(brain, ADA)
    shown = buttons(await phones.shown(ada))
    for title in ("Do it", "Do it", "Leave it"):
        await phones.press(ada, shown[title])
    assert len(brain.sent("notifications.answer")) == 1


@pytest.mark.usefixtures("taken")
async def test_a_button_still_works_after_a_restart(
    hass: HomeAssistant, phones: Phones, ada: str, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """Its hash is on the disk."""
    await asked_of(brain, ADA)
    assert await hass.config_entries.async_reload(kitty.entry_id)
    await heard(kitty)
    await phones.press(ada, buttons(await phones.shown(ada))["Leave it"])
    assert (await brain.received_command("notifications.answer"))["action"] == "no"


@pytest.mark.usefixtures("taken")
async def test_a_button_stands_nowhere_but_on_its_phone(
    hass: HomeAssistant,
    phones: Phones,
    ada: str,
    brain: FakeBrain,
    hass_storage: dict[str, Any],
) -> None:
    """Only a hash of it is kept."""
    await asked_of(brain, ADA)
    token = buttons(await phones.shown(ada))["Do it"].removeprefix("KITTY_NOTIFY_")
    assert token not in repr(hass_storage)


@pytest.mark.usefixtures("taken")
async def test_what_was_answered_goes_away_on_every_phone(
    phones: Phones, ada: str, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """And nobody can answer it any more."""
    bob = await phones.add(BOB, "bob")
    await asked_of(brain, None)
    late = buttons(await phones.shown(bob))["Do it"]
    answered = {"id": NOTIFICATION, "key": "disk", "action": "yes", "user_id": ADA}
    await brain.push("notification.answered", answered)
    for phone in (ada, bob):
        cleared = await phones.shown(phone, 2)
        assert cleared["message"] == "clear_notification"
        assert cleared["data"]["tag"] == phones.pushes[phone][0]["data"]["tag"]
    await phones.press(bob, late)
    assert brain.sent("notifications.answer") == []


async def test_what_was_answered_while_a_phone_was_still_being_reached_goes_away_there_too(
    hass: HomeAssistant, phones: Phones, ada: str, brain: FakeBrain
) -> None:
    """Its notification comes behind the word that takes it away."""
    bob = await phones.add(BOB, "bob")
    held, go_on = asyncio.Event(), asyncio.Event()
    notifier = hass.data["mobile_app"]["notify"]
    send = notifier.async_send_message

    async def hold(message: str, **more: Any) -> None:
        if more["target"] == ["webhook-bob"] and message != "clear_notification":
            held.set()
            await go_on.wait()
        await send(message, **more)

    with patch.object(notifier, "async_send_message", hold):
        asking = hass.async_create_background_task(asked_of(brain, None), "ask")
        await phones.shown(ada)
        await held.wait()
        await brain.push("notification.answered", {"id": NOTIFICATION, "action": "yes"})
        await phones.shown(bob)
        go_on.set()
        await asking
    assert (await phones.shown(bob, 2))["message"] == "It is full."
    assert (await phones.shown(bob, 3))["message"] == "clear_notification"


async def test_what_was_answered_goes_away_though_a_reload_comes_between(
    hass: HomeAssistant, kitty: MockConfigEntry, phones: Phones, ada: str, brain: FakeBrain
) -> None:
    """The brain tells of the answer once."""
    await asked_of(brain, ADA)
    held, go_on = asyncio.Event(), asyncio.Event()
    notifier, client = hass.data["mobile_app"]["notify"], kitty.runtime_data.client
    send = notifier.async_send_message

    async def hold(*args: Any, **more: Any) -> None:
        held.set()
        await go_on.wait()
        await send(*args, **more)

    with patch.object(notifier, "async_send_message", hold):
        await brain.push("notification.answered", {"id": NOTIFICATION, "action": "yes"})
        await held.wait()
        reload = hass.async_create_task(hass.config_entries.async_reload(kitty.entry_id))
        await eventually(lambda: not client.connected)
        go_on.set()
        assert await reload
    assert (await phones.shown(ada, 2))["message"] == "clear_notification"


async def test_an_answer_to_what_was_never_asked_here_changes_nothing(
    phones: Phones, ada: str, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """Another Home Assistant has shown it."""
    await brain.push("notification.answered", {"id": new_id(), "action": "yes"})
    await heard(kitty)
    assert phones.pushes[ada] == []


async def test_who_answers_what_is_answered_reads_so(
    phones: Phones, ada: str, brain: FakeBrain
) -> None:
    """The buttons are gone."""

    def late(_params: Json, _caller: Json | None) -> Json:
        raise FakeError("already_answered", 'Somebody has answered "no"', answer="no")

    brain.answers["notifications.answer"] = late
    await asked_of(brain, ADA)
    await phones.press(ada, buttons(await phones.shown(ada))["Do it"])
    again = await phones.shown(ada, 2)
    assert again["message"].splitlines() == ['Somebody has answered "no"', "It is full."]
    assert (again["data"]["actions"], again["data"]["alert_once"]) == ([], True)


async def test_an_answer_that_does_not_reach_the_brain_can_be_given_again(
    phones: Phones, ada: str, brain: FakeBrain
) -> None:
    """With fresh buttons."""

    def busy(_params: Json, _caller: Json | None) -> Json:
        raise FakeError("database_busy", "Later")

    brain.answers["notifications.answer"] = busy
    await asked_of(brain, ADA)
    first = buttons(await phones.shown(ada))["Do it"]
    await phones.press(ada, first)
    again = buttons(await phones.shown(ada, 2))["Do it"]
    brain.answers["notifications.answer"] = lambda params, _caller: params
    await phones.press(ada, again)
    assert first != again
    assert len(brain.sent("notifications.answer")) == 2


async def test_an_answer_that_was_taken_while_it_was_refused_elsewhere_shows_nothing(
    phones: Phones, ada: str, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """Somebody else's answer came between."""

    async def late(_params: Json, _caller: Json | None) -> Json:
        await brain.push("notification.answered", {"id": NOTIFICATION, "action": "no"})
        await phones.shown(ada, 2)
        raise FakeError("already_answered", "Late", answer="no")

    brain.answers["notifications.answer"] = late
    await asked_of(brain, ADA)
    await phones.press(ada, buttons(await phones.shown(ada))["Do it"])
    await heard(kitty)
    assert [push["message"] for push in phones.pushes[ada]] == ["It is full.", "clear_notification"]


async def test_what_nobody_answered_for_a_week_is_forgotten(
    monkeypatch: pytest.MonkeyPatch, phones: Phones, ada: str, brain: FakeBrain
) -> None:
    """Its buttons do nothing any more."""
    await asked_of(brain, ADA)
    old = buttons(await phones.shown(ada))["Do it"]
    monkeypatch.setattr(deliveries, "ASKED_FOR", -60.0)
    await notify(brain, notification_id=new_id(), user_id=ADA)
    await phones.press(ada, old)
    assert brain.sent("notifications.answer") == []


# -- notifiers of the house ---------------------------------------------------------------------------


class Mailbox:
    """A notifier of the old kind."""

    def __init__(self, hass: HomeAssistant, name: str = "mail") -> None:
        """Take what comes."""
        self.came: list[Json] = []
        self.trouble: Exception | None = None
        self.open = asyncio.Event()
        self.open.set()
        hass.services.async_register("notify", name, self._take)

    async def _take(self, call: ServiceCall) -> None:
        self.came.append(dict(call.data))
        await self.open.wait()
        if self.trouble is not None:
            raise self.trouble


async def test_a_notifier_of_the_old_kind_is_told_title_and_message(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """Once, however often the brain asks."""
    mailbox, asked = Mailbox(hass), letter(target="notify.mail")
    for _ in range(2):
        assert (await brain.ask("ha.notify", asked))["data"] == {"told": []}
    assert mailbox.came == [{"title": "Disk", "message": "It is full."}]


@pytest.mark.parametrize(
    ("features", "said"),
    [
        (NotifyEntityFeature.TITLE, {"title": "Disk", "message": "It is full."}),
        (NotifyEntityFeature(0), {"message": "Disk\nIt is full."}),
    ],
)
async def test_a_notify_entity_is_told_as_much_as_it_understands(
    hass: HomeAssistant, brain: FakeBrain, features: NotifyEntityFeature, said: Json
) -> None:
    """The title is never lost."""
    mailbox = Mailbox(hass, "send_message")
    hass.states.async_set("notify.mail", "unknown", {"supported_features": int(features)})
    await notify(brain, target="notify.mail")
    assert mailbox.came == [{"entity_id": "notify.mail"} | said]


async def test_a_notifier_that_there_is_not_is_named(hass: HomeAssistant, brain: FakeBrain) -> None:
    """It may be there later: the brain tries again."""
    Mailbox(hass, "send_message")
    for target in ("notify.nobody", "notify.send_message", "light.lamp"):
        hass.states.async_set("light.lamp", "on")
        answer = await notify(brain, target=target)
        assert answer["code"] == "notify_target_unknown"
        assert target in answer["message"]


async def test_a_notifier_that_is_unavailable_is_not_passed_over_in_silence(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """As Home Assistant itself would."""
    mailbox = Mailbox(hass, "send_message")
    hass.states.async_set("notify.mail", "unavailable")
    assert (await notify(brain, target="notify.mail"))["code"] == "notify_target_unavailable"
    assert mailbox.came == []


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (ConnectionRefusedError(), "notify_failed"),
        (ValueError("bad"), "notify_failed"),
        (HomeAssistantError("no"), "home_assistant_error"),
    ],
)
async def test_what_a_notifier_does_not_take_comes_again(
    hass: HomeAssistant, brain: FakeBrain, trouble: Exception, code: str
) -> None:
    """Whatever its library raises."""
    mailbox, asked = Mailbox(hass), letter(target="notify.mail")
    mailbox.trouble = trouble
    assert (await brain.ask("ha.notify", asked))["error"]["code"] == code
    mailbox.trouble = None
    assert (await brain.ask("ha.notify", asked))["data"] == {"told": []}
    assert len(mailbox.came) == 2


async def test_a_notifier_that_never_ends_is_not_waited_for(
    hass: HomeAssistant, brain: FakeBrain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others wait behind it."""
    monkeypatch.setattr(deliveries, "NOTIFIER_TIMEOUT", 0.01)
    Mailbox(hass).open.clear()
    assert (await notify(brain, target="notify.mail"))["code"] == "notify_failed"


async def test_a_removed_brain_leaves_nothing_behind(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain, hass_storage: dict[str, Any]
) -> None:
    """Neither what was delivered nor what was asked."""
    await notify(brain, user_id=ADA)
    kept = [key for key in hass_storage if key.endswith(".deliveries")]
    assert len(kept) == 1
    await hass.config_entries.async_remove(kitty.entry_id)
    await hass.async_block_till_done()
    assert not [key for key in hass_storage if key.endswith(".deliveries")]


async def test_a_button_that_is_shown_anew_while_the_entry_is_loaded_anew_works(
    hass: HomeAssistant, kitty: MockConfigEntry, phones: Phones, ada: str, brain: FakeBrain
) -> None:
    """However slow the disk is: the next life of the entry begins with what the one before has written."""
    await notify(brain, actions=BUTTONS, user_id=ADA)
    shown = await phones.shown(ada)
    brain.answers["notifications.answer"] = lambda _params, _caller: asyncio.Event().wait()
    press = phones.press(ada, buttons(shown)["Do it"])
    pressing = hass.async_create_background_task(press, "press")
    await brain.received_command("notifications.answer")
    del brain.answers["notifications.answer"]
    write, start, wait, go = (
        Store._async_write_data,
        deliveries.Deliveries.start,
        asyncio.wait,
        asyncio.Event(),
    )

    async def slow(store: Store[Json], data: Json) -> None:
        if store.key.endswith(".deliveries"):
            await go.wait()
        await write(store, data)

    async def started(life: deliveries.Deliveries) -> None:
        await start(life)
        go.set()

    def waits(tasks: Any, **more: Any) -> Any:
        if any(task.get_name().startswith("kitty press") for task in tasks):
            go.set()
        return wait(tasks, **more)

    with (
        patch.object(Store, "_async_write_data", slow),
        patch.object(deliveries.Deliveries, "start", started),
        patch("asyncio.wait", waits),
    ):
        await hass.config_entries.async_reload(kitty.entry_id)
        await pressing
    await phones.press(ada, buttons(await phones.shown(ada, 2))["Do it"])
    await brain.received_command("notifications.answer", 2)
