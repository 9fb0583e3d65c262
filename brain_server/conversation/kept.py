"""Answers that are given again: to the same person, for the same question, while they hold.

Only an answer that stands on nothing but the model's own knowledge, or on what the web said, is kept. What
asks for a state, does something, follows on from something said before, or names a model, is not.
"""

from collections.abc import Mapping, Sequence
import hashlib
from typing import Any, Final

from brain_server.conversation.prompt import RULES, Remembered, Said
from brain_server.memory.cache import Answers, scope_of
from brain_server.memory.embedder import Meaning
from brain_server.providers import TierName
from brain_server.routing import Attempt, Reply, Turn
from brain_server.routing.judge import SURE, Signals

FRESH: Final = 0.5
# What answers stand on: memories hold until something is remembered or forgotten.
MEMORY: Final = "memory"
WEB: Final = "web"
MODEL: Final = "model"
PROMPT: Final = hashlib.sha256(RULES.encode()).hexdigest()[:16]
# The languages whose words the cache knows well enough to tell two alike questions apart.
KNOWN: Final = frozenset({"en"})


class Kept:
    """Finds and keeps the answers of one brain."""

    def __init__(self, answers: Answers) -> None:
        """Take the cache."""
        self._answers = answers

    async def find(self, turn: Turn, meaning: Meaning, scope: str) -> Attempt | None:
        """Return the answer that was given before, as the attempt that it is now."""
        similar = turn.language.partition("-")[0] in KNOWN
        found = await self._answers.find(scope, meaning, similar=similar)
        if found is None:
            return None
        kept = found.answer
        reply = Reply(
            text=kept["text"],
            confidence=kept["confidence"],
            reason="cached",
            cached=True,
            outside=kept["outside"],
        )
        turn.emit({"text": reply.text})
        return Attempt(tier=TierName(kept["tier"]), reply=reply, latency_ms=0.0)

    def epochs(self) -> Mapping[str, int]:
        """Return what :meth:`keep` is given, taken before anything is looked up for the answer."""
        return {topic: self._answers.epoch(topic) for topic in (MEMORY, WEB, MODEL)}

    async def keep(
        self,
        attempt: Attempt,
        wants: Signals,
        meaning: Meaning,
        scope: str,
        epochs: Mapping[str, int],
        *,
        remembered: bool,
    ) -> None:
        """Keep an answer if it is one that may be given again: nothing was even tried for it.

        ``remembered``: it stands on memories.
        """
        reply = attempt.reply
        if reply.reason != "answered" or reply.tried or reply.asks or reply.confidence < SURE:
            return
        value: dict[str, Any] = {
            "text": reply.text,
            "confidence": reply.confidence,
            "tier": attempt.tier.value,
            "outside": reply.outside,
        }
        kind = "list" if wants.freshness >= FRESH else "answer"
        topic = MEMORY if remembered else WEB if attempt.tier is TierName.MCP else MODEL
        await self._answers.keep(scope, topic, meaning, value, kind, epoch=epochs[topic])


def scope(
    turn: Turn, wants: Signals, history: Sequence[Said], memories: Sequence[Remembered], models: Any
) -> str | None:
    """Return within what an answer holds; None where it must not be kept at all."""
    if history or wants.of_house or wants.later or wants.wants is not None:
        return None
    return scope_of(
        person=turn.caller.user_id,
        language=turn.language,
        area=turn.area_id,
        prompt=PROMPT,
        memories=sorted(memory.text for memory in memories),
        models=models,
    )
