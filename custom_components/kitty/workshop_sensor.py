"""Sensors of the workshop: queues, chances, costs, quality, filament, and what is in stock."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean
from typing import TYPE_CHECKING, Any, Final, override

from homeassistant.components.sensor import (
    RestoreSensor,
    SensorDeviceClass,
    SensorEntity,
    SensorEntityDescription,
    SensorStateClass,
)
from homeassistant.const import PERCENTAGE, EntityCategory, Platform, UnitOfMass
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.typing import StateType
from homeassistant.util import dt as dt_util

from .bench import Bench
from .const import CONF_INSTANCE_ID, DOMAIN
from .coordinator import KittyCoordinator, Snapshot
from .entity import KittyBrainEntity, RecordEntity
from .protocol import Json
from .workshop import (
    WAITING,
    device_name,
    filament,
    in_order,
    is_clear,
    is_in_use,
    late,
    next_of,
    queue_of,
    verdict_on,
    watchers,
)

if TYPE_CHECKING:
    from . import KittyConfigEntry

MAX_STATE: Final = 255
METRICS: Final = ("layers", "surface", "size")
BED_STATES: Final = ("clear", "in_use", "to_clear")
_SLOT: Final = ("slot", "material", "color", "color_name", "remaining", "spool_id")


@dataclass(frozen=True, kw_only=True)
class WorkshopDescription(SensorEntityDescription):
    """A sensor of one printer that reads what the brain tells, asked or unasked."""

    value_fn: Callable[[Bench, str], StateType | datetime]
    attributes_fn: Callable[[Bench, str], dict[str, Any]] | None = None
    has_fn: Callable[[Snapshot, str], bool] = lambda _snapshot, _device_id: True


@dataclass(frozen=True, kw_only=True)
class HouseDescription(SensorEntityDescription):
    """A sensor of the whole workshop."""

    value_fn: Callable[[Snapshot], StateType | datetime]
    attributes_fn: Callable[[Snapshot], dict[str, Any]]


def moment(seconds: float | None) -> datetime | None:
    """Return a time of the brain as Home Assistant's."""
    return None if seconds is None else dt_util.utc_from_timestamp(seconds)


def _words_of(snapshot: Snapshot, row: Json) -> dict[str, Any]:
    """Return what people want to know of an item of the queue."""
    return {
        "title": row["title"],
        "queue_id": row["id"],
        "status": row["status"],
        "printer": device_name(snapshot, row["device_id"]),
        "material": row["material"],
        "starts": moment(row["planned_start"]),
        "deadline": moment(row["deadline"]),
        "because": [reason["code"] for reason in row["reasons"]],
    }


# -- printers -----------------------------------------------------------------------------------------


def _queue(bench: Bench, device_id: str) -> int:
    return len(queue_of(bench.data, device_id))


def _queue_attributes(bench: Bench, device_id: str) -> dict[str, Any]:
    return {"items": [_words_of(bench.data, row) for row in queue_of(bench.data, device_id)]}


def _next(bench: Bench, device_id: str) -> str | None:
    row = next_of(bench.data, device_id)
    return None if row is None else str(row["title"])[:MAX_STATE]


def _next_attributes(bench: Bench, device_id: str) -> dict[str, Any]:
    row = next_of(bench.data, device_id)
    return {} if row is None else _words_of(bench.data, row)


def _chance(bench: Bench, device_id: str) -> float | None:
    found = bench.chances.get(device_id)
    return None if found is None else float(found["probability"]) * 100


def _chance_attributes(bench: Bench, device_id: str) -> dict[str, Any]:
    """Return what the chance rests on, and how far off it may be."""
    if (found := bench.chances.get(device_id)) is None:
        return {}
    return {
        "low": round(found["low"] * 100, 1),
        "high": round(found["high"] * 100, 1),
        "n": found["n"],
        "few_prints": found["cold"],
        "because": found["because"],
        "text": found["text"],
    }


