"""What it costs to go through KITTY to a model: beside no gateway at all, and beside LiteLLM's proxy.

All talk to one model that thinks for no time at all, in a process of its own, by turns in the same minutes;
each road is taken with OpenAI's SDK and with bare aiohttp. The peer is installed on first use, for itself.

python -m tests.bench.gateway [--rounds N] [--json FILE]
"""

import argparse
import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
import itertools
import json
import math
import os
from pathlib import Path
import sys
import tempfile
import time
from typing import Any, Final, override

from aiohttp import ClientError, ClientSession, web
from openai import AsyncOpenAI

from brain_server.protocol import Json
from tests.bench import peers
from tests.bench.process import ROOT, TOKEN, BrainProcess
from tests.standins.model_api import Reply
from tests.standins.openai_api import OpenAIApi
from tests.standins.server import free_port

PEER_PACKAGE: Final = "litellm[proxy]==1.106.*"
PEER_KEY: Final = "sk-bench-master-key"
PEER_LIMIT: Final = 90.0
ASKED: Final = [{"role": "user", "content": "Say hello."}]
MODEL: Final = "gpt-test"
CHUNKS: Final = 51
AT_ONCE: Final = 32
WARM_UP: Final = 3
TURN: Final = 25

type Ask = Callable[[], Awaitable[Any]]
type Asks = Mapping[str, Ask]


# -- the model ----------------------------------------------------------------------------------------


class Model(OpenAIApi):
    """Answers at once: two words when asked for the whole, 51 chunks in a stream."""

    @override
    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = self.asked.pop()
        self.headers.clear()
        many = body["messages"][0]["content"].startswith("Many")
        self.reply = Reply(pieces=tuple(f"word{at} " for at in range(CHUNKS))) if many else Reply()
        if body.get("stream"):
            self.asked.append(body)
            return await super()._chat(request)
        message = {"role": "assistant", "content": "".join(self.reply.pieces), "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        usage = {"prompt_tokens": 12, "completion_tokens": 34, "total_tokens": 46}
        head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1700000000}
        return web.json_response(head | {"model": MODEL, "choices": [choice], "usage": usage})


async def serve_model() -> None:
    """Be the model until somebody ends this process."""
    async with Model.serve() as model:
        print(json.dumps({"url": model.url}), flush=True)
        await asyncio.Event().wait()


async def serve_forwarder(model: str) -> None:
    """Be the least that a gateway can be: it asks for a stream, hands on the whole, and records nothing."""

    async def forward(request: web.Request) -> web.Response:
        body = json.loads(await request.read()) | {"stream": True}
        headers = {"Authorization": f"Bearer {Model.key}"}
        async with session.post(
            f"{model}/v1/chat/completions", json=body, headers=headers
        ) as answer:
            words = [
                json.loads(line[6:])["choices"][0]["delta"].get("content", "")
                async for line in answer.content
                if b'"content"' in line
            ]
        message = {"role": "assistant", "content": "".join(words), "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1700000000}
        return web.json_response(head | {"model": MODEL, "choices": [choice]})

    app = web.Application()
    app.router.add_post("/v1/chat/completions", forward)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with ClientSession() as session:
        print(json.dumps({"url": f"http://127.0.0.1:{runner.addresses[0][1]}"}), flush=True)
        await asyncio.Event().wait()


@asynccontextmanager
async def process(
    *command: str, env: dict[str, str] | None = None, log: Path
) -> AsyncIterator[Any]:
    """Run a process for the time of a block."""
    with log.open("wb") as errors:
        made = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, env=env, stdout=asyncio.subprocess.PIPE, stderr=errors
        )
    try:
        yield made
    finally:
        with suppress(ProcessLookupError):
            made.kill()
        await made.wait()


@asynccontextmanager
async def part(folder: Path, *what: str) -> AsyncIterator[str]:
    """Run a part of this bench as a process; returns its address."""
    own = (sys.executable, "-m", "tests.bench.gateway", "--serve", *what)
    async with process(*own, log=folder / f"{what[0]}.log") as served:
        yield json.loads(await served.stdout.readline())["url"]


