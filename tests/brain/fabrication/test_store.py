"""The folder of print files while several things happen in it at once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
import threading
from typing import IO, Any

import pytest

from brain_server.fabrication import store as store_module
from brain_server.fabrication.store import Store
from brain_server.observability import Tasks
from tests.brain.home import until
from tests.brain.soon import SOON

NAME = "0" * 64


class Reader:
    """What reads a file in a process of its own: held until a test lets it go on."""

    def __init__(self) -> None:
        """Hold the first."""
        self.begun, self.go = asyncio.Event(), asyncio.Event()

    async def __call__(self, _mode: str, path: Path, picture: Path, _plate: int | None) -> Any:
        """Draw what is there."""
        there = await asyncio.to_thread(path.exists)
        self.begun.set()
        await self.go.wait()
        if not there:
            return {"error": "there is no file"}
        await asyncio.to_thread(picture.write_bytes, b"\x89PNG")
        return {"kind": "gcode"}


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Reader:
    """Give the reader."""
    made = Reader()
    monkeypatch.setattr(store_module, "_child", made)
    return made


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Give a store of one file."""
    (tmp_path / NAME).write_bytes(b"G28\n")
    return Store(tmp_path, Tasks())


async def test_a_file_that_was_removed_before_it_was_drawn_can_be_drawn_when_it_is_back(
    store: Store, reader: Reader
) -> None:
    """That it was gone says nothing of what it contains."""
    async with store._reading:
        drawing = Tasks().start("drawing", store.draw(NAME))
        await until(lambda: store._drawing, "that it waits for its turn")
        await store.remove(NAME)
    reader.go.set()
    await drawing
    await asyncio.to_thread(store.path(NAME).write_bytes, b"G28\n")
    await store.draw(NAME)
    assert await store.image(NAME, "preview") == b"\x89PNG"


async def test_of_a_file_that_is_removed_while_it_is_drawn_nothing_stays(
    store: Store, reader: Reader
) -> None:
    """Nobody would remove the picture."""
    drawing = Tasks().start("drawing", store.draw(NAME))
    await reader.begun.wait()
    await store.remove(NAME)
    reader.go.set()
    await drawing
    assert await asyncio.to_thread(lambda: list(store.folder.iterdir())) == []


async def test_a_file_that_is_removed_when_it_has_just_been_drawn_can_be_drawn_when_it_is_back(
    store: Store, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That its picture is gone with it says nothing of what it contains."""
    real, exists = asyncio.to_thread, Path.exists
    looked, go = asyncio.Event(), asyncio.Event()

    async def late(work: Any, *args: Any, **more: Any) -> Any:
        found = await real(work, *args, **more)
        # Whether the file is there, once it was drawn.
        if (
            getattr(work, "__func__", None) is exists
            and reader.go.is_set()
            and work.__self__.name == NAME
        ):
            looked.set()
            await go.wait()
        return found

    drawing = Tasks().start("drawing", store.draw(NAME))
    await reader.begun.wait()
    monkeypatch.setattr(asyncio, "to_thread", late)
    reader.go.set()
    await looked.wait()
    monkeypatch.setattr(asyncio, "to_thread", real)
    await store.remove(NAME)
    go.set()
    await drawing
    await asyncio.to_thread(store.path(NAME).write_bytes, b"G28\n")
    await store.draw(NAME)
    assert await store.image(NAME, "preview") == b"\x89PNG"


async def nothing() -> AsyncIterator[bytes]:
    """Send no byte."""
    for part in ():
        yield part


async def test_of_a_file_that_is_called_off_while_it_is_made_nothing_stays(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread made it all the same, after it was removed."""
    create, begun, go = store_module._create, threading.Event(), threading.Event()
    made: list[IO[bytes]] = []

    def late(path: Path) -> IO[bytes]:
        begun.set()
        go.wait(SOON)
        made.append(create(path))
        return made[0]

    monkeypatch.setattr(store_module, "_create", late)
    spooling = Tasks().start("spooling", store.spool(nothing()))
    await until(begun.is_set, "that it is being made")
    spooling.cancel()
    await asyncio.sleep(0)
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await spooling
    await until(lambda: made, "that it was made")
    assert made[0].closed
    names = await asyncio.to_thread(lambda: [one.name for one in store.folder.iterdir()])
    assert names == [NAME]
