"""How much a plan of the queue saves, how near it is to the best there is, and how long it takes.

``python -m tests.bench.queue [--sizes 20,100,500] [--seeds N] [--limit S] [--json FILE]``

The queues are made from a seed (``queues``), not taken from life. Changes and deadlines are compared with first
come, first served under the same rules; small queues with every plan there is; times are those of the whole road:
the problem to the process and the plan back, the process being there already, and once with its start.
"""

import argparse
import asyncio
from collections.abc import Sequence
import json
from pathlib import Path
import sys
import time
from typing import Any

import msgspec

from brain_server.fabrication.plan import Score, Table, first_come, kept
from brain_server.fabrication.planner import Planner
from brain_server.fabrication.solve import solve
from brain_server.observability import Tasks
from tests.bench.queues import SHAPES, queue
from tests.brain.fabrication.test_planner import every_plan, small


async def compare(planner: Planner, size: int, seeds: int, limit_s: float) -> dict[str, Any]:
    """Return how plans of one size compare with first come, shape by shape."""
    shapes: dict[str, Any] = {}
    seconds, proven, broken = [], 0, 0
    for shape in SHAPES:
        pairs: list[tuple[Score, Score]] = []
        for seed in range(seeds):
            made = queue(shape, size, seed, limit_s=limit_s, printers=5 if size > 100 else 3)
            table, yard = Table(made), first_come(made)
            guarded = kept(table, yard)
            started = time.perf_counter()
            plan = await planner.plan(made)
            seconds.append(time.perf_counter() - started)
            proven += plan.proven
            score = table.score(plan.places, guarded)
            broken += score.broken
            pairs.append((table.score(yard.places, guarded), score))
        before, after = (sum(pair[at].changes for pair in pairs) for at in (0, 1))
        shapes[shape] = {
            "changes": [before, after],
            "fewer_percent": round(100 * (1 - after / before), 1),
            "missed": [sum(pair[at].missed for pair in pairs) for at in (0, 1)],
            "hours_until_done": [
                round(sum(pair[at].ends for pair in pairs) / 60 / size / seeds, 1) for at in (0, 1)
            ],
        }
    return {
        "shapes": shapes,
        "broken": broken,
        "proven": f"{proven} of {len(seconds)}",
        "seconds": {
            "median": round(sorted(seconds)[len(seconds) // 2], 2),
            "most": round(max(seconds), 2),
        },
    }


def brute(count: int) -> dict[str, Any]:
    """Return how often a small plan is as good as the best of all."""
    best = 0
    for seed in range(count):
        made = small(seed)
        table, yard = Table(made), first_come(made)
        guarded = kept(table, yard)
        fed = [one for one in made.items if one.id not in yard.short]
        wanted = min(
            table.score(places, guarded)
            for places in every_plan(msgspec.structs.replace(made, items=fed))
        )
        best += table.score(solve(made).places, guarded) == wanted
    return {"queues": count, "as good as the best of all": best}


async def measure(sizes: Sequence[int], seeds: int, limit_s: float) -> dict[str, Any]:
    """Return all figures."""
    tasks = Tasks()
    planner = Planner(tasks)
    started = time.perf_counter()
    await planner.plan(queue("mixed", 5, 0, limit_s=limit_s))
    figures: dict[str, Any] = {"first_plan_s": round(time.perf_counter() - started, 2)}
    figures["brute force"] = await asyncio.to_thread(brute, 30)
    for size in sizes:
        figures[str(size)] = await compare(planner, size, seeds, limit_s)
    figures["process_rss_mb"] = _rss(planner.pid)
    await planner.stop()
    await tasks.stop()
    return figures


def _rss(pid: int | None) -> int | None:
    """Return the megabytes of a process."""
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    return next(
        (int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmRSS")),
        None,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and, when asked, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="20,100,500")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--limit", type=float, default=3.0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    sizes = [int(size) for size in args.sizes.split(",")]
    figures = asyncio.run(measure(sizes, args.seeds, args.limit))
    print(json.dumps(figures, indent=1))
    if args.json is not None:
        args.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
