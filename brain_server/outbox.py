"""What others are told: rows that are written in the transaction of what they tell of, and read in their order.

Whoever reads keeps a *cursor*, the id of the last row that it has passed on, and reads behind it. So nothing is
lost while a reader is away, and what was passed on twice, because the cursor could not be moved in time, has the
same id both times.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
import json
import logging
from typing import Annotated, Any, Final

import msgspec
from sqlalchemy import Connection, Select, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from brain_server.bus import Bus, Event
from brain_server.commands import Caller, Params, Scope, command
from brain_server.errors import Conflict
from brain_server.observability import counters, request_id as current_request
from brain_server.protocol import MAX_FRAME_BYTES, Json
from brain_server.storage import Database
from brain_server.storage.tables import outbox, outbox_cursors

_LOGGER = logging.getLogger(__name__)

ADDED: Final = "outbox.added"
STATUS_CHANGE: Final = "AGENT_STATUS_CHANGE"
# What people and programs may publish themselves.
OPEN_TOPICS: Final = frozenset(
    {
        "shipment.requests",
        "packing.results",
        "route.updates",
        "weather.alerts",
        "damage.predictions",
    }
)
TOPICS: Final = OPEN_TOPICS | {
    "job",
    "safety",
    "notification",
    "task",
    "result",
    "event",
    "conversation",
}
# With what is written around it, a message still has less than the 64 KiB that every broker takes.
MOST_BYTES: Final = 60 * 1024
# What somebody said, in the data of a conversation; it goes only where a person wants it.
WORDS: Final = frozenset({"text", "reply"})
BATCH: Final = 100
MOST_ITEMS: Final = 500
# What a database can hold.
MOST_ID: Final = 2**63 - 1
LOOK_EVERY: Final = 1.0
# What happens within one moment is looked for once.
TOGETHER: Final = 0.01
_DAY: Final = 86_400.0
# So many times longer than others a row is kept that a broker still has to get.
PATIENCE: Final = 4
# Made once: it is asked after everything that happens.
_NEXT: Final = (
    select(outbox)
    .where(outbox.c.id > bindparam("after"))
    .order_by(outbox.c.id)
    .limit(bindparam("most"))
)


def tell(
    connection: Connection,
    now: float,
    topic: str,
    key: str,
    name: str,
    data: Json,
    *,
    source: str | None = None,
    request_id: str | None = None,
) -> int:
    """Tell others of something, in the caller's transaction; those of one ``key`` arrive in their order.

    What was told of a ``source`` is not told again. Returns the id. Data that is too large is left out, so that
    what it tells of can still be written; whoever wants it asks by the key.
    """
    if topic not in TOPICS:
        message = f"Nobody is told of {topic}"
        raise ValueError(message)
    size = len(json.dumps(data, allow_nan=False).encode())
    if size > MOST_BYTES:
        data = {"left_out": size}
    if source is not None and (known := _of_source(connection, source)) is not None:
        return known
    added = connection.execute(
        insert(outbox).values(
            topic=topic,
            key=key,
            name=name,
            data=data,
            source=source,
            request_id=request_id or current_request.get(),
            created_at=now,
        )
    )
    (identity,) = added.inserted_primary_key or (0,)
    return int(identity)


def _of_source(connection: Connection, source: str) -> int | None:
    found = connection.execute(select(outbox.c.id).where(outbox.c.source == source)).scalar()
    return None if found is None else int(found)


class Read(Params):
    """Where a reader stands: the ``id`` and the ``at`` of the last row that it has. Neither: at the end."""

    after: Annotated[int, msgspec.Meta(ge=0, le=MOST_ID)] | None = None
    at: float | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST_ITEMS)] = BATCH


class Outbox:
    """The rows for those who read them, and how far each has come."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        clock: Callable[[], float],
        *,
        days: float = 7,
        look_every: float = LOOK_EVERY,
    ) -> None:
        """Take the database; rows are kept so many days, longer where somebody still has to get them."""
        self._db = database
        self._bus = bus
        self._clock = clock
        self._kept = days * _DAY
        self._look_every = look_every
        self._last = 0
        self._hint = asyncio.Event()
        self._news = asyncio.Event()
        # Those who must have a row before it is forgotten.
        self.sinks: set[str] = set()
        bus.listen(None, self._on_any)

    async def start(self) -> None:
        """Find the end; what is told from now on is news."""
        self._last = await self._db.read(_end)

    async def tell_status(self, source: str, status: str) -> None:
        """Tell others that a brain has come, or is going."""
        now = self._clock()
        data = {
            "event_type": STATUS_CHANGE,
            "source": source,
            "data": {"status": status},
            "timestamp": now,
        }
        await self._db.write(
            lambda connection: tell(connection, now, "event", source, STATUS_CHANGE.lower(), data)
        )

    async def run(self) -> None:
        """Tell clients and readers of new rows, for ever; also of those that other processes wrote."""
        while True:
            self._hint.clear()
            while rows := await self.read(self._last, BATCH):
                for row in rows:
                    self._last = row["id"]
                    self._bus.publish(ADDED, view(row))
                self._news.set()
                self._news = asyncio.Event()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._look_every):
                    await self._hint.wait()
                await asyncio.sleep(TOGETHER)

    def _on_any(self, event: Event) -> None:
        """Whoever tells others of something also tells the clients of this process, after the commit."""
        if event.name != ADDED:
            self._hint.set()

    async def wait(self, after: int, limit: float) -> None:
        """Wait until there are rows behind ``after``, at most so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(limit):
                while self._last <= after:
                    await self._news.wait()

    async def read(self, after: int, limit: int) -> list[Json]:
        """Return the rows behind an id, in their order."""
        wanted = {"after": after, "most": limit}
        return await self._db.read(
            lambda connection: [dict(row) for row in connection.execute(_NEXT, wanted).mappings()]
        )

    async def waiting(self, sink: str) -> int:
        """Return how many rows a sink still has to get."""
        query = select(func.count()).select_from(outbox).where(outbox.c.id > _cursor_of(sink))
        return await self._db.read(lambda connection: connection.execute(query).scalar() or 0)

    async def cursor(self, sink: str, *, begin: int | None = None) -> int:
        """Return how far a sink has come; one that is new begins where it is told to, else at the end."""
        known = await self._db.read(lambda connection: _cursor(connection, sink))
        if known is not None:
            return known

        def work(connection: Connection) -> int:
            at = _end(connection) if begin is None else begin
            return _begin(connection, sink, at, self._clock())

        return await self._db.write(work)

    async def move(self, sink: str, before: int, to: int) -> None:
        """Note how far a sink has come; Conflict ``cursor_moved`` where somebody else serves it by now."""
        await self._db.write(
            lambda connection: move_cursor(connection, sink, before, to, self._clock())
        )

    async def tidy(self) -> None:
        """Forget rows that are old and that everybody has, and very old ones."""
        now = self._clock()

        def work(connection: Connection) -> int:
            end = _end(connection)
            cursors = [_cursor(connection, sink) for sink in self.sinks]
            got = min((one for one in cursors if one is not None), default=end)
            # The last row stays: by it a reader knows that no ids were given twice.
            old = delete(outbox).where(outbox.c.id < end, outbox.c.created_at < now - self._kept)
            connection.execute(old.where(outbox.c.id <= got))
            late = outbox.c.created_at < now - self._kept * PATIENCE
            return connection.execute(old.where(late)).rowcount

        if lost := await self._db.write(work):
            counters["outbox_forgotten"] += lost
            _LOGGER.warning("%d events were forgotten that a broker never got", lost)

    @command("outbox.read", Scope.READ, read_only=True)
    async def listed(self, _caller: Caller, params: Read) -> Json:
        """Return what was told behind a row, in its order; how a reader goes on after it was away.

        Without ``after`` only where the end is. A row of this id and another time shows that an older backup was
        restored: then what was told after that time is returned.
        """

        def work(connection: Connection) -> tuple[list[Json], Json]:
            end = connection.execute(_newest()).mappings().first()
            last = {"after": end["id"], "at": end["created_at"]} if end else {"after": 0, "at": 0.0}
            if params.after is None:
                return [], last
            query = select(outbox).where(_behind(connection, params.after, params.at))
            return _rows(connection, query, params.limit), last

        rows, last = await self._db.read(work)
        return {"items": _fitting([view(row) for row in rows]), "last": last}


def view(row: Json) -> Json:
    """Return a row as clients see it: without what people said."""
    data = row["data"]
    if row["topic"] == "conversation":
        data = {name: value for name, value in data.items() if name not in WORDS}
    return {
        "id": row["id"],
        "topic": row["topic"],
        "key": row["key"],
        "name": row["name"],
        "data": data,
        "at": row["created_at"],
    }


def move_cursor(connection: Connection, sink: str, before: int, to: int, now: float) -> None:
    """Move a cursor in the caller's transaction; Conflict ``cursor_moved`` where it is elsewhere."""
    moved = connection.execute(
        update(outbox_cursors)
        .where(outbox_cursors.c.sink == sink, outbox_cursors.c.last_id == before)
        .values(last_id=to, updated_at=now)
    )
    if moved.rowcount != 1:
        raise Conflict("cursor_moved", "Another process passes these events on")


