"""A command from MQTT at the real gate: a hazard waits for people, and a command is one however often it comes."""

import asyncio
from collections.abc import AsyncIterator
import json
from pathlib import Path
from typing import Any

import aiomqtt
import msgspec
import pytest

from brain_server.app import Brain
from brain_server.brokers import Where
from brain_server.brokers.mqtt import Mqtt
from brain_server.commands import Caller
from brain_server.devices import Request
from brain_server.protocol import Json
from brain_server.relay import Relay
from brain_server.relay.commands import Inbound
from tests.brain.home import Home, at_home, running, until
from tests.brain.relay.desk import Desk, eventually
from tests.brain.soon import SOON
from tests.standins.mosquitto import Mosquitto

pytestmark = pytest.mark.service


@pytest.fixture
async def brain(tmp_path: Path) -> AsyncIterator[Brain]:
    """Give a brain."""
    async with running(tmp_path / "brain") as made:
        yield made


@pytest.fixture
async def home(brain: Brain) -> AsyncIterator[Home]:
    """Give its Home Assistant."""
    async with at_home(brain) as made:
        yield made


class Remote:
    """Somebody on MQTT who sends commands."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self._client = client
        self._answers = aiter(client.messages)

    async def say(self, **command: Any) -> Json:
        """Send a command and return the answer to it."""
        await self._client.publish("kitty/command", json.dumps(command), qos=1)
        async with asyncio.timeout(SOON):
            message = await anext(self._answers)
        assert str(message.topic) == f"kitty/result/{command['id']}"
        found: Json = json.loads(str(message.payload, "utf-8"))  # type: ignore[arg-type]  # it is bytes
        return found


@pytest.fixture
async def remote(brain: Brain, desk: Desk, mosquitto: Mosquitto) -> AsyncIterator[Remote]:
    """Let commands in, and give somebody who sends them."""

    async def ask(caller: Caller, params: Json) -> Json:
        return await brain.devices.request(caller, msgspec.convert(params, Request))

    where = Where(url=mosquitto.url, instance_id="5eed", take=Inbound(ask).take)
    relay = Relay(desk.outbox, Mqtt(where), sink="mqtt")
    desk.tasks.keep_up("relay", relay.run)
    await eventually(lambda: relay.connected)
    async with aiomqtt.Client("127.0.0.1", mosquitto.port) as client:
        await client.subscribe("kitty/result/+", qos=1)
        yield Remote(client)
    await desk.tasks.stop()


async def test_a_harmless_wish_is_carried_out(home: Home, remote: Remote) -> None:
    lamp = await home.puppet("lamp", "light")
    lamp.shows = {"on": True}
    answer = await remote.say(
        id="c1", device_id=lamp.context.device_id, intent="light_on", params={}
    )
    assert (answer["ok"], answer["people_needed"]) == (True, 0)
    (order,) = await until(lambda: lamp.orders.get("lamp"), "the order")
    assert order.intent == "light_on"


async def test_a_hazard_waits_for_people(home: Home, remote: Remote) -> None:
    door = await home.puppet("door", "door")
    answer = await remote.say(id="c1", device_id=door.context.device_id, intent="unlock", params={})
    (event,) = (await home.command("safety.events", {"status": "pending"}))["items"]
    assert (answer["status"], answer["event_id"]) == ("pending", event["id"])
    assert answer["people_needed"] >= 1
    assert (event["initiated_by"], event["channel"]) == (None, "automation")
    assert door.orders == {}


async def test_a_command_that_comes_twice_is_one_command(home: Home, remote: Remote) -> None:
    lamp = await home.puppet("lamp", "light")
    lamp.shows = {"on": True}
    about = {"device_id": lamp.context.device_id, "intent": "light_on", "params": {}}
    first = await remote.say(id="c1", **about)
    again = await remote.say(id="c1", **about)
    assert again["command_id"] == first["command_id"]
    await eventually(lambda: lamp.orders)
    await asyncio.sleep(0.05)  # time for what must not happen
    assert len(lamp.orders["lamp"]) == 1


async def test_another_wish_under_the_same_id_is_refused(home: Home, remote: Remote) -> None:
    lamp = await home.puppet("lamp", "light")
    lamp.shows = {"on": True}
    device_id = lamp.context.device_id
    await remote.say(id="c1", device_id=device_id, intent="light_on", params={})
    other = await remote.say(id="c1", device_id=device_id, intent="light_off", params={})
    assert other["error"]["code"] == "idempotency_conflict"


async def test_a_device_that_there_is_not_is_an_answer(home: Home, remote: Remote) -> None:
    answer = await remote.say(id="c1", device_id="0" * 32, intent="light_on", params={})
    assert answer["error"]["code"] == "device_not_found"
