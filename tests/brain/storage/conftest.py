"""A database to write into, of each kind."""

from collections.abc import AsyncIterator

import pytest

from brain_server.storage import Database, tables


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Database]:
    """Give an open database with the tables of the gate."""
    made = Database(database_url, tables.safety, name="safety", durable=True)
    await made.open()
    yield made
    await made.close()
