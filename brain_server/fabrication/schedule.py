"""From the rows of the queue to a problem for the planner, and from its plan back to rows with reasons: pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
import math
from typing import Final

from brain_server.devices.limits import Limits
from brain_server.errors import InvalidRequest
from brain_server.fabrication.plan import Item, Place, Plan, Printer, Problem, Spool, Table, is_late
from brain_server.inventory import colors, materials
from brain_server.protocol import Json

# Between two prints somebody takes the first one off.
HANDLING_S: Final = 300.0
# A print of which nobody knows how long it takes.
UNKNOWN_S: Final = 7200.0
# After so long in the queue an item counts as one priority higher, so that none waits for ever.
AGING_S: Final = 7 * 86_400.0
MOST_PRIORITY: Final = 10
# What a printer takes where nobody said it.
DEFAULT_WATTS: Final = 120.0
# Reasons that tell what happened to an item before, and stay with it.
FAILED_ON: Final = frozenset({"start_failed", "printer_lost"})
# The filament of items that do not say which they need: what is in stays in.
WHATEVER: Final = "whatever"
CONFIRMED: Final = "filament_confirmed"
VENTILATED: Final = "ventilation_confirmed"
HISTORY: Final = FAILED_ON | {CONFIRMED, VENTILATED}
# Reasons for which the queue itself holds an item, and lets it go when they have gone.
WAITS: Final = frozenset(
    {
        "no_printer_fits",
        "waits_for_printer",
        "filament_short",
        "waits_for_spool",
        "load_filament",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A slot that a printer shows; ``material`` None: empty, or not known."""

    number: int
    material: str | None
    color: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A printer as the planner needs it."""

    id: str
    limits: Limits
    online: bool
    obeys: bool
    busy_until: float
    watts: float = DEFAULT_WATTS
    slots: tuple[Slot, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything that a plan is made for. ``facts``: of the file of each item, by the item's id."""

    now: float
    machines: Sequence[Machine]
    spools: Sequence[Json]
    facts: Mapping[str, Json]
    prices: Sequence[float] = ()
    # By item: the colour with which it is, or was, printed.
    colors: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(slots=True)
