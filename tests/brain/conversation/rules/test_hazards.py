"""What may never happen, whatever is said."""

from collections.abc import Callable
from itertools import product
from string import ascii_lowercase

from hypothesis import example, given, settings, strategies as st
import pytest

from brain_server.conversation.rules import (
    Act,
    Ambiguous,
    Area,
    Here,
    Home,
    Named,
    Person,
    Understood,
    compile_home,
    understand,
)
from brain_server.conversation.rules.acts import hazardous
from brain_server.protocol import INTENTS, Kind
from tests.brain.conversation.rules.cases import Case, cases, meaning
from tests.brain.conversation.rules.shop import ANYWHERE, ASKED, SHOP, WORKSHOP

HAZARDS = [
    case
    for case in cases("commands.txt")
    if case.meaning.startswith("act ") and hazardous(case.meaning.split()[1])
]
NEGATIONS = sorted(SHOP.language.guards["negation"])
PLACES = st.sampled_from([ANYWHERE, WORKSHOP, ASKED, Here(candidates=("mk3", "front_door"))])
WORDS = st.sampled_from(sorted(SHOP.language.known_words | SHOP.vocabulary))


def is_hazard(meant: Understood) -> bool:
    """True when something dangerous would be done."""
    return isinstance(meant, Act) and hazardous(meant.intent)


@settings(deadline=None)
@given(text=st.text(max_size=200), here=PLACES)
@example(text="", here=ANYWHERE)
@example(text="\x00\x1b[2J unlock\u202ethe door", here=WORKSHOP)
@example(text="unlock the front door " * 600, here=ANYWHERE)
@example(text="🔓" * 10_000, here=ASKED)
@example(text="פתח את הדלת", here=WORKSHOP)
@example(text="heat the bed to ፩", here=WORKSHOP)
@example(text="lock all ፩ doors", here=WORKSHOP)
def test_no_text_is_too_strange(text: str, here: Here):
    """Any text is understood as something; nothing raises."""
    assert understand(text, SHOP, here) is not None


@settings(deadline=None, max_examples=300)
@given(words=st.lists(WORDS, max_size=14), here=PLACES)
def test_a_heap_of_known_words_never_raises_and_names_one_device_for_a_hazard(
    words: list[str], here: Here
):
    """Words of the language and the home in any order lead to no hazard on several devices."""
    meant = understand(" ".join(words), SHOP, here)
    assert not is_hazard(meant) or len(meant.device_ids) == 1


@settings(deadline=None, max_examples=300)
@given(
    case=st.sampled_from(HAZARDS),
    negation=st.sampled_from([*NEGATIONS, "don't", "dont", "can\u2019t", "do not", "isn't"]),
    place=st.integers(min_value=0, max_value=12),
    case_of=st.sampled_from([str.lower, str.upper, str.title]),
)
def test_a_sentence_with_a_negation_is_never_a_hazard(
    case: Case, negation: str, place: int, case_of: Callable[[str], str]
):
    """Wherever the negation stands, however it is written."""
    words = case.sentence.split()
    at = min(place, len(words))
    text = case_of(" ".join([*words[:at], negation, *words[at:]]))
    assert not is_hazard(understand(text, SHOP, case.here))


@pytest.mark.parametrize("negation", NEGATIONS)
def test_every_negation_stops_every_place_of_a_plain_hazard(negation: str):
    """The whole list, at every place of one sentence."""
    words = ["please", "unlock", "the", "front", "door", "now"]
    texts = [" ".join([*words[:at], negation, *words[at:]]) for at in range(len(words) + 1)]
    assert not any(is_hazard(understand(text, SHOP, ANYWHERE)) for text in texts)


@settings(deadline=None)
@given(
    words=st.lists(st.sampled_from([*NEGATIONS, "unlock", "the", "front", "door"]), min_size=1),
    here=PLACES,
)
def test_text_made_of_negations_and_a_command_is_never_a_hazard(words: list[str], here: Here):
    """The command alone is the one exception: it has no negation in it."""
    meant = understand(" ".join(words), SHOP, here)
    assert not is_hazard(meant) or set(words).isdisjoint(NEGATIONS)


OPPOSITES = [
    ("lock", "unlock", "the front door"),
    ("turn on", "turn off", "the laser"),
    ("switch on", "switch off", "the bench light"),
    ("power up", "power down", "the saw"),
    ("pause", "resume", "the mk3"),
    ("cancel", "resume", "the voron"),
]


@pytest.mark.parametrize(("one", "other", "thing"), OPPOSITES)
def test_opposites_mean_different_deeds(one: str, other: str, thing: str):
    """Neither verb is ever the other."""
    first, second = (meaning(f"{verb} {thing}", ANYWHERE) for verb in (one, other))
    assert first.startswith("act ")
    assert second.startswith("act ")
    assert first != second


@pytest.mark.parametrize("one", ["unlock", "lock", "resume", "pause", "open"])
def test_a_verb_is_never_misspelt(one: str):
    """One letter more, less or other is another word, and no deed unless it is a verb itself."""
    verbs = {"unlock", "lock", "resume", "pause", "open", "block"} - {one}
    shorter = {one[:at] + one[at + 1 :] for at in range(len(one))}
    other = {
        one[:at] + letter + one[at + 1 :]
        for at, letter in product(range(len(one)), ascii_lowercase)
    }
    longer = {
        one[:at] + letter + one[at:] for at, letter in product(range(len(one) + 1), ascii_lowercase)
    }
    words = (shorter | other | longer) - verbs - {one}
    meant = [understand(f"{word} the front door", SHOP, ANYWHERE) for word in words]
    assert not any(isinstance(found, Act) for found in meant)


