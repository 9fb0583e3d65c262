"""The relay: passes what others are told on to a broker, in its order, once it is known to have arrived.

Where the broker is away the rows wait in the database. What was sent and perhaps not heard of is sent again with the
same id, so that a consumer can tell; nothing is passed over, and nothing overtakes.
"""

import asyncio
from collections.abc import Callable
import logging
import time
from typing import Final

from brain_server.brokers import Broker, Link, Message
from brain_server.errors import Conflict, KittyError, Unavailable
from brain_server.observability import counters
from brain_server.outbox import BATCH, WORDS, Outbox
from brain_server.protocol import Json
from brain_server.retry import backoff

_LOGGER = logging.getLogger(__name__)

FIRST_PAUSE: Final = 0.5
MOST_PAUSE: Final = 30.0
# A connection that lasted so long was a good one: the next break starts the waiting anew.
GOOD_S: Final = 30.0
# How often it is looked whether this process may still pass events on.
LOOK_EVERY: Final = 1.0
# A broker that falls over the same event so often is told of it without its data.
MOST_FALLS: Final = 4
# So long a broker may be away before the house is called unwell.
PATIENCE_S: Final = 30.0


class Relay:
    """Passes events on to one broker."""

    def __init__(
        self,
        outbox: Outbox,
        broker: Broker,
        *,
        sink: str,
        may: Callable[[], bool] = lambda: True,
        content: bool = False,
        first_pause: float = FIRST_PAUSE,
        most_pause: float = MOST_PAUSE,
    ) -> None:
        """``sink`` names the cursor; ``may`` tells whether this process is the one that passes events on.

        What people said goes along only with ``content``.
        """
        self._outbox = outbox
        self._broker = broker
        self._sink = sink
        self._may = may
        self._content = content
        self._pauses = (first_pause, most_pause)
        self._falls: dict[int, int] = {}
        self._trouble: KittyError | None = None
        self._away_since: float | None = None
        self.connected = False
        outbox.sinks.add(sink)

    async def run(self) -> None:
        """Pass events on, for ever."""
        waits = backoff(*self._pauses)
        # From here on everything goes there, also what is told before the broker is reached.
        await self._outbox.cursor(self._sink)
        while True:
            while not self._may():
                self._away_since = self._trouble = None
                await asyncio.sleep(LOOK_EVERY)
            begun = time.monotonic()
            try:
                await self._serve()
            except (Unavailable, Conflict) as err:
                self._note(err)
            finally:
                self.connected = False
            if time.monotonic() - begun > GOOD_S:
                waits = backoff(*self._pauses)
            await asyncio.sleep(next(waits))

    async def health(self) -> str | None:
        """Say what is wrong, None while the broker is there or has not been away for long."""
        away = self._away_since
        if self._trouble is None or away is None or time.monotonic() - away < PATIENCE_S:
            return None
        waiting = await self._outbox.waiting(self._sink)
        return f"{self._trouble.message} ({waiting} events wait)"

    def view(self) -> Json:
        """Return how it stands."""
        trouble = self._trouble and self._trouble.as_dict()
        return {
            "sink": self._sink,
            "broker": self._broker.where.shown,
            "connected": self.connected,
            "trouble": trouble,
        }

    async def _serve(self) -> None:
        """Pass events on over one connection; raises when it ends, returns when another process is to do it."""
        async with self._broker.connect() as link:
            self.connected = True
            self._trouble = self._away_since = None
            _LOGGER.info("Events go to %s", self._broker.where.shown)
            ends: list[BaseException] = []
            try:
                async with asyncio.TaskGroup() as both:
                    watch = both.create_task(link.ended())
                    await self._feed(link)
                    watch.cancel()
            except* (Unavailable, Conflict) as group:
                ends.extend(group.exceptions)
            if ends:
                raise ends[0]

    async def _feed(self, link: Link) -> None:
        """Hand over every event in its order and move the cursor behind it."""
        at = await self._outbox.cursor(self._sink)
        while self._may():
            rows = await self._outbox.read(at, BATCH)
            if not rows:
                await self._outbox.wait(at, LOOK_EVERY)
            for row in rows:
                await self._hand_over(link, row)
                await self._outbox.move(self._sink, at, row["id"])
                at = row["id"]
                if not self._may():
                    break

    async def _hand_over(self, link: Link, row: Json) -> None:
        """Hand one event over; whole, or bare where the broker has fallen over it again and again."""
        message = self._message(row)
        identity, falls = row["id"], self._falls.get(row["id"], 0)
        # Whole and bare in turns: perhaps it was not the event that the broker fell over.
        bare = falls >= MOST_FALLS and falls % 2 == 1
        try:
            await link.publish(message.bare() if bare else message)
        except asyncio.CancelledError:  # the connection ended while this was on its way
            self._falls[identity] = falls + 1
            raise
        except Unavailable as err:
            if err.code == "broker_refused":
                self._falls[identity] = falls + 1
            raise
        self._falls.pop(identity, None)
        counters[f"relayed_{self._sink}"] += 1
        if bare:
            counters[f"relayed_bare_{self._sink}"] += 1
            _LOGGER.error("The broker takes event %d only without its data", identity)

    def _message(self, row: Json) -> Message:
        data = row["data"]
        if not self._content and row["topic"] == "conversation":
            data = {name: value for name, value in data.items() if name not in WORDS}
        # An older backup that is restored gives ids again; never at the same time.
        instant = round(row["created_at"] * 1000)
        return Message(
            id=f"{self._broker.where.instance_id}:{row['id']}:{instant:x}",
            topic=row["topic"],
            key=row["key"],
            name=row["name"],
            at=row["created_at"],
            data=data,
            correlation_id=row["request_id"],
        )

    def _note(self, err: KittyError) -> None:
        """Remember what is wrong, and log it once."""
        counters[f"relay_breaks_{self._sink}"] += 1
        if self._away_since is None:
            self._away_since = time.monotonic()
        if self._trouble is None or self._trouble.code != err.code:
            _LOGGER.warning("Events wait: %s (%s)", err.message, err.fields.get("reason"))
        self._trouble = err
