"""Addresses, passages, quotes and claims: what of the web and of a model's words counts."""

import pytest

from brain_server.autonomy import research_words as words
from brain_server.autonomy.research_text import (
    LONGEST_PART,
    Finding,
    Quote,
    Source,
    addresses,
    chosen,
    excerpt,
    findings_of,
    quotes_of,
    sentences,
)

PAGE = "Welcome.\nPETG sticks best  to a bed\u00a0of 80 °C \u2013 say \u201cmost people\u201d. Menu"


def noted(quote: str, claim: str = "It says so") -> list[dict[str, str]]:
    """Return one note of a model."""
    return [{"quote": quote, "claim": claim}]


def source(number: int, *quotes: str) -> Source:
    """Return a page that says this."""
    return Source(
        number=number,
        url=f"https://s{number}.example/",
        title=f"S{number}",
        quotes=tuple(Quote(claim="", quote=one) for one in quotes),
    )


def written(text: str, *sources: int) -> list[dict[str, object]]:
    """Return one statement of a model."""
    return [{"text": text, "sources": list(sources)}]


# -- addresses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ("see https://a.example/x.", ["https://a.example/x"]),
        ("[A](https://a.example/x) and more", ["https://a.example/x"]),
        ("(https://a.example/x_(y))", ["https://a.example/x_(y)"]),
        ('{"url": "https:\\/\\/a.example\\/x"}', ["https://a.example/x"]),
        ("https://a.example/?p=1&amp;q=2", ["https://a.example/?p=1&q=2"]),
        ("https://a.example/x#part", ["https://a.example/x"]),
        ("http://a.example/x/ https://www.a.example/x", ["http://a.example/x/"]),
        (
            "https://b.example/ then https://a.example/",
            ["https://b.example/", "https://a.example/"],
        ),
        ("ftp://a.example/ mailto:a@b.example www.a.example", []),
        ("https://a.example:99999999/", []),
        ("https:///x", []),
        (f"https://a.example/{'x' * 3000}", []),
        ("nothing", []),
    ],
)
def test_addresses_are_found_once_each_and_in_order(found: str, wanted: list[str]):
    assert addresses(found) == wanted


def test_pages_are_chosen_in_turn_from_each_search():
    groups = [["https://a.example/1", "https://b.example/1"], ["https://c.example/1"]]
    assert chosen(groups, most=2, of_host=2) == ["https://a.example/1", "https://c.example/1"]


def test_no_site_is_read_too_often():
    groups = [[f"https://a.example/{at}" for at in range(5)], ["https://b.example/"]]
    assert chosen(groups, most=8, of_host=2) == [
        "https://a.example/0",
        "https://b.example/",
        "https://a.example/1",
    ]


def test_what_two_searches_found_is_read_once():
    groups = [["https://a.example/1"], ["https://www.a.example/1/"]]
    assert chosen(groups, most=8, of_host=2) == ["https://a.example/1"]


# -- passages -----------------------------------------------------------------------------------------


def test_a_short_page_is_shown_whole():
    assert excerpt("anything", PAGE, 1_000) == PAGE


def test_of_a_long_page_its_beginning_and_what_was_asked_for_are_shown_in_order():
    lines = ["About beds.", *(f"Line {at} of noise." for at in range(200)), "PETG wants 80 °C."]
    shown = excerpt("Which bed for PETG?", "\n".join(lines), 100)
    assert shown.startswith("About beds.\n")
    assert shown.endswith("\nPETG wants 80 °C.")
    assert len(shown) <= 100


def test_a_page_in_one_paragraph_is_taken_apart():
    noise = "This sentence is noise and nothing else. " * 200
    shown = excerpt("PETG bed", f"{noise}PETG wants a bed of 80 °C. {noise}", 3 * LONGEST_PART)
    assert "PETG wants a bed of 80 °C." in shown
    assert len(shown) <= 3 * LONGEST_PART


def test_a_paragraph_without_an_end_is_cut():
    shown = excerpt("PETG", "x" * 5_000, 2 * LONGEST_PART + 10)
    assert shown == "\n".join(["x" * LONGEST_PART] * 2)


def test_without_a_model_the_sentences_that_hold_most_of_the_question_count():
    text = "We like coffee very much here. PETG sticks best at 80 °C. Warm PETG and stick it. Ok."
    found = sentences("How warm for PETG to stick?", text)
    assert [one.quote for one in found] == [
        "PETG sticks best at 80 °C.",
        "Warm PETG and stick it.",
    ]
    assert {one.claim for one in found} == {""}


def test_a_page_about_something_else_has_no_sentences():
    assert sentences("PETG bed", "We like coffee very much here.\nAnd tea in the evening.") == ()


# -- quotes -------------------------------------------------------------------------------------------


