"""The commands of memory: each person has only their own, and the house's."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest
from sqlalchemy import select

from brain_server import memory as module
from brain_server.commands import Page, Scope, collect, prepare
from brain_server.errors import KittyError, ProviderError
from brain_server.memory import HOUSE, MemoriesPage, Memory, New
from brain_server.storage.tables import embeddings, memories
from tests.brain.home import until
from tests.brain.memory.conftest import Place, person


async def run(place: Place, action: str, who: str | None = "ada", **params: Any) -> Any:
    """Run a command as the dispatcher does."""
    caller = person(who)
    spec = collect(place.memory)[action]
    return await spec.run(caller, prepare(spec, caller, params))


async def refused(work: Awaitable[Any]) -> str:
    with pytest.raises(KittyError) as caught:
        await work
    return caught.value.code


async def listed(place: Place, who: str = "ada") -> list[str]:
    return [item["text"] for item in (await run(place, "memory.list", who))["items"]]


async def test_a_person_tells_and_finds(both: Place) -> None:
    told = await run(both, "memory.remember", text="the nozzle on printer A is 0.6")
    found = await run(both, "memory.search", query="which nozzle on printer A")
    assert found["method"] == "hybrid"
    assert (found["items"][0]["id"], found["items"][0]["shared"]) == (told["id"], False)
    assert found["items"][0]["trust"] == "person"


async def test_without_a_model_a_search_says_that_it_went_by_words(place: Place) -> None:
    place.model = None
    await run(place, "memory.remember", text="the nozzle on printer A is 0.6")
    found = await run(place, "memory.search", query="nozzle of printer A")
    assert (found["method"], len(found["items"])) == ("lexical", 1)
    assert (await run(place, "memory.status"))["method"] == "lexical"


async def test_a_search_in_an_empty_memory_tells_how_it_would_go(place: Place) -> None:
    assert await run(place, "memory.search", query="nozzle") == {"items": [], "method": "hybrid"}


async def test_everybody_sees_what_is_shared_and_nobody_what_is_not(both: Place) -> None:
    await run(both, "memory.remember", text="my diary is green")
    await run(both, "memory.remember", text="the bins go out on Monday", shared=True)
    assert await listed(both, "ada") == ["my diary is green", "the bins go out on Monday"]
    assert await listed(both, "bob") == ["the bins go out on Monday"]
    found = await run(both, "memory.search", "bob", query="my diary is green")
    assert "my diary is green" not in [item["text"] for item in found["items"]]


async def test_an_admin_sees_no_more_than_anybody(place: Place) -> None:
    await run(place, "memory.remember", text="my diary is green")
    admin = person("eve", Scope.ADMIN)
    assert (await place.memory.list(admin, MemoriesPage()))["items"] == []
    assert (await place.memory.export(admin, Page()))["items"] == []


VERBS: list[tuple[str, dict[str, Any]]] = [
    ("memory.remember", {"text": "x"}),
    ("memory.list", {}),
    ("memory.search", {"query": "x"}),
    ("memory.forget", {"all": True}),
    ("memory.export", {}),
    ("memory.status", {}),
    ("memory.enable", {"enabled": True}),
]


@pytest.mark.parametrize(("action", "params"), VERBS)
@pytest.mark.parametrize("who", [None, HOUSE])
async def test_a_program_has_no_memory(
    place: Place, action: str, params: dict[str, Any], who: str | None
) -> None:
    assert await refused(run(place, action, who, **params)) == "person_needed"


@pytest.mark.parametrize(("action", "params"), VERBS)
async def test_a_token_that_only_reads_cannot_see_it(
    place: Place, action: str, params: dict[str, Any]
) -> None:
    caller = person("ada", Scope.READ)
    spec = collect(place.memory)[action]
    with pytest.raises(KittyError) as caught:
        prepare(spec, caller, params)
    assert caught.value.code == "scope_required"


async def test_a_forgotten_memory_is_gone_everywhere(both: Place) -> None:
    told = await run(both, "memory.remember", text="the lamp is red")
    await run(both, "memory.search", query="the lamp is red")
    assert await run(both, "memory.forget", memory_id=told["id"]) == {"forgotten": 1}
    assert (await run(both, "memory.search", query="the lamp is red"))["items"] == []
    both.model = None
    assert (await run(both, "memory.search", query="the lamp is red"))["items"] == []
    left = await both.database.read(
        lambda connection: (
            connection.execute(select(memories.c.id)).all(),
            connection.execute(select(embeddings.c.text_hash)).all(),
        )
    )
    assert left == ([], [])


async def test_what_is_shared_may_be_forgotten_by_anybody(place: Place) -> None:
    told = await run(place, "memory.remember", text="the bins go out on Monday", shared=True)
    assert await run(place, "memory.forget", "bob", memory_id=told["id"]) == {"forgotten": 1}


async def test_nobody_forgets_for_another(place: Place) -> None:
    told = await run(place, "memory.remember", text="my diary is green")
    forgets = run(place, "memory.forget", "bob", memory_id=told["id"])
    assert await refused(forgets) == "memory_not_found"
    assert await listed(place) == ["my diary is green"]


async def test_to_forget_all_leaves_what_is_shared_and_what_is_of_others(place: Place) -> None:
    await run(place, "memory.remember", text="my diary is green")
    await run(place, "memory.remember", text="my lamp is red")
    await run(place, "memory.remember", text="the bins go out on Monday", shared=True)
    await run(place, "memory.remember", "bob", text="bob likes tea")
    assert await run(place, "memory.forget", all=True) == {"forgotten": 2}
    assert await listed(place) == ["the bins go out on Monday"]
    assert len(await listed(place, "bob")) == 2


async def test_to_forget_all_of_nothing_is_no_error(place: Place) -> None:
    assert await run(place, "memory.forget", all=True) == {"forgotten": 0}


@pytest.mark.parametrize("params", [{}, {"all": True, "memory_id": "0" * 32}])
async def test_to_forget_one_says_which_or_all(place: Place, params: dict[str, Any]) -> None:
    assert await refused(run(place, "memory.forget", **params)) == "invalid_params"


async def test_an_export_has_ones_own_and_nothing_else(both: Place) -> None:
    await run(both, "memory.remember", text="my diary is green")
    await run(both, "memory.remember", text="the bins go out on Monday", shared=True)
    exported = await run(both, "memory.export")
    assert [item["text"] for item in exported["items"]] == ["my diary is green"]
    assert exported["items"][0].keys() == {
        "id",
        "namespace",
        "text",
        "source",
        "trust",
        "conversation_id",
        "created_at",
    }


async def test_an_export_comes_in_pages_that_are_not_too_large(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_EXPORTED", 600)
    for at in range(7):
        await run(place, "memory.remember", text=f"thing {at}")
    seen: list[str] = []
    cursor, pages = None, 0
    while pages == 0 or cursor is not None:
        part = await run(place, "memory.export", cursor=cursor, limit=5)
        seen += [item["text"] for item in part["items"]]
        cursor, pages = part["cursor"], pages + 1
    assert seen == [f"thing {at}" for at in range(7)]
    assert pages > 2


async def test_a_list_can_begin_with_what_was_remembered_last(place: Place) -> None:
    for at in range(3):
        await run(place, "memory.remember", text=f"thing {at}")
    first = await run(place, "memory.list", limit=2, newest_first=True)
    rest = await run(place, "memory.list", cursor=first["cursor"], newest_first=True)
    texts = [item["text"] for item in (*first["items"], *rest["items"])]
    assert texts == ["thing 2", "thing 1", "thing 0"]


async def test_a_list_comes_in_pages(place: Place) -> None:
    for at in range(3):
        await run(place, "memory.remember", text=f"thing {at}")
    first = await run(place, "memory.list", limit=2)
    second = await run(place, "memory.list", limit=2, cursor=first["cursor"])
    assert [item["text"] for item in second["items"]] == ["thing 2"]
    assert second["cursor"] is None


async def test_who_switches_memory_off_is_neither_remembered_nor_recalled(both: Place) -> None:
    await run(both, "memory.remember", text="the nozzle on printer A is 0.6")
    await run(both, "memory.remember", text="the bins go out on Monday", shared=True)
    assert await run(both, "memory.enable", enabled=False) == {"enabled": False}
    assert await both.recall("the nozzle on printer A", "ada", HOUSE) == []
    assert await refused(run(both, "memory.remember", text="x")) == "memory_off"
    assert await refused(run(both, "memory.remember", text="x", shared=True)) == "memory_off"
    with pytest.raises(KittyError):
        await both.memory.remember_many("ada", [New(text="x", source="said", trust="person")])


async def test_who_switches_memory_off_while_something_is_being_remembered_is_not_remembered(
    place: Place,
) -> None:
    """The model of meanings takes its time, and the person need not wait for it."""
    assert place.model is not None
    place.model.gate.clear()
    telling = place.tasks.start("telling", run(place, "memory.remember", text="the lamp is red"))
    await until(lambda: place.model and place.model.asked, "that the model is asked")
    await run(place, "memory.enable", enabled=False)
    place.model.gate.set()
    assert await refused(telling) == "memory_off"
    assert await listed(place) == []


async def test_who_switches_memory_off_while_they_share_something_does_not_share_it(
    place: Place,
) -> None:
    assert place.model is not None
    place.model.gate.clear()
    sharing = run(place, "memory.remember", text="the bins go out on Monday", shared=True)
    telling = place.tasks.start("telling", sharing)
    await until(lambda: place.model and place.model.asked, "that the model is asked")
    await run(place, "memory.enable", enabled=False)
    place.model.gate.set()
    assert await refused(telling) == "memory_off"
    assert await listed(place, "bob") == []


async def test_who_switches_memory_off_while_something_is_being_recalled_is_not_recalled(
    place: Place,
) -> None:
    assert place.model is not None
    await run(place, "memory.remember", text="the lamp is red")
    asked = len(place.model.asked)
    place.model.gate.clear()
    recalling = place.tasks.start("recalling", place.recall("which lamp is red"))
    await until(lambda: place.model and len(place.model.asked) > asked, "that the model is asked")
    await run(place, "memory.enable", enabled=False)
    place.model.gate.set()
    assert await recalling == []


async def test_who_switched_memory_off_and_was_called_off_is_not_recalled(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is stored is what is in force, not only from the next start on."""
    await run(place, "memory.remember", text="the lamp is red")
    write, stored, go = place.database.write, asyncio.Event(), asyncio.Event()

    async def late(work: Any) -> Any:
        found = await write(work)
        stored.set()
        await go.wait()
        return found

    monkeypatch.setattr(place.database, "write", late)
    turning = place.tasks.start("turning", run(place, "memory.enable", enabled=False))
    await stored.wait()
    turning.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await turning
    await until(lambda: "ada" in place.memory._off, "that it is off")
    assert await place.recall("the lamp is red") == []


