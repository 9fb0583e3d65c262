"""JSON Schema, as far as models are asked for it: does a value have the shape that was asked for?

Known: type, enum, const, properties, required, additionalProperties, items, minItems, maxItems, minimum,
maximum, minLength, maxLength, pattern, anyOf, oneOf, allOf (JSON Schema 2020-12). References are not.
"""

from collections.abc import Mapping, Sequence
import re
from typing import Any, Final

_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def misfit(value: Any, schema: Any, path: str = "$") -> str | None:
    """Return where and why a value does not fit a schema, as ``$.a[0]: ...``; None when it does."""
    if not isinstance(schema, Mapping):
        return f"{path}: nothing is allowed here" if schema is False else None
    if "type" in schema and not _is_of(value, schema["type"]):
        return f"{path}: is not of type {schema['type']}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{path}: is none of the allowed values"
    if "const" in schema and value != schema["const"]:
        return f"{path}: is not the one allowed value"
    return (
        _branches(value, schema, path)
        or _object(value, schema, path)
        or _array(value, schema, path)
        or _scalar(value, schema, path)
    )


def _is_of(value: Any, wanted: str | Sequence[str]) -> bool:
    names = [wanted] if isinstance(wanted, str) else wanted
    if isinstance(value, bool):
        return "boolean" in names
    if isinstance(value, float) and value.is_integer() and "integer" in names:
        return True
    return any(isinstance(value, _TYPES.get(name, ())) for name in names)


def _branches(value: Any, schema: Mapping[str, Any], path: str) -> str | None:
    for part in schema.get("allOf", ()):
        if found := misfit(value, part, path):
            return found
    if "anyOf" in schema and all(misfit(value, part, path) for part in schema["anyOf"]):
        return f"{path}: fits none of the alternatives"
    if "oneOf" in schema and sum(not misfit(value, part, path) for part in schema["oneOf"]) != 1:
        return f"{path}: does not fit exactly one of the alternatives"
    return None


def _object(value: Any, schema: Mapping[str, Any], path: str) -> str | None:
    if not isinstance(value, dict):
        return None
    known: Mapping[str, Any] = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            return f"{path}.{name}: is missing"
    rest = schema.get("additionalProperties", True)
    for name, part in value.items():
        if found := misfit(part, known.get(name, rest), f"{path}.{name}"):
            return found
    return None


def _array(value: Any, schema: Mapping[str, Any], path: str) -> str | None:
    if not isinstance(value, list):
        return None
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        return f"{path}: has {len(value)} items"
    for at, part in enumerate(value):
        if found := misfit(part, schema.get("items", True), f"{path}[{at}]"):
            return found
    return None


def _scalar(value: Any, schema: Mapping[str, Any], path: str) -> str | None:
    if isinstance(value, str):
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
            return f"{path}: has {len(value)} characters"
        if "pattern" in schema and not re.search(schema["pattern"], value):
            return f"{path}: does not match the pattern"
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value < schema.get("minimum", value) or value > schema.get("maximum", value):
            return f"{path}: is out of bounds"
        if "exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]:
            return f"{path}: is out of bounds"
        if "exclusiveMaximum" in schema and value >= schema["exclusiveMaximum"]:
            return f"{path}: is out of bounds"
    return None
