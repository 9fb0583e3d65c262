"""Deciding: what a decision must be, whose it may be, and what it then does."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from brain_server.errors import Forbidden, NotFound
from brain_server.protocol import VOICE_PERSON, Channel, Json
from brain_server.safety.decisions import DECISION_AGE
from brain_server.storage.tables import approvals, events, lockouts
from tests.brain.gatehouse import OTHER_KEY, Gatehouse, refusal


async def test_two_people_approve_a_high(house: Gatehouse) -> None:
    """Ada asked with her own finger, bob approves, and is there."""
    event = await house.event()
    await house.see("bob")
    decided = await house.approve(event, "bob")
    assert (decided["status"], decided["approved_by"], decided["people"]) == (
        "approved",
        ["bob"],
        ["ada", "bob"],
    )


async def test_a_request_by_voice_needs_two_others(house: Gatehouse) -> None:
    """Nobody stands behind a voice; the first approval alone changes nothing."""
    event = await house.event(by=None, channel=Channel.VOICE)
    await house.see("bob")
    first = await house.approve(event, "bob")
    second = await house.approve(event, "cyd")
    assert (first["status"], first["people"], first["eligible"]) == (
        "pending",
        ["bob"],
        ["ada", "cyd", "dan"],
    )
    assert (second["status"], second["approved_by"]) == ("approved", ["bob", "cyd"])


async def test_a_requester_is_counted_once(house: Gatehouse) -> None:
    """Who asked in Assist is none of the two and cannot become one by approving."""
    event = await house.event(channel=Channel.ASSIST)
    await house.see("bob")
    assert await refusal(house.approve(event, "ada")) == "self_approval"
    assert (await house.approve(event, "bob"))["status"] == "pending"
    assert (await house.approve(event, "cyd"))["status"] == "approved"


async def test_nobody_approves_their_own_high(house: Gatehouse) -> None:
    """Not even with every signature in order."""
    event = await house.event()
    await house.see("ada")
    assert await refusal(house.approve(event, "ada")) == "self_approval"
    assert await house.status(event) == ("pending", "pending")


async def test_a_requester_confirms_an_own_medium(house: Gatehouse) -> None:
    """The default of a zone without a policy."""
    event = await house.event(zone="shop")
    assert (await house.approve(event, "ada"))["status"] == "approved"


async def test_a_denial_ends_the_request(house: Gatehouse) -> None:
    """One no is enough; the command is over, too."""
    event = await house.event()
    decided = await house.deny(event, "bob")
    assert (decided["status"], decided["denied_by"], decided["reason"], decided["resolved_at"]) == (
        "denied",
        "bob",
        "denied",
        house.clock(),
    )
    assert await house.status(event) == ("denied", "denied")


async def test_anybody_may_deny(house: Gatehouse) -> None:
    """A denial is a safe direction: it needs no role and no code, only Home Assistant's word."""
    assert (await house.deny(await house.event(), "eve"))["status"] == "denied"


type Decide = Callable[..., Awaitable[Json]]


@pytest.mark.parametrize("later", [Gatehouse.approve, Gatehouse.deny])
async def test_after_a_denial_nothing_can_be_decided(house: Gatehouse, later: Decide) -> None:
    """Denied is the end."""
    event = await house.event()
    await house.deny(event, "bob")
    await house.see("cyd")
    assert await refusal(later(house, event, "cyd")) == "already_decided"
    assert await house.status(event) == ("denied", "denied")


async def test_after_an_approval_nothing_can_be_decided(house: Gatehouse) -> None:
    """A denial that comes after the second approval comes too late."""
    event = await house.approved()
    assert await refusal(house.deny(event, "cyd")) == "already_decided"
    assert await house.status(event) == ("approved", "pending")


async def test_a_person_who_approved_may_still_deny(house: Gatehouse) -> None:
    """While it is open, second thoughts win."""
    event = await house.event(by=None, channel=Channel.VOICE)
    await house.approve(event, "bob")
    house.clock.advance(1)
    await house.deny(event, "bob")
    assert await house.status(event) == ("denied", "denied")


