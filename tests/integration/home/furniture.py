"""A house of simple things that do at once what they are told, for the tests and the bench of the home."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, override

from homeassistant.components.calendar import CalendarEntity, CalendarEvent
from homeassistant.components.climate import ClimateEntity, ClimateEntityFeature, HVACMode
from homeassistant.components.cover import CoverEntity, CoverEntityFeature
from homeassistant.components.fan import FanEntity, FanEntityFeature
from homeassistant.components.homeassistant.exposed_entities import async_expose_entity
from homeassistant.components.light import ColorMode, LightEntity
from homeassistant.components.lock import LockEntity
from homeassistant.components.media_player import (
    MediaPlayerEntity,
    MediaPlayerEntityFeature,
    MediaPlayerState,
)
from homeassistant.components.scene import Scene
from homeassistant.components.switch import SwitchEntity
from homeassistant.components.todo import (
    TodoItem,
    TodoItemStatus,
    TodoListEntity,
    TodoListEntityFeature,
)
from homeassistant.components.vacuum import (
    StateVacuumEntity,
    VacuumActivity,
    VacuumEntityFeature,
)
from homeassistant.components.valve import ValveEntity, ValveEntityFeature
from homeassistant.components.weather import (
    Forecast,
    WeatherEntity,
    WeatherEntityFeature,
)
from homeassistant.config_entries import ConfigEntry, ConfigFlow
from homeassistant.const import UnitOfSpeed, UnitOfTemperature
from homeassistant.core import HomeAssistant
from homeassistant.helpers import (
    area_registry as ar,
    device_registry as dr,
    entity_registry as er,
    floor_registry as fr,
)
from homeassistant.helpers.device_registry import DeviceInfo
from homeassistant.helpers.entity import Entity
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    MockModule,
    MockPlatform,
    mock_config_flow,
    mock_integration,
    mock_platform,
)

FURNITURE: Final = "furniture"


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One thing of the house: its domain, its name, where it stands and how it is."""

    domain: str
    name: str
    area: str | None = None
    device: str | None = None
    maker: str | None = None
    aliases: tuple[str, ...] = ()
    device_class: str | None = None
    exposed: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def entity_id(self) -> str:
        """Return the id that the thing gets."""
        base = self.settings.get("id") or self.name.lower().replace(" ", "_").replace("'", "")
        return f"{self.domain}.{base}"


def piece(domain: str, name: str, area: str | None = None, **more: Any) -> Piece:
    """Return a thing; what is not a field of it is a setting of its entity."""
    fields = {key: more.pop(key) for key in list(more) if key in Piece.__dataclass_fields__}
    return Piece(domain=domain, name=name, area=area, **fields, settings=more)


class Thing(Entity):
    """What every piece of furniture has."""

    _attr_has_entity_name = False
    _attr_should_poll = False

    def __init__(self, made: Piece) -> None:
        """Take name and place."""
        self.made = made
        self.set = dict(made.settings)
        self.entity_id = made.entity_id
        self._attr_unique_id = made.entity_id
        self._attr_name = made.name
        if made.device_class is not None:
            self._attr_device_class = made.device_class
        if made.device is not None:
            self._attr_device_info = DeviceInfo(
                identifiers={(FURNITURE, made.device)}, name=made.device, manufacturer=made.maker
            )

    def show(self, **values: Any) -> None:
        """Change and show it."""
        for name, value in values.items():
            setattr(self, f"_attr_{name}", value)
        self.async_write_ha_state()


class Lamp(Thing, LightEntity):
    """A light with brightness, and with colour where it says so."""

    def __init__(self, made: Piece) -> None:
        super().__init__(made)
        mode = ColorMode(self.set.get("mode", "brightness"))
        self._attr_supported_color_modes = {mode}
        self._attr_color_mode = mode
        self._attr_is_on = bool(self.set.get("on"))
        self._attr_brightness = self.set.get("brightness", 128)

    async def async_turn_on(self, **wanted: Any) -> None:
        self.show(
            is_on=True, **{k: v for k, v in wanted.items() if k in ("brightness", "hs_color")}
        )

    async def async_turn_off(self, **_wanted: Any) -> None:
        self.show(is_on=False)


class Plug(Thing, SwitchEntity):
    """A switch."""

    def __init__(self, made: Piece) -> None:
        super().__init__(made)
        self._attr_is_on = bool(self.set.get("on"))

    async def async_turn_on(self, **_wanted: Any) -> None:
        self.show(is_on=True)

    async def async_turn_off(self, **_wanted: Any) -> None:
        self.show(is_on=False)


