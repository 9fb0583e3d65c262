"""What is remembered, as rows: the one truth, from which every index can be made again."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Select, and_, delete, func, insert, or_, select, update

from brain_server.commands import Page
from brain_server.memory.content import hash_of, normal
from brain_server.memory.embedder import Vector
from brain_server.memory.vectors import Stored
from brain_server.protocol import Json
from brain_server.storage import Database, page_of
from brain_server.storage.tables import memories, memory_off, new_id

TRUST: Final = ("outside", "system", "person")
_SHOWN: Final = (
    memories.c.id,
    memories.c.namespace,
    memories.c.text,
    memories.c.source,
    memories.c.trust,
    memories.c.conversation_id,
    memories.c.created_at,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class New:
    """Something to remember. ``trust`` is person, system or outside."""

    text: str
    source: str
    trust: str
    conversation_id: str | None = None
    vector: Vector | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A row without a vector of the model of now."""

    id: str
    namespace: str
    text: str


class Rows:
    """Reads and writes the memories."""

    def __init__(self, database: Database) -> None:
        """Take the database."""
        self._db = database

    async def add(self, namespace: str, new: Sequence[New], now: float) -> list[tuple[str, bool]]:
        """Store memories in one write; returns for each its id and whether it is new.

        What is there already keeps its row; said by a person now, it counts as a person's.
        """
        return await self._db.write(lambda connection: _add(connection, namespace, new, now))

    async def counts(self) -> dict[str, int]:
        """Return how many memories each namespace has."""
        query = select(memories.c.namespace, func.count()).group_by(memories.c.namespace)
        rows = await self._db.read(lambda connection: connection.execute(query).all())
        return {namespace: int(count) for namespace, count in rows}

    async def fetch(
        self, ids: Collection[str], namespaces: Collection[str], *, vectors: bool = False
    ) -> dict[str, Json]:
        """Return rows by id; only those of these namespaces."""
        more = (memories.c.embedder, memories.c.vector) if vectors else ()
        query = select(*_SHOWN, *more).where(
            memories.c.id.in_(ids), memories.c.namespace.in_(namespaces)
        )
        return {row["id"]: row for row in await self._all(query)}

    async def page(
        self, namespaces: Collection[str], page: Page, *, newest_first: bool = False
    ) -> list[Json]:
        """Return one row more than a page of the list, oldest first if nothing else is said."""
        query = select(*_SHOWN).where(memories.c.namespace.in_(namespaces))
        return await self._all(page_of(query, memories.c.id, page, newest_first=newest_first))

    async def latest(self, namespace: str, limit: int) -> list[str]:
        """Return the texts of a namespace that came last, newest first."""
        same = memories.c.namespace == namespace
        query = select(memories.c.text).where(same).order_by(memories.c.id.desc()).limit(limit)
        return await self._db.read(lambda connection: list(connection.execute(query).scalars()))

    async def texts(self, namespace: str) -> list[tuple[str, str]]:
        """Return the ids and texts of a namespace."""
        query = select(memories.c.id, memories.c.text).where(memories.c.namespace == namespace)
        rows = await self._db.read(lambda connection: connection.execute(query).all())
        return [(row.id, row.text) for row in rows]

    async def forget(self, namespaces: Collection[str], ids: Collection[str] | None) -> list[Json]:
        """Delete memories, all of them without ids; returns what is gone."""
        inside = memories.c.namespace.in_(namespaces)
        which = inside if ids is None else and_(inside, memories.c.id.in_(ids))

        def work(connection: Connection) -> list[Json]:
            gone = connection.execute(select(*_SHOWN).where(which)).mappings()
            found = [dict(row) for row in gone]
            connection.execute(delete(memories).where(which))
            return found

        return await self._db.write(work)

    # -- vectors --------------------------------------------------------------------------------------

    async def vectors(self, namespace: str, embedder: str) -> list[Stored]:
        """Return the vectors of a model in a namespace."""
        query = select(memories.c.id, memories.c.vector).where(
            memories.c.namespace == namespace,
            memories.c.embedder == embedder,
            memories.c.vector.is_not(None),
        )
        rows = await self._db.read(lambda connection: connection.execute(query).all())
        return [Stored(row.id, row.vector) for row in rows]

    async def with_vectors(self, embedder: str, after: str, limit: int) -> list[Json]:
        """Return rows with the vectors of a model, by id, from after one on."""
        query = (
            select(memories.c.id, memories.c.namespace, memories.c.vector)
            .where(
                memories.c.embedder == embedder,
                memories.c.vector.is_not(None),
                memories.c.id > after,
            )
            .order_by(memories.c.id)
            .limit(limit)
        )
        return await self._all(query)

    async def count_vectors(self, embedder: str) -> int:
        """Return how many rows have a vector of a model."""
        query = (
            select(func.count())
            .select_from(memories)
            .where(memories.c.embedder == embedder, memories.c.vector.is_not(None))
        )
        return await self._db.read(lambda connection: int(connection.execute(query).scalar() or 0))

    async def embedders(self) -> dict[str, int]:
        """Return how many rows have a vector, by model."""
        query = (
            select(memories.c.embedder, func.count())
            .where(memories.c.embedder.is_not(None), memories.c.vector.is_not(None))
            .group_by(memories.c.embedder)
        )
        rows = await self._db.read(lambda connection: connection.execute(query).all())
        return {str(name): int(count) for name, count in rows}

    async def without_any(self, after: str, limit: int) -> list[str]:
        """Return the ids of rows without a vector of any model, from after one on."""
        query = (
            select(memories.c.id)
            .where(
                or_(memories.c.embedder.is_(None), memories.c.vector.is_(None)),
                memories.c.id > after,
            )
            .order_by(memories.c.id)
            .limit(limit)
        )
        return [row["id"] for row in await self._all(query)]

    async def count_missing(self, embedder: str) -> int:
        """Return how many rows have none."""
        query = select(func.count()).select_from(memories).where(_missing(embedder))
        return await self._db.read(lambda connection: int(connection.execute(query).scalar() or 0))

    async def missing(self, embedder: str, after: str, limit: int) -> list[Missing]:
        """Return rows that have none, by id, from after one on."""
        query = (
            select(memories.c.id, memories.c.namespace, memories.c.text)
            .where(_missing(embedder), memories.c.id > after)
            .order_by(memories.c.id)
            .limit(limit)
        )
        return [Missing(**row) for row in await self._all(query)]

    async def set_vectors(self, vectors: Mapping[str, Vector]) -> set[str]:
        """Store vectors; returns the ids of the rows that were still there."""

        def work(connection: Connection) -> set[str]:
            return {
                entry
                for entry, vector in vectors.items()
                if connection.execute(
                    update(memories)
                    .where(memories.c.id == entry)
                    .values(embedder=vector.embedder, vector=vector.blob())
                ).rowcount
            }

        return await self._db.write(work)

    async def clear_vectors(self, ids: Collection[str]) -> None:
        """Forget damaged vectors, so that they are computed again."""
        cleared = update(memories).where(memories.c.id.in_(ids)).values(embedder=None, vector=None)
        await self._db.write(lambda connection: connection.execute(cleared))

    # -- who does not want to be remembered -----------------------------------------------------------

    async def off(self) -> set[str]:
        """Return the namespaces in which nothing is remembered."""
        query = select(memory_off.c.namespace)
        return await self._db.read(lambda connection: set(connection.execute(query).scalars()))

    async def set_off(self, namespace: str, now: float, *, off: bool) -> None:
        """Switch a namespace off or on."""

        def work(connection: Connection) -> None:
            connection.execute(delete(memory_off).where(memory_off.c.namespace == namespace))
            if off:
                connection.execute(insert(memory_off).values(namespace=namespace, since=now))

        await self._db.write(work)

    async def _all(self, query: Select[Any]) -> list[Json]:
        return await self._db.read(
            lambda connection: [dict(row) for row in connection.execute(query).mappings()]
        )


