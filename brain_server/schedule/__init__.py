"""What comes again by itself, and runs once for each time, however many brains there are and however often they die.

A time that was slept through is made up for once, as soon as there is somebody awake again; the others of it
are dropped. When the clock is put back, no time comes twice: each is a piece of work with the time as its key.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
import logging
from typing import Annotated, Any, Final

import msgspec
from sqlalchemy import Connection, and_, select, update

from brain_server.bus import Bus
from brain_server.commands import Caller, NoParams, Params, Scope, command
from brain_server.errors import KittyError, NotFound
from brain_server.observability import Tasks, checkpoint
from brain_server.protocol import Json
from brain_server.retry import backoff
from brain_server.schedule.commands import WorkCommands
from brain_server.schedule.queue import LEASE, OPEN, Rows, put
from brain_server.schedule.timing import Timing, parse
from brain_server.schedule.worker import MOST_PAUSE, Kind, Later, Run, Worker
from brain_server.storage import Database, insert_new
from brain_server.storage.tables import schedule, work

__all__ = ["Kind", "Later", "Run", "Schedule", "put"]

_LOGGER = logging.getLogger(__name__)

LOOK_EVERY: Final = 1.0
LATE_EVERY: Final = 30.0
TIDY_EVERY: Final = 3600.0
_DAY: Final = 86_400.0
OVER_KEPT: Final = 30 * _DAY
DEAD_KEPT: Final = 90 * _DAY
# What no version that runs here knows is given up after this time.
STRANGE_KEPT: Final = _DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Work that comes again."""

    name: str
    kind: str
    timing: str
    payload: Json
    # How late it may be before somebody is told.
    grace: float
    priority: int


class JobName(Params):
    """One of the jobs."""

    name: Annotated[str, msgspec.Meta(max_length=64)]


class ChangeJob(JobName, kw_only=True):
    """When a job comes, and whether it does; what is left out stays as it is."""

    timing: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    enabled: bool | None = None


