"""What language models may use of the house, for a person who speaks right now, with that person's rights.

The list is Home Assistant's own for Assist. Whatever could be a hazard waits for a plain yes of the person.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
import re
from typing import Any, Final, override

from homeassistant.auth.models import User
from homeassistant.auth.permissions.const import POLICY_READ
from homeassistant.components.homeassistant.exposed_entities import async_should_expose
from homeassistant.components.sensor import DOMAIN as SENSOR_DOMAIN, async_rounded_state
from homeassistant.const import ATTR_UNIT_OF_MEASUREMENT
from homeassistant.core import HomeAssistant, State
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import (
    area_registry as ar,
    config_validation as cv,
    device_registry as dr,
    entity_registry as er,
    intent,
    llm,
)
from homeassistant.helpers.json import json_bytes
from homeassistant.util.json import json_loads_object
import probatio as vol

from .assent import agrees
from .client import BrainClient
from .const import DOMAIN
from .errors import Refused
from .hazards import judge
from .home import HomeCommands
from .protocol import Json
from .turns import Turn, fingerprint, plain

MOST_STATES: Final = 60
MOST_TOOLS: Final = 64
LONGEST_DESCRIPTION: Final = 1000
LONGEST_STATE: Final = 255
OPENAPI: Final = "3.1.0"

_NAME: Final = re.compile(r"[^A-Za-z0-9_-]")
_LONGEST_NAME: Final = 64
# It tells the states of everything that is exposed, whoever asks; ours looks at the person's rights.
_REPLACED: Final = frozenset({"homeassistant__GetLiveContext"})
# A model has no say in where the person is.
_NOT_THEIRS: Final = frozenset({"preferred_area_id", "preferred_floor_id"})


class HouseTools:
    """Offers the house's tools to the brain, and runs them, while their turn lasts."""

    def __init__(
        self, hass: HomeAssistant, home: HomeCommands, find: Callable[[str], Turn]
    ) -> None:
        """Take the home and how a turn is found; that raises Refused ``no_such_turn``."""
        self._hass = hass
        self._home = home
        self._find = find

    def register(self, client: BrainClient) -> None:
        """Answer what the brain asks for in a turn."""
        client.register("ha.converse", self.converse)
        client.register("ha.tools", self.tools)
        client.register("ha.call_tool", self.call_tool)

    async def converse(self, params: Json) -> Json:
        """Answer ``ha.converse``."""
        turn = self._find(params["context_id"])
        turn.enter()
        return await self.answer(turn)

    async def answer(self, turn: Turn) -> Json:
        """Carry out or answer what the home understands of a turn without a model."""
        found = await self._home.answer(
            turn.text,
            turn.language,
            turn.context,
            conversation_id=turn.conversation_id,
            device_id=turn.device_id,
            satellite_id=turn.satellite_id,
        )
        return {
            "handled": found is not None,
            "text": found.text if found else "",
            "confidence": found.confidence if found else 0.0,
            "asks": found is not None and found.asks,
            "acted": found is not None and bool(found.acted),
            "reason": found.reason if found else "not_understood",
        }

    async def tools(self, params: Json) -> Json:
        """Answer ``ha.tools``."""
        turn = self._find(params["context_id"])
        api = await self._api(turn)
        known = {tool.name: tool for tool in api.tools}
        return {
            "tools": [
                _described(name, known[original], api) for name, original in turn.names.items()
            ]
        }

    async def call_tool(self, params: Json) -> Json:
        """Answer ``ha.call_tool``; with ``propose`` nothing is run, and the person's yes to it can be taken.

        Raises Refused ``no_such_turn``, ``unknown_tool``, ``not_said``, ``guarded_entity``,
        ``workshop_entity``, ``not_permitted``.
        """
        turn = self._find(params["context_id"])
        api = await self._api(turn)
        name, confirmed = str(params["name"]), params.get("confirmed") is True
        if name not in turn.names:
            raise Refused("unknown_tool", tool=name[:_LONGEST_NAME])
        given: Json = params.get("arguments") or {}
        call = fingerprint(name, given)
        # The brain's word is not enough: the person's own must be a yes to the question about this very call.
        if confirmed and not (turn.answers == call and agrees(turn.text)):
            raise Refused("not_said")
        arguments = {key: one for key, one in given.items() if key not in _NOT_THEIRS}
        tool = next(one for one in api.tools if one.name == turn.names[name])
        turn.enter()
        found = await judge(self._hass, tool, arguments, turn.llm_context)
        if found.lost is not None:
            return _failed(found.lost)
        wanted = "brain_asks" if params.get("propose") is True else None
        if (why := found.why or wanted) is not None and not confirmed:
            turn.proposes = call
            return {"needs_person": True, "why": why, "what": found.words(tool, arguments)}
        return await _run(api, tool, arguments)

    async def _api(self, turn: Turn) -> llm.APIInstance:
        """Return Home Assistant's tools for this turn, with ours and without what comes from KITTY."""
        if turn.api is None:
            api = await llm.async_get_api(self._hass, llm.LLM_API_ASSIST, turn.llm_context)
            tools = [
                tool
                for tool in api.tools
                if tool.integration != DOMAIN and tool.name not in _REPLACED
            ]
            turn.api = replace(api, tools=[HomeStates(), *tools][:MOST_TOOLS])
            for tool in turn.api.tools:
                turn.names.setdefault(_NAME.sub("_", tool.name)[:_LONGEST_NAME], tool.name)
        return turn.api