def _missing(embedder: str) -> Any:
    return or_(
        memories.c.embedder.is_(None), memories.c.embedder != embedder, memories.c.vector.is_(None)
    )


def _add(
    connection: Connection, namespace: str, new: Sequence[New], now: float
) -> list[tuple[str, bool]]:
    keys = [hash_of(normal(one.text)) for one in new]
    same = (memories.c.namespace == namespace) & memories.c.text_hash.in_(keys)
    query = select(memories.c.text_hash, memories.c.id, memories.c.trust).where(same)
    known = {key: (entry, trust) for key, entry, trust in connection.execute(query)}
    added: list[tuple[str, bool]] = []
    rows: dict[str, Json] = {}
    for key, one in zip(keys, new, strict=True):
        entry, trust = known.get(key, (new_id(), None))
        added.append((entry, trust is None))
        if trust is None:
            rows[entry] = _row(entry, namespace, key, one, now)
        elif TRUST.index(one.trust) > TRUST.index(trust):
            better = {"trust": one.trust, "source": one.source}
            if entry in rows:
                rows[entry] |= better
            else:
                connection.execute(update(memories).where(memories.c.id == entry).values(better))
        known.setdefault(key, (entry, one.trust))
    if rows:
        connection.execute(insert(memories), list(rows.values()))
    return added


def _row(entry: str, namespace: str, key: str, new: New, now: float) -> Json:
    return {
        "id": entry,
        "namespace": namespace,
        "text": new.text,
        "text_hash": key,
        "source": new.source,
        "trust": new.trust,
        "conversation_id": new.conversation_id,
        "embedder": new.vector.embedder if new.vector else None,
        "vector": new.vector.blob() if new.vector else None,
        "created_at": now,
    }
