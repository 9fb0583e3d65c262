"""A brain on loopback, the Home Assistant at its socket, and a program that talks HTTP to it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from brain_server.app import Brain
from tests.brain.home import Home, Later, Rest, at_home, running


@pytest.fixture
def clock() -> Later:
    """Give the clock of the brain, which a test may move ahead."""
    return Later()


@pytest.fixture
async def brain(tmp_path: Path, clock: Later) -> AsyncIterator[Brain]:
    """Give a brain that listens."""
    async with running(tmp_path, clock) as made:
        yield made


@pytest.fixture
async def home(brain: Brain) -> AsyncIterator[Home]:
    """Give the Home Assistant that is paired with the brain."""
    async with at_home(brain) as made:
        yield made


@pytest.fixture
async def rest(brain: Brain) -> AsyncIterator[Rest]:
    """Give a program with a token of scope integration."""
    async with Rest(brain) as made:
        yield made
