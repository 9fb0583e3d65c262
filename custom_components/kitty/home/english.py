"""The English lexicon: words, kinds of things, colours, and what to say."""

from collections.abc import Sequence
import re
from typing import Final

from custom_components.kitty.assent import AGREED, DECLINED

from .english_answers import (
    ANSWERS,
    CONDITIONS,
    DEEDS_DONE,
    MEASURES,
    QUALITIES,
    SIDES_ASKED,
    SPANS,
    WEATHERS,
)
from .english_colors import COLORS
from .english_kinds import KINDS, WATERING
from .english_questions import ACCORDING, ASKS, PERSONAL, SEARCH_STOP
from .english_sentences import TEMPLATES
from .lexicon import Attribute, Lexicon, word_set

_SPELLING: Final = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\b(what|who|where|when|how|that)s\b(?= )", r"\1 is"),
        (r"\b(what|who|where|when|how|that|there|it|here|he|she)'s\b", r"\1 is"),
        (r"(\w)'s (on|off|open|closed|shut|locked|unlocked|up|down)\b", r"\1 is \2"),
        # A word so short is not taken for a plural.
        (r"\b(\w\w)'s\b", r"\1"),
        (r"\b(i|we|you|they)'d\b", r"\1 would"),
        (r"\b(i|we|you|they)'ll\b", r"\1 will"),
        (r"\b(i|we|you|they)'ve\b", r"\1 have"),
        (r"\bi'm\b", "i am"),
        (r"\b(we|you|they)'re\b", r"\1 are"),
        (r"\blet's\b", "let us"),
        (r"\b(?:can't|cannot)\b", "can not"),
        (r"\bwon't\b", "will not"),
        (r"\b(is|are|was|were|do|does|did|have|has|had|could|would|should)n't\b", r"\1 not"),
        (r"\b(do|does|is|are)nt\b", r"\1 not"),
        (r"\bcan not (?:really |quite )?hear\b", "can barely hear"),
        (r"\b(turn|switch|shut|power) of\b", r"\1 off"),
        # What is said twice by a stutter.
        (r"\b([a-z]+ [a-z]+(?: [a-z]+)?) \1\b", r"\1"),
        (r"(\d)\s*%", r"\1 percent"),
        (r"(\d)\s*per cent\b", r"\1 percent"),
        (r"(\d)\s*pct\b", r"\1 percent"),
        (r"(\d)\s*°\s*c\b", r"\1 degrees celsius"),
        (r"(\d)\s*°\s*f\b", r"\1 degrees fahrenheit"),
        (r"(\d)\s*°", r"\1 degrees"),
        (r"(\d) (celsius|fahrenheit)\b", r"\1 degrees \2"),
        (r"(\d)\s*(?:degrees? )?(?:c|centigrade)\b", r"\1 degrees celsius"),
        (r"(\d)\s*(?:degrees? )?f\b", r"\1 degrees fahrenheit"),
        (r"(\d)\s*k\b", r"\1 kelvin"),
        (r"(\d),(\d{3})\b", r"\1\2"),
        (r"(\d),(\d)", r"\1.\2"),
        (r"'", ""),
        (r"\bto-?do\b", "todo"),
        (r"\bto do (list|item)", r"todo \1"),
        (r"\bwi-fi\b", "wifi"),
        (r"\bair ?con\b", "air conditioning"),
        (r"\ba/c\b", "ac"),
        (r"\btee ?vee\b", "tv"),
        (r"\bcolour", "color"),
        (r"\bgrey\b", "gray"),
    )
)

_ONES: Final = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
)
_TENS: Final = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
NUMBERS: Final = (
    {word: str(value) for value, word in enumerate(_ONES)}
    | {word: str(10 * value) for value, word in enumerate(_TENS, 2)}
    | {
        f"{ten} {one}": str(10 * value + unit)
        for value, ten in enumerate(_TENS, 2)
        for unit, one in enumerate(_ONES[1:10], 1)
    }
    | {"one hundred": "100", "a hundred": "100", "hundred": "100"}
)

# What follows the number words: "twenty one point five", "twenty and a half".
_FRACTIONS: Final = (
    (re.compile(r"\b(\d+) point (\d+)\b"), r"\1.\2"),
    (re.compile(r"\b(\d+) and a half\b"), r"\1.5"),
)

