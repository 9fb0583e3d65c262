"""What a printer can take, as its people told it, and what is refused before anybody is asked."""

from collections.abc import Mapping
from dataclasses import dataclass
import re
from typing import Any, Final, Self

from brain_server.errors import InvalidRequest
from brain_server.gcode import targets
from brain_server.protocol import Json

# Raw G-code is for a look or a repair; what is longer is a print, and has a file.
MOST_LINES: Final = 50
# A line of purging may lie so far beside the bed, in millimetres.
_SLACK: Final = 1.0
_NOZZLE_SLACK: Final = 0.01
_SIDE: Final = r"\s*(\d{1,5}(?:\.\d+)?)\s*"
_VOLUME: Final = re.compile(f"{_SIDE}[xX*]{_SIDE}[xX*]{_SIDE}")
_SEPARATED: Final = re.compile("[,;/]")
_PLUS: Final = re.compile(r"[^A-Z0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one printer; None, or empty: nobody told, so nothing is refused for it."""

    volume: tuple[float, float, float] | None = None
    nozzle_mm: float | None = None
    materials: frozenset[str] = frozenset()
    max_nozzle: float | None = None
    max_bed: float | None = None
    gcode: bool = True

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """Read the profile of a printer; InvalidRequest ``invalid_option`` names the field."""
        text = options.get("volume")
        volume = None
        if text:
            found = _VOLUME.fullmatch(text)
            sides = tuple(float(one) for one in found.groups()) if found else ()
            if not sides or min(sides) <= 0:
                raise InvalidRequest(
                    "invalid_option", "Write the volume as 220x220x250", field="volume"
                )
            volume = sides[0], sides[1], sides[2]
        names = _SEPARATED.split(options.get("materials") or "")
        return cls(
            volume=volume,
            nozzle_mm=options.get("nozzle_mm"),
            materials=frozenset(_plain(name) for name in names if name.strip()),
            max_nozzle=options.get("max_nozzle"),
            max_bed=options.get("max_bed"),
            gcode=options.get("gcode") is not False,
        )

    def check_heat(self, wanted: Mapping[str, float]) -> None:
        """Refuse, as ``over_limit``, what is hotter than the printer may be."""
        for part, most in (("nozzle", self.max_nozzle), ("bed", self.max_bed)):
            asked = wanted.get(part)
            if most is not None and asked is not None and asked > most:
                raise InvalidRequest(
                    "over_limit",
                    f"The {part} may have at most {most:g} °C",
                    part=part,
                    asked=asked,
                    most=most,
                )

    def check_gcode(self, script: str) -> None:
        """Refuse raw G-code where it is not wanted, too long, or asks for too much heat."""
        if not self.gcode:
            raise InvalidRequest("gcode_forbidden", "This printer takes no raw G-code")
        lines = script.splitlines()
        if len(lines) > MOST_LINES:
            raise InvalidRequest(
                "over_limit",
                f"Raw G-code has at most {MOST_LINES} lines",
                part="lines",
                asked=len(lines),
                most=MOST_LINES,
            )
        for line in lines:
            for part, degrees in targets(line.encode("utf-8", "replace")):
                self.check_heat({part: degrees})

    def misfits(self, facts: Mapping[str, Any]) -> list[Json]:
        """Return why a file cannot be printed here: ``{"what", "needs", "has"}`` of each reason."""
        found: list[Json] = []
        box = facts.get("box")
        if self.volume is not None and box is not None and not _holds(self.volume, box):
            found.append({"what": "volume", "needs": box, "has": list(self.volume)})
        nozzle = facts.get("nozzle_mm")
        if (
            self.nozzle_mm is not None
            and nozzle is not None
            and abs(nozzle - self.nozzle_mm) > _NOZZLE_SLACK
        ):
            found.append({"what": "nozzle", "needs": nozzle, "has": self.nozzle_mm})
        wanted = facts.get("materials") or []
        foreign = [name for name in wanted if self.materials and not self._takes(name)]
        if foreign:
            found.append({"what": "material", "needs": foreign, "has": sorted(self.materials)})
        for part in ("nozzle", "bed"):
            needs, has = facts.get(f"max_{part}"), getattr(self, f"max_{part}")
            if needs is not None and has is not None and needs > has:
                found.append({"what": f"max_{part}", "needs": needs, "has": has})
        return found

    def _takes(self, material: str) -> bool:
        return _plain(material) in self.materials


def _plain(material: str) -> str:
    """Return a material without what its maker adds: ``Pla+`` is PLA, ``PA-CF`` stays PACF."""
    return _PLUS.sub("", material.upper().removesuffix("PLUS"))


def _holds(volume: tuple[float, float, float], box: list[float]) -> bool:
    """Tell whether a volume holds a box, with its origin in the corner or in the middle of the bed."""
    wide, deep, tall = volume
    left, front, _low, right, back, high = box
    corner = min(left, front) >= -_SLACK and right <= wide + _SLACK and back <= deep + _SLACK
    middle = max(-left, right) <= wide / 2 + _SLACK and max(-front, back) <= deep / 2 + _SLACK
    return high <= tall + _SLACK and (corner or middle)
