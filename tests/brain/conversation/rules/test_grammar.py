"""The templates."""

from dataclasses import replace

import pytest

from brain_server.conversation.rules import Here, Home, Named, understand
from brain_server.conversation.rules.grammar import Grammar, Reading
from brain_server.conversation.rules.language import language
from brain_server.conversation.rules.names import CompiledHome
from brain_server.conversation.rules.text import fold, listen, words_of
from brain_server.protocol import Kind
from tests.brain.conversation.rules.cases import describe


def readings(template: str, text: str, **rules: str) -> list[Reading]:
    """Return the readings of a text by one template."""
    return Grammar({"it": [template]}, rules).readings(text.split())


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("open up", "open up"),
        ("open [up]", "open"),
        ("open [up]", "open up"),
        ("(open|shut) it", "shut it"),
        ("[please] (open [up]|let me in)", "please let me in"),
        ("<open> it", "open up it"),
        ("a|b c", "b c"),
    ],
)
def test_a_template_reads_what_it_says(template: str, text: str):
    """Words, choices, what may be left out, and rules."""
    assert readings(template, text, open="open [up]") == [Reading("it", ())]


@pytest.mark.parametrize("text", ["open", "open up now", "now open up", "", "openup", "up open"])
def test_a_template_explains_the_whole_sentence_or_nothing(text: str):
    """No word may be left over."""
    assert readings("open up", text) == []


def test_all_readings_are_found_each_once():
    """A slot may end in several places; the same reading by two ways is one."""
    found = readings("[the] {x} on {y}", "a on b on c")
    assert found == [
        Reading("it", (("x", 0, 1), ("y", 2, 5))),
        Reading("it", (("x", 0, 3), ("y", 4, 5))),
    ]
    assert len(readings("(a [b]|a b)", "a b")) == 1


def test_a_slot_takes_only_the_words_that_it_may():
    """And never the end of a clause."""
    grammar = Grammar({"it": ["to {n}"]}, slots={"n": str.isdecimal})
    assert grammar.readings(["to", "60"]) == [Reading("it", (("n", 1, 2),))]
    assert grammar.readings(["to", "60", "x"]) == []
    assert Grammar({"it": ["{n}"]}).readings(["a", ".", "b"]) == []


@pytest.mark.parametrize("template", ["(open", "open)", "[open", "open]", "(open]", "a (b [c) d]"])
def test_a_template_that_does_not_close_is_refused(template: str):
    """At compile time, with the template in the message."""
    with pytest.raises(ValueError, match="unbalanced"):
        Grammar({"it": [template]})


def test_a_sentence_with_endless_readings_ends():
    """There is a limit to what is looked at."""
    assert len(readings("{a} {b} {c} {d}", " ".join("x" * 24))) == 256


def test_english_compiles_and_an_unknown_language_does_not():
    """Another language is one more file."""
    assert "unlock" in language("en").grammar.words
    with pytest.raises(ModuleNotFoundError):
        language("tlh")


def test_another_language_is_another_table():
    """Nothing of English is left in the code: with German words, German is understood."""
    german = replace(
        language("en"),
        sentences={"act:unlock": ("(schliesse|schliess) {device} auf",)},
        before=("bitte",),
        articles=frozenset({"die", "das", "den", "der"}),
        silent=frozenset({"die", "der"}),
        joining=frozenset({"in", "zu"}),
        guards={"negation": frozenset({"nicht", "kein"})},
        nouns={Kind.DOOR: {"tur": False, "turen": True}},
    )
    doors = (
        Named(id="w", name="Werkstatt Tür", kind=Kind.DOOR, capabilities=frozenset({"unlock"})),
        Named(id="g", name="Garage", kind=Kind.DOOR, capabilities=frozenset({"unlock"})),
    )
    home = CompiledHome(Home(devices=doors), german)
    texts = (
        "Bitte schliesse die Tür zu der Werkstatt auf",
        "Schließ die Werkstat auf",
        "Schließe die Garage nicht auf",
    )
    found = [describe(understand(text, home, Here())) for text in texts]
    assert found == ["act unlock w", "act unlock w", "model"]


def test_the_words_of_a_language_are_folded():
    """As the words of a sentence are, or they would never meet."""
    english = language("en")
    words = english.known_words | english.answer_grammar.words
    assert {word for word in words if fold(word) != word} == set()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("What's up?", "what is up ."),
        ("don\u2019t", "do not"),
        ("Workshop's door", "workshop door"),
        ("we're I'll you've I'd I'm", "we are i will you have i would i am"),
        ("isn't isnt", "is not is not"),
        ("rock 'n' roll", "rock n roll"),
        ("bracket_v2.gcode", "bracket v2 gcode"),
        ("60.5 degrees.", "60.5 degrees ."),
        ("a\nb", "a . b"),
        ("front\u00addoor", "frontdoor"),
        ("o'er", "oer"),
    ],
)
def test_text_becomes_plain_words(text: str, words: str):
    """Contractions are spelt out, signs are dropped, the end of a clause is kept."""
    english = language("en")
    found = listen(text, english.contractions, english.endings)
    assert found is not None
    assert [token.word for token in found.tokens] == words.split()


def test_names_lose_their_possessives_only():
    """Anna's printer is the anna printer."""
    assert words_of("Anna\u2019s Printer", language("en").endings) == ("anna", "printer")


def test_folding_takes_case_and_accents():
    """And leaves other scripts as they are."""
    assert [fold(word) for word in ("ÉCOLE", "Straße", "дверь")] == ["ecole", "strasse", "дверь"]
