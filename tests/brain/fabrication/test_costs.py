"""Costs: what a print took of filament, electricity and time, and how sure that is."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
import random
from typing import Any

import pytest

from brain_server.bus import Event
from brain_server.errors import Unavailable
from brain_server.fabrication.costs import Costs
from brain_server.inventory.materials import DENSITIES, grams_of
from brain_server.observability import counters
from brain_server.protocol import Json
from brain_server.storage.tables import new_id
from tests.brain.fabrication.prints import HOUR, STATE, A, B, Workshop, workshop
from tests.brain.gatehouse import Clock
from tests.brain.home import running, until

RUN = "2026-11-21T08:00:00+00:00"
PRICED = {"energy_price": 0.3, "machine_price": 0.5}


@pytest.fixture
async def shop(database_url: str, tmp_path: Path, clock: Clock) -> AsyncIterator[Workshop]:
    """Give a workshop where electricity and hours have a price, with a black PLA on A."""
    async with workshop(database_url, tmp_path, clock, **PRICED) as made:
        await made.printer(A, watts=120)
        spool = {"material": "PLA", "color": "black", "price": 20.0, "remaining_g": 1000.0}
        loaded = await made.run("spools.put", **spool)
        await made.run("spools.load", spool_id=loaded["id"], device_id=A)
        yield made


def part(found: Json, what: str) -> Json:
    """Return one part of the costs of a print."""
    (one,) = [one for one in found["parts"] if one["what"] == what]
    return dict(one)


async def cost(shop: Workshop, job: Json) -> Json:
    """Return what a print cost."""
    return await shop.run("costs.get", job_id=job["id"])


async def meter(shop: Workshop, wh: float, device_id: str = A) -> None:
    """Let a printer's meter show something."""
    await shop.run("energy.observe", device_id=device_id, wh=wh)


def shows(printer: Any, status: str, **job: Any) -> None:
    """Let a printer show its print."""
    state = STATE(status, "part.gcode", RUN)
    state["job"] |= job
    printer.show(**state)


# -- filament -----------------------------------------------------------------------------------------


async def test_filament_that_the_printer_measured_is_what_was_used(shop: Workshop) -> None:
    """What it told last, though it has begun to count anew when the print is over."""
    printer = await shop.printer(A, watts=120)
    for mm in (100.0, 10_000.0, 0.0):
        shows(printer, "printing", filament_mm=mm)
    job = await shop.end(run=RUN, estimated_g=99.0)
    filament = part(await cost(shop, job), "filament")
    grams = grams_of(10_000.0, DENSITIES["PLA"])
    assert filament["grams"] == pytest.approx(grams, abs=0.01)
    assert filament["cost"] == pytest.approx(grams * 20 / 1000, abs=1e-4)
    assert (filament["estimated"], filament["source"]) == (False, "printer")
    assert (await shop.job(job["id"]))["used_g"] == pytest.approx(grams, abs=0.01)


@pytest.mark.parametrize(
    ("columns", "grams"),
    [
        ({"status": "completed", "progress": None}, 50.0),
        ({"status": "failed", "progress": 40.0}, 20.0),
        ({"status": "aborted", "progress": 10.0}, 5.0),
    ],
)
async def test_else_it_is_what_the_slicer_said_as_far_as_the_print_came(
    shop: Workshop, columns: Json, grams: float
) -> None:
    """And is told to be an estimate."""
    job = await shop.end(estimated_g=50.0, **columns)
    found = await cost(shop, job)
    filament = part(found, "filament")
    assert (filament["grams"], filament["source"]) == (grams, "estimate")
    assert filament["cost"] == pytest.approx(grams * 0.02)
    assert "filament" in found["estimated"]
    (spool,) = (await shop.run("spools.list"))["items"]
    assert spool["remaining_g"] == pytest.approx(1000 - grams)


async def test_the_progress_that_was_seen_last_counts(shop: Workshop) -> None:
    """A printer that gave up may say nothing of how far it came."""
    printer = await shop.printer(A, watts=120)
    shows(printer, "printing", progress=80.0)
    job = await shop.end(run=RUN, status="failed", estimated_g=50.0)
    assert part(await cost(shop, job), "filament")["grams"] == 40.0


@pytest.mark.parametrize(
    "columns", [{}, {"estimated_g": 50.0, "status": "failed", "progress": 0.0}]
)
async def test_filament_that_nobody_knows_is_unknown(shop: Workshop, columns: Json) -> None:
    """Not nothing; and nothing is booked."""
    found = await cost(shop, await shop.end(**columns))
    assert part(found, "filament")["cost"] is None
    assert "filament" in found["unknown"]
    assert (await shop.run("inventory.usage"))["items"] == []


