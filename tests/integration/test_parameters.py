"""What a request may bring along: by the table that both sides of the wire share."""

import math

import pytest

from custom_components.kitty.protocol import Json, invalid_params

RANGE = "must be between 0 and 350"


@pytest.mark.parametrize(
    ("intent", "params", "wrong"),
    [
        ("lock", {}, {}),
        ("lock", {"code": "1234"}, {"code": "unknown"}),
        ("heat", {"nozzle": 210}, {}),
        ("heat", {}, {"nozzle": "required"}),
        ("heat", {"nozzle": 351.0}, {"nozzle": RANGE}),
        ("heat", {"nozzle": -1, "bed": 20}, {"nozzle": RANGE}),
        ("heat", {"nozzle": math.nan}, {"nozzle": RANGE}),
        ("heat", {"nozzle": True}, {"nozzle": "must be a number"}),
        ("heat", {"nozzle": "hot"}, {"nozzle": "must be a number"}),
        ("print_start", {"file": "cube.gcode", "ventilation": True}, {}),
        ("print_start", {"ventilation": True}, {"file": "required"}),
        ("print_start", {"file": 7}, {"file": "must be of type str"}),
        ("print_start", {"file": ""}, {"file": "must have 1 to 255 characters"}),
        (
            "print_start",
            {"file": "cube.gcode", "ventilation": "yes"},
            {"ventilation": "must be of type bool"},
        ),
        ("print_start", {"file": "box.3mf", "plate": 2}, {}),
        ("print_start", {"file": "box.3mf", "plate": 0}, {"plate": "must be between 1 and 999"}),
        ("print_start", {"file": "box.3mf", "plate": 2.0}, {"plate": "must be a whole number"}),
        ("print_start", {"file": "box.3mf", "plate": True}, {"plate": "must be a whole number"}),
        ("gcode", {"script": "M" * 4097}, {"script": "must have 1 to 4096 characters"}),
    ],
)
def test_what_is_wrong_with_parameters_is_told_by_field(
    intent: str, params: Json, wrong: Json
) -> None:
    """Nothing that is out of bounds reaches a device."""
    assert invalid_params(intent, params) == wrong
