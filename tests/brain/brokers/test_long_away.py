"""A broker that is away for long, and a brain that is started again meanwhile: each event comes once, in its order.

The ten minutes are those of the clock of the house, and the pauses between two attempts a hundredth of what they are
there; brokers, connections and the death are real.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
import json

import aio_pika
import pytest

from brain_server.brokers import Broker, Where
from brain_server.brokers.amqp import Amqp
from brain_server.brokers.mqtt import Mqtt
from brain_server.errors import Unavailable
from brain_server.relay import Relay
from tests.brain.brokers.test_mqtt import Panel, listening
from tests.brain.relay.desk import Desk, eventually
from tests.standins.mosquitto import Mosquitto
from tests.standins.rabbitmq import RabbitMq

pytestmark = [
    *(pytest.mark.service, pytest.mark.slow, pytest.mark.timeout(300)),
    # Of an attempt to connect that failed the library leaves a coroutine to the collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

KEYS = 8
MINUTES = 10
OF_A_MINUTE = 40
PAUSES = {"first_pause": 0.005, "most_pause": 0.3}
ALL = list(range(MINUTES * OF_A_MINUTE))


def begun(desk: Desk, broker: Broker) -> Relay:
    """Begin to pass on what a desk tells."""
    relay = Relay(desk.outbox, broker, sink="away", **PAUSES)
    desk.tasks.keep_up("relay", relay.run)
    return relay


async def through_it(desk: Desk, broker: Broker) -> Desk:
    """Tell of things for ten minutes in which the broker is away; returns the second life of the brain."""
    for minute in range(MINUTES):
        for number in ALL[minute * OF_A_MINUTE : (minute + 1) * OF_A_MINUTE]:
            await desk.tell(number, topic="event", key=f"k{number % KEYS}")
        desk.clock.advance(60)
        await desk.outbox.tidy()
        if minute == MINUTES // 2:
            desk = await desk.again()
            begun(desk, broker)
    assert await desk.outbox.waiting("away") == len(ALL)
    return desk


async def passed_on(desk: Desk) -> None:
    """Wait until nothing waits any more."""
    async with asyncio.timeout(60):
        while True:
            if not await desk.outbox.waiting("away"):
                return
            await asyncio.sleep(0.05)  # until the next look


def by_key(bodies: Sequence[tuple[str, int]]) -> dict[str, list[int]]:
    """Return the numbers of each key as they came."""
    found: dict[str, list[int]] = defaultdict(list)
    for key, number in bodies:
        found[key].append(number)
    return found


EXPECTED = by_key([(f"k{number % KEYS}", number) for number in ALL])


async def test_mosquitto(desk: Desk, mosquitto: Mosquitto) -> None:
    """Somebody who listens hears all of it when it is back."""
    broker = Mqtt(Where(url=mosquitto.url, instance_id="5eed"))
    relay = begun(desk, broker)
    await eventually(lambda: relay.connected)
    await asyncio.to_thread(mosquitto.kill)
    await eventually(lambda: not relay.connected)
    desk = await through_it(desk, broker)
    # Nobody remembers a subscription: whoever listens is there before the brain speaks.
    await desk.tasks.stop()
    await asyncio.to_thread(mosquitto.start)
    async with listening(mosquitto) as panel:
        desk = await desk.again()
        begun(desk, broker)
        await passed_on(desk)
        await eventually(lambda: len(heard(panel)) >= len(ALL))
    await desk.tasks.stop()
    assert by_key(heard(panel)) == EXPECTED


def heard(panel: Panel) -> list[tuple[str, int]]:
    """Return keys and numbers as they came, each id once."""
    found = {said["id"]: (said["key"], said["data"]["n"]) for said in panel.of("kitty/event/event")}
    return list(found.values())


async def test_rabbitmq(desk: Desk, rabbitmq: RabbitMq) -> None:
    """The brain finds it again by itself, and all of it lies in the queue."""
    broker = Amqp(Where(url=rabbitmq.url, instance_id="5eed", prefix="away"))
    relay = begun(desk, broker)
    await eventually(lambda: relay.connected, limit=60)
    await asyncio.sleep(2)  # a queue that it made within its last moment it cannot open again
    await asyncio.to_thread(rabbitmq.kill)
    await eventually(lambda: not relay.connected)
    desk = await through_it(desk, broker)
    with pytest.raises(Unavailable):
        async with broker.connect():
            pass
    await asyncio.to_thread(rabbitmq.start)
    await passed_on(desk)
    await desk.tasks.stop()
    found: dict[str, tuple[str, int]] = {}
    async with await aio_pika.connect(rabbitmq.url) as connection:
        queue = await (await connection.channel()).get_queue("away.events")
        while message := await queue.get(fail=False):
            key = str(message.headers["key"])
            found.setdefault(str(message.message_id), (key, json.loads(message.body)["n"]))
            await message.ack()
    assert by_key(list(found.values())) == EXPECTED