def _quality(bench: Bench, device_id: str) -> float | None:
    """Return the mean of what was measured of the last prints, from 0 to 100."""
    found = bench.quality.get(device_id, {})
    means = [found[name]["mean"] for name in METRICS if name in found]
    known = [mean for mean in means if mean is not None]
    return fmean(known) if known else None


def _quality_attributes(bench: Bench, device_id: str) -> dict[str, Any]:
    found = bench.quality.get(device_id, {})
    return {name: found[name] for name in METRICS if name in found}


def _bed(bench: Bench, device_id: str) -> str:
    """Return what is on the bed, as far as people and the printer say."""
    if is_in_use(bench.data, device_id):
        return "in_use"
    return "clear" if is_clear(bench.data, device_id) else "to_clear"


def _filament(bench: Bench, device_id: str) -> str | None:
    """Return the filaments that are loaded; the same one twice is told once."""
    told = [
        " ".join(part for part in (slot["material"], _color(slot)) if part)
        for slot in filament(bench.data, bench.data.devices[device_id])
    ]
    return ", ".join(dict.fromkeys(word for word in told if word))[:MAX_STATE] or None


def _color(slot: Json) -> str | None:
    return slot["color_name"] or (f"#{slot['color']}" if slot["color"] else None)


def _filament_attributes(bench: Bench, device_id: str) -> dict[str, Any]:
    found = filament(bench.data, bench.data.devices[device_id])
    return {"slots": [{name: slot[name] for name in _SLOT} for slot in found]}


def _score(bench: Bench, device_id: str) -> float | None:
    row = verdict_on(bench.data, device_id)
    return None if row is None or row["confidence"] is None else float(row["confidence"]) * 100


def _score_attributes(bench: Bench, device_id: str) -> dict[str, Any]:
    row = verdict_on(bench.data, device_id)
    if row is None:
        return {}
    return {
        "verdict": row["verdict"],
        "what": row["what"],
        "detector": row["detector"],
        "at": moment(row["at"]),
        "camera": device_name(bench.data, row["device_id"]),
    }


PRINTER: Final = (
    WorkshopDescription(
        key="queue",
        translation_key="queue",
        state_class=SensorStateClass.MEASUREMENT,
        value_fn=_queue,
        attributes_fn=_queue_attributes,
    ),
    WorkshopDescription(
        key="next_print",
        translation_key="next_print",
        value_fn=_next,
        attributes_fn=_next_attributes,
    ),
    WorkshopDescription(
        key="chance",
        translation_key="chance",
        native_unit_of_measurement=PERCENTAGE,
        state_class=SensorStateClass.MEASUREMENT,
        suggested_display_precision=0,
        value_fn=_chance,
        attributes_fn=_chance_attributes,
    ),
    WorkshopDescription(
        key="quality",
        translation_key="quality",
        state_class=SensorStateClass.MEASUREMENT,
        suggested_display_precision=0,
        value_fn=_quality,
        attributes_fn=_quality_attributes,
    ),
    WorkshopDescription(
        key="bed",
        translation_key="bed",
        device_class=SensorDeviceClass.ENUM,
        options=list(BED_STATES),
        value_fn=_bed,
    ),
    WorkshopDescription(
        key="filament",
        translation_key="filament",
        value_fn=_filament,
        attributes_fn=_filament_attributes,
    ),
    WorkshopDescription(
        key="vision_score",
        translation_key="vision_score",
        native_unit_of_measurement=PERCENTAGE,
        state_class=SensorStateClass.MEASUREMENT,
        suggested_display_precision=0,
        entity_category=EntityCategory.DIAGNOSTIC,
        value_fn=_score,
        attributes_fn=_score_attributes,
        has_fn=lambda snapshot, device_id: bool(watchers(snapshot, device_id)),
    ),
)

