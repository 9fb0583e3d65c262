"""What comes again comes once for each time, whatever happens to the brains and to the clock."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest
from sqlalchemy import select

from brain_server.commands import NoParams
from brain_server.errors import InvalidRequest, NotFound
from brain_server.protocol import Json
from brain_server.schedule import ChangeJob, JobName, Run
from brain_server.storage.tables import schedule
from tests.brain.gatehouse import Clock
from tests.brain.home import until
from tests.brain.overtaken import overtaken
from tests.brain.schedule.conftest import PERSON, Brain, House, eventually

HOUR = 3600.0


class Diary:
    """Which times of the job were worked on."""

    def __init__(self) -> None:
        self.due: list[float] = []

    async def note(self, run: Run) -> Json:
        self.due.append(run.payload["due"])
        return {"noted": len(self.due)}


@pytest.fixture
def diary() -> Diary:
    """Give an empty diary."""
    return Diary()


@pytest.fixture
async def hourly(home: House, diary: Diary) -> Brain:
    """Give a brain with a job that comes every hour."""
    brain = with_job(home, diary)
    await brain.schedule.start(alone=True)
    return brain


def with_job(home: House, diary: Diary, timing: str = "every 1h") -> Brain:
    """Make a brain that knows the job."""
    brain = home.brain()
    brain.can("note", diary.note)
    brain.schedule.every("note", timing)
    return brain


async def job(brain: Brain) -> Json:
    """Return the only job."""
    listed: Json = await brain.schedule.listed(PERSON, NoParams())
    items: list[Json] = listed["items"]
    [found] = items
    return found


async def ran(brain: Brain, times: int) -> Json:
    """Return the job when so many runs of it are over."""

    async def look() -> bool:
        return len(await brain.listed(status="completed")) >= times

    await eventually(look)
    return await job(brain)


async def still() -> None:
    """Let the brains look a few times."""
    await asyncio.sleep(0.1)  # time for what must not happen


async def test_a_job_comes_when_it_is_due_and_says_when_it_comes_next(
    hourly: Brain, clock: Clock, diary: Diary
) -> None:
    """Not before; and its result, its last and its next time are shown."""
    first = (await job(hourly))["next_at"]
    await still()
    assert diary.due == []
    clock.now = first
    row = await ran(hourly, 1)
    assert diary.due == [first]
    assert (row["last_at"], row["next_at"]) == (first, first + HOUR)
    assert (row["last"]["status"], row["last"]["result"]) == ("completed", {"noted": 1})


async def test_a_restart_moves_no_time(home: House, clock: Clock, diary: Diary) -> None:
    """The same jobs, the same next time."""
    first = with_job(home, diary)
    await first.schedule.start(alone=True)
    before = await job(first)
    await first.stop()
    clock.advance(60)
    second = with_job(home, diary)
    await second.schedule.start(alone=True)
    assert await job(second) == before


async def test_times_that_were_slept_through_are_made_up_for_once(
    home: House, clock: Clock, diary: Diary
) -> None:
    """After a day without a brain an hourly job runs once, and then in its rhythm."""
    first = with_job(home, diary)
    await first.schedule.start(alone=True)
    due = (await job(first))["next_at"]
    await first.stop()
    clock.now = due + 24.5 * HOUR
    second = with_job(home, diary)
    await second.schedule.start(alone=True)
    row = await ran(second, 1)
    await still()
    assert diary.due == [due]
    assert row["next_at"] == due + 25 * HOUR


async def test_two_brains_let_a_time_come_once(home: House, clock: Clock, diary: Diary) -> None:
    """Twenty times, two brains that both look: twenty runs."""
    brains = [with_job(home, diary), with_job(home, diary)]
    for brain in brains:
        await brain.schedule.start(alone=False)
    due = (await job(brains[0]))["next_at"]
    for number in range(20):
        clock.now = due + number * HOUR
        await ran(brains[0], number + 1)
    await still()
    assert diary.due == [due + number * HOUR for number in range(20)]


async def test_a_brain_that_looks_while_another_moves_a_job_does_not_move_it_back(
    home: House, clock: Clock, diary: Diary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time was far off when it began to look, and has come when it reads the row."""
    first, second = with_job(home, diary), with_job(home, diary)
    await home.database.write(first.schedule._enter)
    due = (await job(first))["next_at"]
    read = home.database.read

    async def late(work: Any) -> Any:
        monkeypatch.undo()
        clock.now = due
        await first.schedule._look()
        return await read(work)

    monkeypatch.setattr(home.database, "read", late)
    await second.schedule._look()
    assert (await job(first))["next_at"] == due + HOUR


async def test_what_a_job_became_last_is_told_last(home: House, diary: Diary) -> None:
    """However long it takes to read what it was before."""
    brain = with_job(home, diary)
    await home.database.write(brain.schedule._enter)
    told: list[Json] = []
    brain.bus.listen("schedule.updated", lambda event: told.append(event.data))

    def turn(*, on: bool) -> Awaitable[Json]:
        return brain.schedule.change(PERSON, ChangeJob(name="note", enabled=on))

    await overtaken(home.database, lambda: turn(on=False), lambda: turn(on=True))
    assert told[-1]["enabled"]


@pytest.mark.parametrize("jump", [-2 * HOUR, 2 * HOUR])
async def test_a_clock_that_is_wrong_for_a_while_lets_no_time_come_twice(
    hourly: Brain, clock: Clock, diary: Diary, jump: float
) -> None:
    """Each time has one run, also when the clock passes it again."""
    due = (await job(hourly))["next_at"]
    clock.now = due
    await ran(hourly, 1)
    clock.advance(jump)
    await still()
    clock.now = due + 1
    await still()
    clock.now = due + 3 * HOUR
    await ran(hourly, 2)
    await still()
    assert len(set(diary.due)) == len(diary.due)


