"""Which questions are worth the dearer model: KITTY's router beside chance, length and a learned baseline.

``script/bench router [--outcomes CSV] [--pairs weak:strong,...] [--all] [--routellm DIR] [--rated CSV] [--json FILE]``

--outcomes   a table of dataset,model,ha_version,task,good,total: how often models did well on sentences to a home
--routellm   the folder routellm/evals of RouteLLM, with mmlu/responses/*.csv and gsm8k/gsm8k_responses.csv
--rated      a table of mean_logprob,good: the confidence curve of your own model from answers that you rated
Without outcomes it runs on sentences and outcomes of its own, drawn by lot with a fixed seed, and says so.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
import csv
import json
import math
from pathlib import Path
import random
from statistics import mean, median
from typing import Final

from brain_server.protocol import Json
from brain_server.routing.judge import CURVE, Curve, calibrate, squash
from tests.bench.scores import (
    Row,
    apart,
    apgr,
    by_brevity,
    by_chance,
    by_length,
    by_rules,
    calibration_error,
    crossed,
    fit_lessons,
    fit_tfidf,
    quality,
    unlearned,
    unseen,
)

SETS: Final = ("assist", "assist-mini", "questions")
PAIRS: Final = (
    ("qwen3-4b-instruct", "gemini-2.5-flash"),
    ("gemma4-e4b", "claude-3-7-sonnet"),
    ("qwen3-1.7b", "gpt-4.1-mini"),
)
# Models that run in a house, and models that one pays for.
NEAR: Final = (
    "qwen3-1.7b",
    "qwen3-4b",
    "qwen3-4b-instruct",
    "qwen3-8b",
    "qwen3.5-4b",
    "gemma4-e2b",
    "gemma4-e4b",
    "ministral-3-3b",
    "ministral-3-8b",
)
FAR: Final = (
    "gemini-2.5-flash",
    "gemini-2.5-pro",
    "claude-3-7-sonnet",
    "gpt-4.1-mini",
    "gpt-4o-mini",
)
# Pairs closer than this leave nothing to route for.
CLOSE: Final = 0.05
PLAIN: Final = {"length": by_length, "brevity": by_brevity, "rules": by_rules}
LEARNED: Final = {"tfidf": fit_tfidf, "lessons": fit_lessons}
SEEDS: Final = 3

type Outcomes = dict[tuple[str, str], dict[str, tuple[int, int]]]


# -- where outcomes come from -------------------------------------------------------------------------


def outcomes(path: Path) -> Outcomes:
    """Return (good, times) by set and model, then task; of several runs of a model the best one."""
    runs: dict[tuple[str, str, str], dict[str, tuple[int, int]]] = defaultdict(dict)
    with path.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            if line["dataset"] in SETS and int(line["total"] or 0):
                key = line["dataset"], line["model"], line["ha_version"]
                runs[key][line["task"]] = int(line["good"]), int(line["total"])
    found: Outcomes = {}
    for (dataset, model, _), run in sorted(runs.items(), key=lambda one: _share(one[1].values())):
        found[dataset, model] = run
    return found


def _share(tasks: Iterable[tuple[int, int]]) -> float:
    counted = list(tasks)
    return sum(good for good, _ in counted) / sum(times for _, times in counted)


def rows_of(found: Outcomes, weak: str, strong: str) -> list[Row]:
    """Return the questions that both models were asked; a task's name ends in its sentence."""
    rows = []
    for dataset in SETS:
        near, far = found.get((dataset, weak), {}), found.get((dataset, strong), {})
        for task in sorted(near.keys() & far.keys()):
            row = Row(
                text=task.rpartition("-")[2].replace("_", " "),
                part=dataset,
                weak=near[task][0] / near[task][1],
                strong=far[task][0] / far[task][1],
                times=near[task][1],
            )
            rows.append(row)
    return rows


def routellm(folder: Path) -> dict[str, list[Row]]:
    """Return the questions of MMLU, by subject, and of GSM8K, by length, that RouteLLM published."""
    files = {
        "mmlu": sorted((folder / "mmlu" / "responses").glob("*.csv")),
        "gsm8k": [folder / "gsm8k" / "gsm8k_responses.csv"],
    }
    found: dict[str, list[Row]] = {}
    for name, paths in files.items():
        for path in filter(Path.exists, paths):
            with path.open(encoding="utf-8", newline="") as file:
                for line in csv.DictReader(file):
                    weak = next(line[key] for key in line if "mixtral" in key.lower())
                    strong = next(line[key] for key in line if "gpt-4" in key.lower())
                    row = Row(
                        text=line["prompt"],
                        part=path.stem,
                        weak=float(weak == "True"),
                        strong=float(strong == "True"),
                    )
                    found.setdefault(name, []).append(row)
    return found


