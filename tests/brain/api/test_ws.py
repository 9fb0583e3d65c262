"""Commands over the WebSocket: answered, refused, stopped; nothing that is sent ends the socket."""

import asyncio
import json
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, WSServerHandshakeError
import pytest

from brain_server.api.auth import ROTATION_OVERLAP
from brain_server.app import Brain
from brain_server.protocol import MAX_FRAME_BYTES, Json
from tests.brain.gatehouse import KEY, public
from tests.brain.home import Home, Later, Rest, Socket, at_home, running, until

NESTED = 100_000
BAD_TEXTS = {
    "nothing": ("", "invalid_json"),
    "words": ("unlock the door", "invalid_json"),
    "half": ('{"type":"command","id":1', "invalid_json"),
    "not a number": ('{"type":"command","id":NaN}', "invalid_json"),
    "infinite": ('{"type":"command","id":1,"params":{"a":1e999}}', "invalid_json"),
    "nested": ("[" * NESTED, "invalid_json"),
    "nested objects": ('{"a":' * NESTED, "invalid_json"),
    "nested and closed": ('{"id":1,"a":' + "[" * 100 + "]" * 100 + "}", "invalid_json"),
    "long number": ('{"type":"command","id":' + "9" * 5000 + "}", "invalid_json"),
    "number of 65 bits": ('{"type":"command","id":36893488147419103232}', "invalid_json"),
    "half a surrogate": ('{"type":"command","id":1,"action":"\\ud800"}', "invalid_json"),
    "a list": ("[]", "invalid_frame"),
    "a number": ("7", "invalid_frame"),
    "null": ("null", "invalid_frame"),
    "no id": ('{"type":"command"}', "invalid_frame"),
    "id is text": ('{"type":"command","id":"1"}', "invalid_frame"),
    "id is true": ('{"type":"command","id":true}', "invalid_frame"),
    "id is a fraction": ('{"type":"command","id":1.5}', "invalid_frame"),
    "no type": ('{"id":1}', "invalid_frame"),
    "unknown type": ('{"type":"dance","id":1}', "invalid_frame"),
    "type is a list": ('{"type":[],"id":1}', "invalid_frame"),
    "no action": ('{"type":"command","id":1}', "unknown_action"),
    "unknown action": ('{"type":"command","id":1,"action":"doors.blow_up"}', "unknown_action"),
    "action is a list": ('{"type":"command","id":1,"action":[]}', "unknown_action"),
    "a method of Python": ('{"type":"command","id":1,"action":"__class__"}', "unknown_action"),
    "params are a list": (
        '{"type":"command","id":1,"action":"system.info","params":[]}',
        "invalid_params",
    ),
    "params are false": (
        '{"type":"command","id":1,"action":"system.info","params":false}',
        "invalid_params",
    ),
    "unknown param": (
        '{"type":"command","id":1,"action":"system.info","params":{"a":1}}',
        "invalid_params",
    ),
}
BAD_CALLERS = [
    7,
    [],
    "ada",
    {"user_id": 7},
    {"user_id": "a" * 65},
    {"channel": "telepathy"},
    {"channel": []},
    {"name": {}},
    {"context_id": ["x"]},
]


@pytest.mark.parametrize(("text", "code"), BAD_TEXTS.values(), ids=BAD_TEXTS)
async def test_a_bad_frame_is_answered_and_the_socket_stays_open(
    brain: Brain, text: str, code: str
) -> None:
    """Each is refused with its code, and the next good command runs."""
    async with Socket(brain) as socket:
        await socket.ws.send_str(text)
        refused = await until(lambda: socket.frames, "an answer")
        assert (refused[0]["type"], refused[0]["error"]["code"]) == ("error", code)
        assert refused[0]["error"]["trace_id"]
        assert (await socket.command("system.info"))["schema"] == 1


