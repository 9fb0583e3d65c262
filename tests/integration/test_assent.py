"""Yes and no are the whole of what somebody says, in any of the languages that are asked in."""

from typing import Final

import pytest

from brain_server.conversation.rules import Cancel, Confirm, Here, Home, compile_home, understand
from custom_components.kitty.assent import AGREED, DECLINED, agrees, declines, sentences

HOUSE: Final = compile_home(Home())
WAITING: Final = Here(pending=True)


@pytest.mark.parametrize(
    "words",
    [
        "yes",
        "Yes, please!",
        "OK.",
        "do it",
        "ja",
        "Ja!",
        "Ja, bitte.",
        "Bestätigen",
        "In Ordnung.",
        "oui",
        "Oui !",
        "Oui, s\u2019il vous plaît.",
        "D\u2019accord",
        "d'accord",
        "Vas-y.",
        "Bien sûr",
    ],
)
def test_a_plain_yes_agrees(words: str) -> None:
    """However it is spelled, and whichever language the house speaks."""
    assert (agrees(words), declines(words)) == (True, False)


@pytest.mark.parametrize(
    "words",
    [
        "no",
        "No, thanks.",
        "stop",
        "nein",
        "Nein, danke!",
        "abbrechen",
        "non",
        "Non merci",
        "Arrête !",
    ],
)
def test_a_plain_no_declines(words: str) -> None:
    assert (agrees(words), declines(words)) == (False, True)


@pytest.mark.parametrize(
    "words",
    [
        "",
        "?",
        "yes?",
        "ja?",
        "oui ?",
        "jaja",
        "jaja?",
        "ja ja",
        "na ja",
        "ja aber nicht jetzt",
        "ja, wenn Ben zustimmt",
        "oui mais pas maintenant",
        "yes but wait",
        "yesterday",
        "yes no",
        "oui non",
        "ja nein",
        "nein ja",
        "yes oui",
        "okay google",
        "okay, nein",
        "nicht bestätigen",
        "ne confirme pas",
        "bitte",
        "merci",
        "c'est bon",
        "si",
        '"ja"',
        "ja 👎",
        "yes ❌",
        "ja/nein",
        "[ja]",
        "j a",
    ],
)
def test_what_is_more_or_less_than_a_plain_yes_or_no_is_neither(words: str) -> None:
    """What could be meant either way is asked again."""
    assert (agrees(words), declines(words)) == (False, False)


def test_no_word_is_a_yes_in_one_language_and_a_no_in_another() -> None:
    assert {*sentences(AGREED)}.isdisjoint(sentences(DECLINED))


def test_every_language_that_is_asked_in_has_both() -> None:
    assert AGREED.keys() == DECLINED.keys() == {"de", "en", "fr"}


@pytest.mark.parametrize("words", sentences(AGREED))
def test_the_brain_takes_for_a_yes_what_home_assistant_does(words: str) -> None:
    """Else a question of the house that is answered as it says would lead nowhere."""
    assert isinstance(understand(words, HOUSE, WAITING), Confirm)


@pytest.mark.parametrize("words", sentences(DECLINED))
def test_the_brain_takes_for_a_no_what_home_assistant_does(words: str) -> None:
    assert isinstance(understand(words, HOUSE, WAITING), Cancel)
