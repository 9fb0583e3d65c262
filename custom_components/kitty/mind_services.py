"""Actions of the mind: asking in words, memory, kept answers and money."""

from collections.abc import Callable, Coroutine
import json
from typing import Any, Final

from homeassistant.components.conversation import async_converse
from homeassistant.core import (
    ServiceCall,
    ServiceResponse,
)
from homeassistant.helpers import (
    config_validation as cv,
    entity_registry as er,
)
import probatio as vol

from .actions import (
    ENTRY,
    ONLY,
    Action,
    answer,
    brain_entry,
    given,
    hands_on,
    paging,
    tell,
    user_of_call,
)
from .const import CONF_INSTANCE_ID, DOMAIN
from .errors import KittyError, Refused
from .rights import every_item

_AMOUNT: Final = vol.All(vol.Coerce(float), vol.Range(min=0))


async def _ask_mind(call: ServiceCall) -> ServiceResponse:
    """Ask in words, as in Assist: with the caller's rights, and in a conversation of the caller's own."""
    entry = brain_entry(call)
    unique_id = f"{entry.data[CONF_INSTANCE_ID]}-conversation"
    agent = er.async_get(call.hass).async_get_entity_id("conversation", DOMAIN, unique_id)
    if agent is None:
        raise Refused("no_agent")
    text = call.data["text"]
    if provider := call.data.get("provider"):
        text = f"Ask {provider}: {text}"
    found = await async_converse(
        call.hass,
        text,
        call.data.get("conversation_id"),
        call.context,
        call.data.get("language"),
        agent,
    )
    words = found.response.speech.get("plain", {}).get("speech", "")
    if found.response.error_code is not None:
        raise KittyError("not_answered", reason=words)
    return {
        "text": words,
        "conversation_id": found.conversation_id,
        "continue_conversation": found.continue_conversation,
        **found.response.speech_slots,
    }


def _own_memory(
    action: str, *names: str
) -> Callable[[ServiceCall], Coroutine[Any, Any, ServiceResponse]]:
    """Return an action on the memory of the person who calls; nobody reaches another's."""

    async def run(call: ServiceCall) -> ServiceResponse:
        await _person(call)
        return await answer(call, action, given(call, *names))

    return run


async def _person(call: ServiceCall) -> None:
    """Refuse whoever is nobody."""
    if await user_of_call(call) is None:
        raise Refused("user_required")


async def _search_memory(call: ServiceCall) -> ServiceResponse:
    """Find what is remembered for the caller, or tell all of it."""
    action = "memory.search" if "query" in call.data else "memory.list"
    return await _own_memory(action, "query", "limit")(call)


async def _get_memories(call: ServiceCall) -> ServiceResponse:
    """Return what is remembered for the caller, newest first, and whether anything is remembered at all."""
    await _person(call)
    entry, page = brain_entry(call), given(call, "limit", "cursor")
    told = await tell(call, entry, "memory.list", page | {"newest_first": True})
    return told | {"status": await tell(call, entry, "memory.status", {})}


async def _export_memories(call: ServiceCall) -> ServiceResponse:
    """Return all that is kept of the caller's own memories as one text."""
    await _person(call)
    rows = await every_item(call, brain_entry(call), "memory.export")
    text = json.dumps(rows, ensure_ascii=False, indent=1)
    about = {"name": "memories.json", "content_type": "application/json"}
    return {**about, "rows": len(rows), "text": text}


ACTIONS: Final = (
    Action(
        name="ask",
        run=_ask_mind,
        schema={
            **ENTRY,
            vol.Required("text"): vol.All(cv.string, vol.Length(min=1, max=9000)),
            vol.Optional("provider"): vol.All(cv.string, vol.Match(r"^[\w .:-]{2,40}$")),
            vol.Optional("conversation_id"): cv.string,
            vol.Optional("language"): cv.string,
        },
        response=ONLY,
    ),
    Action(
        name="remember",
        run=_own_memory("memory.remember", "text", "shared"),
        schema={
            **ENTRY,
            vol.Required("text"): vol.All(cv.string, vol.Length(min=1)),
            vol.Optional("shared", default=False): cv.boolean,
        },
    ),
    Action(
        name="search_memory",
        run=_search_memory,
        schema={
            **ENTRY,
            vol.Optional("query"): vol.All(cv.string, vol.Length(min=1)),
            vol.Optional("limit", default=10): vol.All(vol.Coerce(int), vol.Range(min=1, max=50)),
        },
        response=ONLY,
    ),
    Action(
        name="forget_memory",
        run=_own_memory("memory.forget", "memory_id", "all"),
        schema={
            **ENTRY,
            vol.Exclusive("memory_id", "which"): cv.string,
            vol.Exclusive("all", "which"): vol.All(cv.boolean, vol.Equal(True)),
        },
        check=cv.has_at_least_one_key("memory_id", "all"),
    ),
    Action(
        name="get_memories",
        run=_get_memories,
        schema=paging(100),
        response=ONLY,
    ),
    Action(name="export_memories", run=_export_memories, schema=ENTRY, response=ONLY),
    Action(
        name="enable_memory",
        run=_own_memory("memory.enable", "enabled"),
        schema={**ENTRY, vol.Required("enabled"): cv.boolean},
    ),
    Action(
        name="clear_cache",
        run=hands_on("cache.clear", "key", "topic", "all"),
        schema={
            **ENTRY,
            vol.Exclusive("key", "which"): cv.string,
            vol.Exclusive("topic", "which"): cv.string,
            vol.Exclusive("all", "which"): vol.All(cv.boolean, vol.Equal(True)),
        },
        check=cv.has_at_least_one_key("key", "topic", "all"),
        admin=True,
    ),
    Action(
        name="set_budget",
        run=hands_on("budget.set_limits", "daily", "monthly", "soft", "currency"),
        schema={
            **ENTRY,
            vol.Optional("daily"): _AMOUNT,
            vol.Optional("monthly"): _AMOUNT,
            vol.Optional("soft"): vol.All(vol.Coerce(float), vol.Range(min=0.01, max=1)),
            vol.Optional("currency"): vol.All(cv.string, vol.Match(r"^[A-Z]{3}$")),
        },
        check=cv.has_at_least_one_key("daily", "monthly", "soft", "currency"),
        admin=True,
    ),
)
