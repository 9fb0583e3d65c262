"""The facts of a print file: what its slicer wrote into it, and where it wrote nothing, what its moves tell.

Knows the comments of PrusaSlicer and SuperSlicer, OrcaSlicer and Bambu Studio, Cura, Simplify3D and ideaMaker.
"""

from base64 import b64decode
import binascii
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
import re
import time
from typing import Any, Final

from brain_server.fabrication.moves import Moves

# So many lines are followed move by move, for at most so long; of the rest only heat and the last words are read.
MOST_LINES: Final = 4_000_000
MOVES_S: Final = 30.0
_LOOK_EVERY: Final = 8192
MOST_KEYS: Final = 4000
MOST_VALUE: Final = 2000
# It has to fit into one frame of the wire, in base64.
MOST_PICTURE: Final = 700_000
MOST_PICTURES: Final = 16
_TAIL: Final = 4000
_MOST_TOOLS: Final = 64
_MOST_SECONDS: Final = 366 * 86_400.0

PNG: Final = b"\x89PNG\r\n\x1a\n"
JPEG: Final = b"\xff\xd8\xff"

_SLICERS: Final = {
    "prusaslicer": "PrusaSlicer",
    "superslicer": "SuperSlicer",
    "orcaslicer": "OrcaSlicer",
    "bambustudio": "BambuStudio",
    "cura_steamengine": "Cura",
    "simplify3d": "Simplify3D",
    "ideamaker": "ideaMaker",
}
_SLICER: Final = re.compile(
    rf"(?:by|with|name|^)[\s:=]*({'|'.join(_SLICERS)})(?:\(R\))?"
    r"(?:[\s,]|version)*([0-9][\w.]*)?",
    re.IGNORECASE,
)
_LAYER: Final = re.compile(rb";\s*(?:LAYER_CHANGE|CHANGE_LAYER|LAYER:\s*-?\d|layer \d+, Z)")
_THUMBNAIL: Final = re.compile(rb";\s*thumbnail(?:_[A-Z]+)? (begin|end)")
_FIGURE: Final = re.compile(r"[-+]?\d+(?:\.\d+)?")
_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([dhms])", re.IGNORECASE)
_COLOR: Final = re.compile(r"#([0-9a-fA-F]{6})")
_TOTAL_TIME: Final = re.compile(r"total estimated time:\s*([^;]+)")
_METRES: Final = re.compile(r"\d\s*m\b")
_IN_A: Final = {"d": 86_400, "h": 3600, "m": 60, "s": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a print file. None, or empty: nobody can tell."""

    slicer: str | None = None
    printer: str | None = None
    # Seconds, without the time to heat up; ``rough`` where no slicer told and moves were added up.
    estimated_s: float | None = None
    rough: bool = False
    # {"tool", "material", "color": "rrggbb", "mm", "grams"} of each tool that prints
    tools: list[dict[str, Any]] = field(default_factory=list)
    material: str | None = None
    materials: list[str] = field(default_factory=list)
    colors: list[str] = field(default_factory=list)
    filament_mm: float | None = None
    grams: float | None = None
    nozzle_mm: float | None = None
    layer_height: float | None = None
    layers: int | None = None
    # Where plastic goes, in millimetres: left, front, lowest, right, back, highest.
    box: list[float] | None = None
    max_nozzle: float | None = None
    max_bed: float | None = None
    plates: int = 1
    # Of which plate all of this is, and the numbers of those that there are.
    plate: int = 1
    plate_numbers: list[int] = field(default_factory=lambda: [1])
    # False where the file was too long to follow every move.
    whole: bool = True


@dataclass(slots=True, kw_only=True)
class Source:
    """An opened print file: what its container tells, the lines of its G-code, and its pictures."""

    kind: str
    lines: Iterable[bytes]
    told: dict[str, str] = field(default_factory=dict)
    # By kind of content, largest last.
    pictures: list[bytes] = field(default_factory=list)
    plate: int = 1
    plates: list[int] = field(default_factory=lambda: [1])
    # Why its lines end before the file does, after they were read.
    cut: Callable[[], bool] = lambda: False


class Scan:
    """One pass over the lines of a file."""

    def __init__(self, source: Source, moves: Moves) -> None:
        """Take what is already told, and who follows the moves."""
        self.told = dict(source.told)
        self.pictures = list(source.pictures)
        self.moves = moves
        self.slicer: str | None = None
        self.layers = 0
        self.whole = True
        self._source = source
        self._picture: bytearray | None = None

    def run(
        self, *, most_lines: int = MOST_LINES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Read all lines, as far as there is time for it."""
        deadline = clock() + MOVES_S
        lines = iter(self._source.lines)
        for number, line in enumerate(lines, 1):
            if line.lstrip()[:1] == b";":
                self._comment(line.strip())
            else:
                self.moves.take(line)
            if number >= most_lines or (number % _LOOK_EVERY == 0 and clock() > deadline):
                self._skim(lines)
        self.whole = self.whole and not self._source.cut()

    def _skim(self, lines: Iterator[bytes]) -> None:
        """Look through the rest for heat, and at its last comments: slicers end with what they know."""
        last: deque[bytes] = deque(maxlen=_TAIL)
        for line in lines:
            self.whole = False
            if line[:1] == b";":
                last.append(line)
            elif line[:3] not in {b"G1 ", b"G0 "} or b"M" in line or b"m" in line:
                self.moves.heats(line)
        for line in last:
            self._comment(line.strip())

    def _comment(self, line: bytes) -> None:
        if found := _THUMBNAIL.match(line):
            self._end_picture()
            self._picture = bytearray() if found[1] == b"begin" else None
        elif self._picture is not None:
            if len(self._picture) < MOST_PICTURE * 4 // 3:
                self._picture += line[1:].strip()
        elif _LAYER.match(line):
            if self.layers == 0:
                self.moves.begin()
            self.layers += 1
        else:
            self._word(line[1:].decode("utf-8", "replace").strip())

    def _end_picture(self) -> None:
        if not self._picture or len(self.pictures) >= MOST_PICTURES:
            return
        try:
            self.pictures.append(b64decode(bytes(self._picture), validate=True))
        except binascii.Error:
            return  # a broken picture is none

    def _word(self, text: str) -> None:
        """Keep one line of what the slicer tells; the first word of a kind counts."""
        if self.slicer is None and (found := _SLICER.search(text[:200])):
            name, version = _SLICERS[found[1].lower()], found[2]
            self.slicer = f"{name} {version}" if version else name
        if len(self.told) >= MOST_KEYS:
            return
        mark = next((one for one in (" = ", ":", "=", ",") if one in text), None)
        if mark is not None:
            key, _, value = text.partition(mark)
            self.told.setdefault(key.strip().lower()[:100], value.strip()[:MOST_VALUE])


def facts_of(source: Source, scan: Scan) -> Facts:
    """Return what a scan found out."""
    told, moves = scan.told, scan.moves
    estimated = _time(told)
    rough = estimated is None and moves.seconds > 0
    tools = _tools(told, moves)
    box = [round(one, 3) for one in moves.box] if moves.box and scan.whole else None
    layers = _whole(told, "total layer number", "total layers count", "layer_count")
    return Facts(
        slicer=scan.slicer or _slicer_of(told),
        printer=_text(told, "printer_model", "target_machine.name", "printer_model_id"),
        estimated_s=round(moves.seconds, 1) if rough else estimated,
        rough=rough,
        tools=tools,
        material=next((one["material"] for one in tools if one["material"]), None),
        materials=list(dict.fromkeys(one["material"] for one in tools if one["material"])),
        colors=list(dict.fromkeys(one["color"] for one in tools if one["color"])),
        filament_mm=_sum(tools, "mm"),
        grams=_sum(tools, "grams"),
        nozzle_mm=_first(
            told,
            "nozzle_diameter",
            "nozzle_diameters",
            "extruderdiameter",
            "extruder_train.0.nozzle.diameter",
            "nozzle diameter #1",
        ),
        layer_height=_first(told, "layer_height", "layer height", "layerheight"),
        layers=layers or scan.layers or (len(moves.levels) or None),
        box=box,
        max_nozzle=_hottest(moves, told, "nozzle", _NOZZLE_KEYS),
        max_bed=_hottest(moves, told, "bed", _BED_KEYS),
        plates=len(source.plates),
        plate=source.plate,
        plate_numbers=source.plates,
        whole=scan.whole,
    )


_NOZZLE_KEYS: Final = (
    "temperature",
    "first_layer_temperature",
    "nozzle_temperature",
    "nozzle_temperature_initial_layer",
    "extruder_train.0.initial_temperature",
)
_BED_KEYS: Final = ("bed_temperature", "first_layer_bed_temperature")


def best_picture(pictures: Sequence[bytes]) -> bytes | None:
    """Return the largest PNG or JPEG; there is no other form that every browser shows."""
    shown = [one for one in pictures if one.startswith((PNG, JPEG)) and len(one) <= MOST_PICTURE]
    return max(shown, key=len, default=None)


def seconds(text: str) -> float | None:
    """Return a span of time: ``1d 2h 3m 4s``, ``1 hour 22 minutes`` or plain seconds."""
    if _FIGURE.fullmatch(text.strip()):
        found = float(text)
    else:
        found = sum(float(count) * _IN_A[unit.lower()] for count, unit in _SPAN.findall(text))
    return found if 0 < found < _MOST_SECONDS else None


def _slicer_of(told: Mapping[str, str]) -> str | None:
    text = _text(told, "producer", "generator.name")
    return None if text is None else text[:100]


def _text(told: Mapping[str, str], *names: str) -> str | None:
    return next((told[name][:255] for name in names if told.get(name)), None)


def _figures(text: str) -> list[float]:
    """Return the figures of a list; one that is not there is 0."""
    parts = re.split("[,;]", text)[:_MOST_TOOLS]
    return [float(found[0][:20]) if (found := _FIGURE.search(one)) else 0.0 for one in parts]


def _first(told: Mapping[str, str], *names: str) -> float | None:
    for name in names:
        figures = _figures(told.get(name, ""))
        if figures[0] > 0:
            return figures[0]
    return None


def _whole(told: Mapping[str, str], *names: str) -> int | None:
    found = _first(told, *names)
    return None if found is None else int(found)


def _time(told: Mapping[str, str]) -> float | None:
    if found := _TOTAL_TIME.search(told.get("model printing time", "")):
        return seconds(found[1])
    names = (
        "estimated printing time (normal mode)",
        "prediction",
        "time",
        "print.time",
        "build time",
        "print time",
    )
    spans = (seconds(told[name]) for name in names if name in told)
    return next((one for one in spans if one is not None), None)


def _hottest(
    moves: Moves, told: Mapping[str, str], part: str, names: Sequence[str]
) -> float | None:
    """Return what the commands ask for; where there are none, what the slicer was set to."""
    if part in moves.hottest:
        return moves.hottest[part]
    found = max((max(_figures(told.get(name, ""))) for name in names), default=0.0)
    return found if found > 0 else None


def _sum(tools: Sequence[Mapping[str, Any]], name: str) -> float | None:
    known = [one[name] for one in tools if one[name] is not None]
    return round(sum(known), 3) if known and len(known) == len(tools) else None


def _tools(told: Mapping[str, str], moves: Moves) -> list[dict[str, Any]]:
    """Return the tools that print: what is in them, and how much of it the file takes."""
    lengths = _lengths(told)
    weights = _weights(told)
    materials = _materials(told)
    colors = _colors(told.get("filament_colour") or told.get("extruder_colour") or "")
    amounts = lengths or weights
    moved = sorted(tool for tool, mm in moves.filament.items() if mm > 0)
    if ids := [int(one) - 1 for one in _figures(told.get("filament", "")) if 1 <= one <= 256]:
        # Bambu Studio tells the amounts of these filaments alone, one after the other.
        used = list(zip(ids, range(len(ids)), strict=True))
    elif len(amounts) == 1 and len(moved) == 1:
        used = [(moved[0], 0)]
    elif amounts:
        used = [(at, at) for at, amount in enumerate(amounts) if amount > 0]
    elif moved:
        used = [(tool, -1) for tool in moved[:_MOST_TOOLS]]
    else:
        used = [(at, -1) for at in range(len(materials))]
    return [
        {
            "tool": tool,
            "material": _at(materials, tool) or (materials[0] if len(materials) == 1 else None),
            "color": _at(colors, tool),
            "mm": _amount(_at(lengths, at)) or _amount(moves.filament.get(tool)),
            "grams": _amount(_at(weights, at)),
        }
        for tool, at in used
    ]


def _at[T](items: Sequence[T], at: int) -> T | None:
    return items[at] if 0 <= at < len(items) else None


def _amount(figure: float | None) -> float | None:
    return round(figure, 3) if figure is not None and figure > 0 else None


def _lengths(told: Mapping[str, str]) -> list[float]:
    """Return the millimetres of each tool."""
    for name in ("filament used [mm]", "total filament length [mm]", "used_mm"):
        if name in told:
            return _figures(told[name])
    if "filament used" in told:  # Cura: "2.78m, 0m"
        factor = 1000 if _METRES.search(told["filament used"]) else 1
        return [one * factor for one in _figures(told["filament used"])]
    if "filament length" in told:  # Simplify3D: "3412.5 mm (3.41 m)"
        return _figures(told["filament length"])[:1]
    return _numbered(told, "material#{} used")  # ideaMaker


def _weights(told: Mapping[str, str]) -> list[float]:
    """Return the grams of each tool."""
    for name in ("filament used [g]", "total filament weight [g]", "total filament used [g]"):
        if name in told:
            return _figures(told[name])
    return _figures(told["plastic weight"])[:1] if "plastic weight" in told else []


def _numbered(told: Mapping[str, str], form: str) -> list[float]:
    found: list[float] = []
    while len(found) < _MOST_TOOLS and (name := form.format(len(found) + 1)) in told:
        found += _figures(told[name])[:1]
    return found


def _materials(told: Mapping[str, str]) -> list[str | None]:
    text = told.get("filament_type") or told.get("printmaterial") or told.get("filament type #1")
    if text:
        return [one.strip().strip('"')[:32] or None for one in re.split("[;,]", text)[:_MOST_TOOLS]]
    return []


def _colors(text: str) -> list[str | None]:
    parts = re.split("[;,]", text)[:_MOST_TOOLS]
    return [found[1].lower() if (found := _COLOR.search(one)) else None for one in parts]
