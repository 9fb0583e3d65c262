"""Answers questions about what is: states, readings, who is home, since when."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
import math
from typing import Any, Final

from homeassistant.const import ATTR_DEVICE_CLASS, STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant, State
from homeassistant.util import dt as dt_util

from .agenda import Agenda
from .clock import past_span, spoken_duration, spoken_time
from .house import House, Thing, class_of
from .lexicon import Lexicon
from .past import last_time, spent
from .perform import listed, names_of
from .resolve import Scope
from .sky import Sky
from .states import described, holds, measured
from .targets import Match, Matcher, Mention, best_of, mention_of

LIMIT: Final = 1.2
MOST: Final = 8
HIGH: Final = 1.0

_SHOWN: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "temperature": (("climate", "current_temperature"), ("water_heater", "current_temperature")),
    "humidity": (("climate", "current_humidity"), ("humidifier", "current_humidity")),
    "brightness": (("light", "brightness"),),
    "volume": (("media_player", "volume_level"),),
    "position": (("cover", "current_position"), ("valve", "current_position")),
    "speed": (("fan", "percentage"),),
    "target": (
        ("climate", "temperature"),
        ("water_heater", "temperature"),
        ("humidifier", "humidity"),
    ),
    "battery": (("vacuum", "battery_level"),),
}
_SHARES: Final = {"brightness": 255.0, "volume": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What is said to a question; ``truth`` is its yes or no."""

    text: str
    things: tuple[Thing, ...] = ()
    truth: bool | None = None
    certain: bool = True
    numbers: tuple[float, ...] = field(default=())


