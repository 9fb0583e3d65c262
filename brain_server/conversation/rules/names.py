"""From a reference such as "the bench light in the workshop" to the devices that it can mean.

Every word of a reference must be explained: by the device's name, by its whole area, or as a word for
its kind. Only words that the home and the language do not know may be misspelt.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final, NamedTuple

from brain_server.conversation.rules.files import FileIndex
from brain_server.conversation.rules.grammar import STOP
from brain_server.conversation.rules.language import Language, language
from brain_server.conversation.rules.model import Home, Named
from brain_server.conversation.rules.text import words_of
from brain_server.protocol import Kind

_SHORTEST_FUZZY: Final = 5
_SHORTEST_TWO_EDITS: Final = 9
_MAX_EDITS: Final = 2
# A place says which door or light is meant; "the workshop" is no way to name a printer.
_NAMED_BY_PLACE: Final = frozenset({Kind.DOOR, Kind.LIGHT})

type Alternatives = Mapping[str, int]


class Level(IntEnum):
    """How well a reference names a device."""

    NONE = 0
    KIND = 1  # only its kind, its place, or both: "the door in the garage"
    PART = 2  # a word of its name: "the prusa" for Prusa MK3
    NAME = 3  # all of its name but the word for its kind: "the bench" for Bench light
    EXACT = 4


class Match(NamedTuple):
    """A device that a reference can mean."""

    device: Named
    level: Level
    edits: int
    # For a part of a name: whether it is a part that tells devices apart, as "saw" in Table saw.
    telling: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What a reference can mean: the best matches, and how many of them it says."""

    matches: tuple[Match, ...] = ()
    plural: bool = False
    every: bool = False
    # How many devices were said, as in "both"; 0 when it was not said.
    count: int = 0
    # The place that the reference names.
    place: str | None = None
    # Found only by a guess too weak to act on.
    weak: bool = False

    @property
    def placed(self) -> bool:
        """True when the reference names a place."""
        return self.place is not None

    @property
    def level(self) -> Level:
        """Return how well the best match is named."""
        return self.matches[0].level if self.matches else Level.NONE


class _Spoken(NamedTuple):
    """A reference after its articles and joining words."""

    words: tuple[str, ...]
    plural: bool
    every: bool
    said: int
    here: bool


class _Name(NamedTuple):
    """A name of a device, with the words for its kind and its area."""

    words: tuple[str, ...]
    nouns: Mapping[str, bool]
    area: frozenset[str]

    @property
    def core(self) -> frozenset[str]:
        """Return the words that tell the device from others of its kind."""
        return frozenset(word for word in self.words if word not in self.nouns)


