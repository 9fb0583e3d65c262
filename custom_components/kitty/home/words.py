"""A sentence as the home compares it: folded, spelled out, stemmed, and without good manners."""

from difflib import SequenceMatcher
from functools import lru_cache
import re
from typing import Final
import unicodedata

from .lexicon import Lexicon, Value, ValueKind

ALIKE_ENOUGH: Final = 0.82
SHORTEST_FUZZY: Final = 4

_PART: Final = re.compile(r"[^\W_]+(?:[.:]\d+)*|,")
_COMMA: Final = re.compile(r"(?<!\d),|,(?!\d)|;|\.(?=\s|$)|[?!]")


def fold(text: str) -> str:
    """Return text without case, accents and fancy quotes."""
    text = text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").replace("`", "'").casefold()
    decomposed = unicodedata.normalize("NFKD", text.replace("°", "\0")).replace("\0", "°")
    return "".join(char for char in decomposed if not unicodedata.combining(char))


@lru_cache(maxsize=8)
def _number_words(numbers: tuple[tuple[str, str], ...]) -> re.Pattern[str]:
    """Return what finds the spelled numbers of a language, the longest first."""
    words = sorted((re.escape(word) for word, _ in numbers), key=len, reverse=True)
    return re.compile(rf"\b(?:{'|'.join(words)})\b")


def spell(text: str, lexicon: Lexicon) -> str:
    """Return a sentence in its plainest spelling; a comma stays, as a word of its own."""
    text = fold(text)
    for pattern, replacement in lexicon.spelling:
        text = pattern.sub(replacement, text)
    text = text.replace("-", " ")
    finder = _number_words(tuple(lexicon.numbers.items()))
    text = finder.sub(lambda found: lexicon.numbers[found[0]], text)
    for pattern, replacement in lexicon.fractions:
        text = pattern.sub(replacement, text)
    text = _COMMA.sub(" , ", text)
    return " ".join(_PART.findall(text)).strip(" ,")


def words_of(text: str, lexicon: Lexicon) -> tuple[str, ...]:
    """Return the stems of a name or phrase."""
    return tuple(lexicon.stem(word) for word in spell(text, lexicon).replace(",", " ").split())


def plain(text: str, lexicon: Lexicon) -> str:
    """Return a spelled sentence without its good manners."""
    before = None
    while before != text:
        before = text
        text = lexicon.polite_end.sub("", lexicon.polite_start.sub("", text)).strip(" ,")
    return text


@lru_cache(maxsize=4096)
def similar(one: str, other: str) -> bool:
    """Tell whether two words differ by no more than a slip of the tongue or the finger."""
    if min(len(one), len(other)) < SHORTEST_FUZZY or one[0] != other[0] or one.isdigit():
        return False
    return SequenceMatcher(None, one, other).ratio() >= ALIKE_ENOUGH


_DEGREES: Final = re.compile(r"(-?\d+(?:\.\d+)?) degrees?(?: (celsius|fahrenheit))?")
_PERCENT: Final = re.compile(r"(\d+(?:\.\d+)?) percent")
_KELVIN: Final = re.compile(r"(\d{4,5}) kelvin")
_NUMBER: Final = re.compile(r"(?:minus )?\d+(?:\.\d+)?")


def value_of(text: str, lexicon: Lexicon) -> Value | None:
    """Return the value that a phrase names; a phrase that names none is a word to look up later."""
    parts = [word for word in text.split() if word not in lexicon.fillers or word == "a"]
    joined = " ".join(word for word in parts if word not in lexicon.vague)
    for pattern, kind in (
        (_PERCENT, ValueKind.PERCENT),
        (_KELVIN, ValueKind.KELVIN),
        (_DEGREES, ValueKind.DEGREES),
    ):
        if found := pattern.fullmatch(joined):
            unit = found[2] if kind is ValueKind.DEGREES else None
            return Value(kind=kind, number=float(found[1]), unit=unit)
    if _NUMBER.fullmatch(joined):
        return Value(kind=ValueKind.NUMBER, number=float(joined.replace("minus ", "-")))
    if joined in lexicon.levels:
        return Value(kind=ValueKind.PERCENT, number=lexicon.levels[joined], word=joined)
    if joined in lexicon.colors:
        return Value(kind=ValueKind.COLOR, word=joined)
    if not joined or len(parts) > 4 or any(char.isdigit() for char in joined):
        return None
    return Value(kind=ValueKind.WORD, word=joined)
