"""What every KITTY entity shares: its device, its part of the snapshot, how it asks."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Final, override

from homeassistant.auth import EVENT_USER_ADDED, EVENT_USER_UPDATED
from homeassistant.const import CONF_DEVICE_ID
from homeassistant.core import Context, Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.helpers import area_registry as ar, device_registry as dr
from homeassistant.helpers.device_registry import DeviceEntryType, DeviceInfo
from homeassistant.helpers.entity import Entity, EntityDescription
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.event import async_track_state_change_event
from homeassistant.helpers.update_coordinator import CoordinatorEntity
from homeassistant.util.hass_dict import HassKey

from .bindings import Seen, watched
from .const import CONF_INSTANCE_ID, DOMAIN
from .coordinator import NO_DEVICE, KittyCoordinator
from .errors import KittyError
from .protocol import INTENTS, CommandStatus, EventStatus, Hazard, Json, OnlineState
from .providers import provider_subentries
from .workshop import watchers

if TYPE_CHECKING:
    from . import KittyConfigEntry, KittyData

IN_FLIGHT: Final = frozenset({CommandStatus.PENDING, CommandStatus.CLAIMED, CommandStatus.SENT})
_BAD: Final = frozenset({CommandStatus.DENIED, CommandStatus.FAILED, CommandStatus.UNKNOWN})

_USER_NAMES: Final[HassKey[dict[str, str]]] = HassKey("kitty_user_names")

type Build = Callable[[KittyCoordinator, Json], Iterable[Entity]]


def _brain_identifier(entry: KittyConfigEntry) -> tuple[str, str]:
    """Return by what the registry knows the brain itself."""
    return (DOMAIN, entry.data[CONF_INSTANCE_ID])


@callback
def async_brain_device_id(hass: HomeAssistant, entry: KittyConfigEntry) -> str:
    """Return the registry id of the brain's device, the hub that every device hangs on."""
    hello = entry.runtime_data.client.hello
    brain = dr.async_get(hass).async_get_or_create(
        config_entry_id=entry.entry_id,
        identifiers={_brain_identifier(entry)},
        entry_type=DeviceEntryType.SERVICE,
        manufacturer="KITTY",
        model="Brain",
        name=entry.title,
        sw_version=hello.version if hello else None,
    )
    return brain.id


def subentry_of(entry: KittyConfigEntry, device_id: str) -> str | None:
    """Return the subentry with which a person added the device."""
    for subentry in entry.subentries.values():
        if subentry.data.get(CONF_DEVICE_ID) == device_id:
            return subentry.subentry_id
    return None


def needs_people(device: Json) -> bool:
    """Tell whether the device can do anything that people may have to approve."""
    return any(
        INTENTS[intent].hazard is not Hazard.LOW and not INTENTS[intent].safe
        for intent in device["capabilities"]
        if intent in INTENTS
    )


async def async_load_names(hass: HomeAssistant) -> None:
    """Learn the names of the users, once for all entries, and follow their changes."""
    if _USER_NAMES in hass.data:
        return
    names = hass.data[_USER_NAMES] = {}

    async def load(_event: Event | None = None) -> None:
        users = await hass.auth.async_get_users()
        names.update({user.id: user.name for user in users if user.name})

    await load()
    for change in (EVENT_USER_ADDED, EVENT_USER_UPDATED):
        hass.bus.async_listen(change, load)


def person_name(hass: HomeAssistant, user_id: str | None) -> str | None:
    """Return what people call a user: the name of their person entity, else that of the user."""
    if user_id is None:
        return None
    for state in hass.states.async_all("person"):
        if state.attributes.get("user_id") == user_id:
            return state.name
    return hass.data.get(_USER_NAMES, {}).get(user_id)


