"""What a question is about, word by word, so that a kept answer is given only for the same thing.

Two sentences that mean nearly the same to a model can ask for opposite things: lock and unlock, Monday and
Tuesday, 0.4 and 0.6, my phone and yours. Here every word counts unless it is known to say nothing; a few
groups of words are known to say the same. What is not known makes a difference: a wrong answer costs more
than a second one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
import re
from typing import Final

from brain_server.memory.content import squeezed
from brain_server.memory.lexical import stem

_WORD: Final = re.compile(
    r"\d+(?:[.,:/]\d+)*|[^\W\d_][^\W_]*(?:['\u2019][^\W\d_]+)*|[%€$£°+*/=<>#&@-]"
)
_NUMBER: Final = re.compile(r"\d+(?:[.,:/]\d+)*")
_GROUPED: Final = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")

# Words that say nothing about the thing that is asked for.
_GLUE_WORDS: Final = """
a an the of to in on at by for with about as is are am be been being do does done doing have has having
i me we us you it its this that these those there here so then just very really quite actually basically exactly
simply please kindly hey hi hello ok okay thanks thank kitty
tell explain describe show give know find understand see wonder wondering curious ask asking question answer say
want need like would could might can may should must ought
way ways method thing things stuff kind sort some any something anything someone somebody
get got go going happen happens happened
and or also too as such that which what who whom whose where when why how much many
meaning mean means definition define information info details detail tip tips advice step steps guide
possible possibly able
"""
# What seems glue, but turns the direction of a sentence: with one of these the order of the words counts.
_WAY_WORDS: Final = """
to from into onto than before after between versus vs until till since over under above below through against by
off out or
"""
_SAME: Final = """
not no never without none nobody nothing neither nor isnt arent dont doesnt didnt cant cannot wont wouldnt shouldnt
couldnt hasnt havent wasnt werent except unless
start begin commence launch initiate
stop halt quit cease
on enable enabled activate activated
off disable disabled deactivate deactivated
open opened
close closed shut
big large
small little tiny
fast quick quickly rapid rapidly
fix repair mend
make create build made built
cook prepare
buy purchase bought
car automobile auto
doctor physician
movie film
phone telephone cellphone smartphone
picture photo image photograph
kid child children kids
weather forecast
help assist
clean wash
pick choose select
job occupation profession
couch sofa
tv television
fridge refrigerator
lamp light lights lamps
trash garbage rubbish
temperature temp
distance far
costs cost price
illness disease sickness
town city
autumn fall
holiday vacation
happy glad
hard difficult
easy simple
delete remove erase
reduce lower decrease
increase raise
difference differences different differ differs
now currently current nowadays
celsius centigrade
mum mom mother
dad father
grams gram g
kilograms kilogram kilo kilos kg
meters metres meter metre
kilometers kilometres kilometer kilometre km
miles mile
minutes minute min mins
hours hour
degrees degree °
percent % per-cent
usd dollar dollars $
euro euros eur €
pounds pound £
plus +
minus -
multiplied times x *
"""
_NUMBER_WORDS: Final = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
eighteen nineteen
"""
_TEN_WORDS: Final = "twenty thirty forty fifty sixty seventy eighty ninety"
# Who is meant: never the same, never glue.
_OWNERS: Final = {
    "my": "my", "mine": "my", "your": "your", "yours": "your", "his": "his", "her": "her", "hers": "her",
    "our": "our", "ours": "our", "their": "their", "theirs": "their",
}  # fmt: skip
# When: an answer about yesterday is none about tomorrow.
_TENSES: Final = {
    "was": "past", "were": "past", "did": "past", "had": "past", "will": "future", "shall": "future",
    "gonna": "future",
}  # fmt: skip
_NEGATIVE: Final = "not"
_POLITE: Final = re.compile(
    r"(?:(?:hey|hi|hello|ok|okay|please|kitty|so|well|um|uh)\b[ ,]*)*"
    r"(?:(?:can|could|would|will) you (?:please )?(?:tell|explain|show|help|give|describe|say)(?: to)?(?: me| us)?"
    r"|(?:please )?(?:tell|explain|show|give|describe)\b(?:(?: to)? (?:me|us)\b)?|do you (?:happen to )?know|"
    r"i(?: would|'d)? (?:want|need|like) to know|i(?: wonder|'m wondering| am wondering|'m curious| am curious)|"
    r"(?:can|could|may) i ask|any idea)?[ ,]*(?:please[ ,]*)?(?:about )?"
)
_WHEN: Final = re.compile(
    r"(?:(?:at|on) )?(?:what|which) (?:time|date)\b|(?:(?:in|on) )?(?:what|which) (?:day|year)\b|when\b"
)
_HOW: Final = re.compile(
    r"how (many|much|long|often|far|old|tall|high|deep|big|large|heavy|fast|hot|cold|late|early|soon|well|"
    r"wide|strong|quick|quickly|expensive|dangerous|safe)\b"
)
_HOW_TO: Final = re.compile(
    r"(?:what is |what are )?(?:the |a )?(?:(?:best|right|good|proper|correct|easiest) )?ways? (?:to|of|for)\b"
)
_WHO_DOES: Final = re.compile(r"(who|whom|what|which)\b.*?\b(?:do|does|did)\b")
_WHETHER_WORDS: Final = """
is are am was were do does did can could may will would should shall must has have had
"""
# "to" and "one" that point to nothing.
_IDLE: Final = re.compile(
    r"\b(have|has|need|needs|want|like|able|got|ought|how) to\b|"
    r"\b(do|does|did|can|could|should|would|may|must|might) one\b"
)
_SHORT: Final = {
    "what's": "what is", "who's": "who is", "where's": "where is", "when's": "when is", "how's": "how is",
    "it's": "it is", "that's": "that is", "there's": "there is", "i'm": "i am", "can't": "can not",
    "won't": "will not", "shan't": "shall not", "cannot": "can not", "let's": "let us", "how come": "why",
    "going to": "will",
}  # fmt: skip
_FORMS: Final = {"are": "is", "am": "is", "does": "do", "were": "was", "have": "has"}
_SHORTS: Final = re.compile(rf"\b(?:{'|'.join(_SHORT)})\b")


