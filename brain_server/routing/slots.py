"""Slots: how many questions a model in the house works on at once, and who goes next.

Lower priorities go first, and of the same priority who came first. The one who waits sets the limit of
how long; leaving while waiting, or while being let in, costs nobody else a turn.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
import heapq
import itertools
import math
import time
from typing import Final

from brain_server import metrics
from brain_server.errors import TooMany
from brain_server.protocol import Json

CHAT: Final = 0
BACKGROUND: Final = 10
LONGEST_QUEUE: Final = 16
# What is assumed of a question before any has been seen, and how much each new one says.
FIRST_GUESS: Final = 5.0
LEARNING: Final = 0.2
MOST_RETRY: Final = 60

type _Waiter = tuple[int, int, asyncio.Future[None]]


class Slots:
    """Lets so many in at once: ``async with slots.use(priority): ...``."""

    def __init__(
        self,
        count: int,
        *,
        longest_queue: int = LONGEST_QUEUE,
        name: str = "models",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the number of slots and how many may wait before one of the same priority."""
        self.count = count
        self.busy = 0
        self._longest = longest_queue
        self._name = name
        self._clock = clock
        self._numbers = itertools.count()
        self._queue: list[_Waiter] = []
        self._waits: deque[float] = deque(maxlen=256)
        self._typical = FIRST_GUESS

    @property
    def waiting(self) -> int:
        """Return how many wait."""
        return len(self._queue)

    def view(self) -> Json:
        """Return who is in and who waits, and how long the last few hundred waited."""
        waits = sorted(self._waits)
        return {
            "slots": self.count,
            "busy": self.busy,
            "waiting": self.waiting,
            "wait_ms": {
                name: round(waits[int(len(waits) * share)] * 1000, 3) if waits else None
                for name, share in (("p50", 0.5), ("p99", 0.99))
            },
        }

    @asynccontextmanager
    async def use(self, priority: int = CHAT) -> AsyncIterator[None]:
        """Hold a slot for a block; TooMany ``model_queue_full`` when too many go before."""
        await self._take(priority)
        began = self._clock()
        try:
            yield
        finally:
            self._typical += LEARNING * (self._clock() - began - self._typical)
            self._pass_on()

    async def _take(self, priority: int) -> None:
        came = self._clock()
        if self.busy < self.count:
            self.busy += 1
        else:
            await self._wait(priority)
        self._waits.append(self._clock() - came)
        metrics.observe_wait(self._name, self._waits[-1])

    async def _wait(self, priority: int) -> None:
        """Wait until somebody passes a slot on."""
        before = sum(other <= priority for other, _number, _turn in self._queue)
        if before >= self._longest:
            wait = math.ceil(self._typical * (before + 1) / self.count)
            raise TooMany(
                "model_queue_full",
                "Too many questions wait for the model",
                retry_after=min(max(1, wait), MOST_RETRY),
            )
        turn = asyncio.get_running_loop().create_future()
        waiter = (priority, next(self._numbers), turn)
        heapq.heappush(self._queue, waiter)
        self._count()
        try:
            await turn
        except asyncio.CancelledError:
            if waiter in self._queue:
                self._queue.remove(waiter)
                heapq.heapify(self._queue)
                self._count()
            elif not turn.cancelled():  # let in and called away at the same moment
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        """Give the slot to who is next."""
        while self._queue:
            _priority, _number, turn = heapq.heappop(self._queue)
            self._count()
            if not turn.cancelled():  # called away, and only not gone yet
                turn.set_result(None)
                return
        self.busy -= 1

    def _count(self) -> None:
        metrics.set_queue(self._name, self.waiting)
