"""JSON Schema, as far as models are asked for it: does a value have the shape that was asked for?

Known: type, enum, const, properties, required, additionalProperties, items, minItems, maxItems, minimum,
maximum, exclusiveMinimum, exclusiveMaximum, minLength, maxLength, pattern, anyOf, oneOf (as anyOf), allOf,
and references within the schema (JSON Schema 2020-12). What is not known allows anything.
"""

from collections.abc import Iterator, Mapping
import math
import re
from typing import Any, Final

from brain_server.protocol import Json

DEEPEST: Final = 8
_TYPES: Final[Mapping[str, type | tuple[type, ...]]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
}


def misfit(value: Any, schema: Json) -> str | None:
    """Return where and why a value does not fit a schema, as ``$.a[0] is ...``; None when it does."""
    return next(_mismatches(value, schema, schema, "$", 0), None)


def resolved(schema: Any, whole: Json) -> Json:
    """Return what a reference within the schema points to; an unknown one allows anything."""
    found: Any = schema
    for _ in range(DEEPEST):
        if not isinstance(found, dict) or not isinstance(found.get("$ref"), str):
            break
        target: Any = whole
        for step in found["$ref"].removeprefix("#").split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            target = target.get(name) if isinstance(target, dict) else None
        found = target
    return found if isinstance(found, dict) and "$ref" not in found else {}


def _mismatches(value: Any, schema: Any, whole: Json, place: str, depth: int) -> Iterator[str]:
    here = resolved(schema, whole)
    kinds = here.get("type", ())
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if depth > DEEPEST * 2:
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
