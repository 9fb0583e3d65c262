"""Images of prints: what a camera last judged, and what a file will look like."""

import asyncio
import base64
import binascii
from dataclasses import asdict, dataclass
import time
from typing import Any, Final, Self, override

from homeassistant.components.image import (
    Image,
    ImageContentTypeError,
    ImageEntity,
    ImageEntityDescription,
    valid_image_content_type,
)
from homeassistant.core import HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.restore_state import ExtraStoredData, RestoredExtraData, RestoreEntity
from homeassistant.util import dt as dt_util

from . import KittyConfigEntry
from .const import LOGGER
from .coordinator import KittyCoordinator
from .entity import RecordEntity, async_add_device_entities
from .errors import BrainUnavailable
from .origin import SYSTEM
from .protocol import Json, Kind
from .workshop import artifact_on, printer_of, watchers

PARALLEL_UPDATES = 0

FETCH_TIMEOUT_S: Final = 10.0
# Drawing the path of a long print takes its time; whoever looked first does not wait for so long.
DRAW_TIMEOUT_S: Final = 200.0
PATIENCE_S: Final = 9.0

FRAME: Final = ImageEntityDescription(key="frame", translation_key="frame")
PREVIEW: Final = ImageEntityDescription(key="preview", translation_key="preview")

# Where the path cannot be drawn, the picture that the slicer put into the file is better than none.
_LOOKS: Final = ("preview", "thumbnail")

# Stands for a picture that the brain surely does not have.
NOTHING: Final = Image(content_type="image/png", content=b"")

