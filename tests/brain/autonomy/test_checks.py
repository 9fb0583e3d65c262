"""The daily look at the house and the look at its printers: a verdict, each trouble told once, over when it is over."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from brain_server.errors import DeviceError
from brain_server.protocol import Json
from brain_server.storage import tables
from brain_server.storage.tables import new_id
from tests.brain.autonomy.works import DAY, TODAY, Direct, Life, Works, eventually
from tests.brain.fabrication.prints import HOUR, STATE, A, B
from tests.brain.home import on_stage

DAILY = "daily_health_check"
FLEET = "printer_fleet_health_check"


def keys(found: Json) -> list[str]:
    """Return what was wrong."""
    return [one["key"] for one in found["problems"]]


def codes(found: Json) -> list[tuple[str, str]]:
    """Return what was wrong with which printer."""
    return [(one["name"], one["code"]) for one in found["problems"]]


def part(trouble: str | None) -> Callable[[], Awaitable[str | None]]:
    """Return a part of the process that is as told."""

    async def check() -> str | None:
        return trouble

    return check


# -- the daily look -----------------------------------------------------------------------------------


async def test_a_house_in_which_all_is_well_is_ok(life: Life, shop: Works) -> None:
    """A printer that is away is no trouble of today: it may be switched off."""
    shop.health.add("brain_database", part(None))
    (await shop.printer()).vanish()
    assert await life.result(DAILY) == {"verdict": "ok", "problems": []}
    assert await shop.messages() == []


async def test_a_driver_that_broke_flips_the_verdict(life: Life, shop: Works) -> None:
    """With its name and why; and it flips back."""
    printer = await shop.printer()
    printer.error = DeviceError("device_refused", "No")
    printer.cut.set()
    await eventually(lambda: _is_fault(shop))
    found = await life.result(DAILY)
    assert (found["verdict"], keys(found)) == ("degraded", [f"device:{A}"])
    assert found["problems"][0]["text"] == "A: driver failed"
    printer.error = None
    printer.cut.clear()
    await eventually(lambda: _is_there(shop))
    assert (await life.result(DAILY))["verdict"] == "ok"


async def _is_there(shop: Works) -> bool:
    """Let the driver show something as soon as it runs again."""
    (await on_stage(A)).show(**STATE())
    return not await _is_fault(shop)


async def _is_fault(shop: Works) -> bool:
    return shop.registry.get(A).observed.online == "fault"


@pytest.mark.parametrize(
    ("name", "verdict", "severity"),
    [("memory", "degraded", "warning"), ("brain_database", "down", "critical")],
)
async def test_a_part_that_is_unwell_is_told_once_a_day(
    life: Life, shop: Works, name: str, verdict: str, severity: str
) -> None:
    """Without its databases the house is down."""
    shop.health.add(name, part("It is slow"))
    found = await life.result(DAILY)
    assert (found["verdict"], keys(found)) == (verdict, [f"part:{name}"])
    await life.result(DAILY)
    shop.clock.advance(DAY - 60)
    await life.result(DAILY)
    told = await shop.rows(tables.notifications)
    assert [(row["severity"], row["repeats"]) for row in told] == [(severity, 1), (severity, 0)]
    assert told[0]["message"] == f"{name}: It is slow"


async def test_work_that_was_given_up_is_a_problem(life: Life, shop: Works) -> None:
    """By its kind, with how much."""
    row = {
        "kind": "task.ask",
        "payload": {},
        "priority": 5,
        "status": "dead",
        "due_at": 0.0,
        "rank": 0.0,
        "created_at": 0.0,
    }
    await shop.insert(tables.work, row | {"id": new_id()})
    await shop.insert(tables.work, row | {"id": new_id()})
    found = await life.result(DAILY)
    assert keys(found) == ["dead:task.ask"]
    assert found["problems"][0]["text"] == "2 of task.ask given up; it can be tried again"


async def test_a_job_that_did_not_run_is_a_problem(shop: Works) -> None:
    """Told by the schedule itself, and not a second time by its part."""

    async def jobs() -> list[Json]:
        return [{"name": "a_job", "overdue": True}, {"name": "another", "overdue": False}]

    shop.health.add("schedule", part("Overdue: a_job"))
    life = await shop.begin(awake=False)
    check: Any = life.autonomy._handlers[DAILY]
    check.__self__._jobs = jobs
    assert keys(await check(Direct(life))) == ["overdue:a_job"]


@pytest.mark.parametrize(("cap", "found"), [(10.0, ["budget:day"]), (0.0, [])])
async def test_a_cap_that_is_reached_is_a_problem(
    life: Life, shop: Works, cap: float, found: list[str]
) -> None:
    """A cap of nothing is somebody's wish."""
    await shop.spend(10.0, TODAY)
    await shop.cap(daily=cap)
    assert keys(await life.result(DAILY)) == found


# -- the look at the printers -------------------------------------------------------------------------


async def test_a_printer_that_is_away_for_four_hours_is_told_once(life: Life, shop: Works) -> None:
    """Not before; and for as long as it is away, never again."""
    printer = await shop.printer()
    printer.show(**STATE())
    printer.vanish()
    shop.clock.advance(4 * HOUR - 1)
    assert codes(await life.result(FLEET)) == []
    shop.clock.advance(1)
    found = await life.result(FLEET)
    assert codes(found) == [("A", "offline")]
    assert found["problems"][0]["text"] == "A has not answered for four hours (unplugged)."
    for _ in range(14):
        shop.clock.advance(4 * HOUR)
        again = await life.result(FLEET)
    assert again["problems"][0]["since"] == found["problems"][0]["since"]
    assert len(await shop.messages()) == 1
    assert len([name for name, _ in life.told if name == "fleet.updated"]) == 1


