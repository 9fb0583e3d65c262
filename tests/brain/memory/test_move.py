"""The vectors move to a server and back by one command, and nothing is lost on the way."""

import asyncio
from collections.abc import AsyncIterator, Iterator
import json
from pathlib import Path
import threading
from typing import Any

import pytest
from sqlalchemy import update

from brain_server.__main__ import main
from brain_server.memory import New
from brain_server.memory.move import away, back, copy
from brain_server.memory.qdrant import Qdrant
from brain_server.storage import Database, tables
from brain_server.storage.tables import memories
from tests.brain.memory.conftest import Place
from tests.brain.memory.models import Hashing
from tests.brain.soon import SOON
from tests.standins.qdrant import FakeQdrant, qdrant


@pytest.fixture
async def server() -> AsyncIterator[FakeQdrant]:
    """Give an empty server."""
    async with qdrant() as made:
        yield made


@pytest.fixture
async def store(server: FakeQdrant) -> AsyncIterator[Qdrant]:
    """Give a store on it."""
    made = Qdrant(server.url)
    yield made
    await made.close()


async def filled(place: Place, count: int = 20) -> None:
    new = [New(text=f"box {at}", source="said", trust="person") for at in range(count)]
    await place.memory.remember_many("ada", new)


async def test_every_vector_goes_away_and_the_rows_stay(
    place: Place, server: FakeQdrant, store: Qdrant
) -> None:
    await filled(place)
    assert await away(place.rows, store) == {
        "moved": 20,
        "without_vector": 0,
        "embedder": "house/hashing",
    }
    assert len(server.points()) == 20
    assert await place.rows.embedders() == {"house/hashing": 20}


async def test_the_vectors_of_the_model_that_most_rows_have_are_moved(
    place: Place, server: FakeQdrant, store: Qdrant
) -> None:
    await filled(place, 3)
    place.model = Hashing("house/other", width=64)
    new = [New(text=f"lamp {at}", source="said", trust="person") for at in range(9)]
    await place.memory.remember_many("ada", new)
    moved = await away(place.rows, store)
    assert (moved["moved"], moved["without_vector"], moved["embedder"]) == (9, 3, "house/other")


async def test_without_vectors_there_is_nothing_to_move(place: Place, store: Qdrant) -> None:
    place.model = None
    await filled(place, 2)
    assert await away(place.rows, store) == {"moved": 0, "without_vector": 2, "embedder": None}


async def test_a_damaged_row_is_left_out(place: Place, server: FakeQdrant, store: Qdrant) -> None:
    await filled(place, 3)
    (first, _), *_ = await place.rows.texts("ada")
    spoilt = update(memories).where(memories.c.id == first).values(vector=b"\x00" * 512)
    await place.database.write(lambda connection: connection.execute(spoilt))
    assert await copy(place.rows, store, "house/hashing") == 2


async def test_vectors_that_only_the_server_has_come_back(
    place: Place, server: FakeQdrant, store: Qdrant
) -> None:
    await filled(place)
    await away(place.rows, store)
    lost = update(memories).values(vector=None, embedder=None)
    await place.database.write(lambda connection: connection.execute(lost))
    assert await back(place.rows, store) == {"brought": 20, "vectors": 20}
    assert server.collections == {}
    place.again()
    await place.memory.start()
    found = await place.memory.recall(["ada"], place.meaning("box 7"))
    assert (found[0].text, found[0].score) == ("box 7", pytest.approx(1.0))


async def test_when_the_rows_have_all_nothing_has_to_come_back(
    place: Place, server: FakeQdrant, store: Qdrant
) -> None:
    await filled(place)
    await away(place.rows, store)
    assert await back(place.rows, store) == {"brought": 0, "vectors": 20}


# -- the command line ---------------------------------------------------------------------------------


@pytest.fixture
def serving() -> Iterator[FakeQdrant]:
    """Give a server that lives in a thread of its own, for a command that has its own loop."""
    server, loop, up = FakeQdrant(), asyncio.new_event_loop(), threading.Event()

    def live() -> None:
        loop.run_until_complete(server.start())
        up.set()
        loop.run_forever()
        loop.run_until_complete(server.stop())
        loop.close()

    thread = threading.Thread(target=live)
    thread.start()
    up.wait(SOON)
    yield server
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)


@pytest.fixture
def data(tmp_path: Path, clock: Any) -> Path:
    """Give the folder of a brain that remembers something."""

    async def live() -> None:
        url = f"sqlite:///{tmp_path / 'brain.db'}"
        database = Database(url, tables.brain, name="brain", durable=False)
        await database.open()
        place = Place(database, clock)
        await filled(place, 5)
        await place.tasks.stop()
        await database.close()

    asyncio.run(live())
    (tmp_path / "keys.json").write_text("{}")
    return tmp_path


def test_one_command_moves_and_one_brings_back(
    data: Path, serving: FakeQdrant, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ["--data-dir", str(data)]
    assert main(["memory", "move", "--to", serving.url, *folder]) == 0
    assert json.loads(capsys.readouterr().out)["moved"] == 5
    assert main(["memory", "move", "--to", "rows", "--qdrant-url", serving.url, *folder]) == 0
    assert json.loads(capsys.readouterr().out) == {"brought": 0, "vectors": 5}


def test_a_server_that_is_not_there_is_told(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["memory", "move", "--to", "http://127.0.0.1:9", "--data-dir", str(data)]
    assert main(words) == 2
    assert "Qdrant does not answer [provider_unreachable]" in capsys.readouterr().err


@pytest.mark.parametrize("to", ["nowhere", "rows"])
def test_an_address_that_is_none_is_refused(
    data: Path, capsys: pytest.CaptureFixture[str], to: str
) -> None:
    assert main(["memory", "move", "--to", to, "--data-dir", str(data)]) == 2
    assert "[invalid_setting]" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["memory"], ["memory", "move"], ["memory", "move", "--to"]])
def test_half_a_command_gets_the_usage(
    capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert main(words) == 2
    assert "memory move --to URL" in capsys.readouterr().err
