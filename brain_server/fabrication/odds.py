"""The odds of a print: a small model of what printers, materials, their pairs and files do to it.

A logistic model with an effect for each of them. Effects of few prints are drawn towards what the others show
(partial pooling); how far is itself learned from the counts (empirical Bayes).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import math
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np

    type Floats = np.ndarray[Any, np.dtype[np.float64]]
    type Places = np.ndarray[Any, np.dtype[np.intp]]

# What is believed of a house before its first print: mostly good, and anything from a third to nearly all is likely.
BASE: Final = math.log(0.85 / 0.15)
BASE_VARIANCE: Final = 1.5**2
# How much printers, materials, their pairs and files differ before anything is known, as variances of the
# log-odds, and how many levels that belief is worth.
SPREAD: Final[Mapping[str, float]] = {"printer": 0.4, "material": 0.4, "pair": 0.4, "file": 0.6}
BELIEF: Final = 2.0
# Files that were printed most; of more, the rest count as files not seen before.
MOST_FILES: Final = 1000
ROUNDS: Final = 30
STEPS: Final = 20
HALVINGS: Final = 30
_SETTLED: Final = 1e-6
# 90 of 100 lie this many standard deviations around the middle.
WIDE: Final = 1.6448536269514722


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How prints of one kind turned out."""

    printer: str
    material: str | None
    file: str | None
    good: int
    failed: int


@dataclass(frozen=True, slots=True)
class Chance:
    """A probability with the interval that holds it nine times of ten."""

    probability: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Data:
    """The tallies as numbers: which effects each row has, which file it is, how many were good of how many."""

    design: Floats
    files: Places
    good: Floats
    total: Floats


