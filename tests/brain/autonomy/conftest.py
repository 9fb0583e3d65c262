"""The fixtures of a workshop that works by itself."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.brain.autonomy.works import Life, Works, works
from tests.brain.gatehouse import Clock
from tests.brain.stage import Scripts, set_stage


@pytest.fixture
def scripts() -> Scripts:
    """Give what each model says: a function of the request, by the name of its part."""
    return set_stage()


@pytest.fixture
async def shop(tmp_path: Path, clock: Clock) -> AsyncIterator[Works]:
    """Give a workshop, its database in a file."""
    async with works(f"sqlite:///{tmp_path / 'brain.db'}", tmp_path, clock) as made:
        yield made


@pytest.fixture
async def shop_anywhere(database_url: str, tmp_path: Path, clock: Clock) -> AsyncIterator[Works]:
    """Give a workshop on a database of each kind in turn."""
    url = database_url.replace("safety.db", "brain.db")
    async with works(url, tmp_path, clock) as made:
        yield made


@pytest.fixture
async def life(shop: Works) -> Life:
    """Give a brain that works in it, without models, its jobs run by hand."""
    made = await shop.begin()
    await made.by_hand()
    return made
