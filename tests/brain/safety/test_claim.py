"""Doing: the claim is judged again, wins once, and every outcome is settled once."""

import base64

import pytest

from brain_server.errors import NotFound
from brain_server.protocol import Channel, CommandStatus, Json, grant_bytes
from brain_server.safety.gate import GRANT_TTL
from brain_server.safety.keys import verify
from brain_server.storage.tables import events
from tests.brain.gatehouse import Gatehouse, refusal

ACKED, FAILED, UNKNOWN = CommandStatus.ACKED, CommandStatus.FAILED, CommandStatus.UNKNOWN


async def test_an_approved_command_is_claimed_once(house: Gatehouse) -> None:
    """The second claim finds it taken."""
    event = await house.approved()
    claimed = await house.claim(event)
    assert (claimed["status"], claimed["claimed_at"]) == ("claimed", house.clock())
    assert await refusal(house.claim(event)) == "not_claimable"
    assert len(await house.trail("claimed")) == 1


async def test_a_request_cannot_be_claimed_before_it_is_approved(house: Gatehouse) -> None:
    """Trying does not end it: people may still decide; the attempt is on record."""
    event = await house.event(by=None, channel=Channel.VOICE)
    await house.approve(event, "bob")
    assert await refusal(house.claim(event)) == "not_approved"
    assert await house.status(event) == ("pending", "pending")
    assert [row["data"]["reason"] for row in await house.trail("refused_at_claim")] == [
        "not_approved"
    ]


async def test_what_was_denied_cannot_be_claimed(house: Gatehouse) -> None:
    """Ever."""
    event = await house.event()
    await house.deny(event, "bob")
    assert await refusal(house.claim(event)) == "not_claimable"


async def test_an_unknown_command_cannot_be_claimed(house: Gatehouse) -> None:
    """Not found."""
    with pytest.raises(NotFound, match="no such command"):
        await house.gate.claim("c" * 32, "lab")


async def test_the_event_comes_before_the_deed(house: Gatehouse) -> None:
    """Requested, approved, claimed, sent, done: in this order, each at its time."""
    event = await house.event()
    await house.see("bob")
    for seconds, work in (
        (1, lambda: house.approve(event, "bob")),
        (2, lambda: house.claim(event)),
        (3, lambda: house.gate.sent(event["command_id"])),
        (4, lambda: house.gate.settle(event["command_id"], ACKED, "observed")),
    ):
        house.clock.advance(seconds)
        await work()
    rows = [row for row in await house.trail() if row["command_id"] == event["command_id"]]
    assert [row["kind"] for row in rows] == ["requested", "approved", "claimed", "sent", "acked"]
    assert [row["at"] - rows[0]["at"] for row in rows] == [0, 1, 3, 6, 10]


# -- what may have changed since the approval ---------------------------------------------------------


async def test_a_role_removed_since_takes_the_approval_back(house: Gatehouse) -> None:
    """Bob approved, and then was no longer one of us."""
    event = await house.approved()
    del house.people["bob"]
    await house.sync()
    assert await refusal(house.claim(event)) == "approval_withdrawn"
    assert await house.status(event) == ("expired", "expired")


async def test_a_requester_who_lost_the_role_no_longer_counts(house: Gatehouse) -> None:
    """Ada was the other of the two."""
    event = await house.approved()
    house.people["ada"]["active"] = False
    await house.sync()
    assert await refusal(house.claim(event)) == "approval_withdrawn"


async def test_somebody_locked_out_since_no_longer_counts(house: Gatehouse) -> None:
    """Five wrong tokens between the approval and the claim."""
    event = await house.approved()
    for _ in range(5):
        await house.gate.attempt("bob", "wrong_token", None)
    assert await refusal(house.claim(event)) == "approval_withdrawn"