class Model:
    """What the tallies say; it is fitted when it is made, which may take some tenths of a second."""

    def __init__(self, tallies: Sequence[Tally]) -> None:
        """Fit the effects and how widely they spread."""
        self._columns: dict[tuple[str, str, str], int] = {}
        self._files: dict[str, int] = {}
        self._spread = dict(SPREAD)
        self._number(tallies)
        if tallies:
            self._fit(tallies)

    def chance(self, printer: str, material: str | None, file: str | None = None) -> Chance:
        """Return how likely a print turns out well, of a middling file where none is given.

        What was never printed widens the interval.
        """
        middle, variance = BASE, BASE_VARIANCE + sum(SPREAD.values())
        if self._columns:
            middle, variance = self._belief(printer, material, file)
        width = WIDE * math.sqrt(variance)
        # The mean of a logistic of a normal (MacKay 1992); near 0 and 1 it can lie outside of the interval.
        likely = _squash(middle / math.sqrt(1 + math.pi * variance / 8))
        low, high = _squash(middle - width), _squash(middle + width)
        return Chance(likely, min(low, likely), max(high, likely))

    def _belief(self, printer: str, material: str | None, file: str | None) -> tuple[float, float]:
        """Return mean and variance of the log-odds."""
        import numpy as np  # noqa: PLC0415 - 20 MB that only a house that asks pays

        variance = 0.0
        at = [0]
        for kind, key in _effects(printer, material):
            if (place := self._columns.get((kind, *key))) is None:
                variance += self._spread[kind]
            else:
                at.append(place)
        mean = float(self._effect[at].sum())
        variance += float(self._inverse[np.ix_(at, at)].sum())
        if file is None:
            return mean, variance
        if (place := self._files.get(file, -1)) < 0:
            return mean, variance + self._spread["file"]
        column = self._shared[:, place] / self._own[place]
        solved = self._inverse @ column
        variance += float(1 / self._own[place] + column @ solved - 2 * solved[at].sum())
        return mean + float(self._file_effect[place]), variance

    def _number(self, tallies: Sequence[Tally]) -> None:
        """Give every effect that the tallies can teach its column; the first is the house."""
        if not tallies:
            return
        self._columns["house", "", ""] = 0
        printed: Counter[str] = Counter()
        for tally in tallies:
            for kind, key in _effects(tally.printer, tally.material):
                self._columns.setdefault((kind, *key), len(self._columns))
            if tally.file is not None:
                printed[tally.file] += tally.good + tally.failed
        self._files = {file: at for at, (file, _) in enumerate(printed.most_common(MOST_FILES))}

    def _fit(self, tallies: Sequence[Tally]) -> None:
        import numpy as np  # noqa: PLC0415 - see above

        self._kinds = np.array(
            [list(SPREAD).index(kind) if kind in SPREAD else -1 for kind, *_ in self._columns]
        )
        design = np.zeros((len(tallies), len(self._columns)))
        design[:, 0] = 1.0
        for row, tally in enumerate(tallies):
            for kind, key in _effects(tally.printer, tally.material):
                design[row, self._columns[kind, *key]] = 1.0
        # The last place is for all files that have none of their own; its effect stays 0.
        data = _Data(
            design=design,
            files=np.array([self._files.get(one.file or "", len(self._files)) for one in tallies]),
            good=np.array([float(one.good) for one in tallies]),
            total=np.array([float(one.good + one.failed) for one in tallies]),
        )
        self._middle = np.zeros(len(self._columns))
        self._middle[0] = BASE
        self._effect = self._middle.copy()
        self._file_effect = np.zeros(len(self._files))
        for _ in range(ROUNDS):
            before = dict(self._spread)
            for _ in range(STEPS):
                if self._step(data) < _SETTLED:
                    break
            self._widen()
            if all(abs(self._spread[kind] - before[kind]) < 1e-3 for kind in before):
                break

    def _step(self, data: _Data) -> float:
        """Take one step of Newton's method on the penalised likelihood; returns how far it went.

        Each print is of one file, so the files' part of the curvature is diagonal: they are solved for first
        (a Schur complement), and what is left is as small as the workshop.
        """
        import numpy as np  # noqa: PLC0415 - see above

        count = len(self._files)
        design, files, total, penalty = data.design, data.files, data.total, self._penalty()
        odds = design @ self._effect + np.append(self._file_effect, 0.0)[files]
        chance = 1 / (1 + np.exp(-np.clip(odds, -30, 30)))
        error = data.good - total * chance
        weight = total * chance * (1 - chance)
        slope = design.T @ error - penalty * (self._effect - self._middle)
        curve = design.T @ (weight[:, None] * design) + np.diag(penalty)
        file_slope = (
            np.bincount(files, error, count + 1)[:count] - self._file_effect / self._spread["file"]
        )
        self._own = np.bincount(files, weight, count + 1)[:count] + 1 / self._spread["file"]
        shared = np.zeros((count + 1, len(penalty)))
        np.add.at(shared, files, weight[:, None] * design)
        self._shared = shared[:count].T
        share = self._shared / self._own
        self._inverse = np.linalg.inv(curve - share @ self._shared.T)
        move = self._inverse @ (slope - share @ file_slope)
        file_move = (file_slope - self._shared.T @ move) / self._own
        return self._go(data, move, file_move)

    def _go(self, data: _Data, move: Floats, file_move: Floats) -> float:
        """Move, or half as far until that is uphill: a whole step may leap over the top."""
        import numpy as np  # noqa: PLC0415 - see above

        effect, file_effect, start = self._effect, self._file_effect, self._height(data)
        share = 1.0
        for _ in range(HALVINGS):
            self._effect = effect + share * move
            self._file_effect = file_effect + share * file_move
            if self._height(data) >= start:
                break
            share /= 2
        return share * float(max(np.abs(move).max(), np.abs(file_move).max(initial=0.0)))

    def _height(self, data: _Data) -> float:
        """Return the penalised log-likelihood."""
        import numpy as np  # noqa: PLC0415 - see above

        odds = data.design @ self._effect + np.append(self._file_effect, 0.0)[data.files]
        likely = data.good @ odds - data.total @ np.logaddexp(0.0, odds)
        far = self._penalty() @ (self._effect - self._middle) ** 2
        return float(likely - (far + (self._file_effect**2).sum() / self._spread["file"]) / 2)

    def _penalty(self) -> Floats:
        import numpy as np  # noqa: PLC0415 - see above

        spread = [BASE_VARIANCE, *(self._spread[kind] for kind, *_ in list(self._columns)[1:])]
        return 1 / np.array(spread)

    def _widen(self) -> None:
        """Let the effects found so far say how widely effects of their kind spread (one EM step)."""
        import numpy as np  # noqa: PLC0415 - see above

        squares = self._effect**2 + np.diag(self._inverse)
        for at, kind in enumerate(SPREAD):
            some = squares[self._kinds == at]
            if kind == "file":
                share = self._shared / self._own
                some = (
                    self._file_effect**2
                    + 1 / self._own
                    + np.einsum("kf,kl,lf->f", share, self._inverse, share, optimize=True)
                )
            self._spread[kind] = (BELIEF * SPREAD[kind] + float(some.sum())) / (BELIEF + len(some))


def _effects(printer: str, material: str | None) -> list[tuple[str, tuple[str, str]]]:
    named = material or ""
    return [("printer", (printer, "")), ("material", (named, "")), ("pair", (printer, named))]


def _squash(odds: float) -> float:
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, odds))))
