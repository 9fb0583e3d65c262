"""Does a value have the shape that a model was asked for?"""

from typing import Any

import pytest

from brain_server.shape import misfit

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 5, "pattern": "^[A-Z]"},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 1, "maxItems": 2},
    },
    "required": ["name"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        ({"name": "Ada", "age": 36, "tags": ["a"]}, PERSON),
        ({"name": "Ada"}, PERSON),
        (3, {"type": "number"}),
        (3.0, {"type": "integer"}),
        (None, {"type": ["string", "null"]}),
        ("x", {"anyOf": [{"type": "integer"}, {"const": "x"}]}),
        (5, {"oneOf": [{"minimum": 4}, {"maximum": 3}]}),
        (5, {"allOf": [{"minimum": 4}, {"maximum": 6}]}),
        ({"more": 1}, {"type": "object"}),
        ({"more": 1}, {"type": "object", "additionalProperties": {"type": "integer"}}),
        ([1, "two"], {"type": "array"}),
        (5, {"exclusiveMinimum": 4, "exclusiveMaximum": 6}),
    ],
)
def test_a_value_that_fits_has_no_misfit(value: Any, schema: Any):
    assert misfit(value, schema) is None


@pytest.mark.parametrize(
    ("value", "schema", "place"),
    [
        ({"age": 3}, PERSON, "$ lacks name"),
        ({"name": ""}, PERSON, "$.name has the wrong length"),
        ({"name": "Adalinde"}, PERSON, "$.name has the wrong length"),
        ({"name": "ada"}, PERSON, "$.name does not have the form"),
        ({"name": "Ada", "age": -1}, PERSON, "$.age is out of bounds"),
        ({"name": "Ada", "age": 151}, PERSON, "$.age is out of bounds"),
        ({"name": "Ada", "age": "36"}, PERSON, "$.age is not of type integer"),
        ({"name": "Ada", "tags": []}, PERSON, "$.tags has the wrong number of items"),
        ({"name": "Ada", "tags": ["a", "c"]}, PERSON, "$.tags[1] is not one of"),
        ({"name": "Ada", "secret": 1}, PERSON, "$ has secret, which is unknown"),
        (True, {"type": "integer"}, "$ is not of type integer"),
        (1, {"type": "boolean"}, "$ is not of type boolean"),
        (1, {"type": "unheard of"}, "$ is not of type"),
        ("y", {"const": "x"}, "$ is not 'x'"),
        ("y", {"anyOf": [{"type": "integer"}, {"const": "x"}]}, "$ does not fit anyOf"),
        (5, {"oneOf": [{"minimum": 6}, {"maximum": 4}]}, "$ does not fit oneOf"),
        (5, {"allOf": [{"minimum": 4}, {"maximum": 4}]}, "$ does not fit allOf"),
        (4, {"exclusiveMinimum": 4}, "$ is out of bounds"),
        (6, {"exclusiveMaximum": 6}, "$ is out of bounds"),
        (float("nan"), {"enum": [1]}, "$ is not one of"),
    ],
)
def test_a_misfit_is_named_with_its_place(value: Any, schema: Any, place: str):
    assert (misfit(value, schema) or "").startswith(place)
