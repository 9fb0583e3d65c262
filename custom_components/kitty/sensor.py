"""Sensors: what printers do, what is measured, and how the gate stands."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, override

from homeassistant.components.sensor import (
    SensorDeviceClass,
    SensorEntity,
    SensorEntityDescription,
    SensorStateClass,
)
from homeassistant.const import (
    PERCENTAGE,
    EntityCategory,
    UnitOfLength,
    UnitOfTemperature,
    UnitOfTime,
)
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.typing import StateType
from homeassistant.util import dt as dt_util

from . import KittyConfigEntry
from .coordinator import AUDIT_HEAD, MIND_UPDATED, KittyCoordinator, Snapshot
from .entity import (
    KittyBrainEntity,
    KittyEntity,
    KittyProviderEntity,
    async_add_device_entities,
    async_add_provider_entities,
    async_follow_devices,
    async_load_names,
    person_name,
)
from .goal_sensor import async_add_goal_sensors
from .job_sensor import async_add_job_sensors
from .protocol import CommandStatus, EventStatus, Json, Kind, PrinterStatus
from .provider_flow import TIERS
from .workshop_sensor import async_add_house_sensors, printer_sensors

PARALLEL_UPDATES = 0

MAX_STATE: Final = 255
_ABOUT_ANSWER: Final = ("confidence", "cost", "latency_ms", "model", "reason", "cached")
_DECIDED: Final = (EventStatus.APPROVED, EventStatus.DENIED)


@dataclass(frozen=True, kw_only=True)
class PrinterSensorDescription(SensorEntityDescription):
    """A sensor that reads one thing out of a printer's state."""

    value_fn: Callable[[Json], StateType]


@dataclass(frozen=True, kw_only=True)
class ProviderSensorDescription(SensorEntityDescription):
    """A sensor that reads one thing out of a provider."""

    value_fn: Callable[[Json], StateType]
    attributes_fn: Callable[[Json], dict[str, Any]] | None = None
    has_fn: Callable[[Json], bool] = lambda _view: True


@dataclass(frozen=True, kw_only=True)
class SpentDescription(SensorEntityDescription):
    """A sensor of what was spent in one period of the budget."""

    period: str


@dataclass(frozen=True, kw_only=True)
class BrainSensorDescription(SensorEntityDescription):
    """A sensor that reads one thing out of the whole snapshot."""

    value_fn: Callable[[Snapshot], StateType | datetime]
    attributes_fn: Callable[[HomeAssistant, Snapshot], dict[str, Any]] | None = None


def _job(state: Json, key: str) -> Any:
    """Return one field of the running job."""
    return (state.get("job") or {}).get(key)


def _heater(state: Json, part: str, key: str) -> float | None:
    """Return the actual or target temperature of a heater."""
    value: float | None = (state.get(part) or {}).get(key)
    return value


def _file(state: Json) -> str | None:
    """Return the name of the file, short enough for a state."""
    file: str | None = _job(state, "file")
    return file[:MAX_STATE] if file else None


def _temperature(part: str, key: str) -> PrinterSensorDescription:
    """Describe one temperature; targets are noise to most people."""
    target = key == "target"
    name = f"{part}_{key}" if target else f"{part}_temperature"
    return PrinterSensorDescription(
        key=name,
        translation_key=name,
        device_class=SensorDeviceClass.TEMPERATURE,
        native_unit_of_measurement=UnitOfTemperature.CELSIUS,
        state_class=SensorStateClass.MEASUREMENT,
        suggested_display_precision=0 if target else 1,
        entity_category=EntityCategory.DIAGNOSTIC if target else None,
        entity_registry_enabled_default=not target,
        value_fn=lambda state: _heater(state, part, key),
    )


