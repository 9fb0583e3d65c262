"""Models of meanings for benches of memory: a real one where llama.cpp is there, and a quick one for speed."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from brain_server.memory import Embedder, Meaning, Source, Vector
from brain_server.providers import Use
from brain_server.storage import Database, tables
from tests.brain.memory.models import Hashing


class Chance:
    """A model that says something random at once: what is left of the time is not the model's."""

    def __init__(self, width: int) -> None:
        """Take the number of directions."""
        self.width = width
        self._chance = np.random.default_rng(7)

    async def embed(self, texts: Sequence[str]) -> list[Any]:
        """Return vectors around some centres, as sentences lie."""
        return list(self.vectors(len(texts)))

    def vectors(self, count: int) -> Any:
        """Return as many vectors of length one."""
        found = self._chance.standard_normal((count, self.width)).astype(np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)


class Given(Meaning):
    """A meaning whose vector is known, so that a lookup is measured without its model."""

    def __init__(self, text: str, vector: Vector | None) -> None:
        """Take the words and their vector."""
        self.text = text
        self._given = vector

    async def vector(self) -> Vector | None:
        """Return what was given."""
        return self._given


@asynccontextmanager
async def sentences(folder: Path) -> AsyncIterator[Source]:
    """Give the small model of sentences in llama.cpp; without that package hashed words."""
    if importlib.util.find_spec("llama_cpp") is None:
        yield Hashing().source()
        return
    from tests.brain.providers.llama_house import local  # noqa: PLC0415 - only with the package
    from tests.standins.sentence_model import sentence_gguf  # noqa: PLC0415 - needs what only these tests install

    (folder / "models").mkdir()
    sentence_gguf(folder / "models")
    uses = frozenset({Use.EMBEDDING})
    async with local(folder, model="sentence", uses=uses, context=4096) as provider:
        yield Source(name="llama.cpp/made sentences", model=provider)


@asynccontextmanager
async def brain_database(folder: Path) -> AsyncIterator[Database]:
    """Give an empty database of the brain in a file."""
    path = folder / "brain.db"
    database = Database(f"sqlite:///{path}", tables.brain, name="brain", durable=False)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


def spread(times: Sequence[float]) -> dict[str, float]:
    """Return the middle and the slow end of some milliseconds."""
    ordered = sorted(times)
    return {
        "p50_ms": round(ordered[len(ordered) // 2], 3),
        "p99_ms": round(ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)], 3),
    }


__all__ = ["Chance", "Embedder", "Given", "brain_database", "sentences", "spread"]
