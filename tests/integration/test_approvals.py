"""Requests and decisions of people: on a dashboard, on real phones of the companion app, by voice."""

import asyncio
from typing import Any
from unittest.mock import patch

from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
)

from custom_components.kitty.const import DOMAIN
from custom_components.kitty.errors import BrainError, BrainUnavailable, KittyError, Refused
from custom_components.kitty.origin import Caller
from custom_components.kitty.protocol import Channel, Json

from .conftest import (
    ADA,
    BOB,
    DOOR,
    EVE,
    ZONE,
    decide,
    heard,
    of,
    request,
    rules,
    until,
)
from .fake_brain import FakeBrain, FakeError
from .press import asked

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
    known = kitty.runtime_data.coordinator.data
    assert [one["device_id"] for one in known.events.values()] == [DOOR]
    assert [one["device_id"] for one in known.commands.values()] == [DOOR]


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


async def test_what_was_not_shown_is_not_decided(kitty: MockConfigEntry, brain: FakeBrain) -> None:
    """A person decides what was seen; what is not what it says is decided by nobody."""
    event = (await request(kitty, "unlock", ADA))["event"]
    with pytest.raises(Refused) as caught:
        await kitty.runtime_data.approvals.decide(
            event["id"], "approve", context=of(BOB), subject="another"
        )
    assert caught.value.code == "wrong_subject"
    await brain.push("safety.event", event | {"params": {"sly": True}})
    await until(kitty, lambda data: data.events[event["id"]]["params"])
    with pytest.raises(Refused) as caught:
        await decide(kitty, event, "approve", BOB)
    assert caught.value.code == "wrong_subject"
    assert brain.sent("safety.decide") == []


async def test_words_alone_approve_nothing(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """What a model presses in a chat is not a yes to our question; it may deny."""
    event = (await request(kitty, "unlock", ADA))["event"]
    with patch("custom_components.kitty.origin.current_chat_log") as chat:
        chat.get.return_value = object()
        with pytest.raises(Refused) as caught:
            await decide(kitty, event, "approve", BOB)
        assert caught.value.code == "direct_approval_required"
        assert (await decide(kitty, event, "deny", BOB))["status"] == "denied"


async def test_a_denial_stands_whatever_the_brain_answers(
    kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """A brain that refuses to hear a no does not get a yes for it."""
    event = (await request(kitty, "unlock", ADA))["event"]

    def refuse(_params: Json, _caller: Json | None) -> Json:
        raise FakeError("stale_decision")

    brain.answers["safety.decide"] = refuse
    with pytest.raises(BrainError):
        await decide(kitty, event, "deny", BOB)
    with pytest.raises(Refused) as caught:
        await decide(kitty, event, "approve", BOB)
    assert caught.value.code == "already_decided"


@pytest.mark.parametrize(("decision", "status"), [("approve", "approved"), ("deny", "denied")])
async def test_what_never_arrived_and_is_said_again_much_later_is_said_now(
    kitty: MockConfigEntry,
    brain: FakeBrain,
    issue_registry: ir.IssueRegistry,
    decision: str,
    status: str,
) -> None:
    """The first press was lost with the wire, and is too old by the second; no clock is wrong."""
    event = (await request(kitty, "unlock", ADA))["event"]
    ledger, takes = kitty.runtime_data.ledger, brain.answers["safety.decide"]
    lost = await ledger.record_decision(event, BOB, decision, channel="dashboard", ppe=False)

    def too_old(params: Json, caller: Json | None) -> Json:
        if params["at"] == lost["at"]:
            raise FakeError("stale_decision")
        return takes(params, caller)

    brain.answers["safety.decide"] = too_old
    assert (await decide(kitty, event, decision, BOB))["status"] == status
    assert ledger.event(event["id"])["decisions"][BOB]["status"] == "accepted"
    assert issue_registry.async_get_issue("kitty", f"clock_skew.{kitty.entry_id}") is None


async def test_a_requester_is_filled_in(kitty: MockConfigEntry, brain: FakeBrain) -> None:
    """A decision that was recorded before the request's answer came hides nobody."""
    ledger = kitty.runtime_data.ledger
    event = brain.event(DOOR, "unlock", zone_id=ZONE, initiated_by=ADA)
    await ledger.record_decision(event, BOB, "approve", channel="dashboard", ppe=False)
    for user_id in (ADA, BOB):
        caller = Caller(user_id=user_id, name=None, channel=Channel.DASHBOARD)
        await ledger.record_request(event, caller)
    known = ledger.event(event["id"])
    assert known is not None
    assert (known["requester"], list(known["decisions"])) == (ADA, [BOB])


async def test_clocks_that_differ_are_named_until_a_decision_is_taken(
    hass: HomeAssistant, kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """What was decided just now came to the brain as too old."""
    issues = ir.async_get(hass)
    skew = f"clock_skew.{kitty.entry_id}"
    event = (await request(kitty, "unlock", ADA))["event"]
    takes = brain.answers.pop("safety.decide")

    def refuse(_params: Json, _caller: Json | None) -> Json:
        raise FakeError("stale_decision")

    brain.answers["safety.decide"] = refuse
    with pytest.raises(BrainError):
        await decide(kitty, event, "approve", BOB)
    assert issues.async_get_issue("kitty", skew) is not None
    brain.answers["safety.decide"] = takes
    await decide(kitty, event, "approve", BOB)
    assert issues.async_get_issue("kitty", skew) is None