def simulated(seed: int = 7, times: int = 5) -> list[Row]:
    """Return sentences and outcomes drawn by lot: three homes, whose near model has its own weak spots."""
    draw = random.Random(seed)
    verbs = ("turn on", "turn off", "open", "close", "start", "is anybody at")
    things = ("light", "valve", "curtain", "fan", "heater", "vacuum", "speakers")
    places = ("", " in the kitchen", " in the guest room", " on the terrace", " of the big bath")
    rows = []
    for home in ("first", "second", "third"):
        for verb in verbs:
            for thing in things:
                place = draw.choice(places)
                lost = -2.6 + 1.6 * (not place) + 2.2 * (thing in {"valve", "vacuum"})
                lost += 1.2 * verb.startswith("is") + draw.gauss(0, 0.7)
                weak = sum(draw.random() > squash(lost) for _ in range(times)) / times
                strong = sum(draw.random() > 0.06 for _ in range(times)) / times
                text = f"{verb} the {thing}{place}"
                rows.append(Row(text=text, part=home, weak=weak, strong=strong, times=times))
    return rows


# -- figures ------------------------------------------------------------------------------------------


def compared(
    rows: Sequence[Row], groups: Sequence[Sequence[str]], seeds: int = SEEDS, draws: int = 400
) -> Json:
    """Return the figures of every router on one pair of models."""
    texts = [row.text for row in rows]
    chance = mean(apgr(by_chance(seed)(texts), rows) for seed in range(200))
    ideal = [row.strong - row.weak for row in rows]
    found: Json = {
        "questions": len(rows),
        "weak": round(mean(row.weak for row in rows), 4),
        "strong": round(mean(row.strong for row in rows), 4),
        "apgr": {"chance": round(chance, 3), "ideal": round(apgr(ideal, rows), 3)},
        "quality": {},
        "unseen": {},
    }
    for name, plain in PLAIN.items():
        scores = plain(texts)
        found["apgr"][name] = round(apgr(scores, rows), 3)
        found["quality"][name] = quality(scores, rows)
        found["unseen"][name] = _named(groups, unseen(unlearned(plain), rows, groups))
    learned: dict[str, list[float]] = {}
    for name, fit in LEARNED.items():
        tries = [crossed(fit, rows, seed) for seed in range(seeds)]
        found["apgr"][name] = round(mean(apgr(scores, rows) for scores in tries), 3)
        found["quality"][name] = quality(tries[0], rows)
        found["unseen"][name] = _named(groups, unseen(fit, rows, groups))
        learned[name] = tries[0]
    found["lessons_minus_tfidf"] = apart(learned["lessons"], learned["tfidf"], rows, draws)
    return found


def _named(groups: Sequence[Sequence[str]], scores: Sequence[float | None]) -> Json:
    return {
        group[0] if len(group) == 1 else f"{len(group)} parts from {group[0]}": score
        and round(score, 3)
        for group, score in zip(groups, scores, strict=True)
    }


def all_pairs(found: Outcomes) -> Json:
    """Return mean and median APGR over every near and far model with a gap worth routing for."""
    kept: dict[str, list[float]] = defaultdict(list)
    groups = [(name,) for name in SETS]
    count = wins = 0
    for weak in NEAR:
        for strong in FAR:
            rows = rows_of(found, weak, strong)
            if not rows or mean(row.strong - row.weak for row in rows) < CLOSE:
                continue
            count += 1
            one = compared(rows, groups, seeds=1, draws=40)
            wins += one["apgr"]["lessons"] > one["apgr"]["tfidf"]
            for name, score in one["apgr"].items():
                kept[f"in domain: {name}"].append(score)
            for name, parts in one["unseen"].items():
                for part, score in parts.items():
                    asked = [row for row in rows if row.part == part]
                    if score is not None and mean(row.strong - row.weak for row in asked) >= CLOSE:
                        kept[f"unseen {part}: {name}"].append(score)
    means = {
        name: {"pairs": len(all_), "mean": round(mean(all_), 3), "median": round(median(all_), 3)}
        for name, all_ in sorted(kept.items())
    }
    return {"pairs": count, "lessons_better": wins, "apgr": means}


# -- confidence ---------------------------------------------------------------------------------------

# What the chance of a good answer could be in truth, by the mean log-probability.
TRUTHS: Final[Mapping[str, Callable[[float], float]]] = {
    "boastful": lambda mean_: squash(0.5 + 2.0 * mean_),
    "modest": lambda mean_: squash(3.5 + 3.0 * mean_),
    "as assumed": lambda mean_: squash(CURVE.a + CURVE.b * mean_),
    "no logistic curve": lambda mean_: math.exp(2.0 * mean_),
}