# -- the roads ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Road:
    """One way to the model."""

    name: str
    url: str
    key: str
    sdk: AsyncOpenAI
    session: ClientSession

    async def by_sdk(self) -> None:
        """Ask once with OpenAI's SDK."""
        done = await self.sdk.chat.completions.create(model=MODEL, messages=ASKED)  # type: ignore[arg-type]  # the double has the part that is used
        assert done.choices[0].message.content == "Hello there", done

    async def by_hand(self) -> None:
        """Ask once with aiohttp alone."""
        body = {"model": MODEL, "messages": ASKED}
        async with self.session.post("v1/chat/completions", json=body) as answer:
            done = json.loads(await answer.read())
        assert done["choices"][0]["message"]["content"] == "Hello there", done

    async def streamed(self) -> float:
        """Ask for a stream with aiohttp; returns the seconds to the first word."""
        started, first, words = time.perf_counter(), 0.0, 0
        body = {
            "model": MODEL,
            "messages": [{"role": "user", "content": "Many words."}],
            "stream": True,
        }
        async with self.session.post("v1/chat/completions", json=body) as answer:
            async for line in answer.content:
                if b'"content":' in line and b"word" in line:
                    first = first or time.perf_counter() - started
                    words += 1
        assert words == CHUNKS, (self.name, words)
        return first


@asynccontextmanager
async def road(name: str, url: str, key: str) -> AsyncIterator[Road]:
    """Open the clients of a road."""
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=30) as sdk,
        ClientSession(f"{url}/", headers=headers) as session,
    ):
        yield Road(name=name, url=url, key=key, sdk=sdk, session=session)


@asynccontextmanager
async def kitty(folder: Path, model: str) -> AsyncIterator[str]:
    """Run a brain that knows the model as one in the house; returns its address."""
    own = folder / "kitty"
    own.mkdir()
    plenty = {"request_rate": "1e6", "request_burst": "1000000", "model_slots": "64"}
    brain = BrainProcess(own, log_level="info", **plenty)
    await brain.start()
    url = f"http://127.0.0.1:{brain.port}"
    provider = {
        "provider": "openai_compatible",
        "name": MODEL,
        "options": {"base_url": model, "model": MODEL, "api_key": Model.key},
        "uses": ["reasoning", "tools"],
        "price_in": 0,
        "price_out": 0,
    }
    headers = {"Authorization": f"Bearer {TOKEN}"}
    try:
        async with ClientSession(headers=headers) as session:
            put = {"action": "providers.put", "params": provider}
            async with session.post(f"{url}/api/v1/actions", json=put) as answer:
                if answer.status != 200:
                    raise RuntimeError(await answer.text())
        yield url
    finally:
        brain.terminate()
        await brain.ended()


@asynccontextmanager
async def litellm(folder: Path, model: str) -> AsyncIterator[str]:
    """Run LiteLLM's proxy with one worker; returns its address."""
    python = await asyncio.to_thread(peers.installed, "litellm", (PEER_PACKAGE,))
    if python is None:
        raise RuntimeError("There is no LiteLLM to compare with")
    port = free_port()
    config = folder / "litellm.json"
    params = {"model": f"openai/{MODEL}", "api_base": f"{model}/v1", "api_key": Model.key}
    settings = {
        "model_list": [{"model_name": MODEL, "litellm_params": params}],
        "general_settings": {"master_key": PEER_KEY},
    }
    await asyncio.to_thread(config.write_text, json.dumps(settings), "utf-8")
    clean = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    env = clean | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    options = ("--host", "127.0.0.1", "--port", str(port), "--telemetry", "False")
    command = (str(python.with_name("litellm")), "--config", str(config), *options)
    async with process(*command, env=env, log=folder / "litellm.log"):
        url = f"http://127.0.0.1:{port}"
        await answering(f"{url}/health/liveliness")
        yield url


async def answering(url: str) -> None:
    """Wait until somebody answers."""
    async with asyncio.timeout(PEER_LIMIT), ClientSession() as session:
        while True:
            with suppress(ClientError):
                async with session.get(url) as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.2)


# -- measuring ----------------------------------------------------------------------------------------


async def timed(ask: Ask) -> float:
    """Return the milliseconds that one question takes."""
    started = time.perf_counter()
    await ask()
    return (time.perf_counter() - started) * 1000


async def one_by_one(asks: Asks, rounds: int) -> Json:
    """Ask one at a time, some by each road in turn: what else the machine does hits all alike."""
    times: dict[str, list[float]] = {name: [] for name in asks}
    for _ in range(math.ceil(rounds / TURN)):
        for name, ask in asks.items():
            for _ in range(WARM_UP):
                await ask()
            times[name] += [await timed(ask) for _ in range(TURN)]
    return {name: summary(taken) for name, taken in times.items()}


async def many(asks: Asks, rounds: int) -> Json:
    """Ask by each road with so many at once."""
    found: Json = {}
    for name, ask in asks.items():
        left = iter(range(rounds))
        await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
        started = time.perf_counter()
        taken = await asyncio.gather(*(_until_done(ask, left) for _ in range(AT_ONCE)))
        per_second = rounds / (time.perf_counter() - started)
        times = list(itertools.chain.from_iterable(taken))
        found[name] = summary(times) | {"per_second": round(per_second)}
    return found


