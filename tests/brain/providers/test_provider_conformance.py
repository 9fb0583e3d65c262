"""Every provider that speaks HTTP, put through the one table of what a provider of words must do."""

from collections.abc import AsyncIterator

import pytest

from tests.brain.providers.conformance import Check, cases
from tests.brain.providers.rigs import AnthropicRig, CompatibleRig, OpenAIRig, Rig


@pytest.fixture
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    """Give the rig of a class."""
    async with request.param.open() as ready:
        yield ready


@pytest.mark.parametrize(
    ("rig", "check"), cases(CompatibleRig, OpenAIRig, AnthropicRig), indirect=["rig"]
)
async def test_the_provider_does_what_every_provider_must(rig: Rig, check: Check) -> None:
    """See ``conformance.py``."""
    await check.run(rig)
