"""MQTT on a real Mosquitto: everything below one prefix, at least once, and commands only where allowed."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
import gc
import json
from pathlib import Path
import signal
import subprocess
import sys
from typing import Any

import aiomqtt
import pytest

from brain_server.brokers import Message, Where
from brain_server.brokers.mqtt import MOST_COMMAND_BYTES, Mqtt, _place
from brain_server.errors import InvalidRequest, Unavailable
from brain_server.observability import counters
from brain_server.outbox import MOST_BYTES, tell
from brain_server.protocol import Json
from brain_server.relay import Relay
from tests.brain.relay.desk import Desk, eventually
from tests.brain.soon import SOON
from tests.standins.certificates import certificates
from tests.standins.mosquitto import Mosquitto

pytestmark = pytest.mark.service
ROOT = Path(__file__).parents[3]


class Panel:
    """Somebody who listens to everything, and comes back when the broker does."""

    def __init__(self, mosquitto: Mosquitto) -> None:
        self._where = mosquitto
        self.heard: list[aiomqtt.Message] = []
        self.listening = asyncio.Event()
        self.client: aiomqtt.Client

    def of(self, topic: str) -> list[Any]:
        """Return what was said on a topic."""
        return [_read(one) for one in self.heard if str(one.topic) == topic]

    def numbers(self) -> list[int]:
        """Return what the events of jobs say, each id once."""
        return list(
            {one["id"]: one["data"].get("n") for one in self.of("kitty/event/job")}.values()
        )

    async def say(self, topic: str, payload: Json | bytes, *, retain: bool = False) -> None:
        """Say something."""
        raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        await self.client.publish(topic, raw, qos=1, retain=retain)

    async def run(self) -> None:
        """Listen, for ever."""
        while True:
            client = aiomqtt.Client(
                "127.0.0.1",
                self._where.port,
                identifier="panel",
                protocol=aiomqtt.ProtocolVersion.V5,
                clean_start=True,
                keepalive=60,  # it outlasts a broker that hangs: it has to hear what is said afterwards
            )
            try:
                async with client:
                    self.client = client
                    await client.subscribe("#", qos=1)
                    self.listening.set()
                    async for message in client.messages:
                        self.heard.append(message)
            except aiomqtt.MqttError:
                self.listening.clear()
                await asyncio.sleep(0.02)  # until it is tried again


def _read(message: aiomqtt.Message) -> Any:
    assert isinstance(message.payload, bytes)
    try:
        return json.loads(message.payload)
    except ValueError:
        return message.payload


@asynccontextmanager
async def listening(mosquitto: Mosquitto) -> AsyncGenerator[Panel]:
    """Listen for the time of a block."""
    panel = Panel(mosquitto)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(panel.run())
        await panel.listening.wait()
        yield panel
        task.cancel()


@pytest.fixture
async def panel(mosquitto: Mosquitto) -> AsyncIterator[Panel]:
    """Give somebody who listens."""
    async with listening(mosquitto) as panel:
        yield panel


def mqtt(mosquitto: Mosquitto, **more: Any) -> Mqtt:
    """Return the broker as the brain knows it."""
    return Mqtt(Where(url=mosquitto.url, instance_id="5eed", **more))


@asynccontextmanager
async def passing_on(desk: Desk, broker: Mqtt, **more: Any) -> AsyncGenerator[Relay]:
    """Pass the events of a desk on, for the time of a block."""
    relay = Relay(
        desk.outbox, broker, sink="mqtt", **({"first_pause": 0.02, "most_pause": 0.1} | more)
    )
    desk.tasks.keep_up("relay", relay.run)
    await eventually(lambda: relay.connected)
    yield relay
    await desk.tasks.stop()


async def gone(desk: Desk) -> None:
    """Wait until everything was passed on."""
    async with asyncio.timeout(SOON):
        while True:
            if not await desk.outbox.waiting("mqtt"):
                return
            await asyncio.sleep(0.01)  # until the next look


async def test_an_event_arrives_at_once_and_says_what_it_is(
    desk: Desk, mosquitto: Mosquitto, panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brain_server.relay.LOOK_EVERY", 3600)
    async with passing_on(desk, mqtt(mosquitto)):
        await desk.tell(1)
        await eventually(lambda: panel.of("kitty/event/job"))
    (event,) = panel.of("kitty/event/job")
    assert event == {
        "id": f"5eed:1:{round(desk.clock() * 1000):x}",
        "name": "said",
        "topic": "job",
        "key": "k",
        "at": desk.clock(),
        "data": {"n": 1},
    }
    (message,) = [one for one in panel.heard if str(one.topic) == "kitty/event/job"]
    assert (message.qos, message.retain) == (1, False)


async def test_everything_is_said_below_the_prefix(
    desk: Desk, mosquitto: Mosquitto, panel: Panel
) -> None:
    async with passing_on(desk, mqtt(mosquitto, prefix="workshop")):
        await desk.tell(1)
        await eventually(lambda: panel.of("workshop/event/job"))
    assert {str(one.topic).partition("/")[0] for one in panel.heard} == {"workshop"}


@pytest.mark.parametrize("part", ["../x", "a/b", "#", "+", "", "x" * 65, "a\0"])
def test_no_part_of_a_topic_leads_out_of_the_prefix(part: str) -> None:
    with pytest.raises(ValueError, match="no part"):
        _place(Where(url="mqtt://host", instance_id="5eed"), "event", part)


async def test_the_brain_says_that_it_is_there_and_that_it_goes(
    mosquitto: Mosquitto, panel: Panel
) -> None:
    async with mqtt(mosquitto).connect():
        await eventually(lambda: panel.of("kitty/status") == [b"online"])
    await eventually(lambda: panel.of("kitty/status") == [b"online", b"offline"])


async def test_who_comes_later_still_learns_whether_it_is_there(mosquitto: Mosquitto) -> None:
    async with mqtt(mosquitto).connect(), listening(mosquitto) as panel:
        await eventually(lambda: panel.of("kitty/status") == [b"online"])


@pytest.mark.timeout(120)  # a process begins, and the broker loses patience with it
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hanging"])
async def test_the_broker_says_it_of_a_brain_that_no_longer_can(
    mosquitto: Mosquitto, panel: Panel, end: signal.Signals
) -> None:
    brain = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.brain.brokers.mqtt_brain", mosquitto.url),
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert brain.stdout is not None
    await brain.stdout.readline()
    brain.send_signal(end)
    try:
        await eventually(lambda: panel.of("kitty/status") == [b"online", b"offline"], limit=60)
    finally:
        with suppress(ProcessLookupError):
            brain.kill()
        await brain.wait()


async def test_a_brain_that_takes_over_is_there_and_the_other_is_not(
    mosquitto: Mosquitto, panel: Panel
) -> None:
    """The word of the one that was thrown out comes before the word of the other."""
    async with mqtt(mosquitto).connect() as first:
        await eventually(lambda: panel.of("kitty/status") == [b"online"])
        async with mqtt(mosquitto).connect():
            with pytest.raises(Unavailable):
                await first.ended()
            await eventually(lambda: len(panel.of("kitty/status")) == 3)
            assert panel.of("kitty/status")[-1] == b"online"


# -- conversations ----------------------------------------------------------------------------------------

TURN: Json = {"tier": "local", "pending": True, "text": "the code is 1234", "reply": "No."}


async def talk(desk: Desk, key: str = "c1") -> None:
    """Say something."""
    await desk.database.write(
        lambda connection: tell(connection, 5.0, "conversation", key, "answered", TURN)
    )


async def test_what_a_conversation_is_at_stays_there_without_its_words(
    desk: Desk, mosquitto: Mosquitto
) -> None:
    async with passing_on(desk, mqtt(mosquitto)):
        await talk(desk)
        await eventually(lambda: desk.heard)
        await gone(desk)
        async with listening(mosquitto) as late:
            await eventually(lambda: late.of("kitty/ctx/c1"))
            assert late.of("kitty/ctx/c1") == [
                {"event": "answered", "at": 5.0, "tier": "local", "pending": True}
            ]
            (message,) = [one for one in late.heard if str(one.topic) == "kitty/ctx/c1"]
            assert 3590 <= message.properties.MessageExpiryInterval <= 3600
            assert "1234" not in str([one.payload for one in late.heard])


async def test_its_words_go_along_where_a_person_wants_them(
    desk: Desk, mosquitto: Mosquitto, panel: Panel
) -> None:
    async with passing_on(desk, mqtt(mosquitto), content=True):
        await talk(desk)
        await eventually(lambda: panel.of("kitty/ctx/c1"))
    assert panel.of("kitty/ctx/c1")[0]["text"] == TURN["text"]
    assert panel.of("kitty/event/conversation")[0]["data"] == TURN


async def test_a_conversation_whose_name_is_no_topic_is_told_as_an_event_only(
    desk: Desk, mosquitto: Mosquitto, panel: Panel
) -> None:
    async with passing_on(desk, mqtt(mosquitto)):
        await talk(desk, key="a/../#")
        await talk(desk)
        await eventually(lambda: panel.of("kitty/ctx/c1"))
    assert len(panel.of("kitty/event/conversation")) == 2
    assert [str(one.topic) for one in panel.heard if "ctx" in str(one.topic)] == ["kitty/ctx/c1"]


# -- bad days ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "seconds", [1.0, pytest.param(10.0, marks=(pytest.mark.slow, pytest.mark.timeout(90)))]
)
async def test_what_is_told_while_the_broker_is_dead_arrives_once_and_in_order(
    desk: Desk, mosquitto: Mosquitto, panel: Panel, seconds: float
) -> None:
    async with passing_on(desk, mqtt(mosquitto)):
        await desk.tell(*range(20))
        await eventually(lambda: len(panel.numbers()) == 20)
        await asyncio.to_thread(mosquitto.kill)
        await desk.tell(*range(20, 60))
        await asyncio.sleep(seconds)  # so long it stays dead
        await eventually(lambda: not panel.listening.is_set())
        # Nobody remembers a subscription: whoever listens is there before the brain speaks.
        await desk.tasks.stop()
        await asyncio.to_thread(mosquitto.start)
        await panel.listening.wait()
    async with passing_on(desk, mqtt(mosquitto)):
        await eventually(lambda: len(panel.numbers()) == 60)
    assert panel.numbers() == list(range(60))


async def test_it_finds_a_broker_again_by_itself(
    desk: Desk, mosquitto: Mosquitto, panel: Panel
) -> None:
    async with passing_on(desk, mqtt(mosquitto)) as relay:
        await asyncio.to_thread(mosquitto.kill)
        await eventually(lambda: not relay.connected)
        await desk.tell(1)
        await asyncio.to_thread(mosquitto.start)
        await eventually(lambda: relay.connected)
        await gone(desk)


async def test_a_broker_that_hangs_is_noticed_and_gets_everything_when_it_goes_on(
    desk: Desk, mosquitto: Mosquitto, panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection stands, and nobody is at the other end."""
    monkeypatch.setattr(Mqtt, "keep_alive_s", 1)
    async with passing_on(desk, mqtt(mosquitto)) as relay:
        mosquitto.freeze()
        await eventually(lambda: not relay.connected)
        await desk.tell(*range(10))
        mosquitto.thaw()
        await eventually(lambda: len(panel.numbers()) == 10)
    assert panel.numbers() == list(range(10))


