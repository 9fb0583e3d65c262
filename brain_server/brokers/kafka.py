"""The Kafka API (Kafka, Redpanda): one topic for each of ours, and the key as the key, so that order is kept.

A topic is named ``prefix.topic``. The producer is idempotent: what it sends again by itself comes once.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
import logging
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

PORT: Final = 9092
GOODBYE_S: Final = 2.0


class Kafka(Broker):
    """One cluster; it is enough to know one server of it."""

    name: ClassVar = "kafka"
    schemes: ClassVar = frozenset({"kafka", "kafkas"})
    keep_alive_s: ClassVar = KEEP_ALIVE_S

    @override
    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[Link]:
        """Connect to the cluster; its topics are made by it, or by those who run it."""
        aiokafka = await library("aiokafka", "kafka")
        # By itself it tells of every attempt; the relay tells once.
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
        where = self.where
        producer = aiokafka.AIOKafkaProducer(**await self._options())
        try:
            try:
                async with asyncio.timeout(CONNECT_S):
                    await producer.start()
            except (OSError, aiokafka.errors.KafkaError) as err:  # a TimeoutError is one, too
                raise unreachable(where, repr(err)) from err
            yield KafkaLink(where, aiokafka, producer, self.keep_alive_s)
        finally:
            with suppress(OSError, aiokafka.errors.KafkaError):
                async with asyncio.timeout(GOODBYE_S):
                    await producer.stop()

    async def _options(self) -> dict[str, Any]:
        parts, (user, password) = self.where.parts, self.where.login
        tls = parts.scheme == "kafkas"
        options: dict[str, Any] = {
            "bootstrap_servers": f"{parts.hostname}:{parts.port or PORT}",
            "client_id": "kitty",
            "acks": "all",
            "enable_idempotence": True,
            "request_timeout_ms": round(CONFIRM_S * 1000),
            "security_protocol": ("SASL_" if user else "") + ("SSL" if tls else "PLAINTEXT"),
        }
        if user:
            options |= {
                "sasl_mechanism": "PLAIN",
                "sasl_plain_username": user,
                "sasl_plain_password": password or "",
            }
        if tls:
            options["ssl_context"] = await asyncio.to_thread(self.where.trust)
        return options


class KafkaLink(Link):
    """An open connection."""

    def __init__(self, where: Where, aiokafka: Any, producer: Any, keep_alive_s: float) -> None:
        """Take the library and its producer."""
        self._where = where
        self._errors = aiokafka.errors
        self._producer = producer
        self._keep_alive_s = keep_alive_s

    @override
    async def publish(self, message: Message) -> None:
        """Publish an event; returns when all servers that must have it have it."""
        try:
            async with asyncio.timeout(CONFIRM_S):
                await self._producer.send_and_wait(
                    f"{self._where.prefix}.{message.topic}",
                    message.envelope(),
                    key=message.key.encode(),
                    headers=[("id", message.id.encode()), ("name", message.name.encode())],
                )
        except (self._errors.MessageSizeTooLargeError, self._errors.RecordTooLargeError) as err:
            raise refused(self._where, repr(err)) from err
        except (OSError, self._errors.KafkaError) as err:
            raise unreachable(self._where, repr(err)) from err

    @override
    async def ended(self) -> None:
        """Look now and then whether the cluster still answers; the library does not tell."""
        while True:
            await asyncio.sleep(self._keep_alive_s)
            try:
                async with asyncio.timeout(CONFIRM_S):
                    await self._producer.client.fetch_all_metadata()
            except (OSError, self._errors.KafkaError) as err:
                raise unreachable(self._where, repr(err)) from err
