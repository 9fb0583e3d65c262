"""The seven jobs: each at its time by a clock that stands still, survives a death, and learns nothing from silence."""

from datetime import UTC, datetime
from typing import Any

import pytest

from brain_server.autonomy.jobs import TIMES
from brain_server.autonomy.knowledge import KEPT, STALE
from brain_server.autonomy.plan import Planned
from brain_server.memory import HOUSE
from brain_server.protocol import Json
from brain_server.storage import tables
from tests.brain.autonomy.works import DAY, Life, Works, eventually
from tests.brain.fabrication.prints import B
from tests.brain.gatehouse import Clock

KNOWLEDGE = "knowledge_base_update"
HOUR = 3600.0


def at(text: str) -> float:
    """Return a time of UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


async def ran(life: Life, name: str, when: float) -> Json:
    """Return the job as soon as its run of that time is over."""

    async def look() -> Json | None:
        row = next(one for one in await life.items("schedule.list") if one["name"] == name)
        is_over = row["last_at"] == when and row["last"]["status"] == "completed"
        return row if is_over else None

    return await eventually(look)


@pytest.mark.parametrize(
    ("name", "before", "due", "following"),
    [
        ("daily_health_check", "2030-03-12T11:00", "2030-03-12T12:00", "2030-03-13T12:00"),
        ("project_generation_cycle", "2030-03-12T11:00", "2030-03-12T12:30", "2030-03-13T12:30"),
        ("outcome_measurement_cycle", "2030-03-12T11:00", "2030-03-12T14:00", "2030-03-13T14:00"),
        ("weekly_research_cycle", "2030-03-12T14:00", "2030-03-18T13:00", "2030-03-25T13:00"),
        ("knowledge_base_update", "2030-03-12T15:00", "2030-03-18T14:30", "2030-03-25T14:30"),
        ("task_execution_cycle", "2030-03-12T11:01", "2030-03-12T11:15", "2030-03-12T11:30"),
        ("printer_fleet_health_check", "2030-03-12T11:00", "2030-03-12T12:00", "2030-03-12T16:00"),
    ],
)
async def test_each_job_comes_at_its_time(
    shop: Works, clock: Clock, name: str, before: str, due: str, following: str
) -> None:
    """Once, with its result in the list of jobs."""
    clock.now = at(before)
    life = await shop.begin()
    rows = {one["name"]: one for one in await life.items("schedule.list")}
    assert rows.keys() == TIMES.keys()
    assert rows[name]["next_at"] == at(due)
    clock.now = at(due)
    row = await ran(life, name, at(due))
    assert row["next_at"] == at(following)
    assert isinstance(row["last"]["result"], dict)


async def test_a_restart_keeps_the_times(shop: Works, clock: Clock) -> None:
    """And what a person has set."""
    clock.now = at("2030-03-12T11:00")
    life = await shop.begin()
    await life.command("schedule.change", name="daily_health_check", timing="daily 06:00")
    before = {one["name"]: one["next_at"] for one in await life.items("schedule.list")}
    await life.stop()
    again = await shop.begin()
    after = {one["name"]: one["next_at"] for one in await again.items("schedule.list")}
    assert after == before
    assert after["daily_health_check"] == at("2030-03-13T06:00")


async def test_looking_goes_on_when_autonomy_is_switched_off(shop: Works) -> None:
    """The house is watched whatever it may do."""
    shop.switches = Off()
    life = await shop.begin()
    await life.result("daily_health_check")
    await life.result("printer_fleet_health_check")
    asked = await life.command("schedule.run", name="weekly_research_cycle")
    row = await life.command("work.get", work_id=asked["work_id"])
    assert row["status"] == "pending"


class Off:
    """Switches of which that of autonomy is off."""

    def is_on(self, name: str) -> bool:
        return name != "autonomy"

    def require(self, name: str) -> None:
        raise NotImplementedError(name)


async def test_a_new_subscriber_sees_what_is_open(life: Life) -> None:
    """Goals, projects with tasks, and printers in trouble."""
    await life.planned(Planned(title="Clean the bed", kind="remind"))
    found = await life.autonomy.snapshot()
    assert {name: len(rows) for name, rows in found.items()} == {
        "goals": 1,
        "projects": 1,
        "fleet": 0,
    }


async def test_a_cycle_that_died_in_the_middle_is_done_by_the_next_brain(
    shop_anywhere: Works,
) -> None:
    """With the plan that it had claimed, and one project."""
    first = await shop_anywhere.begin()
    goal = await first.agreed()
    await first.autonomy.projects.claim(first.database.write, goal["id"])
    # A death: nobody says that the work has stopped.
    work_id = await first.schedule.add("project_generation_cycle", {})
    await first.tasks.stop()
    again = await shop_anywhere.begin(alone=True)
    assert (await again.ended(work_id))["status"] == "completed"
    (project,) = await again.items("projects.list")
    assert [one["kind"] for one in project["tasks"]] == ["measure", "remind"]


# -- knowledge ----------------------------------------------------------------------------------------


async def memories(shop: Works) -> list[str]:
    """Return what the house remembers, newest first."""
    return await shop.memory.latest(HOUSE, 100)


async def test_the_week_is_put_into_words_and_remembered(life: Life, shop: Works) -> None:
    """With the printers and what went wrong, of this week alone."""
    shop.clock.advance(-8 * DAY)
    await shop.many((9, {}))
    shop.clock.advance(8 * DAY)
    await shop.printer()
    await shop.many((3, {}), (1, {"device_id": B}))
    job = await shop.write(status="failed")
    await shop.run("reviews.put", job_id=job["id"], good=False, reasons=["layer_shift"])
    shop.clock.advance(HOUR)
    done = await life.result(KNOWLEDGE)
    assert await memories(shop) == [
        (
            "In the week before 2030-03-17 5 prints ended, 4 of them well. By printer: A 4. "
            "What went wrong: layer shift 1."
        )
    ]
    (row,) = await shop.rows(tables.memories)
    assert (row["source"], row["trust"], row["namespace"]) == ("autonomy", "system", HOUSE)
    assert done == {
        "remembered": [row["id"]],
        "forgotten": 0,
        "pages_read": 0,
        "pages_changed": 0,
        "could_not": [],
    }


async def test_a_week_without_prints_is_not_remembered(life: Life, shop: Works) -> None:
    """Nothing is nothing."""
    assert (await life.result(KNOWLEDGE))["remembered"] == []
    assert await memories(shop) == []


async def test_weeks_that_are_long_past_are_forgotten(life: Life, shop: Works) -> None:
    """A quarter of a year of them stays; what people said, and what is theirs, stays for ever."""
    await shop.memory.remember(HOUSE, "The key is under the mat", "said", "person")
    for week in range(KEPT + 2):
        await shop.memory.remember(HOUSE, f"Week {week} was quiet", "autonomy", "system")
    assert (await life.result(KNOWLEDGE))["forgotten"] == 2
    kept = await memories(shop)
    assert len(kept) == KEPT + 1
    assert "Week 1 was quiet" not in kept
    assert "The key is under the mat" in kept


async def test_what_the_web_said_long_ago_is_forgotten(life: Life, shop: Works) -> None:
    """By the house; what a person had looked up stays theirs."""
    await shop.memory.remember(HOUSE, "PETG sticks at 80 degrees", "research", "outside")
    await shop.memory.remember("ada", "PETG strings when wet", "research", "outside")
    shop.clock.advance(STALE - 1)
    assert (await life.result(KNOWLEDGE))["forgotten"] == 0
    shop.clock.advance(2)
    assert (await life.result(KNOWLEDGE))["forgotten"] == 1
    assert [row["namespace"] for row in await shop.rows(tables.memories)] == ["ada"]


async def test_what_cannot_be_remembered_is_said(life: Life, shop: Works) -> None:
    """The job goes on."""
    await shop.many((3, {}))
    shop.clock.advance(HOUR)
    full: Any = shop.memory
    full._counts[HOUSE] = 50_000
    done = await life.result(KNOWLEDGE)
    assert done["could_not"] == [{"what": "remember", "code": "memory_full"}]