# By which command a picture is fetched, and by what it asks for it.
_ROADS: Final = {
    "incident": ("incidents.picture", "incident_id"),
    "print_event": ("prints.picture", "event_id"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A picture on which something was seen, by the id under which the brain keeps it."""

    kind: str
    id: str
    verdict: str
    confidence: float
    at: float
    job_id: str | None

    @classmethod
    def of(cls, kind: str, row: Json) -> Self:
        """Return the picture of an incident or of what was seen of a print."""
        return cls(
            kind=kind,
            id=row["id"],
            verdict=row["type"],
            confidence=row["confidence"],
            at=row["created_at"],
            job_id=row["job_id"],
        )


async def async_setup_entry(
    hass: HomeAssistant,
    entry: KittyConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the preview of each printer, and the last frame of those that are watched."""

    def build(coordinator: KittyCoordinator, device: Json) -> list[KittyImage]:
        if device["kind"] != Kind.PRINTER:
            return []
        images: list[KittyImage] = [PreviewImage(coordinator, device, PREVIEW)]
        if watchers(coordinator.data, device["id"]):
            images.append(FrameImage(coordinator, device, FRAME))
        return images

    async_add_device_entities(entry, async_add_entities, build)


class KittyImage(RecordEntity, ImageEntity):
    """A picture that the brain keeps; it is fetched when somebody looks.

    Without one it is unavailable: whoever asked for it all the same would be told of an error of the server.
    """

    # Nothing to show: there never was anything, or the brain said that it has no such picture.
    _empty = True

    def __init__(
        self, coordinator: KittyCoordinator, device: Json, description: ImageEntityDescription
    ) -> None:
        """Start without a picture."""
        RecordEntity.__init__(self, coordinator, device, description)
        ImageEntity.__init__(self, coordinator.hass)

    @property
    @override
    def available(self) -> bool:
        """Tell whether the brain is connected and has something to show."""
        return super().available and not self._empty

    async def _fetch(self, action: str, params: Json, seconds: float) -> Image | None:
        """Return a picture of the brain, ``NOTHING`` where it has none, None where it cannot be asked now."""
        try:
            answer = await self._data.client.command(action, params, caller=SYSTEM, timeout=seconds)
            image = Image(
                content_type=valid_image_content_type(answer["content_type"]),
                content=base64.b64decode(answer["image"], validate=True),
            )
        except BrainUnavailable as err:
            LOGGER.debug("No picture for %s now: %s", self.entity_id, err)
            return None
        except (HomeAssistantError, ImageContentTypeError, binascii.Error) as err:
            LOGGER.debug("No picture for %s: %s", self.entity_id, err)
            return NOTHING
        return image if image.content else NOTHING

    @callback
    def _show(self, image: Image | None) -> bytes | None:
        """Keep a picture for the next who looks, and return its bytes."""
        self._cached_image = image if image is not NOTHING else None
        if image is NOTHING:
            self._empty = True
            self.async_write_ha_state()
        if self._cached_image is None:
            return None
        self._attr_content_type = self._cached_image.content_type
        return self._cached_image.content


class FrameImage(KittyImage, RestoreEntity):
    """The last picture on which something was seen of a print, well or not."""

    _frame: Frame | None = None

    @override
    async def async_added_to_hass(self) -> None:
        """Take up the picture that was shown before, and follow what is seen."""
        await super().async_added_to_hass()
        if (stored := await self.async_get_last_extra_data()) is not None:
            self._take(Frame(**stored.as_dict()))
        self.async_on_remove(self.coordinator.async_listen("print.event", self._on_seen))
        self._look()

    @property
    @override
    def extra_restore_state_data(self) -> ExtraStoredData | None:
        """Return by what the picture is found again."""
        return RestoredExtraData(asdict(self._frame)) if self._frame else None

    @property
    @override
    def extra_state_attributes(self) -> dict[str, Any]:
        """Return what was seen, how surely, and when."""
        frame = self._frame
        return {
            "verdict": frame and frame.verdict,
            "confidence": frame and frame.confidence,
            "at": frame and dt_util.utc_from_timestamp(frame.at),
            "job_id": frame and frame.job_id,
        }

    @override
    async def async_image(self) -> bytes | None:
        """Return the picture."""
        if (frame := self._frame) is None:
            return None
        if self._cached_image is not None:
            return self._cached_image.content
        action, name = _ROADS[frame.kind]
        image = await self._fetch(action, {name: frame.id}, FETCH_TIMEOUT_S)
        if frame is not self._frame:
            return image.content if image else None
        return self._show(image)

    @callback
    @override
    def _handle_coordinator_update(self) -> None:
        """Look for a new alarm."""
        self._look()
        super()._handle_coordinator_update()

    @callback
    def _look(self) -> None:
        """Take the pictures of the open alarms of this printer."""
        for incident in self.coordinator.data.incidents.values():
            mine = printer_of(self.coordinator.data, incident) == self._device_id
            if mine and incident["picture"]:
                self._take(Frame.of("incident", incident))

    @callback
    def _on_seen(self, seen: Json) -> None:
        """Take the picture of what was seen of a print of this printer."""
        if seen["device_id"] == self._device_id and seen["picture"]:
            self._take(Frame.of("print_event", seen))
            self.async_write_ha_state()

    @callback
    def _take(self, frame: Frame) -> None:
        """Show a picture unless a later one is shown."""
        if self._frame is not None and frame.at <= self._frame.at:
            return
        self._frame = frame
        self._empty, self._cached_image = False, None
        self._attr_image_last_updated = dt_util.utc_from_timestamp(frame.at)


class PreviewImage(KittyImage):
    """What comes out of the file that a printer prints, or prints next."""

    _file: Json | None = None
    _drawing: asyncio.Task[None] | None = None

    @override
    async def async_added_to_hass(self) -> None:
        """Look which file it is."""
        await super().async_added_to_hass()
        self._look()

    @override
    async def async_image(self) -> bytes | None:
        """Return the drawing; whoever comes while it is being drawn waits with the others."""
        if self._file is None:
            return None
        if self._cached_image is None:
            if self._drawing is None or self._drawing.done():
                self._drawing = self.coordinator.config_entry.async_create_background_task(
                    self.hass, self._draw(self._file), "kitty preview"
                )
            await asyncio.shield(self._drawing)
        return self._cached_image.content if self._cached_image else None

    async def _draw(self, file: Json) -> None:
        """Have the file drawn; who could not wait for it is told that it is there."""
        began = time.monotonic()
        image: Image | None = NOTHING
        for kind in _LOOKS:
            params = file | {"kind": kind}
            found = await self._fetch("files.picture", params, DRAW_TIMEOUT_S)
            if found is not NOTHING:
                image = found
            if found is not None and found is not NOTHING:
                break
        if file != self._file or self._show(image) is None:
            return
        if time.monotonic() - began > PATIENCE_S:
            self._attr_image_last_updated = dt_util.utcnow()
            self.async_write_ha_state()

    @callback
    @override
    def _handle_coordinator_update(self) -> None:
        """Look whether it is another file."""
        self._look()
        super()._handle_coordinator_update()

    @callback
    def _look(self) -> None:
        file = artifact_on(self.coordinator.data, self._device_id)
        if file == self._file:
            return
        self._file = file
        self._empty = file is None
        self._cached_image = self._drawing = None
        self._attr_image_last_updated = dt_util.utcnow() if file else None