@pytest.mark.parametrize("nonsense", [-5.0, 1e12, "much", None])
async def test_nonsense_of_a_printer_is_not_believed(shop: Workshop, nonsense: object) -> None:
    """What the slicer said stands."""
    printer = await shop.printer(A, watts=120)
    shows(printer, "printing", filament_mm=nonsense, progress=nonsense)
    job = await shop.end(run=RUN, estimated_g=50.0, status="failed", progress=20.0)
    assert part(await cost(shop, job), "filament")["grams"] == 10.0


async def test_no_print_takes_more_than_all_of_it(shop: Workshop) -> None:
    """Though its printer says that it came to 250 %."""
    job = await shop.end(estimated_g=50.0, status="failed", progress=250.0)
    assert part(await cost(shop, job), "filament")["grams"] == 50.0


async def test_filament_without_a_spool_has_no_price(shop: Workshop) -> None:
    """Its weight is known all the same."""
    await shop.printer(B)
    found = await cost(shop, await shop.end(device_id=B, estimated_g=50.0))
    filament = part(found, "filament")
    assert (filament["grams"], filament["cost"]) == (50.0, None)


# -- electricity --------------------------------------------------------------------------------------


async def metered(
    shop: Workshop, *readings: tuple[float, float], device_id: str = A, **columns: Any
) -> Json:
    """Let a print begin now, take readings so many seconds later, and end it after an hour; returns the job."""
    start = shop.clock.now
    job = await shop.write(
        device_id=device_id, status="printing", started_at=start, completed_at=None, run=RUN
    )
    for after, wh in readings:
        shop.clock.now = start + after
        await meter(shop, wh, device_id)
    shop.clock.now = start + HOUR
    return await shop.change(job["id"], status="completed", completed_at=shop.clock.now, **columns)


async def test_a_meter_counts_what_a_print_took(shop: Workshop) -> None:
    """From its start to its end, whatever it showed before."""
    await meter(shop, 5000.0)
    found = await cost(shop, await metered(shop, (1800, 5060.0), (3600, 5150.0)))
    energy = part(found, "energy")
    assert (energy["wh"], energy["source"]) == (pytest.approx(150.0), "meter")
    assert energy["cost"] == pytest.approx(0.045)
    assert found["estimated"] == []


async def test_a_reading_across_the_start_is_shared(shop: Workshop) -> None:
    """The part of its time that the print ran is the part that the print took."""
    await meter(shop, 0.0)
    shop.clock.advance(600)
    job = await metered(shop, (600, 100.0), (3600, 200.0))
    assert part(await cost(shop, job), "energy")["wh"] == pytest.approx(50.0 + 100.0)


async def test_a_reading_after_the_end_makes_it_exact(shop: Workshop) -> None:
    """Until then the rest is guessed from what was counted; then everybody is told anew."""
    await meter(shop, 0.0)
    job = await metered(shop, (2400, 80.0))
    before = await cost(shop, job)
    assert part(before, "energy")["wh"] == pytest.approx(120.0)
    assert "energy" in before["estimated"]
    shop.told.clear()
    shop.clock.advance(600)
    await meter(shop, 170.0)
    after = await cost(shop, job)
    assert part(after, "energy")["wh"] == pytest.approx(80.0 + 90.0 * 1200 / 1800)
    assert after["estimated"] == []
    assert shop.of("job.updated")[0]["energy_wh"] == pytest.approx(140.0)


async def test_a_meter_that_was_set_back_goes_on_from_nothing(shop: Workshop) -> None:
    """What it shows then is what it has counted since."""
    await meter(shop, 5000.0)
    job = await metered(shop, (1800, 5060.0), (2700, 10.0), (3600, 40.0))
    assert part(await cost(shop, job), "energy")["wh"] == pytest.approx(100.0)


async def test_a_meter_that_trembles_counts_nothing_twice(shop: Workshop) -> None:
    """A little less, and back again."""
    await meter(shop, 5000.0)
    job = await metered(shop, (1200, 5060.0), (2400, 5058.0), (3600, 5090.0))
    assert part(await cost(shop, job), "energy")["wh"] == pytest.approx(90.0)


