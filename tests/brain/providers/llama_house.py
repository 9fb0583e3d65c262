"""A data directory with the tiny model, and providers on it; for the tests of the local provider."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from aiohttp import ClientSession

from brain_server.providers import (
    Author,
    Calls,
    Message,
    ModelRequest,
    Part,
    ProviderContext,
    Usage,
    Use,
    Words,
)
from brain_server.providers.llama_cpp import LlamaCpp

WORDS_AND_TOOLS = frozenset({Use.TOOLS, Use.REASONING})
# Long enough to be interrupted: the tiny model writes some thousand tokens in a second.
LONG = 30_000


class NoSession:
    """A local model uses no network: any use of this fails."""


def question(text: str = "unlock the door", **rest: Any) -> ModelRequest:
    """Return a request of one message, whose answer is the same every time."""
    rest.setdefault("temperature", 0.0)
    return ModelRequest(messages=(Message(author=Author.USER, text=text),), **rest)


def provider(data_dir: Path, *, uses: frozenset[Use] = WORDS_AND_TOOLS, **options: Any) -> LlamaCpp:
    """Return a provider on the model ``tiny`` of a data directory; the caller closes it."""
    return LlamaCpp(
        ProviderContext(
            provider_id="local",
            options={"model": "tiny", "context": 2048, "threads": 1} | options,
            session=cast("ClientSession", NoSession()),
            data_dir=data_dir,
            uses=uses,
        )
    )


@asynccontextmanager
async def local(data_dir: Path, **options: Any) -> AsyncIterator[LlamaCpp]:
    """Open a provider for the time of a block."""
    made = provider(data_dir, **options)
    try:
        yield made
    finally:
        await made.close()


async def parts_of(stream: AsyncGenerator[Part]) -> list[Part]:
    """Return a whole answer."""
    return [part async for part in stream]


def words_of(parts: list[Part]) -> str:
    """Return what was said."""
    return "".join(part.text for part in parts if isinstance(part, Words))


def usage_of(parts: list[Part]) -> Usage:
    """Return the last part."""
    assert isinstance(parts[-1], Usage)
    return parts[-1]


def calls_of(parts: list[Part]) -> list[tuple[str, Any]]:
    """Return the tools that were called, with their arguments."""
    return [
        (call.name, call.arguments)
        for part in parts
        if isinstance(part, Calls)
        for call in part.calls
    ]
