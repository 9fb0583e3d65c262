"""The gate on the wire: its verbs take what the protocol says and answer with what it says."""

from typing import Literal

import pytest

from brain_server.commands import Caller, Scope, collect, prepare
from brain_server.errors import InvalidRequest, KittyError, NotFound
from brain_server.protocol import Channel, CommandStatus, EventStatus, Json
from brain_server.safety.commands import (
    AuditPage,
    CommandId,
    CommandsPage,
    EventId,
    EventsPage,
    Settle,
)
from tests.brain.gatehouse import DOOR, Gatehouse, integration, refusal


async def say(house: Gatehouse, caller: Caller, action: str, **params: object) -> Json:
    """Run a verb as the wire does."""
    spec = collect(house.verbs, house.directory)[action]
    answer: Json = await spec.run(caller, prepare(spec, caller, params))
    return answer


def spoken(house: Gatehouse, event: Json, person: str, word: str) -> Json:
    """Return the parameters of a signed decision."""
    decision = house.signed(event, person, approve=word == "approve")
    return {
        "event_id": event["id"],
        "decision": word,
        "subject": decision.subject,
        "at": decision.at,
        "signature": decision.signature,
    }


def test_every_verb_has_a_scope_that_fits(house: Gatehouse) -> None:
    """Only Home Assistant decides, tells who is who, and pins keys; whoever reads changes nothing."""
    verbs = collect(house.verbs, house.directory)
    by_scope = {
        scope: {name for name, spec in verbs.items() if spec.scope is scope} for scope in Scope
    }
    assert by_scope == {
        Scope.READ: {
            "audit.verify",
            "commands.get",
            "commands.list",
            "safety.event",
            "safety.events",
            "safety.checks",
            "safety.policies",
            "safety.users",
            "safety.zones",
        },
        Scope.CONTROL: {"commands.settle", "safety.withdraw"},
        Scope.ADMIN: {"audit.list"},
        Scope.INTEGRATION: {
            "audit.anchor",
            "audit.note",
            "integration.register",
            "safety.attempt",
            "safety.check",
            "safety.decide",
            "safety.pin",
            "safety.pin_reset",
            "safety.presence",
            "safety.presences",
            "safety.sync",
        },
    }
    reading = by_scope[Scope.READ] | by_scope[Scope.ADMIN]
    assert {name for name, spec in verbs.items() if spec.read_only} == reading


@pytest.mark.parametrize(("word", "status"), [("approve", "approved"), ("deny", "denied")])
async def test_a_decision_is_taken_over_the_wire(house: Gatehouse, word: str, status: str) -> None:
    """As the person that Home Assistant names, by the road that it names."""
    event = await house.event(zone="shop")
    params = spoken(house, event, "ada", word)
    assert (await say(house, integration("ada"), "safety.decide", **params))["status"] == status


async def test_a_decision_is_bound_to_the_person_of_the_frame(house: Gatehouse) -> None:
    """Signed for ada, sent as dan."""
    event = await house.event(zone="shop")
    params = spoken(house, event, "ada", "approve")
    assert await refusal(say(house, integration("dan"), "safety.decide", **params)) == (
        "bad_signature"
    )


async def test_a_decision_without_a_person_is_a_voice(house: Gatehouse) -> None:
    """Where the policy takes it."""
    await house.rule("shop", voice_may_confirm=True)
    event = await house.event(zone="shop", by=None, channel=Channel.VOICE)
    decision = house.signed(event, "voice", signed_channel=Channel.VOICE)
    params = spoken(house, event, "voice", "approve") | {"signature": decision.signature}
    caller = integration(None, Channel.VOICE)
    assert (await say(house, caller, "safety.decide", **params))["status"] == "approved"


@pytest.mark.parametrize(
    "wrong",
    [{"decision": "maybe"}, {"at": "now"}, {"at": float("nan")}, {"extra": 1}, {"subject": None}],
)
async def test_a_decision_that_makes_no_sense_is_refused(house: Gatehouse, wrong: Json) -> None:
    """With the field named."""
    params = spoken(house, await house.event(), "bob", "approve") | wrong
    with pytest.raises(InvalidRequest, match=next(iter(wrong))):
        await say(house, integration("bob"), "safety.decide", **params)


