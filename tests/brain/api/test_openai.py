"""OpenAI's API, as OpenAI's own SDK sees it: completions, streams, tools, shapes, pictures, hanging up."""

import asyncio
from collections.abc import Awaitable, Callable
import json
from typing import Any

import openai
from openai import AsyncOpenAI
from pydantic import BaseModel
import pytest

from brain_server.api.openai_form import Answer, read
from brain_server.app import Brain
from brain_server.errors import ProviderError
from brain_server.protocol import Json
from brain_server.storage.tables import decisions, spending
from tests.brain.api.sdk import ASKED, BELL, LAMP, picture, scripts, sdk, streamed, words
from tests.brain.home import Home, Rest, until
from tests.brain.minds.double import Double, call
from tests.brain.stage import Scripts, far, near, rows

__all__ = ["scripts", "sdk"]

DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


class Size(BaseModel):
    """How large something is."""

    width: int
    height: int


class Part(BaseModel):
    """A thing with a size."""

    name: str
    size: Size


def wished(done: Any) -> Any:
    """Return the one tool that a completion calls."""
    (wish,) = done.choices[0].message.tool_calls
    return wish


# -- completions --------------------------------------------------------------------------------------


async def test_a_completion_is_what_the_sdk_expects(
    home: Home, sdk: AsyncOpenAI, scripts: Scripts
) -> None:
    await near(home)
    scripts["near"] = lambda _request: ["Hello ", "there."]
    done = await sdk.chat.completions.create(model="auto", messages=ASKED)
    (choice,) = done.choices
    assert (choice.message.role, choice.message.content) == ("assistant", "Hello there.")
    assert (choice.finish_reason, done.object) == ("stop", "chat.completion")
    assert done.id.startswith("chatcmpl-")
    assert done.usage is not None
    assert (done.usage.prompt_tokens, done.usage.completion_tokens) == (100, 2)
    assert done.usage.total_tokens == 102


async def test_a_stream_is_what_the_sdk_expects(
    home: Home, sdk: AsyncOpenAI, scripts: Scripts
) -> None:
    await near(home)
    scripts["near"] = lambda _request: ["Hello ", "there."]
    chunks = await streamed(sdk)
    first, *_, last = chunks
    assert (first.choices[0].delta.role, first.choices[0].delta.content) == ("assistant", "")
    assert words(chunks) == "Hello there."
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, None, None, "stop"]
    assert last.choices[0].delta.content is None
    assert {chunk.id for chunk in chunks} == {first.id}
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}


async def test_the_usage_of_a_stream_comes_last_for_who_asks_for_it(
    home: Home, sdk: AsyncOpenAI, scripts: Scripts
) -> None:
    await near(home)
    scripts["near"] = lambda _request: ["Hello ", "there."]
    *others, last = await streamed(sdk, stream_options={"include_usage": True})
    assert (last.choices, last.usage.total_tokens) == ([], 102)
    assert {chunk.usage for chunk in others} == {None}


@pytest.mark.parametrize("tokens", [(None, 3), (3, None)])
def test_tokens_that_nobody_counted_are_not_made_up(tokens: tuple[int | None, int | None]) -> None:
    found: Json = {"text": "Hello.", "calls": [], "finish": "stop", "tier": "local", "model": "m"}
    found |= {"provider_id": "p", "confidence": 1.0, "cost": 0.0}
    answer = Answer(read({"model": "auto", "messages": ASKED}), "1")
    told = answer.whole(found | {"tokens_in": tokens[0], "tokens_out": tokens[1]})
    assert told["usage"] is None


async def test_a_stream_is_the_bytes_that_openai_sends(
    home: Home, rest: Rest, scripts: Scripts
) -> None:
    await near(home)
    scripts["near"] = lambda _request: ['Say "', "\u00e9\n"]
    body = {"model": "local", "messages": ASKED, "stream": True}
    answer = await rest.call("POST", "/v1/chat/completions", json=body)
    events = answer.body.decode().split("\n\n")
    assert answer.type == "text/event-stream"
    assert events[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(one.removeprefix("data: ")) for one in events[:-2]]
    assert {tuple(one)[:5] for one in chunks} == {("id", "object", "created", "model", "choices")}
    assert [one["choices"][0]["delta"] for one in chunks] == [
        {"role": "assistant", "content": "", "refusal": None},
        {"content": 'Say "'},
        {"content": "\u00e9\n"},
        {},
    ]
    assert [one["model"] for one in chunks] == ["local"] * 4


