"""What the tests of several brains share: a database of their own, and leases that end with the test."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from brain_server.cluster.lease import Lease
from brain_server.storage import Database, tables
from tests.standins.postgres import Postgres

# Much longer than a busy machine keeps a brain from renewing its lease.
TTL = 1.5


@pytest.fixture
def url(postgres: Postgres) -> Iterator[str]:
    """Give the address of an empty database."""
    made = postgres.new_database()
    yield made
    postgres.give_back(made)


@pytest.fixture
async def made(url: str) -> str:
    """Give the address of a database that has its tables."""
    database = Database(url, tables.brain, name="brain", durable=False)
    await database.open()
    await database.close()
    return url


@pytest.fixture
async def leased(url: str) -> AsyncIterator[Callable[..., Lease]]:
    """Give what makes the lease of one more brain."""
    leases: list[Lease] = []

    def lease(keys: str | None = "ours", ttl: float = TTL, address: str = url) -> Lease:
        leases.append(Lease(address, ttl=ttl, identity=lambda: keys, stop=asyncio.Event()))
        return leases[-1]

    yield lease
    for one in leases:
        await one.release()
