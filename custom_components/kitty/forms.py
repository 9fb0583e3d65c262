"""Forms whose every word comes from the brain: what a driver or a provider wants to know."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import CONF_DEVICE_ID
from homeassistant.helpers.selector import (
    BooleanSelector,
    EntitySelector,
    EntitySelectorConfig,
    EntityWithDeviceFilterSelectorConfig,
    NumberSelector,
    NumberSelectorConfig,
    NumberSelectorMode,
    SelectOptionDict,
    SelectSelector,
    SelectSelectorConfig,
    TextSelector,
    TextSelectorConfig,
    TextSelectorType,
)
import probatio as vol

from .const import CONF_INFO, SUBENTRY_DEVICE
from .protocol import Json

# The translations hold this many fields whose label and help are the brain's own words.
SLOTS: Final = 20


def kitty_devices(entry: ConfigEntry[Any], kinds: Iterable[str]) -> list[SelectOptionDict]:
    """Return the devices of these kinds that were added, to choose from; no kinds means all."""
    wanted = set(kinds)
    return [
        SelectOptionDict(value=subentry.data[CONF_DEVICE_ID], label=subentry.title)
        for subentry in entry.subentries.values()
        if subentry.subentry_type == SUBENTRY_DEVICE
        and (not wanted or subentry.data[CONF_INFO].get("kind") in wanted)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionForm:
    """The part of a form that the brain describes; ``old`` holds what is known when it is changed."""

    entry: ConfigEntry[Any]
    options: list[Json]
    old: Mapping[str, Any] | None = None
    # By which names the translations know the fields and their words.
    prefix: str = "option"
    slots: tuple[tuple[str, Json], ...] = field(init=False)

    def __post_init__(self) -> None:
        """Give each option the field that carries its words."""
        slots = tuple(
            (f"{self.prefix}_{number}" if number <= SLOTS else option["label"], option)
            for number, option in enumerate(self.options, start=1)
        )
        object.__setattr__(self, "slots", slots)

    def fields(self) -> dict[vol.Marker, Any]:
        """Return the fields; a secret that is known need not be typed again."""
        fields: dict[vol.Marker, Any] = {}
        for name, option in self.slots:
            if self._has_nothing_to_choose(option):
                continue
            kept = option["type"] == "secret" and (self.old or {}).get(option["name"])
            default = option.get("default")
            if option["type"] == "boolean":
                marker: vol.Marker = vol.Required(name, default=bool(default))
            elif option["required"] and not kept:
                marker = vol.Required(name, default=vol.UNDEFINED if default is None else default)
            else:
                marker = vol.Optional(name)
            fields[marker] = self._selector(option)
        return fields

    def shown(self) -> Json:
        """Return what the fields show first: what is known, else defaults; never a secret."""
        shown: Json = {}
        for name, option in self.slots:
            known = option.get("default") if self.old is None else self.old.get(option["name"])
            if known is not None and option["type"] != "secret":
                shown[name] = known
        return shown

    def filled(self, form: Mapping[str, Any]) -> Json:
        """Return the options of a filled form; a secret left empty stays as it was."""
        filled: Json = {}
        for name, option in self.slots:
            value = form.get(name)
            if value is None and option["type"] == "secret":
                value = (self.old or {}).get(option["name"])
            if isinstance(value, float) and value.is_integer():
                value = int(value)
            if value is not None:
                filled[option["name"]] = value
        return filled

    def words(self) -> dict[str, str]:
        """Return the brain's own words for the fields."""
        words: dict[str, str] = {}
        start = "" if self.prefix == "option" else f"{self.prefix}_"
        for number, option in enumerate(self.options, start=1):
            words[f"{start}label_{number}"] = option["label"]
            words[f"{start}help_{number}"] = option["help"]
        return words

    def field_of(self, *, name: str | None = None, kind: str | None = None) -> str | None:
        """Return the field of an option by its name, else the first of a kind."""
        named = (one for one, option in self.slots if name and option["name"] == name)
        of_kind = (one for one, option in self.slots if kind and option["type"] == kind)
        return next(named, None) or next(of_kind, None)

    def _has_nothing_to_choose(self, option: Json) -> bool:
        """Tell whether a field would be shown without anything in it."""
        return option["type"] == "device" and not (
            option["required"] or kitty_devices(self.entry, option.get("filter") or ())
        )

    def _selector(self, option: Json) -> Any:
        """Return the field that fits the type of an option; text where the type is unknown."""
        match option["type"]:
            case "url":
                return TextSelector(TextSelectorConfig(type=TextSelectorType.URL))
            case "secret":
                return TextSelector(
                    TextSelectorConfig(type=TextSelectorType.PASSWORD, autocomplete="off")
                )
            case "number":
                return number(option.get("minimum"), option.get("maximum"), option.get("unit"))
            case "boolean":
                return BooleanSelector()
            case "select":
                # What the translations do not know, the name of a series perhaps, is shown as it is.
                choices = SelectSelectorConfig(
                    options=list(option["choices"]), translation_key="option_choice"
                )
                return SelectSelector(choices)
            case "entity":
                config = EntitySelectorConfig()
                if option.get("filter"):
                    config["filter"] = EntityWithDeviceFilterSelectorConfig(
                        domain=list(option["filter"])
                    )
                return EntitySelector(config)
            case "device":
                devices = kitty_devices(self.entry, option.get("filter") or ())
                return SelectSelector(SelectSelectorConfig(options=devices))
            case _:
                return TextSelector()


def number(minimum: float | None, maximum: float | None, unit: str | None = None) -> NumberSelector:
    """Return a field for any number between two limits, with its unit beside it."""
    limits = NumberSelectorConfig(mode=NumberSelectorMode.BOX, step="any")
    if minimum is not None:
        limits["min"] = minimum
    if maximum is not None:
        limits["max"] = maximum
    if unit is not None:
        limits["unit_of_measurement"] = unit
    return NumberSelector(limits)
