"""The index is made again from the rows: for another model, after damage, and without haste."""

import asyncio
from collections.abc import Sequence
import logging
from typing import Any

import pytest
from sqlalchemy import update

from brain_server.commands import NoParams, Scope
from brain_server.errors import ProviderError, Unavailable
from brain_server.memory import New, Rebuild, embedder, keeper as module
from brain_server.storage.tables import memories
from tests.brain.memory.conftest import Place, person
from tests.brain.memory.models import Hashing
from tests.brain.soon import SOON

FACTS = [f"the box {at} is on shelf {at}" for at in range(40)]


async def filled(place: Place) -> None:
    new = [New(text=text, source="said", trust="person") for text in FACTS]
    await place.memory.remember_many("ada", new)


async def embedders(place: Place) -> dict[str, int]:
    return await place.rows.embedders()


async def spoil(place: Place, **values: object) -> None:
    changed = update(memories).values(**values)
    await place.database.write(lambda connection: connection.execute(changed))


async def test_another_model_computes_all_vectors_again(both: Place) -> None:
    await filled(both)
    both.model = Hashing("house/other", width=64)
    await both.settle()
    assert await embedders(both) == {"house/other": 40}
    assert both.heard == [
        {"backend": "rows", "rows": 40, "what": "vectors", "embedder": "house/other"}
    ]
    assert (await both.recall("the box 7 is on shelf 7"))[0] == FACTS[7]


async def test_it_is_one_line_in_the_log(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    await filled(place)
    place.model = Hashing("house/other")
    with caplog.at_level(logging.INFO, logger=module.__name__):
        await place.settle()
        await place.settle()
    assert [record.message for record in caplog.records] == [
        "Memory was rebuilt from its rows: 40, vectors, house/other"
    ]


async def test_vectors_of_two_models_are_never_compared(place: Place) -> None:
    await filled(place)
    place.model = Hashing("house/other")
    near = await place.embedder.embed(FACTS[7])
    assert near is not None
    assert await place.memory._exact.search(["ada"], near, 5) == []


async def test_until_a_vector_is_there_its_memory_is_found_by_words(place: Place) -> None:
    await filled(place)
    place.model = Hashing("house/other")
    assert (await place.recall("the box 7 is on shelf 7"))[0] == FACTS[7]
    assert await embedders(place) == {"house/hashing": 40}


class Watched(Hashing):
    """A model that notes how far the work was whenever it was asked."""

    place: Place
    seen: list[Any]

    async def embed(self, texts: Sequence[str]) -> list[Sequence[float]]:
        status = await self.place.memory.status(person("ada"), NoParams())
        self.seen.append(status["progress"])
        if len(self.seen) == 2 and self.name == "house/stopped":
            await self.place.memory.rebuild(person("eve", Scope.ADMIN), Rebuild(cancel=True))
        return await super().embed(texts)


def watched(place: Place, name: str) -> Watched:
    model = place.model = Watched(name)
    model.place, model.seen = place, []
    return model


async def test_progress_can_be_seen(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 10)
    await filled(place)
    model = watched(place, "house/other")
    await place.settle()
    assert [(one["done"], one["of"]) for one in model.seen] == [
        (0, 40),
        (10, 40),
        (20, 40),
        (30, 40),
    ]
    status = await place.memory.status(person("ada"), NoParams())
    assert (status["progress"], status["missing"]) == (None, 0)
    assert status["rebuilt_at"] == place.clock.now


async def test_it_can_be_stopped_and_begun_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 10)
    await filled(place)
    watched(place, "house/stopped")
    await place.settle()
    await place.settle()
    assert await embedders(place) == {"house/stopped": 20, "house/hashing": 20}
    assert (await place.recall("the box 37 is on shelf 37"))[0] == FACTS[37]
    await place.memory.rebuild(person("eve", Scope.ADMIN), Rebuild())
    await place.settle()
    assert await embedders(place) == {"house/stopped": 40}