async def test_a_binary_frame_is_refused(brain: Brain) -> None:
    """Frames are text."""
    async with Socket(brain) as socket:
        await socket.ws.send_bytes(b'{"type":"command","id":1,"action":"system.info"}')
        (refused,) = await until(lambda: socket.frames, "an answer")
        assert refused["error"]["code"] == "invalid_frame"
        assert (await socket.command("system.info"))["schema"] == 1


async def test_text_that_is_not_utf_8_ends_that_socket_alone(brain: Brain) -> None:
    """The standard asks for it: close code 1007."""
    async with Socket(brain) as bad, Socket(brain) as good:
        await bad.ws._writer.send_frame(b'{"id":1,"type":"\xff\xfe"}', WSMsgType.TEXT)
        await until(lambda: bad.close_code, "the end")
        assert bad.close_code == 1007
        assert (await good.command("system.info"))["schema"] == 1


async def test_a_frame_beyond_a_mebibyte_ends_that_socket_alone(brain: Brain) -> None:
    """Close code 1009: too big."""
    async with Socket(brain) as bad, Socket(brain) as good:
        await bad.ws.send_str("x" * (MAX_FRAME_BYTES + 1))
        await until(lambda: bad.close_code, "the end")
        assert bad.close_code == 1009
        assert (await good.command("system.info"))["schema"] == 1


@pytest.mark.parametrize("token", ["", "wrong", "é", "a" * 5000])
async def test_without_a_token_there_is_no_socket(brain: Brain, token: str) -> None:
    """The handshake is refused before anything is said."""
    with pytest.raises(WSServerHandshakeError) as caught:
        await Socket(brain, token).__aenter__()
    assert caught.value.status == 401


async def test_a_result_carries_the_request_id_that_was_given(brain: Brain) -> None:
    """One id from the caller's log to the brain's."""
    async with Socket(brain) as socket:
        number = await socket.send(type="command", action="system.info", request_id="mine")
        good = await socket.answer(number)
        number = await socket.send(type="command", action="no.such", request_id="mine too")
        bad = await socket.answer(number)
    assert (good["request_id"], bad["error"]["trace_id"]) == ("mine", "mine too")


@pytest.mark.parametrize("given", [None, 7, "x" * 65, []])
async def test_a_request_id_that_is_none_is_replaced(brain: Brain, given: object) -> None:
    """Every answer has an id, whatever was sent."""
    async with Socket(brain) as socket:
        number = await socket.send(type="command", action="system.info", request_id=given)
        answer = await socket.answer(number)
    assert len(answer["request_id"]) == 32


async def test_words_come_before_the_result_that_they_belong_to(home: Home) -> None:
    """A streamed answer is deltas and then the result, under one id."""
    await home.say("help")
    kinds = [(frame["type"], frame["id"]) for frame in home.frames][-2:]
    assert kinds == [("delta", home._ids), ("result", home._ids)]


async def test_an_answer_that_does_not_fit_is_an_error_and_not_the_end(home: Home) -> None:
    """A picture of a mebibyte does not break the socket of the one who asked for it."""
    camera = await home.puppet("eye", "camera")
    camera.picture = bytes(MAX_FRAME_BYTES)
    asked = {"device_id": camera.context.device_id}
    assert await home.refusal("devices.snapshot", asked) == "answer_too_large"
    assert (await home.command("system.info"))["schema"] == 1


# -- speaking for people ------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["read", "control", "admin"])
async def test_only_home_assistant_may_speak_for_a_person(home: Home, scope: str) -> None:
    """A token of any other scope that names a caller is refused."""
    async with Socket(home.brain, await home.token(scope)) as socket:
        caller = {"user_id": "dan", "channel": "dashboard"}
        assert await socket.refusal("system.info", caller=caller) == "may_not_name_caller"
        assert (await socket.command("system.info"))["schema"] == 1


@pytest.mark.parametrize("caller", BAD_CALLERS, ids=str)
async def test_a_caller_that_makes_no_sense_is_refused(brain: Brain, caller: object) -> None:
    """Home Assistant's mistakes are not guessed at."""
    async with Socket(brain) as socket:
        assert await socket.refusal("system.info", caller=caller) == "invalid_caller"


