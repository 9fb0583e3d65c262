"""Research that is interrupted: it goes on behind the last step that was finished, and pays nothing twice."""

import asyncio
from pathlib import Path
import sys
from typing import Any

from brain_server.capabilities import ALL_ON
from brain_server.errors import TooMany
from brain_server.schedule.commands import WorkId
from brain_server.storage.tables import memories, research_notes, spending
from tests.brain.autonomy.research.library import (
    ONE,
    PROGRAM,
    TWO,
    Library,
    Web,
    asked_for,
    limits,
    of_page,
    steps,
    well,
)
from tests.brain.minds.double import Double
from tests.brain.stage import Scripts


def kinds(part: str) -> list[str]:
    """Return what a model was asked for, one after the other."""
    return [asked_for(request) for request in Double.heard[part]]


async def test_another_brain_goes_on_behind_the_last_step(
    library: Library, search: str, web: Web, scripts: Scripts
):
    held = asyncio.Event()
    scripts["far"] = lambda request: [held] if of_page(request, TWO) else well(request)
    await library.furnish(search=search, far=True)
    asked = await library.ask(budget=1.0)
    await library.heard("far", 3)
    scripts["far"] = well
    other = await library.again()
    row = await other.ended(asked)
    assert row["status"] == "completed"
    assert kinds("far") == ["queries", "notes", "notes", "notes", "findings"]
    assert (web.queries, web.read) == (
        ["petg bed temperature"],
        ["one.example", "two.example", "two.example"],
    )
    assert {status for _, status in steps(row)} == {"completed"}
    assert len(await library.rows(research_notes)) == 2


async def test_what_was_set_aside_and_never_settled_counts_as_spent(
    library: Library, search: str, scripts: Scripts
):
    held = asyncio.Event()
    scripts["far"] = lambda request: [held] if of_page(request, TWO) else well(request)
    await library.furnish(search=search, far=True)
    asked = await library.ask(budget=1.0)
    await library.heard("far", 3)
    before = (await library.get(asked))["cost"]
    scripts["far"] = well
    other = await library.again()
    row = await other.ended(asked)
    rows = await library.rows(spending)
    lost = sum(one["reserved_micro"] for one in rows if one["status"] == "reserved")
    settled = sum(one["cost_micro"] for one in rows if one["status"] == "settled")
    assert lost > 0
    assert row["cost"] == (lost + settled) / 1_000_000 > before


async def test_who_comes_back_late_changes_nothing(library: Library, search: str, scripts: Scripts):
    held = asyncio.Event()
    scripts["near"] = lambda request: (
        [held, *well(request)] if of_page(request, TWO) else well(request)
    )
    await library.furnish(search=search, near=True)
    asked = await library.ask()
    await library.heard("near", 3)
    scripts["near"] = well
    other = await library.again()
    row = await other.ended(asked)
    held.set()
    await library.gone()
    assert await other.get(asked) == row
    assert kinds("near").count("findings") == 1
    assert len(await library.rows(memories)) == 1


async def test_one_that_is_stopped_with_its_brain_is_no_try_and_goes_on(
    library: Library, search: str, scripts: Scripts
):
    held = asyncio.Event()
    scripts["near"] = lambda request: [held] if of_page(request, ONE) else well(request)
    await library.furnish(search=search, near=True)
    asked = await library.ask()
    await library.heard("near", 2)
    await library.hold()
    assert (await library.get(asked))["status"] == "running"
    scripts["near"] = well
    other = await library.again()
    assert (await other.ended(asked))["status"] == "completed"
    assert kinds("near") == ["queries", "notes", "notes", "notes", "findings"]


async def test_work_that_was_given_up_can_be_tried_again_by_a_person(
    library: Library, search: str, web: Web
):
    web.broken.add("petg bed temperature")
    await library.furnish(search=search, near=True)
    asked = await library.ask()
    for tried in (1, 2):
        await library.work(asked, "pending", tries=tried)
        library.clock.now += 3600
    failed = await library.ended(asked)
    web.broken.clear()
    await library.schedule.work.retry(PROGRAM, WorkId(work_id=failed["work_id"]))
    row = await library.when(asked, lambda row: row["status"] == "completed")
    assert (row["error"], limits(row)) == (None, [])


async def test_while_the_model_has_too_many_to_answer_it_waits_without_a_try(
    library: Library, search: str, scripts: Scripts
):
    def busy(request: Any) -> list[Any]:
        if of_page(request, TWO) and kinds("near").count("notes") == 2:
            return [TooMany("model_queue_full", "Too many wait", retry_after=5)]
        return well(request)

    scripts["near"] = busy
    await library.furnish(search=search, near=True)
    asked = await library.ask()
    await library.heard("near", 3)
    await library.work(asked, "pending", tries=0)
    library.clock.now += 5
    row = await library.ended(asked)
    assert limits(row) == []
    assert kinds("near") == ["queries", "notes", "notes", "notes", "findings"]


class Switch:
    """A switch of research that a test turns."""

    def __init__(self) -> None:
        self.on = True

    def is_on(self, _name: str) -> bool:
        """Tell whether it is on."""
        return self.on

    def require(self, name: str) -> None:
        """Pass."""
        ALL_ON.require(name)


async def test_switched_off_in_the_middle_it_waits_and_goes_on_when_it_is_on_again(
    library: Library, search: str, scripts: Scripts
):
    switch = Switch()
    await library.hold()
    switched = await library.again(switches=switch)

    def off(request: Any) -> list[Any]:
        switch.on = asked_for(request) != "queries"
        return well(request)

    scripts["near"] = off
    await switched.furnish(search=search, near=True)
    asked = await switched.ask()
    await switched.heard("near", 1)
    await switched.gone()
    await switched.work(asked, "pending", tries=0)
    library.clock.now += 3600
    await asyncio.sleep(0.1)  # time for what must not happen
    assert kinds("near") == ["queries"]
    switch.on = True
    assert (await switched.ended(asked))["status"] == "completed"
    assert kinds("near") == ["queries", "notes", "notes", "findings"]


async def test_after_a_kill_nothing_that_was_finished_is_done_again(
    library: Library, search: str, web: Web, tmp_path: Path
):
    await library.furnish(search=search, near=True)
    await library.hold()
    asked = await library.ask()
    killed = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.brain.autonomy.research.life",
        str(tmp_path),
        web.url,
        stdout=asyncio.subprocess.PIPE,
    )
    assert killed.stdout is not None
    assert await killed.stdout.readline() == b"reading\n"
    killed.kill()
    await killed.wait()
    assert ("read 2", "running") in steps(await library.get(asked))
    other = await library.again()
    row = await other.ended(asked)
    assert row["status"] == "completed"
    assert kinds("near") == ["notes", "findings"]
    assert web.queries == ["petg bed temperature"]
    assert web.read == ["one.example", "two.example", "two.example"]


async def test_what_was_cancelled_before_it_began_is_left_alone(
    library: Library, search: str, web: Web
):
    await library.furnish(search=search)
    await library.hold()
    asked = await library.ask()
    await library.say_over(asked)
    other = await library.again()
    await other.work(asked, "completed", tries=1)
    assert (await other.get(asked))["status"] == "cancelled"
    assert web.queries == []
