"""The audit trail: nothing of it can be changed, and whoever does it all the same is found out."""

from collections.abc import Callable

import pytest
from sqlalchemy import Connection, Executable, delete, text, update
from sqlalchemy.exc import DBAPIError

from brain_server.protocol import Json
from brain_server.safety.audit import GENESIS, Chain, Head, search
from brain_server.storage.tables import audit
from tests.brain.gatehouse import Gatehouse

UNLOCK = {
    "sqlite": ("DROP TRIGGER audit_log_no_update", "DROP TRIGGER audit_log_no_delete"),
    "postgresql": ("DROP TRIGGER audit_log_append_only ON audit_log",),
}


async def tamper(house: Gatehouse, *statements: Executable) -> None:
    """Do what somebody with the database in hands could do."""

    def work(connection: Connection) -> None:
        for trigger in UNLOCK[connection.dialect.name]:
            connection.execute(text(trigger))
        for statement in statements:
            connection.execute(statement)

    await house.database.write(work)


async def tale(house: Gatehouse) -> list[Json]:
    """Let something happen and return its rows."""
    event = await house.approved()
    await house.claim(event)
    return await house.trail()


async def test_a_chain_of_things_that_happened_holds(house: Gatehouse) -> None:
    """Numbered without a gap, each on the shoulders of the last."""
    rows = await tale(house)
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    assert [row["previous"] for row in rows] == ["0" * 64, *(row["hash"] for row in rows[:-1])]
    head, problem = await house.database.read(house.gate.chain.verify)
    assert (head, problem) == (Head(rows[-1]["seq"], rows[-1]["hash"]), None)


async def test_an_empty_chain_holds(house: Gatehouse) -> None:
    """Its head is row zero."""
    await tamper(house, delete(audit))
    assert await house.database.read(house.gate.chain.verify) == (Head(0, GENESIS), None)


@pytest.mark.parametrize(
    "statement",
    [
        update(audit).where(audit.c.seq == 1).values(kind="nothing"),
        update(audit).values(data={}),
        delete(audit).where(audit.c.seq == 1),
        delete(audit),
    ],
)
async def test_the_database_refuses_to_change_the_trail(
    house: Gatehouse, statement: Executable
) -> None:
    """It only grows."""
    before = await tale(house)
    with pytest.raises(DBAPIError, match="append-only"):
        await house.database.write(lambda connection: connection.execute(statement))
    assert await house.trail() == before


@pytest.mark.service
@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_the_trail_cannot_be_truncated(house: Gatehouse) -> None:
    """A statement that SQLite does not have."""
    with pytest.raises(DBAPIError, match="append-only"):
        await house.database.write(
            lambda connection: connection.execute(text("TRUNCATE audit_log"))
        )


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("at", 0.0),
        ("kind", "denied"),
        ("user_id", "mallory"),
        ("user_id", None),
        ("device_id", "e" * 32),
        ("event_id", None),
        ("command_id", "c" * 32),
        ("request_id", "r"),
        ("data", {"intent": "lock"}),
        ("hash", "f" * 64),
    ],
)
async def test_a_changed_row_is_found(house: Gatehouse, column: str, value: object) -> None:
    """Whatever column it is."""
    rows = await tale(house)
    approved = next(row["seq"] for row in rows if row["kind"] == "approved")
    await tamper(house, update(audit).where(audit.c.seq == approved).values({column: value}))
    head, problem = await house.database.read(house.gate.chain.verify)
    assert problem == f"row {approved} was changed"
    assert head.seq == approved - 1


async def test_a_row_that_follows_another_is_found(house: Gatehouse) -> None:
    """A branch of the chain, grafted on."""
    await tale(house)
    await tamper(house, update(audit).where(audit.c.seq == 3).values(previous="f" * 64))
    assert await house.problem() == "row 3 does not follow row 2"


@pytest.mark.parametrize("seq", [1, 3])
async def test_a_removed_row_is_found(house: Gatehouse, seq: int) -> None:
    """The first as well."""
    await tale(house)
    await tamper(house, delete(audit).where(audit.c.seq == seq))
    assert await house.problem() == f"row {seq} is missing"


async def test_a_removed_row_with_all_later_ones_moved_up_is_found(house: Gatehouse) -> None:
    """The number is part of what is hashed."""
    rows = await tale(house)
    last = rows[-1]["seq"]
    await tamper(
        house,
        delete(audit).where(audit.c.seq == last - 1),
        update(audit)
        .where(audit.c.seq == last)
        .values(seq=last - 1, previous=rows[-2]["previous"]),
    )
    assert await house.problem() == f"row {last - 1} was changed"