async def test_who_names_nobody_is_a_program(home: Home) -> None:
    """Without a caller the road is the API's and there is no person."""
    lamp = await home.puppet("lamp", "light")
    lamp.shows = {"on": True}
    asked = {"device_id": lamp.context.device_id, "intent": "light_on", "wait": 5}
    done = (await home.command("devices.request", asked))["command"]
    assert (done["channel"], done["requested_by"]) == ("api", None)


# -- many at once, and stopping -----------------------------------------------------------------------


async def test_a_client_may_run_sixty_four_commands_at_once(home: Home) -> None:
    """The next one is told to wait, and the others go on."""
    lamp = await home.puppet("lamp", "light")
    lamp.reaction = asyncio.Event()
    lamp.shows = {"on": True}
    asked = {"device_id": lamp.context.device_id, "intent": "light_on", "wait": 20}
    async with Socket(home.brain) as socket:
        numbers = [
            await socket.send(type="command", action="devices.request", params=asked)
            for _ in range(64)
        ]
        late = await socket.answer(await socket.send(type="command", action="system.info"))
        assert late["error"]["code"] == "too_many_commands"
        assert late["error"]["details"]["retry_after"] == 1
        lamp.reaction.set()
        ends = [await socket.answer(number) for number in numbers]
        assert (await socket.command("system.info"))["schema"] == 1
    assert {end["data"]["command"]["status"] for end in ends} == {"acked"}


async def test_an_id_that_is_still_in_use_is_refused(home: Home) -> None:
    """Two commands under one id could not be told apart."""
    lamp = await home.puppet("lamp", "light")
    lamp.reaction, lamp.shows = asyncio.Event(), {"on": True}
    asked = {"device_id": lamp.context.device_id, "intent": "light_on", "wait": 20}
    async with Socket(home.brain) as socket:
        await socket.send(type="command", action="devices.request", params=asked, id=7)
        await socket.send(type="command", action="system.info", id=7)
        assert (await socket.answer(7))["error"]["code"] == "too_many_commands"
        lamp.reaction.set()


async def test_a_cancelled_turn_ends_and_what_it_ordered_goes_on(home: Home) -> None:
    """Cancel stops the talking; a lamp that was told to shine is not forgotten."""
    lamp = await home.puppet("lamp", "light")
    lamp.reaction = asyncio.Event()
    lamp.shows = {"on": True}
    async with Socket(home.brain) as socket:
        said = {"text": "switch on the lamp"}
        number = await socket.send(type="command", action="conversation.process", params=said)
        await until(lambda: lamp.orders.get("lamp"), "the order")
        await socket.ws.send_json({"type": "cancel", "id": number})
        (client,) = (one for one in home.brain.sockets.clients if one.running)
        await until(lambda: not client.running, "the end of the turn")
        lamp.reaction.set()
        done = await home.event("command.updated", lambda one: one["status"] == "acked")
    assert done["intent"] == "light_on"
    assert [frame["type"] for frame in socket.frames] == []


async def test_cancelling_what_does_not_run_is_harmless(brain: Brain) -> None:
    """A cancel that comes too late says nothing."""
    async with Socket(brain) as socket:
        await socket.send(type="cancel")
        assert (await socket.command("system.info"))["schema"] == 1
    assert [frame["type"] for frame in socket.frames] == ["result"]


async def test_the_id_of_a_command_that_was_cancelled_before_it_began_is_free_again(
    brain: Brain,
) -> None:
    """Both frames come in one breath; nothing of the command is left behind."""
    async with Socket(brain) as socket:
        await socket.send(type="command", action="system.info", id=7)
        await socket.send(type="cancel", id=7)
        await socket.send(type="command", action="system.info", id=8)
        await socket.answer(8)
        (client,) = brain.sockets.clients
        await until(lambda: not client.running, "the end of both")
        await socket.send(type="command", action="system.info", id=7)
        assert (await socket.answer(7))["type"] == "result"
    assert [frame["id"] for frame in socket.frames] == [8, 7]


