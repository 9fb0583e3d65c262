"""Home Assistant's entities as KITTY's devices: the service of an intent, the state that proves it.

Only `locked` (or a closed cover) is safe; every state that is not known for certain is None. The
verbs come from the table below and never from anybody's wording.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from homeassistant.components.binary_sensor.const import BinarySensorDeviceClass
from homeassistant.components.cover.const import CoverEntityFeature
from homeassistant.components.lock.const import LockEntityFeature
from homeassistant.const import (
    ATTR_ASSUMED_STATE,
    ATTR_DEVICE_CLASS,
    ATTR_ENTITY_ID,
    ATTR_SUPPORTED_FEATURES,
    ATTR_UNIT_OF_MEASUREMENT,
    STATE_OFF,
    STATE_ON,
    STATE_UNAVAILABLE,
    STATE_UNKNOWN,
    Platform,
)
from homeassistant.core import HomeAssistant, State
from homeassistant.helpers import device_registry as dr, entity_registry as er

from . import printers
from .const import DOMAIN
from .errors import Refused
from .protocol import INTENTS, Json, Kind, OnlineState, PrinterStatus

# Options of a device whose driver is Home Assistant itself.
OPTION_ENTITY: Final = "entity_id"
OPTION_FEEDS: Final = "feeds"
OPTION_STATE_ENTITY: Final = "state_entity"
OPTION_CAMERA_ENTITY: Final = "camera_entity"
OPTION_PAUSE: Final = "pause_button"
OPTION_RESUME: Final = "resume_button"
OPTION_STOP: Final = "stop_button"
OPTION_KIND: Final = "kind"
OPTION_LOCKED: Final = "locked_option"
OPTION_UNLOCKED: Final = "unlocked_option"
ENTITY_OPTIONS: Final = (
    OPTION_ENTITY,
    OPTION_STATE_ENTITY,
    OPTION_CAMERA_ENTITY,
    OPTION_PAUSE,
    OPTION_RESUME,
    OPTION_STOP,
    *printers.SENSORS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """One service that does an intent; ``option`` names the device option with its choice.

    ``on`` names the device option with the entity that it is called for.
    """

    service: str
    on: str = OPTION_ENTITY
    option: str | None = None
    feature: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What one entity domain can do as one kind of device; without ``verbs`` it only shows."""

    kind: Kind
    verbs: Mapping[str, Verb] = field(default_factory=dict)
    # Its own state says nothing about the device: without a state entity the outcome is unknown.
    blind: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One service call, ready to be made."""

    domain: str
    service: str
    data: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the entities of a device show now."""

    online: OnlineState
    state: Json
    reason: str | None = None

    def as_dict(self) -> Json:
        """Return the observation as it goes over the wire."""
        return {"online": str(self.online), "state": self.state, "reason": self.reason}


_TURN: Final = {"on": Verb(service="turn_on"), "off": Verb(service="turn_off")}
_POWER: Final = {"power_on": _TURN["on"], "power_off": _TURN["off"], "power_cut": _TURN["off"]}
_PRINT: Final = {
    "print_pause": Verb(service="press", on=OPTION_PAUSE),
    "print_resume": Verb(service="press", on=OPTION_RESUME),
    "print_cancel": Verb(service="press", on=OPTION_STOP),
}
_LIGHT: Final = {"light_on": _TURN["on"], "light_off": _TURN["off"]}

# The first binding of a domain is the one that a device gets without being told its kind.
BINDINGS: Final[Mapping[str, tuple[Binding, ...]]] = {
    Platform.LOCK: (
        Binding(
            kind=Kind.DOOR,
            verbs={
                "lock": Verb(service="lock"),
                "unlock": Verb(service="unlock"),
                "open": Verb(service="open", feature=LockEntityFeature.OPEN),
            },
        ),
    ),
    Platform.COVER: (
        Binding(
            kind=Kind.DOOR,
            verbs={
                "lock": Verb(service="close_cover", feature=CoverEntityFeature.CLOSE),
                "unlock": Verb(service="open_cover", feature=CoverEntityFeature.OPEN),
            },
        ),
    ),
    Platform.BUTTON: (
        Binding(kind=Kind.DOOR, verbs={"unlock": Verb(service="press")}, blind=True),
    ),
    Platform.SELECT: (
        Binding(
            kind=Kind.DOOR,
            verbs={
                "lock": Verb(service="select_option", option=OPTION_LOCKED),
                "unlock": Verb(service="select_option", option=OPTION_UNLOCKED),
            },
            blind=True,
        ),
    ),
    Platform.SWITCH: (
        Binding(kind=Kind.POWER, verbs=_POWER),
        Binding(kind=Kind.LIGHT, verbs=_LIGHT),
    ),
    Platform.LIGHT: (Binding(kind=Kind.LIGHT, verbs=_LIGHT),),
    Platform.CAMERA: (Binding(kind=Kind.CAMERA),),
    # A printer is known by the sensor that says what it does.
    Platform.SENSOR: (Binding(kind=Kind.SENSOR), Binding(kind=Kind.PRINTER, verbs=_PRINT)),
    Platform.BINARY_SENSOR: (Binding(kind=Kind.SENSOR),),
}

