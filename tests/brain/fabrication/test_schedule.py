"""From rows of the queue to a problem, and from a plan to reasons that a person understands."""

import time
from typing import Any

import msgspec
import pytest

from brain_server.devices.limits import Limits
from brain_server.errors import InvalidRequest
from brain_server.fabrication.plan import Plan
from brain_server.fabrication.schedule import (
    AGING_S,
    HANDLING_S,
    WHATEVER,
    Machine,
    Planned,
    Slot,
    World,
    checked_color,
    is_open_to_plans,
    sketch,
    told,
)
from brain_server.fabrication.search import Search
from brain_server.protocol import Json

NOW = 1_900_000_000.0
HOUR = 3600.0


def row(name: str, **wishes: Any) -> Json:
    """Return an item as it is stored."""
    plain: Json = dict.fromkeys(
        ("deadline", "not_before", "wanted_device_id", "material", "color", "nozzle_mm", "grams")
    )
    more = {
        "id": name,
        "artifact_id": "f",
        "status": "queued",
        "priority": 5,
        "start": "asap",
        "estimated_s": HOUR - HANDLING_S,
        "device_id": None,
        "reasons": [],
        "created_at": NOW - 60,
    }
    return plain | more | wishes


def machine(name: str = "P", **more: Any) -> Machine:
    """Return a printer that is free."""
    given: Json = {"limits": Limits(), "online": True, "obeys": True, "busy_until": NOW} | more
    return Machine(id=name, **given)


def spool(name: str, color: str = "ff0000", **more: Any) -> Json:
    """Return a spool of PLA as the inventory shows it."""
    plain: Json = {"material": "PLA", "free_g": 500.0, "device_id": None, "slot": None}
    return {"id": name, "color": color} | plain | more


def world(*machines: Machine, **more: Any) -> World:
    """Return a workshop."""
    given: Json = {"spools": [], "facts": {}} | more
    return World(now=NOW, machines=machines or (machine(),), **given)


def planned(rows: list[Json], where: World, *, proven: bool = True) -> dict[str, Planned]:
    """Return what a plan says of some items."""
    made = sketch(rows, where, limit_s=0.2)
    plan: Plan = (
        Search(made.problem, time.thread_time).run() if made.problem.items else Plan(places=[])
    )
    return told(rows, where, made, msgspec.structs.replace(plan, proven=proven))


def why(found: Planned) -> list[str]:
    """Return the codes of the reasons."""
    return [reason["code"] for reason in found.reasons]


# -- printers -----------------------------------------------------------------------------------------


def test_an_item_goes_where_it_fits() -> None:
    """Volume, nozzle, material, temperature; what nobody knows keeps it from none."""
    fine = {"nozzle_mm": 0.4, "materials": ["PETG"], "box": [0, 0, 0, 200, 10, 10]}
    where = world(
        machine("small", limits=Limits(volume=(100.0, 100.0, 100.0))),
        machine("thick", limits=Limits(nozzle_mm=0.8)),
        machine("plain", limits=Limits(materials=frozenset({"PLA"}))),
        machine("right", limits=Limits(volume=(250.0, 250.0, 250.0), nozzle_mm=0.4)),
        facts={"a": fine},
    )
    found = planned([row("a", material="PETG")], where)["a"]
    assert found.place is not None
    assert found.place.printer == "right"
    assert {"code": "only_printer_that_fits", "device_id": "right"} in found.reasons


def test_what_fits_nowhere_says_why_of_each_printer() -> None:
    """By the words of the constraints."""
    where = world(
        machine("P", limits=Limits(materials=frozenset({"PLA"}))),
        machine("Q", obeys=False),
        machine("R"),
    )
    found = planned([row("a", material="PETG", wanted_device_id="P")], where)["a"]
    assert found.place is None
    assert found.reasons == [
        {
            "code": "no_printer_fits",
            "printers": {
                "P": ["material"],
                "Q": ["wanted_device", "takes_no_orders"],
                "R": ["wanted_device"],
            },
        }
    ]


def test_the_file_and_the_wish_of_a_person_must_both_fit() -> None:
    """What the printer would refuse is not planned for it."""
    limits = Limits(nozzle_mm=0.6, materials=frozenset({"PETG"}))
    here, file = world(machine(limits=limits)), {"nozzle_mm": 0.6, "materials": ["PLA"]}
    assert planned([row("a", nozzle_mm=0.6, material="PETG")], here)["a"].place is not None
    assert planned([row("a", nozzle_mm=0.4)], here)["a"].place is None
    there = world(machine(limits=limits), facts={"a": file})
    assert planned([row("a", material="PETG")], there)["a"].place is None