def test_a_quote_is_kept_in_the_words_of_the_page():
    good, missing = quotes_of(noted('best to a bed of 80 °C - say "most people"'), PAGE)
    assert [one.quote for one in good] == ["best to a bed of 80 °C \u2013 say \u201cmost people"]
    assert missing == 0


@pytest.mark.parametrize(
    "quote",
    [
        "PETG sticks best to a bed of 90 °C",
        "PETG sticks best to a bed of 80 °C, always",
        "petg sticks best to a bed of 80 °C",
        "PETG sticks",
        "sticks",
        "",
        "Welcome. Menu and nothing between them",
    ],
)
def test_a_quote_that_the_page_does_not_have_is_thrown_away(quote: str):
    assert quotes_of(noted(quote), PAGE) == ((), 1)


def test_a_quote_ends_where_its_sentence_does():
    good, _ = quotes_of(
        noted("the bed should be warm enough"), "Here: the bed should be warm enough. Yes."
    )
    assert [one.quote for one in good] == ["the bed should be warm enough."]


def test_a_quote_that_was_noted_twice_counts_once():
    twice = noted("PETG sticks best to a bed", "one") + noted("PETG sticks best to a bed", "two")
    good, missing = quotes_of(twice, PAGE)
    assert [one.claim for one in good] == ["one"]
    assert missing == 0


def test_a_claim_shows_no_link_and_no_hidden_words():
    claim = "see [this](https://evil.example/a?b) \u200b<b>now</b>"
    good, _ = quotes_of(noted("PETG sticks best to a bed", claim), PAGE)
    assert good[0].claim == "see this (evil.example) now"


# -- statements ---------------------------------------------------------------------------------------


def test_a_statement_without_a_source_there_is_is_thrown_away():
    for cited in ((), (7,), (0,), (-1,)):
        assert findings_of(written("It is so.", *cited), [source(1, "x")]) == ([], 1)


def test_only_sources_that_there_are_stay_with_a_statement():
    good, dropped = findings_of(written("It is so.", 2, 9, 1, 2), [source(1, "x"), source(2, "y")])
    assert [one.sources for one in good] == [(1, 2)]
    assert dropped == 0


def test_citations_in_the_words_themselves_do_not_count():
    good, _ = findings_of(written("It is so [9], and so [1, 2].", 1), [source(1, "x")])
    assert [one.text for one in good] == ["It is so, and so."]


def test_a_statement_without_words_is_none():
    assert findings_of(written("[1]", 1), [source(1, "x")]) == ([], 1)


@pytest.mark.parametrize(
    ("text", "quote", "doubts"),
    [
        ("It is 80 °C.", "a bed of 80 °C", ()),
        ("It is 85 °C.", "a bed of 80 °C", ("85",)),
        ("It is 2.5 mm.", "a nozzle of 2,50 mm", ()),
        ("It is 25 mm.", "a nozzle of 2,5 mm", ("25",)),
        ("About 1500 hours.", "it lasts 1,500 hours", ()),
        ("About 1.500 hours.", "it lasts 1500 hours", ()),
        ("From 3 to 4, or 3.", "from 5 to 6", ("3", "4")),
        ("No figure.", "nothing", ()),
    ],
)
def test_figures_that_no_quote_has_are_marked(text: str, quote: str, doubts: tuple[str, ...]):
    good, _ = findings_of(written(text, 1), [source(1, quote), source(2, "85 25 3 4")])
    assert [one.doubts for one in good] == [doubts]


# -- in words -----------------------------------------------------------------------------------------


def test_what_a_model_is_shown_of_many_quotes_fits():
    many = [source(number, *(f"{number}.{at} {'x' * 400}" for at in range(6))) for number in (1, 2)]
    whole = words.report("Why?", many, 50_000)[1].text
    less = words.report("Why?", many, 3_000)[1].text
    assert "1.5 " in whole
    assert len(less) <= 3_000
    assert "1.0 " in less
    assert "2.0 " in less
    assert "1.5 " not in less


def test_of_each_source_one_quote_is_shown_however_little_room_there_is():
    shown = words.report("Why?", [source(1, "the first of them", "the second of them")], 10)[1].text
    assert "the first of them" in shown
    assert "the second of them" not in shown


def test_what_is_remembered_fits_and_names_its_hosts():
    found = [Finding(text=f"Finding {at} {'x' * 80}.", sources=(1,)) for at in range(30)]
    kept = words.remembered("Why?", found, [source(1, "q"), source(2, "q")], 500)
    assert kept.startswith("Research “Why?”: Finding 0 ")
    assert kept.endswith(". (from s1.example, s2.example)")
    assert len(kept) <= 500


def test_without_findings_the_quotes_are_remembered():
    kept = words.remembered("Why?", [], [source(1, "Because of that.")], 500)
    assert kept == "Research “Why?”: Because of that. (from s1.example)"
