"""Tasks that look something up: what they spend, what they share, and how they end with their research."""

import asyncio
from typing import Any
from unittest.mock import AsyncMock

import pytest
from sqlalchemy import update

from brain_server.autonomy.plan import Planned
from brain_server.errors import Unavailable
from brain_server.schedule import put
from brain_server.storage import tables
from tests.brain.autonomy.works import RESEARCH, Life, Works, ask, cancels, eventually, given_up


async def test_a_research_gets_what_is_left_and_gives_back_what_it_did_not_need(
    shop: Works,
) -> None:
    """The task waits for it, ends with its report, and marks that as words from outside."""
    life = await shop.begin(research=True)
    await life.planned(RESEARCH, budget=2.0)
    task = await life.task(0, "waiting")
    assert shop.questions == [("Why does PETG string?", 2_000_000)]
    assert (await life.project("active"))["spent"] == 2.0
    done = {"status": "completed", "report": "It is wet.", "cost_micro": 300_000}
    await shop.looked_up(task["details"]["research_id"], **done)
    ended = await life.task(0, "completed")
    assert (ended["result"], ended["details"]["foreign"]) == ("It is wet.", True)
    assert (await life.project("completed"))["spent"] == pytest.approx(0.3)


async def test_what_two_brains_settle_at_once_is_settled_once(shop: Works) -> None:
    """Both saw that the research is over."""
    life = await shop.begin(research=True)
    project = await life.planned(RESEARCH, budget=2.0)
    await life.task(0, "waiting")
    projects, task_id = life.autonomy.projects, project["tasks"][0]["id"]
    for _ in range(2):
        await projects.change(
            lambda connection, touched: projects.settle(connection, touched, task_id, 500_000)
        )
    assert (await life.project("active"))["spent"] == pytest.approx(0.5)


@pytest.mark.parametrize("status", ["failed", "cancelled"])
async def test_a_research_that_fails_fails_the_task(shop: Works, status: str) -> None:
    """What it cost is what was spent."""
    life = await shop.begin(research=True)
    await life.planned(RESEARCH, budget=2.0)
    task = await life.task(0, "waiting")
    research_id = task["details"]["research_id"]
    await shop.looked_up(research_id, status=status, cost_micro=100_000)
    assert (await life.task(0, "failed"))["error"] == f"research_{status}"
    assert (await life.project("failed"))["spent"] == pytest.approx(0.1)


async def test_a_research_of_a_cancelled_project_is_cancelled_and_settled(shop: Works) -> None:
    """Though its task is over before it."""
    life = await shop.begin(research=True)
    project = await life.planned(RESEARCH, budget=2.0)
    await life.task(0, "waiting")
    await life.command("projects.cancel", project_id=project["id"])
    (row,) = await shop.rows(tables.researches)
    assert row["status"] == "cancelled"

    async def settled() -> bool:
        return (await life.project("cancelled"))["spent"] == 0.0

    await eventually(settled)
    await life.result("task_execution_cycle")
    assert (await life.project("cancelled"))["spent"] == 0.0


async def test_researches_of_one_project_share_its_purse(shop: Works) -> None:
    """None of them takes what another, or a question, will need."""
    life = await shop.begin(research=True)
    await life.planned(RESEARCH, Planned(title="And why not?", kind="research"), budget=1.0)
    await life.task(0, "waiting")
    await life.task(1, "waiting")
    assert [budget for _, budget in shop.questions] == [500_000, 500_000]


async def test_a_question_still_to_come_keeps_its_share(shop: Works) -> None:
    """It waits for the research, and finds something left."""
    life = await shop.begin(research=True, models=True)
    await life.planned(RESEARCH, ask("What follows from it?", 0), budget=1.0)
    await life.task(0, "waiting")
    assert (await life.project("active"))["spent"] == 0.5


async def test_a_research_that_cannot_begin_costs_nothing(shop: Works) -> None:
    """What was set aside for it, once for all tries, is given back when it is given up."""
    shop.trouble = Unavailable("search_not_configured", "There is nothing to search with")
    life = await shop.begin(research=True)
    await life.planned(RESEARCH, budget=2.0)
    await given_up(life, shop)

    async def settled() -> bool:
        # One that was under way already may have looked before the task failed.
        await life.result("task_execution_cycle")
        return (await life.project("failed"))["spent"] == 0.0

    await eventually(settled)


