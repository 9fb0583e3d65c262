"""One sentence on its way to a meaning, and the small questions that every reading asks of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
import re
from typing import Final

from brain_server.conversation.rules.grammar import STOP, Captures
from brain_server.conversation.rules.model import Here, NotFound
from brain_server.conversation.rules.names import CompiledHome, Reference
from brain_server.conversation.rules.text import Said, Token
from brain_server.protocol import Kind

ALL_KINDS: Final = frozenset(Kind)

_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?(?=c?$)")
_MAX_NAME: Final = 5


@dataclass(slots=True, kw_only=True)
class Context:
    """A sentence without its courtesies, in a home, said in a place."""

    said: Said
    tokens: tuple[Token, ...]
    home: CompiledHome
    here: Here
    polite: bool = False
    urgent: bool = False
    words: tuple[str, ...] = ()
    _references: dict[tuple[tuple[str, ...], frozenset[Kind]], Reference] = field(
        default_factory=dict
    )

    def __post_init__(self) -> None:
        """Keep the words apart from where they stand."""
        self.words = tuple(token.word for token in self.tokens)

    def slots(self, captures: Captures, name: str) -> list[tuple[int, int]]:
        """Return where the slots of a name are, in order."""
        return [(start, end) for slot, start, end in captures if slot == name]

    def slot(self, captures: Captures, name: str) -> tuple[str, ...]:
        """Return the words in the first slot of a name; none when the reading has no such slot."""
        for slot, start, end in captures:
            if slot == name:
                return self.words[start:end]
        return ()

    def refer(self, words: tuple[str, ...], kinds: frozenset[Kind]) -> Reference:
        """Return what a reference can mean here."""
        key = (words, kinds)
        if key not in self._references:
            self._references[key] = self.home.refer(words, kinds, self.here.area_id)
        return self._references[key]

    def raw(self, start: int, end: int) -> str:
        """Return the text between two tokens as it was written, without leading articles."""
        while start < end - 1 and self.words[start] in self.home.language.articles:
            start += 1
        return self.said.clean[self.tokens[start].start : self.tokens[end - 1].end]

    def is_name(self, words: Sequence[str], *, most: int = _MAX_NAME) -> bool:
        """True when the words could name a thing: none of them is a verb or says when, if or who."""
        lang = self.home.language
        bare = [word for word in words if word not in lang.articles]
        if not bare or len(bare) > most or all(word in lang.pronouns for word in bare):
            return False
        if bare[0] in lang.joining or bare[-1] in lang.joining:
            return False
        if any(a in lang.joining and (b.isdigit() or b in lang.numbers) for a, b in pairwise(bare)):
            return False
        nouns = {noun for table in lang.nouns.values() for noun in table}
        return not any(
            word in lang.function_words
            or word == STOP
            or word in lang.conjunctions
            or (word in lang.verbs and word not in nouns and word not in lang.joining)
            or any(word in guard for guard in lang.guards.values())
            for word in bare
        )

    def missing(self, words: tuple[str, ...], *, kinds: frozenset[Kind] | None) -> NotFound | None:
        """Return that there is no such device; with ``kinds`` only for what is called one of them."""
        lang = self.home.language
        nouns = {noun for kind in kinds or () for noun in lang.nouns.get(kind, {})}
        if not self.is_name(words) or (kinds is not None and nouns.isdisjoint(words)):
            return None
        return NotFound(what="device", name=self.phrase(words))

    def phrase(self, words: Sequence[str]) -> str:
        """Return words as a phrase, without leading articles."""
        articles = self.home.language.articles | set(self.home.language.every)
        at = next((i for i, word in enumerate(words) if word not in articles), len(words) - 1)
        return " ".join(words[at:])

    def number(self, start: int, end: int) -> float | None:
        """Return the number between two tokens, in digits or words."""
        first = self.tokens[start].start
        if first and self.said.clean[first - 1] == "-":
            return None
        words = self.words[start:end]
        if len(words) == 1 and (digits := _NUMBER.match(words[0])):
            return float(digits[0])
        return self._spelled(words)

    def _spelled(self, words: Sequence[str]) -> float | None:
        """Return the value of number words below a thousand."""
        lang = self.home.language
        total, below = 0, 1000
        for index, word in enumerate(words):
            value = lang.numbers.get(word)
            if word == lang.hundred and (total or words[:index] == lang.one) and total < 10:
                total, below = max(total, 1) * 100, 100
            elif index == 0 and words[:1] == lang.one:
                below = 0
            elif word in lang.conjunctions and below == 100 and index < len(words) - 1:
                continue
            elif value is None or value >= below or (index and not value):
                return None
            else:
                total, below = total + value, 10 if value >= 20 else 1
        return float(total) if words and words != lang.one else None
