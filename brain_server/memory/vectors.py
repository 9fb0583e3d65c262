"""Where vectors are searched: the contract, and the store that keeps them in memory, exact, from the rows."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from brain_server.memory.embedder import DAMAGED, Vector, load_numpy

if TYPE_CHECKING:
    from brain_server.memory.embedder import Floats

# Fewer rows than these are searched at once; more in a thread, so that the loop goes on.
INLINE: Final = 5_000
FIRST: Final = 64


class Hit(NamedTuple):
    """An id and how near it lies, -1 to 1."""

    id: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One memory in the space of its vector."""

    id: str
    namespace: str
    vector: Vector


class Stored(NamedTuple):
    """What a row keeps of a vector."""

    id: str
    blob: bytes


class VectorStore(Protocol):
    """Finds what lies near. Only ids come back: what they stand for, and whose they are, is in the rows."""

    name: str

    async def put(self, points: Sequence[Point]) -> None:
        """Add points of one model, or replace those of the same id."""

    async def search(self, namespaces: Collection[str], near: Vector, limit: int) -> list[Hit]:
        """Return the nearest points of the vector's model in these namespaces, nearest first."""

    async def remove(self, ids: Collection[str]) -> None:
        """Remove points; one that is not there is no error."""

    async def reset(self, embedder: str, width: int | None) -> None:
        """Forget everything, and be ready for the vectors of a model; None: there are none to come yet."""

    async def count(self, embedder: str) -> int | None:
        """Return how many points of a model there are; None where there is no place for them yet."""

    async def close(self) -> None:
        """Let go of memory and connections."""


class Shelf:
    """The vectors of one namespace, in one matrix."""

    def __init__(self, width: int) -> None:
        """Start empty, for vectors of this many numbers."""
        import numpy as np  # noqa: PLC0415 - loaded before the first shelf

        self._rows = np.empty((FIRST, width), dtype=np.float32)
        self._ids: list[str] = []
        self._slots: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def fill(self, entries: Sequence[str], values: Floats) -> None:
        """Take the first vectors, all at once, with room for as many again."""
        import numpy as np  # noqa: PLC0415 - 30 MB that only a search needs

        self._rows = np.empty((max(FIRST, 2 * len(entries)), self._rows.shape[1]), np.float32)
        self._rows[: len(entries)] = values
        self._ids = list(entries)
        self._slots = {entry: slot for slot, entry in enumerate(entries)}

    def put(self, entry: str, values: Floats) -> None:
        """Add a vector, or replace the one of this id."""
        import numpy as np  # noqa: PLC0415 - 30 MB that only a search needs

        slot = self._slots.setdefault(entry, len(self._ids))
        if slot == len(self._ids):
            self._ids.append(entry)
        if slot == len(self._rows):
            more = np.empty((len(self._rows) * 2, self._rows.shape[1]), dtype=np.float32)
            more[:slot] = self._rows
            self._rows = more
        self._rows[slot] = values

    def remove(self, entry: str) -> None:
        """Remove a vector; the last one takes its place."""
        if (slot := self._slots.pop(entry, None)) is None:
            return
        last = self._ids.pop()
        if last != entry:
            self._ids[slot] = last
            self._slots[last] = slot
            self._rows[slot] = self._rows[len(self._ids)]

    def search(self, values: Floats, limit: int) -> list[Hit]:
        """Return the nearest, nearest first."""
        import numpy as np  # noqa: PLC0415 - 30 MB that only a search needs

        count = len(self._ids)
        scores = self._rows[:count] @ values
        first = max(0, count - limit)
        best = np.argpartition(scores, first)[first:] if first else np.arange(count)
        return sorted(
            (Hit(self._ids[slot], float(scores[slot])) for slot in best.tolist()),
            key=lambda hit: hit.score,
            reverse=True,
        )


type Load = Callable[[str, str], Awaitable[Sequence[Stored]]]
type Count = Callable[[str], Awaitable[int]]


class RowVectors:
    """The exact store: read from the rows of a namespace when it is first searched, kept in memory."""

    name = "rows"

    def __init__(
        self, load: Load, count: Count, damaged: Callable[[Collection[str]], None]
    ) -> None:
        """Take what reads the rows of (namespace, model), what counts them, and who hears of damaged ones."""
        self._load = load
        self._count = count
        self._damaged = damaged
        self._shelves: dict[tuple[str, str], Shelf] = {}
        self._lock = asyncio.Lock()

    async def put(self, points: Sequence[Point]) -> None:
        """Add points to the shelves that are in memory; the others are read with them later."""
        async with self._lock:
            for point in points:
                shelf = self._shelves.get((point.namespace, point.vector.embedder))
                if shelf is not None:
                    shelf.put(point.id, point.vector.values)

    async def search(self, namespaces: Collection[str], near: Vector, limit: int) -> list[Hit]:
        """Return the nearest points of the vector's model in these namespaces, nearest first."""
        async with self._lock:
            shelves = [await self._shelf(one, near) for one in sorted(namespaces)]
            if sum(len(shelf) for shelf in shelves) <= INLINE:
                return _search(shelves, near.values, limit)
            return await asyncio.to_thread(_search, shelves, near.values, limit)

    async def remove(self, ids: Collection[str]) -> None:
        """Remove points; one that is not there is no error."""
        async with self._lock:
            for shelf in self._shelves.values():
                for one in ids:
                    shelf.remove(one)

    async def reset(self, embedder: str, width: int | None) -> None:
        """Drop what is in memory; the rows stay."""
        del embedder, width
        await self.close()

    async def count(self, embedder: str) -> int | None:
        """Return how many rows have a vector of a model."""
        return await self._count(embedder)

    async def close(self) -> None:
        """Drop what is in memory."""
        async with self._lock:
            self._shelves.clear()

    async def _shelf(self, namespace: str, near: Vector) -> Shelf:
        key = (namespace, near.embedder)
        if (known := self._shelves.get(key)) is not None:
            return known
        await load_numpy()
        rows = await self._load(namespace, near.embedder)
        width = len(near.values)
        shelf, damaged = await asyncio.to_thread(_filled, rows, width)
        for old in [one for one in self._shelves if one[1] != near.embedder]:
            del self._shelves[old]
        self._shelves[key] = shelf
        if damaged:
            self._damaged(damaged)
        return shelf


def _filled(rows: Sequence[Stored], width: int) -> tuple[Shelf, list[str]]:
    """Return a shelf with the rows, and the ids of those whose vector is damaged."""
    import numpy as np  # noqa: PLC0415 - 30 MB that only a search needs

    whole = [row for row in rows if len(row.blob) == 4 * width]
    values = np.frombuffer(b"".join(row.blob for row in whole), dtype=np.float32)
    values = values.reshape(len(whole), width)
    sound = np.abs(np.einsum("ij,ij->i", values, values) - 1.0) < DAMAGED
    kept = [row.id for row, good in zip(whole, sound.tolist(), strict=True) if good]
    shelf = Shelf(width)
    shelf.fill(kept, values[sound])
    known = set(kept)
    return shelf, [row.id for row in rows if row.id not in known]


def _search(shelves: Sequence[Shelf], values: Floats, limit: int) -> list[Hit]:
    found = [hit for shelf in shelves if len(shelf) for hit in shelf.search(values, limit)]
    return sorted(found, key=lambda hit: hit.score, reverse=True)[:limit]
