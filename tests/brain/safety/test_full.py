"""A disk that is full: what is safe or happened already is recorded in the reserve, a hazard is refused.

A real disk is filled in tests/brain/storage; here it is a limit of the file, which goes with the reserve.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from brain_server.protocol import CommandStatus
from tests.brain.gatehouse import Clock, Gatehouse, refusal

# More than fits into a page that is begun.
LONG: Final = "x" * 20_000


def limit(house: Gatehouse, pages: int) -> None:
    """Let the database have so many pages, or those that it has."""
    with house.database._engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")


async def fill(house: Gatehouse) -> None:
    """Leave no page to be added."""
    await asyncio.to_thread(limit, house, 1)


@pytest.fixture
async def full(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Gatehouse]:
    """Give a gate on a disk that is full until the reserve is given up."""
    house = Gatehouse(f"sqlite:///{tmp_path / 'safety.db'}", tmp_path, clock)
    await house.open()
    await house.furnish()
    give_up = house.database._drop_ballast

    def freed() -> None:
        give_up()
        limit(house, 1_000_000)

    monkeypatch.setattr(house.database, "_drop_ballast", freed)
    yield house
    await house.close()
    (tmp_path / "safety.db.ballast").unlink(missing_ok=True)


async def test_what_is_safe_is_done_in_the_reserve(full: Gatehouse) -> None:
    """A door can be locked."""
    await fill(full)
    asked = await full.ask("lock", params={"note": LONG})
    assert asked.command["status"] == "claimed"
    assert [row["command_id"] for row in await full.trail("claimed")] == [asked.command["id"]]


async def test_a_hazard_is_refused_and_the_refusal_is_recorded(full: Gatehouse) -> None:
    """There is space for its row; what was asked for is not kept."""
    await fill(full)
    assert await refusal(full.ask("unlock", params={"note": LONG})) == "storage_full"
    assert [row["data"]["reason"] for row in await full.trail("refused")] == ["storage_full"]
    assert await full.trail("requested") == []


async def test_what_was_seen_is_recorded_in_the_reserve(full: Gatehouse) -> None:
    """The bolt has moved, whether there is space or not."""
    asked = await full.ask("lock")
    await fill(full)
    done = await full.gate.settle(asked.command["id"], CommandStatus.ACKED, LONG)
    assert done["status"] == "acked"
    assert await full.problem() is None
