"""How long a look into the kept answers takes, beside GPTCache, and how often it gives a wrong one.

``python -m tests.bench.cache [--sizes 1000,10000,100000] [--count N] [--json FILE]``

Lookups: all entries in one scope, the worst case; vectors of 384 numbers that are known beforehand on both
sides, so that no model is in the figures. Wrong answers: pairs of questions written by hand, with the small made
model of sentences on both sides; ``held_out`` was written after the words of the cache were settled.
"""

import argparse
import asyncio
from collections.abc import Sequence
import json
from pathlib import Path
import random
import sys
import tempfile
import time
from typing import Any, Final

from brain_server.memory import Embedder, Source, Vector
from brain_server.memory.cache import Answers
from brain_server.memory.facts import facts
from brain_server.metrics import resident
from brain_server.observability import Tasks
from brain_server.storage import Database
from tests.bench import peers
from tests.bench.meanings import Chance, Given, brain_database, sentences, spread
from tests.brain.memory.pairs import Pair, pairs

WIDTH: Final = 384
NAME: Final = "bench/chance"
ROOM: Final = 1_000_000_000
THRESHOLDS: Final = (0.6, 0.7, 0.8, 0.9)
SCOPE: Final = "s" * 64
WORDS: Final = """
tower river battery castle engine garden museum violin harbour desert planet carpet bridge pepper magnet lantern
rocket mirror turtle candle helmet ladder marble needle orchid pillow quartz ribbon saddle tunnel velvet walnut
""".split()  # noqa: SIM905 - a list of words


def question(number: int) -> str:
    """Return one of many questions that are all about something else."""
    chance = random.Random(number)
    return f"how tall is the {chance.choice(WORDS)} {chance.choice(WORDS)} number {number}"


async def lookups(database: Database, size: int, count: int) -> dict[str, Any]:
    """Fill a cache and look into it in four ways."""
    tasks, model = Tasks(), Chance(WIDTH)
    embedder = Embedder(database, lambda: Source(name=NAME, model=model), tasks, time.time)
    answers = Answers(database, embedder, tasks, time.time, most_bytes=ROOM)
    await answers._calibrate(NAME)
    known = [Vector(embedder=NAME, values=one) for one in model.vectors(size)]
    before = await asyncio.to_thread(resident)
    started = time.perf_counter()
    for at, vector in enumerate(known):
        answer = {"text": f"It is {at} metres tall."}
        await answers.keep(SCOPE, "model", Given(question(at), vector), answer)
    filling = time.perf_counter() - started
    grown = await asyncio.to_thread(resident) - before
    picks = random.Random(3).sample(range(size), count)
    figures: dict[str, Any] = {
        "exact": spread([await timed(answers, question(at), known[at]) for at in picks]),
        "similar": spread(
            [await timed(answers, f"Could you tell me {question(at)}?", known[at]) for at in picks]
        ),
        "other facts": spread(
            [await timed(answers, question(size + at), known[0]) for at in range(count)]
        ),
        "same facts, other meaning": spread(
            [await timed(answers, f"so {question(at)}", known[at - 1]) for at in picks]
        ),
    }
    hits = answers.hits
    told = answers._size
    touching = time.perf_counter()
    answers.touch("model")
    figures |= {
        "touch_ms": round((time.perf_counter() - touching) * 1000, 3),
        "kept_per_s": round(size / filling),
        "bytes_each": round(grown / size),
        "bytes_each_told": round(told / size),
        "hits": hits,
        "expected_hits": 2 * count,
    }
    await tasks.stop()
    return figures


async def timed(answers: Answers, text: str, vector: Vector) -> float:
    """Return the milliseconds of one look."""
    meaning = Given(text, vector)
    started = time.perf_counter()
    await answers.find(SCOPE, meaning)
    return (time.perf_counter() - started) * 1000


async def judged(database: Database, source: Source, given: Sequence[Pair]) -> dict[str, Any]:
    """Return how often the second question of a pair gets the answer of the first, ours and others'."""
    tasks = Tasks()
    embedder = Embedder(database, lambda: source, tasks, time.time)
    answers = Answers(database, embedder, tasks, time.time, most_bytes=ROOM)
    await answers._calibrate(source.name)
    texts = sorted({text for pair in given for text in (pair.one, pair.other)})
    found = await embedder.embed_many(texts, limit=60)
    vectors = {text: one for text, one in zip(texts, found, strict=True) if one is not None}
    ours = []
    for at, pair in enumerate(given):
        await answers.keep(f"pair {at}", "model", Given(pair.one, vectors[pair.one]), "x")
        hit = await answers.find(f"pair {at}", Given(pair.other, vectors[pair.other]))
        ours.append(hit is not None)
    near = [float(vectors[one.one].values @ vectors[one.other].values) for one in given]
    ask = {
        "pairs": [(pair.one, pair.other) for pair in given],
        "vectors": {text: one.values.tolist() for text, one in vectors.items()},
        "width": len(next(iter(vectors.values())).values),
    }
    theirs = await asyncio.to_thread(peers.run, "gptcache_run", ask)
    await tasks.stop()
    return {
        "same": sum(pair.same for pair in given),
        "different": sum(not pair.same for pair in given),
        "ours": rates(given, ours),
        "facts alone": rates(given, [facts(one.one) == facts(one.other) for one in given]),
        "GPTCache 0.1.44": rates(given, theirs) if theirs is not None else None,
        **{
            f"cosine alone, {line}": rates(given, [one >= line for one in near])
            for line in THRESHOLDS
        },
    }


def rates(given: Sequence[Pair], hits: Sequence[bool]) -> dict[str, float]:
    """Return the part of the same that is found, and the part of the different that is wrongly found."""
    same = [hit for pair, hit in zip(given, hits, strict=True) if pair.same]
    other = [hit for pair, hit in zip(given, hits, strict=True) if not pair.same]
    return {
        "found": round(sum(same) / len(same), 3),
        "false": round(sum(other) / len(other), 3),
        "false_of_hits": round(sum(other) / max(1, sum(hits)), 3),
    }


async def measure(sizes: Sequence[int], count: int) -> dict[str, Any]:
    """Return all figures."""
    figures: dict[str, Any] = {"lookup": {}, "pairs": {}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with brain_database(folder) as database:
            for size in sizes:
                figures["lookup"][str(size)] = await lookups(database, size, min(count, size // 4))
            async with sentences(folder) as source:
                figures["pairs"]["model"] = source.name
                for kind in ("pairs", "held_out"):
                    given = pairs(f"{kind}.txt")
                    figures["pairs"][kind] = await judged(database, source, given)
    theirs = await asyncio.to_thread(
        peers.run, "gptcache_run", {"sizes": sizes, "width": WIDTH, "count": min(count, 100)}
    )
    for size, kinds in (theirs or {}).items():
        part = figures["lookup"][size]
        part["GPTCache 0.1.44"] = {kind: spread(times) for kind, times in kinds.items()}
        slow, quick = part["GPTCache 0.1.44"]["similar"], part["similar"]
        part["GPTCache / ours"] = {
            which: round(slow[which] / quick[which], 1) for which in ("p50_ms", "p99_ms")
        }
    return figures


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and, when asked, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="1000,10000,100000")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    sizes = [int(size) for size in args.sizes.split(",")]
    figures = asyncio.run(measure(sizes, args.count))
    print(json.dumps(figures, indent=1))
    if args.json is not None:
        args.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
