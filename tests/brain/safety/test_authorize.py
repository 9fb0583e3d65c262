"""Asking: what is recorded, what is refused at once, and what is the same wish again."""

import asyncio

import pytest

from brain_server import storage
from brain_server.observability import request_id
from brain_server.protocol import Channel, CommandStatus, Json, subject_hash
from brain_server.safety.gate import IDEMPOTENCY_WINDOW
from brain_server.storage.tables import commands, events
from tests.brain.gatehouse import DOOR, Gatehouse, busy, refusal


async def test_a_safe_direction_runs_at_once(house: Gatehouse) -> None:
    """Whoever asks, wherever; it comes back claimed, with its row in the trail."""
    asked = await house.ask("lock", by=None, channel=Channel.AUTOMATION)
    assert (asked.command["status"], asked.event, asked.fresh) == ("claimed", None, True)
    (row,) = await house.trail("claimed")
    assert (row["command_id"], row["data"]["level"]) == (asked.command["id"], "low")


async def test_a_safe_direction_works_for_a_device_without_an_area(house: Gatehouse) -> None:
    """Locking is never held up."""
    assert (await house.ask("lock", zone=None)).command["status"] == "claimed"


async def test_a_hazard_waits_for_people_and_nothing_runs(house: Gatehouse) -> None:
    """The event says all that people need to see."""
    asked = await house.ask()
    assert asked.command["status"] == "pending"
    event = asked.event
    assert event
    assert {
        "level": "high",
        "people_needed": 2,
        "status": "pending",
        "people": ["ada"],
        "eligible": ["bob", "cyd", "dan"],
        "event_type": "unlock",
        "expires_at": house.clock() + 60,
        "initiated_by": "ada",
        "device_name": "Door",
        "resolved_at": None,
    }.items() <= event.items()
    assert await refusal(house.claim(event)) == "not_approved"


async def test_the_subject_is_the_hash_of_what_is_asked(house: Gatehouse) -> None:
    """Home Assistant computes it itself and compares."""
    await house.rule("shop")
    event = await house.event("print_start", zone="shop", params={"file": "cube.gcode"})
    assert event["subject"] == subject_hash(event)


@pytest.mark.parametrize(
    "other",
    [
        {"device_id": "e" * 32},
        {"intent": "print_resume"},
        {"params": {"file": "other.gcode"}},
        {"zone_id": "forge"},
        {"level": "low"},
        {"people_needed": 0},
        {"requires_ppe": True},
        {"initiated_by": "bob"},
        {"channel": "voice"},
        {"policy_version": 2},
        {"expires_at": 0.0},
        {"nonce": "f" * 32},
    ],
)
async def test_nothing_that_people_are_shown_can_differ_under_the_same_subject(
    house: Gatehouse, other: Json
) -> None:
    """Who asked, how dangerous it is and how many it takes are as much in it as what is to be done."""
    await house.rule("shop")
    event = await house.event("print_start", zone="shop", params={"file": "cube.gcode"})
    assert event | other != event
    assert event["subject"] != subject_hash(event | other)


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({"by": "somebody"}, "not_registered"),
        ({"by": "eve"}, "not_registered"),
        ({"zone": None}, "no_zone"),
        ({"zone": "nowhere"}, "no_zone"),
    ],
)
async def test_what_can_never_be_allowed_is_refused_and_recorded(
    house: Gatehouse, how: Json, code: str
) -> None:
    """No command comes of it."""
    assert await refusal(house.ask(**how)) == code
    assert await house.rows(commands) == []
    (row,) = await house.trail("refused")
    assert (row["data"]["reason"], row["data"]["intent"], row["user_id"]) == (
        code,
        "unlock",
        how.get("by", "ada"),
    )


async def test_a_high_that_nobody_else_may_approve_is_refused(house: Gatehouse) -> None:
    """In a house with one person."""
    house.people = {"ada": house.people["ada"]}
    await house.sync()
    assert await refusal(house.ask()) == "no_approver"


async def test_a_high_needs_two_whatever_its_policy_says(house: Gatehouse) -> None:
    """A policy cannot make it easier."""
    await house.rule("lab", requires_dual_confirm=False, requires_presence=False)
    event = await house.event()
    assert event["people_needed"] == 2
    assert await refusal(house.approve(event, "bob")) == "presence_required"


async def test_zones_that_become_dangerous_are_so_for_the_next_request(house: Gatehouse) -> None:
    """One switch in the options, two people at the door."""
    before = await house.event(zone="shop")
    house.zones["shop"]["hazard_level"] = "high"
    await house.sync()
    after = await house.event("open", zone="shop")
    assert (before["people_needed"], after["people_needed"]) == (1, 2)


async def test_the_audit_knows_the_request(house: Gatehouse) -> None:
    """The id of the frame or call that caused it, across threads."""
    token = request_id.set("call-7")
    await house.ask("lock")
    request_id.reset(token)
    await house.ask("lock")
    assert [row["request_id"] for row in await house.trail("claimed")] == ["call-7", None]


