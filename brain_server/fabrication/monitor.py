"""What was seen of a print while it ran: kept with its picture, so that nobody has to believe it."""

import asyncio
import base64
from collections.abc import Callable, Sequence, Set as AbstractSet
from functools import partial
import itertools
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from sqlalchemy import Connection, insert, select, union

from brain_server.bus import Bus, Event
from brain_server.commands import Caller, Page, Params, Scope, as_page, command
from brain_server.devices.evidence import image_type
from brain_server.errors import InvalidRequest, NotFound
from brain_server.observability import Tasks
from brain_server.protocol import Json
from brain_server.storage import Database, page_of
from brain_server.storage.tables import incidents, jobs, new_id, print_events, reviews
from brain_server.vision.pictures import keep, left_over, stored

FAILURES: Final = frozenset({"spaghetti_detected", "nozzle_clog"})
MOST_PICTURE: Final = 8 * 1024 * 1024
_PICTURES: Final = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")

# A picture is written before its row.
_FRESH: Final = 3600.0
_AT_ONCE: Final = 500

type EventType = Literal["first_layer_ok", "spaghetti_detected", "nozzle_clog", "completed"]


class Picture(Params):
    """A picture, in base64."""

    content_type: str
    image: bytes


class Report(Params):
    """What was seen of a print; a failure has to be shown."""

    job_id: str
    type: EventType
    confidence: Annotated[float, msgspec.Meta(ge=0, le=1)]
    source: Literal["printer", "vision", "person"]
    picture: Picture | None = None
    detail: Annotated[str, msgspec.Meta(max_length=255)] | None = None


class EventsPage(Page, kw_only=True):
    """A part of what was seen of one print."""

    job_id: str


class EventId(Params):
    """One thing that was seen."""

    event_id: str


class Monitor:
    """Keeps what was seen of prints."""

    def __init__(
        self, database: Database, bus: Bus, tasks: Tasks, clock: Callable[[], float], folder: Path
    ) -> None:
        """Take the database, the bus, the task keeper, a clock, and where pictures are kept."""
        self._db = database
        self._bus = bus
        self._tasks = tasks
        self._clock = clock
        self._folder = folder
        bus.listen("job.updated", self._on_job)

    def _on_job(self, event: Event) -> None:
        """A printer that says that it is done was seen to be."""
        if event.data["status"] == "completed":
            done = partial(self._note_end, event.data["id"])
            self._tasks.keep_up(f"print event of {event.data['id']}", done)

    async def _note_end(self, job_id: str) -> None:
        # Once: a row is told again when its costs are known.
        await self.note(
            job_id=job_id, kind="completed", confidence=1.0, source="printer", once=True
        )

    async def note(
        self,
        *,
        job_id: str,
        kind: str,
        confidence: float,
        picture: bytes | None = None,
        detail: str | None = None,
        source: str = "vision",
        once: bool = False,
    ) -> Json:
        """Store an event of a print, with the picture that shows it, and return it; ``once``: one of its kind.

        InvalidRequest ``picture_needed`` for a failure without one, NotFound ``job_not_found``.
        """
        if kind in FAILURES and not picture:
            raise InvalidRequest("picture_needed", "A failure needs the picture that shows it")
        if picture is not None and not picture.startswith(_PICTURES):
            raise InvalidRequest("invalid_picture", "This is not a PNG or JPEG picture")
        if picture is not None and len(picture) > MOST_PICTURE:
            raise InvalidRequest("invalid_picture", "The picture is larger than 8 MiB")
        query = select(jobs.c.device_id).where(jobs.c.id == job_id)
        device_id = await self._db.read(lambda connection: connection.execute(query).scalar())
        if device_id is None:
            raise NotFound("job_not_found", "There is no such print job")
        key = None if picture is None else await asyncio.to_thread(keep, self._folder, picture)
        row: Json = {
            "id": new_id(),
            "job_id": job_id,
            "device_id": device_id,
            "type": kind,
            "confidence": confidence,
            "source": source,
            "picture": key,
            "detail": detail[:255] if detail else None,
            "created_at": self._clock(),
        }
        same = select(print_events.c.id).where(
            print_events.c.job_id == job_id, print_events.c.type == kind
        )

        def work(connection: Connection) -> bool:
            if once and connection.execute(same).first() is not None:
                return False
            connection.execute(insert(print_events).values(row))
            return True

        if await self._db.write(work):
            self._bus.publish("print.event", row)
        return row

    async def tidy(self) -> None:
        """Remove the pictures that no event, incident or review tells of any more."""
        found = await asyncio.to_thread(left_over, self._folder, self._clock() - _FRESH)
        for names in itertools.batched(sorted(found), _AT_ONCE, strict=False):
            needless = set(names) - await self._needed(names)
            await asyncio.to_thread(_remove, self._folder, needless)

    async def _needed(self, names: Sequence[str]) -> set[str]:
        query = union(
            *(
                select(table.c.picture).where(table.c.picture.in_(names))
                for table in (print_events, incidents, reviews)
            )
        )
        return await self._db.read(lambda connection: set(connection.execute(query).scalars()))

    @command("prints.report", Scope.INTEGRATION)
    async def report(self, _caller: Caller, params: Report) -> Json:
        """Take what was seen of a print."""
        return await self.note(
            job_id=params.job_id,
            kind=params.type,
            confidence=params.confidence,
            picture=None if params.picture is None else params.picture.image,
            detail=params.detail,
            source=params.source,
        )

    @command("prints.events", Scope.READ, read_only=True)
    async def events(self, _caller: Caller, params: EventsPage) -> Json:
        """List what was seen of one print, oldest first."""
        mine = print_events.c.job_id == params.job_id
        query = page_of(select(print_events).where(mine), print_events.c.id, params)
        rows = await self._db.read(
            lambda connection: [dict(row) for row in connection.execute(query).mappings()]
        )
        return as_page(rows, params)

    @command("prints.picture", Scope.READ)
    async def picture(self, _caller: Caller, params: EventId) -> Json:
        """Return the picture that shows what was seen, base64, and whose it is."""
        table = print_events.c
        query = select(table.picture, table.device_id).where(table.id == params.event_id)
        row = await self._db.read(lambda connection: connection.execute(query).one_or_none())
        if row is None:
            raise NotFound("no_evidence", "There is no picture of this")
        image = await asyncio.to_thread(stored, self._folder, row.picture or "")
        return {
            "content_type": image_type(image),
            "image": base64.b64encode(image).decode(),
            "device_id": row.device_id,
        }


def _remove(folder: Path, names: AbstractSet[str]) -> None:
    for name in names:
        (folder / name).unlink(missing_ok=True)
