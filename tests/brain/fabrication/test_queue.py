"""The print queue: from a file to a print, with people, printers and filament in between."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from brain_server.errors import Unavailable
from brain_server.observability import counters
from brain_server.protocol import Json
from brain_server.storage import tables
from tests.brain.fabrication.shop import (
    HOUR,
    STATE,
    A,
    B,
    Shop,
    codes,
    ended,
    file_of,
    shop as open_shop,
    url_of,
)
from tests.brain.home import until
from tests.brain.overtaken import overtaken


@pytest.fixture
async def shop(tmp_path: Path, database_url: str) -> AsyncIterator[Shop]:
    """Give a queue; its gate has a file of its own."""
    async with open_shop(tmp_path, url=url_of(database_url)) as made:
        yield made


# -- from the queue to the printer --------------------------------------------------------------------


async def test_a_start_of_which_the_gate_knows_nothing_is_held(shop: Shop) -> None:
    """One of the two databases is an older copy: a person looks."""
    await shop.printer()
    row = await shop.add()
    await shop.turn()
    asked = await shop.rows.get(row["id"])
    assert asked is not None
    await shop.rows.change(asked, {"command_id": "0" * 32})
    await shop.turn()
    held = await shop.item(row)
    assert (held["status"], codes(held)[0]) == ("held", "outcome_not_seen")


async def test_each_word_about_a_bed_is_told(shop: Shop) -> None:
    """Clear when a person says so, and not from the moment in which a print is asked for."""
    told: list[Json] = []
    shop.bus.listen("bed.updated", lambda event: told.append(event.data))
    await shop.printer()
    await shop.run("printers.cleared", device_id=A)
    await shop.add()
    await shop.turn()
    assert [one["clear"] for one in told] == [*([True] * (len(told) - 1)), False]
    assert await shop.queue.beds() == [{"device_id": A, "clear": False}]


async def test_an_item_is_printed_when_a_person_approves(shop: Shop) -> None:
    """It goes to the printer, asks, prints, and ends with its job."""
    await shop.printer()
    row = await shop.add()
    await shop.turn()
    asked = await shop.item(row)
    (event,) = await shop.waiting()
    assert (asked["status"], asked["device_id"], asked["attempts"]) == ("starting", A, 1)
    assert (event["command_id"], event["initiated_by"]) == (asked["command_id"], "ada")
    assert shop.runs == []
    await shop.approve()
    await shop.turn()
    printing = await shop.item(row)
    assert (printing["status"], shop.runs) == ("printing", [(A, file_of(row))])
    done = await ended(shop, row, "completed")
    assert (done["status"], done["ended_at"] is not None) == ("completed", True)


async def test_the_request_is_an_automation_of_the_person_who_queued_it(shop: Shop) -> None:
    """With a key that belongs to this attempt."""
    await shop.printer()
    row = await shop.add()
    await shop.turn()
    (command,) = await shop.house.rows(tables.commands)
    assert (command["requested_by"], command["channel"]) == ("ada", "automation")
    assert command["idempotency_key"] == f"ada:queue-{row['id']}-1"


async def test_of_a_project_the_plate_is_named_for_which_the_item_was_planned(shop: Shop) -> None:
    """Whatever the people of the printer chose for starts that name none."""
    await shop.printer()
    await shop.add(facts={"plate": 1, "plate_numbers": [1, 2]})
    await shop.turn()
    (command,) = await shop.house.rows(tables.commands)
    assert command["params"]["plate"] == 1


async def test_the_job_knows_the_item_of_the_queue(shop: Shop) -> None:
    """By the command that both share."""
    await shop.printer()
    row = await shop.printing()
    (job,) = await shop.jobs.open_jobs()
    assert (job["queue_id"], job["artifact_id"]) == (row["id"], row["artifact_id"])
    assert row["job_id"] == job["id"]


async def test_nothing_is_started_on_a_bed_that_nobody_called_clear(shop: Shop) -> None:
    """The first time, a person has to say it."""
    await shop.printer(clear=False)
    row = await shop.add()
    await shop.turn()
    assert codes(await shop.item(row))[0] == "waits_for_clear_bed"
    await shop.run("printers.cleared", device_id=A)
    await shop.turn()
    assert (await shop.item(row))["status"] == "starting"


async def test_after_a_print_the_bed_is_not_clear(shop: Shop) -> None:
    """The next item waits for a person."""
    await shop.printer()
    first = await shop.printing()
    second = await shop.add()
    await ended(shop, first, "completed")
    assert codes(await shop.item(second))[0] == "waits_for_clear_bed"
    assert shop.runs == [(A, file_of(first))]


async def test_a_clear_bed_outlives_a_restart(shop: Shop) -> None:
    """And a used one does, too."""
    await shop.printer()
    await shop.printer(B, clear=False)
    await shop.close()
    await shop.open()
    assert (await shop.run("queue.plan"))["beds"] == {A: True}


async def test_a_print_that_somebody_began_at_the_printer_uses_the_bed(shop: Shop) -> None:
    """Also when the queue never saw it run."""
    await shop.printer()
    shop.shows(A, "completed", "by hand.gcode")
    row = await shop.add()
    await shop.turn()
    assert codes(await shop.item(row))[0] == "waits_for_clear_bed"


async def test_a_print_that_runs_takes_the_word_of_a_clear_bed_away(shop: Shop) -> None:
    """The word was about the time before it."""
    await shop.printer()
    shop.shows(A, "printing", "by hand.gcode")
    await shop.rest()
    await shop.turn()
    assert (await shop.run("queue.plan"))["beds"] == {A: False}


async def test_a_printer_that_is_busy_cannot_be_called_clear(shop: Shop) -> None:
    """Nor one on which an item of the queue is about to begin."""
    await shop.printer()
    await shop.printer(B, clear=False)
    shop.shows(B, "printing", "x.gcode")
    assert await shop.refused("printers.cleared", device_id=B) == "printer_busy"
    await shop.add(device_id=A)
    await shop.turn()
    assert await shop.refused("printers.cleared", device_id=A) == "printer_busy"


async def test_two_items_never_wait_for_one_printer_at_once(shop: Shop) -> None:
    """The bed is taken by the first."""
    await shop.printer()
    rows = [await shop.add() for _ in range(3)]
    for _ in range(3):
        await shop.turn()
    found = [(await shop.item(row))["status"] for row in rows]
    assert sorted(found) == ["queued", "queued", "starting"]


async def test_two_brains_take_an_item_once(shop: Shop) -> None:
    """The claim is one conditional change of item and bed."""
    await shop.printer()
    row = await shop.add()
    await shop.planning.replan()
    planned = await shop.item(row)
    taken = await asyncio.gather(*(shop.rows.claim(planned, A) for _ in range(5)))
    assert len([one for one in taken if one is not None]) == 1


async def test_an_item_waits_for_its_time(shop: Shop) -> None:
    """Not before."""
    await shop.printer()
    row = await shop.add(not_before=shop.clock() + 600)
    wait = await shop.queue.turn()
    waiting = await shop.item(row)
    assert (waiting["status"], "not_before" in codes(waiting)) == ("queued", True)
    assert 540 < wait <= 660
    shop.clock.ahead = 660
    await shop.turn()
    assert (await shop.item(row))["status"] == "starting"


async def test_a_print_that_needs_moving_air_asks_for_the_word_of_a_person(shop: Shop) -> None:
    """Given when it is queued, or when it is released."""
    await shop.printer()

    async def facts(_device_id: str, _file: str, _plate: int) -> Json:
        return {"hazardous": True}

    shop.devices.facts_of = facts
    row = await shop.add()
    await shop.turn()
    held = await shop.item(row)
    assert (held["status"], codes(held)) == ("held", ["ventilation_unconfirmed"])
    await shop.run("queue.release", queue_id=row["id"])
    await shop.turn()
    (event,) = await shop.waiting()
    command = await shop.command_of(event["command_id"])
    assert command["params"]["ventilation"] is True


# -- what people decide -------------------------------------------------------------------------------


async def test_what_was_denied_is_held_and_not_asked_again(shop: Shop) -> None:
    """The bed is as clear as it was, and a person may let it go on."""
    await shop.printer()
    row = await shop.add()
    await shop.turn()
    await shop.deny()
    for _ in range(3):
        await shop.turn()
    held = await shop.item(row)
    assert (held["status"], codes(held), await shop.waiting()) == ("held", ["denied"], [])
    await shop.run("queue.release", queue_id=row["id"])
    await shop.turn()
    again = await shop.item(row)
    assert (again["status"], again["attempts"]) == ("starting", 2)
    assert len(await shop.waiting()) == 1


async def test_what_nobody_approved_in_time_is_held(shop: Shop) -> None:
    """With the reason."""
    await shop.printer()
    row = await shop.add()
    await shop.turn()
    shop.clock.ahead = 400
    await shop.house.gate.expire()
    await shop.turn()
    held = await shop.item(row)
    assert (held["status"], codes(held)) == ("held", ["expired"])


async def test_a_held_item_stays_until_it_is_released(shop: Shop) -> None:
    """Whoever held it."""
    await shop.printer()
    row = await shop.add()
    held = await shop.run("queue.hold", queue_id=row["id"])
    assert held["reasons"] == [{"code": "held_by_person", "user_id": "ada"}]
    await shop.turn()
    assert (await shop.item(row))["status"] == "held"
    assert (await shop.run("queue.release", queue_id=row["id"]))["status"] == "queued"
    assert await shop.refused("queue.release", queue_id=row["id"]) == "queue_not_held"


async def test_the_word_of_a_person_is_not_overwritten_by_a_plan(shop: Shop) -> None:
    """A plan that was being made when somebody held the item changes nothing."""
    await shop.printer(materials="PLA")
    row = await shop.add(material="PETG")
    await shop.turn()
    stale = await shop.item(row)
    await shop.run("queue.hold", queue_id=row["id"])
    assert await shop.rows.change(stale, {"status": "queued"}, exactly=True) is None
    assert codes(await shop.item(row)) == ["held_by_person"]


async def test_what_an_item_became_last_is_told_last(shop: Shop) -> None:
    """However long it takes to read what it was before."""
    row = await shop.item(await shop.add())
    told: list[str] = []
    shop.bus.listen("queue.updated", lambda event: told.append(event.data["title"]))
    await overtaken(
        shop.database,
        lambda: shop.rows.change(row, {"title": "A lid"}),
        lambda: shop.rows.change(row, {"title": "A box"}),
    )
    assert told == ["A lid", "A box"]


async def test_a_cancelled_item_is_over(shop: Shop) -> None:
    """Nothing of it can be changed any more."""
    await shop.printer()
    row = await shop.add()
    cancelled = await shop.run("queue.cancel", queue_id=row["id"])
    assert (cancelled["status"], cancelled["ended_at"] is not None) == ("cancelled", True)
    await shop.turn()
    assert await shop.waiting() == []
    for verb in ("cancel", "hold", "release", "change"):
        assert await shop.refused(f"queue.{verb}", queue_id=row["id"]) == "queue_item_over"


async def test_an_item_on_its_way_is_not_changed(shop: Shop) -> None:
    """Its print is declined, or cancelled at the printer."""
    await shop.printer()
    row = await shop.add()
    await shop.turn()
    assert await shop.refused("queue.cancel", queue_id=row["id"]) == "queue_item_started"


async def test_a_change_takes_the_place_in_the_plan_away(shop: Shop) -> None:
    """So that nobody starts it by wishes that are no longer true."""
    await shop.printer()
    await shop.printer(B)
    row = await shop.add(device_id=A, title="A lid")
    await shop.planning.replan()
    planned = await shop.item(row)
    changed = await shop.run("queue.change", queue_id=row["id"], device_id=B, priority=9)
    assert (changed["device_id"], changed["wanted_device_id"], changed["priority"]) == (None, B, 9)
    assert await shop.rows.claim(planned, A) is None
    await shop.turn()
    assert (await shop.item(row))["device_id"] == B


async def test_a_wish_can_be_taken_back(shop: Shop) -> None:
    """With null."""
    row = await shop.add(deadline=shop.clock() + HOUR, color={"is": ["red"]})
    changed = await shop.run("queue.change", queue_id=row["id"], deadline=None, color=None)
    assert (changed["deadline"], changed["color"]) == (None, None)


async def test_what_is_not_there_is_said(shop: Shop) -> None:
    """An item, a file, a printer, a colour."""
    assert await shop.refused("queue.cancel", queue_id="x") == "queue_item_not_found"
    assert await shop.refused("queue.add", artifact_id="x") == "file_not_found"
    assert await shop.refused("queue.add", file="x.gcode") == "file_not_found"
    assert await shop.refused("queue.add") == "file_not_found"
    artifact = await shop.artifact()
    assert await shop.refused("queue.add", artifact_id=artifact, device_id="x") == (
        "device_not_found"
    )
    shade = {"is": ["the colour of money"]}
    assert await shop.refused("queue.add", artifact_id=artifact, color=shade) == "invalid_params"


async def test_only_a_printer_can_be_wanted(shop: Shop) -> None:
    """A door prints nothing."""
    await shop.registry.put(
        "puppet", {"external_id": "door", "kind": "door"}, device_id=B, zone_id="shop"
    )
    artifact = await shop.artifact()
    assert await shop.refused("queue.add", artifact_id=artifact, device_id=B) == "invalid_params"


async def test_a_file_is_found_by_its_name(shop: Shop) -> None:
    """The newest of that name, with all that is written in it."""
    await shop.artifact("lid.gcode", grams=1.0)
    newest = await shop.artifact("lid.gcode", grams=12.5, material="PETG", nozzle_mm=0.6)
    row = await shop.run("queue.add", file="lid.gcode")
    assert (row["artifact_id"], row["title"]) == (newest, "lid.gcode")
    assert (row["grams"], row["material"], row["nozzle_mm"], row["estimated_s"]) == (
        12.5,
        "PETG",
        0.6,
        HOUR,
    )


async def test_the_list_has_what_is_open_page_by_page(shop: Shop) -> None:
    """And with a status what is in it."""
    rows = [await shop.add() for _ in range(3)]
    await shop.run("queue.cancel", queue_id=rows[0]["id"])
    page = await shop.run("queue.list", limit=1)
    rest = await shop.run("queue.list", cursor=page["cursor"])
    assert [one["id"] for one in (*page["items"], *rest["items"])] == [
        rows[1]["id"],
        rows[2]["id"],
    ]
    over = await shop.run("queue.list", status="cancelled")
    assert [one["id"] for one in over["items"]] == [rows[0]["id"]]
    assert [one["id"] for one in await shop.queue.open_items()] == [
        rows[1]["id"],
        rows[2]["id"],
    ]


# -- filament -----------------------------------------------------------------------------------------


async def test_an_item_waits_for_its_filament_and_says_which(shop: Shop) -> None:
    """When it is loaded the item goes on."""
    await shop.printer()
    red = await shop.spool("PLA", "red")
    row = await shop.add(facts={"material": "PLA", "grams": 50.0}, color={"is": ["red"]})
    await shop.turn()
    held = await shop.item(row)
    assert held["status"] == "held"
    assert held["reasons"][0] == {
        "code": "load_filament",
        "device_id": A,
        "slot": 0,
        "spool_id": red,
        "material": "PLA",
        "color": "e01010",
    }
    await shop.run("spools.load", spool_id=red, device_id=A)
    await shop.turn()
    assert (await shop.item(row))["status"] == "starting"


async def test_what_nobody_counts_is_loaded_by_the_word_of_a_person(shop: Shop) -> None:
    """For this printer."""
    await shop.printer()
    row = await shop.add(facts={"material": "PLA", "grams": 50.0})
    await shop.turn()
    assert codes(await shop.item(row))[0] == "load_filament"
    await shop.run("queue.release", queue_id=row["id"])
    await shop.turn()
    assert (await shop.item(row))["status"] == "starting"


async def test_a_slot_that_the_printer_shows_is_filament(shop: Shop) -> None:
    """Of the right material and colour."""
    await shop.printer()
    slots = [
        {"slot": 0, "material": "PETG", "color": "1040e0", "remaining": None},
        {"slot": 1, "material": "PLA", "color": "e01010", "remaining": 80},
        {"slot": 2, "material": None, "color": None, "remaining": None},
    ]
    shop.shows(A, "idle", slots=slots)
    row = await shop.add(facts={"material": "PLA", "grams": 50.0}, color={"is": ["red"]})
    await shop.turn()
    assert (await shop.item(row))["status"] == "starting"


async def test_grams_are_set_aside_and_given_back(shop: Shop) -> None:
    """While it waits nobody else has them; when it is over they are free."""
    await shop.printer(clear=False)
    spool = await shop.spool("PLA", "red", device_id=A)
    row = await shop.add(facts={"material": "PLA", "grams": 300.0})
    await shop.turn()
    (held,) = (await shop.run("spools.list"))["items"]
    assert (held["free_g"], (await shop.item(row))["spool_id"]) == (700.0, spool)
    await shop.run("queue.cancel", queue_id=row["id"])
    await shop.turn()
    (free,) = (await shop.run("spools.list"))["items"]
    assert free["free_g"] == 1000.0


async def test_filament_that_does_not_suffice_holds_the_item(shop: Shop) -> None:
    """With the grams; it goes on when there is more."""
    await shop.printer()
    await shop.spool("PLA", "red", 200.0, device_id=A)
    row = await shop.add(facts={"material": "PLA", "grams": 300.0})
    await shop.turn()
    held = await shop.item(row)
    assert held["reasons"][0] == {
        "code": "filament_short",
        "material": "PLA",
        "needed": 300.0,
        "free": 200.0,
    }
    await shop.spool("PLA", "red", 900.0)
    await shop.turn()
    assert codes(await shop.item(row))[0] == "load_filament"


async def test_grams_that_somebody_took_meanwhile_hold_the_item(shop: Shop) -> None:
    """The inventory has the last word."""
    await shop.printer()
    await shop.spool("PLA", "red", device_id=A)
    row = await shop.add(facts={"material": "PLA", "grams": 300.0})
    plan = shop.planner.plan

    async def late(problem: Any) -> Any:
        await shop.inventory.reserve("somebody", "PLA", 900.0)
        return await plan(problem)

    shop.planner.plan = late
    await shop.turn()
    held = await shop.item(row)
    assert (held["status"], codes(held)[0]) == ("held", "filament_short")


async def test_other_wishes_for_filament_give_it_back(shop: Shop) -> None:
    """And set aside what now is wanted."""
    await shop.printer(clear=False)
    await shop.spool("PLA", "red", device_id=A)
    row = await shop.add(facts={"material": "PLA", "grams": 300.0})
    await shop.turn()
    await shop.run("queue.change", queue_id=row["id"], grams=100.0)
    await shop.turn()
    (held,) = (await shop.run("spools.list"))["items"]
    assert held["free_g"] == 900.0


async def test_an_item_that_loses_its_place_gives_its_filament_back(shop: Shop) -> None:
    """Others may need it."""
    printer = await shop.printer(clear=False)
    await shop.spool("PLA", "red", device_id=A)
    row = await shop.add(facts={"material": "PLA", "grams": 300.0})
    await shop.turn()
    printer.vanish()
    await shop.turn()
    (held,) = (await shop.run("spools.list"))["items"]
    assert (held["free_g"], (await shop.item(row))["spool_id"]) == (1000.0, None)


async def test_filament_of_items_that_ended_in_the_last_life_is_given_back(shop: Shop) -> None:
    """A crash between the end and the giving back forgets nothing."""
    await shop.printer(clear=False)
    await shop.spool("PLA", "red", device_id=A)
    row = await shop.add(facts={"material": "PLA", "grams": 300.0})
    await shop.turn()
    await shop.run("queue.cancel", queue_id=row["id"])
    await shop.close()
    await shop.open()
    await shop.turn()
    (free,) = (await shop.run("spools.list"))["items"]
    assert free["free_g"] == 1000.0


async def test_a_colour_may_have_to_differ_from_what_prints_already(shop: Shop) -> None:
    """Lid and box in two colours, though the first is on its way."""
    await shop.printer()
    red = await shop.spool("PLA", "red", device_id=A)
    await shop.spool("PLA", "blue")
    box = await shop.add(facts={"material": "PLA", "grams": 10.0}, color={"is": ["red"]})
    await shop.turn()
    rule = {"differs_from": box["id"]}
    lid = await shop.add(facts={"material": "PLA", "grams": 10.0}, color=rule)
    await shop.turn()
    found = (await shop.item(lid))["spool_id"]
    assert found not in (None, red)


# -- the loop -----------------------------------------------------------------------------------------


async def test_the_queue_looks_when_something_changes(shop: Shop) -> None:
    """Nobody has to tell it."""
    await shop.printer()
    task = shop.tasks.keep_up("the loop", shop.queue.run)
    row = await shop.add()
    await until(lambda: shop.uploads, "the file on the printer")
    await until(lambda: not shop.starts._launching, "the request")
    assert (await shop.item(row))["status"] == "starting"
    task.cancel()


async def test_the_queue_outlives_a_database_that_is_busy(shop: Shop) -> None:
    """It looks again later."""
    before = counters["tasks_broken"]
    looked = 0

    async def busy() -> float:
        nonlocal looked
        looked += 1
        raise Unavailable("database_busy", "Later")

    shop.queue.turn = busy  # type: ignore[method-assign]  # one method is replaced for this test
    task = shop.tasks.keep_up("the loop", shop.queue.run)
    await until(lambda: looked, "a look")
    await asyncio.sleep(0)
    assert (task.done(), counters["tasks_broken"]) == (False, before)
    task.cancel()


async def test_the_queue_goes_on_after_a_mistake_of_its_own(shop: Shop) -> None:
    """It is begun again, and meanwhile the health shows that it broke."""
    await shop.printer()
    shop.tasks._pause_s = 0.01
    real, mistakes = shop.queue.turn, [KeyError("gone")]

    async def mistaken() -> float:
        if mistakes:
            raise mistakes.pop()
        return await real()

    shop.queue.turn = mistaken  # type: ignore[method-assign]  # the test puts its own in its place
    task = shop.tasks.keep_up("the loop", shop.queue.run)
    await shop.add()
    await until(lambda: shop.uploads, "the file on the printer")
    assert shop.tasks.broken == {"the loop": "KeyError"}
    task.cancel()


async def test_a_temperature_is_no_reason_to_plan_anew(shop: Shop) -> None:
    """Another status is."""
    printer = await shop.printer()
    shop.queue._changed.clear()
    printer.show(**STATE() | {"nozzle": {"actual": 33.0, "target": 0.0}})
    assert not shop.queue._changed.is_set()
    printer.show(**STATE("error"))
    assert shop.queue._changed.is_set()


async def test_a_plan_tells_how_it_compares(shop: Shop) -> None:
    """With first come, first served."""
    await shop.printer()
    await shop.add()
    plan = await shop.run("queue.plan")
    assert (plan["proven"], plan["method"]) == (True, "search")
    assert plan["score"].keys() == plan["first_come"].keys()
    assert [one["device_id"] for one in plan["items"]] == [A]


async def test_a_plan_that_says_nothing_new_is_not_told_again(shop: Shop) -> None:
    """Clients hear of changes only."""
    await shop.printer(clear=False)
    await shop.add()
    await shop.turn()
    told: list[str] = []
    shop.bus.listen("queue.updated", lambda event: told.append(event.data["id"]))
    await shop.turn()
    await shop.turn()
    assert told == []


async def test_two_people_may_call_a_bed_clear_at_once(shop: Shop) -> None:
    """Both are right."""
    await shop.printer(clear=False)
    people = ("ada", "bob", "cyd")
    await asyncio.gather(*(shop.run("printers.cleared", who, device_id=A) for who in people))
    assert (await shop.rows.beds())[A]["is_clear"] is True


async def test_a_bed_that_is_taken_while_somebody_clears_it_is_not_clear(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two people pressed the button; what began after the first of them is not stopped by the second."""
    await shop.printer()
    row = await shop.add()
    await shop.planning.replan()
    planned, find = await shop.item(row), shop.rows.find

    async def slowly(*where: Any, **more: Any) -> list[Json]:
        found = await find(*where, **more)
        monkeypatch.undo()
        assert await shop.rows.claim(planned, A) is not None
        return found

    monkeypatch.setattr(shop.rows, "find", slowly)
    assert await shop.refused("printers.cleared", device_id=A) == "printer_busy"
    assert not (await shop.rows.beds())[A]["is_clear"]
