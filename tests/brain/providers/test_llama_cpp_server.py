"""llama-cpp-python's own server with the tiny model: under OpenAI's SDK, and under our provider of such servers."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
import json
from pathlib import Path

from aiohttp import ClientSession
from openai import AsyncOpenAI
import psutil
import pytest

from brain_server.providers import ProviderContext, Use, Words
from brain_server.providers.openai_compatible import OpenAICompatible
from brain_server.shape import misfit
from tests.brain.providers.llama_house import LONG, parts_of, question, usage_of, words_of
from tests.brain.soon import SOON
from tests.standins.llama_server import LlamaServer
from tests.standins.tiny_gguf import tiny_gguf

pytestmark = [pytest.mark.llama, pytest.mark.timeout(300)]

SCHEMA = {
    "type": "object",
    "properties": {"room": {"enum": ["kitchen", "garage"]}, "on": {"type": "boolean"}},
    "required": ["room", "on"],
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaServer]:
    """Give a running server of the tiny model, called tiny."""
    model = tiny_gguf(tmp_path_factory.mktemp("models"), context=LONG * 2)
    context = str(LONG + 500)
    made = LlamaServer(model, "--model_alias", "tiny", "--n_ctx", context, "--n_threads", "1")
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
async def compatible(server: LlamaServer, tmp_path: Path) -> AsyncIterator[OpenAICompatible]:
    """Give our provider of such servers."""
    async with ClientSession() as session:
        yield OpenAICompatible(
            ProviderContext(
                provider_id="server",
                options={
                    "base_url": server.url,
                    "model": "tiny",
                    "schema": "json_object",
                    "logprobs": False,
                },
                session=session,
                data_dir=tmp_path,
                uses=frozenset({Use.REASONING}),
            )
        )


async def test_openais_own_client_hears_the_words_one_by_one(server: LlamaServer) -> None:
    async with AsyncOpenAI(base_url=server.url, api_key="none", max_retries=0) as client:
        stream = await client.chat.completions.create(
            model="tiny",
            messages=[{"role": "user", "content": "unlock the door"}],
            max_tokens=20,
            temperature=0,
            stream=True,
        )
        deltas = [chunk.choices[0].delta.content async for chunk in stream if chunk.choices]
    assert len([delta for delta in deltas if delta]) > 10


async def test_our_provider_finds_the_model_of_the_server(compatible: OpenAICompatible) -> None:
    info = await compatible.check()
    assert (info.model, info.models) == ("tiny", ("tiny",))


async def test_our_provider_hears_the_words_one_by_one(compatible: OpenAICompatible) -> None:
    parts = await parts_of(compatible.stream(question(max_tokens=20)))
    assert len([part for part in parts if isinstance(part, Words)]) > 10
    assert usage_of(parts).finish == "length"


async def test_our_provider_gets_json_that_fits(compatible: OpenAICompatible) -> None:
    parts = await parts_of(compatible.stream(question("light", schema=SCHEMA, max_tokens=200)))
    assert misfit(json.loads(words_of(parts)), SCHEMA) is None


async def test_the_line_to_the_server_is_down_soon_after_an_answer_was_closed(
    server: LlamaServer, compatible: OpenAICompatible
) -> None:
    # What the server makes of it is its own affair: llama_cpp.server may keep its lock for ever after a disconnect.
    async with aclosing(compatible.stream(question(max_tokens=LONG))) as stream:
        assert isinstance(await anext(stream), Words)
        assert lines_to(server.port)
    async with asyncio.timeout(SOON):
        while lines_to(server.port):  # noqa: ASYNC110 - no event tells that a socket is gone
            await asyncio.sleep(0.01)


def lines_to(port: int) -> list[object]:
    """Return the open connections of this process to a local port."""
    mine = psutil.Process().net_connections("inet")
    return [one for one in mine if one.status == psutil.CONN_ESTABLISHED and one.raddr.port == port]
