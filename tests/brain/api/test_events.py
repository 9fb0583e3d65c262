"""A subscriber gets a snapshot and then every event once and in order, whatever happens to its socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path
import time

from aiohttp import ClientSession
import pytest
from sqlalchemy import text

from brain_server.app import Brain
from brain_server.bus import KEPT
from brain_server.observability import counters
from brain_server.protocol import hello_bytes
from brain_server.safety.keys import verify
from tests.brain.home import TOKEN, Home, Socket, at_home, running, until
from tests.brain.soon import SOON

PARTS = {"devices", "events", "commands", "jobs", "health", "audit"} | {
    "providers",
    "budget",
    "mind",
    "queue",
    "beds",
    "spools",
    "stock",
    "procurements",
    "incidents",
    "vision",
    "reviews",
    "schedule",
    "work",
    "capabilities",
    "goals",
    "projects",
    "fleet",
    "researches",
    "presences",
}


def tick(brain: Brain, number: int, **more: str) -> int:
    """Publish an event; returns its id."""
    return brain.bus.publish("test.tick", {"number": number} | more).event_id


def ids(socket: Socket) -> list[int]:
    """Return the ids of the events that a socket got."""
    return [event["event_id"] for event in socket.events]


@asynccontextmanager
async def rain(brain: Brain) -> AsyncIterator[None]:
    """Publish events as fast as the loop goes round, for the time of a block."""

    async def fall() -> None:
        number = 0
        while True:
            tick(brain, number := number + 1)
            await asyncio.sleep(0.001)

    task = asyncio.get_running_loop().create_task(fall())
    try:
        yield
    finally:
        task.cancel()


async def test_the_first_frame_says_who_the_brain_is_and_what_it_speaks(brain: Brain) -> None:
    """The hello carries the range of schemas, the identity and the epoch."""
    async with Socket(brain) as socket:
        info = await socket.command("system.info")
    names = ("version", "schema", "min_schema", "instance_id", "public_key", "epoch")
    assert (
        socket.hello.items() >= ({"type": "hello"} | {name: info[name] for name in names}).items()
    )
    assert socket.hello["min_schema"] <= socket.hello["schema"]


async def test_a_subscriber_gets_the_whole_state_first(home: Home, brain: Brain) -> None:
    """The snapshot has every device and everything that is open."""
    await home.puppet("door", "door")
    async with Socket(brain) as socket:
        snapshot = await socket.subscribe()
    assert snapshot["data"].keys() == PARTS
    assert [device["name"] for device in snapshot["data"]["devices"]] == ["Door"]
    assert snapshot["data"]["audit"]["seq"] > 0
    assert snapshot["epoch"] == socket.hello["epoch"]


async def test_events_follow_the_snapshot_in_order(brain: Brain) -> None:
    """The first event after the snapshot has the next id, and so on."""
    async with Socket(brain) as socket:
        snapshot = await socket.subscribe()
        last = [tick(brain, number) for number in range(100)][-1]
        await until(lambda: last in ids(socket), "the last event")
    assert ids(socket) == list(range(snapshot["event_id"] + 1, last + 1))


async def test_events_that_happen_during_the_snapshot_are_not_lost(brain: Brain) -> None:
    """While the snapshot is made, the world goes on."""
    async with Socket(brain) as socket, rain(brain):
        snapshot = await socket.subscribe()
        await until(lambda: len(socket.events) > 100, "a hundred events")
    assert ids(socket)[0] == snapshot["event_id"] + 1
    assert all(after == before + 1 for before, after in pairwise(ids(socket)))


async def test_a_client_that_comes_back_gets_only_what_it_missed(brain: Brain) -> None:
    """Epoch and last id are enough to go on."""
    async with Socket(brain) as socket:
        await socket.subscribe()
        seen = tick(brain, 1)
        await until(lambda: seen in ids(socket), "the event")
    missed = [tick(brain, number) for number in range(2, 30)]
    async with Socket(brain) as again:
        answer = await again.subscribe(epoch=socket.hello["epoch"], after=seen)
        await until(lambda: missed[-1] in ids(again), "the last event")
    assert (answer["type"], answer["data"]["resumed"]) == ("result", len(missed))
    assert ids(again) == missed


async def test_nothing_is_lost_or_doubled_over_ten_breaks_in_the_rain(brain: Brain) -> None:
    """A client that drops its socket ten times while events rain has each of them once."""
    got: list[int] = []
    async with rain(brain):
        async with Socket(brain) as socket:
            first = (await socket.subscribe())["event_id"]
            await until(lambda: len(socket.events) > 20, "events")
        got += ids(socket)
        for _ in range(10):
            async with Socket(brain) as again:
                await again.subscribe(epoch=socket.hello["epoch"], after=got[-1])
                await until(lambda: len(again.events) > 20, "events")
            got += ids(again)
    assert got == list(range(first + 1, got[-1] + 1))


async def test_subscribing_twice_on_one_socket_doubles_nothing(brain: Brain) -> None:
    """The second subscription takes the place of the first."""
    async with Socket(brain) as socket:
        await socket.subscribe()
        await socket.subscribe()
        last = tick(brain, 1)
        await until(lambda: last in ids(socket), "the event")
        await socket.command("system.info")
    assert ids(socket) == [last]


@pytest.mark.parametrize(
    "where",
    [
        {"epoch": "0" * 32, "after": 0},
        {"after": 0},
        {"epoch": None, "after": None},
        {"epoch": 7, "after": "x"},
    ],
)
async def test_who_does_not_know_this_epoch_gets_a_snapshot(brain: Brain, where: object) -> None:
    """Ids of another life of the brain mean nothing."""
    async with Socket(brain) as socket:
        answer = await socket.subscribe(**where)
    assert answer["type"] == "snapshot"


async def test_an_id_from_the_future_gets_a_snapshot(brain: Brain) -> None:
    """An id that was never given cannot have been seen."""
    async with Socket(brain) as socket:
        answer = await socket.subscribe(epoch=brain.bus.epoch, after=brain.bus.last_id + 1)
    assert answer["type"] == "snapshot"


async def test_events_that_are_no_longer_kept_become_a_snapshot(brain: Brain) -> None:
    """The brain keeps so many events and no more."""
    seen = tick(brain, 0)
    for number in range(KEPT + 1):
        tick(brain, number)
    async with Socket(brain) as socket:
        answer = await socket.subscribe(epoch=brain.bus.epoch, after=seen)
    assert answer["type"] == "snapshot"


async def test_more_missed_events_than_a_queue_holds_become_a_snapshot(tmp_path: Path) -> None:
    """A client that missed much is not cut off again and again by what it missed."""
    async with running(tmp_path, client_queue=32) as brain:
        seen = tick(brain, 0)
        for number in range(100):
            tick(brain, number)
        async with Socket(brain) as socket:
            answer = await socket.subscribe(epoch=brain.bus.epoch, after=seen)
            last = tick(brain, 1)
            await until(lambda: last in ids(socket), "the event after it")
    assert answer["type"] == "snapshot"


async def test_a_snapshot_that_cannot_be_read_is_an_error_and_not_the_end(
    home: Home, brain: Brain
) -> None:
    """A broken table spoils the subscription, and the socket goes on."""
    await brain.brain_db.write(lambda connection: connection.execute(text("DROP TABLE api_keys")))
    await brain.brain_db.write(
        lambda connection: connection.execute(text("DROP TABLE fabrication_jobs"))
    )
    async with Socket(brain) as socket:
        answer = await socket.subscribe()
        assert (answer["type"], answer["error"]["code"]) == ("error", "storage_failed")
        assert (await socket.command("system.info"))["schema"] == 1


@pytest.mark.timeout(120)  # some seconds of one core, and others may have the rest
async def test_a_client_that_never_reads_is_cut_off_and_twenty_others_get_everything(
    tmp_path: Path,
) -> None:
    """A full queue ends one connection; nobody else notices."""
    ballast, before = "x" * 32_768, counters["clients_cut_off"]
    async with running(tmp_path, client_queue=32) as brain, ClientSession() as session:
        deaf = await session.ws_connect(
            f"http://127.0.0.1:{brain.port}/ws", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        await deaf.send_json({"type": "subscribe", "id": 1})
        others = [Socket(brain) for _ in range(20)]
        for other in others:
            await other.__aenter__()
            await other.subscribe()
        first = number = brain.bus.last_id
        while counters["clients_cut_off"] == before:
            number = tick(brain, 0, ballast=ballast)
            await until(lambda: all(number in ids(one)[-1:] for one in others), "event")  # noqa: B023 - waited for at once
        tick(brain, 1)
        await until(lambda: all(number + 1 in ids(one)[-1:] for one in others), "the last event")
        for other in others:
            await other.__aexit__()
        assert len(brain.sockets.clients) <= 1
    assert all(ids(one) == list(range(first + 1, number + 2)) for one in others)
    assert counters["clients_cut_off"] == before + 1


@pytest.mark.timeout(120)  # see above
async def test_queued_bytes_are_bounded_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few frames that are large cut a client off as many small ones do."""
    before = counters["clients_cut_off"]
    async with running(tmp_path) as brain, ClientSession() as session:
        listeners = brain.bus._listeners[None]
        own = len(listeners)
        monkeypatch.setattr("brain_server.api.ws.MOST_BYTES", 1024 * 1024)
        deaf = await session.ws_connect(
            f"http://127.0.0.1:{brain.port}/ws", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        await deaf.send_json({"type": "subscribe", "id": 1})
        await until(lambda: len(listeners) > own, "the subscription")
        for number in range(400):
            tick(brain, number, ballast="x" * 60_000)
            await asyncio.sleep(0)
        await until(lambda: not brain.sockets.clients, "the cut")
    assert counters["clients_cut_off"] == before + 1


async def test_a_client_that_was_cut_off_goes_on_where_it_was(tmp_path: Path) -> None:
    """What it had is enough to get the rest."""
    async with running(tmp_path) as brain:
        async with Socket(brain) as socket:
            await socket.subscribe()
            seen = tick(brain, 1)
            await until(lambda: seen in ids(socket), "the event")
            (client,) = brain.sockets.clients
            client.abort()
            await until(lambda: socket.close_code, "the end")
        last = tick(brain, 2)
        async with Socket(brain) as again:
            await again.subscribe(epoch=brain.bus.epoch, after=seen)
            await until(lambda: ids(again), "the event")
    assert ids(again) == [last]


async def test_at_shutdown_every_client_is_told_that_the_service_restarts(tmp_path: Path) -> None:
    """Close code 1012 means: come back."""
    async with running(tmp_path) as brain:
        sockets = [Socket(brain) for _ in range(5)]
        for socket in sockets:
            await socket.__aenter__()
            await socket.subscribe()
    assert [socket.close_code for socket in sockets] == [1012] * 5
    for socket in sockets:
        await socket.__aexit__()


async def test_a_client_that_does_not_read_holds_up_no_shutdown(tmp_path: Path) -> None:
    """Who cannot be told goodbye is cut off."""
    async with ClientSession() as session:
        async with running(tmp_path) as brain:
            headers = {"Authorization": f"Bearer {TOKEN}"}
            url = f"http://127.0.0.1:{brain.port}/ws"
            listeners = brain.bus._listeners[None]
            own = len(listeners)
            deaf = [await session.ws_connect(url, headers=headers) for _ in range(5)]
            for one in deaf:
                await one.send_json({"type": "subscribe", "id": 1})
            await until(lambda: len(listeners) == own + 5, "subscriptions")
            for number in range(200):
                tick(brain, number, ballast="x" * 60_000)
                await asyncio.sleep(0)
            began = time.monotonic()
        assert time.monotonic() - began < SOON


async def test_a_snapshot_that_takes_too_long_is_an_error_and_not_the_end(
    home: Home, brain: Brain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part that hangs spoils the subscription, and the socket goes on."""
    monkeypatch.setattr("brain_server.api.ws.SNAPSHOT_LIMIT", 0.05)
    stuck = asyncio.Event()

    async def hangs() -> None:
        await stuck.wait()

    brain.health.add("stuck", hangs)
    async with Socket(brain) as socket:
        answer = await socket.subscribe()
        assert (answer["type"], answer["error"]["code"]) == ("error", "timeout")
        stuck.set()
        monkeypatch.setattr("brain_server.api.ws.SNAPSHOT_LIMIT", 5.0)
        assert (await socket.subscribe())["type"] == "snapshot"


async def test_a_peer_that_is_gone_is_noticed_and_one_that_listens_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ping without a pong ends the connection; a pong keeps it."""
    # Half of it is how long a pong may take: on a busy machine it takes more than a moment.
    monkeypatch.setattr("brain_server.api.ws.HEARTBEAT", 3.0)
    async with running(tmp_path) as brain, ClientSession() as session, Socket(brain) as alive:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        dead = await session.ws_connect(
            f"http://127.0.0.1:{brain.port}/ws", headers=headers, autoping=False
        )
        await until(lambda: len(brain.sockets.clients) == 2, "both")
        await until(lambda: len(brain.sockets.clients) < 2, "one to be dropped")
        assert (await alive.command("system.info"))["schema"] == 1
        await dead.close()


async def test_a_change_of_health_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a part falls ill, clients hear of it without asking."""
    monkeypatch.setattr("brain_server.app.HEALTH_EVERY", 0.05)
    async with running(tmp_path) as brain, AsyncExitStack() as house:
        home = await house.enter_async_context(at_home(brain))
        async with Socket(brain, await home.token("read")) as socket:
            await socket.subscribe()
            await house.aclose()
            told = await socket.event("health.updated")
    assert told["status"] == "degraded"
    assert told["parts"]["home_assistant"] == {
        "ok": False,
        "detail": "Home Assistant is not connected",
    }


async def test_an_illness_that_only_a_new_client_saw_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Home Assistant itself subscribes before it is known to be there again."""
    monkeypatch.setattr("brain_server.app.HEALTH_EVERY", 0.5)
    async with running(tmp_path) as brain:
        async with at_home(brain) as home:
            token = await home.token("read")
        async with Socket(brain, token) as socket:
            seen = (await socket.subscribe())["data"]["health"]
            assert seen["status"] == "degraded"
            async with at_home(brain):
                await socket.event("health.updated", lambda now: now["status"] == "ok")


async def test_the_first_frame_proves_who_the_brain_is(brain: Brain) -> None:
    """It signs what the client made up, so that nobody can answer in its place."""
    socket = Socket(brain)
    socket.headers["X-Kitty-Nonce"] = "made up"
    async with socket:
        hello = socket.hello
    message = hello_bytes(nonce="made up", instance_id=hello["instance_id"])
    assert verify(hello["public_key"], hello["proof"], message)
    assert not verify(hello["public_key"], hello["proof"], message + b" ")
