"""What filament is made of: one name for each material, what it weighs, and grams from millimetres."""

import math
from typing import Final

from brain_server.errors import InvalidRequest

STANDARD_DIAMETER: Final = 1.75
# Grams in a cubic centimetre, as makers print them on their data sheets; within 3 % of one another.
DENSITIES: Final = {
    "ABS": 1.04,
    "ASA": 1.07,
    "BVOH": 1.14,
    "HIPS": 1.04,
    "PA": 1.14,
    "PA-CF": 1.19,
    "PA-GF": 1.23,
    "PA12": 1.01,
    "PC": 1.20,
    "PC-ABS": 1.10,
    "PCTG": 1.23,
    "PEEK": 1.30,
    "PEI": 1.27,
    "PET": 1.34,
    "PET-CF": 1.34,
    "PETG": 1.27,
    "PETG-CF": 1.29,
    "PLA": 1.24,
    "PLA-CF": 1.26,
    "PLA-WOOD": 1.15,
    "POM": 1.41,
    "PP": 0.90,
    "PVA": 1.23,
    "PVB": 1.08,
    "TPU": 1.21,
}
# What is sold under many names and printed alike.
_ALIASES: Final = {
    "CO-POLYESTER": "PCTG",
    "NYLON": "PA",
    "NYLON-CF": "PA-CF",
    "PA-6": "PA",
    "PA6": "PA",
    "PA6-CF": "PA-CF",
    "PA6-GF": "PA-GF",
    "PA-12": "PA12",
    "PAHT-CF": "PA-CF",
    "PET-G": "PETG",
    "POLYCARBONATE": "PC",
    "ULTEM": "PEI",
    "WOOD": "PLA-WOOD",
}
# Words behind a material that change its looks or its price, and neither its weight nor how it prints.
_FINISHES: Final = frozenset(
    {"+", "PLUS", "PRO", "TOUGH", "BASIC", "ECO", "HF", "HS", "RAPID", "2.0"}
    | {"MATTE", "SILK", "GLITTER", "MARBLE", "GALAXY", "GLOW", "85A", "95A", "98A"}
)


def normal(name: str) -> str:
    """Return the one name of a material: ``pla+`` and ``PLA Matte`` are PLA, ``Nylon`` is PA."""
    words = name.upper().replace("+", " + ").replace("_", " ").split()
    kept = [word for word in words if word not in _FINISHES] or words
    joined = "-".join(kept)
    return _ALIASES.get(joined, joined)


def density_of(material: str, told: float | None = None) -> float:
    """Return grams in a cubic centimetre; InvalidRequest ``density_unknown`` where nobody can tell."""
    if told is not None:
        return told
    if material not in DENSITIES:
        raise InvalidRequest(
            "density_unknown",
            f"The density of {material} is not known; give it with the spool",
            material=material,
        )
    return DENSITIES[material]


def grams_of(mm: float, density: float, diameter_mm: float = STANDARD_DIAMETER) -> float:
    """Return what so many millimetres of filament weigh."""
    return mm * math.pi * (diameter_mm / 2) ** 2 * density / 1000