class Bolt(Thing, LockEntity):
    """A lock."""

    def __init__(self, made: Piece) -> None:
        super().__init__(made)
        self._attr_is_locked = bool(self.set.get("locked", True))

    async def async_lock(self, **_wanted: Any) -> None:
        self.show(is_locked=True)

    async def async_unlock(self, **_wanted: Any) -> None:
        self.show(is_locked=False)


class Blind(Thing, CoverEntity):
    """A cover with a position."""

    _attr_supported_features = (
        CoverEntityFeature.OPEN
        | CoverEntityFeature.CLOSE
        | CoverEntityFeature.STOP
        | CoverEntityFeature.SET_POSITION
    )

    def __init__(self, made: Piece) -> None:
        super().__init__(made)
        self._move(int(self.set.get("position", 0)))

    def _move(self, position: int) -> None:
        self._attr_current_cover_position = position
        self._attr_is_closed = position == 0

    async def async_open_cover(self, **_wanted: Any) -> None:
        self._move(100)
        self.show()

    async def async_close_cover(self, **_wanted: Any) -> None:
        self._move(0)
        self.show()

    async def async_stop_cover(self, **_wanted: Any) -> None:
        self.show()

    async def async_set_cover_position(self, **wanted: Any) -> None:
        self._move(wanted["position"])
        self.show()


class Tap(Thing, ValveEntity):
    """A valve that is open or closed."""

    _attr_reports_position = False
    _attr_supported_features = ValveEntityFeature.OPEN | ValveEntityFeature.CLOSE

    def __init__(self, made: Piece) -> None:
        super().__init__(made)
        self._attr_is_closed = not self.set.get("open")

    async def async_open_valve(self) -> None:
        self.show(is_closed=False)

    async def async_close_valve(self) -> None:
        self.show(is_closed=True)


class Ventilator(Thing, FanEntity):
    """A fan with speeds."""

    _attr_supported_features = (
        FanEntityFeature.TURN_ON
        | FanEntityFeature.TURN_OFF
        | FanEntityFeature.SET_SPEED
        | FanEntityFeature.OSCILLATE
    )

    def __init__(self, made: Piece) -> None:
        super().__init__(made)
        self._attr_percentage = self.set.get("percentage", 0)
        self._attr_oscillating = False

    async def async_turn_on(
        self, percentage: int | None = None, preset_mode: str | None = None, **_wanted: Any
    ) -> None:
        self.show(percentage=percentage or 100)

    async def async_turn_off(self, **_wanted: Any) -> None:
        self.show(percentage=0)

    async def async_set_percentage(self, percentage: int) -> None:
        self.show(percentage=percentage)

    async def async_oscillate(self, oscillating: bool) -> None:
        self.show(oscillating=oscillating)


class Player(Thing, MediaPlayerEntity):
    """A player with tracks and a volume."""

    _attr_supported_features = (
        MediaPlayerEntityFeature.PLAY
        | MediaPlayerEntityFeature.PAUSE
        | MediaPlayerEntityFeature.NEXT_TRACK
        | MediaPlayerEntityFeature.PREVIOUS_TRACK
        | MediaPlayerEntityFeature.VOLUME_SET
        | MediaPlayerEntityFeature.VOLUME_MUTE
        | MediaPlayerEntityFeature.TURN_ON
        | MediaPlayerEntityFeature.TURN_OFF
        | MediaPlayerEntityFeature.SELECT_SOURCE
    )

    def __init__(self, made: Piece) -> None:
        super().__init__(made)
        self._attr_state = MediaPlayerState(self.set.get("state", "off"))
        self._attr_volume_level = 0.4
        self._attr_is_volume_muted = False
        self._attr_media_track = 3
        self._attr_media_title = self.set.get("title")
        self._attr_source_list = ["Radio", "Bluetooth"]
        self._attr_source = "Radio"

    async def async_media_play(self) -> None:
        self.show(state=MediaPlayerState.PLAYING)

    async def async_media_pause(self) -> None:
        self.show(state=MediaPlayerState.PAUSED)

    async def async_turn_on(self) -> None:
        self.show(state=MediaPlayerState.IDLE)

    async def async_turn_off(self) -> None:
        self.show(state=MediaPlayerState.OFF)

    async def async_media_next_track(self) -> None:
        self.show(media_track=4)

    async def async_media_previous_track(self) -> None:
        self.show(media_track=2)

    async def async_set_volume_level(self, volume: float) -> None:
        self.show(volume_level=volume)

    async def async_mute_volume(self, mute: bool) -> None:
        self.show(is_volume_muted=mute)

    async def async_select_source(self, source: str) -> None:
        self.show(source=source)


