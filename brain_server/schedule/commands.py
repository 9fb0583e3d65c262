"""Work as people and other programs see it: what waits, what runs, what was given up."""

from typing import Annotated, Final

import msgspec
from sqlalchemy import Connection, select

from brain_server.bus import Bus
from brain_server.commands import Caller, Page, Params, Scope, as_page, command
from brain_server.errors import NotFound
from brain_server.protocol import Json
from brain_server.schedule.queue import OPEN, Rows, view
from brain_server.schedule.worker import Worker
from brain_server.storage import Database, page_of
from brain_server.storage.tables import work, work_tries

MOST_SHOWN: Final = 1000


class WorkPage(Page, kw_only=True):
    """A part of the work: of one status, of one kind."""

    status: Annotated[str, msgspec.Meta(max_length=16)] | None = None
    kind: Annotated[str, msgspec.Meta(max_length=64)] | None = None


class WorkId(Params):
    """One piece of work."""

    work_id: str


class WorkCommands:
    """The verbs of the work queue."""

    def __init__(self, database: Database, rows: Rows, worker: Worker, bus: Bus) -> None:
        """Take where work lies and who does it."""
        self._db = database
        self._rows = rows
        self._worker = worker
        self._bus = bus

    @command("work.list", Scope.READ, read_only=True)
    async def listed(self, caller: Caller, params: WorkPage) -> Json:  # noqa: ARG002 - the form of a command
        """List work, oldest first: pending, running, completed, cancelled, or dead (given up)."""
        query = page_of(select(work), work.c.id, params)
        if params.status is not None:
            query = query.where(work.c.status == params.status)
        if params.kind is not None:
            query = query.where(work.c.kind == params.kind)
        rows = await self._db.read(
            lambda connection: [view(dict(row)) for row in connection.execute(query).mappings()]
        )
        return as_page(rows, params)

    @command("work.get", Scope.READ, read_only=True)
    async def get(self, caller: Caller, params: WorkId) -> Json:  # noqa: ARG002 - the form of a command
        """Return a piece of work with each of its tries."""

        def read(connection: Connection) -> Json:
            row = connection.execute(select(work).where(work.c.id == params.work_id))
            found = row.mappings().first()
            if found is None:
                raise NotFound("work_not_found", "There is no such work")
            tries = (
                select(work_tries)
                .where(work_tries.c.work_id == params.work_id)
                .order_by(work_tries.c.fence)
            )
            shown = ("started_at", "finished_at", "outcome", "error")
            return view(dict(found)) | {
                "attempts": [
                    {name: one[name] for name in shown}
                    for one in connection.execute(tries).mappings()
                ]
            }

        return await self._db.read(read)

    @command("work.cancel", Scope.CONTROL)
    async def cancel(self, caller: Caller, params: WorkId) -> Json:  # noqa: ARG002 - the form of a command
        """Cancel work: what waits never begins, what runs is stopped."""
        row = await self._rows.cancel(params.work_id)
        self._worker.interrupt(params.work_id)
        self._bus.publish("work.updated", row)
        return row

    @command("work.retry", Scope.CONTROL)
    async def retry(self, caller: Caller, params: WorkId) -> Json:  # noqa: ARG002 - the form of a command
        """Try work again that was given up."""
        row = await self._rows.retry(params.work_id)
        self._worker.wake()
        self._bus.publish("work.updated", row)
        return row

    async def open(self) -> list[Json]:
        """Return what waits, runs, or was given up, for a new subscriber: of too much of it the newest dead."""
        query = (
            select(work)
            .where(work.c.status.in_((*OPEN, "dead")))
            .order_by(work.c.status == "dead", work.c.id.desc())
            .limit(MOST_SHOWN)
        )
        rows = await self._db.read(
            lambda connection: [view(dict(row)) for row in connection.execute(query).mappings()]
        )
        return sorted(rows, key=lambda row: str(row["id"]))
