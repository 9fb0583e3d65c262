"""From what was said to plain words, with what cannot be a word kept as a warning."""

from collections.abc import Mapping
from dataclasses import dataclass
import re
from typing import Final, NamedTuple
import unicodedata

from brain_server.conversation.rules.grammar import STOP

MAX_CHARS: Final = 300
MAX_WORDS: Final = 32

_PIECES: Final = re.compile(
    r"(?P<word>\d+\.\d+(?![\w.])|[^\W_]+(?:'[^\W_]+)*)|(?P<stop>[.?!;:…]+(?=\s|$)|\n)"
)
_QUOTED: Final = re.compile(r"\"([^\"]*)\"?|(?<!\w)'|'(?!\w)")
_ODD: Final = re.compile(r"[^\w\s,.!?¿¡;:'\"/&°…+-]")
# Strike-through marks and direction overrides: what is seen is not what is written.
_DISGUISED: Final = re.compile("[\u0334-\u0338\u20d0-\u20ff\u202a-\u202e\u2066-\u2069]")
_SAME: Final = str.maketrans(
    "\u2018\u2019\u201b\u02bc`\u00b4\u2032\u201c\u201d\u201e\u201f«»\u2033\u2010\u2011\u2012\u2013\u2014\u2212",
    "'''''''\"\"\"\"\"\"\"------",
)


class Token(NamedTuple):
    """One word, folded, and where it stands in the cleaned text."""

    word: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What was said, as words."""

    clean: str
    tokens: tuple[Token, ...]
    question: bool
    # Signs that are no part of a plain request: emoji, brackets, arrows.
    odd: bool
    # What stands between quotation marks; None for a mark without its partner.
    quoted: tuple[str | None, ...]


def fold(word: str) -> str:
    """Return a word without case and accents."""
    if word.isascii():
        return word.lower()
    decomposed = unicodedata.normalize("NFKD", word.casefold())
    return "".join(char for char in decomposed if not unicodedata.combining(char))


def listen(text: str, contractions: Mapping[str, str], endings: Mapping[str, str]) -> Said | None:
    """Return what was said as words; None when it is too long to be a request."""
    if len(text) > MAX_CHARS:
        return None
    clean = _clean(text)
    tokens: list[Token] = []
    for piece in _PIECES.finditer(clean):
        if piece["stop"]:
            tokens.append(Token(STOP, piece.start(), piece.end()))
            continue
        words = _expand(fold(piece["word"]), contractions, endings)
        tokens.extend(Token(word, piece.start(), piece.end()) for word in words)
    if len(tokens) > MAX_WORDS:
        return None
    return Said(
        clean=clean,
        tokens=tuple(tokens),
        question="?" in clean,
        odd=bool(_ODD.search(clean) or _DISGUISED.search(text)),
        quoted=tuple(match[1] for match in _QUOTED.finditer(clean)),
    )


def words_of(name: str, endings: Mapping[str, str]) -> tuple[str, ...]:
    """Return the folded words of a name; possessive endings are dropped."""
    pieces = (piece["word"] for piece in _PIECES.finditer(_clean(name)))
    return tuple(
        word
        for piece in pieces
        if piece
        for word in _expand(fold(piece), {}, dict.fromkeys(endings, ""))
    )


def _clean(text: str) -> str:
    """Return the text with quotes and dashes made uniform, without control and invisible signs."""
    normal = unicodedata.normalize("NFKC", text.translate(_SAME)).translate(_SAME)
    if normal.isascii() and normal.isprintable():
        return normal
    return "".join(map(_visible, normal))


def _visible(char: str) -> str:
    """Return the character; nothing where it may sit inside a word, a space for other controls."""
    category = unicodedata.category(char)
    if category in ("Cf", "Mn"):
        return ""
    return " " if category[0] == "C" and char != "\n" else char


def _expand(
    word: str, contractions: Mapping[str, str], endings: Mapping[str, str]
) -> tuple[str, ...]:
    """Return the words that a contraction stands for."""
    if (whole := contractions.get(word)) is not None:
        return tuple(whole.split())
    if "'" not in word:
        return (word,)
    for ending, meaning in endings.items():
        if word.endswith(ending):
            return tuple(part for part in (word[: -len(ending)], meaning) if part)
    return (word.replace("'", ""),)
