"""How the mind is doing, for people who look: the last answer, the cache, the memory, the queue, the money."""

import asyncio
from typing import Final

from brain_server.bus import Bus
from brain_server.memory import Memory
from brain_server.memory.cache import Answers
from brain_server.observability import Tasks
from brain_server.protocol import Json
from brain_server.routing import Decision
from brain_server.routing.budget import Budget
from brain_server.routing.slots import Slots

NOTHING: Final[Json] = {
    "tier": None,
    "model": None,
    "confidence": None,
    "cost": None,
    "latency_ms": None,
    "reason": None,
    "cached": None,
}


class Overview:
    """Publishes ``mind.updated`` after each answer, and ``budget.updated`` after each that cost something."""

    def __init__(
        self,
        bus: Bus,
        tasks: Tasks,
        *,
        answers: Answers,
        memory: Memory,
        slots: Slots,
        budget: Budget,
    ) -> None:
        """Take the bus and the parts that have figures."""
        self._bus = bus
        self._tasks = tasks
        self._answers = answers
        self._memory = memory
        self._slots = slots
        self._budget = budget
        self._last = NOTHING
        memory.listeners.append(lambda _namespace: self._tell())

    def view(self) -> Json:
        """Return the figures."""
        answers = self._answers
        return {
            "last": self._last,
            "cache": {
                "hits": answers.hits,
                "misses": answers.misses,
                "ratio": answers.hit_ratio,
            },
            "memories": self._memory.count(),
            "queue": self._slots.waiting,
        }

    def note(self, decision: Decision) -> None:
        """Take the decision that was just recorded."""
        first, reply = decision.attempts[0], decision.reply
        self._last = {
            "tier": first.tier.value,
            "model": reply.spent.model if reply.spent else None,
            "confidence": reply.confidence,
            "cost": round(sum(attempt.reply.cost for attempt in decision.attempts), 6),
            "latency_ms": first.latency_ms,
            "reason": reply.reason,
            "cached": reply.cached,
        }
        # Whoever waits for the answer itself gets that first.
        asyncio.get_running_loop().call_soon(self._tell)
        if self._last["cost"]:
            self._tasks.start("budget told", self._budget.publish())

    def _tell(self) -> None:
        self._bus.publish("mind.updated", self.view())
