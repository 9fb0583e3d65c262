"""Doors as locks: an unlock that waits for people shows `unlocking` and falls back to `locked`."""

from typing import Any, Final, override

from homeassistant.components.lock import LockEntity, LockEntityDescription, LockEntityFeature
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from . import KittyConfigEntry
from .coordinator import KittyCoordinator
from .entity import IN_FLIGHT, LocalEntity, async_add_device_entities, async_load_names, person_name
from .protocol import CommandStatus, Json, Kind

# Not one after another: a request that the brain is slow to answer must not hold up another lock.
PARALLEL_UPDATES = 0

DOOR: Final = LockEntityDescription(key="door", translation_key="door", name=None)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: KittyConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add a lock for each door."""
    await async_load_names(hass)

    def build(coordinator: KittyCoordinator, device: Json) -> list[KittyLock]:
        return [KittyLock(coordinator, device, DOOR)] if device["kind"] == Kind.DOOR else []

    async_add_device_entities(entry, async_add_entities, build)


class KittyLock(LocalEntity, LockEntity):
    """A door whose bolt is only what was observed, never what was asked for."""

    @property
    @override
    def supported_features(self) -> LockEntityFeature:
        """Return whether the door can be opened as well as unlocked."""
        can_open = "open" in self._device.get("capabilities", ())
        return LockEntityFeature.OPEN if can_open else LockEntityFeature(0)

    @property
    @override
    def is_locked(self) -> bool | None:
        """Return whether the bolt was seen thrown."""
        return self._observed("locked")

    @property
    @override
    def is_open(self) -> bool | None:
        """Return whether the door was seen open."""
        return self._observed("open")

    @property
    @override
    def is_jammed(self) -> bool | None:
        """Return whether the bolt is stuck."""
        return self._observed("jammed")

    @property
    @override
    def is_locking(self) -> bool:
        """Return whether the door is about to lock."""
        return self._awaits("lock")

    @property
    @override
    def is_unlocking(self) -> bool:
        """Return whether an unlock waits for people or for the bolt."""
        return self._awaits("unlock")

    @property
    @override
    def is_opening(self) -> bool:
        """Return whether opening waits for people or for the door."""
        return self._awaits("open")

    @property
    @override
    def changed_by(self) -> str | None:
        """Return who stood behind the last change: those who approved it, or who asked."""
        acked = list(self._commands(CommandStatus.ACKED))
        if not acked:
            return None
        last = max(acked, key=lambda command: command["ack_at"] or 0.0)
        event = self.coordinator.data.events.get(last["event_id"] or "", {})
        people = event.get("approved_by") or [last["requested_by"]]
        names = [name for user_id in people if (name := person_name(self.hass, user_id))]
        return ", ".join(names) or None

    @override
    async def async_lock(self, **kwargs: Any) -> None:
        """Lock the door, without the brain when it is away."""
        await self._async_request("lock")

    @override
    async def async_unlock(self, **kwargs: Any) -> None:
        """Ask for the door to be unlocked; people may have to approve it."""
        await self._async_request("unlock")

    @override
    async def async_open(self, **kwargs: Any) -> None:
        """Ask for the door to be opened; people may have to approve it."""
        await self._async_request("open")

    def _awaits(self, intent: str) -> bool:
        """Tell whether such a command is on its way; nothing is while the brain is away."""
        return self.coordinator.data.connected and any(
            command["intent"] == intent for command in self._commands(*IN_FLIGHT)
        )

    def _observed(self, key: str) -> bool | None:
        """Return what was last seen, by Home Assistant itself while the brain is away."""
        value: bool | None = self._seen_state.get(key)
        return value
