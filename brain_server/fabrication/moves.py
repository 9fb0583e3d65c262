"""What the moves of a G-code file do: where plastic goes, how much of it, how hot, and about how long."""

from array import array
from collections import defaultdict
import math
import re
from typing import Final

from brain_server.gcode import command_of, targets, words_of

_CODE: Final = re.compile(rb"(?:N\d+\s*)?([GMT])\s*0*(\d+)(?![\d.])")
# Nearly every line begins like one of these.
_PLAIN: Final = (b"G1 ", b"G0 ")
_INCH: Final = 25.4
# A firmware moves as fast when nobody tells it how fast.
_FEED: Final = 1500.0
# A figure beyond this is no place on any printer, and must not end in an overflow.
_FAR: Final = 1e6
_HOTTEST: Final = 10_000.0
_MOST_LEVELS: Final = 20_000
_MOST_SEGMENTS: Final = 200_000
_QUARTER: Final = math.pi / 2


class Moves:
    """Follows a print head; ``keep`` also keeps where it laid plastic, to draw it."""

    def __init__(self, *, keep: bool = False) -> None:
        """Stand at the origin, in millimetres and absolute."""
        self.commands = 0
        self.seconds = 0.0
        # Millimetres of filament, by tool.
        self.filament: defaultdict[int, float] = defaultdict(float)
        self.box: list[float] | None = None
        self.hottest: dict[str, float] = {}
        self.levels: set[float] = set()
        # x, y, z, x, y of each stroke; every second one is left out whenever there are too many.
        self.segments: array[float] | None = array("f") if keep else None
        self._stride, self._skipped = 1, 0
        self._x = self._y = self._z = self._e = 0.0
        self._feed = _FEED
        self._unit = 1.0
        self._tool = 0
        self._relative = self._relative_e = False

    def begin(self) -> None:
        """Forget what was laid so far: it was the line that wipes the nozzle beside the print."""
        self.box = None
        self.levels.clear()
        if self.segments is not None:
            del self.segments[:]

    def heats(self, line: bytes) -> None:
        """Note how hot a line wants something to be."""
        for part, degrees in targets(line):
            if 0 < degrees < _HOTTEST:
                self.hottest[part] = max(degrees, self.hottest.get(part, 0.0))

    def take(self, line: bytes) -> None:
        """Do what a line says."""
        if line.startswith(_PLAIN) and b"(" not in line:
            self.commands += 1
            command = line.partition(b";")[0].upper()
            self._move(1, words_of(command))
            if b"M" in command:
                self.heats(command)
            return
        command = command_of(line)
        found = _CODE.match(command)
        if found is None:
            if b"=" in command:  # a macro
                self.heats(line)
            return
        self.commands += 1
        letter, number = found[1], int(found[2][:6])
        rest = command[found.end() :]
        if letter == b"G":
            self._go(number, rest)
        elif letter == b"T":
            self._tool = number if number < 256 else self._tool
        elif number in {82, 83}:
            self._relative_e = number == 83
        if b"M" in command or number == 10:
            self.heats(line)

    def _go(self, number: int, rest: bytes) -> None:
        match number:
            case 0 | 1 | 2 | 3:
                self._move(number, words_of(rest))
            case 4:
                words = words_of(rest)
                self._spend(words.get(b"S", 0.0) + words.get(b"P", 0.0) / 1000)
            case 20 | 21:
                self._unit = _INCH if number == 20 else 1.0
            case 28:
                self._home(words_of(rest), rest)
            case 90 | 91:
                self._relative = number == 91
            case 92:
                self._name_place(words_of(rest))

    def _spend(self, seconds: float) -> None:
        if 0 < seconds < _FAR:
            self.seconds += seconds

    def _home(self, words: dict[bytes, float], rest: bytes) -> None:
        one = {axis for axis in (b"X", b"Y", b"Z") if axis in words or axis in rest}
        self._x = 0.0 if not one or b"X" in one else self._x
        self._y = 0.0 if not one or b"Y" in one else self._y
        self._z = 0.0 if not one or b"Z" in one else self._z

    def _name_place(self, words: dict[bytes, float]) -> None:
        self._x = _bounded(words.get(b"X", self._x / self._unit) * self._unit)
        self._y = _bounded(words.get(b"Y", self._y / self._unit) * self._unit)
        self._z = _bounded(words.get(b"Z", self._z / self._unit) * self._unit)
        self._e = _bounded(words.get(b"E", self._e / self._unit) * self._unit)

    def _to(self, words: dict[bytes, float], axis: bytes, now: float, *, relative: bool) -> float:
        if axis not in words:
            return now
        value = words[axis] * self._unit
        return _bounded(now + value if relative else value)

    def _move(self, number: int, words: dict[bytes, float]) -> None:
        x0, y0, z0, e0 = self._x, self._y, self._z, self._e
        relative = self._relative
        self._x = x = self._to(words, b"X", x0, relative=relative)
        self._y = y = self._to(words, b"Y", y0, relative=relative)
        self._z = z = self._to(words, b"Z", z0, relative=relative)
        self._e = e = self._to(words, b"E", e0, relative=relative or self._relative_e)
        if 0 < (feed := words.get(b"F", 0.0) * self._unit) < _FAR:
            self._feed = feed
        extent = [min(x0, x), min(y0, y), max(x0, x), max(y0, y)]
        way = math.dist((x0, y0, z0), (x, y, z))
        if number in {2, 3} and (b"I" in words or b"J" in words):
            centre = x0 + words.get(b"I", 0.0) * self._unit, y0 + words.get(b"J", 0.0) * self._unit
            extent, way = _arc((x0, y0), (x, y), centre, clockwise=number == 2)
        laid = e - e0
        self.filament[self._tool] += laid
        self._spend((way or abs(laid)) * 60 / self._feed)
        if laid > 0 and (x != x0 or y != y0 or number in {2, 3}):
            self._lay(extent, z, (x0, y0, x, y))

    def _lay(
        self, extent: list[float], z: float, stroke: tuple[float, float, float, float]
    ) -> None:
        left, front, right, back = extent
        box = self.box
        if box is None:
            self.box = [left, front, z, right, back, z]
        else:
            box[0], box[1], box[2] = min(box[0], left), min(box[1], front), min(box[2], z)
            box[3], box[4], box[5] = max(box[3], right), max(box[4], back), max(box[5], z)
        if len(self.levels) < _MOST_LEVELS:
            self.levels.add(round(z, 3))
        if self.segments is not None:
            self._keep(stroke, z)

    def _keep(self, stroke: tuple[float, float, float, float], z: float) -> None:
        assert self.segments is not None  # noqa: S101 - asked by the caller
        self._skipped += 1
        if self._skipped < self._stride:
            return
        self._skipped = 0
        x0, y0, x, y = stroke
        self.segments.extend((x0, y0, z, x, y))
        if len(self.segments) >= 5 * _MOST_SEGMENTS:
            half = array("f")
            for at in range(0, len(self.segments), 10):
                half.extend(self.segments[at : at + 5])
            self.segments = half
            self._stride *= 2


def _bounded(value: float) -> float:
    return max(-_FAR, min(_FAR, value))


def _arc(
    start: tuple[float, float],
    end: tuple[float, float],
    centre: tuple[float, float],
    *,
    clockwise: bool,
) -> tuple[list[float], float]:
    """Return the box of an arc and its length."""
    cx, cy = _bounded(centre[0]), _bounded(centre[1])
    radius = math.dist(start, (cx, cy))
    first = math.atan2(start[1] - cy, start[0] - cx)
    last = math.atan2(end[1] - cy, end[0] - cx)
    if clockwise:
        first, last = last, first
    if last <= first + 1e-9:
        last += 2 * math.pi  # the end where it began means all the way round
    across = [start[0], end[0]]
    along = [start[1], end[1]]
    for quarter in range(math.ceil(first / _QUARTER), math.floor(last / _QUARTER) + 1):
        across.append(cx + radius * math.cos(quarter * _QUARTER))
        along.append(cy + radius * math.sin(quarter * _QUARTER))
    return [min(across), min(along), max(across), max(along)], radius * (last - first)
