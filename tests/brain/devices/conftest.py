"""The fixtures of a brain with its Home Assistant."""

from tests.brain.api.conftest import brain, clock, home, rest

__all__ = ["brain", "clock", "home", "rest"]