class CompiledHome:
    """A home with its names taken apart; build it once per snapshot with ``compile_home``."""

    def __init__(self, home: Home, lang: Language) -> None:
        """Take the names of a home apart."""
        self.home = home
        self.language = lang
        self.devices = {device.id: device for device in home.devices}
        self.people = tuple((person.id, self._words(person.name)) for person in home.people)
        self._areas = tuple(
            (area.id, words)
            for area in home.areas
            for name in (area.name, *area.aliases)
            if (words := self._words(name))
        )
        self._area_words = {
            area.id: frozenset(word for words in self._names_of(area.id) for word in words)
            for area in home.areas
        }
        self._variants = {
            device.id: tuple(
                words for name in (device.name, *device.aliases) if (words := self._words(name))
            )
            for device in home.devices
        }
        self._by_word: dict[str, set[str]] = defaultdict(set)
        for device_id, variants in self._variants.items():
            for word in (word for words in variants for word in words):
                self._by_word[word].add(device_id)
        self.vocabulary = frozenset(self._by_word) | {w for _, ws in self._areas for w in ws}
        self._long_words = tuple(w for w in sorted(self.vocabulary) if len(w) >= 4)
        self._joined = self._joins()
        self.files = {
            device.id: FileIndex(device.files, lang)
            for device in home.devices
            if device.files is not None
        }
        self._names = frozenset(words for names in self._variants.values() for words in names)

    def is_name(self, quoted: str) -> bool:
        """True when a text is the whole name of a device or names a file."""
        words = self._words(quoted)
        return words in self._names or any(index.find(words).sure for index in self.files.values())

    def called(self, words: Sequence[str]) -> tuple[Named, ...]:
        """Return the devices whose whole name the words are, though it says no more than what they are."""
        return tuple(
            device for device in self.home.devices if tuple(words) in self._variants[device.id]
        )

    def is_file(self, words: Sequence[str]) -> bool:
        """True when the words can mean a file of some printer."""
        return any(index.find(words).names for index in self.files.values())

    def refer(self, words: Sequence[str], kinds: frozenset[Kind], area_id: str | None) -> Reference:
        """Return what a reference can mean among the devices of some kinds, said in an area."""
        spoken = self._spoken(words, kinds)
        if spoken is None:
            return Reference()
        for weak in (False, True):
            found = self._find(spoken, kinds, area_id, weak=weak)
            if found.matches:
                return found
        return Reference(plural=spoken.plural, every=spoken.every)

    def only(self, device_ids: Iterable[str]) -> CompiledHome:
        """Return a home of some of the devices, for answers to "which"."""
        devices = tuple(
            replace(self.devices[name], files=None) for name in device_ids if name in self.devices
        )
        return CompiledHome(replace(self.home, devices=devices), self.language)

    def area(self, words: Sequence[str], here: str | None) -> str | None:
        """Return the id of the area that the words name."""
        lang = self.language
        if " ".join(words) in lang.here:
            return here
        bare = tuple(word for word in words if word not in lang.articles)
        alternatives = [self._alternatives(word, weak=False) for word in bare]
        spans = self._area_spans(bare, alternatives)
        whole = [area_id for area_id, span in spans if len(span) == len(bare)]
        return whole[0] if whole and len(set(whole)) == 1 else None

    def in_area(self, area_id: str | None) -> tuple[Named, ...]:
        """Return the devices of an area; none for no area."""
        found = (device for device in self.home.devices if device.area_id == area_id)
        return tuple(found) if area_id is not None else ()

    def person(self, words: Sequence[str]) -> str | None:
        """Return the id of the one person whose name, or a part of it, the words are."""
        found = {
            person_id
            for person_id, name in self.people
            if name and all(any(_near(word, part) for part in name) for word in words)
        }
        return found.pop() if words and len(found) == 1 else None

    def _words(self, name: str) -> tuple[str, ...]:
        words = words_of(name, self.language.endings)
        silent = {*self.language.silent, STOP}
        return tuple(word for word in words if word not in silent) or words

    def _names_of(self, area_id: str) -> list[tuple[str, ...]]:
        return [words for area, words in self._areas if area == area_id]

    def _joins(self) -> dict[str, tuple[str, ...]]:
        """Return what two or three neighbouring words of a name are when said as one."""
        names = [words for variants in self._variants.values() for words in variants]
        names += [words for _, words in self._areas]
        return {
            "".join(words[at : at + size]): words[at : at + size]
            for words in names
            for size in (2, 3)
            for at in range(len(words) - size + 1)
        }

    def _spoken(self, words: Sequence[str], kinds: frozenset[Kind]) -> _Spoken | None:
        """Take a reference apart; None when it is no reference."""
        lang = self.language
        start, every, count = self._quantity(words)
        rest = tuple(words[start:])
        if (not rest and not every) or self._starts_with_verb(rest, bare=not start):
            return None
        here = next((phrase for phrase in lang.here if _ends(rest, phrase)), None)
        if here is not None:
            rest = rest[: -len(here.split())]
        # What ends in an article was cut off.
        if rest and rest[-1] in lang.silent:
            return None
        rest = tuple(word for word in rest if word not in lang.silent)
        bare = tuple(word for at, word in enumerate(rest) if not self._joins_names(rest, at))
        if not (bare or every):
            return None
        if bare and bare[0] in lang.everything:
            every, bare = True, bare[1:]
        plural = any(lang.nouns.get(kind, {}).get(word) for kind in kinds for word in bare)
        if len(bare) == 1 and bare[0] in lang.pronouns:
            plural, bare = lang.pronouns[bare[0]], ()
        return _Spoken(bare, plural, every, count, here is not None)

    def _quantity(self, words: Sequence[str]) -> tuple[int, bool, int]:
        """Return where the name starts, whether all are meant, and how many are said."""
        lang = self.language
        every, count, at = False, 0, 0
        while at < len(words):
            word = words[at]
            if word in lang.every:
                every, count = True, lang.every[word]
            elif every and (word.isdecimal() or word in lang.numbers):
                count = int(word) if word.isdecimal() else lang.numbers[word]
            elif (word not in lang.articles and not (every and word in lang.joining)) or (
                word in lang.pronouns and at == len(words) - 1
            ):
                break
            at += 1
        return at, every, count

    def _starts_with_verb(self, words: Sequence[str], *, bare: bool) -> bool:
        """True for a verb that only looks like a noun: "lock the front door" after "unlock"."""
        lang = self.language
        if len(words) > 1 and bare and " ".join(words[:2]) in lang.deeds:
            return True
        return (
            len(words) > 1
            and words[0] in lang.verbs
            and words[1] not in lang.joining
            and not any(words[1] in table for table in lang.nouns.values())
            and (words[0] not in self.vocabulary or words[1] in lang.articles)
        )

    def _joins_names(self, words: Sequence[str], at: int) -> bool:
        """True for the "in" of "door in the garage"; one such word follows another in no name."""
        joining = self.language.joining
        return 0 < at < len(words) - 1 and words[at] in joining and words[at + 1] not in joining

    def _find(
        self, spoken: _Spoken, kinds: frozenset[Kind], area_id: str | None, *, weak: bool
    ) -> Reference:
        words = self._rejoin(spoken.words)
        alternatives = [self._alternatives(word, weak=weak) for word in words]
        spans = self._area_spans(words, alternatives)
        at_place: dict[str | None, set[int]] = defaultdict(set)
        for area, span in spans:
            at_place[area] |= set(span)
        matches = []
        for device in self._possible(words, alternatives, at_place, kinds):
            if spoken.here and (area_id is None or device.area_id != area_id):
                continue
            if spoken.words:
                placed = at_place.get(device.area_id, set())
                match = self._fit(device, words, alternatives, placed, every=spoken.every)
            else:
                match = Match(device, Level.KIND, 0)
            if match.level and match.edits <= _MAX_EDITS:
                matches.append(match)
        best = max((match.level for match in matches), default=Level.NONE)
        # "the lights in the workshop" are all of them, the one called Workshop lights as well.
        if (spoken.plural or spoken.every) and best is not Level.EXACT and at_place:
            best = min(match.level for match in matches) if matches else best
        return Reference(
            matches=tuple(match for match in matches if match.level >= best),
            plural=spoken.plural,
            every=spoken.every,
            count=spoken.said,
            place=area_id if spoken.here else next(iter(at_place), None),
            weak=weak,
        )

    def _rejoin(self, words: Sequence[str]) -> tuple[str, ...]:
        """Put words together or apart as the names have them: "mk 3", "lasercutter"."""
        result: list[str] = []
        at = 0
        while at < len(words):
            size = next(
                (
                    size
                    for size in (3, 2)
                    if at + size <= len(words)
                    and (joined := "".join(self._digits(words[at : at + size]))) in self.vocabulary
                    and not all(word in self.vocabulary for word in words[at : at + size])
                ),
                1,
            )
            if size > 1:
                result.append(joined)
            elif words[at] in self._joined and words[at] not in self.vocabulary:
                result.extend(self._joined[words[at]])
            else:
                result.append(words[at])
            at += size
        return tuple(result)

    def _digits(self, words: Iterable[str]) -> Iterable[str]:
        """Write number words as digits."""
        numbers = self.language.numbers
        return (str(numbers[word]) if word in numbers else word for word in words)

    def _alternatives(self, word: str, *, weak: bool) -> Alternatives:
        """Return the words of the home that a spoken word can be, with the edits in between."""
        if word in self.vocabulary:
            return {word: 0}
        number = self.language.numbers.get(word)
        if number is not None and str(number) in self.vocabulary:
            return {str(number): 0}
        known = word in self.language.known_words
        if known or len(word) < 4 or not word.isalpha():
            return {}
        return {
            near: edits
            for near in self._long_words
            if near.isalpha() and (edits := _edits(word, near, weak=weak))
        }

    def _area_spans(
        self, words: Sequence[str], alternatives: Sequence[Alternatives]
    ) -> list[tuple[str, range]]:
        """Return where the words name a whole area."""
        return [
            (area_id, range(at, at + len(name)))
            for area_id, name in self._areas
            for at in range(len(words) - len(name) + 1)
            if all(part in alternatives[at + index] for index, part in enumerate(name))
        ]

    def _possible(
        self,
        words: Sequence[str],
        alternatives: Sequence[Alternatives],
        at_place: Mapping[str | None, set[int]],
        kinds: frozenset[Kind],
    ) -> list[Named]:
        """Return the devices of the kinds that have every word that can only be a name."""
        placed = {index for span in at_place.values() for index in span}
        nouns = {noun for kind in kinds for noun in self.language.nouns.get(kind, ())}
        names = [
            {device for near in alternatives[index] for device in self._by_word.get(near, ())}
            for index, word in enumerate(words)
            if index not in placed and word not in nouns
        ]
        found = [device for device in self.home.devices if device.kind in kinds]
        if not names:
            return found
        common = set.intersection(*names)
        return [device for device in found if device.id in common]

    def _fit(
        self,
        device: Named,
        words: Sequence[str],
        alternatives: Sequence[Alternatives],
        placed: set[int],
        *,
        every: bool,
    ) -> Match:
        nouns = self.language.nouns.get(device.kind, {})
        area = self._area_words.get(device.area_id or "", frozenset())
        matches = [
            _cover(device, _Name(name, nouns, area), words, alternatives, placed)
            for name in self._variants[device.id]
        ]
        nothing = Match(device, Level.NONE, 0)
        best = max(
            matches,
            key=lambda match: (match.level, match.telling, -match.edits),
            default=nothing,
        )
        by_place = every or device.kind in _NAMED_BY_PLACE or any(word in nouns for word in words)
        return nothing if best.level is Level.KIND and not by_place else best


