"""Assist, from text to reply: KITTY's first tier beside Home Assistant's own agent, in the same house.

Home Assistant's agent gets the raw lock and relay under the names by which KITTY knows its own, so that
neither has to go through the other. KITTY's actions include the gate: request, audit on disk, signed
grant, the service call, and the state that is then observed.

Then the first word of a model: through Assist, the integration, the brain and the provider's API, beside
the same stand-in for a model asked directly.
"""

import argparse
import asyncio
import json
from pathlib import Path
import time
from typing import Final

from aiohttp import ClientSession

from script.house import config
from script.house.house import ROOT, House
from script.house.mind import add_model
from script.house.model import KEY, MODEL
from script.house.people import Json, Person
from script.house.visit import Visit

SENTENCES: Final = {
    "is the workshop door locked?": "question",
    "is the laser on?": "question",
    "lock the workshop door": "action",
    "turn off the laser": "action",
}
BUILT_IN: Final = "conversation.home_assistant"
WARM_UP: Final = 10


class Failed(RuntimeError):
    """An agent did not understand, so that its time means nothing."""


async def timed(person: Person, agent: str, text: str) -> float:
    """Return the milliseconds from text to reply."""
    started = time.perf_counter()
    answer = await person.ws("conversation/process", text=text, language="en", agent_id=agent)
    took = (time.perf_counter() - started) * 1000
    response = answer["response"]
    if response["response_type"] == "error":
        raise Failed(f"{agent}: {text!r} gave {response['speech']['plain']['speech']!r}")
    return took


def summary(times: list[float]) -> Json:
    """Return the median and the 99th percentile."""
    ordered = sorted(times)
    return {
        "n": len(ordered),
        "p50_ms": round(ordered[len(ordered) // 2], 2),
        "p99_ms": round(ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)], 2),
    }


def compared(kitty: list[float], built_in: list[float]) -> Json:
    """Return both summaries and how many times longer KITTY takes."""
    mine, theirs = summary(kitty), summary(built_in)
    ratio = {key: round(mine[key] / theirs[key], 2) for key in ("p50_ms", "p99_ms")}
    return {"kitty": mine, "home_assistant": theirs, "ratio": ratio}


async def furnish(house: House) -> None:
    """Give Home Assistant's agent the raw things, under the names of KITTY's."""
    ws = house.demo.ws
    for raw, name in ((config.BOLT, "Workshop door"), (config.RELAY, "Laser")):
        await ws("config/entity_registry/update", entity_id=raw, name=name, hidden_by=None)
    for entities, expose in (
        ((config.BOLT, config.RELAY), True),
        ((config.DOOR, config.CABINET, config.LASER), False),
    ):
        await ws(
            "homeassistant/expose_entity",
            assistants=["conversation"],
            entity_ids=list(entities),
            should_expose=expose,
        )


async def first_words(house: House, rounds: int) -> Json:
    """Return the time to a model's first word through Home Assistant, and directly."""
    visit = Visit(house)
    visit.model.pause = 0.005
    await visit.model.start()
    try:
        await add_model(visit)
        through, direct = [], []
        async with ClientSession() as session:
            for number in range(rounds + WARM_UP):
                # Another question each time, so that no kept answer stands in for the model.
                text = f"Why does plastic shrink in the cold, for the {number}th time?"
                started = time.perf_counter()
                answer = await house.demo.say(text)
                both = (
                    (answer.first_heard - started) * 1000,
                    await asked_directly(session, visit.model.url, text),
                )
                if number >= WARM_UP:
                    through.append(both[0])
                    direct.append(both[1])
    finally:
        await visit.model.stop()
    return compared(through, direct)


async def asked_directly(session: ClientSession, url: str, text: str) -> float:
    """Return the milliseconds to the model's first word."""
    started, first = time.perf_counter(), 0.0
    body = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": text}]}
    headers = {"Authorization": f"Bearer {KEY}"}
    async with session.post(f"{url}/v1/chat/completions", json=body, headers=headers) as answer:
        async for line in answer.content:
            if b'"content"' in line:
                first = first or (time.perf_counter() - started) * 1000
    return first


async def measure(rounds: int) -> Json:
    """Ask both agents everything, in turns, and return the figures."""
    house = await House(ROOT / ".cache" / "bench" / "house").open(fresh=True)
    try:
        await furnish(house)
        agents = {"kitty": await house.agent(), "home_assistant": BUILT_IN}
        times: dict[tuple[str, str], list[float]] = {
            (name, text): [] for name in agents for text in SENTENCES
        }
        for number in range(rounds + WARM_UP):
            for text in SENTENCES:
                for name, agent in agents.items():
                    took = await timed(house.demo, agent, text)
                    if number >= WARM_UP:
                        times[name, text].append(took)
        words = await first_words(house, min(rounds, 50))
    finally:
        await house.close()
    found: Json = {
        text: compared(times["kitty", text], times["home_assistant", text]) for text in SENTENCES
    }
    for kind in ("question", "action"):
        texts = [text for text, one in SENTENCES.items() if one == kind]
        both = [[took for text in texts for took in times[name, text]] for name in agents]
        found[f"all {kind}s"] = compared(*both)
    return found | {"first word, beside direct": words}


def main() -> None:
    """Measure, print and, when asked, write the figures."""
    parser = argparse.ArgumentParser(description="Assist: KITTY beside the built-in agent")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--json", type=Path)
    wanted = parser.parse_args()
    found = asyncio.run(measure(wanted.rounds))
    print(f"{'':32} {'KITTY p50':>10} {'p99':>8} {'built-in p50':>13} {'p99':>8} {'ratio p50':>10}")
    for text, row in found.items():
        kitty, built_in = row["kitty"], row["home_assistant"]
        print(
            f"{text:32} {kitty['p50_ms']:>10} {kitty['p99_ms']:>8}"
            f" {built_in['p50_ms']:>13} {built_in['p99_ms']:>8} {row['ratio']['p50_ms']:>10}"
        )
    if wanted.json:
        wanted.json.write_text(json.dumps(found, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
