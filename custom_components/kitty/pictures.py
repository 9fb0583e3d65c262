"""Pictures on their way to a model: of a kind that models see, and small enough for one message."""

import base64
from collections.abc import Sequence
import io
from pathlib import Path
from typing import Final

from homeassistant.components.conversation import Attachment
from homeassistant.core import HomeAssistant
from PIL import Image, ImageOps, UnidentifiedImageError

from .errors import Refused
from .protocol import MAX_FRAME_BYTES, Json

KINDS: Final = frozenset({"image/gif", "image/jpeg", "image/png", "image/webp"})
MOST_BYTES: Final = 4 * 1024 * 1024
MOST_PICTURES: Final = 8
JPEG: Final = "image/jpeg"

# The rest of the message, and base64 takes four bytes for three.
_ROOM: Final = (MAX_FRAME_BYTES - 160 * 1024) * 3 // 4
# No model looks at more than this; each further try is smaller.
_SIDES: Final = (1568, 1024, 768, 512, 384)
_QUALITY: Final = 85


async def attached(hass: HomeAssistant, attachments: Sequence[Attachment]) -> list[Json]:
    """Return pictures as the brain takes them.

    Raises Refused ``attachment_no_picture``, ``attachment_too_large``, ``too_many_attachments``,
    ``file_not_found``.
    """
    if len(attachments) > MOST_PICTURES:
        raise Refused("too_many_attachments", most=MOST_PICTURES)
    for one in attachments:
        if one.mime_type not in KINDS:
            raise Refused("attachment_no_picture", media_type=one.mime_type)
    room = _ROOM // max(1, len(attachments))
    return [
        await hass.async_add_executor_job(_read, Path(one.path), one.mime_type, room)
        for one in attachments
    ]


def _read(path: Path, kind: str, room: int) -> Json:
    """Return one picture, made smaller where it does not fit; runs in the executor."""
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise Refused("attachment_too_large", size=size)
        data = path.read_bytes()
    except OSError as err:
        raise Refused("file_not_found", path=path.name) from err
    if len(data) > room:
        data, kind = _smaller(data, room), JPEG
    return {"media_type": kind, "base64": base64.b64encode(data).decode()}


def _smaller(data: bytes, room: int) -> bytes:
    """Return a picture as a JPEG that fits."""
    try:
        with Image.open(io.BytesIO(data)) as found:
            picture = ImageOps.exif_transpose(found).convert("RGB")
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as err:
        raise Refused("attachment_no_picture", media_type="?") from err
    for side in _SIDES:
        picture.thumbnail((side, side))
        made = io.BytesIO()
        picture.save(made, "JPEG", quality=_QUALITY)
        if made.tell() <= room:
            return made.getvalue()
    raise Refused("attachment_too_large", size=len(data))