async def test_a_request_is_carried_out_though_its_caller_hung_up(home: Home) -> None:
    """What reached the brain is done or refused, never left half way."""
    lamp = await home.puppet("lamp", "light")
    lamp.shows = {"on": True}
    asked = {"device_id": lamp.context.device_id, "intent": "light_on"}
    for _ in range(20):
        async with Socket(home.brain) as socket:
            await socket.send(type="command", action="devices.request", params=asked)
    commands = await until_all_over(home)
    assert [one["status"] for one in commands] == ["acked"] * 20
    assert len(lamp.orders["lamp"]) == 20


async def until_all_over(home: Home) -> list[Json]:
    """Return all commands when none is open any more."""
    await until(lambda: not home.brain.dispatcher.running, "the end of all requests")
    await until(lambda: not home.brain.devices._running, "the end of all orders")
    items: list[Json] = (await home.command("commands.list"))["items"]
    return items


async def test_there_are_only_so_many_connections(tmp_path: Path) -> None:
    """One more than allowed is told to come back later."""
    async with running(tmp_path, max_clients=2) as brain, Socket(brain), Socket(brain):
        with pytest.raises(WSServerHandshakeError) as caught:
            await Socket(brain).__aenter__()
        assert (caught.value.status, caught.value.headers["Retry-After"]) == (429, "5")


# -- tokens that end ----------------------------------------------------------------------------------


async def test_a_revoked_token_ends_its_open_socket(home: Home) -> None:
    """At the next word of either side; others stay."""
    made = await home.command("tokens.create", {"name": "guest", "scope": "read"})
    async with (
        Socket(home.brain, made["token"]) as talker,
        Socket(home.brain, made["token"]) as ear,
    ):
        await ear.subscribe()
        seen = len(ear.events)
        await home.command("tokens.revoke", {"token_id": made["id"]})
        await talker.send(type="command", action="devices.list")
        await until(lambda: talker.close_code, "the end of the one who speaks")
        home.brain.bus.publish("test.secret", {})
        await until(lambda: ear.close_code, "the end of the one who listens")
        assert talker.close_code == 1008
        assert [frame for frame in talker.frames if frame["type"] == "result"] == []
        assert ear.events[seen:] == []
    assert (await home.command("system.info"))["schema"] == 1


async def test_a_token_that_was_replaced_ends_its_socket_after_an_hour(
    home: Home, clock: Later
) -> None:
    """Until then both work, so that nobody is interrupted."""
    async with Socket(home.brain, await home.token("read")) as old:
        new = (await old.command("tokens.rotate"))["token"]
        clock.ahead = ROTATION_OVERLAP - 5
        assert (await old.command("system.info"))["schema"] == 1
        clock.ahead = ROTATION_OVERLAP + 5
        await old.send(type="command", action="system.info")
        await until(lambda: old.close_code, "the end")
        async with Socket(home.brain, new) as fresh:
            assert (await fresh.command("system.info"))["schema"] == 1
    assert old.close_code == 1008


# -- the road to Home Assistant -----------------------------------------------------------------------


async def test_a_response_of_another_token_answers_nothing(home: Home) -> None:
    """Only the integration can answer what the brain asks it."""
    answered = asyncio.Event()
    real = home.answers["ha.execute"]

    async def slowly(params: Json) -> Json:
        await answered.wait()
        return await real(params)

    device = await home.add("home_assistant", entity_id="light.bench", zone="hall")
    home.answers["ha.execute"] = slowly
    asked = await home.request(device, "light_on")
    question = await until(
        lambda: [one for one in home.asked if one["method"] == "ha.execute"], "the question"
    )
    async with Socket(home.brain, await home.token("admin")) as thief:
        await thief.ws.send_json(
            {"type": "response", "id": question[0]["id"], "data": {"status": "failed"}}
        )
        (refused,) = await until(lambda: thief.frames, "an answer")
    answered.set()
    assert refused["error"]["code"] == "invalid_frame"
    assert (await home.ended(asked["command"]["id"]))["status"] == "acked"


