"""Asking in a room before something harmless is done; what is dangerous is never settled by a voice."""

from typing import Final

from homeassistant.const import ATTR_DEVICE_ID
from homeassistant.core import ServiceCall, ServiceResponse
from homeassistant.helpers import config_validation as cv
from homeassistant.helpers.translation import async_get_translations
import probatio as vol

from .actions import DEVICE, Action, controlled
from .assent import AGREED, DECLINED, agrees, sentences
from .const import DOMAIN
from .protocol import INTENTS, Hazard

SATELLITES: Final = "assist_satellite"
# Only these: no area makes them dangerous, so that nobody has to approve them.
HARMLESS: Final = sorted(name for name, one in INTENTS.items() if one.hazard is Hazard.LOW)
_AGREED, _DECLINED = "yes", "no"


async def _confirm(call: ServiceCall) -> ServiceResponse:
    """Ask whoever is in the room, and do it if they say yes."""
    target = await controlled(call)
    intent = call.data["intent"]
    words = await async_get_translations(
        call.hass, call.hass.config.language, "exceptions", {DOMAIN}
    )
    device = target.entry.runtime_data.coordinator.data.devices[target.device_id]
    question = words[f"component.{DOMAIN}.exceptions.ask_{intent}.message"]
    said = await call.hass.services.async_call(
        SATELLITES,
        "ask_question",
        {
            "entity_id": call.data["satellite"],
            "question": question.format(device=device["name"]),
            "answers": [
                {"id": _AGREED, "sentences": sentences(AGREED)},
                {"id": _DECLINED, "sentences": sentences(DECLINED)},
            ],
        },
        blocking=True,
        return_response=True,
        context=call.context,
    )
    heard = said or {}
    sentence = heard.get("sentence")
    # The satellite does not see signs: "yes?" is none.
    agreed = heard.get("id") == _AGREED and agrees(str(sentence))
    answer = {"confirmed": agreed, "sentence": sentence}
    if not answer["confirmed"]:
        return {**answer, "command": None}
    asked = {ATTR_DEVICE_ID: target.registry_id, "intent": intent}
    done = await call.hass.services.async_call(
        DOMAIN, "request", asked, blocking=True, return_response=True, context=call.context
    )
    return {**answer, "command": (done or {})["command"]}


ACTIONS: Final = (
    Action(
        name="confirm_by_voice",
        run=_confirm,
        schema={
            **DEVICE,
            vol.Required("intent"): vol.In(HARMLESS),
            vol.Required("satellite"): cv.entity_domain(SATELLITES),
        },
    ),
)