async def test_the_same_person_on_two_devices_is_one_person(house: Gatehouse) -> None:
    """A second yes, newly signed, is the first one again."""
    event = await house.event(by=None, channel=Channel.VOICE)
    await house.see("bob")
    await house.approve(event, "bob")
    house.clock.advance(1)
    again = await house.approve(event, "bob", signed_channel=Channel.DASHBOARD)
    assert (again["status"], again["people"]) == ("pending", ["bob"])
    assert len(await house.rows(approvals)) == 1
    assert len(await house.trail("confirmed")) == 1


async def test_an_unknown_event_cannot_be_decided(house: Gatehouse) -> None:
    """Not found, and nothing is recorded against the person."""
    event = await house.event()
    with pytest.raises(NotFound, match="no such request"):
        await house.approve(event, "bob", event_id="e" * 32)


# -- what a decision must be --------------------------------------------------------------------------


@pytest.mark.parametrize("word", [True, False])
@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({"signature": ""}, "bad_signature"),
        ({"signature": "not base64"}, "bad_signature"),
        ({"signature": "ünsigned"}, "bad_signature"),
        ({"signature": "AAAA"}, "bad_signature"),
        ({"key": OTHER_KEY}, "bad_signature"),
        ({"signed_channel": Channel.ASSIST, "channel": Channel.MOBILE}, "bad_signature"),
        ({"user_id": "cyd"}, "bad_signature"),
        ({"at": 0.0}, "bad_signature"),
        ({"signed_ppe": False, "ppe": True}, "bad_signature"),
        ({"subject": "f" * 64}, "bad_signature"),
        ({"signed_subject": "f" * 64}, "wrong_subject"),
        ({"ago": DECISION_AGE + 1}, "stale_decision"),
        ({"ago": -DECISION_AGE - 1}, "stale_decision"),
    ],
)
async def test_what_home_assistant_did_not_sign_just_now_decides_nothing(
    house: Gatehouse, how: Json, code: str, word: bool
) -> None:
    """Neither a yes nor a no; the attempt is on record under the name that it used."""
    event = await house.event()
    await house.see("bob")
    assert await refusal(house.approve(event, "bob", approve=word, **how)) == code
    (row,) = await house.trail("approval_refused")
    assert (row["user_id"], row["data"]["reason"]) == (how.get("user_id", "bob"), code)
    assert await house.status(event) == ("pending", "pending")
    assert await house.rows(approvals) == []


async def test_a_no_cannot_be_turned_into_a_yes(house: Gatehouse) -> None:
    """The word is signed as well."""
    event = await house.event()
    await house.see("bob")
    no = house.signed(event, "bob", approve=False)
    assert await refusal(house.gate.decide(replace(no, approve=True))) == "bad_signature"


async def test_a_decision_of_two_minutes_ago_is_still_one(house: Gatehouse) -> None:
    """A phone may be slow."""
    event = await house.event("power_on", zone="shop")
    assert (await house.approve(event, "bob", ago=DECISION_AGE))["status"] == "approved"


async def test_before_home_assistant_is_paired_nothing_can_be_approved(house: Gatehouse) -> None:
    """There is no key to be trusted."""
    event = await house.event()
    await house.directory.unpair()
    assert await refusal(house.approve(event, "bob")) == "bad_signature"


async def test_a_decision_that_is_sent_again_changes_nothing(house: Gatehouse) -> None:
    """The answer to the first may have been lost; even after the end it is not a second decision."""
    event = await house.event()
    await house.see("bob")
    decision = house.signed(event, "bob")
    once = await house.gate.decide(decision)
    await house.claim(event)
    again = await house.gate.decide(decision)
    assert again == once
    assert len(await house.trail("approved")) == 1


async def test_a_decision_that_is_sent_again_with_other_words_is_refused(
    house: Gatehouse,
) -> None:
    """A signature that was good once does not make another text good."""
    event = await house.event()
    await house.see("bob")
    decision = house.signed(event, "bob")
    await house.gate.decide(decision)
    changed = replace(decision, subject="f" * 64)
    assert await refusal(house.gate.decide(changed)) == "bad_signature"