async def test_memory_that_is_off_stays_off_after_a_restart_and_can_be_switched_on(
    both: Place,
) -> None:
    await run(both, "memory.remember", text="the lamp is red")
    await run(both, "memory.enable", enabled=False)
    both.again()
    await both.memory.start()
    assert await both.recall("the lamp is red") == []
    await run(both, "memory.enable", enabled=True)
    assert await both.recall("the lamp is red") == ["the lamp is red"]


async def test_who_switched_memory_off_still_sees_and_forgets_what_was_kept(place: Place) -> None:
    await run(place, "memory.remember", text="the lamp is red")
    await run(place, "memory.enable", enabled=False)
    assert await listed(place) == ["the lamp is red"]
    assert await run(place, "memory.forget", all=True) == {"forgotten": 1}


async def test_another_person_is_still_remembered(place: Place) -> None:
    await run(place, "memory.enable", enabled=False)
    await run(place, "memory.remember", "bob", text="bob likes tea")
    assert await place.recall("bob likes tea", "bob") == ["bob likes tea"]


async def test_the_status_tells_what_there_is(place: Place) -> None:
    await run(place, "memory.remember", text="the lamp is red")
    await run(place, "memory.remember", text="the bins go out on Monday", shared=True)
    assert await run(place, "memory.status") == {
        "enabled": True,
        "own": 1,
        "house": 1,
        "most": module.MOST,
        "embedder": "house/hashing",
        "method": "hybrid",
        "backend": "rows",
        "rebuilt_at": None,
        "missing": 0,
        "progress": None,
        "trouble": None,
    }


async def test_the_status_tells_that_the_model_fails(place: Place) -> None:
    assert place.model is not None
    place.model.error = ProviderError("provider_failed", "It broke")
    await run(place, "memory.remember", text="the lamp is red")
    status = await run(place, "memory.status")
    assert (status["missing"], status["method"]) == (1, "lexical")
    assert status["trouble"] == "It broke; memory searches by words"


async def test_a_house_without_a_model_is_well(place: Place) -> None:
    place.model = None
    await run(place, "memory.remember", text="the lamp is red")
    status = await run(place, "memory.status")
    assert (status["embedder"], status["missing"], status["trouble"]) == (None, 0, None)


def test_only_an_admin_lets_the_index_be_made_anew() -> None:
    scopes = {
        name: getattr(Memory, name).command.scope
        for name in ("rebuild", "tell", "list", "search", "forget", "export", "status", "enable")
    }
    assert scopes.pop("rebuild") is Scope.ADMIN
    assert set(scopes.values()) == {Scope.CONTROL}
