"""OpenAI's SDK at a brain, and what the tests ask with it."""

from collections.abc import AsyncIterator
from typing import Any

from openai import AsyncOpenAI
import pytest

from brain_server.app import Brain
from tests.brain.home import TOKEN
from tests.brain.stage import Scripts, set_stage

ASKED: Any = [{"role": "user", "content": "Say hello."}]
LAMP: Any = {
    "type": "function",
    "function": {
        "name": "lamp",
        "description": "Switch a lamp",
        "parameters": {
            "type": "object",
            "properties": {"on": {"type": "boolean"}},
            "required": ["on"],
            "additionalProperties": False,
        },
    },
}
BELL: Any = {"type": "function", "function": {"name": "bell", "description": "Ring"}}


@pytest.fixture
def scripts() -> Scripts:
    """Give what each model says."""
    return set_stage()


@pytest.fixture
async def sdk(brain: Brain) -> AsyncIterator[AsyncOpenAI]:
    """Give OpenAI's SDK, pointed at the brain; it tries nothing twice."""
    async with client(brain, TOKEN) as made:
        yield made


def client(brain: Brain, token: str) -> AsyncOpenAI:
    """Return the SDK with a token."""
    return AsyncOpenAI(
        base_url=f"http://127.0.0.1:{brain.port}/v1", api_key=token, max_retries=0, timeout=5
    )


async def streamed(sdk: AsyncOpenAI, **more: Any) -> list[Any]:
    """Return all chunks of a stream."""
    asked = {"model": "auto", "messages": ASKED} | more
    return [chunk async for chunk in await sdk.chat.completions.create(stream=True, **asked)]


def words(chunks: list[Any]) -> str:
    """Return what the chunks say."""
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def picture(url: str) -> Any:
    """Return a message with a picture."""
    parts = [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": url}}]
    return [{"role": "user", "content": parts}]
