"""The planner: plans that are right, better than first come, first served, and made in a process of their own."""

import asyncio
from collections.abc import AsyncIterator, Iterator
import itertools
import json
import logging
import os
from pathlib import Path
import random
import subprocess
import sys
import time

import msgspec
import pytest

from brain_server.fabrication.plan import (
    Item,
    Place,
    Plan,
    Printer,
    Problem,
    Score,
    Shelf,
    Spool,
    Table,
    as_json,
    first_come,
    is_late,
    kept,
)
from brain_server.fabrication.planner import Planner
from brain_server.fabrication.search import Search
from brain_server.fabrication.solve import solve
from brain_server.observability import Tasks
from tests.bench.queues import SHAPES, queue
from tests.brain.home import until
from tests.brain.soon import SOON

RED = Spool(id="red", grams=1000.0, color="ff0000")
BLUE = Spool(id="blue", grams=1000.0, color="0000ff")
P = Printer(id="P", loaded="red", watts=100.0)
Q = Printer(id="Q", loaded="blue", watts=100.0)


def item(name: str, minutes: int = 60, spools: str = "red", on: str = "P", **more: object) -> Item:
    """Return an item that may be printed on some printers with some spools."""
    given = {"options": {printer: spools.split() for printer in on.split()}, "grams": 10.0}
    return msgspec.convert({"id": name, "minutes": minutes} | given | more, Item)


def problem(*items: Item, limit_s: float = 30.0, **more: object) -> Problem:
    """Return a problem with two printers and two spools."""
    parts = {"printers": [P, Q], "spools": [RED, BLUE]} | more
    return Problem(items=list(items), limit_s=limit_s, **parts)  # type: ignore[arg-type]  # by their names


def searched(made: Problem) -> Plan:
    """Return what a search finds by the processor's time, however busy the machine is."""
    return Search(made, time.thread_time).run()


def order(plan: Plan, printer: str = "P") -> str:
    """Return the items of a printer in their order."""
    places = sorted(plan.places, key=lambda one: one.start)
    return " ".join(one.item for one in places if one.printer == printer)


# -- what a plan is judged by -------------------------------------------------------------------------


def test_a_score_is_read_from_the_left() -> None:
    """A missed deadline outweighs any number of changes."""
    assert Score(0, 0, 9, 9, 9, 9, 9) < Score(0, 1, 0, 0, 0, 0, 0) < Score(1, 0, 0, 0, 0, 0, 0)
    assert as_json(Score(0, 1, 2, 3, 4, 5, 6))["changes"] == 3


def test_items_of_one_filament_are_printed_together() -> None:
    """One change instead of three."""
    plan = solve(problem(item("a"), item("b", spools="blue"), item("c"), item("d", spools="blue")))
    assert (order(plan), plan.proven, plan.method) == ("a c b d", True, "exact")


def test_a_deadline_goes_before_filament() -> None:
    """Though it costs changes."""
    found = solve(problem(item("a"), item("b", spools="blue", deadline=60), item("c")))
    assert order(found) == "b a c"


def test_a_deadline_that_first_come_meets_is_never_traded_for_two_others() -> None:
    """Fewer misses would be possible without it."""
    made = problem(
        item("a", 100, deadline=100), item("b", 50, deadline=50), item("c", 50, deadline=100)
    )
    assert order(solve(made)).startswith("a")


def test_priority_goes_before_filament_and_before_age() -> None:
    """The highest comes first."""
    found = solve(problem(item("a"), item("b"), item("c", spools="blue", priority=9)))
    assert order(found) == "c a b"


def test_an_item_that_cannot_begin_yet_keeps_nobody_waiting() -> None:
    """Whatever its priority is."""
    found = solve(problem(item("a", not_before=30, priority=9), item("b", 20)))
    assert order(found) == "b a"


def test_a_printer_that_is_busy_is_not_waited_for() -> None:
    """When another one is free that has the filament, or can have it."""
    late = msgspec.structs.replace(P, free=500)
    spools = [RED, BLUE]
    plan = solve(problem(item("a", on="P Q", spools="blue"), printers=[late, Q], spools=spools))
    assert order(plan, "Q") == "a"


def test_slots_that_stay_cost_no_changes() -> None:
    """Only one slot is changed."""
    many = Printer(id="P", loaded=None, stays=["red", "blue"])
    green = Spool(id="green", grams=1000.0, color="00ff00")
    made = problem(
        item("a"), item("b", spools="blue"), item("c", spools="green"), item("d"),
        printers=[many], spools=[RED, BLUE, green],
    )  # fmt: skip
    assert Search(made).score(solve(made)).changes == 1


