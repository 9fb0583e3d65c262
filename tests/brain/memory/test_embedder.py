"""Vectors: computed once, kept, and never a reason for a turn to fail."""

import asyncio
import sys
from typing import Any

import numpy as np
import pytest

from brain_server.errors import ProviderError, Unavailable
from brain_server.memory import Meaning, embedder as module
from brain_server.storage.tables import embeddings
from tests.brain.home import until
from tests.brain.memory.conftest import Place
from tests.brain.memory.models import Hashing


def model_of(place: Place) -> Hashing:
    assert place.model is not None
    return place.model


async def test_a_vector_has_the_length_of_one_and_the_name_of_its_model(both: Place) -> None:
    vector = await both.embedder.embed("the lamp is red")
    assert vector is not None
    assert (vector.embedder, float(np.linalg.norm(vector.values))) == (
        "house/hashing",
        pytest.approx(1.0),
    )


async def test_the_same_words_are_computed_once(both: Place) -> None:
    for text in ("the lamp is red", " the  lamp is\nred ", "the lamp is red"):
        await both.embedder.embed(text)
    assert (both.embedder.runs, both.embedder.texts) == (1, 1)


async def test_a_vector_outlives_the_process(both: Place) -> None:
    before = await both.embedder.embed("the lamp is red")
    both.again()
    after = await both.embedder.embed("the lamp is red")
    assert before is not None
    assert after is not None
    assert np.array_equal(before.values, after.values)
    assert both.embedder.runs == 0


async def test_vectors_of_another_model_are_never_given(place: Place) -> None:
    await place.embedder.embed("the lamp is red")
    place.model = Hashing("house/other", salt="x")
    vector = await place.embedder.embed("the lamp is red")
    assert vector is not None
    assert (vector.embedder, place.embedder.runs) == ("house/other", 2)


async def test_many_texts_are_asked_in_few_runs_and_each_once(place: Place) -> None:
    await place.embedder.embed("text 3")
    found = await place.embedder.embed_many([f"text {at % 40}" for at in range(80)])
    assert [len(texts) for texts in model_of(place).asked] == [1, 32, 7]
    assert len([one for one in found if one is not None]) == 80


async def test_without_a_model_there_is_no_vector(place: Place) -> None:
    place.model = None
    assert await place.embedder.embed("the lamp") is None
    assert (place.embedder.name, place.embedder.trouble) == (None, None)


async def test_a_model_that_fails_is_told_in_words(place: Place) -> None:
    model_of(place).error = ProviderError("provider_failed", "It broke")
    assert await place.embedder.embed("the lamp") is None
    assert place.embedder.trouble == "It broke"


async def test_a_model_that_is_well_again_is_not_in_trouble(place: Place) -> None:
    model_of(place).error = ProviderError("provider_failed", "It broke")
    await place.embedder.embed("the lamp")
    model_of(place).error = None
    assert await place.embedder.embed("the lamp") is not None
    assert place.embedder.trouble is None


async def test_a_refused_connection_is_tried_once_more(place: Place) -> None:
    model_of(place).error = Unavailable("connection_refused", "Nobody there")
    assert await place.embedder.embed("the lamp") is None
    assert len(model_of(place).asked) == 2


async def test_the_first_failure_ends_a_long_list(place: Place) -> None:
    model_of(place).error = ProviderError("provider_failed", "It broke")
    await place.embedder.embed_many([f"text {at}" for at in range(80)])
    assert len(model_of(place).asked) == 1


NONSENSE: list[list[list[float]]] = [
    [],
    [[1.0] * 4, [1.0] * 4],
    [[float("nan")] * 4],
    [[float("inf")] * 4],
    [[0.0] * 4],
    [[]],
    [[[1.0], [1.0]]],  # type: ignore[list-item]  # what a broken model may answer
    [["a", "b"]],  # type: ignore[list-item]  # what a broken model may answer
    [None],  # type: ignore[list-item]  # what a broken model may answer
]


