"""Print jobs: one record from the approved command to the outcome that the printer showed."""

from collections.abc import Mapping
import logging
import time
from typing import Any, Final

from sqlalchemy import Connection, insert, select, update

from brain_server.bus import Bus, Event
from brain_server.commands import Caller, Page, Scope, as_page, command
from brain_server.devices import Devices
from brain_server.devices.live import Live
from brain_server.errors import Conflict
from brain_server.observability import Tasks
from brain_server.protocol import Json, Kind, OnlineState
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


class Fabrication:
    """Follows printers and keeps their jobs; nothing here moves a printer."""

    def __init__(self, database: Database, bus: Bus, tasks: Tasks, devices: Devices) -> None:
        """Take the database, the bus, the task keeper and the devices to follow."""
        self._db = database
        self._bus = bus
        self._tasks = tasks
        bus.listen("command.updated", self._on_command)
        devices.registry.listeners.append(self._on_device)
        self._seen: dict[str, tuple[str | None, str | None]] = {}

    def _on_command(self, event: Event) -> None:
        if event.data["intent"] == "print_start" and event.data["status"] == "claimed":
            self._tasks.start(f"job of {event.data['id']}", self._open(event.data))
        elif event.data["intent"] == "print_start" and event.data["status"] == "failed":
            self._tasks.start(f"no job of {event.data['id']}", self._never_began(event.data))

    async def _open(self, started: Json) -> None:
        row: Json = {
            "id": new_id(),
            "device_id": started["device_id"],
            "command_id": started["id"],
            "file": started["params"]["file"],
            "status": "preparing",
            "requested_by": started["requested_by"],
            "created_at": time.time(),
        }
        await self._db.write(lambda connection: connection.execute(insert(jobs).values(row)))
        self._publish(await self._get(row["id"]))

    async def _never_began(self, failed: Json) -> None:
        def find(connection: Connection) -> str | None:
            query = select(jobs.c.id).where(jobs.c.command_id == failed["id"])
            return connection.execute(query).scalar()

        job_id = await self._db.read(find)
        if job_id is not None:
            await self.move(job_id, "failed", error=failed["detail"] or "not started")

    def _on_device(self, live: Live) -> None:
        if live.record.kind is not Kind.PRINTER or live.observed.online is OnlineState.OFFLINE:
            return
        job = live.observed.state.get("job") or {}
        key = (live.observed.state.get("status"), job.get("started_at"))
        if self._seen.get(live.record.id) != key:
            self._seen[live.record.id] = key
            self._tasks.start(
                f"job on {live.record.id}", self._reconcile(live.record.id, live.observed.state)
            )

    async def _reconcile(self, device_id: str, state: Json) -> None:
        """Bring the open job of a printer to what the printer shows; a run that we did not start is recorded, too."""
        status, job = state.get("status"), state.get("job") or {}
        run = job.get("started_at")
        row = await self._db.read(lambda connection: _open_job(connection, device_id))
        if row is None:
            if status in OPEN and run is not None:
                await self._found(device_id, job, str(status))
            return
        if row["run"] is None and run is not None and job.get("file") == row["file"]:
            await self._set(row["id"], run=run, started_at=time.time())
        if status in TRANSITIONS[row["status"]]:
            await self.move(row["id"], str(status), error=job.get("error"))
        elif status in {"idle", "error"} and row["run"] is not None:
            # The printer is free and says nothing of our run: it ended while nobody looked.
            await self.move(row["id"], "failed", error=job.get("error") or "outcome not seen")

    async def _found(self, device_id: str, job: Json, status: str) -> None:
        row: Json = {
            "id": new_id(),
            "device_id": device_id,
            "file": str(job.get("file") or "?"),
            "status": status,
            "run": job["started_at"],
            "created_at": time.time(),
            "started_at": time.time(),
        }
        await self._db.write(lambda connection: connection.execute(insert(jobs).values(row)))
        self._publish(await self._get(row["id"]))

    async def move(self, job_id: str, to: str, *, error: str | None = None) -> None:
        """Take a job to another state; Conflict ``impossible_transition`` for any that is not allowed."""
        sources = [state for state, targets in TRANSITIONS.items() if to in targets]
        values: Json = {"status": to}
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

    @command("jobs.list", Scope.READ, read_only=True)
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


def _open_job(connection: Connection, device_id: str) -> Json | None:
    query = (
        select(jobs)
        .where(jobs.c.device_id == device_id, jobs.c.status.in_(OPEN))
        .order_by(jobs.c.id.desc())
        .limit(1)
    )
    row = connection.execute(query).mappings().first()
    return None if row is None else dict(row)
