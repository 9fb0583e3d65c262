"""From spoken words to the files of a printer."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
import re
from typing import Final

from rapidfuzz.distance import OSA

from brain_server.conversation.rules.language import Language
from brain_server.conversation.rules.text import fold

_WORD: Final = re.compile(r"[^\W_]+")
_SHORTEST_FUZZY: Final = 5
_MOST: Final = 8


@dataclass(frozen=True, slots=True)
class Files:
    """The files that words can mean; ``sure`` when the one file may be acted on."""

    names: tuple[str, ...]
    sure: bool


def find_files(words: Sequence[str], files: Sequence[str], lang: Language) -> Files:
    """Return the files that the words name best: whole, from the start, or in part."""
    wanted = _wanted(words, lang)
    if not wanted:
        return Files((), sure=False)
    best: list[str] = []
    highest = (0, 0)
    for name in files:
        score = max(
            _fit(wanted, parts) for parts in _names(name, lang.file_endings)
        )
        if score[0] and score > highest:
            best, highest = [name], score
        elif score[0] and score == highest:
            best.append(name)
    # A misspelt part of a name is a guess; a whole name with one slip is not.
    sure = len(best) == 1 and not (highest[0] == 1 and highest[1])
    return Files(tuple(best[:_MOST]), sure=sure)


def _wanted(words: Sequence[str], lang: Language) -> tuple[str, ...]:
    """Return the words that tell one file from another."""
    bare = [word for word in words if word not in lang.articles and word != "the"]
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


@lru_cache(maxsize=4096)
def _names(name: str, endings: frozenset[str]) -> tuple[tuple[str, ...], ...]:
    """Return the words of a file name, with and without its ending, and without its folder."""
    whole = tuple(_WORD.findall(fold(name)))
    base = tuple(_WORD.findall(fold(name.rsplit("/", 1)[-1])))
    while len(base) > 1 and base[-1] in endings:
        base = base[:-1]
    return whole, base


def _fit(wanted: Sequence[str], name: Sequence[str]) -> tuple[int, int]:
    """Return (3 whole, 2 start, 1 part, 0 not; minus edits) for how the words fit a name."""
    if wanted == name or "".join(wanted) == "".join(name):
        return 3, 0
    edits = 0
    places = []
    for word in wanted:
        at, cost = min(
            ((index, _cost(word, part)) for index, part in enumerate(name) if index not in places),
            key=lambda place: place[1],
            default=(0, 9),
        )
        if cost > 1:
            return 0, 0
        places.append(at)
        edits += cost
    if edits > 1:
        return 0, 0
    from_start = sorted(places) == list(range(len(places)))
    whole = len(places) == len(name)
    return (3 if whole else 2 if from_start else 1), -edits


def _cost(word: str, part: str) -> int:
    if word == part:
        return 0
    if len(part) < _SHORTEST_FUZZY or not (word.isalpha() and part.isalpha()):
        return 9
    return OSA.distance(word, part, score_cutoff=1)
