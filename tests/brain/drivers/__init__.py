"""Tests of the drivers; what they share asserts, too, and is to say what it saw."""

import pytest

pytest.register_assert_rewrite("tests.brain.drivers.conformance", "tests.brain.drivers.watch")
