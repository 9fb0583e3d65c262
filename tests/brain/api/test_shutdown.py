"""Going down: what runs is finished, what is new is sent away, and it takes less than ten seconds."""

import asyncio
import json
from pathlib import Path
import signal
import time

from aiohttp import ClientError, ClientSession, WSServerHandshakeError
import pytest

from brain_server.api import ws
from brain_server.api.ws import Client
from brain_server.app import Brain
from tests.brain.home import TOKEN, Home, Rest, Served, Socket, at_home, running, serving, until
from tests.brain.soon import SOON


def in_background[T](work: asyncio.Future[T]) -> asyncio.Future[T]:
    """Start something and go on."""
    return asyncio.get_running_loop().create_task(work)


async def going_down(brain: Brain) -> asyncio.Future[None]:
    """Begin to stop a brain."""
    stopping = in_background(brain.stop())
    await until(lambda: brain.dispatcher.draining, "the drain")
    return stopping


async def test_what_runs_is_finished_and_answered(home: Home, brain: Brain, rest: Rest) -> None:
    """Over REST and over the WebSocket, the answer still comes."""
    lamp = await home.puppet("lamp", "light")
    lamp.reading = asyncio.Event()
    asked = {"device_id": lamp.context.device_id}
    posted = in_background(rest.act("devices.files", asked))
    number = await home.send(type="command", action="devices.files", params=asked)
    await until(lambda: brain.dispatcher.running == 2, "both")
    stopping = await going_down(brain)
    lamp.reading.set()
    answer, result = await posted, await home.answer(number)
    await stopping
    assert (answer.status, result["type"]) == (200, "result")


async def test_what_is_new_is_sent_away_while_the_rest_is_finished(
    home: Home, brain: Brain, rest: Rest
) -> None:
    """503 and when to come back; not ready, but alive."""
    lamp = await home.puppet("lamp", "light")
    lamp.reading = asyncio.Event()
    posted = in_background(rest.act("devices.files", {"device_id": lamp.context.device_id}))
    await until(lambda: brain.dispatcher.running, "the command")
    stopping = await going_down(brain)
    new = await rest.get("/api/v1/devices.list")
    code = await home.refusal("devices.list")
    ready, alive = await rest.get("/ready"), await rest.get("/health")
    lamp.reading.set()
    await posted
    await stopping
    assert (new.status, new.code, new.headers["Retry-After"]) == (503, "shutting_down", "1")
    assert code == "shutting_down"
    assert (ready.status, ready.json, alive.status) == (503, {"status": "shutting_down"}, 200)


async def test_an_order_on_its_way_is_seen_through_and_told(home: Home, brain: Brain) -> None:
    """The door that is being unlocked is not left without an outcome."""
    door = await home.puppet("door", "door", zone="hall")
    door.reaction, door.shows = asyncio.Event(), {"locked": True}
    asked = await home.request(door.context.device_id, "lock")
    await until(lambda: door.orders.get("door"), "the order")
    stopping = await going_down(brain)
    door.reaction.set()
    done = await home.ended(asked["command"]["id"])
    await stopping
    await until(lambda: home.close_code, "the end")
    assert (done["status"], home.close_code) == ("acked", 1012)


async def test_what_does_not_end_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The brain goes down all the same, and in the next life does not send it again."""
    monkeypatch.setattr("brain_server.app.DRAIN", 0.4)
    async with running(tmp_path) as brain, at_home(brain) as home:
        door = await home.puppet("door", "door", zone="hall")
        door.reaction = asyncio.Event()
        asked = await home.request(door.context.device_id, "lock")
        await until(lambda: door.orders.get("door"), "the order")
        began = time.monotonic()
        await brain.stop()
        assert time.monotonic() - began < SOON
    async with running(tmp_path, life=2) as brain, at_home(brain) as home:
        (kept,) = (await home.command("commands.list"))["items"]
        assert (kept["id"], kept["status"]) == (asked["command"]["id"], "claimed")
        assert len(door.orders["door"]) == 1


async def test_a_command_that_does_not_end_is_cut_off(
    home: Home, brain: Brain, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And the log says how many there were."""
    lamp = await home.puppet("lamp", "light")
    lamp.reading = asyncio.Event()
    asked = {"device_id": lamp.context.device_id}
    await home.send(type="command", action="devices.files", params=asked)
    await until(lambda: brain.dispatcher.running, "the command")
    await brain.dispatcher.drain(0.05)
    assert "1 commands were cut off at shutdown" in caplog.text
    lamp.reading.set()