async def test_the_answer_tells_which_model_gave_it(
    home: Home, sdk: AsyncOpenAI, scripts: Scripts
) -> None:
    number = await near(home)
    scripts["near"] = lambda _request: ["Hello."]
    done: Any = await sdk.chat.completions.create(model="auto", messages=ASKED)
    *_, last = await streamed(sdk)
    assert done.kitty["provider_id"] == number
    assert (done.kitty["tier"], done.kitty["model"], done.kitty["cost"]) == ("local", "near-1", 0)
    assert last.kitty == done.kitty


async def test_the_model_gets_what_was_sent(home: Home, sdk: AsyncOpenAI, scripts: Scripts) -> None:
    await near(home)
    scripts["near"] = lambda _request: ["Hello."]
    said: Any = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "user", "content": "Hi."},
        {"role": "assistant", "content": None, "refusal": "No."},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "Still no."}]},
        {"role": "user", "content": [{"type": "text", "text": one} for one in ("And", "now?")]},
    ]
    await sdk.chat.completions.create(
        model="auto", messages=said, temperature=0.25, max_completion_tokens=77, user="me", n=1
    )
    (heard,) = Double.heard["near"]
    assert [(one.author.value, one.text) for one in heard.messages] == [
        ("system", "Be brief."),
        ("system", "Be kind."),
        ("user", "Hi."),
        ("assistant", "No."),
        ("assistant", "Still no."),
        ("user", "And\nnow?"),
    ]
    assert (heard.temperature, heard.max_tokens, heard.schema, heard.tools) == (0.25, 77, None, ())


# -- models -------------------------------------------------------------------------------------------


async def test_models_are_the_choices_and_every_provider_that_is_on(
    home: Home, sdk: AsyncOpenAI, scripts: Scripts
) -> None:
    await near(home)
    await far(home)
    await near(home, name="Off", enabled=False)
    await near(home, name="Vectors", uses=["embedding"])
    listed = [one async for one in await sdk.models.list()]
    assert [one.id for one in listed] == ["auto", "local", "frontier", "Near", "Claude"]
    assert {one.object for one in listed} == {"model"}
    assert [one.owned_by for one in listed][-2:] == ["double", "double"]
    assert (await sdk.models.retrieve("Claude")).id == "Claude"


@pytest.mark.parametrize(
    ("model", "answered"),
    [("auto", "near"), ("local", "near"), ("frontier", "far"), ("Claude", "far"), ("near", "near")],
)
async def test_a_model_is_asked_by_its_name_or_its_tier(
    home: Home, sdk: AsyncOpenAI, scripts: Scripts, model: str, answered: str
) -> None:
    await near(home)
    await far(home)
    scripts["near"] = scripts["far"] = lambda _request: ["Hello."]
    await sdk.chat.completions.create(model=model, messages=ASKED)
    assert list(Double.heard) == [answered]


@pytest.mark.parametrize("model", ["gpt-9", "Off", "ea"])
async def test_a_model_that_is_not_there_is_not_found(
    home: Home, sdk: AsyncOpenAI, scripts: Scripts, model: str
) -> None:
    await near(home)
    await near(home, name="Off", enabled=False)
    with pytest.raises(openai.NotFoundError) as raised:
        await sdk.chat.completions.create(model=model, messages=ASKED)
    assert (raised.value.code, raised.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.NotFoundError):
        await sdk.models.retrieve(model)


async def test_after_a_near_model_failed_the_far_one_answers_once(
    home: Home, sdk: AsyncOpenAI, scripts: Scripts
) -> None:
    await near(home)
    await far(home)
    scripts["near"] = lambda _request: [ProviderError("model_crashed", "It fell over")]
    scripts["far"] = lambda _request: ["Hello."]
    done: Any = await sdk.chat.completions.create(model="auto", messages=ASKED)
    assert done.kitty["tier"] == "frontier"
    with pytest.raises(openai.InternalServerError) as raised:
        await sdk.chat.completions.create(model="local", messages=ASKED)
    assert raised.value.code == "model_crashed"
    assert len(Double.heard["near"]) == 2


