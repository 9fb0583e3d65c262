"""What a plan of the queue is, and how good it is: pure, in whole minutes from the moment it is made for.

The brain and the process that searches (``solve``) speak of the same problem with these words.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from brain_server.protocol import Json

# Cheap prints begin at whole quarters of an hour, so that few beginnings have to be compared.
QUARTER: Final = 15


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One print that is to be placed; items stand in the order in which they came."""

    id: str
    minutes: int
    # By printer: the spools with which it could be printed there.
    options: dict[str, list[str]]
    grams: float = 0.0
    priority: int = 5
    deadline: int | None = None
    not_before: int = 0
    cheap: bool = False
    # Items whose colour must be another one.
    differs_from: list[str] = []
    # The printer on which people expect it, by the plan before.
    was: str | None = None


class Spool(msgspec.Struct, frozen=True, kw_only=True):
    """Filament. ``grams`` None: nobody counts it; ``shared``: it stands for filament that is anywhere."""

    id: str
    grams: float | None = None
    color: str | None = None
    shared: bool = False


class Printer(msgspec.Struct, frozen=True, kw_only=True):
    """A printer: when it is free, and what is in it.

    Spools in ``stays`` are left in their slots; the others take turns in the one slot of ``loaded``.
    """

    id: str
    free: int = 0
    loaded: str | None = None
    stays: list[str] = []
    watts: float = 0.0


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """All that a plan depends on. ``prices`` are for the quarters of an hour from now on."""

    items: list[Item]
    printers: list[Printer]
    spools: list[Spool]
    prices: list[float] = []
    limit_s: float = 3.0
    seed: int = 1


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where and when an item is printed, and with what."""

    item: str
    printer: str
    spool: str
    start: int
    end: int


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A place for every item that can have one; ``proven`` when no plan could be better."""

    places: list[Place]
    # Items for which no spool has enough left.
    short: list[str] = []
    proven: bool = False
    # How it was found: "first_come", "search" or "exact".
    method: str = "first_come"


class Score(msgspec.Struct, frozen=True, order=True):
    """How bad a plan is: what stands first counts first.

    ``broken``: deadlines missed that first come, first served meets. ``inversions``: pairs on one printer
    in which a print that could begin at once waits for one of lower priority. ``cost``: of the electricity
    of those that may wait for it, in millionths. ``ends``: the sum of the minutes until each is done.
    ``moved``: items that are no longer where the plan before had them.
    """

    broken: int
    missed: int
    inversions: int
    changes: int
    cost: int
    ends: int
    moved: int


