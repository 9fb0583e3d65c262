"""Print jobs: one record from the approved command to the outcome that the printer showed."""

import asyncio
import base64
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
import json
import logging
import time
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Connection, Table, and_, insert, or_, select, update

from brain_server.bus import Bus, Event
from brain_server.commands import Caller, Page, Params, Scope, as_page, command
from brain_server.devices import PROJECT, Devices
from brain_server.devices.live import Live, began_since
from brain_server.errors import Conflict, NotFound
from brain_server.fabrication.files import THREE_MF, ArtifactId, Files, plate_of
from brain_server.fabrication.outcomes import UNSEEN
from brain_server.inventory.export import as_csv
from brain_server.observability import Tasks
from brain_server.outbox import tell
from brain_server.protocol import Json, Kind
from brain_server.storage import Database, page_of
from brain_server.storage.tables import (
    conversations,
    jobs,
    new_id,
    print_events,
    queue,
    reviews,
    usage,
)

_LOGGER = logging.getLogger(__name__)

# So many rows fit into one answer; the cursor leads to the rest.
MOST_ROWS: Final = 1000
EXPORT_TYPES: Final = {"csv": "text/csv; charset=utf-8", "json": "application/json"}
OPEN: Final = ("preparing", "printing", "paused")
TRANSITIONS: Final[Mapping[str, frozenset[str]]] = {
    "preparing": frozenset({"printing", "completed", "failed", "aborted"}),
    "printing": frozenset({"paused", "completed", "failed", "aborted"}),
    "paused": frozenset({"printing", "completed", "failed", "aborted"}),
    "completed": frozenset(),
    "failed": frozenset(),
    "aborted": frozenset(),
}

_TOLD: Final = frozenset({"claimed", "acked", "failed"})
# What those outside the house are told of a job.
_SHOWN: Final = ("id", "device_id", "file", "status", "progress", "error", "queue_id", "command_id")

type CommandOf = Callable[[str], Awaitable[Json | None]]


class JobsPage(Page):
    """A part of the list of print jobs."""

    device_id: str | None = None
    status: Literal["preparing", "printing", "paused", "completed", "failed", "aborted"] | None = (
        None
    )
    newest_first: bool = False


class JobId(Params):
    """One print job."""

    job_id: str


class JobsExport(Params):
    """Which jobs to export, and in which form."""

    format: Literal["csv", "json"] = "csv"
    device_id: str | None = None
    cursor: str | None = None


