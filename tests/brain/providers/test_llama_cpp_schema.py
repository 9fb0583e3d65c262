"""What a grammar is made of, and what fits a schema."""

import json
import math
from typing import Any

from hypothesis import given, settings, strategies as st
import pytest

from brain_server.protocol import Json
from brain_server.providers.llama_cpp.schema import constrained
from brain_server.shape import misfit

ANYTHING = [{"type": name} for name in ("object", "array", "string", "boolean", "null", "number")]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"const": 1, "type": "integer"}, {"const": 1}),
        ({"enum": ["a", "b"], "type": "string"}, {"enum": ["a", "b"]}),
        ({"type": "boolean", "description": "x"}, {"type": "boolean"}),
        ({"type": "string", "maxLength": 9, "minLength": 1}, {"type": "string", "minLength": 1, "maxLength": 9}),
        ({"type": "string", "maxLength": 100_000}, {"type": "string"}),
        ({"type": "string", "pattern": "^a+$"}, {"type": "string"}),
        ({"type": "string", "format": "date"}, {"type": "string", "format": "date"}),
        ({"type": "string", "format": "email"}, {"type": "string"}),
        ({"type": "integer", "minimum": 1, "maximum": 3}, {"enum": [1, 2, 3]}),
        ({"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 3}, {"enum": [1, 2]}),
        ({"type": "integer", "minimum": 0.5, "maximum": 2.5}, {"enum": [1, 2]}),
        ({"type": "integer", "minimum": 0, "maximum": 5000}, {"type": "integer"}),
        ({"type": "integer", "minimum": 3, "maximum": 1}, {"type": "integer"}),
        ({"type": "integer", "minimum": 3}, {"type": "integer"}),
        ({"type": "number", "minimum": 0, "maximum": 1}, {"type": "number"}),
        ({"type": "array"}, {"type": "array"}),
        ({"type": "array", "items": {"enum": [1]}, "x": 2}, {"type": "array", "items": {"enum": [1]}}),
        ({"type": "array", "maxItems": 2}, {"type": "array", "items": {"anyOf": ANYTHING}, "maxItems": 2}),
        ({"type": ["integer", "null"], "minimum": 1, "maximum": 2}, {"anyOf": [{"enum": [1, 2]}, {"type": "null"}]}),
        ({"oneOf": [{"type": "null"}, {"const": 1}]}, {"anyOf": [{"type": "null"}, {"const": 1}]}),
        ({"type": "object"}, {"type": "object"}),
        ({"type": "object", "additionalProperties": True}, {"type": "object"}),
        ({}, {"anyOf": ANYTHING}),
        ({"type": "odd"}, {"anyOf": ANYTHING}),
        ({"$ref": "#/nowhere"}, {"anyOf": ANYTHING}),
        ({"$ref": "#/a", "a": {"$ref": "#/a"}}, {"anyOf": ANYTHING}),
        ({"$ref": "https://example.com/x"}, {"anyOf": ANYTHING}),
    ],
)  # fmt: skip
def test_a_schema_becomes_what_the_grammar_knows(schema: Json, expected: Json) -> None:
    assert constrained(schema) == expected


def test_an_object_has_its_properties_and_no_others() -> None:
    assert constrained({"properties": {"a": {"type": "null"}}, "required": ["a", "b"]}) == {
        "type": "object",
        "properties": {"a": {"type": "null"}, "b": {"anyOf": ANYTHING}},
        "required": ["a", "b"],
        "additionalProperties": False,
    }


def test_an_object_without_properties_stays_empty() -> None:
    found = constrained({"type": "object", "properties": {}})
    assert found["additionalProperties"] is False


def test_an_object_may_have_others_of_a_kind() -> None:
    found = constrained({"type": "object", "additionalProperties": {"type": "boolean"}})
    assert found["additionalProperties"] == {"type": "boolean"}


def test_references_are_put_in_their_place() -> None:
    schema = {
        "$defs": {"a/b": {"$ref": "#/$defs/room"}, "room": {"enum": ["x"]}},
        "properties": {"room": {"$ref": "#/$defs/a~1b"}},
    }
    assert constrained(schema)["properties"] == {"room": {"enum": ["x"]}}


def test_a_schema_within_itself_ends_somewhere() -> None:
    schema = {"properties": {"next": {"$ref": "#"}}}
    assert json.dumps(constrained(schema)).count('"next"') < 20