async def test_a_try_that_dies_behind_its_research_begins_no_other(shop: Works) -> None:
    """The next try asks for the same one, with the same money."""
    life = await shop.begin(research=True)
    died: list[str] = []

    async def die() -> None:
        if not died:
            died.append("once")
            raise Unavailable("database_busy", "Busy")

    shop.meanwhile = die
    await life.planned(RESEARCH, budget=2.0)

    async def waits() -> bool:
        shop.clock.advance(60)
        return (await life.items("tasks.list"))[0]["status"] == "waiting"

    await eventually(waits)
    assert len(await shop.rows(tables.researches)) == 1
    assert shop.questions == [("Why does PETG string?", 2_000_000)] * 2
    assert (await life.project("active"))["spent"] == 2.0


async def test_a_research_that_somebody_else_pays_costs_the_project_nothing(shop: Works) -> None:
    """The same question was open already; what that one costs is not counted twice."""
    life = await shop.begin(research=True)
    other = await shop.ask(RESEARCH.title, 0, None, tables.new_id())
    shop.open_already = other
    await life.planned(RESEARCH, budget=2.0)
    await life.task(0, "waiting")
    await shop.looked_up(other, status="completed", report="Wet.", cost_micro=900_000)
    assert (await life.task(0, "completed"))["result"] == "Wet."
    assert (await life.project("completed"))["spent"] == 0.0


async def test_a_research_that_two_tasks_wait_for_ends_both(shop: Works) -> None:
    """At once, though one word of it comes."""
    life = await shop.begin(research=True)
    shop.open_already = other = await shop.ask(RESEARCH.title, 0, None, tables.new_id())
    for key in ("advice:1", "advice:2"):
        await life.planned(RESEARCH, key=key)

    async def so_many(status: str) -> bool:
        return len(await life.items("tasks.list", status=status)) == 2

    await eventually(lambda: so_many("waiting"))
    await quiet(life)
    await shop.looked_up(other, status="completed", report="Wet.", cost_micro=0)
    await eventually(lambda: so_many("completed"))


async def test_a_cancelled_project_leaves_a_research_that_somebody_else_asked_for(
    shop: Works,
) -> None:
    """They still wait for it, and pay for it."""
    life = await shop.begin(research=True)
    shop.open_already = other = await shop.ask(RESEARCH.title, 0, None, tables.new_id())
    project = await life.planned(RESEARCH, budget=2.0)
    await life.task(0, "waiting")
    await life.command("projects.cancel", project_id=project["id"])
    await life.result("task_execution_cycle")
    (row,) = await shop.rows(tables.researches)
    assert (row["id"], row["status"]) == (other, "running")


async def test_a_research_that_two_projects_wait_for_is_cancelled_with_the_second(
    shop: Works,
) -> None:
    """Who asked first has paid; what was set aside for it is there for whoever still waits."""
    life = await shop.begin(research=True)
    first, second = await two_that_wait(life, shop)
    await life.command("projects.cancel", project_id=first)
    await life.result("task_execution_cycle")
    (row,) = await shop.rows(tables.researches)
    assert row["status"] == "running"
    await life.command("projects.cancel", project_id=second)
    (row,) = await shop.rows(tables.researches)
    assert row["status"] == "cancelled"


async def test_a_research_goes_on_for_whoever_still_waits_for_it(shop: Works) -> None:
    """The project that asked for it was cancelled, and paid what it cost."""
    life = await shop.begin(research=True)
    first, second = await two_that_wait(life, shop)
    await life.command("projects.cancel", project_id=first)
    done = {"status": "completed", "report": "Wet.", "cost_micro": 900_000}
    await shop.looked_up(str(shop.open_already), **done)

    async def over() -> bool:
        return len(await life.items("tasks.list", status="completed")) == 1

    await eventually(over)
    (task,) = await life.items("tasks.list", status="completed")
    assert (task["project_id"], task["result"]) == (second, "Wet.")
    spent = {one["id"]: one["spent"] for one in await life.items("projects.list")}
    assert spent == {first: pytest.approx(0.9), second: 0.0}


async def test_what_the_last_question_of_a_cancelled_research_costs_is_counted(
    shop: Works,
) -> None:
    """It was under way when somebody cancelled, and its cost is known a moment later."""
    life = await shop.begin(research=True)
    await life.planned(RESEARCH, budget=2.0)
    cancelled = await cancelled_in_a_question(life, shop, "running")
    assert (await life.project("failed"))["spent"] == 2.0
    await shop.looked_up(cancelled, status="cancelled", cost_micro=140_000, reserved_micro=0)

    async def settled() -> bool:
        return (await life.project("failed"))["spent"] == pytest.approx(0.14)

    await eventually(settled)


