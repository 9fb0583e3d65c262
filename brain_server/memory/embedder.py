"""Meanings as vectors: computed once for each text and model, and never a reason for a turn to fail."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
import importlib
import logging
import sys
from typing import TYPE_CHECKING, Final, Protocol

from sqlalchemy import Connection, delete, func, insert, select, update

from brain_server.errors import KittyError, ProviderError
from brain_server.memory.content import hash_of, squeezed
from brain_server.observability import Tasks, counters
from brain_server.retry import CACHE, retrying
from brain_server.storage import Database
from brain_server.storage.tables import embeddings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LOGGER = logging.getLogger(__name__)

type Floats = NDArray[np.float32]

KEPT: Final = 2_048
KEPT_ROWS: Final = 20_000
BATCH: Final = 32
# A turn does not wait longer for its meaning; the model may still finish, and is then not asked again.
TURN_LIMIT: Final = 2.0
BACKGROUND_LIMIT: Final = 120.0
DAY: Final = 86_400.0
# A stored vector whose length is further from 1 was changed since.
DAMAGED: Final = 0.01


class Embeds(Protocol):
    """The part of a model provider that is used here."""

    async def embed(self, texts: Sequence[str]) -> list[Sequence[float]]:
        """Return one vector for each text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The model of meanings that is set up now. Vectors of two names are never compared."""

    name: str
    model: Embeds


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Vector:
    """A direction of length 1, and the name of the model whose space it lies in."""

    embedder: str
    values: Floats

    def blob(self) -> bytes:
        """Return the vector as it is stored."""
        return self.values.tobytes()


async def load_numpy() -> None:
    """Import numpy, once, without holding up the loop."""
    if "numpy" not in sys.modules:
        await asyncio.to_thread(importlib.import_module, "numpy")


def from_blob(embedder: str, blob: bytes) -> Vector | None:
    """Return a stored vector, None when it is damaged."""
    import numpy as np  # noqa: PLC0415 - 30 MB that a house without a model saves

    if not blob or len(blob) % 4:
        return None
    values = np.frombuffer(blob, dtype=np.float32)
    return Vector(embedder=embedder, values=values) if _is_sound(values) else None


class Embedder:
    """Asks the model of meanings that is set up, and keeps what it said."""

    def __init__(
        self,
        database: Database,
        source: Callable[[], Source | None],
        tasks: Tasks,
        clock: Callable[[], float],
    ) -> None:
        """Take the database, what tells the model of the moment, the task keeper and a clock."""
        self._db = database
        self._source = source
        self._tasks = tasks
        self._clock = clock
        self._kept: OrderedDict[tuple[str, str], Vector] = OrderedDict()
        self._widths: dict[str, int] = {}
        # How often the model was really asked, and for how many texts.
        self.runs = 0
        self.texts = 0
        self.trouble: str | None = None
        # How often texts were forgotten: what was asked for before the last time is kept no more.
        self._forgets = 0

    @property
    def name(self) -> str | None:
        """Return the name of the model that is set up, None when there is none."""
        source = self._source()
        return source.name if source is not None else None

    async def embed(self, text: str) -> Vector | None:
        """Return the vector of a text; None without a model, or when it does not answer in time."""
        return (await self.embed_many([text]))[0]

    async def embed_many(
        self, texts: Sequence[str], *, limit: float = TURN_LIMIT, keep: bool = True
    ) -> list[Vector | None]:
        """Return the vectors of texts; with ``keep`` the answers also outlive the process."""
        source = self._source()
        if source is None:
            self.trouble = None
            return [None] * len(texts)
        await load_numpy()
        words = {hash_of(text): text for text in map(squeezed, texts)}
        found = {key: self._recent(source.name, key) for key in words}
        missing = [key for key, vector in found.items() if vector is None]
        try:
            if missing and keep:
                found |= await self._stored(source.name, missing)
                missing = [key for key in missing if found[key] is None]
            for at in range(0, len(missing), BATCH):
                part = {key: words[key] for key in missing[at : at + BATCH]}
                run = self._tasks.see_through("embedding", self._run(source, part, keep=keep))
                async with asyncio.timeout(limit):
                    answer = await run
                found |= answer
                if not answer:
                    break
        except TimeoutError:
            self._failed(source.name, f"{source.name} did not answer within {limit:g} s")
        except KittyError as err:
            self._failed(source.name, err.message)
        return [found[hash_of(squeezed(text))] for text in texts]

    async def forget(self, texts: Sequence[str]) -> None:
        """Forget the vectors of texts, by whatever model."""
        hashes = {hash_of(squeezed(text)) for text in texts}
        self._forgets += 1
        for key in [key for key in self._kept if key[1] in hashes]:
            del self._kept[key]
        gone = delete(embeddings).where(embeddings.c.text_hash.in_(hashes))
        await self._db.write(lambda connection: connection.execute(gone))

    async def clean(self) -> None:
        """Drop the stored vectors that were not used for longest, down to the number that is kept."""

        def work(connection: Connection) -> None:
            line = connection.execute(
                select(embeddings.c.used_at)
                .order_by(embeddings.c.used_at.desc())
                .offset(KEPT_ROWS)
                .limit(1)
            ).scalar()
            if line is not None:
                connection.execute(delete(embeddings).where(embeddings.c.used_at <= line))

        await self._db.write(work)

    async def stored(self) -> int:
        """Return how many vectors are stored."""
        count = select(func.count()).select_from(embeddings)
        return await self._db.read(lambda connection: int(connection.execute(count).scalar() or 0))

    def _recent(self, name: str, key: str) -> Vector | None:
        vector = self._kept.get((name, key))
        if vector is not None:
            self._kept.move_to_end((name, key))
        return vector

    def _keep(self, key: str, vector: Vector) -> None:
        self._kept[vector.embedder, key] = vector
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    async def _stored(self, name: str, keys: Sequence[str]) -> dict[str, Vector | None]:
        same = (embeddings.c.embedder == name) & embeddings.c.text_hash.in_(keys)
        query = select(embeddings.c.text_hash, embeddings.c.vector, embeddings.c.used_at)
        forgets = self._forgets
        rows = await self._db.read(lambda connection: connection.execute(query.where(same)).all())
        found: dict[str, Vector | None] = {}
        now = self._clock()
        for key, blob, used_at in rows:
            if (vector := from_blob(name, blob)) is None:
                continue
            found[key] = vector
            if forgets == self._forgets:
                self._keep(key, vector)
            if now - used_at > DAY:
                self._tasks.start("embedding used", self._used(name, key, now))
        return found

    async def _used(self, name: str, key: str, now: float) -> None:
        row = (embeddings.c.embedder == name) & (embeddings.c.text_hash == key)
        touched = update(embeddings).where(row).values(used_at=now)
        await self._db.write(lambda connection: connection.execute(touched))

    async def _run(
        self, source: Source, words: dict[str, str], *, keep: bool
    ) -> dict[str, Vector | None]:
        """Ask the model, and keep what it says; nothing when it fails."""
        self.runs += 1
        self.texts += len(words)
        counters["embedding_runs"] += 1
        forgets = self._forgets
        try:
            given = await retrying(CACHE, lambda: source.model.embed(list(words.values())))
            found = dict(zip(words, self._vectors(source.name, given, len(words)), strict=True))
        except KittyError as err:
            self._failed(source.name, err.message)
            return {}
        if source.name == self.name:
            self.trouble = None
        if forgets != self._forgets:
            return {**found}
        for key, vector in found.items():
            self._keep(key, vector)
        if keep:
            await self._store(source.name, found, forgets)
        return {**found}

    def _vectors(self, name: str, given: Sequence[Sequence[float]], count: int) -> list[Vector]:
        """Return what a model said as vectors; ProviderError ``provider_invalid`` for what is none."""
        import numpy as np  # noqa: PLC0415 - loaded by now

        found = []
        for one in given:
            try:
                values = np.asarray(one, dtype=np.float32)
            except TypeError, ValueError:
                break
            length = float(np.linalg.norm(values)) if values.ndim == 1 else 0.0
            if not np.isfinite(length) or length == 0.0:
                break
            found.append(Vector(embedder=name, values=values / np.float32(length)))
        widths = {len(vector.values) for vector in found} | {self._widths.get(name, 0)} - {0}
        if len(found) != count or len(widths) != 1:
            raise ProviderError("provider_invalid", f"{name} gave no usable vectors")
        self._widths[name] = widths.pop()
        return found

    async def _store(self, name: str, found: dict[str, Vector], forgets: int) -> None:
        now = self._clock()
        rows = [
            {
                "text_hash": key,
                "embedder": name,
                "vector": vector.blob(),
                "used_at": now,
            }
            for key, vector in found.items()
        ]

        def work(connection: Connection) -> None:
            if forgets != self._forgets:
                return  # it had to wait, and must not come after what takes it away
            same = (embeddings.c.embedder == name) & embeddings.c.text_hash.in_(found)
            connection.execute(delete(embeddings).where(same))
            connection.execute(insert(embeddings), rows)

        try:
            await self._db.write(work)
        except KittyError as err:
            self._failed(name, err.message)

    def _failed(self, name: str, why: str) -> None:
        counters["embedding_failures"] += 1
        if name != self.name:
            return  # another one is set up by now, or none
        if self.trouble is None:
            _LOGGER.warning("Meanings are not available: %s", why)
        self.trouble = why


class Meaning:
    """What somebody said, and its vector, which is computed at most once and only when it is wanted."""

    def __init__(self, text: str, embedder: Embedder) -> None:
        """Take the words; nothing is computed yet."""
        self.text = text
        self._embedder = embedder
        self._lock = asyncio.Lock()
        self._vector: Vector | None = None
        self._is_known = False

    async def vector(self) -> Vector | None:
        """Return the vector, None without a model that answers."""
        async with self._lock:
            if not self._is_known:
                self._vector = await self._embedder.embed(self.text)
                self._is_known = True
        return self._vector


def _is_sound(values: Floats) -> bool:
    """Tell whether a stored vector has only numbers and the length of 1."""
    import numpy as np  # noqa: PLC0415 - loaded by now

    return bool(abs(float(np.dot(values, values)) - 1.0) < DAMAGED)