@pytest.mark.parametrize(
    "reply",
    [
        {"id": 10_000, "data": {}},
        {"id": 1, "data": []},
        {"id": 1},
        {"id": 1, "error": "no"},
        {"id": -1, "error": {"code": 7}},
    ],
    ids=json.dumps,
)
async def test_an_answer_that_nobody_waits_for_changes_nothing(home: Home, reply: Json) -> None:
    """It is dropped, and the socket goes on."""
    await home.ws.send_json({"type": "response"} | reply)
    assert (await home.command("system.info"))["schema"] == 1


async def test_an_answer_without_data_is_an_error_of_home_assistant(home: Home) -> None:
    """A command whose answer makes no sense is not called done."""
    device = await home.add("home_assistant", entity_id="light.bench", zone="hall")

    async def nonsense(_params: Json) -> Json:
        return []  # type: ignore[return-value]  # the double has the part that is used

    home.answers |= {"ha.execute": nonsense, "ha.outcome": nonsense}
    asked = await home.request(device, "light_on")
    assert (await home.ended(asked["command"]["id"]))["status"] == "unknown"


async def test_questions_end_with_the_socket_that_they_were_asked_over(brain: Brain) -> None:
    """The brain does not wait for somebody who left, and knows that nobody is there."""

    async def never(_params: Json) -> Json:
        await asyncio.Event().wait()
        raise AssertionError

    async with at_home(brain) as home:
        token = await home.token("control")
        device = await home.add("home_assistant", entity_id="light.bench", zone="hall")
        home.answers["ha.execute"] = never
        asked = await home.request(device, "light_on")
        await until(lambda: home.asked[-1]["method"] == "ha.execute", "the question")
    assert not brain.link.connected
    async with Rest(brain, token) as rest:
        await until(lambda: not brain.devices._running, "the outcome")
        done = await command(rest, asked["command"]["id"])
        again = await rest.act(
            "devices.request", {"device_id": device, "intent": "light_on", "wait": 5}
        )
    assert (done["status"], done["detail"]) == ("unknown", "no_answer")
    assert again.data["command"]["status"] == "failed"
    assert again.data["command"]["detail"] == "home_assistant_offline"


async def command(rest: Rest, command_id: str) -> Json:
    """Return one command."""
    found: Json = (await rest.get(f"/api/v1/commands.get?command_id={command_id}")).data
    return found


async def test_when_the_newer_of_two_connections_leaves_the_older_is_asked_again(
    home: Home,
) -> None:
    """A second program with the same token takes the road only while it is there."""
    device = await home.add("home_assistant", entity_id="light.bench", zone="hall")
    async with Socket(home.brain) as other:
        await other.subscribe()
    asked = await home.request(device, "light_on")
    assert (await home.ended(asked["command"]["id"]))["status"] == "acked"


async def test_a_home_assistant_that_hangs_up_while_it_registers_is_not_there(
    brain: Brain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked over its dead socket, it would answer nothing, and what was asked would be unknown."""
    step, begun, go = brain.gate.step, asyncio.Event(), asyncio.Event()

    async def late(work: Any) -> Any:
        begun.set()
        await go.wait()
        return await step(work)

    monkeypatch.setattr(brain.gate, "step", late)
    async with Socket(brain) as socket:
        key = {"public_key": public(KEY)}
        await socket.send(type="command", action="integration.register", params=key)
        await begun.wait()
    await until(lambda: not brain.sockets.clients, "that it has gone")
    go.set()
    await until(lambda: not brain.dispatcher.running, "that it is registered")
    assert await brain.directory.is_paired()
    assert not brain.link.connected