class Jobs:
    """Follows printers and keeps their jobs; nothing here moves a printer."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        tasks: Tasks,
        devices: Devices,
        files: Files,
        *,
        command_of: CommandOf,
    ) -> None:
        """Take the database, the bus, the task keeper, the devices to follow, and who knows files and commands."""
        self._db = database
        self._files = files
        self._command_of = command_of
        self._bus = bus
        self._tasks = tasks
        bus.listen("command.updated", self._on_command)
        self._registry = devices.registry
        devices.registry.listeners.append(self._on_device)
        self._seen: dict[str, tuple[str | None, str | None]] = {}
        # What happens on one printer is taken in the order in which it happened.
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def _on_command(self, event: Event) -> None:
        if event.data["intent"] == "print_start" and event.data["status"] in _TOLD:
            name, taken = f"job of {event.data['id']}", partial(self._of_command, event.data)
            if event.data["status"] == "claimed":  # what is lost of it is made up for by its end
                self._tasks.start(name, taken())
            else:
                self._tasks.keep_up(name, taken)

    async def _of_command(self, command_: Json) -> None:
        device_id = command_["device_id"]
        async with self._locks[device_id]:
            row = await self._db.read(lambda connection: _job_of(connection, command_["id"]))
            if command_["status"] == "claimed" and row is None:
                for old in await self._open_on(device_id):
                    if old["run"] is None:
                        await self.move(old["id"], "failed", error=UNSEEN)
                await self._order(command_)
            elif command_["status"] == "failed" and row is not None and row["status"] in OPEN:
                await self.move(row["id"], "failed", error=command_["detail"] or "not started")
            lost = command_["status"] == "acked" and row is None
            if lost and not await self._db.read(lambda connection: _is_there(connection, command_)):
                await self._order(command_)
        if lost:  # a crash came before its row, and perhaps the print was over before the next life
            with suppress(NotFound):
                state = self._registry.get(device_id).observed.state
                if state.get("status") is not None:
                    await self._take(device_id, state)

    async def _order(self, command_: Json) -> None:
        params = command_["params"]
        printer = self._registry.find(command_["device_id"])
        plate = params.get("plate") or (printer.plate if printer else 1)
        await self._open(
            # No run of it is older than the order, however late its row is written.
            created_at=command_["claimed_at"],
            device_id=command_["device_id"],
            command_id=command_["id"],
            file=params["file"],
            plate=plate if params["file"].lower().endswith(PROJECT) else None,
            status="preparing",
            requested_by=command_["requested_by"],
            conversation_id=command_["conversation_id"],
        )

    async def _open(self, **columns: Any) -> None:
        row: Json = {"id": new_id(), "created_at": time.time()} | columns
        artifact = await self._files.artifact_of(row["device_id"], row["file"])
        if artifact is not None:
            row |= _foretold(artifact, row.get("plate"))

        def work(connection: Connection) -> Json:
            connection.execute(insert(jobs).values(row))
            return _tell(connection, row["id"])

        self._publish(await self._db.write(work))

    def _on_device(self, live: Live) -> None:
        state = live.observed.state
        if live.record.kind is not Kind.PRINTER or state.get("status") is None:
            return
        key = (state["status"], (state.get("job") or {}).get("started_at"))
        if self._seen.get(live.record.id) != key:
            self._seen[live.record.id] = key
            self._tasks.start(f"job on {live.record.id}", self._take(live.record.id, state))

    async def _take(self, device_id: str, state: Json) -> None:
        try:
            await self._reconcile(device_id, state)
        except BaseException:
            # What could not be written is looked at again with the next word of the printer.
            self._seen.pop(device_id, None)
            raise

    async def _reconcile(self, device_id: str, state: Json) -> None:
        """Bring the open jobs of a printer to what it shows; a run that we did not start is recorded, too."""
        async with self._locks[device_id]:
            status, job = state["status"], state.get("job") or {}
            rows = await self._open_on(device_id)
            ours = next((row for row in rows if _is_of(row, job, status)), None)
            for row in rows:
                if row is not ours and row["run"] is not None:
                    # The printer is free, or busy with another run: this one ended while nobody looked.
                    await self.move(row["id"], "failed", error=UNSEEN)
            if ours is not None:
                await self._follow(ours, status, job)
                return
            waiting = any(row["run"] is None for row in rows)
            if not waiting and status in OPEN and job.get("started_at") is not None:
                await self._open(
                    device_id=device_id,
                    file=str(job.get("file") or "?")[:255],
                    status=status,
                    run=job["started_at"],
                    started_at=time.time(),
                )

    async def _open_on(self, device_id: str) -> list[Json]:
        """Return the open jobs of a printer, those first whose run is known."""
        query = (
            select(jobs)
            .where(jobs.c.device_id == device_id, jobs.c.status.in_(OPEN))
            .order_by(jobs.c.run.is_(None), jobs.c.id)
        )
        return await self._db.read(
            lambda connection: [dict(row) for row in connection.execute(query).mappings()]
        )

    async def _follow(self, row: Json, status: str, job: Json) -> None:
        if row["run"] is None:
            await self._set(row["id"], run=job["started_at"], started_at=time.time())
        error = job.get("error")
        if status == "idle":  # at rest it does not say how the run ended
            error = error or UNSEEN
        if status in {"idle", "error"}:
            status = "failed"
        if status in TRANSITIONS[row["status"]]:
            await self.move(row["id"], status, error=error, progress=job.get("progress"))

    async def move(
        self, job_id: str, to: str, *, error: str | None = None, progress: float | None = None
    ) -> None:
        """Take a job to another state; Conflict ``impossible_transition`` for any that is not allowed."""
        sources = [state for state, targets in TRANSITIONS.items() if to in targets]
        values: Json = {"status": to, "progress": progress}
        if to not in OPEN:
            values |= {"completed_at": time.time(), "error": error[:255] if error else None}

        def work(connection: Connection) -> Json | None:
            moved = connection.execute(
                update(jobs).where(jobs.c.id == job_id, jobs.c.status.in_(sources)).values(values)
            )
            return _tell(connection, job_id) if moved.rowcount == 1 else None

        row = await self._db.write(work)
        if row is None:
            raise Conflict("impossible_transition", f"This job cannot become {to}", to=to)
        self._publish(row)

    async def _set(self, job_id: str, **values: Any) -> None:
        await self._db.write(
            lambda connection: connection.execute(
                update(jobs).where(jobs.c.id == job_id).values(values)
            )
        )

    async def tie(self, job_id: str, queue_id: str) -> None:
        """Note which item of the queue a job is."""
        await self._set(job_id, queue_id=queue_id)

    def _publish(self, row: Json) -> None:
        self._bus.publish("job.updated", row)

    async def open_jobs(self) -> list[Json]:
        """Return the jobs that are not over."""
        return await self._db.read(
            lambda connection: [
                dict(row)
                for row in connection.execute(
                    select(jobs).where(jobs.c.status.in_(OPEN)).order_by(jobs.c.id)
                ).mappings()
            ]
        )

    @command(
        "jobs.list",
        Scope.READ,
        read_only=True,
        tool="List print jobs: file, printer, progress and how they ended.",
    )
    async def list(self, _caller: Caller, params: JobsPage) -> Json:
        """List print jobs, oldest first unless the newest are wanted first."""
        query = page_of(select(jobs), jobs.c.id, params, newest_first=params.newest_first)
        for name in ("device_id", "status"):
            if (value := getattr(params, name)) is not None:
                query = query.where(jobs.c[name] == value)
        rows = await self._db.read(
            lambda connection: [dict(row) for row in connection.execute(query).mappings()]
        )
        return as_page(rows, params)

    @command(
        "jobs.get",
        Scope.READ,
        read_only=True,
        tool="Tell all about one print: who asked for it and where, its file, what was seen, how it turned out.",
    )
    async def get(self, caller: Caller, params: JobId) -> Json:
        """Return one job with all that led to it and came of it."""
        job = await self.one(params.job_id)
        found: Json = await self._db.read(lambda connection: _lineage(connection, job))
        ordered = job["command_id"] and await self._command_of(job["command_id"])
        artifact = None
        if job["artifact_id"] is not None:
            with suppress(NotFound):  # removed long ago
                about = ArtifactId(artifact_id=job["artifact_id"])
                artifact = await self._files.get(caller, about)
        return {"job": job, "command": ordered or None, "artifact": artifact} | found

    @command("jobs.export", Scope.READ, read_only=True)
    async def export(self, _caller: Caller, params: JobsExport) -> Json:
        """Return print jobs as a CSV or JSON file, oldest first; at most so many as fit into one answer."""
        query = select(jobs).order_by(jobs.c.id).limit(MOST_ROWS + 1)
        if params.device_id is not None:
            query = query.where(jobs.c.device_id == params.device_id)
        if params.cursor is not None:
            query = query.where(jobs.c.id > params.cursor)
        found = await self._db.read(
            lambda connection: [dict(row) for row in connection.execute(query).mappings()]
        )
        part = found[:MOST_ROWS]
        text = as_csv(part) if params.format == "csv" else json.dumps(part, ensure_ascii=False)
        return {
            "name": f"jobs.{params.format}",
            "content_type": EXPORT_TYPES[params.format],
            "data": base64.b64encode(text.encode()).decode(),
            "rows": len(part),
            "cursor": part[-1]["id"] if len(found) > MOST_ROWS else None,
        }

    async def one(self, job_id: str) -> Json:
        """Return one job; NotFound ``job_not_found``."""
        query = select(jobs).where(jobs.c.id == job_id)
        row = await self._db.read(lambda connection: connection.execute(query).mappings().first())
        if row is None:
            raise NotFound("job_not_found", "There is no such print job")
        return dict(row)


def _tell(connection: Connection, job_id: str) -> Json:
    """Tell others what became of a job, and return it."""
    row = connection.execute(select(jobs).where(jobs.c.id == job_id)).mappings().one()
    data = {name: row[name] for name in _SHOWN}
    tell(connection, time.time(), "job", job_id, row["status"], data)
    return dict(row)


def _foretold(artifact: Json, plate: int | None) -> Json:
    """Return what the slicer foretold of a job; little, where nobody knows which plate it is."""
    facts: Json | None = artifact["facts"]
    if artifact["kind"] == THREE_MF and (plate is not None or artifact["facts"]["plates"] > 1):
        facts = plate_of(artifact["facts"], plate) if plate is not None else None
    if facts is None:
        return {"artifact_id": artifact["id"]}
    return {
        "artifact_id": artifact["id"],
        "material": facts["material"],
        "hazardous": facts["hazardous"],
        "estimated_s": facts["estimated_s"],
        "estimated_g": facts["grams"],
    }


def _lineage(connection: Connection, job: Json) -> Json:
    """Return what belongs to a job in the other tables."""

    def rows(table: Table, where: ColumnElement[bool]) -> Sequence[Json]:
        found = connection.execute(select(table).where(where).order_by(table.c.id))
        return [dict(row) for row in found.mappings()]

    of_queue = or_(
        queue.c.job_id == job["id"],
        queue.c.id == job["queue_id"],
        and_(queue.c.command_id.is_not(None), queue.c.command_id == job["command_id"]),
    )
    return {
        "conversation": next(
            iter(rows(conversations, conversations.c.id == job["conversation_id"])), None
        ),
        "queue": next(iter(rows(queue, of_queue)), None),
        "events": rows(print_events, print_events.c.job_id == job["id"]),
        "reviews": rows(reviews, reviews.c.job_id == job["id"]),
        "usage": [
            {name: row[name] for name in ("spool_id", "grams", "source", "at")}
            | {"cost": None if row["cost_micro"] is None else row["cost_micro"] / 1e6}
            for row in rows(usage, usage.c.job_id == job["id"])
        ],
    }


def _is_of(row: Json, job: Json, status: str) -> bool:
    """Tell whether the run that a printer shows is the one of this job."""
    run = job.get("started_at")
    if row["run"] is not None or run is None:
        return run is not None and bool(row["run"] == run)
    # Of the same file, and not the run before: one that goes on, or that began after it was ordered.
    return job.get("file") == row["file"] and (
        status in OPEN or began_since(job, row["created_at"])
    )


def _is_there(connection: Connection, command_: Json) -> bool:
    """Tell whether the run of an order was recorded as nobody's."""
    same = select(jobs.c.id).where(
        jobs.c.device_id == command_["device_id"],
        jobs.c.file == command_["params"]["file"],
        jobs.c.command_id.is_(None),
        jobs.c.created_at >= command_["claimed_at"],
    )
    return connection.execute(same).first() is not None


def _job_of(connection: Connection, command_id: str) -> Json | None:
    row = connection.execute(select(jobs).where(jobs.c.command_id == command_id)).mappings().first()
    return None if row is None else dict(row)