async def test_a_decision_cannot_be_replayed_for_another_event(house: Gatehouse) -> None:
    """Event, subject and nonce are in what was signed."""
    decision = house.signed(await house.event(), "bob")
    other = await house.event("open")
    await house.see("bob")
    moved = replace(decision, event_id=other["id"])
    pasted = replace(moved, subject=other["subject"])
    assert await refusal(house.gate.decide(moved)) == "bad_signature"
    assert await refusal(house.gate.decide(pasted)) == "bad_signature"
    assert await house.status(other) == ("pending", "pending")


async def test_a_signature_of_the_same_wish_asked_twice_fits_only_its_own(house: Gatehouse) -> None:
    """Each event has its own nonce, even for the same device, words and second."""
    subjects = {(await house.event(by=name))["subject"] for name in ("ada", "bob", "cyd")}
    assert len(subjects) == 3


@pytest.mark.parametrize(
    "changed",
    [
        {"params": {"file": "other.gcode"}},
        {"intent": "print_resume", "params": {}},
        {"device": "e" * 32},
        {"zone": "forge"},
    ],
)
async def test_the_subject_is_bound_to_what_people_saw(house: Gatehouse, changed: Json) -> None:
    """Another device, intent, parameter or zone is another subject."""
    shown: Json = {"intent": "print_start", "zone": "shop", "params": {"file": "cube.gcode"}}
    seen = await house.event(**shown)
    other = await house.event(**shown | changed)
    assert await refusal(house.approve(other, "ada", subject=seen["subject"])) == "bad_signature"
    signed: Json = {"signed_subject": seen["subject"], "ppe": True}
    assert await refusal(house.approve(other, "ada", **signed)) == "wrong_subject"


# -- time ---------------------------------------------------------------------------------------------


async def test_a_request_can_be_approved_until_it_expires(house: Gatehouse) -> None:
    """A door has a minute."""
    event = await house.event()
    house.clock.advance(59.9)
    await house.see("bob")
    assert (await house.approve(event, "bob"))["status"] == "approved"


@pytest.mark.parametrize("decide", [Gatehouse.approve, Gatehouse.deny])
async def test_a_late_decision_finds_the_request_expired(house: Gatehouse, decide: Decide) -> None:
    """It closes it, if nothing else has."""
    event = await house.event()
    house.clock.advance(60)
    assert await refusal(decide(house, event, "bob")) == "expired"
    assert await house.status(event) == ("expired", "expired")
    assert await refusal(decide(house, event, "bob")) == "expired"
    assert [row["event_id"] for row in await house.trail("expired")] == [event["id"]]


# -- who ----------------------------------------------------------------------------------------------


async def test_a_role_that_the_zone_does_not_ask_for_does_not_approve(house: Gatehouse) -> None:
    """The refusal names the roles that would."""
    await house.rule("shop", required_roles=["engineer", "safety"])
    event = await house.event(zone="shop")
    with pytest.raises(Forbidden) as refused:
        await house.approve(event, "ada")
    assert (refused.value.code, refused.value.fields) == (
        "role_required",
        {"roles": "engineer, safety"},
    )


async def test_a_role_that_was_taken_away_does_not_approve(house: Gatehouse) -> None:
    """Removed between the request and the decision."""
    event = await house.event()
    await house.see("bob")
    house.people["bob"]["active"] = False
    await house.sync()
    assert await refusal(house.approve(event, "bob")) == "not_registered"


async def test_an_approval_of_somebody_who_left_does_not_stand_in_the_way(
    house: Gatehouse,
) -> None:
    """Two others can still be the two."""
    event = await house.event(by=None, channel=Channel.VOICE)
    await house.see("cyd")
    await house.approve(event, "bob")
    house.people["bob"]["active"] = False
    await house.sync()
    assert (await house.approve(event, "cyd"))["people"] == ["cyd"]
    assert (await house.approve(event, "dan"))["status"] == "approved"
    assert await refusal(house.claim(event)) is None


