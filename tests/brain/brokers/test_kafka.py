"""The Kafka API, against the brokers that librdkafka plays for its own tests: nobody has a real Kafka here."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
import json
import socket
import time

from confluent_kafka import Consumer, Message as Record, Producer
import pytest

from brain_server.brokers import Message, Where
from brain_server.brokers.kafka import Kafka
from brain_server.errors import Unavailable
from brain_server.relay import Relay
from tests.brain.relay.desk import Desk, eventually
from tests.brain.soon import SOON


class Played:
    """Brokers inside a library; its methods block."""

    def __init__(self) -> None:
        """Start one."""
        self._owner = Producer(
            {"test.mock.num.brokers": 1, "bootstrap.servers": "", "log_level": 0}
        )
        (broker,) = self._owner.list_topics(timeout=SOON).brokers.values()
        self.address = f"{broker.host}:{broker.port}"

    def read(self, topic: str, count: int) -> list[Record]:
        """Return so many records of a topic."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.address,
                "group.id": "reader",
                "auto.offset.reset": "earliest",
            }
        )
        consumer.subscribe([topic])
        found: list[Record] = []
        deadline = time.monotonic() + SOON
        while len(found) < count and time.monotonic() < deadline:
            record = consumer.poll(0.2)
            if record is not None and record.error() is None:
                found.append(record)
        consumer.close()
        return found


@pytest.fixture(scope="module")
def played() -> Played:
    """Give a cluster."""
    return Played()


def kafka(address: str) -> Kafka:
    """Return the cluster as the brain knows it."""
    return Kafka(Where(url=f"kafka://{address}", instance_id="5eed"))


@asynccontextmanager
async def passing_on(desk: Desk, broker: Kafka) -> AsyncGenerator[Relay]:
    """Pass the events of a desk on, for the time of a block."""
    relay = Relay(desk.outbox, broker, sink="kafka", first_pause=0.02)
    desk.tasks.keep_up("relay", relay.run)
    await eventually(lambda: relay.connected)
    yield relay
    await desk.tasks.stop()


async def test_events_arrive_under_their_key_and_in_their_order(desk: Desk, played: Played) -> None:
    async with passing_on(desk, kafka(played.address)):
        for number in range(20):
            await desk.tell(number, topic="route.updates", key=f"s{number % 2}")
        found = await asyncio.to_thread(played.read, "kitty.route.updates", 20)
    of_one = [json.loads(one.value() or b"") for one in found if one.key() == b"s1"]
    assert [one["data"]["n"] for one in of_one] == list(range(1, 20, 2))
    assert len(found) == 20
    headers = dict(found[0].headers() or [])
    assert headers == {"id": json.loads(found[0].value() or b"")["id"].encode(), "name": b"said"}


async def test_a_cluster_that_goes_away_is_noticed(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Kafka, "keep_alive_s", 0.05)
    monkeypatch.setattr("brain_server.brokers.kafka.CONFIRM_S", 0.5)
    own = await asyncio.to_thread(Played)
    async with kafka(own.address).connect() as link:
        del own
        with pytest.raises(Unavailable) as caught:
            await link.ended()
        assert caught.value.code == "broker_unreachable"
        with pytest.raises(Unavailable) as caught:
            await link.publish(Message(id="1", topic="job", key="k", name="n", at=1.0, data={}))
        assert caught.value.code == "broker_unreachable"


async def test_an_event_that_is_too_large_is_refused(played: Played) -> None:
    async with kafka(played.address).connect() as link:
        with pytest.raises(Unavailable) as caught:
            await link.publish(
                Message(id="1", topic="job", key="k", name="n", at=1.0, data={"x": "x" * 2_000_000})
            )
    assert caught.value.code == "broker_refused"


async def test_user_and_tls_are_asked_for_as_the_address_says() -> None:
    plain = await kafka("me:p%3A@host:9093")._options()
    assert (plain["security_protocol"], plain["sasl_plain_password"]) == ("SASL_PLAINTEXT", "p:")
    where = Where(url="kafkas://host", instance_id="5eed")
    secret = await Kafka(where)._options()
    assert (secret["security_protocol"], secret["bootstrap_servers"]) == ("SSL", "host:9092")
    assert secret["ssl_context"].check_hostname is True


async def test_a_cluster_that_does_not_answer_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("brain_server.brokers.kafka.CONNECT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        address = f"127.0.0.1:{deaf.getsockname()[1]}"
        with pytest.raises(Unavailable):
            async with kafka(address).connect():
                pass
