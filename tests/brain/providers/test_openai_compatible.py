"""Servers that speak OpenAI's protocol, each with its own peculiarities."""

import base64
from dataclasses import replace
import json
from typing import Any

import pytest

from brain_server.errors import ProviderError
from brain_server.providers import Calls, Part, Usage, Use, Words
from brain_server.providers.openai_compatible import OpenAICompatible, same_model
from tests.brain.providers.conformance import (
    ASK,
    FULL,
    LOOK,
    PICTURE,
    SCHEMA,
    failure_of,
    parts_of,
)
from tests.brain.providers.rigs import CompatibleRig
from tests.brain.providers.sdk import as_openai_reads_it
from tests.standins.model_api import Reply
from tests.standins.openai_api import DONE

DATA_URL = f"data:image/jpeg;base64,{base64.b64encode(PICTURE.data).decode()}"


def chunk(delta: Any, *, finish: str | None = None, **more: Any) -> bytes:
    """Return one event of an answer."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return f"data: {json.dumps({'choices': [choice], **more})}\n\n".encode()


def call(**more: Any) -> bytes:
    """Return one event with a piece of a tool call."""
    return chunk({"tool_calls": [more]})


async def said(rig: CompatibleRig, *events: bytes) -> list[Part]:
    """Return the answer that these events are."""
    body = b"".join((*events, DONE))
    rig.answer(Reply(body=body, headers={"Content-Type": "text/event-stream; charset=utf-8"}))
    return await parts_of(rig.make())


async def calls_in(rig: CompatibleRig, *events: bytes) -> list[tuple[str, str, Any]]:
    """Return the calls that these events are."""
    (found,) = [part for part in await said(rig, *events) if isinstance(part, Calls)]
    return [(one.id, one.name, one.arguments) for one in found.calls]


# -- what is sent ---------------------------------------------------------------------------------------


async def test_what_is_sent_is_a_request_of_openai_and_nothing_else(
    compatible: CompatibleRig,
) -> None:
    await parts_of(compatible.make(logprobs=True), FULL)
    (body,) = compatible.api.asked
    assert as_openai_reads_it(body) == body


async def test_each_message_is_sent_as_what_it_is(compatible: CompatibleRig) -> None:
    await parts_of(compatible.make(), FULL)
    picture = {"type": "image_url", "image_url": {"url": DATA_URL}}
    called = [
        {
            "id": "a1",
            "type": "function",
            "function": {"name": "look", "arguments": '{"device":"door"}'},
        },
        {"id": "a2", "type": "function", "function": {"name": "look", "arguments": "{}"}},
    ]
    assert compatible.api.asked[0]["messages"] == [
        {"role": "system", "content": "You are KITTY."},
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, picture]},
        {"role": "assistant", "content": "I look.", "tool_calls": called},
        {"role": "tool", "tool_call_id": "a1", "content": "It is shut."},
        {"role": "tool", "tool_call_id": "a2", "content": "Nonsense."},
        # A tool's message holds no picture, so what the tools showed follows them.
        {"role": "user", "content": [picture]},
        {"role": "user", "content": "Sure?"},
    ]


async def test_a_call_without_words_has_empty_words(compatible: CompatibleRig) -> None:
    call_alone = replace(FULL.messages[2], text="")
    await parts_of(compatible.make(), replace(FULL, messages=(*FULL.messages[:2], call_alone)))
    # The server of llama-cpp-python takes no null.
    assert compatible.api.asked[0]["messages"][-1]["content"] == ""


async def test_a_picture_of_the_last_tool_is_sent_too(compatible: CompatibleRig) -> None:
    await parts_of(compatible.make(), replace(FULL, messages=FULL.messages[:4]))
    assert compatible.api.asked[0]["messages"][-1]["content"][0]["image_url"] == {"url": DATA_URL}


async def test_limits_tools_and_temperature_are_sent(compatible: CompatibleRig) -> None:
    await parts_of(compatible.make(), FULL)
    body = compatible.api.asked[0]
    assert {name: body[name] for name in ("max_tokens", "temperature", "tool_choice")} == {
        "max_tokens": 99,
        "temperature": 0.5,
        "tool_choice": "auto",
    }
    function = {
        "name": "look",
        "description": "Look at a device",
        "parameters": LOOK.parameters,
    }
    assert body["tools"] == [{"type": "function", "function": function}]
    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})


async def test_nothing_is_sent_that_was_not_asked_for(compatible: CompatibleRig) -> None:
    await parts_of(compatible.make())
    assert compatible.api.asked[0].keys() == {
        "model",
        "messages",
        "stream",
        "stream_options",
        "max_tokens",
    }


async def test_a_schema_that_leaves_nothing_open_is_to_be_enforced(
    compatible: CompatibleRig,
) -> None:
    await parts_of(compatible.make(), replace(ASK, schema=SCHEMA))
    assert compatible.api.asked[0]["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
    }


@pytest.mark.parametrize(
    "change",
    [
        {"additionalProperties": True},
        {"required": []},
        {"properties": {"sure": {"type": "boolean", "default": True}}},
        {"properties": {"sure": {"type": "array", "items": {"type": "object"}}}},
        {"properties": {"sure": {"anyOf": [{"type": "string", "pattern": "x"}]}}},
        {"properties": {"sure": True}},
    ],
    ids=["additional", "optional", "default", "items", "any-of", "no-schema"],
)
async def test_a_schema_that_openai_would_refuse_to_enforce_is_only_asked_for(
    compatible: CompatibleRig, change: Any
) -> None:
    await parts_of(compatible.make(), replace(ASK, schema=SCHEMA | change))
    assert compatible.api.asked[0]["response_format"]["json_schema"]["strict"] is False


async def test_a_schema_goes_beside_json_object_where_the_option_says_so(
    compatible: CompatibleRig,
) -> None:
    await parts_of(compatible.make(schema="json_object"), replace(ASK, schema=SCHEMA))
    assert compatible.api.asked[0]["response_format"] == {"type": "json_object", "schema": SCHEMA}


async def test_an_address_with_a_path_is_taken_as_it_is(compatible: CompatibleRig) -> None:
    await parts_of(compatible.make(base_url=f"{compatible.api.url}/v1/"))
    error = await failure_of(parts_of(compatible.make(base_url=f"{compatible.api.url}/api/v3")))
    assert (error.code, error.fields) == ("provider_failed", {"http_status": 404})


async def test_a_server_without_keys_is_sent_none(compatible: CompatibleRig) -> None:
    assert (await failure_of(compatible.make(api_key=None).check())).code == "provider_auth"
    assert "Authorization" not in compatible.api.headers[0]


# -- how sure it is -------------------------------------------------------------------------------------


async def test_words_tell_how_sure_they_are(compatible: CompatibleRig) -> None:
    parts = await parts_of(compatible.make(logprobs=True))
    assert parts[:2] == [
        Words(text="Hello", logprobs=(-0.25,)),
        Words(text=" there", logprobs=(-0.25,)),
    ]
    # llama-cpp-python gives none without the second.
    assert compatible.api.asked[0]["top_logprobs"] == 1


async def test_a_word_of_which_nobody_is_sure_has_nothing_told(compatible: CompatibleRig) -> None:
    tokens = {"content": [{"token": "H", "logprob": None}, {"token": "i", "logprob": -1.5}]}
    choice = {"index": 0, "delta": {"content": "Hi"}, "logprobs": tokens}
    words, _usage = await said(
        compatible, f"data: {json.dumps({'choices': [choice]})}\n\n".encode()
    )
    assert words == Words(text="Hi", logprobs=(-1.5,))


async def test_nothing_is_compressed_on_its_way(compatible: CompatibleRig) -> None:
    await parts_of(compatible.make())
    assert compatible.api.headers[0]["Accept-Encoding"] == "identity"


async def test_with_tools_nobody_asks_how_sure_the_words_are(compatible: CompatibleRig) -> None:
    await parts_of(compatible.make(logprobs=True), FULL)
    assert not {"logprobs", "top_logprobs"} & compatible.api.asked[0].keys()


# -- what servers make of the protocol ------------------------------------------------------------------


async def test_ollamas_calls_that_all_have_the_number_0_are_kept_apart(
    compatible: CompatibleRig,
) -> None:
    found = await calls_in(
        compatible,
        call(index=0, id="call_a", function={"name": "look", "arguments": '{"device":"a"}'}),
        call(index=0, id="call_b", function={"name": "look", "arguments": '{"device":"b"}'}),
        chunk({"content": ""}, finish="stop"),
    )
    assert found == [("call_a", "look", {"device": "a"}), ("call_b", "look", {"device": "b"})]


async def test_vllms_pieces_that_each_have_an_id_of_their_own_are_one_call(
    compatible: CompatibleRig,
) -> None:
    found = await calls_in(
        compatible,
        call(index=0, id="tool-1", type="function", function={"name": "look"}),
        call(index=0, id="tool-2", type="function", function={"arguments": '{"device":'}),
        call(index=0, id="tool-3", type="function", function={"arguments": '"a"}'}),
    )
    assert found == [("tool-1", "look", {"device": "a"})]


async def test_calls_without_a_number_or_an_id_are_kept_apart(compatible: CompatibleRig) -> None:
    found = await calls_in(
        compatible,
        call(function={"name": "look", "arguments": {"device": "a"}}),
        call(function={"name": "look", "arguments": None}),
        call(),
    )
    assert found == [
        ("call_0", "look", {"device": "a"}),
        ("call_1", "look", {}),
        ("call_2", "", {}),
    ]


async def test_calls_that_are_said_to_end_with_stop_are_calls(compatible: CompatibleRig) -> None:
    function = {"name": "look", "arguments": "{}"}
    *_, usage = await said(
        compatible, call(index=0, id="a", function=function), chunk({}, finish="stop")
    )
    assert isinstance(usage, Usage)
    assert usage.finish == "tool_calls"


async def test_what_is_not_told_is_none(compatible: CompatibleRig) -> None:
    parts = await said(compatible, chunk({"content": "Hi"}), chunk(None, finish="eos"))
    assert parts == [
        Words(text="Hi"),
        Usage(tokens_in=None, tokens_out=None, finish="stop", model="gpt-test"),
    ]


async def test_the_words_of_a_refusal_are_words(compatible: CompatibleRig) -> None:
    words, usage = await said(compatible, chunk({"refusal": "I will not."}, finish="stop"))
    assert words == Words(text="I will not.")
    assert isinstance(usage, Usage)
    assert usage.finish == "refusal"


async def test_thoughts_are_not_words(compatible: CompatibleRig) -> None:
    thought = chunk({"reasoning_content": "Hmm", "content": None})
    words, _usage = await said(compatible, thought, chunk({"content": "Yes"}))
    assert words == Words(text="Yes")


async def test_an_end_without_an_answer_is_no_answer(compatible: CompatibleRig) -> None:
    assert (await failure_of(said(compatible))).code == "provider_invalid"


async def test_what_comes_after_the_end_is_nothing(compatible: CompatibleRig) -> None:
    parts = await said(compatible, chunk({"content": "Hi"}), DONE, chunk({"content": "again"}))
    assert [part.text for part in parts if isinstance(part, Words)] == ["Hi"]


async def test_comments_and_other_line_ends_are_understood(compatible: CompatibleRig) -> None:
    hello = chunk({"content": "Hi"}).replace(b"\n", b"\r\n")
    words, _usage = await said(compatible, b": OPENROUTER PROCESSING\r\n\r\n", hello)
    assert words == Words(text="Hi")


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        # llama.cpp
        (
            400,
            {
                "error": {
                    "code": 400,
                    "message": "the request exceeds the available context size, try increasing it",
                    "type": "exceed_context_size_error",
                    "n_prompt_tokens": 4476,
                    "n_ctx": 4096,
                }
            },
            "context_exceeded",
        ),
        (
            503,
            {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}},
            "model_loading",
        ),
        # llama-cpp-python
        (
            400,
            {
                "error": {
                    "message": "The model `x` does not exist",
                    "type": "invalid_request_error",
                    "param": None,
                    "code": "model_not_found",
                }
            },
            "model_missing",
        ),
        # Ollama
        (
            404,
            {
                "error": {
                    "message": 'model "x" not found, try pulling it first',
                    "type": "api_error",
                    "param": None,
                    "code": None,
                }
            },
            "model_missing",
        ),
        (
            503,
            {"error": "server busy, please try again.  maximum pending requests exceeded"},
            "provider_busy",
        ),
        (
            500,
            {"error": {"message": "llama runner process has terminated: exit status 2"}},
            "model_crashed",
        ),
        # vLLM
        (
            404,
            {
                "object": "error",
                "message": "The model `x` does not exist.",
                "type": "NotFoundError",
                "param": None,
                "code": 404,
            },
            "model_missing",
        ),
        (
            400,
            {
                "object": "error",
                "message": "This model's maximum context length is 4096 tokens. However, you "
                "requested 5000 tokens.",
                "type": "BadRequestError",
                "param": None,
                "code": 400,
            },
            "context_exceeded",
        ),
        # LM Studio
        (
            400,
            {
                "error": "Trying to keep the first 5006 tokens when context the overflows. However, "
                "the model is loaded with context length of only 4096 tokens"
            },
            "context_exceeded",
        ),
        # Anything made with FastAPI
        (404, {"detail": "Not Found"}, "provider_failed"),
        (422, {"detail": [{"loc": ["body"], "msg": "Field required"}]}, "provider_failed"),
        (500, ["?"], "provider_failed"),
    ],
)
async def test_servers_say_what_is_wrong_in_their_own_ways(
    compatible: CompatibleRig, status: int, body: Any, code: str
) -> None:
    compatible.answer(Reply(status=status, body=body))
    assert (await failure_of(parts_of(compatible.make()))).code == code


async def test_a_model_that_is_too_large_tells_how_much_is_missing(
    compatible: CompatibleRig,
) -> None:
    message = "model requires more system memory (8.5 GiB) than is available (512.0 MiB)"
    compatible.answer(Reply(status=500, body={"error": {"message": message}}))
    error = await failure_of(parts_of(compatible.make()))
    assert (error.code, error.fields) == ("model_too_large", {"needs_mb": 8704, "free_mb": 512})


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (
            {"message": "Slow down", "type": "requests", "code": "rate_limit_exceeded"},
            "provider_busy",
        ),
        ({"message": "Oh", "type": "rate_limit_error", "code": None}, "provider_busy"),
        ({"message": "context_length_exceeded", "code": 400}, "context_exceeded"),
        ({"message": "Oh", "type": "server_error", "code": ["?"]}, "provider_failed"),
        ({"message": "Oh", "code": 7}, "provider_failed"),
        ("Out of memory", "provider_failed"),
        (["?"], "provider_failed"),
    ],
)
async def test_an_error_in_the_middle_needs_no_status(
    compatible: CompatibleRig, error: Any, code: str
) -> None:
    event = f"data: {json.dumps({'error': error})}\n\n".encode()
    assert (await failure_of(said(compatible, event))).code == code


# -- looking --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "listed"),
    [
        ("qwen3:8b", "qwen3:8b"),
        ("mistral", "mistral:latest"),
        ("mistral:latest", "mistral"),
        ("Qwen2.5-7B-Q4_K_M", "/models/Qwen2.5-7B-Q4_K_M.gguf"),
        ("Qwen2.5-7B-Q4_K_M.gguf", "C:\\models\\Qwen2.5-7B-Q4_K_M.gguf"),
    ],
)
def test_a_model_is_known_by_each_of_its_names(wanted: str, listed: str) -> None:
    assert same_model(wanted, listed)


@pytest.mark.parametrize(
    ("wanted", "listed"),
    [("qwen3:8b", "qwen3:latest"), ("qwen3", "qwen3:8b"), ("8B", "org/8B"), ("a", "a.gguf.bak")],
)
def test_another_model_is_another_model(wanted: str, listed: str) -> None:
    assert not same_model(wanted, listed)


@pytest.mark.parametrize("data", [[], None])
async def test_a_server_without_models_has_none(compatible: CompatibleRig, data: Any) -> None:
    compatible.answer(Reply(body={"object": "list", "data": data}))
    error = await failure_of(compatible.make().check())
    assert error.message == "Expected model gpt-test, found none"


async def test_of_many_models_the_first_are_named(compatible: CompatibleRig) -> None:
    many = [{"id": f"model-{number}"} for number in range(500)]
    compatible.answer(Reply(body={"data": many}))
    error = await failure_of(compatible.make().check())
    assert error.fields["found"].endswith("model-19, …")


@pytest.mark.parametrize("name", ["max_model_len", "context_length", "context_window"])
async def test_the_context_is_what_the_server_tells(compatible: CompatibleRig, name: str) -> None:
    named = [{"id": model, name: 8192} for model in compatible.models.values()]
    compatible.answer(Reply(body={"data": named}))
    assert (await compatible.make().check()).context == 8192


async def test_a_context_that_nobody_tells_is_not_known(compatible: CompatibleRig) -> None:
    assert (await compatible.make().check()).context is None


@pytest.mark.parametrize("option", ["embedding_model", "image_model"])
async def test_the_other_models_must_be_there_too(compatible: CompatibleRig, option: str) -> None:
    error = await failure_of(compatible.make(**{option: "nowhere"}).check())
    assert (error.code, error.fields["expected"]) == ("model_missing", "nowhere")


async def test_without_another_model_the_one_does_all(compatible: CompatibleRig) -> None:
    provider = compatible.make(model="text-embedding-test", embedding_model=None)
    assert await provider.embed(["abc"]) == [[3.0, 0.5, -1.0]]


async def test_what_it_is_not_set_up_for_it_has_no_model_for(compatible: CompatibleRig) -> None:
    made = compatible.make()
    bare = OpenAICompatible(replace(made.context, uses=frozenset({Use.TOOLS})))
    embedding = await failure_of(bare.embed(["a"]))
    drawing = await failure_of(bare.draw("A cat"))
    assert (embedding.code, embedding.fields) == ("model_missing", {"expected": "embedding"})
    assert (drawing.code, drawing.fields) == ("model_missing", {"expected": "image"})
    assert compatible.api.asked == []


async def test_a_model_of_pictures_is_told_to_send_the_picture_itself(
    compatible: CompatibleRig,
) -> None:
    with pytest.raises(ProviderError):
        await compatible.make(image_model="flux").draw("A cat")
    assert compatible.api.asked[0]["response_format"] == "b64_json"


@pytest.mark.parametrize(
    ("head", "media_type"),
    [(b"\xff\xd8\xff\xe0", "image/jpeg"), (b"RIFF\x00\x00\x00\x00WEBP", "image/webp")],
)
async def test_a_picture_is_of_the_kind_that_its_bytes_say(
    compatible: CompatibleRig, head: bytes, media_type: str
) -> None:
    drawn = {"data": [{"b64_json": base64.b64encode(head).decode()}]}
    compatible.answer(Reply(body=drawn))
    assert (await compatible.make().draw("A cat")).media_type == media_type
