"""What OpenAI itself wants otherwise than the servers that imitate it."""

from dataclasses import replace

from brain_server.plugins import checked
from brain_server.providers import TierName
from brain_server.providers.openai import OpenAI
from tests.brain.providers.conformance import ASK, FULL, SCHEMA, parts_of
from tests.brain.providers.rigs import OpenAIRig
from tests.brain.providers.sdk import as_openai_reads_it


async def test_what_is_sent_is_a_request_of_openai_and_nothing_else(openai: OpenAIRig) -> None:
    await parts_of(openai.make(logprobs=True), replace(FULL, schema=SCHEMA))
    await parts_of(openai.make(effort="low"), FULL)
    assert [as_openai_reads_it(body) for body in openai.api.asked] == openai.api.asked


async def test_the_limit_goes_by_the_name_that_every_model_knows(openai: OpenAIRig) -> None:
    await parts_of(openai.make(), FULL)
    body = openai.api.asked[0]
    assert body["max_completion_tokens"] == 99
    assert "max_tokens" not in body


async def test_a_model_that_thinks_is_told_how_hard_and_nothing_that_it_refuses(
    openai: OpenAIRig,
) -> None:
    await parts_of(openai.make(effort="high", logprobs=True), replace(ASK, temperature=0.2))
    body = openai.api.asked[0]
    assert body["reasoning_effort"] == "high"
    assert not {"temperature", "logprobs", "top_logprobs"} & body.keys()


async def test_it_is_asked_how_sure_it_is_where_the_option_says_so(openai: OpenAIRig) -> None:
    await parts_of(openai.make(logprobs=True), replace(ASK, temperature=0.2))
    body = openai.api.asked[0]
    assert (body["logprobs"], body["temperature"]) == (True, 0.2)


def test_a_key_and_a_model_are_enough() -> None:
    found = checked(OpenAI.options, {"api_key": "sk-x", "model": "gpt-4.1-mini"})
    assert found["base_url"] == "https://api.openai.com/v1"
    assert found["context"] == 128_000
    assert OpenAI.tier is TierName.FRONTIER
