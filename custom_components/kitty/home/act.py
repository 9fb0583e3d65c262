"""From an order and a thing to the service call that carries it out; None where the thing cannot."""

from collections.abc import Callable, Mapping
from typing import Final

from homeassistant.components.alarm_control_panel import AlarmControlPanelEntityFeature as Alarm
from homeassistant.components.cover import CoverEntityFeature as Cover
from homeassistant.components.fan import FanEntityFeature as Fan
from homeassistant.components.lawn_mower import LawnMowerEntityFeature as Mower
from homeassistant.components.light import ColorMode, brightness_supported, color_supported
from homeassistant.components.media_player import MediaPlayerEntityFeature as Media
from homeassistant.components.todo import TodoListEntityFeature as Todo
from homeassistant.components.vacuum import VacuumEntityFeature as Vacuum
from homeassistant.components.valve import ValveEntityFeature as Valve
from homeassistant.core import HomeAssistant, State

from . import air
from .ability import Ability, Call, choice_of, on_off
from .lexicon import Action, Attribute, Lexicon, ValueKind
from .parse import Order
from .words import words_of

LIGHT_STEP: Final = 20
VOLUME_STEP: Final = 10
SPEED_STEP: Final = 25


def plan(hass: HomeAssistant, state: State, order: Order, lexicon: Lexicon) -> Call | None:
    """Return the call that carries out an order on an entity of an able domain; None where it cannot."""
    return _PLANNERS[state.domain](Ability(hass=hass, state=state, order=order, lexicon=lexicon))


def able_domains(order: Order) -> frozenset[str]:
    """Return the domains that may be able to carry out an order."""
    able = frozenset(_PLANNERS)
    return able if order.domains is None else able & order.domains


def _switch(can: Ability) -> Call | None:
    """Plan for a switch; water is a switch in many a garden."""
    if can.order.attribute is not None:
        return None
    if can.order.action in (Action.WATER, Action.DRY):
        if not can.lexicon.watering & set(words_of(can.state.name, can.lexicon)):
            return None
        wet = can.order.action is Action.WATER
        service, said = ("turn_on", "turned_on") if wet else ("turn_off", "turned_off")
        return Call(domain=can.state.domain, service=service, said=said)
    return on_off(can)


def _light(can: Ability) -> Call | None:
    """Plan for a light: on, off, brightness, colour."""
    modes = set(can.state.attributes.get("supported_color_modes") or ())
    dims = brightness_supported(modes)
    action = can.order.action
    if action in (Action.UP, Action.DOWN):
        if not dims or not can.about(Attribute.BRIGHTNESS):
            return None
        step = round(can.change(LIGHT_STEP))
        said = "brighter" if step > 0 else "dimmer"
        return Call(
            domain="light", service="turn_on", data={"brightness_step_pct": step}, said=said
        )
    if action is not Action.SET:
        return on_off(can) if can.order.attribute is None else None
    if can.value is not None and can.value.kind is ValueKind.COLOR:
        if not can.about(Attribute.COLOR) or not color_supported(modes):
            return None
        return Call(
            domain="light",
            service="turn_on",
            data={"color_name": can.value.word},
            said="color_set",
            words={"value": can.value.word},
        )
    if (kelvin := _kelvin(can)) is not None:
        if ColorMode.COLOR_TEMP not in modes and not color_supported(modes):
            return None
        return Call(
            domain="light",
            service="turn_on",
            data={"color_temp_kelvin": kelvin},
            said="kelvin_set",
            words={"value": kelvin},
        )
    percent = can.percent() if can.about(Attribute.BRIGHTNESS) and dims else None
    if percent is None:
        return None
    return Call(
        domain="light",
        service="turn_on",
        data={"brightness_pct": percent},
        said="brightness_set",
        words={"value": f"{percent:g}"},
    )


def _kelvin(can: Ability) -> int | None:
    """Return the colour temperature that was said."""
    value = can.value
    if value is None or not can.about(Attribute.COLOR, Attribute.COLOR_TEMPERATURE):
        return None
    if value.kind is ValueKind.KELVIN:
        return round(value.number)
    return can.lexicon.whites.get(value.word) if value.kind is ValueKind.WORD else None


def _fan(can: Ability) -> Call | None:
    """Plan for a fan: on, off, speed, preset, swing."""
    match can.order.action:
        case Action.OSCILLATE | Action.STILL if can.has(Fan.OSCILLATE):
            swings = can.order.action is Action.OSCILLATE
            return Call(domain="fan", service="oscillate", data={"oscillating": swings})
        case Action.REVERSE if can.has(Fan.DIRECTION):
            back = can.state.attributes.get("direction") != "reverse"
            direction = "reverse" if back else "forward"
            return Call(domain="fan", service="set_direction", data={"direction": direction})
        case Action.UP | Action.DOWN if can.has(Fan.SET_SPEED) and can.about(Attribute.SPEED):
            change = can.change(SPEED_STEP)
            service = "increase_speed" if change > 0 else "decrease_speed"
            said = "faster" if change > 0 else "slower"
            return Call(
                domain="fan", service=service, data={"percentage_step": abs(change)}, said=said
            )
        case Action.SET:
            return _fan_set(can)
    return on_off(can) if can.order.attribute is None else None


