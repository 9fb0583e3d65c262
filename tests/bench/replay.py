"""Recorded models in the real road: what published models did with a home, done again through KITTY.

A stand-in for OpenAI's API looks each sentence up among recorded answers and calls the same tools. The rest
is real: Home Assistant, the integration, a brain process, its provider, its judgement of every call. What was
asked of a person first is counted apart, and again after a plain yes.

``script/bench replay --recorded JSONL.GZ --nlubench DIR --data DIR [--datasets NAMES] [--models NAMES] [--json FILE]``
"""

import argparse
import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
import contextlib
from dataclasses import dataclass, field
import gzip
import importlib
import json
import logging
from pathlib import Path
import sys
import tempfile
from types import SimpleNamespace
from typing import Any, Final, override
from unittest.mock import patch

from aiohttp import ClientSession

from brain_server.protocol import Json
from tests.bench.process import TOKEN, BrainProcess
from tests.standins.model_api import Reply
from tests.standins.openai_api import OpenAIApi

ROOT: Final = Path(__file__).parents[2]
MODEL: Final = "recorded"
YES: Final = "yes"
# Tools that were called otherwise when the answers were recorded.
NOW: Final = {
    "GetLiveContext": "home_states",
    "calendar_get_events": "calendar__get_events",
    "todo_get_items": "todo__get_items",
}
STATES: Final = NOW["GetLiveContext"]
PLURAL: Final = {"name": "names", "area": "areas", "domain": "domains"}
LIMIT_S: Final = 30.0


@dataclass(slots=True, kw_only=True)
class Recorded:
    """What a model once did with a sentence, and how often exactly that."""

    sentence: str
    calls: list[list[Any]]
    words: str
    good: bool
    times: int = 1


@dataclass(slots=True, kw_only=True)
class Tally:
    """How a model fared, in recorded answers."""

    of: int = 0
    published: int = 0
    done: int = 0
    asked: int = 0
    after_yes: int = 0
    same: int = 0
    reached: int = 0
    lost: Counter[str] = field(default_factory=Counter)


class RecordedApi(OpenAIApi):
    """OpenAI's API in front of recordings: the tools one by one, then the words."""

    models = (MODEL,)
    now: Recorded
    asked_it = 0
    # Whether the house's own tools were offered.
    sees_house = False
    missing: Counter[str]

    @override
    def events(self, body: Any) -> Iterator[bytes]:
        """Yield the next recorded call where the recorded sentence was said last, else the recorded words."""
        messages = body["messages"]
        self.asked_it += 1
        offered = [tool["function"]["name"] for tool in body.get("tools") or ()]
        self.sees_house = STATES in offered
        at = max(at for at, one in enumerate(messages) if one["role"] == "user")
        made = sum(one["role"] == "tool" for one in messages[at:])
        wanted = self.now.calls[made : made + 1] if self._is_said(messages[at]) else ()
        calls = tuple(self._call(one, offered) for one in wanted)
        self.reply = Reply(pieces=() if calls else (self.now.words or "Done.",), calls=calls)
        yield from super().events(body)

    def _is_said(self, message: Any) -> bool:
        return bool(self.now.sentence) and self.now.sentence in message["content"]

    def _call(self, call: Sequence[Any], offered: Sequence[str]) -> tuple[str, str]:
        """Return a call by the name that the tool has here; a name that nobody has stays."""
        name, arguments = call
        wanted = NOW.get(name, name)
        found = next((one for one in offered if wanted in {one, one.rpartition("__")[2]}), None)
        if found is None:
            self.missing[name] += 1
        if wanted == STATES:
            arguments = {
                PLURAL[key]: value if isinstance(value, list) else [value]
                for key, value in arguments.items()
                if key in PLURAL
            }
        return found or name, json.dumps(arguments)


def recordings(
    path: Path, datasets: Sequence[str]
) -> dict[tuple[str, str], dict[str, list[Recorded]]]:
    """Return the recorded answers by data set and model, then task; alike ones are counted together."""
    found: dict[tuple[str, str], dict[str, list[Recorded]]] = defaultdict(lambda: defaultdict(list))
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in map(json.loads, file):
            if line["dataset"] not in datasets:
                continue
            known = found[line["dataset"], line["model"]][line["task"]]
            same = [
                one
                for one in known
                if (one.calls, one.good) == (line["calls"], line["good"])
                and (line["calls"] or one.words == line["response"])
            ]
            # Of alike calls the first words are told; where words are judged, each of them.
            if same and line["dataset"] != "questions":
                same[0].times += 1
                continue
            known.append(
                Recorded(
                    sentence=line["sentence"],
                    calls=line["calls"],
                    words=line["response"] or "",
                    good=line["good"],
                )
            )
    return found


