"""What a tool of Home Assistant would touch when a model calls it, and whether a person must say yes.

Whatever cannot be told for certain needs a person. The entity behind a guarded device is never touched.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from homeassistant.auth.permissions.const import POLICY_CONTROL
from homeassistant.components.climate.const import ClimateEntityFeature
from homeassistant.components.media_player.const import MediaPlayerEntityFeature
from homeassistant.components.vacuum.const import VacuumEntityFeature
from homeassistant.const import ATTR_DEVICE_CLASS, ATTR_ENTITY_ID, Platform, UnitOfTemperature
from homeassistant.core import HomeAssistant, State
from homeassistant.helpers import entity_registry as er, intent, llm
from homeassistant.util.unit_conversion import TemperatureConverter

from .const import DOMAIN
from .errors import Refused
from .issues import raw_entities
from .protocol import Json

MOST_ENTITIES: Final = 8
COLDEST: Final = 5.0
WARMEST: Final = 30.0
DEEPEST_GROUP: Final = 5
LONGEST_WORDS: Final = 300

_ON: Final = intent.INTENT_TURN_ON
_OFF: Final = intent.INTENT_TURN_OFF
_POSITION: Final = intent.INTENT_SET_POSITION
_TEMPERATURE: Final = "HassClimateSetTemperature"
_PLAY: Final = "media_player__play_media"
_SEARCH: Final = "media_player__search_media"
_SCRIPT: Final = "script__"
_INTENT_SCRIPT: Final = "intent_script"
# What is on the disks of this house; any other address tells a stranger what is asked for.
_OWN_MEDIA: Final = "media-source://"
# The other name of a target in the tools of players.
_PLAYER: Final = "player_"

# What turning on or off does to these is known, and no hazard.
_SWITCHED: Final = frozenset(
    {
        Platform.CLIMATE,
        Platform.FAN,
        Platform.HUMIDIFIER,
        Platform.LIGHT,
        Platform.MEDIA_PLAYER,
        Platform.SWITCH,
        Platform.VACUUM,
        "group",
        "input_boolean",
    }
)
# These take an order to turn on or off although they have no such action.
_MOVED: Final = frozenset(
    {Platform.BUTTON, Platform.COVER, Platform.LOCK, Platform.VALVE, "input_button"}
)
# Covers that only keep out light; any other may be a way into the house.
_SHADES: Final = frozenset({"awning", "blind", "curtain", "damper", "shade", "shutter"})
# What a workshop's own lights can do is never dangerous, and asks the gate all the same.
_OWN_HARMLESS: Final = frozenset({Platform.LIGHT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """How an intent finds its entities; what its handler says about itself counts before this."""

    domains: frozenset[str] | None = None
    features: int = 0
    single: bool = False
    # Slots that narrow the entities down; others are values.
    slots: frozenset[str] = frozenset({"name", "area", "floor", "domain", "device_class"})


def _aim(domain: str, **more: Any) -> Aim:
    """Return the aim of an intent of one domain."""
    return Aim(domains=frozenset({domain}), **more)


_MEDIA: Final = _aim(Platform.MEDIA_PLAYER)
_LIST: Final = _aim(Platform.TODO, slots=frozenset({"name"}))
_HUMIDITY: Final = _aim(Platform.HUMIDIFIER, slots=frozenset({"name"}))
_PLAYABLE: Final = _aim(
    Platform.MEDIA_PLAYER,
    features=MediaPlayerEntityFeature.SEARCH_MEDIA | MediaPlayerEntityFeature.PLAY_MEDIA,
    single=True,
    slots=frozenset({"name", "area", "floor"}),
)
_MOVERS: Final = Aim(domains=frozenset({Platform.COVER, Platform.VALVE}))

# The intents that a model may have carried out where their entities are no hazard.
KNOWN: Final[Mapping[str, Aim]] = {
    _ON: Aim(),
    _OFF: Aim(),
    _POSITION: _MOVERS,
    intent.INTENT_STOP_MOVING: _MOVERS,
    "HassLightSet": _aim(Platform.LIGHT),
    "HassFanSetSpeed": _aim(Platform.FAN),
    "HassMediaNext": _MEDIA,
    "HassMediaPause": _MEDIA,
    "HassMediaPlayerMute": _MEDIA,
    "HassMediaPlayerUnmute": _MEDIA,
    "HassMediaPrevious": _MEDIA,
    "HassMediaUnpause": _MEDIA,
    "HassSetVolume": _MEDIA,
    "HassSetVolumeRelative": _aim(
        Platform.MEDIA_PLAYER, features=MediaPlayerEntityFeature.VOLUME_SET
    ),
    _TEMPERATURE: _aim(
        Platform.CLIMATE, features=ClimateEntityFeature.TARGET_TEMPERATURE, single=True
    ),
    "HassHumidifierMode": _HUMIDITY,
    "HassHumidifierSetpoint": _HUMIDITY,
    "HassListAddItem": _LIST,
    "HassListCompleteItem": _LIST,
    "HassVacuumStart": _aim(Platform.VACUUM),
    "HassVacuumReturnToBase": _aim(Platform.VACUUM),
    "HassVacuumCleanArea": _aim(
        Platform.VACUUM, features=VacuumEntityFeature.CLEAN_AREA, slots=frozenset({"name"})
    ),
    "HassLawnMowerDock": _aim(Platform.LAWN_MOWER),
}
# They touch nothing but the timers of the device that heard the words.
TIMERS: Final = frozenset(
    {
        intent.INTENT_CANCEL_ALL_TIMERS,
        intent.INTENT_CANCEL_TIMER,
        intent.INTENT_DECREASE_TIMER,
        intent.INTENT_INCREASE_TIMER,
        intent.INTENT_PAUSE_TIMER,
        intent.INTENT_START_TIMER,
        intent.INTENT_UNPAUSE_TIMER,
    }
)
_LATER: Final = "conversation_command"

# What turning on and off does to things that are not just on or off.
_VERBS: Final[Mapping[tuple[str, str], str]] = {
    (_ON, Platform.BUTTON): "press",
    (_ON, "input_button"): "press",
    (_ON, Platform.COVER): "open",
    (_OFF, Platform.COVER): "close",
    (_ON, Platform.LOCK): "lock",
    (_OFF, Platform.LOCK): "unlock",
    (_ON, Platform.SCENE): "activate",
    (_ON, "script"): "run",
    (_ON, Platform.VALVE): "open",
    (_OFF, Platform.VALVE): "close",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a call would touch; ``why`` it needs a person, or None; ``lost`` where it would fail."""

    states: tuple[State, ...] = ()
    why: str | None = None
    lost: str | None = None

    def words(self, tool: llm.Tool, arguments: Json) -> str:
        """Return for people what would be done: "unlock Front door"."""
        kind = _kind(tool)
        verbs = {_VERBS.get((kind, state.domain)) for state in self.states}
        verb = verbs.pop() if len(verbs) == 1 else None
        title = (tool.title or tool.name).lower()
        names = [state.name for state in self.states[:MOST_ENTITIES]]
        if len(self.states) > MOST_ENTITIES:
            names.append(f"{len(self.states) - MOST_ENTITIES} more")
        parts = [f"{verb or title} {', '.join(names)}".strip()]
        known = {"name", "area", "floor", "domain", "device_class"}
        if verb is None or kind not in (_ON, _OFF):
            parts += [f"{key} {one}" for key, one in arguments.items() if key not in known]
        elif not intent.is_blank_slot_value(arguments.get(_LATER)):
            parts.append(f"and later: {arguments[_LATER]}")
        return ", ".join(parts)[:LONGEST_WORDS]


