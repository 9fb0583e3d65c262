"""OpenAI's API when it says no: in OpenAI's form, with the status and the code that programs know."""

import io
from typing import Any

import openai
from openai import AsyncOpenAI
import pytest

from brain_server.api.openai_form import Unreadable, read, refusal
from brain_server.app import Brain
from brain_server.errors import ProviderError
from brain_server.storage.tables import decisions
from tests.brain.api.sdk import ASKED, BELL, LAMP, client, picture, scripts, sdk
from tests.brain.home import TOKEN, Home, Rest
from tests.brain.minds.double import Double
from tests.brain.stage import Scripts, far, near, rows

__all__ = ["scripts", "sdk"]

# -- what cannot be had -------------------------------------------------------------------------------

REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "stop": ({"stop": ["END"]}, "stop", "unsupported_parameter"),
    "several": ({"n": 2}, "n", "unsupported_parameter"),
    "seed": ({"seed": 7}, "seed", "unsupported_parameter"),
    "top_p": ({"top_p": 0.5}, "top_p", "unsupported_parameter"),
    "one call": ({"parallel_tool_calls": False}, "parallel_tool_calls", "unsupported_parameter"),
    "unknown": ({"loudness": 3}, "loudness", "unknown_parameter"),
    "no messages": ({"messages": []}, "messages", "empty_array"),
    "odd role": (
        {"messages": [{"role": "function", "content": ""}]},
        "messages[0].role",
        "invalid_type",
    ),
    "sound": (
        {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
        "messages[0].content[0]",
        "invalid_value",
    ),
    "a picture of a tool": (
        {
            "messages": [
                {"role": "tool", "tool_call_id": "1", "content": picture("x")[0]["content"]}
            ]
        },
        "messages[0].content[1]",
        "invalid_value",
    ),
    "an answer to no call": (
        {"messages": [{"role": "tool", "content": "done"}]},
        "messages[0].tool_call_id",
        "invalid_value",
    ),
    "no model": ({"model": None}, "model", "invalid_type"),
    "another kind of tool": ({"tools": [{"type": "web_search"}]}, "tools[0].type", "invalid_type"),
    "a choice of none": ({"tool_choice": "required"}, "tool_choice", "invalid_value"),
    "a choice of another": (
        {"tools": [BELL], "tool_choice": LAMP},
        "tool_choice",
        "invalid_value",
    ),
    "a choice and a shape": (
        {
            "tools": [BELL],
            "tool_choice": "required",
            "response_format": {"type": "json_object"},
        },
        "tool_choice",
        "invalid_value",
    ),
    "a shape without one": (
        {"response_format": {"type": "json_schema"}},
        "response_format.json_schema",
        "invalid_value",
    ),
    "a shape of nothing": (
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": {"$ref": "#/x"}},
            }
        },
        "response_format.json_schema.schema",
        "invalid_value",
    ),
    "a shape of itself": (
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "name": "x",
                    "schema": {
                        "$ref": "#/$defs/x",
                        "$defs": {"x": {"items": {"$ref": "#/$defs/x"}}},
                    },
                },
            }
        },
        "response_format.json_schema.schema",
        "invalid_value",
    ),
    "a shape that is a flood": (
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "name": "x",
                    "schema": {
                        "$ref": "#/$defs/0",
                        "$defs": {
                            str(at): {"anyOf": [{"$ref": f"#/$defs/{at + 1}"}] * 10}
                            for at in range(12)
                        }
                        | {"12": {}},
                    },
                },
            }
        },
        "response_format.json_schema.schema",
        "invalid_value",
    ),
}