def test_no_more_is_taken_from_a_spool_than_is_on_it() -> None:
    """The third goes to the other spool."""
    little = Spool(id="red", grams=25.0, color="ff0000")
    made = problem(*(item(name, spools="red blue") for name in "abc"), spools=[little, BLUE])
    used = [place.spool for place in solve(made).places]
    assert sorted(used) == ["blue", "red", "red"]


def test_a_spool_is_on_one_printer_only() -> None:
    """Two prints of one spool do not run on two printers."""
    plan = solve(problem(item("a", on="P Q"), item("b", on="P Q")))
    assert len({place.printer for place in plan.places}) == 1


def test_filament_that_nobody_counts_is_everywhere() -> None:
    """It keeps no printer waiting, and nobody says that it has to be changed."""
    anything = Spool(id="any", shared=True)
    empty = [msgspec.structs.replace(one, loaded=None) for one in (P, Q)]
    items = [item(name, spools="any", on="P Q") for name in "ab"]
    made = problem(*items, spools=[anything], printers=empty)
    plan = solve(made)
    assert len({place.printer for place in plan.places}) == 2
    assert Search(made).score(plan).changes == 0


def test_two_parts_get_two_colours() -> None:
    """Where one has to differ from the other."""
    made = problem(item("a", spools="red blue"), item("b", spools="red blue", differs_from=["a"]))
    assert {place.spool for place in solve(made).places} == {"red", "blue"}


def test_a_colour_that_nobody_knows_is_surely_no_other() -> None:
    """So the item is left out."""
    plain = Spool(id="blue", grams=1000.0)
    made = problem(item("a"), item("b", spools="blue", differs_from=["a"]), spools=[RED, plain])
    assert solve(made).short == ["b"]


def test_items_without_filament_are_left_out_and_named() -> None:
    """The others are placed."""
    heavy = item("b", grams=2000.0)
    plan = solve(problem(item("a"), heavy))
    assert (plan.short, order(plan)) == (["b"], "a")


def test_nothing_that_can_be_placed_is_proven() -> None:
    """There is no better plan than none."""
    assert solve(problem(item("a", grams=2000.0))) == Plan(
        places=[], short=["a"], proven=True, method="search"
    )


def test_people_find_an_item_where_they_expect_it() -> None:
    """Of two plans that are as good, the one that moves nothing."""
    anything = Spool(id="any", shared=True)
    made = problem(item("a", spools="any", on="P Q", was="Q"), spools=[anything])
    assert order(solve(made), "Q") == "a"


# -- cheap electricity --------------------------------------------------------------------------------


def test_a_cheap_print_waits_for_cheap_hours() -> None:
    """And begins at the quarter that costs least."""
    prices = [0.4] * 8 + [0.1] * 4 + [0.4] * 8
    made = problem(item("a", cheap=True), prices=prices)
    (place,) = solve(made).places
    assert (place.start, Table(made).cost(made.items[0], "P", 120)) == (120, 10_000)


def test_a_cheap_print_still_meets_its_deadline() -> None:
    """The latest beginning that does bounds the choice."""
    prices = [0.4] * 4 + [0.3] * 4 + [0.1] * 8
    (place,) = solve(problem(item("a", cheap=True, deadline=130), prices=prices)).places
    assert place.start == 60


def test_a_cheap_print_does_not_keep_others_from_printing() -> None:
    """They come before it."""
    prices = [0.4] * 16 + [0.1] * 16
    plan = solve(problem(item("a", cheap=True), item("b"), item("c"), prices=prices))
    assert order(plan) == "b c a"


def test_prices_below_zero_are_prices() -> None:
    """And worth waiting for."""
    (place,) = solve(problem(item("a", 30, cheap=True), prices=[0.1] * 4 + [-0.2] * 2)).places
    assert place.start == 60


def test_beyond_the_known_prices_their_mean_is_taken() -> None:
    """A print may end where nobody knows."""
    made = problem(item("a", cheap=True), prices=[0.1, 0.3])
    assert Table(made).cost(made.items[0], "P", 60) == round(0.2 * 100 * 1000)


def test_a_search_puts_cheap_prints_into_gaps() -> None:
    """Without CP-SAT, too."""
    prices = [0.4] * 16 + [0.1] * 16
    made = problem(item("a", cheap=True), item("b"), item("c"), prices=prices, limit_s=0.2)
    assert order(searched(made)).endswith("a")


# -- the best there is --------------------------------------------------------------------------------


