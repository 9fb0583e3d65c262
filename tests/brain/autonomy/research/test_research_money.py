"""Research and money: nothing without a budget, never beyond it, and nothing after it was cancelled."""

import asyncio
import time
from typing import Any

import pytest

from brain_server.autonomy.research import ResearchId
from brain_server.autonomy.research_rows import finish
from brain_server.autonomy.research_run import Purse
from brain_server.commands import SYSTEM
from brain_server.errors import Conflict, NotFound, ProviderError
from brain_server.protocol import Json
from brain_server.routing.budget import SetLimits
from brain_server.schedule.commands import WorkId
from brain_server.storage.tables import researches, spending
from tests.brain.autonomy.purses import slow_purse
from tests.brain.autonomy.research.library import (
    ADA,
    BOB,
    PROGRAM,
    TWO,
    Library,
    asked_for,
    limits,
    of_page,
    steps,
    well,
)
from tests.brain.minds.double import Double
from tests.brain.schedule.conftest import eventually
from tests.brain.soon import SOON
from tests.brain.stage import FAR, Scripts

# A plan by it is set down for about 0.03 and a page for about 0.05; each then costs about 0.01.
DEAR = FAR | {"price_in": 100.0}


async def spent(library: Library) -> int:
    """Return what the ledger of the house says, in millionths."""
    return sum(row["cost_micro"] or 0 for row in await library.rows(spending))


# -- without and with a budget ------------------------------------------------------------------------


async def test_without_a_budget_no_paid_model_is_asked(
    library: Library, search: str, scripts: Scripts
):
    await library.furnish(search=search, near=True, far=True)
    row = await library.result()
    assert "far" not in Double.heard
    assert (row["cost"], await library.rows(spending)) == (0, [])


async def test_that_only_models_of_the_house_were_asked_is_said_where_others_would_have_been(
    library: Library, search: str, scripts: Scripts
):
    scripts["near"] = lambda request: ["?"] if of_page(request, TWO) else well(request)
    await library.furnish(search=search, near=True, far=True)
    row = await library.result()
    assert "house_only" in limits(row)
    assert "Only models of the house were asked: no money was given for it." in row["report"]


async def test_with_a_budget_the_paid_model_answers_and_the_cost_is_shown(
    library: Library, search: str
):
    await library.furnish(search=search, near=True, far=True)
    row = await library.result(budget=1.0)
    assert "near" not in Double.heard
    assert row["budget"] == 1.0
    assert row["cost"] == await spent(library) / 1_000_000 > 0
    assert {one["request_id"] for one in await library.rows(spending)} == {row["id"]}


async def test_the_cost_is_shown_as_it_grows(library: Library, search: str):
    await library.furnish(search=search, far=True)
    row = await library.result(budget=1.0)
    costs = [one["cost"] for one in library.told]
    assert costs[0] == 0
    assert len(set(costs)) > 3
    assert costs[-1] == row["cost"]


async def test_money_that_is_set_aside_counts_as_spent_until_it_is_settled(
    library: Library, search: str, scripts: Scripts
):
    held = asyncio.Event()
    scripts["far"] = lambda request: [held, *well(request)]
    await library.furnish(search=search, far=True)
    asked = await library.ask(budget=1.0)
    aside = await library.when(asked, lambda row: row["cost"] > 0)
    held.set()
    row = await library.ended(asked)
    assert row["cost"] > 0
    assert aside["cost"] > 0.004  # 300 tokens that it may write, for 15 a million
    (stored,) = await library.rows(researches)
    assert stored["reserved_micro"] == 0


async def test_what_would_pass_the_cap_is_done_without_paid_models(library: Library, search: str):
    await library.furnish(search=search)
    await library.put(DEAR)
    row = await library.result(budget=0.06)
    assert row["status"] == "completed"
    assert [asked_for(request) for request in Double.heard["far"]] == ["queries", "notes"]
    assert row["cost"] == await spent(library) / 1_000_000 <= 0.06
    assert "budget_reached" in limits(row)
    assert [one["number"] for one in row["sources"]] == [1, 2]


async def test_beyond_the_cap_a_model_of_the_house_goes_on(library: Library, search: str):
    await library.furnish(search=search, near=True)
    await library.put(DEAR)
    row = await library.result(budget=0.06)
    assert [asked_for(one) for one in Double.heard["near"]] == ["notes", "findings"]
    assert row["answered"] == "yes"
    assert limits(row) == ["budget_reached"]


