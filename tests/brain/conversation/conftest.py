"""The fixtures of a brain with its Home Assistant, and of the models that tests play."""

import pytest

from tests.brain.api.conftest import brain, clock, home, rest
from tests.brain.stage import Scripts, set_stage

__all__ = ["brain", "clock", "home", "rest"]


@pytest.fixture
def scripts() -> Scripts:
    """Give what each model says: a function of the request, by the name of its part."""
    return set_stage()
