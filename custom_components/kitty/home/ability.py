"""What one thing can do with an order, and the call that comes of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from homeassistant.const import ATTR_SUPPORTED_FEATURES
from homeassistant.core import HomeAssistant, State

from .lexicon import Action, Attribute, Lexicon, Value, ValueKind
from .parse import Order


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One service call, without its entities."""

    domain: str
    service: str
    data: Mapping[str, Any] = field(default_factory=dict)
    # What is said about it: the name of the sentence and its values.
    said: str = "done"
    words: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ability:
    """What is needed to plan a call for one entity."""

    hass: HomeAssistant
    state: State
    order: Order
    lexicon: Lexicon

    @property
    def value(self) -> Value | None:
        """Return the value that was said."""
        return self.order.value

    def has(self, feature: int) -> bool:
        """Tell whether the entity supports a feature."""
        return bool(int(self.state.attributes.get(ATTR_SUPPORTED_FEATURES) or 0) & feature)

    def about(self, *attributes: Attribute) -> bool:
        """Tell whether the order is about one of these sides of the thing, or does not say."""
        return self.order.attribute is None or self.order.attribute in attributes

    def percent(self) -> float | None:
        """Return the value as a percentage from 0 to 100; None where it is none."""
        value = self.value
        if value is None or value.kind not in (ValueKind.PERCENT, ValueKind.NUMBER):
            return None
        return value.number if 0 <= value.number <= 100 else None

    def change(self, step: float) -> float:
        """Return a relative change in percent, upwards positive."""
        size = self.order.by.number if self.order.by else step * self.order.steps
        return size if self.order.action is Action.UP else -size


def on_off(can: Ability) -> Call | None:
    """Return the call for a thing that is only on or off."""
    name = can.state.domain
    match can.order.action:
        case Action.TURN_ON | Action.START:
            return Call(domain=name, service="turn_on", said="turned_on")
        case Action.TURN_OFF | Action.STOP:
            return Call(domain=name, service="turn_off", said="turned_off")
        case Action.TOGGLE:
            return Call(domain=name, service="toggle", said="toggled")
    return None


def choice_of(can: Ability, options: list[str]) -> str | None:
    """Return the option that the said word names."""
    word = can.value.word if can.value else ""
    if not word:
        return None
    meant = {word, can.lexicon.options.get(word, word), word.removesuffix(" mode")}
    folded = {str(option).replace("_", " ").casefold(): str(option) for option in options}
    for one in meant:
        if (found := folded.get(one.replace("_", " "))) is not None:
            return found
    return None
