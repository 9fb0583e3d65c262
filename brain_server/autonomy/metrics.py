"""What tells whether something has become better: figures from the rows of prints, each with how many they are of.

A figure of too few is none: it is told as ``None`` with its count, and nothing is concluded from it.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
import math
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, func, select

from brain_server.fabrication.advice import Count, worse
from brain_server.fabrication.outcomes import ENDED, Outcome, Outcomes
from brain_server.inventory.materials import normal
from brain_server.protocol import Json
from brain_server.storage import Database
from brain_server.storage.tables import incidents, jobs, reviews

DAY: Final = 86_400.0
WEEK: Final = 7 * DAY
# The time before a decision, and after the end of what was decided, that are compared.
WINDOW: Final = 30 * DAY
FEWEST: Final = 5
MICRO: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A figure: its unit, and whether more of it is better (1) or less (-1)."""

    unit: str
    better: int


METRICS: Final = {
    "print_success": Metric(unit="share", better=1),
    "quality": Metric(unit="points", better=1),
    "cost_per_print": Metric(unit="money", better=-1),
    "filament_waste": Metric(unit="share", better=-1),
    "incidents_per_week": Metric(unit="count", better=-1),
    "estimate_error": Metric(unit="share", better=-1),
}


class Measures:
    """Works figures out."""

    def __init__(self, database: Database, outcomes: Outcomes, clock: Callable[[], float]) -> None:
        """Take the rows, and how finished prints turned out."""
        self._db = database
        self._outcomes = outcomes
        self._clock = clock

    async def baseline(self, goal: Json) -> Json | None:
        """Return the metric of a goal over the time before now; None where it has no metric."""
        if goal["metric"] is None:
            return None
        now = self._clock()
        return await self.measure(goal["metric"], goal["about"], now - WINDOW, now)

    async def measure(self, metric: str, about: Json, start: float, end: float) -> Json:
        """Return ``{"value", "n", "from", "to"}`` of the prints that a goal is about; ``value`` None of too few."""
        value, count = await self._figure(metric, about, start, end)
        known = value if count >= FEWEST else None
        found: Json = {"value": known, "n": count, "from": start, "to": end}
        if metric == "print_success":
            # Counts, so that two times can be compared by how sure the difference is.
            found["failed"] = count - round((value or 0.0) * count)
        return found

    async def _figure(
        self, metric: str, about: Json, start: float, end: float
    ) -> tuple[float | None, int]:
        if metric in {"print_success", "estimate_error"}:
            seen = [
                one
                for one in await self._outcomes.all()
                if start <= one.ended_at < end and _is_about(one, about)
            ]
            return (_success if metric == "print_success" else _estimates)(seen)
        read = {
            "quality": _quality,
            "cost_per_print": _cost,
            "filament_waste": _waste,
            "incidents_per_week": _incidents,
        }[metric]
        return await self._db.read(lambda connection: read(connection, about, start, end))


def compare(metric: str, before: Json, after: Json) -> tuple[float | None, float | None]:
    """Return how much better it is, in the metric's own unit, and, where that can be said, how surely it is.

    None where too little was seen, before or after.
    """
    if before["value"] is None or after["value"] is None:
        return None, None
    score = round((after["value"] - before["value"]) * METRICS[metric].better, 6)
    if metric != "print_success":
        return score, None
    first, second = (Count(failed=one["failed"], of=one["n"]) for one in (before, after))
    rate = (first.failed + second.failed + 1) / (first.of + second.of + 5)
    return score, round(worse(first, second, rate), 3)


def in_words(metric: str, figure: Json) -> str:
    """Return a figure as people read it."""
    value, count = figure["value"], figure["n"]
    if value is None:
        return f"too little seen (n={count})"
    match METRICS[metric].unit:
        case "share":
            return f"{value:.0%} (n={count})"
        case "points":
            return f"{value:.0f} of 100 (n={count})"
        case _:
            return f"{value:.2f} (n={count})"