async def test_an_end_that_was_cut_off_is_found_by_who_saw_it(house: Gatehouse) -> None:
    """The rest holds by itself; Home Assistant's anchor does not fit."""
    rows = await tale(house)
    seen = Head(rows[-1]["seq"], rows[-1]["hash"])
    await tamper(house, delete(audit).where(audit.c.seq > 3))
    assert await house.problem() is None

    def contains(connection: Connection) -> bool:
        return house.gate.chain.contains(connection, seen)

    assert not await house.database.read(contains)


async def test_a_chain_cannot_be_forged_without_its_key(house: Gatehouse) -> None:
    """Who can write the database but not read the key file makes no row that holds."""
    rows = await tale(house)
    forger = Chain(b"not the key")
    await tamper(house, delete(audit).where(audit.c.seq == rows[-1]["seq"]))
    await house.database.write(lambda connection: forger.append(connection, "acked", at=0.0))
    assert await house.problem() == f"row {rows[-1]['seq']} was changed"


async def test_another_key_trusts_no_row(house: Gatehouse) -> None:
    """A key file that was lost shows at once."""
    await tale(house)
    other = Chain(bytes(32))
    assert await house.database.read(other.verify) == (Head(0, GENESIS), "row 1 was changed")


async def test_the_head_is_published_with_what_it_records(house: Gatehouse) -> None:
    """So that Home Assistant can remember it."""
    rows = await tale(house)
    assert house.said("audit.head")[-1] == {
        "seq": rows[-1]["seq"],
        "hash": rows[-1]["hash"],
        "at": house.clock(),
    }


FILTERS: list[tuple[Json, Callable[[Json], bool]]] = [
    ({}, lambda row: True),
    ({"kinds": ("approved", "claimed")}, lambda row: row["kind"] in {"approved", "claimed"}),
    ({"device_id": "d" * 32}, lambda row: row["device_id"] == "d" * 32),
    ({"user_id": "bob"}, lambda row: row["user_id"] == "bob"),
    ({"since": 1_900_000_000.0}, lambda row: True),
    ({"since": 1_900_000_001.0}, lambda row: False),
    ({"after": 3}, lambda row: row["seq"] > 3),
]


@pytest.mark.parametrize(("wanted", "fits"), FILTERS)
async def test_the_trail_is_searched(
    house: Gatehouse, wanted: Json, fits: Callable[[Json], bool]
) -> None:
    """By kind, device, person and time."""
    rows = await tale(house)
    how: Json = {"after": 0, "limit": 100} | wanted
    found = await house.database.read(lambda connection: search(connection, **how))
    assert found == [row for row in rows if fits(row)]


async def test_the_trail_is_read_backwards(house: Gatehouse) -> None:
    """The newest first, then those before."""
    last = (await tale(house))[-1]["seq"]

    def page(after: int) -> Callable[[Connection], list[Json]]:
        return lambda connection: search(connection, after=after, limit=2, newest_first=True)

    pages = [await house.database.read(page(after)) for after in (0, last - 1)]
    assert [[row["seq"] for row in rows] for rows in pages] == [
        [last, last - 1],
        [last - 2, last - 3],
    ]


async def test_strange_words_are_kept_as_they_are(house: Gatehouse) -> None:
    """Quotes, code, other alphabets, half a character; the chain holds over them."""
    words = ["'); DROP TABLE audit_log; --", "ünï∂ 🐈", "\ud800", "a\u0000b", "x" * 10_000]
    await house.gate.step(lambda step: step.audit("note", data={"words": words}))
    (row,) = await house.trail("note")
    assert row["data"] == {"words": words}
    assert await house.problem() is None


async def test_numbers_come_back_as_they_were_hashed(house: Gatehouse) -> None:
    """Large, small, negative, whole or not."""
    numbers = [0.1 + 0.2, 1e300, -5e-324, 1.0, 2**63, 1_900_000_000.123456789]
    await house.gate.step(lambda step: step.audit("note", data={"numbers": numbers}))
    house.clock.now += 0.123456789
    await house.gate.step(lambda step: step.audit("note"))
    assert await house.problem() is None


async def test_the_trail_is_there_after_a_restart(house: Gatehouse) -> None:
    """Word for word."""
    rows = await tale(house)
    await house.restart()
    assert await house.trail() == rows