async def test_who_connects_while_the_others_are_sent_away_is_sent_away_too(
    brain: Brain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is not let in only to be cut off without a word."""
    close, held, go = Client.close, asyncio.Event(), asyncio.Event()

    async def slowly(self: Client, code: int, reason: bytes) -> None:
        held.set()
        await go.wait()
        await close(self, code, reason)

    monkeypatch.setattr(Client, "close", slowly)
    monkeypatch.setattr(ws, "CLOSING", SOON)
    async with Socket(brain) as told:
        closing = in_background(brain.sockets.close())
        await held.wait()
        with pytest.raises(WSServerHandshakeError) as caught:
            await Socket(brain).__aenter__()
        go.set()
        await closing
        await until(lambda: told.close_code, "the end")
    assert (caught.value.status, caught.value.headers["Retry-After"]) == (503, "1")
    assert told.close_code == 1012


async def hammer(brain: Served, ends: list[int]) -> None:
    """Ask until nobody answers any more, and keep every status."""
    async with Rest(brain) as rest:
        while True:
            try:
                ends.append((await rest.get("/api/v1/devices.list")).status)
            except ClientError, ConnectionError:
                return


@pytest.mark.slow
async def test_a_process_under_load_goes_down_in_time(tmp_path: Path) -> None:
    """SIGTERM with callers, listeners, one that never reads and a slow order: 0, and soon."""
    async with (
        serving(tmp_path, "--request-rate", "1e6") as brain,
        ClientSession() as session,
        Socket(brain) as home,
    ):
        options = {"kind": "light", "name": "Lamp", "latency_s": 1.5}
        put = {"driver": "demo", "options": options, "zone_id": None}
        device = await home.command("devices.put", put)
        url, headers = f"{home.url}/ws", home.headers
        deaf = [await session.ws_connect(url, headers=headers) for _ in range(3)]
        listeners = [Socket(brain) for _ in range(20)]
        for one in listeners:
            await one.__aenter__()
            await one.subscribe()
        statuses: list[int] = []
        callers = [in_background(hammer(brain, statuses)) for _ in range(10)]
        asked = {"device_id": device["id"], "intent": "light_on", "wait": 5}
        slow = await home.send(type="command", action="devices.request", params=asked)
        await until(lambda: len(statuses) > 50, "load")
        brain.process.send_signal(signal.SIGTERM)
        done = await home.answer(slow)
        status = await asyncio.wait_for(brain.process.wait(), SOON)
        await asyncio.gather(*callers)
        for one in listeners:
            await one.__aexit__()
    assert (status, len(deaf)) == (0, 3)
    assert done["data"]["command"]["status"] == "acked"
    assert {one.close_code for one in listeners} == {1012}
    assert set(statuses) <= {200, 503}


@pytest.mark.slow
async def test_every_line_of_a_life_is_json(tmp_path: Path) -> None:
    """From the first to the last, with nothing secret in any of them."""
    async with serving(tmp_path, "--log-level", "debug") as brain:
        async with Socket(brain) as socket:
            assert await socket.refusal("no_such") == "unknown_action"
            await socket.command("tokens.create", {"name": "new", "scope": "read"})
        brain.process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(brain.process.wait(), SOON)
        lines = brain.log.read_text("utf-8").splitlines()
    parsed = [json.loads(line) for line in lines]
    assert len(parsed) > 3
    assert all(
        line.keys() >= {"timestamp", "level", "service", "correlation_id", "message", "context"}
        for line in parsed
    )
    assert [line for line in lines if TOKEN in line] == []
