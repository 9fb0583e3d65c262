"""Colours of filament: from names and codes to ``rrggbb``, and whether a spool has the colour that is wanted."""

from functools import cache
import math
import re
from typing import Final

from brain_server.errors import InvalidRequest
from brain_server.protocol import Json

type Lab = tuple[float, float, float]

# The kinds of colour that people ask for, each with shades of it; every other colour is of the nearest kind.
KINDS: Final = {
    "black": ("000000", "202020"),
    "white": ("ffffff", "f4f4f4"),
    "gray": ("808080", "505050", "a0a0a0"),
    "silver": ("c0c0c0", "d0d0d0"),
    "red": ("e01010", "ff0000", "b22222", "800000"),
    "orange": ("ff8000", "ff6000"),
    "yellow": ("ffe000", "ffff00", "ffff80"),
    "green": ("10a020", "00ff00", "006400", "808000", "90ee90"),
    "blue": ("1040e0", "0000ff", "000080", "4682b4", "87ceeb"),
    "purple": ("8020c0", "8f00ff", "4b0082", "b57edc"),
    "pink": ("ff80b0", "ffc0cb", "ff1493"),
    "brown": ("7a4a20", "5c4033", "a0522d"),
    "beige": ("f0e0c0", "d2b48c"),
    "gold": ("c8a030", "d4af37"),
    "turquoise": ("20c0c0", "008080", "40e0d0"),
}
NAMES: Final = {kind: shades[0] for kind, shades in KINDS.items()} | {
    "amber": "ffbf00",
    "aqua": "00ffff",
    "bronze": "a97142",
    "charcoal": "36454f",
    "copper": "b87333",
    "cream": "fff5d0",
    "crimson": "dc143c",
    "cyan": "00ffff",
    "grey": "808080",
    "indigo": "4b0082",
    "ivory": "fffff0",
    "lavender": "b57edc",
    "lilac": "c8a2c8",
    "lime": "80ff00",
    "magenta": "ff00ff",
    "maroon": "800000",
    "mint": "98ff98",
    "natural": "f5f0e0",
    "navy": "000080",
    "olive": "808000",
    "rose": "ff60a0",
    "tan": "d2b48c",
    "teal": "008080",
    "violet": "8f00ff",
}
# Two colours that lie nearer than this in CIELAB are one colour to a person who asks for it.
SAME: Final = 25.0
_CODE: Final = re.compile(r"#?([0-9a-f]{6})(?:[0-9a-f]{2})?|#([0-9a-f])([0-9a-f])([0-9a-f])")
_WHITE: Final = (0.95047, 1.0, 1.08883)  # daylight, D65


def parsed(text: str) -> str | None:
    """Return the ``rrggbb`` of a code or a name, or None; ``#rgb`` and a code with opacity are taken, too."""
    said = _plain(text)
    if code := _CODE.fullmatch(said):
        return code[1] or code[2] * 2 + code[3] * 2 + code[4] * 2
    # "galaxy black", "dark blue": the last word is the colour.
    return NAMES.get(said.rpartition(" ")[2])


def given(text: str | None) -> tuple[str | None, str | None]:
    """Return ``rrggbb`` and name of what a person wrote; InvalidRequest ``unknown_color`` otherwise."""
    said = _plain(text or "")
    if not said:
        return None, None
    found = parsed(said)
    if found is None:
        raise InvalidRequest("unknown_color", f"{text} is not a colour", color=text)
    return found, None if _CODE.fullmatch(said) else said


def kind_of(color: str) -> str:
    """Return the kind of colour that an ``rrggbb`` is of."""
    return min(KINDS, key=lambda kind: min(distance(shade, color) for shade in KINDS[kind]))


def fits(color: str | None, wanted: str | Json | None) -> bool:
    """Tell whether a spool of this colour may be taken; a rule is ``{"is": [...], "not": [...]}``.

    A spool of unknown colour fits only where none is asked for, and no rule forbids it.
    """
    rule = {"is": [wanted]} if isinstance(wanted, str) else wanted or {}
    allowed, forbidden = rule.get("is") or [], rule.get("not") or []
    if color is None:
        return not allowed
    return (not allowed or any(_alike(color, one) for one in allowed)) and not any(
        _alike(color, one) for one in forbidden
    )


def _alike(color: str, wanted: str) -> bool:
    """A kind means all colours of it; any other colour means those that look the same."""
    said = _plain(wanted).replace("grey", "gray")
    if said in KINDS:
        return kind_of(color) == said
    code = parsed(wanted)
    return code is not None and distance(color, code) < SAME


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def distance(one: str, other: str) -> float:
    """Return how far apart two colours look (CIE76)."""
    return math.dist(_lab(one), _lab(other))


@cache
def _lab(color: str) -> Lab:
    red, green, blue = (_linear(int(color[at : at + 2], 16) / 255) for at in (0, 2, 4))
    x = 0.4124 * red + 0.3576 * green + 0.1805 * blue
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    z = 0.0193 * red + 0.1192 * green + 0.9505 * blue
    fx, fy, fz = (_bent(value / white) for value, white in zip((x, y, z), _WHITE, strict=True))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4


def _bent(value: float) -> float:
    return value ** (1 / 3) if value > 0.008856 else 7.787 * value + 16 / 116
