"""How well prints are foretold: KITTY's model beside the base rate, each pair's own rate, and a regression.

``script/bench predict [--seeds N] [--json FILE]``

This is a simulation: made worlds whose truth is known, each with its own reason why prints fail. It shows
that the method works where its kind of reason exists, and what it costs where there is none. With
scikit-learn installed (no dependency of KITTY), its LogisticRegression stands beside.
"""

import argparse
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
import json
import math
from pathlib import Path
import random
from statistics import fmean
import time
from typing import Any, Final

from brain_server.fabrication.advice import advise
from brain_server.fabrication.odds import Chance, Model
from brain_server.fabrication.outcomes import Outcome
from brain_server.fabrication.predict import tallied
from brain_server.protocol import Json

PRINTERS: Final = ("A", "B", "C", "D")
MATERIALS: Final = ("PLA", "PETG", "ABS", "TPU", "ASA")
FILES: Final = 40
# Log-odds of a good print where nothing is special: 83 of 100.
USUAL: Final = 1.6
HELD_OUT: Final = 600
COUNTS: Final = (20, 60, 200)
BINS: Final = 10


@dataclass(frozen=True, slots=True)
class World:
    """How much printers, materials, pairs and files differ (standard deviations of the log-odds)."""

    printer: float = 0.2
    material: float = 0.2
    pair: float = 0.2
    file: float = 0.2
    # By how much the model may at most miss, of what the base rate does; above 1 where there is nothing to find.
    least: float = 1.0


WORLDS: Final[dict[str, World]] = {
    "all alike": World(0, 0, 0, 0, least=1.05),
    "a bad printer": World(printer=1.2),
    "a bad material": World(material=1.2),
    "a bad pair": World(pair=1.4),
    "bad files": World(file=1.5),
    "a little of all": World(0.6, 0.6, 0.6, 0.8),
}


@dataclass(frozen=True, slots=True)
class Print:
    """One print, whether it turned out well, and how likely that truly was."""

    printer: str
    material: str
    file: str
    good: bool
    truth: float

    @property
    def kind(self) -> tuple[str, str, str]:
        """Return what is known of it before."""
        return self.printer, self.material, self.file


type Foretell = Callable[[Print], float]


def drawn(name: str, counts: Sequence[int], seed: int) -> list[list[Print]]:
    """Return lots of prints of one world, of these sizes."""
    draw, world = random.Random(f"{name} {seed}"), WORLDS[name]
    printers = {one: draw.gauss(0, world.printer) for one in PRINTERS}
    materials = {one: draw.gauss(0, world.material) for one in MATERIALS}
    pairs = {(one, other): draw.gauss(0, world.pair) for one in PRINTERS for other in MATERIALS}
    files = [(f"{at}", draw.choice(MATERIALS), draw.gauss(0, world.file)) for at in range(FILES)]
    often = [1 / (at + 1) for at in range(FILES)]

    def one() -> Print:
        printer = draw.choices(PRINTERS, (5, 3, 2, 1))[0]
        ((file, material, effect),) = draw.choices(files, often)
        odds = USUAL + printers[printer] + materials[material] + pairs[printer, material] + effect
        truth = 1 / (1 + math.exp(-odds))
        return Print(printer, material, file, draw.random() < truth, truth)

    return [[one() for _ in range(count)] for count in counts]


def outcomes(prints: Sequence[Print]) -> list[Outcome]:
    """Return prints as the brain knows them."""
    return [
        Outcome(
            job_id=f"{at:032x}",
            device_id=one.printer,
            material=one.material,
            artifact_id=one.file,
            file=one.file,
            good=one.good,
            reasons=(),
            ended_at=at * 3600.0,
            took=None,
            estimated=None,
        )
        for at, one in enumerate(prints)
    ]


# -- who foretells ------------------------------------------------------------------------------------


def by_model(known: Sequence[Print]) -> Callable[[Print], Chance]:
    """Return KITTY's own chances."""
    model = Model(tallied(outcomes(known)))
    find = cache(model.chance)
    return lambda one: find(*one.kind)


def by_base_rate(known: Sequence[Print]) -> Foretell:
    """Say for every print what all prints together say."""
    rate = (sum(one.good for one in known) + 1) / (len(known) + 2)
    return lambda _one: rate


def by_pair(known: Sequence[Print]) -> Foretell:
    """Say what this material did on this printer; the base rate where it was never printed there."""
    base = by_base_rate(known)
    good: Counter[tuple[str, str]] = Counter()
    total: Counter[tuple[str, str]] = Counter()
    for one in known:
        total[one.printer, one.material] += 1
        good[one.printer, one.material] += one.good

    def foretell(one: Print) -> float:
        pair = one.printer, one.material
        return good[pair] / total[pair] if total[pair] else base(one)

    return foretell


