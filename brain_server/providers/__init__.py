"""The contract of a provider. One file in this folder is one provider; nothing else has to change.

A provider translates between one model's (or tool server's) wire and KITTY's words. It never decides
whether it may be asked, never retries, never counts money and never runs a tool: it says what came back.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from brain_server.plugins import Option as Option, OptionType as OptionType, Plugins
from brain_server.protocol import Json
from brain_server.sse import SILENCE_S

if TYPE_CHECKING:
    from aiohttp import ClientSession


class TierName(StrEnum):
    """Where an answer came from, from near and free to far and dear."""

    LOCAL = "local"
    MCP = "mcp"
    FRONTIER = "frontier"
    AGENT = "agent"


class Use(StrEnum):
    """What a model is for."""

    TOOLS = "tools"
    REASONING = "reasoning"
    VISION = "vision"
    CODE = "code"
    EMBEDDING = "embedding"
    IMAGE = "image"


class Author(StrEnum):
    """Who a message is from."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture in a message: its bytes and media type (``image/jpeg``, ``image/png``)."""

    data: bytes
    media_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A tool that the model wants run. ``arguments`` is None when they were not a JSON object."""

    id: str
    name: str
    arguments: Json | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message. ``calls`` only from the assistant, ``call_id`` only from a tool."""

    author: Author
    text: str = ""
    pictures: tuple[Picture, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    call_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool as a model sees it; ``parameters`` is a JSON Schema of type object."""

    name: str
    description: str
    parameters: Json
    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """What a model is asked. With ``schema`` the answer must be JSON that fits it."""

    messages: Sequence[Message]
    tools: Sequence[Tool] = ()
    schema: Json | None = None
    max_tokens: int = 1024
    temperature: float | None = None
    # Who asks, for fairness between chat and background (lower goes first). See ``routing.slots``.
    priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Some words of an answer, with the log-probability of each token where the provider gives it."""

    text: str
    logprobs: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """The tools that the model wants run, whole, at the end of its words."""

    calls: tuple[ToolCall, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The last part of every answer. Tokens are None where the provider does not tell."""

    tokens_in: int | None
    tokens_out: int | None
    # "stop", "length", "tool_calls" or "refusal"
    finish: str
    model: str


type Part = Words | Calls | Usage


# What every provider on the other side of a wire asks a person for.
PATIENCE: Final = Option(
    name="patience",
    label="Patience",
    help="Seconds without a sign of life before it is given up; a model that thinks needs more",
    type=OptionType.NUMBER,
    required=False,
    default=SILENCE_S,
    minimum=5,
    maximum=900,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderInfo:
    """What a provider found when it looked: its models, the one it uses, and its context in tokens."""

    models: tuple[str, ...]
    model: str | None
    context: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderContext:
    """What a provider is given."""

    provider_id: str
    options: Mapping[str, Any] = field(repr=False)
    session: ClientSession
    data_dir: Path
    uses: frozenset[Use] = field(default_factory=frozenset)


class Provider(ABC):
    """A model or a tool server. Made anew whenever its options change; connects on first use.

    Every method raises ``ProviderError`` with one of the codes of docs/ERRORS.md: ``provider_unreachable``,
    ``provider_auth``, ``provider_busy`` (429, with ``retry_after`` where told), ``provider_failed`` (with
    ``http_status``), ``provider_cut_off`` (an answer that ended in the middle), ``provider_invalid``
    (an answer that is no answer), ``model_missing``, ``model_loading``, ``model_too_large`` (with
    ``needs_mb`` and ``free_mb``), ``model_crashed``, ``context_exceeded``.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    options: ClassVar[tuple[Option, ...]]
    tier: ClassVar[TierName]
    # What it can be used for; empty: it is no model, but a server of tools.
    uses: ClassVar[frozenset[Use]]

    def __init__(self, context: ProviderContext) -> None:
        """Keep the context; no I/O and no heavy import here."""
        self.context = context

    @abstractmethod
    async def check(self) -> ProviderInfo:
        """Look whether the provider is there and has what the options name; cheap, and free of cost."""

    async def close(self) -> None:  # noqa: B027 - most hold nothing
        """Let go of connections and processes."""


class ModelProvider(Provider):
    """A provider of words."""

    @abstractmethod
    def stream(self, request: ModelRequest) -> AsyncGenerator[Part]:
        """Yield words as they come, then Calls if there are any, then Usage. Closing it cancels the model."""

    async def warm(self) -> None:
        """Get ready, so that the next question need not wait for that."""

    async def embed(self, texts: Sequence[str]) -> list[Sequence[float]]:
        """Return one vector for each text; ``model_missing`` where the provider has no such model."""
        raise NotImplementedError

    async def draw(self, prompt: str) -> Picture:
        """Return a picture; ``model_missing`` where the provider has no such model."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolAnswer:
    """What a tool of a server said: text from outside, to be treated as data."""

    text: str
    error: bool = False


class ToolServer(Provider):
    """A provider of tools, e.g. a web search."""

    uses: ClassVar[frozenset[Use]] = frozenset()

    @abstractmethod
    async def tools(self) -> tuple[Tool, ...]:
        """Return the tools that the server offers."""

    @abstractmethod
    async def call(self, tool: str, arguments: Json) -> ToolAnswer:
        """Run one tool."""


def discover() -> Plugins[type[Provider]]:
    """Return the provider classes of this folder by name; each is imported when it is first looked at."""
    return Plugins(__path__, __name__, Provider)
