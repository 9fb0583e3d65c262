"""One picture from the camera of an A1 or P1, which sends JPEG files over TLS."""

import asyncio
import struct
from typing import Final

from brain_server.drivers.bambu.trust import Trust, connect
from brain_server.errors import DeviceError

# About one picture a second comes, and the first may take two.
PICTURE_S: Final = 8.0

_HEADER: Final = 16
_MAX_PICTURE: Final = 8 * 1024 * 1024


async def picture(host: str, port: int, known: Trust, user: str, code: str) -> bytes:
    """Return one JPEG; DeviceError ``cannot_connect`` or ``camera_failed``."""
    reader, writer = await connect(host, port, known)
    try:
        async with asyncio.timeout(PICTURE_S):
            writer.write(
                struct.pack("<IIII32s32s", 0x40, 0x3000, 0, 0, user.encode(), code.encode())
            )
            size = int.from_bytes((await reader.readexactly(_HEADER))[:4], "little")
            image = await reader.readexactly(size) if size <= _MAX_PICTURE else b""
    # With a wrong access code it only hangs up.
    except (OSError, EOFError) as err:
        raise DeviceError("camera_failed", "The camera sends no picture") from err
    finally:
        writer.transport.abort()
    if not image.startswith(b"\xff\xd8\xff") or not image.endswith(b"\xff\xd9"):
        raise DeviceError("camera_failed", "The camera's answer is not a picture")
    return image
