"""JSON Schema for a local model: what its grammar can hold it to, and whether an answer fits."""

from collections.abc import Iterator, Mapping
import math
import re
from typing import Any, Final

from brain_server.protocol import Json

# Longer ones would make a grammar of a megabyte; the answer is checked anyhow.
_MOST_REPEATS: Final = 200
# So many whole numbers are listed; of more, the grammar knows only that they are numbers.
_MOST_NUMBERS: Final = 1000
_DEEPEST: Final = 8
_FORMATS: Final = frozenset({"date", "time", "date-time", "uuid"})
_TYPES: Final[Mapping[str, Any]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
}
_ANYTHING: Final[tuple[str, ...]] = (*_TYPES, "number")


def constrained(schema: Json) -> Json:
    """Return a schema that llama.cpp can hold a model to: as near as its grammar comes, no references."""
    return _constrained(schema, schema, 0)


def mismatch(value: Any, schema: Json) -> str | None:
    """Say in words where a value does not fit a schema; None when it does."""
    return next(_mismatches(value, schema, schema, "the answer", 0), None)


def _resolved(schema: Any, whole: Json) -> Json:
    """Return what a reference within the schema points to; an unknown one allows anything."""
    found: Any = schema
    for _ in range(_DEEPEST):
        if not isinstance(found, dict) or not isinstance(found.get("$ref"), str):
            break
        target: Any = whole
        for step in found["$ref"].removeprefix("#").split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            target = target.get(name) if isinstance(target, dict) else None
        found = target
    return found if isinstance(found, dict) and "$ref" not in found else {}


def _constrained(schema: Any, whole: Json, depth: int) -> Json:
    here = _resolved(schema, whole)
    if depth > _DEEPEST:
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
        part = _resolved(one, whole)
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


def _mismatches(value: Any, schema: Any, whole: Json, place: str, depth: int) -> Iterator[str]:
    here = _resolved(schema, whole)
    kinds = here.get("type", ())
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if depth > _DEEPEST * 2:
        yield f"{place} is too deep"
    elif kinds and not any(_is(value, kind) for kind in kinds):
        yield f"{place} is not of type {' or '.join(kinds)}"
    else:
        yield from _judged(value, here, whole, place, depth)


def _judged(value: Any, here: Json, whole: Json, place: str, depth: int) -> Iterator[str]:
    """Yield what is wrong with a value of the right type."""
    if "const" in here and not _same(value, here["const"]):
        yield f"{place} is not {here['const']!r}"
    if "enum" in here and not any(_same(value, one) for one in here["enum"]):
        yield f"{place} is not one of {here['enum']}"
    for word, enough in (("anyOf", any), ("oneOf", any), ("allOf", all)):
        if word in here and not enough(
            next(_mismatches(value, one, whole, place, depth + 1), None) is None
            for one in here[word]
        ):
            yield f"{place} does not fit {word}"
    yield from _measured(value, here, place)
    if isinstance(value, dict):
        yield from _in_object(value, here, whole, place, depth)
    if isinstance(value, list) and "items" in here:
        for at, one in enumerate(value):
            yield from _mismatches(one, here["items"], whole, f"{place}[{at}]", depth + 1)


def _in_object(value: Json, here: Json, whole: Json, place: str, depth: int) -> Iterator[str]:
    known = here.get("properties", {})
    more = here.get("additionalProperties", {})
    for name in here.get("required", ()):
        if name not in value:
            yield f"{place} lacks {name}"
    for name, one in value.items():
        if name in known:
            yield from _mismatches(one, known[name], whole, f"{place}.{name}", depth + 1)
        elif more is False:
            yield f"{place} has {name}, which is unknown"
        elif isinstance(more, dict):
            yield from _mismatches(one, more, whole, f"{place}.{name}", depth + 1)


def _measured(value: Any, here: Json, place: str) -> Iterator[str]:
    """Yield what is too small, too large or of the wrong form."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            yield f"{place} is no finite number"
        if value < here.get("minimum", value) or value > here.get("maximum", value):
            yield f"{place} is out of bounds"
        if value <= here.get("exclusiveMinimum", -math.inf) or value >= here.get(
            "exclusiveMaximum", math.inf
        ):
            yield f"{place} is out of bounds"
    if isinstance(value, str):
        if not here.get("minLength", 0) <= len(value) <= here.get("maxLength", math.inf):
            yield f"{place} has the wrong length"
        if "pattern" in here and not re.search(here["pattern"], value):
            yield f"{place} does not have the form {here['pattern']}"
    if isinstance(value, list) and not here.get("minItems", 0) <= len(value) <= here.get(
        "maxItems", math.inf
    ):
        yield f"{place} has the wrong number of items"


def _is(value: Any, kind: str) -> bool:
    if kind in {"integer", "number"}:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and (kind == "number" or value == value // 1)
    return isinstance(value, _TYPES.get(kind, ()))


def _same(value: Any, other: Any) -> bool:
    """Say whether two values are the same in JSON, where true is not 1."""
    return isinstance(value, bool) is isinstance(other, bool) and bool(value == other)
