"""The texts in other languages: whole, fillable, really translated, and read by Home Assistant."""

from collections.abc import Iterator
import json
from pathlib import Path
import re
from string import Formatter
from typing import Any, Final

from homeassistant.core import HomeAssistant
from homeassistant.helpers.translation import async_get_translations
import pytest

from brain_server.capabilities import NAMED
from custom_components.kitty.assent import agrees, declines
from custom_components.kitty.errors import VARIANTS

from . import hassfest

FOLDER: Final = Path(__file__).parents[2] / "custom_components" / "kitty" / "translations"
LANGUAGES: Final = sorted(path.stem for path in FOLDER.glob("*.json") if path.stem != "en")

# Names, which are the same in every language.
NAMES: Final = {"JSON", "KITTY", "MQTT", "Spaghetti", "Webhooks"}
# Words that happen to be spelled as in English.
SAME: Final = {
    "de": {
        "Administrator",
        "Alarm",
        "Budget",
        "Filament",
        "Format",
        "Hash",
        "Material",
        "Minimal",
        "Name",
        "Person",
        "Problem",
        "Sensor",
        "Start",
        "Status",
        "Text",
        "Token",
    },
    "fr": {
        "Action",
        "Budget",
        "Conversation",
        "Filament",
        "Format",
        "Incident",
        "Incidents",
        "Message",
        "Minimal",
        "Notifications",
        "Pause",
        "Photo",
        "Question",
        "Source",
        "Stock",
        "Surface",
        "Ventilation",
        "Verdict",
        "Vision",
    },
}

# What people are told to say to a question. Both the brain and satellites must take it as an answer.
SAY: Final = {"de": ("ja", "nein"), "en": ("confirm", "cancel"), "fr": ("oui", "non")}

# What is filled into sentences and is no word of any language: names that people or files have, and figures.
FACTS: Final = {
    *("asked", "free", "has", "most", "needed", "needs", "size", "total"),
    *(
        "answer",
        "area",
        "brain",
        "broker",
        "color",
        "device",
        "doors",
        "entity",
        "extra",
        "file",
        "folder",
    ),
    *("integration", "known", "library", "material", "materials", "media", "media_type", "metric"),
    *("name", "path", "person", "plate", "suffixes", "table", "target", "timing", "tool"),
}

every_language: Final = pytest.mark.parametrize("language", LANGUAGES)


def read(language: str) -> dict[str, Any]:
    """Return the texts of a language as they are stored."""
    found: dict[str, Any] = json.loads((FOLDER / f"{language}.json").read_text("utf-8"))
    return found


def leaves(tree: dict[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Yield each text with its whole key."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def texts(language: str) -> dict[str, str]:
    """Return each text of a language by its whole key."""
    return dict(leaves(read(language)))


def holes(text: str) -> list[str]:
    """Return the names of what is filled in, sorted."""
    return sorted(name for _, name, _, _ in Formatter().parse(text) if name is not None)


def spoken(text: str) -> str:
    """Return what is left for a translator: the text without what is filled in."""
    return re.sub(r"\{\w+\}", "", text)


@every_language
def test_a_language_has_the_keys_of_the_english_texts_in_their_order(language: str) -> None:
    """None is missing, none is left over."""
    assert list(texts(language)) == list(texts("en"))


@every_language
def test_a_translation_fills_in_what_the_english_text_does(language: str) -> None:
    """Else Home Assistant falls back to English."""
    translated = texts(language)
    assert {key: holes(text) for key, text in translated.items()} == {
        key: holes(text) for key, text in texts("en").items() if key in translated
    }


@every_language
def test_every_text_is_translated(language: str) -> None:
    """What reads as in English is a name, or a word that both languages have."""
    english = texts("en")
    same = {
        text
        for key, text in texts(language).items()
        if text == english.get(key) and re.search(r"[^\W\d_]", spoken(text))
    }
    assert same - NAMES - SAME.get(language, set()) == set()


@every_language
def test_no_text_is_empty_or_framed_by_blanks(language: str) -> None:
    """People would see nothing."""
    assert [key for key, text in texts(language).items() if not text or text != text.strip()] == []


@pytest.mark.parametrize("language", ["en", *LANGUAGES])
def test_nothing_that_is_filled_in_is_quoted_away(language: str) -> None:
    """To the frontend, a straight apostrophe before a brace means: this is no placeholder."""
    assert [key for key, text in texts(language).items() if "'{" in text] == []


@pytest.mark.parametrize("language", ["en", *LANGUAGES])
def test_a_question_names_words_that_are_taken_as_an_answer(language: str) -> None:
    """A translated question that is answered as it says would else lead nowhere."""
    yes, no = SAY[language]
    asked = {
        key: text
        for key, text in texts(language).items()
        if key.startswith("exceptions.ask_") or key == "exceptions.not_said.message"
    }
    told = re.compile(rf"\b{yes}\b.*\b{no}\b")
    assert (agrees(yes), declines(no)) == (True, True)
    assert [key for key, text in asked.items() if not told.search(text)] == []


@pytest.mark.parametrize("language", ["en", *LANGUAGES])
def test_no_word_of_the_brain_stands_in_a_sentence(language: str) -> None:
    """What is filled in is a name or a figure, or is quoted: after a colon, or in brackets."""
    quoted = re.compile(r":\s?\{(\w+)\}|\(\{(\w+)\}\)|[\"„“«] ?\{(\w+)\}")
    left = {
        key: set(holes(text)) - FACTS - {one for found in quoted.findall(text) for one in found}
        for key, text in texts(language).items()
        if key.startswith("exceptions.") and key.split(".")[1] not in VARIANTS
    }
    assert {key: names for key, names in left.items() if names} == {}


@pytest.mark.parametrize("language", ["en", *LANGUAGES])
def test_each_word_of_the_brain_has_a_sentence_of_its_own(language: str) -> None:
    """Without the word as it comes from the brain."""
    known = texts(language)
    for code, (field, values) in VARIANTS.items():
        own = [f"exceptions.{code}_{one.replace('.', '_')}.message" for one in values]
        assert [key for key in own if "{what}" in known[key] or f"{{{field}}}" in known[key]] == []


def test_each_part_that_can_be_switched_off_has_a_sentence() -> None:
    assert VARIANTS["capability_off"][1] == NAMED.keys()


@every_language
def test_a_language_has_the_form_that_home_assistant_wants(language: str) -> None:
    """Plain text without markup, under keys that there are."""
    assert hassfest.STRINGS(read(language)) == read(language)


@every_language
async def test_home_assistant_reads_every_text_of_a_language(
    hass: HomeAssistant, enable_custom_integrations: None, language: str
) -> None:
    """It drops none for its placeholders, and finds each where the frontend asks for it."""
    found: dict[str, str] = {}
    for category in read(language):
        found |= await async_get_translations(hass, language, category, {"kitty"})
    assert found == {f"component.kitty.{key}": text for key, text in texts(language).items()}
