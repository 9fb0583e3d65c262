"""The house as a sentence can mean it: what is exposed to Assist, by all of its names and places."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
import re
from typing import Any, Final

from homeassistant.components.homeassistant.exposed_entities import (
    async_listen_entity_updates,
    async_should_expose,
)
from homeassistant.const import ATTR_DEVICE_CLASS, ATTR_ENTITY_ID, EVENT_STATE_CHANGED, Platform
from homeassistant.core import (
    CALLBACK_TYPE,
    Event,
    EventStateChangedData,
    HomeAssistant,
    State,
    callback,
)
from homeassistant.helpers import (
    area_registry as ar,
    device_registry as dr,
    entity_registry as er,
    floor_registry as fr,
    intent,
)

from custom_components.kitty.const import DOMAIN
from custom_components.kitty.issues import raw_entities

from .lexicon import Lexicon
from .words import words_of

ASSIST: Final = "conversation"
NO_CLASS: Final = "none"

# Never in bulk, and never because a name merely sounds alike.
_RISKY_DOMAINS: Final = frozenset({Platform.LOCK, Platform.ALARM_CONTROL_PANEL, Platform.VALVE})
_RISKY_COVERS: Final = frozenset({"garage", "gate", "door"})

# KITTY's own that any road may use: they are never dangerous, and ask the gate all the same.
_OWN_HARMLESS: Final = frozenset({Platform.LIGHT})
DEEPEST_GROUP: Final = 5

_PARTS: Final = re.compile(r"\s*(?:/|\(|\)|,|&|\+)\s*")

type Phrase = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An area or a floor, by all of its names."""

    id: str
    title: str
    names: tuple[Phrase, ...]
    floor_id: str | None = None
    level: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """One exposed entity, with every word by which it may be called."""

    entity_id: str
    domain: str
    title: str
    names: tuple[Phrase, ...]
    device_names: tuple[Phrase, ...]
    device_id: str | None
    maker: frozenset[str]
    area: Place | None
    floor: Place | None
    # Every word that is part of one of its names or places.
    lookup: frozenset[str]
    # The KITTY device that it stands behind: nothing here may touch it.
    guarded_by: str | None
    # It is such an entity itself, not one of KITTY's own, which ask the gate by themselves.
    raw: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """Everything that can be spoken about, as the registries know it now."""

    things: Mapping[str, Thing]
    areas: Mapping[str, Place]
    floors: Mapping[str, Place]
    vocabulary: frozenset[str]

    def of(self, domains: Iterable[str]) -> list[Thing]:
        """Return the things of some domains."""
        wanted = frozenset(domains)
        return [thing for thing in self.things.values() if thing.domain in wanted]


def class_of(hass: HomeAssistant, entity_id: str) -> str:
    """Return the device class that an entity shows, or that it shows none."""
    state = hass.states.get(entity_id)
    shown = state.attributes.get(ATTR_DEVICE_CLASS) if state else None
    return str(shown) if shown else NO_CLASS


def is_risky(hass: HomeAssistant, thing: Thing, lexicon: Lexicon) -> bool:
    """Tell whether a thing opens or guards the house, or lets water run."""
    if thing.domain in _RISKY_DOMAINS:
        return True
    if thing.domain != Platform.COVER:
        return False
    shown = class_of(hass, thing.entity_id)
    named = any(lexicon.doors & set(name) for name in thing.names)
    return shown in _RISKY_COVERS or (shown == NO_CLASS and named)


def guarded_entities(hass: HomeAssistant) -> dict[str, str]:
    """Return each raw entity that a device of KITTY stands on, with the name of that device."""
    return {
        entity_id: name
        for entry in hass.config_entries.async_entries(DOMAIN)
        for entity_id, name in raw_entities(entry)
    }


def _behind(hass: HomeAssistant, entity_id: str, depth: int = DEEPEST_GROUP) -> Iterator[str]:
    """Yield an entity and what hangs on it: the members of a group, the switch behind a light."""
    yield entity_id
    if not depth:
        return
    state = hass.states.get(entity_id)
    members = state.attributes.get(ATTR_ENTITY_ID) if state else None
    below = [str(one) for one in members] if isinstance(members, (list, tuple)) else []
    registry = er.async_get(hass)
    item = registry.async_get(entity_id)
    if item is not None and item.platform == "switch_as_x":
        entry = hass.config_entries.async_get_entry(item.config_entry_id or "")
        source = entry.options.get(ATTR_ENTITY_ID) if entry else None
        found = er.async_resolve_entity_id(registry, source) if source else None
        below += [found] if found else []
    for one in below:
        yield from _behind(hass, one, depth - 1)