async def test_when_the_house_has_no_money_left_the_near_model_answers(
    library: Library, search: str
):
    await library.furnish(search=search, near=True, far=True)
    await library.budget.set_limits(SYSTEM, SetLimits(daily=0))
    row = await library.result(budget=1.0)
    assert "far" not in Double.heard
    assert row["answered"] == "yes"
    assert row["cost"] == 0


async def test_when_the_house_has_no_money_left_and_no_model_it_says_why(
    library: Library, search: str, scripts: Scripts
):
    scripts["near"] = lambda request: ["?"] if asked_for(request) == "notes" else well(request)
    await library.furnish(search=search, near=True, far=True)
    await library.budget.set_limits(SYSTEM, SetLimits(daily=0))
    row = await library.result(budget=1.0)
    assert "the budget of the house is used up" in row["report"]


async def test_a_model_whose_price_nobody_knows_is_left_out(library: Library, search: str):
    await library.furnish(search=search)
    await library.put(FAR | {"price_in": None})
    row = await library.result(budget=1.0)
    assert "far" not in Double.heard
    assert limits(row) == ["no_model"]
    assert "took part (the price of a paid model is not known): these" in row["report"]


# -- cancelling ---------------------------------------------------------------------------------------


async def test_a_cancelled_research_stops_at_once_and_spends_nothing_more(
    library: Library, search: str, scripts: Scripts
):
    held = asyncio.Event()
    scripts["far"] = lambda request: [held] if asked_for(request) == "notes" else well(request)
    await library.furnish(search=search, far=True)
    asked = await library.ask(budget=1.0)
    await library.when(asked, lambda row: ("read 1", "running") in steps(row))
    await library.heard("far", 2)
    started = time.monotonic()
    shown = await library.research.cancel(ADA, ResearchId(research_id=asked))
    await library.work(asked, "cancelled", tries=1)
    assert time.monotonic() - started < SOON
    assert Double.cancelled == ["far"]
    before = await spent(library)
    held.set()
    await asyncio.sleep(0.2)  # time for what must not happen
    row = await library.get(asked)
    assert (shown["status"], row["status"]) == ("cancelled", "cancelled")
    assert len(Double.heard["far"]) == 2
    assert row["cost"] == await spent(library) / 1_000_000 == before / 1_000_000
    assert library.told[-1]["cost"] == row["cost"]


async def test_what_a_cancelled_research_cost_is_told_last(
    library: Library, search: str, scripts: Scripts, monkeypatch: pytest.MonkeyPatch
):
    """However long it takes to read what it was before."""
    scripts["far"] = lambda request: (
        [asyncio.Event()] if asked_for(request) == "notes" else well(request)
    )
    await library.furnish(search=search, far=True)
    asked = await library.ask(budget=1.0)
    await library.heard("far", 2)
    find, settle, may_settle = library.research.find, Purse.settle, asyncio.Event()

    async def is_settled() -> bool:
        return (await library.rows(researches))[0]["reserved_micro"] == 0

    async def read(research_id: str) -> Json:
        found = await find(research_id)
        if found["status"] == "cancelled":
            may_settle.set()
            await eventually(is_settled)
        return found

    async def late(purse: Purse, micro: int, cost: int) -> None:
        await may_settle.wait()
        await settle(purse, micro, cost)

    monkeypatch.setattr(library.research, "find", read)
    monkeypatch.setattr(Purse, "settle", late)
    await library.research.cancel(ADA, ResearchId(research_id=asked))
    may_settle.set()
    await library.work(asked, "cancelled", tries=1)
    assert library.told[-1]["cost"] == await spent(library) / 1_000_000


async def test_one_that_is_cancelled_while_money_is_set_aside_asks_nobody_and_costs_nothing(
    library: Library, search: str, monkeypatch: pytest.MonkeyPatch
):
    await library.furnish(search=search, far=True)
    asked = await cancelled_at(library, "set_aside", monkeypatch)
    assert "far" not in Double.heard
    (stored,) = await library.rows(researches)
    assert (stored["reserved_micro"], (await library.get(asked))["cost"]) == (0, 0)


async def test_what_was_asked_is_settled_though_it_is_cancelled_meanwhile(
    library: Library, search: str, monkeypatch: pytest.MonkeyPatch
):
    await library.furnish(search=search, far=True)
    asked = await cancelled_at(library, "settle", monkeypatch)
    (stored,) = await library.rows(researches)
    assert stored["reserved_micro"] == 0
    assert (await library.get(asked))["cost"] == await spent(library) / 1_000_000 > 0


