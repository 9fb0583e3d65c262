"""Commands about the home: what is meant is done, and nothing else is touched."""

from typing import Any

import pytest

from .conftest import Home

type Changes = dict[str, Any]

# What is said, and what is then different: a state, or an attribute behind a colon.
DONE: dict[str, Changes] = {
    "switch on the coffee maker": {"switch.coffee_maker": "on"},
    "turn on the cofee maker": {"switch.coffee_maker": "on"},
    "kitchen lights off": {"light.kitchen_ceiling": "off"},
    "kill the lights in the kitchen please": {"light.kitchen_ceiling": "off"},
    "could you be so kind and turn the mirror on for me": {"light.mirror": "on"},
    "turn the parlour light on": {"light.reading_lamp": "on"},
    "switch on the nook light": {"light.reading_lamp": "on"},
    "turn off all the lights downstairs": {"light.kitchen_ceiling": "off"},
    "turn on the lights upstairs except the bathroom": {
        "light.bedroom_light": "on",
        "light.guest_bedroom_light": "on",
    },
    "turn on the bedroom light": {"light.bedroom_light": "on"},
    "illuminate the garden": {"light.path_lights": "on"},
    "lights on outside": {"light.path_lights": "on"},
    "dim the kitchen ceiling to thirty percent": {"light.kitchen_ceiling:brightness": 76},
    "make the kitchen ceiling a bit brighter": {"light.kitchen_ceiling:brightness": 153},
    "make the nook light red": {"light.reading_lamp": "on"},
    "close the blinds in the bedroom": {
        "cover.left_blind": "closed",
        "cover.right_blind": "closed",
    },
    "open the left blind halfway": {"cover.left_blind:current_position": 50},
    "lower the right blind to 20%": {"cover.right_blind:current_position": 20},
    "open the garage": {"cover.garage_door": "open"},
    "bolt the front door": {"lock.front_door": "locked"},
    "unlock the back door": {"lock.back_door": "unlocked"},
    "start the vacuum": {"vacuum.dusty": "cleaning"},
    "roborock return to base": {"vacuum.dusty": "returning"},
    "water the garden": {"valve.lawn_sprinkler": "open"},
    "pause the music": {"media_player.sonos": "paused"},
    "skip this track": {"media_player.sonos:media_track": 4},
    "go back to the last song": {"media_player.sonos:media_track": 2},
    "louder please": {"media_player.sonos:volume_level": 0.5},
    "turn the music down to 10%": {"media_player.sonos:volume_level": 0.1},
    "mute the sonos": {"media_player.sonos:is_volume_muted": True},
    "switch the sonos to bluetooth": {"media_player.sonos:source": "Bluetooth"},
    "switch the projector on": {"media_player.projector": "idle"},
    "put out the fire": {"switch.fireplace": "off"},
    "it is too dark, turn off the fireplace": {"switch.fireplace": "off"},
    "the fireplace is too hot, turn it off": {"switch.fireplace": "off"},
    "I'd like the bathroom to be 23 degrees": {"climate.towel_rail:temperature": 23.0},
    "set the living room thermostat to 70 fahrenheit": {"climate.radiator:temperature": 21.1},
    "make it warmer in the living room": {"climate.radiator:temperature": 21.0},
    "set the radiator to eco": {"climate.radiator:preset_mode": "eco"},
    "set the towel rail to cool": {"climate.towel_rail": "cool"},
    "turn off the heating in the bathroom": {"climate.towel_rail": "off"},
    "set the fan to 75%": {"fan.ceiling_fan:percentage": 75},
    "turn the fan up": {"fan.ceiling_fan:percentage": 75},
    "oscillate the bedroom fan": {"fan.ceiling_fan:oscillating": True},
    "add bread to the groceries list": {"todo.groceries": "3"},
    "put eggs on the shopping list": {"todo.groceries": "3"},
    "check off rice from my groceries": {"todo.groceries": "1"},
    "remove oat milk from the groceries": {"todo.groceries": "1"},
    "turn off the kitchen ceiling and close the left blind": {
        "light.kitchen_ceiling": "off",
        "cover.left_blind": "closed",
    },
    "turn on the bedroom and guest bedroom lights": {
        "light.bedroom_light": "on",
        "light.guest_bedroom_light": "on",
    },
    "turn the bedroom and bathroom lights on": {
        "light.bedroom_light": "on",
        "light.mirror": "on",
    },
    "turn on the mirror, path lights and coffee maker": {
        "light.mirror": "on",
        "light.path_lights": "on",
        "switch.coffee_maker": "on",
    },
    "turn on the bedroom light, then set it to 20%": {
        "light.bedroom_light": "on",
        "light.bedroom_light:brightness": 51,
    },
    "if the bedroom is below 20 degrees then turn on the mirror": {"light.mirror": "on"},
}


