"""The words of the house: Home Assistant's own commands and questions, understood without a model."""

from typing import ClassVar, Final

from brain_server.errors import KittyError
from brain_server.house import HomeAssistantLink
from brain_server.routing import Reply, Tier, TierName, Turn

TIMEOUT: Final = 20.0


class HomeTier(Tier):
    """Hands a sentence to the integration, which runs it with the rights of the person who speaks."""

    name: ClassVar[TierName] = TierName.LOCAL

    def __init__(self, link: HomeAssistantLink) -> None:
        """Take the road to Home Assistant."""
        self._link = link

    async def answer(self, turn: Turn) -> Reply | None:
        """Answer what Home Assistant understands; only for somebody who speaks through it right now."""
        if turn.caller.context_id is None:
            return None
        asked = {
            "context_id": turn.caller.context_id,
            "text": turn.text,
            "language": turn.language,
            "conversation_id": turn.conversation_id,
        }
        try:
            answer = await self._link.call("ha.converse", asked, timeout=TIMEOUT)
        except KittyError:
            return None  # an integration that cannot, or none: there are tiers behind
        if not answer.get("text"):
            return None
        return Reply(
            text=str(answer["text"]),
            confidence=min(1.0, max(0.0, float(answer.get("confidence", 1.0)))),
            reason=f"home:{answer.get('reason', 'command')}"[:64],
            asks=bool(answer.get("asks")),
            certain=bool(answer.get("handled")),
        )
