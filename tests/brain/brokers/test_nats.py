"""NATS on a real server: JetStream keeps what it is told, and knows what it was told twice."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
import json
from pathlib import Path
from typing import Any

import nats as library
from nats.js import JetStreamContext
from nats.js.api import StreamConfig
import pytest

from brain_server.brokers import Message, Where
from brain_server.brokers.nats import Nats
from brain_server.errors import Unavailable
from brain_server.protocol import Json
from brain_server.relay import Relay
from tests.brain.relay.desk import Desk, eventually
from tests.brain.soon import SOON
from tests.standins.nats_server import NatsServer

pytestmark = pytest.mark.service


def nats(server: NatsServer, **more: Any) -> Nats:
    """Return the server as the brain knows it."""
    return Nats(Where(url=server.url, instance_id="5eed", **more))


def message(number: int, data: Json | None = None) -> Message:
    """Return an event."""
    return Message(
        id=f"5eed:{number}:0",
        topic="job",
        key="k",
        name="completed",
        at=1.0,
        data=data or {"n": number},
    )


@pytest.fixture
async def reader(nats_server: NatsServer) -> AsyncIterator[JetStreamContext]:
    """Give the connection of somebody else."""
    client = await library.connect(nats_server.url)
    yield client.jetstream()
    await client.close()


async def lying(stream: JetStreamContext) -> list[Any]:
    """Return all that the stream holds, in its order."""
    state = (await stream.stream_info("KITTY")).state
    return [await stream.get_msg("KITTY", number) for number in range(1, state.last_seq + 1)]


async def test_an_event_lies_in_the_stream_under_its_subject(
    nats_server: NatsServer, reader: JetStreamContext
) -> None:
    async with nats(nats_server).connect() as link:
        await link.publish(message(1))
    (found,) = await lying(reader)
    assert found.subject == "kitty.job.completed"
    assert json.loads(found.data) == {
        "id": "5eed:1:0",
        "topic": "job",
        "key": "k",
        "name": "completed",
        "at": 1.0,
        "data": {"n": 1},
    }


async def test_what_is_sent_twice_lies_there_once(
    nats_server: NatsServer, reader: JetStreamContext
) -> None:
    for _ in range(2):
        async with nats(nats_server).connect() as link:
            await link.publish(message(1))
    assert len(await lying(reader)) == 1


async def test_a_stream_that_somebody_made_is_used_as_it_is(
    nats_server: NatsServer, reader: JetStreamContext
) -> None:
    await reader.add_stream(StreamConfig(name="ALL", subjects=["kitty.>", "other.>"]))
    async with nats(nats_server).connect() as link:
        await link.publish(message(1))
    assert (await reader.stream_info("ALL")).state.messages == 1


async def test_an_event_that_the_server_finds_too_large_is_refused(tmp_path: Path) -> None:
    small = NatsServer(tmp_path / "small", "max_payload: 1000")
    await asyncio.to_thread(small.start)
    async with nats(small).connect() as link:
        with pytest.raises(Unavailable) as caught:
            await link.publish(message(1, {"text": "x" * 2000}))
        await link.publish(message(1, {"text": "x" * 2000}).bare())
    assert caught.value.code == "broker_refused"
    await asyncio.to_thread(small.kill)


async def test_a_stream_that_takes_nothing_more_refuses(
    nats_server: NatsServer, reader: JetStreamContext
) -> None:
    full = StreamConfig(name="FULL", subjects=["kitty.>"], max_msgs=1, discard="new")
    await reader.add_stream(full)
    async with nats(nats_server).connect() as link:
        await link.publish(message(1))
        with pytest.raises(Unavailable) as caught:
            await link.publish(message(2))
    assert caught.value.code == "broker_refused"


async def test_tls_is_spoken_where_the_address_says_so(nats_server: NatsServer) -> None:
    secret = Nats(Where(url="tls://host", instance_id="5eed"))
    assert (await secret._tls()).check_hostname is True
    assert await nats(nats_server)._tls() is None


async def test_without_jetstream_it_is_no_use(tmp_path: Path) -> None:
    plain = NatsServer(tmp_path / "plain", jetstream=False)
    await asyncio.to_thread(plain.start)
    with pytest.raises(Unavailable) as caught:
        async with nats(plain).connect():
            pass
    assert caught.value.code == "broker_unreachable"
    await asyncio.to_thread(plain.kill)


async def test_the_end_of_the_connection_is_noticed(nats_server: NatsServer) -> None:
    async with nats(nats_server).connect() as link:
        await asyncio.to_thread(nats_server.kill)
        with pytest.raises(Unavailable) as caught:
            await link.ended()
        assert caught.value.code == "broker_unreachable"
        with pytest.raises(Unavailable) as caught:
            await link.publish(message(1))
        assert caught.value.code == "broker_unreachable"


@asynccontextmanager
async def passing_on(desk: Desk, broker: Nats) -> AsyncGenerator[Relay]:
    """Pass the events of a desk on, for the time of a block."""
    relay = Relay(desk.outbox, broker, sink="nats", first_pause=0.02, most_pause=0.1)
    desk.tasks.keep_up("relay", relay.run)
    await eventually(lambda: relay.connected)
    yield relay
    await desk.tasks.stop()


async def gone(desk: Desk) -> None:
    """Wait until everything was passed on."""
    async with asyncio.timeout(SOON):
        while True:
            if not await desk.outbox.waiting("nats"):
                return
            await asyncio.sleep(0.01)  # until the next look


async def numbers(server: NatsServer) -> list[int]:
    """Return what lies in the stream."""
    client = await library.connect(server.url)
    found = [json.loads(one.data)["data"]["n"] for one in await lying(client.jetstream())]
    await client.close()
    return found


@pytest.mark.parametrize(
    "seconds", [0.5, pytest.param(10.0, marks=(pytest.mark.slow, pytest.mark.timeout(90)))]
)
async def test_what_is_told_while_the_server_is_dead_lies_there_once_and_in_order(
    desk: Desk, nats_server: NatsServer, seconds: float
) -> None:
    async with passing_on(desk, nats(nats_server)) as relay:
        await desk.tell(*range(20))
        await gone(desk)
        await asyncio.to_thread(nats_server.kill)
        await eventually(lambda: not relay.connected)
        await desk.tell(*range(20, 60))
        await asyncio.sleep(seconds)  # so long it stays dead
        await asyncio.to_thread(nats_server.start)
        await gone(desk)
        assert await numbers(nats_server) == list(range(60))


async def test_it_survives_a_server_that_dies_again_and_again(
    desk: Desk, nats_server: NatsServer
) -> None:
    """Where it dies between taking an event and saying so, the event comes twice and lies there once."""
    async with passing_on(desk, nats(nats_server)) as relay:
        for start in range(0, 200, 50):
            await desk.tell(*range(start, start + 50))
            await asyncio.to_thread(nats_server.kill)
            await eventually(lambda: not relay.connected)
            await asyncio.to_thread(nats_server.start)
        await gone(desk)
        assert await numbers(nats_server) == list(range(200))


async def test_a_server_that_hangs_is_noticed(
    desk: Desk, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Nats, "keep_alive_s", 0.3)
    async with passing_on(desk, nats(nats_server)) as relay:
        nats_server.freeze()
        await eventually(lambda: not relay.connected)
        await desk.tell(1)
        nats_server.thaw()
        await gone(desk)
        assert await numbers(nats_server) == [1]
