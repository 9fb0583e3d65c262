"""Draws the tool path of a print: from above and from the side, coloured by height."""

from array import array
from collections.abc import Callable
import io
import math
from typing import Final

SIZE: Final = 480
_MARGIN: Final = 16
_GROUND: Final = (250, 250, 250)
_LOW: Final = (28, 52, 120)
_HIGH: Final = (244, 140, 36)
_SHADES: Final = 64
_COS: Final = math.cos(math.pi / 6)
_SIN: Final = math.sin(math.pi / 6)

type Point = tuple[float, float]
type Projection = Callable[[float, float, float], Point]


def draw(segments: array[float]) -> bytes | None:
    """Return a PNG of strokes (x, y, z, x, y), lowest first; None where there are none."""
    from PIL import Image, ImageDraw  # noqa: PLC0415 - only the child that draws needs it

    if not segments:
        return None
    image = Image.new("RGB", (2 * SIZE, SIZE), _GROUND)
    pen = ImageDraw.Draw(image)
    lowest, highest = min(segments[2::5]), max(segments[2::5])
    tall = (highest - lowest) or 1.0
    shades = [_mixed(step / (_SHADES - 1)) for step in range(_SHADES)]
    for view, project in enumerate((_above, _aside)):
        place = _Place(segments, view * SIZE, project)
        for at in range(0, len(segments), 5):
            x0, y0, z, x, y = segments[at : at + 5]
            shade = shades[int((z - lowest) / tall * (_SHADES - 1))]
            pen.line((place.of(x0, y0, z), place.of(x, y, z)), fill=shade)
    made = io.BytesIO()
    image.save(made, "PNG")
    return made.getvalue()


class _Place:
    """Where a point of the print lies in a picture."""

    def __init__(self, segments: array[float], left: int, project: Projection) -> None:
        ends = [
            project(segments[at], segments[at + 1], segments[at + 2])
            for at in range(0, len(segments), 5)
        ]
        ends += [
            project(segments[at + 3], segments[at + 4], segments[at + 2])
            for at in range(0, len(segments), 5)
        ]
        across, up = [one[0] for one in ends], [one[1] for one in ends]
        wide, tall = max(across) - min(across), max(up) - min(up)
        self._scale = (SIZE - 2 * _MARGIN) / (max(wide, tall) or 1.0)
        self._left = left + (SIZE - wide * self._scale) / 2 - min(across) * self._scale
        self._bottom = (SIZE + tall * self._scale) / 2 + min(up) * self._scale
        self._project = project

    def of(self, x: float, y: float, z: float) -> Point:
        across, up = self._project(x, y, z)
        return self._left + across * self._scale, self._bottom - up * self._scale


def _above(x: float, y: float, _z: float) -> Point:
    return x, y


def _aside(x: float, y: float, z: float) -> Point:
    return (x - y) * _COS, (x + y) * _SIN + z


def _mixed(share: float) -> tuple[int, int, int]:
    red, green, blue = (
        round(low + (high - low) * share) for low, high in zip(_LOW, _HIGH, strict=True)
    )
    return red, green, blue
