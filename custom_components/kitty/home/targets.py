"""Which things a sentence means: every word must be explained, and the best explanation be the only one."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from .house import House, Place, Thing
from .lexicon import Kind, Lexicon
from .words import similar

# What it costs to explain a word by something else than the name of the thing.
BY_DEVICE: Final = 0.1
BY_AREA: Final = 0.05
BY_FLOOR: Final = 0.1
BY_MAKER: Final = 0.2
BY_HOUSE: Final = 0.1
BY_RELATIVE: Final = 0.4
BY_SOUND: Final = 0.6

# What it costs when a name or place has a word that was not said.
UNSAID: Final = 0.5
UNSAID_GENERIC: Final = 0.1
UNSAID_HEAD: Final = 0.3
UNNAMED: Final = 0.3
EXACT: Final = -0.3

# Two explanations nearer than this are equally good.
CLOSE: Final = 0.09

type ClassOf = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Word:
    """One word that was said, with the words that it may stand for and what each costs."""

    said: str
    options: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """The words by which a sentence names things."""

    words: tuple[Word, ...]
    # Kinds of things among them: the positions of a noun, and what it can mean.
    kinds: tuple[tuple[range, tuple[Kind, ...]], ...] = ()
    plural: bool = False
    every: bool = False
    outdoor: bool | None = None
    storey: int | None = None

    @property
    def empty(self) -> bool:
        """Tell that nothing was named at all."""
        return not (self.words or self.outdoor is not None or self.storey is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """How well a mention explains one thing."""

    thing: Thing
    cost: float
    named: bool
    exact: bool
    placed: bool
    guessed: bool


def mention_of(text: str, lexicon: Lexicon, house: House, *, fuzzy: bool = True) -> Mention:
    """Read the words of a phrase; nothing is looked up yet."""
    said = text.replace(",", " ").split()
    said = _rejoined(said, lexicon, house)
    every = any(word in lexicon.every or word in lexicon.everything for word in said)
    skipped = lexicon.fillers | lexicon.every | lexicon.everything | lexicon.house
    kept: list[str] = []
    plural, outdoor, storey = False, None, None
    known = house.vocabulary
    for word in said:
        stemmed = lexicon.stem(word)
        if word in lexicon.sides and stemmed not in known:
            outdoor = lexicon.sides[word]
        elif word in lexicon.upstairs and stemmed not in known and house.floors:
            storey = lexicon.upstairs[word]
        elif word not in skipped or (stemmed in known and word in lexicon.house):
            kept.append(stemmed)
            plural = plural or (stemmed != word and (stemmed,) in lexicon.kinds)
    kept = _respaced(kept, lexicon, house)
    return Mention(
        words=tuple(_word(word, lexicon, house, fuzzy=fuzzy) for word in kept),
        kinds=tuple(_kinds(kept, lexicon)),
        plural=plural,
        every=every,
        outdoor=outdoor,
        storey=storey,
    )


def _rejoined(words: list[str], lexicon: Lexicon, house: House) -> list[str]:
    """Join what the house writes as one word and ends in a word that is left out: "farm house"."""
    result: list[str] = []
    for word in words:
        if word in lexicon.house and result and result[-1] + word in house.vocabulary:
            result[-1] += word
        else:
            result.append(word)
    return result


def _respaced(words: list[str], lexicon: Lexicon, house: House) -> list[str]:
    """Join or split words where the house or the language writes them so."""
    known = house.vocabulary
    result: list[str] = []
    for word in words:
        joined = result[-1] + word if result else ""
        if joined in known and (result[-1] not in known or word not in known):
            result[-1] = joined
            continue
        if word not in known and (word,) not in lexicon.kinds:
            for cut in range(3, len(word) - 2):
                if word[:cut] in known and (word[cut:] in known or (word[cut:],) in lexicon.kinds):
                    result += [word[:cut], word[cut:]]
                    break
            else:
                result.append(word)
            continue
        result.append(word)
    return result


def _word(word: str, lexicon: Lexicon, house: House, *, fuzzy: bool) -> Word:
    """Return a word with its relatives, and with what sounds like it if nobody knows it."""
    options = {word: 0.0}
    for group in lexicon.alike:
        if word in group:
            options |= {one: BY_RELATIVE for one in group if one not in options}
    if fuzzy and word not in house.vocabulary and (word,) not in lexicon.kinds:
        options |= {one: BY_SOUND for one in house.vocabulary if similar(word, one)}
        nouns = (noun[0] for noun in lexicon.kinds if len(noun) == 1)
        options |= {one: BY_SOUND for one in nouns if one not in options and similar(word, one)}
    return Word(word, options)


def _kinds(words: Sequence[str], lexicon: Lexicon) -> Iterable[tuple[range, tuple[Kind, ...]]]:
    """Yield every noun for a kind of thing that stands in the words."""
    for start in range(len(words)):
        for length in (1, 2, 3):
            noun = tuple(words[start : start + length])
            if len(noun) == length and (kinds := lexicon.kinds.get(noun)):
                yield range(start, start + length), kinds


class Matcher:
    """Explains mentions by the things of one house, as they are at this moment."""

    def __init__(self, house: House, lexicon: Lexicon, class_of: ClassOf) -> None:
        """Take the house and where device classes are read."""
        self._house = house
        self._lexicon = lexicon
        self._class_of = class_of
        self._storeys = _storeys(house.floors, lexicon)
        self._upstairs = {lexicon.stem(word): level for word, level in lexicon.upstairs.items()}

    def matches(self, mention: Mention, things: Iterable[Thing]) -> list[Match]:
        """Return the things that explain every word, best first."""
        found = [match for thing in things if (match := self._match(mention, thing)) is not None]
        return sorted(found, key=lambda match: match.cost)

    def classed(self, mention: Mention, things: Iterable[Thing]) -> list[Match]:
        """Return the things meant by what they are and where, whatever their names."""
        found = [
            match
            for thing in things
            if self._stands(mention, thing)
            and (match := self._class_match(mention, thing)) is not None
        ]
        return sorted(found, key=lambda match: match.cost)

    def _match(self, mention: Mention, thing: Thing) -> Match | None:
        """Return the better of the two explanations, by name and by kind and place."""
        if not self._stands(mention, thing):
            return None
        by_class = self._class_match(mention, thing)
        by_name = self._name_match(mention, thing)
        if by_class is None or (by_name is not None and by_name.cost <= by_class.cost + UNNAMED):
            return by_name
        return Match(
            thing=thing,
            cost=by_class.cost + UNNAMED,
            named=False,
            exact=False,
            placed=by_class.placed,
            guessed=by_class.guessed,
        )

    def _stands(self, mention: Mention, thing: Thing) -> bool:
        """Tell whether a thing is on the side and storey of the house that was said."""
        if mention.outdoor is not None and mention.outdoor is not self._outdoor(thing):
            return False
        if mention.storey is None:
            return True
        return thing.floor is not None and self._storeys.get(thing.floor.id) == mention.storey

    def _outdoor(self, thing: Thing) -> bool:
        """Tell whether a thing is outside, by the name of its place or else its own."""
        phrases = thing.area.names if thing.area else thing.names
        return any(word in self._lexicon.outdoor for phrase in phrases for word in phrase)

    def _kind_costs(self, mention: Mention, thing: Thing) -> dict[int, float]:
        """Return which words only say what kind of thing it is, and the cost of each."""
        costs: dict[int, float] = {}
        for places, kinds in mention.kinds:
            for kind in kinds:
                if not self.is_kind(kind, thing):
                    continue
                for place in places:
                    cost = kind.cost / len(places)
                    costs[place] = min(cost, costs.get(place, cost))
        return costs

    def is_kind(self, kind: Kind, thing: Thing) -> bool:
        """Tell whether a thing is of a kind."""
        if thing.domain not in kind.domains:
            return False
        if kind.words and not kind.words & thing.lookup:
            return False
        return kind.classes is None or self._class_of(thing.entity_id) in kind.classes

    def _place_cost(self, word: Word, place: Place | None, base: float) -> float | None:
        """Return the cost of explaining a word by a place."""
        if place is None:
            return None
        costs = [
            base + extra
            for option, extra in word.options.items()
            if any(option in name for name in place.names)
        ]
        return min(costs, default=None)

    def _by_what_it_is(
        self, word: Word, number: int, thing: Thing, kinds: Mapping[int, float]
    ) -> tuple[float, str] | None:
        """Return the cheapest explanation of a word without the thing's own name."""
        found: list[tuple[float, str]] = []
        if (cost := kinds.get(number)) is not None:
            found.append((cost, "kind"))
        else:
            kind = self._relative_kind(word, thing)
            if kind is not None:
                found.append((kind, "kind"))
        if (cost := self._place_cost(word, thing.area, BY_AREA)) is not None:
            found.append((cost, "area"))
        if (cost := self._place_cost(word, thing.floor, BY_FLOOR)) is not None:
            found.append((cost, "floor"))
        level = self._upstairs.get(word.said)
        if level is not None and thing.floor and self._storeys.get(thing.floor.id) == level:
            found.append((BY_FLOOR, "storey"))
        if word.said in thing.maker:
            found.append((BY_MAKER, "maker"))
        if word.said in self._lexicon.house:
            found.append((BY_HOUSE, "house"))
        return min(found, default=None)

    def _relative_kind(self, word: Word, thing: Thing) -> float | None:
        """Return the cost of a noun that only sounds like one for this kind of thing."""
        costs = [
            kind.cost + extra
            for option, extra in word.options.items()
            if extra >= BY_SOUND
            for kind in self._lexicon.kinds.get((option,), ())
            if self.is_kind(kind, thing)
        ]
        return min(costs, default=None)

    def _class_match(self, mention: Mention, thing: Thing) -> Match | None:
        """Explain every word by what the thing is and where it stands."""
        kinds = self._kind_costs(mention, thing)
        cost, guessed = 0.0, False
        used: dict[str, set[int]] = {"area": set(), "floor": set(), "storey": set()}
        for number, word in enumerate(mention.words):
            found = self._by_what_it_is(word, number, thing, kinds)
            if found is None:
                return None
            cost += found[0]
            guessed = guessed or found[0] >= BY_RELATIVE
            if found[1] in used:
                used[found[1]].add(number)
        for place, numbers in ((thing.area, used["area"]), (thing.floor, used["floor"])):
            if not numbers or place is None:
                continue
            said = [mention.words[number] for number in numbers]
            unsaid = self._unsaid(said, place.names)
            if unsaid is None:
                return None
            cost += unsaid
        placed = any(used.values()) or mention.storey is not None
        placed = placed or mention.outdoor is not None
        return Match(
            thing=thing, cost=cost, named=False, exact=False, placed=placed, guessed=guessed
        )

    def _unsaid(self, said: Sequence[Word], names: Iterable[tuple[str, ...]]) -> float | None:
        """Return what the unsaid words of the best fitting name of a place cost."""
        best: float | None = None
        for name in names:
            hit = {option for word in said for option in word.options if option in name}
            if not all(set(word.options) & set(name) for word in said):
                continue
            if hit <= self._lexicon.roomlike and not set(name) <= self._lexicon.roomlike:
                continue
            cost = sum(
                UNSAID_GENERIC if one in self._lexicon.roomlike else UNSAID
                for one in name
                if one not in hit
            )
            best = cost if best is None else min(best, cost)
        return best

    def _name_match(self, mention: Mention, thing: Thing) -> Match | None:
        """Explain at least one word by a name of the thing, and the others by anything."""
        kinds = self._kind_costs(mention, thing)
        best: Match | None = None
        for names, base in ((thing.names, 0.0), (thing.device_names, BY_DEVICE)):
            for name in names:
                match = self._name_cost(mention, thing, name, base, kinds)
                if match is not None and (best is None or match.cost < best.cost):
                    best = match
        return best

    def _name_cost(
        self,
        mention: Mention,
        thing: Thing,
        name: tuple[str, ...],
        base: float,
        kinds: Mapping[int, float],
    ) -> Match | None:
        """Explain the words by one name and by what the thing is and where it stands."""
        cost, guessed = base, False
        hit: set[str] = set()
        placed: list[Word] = []
        own: list[int] = []
        for number, word in enumerate(mention.words):
            options = [(extra, one) for one, extra in word.options.items() if one in name]
            found = self._by_what_it_is(word, number, thing, kinds)
            if options and (
                found is None or min(options)[0] <= found[0] + 1e-9 or found[1] == "kind"
            ):
                extra, one = min(options)
                cost += extra
                guessed = guessed or extra >= BY_RELATIVE
                hit.add(one)
                own.append(number)
            elif found is not None:
                cost += found[0]
                guessed = guessed or found[0] >= BY_RELATIVE
                if found[1] == "area":
                    placed.append(word)
            else:
                return None
        # A name that shares only its place and the noun for its kind was not said.
        missing = [one for one in name if one not in hit]
        places = [phrase for place in (thing.area, thing.floor) if place for phrase in place.names]
        told = any(
            number not in kinds
            and not any(one in phrase for one in mention.words[number].options for phrase in places)
            for number in own
        )
        if not hit or (missing and not told):
            return None
        if placed and thing.area is not None:
            unsaid = self._unsaid(placed, thing.area.names)
            if unsaid is None:
                return None
            cost += unsaid
        cost += sum(self._missing(one, thing) for one in missing)
        if name[-1] in missing and self._only_kinds(hit):
            # "The TV" is no word for the TV's backlight.
            cost += UNSAID_HEAD
        exact = not missing and len(own) == len(mention.words) and not guessed and not base
        return Match(
            thing=thing,
            cost=cost + (EXACT if exact else 0.0),
            named=True,
            exact=exact,
            placed=bool(placed) or mention.storey is not None,
            guessed=guessed,
        )

    def _only_kinds(self, words: Iterable[str]) -> bool:
        """Tell whether words are nothing but nouns for kinds of things."""
        return all((word,) in self._lexicon.kinds for word in words)

    def _missing(self, word: str, thing: Thing) -> float:
        """Return what a word of a name costs that was not said."""
        if word in self._lexicon.generic:
            return UNSAID_GENERIC
        if any(self.is_kind(kind, thing) for kind in self._lexicon.kinds.get((word,), ())):
            return UNSAID_GENERIC
        if thing.area is not None and any(word in name for name in thing.area.names):
            return 2 * UNSAID_GENERIC
        return UNSAID


def best_of(matches: Sequence[Match]) -> list[Match]:
    """Return the matches that are as good as the best one."""
    return [match for match in matches if match.cost <= matches[0].cost + CLOSE]


def _storeys(floors: Mapping[str, Place], lexicon: Lexicon) -> dict[str, int]:
    """Return which floors are upstairs (1) and which downstairs (-1), by level or else by name."""
    levels = {
        place.id: place.level if place.level is not None else lexicon.level_of(place.names)
        for place in floors.values()
    }
    known = sorted({level for level in levels.values() if level is not None and level >= 0})
    if not known:
        return {}
    return {
        floor_id: 1 if level > known[0] else -1
        for floor_id, level in levels.items()
        if level is not None and level >= 0
    }
