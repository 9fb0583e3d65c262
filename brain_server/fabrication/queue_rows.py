"""The rows of the queue and of the beds; every change is one conditional statement, so that two brains agree."""

from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from brain_server.bus import Bus
from brain_server.fabrication.schedule import HISTORY
from brain_server.protocol import Json
from brain_server.storage import Database
from brain_server.storage.tables import artifacts, beds, jobs, new_id, queue

OPEN: Final = ("queued", "held", "starting", "printing")
# On a printer, or on the way to it.
BUSY: Final = ("starting", "printing")
# An item that is nowhere.
CLEARED: Final[Json] = {
    "device_id": None,
    "command_id": None,
    "job_id": None,
    "planned_start": None,
    "planned_end": None,
}
RUNNING: Final = ("preparing", "printing", "paused")
# What changes whenever anything happens on a bed.
BED: Final = ("is_clear", "queue_id", "changed_at")


class Lost(Exception):
    """Somebody else was first; nothing was changed."""


class Rows:
    """Reads and changes rows of the queue, and tells of every change."""

    def __init__(self, database: Database, bus: Bus, clock: Callable[[], float]) -> None:
        """Take the database, the bus and a clock in POSIX seconds."""
        self._db = database
        self._bus = bus
        self._clock = clock

    async def find(self, *where: ColumnElement[bool], limit: int | None = None) -> list[Json]:
        """Return rows, oldest first."""
        query = select(queue).where(*where).order_by(queue.c.id).limit(limit)
        return await self._db.read(
            lambda connection: [dict(row) for row in connection.execute(query).mappings()]
        )

    async def get(self, queue_id: str) -> Json | None:
        """Return one row."""
        found = await self.find(queue.c.id == queue_id)
        return found[0] if found else None

    async def add(self, values: Json) -> Json:
        """Store a new row."""
        row: Json = {"id": new_id(), "created_at": self._clock()} | values

        def work(connection: Connection) -> Json:
            connection.execute(insert(queue).values(row))
            return _row(connection, row["id"])

        return self._told(await self._db.write(work))

    async def change(self, row: Json, values: Json, *, exactly: bool = False) -> Json | None:
        """Change a row that is still as the caller knows it; None when it no longer is.

        ``exactly``: with the same reasons, too, so that the word of a person is never overwritten by a plan.
        """
        known = (
            queue.c.id == row["id"],
            queue.c.status == row["status"],
            queue.c.attempts == row["attempts"],
        )

        def work(connection: Connection) -> Json | None:
            if exactly:
                reasons = select(queue.c.reasons).where(*known)
                if connection.execute(reasons).scalar() != row["reasons"]:
                    return None
            done = connection.execute(update(queue).where(*known).values(values))
            return _row(connection, row["id"]) if done.rowcount else None

        changed = await self._db.write(work)
        return None if changed is None else self._told(changed)

    def _told(self, row: Json) -> Json:
        self._bus.publish("queue.updated", view(row))
        return row

    # -- claims ---------------------------------------------------------------------------------------

    async def claim(self, row: Json, device_id: str) -> Json | None:
        """Take an item and a clear bed together, once; None when either is gone."""
        item = (
            queue.c.id == row["id"],
            queue.c.status == "queued",
            queue.c.attempts == row["attempts"],
            queue.c.device_id == device_id,
        )
        bed = (beds.c.device_id == device_id, beds.c.is_clear.is_(True))
        now = self._clock()

        def work(connection: Connection) -> Json:
            taken = {"is_clear": False, "queue_id": row["id"], "changed_at": now, "by_user": None}
            started = {
                "status": "starting",
                "attempts": row["attempts"] + 1,
                "command_id": None,
                "job_id": None,
            }
            for statement in (
                update(beds).where(*bed).values(taken),
                update(queue).where(*item).values(started),
            ):
                if connection.execute(statement).rowcount != 1:
                    raise Lost
            return _row(connection, row["id"])

        try:
            claimed = await self._db.write(work)
        except Lost:
            return None
        self._tell_bed(device_id, clear=False)
        return self._told(claimed)

    async def back_out(self, row: Json, values: Json) -> Json | None:
        """Take back a claim after which nothing was printed: the bed is as clear as it was."""
        item = (
            queue.c.id == row["id"],
            queue.c.status == "starting",
            queue.c.attempts == row["attempts"],
            # Where it is being asked for by now, something may be printed.
            queue.c.command_id.is_not_distinct_from(row["command_id"]),
        )
        bed = (beds.c.device_id == row["device_id"], beds.c.queue_id == row["id"])

        def work(connection: Connection) -> Json | None:
            if not connection.execute(update(queue).where(*item).values(values)).rowcount:
                return None
            connection.execute(update(beds).where(*bed).values(is_clear=True, queue_id=None))
            return _row(connection, row["id"])

        backed = await self._db.write(work)
        if backed is None:
            return None
        self._tell_bed(row["device_id"], clear=True)
        return self._told(backed)

    # -- beds -----------------------------------------------------------------------------------------

    async def beds(self) -> dict[str, Json]:
        """Return what is known of beds, by printer."""
        return await self._db.read(
            lambda connection: {
                row["device_id"]: dict(row) for row in connection.execute(select(beds)).mappings()
            }
        )

    async def set_clear(self, device_id: str, user_id: str | None, known: Json | None) -> bool:
        """Note that a person says that a bed is clear; False where it is no longer as it was ``known``."""
        values = {
            "is_clear": True,
            "queue_id": None,
            "changed_at": self._clock(),
            "by_user": user_id,
        }
        same = (
            []
            if known is None
            else [beds.c[name].is_not_distinct_from(known[name]) for name in BED]
        )

        def work(connection: Connection) -> int:
            if known is None:
                connection.execute(insert(beds).values(device_id=device_id, **values))
                return 1
            here = update(beds).where(beds.c.device_id == device_id, *same)
            return connection.execute(here.values(values)).rowcount

        try:
            changed = await self._db.write(work)
        except IntegrityError:  # another brain was told at the same moment
            return False
        if changed:
            self._tell_bed(device_id, clear=True)
        return bool(changed)

    async def note_prints(self) -> None:
        """Note that beds on which something is being printed are not clear."""
        running = select(jobs.c.device_id).where(jobs.c.status.in_(RUNNING))
        used = update(beds).where(beds.c.is_clear.is_(True), beds.c.device_id.in_(running))
        noted = used.values(is_clear=False, changed_at=self._clock()).returning(beds.c.device_id)
        for device_id in await self._db.write(
            lambda connection: list(connection.execute(noted).scalars())
        ):
            self._tell_bed(device_id, clear=False)

    def _tell_bed(self, device_id: str, *, clear: bool) -> None:
        self._bus.publish("bed.updated", {"device_id": device_id, "clear": clear})

    # -- jobs and files -------------------------------------------------------------------------------

    async def jobs_of(self, rows: Sequence[Json]) -> dict[str, Json]:
        """Return the jobs of items that are under way, by the item."""
        by_command = {row["command_id"]: row["id"] for row in rows if row["command_id"]}
        query = select(jobs).where(jobs.c.command_id.in_(by_command))
        found = await self._db.read(
            lambda connection: [dict(row) for row in connection.execute(query).mappings()]
        )
        return {by_command[job["command_id"]]: job for job in found}

    async def tie(self, job_id: str, row: Json) -> None:
        """Write down of which item a job is."""
        values = {"queue_id": row["id"], "artifact_id": row["artifact_id"]}
        await self._db.write(
            lambda connection: connection.execute(
                update(jobs).where(jobs.c.id == job_id).values(values)
            )
        )

    async def adopt(self, command: Json) -> bool:
        """Tie the run that a printer showed after a start, and that nobody asked for, to its command."""
        orphan = (
            select(jobs.c.id)
            .where(
                jobs.c.device_id == command["device_id"],
                jobs.c.command_id.is_(None),
                jobs.c.file == command["params"]["file"],
                jobs.c.created_at >= command["claimed_at"],
            )
            .order_by(jobs.c.id)
            .limit(1)
            .scalar_subquery()
        )
        ours = update(jobs).where(jobs.c.id == orphan).values(command_id=command["id"])
        return bool(await self._db.write(lambda connection: connection.execute(ours).rowcount))

    async def artifacts(self, ids: Collection[str]) -> dict[str, Json]:
        """Return artifacts by id."""
        query = select(artifacts).where(artifacts.c.id.in_(ids))
        return await self._db.read(
            lambda connection: {
                row["id"]: dict(row) for row in connection.execute(query).mappings()
            }
        )

    async def artifact_called(self, name: str) -> Json | None:
        """Return the newest artifact of that name."""
        query = select(artifacts).where(artifacts.c.name == name).order_by(artifacts.c.id.desc())

        def work(connection: Connection) -> Any:
            return connection.execute(query.limit(1)).mappings().first()

        row = await self._db.read(work)
        return None if row is None else dict(row)


def _row(connection: Connection, queue_id: str) -> Json:
    query = select(queue).where(queue.c.id == queue_id)
    return dict(connection.execute(query).mappings().one())


def history_of(row: Json) -> list[Json]:
    """Return the reasons of a row that tell what happened to it before."""
    return [reason for reason in row["reasons"] if reason["code"] in HISTORY]


def view(row: Json) -> Json:
    """Return a row as everybody sees it."""
    return row | {"command_id": row["command_id"] or None}