@pytest.mark.parametrize("verb", ["unlock", "open", "turn on", "resume", "start"])
def test_one_sentence_never_does_a_hazard_to_several(verb: str):
    """All, both, a list, a plural: it asks which."""
    things = ("all doors", "everything", "both printers", "the laser and the saw", "all the power")
    meant = [understand(f"{verb} {thing}", SHOP, WORKSHOP) for thing in things]
    assert not any(is_hazard(found) for found in meant)


def test_a_safe_deed_may_be_done_to_all():
    """Locking, pausing and switching off need no one device."""
    sentences = ("lock all doors", "pause all prints", "turn off all the power", "cancel all jobs")
    counts = [len(understand(sentence, SHOP, ANYWHERE).device_ids) for sentence in sentences]
    assert counts == [4, 2, 4, 2]


@pytest.mark.parametrize(
    "sentence",
    [
        "unlock the front door 😀",
        "unlock the front door (joke)",
        "unlock the front door → now",
        "u\u0336nlock the front door",
        "\u202eunlock the front door",
    ],
)
def test_signs_that_may_change_the_meaning_stop_a_hazard(sentence: str):
    """Emoji, brackets, strike-through, direction overrides: a person or a model must look."""
    assert meaning(sentence, ANYWHERE) == "model"


def test_signs_do_not_stop_what_cannot_harm():
    """A smiling request for light is a request for light."""
    assert meaning("turn on the bench light 🙏", ANYWHERE) == "act light_on bench_light"


def test_invisible_characters_hide_no_negation():
    """A zero-width space inside a word changes nothing."""
    assert meaning("do\u200bn't unlock the front door", ANYWHERE) == "model"
    assert meaning("un\u200block the front door", ANYWHERE) == "act unlock front_door"


def test_only_names_may_stand_in_quotes():
    """A quoted file or device is named; a quoted sentence is only mentioned."""
    assert meaning('unlock the "front door"', ANYWHERE) == "act unlock front_door"
    assert meaning('unlock "the front door" please', ANYWHERE) == "act unlock front_door"
    assert meaning('"unlock" the front door', ANYWHERE) == "model"
    assert meaning("unlock the front door'", ANYWHERE) == "model"
    assert meaning('unlock "" the front door', ANYWHERE) == "model"


def test_the_word_of_a_device_that_is_also_a_warning_is_a_name():
    """A light called Night light is no matter of time; a negation stays one."""
    home = compile_home(
        Home(
            devices=(
                Named(id="night", name="Night light", kind=Kind.LIGHT, capabilities=LIGHT),
                Named(id="no", name="No entry door", kind=Kind.DOOR, capabilities=DOOR),
            )
        )
    )
    night = understand("turn on the night light", home, ANYWHERE)
    assert night == Act(intent="light_on", device_ids=("night",))
    assert not is_hazard(understand("unlock the no entry door", home, ANYWHERE))


LIGHT = frozenset({"light_on", "light_off"})
DOOR = frozenset({"lock", "unlock"})
NAMES = st.text(max_size=30)


@settings(deadline=None, max_examples=60)
@given(
    names=st.lists(st.tuples(NAMES, st.sampled_from(Kind), NAMES), max_size=6),
    areas=st.lists(NAMES, max_size=3),
    people=st.lists(NAMES, max_size=3),
    verb=st.sampled_from(["unlock", "turn on", "is", "who unlocked", "print", "pause", "lock up"]),
)
def test_a_home_with_any_names_can_be_compiled_and_spoken_of(
    names: list[tuple[str, Kind, str]], areas: list[str], people: list[str], verb: str
):
    """Empty names, signs, other scripts: nothing raises, and a hazard names one device."""
    home = compile_home(
        Home(
            devices=tuple(
                Named(
                    id=f"d{index}",
                    name=name,
                    kind=kind,
                    aliases=(alias,),
                    area_id="a0",
                    capabilities=frozenset(INTENTS),
                    files=(alias, name),
                )
                for index, (name, kind, alias) in enumerate(names)
            ),
            areas=tuple(Area(id=f"a{index}", name=name) for index, name in enumerate(areas)),
            people=tuple(Person(id=f"p{index}", name=name) for index, name in enumerate(people)),
        )
    )
    for spoken in ("it", "everything", *(name for name, _, _ in names), *areas, *people):
        meant = understand(f"{verb} {spoken}", home, Here(area_id="a0", candidates=("d0",)))
        assert not is_hazard(meant) or len(meant.device_ids) == 1


def test_a_blocked_deed_is_not_explained_away():
    """A question about a hazard goes to a model; it is not answered with what else is missing."""
    meant = understand("print bracket.gcode on the mk3?", SHOP, ANYWHERE)
    assert not isinstance(meant, Act | Ambiguous)
    assert meaning("print bracket.gcode on the mk3?", ANYWHERE) == "model"
