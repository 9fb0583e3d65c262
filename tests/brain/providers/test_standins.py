"""The stand-ins speak the true protocols: the makers' own SDKs understand them, and their errors."""

from collections.abc import AsyncIterator
from typing import Any

import anthropic
from anthropic import AsyncAnthropic
import openai
from openai import AsyncOpenAI
import pytest

from tests.standins.anthropic_api import AnthropicApi
from tests.standins.model_api import Reply
from tests.standins.openai_api import PNG, OpenAIApi

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOL: Any = {
    "type": "function",
    "function": {"name": "weather", "parameters": WEATHER, "strict": True},
}
ASKED: list[Any] = [{"role": "user", "content": "Hello"}]


@pytest.fixture
async def openai_api() -> AsyncIterator[OpenAIApi]:
    """Serve OpenAI's API."""
    async with OpenAIApi.serve() as api:
        yield api


@pytest.fixture
async def openai_sdk(openai_api: OpenAIApi) -> AsyncIterator[AsyncOpenAI]:
    """Give OpenAI's own client of it."""
    base = f"{openai_api.url}/v1"
    async with AsyncOpenAI(base_url=base, api_key=openai_api.key, max_retries=0) as client:
        yield client


@pytest.fixture
async def anthropic_api() -> AsyncIterator[AnthropicApi]:
    """Serve Anthropic's API."""
    async with AnthropicApi.serve() as api:
        yield api


@pytest.fixture
async def anthropic_sdk(anthropic_api: AnthropicApi) -> AsyncIterator[AsyncAnthropic]:
    """Give Anthropic's own client of it."""
    url = anthropic_api.url
    async with AsyncAnthropic(base_url=url, api_key=anthropic_api.key, max_retries=0) as client:
        yield client


async def test_openais_sdk_understands_words_and_usage(openai_sdk: AsyncOpenAI) -> None:
    async with openai_sdk.chat.completions.stream(
        model="gpt-test", messages=ASKED, stream_options={"include_usage": True}, logprobs=True
    ) as stream:
        whole = await stream.get_final_completion()
    choice = whole.choices[0]
    assert choice.message.content == "Hello there"
    assert choice.finish_reason == "stop"
    assert choice.logprobs is not None
    assert choice.logprobs.content is not None
    assert [token.logprob for token in choice.logprobs.content] == [-0.25, -0.25]
    assert whole.usage is not None
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (12, 34)


async def test_openais_sdk_understands_tool_calls(
    openai_api: OpenAIApi, openai_sdk: AsyncOpenAI
) -> None:
    openai_api.reply = Reply(
        pieces=(), calls=(("weather", '{"city": "Delft"}'), ("weather", '{"city": "Ghent"}'))
    )
    async with openai_sdk.chat.completions.stream(
        model="gpt-test",
        messages=ASKED,
        tools=[TOOL],
    ) as stream:
        choice = (await stream.get_final_completion()).choices[0]
    calls: list[Any] = choice.message.tool_calls or []
    assert choice.finish_reason == "tool_calls"
    assert [(call.id, call.function.name, call.function.arguments) for call in calls] == [
        ("call_0x", "weather", '{"city": "Delft"}'),
        ("call_1x", "weather", '{"city": "Ghent"}'),
    ]


async def test_openais_sdk_understands_embeddings_pictures_and_models(
    openai_sdk: AsyncOpenAI,
) -> None:
    vectors = await openai_sdk.embeddings.create(
        model="text-embedding-test", input=["a", "bcd"], encoding_format="float"
    )
    drawn = await openai_sdk.images.generate(model="gpt-image-test", prompt="A cat")
    models = [model.id async for model in openai_sdk.models.list()]
    assert {one.index: one.embedding[0] for one in vectors.data} == {0: 1.0, 1: 3.0}
    assert drawn.data is not None
    assert drawn.data[0].b64_json is not None
    assert drawn.data[0].b64_json.startswith("iVBORw0KGgo")
    assert PNG.startswith(b"\x89PNG")
    assert tuple(models) == OpenAIApi.models


