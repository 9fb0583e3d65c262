"""Search by words, for a house without a model of meanings: BM25 over what is remembered, in this process."""

from array import array
import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
import math
import re
from typing import Final

K1: Final = 1.2
B: Final = 0.6
# An index in which half of the entries are gone is made anew.
MOST_GONE: Final = 0.5
# A word that nearly every text has tells them apart by less than this part; it would cost most of the time.
NOTHING: Final = 0.01
# More texts than these are searched in a thread.
INLINE: Final = 2_000

_WORD: Final = re.compile(r"[^\W_]+(?:[.,:'\u2019][^\W_]+)*")
_SMALL_WORDS: Final = """
the an and or but if of to in on at by for with from as is are was were be been am do does did has have had
will would can could should may might must shall i me my you your he him his she her it its we us our they them
their this that these those there here what which who whom whose when where why how not no so than then too very
just about into over under up down out again also please tell know
ist der die das und ein eine le la les un une et el los las y de het een en
"""
_SMALL: Final = frozenset(_SMALL_WORDS.split())
_ENDINGS: Final = (
    ("ies", "y"), ("ied", "y"), ("sses", "ss"), ("ingly", ""), ("edly", ""),
    ("ing", ""), ("ed", ""), ("es", "e"), ("s", ""), ("ly", ""),
)  # fmt: skip


def stem(word: str) -> str:
    """Return a word without its English ending, so that forms of one word are the same."""
    word = word.removesuffix("'s").removesuffix("\u2019s")
    if len(word) < 4 or not word.isalpha() or word.endswith("ss"):
        return word
    for ending, instead in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: len(word) - len(ending)] + instead
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsz":
        word = word[:-1]
    return word.removesuffix("e") if len(word) > 3 else word


def tokens(text: str) -> list[str]:
    """Return the words that a search goes by. A single capital letter counts: printer A is not printer B."""
    found = []
    for at in _WORD.finditer(text):
        word = at[0]
        if (
            len(word) == 1
            and word.isalpha()
            and not (word.isupper() and word != "I" and at.start())
        ):
            continue
        if (small := word.casefold()) not in _SMALL:
            found.append(stem(small))
    return found


class Index:
    """The words of some texts; each text has an id."""

    def __init__(self) -> None:
        """Start empty."""
        self._ids: list[str | None] = []
        self._words: list[tuple[str, ...]] = []
        self._slots: dict[str, int] = {}
        self._found: dict[str, array[int]] = {}
        self._length = 0

    def __len__(self) -> int:
        return len(self._slots)

    def add(self, entry: str, text: str) -> None:
        """Add a text; one that is there already stays."""
        if entry in self._slots:
            return
        slot = self._slots[entry] = len(self._ids)
        words = tuple(tokens(text))
        self._ids.append(entry)
        self._words.append(words)
        self._length += len(words)
        for word in words:
            self._found.setdefault(word, array("I")).append(slot)

    def remove(self, entry: str) -> None:
        """Remove a text if it is there."""
        if (slot := self._slots.pop(entry, None)) is None:
            return
        self._ids[slot] = None
        self._length -= len(self._words[slot])
        if len(self._slots) < len(self._ids) * MOST_GONE:
            self._compact()

    def search(self, text: str, limit: int) -> list[tuple[str, float]]:
        """Return the best ids with a score from 0 to 1: how much of what was asked is in a text."""
        asked = set(tokens(text))
        weights = {word: self._weight(word) for word in asked}
        # What a text of average length has that holds each word once; more than all is still all.
        most = sum(weights.values())
        average = self._length / max(1, len(self._slots)) or 1.0
        scores: defaultdict[int, float] = defaultdict(float)
        for word in asked & self._found.keys():
            if weights[word] < NOTHING * most:
                continue
            for slot, count in Counter(self._found[word]).items():
                long = 1 - B + B * len(self._words[slot]) / average
                scores[slot] += weights[word] * count * (K1 + 1) / (count + K1 * long)
        best = sorted(
            ((score, entry) for slot, score in scores.items() if (entry := self._ids[slot])),
            reverse=True,
        )
        return [(entry, min(1.0, score / most)) for score, entry in best[:limit]]

    def _weight(self, word: str) -> float:
        """Return how much a word tells: a word that no text has counts as the rarest."""
        having = len(self._found.get(word, ()))
        return math.log(1 + (len(self._ids) - having + 0.5) / (having + 0.5))

    def _compact(self) -> None:
        kept = [
            (entry, words)
            for entry, words in zip(self._ids, self._words, strict=True)
            if entry is not None
        ]
        self._ids = [entry for entry, _ in kept]
        self._words = [words for _, words in kept]
        self._slots = {entry: slot for slot, (entry, _) in enumerate(kept)}
        self._found = {}
        for slot, (_, words) in enumerate(kept):
            for word in words:
                self._found.setdefault(word, array("I")).append(slot)


class Lexicon:
    """An index for each namespace, made from the rows when it is first searched."""

    def __init__(self, load: Callable[[str], Awaitable[Sequence[tuple[str, str]]]]) -> None:
        """Take what reads the ids and texts of a namespace."""
        self._load = load
        self._indexes: dict[str, Index] = {}
        self._lock = asyncio.Lock()

    async def add(self, namespace: str, entry: str, text: str) -> None:
        """Add a text, if the index of its namespace is in memory."""
        async with self._lock:
            if namespace in self._indexes:
                self._indexes[namespace].add(entry, text)

    async def remove(self, namespace: str, ids: Iterable[str]) -> None:
        """Remove texts."""
        async with self._lock:
            if (index := self._indexes.get(namespace)) is not None:
                for entry in ids:
                    index.remove(entry)

    async def search(
        self, namespaces: Collection[str], text: str, limit: int
    ) -> list[tuple[str, float]]:
        """Return the best ids of these namespaces with their scores, best first."""
        async with self._lock:
            indexes = [await self._index(one) for one in sorted(namespaces)]
            if sum(map(len, indexes)) <= INLINE:
                return _search(indexes, text, limit)
            return await asyncio.to_thread(_search, indexes, text, limit)

    async def _index(self, namespace: str) -> Index:
        if (index := self._indexes.get(namespace)) is None:
            rows = await self._load(namespace)
            index = self._indexes[namespace] = await asyncio.to_thread(_filled, rows)
        return index


def overlap(asked: str, texts: Mapping[str, str]) -> dict[str, float]:
    """Return for each of a few texts which part of the asked words it has, rare words counting more."""
    wanted = set(tokens(asked))
    having = {entry: wanted & set(tokens(text)) for entry, text in texts.items()}
    seen = Counter(_flat(having.values()))
    weights = {word: math.log(1 + len(texts) / (1 + seen[word])) for word in wanted}
    most = sum(weights.values())
    return {
        entry: sum(weights[word] for word in words) / most if most else 0.0
        for entry, words in having.items()
    }


def _filled(rows: Sequence[tuple[str, str]]) -> Index:
    index = Index()
    for entry, text in rows:
        index.add(entry, text)
    return index


def _search(indexes: Sequence[Index], text: str, limit: int) -> list[tuple[str, float]]:
    found = [hit for index in indexes for hit in index.search(text, limit)]
    return sorted(found, key=lambda hit: hit[1], reverse=True)[:limit]


def _flat(groups: Iterable[Sequence[str] | set[str]]) -> list[str]:
    return [one for group in groups for one in group]
