"""What became of the brain's own work, and which limits of the house were reached: each told once."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
import math
from typing import TYPE_CHECKING, Any, Final

from homeassistant.core import CALLBACK_TYPE, callback
from homeassistant.util import dt as dt_util

from .coordinator import LINK_DOWN, SNAPSHOT
from .protocol import Json

if TYPE_CHECKING:
    from . import KittyConfigEntry

WORK: Final = "work"
LIMITS: Final = "limits"

TASK_FINISHED: Final = "task_finished"
TASK_FAILED: Final = "task_failed"
RESEARCH_FINISHED: Final = "research_finished"
RESEARCH_FAILED: Final = "research_failed"
LOW_MATERIAL: Final = "low_material"
BUDGET_WARNING: Final = "budget_warning"
BUDGET_REACHED: Final = "budget_reached"

WORK_TYPES: Final = (TASK_FINISHED, TASK_FAILED, RESEARCH_FINISHED, RESEARCH_FAILED)
LIMIT_TYPES: Final = (LOW_MATERIAL, BUDGET_WARNING, BUDGET_REACHED)

_TASK_TYPES: Final = {"completed": TASK_FINISHED, "failed": TASK_FAILED}
_RESEARCH_TYPES: Final = {"completed": RESEARCH_FINISHED, "failed": RESEARCH_FAILED}
# By what the brain names a period, and how much of a date says which one it is.
_PERIODS: Final = {"day": len("2026-11-21"), "month": len("2026-11")}
_KEEP: Final = 1000

type Tell = Callable[[str, str, Json], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What a budget has reached: in which day or month, and of which cap."""

    kind: str
    stamp: str
    cap: float


class News:
    """Turns changes of tasks, research, stock and budget into news, also after a gap in the wire."""

    def __init__(self, entry: KittyConfigEntry, tell: Tell) -> None:
        """Take what is known now as old."""
        self._coordinator = entry.runtime_data.coordinator
        self._tell = tell
        self._gap_from = math.inf
        data = self._coordinator.data
        tasks = [task for project in data.projects.values() for task in project["tasks"]]
        self._statuses: dict[str, str] = {
            row["id"]: row["status"] for row in (*tasks, *data.researches.values())
        }
        self._low: dict[str, bool] = {name: bool(row["low"]) for name, row in data.stock.items()}
        self._reached: set[Mark] = set()
        for mark, _ in _marks(data.budget):
            self._mark(mark, data.budget)

    @callback
    def start(self) -> list[CALLBACK_TYPE]:
        """Listen to the brain; returns how to stop."""
        listen = self._coordinator.async_listen
        return [
            listen("task.updated", self._on_task),
            listen("research.updated", self._on_research),
            listen("stock.updated", self._on_stock),
            listen("budget.updated", self._on_budget),
            listen(LINK_DOWN, self._on_link_down),
            listen(SNAPSHOT, self._on_snapshot),
        ]

    @callback
    def _on_link_down(self, data: Json) -> None:
        """Remember since when we hear nothing."""
        self._gap_from = data["since"]

    @callback
    def _on_snapshot(self, data: Json) -> None:
        """Tell what changed while we heard nothing; what is older and unknown is no news."""
        for project in data.get("projects") or ():
            for task in project["tasks"]:
                self._after_gap(task, self._on_task)
        for research in data.get("researches") or ():
            self._after_gap(research, self._on_research)
        for row in data.get("stock") or ():
            self._low.setdefault(row["material"], bool(row["low"]))
            self._on_stock(row)
        self._on_budget(data.get("budget") or {})
        self._gap_from = math.inf

    def _after_gap(self, row: Json, tell: Callable[[Json], None]) -> None:
        """Tell of a row if we knew it, or if it began while we heard nothing."""
        if row["id"] in self._statuses or row["created_at"] >= self._gap_from:
            tell(row)
        else:
            self._statuses[row["id"]] = row["status"]

    @callback
    def _on_task(self, task: Json) -> None:
        """Tell of a task that is over; not of what came of it, which may be long and from outside."""
        if (kind := self._news_of(task, _TASK_TYPES)) is None:
            return
        project = self._coordinator.data.projects.get(task["project_id"], {})
        about = {
            "task_id": task["id"],
            "title": task["title"],
            "kind": task["kind"],
            "project_id": task["project_id"],
            "project": project.get("title"),
            "error": task["error"],
        }
        self._tell(WORK, kind, about)

    @callback
    def _on_research(self, research: Json) -> None:
        """Tell of a research that is over; what a person asked is told to that person only."""
        if (kind := self._news_of(research, _RESEARCH_TYPES)) is None:
            return
        about = {
            "research_id": research["id"],
            "question": research["question"] if research["requested_by"] is None else None,
            "cost": research["cost"],
            "error": research["error"],
        }
        self._tell(WORK, kind, about)

    @callback
    def _on_stock(self, row: Json) -> None:
        """Tell of a material that has just fallen below its limit."""
        name, is_low = row["material"], bool(row["low"]) and not row.get("archived")
        was_low, self._low[name] = self._low.get(name, False), is_low
        if is_low and not was_low:
            about = {
                "material": name,
                "total_g": row["total_g"],
                "free_g": row["free_g"],
                "limit_g": row["low_g"],
            }
            self._tell(LIMITS, LOW_MATERIAL, about)

    @callback
    def _on_budget(self, budget: Json) -> None:
        """Tell of a cap, or the share of it that is a warning, once in its day or month."""
        for mark, about in _marks(budget):
            if mark not in self._reached:
                self._mark(mark, budget)
                self._tell(LIMITS, mark.kind, about)

    def _mark(self, mark: Mark, budget: Mapping[str, Any]) -> None:
        """Remember what is told; after the cap its warning is no news, and old days never come again."""
        told, stamps = {mark, replace(mark, kind=BUDGET_WARNING)}, _stamps(budget)
        self._reached = {one for one in self._reached if one.stamp in stamps} | told

    def _news_of(self, row: Json, types: dict[str, str]) -> str | None:
        """Return what to tell of a row, where its status is one that was not told of."""
        before = self._statuses.pop(row["id"], None)
        self._statuses[row["id"]] = row["status"]
        if len(self._statuses) > _KEEP:
            del self._statuses[next(iter(self._statuses))]
        return types.get(row["status"]) if before != row["status"] else None


def _stamps(budget: Mapping[str, Any]) -> list[str]:
    """Return how this day and this month are written: those of the brain, which may be in another time zone."""
    today = str(budget.get("today") or dt_util.now().date())
    return [today[:length] for length in _PERIODS.values()]


def _marks(budget: Mapping[str, Any]) -> Iterator[tuple[Mark, Json]]:
    """Yield what was reached of the caps of this day and this month, and what to tell of it."""
    for period, stamp in zip(_PERIODS, _stamps(budget), strict=True):
        amount = budget.get(period) or {}
        spent, cap = amount.get("spent", 0.0), amount.get("cap", 0.0)
        # A cap of nothing is not reached: it forbids from the beginning.
        if cap > 0 and spent >= cap * budget["soft"]:
            kind = BUDGET_REACHED if spent >= cap else BUDGET_WARNING
            about = {"period": period, "spent": spent, "cap": cap, "currency": budget["currency"]}
            yield Mark(kind=kind, stamp=stamp, cap=cap), about