class Table:
    """A problem, looked up by ids; and what electricity costs in it."""

    def __init__(self, problem: Problem) -> None:
        """Index a problem."""
        self.items = {item.id: item for item in problem.items}
        self.printers = {printer.id: printer for printer in problem.printers}
        self.spools = {spool.id: spool for spool in problem.spools}
        self.apart: defaultdict[str, set[str]] = defaultdict(set)
        for item in problem.items:
            for other in item.differs_from:
                if other in self.items:
                    self.apart[item.id].add(other)
                    self.apart[other].add(item.id)
        self._sums = [0.0]
        for price in problem.prices:
            self._sums.append(self._sums[-1] + price * QUARTER)
        # The minute from which on no price is known.
        self.known = len(problem.prices) * QUARTER
        self._mean = self._sums[-1] / QUARTER / len(problem.prices) if problem.prices else 0.0

    def cost(self, item: Item, printer: str, start: int) -> int:
        """Return what the electricity of a print costs, in millionths; beyond known prices their mean."""
        if not item.cheap:
            return 0
        watts = self.printers[printer].watts
        return round((self._until(start + item.minutes) - self._until(start)) * watts / 60 * 1000)

    def mean_price(self, start: int, end: int) -> float:
        """Return the mean price of a kilowatt-hour between two minutes."""
        return (self._until(end) - self._until(start)) / max(1, end - start)

    def _until(self, minute: int) -> float:
        quarters, rest = divmod(minute, QUARTER)
        known = len(self._sums) - 1
        if quarters >= known:
            return self._sums[-1] + (minute - known * QUARTER) * self._mean
        return (
            self._sums[quarters]
            + rest * (self._sums[quarters + 1] - self._sums[quarters]) / QUARTER
        )

    def earliest(self, item: Item, minute: int) -> int:
        """Return the first minute, from this one on, at which an item may begin."""
        at = max(minute, item.not_before)
        return -(-at // QUARTER) * QUARTER if item.cheap else at

    def changes(self, printer: str, spools: Iterable[str]) -> int:
        """Return how often somebody has to change filament for prints in this order."""
        held, count = self.printers[printer].loaded, 0
        stays = self.printers[printer].stays
        for spool in spools:
            if spool not in stays and spool != held:
                count += not self.is_free(held, spool)
                held = spool
        return count

    def is_free(self, held: str | None, spool: str) -> bool:
        """Tell whether nobody can say that filament has to be changed: what is in is not known either."""
        return held is None and self.spools[spool].shared

    def inversions(self, items: Sequence[Item]) -> int:
        """Return how many pairs have an item of lower priority before one that could begin at once."""
        before = [0] * 11
        count = 0
        for item in items:
            if item.not_before == 0 and not item.cheap:
                count += sum(before[: item.priority])
            before[item.priority] += 1
        return count

    def score(self, places: Iterable[Place], guarded: frozenset[str] = frozenset()) -> Score:
        """Judge a plan; ``guarded`` are the items whose deadline first come, first served meets."""
        rows: defaultdict[str, list[Place]] = defaultdict(list)
        broken = missed = cost = ends = inversions = changes = moved = 0
        for place in sorted(places, key=lambda one: one.start):
            item = self.items[place.item]
            late = is_late(item, place.end)
            missed += late
            broken += late and item.id in guarded
            cost += self.cost(item, place.printer, place.start)
            ends += place.end
            moved += item.was not in {None, place.printer}
            rows[place.printer].append(place)
        for printer, row in rows.items():
            inversions += self.inversions([self.items[place.item] for place in row])
            changes += self.changes(printer, [place.spool for place in row])
        return Score(broken, missed, inversions, changes, cost, ends, moved)


class Shelf:
    """Who takes which spool: no more than is on it, on one printer only, in colours that may be together."""

    def __init__(self, table: Table) -> None:
        """Begin with nothing taken."""
        self._table = table
        self._left = {one.id: one.grams for one in table.spools.values()}
        self._users: defaultdict[str, int] = defaultdict(int)
        self.printer_of: dict[str, str] = {}
        self.spool_of: dict[str, str] = {}

    def may(self, item: Item, printer: str, spool: str) -> bool:
        """Tell whether an item may be printed there with this spool, beside what is placed already."""
        if spool not in item.options.get(printer, ()):
            return False
        entry, left = self._table.spools[spool], self._left[spool]
        if left is not None and left < item.grams:
            return False
        if not entry.shared and self.printer_of.get(spool, printer) != printer:
            return False
        near = (self.spool_of.get(other) for other in self._table.apart.get(item.id, ()))
        return all(other is None or differ(entry, self._table.spools[other]) for other in near)

    def take(self, item: Item, printer: str, spool: str) -> None:
        """Give a spool to an item."""
        left = self._left[spool]
        if left is not None:
            self._left[spool] = left - item.grams
        self._users[spool] += 1
        self.printer_of[spool] = printer
        self.spool_of[item.id] = spool

    def give_back(self, item: Item) -> None:
        """Take it from the item again."""
        spool = self.spool_of.pop(item.id)
        left = self._left[spool]
        if left is not None:
            self._left[spool] = left + item.grams
        self._users[spool] -= 1
        if not self._users[spool]:
            del self.printer_of[spool]


def differ(one: Spool, other: Spool) -> bool:
    """Tell whether two spools surely have different colours."""
    return one.color is not None and other.color is not None and one.color != other.color


def is_late(item: Item, end: int) -> bool:
    """Tell whether an item that ends then misses its deadline."""
    return item.deadline is not None and end > item.deadline


def in_order(problem: Problem, plan: Plan) -> Plan:
    """Return a plan that is as good, in which of items that are all alike the older comes first."""
    alike: defaultdict[object, list[str]] = defaultdict(list)
    for item in problem.items:
        alike[msgspec.json.encode(msgspec.structs.replace(item, id=""))].append(item.id)
    group = {name: names for names in alike.values() for name in names}
    apart = {
        name
        for item in problem.items
        for name in (item.id, *item.differs_from)
        if item.differs_from
    }
    placed = {place.item for place in plan.places}
    left = {id(names): [one for one in names if one in placed] for names in alike.values()}
    places = [
        place
        if place.item in apart
        else msgspec.structs.replace(place, item=left[id(group[place.item])].pop(0))
        for place in sorted(plan.places, key=lambda one: one.start)
    ]
    return msgspec.structs.replace(plan, places=places)


def first_come(problem: Problem) -> Plan:
    """Place items in the order in which they came, each where it can begin first; the yardstick of all plans.

    Where two printers are free alike, it takes the one with the right filament, as anybody would.
    """
    table = Table(problem)
    shelf = Shelf(table)
    free = {one.id: one.free for one in problem.printers}
    held = {one.id: one.loaded for one in problem.printers}
    places: list[Place] = []
    short: list[str] = []
    for item in problem.items:
        choices = [
            (
                *(table.earliest(item, free[printer]), not _at_hand(table, held, printer, spool)),
                *(order, printer, spool),
            )
            for order, (printer, spools) in enumerate(item.options.items())
            for spool in spools
            if shelf.may(item, printer, spool)
        ]
        if not choices:
            short.append(item.id)
            continue
        start, _, _, printer, spool = min(choices, key=lambda one: one[:3])
        shelf.take(item, printer, spool)
        if spool not in table.printers[printer].stays:
            held[printer] = spool
        free[printer] = start + item.minutes
        places.append(
            Place(item=item.id, printer=printer, spool=spool, start=start, end=free[printer])
        )
    return Plan(places=places, short=short)


def _at_hand(table: Table, held: dict[str, str | None], printer: str, spool: str) -> bool:
    return spool == held[printer] or spool in table.printers[printer].stays


def kept(table: Table, plan: Plan) -> frozenset[str]:
    """Return the items that have a deadline and meet it in this plan."""
    return frozenset(
        place.item
        for place in plan.places
        if table.items[place.item].deadline is not None
        and not is_late(table.items[place.item], place.end)
    )


def as_json(score: Score) -> Json:
    """Return a score for people who read figures."""
    found: Json = msgspec.to_builtins(score)
    return found
