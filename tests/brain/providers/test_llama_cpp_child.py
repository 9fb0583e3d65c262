"""The process of a local model while it is being started: who puts it away then, and what whoever waits is told."""

import asyncio
from collections.abc import Iterator
import errno
from pathlib import Path
import socket
import sys
import threading
from typing import Any

import pytest

from brain_server.errors import ProviderError
from brain_server.llama_worker.wire import Load
from brain_server.observability import Tasks
from brain_server.providers.llama_cpp import child as child_module
from brain_server.providers.llama_cpp.child import Child
from tests.brain.home import until
from tests.brain.providers.llama_house import parts_of, provider, question


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Give what holds the look at the memory, in its thread, until it is set."""
    gate = threading.Event()
    monkeypatch.setattr(child_module.room, "require", lambda *_file, **_more: gate.wait())
    yield gate
    gate.set()


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Child:
    """Give the process of a model that fits."""
    monkeypatch.setattr(child_module.room, "require", lambda *_file, **_more: None)
    load = Load(path="/tiny.gguf", context=256, threads=1, eyes=None, embedding=False)
    return Child(load, Tasks())


async def test_whoever_waits_for_a_model_that_is_put_away_is_told_and_not_called_off(
    tmp_path: Path, gate: threading.Event
) -> None:
    """A changed provider closes the old one: another tier can still answer."""
    llama = provider(tmp_path)
    asking = Tasks().start("asking", parts_of(llama.stream(question())))
    await until(lambda: llama.children[0]._loading, "that it is being loaded")
    closing = Tasks().start("closing", llama.close())
    await asyncio.wait([asking])
    gate.set()
    await closing
    assert not asking.cancelled()
    assert getattr(asking.exception(), "code", None) == "provider_cut_off"


async def test_a_provider_that_is_closed_starts_no_process_for_who_still_waits(
    tmp_path: Path, gate: threading.Event
) -> None:
    """For its one place in the house, or for the slot of the provider."""
    llama = provider(tmp_path)
    gate.set()
    await llama.close()
    for asking in (parts_of(llama.stream(question())), llama.embed(["door"]), llama.warm()):
        with pytest.raises(ProviderError) as caught:
            await asking
        assert caught.value.code == "provider_cut_off"
    assert [child._loading for child in llama.children] == [None]


async def test_a_process_that_is_being_started_can_be_put_away(
    child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before there is a line to it, too."""
    reached = asyncio.Event()

    async def connecting(*, sock: socket.socket) -> None:
        reached.set()
        with sock:
            await asyncio.Event().wait()

    monkeypatch.setattr(child_module.asyncio, "open_connection", connecting)
    asking = Tasks().start("asking", child.ready(None))
    await reached.wait()
    await child.stop()
    await child._tasks.stop()
    with pytest.raises(ProviderError) as caught:
        await asking
    assert caught.value.code == "provider_cut_off"
    assert child.pid is None


async def test_a_process_whose_loading_is_called_off_does_not_stay(
    child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider is closed while it loads: its memory is given back."""
    start, begun = asyncio.create_subprocess_exec, asyncio.Event()
    made: list[asyncio.subprocess.Process] = []

    async def sleeper(*_command: Any, **_more: Any) -> asyncio.subprocess.Process:
        made.append(
            await start(
                sys.executable,
                *("-c", "import signal; signal.pause()"),
                stderr=asyncio.subprocess.PIPE,
            )
        )
        begun.set()
        return made[0]

    monkeypatch.setattr(child_module.asyncio, "create_subprocess_exec", sleeper)
    monkeypatch.setattr(child_module, "STOP_S", 0.01)
    asking = Tasks().start("asking", child.ready(None))
    await begun.wait()
    await until(lambda: child.pid, "that it is there")
    try:
        await child._tasks.stop()
        assert (child.pid, made[0].returncode is None) == (None, False)
        with pytest.raises(ProviderError):
            await asking
    finally:
        if made[0].returncode is None:
            made[0].kill()
            await made[0].wait()


async def test_a_model_whose_process_cannot_be_started_leaves_the_answer_to_others(
    child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine has no more processes; the next question tries again."""

    async def full(*_command: Any, **_more: Any) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(child_module.asyncio, "create_subprocess_exec", full)
    for _ in range(2):
        with pytest.raises(ProviderError) as caught:
            await child.ready(None)
        assert caught.value.code == "provider_unreachable"
    assert child.pid is None
