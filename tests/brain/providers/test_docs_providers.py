"""``docs/PROVIDERS.md``: its provider goes through the table, and what it says of the others is so."""

import json
from pathlib import Path
import re
import sys
from typing import Any

import pytest

from brain_server import providers
from brain_server.plugins import checked
from brain_server.providers import ModelProvider, Provider, TierName, Use
from brain_server.sse import address
from tests.brain.providers.conformance import CHECKS, Check, cases
from tests.brain.providers.rigs import ApiRig
from tests.standins.model_api import Reply
from tests.standins.parrot import ParrotApi

PAGE = (Path(__file__).parents[3] / "docs" / "PROVIDERS.md").read_text("utf-8")
BLOCKS = re.findall(r"^```json\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
SECTIONS = {
    "openai_compatible": "A server in the house",
    "openai": "OpenAI",
    "anthropic": "Anthropic",
}


class ParrotRig(ApiRig):
    """The model of the page."""

    name = "parrot"
    features = frozenset({"script", "http"})
    server = ParrotApi
    models = {"model": "polly"}
    first_words = 1
    events = 3
    refusals = {
        "provider_auth": Reply(status=401, body={}),
        "provider_busy": Reply(status=429, body={}),
        "context_exceeded": Reply(status=400, body={"error": "It exceeds the context size"}),
        "model_missing": Reply(status=404, body={"error": "There is no such model"}),
        "provider_failed": Reply(status=500, body={"error": "Ow"}),
    }
    stumble = (b'data: {"error": "Ow"}\n\n', "provider_failed")
    answering = "polly"
    cut_short = "full"
    refused = "no"


def section(heading: str) -> str:
    """Return one section of the page."""
    return PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[Provider]:
    """Drop the page's only Python block among the providers, and discover it."""
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    (tmp_path / "parrot.py").write_text(code)
    monkeypatch.setattr(providers, "__path__", [*providers.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "brain_server.providers.parrot", raising=False)
    return providers.discover()["parrot"]


@pytest.mark.parametrize(("rig", "check"), cases(ParrotRig), indirect=["rig"])
async def test_the_provider_of_the_page_does_what_every_provider_must(
    rig: ApiRig,
    check: Check,
    example: type[ModelProvider],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ParrotRig, "provider", example, raising=False)
    await check.run(rig)


def test_the_page_promises_nothing_that_is_not_checked() -> None:
    fit = [check for check in CHECKS if check.needs <= ParrotRig.features]
    assert len(fit) >= 30


def test_the_page_names_every_provider() -> None:
    # Other tests add doubles of their own.
    ours = [name for name in providers.discover() if not name.endswith("double")]
    assert [name for name in ours if f"`{name}`" not in PAGE] == []


@pytest.mark.parametrize("name", SECTIONS)
def test_the_page_tells_every_option_with_its_default(name: str) -> None:
    told = re.findall(r"^\| `([a-z_]+)` \| ([^|]*)\|", section(SECTIONS[name]), re.MULTILINE)
    form = providers.discover()[name].options
    assert {option: default.strip(" `") for option, default in told} == {
        option.name: "required"
        if option.required
        else ("" if option.default is None else str(option.default))
        for option in form
    }


@pytest.mark.parametrize("block", BLOCKS, ids=list(SECTIONS))
def test_what_the_page_says_to_send_fits_the_form(block: str) -> None:
    asked: dict[str, Any] = json.loads(block)
    params = asked["params"]
    kind = providers.discover()[params["provider"]]
    assert asked["action"] == "providers.put"
    assert checked(kind.options, params["options"])
    assert {Use(use) for use in params.get("uses", kind.uses)} <= kind.uses
    assert ("price_in" in params) == (kind.tier is TierName.FRONTIER)


def test_addresses_become_what_the_page_says() -> None:
    told = re.findall(r"`(\S+)` is asked at `(\S+?)`", PAGE)
    assert len(told) == 6
    assert [str(address(typed, "v1")) for typed, _ in told] == [asked for _, asked in told]


def test_the_page_explains_each_code_that_the_contract_names() -> None:
    explained = re.findall(r"^\| `([a-z_]+)` \|", section("What a failure is called"), re.MULTILINE)
    contract = set(re.findall(r"``((?:provider|model|context)_[a-z_]+)``", Provider.__doc__ or ""))
    assert set(explained) == contract
