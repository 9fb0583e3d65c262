"""Two real brains behind a real HAProxy: one is awake, and the other goes on where it stopped."""

import asyncio
from collections.abc import AsyncIterator
import json
from pathlib import Path
import signal

import pytest

from brain_server.protocol import Json
from tests.brain.cluster.brains import LEASE, LIMIT, Brain, Pair
from tests.brain.home import Home, Refused, Socket, until
from tests.standins.postgres import Postgres

pytestmark = [pytest.mark.service, pytest.mark.slow, pytest.mark.timeout(180)]

KILLED = {signal.SIGKILL: -9, signal.SIGTERM: 0}


@pytest.fixture
async def pair(url: str, tmp_path: Path) -> AsyncIterator[Pair]:
    """Give two brains, the first one awake."""
    async with Pair(url, tmp_path) as made:
        yield made


async def door(pair: Pair, home: Home) -> str:
    """Add a door that writes down what it does, in a zone where people must approve."""
    options = {"kind": "door", "name": "Door", "journal": str(pair.folder / "journal")}
    return await home.add("demo", "lab", **options)


def done(pair: Pair) -> list[str]:
    """Return what the door did."""
    path = pair.folder / "journal"
    lines = path.read_bytes().splitlines() if path.exists() else []
    return [json.loads(line)["intent"] for line in lines]


async def approved(home: Home, event: Json) -> None:
    """Let people approve."""
    await home.see("bob", "lab")
    await home.decide(event, "bob")


@pytest.mark.parametrize("number", KILLED, ids=lambda one: one.name)
async def test_the_other_takes_over(pair: Pair, number: signal.Signals) -> None:
    """Whether the first was killed or told to stop; the same house is there."""
    async with pair.home() as home:
        device_id = await door(pair, home)
    pair.first.signal(number)
    assert (await pair.second.said())["ready"]
    assert await pair.first.ended() == KILLED[number]
    async with pair.home() as home:
        devices = (await home.command("devices.list"))["items"]
    assert [one["id"] for one in devices] == [device_id]


async def test_the_one_that_was_awake_stands_by_when_it_is_back(pair: Pair) -> None:
    """It takes nothing from the one that took over."""
    pair.first.signal(signal.SIGKILL)
    assert (await pair.second.said())["ready"]
    await pair.first.ended()
    assert (await pair.first.start())["standby"]
    pair.second.signal(signal.SIGKILL)
    assert (await pair.first.said())["ready"]


async def test_a_brain_that_stands_by_ends_when_it_is_told_to(pair: Pair) -> None:
    """It never was awake, and the other one goes on."""
    pair.second.signal(signal.SIGTERM)
    assert await pair.second.ended() == 0
    async with pair.home() as home:
        assert (await home.command("system.info"))["version"]


async def test_a_brain_that_cannot_listen_does_not_stand_by(pair: Pair) -> None:
    """Status 2, as of a brain that is alone."""
    pair.second.signal(signal.SIGTERM)
    await pair.second.ended()
    assert await pair.second.refused(KITTY_PORT=str(pair.first.port)) == (2, "port_in_use")


async def test_a_brain_with_other_keys_does_not_stand_by(pair: Pair, tmp_path: Path) -> None:
    """It has another data directory."""
    pair.second.signal(signal.SIGTERM)
    await pair.second.ended()
    folder = str(tmp_path / "other")
    assert await pair.second.refused(KITTY_DATA_DIR=folder) == (2, "other_keys")


async def test_what_one_was_asked_the_other_lets_people_decide(pair: Pair) -> None:
    """And it is carried out once."""
    async with pair.home() as home:
        asked = await home.request(await door(pair, home), "unlock")
    pair.first.signal(signal.SIGKILL)
    await pair.second.said()
    async with pair.home() as home:
        await approved(home, asked["event"])
        ended = await home.ended(asked["command"]["id"])
        verified = await home.command("audit.verify")
    assert (ended["status"], done(pair), verified["ok"]) == ("acked", ["unlock"], True)


async def test_a_question_of_one_is_answered_to_the_other(pair: Pair) -> None:
    """The conversation goes on where it was, and is the same one."""
    async with pair.home() as home:
        for side in ("left", "right"):
            lamp = {"driver": "demo", "zone_id": "hall", "name": f"Bench lamp {side}"}
            await home.command("devices.put", lamp | {"options": {"kind": "light", "name": side}})
        asked = await home.say("switch on the bench lamp")
    pair.first.signal(signal.SIGKILL)
    await pair.second.said()
    async with pair.home() as home:
        about = {"conversation_id": asked["conversation_id"]}
        said = await home.say("the left one", **about)
        caller = {"user_id": "ada", "channel": "assist"}
        kept = await home.command("conversation.messages", about, caller=caller)
    assert said["text"] == "Done: Bench lamp left is on."
    assert [one["text"] for one in kept["items"]] == [
        "switch on the bench lamp",
        "Which one: Bench lamp left or Bench lamp right?",
        "the left one",
        "Done: Bench lamp left is on.",
    ]


async def test_a_socket_ends_with_its_brain_and_finds_the_other(pair: Pair) -> None:
    """The new one begins with everything there is; its events are counted anew."""
    async with Socket(pair.front) as socket:  # type: ignore[arg-type]  # all of a brain that is used
        before = await socket.subscribe()
        pair.first.signal(signal.SIGKILL)
        await until(lambda: socket.ws.closed, "the end of the socket")
    await pair.reachable()
    async with Socket(pair.front) as socket:  # type: ignore[arg-type]  # all of a brain that is used
        after = await socket.subscribe(epoch=before["epoch"], after=before["event_id"])
        same = socket.hello["instance_id"]
    assert (after["type"], after["epoch"] != before["epoch"]) == ("snapshot", True)
    assert json.loads((pair.folder / "keys.json").read_text())["instance_id"] == same