@pytest.mark.parametrize("given", NONSENSE, ids=repr)
async def test_what_is_no_vector_is_not_kept(place: Place, given: list[list[float]]) -> None:
    model_of(place).given = list(given)
    assert await place.embedder.embed("the lamp") is None
    assert place.embedder.trouble == "house/hashing gave no usable vectors"


async def test_a_model_that_changes_its_width_is_not_believed(place: Place) -> None:
    await place.embedder.embed("the lamp")
    model_of(place).given = [[1.0, 0.0]]
    assert await place.embedder.embed("the door") is None


async def test_a_turn_does_not_wait_for_a_slow_model_but_profits_later(place: Place) -> None:
    model_of(place).gate.clear()
    assert await place.embedder.embed_many(["the lamp"], limit=0.01) == [None]
    assert place.embedder.trouble == "house/hashing did not answer within 0.01 s"
    model_of(place).gate.set()
    await until(lambda: place.embedder.trouble is None, "its late answer")
    assert await place.embedder.embed("the lamp") is not None
    assert place.embedder.runs == 1


async def test_a_damaged_stored_vector_is_computed_again(place: Place) -> None:
    await place.embedder.embed("the lamp")
    damaged = embeddings.update().values(vector=b"\xff\xff\xff")
    await place.database.write(lambda connection: connection.execute(damaged))
    place.again()
    assert await place.embedder.embed("the lamp") is not None
    assert place.embedder.runs == 1