async def judge(
    hass: HomeAssistant, tool: llm.Tool, arguments: Json, context: llm.LLMContext
) -> Judgement:
    """Return what a call of a tool would do, under the rights of the person of the context.

    Raises Refused ``guarded_entity``, ``workshop_entity``, ``not_permitted``.
    """
    if tool.annotations.read_only and not tool.annotations.open_world:
        return Judgement()
    found = _found(hass, tool, arguments, context)
    if isinstance(found, str):
        return Judgement(lost=found)
    states = tuple(_with_members(hass, found or ()))
    kind = _kind(tool)
    acting = tuple(state for state in states if not _is_inert(hass, kind, state))
    _refuse_guarded(hass, acting)
    await _require_control(hass, acting, context)
    why = _why(hass, tool, arguments, acting, known=found is not None)
    return Judgement(states=acting, why=why)


def _kind(tool: llm.Tool) -> str:
    """Return the intent of a tool, else its name."""
    return tool.intent_type if isinstance(tool, llm.IntentTool) else tool.name


def _found(
    hass: HomeAssistant, tool: llm.Tool, arguments: Json, context: llm.LLMContext
) -> list[State] | str | None:
    """Return the entities of a call; None where they cannot be told, words where there are none."""
    kind = _kind(tool)
    if kind in TIMERS:
        return []
    if kind.startswith(_SCRIPT):
        state = hass.states.get(f"script.{kind.removeprefix(_SCRIPT)}")
        return [state] if state is not None else None
    handler = next((one for one in intent.async_get(hass) if one.intent_type == kind), None)
    if kind in (_PLAY, _SEARCH):
        aim, prefix = _PLAYABLE, _PLAYER
    elif kind in KNOWN and _is_core(handler):
        aim, prefix = KNOWN[kind], ""
    else:
        return None
    slots = {name: arguments.get(prefix + name) for name in aim.slots}
    slots = {key: one for key, one in slots.items() if not intent.is_blank_slot_value(one)}
    constraints = intent.MatchTargetsConstraints(
        name=None if slots.get("name") == "all" else slots.get("name"),
        area_name=slots.get("area"),
        floor_name=slots.get("floor"),
        domains=_words(slots.get("domain")) or aim.domains,
        device_classes=_words(slots.get("device_class")),
        features=getattr(handler, "required_features", None) or aim.features or None,
        states=getattr(handler, "required_states", None),
        assistant=context.assistant,
        single_target=aim.single,
    )
    matched = intent.async_match_targets(
        hass, constraints, llm.async_get_match_preferences(hass, context)
    )
    if matched.is_match:
        return matched.states
    return f"Nothing was found: {matched.no_match_reason and matched.no_match_reason.name}"


