"""The logbook's sentences: who asked for what, who approved it, and how it ended."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from homeassistant.components.logbook import (
    LOGBOOK_ENTRY_ENTITY_ID,
    LOGBOOK_ENTRY_MESSAGE,
    LOGBOOK_ENTRY_NAME,
)
from homeassistant.const import ATTR_ENTITY_ID, ATTR_NAME
from homeassistant.core import Event, HomeAssistant, callback

from .const import DOMAIN, EVENT_KITTY
from .protocol import Channel

# What was done, and what was to be done, in the words after the device's name.
_DONE: Final = {
    "lock": "was locked",
    "unlock": "was unlocked",
    "open": "was opened",
    "power_on": "was switched on",
    "power_off": "was switched off",
    "power_cut": "was cut off",
    "light_on": "was switched on",
    "light_off": "was switched off",
    "print_start": "started a print",
    "print_pause": "was paused",
    "print_resume": "was resumed",
    "print_cancel": "had its print cancelled",
    "heat": "was heated",
    "gcode": "ran raw G-code",
}
_DOING: Final = {
    "lock": "locking",
    "unlock": "unlocking",
    "open": "opening",
    "power_on": "switching on",
    "power_off": "switching off",
    "power_cut": "cutting the power",
    "light_on": "switching on",
    "light_off": "switching off",
    "print_start": "a print",
    "print_pause": "pausing",
    "print_resume": "resuming",
    "print_cancel": "cancelling the print",
    "heat": "heating",
    "gcode": "raw G-code",
}
_ROADS: Final = {
    Channel.VOICE: "a voice",
    Channel.AUTOMATION: "an automation",
    Channel.API: "a program",
    Channel.SYSTEM: "KITTY itself",
}


@callback
def async_describe_events(
    hass: HomeAssistant,
    async_describe_event: Callable[[str, str, Callable[[Event], dict[str, Any]]], None],
) -> None:
    """Describe the events that the integration fires."""

    @callback
    def describe(event: Event) -> dict[str, Any]:
        if (topic := event.data.get("topic")) is not None:
            told = str(event.data.get(ATTR_NAME)).replace("_", " ")
            return {LOGBOOK_ENTRY_NAME: "KITTY", LOGBOOK_ENTRY_MESSAGE: f"told of {topic}: {told}"}
        return {
            LOGBOOK_ENTRY_NAME: event.data.get(ATTR_NAME) or "KITTY",
            LOGBOOK_ENTRY_MESSAGE: message(event.data),
            LOGBOOK_ENTRY_ENTITY_ID: event.data.get(ATTR_ENTITY_ID),
        }

    async_describe_event(DOMAIN, EVENT_KITTY, describe)


def message(data: Mapping[str, Any]) -> str:
    """Return the sentence that follows the device's name."""
    intent = str(data.get("intent", ""))
    deed = _DOING.get(intent, intent.replace("_", " "))
    detail = data.get("detail") or data.get("reason")
    because = f" ({detail})" if detail else ""
    match data.get("type"):
        case "requested":
            return f"{deed} was requested by {_asker(data)}"
        case "approved":
            return f"{deed} was approved: {_behind(data)}"
        case "denied":
            return f"{deed} was denied by {data.get('denied_by') or 'the gate'}{because}"
        case "expired":
            return f"{deed} expired: nobody decided in time{because}"
        case "done":
            return f"{_DONE.get(intent, f'did {deed}')}: {_behind(data)}"
        case "failed":
            return f"{deed} failed{because}: {_behind(data)}"
        case "unknown":
            return f"{deed} may or may not have worked{because}: somebody has to look"
        case _:
            return f"sent {data.get('type')}"


def _behind(data: Mapping[str, Any]) -> str:
    """Return who asked and who approved."""
    approvers = data.get("approved_by")
    approved = f", approved by {' and '.join(approvers)}" if approvers else ""
    return f"asked by {_asker(data)}{approved}"


def _asker(data: Mapping[str, Any]) -> str:
    """Return who asked, or by which road nobody known did."""
    name: str | None = data.get("requested_by")
    return name or _ROADS.get(data.get("channel", ""), "somebody")
