"""A good plan quickly: items are put where they harm least, then moved as long as that helps.

Runs in the process of ``solve``. What it finds is never worse than first come, first served.
"""

from collections.abc import Callable, Iterable, Sequence
import operator
import random
import time
from typing import Final, NamedTuple, cast

from brain_server.fabrication.plan import (
    QUARTER,
    Item,
    Place,
    Plan,
    Problem,
    Score,
    Shelf,
    Table,
    first_come,
    is_late,
    kept,
)

# Longer rows are looked at only where one filament ends and another begins.
SHORT_ROW: Final = 12
# So many moves that help nothing in a row, for each item, are enough.
PATIENCE: Final = 400
_FIRST_PART: Final = 0.5


class Job(NamedTuple):
    """An item and the spool that it is printed with."""

    item: Item
    spool: str


type Row = tuple[Job, ...]
type Points = tuple[int, int, int, int, int, int, int]
NOTHING: Final[Points] = (0, 0, 0, 0, 0, 0, 0)


class Search:
    """One search over one problem; the same seed finds the same, unless time runs out first."""

    def __init__(self, problem: Problem, clock: Callable[[], float] = time.monotonic) -> None:
        """Start from first come, first served."""
        self.yardstick = first_come(problem)
        self.table = Table(problem)
        self.guarded = kept(self.table, self.yardstick)
        self._clock = clock
        self._until = clock() + problem.limit_s
        self._half = clock() + problem.limit_s * _FIRST_PART
        self._chance = random.Random(problem.seed)  # noqa: S311 - the same plan for the same queue, no secret
        short = frozenset(self.yardstick.short)
        self._items = [one for one in problem.items if one.id not in short]
        self._take_over(self.yardstick.places)

    def run(self) -> Plan:
        """Return the best plan that was found."""
        first = self._snapshot()
        if self._build() and self.points() > first[1]:
            self._restore(first)
        self._improve()
        return Plan(places=self.places(), short=self.yardstick.short, method="search")

    def score(self, plan: Plan) -> Score:
        """Judge a plan of this problem."""
        return self.table.score(plan.places, self.guarded)

    def places(self) -> list[Place]:
        """Return where everything is now."""
        return [place for printer, row in self.rows.items() for place in self._timed(printer, row)]

    def points(self) -> Points:
        """Return the score of the present rows."""
        return _sum(self._points.values())

    # -- rows -----------------------------------------------------------------------------------------

    def _take_over(self, places: Sequence[Place]) -> None:
        self.shelf = Shelf(self.table)
        self.rows: dict[str, Row] = dict.fromkeys(self.table.printers, ())
        for place in sorted(places, key=lambda one: one.start):
            item = self.table.items[place.item]
            self.shelf.take(item, place.printer, place.spool)
            self.rows[place.printer] += (Job(item, place.spool),)
        self._points = {printer: self._judge(printer, row) for printer, row in self.rows.items()}

    def _snapshot(self) -> tuple[list[Place], Points]:
        return self.places(), self.points()

    def _restore(self, snapshot: tuple[list[Place], Points]) -> None:
        self._take_over(snapshot[0])

    def _timed(self, printer: str, row: Row) -> list[Place]:
        """Give a row its times: each as early as it may, and cheap ones in the gaps that cost least."""
        minute = self.table.printers[printer].free
        places: list[Place] = []
        waiting: list[Job] = []
        for job in row:
            if job.item.cheap:
                waiting.append(job)
                continue
            minute = max(minute, job.item.not_before)
            end = minute + job.item.minutes
            places.append(
                Place(item=job.item.id, printer=printer, spool=job.spool, start=minute, end=end)
            )
            minute = end
        for job in waiting:
            start = self._cheapest(printer, job.item, places)
            places.append(
                Place(
                    item=job.item.id,
                    printer=printer,
                    spool=job.spool,
                    start=start,
                    end=start + job.item.minutes,
                )
            )
            places.sort(key=lambda one: one.start)
        return places

    def _cheapest(self, printer: str, item: Item, places: Sequence[Place]) -> int:
        """Return the beginning, among the gaps of a printer, that is in time, then cheap, then soon."""
        begins = [self.table.printers[printer].free, *(place.end for place in places)]
        ends = [*(place.start for place in places), self._horizon(item, begins[-1])]
        choices = [
            (is_late(item, at + item.minutes), self.table.cost(item, printer, at), at)
            for begin, end in zip(begins, ends, strict=True)
            for at in range(self.table.earliest(item, begin), end - item.minutes + 1, QUARTER)
        ]
        return min(choices)[2]

    def _horizon(self, item: Item, minute: int) -> int:
        """Return until when it is worth looking for a beginning: prices that nobody knows are all alike."""
        known = self.table.known
        return max(known, self.table.earliest(item, minute) + item.minutes) + QUARTER

    def _judge(self, printer: str, row: Row) -> Points:
        table = self.table
        if any(job.item.cheap for job in row):
            score = table.score(self._timed(printer, row), self.guarded)
            return (
                score.broken,
                score.missed,
                score.inversions,
                score.changes,
                score.cost,
                score.ends,
                score.moved,
            )
        spec = table.printers[printer]
        minute, held, stays, guarded = spec.free, spec.loaded, spec.stays, self.guarded
        broken = missed = inversions = changes = ends = moved = 0
        before = [0] * 11
        for item, spool in row:
            minute = (max(item.not_before, minute)) + item.minutes
            ends += minute
            moved += item.was is not None and item.was != printer
            if item.deadline is not None and minute > item.deadline:
                missed += 1
                broken += item.id in guarded
            if spool != held and spool not in stays:
                changes += held is not None or not table.spools[spool].shared
                held = spool
            if not item.not_before:
                inversions += sum(before[: item.priority])
            before[item.priority] += 1
        return broken, missed, inversions, changes, 0, ends, moved

    # -- a first plan ---------------------------------------------------------------------------------

    def _build(self) -> bool:
        """Put one item after the other where it harms least; False when time or filament did not suffice."""
        self._take_over(())
        order = sorted(
            self._items,
            key=lambda item: (item.deadline is None, item.deadline or 0, -item.priority),
        )
        for item in order:
            if self._clock() > self._half or not self._insert(item):
                self._take_over(self.yardstick.places)
                return False
        return True

    def _insert(self, item: Item) -> bool:
        best: tuple[Points, str, Row, str] | None = None
        for printer, spools in item.options.items():
            row = self.rows[printer]
            for spool in spools:
                if not self.shelf.may(item, printer, spool):
                    continue
                for at in _seams(row):
                    made = (*row[:at], Job(item, spool), *row[at:])
                    points = _less(self._judge(printer, made), self._points[printer])
                    if best is None or points < best[0]:
                        best = points, printer, made, spool
        if best is None:
            return False
        _, printer, made, spool = best
        self.shelf.take(item, printer, spool)
        self._put(printer, made)
        return True

    def _put(self, printer: str, row: Row) -> None:
        self.rows[printer] = row
        self._points[printer] = self._judge(printer, row)

    # -- moves ----------------------------------------------------------------------------------------

    def _improve(self) -> None:
        """Move single items and whole runs of one filament until nothing helps any more."""
        idle, enough = 0, PATIENCE * max(1, len(self._items))
        while idle < enough and self._clock() < self._until:
            idle = 0 if self._move() else idle + 1

    def _move(self) -> bool:
        """Try one move; True when the plan is better. One that is just as good is taken, too."""
        chance = self._chance
        busy = [printer for printer, row in self.rows.items() if row]
        if not busy:
            return False
        source = chance.choice(busy)
        row = self.rows[source]
        begin = chance.randrange(len(row))
        end = begin + 1 if chance.random() < 0.5 else _end_of_run(row, begin)
        block, rest = row[begin:end], (*row[:begin], *row[end:])
        target = chance.choice(list(block[0].item.options))
        onto = rest if target == source else self.rows[target]
        for job in block:
            self.shelf.give_back(job.item)
        moved = self._fitted(block, target)
        if moved is None:
            self._undo(block, source)
            return False
        at = chance.choice(_seams(onto)) if chance.random() < 0.7 else chance.randint(0, len(onto))
        made = (*onto[:at], *moved, *onto[at:])
        old = _sum([self._points[one] for one in {source, target}])
        points = {target: self._judge(target, made)}
        if target != source:
            points[source] = self._judge(source, rest)
        new = _sum(points.values())
        if new > old:
            for job in moved:
                self.shelf.give_back(job.item)
            self._undo(block, source)
            return False
        self.rows[source] = rest
        self.rows[target] = made
        self._points |= points
        return new < old

    def _undo(self, block: Row, printer: str) -> None:
        for job in block:
            self.shelf.take(job.item, printer, job.spool)

    def _fitted(self, block: Row, printer: str) -> Row | None:
        """Take spools for a block on a printer: one for all where that is possible; None when not."""
        chance = self._chance
        taken: list[Job] = []
        last: str | None = None
        for job in block:
            spools = [
                spool
                for spool in job.item.options.get(printer, ())
                if self.shelf.may(job.item, printer, spool)
            ]
            if not spools:
                for one in taken:
                    self.shelf.give_back(one.item)
                return None
            spool = last if last in spools and last is not None else chance.choice(spools)
            self.shelf.take(job.item, printer, spool)
            taken.append(Job(job.item, spool))
            last = spool
        return tuple(taken)


def _seams(row: Row) -> list[int]:
    """Return the places of a row at which something may be put in between."""
    if len(row) <= SHORT_ROW:
        return list(range(len(row) + 1))
    inner = [at for at in range(1, len(row)) if row[at - 1].spool != row[at].spool]
    return [0, *inner, len(row)]


def _end_of_run(row: Row, begin: int) -> int:
    end = begin + 1
    while end < len(row) and row[end].spool == row[begin].spool:
        end += 1
    return end


def _sum(parts: Iterable[Points]) -> Points:
    total = NOTHING
    for part in parts:
        total = _map(operator.add, total, part)
    return total


def _less(one: Points, other: Points) -> Points:
    return _map(operator.sub, one, other)


def _map(do: Callable[[int, int], int], one: Points, other: Points) -> Points:
    return cast("Points", tuple(map(do, one, other, strict=True)))
