"""The errors of the brain, in the words of people."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from custom_components import kitty
from custom_components.kitty.errors import BrainError
from custom_components.kitty.protocol import Json

EN: Final[Json] = json.loads(
    (Path(kitty.__file__).parent / "translations" / "en.json").read_text("utf-8")
)


def told(code: str, **details: Any) -> str:
    """Return what people read of an error that came from the brain."""
    error = BrainError.from_frame({"code": code, "message": "No", "details": details})
    message: str = EN["exceptions"][str(error.translation_key)]["message"]
    return message.format_map(error.translation_placeholders or {})


@pytest.mark.parametrize(
    ("misfit", "words"),
    [
        (
            {"what": "material", "needs": ["ABS", "PC"], "has": ["PLA"]},
            "The file is for ABS, PC, and this printer prints only PLA.",
        ),
        (
            {"what": "max_nozzle", "needs": 300.0, "has": 260.0},
            "The file heats the nozzle to 300 °C, and this printer may have at most 260 °C.",
        ),
        (
            {"what": "max_bed", "needs": 110, "has": 80},
            "The file heats the bed to 110 °C, and this printer may have at most 80 °C.",
        ),
        (
            {"what": "nozzle", "needs": 0.6, "has": 0.4},
            "The file is for a nozzle of 0.6 mm, and this printer has one of 0.4 mm.",
        ),
        (
            {"what": "volume", "needs": [0.0, 0.0, 0.0, 300.0, 10.0, 10.0], "has": [220.0, 220.0]},
            "The print does not lie within the space of this printer (220, 220 mm).",
        ),
    ],
)
def test_why_a_printer_cannot_print_a_file_is_said_in_words(misfit: Json, words: str) -> None:
    """With what the file needs and what the printer has; the first reason, where there are several."""
    others = [misfit, {"what": "nozzle", "needs": 1.0, "has": 2.0}]
    found = told("does_not_fit", what="bare, words", misfits=others)
    assert found.startswith(words)


@pytest.mark.parametrize(
    "details", [{}, {"misfits": []}, {"misfits": ["x"]}, {"misfits": [{"what": "smell"}]}]
)
def test_a_reason_without_words_is_left_out(details: Json) -> None:
    """A brain that is newer may have one."""
    assert told("does_not_fit", **details).startswith("This printer cannot print this file. ")


def test_a_word_of_the_brain_has_a_sentence_of_its_own() -> None:
    """Else it would stand in English within any other language."""
    assert told("over_limit", part="nozzle", asked=250.0, most=240.0).startswith(
        "The nozzle may have at most 240 °C, not 250."
    )
    assert told("capability_off", because="models.far", what="?").startswith("The use of models")


@pytest.mark.parametrize("part", ["chamber", None, 7])
def test_what_has_no_sentence_of_its_own_is_told_by_its_fields(part: object) -> None:
    """A brain that is newer may name something else."""
    found = told("over_limit", part=part, asked=250.0, most=240.0)
    assert found.startswith(f"The {part} may have at most 240, not 250.")
