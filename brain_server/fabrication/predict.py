"""How likely a print turns out well, from this house's own outcomes, and honest about how few they are.

A logistic model with an effect for each printer, material, printer with material, and file. Effects of few
prints are drawn towards what the others show (partial pooling); how far is itself learned from the rows
(empirical Bayes). It is made anew from the rows whenever they changed: nothing is stored, nothing is loaded.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
import math
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from brain_server.commands import Caller, Params, Scope, command
from brain_server.errors import NotFound
from brain_server.fabrication.outcomes import Outcome, Outcomes
from brain_server.inventory.materials import normal
from brain_server.protocol import Json
from brain_server.storage import Database
from brain_server.storage.tables import artifacts

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
STEPS: Final = 4
_SETTLED: Final = 1e-6
# 90 of 100 lie this many standard deviations around the middle.
WIDE: Final = 1.6448536269514722
# Fewer outcomes of this printer with this material than this, and the answer says so.
COLD: Final = 5


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


class PredictionOf(Params):
    """A print that somebody thinks of."""

    device_id: str
    material: str | None = None
    artifact_id: str | None = None


class Predictions:
    """Says how likely a print turns out well, and because of what."""

    def __init__(
        self,
        database: Database,
        outcomes: Outcomes,
        name_of: Callable[[str], str | None],
    ) -> None:
        """Take the database, the outcomes of this house, and what a device is called (None: there is none)."""
        self._db = database
        self._outcomes = outcomes
        self._name_of = name_of
        self._model = Model(())
        self._made_of = -1
        self._making = asyncio.Lock()

    @command(
        "predictions.get",
        Scope.READ,
        read_only=True,
        tool="Say how likely a print turns out well on a printer, with a material or file, and because of what.",
    )
    async def get(self, _caller: Caller, params: PredictionOf) -> Json:
        """Say how likely a print turns out well; NotFound ``device_not_found``, ``artifact_not_found``."""
        if (name := self._name_of(params.device_id)) is None:
            raise NotFound("device_not_found", "There is no such device")
        material = None if params.material is None else normal(params.material)
        title = None
        if params.artifact_id is not None:
            title, told = await self._file(params.artifact_id)
            material = material or told
        seen = await self._outcomes.all()
        model = await self._fitted(seen)
        chance = model.chance(params.device_id, material, params.artifact_id)
        of_it = [
            one
            for one in seen
            if one.device_id == params.device_id and material in {None, one.material}
        ]
        because = reasons(seen, params.device_id, material, params.artifact_id, name, title)
        cold = len(of_it) < COLD
        return {
            "device_id": params.device_id,
            "material": material,
            "artifact_id": params.artifact_id,
            "probability": round(chance.probability, 3),
            "low": round(chance.low, 3),
            "high": round(chance.high, 3),
            "n": len(of_it),
            "cold": cold,
            "because": because,
            "text": in_words(chance, because, len(of_it), f"{material or 'prints'} on {name}"),
        }

    async def chance(
        self, device_id: str, material: str | None, artifact_id: str | None = None
    ) -> Chance:
        """Return how likely a print turns out well; for those who plan."""
        model = await self._fitted(await self._outcomes.all())
        return model.chance(device_id, material, artifact_id)

    async def _fitted(self, seen: Sequence[Outcome]) -> Model:
        version = self._outcomes.version
        async with self._making:
            if self._made_of != version:
                self._model = await asyncio.to_thread(lambda: Model(tallied(seen)))
                self._made_of = version
            return self._model

    async def _file(self, artifact_id: str) -> tuple[str, str | None]:
        query = select(artifacts.c.name, artifacts.c.facts).where(artifacts.c.id == artifact_id)
        row = await self._db.read(lambda connection: connection.execute(query).one_or_none())
        if row is None:
            raise NotFound("artifact_not_found", "There is no such file")
        return row.name, material_of(row.facts)


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
        return Chance(
            # The mean of a logistic of a normal (MacKay 1992).
            _squash(middle / math.sqrt(1 + math.pi * variance / 8)),
            _squash(middle - width),
            _squash(middle + width),
        )

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
        files = np.array([self._files.get(tally.file or "", len(self._files)) for tally in tallies])
        good = np.array([float(tally.good) for tally in tallies])
        total = good + np.array([float(tally.failed) for tally in tallies])
        self._effect = np.zeros(len(self._columns))
        self._effect[0] = BASE
        self._file_effect = np.zeros(len(self._files))
        for _ in range(ROUNDS):
            before = dict(self._spread)
            for _ in range(STEPS):
                if self._step(design, files, good, total) < _SETTLED:
                    break
            self._widen()
            if all(abs(self._spread[kind] - before[kind]) < 1e-3 for kind in before):
                break

    def _step(self, design: Floats, files: Places, good: Floats, total: Floats) -> float:
        """Take one step of Newton's method on the penalised likelihood; returns how far it went.

        Each print is of one file, so the files' part of the curvature is diagonal: they are solved for first
        (a Schur complement), and what is left is as small as the workshop.
        """
        import numpy as np  # noqa: PLC0415 - see above

        count = len(self._files)
        penalty = np.array(
            [1 / BASE_VARIANCE, *(1 / self._spread[kind] for kind, *_ in list(self._columns)[1:])]
        )
        middle = np.zeros(len(penalty))
        middle[0] = BASE
        odds = design @ self._effect + np.append(self._file_effect, 0.0)[files]
        chance = 1 / (1 + np.exp(-np.clip(odds, -30, 30)))
        error = good - total * chance
        weight = total * chance * (1 - chance)
        slope = design.T @ error - penalty * (self._effect - middle)
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
        self._effect += move
        self._file_effect += file_move
        return float(max(np.abs(move).max(), np.abs(file_move).max(initial=0.0)))

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


def tallied(outcomes: Iterable[Outcome]) -> list[Tally]:
    """Count outcomes by printer, material and file."""
    counted: Counter[tuple[str, str | None, str | None, bool]] = Counter(
        (one.device_id, one.material, one.artifact_id, one.good) for one in outcomes
    )
    kinds = dict.fromkeys(key[:3] for key in counted)
    return [
        Tally(
            printer=printer,
            material=material,
            file=file,
            good=counted[printer, material, file, True],
            failed=counted[printer, material, file, False],
        )
        for printer, material, file in kinds
    ]


def reasons(
    seen: Sequence[Outcome],
    device_id: str,
    material: str | None,
    artifact_id: str | None,
    name: str,
    title: str | None,
) -> list[Json]:
    """Return what is known of such prints, the nearest first: how many failed of how many."""
    kinds: list[tuple[str, str, Callable[[Outcome], bool]]] = [
        ("file", f"{title}", lambda one: one.artifact_id == artifact_id),
        (
            "printer_material",
            f"{material} on {name}",
            lambda one: one.device_id == device_id and one.material == material,
        ),
        ("material", f"{material} on all printers", lambda one: one.material == material),
        ("printer", f"{name}", lambda one: one.device_id == device_id),
        ("house", "all prints", lambda _one: True),
    ]
    found: list[Json] = []
    for kind, what, is_one in kinds:
        if (kind == "file" and title is None) or ("material" in kind and material is None):
            continue
        some = [one.good for one in seen if is_one(one)]
        if some and all(one["of"] != len(some) for one in found):
            found.append({"kind": kind, "what": what, "failed": some.count(False), "of": len(some)})
    return found


def in_words(chance: Chance, because: Sequence[Json], count: int, what: str) -> str:
    """Return the answer as a sentence that says how little it may rest on."""
    between = f"between {chance.low:.0%} and {chance.high:.0%}"
    if not because:
        return f"Nobody can know yet: no print here has been judged. A guess: {between}."
    nearest = because[0]
    told = f"{nearest['what']} failed {nearest['failed']} of {nearest['of']}"
    if count >= COLD:
        return f"{chance.probability:.0%} likely ({between}), because {told}."
    few = f"only {count} of {what}" if count else f"none of {what}"
    return f"Perhaps {chance.probability:.0%} ({between}): {few} so far; {told}."


def material_of(facts: Mapping[str, Any]) -> str | None:
    """Return the material that a slicer wrote into a file, None where it wrote none."""
    told = facts.get("material")
    return normal(told) if told else None


def _effects(printer: str, material: str | None) -> list[tuple[str, tuple[str, str]]]:
    named = material or ""
    return [("printer", (printer, "")), ("material", (named, "")), ("pair", (printer, named))]


def _squash(odds: float) -> float:
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, odds))))
