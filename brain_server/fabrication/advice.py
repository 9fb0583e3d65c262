"""Advice: what this house's own prints suggest, said only when they are enough to say it.

Each rule compares counts by Bayes' rule and speaks from a documented threshold on. Advice is worked out anew
from the rows: it goes when they change.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
import hashlib
import math
from typing import Final

from brain_server.commands import Caller, Page, Scope, command, paged
from brain_server.fabrication.outcomes import Outcome, Outcomes
from brain_server.protocol import Json

# Said when it is true with at least this probability.
SURE: Final = 0.9
# And only with so many prints on either side, of which so many failed on the worse one.
FEWEST: Final = 5
FEWEST_FAILED: Final = 3
# As if so many prints of the house's own rate had been seen before the first: a rate of few is drawn to it.
PRIOR: Final = 8.0
# The chance, before anything is seen, that a printer's trouble of one kind began at some time.
CHANGE: Final = 0.2
# An estimate is worth a word when it is this far off.
OFF: Final = 0.05
# Beyond these factors a print was left paused, or the slicer wrote nonsense.
_SANE: Final = (0.2, 5.0)
_STEPS: Final = 400

# What trouble people name, what it is called, and what to do about it.
TROUBLES: Final[dict[str, tuple[frozenset[str], str, str]]] = {
    "first_layer": (
        frozenset({"poor_adhesion", "warping"}),
        "first layers fail",
        "clean the bed and level it",
    ),
    "extrusion": (
        frozenset({"under_extrusion", "clog"}),
        "too little filament comes out",
        "clean the nozzle and look at the extruder",
    ),
    "stringing": (frozenset({"stringing", "blobs"}), "prints have strings", "dry the filament"),
    "belts": (frozenset({"layer_shift"}), "layers shift", "tighten the belts"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How many of how many prints failed."""

    failed: int
    of: int


class Advice:
    """Works out what to tell people about their printers."""

    def __init__(self, outcomes: Outcomes, name_of: Callable[[str], str | None]) -> None:
        """Take the outcomes of this house, and what a device is called (None: it is gone)."""
        self._outcomes = outcomes
        self._name_of = name_of

    @command(
        "advice.list",
        Scope.READ,
        read_only=True,
        tool="List what finished prints suggest: the best printer for a material, what to clean.",
    )
    async def list(self, _caller: Caller, params: Page) -> Json:
        """List what the prints of the last year suggest, with how many prints say so."""
        seen = await self._outcomes.all()
        return paged(await asyncio.to_thread(advise, seen, self._name_of), params)

    async def ratio(self, device_id: str) -> float | None:
        """Return how much longer a printer takes than slicers say; None while that is not known."""
        found = _ratio([one for one in await self._outcomes.all() if one.device_id == device_id])
        return None if found is None else found[0]


def advise(seen: Sequence[Outcome], name_of: Callable[[str], str | None]) -> list[Json]:
    """Return the advice that these outcomes are enough for; printers that are gone are left out."""
    known = [one for one in seen if name_of(one.device_id) is not None]
    said = [
        *_better(known, name_of),
        *_files(known),
        *_troubles(known, name_of),
        *_estimates(known, name_of),
    ]
    return [{"id": _id(one)} | one for one in said]


def _better(seen: Sequence[Outcome], name_of: Callable[[str], str | None]) -> Iterator[Json]:
    """Yield where a material does better: on another printer, or, where there is none, with another material."""
    rate = _rate(seen)
    cells = _grouped(seen, lambda one: (one.device_id, one.material))
    for (device_id, material), some in cells.items():
        if material is None:
            continue
        mine, name = _count(some), name_of(device_id)
        others = {
            other: _count(those)
            for (other, what), those in cells.items()
            if what == material and other != device_id
        }
        facts: Json = {"device_id": device_id, "material": material} | _worst(some)
        if (best := _best(mine, others, rate)) is not None:
            other, theirs, sure = best
            yield facts | {
                "code": "prefer_printer",
                "other_device_id": other,
                "other_failed": theirs.failed,
                "other_of": theirs.of,
                "probability": sure,
                "n": mine.of + theirs.of,
                "text": f"{material} on {name}: {_said(some)}; on {name_of(other)} {theirs.failed} of {theirs.of}. "
                f"Prefer {name_of(other)}.",
            }
            continue
        rest = _count(
            [
                one
                for one in seen
                if one.device_id == device_id and one.material not in {None, material}
            ]
        )
        if (best := _best(mine, {"": rest}, rate)) is not None:
            yield facts | {
                "code": "material_fails",
                "other_failed": rest.failed,
                "other_of": rest.of,
                "probability": best[2],
                "n": mine.of + rest.of,
                "text": f"{material} on {name}: {_said(some)}; of its other materials {rest.failed} of {rest.of}. "
                f"Look at the settings for {material}.",
            }


