"""Answers that are kept for a while, for questions that mean the same. Never for a command, never for a state.

What a person, a place, a prompt or a tool changes in an answer is part of its scope. Within a scope a question
finds its own words first; then those of the same facts (``facts``), nearest in meaning. The answers live in
memory. They are written down at an orderly stop only and taken up at the next start: a crash forgets them,
and with them whatever became untrue that nobody could note any more.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
import hashlib
from itertools import combinations
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from sqlalchemy import Connection, delete, insert, select

from brain_server import metrics
from brain_server.capabilities import ALL_ON, Switches
from brain_server.commands import Caller, NoParams, Params, Scope, command
from brain_server.errors import InvalidRequest
from brain_server.memory.content import hash_of, normal
from brain_server.memory.embedder import BACKGROUND_LIMIT, Embedder, Meaning
from brain_server.memory.facts import Facts, facts
from brain_server.observability import Tasks
from brain_server.protocol import Json
from brain_server.storage import Database
from brain_server.storage.tables import cached

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Seconds for which an answer holds, by its kind. What a device shows has none.
LIFETIMES: Final[Mapping[str, float]] = {"answer": 1_800.0, "list": 300.0}
LONGEST: Final = 2_000
CAPABILITY: Final = "cache"
_COLUMNS: Final = (
    *("scope", "question", "answer", "embedder", "vector", "size", "hits"),
    *("created_at", "used_at", "expires_at"),
)
# What an entry weighs beside its words and its vector.
OVERHEAD: Final = 1_200
# The entries of one scope that say the same word for word; more than these are never looked at.
MOST_ALIKE: Final = 32
SWEPT: Final = 8
INSERTED: Final = 500
# How near two questions of the same facts must be. Models spread meanings differently: the line lies so far
# above what unlike questions have in common.
LEAST: Final = 0.7
ABOVE_NOISE: Final = 0.5
PROBES: Final = (
    "What is the capital of Portugal?",
    "How long do I have to boil an egg?",
    "Who painted the ceiling of the chapel?",
    "When does the next train to the coast leave?",
    "Why is my bread not rising?",
    "How many legs does a spider have?",
    "Which plastic is good for outdoor parts?",
    "Is it safe to charge a battery overnight?",
    "Tell me a short story about a dragon",
    "What should I wear to a wedding?",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cached:
    """A kept answer, how old it is in seconds, and how near its question was; 1 for the same words."""

    key: str
    question: str
    answer: Any
    age: float
    score: float


@dataclass(slots=True, eq=False)
class _Topic:
    """What entries depend on; all of them are void once it is touched."""

    name: str
    holds: bool = True
    keys: set[str] = field(default_factory=set)
    size: int = 0


@dataclass(slots=True, eq=False, kw_only=True)
class _Entry:
    """An answer that was kept."""

    key: str
    scope: str
    topic: _Topic
    question: str
    facts: Facts
    # JSON: whoever gets the answer may change it
    answer: bytes
    embedder: str | None
    vector: NDArray[np.float16] | None
    size: int
    created_at: float
    used_at: float
    expires_at: float
    hits: int = 0


class Clear(Params):
    """What to forget: one entry, a topic, or everything."""

    key: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    topic: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    all: bool = False


def scope_of(**parts: Any) -> str:
    """Return the scope of whatever must be the same for an answer to hold: person, language, area, versions."""
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()


class Answers:
    """Keeps answers, at most so many bytes of them, and drops first what was not used for longest."""

    def __init__(
        self,
        database: Database,
        embedder: Embedder,
        tasks: Tasks,
        clock: Callable[[], float],
        *,
        most_bytes: int,
        switches: Switches = ALL_ON,
    ) -> None:
        """Take where answers wait from a stop to the next start, the model of meanings, the limit and the switches."""
        self._switches = switches
        self._db = database
        self._embedder = embedder
        self._tasks = tasks
        self._clock = clock
        self._most = most_bytes
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._alike: dict[tuple[str, Facts], list[_Entry]] = {}
        self._topics: dict[str, _Topic] = {}
        self._void: deque[_Topic] = deque()
        self._size = 0
        # How often a topic was touched, and everything cleared.
        self._epochs: Counter[str] = Counter()
        self._cleared = 0
        # How near is near enough, by model; 0 while that is being found out.
        self._lines: dict[str, float] = {}
        self.hits = 0
        self.misses = 0

    @property
    def hit_ratio(self) -> float:
        """Return which part of the questions found an answer; 0 before the first."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else 0.0

    async def start(self) -> None:
        """Take up the answers of the last orderly stop."""

        def work(connection: Connection) -> list[Json]:
            rows = connection.execute(select(cached).order_by(cached.c.used_at.desc())).mappings()
            found = [dict(row) for row in rows]
            connection.execute(delete(cached))
            return found

        rows = await self._db.write(work)
        now = self._clock()
        good = [row for row in rows if row["created_at"] <= now < row["expires_at"]]
        for row, about in await asyncio.to_thread(_read, good) if good else ():
            if self._size + row["size"] > self._most:
                break
            same = {name: row[name] for name in _COLUMNS}
            topic = self._topic(row["topic"])
            self._put(_Entry(key=row["id"], topic=topic, facts=about, **same))
        for key in list(
            reversed(self._entries)
        ):  # read newest first, so that the oldest are left out
            self._entries.move_to_end(key)

    async def stop(self) -> None:
        """Write the answers down that still hold."""
        now = self._clock()
        rows = [_row(entry) for entry in self._entries.values() if _holds(entry, now)]

        def work(connection: Connection) -> None:
            connection.execute(delete(cached))
            for at in range(0, len(rows), INSERTED):
                connection.execute(insert(cached), rows[at : at + INSERTED])

        await self._db.write(work)

    async def find(self, scope: str, meaning: Meaning, *, similar: bool = True) -> Cached | None:
        """Return the answer to this question, or to one of the same facts and nearly the same meaning.

        ``similar`` False: only to the same words, as for a language whose words ``facts`` does not know.
        """
        if not self._switches.is_on(CAPABILITY):
            return None
        found = await self._find(scope, meaning, similar=similar)
        metrics.count_look("answers", hit=found is not None)
        if found is None:
            self.misses += 1
            return None
        entry, score = found
        now = self._clock()
        self.hits += 1
        entry.hits += 1
        entry.used_at = now
        self._entries.move_to_end(entry.key)
        return Cached(
            key=entry.key,
            question=entry.question,
            answer=msgspec.json.decode(entry.answer),
            age=now - entry.created_at,
            score=score,
        )

    def epoch(self, topic: str) -> int:
        """Return what :meth:`keep` is given, taken before the answer is worked out."""
        return self._epochs[topic] + self._cleared

    async def keep(
        self,
        scope: str,
        topic: str,
        meaning: Meaning,
        answer: Any,
        kind: str = "answer",
        *,
        epoch: int | None = None,
    ) -> str | None:
        """Keep an answer and return its key; None when its topic was touched since ``epoch``, or it is too large.

        Nothing is kept while this is switched off.

        Raises InvalidRequest ``not_cacheable`` for what a device shows.
        """
        if (lifetime := LIFETIMES.get(kind)) is None:
            raise InvalidRequest("not_cacheable", "What a device shows is never kept", kind=kind)
        if not self._switches.is_on(CAPABILITY):
            return None
        began = self.epoch(topic) if epoch is None else epoch
        vector = await meaning.vector()
        self._sweep()
        written = msgspec.json.encode(answer)
        size = len(written) + len(meaning.text.encode()) + OVERHEAD
        size += 2 * len(vector.values) if vector is not None else 0
        if began != self.epoch(topic) or len(meaning.text) > LONGEST or size > self._most // 4:
            return None
        key = _key(scope, meaning.text)
        if (old := self._entries.get(key)) is not None:
            self._drop(old)
        now = self._clock()
        self._put(
            _Entry(
                key=key,
                scope=scope,
                topic=self._topic(topic),
                question=meaning.text,
                facts=facts(meaning.text),
                answer=written,
                embedder=vector.embedder if vector is not None else None,
                vector=vector.values.astype("float16") if vector is not None else None,
                size=size,
                created_at=now,
                used_at=now,
                expires_at=now + lifetime,
            )
        )
        while self._size > self._most:
            self._drop(next(iter(self._entries.values())))
        return key

    def touch(self, topic: str) -> None:
        """Make everything void that depends on a topic, at once, however much it is."""
        self._epochs[topic] += 1
        if (old := self._topics.pop(topic, None)) is not None:
            old.holds = False
            self._size -= old.size
            self._void.append(old)

    # -- commands -------------------------------------------------------------------------------------

    @command("cache.status", Scope.READ, read_only=True)
    async def status(self, _caller: Caller, _params: NoParams) -> Json:
        """Tell how many answers are kept, and which part of the questions found one."""
        topics: Counter[str] = Counter()
        for topic in self._topics.values():
            # What comes behind a colon may be the id of a person.
            topics[topic.name.partition(":")[0]] += len(topic.keys)
        return {
            "entries": sum(topics.values()),
            "bytes": self._size,
            "most_bytes": self._most,
            "hits": self.hits,
            "misses": self.misses,
            "hit_ratio": round(self.hit_ratio, 4),
            "topics": dict(sorted(topics.items())),
            "similar": self._lines.get(self._embedder.name or "", 0.0) > 0.0,
        }

    @command("cache.clear", Scope.CONTROL)
    async def clear(self, _caller: Caller, params: Clear) -> Json:
        """Forget one kept answer, those of a topic, or all."""
        match (params.key, params.topic, params.all):
            case (str() as key, None, False):
                entry = self._entries.get(key)
                cleared = int(entry is not None and entry.topic.holds)
                if entry is not None:
                    self._drop(entry)
            case (None, str() as name, False):
                topic = self._topics.get(name)
                cleared = len(topic.keys) if topic is not None else 0
                self.touch(name)
            case (None, None, True):
                cleared = sum(len(topic.keys) for topic in self._topics.values())
                self._forget_all()
            case _:
                raise InvalidRequest(
                    "invalid_params", "Give key, topic or all", reason="key, topic, all"
                )
        return {"cleared": cleared}

    # -- inside ---------------------------------------------------------------------------------------

    async def _find(
        self, scope: str, meaning: Meaning, *, similar: bool
    ) -> tuple[_Entry, float] | None:
        self._sweep()
        now = self._clock()
        if (entry := self._entries.get(_key(scope, meaning.text))) is not None:
            if _holds(entry, now):
                return entry, 1.0
            self._drop(entry)
        if not similar or len(meaning.text) > LONGEST:
            return None
        about = facts(meaning.text)
        # Only where there is something of the same facts is a model asked what the question means.
        if not about.words or not self._like(scope, about, now):
            return None
        if self._line() == 0.0 or (vector := await meaning.vector()) is None:
            return None
        # Its own line: it may be of the model of a moment ago.
        if (line := self._lines.get(vector.embedder, 0.0)) == 0.0:
            return None
        near = [
            (entry, float(entry.vector.astype("float32") @ vector.values))
            for entry in self._like(scope, about, self._clock())
            if entry.vector is not None
            and entry.embedder == vector.embedder
            and len(entry.vector) == len(vector.values)
        ]
        best = max(near, key=lambda one: one[1], default=None)
        return best if best is not None and best[1] >= line else None

    def _like(self, scope: str, about: Facts, now: float) -> list[_Entry]:
        """Return the entries of the same facts that hold; the others are dropped."""
        found = self._alike.get((scope, about), [])
        for entry in [entry for entry in found if not _holds(entry, now)]:
            self._drop(entry)
        return list(found)

    def _line(self) -> float:
        """Return how near is near enough for the model of now; 0 while that is not known."""
        name = self._embedder.name
        if name is None:
            return 0.0
        if name not in self._lines:
            self._lines[name] = 0.0
            self._tasks.start("calibration", self._calibrate(name))
        return self._lines[name]

    async def _calibrate(self, name: str) -> None:
        """Find out how near unlike questions lie for a model; what it takes for like lies well above."""
        vectors = await self._embedder.embed_many(PROBES, limit=BACKGROUND_LIMIT)
        good = [one.values for one in vectors if one is not None and one.embedder == name]
        if len(good) < len(PROBES):
            del self._lines[name]
            return
        noise = max(float(one @ other) for one, other in combinations(good, 2))
        self._lines[name] = max(LEAST, noise + (1 - noise) * ABOVE_NOISE)

    def _topic(self, name: str) -> _Topic:
        return self._topics.setdefault(name, _Topic(name))

    def _put(self, entry: _Entry) -> None:
        alike = self._alike.setdefault((entry.scope, entry.facts), [])
        if len(alike) >= MOST_ALIKE:
            self._drop(alike[0])
        alike = self._alike.setdefault((entry.scope, entry.facts), [])
        alike.append(entry)
        self._entries[entry.key] = entry
        entry.topic.keys.add(entry.key)
        entry.topic.size += entry.size
        self._size += entry.size

    def _drop(self, entry: _Entry) -> None:
        del self._entries[entry.key]
        place = (entry.scope, entry.facts)
        alike = self._alike[place]
        alike.remove(entry)
        if not alike:
            del self._alike[place]
        topic = entry.topic
        topic.keys.discard(entry.key)
        topic.size -= entry.size
        if topic.holds:
            self._size -= entry.size
            if not topic.keys:
                self._topics.pop(topic.name, None)

    def _sweep(self) -> None:
        """Drop a few of the entries whose topic was touched."""
        for _ in range(SWEPT):
            if not self._void:
                return
            topic = self._void[0]
            if topic.keys:
                self._drop(self._entries[next(iter(topic.keys))])
            else:
                self._void.popleft()

    def _forget_all(self) -> None:
        self._cleared += 1
        self._entries.clear()
        self._alike.clear()
        self._topics.clear()
        self._void.clear()
        self._size = 0


