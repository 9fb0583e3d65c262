"""A real brain whose clock is set while a job is due: each time comes once, and the next one is right."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
import json
import os
from pathlib import Path
import sys
from typing import Any

from aiohttp import ClientSession
import pytest

from brain_server.protocol import Json
from tests.brain.home import ROOT, TOKEN
from tests.brain.schedule.conftest import eventually
from tests.standins.clock import SetClock

pytestmark = [pytest.mark.service, pytest.mark.slow, pytest.mark.timeout(300)]

LIMIT = 30.0
DAILY = "daily_health_check"
OFTEN = "task_execution_cycle"


@dataclass
class Served:
    """A brain in a process, and what shows it the time."""

    clock: SetClock
    session: ClientSession

    async def act(self, action: str, **params: Any) -> Json:
        """Run a command."""
        body = {"action": action, "params": params}
        async with self.session.post("/api/v1/actions", json=body) as answer:
            told = await answer.json()
            assert answer.status in {200, 202}, told
            data: Json = told["data"]
            return data

    async def job(self, name: str) -> Json:
        """Return a job."""
        rows = (await self.act("schedule.list"))["items"]
        found: Json = next(row for row in rows if row["name"] == name)
        return found

    async def comes(self, name: str, moment: str) -> Json:
        """Return a job when it comes next at this time."""

        async def look() -> Json | None:
            found = await self.job(name)
            return found if found["next_at"] == at(moment) else None

        return await eventually(look, LIMIT)

    async def ran(self, name: str, times: int) -> list[Json]:
        """Return the runs of a job when there are so many and all are over."""

        async def look() -> list[Json] | None:
            found: list[Json] = (await self.act("work.list", kind=name))["items"]
            over = [one for one in found if one["status"] == "completed"]
            return found if len(found) == len(over) >= times else None

        return await eventually(look, LIMIT)


@asynccontextmanager
async def brain(folder: Path, moment: str) -> AsyncIterator[Served]:
    """Run a brain that was started at this time."""
    clock = SetClock(folder / "clock", moment)
    own = {"KITTY_DATA_DIR": str(folder), "KITTY_PORT": "0", "KITTY_TOKEN": TOKEN}
    with (folder / "log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "brain_server", "serve"),
            env=os.environ | own | clock.environment,
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    assert process.stdout is not None
    try:
        port = json.loads(await asyncio.wait_for(process.stdout.readline(), LIMIT))["port"]
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with ClientSession(f"http://127.0.0.1:{port}", headers=headers) as session:
            yield Served(clock, session)
        process.terminate()
        assert await asyncio.wait_for(process.wait(), LIMIT) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def at(moment: str) -> float:
    """Return a time of UTC in POSIX seconds."""
    return datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize("jump", ["13:59", "09:59"])
async def test_a_clock_that_jumps_two_hours_at_a_due_time_lets_it_come_once(
    tmp_path: Path, jump: str
) -> None:
    """There and back, at the moment at which two jobs are due."""
    async with brain(tmp_path, "2030-03-17 11:50") as made:
        made.clock.set("2030-03-17 11:59:59")
        await made.ran(DAILY, 1)
        made.clock.set(f"2030-03-17 {jump}:58")
        await asyncio.sleep(3)  # over another time of the one that comes often
        made.clock.set("2030-03-17 12:00:05")
        job = await made.comes(DAILY, "2030-03-18 12:00")
        await made.comes(OFTEN, "2030-03-17 12:15")
        await asyncio.sleep(1.5)  # time for what must not happen
        daily, often = await made.ran(DAILY, 1), await made.ran(OFTEN, 1)
        tries = [await made.act("work.get", work_id=one["id"]) for one in [*daily, *often]]
        asked = await made.act("schedule.run", name=OFTEN)
        ended = await made.ran(OFTEN, len(often) + 1)
    assert len(daily) == 1
    assert job["overdue"] is False
    assert {row["attempts"][0]["outcome"] for row in tries} == {"completed"}
    assert {len(row["attempts"]) for row in tries} == {1}
    assert asked["work_id"] in [one["id"] for one in ended]


@pytest.mark.parametrize(
    ("before", "over", "due", "following"),
    [
        # 02:30 does not exist in Berlin that night.
        ("2030-03-31 01:29:59", "2030-03-31 02:31", "2030-03-31 01:30", "2030-04-01 00:30"),
        # It exists twice.
        ("2030-10-27 00:29:59", "2030-10-27 01:31", "2030-10-27 00:30", "2030-10-28 01:30"),
    ],
    ids=["spring", "autumn"],
)
async def test_in_a_night_in_which_clocks_change_a_time_comes_once(
    tmp_path: Path, before: str, over: str, due: str, following: str
) -> None:
    """At half past two, by the clock on the wall of Berlin."""
    async with brain(tmp_path, f"{before[:10]} 00:00") as made:
        timing = "daily 02:30 Europe/Berlin"
        changed = await made.act("schedule.change", name=DAILY, timing=timing)
        made.clock.set(before)
        (run,) = await made.ran(DAILY, 1)
        made.clock.set(over)
        job = await made.comes(DAILY, following)
        await asyncio.sleep(1.5)  # time for what must not happen
        runs = await made.ran(DAILY, 1)
    assert changed["next_at"] == at(due)
    assert [one["id"] for one in runs] == [run["id"]]
    assert job["last_at"] == at(due)