def _described(name: str, tool: llm.Tool, api: llm.APIInstance) -> Json:
    """Return a tool as models see it; one that reaches out of the house is none that only reads."""
    schema = vol.to_openapi(
        tool.parameters, custom_serializer=api.custom_serializer, openapi_version=OPENAPI
    )
    return {
        "name": name,
        "description": (tool.description or tool.title or name)[:LONGEST_DESCRIPTION],
        "parameters": _plain_json({"type": "object", "properties": {}, **schema}),
        "read_only": tool.annotations.read_only and not tool.annotations.open_world,
    }


async def _run(api: llm.APIInstance, tool: llm.Tool, arguments: Json) -> Json:
    """Run a tool; what goes wrong in it is told, not raised."""
    wish = llm.ToolInput(tool_name=tool.name, tool_args=arguments, external=True)
    try:
        done = await api.async_call_tool(wish)
    except (HomeAssistantError, vol.Invalid) as err:
        return _failed(str(err) or type(err).__name__)
    return {"result": _plain_json(done.data), "error": done.error}


def _failed(words: str) -> Json:
    """Return the result of a call that did nothing."""
    return {"result": {"error": words[:LONGEST_DESCRIPTION]}, "error": True}


def _plain_json(data: Any) -> Json:
    """Return data as plain JSON: results hold times and enums."""
    return json_loads_object(json_bytes(data))


class HomeStates(llm.Tool):
    """Tells the states of what is exposed to Assist and what this person may see."""

    name = "home_states"
    title = "States of the house"
    description = (
        "Tells the current states of devices and sensors of the house. "
        "Name what you want to know; without anything all of the house is told, at most 60 entities."
    )
    parameters = vol.Schema(
        {
            vol.Optional("names", description="Names of devices, or parts of them"): [cv.string],
            vol.Optional("areas", description="Names of areas"): [cv.string],
            vol.Optional("domains", description="Such as light, sensor, lock"): [cv.string],
        }
    )
    annotations = llm.ToolAnnotations(
        read_only=True, destructive=False, idempotent=True, open_world=False
    )
    integration = DOMAIN

    @override
    async def async_call(
        self, hass: HomeAssistant, tool_input: llm.ToolInput, llm_context: llm.LLMContext
    ) -> llm.ToolResult:
        """Return name, area, domain, state and unit of each."""
        wanted: Json = self.parameters(tool_input.tool_args)
        user_id = llm_context.context.user_id if llm_context.context else None
        user = await hass.auth.async_get_user(user_id) if user_id else None
        if user_id and user is None:
            raise Refused("not_permitted", entity=self.title)
        found = list(_seen(hass, llm_context.assistant, user, wanted))
        told = {"entities": found[:MOST_STATES], "more": max(0, len(found) - MOST_STATES)}
        return llm.ToolResult(data=_plain_json(told))


def _seen(hass: HomeAssistant, assistant: str, user: User | None, wanted: Json) -> Iterator[Json]:
    """Yield what a person may see of what was asked for, by name."""
    domains = {one.casefold() for one in wanted.get("domains", ())}
    areas = {plain(one) for one in wanted.get("areas", ())}
    names = [plain(one) for one in wanted.get("names", ())]
    registry = er.async_get(hass)
    for state in sorted(hass.states.async_all(), key=lambda one: (one.name, one.entity_id)):
        if domains and state.domain not in domains:
            continue
        if not async_should_expose(hass, assistant, state.entity_id):
            continue
        if user is not None and not user.permissions.check_entity(state.entity_id, POLICY_READ):
            continue
        item = registry.async_get(state.entity_id)
        area = _area_of(hass, item)
        called = {plain(one) for one in (area.name, *area.aliases)} if area else set()
        if areas and not areas & called:
            continue
        known = [plain(one) for one in intent.async_get_entity_aliases(hass, item, state=state)]
        if names and not any(part in name for part in names for name in known):
            continue
        yield {
            "name": state.name,
            "area": area.name if area else None,
            "domain": state.domain,
            "state": _state_of(hass, state)[:LONGEST_STATE],
            "unit": state.attributes.get(ATTR_UNIT_OF_MEASUREMENT),
        }


def _area_of(hass: HomeAssistant, item: er.RegistryEntry | None) -> ar.AreaEntry | None:
    """Return the area of an entity: its own, else that of its device."""
    if item is None:
        return None
    device = dr.async_get(hass).async_get(item.device_id) if item.device_id else None
    area_id = item.area_id or (device and dr.async_get_effective_area_id(hass, device))
    return ar.async_get(hass).async_get_area(area_id) if area_id else None


def _state_of(hass: HomeAssistant, state: State) -> str:
    """Return a state as people see it."""
    if state.domain == SENSOR_DOMAIN:
        return async_rounded_state(hass, state.entity_id, state)
    return state.state