async def test_a_meter_that_leaps_is_not_believed(
    shop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody takes a megawatt-hour in half an hour: for that time the rest of the print speaks."""
    await meter(shop, 5000.0)
    job = await metered(shop, (2400, 5080.0), (3600, 1_000_000.0))
    energy = part(await cost(shop, job), "energy")
    assert (energy["wh"], energy["estimated"]) == (pytest.approx(120.0), True)
    assert "leapt" in caplog.text


async def test_two_readings_of_one_moment_count_once(shop: Workshop) -> None:
    """As do readings after the clock was set back."""
    await meter(shop, 0.0)
    job = await metered(shop, (1800, 60.0), (1800, 60.0), (1700, 61.0), (3600, 121.0))
    assert part(await cost(shop, job), "energy")["wh"] == pytest.approx(120.0, rel=0.03)


async def test_without_a_meter_watts_and_hours_tell(shop: Workshop) -> None:
    """And it is told to be an estimate."""
    found = await cost(shop, await shop.end())
    energy = part(found, "energy")
    assert (energy["wh"], energy["source"]) == (pytest.approx(120.0), "watts")
    assert "energy" in found["estimated"]


async def test_a_meter_that_came_late_is_believed_for_what_it_saw(shop: Workshop) -> None:
    """For the longer part before it the printer's watts stand."""
    job = await metered(shop, (2700, 9000.0), (3600, 9100.0))
    energy = part(await cost(shop, job), "energy")
    assert (energy["wh"], energy["estimated"]) == (pytest.approx(100.0 + 120.0 * 0.75), True)


async def test_where_nobody_told_the_watts_a_late_meter_speaks_for_the_whole(
    shop: Workshop,
) -> None:
    """What it did not see was like what it saw."""
    await shop.printer(B)
    job = await metered(shop, (2700, 9000.0), (3600, 9100.0), device_id=B)
    assert part(await cost(shop, job), "energy")["wh"] == pytest.approx(400.0)


async def test_electricity_that_nobody_measures_is_unknown(shop: Workshop) -> None:
    """Neither a meter nor watts, nor a printer any more."""
    await shop.printer(B)
    for device_id in (B, "d" * 32):
        found = await cost(shop, await shop.end(device_id=device_id))
        assert part(found, "energy")["wh"] is None
        assert "energy" in found["unknown"]


async def test_a_meter_belongs_to_one_printer(shop: Workshop) -> None:
    """What another takes is not this print's."""
    await shop.printer(B)
    await meter(shop, 0.0, B)
    await meter(shop, 0.0)
    start = shop.clock.now
    job = await metered(shop, (3600, 120.0))
    await meter(shop, 900.0, B)
    assert shop.clock.now == start + HOUR
    assert part(await cost(shop, job), "energy")["wh"] == pytest.approx(120.0)


async def test_a_meter_of_nothing_is_refused(shop: Workshop) -> None:
    """A device that there is not, and a figure that is none."""
    assert await shop.refused("energy.observe", device_id="d" * 32, wh=1) == "device_not_found"
    assert await shop.refused("energy.observe", device_id=A, wh=-1) == "invalid_params"


async def test_what_electricity_cost_then_is_what_it_cost(shop: Workshop) -> None:
    """Prices are asked for the time of the print, and kept with it."""
    asked: list[tuple[float, float]] = []

    def prices(start: float, end: float) -> float:
        asked.append((start, end))
        return 0.1 * len(asked)

    shop.costs._prices = prices
    await meter(shop, 0.0)
    job = await metered(shop, (1800, 60.0))
    shop.clock.advance(1)
    await meter(shop, 120.0)
    energy = part(await cost(shop, job), "energy")
    assert asked == [(job["started_at"], job["completed_at"])]
    assert energy["cost"] == pytest.approx(energy["wh"] / 1000 * 0.1, abs=1e-6)


# -- all of it ----------------------------------------------------------------------------------------


async def test_the_sum_is_stored_with_the_print_and_told(shop: Workshop) -> None:
    """In millionths; each part is one of filament, electricity and hours."""
    job = await shop.end(estimated_g=50.0)
    found = await cost(shop, job)
    assert {one["what"]: one["cost"] for one in found["parts"]} == {
        "filament": pytest.approx(1.0),
        "energy": pytest.approx(0.036),
        "machine": pytest.approx(0.5),
    }
    assert (found["total"], found["currency"], found["unknown"]) == (1.536, "EUR", [])
    stored = await shop.job(job["id"])
    assert (stored["cost_micro"], stored["energy_wh"]) == (1_536_000, pytest.approx(120.0))
    assert shop.of("job.updated")[-1] == stored


async def test_a_print_is_booked_once(shop: Workshop) -> None:
    """However often it is told, and by however many brains."""
    job = await shop.end(estimated_g=50.0)
    await shop.change(job["id"], cost_micro=None)
    await shop.costs.book(job)
    assert len((await shop.run("inventory.usage"))["items"]) == 1
    assert len(shop.of("job.updated")) == 3


async def test_of_two_that_book_at_once_one_writes(shop: Workshop) -> None:
    """And only that one tells."""
    job = await shop.write(estimated_g=50.0)
    await asyncio.gather(*(shop.costs.book(job) for _ in range(5)))
    assert len(shop.of("job.updated")) == 1
    assert len((await shop.run("inventory.usage"))["items"]) == 1


async def test_a_reading_before_the_costs_are_written_down_counts(shop: Workshop) -> None:
    """It is there when they are."""
    await meter(shop, 0.0)
    shop.clock.advance(HOUR)
    job = await shop.write()
    await meter(shop, 90.0)
    assert shop.of("job.updated") == []
    await shop.costs.book(job)
    assert part(await cost(shop, job), "energy")["wh"] == pytest.approx(90.0)


async def test_a_reading_while_the_costs_are_written_down_counts(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would reckon with it again."""
    await meter(shop, 0.0)
    shop.clock.advance(HOUR)
    job = await shop.write()
    write, begun, go = shop.database.write, asyncio.Event(), asyncio.Event()

    async def late(work: Any) -> Any:
        begun.set()
        await go.wait()
        return await write(work)

    with monkeypatch.context() as once:
        once.setattr(shop.database, "write", late)
        booking = shop.tasks.start("booking", shop.costs.book(job))
        await begun.wait()
    await meter(shop, 90.0)
    go.set()
    await booking
    assert part(await cost(shop, job), "energy")["wh"] == pytest.approx(90.0)


async def test_a_reading_after_the_end_counts_though_nothing_can_be_read_then(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The meter has moved on: it does not tell of that time again."""

    async def busy(_work: Any) -> Any:
        raise Unavailable("database_busy", "Busy")

    await meter(shop, 0.0)
    job = await metered(shop, (1800, 60.0))
    shop.clock.advance(1)
    with monkeypatch.context() as once:
        once.setattr(shop.database, "read", busy)
        await meter(shop, 90.0)
    assert part(await cost(shop, job), "energy")["wh"] == pytest.approx(90.0, rel=1e-3)


async def test_a_print_that_ends_while_the_database_is_busy_is_booked_later(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at the next start: its spool would tell of filament that is gone."""
    read, tries = shop.database.read, 0

    async def busy(work: Any) -> Any:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise Unavailable("database_busy", "Busy")
        return await read(work)

    monkeypatch.setattr(shop.tasks, "_pause_s", 0.0)
    job = await shop.write(estimated_g=50.0)
    monkeypatch.setattr(shop.costs._db, "read", busy)
    shop.costs._on_job(Event(1, "job.updated", job))
    await shop.quiet()
    assert (await shop.job(job["id"]))["used_g"] == 50.0
    assert shop.tasks.broken == {}


async def test_what_ended_before_a_crash_is_caught_up_with(shop: Workshop) -> None:
    """At the next start; what is booked, what never began and what is long ago is left alone."""
    booked = await shop.end(estimated_g=1.0)
    missed = await shop.write(estimated_g=50.0)
    await shop.write(started_at=None, estimated_g=50.0)
    await shop.write(completed_at=shop.clock.now - 30 * 86_400, estimated_g=50.0)
    shop.told.clear()
    await shop.count(**PRICED).start()
    assert [job["id"] for job in shop.of("job.updated")] == [missed["id"]]
    assert (await shop.job(booked["id"]))["used_g"] == 1.0


async def test_what_ended_before_is_caught_up_with_though_the_database_is_busy_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at the start after."""
    starts = 0

    async def busy_once(_costs: Costs) -> None:
        nonlocal starts
        starts += 1
        if starts == 1:
            raise Unavailable("database_busy", "Busy")

    monkeypatch.setattr(Costs, "start", busy_once)
    async with running(tmp_path):
        await until(lambda: starts == 2, "that it is tried again")


async def test_where_nothing_has_a_price_nothing_has_a_cost(
    database_url: str, tmp_path: Path, clock: Clock
) -> None:
    """Hours that are not counted are not unknown."""
    async with workshop(database_url, tmp_path, clock) as shop:
        found = await cost(shop, await shop.end())
        assert (found["total"], found["unknown"]) == (None, ["filament", "energy"])
        assert len(shop.of("job.updated")) == 1


async def test_a_print_that_never_began_cost_nothing(shop: Workshop) -> None:
    """It has no parts."""
    found = await cost(shop, await shop.end(started_at=None, status="failed"))
    assert (found["total"], found["parts"]) == (None, [])


async def test_only_a_print_that_is_over_has_costs(shop: Workshop) -> None:
    """Nor has one that there never was."""
    job = await shop.end(status="printing", completed_at=None)
    assert await shop.refused("costs.get", job_id=job["id"]) == "job_not_over"
    assert await shop.refused("costs.get", job_id=new_id()) == "job_not_found"


async def test_what_other_devices_show_costs_nothing(shop: Workshop) -> None:
    """And of very many runs the oldest are forgotten."""
    before = counters["tasks_broken"]
    printer = await shop.printer(A, watts=120)
    for run in range(300):
        state = STATE("printing", "part.gcode", f"run-{run}")
        state["job"]["filament_mm"] = 1000.0
        printer.show(**state)
    printer.show(**STATE())
    assert len(shop.costs._seen) == 256
    assert counters["tasks_broken"] == before


# -- how near it comes, where the truth is known ------------------------------------------------------


class House:
    """A printer with a meter that rounds, a spool, and what it truly took."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.wh = 0.0
        self.offset = 0.0

    def pass_(self, seconds: float, *, hot: float, printing: bool) -> float:
        """Let time pass; returns the energy: much while it heats, some while it prints, little while it waits."""
        watts = 280 * hot + (self.draw.gauss(110, 25) if printing else 8)
        took = watts * seconds / HOUR
        self.wh += took
        return took

    def shown(self) -> float:
        """Return what the meter shows: steps of 10 Wh."""
        return round((self.wh - self.offset) / 10) * 10.0


async def simulated(shop: Workshop, printer: Any, house: House) -> tuple[Json, float, float]:
    """Print something of one to five hours; returns the job, its true energy and its true grams."""
    draw, true_wh, true_mm = house.draw, 0.0, 0.0
    length = draw.uniform(1.0, 5.0) * HOUR
    total = draw.uniform(3_000, 30_000)
    status = draw.choices(("completed", "failed", "aborted"), (8, 1, 1))[0]
    end = length if status == "completed" else length * draw.uniform(0.3, 0.9)
    start = shop.clock.now
    job = await shop.write(status="printing", started_at=start, completed_at=None, run=str(start))
    steps = int(end / 60)
    for step in range(steps):
        true_wh += house.pass_(60.0, hot=1.0 if step < 5 else 0.0, printing=True)
        true_mm = total * (step + 1) / (length / 60)
        shop.clock.advance(60.0)
        if draw.random() < 0.5:
            state = STATE("printing", "part.gcode", str(start))
            state["job"] |= {"filament_mm": true_mm, "progress": 100 * step * 60 / length}
            printer.show(**state)
        if step % 5 == 4 and draw.random() < 0.9:
            await meter(shop, house.shown())
        if draw.random() < 0.0005:
            house.offset = house.wh
    job = await shop.change(job["id"], status=status, completed_at=shop.clock.now)
    for _ in range(draw.randrange(2, 30)):
        house.pass_(60.0, hot=0.0, printing=False)
        shop.clock.advance(60.0)
    await meter(shop, house.shown())
    return job, true_wh, grams_of(true_mm, DENSITIES["PLA"])


@pytest.mark.timeout(300)  # four seconds of one core, and others may have the rest
async def test_costs_come_within_a_tenth_of_the_truth(shop: Workshop) -> None:
    """With a meter that rounds to 10 Wh, misses readings and is set back, and a printer that tells late."""
    printer = await shop.printer(A, watts=120)
    (spool,) = (await shop.run("spools.list"))["items"]
    await shop.run("spools.put", spool_id=spool["id"], full_g=5e3, remaining_g=5e3, price=100.0)
    house = House(seed=7)
    errors: list[float] = []
    told = true = 0.0
    for _ in range(40):
        job, wh, grams = await simulated(shop, printer, house)
        truth = wh / 1000 * 0.3 + grams * 0.02
        found = await cost(shop, job)
        costs = part(found, "energy")["cost"] + part(found, "filament")["cost"]
        errors.append(abs(costs / truth - 1))
        told, true = told + costs, true + truth
    assert max(errors) < 0.1
    assert told == pytest.approx(true, rel=0.02)
