"""What is too large for the socket: print files on their way to a printer, and drawn pictures."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final
from urllib.parse import quote

from aiohttp import ClientError, ClientResponse, ClientTimeout
from homeassistant.components import media_source
from homeassistant.const import CONF_TOKEN, CONF_URL
from homeassistant.core import HomeAssistant
from homeassistant.helpers.aiohttp_client import async_get_clientsession

from .errors import BrainError, BrainUnavailable, Refused
from .protocol import MAX_FRAME_BYTES, Json

if TYPE_CHECKING:
    from . import KittyConfigEntry

MAX_BYTES: Final = 512 * 1024**2
# What of a frame is left for a picture, in base64 and with its words beside it.
MAX_PHOTO: Final = (MAX_FRAME_BYTES - 32 * 1024) * 3 // 4
TIMEOUT: Final = ClientTimeout(total=900, sock_connect=10, sock_read=120)


async def upload(
    hass: HomeAssistant, entry: KittyConfigEntry, device_id: str, data: Mapping[str, Any]
) -> str:
    """Store the file of an action's data on a device and return the name that it has there.

    Only files in folders that ``allowlist_external_dirs`` or a media source opens are taken.
    """
    path, name = await _named(hass, data)
    road = f"/api/v1/devices/{device_id}/files/{quote(name)}"
    return str((await _sent(hass, entry, "PUT", road, path))["file"])


async def add_file(hass: HomeAssistant, entry: KittyConfigEntry, data: Mapping[str, Any]) -> str:
    """Store the file of an action's data in the brain, for no printer yet, and return its id there."""
    path, name = await _named(hass, data)
    return str((await _sent(hass, entry, "POST", "/api/v1/files", path, name=name))["id"])


async def photo(hass: HomeAssistant, data: Mapping[str, Any]) -> str:
    """Return the picture of an action's data in base64; Refused where it is none, or too large to be sent."""
    path = await _source(hass, data)
    file = await hass.async_add_executor_job(_open, path)
    try:
        image = await hass.async_add_executor_job(file.read, MAX_PHOTO + 1)
    finally:
        await hass.async_add_executor_job(file.close)
    if len(image) > MAX_PHOTO:
        raise Refused("photo_too_large", path=path)
    return base64.b64encode(image).decode()


async def _named(hass: HomeAssistant, data: Mapping[str, Any]) -> tuple[Path, str]:
    """Return the file that the data names, and what it is to be called."""
    path = await _source(hass, data)
    name = data.get("name") or path.name
    if Path(name).name != name or "\\" in name:
        raise Refused("invalid_file_name", name=name)
    return path, name


async def _sent(
    hass: HomeAssistant, entry: KittyConfigEntry, method: str, road: str, path: Path, **query: str
) -> Json:
    """Send a file to the brain and return its answer."""
    file = await hass.async_add_executor_job(_open, path)
    try:
        async with async_get_clientsession(hass).request(
            method,
            f"{entry.data[CONF_URL].rstrip('/')}{road}",
            data=file,
            params=query,
            headers={"Authorization": f"Bearer {entry.data[CONF_TOKEN]}"},
            timeout=TIMEOUT,
        ) as response:
            return await _data(response)
    except (ClientError, TimeoutError, ValueError) as err:
        raise BrainUnavailable from err
    finally:
        await hass.async_add_executor_job(file.close)


async def act(hass: HomeAssistant, entry: KittyConfigEntry, action: str, params: Json) -> Json:
    """Run a command whose answer may be too large for the socket, as nobody in particular."""
    try:
        async with async_get_clientsession(hass).post(
            f"{entry.data[CONF_URL].rstrip('/')}/api/v1/actions",
            json={"action": action, "params": params},
            headers={"Authorization": f"Bearer {entry.data[CONF_TOKEN]}"},
            timeout=TIMEOUT,
        ) as response:
            return await _data(response)
    except (ClientError, TimeoutError, ValueError) as err:
        raise BrainUnavailable from err


async def _source(hass: HomeAssistant, data: Mapping[str, Any]) -> Path:
    """Return the file that the data names, if it may be read."""
    if (media := data.get("media")) is not None:
        media_id = media if isinstance(media, str) else media["media_content_id"]
        try:
            played = await media_source.async_resolve_media(hass, media_id, None)
        except media_source.Unresolvable as err:
            raise Refused("media_not_found", media=media_id) from err
        if played.path is None:
            raise Refused("media_not_local", media=media_id)
        return played.path
    path = data["path"]
    if not await hass.async_add_executor_job(hass.config.is_allowed_path, path):
        raise Refused("path_not_allowed", path=path)
    return Path(path)


def _open(path: Path) -> BinaryIO:
    """Open a file to read, if it is one and not too large."""
    try:
        if not path.is_file():
            raise Refused("file_not_found", path=path)
        if path.stat().st_size > MAX_BYTES:
            raise Refused("file_too_large", path=path)
        return path.open("rb")
    except OSError as err:
        raise Refused("file_not_found", path=path) from err


async def _data(response: ClientResponse) -> Json:
    """Return the data of the brain's answer; BrainError where it refused."""
    answer = await response.json()
    if response.ok:
        data: Json = answer["data"]
        return data
    raise BrainError.from_frame(answer["error"])
