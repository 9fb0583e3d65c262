"""What the tests of brokers share: real brokers, and an outbox that is passed on to them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.brain.relay.conftest import (  # noqa: F401 - fixtures are asked for by name
    database,
    desk,
)
from tests.standins.mosquitto import Mosquitto
from tests.standins.nats_server import NatsServer
from tests.standins.rabbitmq import RabbitMq


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """Give a Mosquitto that lets everybody in and keeps nothing."""
    server = Mosquitto(tmp_path / "mosquitto", "persistence false")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """Give a NATS server with an empty JetStream."""
    server = NatsServer(tmp_path / "nats")
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMq]:
    """Give a RabbitMQ; it takes seconds to start, so that a module shares it."""
    server = RabbitMq(tmp_path_factory.mktemp("rabbitmq"))
    try:
        server.start()
        yield server
    finally:
        server.kill()