class Stage:
    """One house with KITTY in it, and the recorded model behind its brain."""

    def __init__(
        self, hass: Any, house_entry: Any, agent: str, harness: Any, api: RecordedApi, port: int
    ) -> None:
        """Take what was started; ``port`` is the brain's."""
        self.hass = hass
        self.api = api
        self._port = port
        self._house = house_entry
        self._agent = agent
        self._harness = harness

    async def ready(self, task: Any) -> None:
        """Wait until the brain, whom Home Assistant calls, can ask it back."""
        self.api.now = Recorded(sentence="", calls=[], words="Here.", good=True)
        for _ in range(50):
            await self._say(task, "what do you know about my tin?", None)
            if self.api.sees_house:
                return
            await asyncio.sleep(0.1)
        raise TimeoutError("The house's tools never came")

    async def play(self, task: Any, recorded: Recorded, tally: Tally) -> None:
        """Say a sentence to the model that was recorded, and judge the house as its publisher did."""
        self.api.now, self.api.asked_it = recorded, 0
        # An answer that was kept of one model must not be given for another.
        await _command(self._port, "cache.clear", {"all": True})
        sys.modules["custom_components.bench_home"].async_reset(self._house, task.home)
        await self.hass.async_block_till_done()
        before = self._harness.run._snapshot(self.hass, self._house)
        words, asks, conversation = await self._say(task, task.sentence, None)
        good = self._judged(task, before, words)
        times = recorded.times
        tally.of += times
        tally.published += times * recorded.good
        tally.reached += times * (self.api.asked_it > 0)
        tally.done += times * (good and not asks)
        tally.asked += times * asks
        if asks:
            spoken = await self._until_done(task, conversation)
            good = self._judged(task, before, f"{words} {spoken}")
            tally.after_yes += times * good
        tally.same += times * (good == recorded.good)
        if recorded.good and not good:
            tally.lost[f"{task.sentence} | {(words or '-')[:90]}"] += times

    async def _until_done(self, task: Any, conversation: str) -> str:
        """Say yes to each question that follows; a model may have asked for several things."""
        for _ in range(10):
            words, asks, conversation = await self._say(task, YES, conversation)
            if not asks:
                return words
        return ""

    async def _say(self, task: Any, text: str, conversation: str | None) -> tuple[str, bool, str]:
        from homeassistant.components.conversation import async_converse  # noqa: PLC0415 - see main
        from homeassistant.core import Context  # noqa: PLC0415 - the bench without it starts faster

        device = self._harness.run._device_id(self.hass, self._house, task)
        async with asyncio.timeout(LIMIT_S):
            answer = await async_converse(
                self.hass, text, conversation, Context(), "en", self._agent, device
            )
        await self.hass.async_block_till_done()
        speech = answer.response.as_dict()["speech"].get("plain", {}).get("speech", "")
        return speech, answer.continue_conversation, answer.conversation_id or ""

    def _judged(self, task: Any, before: Any, words: str) -> bool:
        after = self._harness.run._snapshot(self.hass, self._house)
        return bool(self._harness.score.judge(task, before, after, words)["good"])


@contextlib.asynccontextmanager
async def staged(task: Any, harness: Any, folder: Path) -> Any:
    """Start a house, a brain and a recorded model, and put KITTY between them."""
    options = SimpleNamespace(setup=[], hook=None, domain=None, agent="conversation.home_assistant")
    brain = BrainProcess(folder, request_rate="1000", request_burst="1000")
    await brain.start()
    try:
        async with RecordedApi.serve() as api, harness.run.house(task, options) as (hass, house, _):
            api.missing = Counter()
            await _add_model(brain.port, api)
            agent = await _add_kitty(hass, brain.port)
            yield Stage(hass, house, agent, harness, api, brain.port)
    finally:
        brain.terminate()
        await brain.ended()


async def _add_model(port: int, api: RecordedApi) -> None:
    params = {
        "provider": "openai_compatible",
        "name": "Recorded",
        "tier": "local",
        "options": {"base_url": f"{api.url}/v1", "model": MODEL, "api_key": api.key},
    }
    await _command(port, "providers.put", params)


async def _command(port: int, action: str, params: Json) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with ClientSession(f"http://127.0.0.1:{port}", headers=headers) as session:
        wish = {"action": action, "params": params}
        async with session.post("/api/v1/actions", json=wish) as answer:
            assert answer.status == 200, await answer.text()


async def _add_kitty(hass: Any, port: int) -> str:
    from homeassistant.helpers import entity_registry as er  # noqa: PLC0415 - see main
    from homeassistant.helpers.aiohttp_client import async_get_clientsession  # noqa: PLC0415 - the bench without it starts faster
    from pytest_homeassistant_custom_component.common import MockConfigEntry  # noqa: PLC0415 - the bench without it starts faster

    client = importlib.import_module("custom_components.kitty.client")
    url = f"http://127.0.0.1:{port}"
    probe = client.BrainClient(async_get_clientsession(hass), url, TOKEN)
    hello = await probe.connect()
    await probe.close()
    entry = MockConfigEntry(
        domain="kitty",
        title="Brain",
        unique_id=hello.instance_id,
        data={
            "url": url,
            "token": TOKEN,
            "instance_id": hello.instance_id,
            "brain_public_key": hello.public_key,
            "slug": None,
        },
        options={"zones": {}, "policies": {}, "people": {}, "presence": {}},
    )
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id), entry.reason
    await hass.async_block_till_done()
    entities = er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id)
    return next(one.entity_id for one in entities if one.domain == "conversation")