def test_several_schemas_that_all_must_hold_are_one_object() -> None:
    schema = {
        "required": ["a"],
        "properties": {"a": {"const": 1}},
        "allOf": [{"properties": {"b": {"const": 2}}, "required": ["b"]}, {"title": "x"}],
    }
    found = constrained(schema)
    assert (list(found["properties"]), found["required"]) == (["a", "b"], ["a", "b"])


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        (1, {"type": "integer"}),
        (1.0, {"type": "integer"}),
        (0.5, {"type": "number"}),
        (None, {"type": ["string", "null"]}),
        (True, {"const": True}),
        ("b", {"enum": ["a", "b"]}),
        ("abc", {"minLength": 3, "maxLength": 3, "pattern": "b"}),
        (5, {"minimum": 5, "maximum": 5}),
        ([1, 2], {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}),
        ({"a": 1}, {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]}),
        ({"b": 1}, {"additionalProperties": {"type": "integer"}}),
        ({"b": 1}, {"additionalProperties": True}),
        (1, {"anyOf": [{"type": "null"}, {"type": "integer"}]}),
        (1, {"allOf": [{"type": "number"}, {"type": "integer"}]}),
        ("x", {"$ref": "#/$defs/x", "$defs": {"x": {"const": "x"}}}),
        ("anything", {}),
    ],
)
def test_what_fits_a_schema_is_no_misfit(value: Any, schema: Json) -> None:
    assert misfit(value, schema) is None


@pytest.mark.parametrize(
    ("value", "schema", "words"),
    [
        (1, {"const": True}, "is not True"),
        (1, {"enum": [True, "1"]}, "is not one of"),
        (True, {"type": "integer"}, "is not of type integer"),
        (1.5, {"type": "integer"}, "is not of type integer"),
        (1, {"type": ["string", "null"]}, "is not of type string or null"),
        (1, {"type": "odd"}, "is not of type odd"),
        (math.inf, {"type": "number"}, "is no finite number"),
        (4, {"minimum": 5}, "is out of bounds"),
        (6, {"maximum": 5}, "is out of bounds"),
        (5, {"exclusiveMinimum": 5}, "is out of bounds"),
        (5, {"exclusiveMaximum": 5}, "is out of bounds"),
        ("", {"minLength": 1}, "has the wrong length"),
        ("ab", {"maxLength": 1}, "has the wrong length"),
        ("ab", {"pattern": "^b"}, "does not have the form ^b"),
        ([], {"minItems": 1}, "has the wrong number of items"),
        ([1], {"maxItems": 0}, "has the wrong number of items"),
        ([1, "x"], {"items": {"type": "integer"}}, "$[1] is not of type integer"),
        ({}, {"required": ["a"]}, "lacks a"),
        ({"a": {"b": 1}}, {"properties": {"a": {"properties": {"b": {"const": 2}}}}}, "$.a.b"),
        ({"b": 1}, {"additionalProperties": False}, "has b, which is unknown"),
        ({"b": 1}, {"additionalProperties": {"type": "string"}}, "$.b"),
        (1, {"anyOf": [{"type": "null"}]}, "does not fit anyOf"),
        (1, {"oneOf": [{"type": "null"}]}, "does not fit oneOf"),
        (1, {"allOf": [{"type": "number"}, {"type": "null"}]}, "does not fit allOf"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_with_its_place(value: Any, schema: Json, words: str) -> None:
    assert words in (misfit(value, schema) or "")


def test_a_value_that_never_ends_is_too_deep() -> None:
    value: list[Any] = []
    for _ in range(50):
        value = [value]
    assert "is too deep" in (misfit(value, {"items": {"$ref": "#"}}) or "")


def test_a_schema_that_never_ends_fits_nothing() -> None:
    assert misfit(1, {"anyOf": [{"$ref": "#"}]}) == "$ does not fit anyOf"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


def schema_of(value: Any) -> Json:
    """Return the schema that only this value fits, part by part."""
    if isinstance(value, dict):
        parts = {name: schema_of(one) for name, one in value.items()}
        return {
            "type": "object",
            "properties": parts,
            "required": list(parts),
            "additionalProperties": False,
        }
    if isinstance(value, list):
        return (
            {"type": "array", "items": {"anyOf": [schema_of(one) for one in value]}}
            if value
            else {"type": "array", "maxItems": 0}
        )
    return {"const": value}


@given(VALUES)
@settings(max_examples=50)
def test_what_the_grammar_allows_still_allows_the_value(value: Any) -> None:
    schema = schema_of(value)
    assert misfit(value, schema) is None
    assert misfit(value, constrained(schema)) is None
