"""From one sentence to the next: conversations, places, other people's sentences, and the past."""

from datetime import timedelta

from freezegun.api import FrozenDateTimeFactory
from homeassistant.components.recorder import Recorder
from homeassistant.core import HomeAssistant
from homeassistant.helpers import area_registry as ar, entity_registry as er
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
)

from .conftest import Home


async def test_a_conversation_that_is_over_is_forgotten(home: Home) -> None:
    """Nothing is then left of it."""
    await home.say("turn on the mirror", conversation_id="c")
    home.commands.forget("c")
    await home.say("turn it off", conversation_id="c")
    assert home.state("light.mirror") == "on"


async def test_a_question_waits_two_minutes_and_a_subject_five(
    home: Home, freezer: FrozenDateTimeFactory
) -> None:
    """Later words are about something else."""
    await home.say("unlock the door", conversation_id="c")
    freezer.tick(timedelta(seconds=121))
    await home.say("Back Door", conversation_id="c")
    assert home.state("lock.back_door") == "locked"
    await home.say("turn on the mirror", conversation_id="d")
    freezer.tick(timedelta(seconds=301))
    await home.say("turn it off", conversation_id="d")
    assert home.state("light.mirror") == "on"


async def test_only_so_many_conversations_are_remembered(home: Home) -> None:
    """The oldest one goes."""
    await home.say("turn on the mirror", conversation_id="first")
    for number in range(200):
        await home.say("turn on the path lights", conversation_id=f"c{number}")
    await home.say("turn it off", conversation_id="first")
    assert home.state("light.mirror") == "on"


@pytest.mark.parametrize("reply", ["yes", "yes please", "ja", "Oui."])
async def test_yes_is_the_answer_where_only_one_is_asked_about(home: Home, reply: str) -> None:
    """Its name was only alike."""
    answer = await home.say("unlock the backk door", conversation_id="c")
    assert answer is not None
    assert answer.text == "Do you mean Back Door?"
    assert home.state("lock.back_door") == "locked"
    await home.say(reply, conversation_id="c")
    assert home.state("lock.back_door") == "unlocked"


@pytest.mark.parametrize("reply", ["yes?", "ja?", "ja aber nicht jetzt", "oui non"])
async def test_what_is_no_plain_yes_chooses_nothing(home: Home, reply: str) -> None:
    await home.say("unlock the backk door", conversation_id="c")
    await home.say(reply, conversation_id="c")
    assert home.state("lock.back_door") == "locked"


@pytest.mark.parametrize(
    "reply",
    [
        "yes",
        "the fourth one",
        "the one with the blue handle",
        "well it is the one that I told you about yesterday evening",
    ],
)
async def test_what_names_no_option_is_no_answer(home: Home, reply: str) -> None:
    """The bolt stays where it is."""
    await home.say("unlock the door", conversation_id="c")
    await home.say(reply, conversation_id="c")
    assert (home.state("lock.front_door"), home.state("lock.back_door")) == ("unlocked", "locked")


async def test_the_last_one_is_the_last_that_was_said(home: Home) -> None:
    """Not the last song."""
    await home.say("unlock the door", conversation_id="c")
    await home.say("the last one", conversation_id="c")
    assert home.state("lock.back_door") == "unlocked"
    assert home.shown("media_player.sonos", "media_track") == 3


async def test_the_place_of_a_satellite_is_where_its_entity_stands(home: Home) -> None:
    """Or its device, if the entity stands nowhere of its own."""
    area = ar.async_get(home.hass).async_get_area_by_name("Bathroom")
    assert area is not None
    registry = er.async_get(home.hass)
    item = registry.async_get_or_create("assist_satellite", "ear", "1")
    await home.say("turn on the light", satellite_id=item.entity_id)
    assert home.state("light.mirror") == "off"
    registry.async_update_entity(item.entity_id, area_id=area.id)
    await home.say("turn on the light", satellite_id=item.entity_id)
    assert home.state("light.mirror") == "on"


async def test_an_empty_sentence_means_nothing(home: Home) -> None:
    """Neither do good manners alone."""
    assert await home.say("  ") is None
    assert await home.say("please, thank you!") is None


async def test_a_sentence_without_end_means_nothing(home: Home) -> None:
    """Nobody waits for it to be understood."""
    before = home.states()
    assert await home.say("turn on the night " * 20 + "mirror") is None
    assert home.states() == before


async def test_the_sentence_of_an_automation_comes_first(home: Home) -> None:
    """Somebody taught it to Home Assistant."""
    assert await async_setup_component(
        home.hass,
        "automation",
        {
            "automation": {
                "triggers": {"trigger": "conversation", "command": ["turn on the mirror"]},
                "actions": {"set_conversation_response": "Mirror, mirror on the wall"},
            }
        },
    )
    await home.hass.async_block_till_done()
    answer = await home.say("turn on the mirror")
    assert answer is not None
    assert (answer.text, answer.reason) == ("Mirror, mirror on the wall", "home_assistant")
    assert home.state("light.mirror") == "off"


async def test_what_the_recorder_kept_is_known(recorder_mock: Recorder, home: Home) -> None:
    """The last time, not the first."""
    hass: HomeAssistant = home.hass
    await home.say("turn off the fireplace")
    await home.say("turn on the mirror")
    await home.say("turn off the mirror")
    await async_wait_recording_done(hass)
    answer = await home.ask("when was the fireplace last turned on")
    assert answer.startswith("Fireplace: today at ")
    assert (await home.ask("when was the mirror last turned on")).startswith("Mirror: today at ")
    assert await home.ask("when was the projector last turned on") == (
        "I keep no history that far back; Projector is off."
    )


async def test_how_long_and_how_often_is_known_of_the_past(
    recorder_mock: Recorder, home: Home, freezer: FrozenDateTimeFactory
) -> None:
    """What began before counts from when it began, and once."""
    freezer.move_to(dt_util.now().replace(hour=12, minute=0, second=0, microsecond=0))
    for minutes, state in ((0, "off"), (10, "on"), (25, "off"), (5, "on"), (3, "off"), (2, "off")):
        freezer.tick(timedelta(minutes=minutes))
        home.put("binary_sensor.hen_house", state, device_class="door", tick=minutes)
        await async_wait_recording_done(home.hass)
    assert await home.ask("how long was the hen house open today") == "Hen house: 28 min today."
    assert await home.ask("how many times was the hen house opened today") == (
        "Hen house: 2 times today."
    )
    assert await home.ask("how long was the hen house open in the last 8 minutes") == (
        "Hen house: 3 min in the last 8 minutes."
    )
    assert await home.ask("how long was the hen house open this week") == (
        "Hen house: 28 min this week."
    )
    freezer.tick(timedelta(hours=30))
    home.put("binary_sensor.hen_house", "on", device_class="door")
    await async_wait_recording_done(home.hass)
    assert await home.ask("how long was the hen house open in the last hour") == (
        "Hen house: not at all in the last hour."
    )
    freezer.tick(timedelta(hours=26, minutes=5))
    assert await home.ask("how long has the hen house been open in the last 2 days") == (
        "Hen house: 1 d 2 h in the last 2 days."
    )


async def test_without_a_recorder_nobody_knows_how_long(home: Home) -> None:
    """The state alone does not tell of the whole day."""
    assert await home.ask("how long was the kitchen window open today") == (
        "I keep no history that far back; Kitchen Window is open."
    )
