"""A power cut loses no row of the trail that somebody was told of."""

import asyncio

import pytest

from tests.bench.powerloss import powerloss


@pytest.mark.slow
@pytest.mark.service
@pytest.mark.timeout(600)
async def test_three_hundred_power_cuts_lose_nothing_that_was_told() -> None:
    """And with a weaker setting they do lose rows: the rig bites."""
    found = await asyncio.to_thread(powerloss, 300, control=60, operations=320, processes=1)
    full, normal = found["full"], found["normal"]
    assert full["trials"] == 300
    assert (full["lost"], full["integrity_failed"], full["chain_broken"]) == (0, 0, 0)
    assert full["chains_recomputed"] > 0
    assert normal["lost"] > 20
    assert (normal["integrity_failed"], normal["chain_broken"]) == (0, 0)
