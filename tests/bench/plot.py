"""Lines over time as a small SVG: each has a panel and a scale of its own."""

from collections.abc import Sequence
from html import escape
import math
from typing import Final, NamedTuple

WIDTH: Final = 640
PANEL: Final = 90
LEFT: Final = 64
TOP: Final = 34
GAP: Final = 26


class Line(NamedTuple):
    """One line: its name and its points."""

    name: str
    points: Sequence[tuple[float, float]]


def plot(title: str, lines: Sequence[Line]) -> str:
    """Return the picture."""
    height = TOP + len(lines) * (PANEL + GAP) + 8
    size = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="{LEFT}" y="20" font-size="14">{escape(title)}</text>',
    ]
    last = max(at for line in lines for at, _ in line.points)
    for number, line in enumerate(lines):
        parts += _panel(line, TOP + number * (PANEL + GAP), last)
    return "\n".join([*parts, "</svg>\n"])


def _panel(line: Line, top: float, last: float) -> list[str]:
    most = _round_up(max(value for _, value in line.points))
    bottom, right = top + PANEL, WIDTH - 12

    def place(at: float, value: float) -> str:
        x = LEFT + at / last * (right - LEFT)
        return f"{x:.1f},{bottom - value / most * PANEL:.1f}"

    way = " ".join(place(at, value) for at, value in line.points)
    return [
        f'<path d="M{LEFT} {top}V{bottom}H{right}" fill="none" stroke="#999"/>',
        f'<text x="{LEFT - 6}" y="{top + 10}" text-anchor="end">{most:g}</text>',
        f'<text x="{LEFT - 6}" y="{bottom}" text-anchor="end">0</text>',
        f'<text x="{LEFT + 6}" y="{top + 10}">{escape(line.name)}</text>',
        f'<text x="{right}" y="{bottom + 14}" text-anchor="end">{last:.0f} s</text>',
        f'<polyline points="{way}" fill="none" stroke="#1565c0" stroke-width="1.5"/>',
    ]


def _round_up(value: float) -> float:
    """Return the next number of one digit, or one and a half."""
    step = 10 ** math.floor(math.log10(max(value, 0.001)))
    return next(step * part for part in (1, 1.5, 2, 3, 5, 7.5, 10) if step * part >= value)
