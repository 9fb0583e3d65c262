"""docs/OPENAI_API.md says what the brain does: its example runs, its lists and tables are the code's."""

import asyncio
from collections.abc import AsyncIterator
import json
from pathlib import Path
import re
from typing import Any

from aiohttp import ClientSession
import pytest

from brain_server.api import openai_form, sse
from brain_server.api.openai import CHOICES
from brain_server.api.rest import MOST_BATCH
from brain_server.app import Brain
from brain_server.conversation import generate
from brain_server.errors import KittyError
from brain_server.settings import Settings
from tests.brain.home import TOKEN, running
from tests.brain.stage import NEAR, set_stage
from tests.docs.facts import ROOT, error_codes

PAGE = (ROOT / "docs/OPENAI_API.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def listed(start: str) -> set[str]:
    """Return the names in backticks from some words on, to the end of the paragraph."""
    paragraph = PAGE.partition(start)[2].partition("\n\n")[0]
    return set(re.findall(r"`([a-z_]+)`", paragraph.rpartition("…): ")[2]))


@pytest.fixture
async def brain(tmp_path: Path) -> AsyncIterator[Brain]:
    """Give a brain with a model that says hello."""
    scripts = set_stage()
    scripts["near"] = lambda _request: ["Hello ", "there."]
    async with running(tmp_path) as made:
        answer = await act(made, "actions", {"action": "providers.put", "params": NEAR})
        assert b"success" in answer
        yield made


async def act(brain: Brain, route: str, body: Any) -> bytes:
    """Post something and return the answer, which must be a good one."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    url = f"http://127.0.0.1:{brain.port}/api/v1/{route}"
    async with ClientSession(headers=headers) as session, session.post(url, json=body) as answer:
        assert answer.status == 200
        return await answer.read()


async def test_the_example_runs(brain: Brain) -> None:
    """Against a brain, with OpenAI's SDK, as it stands there."""
    (example,) = blocks("python")
    assert f":{Settings(data_dir=Path()).port}/v1" in example
    example = example.replace(":8100/", f":{brain.port}/").replace("TOKEN", TOKEN)
    said: list[str] = []

    def note(*words: Any, end: str = "\n") -> None:
        said.append("".join(map(str, words)) + end)

    await asyncio.to_thread(exec, example, {"print": note})
    assert said[0] == "['auto', 'local', 'frontier', 'Near']\n"
    assert said[1] == "Hello there.\n"
    assert "".join(said[2:]) == "Hello there."


async def test_the_bodies_of_the_other_roads_are_taken(brain: Brain) -> None:
    """One for a stream, one for a batch."""
    stream, batch = map(json.loads, blocks("json"))
    assert b"event: result" in await act(brain, "stream", stream)
    items = json.loads(await act(brain, "batch", batch))["data"]["items"]
    assert [one["status"] for one in items] == ["success", "success"]


async def test_the_commands_that_stream_are_named(brain: Brain) -> None:
    """All of them."""
    able = {name for name, spec in brain.dispatcher.commands.items() if spec.streams}
    named = re.search(r"talks while it runs \(([^)]*)\)", PAGE)
    assert named is not None
    assert set(re.findall(r"`([a-z.]+)`", named[1])) == able


def test_the_fields_are_those_of_the_code() -> None:
    """What is ignored, and what is refused."""
    assert listed("Taken and of no effect:") == openai_form.IGNORED
    assert listed("Refused with 400") == set(openai_form.NEUTRAL)


def test_the_choices_of_models_are_those_of_the_code() -> None:
    """Beside the names of providers."""
    table = PAGE.partition("## Models")[2].partition("\n## ")[0]
    assert tuple(re.findall(r"^\| `([a-z]+)` \|", table, re.MULTILINE)) == CHOICES


def test_the_table_of_errors_is_that_of_the_code() -> None:
    """Each code that has another name or status over this road, and no other."""
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| `(\w+)` \|$", PAGE, re.MULTILINE)
    told = {ours: (int(status), code) for ours, status, code in rows}
    found = {}
    for code in error_codes():
        status, body, _headers = openai_form.refusal(KittyError(code, "words"))
        if body["error"]["code"] != code:
            found[code] = (status, body["error"]["code"])
    assert {name: one for name, one in found.items() if name != "invalid_params"} == told


@pytest.mark.parametrize(
    "words",
    [
        f"({openai_form.DEFAULT_TOKENS} unless told",
        f"up to {generate.MOST_PICTURE // 2**20} MiB each",
        f"up to {MOST_BATCH} commands",
        {10.0: "silent for ten seconds"}[sse.HEARTBEAT],
        {True: "within a second"}[sse.LOOK_EVERY < 1],
    ],
)
def test_the_figures_are_those_of_the_code(words: str) -> None:
    """Each number of the text stands in the code as well."""
    assert words in PAGE
