"""What a language must bring so that the home can be spoken to in it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
import re


class Action(StrEnum):
    """What a sentence wants done, whatever the thing is."""

    TURN_ON = "turn_on"
    TURN_OFF = "turn_off"
    TOGGLE = "toggle"
    START = "start"
    STOP = "stop"
    OPEN = "open"
    CLOSE = "close"
    LOCK = "lock"
    UNLOCK = "unlock"
    PAUSE = "pause"
    PLAY = "play"
    NEXT = "next"
    PREVIOUS = "previous"
    MUTE = "mute"
    UNMUTE = "unmute"
    SHUFFLE = "shuffle"
    SET = "set"
    UP = "up"
    DOWN = "down"
    DOCK = "dock"
    CLEAN = "clean"
    LOCATE = "locate"
    WATER = "water"
    DRY = "dry"
    OSCILLATE = "oscillate"
    STILL = "still"
    REVERSE = "reverse"
    PRESS = "press"
    ARM = "arm"
    DISARM = "disarm"
    ADD_ITEM = "add_item"
    FINISH_ITEM = "finish_item"
    REMOVE_ITEM = "remove_item"


class Attribute(StrEnum):
    """The side of a thing that a value belongs to."""

    BRIGHTNESS = "brightness"
    COLOR = "color"
    COLOR_TEMPERATURE = "color_temperature"
    VOLUME = "volume"
    TEMPERATURE = "temperature"
    HUMIDITY = "humidity"
    POSITION = "position"
    TILT = "tilt"
    SPEED = "speed"
    MODE = "mode"
    SOURCE = "source"


class ValueKind(StrEnum):
    """What sort of value was said."""

    PERCENT = "percent"
    DEGREES = "degrees"
    KELVIN = "kelvin"
    NUMBER = "number"
    COLOR = "color"
    WORD = "word"


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A value as it was said: a number with its unit, a colour, or a word such as "cool"."""

    kind: ValueKind
    number: float = 0.0
    unit: str | None = None
    word: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """What one noun can mean: domains, and device classes where only some of them are meant."""

    domains: frozenset[str]
    classes: frozenset[str] | None = None
    # Said of a thing that has no such class itself, it is explained a little worse.
    cost: float = 0.15
    # Words of which the thing's names must have one.
    words: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Template:
    """One shape of a sentence and what it asks for; ``{t}`` is the thing, ``{v}`` the value."""

    action: Action
    shape: re.Pattern[str]
    domains: frozenset[str] | None = None
    attribute: Attribute | None = None
    value: Value | None = None
    # A shape that also fits other sentences only counts where nothing clearer does.
    penalty: float = 0.0


@dataclass(frozen=True, slots=True)
class Ask:
    """One shape of a question, and the name of who answers it."""

    topic: str
    shape: re.Pattern[str]


# There is one of a language, so that it is known by itself.
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lexicon:
    """The words and sentences of one language."""

    language: str
    stem: Callable[[str], str]
    root: Callable[[str], str]
    # Written form first: (pattern, replacement) in the order in which they are applied.
    spelling: Sequence[tuple[re.Pattern[str], str]]
    numbers: Mapping[str, str]
    # What the figures of spelled numbers come to, applied after them.
    fractions: Sequence[tuple[re.Pattern[str], str]]
    polite_start: re.Pattern[str]
    polite_end: re.Pattern[str]
    reason: re.Pattern[str]
    refusal: re.Pattern[str]
    # What is no command for this moment: a report, a plan, a rule.
    not_now: re.Pattern[str]
    question: re.Pattern[str]
    deed_asked: re.Pattern[str]
    # "If the window is open", as a question.
    whether: re.Pattern[str]
    # A sentence that begins with its condition, and has nothing between it and the order.
    conditional: re.Pattern[str]
    condition: Sequence[re.Pattern[str]]
    statement: re.Pattern[str]
    joints: re.Pattern[str]
    conjunction: re.Pattern[str]
    exception: re.Pattern[str]
    templates: Sequence[Template]
    asks: Sequence[Ask]
    fillers: frozenset[str]
    # Said around a value without changing it.
    vague: frozenset[str]
    every: frozenset[str]
    everything: frozenset[str]
    # Words that stand for a noun that was said before: "the one in the hall".
    pointing: frozenset[str]
    pronouns: frozenset[str]
    here: frozenset[str]
    house: frozenset[str]
    generic: frozenset[str]
    attributes: Mapping[tuple[str, ...], Attribute]
    kinds: Mapping[tuple[str, ...], tuple[Kind, ...]]
    # Nouns that name a way into the house.
    doors: frozenset[str]
    alike: Sequence[frozenset[str]]
    outdoor: frozenset[str]
    upstairs: Mapping[str, int]
    sides: Mapping[str, bool]
    level_of: Callable[[Sequence[tuple[str, ...]]], int | None]
    watering: frozenset[str]
    # Words of a place that do not tell it from others.
    roomlike: frozenset[str]
    colors: frozenset[str]
    whites: Mapping[str, int]
    levels: Mapping[str, float]
    options: Mapping[str, str]
    much: Mapping[str, float]
    yes: frozenset[str]
    never_mind: frozenset[str]
    every_one: frozenset[str]
    ordinals: Mapping[str, int]
    days: Mapping[str, int]
    next_word: str
    # Stretches of time: a day, week or weekend, how far ahead, and how long.
    spans: Mapping[str, tuple[str, int, int]]
    # Units of time, in seconds.
    units: Mapping[str, int]
    # The one name of a quality that is asked, such as "closed" for "shut".
    qualities: Mapping[str, str]
    # What "opened" asks of the past.
    deeds_done: Mapping[str, str]
    # States as they are spoken, by state or by device class and state.
    conditions: Mapping[str, str]
    # The side of a thing that "how warm" asks.
    measures: Mapping[str, str]
    sides_asked: Mapping[str, str]
    sides_asked_words: frozenset[str]
    noticed: Mapping[str, str]
    # What is noticed and has a time: "when was there motion".
    noticed_words: frozenset[str]
    above: frozenset[str]
    weathers: Mapping[str, frozenset[str]]
    busy: frozenset[str]
    # Questions about people's own affairs.
    personal: re.Pattern[str]
    according: re.Pattern[str]
    when: re.Pattern[str]
    counted: re.Pattern[str]
    search_stop: frozenset[str]
    said: Mapping[str, str]


def word_set(words: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(words.split())