async def test_a_printer_that_is_back_is_well(life: Life, shop: Works) -> None:
    """Its trouble is resolved, and clients are told."""
    printer = await shop.printer()
    printer.show(**STATE())
    printer.vanish()
    shop.clock.advance(4 * HOUR)
    await life.result(FLEET)
    assert [one["code"] for one in await life.autonomy.fleet.open()] == ["offline"]
    printer.show(**STATE())
    found = await life.result(FLEET)
    assert (found["problems"], [one["code"] for one in found["resolved"]]) == ([], ["offline"])
    assert await life.autonomy.fleet.open() == []
    assert [data for name, data in life.told if name == "fleet.updated"][-1] == {"problems": []}


async def test_who_comes_before_the_end_of_a_look_is_stored_sees_what_was_told(
    life: Life, shop: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others have heard of it, and it is not told again."""
    (await shop.printer()).show(**STATE("error"))
    rows, told, go = life.schedule.worker._rows, asyncio.Event(), asyncio.Event()
    end = rows.end

    async def late(*given: Any) -> Json:
        told.set()
        await go.wait()
        return await end(*given)

    monkeypatch.setattr(rows, "end", late)
    looking = life.tasks.start("looking", life.result(FLEET))
    await told.wait()
    (said,) = [data for name, data in life.told if name == "fleet.updated"]
    before = (await life.autonomy.snapshot())["fleet"]
    go.set()
    stored = (await looking)["problems"]
    assert before == stored == said["problems"] == await life.autonomy.fleet.open()


async def test_a_printer_that_never_answered_is_away_since_it_was_added(
    life: Life, shop: Works
) -> None:
    """Its driver has never seen it."""
    (await shop.printer()).vanish()
    assert codes(await life.result(FLEET)) == []
    shop.clock.advance(4 * HOUR)
    assert codes(await life.result(FLEET)) == [("A", "offline")]


async def test_a_printer_whose_power_is_off_is_not_missed(life: Life, shop: Works) -> None:
    """Somebody switched it off."""
    printer = await shop.printer()
    power = await shop.power(feeds=A)
    printer.vanish()
    power.show(on=False)
    shop.clock.advance(5 * HOUR)
    assert codes(await life.result(FLEET)) == []
    power.show(on=True)
    assert codes(await life.result(FLEET)) == [("A", "offline")]


def heat(nozzle: float, target: float = 0.0, status: str = "printing") -> Json:
    """Return what a printer shows with such a nozzle."""
    return STATE(status) | {"nozzle": {"actual": nozzle, "target": target}}


@pytest.mark.parametrize(
    ("shown", "found"),
    [
        (STATE("error"), ["error"]),
        (heat(-40.0), ["sensor"]),
        (heat(900.0), ["sensor"]),
        (heat(float("nan")), []),
        (heat(280.0, 250.0), ["too_hot"]),
        (heat(262.0, 250.0), []),
        ({"status": "printing", "nozzle": None, "bed": {"actual": "hot"}}, []),
    ],
    ids=["error", "torn off", "impossible", "no number", "too hot", "a little", "unknown"],
)
async def test_what_a_printer_shows_may_be_trouble(
    life: Life, shop: Works, shown: Json, found: list[str]
) -> None:
    """What it says is wrong, and temperatures that cannot or may not be."""
    (await shop.printer(max_nozzle=250.0)).show(**shown)
    assert [code for _, code in codes(await life.result(FLEET))] == found


async def test_a_printer_whose_driver_broke_is_in_trouble(life: Life, shop: Works) -> None:
    """At once."""
    printer = await shop.printer()
    printer.cut.set()
    await eventually(lambda: _is_fault(shop))
    assert codes(await life.result(FLEET)) == [("A", "error")]


async def test_a_printer_that_is_left_heated_is_told_at_the_second_look(
    life: Life, shop: Works
) -> None:
    """At the first, somebody may be about to print."""
    printer = await shop.printer()
    printer.show(**heat(200.0, 200.0, "idle"))
    found = await life.result(FLEET)
    assert (codes(found), found["heated"]) == ([], [A])
    assert codes(await life.result(FLEET)) == [("A", "left_heated")]
    printer.show(**heat(200.0, 200.0, "printing"))
    assert codes(await life.result(FLEET)) == []


async def test_two_printers_have_each_their_trouble(life: Life, shop: Works) -> None:
    """And a look counts all of them."""
    (await shop.printer(A)).show(**STATE("error"))
    (await shop.printer(B)).show(**heat(900.0))
    found = await life.result(FLEET)
    assert (found["checked"], codes(found)) == (2, [("A", "error"), ("B", "sensor")])
    assert len(await shop.messages()) == 2


async def test_a_clock_that_was_put_back_proves_nothing(life: Life, shop: Works) -> None:
    """Who answered in the future has not been away for four hours."""
    printer = await shop.printer()
    printer.show(**STATE())
    printer.vanish()
    shop.clock.advance(-DAY)
    assert codes(await life.result(FLEET)) == []
