"""A brain that is killed at any moment does nothing twice, nothing unasked, and forgets no promise."""

from pathlib import Path
import re

import pytest

from tests.bench import prints
from tests.bench.jobs_world import KITTY
from tests.bench.kill import POINTS, kill

BRAIN = Path(__file__).parents[2] / "brain_server"


def test_every_point_at_which_a_brain_can_be_told_to_die_is_used() -> None:
    """One that the test does not know would never be tried."""
    sources = [path.read_text("utf-8") for path in BRAIN.rglob("*.py")]
    assert {point for text in sources for point in re.findall(r'checkpoint\("(\w+)"\)', text)} == {
        *POINTS,
        *prints.POINTS,
        *KITTY.points,
    }


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_two_hundred_killed_brains_open_no_door_twice() -> None:
    """At named points of their work and at any moment, several lives on the same files."""
    figures = await kill(200)
    assert figures["troubles"] == []
    assert {
        "kills": 200,
        "double": 0,
        "unapproved": 0,
        "lost": 0,
        "unfinished": 0,
        "chain_ok": True,
    }.items() <= figures.items()
    assert figures["effects"] > 50