PRINTER: Final = (
    PrinterSensorDescription(
        key="status",
        translation_key="printer_status",
        device_class=SensorDeviceClass.ENUM,
        options=[str(status) for status in PrinterStatus],
        value_fn=lambda state: state.get("status"),
    ),
    PrinterSensorDescription(
        key="progress",
        translation_key="progress",
        native_unit_of_measurement=PERCENTAGE,
        state_class=SensorStateClass.MEASUREMENT,
        suggested_display_precision=0,
        value_fn=lambda state: _job(state, "progress"),
    ),
    PrinterSensorDescription(key="file", translation_key="file", value_fn=_file),
    PrinterSensorDescription(
        key="remaining",
        translation_key="remaining",
        device_class=SensorDeviceClass.DURATION,
        native_unit_of_measurement=UnitOfTime.SECONDS,
        suggested_unit_of_measurement=UnitOfTime.MINUTES,
        suggested_display_precision=0,
        value_fn=lambda state: _job(state, "remaining_s"),
    ),
    PrinterSensorDescription(
        key="layer",
        translation_key="layer",
        state_class=SensorStateClass.MEASUREMENT,
        value_fn=lambda state: _job(state, "layer"),
    ),
    PrinterSensorDescription(
        key="layers", translation_key="layers", value_fn=lambda state: _job(state, "layers")
    ),
    PrinterSensorDescription(
        key="filament_used",
        translation_key="filament_used",
        device_class=SensorDeviceClass.DISTANCE,
        native_unit_of_measurement=UnitOfLength.MILLIMETERS,
        suggested_unit_of_measurement=UnitOfLength.METERS,
        suggested_display_precision=2,
        state_class=SensorStateClass.TOTAL_INCREASING,
        value_fn=lambda state: _job(state, "filament_mm"),
    ),
    _temperature("nozzle", "actual"),
    _temperature("bed", "actual"),
    _temperature("nozzle", "target"),
    _temperature("bed", "target"),
)

VALUE: Final = SensorEntityDescription(key="value", translation_key="value", name=None)


def _pending(snapshot: Snapshot) -> list[Json]:
    """Return the requests that wait for people, oldest first."""
    waiting = [item for item in snapshot.events.values() if item["status"] == EventStatus.PENDING]
    return sorted(waiting, key=lambda item: item["created_at"])


def _pending_attributes(hass: HomeAssistant, snapshot: Snapshot) -> dict[str, Any]:
    """Return what people need to see of each request, and nothing that could approve one."""
    return {
        "requests": [
            {
                "device": item["device_name"],
                "intent": item["intent"],
                "requested_by": person_name(hass, item["initiated_by"]),
                "expires_at": dt_util.utc_from_timestamp(item["expires_at"]).isoformat(),
            }
            for item in _pending(snapshot)
        ]
    }


def _unknown(snapshot: Snapshot) -> list[Json]:
    """Return the commands of which nobody knows whether they were carried out."""
    return [item for item in snapshot.commands.values() if item["status"] == CommandStatus.UNKNOWN]


def _unknown_attributes(_hass: HomeAssistant, snapshot: Snapshot) -> dict[str, Any]:
    """Return which commands those are."""
    return {
        "commands": [
            {
                "device": snapshot.devices.get(item["device_id"], {}).get("name"),
                "intent": item["intent"],
                "command_id": item["id"],
            }
            for item in _unknown(snapshot)
        ]
    }


def _last_decision(snapshot: Snapshot) -> datetime | None:
    """Return when people last approved or denied something."""
    times = [
        item["resolved_at"]
        for item in snapshot.events.values()
        if item["status"] in _DECIDED and item["resolved_at"] is not None
    ]
    return dt_util.utc_from_timestamp(max(times)) if times else None


BRAIN: Final = (
    BrainSensorDescription(
        key="pending_approvals",
        translation_key="pending_approvals",
        state_class=SensorStateClass.MEASUREMENT,
        value_fn=lambda snapshot: len(_pending(snapshot)),
        attributes_fn=_pending_attributes,
    ),
    BrainSensorDescription(
        key="unknown_outcomes",
        translation_key="unknown_outcomes",
        state_class=SensorStateClass.MEASUREMENT,
        entity_category=EntityCategory.DIAGNOSTIC,
        value_fn=lambda snapshot: len(_unknown(snapshot)),
        attributes_fn=_unknown_attributes,
    ),
    BrainSensorDescription(
        key="last_decision",
        translation_key="last_decision",
        device_class=SensorDeviceClass.TIMESTAMP,
        value_fn=_last_decision,
    ),
)
# Home Assistant's recorder keeps this anchor: a brain whose audit was rolled back cannot hide it.
ANCHOR: Final = BrainSensorDescription(
    key="audit_head",
    translation_key="audit_head",
    entity_category=EntityCategory.DIAGNOSTIC,
    value_fn=lambda snapshot: snapshot.audit.get("seq"),
    attributes_fn=lambda _hass, snapshot: {"hash": snapshot.audit.get("hash")},
)


