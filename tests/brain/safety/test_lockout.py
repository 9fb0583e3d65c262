"""Wrong attempts: counted per person, locked out longer each time, and let in again."""

from collections.abc import Callable

import pytest

from brain_server.errors import Forbidden
from brain_server.safety.lockout import FORGET_AFTER, LONGEST_LOCK, count
from brain_server.safety.step import Step
from brain_server.storage.tables import lockouts
from tests.brain.gatehouse import OTHER_KEY, Gatehouse, refusal


async def wrong_codes(house: Gatehouse, times: int) -> list[str | None]:
    """Let ada mistype her code for something in the shop, and return the refusals."""
    event = await house.event(zone="shop", by="bob")
    return [await refusal(house.approve(event, "ada", pin="0000")) for _ in range(times)]


async def test_the_fifth_wrong_code_locks_a_person_out(house: Gatehouse) -> None:
    """Then not even the right one opens; it is told to whoever listens."""
    await house.set_pin("ada", "1234")
    assert await wrong_codes(house, 6) == ["wrong_pin"] * 5 + ["locked_out"]
    event = await house.event(zone="shop", by="bob")
    assert await refusal(house.approve(event, "ada", pin="1234")) == "locked_out"
    until = house.clock() + 60
    assert house.said("safety.lockout") == [
        {"user_id": "ada", "until": until, "reason": "wrong_pin"}
    ]
    assert [row["data"]["until"] for row in await house.trail("lockout")] == [until]


async def test_a_lockout_ends(house: Gatehouse) -> None:
    """After a minute the right code opens, and the count starts anew."""
    await house.set_pin("ada", "1234")
    await wrong_codes(house, 5)
    event = await house.event(zone="shop", by="bob")
    with pytest.raises(Forbidden) as refused:
        await house.approve(event, "ada", pin="1234")
    house.clock.advance(refused.value.fields["retry_after"])
    again = await house.event(zone="shop", by="bob")
    assert (await house.approve(again, "ada", pin="1234"))["status"] == "approved"
    assert await house.rows(lockouts) == []


async def test_each_further_attempt_locks_out_for_twice_as_long(house: Gatehouse) -> None:
    """Up to an hour, and not further however often."""

    def keep_trying(times: int) -> Callable[[Step], list[float | None]]:
        return lambda step: [count(step.connection, "ada", step.now, 5) for _ in range(times)]

    untils = await house.gate.step(keep_trying(13))
    assert [until and until - house.clock() for until in untils] == (
        [None] * 4 + [60, 120, 240, 480, 960, 1920, LONGEST_LOCK, LONGEST_LOCK, LONGEST_LOCK]
    )
    assert (await house.gate.step(keep_trying(2000)))[-1] == house.clock() + LONGEST_LOCK


async def test_old_attempts_are_forgotten_after_a_day(house: Gatehouse) -> None:
    """Four yesterday and four today lock nobody out."""
    await house.set_pin("ada", "1234")
    await wrong_codes(house, 4)
    house.clock.advance(FORGET_AFTER + 1)
    assert await wrong_codes(house, 5) == ["wrong_pin"] * 5
    assert await wrong_codes(house, 1) == ["locked_out"]


async def test_a_denial_does_not_wipe_out_the_count(house: Gatehouse) -> None:
    """Else four guesses, a denial, four guesses, and so on, would find any code."""
    await house.set_pin("ada", "1234")
    await wrong_codes(house, 4)
    await house.deny(await house.event("open"), "ada")
    assert await wrong_codes(house, 2) == ["wrong_pin", "locked_out"]


@pytest.mark.parametrize("reason", ["wrong_token", "foreign_token"])
async def test_a_wrong_token_counts_against_who_used_it(house: Gatehouse, reason: str) -> None:
    """Home Assistant saw it and reports it."""
    for _ in range(5):
        await house.gate.attempt("bob", reason, None)
    assert [said["user_id"] for said in house.said("safety.lockout")] == ["bob"]
    assert await refusal(house.ask(by="bob")) == "locked_out"
    assert len(await house.trail("attempt")) == 5


async def test_a_token_that_was_only_too_old_counts_against_nobody(house: Gatehouse) -> None:
    """A notification of yesterday is no attack; it is on record."""
    for _ in range(6):
        await house.gate.attempt("bob", "expired_token", None)
    assert await house.rows(lockouts) == []
    assert len(await house.trail("attempt")) == 6


async def test_an_unsigned_decision_locks_nobody_out(house: Gatehouse) -> None:
    """Else anyone could lock out anyone by naming them."""
    event = await house.event()
    for _ in range(6):
        await refusal(house.approve(event, "bob", key=OTHER_KEY))
    assert await house.rows(lockouts) == []
    assert len(await house.trail("approval_refused")) == 6


async def test_a_stranger_who_keeps_trying_is_locked_out(house: Gatehouse) -> None:
    """A user of Home Assistant without a role here."""
    event = await house.event()
    codes = [await refusal(house.approve(event, "eve")) for _ in range(6)]
    assert codes == ["not_registered"] * 6
    assert [said["user_id"] for said in house.said("safety.lockout")] == ["eve", "eve"]


async def test_who_is_locked_out_may_still_lock_the_door(house: Gatehouse) -> None:
    """And deny."""
    event = await house.event()
    for _ in range(5):
        await house.gate.attempt("bob", "wrong_token", None)
    assert (await house.ask("lock", by="bob")).command["status"] == "claimed"
    assert (await house.deny(event, "bob"))["status"] == "denied"