COST: Final = SensorEntityDescription(
    key="last_cost",
    translation_key="last_cost",
    device_class=SensorDeviceClass.MONETARY,
    suggested_display_precision=2,
)

# -- the house ----------------------------------------------------------------------------------------


def _waiting(snapshot: Snapshot) -> list[Json]:
    return [row for row in in_order(snapshot) if row["status"] in WAITING]


def _reviews(snapshot: Snapshot) -> dict[str, Any]:
    """Return the prints that wait for somebody's word, oldest first."""
    return {
        "prints": [
            {
                "job_id": row["job_id"],
                "file": row["file"],
                "printer": device_name(snapshot, row["device_id"]),
                "outcome": row["outcome"],
                "ended": moment(row["ended_at"]),
            }
            for row in snapshot.reviews.values()
        ]
    }


def _deadline(snapshot: Snapshot) -> datetime | None:
    found = late(snapshot)
    return moment(found[0]["deadline"]) if found else None


HOUSE: Final = (
    HouseDescription(
        key="print_queue",
        translation_key="print_queue",
        state_class=SensorStateClass.MEASUREMENT,
        value_fn=lambda snapshot: len(_waiting(snapshot)),
        attributes_fn=lambda snapshot: {
            "items": [_words_of(snapshot, row) for row in _waiting(snapshot)]
        },
    ),
    HouseDescription(
        key="deadline_at_risk",
        translation_key="deadline_at_risk",
        device_class=SensorDeviceClass.TIMESTAMP,
        value_fn=_deadline,
        attributes_fn=lambda snapshot: {
            "items": [_words_of(snapshot, row) for row in late(snapshot)]
        },
    ),
    HouseDescription(
        key="reviews_waiting",
        translation_key="reviews_waiting",
        state_class=SensorStateClass.MEASUREMENT,
        value_fn=lambda snapshot: len(snapshot.reviews),
        attributes_fn=_reviews,
    ),
)

STOCK: Final = SensorEntityDescription(
    key="stock",
    translation_key="stock",
    device_class=SensorDeviceClass.WEIGHT,
    native_unit_of_measurement=UnitOfMass.GRAMS,
    state_class=SensorStateClass.MEASUREMENT,
    suggested_display_precision=0,
)


def printer_sensors(coordinator: KittyCoordinator, device: Json) -> list[SensorEntity]:
    """Return the sensors of the workshop for one printer."""
    return [
        *(
            WorkshopSensor(coordinator, device, description)
            for description in PRINTER
            if description.has_fn(coordinator.data, device["id"])
        ),
        CostSensor(coordinator, device, COST),
    ]


