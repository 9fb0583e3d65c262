"""MQTT 5: events, what a conversation is at, whether the brain is there, and commands where a person allows them.

Everything is said below one prefix; there is no way to say anything elsewhere. A broker that forbids a topic
does not tell: what it swallowed looks like what it took.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
import importlib
import logging
import math
import re
from typing import Any, ClassVar, Final, override

import msgspec

from brain_server.brokers import (
    CONFIRM_S,
    CONNECT_S,
    CONTENT_TYPE,
    KEEP_ALIVE_S,
    Broker,
    Link,
    Message,
    Where,
    decoded,
    unreachable,
)
from brain_server.observability import counters
from brain_server.protocol import Json

_LOGGER = logging.getLogger(__name__)

PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
MOST_COMMAND_BYTES: Final = 64 * 1024
MOST_WAITING: Final = 100
# So long what a conversation is at stays at the broker: as long as the conversation itself without a word.
CONTEXT_S: Final = 3600
GOODBYE_S: Final = 2.0
_PART: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Mqtt(Broker):
    """One broker of MQTT."""

    name: ClassVar = "mqtt"
    schemes: ClassVar = frozenset(PORTS)
    keep_alive_s: ClassVar = KEEP_ALIVE_S

    @override
    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[Link]:
        """Connect, say that the brain is there, and at the end that it is not."""
        aiomqtt = await asyncio.to_thread(importlib.import_module, "aiomqtt")
        paho = await asyncio.to_thread(importlib.import_module, "paho.mqtt.client")
        client = await self._client(aiomqtt, paho)
        link = MqttLink(self.where, client, aiomqtt, paho)
        try:
            await client.__aenter__()
        except aiomqtt.MqttError as err:
            _let_go(client)
            raise unreachable(self.where, err) from err
        try:
            await link.begin()
            yield link
        finally:
            await link.end()

    async def _client(self, aiomqtt: Any, paho: Any) -> Any:
        where = self.where
        parts, (user, password) = where.parts, where.login
        tls = await asyncio.to_thread(where.trust) if parts.scheme == "mqtts" else None
        properties = paho.Properties(paho.PacketTypes.CONNECT)
        # A broker that has larger ones for us keeps them to itself.
        properties.MaximumPacketSize = MOST_COMMAND_BYTES + 1024
        return aiomqtt.Client(
            parts.hostname,
            parts.port or PORTS[parts.scheme],
            username=user,
            password=password,
            # One name for all brains of a house: whoever takes over ends the connection of the other.
            identifier=f"kitty-{where.instance_id}",
            protocol=aiomqtt.ProtocolVersion.V5,
            will=aiomqtt.Will(_place(where, "status"), b"offline", qos=1, retain=True),
            clean_start=True,
            keepalive=self.keep_alive_s,
            timeout=CONNECT_S,
            tls_context=tls,
            properties=properties,
            max_queued_incoming_messages=MOST_WAITING,
        )


class MqttLink(Link):
    """An open connection."""

    def __init__(self, where: Where, client: Any, aiomqtt: Any, paho: Any) -> None:
        """Take the client of the library, the library, and the one below it."""
        self._where = where
        self._client = client
        self._aiomqtt = aiomqtt
        self._paho = paho
        self._broken = False

    async def begin(self) -> None:
        """Say that the brain is there, and listen to commands where somebody takes them."""
        await self._say("status", payload=b"online", retain=True)
        if self._where.take is None:
            return
        options = self._paho.SubscribeOptions(qos=1, retainAsPublished=True)
        try:
            await self._client.subscribe(_place(self._where, "command"), options=options)
        except self._aiomqtt.MqttError as err:
            raise unreachable(self._where, err) from err

    async def end(self) -> None:
        """Say that the brain is going, if anybody still hears it, and hang up."""
        if self._broken:
            _let_go(self._client)
            return
        try:
            with suppress(TimeoutError, self._aiomqtt.MqttError):
                async with asyncio.timeout(GOODBYE_S):
                    place = _place(self._where, "status")
                    await self._client.publish(place, b"offline", qos=1, retain=True)
        finally:
            with suppress(TimeoutError, self._aiomqtt.MqttError):
                async with asyncio.timeout(GOODBYE_S):
                    await self._client.__aexit__(None, None, None)

    @override
    async def publish(self, message: Message) -> None:
        """Say an event; of a conversation also, to stay, what it is at."""
        await self._say("event", message.topic, payload=message.envelope())
        if message.topic == "conversation" and _ID.fullmatch(message.key):
            await self._say("ctx", message.key, payload=_context(message), retain=True)

    @override
    async def ended(self) -> None:
        """Take commands until the connection ends."""
        try:
            async for message in self._client.messages:
                await self._hear(message)
        except self._aiomqtt.MqttError as err:
            self._broken = True
            raise unreachable(self._where, err) from err

    async def _hear(self, message: Any) -> None:
        """Take one command; what is no command, or may be an old one, is counted and dropped."""
        payload = bytes(message.payload)
        body = decoded(payload) if len(payload) <= MOST_COMMAND_BYTES else None
        number = body.get("id") if body else None
        if message.retain:
            # It lay there, for whoever comes: nobody knows when it was meant.
            counters["mqtt_retained_ignored"] += 1
            _LOGGER.warning("A retained command on MQTT was ignored")
        elif body is None or not isinstance(number, str) or not _ID.fullmatch(number):
            counters["mqtt_commands_invalid"] += 1
            _LOGGER.warning("Something on MQTT that is no command was ignored")
        elif self._where.take is not None:
            answer = await self._where.take(body)
            await self._say("result", number, payload=msgspec.json.encode(answer))

    async def _say(self, *parts: str, payload: bytes, retain: bool = False) -> None:
        properties = self._paho.Properties(self._paho.PacketTypes.PUBLISH)
        if parts[0] == "ctx":
            properties.MessageExpiryInterval = CONTEXT_S
        if parts[0] != "status":
            properties.ContentType = CONTENT_TYPE
        try:
            # Ours is the limit that counts: the library says alike of what is late and of what is cut off.
            async with asyncio.timeout(CONFIRM_S):
                await self._client.publish(
                    _place(self._where, *parts),
                    payload,
                    qos=1,
                    retain=retain,
                    properties=properties,
                    timeout=math.inf,
                )
        except (TimeoutError, self._aiomqtt.MqttError) as err:
            self._broken = True
            raise unreachable(self._where, repr(err)) from err


def _context(message: Message) -> bytes:
    data = message.data
    said: Json = {
        "event": message.name,
        "at": message.at,
        "tier": data.get("tier"),
        "pending": bool(data.get("pending")),
    }
    said |= {name: data[name] for name in ("text", "reply") if name in data}
    return msgspec.json.encode(said)


def _let_go(client: Any) -> None:
    """Hang up; by itself the library leaves a connection open that broke in its own hands."""
    client._client.disconnect()  # noqa: SLF001 - it shows it no other way


def _place(where: Where, *parts: str) -> str:
    """Return a topic below the prefix; nothing in a part can lead out of it."""
    for part in parts:
        if not _PART.fullmatch(part):
            message = f"{part!r} is no part of a topic"
            raise ValueError(message)
    return "/".join((where.prefix, *parts))
