"""``python -m brain_server.fabrication.solve``: one problem a line on standard input, one plan a line out.

A process of its own: the search takes seconds of a processor, and OR-tools a hundred megabytes. It first
searches (``search``), then, where the queue is short enough, has CP-SAT look for the best plan there is.
"""

import os
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from brain_server.fabrication.plan import (
    QUARTER,
    Item,
    Place,
    Plan,
    Printer,
    Problem,
    differ,
    in_order,
)
from brain_server.fabrication.search import Search

if TYPE_CHECKING:
    from ortools.sat.python.cp_model import BoolVarT, CpModel, IntVar

# Longer queues are searched only: the model grows with the square of the items.
MOST_ITEMS: Final = 40
# The part of the time in which the search has to be done where CP-SAT comes behind it.
_SEARCH_PART: Final = 0.35
_GRAM_PARTS: Final = 100
NICE: Final = 5


def solve(problem: Problem) -> Plan:
    """Return the best plan that could be found in the time given, never one worse than first come."""
    return in_order(problem, _best(problem))


def _best(problem: Problem) -> Plan:
    begun = time.monotonic()
    provable = len(problem.items) <= MOST_ITEMS
    limit = problem.limit_s * (_SEARCH_PART if provable else 1.0)
    search = Search(msgspec.structs.replace(problem, limit_s=limit))
    plan = search.run()
    if not provable or not plan.places:
        return msgspec.structs.replace(plan, proven=not plan.places)
    left = problem.limit_s - (time.monotonic() - begun)
    found = Exact(problem, search, plan).run(left)
    return min(found, plan, key=lambda one: (search.score(one), not one.proven))