async def test_a_token_that_only_controls_decides_nothing(house: Gatehouse) -> None:
    """Nor may it say who is who."""
    caller = Caller(token="script", scope=Scope.CONTROL)
    codes = []
    for action in ("safety.decide", "safety.sync", "safety.presence", "audit.anchor"):
        with pytest.raises(KittyError) as refused:
            await say(house, caller, action)
        codes.append(refused.value.code)
    assert codes == ["scope_required"] * 4


async def test_a_request_is_taken_back_over_the_wire(house: Gatehouse) -> None:
    """By who asked."""
    event = await house.event()
    taken = await say(house, integration("ada"), "safety.withdraw", event_id=event["id"])
    assert (taken["status"], taken["reason"]) == ("denied", "withdrawn")


async def test_only_home_assistant_sees_the_nonce_of_a_request(house: Gatehouse) -> None:
    """With it somebody else could make a person's phone answer another request."""
    event = await house.event()
    reader = Caller(token="script", scope=Scope.READ)
    shown = [
        await say(house, caller, "safety.event", event_id=event["id"])
        for caller in (integration(), reader)
    ]
    assert [one.get("nonce") for one in shown] == [event["nonce"], None]


async def test_a_wrong_token_is_reported_over_the_wire(house: Gatehouse) -> None:
    """And counted."""
    params = {"user_id": "bob", "reason": "foreign_token", "event_id": None}
    assert await say(house, integration(), "safety.attempt", **params) == {}
    assert [row["user_id"] for row in await house.trail("attempt")] == ["bob"]


async def test_events_are_listed_page_by_page(house: Gatehouse) -> None:
    """Oldest first, by status if wanted."""
    made = [
        await house.event(intent, zone=zone)
        for intent in ("unlock", "open")
        for zone in ("lab", "shop")
    ]
    await house.deny(made[0], "bob")
    first = await house.verbs.events(integration(), EventsPage(limit=3))
    rest = await house.verbs.events(integration(), EventsPage(limit=3, cursor=first["cursor"]))
    assert [one["id"] for one in first["items"] + rest["items"]] == [one["id"] for one in made]
    assert rest["cursor"] is None
    denied = await house.verbs.events(integration(), EventsPage(status=EventStatus.DENIED))
    assert [one["id"] for one in denied["items"]] == [made[0]["id"]]


async def test_commands_are_listed_with_their_events(house: Gatehouse) -> None:
    """By device and status if wanted."""
    event = await house.event()
    lock = (await house.ask("lock", device="e" * 32)).command
    listed = await house.verbs.commands(integration(), CommandsPage())
    assert [(one["id"], one["event_id"]) for one in listed["items"]] == [
        (event["command_id"], event["id"]),
        (lock["id"], None),
    ]
    pages = [
        CommandsPage(device_id=DOOR),
        CommandsPage(status=CommandStatus.CLAIMED),
        CommandsPage(cursor=event["command_id"]),
        CommandsPage(device_id=DOOR, status=CommandStatus.CLAIMED),
    ]
    found = [(await house.verbs.commands(integration(), page))["items"] for page in pages]
    assert [[one["id"] for one in items] for items in found] == [
        [event["command_id"]],
        [lock["id"]],
        [lock["id"]],
        [],
    ]


async def test_one_command_is_shown(house: Gatehouse) -> None:
    """With its event; another id is not found."""
    event = await house.event()
    shown = await house.verbs.get(integration(), CommandId(command_id=event["command_id"]))
    assert (shown["status"], shown["event_id"]) == ("pending", event["id"])
    with pytest.raises(NotFound):
        await house.verbs.get(integration(), CommandId(command_id="c" * 32))


async def unknown(house: Gatehouse) -> str:
    """Return a command whose outcome nobody knows."""
    command = (await house.ask("lock")).command
    await house.gate.settle(command["id"], CommandStatus.UNKNOWN, "no_answer")
    return str(command["id"])


@pytest.mark.parametrize("outcome", ["acked", "failed"])
async def test_a_person_who_looked_settles_an_unknown_outcome(
    house: Gatehouse, outcome: Literal["acked", "failed"]
) -> None:
    """Under the own name."""
    params = Settle(command_id=await unknown(house), outcome=outcome)
    assert (await house.verbs.settle(integration("ada"), params))["status"] == outcome
    (row,) = await house.trail(outcome)
    assert row["user_id"] == "ada"


async def test_a_program_settles_nothing(house: Gatehouse) -> None:
    """It has no eyes."""
    params = Settle(command_id=await unknown(house), outcome="acked")
    assert await refusal(house.verbs.settle(integration(), params)) == "person_required"


