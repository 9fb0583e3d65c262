"""Power outlets as switches: on asks people, off waits until what they feed is cool. And parts of the brain."""

from typing import Any, Final, override

from homeassistant.components.switch import (
    SwitchDeviceClass,
    SwitchEntity,
    SwitchEntityDescription,
)
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from . import KittyConfigEntry
from .capability import async_add_capabilities
from .coordinator import KittyCoordinator
from .entity import LocalEntity, async_add_device_entities
from .protocol import CommandStatus, Json, Kind

# Not one after another: a request that the brain is slow to answer must not hold up an off.
PARALLEL_UPDATES = 0

POWER: Final = SwitchEntityDescription(
    key="power", translation_key="power", name=None, device_class=SwitchDeviceClass.OUTLET
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: KittyConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add a switch for each power outlet, and for each part of the brain."""

    def build(coordinator: KittyCoordinator, device: Json) -> list[KittySwitch]:
        return [KittySwitch(coordinator, device, POWER)] if device["kind"] == Kind.POWER else []

    async_add_device_entities(entry, async_add_entities, build)
    async_add_capabilities(entry, async_add_entities)


class KittySwitch(LocalEntity, SwitchEntity):
    """An outlet whose state is only what was observed."""

    @property
    @override
    def is_on(self) -> bool | None:
        """Return whether the outlet was seen on."""
        on: bool | None = self._seen_state.get("on")
        return on

    @property
    @override
    def extra_state_attributes(self) -> dict[str, Any]:
        """Return what the outlet is waiting for."""
        return {"waiting_for": self._waiting_for}

    @property
    def _waiting_for(self) -> str | None:
        """Return `power_off_when_cool` for a deferred off, `approval` for an on that people decide."""
        if any(self._commands(CommandStatus.DEFERRED)):
            return "power_off_when_cool"
        return "approval" if self._pending else None

    @override
    async def async_turn_on(self, **kwargs: Any) -> None:
        """Ask for power; people may have to approve it."""
        await self._async_request("power_on")

    @override
    async def async_turn_off(self, **kwargs: Any) -> None:
        """Switch off as soon as what the outlet feeds is cool."""
        await self._async_request("power_off")
