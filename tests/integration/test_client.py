"""The socket to the brain: what it asks for, what it survives, what it refuses."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from aiohttp import ClientError
from homeassistant.core import HomeAssistant
from homeassistant.helpers.aiohttp_client import (
    async_create_clientsession,
    async_get_clientsession,
)
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.kitty import client as client_module
from custom_components.kitty.client import BrainClient, validate
from custom_components.kitty.errors import (
    BrainError,
    BrainUnavailable,
    CannotConnect,
    InvalidAuth,
    SchemaMismatch,
    WrongBrain,
)
from custom_components.kitty.protocol import Json

from .conftest import heard, kitty_entry, set_up
from .fake_brain import TOKEN, FakeBrain, FakeError


def _client(hass: HomeAssistant, brain: FakeBrain, **pins: Any) -> BrainClient:
    return BrainClient(async_get_clientsession(hass), brain.url, TOKEN, **pins)


async def test_the_hello_tells_who_the_brain_is(hass: HomeAssistant, brain: FakeBrain) -> None:
    """The first frame is read and kept."""
    hello = await validate(async_get_clientsession(hass), brain.url, TOKEN)
    assert (hello.instance_id, hello.public_key) == (brain.instance_id, brain.public_key)


async def test_while_home_assistant_stops_there_is_no_socket(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """Its session is closed before the last of what was opened with it ends."""
    session = async_create_clientsession(hass)
    session.detach()
    with pytest.raises(CannotConnect):
        await validate(session, brain.url, TOKEN)


async def test_a_wrong_token_is_told_apart(hass: HomeAssistant, brain: FakeBrain) -> None:
    """A refused token is not a brain that is down."""
    with pytest.raises(InvalidAuth):
        await validate(async_get_clientsession(hass), brain.url, "wrong")


async def test_nobody_at_the_address(hass: HomeAssistant, brain: FakeBrain) -> None:
    """A closed port is a brain that cannot be reached."""
    await brain.stop()
    with pytest.raises(CannotConnect):
        await validate(async_get_clientsession(hass), brain.url, TOKEN)


async def test_another_server_at_the_address(hass: HomeAssistant, brain: FakeBrain) -> None:
    """Something that is no brain is a brain that cannot be reached."""
    with pytest.raises(CannotConnect):
        await validate(async_get_clientsession(hass), f"{brain.url}/elsewhere", TOKEN)


async def test_an_address_that_is_none(hass: HomeAssistant, socket_enabled: None) -> None:
    """Nonsense is a brain that cannot be reached."""
    with pytest.raises(CannotConnect):
        await validate(async_get_clientsession(hass), "no address", TOKEN)


@pytest.mark.parametrize("missing", ["schema", "public_key"])
async def test_a_hello_without_its_fields(
    hass: HomeAssistant, brain: FakeBrain, missing: str
) -> None:
    """A first frame that lacks something is no hello."""
    brain.hello_extra = {missing: None if missing == "schema" else 1, "schema": None}
    with pytest.raises(CannotConnect):
        await validate(async_get_clientsession(hass), brain.url, TOKEN)


@pytest.mark.parametrize(
    ("schema", "min_schema", "older"), [(0, 0, True), (99, 99, False)], ids=["old", "new"]
)
async def test_no_common_version(
    hass: HomeAssistant, brain: FakeBrain, schema: int, min_schema: int, older: bool
) -> None:
    """Two sides without a common version do not talk, and it is known which is the older."""
    brain.schema, brain.min_schema = schema, min_schema
    with pytest.raises(SchemaMismatch) as caught:
        await validate(async_get_clientsession(hass), brain.url, TOKEN)
    assert caught.value.brain_is_older is older


async def test_a_newer_brain_that_still_speaks_our_version(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """A brain that is newer and compatible is accepted."""
    brain.schema = 99
    assert (await validate(async_get_clientsession(hass), brain.url, TOKEN)).schema == 99


async def test_a_token_of_too_little_scope(hass: HomeAssistant, brain: FakeBrain) -> None:
    """The token is tried with a command, not only with the door."""

    def refuse(_params: Json, _caller: Json | None) -> Json:
        raise FakeError("scope_required")

    brain.answers["system.info"] = refuse
    with pytest.raises(BrainError) as caught:
        await validate(async_get_clientsession(hass), brain.url, TOKEN)
    assert caught.value.code == "scope_required"


@pytest.mark.parametrize("pin", [{"instance_id": "other"}, {"public_key": "other"}])
async def test_another_brain_at_the_address(
    hass: HomeAssistant, brain: FakeBrain, pin: dict[str, str]
) -> None:
    """A brain with another identity than the pinned one is not spoken to."""
    with pytest.raises(WrongBrain):
        await _client(hass, brain, **pin).connect()


async def test_a_command_without_a_socket(hass: HomeAssistant, brain: FakeBrain) -> None:
    """Nothing is queued for later: the caller learns at once."""
    with pytest.raises(BrainUnavailable):
        await _client(hass, brain).command("devices.list")


async def test_an_error_keeps_its_code_and_sentence(
    kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """The brain's code is the translation key, its sentence the message."""

    def refuse(_params: Json, _caller: Json | None) -> Json:
        raise FakeError("locked_out", "Wait a little", retry_after=9)

    brain.answers["devices.list"] = refuse
    with pytest.raises(BrainError) as caught:
        await kitty.runtime_data.client.command("devices.list")
    assert (caught.value.translation_key, str(caught.value)) == ("locked_out", "Wait a little")
    assert caught.value.translation_placeholders == {"retry_after": "9"}