class Sketch:
    """A problem, and what was found out while it was written down."""

    problem: Problem
    # By item: why it cannot be placed.
    held: dict[str, Json]
    # By printer: the slot in which filament is changed.
    turning: dict[str, int | None]
    # By item: how many printers could print it.
    choices: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What a plan says of one item; ``place`` None: it is held, and why is its first reason."""

    place: Place | None
    reasons: list[Json]


def is_open_to_plans(row: Json) -> bool:
    """Tell whether the queue may place an item: one that waits, or that it holds by itself."""
    if row["status"] != "held":
        return bool(row["status"] == "queued")
    return bool(row["reasons"]) and row["reasons"][0]["code"] in WAITS


def sketch(rows: Sequence[Json], world: World, *, limit_s: float, seed: int = 1) -> Sketch:
    """Write the problem down; ``rows`` are those that may be placed, oldest first."""
    held: dict[str, Json] = {}
    options: dict[str, dict[str, list[str]]] = {}
    shelf = _Filament(world)
    names = {row["id"] for row in rows}
    for row in rows:
        fitting, why = _fitting(row, world)
        if not fitting:
            held[row["id"]] = why
            continue
        found = {machine.id: shelf.for_(row, machine) for machine in fitting}
        options[row["id"]] = {machine: spools for machine, spools in found.items() if spools}
        if not options[row["id"]]:
            held[row["id"]] = shelf.why_not(row)
    items = [_item(row, options[row["id"]], names, world) for row in rows if row["id"] in options]
    items = [one for one in items if one.id not in held]
    needed = Counter(
        spool for item in items for spools in item.options.values() for spool in spools
    )
    printers, turning = [], {}
    for machine in world.machines:
        loaded = shelf.loaded(machine)
        slot = _turning(loaded, needed)
        turning[machine.id] = slot
        printers.append(
            Printer(
                id=machine.id,
                free=_minutes(machine.busy_until - world.now),
                loaded=loaded.get(slot),
                stays=[
                    WHATEVER,
                    *(one for at, one in loaded.items() if at != slot and one is not None),
                ],
                watts=machine.watts,
            )
        )
    problem = Problem(
        items=items,
        printers=printers,
        spools=list(shelf.entries.values()),
        prices=list(world.prices),
        limit_s=limit_s,
        seed=seed,
    )
    return Sketch(problem, held, turning, {one: len(found) for one, found in options.items()})


def told(rows: Sequence[Json], world: World, made: Sketch, plan: Plan) -> dict[str, Planned]:
    """Return, for each row, its place in the plan and why it is there."""
    by_id = {row["id"]: row for row in rows}
    table = Table(made.problem)
    found = {
        name: Planned(place=None, reasons=[why, *_history(by_id[name])])
        for name, why in made.held.items()
    }
    shelf = _Filament(world)
    for name in plan.short:
        found[name] = Planned(
            place=None, reasons=[shelf.why_not(by_id[name]), *_history(by_id[name])]
        )
    ordered: defaultdict[str, list[Place]] = defaultdict(list)
    for place in sorted(plan.places, key=lambda one: one.start):
        ordered[place.printer].append(place)
    for places in ordered.values():
        for at, place in enumerate(places):
            reasons = _reasons(place, places[:at], by_id, table, made, world)
            if not plan.proven:
                reasons.append({"code": "not_proven_best"})
            found[place.item] = Planned(
                place=place, reasons=[*reasons, *_history(by_id[place.item])]
            )
    return found


def _history(row: Json) -> list[Json]:
    return [reason for reason in row["reasons"] if reason["code"] in HISTORY]


# -- printers -----------------------------------------------------------------------------------------


def _fitting(row: Json, world: World) -> tuple[list[Machine], Json]:
    """Return the printers that could print this now; when none can, why."""
    misfits: dict[str, list[str]] = {}
    fitting, away = [], []
    for machine in world.machines:
        wrong = list(dict.fromkeys(_misfits(row, machine, world)))
        if wrong:
            misfits[machine.id] = wrong
        elif machine.online:
            fitting.append(machine)
        else:
            away.append(machine.id)
    failed_on = {one["device_id"] for one in _history(row) if one["code"] in FAILED_ON}
    others = [machine for machine in fitting if machine.id not in failed_on]
    if away and not fitting:
        return [], {"code": "waits_for_printer", "device_ids": away}
    return others or fitting, {"code": "no_printer_fits", "printers": misfits}


def _misfits(row: Json, machine: Machine, world: World) -> Iterable[str]:
    """Yield what keeps an item from a printer; what nobody knows keeps it from none."""
    if row["wanted_device_id"] not in (None, machine.id):
        yield "wanted_device"
    if not machine.obeys:
        yield "takes_no_orders"
    wishes: Json = {"nozzle_mm": row["nozzle_mm"]}
    if row["material"] is not None:
        wishes["materials"] = [row["material"]]
    # The printer itself is asked about the file, too, when it is to start.
    for facts in (world.facts.get(row["id"], {}), wishes):
        yield from (one["what"] for one in machine.limits.misfits(facts))


def _turning(loaded: Mapping[int | None, str | None], needed: Counter[str]) -> int | None:
    """Return the slot in which filament is changed: an empty one, else the one that fewest items need."""
    return min(
        loaded,
        key=lambda slot: (loaded[slot] is not None, needed[loaded[slot] or ""], slot or 0),
        default=None,
    )


# -- filament -----------------------------------------------------------------------------------------


class _Filament:
    """Which filament there is, for whom, and where it is loaded."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.entries: dict[str, Spool] = {}
        self._by_material: defaultdict[str, list[Json]] = defaultdict(list)
        for spool in world.spools:
            self._by_material[materials.normal(spool["material"])].append(spool)
        # Who counts no filament is not kept from printing.
        self._counted = bool(world.spools) or any(one.slots for one in world.machines)

    def for_(self, row: Json, machine: Machine) -> list[str]:
        """Return the ids of the filament with which an item could be printed there."""
        if row["material"] is None or not self._counted:
            return [self._anything(row)]
        rule = self.rule(row)
        material = materials.normal(row["material"])
        grams = row["grams"] or 0.0
        found = _few(
            [
                spool
                for spool in self._by_material[material]
                if colors.fits(spool["color"], rule) and spool["free_g"] >= grams
            ],
            machine.id,
        )
        for spool in found:
            self.entries[spool["id"]] = Spool(
                id=spool["id"], grams=spool["free_g"], color=spool["color"]
            )
        return [spool["id"] for spool in found] + [
            self._slot(machine, slot)
            for slot in self._free_slots(machine)
            if slot.material is not None
            and materials.normal(slot.material) == material
            and colors.fits(slot.color, rule)
        ]

    def why_not(self, row: Json) -> Json:
        """Return why no filament is there for an item."""
        rule, material = self.rule(row), materials.normal(row["material"])
        free = [
            spool["free_g"]
            for spool in self._by_material[material]
            if colors.fits(spool["color"], rule)
        ]
        needed = row["grams"] or 0.0
        if not free or max(free) >= needed:
            return {"code": "waits_for_spool", "material": material, "color": row["color"]}
        return {
            "code": "filament_short",
            "material": material,
            "needed": needed,
            "free": round(max(free), 3),
        }

    def rule(self, row: Json) -> Json:
        """Return the rule of colour with what is known of the item, or slot, that it must differ from."""
        color = dict(row["color"] or {})
        other = self._world.colors.get(color.pop("differs_from", None) or "")
        if other:
            color["not"] = [*color.get("not", ()), f"#{other}"]
        return color

    def loaded(self, machine: Machine) -> dict[int | None, str | None]:
        """Return what is in each slot of a printer; of filament that nobody needs, too."""
        found: dict[int | None, str | None] = {
            slot.number: None if slot.material is None else f"{machine.id}/{slot.number}"
            for slot in machine.slots
        }
        for spool in self._world.spools:
            if spool["device_id"] == machine.id:
                found[spool["slot"] or 0] = spool["id"]
        return found or {0: None}

    def _free_slots(self, machine: Machine) -> list[Slot]:
        """Return the slots of a printer in which no spool is that somebody counts."""
        taken = {
            spool["slot"] or 0 for spool in self._world.spools if spool["device_id"] == machine.id
        }
        return [slot for slot in machine.slots if slot.number not in taken]

    def _slot(self, machine: Machine, slot: Slot) -> str:
        name = f"{machine.id}/{slot.number}"
        self.entries[name] = Spool(id=name, color=slot.color)
        return name

    def _anything(self, row: Json) -> str:
        """Return filament that nobody counts: there is enough everywhere, or whatever is in will do."""
        if row["material"] is None:
            self.entries[WHATEVER] = Spool(id=WHATEVER, shared=True)
            return WHATEVER
        color = next(iter((row["color"] or {}).get("is", ())), None)
        name = f"any {row['material']} {color or ''}"
        self.entries[name] = Spool(
            id=name, color=colors.parsed(color) if color else None, shared=True
        )
        return name


