"""Every provider that speaks HTTP, put through the one table of what a provider of words must do."""

import pytest

from tests.brain.providers.conformance import Check, cases
from tests.brain.providers.rigs import AnthropicRig, CompatibleRig, OpenAIRig, Rig


@pytest.mark.parametrize(
    ("rig", "check"), cases(CompatibleRig, OpenAIRig, AnthropicRig), indirect=["rig"]
)
async def test_the_provider_does_what_every_provider_must(rig: Rig, check: Check) -> None:
    """See ``conformance.py``."""
    await check.run(rig)