_OVER: Final = frozenset(
    {
        PrinterStatus.IDLE,
        PrinterStatus.COMPLETED,
        PrinterStatus.ABORTED,
        PrinterStatus.FAILED,
    }
)
_LOCK_STATES: Final[Mapping[str, Json]] = {
    "locked": {"locked": True, "open": False},
    "unlocked": {"locked": False},
    "open": {"locked": False, "open": True},
    "jammed": {"jammed": True},
}
_COVER_STATES: Final[Mapping[str, Json]] = {
    "closed": {"locked": True, "open": False},
    "open": {"locked": False, "open": True},
}
_CONTACTS: Final = frozenset(
    {
        BinarySensorDeviceClass.DOOR,
        BinarySensorDeviceClass.GARAGE_DOOR,
        BinarySensorDeviceClass.OPENING,
        BinarySensorDeviceClass.WINDOW,
    }
)


def domain_of(entity_id: str) -> str:
    """Return the domain of an entity id."""
    return entity_id.partition(".")[0]


def binding_of(options: Mapping[str, Any]) -> Binding:
    """Return the binding of a device; Refused ``entity_not_supported`` where there is none."""
    entity_id = str(options[OPTION_ENTITY])
    kind = options.get(OPTION_KIND)
    for binding in BINDINGS.get(domain_of(entity_id), ()):
        if kind in (None, "", binding.kind):
            return binding
    raise Refused("entity_not_supported", entity=entity_id)


def capabilities(hass: HomeAssistant, options: Mapping[str, Any]) -> list[str]:
    """Return the intents that the entity of a device can carry out."""
    state = hass.states.get(options[OPTION_ENTITY])
    features = int(state.attributes.get(ATTR_SUPPORTED_FEATURES, 0)) if state else 0
    return [
        intent
        for intent, verb in binding_of(options).verbs.items()
        if options.get(verb.on)
        and features & verb.feature == verb.feature
        and (verb.option is None or options.get(verb.option))
    ]


def action_for(hass: HomeAssistant, options: Mapping[str, Any], intent: str) -> Action:
    """Return the service call that carries out an intent; Refused ``intent_not_supported``."""
    if intent not in capabilities(hass, options):
        raise Refused("intent_not_supported", intent=intent)
    verb = binding_of(options).verbs[intent]
    entity_id = str(options[verb.on])
    data: Json = {ATTR_ENTITY_ID: entity_id}
    if verb.option is not None:
        data["option"] = options[verb.option]
    return Action(domain=domain_of(entity_id), service=verb.service, data=data)


def watched(options: Mapping[str, Any]) -> list[str]:
    """Return the entities whose states tell the state of a device."""
    names: tuple[str, ...] = (OPTION_ENTITY, OPTION_STATE_ENTITY)
    if options.get(OPTION_KIND) == Kind.PRINTER:
        names = (OPTION_ENTITY, *printers.SENSORS)
    return [str(options[name]) for name in names if options.get(name)]


def look(hass: HomeAssistant, options: Mapping[str, Any]) -> Seen:
    """Return what the entities of a device show; what is assumed or uncertain is None."""
    binding = binding_of(options)
    if binding.kind is Kind.PRINTER:
        return _look_at_printer(hass, options)
    shown: dict[str, State] = {}
    for entity_id in watched(options):
        state = hass.states.get(entity_id)
        if state is None or state.state == STATE_UNAVAILABLE:
            gone = "entity_missing" if state is None else "entity_unavailable"
            return Seen(online=OnlineState.OFFLINE, state=_blank(binding.kind), reason=gone)
        shown[entity_id] = state
    seen = _blank(binding.kind)
    for state in _witnesses(binding, options, shown):
        if state.attributes.get(ATTR_ASSUMED_STATE):
            return Seen(online=OnlineState.ONLINE, state=seen, reason="assumed_state")
        seen |= _read(binding.kind, state)
    return Seen(online=OnlineState.ONLINE, state=seen)


def _look_at_printer(hass: HomeAssistant, options: Mapping[str, Any]) -> Seen:
    """Return what a printer does by its sensor; the others add figures, and may be away."""
    state = hass.states.get(str(options[OPTION_ENTITY]))
    if state is None or state.state == STATE_UNAVAILABLE:
        gone = "entity_missing" if state is None else "entity_unavailable"
        return Seen(online=OnlineState.OFFLINE, state=printers.blank(), reason=gone)
    if printers.is_away(state):
        return Seen(online=OnlineState.OFFLINE, state=printers.blank(), reason="printer_offline")
    return Seen(online=OnlineState.ONLINE, state=printers.read(hass, state, options))


