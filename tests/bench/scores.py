"""How a router is scored: the area under the performance gap it recovers, and what it is compared with."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
import math
import random
import re
from typing import Any, Final

import numpy as np

from brain_server.routing.judge import Curve, signals
from brain_server.routing.lessons import Learner

# Of more pieces of words than this only the most frequent count.
MOST_TERMS: Final = 4096
# How freely the weights of the regression move; the best of 1, 10 and 100 on these sets.
FREEDOM: Final = 10.0
SHARES: Final = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
BINS: Final = 10

type Floats = np.ndarray[Any, np.dtype[np.float64]]
type Fitted = Callable[[Sequence[str]], Sequence[float]]
type Fit = Callable[[Sequence["Row"], int], Fitted]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One question, and how often of so many times a cheap and a strong model did well."""

    text: str
    part: str
    weak: float
    strong: float
    times: int = 1


def recovered(scores: Sequence[float], rows: Sequence[Row]) -> Floats:
    """Return the share of the gap between the models that is recovered after each further strong call.

    Questions of the same score go to the strong model in no order: each brings their mean.
    """
    gain = np.array([row.strong - row.weak for row in rows])
    _, group = np.unique(-np.asarray(scores, dtype=float), return_inverse=True)
    mean = np.bincount(group, gain) / np.bincount(group)
    steps = mean[np.sort(group)]
    curve: Floats = np.concatenate([[0.0], np.cumsum(steps)]) / gain.sum()
    return curve


def apgr(scores: Sequence[float], rows: Sequence[Row]) -> float:
    """Return the mean gap recovered over all shares of strong calls: 0.5 is chance, more than 1 is possible."""
    curve = recovered(scores, rows)
    return float(((curve[1:] + curve[:-1]) / 2).mean())


