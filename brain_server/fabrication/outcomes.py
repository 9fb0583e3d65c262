"""Outcomes: which finished prints are evidence, and of what; the one reading that prediction and advice share.

The outcome of a print is what a person said of it; while nobody did, what the printer showed. A print that
was stopped, never began, or ended while nobody looked is no evidence until a person says what became of it.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, and_, select

from brain_server.bus import Bus, Event
from brain_server.inventory.materials import normal
from brain_server.storage import Database
from brain_server.storage.tables import jobs, reviews

# How old an outcome may be to count, and how many of the newest are looked at.
EVIDENCE: Final = 365 * 86_400.0
MOST: Final = 20_000
# Another brain on the same database may have written: after so long everything is read once more.
REREAD: Final = 3600.0
ENDED: Final = ("completed", "failed", "aborted")
UNSEEN: Final = "outcome not seen"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One print that counts: what it was, and whether it turned out well."""

    job_id: str
    device_id: str
    material: str | None
    artifact_id: str | None
    file: str
    good: bool
    reasons: tuple[str, ...]
    ended_at: float
    # Seconds that it took, and that the slicer had promised; only of prints that came to their end.
    took: float | None
    estimated: float | None


class Outcomes:
    """Reads the outcomes of the last year once, then only the prints that changed."""

    def __init__(self, database: Database, bus: Bus, clock: Callable[[], float]) -> None:
        """Take the database, the bus that tells of changes, and a clock of POSIX seconds."""
        self._db = database
        self._clock = clock
        self._kept: dict[str, Outcome] = {}
        self._changed: set[str] = set()
        self._read_at: float | None = None
        # Whoever asks while somebody reads waits for what is read.
        self._reading = asyncio.Lock()
        # Counts changes, so that what was made from outcomes knows when it is out of date.
        self.version = 0
        bus.listen("job.updated", self._on_job)
        bus.listen("review.updated", self._on_review)

    def _on_job(self, event: Event) -> None:
        if event.data["status"] in ENDED:
            self._changed.add(event.data["id"])

    def _on_review(self, event: Event) -> None:
        if event.data["status"] == "done":
            self._changed.add(event.data["job_id"])

    async def all(self) -> Sequence[Outcome]:
        """Return what counts now, oldest first."""
        async with self._reading:
            now = self._clock()
            if self._read_at is None or now - self._read_at > REREAD:
                self._changed.clear()
                self._kept = {one.job_id: one for one in await self._read(now)}
                self._read_at = now
                self.version += 1
            elif self._changed:
                await self._read_changed(now)
            return list(self._kept.values())

    async def _read_changed(self, now: float) -> None:
        changed, self._changed = self._changed, set()
        try:
            found = {one.job_id: one for one in await self._read(now, changed)}
        except BaseException:
            self._changed |= changed
            raise
        kept = {key: one for key, one in self._kept.items() if key not in changed}
        self._kept = dict(sorted((kept | found).items()))
        self.version += 1

    async def _read(self, now: float, only: set[str] | None = None) -> list[Outcome]:
        said = and_(reviews.c.job_id == jobs.c.id, reviews.c.source == "person")
        query = (
            select(jobs, reviews.c.good, reviews.c.reasons)
            .join(reviews, said, isouter=True)
            .where(jobs.c.status.in_(ENDED), jobs.c.completed_at > now - EVIDENCE)
            .order_by(jobs.c.id.desc())
            .limit(MOST)
        )
        if only is not None:
            query = query.where(jobs.c.id.in_(only))

        def work(connection: Connection) -> list[Outcome]:
            rows = connection.execute(query).mappings()
            return [one for row in rows if (one := _outcome(row)) is not None]

        return (await self._db.read(work))[::-1]


def _outcome(row: Any) -> Outcome | None:
    """Return what a finished job proves, None where it proves nothing."""
    good = row["good"]
    if good is None:
        if row["status"] == "aborted" or row["started_at"] is None or row["error"] == UNSEEN:
            return None
        good = row["status"] == "completed"
    whole = row["status"] == "completed" and row["started_at"] is not None
    return Outcome(
        job_id=row["id"],
        device_id=row["device_id"],
        material=normal(row["material"]) if row["material"] else None,
        artifact_id=row["artifact_id"],
        file=row["file"],
        good=good,
        reasons=tuple(row["reasons"] or ()),
        ended_at=row["completed_at"],
        took=row["completed_at"] - row["started_at"] if whole else None,
        estimated=row["estimated_s"],
    )