def _fan_set(can: Ability) -> Call | None:
    """Plan a speed or a preset."""
    modes = can.state.attributes.get("preset_modes") or []
    if can.value is not None and (preset := choice_of(can, modes)) and can.has(Fan.PRESET_MODE):
        return Call(
            domain="fan",
            service="set_preset_mode",
            data={"preset_mode": preset},
            said="mode_set",
            words={"value": preset},
        )
    percent = can.percent()
    if percent is None or not can.has(Fan.SET_SPEED) or not can.about(Attribute.SPEED):
        return None
    return Call(
        domain="fan",
        service="set_percentage",
        data={"percentage": round(percent)},
        said="speed_set",
        words={"value": f"{percent:g}"},
    )


def _cover(can: Ability) -> Call | None:
    """Plan for a cover: open, close, stop, position."""
    match can.order.action:
        case Action.OPEN if can.has(Cover.OPEN):
            return Call(domain="cover", service="open_cover", said="opened")
        case Action.CLOSE if can.has(Cover.CLOSE):
            return Call(domain="cover", service="close_cover", said="closed")
        case Action.STOP if can.has(Cover.STOP):
            return Call(domain="cover", service="stop_cover", said="stopped")
        case Action.TOGGLE if can.has(Cover.OPEN) and can.has(Cover.CLOSE):
            return Call(domain="cover", service="toggle", said="toggled")
        case Action.UP if can.has(Cover.OPEN) and can.order.attribute is None and not can.order.by:
            return Call(domain="cover", service="open_cover", said="opened")
        case Action.DOWN if (
            can.has(Cover.CLOSE) and can.order.attribute is None and not can.order.by
        ):
            return Call(domain="cover", service="close_cover", said="closed")
        case Action.SET if (percent := can.percent()) is not None:
            if can.order.attribute is Attribute.TILT and can.has(Cover.SET_TILT_POSITION):
                service, key = "set_cover_tilt_position", "tilt_position"
            elif can.about(Attribute.POSITION) and can.has(Cover.SET_POSITION):
                service, key = "set_cover_position", "position"
            else:
                return None
            return Call(
                domain="cover",
                service=service,
                data={key: round(percent)},
                said="position_set",
                words={"value": f"{percent:g}"},
            )
    return None


def _valve(can: Ability) -> Call | None:
    """Plan for a valve: open, close, stop, position."""
    if can.order.attribute not in (None, Attribute.POSITION):
        return None
    match can.order.action:
        case Action.OPEN | Action.TURN_ON | Action.START | Action.WATER if can.has(Valve.OPEN):
            return Call(domain="valve", service="open_valve", said="opened")
        case Action.STOP if can.has(Valve.STOP) and not can.has(Valve.CLOSE):
            return Call(domain="valve", service="stop_valve", said="stopped")
        case Action.CLOSE | Action.TURN_OFF | Action.STOP | Action.DRY if can.has(Valve.CLOSE):
            return Call(domain="valve", service="close_valve", said="closed")
        case Action.SET if (percent := can.percent()) is not None and can.has(Valve.SET_POSITION):
            return Call(
                domain="valve",
                service="set_valve_position",
                data={"position": round(percent)},
                said="position_set",
                words={"value": f"{percent:g}"},
            )
    return None


def _lock(can: Ability) -> Call | None:
    """Plan for a lock; one that wants a code is not opened by words."""
    match can.order.action:
        case Action.LOCK:
            return Call(domain="lock", service="lock", said="locked")
        case Action.UNLOCK:
            return Call(domain="lock", service="unlock", said="unlocked")
    return None


_TRANSPORT: Final[Mapping[Action, tuple[int, str, str]]] = {
    Action.PAUSE: (Media.PAUSE, "media_pause", "paused"),
    Action.PLAY: (Media.PLAY, "media_play", "playing"),
    Action.NEXT: (Media.NEXT_TRACK, "media_next_track", "next_track"),
    Action.PREVIOUS: (Media.PREVIOUS_TRACK, "media_previous_track", "previous_track"),
    Action.TURN_ON: (Media.TURN_ON, "turn_on", "turned_on"),
    Action.TURN_OFF: (Media.TURN_OFF, "turn_off", "turned_off"),
}


def _media(can: Ability) -> Call | None:
    """Plan for a player: what plays, how loud, from where."""
    action = can.order.action
    if action in _TRANSPORT and can.order.attribute is None:
        feature, service, said = _TRANSPORT[action]
        if can.has(feature):
            return Call(domain="media_player", service=service, said=said)
        if action is Action.PAUSE and can.has(Media.STOP):
            return Call(domain="media_player", service="media_stop", said="stopped")
        return None
    match action:
        case Action.STOP if can.order.attribute is None:
            service = "media_pause" if can.has(Media.PAUSE) else "media_stop"
            able = can.has(Media.PAUSE | Media.STOP)
            return Call(domain="media_player", service=service, said="stopped") if able else None
        case Action.START if can.order.attribute is None and can.has(Media.PLAY):
            return Call(domain="media_player", service="media_play", said="playing")
        case Action.SHUFFLE if can.has(Media.SHUFFLE_SET):
            return Call(domain="media_player", service="shuffle_set", data={"shuffle": True})
        case Action.MUTE | Action.UNMUTE if can.has(Media.VOLUME_MUTE):
            muted = action is Action.MUTE
            return Call(
                domain="media_player",
                service="volume_mute",
                data={"is_volume_muted": muted},
                said="muted" if muted else "unmuted",
            )
        case Action.UP | Action.DOWN if can.about(Attribute.VOLUME):
            return _volume_step(can)
        case Action.SET:
            return _media_set(can)
    return None


def _volume_step(can: Ability) -> Call | None:
    """Plan a change of volume, by steps of the player where it tells no level."""
    change = can.change(VOLUME_STEP)
    said = "louder" if change > 0 else "quieter"
    level = can.state.attributes.get("volume_level")
    if level is not None and can.has(Media.VOLUME_SET):
        volume = min(1.0, max(0.0, round(float(level) + change / 100, 2)))
        return Call(
            domain="media_player", service="volume_set", data={"volume_level": volume}, said=said
        )
    if can.has(Media.VOLUME_STEP | Media.VOLUME_SET):
        service = "volume_up" if change > 0 else "volume_down"
        return Call(domain="media_player", service=service, said=said)
    return None


def _media_set(can: Ability) -> Call | None:
    """Plan a volume or a source."""
    sources = can.state.attributes.get("source_list") or []
    if can.about(Attribute.SOURCE) and (source := choice_of(can, sources)):
        if not can.has(Media.SELECT_SOURCE):
            return None
        return Call(
            domain="media_player",
            service="select_source",
            data={"source": source},
            said="source_set",
            words={"value": source},
        )
    percent = can.percent()
    if percent is None or not can.has(Media.VOLUME_SET) or not can.about(Attribute.VOLUME):
        return None
    return Call(
        domain="media_player",
        service="volume_set",
        data={"volume_level": percent / 100},
        said="volume_set",
        words={"value": f"{percent:g}"},
    )


_ROBOT: Final[Mapping[Action, tuple[int, str, str]]] = {
    Action.START: (Vacuum.START, "start", "cleaning"),
    Action.TURN_ON: (Vacuum.START, "start", "cleaning"),
    Action.CLEAN: (Vacuum.START, "start", "cleaning"),
    Action.PAUSE: (Vacuum.PAUSE, "pause", "paused"),
    Action.DOCK: (Vacuum.RETURN_HOME, "return_to_base", "docking"),
    Action.TURN_OFF: (Vacuum.RETURN_HOME, "return_to_base", "docking"),
    Action.LOCATE: (Vacuum.LOCATE, "locate", "locating"),
    Action.STOP: (Vacuum.STOP, "stop", "stopped"),
}


def _vacuum(can: Ability) -> Call | None:
    """Plan for a vacuum cleaner."""
    if can.order.attribute is not None:
        return None
    found = _ROBOT.get(can.order.action)
    if can.order.action is Action.STOP and not can.has(Vacuum.STOP):
        found = _ROBOT[Action.PAUSE] if can.has(Vacuum.PAUSE) else _ROBOT[Action.DOCK]
    if found is None or not can.has(found[0]):
        return None
    return Call(domain="vacuum", service=found[1], said=found[2])


_MOWER: Final[Mapping[Action, tuple[int, str, str]]] = {
    Action.START: (Mower.START_MOWING, "start_mowing", "mowing"),
    Action.TURN_ON: (Mower.START_MOWING, "start_mowing", "mowing"),
    Action.CLEAN: (Mower.START_MOWING, "start_mowing", "mowing"),
    Action.PAUSE: (Mower.PAUSE, "pause", "paused"),
    Action.STOP: (Mower.DOCK, "dock", "docking"),
    Action.DOCK: (Mower.DOCK, "dock", "docking"),
    Action.TURN_OFF: (Mower.DOCK, "dock", "docking"),
}


