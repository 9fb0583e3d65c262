"""Requests and decisions of people: on a dashboard, on real phones of the companion app, by voice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from http import HTTPStatus
import json
import time
from typing import Any, Self
from unittest.mock import patch

from aiohttp import web
from aiohttp.test_utils import TestClient
from freezegun.api import FrozenDateTimeFactory
from homeassistant.components import persistent_notification as pn
from homeassistant.core import EventOrigin, HomeAssistant
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.storage import Store
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
from homeassistant.util.file import WriteError
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    MockUser,
    async_capture_events,
    async_fire_time_changed,
)
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.kitty import phones as phones_module
from custom_components.kitty.const import DOMAIN
from custom_components.kitty.errors import BrainError, BrainUnavailable, KittyError, Refused
from custom_components.kitty.protocol import Channel, Hazard, Json

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
    request,
    rules,
    set_up,
    until,
)
from .fake_brain import FakeBrain, FakeError

PRESS = "mobile_app_notification_action"


class Phones:
    """The phones of the house, and the push service that reaches them."""

    def __init__(self, hass: HomeAssistant) -> None:
        """Start without phones."""
        self._hass = hass
        self.client: TestClient[Any, Any]
        self.pushes: dict[str, list[Json]] = {}
        self.reachable = asyncio.Event()
        self.reachable.set()
        self._url = ""
        self._runner: web.AppRunner

    async def start(self, clients: ClientSessionGenerator) -> Self:
        """Open the push service and Home Assistant's own door for phones."""
        app = web.Application()
        app.router.add_post("/push", self._push)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/push"
        assert await async_setup_component(self._hass, "mobile_app", {})
        await self._hass.async_block_till_done()
        self.client = await clients()
        return self

    async def stop(self) -> None:
        """Close the push service."""
        await self._runner.cleanup()

    async def add(self, user_id: str, name: str) -> str:
        """Register the app on a phone of a user; returns the phone."""
        entry = MockConfigEntry(
            domain="mobile_app",
            title=name,
            data={
                "app_data": {"push_token": name, "push_url": self._url},
                "app_id": "io.homeassistant.companion",
                "app_name": "Home Assistant",
                "app_version": "2026.10",
                "device_id": name,
                "device_name": name,
                "manufacturer": "Phones",
                "model": name,
                "os_name": "Android",
                "os_version": "17",
                "supports_encryption": False,
                "user_id": user_id,
                "webhook_id": f"webhook-{name}",
            },
        )
        entry.add_to_hass(self._hass)
        assert await self._hass.config_entries.async_setup(entry.entry_id)
        await self._hass.async_block_till_done()
        self.pushes[name] = []
        return name

    async def shown(self, phone: str, count: int = 1) -> Json:
        """Wait for the n-th notification on a phone and return it."""
        await eventually(lambda: len(self.pushes[phone]) >= count)
        return self.pushes[phone][count - 1]

    async def press(self, phone: str, action: str) -> None:
        """Press a button of a notification on a phone."""
        await self.fire(phone, {"action": action})

    async def fire(self, phone: str, data: Json) -> None:
        """Have the app on a phone report a press, as it does: through its webhook."""
        answer = await self.client.post(
            f"/api/webhook/webhook-{phone}",
            json={"type": "fire_event", "data": {"event_type": PRESS, "event_data": data}},
        )
        assert answer.status == HTTPStatus.OK
        await self._hass.async_block_till_done()

    async def _push(self, request: web.Request) -> web.Response:
        data = await request.json()
        await self.reachable.wait()
        self.pushes[data["push_token"]].append(data)
        return web.json_response({}, status=HTTPStatus.CREATED)


@pytest.fixture
async def phones(
    hass: HomeAssistant, kitty: MockConfigEntry, hass_client_no_auth: ClientSessionGenerator
) -> AsyncIterator[Phones]:
    """Return the phones of the house."""
    found = await Phones(hass).start(hass_client_no_auth)
    yield found
    await found.stop()


@pytest.fixture
def high(hass: HomeAssistant, brain: FakeBrain, kitty: MockConfigEntry) -> None:
    """Make the workshop dangerous, here and at the brain."""
    brain.zone_levels[ZONE] = Hazard.HIGH
    hass.config_entries.async_update_entry(kitty, options=rules("high"))