async def test_the_largest_event_is_taken_by_a_broker_that_takes_no_more_than_64_kib(
    desk: Desk, tmp_path: Path
) -> None:
    picky = Mosquitto(tmp_path / "picky", "message_size_limit 65536")
    await asyncio.to_thread(picky.start)
    data = {"n": 1, "text": "x" * (MOST_BYTES - len('{"n": 1, "text": ""}'))}
    await desk.outbox.cursor("mqtt")
    await desk.database.write(
        lambda connection: tell(connection, 1.0, "job", "k" * 160, "n" * 64, data)
    )
    async with listening(picky) as panel, passing_on(desk, mqtt(picky)):
        await eventually(lambda: panel.numbers() == [1])
    await asyncio.to_thread(picky.kill)


async def test_an_event_over_which_the_broker_falls_stops_no_other(
    desk: Desk, tmp_path: Path
) -> None:
    """Mosquitto ends the connection with whoever says too much, and would do so for ever."""
    small = Mosquitto(tmp_path / "small", "message_size_limit 1000")
    await asyncio.to_thread(small.start)
    async with listening(small) as panel, passing_on(desk, mqtt(small)):
        await desk.database.write(
            lambda connection: tell(connection, 1.0, "job", "k", "said", {"text": "x" * 2000})
        )
        await desk.tell(2)
        await eventually(lambda: len(panel.numbers()) == 2)
        assert panel.of("kitty/event/job")[0]["data"] == {"left_out": 2011}
    await asyncio.to_thread(small.kill)


