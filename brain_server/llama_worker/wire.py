"""What the brain and the process of a model say to each other: msgpack behind its length in four bytes."""

from typing import BinaryIO, Final

import msgspec

from brain_server.protocol import Json

LENGTH: Final = 4


class Frame(msgspec.Struct, frozen=True, kw_only=True, tag=str.lower):
    """One thing said."""


class Load(Frame, frozen=True, kw_only=True):
    """Load a model; said once, first."""

    path: str
    context: int
    threads: int
    eyes: str | None = None
    embedding: bool = False


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a conversation, in the words of a chat template."""

    role: str
    text: str
    pictures: tuple[bytes, ...] = ()


class Ask(Frame, frozen=True, kw_only=True):
    """Answer a conversation; with a schema, only JSON that fits it."""

    id: int
    turns: tuple[Turn, ...]
    schema: Json | None = None
    max_tokens: int
    temperature: float


class Embed(Frame, frozen=True, kw_only=True):
    """Return a vector for each text."""

    id: int
    texts: tuple[str, ...]


class Cancel(Frame, frozen=True, kw_only=True):
    """Stop this request, and all before it."""

    id: int


class Loaded(Frame, frozen=True, kw_only=True):
    """The model is there."""

    context: int


class Piece(Frame, frozen=True, kw_only=True):
    """Some text of an answer and the log-probability of each token in it."""

    text: str
    logprobs: tuple[float, ...]


class Done(Frame, frozen=True, kw_only=True):
    """The end of an answer: ``stop``, ``length`` or ``cancelled``."""

    id: int
    tokens_in: int
    tokens_out: int
    finish: str


class Vectors(Frame, frozen=True, kw_only=True):
    """The vectors of all texts, one after the other, as 32-bit floats of this machine."""

    id: int
    width: int
    data: bytes


class Failed(Frame, frozen=True, kw_only=True):
    """A request, or the loading, that did not work; ``id`` is 0 for the loading."""

    id: int
    code: str
    message: str
    fields: Json = {}


type Order = Load | Ask | Embed | Cancel
type Answer = Loaded | Piece | Done | Vectors | Failed

_ENCODER: Final = msgspec.msgpack.Encoder()
_ORDERS: Final = msgspec.msgpack.Decoder(Load | Ask | Embed | Cancel)
_ANSWERS: Final = msgspec.msgpack.Decoder(Loaded | Piece | Done | Vectors | Failed)


def packed(frame: Order | Answer) -> bytes:
    """Return a frame as it goes over the socket."""
    data = _ENCODER.encode(frame)
    return len(data).to_bytes(LENGTH) + data


def length_of(head: bytes) -> int:
    """Return how many bytes follow this head."""
    return int.from_bytes(head)


def answer_from(data: bytes) -> Answer:
    """Return what the process of a model said."""
    answer: Answer = _ANSWERS.decode(data)
    return answer


def next_order(stream: BinaryIO) -> Order | None:
    """Wait for the next order; None when the brain has gone."""
    head = stream.read(LENGTH)
    data = stream.read(length_of(head)) if len(head) == LENGTH else b""
    return _ORDERS.decode(data) if data and len(data) == length_of(head) else None
