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
]  # fmt: skip


@pytest.mark.parametrize("wanted", CASES, ids=lambda one: one.said)
async def test_an_order_becomes_the_action_of_its_kind(home: Home, wanted: Case) -> None:
    """One call, for that thing alone, with what was said."""
    name = wanted.entity_id.partition(".")[2].replace("_", " ").capitalize()
    home.hass.states.async_set(
        wanted.entity_id, wanted.state, {"friendly_name": name, **wanted.shown}
    )
    async_expose_entity(home.hass, "conversation", wanted.entity_id, True)
    for entity_id in ("valve.lawn_sprinkler", "media_player.sonos"):
        async_expose_entity(home.hass, "conversation", entity_id, False)
    calls = async_mock_service(home.hass, *wanted.action.split("."))
    answer = await home.say(wanted.said)
    assert answer is not None
    assert answer.acted == (wanted.entity_id,)
    assert [call.data for call in calls] == [{**wanted.data, "entity_id": wanted.entity_id}]


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
