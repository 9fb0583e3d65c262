"""What was told is found again, by the right person, and the rows are the truth."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from brain_server import memory as module
from brain_server.errors import Conflict, InvalidRequest, ProviderError
from brain_server.memory import HOUSE, New
from brain_server.storage.tables import memories
from tests.brain.home import until
from tests.brain.memory.conftest import Place
from tests.brain.memory.models import Hashing

FACTS = (
    "the nozzle on printer A is 0.6",
    "the nozzle on printer B is 0.4",
    "Bob is allergic to peanuts",
    "the blue filament is in the left drawer",
    "our car needs oil every spring",
)


async def told(place: Place, *texts: str, namespace: str = "ada") -> list[str]:
    return [await place.memory.remember(namespace, text, "said", "person") for text in texts]


@pytest.mark.parametrize("with_model", [True, False], ids=["hybrid", "lexical"])
async def test_what_was_told_is_found(both: Place, with_model: bool) -> None:
    both.model = both.model if with_model else None
    await told(both, *FACTS)
    found = await both.memory.recall(["ada"], both.meaning("which nozzle is on printer A?"))
    assert (found[0].text, found[0].source, found[0].trust) == (FACTS[0], "said", "person")
    assert found[0].score > found[-1].score
    assert 0 < found[0].score <= 1


async def test_the_letter_decides_between_two_printers(place: Place) -> None:
    await told(place, *FACTS)
    assert (await place.recall("the nozzle of printer B"))[0] == FACTS[1]


async def test_nothing_is_computed_while_nothing_is_stored(place: Place) -> None:
    assert await place.recall("anything") == []
    assert place.embedder.runs == 0


async def test_nothing_is_computed_for_a_person_without_memories(place: Place) -> None:
    await told(place, *FACTS, namespace="bob")
    before = place.embedder.runs
    assert await place.recall("which nozzle?", "ada") == []
    assert place.embedder.runs == before


async def test_nobody_sees_the_memories_of_another(place: Place) -> None:
    await told(place, *FACTS, namespace="bob")
    await told(place, "I like tea", namespace="ada")
    assert await place.recall("the nozzle on printer A", "ada", floor=-1) == ["I like tea"]


async def test_the_house_is_found_beside_ones_own(place: Place) -> None:
    await told(place, "the bins are emptied on Monday", namespace=HOUSE)
    await told(place, "my bins are green", namespace="ada")
    found = await place.recall("when are the bins emptied", "ada", HOUSE)
    assert found[0] == "the bins are emptied on Monday"
    assert len(found) == 2


async def test_no_more_than_wanted_is_recalled(place: Place) -> None:
    await told(place, *(f"the lamp number {at} is on shelf {at}" for at in range(9)))
    assert len(await place.recall("where is the lamp", limit=3)) == 3


async def test_what_hardly_fits_is_left_out(place: Place) -> None:
    await told(place, *FACTS)
    assert await place.recall("tell a joke about elephants") == []
    assert len(await place.recall("tell a joke about elephants", floor=-1)) == 5


async def test_the_same_is_remembered_once(both: Place) -> None:
    ids = await told(both, "The lamp is red", "the lamp  is red.")
    assert ids[0] == ids[1]
    assert await both.rows.counts() == {"ada": 1}


async def test_two_people_may_remember_the_same(place: Place) -> None:
    await told(place, "the lamp is red")
    await told(place, "the lamp is red", namespace="bob")
    assert await place.rows.counts() == {"ada": 1, "bob": 1}


async def test_what_a_person_says_again_counts_as_said_by_a_person(place: Place) -> None:
    await place.memory.remember("ada", "the lamp is red", "web", "outside")
    await told(place, "the lamp is red")
    await place.memory.remember("ada", "the lamp is red", "tool", "system")
    found = await place.memory.recall(["ada"], place.meaning("the lamp is red"))
    assert [(one.trust, one.source) for one in found] == [("person", "said")]


async def test_a_secret_is_not_remembered(place: Place) -> None:
    with pytest.raises(InvalidRequest):
        await told(place, "the alarm code is 4821")
    assert await place.rows.counts() == {}


async def test_a_memory_that_is_full_takes_no_more(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 1)
    await told(place, FACTS[0])
    with pytest.raises(Conflict) as caught:
        await told(place, FACTS[1])
    assert caught.value.code == "memory_full"


async def test_of_two_that_come_at_once_a_memory_takes_no_more_than_it_holds(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 1)
    both = await asyncio.gather(*(told(place, text) for text in FACTS[:2]), return_exceptions=True)
    assert [getattr(one, "code", None) for one in both] == [None, "memory_full"]
    assert await place.rows.counts() == {"ada": 1}


def new(text: str) -> New:
    return New(text=text, source="import", trust="system")


async def test_a_batch_is_one_write_and_one_run_of_the_model_in_each_half(place: Place) -> None:
    writes = 0
    write = place.database.write

    async def counted(work: object) -> object:
        nonlocal writes
        writes += 1
        return await write(work)  # type: ignore[arg-type]  # the double has the part that is used

    place.database.write = counted  # type: ignore[method-assign, assignment]  # one method is replaced for this test
    ids = await place.memory.remember_many("ada", [new(f"thing {at}") for at in range(64)])
    assert (writes, place.embedder.runs, len(set(ids))) == (1, 2, 64)


async def test_a_long_list_is_remembered_in_parts(place: Place) -> None:
    ids = await place.memory.remember_many("ada", [new(f"thing {at}") for at in range(130)])
    assert len(set(ids)) == 130
    assert await place.rows.counts() == {"ada": 130}


async def test_a_secret_in_a_list_is_left_out_and_the_rest_is_kept(place: Place) -> None:
    ids = await place.memory.remember_many(
        "ada", [new("the lamp is red"), new("PIN 4821"), new("the door is blue")]
    )
    assert [entry is None for entry in ids] == [False, True, False]


async def test_the_same_twice_in_a_list_is_remembered_once_and_as_the_more_trusted(
    place: Place,
) -> None:
    twice = [
        New(text="the lamp is red", source="web", trust="outside"),
        New(text="The lamp is red!", source="said", trust="person"),
    ]
    ids = await place.memory.remember_many("ada", twice)
    assert ids[0] == ids[1]
    found = await place.memory.recall(["ada"], place.meaning("the lamp is red"))
    assert [(one.trust, one.source) for one in found] == [("person", "said")]


async def test_an_empty_list_is_no_work(place: Place) -> None:
    assert await place.memory.remember_many("ada", []) == []


async def test_a_restart_forgets_nothing(both: Place) -> None:
    await told(both, *FACTS)
    both.again()
    await both.memory.start()
    assert (await both.recall("the nozzle on printer A"))[0] == FACTS[0]


async def test_a_turn_embeds_once_for_recall_and_for_remembering(place: Place) -> None:
    await told(place, "something")
    before = place.embedder.runs
    meaning = place.meaning("the lamp is red")
    await place.memory.recall(["ada"], meaning)
    await place.memory.recall(["ada"], meaning)
    await told(place, "the lamp is red")
    assert place.embedder.runs == before + 1


async def test_while_the_model_fails_words_are_searched(place: Place) -> None:
    await told(place, *FACTS)
    assert place.model is not None
    place.model.error = ProviderError("provider_failed", "It broke")
    assert (await place.recall("the nozzle on printer A"))[0] == FACTS[0]
    assert await place.memory.health() == "It broke; memory searches by words"


async def test_what_was_told_while_the_model_failed_is_found_by_words_and_later_by_meaning(
    place: Place,
) -> None:
    assert place.model is not None
    await told(place, *FACTS[1:])
    await place.settle()
    place.model.error = ProviderError("provider_failed", "It broke")
    await told(place, FACTS[0])
    place.model.error = None
    assert (await place.recall("the nozzle on printer A"))[0] == FACTS[0]
    await place.settle()
    rows = await place.database.read(
        lambda connection: connection.execute(select(memories.c.embedder)).scalars().all()
    )
    assert rows == ["house/hashing"] * 5


async def test_a_memory_whose_vector_comes_during_a_search_is_found(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert place.model is not None
    await told(place, *FACTS[1:])
    meaning = place.meaning("the nozzle on printer A")
    await meaning.vector()
    place.model.error = ProviderError("provider_failed", "It broke")
    await told(place, FACTS[0])
    fetch = place.memory._rows.fetch

    async def late(*args: Any, **more: Any) -> Any:
        place.model.error = None
        await place.settle()
        return await fetch(*args, **more)

    monkeypatch.setattr(place.memory._rows, "fetch", late)
    assert (await place.memory.recall(["ada"], meaning))[0].text == FACTS[0]


async def test_a_memory_without_a_vector_that_comes_during_the_count_is_not_overlooked(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert place.model is not None
    await told(place, *FACTS[1:])
    count = place.memory._rows.count_missing

    async def stale(name: str) -> int:
        monkeypatch.undo()
        counted = await count(name)
        place.model.error = ProviderError("provider_failed", "It broke")
        await told(place, FACTS[0])
        return counted

    monkeypatch.setattr(place.memory._rows, "count_missing", stale)
    await place.settle()
    assert place.memory._keeper.complete is None


async def test_what_is_forgotten_while_its_vector_is_on_the_way_takes_nobodys_place(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    await told(place, FACTS[0])
    assert await place.recall("the nozzle on printer A") == [FACTS[0]]
    put = place.memory._keeper.put

    async def late(points: Any) -> None:
        await place.memory._forget(("ada",), [point.id for point in points])
        await put(points)

    monkeypatch.setattr(place.memory._keeper, "put", late)
    await told(place, *(f"the nozzle on printer A was {at}" for at in range(25)))
    assert await place.recall("the nozzle on printer A") == [FACTS[0]]


async def test_what_is_forgotten_while_its_words_are_on_the_way_takes_nobodys_place(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.model = None
    await told(place, FACTS[0])
    assert await place.recall("the nozzle on printer A") == [FACTS[0]]
    add = place.memory._words.add

    async def late(namespace: str, entry: str, text: str) -> None:
        await place.memory._forget((namespace,), [entry])
        await add(namespace, entry, text)

    monkeypatch.setattr(place.memory._words, "add", late)
    await told(place, *(f"the nozzle on printer A {at}" for at in range(25)))
    assert await place.recall("the nozzle on printer A") == [FACTS[0]]


async def test_a_memory_whose_model_was_changed_while_it_was_asked_is_found(place: Place) -> None:
    """Its vector is of the model of before, and all others are of the new one."""
    before = place.model
    assert before is not None
    await told(place, *FACTS[1:])
    before.gate.clear()
    asked = len(before.asked)
    telling = place.tasks.start("telling", told(place, FACTS[0]))
    await until(lambda: len(before.asked) > asked, "that the model is asked")
    place.model = Hashing("house/other")
    await place.settle()
    assert place.memory._keeper.complete == "house/other"
    before.gate.set()
    await telling
    assert (await place.recall("the nozzle on printer A"))[0] == FACTS[0]


async def test_a_memory_that_came_while_another_model_was_tried_is_found(place: Place) -> None:
    before = place.model
    await told(place, *FACTS[1:])
    await place.settle()
    place.model = Hashing("house/other")
    await told(place, FACTS[0])
    place.model = before
    assert (await place.recall("the nozzle on printer A"))[0] == FACTS[0]


async def test_who_is_called_off_while_a_memory_is_stored_finds_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    await told(place, *FACTS[1:])
    await place.recall("the nozzle on printer A")
    heard: list[str] = []
    place.memory.listeners.append(heard.append)
    add, stored, go = place.memory._rows.add, asyncio.Event(), asyncio.Event()

    async def late(*args: Any) -> Any:
        added = await add(*args)
        stored.set()
        await go.wait()
        return added

    monkeypatch.setattr(place.memory._rows, "add", late)
    telling = place.tasks.start("telling", told(place, FACTS[0]))
    await stored.wait()
    telling.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await telling
    await until(lambda: heard, "that it is told")
    assert (await place.recall("the nozzle on printer A"))[0] == FACTS[0]
    assert place.memory.count() == len(FACTS)


async def test_what_is_forgotten_by_who_is_called_off_meanwhile_is_gone_everywhere(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    await told(place, *FACTS)
    await place.embedder.embed(FACTS[0])
    heard: list[str] = []
    place.memory.listeners.append(heard.append)
    forget, gone, go = place.memory._rows.forget, asyncio.Event(), asyncio.Event()

    async def late(*args: Any) -> Any:
        found = await forget(*args)
        gone.set()
        await go.wait()
        return found

    monkeypatch.setattr(place.memory._rows, "forget", late)
    forgetting = place.tasks.start("forgetting", place.memory.drop("ada"))
    await gone.wait()
    forgetting.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await forgetting
    await until(lambda: heard, "that it is forgotten")
    assert (place.memory.count(), await place.embedder.stored()) == (0, 0)


async def test_whoever_wants_to_know_is_told_whose_memory_changed(place: Place) -> None:
    heard: list[str] = []
    place.memory.listeners.append(heard.append)
    await told(place, "the lamp is red")
    await told(place, "the lamp is red", namespace=HOUSE)
    assert heard == ["ada", HOUSE]


async def test_a_large_memory_is_searched_in_a_thread(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.vectors, "INLINE", 2)
    monkeypatch.setattr(module.lexical, "INLINE", 2)
    await told(place, *FACTS)
    assert (await place.recall("the nozzle on printer A"))[0] == FACTS[0]
    place.model = None
    assert (await place.recall("the nozzle on printer A"))[0] == FACTS[0]


async def test_memories_that_come_and_go_while_the_index_is_in_memory_are_followed(
    place: Place,
) -> None:
    ids = await told(place, *(f"item {at} is on shelf {at}" for at in range(150)))
    assert (await place.recall("item 140 is on shelf 140"))[0] == "item 140 is on shelf 140"
    await place.memory._forget(("ada",), ids[:140])
    await told(place, "the lamp is red")
    assert await place.recall("item 20 is on shelf 20", floor=0.95) == []
    assert (await place.recall("item 140 is on shelf 140"))[0] == "item 140 is on shelf 140"
    assert (await place.recall("the lamp is red"))[0] == "the lamp is red"


async def test_what_was_remembered_last_comes_first(place: Place) -> None:
    await told(place, *FACTS)
    assert await place.memory.latest("ada", 2) == [FACTS[4], FACTS[3]]


async def test_memories_are_counted_and_dropped(place: Place) -> None:
    ids = await told(place, *FACTS)
    await told(place, "bob likes tea", namespace="bob")
    assert place.memory.count() == 6
    assert await place.memory.drop("ada", ids[:1]) == 1
    assert await place.memory.drop("ada") == 4
    assert place.memory.count() == 1