async def test_the_background_begins_by_itself(place: Place) -> None:
    await filled(place)
    place.model = Hashing("house/other")
    place.memory.wake()
    async with asyncio.timeout(SOON):
        while await embedders(place) != {"house/other": 40}:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def test_the_background_looks_again_by_itself(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EVERY", 0.01)
    await filled(place)
    place.memory.wake()
    place.model = Hashing("house/other")
    async with asyncio.timeout(SOON):
        while await embedders(place) != {"house/other": 40}:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def test_lost_vectors_are_computed_again(both: Place) -> None:
    await filled(both)
    await spoil(both, embedder=None, vector=None)
    both.again()
    await both.memory.start()
    await both.settle()
    assert await embedders(both) == {"house/hashing": 40}
    assert (await both.recall("the box 7 is on shelf 7"))[0] == FACTS[7]


@pytest.mark.parametrize("blob", [b"", b"\x00" * 12, b"\x00" * 512, b"\xff" * 512], ids=repr)
async def test_damaged_vectors_are_found_out_and_computed_again(place: Place, blob: bytes) -> None:
    await filled(place)
    await spoil(place, vector=blob)
    place.again()
    await place.memory.start()
    await place.settle()
    assert (await place.recall("the box 7 is on shelf 7"))[0] == FACTS[7]
    async with asyncio.timeout(SOON):
        while not place.heard:  # noqa: ASYNC110 - the bus calls no coroutine
            await asyncio.sleep(0.01)
    assert place.heard[0]["rows"] == 40
    found = await place.memory.recall(["ada"], place.meaning("the box 7 is on shelf 7"))
    assert found[0].score == pytest.approx(1.0)


async def test_a_damaged_vector_that_is_not_cleared_yet_hides_no_memory(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(_ids: object) -> None:
        raise Unavailable("database_busy", "The database is busy")

    await filled(place)
    await spoil(place, vector=b"")
    place.again()
    monkeypatch.setattr(place.memory._rows, "clear_vectors", busy)
    await place.memory.start()
    await place.settle()
    for _ in range(2):
        assert (await place.recall("the box 7 is on shelf 7"))[0] == FACTS[7]
        await place.memory._keeper._embed("house/hashing")


async def test_a_model_that_fails_is_asked_later(place: Place) -> None:
    await filled(place)
    place.model = Hashing("house/other")
    place.model.error = ProviderError("provider_failed", "It broke")
    await place.settle()
    assert await embedders(place) == {"house/hashing": 40}
    assert len(place.model.asked) == 1 + module.MOST_FAILED
    place.model.error = None
    await place.settle()
    assert await embedders(place) == {"house/other": 40}


async def test_one_text_that_the_model_cannot_take_does_not_stop_the_others(place: Place) -> None:
    await filled(place)
    place.model = Hashing("house/other")
    place.model.bad_words = {"box 3 "}
    await place.settle()
    assert await embedders(place) == {"house/other": 39, "house/hashing": 1}
    assert (await place.recall("the box 3 is on shelf 3"))[0] == FACTS[3]


async def test_a_model_that_is_changed_again_on_the_way_is_left(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 10)
    await filled(place)
    first, second = Hashing("house/other"), Hashing("house/third")

    async def changing(texts: Sequence[str]) -> list[Sequence[float]]:
        place.model = second
        return await Hashing.embed(first, texts)

    first.embed = changing  # type: ignore[method-assign]  # one method is replaced for this test
    place.model = first
    await place.settle()
    assert await embedders(place) == {"house/hashing": 30, "house/other": 10}
    await place.settle()
    assert await embedders(place) == {"house/third": 40}


async def test_a_memory_that_is_forgotten_meanwhile_stays_forgotten(place: Place) -> None:
    await filled(place)
    place.model = Hashing("house/other")
    place.model.gate.clear()
    work = place.tasks.start("settle", place.settle())
    await asyncio.sleep(0.05)
    await place.memory._forget(("ada",), None)
    place.model.gate.set()
    await work
    assert await embedders(place) == {}


async def test_a_database_that_is_busy_only_delays_it(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    async def busy(_work: object) -> None:
        raise Unavailable("database_busy", "The database is busy")

    await filled(place)
    place.database.read = busy  # type: ignore[method-assign, assignment]  # one method is replaced for this test
    await place.settle()
    assert "The index of memory waits: The database is busy" in caplog.text


async def test_every_hour_the_stored_vectors_are_cleaned(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedder, "KEPT_ROWS", 2)
    await place.embedder.embed("one")
    for text in ("two", "three"):
        place.clock.advance(1)
        await place.embedder.embed(text)
    await place.settle()
    assert await place.embedder.stored() == 3
    place.clock.advance(module.CLEAN_EVERY)
    await place.settle()
    assert await place.embedder.stored() == 2
