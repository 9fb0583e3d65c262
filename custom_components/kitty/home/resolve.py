"""What an order would do: the one thing that it means, the ones that it asks about, or why it must not."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from homeassistant.const import STATE_UNAVAILABLE, Platform
from homeassistant.core import HomeAssistant, State

from .ability import Call
from .act import able_domains, plan
from .air import COMFORT
from .house import House, Thing, class_of, is_risky
from .lexicon import Action, Attribute, Lexicon, ValueKind
from .parse import BARE, Order, conjuncts
from .targets import CLOSE, Match, Matcher, Mention, best_of, mention_of

# A worse explanation than this is no explanation.
LIMIT: Final = 1.45
MOST_OPTIONS: Final = 6

# What "everything" means: what is switched off when people leave, and nothing that guards or heats.
_EVERYTHING: Final = frozenset(
    {Platform.LIGHT, Platform.SWITCH, Platform.FAN, Platform.MEDIA_PLAYER, "input_boolean"}
)
# Several of one kind in one named place are meant together.
_TOGETHER: Final = frozenset({Platform.LIGHT, Platform.COVER})

# What is started is started one at a time.
_STARTED: Final = frozenset(
    {Platform.SCENE, "script", "automation", Platform.BUTTON, "input_button"}
)
# A scene whose name is the whole sentence may miss no word of it.
WHOLE_NAME: Final = 0.4

# "All" of one thing is that one; but nothing is opened by so loose a word.
SECURES: Final = frozenset({Action.CLOSE, Action.LOCK, Action.TURN_OFF, Action.STOP, Action.DRY})

_SENSIBLE: Final[Mapping[Action, tuple[frozenset[str], ...]]] = {
    Action.PAUSE: (frozenset({"playing", "cleaning", "mowing"}), frozenset({"buffering", "on"})),
    Action.PLAY: (frozenset({"paused"}), frozenset({"idle", "standby", "on"})),
    Action.NEXT: (frozenset({"playing"}), frozenset({"paused"})),
    Action.PREVIOUS: (frozenset({"playing"}), frozenset({"paused"})),
    Action.MUTE: (frozenset({"playing"}), frozenset({"on", "paused", "idle"})),
    Action.UNMUTE: (frozenset({"playing"}), frozenset({"on", "paused", "idle"})),
    Action.SHUFFLE: (frozenset({"playing"}),),
    Action.DOCK: (frozenset({"cleaning", "returning", "paused", "mowing"}),),
    Action.STOP: (frozenset({"playing", "cleaning", "mowing", "opening", "closing", "on"}),),
}
_LOUDNESS: Final = (frozenset({"playing"}), frozenset({"on", "paused", "idle", "buffering"}))


class Outcome(StrEnum):
    """What becomes of an order."""

    FOUND = "found"
    ASK = "ask"
    GUARDED = "guarded"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """What one order means in this house."""

    order: Order
    outcome: Outcome
    things: tuple[Thing, ...] = ()
    calls: Mapping[str, Call] = field(default_factory=dict)
    cost: float = 0.0
    risky: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Where something is said, what was talked about, and what may be known."""

    area_id: str | None = None
    focus: tuple[str, ...] = ()
    may_read: Callable[[str], bool] = lambda _entity_id: True
    # What was talked about is of the same sentence.
    joined: bool = False


@dataclass(frozen=True, slots=True)
class _Able:
    """A thing that can carry out an order, and how."""

    thing: Thing
    state: State
    call: Call


