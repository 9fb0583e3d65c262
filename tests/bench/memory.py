"""How fast memory is, beside a bare scan and BM25, and how much of what was told it finds.

``python -m tests.bench.memory [--sizes 1000,10000,100000] [--rounds N] [--dialogues N] [--json FILE]``

Speed: random vectors of 384 numbers, two namespaces; a search is the whole recall, from the vector of the
question to the rows of the answer. Recall: dialogues made from templates, not from life, asked with the small
made model of sentences (its words are known to it), with words alone, and with rank_bm25.
"""

import argparse
import asyncio
from collections.abc import Sequence
import json
import os
from pathlib import Path
import resource
import sys
import tempfile
import time
from typing import Any, Final

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from brain_server.bus import Bus
from brain_server.memory import HOUSE, Embedder, Memory, New, Source, Vector
from brain_server.memory.lexical import Index
from brain_server.observability import Tasks
from tests.bench import peers
from tests.bench.meanings import Chance, Given, brain_database, sentences, spread
from tests.brain.memory.dialogues import Dialogue, dialogues

WIDTH: Final = 384
FOUND: Final = (1, 5, 10)
NAME: Final = "bench/chance"


def text_of(number: int) -> str:
    """Return one of many different memories."""
    colour = ("red", "blue", "green", "grey", "black")[number % 5]
    return f"the {colour} box number {number} with {number % 97} screws is on shelf {number % 311}"


