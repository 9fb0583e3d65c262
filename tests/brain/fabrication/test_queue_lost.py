"""What becomes of an item when its printer, or the brain, is lost on the way."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import update

from brain_server.errors import DeviceError, Unavailable
from brain_server.protocol import CommandStatus, Json
from brain_server.storage import tables
from brain_server.storage.tables import jobs
from tests.brain.fabrication.shop import (
    HOUR,
    STATE,
    A,
    B,
    Shop,
    codes,
    ended,
    file_of,
    settle,
    shop as open_shop,
    url_of,
)
from tests.brain.home import on_stage, puppets, until


@pytest.fixture
async def shop(tmp_path: Path, database_url: str) -> AsyncIterator[Shop]:
    """Give a queue; its gate has a file of its own."""
    async with open_shop(tmp_path, url=url_of(database_url)) as made:
        yield made


# -- printers that are lost ---------------------------------------------------------------------------


async def test_a_printer_that_goes_before_the_start_is_left_out(shop: Shop) -> None:
    """The item is planned elsewhere."""
    printer = await shop.printer()
    row = await shop.add(not_before=shop.clock() + HOUR)
    await shop.turn()
    await shop.printer(B, clear=False)
    await shop.turn()
    assert (await shop.item(row))["device_id"] == A
    printer.vanish()
    await shop.turn()
    assert (await shop.item(row))["device_id"] == B


async def test_an_item_waits_for_the_only_printer_that_fits(shop: Shop) -> None:
    """And goes on when it is back."""
    printer = await shop.printer()
    row = await shop.add()
    printer.vanish()
    await shop.turn()
    held = await shop.item(row)
    assert (held["status"], held["reasons"][0]) == (
        "held",
        {"code": "waits_for_printer", "device_ids": [A]},
    )
    printer.show(**STATE())
    await shop.turn()
    assert (await shop.item(row))["status"] == "starting"


async def test_a_printer_that_does_not_take_the_order_is_avoided(shop: Shop) -> None:
    """Certainly nothing was done: the bed is clear, and another printer is asked."""
    printer = await shop.printer()
    await shop.printer(B)
    printer.reaction = DeviceError("cannot_connect", "The printer does not answer")
    row = await shop.add(device_id=A)
    await shop.turn()
    await shop.approve()
    await shop.run("queue.plan")
    await shop.turn()
    failed = await shop.item(row)
    assert failed["reasons"][-1]["code"] in {"start_failed", "asked_to_start"}
    assert {"code": "start_failed", "device_id": A, "error": "cannot_connect"} in failed["reasons"]


async def test_after_a_failed_start_another_printer_is_preferred(shop: Shop) -> None:
    """Where one fits."""
    printer = await shop.printer()
    printer.reaction = DeviceError("cannot_connect", "The printer does not answer")
    row = await shop.add()
    await shop.turn()
    await shop.printer(B)
    await shop.approve()
    await shop.turn()
    assert (await shop.item(row))["device_id"] == B
    assert (await shop.run("queue.plan"))["beds"] == {A: True, B: False}


async def test_a_start_that_fails_again_and_again_is_left_to_a_person(shop: Shop) -> None:
    """Three times are enough."""
    await shop.printer()
    shop.trouble = DeviceError("cannot_connect", "The printer takes no files")
    row = await shop.add()
    for _ in range(5):
        await shop.turn()
    held = await shop.item(row)
    assert (held["status"], held["attempts"], codes(held)[0]) == ("held", 3, "start_refused")


async def test_a_brain_that_is_down_for_a_moment_is_asked_again(shop: Shop) -> None:
    """Under the same key: no attempt is lost."""
    await shop.printer()
    shop.trouble = Unavailable("database_busy", "Later")
    row = await shop.add()
    await shop.turn()
    shop.trouble = None
    await shop.turn()
    found = await shop.item(row)
    assert (found["status"], found["attempts"], len(await shop.waiting())) == ("starting", 1, 1)


async def test_a_start_that_was_not_seen_is_left_to_a_person(shop: Shop) -> None:
    """The printer may begin late: nobody else prints it."""
    await shop.printer()
    await shop.printer(B)
    row = await shop.add(device_id=A)
    await shop.turn()
    command = (await shop.item(row))["command_id"]
    await settle(shop, command, status="failed", sent_at=1.0, detail="not_observed")
    await shop.turn()
    held = await shop.item(row)
    assert (held["status"], codes(held)) == ("held", ["start_not_seen"])
    assert (await shop.run("queue.plan"))["beds"][A] is False


async def test_a_start_whose_outcome_is_unknown_stays_where_it_is(shop: Shop) -> None:
    """Until a person has looked, or the printer shows the print."""
    await shop.printer()
    row = await shop.add()
    await shop.turn()
    command = (await shop.item(row))["command_id"]
    await settle(shop, command, status="unknown", detail="no_answer")
    await shop.turn()
    unknown = await shop.item(row)
    assert (unknown["status"], codes(unknown)) == ("starting", ["start_unknown"])
    await shop.turn()
    await shop.house.gate.settle(
        command, CommandStatus.FAILED, "settled by a person", user_id="bob"
    )
    await shop.turn()
    held = await shop.item(row)
    assert (held["status"], codes(held)) == ("held", ["start_not_seen"])


async def test_a_print_that_failed_is_printed_once_more_elsewhere(shop: Shop) -> None:
    """And not a third time."""
    await shop.printer()
    row = await shop.printing()
    await shop.printer(B)
    again = await ended(shop, row, "failed", error="Nozzle clogged")
    assert (again["status"], again["device_id"], again["attempts"]) == ("starting", B, 2)
    lost = {"code": "printer_lost", "device_id": A, "error": "Nozzle clogged"}
    assert lost in again["reasons"]
    await shop.approve()
    shop.shows(B, "failed", file_of(row), error="Jam")
    await shop.rest()
    await shop.turn()
    over = await shop.item(row)
    assert (over["status"], codes(over)) == ("failed", ["failed", "printer_lost"])
    assert shop.runs == [(A, file_of(row)), (B, file_of(row))]


async def test_a_print_that_was_lost_early_is_certainly_not_done(shop: Shop) -> None:
    """The printer was off for a moment and is free: it is printed once more."""
    printer = await shop.printer()
    row = await shop.printing()
    printer.vanish()
    await shop.turn()
    assert (await shop.item(row))["status"] == "printing"
    shop.shows(A, "idle")
    await shop.rest()
    await shop.turn()
    again = await shop.item(row)
    assert (again["status"], codes(again)[0]) == ("queued", "waits_for_clear_bed")
    assert again["reasons"][-1]["error"] == "outcome not seen"


async def test_a_print_that_may_be_done_is_left_to_a_person(shop: Shop) -> None:
    """It ended unseen, late enough to be complete."""
    await shop.printer()
    row = await shop.printing()
    begun = update(jobs).values(started_at=jobs.c.started_at - HOUR)
    await shop.database.write(lambda connection: connection.execute(begun))
    shop.shows(A, "idle")
    await shop.rest()
    await shop.turn()
    held = await shop.item(row)
    assert (held["status"], codes(held)) == ("held", ["outcome_not_seen"])


async def test_a_print_that_was_noticed_late_may_be_done_earlier(shop: Shop) -> None:
    """The printer says when the run began, however late the brain came to see it."""
    await shop.printer()
    row = await shop.printing()
    begun = datetime.fromtimestamp(shop.clock() - HOUR, UTC).isoformat()
    late = update(jobs).values(run=begun)
    await shop.database.write(lambda connection: connection.execute(late))
    shop.shows(A, "idle")
    await shop.rest()
    await shop.turn()
    held = await shop.item(row)
    assert (held["status"], codes(held)) == ("held", ["outcome_not_seen"])


async def test_a_run_that_is_just_no_longer_shown_is_left_to_a_person(shop: Shop) -> None:
    """A printer at rest does not say how its print ended."""
    await shop.printer()
    row = await shop.printing()
    begun = update(jobs).values(started_at=jobs.c.started_at - HOUR)
    await shop.database.write(lambda connection: connection.execute(begun))
    over = await ended(shop, row, "idle")
    assert (over["status"], codes(over)) == ("held", ["outcome_not_seen"])


async def test_a_print_that_somebody_cancelled_is_not_repeated(shop: Shop) -> None:
    """It was wanted so."""
    await shop.printer()
    row = await shop.printing()
    over = await ended(shop, row, "aborted")
    assert (over["status"], codes(over)) == ("cancelled", ["aborted"])


# -- what a crash left open ---------------------------------------------------------------------------


async def claimed(shop: Shop) -> Json:
    """Return an item that was claimed by a brain that then died."""
    row = await shop.add()
    await shop.planning.replan()
    taken = await shop.rows.claim(await shop.item(row), A)
    assert taken is not None
    return taken


async def asked(shop: Shop, row: Json) -> Json:
    """Let that brain have asked for the start, and have died before it knew the command."""
    reason = {"code": "asked_to_start", "device_id": A, "file": file_of(row)}
    changed = await shop.rows.change(row, {"command_id": "", "reasons": [reason]})
    assert changed is not None
    return changed


async def test_an_item_that_was_only_claimed_is_started_by_the_next_life(shop: Shop) -> None:
    """As the same attempt."""
    await shop.printer()
    row = await claimed(shop)
    await shop.turn()
    found = await shop.item(row)
    assert (found["status"], found["attempts"], len(await shop.waiting())) == ("starting", 1, 1)


async def test_what_was_asked_is_asked_again_under_the_same_key(shop: Shop) -> None:
    """Without bringing the file once more."""
    await shop.printer()
    row = await asked(shop, await claimed(shop))
    await shop.turn()
    assert (len(await shop.waiting()), shop.uploads) == (1, [])
    assert (await shop.item(row))["command_id"] not in {None, ""}


async def test_a_claim_of_long_ago_is_left_to_a_person(shop: Shop) -> None:
    """The gate may have forgotten what was asked then."""
    await shop.printer()
    row = await asked(shop, await claimed(shop))
    shop.clock.ahead = 13 * HOUR
    await shop.turn()
    held = await shop.item(row)
    assert (held["status"], codes(held), await shop.waiting()) == ("held", ["start_unknown"], [])


async def test_an_asked_start_that_is_refused_now_is_left_to_a_person(shop: Shop) -> None:
    """It may have been taken before the crash."""
    printer = await shop.printer()
    row = await asked(shop, await claimed(shop))
    printer.stored = {"other.gcode": b""}
    await shop.turn()
    held = await shop.item(row)
    assert (held["status"], codes(held)) == ("held", ["start_unknown"])
    assert (await shop.run("queue.plan"))["beds"][A] is False


async def test_an_item_that_another_brain_gave_back_is_not_asked_for(shop: Shop) -> None:
    """Though its file has arrived."""
    await shop.printer()
    row = await claimed(shop)
    real = shop.bring

    async def slow(*where: str) -> str:
        await shop.rows.back_out(row, {"status": "queued"})
        return await real(*where)  # type: ignore[arg-type]  # handed on as it came

    shop.starts._bring = slow  # type: ignore[assignment]  # one method is replaced for this test
    await shop.starts._ask(row)
    assert await shop.waiting() == []


async def test_a_print_that_was_seen_to_start_and_has_no_job_is_adopted(shop: Shop) -> None:
    """A crash came in between: the printer's run was recorded as nobody's."""
    await shop.printer()
    row = await shop.printing()
    lost = update(jobs).values(command_id=None, queue_id=None)
    await shop.database.write(lambda connection: connection.execute(lost))
    nowhere = {"job_id": None, "status": "starting"}
    known = await shop.rows.change(row, nowhere)
    assert known is not None
    await shop.turn()
    await shop.turn()
    assert (await shop.item(row))["status"] == "printing"


async def test_a_start_that_was_seen_and_left_no_job_is_left_to_a_person(shop: Shop) -> None:
    """After a while."""
    await shop.printer()
    shop.sleepy = True
    row = await shop.add()
    await shop.turn()
    command = (await shop.item(row))["command_id"]
    await settle(shop, command, status="acked", claimed_at=1.0, ack_at=shop.clock())
    await shop.turn()
    assert (await shop.item(row))["status"] == "starting"
    shop.clock.ahead = 700
    await shop.turn()
    held = await shop.item(row)
    assert (held["status"], codes(held)) == ("held", ["outcome_not_seen"])


async def test_an_item_whose_printer_is_gone_or_busy_waits(shop: Shop) -> None:
    """By the plan that was, it would have begun."""
    await shop.printer()
    row = await shop.add()
    await shop.planning.replan()
    planned = await shop.item(row)
    shop.shows(A, "printing", "x.gcode")
    beds = await shop.rows.beds()
    assert await shop.starts.begin(planned, beds[A]) == "waits_for_printer"
    gone = planned | {"device_id": B}
    assert await shop.starts.begin(gone, None) == "waits_for_printer"


async def test_a_claim_that_comes_too_late_starts_nothing(shop: Shop) -> None:
    """Another brain has the item."""
    await shop.printer()
    row = await shop.add()
    await shop.planning.replan()
    planned, beds = await shop.item(row), await shop.rows.beds()
    await shop.run("queue.hold", queue_id=row["id"])
    assert await shop.starts.begin(planned, beds[A]) is None
    assert (await shop.waiting(), (await shop.rows.beds())[A]["is_clear"]) == ([], True)


async def test_a_brain_that_comes_late_to_a_change_says_so(shop: Shop) -> None:
    """Nothing is changed by what it believed."""
    await shop.printer()
    row = await shop.add()
    stale = await shop.item(row)
    await shop.turn()
    assert await shop.rows.change(stale, {"priority": 1}) is None
    assert await shop.rows.back_out(stale, {"status": "held"}) is None


# -- a start of which nobody knows --------------------------------------------------------------------


async def forgotten(shop: Shop) -> tuple[Json, Json]:
    """Return a held item, and the event of its start, of which a crash took the word that it was asked for."""
    printer = await shop.printer()
    row = await shop.add()
    await shop.turn()
    (event,) = await shop.waiting()
    known = await shop.rows.change(await shop.item(row), {"command_id": ""})
    assert known is not None
    printer.stored = {"other.gcode": b""}
    await shop.turn()
    printer.stored = {}
    held = await shop.item(row)
    assert codes(held) == ["start_unknown"]
    return held, event


async def event_of(shop: Shop, event: Json) -> str:
    """Return how an event stands."""
    rows = await shop.house.rows(tables.events)
    return next(str(row["status"]) for row in rows if row["id"] == event["id"])


async def test_a_release_takes_back_the_start_of_which_nobody_knew(shop: Shop) -> None:
    """Only the start that comes after it can still be approved."""
    held, event = await forgotten(shop)
    await shop.run("queue.release", queue_id=held["id"])
    assert await event_of(shop, event) == "expired"
    await shop.run("printers.cleared", device_id=A)
    await shop.turn()
    (fresh,) = await shop.waiting()
    assert fresh["id"] != event["id"]
    await shop.approve()
    assert shop.runs == [(A, file_of(held))]


async def test_a_cancel_takes_it_back_too(shop: Shop) -> None:
    """What was cancelled is not printed because somebody approves it later."""
    held, event = await forgotten(shop)
    await shop.run("queue.cancel", queue_id=held["id"])
    assert (await event_of(shop, event), await shop.waiting()) == ("expired", [])


async def test_nothing_is_released_while_its_earlier_start_is_carried_out(shop: Shop) -> None:
    """Somebody approved it meanwhile: it may well print."""
    held, event = await forgotten(shop)
    printer = puppets().Puppet.on_stage[A]
    printer.reaction = asyncio.Event()
    await shop.house.approve(event, "bob")
    await until(lambda: puppets().Puppet.orders.get(A), "the order")
    assert await shop.refused("queue.release", queue_id=held["id"]) == "still_under_way"
    assert await shop.refused("queue.cancel", queue_id=held["id"]) == "still_under_way"
    assert (await shop.item(held))["status"] == "held"
    printer.reaction.set()
    await shop.rest()


class Died(BaseException):
    """The brain is no more."""


async def test_a_brain_that_dies_in_a_release_leaves_the_item_held(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nothing that could still be approved; the next release starts it, once."""
    held, event = await forgotten(shop)

    async def dies(*_what: object, **_how: object) -> None:
        raise Died

    monkeypatch.setattr(shop.rows, "change", dies)
    with pytest.raises(Died):
        await shop.run("queue.release", queue_id=held["id"])
    await shop.close()
    await shop.open()
    await on_stage(A)
    assert ((await shop.item(held))["status"], await event_of(shop, event)) == ("held", "expired")
    await shop.run("queue.release", queue_id=held["id"])
    await shop.run("printers.cleared", device_id=A)
    await shop.turn()
    await shop.approve()
    assert shop.runs == [(A, file_of(held))]