class Houses:
    """Keeps the house as a sentence sees it, and builds it anew after a change."""

    def __init__(self, hass: HomeAssistant) -> None:
        """Start without a house; the first sentence builds it."""
        self._hass = hass
        self._built: dict[str, House] = {}
        self._stops: list[CALLBACK_TYPE] = []

    @callback
    def start(self) -> CALLBACK_TYPE:
        """Follow what changes the house; returns the end."""
        listen = self._hass.bus.async_listen
        for change in (
            ar.EVENT_AREA_REGISTRY_UPDATED,
            dr.EVENT_DEVICE_REGISTRY_UPDATED,
            er.EVENT_ENTITY_REGISTRY_UPDATED,
            fr.EVENT_FLOOR_REGISTRY_UPDATED,
        ):
            self._stops.append(listen(change, self._forget))
        self._stops.append(async_listen_entity_updates(self._hass, ASSIST, self._forget))
        self._stops.append(
            listen(EVENT_STATE_CHANGED, self._forget, event_filter=_comes_goes_or_is_renamed)
        )
        return self.stop

    @callback
    def stop(self) -> None:
        """Follow nothing any more."""
        while self._stops:
            self._stops.pop()()

    @callback
    def _forget(self, _event: Event[Any] | None = None) -> None:
        """Build the house anew for the next sentence."""
        self._built.clear()

    @callback
    def now(self, lexicon: Lexicon) -> House:
        """Return the house as one language sees it."""
        house = self._built.get(lexicon.language)
        if house is None:
            house = self._built[lexicon.language] = _build(self._hass, lexicon)
        return house


@callback
def _comes_goes_or_is_renamed(data: EventStateChangedData) -> bool:
    """Tell whether a change of state changes what can be spoken about."""
    old, new = data["old_state"], data["new_state"]
    return old is None or new is None or old.name != new.name


def _build(hass: HomeAssistant, lexicon: Lexicon) -> House:
    """Read the registries."""
    floors = {
        floor.floor_id: Place(
            id=floor.floor_id,
            title=floor.name,
            names=_phrases((floor.name, *floor.aliases), lexicon),
            level=floor.level,
        )
        for floor in fr.async_get(hass).async_list_floors()
    }
    areas = {
        area.id: Place(
            id=area.id,
            title=area.name,
            names=_phrases((area.name, *area.aliases), lexicon),
            floor_id=area.floor_id,
        )
        for area in ar.async_get(hass).async_list_areas()
    }
    guarded = guarded_entities(hass)
    things = {
        state.entity_id: _thing(hass, state, areas, floors, guarded, lexicon)
        for state in hass.states.async_all()
        if async_should_expose(hass, ASSIST, state.entity_id)
    }
    places = [place for group in (areas, floors) for place in group.values()]
    return House(
        things=things,
        areas=areas,
        floors=floors,
        vocabulary=frozenset(
            {word for thing in things.values() for word in thing.lookup}
            | {word for place in places for name in place.names for word in name}
        ),
    )


def _thing(
    hass: HomeAssistant,
    state: State,
    areas: Mapping[str, Place],
    floors: Mapping[str, Place],
    guarded: Mapping[str, str],
    lexicon: Lexicon,
) -> Thing:
    """Return one entity with its names and places."""
    entity_id = state.entity_id
    item = er.async_get(hass).async_get(entity_id)
    found = item and item.device_id and dr.async_get(hass).async_get(item.device_id)
    device = found if isinstance(found, dr.DeviceEntry) else None
    names = [*intent.async_get_entity_aliases(hass, item, state=state)]
    area = areas.get(er.async_get_effective_area_id(hass, item) or "") if item else None
    floor = floors.get(area.floor_id or "") if area else None
    phrases = _phrases(names or [state.name], lexicon)
    device_names = _phrases(
        [name for name in (device.name_by_user, device.name) if name] if device else (), lexicon
    )
    maker = {
        word
        for text in ((device.manufacturer, device.model) if device else ())
        for word in (words_of(text, lexicon) if text else ())
    }
    lookup = {word for name in (*phrases, *device_names) for word in name} | maker
    for place in (area, floor):
        lookup |= {word for name in place.names for word in name} if place else set()
    guard = next((guarded[one] for one in _behind(hass, entity_id) if one in guarded), None)
    raw = guard is not None
    if item is not None and item.platform == DOMAIN and state.domain not in _OWN_HARMLESS:
        guard = guard or state.name
    return Thing(
        entity_id=entity_id,
        domain=state.domain,
        title=names[0] if names else state.name,
        names=phrases,
        device_names=tuple(name for name in device_names if name not in phrases),
        device_id=device.id if device else None,
        maker=frozenset(maker),
        area=area,
        floor=floor,
        lookup=frozenset(lookup),
        guarded_by=guard,
        raw=raw,
    )


def _phrases(names: Iterable[str], lexicon: Lexicon) -> tuple[Phrase, ...]:
    """Return names as stems; "Kitchen/Diner (downstairs)" also answers to each of its parts."""
    phrases: dict[Phrase, None] = {}
    for name in names:
        whole = tuple(word for word in words_of(name, lexicon) if word not in lexicon.fillers)
        parts = [part for part in _PARTS.split(name) if part.strip()]
        for phrase in (whole, *(words_of(part, lexicon) for part in parts if len(parts) > 1)):
            if phrase:
                phrases[phrase] = None
    return tuple(phrases)
