"""AMQP 0-9-1 (RabbitMQ): a topic exchange with confirms, and queues for those who want to work on events.

The exchange is named by the prefix; what is published has the routing key ``topic.name``. The queues are there for
a start: whoever wants others binds them to the exchange.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
import logging
from typing import Any, ClassVar, Final, override

from yarl import URL

from brain_server.brokers import (
    CONFIRM_S,
    CONNECT_S,
    CONTENT_TYPE,
    KEEP_ALIVE_S,
    Broker,
    Link,
    Message,
    Where,
    library,
    refused,
    unreachable,
)

# Which events lie in which queue; what has no queue goes to those who bind their own.
QUEUES: Final = {"tasks": "task.#", "results": "result.#", "events": "event.#"}
DEAD: Final = "dead"
# So often a consumer may fall over a message before it is put aside.
MOST_DELIVERIES: Final = 5
# Where nobody consumes, the oldest make room.
MOST_LYING: Final = 10_000
GOODBYE_S: Final = 2.0


class Amqp(Broker):
    """One broker of AMQP."""

    name: ClassVar = "amqp"
    schemes: ClassVar = frozenset({"amqp", "amqps"})
    keep_alive_s: ClassVar = KEEP_ALIVE_S

    @override
    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[Link]:
        """Connect, and see to it that exchange and queues are there."""
        aio_pika = await library("aio_pika", "amqp")
        # By itself it tells of every attempt; the relay tells once.
        logging.getLogger("aiormq").setLevel(logging.CRITICAL)
        where = self.where
        tls = await asyncio.to_thread(where.trust) if where.parts.scheme == "amqps" else None
        url = URL(where.url).with_query({"heartbeat": str(self.keep_alive_s)})
        try:
            connection = await aio_pika.connect(url, timeout=CONNECT_S, ssl_context=tls)
        except _broken(aio_pika) as err:
            raise unreachable(where, repr(err)) from err
        try:
            try:
                async with asyncio.timeout(CONNECT_S):
                    exchange = await _exchange(aio_pika, connection, where.prefix)
            except _broken(aio_pika) as err:
                raise unreachable(where, repr(err)) from err
            yield AmqpLink(where, aio_pika, connection, exchange)
        finally:
            with suppress(*_broken(aio_pika)):
                async with asyncio.timeout(GOODBYE_S):
                    await connection.close()


class AmqpLink(Link):
    """An open connection."""

    def __init__(self, where: Where, aio_pika: Any, connection: Any, exchange: Any) -> None:
        """Take the library, its connection, and where to publish."""
        self._where = where
        self._aio_pika = aio_pika
        self._connection = connection
        self._exchange = exchange

    @override
    async def publish(self, message: Message) -> None:
        """Publish an event; returns when the broker has confirmed it."""
        aio_pika = self._aio_pika
        out = aio_pika.Message(
            message.body(),
            content_type=CONTENT_TYPE,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=message.id,
            correlation_id=message.correlation_id,
            timestamp=datetime.fromtimestamp(message.at, UTC),
            type=message.name,
            app_id=self._where.prefix,
            headers=message.headers(),
        )
        too_large = aio_pika.exceptions.ChannelPreconditionFailed
        try:
            await self._exchange.publish(
                out, routing_key=message.place, mandatory=False, timeout=CONFIRM_S
            )
        except (aio_pika.exceptions.DeliveryError, too_large) as err:
            raise refused(self._where, repr(err)) from err
        except _broken(aio_pika) as err:
            raise unreachable(self._where, repr(err)) from err

    @override
    async def ended(self) -> None:
        """Wait for the end of the connection."""
        ended = asyncio.Event()
        # Its own ``closed`` tells only of an end that it was asked for.
        self._connection.close_callbacks.add(lambda *_about: ended.set())
        if self._connection.connected.is_set():
            await ended.wait()
        raise unreachable(self._where, "the connection ended")


def _broken(aio_pika: Any) -> tuple[type[Exception], ...]:
    """Return what is raised where the connection is broken, or breaks; a TimeoutError is an OSError."""
    # What is asked of a connection that has just ended raises the last, which is no AMQPError.
    errors = aio_pika.exceptions
    return (OSError, errors.AMQPError, errors.ChannelInvalidStateError)


async def _exchange(aio_pika: Any, connection: Any, prefix: str) -> Any:
    """Declare what is needed, and return the exchange."""
    kind = aio_pika.ExchangeType
    common = {"x-max-length": MOST_LYING, "x-queue-type": "quorum"}
    channel = await connection.channel()
    try:
        exchange = await channel.declare_exchange(prefix, kind.TOPIC, durable=True)
        dead = await channel.declare_exchange(f"{prefix}.{DEAD}", kind.FANOUT, durable=True)
        lying = await channel.declare_queue(f"{prefix}.{DEAD}", durable=True, arguments=common)
        await lying.bind(dead)
        arguments = common | {
            "x-dead-letter-exchange": dead.name,
            "x-delivery-limit": MOST_DELIVERIES,
        }
        for name, key in QUEUES.items():
            queue = await channel.declare_queue(
                f"{prefix}.{name}", durable=True, arguments=arguments
            )
            await queue.bind(exchange, routing_key=key)
    except aio_pika.exceptions.ChannelPreconditionFailed:
        # Somebody made them otherwise, and surely knows why.
        channel = await connection.channel()
        return await channel.get_exchange(prefix)
    return exchange