class Questions:
    """Answers one sentence about the house as it is now."""

    def __init__(
        self,
        hass: HomeAssistant,
        house: House,
        lexicon: Lexicon,
        scope: Scope,
        agenda: Agenda,
        sky: Sky,
    ) -> None:
        """Take the house, where it is asked, and who knows about times and the sky."""
        self._hass = hass
        self._house = house
        self._lexicon = lexicon
        self._scope = scope
        self._agenda = agenda
        self._sky = sky
        self._said = lexicon.said
        self._matcher = Matcher(house, lexicon, lambda entity_id: class_of(hass, entity_id))

    async def condition(self, text: str) -> Reply | None:
        """Return whether a statement is true; None where that cannot be told."""
        found = self._lexicon.statement.fullmatch(text)
        if found is None:
            return None
        reply = await self.answer(f"{found['be']} {found['t']} {found['rest']}")
        return reply if reply is not None and reply.truth is not None else None

    async def answer(self, text: str) -> Reply | None:
        """Return the answer to a spelled question, or None."""
        handlers: Mapping[str, Callable[[dict[str, str]], Reply | None]] = {
            "is": self._is,
            "choice": self._choice,
            "over": self._over,
            "count": self._count,
            "which": self._which,
            "any": self._any,
            "all": self._all,
            "is_there": self._is_there,
            "playing": self._playing,
            "value": self._value,
            "who": self._who,
            "where": self._where,
            "since": self._since,
        }
        text = " ".join(text.replace(",", " ").split())
        for ask in self._lexicon.asks:
            if (found := ask.shape.fullmatch(text)) is None:
                continue
            said = {
                name.partition("_")[0]: value.strip(" ,")
                for name, value in found.groupdict().items()
                if value
            }
            handler = handlers.get(ask.topic)
            if handler is not None:
                reply = handler(said)
            elif ask.topic == "last":
                reply = await self._last(said)
            elif ask.topic == "spent":
                reply = await self._spent(said)
            elif ask.topic in ("weather", "outside"):
                reply = await self._weather(ask.topic, said)
            else:
                reply = await self._dates(ask.topic, said, text)
            if reply is not None:
                return reply
        found_text = await self._agenda.search(text)
        return None if found_text is None else Reply(text=found_text, certain=True)

    # Which things

    def _things(self, phrase: str, fits: Callable[[State], bool]) -> list[Match]:
        """Return the things that a phrase means, of those that can be asked this."""
        phrase, here = self._without_here(phrase)
        mention = mention_of(phrase, self._lexicon, self._house)
        pool = [
            thing
            for thing in self._house.things.values()
            if self._scope.may_read(thing.entity_id)
            and (state := self._hass.states.get(thing.entity_id)) is not None
            and fits(state)
        ]
        if here:
            pool = [one for one in pool if one.area and one.area.id == self._scope.area_id]
        if all(word in self._lexicon.pronouns for word in phrase.split()) and phrase:
            return [_plainly(one) for one in pool if one.entity_id in self._scope.focus]
        if mention.empty:
            return [_plainly(one) for one in pool] if here or mention.every else []
        found = self._matcher.matches(mention, pool)
        if not found or found[0].cost > LIMIT:
            return []
        if mention.plural or mention.every:
            classed = self._matcher.classed(mention, pool)
            if classed and not (found[0].exact and not mention.every):
                return self._nearby(mention, best_of(classed))
        return self._nearby(mention, best_of(found))

    def _nearby(self, mention: Mention, matches: list[Match]) -> list[Match]:
        """Return the matches of the room where the phrase fits several and names no place."""
        if mention.every or mention.plural or any(match.placed for match in matches):
            return matches
        near = [
            one
            for one in matches
            if self._scope.area_id and one.thing.area and one.thing.area.id == self._scope.area_id
        ]
        return near or matches

    def _without_here(self, phrase: str) -> tuple[str, bool]:
        """Return a phrase without "in here"."""
        for words in sorted(self._lexicon.here, key=len, reverse=True):
            if phrase == words or phrase.endswith(f" {words}"):
                return phrase[: len(phrase) - len(words)].strip(), self._scope.area_id is not None
        return phrase, False

    def _quality(self, said: dict[str, str]) -> str:
        """Return the quality that was asked, by its one name."""
        words = said.get("s", "").split()
        for length in range(len(words), 0, -1):
            tail = " ".join(words[-length:])
            if tail in self._lexicon.qualities:
                return self._lexicon.qualities[tail]
        return " ".join(words)

    def _state(self, thing: Thing) -> State:
        """Return the state of a thing that was just seen."""
        state = self._hass.states.get(thing.entity_id)
        return state if state is not None else State(thing.entity_id, STATE_UNAVAILABLE)

    def _asked(self, said: dict[str, str], quality: str) -> list[Thing]:
        """Return the things for which a quality was asked."""
        phrase = " ".join(part for part in (said.get("t"), said.get("u")) if part)
        return [
            match.thing
            for match in self._things(phrase, lambda state: holds(state, quality) is not None)
        ]

    def _split(self, things: Iterable[Thing], quality: str) -> tuple[list[Thing], list[Thing]]:
        """Return those of which a quality is true, and the others."""
        true: list[Thing] = []
        false: list[Thing] = []
        for thing in things:
            (true if holds(self._state(thing), quality) else false).append(thing)
        return true, false

    # Yes and no

    def _is(self, said: dict[str, str]) -> Reply | None:
        """Answer whether one thing, or each of several, is so."""
        quality = self._quality(said)
        things = self._asked(said, quality)
        if not things or len(things) > MOST:
            return None
        true, false = self._split(things, quality)
        if true and false:
            parts = [self._is_so(thing) for thing in things]
            return Reply(text=f"{listed(parts, self._lexicon)}.", things=tuple(things))
        return self._yes_no(
            not false, listed([self._is_so(one) for one in things], self._lexicon), things
        )

    def _is_so(self, thing: Thing) -> str:
        """Return a thing and what it is."""
        return self._said["is_state"].format(
            name=names_of([thing], self._lexicon),
            state=described(self._hass, self._state(thing), self._lexicon),
        )

    def _yes_no(self, truth: bool, text: str, things: Sequence[Thing]) -> Reply:
        """Return a yes or no with its reason."""
        return Reply(
            text=self._said["yes" if truth else "no"].format(reason=text),
            things=tuple(things),
            truth=truth,
        )

    def _any(self, said: dict[str, str]) -> Reply | None:
        """Answer whether any of several things is so, and which."""
        quality = self._quality(said)
        things = self._asked({**said, "t": said.get("t", "everything")}, quality)
        if not things:
            return None
        true, _false = self._split(things, quality)
        if not true:
            text = self._said["none"].format(state=said["s"])
            return self._yes_no(False, text, things)
        return self._yes_no(True, names_of(true, self._lexicon), true)

    def _all(self, said: dict[str, str]) -> Reply | None:
        """Answer whether all of several things are so, and which are not."""
        quality = self._quality(said)
        phrase = said.get("t", "everything")
        things = self._asked(
            {**said, "t": phrase if "every" in phrase else f"all {phrase}"}, quality
        )
        if not things:
            return None
        _true, false = self._split(things, quality)
        if not false:
            return self._yes_no(True, self._said["all"].format(state=said["s"]), things)
        parts = [self._is_so(thing) for thing in false[:MOST]]
        return self._yes_no(False, listed(parts, self._lexicon), false)

    def _count(self, said: dict[str, str]) -> Reply | None:
        """Answer how many things are so."""
        quality = self._quality(said) if "s" in said else None
        phrase = f"all {said['t']} {said.get('u', '')}".strip()
        if quality is None:
            things = [match.thing for match in self._things(phrase, lambda _state: True)]
            true = things
        else:
            things = self._asked({"t": phrase}, quality)
            true, _false = self._split(things, quality)
        if not things:
            return None
        if quality is None and len(things) == 1 and things[0].domain in _COUNTERS:
            return self._told([self._reading(things[0])], things)
        if not true:
            return Reply(text=self._said["count_none"], things=tuple(things), numbers=(0.0,))
        text = self._said["count"].format(
            count=len(true), names=names_of(true[:MOST], self._lexicon)
        )
        if len(true) > MOST:
            text = f"{len(true)}."
        return Reply(text=text, things=tuple(true), numbers=(float(len(true)),))

    def _which(self, said: dict[str, str]) -> Reply | None:
        """Answer which things are so."""
        quality = self._quality(said)
        phrase = f"all {said.get('t', 'everything')} {said.get('u', '')}".strip()
        things = self._asked({"t": phrase}, quality)
        if not things:
            return None
        true, _false = self._split(things, quality)
        if not true:
            return Reply(text=self._said["count_none"], things=tuple(things))
        return Reply(
            text=f"{listed([one.title for one in true[:20]], self._lexicon)}.", things=tuple(true)
        )

    def _is_there(self, said: dict[str, str]) -> Reply | None:
        """Answer whether a sensor notices something."""
        phrase = f"{self._lexicon.noticed.get(said['k'], said['k'])} {said.get('t', '')}".strip()
        found = self._things(f"all {phrase}", lambda state: state.domain == "binary_sensor")
        if not found:
            return None
        things = [match.thing for match in found]
        true, _false = self._split(things, "active")
        if not true:
            return self._yes_no(False, self._said["nothing_noticed"], things)
        return self._yes_no(True, names_of(true, self._lexicon), true)

    def _over(self, said: dict[str, str]) -> Reply | None:
        """Answer whether a reading is above or below a number."""
        phrase = said.get("t", "")
        told = []
        if {"a", "g"} & said.keys():
            told.append(self._value({"a": "temperature", "t": phrase}))
        if "a" not in said:
            told += [self._value({"t": phrase}), self._shown("temperature", phrase)]
        value = next((one for one in told if one and one.numbers), None)
        if value is None:
            return None
        limit = float(said["n"].replace("minus ", "-"))
        truths = {self._is_beyond(number, said["c"], limit) for number in value.numbers}
        if len(truths) != 1 or any(math.isnan(number) for number in value.numbers):
            return None
        return self._yes_no(truths.pop(), value.text.rstrip("."), value.things)

    def _is_beyond(self, number: float, compared: str, limit: float) -> bool:
        """Tell whether a number is as a comparison says."""
        if compared in ("at least", "at most"):
            return number >= limit if compared == "at least" else number <= limit
        return number > limit if compared in self._lexicon.above else number < limit

    # What it is

    def _choice(self, said: dict[str, str]) -> Reply | None:
        """Answer what a thing is now."""
        found = self._things(said["t"], lambda state: state.domain in _STATEFUL)
        if not found or len(found) > MOST:
            return None
        things = [match.thing for match in found]
        parts = [self._is_so(thing) for thing in things]
        return Reply(text=f"{listed(parts, self._lexicon)}.", things=tuple(things))

    def _playing(self, said: dict[str, str]) -> Reply | None:
        """Answer what is being played."""
        phrase = f"all music {said.get('t', '')}".strip() if "x" not in said else said["x"]
        found = self._things(phrase, lambda state: state.domain == "media_player")
        if not found and "x" in said:
            return None
        if not found:
            found = self._things("all media players", lambda state: state.domain == "media_player")
        playing = [one.thing for one in found if self._state(one.thing).state == "playing"]
        if not playing:
            return Reply(text=self._said["silence"], things=()) if found else None
        parts = []
        for thing in playing:
            shown = self._state(thing).attributes
            artist, title = shown.get("media_artist"), shown.get("media_title")
            what = self._said["by"].format(title=title, artist=artist) if artist else title
            what = what or shown.get("app_name") or shown.get("source") or self._said["something"]
            parts.append(self._said["plays"].format(name=thing.title, what=what))
        return Reply(text=f"{listed(parts, self._lexicon)}.", things=tuple(playing))

    def _value(self, said: dict[str, str]) -> Reply | None:
        """Answer a reading: of a sensor, or of the side of a thing that was asked."""
        phrase = " ".join(part for part in (said.get("t"), said.get("u")) if part)
        phrase = phrase or said.get("x", "")
        side = self._lexicon.measures.get(said.get("a", ""))
        noun = side or self._noun(phrase)
        worded = f"{side} {phrase}".strip() if side and side != "target" else phrase
        sensors = self._things(
            worded, lambda state: state.domain in ("sensor", "number", "input_number")
        )
        shown = self._shown(noun, phrase) if noun else None
        if shown is not None and sensors and sensors[0].named and phrase == noun:
            # "The volume" is that of what plays, whatever else has the word in its name.
            sensors = [one for one in sensors if one.exact]
        if sensors and (shown is None or sensors[0].cost <= HIGH):
            readings = [self._reading(match.thing) for match in sensors[:MOST]]
            if len(sensors) <= MOST and noun != "target":
                return self._told(readings, [match.thing for match in sensors])
        if shown is not None:
            return shown
        if side is not None and phrase:
            known = self._things(phrase, lambda state: state.domain == "sensor")
            if len(known) == 1 and known[0].named:
                return self._told([self._reading(known[0].thing)], [known[0].thing])
        return self._choice({"t": phrase}) if "a" not in said and phrase else None

    def _noun(self, phrase: str) -> str | None:
        """Return the side of a thing that a phrase names itself: "the volume of the TV"."""
        words = [self._lexicon.stem(word) for word in phrase.split()]
        joined = f" {' '.join(words)} "
        return next(
            (side for noun, side in self._lexicon.sides_asked.items() if f" {noun} " in joined),
            None,
        )

    def _shown(self, noun: str, phrase: str) -> Reply | None:
        """Answer from an attribute of a thing."""
        words = [
            word
            for word in phrase.split()
            if self._lexicon.stem(word) not in self._lexicon.sides_asked_words
        ]
        asked = [
            (found, attribute)
            for domain, attribute in _SHOWN.get(noun, ())
            if (found := self._things(" ".join(words) or "everything", _shows(domain, attribute)))
        ]
        if not asked:
            return None
        found, attribute = min(asked, key=lambda one: one[0][0].cost)
        if not words and len(found) > 1:
            near = [
                one for one in found if one.thing.area and one.thing.area.id == self._scope.area_id
            ]
            found = near or found
        if len(found) > MOST:
            return None
        things = [match.thing for match in found]
        numbers = [self._share(noun, self._state(one).attributes[attribute]) for one in things]
        readings = [(self._with_unit(noun, number), number) for number in numbers]
        return self._told(readings, things)

    def _share(self, noun: str, value: Any) -> float:
        """Return an attribute as it is spoken: brightness and volume in percent."""
        return round(100 * float(value) / _SHARES[noun]) if noun in _SHARES else float(value)

    def _with_unit(self, noun: str, number: float) -> str:
        """Return a number with the unit of the side that was asked."""
        if noun in ("temperature", "target"):
            return f"{number:g} {self._hass.config.units.temperature_unit}"
        return f"{number:g}%"

    def _reading(self, thing: Thing) -> tuple[str, float]:
        """Return a reading with its number, not a number where it is none."""
        state = self._state(thing)
        try:
            return measured(state), float(state.state)
        except ValueError:
            return measured(state), math.nan

    def _told(self, readings: Sequence[tuple[str, float]], things: Sequence[Thing]) -> Reply:
        """Return readings as a sentence."""
        parts = [
            self._said["is_state"].format(name=names_of([thing], self._lexicon), state=text)
            for thing, (text, _number) in zip(things, readings, strict=True)
        ]
        return Reply(
            text=f"{listed(parts, self._lexicon)}.",
            things=tuple(things),
            numbers=tuple(number for _text, number in readings),
        )

    # People, times, the sky

    def _who(self, said: dict[str, str]) -> Reply | None:
        """Answer who is home."""
        people = [
            thing for thing in self._house.of({"person"}) if self._scope.may_read(thing.entity_id)
        ]
        if not people:
            return None
        home, away = self._split(people, "home")
        wanted, others = (home, away) if said["s"] in ("home", "here") else (away, home)
        quantifier = said.get("q")
        if quantifier is None:
            text = names_of(wanted, self._lexicon) if wanted else self._said["nobody"]
            return Reply(text=f"{text}.", things=tuple(wanted))
        if quantifier.startswith("every"):
            return self._yes_no(not others, names_of(others or wanted, self._lexicon), others)
        if quantifier == "nobody":
            return self._yes_no(not wanted, names_of(wanted or others, self._lexicon), wanted)
        return self._yes_no(
            bool(wanted), names_of(wanted, self._lexicon) or self._said["nobody"], wanted
        )

    def _where(self, said: dict[str, str]) -> Reply | None:
        """Answer where a person is."""
        found = self._things(said["t"], lambda state: state.domain in ("person", "device_tracker"))
        if len(found) != 1:
            return None
        thing = found[0].thing
        return Reply(text=f"{self._is_so(thing)}.", things=(thing,))

    def _since(self, said: dict[str, str]) -> Reply | None:
        """Answer since when a thing is as it is."""
        found = self._things(said["t"], lambda state: state.domain in _STATEFUL)
        quality = self._quality(said) if "s" in said else None
        if quality is not None:
            found = [one for one in found if holds(self._state(one.thing), quality) is not None]
        if len(found) != 1:
            return None
        thing = found[0].thing
        state = self._state(thing)
        if quality is not None and not holds(state, quality):
            return self._yes_no(False, self._is_so(thing), [thing])
        when = spoken_time(dt_util.as_local(state.last_changed), dt_util.now(), self._lexicon)
        text = self._said["since"].format(what=self._is_so(thing), when=when)
        return Reply(text=text, things=(thing,))

    async def _last(self, said: dict[str, str]) -> Reply | None:
        """Answer when a thing was last opened, locked, switched on."""
        quality = self._lexicon.deeds_done.get(said["s"], self._quality(said))
        changed = quality == "changed"
        phrase = said.get("t", "")
        if said["s"] in self._lexicon.noticed_words:
            phrase = f"{said['s']} {phrase}".strip()
        found = self._things(phrase, lambda state: changed or holds(state, quality) is not None)
        if len(found) != 1:
            return None
        thing = found[0].thing
        state = self._state(thing)
        when: datetime | None = state.last_changed
        if not changed and not holds(state, quality):
            when = await last_time(
                self._hass, thing.entity_id, lambda one: bool(holds(one, quality))
            )
        if when is None:
            text = self._said["no_history"].format(what=self._is_so(thing))
            return Reply(text=text, things=(thing,))
        spoken = spoken_time(dt_util.as_local(when), dt_util.now(), self._lexicon)
        text = self._said["last"].format(name=thing.title, when=spoken)
        return Reply(text=text, things=(thing,))

    async def _spent(self, said: dict[str, str]) -> Reply | None:
        """Answer how long, or how often, a thing was so within a stretch of the past."""
        quality = self._lexicon.deeds_done.get(said["s"], self._quality(said))
        found = self._things(said["t"], lambda state: holds(state, quality) is not None)
        now = dt_util.now()
        span = past_span(said, now, self._lexicon)
        if len(found) != 1 or span is None:
            return None
        thing = found[0].thing
        kept = await spent(
            self._hass,
            thing.entity_id,
            lambda one: bool(holds(one, quality)),
            dt_util.as_utc(span.start),
            dt_util.as_utc(span.end),
        )
        if kept is None:
            text = self._said["no_history"].format(what=self._is_so(thing))
            return Reply(text=text, things=(thing,))
        counted = "q" in said
        told = self._said["times"] if counted else spoken_duration(kept.seconds, self._lexicon)
        text = self._said["spent"].format(
            name=thing.title, told=told.format(count=kept.times), when=span.name
        )
        number = float(kept.times) if counted else kept.seconds
        return Reply(text=text, things=(thing,), numbers=(number,))

    async def _weather(self, topic: str, said: dict[str, str]) -> Reply | None:
        """Answer about the weather; what a sensor outside measures comes first."""
        if topic == "outside" and not said.get("day", "now").startswith(("tom", "next")):
            noun = self._lexicon.measures.get(said.get("a", ""), "temperature")
            found = self._things(
                f"{noun} outside", lambda state: state.attributes.get(ATTR_DEVICE_CLASS) == noun
            )
            if found and len(found) <= MOST:
                things = [match.thing for match in found]
                return self._told([self._reading(one) for one in things], things)
        places = [one for one in self._house.of({"weather"}) if self._scope.may_read(one.entity_id)]
        text, truth = await self._sky.answer(places, said)
        return None if text is None else Reply(text=text, truth=truth)

    async def _dates(self, topic: str, said: dict[str, str], text: str) -> Reply | None:
        """Answer from calendars and lists."""
        phrase = said.get("t") or said.get("l")
        domain = "todo" if topic.startswith("items") else "calendar"
        found: list[Thing] | None = None
        if "b" in said:
            lists = self._things(self._said["shopping"], lambda state: state.domain == domain)
            found = [match.thing for match in lists] or None
        if phrase is not None:
            noun = " calendar" if domain == "calendar" else ""
            matches = self._things(f"{phrase}{noun}", lambda state: state.domain == domain)
            found = [match.thing for match in matches]
            if not found:
                return None
        answer = await self._agenda.answer(topic, said, found, text)
        return None if answer is None else Reply(text=answer[0], truth=answer[1])


_STATEFUL: Final = frozenset(
    {
        "light",
        "switch",
        "fan",
        "cover",
        "lock",
        "valve",
        "media_player",
        "climate",
        "vacuum",
        "lawn_mower",
        "binary_sensor",
        "humidifier",
        "water_heater",
        "alarm_control_panel",
        "person",
        "input_boolean",
        "input_select",
        "select",
        "siren",
        "sensor",
    }
)
# What holds a number of things rather than being one of them.
_COUNTERS: Final = frozenset({"sensor", "counter", "number", "input_number"})


def _shows(domain: str, attribute: str) -> Callable[[State], bool]:
    """Return what tells whether a state is of a domain and has an attribute."""
    return lambda state: state.domain == domain and state.attributes.get(attribute) is not None


def _plainly(thing: Thing) -> Match:
    """Return a thing as found without having been named."""
    return Match(thing=thing, cost=0.2, named=False, exact=False, placed=False, guessed=False)
