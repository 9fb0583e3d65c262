"""What is special about Anthropic's protocol."""

import base64
from dataclasses import replace
import json
from typing import Any

import pytest

from brain_server.plugins import checked
from brain_server.providers import (
    Author,
    Calls,
    Message,
    ModelRequest,
    TierName,
    ToolCall,
    Usage,
    Use,
    Words,
)
from brain_server.providers.anthropic import ANSWER, Anthropic
from tests.brain.providers.conformance import (
    ASK,
    FULL,
    LOOK,
    PICTURE,
    SCHEMA,
    failure_of,
    parts_of,
)
from tests.brain.providers.rigs import AnthropicRig
from tests.brain.providers.sdk import as_anthropic_reads_it
from tests.standins.model_api import Reply

CACHED = {"cache_control": {"type": "ephemeral"}}


def events(*found: Any) -> Reply:
    """Return the answer that these events are."""
    body = "".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in found)
    return Reply(body=body.encode(), headers={"Content-Type": "text/event-stream"})


def said(*messages: Message) -> ModelRequest:
    """Return a request of these messages."""
    return ModelRequest(messages=messages)


async def sent(rig: AnthropicRig, request: ModelRequest) -> Any:
    """Return the body in which a request goes."""
    await parts_of(rig.make(), request)
    return rig.api.asked[-1]


# -- what is sent ---------------------------------------------------------------------------------------


async def test_what_is_sent_is_a_request_of_anthropic_and_nothing_else(
    anthropic: AnthropicRig,
) -> None:
    plain = await sent(anthropic, FULL)
    structured = await sent(anthropic, replace(FULL, schema=SCHEMA))
    assert as_anthropic_reads_it(plain) == plain
    assert as_anthropic_reads_it(structured) == structured


async def test_each_message_is_sent_as_what_it_is(anthropic: AnthropicRig) -> None:
    body = await sent(anthropic, FULL)
    data = base64.b64encode(PICTURE.data).decode()
    source = {"type": "base64", "media_type": "image/jpeg", "data": data}
    picture = {"type": "image", "source": source}
    shut, nonsense, sure = (
        {"type": "text", "text": text} for text in ("It is shut.", "Nonsense.", "Sure?")
    )
    assert body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, picture]},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "a1", "name": "look", "input": {"device": "door"}},
                {"type": "tool_use", "id": "a2", "name": "look", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "a1", "content": [shut, picture]},
                {"type": "tool_result", "tool_use_id": "a2", "content": [nonsense]},
                sure,
            ],
        },
    ]


async def test_the_first_words_are_kept_and_the_tools_before_them(anthropic: AnthropicRig) -> None:
    again = Message(author=Author.SYSTEM, text="It is noon.")
    body = await sent(anthropic, replace(FULL, messages=(*FULL.messages, again)))
    assert body["system"] == [
        {"type": "text", "text": "You are KITTY."} | CACHED,
        {"type": "text", "text": "It is noon."},
    ]
    assert body["tools"] == [
        {"name": "look", "description": "Look at a device", "input_schema": LOOK.parameters}
    ]


async def test_without_first_words_the_tools_are_kept(anthropic: AnthropicRig) -> None:
    body = await sent(anthropic, replace(ASK, tools=(LOOK, replace(LOOK, name="see"))))
    assert [tool.get("cache_control") for tool in body["tools"]] == [None, {"type": "ephemeral"}]
    assert "system" not in body


async def test_nothing_is_sent_that_was_not_asked_for(anthropic: AnthropicRig) -> None:
    body = await sent(anthropic, ASK)
    assert body.keys() == {"model", "max_tokens", "messages", "stream"}
    assert body["max_tokens"] == 1024


async def test_nothing_empty_is_sent(anthropic: AnthropicRig) -> None:
    body = await sent(
        anthropic,
        said(
            Message(author=Author.SYSTEM),
            Message(author=Author.USER, text="Hello"),
            Message(author=Author.ASSISTANT, text=" \n"),
            Message(author=Author.ASSISTANT, calls=(ToolCall(id="a", name="look", arguments={}),)),
            Message(author=Author.TOOL, call_id="a"),
        ),
    )
    assert body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "a", "name": "look", "input": {}}],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a"}]},
    ]
    assert "system" not in body


async def test_a_conversation_without_its_beginning_begins_with_a_person(
    anthropic: AnthropicRig,
) -> None:
    body = await sent(
        anthropic,
        said(
            Message(author=Author.ASSISTANT, text="Done."), Message(author=Author.USER, text="Good")
        ),
    )
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]


async def test_an_id_of_another_provider_is_made_fit(anthropic: AnthropicRig) -> None:
    call = ToolCall(id="functions.look:0", name="look", arguments={})
    body = await sent(
        anthropic,
        said(
            Message(author=Author.USER, text="Look"),
            Message(author=Author.ASSISTANT, calls=(call,)),
            Message(author=Author.TOOL, text="A door.", call_id="functions.look:0"),
        ),
    )
    assert body["messages"][1]["content"][0]["id"] == "functions_look_0"
    assert body["messages"][2]["content"][0]["tool_use_id"] == "functions_look_0"