@contextlib.contextmanager
def without_home(*, off: bool) -> Iterator[None]:
    """Switch what the house understands without a model off, so that every sentence reaches the model."""
    home = importlib.import_module("custom_components.kitty.home").HomeCommands

    async def nothing(*_args: Any, **_more: Any) -> None:
        return None

    with patch.object(home, "answer", nothing) if off else contextlib.nullcontext():
        yield


async def replay(args: argparse.Namespace, harness: Any) -> Json:
    """Play every recording of every model, one house after the other."""
    found: Json = {}
    for dataset in args.datasets.split(","):
        recorded = recordings(args.recorded, [dataset])
        chosen = [name for name in args.models.split(",") if name]
        models = [name for _, name in recorded if not chosen or name in chosen]
        houses: dict[str, list[Any]] = defaultdict(list)
        for task in harness.dataset.load(harness.dataset.Source(args.data), dataset):
            # Two tasks may share an id; the publishers' results are those of the last.
            known = houses[_house_of(task)]
            known[:] = [one for one in known if one.published_id != task.published_id]
            known.append(task)
        tallies = {name: Tally() for name in models}
        missing: Counter[str] = Counter()
        for tasks in houses.values():
            with tempfile.TemporaryDirectory() as folder:
                async with staged(tasks[0], harness, Path(folder)) as stage:
                    with without_home(off=not args.home):
                        await stage.ready(tasks[0])
                        for task in tasks:
                            for name in models:
                                for one in recorded[dataset, name].get(task.published_id, ()):
                                    await stage.play(task, one, tallies[name])
                    missing += stage.api.missing
        found[dataset] = {name: _figures(tally) for name, tally in tallies.items()}
        found[f"{dataset}: tools that are not offered"] = dict(missing)
    return found


def _house_of(task: Any) -> str:
    """Return what tasks must share to be played in one house."""
    names = sorted(one["id"] for one in task.home["entities"])
    return json.dumps([names, str(task.context_now), task.home.get("name")])


def _figures(tally: Tally) -> Json:
    def share(count: int) -> float:
        return round(100 * count / max(1, tally.of), 1)

    return {
        "answers": tally.of,
        "published_percent": share(tally.published),
        "done_percent": share(tally.done),
        "asked_percent": share(tally.asked),
        "done_or_after_yes_percent": share(tally.done + tally.after_yes),
        "as_published_percent": share(tally.same),
        "reached_the_model_percent": share(tally.reached),
        "lost": dict(tally.lost.most_common()),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Play, print and, when asked, write the figures."""
    parser = argparse.ArgumentParser(description="Recorded models through the real road")
    parser.add_argument("--recorded", type=Path, required=True)
    parser.add_argument(
        "--nlubench", type=Path, required=True, help="folder of the external harness"
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of its data sets")
    parser.add_argument("--datasets", default="assist-mini,questions")
    parser.add_argument("--models", default="")
    parser.add_argument(
        "--home", action="store_true", help="let the house answer first, as it does"
    )
    parser.add_argument("--lost", action="store_true", help="show what was good and is so no more")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    sys.path.insert(0, str(args.nlubench.resolve()))
    harness = SimpleNamespace(
        run=importlib.import_module("nlubench.run"),
        score=importlib.import_module("nlubench.score"),
        dataset=importlib.import_module("nlubench.dataset"),
    )
    # Before anything imports Home Assistant's helpers of tests, which would bring a folder of their own.
    harness.run._prepare_custom_components([str(args.nlubench.resolve()), str(ROOT)])
    logging.disable(logging.CRITICAL)
    found = asyncio.run(replay(args, harness))
    for dataset, models in found.items():
        print(f"\n{dataset}")
        if "tools" in dataset:
            print("  ", models)
            continue
        print(
            f"  {'':24} {'answers':>7} {'published':>9} {'done':>6} {'asked':>6} {'after yes':>9} {'same':>6}"
        )
        for name, one in models.items():
            keys = ("published_percent", "done_percent", "asked_percent")
            cells = [one["answers"], *(one[key] for key in keys), one["done_or_after_yes_percent"]]
            print(f"  {name:24}", *(f"{cell:>8}" for cell in [*cells, one["as_published_percent"]]))
            for line, times in one["lost"].items() if args.lost else ():
                print(f"      {times}x {line}")
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
