"""Home commands without a model, beside Home Assistant's own agent, in houses made from a seed.

Every sentence names one thing in one of several ways; it is right when exactly that thing changed. With
``--nlubench DIR --data DIR`` an external harness and its data sets are run instead, both agents in turn.
"""

import argparse
import asyncio
from collections.abc import Iterator, Sequence
import contextlib
from dataclasses import dataclass
import json
import logging
import os
from pathlib import Path
import random
import subprocess
import sys
import time
from typing import Any, Final

from homeassistant.components.conversation import HOME_ASSISTANT_AGENT, async_converse
from homeassistant.core import Context, HomeAssistant
from homeassistant.helpers import frame
from homeassistant.setup import async_setup_component
from pytest_homeassistant_custom_component.common import async_test_home_assistant, mock_storage

from custom_components.kitty.home import HomeCommands
from tests.integration.home.furniture import Piece, Thing, furnish, piece
from tests.standins.server import free_port

ROOT: Final = Path(__file__).parents[2]
SETS: Final = ("assist-mini", "questions", "intents", "device-actions-v2", "device-actions-v2 room")

ROOMS: Final = (
    "Kitchen", "Living Room", "Bedroom", "Guest Bedroom", "Bathroom", "Hallway", "Study", "Nursery", "Loft",
    "Laundry", "Pantry", "Sun Room",
)  # fmt: skip
LIGHTS: Final = ("Ceiling", "Floor Lamp", "Spots", "Wall Lamp")

