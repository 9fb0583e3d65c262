"""A model that says what a test says; the brain finds it as it finds every provider."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
import json
from typing import Any, ClassVar

from brain_server.providers import (
    Calls,
    ModelProvider,
    ModelRequest,
    Option,
    OptionType,
    Part,
    Picture,
    ProviderInfo,
    TierName,
    ToolCall,
    Usage,
    Use,
    Words,
)

type Script = Callable[[ModelRequest], Sequence[Any]]


class Double(ModelProvider):
    """A model on strings. ``scripts`` and ``heard`` go by the option ``part``."""

    name: ClassVar[str] = "double"
    title: ClassVar[str] = "Double"
    options: ClassVar[tuple[Option, ...]] = (
        Option(name="part", label="Part", help="Which script it plays"),
        Option(name="key", label="Key", help="", type=OptionType.SECRET, required=False),
    )
    tier: ClassVar[TierName] = TierName.LOCAL
    uses: ClassVar[frozenset[Use]] = frozenset(Use)
    scripts: ClassVar[dict[str, Script]] = {}
    heard: ClassVar[dict[str, list[ModelRequest]]] = {}
    cancelled: ClassVar[list[str]] = []

    @property
    def part(self) -> str:
        """Return which script this one plays."""
        return str(self.context.options["part"])

    async def check(self) -> ProviderInfo:
        """Be there."""
        return ProviderInfo(models=(self.part,), model=self.part, context=8192)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Part]:
        """Say the lines of the script: words, parts, errors to raise, events to wait for."""
        self.heard.setdefault(self.part, []).append(request)
        said = 0
        finish = "stop"
        try:
            for line in self.scripts[self.part](request):
                await asyncio.sleep(0)
                if isinstance(line, BaseException):
                    raise line
                if isinstance(line, asyncio.Event):
                    await line.wait()
                    continue
                part = Words(text=line) if isinstance(line, str) else line
                said += len(part.text.split()) if isinstance(part, Words) else 1
                finish = "tool_calls" if isinstance(part, Calls) else finish
                yield part
        except GeneratorExit, asyncio.CancelledError:
            self.cancelled.append(self.part)
            raise
        yield Usage(tokens_in=100, tokens_out=said, finish=finish, model=f"{self.part}-1")

    async def embed(self, texts: Sequence[str]) -> list[Sequence[float]]:
        """Return vectors by letters: alike texts are alike."""
        return [[float(text.casefold().count(chr(97 + at))) for at in range(26)] for text in texts]

    async def draw(self, prompt: str) -> Picture:
        """Return a picture that is none."""
        return Picture(data=f"picture of {prompt}".encode(), media_type="image/png")


def sure(text: str, share: float = 0.97) -> list[Words]:
    """Return words, each as likely as told."""
    from math import log  # noqa: PLC0415 - only here

    parts = text.split(" ")
    return [
        Words(text=word if at == 0 else f" {word}", logprobs=(log(share),))
        for at, word in enumerate(parts)
    ]


def call(tool: str, number: int = 1, **arguments: Any) -> Calls:
    """Return a wish for one tool."""
    return Calls(calls=(ToolCall(id=f"call-{number}", name=tool, arguments=arguments),))


def answers(request: ModelRequest) -> list[str]:
    """Return what the tools of a request have said so far."""
    return [message.text for message in request.messages if message.author == "tool"]


def everything(request: ModelRequest) -> str:
    """Return all that a model was told, as one text."""
    return "\n".join(message.text for message in request.messages) + json.dumps(
        [tool.name for tool in request.tools]
    )
