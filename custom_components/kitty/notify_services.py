"""The action with which automations tell people something: kept, counted, repeated until it arrives."""

from typing import Final

from homeassistant.core import ServiceCall, ServiceResponse
from homeassistant.helpers import config_validation as cv
import probatio as vol

from .actions import ENTRY, Action, answer, given, user_of_person
from .const import SEVERITIES

_MOST_ACTIONS: Final = 3
_WORD: Final = vol.All(cv.string, vol.Length(min=1, max=64))


async def _notify(call: ServiceCall) -> ServiceResponse:
    """Tell everybody who wants to hear of it, or one person."""
    params = given(call, "message", "title", "severity", "key", "actions")
    if "cooldown" in call.data:
        params["cooldown"] = call.data["cooldown"].total_seconds()
    if "person" in call.data:
        params["user_id"] = user_of_person(call.hass, call.data["person"])
    return await answer(call, "notifications.send", params)


ACTIONS: Final = (
    Action(
        name="notify",
        run=_notify,
        schema={
            **ENTRY,
            vol.Required("message"): vol.All(cv.string, vol.Length(min=1, max=8000)),
            vol.Optional("title"): vol.All(cv.string, vol.Length(max=255)),
            vol.Optional("severity", default=SEVERITIES[0]): vol.In(SEVERITIES),
            vol.Optional("key"): vol.All(cv.string, vol.Length(min=1, max=160)),
            vol.Optional("cooldown"): cv.positive_time_period,
            vol.Optional("person"): cv.entity_domain("person"),
            vol.Optional("actions"): vol.All(
                [{vol.Required("id"): _WORD, vol.Required("title"): _WORD}],
                vol.Length(max=_MOST_ACTIONS),
            ),
        },
    ),
)
