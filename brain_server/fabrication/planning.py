"""Plans the queue: looks at printers, filament and prices, has a plan made, and writes down what it says."""

from collections.abc import Callable
from typing import Final, Protocol

from brain_server.devices import Devices
from brain_server.devices.live import Live
from brain_server.errors import Conflict
from brain_server.fabrication import plan as plans, schedule
from brain_server.fabrication.files import plate_of
from brain_server.fabrication.planner import Planner
from brain_server.fabrication.prices import Prices
from brain_server.fabrication.queue_rows import BUSY, CLEARED, OPEN, Rows, history_of
from brain_server.fabrication.schedule import (
    CONFIRMED,
    Machine,
    Planned,
    Sketch,
    Slot,
    World,
)
from brain_server.inventory import colors, materials
from brain_server.protocol import Json, Kind, OnlineState
from brain_server.storage.tables import queue

SMALL: Final = 100
# The time that the planner may take, for queues of up to so many items and for longer ones.
LIMIT_S: Final = 3.0
LONG_LIMIT_S: Final = 5.0
# A plan that moves an item by less is not worth telling.
_SHIFT_S: Final = 120.0
# What a printer that does not say how long it will be busy is taken to need.
_BUSY_S: Final = 1800.0


class Spools(Protocol):
    """Where filament is kept and set aside; the inventory."""

    async def open_spools(self) -> list[Json]:
        """Return the spools that are not archived."""
        ...

    async def reserve(
        self,
        holder: str,
        material: str,
        grams: float,
        *,
        color: str | Json | None = None,
        device_id: str | None = None,
    ) -> Json:
        """Set grams aside and return the spool; Conflict ``filament_short`` when there are not as many."""
        ...

    async def release(self, holder: str) -> bool:
        """Give back what a holder has set aside."""
        ...


class Planning:
    """Plans what waits; nothing here starts anything."""

    def __init__(
        self,
        rows: Rows,
        devices: Devices,
        clock: Callable[[], float],
        *,
        planner: Planner,
        prices: Prices,
        spools: Spools,
        limit_s: float = LIMIT_S,
    ) -> None:
        """Take what makes plans, what electricity costs, and where filament is."""
        self._rows = rows
        self._devices = devices
        self._clock = clock
        self._planner = planner
        self._prices = prices
        self._spools = spools
        self._limit_s = limit_s
        self.summary: Json = {"planned_at": None}

    async def stop(self) -> None:
        """End the process that makes plans."""
        await self._planner.stop()

    async def replan(self) -> list[Json]:
        """Plan what waits, write down what changed, and return the rows as they then are."""
        rows = await self._rows.find(queue.c.status.in_(OPEN))
        waiting = [row for row in rows if schedule.is_open_to_plans(row)]
        if not waiting:
            self.summary = {"planned_at": self._clock(), "proven": True}
            return []
        world = await self._world(rows)
        limit = self._limit_s if len(waiting) <= SMALL else LONG_LIMIT_S
        made = schedule.sketch(waiting, world, limit_s=limit)
        plan = await self._planner.plan(made.problem)
        self._sum_up(made, plan, world.now)
        told = schedule.told(waiting, world, made, plan)
        known = {spool["id"]: spool for spool in world.spools}
        found = [await self._settle(row, told[row["id"]], made, world, known) for row in waiting]
        return [row for row in found if row is not None]

    def _sum_up(self, made: Sketch, plan: plans.Plan, now: float) -> None:
        table, yard = plans.Table(made.problem), plans.first_come(made.problem)
        guarded = plans.kept(table, yard)
        self.summary = {
            "planned_at": now,
            "proven": plan.proven,
            "method": plan.method,
            "score": plans.as_json(table.score(plan.places, guarded)),
            "first_come": plans.as_json(table.score(yard.places, guarded)),
        }

    async def _world(self, rows: list[Json]) -> World:
        now = self._clock()
        spools = await self._spools.open_spools()
        ours = {row["spool_id"]: 0.0 for row in rows if row["spool_id"]}
        for row in rows:
            if row["spool_id"] and schedule.is_open_to_plans(row):
                ours[row["spool_id"]] += row["grams"] or 0.0
        seen = [
            spool | {"free_g": spool["free_g"] + ours.get(spool["id"], 0.0)} for spool in spools
        ]
        machines = [
            _machine(live, rows, now)
            for live in self._devices.registry.all()
            if live.record.kind is Kind.PRINTER
        ]
        files = await self._rows.artifacts({row["artifact_id"] for row in rows})
        return World(
            now=now,
            machines=machines,
            spools=seen,
            facts={row["id"]: _facts(row, files[row["artifact_id"]]) for row in rows},
            prices=self._prices.quarters(now),
            colors=await self._colors(rows, spools, machines),
        )

    async def _colors(
        self, rows: list[Json], spools: list[Json], machines: list[Machine]
    ) -> dict[str, str | None]:
        """Return the colours of items that are on their way or over, and of the slots of printers."""
        by_spool = {spool["id"]: spool["color"] for spool in spools}
        found = {f"{one.id}/{slot.number}": slot.color for one in machines for slot in one.slots}
        found |= {
            f"{spool['device_id']}/{spool['slot'] or 0}": spool["color"]
            for spool in spools
            if spool["device_id"]
        }
        asked = {(row["color"] or {}).get("differs_from") for row in rows} - {None}
        for other in await self._rows.find(queue.c.id.in_(asked)) if asked else ():
            if not schedule.is_open_to_plans(other):
                found[other["id"]] = by_spool.get(other["spool_id"])
        return found

    async def _settle(
        self, row: Json, planned: Planned, made: Sketch, world: World, spools: dict[str, Json]
    ) -> Json | None:
        """Write down what the plan says of one item, and set its filament aside."""
        place, reasons = planned.place, planned.reasons
        if place is None:
            await self.let_go(row)
            held: Json = {"status": "held", "spool_id": None, "reasons": reasons}
            return await self._write(row, held | CLEARED)
        try:
            spool_id = await self._reserve(row, place, spools)
        except Conflict as err:
            short = {"code": "filament_short"} | err.fields
            held = {"status": "held", "spool_id": None, "reasons": [short, *history_of(row)]}
            return await self._write(row, held | CLEARED)
        values: Json = {
            "status": "queued",
            "device_id": place.printer,
            "spool_id": spool_id,
            "planned_start": world.now + place.start * 60,
            "planned_end": world.now + place.end * 60 - schedule.HANDLING_S,
            "reasons": reasons,
        }
        missing = self._missing(row, place.printer, spools.get(spool_id or ""), world)
        if missing:
            slot = made.turning.get(place.printer)
            load = {"code": "load_filament", "device_id": place.printer, "slot": slot}
            values |= {"status": "held", "reasons": [load | missing, *reasons]}
        return await self._write(row, values)

    async def _reserve(self, row: Json, place: plans.Place, spools: dict[str, Json]) -> str | None:
        """Set the planned filament aside; returns the spool, None where nobody counts it."""
        wanted = spools.get(place.spool)
        if wanted is None:
            await self.let_go(row)
            return None
        if row["spool_id"] == wanted["id"] or not row["grams"]:
            return str(wanted["id"])
        color = {"is": [f"#{wanted['color']}"]} if wanted["color"] else None
        spool = await self._spools.reserve(
            row["id"], wanted["material"], row["grams"], color=color, device_id=place.printer
        )
        return str(spool["id"])

    async def let_go(self, row: Json) -> None:
        """Give back the filament that is set aside for an item."""
        if row["spool_id"]:
            await self._spools.release(row["id"])

    def _missing(self, row: Json, device_id: str, spool: Json | None, world: World) -> Json | None:
        """Return the filament that has to be loaded first; None when the right one certainly is."""
        confirmed = {"code": CONFIRMED, "device_id": device_id}
        if row["material"] is None or confirmed in row["reasons"]:
            return None
        if spool is not None and spool["device_id"] == device_id:
            return None
        machine = next(one for one in world.machines if one.id == device_id)
        rule = {name: part for name, part in (row["color"] or {}).items() if name != "differs_from"}
        if spool is None and any(_is_in(slot, row["material"], rule) for slot in machine.slots):
            return None
        return {
            "spool_id": spool and spool["id"],
            "material": row["material"],
            "color": spool and spool["color"],
        }

    async def _write(self, row: Json, values: Json) -> Json | None:
        """Change a row where the plan says something new of it; None when somebody else has it by now."""
        moved = abs((values["planned_start"] or 0) - (row["planned_start"] or 0)) >= _SHIFT_S
        same = all(
            row[name] == value
            for name, value in values.items()
            if name not in {"planned_start", "planned_end", "reasons"}
        )
        if same and not moved and _plain(row["reasons"]) == _plain(values["reasons"]):
            return row
        return await self._rows.change(row, values, exactly=True)