def apart(
    one: Sequence[float], other: Sequence[float], rows: Sequence[Row], draws: int = 400
) -> tuple[float, float]:
    """Return between what two routers' APGR differ in 95 of 100 draws of the questions (bootstrap)."""
    draw = random.Random(0)
    found = []
    for _ in range(draws):
        some = draw.choices(range(len(rows)), k=len(rows))
        chosen = [rows[at] for at in some]
        if sum(row.strong - row.weak for row in chosen) > 0:
            pair = [apgr([scores[at] for at in some], chosen) for scores in (one, other)]
            found.append(pair[0] - pair[1])
    found.sort()
    return round(found[len(found) // 40], 3), round(found[-1 - len(found) // 40], 3)


def quality(scores: Sequence[float], rows: Sequence[Row]) -> dict[str, float]:
    """Return the share of good answers by the share of calls to the strong model."""
    weak = sum(row.weak for row in rows) / len(rows)
    gap = sum(row.strong for row in rows) / len(rows) - weak
    curve = recovered(scores, rows)
    at = np.linspace(0.0, 1.0, len(curve))
    return {
        f"{share:.0%}": round(weak + gap * float(np.interp(share, at, curve)), 4)
        for share in SHARES
    }


# -- routers that learn nothing -----------------------------------------------------------------------


def by_chance(seed: int = 0) -> Fitted:
    """Return scores drawn by lot."""
    draw = random.Random(seed)
    return lambda texts: [draw.random() for _ in texts]


def by_length(texts: Sequence[str]) -> Sequence[float]:
    """Take long questions for hard."""
    return [len(text) for text in texts]


def by_brevity(texts: Sequence[str]) -> Sequence[float]:
    """Take short questions for hard."""
    return [-len(text) for text in texts]


@lru_cache(maxsize=100_000)
def _difficulty(text: str) -> float:
    return signals(text).difficulty


def by_rules(texts: Sequence[str]) -> Sequence[float]:
    """Take KITTY's own rules, as every house has them at first."""
    return [_difficulty(text) for text in texts]


def unlearned(fitted: Fitted) -> Fit:
    """Return a router that learns nothing as one that could."""
    return lambda _rows, _seed: fitted


# -- routers that learn -------------------------------------------------------------------------------


@lru_cache(maxsize=100_000)
def _terms(text: str) -> tuple[str, ...]:
    words = re.findall(r"\w+", text.lower())
    return (*words, *(" ".join(pair) for pair in pairwise(words)))


def observed(rows: Sequence[Row], seed: int) -> list[list[float]]:
    """Return for each question what was seen each time it was asked: 1 where only the strong model did well."""
    draw = random.Random(seed)
    return [
        [float(draw.random() >= row.weak and draw.random() < row.strong) for _ in range(row.times)]
        for row in rows
    ]


def fit_tfidf(rows: Sequence[Row], seed: int = 0) -> Fitted:
    """Fit a logistic regression over TF-IDF of words and pairs: is it worth asking the strong model?"""
    known = Counter(term for row in rows for term in set(_terms(row.text)))
    chosen = [term for term, _ in known.most_common(MOST_TERMS)]
    place = {term: at for at, term in enumerate(chosen)}
    rarity = np.array([math.log((1 + len(rows)) / (1 + known[term])) + 1 for term in chosen])

    def matrix(texts: Sequence[str]) -> Floats:
        found = np.zeros((len(texts), len(place) + 1))
        for at, text in enumerate(texts):
            for term in _terms(text):
                if term in place:
                    found[at, place[term]] += 1
        found[:, :-1] *= rarity
        found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)
        found[:, -1] = 1.0
        return found

    worth = np.array([sum(seen) / len(seen) for seen in observed(rows, seed)])
    weights = _regressed(matrix([row.text for row in rows]), worth)
    return lambda texts: [float(one) for one in matrix(texts) @ weights]


def _regressed(inputs: Floats, wanted: Floats) -> Floats:
    """Return the weights of a logistic regression, by Newton's method in the smaller of both spaces."""
    count, width = inputs.shape
    pull = np.full(width, 1 / FREEDOM)
    pull[-1] = 1e-6
    if width <= count:
        weights = np.zeros(width)
        for _ in range(20):
            sure = 1 / (1 + np.exp(-inputs @ weights))
            slope = inputs.T @ (sure - wanted) + pull * weights
            bend = (inputs * (sure * (1 - sure))[:, None]).T @ inputs + np.diag(pull)
            step = np.linalg.solve(bend, slope)
            weights -= step
            if np.abs(step).max() < 1e-6:
                break
        return weights
    kernel = inputs @ (inputs / pull).T
    dual = np.zeros(count)
    for _ in range(30):
        odds = kernel @ dual
        sure = 1 / (1 + np.exp(-odds))
        spread = np.maximum(sure * (1 - sure), 1e-6)
        dual = np.linalg.solve(kernel + np.diag(1 / spread), odds + (wanted - sure) / spread)
    return (inputs / pull).T @ dual


def fit_lessons(rows: Sequence[Row], seed: int = 0) -> Fitted:
    """Let KITTY learn online, each question once for each time it was asked, in an order drawn by lot."""
    taught = [
        (row.text, worth)
        for row, seen in zip(rows, observed(rows, seed), strict=True)
        for worth in seen
    ]
    random.Random(seed).shuffle(taught)
    learner = Learner(now=0.0)
    for text, worth in taught:
        learner.learn(text, worth, now=0.0)
    return lambda texts: [learner.difficulty(text, now=0.0) for text in texts]


# -- in-domain and unseen -----------------------------------------------------------------------------


def crossed(fit: Fit, rows: Sequence[Row], seed: int = 0, folds: int = 10) -> list[float]:
    """Return scores of each question by a router that learned from all others; the same words stay together."""
    texts = sorted({row.text for row in rows})
    random.Random(seed).shuffle(texts)
    fold = {text: at % folds for at, text in enumerate(texts)}
    scores = [0.0] * len(rows)
    for one in range(folds):
        taught = [row for row in rows if fold[row.text] != one]
        asked = [at for at, row in enumerate(rows) if fold[row.text] == one]
        for at, score in zip(
            asked, fit(taught, seed)([rows[at].text for at in asked]), strict=True
        ):
            scores[at] = score
    return scores


def unseen(
    fit: Fit, rows: Sequence[Row], parts: Sequence[Iterable[str]], seed: int = 0
) -> list[float | None]:
    """Return for each group of parts the APGR of a router that learned from all other parts only."""
    found: list[float | None] = []
    for group in map(frozenset, parts):
        asked = [row for row in rows if row.part in group]
        fitted = fit([row for row in rows if row.part not in group], seed)
        gap = sum(row.strong - row.weak for row in asked) / len(asked)
        found.append(apgr(fitted([row.text for row in asked]), asked) if gap > 0.02 else None)
    return found


# -- confidence ---------------------------------------------------------------------------------------


def calibration_error(curve: Curve, rated: Sequence[tuple[float, bool]]) -> float:
    """Return the expected calibration error: how far confidence is from the share of good answers, on average."""
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for mean, good in rated:
        sure = curve(mean)
        bins[min(BINS - 1, int(sure * BINS))].append((sure, good))
    apart = (
        abs(sum(sure for sure, _ in one) - sum(good for _, good in one)) for one in bins if one
    )
    return sum(apart) / len(rated)
