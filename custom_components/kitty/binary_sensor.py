"""Binary sensors: what is connected, what is broken, what waits for people, what the workshop lacks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, override

from homeassistant.components.binary_sensor import (
    BinarySensorDeviceClass,
    BinarySensorEntity,
    BinarySensorEntityDescription,
)
from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from . import KittyConfigEntry
from .coordinator import KittyCoordinator, Snapshot
from .entity import (
    KittyBrainEntity,
    KittyProviderEntity,
    RecordEntity,
    async_add_device_entities,
    async_add_provider_entities,
    needs_people,
)
from .protocol import Json, Kind, OnlineState
from .providers import trouble_of
from .workshop import blind, device_name, is_clear, watchers

PARALLEL_UPDATES = 0

# The part of the brain's health that is its connection to us.
OURSELVES: Final = "home_assistant"


@dataclass(frozen=True, kw_only=True)
class BrainBinaryDescription(BinarySensorEntityDescription):
    """A yes or no about the brain."""

    value_fn: Callable[[Snapshot], bool | None]
    attributes_fn: Callable[[Snapshot], dict[str, Any]] | None = None
    while_away: bool = False


@dataclass(frozen=True, kw_only=True)
class DeviceBinaryDescription(BinarySensorEntityDescription):
    """A yes or no about a device."""

    value_fn: Callable[[Json, list[Json]], bool | None]
    attributes_fn: Callable[[Json], dict[str, Any]] | None = None
    has_fn: Callable[[Json], bool] = lambda _device: True


@dataclass(frozen=True, kw_only=True)
class ProviderBinaryDescription(BinarySensorEntityDescription):
    """A yes or no about a language model or tool server."""

    value_fn: Callable[[Json], bool | None]
    attributes_fn: Callable[[Json], dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class WorkshopBinaryDescription(BinarySensorEntityDescription):
    """A yes or no about the work of a printer, read out of the whole snapshot."""

    value_fn: Callable[[Snapshot, str], bool]
    attributes_fn: Callable[[Snapshot, str], dict[str, Any]] | None = None
    has_fn: Callable[[Snapshot, str], bool] = lambda _snapshot, _device_id: True


def _degraded(snapshot: Snapshot) -> bool | None:
    """Tell whether a part of the brain does not do its work."""
    return bool(_ill(snapshot)) if snapshot.health else None


def _broken_parts(snapshot: Snapshot) -> dict[str, Any]:
    """Return the parts that do not do their work, each with its reason."""
    return {"parts": _ill(snapshot)}


def _ill(snapshot: Snapshot) -> dict[str, Any]:
    """Return what ails each part. That we are connected, we know better than the brain, which learns it last."""
    parts: Json = snapshot.health.get("parts", {})
    return {
        name: part.get("detail")
        for name, part in parts.items()
        if not part.get("ok") and name != OURSELVES
    }


def _short(snapshot: Snapshot) -> list[str]:
    """Return the materials of which there is too little."""
    return sorted(name for name, row in snapshot.stock.items() if row["low"])


def _takes_no_orders(device: Json, _pending: list[Json]) -> bool | None:
    """Tell whether a printer only lets itself be watched; None while it is away."""
    if device["online"] == OnlineState.OFFLINE:
        return None
    return bool((device["state"] or {}).get("read_only"))


def _cameras(snapshot: Snapshot, device_id: str) -> dict[str, Any]:
    """Return what each camera of a printer is worth; the first that is not well names the whole."""
    bad = blind(snapshot, device_id)
    return {
        "health": bad[0]["health"] if bad else "ok",
        "reason": bad[0]["reason"] if bad else None,
        "cameras": {
            str(device_name(snapshot, row["device_id"])): row["health"]
            for row in watchers(snapshot, device_id)
        },
    }


BRAIN: Final = (
    BrainBinaryDescription(
        key="connected",
        translation_key="connected",
        device_class=BinarySensorDeviceClass.CONNECTIVITY,
        entity_category=EntityCategory.DIAGNOSTIC,
        value_fn=lambda snapshot: snapshot.connected,
        while_away=True,
    ),
    BrainBinaryDescription(
        key="problem",
        translation_key="health",
        device_class=BinarySensorDeviceClass.PROBLEM,
        entity_category=EntityCategory.DIAGNOSTIC,
        value_fn=_degraded,
        attributes_fn=_broken_parts,
    ),
    BrainBinaryDescription(
        key="stock_low",
        translation_key="stock_low",
        device_class=BinarySensorDeviceClass.PROBLEM,
        value_fn=lambda snapshot: bool(_short(snapshot)),
        attributes_fn=lambda snapshot: {"materials": _short(snapshot)},
    ),
)

DEVICE: Final = (
    DeviceBinaryDescription(
        key="online",
        translation_key="online",
        device_class=BinarySensorDeviceClass.CONNECTIVITY,
        entity_category=EntityCategory.DIAGNOSTIC,
        value_fn=lambda device, _pending: device["online"] != OnlineState.OFFLINE,
    ),
    DeviceBinaryDescription(
        key="problem",
        translation_key="problem",
        device_class=BinarySensorDeviceClass.PROBLEM,
        entity_category=EntityCategory.DIAGNOSTIC,
        value_fn=lambda device, _pending: device["online"] == OnlineState.FAULT,
        attributes_fn=lambda device: {"reason": device["reason"]},
    ),
    DeviceBinaryDescription(
        key="pending_approval",
        translation_key="pending_approval",
        value_fn=lambda _device, pending: bool(pending),
        has_fn=needs_people,
    ),
    DeviceBinaryDescription(
        key="read_only",
        translation_key="read_only",
        entity_category=EntityCategory.DIAGNOSTIC,
        value_fn=_takes_no_orders,
        attributes_fn=lambda device: {"reason": device["reason"]},
        has_fn=lambda device: device["kind"] == Kind.PRINTER,
    ),
)

WORKSHOP: Final = (
    WorkshopBinaryDescription(key="bed_clear", translation_key="bed_clear", value_fn=is_clear),
    WorkshopBinaryDescription(
        key="vision_problem",
        translation_key="vision_problem",
        device_class=BinarySensorDeviceClass.PROBLEM,
        entity_category=EntityCategory.DIAGNOSTIC,
        value_fn=lambda snapshot, device_id: bool(blind(snapshot, device_id)),
        attributes_fn=_cameras,
        has_fn=lambda snapshot, device_id: bool(watchers(snapshot, device_id)),
    ),
)


def _illness(view: Json) -> dict[str, Any]:
    """Return what a provider last said about itself."""
    trouble = view["trouble"] or {}
    return {"reason": trouble.get("message") or view["breaker"].get("last_error")}


PROVIDER: Final = (
    ProviderBinaryDescription(
        key="problem",
        translation_key="problem",
        device_class=BinarySensorDeviceClass.PROBLEM,
        entity_category=EntityCategory.DIAGNOSTIC,
        value_fn=lambda view: trouble_of(view) is not None,
        attributes_fn=_illness,
    ),
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: KittyConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the binary sensors of the brain and of each device."""
    coordinator = entry.runtime_data.coordinator
    async_add_entities(BrainBinarySensor(coordinator, description) for description in BRAIN)

    def build(coordinator: KittyCoordinator, device: Json) -> list[BinarySensorEntity]:
        found: list[BinarySensorEntity] = [
            DeviceBinarySensor(coordinator, device, description)
            for description in DEVICE
            if description.has_fn(device)
        ]
        if device["kind"] == Kind.PRINTER:
            found += [
                WorkshopBinarySensor(coordinator, device, description)
                for description in WORKSHOP
                if description.has_fn(coordinator.data, device["id"])
            ]
        return found

    def build_provider(coordinator: KittyCoordinator, view: Json) -> list[ProviderBinarySensor]:
        return [ProviderBinarySensor(coordinator, view, description) for description in PROVIDER]

    async_add_device_entities(entry, async_add_entities, build)
    async_add_provider_entities(entry, async_add_entities, build_provider)