@pytest.mark.parametrize(("after", "code"), [(49, None), (51, "presence_required")])
async def test_presence_has_to_last_until_the_claim(
    house: Gatehouse, after: float, code: str | None
) -> None:
    """Seen 250 s before the approval, it is good for 50 more."""
    await house.see("bob", ago=250)
    event = await house.approve(await house.event(), "bob")
    house.clock.advance(after)
    assert await refusal(house.claim(event)) == code


async def test_a_person_who_left_is_not_there(house: Gatehouse) -> None:
    """Vacated between the approval and the claim."""
    event = await house.approved()
    await house.see("bob", status="vacated")
    assert await refusal(house.claim(event)) == "presence_required"
    assert [row["data"]["reason"] for row in await house.trail("refused_at_claim")] == [
        "presence_required"
    ]


async def test_a_check_that_fails_since_is_named(house: Gatehouse) -> None:
    """The fan went off."""
    await house.rule("lab", checks=["fan_on"])
    await house.check("lab", "fan_on")
    event = await house.approved()
    await house.check("lab", "fan_on", ok=False)
    assert await refusal(house.claim(event)) == "check_failed"


@pytest.mark.parametrize(
    "change",
    [
        {"requires_presence": True},
        {"presence_ttl": 600.0},
        {"voice_may_confirm": True},
        {"required_roles": ["engineer", "operator"]},
    ],
)
async def test_a_changed_policy_voids_what_was_approved_under_the_old_one(
    house: Gatehouse, change: Json
) -> None:
    """Even one that would still allow it."""
    await house.rule("lab")
    event = await house.approved()
    await house.rule("lab", **change)
    assert await refusal(house.claim(event)) == "policy_changed"


async def test_a_policy_removed_and_made_again_is_another_policy(house: Gatehouse) -> None:
    """Word for word the same, yet what was approved under the first is void."""
    await house.rule("lab")
    event = await house.approved()
    old = house.policies.pop("lab")
    await house.sync()
    house.policies["lab"] = old
    await house.sync()
    assert await refusal(house.claim(event)) == "policy_changed"


async def test_a_policy_that_came_and_went_voids_what_was_approved_before_it(
    house: Gatehouse,
) -> None:
    """The default of afterwards is not the default of before; also when the zone went with it."""
    for gone in ("policies", "zones"):
        event = await house.approved()
        await house.rule("lab", requires_presence=True)
        kept = dict(house.zones)
        del house.policies["lab"]
        getattr(house, gone).pop("lab", None)
        await house.sync()
        house.zones = kept
        await house.sync()
        assert await refusal(house.claim(event)) == "policy_changed"


async def test_the_same_policy_sent_again_changes_nothing(house: Gatehouse) -> None:
    """Home Assistant syncs at each connection."""
    await house.rule("lab")
    event = await house.approved()
    await house.sync()
    assert await refusal(house.claim(event)) is None


@pytest.mark.parametrize(
    "change", [{"hazard_level": "medium"}, {"hazard_level": "low"}, {"requires_ppe": True}]
)
async def test_a_zone_of_another_danger_voids_the_approval(house: Gatehouse, change: Json) -> None:
    """Up or down: it is not what people agreed to."""
    event = await house.approved()
    house.zones["lab"] |= change
    await house.sync()
    assert await refusal(house.claim(event)) == "policy_changed"


async def test_a_zone_that_needs_less_equipment_voids_nothing(house: Gatehouse) -> None:
    """People agreed to more than is asked now."""
    event = await house.approve(await house.event(zone="forge"), "ada", ppe=True)
    house.zones["forge"]["requires_ppe"] = False
    await house.sync()
    assert await refusal(house.claim(event)) is None


async def test_a_zone_that_is_gone_voids_the_approval(house: Gatehouse) -> None:
    """Its level is no longer known."""
    event = await house.approved()
    del house.zones["lab"]
    await house.sync()
    assert await refusal(house.claim(event)) == "policy_changed"