class Resolver:
    """Finds what orders mean, in one house at one moment."""

    def __init__(self, hass: HomeAssistant, house: House, lexicon: Lexicon, scope: Scope) -> None:
        """Take the house and the scope of the turn."""
        self._hass = hass
        self._house = house
        self._lexicon = lexicon
        self._scope = scope
        self.matcher = Matcher(house, lexicon, lambda entity_id: class_of(hass, entity_id))

    def resolve(self, order: Order) -> Resolution:
        """Return what an order means."""
        able = self._able(order)
        if not able or (order.here and self._scope.area_id is None):
            return self._nothing(order)
        if self._is_pronoun(order.target):
            if focused := [able[one] for one in self._scope.focus if one in able]:
                return self._found(order, focused, cost=0.05)
            if self._scope.focus and order.domains is None:
                return self._nothing(order)
        mention = mention_of(self._target(order), self._lexicon, self._house)
        if mention.every and mention.empty:
            return self._everything(order, able, mention)
        if not mention.words and mention.outdoor is None and mention.storey is None:
            return self._implied(order, able)
        return self._meant(order, able, mention)

    def mentioned(self, text: str) -> list[Thing]:
        """Return the things that a statement speaks of, by those of its words that are known."""
        known = [
            word
            for word in text.split()
            if (stemmed := self._lexicon.stem(word)) in self._house.vocabulary
            or (stemmed,) in self._lexicon.kinds
        ]
        mention = mention_of(" ".join(known), self._lexicon, self._house, fuzzy=False)
        if not mention.words:
            return []
        matches = self.matcher.matches(mention, self._house.things.values())
        return [match.thing for match in best_of(matches)] if matches else []

    def _target(self, order: Order) -> str:
        """Return the words for the thing, without a pronoun."""
        if self._is_pronoun(order.target):
            return ""
        return order.target

    def _is_pronoun(self, target: str) -> bool:
        """Tell whether the target is what was talked about."""
        words = [word for word in target.split() if word not in self._lexicon.every]
        return bool(words) and all(word in self._lexicon.pronouns for word in words)

    def _able(self, order: Order) -> dict[str, _Able]:
        """Return everything that could carry out an order."""
        able: dict[str, _Able] = {}
        for thing in self._house.of(able_domains(order)):
            state = self._hass.states.get(thing.entity_id)
            if state is None or not self._scope.may_read(thing.entity_id):
                continue
            call = plan(self._hass, state, order, self._lexicon)
            if call is not None:
                able[thing.entity_id] = _Able(thing, state, call)
        return able

    def _meant(self, order: Order, able: Mapping[str, _Able], mention: Mention) -> Resolution:
        """Return what the words of an order mean."""
        things = [one.thing for one in able.values()]
        if mention.every and not mention.kinds:
            things = [one for one in things if self._is_of_everything(order, one)]
        if order.here and self._scope.area_id:
            things = [one for one in things if one.area and one.area.id == self._scope.area_id]
        matches = self.matcher.matches(mention, things)
        matches = self._without(order, matches)
        if order.penalty >= BARE:
            matches = [one for one in matches if one.named and one.cost < WHOLE_NAME]
        if matches and self._better_unable(able, mention, matches[0]):
            return self._nothing(order)
        if order.action is not Action.UNLOCK:
            matches = self._of_here(mention, matches)
        if not matches or matches[0].cost + order.penalty > LIMIT:
            return self._nothing(order)
        if mention.plural or mention.every:
            return self._several(order, able, mention, matches)
        return self._one(order, able, mention, matches)

    def _without(self, order: Order, matches: list[Match]) -> list[Match]:
        """Return matches without what the sentence excepts; nothing if that is not understood."""
        if not order.excepted:
            return matches
        things = [match.thing for match in matches]
        gone: set[str] = set()
        for part in conjuncts(order.excepted, self._lexicon):
            left_out = self._left_out(part, things)
            if not left_out:
                return []
            gone |= {match.thing.entity_id for match in best_of(left_out)}
        return [match for match in matches if match.thing.entity_id not in gone]

    def _better_unable(self, able: Mapping[str, _Able], mention: Mention, best: Match) -> bool:
        """Tell whether an alarm panel is meant that cannot do it: its siren is something else."""
        panels = [
            one
            for one in self._house.of({Platform.ALARM_CONTROL_PANEL})
            if one.entity_id not in able
        ]
        found = self.matcher.matches(mention, panels)
        return bool(found) and found[0].cost + CLOSE < best.cost

    def _of_here(self, mention: Mention, matches: list[Match]) -> list[Match]:
        """Return the matches of the room where only a noun was said: "the lamp" may be a name elsewhere."""
        nouns = {number for numbers, _kinds in mention.kinds for number in numbers}
        if mention.plural or mention.every or len(nouns) < len(mention.words):
            return matches
        near = self._in_room([match.thing for match in matches])
        return [match for match in matches if match.thing in near] or matches

    def _left_out(self, text: str, things: Sequence[Thing]) -> list[Match]:
        """Return what an exception names: "the hall lamp", "the one in the hall"."""
        pointing = self._lexicon.pointing
        for words in (text, " ".join(word for word in text.split() if word not in pointing)):
            mention = mention_of(words, self._lexicon, self._house, fuzzy=False)
            if not mention.empty and (found := self.matcher.matches(mention, things)):
                return found
        return []

    def _several(
        self,
        order: Order,
        able: Mapping[str, _Able],
        mention: Mention,
        matches: list[Match],
    ) -> Resolution:
        """Return the set that a plural means."""
        allowed = {match.thing.entity_id for match in matches}
        classed = [
            match
            for match in self.matcher.classed(mention, [match.thing for match in matches])
            if match.thing.entity_id in allowed
        ]
        exact = matches[0].exact and not mention.every
        if not classed or exact:
            best = best_of(matches)
            if len(best) > 1 and not mention.every and not self._alike(best):
                return self._one(order, able, mention, matches)
            return self._found(order, [able[one.thing.entity_id] for one in best], best[0].cost)
        best = best_of(classed)
        if not mention.every and not any(match.placed for match in best):
            here = self._in_room([match.thing for match in best])
            if here:
                best = [match for match in best if match.thing in here]
        chosen = [able[match.thing.entity_id] for match in best]
        risky = any(is_risky(self._hass, one.thing, self._lexicon) for one in chosen)
        loose = mention.every or order.action is Action.UNLOCK
        if loose and risky and order.action not in SECURES:
            return self._ask(order, chosen, best[0].cost, reason="one_at_a_time")
        if len(chosen) > 1 and all(one.thing.domain in _STARTED for one in chosen):
            return self._ask(order, chosen, best[0].cost)
        if len(chosen) > 1 and (not mention.every or order.action is Action.PAUSE):
            chosen = self._sensible(order, chosen)
        return self._found(order, chosen, best[0].cost)

    def _alike(self, matches: Sequence[Match]) -> bool:
        """Tell whether things are of one kind, so that a plural can mean all of them."""
        return len({match.thing.domain for match in matches}) == 1

    def _one(
        self, order: Order, able: Mapping[str, _Able], mention: Mention, matches: list[Match]
    ) -> Resolution:
        """Return the one thing that a singular means; several lights of one place are one."""
        best = best_of(matches)
        if not any(match.named for match in matches[:1]):
            states = self._sensible(order, [able[match.thing.entity_id] for match in best])
            kept = {one.thing.entity_id for one in states}
            best = [match for match in best if match.thing.entity_id in kept]
            best = self._as_called(mention, best) if mention.kinds else self._of_place(order, best)
        chosen = [able[match.thing.entity_id] for match in best]
        if order.action is Action.UNLOCK and len(matches) > len(best) and not matches[0].exact:
            return self._ask(
                order, [able[match.thing.entity_id] for match in matches], matches[0].cost
            )
        if order.action is Action.UNLOCK and not self._names(mention, matches[0]):
            return self._ask(order, chosen, matches[0].cost, reason="only_similar")
        if len(chosen) == 1:
            guessed = best[0].guessed and is_risky(self._hass, best[0].thing, self._lexicon)
            if guessed:
                return self._ask(order, chosen, best[0].cost, reason="only_similar")
            return self._found(order, chosen, best[0].cost)
        if self._together(order, best):
            return self._found(order, chosen, best[0].cost)
        return self._narrowed(order, chosen, best[0].cost)

    def _names(self, mention: Mention, match: Match) -> bool:
        """Tell whether words name a thing or its kind; a place does where it has no name of its own."""
        kinds = self._lexicon.kinds
        nameless = any(
            all(word in self._lexicon.generic or (word,) in kinds for word in name)
            for name in match.thing.names
        )
        called = (kind for _at, nouns in mention.kinds for kind in nouns)
        return (
            match.named
            or nameless
            or any(self.matcher.is_kind(kind, match.thing) for kind in called)
        )

    def _of_place(self, order: Order, best: list[Match]) -> list[Match]:
        """Return what a place alone means: its lights, or its warmth where a number can only be that."""
        unit = self._hass.config.units.temperature_unit
        mildest, hottest = COMFORT[unit]
        value = order.value
        if value is not None and value.kind is ValueKind.NUMBER and order.attribute is None:
            warmth = [match for match in best if match.thing.domain == Platform.CLIMATE]
            if warmth and mildest <= value.number <= hottest:
                return warmth
        return [match for match in best if match.thing.domain == Platform.LIGHT] or best

    def _as_called(self, mention: Mention, best: list[Match]) -> list[Match]:
        """Return those of one kind that are called by the noun that was said: "the AC", "the stereo"."""
        if any(is_risky(self._hass, match.thing, self._lexicon) for match in best):
            return best
        nouns = {
            mention.words[number].said for numbers, _kinds in mention.kinds for number in numbers
        }
        near = self._in_room([match.thing for match in best])
        called = [
            match
            for match in best
            if (match.thing in near or not near)
            and any(
                noun in name and noun != match.thing.domain
                for noun in nouns
                for name in match.thing.names
            )
        ]
        return called or best

    def _together(self, order: Order, best: Sequence[Match]) -> bool:
        """Tell whether one noun and one place mean all of these at once."""
        first = best[0]
        return (
            all(match.placed and not match.named for match in best)
            and (first.thing.domain in _TOGETHER or order.attribute is Attribute.VOLUME)
            and len({(match.thing.domain, match.thing.area) for match in best}) == 1
            and not any(is_risky(self._hass, match.thing, self._lexicon) for match in best)
        )

    def _narrowed(self, order: Order, chosen: list[_Able], cost: float) -> Resolution:
        """Return the only one of the room, or a question."""
        here = self._in_room([one.thing for one in chosen])
        if here and order.action is not Action.UNLOCK:
            near = [one for one in chosen if one.thing in here]
            loud = order.attribute is Attribute.VOLUME
            if len(near) == 1 or near[0].thing.domain == Platform.LIGHT or loud:
                return self._found(order, near, cost + 0.05)
            chosen = near
        if order.action is Action.TURN_OFF:
            on = [one for one in chosen if one.state.state not in ("off", STATE_UNAVAILABLE)]
            if len(on) == 1 and not is_risky(self._hass, on[0].thing, self._lexicon):
                return self._found(order, on, cost + 0.1)
        return self._ask(order, chosen, cost)

    def _implied(self, order: Order, able: Mapping[str, _Able]) -> Resolution:
        """Return what is meant where nothing was named: what the words for the deed imply."""
        implied = (
            order.domains is not None
            or order.attribute is not None
            or (order.value is not None and order.value.kind is ValueKind.DEGREES)
        )
        here = order.here or (
            order.value is not None and order.value.kind in (ValueKind.COLOR, ValueKind.KELVIN)
        )
        if not implied and not (here and self._scope.area_id):
            return self._nothing(order)
        chosen = list(able.values())
        focused = [able[one] for one in self._scope.focus if one in able]
        if focused and self._scope.joined and not order.here:
            return self._found(order, focused, 0.1)
        if order.here and self._scope.area_id:
            near = self._in_room([one.thing for one in chosen])
            chosen = [one for one in chosen if one.thing in near]
        if order.action in (Action.WATER, Action.DRY):
            wet = [one for one in chosen if self._lexicon.watering & one.thing.lookup]
            chosen = wet or chosen
        chosen = self._sensible(order, chosen)
        if order.action in (Action.OPEN, Action.CLOSE, Action.LOCK, Action.UNLOCK):
            return self._nothing(order)
        if len(chosen) == 1:
            return self._found(order, chosen, 0.2)
        return self._narrowed(order, chosen, 0.2) if chosen else self._nothing(order)

    def _everything(self, order: Order, able: Mapping[str, _Able], mention: Mention) -> Resolution:
        """Return what "everything" means: what people switch off, or all that one deed is for."""
        chosen = [
            one
            for one in able.values()
            if self._is_of_everything(order, one.thing) and one.thing.domain not in _STARTED
        ]
        if order.excepted:
            matches = [
                Match(
                    thing=one.thing, cost=0, named=False, exact=False, placed=False, guessed=False
                )
                for one in chosen
            ]
            kept = {match.thing.entity_id for match in self._without(order, matches)}
            chosen = [one for one in chosen if one.thing.entity_id in kept]
        if order.here and self._scope.area_id:
            near = self._in_room([one.thing for one in chosen])
            chosen = [one for one in chosen if one.thing in near]
        return self._found(order, chosen, 0.2) if chosen else self._nothing(order)

    def _is_of_everything(self, order: Order, thing: Thing) -> bool:
        """Tell whether "everything" means a thing: where it is off, what people switch off."""
        if order.domains is not None or order.attribute is not None:
            return True
        return order.action is Action.TURN_OFF and thing.domain in _EVERYTHING

    def _in_room(self, things: Iterable[Thing]) -> list[Thing]:
        """Return the things of the room in which is spoken."""
        area_id = self._scope.area_id
        return [one for one in things if area_id and one.area and one.area.id == area_id]

    def _sensible(self, order: Order, chosen: list[_Able]) -> list[_Able]:
        """Return the things for which the deed makes sense as they are now; all, if it is for none."""
        groups = _SENSIBLE.get(order.action, ())
        if order.attribute is Attribute.VOLUME or (
            order.action in (Action.UP, Action.DOWN)
            and all(one.thing.domain == Platform.MEDIA_PLAYER for one in chosen)
        ):
            groups = _LOUDNESS
        for states in groups:
            fitting = [one for one in chosen if one.state.state in states]
            if fitting:
                near = self._in_room([one.thing for one in fitting])
                return [one for one in fitting if one.thing in near] or fitting
        return chosen

    def _found(self, order: Order, chosen: Sequence[_Able], cost: float) -> Resolution:
        """Return the things to act on, unless they are guarded, or risky and several."""
        free = [one for one in chosen if one.thing.guarded_by is None]
        if not free:
            return Resolution(
                order=order,
                outcome=Outcome.GUARDED if chosen else Outcome.NOTHING,
                things=tuple(one.thing for one in chosen),
                cost=cost + order.penalty,
            )
        risky = [one for one in free if is_risky(self._hass, one.thing, self._lexicon)]
        if risky and len(chosen) > 1:
            return self._ask(order, list(chosen), cost, reason="one_at_a_time")
        return Resolution(
            order=order,
            outcome=Outcome.FOUND,
            things=tuple(one.thing for one in free),
            calls={one.thing.entity_id: one.call for one in free},
            cost=cost + order.penalty,
            risky=bool(risky),
        )

    def _ask(
        self, order: Order, chosen: Sequence[_Able], cost: float, *, reason: str = "which"
    ) -> Resolution:
        """Return a question about which one is meant."""
        risky = any(is_risky(self._hass, one.thing, self._lexicon) for one in chosen)
        return Resolution(
            order=order,
            outcome=Outcome.ASK,
            things=tuple(one.thing for one in chosen),
            calls={one.thing.entity_id: one.call for one in chosen},
            cost=cost + order.penalty,
            risky=risky,
            reason=reason,
        )

    def _nothing(self, order: Order) -> Resolution:
        """Return that nothing was understood."""
        return Resolution(order=order, outcome=Outcome.NOTHING, cost=9.0)