def _files(seen: Sequence[Outcome]) -> Iterator[Json]:
    """Yield the files that fail where others do not."""
    rate, all_ = _rate(seen), _count(seen)
    for artifact_id, some in _grouped(seen, lambda one: one.artifact_id).items():
        if artifact_id is None:
            continue
        mine = _count(some)
        rest = Count(failed=all_.failed - mine.failed, of=all_.of - mine.of)
        if (best := _best(mine, {"": rest}, rate)) is not None:
            yield {
                "code": "file_fails",
                "artifact_id": artifact_id,
                "file": some[-1].file,
                "other_failed": rest.failed,
                "other_of": rest.of,
                "probability": best[2],
                "n": mine.of,
                "text": f"{some[-1].file}: {_said(some)}; of all others {rest.failed} of {rest.of}. "
                "Slice it anew or change the model.",
            } | _worst(some)


def _troubles(seen: Sequence[Outcome], name_of: Callable[[str], str | None]) -> Iterator[Json]:
    """Yield the printers on which one kind of trouble began at some time and has not ended."""
    for device_id, some in _grouped(seen, lambda one: one.device_id).items():
        for trouble, (words, what, cure) in TROUBLES.items():
            had = [not words.isdisjoint(one.reasons) for one in some]
            at, sure = began(had)
            if sure < SURE or sum(had[at:]) < FEWEST_FAILED or not any(had[-FEWEST:]):
                continue
            since = some[at].ended_at
            after = Count(failed=sum(had[at:]), of=len(had) - at)
            day = datetime.fromtimestamp(since, UTC).astimezone()
            yield {
                "code": "trouble_since",
                "trouble": trouble,
                "device_id": device_id,
                "since": since,
                "failed": after.failed,
                "of": after.of,
                "other_failed": sum(had[:at]),
                "other_of": at,
                "probability": sure,
                "n": len(had),
                "text": f"On {name_of(device_id)} {what} since {day.day} {day:%b}: {after.failed} of {after.of}, "
                f"before that {sum(had[:at])} of {at}. You could {cure}.",
            }


def _estimates(seen: Sequence[Outcome], name_of: Callable[[str], str | None]) -> Iterator[Json]:
    """Yield the printers that take longer, or shorter, than the slicer says."""
    for device_id, some in _grouped(seen, lambda one: one.device_id).items():
        if (found := _ratio(some)) is None or not found[1]:
            continue
        ratio, _, count = found
        off = abs(1 - 1 / ratio)
        yield {
            "code": "estimate_off",
            "device_id": device_id,
            "ratio": round(ratio, 3),
            "n": count,
            "text": f"Estimates for {name_of(device_id)} are {off:.0%} too "
            f"{'short' if ratio > 1 else 'long'} (n={count}).",
        }


# -- the arithmetic -----------------------------------------------------------------------------------


def worse(one: Count, other: Count, rate: float) -> float:
    """Return the probability that prints of the first kind fail more often than those of the second.

    Each rate has a beta distribution that starts as ``PRIOR`` prints of the house's own rate.
    """
    first, second = (_density(count, rate) for count in (one, other))
    below, total = 0.0, 0.0
    for mine, theirs in zip(first, second, strict=True):
        # Half of a cell's own weight: two that are equal are each worse half of the time.
        total += mine * (below + theirs / 2)
        below += theirs
    return total