async def cancelled_at(library: Library, step: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Cancel a research while its purse is at something, and return its id when its work has stopped."""
    at_it, go_on = slow_purse(monkeypatch, Purse, step)
    asked = await library.ask(budget=1.0)
    await at_it.wait()
    await library.research.cancel(ADA, ResearchId(research_id=asked))
    go_on.set()
    await library.work(asked, "cancelled", tries=1)
    return asked


async def test_a_research_is_stopped_though_the_one_who_cancels_it_goes_away(
    library: Library, search: str, scripts: Scripts, monkeypatch: pytest.MonkeyPatch
):
    scripts["far"] = lambda _request: [asyncio.Event()]
    await library.furnish(search=search, far=True)
    asked = await library.ask(budget=1.0)
    await library.heard("far", 1)
    at_it, held = asyncio.Event(), asyncio.Event()
    real = library.schedule.work.cancel

    async def slow(*given: Any) -> Any:
        at_it.set()
        await held.wait()
        return await real(*given)

    monkeypatch.setattr(library.schedule.work, "cancel", slow)
    said = library.research.cancel(ADA, ResearchId(research_id=asked))
    caller = asyncio.get_running_loop().create_task(said)
    await at_it.wait()
    caller.cancel()
    held.set()
    await library.work(asked, "cancelled", tries=1)
    assert Double.cancelled == ["far"]


async def test_one_that_waits_never_begins_once_it_is_cancelled(library: Library, search: str):
    await library.furnish(search=search, near=True)
    await library.hold()
    asked = await library.ask()
    await library.research.cancel(ADA, ResearchId(research_id=asked))
    assert (await library.work(asked, "cancelled", tries=0))["started_at"] is None
    assert "near" not in Double.heard


async def test_whatever_another_process_still_does_it_is_paid_nothing_more(
    library: Library, search: str, scripts: Scripts
):
    """The row says that it is over; the one who works on it has not heard of it yet."""
    held = asyncio.Event()
    scripts["far"] = lambda request: (
        [*well(request), held] if asked_for(request) == "queries" else well(request)
    )
    await library.furnish(search=search, far=True)
    asked = await library.ask(budget=1.0)
    await library.heard("far", 1)
    await library.say_over(asked)
    held.set()
    await library.work(asked, "completed", tries=1)
    assert len(Double.heard["far"]) == 1
    assert (await library.get(asked))["status"] == "cancelled"


async def test_the_next_model_is_not_paid_either(library: Library, search: str, scripts: Scripts):
    held = asyncio.Event()
    scripts["far"] = lambda _request: [held, ProviderError("provider_failed", "It broke")]
    await library.furnish(search=search, far=True)
    await library.put(FAR | {"name": "Dearer", "options": {"part": "dearer"}, "price_out": 30.0})
    asked = await library.ask(budget=1.0)
    await library.heard("far", 1)
    await library.say_over(asked)
    held.set()
    await library.work(asked, "completed", tries=1)
    assert "dearer" not in Double.heard


async def test_how_it_ended_is_not_written_over_a_cancellation(library: Library, search: str):
    await library.furnish(search=search)
    await library.hold()
    asked = await library.ask()
    await library.say_over(asked)
    late = {"status": "completed", "report": "Too late"}
    row = await library.database.write(lambda connection: finish(connection, asked, 1.0, late, []))
    assert (row["status"], row["report"]) == ("cancelled", None)


async def test_what_is_over_cannot_be_cancelled(library: Library, search: str):
    await library.furnish(search=search)
    row = await library.result()
    with pytest.raises(Conflict) as caught:
        await library.research.cancel(ADA, ResearchId(research_id=row["id"]))
    assert caught.value.code == "research_over"


async def test_nobody_cancels_what_somebody_else_asked_for(library: Library, search: str):
    await library.furnish(search=search)
    await library.hold()
    asked = await library.ask()
    with pytest.raises(NotFound):
        await library.research.cancel(BOB, ResearchId(research_id=asked))


async def test_it_is_cancelled_with_its_work(library: Library, search: str):
    await library.furnish(search=search)
    await library.hold()
    asked = await library.ask()
    work = (await library.get(asked))["work_id"]
    await library.schedule.work.cancel(PROGRAM, WorkId(work_id=work))
    row = await library.ended(asked)
    assert (row["status"], row["error"]) == ("cancelled", None)


async def test_its_work_that_was_cancelled_unheard_ends_it_at_the_next_start(
    library: Library, search: str
):
    await library.furnish(search=search)
    await library.hold()
    asked = await library.ask()
    await library.lose_work(asked)
    await library.again()
    row = await library.ended(asked)
    assert (row["status"], row["error"]) == ("failed", "work_lost")