async def test_presence_is_asked_for_while_it_can_still_be_mended(house: Gatehouse) -> None:
    """The last approval is refused, not wasted: bob walks in and approves again."""
    event = await house.event()
    assert await refusal(house.approve(event, "bob")) == "presence_required"
    await house.see("bob")
    assert (await house.approve(event, "bob"))["status"] == "approved"


@pytest.mark.parametrize(
    ("seen", "code"),
    [
        ({"ago": 299}, None),
        ({"ago": 301}, "presence_required"),
        ({"ago": -5}, "presence_required"),
        ({"status": "unknown"}, "presence_required"),
        ({"status": "vacated"}, "presence_required"),
        ({"zone": "hall"}, "presence_required"),
        ({"source": "override", "by": "dan"}, None),
    ],
)
async def test_presence_counts_in_this_zone_and_while_fresh(
    house: Gatehouse, seen: Json, code: str | None
) -> None:
    """Within 300 seconds; an override counts and is on record."""
    event = await house.event()
    await house.see("bob", **seen)
    assert await refusal(house.approve(event, "bob")) == code


async def test_a_failing_check_is_named_to_the_last_approver(house: Gatehouse) -> None:
    """So that the fan can be switched on."""
    await house.rule("shop", checks=["fan_on"])
    event = await house.event(zone="shop")
    await house.check("shop", "fan_on", ok=False)
    with pytest.raises(Forbidden) as refused:
        await house.approve(event, "ada")
    assert (refused.value.code, refused.value.fields) == ("check_failed", {"check": "fan_on"})
    await house.check("shop", "fan_on")
    assert (await house.approve(event, "ada"))["status"] == "approved"


async def test_a_new_high_zone_is_enforced_without_any_policy(house: Gatehouse) -> None:
    """Two people and presence cannot be forgotten."""
    house.zones["vault"] = house.zones["lab"] | {"id": "vault", "name": "Vault"}
    await house.sync()
    event = await house.event(zone="vault")
    assert event["people_needed"] == 2
    assert await refusal(house.approve(event, "bob")) == "presence_required"


async def test_protective_equipment_is_asked_of_each_who_approves(house: Gatehouse) -> None:
    """A yes without it is refused, and the answer is kept."""
    event = await house.event(zone="forge")
    assert event["requires_ppe"]
    assert await refusal(house.approve(event, "ada")) == "ppe_required"
    assert (await house.approve(event, "ada", ppe=True))["status"] == "approved"
    assert [row["ppe"] for row in await house.rows(approvals)] == [True]


# -- voice --------------------------------------------------------------------------------------------


async def test_a_voice_confirms_a_medium_where_the_policy_says_so(house: Gatehouse) -> None:
    """Somebody in the room, whoever it was."""
    await house.rule("shop", voice_may_confirm=True)
    event = await house.event(zone="shop", by=None, channel=Channel.VOICE)
    decided = await house.approve(event, VOICE_PERSON, signed_channel=Channel.VOICE)
    assert (decided["status"], decided["voice_may_confirm"]) == ("approved", True)


@pytest.mark.parametrize("road", [Channel.MOBILE, Channel.ASSIST, Channel.AUTOMATION])
async def test_nobody_is_no_voice_on_another_road(house: Gatehouse, road: Channel) -> None:
    """A decision without a person counts only when it was spoken."""
    await house.rule("shop", voice_may_confirm=True)
    event = await house.event(zone="shop")
    refused = await refusal(house.approve(event, VOICE_PERSON, signed_channel=road))
    assert refused == "direct_approval_required"


@pytest.mark.parametrize("zone", ["shop", "lab"])
async def test_a_voice_confirms_nothing_elsewhere(house: Gatehouse, zone: str) -> None:
    """Not without a policy, and never a HIGH."""
    await house.rule("lab", voice_may_confirm=True)
    event = await house.event(zone=zone)
    spoken = house.approve(event, VOICE_PERSON, signed_channel=Channel.VOICE)
    assert await refusal(spoken) == "direct_approval_required"