class Exact:
    """The problem as CP-SAT takes it; solved once for each part of the score, in their order."""

    def __init__(self, problem: Problem, search: Search, hint: Plan) -> None:
        """Write the problem down; ``hint`` is a plan to start from."""
        from ortools.sat.python import cp_model  # noqa: PLC0415 - a second and a hundred megabytes: in this process only

        self._cp = cp_model
        self._problem = problem
        self._search = search
        self._hint = hint
        self._table = search.table
        self._model: CpModel = cp_model.CpModel()
        short = frozenset(hint.short)
        self._items = [one for one in problem.items if one.id not in short]
        self._horizon = self._latest()
        self._start: dict[str, Any] = {}
        # In which quarter of an hour what may wait for cheap electricity starts.
        self._quarter: dict[str, Any] = {}
        self._use: dict[tuple[str, str, str], Any] = {}
        self._on: dict[tuple[str, str | None], Any] = {}
        self._goals: list[Any] = []
        self._write()

    def run(self, limit_s: float) -> Plan:
        """Make each part of the score as small as the parts before it allow; proven when all are."""
        plan, proven = self._hint, True
        until = time.monotonic() + limit_s
        for number, goal in enumerate(self._goals):
            left = (until - time.monotonic()) / (len(self._goals) - number)
            if left <= 0:
                return msgspec.structs.replace(plan, proven=False)
            solver = self._cp.CpSolver()
            solver.parameters.max_time_in_seconds = left
            solver.parameters.random_seed = self._problem.seed
            solver.parameters.num_search_workers = 1
            self._model.clear_hints()  # type: ignore[no-untyped-call]  # OR-tools leaves it so
            self._give_hint(plan)
            self._model.minimize(goal)
            status = solver.solve(self._model)
            if status not in {self._cp.OPTIMAL, self._cp.FEASIBLE}:
                return msgspec.structs.replace(plan, proven=False)
            plan = self._plan(solver)
            proven = proven and status == self._cp.OPTIMAL
            self._model.add(goal <= round(solver.objective_value))
        return msgspec.structs.replace(plan, proven=proven)

    # -- the model ------------------------------------------------------------------------------------

    def _latest(self) -> int:
        """Return a minute by which every plan worth having is over."""
        begin = max(
            [self._table.known]
            + [one.free for one in self._problem.printers]
            + [one.not_before for one in self._items]
        )
        ends = [place.end for place in self._hint.places]
        work = sum(one.minutes + (QUARTER if one.cheap else 0) for one in self._items)
        return max([begin + work, *ends]) + QUARTER

    def _write(self) -> None:
        for item in self._items:
            self._place(item)
        for printer in self._problem.printers:
            self._order(printer)
        self._shelve()
        late = [self._late(item) for item in self._items if item.deadline is not None]
        inversions = self._inversions()
        changes = [
            change for printer in self._problem.printers for change in self._changes(printer)
        ]
        costs = [self._cost(item) for item in self._items if item.cheap]
        ends = [self._start[item.id] + item.minutes for item in self._items]
        self._goals = [sum(part) for part in (late, inversions, changes, costs) if part]
        self._goals.append(sum(ends))
        known = [self._on[one.id, one.was] for one in self._items if (one.id, one.was) in self._on]
        if known:
            self._goals.append(sum(~on for on in known))

    def _place(self, item: Item) -> None:
        """One printer, one spool, one beginning for an item."""
        model = self._model
        if item.cheap:
            self._quarter[item.id] = quarter = model.new_int_var(0, self._horizon // QUARTER, "")
            self._start[item.id] = start = model.new_int_var(0, self._horizon, "")
            model.add(start == QUARTER * quarter)
        else:
            self._start[item.id] = start = model.new_int_var(0, self._horizon, "")
        model.add(start >= item.not_before)
        everywhere = []
        for printer, spools in item.options.items():
            uses = []
            for spool in spools:
                use = self._use[item.id, printer, spool] = model.new_bool_var("")
                uses.append(use)
            on = self._on[item.id, printer] = model.new_bool_var("")
            model.add(sum(uses) == on)
            model.add(start >= self._table.printers[printer].free).only_enforce_if(on)
            everywhere.append(on)
        model.add_exactly_one(everywhere)

    def _here(self, printer: Printer) -> list[Item]:
        return [item for item in self._items if (item.id, printer.id) in self._on]

    def _order(self, printer: Printer) -> None:
        """Print one thing at a time."""
        self._model.add_no_overlap(
            [
                self._model.new_optional_fixed_size_interval_var(
                    self._start[item.id], item.minutes, self._on[item.id, printer.id], ""
                )
                for item in self._here(printer)
            ]
        )

    def _shelve(self) -> None:
        """Take no more from a spool than is on it, on one printer, in colours that may be together."""
        model, table = self._model, self._table
        for spool in table.spools.values():
            uses = {key: use for key, use in self._use.items() if key[2] == spool.id}
            if spool.grams is not None:
                weights = [
                    (round(table.items[key[0]].grams * _GRAM_PARTS), use)
                    for key, use in uses.items()
                ]
                model.add(
                    sum(grams * use for grams, use in weights) <= round(spool.grams * _GRAM_PARTS)
                )
            printers = {key[1] for key in uses}
            if not spool.shared and len(printers) > 1:
                homes = {printer: model.new_bool_var("") for printer in printers}
                model.add_at_most_one(homes.values())
                for key, use in uses.items():
                    model.add_implication(use, homes[key[1]])
        self._keep_apart()

    def _keep_apart(self) -> None:
        spools = self._table.spools
        for one, others in self._table.apart.items():
            for other in others:
                if one < other:
                    for mine, use in self._use.items():
                        for theirs, use_too in self._use.items():
                            if (
                                mine[0] == one
                                and theirs[0] == other
                                and not differ(spools[mine[2]], spools[theirs[2]])
                            ):
                                self._model.add_bool_or(~use, ~use_too)

    # -- the score ------------------------------------------------------------------------------------

    def _late(self, item: Item) -> Any:
        late = self._model.new_bool_var("")
        in_time = self._model.add(self._start[item.id] + item.minutes <= (item.deadline or 0))
        in_time.only_enforce_if(~late)
        if item.id in self._search.guarded:
            self._model.add(late == 0)
        return late

    def _inversions(self) -> list[Any]:
        model, found = self._model, []
        for high in self._items:
            if high.not_before or high.cheap:
                continue
            for low in self._items:
                if low.priority >= high.priority:
                    continue
                both = high.options.keys() & low.options.keys()
                if not both:
                    continue
                turned = model.new_bool_var("")
                for printer in both:
                    model.add(
                        self._start[high.id] + high.minutes <= self._start[low.id]
                    ).only_enforce_if(
                        self._on[high.id, printer], self._on[low.id, printer], ~turned
                    )
                found.append(turned)
        return found

    def _changes(self, printer: Printer) -> list[Any]:
        """One literal for each item that takes turns in the slot: whether filament is changed for it."""
        model = self._model
        turns = {
            item.id: [one for one in item.options[printer.id] if one not in printer.stays]
            for item in self._here(printer)
        }
        turns = {item: spools for item, spools in turns.items() if spools}
        if not turns:
            return []
        number = {item: at for at, item in enumerate(turns, start=1)}
        arcs: list[tuple[int, int, BoolVarT]] = []
        none = model.new_bool_var("")
        arcs.append((0, 0, none))
        changed: dict[str, IntVar] = {}
        for item, spools in turns.items():
            uses = [self._use[item, printer.id, spool] for spool in spools]
            away = model.new_bool_var("")
            model.add(sum(uses) + away == 1)
            arcs.append((number[item], number[item], away))
            model.add_implication(none, away)
            changed[item] = model.new_bool_var("")
            first, last = model.new_bool_var(""), model.new_bool_var("")
            arcs += [(0, number[item], first), (number[item], 0, last)]
            for spool, use in zip(spools, uses, strict=True):
                if spool != printer.loaded and not self._table.is_free(printer.loaded, spool):
                    model.add_bool_or(~first, ~use, changed[item])
        for one, before in turns.items():
            for other, spools in turns.items():
                if one == other:
                    continue
                follows = model.new_bool_var("")
                arcs.append((number[one], number[other], follows))
                end = self._start[one] + self._table.items[one].minutes
                model.add(self._start[other] >= end).only_enforce_if(follows)
                for spool in spools:
                    clause = [~follows, ~self._use[other, printer.id, spool], changed[other]]
                    if spool in before:
                        clause.append(self._use[one, printer.id, spool])
                    model.add_bool_or(clause)
        model.add_circuit(arcs)
        return list(changed.values())

    def _cost(self, item: Item) -> Any:
        """What the electricity of an item costs, by the quarter in which it begins and by its printer."""
        model, table = self._model, self._table
        quarters = self._horizon // QUARTER + 1
        by_printer = {
            printer: [table.cost(item, printer, at * QUARTER) for at in range(quarters)]
            for printer in item.options
        }
        costs = [cost for row in by_printer.values() for cost in row]
        total = model.new_int_var(min(costs), max(costs), "")
        for printer, row in by_printer.items():
            here = model.new_int_var(min(row), max(row), "")
            model.add_element(self._quarter[item.id], row, here)
            model.add(total == here).only_enforce_if(self._on[item.id, printer])
        return total

    # -- to and fro -----------------------------------------------------------------------------------

    def _give_hint(self, plan: Plan) -> None:
        chosen = {(place.item, place.printer, place.spool) for place in plan.places}
        for key, use in self._use.items():
            self._model.add_hint(use, key in chosen)
        for place in plan.places:
            self._model.add_hint(self._start[place.item], place.start)

    def _plan(self, solver: Any) -> Plan:
        places = []
        for (item, printer, spool), use in self._use.items():
            if solver.value(use):
                start = solver.value(self._start[item])
                end = start + self._table.items[item].minutes
                places.append(Place(item=item, printer=printer, spool=spool, start=start, end=end))
        return Plan(places=places, short=self._hint.short, method="exact")


def main() -> None:
    """Answer until standard input ends."""
    os.nice(NICE)
    decoder, encoder = msgspec.json.Decoder(Problem), msgspec.json.Encoder()
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(encoder.encode(solve(decoder.decode(line))) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