# -- the record ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
async def test_a_completion_is_recorded_and_paid_before_it_is_over(
    home: Home, brain: Brain, rest: Rest, scripts: Scripts, stream: bool
) -> None:
    await far(home)
    scripts["far"] = lambda _request: ["Hello ", "there."]
    body = {"model": "frontier", "messages": ASKED, "stream": stream}
    await rest.call("POST", "/v1/chat/completions", json=body, headers={"X-Request-ID": "mine"})
    (decision,) = await rows(brain, decisions)
    (paid,) = await rows(brain, spending)
    assert (decision["request_id"], decision["reason"]) == ("mine", "generated")
    assert paid["status"] == "settled"
    assert decision["cost"] == pytest.approx(paid["cost_micro"] / 1e6)
    assert decision["cost"] > 0


# -- tools --------------------------------------------------------------------------------------------


async def test_a_tool_is_called_and_its_answer_is_used(
    home: Home, sdk: AsyncOpenAI, scripts: Scripts
) -> None:
    await near(home)
    scripts["near"] = lambda request: (
        ["It is on."] if len(request.messages) > 1 else ["Wait. ", call("lamp", on=True)]
    )
    done = await sdk.chat.completions.create(model="auto", messages=ASKED, tools=[LAMP])
    message, wish = done.choices[0].message, wished(done)
    assert (done.choices[0].finish_reason, message.content) == ("tool_calls", "Wait. ")
    assert (wish.type, wish.function.name) == ("function", "lamp")
    assert json.loads(wish.function.arguments) == {"on": True}
    told: Any = {"role": "tool", "tool_call_id": wish.id, "content": "done"}
    again: Any = [*ASKED, message.model_dump(), told]
    done = await sdk.chat.completions.create(model="auto", messages=again, tools=[LAMP])
    assert done.choices[0].message.content == "It is on."
    _user, assistant, tool = Double.heard["near"][-1].messages
    assert (assistant.calls[0].name, assistant.calls[0].arguments) == ("lamp", {"on": True})
    assert (tool.author.value, tool.call_id, tool.text) == ("tool", wish.id, "done")
    (known,) = Double.heard["near"][-1].tools
    assert (known.name, known.description) == ("lamp", "Switch a lamp")
    assert known.parameters == LAMP["function"]["parameters"]


@pytest.mark.parametrize("arguments", ["{", "[]"])
async def test_a_call_of_the_past_that_was_none_stays_one(
    home: Home, sdk: AsyncOpenAI, scripts: Scripts, arguments: str
) -> None:
    await near(home)
    scripts["near"] = lambda _request: ["Sorry."]
    past = {"id": "c", "type": "function", "function": {"name": "lamp", "arguments": arguments}}
    told = {"role": "tool", "tool_call_id": "c", "content": "This is no JSON"}
    said: Any = [*ASKED, {"role": "assistant", "tool_calls": [past]}, told]
    await sdk.chat.completions.create(model="auto", messages=said)
    assert Double.heard["near"][0].messages[1].calls[0].arguments is None


async def test_a_tool_is_called_in_a_stream(home: Home, sdk: AsyncOpenAI, scripts: Scripts) -> None:
    await near(home)
    scripts["near"] = lambda _request: ["Wait. ", call("lamp", on=True)]
    strict: Any = {"type": "function", "function": LAMP["function"] | {"strict": True}}
    asked: Any = {"model": "auto", "messages": ASKED, "tools": [strict]}
    async with sdk.chat.completions.stream(**asked) as events:
        done = await events.get_final_completion()
    wish = wished(done)
    assert (wish.id, wish.function.name) == ("call-1", "lamp")
    assert json.loads(wish.function.arguments) == {"on": True}
    assert (done.choices[0].finish_reason, done.choices[0].message.content) == (
        "tool_calls",
        "Wait. ",
    )


