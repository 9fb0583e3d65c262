"""Questions about kinds of things that the small house lacks, and about several things at once."""

from typing import Any

from homeassistant.components.homeassistant.exposed_entities import async_expose_entity
import pytest

from .conftest import Home


def show_more(home: Home) -> None:
    """Put things into the house of which each has states of its own."""
    home.put("alarm_control_panel.house_alarm", "armed_away")
    home.put("lawn_mower.shaun_mower", "mowing")
    home.put("binary_sensor.cellar_leak", "off", device_class="moisture")
    home.put("binary_sensor.study_presence", "on", device_class="occupancy")
    home.put("binary_sensor.remote_battery", "on", device_class="battery")
    home.put("binary_sensor.side_gate", "off", device_class="lock")
    home.put("binary_sensor.gate_contact", "on", device_class="opening")
    home.put("binary_sensor.dishwasher", "on", device_class="running")
    home.put("sensor.phone_battery", "97", device_class="battery", unit_of_measurement="%")
    home.put("sensor.clock_battery", "strange", device_class="battery")
    home.put("sensor.water_count", "12.500", unit_of_measurement="m³")
    home.put("sensor.oven_sensor", "warming_up")
    home.put("device_tracker.tablet", "not_home")
    home.put("climate.attic_climate", "heat", hvac_action="heating", current_humidity=41)


ANSWERS = {
    "is the mirror available": "Yes, Mirror is off.",
    "is the projector unavailable": "No, Projector is off.",
    "is the projector running": "No, Projector is off.",
    "is the projector on": "No, Projector is off.",
    "is the sonos playing": "Yes, Sonos is playing.",
    "is the sonos stopped": "No, Sonos is playing.",
    "is the sonos muted": "No, Sonos is playing.",
    "is the house alarm armed": "Yes, House alarm is armed away.",
    "is the house alarm disarmed": "No, House alarm is armed away.",
    "is dusty charging": "Yes, Robot Dusty is docked.",
    "is dusty cleaning": "No, Robot Dusty is docked.",
    "is dusty on": "No, Robot Dusty is docked.",
    "is the shaun mower mowing": "Yes, Shaun mower is mowing.",
    "is the attic climate heating": "Yes, Attic climate is heat.",
    "is the attic climate cooling": "No, Attic climate is heat.",
    "is the lawn sprinkler on": "No, Lawn Sprinkler is closed.",
    "is the lawn sprinkler open": "No, Lawn Sprinkler is closed.",
    "is the cellar leak wet": "No, Cellar leak is dry.",
    "is the cellar leak dry": "Yes, Cellar leak is dry.",
    "is the hall occupied": "No, Hall Motion is noticing nothing.",
    "is the phone battery full": "Yes, Phone battery is 97%.",
    "is the remote battery low": "Yes, Remote battery is low.",
    "is the side gate locked": "Yes, Side gate is locked.",
    "is the gate contact open": "Yes, Gate contact is open.",
    "is the front door open": "No, Front Door is unlocked.",
    "is the dishwasher running": "Yes, Dishwasher is on.",
    "is the tablet home": "No, Tablet is away.",
    "where is the tablet": "Tablet is away.",
    "what is the state of the water count": "Water count is 12.5 m³.",
    "what is the oven sensor": "Oven sensor is warming up.",
    "how far open is the left blind": "Left Blind is 100%.",
    "how fast is the ceiling fan": "Ceiling Fan is 50%.",
    "what is the humidity of the attic climate": "Attic climate is 41%.",
    "what is the target temperature of the radiator": "Radiator is 20 °C.",
    "what is the volume": "Sonos is 40%.",
    "is the volume of the sonos more than 30": "Yes, Sonos is 40%.",
    "is it at least 20 degrees in the bathroom": "Yes, Towel Rail is 24 °C.",
    "is it at most 20 degrees in the bathroom": "No, Towel Rail is 24 °C.",
    "is it below 30 degrees in the bathroom": "Yes, Towel Rail is 24 °C.",
    "how many scenes are there": "1: Movie Night.",
    "how many lights are there in the kitchen": "2: Kitchen Ceiling and Counter Strip.",
    "how many sprinklers are on": "None.",
    "which lights are on": "Kitchen Ceiling.",
    "which blinds are closed": "None.",
    "which doors are locked": "Back Door and Side gate.",
    "is anything muted": "No, none is muted.",
    "is there any light on": "Yes, Kitchen Ceiling.",
    "are all lights off": "No, Kitchen Ceiling is on.",
    "are all the blinds open": "Yes, all are open.",
    "are the blinds all closed": "No, Left Blind is open and Right Blind is open.",
    "is anyone in the study": "Yes, Study presence.",
    "what is playing on the projector": "Nothing is playing.",
    "how long has the front door been locked": "No, Front Door is unlocked.",
}


