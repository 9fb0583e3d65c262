"""Materials that give off something when they melt: printing them needs moving air."""

import re
from typing import Final

# By the word that stands in the name of a material; documented in docs/FABRICATION.md.
HAZARDS: Final = {
    "ABS": "styrene",
    "ASA": "styrene",
    "HIPS": "styrene",
    "PS": "styrene",
    "SBS": "styrene",
    "PC": "bisphenol",
    "PA": "caprolactam",
    "NYLON": "caprolactam",
    "PAHT": "caprolactam",
    "PPA": "caprolactam",
    "POM": "formaldehyde",
    "PVC": "hydrogen_chloride",
    "PEI": "hot_polymer",
    "PEEK": "hot_polymer",
    "PEKK": "hot_polymer",
    "PPS": "hot_polymer",
    "PPSU": "hot_polymer",
    "PSU": "hot_polymer",
    "ULTEM": "hot_polymer",
    "CF": "fibres",
    "GF": "fibres",
    "CARBON": "fibres",
    "GLASS": "fibres",
    "KEVLAR": "fibres",
    "ARAMID": "fibres",
}
_ALIASES: Final = {"POLYCARBONATE": "PC", "POLYAMIDE": "PA", "ACETAL": "POM"}
_HARMLESS: Final = frozenset(
    {"PLA", "PETG", "PET", "PCTG", "TPU", "TPE", "PVA", "BVOH", "PVB", "PP", "PE", "PHA", "PCL"}
)
_WORD: Final = re.compile("[A-Z]+")


def hazards(material: str) -> list[str]:
    """Return what a material gives off, none for one that is harmless or not known."""
    return sorted({HAZARDS[word] for word in _words(material) if word in HAZARDS})


def is_known(material: str) -> bool:
    """Tell whether anything is known of a material."""
    return any(word in HAZARDS or word in _HARMLESS for word in _words(material))


def _words(material: str) -> list[str]:
    return [_ALIASES.get(word, word) for word in _WORD.findall(material.upper())]
