"""Search by words."""

import pytest

from brain_server.memory.lexical import Index, Lexicon, overlap, stem, tokens


def index(*texts: str) -> Index:
    made = Index()
    for at, text in enumerate(texts):
        made.add(str(at), text)
    return made


@pytest.mark.parametrize(
    "forms",
    [
        ("box", "boxes"),
        ("print", "prints", "printed", "printing"),
        ("party", "parties"),
        ("stop", "stopped", "stopping"),
        ("bake", "baked", "baking", "bakes"),
        ("lamp", "lamp's", "lamps"),
        ("carry", "carried"),
        ("quick", "quickly"),
    ],
    ids=lambda forms: forms[0],
)
def test_forms_of_a_word_are_the_same(forms: tuple[str, ...]) -> None:
    assert len({stem(form) for form in forms}) == 1


@pytest.mark.parametrize("pair", [("glass", "glad"), ("bus", "but"), ("0.6", "0.4"), ("sing", "s")])
def test_different_words_stay_different(pair: tuple[str, str]) -> None:
    assert stem(pair[0]) != stem(pair[1])


def test_small_words_do_not_count_but_a_capital_letter_does() -> None:
    assert tokens("Which nozzle is on the printer A, I ask?") == ["nozzl", "printer", "a", "ask"]


def test_a_text_that_has_more_of_what_was_asked_comes_first() -> None:
    found = index("the red lamp", "the red lamp in the hall", "the blue door").search(
        "red lamp in the hall", 5
    )
    assert [entry for entry, _ in found] == ["1", "0"]


def test_a_rare_word_counts_more_than_a_common_one() -> None:
    made = index("red box", "red lamp", "red door", "red car", "green nozzle")
    assert made.search("red nozzle", 1)[0][0] == "4"


def test_a_text_with_all_that_was_asked_has_a_score_near_one() -> None:
    (_, score), *_ = index("the red lamp", "the blue door").search("red lamp", 5)
    assert 0.9 <= score <= 1.0


def test_words_that_nobody_has_lower_the_score() -> None:
    made = index("the red lamp", "the blue door")
    assert made.search("red elephant", 1)[0][1] < made.search("red", 1)[0][1]


@pytest.mark.parametrize("asked", ["", "the is of", "elephant"])
def test_what_nobody_has_is_not_found(asked: str) -> None:
    assert index("the red lamp").search(asked, 5) == []


def test_an_empty_index_finds_nothing() -> None:
    assert index().search("lamp", 5) == []


def test_a_word_that_every_text_has_decides_only_when_there_is_no_other() -> None:
    made = index(*(f"box {at}" for at in range(300)))
    assert [entry for entry, _ in made.search("box 7", 5)] == ["7"]
    assert len(made.search("box", 5)) == 5


def test_a_removed_text_is_not_found() -> None:
    made = index("red lamp", "red door", "red car", "red box")
    made.remove("1")
    made.remove("1")
    assert {entry for entry, _ in made.search("red", 5)} == {"0", "2", "3"}
    assert len(made) == 3


def test_an_index_that_lost_most_of_its_texts_still_finds_the_rest() -> None:
    made = index(*(f"text {at}" for at in range(20)))
    for at in range(15):
        made.remove(str(at))
    assert [entry for entry, _ in made.search("text 17", 1)] == ["17"]
    made.add("new", "text 99")
    assert [entry for entry, _ in made.search("99", 1)] == ["new"]


def test_a_text_is_added_once() -> None:
    made = index("red lamp")
    made.add("0", "blue door")
    assert (made.search("blue", 5), len(made)) == ([], 1)


async def test_an_index_is_read_once_and_then_follows() -> None:
    reads = []

    async def load(namespace: str) -> list[tuple[str, str]]:
        reads.append(namespace)
        return [("1", "red lamp")]

    lexicon = Lexicon(load)
    await lexicon.add("ada", "2", "not in memory yet: it is read from the rows")
    assert [entry for entry, _ in await lexicon.search(["ada"], "red lamp", 5)] == ["1"]
    await lexicon.add("ada", "3", "red lamp again")
    await lexicon.remove("ada", ["1"])
    await lexicon.remove("bob", ["1"])
    assert [entry for entry, _ in await lexicon.search(["ada"], "red lamp", 5)] == ["3"]
    assert reads == ["ada"]


def test_the_part_of_the_asked_words_that_a_text_has() -> None:
    found = overlap(
        "nozzle of printer A", {"x": "the nozzle of printer A", "y": "printer B", "z": ""}
    )
    assert found["x"] == pytest.approx(1.0)
    assert 0 < found["y"] < 0.5
    assert found["z"] == 0


def test_nothing_asked_overlaps_with_nothing() -> None:
    assert overlap("the", {"x": "the lamp"}) == {"x": 0.0}
