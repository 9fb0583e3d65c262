"""Tools for other agents: see the workshop, and ask for something; no tool here can approve anything."""

from typing import Any, Final, override

from homeassistant.components.llm import LLMTools
from homeassistant.core import HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers.llm import (
    LLM_API_ASSIST,
    LLMContext,
    Tool,
    ToolAnnotations,
    ToolInput,
    ToolResult,
)
import probatio as vol

from . import KittyConfigEntry
from .const import DOMAIN
from .entries import loaded_brains
from .protocol import INTENTS

STATUS: Final = f"{DOMAIN}__status"
REQUEST: Final = f"{DOMAIN}__request"


class StatusTool(Tool):
    """Tells how the devices of the workshop are."""

    name = STATUS
    title = "Workshop status"
    description = "Tells how the doors, power supplies, printers and cameras of the workshop are."
    annotations = ToolAnnotations(
        read_only=True, destructive=False, idempotent=True, open_world=False
    )
    integration = DOMAIN

    def __init__(self, entry: KittyConfigEntry) -> None:
        """Take the entry."""
        self._entry = entry

    @override
    async def async_call(
        self, hass: HomeAssistant, tool_input: ToolInput, llm_context: LLMContext
    ) -> ToolResult:
        """Return every device with its state."""
        devices = self._entry.runtime_data.coordinator.data.devices.values()
        known = ("name", "kind", "online", "state")
        return ToolResult(
            data={"devices": [{name: device[name] for name in known} for device in devices]}
        )


class RequestTool(Tool):
    """Asks for something to be done; what is dangerous then waits for people."""

    name = REQUEST
    title = "Ask the workshop"
    description = (
        "Asks for something to be done with a device of the workshop. Unlocking, power, heat and prints wait "
        "for people to approve them; this tool only asks and cannot approve."
    )
    annotations = ToolAnnotations(
        read_only=False, destructive=True, idempotent=False, open_world=False
    )
    integration = DOMAIN

    def __init__(self, devices: dict[str, str]) -> None:
        """Take the devices by name, each with Home Assistant's id of it."""
        self._devices = devices
        self.parameters = vol.Schema(
            {
                vol.Required("device"): vol.In(sorted(devices)),
                vol.Required("intent"): vol.In(sorted(INTENTS)),
                vol.Optional("params"): dict,
            }
        )

    @override
    async def async_call(
        self, hass: HomeAssistant, tool_input: ToolInput, llm_context: LLMContext
    ) -> ToolResult:
        """Ask, with the rights of the person behind the agent, and say what it waits for."""
        given: dict[str, Any] = self.parameters(tool_input.tool_args)
        asked = {
            "device_id": self._devices[given["device"]],
            "intent": given["intent"],
            "params": given.get("params", {}),
        }
        try:
            answer = await hass.services.async_call(
                DOMAIN,
                "request",
                asked,
                context=llm_context.context,
                blocking=True,
                return_response=True,
            )
        except HomeAssistantError as err:
            return ToolResult(data={"error": str(err)}, error=True)
        return ToolResult(data=answer or {})


@callback
def async_get_tools(hass: HomeAssistant, llm_context: LLMContext, api_id: str) -> LLMTools | None:
    """Return the tools for Assist's agents; asking needs a person."""
    if api_id != LLM_API_ASSIST:
        return None
    tools: list[Tool] = []
    for entry in loaded_brains(hass):
        tools.append(StatusTool(entry))
        devices = _devices(hass, entry)
        if devices and llm_context.context and llm_context.context.user_id:
            tools.append(RequestTool(devices))
    return LLMTools(tools=tools[:2]) if tools else None


def _devices(hass: HomeAssistant, entry: KittyConfigEntry) -> dict[str, str]:
    """Return Home Assistant's ids of the devices by their names."""
    known = entry.runtime_data.coordinator.data.devices
    registry = dr.async_get(hass)
    return {
        device.name_by_user or device.name or device.id: device.id
        for device in dr.async_entries_for_config_entry(registry, entry.entry_id)
        if any(domain == DOMAIN and one in known for domain, one in device.identifiers)
    }
