"""What is typed as, sent to and heard from a device's web server: addresses, names, bodies and texts, with care."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
import io
import json
from pathlib import PurePosixPath
import re
import sys
import tempfile
from threading import Lock
from typing import Any, Final, Self
import unicodedata

from aiohttp import (
    ClientConnectionError,
    ClientConnectorError,
    ClientHandlerType,
    ClientOSError,
    ClientRequest,
    ClientResponse,
    ServerDisconnectedError,
)
from yarl import URL

from brain_server.errors import InvalidRequest
from brain_server.protocol import Json

MAX_UPLOAD: Final = 1024 * 1024 * 1024
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
PICTURES: Final = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
_MARKUP: Final = re.compile(r"<[a-zA-Z!/]")


def address(value: Any, field: str) -> URL:
    """Return a web address that a person typed; InvalidRequest names the field."""
    try:
        url = URL(str(value).strip())
    except ValueError as err:
        raise InvalidRequest("invalid_option", "This is not a web address", field=field) from err
    if url.scheme not in {"http", "https"} or not url.host:
        raise InvalidRequest("invalid_option", "This is not a web address", field=field)
    return url


async def once(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Send a request once: by itself aiohttp sends a PUT or DELETE again when its connection breaks."""
    try:
        return await handler(request)
    except ClientConnectorError:
        raise
    except (ClientOSError, ServerDisconnectedError) as err:
        raise ClientConnectionError(str(err) or "The connection broke") from err


class Spool(io.BufferedRandom):
    """A file on its way to a device: whole and with a known length before the first of it is sent.

    Its owner closes it, and so does aiohttp, in a thread of its own, when the line breaks: at the same moment the
    one would stumble over the other, and a device that is away would look like a fault of KITTY.
    """

    def __init__(self) -> None:
        """Make an empty file that has no name and is gone when it is closed."""
        super().__init__(tempfile.TemporaryFile(buffering=0))  # noqa: SIM115 - closed in close()
        self._closing = Lock()
        self.size = 0

    @classmethod
    @asynccontextmanager
    async def of(cls, content: AsyncIterator[bytes]) -> AsyncIterator[Self]:
        """Give what comes in pieces, to be read from its start; InvalidRequest when it is larger than 1 GiB."""
        with cls() as spool:
            async for chunk in content:
                spool.size += len(chunk)
                if spool.size > MAX_UPLOAD:
                    raise InvalidRequest("file_too_large", "The file is larger than 1 GiB")
                await asyncio.to_thread(spool.write, chunk)
            await asyncio.to_thread(spool.seek, 0)
            yield spool

    def close(self) -> None:
        """Close the file, once; what has begun elsewhere is waited for."""
        with self._closing:
            super().close()


def file_name(name: str) -> str:
    """Return the last part of a name, cleaned; InvalidRequest when nothing is left of it."""
    last = PurePosixPath(name.replace("\\", "/")).name
    safe = "".join(char for char in last if char.isprintable() and char != '"').strip(" .")
    if not safe or len(safe) > 200:
        raise InvalidRequest("invalid_file_name", "This is not a file name")
    return safe


def alike(name: str) -> str:
    """Return what is left of a name on a printer to which capitals, signs and spaces make no difference."""
    plain = unicodedata.normalize("NFKD", name.replace("\\", "/")).casefold()
    return "".join(char for char in plain if char.isalnum() or char == "/")


async def read(response: ClientResponse, limit: int) -> bytes:
    """Return the body; of one that is too large, only so much that it shows."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            break
    return bytes(body)


def parsed(text: str | bytes) -> Any:
    """Return what a JSON text says, and None for any other text."""
    try:
        return json.loads(text)
    except ValueError, RecursionError:
        return None


def record(value: Any) -> Json:
    """Return a JSON object as it is, and anything else as an empty one."""
    return dict(value) if isinstance(value, Mapping) else {}


def one_line(text: Any) -> str | None:
    """Return a text from outside as one line that fits a notice."""
    return " ".join(str(text).split())[:200] or None if text else None


def sentence(text: Any, otherwise: str) -> str:
    """Return a server's own sentence as one line, never its markup; ``otherwise`` where it has none."""
    line = one_line(text)
    return line if line and not _MARKUP.search(line) else otherwise


def number(value: Any) -> float | None:
    """Return a finite number, with one place after the point, and None for anything else."""
    # What no number has room for is as little known as what is none.
    known = isinstance(value, int | float) and abs(value) <= sys.float_info.max
    return round(float(value), 1) if known else None