# How people say it: {n} is the name of the thing, {r} its room.
LIGHT_ON: Final = (
    "turn on the {n}", "switch the {n} on", "{n} on please", "could you turn on the {n} in the {r}",
    "I'd like the {n} on", "put the {n} on",
)  # fmt: skip
LIGHT_SET: Final = (
    "set the {n} to 40%",
    "dim the {n} to forty percent",
    "{n} 40%",
    "make the {n} 40 percent bright",
)
BLIND: Final = (
    "close the {r} blinds",
    "shut the blind in the {r}",
    "lower the {r} blind",
    "{r} blinds down",
)
PLUG: Final = ("power off the {n}", "{n} off", "shut off the {n}", "kill the {n}", "stop the {n}")
FAN: Final = ("turn on the fan in the {r}", "{r} fan on", "start the {r} fan")
HEAT: Final = (
    "set the {r} to 22 degrees", "make it 22 degrees in the {r}", "{r} thermostat to 22",
    "I want the {r} to be 22 degrees", "heat the {r} to 22",
)  # fmt: skip
MUSIC: Final = (
    "pause the music",
    "pause",
    "pause the speaker in the {r}",
    "stop the music please",
    "hold the music",
)
ROBOT: Final = ("start the vacuum", "vacuum the {r}", "start cleaning", "have the robot clean up")
GARAGE: Final = ("open the garage door", "open the garage", "garage door open")
LOCK: Final = ("lock the {n}", "lock up the {n}", "make sure the {n} is locked")
NEVER: Final = (
    "unlock all the doors", "lock all the locks", "turn on the swimming pool light", "open every door",
    "unlock the door", "switch on the tractor", "do not turn on the lights", "unlock the garden dor",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One sentence and what should then be different; nothing, where it is None."""

    kind: str
    text: str
    entity_id: str | None = None
    state: str | None = None
    attribute: str | None = None
    value: Any = None


def house(seed: int) -> tuple[list[Piece], dict[str, str | None], list[Task]]:
    """Return a house and what is said in it."""
    dice = random.Random(seed)
    rooms = dice.sample(ROOMS, 7)
    areas: dict[str, str | None] = {
        room: dice.choice(("Ground floor", "Upper floor")) for room in rooms
    }
    areas["Garage"] = "Ground floor"
    made: list[Piece] = []
    tasks: list[Task] = []

    def say(kind: str, shapes: Sequence[str], one: Piece, room: str, **wanted: Any) -> None:
        for shape in dice.sample(shapes, min(3, len(shapes))):
            text = shape.format(n=one.name, r=room)
            tasks.append(Task(kind=kind, text=text, entity_id=one.entity_id, **wanted))

    def put(one: Piece) -> Piece:
        made.append(one)
        return one

    for room in rooms:
        lamp = put(piece("light", f"{room} {dice.choice(LIGHTS)}", room))
        say("light", LIGHT_ON, lamp, room, state="on")
        say("brightness", LIGHT_SET, lamp, room, attribute="brightness", value=102)
    blind = put(piece("cover", "Roller", rooms[0], device_class="blind", position=100))
    say("blind", BLIND, blind, rooms[0], state="closed")
    plug = put(
        piece("switch", dice.choice(("Kettle", "Heater Plug", "Fish Tank")), rooms[1], on=True)
    )
    say("switch", PLUG, plug, rooms[1], state="off")
    say("fan", FAN, put(piece("fan", "Ventilator", rooms[2])), rooms[2], state="on")
    for room in rooms[:2]:
        heater = put(piece("climate", f"{room} Warmth", room))
        say("temperature", HEAT, heater, room, attribute="temperature", value=22)
    speaker = put(
        piece("media_player", "Loudspeaker", rooms[3], device_class="speaker", state="playing")
    )
    put(piece("media_player", "Screen", rooms[3], device_class="tv", state="off"))
    say("media", MUSIC, speaker, rooms[3], state="paused")
    say("vacuum", ROBOT, put(piece("vacuum", "Robbie", rooms[4])), rooms[4], state="cleaning")
    door = put(piece("cover", "Door Opener", "Garage", device_class="garage"))
    say("garage", GARAGE, door, "Garage", state="open")
    for name in ("Garden Door", "Front Door"):
        say(
            "lock", LOCK, put(piece("lock", name, rooms[5], locked=False)), rooms[5], state="locked"
        )
    tasks += [Task(kind="never", text=text) for text in NEVER]
    return made, areas, tasks


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the logs of two agents that fail on purpose out of the figures."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


async def measure(seed: int, agent: str) -> list[tuple[str, bool, bool, float]]:
    """Return, for each sentence: kind, right or not, whether another thing changed, milliseconds."""
    pieces, areas, tasks = house(seed)
    rows = []
    with mock_storage():
        async with async_test_home_assistant() as hass:
            frame.async_setup(hass)
            config = {"http": {"server_host": ["127.0.0.1"], "server_port": free_port()}}
            for component in ("http", "homeassistant", "conversation"):
                assert await async_setup_component(hass, component, config)
            things = await furnish(hass, pieces, areas)
            commands = HomeCommands(hass)
            stop = commands.start()
            await _say(hass, commands, agent, "what time is it")
            for task in tasks:
                _reset(things)
                before = _states(hass)
                started = time.perf_counter()
                await _say(hass, commands, agent, task.text)
                took = (time.perf_counter() - started) * 1000
                await hass.async_block_till_done()
                right, wrong = _judge(hass, task, before, _states(hass))
                rows.append((task.kind, right, wrong, took))
            stop()
            await hass.async_stop(force=True)
    return rows


def _reset(things: dict[str, Thing]) -> None:
    """Put every thing back to how it was made."""
    for thing in things.values():
        type(thing).__init__(thing, thing.made)
        thing.async_write_ha_state()


def _states(hass: HomeAssistant) -> dict[str, str]:
    """Return every state."""
    return {one.entity_id: one.state for one in hass.states.async_all()}


def _judge(
    hass: HomeAssistant, task: Task, before: dict[str, str], after: dict[str, str]
) -> tuple[bool, bool]:
    """Tell whether what was wanted is so, and whether anything else changed."""
    skip = ("conversation.", task.entity_id or "conversation.")
    wrong = any(after[name] != was for name, was in before.items() if not name.startswith(skip))
    if task.entity_id is None:
        return not wrong, wrong
    state = hass.states.get(task.entity_id)
    assert state is not None
    shown = state.attributes.get(task.attribute) if task.attribute else state.state
    return shown == (task.value if task.attribute else task.state) and not wrong, wrong


async def _say(hass: HomeAssistant, commands: HomeCommands, agent: str, text: str) -> None:
    """Say a sentence to one of the two."""
    if agent == "kitty":
        await commands.answer(text, "en", Context())
    else:
        await async_converse(hass, text, None, Context(), "en", HOME_ASSISTANT_AGENT)


def summary(rows: Sequence[tuple[str, bool, bool, float]]) -> dict[str, Any]:
    """Return the figures of one agent."""
    times = sorted(took for *_rest, took in rows)
    return {
        "n": len(rows),
        "right_percent": round(100 * sum(right for _, right, _, _ in rows) / len(rows), 1),
        "wrong_thing_percent": round(100 * sum(wrong for _, _, wrong, _ in rows) / len(rows), 2),
        "p50_ms": round(times[len(times) // 2], 2),
        "p99_ms": round(times[min(len(times) - 1, len(times) * 99 // 100)], 2),
    }


def own(houses: int, seed: int) -> dict[str, Any]:
    """Measure both agents in several houses."""
    found: dict[str, Any] = {}
    with _quiet():
        rows = {
            agent: [
                row
                for number in range(houses)
                for row in asyncio.run(measure(seed + number, agent))
            ]
            for agent in ("kitty", "home_assistant")
        }
    for kind in ("all", *dict.fromkeys(kind for kind, *_rest in rows["kitty"])):
        found[kind] = {
            agent: summary([row for row in mine if kind in ("all", row[0])])
            for agent, mine in rows.items()
        }
    return found


def external(harness: Path, data: Path, every: int) -> dict[str, Any]:
    """Run an external harness for both agents and return its last lines."""
    found: dict[str, Any] = {}
    agents = {
        "kitty": ["--components", str(ROOT), "--domain", "kitty", "--entry-data", "{}"],
        "home_assistant": [],
    }
    for name in SETS:
        dataset, _, room = name.partition(" ")
        command = [sys.executable, "-m", "nlubench.run", "--data", str(data), "--datasets", dataset]
        command += ["--context", "room"] if room else []
        command += ["--every", str(every)] if dataset.startswith("device") else []
        for agent, more in agents.items():
            done = subprocess.run(
                [*command, *more],
                check=True,
                capture_output=True,
                text=True,
                env=os.environ | {"PYTHONPATH": str(harness)},
                cwd=ROOT / ".cache",
            )
            lines = done.stdout.strip().splitlines()
            found[f"{name}: {agent}"] = [
                line for line in lines if "published" in line or "p50" in line
            ]
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and, when asked, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--houses", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--nlubench", type=Path, help="folder of the external harness")
    parser.add_argument("--data", type=Path, help="folder of its data sets")
    parser.add_argument(
        "--every", type=int, default=1, help="take one of so many of the large sets"
    )
    parser.add_argument("--json", type=Path)
    wanted = parser.parse_args(argv)
    if wanted.nlubench and wanted.data:
        found = external(wanted.nlubench.resolve(), wanted.data.resolve(), wanted.every)
        for name, lines in found.items():
            print(name, *lines, sep="\n    ")
    else:
        found = own(wanted.houses, wanted.seed)
        print(f"{'':12} {'n':>5} {'right %':>16} {'wrong thing %':>16} {'p50 ms':>14} {'ratio':>6}")
        for kind, both in found.items():
            mine, theirs = both["kitty"], both["home_assistant"]
            cells = [
                f"{mine[key]:>7} {theirs[key]:>7}"
                for key in ("right_percent", "wrong_thing_percent", "p50_ms")
            ]
            ratio = mine["p50_ms"] / theirs["p50_ms"]
            print(f"{kind:12} {mine['n']:>5} {' '.join(cells)} {ratio:>6.2f}")
    if wanted.json:
        wanted.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
