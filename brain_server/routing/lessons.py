"""Lessons: what this house's own questions teach about when the near model is not enough.

A small logistic model over words, letters and the traits of a question. It starts as the rules that
everybody gets (judge.WEIGHTS), learns one question at a time from what came of it, and fades back when
nothing teaches it any more. No text is kept: only weights of hashed pieces of words.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
import math
import re
from typing import Final
import zlib

from brain_server.protocol import Json
from brain_server.providers import TierName
from brain_server.routing import Attempt, stored
from brain_server.routing.judge import SURE, squash, traits, weighed
from brain_server.storage import Database

_KEY: Final = "lessons"
BUCKETS: Final = 1 << 14
LETTERS: Final = 3
# How far one lesson moves a weight that was never moved; later ones move it less (AdaGrad).
RATE: Final = 0.5
_CALM: Final = 1e-2
LONGEST: Final = 600
# After so long without lessons half of what was learned is gone, so that a model is tried again.
HALF_LIFE: Final = 30 * 86_400.0
SAVE_EVERY: Final = 10
MOST_TALKS: Final = 256
# A weight below this says nothing; what has faded less than this needs no new counting.
_TINY: Final = 1e-3
_FRESH: Final = 0.99

_WORD: Final = re.compile(r"\w+")
_WRONG: Final = re.compile(
    r"(?i)^\W*(?:no\b\W*)?(?:that(?:'s| is| was)|this is|you(?:'re| are| were)|it(?:'s| is))?\W*(?:still |all |just )?"
    r"(?:wrong|incorrect|not (?:right|true|correct|what I (?:meant|asked|said|wanted)))\b|^\W*no\W+(?:I meant|not)\b"
)

type Features = dict[str, float]


class Learner:
    """The model alone: it reads, learns and fades."""

    def __init__(self, now: float) -> None:
        """Start as the rules; ``now`` are POSIX seconds, here as everywhere below."""
        # By feature: what was learned beyond the rules, and how much it was moved in all.
        self._weights: dict[str, float] = {}
        self._moved: dict[str, float] = {}
        self._faded_at = now

    def difficulty(self, text: str, now: float) -> float:
        """Return how likely a question needs the dearer model, from 0 to 1."""
        self._fade(now)
        return squash(self._odds(text, features(text)))

    def learn(self, text: str, worth: float, now: float) -> None:
        """Learn from one question: 1 if it was one for the dearer model, 0 if the near one was enough."""
        self._fade(now)
        found = features(text)
        error = squash(self._odds(text, found)) - worth
        for name, value in found.items():
            slope = error * value
            moved = self._moved.get(name, 0.0) + slope * slope
            self._moved[name] = moved
            step = RATE * slope / math.sqrt(_CALM + moved)
            self._weights[name] = self._weights.get(name, 0.0) - step

    def dump(self) -> Json:
        """Return what was learned."""
        weights = {
            name: [round(weight, 4), round(self._moved[name], 4)]
            for name, weight in self._weights.items()
        }
        return {"at": self._faded_at, "weights": weights}

    def load(self, value: Json) -> None:
        """Take what was learned before."""
        self._weights = {name: float(pair[0]) for name, pair in value["weights"].items()}
        self._moved = {name: float(pair[1]) for name, pair in value["weights"].items()}
        self._faded_at = float(value["at"])

    def _odds(self, text: str, found: Features) -> float:
        learned = sum(self._weights.get(name, 0.0) * value for name, value in found.items())
        return weighed(traits(text[:LONGEST])) + learned

    def _fade(self, now: float) -> None:
        """Let what was learned fade; what is as good as nothing is dropped."""
        left = 0.5 ** (max(0.0, now - self._faded_at) / HALF_LIFE)
        if left > _FRESH:
            return
        self._faded_at = now
        kept = {name: weight * left for name, weight in self._weights.items()}
        self._weights = {name: weight for name, weight in kept.items() if abs(weight) > _TINY}
        self._moved = {name: self._moved[name] * left for name in self._weights}


class Lessons:
    """Teaches a learner from the turns of this house, and keeps what it learned."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        """Take the database of the brain and a clock that tells POSIX seconds."""
        self._db = database
        self._clock = clock
        self._learner = Learner(clock())
        self._unsaved = 0
        # The last question of each conversation that the near model answered: it may be corrected.
        self._answered: OrderedDict[str, str] = OrderedDict()

    async def start(self) -> None:
        """Load what was learned before."""
        found = await self._db.read(lambda connection: stored.load(connection, _KEY))
        if found is not None:
            self._learner.load(found)

    async def stop(self) -> None:
        """Store what was learned since the last time."""
        if self._unsaved:
            await self._save()

    def difficulty(self, text: str) -> float:
        """Return how likely a question needs the dearer model, from 0 to 1."""
        return self._learner.difficulty(text, self._clock())

    async def note(self, conversation_id: str, text: str, attempts: Sequence[Attempt]) -> None:
        """Learn from how a turn was answered, or from its being a correction of the one before."""
        before = self._answered.pop(conversation_id, None)
        if is_correction(text):
            if before is not None:
                self._learn(before, 1.0)
        elif (worth := worth_of(attempts)) is not None:
            self._learn(text, worth)
            if worth == 0.0:
                self._answered[conversation_id] = text
            if len(self._answered) > MOST_TALKS:
                self._answered.popitem(last=False)
        if self._unsaved >= SAVE_EVERY:
            await self._save()

    def _learn(self, text: str, worth: float) -> None:
        self._learner.learn(text, worth, self._clock())
        self._unsaved += 1

    async def _save(self) -> None:
        unsaved, self._unsaved, value = self._unsaved, 0, self._learner.dump()
        try:
            await self._db.write(lambda connection: stored.store(connection, _KEY, value))
        except BaseException:  # also of who is called off meanwhile
            self._unsaved += unsaved
            raise


def features(text: str) -> Features:
    """Return the features of a question: its traits by name, its pieces by the number of their bucket."""
    short = text[:LONGEST]
    found = {name: value for name, value in traits(short).items() if value}
    pieces = {str(zlib.crc32(piece.encode()) % BUCKETS) for piece in _pieces(short)}
    return found | dict.fromkeys(pieces, 1 / math.sqrt(len(pieces) or 1))


def _pieces(text: str) -> Iterator[str]:
    """Yield the words, the pairs of words, and every three letters in a row."""
    words = _WORD.findall(text.casefold())
    yield from words
    yield from (" ".join(pair) for pair in zip(["^", *words], words, strict=False))
    line = f" {' '.join(words)} "
    yield from (f"#{line[at : at + LETTERS]}" for at in range(len(line) - LETTERS + 1))


def worth_of(attempts: Sequence[Attempt]) -> float | None:
    """Return what a turn teaches: 1 if the dearer model was needed and knew, 0 if the near one did, else None."""
    answer, *before = attempts
    reply = answer.reply
    if reply.cached or not reply.certain or reply.confidence < SURE:
        return None
    if answer.tier is TierName.LOCAL:
        return 0.0
    failed = any(
        one.tier is TierName.LOCAL and one.reply.reason == "low_confidence" for one in before
    )
    return 1.0 if failed and answer.tier is TierName.FRONTIER else None


def is_correction(text: str) -> bool:
    """Tell whether a person says that the answer before was wrong."""
    return bool(_WRONG.search(text))