@pytest.mark.parametrize(
    ("key", "model", "messages", "error"),
    [
        ("wrong", "gpt-test", ASKED, openai.AuthenticationError),
        (OpenAIApi.key, "gpt-9", ASKED, openai.NotFoundError),
        (OpenAIApi.key, "gpt-test", [], openai.BadRequestError),
    ],
)
async def test_openais_sdk_understands_refusals(
    openai_sdk: AsyncOpenAI, key: str, model: str, messages: list[Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await openai_sdk.with_options(api_key=key).chat.completions.create(
            model=model, messages=messages, stream=True
        )


async def test_openais_sdk_understands_an_error_in_the_middle(
    openai_api: OpenAIApi, openai_sdk: AsyncOpenAI
) -> None:
    odd = b'data: {"error": {"message": "The server had an error", "type": "server_error"}}\n\n'
    openai_api.reply = Reply(odd_at=2, odd=odd)
    stream = await openai_sdk.chat.completions.create(model="gpt-test", messages=ASKED, stream=True)
    with pytest.raises(openai.APIError, match="The server had an error"):
        _ = [chunk async for chunk in stream]


async def test_anthropics_sdk_understands_words_and_usage(anthropic_sdk: AsyncAnthropic) -> None:
    async with anthropic_sdk.messages.stream(
        model="claude-test-4", max_tokens=100, messages=ASKED
    ) as stream:
        whole = await stream.get_final_message()
    block: Any = whole.content[0]
    assert block.text == "Hello there"
    assert whole.stop_reason == "end_turn"
    assert (whole.usage.input_tokens, whole.usage.output_tokens) == (7, 34)
    assert whole.usage.cache_read_input_tokens == 3


async def test_anthropics_sdk_understands_tool_calls(
    anthropic_api: AnthropicApi, anthropic_sdk: AsyncAnthropic
) -> None:
    anthropic_api.reply = Reply(pieces=("I look.",), calls=(("weather", '{"city": "Delft"}'),))
    async with anthropic_sdk.messages.stream(
        model="claude-test-4",
        max_tokens=100,
        messages=ASKED,
        tools=[{"name": "weather", "description": "Tell it", "input_schema": WEATHER}],
    ) as stream:
        whole = await stream.get_final_message()
    call: Any = whole.content[1]
    assert whole.stop_reason == "tool_use"
    assert (call.id, call.name, call.input) == ("toolu_1", "weather", {"city": "Delft"})


async def test_anthropics_sdk_understands_a_forced_tool(
    anthropic_api: AnthropicApi, anthropic_sdk: AsyncAnthropic
) -> None:
    anthropic_api.reply = Reply(pieces=('{"city": ', '"Delft"}'))
    forced = anthropic_sdk.messages.stream(
        model="claude-test-4",
        max_tokens=100,
        messages=ASKED,
        tools=[{"name": "weather", "description": "Tell it", "input_schema": WEATHER}],
        tool_choice={"type": "tool", "name": "weather"},
    )
    async with forced as stream:
        call: Any = (await stream.get_final_message()).content[0]
    assert (call.type, call.name, call.input) == ("tool_use", "weather", {"city": "Delft"})


async def test_anthropics_sdk_understands_the_list_of_models(
    anthropic_sdk: AsyncAnthropic,
) -> None:
    models = [model async for model in anthropic_sdk.models.list(limit=1000)]
    assert tuple(model.id for model in models) == AnthropicApi.models
    assert models[0].max_input_tokens == 200_000


@pytest.mark.parametrize(
    ("key", "model", "error"),
    [
        ("wrong", "claude-test-4", anthropic.AuthenticationError),
        (AnthropicApi.key, "claude-9", anthropic.NotFoundError),
    ],
)
async def test_anthropics_sdk_understands_refusals(
    anthropic_sdk: AsyncAnthropic, key: str, model: str, error: type[Exception]
) -> None:
    asked = anthropic_sdk.with_options(api_key=key).messages.stream(
        model=model, max_tokens=100, messages=ASKED
    )
    with pytest.raises(error):
        await asked.__aenter__()


async def test_anthropics_sdk_understands_an_error_in_the_middle(
    anthropic_api: AnthropicApi, anthropic_sdk: AsyncAnthropic
) -> None:
    odd = (
        b'event: error\ndata: {"type": "error", "error": '
        b'{"type": "overloaded_error", "message": "Overloaded"}}\n\n'
    )
    anthropic_api.reply = Reply(odd_at=3, odd=odd)
    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        async with anthropic_sdk.messages.stream(
            model="claude-test-4", max_tokens=100, messages=ASKED
        ) as stream:
            await stream.get_final_message()
