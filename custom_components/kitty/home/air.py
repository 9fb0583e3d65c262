"""Calls for what warms, cools and moistens the air and the water."""

import math
from typing import Final

from homeassistant.components.climate import ClimateEntityFeature as Climate, HVACMode
from homeassistant.components.water_heater import WaterHeaterEntityFeature as Heater
from homeassistant.const import UnitOfTemperature
from homeassistant.util.unit_conversion import TemperatureConverter

from .ability import Ability, Call, choice_of, on_off
from .lexicon import Action, Attribute, ValueKind

HUMIDITY_STEP: Final = 5
# What people ask of a room.
COMFORT: Final = {
    UnitOfTemperature.CELSIUS: (10.0, 28.0),
    UnitOfTemperature.FAHRENHEIT: (50.0, 82.0),
}
DEGREE_STEP: Final = {UnitOfTemperature.CELSIUS: 1.0, UnitOfTemperature.FAHRENHEIT: 2.0}


def _bounds(can: Ability) -> tuple[float, float]:
    """Return the lowest and highest temperature that the thing takes."""
    shown = can.state.attributes
    return float(shown.get("min_temp") or -math.inf), float(shown.get("max_temp") or math.inf)


def _temperature(can: Ability) -> float | None:
    """Return the temperature that was said in the unit of the house; None where it cannot be meant."""
    low, high = _bounds(can)
    value = can.value
    if value is None or value.kind not in (ValueKind.DEGREES, ValueKind.NUMBER):
        return None
    ours = can.hass.config.units.temperature_unit
    other = (
        UnitOfTemperature.FAHRENHEIT
        if ours == UnitOfTemperature.CELSIUS
        else UnitOfTemperature.CELSIUS
    )
    converted = TemperatureConverter.convert(value.number, other, ours)
    said = {"celsius": UnitOfTemperature.CELSIUS, "fahrenheit": UnitOfTemperature.FAHRENHEIT}
    if value.unit is not None:
        return value.number if said[value.unit] == ours else round(converted, 1)
    # Without a unit the house's own is meant, unless only the other one makes sense.
    if not low <= value.number <= high and low <= converted <= high:
        return round(converted, 1)
    return value.number


def climate(can: Ability) -> Call | None:
    """Plan for a thermostat: temperature, mode, preset, on, off."""
    shown = can.state.attributes
    unit = can.hass.config.units.temperature_unit
    match can.order.action:
        case Action.TURN_ON | Action.START if can.order.attribute is None:
            if can.has(Climate.TURN_ON):
                return Call(domain="climate", service="turn_on", said="turned_on")
            return None
        case Action.TURN_OFF | Action.STOP if can.order.attribute is None:
            if can.has(Climate.TURN_OFF) or HVACMode.OFF in (shown.get("hvac_modes") or ()):
                return Call(domain="climate", service="turn_off", said="turned_off")
            return None
        case Action.UP | Action.DOWN if can.about(Attribute.TEMPERATURE):
            goal = shown.get("temperature")
            if goal is None or not can.has(Climate.TARGET_TEMPERATURE):
                return None
            wanted = float(goal) + can.change(DEGREE_STEP[unit])
            low, high = _bounds(can)
            return _degrees("climate", min(high, max(low, wanted)))
        case Action.SET if (choice := _climate_choice(can)) is not None:
            return choice
        case Action.SET if can.about(Attribute.TEMPERATURE) and can.has(Climate.TARGET_TEMPERATURE):
            wanted_or_none = _temperature(can)
            return None if wanted_or_none is None else _degrees("climate", wanted_or_none)
        case Action.SET if can.order.attribute is Attribute.HUMIDITY:
            percent = can.percent()
            if percent is None or not can.has(Climate.TARGET_HUMIDITY):
                return None
            return Call(
                domain="climate",
                service="set_humidity",
                data={"humidity": round(percent)},
                said="humidity_set",
                words={"value": f"{percent:g}"},
            )
    return None


def _degrees(domain: str, wanted: float) -> Call:
    """Return the call that sets a temperature."""
    return Call(
        domain=domain,
        service="set_temperature",
        data={"temperature": wanted},
        said="temperature_set",
        words={"value": f"{wanted:g}"},
    )


def _climate_choice(can: Ability) -> Call | None:
    """Return the call for a mode or preset that a word names."""
    if can.value is None or can.value.kind not in (ValueKind.WORD, ValueKind.PERCENT):
        return None
    shown = can.state.attributes
    for options, feature, service, key in (
        ("hvac_modes", None, "set_hvac_mode", "hvac_mode"),
        ("preset_modes", Climate.PRESET_MODE, "set_preset_mode", "preset_mode"),
        ("fan_modes", Climate.FAN_MODE, "set_fan_mode", "fan_mode"),
    ):
        if feature is not None and not can.has(feature):
            continue
        if (key == "fan_mode") is not (can.order.attribute is Attribute.SPEED):
            continue
        if choice := choice_of(can, shown.get(options) or []):
            return Call(
                domain="climate",
                service=service,
                data={key: choice},
                said="mode_set",
                words={"value": choice.replace("_", " ")},
            )
    return None


def water_heater(can: Ability) -> Call | None:
    """Plan for a water heater."""
    match can.order.action:
        case Action.TURN_ON | Action.TURN_OFF if can.has(Heater.ON_OFF):
            return on_off(can)
        case Action.SET if can.has(Heater.TARGET_TEMPERATURE) and can.about(Attribute.TEMPERATURE):
            wanted = _temperature(can)
            return None if wanted is None else _degrees("water_heater", wanted)
    return None


def humidifier(can: Ability) -> Call | None:
    """Plan for a humidifier."""
    match can.order.action:
        case Action.SET if can.value is not None:
            if mode := choice_of(can, can.state.attributes.get("available_modes") or []):
                return Call(
                    domain="humidifier",
                    service="set_mode",
                    data={"mode": mode},
                    said="mode_set",
                    words={"value": mode},
                )
            percent = can.percent()
            if percent is None or not can.about(Attribute.HUMIDITY):
                return None
            return Call(
                domain="humidifier",
                service="set_humidity",
                data={"humidity": round(percent)},
                said="humidity_set",
                words={"value": f"{percent:g}"},
            )
        case Action.UP | Action.DOWN if can.about(Attribute.HUMIDITY):
            goal = can.state.attributes.get("humidity")
            if goal is None:
                return None
            wanted = round(min(100.0, max(0.0, float(goal) + can.change(HUMIDITY_STEP))))
            return Call(domain="humidifier", service="set_humidity", data={"humidity": wanted})
    return on_off(can) if can.order.attribute is None else None
