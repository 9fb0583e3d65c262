"""What people say of finished prints: asked for once, kept, changed when they change their minds."""

import asyncio
import base64
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    RowMapping,
    Select,
    String,
    and_,
    cast,
    insert,
    or_,
    select,
    update,
)

from brain_server.bus import Bus, Event
from brain_server.commands import Caller, Page, Params, Scope, as_page, command
from brain_server.errors import Conflict, DeviceError, InvalidRequest, NotFound
from brain_server.fabrication.outcomes import ENDED
from brain_server.observability import Tasks
from brain_server.protocol import Json, Reason
from brain_server.storage import Database, page_of
from brain_server.storage.tables import jobs, new_id, reviews
from brain_server.vision.pictures import keep, stored

# How long a finished print waits for somebody to say how it turned out.
WAITS: Final = 14 * 86_400.0
ASKED: Final = ("completed", "failed")
METRICS: Final = ("layers", "surface", "size")
# The newest so many figures make the mean, and as many before them what it is compared with.
WINDOW: Final = 20
# So many prints are looked at for the trends of all printers together.
MOST_TRENDS: Final = 2000
MOST_PICTURE: Final = 8 * 1024 * 1024
_REMEMBERED: Final = 1000
_PERSON: Final = reviews.alias("person")
_VISION: Final = reviews.alias("vision")
_PICTURES: Final[Mapping[bytes, str]] = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
}

type Source = Literal["person", "vision"]
type Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]


class Picture(Params):
    """A photo, in base64."""

    content_type: str
    image: bytes


class Quality(Params):
    """How good the layers, the surface and the sizes are, each from 0 to 100."""

    layers: Percent | None = None
    surface: Percent | None = None
    size: Percent | None = None


class Put(Params):
    """What somebody says of a finished print."""

    job_id: str
    good: bool
    rating: Annotated[int, msgspec.Meta(ge=1, le=5)] | None = None
    reasons: list[Reason] = []
    quality: Quality = msgspec.field(default_factory=Quality)
    note: Annotated[str, msgspec.Meta(max_length=2000)] | None = None
    picture: Picture | None = None


class ReviewsPage(Page):
    """A part of the finished prints; ``waiting`` keeps those that nobody has judged, or those that somebody has."""

    waiting: bool | None = None
    device_id: str | None = None
    newest_first: bool = False


class Of(Params):
    """One print."""

    job_id: str


class QualityPage(Page):
    """A part of the prints whose quality somebody measured."""

    device_id: str | None = None


