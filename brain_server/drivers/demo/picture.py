"""A picture of a print bed, drawn with nothing but the standard library."""

import math
import struct
from typing import Final
import zlib

_WIDTH: Final = 320
_HEIGHT: Final = 240
_MIDDLE: Final = 160
_BACK: Final = 150
_FRONT: Final = 216
_TALL: Final = 105
type Colour = tuple[int, int, int]
TANGLE: Final[Colour] = (255, 240, 90)


def draw(grown: float, head: float, moving: bool, tangled: bool = False) -> bytes:
    """Return a PNG of a print bed with a part that is grown so far, or a tangle, and the head over it."""
    rows = [
        bytearray(bytes(_mix((34, 38, 52), (70, 76, 96), y / _BACK)) * _WIDTH)
        for y in range(_HEIGHT)
    ]
    _draw_bed(rows)
    top = _draw_part(rows, grown)
    if tangled:
        _draw_tangle(rows, head)
    _draw_head(rows, round(head * _WIDTH), top, moving)
    packed = zlib.compress(b"".join(b"\0" + row for row in rows), 6)
    header = struct.pack(">IIBBBBB", _WIDTH, _HEIGHT, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def _draw_bed(rows: list[bytearray]) -> None:
    """Draw the plate in perspective, with its grid and a shadowed front edge."""
    for y in range(_BACK, _FRONT):
        depth = (y - _BACK) / (_FRONT - _BACK)
        reach = round(92 + 52 * depth)
        shade = _mix((96, 104, 112), (146, 154, 160), depth)
        _span(rows, y, _MIDDLE - reach, _MIDDLE + reach, shade)
        for line in range(-4, 5):
            x = _MIDDLE + reach * line // 4
            _span(rows, y, x - 1, x, _mix(shade, (60, 66, 72), 0.5))
        if round(depth * 100) % 20 == 0:
            _span(rows, y, _MIDDLE - reach, _MIDDLE + reach, _mix(shade, (60, 66, 72), 0.4))
    for y in range(_FRONT, _FRONT + 7):
        _span(rows, y, _MIDDLE - 144, _MIDDLE + 144, (52, 56, 62))


def _draw_part(rows: list[bytearray], grown: float) -> int:
    """Draw a vase, layer by layer, lit from the left; returns the row of its top."""
    height = round(_TALL * grown)
    foot = _FRONT - 22
    for layer in range(height):
        part = layer / _TALL
        half = 30 + 13 * math.sin(part * 4.2 + 0.6)
        body = _mix((214, 98, 30), (244, 140, 52), part) if layer % 3 else (184, 80, 24)
        for step in range(12):
            left = round(-half + 2 * half * step / 12)
            right = round(-half + 2 * half * (step + 1) / 12)
            light = 1 - abs(step - 3) / 11
            colour = _mix((70, 30, 12), body, light)
            _span(rows, foot - layer, _MIDDLE + left, _MIDDLE + right, colour)
    return foot - height


def _draw_tangle(rows: list[bytearray], head: float) -> None:
    """Draw one long loose strand of bright plastic over all that was there; its end follows the head."""
    for step in range(4800):
        turn = step / 120
        x = _MIDDLE + 96 * math.sin(turn * 1.31) + 34 * math.sin(turn * 5.17 + head)
        y = 176 + 20 * math.sin(turn * 2.23 + 1) + 12 * math.cos(turn * 7.1)
        colour = TANGLE if step % 9 else _mix(TANGLE, (120, 96, 20), 0.6)
        for line in (0, 1):
            _span(rows, round(y) + line, round(x), round(x) + 3, colour)


def _draw_head(rows: list[bytearray], x: int, top: int, moving: bool) -> None:
    """Draw the gantry and the head with its nozzle just over the part; its lamp is lit at work."""
    tip = top - 2
    for y in range(tip - 42, tip - 34):
        _span(rows, y, 14, _WIDTH - 14, (168, 174, 182) if y < tip - 37 else (112, 118, 126))
    for y in range(tip - 48, tip - 10):
        edge = _mix((58, 64, 74), (28, 31, 38), (y - tip + 48) / 38)
        _span(rows, y, x - 19, x + 19, edge)
    for y in range(tip - 10, tip):
        narrow = 7 - (y - tip + 10) * 6 // 10
        _span(rows, y, x - narrow, x + narrow, (206, 170, 92))
    lamp = (90, 230, 130) if moving else (96, 100, 106)
    for y in range(tip - 42, tip - 37):
        _span(rows, y, x - 3, x + 3, lamp)


def _span(rows: list[bytearray], y: int, left: int, right: int, colour: Colour) -> None:
    """Colour part of a row; what lies outside the picture is left out."""
    left, right = max(left, 0), min(right, _WIDTH)
    if 0 <= y < _HEIGHT and left < right:
        rows[y][3 * left : 3 * right] = bytes(colour) * (right - left)


def _mix(one: Colour, other: Colour, share: float) -> Colour:
    """Return a colour between two."""
    share = max(0.0, min(share, 1.0))
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue
