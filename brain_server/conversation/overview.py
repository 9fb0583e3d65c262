"""How the mind is doing, for people who look: the last answer, the cache, the memory, the queue, the money."""

from collections.abc import Awaitable, Callable
from typing import Final

from brain_server.bus import Bus, Event
from brain_server.observability import Tasks
from brain_server.protocol import Json
from brain_server.routing import Decision

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
        cache: Callable[[], Json],
        memories: Callable[[], int],
        queue: Callable[[], int],
        budget: Callable[[], Awaitable[Json]],
    ) -> None:
        """Take the bus and what can be asked for figures."""
        self._bus = bus
        self._tasks = tasks
        self._cache = cache
        self._memories = memories
        self._queue = queue
        self._budget = budget
        self._last = NOTHING
        bus.listen("memory.updated", self._on_change)

    def view(self) -> Json:
        """Return the figures."""
        return {
            "last": self._last,
            "cache": self._cache(),
            "memories": self._memories(),
            "queue": self._queue(),
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
        self._bus.publish("mind.updated", self.view())
        if self._last["cost"]:
            self._tasks.start("budget told", self._tell_budget())

    def _on_change(self, _event: Event) -> None:
        self._bus.publish("mind.updated", self.view())

    async def _tell_budget(self) -> None:
        self._bus.publish("budget.updated", await self._budget())