def _mean(values: Collection[float]) -> float | None:
    """Return the mean, None of nothing; as ``statistics`` does, which takes 0.3 MB."""
    return math.fsum(values) / len(values) if values else None


def _success(seen: Sequence[Outcome]) -> tuple[float | None, int]:
    return _mean([one.good for one in seen]), len(seen)


def _estimates(seen: Sequence[Outcome]) -> tuple[float | None, int]:
    """Return by which share prints took longer or shorter than their slicer had said."""
    off = [abs(one.took / one.estimated - 1) for one in seen if one.took and one.estimated]
    return _mean(off), len(off)


def _quality(
    connection: Connection, about: Json, start: float, end: float
) -> tuple[float | None, int]:
    """Return the mean of what was measured of each print; where both measured, the person is believed."""
    these = {row.id for row in _prints(connection, about, start, end)}
    query = (
        select(reviews.c.job_id, reviews.c.quality)
        .join(jobs, jobs.c.id == reviews.c.job_id)
        .where(_between(start, end))
        # What a person said comes behind what a camera did, and stays.
        .order_by(reviews.c.source.desc())
    )
    found: dict[str, dict[str, float]] = {}
    for job_id, quality in connection.execute(query):
        found.setdefault(job_id, {}).update(quality)
    means = [
        one
        for job_id, quality in found.items()
        if job_id in these and (one := _mean(quality.values())) is not None
    ]
    return _mean(means), len(means)


def _cost(
    connection: Connection, about: Json, start: float, end: float
) -> tuple[float | None, int]:
    rows = _prints(connection, about, start, end)
    known = [row.cost_micro / MICRO for row in rows if row.cost_micro is not None]
    return _mean(known), len(known)


def _waste(
    connection: Connection, about: Json, start: float, end: float
) -> tuple[float | None, int]:
    """Return the share of the filament that went into prints that came to nothing."""
    rows = [row for row in _prints(connection, about, start, end) if row.used_g]
    total = sum(row.used_g for row in rows)
    wasted = sum(row.used_g for row in rows if not row.was_good)
    return (wasted / total if total else None), len(rows)


def _incidents(
    connection: Connection, about: Json, start: float, end: float
) -> tuple[float | None, int]:
    """Return how many incidents a week had, and of how many prints they were."""
    these = {row.id for row in _prints(connection, about, start, end)}
    query = select(incidents.c.job_id).where(
        incidents.c.created_at >= start,
        incidents.c.created_at < end,
        incidents.c.status != "false_alarm",
    )
    seen = [job_id for job_id in connection.execute(query).scalars() if job_id in these]
    return len(seen) / ((end - start) / WEEK), len(these)


def _prints(connection: Connection, about: Json, start: float, end: float) -> Sequence[Any]:
    """Return the prints that ended in that time and that a goal is about."""
    said = and_(reviews.c.job_id == jobs.c.id, reviews.c.source == "person")
    good = func.coalesce(reviews.c.good, jobs.c.status == "completed").label("was_good")
    query = (
        select(jobs, good)
        .outerjoin(reviews, said)
        .where(_between(start, end), jobs.c.started_at.is_not(None))
    )
    return [row for row in connection.execute(query) if _is_about(row, about)]


def _between(start: float, end: float) -> ColumnElement[bool]:
    in_time = and_(jobs.c.completed_at >= start, jobs.c.completed_at < end)
    return and_(jobs.c.status.in_(ENDED), in_time)


def _is_about(one: Any, about: Json) -> bool:
    """Tell whether a print, or its outcome, is one of those that a goal is about."""
    material = about.get("material")
    return (
        about.get("device_id") in {None, one.device_id}
        and about.get("artifact_id") in {None, one.artifact_id}
        and (material is None or (bool(one.material) and normal(material) == normal(one.material)))
    )
