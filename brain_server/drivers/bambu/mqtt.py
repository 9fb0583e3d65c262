"""As much of MQTT 3.1.1 as a printer speaks: one topic heard, messages sent at most once.

Small, because it must do what the usual clients do not: say the password only after the certificate was
checked, take no message larger than a printer sends, hold no thread, and end when it is cancelled.
"""

from contextlib import suppress
from typing import Final, Self

from brain_server.drivers.bambu.trust import Streams, Trust, connect
from brain_server.errors import DeviceError

KEEP_ALIVE_S: Final = 30
# A whole report of a printer with four AMS has some 30 KiB.
MAX_MESSAGE: Final = 1024 * 1024

_CONNECT: Final = 0x10
_CONNACK: Final = 0x20
_PUBLISH: Final = 0x30
_SUBSCRIBE: Final = 0x82
_SUBACK: Final = 0x90
_PINGREQ: Final = 0xC0
_DISCONNECT: Final = 0xE0
# Version 4 is 3.1.1; with a user, a password and a clean session.
_HEAD: Final = b"\x00\x04MQTT\x04\xc2" + KEEP_ALIVE_S.to_bytes(2)
_BAD_PASSWORD: Final = frozenset({b"\x04", b"\x05"})
_DENIED: Final = b"\x80"


class Mqtt:
    """One connection to a broker, logged in. Every method raises DeviceError when it is gone."""

    def __init__(self, streams: Streams) -> None:
        """Take an open connection."""
        self._reader, self._writer = streams

    @classmethod
    async def open(
        cls, host: str, port: int, known: Trust, *, user: str, password: str, topic: str
    ) -> Self:
        """Connect, log in and listen to a topic; DeviceError ``cannot_connect`` or ``invalid_auth``."""
        link = cls(await connect(host, port, known))
        try:
            await link._log_in(user, password)
            await link._subscribe(topic)
        except BaseException:
            link.close()
            raise
        return link

    @property
    def broken(self) -> bool:
        """Tell whether the connection is known to be gone."""
        return self._writer.is_closing()

    async def publish(self, topic: str, payload: bytes) -> None:
        """Send a message once; nobody says whether it arrived. DeviceError when it certainly did not."""
        self._send(_PUBLISH, _text(topic) + payload)
        if self.broken:
            raise DeviceError("cannot_connect", "The connection to the printer broke")
        with suppress(OSError):
            await self._writer.drain()

    async def next(self) -> bytes:
        """Return the next message of the topic."""
        while True:
            kind, body = await self._packet()
            if kind & 0xF0 == _PUBLISH:
                return body[2 + int.from_bytes(body[:2]) :]

    def ping(self) -> None:
        """Show the broker that somebody listens; wanted every ``KEEP_ALIVE_S``."""
        self._send(_PINGREQ)

    def close(self) -> None:
        """Say good-bye and hang up, without waiting for an answer."""
        self._send(_DISCONNECT)
        self._writer.transport.abort()

    async def _log_in(self, user: str, password: str) -> None:
        # Without a client id, which 3.1.1 allows: the broker gives one that nobody else has.
        self._send(_CONNECT, _HEAD + _text("") + _text(user) + _text(password))
        kind, answer = await self._packet()
        if kind == _CONNACK and answer[1:] in _BAD_PASSWORD:
            raise DeviceError("invalid_auth", "The printer does not accept the access code")
        if kind != _CONNACK or answer[1:] != b"\x00":
            raise DeviceError("cannot_connect", "The printer lets nobody in now")

    async def _subscribe(self, topic: str) -> None:
        self._send(_SUBSCRIBE, b"\x00\x01" + _text(topic) + b"\x00")
        kind, answer = await self._packet()
        if kind != _SUBACK or answer[2:] == _DENIED:
            raise DeviceError(
                "cannot_connect", "The printer tells nothing about this serial number"
            )

    async def _packet(self) -> tuple[int, bytes]:
        """Return the kind and the body of the next packet."""
        try:
            kind = (await self._reader.readexactly(1))[0]
            size = shift = 0
            while True:
                byte = (await self._reader.readexactly(1))[0]
                size |= (byte & 0x7F) << shift
                shift += 7
                if size > MAX_MESSAGE or shift > 28:
                    raise DeviceError("cannot_connect", "That address does not answer as a printer")
                if byte < 0x80:
                    return kind, await self._reader.readexactly(size)
        except (OSError, EOFError) as err:
            raise DeviceError("cannot_connect", "The connection to the printer broke") from err

    def _send(self, kind: int, body: bytes = b"") -> None:
        size, length = len(body), bytearray()
        while size > 0x7F:
            length.append(size & 0x7F | 0x80)
            size >>= 7
        self._writer.write(bytes([kind, *length, size]) + body)


def _text(value: str) -> bytes:
    encoded = value.encode()
    return len(encoded).to_bytes(2) + encoded
