"""AMQP on a real RabbitMQ: a topic exchange with confirms, queues for a start, and a place for what nobody can do."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
import json
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
import pytest

from brain_server.brokers import Message, Where
from brain_server.brokers.amqp import MOST_DELIVERIES, Amqp
from brain_server.errors import Unavailable
from brain_server.protocol import Json
from brain_server.relay import Relay
from tests.brain.relay.desk import Desk, eventually
from tests.standins.rabbitmq import RabbitMq

# It takes seconds to start, and to start again.
pytestmark = [
    *(pytest.mark.service, pytest.mark.slow, pytest.mark.timeout(300)),
    # Of an attempt to connect that failed the library leaves a coroutine to the collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

TASK: Json = {
    "id": "w1",
    "type": "research",
    "payload": {"question": "why?"},
    "timestamp": 5.0,
    "correlation_id": "r-1",
    "retry_count": 1,
}
RESULT: Json = {
    "task_id": "w1",
    "status": "SUCCESS",
    "result": {"report": "because"},
    "error": None,
    "processing_time_ms": 12,
}
EVENT: Json = {
    "event_type": "AGENT_STATUS_CHANGE",
    "source": "5eed",
    "data": {"status": "online"},
    "timestamp": 5.0,
}


def where(rabbitmq: RabbitMq, prefix: str) -> Amqp:
    """Return the broker as the brain knows it; each test has its own corner of it."""
    return Amqp(Where(url=rabbitmq.url, instance_id="5eed", prefix=prefix))


def message(topic: str, data: Json, number: int = 1, **more: Any) -> Message:
    """Return an event."""
    fields: Json = {"key": "w1", "name": "research", "at": 5.0} | more
    return Message(id=f"5eed:{number}:0", topic=topic, data=data, **fields)


@pytest.fixture
async def prefix(request: pytest.FixtureRequest) -> str:
    """Give a name that no other test has."""
    return f"kitty-{abs(hash(request.node.name)) % 10**8}"


@pytest.fixture
async def channel(rabbitmq: RabbitMq) -> AsyncIterator[AbstractChannel]:
    """Give the connection of somebody else."""
    async with await aio_pika.connect(rabbitmq.url) as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=1)
        yield channel


async def one(channel: AbstractChannel, queue: str) -> AbstractIncomingMessage:
    """Wait for the next message of a queue: what comes from another one, or from who has left, comes later."""
    there = await channel.get_queue(queue)
    async with asyncio.timeout(60):
        while True:
            if found := await there.get(fail=False):
                return found
            await asyncio.sleep(0.05)  # until the next look


@pytest.mark.parametrize(
    ("topic", "queue", "data"),
    [("task", "tasks", TASK), ("result", "results", RESULT), ("event", "events", EVENT)],
)
async def test_work_results_and_events_lie_in_queues_in_their_own_form(
    rabbitmq: RabbitMq, channel: AbstractChannel, prefix: str, topic: str, queue: str, data: Json
) -> None:
    async with where(rabbitmq, prefix).connect() as link:
        await link.publish(message(topic, data, correlation_id="r-1"))
    found = await one(channel, f"{prefix}.{queue}")
    assert json.loads(found.body) == data
    assert (found.message_id, found.correlation_id, found.type) == ("5eed:1:0", "r-1", "research")
    assert found.routing_key == f"{topic}.research"
    assert found.content_type == "application/json"
    assert found.delivery_mode is aio_pika.DeliveryMode.PERSISTENT
    assert found.headers.items() >= {"topic": topic, "key": "w1", "name": "research"}.items()


async def test_other_events_come_to_those_who_bind_a_queue(
    rabbitmq: RabbitMq, channel: AbstractChannel, prefix: str
) -> None:
    async with where(rabbitmq, prefix).connect() as link:
        queue = await channel.declare_queue(f"{prefix}.mine", durable=True)
        await queue.bind(prefix, routing_key="job.*")
        await link.publish(message("job", {"n": 1}, name="completed"))
        await link.publish(message("safety", {"n": 2}, name="requested"))
    found = await one(channel, f"{prefix}.mine")
    assert json.loads(found.body) == {
        "id": "5eed:1:0",
        "topic": "job",
        "key": "w1",
        "name": "completed",
        "at": 5.0,
        "data": {"n": 1},
    }
    assert await queue.get(fail=False) is None


async def test_what_a_consumer_did_not_finish_comes_again_once(
    rabbitmq: RabbitMq, channel: AbstractChannel, prefix: str
) -> None:
    async with where(rabbitmq, prefix).connect() as link:
        await link.publish(message("task", TASK))
    async with await aio_pika.connect(rabbitmq.url) as doomed:
        first = await one(await doomed.channel(), f"{prefix}.tasks")
    again = await one(channel, f"{prefix}.tasks")
    await again.ack()
    assert (first.message_id, first.redelivered) == (again.message_id, False)
    assert again.redelivered is True
    assert await (await channel.get_queue(f"{prefix}.tasks")).get(fail=False) is None


async def test_what_nobody_can_do_is_put_aside_after_some_tries(
    rabbitmq: RabbitMq, channel: AbstractChannel, prefix: str
) -> None:
    async with where(rabbitmq, prefix).connect() as link:
        await link.publish(message("task", TASK))
    for _ in range(MOST_DELIVERIES + 1):
        await (await one(channel, f"{prefix}.tasks")).nack(requeue=True)
    dead = await one(channel, f"{prefix}.dead")
    assert await (await channel.get_queue(f"{prefix}.tasks")).get(fail=False) is None
    assert dead.message_id == "5eed:1:0"
    assert dead.headers["x-first-death-reason"] == "delivery_limit"


async def test_queues_that_somebody_made_otherwise_are_left_as_they_are(
    rabbitmq: RabbitMq, channel: AbstractChannel, prefix: str
) -> None:
    await channel.declare_exchange(prefix, "topic", durable=True)
    queue = await channel.declare_queue(f"{prefix}.tasks", durable=True)
    await queue.bind(prefix, routing_key="task.#")
    async with where(rabbitmq, prefix).connect() as link:
        await link.publish(message("task", TASK))
    assert json.loads((await one(channel, f"{prefix}.tasks")).body) == TASK


async def test_a_broker_that_says_no_is_not_one_that_is_away(
    rabbitmq: RabbitMq, channel: AbstractChannel, prefix: str
) -> None:
    async with where(rabbitmq, prefix).connect() as link:
        full = {"x-max-length": 1, "x-overflow": "reject-publish"}
        queue = await channel.declare_queue(f"{prefix}.full", durable=True, arguments=full)
        await queue.bind(prefix, routing_key="job.#")
        await link.publish(message("job", {"n": 1}))
        with pytest.raises(Unavailable) as caught:
            await link.publish(message("job", {"n": 2}))
    assert caught.value.code == "broker_refused"


async def test_a_wrong_password_is_no_secret_and_shows_none(rabbitmq: RabbitMq) -> None:
    url = rabbitmq.url.replace("guest:guest", "guest:wr0ng")
    with pytest.raises(Unavailable) as caught:
        async with Amqp(Where(url=url, instance_id="5eed")).connect():
            pass
    assert caught.value.code == "broker_unreachable"
    assert "wr0ng" not in f"{caught.value.message} {caught.value.fields}"


async def test_a_broker_that_forbids_what_is_needed_is_no_use(rabbitmq: RabbitMq) -> None:
    with pytest.raises(Unavailable) as caught:
        async with Amqp(
            Where(url=rabbitmq.url, instance_id="5eed", prefix="amq.forbidden")
        ).connect():
            pass
    assert "AccessRefused" in caught.value.fields["reason"]


@asynccontextmanager
async def passing_on(desk: Desk, broker: Amqp) -> AsyncGenerator[Relay]:
    """Pass the events of a desk on, for the time of a block."""
    relay = Relay(desk.outbox, broker, sink="amqp", first_pause=0.05, most_pause=0.5)
    desk.tasks.keep_up("relay", relay.run)
    await eventually(lambda: relay.connected, limit=60)
    yield relay
    await desk.tasks.stop()


async def gone(desk: Desk) -> None:
    """Wait until everything was passed on."""
    async with asyncio.timeout(30):
        while True:
            if not await desk.outbox.waiting("amqp"):
                return
            await asyncio.sleep(0.05)  # until the next look


async def test_what_is_told_while_the_broker_is_dead_arrives_once_and_in_order(
    desk: Desk, rabbitmq: RabbitMq, prefix: str
) -> None:
    """The queue is on its disk; what was confirmed before it died is still there."""
    numbers: dict[str, int] = {}
    async with passing_on(desk, where(rabbitmq, prefix)) as relay:
        await asyncio.sleep(2)  # a queue that it made within its last moment it cannot open again
        await desk.tell(*range(20), topic="event")
        await gone(desk)
        await asyncio.to_thread(rabbitmq.kill)
        await eventually(lambda: not relay.connected)
        await desk.tell(*range(20, 60), topic="event")
        await asyncio.to_thread(rabbitmq.start)
        await gone(desk)
    async with await aio_pika.connect(rabbitmq.url) as connection:
        queue = await (await connection.channel()).get_queue(f"{prefix}.events")
        while found := await queue.get(fail=False):
            numbers.setdefault(str(found.message_id), json.loads(found.body)["n"])
            await found.ack()
    assert list(numbers.values()) == list(range(60))
