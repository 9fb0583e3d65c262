"""What forms say, in each language; the rest of plug-ins is tested with drivers and providers."""

from collections.abc import Iterator
import json
from pathlib import Path
from typing import Final

import pytest

from brain_server import drivers, plugins, providers
from brain_server.plugins import Option, described, said

WORDS: Final[dict[str, dict[str, str]]] = json.loads(
    Path(plugins.__file__).with_suffix(".json").read_text("utf-8")
)
TRANSLATIONS: Final = Path(__file__).parents[2] / "custom_components" / "kitty" / "translations"
# What is called so in every language.
NAMES: Final = {"Anthropic", "Bambu Lab", "Klipper (Moonraker)", "OctoPrint", "OpenAI", "PrusaLink"}


def ours() -> Iterator[type[drivers.Driver | providers.Provider]]:
    """Yield the drivers and providers that come with the brain, and none of those that tests plant."""
    for package, found in ((drivers, drivers.discover()), (providers, providers.discover())):
        home = Path(package.__file__ or "").parent
        yield from (
            found[name]
            for name in found
            if (home / f"{name}.py").exists() or (home / name / "__init__.py").exists()
        )


def options() -> Iterator[Option]:
    """Yield every option of these."""
    for plugin in ours():
        profile: tuple[Option, ...] = getattr(plugin, "profile", ())
        yield from (*plugin.options, *profile)


def spoken() -> set[str]:
    """Return every sentence of the forms that come with the brain."""
    words = {word for option in options() for word in (option.label, option.help)}
    return (words | {plugin.title for plugin in ours()}) - NAMES


def test_every_sentence_of_a_form_is_said_in_every_language_and_no_other() -> None:
    """Nobody meets a form that is half in English, and nothing is left of one that is gone."""
    assert len(spoken()) > 100
    assert WORDS.keys() == spoken()
    assert {language for one in WORDS.values() for language in one} == {"de", "fr"}
    assert [
        one
        for one, words in WORDS.items()
        if words.keys() != {"de", "fr"} or not all(words.values())
    ] == []


@pytest.mark.parametrize(
    ("language", "label"),
    [
        ("en", "Nozzle"),
        ("en-GB", "Nozzle"),
        ("de", "Düse"),
        ("de-CH", "Düse"),
        ("fr", "Buse"),
        ("nl", "Nozzle"),
    ],
)
def test_a_form_is_described_in_the_language_of_the_house(language: str, label: str) -> None:
    """A variant of a language is that language; where nobody has translated it, it is English."""
    nozzle = next(option for option in drivers.PRINTER if option.name == "nozzle_mm")
    (told,) = described([nozzle], language)
    assert told["label"] == label
    assert (told["name"], told["type"], told["unit"]) == ("nozzle_mm", "number", "mm")


def test_the_words_of_somebody_elses_driver_stay_as_they_are() -> None:
    """It is one file, and need not know of translations."""
    assert said("Flux capacitor", "de") == "Flux capacitor"


def test_every_choice_has_a_word_and_no_other() -> None:
    """But what is called so in every language: the series of a maker, the form of an answer."""
    words = json.loads((TRANSLATIONS / "en.json").read_text("utf-8"))["selector"]["option_choice"]
    given = {str(choice) for option in options() for choice in option.choices}
    assert words["options"].keys() == {
        one for one in given if one.islower() and not one.startswith("json_")
    }


@pytest.mark.parametrize("language", ["en", "de", "fr"])
def test_home_assistant_calls_a_driver_what_the_brain_calls_it(language: str) -> None:
    """The form that names two for newcomers, beside the list of all."""
    told = json.loads((TRANSLATIONS / f"{language}.json").read_text("utf-8"))
    step = told["config_subentries"]["device"]["step"]["user"]
    for title in ("Home Assistant entity", "Demonstration"):
        assert said(title, language) in step["data_description"]["driver"]