def blindness(hass: HomeAssistant, options: Mapping[str, Any]) -> str | None:
    """Return why nothing that can be seen would prove an outcome; None where something would."""
    if binding_of(options).blind and not options.get(OPTION_STATE_ENTITY):
        return "no_state_entity"
    seen = look(hass, options)
    return seen.reason if seen.reason == "assumed_state" else None


def proves(intent: str, state: Mapping[str, Any]) -> bool:
    """Tell whether an observed state proves that an intent has been carried out."""
    match intent:
        case "lock":
            return state.get("locked") is True
        case "unlock":
            return state.get("locked") is False
        case "open":
            return state.get("open") is True
        case "power_on" | "light_on":
            return state.get("on") is True
        case "power_off" | "power_cut" | "light_off":
            return state.get("on") is False
        case "print_pause":
            return state.get("status") == PrinterStatus.PAUSED
        case "print_resume":
            return state.get("status") in (PrinterStatus.PREPARING, PrinterStatus.PRINTING)
        case "print_cancel":
            return state.get("status") in _OVER
        case _:
            return False


def describe(hass: HomeAssistant, options: Mapping[str, Any]) -> Json:
    """Describe the entity of a device; Refused where it does not exist, is ours, or no use."""
    for name in ENTITY_OPTIONS:
        if options.get(name):
            _require_foreign(hass, str(options[name]))
    entity_id = str(options[OPTION_ENTITY])
    state = hass.states.get(entity_id)
    item = er.async_get(hass).async_get(entity_id)
    found = item and item.device_id and dr.async_get(hass).async_get(item.device_id)
    device = found if isinstance(found, dr.DeviceEntry) else None
    kind = binding_of(options).kind
    return {
        "external_id": item.id if item else entity_id,
        "name": state.name if state else entity_id,
        "kind": str(kind),
        "capabilities": [name for name in capabilities(hass, options) if name in INTENTS],
        "manufacturer": device.manufacturer if device else None,
        "model": device.model if device else None,
        "has_camera": kind is Kind.CAMERA or bool(options.get(OPTION_CAMERA_ENTITY)),
    }


def _require_foreign(hass: HomeAssistant, entity_id: str) -> None:
    """Refuse an entity that does not exist, and one of KITTY's own, which would ask itself."""
    item = er.async_get(hass).async_get(entity_id)
    if item is None and hass.states.get(entity_id) is None:
        raise Refused("entity_not_found", entity=entity_id)
    if item is not None and item.platform == DOMAIN:
        raise Refused("own_entity", entity=entity_id)


def _witnesses(
    binding: Binding, options: Mapping[str, Any], shown: Mapping[str, State]
) -> list[State]:
    """Return the states to believe: a state entity beats the entity, a contact only adds to it."""
    main = shown[str(options[OPTION_ENTITY])]
    extra = shown.get(str(options.get(OPTION_STATE_ENTITY)))
    if extra is None:
        return [] if binding.blind else [main]
    adds = extra.attributes.get(ATTR_DEVICE_CLASS) in _CONTACTS and not binding.blind
    return [main, extra] if adds else [extra]


def _blank(kind: Kind) -> Json:
    """Return a state that knows nothing."""
    match kind:
        case Kind.DOOR:
            return {"locked": None, "open": None, "jammed": False}
        case Kind.POWER | Kind.LIGHT:
            return {"on": None}
        case Kind.SENSOR:
            return {"value": None, "unit": None}
        case _:
            return {}


def _read(kind: Kind, shown: State) -> Json:
    """Return what one entity's state says about a device of this kind."""
    if shown.state == STATE_UNKNOWN:
        return {}
    match kind:
        case Kind.DOOR:
            return _read_door(shown)
        case Kind.POWER | Kind.LIGHT:
            return {"on": {STATE_ON: True, STATE_OFF: False}.get(shown.state)}
        case Kind.SENSOR:
            unit = shown.attributes.get(ATTR_UNIT_OF_MEASUREMENT)
            return {"value": shown.state, "unit": unit}
        case _:
            return {}


def _read_door(shown: State) -> Json:
    """Return what one entity's state says about a door; a closed contact does not mean locked."""
    match domain_of(shown.entity_id):
        case Platform.LOCK:
            return dict(_LOCK_STATES.get(shown.state, {}))
        case Platform.COVER:
            return dict(_COVER_STATES.get(shown.state, {}))
        case Platform.BINARY_SENSOR if shown.state in (STATE_ON, STATE_OFF):
            device_class = shown.attributes.get(ATTR_DEVICE_CLASS)
            on = shown.state == STATE_ON
            if device_class == BinarySensorDeviceClass.LOCK:
                return {"locked": not on}
            if device_class in _CONTACTS:
                return {"locked": False, "open": True} if on else {"open": False}
    return {}
