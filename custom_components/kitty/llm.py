"""What other agents are offered: some tools beside Home Assistant's own, and an API of KITTY with all of them."""

from typing import TYPE_CHECKING, Final, override

from homeassistant.components.llm import LLMTools
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers import llm
from homeassistant.helpers.llm import API, LLM_API_ASSIST, APIInstance, LLMContext, Tool

from .agent_tools import (
    MaterialsTool,
    MemoryTool,
    QueueTool,
    ReportTool,
    RequestTool,
    ResearchTool,
    StatusTool,
    controlled_names,
)
from .const import DOMAIN
from .entries import loaded_brains
from .origin import person

if TYPE_CHECKING:
    from . import KittyConfigEntry

PROMPT: Final = (
    "These tools are of KITTY, which guards a workshop. What is dangerous there waits for people, who approve it "
    "elsewhere: after a request say that it waits, and never that it was done. What was done shows in the status."
)


@callback
def async_get_tools(hass: HomeAssistant, llm_context: LLMContext, api_id: str) -> LLMTools | None:
    """Return the tools for Assist's agents: what is remembered and researched is in KITTY's own API alone."""
    if api_id != LLM_API_ASSIST:
        return None
    tools: list[Tool] = []
    known = llm_context.context is not None and llm_context.context.user_id is not None
    for number, entry in enumerate(loaded_brains(hass), 1):
        offered: list[Tool] = [StatusTool(entry), QueueTool(entry), MaterialsTool(entry)]
        if known:
            offered.append(RequestTool(entry))
        for tool in offered if number > 1 else ():
            tool.name = f"{tool.name}_{number}"
            tool.title = f"{tool.title} ({entry.title})"
        tools += offered
    return LLMTools(tools=tools, prompt=PROMPT) if tools else None


class KittyAPI(API):
    """Everything that another agent may do in one workshop, with the rights of the person behind it."""

    def __init__(self, hass: HomeAssistant, entry: KittyConfigEntry) -> None:
        """Take the entry."""
        super().__init__(hass=hass, id=f"{DOMAIN}-{entry.entry_id}", name=entry.title)
        self._entry = entry

    @override
    async def async_get_api_instance(self, llm_context: LLMContext) -> APIInstance:
        """Return the tools of the person who asks; nobody asks for nothing, and remembers nothing."""
        user_id = llm_context.context.user_id if llm_context.context else None
        user = await person(self.hass, user_id)
        entry = self._entry
        tools: list[Tool] = []
        if user_id is None or user is not None:
            tools += [StatusTool(entry), QueueTool(entry), MaterialsTool(entry)]
        if user is not None:
            if names := controlled_names(self.hass, entry, user):
                tools.append(RequestTool(entry, names))
            tools += [MemoryTool(entry), ResearchTool(entry), ReportTool(entry)]
        return APIInstance(
            api=self,
            api_prompt=PROMPT,
            llm_context=llm_context,
            tools=tools,
            custom_serializer=llm.selector_serializer,
        )


@callback
def async_offer_api(hass: HomeAssistant, entry: KittyConfigEntry) -> CALLBACK_TYPE:
    """Offer the API of an entry to agents; returns the end of it."""
    return llm.async_register_api(hass, KittyAPI(hass, entry))
