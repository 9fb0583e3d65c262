"""One contract for both stores of vectors: the rows in memory, and a Qdrant server."""

from collections.abc import AsyncIterator, Collection, Sequence
import uuid

import numpy as np
import pytest

from brain_server.memory.embedder import Vector
from brain_server.memory.qdrant import Qdrant
from brain_server.memory.vectors import FIRST, Point, RowVectors, Stored, VectorStore
from tests.brain.memory.models import hashed
from tests.standins.qdrant import qdrant

WIDTH = 32
MODEL = "house/hashing"


def new_id(number: int = 0) -> str:
    return uuid.UUID(int=number + 1).hex


def vector(text: str, embedder: str = MODEL, width: int = WIDTH) -> Vector:
    return Vector(embedder=embedder, values=np.asarray(hashed(text, width), dtype=np.float32))


def point(number: int, text: str, namespace: str = "ada", embedder: str = MODEL) -> Point:
    return Point(id=new_id(number), namespace=namespace, vector=vector(text, embedder))


class Table:
    """Rows that only this test has: what the exact store reads when it is first searched."""

    def __init__(self) -> None:
        self.points: dict[str, Point] = {}
        self.damaged: list[str] = []

    async def load(self, namespace: str, embedder: str) -> Sequence[Stored]:
        return [
            Stored(one.id, one.vector.blob())
            for one in self.points.values()
            if (one.namespace, one.vector.embedder) == (namespace, embedder)
        ]

    async def count(self, embedder: str) -> int:
        return sum(one.vector.embedder == embedder for one in self.points.values())

    def hurt(self, ids: Collection[str]) -> None:
        self.damaged += ids


class Exact(RowVectors):
    """The exact store over a table that follows what is put and removed, as the real rows do."""

    def __init__(self) -> None:
        self.table = Table()
        super().__init__(self.table.load, self.table.count, self.table.hurt)

    async def put(self, points: Sequence[Point]) -> None:
        self.table.points |= {one.id: one for one in points}
        await super().put(points)

    async def remove(self, ids: Collection[str]) -> None:
        for one in ids:
            self.table.points.pop(one, None)
        await super().remove(ids)

    async def reset(self, embedder: str, width: int | None) -> None:
        self.table.points.clear()
        await super().reset(embedder, width)