def _last(snapshot: Snapshot, name: str) -> Any:
    """Return one thing about the last answer."""
    return (snapshot.mind.get("last") or {}).get(name)


def _last_attributes(_hass: HomeAssistant, snapshot: Snapshot) -> dict[str, Any]:
    """Return how the last answer came about; not what was said."""
    return {name: _last(snapshot, name) for name in _ABOUT_ANSWER}


def _hit_ratio(snapshot: Snapshot) -> float | None:
    """Return how many of a hundred questions the cache has answered."""
    ratio: float | None = (snapshot.mind.get("cache") or {}).get("ratio")
    return None if ratio is None else ratio * 100


MIND: Final = (
    BrainSensorDescription(
        key="budget_step",
        translation_key="budget_step",
        device_class=SensorDeviceClass.ENUM,
        options=["normal", "soft", "local_only"],
        entity_category=EntityCategory.DIAGNOSTIC,
        value_fn=lambda snapshot: snapshot.budget.get("step"),
    ),
    BrainSensorDescription(
        key="last_answer",
        translation_key="last_answer",
        device_class=SensorDeviceClass.ENUM,
        options=list(TIERS),
        entity_category=EntityCategory.DIAGNOSTIC,
        value_fn=lambda snapshot: _last(snapshot, "tier"),
        attributes_fn=_last_attributes,
    ),
    BrainSensorDescription(
        key="cache_hits",
        translation_key="cache_hits",
        native_unit_of_measurement=PERCENTAGE,
        state_class=SensorStateClass.MEASUREMENT,
        suggested_display_precision=0,
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        value_fn=_hit_ratio,
    ),
    BrainSensorDescription(
        key="memories",
        translation_key="memories",
        state_class=SensorStateClass.MEASUREMENT,
        entity_category=EntityCategory.DIAGNOSTIC,
        value_fn=lambda snapshot: snapshot.mind.get("memories"),
    ),
    BrainSensorDescription(
        key="model_queue",
        translation_key="model_queue",
        state_class=SensorStateClass.MEASUREMENT,
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        value_fn=lambda snapshot: snapshot.mind.get("queue"),
    ),
)

SPENT: Final = (
    SpentDescription(
        key="spent_today",
        translation_key="spent_today",
        device_class=SensorDeviceClass.MONETARY,
        state_class=SensorStateClass.TOTAL,
        suggested_display_precision=2,
        period="day",
    ),
    SpentDescription(
        key="spent_this_month",
        translation_key="spent_this_month",
        device_class=SensorDeviceClass.MONETARY,
        state_class=SensorStateClass.TOTAL,
        suggested_display_precision=2,
        period="month",
    ),
)

