"""Routing: the tiers that can answer, cheapest first, and a record of every decision.

A tier is asked in order and answers or passes. The first one knows the workshop's own verbs without
any model; language models join behind it through the same interface.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
import hashlib
import time
from typing import Any, ClassVar, Final

from sqlalchemy import Connection, insert

from brain_server.commands import Caller
from brain_server.protocol import Json
from brain_server.providers import TierName as TierName
from brain_server.storage import Database
from brain_server.storage.tables import decisions, new_id

NO_MODEL: Final = (
    "I need a language model for that, and none is configured. "
    "I can tell the state of the workshop, lock and unlock doors, switch power and control prints."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What was said, by whom, where. ``state`` belongs to the conversation and is kept with it."""

    text: str
    language: str
    conversation_id: str
    request_id: str
    caller: Caller
    area_id: str | None
    second_of_day: int | None
    state: Json
    emit: Callable[[Json], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer: its words, how sure it is (0 to 1), what it cost, whether it asks something back."""

    text: str
    confidence: float
    reason: str
    cost: float = 0.0
    asks: bool = False
    data: Json = field(default_factory=dict)


class Tier(ABC):
    """One way to answer."""

    name: ClassVar[TierName]

    @abstractmethod
    async def answer(self, turn: Turn) -> Reply | None:
        """Answer, streaming words through ``turn.emit``, or return None to pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Which tier answered a turn, how well, for how much, how fast."""

    tier: TierName
    reply: Reply
    latency_ms: float


class Router:
    """Asks the tiers in order."""

    def __init__(
        self, database: Database, tiers: Sequence[Tier], clock: Callable[[], float]
    ) -> None:
        """Take the database of decisions, the tiers from cheap to dear, and a clock."""
        self._db = database
        self._tiers = tiers
        self._clock = clock

    async def answer(self, turn: Turn) -> Decision:
        """Return the first answer; when every tier passes, the words that say what is missing."""
        started = time.perf_counter()
        for tier in self._tiers:
            reply = await tier.answer(turn)
            if reply is not None:
                return Decision(tier=tier.name, reply=reply, latency_ms=_since(started))
        reply = Reply(text=NO_MODEL, confidence=0.0, reason="no_model")
        return Decision(tier=TierName.LOCAL, reply=reply, latency_ms=_since(started))

    def record(self, connection: Connection, turn: Turn, decision: Decision) -> None:
        """Write the decision in the transaction that stores the answer."""
        row: dict[str, Any] = {
            "id": new_id(),
            "conversation_id": turn.conversation_id,
            "request_id": turn.request_id,
            "input_hash": hashlib.sha256(turn.text.encode()).hexdigest(),
            "tier": decision.tier.value,
            "confidence": decision.reply.confidence,
            "cost": decision.reply.cost,
            "latency_ms": decision.latency_ms,
            "reason": decision.reply.reason,
            "performed_by": turn.caller.user_id,
            "created_at": self._clock(),
        }
        connection.execute(insert(decisions).values(row))


def _since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)