async def test_commands_may_overtake_each_other(kitty: MockConfigEntry, brain: FakeBrain) -> None:
    """A slow command holds up no other."""
    slow = asyncio.Event()

    async def wait(_params: Json, _caller: Json | None) -> Json:
        await slow.wait()
        return {"who": "slow"}

    brain.answers["devices.list"] = wait
    brain.answers["jobs.list"] = lambda _params, _caller: {"who": "fast"}
    client = kitty.runtime_data.client
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(client.command("devices.list"))
        assert (await client.command("jobs.list"))["who"] == "fast"
        slow.set()
    assert first.result()["who"] == "slow"


async def test_an_answer_that_does_not_come(kitty: MockConfigEntry, brain: FakeBrain) -> None:
    """A command that takes too long is given up, and the brain is told."""
    brain.answers["devices.list"] = lambda _params, _caller: asyncio.Event().wait()
    with pytest.raises(BrainUnavailable) as caught:
        await kitty.runtime_data.client.command("devices.list", timeout=0.05)
    assert caught.value.code == "brain_timeout"
    await brain.until(lambda: brain.cancelled)


async def test_a_stream_comes_in_parts(kitty: MockConfigEntry, brain: FakeBrain) -> None:
    """Deltas are handed on as they come, the result last."""

    async def talk(_params: Json, _caller: Json | None) -> Any:
        yield {"text": "Good "}
        yield {"text": "morning"}
        yield {"result": {"text": "Good morning"}}

    brain.answers["conversation.process"] = talk
    parts = [part async for part in kitty.runtime_data.client.stream("conversation.process", {})]
    assert parts == [
        {"delta": {"text": "Good "}},
        {"delta": {"text": "morning"}},
        {"result": {"text": "Good morning"}},
    ]