def drawn(truth: str, count: int, seed: int) -> list[tuple[float, bool]]:
    """Return answers drawn by lot: their mean log-probability, and whether they were good."""
    draw = random.Random(seed)
    means = [math.log(max(1e-3, draw.betavariate(5, 2))) for _ in range(count)]
    return [(one, draw.random() < TRUTHS[truth](one)) for one in means]


def calibrations(tries: int = 10, held_out: int = 5000) -> Json:
    """Return the calibration error on answers that nobody rated, before and after so many were."""
    found: Json = {}
    for truth in TRUTHS:
        rest = drawn(truth, held_out, seed=1_000)
        errors: Json = {"0": round(calibration_error(CURVE, rest), 4)}
        for rated in (20, 100, 400):
            after = [
                calibration_error(calibrate(drawn(truth, rated, seed)), rest)
                for seed in range(tries)
            ]
            errors[str(rated)] = round(mean(after), 4)
        found[truth] = errors
    return found


def recalibrated(path: Path) -> Json:
    """Return the curve of a house's own rated answers, and its error on those that it was not made from."""
    with path.open(encoding="utf-8", newline="") as file:
        rated = [
            (float(line["mean_logprob"]), line["good"].strip().lower() in {"1", "true", "yes"})
            for line in csv.DictReader(file)
        ]
    halves = rated[::2], rated[1::2]
    curve = calibrate(rated)
    crossed_ = [calibration_error(calibrate(halves[at]), halves[1 - at]) for at in (0, 1)]
    return {
        "answers": len(rated),
        "curve": Curve(round(curve.a, 3), round(curve.b, 3))._asdict(),
        "error_before": round(calibration_error(CURVE, rated), 4),
        "error_after": round(mean(crossed_), 4),
    }


# -- printing -----------------------------------------------------------------------------------------


def show(title: str, one: Json) -> None:
    """Print the figures of one pair."""
    print(f"\n{title}: {one['questions']} questions, {one['weak']:.1%} → {one['strong']:.1%}")
    for name, score in one["apgr"].items():
        unknown = "  ".join(
            f"{part} {value}" for part, value in one["unseen"].get(name, {}).items()
        )
        shares = " ".join(f"{value:.3f}" for value in one["quality"].get(name, {}).values())
        print(f"  {name:9} APGR {score:6.3f}  | {unknown}{'  | ' if shares else ''}{shares}")
    low, high = one["lessons_minus_tfidf"]
    print(f"  lessons - tfidf, in 95 of 100 draws of the questions: {low:+.3f} to {high:+.3f}")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and, when asked, write the figures."""
    parser = argparse.ArgumentParser(description="The router beside chance and a learned baseline")
    parser.add_argument("--outcomes", type=Path)
    parser.add_argument("--pairs", default=",".join(map(":".join, PAIRS)))
    parser.add_argument(
        "--all", action="store_true", help="every near and far model; takes minutes"
    )
    parser.add_argument("--routellm", type=Path)
    parser.add_argument("--rated", type=Path)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    found: Json = {"confidence": calibrations()}
    if args.outcomes:
        known = outcomes(args.outcomes)
        groups: list[Sequence[str]] = [(name,) for name in SETS]
        for pair in args.pairs.split(","):
            weak, _, strong = pair.partition(":")
            found[pair] = compared(rows_of(known, weak, strong), groups)
            show(pair, found[pair])
        if args.all:
            found["all"] = all_pairs(known)
            print(
                f"\n{found['all']['pairs']} pairs at least {CLOSE:.0%} apart; "
                f"lessons better than tfidf in {found['all']['lessons_better']}"
            )
            for name, one in found["all"]["apgr"].items():
                print(
                    f"  {name:30} mean {one['mean']:.3f}  median {one['median']:.3f}  n={one['pairs']}"
                )
    else:
        print(
            "No outcomes were given: this is a simulation of its own, and shows only that the method works."
        )
        found["simulated"] = compared(simulated(), [("first",), ("second",), ("third",)])
        show("simulated", found["simulated"])
    if args.routellm:
        for name, rows in routellm(args.routellm).items():
            parts = sorted({row.part for row in rows})
            groups = [parts[at::5] for at in range(5)] if len(parts) >= 10 else []
            found[name] = compared(rows, groups, seeds=1)
            show(name, found[name])
    print("\ncalibration error by number of rated answers (simulated)")
    for truth, errors in found["confidence"].items():
        print(
            f"  {truth:18}", "  ".join(f"{rated}: {error:.3f}" for rated, error in errors.items())
        )
    if args.rated:
        found["rated"] = recalibrated(args.rated)
        print("\nyour rated answers", found["rated"])
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
