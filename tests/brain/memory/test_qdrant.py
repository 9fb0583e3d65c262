"""Memory on a Qdrant server: what it has is only a mirror, so nothing depends on it."""

from collections.abc import AsyncIterator, Sequence
import subprocess
import sys

from aiohttp import web
import numpy as np
import pytest
from sqlalchemy import update

from brain_server.commands import NoParams
from brain_server.errors import InvalidRequest, ProviderError, Unavailable
from brain_server.memory import New, Point, keeper
from brain_server.memory.embedder import Vector
from brain_server.memory.qdrant import COLLECTION, Qdrant
from brain_server.storage.tables import memories
from tests.brain.memory.conftest import Place, person
from tests.brain.memory.models import Hashing
from tests.standins.qdrant import FakeQdrant, qdrant

QUERY = f"POST /collections/{COLLECTION}/points/query"
FACTS = [f"the box {at} is on shelf {at}" for at in range(12)]
NEAR = Vector(embedder="house/hashing", values=np.asarray([1.0, 0.0], dtype=np.float32))


@pytest.fixture
async def server() -> AsyncIterator[FakeQdrant]:
    """Give an empty server."""
    async with qdrant() as made:
        yield made


@pytest.fixture
async def mirrored(
    place: Place, server: FakeQdrant, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Place]:
    """Give a memory on a server, with some facts in both."""
    monkeypatch.setattr(keeper, "ON_THE_WAY", 0.02)
    place.store = Qdrant(server.url)
    await place.memory.stop()
    place.again()
    await place.memory.start()
    new = [New(text=text, source="said", trust="person") for text in FACTS]
    await place.memory.remember_many("ada", new)
    await place.settle()
    place.heard.clear()
    yield place
    await place.memory.stop()


async def finds(place: Place, number: int) -> bool:
    found = await place.recall(FACTS[number])
    return found[:1] == [FACTS[number]]


async def backend(place: Place) -> str:
    return str((await place.memory.status(person("ada"), NoParams()))["backend"])


async def test_a_fresh_server_gets_its_collection(mirrored: Place, server: FakeQdrant) -> None:
    assert set(server.collections) == {COLLECTION}
    assert len(server.points()) == 12
    assert await backend(mirrored) == "qdrant"


async def test_the_server_is_asked_and_knows_no_words(mirrored: Place, server: FakeQdrant) -> None:
    server.asked.clear()
    assert await finds(mirrored, 7)
    assert server.asked.count(QUERY) == 1
    payloads = {tuple(sorted(one["payload"])) for one in server.points().values()}
    assert payloads == {("embedder", "namespace")}


async def test_what_is_remembered_and_forgotten_is_so_on_the_server(
    mirrored: Place, server: FakeQdrant
) -> None:
    await mirrored.memory.remember("bob", "bob likes tea", "said", "person")
    assert len(server.points()) == 13
    await mirrored.memory._forget(("ada",), None)
    assert len(server.points()) == 1