@callback
def async_add_device_entities(
    entry: KittyConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback, build: Build
) -> None:
    """Add what ``build`` makes of each device, now and when devices appear, gain abilities or are watched.

    A device that the brain loses keeps its entities, unavailable, until it is back or its subentry
    is removed.
    """
    coordinator = entry.runtime_data.coordinator
    shapes: dict[str, tuple[Any, ...]] = {}
    added: set[str | None] = set()

    @callback
    def add_new() -> None:
        for device_id, device in coordinator.data.devices.items():
            watched_by = sorted(row["device_id"] for row in watchers(coordinator.data, device_id))
            shape = (
                device["kind"],
                sorted(device["capabilities"]),
                device["has_camera"],
                watched_by,
            )
            subentry_id = subentry_of(entry, device_id)
            # While a device is being added the brain has it before its subentry exists; entities
            # added now would have to move to the subentry later, which Home Assistant forbids.
            if subentry_id is None or shapes.get(device_id) == shape:
                continue
            shapes[device_id] = shape
            new = [item for item in build(coordinator, device) if item.unique_id not in added]
            added.update(item.unique_id for item in new)
            if new:
                async_add_entities(new, config_subentry_id=subentry_id)

    add_new()
    entry.async_on_unload(coordinator.async_add_listener(add_new, NO_DEVICE))


@callback
def async_add_provider_entities(
    entry: KittyConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback, build: Build
) -> None:
    """Add what ``build`` makes of each provider that was added here, now and when one appears."""
    coordinator = entry.runtime_data.coordinator
    added: set[str | None] = set()

    @callback
    def add_new() -> None:
        for provider_id, subentry_id in provider_subentries(entry).items():
            view = coordinator.data.providers.get(provider_id)
            made = build(coordinator, view) if view is not None else ()
            new = [item for item in made if item.unique_id not in added]
            added.update(item.unique_id for item in new)
            if new:
                async_add_entities(new, config_subentry_id=subentry_id)

    add_new()
    entry.async_on_unload(coordinator.async_add_listener(add_new, NO_DEVICE))


@callback
def async_follow_devices(hass: HomeAssistant, entry: KittyConfigEntry) -> None:
    """Keep the names and versions of the registered devices as the brain tells them."""
    coordinator = entry.runtime_data.coordinator
    registry = dr.async_get(hass)

    @callback
    def follow() -> None:
        for device_id, device in coordinator.data.devices.items():
            identifier = (DOMAIN, device_id)
            registered = registry.async_get_device_by_identifier(identifier, entry.entry_id)
            if registered is not None:
                registry.async_update_device(
                    registered.id, name=device["name"], sw_version=device["sw_version"]
                )

    entry.async_on_unload(coordinator.async_add_listener(follow, NO_DEVICE))


class KittyBrainEntity(CoordinatorEntity[KittyCoordinator]):
    """An entity of the brain itself."""

    _attr_has_entity_name = True
    # Whether it shows what devices do, or what is asked of them.
    _shows_doings: ClassVar[bool] = False

    def __init__(self, coordinator: KittyCoordinator, description: EntityDescription) -> None:
        """Tie the entity to the brain's device."""
        super().__init__(coordinator, None if self._shows_doings else NO_DEVICE)
        entry = coordinator.config_entry
        self.entity_description = description
        self._attr_unique_id = f"{entry.data[CONF_INSTANCE_ID]}-{description.key}"
        async_brain_device_id(coordinator.hass, entry)
        self._attr_device_info = DeviceInfo(identifiers={_brain_identifier(entry)})

    @property
    @override
    def available(self) -> bool:
        """Tell whether the brain is connected."""
        return super().available and self.coordinator.data.connected


class KittyProviderEntity(CoordinatorEntity[KittyCoordinator]):
    """An entity of one language model or tool server."""

    _attr_has_entity_name = True

    def __init__(
        self, coordinator: KittyCoordinator, view: Json, description: EntityDescription
    ) -> None:
        """Tie the entity to its provider, which hangs on the brain's device."""
        super().__init__(coordinator, NO_DEVICE)
        self._provider_id: str = view["id"]
        self.entity_description = description
        self._attr_unique_id = f"{self._provider_id}-{description.key}"
        model = view["options"].get("model")
        self._attr_device_info = DeviceInfo(
            identifiers={(DOMAIN, self._provider_id)},
            entry_type=DeviceEntryType.SERVICE,
            manufacturer=view["provider"],
            model=str(model) if model else None,
            name=view["name"],
            via_device_id=async_brain_device_id(coordinator.hass, coordinator.config_entry),
        )

    @property
    def _view(self) -> Json:
        """Return the provider as the brain last described it; only asked while it is there."""
        return self.coordinator.data.providers[self._provider_id]

    @property
    @override
    def available(self) -> bool:
        """Tell whether the brain is connected and has the provider."""
        data = self.coordinator.data
        return super().available and data.connected and self._provider_id in data.providers