def small(seed: int) -> Problem:
    """Return a small problem with a little of everything."""
    chance = random.Random(seed)
    spools = [
        Spool(id=name, grams=chance.choice((150.0, 1000.0)), color=name) for name in ("a", "b", "c")
    ]
    printers = [
        Printer(id="P", free=chance.choice((0, 20)), loaded="a"),
        Printer(id="Q", loaded=chance.choice(("b", None))),
    ]
    items = []
    for at in range(5):
        on = chance.choice((["P"], ["Q"], ["P", "Q"], ["P", "Q"]))
        names = chance.sample(["a", "b", "c"], chance.choice((1, 1, 2)))
        items.append(
            Item(
                id=str(at),
                minutes=chance.choice((15, 30, 60)),
                grams=50.0,
                priority=chance.choice((5, 5, 8)),
                deadline=chance.choice((None, None, 90, 150)),
                not_before=chance.choice((0, 0, 45)),
                options=dict.fromkeys(on, names),
                differs_from=[str(at - 1)] if at and chance.random() < 0.15 else [],
            )
        )
    return Problem(items=items, printers=printers, spools=spools, limit_s=10.0)


def every_plan(made: Problem) -> Iterator[list[Place]]:
    """Yield every plan there is, each item as early as its order allows."""
    table = Table(made)
    for ordered in itertools.permutations(made.items):
        for cut in range(len(ordered) + 1):
            pairs = [("P" if at < cut else "Q", one) for at, one in enumerate(ordered)]
            choices = [one.options.get(printer, []) for printer, one in pairs]
            for spools in itertools.product(*choices):
                if (places := _placed(table, pairs, spools)) is not None:
                    yield places


def _placed(
    table: Table, pairs: list[tuple[str, Item]], spools: tuple[str, ...]
) -> list[Place] | None:
    shelf, places = Shelf(table), []
    minute = {name: printer.free for name, printer in table.printers.items()}
    for (printer, one), spool in zip(pairs, spools, strict=True):
        if not shelf.may(one, printer, spool):
            return None
        shelf.take(one, printer, spool)
        start = table.earliest(one, minute[printer])
        minute[printer] = start + one.minutes
        places.append(
            Place(item=one.id, printer=printer, spool=spool, start=start, end=minute[printer])
        )
    return places


@pytest.mark.parametrize("seed", range(8))
def test_a_small_plan_is_as_good_as_the_best_of_all(seed: int) -> None:
    """Every order, printer and spool was tried."""
    made = small(seed)
    search = Search(made)
    fed = [one for one in made.items if one.id not in search.yardstick.short]
    best = min(
        search.table.score(places, search.guarded)
        for places in every_plan(msgspec.structs.replace(made, items=fed))
    )
    plan = solve(msgspec.structs.replace(made, limit_s=30.0))
    assert (search.score(plan), plan.proven) == (best, True)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_plan_has_at_most_sixty_percent_of_the_changes_of_first_come(shape: str) -> None:
    """And misses no deadline that first come meets."""
    # With nearly as many filaments as items nobody can save much.
    made = queue(shape, 40 if shape == "many colours" else 20, 7, limit_s=0.6)
    search = Search(made)
    plan, yard = searched(made), first_come(made)
    score, before = search.score(plan), search.score(yard)
    assert score.changes <= 0.6 * before.changes
    assert (score.broken, score.missed <= before.missed) == (0, True)
    assert kept(search.table, yard) <= kept(search.table, plan)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_plan_obeys_every_rule(shape: str) -> None:
    """One print at a time on a printer, and each where and when it may be."""
    made = queue(shape, 30, 3, limit_s=0.4)
    plan, table = searched(made), Table(made)
    assert len(plan.places) + len(plan.short) == 30
    shelf = Shelf(table)
    ordered = sorted(plan.places, key=lambda one: (one.printer, one.start))
    for place in ordered:
        found = table.items[place.item]
        assert shelf.may(found, place.printer, place.spool)
        shelf.take(found, place.printer, place.spool)
        assert place.start >= max(found.not_before, table.printers[place.printer].free)
    for one, other in itertools.pairwise(ordered):
        assert one.printer != other.printer or one.end <= other.start


def test_the_same_queue_gets_the_same_plan() -> None:
    """As long as time suffices."""
    made = queue("mixed", 8, 1, limit_s=5.0)
    assert searched(made) == searched(made)


def test_a_long_queue_is_searched_only() -> None:
    """And not called the best."""
    plan = solve(queue("mixed", 60, 1, limit_s=0.5))
    assert (plan.method, plan.proven, len(plan.places)) == ("search", False, 60)


