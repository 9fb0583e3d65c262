"""The contract of a message broker. One file in this folder is one kind of broker; nothing else has to change.

A link hands one message over and returns when the broker has taken it for good. It never tries again by itself,
keeps nothing and orders nothing: that is the relay's, whose rows are on the disk.
"""

from abc import ABC, abstractmethod
import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
import importlib
import re
import ssl
from typing import Any, ClassVar, Final
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import msgspec

from brain_server.errors import InvalidRequest, Unavailable
from brain_server.plugins import Plugins
from brain_server.protocol import Json

CONNECT_S: Final = 10.0
# So long a broker may take to say that it has a message.
CONFIRM_S: Final = 10.0
# A connection that is cut without a word is noticed after twice this time.
KEEP_ALIVE_S: Final = 15
CONTENT_TYPE: Final = "application/json"
# What has a form of its own, which brokers with headers send bare.
FORMED: Final = frozenset({"task", "result", "event"})
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.-]")

# What takes a command that came in, and returns the answer to it.
type Take = Callable[[Json], Awaitable[Json]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One event as it leaves the house. The ``id`` is the same however often it is sent."""

    id: str
    topic: str
    key: str
    name: str
    at: float
    data: Json
    correlation_id: str | None = None

    @property
    def place(self) -> str:
        """Return topic and name as brokers write them: nothing in it is a wildcard or a separator."""
        return f"{self.topic}.{_UNSAFE.sub('_', self.name)}"

    def envelope(self) -> bytes:
        """Return the event with all that is known of it."""
        body = {name: getattr(self, name) for name in ("id", "name", "topic", "key", "at", "data")}
        return _encoded(body)

    def body(self) -> bytes:
        """Return what goes to a broker whose headers say the rest."""
        return _encoded(self.data) if self.topic in FORMED else self.envelope()

    def headers(self) -> dict[str, str]:
        """Return what is said beside the body."""
        return {"topic": self.topic, "key": self.key, "name": self.name}

    def bare(self) -> Message:
        """Return the same event without its data, for a broker that does not take it whole."""
        return replace(self, data={"left_out": len(_encoded(self.data))})


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Which broker, as whom, and under which name everything there begins."""

    url: str
    instance_id: str
    prefix: str = "kitty"
    # Only for a broker that takes commands: what does so.
    take: Take | None = None

    @property
    def parts(self) -> SplitResult:
        """Return the address in its parts."""
        return urlsplit(self.url)

    @property
    def shown(self) -> str:
        """Return the address without what is secret in it."""
        parts = self.parts
        return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")

    @property
    def login(self) -> tuple[str | None, str | None]:
        """Return user and password."""
        parts = self.parts
        return (
            None if parts.username is None else unquote(parts.username),
            None if parts.password is None else unquote(parts.password),
        )

    def trust(self) -> ssl.SSLContext:
        """Return how TLS is spoken: what ``?cafile=`` names is trusted, else what the system does; blocks.

        InvalidRequest ``invalid_setting`` for a file that cannot be used.
        """
        found = parse_qs(self.parts.query).get("cafile", [None])
        try:
            return ssl.create_default_context(cafile=found[0])
        except OSError as err:  # also what is wrong inside the file
            raise InvalidRequest(
                "invalid_setting", f"{found[0]} cannot be used: {err}", field="cafile"
            ) from err


class Link(ABC):
    """An open connection to a broker."""

    @abstractmethod
    async def publish(self, message: Message) -> None:
        """Hand a message over; returns when the broker has it. Unavailable ``broker_*`` otherwise."""

    @abstractmethod
    async def ended(self) -> None:
        """Serve the connection until it ends; then Unavailable ``broker_unreachable``."""


class Broker(ABC):
    """One broker, of the kind that the file is about."""

    name: ClassVar[str]
    # What the address of such a broker begins with.
    schemes: ClassVar[frozenset[str]]

    def __init__(self, where: Where) -> None:
        """Take which one; nothing is imported or connected yet."""
        self.where = where

    @abstractmethod
    def connect(self) -> AbstractAsyncContextManager[Link]:
        """Connect, for a block; Unavailable ``broker_unreachable`` or ``broker_library_missing``."""


def discover() -> Plugins[type[Broker]]:
    """Return the kinds of brokers by name."""
    return Plugins(__path__, __name__, Broker)


def find(where: Where, setting: str) -> Broker:
    """Return the broker of an address; InvalidRequest ``invalid_setting`` for none that is known. Imports: blocks."""
    try:
        scheme, port = where.parts.scheme, where.parts.port
    except ValueError:
        scheme, port = "", None
    kinds = discover()
    fitting = [kind for kind in kinds.values() if scheme in kind.schemes]
    if not fitting or not where.parts.hostname or port == 0:
        known = ", ".join(sorted(f"{one}://" for kind in kinds.values() for one in kind.schemes))
        raise InvalidRequest(
            "invalid_setting", f"Setting {setting} must begin with one of {known}", field=setting
        )
    return fitting[0](where)


def unreachable(where: Where, why: object) -> Unavailable:
    """Return the error of a broker that does not answer, or no longer."""
    return Unavailable(
        "broker_unreachable", f"{where.shown} does not answer", broker=where.shown, reason=str(why)
    )


def refused(where: Where, why: object) -> Unavailable:
    """Return the error of a broker that answers, and does not take a message."""
    return Unavailable(
        "broker_refused", f"{where.shown} refuses an event", broker=where.shown, reason=str(why)
    )


async def library(name: str, extra: str) -> Any:
    """Return a library, imported when it is first needed; Unavailable ``broker_library_missing``.

    ``extra`` is what of this package is to be installed for it.
    """
    try:
        return await asyncio.to_thread(importlib.import_module, name)
    except ImportError as err:
        raise Unavailable(
            "broker_library_missing",
            f"{name} is not installed: install the extra '{extra}'",
            library=name,
            extra=extra,
        ) from err


def _encoded(value: Json) -> bytes:
    return msgspec.json.encode(value)


def decoded(payload: bytes) -> Json | None:
    """Return the object that came in, None for what is none."""
    try:
        found = msgspec.json.decode(payload)
    except msgspec.DecodeError, RecursionError:
        return None
    return found if isinstance(found, dict) else None