def _groups() -> dict[str, str]:
    found: dict[str, str] = {}
    for line in _SAME.strip().splitlines():
        first, *others = line.split()
        for word in (first, *others):
            found.setdefault(word, first)
            if word != "times":  # "time" is not "times"
                found.setdefault(stem(word), first)
    for word in _SAME.strip().splitlines()[0].split() + _SAME.strip().splitlines()[1].split():
        found[word] = _NEGATIVE
    return found


_GROUPS: Final = _groups()
_GLUE: Final = frozenset(_GLUE_WORDS.split())
_WAYS: Final = frozenset(_WAY_WORDS.split())
_WHETHER: Final = frozenset(_WHETHER_WORDS.split())
_NUMBERS: Final = {word: str(value) for value, word in enumerate(_NUMBER_WORDS.split())}
_TENS: Final = {word: 10 * value for value, word in enumerate(_TEN_WORDS.split(), start=2)}


@dataclass(frozen=True, slots=True)
class Facts:
    """What two questions must have in common for one answer to serve both."""

    asks: str
    words: tuple[str, ...]


def facts(text: str) -> Facts:
    """Return what a question is about."""
    plain = _plain(text)
    asked = plain[match.end() :] if (match := _POLITE.match(plain)) else plain
    asks = _asks(asked)
    if when := _WHEN.match(asked):
        asked = asked[when.end() :]
    words = list(_words(asked, text))
    # "20 euros in dollars", "did France beat Spain": what comes first is something else than what comes last.
    is_ordered = asks.startswith("whether") or any(word[0].isdigit() for word in words)
    if is_ordered or not _WAYS.isdisjoint(asked.split()):
        return Facts(asks, tuple(words))
    return Facts(asks, tuple(sorted(words)))


def _plain(text: str) -> str:
    """Return a text in small letters, short forms written out."""
    plain = squeezed(text).casefold().replace("\u2019", "'").rstrip(" .?!")
    plain = _SHORTS.sub(lambda found: _SHORT[found[0]], plain)
    plain = _HOW_TO.sub("how", plain.replace("n't", " not"))
    return _IDLE.sub(lambda found: found[1] or found[2], plain)


def _asks(asked: str) -> str:
    """Return what kind of answer is wanted."""
    if _WHEN.match(asked):
        return "when"
    if match := _HOW.search(asked):
        return f"how {_GROUPS.get(match[1], match[1])}"
    first = asked.partition(" ")[0]
    if match := _WHO_DOES.match(asked):
        # "who did Caesar kill" is not "who killed Caesar"
        return "what" if re.search(r"\bmeans?\b", asked) else f"{match[1]} does"
    if first in {"who", "whom", "whose", "where", "why", "how"}:
        return first
    if first in _WHETHER:
        return f"whether {_FORMS.get(first, first)}"
    return "what"


def _words(asked: str, text: str) -> Iterator[str]:
    """Yield the words that count, each group by its first; capitals tell printer A from a printer."""
    singles = set(re.findall(r"(?<=\s)[A-Z]\b", text)) - {"I"}
    tens = 0
    for match in _WORD.finditer(asked):
        word = match[0]
        if tens:
            unit = int(_NUMBERS.get(word, "0"))
            yield str(tens + unit)
            tens = 0
            if 0 < unit < 10:
                continue
        if word in _TENS:
            tens = _TENS[word]
        elif (counted := _counted(word, singles)) is not None:
            yield counted
    if tens:
        yield str(tens)


def _counted(word: str, singles: set[str]) -> str | None:
    """Return a word as it counts, None when it says nothing."""
    if _NUMBER.fullmatch(word):
        return word.replace(",", "") if _GROUPED.fullmatch(word) else word.replace(",", ".")
    if len(word) == 1 and word.upper() in singles:
        return word
    if (known := _OWNERS.get(word) or _TENSES.get(word)) is not None:
        return known
    if word in _GROUPS:
        return _GROUPS[word]
    if word in _GLUE and word != "one":
        return None
    if word in _NUMBERS:
        return _NUMBERS[word]
    root = stem(word)
    return _GROUPS.get(root, root)