def test_a_printer_on_which_it_failed_is_avoided_while_another_fits() -> None:
    """And taken when it is the only one."""
    lost = [{"code": "printer_lost", "device_id": "P", "error": "x"}]
    both = planned([row("a", reasons=lost)], world(machine("P"), machine("Q")))["a"]
    alone = planned([row("a", reasons=lost)], world(machine("P")))["a"]
    assert both.place is not None
    assert both.place.printer == "Q"
    assert alone.place is not None
    assert lost[0] in alone.reasons


# -- filament -----------------------------------------------------------------------------------------


def test_an_item_that_needs_no_filament_in_particular_changes_none() -> None:
    """Whatever is in, stays in."""
    rows = [row("a", material="PLA"), row("b"), row("c", material="PLA")]
    made = sketch(rows, world(spools=[spool("red", device_id="P")]), limit_s=0.2)
    plan = Search(made.problem, time.thread_time).run()
    assert Search(made.problem).score(plan).changes == 0
    assert {place.spool for place in plan.places} == {"red", WHATEVER}


def test_filament_is_named_in_the_reasons() -> None:
    """It is in, it is changed, or nobody knows."""
    where = world(spools=[spool("red", device_id="P"), spool("blue", "0000ff")])
    red, blue = ({"is": [color]} for color in ("red", "blue"))
    rows = [row("a", material="PLA", color=red), row("b", material="PLA", color=blue)]
    found = planned(rows, where)
    assert (why(found["a"])[0], why(found["b"])[0]) == ("same_material", "filament_change")
    assert why(planned([row("a", material="PLA")], world())["a"])[0] == "filament_unknown"


def test_a_colour_rule_takes_one_and_refuses_another() -> None:
    """Any of these, none of those."""
    where = world(spools=[spool("red"), spool("blue", "0000ff"), spool("black", "000000")])
    rule = {"is": ["red", "blue"], "not": ["#ff0000"]}
    found = planned([row("a", material="PLA", color=rule)], where)["a"]
    assert found.place is not None
    assert found.place.spool == "blue"


@pytest.mark.parametrize("other", ["done", "P/1"])
def test_a_colour_differs_from_an_item_or_a_slot(other: str) -> None:
    """That is not planned any more."""
    where = world(spools=[spool("red"), spool("blue", "0000ff")], colors={other: "ff0000"})
    found = planned([row("a", material="PLA", color={"differs_from": other})], where)["a"]
    assert found.place is not None
    assert found.place.spool == "blue"


def test_a_colour_differs_from_an_item_that_is_planned_with_it() -> None:
    """Whichever that gets."""
    where = world(spools=[spool("red"), spool("blue", "0000ff")])
    rows = [row("a", material="PLA"), row("b", material="PLA", color={"differs_from": "a"})]
    found = planned(rows, where)
    places = [found[name].place for name in "ab"]
    assert {place and place.spool for place in places} == {"red", "blue"}


def test_a_colour_that_is_none_is_refused() -> None:
    """A rule without words is no rule."""
    with pytest.raises(InvalidRequest) as caught:
        checked_color({"is": ["red"], "not": ["spam"]})
    assert caught.value.fields["field"] == "color"
    assert (checked_color({}), checked_color(None)) == (None, None)
    assert checked_color({"is": ["red"]}) == {"is": ["red"]}


def test_the_empty_slot_is_the_one_that_is_filled() -> None:
    """Else the one whose filament fewest items need."""
    slots = (
        Slot(number=0, material="PLA", color="ff0000"),
        Slot(number=1, material=None, color=None),
    )
    rows = [row("a", material="PLA")]
    assert sketch(rows, world(machine(slots=slots)), limit_s=1.0).turning == {"P": 1}
    spools = [
        spool("red", device_id="P", slot=0),
        spool("blue", "0000ff", device_id="P", slot=1),
    ]
    wanted = [row("a", material="PLA", color={"is": ["red"]})]
    assert sketch(wanted, world(spools=spools), limit_s=1.0).turning == {"P": 1}


