"""Tells others what the gate recorded: a follower of the audit chain, which is in another database.

What it tells is chosen field by field. Of a person who was forced, of wrong codes, of keys and of pictures nothing
goes out.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from sqlalchemy import Connection, Row, func, select

from brain_server.bus import Bus, Event
from brain_server.outbox import BATCH, Outbox, move_cursor, tell
from brain_server.protocol import Json
from brain_server.storage import Database
from brain_server.storage.tables import audit

SINK: Final = "audit"
LOOK_EVERY: Final = 5.0
# What is told of: requests, what people decided, and how it ended.
KINDS: Final = frozenset(
    {
        "requested",
        "deferred",
        "claimed",
        "sent",
        "acked",
        "failed",
        "unknown",
        "late_outcome",
        "refused",
        "refused_at_claim",
        "confirmed",
        "approved",
        "denied",
        "withdrawn",
        "expired",
        "voided",
        # A switch of a part of KITTY.
        "capability_set",
    }
)
# Whoever forces a person reads along: a refusal by them looks like any other.
ALIKE: Final = {"duress": "denied"}
COLUMNS: Final = ("user_id", "device_id", "event_id", "command_id")
FIELDS: Final = (
    "device",
    "intent",
    "level",
    "channel",
    "reason",
    "detail",
    "capability",
    "enabled",
    "name",
)


class Trail:
    """Follows the chain."""

    def __init__(
        self,
        safety: Database,
        database: Database,
        outbox: Outbox,
        bus: Bus,
        clock: Callable[[], float],
        *,
        may: Callable[[], bool] = lambda: True,
    ) -> None:
        """Take the database of the chain, the one of the outbox, and what tells whether this process follows."""
        self._safety = safety
        self._db = database
        self._outbox = outbox
        self._clock = clock
        self._may = may
        self._news = asyncio.Event()
        bus.listen("audit.head", self._on_head)

    def _on_head(self, _event: Event) -> None:
        self._news.set()

    async def run(self) -> None:
        """Follow, for ever; what was recorded before there was an outbox is no news."""
        while True:
            self._news.clear()
            if self._may():
                await self.follow()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await self._news.wait()

    async def follow(self) -> None:
        """Tell of everything that was recorded and not yet told of."""
        end = await self._safety.read(_end)
        at = await self._outbox.cursor(SINK, begin=end)
        if at > end:  # an older backup of the chain was restored
            await self._outbox.move(SINK, at, end)
            at = end
        while at < end:
            at = await self._pass_on(at)

    async def _pass_on(self, at: int) -> int:
        """Tell of the next rows, and note it, in one transaction; returns how far it is told now."""
        query = select(audit).where(audit.c.seq > at).order_by(audit.c.seq).limit(BATCH)
        rows = await self._safety.read(lambda connection: connection.execute(query).all())

        def work(connection: Connection) -> None:
            now = self._clock()
            for row in rows:
                if (name := ALIKE.get(row.kind, row.kind)) in KINDS:
                    key = row.command_id or row.event_id or row.device_id or "house"
                    # Of two chains, one of them restored, rows may have the same number.
                    source = f"audit:{row.seq}:{row.hash[:16]}"
                    data = _data(row)
                    request = row.request_id
                    tell(
                        connection,
                        now,
                        "safety",
                        key,
                        name,
                        data,
                        source=source,
                        request_id=request,
                    )
            move_cursor(connection, SINK, at, rows[-1].seq, now)

        await self._db.write(work)
        return int(rows[-1].seq)


def _data(row: Row[Any]) -> Json:
    """Return what others may know of a row."""
    about = {name: getattr(row, name) for name in COLUMNS}
    about |= {name: row.data[name] for name in FIELDS if name in row.data}
    return {name: value for name, value in about.items() if value is not None} | {"at": row.at}


def _end(connection: Connection) -> int:
    return connection.execute(select(func.max(audit.c.seq))).scalar() or 0