def _mower(can: Ability) -> Call | None:
    """Plan for a lawn mower."""
    found = _MOWER.get(can.order.action)
    if found is None or not can.has(found[0]):
        return None
    return Call(domain="lawn_mower", service=found[1], said=found[2])


def _run(can: Ability) -> Call | None:
    """Plan for a script or scene."""
    if can.order.attribute is not None or can.order.value is not None:
        return None
    match can.order.action:
        case Action.TURN_ON | Action.START:
            return Call(domain=can.state.domain, service="turn_on", said="started")
        case Action.STOP | Action.TURN_OFF if can.state.domain == "script":
            return Call(domain="script", service="turn_off", said="stopped")
    return None


def _automation(can: Ability) -> Call | None:
    """Plan for an automation: on and off mean that it may run; starting runs it once."""
    if can.order.action is Action.START:
        return Call(domain="automation", service="trigger", said="started")
    return on_off(can) if can.order.action in (Action.TURN_ON, Action.TURN_OFF) else None


def _button(can: Ability) -> Call | None:
    """Plan for a button."""
    if can.order.action is Action.PRESS:
        return Call(domain=can.state.domain, service="press", said="pressed")
    return None


def _select(can: Ability) -> Call | None:
    """Plan for a list of options."""
    if can.order.action is not Action.SET:
        return None
    option = choice_of(can, can.state.attributes.get("options") or [])
    if option is None:
        return None
    return Call(
        domain=can.state.domain,
        service="select_option",
        data={"option": option},
        said="mode_set",
        words={"value": option},
    )


def _number(can: Ability) -> Call | None:
    """Plan for a number within its bounds."""
    value, shown = can.value, can.state.attributes
    if can.order.action is not Action.SET or value is None:
        return None
    if value.kind not in (ValueKind.NUMBER, ValueKind.PERCENT, ValueKind.DEGREES):
        return None
    if not shown.get("min", 0) <= value.number <= shown.get("max", 100):
        return None
    return Call(
        domain=can.state.domain,
        service="set_value",
        data={"value": value.number},
        said="value_set",
        words={"value": f"{value.number:g}"},
    )


_ARM: Final[Mapping[str, tuple[int, str]]] = {
    "home": (Alarm.ARM_HOME, "alarm_arm_home"),
    "away": (Alarm.ARM_AWAY, "alarm_arm_away"),
    "night": (Alarm.ARM_NIGHT, "alarm_arm_night"),
    "vacation": (Alarm.ARM_VACATION, "alarm_arm_vacation"),
}


def _alarm(can: Ability) -> Call | None:
    """Plan for an alarm panel: it can be armed by words where that needs no code, never disarmed."""
    if can.order.action is not Action.ARM or can.state.attributes.get("code_arm_required"):
        return None
    feature, service = _ARM.get(can.value.word if can.value else "away", _ARM["away"])
    if not can.has(feature):
        return None
    return Call(domain="alarm_control_panel", service=service, said="armed")


def _todo(can: Ability) -> Call | None:
    """Plan for a to-do list."""
    item = can.order.item
    match can.order.action:
        case Action.ADD_ITEM if can.has(Todo.CREATE_TODO_ITEM):
            return Call(
                domain="todo",
                service="add_item",
                data={"item": item},
                said="item_added",
                words={"value": item},
            )
        case Action.FINISH_ITEM if can.has(Todo.UPDATE_TODO_ITEM):
            return Call(
                domain="todo",
                service="update_item",
                data={"item": item, "status": "completed"},
                said="item_done",
                words={"value": item},
            )
        case Action.REMOVE_ITEM if can.has(Todo.DELETE_TODO_ITEM):
            return Call(
                domain="todo",
                service="remove_item",
                data={"item": item},
                said="item_removed",
                words={"value": item},
            )
    return None


_PLANNERS: Final[Mapping[str, Callable[[Ability], Call | None]]] = {
    "alarm_control_panel": _alarm,
    "automation": _automation,
    "button": _button,
    "climate": air.climate,
    "cover": _cover,
    "fan": _fan,
    "group": on_off,
    "humidifier": air.humidifier,
    "input_boolean": _switch,
    "input_button": _button,
    "input_number": _number,
    "input_select": _select,
    "lawn_mower": _mower,
    "light": _light,
    "lock": _lock,
    "media_player": _media,
    "number": _number,
    "remote": on_off,
    "scene": _run,
    "script": _run,
    "select": _select,
    "siren": on_off,
    "switch": _switch,
    "todo": _todo,
    "vacuum": _vacuum,
    "valve": _valve,
    "water_heater": air.water_heater,
}
