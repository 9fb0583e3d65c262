"""What the brain and a process of vision say to each other: msgpack behind its length in four bytes.

Each order has exactly one answer, and the next order comes after it.
"""

from typing import BinaryIO, Final

import msgspec

from brain_server.protocol import Json

LENGTH: Final = 4


class Frame(msgspec.Struct, frozen=True, kw_only=True, tag=str.lower):
    """One thing said."""


class Look(Frame, frozen=True, kw_only=True):
    """Return a picture that was taken from now on; the first one opens the stream of this address."""

    url: str
    verify_ssl: bool = True
    seconds: float


class Load(Frame, frozen=True, kw_only=True):
    """Load a network; said once, first."""

    path: str
    threads: int = 1


class Judge(Frame, frozen=True, kw_only=True):
    """Let the network look at a picture."""

    image: bytes


class Seen(Frame, frozen=True, kw_only=True):
    """One picture of a stream, as JPEG."""

    image: bytes


class Loaded(Frame, frozen=True, kw_only=True):
    """The network is there: what it tells apart, which of that are failures, and its form."""

    labels: tuple[str, ...]
    failures: tuple[str, ...]
    form: str


class Judged(Frame, frozen=True, kw_only=True):
    """How sure the network is of each label, from 0 to 1."""

    scores: dict[str, float]


class Failed(Frame, frozen=True, kw_only=True):
    """An order that came to nothing."""

    code: str
    message: str
    fields: Json = {}


type Order = Look | Load | Judge
type Answer = Seen | Loaded | Judged | Failed

_ENCODER: Final = msgspec.msgpack.Encoder()
_ORDERS: Final = msgspec.msgpack.Decoder(Look | Load | Judge)
_ANSWERS: Final = msgspec.msgpack.Decoder(Seen | Loaded | Judged | Failed)


def packed(frame: Order | Answer) -> bytes:
    """Return a frame as it goes over the socket."""
    data = _ENCODER.encode(frame)
    return len(data).to_bytes(LENGTH) + data


def length_of(head: bytes) -> int:
    """Return how many bytes follow this head."""
    return int.from_bytes(head)


def answer_from(data: bytes) -> Answer:
    """Return what the process said."""
    answer: Answer = _ANSWERS.decode(data)
    return answer


def next_order(stream: BinaryIO) -> Order | None:
    """Wait for the next order; None when the brain has gone."""
    head = stream.read(LENGTH)
    data = stream.read(length_of(head)) if len(head) == LENGTH else b""
    return _ORDERS.decode(data) if data and len(data) == length_of(head) else None