@pytest.mark.parametrize(("more", "param", "code"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_had_is_refused_by_the_name_of_its_field(
    more: dict[str, Any], param: str, code: str
) -> None:
    with pytest.raises(Unreadable) as raised:
        read({"model": "auto", "messages": ASKED} | more)
    status, body, _headers = refusal(raised.value)
    assert (status, body["error"]["type"]) == (400, "invalid_request_error")
    assert (body["error"]["param"], body["error"]["code"]) == (param, code)
    assert body["error"]["message"]


BEYOND: dict[str, tuple[dict[str, Any], str]] = {
    "hot": ({"temperature": 3}, "temperature"),
    "many tokens": ({"max_tokens": 99_999_999}, "max_tokens"),
    "an odd tool": (
        {"tools": [{"type": "function", "function": {"name": "a b"}}]},
        "tools[0].name",
    ),
    "several": ({"n": 2}, "n"),
}


@pytest.mark.parametrize(("more", "param"), BEYOND.values(), ids=BEYOND)
async def test_the_sdk_tells_which_field_was_refused(
    home: Home, sdk: AsyncOpenAI, scripts: Scripts, more: dict[str, Any], param: str
) -> None:
    await near(home)
    asked: Any = {"model": "auto", "messages": ASKED} | more
    with pytest.raises(openai.BadRequestError) as raised:
        await sdk.chat.completions.create(**asked)
    assert raised.value.param == param
    assert Double.heard == {}


async def test_a_field_that_asks_for_nothing_is_taken(
    home: Home, rest: Rest, scripts: Scripts
) -> None:
    await near(home)
    scripts["near"] = lambda _request: ["Hello."]
    nothing = {"stop": None, "n": 1, "top_p": 1.0, "logprobs": False, "metadata": {"a": "b"}}
    body = {"model": "auto", "messages": ASKED} | nothing
    answer = await rest.call("POST", "/v1/chat/completions", json=body)
    assert answer.status == 200


BODIES = {
    "no JSON": (b"{", 400, "invalid_json"),
    "no object": (b"[]", 400, "invalid_type"),
    "NaN": (b'{"temperature": NaN}', 400, "invalid_json"),
    "too large": (b"x" * (16 * 1024 * 1024 + 1), 413, "too_large"),
}


@pytest.mark.parametrize(("body", "status", "code"), BODIES.values(), ids=BODIES)
async def test_a_body_that_is_none_is_refused(
    rest: Rest, body: bytes, status: int, code: str
) -> None:
    answer = await rest.call("POST", "/v1/chat/completions", data=io.BytesIO(body))
    assert (answer.status, answer.json["error"]["code"]) == (status, code)


async def test_a_body_that_is_not_packed_as_it_says_is_refused(rest: Rest) -> None:
    packed = {"Content-Encoding": "gzip"}
    answer = await rest.call("POST", "/v1/chat/completions", data=b"\xffnonsense", headers=packed)
    assert (answer.status, answer.json["error"]["code"]) == (400, "body_cut_off")


# -- errors -------------------------------------------------------------------------------------------


async def test_a_wrong_key_is_an_authentication_error(brain: Brain) -> None:
    async with client(brain, "wrong") as stranger:
        with pytest.raises(openai.AuthenticationError) as raised:
            await stranger.chat.completions.create(model="auto", messages=ASKED)
        with pytest.raises(openai.AuthenticationError):
            await stranger.models.list()
    assert raised.value.code == "invalid_api_key"


async def test_who_may_only_read_sees_models_and_asks_none(home: Home, brain: Brain) -> None:
    async with client(brain, await home.token("read")) as reader:
        assert (await anext(aiter(await reader.models.list()))).id == "auto"
        with pytest.raises(openai.PermissionDeniedError) as raised:
            await reader.chat.completions.create(model="auto", messages=ASKED)
    assert (raised.value.code, raised.value.type) == ("scope_required", "permission_error")


async def test_who_asks_too_often_waits(home: Home, brain: Brain, sdk: AsyncOpenAI) -> None:
    brain.tokens._rate = 0.0
    for _ in range(199):
        await sdk.models.list()
    with pytest.raises(openai.RateLimitError) as raised:
        await sdk.models.list()
    assert raised.value.code == "rate_limit_exceeded"
    assert raised.value.response.headers["Retry-After"] == "1"


MAPPED = {
    "provider_busy": ({"retry_after": 1.5}, (429, "rate_limit_exceeded", "2")),
    "context_exceeded": ({}, (400, "context_length_exceeded", None)),
    "provider_failed": ({}, (502, "provider_failed", None)),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("trouble", MAPPED)
async def test_the_trouble_of_a_model_has_the_status_that_programs_know(
    home: Home, rest: Rest, scripts: Scripts, trouble: str, stream: bool
) -> None:
    more, expected = MAPPED[trouble]
    await near(home)
    scripts["near"] = lambda _request: [ProviderError(trouble, "Oh", **more)]
    body = {"model": "auto", "messages": ASKED, "stream": stream}
    answer = await rest.call("POST", "/v1/chat/completions", json=body)
    told = (answer.status, answer.json["error"]["code"], answer.headers.get("Retry-After"))
    assert told == expected


async def test_an_empty_purse_is_an_insufficient_quota_and_not_tried_again(
    home: Home, brain: Brain, scripts: Scripts
) -> None:
    await far(home)
    await home.command("budget.set_limits", {"daily": 0.000001})
    async with client(brain, TOKEN).with_options(max_retries=2) as patient:
        with pytest.raises(openai.RateLimitError) as raised:
            await patient.chat.completions.create(model="frontier", messages=ASKED)
    assert raised.value.code == "insufficient_quota"
    assert Double.heard == {}
    assert [one["reason"] for one in await rows(brain, decisions)] == ["budget_exhausted"]


async def test_nothing_leaves_the_house_that_must_not(
    home: Home, sdk: AsyncOpenAI, scripts: Scripts
) -> None:
    await far(home)
    await home.command("privacy.set", {"offline_mode": True})
    with pytest.raises(openai.PermissionDeniedError) as raised:
        await sdk.chat.completions.create(model="frontier", messages=ASKED)
    assert raised.value.code == "offline_mode"
    assert Double.heard == {}


async def test_without_any_model_that_is_said(home: Home, sdk: AsyncOpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as raised:
        await sdk.chat.completions.create(model="auto", messages=ASKED)
    assert (raised.value.status_code, raised.value.code) == (503, "no_model")


async def test_a_route_that_openai_has_and_we_have_not_is_not_found(sdk: AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as raised:
        await sdk.embeddings.create(model="auto", input="x")
    assert raised.value.code == "not_found"


async def test_every_answer_has_the_id_of_its_request(
    home: Home, sdk: AsyncOpenAI, scripts: Scripts
) -> None:
    await near(home)
    scripts["near"] = lambda _request: ["Hello."]
    mine = {"X-Request-ID": "mine"}
    whole = await sdk.chat.completions.create(model="auto", messages=ASKED, extra_headers=mine)
    stream = await sdk.chat.completions.with_raw_response.create(
        model="auto", messages=ASKED, stream=True, extra_headers=mine
    )
    with pytest.raises(openai.NotFoundError) as raised:
        await sdk.chat.completions.create(model="x", messages=ASKED, extra_headers=mine)
    assert (whole._request_id, stream.request_id, raised.value.request_id) == ("mine",) * 3
