"""What all tests of the brain share."""

from collections.abc import Iterator

from blockbuster import BlockBuster, blockbuster_ctx
import pytest


@pytest.fixture(autouse=True)
def blockbuster() -> Iterator[BlockBuster]:
    """Fail a test in which the brain blocks the event loop."""
    with blockbuster_ctx("brain_server") as guard:
        yield guard
