"""Rigs for the providers' tests."""

from collections.abc import AsyncIterator

import pytest

from tests.brain.providers.rigs import AnthropicRig, CompatibleRig, OpenAIRig, Rig


@pytest.fixture
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    """Give the rig of a class."""
    async with request.param.open() as ready:
        yield ready


@pytest.fixture
async def compatible() -> AsyncIterator[CompatibleRig]:
    """Give a server that speaks OpenAI's protocol."""
    async with CompatibleRig.open() as ready:
        yield ready


@pytest.fixture
async def openai() -> AsyncIterator[OpenAIRig]:
    """Give OpenAI."""
    async with OpenAIRig.open() as ready:
        yield ready


@pytest.fixture
async def anthropic() -> AsyncIterator[AnthropicRig]:
    """Give Anthropic."""
    async with AnthropicRig.open() as ready:
        yield ready