def _is_core(handler: intent.IntentHandler | None) -> bool:
    """Tell whether an intent means what Home Assistant says it means; scripts can take its place."""
    module = type(handler).__module__
    return module.startswith("homeassistant.") and _INTENT_SCRIPT not in module


def _words(value: Any) -> set[str] | None:
    """Return one or more words as a set; None where there are none."""
    if not value:
        return None
    return {str(one) for one in ([value] if isinstance(value, str) else value)}


def _with_members(hass: HomeAssistant, states: Any, depth: int = 0) -> Iterator[State]:
    """Yield entities and what hangs on them: the members of a group, the switch behind a light."""
    registry = er.async_get(hass)
    for state in states:
        yield state
        if depth == DEEPEST_GROUP:
            continue
        item = registry.async_get(state.entity_id)
        below = list(_words(state.attributes.get(ATTR_ENTITY_ID)) or ())
        entry = (
            hass.config_entries.async_get_entry(item.config_entry_id or "")
            if item is not None and item.platform == "switch_as_x"
            else None
        )
        if entry is not None:
            behind = er.async_resolve_entity_id(registry, entry.options[ATTR_ENTITY_ID])
            below += [behind] if behind else []
        known = [found for one in sorted(below) if (found := hass.states.get(one)) is not None]
        yield from _with_members(hass, known, depth + 1)


def _is_inert(hass: HomeAssistant, kind: str, state: State) -> bool:
    """Tell whether an order to turn on or off has no effect on an entity."""
    if kind not in (_ON, _OFF) or state.domain in _MOVED | _SWITCHED:
        return False
    service = "turn_on" if kind == _ON else "turn_off"
    return not hass.services.has_service(state.domain, service)


def _refuse_guarded(hass: HomeAssistant, states: tuple[State, ...]) -> None:
    """Refuse what would go round the gate, and KITTY's own, which has a road of its own."""
    guarded = {
        entity_id
        for entry in hass.config_entries.async_entries(DOMAIN)
        for entity_id, _name in raw_entities(entry)
    }
    registry = er.async_get(hass)
    for state in states:
        if state.entity_id in guarded:
            raise Refused("guarded_entity", entity=state.name)
        item = registry.async_get(state.entity_id)
        if item and item.platform == DOMAIN and state.domain not in _OWN_HARMLESS:
            raise Refused("workshop_entity", entity=state.name)


async def _require_control(
    hass: HomeAssistant, states: tuple[State, ...], context: llm.LLMContext
) -> None:
    """Refuse what the person may not control; some actions of Home Assistant do not look."""
    user_id = context.context.user_id if context.context else None
    if user_id is None:
        return
    user = await hass.auth.async_get_user(user_id)
    for state in states:
        if user is None or not user.permissions.check_entity(state.entity_id, POLICY_CONTROL):
            raise Refused("not_permitted", entity=state.name)


def _why(
    hass: HomeAssistant, tool: llm.Tool, arguments: Json, states: tuple[State, ...], *, known: bool
) -> str | None:
    """Return why a call needs a person; None where it is harmless."""
    kind = _kind(tool)
    if not known:
        return "unknown_effect"
    if not intent.is_blank_slot_value(arguments.get(_LATER)):
        return "later"
    if len(states) > MOST_ENTITIES:
        return "many"
    if kind == _TEMPERATURE and not _is_livable(hass, arguments.get("temperature")):
        return "temperature"
    if kind == _PLAY and _leads_out(str(arguments.get("media_content_id"))):
        return "address"
    if any(_is_hazard(kind, arguments, state) for state in states):
        return "hazard"
    return None


def _leads_out(media: str) -> bool:
    """Tell whether media is an address outside this house."""
    return "://" in media and not media.startswith(_OWN_MEDIA)


def _is_livable(hass: HomeAssistant, temperature: Any) -> bool:
    """Tell whether a temperature harms neither people nor pipes."""
    try:
        degrees = float(temperature)
    except TypeError, ValueError:
        return False
    unit = hass.config.units.temperature_unit
    celsius = TemperatureConverter.convert(degrees, unit, UnitOfTemperature.CELSIUS)
    return COLDEST <= celsius <= WARMEST


def _is_hazard(kind: str, arguments: Json, state: State) -> bool:
    """Tell whether what an intent does to this entity needs a person."""
    if kind.startswith(_SCRIPT):
        return True
    match state.domain:
        case Platform.LOCK:
            return kind != _ON
        case Platform.COVER if state.attributes.get(ATTR_DEVICE_CLASS) in _SHADES:
            return False
        case Platform.COVER | Platform.VALVE:
            return not _shuts(kind, arguments)
        case domain:
            return kind in (_ON, _OFF) and domain not in _SWITCHED


def _shuts(kind: str, arguments: Json) -> bool:
    """Tell whether an intent closes a way in, or leaves it where it is."""
    closes = kind == _POSITION and str(arguments.get("position")) == "0"
    return closes or kind in (_OFF, intent.INTENT_STOP_MOVING)
