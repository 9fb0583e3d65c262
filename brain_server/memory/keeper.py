"""Keeps the index true to the rows: computes vectors that are missing, mirrors them, and says how far it is."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import suppress
import logging
from typing import Final

from brain_server.bus import Bus
from brain_server.errors import KittyError
from brain_server.memory.embedder import BACKGROUND_LIMIT, BATCH, Embedder, Vector
from brain_server.memory.move import copy, put
from brain_server.memory.rows import Missing, Rows
from brain_server.memory.vectors import Point, RowVectors, VectorStore
from brain_server.observability import Tasks
from brain_server.protocol import Json

_LOGGER = logging.getLogger(__name__)

EVERY: Final = 60.0
CLEAN_EVERY: Final = 3_600.0
# What has just been written reaches the other store a moment after the rows.
ON_THE_WAY: Final = 0.5
MOST_FINISHING: Final = 2.0
# When so many texts in a row get no vector, it is the model that fails, and not a text.
MOST_FAILED: Final = 3


class Keeper:
    """Works in the background; :meth:`wake` lets it look at once."""

    def __init__(
        self,
        rows: Rows,
        embedder: Embedder,
        exact: RowVectors,
        store: VectorStore,
        *,
        bus: Bus,
        tasks: Tasks,
        clock: Callable[[], float],
    ) -> None:
        """Take the rows, the model, the exact store, the store that is searched, and who hears of it."""
        self._rows = rows
        self._embedder = embedder
        self._exact = exact
        self._store = store
        self._bus = bus
        self._tasks = tasks
        self._clock = clock
        self._awake = asyncio.Event()
        self._cleaned = clock()
        # The model whose re-embedding a person stopped.
        self._stopped: str | None = None
        # The model that all rows are searched by, once none of them misses its vector.
        self.complete: str | None = None
        # How often rows came to miss a vector: what was counted before the last time proves nothing.
        self._doubts = 0
        # The rows whose vectors are damaged, until these are cleared.
        self._hurt: set[str] = set()
        self._progress: Json | None = None
        self.rebuilt_at: float | None = None
        self._lock = asyncio.Lock()
        # The other store lacks something; and it has everything, so that it may be searched.
        self._is_behind = False
        self.is_mirrored = False
        self.lost: str | None = None

    def wake(self) -> None:
        """Look at once."""
        self._awake.set()

    def view(self) -> Json | None:
        """Return how far the computing of vectors is, None while none are computed."""
        return dict(self._progress) if self._progress is not None else None

    def came(self, vectors: Iterable[Vector | None]) -> None:
        """Note the vectors of new rows, and look at once where one is missing or not of the model of now."""
        now = self._embedder.name
        for vector in vectors:
            if vector is None or vector.embedder != (self.complete or now):
                self._doubt()
            if vector is None or vector.embedder != now:
                self.wake()

    def damaged(self, ids: Collection[str]) -> None:
        """Compute these vectors again: what is stored of them is damaged."""
        self._hurt.update(ids)
        self._doubt()
        self.wake()

    def behind(self, why: str | None = None) -> None:
        """Note that the other store lacks something, and look soon; ``why``: it cannot be reached."""
        if why is not None and self.lost is None:
            _LOGGER.warning("Memory searches its own rows: %s", why)
        self.lost = why or self.lost
        self.is_mirrored = False
        if not self._is_behind:
            self._is_behind = True
            self.wake()

    def resume(self) -> None:
        """Start again what was stopped."""
        self._stopped = None
        self.wake()

    def stop(self) -> None:
        """Stop computing vectors by the model of now; what has none is searched by its words."""
        self._stopped = self._embedder.name

    async def run(self) -> None:
        """Look now, whenever woken, and every minute."""
        while True:
            self._awake.clear()
            await self.once()
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY):
                    await self._awake.wait()

    async def finish(self) -> None:
        """Return when nothing is under way, or after a moment: a request that is cut off leaks a connection."""
        self._stopped = self._embedder.name
        with suppress(TimeoutError):
            async with asyncio.timeout(MOST_FINISHING), self._lock:
                pass

    async def once(self) -> None:
        """Bring the index to what the rows say; what cannot be done now is tried again later."""
        async with self._lock:
            try:
                await self._all()
            except KittyError as err:
                _LOGGER.warning("The index of memory waits: %s", err.message)

    async def _all(self) -> None:
        if self._hurt:
            await self._clear(list(self._hurt))
        if (name := self._embedder.name) is not None:
            await self._embed(name)
            if self._store is not self._exact:
                await self._mirror(name)
        if self._clock() - self._cleaned >= CLEAN_EVERY:
            self._cleaned = self._clock()
            await self._embedder.clean()

    # -- vectors that are missing ---------------------------------------------------------------------

    def _doubt(self) -> None:
        self._doubts += 1
        self.complete = None

    async def _count(self, name: str) -> int:
        """Return how many rows miss their vector, and note when none does."""
        doubts = self._doubts
        missing = await self._rows.count_missing(name)
        is_sure = doubts == self._doubts and not self._hurt
        self.complete = name if missing == 0 and is_sure else None
        return missing

    async def _embed(self, name: str) -> None:
        missing = await self._count(name)
        if missing == 0:
            return
        if self._stopped == name:
            return
        self._progress = {"embedder": name, "done": 0, "of": missing}
        try:
            done = await self._embed_all(name, self._progress)
        finally:
            self._progress = None
        if done:
            await self._count(name)
            self._rebuilt(done, "vectors", name)

    async def _embed_all(self, name: str, progress: Json) -> int:
        after = ""
        while self._stopped != name and self._embedder.name == name:
            batch = await self._rows.missing(name, after, BATCH)
            if not batch:
                break
            vectors = await self._vectors(batch, name)
            if not vectors:
                break
            kept = await self._rows.set_vectors(vectors)
            points = [
                Point(id=one.id, namespace=one.namespace, vector=vectors[one.id])
                for one in batch
                if one.id in kept
            ]
            await self.put(points)
            progress["done"] += len(points)
            after = batch[-1].id
        return int(progress["done"])

    async def _vectors(self, batch: Sequence[Missing], name: str) -> dict[str, Vector]:
        """Return the vectors of a batch; where it fails as a whole, of those that do not fail alone."""
        found = await self._asked([one.text for one in batch])
        failed = 0
        if not any(found):
            found = []
            for one in batch:
                found += await self._asked([one.text])
                failed = failed + 1 if found[-1] is None else 0
                if failed == MOST_FAILED and not any(found):
                    break
        return {
            one.id: vector
            for one, vector in zip(batch, found, strict=False)
            if vector is not None and vector.embedder == name
        }

    async def _asked(self, texts: Sequence[str]) -> list[Vector | None]:
        return await self._embedder.embed_many(texts, limit=BACKGROUND_LIMIT, keep=False)

    async def _clear(self, ids: list[str]) -> None:
        await self._rows.clear_vectors(ids)
        self._hurt.difference_update(ids)

    # -- the other store ------------------------------------------------------------------------------

    async def put(self, points: Sequence[Point]) -> None:
        """Let new points be found; the rows have them already."""
        await self._exact.put(points)
        await self._elsewhere(lambda: put(self._rows, self._store, points))

    async def remove(self, ids: Collection[str]) -> None:
        """Let points no longer be found; their rows are gone already."""
        await self._exact.remove(ids)
        await self._elsewhere(lambda: self._store.remove(ids))

    async def _elsewhere(self, change: Callable[[], Awaitable[object]]) -> None:
        if self._store is self._exact or self._is_behind:
            return  # what is behind is filled anew
        try:
            await change()
        except KittyError as err:
            self.behind(err.message)

    async def _mirror(self, name: str) -> None:
        try:
            differs = await self._differs(name)
            if differs and not self._is_behind and self.is_mirrored:
                await asyncio.sleep(ON_THE_WAY)
                differs = await self._differs(name)
            if self._is_behind or differs:
                # What changes from here on is changed there, too; it is searched once all is there.
                self._is_behind = self.is_mirrored = False
                copied = await copy(self._rows, self._store, name)
                self._rebuilt(copied, self._store.name, name)
        except KittyError as err:
            if self.lost is None:
                _LOGGER.warning("Memory searches its own rows: %s", err.message)
            self._is_behind, self.is_mirrored, self.lost = True, False, err.message
        else:
            self.is_mirrored, self.lost = not self._is_behind, None

    async def _differs(self, name: str) -> bool:
        there, here = await self._store.count(name), await self._rows.count_vectors(name)
        return (there or 0) != here

    def _rebuilt(self, rows: int, what: str, embedder: str) -> None:
        self.rebuilt_at = self._clock()
        _LOGGER.info("Memory was rebuilt from its rows: %d, %s, %s", rows, what, embedder)
        self._bus.publish(
            "memory.rebuilt",
            {"backend": self._store.name, "rows": rows, "what": what, "embedder": embedder},
        )
