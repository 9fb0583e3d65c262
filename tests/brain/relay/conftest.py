"""What the tests of events share: an outbox that runs, and a relay to a broker that a test plays."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from brain_server.relay import Relay
from brain_server.storage import Database, tables
from tests.brain.gatehouse import Clock
from tests.brain.relay.desk import Desk, Played, eventually


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """Give a database of the brain."""
    url = f"sqlite:///{tmp_path / 'brain.db'}"
    database = Database(url, tables.brain, name="brain", durable=False)
    await database.open()
    yield database
    await database.close()


@pytest.fixture
async def desk(database: Database, clock: Clock) -> AsyncIterator[Desk]:
    """Give an outbox that runs."""
    desk = Desk(database, clock)
    await desk.start()
    yield desk
    await desk.tasks.stop()


@pytest.fixture
def broker() -> Played:
    """Give a broker that is there."""
    return Played()


@pytest.fixture
async def relay(desk: Desk, broker: Played) -> Relay:
    """Give a relay that has begun, and goes on at once after a break."""
    relay = Relay(desk.outbox, broker, sink="played", first_pause=0.005, most_pause=0.01)
    desk.tasks.keep_up("relay", relay.run)
    await eventually(lambda: relay.connected)
    return relay
