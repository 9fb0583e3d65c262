"""What a state means in words: whether a thing is open, and what to say it is."""

from collections.abc import Callable, Mapping
from typing import Final

from homeassistant.const import ATTR_DEVICE_CLASS, STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import HomeAssistant, State

from .lexicon import Lexicon

LOW_BATTERY: Final = 20
FULL_BATTERY: Final = 95

_GONE: Final = frozenset({STATE_UNAVAILABLE, STATE_UNKNOWN})
_OPENINGS: Final = frozenset({"door", "window", "opening", "garage_door"})
_PLAYER_OFF: Final = frozenset({"off", "standby"})
_SWITCHED: Final = frozenset(
    {
        "light",
        "switch",
        "fan",
        "input_boolean",
        "humidifier",
        "siren",
        "remote",
        "automation",
        "script",
        "group",
    }
)
# The opposite of each quality, so that only one of the two has to be known.
_OPPOSITE: Final = {
    "off": "on",
    "inactive": "active",
    "closed": "open",
    "unlocked": "locked",
    "away": "home",
    "unavailable": "available",
    "disarmed": "armed",
    "dry": "wet",
    "empty": "occupied",
}


def holds(state: State, quality: str) -> bool | None:
    """Tell whether a quality is true of a thing; None where it means nothing for such a thing."""
    if quality == "available":
        return state.state != STATE_UNAVAILABLE
    if (opposite := _OPPOSITE.get(quality)) is not None:
        answer = holds(state, opposite)
        return None if answer is None else not answer
    test = _TESTS.get(quality)
    return None if test is None or state.state in _GONE else test(state, quality)


def _is_home(state: State, _quality: str) -> bool | None:
    """Tell whether somebody is home."""
    return state.state == "home" if state.domain in ("person", "device_tracker") else None


def _is_armed(state: State, _quality: str) -> bool | None:
    """Tell whether an alarm panel is armed."""
    return state.state.startswith("armed") if state.domain == "alarm_control_panel" else None


def _is_muted(state: State, _quality: str) -> bool | None:
    """Tell whether a player is muted."""
    muted = state.attributes.get("is_volume_muted")
    return bool(muted) if state.domain == "media_player" else None


def _heats(state: State, quality: str) -> bool | None:
    """Tell what a thermostat does."""
    return state.attributes.get("hvac_action") == quality if state.domain == "climate" else None


def _notices(state: State, quality: str) -> bool | None:
    """Tell whether a sensor notices something, or a machine is at work."""
    if state.domain != "binary_sensor":
        return _is_running(state) if quality == "active" else None
    fits = _NOTICED.get(quality)
    shown = state.attributes.get(ATTR_DEVICE_CLASS)
    return state.state == "on" if fits is None or shown in fits else None


def _works(state: State, quality: str) -> bool | None:
    """Tell what a cleaner or mower does."""
    if state.domain not in ("vacuum", "lawn_mower"):
        return None
    return state.state == ("docked" if quality == "charging" else quality)


def _is_on(state: State, _quality: str = "") -> bool | None:
    """Tell whether a thing is on."""
    if state.domain in _SWITCHED or state.domain == "binary_sensor":
        return state.state == "on"
    match state.domain:
        case "media_player":
            return state.state not in _PLAYER_OFF
        case "climate" | "water_heater":
            return state.state != "off"
        case "valve":
            return state.state != "closed"
        case "vacuum" | "lawn_mower":
            return state.state in ("cleaning", "returning", "mowing")
    return None


def _is_open(state: State, _quality: str = "") -> bool | None:
    """Tell whether a thing is open."""
    match state.domain:
        case "cover" | "valve":
            return state.state not in ("closed", "closing")
        case "binary_sensor" if state.attributes.get(ATTR_DEVICE_CLASS) in _OPENINGS:
            return state.state == "on"
        case "lock":
            return state.state in ("open", "opening")
    return None


def _is_locked(state: State, _quality: str = "") -> bool | None:
    """Tell whether a thing is locked; only a bolt that is out is."""
    if state.domain == "lock":
        return state.state == "locked"
    if state.domain == "binary_sensor" and state.attributes.get(ATTR_DEVICE_CLASS) == "lock":
        return state.state == "off"
    return None


def _battery(state: State, quality: str) -> bool | None:
    """Tell whether a battery is low or full."""
    if state.attributes.get(ATTR_DEVICE_CLASS) != "battery":
        return None
    if state.domain == "binary_sensor":
        return state.state == "on" if quality == "low" else None
    try:
        level = float(state.state)
    except ValueError:
        return None
    return level <= LOW_BATTERY if quality == "low" else level >= FULL_BATTERY


def _is_running(state: State) -> bool | None:
    """Tell whether a thing is at work."""
    if state.domain == "media_player":
        return state.state == "playing"
    return _is_on(state)


def _plays(state: State, quality: str) -> bool | None:
    """Tell what a player or cleaner does."""
    if state.domain not in ("media_player", "vacuum", "lawn_mower"):
        return None
    if quality == "idle":
        return state.state not in ("playing", "buffering", "cleaning", "mowing", "paused")
    return state.state == quality


_NOTICED: Final = {
    "wet": frozenset({"moisture"}),
    "occupied": frozenset({"occupancy", "motion", "presence"}),
}
_TESTS: Final[Mapping[str, Callable[[State, str], bool | None]]] = {
    "on": _is_on,
    "open": _is_open,
    "locked": _is_locked,
    "low": _battery,
    "full": _battery,
    "home": _is_home,
    "armed": _is_armed,
    "muted": _is_muted,
    "heating": _heats,
    "cooling": _heats,
    "active": _notices,
    "wet": _notices,
    "occupied": _notices,
    "playing": _plays,
    "paused": _plays,
    "idle": _plays,
    "cleaning": _works,
    "docked": _works,
    "charging": _works,
    "mowing": _works,
}


def described(hass: HomeAssistant, state: State, lexicon: Lexicon) -> str:
    """Return what a thing is now, in words."""
    shown = state.attributes.get(ATTR_DEVICE_CLASS)
    if state.domain == "binary_sensor":
        key = f"{shown}_{state.state}"
        if key in lexicon.conditions:
            return lexicon.conditions[key]
    if state.domain in ("sensor", "number", "input_number", "counter"):
        return measured(state)
    return lexicon.conditions.get(state.state, state.state.replace("_", " "))


def measured(state: State) -> str:
    """Return a reading with its unit, without digits that mean nothing."""
    unit = state.attributes.get("unit_of_measurement")
    text = state.state
    try:
        number = float(text)
    except ValueError:
        return text.replace("_", " ")
    text = f"{number:.2f}".rstrip("0").rstrip(".") if "." in text else text
    if unit is None:
        return text
    return f"{text}{unit}" if unit == "%" else f"{text} {unit}"