@pytest.mark.parametrize("question", ANSWERS)
async def test_each_kind_of_thing_is_told_in_its_own_words(home: Home, question: str) -> None:
    """And what a quality means depends on the thing."""
    show_more(home)
    assert await home.ask(question) == ANSWERS[question]


@pytest.mark.parametrize(
    "question",
    [
        "is the remote battery full",
        "how long have the lights been off",
        "how much power is the dishwasher using",
        "is the dishwasher above 20",
        "is there smoke",
        "are all fountains on",
        "is any fountain on",
        "which fountains are on",
        "how many fountains are on",
        "is the oven sensor above 20 degrees",
    ],
)
async def test_what_means_nothing_for_a_thing_has_no_answer(home: Home, question: str) -> None:
    """No answer is better than a wrong one."""
    show_more(home)
    assert await home.say(question) is None


async def test_here_is_the_room_in_which_it_is_asked(home: Home) -> None:
    """Where nobody knows the room, it is the whole house."""
    assert await home.ask("is the light here on", room="Living Room") == "No, Reading Lamp is off."
    everywhere = await home.ask("is the light here on")
    assert everywhere.startswith("Kitchen Ceiling is on, Counter Strip is off")


async def test_of_several_the_one_of_the_room_is_asked_about(home: Home) -> None:
    """Like a command."""
    assert await home.ask("what is the target temperature", room="Bathroom") == (
        "Towel Rail is 20 °C."
    )
    assert await home.ask("what is the target temperature") == (
        "Radiator is 20 °C and Towel Rail is 20 °C."
    )


async def test_what_was_talked_about_is_asked_as_it(home: Home) -> None:
    """In the same conversation."""
    await home.say("turn on the mirror", conversation_id="c")
    assert await home.ask("is it on", conversation_id="c") == "Yes, Mirror is on."


async def test_too_many_are_counted_and_not_named(home: Home) -> None:
    """Nobody listens to twenty names."""
    for number in range(9):
        home.put(f"light.spot_{number}", "on")
    assert await home.ask("how many lights are on") == "10."
    assert await home.say("are the lights on") is None
    assert await home.say("what are the lights doing") is None


@pytest.mark.parametrize(
    ("shown", "answer"),
    [
        ({"media_title": "So What", "media_artist": "Miles"}, "So What by Miles"),
        ({"app_name": "Netflix"}, "Netflix"),
        ({"source": "HDMI 2"}, "HDMI 2"),
        ({}, "something"),
    ],
)
async def test_what_plays_is_told_as_well_as_the_player_knows(
    home: Home, shown: dict[str, Any], answer: str
) -> None:
    """Its title, its app, its source, or that it plays."""
    async_expose_entity(home.hass, "conversation", "media_player.sonos", False)
    home.put("media_player.jukebox", "playing", **shown)
    assert await home.ask("what is playing") == f"Jukebox is playing {answer}."


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("is everyone home", "Yes, Ada."),
        ("is nobody home", "No, Ada."),
        ("who is away", "Nobody."),
        ("is anyone away", "No, Nobody."),
        ("is nobody away", "Yes, Ada."),
    ],
)
async def test_one_person_can_be_everybody(home: Home, question: str, answer: str) -> None:
    """Who is not away is home."""
    home.put("person.ada", "home")
    assert await home.ask(question) == answer


async def test_without_people_nobody_knows_who_is_home(home: Home) -> None:
    """A model may know."""
    assert await home.say("who is home") is None


async def test_when_something_changed_is_known_from_its_state(home: Home) -> None:
    """What it is now, it became then."""
    assert (await home.ask("when was the fireplace last turned on")).startswith(
        "Fireplace: today at "
    )
    assert (await home.ask("when was the mirror last changed")).startswith("Mirror: today at ")
    assert (await home.ask("how long has the mirror been like that")).startswith(
        "Mirror is off, since today at "
    )