class Reviews:
    """Asks for a word about every finished print and keeps it."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        tasks: Tasks,
        folder: Path,
        clock: Callable[[], float],
    ) -> None:
        """Take the database, the bus, the task keeper, the folder of pictures and a clock."""
        self._db = database
        self._bus = bus
        self._tasks = tasks
        self._folder = folder
        self._clock = clock
        self._lapsed = clock() - WAITS
        # Prints whose wait was told: what changes in a job afterwards is no news to a reviewer.
        self._told: OrderedDict[str, None] = OrderedDict()
        # What is told of a print is told in the order in which it was so.
        self._telling = asyncio.Lock()
        bus.listen("job.updated", self._on_job)

    def _on_job(self, event: Event) -> None:
        job_id = event.data["id"]
        if event.data["status"] in ASKED and job_id not in self._told:
            self._told[job_id] = None
            if len(self._told) > _REMEMBERED:
                self._told.popitem(last=False)
            self._tasks.start(f"review of {job_id}", self._ask(job_id))

    async def _ask(self, job_id: str) -> None:
        async with self._telling:
            try:
                view = await self._find(job_id)
            except BaseException:
                # Of what could not be read people are asked with the next word of the job.
                self._told.pop(job_id, None)
                raise
            if view is not None and view["status"] == "waiting":
                self._bus.publish("review.updated", view)

    async def waiting(self) -> Sequence[Json]:
        """Return the prints that wait for somebody's word, oldest first."""
        return await self._views(_finished().where(self._waits()))

    async def tidy(self) -> None:
        """Tell which prints have waited long enough; call it now and then."""
        async with self._telling:
            until = self._clock() - WAITS
            lapsed = jobs.c.completed_at.between(self._lapsed, until)
            views = await self._views(_finished().where(_PERSON.c.id.is_(None), lapsed))
            self._lapsed = until
            for view in views:
                if view["status"] == "lapsed":
                    self._bus.publish("review.updated", view)

    @command(
        "reviews.list",
        Scope.READ,
        read_only=True,
        tool="List finished prints and what people said of them; waiting=true: those nobody has judged yet.",
    )
    async def list(self, _caller: Caller, params: ReviewsPage) -> Json:
        """List finished prints with what was said of them, oldest first unless the newest are wanted first."""
        query = _finished()
        if params.waiting is not None:
            query = query.where(self._waits() if params.waiting else _PERSON.c.id.is_not(None))
        return await self._page(query, params, newest_first=params.newest_first)

    @command("reviews.put", Scope.CONTROL)
    async def put(self, caller: Caller, params: Put) -> Json:
        """Keep what a person says of a finished print; the same person may say it better later."""
        picture = None if params.picture is None else await self._keep_picture(params.picture.image)
        return await self.keep(
            params.job_id,
            source="person",
            good=params.good,
            rating=params.rating,
            reasons=list(dict.fromkeys(params.reasons)),
            quality={
                name: value
                for name in METRICS
                if (value := getattr(params.quality, name)) is not None
            },
            note=params.note,
            picture=picture,
            by_user=caller.user_id,
        )

    async def keep(self, job_id: str, *, source: Source, good: bool, **said: Any) -> Json:
        """Keep one source's word of a finished print; NotFound ``job_not_found``, Conflict ``job_not_over``.

        ``said`` are columns of a review. A picture that is not given again stays.
        """
        values = said | {"good": good}
        if values.get("picture") is None:
            values.pop("picture", None)
        values |= {"created_at": self._clock()}
        limit = self._clock() - WAITS

        def work(connection: Connection) -> Json:
            query = select(jobs.c.status, jobs.c.device_id).where(jobs.c.id == job_id)
            if (job := connection.execute(query).one_or_none()) is None:
                raise NotFound("job_not_found", "There is no such print")
            if job.status not in ENDED:
                raise Conflict("job_not_over", "This print is not over yet")
            same = and_(reviews.c.job_id == job_id, reviews.c.source == source)
            if not connection.execute(update(reviews).where(same).values(values)).rowcount:
                row = {"id": new_id(), "job_id": job_id, "device_id": job.device_id}
                connection.execute(insert(reviews).values(row | {"source": source} | values))
            of_it = _finished().where(jobs.c.id == job_id)
            return _view(connection.execute(of_it).mappings().one(), limit)

        async def keeping() -> Json:
            async with self._telling:
                view = await self._db.write(work)
                self._bus.publish("review.updated", view)
            return view

        # Seen through: what is kept is told, though whoever said it goes away.
        return await self._tasks.see_through(f"review of {job_id}", keeping())

    @command("reviews.picture", Scope.READ, read_only=True)
    async def picture(self, _caller: Caller, params: Of) -> Json:
        """Return the photo of a print; NotFound ``no_evidence``, Conflict ``evidence_altered``."""
        query = (
            select(reviews.c.picture)
            .where(reviews.c.job_id == params.job_id, reviews.c.picture.is_not(None))
            .order_by(reviews.c.source)
        )
        name = await self._db.read(lambda connection: connection.execute(query).scalar())
        if name is None:
            raise NotFound("no_evidence", "There is no picture of this")
        image = await asyncio.to_thread(stored, self._folder, name)
        return {"content_type": _type_of(image), "image": base64.b64encode(image).decode()}

    @command("quality.list", Scope.READ, read_only=True)
    async def quality(self, _caller: Caller, params: QualityPage) -> Json:
        """List the prints whose quality was measured, and how each printer is getting on."""
        query = _finished().where(or_(_has_quality(_PERSON), _has_quality(_VISION)))
        page = await self._page(query, params)
        newest = query.order_by(None).order_by(jobs.c.id.desc()).limit(MOST_TRENDS)
        by_printer = sorted(
            await self._views(_on(newest, params.device_id)), key=lambda view: view["device_id"]
        )
        printers = [
            {"device_id": device_id} | trends([*views])
            for device_id, views in groupby(by_printer, key=lambda view: view["device_id"])
        ]
        return page | {"printers": printers}

    async def _page(
        self, query: Select[Any], params: ReviewsPage | QualityPage, *, newest_first: bool = False
    ) -> Json:
        query = page_of(_on(query, params.device_id), jobs.c.id, params, newest_first=newest_first)
        return as_page([*await self._views(query)], params, key="job_id")

    def _waits(self) -> ColumnElement[bool]:
        """Return what is true of a print that waits: it ran, it is over, and nobody has said a word."""
        return and_(
            _PERSON.c.id.is_(None),
            jobs.c.status.in_(ASKED),
            jobs.c.started_at.is_not(None),
            jobs.c.completed_at > self._clock() - WAITS,
        )

    async def _find(self, job_id: str) -> Json | None:
        return next(iter(await self._views(_finished().where(jobs.c.id == job_id))), None)

    async def _views(self, query: Select[Any]) -> Sequence[Json]:
        limit = self._clock() - WAITS
        return await self._db.read(
            lambda connection: [_view(row, limit) for row in connection.execute(query).mappings()]
        )

    async def _keep_picture(self, image: bytes) -> str:
        """Write a picture under its SHA-256; InvalidRequest ``invalid_picture``."""
        if len(image) > MOST_PICTURE or _type_of(image) is None:
            raise InvalidRequest("invalid_picture", "A picture is a PNG or JPEG of at most 8 MiB")
        try:
            return await asyncio.to_thread(keep, self._folder, image)
        except DeviceError as err:
            raise InvalidRequest("invalid_picture", err.message) from err