async def test_a_clock_that_was_years_ahead_does_not_silence_a_job(
    hourly: Brain, clock: Clock, diary: Diary
) -> None:
    """When it is right again, the next time is the next hour."""
    due = (await job(hourly))["next_at"]
    clock.now = due + 50_000 * HOUR
    await ran(hourly, 1)
    clock.now = due + 10
    await still()
    assert (await job(hourly))["next_at"] == due + HOUR


async def test_a_person_runs_a_job_now_and_twice_is_once(home: House, diary: Diary) -> None:
    """A second tap while it waits is the same run; it says who asked."""
    go_on = asyncio.Event()

    async def note(run: Run) -> Json:
        await go_on.wait()
        return await diary.note(run)

    brain = home.brain()
    brain.can("note", note)
    brain.schedule.every("note", "every 1h")
    await brain.schedule.start(alone=True)
    first, second = await asyncio.gather(
        brain.schedule.run_now(PERSON, JobName(name="note")),
        brain.schedule.run_now(PERSON, JobName(name="note")),
    )
    go_on.set()
    row = await brain.ended(first["work_id"])
    assert (row["requested_by"], row["status"]) == ("anna", "completed")
    assert (second["work_id"], len(diary.due)) == (first["work_id"], 1)


async def test_a_person_changes_when_a_job_comes_and_it_stays_so(
    hourly: Brain, home: House, clock: Clock, diary: Diary
) -> None:
    """Also when a later version has another default."""
    changed = await hourly.schedule.change(PERSON, ChangeJob(name="note", timing="daily 12:00"))
    await hourly.stop()
    later = with_job(home, diary, timing="every 5m")
    await later.schedule.start(alone=True)
    row = await job(later)
    assert (row["timing"], row["next_at"]) == ("daily 12:00", changed["next_at"])


async def test_a_new_default_is_taken_where_no_person_chose(
    hourly: Brain, home: House, diary: Diary
) -> None:
    """What nobody set follows the program."""
    await hourly.stop()
    later = with_job(home, diary, timing="every 5m")
    await later.schedule.start(alone=True)
    assert (await job(later))["timing"] == "every 5m"


async def test_a_job_that_is_switched_off_does_not_come(
    hourly: Brain, clock: Clock, diary: Diary
) -> None:
    """Until it is switched on; what passed meanwhile is not made up for."""
    due = (await job(hourly))["next_at"]
    await hourly.schedule.change(PERSON, ChangeJob(name="note", enabled=False))
    clock.now = due + 3 * HOUR
    await still()
    assert (diary.due, (await job(hourly))["overdue"]) == ([], False)
    row = await hourly.schedule.change(PERSON, ChangeJob(name="note", enabled=True))
    assert row["next_at"] == due + 4 * HOUR


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"name": "nope"}, "scheduled_job_not_found"),
        ({"name": "note", "timing": "noon"}, "invalid_timing"),
    ],
)
async def test_a_change_that_makes_no_sense_is_refused(
    hourly: Brain, given: Json, code: str
) -> None:
    """And nothing is changed."""
    before = await job(hourly)
    with pytest.raises((InvalidRequest, NotFound)) as caught:
        await hourly.schedule.change(PERSON, ChangeJob(**given))
    assert (caught.value.code, await job(hourly)) == (code, before)


async def test_a_job_that_cannot_begin_is_overdue_after_its_grace(
    home: House, clock: Clock, diary: Diary
) -> None:
    """Its time came, but what does it is blocked: health names it."""
    brain = home.brain()
    brain.can("note", diary.note, blocked=lambda: "off")
    brain.schedule.every("note", "every 1h", grace=600)
    await brain.schedule.start(alone=True)
    clock.now = (await job(brain))["next_at"]
    await eventually(lambda: brain.listed(status="pending"))
    assert await brain.schedule.health() is None
    clock.advance(601)
    assert await brain.schedule.health() == "Overdue: note"


async def test_whoever_watches_sees_a_job_move(hourly: Brain, clock: Clock, diary: Diary) -> None:
    """Its row comes again when its run begins and when it is over."""
    seen: list[str | None] = []
    hourly.bus.listen(
        "schedule.updated", lambda event: seen.append((event.data["last"] or {}).get("status"))
    )
    clock.now = (await job(hourly))["next_at"]
    await ran(hourly, 1)
    await until(lambda: "completed" in seen, "the end is shown")


async def test_two_jobs_of_one_kind_are_a_mistake_of_the_program(brain: Brain) -> None:
    """A kind of work has one handler."""
    brain.can("sum", Diary().note)
    with pytest.raises(ValueError, match="sum"):
        brain.can("sum", Diary().note)


async def test_the_times_outlive_the_work(hourly: Brain, home: House, clock: Clock) -> None:
    """When old runs are forgotten, the schedule is not."""
    clock.now = (await job(hourly))["next_at"]
    await ran(hourly, 1)
    await hourly.schedule.change(PERSON, ChangeJob(name="note", enabled=False))
    clock.advance(40 * 24 * HOUR)
    await hourly.schedule.tidy()
    kept = await home.database.read(lambda connection: connection.execute(select(schedule)).all())
    assert (len(kept), (await job(hourly))["last"]) == (1, None)