async def _until_done(ask: Ask, left: Iterator[int]) -> list[float]:
    return [await timed(ask) for _ in left]


async def first_words(roads: Sequence[Road], rounds: int) -> Json:
    """Return the time to the first word of a stream, and to its end."""
    first: dict[str, list[float]] = {one.name: [] for one in roads}
    whole: dict[str, list[float]] = {one.name: [] for one in roads}
    for _ in range(math.ceil(rounds / TURN)):
        for one in roads:
            for number in range(WARM_UP + TURN):
                started = time.perf_counter()
                seconds = await one.streamed()
                if number >= WARM_UP:
                    first[one.name].append(seconds * 1000)
                    whole[one.name].append((time.perf_counter() - started) * 1000)
    return {name: {"first": summary(first[name]), "whole": summary(whole[name])} for name in first}


def summary(times: Sequence[float]) -> Json:
    """Return the median and the 99th percentile."""
    ordered = sorted(times)
    return {
        "n": len(ordered),
        "p50_ms": round(ordered[len(ordered) // 2], 3),
        "p99_ms": round(ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)], 3),
    }


async def measure(rounds: int) -> Json:
    """Measure all roads and return the figures."""
    async with AsyncExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        model = await opened.enter_async_context(part(folder, "model"))
        forwarder = await opened.enter_async_context(part(folder, "forwarder", model))
        roads = [
            await opened.enter_async_context(road("direct", model, Model.key)),
            await opened.enter_async_context(road("forwarder", forwarder, "none")),
            await opened.enter_async_context(
                road("kitty", await opened.enter_async_context(kitty(folder, model)), TOKEN)
            ),
            await opened.enter_async_context(
                road("litellm", await opened.enter_async_context(litellm(folder, model)), PEER_KEY)
            ),
        ]
        by_sdk = {one.name: one.by_sdk for one in roads}
        by_hand = {one.name: one.by_hand for one in roads}
        found = {
            "one_sdk": await one_by_one(by_sdk, rounds),
            "one_aiohttp": await one_by_one(by_hand, rounds),
            "stream": await first_words(
                [one for one in roads if one.name != "forwarder"], rounds // 4
            ),
            "many_sdk": await many(by_sdk, rounds),
            "many_aiohttp": await many(by_hand, rounds),
        }
    return judged(found)


def judged(found: Json) -> Json:
    """Add what the figures come to."""
    sdk, hand = found["one_sdk"], found["one_aiohttp"]
    added = {name: hand[name]["p50_ms"] - hand["direct"]["p50_ms"] for name in ("kitty", "litellm")}
    return {
        "ratio_bare_sdk_p50": round(sdk["kitty"]["p50_ms"] / sdk["direct"]["p50_ms"], 2),
        "ratio_forwarder_sdk_p50": round(sdk["forwarder"]["p50_ms"] / sdk["direct"]["p50_ms"], 2),
        "overhead_vs_litellm": round(added["kitty"] / added["litellm"], 3),
        "overhead_p50_ms": round(added["kitty"], 2),
        "overhead_p99_ms": round(hand["kitty"]["p99_ms"] - hand["direct"]["p50_ms"], 2),
        **found,
    }


def shown(found: Json) -> str:
    """Return the figures as rows for people."""
    tables = {name: table for name, table in found.items() if isinstance(table, dict)}
    streams = tables.pop("stream")
    for which in ("first", "whole"):
        tables[f"stream, {which}"] = {name: streams[name][which] for name in streams}
    roads = list(tables["one_sdk"])
    lines = [" " * 14 + "".join(f"{road:>17}" for road in roads) + "   p50 / p99 ms"]
    for name, table in tables.items():
        cells = [
            f"{table[road]['p50_ms']:.2f} / {table[road]['p99_ms']:.1f}" if road in table else ""
            for road in roads
        ]
        lines.append(f"{name:14}" + "".join(f"{cell:>17}" for cell in cells))
    lines += [f"{name} = {value}" for name, value in found.items() if not isinstance(value, dict)]
    return "\n".join(lines)


def main() -> None:
    """Measure, print and, when asked, write the figures."""
    parser = argparse.ArgumentParser(description="KITTY as a gateway to a model")
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", nargs="+", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    match wanted.serve:
        case ["model"]:
            asyncio.run(serve_model())
        case ["forwarder", model]:
            asyncio.run(serve_forwarder(model))
    if wanted.serve:
        return
    found = asyncio.run(measure(wanted.rounds))
    print(shown(found))
    if wanted.json:
        wanted.json.write_text(json.dumps(found, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