class Thermostat(Thing, ClimateEntity):
    """A thermostat."""

    _attr_temperature_unit = UnitOfTemperature.CELSIUS
    _attr_hvac_modes = [HVACMode.OFF, HVACMode.HEAT, HVACMode.COOL, HVACMode.AUTO]
    _attr_preset_modes = ["eco", "comfort"]
    _attr_supported_features = (
        ClimateEntityFeature.TARGET_TEMPERATURE
        | ClimateEntityFeature.PRESET_MODE
        | ClimateEntityFeature.TURN_ON
        | ClimateEntityFeature.TURN_OFF
    )

    def __init__(self, made: Piece) -> None:
        super().__init__(made)
        self._attr_hvac_mode = HVACMode.HEAT
        self._attr_preset_mode = "comfort"
        self._attr_target_temperature = 20.0
        self._attr_current_temperature = self.set.get("now", 19.5)

    async def async_set_temperature(self, **wanted: Any) -> None:
        self.show(target_temperature=wanted["temperature"])

    async def async_set_hvac_mode(self, hvac_mode: HVACMode) -> None:
        self.show(hvac_mode=hvac_mode)

    async def async_set_preset_mode(self, preset_mode: str) -> None:
        self.show(preset_mode=preset_mode)

    async def async_turn_off(self) -> None:
        self.show(hvac_mode=HVACMode.OFF)

    async def async_turn_on(self) -> None:
        self.show(hvac_mode=HVACMode.HEAT)


class Cleaner(Thing, StateVacuumEntity):
    """A vacuum cleaner."""

    _attr_supported_features = (
        VacuumEntityFeature.START
        | VacuumEntityFeature.STOP
        | VacuumEntityFeature.PAUSE
        | VacuumEntityFeature.RETURN_HOME
        | VacuumEntityFeature.STATE
    )

    def __init__(self, made: Piece) -> None:
        super().__init__(made)
        self._attr_activity = VacuumActivity(self.set.get("state", "docked"))

    async def async_start(self) -> None:
        self.show(activity=VacuumActivity.CLEANING)

    async def async_stop(self, **_wanted: Any) -> None:
        self.show(activity=VacuumActivity.IDLE)

    async def async_pause(self) -> None:
        self.show(activity=VacuumActivity.PAUSED)

    async def async_return_to_base(self, **_wanted: Any) -> None:
        self.show(activity=VacuumActivity.RETURNING)


class Notes(Thing, TodoListEntity):
    """A to-do list."""

    _attr_supported_features = (
        TodoListEntityFeature.CREATE_TODO_ITEM
        | TodoListEntityFeature.UPDATE_TODO_ITEM
        | TodoListEntityFeature.DELETE_TODO_ITEM
    )

    def __init__(self, made: Piece) -> None:
        super().__init__(made)
        self._attr_todo_items = [
            TodoItem(summary=one, uid=one, status=TodoItemStatus.NEEDS_ACTION)
            for one in self.set.get("items", ())
        ]

    async def async_create_todo_item(self, item: TodoItem) -> None:
        self.show(todo_items=[*(self._attr_todo_items or []), item])

    async def async_update_todo_item(self, item: TodoItem) -> None:
        kept = [one for one in self._attr_todo_items or [] if one.uid != item.uid]
        self.show(todo_items=[*kept, item])

    async def async_delete_todo_items(self, uids: list[str]) -> None:
        self.show(todo_items=[one for one in self._attr_todo_items or [] if one.uid not in uids])


class Diary(Thing, CalendarEntity):
    """A calendar."""

    @property
    @override
    def event(self) -> CalendarEvent | None:
        """Return no current event."""
        return None

    @override
    async def async_get_events(
        self, hass: HomeAssistant, start_date: datetime, end_date: datetime
    ) -> list[CalendarEvent]:
        """Return the events of a stretch of time."""
        return [
            one
            for one in self.set.get("events", ())
            if one.end_datetime_local > start_date and one.start_datetime_local < end_date
        ]