def approve(push: Json) -> str:
    """Return the approving action of a notification."""
    action: str = push["data"]["actions"][0]["action"]
    return action


def deny(push: Json) -> str:
    """Return the denying action of a notification."""
    action: str = push["data"]["actions"][1]["action"]
    return action


def full_disk() -> AbstractContextManager[Any]:
    """Return a disk that keeps nothing."""
    return patch.object(Store, "_async_write_data", side_effect=WriteError("full"))


async def asked(brain: FakeBrain, entry: MockConfigEntry, *eligible: str) -> Json:
    """Have Ada ask for the door; returns the event."""
    brain.eligible = list(eligible)
    event: Json = (await request(entry, "unlock", ADA))["event"]
    return event


# Requests.


async def test_a_request_names_the_person_of_the_context(
    kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """The brain learns who asked and how, from the context and from nothing else."""
    context = of(ADA)
    await kitty.runtime_data.approvals.request(
        DOOR, "unlock", None, context, idempotency_key="once"
    )
    assert brain.sent("devices.request") == [
        {"device_id": DOOR, "intent": "unlock", "params": {}, "idempotency_key": "once"}
    ]
    assert brain.callers("devices.request") == [
        {"user_id": ADA, "name": "Ada", "channel": "dashboard", "context_id": context.id}
    ]


async def test_a_request_shows_at_once(kitty: MockConfigEntry, brain: FakeBrain) -> None:
    """What the brain answers is known before its events are."""

    def quiet(params: Json, _caller: Json | None) -> Json:
        event = brain.event(DOOR, "unlock", initiated_by=ADA)
        return {"command": brain.command(DOOR, "unlock"), "event": event}

    brain.answers["devices.request"] = quiet
    await request(kitty, "unlock", ADA)
    assert kitty.runtime_data.coordinator.pending_for(DOOR) is not None
    assert kitty.runtime_data.coordinator.running_for(DOOR) is not None


async def test_an_answer_about_something_else_is_not_recorded(
    kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """A finger on a lamp does not become a vote for a door."""

    def swap(_params: Json, _caller: Json | None) -> Json:
        event = brain.event(DOOR, "open", initiated_by=ADA)
        return {"command": brain.command(DOOR, "open"), "event": event}

    brain.answers["devices.request"] = swap
    with pytest.raises(KittyError) as caught:
        await request(kitty, "unlock", ADA)
    assert caught.value.code == "brain_mismatch"
    assert kitty.runtime_data.ledger.summary()["events"] == 0


async def test_a_request_that_joins_another_persons_is_not_recorded_as_theirs(
    kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """Whoever only finds a request that is open is not the one who asked."""
    event = await asked(brain, kitty, EVE)
    brain.answers["devices.request"] = lambda _params, _caller: {
        "command": brain.command(DOOR, "unlock"),
        "event": event,
    }
    await request(kitty, "unlock", BOB)
    assert kitty.runtime_data.ledger.event(event["id"])["requester"] == ADA


async def test_an_area_without_anybody_to_approve_is_a_repair_issue(
    kitty: MockConfigEntry, brain: FakeBrain, issue_registry: ir.IssueRegistry
) -> None:
    """A request that nobody could ever approve is refused, and a person learns why."""

    def refuse(_params: Json, _caller: Json | None) -> Json:
        raise FakeError("no_approver")

    brain.answers["devices.request"] = refuse
    with pytest.raises(BrainError):
        await request(kitty, "unlock", ADA)
    assert (DOMAIN, f"no_approver.{kitty.entry_id}.{ZONE}") in issue_registry.issues


# Decisions on a dashboard.


async def test_a_decision_is_signed_recorded_and_sent(
    kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """The brain gets the decision with a signature that it can check, as that person's."""
    event = await asked(brain, kitty, BOB)
    decided = await decide(kitty, event, "approve", BOB)
    assert decided["status"] == "approved"
    caller = brain.callers("safety.decide")[0]
    assert caller is not None
    assert (caller["user_id"], caller["channel"]) == (BOB, "dashboard")
    made = kitty.runtime_data.ledger.event(event["id"])["decisions"][BOB]
    assert (made["decision"], made["status"]) == ("approve", "accepted")


async def test_a_decision_is_on_disk_before_it_is_sent(
    kitty: MockConfigEntry, brain: FakeBrain, hass_storage: Json
) -> None:
    """The ledger is never behind the brain."""
    stored: list[str] = []
    real = brain.answers["safety.decide"]

    def look(params: Json, caller: Json | None) -> Any:
        events = hass_storage[f"kitty.{brain.instance_id}"]["data"]["events"]
        stored.append(events[params["event_id"]]["decisions"][BOB]["status"])
        return real(params, caller)

    brain.answers["safety.decide"] = look
    await decide(kitty, await asked(brain, kitty, BOB), "approve", BOB)
    assert stored == ["recorded"]


async def test_a_second_press_is_the_first_decision(
    kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """Pressing twice decides once, also when both presses come at the same time."""
    event = await asked(brain, kitty, BOB)
    await asyncio.gather(*(decide(kitty, event, "approve", BOB) for _ in range(5)))
    await decide(kitty, event, "approve", BOB)
    assert len(brain.sent("safety.decide")) == 1


async def test_two_people_who_race_end_with_one_outcome(
    kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """Of an approval and a denial at the same moment one is told that it came too late."""
    event = await asked(brain, kitty, ADA, BOB)
    outcomes = await asyncio.gather(
        decide(kitty, event, "approve", BOB),
        decide(kitty, event, "deny", EVE),
        return_exceptions=True,
    )
    await heard(kitty)
    assert sorted(isinstance(one, Exception) for one in outcomes) == [False, True]
    assert brain.events[event["id"]]["status"] in {"approved", "denied"}


async def test_a_denial_takes_back_ones_own_approval(
    kitty: MockConfigEntry, brain: FakeBrain, high: None
) -> None:
    """Whoever has approved may still stop it while others decide; never the other way round."""
    event = await asked(brain, kitty, BOB)
    event = await decide(kitty, event, "approve", BOB)
    assert event["status"] == "pending"
    assert (await decide(kitty, event, "deny", BOB))["status"] == "denied"
    with pytest.raises(Refused) as caught:
        await decide(kitty, event, "approve", BOB)
    assert caught.value.code == "already_decided"


async def test_an_approval_that_the_brain_refused_can_be_given_again(
    kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """A missing PIN is not the end: the next press is a new decision."""
    real = brain.answers["safety.decide"]

    def want_pin(params: Json, caller: Json | None) -> Any:
        if "pin" not in params:
            raise FakeError("pin_required", "Your own code is needed")
        return real(params, caller)

    brain.answers["safety.decide"] = want_pin
    event = await asked(brain, kitty, BOB)
    with pytest.raises(BrainError) as caught:
        await decide(kitty, event, "approve", BOB)
    assert caught.value.code == "pin_required"
    decided = await kitty.runtime_data.approvals.decide(
        event["id"], "approve", context=of(BOB), pin="1234"
    )
    assert decided["status"] == "approved"


async def test_an_answer_that_got_lost_is_asked_for_with_the_same_decision(
    kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """A second press after a broken socket sends the very same signed decision."""
    real = brain.answers["safety.decide"]

    async def vanish(_params: Json, _caller: Json | None) -> Json:
        await brain.drop()
        return {}

    brain.answers["safety.decide"] = vanish
    event = await asked(brain, kitty, BOB)
    with pytest.raises(BrainUnavailable):
        await decide(kitty, event, "approve", BOB)
    brain.answers["safety.decide"] = real
    await until(kitty, lambda data: data.connected)
    await decide(kitty, event, "approve", BOB)
    first, second = brain.sent("safety.decide")
    assert first == second


async def test_a_denial_whose_answer_got_lost_stands(
    kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """Nobody knows whether the brain has it, so it cannot become an approval."""

    async def vanish(_params: Json, _caller: Json | None) -> Json:
        await brain.drop()
        return {}

    brain.answers["safety.decide"] = vanish
    event = await asked(brain, kitty, BOB)
    with pytest.raises(BrainUnavailable):
        await decide(kitty, event, "deny", BOB)
    await until(kitty, lambda data: data.connected)
    with pytest.raises(Refused) as caught:
        await decide(kitty, event, "approve", BOB)
    assert caught.value.code == "already_decided"


async def test_a_request_that_is_answered_twice_keeps_its_requester(
    kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """Asking again for the same finds the same request, with the same person behind it."""
    event = await asked(brain, kitty, EVE)
    brain.answers["devices.request"] = lambda _params, _caller: {
        "command": brain.command(DOOR, "unlock"),
        "event": event,
    }
    await request(kitty, "unlock", ADA)
    assert kitty.runtime_data.ledger.event(event["id"])["requester"] == ADA


async def test_nothing_is_decided_while_the_brain_is_away(
    kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """A decision that cannot be sent is not taken."""
    event = await asked(brain, kitty, BOB)
    await heard(kitty)
    await brain.stop()
    await until(kitty, lambda data: not data.connected)
    with pytest.raises(BrainUnavailable):
        await decide(kitty, event, "approve", BOB)
    assert kitty.runtime_data.ledger.event(event["id"])["decisions"] == {}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"zone_id": "elsewhere"}, "wrong_subject"),
        ({"subject": "0" * 64}, "wrong_subject"),
        ({"device_id": "another", "zone_id": ZONE}, "device_unknown"),
        ({"status": "denied"}, "already_decided"),
        ({"status": "expired"}, "expired"),
        ({"expires_at": 1.0}, "expired"),
    ],
    ids=str,
)
async def test_what_cannot_be_approved(
    kitty: MockConfigEntry, brain: FakeBrain, changes: Json, code: str
) -> None:
    """What is over, or not what it shows, gets nobody's signature."""
    about: Json = {"device_id": DOOR, "eligible": [BOB]}
    event = brain.event(**about | changes)
    await brain.push("safety.event", event)
    await heard(kitty)
    with pytest.raises(Refused) as caught:
        await decide(kitty, event, "approve", BOB)
    assert caught.value.code == code
    assert brain.sent("safety.decide") == []


async def test_an_event_that_changes_under_the_finger(
    kitty: MockConfigEntry, brain: FakeBrain, high: None
) -> None:
    """The second person does not sign what the first one did not see."""
    event = await asked(brain, kitty, BOB)
    changed = brain.event(DOOR, "open", id=event["id"], level="high", eligible=[BOB])
    await brain.push("safety.event", changed)
    await heard(kitty)
    with pytest.raises(Refused) as caught:
        await decide(kitty, changed, "approve", BOB)
    assert caught.value.code == "wrong_subject"


async def test_an_intent_from_the_future(kitty: MockConfigEntry, brain: FakeBrain) -> None:
    """What this version does not know it does not sign."""
    event = brain.event(DOOR, eligible=[BOB])
    await brain.push("safety.event", event | {"intent": "dance"})
    await heard(kitty)
    with pytest.raises(Refused) as caught:
        await decide(kitty, event, "approve", BOB)
    assert caught.value.code == "intent_not_supported"


async def test_a_danger_that_the_brain_takes_too_lightly(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """Nobody approves as MEDIUM what is HIGH by the rules of this house."""
    event = await asked(brain, kitty, BOB)
    hass.config_entries.async_update_entry(kitty, options=rules("high"))
    with pytest.raises(Refused) as caught:
        await decide(kitty, event, "approve", BOB)
    assert caught.value.code == "level_too_low"


async def test_an_area_that_nobody_described(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """Where there are no rules, nothing is approved."""
    event = await asked(brain, kitty, BOB)
    hass.config_entries.async_update_entry(kitty, options=rules() | {"zones": {}})
    with pytest.raises(Refused) as caught:
        await decide(kitty, event, "approve", BOB)
    assert caught.value.code == "no_zone"


async def test_an_event_that_nobody_knows(kitty: MockConfigEntry, brain: FakeBrain) -> None:
    """A made-up id decides nothing."""
    with pytest.raises(Refused) as caught:
        await decide(kitty, {"id": "nothing"}, "approve", BOB)
    assert caught.value.code == "unknown_event"


@pytest.mark.parametrize(
    ("user_id", "policy", "code"),
    [
        (EVE, {}, "not_registered"),
        (BOB, {"required_roles": ["engineer"]}, "role_required"),
        (ADA, {"requester_may_confirm": False}, "self_approval"),
        (ADA, {"requester_may_confirm": True, "requires_dual_confirm": True}, "self_approval"),
        (None, {}, "user_required"),
    ],
    ids=["no role", "wrong role", "own request", "own request of two", "nobody"],
)
async def test_who_may_not_approve(
    hass: HomeAssistant,
    kitty: MockConfigEntry,
    brain: FakeBrain,
    user_id: str | None,
    policy: Json,
    code: str,
) -> None:
    """The rules of this house are asked before the brain is."""
    hass.config_entries.async_update_entry(kitty, options=rules("medium", **policy))
    event = await asked(brain, kitty, ADA, BOB, EVE)
    with pytest.raises(Refused) as caught:
        await decide(kitty, event, "approve", user_id)
    assert caught.value.code == code
    assert brain.sent("safety.decide") == []


async def test_the_requester_may_confirm_where_the_policy_says_so(
    kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """A MEDIUM with that policy needs no second person."""
    event = await asked(brain, kitty, ADA)
    assert (await decide(kitty, event, "approve", ADA))["status"] == "approved"


async def test_an_automation_approves_nothing(kitty: MockConfigEntry, brain: FakeBrain) -> None:
    """A script that a person started is not that person's finger."""
    event = await asked(brain, kitty, BOB)
    with pytest.raises(Refused) as caught:
        await kitty.runtime_data.approvals.decide(
            event["id"], "approve", context=of(BOB, parent_id="script")
        )
    assert caught.value.code == "direct_approval_required"


@pytest.mark.parametrize(
    ("channel", "policy", "allowed"),
    [
        (Channel.ASSIST, {}, True),
        (Channel.ASSIST, {"requires_dual_confirm": True}, False),
        (Channel.VOICE, {"voice_may_confirm": True}, True),
        (Channel.VOICE, {"voice_may_confirm": False}, False),
        (Channel.VOICE, {"voice_may_confirm": True, "requires_dual_confirm": True}, False),
        (Channel.API, {}, False),
    ],
)
async def test_what_words_may_approve(
    hass: HomeAssistant,
    kitty: MockConfigEntry,
    brain: FakeBrain,
    channel: Channel,
    policy: Json,
    allowed: bool,
) -> None:
    """Words confirm a MEDIUM at most: a known person's, or a room's where the policy says so."""
    hass.config_entries.async_update_entry(kitty, options=rules("medium", **policy))
    event = await asked(brain, kitty, BOB)
    user_id = None if channel is Channel.VOICE else BOB
    outcome = await asyncio.gather(
        kitty.runtime_data.approvals.decide(
            event["id"], "approve", context=of(user_id), channel=channel
        ),
        return_exceptions=True,
    )
    assert isinstance(outcome[0], dict) is allowed


async def test_protection_that_is_not_worn(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """Where protective equipment is required, an approval without it is none."""
    options = rules()
    options["zones"][ZONE]["requires_ppe"] = True
    hass.config_entries.async_update_entry(kitty, options=options)
    await brain.received_command("safety.sync", 2)
    await heard(kitty)
    event = await asked(brain, kitty, BOB)
    with pytest.raises(Refused) as caught:
        await decide(kitty, event, "approve", BOB)
    assert caught.value.code == "ppe_required"
    decided = await kitty.runtime_data.approvals.decide(
        event["id"], "approve", context=of(BOB), ppe=True
    )
    assert decided["status"] == "approved"


async def test_expired_stays_expired_when_the_clock_goes_back(
    freezer: FrozenDateTimeFactory, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """A request that was once too old is not approved after the clock was set back."""
    event = await asked(brain, kitty, BOB)
    for seconds in (61, -61):
        freezer.tick(seconds)
        with pytest.raises(Refused) as caught:
            await decide(kitty, event, "approve", BOB)
        assert caught.value.code == "expired"


# Decisions on a phone.


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
    assert await hass.config_entries.async_reload(kitty.entry_id)
    await heard(kitty)
    assert len(phones.pushes[bob]) == 1
    await phones.press(bob, action)
    await brain.until(lambda: brain.events[event["id"]]["status"] == "approved")
    assert (await phones.shown(bob, 2))["message"] == "clear_notification"


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
    assert (await phones.shown(bob))["message"].endswith("\nnozzle: 210.0")


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
