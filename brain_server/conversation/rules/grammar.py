"""Sentence templates such as ``(lock|bolt) [up] {device}`` and a matcher that tries all readings.

``(a|b)`` is a choice, ``[a]`` may be left out, ``{slot}`` takes one or more words of a clause, ``<rule>``
stands for another template. A reading always explains the whole sentence.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
import re
from typing import Final, NamedTuple

# More readings than any real sentence has.
_MAX_READINGS: Final = 256
# Longer than any name: a longer slot would only cost time.
_LONGEST_SLOT: Final = 12
_PARTS: Final = re.compile(r"[\[\]()|]|\{\w+\}|<\w+>|[^\s\[\]()|{}<>]+")

# The end of a clause. It matches no template and no slot.
STOP: Final = "."

type Captures = tuple[tuple[str, int, int], ...]
type _Step = Callable[[Sequence[str], int, Captures, list[Reading]], None]
type _Node = str | _Slot | _Choice | _End
type Allowed = Callable[[str], bool]
type _Sequence = tuple[_Node, ...]


class Reading(NamedTuple):
    """One way to read a sentence: the rule, and where each slot starts and ends."""

    rule: str
    captures: Captures


@dataclass(frozen=True, slots=True)
class _Slot:
    """A place for words that have a name."""

    name: str
    allowed: Allowed | None


@dataclass(frozen=True, slots=True)
class _Choice:
    """Any of these."""

    branches: tuple[_Sequence, ...]


@dataclass(frozen=True, slots=True)
class _End:
    """The end of a template."""

    rule: str


class Grammar:
    """Compiled templates, in the order in which they were given."""

    def __init__(
        self,
        sentences: Mapping[str, Iterable[str]],
        rules: Mapping[str, str] | None = None,
        slots: Mapping[str, Allowed] | None = None,
    ) -> None:
        """Compile ``sentences``: rule name to templates. Raises ValueError on a bad template.

        ``slots`` says of some slots which words they may take.
        """
        self._rules = rules or {}
        self._slots = slots or {}
        self.words: set[str] = set()
        ends = [
            (*branch, _End(rule))
            for rule, templates in sentences.items()
            for template in templates
            for branch in self._parse(template)
        ]
        self._root = _choice(tuple(ends), _nothing)

    def readings(self, words: Sequence[str]) -> list[Reading]:
        """Return the readings of the whole sentence, each once, in template order."""
        found: list[Reading] = []
        self._root(words, 0, (), found)
        return list(dict.fromkeys(found))

    def _parse(self, template: str) -> tuple[_Sequence, ...]:
        parts = _PARTS.findall(template)
        branches, rest = self._branches(parts, 0)
        if rest != len(parts):
            raise ValueError(f"unbalanced template: {template}")
        return branches

    def _branches(self, parts: list[str], at: int) -> tuple[tuple[_Sequence, ...], int]:
        branches: list[_Sequence] = []
        current: list[_Node] = []
        while at < len(parts) and parts[at] not in (")", "]"):
            part = parts[at]
            at += 1
            if part == "|":
                branches.append(tuple(current))
                current = []
            elif part in ("(", "["):
                inner, at = self._branches(parts, at)
                if at >= len(parts) or parts[at] != {"(": ")", "[": "]"}[part]:
                    raise ValueError(f"unbalanced template: {' '.join(parts)}")
                at += 1
                current.append(_Choice(inner if part == "(" else (*inner, ())))
            else:
                current.append(self._leaf(part))
        return (*branches, tuple(current)), at

    def _leaf(self, part: str) -> _Node:
        if part.startswith("{"):
            return _Slot(part[1:-1], self._slots.get(part[1:-1]))
        if part.startswith("<"):
            return _Choice(self._parse(self._rules[part[1:-1]]))
        self.words.add(part)
        return part


def _nothing(_words: Sequence[str], _at: int, _captures: Captures, _found: list[Reading]) -> None:
    """Continue nowhere: what follows the end of a template."""


def _sequence(nodes: _Sequence, after: _Step) -> _Step:
    for node in reversed(nodes):
        after = _step(node, after)
    return after


def _step(node: _Node, after: _Step) -> _Step:
    if isinstance(node, str):
        return _choice(((node,),), after)
    if isinstance(node, _Slot):
        return _slot(node, after)
    if isinstance(node, _Choice):
        return _choice(node.branches, after)
    return _end(node.rule)


def _slot(slot: _Slot, after: _Step) -> _Step:
    name, allowed = slot.name, slot.allowed

    def step(words: Sequence[str], at: int, captures: Captures, found: list[Reading]) -> None:
        for end in range(at + 1, min(len(words), at + _LONGEST_SLOT) + 1):
            word = words[end - 1]
            if word == STOP or (allowed is not None and not allowed(word)):
                return
            after(words, end, (*captures, (name, at, end)), found)

    return step


def _end(rule: str) -> _Step:
    def step(words: Sequence[str], at: int, captures: Captures, found: list[Reading]) -> None:
        if at == len(words) and len(found) < _MAX_READINGS:
            found.append(Reading(rule, captures))

    return step


def _choice(branches: tuple[_Sequence, ...], after: _Step) -> _Step:
    # Branches that start with a word are looked up by it, so that hundreds of templates cost one lookup.
    by_word: dict[str, list[_Sequence]] = {}
    others: list[_Step] = []
    for branch in branches:
        if branch and isinstance(branch[0], str):
            by_word.setdefault(branch[0], []).append(branch[1:])
        else:
            others.append(_sequence(branch, after))
    table = {
        word: _sequence(rests[0], after) if len(rests) == 1 else _choice(tuple(rests), after)
        for word, rests in by_word.items()
    }

    def step(words: Sequence[str], at: int, captures: Captures, found: list[Reading]) -> None:
        if at < len(words) and (follow := table.get(words[at])) is not None:
            follow(words, at + 1, captures, found)
        for other in others:
            other(words, at, captures, found)

    return step
