"""Pictures: made small to be judged, and kept as evidence under the name of their content."""

import hashlib
import io
import os
from pathlib import Path
import re
from typing import TYPE_CHECKING, Final

from brain_server.errors import Conflict, DeviceError, NotFound
from brain_server.vision.health import HEIGHT, WIDTH

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

# More points than any camera of a workshop has; a picture that claims more is an attack.
MOST_PIXELS: Final = 40_000_000
# A model sees no more in a larger picture, and it costs more.
MOST_SIDE: Final = 1024
# What is kept has to fit into one frame of the wire.
MOST_KEPT: Final = 600_000
QUALITY: Final = 80
_KEY: Final = re.compile("[0-9a-f]{64}")


def grey(image: bytes) -> bytes:
    """Return a JPEG or PNG as small and grey; DeviceError ``bad_picture`` for anything else."""
    from PIL.Image import Resampling  # noqa: PLC0415 - on first use

    picture = _opened(image, "L", (WIDTH * 2, HEIGHT * 2))
    return picture.resize((WIDTH, HEIGHT), Resampling.BOX).tobytes()


def shrunk(image: bytes, most: int = MOST_SIDE) -> bytes:
    """Return a picture as JPEG with no side longer than ``most``; DeviceError ``bad_picture``."""
    picture = _opened(image, "RGB", (most, most))
    picture.thumbnail((most, most))
    made = io.BytesIO()
    picture.save(made, "JPEG", quality=QUALITY)
    return made.getvalue()


def sendable(image: bytes) -> bytes:
    """Return a picture that fits into one frame of the wire: itself, or smaller."""
    return image if len(image) <= MOST_KEPT else shrunk(image)


def keep(folder: Path, image: bytes) -> str:
    """Write a picture and return its key: the SHA-256 of what was written."""
    image = sendable(image)
    key = hashlib.sha256(image).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / key
    if path.exists():
        path.touch()  # it is wanted again
    else:
        half = folder / f"{key}.part"
        half.write_bytes(image)
        half.replace(path)
    return key


def left_over(folder: Path, before: float) -> set[str]:
    """Return the keys of the pictures that were not wanted since."""
    if not folder.is_dir():
        return set()
    with os.scandir(folder) as found:
        return {
            one.name for one in found if _KEY.fullmatch(one.name) and one.stat().st_mtime < before
        }


def stored(folder: Path, key: str) -> bytes:
    """Return a kept picture; NotFound ``no_evidence``, Conflict ``evidence_altered``."""
    if not _KEY.fullmatch(key):
        raise NotFound("no_evidence", "There is no picture of this")
    try:
        image = (folder / key).read_bytes()
    except OSError as err:
        raise NotFound("no_evidence", "There is no picture of this") from err
    if hashlib.sha256(image).hexdigest() != key:
        raise Conflict("evidence_altered", "The picture is not the one that was recorded")
    return image


def _opened(image: bytes, mode: str, enough: tuple[int, int]) -> Picture:
    """Decode a picture, a JPEG at about the size that is enough: ten times faster."""
    from PIL import Image  # noqa: PLC0415 - on first use

    try:
        with Image.open(io.BytesIO(image), formats=("JPEG", "PNG")) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise DeviceError("bad_picture", "The picture is too large")
            picture.draft(mode, enough)
            return picture.convert(mode)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as err:
        raise DeviceError("bad_picture", "The camera sent no picture that can be read") from err