def test_without_time_first_come_is_first_served() -> None:
    """A plan is there all the same."""
    made = queue("mixed", 20, 1, limit_s=0.0)
    search = Search(made)
    assert search.score(solve(made)) <= search.score(first_come(made))
    assert not is_late(item("a"), 10**9)


# -- the process --------------------------------------------------------------------------------------


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    """Give somebody who keeps tasks."""
    made = Tasks()
    yield made
    await made.stop()


async def test_a_plan_comes_from_a_process_that_is_kept_for_the_next(tasks: Tasks) -> None:
    """And that goes when nobody asks for a while."""
    planner = Planner(tasks, idle_s=0.3)
    made = problem(item("a"), item("b", spools="blue"), item("c"), limit_s=2.0)
    assert order(await planner.plan(made)) == "a c b"
    pid = planner.pid
    assert order(await planner.plan(made)) == "a c b"
    assert (planner.pid, pid is not None) == (pid, True)
    await until(lambda: planner.pid is None, "its end")
    await until(lambda: not tasks._tasks and not Path(f"/proc/{pid}").exists(), "its end")


async def test_an_empty_queue_asks_nobody(tasks: Tasks) -> None:
    """There is nothing to plan."""
    planner = Planner(tasks)
    assert (await planner.plan(problem())).proven
    assert planner.pid is None
    await planner.stop()


async def test_without_the_process_first_come_is_first_served(
    tasks: Tasks, caplog: pytest.LogCaptureFixture
) -> None:
    """And nobody calls it the best."""
    planner = Planner(tasks, module="brain_server.no_such_module")
    made = problem(item("a"), item("b", spools="blue"), item("c"))
    with caplog.at_level(logging.WARNING):
        plan = await planner.plan(made)
    assert (plan, "first come" in caplog.text) == (first_come(made), True)
    assert (plan.proven, plan.method, planner.pid) == (False, "first_come", None)


async def test_a_process_that_does_not_answer_is_ended(tasks: Tasks) -> None:
    """First come, first served does not wait for it."""
    planner = Planner(tasks, module="tests.standins.deaf", grace_s=0.0)
    plan = await planner.plan(problem(item("a"), limit_s=0.3))
    assert (plan.method, planner.pid) == ("first_come", None)


async def test_a_killed_process_is_started_again(tasks: Tasks) -> None:
    """With the next plan."""
    planner = Planner(tasks)
    made = queue("mixed", 60, 1, limit_s=0.2)
    await planner.plan(made)
    os.kill(planner.pid or 0, 9)
    process = planner._process
    assert process is not None
    await process.wait()
    assert (await planner.plan(made)).method == "search"
    await planner.stop()


async def test_a_question_that_nobody_asks_any_more_ends_the_process(tasks: Tasks) -> None:
    """Its answer must not be taken for that to the next."""
    planner = Planner(tasks)
    asking = tasks.start("ask", planner.plan(queue("mixed", 60, 1, limit_s=5.0)))
    await until(lambda: planner.pid, "the process")
    asking.cancel()
    await asyncio.wait({asking})
    assert planner.pid is None
    await until(lambda: not tasks._tasks, "its end")


async def test_a_brain_that_stops_while_it_plans_ends_the_process(tasks: Tasks) -> None:
    """At once, and whoever waits for the plan gets the simple one."""
    planner = Planner(tasks, module="tests.standins.deaf")
    made = problem(item("a"))
    asking = tasks.start("ask", planner.plan(made))
    await until(lambda: planner.pid, "the process")
    process = planner._process
    assert process is not None
    await planner.stop()
    assert (await asking, planner.pid) == (first_come(made), None)
    assert process.returncode is not None


def test_the_process_does_not_know_the_settings_of_the_brain() -> None:
    """Of which one is a token; and it ends when nobody speaks to it any more."""
    line = msgspec.json.encode(problem(item("a"), limit_s=0.2)) + b"\n"
    done = subprocess.run(
        [sys.executable, "-m", "brain_server.fabrication.solve"],
        input=line,
        capture_output=True,
        timeout=SOON,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    assert [one["item"] for one in json.loads(done.stdout)["places"]] == ["a"]


def test_or_tools_is_imported_by_that_process_only() -> None:
    """The brain has no use for a hundred megabytes of it."""
    code = (
        "import sys, brain_server.fabrication.queue; "
        "print([name for name in ('ortools', 'pandas', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=SOON, check=True, text=True
    )
    assert done.stdout.strip() == "[]"
