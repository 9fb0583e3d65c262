"""Kinds of things that the small house does not have: each gets the action that its order means."""

from dataclasses import dataclass
from typing import Any

from homeassistant.components.homeassistant.exposed_entities import async_expose_entity
import pytest
from pytest_homeassistant_custom_component.common import async_mock_service

from .conftest import Home


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A thing as it shows itself, what is said, and the one action that follows."""

    said: str
    entity_id: str
    action: str
    data: dict[str, Any]
    state: str = "off"
    shown: dict[str, Any]


def case(said: str, entity_id: str, action: str, state: str = "off", **shown: Any) -> Case:
    """Return a case; ``data`` among what is shown is what the action takes."""
    data = shown.pop("data", {})
    return Case(said=said, entity_id=entity_id, action=action, data=data, state=state, shown=shown)


CASES = [
    case("turn on the humidifier", "humidifier.mist", "humidifier.turn_on"),
    case("set the humidifier to 45 percent", "humidifier.mist", "humidifier.set_humidity",
         data={"humidity": 45}),
    case("turn the humidifier up", "humidifier.mist", "humidifier.set_humidity", humidity=40,
         data={"humidity": 45}),
    case("set the humidifier to sleep", "humidifier.mist", "humidifier.set_mode",
         available_modes=["auto", "sleep"], data={"mode": "sleep"}),
    case("set the boiler to 55 degrees", "water_heater.boiler", "water_heater.set_temperature",
         supported_features=1, min_temp=30, max_temp=70, data={"temperature": 55.0}),
    case("turn off the water heater", "water_heater.boiler", "water_heater.turn_off", "eco",
         supported_features=8),
    case("start the mower", "lawn_mower.shaun", "lawn_mower.start_mowing", "docked", supported_features=7),
    case("send the lawn mower home", "lawn_mower.shaun", "lawn_mower.dock", "mowing", supported_features=7),
    case("pause the mower", "lawn_mower.shaun", "lawn_mower.pause", "mowing", supported_features=7),
    case("run the wake up script", "script.wake_up", "script.turn_on"),
    case("stop the wake up script", "script.wake_up", "script.turn_off", "on"),
    case("disable the holiday automation", "automation.holiday", "automation.turn_off", "on"),
    case("run the holiday automation", "automation.holiday", "automation.trigger", "on"),
    case("press the doorbell", "button.doorbell", "button.press"),
    case("set the heat curve to 7", "number.heat_curve", "number.set_value", "5", min=1, max=10,
         data={"value": 7.0}),
    case("set the washing program to wool", "input_select.washing_program", "input_select.select_option",
         "cotton", options=["cotton", "wool"], data={"option": "wool"}),
    case("arm the alarm", "alarm_control_panel.house", "alarm_control_panel.alarm_arm_away", "disarmed",
         supported_features=3, code_arm_required=False),
    case("arm the alarm home", "alarm_control_panel.house", "alarm_control_panel.alarm_arm_home", "disarmed",
         supported_features=3, code_arm_required=False),
    case("turn on the siren", "siren.roof", "siren.turn_on"),
    case("toggle the well pump", "switch.well_pump", "switch.toggle"),
    case("start watering", "switch.lawn_sprinkler_pump", "switch.turn_on"),
    case("set the desk lamp to 3000 kelvin", "light.desk_lamp", "light.turn_on",
         supported_color_modes=["color_temp"], data={"color_temp_kelvin": 3000}),
    case("set the cooler to breeze", "fan.cooler", "fan.set_preset_mode", supported_features=9,
         preset_modes=["breeze"], data={"preset_mode": "breeze"}),
    case("reverse the cooler", "fan.cooler", "fan.set_direction", supported_features=4, direction="forward",
         data={"direction": "reverse"}),
    case("stop the awning", "cover.awning", "cover.stop_cover", "opening", device_class="awning",
         supported_features=11),
    case("set the tilt of the awning to 30 percent", "cover.awning", "cover.set_cover_tilt_position", "open",
         device_class="awning", supported_features=128, data={"tilt_position": 30}),
    case("set the main valve to 50 percent", "valve.main", "valve.set_valve_position", "open",
         supported_features=4, data={"position": 50}),
    case("locate the mopper", "vacuum.mopper", "vacuum.locate", "docked", supported_features=512),
    case("stop the mopper", "vacuum.mopper", "vacuum.pause", "cleaning", supported_features=4),
    case("set the porch climate humidity to 50 percent", "climate.porch_climate", "climate.set_humidity", "heat",
         supported_features=4, data={"humidity": 50}),
    case("shuffle the music on the jukebox", "media_player.jukebox", "media_player.shuffle_set", "playing",
         supported_features=32768, data={"shuffle": True}),
    case("turn up the jukebox", "media_player.jukebox", "media_player.volume_up", "playing",
         supported_features=1024),
    case("pause the jukebox", "media_player.jukebox", "media_player.media_stop", "playing",
         supported_features=4096),
    case("start the jukebox", "media_player.jukebox", "media_player.media_play", "paused",
         supported_features=16384),
    case("stop the jukebox", "media_player.jukebox", "media_player.media_pause", "playing",
         supported_features=4097),
    case("turn off the boiler", "climate.boiler", "climate.turn_off", "heat", hvac_modes=["off", "heat"]),
    case("set the speed of the attic climate to low", "climate.attic_climate", "climate.set_fan_mode", "cool",
         supported_features=8, fan_modes=["low", "high"], data={"fan_mode": "low"}),
    case("stop the mopper", "vacuum.mopper", "vacuum.return_to_base", "cleaning", supported_features=16),
    case("stop the main valve", "valve.main_valve", "valve.stop_valve", "opening", supported_features=8),
    case("stop watering", "switch.lawn_sprinkler_pump", "switch.turn_off", "on"),
    case("toggle the awning", "cover.awning", "cover.toggle", "open", device_class="awning",
         supported_features=3),
    case("speed up the cooler", "fan.cooler", "fan.increase_speed", "on", supported_features=1,
         data={"percentage_step": 25}),
    case("turn on the holiday automation", "automation.holiday", "automation.turn_on"),
    case("toggle the siren", "siren.roof", "siren.toggle"),
    case("make the desk lamp daylight", "light.desk_lamp", "light.turn_on", supported_color_modes=["color_temp"],
         data={"color_temp_kelvin": 6000}),
    case("arm the alarm for the night", "alarm_control_panel.house", "alarm_control_panel.alarm_arm_night",
         "disarmed", supported_features=4, code_arm_required=False),
]  # fmt: skip


@pytest.mark.parametrize("wanted", CASES, ids=lambda one: one.said)
async def test_an_order_becomes_the_action_of_its_kind(home: Home, wanted: Case) -> None:
    """One call, for that thing alone, with what was said."""
    home.put(wanted.entity_id, wanted.state, **wanted.shown)
    await home.hide("valve.lawn_sprinkler", "media_player.sonos")
    calls = async_mock_service(home.hass, *wanted.action.split("."))
    answer = await home.say(wanted.said)
    assert answer is not None
    assert answer.acted == (wanted.entity_id,)
    assert [call.data for call in calls] == [{**wanted.data, "entity_id": wanted.entity_id}]


# What is said, of a thing that has no such side, cannot do so much, or says nothing to it.
UNABLE = [
    case("make the porch lamp brighter", "light.porch_lamp", "", supported_color_modes=["onoff"]),
    case("set the porch lamp to 40 percent", "light.porch_lamp", "", supported_color_modes=["onoff"]),
    case("make the porch lamp red", "light.porch_lamp", "", supported_color_modes=["brightness"]),
    case("set the porch lamp to 3000 kelvin", "light.porch_lamp", "", supported_color_modes=["brightness"]),
    case("set the porch lamp to sleepy", "light.porch_lamp", "", supported_color_modes=["brightness"]),
    case("set the speed of the well pump to 50 percent", "switch.well_pump", ""),
    case("set the cooler to 50 percent", "fan.cooler", "", supported_features=8),
    case("set the volume of the cooler to 50 percent", "fan.cooler", "", supported_features=1),
    case("set the awning to 50 percent", "cover.awning", "", device_class="awning", supported_features=3),
    case("set the volume of the main valve to 50 percent", "valve.main_valve", "", supported_features=7),
    case("set the main valve to 50 percent", "valve.main_valve", "", supported_features=3),
    case("toggle the shed lock", "lock.shed_lock", "", "locked"),
    case("next song on the jukebox", "media_player.jukebox", "", "playing", supported_features=1),
    case("stop the jukebox", "media_player.jukebox", "", "playing", supported_features=0),
    case("shuffle the jukebox", "media_player.jukebox", "", "playing", supported_features=1),
    case("mute the jukebox", "media_player.jukebox", "", "playing", supported_features=1),
    case("turn up the jukebox", "media_player.jukebox", "", "playing", supported_features=1),
    case("switch the jukebox to radio", "media_player.jukebox", "", "playing", supported_features=1,
         source_list=["Radio"]),
    case("set the jukebox to 50 percent", "media_player.jukebox", "", "playing", supported_features=1),
    case("set the speed of the mopper to 50 percent", "vacuum.mopper", "", "docked", supported_features=8192),
    case("locate the mopper", "vacuum.mopper", "", "docked", supported_features=8192),
    case("pause the lawn mower", "lawn_mower.shaun", "", "mowing", supported_features=1),
    case("set the wake up script to 50", "script.wake_up", ""),
    case("press the wake up script", "script.wake_up", ""),
    case("toggle the holiday automation", "automation.holiday", "", "on"),
    case("turn on the doorbell button", "button.doorbell_button", ""),
    case("turn on the washing program", "input_select.washing_program", "", "cotton", options=["cotton"]),
    case("set the washing program to silk", "input_select.washing_program", "", "cotton", options=["cotton"]),
    case("turn on the heat curve", "number.heat_curve", "", "5"),
    case("set the heat curve to 70", "number.heat_curve", "", "5", min=1, max=10),
    case("set the heat curve to warm", "number.heat_curve", "", "5", min=1, max=10),
    case("arm the alarm", "alarm_control_panel.house", "", "disarmed", supported_features=1),
    case("arm the alarm", "alarm_control_panel.house", "", "disarmed", supported_features=3,
         code_arm_required=True),
    case("put soap on the wish list", "todo.wish_list", "", "1", supported_features=0),
    case("remove soap from the wish list", "todo.wish_list", "", "1", supported_features=0),
    case("check off soap from the wish list", "todo.wish_list", "", "1", supported_features=0),
    case("turn on the attic climate", "climate.attic_climate", "", "heat", supported_features=1),
    case("turn off the attic climate", "climate.attic_climate", "", "heat", supported_features=1),
    case("turn the attic climate up", "climate.attic_climate", "", "heat", supported_features=0),
    case("set the attic climate to 20 degrees", "climate.attic_climate", "", "heat", supported_features=0),
    case("set the attic climate to sleepy", "climate.attic_climate", "", "heat", supported_features=1),
    case("set the attic climate humidity to 50 percent", "climate.attic_climate", "", "heat",
         supported_features=1),
    case("set the attic climate volume to 50 percent", "climate.attic_climate", "", "heat",
         supported_features=1),
    case("turn off the water heater", "water_heater.boiler", "", "eco", supported_features=1),
    case("set the water heater to sleepy", "water_heater.boiler", "", "eco", supported_features=1),
    case("turn the humidifier up", "humidifier.mist", ""),
    case("set the humidifier to sleep", "humidifier.mist", ""),
    case("set the volume of the humidifier to 45 percent", "humidifier.mist", ""),
]  # fmt: skip


@pytest.mark.parametrize("wanted", UNABLE, ids=lambda one: f"{one.said} {one.shown}")
async def test_what_a_thing_cannot_do_is_not_asked_of_it(home: Home, wanted: Case) -> None:
    """Nor of another one."""
    home.put(wanted.entity_id, wanted.state, **wanted.shown)
    answer = await home.say(wanted.said, dry=True)
    assert wanted.entity_id not in (answer.acted if answer else ())


@pytest.mark.parametrize(
    ("said", "degrees"),
    [
        ("set the attic climate to 70 degrees", 21.1),
        ("set the attic climate to 21", 21.0),
        ("set the attic climate to 21 degrees celsius", 21.0),
        ("make the attic climate a lot warmer", 25.0),
    ],
)
async def test_a_temperature_is_meant_as_the_thing_can_take_it(
    home: Home, said: str, degrees: float
) -> None:
    """Seventy is no temperature of a room, unless in Fahrenheit."""
    home.put("climate.attic_climate", "heat", supported_features=1, min_temp=7, max_temp=25,
             temperature=23.0)  # fmt: skip
    calls = async_mock_service(home.hass, "climate", "set_temperature")
    await home.say(said)
    assert [call.data["temperature"] for call in calls] == [degrees]


@pytest.mark.parametrize(
    "sentence", ["disarm the alarm", "turn off the alarm", "deactivate the alarm system"]
)
async def test_an_alarm_is_never_disarmed(home: Home, sentence: str) -> None:
    """Words are no code."""
    home.hass.states.async_set(
        "alarm_control_panel.house", "armed_away", {"friendly_name": "House alarm"}
    )
    async_expose_entity(home.hass, "conversation", "alarm_control_panel.house", True)
    calls = async_mock_service(home.hass, "alarm_control_panel", "alarm_disarm")
    await home.say(sentence)
    assert calls == []


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("who is home", "Ada."),
        ("is anyone home", "Yes, Ada."),
        ("is everyone home", "No, Bob."),
        ("is Bob home", "No, Bob is away."),
        ("where is Ada", "Ada is home."),
        ("who is away", "Bob."),
    ],
)
async def test_people_are_where_they_are(home: Home, question: str, answer: str) -> None:
    """From the person entities."""
    for name, state in (("Ada", "home"), ("Bob", "not_home")):
        entity_id = f"person.{name.lower()}"
        home.hass.states.async_set(entity_id, state, {"friendly_name": name})
        async_expose_entity(home.hass, "conversation", entity_id, True)
    found = await home.say(question)
    assert found is not None
    assert found.text == answer