@pytest.mark.parametrize("sentence", DONE)
async def test_what_is_said_is_done_and_nothing_else_is_touched(home: Home, sentence: str) -> None:
    """Each with its own wording; what was not meant keeps its state."""
    before = home.states()
    answer = await home.say(sentence)
    assert answer is not None
    assert answer.handled
    wanted = DONE[sentence]
    assert {key: seen(home, key) for key in wanted} == wanted
    after = home.states()
    touched = {name for name, was in before.items() if after[name][0] != was[0]}
    assert touched <= {key.partition(":")[0] for key in wanted}


def seen(home: Home, key: str) -> Any:
    """Return a state, or the attribute behind a colon."""
    entity_id, _, attribute = key.partition(":")
    return home.shown(entity_id, attribute) if attribute else home.state(entity_id)


@pytest.mark.parametrize(
    "sentence",
    [
        "turn on the attic light",
        "turn on the pool pump",
        "switch off the garden fountain",
        "do not turn on the mirror",
        "never unlock the back door",
        "I turned on the mirror",
        "turn on the mirror at 7 pm",
        "turn on the mirror tomorrow",
        "when I come home turn on the mirror",
        "why did you turn on the mirror",
        "turn on everything",
        "turn on the mirror if the moon is full",
        "set the mirror to the left",
        "open the front door",
    ],
)
@pytest.mark.parametrize("room", [None, "Bathroom"])
async def test_what_is_not_understood_or_not_meant_now_changes_nothing(
    home: Home, sentence: str, room: str | None
) -> None:
    """It is the models' turn, or nobody's."""
    before = home.states()
    assert await home.say(sentence, room=room) is None
    assert home.states() == before


async def test_in_a_room_the_light_is_that_of_the_room(home: Home) -> None:
    """Nobody says the name of the room that they are in."""
    await home.say("turn on the light", room="Bathroom")
    assert home.state("light.mirror") == "on"
    assert home.state("light.bedroom_light") == "off"


async def test_in_a_room_the_temperature_is_that_of_the_room(home: Home) -> None:
    """Two thermostats, one of them here."""
    await home.say("set the temperature to 22", room="Bathroom")
    assert home.shown("climate.towel_rail", "temperature") == 22
    assert home.shown("climate.radiator", "temperature") == 20


async def test_everything_in_a_place_is_what_people_switch_off(home: Home) -> None:
    """A lock or thermostat is not switched off with the lights."""
    await home.say("switch off everything in the living room")
    assert home.state("switch.fireplace") == "off"
    assert home.state("media_player.sonos") == "off"
    assert home.state("climate.radiator") == "heat"


async def test_a_condition_that_does_not_hold_leaves_things_alone(home: Home) -> None:
    """And says why."""
    answer = await home.say("turn on the mirror if the kitchen window is closed")
    assert answer is not None
    assert answer.text == "Not done: Kitchen Window is open."
    assert home.state("light.mirror") == "off"


async def test_what_would_be_done_can_be_asked_without_doing_it(home: Home) -> None:
    """A caller may want to know first."""
    before = home.states()
    answer = await home.say("close the blinds in the bedroom", dry=True)
    assert answer is not None
    assert answer.acted == ("cover.left_blind", "cover.right_blind")
    assert home.states() == before


async def test_a_thing_that_does_not_answer_is_said_to(home: Home) -> None:
    """Nothing is called for it."""
    home.things["light.mirror"].show(available=False)
    answer = await home.say("turn on the mirror")
    assert answer is not None
    assert answer.text == "Mirror does not answer."
    assert answer.acted == ()


async def test_a_thing_that_refuses_is_told(home: Home) -> None:
    """The words of the thing's own error."""
    answer = await home.say("check off butter from my groceries")
    assert answer is not None
    assert answer.reason == "failed"
    assert "butter" in answer.text


async def test_home_assistants_own_agent_helps_out(home: Home) -> None:
    """What it alone can do, it does."""
    answer = await home.say("what time is it")
    assert answer is not None
    assert answer.reason == "home_assistant"


async def test_a_language_without_words_of_its_own_goes_to_home_assistant(home: Home) -> None:
    """It knows the language."""
    answer = await home.say("schalte Mirror ein", language="de")
    assert answer is not None
    assert answer.reason == "home_assistant"
    assert home.state("light.mirror") == "on"


async def test_what_a_language_without_words_of_its_own_would_do_is_not_known(home: Home) -> None:
    """Home Assistant's own agent only does things."""
    assert await home.say("schalte Mirror ein", language="de", dry=True) is None
    assert home.state("light.mirror") == "off"


async def test_a_new_thing_is_known_at_once(home: Home) -> None:
    """The house is read anew after a change."""
    assert await home.say("turn on the night sky") is None
    home.hass.states.async_set("light.sky", "off", {"friendly_name": "Night sky"})
    answer = await home.say("turn on the night sky", dry=True)
    assert answer is not None
    assert answer.acted == ("light.sky",)
