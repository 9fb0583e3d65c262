"""Print jobs: one record from the approved command to the outcome that the printer showed."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
import logging
import time
from typing import Any, Final

from sqlalchemy import Connection, insert, select, update

from brain_server.bus import Bus, Event
from brain_server.commands import Caller, Page, Scope, as_page, command
from brain_server.devices import Devices
from brain_server.devices.live import Live, began_since
from brain_server.errors import Conflict
from brain_server.observability import Tasks
from brain_server.protocol import Json, Kind
from brain_server.storage import Database
from brain_server.storage.tables import jobs, new_id

_LOGGER = logging.getLogger(__name__)

OPEN: Final = ("preparing", "printing", "paused")
TRANSITIONS: Final[Mapping[str, frozenset[str]]] = {
    "preparing": frozenset({"printing", "completed", "failed", "aborted"}),
    "printing": frozenset({"paused", "completed", "failed", "aborted"}),
    "paused": frozenset({"printing", "completed", "failed", "aborted"}),
    "completed": frozenset(),
    "failed": frozenset(),
    "aborted": frozenset(),
}


class JobsPage(Page):
    """A part of the list of print jobs."""

    device_id: str | None = None


class Jobs:
    """Follows printers and keeps their jobs; nothing here moves a printer."""

    def __init__(self, database: Database, bus: Bus, tasks: Tasks, devices: Devices) -> None:
        """Take the database, the bus, the task keeper and the devices to follow."""
        self._db = database
        self._bus = bus
        self._tasks = tasks
        bus.listen("command.updated", self._on_command)
        devices.registry.listeners.append(self._on_device)
        self._seen: dict[str, tuple[str | None, str | None]] = {}
        # What happens on one printer is taken in the order in which it happened.
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def _on_command(self, event: Event) -> None:
        if event.data["intent"] == "print_start" and event.data["status"] in {"claimed", "failed"}:
            self._tasks.start(f"job of {event.data['id']}", self._of_command(event.data))

    async def _of_command(self, command_: Json) -> None:
        device_id = command_["device_id"]
        async with self._locks[device_id]:
            row = await self._db.read(lambda connection: _job_of(connection, command_["id"]))
            if command_["status"] == "claimed" and row is None:
                for old in await self._open_on(device_id):
                    if old["run"] is None:
                        await self.move(old["id"], "failed", error="outcome not seen")
                await self._open(
                    device_id=device_id,
                    command_id=command_["id"],
                    file=command_["params"]["file"],
                    status="preparing",
                    requested_by=command_["requested_by"],
                )
            elif command_["status"] == "failed" and row is not None and row["status"] in OPEN:
                await self.move(row["id"], "failed", error=command_["detail"] or "not started")

    async def _open(self, **columns: Any) -> None:
        row: Json = {"id": new_id(), "created_at": time.time()} | columns
        await self._db.write(lambda connection: connection.execute(insert(jobs).values(row)))
        self._publish(await self._get(row["id"]))

    def _on_device(self, live: Live) -> None:
        state = live.observed.state
        if live.record.kind is not Kind.PRINTER or state.get("status") is None:
            return
        key = (state["status"], (state.get("job") or {}).get("started_at"))
        if self._seen.get(live.record.id) != key:
            self._seen[live.record.id] = key
            self._tasks.start(f"job on {live.record.id}", self._reconcile(live.record.id, state))

    async def _reconcile(self, device_id: str, state: Json) -> None:
        """Bring the open jobs of a printer to what it shows; a run that we did not start is recorded, too."""
        async with self._locks[device_id]:
            status, job = state["status"], state.get("job") or {}
            rows = await self._open_on(device_id)
            ours = next((row for row in rows if _is_of(row, job, status)), None)
            for row in rows:
                if row is not ours and row["run"] is not None:
                    # The printer is free, or busy with another run: this one ended while nobody looked.
                    await self.move(row["id"], "failed", error="outcome not seen")
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
        if status in {"idle", "error"}:
            status = "failed"
        if status in TRANSITIONS[row["status"]]:
            await self.move(row["id"], status, error=job.get("error"), progress=job.get("progress"))

    async def move(
        self, job_id: str, to: str, *, error: str | None = None, progress: float | None = None
    ) -> None:
        """Take a job to another state; Conflict ``impossible_transition`` for any that is not allowed."""
        sources = [state for state, targets in TRANSITIONS.items() if to in targets]
        values: Json = {"status": to, "progress": progress}
        if to not in OPEN:
            values |= {"completed_at": time.time(), "error": error[:255] if error else None}
        done = await self._db.write(
            lambda connection: (
                connection.execute(
                    update(jobs)
                    .where(jobs.c.id == job_id, jobs.c.status.in_(sources))
                    .values(values)
                ).rowcount
            )
        )
        if done != 1:
            raise Conflict("impossible_transition", f"This job cannot become {to}", to=to)
        self._publish(await self._get(job_id))

    async def _set(self, job_id: str, **values: Any) -> None:
        await self._db.write(
            lambda connection: connection.execute(
                update(jobs).where(jobs.c.id == job_id).values(values)
            )
        )

    async def _get(self, job_id: str) -> Json:
        return await self._db.read(
            lambda connection: dict(
                connection.execute(select(jobs).where(jobs.c.id == job_id)).mappings().one()
            )
        )

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
        tool="List print jobs, oldest first: file, printer, progress and how they ended.",
    )
    async def list(self, _caller: Caller, params: JobsPage) -> Json:
        """List print jobs, oldest first."""
        query = select(jobs).order_by(jobs.c.id).limit(params.limit + 1)
        if params.device_id is not None:
            query = query.where(jobs.c.device_id == params.device_id)
        if params.cursor is not None:
            query = query.where(jobs.c.id > params.cursor)
        rows = await self._db.read(
            lambda connection: [dict(row) for row in connection.execute(query).mappings()]
        )
        return as_page(rows, params)


def _is_of(row: Json, job: Json, status: str) -> bool:
    """Tell whether the run that a printer shows is the one of this job."""
    run = job.get("started_at")
    if row["run"] is not None or run is None:
        return run is not None and bool(row["run"] == run)
    # Of the same file, and not the run before: one that goes on, or that began after it was ordered.
    return job.get("file") == row["file"] and (
        status in OPEN or began_since(job, row["created_at"])
    )


def _job_of(connection: Connection, command_id: str) -> Json | None:
    row = connection.execute(select(jobs).where(jobs.c.command_id == command_id)).mappings().first()
    return None if row is None else dict(row)
