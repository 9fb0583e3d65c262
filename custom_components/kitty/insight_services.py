"""Actions that tell what the mind did: what was said, how it was answered, and what that cost."""

from datetime import timedelta
from typing import Any, Final

from homeassistant.core import HomeAssistant, ServiceCall, ServiceResponse
from homeassistant.helpers import config_validation as cv
from homeassistant.util import dt as dt_util
import probatio as vol

from .actions import (
    ENTRY,
    ONLY,
    Action,
    brain_entry,
    given,
    hands_on,
    paging,
    tell,
    user_of_call,
    user_of_person,
)
from .entity import person_name
from .errors import Refused
from .protocol import Json
from .rights import every_item

_TALK: Final = vol.All(cv.string, vol.Length(min=1, max=64))
_PERSON: Final = cv.entity_domain("person")
_DAYS: Final = vol.All(vol.Coerce(int), vol.Range(min=1, max=400))
# What of an attempt says how an answer came about.
_ATTEMPT: Final = (
    "tier",
    "model",
    "provider_id",
    "confidence",
    "cost",
    "latency_ms",
    "reason",
    "cached",
    "tokens_in",
    "tokens_out",
    "stages",
)


async def _get_conversations(call: ServiceCall) -> ServiceResponse:
    """Return one conversation of the caller's with how each answer came about, or which ones there are."""
    user = await user_of_call(call)
    if user is None:
        raise Refused("user_required")
    entry, page = brain_entry(call), given(call, "limit", "cursor")
    if "conversation_id" not in call.data:
        told = await tell(call, entry, "conversation.list", {"newest_first": True} | page)
        return told | {"items": [_known(call.hass, row) for row in told["items"]]}
    about = given(call, "conversation_id")
    # First whether it is theirs: decisions have no words, but tell when somebody spoke.
    told = await tell(call, entry, "conversation.get", about | page)
    decided = await every_item(call, entry, "decisions.list", about)
    made = _by_request(decided)
    return told | {
        "conversation": _known(call.hass, told["conversation"]),
        "items": [
            {name: value for name, value in row.items() if name != "conversation_id"}
            | {
                "name": person_name(call.hass, row["user_id"]),
                "answer": made.get(row["request_id"]) if row["role"] == "assistant" else None,
            }
            for row in told["items"]
        ],
    }


async def _let_in(call: ServiceCall) -> ServiceResponse:
    """Let somebody else into a conversation of the caller's own."""
    return await _changed(call, "conversation.invite")


async def _leave(call: ServiceCall) -> ServiceResponse:
    """Leave a conversation of others, or send somebody away from one's own."""
    return await _changed(call, "conversation.leave")


async def _changed(call: ServiceCall, action: str) -> ServiceResponse:
    """Have the brain change who is in a conversation; returns who is."""
    if await user_of_call(call) is None:
        raise Refused("user_required")
    about = given(call, "conversation_id")
    if "person" in call.data:
        about["user_id"] = user_of_person(call.hass, call.data["person"])
    return _known(call.hass, await tell(call, brain_entry(call), action, about))


def _known(hass: HomeAssistant, row: Json) -> Json:
    """Return a conversation with the names of its people."""
    return row | {"people": [person_name(hass, one) for one in row["participants"]]}


def _by_request(decided: list[Json]) -> dict[str, Json]:
    """Return how each turn was answered: by what counted, and what was tried on the way."""
    made: dict[str, Json] = {}
    for row in decided:
        attempt = {name: row[name] for name in _ATTEMPT}
        if (first := made.get(row["request_id"])) is None:
            made[row["request_id"]] = attempt | {"tried": []}
        else:
            first["tried"].append(attempt)
            first["cost"] += row["cost"]
    return made


async def _get_decisions(call: ServiceCall) -> ServiceResponse:
    """Return how many answers each tier gave on each day of this house, how fast, and what the cache did."""
    entry = brain_entry(call)
    today = dt_util.start_of_local_day()
    dates = [today.date() - timedelta(days=ago) for ago in range(call.data["days"])]
    starts = [dt_util.start_of_local_day(one).timestamp() for one in reversed(dates)]
    told = await tell(call, entry, "decisions.figures", {"starts": starts})
    kept = await tell(call, entry, "cache.status", {})
    days = [
        {"day": str(dt_util.as_local(dt_util.utc_from_timestamp(row["start"])).date())} | row
        for row in told["days"]
    ]
    return told | {"days": [_without(row, "start") for row in days], "cache": kept}


def _without(row: Json, name: str) -> Json:
    return {key: value for key, value in row.items() if key != name}


_DAYS_BACK: Final[dict[Any, Any]] = {**ENTRY, vol.Optional("days", default=30): _DAYS}

ACTIONS: Final = (
    Action(
        name="get_conversations",
        run=_get_conversations,
        schema={**paging(), vol.Optional("conversation_id"): _TALK},
        response=ONLY,
    ),
    Action(
        name="invite_to_conversation",
        run=_let_in,
        schema={**ENTRY, vol.Required("conversation_id"): _TALK, vol.Required("person"): _PERSON},
    ),
    Action(
        name="leave_conversation",
        run=_leave,
        schema={**ENTRY, vol.Required("conversation_id"): _TALK, vol.Optional("person"): _PERSON},
    ),
    Action(name="get_decisions", run=_get_decisions, schema=_DAYS_BACK, response=ONLY),
    Action(
        name="get_spending",
        run=hands_on("spending.summary", "days"),
        schema=_DAYS_BACK,
        response=ONLY,
    ),
)
