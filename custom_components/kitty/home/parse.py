"""From a sentence to the orders that it may be: what is wanted, of what, and how much."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from .lexicon import Action, Attribute, Lexicon, Template, Value, ValueKind
from .words import plain, value_of

LONGEST: Final = 240
# Shapes with at least this penalty have no verb.
VERBLESS: Final = 0.1
# Shapes with at least this penalty have nothing but a name.
BARE: Final = 0.3
BY_NAME: Final = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One thing that a sentence may want."""

    action: Action
    target: str = ""
    domains: frozenset[str] | None = None
    attribute: Attribute | None = None
    value: Value | None = None
    # How much a relative change is, in steps, or by which value it was said.
    steps: float = 1.0
    by: Value | None = None
    item: str = ""
    excepted: str = ""
    here: bool = False
    penalty: float = 0.0


@lru_cache(maxsize=512)
def orders(text: str, lexicon: Lexicon) -> tuple[Order, ...]:
    """Return every order that a spelled sentence may be, the clearest shapes first."""
    if len(text) > LONGEST:
        return ()
    found = [order for template in lexicon.templates for order in _read(template, text, lexicon)]
    # "All lights off except in the hall": what is left out comes after the deed.
    rest, _, excepted = _split(text, lexicon)
    if rest and excepted:
        found += [
            replace(order, excepted=excepted)
            for template in lexicon.templates
            for order in _read(template, rest, lexicon)
        ]
    return tuple(sorted(found, key=lambda order: order.penalty))


def _read(template: Template, text: str, lexicon: Lexicon) -> Iterator[Order]:
    """Yield what one shape makes of a sentence; none where it does not fit."""
    if (found := template.shape.fullmatch(text)) is None:
        return
    said = {
        name.partition("_")[0]: value.strip(" ,")
        for name, value in found.groupdict().items()
        if value
    }
    value, side = template.value, None
    if "v" in said:
        wanted, side = _without_attribute(said["v"], lexicon)
        value = value_of(wanted, lexicon)
        if value is None:
            return
        # A bare number without a verb may be anything.
        bare = value.kind is ValueKind.NUMBER and side is None
        if bare and template.penalty >= VERBLESS and template.attribute is None:
            return
    by = value_of(said["by"], lexicon) if "by" in said else None
    target = " ".join(part for part in (said.get("t"), said.get("u")) if part)
    target, _, excepted = _split(target, lexicon)
    target, here = _without_here(target, lexicon)
    rest, attribute = _without_attribute(target, lexicon)
    much = said.get("much") or said.get("late") or ""
    order = Order(
        action=template.action,
        target=target,
        domains=template.domains,
        attribute=template.attribute or side,
        value=value,
        steps=lexicon.much.get(much, 1.0),
        by=by,
        item=said.get("item", ""),
        excepted=excepted,
        here=here,
        penalty=template.penalty,
    )
    if attribute is None:
        yield order
        return
    if template.attribute in (None, attribute):
        yield replace(order, target=rest, attribute=attribute)
    if rest:
        # The word may also be part of a name: "guest mode", "the Hue lamp".
        yield replace(order, penalty=order.penalty + BY_NAME)


def _split(target: str, lexicon: Lexicon) -> tuple[str, str, str]:
    """Return what is meant and what is left out of it."""
    found = lexicon.exception.search(target)
    if found is None:
        return target, "", ""
    return target[: found.start()].strip(), found[0], target[found.end() :].strip()


def _without_here(target: str, lexicon: Lexicon) -> tuple[str, bool]:
    """Return a phrase without "in here", and whether it was there."""
    for words in sorted(lexicon.here, key=len, reverse=True):
        if target == words or target.endswith(f" {words}"):
            return target[: len(target) - len(words)].strip(), True
    return target, False


def _without_attribute(target: str, lexicon: Lexicon) -> tuple[str, Attribute | None]:
    """Return a phrase without the word for a side of the thing, and that side."""
    said = target.split()
    stems = [lexicon.stem(word) for word in said]
    for length in (2, 1):
        for start in range(len(said) - length + 1):
            attribute = lexicon.attributes.get(tuple(stems[start : start + length]))
            if attribute is not None:
                rest = said[:start] + said[start + length :]
                return " ".join(rest), attribute
    return target, None


def clauses(text: str, lexicon: Lexicon) -> list[str]:
    """Return the parts of a sentence that may be orders of their own."""
    parts = [plain(part.strip(" ,"), lexicon) for part in lexicon.joints.split(text)]
    return [part for part in parts if part]


def conjuncts(target: str, lexicon: Lexicon) -> list[str]:
    """Return the parts of a phrase that "and" or a comma joins."""
    parts = [part.strip() for part in lexicon.conjunction.split(target.replace(" , ", " and "))]
    return [part for part in parts if part]


def named(order: Order, target: str) -> Order:
    """Return the same order about something else."""
    return replace(order, target=target)