def test_a_slot_with_a_counted_spool_is_that_spool() -> None:
    """And not filament of its own beside it."""
    slots = (Slot(number=0, material="PLA", color="ff0000"),)
    where = world(machine(slots=slots), spools=[spool("red", device_id="P", slot=0)])
    made = sketch([row("a", material="PLA")], where, limit_s=1.0)
    assert made.problem.items[0].options == {"P": ["red"]}


def test_of_many_spools_few_are_worth_a_choice() -> None:
    """The loaded ones, and of each colour the smallest and the fullest that suffice."""
    spools = [spool(f"s{at}", free_g=100.0 + at) for at in range(10)]
    spools[4]["device_id"] = "Q"
    made = sketch([row("a", material="PLA", grams=102.0)], world(spools=spools), limit_s=1.0)
    assert made.problem.items[0].options == {"P": ["s2", "s4", "s9"]}


def test_filament_that_suffices_for_one_of_two_holds_the_younger() -> None:
    """Both would fit alone."""
    where = world(spools=[spool("red", free_g=150.0)])
    found = planned(
        [row("a", material="PLA", grams=100.0), row("b", material="PLA", grams=100.0)], where
    )
    assert (found["a"].place is not None, why(found["b"])) == (True, ["waits_for_spool"])


# -- time ---------------------------------------------------------------------------------------------


def test_those_that_come_first_are_named() -> None:
    """With why: a deadline, a priority, or filament that is in."""
    urgent = planned([row("a"), row("b", deadline=NOW + HOUR)], world())
    assert urgent["a"].reasons[1] == {"code": "waits_for_deadline_of", "item": "b"}
    higher = planned([row("a"), row("b", priority=9)], world())
    assert higher["a"].reasons[1] == {"code": "waits_for_priority_of", "item": "b"}
    where = world(spools=[spool("red", device_id="P"), spool("blue", "0000ff")])
    blue = row("a", material="PLA", color={"is": ["blue"]})
    filament = planned([blue, row("b", material="PLA", color={"is": ["red"]})], where)
    assert filament["a"].reasons[1] == {"code": "waits_for_filament_of", "item": "b"}


def test_a_deadline_that_cannot_be_met_says_by_how_much() -> None:
    """In seconds, without the time to take it off."""
    found = planned([row("a", deadline=NOW + 600)], world())["a"]
    late = next(one for one in found.reasons if one["code"] == "misses_deadline")
    assert late["by_s"] == HOUR - HANDLING_S - 600


def test_a_print_that_is_over_at_its_deadline_meets_it() -> None:
    """Taking it off may come later."""
    found = planned([row("a", deadline=NOW + HOUR - HANDLING_S)], world())["a"]
    assert "misses_deadline" not in why(found)


def test_a_cheap_print_tells_its_price_or_that_none_is_known() -> None:
    """So that nobody waits for nothing."""
    known = planned([row("a", start="cheap")], world(prices=[0.4] * 4 + [0.2] * 8))["a"]
    assert {"code": "cheapest_window", "price": 0.2} in known.reasons
    assert "no_prices" in why(planned([row("a", start="cheap")], world())["a"])


def test_an_item_that_waits_for_its_time_says_so() -> None:
    """And one whose duration nobody knows."""
    later = planned([row("a", not_before=NOW + HOUR)], world())["a"]
    assert {"code": "not_before", "at": NOW + HOUR} in later.reasons
    assert "duration_unknown" in why(planned([row("a", estimated_s=None)], world())["a"])


def test_a_plan_that_is_not_proven_says_so() -> None:
    """Of every item."""
    assert why(planned([row("a")], world(), proven=False)["a"])[-1] == "not_proven_best"


def test_old_items_rise() -> None:
    """One priority for each week, up to the highest."""
    old = [row("a", created_at=NOW - 2.5 * AGING_S), row("b", created_at=NOW - 90 * AGING_S)]
    found = sketch(old, world(), limit_s=1.0).problem.items
    assert [one.priority for one in found] == [7, 10]


def test_the_queue_places_what_waits_and_what_it_holds_itself() -> None:
    """Not what a person holds, or what is on its way."""
    assert is_open_to_plans(row("a"))
    assert is_open_to_plans(row("a", status="held", reasons=[{"code": "filament_short"}]))
    assert not is_open_to_plans(row("a", status="held", reasons=[{"code": "held_by_person"}]))
    assert not is_open_to_plans(row("a", status="held"))
    assert not is_open_to_plans(row("a", status="printing"))
