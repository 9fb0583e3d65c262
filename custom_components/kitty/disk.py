"""What actions write to the disk of Home Assistant: only where it opens a folder, and whole or not at all."""

from pathlib import Path

from homeassistant.core import HomeAssistant, ServiceCall
from homeassistant.util.file import WriteError, write_utf8_file_atomic

from .errors import Refused
from .rights import require_trust


async def where_to(call: ServiceCall, *suffixes: str) -> Path | None:
    """Return where a call wants its answer written, None where it does not.

    Only in a folder that ``allowlist_external_dirs`` opens, under a name that says what it is, and only for those
    who are trusted: a file that is there is replaced.
    """
    if "path" not in call.data:
        return None
    await require_trust(call)
    path = Path(call.data["path"])
    if not await call.hass.async_add_executor_job(call.hass.config.is_allowed_path, str(path)):
        raise Refused("path_not_allowed", path=path)
    if path.suffix.lower() not in suffixes:
        raise Refused("wrong_suffix", path=path, suffixes=", ".join(suffixes))
    return path


async def write(hass: HomeAssistant, path: Path, content: bytes) -> None:
    """Write a file, or leave what was there; Refused ``not_written``."""
    try:
        await hass.async_add_executor_job(write_utf8_file_atomic, str(path), content, False, "wb")
    except WriteError as err:
        raise Refused("not_written", path=path) from err