async def test_what_nobody_settled_of_a_cancelled_research_was_spent(shop: Works) -> None:
    """The brain that asked died with the question."""
    life = await shop.begin(research=True)
    await life.planned(RESEARCH, budget=2.0)
    await cancelled_in_a_question(life, shop, "cancelled")
    assert (await life.project("failed"))["spent"] == pytest.approx(0.15)


async def two_that_wait(life: Life, shop: Works) -> tuple[str, str]:
    """Return the ids of two projects that wait for one research, which the first has begun."""
    first = await life.planned(RESEARCH, budget=2.0)
    shop.open_already = (await life.task(0, "waiting"))["details"]["research_id"]
    second = await life.planned(RESEARCH, key="advice:2")

    async def both() -> bool:
        return len(await life.items("tasks.list", status="waiting")) == 2

    await eventually(both)
    await quiet(life)
    return str(first["id"]), str(second["id"])


async def cancelled_in_a_question(life: Life, shop: Works, at_work: str) -> str:
    """Cancel the research of the only task while 5 cents are set aside for a question, and return its id."""
    task = await life.task(0, "waiting")
    await quiet(life)
    research_id = str(task["details"]["research_id"])
    work_id = await shop.database.write(
        lambda connection: put(connection, shop.clock(), "research.run", {})
    )
    same = update(tables.work).where(tables.work.c.id == work_id).values(status=at_work)
    await shop.database.write(lambda connection: connection.execute(same))
    aside = {"cost_micro": 100_000, "reserved_micro": 50_000, "work_id": work_id}
    await shop.looked_up(research_id, status="cancelled", **aside)
    await life.task(0, "failed")
    return research_id


async def test_a_research_that_begins_after_its_project_was_cancelled_is_ended(
    shop: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another brain was about to begin it, and has not heard of it yet."""
    begins, held = asyncio.Event(), asyncio.Event()
    real = shop.ask

    async def slow(*given: Any) -> str:
        begins.set()
        await held.wait()
        return await real(*given)

    monkeypatch.setattr(shop, "ask", slow)
    there = await shop.begin(research=True)
    # By this the other brain would hear, within two seconds, that its work was cancelled.
    monkeypatch.setattr(there.schedule.worker, "_renew", AsyncMock())
    here = await shop.begin(research=True, awake=False)
    project = await here.planned(RESEARCH, budget=2.0)
    await begins.wait()
    await here.command("projects.cancel", project_id=project["id"])
    await here.autonomy.tasks.follow()
    held.set()

    async def over() -> bool:
        rows = await shop.rows(tables.researches)
        return [row["status"] for row in rows] == ["cancelled"]

    await eventually(over)


async def test_a_project_that_is_cancelled_while_its_research_begins_stays_over(
    shop: Works,
) -> None:
    """The task is not woken again, and the research is ended, too."""
    life = await shop.begin(research=True)
    shop.meanwhile = cancels(life)
    await life.planned(RESEARCH, budget=2.0)

    async def over() -> bool:
        rows = await shop.rows(tables.researches)
        return [row["status"] for row in rows] == ["cancelled"]

    await eventually(over)
    await life.result("task_execution_cycle")
    assert (await life.items("tasks.list"))[0]["status"] == "cancelled"
    assert (await life.project("cancelled"))["spent"] == 0.0


async def test_a_research_that_ends_while_the_brain_is_away_is_found_by_the_cycle(
    shop: Works,
) -> None:
    """Nobody heard of it."""
    life = await shop.begin(research=True)
    await life.planned(RESEARCH)
    task = await life.task(0, "waiting")

    await quiet(life)
    heard, life.bus._listeners = life.bus._listeners, {}
    done = {"status": "completed", "report": "Dry it."}
    await shop.looked_up(task["details"]["research_id"], **done)
    life.bus._listeners = heard
    assert await life.result("task_execution_cycle") == {"followed": 1, "given_out": 0}
    await life.project("completed")


async def quiet(life: Life) -> None:
    """Wait until nothing is under way."""

    async def look() -> bool:
        rows = await life.works.rows(tables.work)
        over = all(row["status"] != "running" for row in rows)
        return over and not any("follow" in one.get_name() for one in life.tasks._tasks)

    await eventually(look)


async def test_without_anything_to_look_up_with_the_task_fails(life: Life, shop: Works) -> None:
    """After its tries, with the word for it."""
    await life.planned(RESEARCH)
    await given_up(life, shop)
    task = await life.task(0, "failed")
    assert (task["error"], task["tries"]) == ("search_not_configured", 3)