async def test_the_stored_vectors_are_bounded(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_ROWS", 3)
    for at in range(5):
        place.clock.advance(1)
        await place.embedder.embed(f"text {at}")
    await place.embedder.clean()
    assert await place.embedder.stored() == 3
    place.again()
    await place.embedder.embed_many(["text 2", "text 3", "text 4"])
    assert place.embedder.runs == 0


async def test_few_stored_vectors_are_left_alone(place: Place) -> None:
    await place.embedder.embed("the lamp")
    await place.embedder.clean()
    assert await place.embedder.stored() == 1


async def test_the_vectors_in_memory_are_bounded(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT", 2)
    await place.embedder.embed_many(["a1", "b2", "c3"], keep=False)
    await place.embedder.embed_many(["b2", "c3"], keep=False)
    assert place.embedder.runs == 1
    await place.embedder.embed_many(["a1"], keep=False)
    assert place.embedder.runs == 2


async def test_what_is_used_again_after_a_day_counts_as_used(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_ROWS", 1)
    await place.embedder.embed("old but used")
    place.clock.advance(2 * module.DAY)
    await place.embedder.embed("newer")
    place.clock.advance(1)
    place.again()
    await place.embedder.embed("old but used")
    await asyncio.gather(
        *place.tasks._tasks - {task for task in place.tasks._tasks if task.get_name() == "memory"}
    )
    await place.embedder.clean()
    place.again()
    await place.embedder.embed("old but used")
    assert place.embedder.runs == 0


async def test_what_need_not_outlive_the_process_is_not_stored(place: Place) -> None:
    await place.embedder.embed_many(["the lamp"], keep=False)
    assert await place.embedder.stored() == 0


async def test_a_forgotten_text_has_no_vector_anywhere(place: Place) -> None:
    await place.embedder.embed("the lamp")
    await place.embedder.forget(["the lamp"])
    assert await place.embedder.stored() == 0
    await place.embedder.embed("the lamp")
    assert place.embedder.runs == 2


async def test_what_is_forgotten_while_the_model_is_asked_has_no_vector_anywhere(
    place: Place,
) -> None:
    model = model_of(place)
    model.gate.clear()
    asking = place.tasks.start("asking", place.embedder.embed("the lamp"))
    await until(lambda: model.asked, "that the model is asked")
    await place.embedder.forget(["the lamp"])
    model.gate.set()
    assert await asking is not None
    assert await place.embedder.stored() == 0
    await place.embedder.embed("the lamp")
    assert place.embedder.runs == 2


async def test_what_is_forgotten_while_its_vector_is_on_the_way_has_none_anywhere(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that is busy lets it wait."""
    write = place.database.write

    async def late(work: Any) -> Any:
        monkeypatch.undo()
        await place.embedder.forget(["the lamp"])
        return await write(work)

    monkeypatch.setattr(place.database, "write", late)
    assert await place.embedder.embed("the lamp") is not None
    assert await place.embedder.stored() == 0


async def test_what_is_forgotten_while_its_vector_is_read_has_none_anywhere(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    await place.embedder.embed("the lamp")
    place.again()
    read = place.database.read

    async def late(work: Any) -> Any:
        monkeypatch.undo()
        found = await read(work)
        await place.embedder.forget(["the lamp"])
        return found

    monkeypatch.setattr(place.database, "read", late)
    assert await place.embedder.embed("the lamp") is not None
    assert place.embedder.runs == 0
    await place.embedder.embed("the lamp")
    assert place.embedder.runs == 1


@pytest.mark.parametrize("after", [Hashing("house/other"), None], ids=["other", "none"])
async def test_a_model_that_fails_late_is_no_trouble_once_another_is_set_up(
    place: Place, after: Hashing | None
) -> None:
    before = model_of(place)
    before.gate.clear()
    asking = place.tasks.start("asking", place.embedder.embed("the lamp"))
    await until(lambda: before.asked, "that the model is asked")
    place.model = after
    await place.embedder.embed("the door")
    before.error = ProviderError("provider_failed", "It broke")
    before.gate.set()
    assert await asking is None
    assert place.embedder.trouble is None


async def test_a_model_that_answers_late_does_not_hide_that_its_successor_fails(
    place: Place,
) -> None:
    before = model_of(place)
    before.gate.clear()
    asking = place.tasks.start("asking", place.embedder.embed("the lamp"))
    await until(lambda: before.asked, "that the model is asked")
    place.model = Hashing("house/other")
    place.model.error = ProviderError("provider_failed", "It broke")
    await place.embedder.embed("the door")
    before.gate.set()
    assert await asking is not None
    assert place.embedder.trouble == "It broke"


async def test_a_database_that_is_busy_costs_no_turn(place: Place) -> None:
    async def busy(_work: object) -> None:
        raise Unavailable("database_busy", "The database is busy")

    place.database.read = busy  # type: ignore[method-assign, assignment]  # one method is replaced for this test
    assert await place.embedder.embed("the lamp") is None
    assert place.embedder.trouble == "The database is busy"


async def test_a_vector_that_cannot_be_stored_is_used_all_the_same(place: Place) -> None:
    async def full(_work: object) -> None:
        raise Unavailable("storage_full", "No space")

    place.database.write = full  # type: ignore[method-assign, assignment]  # one method is replaced for this test
    assert await place.embedder.embed("the lamp") is not None


async def test_one_request_has_one_meaning_and_computes_it_once(place: Place) -> None:
    meaning = Meaning("the lamp", place.embedder)
    assert model_of(place).asked == []
    first, second = await asyncio.gather(meaning.vector(), meaning.vector())
    assert first is second is not None
    assert place.embedder.runs == 1


async def test_a_meaning_that_failed_is_not_asked_for_again(place: Place) -> None:
    model_of(place).error = ProviderError("provider_failed", "It broke")
    meaning = Meaning("the lamp", place.embedder)
    assert (await meaning.vector(), await meaning.vector()) == (None, None)
    assert len(model_of(place).asked) == 1


async def test_numpy_is_imported_beside_the_loop_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    await module.load_numpy()
    monkeypatch.setattr(module.importlib, "import_module", asked.append)
    monkeypatch.delitem(sys.modules, "numpy")
    await module.load_numpy()
    assert asked == ["numpy"]