class BrainBinarySensor(KittyBrainEntity, BinarySensorEntity):
    """A yes or no about the brain."""

    entity_description: BrainBinaryDescription

    @property
    @override
    def available(self) -> bool:
        """Tell whether the answer is known; that the brain is away is an answer too."""
        return self.entity_description.while_away or super().available

    @property
    @override
    def is_on(self) -> bool | None:
        """Return the answer."""
        return self.entity_description.value_fn(self.coordinator.data)

    @property
    @override
    def extra_state_attributes(self) -> dict[str, Any] | None:
        """Return the reasons."""
        attributes_fn = self.entity_description.attributes_fn
        return attributes_fn(self.coordinator.data) if attributes_fn else None


class DeviceBinarySensor(RecordEntity, BinarySensorEntity):
    """A yes or no about a device, answered also while the device itself is silent."""

    entity_description: DeviceBinaryDescription

    @property
    @override
    def is_on(self) -> bool | None:
        """Return the answer; only asked while the brain has the device."""
        return self.entity_description.value_fn(self._device, self._pending)

    @property
    @override
    def extra_state_attributes(self) -> dict[str, Any] | None:
        """Return the reasons."""
        attributes_fn = self.entity_description.attributes_fn
        return attributes_fn(self._device) if attributes_fn else None


class WorkshopBinarySensor(RecordEntity, BinarySensorEntity):
    """A yes or no about the work of a printer."""

    entity_description: WorkshopBinaryDescription

    @property
    @override
    def is_on(self) -> bool | None:
        """Return the answer; only asked while the brain has the device."""
        return self.entity_description.value_fn(self.coordinator.data, self._device_id)

    @property
    @override
    def extra_state_attributes(self) -> dict[str, Any] | None:
        """Return the reasons."""
        attributes_fn = self.entity_description.attributes_fn
        return attributes_fn(self.coordinator.data, self._device_id) if attributes_fn else None


class ProviderBinarySensor(KittyProviderEntity, BinarySensorEntity):
    """A yes or no about a language model or tool server."""

    entity_description: ProviderBinaryDescription

    @property
    @override
    def is_on(self) -> bool | None:
        """Return the answer."""
        return self.entity_description.value_fn(self._view)

    @property
    @override
    def extra_state_attributes(self) -> dict[str, Any]:
        """Return the reasons."""
        return self.entity_description.attributes_fn(self._view)
