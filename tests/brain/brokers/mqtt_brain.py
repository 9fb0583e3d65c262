"""A brain that only tells MQTT that it is there, for tests that pause it or kill it: ``mqtt_brain URL``."""

import asyncio
import sys

from brain_server.brokers import Where
from brain_server.brokers.mqtt import Mqtt


async def main(url: str) -> None:
    """Connect and stay."""
    Mqtt.keep_alive_s = 1
    async with Mqtt(Where(url=url, instance_id="5eed")).connect() as link:
        print("there", flush=True)  # noqa: T201 - the test waits for it
        await link.ended()


asyncio.run(main(sys.argv[1]))
