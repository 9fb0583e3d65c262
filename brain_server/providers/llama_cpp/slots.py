"""Who may ask next: a few places, and a queue in which chat goes before background work."""

import asyncio
from collections.abc import Iterable
import heapq
from itertools import count


class Slots[T]:
    """Things of which each serves one at a time."""

    def __init__(self, things: Iterable[T]) -> None:
        """Start with all of them free."""
        self._free = list(things)
        self._queue: list[tuple[int, int, asyncio.Future[T]]] = []
        self._numbers = count()

    @property
    def waiting(self) -> int:
        """Return how many wait."""
        return sum(not future.done() for _, _, future in self._queue)

    async def take(self, priority: int) -> T:
        """Wait for a free one; the lowest priority goes first, then who came first."""
        if self._free:
            return self._free.pop()  # the last that worked: it is warm
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._queue, (priority, next(self._numbers), future))
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():  # it was given just now
                self.give(future.result())
            raise

    def give(self, thing: T) -> None:
        """Give one back, to the next who waits."""
        while self._queue:
            _, _, future = heapq.heappop(self._queue)
            if not future.done():
                future.set_result(thing)
                return
        self._free.append(thing)