async def test_without_a_tool_to_choose_the_model_sees_none(
    home: Home, sdk: AsyncOpenAI, scripts: Scripts
) -> None:
    await near(home)
    scripts["near"] = lambda _request: ["No."]
    await sdk.chat.completions.create(
        model="auto", messages=ASKED, tools=[LAMP], tool_choice="none"
    )
    assert Double.heard["near"][0].tools == ()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("choice", "finish"),
    [("required", "tool_calls"), ({"type": "function", "function": {"name": "lamp"}}, "stop")],
    ids=["required", "named"],
)
async def test_a_tool_that_must_be_called_is(
    home: Home, sdk: AsyncOpenAI, scripts: Scripts, choice: Any, finish: str, stream: bool
) -> None:
    await near(home)
    scripts["near"] = lambda _request: ['{"on":', "false}"]
    asked: Any = {"messages": ASKED, "tools": [LAMP], "tool_choice": choice}
    if stream:
        chunks = await streamed(sdk, **asked)
        pieces = [one.choices[0].delta.tool_calls[0] for one in chunks[1:-1]]
        name, ended = pieces[0].function.name, chunks[-1].choices[0].finish_reason
        arguments = "".join(one.function.arguments for one in pieces)
        text = words(chunks)
    else:
        done = await sdk.chat.completions.create(model="auto", **asked)
        wish = wished(done)
        name, ended = wish.function.name, done.choices[0].finish_reason
        arguments, text = wish.function.arguments, done.choices[0].message.content or ""
    assert (name, json.loads(arguments), ended, text) == ("lamp", {"on": False}, finish, "")
    (heard,) = Double.heard["near"]
    assert heard.schema == LAMP["function"]["parameters"]
    assert "lamp: Switch a lamp" in heard.messages[0].text


async def test_one_of_several_tools_must_be_called(
    home: Home, sdk: AsyncOpenAI, scripts: Scripts
) -> None:
    await near(home)
    scripts["near"] = lambda _request: ['{"name": "lamp", "arguments": {"on": true}}']
    asked: Any = {"messages": ASKED, "tools": [BELL, LAMP], "tool_choice": "required"}
    done = await sdk.chat.completions.create(model="auto", **asked)
    wish = wished(done)
    assert (wish.function.name, json.loads(wish.function.arguments)) == ("lamp", {"on": True})
    assert wish.id


async def test_the_arguments_of_one_tool_are_not_those_of_another(
    home: Home, sdk: AsyncOpenAI, scripts: Scripts
) -> None:
    await near(home)
    scripts["near"] = lambda _request: ['{"name": "lamp", "arguments": {}}']
    asked: Any = {"messages": ASKED, "tools": [BELL, LAMP], "tool_choice": "required"}
    with pytest.raises(openai.InternalServerError) as raised:
        await sdk.chat.completions.create(model="auto", **asked)
    assert raised.value.code == "provider_invalid"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_strict_tool_is_never_called_with_what_does_not_fit(
    home: Home, sdk: AsyncOpenAI, scripts: Scripts, stream: bool
) -> None:
    await near(home)
    scripts["near"] = lambda _request: [call("lamp", on="yes")]
    strict: Any = {"type": "function", "function": LAMP["function"] | {"strict": True}}
    with pytest.raises(openai.InternalServerError) as raised:
        await sdk.chat.completions.create(
            model="auto", messages=ASKED, tools=[strict], stream=stream
        )
    assert raised.value.code == "provider_invalid"


async def test_a_call_whose_arguments_are_no_json_is_an_error(
    home: Home, sdk: AsyncOpenAI, scripts: Scripts
) -> None:
    await near(home)
    broken = call("lamp").calls[0].__class__(id="c", name="lamp", arguments=None)
    scripts["near"] = lambda _request: [type(call("lamp"))(calls=(broken,))]
    with pytest.raises(openai.InternalServerError) as raised:
        await sdk.chat.completions.create(model="auto", messages=ASKED, tools=[LAMP])
    assert raised.value.code == "provider_invalid"


# -- data of a shape ----------------------------------------------------------------------------------


