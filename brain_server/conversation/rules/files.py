"""From spoken words to the files of a printer."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
import re
from typing import Final

from brain_server.conversation.rules.language import Language
from brain_server.conversation.rules.text import fold

_WORD: Final = re.compile(r"[^\W_]+")
_SHORTEST_FUZZY: Final = 5
# As many as a person can choose from.
_MOST: Final = 8
_WHOLE, _START, _PART = 3, 2, 1


@dataclass(frozen=True, slots=True)
class Files:
    """The files that words can mean; ``sure`` when the one file may be acted on."""

    names: tuple[str, ...] = ()
    sure: bool = False


class FileIndex:
    """The files of one printer, by their words."""

    def __init__(self, files: Iterable[str], lang: Language) -> None:
        """Take the names of the files apart."""
        self._lang = lang
        self._files: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = []
        self._by_word: dict[str, set[int]] = defaultdict(set)
        for index, name in enumerate(files):
            whole = tuple(_WORD.findall(fold(name)))
            base = _base(name, lang.file_endings)
            self._files.append((name, whole, base))
            for word in (*whole, *base, "".join(whole), "".join(base)):
                self._by_word[word].add(index)

    def find(self, words: Sequence[str]) -> Files:
        """Return the files that the words name best: whole, from the start, or in part."""
        wanted = _wanted(words, self._lang)
        best: list[str] = []
        highest = (0, 0)
        for index in self._possible(wanted):
            name, whole, base = self._files[index]
            score = max(_fit(wanted, whole), _fit(wanted, base))
            if score[0] and score > highest:
                best, highest = [name], score
            elif score[0] and score == highest:
                best.append(name)
        # A misspelt part of a name is a guess; a whole name with one slip is not.
        sure = len(best) == 1 and not (highest[0] == _PART and highest[1])
        return Files(tuple(best[:_MOST]), sure=sure)

    def _possible(self, wanted: Sequence[str]) -> list[int]:
        """Return the files that have every wanted word, or one that it may be a slip for."""
        if not wanted:
            return []
        whole = self._by_word.get("".join(wanted), set())
        common = set.intersection(*(self._near(word) for word in set(wanted)))
        return sorted(whole | common)

    def _near(self, word: str) -> set[int]:
        if (
            word in self._by_word
            or len(word) < _SHORTEST_FUZZY - 1
            or word in self._lang.known_words
        ):
            return self._by_word.get(word, set())
        return {
            index
            for part, indexes in self._by_word.items()
            if _cost(word, part) <= 1
            for index in indexes
        }


def _wanted(words: Sequence[str], lang: Language) -> tuple[str, ...]:
    """Return the words that tell one file from another."""
    bare = [word for word in words if word not in lang.articles]
    while len(bare) > 1 and bare[-1] in lang.file_words and bare[-1] not in lang.file_endings:
        bare.pop()
    result: list[str] = []
    for word in bare:
        digits = str(lang.numbers[word]) if word in lang.numbers else word
        if digits.isdigit() and result and result[-1] == "version":
            result[-1] = f"v{digits}"
        else:
            result.append(digits)
    return tuple(part for word in result for part in _WORD.findall(word))


def _base(name: str, endings: frozenset[str]) -> tuple[str, ...]:
    """Return the words of a file name without its folder and its ending."""
    words = tuple(_WORD.findall(fold(name.rsplit("/", 1)[-1])))
    while len(words) > 1 and words[-1] in endings:
        words = words[:-1]
    return words


def _fit(wanted: Sequence[str], name: Sequence[str]) -> tuple[int, int]:
    """Return how much of a name the words are (nothing: 0), and minus the slips in them."""
    if wanted == name or "".join(wanted) == "".join(name):
        return _WHOLE, 0
    edits = 0
    places: list[int] = []
    for word in wanted:
        costs = [
            (_cost(word, part), index) for index, part in enumerate(name) if index not in places
        ]
        cost, at = min(costs, default=(2, 0))
        places.append(at)
        edits += cost
        if edits > 1:
            return 0, 0
    if len(places) == len(name):
        return _WHOLE, -edits
    from_start = sorted(places) == list(range(len(places)))
    return (_START if from_start else _PART), -edits


def _cost(word: str, part: str) -> int:
    """Return the edits between two words; 2 stands for too many."""
    if word == part:
        return 0
    if len(part) < _SHORTEST_FUZZY or not (word.isalpha() and part.isalpha()):
        return 2
    from rapidfuzz.distance import OSA  # noqa: PLC0415 - 2 MB that a brain saves until somebody misspells

    return OSA.distance(word, part, score_cutoff=1)