async def test_what_is_forgotten_while_it_is_copied_is_not_on_the_server(
    mirrored: Place, server: FakeQdrant, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert mirrored.store is not None
    put = mirrored.store.put

    async def late(points: Sequence[Point]) -> None:
        await mirrored.memory._forget(("ada",), [points[0].id])
        await put(points)

    monkeypatch.setattr(mirrored.store, "put", late)
    server.collections.clear()
    await mirrored.settle()
    assert len(server.points()) == 11
    assert (await backend(mirrored), mirrored.heard[0]["rows"]) == ("qdrant", 11)


async def test_what_is_forgotten_while_it_is_remembered_is_not_on_the_server(
    mirrored: Place, server: FakeQdrant, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert mirrored.store is not None
    put = mirrored.store.put

    async def late(points: Sequence[Point]) -> None:
        await mirrored.memory._forget(("bob",), None)
        await put(points)

    monkeypatch.setattr(mirrored.store, "put", late)
    await mirrored.memory.remember("bob", "bob likes tea", "said", "person")
    assert len(server.points()) == 12


async def test_a_server_that_is_gone_costs_no_answer(mirrored: Place, server: FakeQdrant) -> None:
    await server.stop()
    assert await finds(mirrored, 7)
    health = await mirrored.memory.health()
    assert health == "Qdrant does not answer; memory searches its own rows"
    assert await backend(mirrored) == "rows"
    await server.start()


async def test_what_happens_while_the_server_is_gone_is_there_afterwards(
    mirrored: Place, server: FakeQdrant
) -> None:
    await server.stop()
    await mirrored.memory.remember("ada", "the lamp is red", "said", "person")
    listed = await mirrored.rows.texts("ada")
    await mirrored.memory._forget(("ada",), [listed[0][0]])
    await mirrored.settle()
    assert await finds(mirrored, 7)
    await server.start()
    await mirrored.settle()
    assert await mirrored.memory.health() is None
    assert len(server.points()) == 12
    assert (await mirrored.recall("the lamp is red"))[0] == "the lamp is red"


async def test_a_server_that_stays_away_is_told_once(
    mirrored: Place, server: FakeQdrant, caplog: pytest.LogCaptureFixture
) -> None:
    await server.stop()
    for text in ("the lamp is red", "the door is blue"):
        await mirrored.memory.remember("ada", text, "said", "person")
        await finds(mirrored, 7)
        await mirrored.settle()
    assert len([one for one in caplog.records if "its own rows" in one.message]) == 1
    await server.start()


async def test_a_server_that_hangs_up_is_gone(mirrored: Place, server: FakeQdrant) -> None:
    server.down = True
    assert await finds(mirrored, 7)
    assert await mirrored.memory.health() == (
        "Qdrant does not answer; memory searches its own rows"
    )


async def test_a_lost_collection_is_made_again(
    mirrored: Place, server: FakeQdrant, caplog: pytest.LogCaptureFixture
) -> None:
    server.collections.clear()
    assert await finds(mirrored, 7)
    await mirrored.settle()
    assert len(server.points()) == 12
    assert [(one["backend"], one["rows"]) for one in mirrored.heard] == [("qdrant", 12)]


async def test_missing_points_are_noticed_and_brought_back(
    mirrored: Place, server: FakeQdrant
) -> None:
    for key in list(server.points())[:5]:
        del server.points()[key]
    await mirrored.settle()
    assert len(server.points()) == 12
    assert len(mirrored.heard) == 1


async def test_damaged_points_are_found_out_by_a_search(
    mirrored: Place, server: FakeQdrant
) -> None:
    for at, one in enumerate(server.points().values()):
        one["vector"] = [float(at == place) for place in range(len(one["vector"]))]
    assert await finds(mirrored, 7)
    await mirrored.settle()
    server.asked.clear()
    assert await finds(mirrored, 7)
    assert server.asked.count(QUERY) == 1
    assert len(mirrored.heard) == 1


async def test_a_row_that_is_damaged_is_found_out_by_a_search(
    mirrored: Place, server: FakeQdrant
) -> None:
    half = np.full(4, 0.5, dtype=np.float32).tobytes()
    await mirrored.database.write(
        lambda connection: connection.execute(update(memories).values(vector=half))
    )
    await mirrored.recall(FACTS[7])
    await until_settled(mirrored)
    assert await finds(mirrored, 7)
    assert {len(one["vector"]) for one in server.points().values()} == {128}


async def until_settled(place: Place) -> None:
    for task in [task for task in place.tasks._tasks if task.get_name() == "damaged vectors"]:
        await task
    await place.settle()


async def test_points_that_nobody_has_told_are_found_out_and_removed(
    mirrored: Place, server: FakeQdrant
) -> None:
    key, one = next(iter(server.points().items()))
    server.points()["0" * 8 + key[8:]] = one
    assert await finds(mirrored, 0)
    await mirrored.settle()
    assert len(server.points()) == 12


async def test_a_server_that_mixes_people_up_shows_nobody_anything(
    mirrored: Place, server: FakeQdrant
) -> None:
    await mirrored.memory.remember("bob", "bob likes tea", "said", "person")
    for one in server.points().values():
        one["payload"]["namespace"] = "bob"
    assert FACTS[7] not in await mirrored.recall(FACTS[7], "bob", floor=-1)


async def test_another_model_with_another_width_replaces_the_collection(
    mirrored: Place, server: FakeQdrant
) -> None:
    mirrored.model = Hashing("house/wide", width=64)
    await mirrored.settle()
    assert {len(one["vector"]) for one in server.points().values()} == {64}
    assert await finds(mirrored, 7)


async def test_a_forgotten_memory_leaves_an_empty_collection(
    mirrored: Place, server: FakeQdrant
) -> None:
    await mirrored.memory._forget(("ada",), None)
    for _ in range(3):
        await mirrored.settle()
    assert mirrored.heard == []
    await mirrored.memory.remember("ada", "the lamp is red", "said", "person")
    await mirrored.settle()
    assert await mirrored.recall("the lamp is red") == ["the lamp is red"]


async def test_a_restart_finds_the_mirror_as_it_was(mirrored: Place, server: FakeQdrant) -> None:
    await mirrored.memory.stop()
    mirrored.again()
    await mirrored.memory.start()
    server.asked.clear()
    await mirrored.settle()
    assert mirrored.heard == []
    assert not any(line.startswith("PUT") for line in server.asked)


async def test_the_key_is_sent() -> None:
    async with qdrant(api_key="k") as server:
        store = Qdrant(server.url, "k")
        assert await store.count("house/hashing") is None
        await store.close()


async def test_a_wrong_key_is_told_as_such() -> None:
    async with qdrant(api_key="k") as server:
        store = Qdrant(server.url, "wrong")
        with pytest.raises(ProviderError) as caught:
            await store.count("house/hashing")
        assert caught.value.code == "provider_auth"
        assert store.breaker.misconfigured
        await store.close()


ANSWERS = {
    "an error": (web.Response(status=500, text="{}"), "provider_failed"),
    "no JSON": (web.Response(text="<html>", content_type="text/html"), "provider_invalid"),
    "another JSON": (web.json_response({"hello": 1}), "provider_invalid"),
    "an empty result": (web.json_response({"result": None, "status": "ok"}), "provider_invalid"),
    "a wrong result": (web.json_response({"result": {"points": 1}}), "provider_invalid"),
    "too busy": (
        web.Response(status=429, text="{}", headers={"Retry-After": "1"}),
        "provider_busy",
    ),
}


@pytest.mark.parametrize(("answer", "code"), ANSWERS.values(), ids=list(ANSWERS))
async def test_an_answer_that_is_none_is_an_error_of_the_server(
    server: FakeQdrant, answer: web.Response, code: str
) -> None:
    server.answer = answer
    store = Qdrant(server.url)
    with pytest.raises(ProviderError) as caught:
        await store.search(["ada"], NEAR, 5)
    assert caught.value.code == code
    await store.close()


async def test_a_refused_connection_is_tried_twice_and_then_left_alone(
    server: FakeQdrant, monkeypatch: pytest.MonkeyPatch
) -> None:
    await server.stop()
    store = Qdrant(server.url)
    tries = 0
    once = store._once

    async def counted(ask: object) -> object:
        nonlocal tries
        tries += 1
        return await once(ask)  # type: ignore[arg-type]  # the double has the part that is used

    monkeypatch.setattr(store, "_once", counted)
    with pytest.raises(ProviderError) as caught:
        await store.count("house/hashing")
    assert (caught.value.code, tries) == ("provider_unreachable", 2)
    for _ in range(4):
        with pytest.raises(ProviderError):
            await store.count("house/hashing")
    with pytest.raises(Unavailable) as left:
        await store.count("house/hashing")
    assert left.value.code == "circuit_open"
    await store.close()
    await server.start()


async def test_without_the_package_it_says_what_to_install(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "qdrant_client", None)
    with pytest.raises(InvalidRequest) as caught:
        await Qdrant("http://127.0.0.1:1").count("house/hashing")
    assert caught.value.code == "package_missing"


def test_the_client_is_imported_only_where_it_is_used() -> None:
    script = (
        "import sys, brain_server.memory, brain_server.memory.qdrant as q; q.Qdrant('http://x');"
        "print([name for name in ('qdrant_client', 'numpy', 'httpx') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert done.stdout == "[]\n"