async def test_a_medium_in_a_zone_that_is_gone_does_not_run(house: Gatehouse) -> None:
    """The level of the intent is the same without the zone, and still there is no rule for it."""
    event = await house.approve(await house.event(zone="shop"), "ada")
    del house.zones["shop"]
    await house.sync()
    assert await refusal(house.claim(event)) == "no_zone"


async def test_a_device_that_was_moved_is_not_what_people_approved(house: Gatehouse) -> None:
    """From one dangerous zone to another."""
    event = await house.approved()
    assert await refusal(house.claim(event, "vault")) == "policy_changed"


async def test_a_voice_no_longer_trusted_takes_its_word_back(house: Gatehouse) -> None:
    """The policy has a new version anyway."""
    await house.rule("shop", voice_may_confirm=True)
    event = await house.event(zone="shop", by=None, channel=Channel.VOICE)
    await house.approve(event, "voice", signed_channel=Channel.VOICE)
    await house.rule("shop", voice_may_confirm=False)
    assert await refusal(house.claim(event)) == "policy_changed"


# -- the end ------------------------------------------------------------------------------------------


async def test_an_event_is_resolved_when_its_command_is_done(house: Gatehouse) -> None:
    """Not when it is approved, not when it is sent."""
    event = await house.approved()
    await house.claim(event)
    await house.gate.sent(event["command_id"])
    assert [row["resolved_at"] for row in await house.rows(events)] == [None]
    house.clock.advance(3)
    settled = await house.gate.settle(event["command_id"], ACKED, "observed")
    assert (settled["status"], settled["ack_at"]) == ("acked", house.clock())
    assert [row["resolved_at"] for row in await house.rows(events)] == [house.clock()]


async def test_a_failed_command_has_no_time_of_acknowledgement(house: Gatehouse) -> None:
    """It failed."""
    event = await house.approved()
    await house.claim(event)
    settled = await house.gate.settle(event["command_id"], FAILED, "device_refused")
    assert (settled["status"], settled["ack_at"], settled["detail"]) == (
        "failed",
        None,
        "device_refused",
    )


@pytest.mark.parametrize("first", [ACKED, FAILED])
@pytest.mark.parametrize("second", [ACKED, FAILED, UNKNOWN])
async def test_a_late_outcome_is_logged_and_not_applied(
    house: Gatehouse, first: CommandStatus, second: CommandStatus
) -> None:
    """What is settled stays settled."""
    event = await house.approved()
    await house.claim(event)
    before = await house.gate.settle(event["command_id"], first, "one")
    after = await house.gate.settle(event["command_id"], second, "two")
    assert after == before
    (late,) = await house.trail("late_outcome")
    assert (late["data"]["outcome"], late["data"]["detail"]) == (second.value, "two")


@pytest.mark.parametrize("outcome", [ACKED, FAILED, UNKNOWN])
async def test_a_command_that_was_never_claimed_has_no_outcome(
    house: Gatehouse, outcome: CommandStatus
) -> None:
    """Approved is not done."""
    event = await house.approved()
    assert (await house.gate.settle(event["command_id"], outcome, None))["status"] == "pending"
    assert len(await house.trail("late_outcome")) == 1


async def test_a_command_that_was_never_claimed_is_not_sent(house: Gatehouse) -> None:
    """And nothing says that it was."""
    event = await house.approved()
    await house.gate.sent(event["command_id"])
    assert await house.status(event) == ("approved", "pending")
    assert await house.trail("sent") == []


async def test_an_unknown_outcome_is_settled_only_by_a_person(house: Gatehouse) -> None:
    """A device that wakes up later proves nothing; somebody who looked does."""
    event = await house.approved()
    await house.claim(event)
    await house.gate.settle(event["command_id"], UNKNOWN, "no_answer")
    assert [row["resolved_at"] for row in await house.rows(events)] == [None]
    late = await house.gate.settle(event["command_id"], ACKED, "observed")
    assert late["status"] == "unknown"
    looked = await house.gate.settle(event["command_id"], ACKED, "I looked", user_id="ada")
    assert looked["status"] == "acked"
    assert [row["kind"] for row in await house.trail("late_outcome", "acked")] == [
        "late_outcome",
        "acked",
    ]