def began(had: Sequence[bool]) -> tuple[int, float]:
    """Return from which print on there was trouble more often than before, and how likely that is so.

    Compares one unknown rate all along with two rates and a change between any two prints, each as likely
    as another; that there are many places where it could have begun is thereby paid for.
    """
    count, all_ = len(had), sum(had)
    if count < 2:
        return 0, 0.0
    same = _evidence(all_, count)
    odds, best, place, before = 0.0, -math.inf, 0, int(had[0])
    for at in range(1, count):
        after = all_ - before
        if after * at > before * (count - at):
            split = _evidence(before, at) + _evidence(after, count - at) - same
            odds += math.exp(split) / (count - 1)
            if split > best and had[at]:
                best, place = split, at
        before += had[at]
    odds *= CHANGE / (1 - CHANGE)
    return place, odds / (1 + odds)


def _ratio(some: Iterable[Outcome]) -> tuple[float, bool, int] | None:
    """Return the mean factor between estimate and truth, whether it is surely off, and of how many prints."""
    logs = [
        math.log(one.took / one.estimated)
        for one in some
        if one.took and one.estimated and _SANE[0] < one.took / one.estimated < _SANE[1]
    ]
    if len(logs) < FEWEST:
        return None
    from statistics import fmean, stdev  # noqa: PLC0415 - 0.3 MB that only enough prints need

    # Twice the standard error is a little more than nine times of ten, with few prints too.
    middle, width = fmean(logs), 2 * stdev(logs) / math.sqrt(len(logs))
    is_off = abs(middle) - width > 0 and abs(middle) > math.log1p(OFF)
    return math.exp(middle), is_off, len(logs)


def _best(mine: Count, others: dict[str, Count], rate: float) -> tuple[str, Count, float] | None:
    """Return the other that is most surely better; None unless that is sure enough."""
    if mine.of < FEWEST or mine.failed < FEWEST_FAILED:
        return None
    found = [
        (worse(mine, theirs, rate), other, theirs)
        for other, theirs in others.items()
        if theirs.of >= FEWEST
    ]
    sure, other, theirs = max(found, key=lambda one: one[0], default=(0.0, "", mine))
    # Of several that are compared, one looks better by chance sooner than a single one would.
    return (other, theirs, round(sure, 3)) if 1 - sure < (1 - SURE) / len(found or " ") else None


def _density(count: Count, rate: float) -> list[float]:
    """Return the weight of each of so many equal steps of a failure rate."""
    a, b = count.failed + PRIOR * rate, count.of - count.failed + PRIOR * (1 - rate)
    steps = [(at + 0.5) / _STEPS for at in range(_STEPS)]
    logs = [(a - 1) * math.log(one) + (b - 1) * math.log1p(-one) for one in steps]
    top = max(logs)
    weights = [math.exp(one - top) for one in logs]
    total = sum(weights)
    return [one / total for one in weights]


def _evidence(had: int, of: int) -> float:
    """Return the log-probability of a row of outcomes whose rate may be anything."""
    return math.lgamma(had + 1) + math.lgamma(of - had + 1) - math.lgamma(of + 2)


def _rate(seen: Sequence[Outcome]) -> float:
    """Return how often prints fail here, never quite 0 or 1."""
    return (sum(not one.good for one in seen) + 1) / (len(seen) + 5)


def _count(some: Sequence[Outcome]) -> Count:
    return Count(failed=sum(not one.good for one in some), of=len(some))


def _worst(some: Sequence[Outcome]) -> Json:
    """Return the counts of some prints with what went wrong most often."""
    named = Counter(reason for one in some if not one.good for reason in one.reasons)
    count = _count(some)
    reason = named.most_common(1)[0][0] if named else None
    return {"failed": count.failed, "of": count.of, "reason": reason}


def _said(some: Sequence[Outcome]) -> str:
    found = _worst(some)
    mostly = f", most often {found['reason'].replace('_', ' ')}" if found["reason"] else ""
    return f"{found['failed']} of {found['of']} failed{mostly}"


def _grouped[K](seen: Sequence[Outcome], key: Callable[[Outcome], K]) -> dict[K, list[Outcome]]:
    found: defaultdict[K, list[Outcome]] = defaultdict(list)
    for one in seen:
        found[key(one)].append(one)
    return dict(found)


def _id(said: Json) -> str:
    """Return the same id for the same advice, whatever its figures are today."""
    about = [
        str(said.get(name)) for name in ("code", "device_id", "material", "artifact_id", "trouble")
    ]
    return hashlib.sha256("\n".join(about).encode()).hexdigest()[:32]