async def test_the_sdk_gets_the_class_that_it_asked_for(
    home: Home, sdk: AsyncOpenAI, scripts: Scripts
) -> None:
    await near(home)
    scripts["near"] = lambda _request: ['{"name": "bolt", "size": {"width": 3, ', '"height": 9}}']
    done = await sdk.chat.completions.parse(model="auto", messages=ASKED, response_format=Part)
    assert done.choices[0].message.parsed == Part(name="bolt", size=Size(width=3, height=9))
    (heard,) = Double.heard["near"]
    assert heard.schema is not None
    assert "$ref" not in json.dumps(heard.schema)
    assert heard.schema["properties"]["size"]["required"] == ["width", "height"]


async def test_what_does_not_fit_the_shape_is_not_told(
    home: Home, sdk: AsyncOpenAI, scripts: Scripts
) -> None:
    await near(home)
    scripts["near"] = lambda _request: ['{"name": "bolt", "size": {"width": 3}}']
    with pytest.raises(openai.InternalServerError) as raised:
        await sdk.chat.completions.parse(model="auto", messages=ASKED, response_format=Part)
    assert raised.value.code == "provider_invalid"


async def test_a_shape_is_streamed_once_it_is_known_to_fit(
    home: Home, sdk: AsyncOpenAI, scripts: Scripts
) -> None:
    await near(home)
    scripts["near"] = lambda _request: ['{"a":', "1}"]
    chunks = await streamed(sdk, response_format={"type": "json_object"})
    assert words(chunks) == '{"a":1}'
    assert Double.heard["near"][0].schema == {"type": "object"}


async def test_a_model_may_call_a_tool_in_place_of_the_shape(
    home: Home, sdk: AsyncOpenAI, scripts: Scripts
) -> None:
    await near(home)
    scripts["near"] = lambda _request: [call("lamp", on=True)]
    done = await sdk.chat.completions.create(
        model="auto", messages=ASKED, tools=[LAMP], response_format={"type": "json_object"}
    )
    assert done.choices[0].finish_reason == "tool_calls"
    assert done.choices[0].message.content is None


# -- pictures -----------------------------------------------------------------------------------------


async def test_a_picture_reaches_the_model(home: Home, sdk: AsyncOpenAI, scripts: Scripts) -> None:
    await near(home)
    scripts["near"] = lambda _request: ["A dot."]
    shown = picture(f"data:image/png;base64,{DOT}")
    done = await sdk.chat.completions.create(model="auto", messages=shown)
    assert done.choices[0].message.content == "A dot."
    (seen,) = Double.heard["near"][0].messages[0].pictures
    assert (seen.media_type, seen.data[:4]) == ("image/png", b"\x89PNG")


async def test_a_picture_may_be_larger_than_any_other_request(
    home: Home, sdk: AsyncOpenAI, scripts: Scripts
) -> None:
    await near(home)
    scripts["near"] = lambda _request: ["Much."]
    shown = picture("data:image/png;base64," + "AAAA" * 1024 * 1024)
    await sdk.chat.completions.create(model="auto", messages=shown)
    (seen,) = Double.heard["near"][0].messages[0].pictures
    assert len(seen.data) == 3 * 1024 * 1024


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://example.com/cat.png", "invalid_image_url"),
        ("data:image/png,abc", "invalid_image_url"),
        ("data:text/html;base64,AAAA", "unsupported_type"),
        ("data:image/png;base64,A", "invalid_type"),
    ],
)
async def test_what_is_no_picture_here_is_refused(
    home: Home, sdk: AsyncOpenAI, scripts: Scripts, url: str, code: str
) -> None:
    await near(home)
    with pytest.raises(openai.BadRequestError) as raised:
        await sdk.chat.completions.create(model="auto", messages=picture(url))
    assert raised.value.code == code
    assert Double.heard == {}


# -- streams ------------------------------------------------------------------------------------------


