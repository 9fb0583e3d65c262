"""JSON Schema for a local model: what its grammar can hold it to."""

import math
from typing import Any, Final

from brain_server.protocol import Json
from brain_server.shape import DEEPEST, resolved

# Longer ones would make a grammar of a megabyte; the answer is checked anyhow.
_MOST_REPEATS: Final = 200
# So many whole numbers are listed; of more, the grammar knows only that they are numbers.
_MOST_NUMBERS: Final = 1000
_FORMATS: Final = frozenset({"date", "time", "date-time", "uuid"})
_ANYTHING: Final = ("object", "array", "string", "boolean", "null", "number")


def constrained(schema: Json) -> Json:
    """Return a schema that llama.cpp can hold a model to: as near as its grammar comes, no references."""
    return _constrained(schema, schema, 0)


def _constrained(schema: Any, whole: Json, depth: int) -> Json:
    here = resolved(schema, whole)
    if depth > DEEPEST:
        return {"type": "object"}
    if "const" in here:
        return {"const": here["const"]}
    if here.get("enum"):
        return {"enum": here["enum"]}
    for word in ("anyOf", "oneOf"):
        if here.get(word):
            return {"anyOf": [_constrained(one, whole, depth + 1) for one in here[word]]}
    if here.get("allOf"):
        return _constrained(_merged(here, whole), whole, depth + 1)
    kind = here.get("type")
    if isinstance(kind, list):
        each = [_constrained({**here, "type": one}, whole, depth + 1) for one in kind]
        return {"anyOf": each}
    return _by_type(kind, here, whole, depth)


def _by_type(kind: Any, here: Json, whole: Json, depth: int) -> Json:
    match kind:
        case "object":
            return _object(here, whole, depth)
        case "array":
            kept = {word: here[word] for word in ("minItems", "maxItems") if _small(here.get(word))}
            if "items" not in here and not kept:
                return {"type": "array"}
            items = _constrained(here.get("items", {}), whole, depth + 1)
            return {"type": "array", "items": items, **kept}
        case "string":
            if here.get("format") in _FORMATS:
                return {"type": "string", "format": here["format"]}
            return {"type": "string"} | {
                word: here[word] for word in ("minLength", "maxLength") if _small(here.get(word))
            }
        case "integer":
            numbers = _numbers(here)
            return {"enum": list(numbers)} if numbers else {"type": "integer"}
        case "number" | "boolean" | "null":
            return {"type": kind}
        case _ if "properties" in here:
            return _object(here, whole, depth)
        case _:
            return {"anyOf": [{"type": one} for one in _ANYTHING]}


def _object(here: Json, whole: Json, depth: int) -> Json:
    properties = {
        name: _constrained(one, whole, depth + 1)
        for name, one in here.get("properties", {}).items()
    }
    required = [name for name in here.get("required", ()) if isinstance(name, str)]
    more = here.get("additionalProperties")
    if "properties" not in here and not required and more in (None, True):
        return {"type": "object"}
    properties |= {
        name: _constrained({}, whole, depth + 1) for name in required if name not in properties
    }
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": _constrained(more, whole, depth + 1)
        if isinstance(more, dict)
        else False,
    }


def _merged(here: Json, whole: Json) -> Json:
    """Return one schema of type object from several that all must hold."""
    merged: Json = {"type": "object", "properties": {}, "required": []}
    for one in ({name: part for name, part in here.items() if name != "allOf"}, *here["allOf"]):
        part = resolved(one, whole)
        merged["properties"] |= part.get("properties", {})
        merged["required"] += part.get("required", [])
    return merged


def _small(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MOST_REPEATS


def _numbers(here: Json) -> range | None:
    """Return the whole numbers between the bounds, where they are few enough to be listed."""
    low, high = here.get("minimum", -math.inf), here.get("maximum", math.inf)
    above, below = here.get("exclusiveMinimum", -math.inf), here.get("exclusiveMaximum", math.inf)
    if math.isinf(max(low, above)) or math.isinf(min(high, below)):
        return None
    first = math.ceil(low) if low > above else math.floor(above) + 1
    last = math.floor(high) if high < below else math.ceil(below) - 1
    return range(first, last + 1) if 0 <= last - first < _MOST_NUMBERS else None