def by_regression(known: Sequence[Print]) -> Foretell:
    """Ask scikit-learn's LogisticRegression on the same four kinds of effect, as it is out of the box."""
    from sklearn.feature_extraction import DictVectorizer  # noqa: PLC0415 - no dependency
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - the same

    def traits(one: Print) -> dict[str, str]:
        pair = f"{one.printer} {one.material}"
        return {"printer": one.printer, "material": one.material, "pair": pair, "file": one.file}

    if len({one.good for one in known}) == 1:
        return by_base_rate(known)
    columns: Any = DictVectorizer()
    fitted: Any = LogisticRegression(max_iter=500).fit(
        columns.fit_transform([traits(one) for one in known]), [one.good for one in known]
    )
    find = cache(
        lambda kind: float(
            fitted.predict_proba(columns.transform([traits(Print(*kind, good=True, truth=0))]))[
                0, 1
            ]
        )
    )
    return lambda one: find(one.kind)


# -- how they are scored ------------------------------------------------------------------------------


def brier(foretold: Iterable[float], prints: Sequence[Print]) -> float:
    """Return the mean squared distance between what was foretold and what came; less is better."""
    return fmean((told - one.good) ** 2 for told, one in zip(foretold, prints, strict=True))


def scored(name: str, *, count: int, seeds: int) -> dict[str, float]:
    """Return the mean Brier scores on prints that nobody had seen, and how often the interval held the truth."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for seed in range(seeds):
        known, unseen = drawn(name, (count, HELD_OUT), seed)
        chance = by_model(known)
        foretold = [chance(one) for one in unseen]
        found["model"].append(brier([one.probability for one in foretold], unseen))
        found["base rate"].append(brier(map(by_base_rate(known), unseen), unseen))
        found["pair's own rate"].append(brier(map(by_pair(known), unseen), unseen))
        if find_spec("sklearn"):
            found["LogisticRegression"].append(brier(map(by_regression(known), unseen), unseen))
        found["the truth"].append(brier([one.truth for one in unseen], unseen))
        inside = [
            told.low <= one.truth <= told.high for told, one in zip(foretold, unseen, strict=True)
        ]
        found["inside"].append(fmean(inside))
    return {key: fmean(values) for key, values in found.items()}


def calibration(*, count: int, seeds: int) -> list[Json]:
    """Return, by tenths of what was foretold, how many prints there were and how many turned out well."""
    bins: defaultdict[int, list[tuple[float, bool]]] = defaultdict(list)
    for name in WORLDS:
        for seed in range(seeds):
            known, unseen = drawn(name, (count, HELD_OUT), seed)
            chance = by_model(known)
            for one in unseen:
                told = chance(one).probability
                bins[min(BINS - 1, int(told * BINS))].append((told, one.good))
    return [
        {
            "foretold": fmean(told for told, _ in bins[at]),
            "came": fmean(good for _, good in bins[at]),
            "prints": len(bins[at]),
        }
        for at in sorted(bins)
    ]


def error_of(table: Sequence[Json]) -> float:
    """Return the expected calibration error of such a table."""
    total = sum(row["prints"] for row in table)
    return sum(row["prints"] * abs(row["foretold"] - row["came"]) for row in table) / total


def advised(name: str, *, count: int, seeds: int) -> dict[str, float]:
    """Return how many advices there are in a house, and how many of those are true in the world that was drawn."""
    given = true = 0
    for seed in range(seeds):
        known, unseen = drawn(name, (count, 4000), seed)
        truth: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        for one in unseen:
            truth[one.printer, one.material].append(one.truth)
        for said in advise(outcomes(known), lambda device_id: device_id):
            if said["code"] == "prefer_printer":
                mine, theirs = (
                    fmean(truth[printer, said["material"]] or [0.5])
                    for printer in (said["device_id"], said["other_device_id"])
                )
                given, true = given + 1, true + (mine < theirs - 0.02)
    return {"houses": seeds, "given": given, "true": true}


def cost(count: int) -> float:
    """Return the seconds that fitting so many prints takes."""
    (known,) = drawn("a little of all", (count,), 0)
    seen = outcomes(known)
    started = time.perf_counter()
    Model(tallied(seen))
    return time.perf_counter() - started


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and, when asked, write the figures."""
    parser = argparse.ArgumentParser(description="How well prints are foretold, in made worlds")
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    print(
        "A simulation: made worlds whose truth is known. Brier score on prints not seen before; less is better."
    )
    found: Json = {"brier": {}, "advice": {}}
    for name in WORLDS:
        for count in COUNTS:
            scores = scored(name, count=count, seeds=args.seeds)
            found["brier"][f"{name}, {count} prints"] = scores
            figures = "  ".join(f"{key} {value:.4f}" for key, value in scores.items())
            print(f"{name:16} {count:4} prints  {figures}")
    found["calibration"] = calibration(count=60, seeds=args.seeds)
    print("foretold → came (all worlds, after 60 prints)")
    for row in found["calibration"]:
        print(f"  {row['foretold']:.3f} → {row['came']:.3f}  ({row['prints']} prints)")
    found["calibration error"] = error_of(found["calibration"])
    print(f"  expected calibration error {found['calibration error']:.4f}")
    for name in ("all alike", "a bad printer", "a bad pair"):
        found["advice"][name] = advised(name, count=120, seeds=args.seeds)
        print(f"advice to prefer a printer, {name}, after 120 prints: {found['advice'][name]}")
    found["fit"] = {str(count): cost(count) for count in (100, 1000, 10_000)}
    print("seconds to fit", {key: round(value, 3) for key, value in found["fit"].items()})
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
