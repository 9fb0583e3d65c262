"""What the rules need to know of a language; one file in ``sentences`` fills it in."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module

from brain_server.conversation.rules.assent import ANSWERS, RULES
from brain_server.conversation.rules.grammar import Allowed, Grammar
from brain_server.protocol import Kind


@dataclass(frozen=True, kw_only=True)
class Language:
    """The words of one language, written as ``fold`` leaves them: lower case, without accents."""

    # Rule name to templates, and the rules that the templates refer to.
    sentences: Mapping[str, tuple[str, ...]]
    rules: Mapping[str, str]
    # Answers to "which": the rules first, last, every, number. Yes and no are those of every language.
    answers: Mapping[str, tuple[str, ...]]

    # Phrases that may stand before and after a request and mean nothing.
    before: tuple[str, ...]
    after: tuple[str, ...]
    # Phrases before a request that make a question mark polite.
    polite: tuple[str, ...]
    # Phrases before the name that answers "which".
    offering: tuple[str, ...]
    # Phrases that mean that it cannot wait; those at the end of a request are in "after" too.
    urgent: frozenset[str]
    # Phrases before a command that repeat the answer to an open question.
    agreeing: tuple[str, ...]

    contractions: Mapping[str, str]
    endings: Mapping[str, str]
    # Why a sentence with this word is not for the rules. "negation" forbids acts without exception.
    guards: Mapping[str, frozenset[str]]
    # Words that no name is made of: a slot that holds one was not a name.
    function_words: frozenset[str]

    # Leading words of a reference that carry no name; words that join two parts of one.
    articles: frozenset[str]
    # Articles that are dropped inside a name as well.
    silent: frozenset[str]
    joining: frozenset[str]
    conjunctions: frozenset[str]
    # Who stands for no person of the home in particular.
    nobody_named: frozenset[str]
    # Words for all of something, with how many they say (0: any number).
    every: Mapping[str, int]
    # Words that stand for all devices of the verb's kind, or for one that was meant before.
    everything: frozenset[str]
    pronouns: Mapping[str, bool]
    # Phrases for the place where one is, longest first.
    here: tuple[str, ...]
    # What a device of a kind is called, and whether the word is a plural.
    nouns: Mapping[Kind, Mapping[str, bool]]

    # Closed slots: the words and what they mean.
    deeds: Mapping[str, str]
    switches: Mapping[str, str]
    parts: Mapping[str, str]
    # Seconds of (since, until): before the last midnight, and before now.
    day_periods: Mapping[str, tuple[int, int | None]]
    periods: Mapping[str, tuple[int, int | None]]
    units: Mapping[str, int]
    past: tuple[str, ...]
    numbers: Mapping[str, int]
    ordinals: Mapping[str, int]
    # How one is said before "hundred" without saying "one".
    one: tuple[str, ...]
    hundred: str
    # Words around a file that are not part of its name, and its kinds on disk.
    file_words: frozenset[str]
    file_endings: frozenset[str]

    @cached_property
    def grammar(self) -> Grammar:
        """Return the compiled sentences."""
        return Grammar(self.sentences, self.rules, self._slots())

    @cached_property
    def answer_grammar(self) -> Grammar:
        """Return the compiled answers, with yes and no."""
        return Grammar({**ANSWERS, **self.answers}, {**RULES, **self.rules}, self._slots())

    def _slots(self) -> Mapping[str, Allowed]:
        """Return which words the slots with a closed vocabulary may take."""
        number = {*self.numbers, *self.ordinals, self.hundred, *self.conjunctions, *self.articles}
        period = _words(self.periods, self.day_periods, self.past, self.units) | number
        return {
            "number": lambda word: word in number or word[0].isdigit(),
            "part": (_words(self.parts) | self.articles).__contains__,
            "deed": _words(self.deeds).__contains__,
            "switch": _words(self.switches).__contains__,
            "period": lambda word: word in period or word[0].isdigit(),
        }

    @cached_property
    def verbs(self) -> frozenset[str]:
        """Return the words that deeds are told with."""
        return _words(self.deeds)

    @cached_property
    def known_words(self) -> frozenset[str]:
        """Return every word of the language here: none of them is a misspelt name."""
        words = set(self.grammar.words | self.function_words | set(self.numbers) | self.articles)
        for noun_table in self.nouns.values():
            words |= set(noun_table)
        for guard in self.guards.values():
            words |= guard
        return frozenset(words | self.joining | set(self.every) | self.everything)


def _words(*phrases: Iterable[str]) -> frozenset[str]:
    return frozenset(word for table in phrases for phrase in table for word in phrase.split())


@cache
def language(code: str) -> Language:
    """Return a language by its code. Raises ModuleNotFoundError when there is no file for it."""
    module = import_module(f"brain_server.conversation.rules.sentences.{code}")
    found: Language = module.LANGUAGE
    return found