PROVIDER: Final = (
    ProviderSensorDescription(
        key="breaker",
        translation_key="breaker",
        device_class=SensorDeviceClass.ENUM,
        options=["closed", "open", "half_open"],
        entity_category=EntityCategory.DIAGNOSTIC,
        value_fn=lambda view: view["breaker"]["state"],
        attributes_fn=lambda view: {"last_error": view["breaker"].get("last_error")},
    ),
    ProviderSensorDescription(
        key="tokens_per_second",
        translation_key="tokens_per_second",
        native_unit_of_measurement="tokens/s",
        state_class=SensorStateClass.MEASUREMENT,
        suggested_display_precision=1,
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        value_fn=lambda view: view["tokens_per_second"],
        has_fn=lambda view: bool(view["uses"]) and "tokens_per_second" in view,
    ),
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: KittyConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the sensors of the brain, of printers and of sensor devices."""
    await async_load_names(hass)
    async_follow_devices(hass, entry)
    coordinator = entry.runtime_data.coordinator
    async_add_entities(BrainSensor(coordinator, description) for description in BRAIN)
    async_add_entities(QuietSensor(coordinator, one, MIND_UPDATED) for one in MIND)
    async_add_entities([QuietSensor(coordinator, ANCHOR, AUDIT_HEAD)])
    async_add_entities(SpentSensor(coordinator, description) for description in SPENT)
    async_add_house_sensors(hass, entry, async_add_entities)
    async_add_job_sensors(entry, async_add_entities)
    async_add_goal_sensors(entry, async_add_entities)

    def build(coordinator: KittyCoordinator, device: Json) -> list[SensorEntity]:
        if device["kind"] == Kind.PRINTER:
            return [
                *(PrinterSensor(coordinator, device, description) for description in PRINTER),
                *printer_sensors(coordinator, device),
            ]
        if device["kind"] == Kind.SENSOR:
            return [ValueSensor(coordinator, device, VALUE)]
        return []

    def build_provider(coordinator: KittyCoordinator, view: Json) -> list[ProviderSensor]:
        return [
            ProviderSensor(coordinator, view, description)
            for description in PROVIDER
            if description.has_fn(view)
        ]

    async_add_device_entities(entry, async_add_entities, build)
    async_add_provider_entities(entry, async_add_entities, build_provider)


class BrainSensor(KittyBrainEntity, SensorEntity):
    """One figure of the whole house."""

    entity_description: BrainSensorDescription

    _shows_doings = True
    _unrecorded_attributes = frozenset({"requests", "commands", "latency_ms"})

    @property
    @override
    def native_value(self) -> StateType | datetime:
        """Return the figure."""
        return self.entity_description.value_fn(self.coordinator.data)

    @property
    @override
    def extra_state_attributes(self) -> dict[str, Any] | None:
        """Return what the figure counts."""
        attributes_fn = self.entity_description.attributes_fn
        return attributes_fn(self.hass, self.coordinator.data) if attributes_fn else None


class QuietSensor(BrainSensor):
    """A figure that moves too often to wake all others: the head of the audit trail, the last answer."""

    _shows_doings = False

    def __init__(
        self, coordinator: KittyCoordinator, description: BrainSensorDescription, topic: str
    ) -> None:
        """Take the topic that tells of it."""
        super().__init__(coordinator, description)
        self._topic = topic

    @override
    async def async_added_to_hass(self) -> None:
        """Follow it."""
        await super().async_added_to_hass()
        follow = self.coordinator.async_listen(
            self._topic, lambda _data: self._handle_coordinator_update()
        )
        self.async_on_remove(follow)


class SpentSensor(KittyBrainEntity, SensorEntity):
    """What was spent in a period; the brain tells when another begins."""

    entity_description: SpentDescription

    @property
    @override
    def native_unit_of_measurement(self) -> str | None:
        """Return the currency of the budget."""
        currency: str | None = self.coordinator.data.budget.get("currency")
        return currency

    @property
    @override
    def last_reset(self) -> datetime | None:
        """Return when the period began, in the time zone of the brain."""
        since = self._amount.get("since")
        return None if since is None else dt_util.utc_from_timestamp(since)

    @property
    @override
    def native_value(self) -> float | None:
        """Return what was spent."""
        spent: float | None = self._amount.get("spent")
        return spent

    @property
    @override
    def extra_state_attributes(self) -> dict[str, Any]:
        """Return how much may be spent."""
        return {"cap": self._amount.get("cap")}

    @property
    def _amount(self) -> dict[str, Any]:
        return self.coordinator.data.budget.get(self.entity_description.period) or {}


class ProviderSensor(KittyProviderEntity, SensorEntity):
    """One figure of a language model or tool server."""

    entity_description: ProviderSensorDescription

    @property
    @override
    def native_value(self) -> StateType:
        """Return the figure."""
        return self.entity_description.value_fn(self._view)

    @property
    @override
    def extra_state_attributes(self) -> dict[str, Any] | None:
        """Return what it is about."""
        attributes_fn = self.entity_description.attributes_fn
        return attributes_fn(self._view) if attributes_fn else None


class PrinterSensor(KittyEntity, SensorEntity):
    """One figure of a printer."""

    entity_description: PrinterSensorDescription

    @property
    @override
    def native_value(self) -> StateType:
        """Return the figure as the printer last showed it."""
        return self.entity_description.value_fn(self._state)


class ValueSensor(KittyEntity, SensorEntity):
    """What a sensor device measures, in its own unit."""

    @property
    @override
    def native_value(self) -> StateType:
        """Return the value as it was last seen."""
        value: StateType = self._state.get("value")
        return value[:MAX_STATE] if isinstance(value, str) else value

    @property
    @override
    def native_unit_of_measurement(self) -> str | None:
        """Return the unit that the device reports."""
        unit: str | None = self._state.get("unit")
        return unit

    @property
    @override
    def state_class(self) -> SensorStateClass | None:
        """Return that the value is a measurement when it is a number."""
        value = self._state.get("value")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return SensorStateClass.MEASUREMENT if number else None