# -- codes --------------------------------------------------------------------------------------------


async def test_who_has_a_code_needs_it(house: Gatehouse) -> None:
    """A phone left lying about approves nothing."""
    await house.set_pin("ada", "1234")
    event = await house.event(zone="shop")
    assert await refusal(house.approve(event, "ada")) == "pin_required"
    assert await refusal(house.approve(event, "ada", pin="4321")) == "wrong_pin"
    assert (await house.approve(event, "ada", pin="1234"))["status"] == "approved"


async def test_a_code_is_not_needed_to_deny(house: Gatehouse) -> None:
    """No is always free."""
    await house.set_pin("ada", "1234")
    assert (await house.deny(await house.event(zone="shop"), "ada"))["status"] == "denied"


async def test_a_code_that_nobody_asked_for_is_ignored(house: Gatehouse) -> None:
    """Who has none may type anything."""
    event = await house.event(zone="shop")
    assert (await house.approve(event, "ada", pin="1234"))["status"] == "approved"


async def test_the_duress_code_denies_and_raises_an_alarm(house: Gatehouse) -> None:
    """To whoever looks over the shoulder it is just not available."""
    await house.set_pin("ada", "1234", "9999")
    event = await house.event(zone="shop")
    decided = await house.approve(event, "ada", pin="9999")
    assert (decided["status"], decided["reason"]) == ("denied", "not_available")
    assert house.said("safety.duress") == [
        {"user_id": "ada", "event_id": event["id"], "device_id": event["device_id"]}
    ]
    assert [row["user_id"] for row in await house.trail("duress")] == ["ada"]
    assert await refusal(house.claim(event)) == "not_claimable"
    assert await house.status(event) == ("denied", "denied")


async def test_the_duress_code_raises_its_alarm_whatever_else_is_missing(house: Gatehouse) -> None:
    """Nobody there, no helmet, the wrong role: who is forced cannot choose the moment."""
    house.zones["forge"]["hazard_level"] = "high"
    await house.rule("forge", required_roles=["safety", "admin"])
    await house.set_pin("ada", "1234", "9999")
    event = await house.event(zone="forge", by="cyd")
    assert (await house.approve(event, "ada", pin="9999"))["reason"] == "not_available"
    assert len(house.said("safety.duress")) == 1


# -- taking back --------------------------------------------------------------------------------------


async def test_a_requester_takes_a_request_back(house: Gatehouse) -> None:
    """It ends like a denial, with its own reason."""
    event = await house.event()
    taken = await house.gate.withdraw(event["id"], "ada")
    assert (taken["status"], taken["reason"]) == ("denied", "withdrawn")
    assert [row["user_id"] for row in await house.trail("withdrawn")] == ["ada"]


async def test_only_the_requester_takes_a_request_back(house: Gatehouse) -> None:
    """Others deny."""
    event = await house.event()
    assert await refusal(house.gate.withdraw(event["id"], "bob")) == "not_yours"
    assert await refusal(house.gate.withdraw("e" * 32, "ada")) == "event_not_found"
    await house.deny(event, "bob")
    assert await refusal(house.gate.withdraw(event["id"], "ada")) == "already_decided"


async def test_every_decision_is_on_record_with_its_person_and_road(house: Gatehouse) -> None:
    """In the order in which it happened."""
    event = await house.event(by=None, channel=Channel.VOICE)
    await house.see("bob")
    await house.approve(event, "bob")
    await house.approve(event, "cyd", signed_channel=Channel.DASHBOARD)
    rows = await house.trail("requested", "confirmed", "approved")
    assert [(row["kind"], row["user_id"], row["data"]["channel"]) for row in rows] == [
        ("requested", None, "voice"),
        ("confirmed", "bob", "mobile"),
        ("approved", "cyd", "dashboard"),
    ]
    assert {row["event_id"] for row in rows} == {event["id"]}
    assert [row["resolved_at"] for row in await house.rows(events)] == [None]
    assert await house.rows(lockouts) == []