def _key(scope: str, question: str) -> str:
    return hash_of(f"{scope}\n{normal(question)}")[:32]


def _holds(entry: _Entry, now: float) -> bool:
    """Tell whether an entry may be served; a clock that was set back makes none younger."""
    return entry.topic.holds and entry.created_at <= now < entry.expires_at


def _row(entry: _Entry) -> Json:
    return {
        "id": entry.key,
        "scope": entry.scope,
        "topic": entry.topic.name,
        "question": entry.question,
        "question_hash": hash_of(normal(entry.question)),
        "embedder": entry.embedder,
        "vector": entry.vector.tobytes() if entry.vector is not None else None,
        "answer": msgspec.json.decode(entry.answer),
        "size": entry.size,
        "hits": entry.hits,
        "created_at": entry.created_at,
        "used_at": entry.used_at,
        "expires_at": entry.expires_at,
    }


def _read(rows: list[Json]) -> list[tuple[Json, Facts]]:
    """Return rows with their facts and their vectors as numbers."""
    import numpy as np  # noqa: PLC0415 - only where answers were kept

    return [
        (
            row
            | {
                "answer": msgspec.json.encode(row["answer"]),
                "vector": np.frombuffer(row["vector"], dtype=np.float16)
                if row["vector"] is not None
                else None,
            },
            facts(row["question"]),
        )
        for row in rows
    ]
