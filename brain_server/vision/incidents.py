"""Incidents: one row for one thing that went wrong with one print, however often it was seen."""

import asyncio
from collections.abc import Callable
import logging
from typing import Any, Final

from sqlalchemy import insert, select, update

from brain_server.errors import NotFound, Unavailable
from brain_server.protocol import Json
from brain_server.storage import Database, page_of
from brain_server.storage.tables import incidents, new_id
from brain_server.vision.params import IncidentsPage

_LOGGER = logging.getLogger(__name__)

# A confirmed one is known, and goes on being counted until its print ends.
LIVE: Final = ("open", "confirmed")
FIGURES_S: Final = 60.0
CHANGING: Final = (
    "status",
    "action",
    "detail",
    "answered_by",
    "confidence",
    "seen",
    "seen_at",
    "closed_at",
)


class Incidents:
    """Writes and publishes incidents: at once when one opens or is answered, its figures once a minute."""

    def __init__(
        self,
        database: Database,
        publish: Callable[[str, Json], Any],
        clock: Callable[[], float],
    ) -> None:
        """Take the database, how to publish, and the clock."""
        self._db = database
        self._publish = publish
        self._clock = clock
        # Those that can still be seen again, by camera and print, as they are counted.
        self._live: dict[tuple[str, str], Json] = {}
        self._written: dict[str, float] = {}
        # One change after the other: what is kept last is what is known last.
        self._changing = asyncio.Lock()

    async def load(self, open_jobs: set[str]) -> None:
        """Take up what was live when the process ended; what belongs to an ended print is over."""
        live = (incidents.c.status.in_(LIVE), incidents.c.closed_at.is_(None))
        for row in await self._rows(select(incidents).where(*live)):
            self._live[row["device_id"], row["job_id"]] = row
            self._written[row["id"]] = row["seen_at"]
        for job_id in {row["job_id"] for row in self._live.values()} - open_jobs:
            await self.end(job_id)

    def of(self, device_id: str, job_id: str) -> Json | None:
        """Return the live incident of a print before a camera."""
        return self._live.get((device_id, job_id))

    def live(self) -> list[Json]:
        """Return those that are not over, for a client that has just come."""
        return sorted(self._live.values(), key=lambda row: row["id"])

    async def open(self, **columns: Any) -> Json:
        """Store a new incident; it is published by :meth:`tell`, when what is done about it is known."""
        now = self._clock()
        row: Json = {
            "id": new_id(),
            "status": "open",
            "answered_by": None,
            "seen": 1,
            "created_at": now,
            "seen_at": now,
            "closed_at": None,
        } | columns
        await self._db.write(lambda connection: connection.execute(insert(incidents).values(row)))
        self._live[row["device_id"], row["job_id"]] = row
        self._written[row["id"]] = now
        return row

    def tell(self, row: Json) -> None:
        """Publish an incident."""
        self._publish("incident.updated", dict(row))

    async def note(self, row: Json, confidence: float) -> None:
        """Count that it was seen once more."""
        now = self._clock()
        row["seen"] += 1
        row["seen_at"] = now
        row["confidence"] = max(row["confidence"], confidence)
        if now - self._written[row["id"]] >= FIGURES_S:
            async with self._changing:
                await self._write(row)
            self.tell(row)

    async def change(self, row: Json, **values: Any) -> None:
        """Note what became of it, without telling; where the database is busy, it is kept with the next change."""
        row |= values
        try:
            async with self._changing:
                await self._write(row)
        except Unavailable as err:
            _LOGGER.warning("What became of an incident cannot be written now: %s", err.code)

    async def answer(self, incident_id: str, verdict: str, user_id: str | None) -> Json:
        """Take a person's word, also after the print; NotFound ``incident_not_found``.

        A false alarm is closed, so that the next one is another incident.
        """
        async with self._changing:
            row = await self.get(incident_id)
            live = self._live.get((row["device_id"], row["job_id"]))
            if live is not None and live["id"] == incident_id:
                row = live
            answer: Json = {"status": verdict, "answered_by": user_id}
            if verdict == "false_alarm":
                answer["closed_at"] = row["closed_at"] or self._clock()
            await self._write(row | answer)
            row |= answer
            if verdict == "false_alarm" and row is live:
                self._forget(row)
            self.tell(row)
        return row

    async def end(self, job_id: str) -> None:
        """Close what is live of a print that has ended: open ones are over, confirmed ones stay so."""
        async with self._changing:
            for row in [row for row in self._live.values() if row["job_id"] == job_id]:
                status = "over" if row["status"] == "open" else row["status"]
                ended = {"status": status, "closed_at": self._clock()}
                await self._write(row | ended)
                row.update(ended)
                self._forget(row)
                self.tell(row)

    async def get(self, incident_id: str) -> Json:
        """Return one; NotFound ``incident_not_found``."""
        found = await self._rows(select(incidents).where(incidents.c.id == incident_id))
        if not found:
            raise NotFound("incident_not_found", "There is no such incident")
        return found[0]

    async def page(self, page: IncidentsPage) -> list[Json]:
        """Return the rows that are wanted, and one more."""
        query = page_of(select(incidents), incidents.c.id, page, newest_first=page.newest_first)
        for name in ("status", "device_id", "job_id"):
            if (value := getattr(page, name)) is not None:
                query = query.where(incidents.c[name] == value)
        return await self._rows(query)

    def _forget(self, row: Json) -> None:
        self._live.pop((row["device_id"], row["job_id"]), None)
        self._written.pop(row["id"], None)

    async def _write(self, row: Json) -> None:
        values = {name: row[name] for name in CHANGING}
        query = update(incidents).where(incidents.c.id == row["id"]).values(values)
        await self._db.write(lambda connection: connection.execute(query))
        if row["id"] in self._written:
            self._written[row["id"]] = self._clock()

    async def _rows(self, query: Any) -> list[Json]:
        return await self._db.read(
            lambda connection: [dict(row) for row in connection.execute(query).mappings()]
        )