def compile_home(home: Home, code: str = "en") -> CompiledHome:
    """Take a home's names apart, for one language. Raises ModuleNotFoundError on an unknown one."""
    lang = language(code)
    # Compiled now, so that the first sentence is as fast as the others.
    _ = lang.grammar, lang.answer_grammar, lang.known_words
    return CompiledHome(home, lang)


def _cover(
    device: Named,
    name: _Name,
    words: Sequence[str],
    alternatives: Sequence[Alternatives],
    placed: set[int],
) -> Match:
    """Return how well the words fit one name of a device."""
    covered: set[str] = set(name.area) if placed else set()
    told: set[str] = set()
    edits = 0
    for index, word in enumerate(words):
        part = min(
            (near for near in alternatives[index] if near in name.words),
            key=alternatives[index].__getitem__,
            default=None,
        )
        if part is not None:
            covered.add(part)
            edits += alternatives[index][part]
            if index not in placed and part not in name.nouns:
                told.add(part)
        elif index not in placed and word not in name.nouns:
            return Match(device, Level.NONE, 0)
    if tuple(words) == tuple(name.words):
        return Match(device, Level.EXACT if name.core else Level.KIND, 0)
    if name.core and (name.core <= covered or (told and name.core - name.area <= told)):
        by_place = device.kind in _NAMED_BY_PLACE or any(word in name.nouns for word in words)
        return Match(device, Level.NAME if told or by_place else Level.KIND, edits)
    head = next((word for word in reversed(name.words) if word not in name.nouns), None)
    telling = head in told or any(not word.isalpha() for word in told)
    return Match(device, Level.PART if told else Level.KIND, edits, telling)


def _edits(word: str, near: str, *, weak: bool) -> int:
    """Return the edits from one word to another when they are few for its length, else 0."""
    short = min(len(word), len(near))
    if weak:
        bound = 1 if short < _SHORTEST_FUZZY else 2
    elif len(near) < _SHORTEST_FUZZY:
        return 0
    else:
        bound = 2 if short >= _SHORTEST_TWO_EDITS else 1
    from rapidfuzz.distance import OSA  # noqa: PLC0415 - 2 MB that a brain saves until somebody misspells

    edits = OSA.distance(word, near, score_cutoff=bound)
    return edits if edits <= bound else 0


def _near(word: str, near: str) -> bool:
    """True when a word is another, or its likely misspelling."""
    return word == near or bool(_edits(word, near, weak=False))


def _ends(words: Sequence[str], phrase: str) -> bool:
    parts = tuple(phrase.split())
    return len(words) >= len(parts) and tuple(words[-len(parts) :]) == parts
