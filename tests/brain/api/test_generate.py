"""Models over every other road: the WebSocket, server-sent events, and several commands at once."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

from aiohttp import ClientSession
import pytest

from brain_server.api.sse import LOOK_EVERY
from brain_server.app import Brain
from brain_server.errors import ProviderError
from brain_server.protocol import Json
from brain_server.providers import Author, Message, ModelRequest
from brain_server.routing.ask import About, Bill
from brain_server.storage.tables import decisions, spending
from tests.brain.api.sdk import scripts
from tests.brain.home import Home, Rest, Socket, running, until
from tests.brain.minds.double import Double, call
from tests.brain.stage import Scripts, double, far, near, rows

__all__ = ["scripts"]

HELLO: Json = {"messages": [{"role": "user", "content": "Say hello."}]}
STREAM = "/api/v1/stream"
DOT = base64.b64encode(b"\x89PNG a dot").decode()


def events(body: bytes) -> list[tuple[str, Any]]:
    """Return the names and data of server-sent events."""
    lines = [one.splitlines() for one in body.decode().split("\n\n") if one.startswith("event: ")]
    return [
        (name.removeprefix("event: "), json.loads(data.removeprefix("data: ")))
        for name, data in lines
    ]


# -- the commands -------------------------------------------------------------------------------------


async def test_words_come_as_they_are_written_and_then_the_whole(
    home: Home, scripts: Scripts
) -> None:
    await near(home)
    scripts["near"] = lambda _request: ["Hello ", "there.", call("lamp", on=True)]
    number = await home.send(type="command", action="generate.text", params=HELLO)
    result = (await home.answer(number))["data"]
    deltas = [one["data"] for one in home.frames if one["type"] == "delta"]
    assert deltas == [{"text": "Hello "}, {"text": "there."}]
    assert (result["text"], result["finish"]) == ("Hello there.", "tool_calls")
    assert result["calls"] == [{"id": "call-1", "name": "lamp", "arguments": {"on": True}}]
    assert (result["tier"], result["model"]) == ("local", "near-1")


async def test_what_is_no_call_is_told_by_its_field(home: Home) -> None:
    await near(home)
    said = {"role": "assistant", "calls": [{"name": "lamp"}]}
    number = await home.send(type="command", action="generate.text", params={"messages": [said]})
    error = (await home.answer(number))["error"]
    assert (error["code"], error["details"]["field"]) == ("invalid_params", "calls")


async def test_a_provider_is_asked_by_its_id(home: Home, scripts: Scripts) -> None:
    await near(home)
    number = await far(home)
    scripts["far"] = lambda _request: ["Hello."]
    done = await home.command("generate.text", HELLO | {"model": number})
    assert done["provider_id"] == number


@pytest.mark.parametrize("model", ["nobody", "ear"])
async def test_a_part_of_a_name_is_nobody(home: Home, scripts: Scripts, model: str) -> None:
    await near(home)
    assert await home.refusal("generate.text", HELLO | {"model": model}) == "provider_not_found"


async def test_a_task_is_done_in_words_or_in_data(home: Home, scripts: Scripts) -> None:
    await near(home)
    scripts["near"] = lambda request: ['{"n": 3}' if request.schema else "Three."]
    plain = await home.command("generate.data", {"instructions": "Count the doors."})
    shape = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    asked = {"instructions": "Count the doors.", "schema": shape}
    data = await home.command("generate.data", asked)
    assert (plain["text"], data["data"]) == ("Three.", {"n": 3})


@pytest.mark.parametrize("written", ["three", '{"n": "three"}'])
async def test_data_of_another_shape_is_no_data(home: Home, scripts: Scripts, written: str) -> None:
    await near(home)
    scripts["near"] = lambda _request: [written]
    shape = {"type": "object", "properties": {"n": {"type": "integer"}}}
    asked = {"instructions": "Count the doors.", "schema": shape}
    assert await home.refusal("generate.data", asked) == "provider_invalid"


async def test_a_task_may_bring_pictures(home: Home, scripts: Scripts) -> None:
    await near(home)
    scripts["near"] = lambda _request: ["A dot."]
    picture = {"media_type": "image/png", "base64": DOT}
    asked = {"instructions": "What is it?", "attachments": [picture]}
    assert (await home.command("generate.data", asked))["text"] == "A dot."
    assert Double.heard["near"][0].messages[-1].pictures[0].data == b"\x89PNG a dot"


@pytest.mark.parametrize(
    ("picture", "code"),
    [
        ({"media_type": "text/html", "base64": DOT}, "unsupported_type"),
        ({"media_type": "image/png", "base64": "%"}, "invalid_params"),
        ({"media_type": "image/png", "base64": DOT}, "too_large"),
    ],
)
async def test_what_is_no_picture_is_refused(
    home: Home, scripts: Scripts, monkeypatch: pytest.MonkeyPatch, picture: Json, code: str
) -> None:
    monkeypatch.setattr("brain_server.conversation.generate.MOST_PICTURE", 3)
    await near(home)
    asked = {"instructions": "What is it?", "attachments": [picture]}
    assert await home.refusal("generate.data", asked) == code


async def test_a_picture_is_drawn_and_paid(home: Home, brain: Brain, scripts: Scripts) -> None:
    assert await home.refusal("generate.image", {"instructions": "A cat"}) == "no_image_model"
    await far(home)
    drawn = await home.command("generate.image", {"instructions": "A cat"})
    (decision,) = await rows(brain, decisions)
    assert base64.b64decode(drawn["base64"]) == b"picture of A cat"
    assert (drawn["media_type"], drawn["model"]) == ("image/png", "Claude")
    assert (decision["reason"], decision["cost"]) == ("drawn", drawn["cost"])
    assert drawn["cost"] > 0


@pytest.mark.parametrize(
    ("code", "paid"), [("provider_cut_off", True), ("provider_unreachable", False)]
)
async def test_a_picture_that_did_not_come_is_paid_if_it_may_have_been_drawn(
    home: Home,
    brain: Brain,
    scripts: Scripts,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    paid: bool,
) -> None:
    async def draw(*_: object) -> None:
        raise ProviderError(code, "Gone")

    monkeypatch.setattr(double(), "draw", draw)
    await far(home)
    assert await home.refusal("generate.image", {"instructions": "A cat"}) == code
    assert [row["cost_micro"] > 0 for row in await rows(brain, spending)] == [paid]


async def test_vectors_that_nobody_waits_for_any_more_are_paid(
    home: Home, brain: Brain, scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model was asked, and what it made of it costs."""
    begun = asyncio.Event()

    async def embed(*_: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(double(), "embed", embed)
    number = await far(home)
    model = next(one for one in brain.models.all() if one.row.id == number)
    asker = brain.generate._asker
    asking = brain.tasks.start("asking", asker.embed(model, ["the lamp is red"]))
    await begun.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    (row,) = await rows(brain, spending)
    assert (row["status"], row["cost_micro"] > 0) == ("settled", True)


async def test_an_answer_is_on_its_bill_though_its_caller_goes_while_it_is_settled(
    home: Home, brain: Brain, scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever pays for it, such as a project, pays by the bill."""
    begun, go, end = asyncio.Event(), asyncio.Event(), brain.budget._end

    async def late(*given: Any) -> bool:
        begun.set()
        await go.wait()
        return await end(*given)

    monkeypatch.setattr(brain.budget, "_end", late)
    number = await far(home)
    scripts["far"] = lambda _request: ["Hello."]
    model = next(one for one in brain.models.all() if one.row.id == number)
    bill, about = Bill(), About(request_id="r", conversation_id=None)
    asked = ModelRequest(messages=(Message(author=Author.USER, text="Hello"),), max_tokens=100)

    async def ask() -> None:
        async for _part in brain.generate._asker.stream(model, asked, about, bill):
            pass

    asking = brain.tasks.start("asking", ask())
    await begun.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    go.set()
    assert bill.cost > 0


async def test_words_that_were_heard_are_not_begun_again_by_another(
    home: Home, brain: Brain, scripts: Scripts
) -> None:
    await near(home)
    await far(home)
    scripts["near"] = lambda _request: ["First ", ProviderError("provider_cut_off", "Gone")]
    assert await home.refusal("generate.text", HELLO) == "provider_cut_off"
    assert list(Double.heard) == ["near"]
    assert [one["reason"] for one in await rows(brain, decisions)] == ["provider_cut_off"]


async def test_what_a_failed_attempt_cost_is_in_its_row(
    home: Home, brain: Brain, scripts: Scripts
) -> None:
    await far(home)
    scripts["far"] = lambda _request: ["First ", ProviderError("provider_cut_off", "Gone")]
    assert await home.refusal("generate.text", HELLO) == "provider_cut_off"
    (decision,) = await rows(brain, decisions)
    (paid,) = await rows(brain, spending)
    assert decision["cost"] == pytest.approx(paid["cost_micro"] / 1e6)
    assert decision["cost"] > 0


async def test_a_socket_that_closes_takes_its_words_with_it(
    home: Home, brain: Brain, scripts: Scripts
) -> None:
    await near(home)
    scripts["near"] = lambda _request: ["First ", asyncio.Event()]
    async with Socket(brain) as socket:
        await socket.send(type="command", action="generate.text", params=HELLO)
        await until(lambda: socket.frames, "the first word")
    await until(lambda: Double.cancelled, "the end of the model")
    await until(lambda: not brain.dispatcher.running, "the end of the command")
    assert [one["reason"] for one in await rows(brain, decisions)] == ["cancelled"]


# -- server-sent events -------------------------------------------------------------------------------


async def test_a_stream_is_every_word_and_then_the_result(
    home: Home, rest: Rest, scripts: Scripts
) -> None:
    await near(home)
    scripts["near"] = lambda _request: ["Hello ", "there."]
    body = {"action": "generate.text", "params": HELLO}
    answer = await rest.call("POST", STREAM, json=body, headers={"X-Request-ID": "mine"})
    *deltas, (last, result) = events(answer.body)
    assert (answer.status, answer.type) == (200, "text/event-stream")
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["X-Request-ID"] == answer.headers["X-Correlation-ID"] == "mine"
    assert deltas == [("delta", {"text": "Hello "}), ("delta", {"text": "there."})]
    assert (last, result["text"]) == ("result", "Hello there.")


async def test_a_conversation_streams_as_well(home: Home, rest: Rest, scripts: Scripts) -> None:
    await near(home)
    scripts["near"] = lambda _request: ["About ", "two hundred."]
    asked = {"action": "conversation.process", "params": {"text": "how hot does it get"}}
    found = events((await rest.call("POST", STREAM, json=asked)).body)
    assert "".join(data["text"] for name, data in found if name == "delta") == "About two hundred."
    assert (found[-1][0], found[-1][1]["text"]) == ("result", "About two hundred.")


async def test_the_first_word_is_sent_before_the_last_is_written(
    home: Home, brain: Brain, scripts: Scripts
) -> None:
    await near(home)
    gate = asyncio.Event()
    scripts["near"] = lambda _request: ["First ", gate, "last."]
    async with (
        Rest(brain) as rest,
        rest.session.post(
            f"{rest.url}{STREAM}", json={"action": "generate.text", "params": HELLO}
        ) as answer,
    ):
        first = await answer.content.readuntil(b"\n\n")
        gate.set()
        rest_of_it = await answer.read()
    assert events(first) == [("delta", {"text": "First "})]
    assert [name for name, _ in events(rest_of_it)] == ["delta", "result"]


async def test_an_error_in_the_middle_is_the_last_event(
    home: Home, rest: Rest, scripts: Scripts
) -> None:
    await near(home)
    scripts["near"] = lambda _request: ["First ", ProviderError("provider_cut_off", "Gone")]
    body = {"action": "generate.text", "params": HELLO}
    answer = await rest.call("POST", STREAM, json=body, headers={"X-Request-ID": "mine"})
    first, (name, error) = events(answer.body)
    assert (answer.status, first, name) == (200, ("delta", {"text": "First "}), "error")
    assert (error["code"], error["trace_id"]) == ("provider_cut_off", "mine")


EARLY: dict[str, tuple[Any, int, str]] = {
    "no model": ({"action": "generate.text", "params": HELLO}, 503, "no_model"),
    "no parameters": ({"action": "generate.text"}, 400, "invalid_params"),
    "no such action": ({"action": "doors.blow_up"}, 400, "unknown_action"),
    "not streamed": ({"action": "devices.list"}, 400, "not_streamed"),
    "another version": ({"action": "x", "metadata": {"version": 2}}, 409, "version_mismatch"),
}


@pytest.mark.parametrize(("body", "status", "code"), EARLY.values(), ids=EARLY)
async def test_what_fails_before_the_first_event_has_its_status(
    rest: Rest, body: Json, status: int, code: str
) -> None:
    answer = await rest.call("POST", STREAM, json=body)
    assert (answer.status, answer.code) == (status, code)


async def test_a_stream_needs_the_scope_of_its_command(home: Home) -> None:
    async with Rest(home.brain, await home.token("read")) as reader:
        body = {"action": "generate.text", "params": HELLO}
        answer = await reader.call("POST", STREAM, json=body)
    assert (answer.status, answer.code) == (403, "scope_required")


async def test_a_silent_stream_shows_that_it_lives(
    home: Home, rest: Rest, scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brain_server.api.sse.HEARTBEAT", 0.02)
    await near(home)
    gate = asyncio.Event()
    scripts["near"] = lambda _request: ["First ", gate, "last."]
    body = {"action": "generate.text", "params": HELLO}
    async with rest.session.post(f"{rest.url}{STREAM}", json=body) as answer:
        begun = await answer.content.readuntil(b": still here\n\n")
        gate.set()
        said = (begun + await answer.content.read()).decode()
    first, *beats, last, result, _nothing = said.split("\n\n")
    assert ("First" in first, "last." in last, "result" in result) == (True, True, True)
    assert set(beats) == {": still here"}


async def test_who_leaves_a_stream_stops_the_model_within_a_second(
    home: Home, brain: Brain, rest: Rest, scripts: Scripts
) -> None:
    await near(home)
    scripts["near"] = lambda _request: ["First ", asyncio.Event()]
    body = {"action": "generate.text", "params": HELLO}
    async with rest.session.post(f"{rest.url}{STREAM}", json=body) as answer:
        await answer.content.readuntil(b"\n\n")
        answer.close()
    assert LOOK_EVERY < 1
    await until(lambda: Double.cancelled, "the end of the model")
    await until(lambda: not brain.dispatcher.running, "the end of the command")


async def test_who_left_before_the_model_spoke_hears_nothing_and_breaks_nothing(
    home: Home, brain: Brain, rest: Rest, scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody looks whether the caller is there, so that the words meet a closed line."""
    monkeypatch.setattr("brain_server.api.sse.LOOK_EVERY", 60)
    await near(home)
    gate = asyncio.Event()
    scripts["near"] = lambda _request: ["First ", gate, "and ", "last."]
    body = {"action": "generate.text", "params": HELLO}
    async with rest.session.post(f"{rest.url}{STREAM}", json=body) as answer:
        await answer.content.readuntil(b"\n\n")
        answer.close()
    await asyncio.sleep(0.05)
    gate.set()
    await until(lambda: not brain.dispatcher.running, "the end of the command")
    assert [one["reason"] for one in await rows(brain, decisions)] == ["generated"]
    assert (await rest.get("/health")).status == 200


async def test_what_is_done_is_done_though_its_caller_hung_up(home: Home, brain: Brain) -> None:
    """Only words are taken back: an order over REST is seen through."""
    lamp = await home.puppet("lamp", "light")
    lamp.shows = {"on": True}
    lamp.reaction = asyncio.Event()
    params = {"device_id": lamp.context.device_id, "intent": "light_on", "wait": 5}
    async with Rest(brain) as rest:
        posted = asyncio.get_running_loop().create_task(rest.act("devices.request", params))
        await until(lambda: lamp.orders.get("lamp"), "the order")
        posted.cancel()
    await asyncio.sleep(0.4)
    lamp.reaction.set()
    done = await home.event("command.updated", lambda one: one["status"] == "acked")
    assert done["intent"] == "light_on"


# -- several at once ----------------------------------------------------------------------------------


async def batch(rest: Rest, *actions: Json, **more: Any) -> list[Json]:
    """Run several commands and return what came of each."""
    answer = await rest.call("POST", "/api/v1/batch", json={"actions": list(actions), **more})
    assert answer.status == 200, answer.body
    items: list[Json] = answer.data["items"]
    return items


INFO: Json = {"action": "system.info"}
WRONG: Json = {"action": "devices.get", "params": {"device_id": "x"}}
UNKNOWN: Json = {"action": "doors.blow_up"}


async def test_several_commands_run_in_their_order(home: Home, rest: Rest) -> None:
    first, second, third = await batch(
        rest,
        {"action": "budget.set_limits", "params": {"daily": 7}},
        {"action": "budget.status"},
        {"action": "budget.set_limits", "params": {"daily": 8}},
    )
    assert [one["status"] for one in (first, second, third)] == ["success"] * 3
    assert [one["data"]["day"]["cap"] for one in (first, second, third)] == [7, 7, 8]


async def test_one_that_fails_does_not_stop_the_others(rest: Rest) -> None:
    items = await batch(rest, WRONG, UNKNOWN, INFO)
    assert [one["status"] for one in items] == ["error", "error", "success"]
    assert [one["error"]["code"] for one in items[:2]] == ["device_not_found", "unknown_action"]
    assert all(one["error"]["trace_id"] for one in items[:2])


async def test_one_that_fails_stops_the_others_where_that_is_wanted(rest: Rest) -> None:
    items = await batch(rest, INFO, WRONG, INFO, stop_on_error=True)
    assert [one["status"] for one in items] == ["success", "error"]


async def test_each_needs_its_own_scope(home: Home) -> None:
    async with Rest(home.brain, await home.token("read")) as reader:
        items = await batch(reader, INFO, {"action": "tokens.list"})
    assert [one["status"] for one in items] == ["success", "error"]
    assert items[1]["error"]["code"] == "scope_required"


async def test_each_counts_as_a_request_of_its_token(tmp_path: Path) -> None:
    async with running(tmp_path, request_rate=0.001, request_burst=3) as brain, Rest(brain) as rest:
        items = await batch(rest, INFO, INFO, INFO, INFO)
    assert [one["status"] for one in items] == ["success"] * 3 + ["error"]
    assert items[3]["error"]["code"] == "rate_limited"


NONE: dict[str, Json] = {
    "none": {"actions": []},
    "too many": {"actions": [INFO] * 51},
    "no list": {"actions": INFO},
    "no action": {"actions": [{"params": {}}]},
    "something else": {"actions": [INFO], "parallel": True},
}


@pytest.mark.parametrize("body", NONE.values(), ids=NONE)
async def test_a_batch_that_makes_no_sense_is_refused_whole(rest: Rest, body: Json) -> None:
    answer = await rest.call("POST", "/api/v1/batch", json=body)
    assert (answer.status, answer.code) == (400, "invalid_params")


async def test_fifty_are_not_too_many(rest: Rest) -> None:
    assert len(await batch(rest, *[INFO] * 50, metadata={"version": 1})) == 50


async def test_a_batch_is_seen_through_though_its_caller_hung_up(home: Home, brain: Brain) -> None:
    lamp = await home.puppet("lamp", "light")
    lamp.reading = asyncio.Event()
    wait = {"action": "devices.files", "params": {"device_id": lamp.context.device_id}}
    change = {"action": "budget.set_limits", "params": {"daily": 7}}
    async with ClientSession(headers=home.headers) as session:
        url = f"http://127.0.0.1:{brain.port}/api/v1/batch"
        posted = asyncio.get_running_loop().create_task(
            session.post(url, json={"actions": [wait, change]})
        )
        await until(lambda: brain.dispatcher.running, "the first command")
        posted.cancel()
    await asyncio.sleep(0.4)
    lamp.reading.set()
    await until(lambda: not brain.dispatcher.running, "the end")
    status = await home.command("budget.status")
    assert status["day"]["cap"] == 7