async def test_a_topic_that_the_broker_forbids_is_swallowed_without_a_word(
    desk: Desk, tmp_path: Path
) -> None:
    """That is how MQTT is; the documents say so."""
    rules = tmp_path / "acl"
    rules.write_text("topic read #\ntopic write kitty/status\n")
    strict = Mosquitto(tmp_path / "strict", f"acl_file {rules}")
    await asyncio.to_thread(strict.start)
    async with listening(strict) as panel, passing_on(desk, mqtt(strict)) as relay:
        await desk.tell(1)
        await gone(desk)
        assert (panel.numbers(), relay.view()["trouble"]) == ([], None)
    await asyncio.to_thread(strict.kill)


async def test_a_broker_that_knows_neither_user_nor_password_lets_nobody_in(
    tmp_path: Path,
) -> None:
    closed = Mosquitto(tmp_path / "closed", "password_file /dev/null")
    conf = tmp_path / "closed/mosquitto.conf"
    conf.write_text(conf.read_text().replace("allow_anonymous true", "allow_anonymous false"))
    await asyncio.to_thread(closed.start)
    with pytest.raises(Unavailable) as caught:
        async with mqtt(closed).connect():
            pass
    assert caught.value.code == "broker_unreachable"
    await asyncio.to_thread(closed.kill)