class Sky(Thing, WeatherEntity):
    """A weather service with a daily forecast."""

    _attr_native_temperature_unit = UnitOfTemperature.CELSIUS
    _attr_native_wind_speed_unit = UnitOfSpeed.KILOMETERS_PER_HOUR
    _attr_supported_features = WeatherEntityFeature.FORECAST_DAILY

    def __init__(self, made: Piece) -> None:
        super().__init__(made)
        self._attr_condition = self.set.get("state", "cloudy")
        self._attr_native_temperature = 11.0

    @override
    async def async_forecast_daily(self) -> list[Forecast] | None:
        """Return the forecast."""
        return list(self.set.get("forecast", ()))


class Reading(Thing):
    """A sensor of either kind: it shows what it was given."""

    @property
    @override
    def state(self) -> Any:
        """Return the reading."""
        return self.set.get("state")

    @property
    @override
    def device_class(self) -> str | None:
        """Return the device class."""
        return self.made.device_class

    @property
    @override
    def unit_of_measurement(self) -> str | None:
        """Return the unit."""
        return self.set.get("unit")


class Mood(Thing, Scene):
    """A scene."""

    async def async_activate(self, **_wanted: Any) -> None:
        """Do nothing: Home Assistant keeps when."""


MAKERS: Final[Mapping[str, Callable[[Piece], Thing]]] = {
    "binary_sensor": Reading,
    "calendar": Diary,
    "climate": Thermostat,
    "cover": Blind,
    "fan": Ventilator,
    "light": Lamp,
    "lock": Bolt,
    "media_player": Player,
    "scene": Mood,
    "sensor": Reading,
    "switch": Plug,
    "todo": Notes,
    "vacuum": Cleaner,
    "valve": Tap,
    "weather": Sky,
}


async def furnish(
    hass: HomeAssistant,
    pieces: Iterable[Piece],
    areas: Mapping[str, str | None],
    aliases: Mapping[str, tuple[str, ...]] | None = None,
) -> dict[str, Thing]:
    """Build a house: areas by name with their floors, and what stands in them; return the things."""
    made = list(pieces)
    floors = fr.async_get(hass)
    floor_ids = {
        name: floors.async_create(name).floor_id for name in dict.fromkeys(areas.values()) if name
    }
    registry = ar.async_get(hass)
    area_ids = {
        name: registry.async_create(
            name,
            floor_id=floor_ids.get(floor or ""),
            aliases=set((aliases or {}).get(name, ())),
        ).id
        for name, floor in areas.items()
    }
    things: dict[str, Thing] = {}
    domains = sorted({one.domain for one in made})

    async def set_up(hass: HomeAssistant, entry: ConfigEntry[Any]) -> bool:
        await hass.config_entries.async_forward_entry_setups(entry, domains)
        return True

    mock_integration(hass, MockModule(FURNITURE, async_setup_entry=set_up))
    for domain in domains:

        async def add(
            hass: HomeAssistant,
            entry: ConfigEntry[Any],
            async_add_entities: AddConfigEntryEntitiesCallback,
            domain: str = domain,
        ) -> None:
            new = [MAKERS[domain](one) for one in made if one.domain == domain]
            things.update({one.entity_id: one for one in new})
            async_add_entities(new)

        mock_platform(hass, f"{FURNITURE}.{domain}", MockPlatform(async_setup_entry=add))
    mock_platform(hass, f"{FURNITURE}.config_flow")
    entry = MockConfigEntry(domain=FURNITURE)
    entry.add_to_hass(hass)
    with mock_config_flow(FURNITURE, ConfigFlow):
        assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    _place(hass, made, area_ids)
    await hass.async_block_till_done()
    return things


def _place(hass: HomeAssistant, made: Iterable[Piece], area_ids: Mapping[str, str]) -> None:
    """Put things into their areas, give them their other names, and expose them."""
    entities, devices = er.async_get(hass), dr.async_get(hass)
    for one in made:
        area_id = area_ids[one.area] if one.area else None
        item = entities.async_get(one.entity_id)
        assert item is not None, one.entity_id
        if one.aliases:
            names = [er.COMPUTED_NAME, *one.aliases]
            entities.async_update_entity(one.entity_id, aliases=names)
        if item.device_id is not None:
            devices.async_update_device(item.device_id, area_id=area_id)
        elif area_id is not None:
            entities.async_update_entity(one.entity_id, area_id=area_id)
        async_expose_entity(hass, "conversation", one.entity_id, one.exposed)