def _few(spools: Sequence[Json], device_id: str) -> list[Json]:
    """Return the spools worth a choice: what is loaded, and of each colour the smallest and the fullest."""
    by_color: defaultdict[str | None, list[Json]] = defaultdict(list)
    for spool in spools:
        by_color[spool["color"]].append(spool)
    kept: dict[str, Json] = {}
    for same in by_color.values():
        ordered = sorted(same, key=lambda one: one["free_g"])
        loaded = [one for one in ordered if one["device_id"] is not None]
        for one in (*loaded, ordered[0], ordered[-1]):
            kept[one["id"]] = one
    return sorted(kept.values(), key=lambda one: (one["device_id"] != device_id, one["id"]))


# -- items --------------------------------------------------------------------------------------------


def _item(row: Json, options: dict[str, list[str]], names: set[str], world: World) -> Item:
    differs = (row["color"] or {}).get("differs_from")
    aged = int((world.now - row["created_at"]) // AGING_S)
    return Item(
        id=row["id"],
        minutes=max(1, _minutes((row["estimated_s"] or UNKNOWN_S) + HANDLING_S)),
        options=options,
        grams=row["grams"] or 0.0,
        priority=max(1, min(MOST_PRIORITY, row["priority"] + max(0, aged))),
        deadline=None
        if row["deadline"] is None
        else math.floor((row["deadline"] - world.now + HANDLING_S) / 60),
        not_before=_minutes((row["not_before"] or world.now) - world.now),
        cheap=row["start"] == "cheap" and bool(world.prices),
        differs_from=[differs] if differs in names else [],
        was=row["device_id"],
    )


def _minutes(seconds: float) -> int:
    return max(0, math.ceil(seconds / 60))


# -- reasons ------------------------------------------------------------------------------------------


def _reasons(
    place: Place,
    before: Sequence[Place],
    rows: Mapping[str, Json],
    table: Table,
    made: Sketch,
    world: World,
) -> list[Json]:
    """Say why an item is where it is in the plan, the most telling first."""
    row, item = rows[place.item], table.items[place.item]
    found = [_filament_reason(place, before, rows, table)]
    found += _waits(item, before, table)
    if made.choices[place.item] == 1:
        found.append({"code": "only_printer_that_fits", "device_id": place.printer})
    if item.cheap:
        mean = table.mean_price(place.start, place.end)
        found.append({"code": "cheapest_window", "price": round(mean, 6)})
    elif row["start"] == "cheap":
        found.append({"code": "no_prices"})
    if item.not_before and place.start <= item.not_before:
        found.append({"code": "not_before", "at": row["not_before"]})
    if row["estimated_s"] is None:
        found.append({"code": "duration_unknown"})
    if is_late(item, place.end):
        end = world.now + place.end * 60 - HANDLING_S
        found.append({"code": "misses_deadline", "by_s": round(end - row["deadline"])})
    return found


def _filament_reason(
    place: Place, before: Sequence[Place], rows: Mapping[str, Json], table: Table
) -> Json:
    printer = table.printers[place.printer]
    turns = [one.spool for one in before if one.spool not in printer.stays]
    at_hand = turns[-1] if turns else printer.loaded
    material = rows[place.item]["material"]
    if place.spool == WHATEVER or table.is_free(at_hand, place.spool):
        return {"code": "filament_unknown", "material": material}
    if place.spool == at_hand or place.spool in printer.stays:
        return {"code": "same_material", "material": material}
    return {"code": "filament_change", "material": material}


def _waits(item: Item, before: Sequence[Place], table: Table) -> list[Json]:
    """Name the younger item before which this one would have come, and why it has to wait."""
    order = {name: at for at, name in enumerate(table.items)}
    passed = [table.items[one.item] for one in before if order[one.item] > order[item.id]]
    urgent = [one for one in passed if one.deadline is not None]
    higher = [one for one in passed if one.priority > item.priority]
    if urgent:
        return [{"code": "waits_for_deadline_of", "item": urgent[-1].id}]
    if higher:
        return [{"code": "waits_for_priority_of", "item": higher[-1].id}]
    if passed:
        return [{"code": "waits_for_filament_of", "item": passed[-1].id}]
    return []


def checked_color(rule: Json | None) -> Json | None:
    """Return a rule of colour; InvalidRequest ``invalid_params`` for words that are no colours."""
    for word in (*(rule or {}).get("is", ()), *(rule or {}).get("not", ())):
        if colors.parsed(word) is None:
            raise InvalidRequest(
                "invalid_params", f"color: {word} is not known", field="color", reason="unknown"
            )
    return rule or None