# -- commands ---------------------------------------------------------------------------------------------

COMMAND: Json = {"id": "c-1", "device_id": "d" * 32, "intent": "unlock", "params": {}}


class Taker:
    """Takes commands."""

    def __init__(self) -> None:
        self.taken: list[Json] = []

    async def take(self, body: Json) -> Json:
        """Note it, and answer."""
        self.taken.append(body)
        return {"id": body["id"], "ok": True}


@pytest.fixture
def taker() -> Taker:
    """Give somebody who takes commands."""
    return Taker()


@pytest.fixture
async def open_door(desk: Desk, mosquitto: Mosquitto, taker: Taker) -> AsyncIterator[Relay]:
    """Let commands in."""
    async with passing_on(desk, mqtt(mosquitto, take=taker.take)) as relay:
        yield relay


@pytest.fixture
def counted() -> Callable[[str], int]:
    """Count from now on."""
    before = Counter(counters)
    return lambda name: counters[name] - before[name]


async def test_commands_are_not_heard_unless_a_person_allows_them(
    desk: Desk, mosquitto: Mosquitto, panel: Panel
) -> None:
    async with passing_on(desk, mqtt(mosquitto)):
        await panel.say("kitty/command", COMMAND)
        await desk.tell(1)
        await eventually(panel.numbers)
        assert panel.of("kitty/result/c-1") == []


async def test_a_command_is_taken_and_answered(
    panel: Panel, taker: Taker, open_door: Relay
) -> None:
    await panel.say("kitty/command", COMMAND)
    await eventually(lambda: panel.of("kitty/result/c-1"))
    assert taker.taken == [COMMAND]
    assert panel.of("kitty/result/c-1") == [{"id": "c-1", "ok": True}]


async def test_a_command_that_lay_there_is_ignored_and_counted(
    desk: Desk, mosquitto: Mosquitto, panel: Panel, taker: Taker, counted: Callable[[str], int]
) -> None:
    """Nobody knows when it was meant; after a restart it would come again."""
    await panel.say("kitty/command", COMMAND, retain=True)
    async with passing_on(desk, mqtt(mosquitto, take=taker.take)):
        await eventually(lambda: counted("mqtt_retained_ignored") == 1)
    assert taker.taken == []


async def test_a_command_that_is_to_stay_is_ignored_when_it_comes(
    panel: Panel, taker: Taker, open_door: Relay, counted: Callable[[str], int]
) -> None:
    await panel.say("kitty/command", COMMAND, retain=True)
    await eventually(lambda: counted("mqtt_retained_ignored") == 1)
    assert taker.taken == []


@pytest.mark.parametrize(
    "payload",
    [
        b"unlock",
        b"[]",
        b"[" * 60_000,
        b"\xff\xfe",
        b'{"intent": "unlock"}',
        b'{"id": "a/b"}',
        b'{"id": 7}',
        b'{"id": "c-1", "x": "' + b"x" * (MOST_COMMAND_BYTES - 20) + b'"}',
    ],
    ids=["word", "list", "nested", "bytes", "no id", "a path", "number", "too large"],
)
async def test_what_is_no_command_is_ignored_and_counted(
    mosquitto: Mosquitto,
    panel: Panel,
    taker: Taker,
    open_door: Relay,
    counted: Callable[[str], int],
    payload: bytes,
) -> None:
    await panel.say("kitty/command", payload)
    await panel.say("kitty/command", COMMAND)
    await eventually(lambda: taker.taken)
    assert counted("mqtt_commands_invalid") == 1
    assert taker.taken == [COMMAND]