class KittyEntity(CoordinatorEntity[KittyCoordinator]):
    """An entity of one device of the brain."""

    _attr_has_entity_name = True

    def __init__(
        self, coordinator: KittyCoordinator, device: Json, description: EntityDescription
    ) -> None:
        """Tie the entity to its device, which hangs on the brain's device."""
        super().__init__(coordinator, device["id"])
        entry = coordinator.config_entry
        self._device_id: str = device["id"]
        self.entity_description = description
        self._attr_unique_id = f"{self._device_id}-{description.key}"
        areas = ar.async_get(coordinator.hass)
        area = areas.async_get_area(device["zone_id"]) if device["zone_id"] else None
        self._attr_device_info = DeviceInfo(
            identifiers={(DOMAIN, self._device_id)},
            manufacturer=device["manufacturer"],
            model=device["model"],
            name=device["name"],
            suggested_area=area.name if area else None,
            sw_version=device["sw_version"],
            via_device_id=async_brain_device_id(coordinator.hass, entry),
        )

    @property
    def _data(self) -> KittyData:
        """Return what the config entry holds."""
        data: KittyData = self.coordinator.config_entry.runtime_data
        return data

    @property
    def _device(self) -> Json:
        """Return the device as the brain last described it; empty when it is gone."""
        return self.coordinator.data.devices.get(self._device_id, {})

    @property
    def _state(self) -> Json:
        """Return the observed state of the device."""
        state: Json = self._device.get("state") or {}
        return state

    @property
    def _pending(self) -> list[Json]:
        """Return the requests of this device that wait for people."""
        return [
            event
            for event in self.coordinator.data.events.values()
            if event["device_id"] == self._device_id and event["status"] == EventStatus.PENDING
        ]

    @property
    @override
    def available(self) -> bool:
        """Tell whether the brain is connected and has the device in sight."""
        return (
            super().available
            and self.coordinator.data.connected
            and self._device.get("online", OnlineState.OFFLINE) != OnlineState.OFFLINE
        )

    def _commands(self, *statuses: CommandStatus) -> Iterator[Json]:
        """Yield this device's commands in these states."""
        for command in self.coordinator.data.commands.values():
            if command["device_id"] == self._device_id and command["status"] in statuses:
                yield command

    async def _async_request(self, intent: str, params: Json | None = None) -> None:
        """Ask for something; returns as soon as the brain has it, not when it is done.

        A safe direction of a device of Home Assistant's own is taken also while the brain is away.
        """
        context = self._context or Context()
        result = await self._data.approvals.request(
            self._device_id, intent, params, context=context
        )
        command = result["command"]
        if command["status"] in _BAD:
            raise KittyError(
                f"command_{command['status']}",
                device=self._device.get("name", self._device_id),
                detail=command["detail"] or command["status"],
            )


class RecordEntity(KittyEntity):
    """An entity that has something to say of a device also while the device is off."""

    @property
    @override
    def available(self) -> bool:
        """Tell whether the brain is connected and has the device."""
        return (
            self.coordinator.last_update_success
            and self.coordinator.data.connected
            and self._device_id in self.coordinator.data.devices
        )


class LocalEntity(KittyEntity):
    """An entity of a device whose safe direction Home Assistant can take without the brain."""

    @override
    async def async_added_to_hass(self) -> None:
        """Watch the entities behind the device, for the time when the brain does not."""
        await super().async_added_to_hass()
        if (bound := self._data.executor.devices().get(self._device_id)) is not None:
            self.async_on_remove(
                async_track_state_change_event(self.hass, watched(bound.options), self._on_behind)
            )

    @property
    @override
    def available(self) -> bool:
        """Tell whether a safe direction can be taken, by the brain or without it."""
        if (alone := self._alone) is None:
            return super().available
        return alone.online != OnlineState.OFFLINE

    @property
    def _alone(self) -> Seen | None:
        """Return what Home Assistant itself sees of its device, only while the brain is away."""
        if self.coordinator.data.connected:
            return None
        return self._data.executor.seen(self._device_id)

    @property
    def _seen_state(self) -> Json:
        """Return what was last observed, by the brain or without it."""
        alone = self._alone
        return self._state if alone is None else alone.state

    @callback
    def _on_behind(self, _event: Event[EventStateChangedData]) -> None:
        """Show what changed behind the device; otherwise the brain tells."""
        if not self.coordinator.data.connected:
            self.async_write_ha_state()