async def speed(size: int, rounds: int) -> dict[str, Any]:
    """Fill a memory, search it, and search the same vectors and texts without anything around."""
    model, tasks = Chance(WIDTH), Tasks()
    with tempfile.TemporaryDirectory() as folder:
        async with brain_database(Path(folder)) as database:
            embedder = Embedder(database, lambda: Source(name=NAME, model=model), tasks, time.time)
            memory = Memory(database, embedder, Bus(), tasks, time.time)
            new = [New(text=text_of(at), source="import", trust="system") for at in range(size)]
            started = time.perf_counter()
            await memory.remember_many("ada", new[: size // 2])
            await memory.remember_many(HOUSE, new[size // 2 :])
            filling = time.perf_counter() - started
            near = [Vector(embedder=NAME, values=one) for one in model.vectors(rounds)]
            asked = [f"where is box number {at * 7}" for at in range(rounds)]
            memory._keeper.complete = NAME  # no row misses its vector
            opening = time.perf_counter()
            await memory.recall(["ada", HOUSE], Given(asked[0], near[0]), 5, -1.0)
            opening = time.perf_counter() - opening
            matrix, ours, bare = model.vectors(size), [], []
            for text, vector in zip(asked, near, strict=True):  # in turn: both meet the same noise
                ours.append(await timed(memory, text, vector))
                bare.append(bare_scan(matrix, vector))
            del matrix
            one = await rate_of_one(memory, min(rounds, 100))
            lexicon = [await timed(memory, text, None) for text in asked[: min(rounds, 30)]]
            await memory.stop()
        await tasks.stop()
    words = own_index(new, asked[: min(rounds, 30)])
    return {
        "recall": spread(ours),
        "bare numpy scan": spread(bare),
        "by words": spread(lexicon[1:] or lexicon),
        "own BM25 alone": spread(words),
        "first_search_ms": round(opening * 1000, 1),
        "inserted_per_s": round(size / filling),
        "one_insert_ms": one,
        "rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


async def timed(memory: Memory, text: str, vector: Vector | None) -> float:
    """Return the milliseconds of one recall."""
    started = time.perf_counter()
    await memory.recall(["ada", HOUSE], Given(text, vector), 5, -1.0)
    return (time.perf_counter() - started) * 1000


async def rate_of_one(memory: Memory, count: int) -> dict[str, float]:
    """Return how long it takes to remember single things, each with its own commit."""
    times = []
    for at in range(count):
        started = time.perf_counter()
        await memory.remember("bob", f"single thing {at}", "said", "person")
        times.append((time.perf_counter() - started) * 1000)
    return spread(times)


def bare_scan(matrix: Any, near: Vector) -> float:
    """Return the milliseconds of a product and a partition, over a matrix that is there already."""
    started = time.perf_counter()
    scores = matrix @ near.values
    best = np.argpartition(scores, len(scores) - 20)[-20:]
    sorted(best.tolist(), key=lambda at: -scores[at])
    return (time.perf_counter() - started) * 1000


def own_index(new: Sequence[New], asked: Sequence[str]) -> list[float]:
    """Return the milliseconds of a search by words, without rows."""
    index, times = Index(), []
    for at, one in enumerate(new):
        index.add(str(at), one.text)
    for text in asked:
        started = time.perf_counter()
        index.search(text, 20)
        times.append((time.perf_counter() - started) * 1000)
    return times


def bm25_speed(size: int, rounds: int) -> dict[str, float] | None:
    """Return how long rank_bm25 takes for the same texts."""
    given = {
        "texts": [text_of(at) for at in range(size)],
        "queries": [f"where is box number {at * 7}" for at in range(min(rounds, 30))],
        "most": 20,
    }
    done = peers.run("bm25", given)
    return spread(done["ms"]) if done is not None else None


async def found_by(source: Source | None, made: Sequence[Dialogue]) -> dict[str, float]:
    """Return the part of the questions whose evidence is among the first memories."""
    tasks, hits, asked = Tasks(), dict.fromkeys(FOUND, 0), 0
    with tempfile.TemporaryDirectory() as folder:
        async with brain_database(Path(folder)) as database:
            embedder = Embedder(database, lambda: source, tasks, time.time)
            memory = Memory(database, embedder, Bus(), tasks, time.time)
            for number, dialogue in enumerate(made):
                new = [New(text=one, source="file", trust="person") for one in dialogue.turns]
                ids = await memory.remember_many(f"d{number}", new)
                vectors = await embedder.embed_many([one.text for one in dialogue.questions])
                for question, vector in zip(dialogue.questions, vectors, strict=True):
                    meaning = Given(question.text, vector)
                    found = await memory.recall([f"d{number}"], meaning, max(FOUND), -1.0)
                    places = [ids.index(one.id) for one in found]
                    asked += 1
                    for most in FOUND:
                        hits[most] += not question.evidence.isdisjoint(places[:most])
            await memory.stop()
        await tasks.stop()
    return {f"@{most}": round(count / asked, 3) for most, count in hits.items()}


def bm25_found(made: Sequence[Dialogue]) -> dict[str, float] | None:
    """Return the same for rank_bm25."""
    hits, asked = dict.fromkeys(FOUND, 0), 0
    for dialogue in made:
        queries = [one.text for one in dialogue.questions]
        given = {"texts": dialogue.turns, "queries": queries, "most": max(FOUND)}
        if (done := peers.run("bm25", given)) is None:
            return None
        for question, places in zip(dialogue.questions, done["found"], strict=True):
            asked += 1
            for most in FOUND:
                hits[most] += not question.evidence.isdisjoint(places[:most])
    return {f"@{most}": round(count / asked, 3) for most, count in hits.items()}


async def measure(sizes: Sequence[int], rounds: int, count: int) -> dict[str, Any]:
    """Return all figures."""
    figures: dict[str, Any] = {"speed": {}}
    for size in sizes:
        part = figures["speed"][str(size)] = await speed(size, rounds)
        part["rank_bm25"] = await asyncio.to_thread(bm25_speed, size, rounds)
        part["recall / bare scan"] = round(
            part["recall"]["p50_ms"] / part["bare numpy scan"]["p50_ms"], 2
        )
    made = list(dialogues(count))
    with tempfile.TemporaryDirectory() as folder:
        async with sentences(Path(folder)) as source:
            by_meaning = await found_by(source, made)
            name = source.name
    figures["recall"] = {
        "questions": sum(len(one.questions) for one in made),
        "turns": sum(len(one.turns) for one in made),
        "model": name,
        "hybrid": by_meaning,
        "by words": await found_by(None, made),
        "rank_bm25": await asyncio.to_thread(bm25_found, made),
    }
    return figures


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and, when asked, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="1000,10000,100000")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--dialogues", type=int, default=10)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    sizes = [int(size) for size in args.sizes.split(",")]
    figures = asyncio.run(measure(sizes, args.rounds, args.dialogues))
    print(json.dumps(figures, indent=1))
    if args.json is not None:
        args.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
