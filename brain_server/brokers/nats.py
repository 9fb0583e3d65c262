"""NATS with JetStream: a stream that keeps events, and drops by itself what it got twice.

The stream is named by the prefix; an event has the subject ``prefix.topic.name``.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
import ssl
from typing import Any, ClassVar, Final, override

from brain_server.brokers import (
    CONFIRM_S,
    CONNECT_S,
    KEEP_ALIVE_S,
    Broker,
    Link,
    Message,
    Where,
    library,
    refused,
    unreachable,
)

_DAY: Final = 86_400.0
# So long the stream keeps events, and knows which it has.
KEPT: Final = 7 * _DAY
KNOWN: Final = 3600.0
MOST_BYTES: Final = 1024**3
GOODBYE_S: Final = 2.0


class Nats(Broker):
    """One server of NATS."""

    name: ClassVar = "nats"
    schemes: ClassVar = frozenset({"nats", "tls"})
    keep_alive_s: ClassVar = KEEP_ALIVE_S

    @override
    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[Link]:
        """Connect, and see to it that the stream is there."""
        nats = await library("nats", "nats")
        where = self.where
        ended = asyncio.Event()
        errors: list[Exception] = []

        async def note_error(err: Exception) -> None:
            errors[:] = [err]

        async def note_end() -> None:
            ended.set()

        client = nats.NATS()
        try:
            try:
                async with asyncio.timeout(CONNECT_S):
                    await client.connect(
                        where.url.partition("?")[0],
                        name="kitty",
                        # The relay connects again: by itself the library would send what nobody waits for any more.
                        allow_reconnect=False,
                        max_reconnect_attempts=1,
                        reconnect_time_wait=0,
                        connect_timeout=CONNECT_S,
                        ping_interval=self.keep_alive_s,
                        max_outstanding_pings=1,
                        error_cb=note_error,
                        closed_cb=note_end,
                        disconnected_cb=note_end,
                        tls=await self._tls(),
                    )
                    stream = client.jetstream(timeout=CONFIRM_S)
                    await _stream(nats, stream, where.prefix)
            except (OSError, nats.errors.Error) as err:  # a TimeoutError is one, too
                raise unreachable(where, repr((errors or [err])[0])) from err
            yield NatsLink(where, nats, stream, ended)
        finally:
            with suppress(OSError, nats.errors.Error):
                async with asyncio.timeout(GOODBYE_S):
                    await client.close()

    async def _tls(self) -> ssl.SSLContext | None:
        if self.where.parts.scheme != "tls":
            return None
        return await asyncio.to_thread(self.where.trust)


class NatsLink(Link):
    """An open connection."""

    def __init__(self, where: Where, nats: Any, stream: Any, ended: asyncio.Event) -> None:
        """Take the library, the stream, and what tells of the end."""
        self._where = where
        self._nats = nats
        self._stream = stream
        self._ended = ended

    @override
    async def publish(self, message: Message) -> None:
        """Publish an event; returns when the stream has it."""
        errors = self._nats.errors
        try:
            await self._stream.publish(
                f"{self._where.prefix}.{message.place}",
                message.envelope(),
                headers={"Nats-Msg-Id": message.id},
            )
        except (errors.MaxPayloadError, self._nats.js.errors.APIError) as err:
            raise refused(self._where, repr(err)) from err
        except (OSError, errors.Error) as err:
            raise unreachable(self._where, repr(err)) from err

    @override
    async def ended(self) -> None:
        """Wait for the end of the connection."""
        await self._ended.wait()
        raise unreachable(self._where, "the connection ended")


async def _stream(nats: Any, stream: Any, prefix: str) -> None:
    """Make the stream, unless there is one that takes our subjects."""
    subject = f"{prefix}.>"
    try:
        await stream.find_stream_name_by_subject(subject)
    except nats.js.errors.NotFoundError:
        await stream.add_stream(
            nats.js.api.StreamConfig(
                name=prefix.upper(),
                subjects=[subject],
                max_age=KEPT,
                max_bytes=MOST_BYTES,
                duplicate_window=KNOWN,
            )
        )