async def test_there_is_no_topic_on_which_anything_could_be_approved(
    panel: Panel, taker: Taker, open_door: Relay
) -> None:
    for topic in ("kitty/approve", "kitty/decide", "kitty/command/approve", "kitty/result/c-1"):
        await panel.say(topic, COMMAND | {"decision": "approve"})
    await panel.say("kitty/command", COMMAND)
    await eventually(lambda: taker.taken)
    assert taker.taken == [COMMAND]


# -- TLS --------------------------------------------------------------------------------------------------


async def test_a_broker_whose_certificate_is_known_is_trusted(tmp_path: Path) -> None:
    authority = certificates(tmp_path)
    secret = Mosquitto(
        tmp_path / "tls", f"certfile {tmp_path}/server.pem", f"keyfile {tmp_path}/server.pem"
    )
    await asyncio.to_thread(secret.start)
    url = f"mqtts://localhost:{secret.port}"
    async with Mqtt(Where(url=f"{url}?cafile={authority}", instance_id="5eed")).connect() as link:
        await link.publish(
            Message(id="1", topic="job", key="k", name="said", at=1.0, data={"n": 1})
        )
    with pytest.raises(InvalidRequest):
        async with Mqtt(Where(url=f"{url}?cafile=/none", instance_id="5eed")).connect():
            pass
    await asyncio.to_thread(secret.kill)


# The library leaves the socket to the collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_broker_whose_certificate_nobody_knows_is_not_spoken_to(tmp_path: Path) -> None:
    certificates(tmp_path)
    secret = Mosquitto(
        tmp_path / "tls", f"certfile {tmp_path}/server.pem", f"keyfile {tmp_path}/server.pem"
    )
    await asyncio.to_thread(secret.start)
    with pytest.raises(Unavailable) as caught:
        async with Mqtt(
            Where(url=f"mqtts://localhost:{secret.port}", instance_id="5eed")
        ).connect():
            pass
    reason = caught.value.fields["reason"]
    assert "certificate verify failed" in reason
    await asyncio.to_thread(secret.kill)
    # The thread that tried may hold the socket a moment longer.
    await asyncio.get_running_loop().shutdown_default_executor()
    del caught
    gc.collect()


# -- a broker that stops in the middle of a word -------------------------------------------------------------

CONNECT, PUBLISH, DISCONNECT = 0x10, 0x32, 0xE0


class Mute:
    """A broker that answers some kinds of packets only."""

    def __init__(self, *answers: int) -> None:
        self._answers = answers
        self._said = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer until the other side goes."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            kind = 0
            while kind != DISCONNECT:
                kind = (await reader.readexactly(1))[0] & 0xF6
                size = (await reader.readexactly(1))[0]
                body = await reader.readexactly(size)
                if kind & 0xF0 == CONNECT:
                    writer.write(bytes([0x20, 3, 0, 0, 0]))
                elif kind in self._answers and kind == PUBLISH:
                    after = 2 + int.from_bytes(body[:2])
                    writer.write(bytes([0x40, 2]) + body[after : after + 2])
        writer.close()


@asynccontextmanager
async def mute(*answers: int) -> AsyncGenerator[Mqtt]:
    """Give one for the time of a block."""
    server = await asyncio.start_server(Mute(*answers).serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    async def take(_body: Json) -> Json:
        return {}

    yield Mqtt(Where(url=f"mqtt://127.0.0.1:{port}", instance_id="5eed", take=take))
    server.close()
    server.close_clients()
    await server.wait_closed()


async def test_a_broker_that_confirms_nothing_is_as_good_as_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("brain_server.brokers.mqtt.CONFIRM_S", 0.1)
    async with mute() as broker:
        with pytest.raises(Unavailable) as caught:
            async with broker.connect():
                pass
    assert caught.value.code == "broker_unreachable"


async def test_a_broker_that_lets_nobody_listen_is_as_good_as_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("brain_server.brokers.mqtt.CONNECT_S", 0.3)
    async with mute(PUBLISH) as broker:
        with pytest.raises(Unavailable) as caught:
            async with broker.connect():
                pass
    assert caught.value.code == "broker_unreachable"