_MANNERS: Final = (
    r"please|kindly|hey|hi|hello|ok|okay|kitty|assistant|computer|just|now|then|and|quickly|also|alright|"
    r"um|uh|er|erm|hmm|so|maybe|perhaps|possibly|"
    r"(?:would|could|can|will) you be so kind(?: as to| and)?|be so kind as to|"
    r"(?:would|is) it (?:be )?possible (?:for you )?to|(?:could|can|would) (?:someone|somebody|anyone|anybody)|"
    r"i would (?:be (?:grateful|happy|glad)|appreciate it|love it|like it) if you (?:could|would)|"
    r"if you (?:do not|would not) mind|i think (?:we|you) should|"
    r"could you|can you|would you|will you|can we|could we|can i|could i|may i|"
    r"i would like (?:you )?to|i would like|i d like to|i want (?:you )?to|i want|i need (?:you )?to|i need|"
    r"i would love (?:you )?to|you should|you can|you could|would you mind|do you mind|"
    r"let us|lets|go ahead(?: and)?|go and|help me|help me to|try to|be sure to|remember to|"
    r"it is time to|time to|we need to|we should|be so kind(?: and)?|be a dear and|if you would|"
    r"make it so that|"
    r"please tell me|tell me|let me know|i wonder|do you know|can you tell me|could you tell me|"
    r"i want to know|i would like to know|show me|check whether|check if|whether"
)
_START: Final = re.compile(rf"^(?:(?:{_MANNERS}) )+(?=\S)")
_END: Final = re.compile(
    r"(?: (?:please|(?:and )?(?:thanks|thank you)(?: very much| so much| a lot)?|kitty|for me|for us|right now|"
    r"now|immediately|"
    r"right away|at once|asap|quickly|if you can|if you could|if possible|if you please|if you would|"
    r"would you|will you|could you|can you|again|currently|at the moment|today please|ok|okay|"
    r"please answer(?: with)? yes or no|answer(?: with)? yes or no|as well|too))+$"
)

_ATTRIBUTES: Final = {
    "brightness": Attribute.BRIGHTNESS,
    "brightness level": Attribute.BRIGHTNESS,
    "light level": Attribute.BRIGHTNESS,
    "dimmer": Attribute.BRIGHTNESS,
    "intensity": Attribute.BRIGHTNESS,
    "color": Attribute.COLOR,
    "hue": Attribute.COLOR,
    "color temperature": Attribute.COLOR_TEMPERATURE,
    "volume": Attribute.VOLUME,
    "volume level": Attribute.VOLUME,
    "loudness": Attribute.VOLUME,
    "sound level": Attribute.VOLUME,
    "temperature": Attribute.TEMPERATURE,
    "temp": Attribute.TEMPERATURE,
    "target temperature": Attribute.TEMPERATURE,
    "set point": Attribute.TEMPERATURE,
    "setpoint": Attribute.TEMPERATURE,
    "humidity": Attribute.HUMIDITY,
    "target humidity": Attribute.HUMIDITY,
    "position": Attribute.POSITION,
    "tilt": Attribute.TILT,
    "slat": Attribute.TILT,
    "speed": Attribute.SPEED,
    "mode": Attribute.MODE,
    "preset": Attribute.MODE,
    "source": Attribute.SOURCE,
    "input": Attribute.SOURCE,
    "channel": Attribute.SOURCE,
    "station": Attribute.SOURCE,
}

_ALIKE: Final = tuple(
    frozenset(group.split())
    for group in (
        "tv television telly",
        "fire fireplace",
        "lounge living great sitting drawing",
        "bath bathroom restroom toilet washroom wc loo lavatory",
        "yard garden",
        "fridge refrigerator",
        "washer washing",
        "cellar basement",
        "attic loft",
        "hall hallway corridor",
        "entry entrance entryway foyer",
        "ac air conditioner aircon",
        "master main primary",
        "child children kid childrens kids nursery",
        "guest spare visitor",
        "office study",
        "plug outlet socket",
        "curtain drape",
        "sprinkler irrigation",
        "roof rooftop",
        "speaker stereo",
        "cooker stove oven hob",
        "hood extractor",
        "heater heating radiator",
        "robot vacuum",
        "todo task",
        "grocery shopping groceries",
        "tub jacuzzi",
    )
)

_OUTDOOR: Final = (
    "yard backyard garden lawn patio terrace porch balcony deck driveway pool courtyard veranda outdoor "
    "outside exterior orchard vineyard dock street carport greenhouse"
)


