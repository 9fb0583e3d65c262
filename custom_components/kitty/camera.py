"""Cameras: one still picture at a time, fetched through the brain."""

import asyncio
import base64
import binascii
import time
from typing import Final, override

from homeassistant.components.camera import Camera, CameraEntityDescription
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from . import KittyConfigEntry
from .const import LOGGER
from .coordinator import KittyCoordinator
from .entity import KittyEntity, async_add_device_entities
from .origin import SYSTEM
from .protocol import Json, Kind

PARALLEL_UPDATES = 0

TIMEOUT_S: Final = 10.0
# Viewers at the same moment share one picture; an older one would show a door as it was.
FRESH_S: Final = 1.0
KEEP_S: Final = 5.0

CAMERA: Final = CameraEntityDescription(key="camera", translation_key="camera")
CAMERA_DEVICE: Final = CameraEntityDescription(key="camera", name=None)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: KittyConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add a camera for each device that has one or is one."""

    def build(coordinator: KittyCoordinator, device: Json) -> list[KittyCamera]:
        if device["kind"] == Kind.CAMERA:
            return [KittyCamera(coordinator, device, CAMERA_DEVICE)]
        return [KittyCamera(coordinator, device, CAMERA)] if device["has_camera"] else []

    async_add_device_entities(entry, async_add_entities, build)


class KittyCamera(KittyEntity, Camera):
    """The picture that a device sees."""

    _attr_brand = "KITTY"

    def __init__(
        self, coordinator: KittyCoordinator, device: Json, description: CameraEntityDescription
    ) -> None:
        """Start without a picture."""
        KittyEntity.__init__(self, coordinator, device, description)
        Camera.__init__(self)
        self._lock = asyncio.Lock()
        self._image: bytes | None = None
        self._taken = 0.0

    @override
    async def async_camera_image(
        self, width: int | None = None, height: int | None = None
    ) -> bytes | None:
        """Return a picture that is at most a few seconds old, or none."""
        async with self._lock:
            if self._age > FRESH_S:
                await self._fetch()
            return self._image if self._age <= KEEP_S else None

    @property
    def _age(self) -> float:
        """Return how old the picture is."""
        return time.monotonic() - self._taken if self._image else float("inf")

    async def _fetch(self) -> None:
        """Ask the brain for a picture; a failure keeps the last one for as long as it may."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await self._data.client.command(
                    "devices.snapshot",
                    {"device_id": self._device_id},
                    caller=SYSTEM,
                    timeout=TIMEOUT_S,
                )
            self._image = base64.b64decode(answer["image"], validate=True)
            self.content_type = answer["content_type"]
            self._taken = time.monotonic()
        except (HomeAssistantError, TimeoutError, binascii.Error) as err:
            LOGGER.debug("No picture from %s: %s", self.entity_id, err)
