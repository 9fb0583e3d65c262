"""What two questions must have in common for one answer to serve both."""

import pytest

from brain_server.memory.facts import Facts, facts
from tests.brain.memory.pairs import Pair, pairs

DIFFERENT = [one for one in (*pairs(), *pairs("held_out.txt")) if not one.same]
SAME = [one for one in pairs() if one.same]


@pytest.mark.parametrize("pair", DIFFERENT, ids=str)
def test_what_makes_the_difference_is_seen(pair: Pair) -> None:
    assert facts(pair.one) != facts(pair.other)


def test_most_ways_to_say_the_same_are_seen_as_such() -> None:
    agreed = sum(facts(pair.one) == facts(pair.other) for pair in SAME)
    assert agreed >= 0.85 * len(SAME)


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("What is PLA?", "what"),
        ("PLA", "what"),
        ("what does PLA cost", "what does"),
        ("Who is there?", "who"),
        ("who did it", "who does"),
        ("When is Easter", "when"),
        ("on what date is Easter", "when"),
        ("Where's the key", "where"),
        ("how come it rains", "why"),
        ("How do I swim", "how"),
        ("the best way to swim", "how"),
        ("How many are there", "how many"),
        ("for how long", "how long"),
        ("Are there trains", "whether is"),
        ("isn't it late", "whether is"),
        ("can you tell me whether it rains", "what"),
        ("can I eat it", "whether can"),
    ],
)
def test_the_kind_of_the_question_is_known(text: str, asks: str) -> None:
    assert facts(text).asks == asks


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("twenty five spools", ("25", "spool")),
        ("seventy", ("70",)),
        ("twenty twenty", ("20", "20")),
        ("forty and 3", ("40", "3")),
        ("1,000 screws", ("1000", "screw")),
        ("0,6 mm", ("0.6", "mm")),
        ("0.6mm", ("0.6", "mm")),
        ("at 7:30", ("7:30",)),
        ("an MK4 printer", ("mk4", "printer")),
        ("the printer A, and the printer B", ("a", "b", "printer", "printer")),
        ("I wonder, is it so", ()),
        ("", ()),
        ("¿?", ()),
        ("привет мир", ("мир", "привет")),
    ],
)
def test_the_words_that_count_are_found(text: str, words: tuple[str, ...]) -> None:
    assert facts(text).words == words


def test_facts_can_be_looked_up() -> None:
    assert {facts("the red lamp"): 1}[Facts("what", ("lamp", "red"))] == 1