async def test_what_cannot_be_recorded_is_not_done(
    house: Gatehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even something safe, and it leaves no trace."""
    monkeypatch.setattr(storage, "BUSY_SECONDS", 0.01)
    await house.restart()
    with busy(house.url):
        assert await refusal(house.ask("lock")) == "database_busy"
        assert await house.rows(commands) == []


# -- once ---------------------------------------------------------------------------------------------


async def test_the_same_key_is_the_same_command(house: Gatehouse) -> None:
    """A double tap, a resend, a restart between: one effect."""
    once = await house.ask("lock", idempotency_key="ada:1")
    await house.gate.settle(once.command["id"], CommandStatus.ACKED, "observed")
    await house.restart()
    again = await house.ask("lock", idempotency_key="ada:1")
    assert (again.command["id"], again.command["status"], again.fresh) == (
        once.command["id"],
        "acked",
        False,
    )
    assert len(await house.rows(commands)) == 1


async def test_the_same_key_shows_the_event_that_waits(house: Gatehouse) -> None:
    """So that a reconnecting client finds its prompt again."""
    once = await house.ask(idempotency_key="ada:1")
    again = await house.ask(idempotency_key="ada:1")
    assert (again.event, again.fresh) == (once.event, False)


@pytest.mark.parametrize("other", [{"intent": "open"}, {"device": "e" * 32}, {"params": {"a": 1}}])
async def test_a_key_cannot_be_used_for_something_else(house: Gatehouse, other: Json) -> None:
    """That would hide one of the two."""
    await house.ask("lock", idempotency_key="ada:1")
    asked: Json = {"intent": "lock", "idempotency_key": "ada:1"} | other
    assert await refusal(house.ask(**asked)) == "idempotency_conflict"


async def test_a_key_is_free_again_after_a_day(house: Gatehouse) -> None:
    """Just within the window it is not."""
    once = await house.ask("lock", idempotency_key="ada:1")
    house.clock.advance(IDEMPOTENCY_WINDOW)
    assert not (await house.ask("lock", idempotency_key="ada:1")).fresh
    house.clock.advance(1)
    again = await house.ask("lock", idempotency_key="ada:1")
    assert again.fresh
    assert [row["idempotency_key"] for row in await house.rows(commands)] == [None, "ada:1"]
    assert again.command["id"] != once.command["id"]


async def test_twenty_taps_with_one_key_are_one_command(house: Gatehouse) -> None:
    """At once."""
    asked = await asyncio.gather(*(house.ask("lock", idempotency_key="ada:1") for _ in range(20)))
    assert [one.fresh for one in asked].count(True) == 1
    assert len({one.command["id"] for one in asked}) == 1


async def test_the_same_wish_while_it_waits_is_one_prompt(house: Gatehouse) -> None:
    """Without a key, too."""
    asked = [await house.ask() for _ in range(2)]
    assert [one.fresh for one in asked] == [True, False]
    assert len(await house.rows(events)) == 1


@pytest.mark.parametrize(
    "other", [{"by": "bob"}, {"device": "e" * 32}, {"zone": "vault"}, {"intent": "open"}]
)
async def test_another_wish_is_another_prompt(house: Gatehouse, other: Json) -> None:
    """Another person, device, place or intent."""
    house.zones["vault"] = house.zones["lab"] | {"id": "vault", "name": "Vault"}
    await house.sync()
    await house.ask()
    assert (await house.ask(**other)).fresh


async def test_a_wish_by_voice_and_one_with_a_finger_are_two(house: Gatehouse) -> None:
    """Only one of them has a person behind it."""
    spoken = await house.event(channel=Channel.ASSIST)
    pressed = await house.event(channel=Channel.DASHBOARD)
    again = await house.event(channel=Channel.MOBILE)
    assert (spoken["people"], pressed["people"]) == ([], ["ada"])
    assert again["id"] == pressed["id"] != spoken["id"]


async def test_what_is_over_is_asked_anew(house: Gatehouse) -> None:
    """Expired, though nothing has closed it yet; denied; approved."""
    first = await house.event()
    house.clock.advance(60)
    second = await house.event()
    await house.deny(second, "bob")
    third = await house.approved()
    fourth = await house.event()
    assert len({event["id"] for event in (first, second, third, fourth)}) == 4


async def test_other_parameters_are_another_wish(house: Gatehouse) -> None:
    """Another file is another print."""
    asked = [
        await house.ask("print_start", zone="shop", params={"file": name}) for name in ("a", "b")
    ]
    assert [one.fresh for one in asked] == [True, True]


# -- power off, but not yet ---------------------------------------------------------------------------


async def test_a_power_off_that_has_to_wait_is_deferred(house: Gatehouse) -> None:
    """Asked twice it waits once, and it is claimed when the printer is cool."""
    asked = [await house.ask("power_off", defer=True) for _ in range(2)]
    assert [one.command["status"] for one in asked] == ["deferred", "deferred"]
    assert [one.fresh for one in asked] == [True, False]
    command_id = asked[0].command["id"]
    claimed = await house.gate.claim(command_id, "lab")
    assert claimed["status"] == "claimed"
    assert await refusal(house.gate.claim(command_id, "lab")) == "not_claimable"
    assert [row["kind"] for row in await house.trail("deferred", "claimed")] == [
        "deferred",
        "claimed",
    ]


async def test_a_deferred_power_off_waits_as_long_as_it_takes(house: Gatehouse) -> None:
    """It does not expire, and a restart finds it."""
    asked = await house.ask("power_off", defer=True)
    house.clock.advance(86400)
    assert await house.gate.expire() is None
    await house.restart()
    ((command, event),) = await house.gate.open_work()
    assert (command["id"], command["status"], event) == (asked.command["id"], "deferred", None)


async def test_a_deferred_power_off_is_given_up_for_the_opposite(house: Gatehouse) -> None:
    """Of this device, and of no other."""
    here = await house.ask("power_off", defer=True)
    there = await house.ask("power_off", defer=True, device="e" * 32)
    await house.gate.drop_deferred(DOOR, "superseded")
    found = {row["id"]: (row["status"], row["detail"]) for row in await house.rows(commands)}
    assert found == {
        here.command["id"]: ("denied", "superseded"),
        there.command["id"]: ("deferred", None),
    }
    assert await refusal(house.gate.claim(here.command["id"], "lab")) == "not_claimable"
    assert [row["data"]["reason"] for row in await house.trail("denied")] == ["superseded"]
