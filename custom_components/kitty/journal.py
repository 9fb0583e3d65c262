"""Lines that are on the disk once they are written: a file that is only ever appended to.

A store writes all that it knows into a new file; one line here is there several times sooner.
"""

import errno
import json
import os
from pathlib import Path

from homeassistant.core import HomeAssistant

from .protocol import Json


class Journal:
    """Keeps the lines of one file; whoever writes raises OSError when a line may not be there."""

    def __init__(self, hass: HomeAssistant, path: str) -> None:
        """Take where the file lies; :meth:`keep` makes it."""
        self._hass = hass
        self.path = Path(path)

    async def read(self) -> list[Json]:
        """Return every whole line, oldest first."""
        return await self._hass.async_add_executor_job(_read, self.path)

    async def keep(self, lines: list[Json]) -> None:
        """Begin the file anew with these lines; nobody may append meanwhile."""
        await self._hass.async_add_executor_job(_keep, self.path, lines)

    async def append(self, line: Json) -> None:
        """Write one line."""
        await self._hass.async_add_executor_job(_append, self.path, line)


def _read(path: Path) -> list[Json]:
    # What was cut off by a power loss was never answered, and nothing was done upon it.
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    return [line for raw in lines if isinstance(line := _decoded(raw), dict)]


def _decoded(raw: bytes) -> object:
    try:
        return json.loads(raw)
    except ValueError:
        return None


def _keep(path: Path, lines: list[Json]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.new")
    _write(draft, os.O_CREAT | os.O_TRUNC, b"".join(map(_encoded, lines)))
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # else a power loss may bring back the file that was there before
    finally:
        os.close(folder)


def _append(path: Path, line: Json) -> None:
    _write(path, os.O_APPEND, _encoded(line))


def _encoded(line: Json) -> bytes:
    # The break comes first, so that a line which was cut off does not spoil the next one.
    return b"\n" + json.dumps(line, separators=(",", ":")).encode()


def _write(path: Path, how: int, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | how, 0o600)
    try:
        if os.write(descriptor, content) != len(content):
            raise OSError(errno.ENOSPC, "The line was cut off")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