async def test_a_stream_that_nobody_reads_is_cancelled(
    kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """A listener who leaves stops the brain's work."""

    async def talk(_params: Json, _caller: Json | None) -> Any:
        yield {"text": "Once upon"}
        await asyncio.Event().wait()

    brain.answers["conversation.process"] = talk
    stream = kitty.runtime_data.client.stream("conversation.process", {})
    assert await anext(stream) == {"delta": {"text": "Once upon"}}
    await stream.aclose()
    await brain.until(lambda: brain.cancelled)


async def test_a_broken_socket_ends_what_waits(kitty: MockConfigEntry, brain: FakeBrain) -> None:
    """Whoever waits for an answer learns that nobody knows."""

    async def vanish(_params: Json, _caller: Json | None) -> Json:
        await brain.drop()
        return {}

    brain.answers["devices.list"] = vanish
    with pytest.raises(BrainUnavailable):
        await kitty.runtime_data.client.command("devices.list")


async def test_missed_events_are_made_up_for(kitty: MockConfigEntry, brain: FakeBrain) -> None:
    """After a break exactly what was missed comes, once and in order."""
    notes: list[str] = []
    kitty.runtime_data.coordinator.async_listen("note", lambda data: notes.append(data["n"]))
    await brain.push("note", {"n": "one"})
    await brain.drop()
    await brain.push("note", {"n": "two"})
    await brain.push("note", {"n": "three"})
    await brain.until(lambda: len(brain.subscriptions) == 2)
    await brain.push("note", {"n": "four"})
    await heard(kitty)
    assert notes == ["one", "two", "three", "four"]


async def test_an_event_that_comes_twice_counts_once(
    kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """An event that was seen is not seen again."""
    notes: list[str] = []
    kitty.runtime_data.coordinator.async_listen("note", lambda data: notes.append(data["n"]))
    await brain.push("note", {"n": "one"})
    await brain.say(brain._event_frame(brain._event_id, "note", {"n": "one"}))
    await brain.push("note", {"n": "two"})
    await heard(kitty)
    assert notes == ["one", "two"]


async def test_a_brain_that_restarted_sends_everything(
    kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """Another epoch means a snapshot, and no event id of the old one."""
    brain.restarted()
    await brain.drop()
    await brain.until(lambda: len(brain.subscriptions) == 2)
    assert "after" not in brain.subscriptions[1]
    await heard(kitty)


@pytest.mark.parametrize(
    "frame",
    ["not json", "[]", "{}", '{"type":"event"}', '{"type":"request"}', "[" * 100_000],
    ids=["no JSON", "list", "empty", "event", "request", "deep"],
)
async def test_a_frame_that_makes_no_sense_changes_nothing(
    kitty: MockConfigEntry, brain: FakeBrain, frame: str
) -> None:
    """Nonsense is logged and survived."""
    before = kitty.runtime_data.coordinator.data
    await brain.say(frame)
    assert await kitty.runtime_data.client.command("devices.list") == {}
    assert kitty.runtime_data.coordinator.data == before


async def test_a_reader_of_events_that_breaks_ends_no_link(
    kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """What comes next is read by it, too."""
    notes: list[str] = []

    def read(data: Json) -> None:
        notes.append(data["n"])
        raise OverflowError

    kitty.runtime_data.coordinator.async_listen("note", read)
    await brain.push("note", {"n": "one"})
    await brain.push("note", {"n": "two"})
    await heard(kitty)
    assert notes == ["one", "two"]


async def test_a_request_that_nobody_answers(kitty: MockConfigEntry, brain: FakeBrain) -> None:
    """A method that is not known is answered with an error, not with silence."""
    answer = await brain.ask("ha.dance", {})
    assert answer["error"]["code"] == "unknown_method"


async def test_a_request_without_its_parameters(kitty: MockConfigEntry, brain: FakeBrain) -> None:
    """A request that lacks something is answered with an error."""
    answer = await brain.ask("ha.execute", {})
    assert answer["error"]["code"] == "invalid_request"


async def test_what_is_too_large_for_a_frame_is_not_sent(kitty: MockConfigEntry) -> None:
    """The limit of the wire is kept on this side, too."""
    with pytest.raises(Exception, match="too large"):
        await kitty.runtime_data.client.command("x", {"text": "x" * 1024 * 1024})


async def test_a_token_that_may_not_act_for_people_is_not_enough(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """A token of another scope is refused when the brain is added, not at the first approval."""
    brain.scope = "control"
    with pytest.raises(InvalidAuth):
        await validate(async_get_clientsession(hass), brain.url, TOKEN)


async def test_a_brain_that_cannot_prove_its_key_is_refused(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """Showing somebody else's public key is not enough: the nonce has to be signed with it."""
    brain.hello_extra = {"proof": "AAAA"}
    with pytest.raises(WrongBrain):
        await validate(async_get_clientsession(hass), brain.url, TOKEN)


async def test_a_ping_of_the_brain_is_answered(kitty: MockConfigEntry, brain: FakeBrain) -> None:
    """A brain that asks whether we are there gets its answer, and the socket stays."""
    await brain.ping()
    await heard(kitty)
    assert brain.connections == 1


async def test_a_quiet_brain_is_asked_whether_it_is_there(
    kitty: MockConfigEntry, brain: FakeBrain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silence alone is no break: the ping is answered, and the socket stays."""
    monkeypatch.setattr(client_module, "HEARTBEAT", 1.0)
    await heard(kitty)
    await asyncio.sleep(2.5)  # over two such silences
    assert brain.connections == 1


async def test_a_brain_that_answers_no_ping_is_left(
    hass: HomeAssistant, no_platforms: None, brain: FakeBrain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A half-open socket is noticed and replaced."""
    brain.deaf = True
    monkeypatch.setattr(client_module, "HEARTBEAT", 0.05)
    await set_up(hass, kitty_entry(brain))
    await brain.until(lambda: brain.connections > 1)


async def test_a_picture_of_the_brain_is_a_large_frame(
    kitty: MockConfigEntry, brain: FakeBrain
) -> None:
    """Whatever the protocol allows in one frame is taken."""
    image = "x" * (1024 * 1024 - 200)
    brain.answers["devices.snapshot"] = lambda _params, _caller: {"image": image}
    assert await kitty.runtime_data.client.command("devices.snapshot") == {"image": image}


async def test_a_stream_whose_socket_breaks(kitty: MockConfigEntry, brain: FakeBrain) -> None:
    """Half an answer ends with an error, not with silence."""

    async def talk(_params: Json, _caller: Json | None) -> Any:
        yield {"text": "Once upon"}
        await brain.drop()
        await asyncio.Event().wait()

    brain.answers["conversation.process"] = talk
    with pytest.raises(BrainUnavailable):
        _ = [part async for part in kitty.runtime_data.client.stream("conversation.process", {})]


@pytest.mark.parametrize("answer", ["closes", "says a word", "says nothing"])
async def test_a_brain_that_breaks_off_while_it_is_tried(
    hass: HomeAssistant, brain: FakeBrain, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    """Whatever happens instead of an answer, the brain cannot be reached."""
    monkeypatch.setattr(client_module, "CONNECT_TIMEOUT", 0.2)

    async def instead(_params: Json, _caller: Json | None) -> Json:
        match answer:
            case "closes":
                await brain.drop()
            case "says a word":
                await brain.say('"word"')
        await asyncio.sleep(1)
        return {}

    brain.answers["system.info"] = instead
    with pytest.raises(CannotConnect):
        await validate(async_get_clientsession(hass), brain.url, TOKEN)


@pytest.mark.parametrize("error", [TimeoutError(), ClientError("gone"), RuntimeError("broken")])
async def test_whatever_fails_in_this_house_the_brain_is_answered(
    kitty: MockConfigEntry, brain: FakeBrain, error: Exception
) -> None:
    """A tool or a camera of another integration fails as its library does; the brain waits for nothing in vain."""

    async def fail(_params: Json) -> Json:
        raise error

    kitty.runtime_data.client.register("ha.fail", fail)
    answer = await brain.ask("ha.fail", {})
    assert answer["error"]["code"] == "home_assistant_error"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"text": "x" * 1024 * 1024}, "frame_too_large"),
        ({"at": datetime(2026, 1, 1, tzinfo=UTC)}, "home_assistant_error"),
    ],
)
async def test_an_answer_that_cannot_be_sent_is_no_silence(
    kitty: MockConfigEntry, brain: FakeBrain, answer: Json, code: str
) -> None:
    """A tool of another integration may say more than a frame holds, or what is no JSON."""

    async def tell(_params: Json) -> Json:
        return answer

    kitty.runtime_data.client.register("ha.tell", tell)
    assert (await brain.ask("ha.tell", {}))["error"]["code"] == code