async def test_whoever_reads_what_was_told_goes_on_with_the_other(pair: Pair) -> None:
    """From the last row that was read: each row once, and none is missing."""
    async with pair.home() as home:
        begin = (await home.command("outbox.read"))["last"]
        asked = await home.request(await door(pair, home), "unlock")
        first = await told(home, begin, 1)
    pair.first.signal(signal.SIGKILL)
    await pair.second.said()
    async with pair.home() as home:
        await approved(home, asked["event"])
        await home.ended(asked["command"]["id"])
        second = await told(home, first["last"], 1)
        everything = await told(home, begin, len(first["items"] + second["items"]))
    ids = [one["id"] for one in first["items"] + second["items"]]
    assert ids == [one["id"] for one in everything["items"]] == sorted(set(ids))
    assert {one["topic"] for one in first["items"]} == {"safety"}


async def told(home: Home, after: Json, least: int) -> Json:
    """Return what was told behind a row, when there is so much of it and no more comes."""
    found: Json = {"items": []}
    async with asyncio.timeout(LIMIT):
        while True:
            before, found = found, await home.command("outbox.read", after)
            if len(found["items"]) >= least and before["items"] == found["items"]:
                return found
            await asyncio.sleep(0.5)  # until the next look


# -- one that stands still ----------------------------------------------------------------------------


async def test_a_brain_that_stood_still_gives_up(pair: Pair) -> None:
    """It ends with a status that says: start me again."""
    pair.first.signal(signal.SIGSTOP)
    assert (await pair.second.said())["ready"]
    pair.first.signal(signal.SIGCONT)
    assert await pair.first.ended() == 75
    assert (await pair.first.start())["standby"]


async def test_people_wait_for_no_brain_that_stands_still(pair: Pair) -> None:
    """Their socket is cut, though the brain at its other end cannot close it."""
    async with Socket(pair.front) as socket:  # type: ignore[arg-type]  # all of a brain that is used
        pair.first.signal(signal.SIGSTOP)
        await until(lambda: socket.ws.closed, "the end of the socket", LIMIT)
    async with pair.home() as home:
        assert (await home.command("system.info"))["version"]


async def test_a_standby_that_stood_still_takes_nothing_over(pair: Pair) -> None:
    """When it goes on, all that it knew is old."""
    pair.second.signal(signal.SIGSTOP)
    await asyncio.sleep(2 * float(LEASE))  # longer than a lease lasts
    pair.second.signal(signal.SIGCONT)
    await asyncio.sleep(2)  # time for what must not happen
    async with pair.home() as home:
        assert (await home.command("system.info"))["version"]
    pair.first.signal(signal.SIGTERM)
    assert await pair.first.ended() == 0


async def test_a_brain_that_stood_still_before_it_sent_sends_nothing(pair: Pair, url: str) -> None:
    """The command was approved and taken; the other brain says that nobody knows, and never sends it again."""
    pair.first.signal(signal.SIGTERM)
    await pair.second.said()
    await pair.first.ended()
    await pair.first.start(KITTY_PAUSE="claimed")
    pair.second.signal(signal.SIGTERM)
    await pair.first.said()
    async with pair.home() as home:
        asked = await home.request(await door(pair, home), "unlock")
        await home.see("bob", "lab")
        deciding = asyncio.get_running_loop().create_task(home.decide(asked["event"], "bob"))
        await pair.first.paused()
        await pair.second.ended()
        await pair.second.start()
        deciding.cancel()
        await asyncio.gather(deciding, return_exceptions=True)
    async with pair.home() as home:
        known = await home.command("commands.get", {"command_id": asked["command"]["id"]})
    pair.first.signal(signal.SIGCONT)
    status = await pair.first.ended()
    assert (status, known["status"], done(pair)) == (75, "unknown", [])


# -- the database goes away ---------------------------------------------------------------------------


async def test_a_database_that_is_started_again_changes_nobodys_turn(tmp_path: Path) -> None:
    """The one that was awake goes on, and what was written is there."""
    server = Postgres()
    try:
        await asyncio.to_thread(server.start)
        url = await asyncio.to_thread(server.new_database)
        async with Pair(url, tmp_path) as pair:
            async with pair.home() as home:
                await door(pair, home)
                await asyncio.to_thread(server.restart)
                devices = await _patiently(home)
            assert len(devices) == 1
            assert not await _ended(pair.first)
            pair.first.signal(signal.SIGKILL)
            assert (await pair.second.said())["ready"]
    finally:
        await asyncio.to_thread(server.stop)


async def _patiently(home: Home) -> list[Json]:
    """Write something as soon as that works, and return the devices."""
    async with asyncio.timeout(LIMIT):
        while True:
            try:
                await home.sync()
                break
            except Refused:
                await asyncio.sleep(0.1)  # until it is asked again
    devices: list[Json] = (await home.command("devices.list"))["items"]
    return devices


async def _ended(brain: Brain) -> bool:
    try:
        await asyncio.wait_for(brain.ended(), 1)
    except TimeoutError:
        return False
    return True
