"""Work lights: no hazard, but still only what was observed."""

from typing import Any, Final, override

from homeassistant.components.light import ColorMode, LightEntity, LightEntityDescription
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from . import KittyConfigEntry
from .coordinator import KittyCoordinator
from .entity import KittyEntity, async_add_device_entities
from .protocol import Json, Kind

PARALLEL_UPDATES = 1

LIGHT: Final = LightEntityDescription(key="light", translation_key="light", name=None)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: KittyConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add a light for each light device."""

    def build(coordinator: KittyCoordinator, device: Json) -> list[KittyLight]:
        return [KittyLight(coordinator, device, LIGHT)] if device["kind"] == Kind.LIGHT else []

    async_add_device_entities(entry, async_add_entities, build)


class KittyLight(KittyEntity, LightEntity):
    """A light that is on or off."""

    _attr_color_mode = ColorMode.ONOFF
    _attr_supported_color_modes = {ColorMode.ONOFF}

    @property
    @override
    def is_on(self) -> bool | None:
        """Return whether the light was seen on."""
        on: bool | None = self._state.get("on")
        return on

    @override
    async def async_turn_on(self, **kwargs: Any) -> None:
        """Ask for the light to be switched on."""
        await self._async_request("light_on")

    @override
    async def async_turn_off(self, **kwargs: Any) -> None:
        """Ask for the light to be switched off."""
        await self._async_request("light_off")
