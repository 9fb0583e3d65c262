"""A person's own code is changed with the one in force; a wrong one counts, the one for duress tells."""

import pytest

from brain_server.commands import Page
from brain_server.safety.directory import PersonParams
from brain_server.storage.tables import users
from tests.brain.gatehouse import Clock, Gatehouse, integration, refusal

OLD = "1234"
DURESS = "9999"
NEW = "5678"


async def hashes(house: Gatehouse, person: str) -> tuple[bytes | None, bytes | None]:
    """Return what is stored of a person's codes."""
    row = next(row for row in await house.rows(users) if row["id"] == person)
    return row["pin_hash"], row["duress_hash"]


async def approves(house: Gatehouse, pin: str | None) -> str | None:
    """Let ada approve something of her own with a code; return why that is refused."""
    return await refusal(house.approve(await house.event(zone="shop"), "ada", pin=pin))


async def test_a_code_is_changed_with_the_one_in_force(house: Gatehouse) -> None:
    """From then on the new one counts."""
    await house.set_pin("ada", OLD)
    await house.set_pin("ada", NEW, old=OLD)
    assert await approves(house, OLD) == "wrong_pin"
    assert await approves(house, NEW) is None


@pytest.mark.parametrize("pin", [NEW, None])
async def test_without_the_code_in_force_nothing_changes(house: Gatehouse, pin: str | None) -> None:
    """Neither is it changed nor cleared."""
    await house.set_pin("ada", OLD, DURESS)
    before = await hashes(house, "ada")
    assert await refusal(house.set_pin("ada", pin)) == "pin_required"
    assert await refusal(house.set_pin("ada", pin, old="0000")) == "wrong_pin"
    assert await hashes(house, "ada") == before


async def test_a_new_code_without_one_for_duress_leaves_none(house: Gatehouse) -> None:
    """A code that nobody remembers would be an alarm that nobody understands."""
    await house.set_pin("ada", OLD, DURESS)
    await house.set_pin("ada", NEW, old=OLD)
    assert (await hashes(house, "ada"))[1] is None


async def test_there_is_no_code_for_duress_alone(house: Gatehouse) -> None:
    """Nobody would be asked for it."""
    await house.set_pin("ada", None, DURESS)
    assert await hashes(house, "ada") == (None, None)


async def test_wrong_old_codes_lock_a_person_out(house: Gatehouse, clock: Clock) -> None:
    """Also from changing the code, though they know it now; until the time is over."""
    await house.set_pin("ada", OLD)
    for _ in range(5):
        assert await refusal(house.set_pin("ada", NEW, old="0000")) == "wrong_pin"
    assert await refusal(house.set_pin("ada", NEW, old=OLD)) == "locked_out"
    assert [told["user_id"] for told in house.said("safety.lockout")] == ["ada"]
    assert await refusal(house.ask(zone="shop")) == "locked_out"
    clock.advance(61)
    await house.set_pin("ada", NEW, old=OLD)


async def test_whoever_knows_the_old_code_starts_anew(house: Gatehouse) -> None:
    """As with an approval."""
    await house.set_pin("ada", OLD)
    for _ in range(4):
        assert await refusal(house.set_pin("ada", NEW, old="0000")) == "wrong_pin"
    await house.set_pin("ada", NEW, old=OLD)
    assert await approves(house, "0000") == "wrong_pin"
    assert house.said("safety.lockout") == []


async def test_the_code_for_duress_looks_like_a_wrong_one_and_raises_its_alarm(
    house: Gatehouse,
) -> None:
    """Nothing changes, and it counts as an attempt: whoever forces a person sees no difference."""
    await house.set_pin("ada", OLD, DURESS)
    before = await hashes(house, "ada")
    for _ in range(5):
        assert await refusal(house.set_pin("ada", NEW, old=DURESS)) == "wrong_pin"
    assert await hashes(house, "ada") == before
    about = {"user_id": "ada", "event_id": None, "device_id": None}
    assert house.said("safety.duress") == [about] * 5
    assert len(house.said("safety.lockout")) == 1


async def test_what_was_tried_is_on_record_without_a_code(house: Gatehouse) -> None:
    """Who, and what became of it."""
    await house.set_pin("ada", OLD, DURESS)
    await refusal(house.set_pin("ada", NEW, old="0000"))
    await refusal(house.set_pin("ada", NEW, old=DURESS))
    await house.set_pin("ada", NEW, old=OLD)
    rows = await house.trail("pin_changed", "pin_refused", "pin_duress")
    kinds = ["pin_changed", "pin_refused", "pin_duress", "pin_changed"]
    assert [(row["kind"], row["user_id"]) for row in rows] == [(kind, "ada") for kind in kinds]
    assert [
        code for code in (OLD, DURESS, NEW, "0000") if code in repr([r["data"] for r in rows])
    ] == []


# -- of another person --------------------------------------------------------------------------------


async def test_the_codes_of_another_are_cleared_and_it_is_on_record_by_whom(
    house: Gatehouse,
) -> None:
    """Who has forgotten a code gets a new one by setting it."""
    await house.set_pin("ada", OLD, DURESS)
    await house.directory.reset_pin(integration("dan"), PersonParams(user_id="ada"))
    assert await hashes(house, "ada") == (None, None)
    (row,) = await house.trail("pin_reset")
    assert (row["user_id"], row["data"]) == ("dan", {"person": "ada"})
    assert await approves(house, None) is None


@pytest.mark.parametrize(
    ("by", "person", "code"),
    [
        ("dan", "dan", "pin_required"),
        ("dan", "somebody", "user_not_found"),
        (None, "ada", "person_decides"),
    ],
)
async def test_a_reset_is_of_somebody_else_and_by_somebody(
    house: Gatehouse, by: str | None, person: str, code: str
) -> None:
    """One's own code is changed with the old one, and no automation takes it away."""
    reset = house.directory.reset_pin(integration(by), PersonParams(user_id=person))
    assert await refusal(reset) == code


async def test_home_assistant_knows_who_has_a_code(house: Gatehouse) -> None:
    """And says so to that person."""
    await house.set_pin("ada", OLD)
    listed = await house.directory.users(integration(), Page())
    assert [one["id"] for one in listed["items"] if one["has_code"]] == ["ada"]


# -- who is where -------------------------------------------------------------------------------------


async def test_who_is_where_is_told_when_it_differs(house: Gatehouse, clock: Clock) -> None:
    """Once for each news; the same evidence again is none."""
    await house.see("bob")
    await house.see("bob")
    assert len(house.said("presence.updated")) == 1
    clock.advance(60)
    await house.see("bob")
    await house.see("bob", status="vacated")
    told = house.said("presence.updated")
    assert [one["status"] for one in told] == ["present", "present", "vacated"]
    assert told[-1] == (await house.directory.seen())[0]