def _begin(connection: Connection, sink: str, at: int, now: float) -> int:
    """Let a sink begin somewhere, unless another process was faster."""
    with suppress(IntegrityError), connection.begin_nested():
        values = {"sink": sink, "last_id": at, "updated_at": now}
        connection.execute(insert(outbox_cursors).values(values))
    return _cursor(connection, sink) or 0


def _cursor_of(sink: str) -> Any:
    query = select(outbox_cursors.c.last_id).where(outbox_cursors.c.sink == sink)
    return func.coalesce(query.scalar_subquery(), 0)


def _cursor(connection: Connection, sink: str) -> int | None:
    query = select(outbox_cursors.c.last_id).where(outbox_cursors.c.sink == sink)
    return connection.execute(query).scalar()


def _newest() -> Select[Any]:
    return select(outbox.c.id, outbox.c.created_at).order_by(outbox.c.id.desc()).limit(1)


def _end(connection: Connection) -> int:
    return connection.execute(_newest()).scalar() or 0


def _behind(connection: Connection, after: int, at: float | None) -> Any:
    """Return what lies behind a row; by the time where it is not the row that the reader knows."""
    if at is None:
        return outbox.c.id > after
    query = select(outbox.c.created_at).where(outbox.c.id == after)
    known = connection.execute(query).scalar()
    return outbox.c.id > after if known == at else outbox.c.created_at > at


def _rows(connection: Connection, query: Select[Any], limit: int) -> list[Json]:
    found = connection.execute(query.order_by(outbox.c.id).limit(limit))
    return [dict(row) for row in found.mappings()]


def _fitting(items: Sequence[Json]) -> list[Json]:
    """Return as many of the first items as surely fit into one frame."""
    room = MAX_FRAME_BYTES // 2
    kept: list[Json] = []
    for item in items:
        room -= len(json.dumps(item))
        if kept and room < 0:
            break
        kept.append(item)
    return kept