class Schedule:
    """The times of the jobs, and the work they make."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        tasks: Tasks,
        clock: Callable[[], float],
        *,
        owner: str,
        lease: float = LEASE,
        look_every: float = LOOK_EVERY,
    ) -> None:
        """``owner`` names this process among those that share the database."""
        self._db = database
        self._bus = bus
        self._tasks = tasks
        self._clock = clock
        self._look_every = look_every
        self._jobs: dict[str, Job] = {}
        self._wake = asyncio.Event()
        self._taking: list[asyncio.Task[None]] = []
        # The jobs that were overdue when it was last looked.
        self._late: set[str] = set()
        self._showing = asyncio.Lock()
        self._rows = Rows(database, clock, owner, lease=lease)
        self.worker = Worker(self._rows, bus, tasks, clock, idle=look_every)
        self.work = WorkCommands(database, self._rows, self.worker, bus)
        bus.listen("work.updated", self._on_work)

    def every(
        self,
        name: str,
        timing: str,
        *,
        kind: str | None = None,
        payload: Json | None = None,
        grace: float = 3600.0,
        priority: int = 5,
    ) -> None:
        """Let a job come again; a person may change its timing, and what he chose stays."""
        parse(timing)
        self._jobs[name] = Job(
            name=name,
            kind=kind or name,
            timing=timing,
            payload=payload or {},
            grace=grace,
            priority=priority,
        )

    async def add(self, kind: str, payload: Json, **given: Any) -> str:
        """Add a piece of work, as :func:`put` does, and begin with it; returns its id."""
        now = self._clock()
        identity = await self._db.write(
            lambda connection: put(connection, now, kind, payload, **given)
        )
        self.worker.wake()
        return identity

    async def start(self, *, alone: bool) -> None:
        """Take up the times and the work that were left; ``alone``: nobody else can hold any of it."""
        if alone:
            await self._rows.free_all()
        await self._db.write(self._enter)
        self._taking = [
            self._tasks.keep_up("schedule", self._run),
            self._tasks.keep_up("work", self.worker.run),
        ]
        self._tasks.keep_up("leases", self.worker.hold)

    async def stop(self) -> None:
        """Let nothing more come, and put back what is under way."""
        for task in self._taking:
            task.cancel()
        await asyncio.gather(*self._taking, return_exceptions=True)
        await self.worker.stop()

    async def tidy(self) -> None:
        """Forget work that has long been over."""
        now = self._clock()
        await self._rows.tidy(
            self.worker.known,
            over=now - OVER_KEPT,
            dead=now - DEAD_KEPT,
            strange=now - STRANGE_KEPT,
        )

    async def health(self) -> str | None:
        """Name the jobs that should have run and did not."""
        late = [row["name"] for row in await self.jobs() if row["overdue"]]
        return f"Overdue: {', '.join(late)}" if late else None

    async def jobs(self) -> list[Json]:
        """Return each job with its times and its last run."""
        return await self._db.read(self._view)

    # -- commands -------------------------------------------------------------------------------------

    @command("schedule.list", Scope.READ, read_only=True)
    async def listed(self, caller: Caller, params: NoParams) -> Json:  # noqa: ARG002 - the form of a command
        """List the jobs that come again, when they come next, and how the last run ended."""
        return {"items": await self.jobs()}

    @command("schedule.run", Scope.CONTROL, accepts=True)
    async def run_now(self, caller: Caller, params: JobName) -> Json:
        """Run a job now; while it waits or runs already, that run is the one."""
        job = self._job(params.name)
        now = self._clock()

        def run(connection: Connection) -> str:
            known = connection.execute(
                select(work.c.id)
                .join(schedule, schedule.c.work_id == work.c.id)
                .where(schedule.c.name == job.name, work.c.status.in_(OPEN))
            ).scalar()
            if known is not None:
                return str(known)
            payload = job.payload | {"due": now, "asked": True}
            by = caller.user_id
            made = put(connection, now, job.kind, payload, priority=10, requested_by=by)
            self._update(connection, job.name, work_id=made)
            return made

        made = await self._db.write(run)
        self.worker.wake()
        await self._show(lambda row: row["name"] == job.name)
        return {"name": job.name, "work_id": made, "status": "pending"}

    @command("schedule.change", Scope.ADMIN)
    async def change(self, caller: Caller, params: ChangeJob) -> Json:  # noqa: ARG002 - the form of a command
        """Change when a job comes, or whether it does."""
        job = self._job(params.name)
        if params.timing is not None:
            await asyncio.to_thread(parse, params.timing)  # a zone is a file
        now = self._clock()

        def run(connection: Connection) -> None:
            row = self._row(connection, job.name)
            timing = params.timing or row["timing"]
            enabled = row["enabled"] if params.enabled is None else params.enabled
            next_at = parse(timing).after(now) if enabled else None
            self._update(
                connection,
                job.name,
                timing=timing,
                enabled=enabled,
                is_set=True,
                next_at=next_at,
            )

        await self._db.write(run)
        self._wake.set()
        rows = await self._show(lambda row: row["name"] == job.name)
        return next(row for row in rows if row["name"] == job.name)

    # -- the times ------------------------------------------------------------------------------------

    async def _run(self) -> None:
        waits = backoff(self._look_every, MOST_PAUSE)
        tidied = looked = self._clock()
        while True:
            try:
                await self._look()
                if abs(self._clock() - looked) > LATE_EVERY:
                    looked = self._clock()
                    await self._look_for_late()
                if abs(self._clock() - tidied) > TIDY_EVERY:
                    tidied = self._clock()
                    await self.tidy()
            except KittyError as err:
                _LOGGER.warning("The schedule waits: %s", err.message)
                await asyncio.sleep(next(waits))
                continue
            waits = backoff(self._look_every, MOST_PAUSE)
            try:
                async with asyncio.timeout(self._look_every):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()

    async def _look(self) -> None:
        """Let come what is due, all of it in one transaction."""
        known = and_(schedule.c.enabled, schedule.c.name.in_(self._jobs))
        query = select(schedule.c.name, schedule.c.timing, schedule.c.next_at).where(known)
        rows = await self._db.read(
            lambda connection: [
                (row.name, parse(row.timing), row.next_at) for row in connection.execute(query)
            ]
        )
        # Read after the rows: seen from before, what another brain has just moved would be too far away.
        now = self._clock()
        # A time further away than the next was worked out while the clock was ahead.
        if any(at <= now or timing.after(now) < at for _, timing, at in rows):
            came = await self._db.write(lambda connection: self._come(connection, rows, now))
            checkpoint("tick")
            if came:
                self.worker.wake()
                await self._show(lambda row: row["name"] in came)

    async def _look_for_late(self) -> None:
        """Show the jobs anew that have become overdue, or no longer are."""
        rows = await self._show(lambda row: row["overdue"] is not (row["name"] in self._late))
        self._late = {row["name"] for row in rows if row["overdue"]}

    def _come(
        self, connection: Connection, rows: list[tuple[str, Timing, float]], now: float
    ) -> set[str]:
        """Make the work of each time that has come, move the jobs to their next, and return their names."""
        came = set()
        for name, timing, at in rows:
            next_at = timing.after(now)
            due = at <= now
            if not (due or next_at < at) or not self._move_in(connection, name, at, next_at):
                continue
            if due:
                job = self._jobs[name]
                payload = job.payload | {"due": at, "late": round(now - at, 1)}
                key = f"{name}@{_text(at)}"
                made = put(connection, now, job.kind, payload, key=key, priority=job.priority)
                self._update(connection, name, last_at=at, work_id=made)
                came.add(name)
        return came

    @staticmethod
    def _move_in(connection: Connection, name: str, from_: float, to: float) -> bool:
        this = and_(schedule.c.name == name, schedule.c.next_at == from_, schedule.c.enabled)
        moved = connection.execute(update(schedule).where(this).values(next_at=to))
        return moved.rowcount == 1

    def _enter(self, connection: Connection) -> None:
        """Note jobs that are new, and the new timing of those that no person has set."""
        now = self._clock()
        known = {row["name"]: row for row in connection.execute(select(schedule)).mappings()}
        for job in self._jobs.values():
            row = known.get(job.name)
            next_at = parse(job.timing).after(now)
            if row is None:
                values = {"name": job.name, "timing": job.timing, "next_at": next_at}
                insert_new(connection, schedule, values)
            elif not row["is_set"] and row["timing"] != job.timing:
                self._update(connection, job.name, timing=job.timing, next_at=next_at)

    @staticmethod
    def _update(connection: Connection, name: str, **values: Any) -> None:
        connection.execute(update(schedule).where(schedule.c.name == name).values(values))

    # -- showing --------------------------------------------------------------------------------------

    def _view(self, connection: Connection) -> list[Json]:
        last = ("status", "started_at", "finished_at", "result", "error")
        rows = connection.execute(
            select(
                schedule,
                *(work.c[name].label(f"run_{name}") for name in (*last, "created_at")),
            )
            .outerjoin(work, work.c.id == schedule.c.work_id)
            .where(schedule.c.name.in_(self._jobs))
            .order_by(schedule.c.name)
        ).mappings()
        return [
            {
                "name": row["name"],
                "timing": row["timing"],
                "enabled": row["enabled"],
                "next_at": row["next_at"],
                "last_at": row["last_at"],
                "work_id": row["work_id"],
                "overdue": self._is_overdue(dict(row)),
                "last": None
                if row["run_status"] is None
                else {name: row[f"run_{name}"] for name in last},
            }
            for row in rows
        ]

    def _is_overdue(self, row: Json) -> bool:
        """Tell whether a job should have begun longer ago than its grace."""
        latest = self._clock() - self._jobs[row["name"]].grace
        waits = row["run_status"] == "pending" and row["run_created_at"] < latest
        return bool(row["enabled"] and ((row["next_at"] or latest) < latest or waits))

    def _on_work(self, event: Any) -> None:
        """Show the job anew whose run has moved."""
        if event.data["kind"] in {job.kind for job in self._jobs.values()}:
            showing = self._show(lambda row: row["work_id"] == event.data["id"])
            self._tasks.start("show job", showing)

    async def _show(self, which: Callable[[Json], bool]) -> list[Json]:
        """Publish some jobs as they are now, one look after the other; returns all."""
        async with self._showing:
            rows = await self.jobs()
            for row in rows:
                if which(row):
                    self._bus.publish("schedule.updated", row)
        return rows

    def _job(self, name: str) -> Job:
        if name not in self._jobs:
            raise NotFound("scheduled_job_not_found", f'There is no job "{name}"', name=name)
        return self._jobs[name]

    @staticmethod
    def _row(connection: Connection, name: str) -> Json:
        return dict(
            connection.execute(select(schedule).where(schedule.c.name == name)).mappings().one()
        )


def _text(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
