"""Home Assistant's own agent, asked in a conversation of its own beside ours."""

from dataclasses import dataclass
from typing import Any, Final

from homeassistant.components import conversation
from homeassistant.components.conversation import ConversationInput
from homeassistant.components.conversation.agent_manager import get_agent_manager
from homeassistant.components.conversation.const import METADATA_CUSTOM_SENTENCE
from homeassistant.components.conversation.default_agent import DefaultAgent
from homeassistant.core import Context, HomeAssistant
from homeassistant.helpers import intent
from homeassistant.helpers.chat_session import current_session

from custom_components.kitty.const import DOMAIN

BESIDE: Final = f"{DOMAIN} home "


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a person said, where, and with which rights."""

    text: str
    language: str
    context: Context
    conversation_id: str | None = None
    device_id: str | None = None
    satellite_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Builtin:
    """What Home Assistant's own agent did and said."""

    text: str
    acted: tuple[str, ...]
    asks: bool
    understood: bool


async def ask(hass: HomeAssistant, said: Said) -> Builtin:
    """Have Home Assistant's own agent answer; what it understands it carries out."""
    session = current_session.get()
    beside = f"{BESIDE}{said.conversation_id}" if said.conversation_id else None
    try:
        result = await conversation.async_converse(
            hass,
            said.text,
            beside,
            said.context,
            language=said.language,
            agent_id=conversation.HOME_ASSISTANT_AGENT,
            device_id=said.device_id,
            satellite_id=said.satellite_id,
        )
    finally:
        # Home Assistant leaves no session behind a nested one; ours goes on.
        current_session.set(session)
    response = result.response
    return Builtin(
        text=str(response.speech.get("plain", {}).get("speech", "")),
        acted=tuple(
            target.id
            for target in response.success_results
            if target.type is intent.IntentResponseTargetType.ENTITY and target.id
        ),
        asks=result.continue_conversation,
        understood=response.response_type is not intent.IntentResponseType.ERROR,
    )


class OwnSentences:
    """Tells whether people taught Home Assistant sentences of their own, which come first."""

    def __init__(self, hass: HomeAssistant) -> None:
        """Start without having looked."""
        self._hass = hass
        self._looked: dict[str, tuple[object, bool]] = {}

    async def match(self, said: Said) -> bool:
        """Tell whether a sentence is one of the people's own."""
        agent = get_agent_manager(self._hass).default_agent
        if agent is None:
            return False
        heard = ConversationInput(
            text=said.text,
            context=said.context,
            conversation_id=said.conversation_id,
            device_id=said.device_id,
            satellite_id=said.satellite_id,
            language=said.language,
            agent_id=conversation.HOME_ASSISTANT_AGENT,
        )
        if await agent.async_recognize_sentence_trigger(heard) is not None:
            return True
        if not await self._any(agent, said.language):
            return False
        found = await agent.async_recognize_intent(heard, strict_intents_only=True)
        return found is not None and bool(
            (found.intent_metadata or {}).get(METADATA_CUSTOM_SENTENCE)
        )

    async def _any(self, agent: DefaultAgent, language: str) -> bool:
        """Tell whether there are such sentences at all: most houses have none, and need not look."""
        loaded = await agent.async_get_or_load_intents(language)
        known = self._looked.get(language)
        if known is None or known[0] is not loaded:
            own = loaded is not None and _has_own(loaded.intents_dict)
            known = self._looked[language] = (loaded, own)
        return known[1]


def _has_own(intents: dict[str, Any]) -> bool:
    """Tell whether intents hold a sentence that a person wrote."""
    return any(
        (data.get("metadata") or {}).get(METADATA_CUSTOM_SENTENCE)
        for one in (intents.get("intents") or {}).values()
        for data in one.get("data") or ()
    )