async def test_a_long_detail_is_cut_for_the_table_and_kept_in_the_trail(house: Gatehouse) -> None:
    """A device may talk a lot."""
    asked = await house.ask("lock")
    settled = await house.gate.settle(asked.command["id"], FAILED, "x" * 300)
    (row,) = await house.trail("failed")
    assert (len(settled["detail"]), len(row["data"]["detail"])) == (255, 300)


async def test_evidence_is_linked_and_its_hash_is_in_the_chain(house: Gatehouse) -> None:
    """A picture cannot be swapped later."""
    event = await house.approved()
    await house.gate.keep_evidence(event["id"], "evidence/1", "f" * 64)
    assert house.said("safety.event")[-1]["evidence_key"] == "evidence/1"
    assert await house.gate.evidence_digest(event["id"]) == "f" * 64
    assert await house.gate.evidence_digest("e" * 32) is None
    (row,) = await house.trail("evidence")
    assert (row["event_id"], row["data"]) == (
        event["id"],
        {"key": "evidence/1", "sha256": "f" * 64},
    )


# -- grants -------------------------------------------------------------------------------------------


async def test_a_grant_says_what_was_approved_and_is_signed(house: Gatehouse) -> None:
    """By the key that Home Assistant pinned, for half a minute."""
    event = await house.approved()
    claimed = await house.claim(event)
    signed = house.gate.grant(claimed, event)
    grant = signed["grant"]
    assert {
        "command_id": event["command_id"],
        "event_id": event["id"],
        "subject": event["subject"],
        "level": "high",
        "people": ["ada", "bob"],
        "issued_at": house.clock(),
        "expires_at": house.clock() + GRANT_TTL,
    }.items() <= grant.items()
    assert verify(house.keys.public_key, signed["signature"], grant_bytes(grant))
    assert not verify(
        house.keys.public_key, signed["signature"], grant_bytes(grant | {"intent": "open"})
    )


async def test_a_grant_does_not_outlive_its_approval(house: Gatehouse) -> None:
    """Claimed in the last second, it is good for that second."""
    event = await house.approved()
    house.clock.advance(59)
    grant = house.gate.grant(await house.claim(event), event)["grant"]
    assert grant["expires_at"] == event["expires_at"]


async def test_a_grant_of_a_safe_direction_names_nobody(house: Gatehouse) -> None:
    """It needs nobody, and each one is new."""
    asked = await house.ask("lock")
    grants = [house.gate.grant(asked.command, None)["grant"] for _ in range(2)]
    assert [(grant["level"], grant["people"], grant["event_id"]) for grant in grants] == [
        ("low", [], None)
    ] * 2
    assert grants[0]["nonce"] != grants[1]["nonce"]


def test_a_signature_that_is_no_base64_is_none() -> None:
    """Nor is one of the wrong length."""
    key = base64.b64encode(bytes(32)).decode()
    assert [verify(key, text, b"") for text in ("é", "!", "AAAA", "")] == [False] * 4


async def test_each_step_is_told_to_who_listens(house: Gatehouse) -> None:
    """Of the command and of its event, in order."""
    event = await house.approved()
    await house.claim(event)
    await house.gate.sent(event["command_id"])
    await house.gate.settle(event["command_id"], ACKED, "observed")
    assert [said["status"] for said in house.said("command.updated")] == [
        "pending",
        "claimed",
        "sent",
        "acked",
    ]
    assert [(said["status"], said["resolved_at"]) for said in house.said("safety.event")] == [
        ("pending", None),
        ("approved", None),
        ("approved", house.clock()),
    ]
