"""Moves the vectors to another store and back, by one command; the rows are read, and never lost."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from brain_server.memory.embedder import from_blob, load_numpy
from brain_server.memory.rows import Rows
from brain_server.memory.vectors import Point, VectorStore
from brain_server.protocol import Json

if TYPE_CHECKING:
    from brain_server.memory.qdrant import Qdrant

BATCH: Final = 256
HERE: Final = "rows"


async def copy(rows: Rows, store: VectorStore, embedder: str) -> int:
    """Fill a store anew with the vectors of a model; returns how many it has now."""
    await load_numpy()
    first = await rows.with_vectors(embedder, "", 1)
    await store.reset(embedder, len(first[0]["vector"]) // 4 if first else None)
    after, done = "", 0
    while part := await rows.with_vectors(embedder, after, BATCH):
        vectors = ((row, from_blob(embedder, row["vector"])) for row in part)
        points = [
            Point(id=row["id"], namespace=row["namespace"], vector=vector)
            for row, vector in vectors
            if vector is not None
        ]
        done += await put(rows, store, points)
        after = part[-1]["id"]
    return done


async def put(rows: Rows, store: VectorStore, points: Sequence[Point]) -> int:
    """Put points, and none that was forgotten meanwhile; returns how many there are now."""
    await store.put(points)
    # After it: what is forgotten from here on is removed there by who forgets it.
    there = await rows.fetch([one.id for one in points], {one.namespace for one in points})
    if gone := [one.id for one in points if one.id not in there]:
        await store.remove(gone)
    return len(points) - len(gone)


async def away(rows: Rows, store: VectorStore) -> Json:
    """Copy the vectors of the model that most rows have; returns what was moved and what has none yet."""
    embedders = await rows.embedders()
    if not embedders:
        return {"moved": 0, "without_vector": sum((await rows.counts()).values()), "embedder": None}
    embedder = max(embedders, key=lambda name: embedders[name])
    moved = await copy(rows, store, embedder)
    missing = await rows.count_missing(embedder)
    return {"moved": moved, "without_vector": missing, "embedder": embedder}


async def back(rows: Rows, store: Qdrant) -> Json:
    """Bring vectors that only the server has into their rows, then remove them from the server."""
    after, brought = "", 0
    while part := await rows.without_any(after, BATCH):
        found = await store.vectors(part)
        brought += len(await rows.set_vectors(found))
        after = part[-1]
    await store.reset("", None)
    embedders = await rows.embedders()
    return {"brought": brought, "vectors": sum(embedders.values())}