# What says nothing of a place in the plan, and comes and goes.
_PASSING: Final = frozenset({"waits_for_clear_bed", "waits_for_printer", "not_proven_best"})


def _plain(reasons: list[Json]) -> list[Json]:
    return [reason for reason in reasons if reason["code"] not in _PASSING]


def _facts(row: Json, file: Json) -> Json:
    """Return what is known of what an item prints: of its plate, where it names one."""
    facts: Json = file["facts"]
    known = None if row["plate"] is None else plate_of(facts, row["plate"])
    return facts if known is None else known


def slots_of(state: Json) -> list[Slot]:
    """Return the slots that a printer shows."""
    return [
        Slot(
            number=one["slot"],
            material=one.get("material") or None,
            color=one.get("color") or None,
        )
        for one in state.get("slots") or ()
    ]


def _is_in(slot: Slot, material: str, rule: Json) -> bool:
    return (
        slot.material is not None
        and materials.normal(slot.material) == materials.normal(material)
        and colors.fits(slot.color, rule)
    )


def _machine(live: Live, rows: list[Json], now: float) -> Machine:
    """Return a printer as the planner needs it."""
    record, state = live.record, live.observed.state
    busy = now
    for row in rows:
        if row["device_id"] == record.id and row["status"] in BUSY:
            busy = max(busy, now + (row["estimated_s"] or schedule.UNKNOWN_S))
    if not live.is_in("idle"):
        left = (state.get("job") or {}).get("remaining_s")
        busy = now + (left if left is not None else max(_BUSY_S, busy - now))
    return Machine(
        id=record.id,
        limits=record.limits,
        watts=float(record.options.get("watts") or schedule.DEFAULT_WATTS),
        online=live.observed.online is OnlineState.ONLINE and state.get("status") != "error",
        obeys="print_start" in record.capabilities and not state.get("read_only"),
        busy_until=busy,
        slots=tuple(slots_of(state)),
    )