def trends(views: Sequence[Json]) -> Json:
    """Return each metric of one printer's prints, newest first: the mean, of how many, and the change.

    The change is the mean of the newest ``WINDOW`` less that of the ``WINDOW`` before; None with nothing before.
    """
    from statistics import mean  # noqa: PLC0415 - 0.3 MB that only who asks for trends needs

    found: Json = {}
    for name in METRICS:
        values = [view["quality"][name]["value"] for view in views if name in view["quality"]]
        now, before = values[:WINDOW], values[WINDOW : 2 * WINDOW]
        found[name] = {
            "mean": round(mean(now), 1) if now else None,
            "n": len(now),
            "change": round(mean(now) - mean(before), 1) if before else None,
        }
    return found


def _finished() -> Select[Any]:
    """Return the query of finished prints with what a person and what a camera said of each."""
    said = [
        _PERSON.c[name].label(name) for name in ("good", "rating", "reasons", "note", "by_user")
    ]
    return (
        select(
            jobs,
            *said,
            _PERSON.c.created_at.label("reviewed_at"),
            _PERSON.c.quality.label("by_person"),
            _PERSON.c.picture.label("photo"),
            _VISION.c.quality.label("by_vision"),
            _VISION.c.picture.label("still"),
        )
        .join(_PERSON, _joined(_PERSON, "person"), isouter=True)
        .join(_VISION, _joined(_VISION, "vision"), isouter=True)
        .where(jobs.c.status.in_(ENDED))
        .order_by(jobs.c.id)
    )


def _joined(said: FromClause, source: Source) -> ColumnElement[bool]:
    return and_(said.c.job_id == jobs.c.id, said.c.source == source)


def _has_quality(said: FromClause) -> ColumnElement[bool]:
    return cast(said.c.quality, String) != "{}"


def _on(query: Select[Any], device_id: str | None) -> Select[Any]:
    return query if device_id is None else query.where(jobs.c.device_id == device_id)


def _view(row: RowMapping, limit: float) -> Json:
    """Return a finished print as its reviewers see it; where both measured, the person is believed."""
    if row["good"] is not None:
        status = "done"
    elif row["status"] not in ASKED or row["started_at"] is None:
        status = "none"
    else:
        status = "waiting" if row["completed_at"] > limit else "lapsed"
    quality = {
        name: {"value": value, "source": source}
        for source, values in (("vision", row["by_vision"]), ("person", row["by_person"]))
        for name, value in (values or {}).items()
    }
    same = ("device_id", "file", "material", "good", "rating", "note", "by_user", "reviewed_at")
    return (
        {"job_id": row["id"], "status": status, "outcome": row["status"]}
        | {name: row[name] for name in same}
        | {
            "error": row["error"],
            "ended_at": row["completed_at"],
            "reasons": row["reasons"] or [],
            "quality": quality,
            "has_picture": bool(row["photo"] or row["still"]),
        }
    )


def _type_of(image: bytes) -> str | None:
    """Return the media type of a picture by its first bytes, None for anything else."""
    return next((name for start, name in _PICTURES.items() if image.startswith(start)), None)
