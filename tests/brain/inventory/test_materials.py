"""Names of materials and colours, and what filament weighs."""

import re

import pytest

from brain_server.errors import InvalidRequest
from brain_server.inventory import colors
from brain_server.inventory.materials import DENSITIES, density_of, grams_of, normal
from tests.docs.facts import ROOT


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("pla", "PLA"),
        (" PLA+ ", "PLA"),
        ("PLA Matte", "PLA"),
        ("Silk PLA", "PLA"),
        ("Silk", "SILK"),
        ("PET-G", "PETG"),
        ("nylon", "PA"),
        ("PA6-CF", "PA-CF"),
        ("pla cf", "PLA-CF"),
        ("TPU 95A", "TPU"),
        ("pc_abs", "PC-ABS"),
        ("Wood", "PLA-WOOD"),
    ],
)
def test_a_material_has_one_name(said: str, meant: str) -> None:
    assert normal(said) == meant


@pytest.mark.parametrize("material", sorted(DENSITIES))
def test_every_known_material_is_its_own_name(material: str) -> None:
    assert normal(material) == material


def test_a_density_that_is_told_is_taken() -> None:
    assert density_of("PLA", 1.3) == 1.3
    assert density_of("PLA") == 1.24


def test_a_density_that_nobody_knows_is_asked_for() -> None:
    with pytest.raises(InvalidRequest) as error:
        density_of("CHEESE")
    assert (error.value.code, error.value.fields) == ("density_unknown", {"material": "CHEESE"})


def test_a_kilogram_of_pla_is_335_metres() -> None:
    assert grams_of(335_290, 1.24) == pytest.approx(1000, abs=0.1)


def test_the_document_has_the_densities_of_the_code() -> None:
    table = (ROOT / "docs/INVENTORY.md").read_text("utf-8")
    told = re.findall(r"`([A-Z][A-Z0-9-]+)` (\d\.\d\d)", table)
    assert {name: float(density) for name, density in told} == DENSITIES


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("#FF8000", "ff8000"),
        ("ff8000", "ff8000"),
        ("ff8000cc", "ff8000"),
        ("#f80", "ff8800"),
        ("Red", colors.NAMES["red"]),
        ("  Galaxy   Black ", "000000"),
        ("#ff80", None),
        ("fff", None),
        ("blurple", None),
        ("", None),
    ],
)
def test_a_colour_is_a_name_or_a_code(said: str, meant: str | None) -> None:
    assert colors.parsed(said) == meant


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("Galaxy Black", ("000000", "galaxy black")),
        ("#FF8000", ("ff8000", None)),
        (None, (None, None)),
        (" ", (None, None)),
    ],
)
def test_a_colour_keeps_the_name_that_a_person_gave(
    said: str | None, meant: tuple[str | None, str | None]
) -> None:
    assert colors.given(said) == meant


@pytest.mark.parametrize(
    ("color", "kind"),
    [
        ("1a1a1a", "black"),
        ("f8f8f8", "white"),
        ("606060", "gray"),
        ("c4c4c4", "silver"),
        ("d01010", "red"),
        ("ff4500", "orange"),
        ("ffd700", "yellow"),
        ("2e8b57", "green"),
        ("00bfff", "blue"),
        ("8f00ff", "purple"),
        ("ff69b4", "pink"),
        ("8b4513", "brown"),
        ("f5f5dc", "beige"),
        ("40c0c0", "turquoise"),
    ],
)
def test_a_colour_is_of_the_kind_that_people_say(color: str, kind: str) -> None:
    assert colors.kind_of(color) == kind


@pytest.mark.parametrize(
    ("color", "wanted", "fits"),
    [
        ("1a1a1a", "black", True),
        ("1a1a1a", "BLACK ", True),
        ("707070", "grey", True),
        ("000080", "navy", True),
        ("ff0000", "navy", False),
        ("ff0000", "#f00808", True),
        ("ff0000", "#800000", False),
    ],
)
def test_a_kind_means_all_of_it_and_a_shade_what_looks_like_it(
    color: str, wanted: str, fits: bool
) -> None:
    assert colors.fits(color, wanted) is fits
