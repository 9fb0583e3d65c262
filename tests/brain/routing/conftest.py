"""The fixtures of a brain with its Home Assistant and the models that tests play."""

import pytest

from tests.brain.api.conftest import brain, home, rest
from tests.brain.stage import Scripts, set_stage

__all__ = ["brain", "home", "rest"]


@pytest.fixture
def scripts() -> Scripts:
    """Give what each model says: a function of the request, by the name of its part."""
    return set_stage()