async def test_the_first_word_is_heard_before_the_last_is_written(
    home: Home, sdk: AsyncOpenAI, scripts: Scripts
) -> None:
    await near(home)
    gate = asyncio.Event()
    scripts["near"] = lambda _request: ["First ", gate, "last."]
    stream = await sdk.chat.completions.create(model="auto", messages=ASKED, stream=True)
    begun = [await anext(stream), await anext(stream)]
    assert words(begun) == "First "
    gate.set()
    assert words([chunk async for chunk in stream]) == "last."


async def test_an_error_in_the_middle_of_a_stream_ends_it(
    home: Home, sdk: AsyncOpenAI, rest: Rest, scripts: Scripts
) -> None:
    await near(home)
    scripts["near"] = lambda _request: ["First ", ProviderError("provider_cut_off", "Gone")]
    stream = await sdk.chat.completions.create(model="auto", messages=ASKED, stream=True)
    assert words([await anext(stream), await anext(stream)]) == "First "
    with pytest.raises(openai.APIError, match="Gone") as raised:
        await anext(stream)
    assert raised.value.code == "provider_cut_off"
    body = {"model": "auto", "messages": ASKED, "stream": True}
    raw = (await rest.call("POST", "/v1/chat/completions", json=body)).body
    assert b"[DONE]" not in raw
    assert raw.count(b'"error"') == 1


async def test_a_silent_model_does_not_look_like_a_dead_line(
    home: Home, sdk: AsyncOpenAI, rest: Rest, scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brain_server.api.sse.HEARTBEAT", 0.02)
    await near(home)
    gate = asyncio.Event()
    scripts["near"] = lambda _request: [gate, "Hello."]
    body = {"model": "auto", "messages": ASKED, "stream": True}
    url = f"{rest.url}/v1/chat/completions"
    async with rest.session.post(url, json=body) as answer:
        assert await answer.content.readuntil(b"\n\n") == b": still here\n\n"
        gate.set()
        await answer.content.read()
    gate.clear()

    def silent(_request: Any) -> list[Any]:
        asyncio.get_running_loop().call_later(0.1, gate.set)
        return [gate, "Hello."]

    scripts["near"] = silent
    assert words(await streamed(sdk)) == "Hello."


# -- hanging up ---------------------------------------------------------------------------------------

type Leave = Callable[[AsyncOpenAI], Awaitable[None]]


async def _in_a_stream(sdk: AsyncOpenAI) -> None:
    stream = await sdk.chat.completions.create(model="auto", messages=ASKED, stream=True)
    await anext(stream)
    await stream.close()


async def _before_the_first_word(sdk: AsyncOpenAI) -> None:
    asking = asyncio.get_running_loop().create_task(
        sdk.chat.completions.create(model="frontier", messages=ASKED, stream=True)
    )
    await until(lambda: "far" in Double.heard, "the question")
    asking.cancel()
    await asyncio.wait([asking])


async def _waiting_for_the_whole(sdk: AsyncOpenAI) -> None:
    asking = asyncio.get_running_loop().create_task(
        sdk.chat.completions.create(model="auto", messages=ASKED)
    )
    await until(lambda: "near" in Double.heard, "the question")
    asking.cancel()
    await asyncio.wait([asking])


LEAVES: dict[str, Leave] = {
    "in a stream": _in_a_stream,
    "before the first word": _before_the_first_word,
    "waiting for the whole": _waiting_for_the_whole,
}


@pytest.mark.parametrize("leave", LEAVES.values(), ids=LEAVES)
async def test_who_hangs_up_stops_the_model_within_a_second(
    home: Home, brain: Brain, sdk: AsyncOpenAI, scripts: Scripts, leave: Leave
) -> None:
    await near(home)
    await far(home)
    scripts["near"] = lambda _request: ["First ", asyncio.Event()]
    scripts["far"] = lambda _request: [asyncio.Event()]
    await leave(sdk)
    await until(lambda: Double.cancelled, "the end of the model")
    await until(lambda: not brain.dispatcher.running, "the end of the command")
    (decision,) = await rows(brain, decisions)
    assert decision["reason"] == "cancelled"
    ledger = await rows(brain, spending)
    assert {one["status"] for one in ledger} <= {"settled"}
    assert decision["cost"] == pytest.approx(sum(one["cost_micro"] for one in ledger) / 1e6)
