"""Sentences that a person wrote come first, and open nothing to the others."""

from pathlib import Path

from homeassistant.setup import async_setup_component
import pytest

from .conftest import Home

SENTENCES = """
language: en
intents:
  Party:
    data:
      - sentences: ["party time"]
  Missing:
    data:
      - sentences: ["switch on the nook light"]
"""


@pytest.fixture
def hass_config_dir(tmp_path: Path) -> str:
    """Give a folder in which a person wrote sentences."""
    folder = tmp_path / "custom_sentences" / "en"
    folder.mkdir(parents=True)
    (folder / "party.yaml").write_text(SENTENCES, "utf-8")
    return str(tmp_path)


async def test_a_sentence_of_the_persons_own_is_for_home_assistant(home: Home) -> None:
    """Its intent is theirs, too."""
    speech = {"intent_script": {"Party": {"speech": {"text": "Cheers"}}}}
    assert await async_setup_component(home.hass, "intent_script", speech)
    answer = await home.say("party time")
    assert answer is not None
    assert (answer.text, answer.reason) == ("Cheers", "home_assistant")


async def test_a_sentence_whose_intent_nobody_wrote_is_understood_here(home: Home) -> None:
    """It may still mean something."""
    await home.say("switch on the nook light")
    assert home.state("light.reading_lamp") == "on"


async def test_other_sentences_are_understood_as_without_them(home: Home) -> None:
    """Home Assistant's own agent would take a likeness for a name."""
    answer = await home.say("unlock the bak door")
    assert answer is None
    assert home.state("lock.back_door") == "locked"
    await home.say("turn on the mirror", conversation_id="c")
    await home.say("turn it off", conversation_id="c")
    assert home.state("light.mirror") == "off"
