"""How long the rules take to understand a sentence in a home of a hundred devices.

python -m tests.bench.understand [--devices N] [--rounds N] [--json FILE]
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from itertools import count, islice, product
import json
from pathlib import Path
import time

from brain_server.conversation.rules import Named, compile_home, understand
from brain_server.conversation.rules.names import CompiledHome
from brain_server.protocol import INTENTS, Kind
from tests.brain.conversation.rules.cases import cases, lines
from tests.brain.conversation.rules.shop import HOME, WORKSHOP

PLACES = ("north", "south", "upper", "lower", "attic", "cellar", "studio", "porch")
THINGS = (
    (Kind.DOOR, "hatch door"),
    (Kind.POWER, "lathe power"),
    (Kind.LIGHT, "wall light"),
    (Kind.PRINTER, "ender printer"),
)


def home(devices: int) -> CompiledHome:
    """Return the workshop of the tests with as many devices as asked for."""
    more = (
        Named(
            id=f"d{number}",
            name=f"{place.title()} {what} {number}",
            kind=kind,
            area_id=area.id,
            capabilities=frozenset(name for name, spec in INTENTS.items() if spec.kind is kind),
            files=tuple(f"part_{index}_v{number}.gcode" for index in range(50)),
        )
        for number, (area, place, (kind, what)) in zip(
            count(), product(HOME.areas, PLACES, THINGS), strict=False
        )
    )
    added = tuple(islice(more, max(0, devices - len(HOME.devices))))
    return compile_home(replace(HOME, devices=HOME.devices + added))


def measure(compiled: CompiledHome, sentences: Sequence[str], rounds: int) -> list[float]:
    """Return the microseconds that every understanding took, in order of length."""
    times = []
    for _ in range(rounds):
        for sentence in sentences:
            started = time.perf_counter_ns()
            understand(sentence, compiled, WORKSHOP)
            times.append((time.perf_counter_ns() - started) / 1000)
    return sorted(times)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and, when asked, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    started = time.perf_counter()
    compiled = home(args.devices)
    compiling = time.perf_counter() - started
    tables = ("commands.txt", "questions.txt", "paraphrases.txt")
    sentences = [case.sentence for name in tables for case in cases(name)] + lines("refused.txt")
    times = measure(compiled, sentences, args.rounds)
    figures = {
        "devices": len(compiled.home.devices),
        "sentences": len(sentences),
        "compile_ms": round(compiling * 1000, 1),
        "p50_us": round(times[len(times) // 2], 1),
        "p99_us": round(times[len(times) * 99 // 100], 1),
        "max_us": round(times[-1], 1),
    }
    print(" ".join(f"{name}={value}" for name, value in figures.items()))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
