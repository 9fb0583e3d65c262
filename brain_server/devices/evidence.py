"""Pictures of what an approved command did, from a camera in its zone, kept beside the database."""

import asyncio
import hashlib
import logging
from pathlib import Path
import re
from typing import Final

from brain_server.devices.live import Live
from brain_server.devices.registry import Registry
from brain_server.errors import Conflict, DeviceError, KittyError, NotFound
from brain_server.protocol import Kind
from brain_server.safety.gate import Gate

_LOGGER = logging.getLogger(__name__)

SNAPSHOT_TIMEOUT: Final = 10.0
_ID: Final = re.compile("[0-9a-f]{32}")


class Evidence:
    """Takes and keeps pictures. A camera that fails never changes what happened to the command."""

    def __init__(self, registry: Registry, gate: Gate, folder: Path) -> None:
        """Take the devices, the gate that links a picture to its event, and where to keep files."""
        self._registry = registry
        self._gate = gate
        self._folder = folder

    async def take(self, event_id: str, zone_id: str | None) -> None:
        """Keep a picture from the first camera of the zone that gives one."""
        cameras = [
            live
            for live in self._registry.all()
            if live.record.zone_id == zone_id
            and (live.record.kind is Kind.CAMERA or live.record.has_camera)
        ]
        for live in sorted(cameras, key=lambda one: one.record.kind is not Kind.CAMERA):
            try:
                image = await picture(live)
            except KittyError as err:
                _LOGGER.info("No picture from %s: %s", live.record.name, err.code)
                continue
            await asyncio.to_thread(self._write, event_id, image)
            digest = hashlib.sha256(image).hexdigest()
            await self._gate.keep_evidence(event_id, f"evidence/{event_id}", digest)
            return

    async def read(self, event_id: str) -> bytes:
        """Return the picture of an event; NotFound ``no_evidence``, Conflict ``evidence_altered``."""
        path = self._folder / event_id
        if not _ID.fullmatch(event_id) or not await asyncio.to_thread(path.is_file):
            raise NotFound("no_evidence", "There is no picture of this")
        image = await asyncio.to_thread(path.read_bytes)
        if hashlib.sha256(image).hexdigest() != await self._gate.evidence_digest(event_id):
            raise Conflict("evidence_altered", "The picture is not the one that was recorded")
        return image

    def _write(self, event_id: str, image: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / event_id).write_bytes(image)


async def picture(live: Live) -> bytes:
    """Return one picture of a device; DeviceError when there is none within ten seconds."""
    try:
        async with asyncio.timeout(SNAPSHOT_TIMEOUT):
            return await live.driver.snapshot()
    except TimeoutError as err:
        raise DeviceError("no_picture", "The camera did not answer in time") from err


def image_type(image: bytes) -> str:
    """Return the media type of a picture."""
    return "image/png" if image.startswith(b"\x89PNG") else "image/jpeg"