@pytest.fixture(params=["rows", "qdrant"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[VectorStore]:
    """Give an empty store, of each kind in turn."""
    if request.param == "rows":
        yield Exact()
        return
    async with qdrant() as server:
        made = Qdrant(server.url)
        await made.reset(MODEL, WIDTH)
        yield made
        await made.close()


async def found(
    store: VectorStore, text: str, *namespaces: str, limit: int = 5, embedder: str = MODEL
) -> list[str]:
    hits = await store.search(namespaces or ("ada",), vector(text, embedder), limit)
    return [hit.id for hit in hits]


async def test_the_nearest_comes_first_with_its_cosine(store: VectorStore) -> None:
    await store.put([point(0, "red lamp"), point(1, "blue door"), point(2, "red lamp shade")])
    hits = await store.search(["ada"], vector("red lamp"), 2)
    assert [hit.id for hit in hits] == [new_id(0), new_id(2)]
    assert hits[0].score == pytest.approx(1.0, abs=1e-5)
    assert hits[1].score < hits[0].score


async def test_an_empty_store_finds_nothing(store: VectorStore) -> None:
    assert await found(store, "red lamp") == []


async def test_only_the_named_namespaces_are_searched(store: VectorStore) -> None:
    await store.put([point(0, "red lamp", "bob"), point(1, "red lamp", "house")])
    assert await found(store, "red lamp", "ada") == []
    assert await found(store, "red lamp", "ada", "house") == [new_id(1)]
    assert set(await found(store, "red lamp", "bob", "house")) == {new_id(0), new_id(1)}


async def test_only_the_vectors_of_the_model_are_searched(store: VectorStore) -> None:
    await store.put([point(0, "red lamp", embedder="house/other"), point(1, "blue door")])
    assert await found(store, "red lamp") == [new_id(1)]
    assert await found(store, "red lamp", embedder="house/other") == [new_id(0)]


async def test_a_point_that_comes_while_the_store_is_in_use_is_found(store: VectorStore) -> None:
    await store.put([point(0, "blue door")])
    await found(store, "red lamp")
    await store.put([point(1, "red lamp")])
    assert (await found(store, "red lamp"))[0] == new_id(1)


async def test_a_point_is_replaced_by_one_of_the_same_id(store: VectorStore) -> None:
    await store.put([point(0, "blue door"), point(1, "red lamp shade")])
    await found(store, "red lamp")
    await store.put([point(0, "red lamp")])
    assert await found(store, "red lamp") == [new_id(0), new_id(1)]
    assert await store.count(MODEL) == 2


async def test_removed_points_are_gone_and_the_others_stay(store: VectorStore) -> None:
    await store.put([point(at, f"lamp {at}") for at in range(5)])
    await found(store, "lamp 0")
    await store.remove([new_id(0), new_id(2)])
    await store.remove([new_id(77)])
    assert set(await found(store, "lamp 0")) == {new_id(1), new_id(3), new_id(4)}
    assert (await found(store, "lamp 4"))[0] == new_id(4)


async def test_more_points_than_fit_at_first_are_kept(store: VectorStore) -> None:
    await store.put([point(at, f"text number {at}") for at in range(FIRST + 1)])
    await found(store, "anything")
    await store.put([point(at, f"text number {at}") for at in range(FIRST + 1, 3 * FIRST)])
    assert await store.count(MODEL) == 3 * FIRST
    for at in (0, FIRST, 3 * FIRST - 1):
        assert (await found(store, f"text number {at}", limit=1)) == [new_id(at)]


async def test_no_more_than_the_limit_is_found(store: VectorStore) -> None:
    await store.put([point(at, f"text number {at}") for at in range(20)])
    assert len(await found(store, "text", limit=7)) == 7


async def test_a_reset_store_is_empty_and_takes_another_width(store: VectorStore) -> None:
    await store.put([point(0, "red lamp")])
    await found(store, "red lamp")
    await store.reset("house/wide", 64)
    assert await found(store, "red lamp", embedder="house/none") == [] or store.name == "qdrant"
    await store.put([Point(id=new_id(3), namespace="ada", vector=vector("x", "house/wide", 64))])
    assert (await store.count(MODEL), await store.count("house/wide")) == (0, 1)


async def test_points_are_counted_by_model(store: VectorStore) -> None:
    await store.put([point(0, "red lamp", embedder="house/other"), point(1, "blue door")])
    assert (await store.count(MODEL), await store.count("house/none")) == (1, 0)


async def test_nothing_to_put_is_no_work(store: VectorStore) -> None:
    await store.put([])
    assert await store.count(MODEL) == 0


async def test_a_closed_store_can_be_used_again(store: VectorStore) -> None:
    await store.put([point(0, "red lamp")])
    await store.close()
    await store.close()
    assert await found(store, "red lamp") == [new_id(0)]


async def test_a_row_that_is_damaged_is_told_and_the_others_are_found() -> None:
    store = Exact()
    await store.put([point(0, "red lamp"), point(1, "blue door")])
    wrong = Vector(embedder=MODEL, values=np.ones(3, dtype=np.float32) / np.sqrt(3))
    store.table.points[new_id(1)] = Point(id=new_id(1), namespace="ada", vector=wrong)
    assert await found(store, "red lamp") == [new_id(0)]
    assert store.table.damaged == [new_id(1)]


async def test_only_one_model_is_held_in_memory() -> None:
    store = Exact()
    await store.put([point(0, "red lamp"), point(1, "red lamp", embedder="house/other")])
    await found(store, "red lamp")
    await found(store, "red lamp", embedder="house/other")
    assert [model for _, model in store._shelves] == ["house/other"]