async def test_a_known_outcome_is_not_settled_again(house: Gatehouse) -> None:
    """Nor one that is still on its way."""
    params = Settle(command_id=await unknown(house), outcome="acked")
    await house.verbs.settle(integration("ada"), params)
    assert await refusal(house.verbs.settle(integration("bob"), params)) == "not_unknown"
    under_way = Settle(command_id=(await house.ask("lock")).command["id"], outcome="acked")
    assert await refusal(house.verbs.settle(integration("bob"), under_way)) == "not_unknown"


async def test_the_trail_is_listed_page_by_page(house: Gatehouse) -> None:
    """In both directions; the cursor is a number."""
    await house.approved()
    last = (await house.trail())[-1]["seq"]
    first = await house.verbs.audit(integration(), AuditPage(limit=2))
    rest = await house.verbs.audit(integration(), AuditPage(cursor=first["cursor"]))
    back = await house.verbs.audit(integration(), AuditPage(limit=2, newest_first=True))
    assert [row["seq"] for row in first["items"] + rest["items"]] == list(range(1, last + 1))
    assert [row["seq"] for row in back["items"]] == [last, last - 1]
    assert await refusal(house.verbs.audit(integration(), AuditPage(cursor="x"))) == (
        "invalid_cursor"
    )


async def test_the_trail_is_listed_by_what_is_looked_for(house: Gatehouse) -> None:
    """One kind of one person at one device since some time."""
    await house.approved()
    wanted = AuditPage(kind="approved", user_id="bob", device_id=DOOR, since=house.clock())
    found = await house.verbs.audit(integration(), wanted)
    assert [row["kind"] for row in found["items"]] == ["approved"]


async def test_the_trail_is_listed_until_a_time(house: Gatehouse) -> None:
    """What happened at that time or later is left out."""
    await house.approved()
    first, second = (await house.verbs.audit(integration(), AuditPage(limit=2)))["items"]
    house.clock.advance(10)
    await house.ask("lock")
    until = AuditPage(until=second["at"] + 5)
    found = (await house.verbs.audit(integration(), until))["items"]
    assert found[0] == first
    assert max(row["at"] for row in found) < second["at"] + 5
    assert len(found) < len(await house.trail())


async def test_requests_are_listed_from_the_newest_on(house: Gatehouse) -> None:
    """The cursor goes on from where a page ended."""
    asked = [(await house.event(intent, zone="shop"))["id"] for intent in ("unlock", "open")]
    page = EventsPage(limit=1, newest_first=True)
    first = await house.verbs.events(integration(), page)
    rest = await house.verbs.events(
        integration(), EventsPage(cursor=first["cursor"], newest_first=True)
    )
    assert [one["id"] for one in first["items"] + rest["items"]] == asked[::-1]


async def test_one_request_is_told_by_its_id(house: Gatehouse) -> None:
    """Or that there is none."""
    event = await house.event(zone="shop")
    found = await house.verbs.event(integration(), EventId(event_id=event["id"]))
    assert (found["id"], found["status"]) == (event["id"], "pending")
    missing = house.verbs.event(integration(), EventId(event_id="0" * 32))
    assert await refusal(missing) == "event_not_found"


async def test_the_chain_is_verified_over_the_wire(house: Gatehouse) -> None:
    """With its head."""
    row = (await house.trail())[-1]
    assert await say(house, integration(), "audit.verify") == {
        "ok": True,
        "rows": row["seq"],
        "head": {"seq": row["seq"], "hash": row["hash"]},
        "problem": None,
    }


async def test_what_home_assistant_did_alone_is_noted(house: Gatehouse) -> None:
    """A door locked while the brain was away."""
    about = {"kind": "safe_direction", "user_id": "ada", "device_id": DOOR}
    await say(house, integration(), "audit.note", **about, data={"intent": "lock"})
    (row,) = await house.trail("ha_safe_direction")
    assert (row["user_id"], row["device_id"], row["data"]) == ("ada", DOOR, {"intent": "lock"})


async def test_what_is_in_force_is_listed_over_the_wire(house: Gatehouse) -> None:
    """For a token that may only read."""
    caller = Caller(token="panel", scope=Scope.READ)
    listed = [
        await say(house, caller, f"safety.{what}", limit=4)
        for what in ("users", "zones", "policies")
    ]
    assert [len(one["items"]) for one in listed] == [4, 4, 0]