@callback
def async_add_house_sensors(
    hass: HomeAssistant,
    entry: KittyConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the sensors of the whole workshop; those of the stock come and go with its materials."""
    coordinator = entry.runtime_data.coordinator
    async_add_entities(HouseSensor(coordinator, description) for description in HOUSE)
    registry = er.async_get(hass)
    prefix = f"{entry.data[CONF_INSTANCE_ID]}-{STOCK.key}-"
    shown: set[str] = {
        found.unique_id.removeprefix(prefix)
        for found in er.async_entries_for_config_entry(registry, entry.entry_id)
        if found.domain == Platform.SENSOR and found.unique_id.startswith(prefix)
    }
    added: set[str] = set()

    @callback
    def follow() -> None:
        nonlocal shown, added
        if not coordinator.data.connected:
            return
        known = set(coordinator.data.stock)
        new, gone = sorted(known - added), shown - known
        shown, added = known, known
        for material in gone:
            unique_id = prefix + material
            entity_id = registry.async_get_entity_id(Platform.SENSOR, DOMAIN, unique_id)
            if entity_id is not None:
                registry.async_remove(entity_id)
        if new:
            async_add_entities(StockSensor(coordinator, material) for material in new)

    follow()
    entry.async_on_unload(coordinator.async_add_listener(follow))


class WorkshopSensor(RecordEntity, SensorEntity):
    """One figure of a printer that holds while the printer is off, too."""

    entity_description: WorkshopDescription

    _unrecorded_attributes = frozenset(
        {"items", "starts", "because", "text", "slots", "at", "what"}
    )

    @override
    async def async_added_to_hass(self) -> None:
        """Follow the answers of the brain."""
        await super().async_added_to_hass()
        self.async_on_remove(self._data.bench.async_listen(self.async_write_ha_state))

    @property
    @override
    def native_value(self) -> StateType | datetime:
        """Return the figure; only asked while the brain has the device."""
        return self.entity_description.value_fn(self._data.bench, self._device_id)

    @property
    @override
    def extra_state_attributes(self) -> dict[str, Any] | None:
        """Return what it is made of."""
        attributes_fn = self.entity_description.attributes_fn
        return attributes_fn(self._data.bench, self._device_id) if attributes_fn else None


class CostSensor(RecordEntity, RestoreSensor):
    """What the last print of a printer cost; the brain tells it once, so it is kept here."""

    _unrecorded_attributes = frozenset({"parts"})

    @override
    async def async_added_to_hass(self) -> None:
        """Take up what was known, and follow the brain."""
        await super().async_added_to_hass()
        if (known := await self.async_get_last_sensor_data()) is not None:
            value = known.native_value
            self._attr_native_value = value if isinstance(value, int | float) else None
            self._attr_native_unit_of_measurement = known.native_unit_of_measurement
        if (state := await self.async_get_last_state()) is not None:
            self._attr_extra_state_attributes = _kept(state.attributes)
        self.async_on_remove(self._data.bench.async_listen(self._follow))
        self._take()

    @callback
    def _follow(self) -> None:
        self._take()
        self.async_write_ha_state()

    @callback
    def _take(self) -> None:
        """Take over the costs of a later print."""
        if (found := self._data.bench.costs.get(self._device_id)) is not None:
            self._attr_native_value = found["total"]
            self._attr_native_unit_of_measurement = found["currency"]
            self._attr_extra_state_attributes = _kept(found)


def _kept(costs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is shown beside the sum."""
    return {
        name: costs[name] for name in ("job_id", "parts", "estimated", "unknown") if name in costs
    }


class HouseSensor(KittyBrainEntity, SensorEntity):
    """One figure of the whole workshop."""

    entity_description: HouseDescription

    _unrecorded_attributes = frozenset({"items", "prints"})

    @property
    @override
    def native_value(self) -> StateType | datetime:
        """Return the figure."""
        return self.entity_description.value_fn(self.coordinator.data)

    @property
    @override
    def extra_state_attributes(self) -> dict[str, Any]:
        """Return what the figure counts."""
        return self.entity_description.attributes_fn(self.coordinator.data)


class StockSensor(KittyBrainEntity, SensorEntity):
    """How much there is of one material."""

    def __init__(self, coordinator: KittyCoordinator, material: str) -> None:
        """Name the sensor after its material."""
        super().__init__(coordinator, STOCK)
        self._material = material
        self._attr_unique_id = f"{self._attr_unique_id}-{material}"
        self._attr_translation_placeholders = {"material": material}

    @property
    def _row(self) -> Json:
        return self.coordinator.data.stock[self._material]

    @property
    @override
    def available(self) -> bool:
        """Tell whether the brain knows the material."""
        return super().available and self._material in self.coordinator.data.stock

    @property
    @override
    def native_value(self) -> float:
        """Return the grams of all its spools."""
        return float(self._row["total_g"])

    @property
    @override
    def extra_state_attributes(self) -> dict[str, Any]:
        """Return how much of it is promised, and from when on it is too little."""
        return {
            "material": self._material,
            "spools": self._row["spools"],
            "reserved": self._row["reserved_g"],
            "free": self._row["free_g"],
            "limit": self._row["low_g"],
            "low": self._row["low"],
        }
