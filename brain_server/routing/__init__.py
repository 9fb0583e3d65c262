"""Routing: the tiers that can answer, cheapest first, and a record of every decision.

A tier answers or passes. The first ones need no model: KITTY's own verbs, then the words of the house
itself. Behind them stand the models: what is near and free is asked first, and what is far and dear only
when the near one is not sure enough, and only where privacy and the budget allow it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
import hashlib
import time
from typing import Any, ClassVar, Final

from sqlalchemy import Connection, insert

from brain_server.commands import Caller
from brain_server.metrics import count_decision
from brain_server.protocol import Json
from brain_server.providers import TierName as TierName
from brain_server.storage import Database, tables
from brain_server.storage.tables import new_id

NO_MODEL: Final = (
    "I need a language model for that, and none is configured. "
    "I can tell the state of the workshop, lock and unlock doors, switch power and control prints."
)

# Made once: SQLAlchemy remembers with the statement what it has worked out about it.
_INSERT: Final = insert(tables.decisions)


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
    today: str | None = None
    # Seconds by stage, filled as the turn goes on.
    stages: dict[str, float] = field(default_factory=dict)
    # What tiers share within a turn, e.g. the meaning of what was said.
    shared: dict[str, Any] = field(default_factory=dict)
    # Lower goes first where models are scarce: 0 is somebody who waits, 10 is work in the background.
    priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Which model was asked, and what that took."""

    provider_id: str
    model: str
    tokens_in: int | None = None
    tokens_out: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer: its words, how sure it is (0 to 1), what it cost, whether it asks something back.

    With ``certain`` False it is kept only in case no tier behind has a better one.
    """

    text: str
    confidence: float
    reason: str
    cost: float = 0.0
    asks: bool = False
    certain: bool = True
    cached: bool = False
    spent: Spent | None = None
    data: Json = field(default_factory=dict)
    # Whether words from outside the house stand behind it, and the tools that ran for it.
    outside: bool = False
    calls: tuple[Json, ...] = ()
    # How many tools were wanted for it, also those that were refused.
    tried: int = 0


class Tier(ABC):
    """One way to answer."""

    name: ClassVar[TierName]

    @abstractmethod
    async def answer(self, turn: Turn) -> Reply | None:
        """Answer, streaming words through ``turn.emit``, or return None to pass."""

    async def answer_safely(self, _turn: Turn) -> Reply | None:
        """Answer only what makes things safer, e.g. a lock or a no; None for everything else."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One tier that was asked: what it said or why it did not, and how long it took."""

    tier: TierName
    reply: Reply
    latency_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """How a turn was answered: the reply, and every attempt on the way to it, the last one first."""

    attempts: tuple[Attempt, ...]

    @property
    def reply(self) -> Reply:
        """Return the answer."""
        return self.attempts[0].reply

    @property
    def tier(self) -> TierName:
        """Return the tier that gave it."""
        return self.attempts[0].tier


class Models(ABC):
    """The tiers that have a model; they choose among themselves."""

    @abstractmethod
    async def answer(self, turn: Turn) -> tuple[Attempt, ...] | None:
        """Answer with every attempt, the one that counts first; None when no model is configured."""


class Router:
    """Asks the tiers in order."""

    def __init__(
        self,
        database: Database,
        tiers: Sequence[Tier],
        clock: Callable[[], float],
        models: Models | None = None,
        noted: Callable[[Decision], None] = lambda _decision: None,
    ) -> None:
        """Take the database of decisions, the tiers without a model, a clock, the models, and who listens."""
        self._noted = noted
        self._db = database
        self._tiers = tiers
        self._clock = clock
        self._models = models

    async def answer(self, turn: Turn) -> Decision:
        """Return the first certain answer, else the models', else the best that there was."""
        kept: list[Attempt] = []
        for tier in self._tiers:
            started = time.perf_counter()
            reply = await tier.answer(turn)
            if reply is None:
                continue
            kept.append(Attempt(tier=tier.name, reply=reply, latency_ms=since(started)))
            if reply.certain:
                return Decision(attempts=(kept[-1],))
        started = time.perf_counter()
        found = await self._models.answer(turn) if self._models is not None else None
        if found and (not kept or found[0].reply.certain):
            return Decision(attempts=found)
        if kept:
            return Decision(attempts=(kept[0], *(found or ())))
        reply = Reply(text=NO_MODEL, confidence=0.0, reason="no_model")
        return Decision(
            attempts=(Attempt(tier=TierName.LOCAL, reply=reply, latency_ms=since(started)),)
        )

    async def answer_safely(self, turn: Turn) -> Decision | None:
        """Return the answer to what makes things safer; None, and nothing done, for everything else."""
        for tier in self._tiers:
            started = time.perf_counter()
            reply = await tier.answer_safely(turn)
            if reply is not None:
                attempt = Attempt(tier=tier.name, reply=reply, latency_ms=since(started))
                return Decision(attempts=(attempt,))
        return None

    async def keep(
        self,
        turn: Turn,
        decision: Decision,
        also: Callable[[Connection], object] = lambda _connection: None,
    ) -> None:
        """Record every attempt of a decision, in one transaction with ``also``, and tell who listens."""

        def work(connection: Connection) -> None:
            also(connection)
            self._record(connection, turn, decision)

        await self._db.write(work)
        self._noted(decision)

    def _record(self, connection: Connection, turn: Turn, decision: Decision) -> None:
        stages = {name: round(seconds * 1000, 3) for name, seconds in turn.stages.items()}
        first, *rest = decision.attempts
        rows = [self._row(turn, first, stages), *(self._row(turn, one, None) for one in rest)]
        connection.execute(_INSERT, rows)

    def _row(self, turn: Turn, attempt: Attempt, stages: Json | None) -> dict[str, Any]:
        reply = attempt.reply
        spent = reply.spent
        count_decision(attempt.tier.value, reply.confidence, cached=reply.cached)
        return {
            "id": new_id(),
            "conversation_id": turn.conversation_id or None,
            "request_id": turn.request_id,
            "input_hash": hashlib.sha256(turn.text.encode()).hexdigest(),
            "tier": attempt.tier.value,
            "confidence": reply.confidence,
            "cost": reply.cost,
            "latency_ms": attempt.latency_ms,
            "reason": reply.reason,
            "performed_by": turn.caller.user_id,
            "created_at": self._clock(),
            "provider_id": spent.provider_id if spent else None,
            "model": spent.model if spent else None,
            "cached": reply.cached,
            "tokens_in": spent.tokens_in if spent else None,
            "tokens_out": spent.tokens_out if spent else None,
            "stages": stages,
        }


def since(started: float) -> float:
    """Return the milliseconds since a reading of ``time.perf_counter``."""
    return round((time.perf_counter() - started) * 1000, 3)
