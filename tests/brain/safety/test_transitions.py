"""Every pair of states: what is allowed happens, and every other is refused by the database."""

from collections.abc import Callable
from functools import partial

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from brain_server.protocol import CommandStatus, EventStatus
from brain_server.safety.step import Step
from brain_server.storage.tables import commands, events
from tests.brain.gatehouse import Gatehouse

# Written out and not read from the protocol, so that a slip there shows here.
EVENT_MOVES = {
    "pending": {"approved", "denied", "expired"},
    "approved": {"expired"},
    "denied": set(),
    "expired": set(),
}
COMMAND_MOVES = {
    "pending": {"claimed", "denied", "expired"},
    "deferred": {"claimed", "denied", "expired"},
    "claimed": {"sent", "acked", "failed", "unknown"},
    "sent": {"acked", "failed", "unknown"},
    "unknown": {"acked", "failed"},
    "acked": set(),
    "failed": set(),
    "denied": set(),
    "expired": set(),
}


def tried(step: Step, move: Callable[[], bool]) -> bool:
    """Try a move, and take it back."""
    attempt = step.connection.begin_nested()
    done = move()
    attempt.rollback()
    return done


def test_every_state_stands_in_the_tables() -> None:
    """Nine states of a command, four of an event."""
    assert COMMAND_MOVES.keys() == set(CommandStatus)
    assert EVENT_MOVES.keys() == set(EventStatus)


@pytest.mark.parametrize("source", COMMAND_MOVES)
async def test_a_command_moves_only_as_it_may(house: Gatehouse, source: str) -> None:
    """From one state, to each state there is."""
    event = await house.event()
    same = commands.c.id == event["command_id"]

    def reach(step: Step) -> set[str]:
        step.connection.execute(update(commands).where(same).values(status=source))
        command = step.one_command(event["command_id"])
        return {
            target.value
            for target in CommandStatus
            if tried(step, partial(step.move_command, command, target))
        }

    assert await house.gate.step(reach) == COMMAND_MOVES[source]


@pytest.mark.parametrize("source", EVENT_MOVES)
async def test_an_event_moves_only_as_it_may(house: Gatehouse, source: str) -> None:
    """From one state, to each state there is."""
    event = await house.event()
    same = events.c.id == event["id"]

    def reach(step: Step) -> set[str]:
        step.connection.execute(update(events).where(same).values(status=source, approved_by=["x"]))
        row = step.connection.execute(select(events).where(same)).one()
        return {
            target.value
            for target in EventStatus
            if tried(step, partial(step.move_event, row, target))
        }

    assert await house.gate.step(reach) == EVENT_MOVES[source]


async def test_a_move_is_decided_by_the_row_and_not_by_what_was_read_before(
    house: Gatehouse,
) -> None:
    """Somebody else may have moved it since: a stale copy of the row wins nothing."""
    event = await house.approved()

    def twice(step: Step) -> list[bool]:
        stale = step.one_command(event["command_id"])
        return [step.move_command(stale, CommandStatus.CLAIMED) for _ in range(2)]

    assert await house.gate.step(twice) == [True, False]


@pytest.mark.parametrize("approved_by", [None, []])
async def test_no_event_is_approved_by_nobody(
    house: Gatehouse, approved_by: list[str] | None
) -> None:
    """The database itself refuses an approval without an approver."""
    event = await house.event()
    change = (
        update(events)
        .where(events.c.id == event["id"])
        .values(status="approved", approved_by=approved_by)
    )
    with pytest.raises(IntegrityError):
        await house.database.write(lambda connection: connection.execute(change))
    assert await house.status(event) == ("pending", "pending")


async def test_an_event_without_its_command_cannot_exist(house: Gatehouse) -> None:
    """What was decided always says about what."""
    await house.event()
    row = (await house.rows(events))[0] | {"id": "e" * 32, "command_id": "c" * 32, "nonce": "n"}
    with pytest.raises(IntegrityError):
        await house.database.write(
            lambda connection: connection.execute(insert(events).values(row))
        )


async def test_a_command_has_one_event(house: Gatehouse) -> None:
    """A second event for the same command would be a second chance."""
    await house.event()
    row = (await house.rows(events))[0] | {"id": "e" * 32, "nonce": "n"}
    with pytest.raises(IntegrityError):
        await house.database.write(
            lambda connection: connection.execute(insert(events).values(row))
        )