async def test_a_temperature_stays_within_what_anthropic_knows(anthropic: AnthropicRig) -> None:
    assert (await sent(anthropic, replace(ASK, temperature=1.7)))["temperature"] == 1.0


# -- structured answers ---------------------------------------------------------------------------------


async def test_a_structured_answer_is_a_forced_tool(anthropic: AnthropicRig) -> None:
    anthropic.answer(Reply(pieces=("{}",)))
    body = await sent(anthropic, replace(ASK, schema=SCHEMA))
    assert body["tool_choice"] == {"type": "tool", "name": ANSWER}
    assert [(tool["name"], tool["input_schema"]) for tool in body["tools"]] == [(ANSWER, SCHEMA)]


async def test_with_other_tools_a_structured_answer_is_one_of_the_choices(
    anthropic: AnthropicRig,
) -> None:
    anthropic.answer(Reply(pieces=(), calls=(("look", '{"device": "door"}'),)))
    asked = replace(ASK, schema=SCHEMA, tools=(LOOK,))
    calls, usage = await parts_of(anthropic.make(), asked)
    assert anthropic.api.asked[0]["tool_choice"] == {"type": "any"}
    assert isinstance(calls, Calls)
    assert calls.calls[0].name == "look"
    assert isinstance(usage, Usage)
    assert usage.finish == "tool_calls"


async def test_a_structured_answer_with_nothing_in_it_is_an_empty_object(
    anthropic: AnthropicRig,
) -> None:
    anthropic.answer(Reply(pieces=(), calls=((ANSWER, ""),)))
    words, usage = await parts_of(anthropic.make(), replace(ASK, schema=SCHEMA, tools=(LOOK,)))
    assert words == Words(text="{}")
    assert isinstance(usage, Usage)
    assert usage.finish == "stop"


# -- what comes back ------------------------------------------------------------------------------------


async def test_what_was_read_counts_whether_it_was_kept_or_not(anthropic: AnthropicRig) -> None:
    anthropic.answer(Reply(tokens=(100, 7)))
    *_, usage = await parts_of(anthropic.make())
    assert isinstance(usage, Usage)
    assert (usage.tokens_in, usage.tokens_out) == (100, 7)


async def test_what_is_not_told_is_none(anthropic: AnthropicRig) -> None:
    anthropic.answer(
        events(
            {"type": "message_start", "message": {}},
            {"type": "message_delta"},
            {"type": "message_stop"},
        )
    )
    assert await parts_of(anthropic.make()) == [
        Usage(tokens_in=None, tokens_out=None, finish="stop", model="claude-test-4")
    ]


async def test_blocks_of_other_kinds_are_passed_over(anthropic: AnthropicRig) -> None:
    thought = {"type": "thinking_delta", "thinking": "Hmm"}
    odd = {"type": "input_json_delta", "partial_json": "{}"}
    anthropic.answer(
        events(
            {"type": "message_start", "message": {}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking"}},
            {"type": "content_block_delta", "index": 0, "delta": thought},
            {"type": "content_block_delta", "index": 0, "delta": odd},
            {"type": "content_block_stop", "index": 0},
            {"type": "something_new", "index": 1},
            {"type": "message_stop"},
        )
    )
    (usage,) = await parts_of(anthropic.make())
    assert isinstance(usage, Usage)


async def test_an_end_without_an_answer_is_no_answer(anthropic: AnthropicRig) -> None:
    anthropic.answer(events({"type": "message_stop"}))
    assert (await failure_of(parts_of(anthropic.make()))).code == "provider_invalid"


async def test_an_answer_that_filled_the_context_was_too_long(anthropic: AnthropicRig) -> None:
    anthropic.answer(Reply(finish="model_context_window_exceeded"))
    *_, usage = await parts_of(anthropic.make())
    assert isinstance(usage, Usage)
    assert usage.finish == "length"


# -- looking --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ("claude-test-4", "claude-test-4-20260101"),
        ("claude-test-4-20250601", "claude-test-4-20250601"),
        ("claude-small-latest", "claude-small-20250101"),
    ],
)
async def test_a_model_is_known_by_each_of_its_names(
    anthropic: AnthropicRig, model: str, found: str
) -> None:
    info = await anthropic.make(model=model).check()
    assert (info.model, info.context) == (found, 200_000)


async def test_a_model_of_another_date_is_another_model(anthropic: AnthropicRig) -> None:
    error = await failure_of(anthropic.make(model="claude-test-4-20240101").check())
    assert error.code == "model_missing"


async def test_it_has_no_embeddings_and_no_pictures(anthropic: AnthropicRig) -> None:
    provider = anthropic.make()
    assert (await failure_of(provider.embed(["a"]))).code == "model_missing"
    assert (await failure_of(provider.draw("A cat"))).code == "model_missing"
    assert not {Use.EMBEDDING, Use.IMAGE} & Anthropic.uses


def test_a_key_and_a_model_are_enough() -> None:
    found = checked(Anthropic.options, {"api_key": "sk-x", "model": "claude-sonnet-4-5"})
    assert found["base_url"] == "https://api.anthropic.com"
    assert Anthropic.tier is TierName.FRONTIER