def stem(word: str) -> str:
    """Return a word without the ending of its plural."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("ches", "shes", "sses", "xes", "zes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is", "as")):
        return word[:-1]
    return word


def root(word: str) -> str:
    """Return what is common to the forms of a word, for looking things up by what they are about."""
    word = stem(word)
    for ending in ("ing", "ed", "er"):
        if len(word) > len(ending) + 3 and word.endswith(ending):
            word = word.removesuffix(ending)
            if word[-1] == word[-2] and word[-1] not in "ls":
                word = word[:-1]
            break
    return word.removesuffix("e") if len(word) > 3 else word


_LEVELS: Final = {
    "cellar": -1,
    "basement": -1,
    "ground": 0,
    "main": 0,
    "downstair": 0,
    "lower": 0,
    "first": 1,
    "1st": 1,
    "1": 1,
    "upstair": 2,
    "upper": 2,
    "second": 2,
    "2nd": 2,
    "2": 2,
    "third": 3,
    "3rd": 3,
    "3": 3,
    "top": 4,
    "attic": 4,
    "loft": 4,
}


def level_of(names: Sequence[tuple[str, ...]]) -> int | None:
    """Return how high a floor lies by its name."""
    found = (_LEVELS[word] for name in names for word in name if word in _LEVELS)
    return next(found, None)


ENGLISH: Final = Lexicon(
    language="en",
    stem=stem,
    root=root,
    spelling=_SPELLING,
    numbers=NUMBERS,
    fractions=_FRACTIONS,
    polite_start=_START,
    polite_end=_END,
    reason=re.compile(
        r"^(?:i am|i feel|it is|we are|there is|it feels|{t} is|the \w+(?: \w+)? (?:is|are)) .+$".replace(
            "{t}", "it"
        )
    ),
    refusal=re.compile(
        r"\b(?:do not|does not|never|did not|should not|must not|(?<!but )not|without|no longer|unless|instead of|"
        r"why|who|how come|should i|imagine|pretend|suppose)\b"
        r"|\b(?:no (?:need|reason)|avoid|refrain|rather than|forget)\b|^(?:should|shall|must|might|may|would)\b"
    ),
    not_now=re.compile(
        r"^(?:i|we|you|he|she|they|someone|somebody|everyone|everybody|nobody)\b"
        # What was told or is to be told to somebody else.
        r"|\b(?:said|says|told|asked|asks|reminds?|wants? (?:me|us|you) to|(?:ask|tell|let) \w+ to)\b"
        r"|\b(?:when|whenever|every time|each time|as soon as|after|before|until|till|while|once|tomorrow|tonight|"
        r"later|every (?:day|morning|evening|night|hour|week|weekday)|"
        r"next (?:time|week|weekend|month|year|monday|tuesday|wednesday|thursday|friday|saturday|sunday)|"
        r"at (?:\d+(?::\d+)? ?(?:am|pm|oclock)|\d+:\d+|noon|midnight|sunset|sunrise|dawn|dusk)|"
        r"on (?:monday|tuesday|wednesday|thursday|friday|saturday|sunday)s?)\b"
    ),
    # Questions about what is done, which are never an order to somebody who ignores half of the words.
    deed_asked=re.compile(r"^(?:did|do|does|has|have|had|will|can|could)\b"),
    question=re.compile(
        r"^(?:what|who|whose|whom|which|when|where|why|how|is|are|am|was|were|do|does|did|will|has|have|had|any|"
        r"should|shall|would|could|can|must|may|might)\b"
    ),
    whether=re.compile(r"^(?:if|whether) (?P<when>.+)$"),
    conditional=re.compile(r"^(?:if|in case|as long as) (?P<rest>.+)$"),
    condition=(
        re.compile(r"^(?:if|in case|as long as) (?P<when>.+?)(?: then| ,)+ (?P<what>.+)$"),
        re.compile(r"^(?P<what>.+?)(?: ,)? (?:if|in case|as long as) (?P<when>.+)$"),
    ),
    statement=re.compile(r"(?P<t>.+?) (?P<be>is|are) (?P<rest>.+)"),
    joints=re.compile(
        r"\s*(?:;|\.(?= )|,? and then\b|, then\b|\bthen\b|,? and also\b|, and\b|, )\s*"
    ),
    conjunction=re.compile(r"\b(?:and|as well as|plus|along with)\b"),
    exception=re.compile(
        r"\b(?:except(?: for)?|but(?: not)?|apart from|other than|besides|excluding)\b"
    ),
    templates=TEMPLATES,
    asks=ASKS,
    fillers=word_set(
        "the a an my our your their his her this that these those of in on at to for with by from "
        "inside please some any there located over near within throughout through device devices called "
        "named number thing things"
    ),
    vague=word_set(
        "about around approximately exactly roughly brightness bright volume mode speed open level"
    ),
    every=frozenset({"all", "every", "each", "both", "any", "everywhere"}),
    pointing=frozenset({"1", "ones"}),
    everything=frozenset({"everything", "anything"}),
    pronouns=frozenset({"it", "them", "that", "those", "this", "these", "they"}),
    here=frozenset({"here", "in here", "this room", "in this room"}),
    house=frozenset(
        {"house", "home", "everywhere", "apartment", "flat", "place", "whole", "entire"}
    ),
    generic=frozenset(
        {"smart", "system", "unit", "controller", "control", "device", "sensor", "switch", "plug"}
    ),
    attributes={
        tuple(stem(word) for word in words.split()): one for words, one in _ATTRIBUTES.items()
    },
    kinds={tuple(stem(word) for word in words.split()): one for words, one in KINDS.items()},
    doors=frozenset({"garage", "gate", "door"}),
    alike=_ALIKE,
    outdoor=frozenset(_OUTDOOR.split()),
    sides={
        "outside": True,
        "outdoors": True,
        "outdoor": True,
        "inside": False,
        "indoors": False,
        "indoor": False,
    },
    level_of=level_of,
    watering=WATERING,
    roomlike=frozenset({"room", "area", "floor", "space", "zone", "house"}),
    upstairs={"upstairs": 1, "downstairs": -1},
    colors=COLORS,
    whites={
        "warm white": 2700,
        "warm": 2700,
        "soft white": 2900,
        "candlelight": 2000,
        "candle": 2000,
        "neutral white": 4000,
        "neutral": 4000,
        "cool white": 5000,
        "cold white": 6000,
        "daylight": 6000,
    },
    levels={
        "maximum": 100,
        "max": 100,
        "full": 100,
        "full brightness": 100,
        "full volume": 100,
        "full speed": 100,
        "full blast": 100,
        "highest": 100,
        "brightest": 100,
        "high": 100,
        "half": 50,
        "half brightness": 50,
        "halfway": 50,
        "medium": 66,
        "middle": 50,
        "a quarter": 25,
        "quarter": 25,
        "a third": 33,
        "third": 33,
        "three quarters": 75,
        "low": 33,
        "lowest": 1,
        "minimum": 1,
        "min": 1,
        "dimmest": 1,
    },
    options={
        "heating": "heat",
        "heat": "heat",
        "cooling": "cool",
        "cool": "cool",
        "cold": "cool",
        "auto": "auto",
        "automatic": "auto",
        "dry": "dry",
        "fan": "fan_only",
        "fan only": "fan_only",
        "heat cool": "heat_cool",
        "off": "off",
        "energy saving": "eco",
    },
    much={
        "a little": 0.5,
        "a little bit": 0.5,
        "a tiny bit": 0.5,
        "a bit": 0.5,
        "a touch": 0.5,
        "a tad": 0.5,
        "a notch": 0.5,
        "slightly": 0.5,
        "some": 1,
        "somewhat": 1,
        "a lot": 3,
        "much": 3,
        "way": 3,
    },
    yes=frozenset({*AGREED["en"], "yeah", "yep", "right", "correct"}),
    never_mind=frozenset({*DECLINED["en"], "none", "nothing", "nevermind", "neither"}),
    every_one=frozenset({"all", "both", "all of them", "both of them", "every 1", "everything"}),
    ordinals={
        "first": 1,
        "1st": 1,
        "second": 2,
        "2nd": 2,
        "third": 3,
        "3rd": 3,
        "fourth": 4,
        "4th": 4,
        "last": -1,
    },
    days={
        "monday": 0,
        "tuesday": 1,
        "wednesday": 2,
        "thursday": 3,
        "friday": 4,
        "saturday": 5,
        "sunday": 6,
    },
    next_word="next",
    spans=SPANS,
    units={"minute": 60, "hour": 3600, "day": 86400, "week": 604800},
    qualities=QUALITIES,
    deeds_done=DEEDS_DONE,
    conditions=CONDITIONS,
    measures=MEASURES,
    sides_asked=SIDES_ASKED,
    sides_asked_words=frozenset(" ".join(SIDES_ASKED).split()) | {"level", "current"},
    noticed={
        "someone": "occupancy",
        "somebody": "occupancy",
        "anyone": "occupancy",
        "anybody": "occupancy",
        "in": "occupancy",
        "inside": "occupancy",
        "at": "occupancy",
        "on": "occupancy",
        "co": "carbon monoxide",
        "a leak": "leak",
        "a water leak": "leak",
        "water": "leak",
        "moving": "motion",
        "leaking": "leak",
        "smoking": "smoke",
    },
    noticed_words=frozenset({"motion", "movement"}),
    above=frozenset(
        [
            "above",
            "over",
            "higher than",
            "greater than",
            "more than",
            "warmer than",
            "hotter than",
            "brighter than",
        ]
    ),
    weathers=WEATHERS,
    busy=frozenset({"busy", "booked", "full"}),
    personal=PERSONAL,
    according=ACCORDING,
    when=re.compile(r"(?:when|what (?:time|day|date)|how (?:soon|long until))\b"),
    counted=re.compile(r"how (?:many|often)\b"),
    search_stop=SEARCH_STOP,
    said=ANSWERS,
)
