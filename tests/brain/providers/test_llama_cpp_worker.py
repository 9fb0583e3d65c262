"""The process of a model and its keeper where they meet what should not happen."""

import asyncio
from collections.abc import Iterator
import io
import logging
import os
from pathlib import Path
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from brain_server import subprocesses
from brain_server.errors import ProviderError
from brain_server.llama_worker.__main__ import Worker
from brain_server.llama_worker.wire import (
    LENGTH,
    Answer,
    Ask,
    Cancel,
    Done,
    Embed,
    Failed,
    Load,
    Loaded,
    Order,
    Turn,
    Vectors,
    answer_from,
    length_of,
    next_order,
    packed,
)
from brain_server.providers import Use, Words
from brain_server.providers.llama_cpp.slots import Slots
from tests.brain.home import until
from tests.brain.providers.llama_house import LONG, local, parts_of, question, usage_of
from tests.brain.providers.test_llama_cpp_eyes import square
from tests.brain.soon import SOON
from tests.standins.tiny_gguf import tiny_eyes, tiny_gguf

ROOT = Path(__file__).parents[3]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Give a data directory with the tiny model, whose context is large."""
    (tmp_path / "models").mkdir()
    tiny_gguf(tmp_path / "models", context=LONG * 2)
    return tmp_path


def ask(number: int = 1, **rest: Any) -> Ask:
    """Return a question."""
    rest.setdefault("max_tokens", 5)
    return Ask(id=number, turns=(Turn(role="user", text="who"),), temperature=0.0, **rest)


# -- the process, by itself ---------------------------------------------------------------------------


class House:
    """A worker in a thread, and the brain's end of its socket."""

    def __init__(self) -> None:
        """Start it."""
        self.mine, theirs = socket.socketpair()
        self.worker = Worker(theirs)
        self._theirs = theirs
        self._thread = threading.Thread(target=self.worker.run)
        self._thread.start()

    def send(self, order: Order) -> None:
        """Say something to it."""
        self.mine.sendall(packed(order))

    def answer(self) -> Answer:
        """Return what it says."""
        head = self.mine.recv(LENGTH, socket.MSG_WAITALL)
        return answer_from(self.mine.recv(length_of(head), socket.MSG_WAITALL))

    def close(self) -> None:
        """Hang up; it ends."""
        self.mine.close()
        self._thread.join(5)
        assert not self._thread.is_alive()
        self._theirs.close()


@pytest.fixture
def house() -> Iterator[House]:
    """Give a worker in which nothing is loaded."""
    made = House()
    yield made
    made.close()


def test_a_question_before_the_model_is_refused(house: House) -> None:
    house.send(ask(7))
    answer = house.answer()
    assert isinstance(answer, Failed)
    assert (answer.id, answer.code) == (7, "model_loading")


def test_vectors_before_the_model_are_refused(house: House) -> None:
    house.send(Embed(id=8, texts=("x",)))
    answer = house.answer()
    assert isinstance(answer, Failed)
    assert (answer.id, answer.code) == (8, "model_loading")


def test_without_llama_cpp_nothing_is_loaded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "brain_server.llama_worker.engine", None)
    house.send(Load(path="x", context=1, threads=1))
    answer = house.answer()
    assert isinstance(answer, Failed)
    assert (answer.id, answer.code) == (0, "provider_unreachable")


def test_an_answer_for_a_brain_that_has_gone_ends_the_process() -> None:
    house = House()
    house.mine.sendall(packed(ask()))
    house.close()


def test_a_brain_that_goes_without_reading_its_answer_ends_the_process() -> None:
    house = House()
    house.send(ask())
    assert select.select([house.mine], [], [], 5)[0]
    house.close()


def test_half_an_order_is_none(tmp_path: Path) -> None:
    path = tmp_path / "orders"
    path.write_bytes(packed(Cancel(id=3)) + packed(ask())[:-1])
    with path.open("rb") as stream:
        assert next_order(stream) == Cancel(id=3)
        assert next_order(stream) is None
        assert next_order(stream) is None


def test_a_process_stuck_in_the_library_ends_when_the_brain_has_gone() -> None:
    mine, theirs = socket.socketpair()
    script = (
        "import socket, sys, time\n"
        "from brain_server.llama_worker.__main__ import Worker\n"
        "worker = Worker(socket.socket(fileno=int(sys.argv[1])), grace_s=0.1)\n"
        "worker._load = lambda order: time.sleep(60)\n"
        "worker.run()\n"
    )
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            cwd=ROOT,
        )
    mine.sendall(packed(Load(path="x", context=1, threads=1)))
    time.sleep(0.5)
    assert process.poll() is None
    mine.close()
    assert process.wait(SOON) == 1


# -- llama.cpp, in this process -----------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    """Close what the library keeps open to be quiet, and would be told of at the end."""
    yield
    library = sys.modules.get("llama_cpp._utils", SimpleNamespace())
    for name in ("outnull_file", "errnull_file"):
        getattr(library, name, io.BytesIO()).close()


@pytest.fixture
def engine(data_dir: Path) -> Iterator[Any]:
    """Give the tiny model, loaded here."""
    from brain_server.llama_worker.engine import Engine  # noqa: PLC0415 - not in script/test fast

    path = str(data_dir / "models/tiny.gguf")
    made = Engine(Load(path=path, context=512, threads=1), lambda: False)
    yield made
    made.close()


@pytest.fixture
def embedder(data_dir: Path) -> Iterator[Any]:
    """Give the tiny model, loaded here to make vectors."""
    from brain_server.llama_worker.engine import Engine  # noqa: PLC0415 - the same

    path = str(data_dir / "models/tiny.gguf")
    made = Engine(Load(path=path, context=512, threads=1, embedding=True), lambda: False)
    yield made
    made.close()


def broken(*_: Any, **__: Any) -> None:
    """Fail as llama.cpp does."""
    raise RuntimeError("llama_decode returned -3")


@pytest.mark.llama
def test_a_failure_of_llama_cpp_is_told(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine._llama, "generate", broken)
    with pytest.raises(ProviderError, match="returned -3") as caught:
        list(engine.ask(ask()))
    assert caught.value.code == "provider_failed"


@pytest.mark.llama
def test_a_failure_that_was_asked_for_is_a_cancelled_answer(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine._llama, "generate", broken)
    monkeypatch.setattr(engine, "_stopped", lambda: True)
    assert [one.finish for one in engine.ask(ask())] == ["cancelled"]


@pytest.mark.llama
@pytest.mark.parametrize(
    ("stopped", "code"), [(False, "provider_failed"), (True, "provider_cut_off")]
)
def test_vectors_that_fail_are_told(
    embedder: Any, monkeypatch: pytest.MonkeyPatch, stopped: bool, code: str
) -> None:
    monkeypatch.setattr(embedder._llama, "embed", broken)
    monkeypatch.setattr(embedder, "_stopped", lambda: stopped)
    with pytest.raises(ProviderError) as caught:
        embedder.embed(Embed(id=1, texts=("x",)))
    assert caught.value.code == code


@pytest.mark.llama
def test_a_schema_without_a_grammar_is_told(engine: Any) -> None:
    with pytest.raises(ProviderError, match="cannot be turned into a grammar") as caught:
        list(engine.ask(ask(schema={"type": "odd"})))
    assert caught.value.code == "provider_invalid"


@pytest.fixture
def seeing(data_dir: Path) -> Iterator[Any]:
    """Give the tiny model with its eyes, loaded here."""
    from brain_server.llama_worker.engine import Engine  # noqa: PLC0415 - the same

    eyes = str(tiny_eyes(data_dir / "models"))
    path = str(data_dir / "models/tiny.gguf")
    made = Engine(Load(path=path, context=512, threads=1, eyes=eyes), lambda: False)
    yield made
    made.close()


@pytest.mark.llama
@pytest.mark.parametrize(
    ("function", "code"),
    [("mtmd_helper_eval_chunks", "provider_failed"), ("mtmd_tokenize", "provider_invalid")],
)
def test_a_picture_at_which_llama_cpp_fails_is_told(
    seeing: Any, monkeypatch: pytest.MonkeyPatch, function: str, code: str
) -> None:
    monkeypatch.setattr(seeing._eyes._tools, function, lambda *_: 1)
    turn = Turn(role="user", text="who", pictures=(square(1, 2, 3).data,))
    with pytest.raises(ProviderError) as caught:
        list(seeing.ask(Ask(id=1, turns=(turn,), max_tokens=5, temperature=0.0)))
    assert caught.value.code == code


@pytest.mark.llama
def test_a_context_for_which_there_is_no_memory_after_all_is_too_large(
    engine: Any, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from brain_server.llama_worker import engine as module  # noqa: PLC0415 - the same

    def no_context(*_: Any, **__: Any) -> None:
        raise ValueError("Failed to create llama_context")

    monkeypatch.setattr(module.llama, "Llama", no_context)
    path = str(data_dir / "models/tiny.gguf")
    with pytest.raises(ProviderError) as caught:
        module.Engine(Load(path=path, context=512, threads=1), lambda: False)
    assert caught.value.code == "model_too_large"
    assert caught.value.fields["needs_mb"] == 1


@pytest.mark.llama
@pytest.mark.parametrize(("system", "repacks"), [("AMX_INT8 = 1 | ", False), ("AVX = 1 | ", True)])
def test_only_a_build_with_amx_is_kept_from_repacking(system: str, repacks: bool) -> None:
    from brain_server.llama_worker.engine import without_matrix_tiles  # noqa: PLC0415 - the same

    library = SimpleNamespace(
        llama_print_system_info=system.encode,
        llama_model_default_params=lambda: SimpleNamespace(use_extra_bufts=True),
    )
    without_matrix_tiles(library)
    assert library.llama_model_default_params().use_extra_bufts is repacks


# -- the keeper, with a process that behaves oddly ----------------------------------------------------


@pytest.fixture
def instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give a way to start another program instead of the process of a model."""

    def set_program(body: str) -> None:
        program = tmp_path / "instead"
        program.write_text(
            f"#!{sys.executable}\n"
            "import socket, sys, time\n"
            "from brain_server.llama_worker.wire import *\n"
            "brain = socket.socket(fileno=int(sys.argv[-1]))\n"
            "stream = brain.makefile('rb')\n"
            "def say(answer): brain.sendall(packed(answer))\n"
            f"{body}\n",
            "utf-8",
        )
        program.chmod(0o755)
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        monkeypatch.setattr(subprocesses, "sys", SimpleNamespace(executable=str(program)))

    return set_program


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ("say(Done(id=0, tokens_in=0, tokens_out=0, finish='stop'))", "provider_invalid", "answered"),
        ("brain.sendall(b'\\0\\0\\0\\2xx')", "model_crashed", "exit 0"),
        ("print('GGML_ASSERT: no', file=sys.stderr); sys.exit(3)", "model_crashed", "exit 3"),
    ],
)  # fmt: skip
async def test_a_process_that_does_not_load_is_told(
    data_dir: Path, instead: Any, body: str, code: str, words: str
) -> None:
    instead(body)
    async with local(data_dir) as llama:
        with pytest.raises(ProviderError, match=words) as caught:
            await parts_of(llama.stream(question()))
        assert llama.children[0].pid is None
    assert caught.value.code == code


async def test_what_a_process_complained_about_is_in_the_log_of_its_crash(
    data_dir: Path, instead: Any, caplog: pytest.LogCaptureFixture
) -> None:
    instead("print('GGML_ASSERT: no', file=sys.stderr, flush=True); time.sleep(0.2); sys.exit(3)")
    async with local(data_dir) as llama:
        with pytest.raises(ProviderError):
            await parts_of(llama.stream(question()))
    (record,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert record.message == "tiny.gguf crashed (exit 3)"
    assert vars(record)["stderr"] == "GGML_ASSERT: no\n"


ODD = "next_order(stream); say(Loaded(context=9)); next_order(stream)\n"


async def test_an_answer_of_the_wrong_kind_is_told(data_dir: Path, instead: Any) -> None:
    instead(f"{ODD}say(Vectors(id=1, width=1, data=b''))")
    async with local(data_dir) as llama:
        with pytest.raises(ProviderError, match="something else") as caught:
            await parts_of(llama.stream(question()))
    assert caught.value.code == "provider_invalid"


async def test_vectors_of_the_wrong_kind_are_told(data_dir: Path, instead: Any) -> None:
    instead(f"{ODD}say(Done(id=1, tokens_in=0, tokens_out=0, finish='stop'))")
    async with local(data_dir, uses=frozenset({Use.EMBEDDING})) as llama:
        with pytest.raises(ProviderError, match="something else") as caught:
            await llama.embed(["x"])
    assert caught.value.code == "provider_invalid"


async def test_a_process_that_hangs_up_while_it_is_asked_has_crashed(
    data_dir: Path, instead: Any
) -> None:
    instead(
        "next_order(stream); say(Loaded(context=9)); stream.close(); brain.close(); time.sleep(1)"
    )
    async with local(data_dir) as llama:
        with pytest.raises(ProviderError) as caught:
            await parts_of(llama.stream(question("x" * 10_000_000)))
    assert caught.value.code == "model_crashed"


async def test_an_answer_that_is_left_between_head_and_body_is_still_understood(
    data_dir: Path, instead: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brain_server.providers.llama_cpp.child.CANCEL_S", SOON)
    instead(
        f"{ODD}piece = packed(Piece(text='a', logprobs=()))\n"
        "brain.sendall(piece[:4]); cancel = next_order(stream); brain.sendall(piece[4:])\n"
        "say(Done(id=cancel.id, tokens_in=0, tokens_out=0, finish='cancelled'))\n"
        "stream.read(1)"
    )
    async with local(data_dir) as llama:
        asking = asyncio.get_running_loop().create_task(parts_of(llama.stream(question())))
        await until(lambda: llama.children[0]._head is not None, "the head")
        pid = llama.children[0].pid
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert pid is not None
        assert llama.children[0].pid == pid


@pytest.mark.llama
async def test_a_process_that_dies_while_it_is_stopped_harms_nobody(data_dir: Path) -> None:
    async with local(data_dir, context=LONG + 500) as llama:
        stream = llama.stream(question(max_tokens=LONG))
        assert isinstance(await anext(stream), Words)
        pid = llama.children[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(0.05)
        await stream.aclose()
        assert usage_of(await parts_of(llama.stream(question(max_tokens=2)))).tokens_out == 2


def test_every_answer_survives_the_wire() -> None:
    answers: list[Answer] = [
        Loaded(context=1),
        Done(id=1, tokens_in=2, tokens_out=3, finish="stop"),
        Vectors(id=1, width=1, data=b"\0\0\0\0"),
        Failed(id=1, code="x", message="y", fields={"a": 1}),
    ]
    assert [answer_from(packed(one)[LENGTH:]) for one in answers] == answers


# -- the queue ----------------------------------------------------------------------------------------


async def test_the_lowest_priority_goes_first_then_who_came_first() -> None:
    slots, order = Slots(["one"]), []

    async def wait(name: str, priority: int) -> None:
        thing = await slots.take(priority)
        order.append(name)
        slots.give(thing)

    thing = await slots.take(0)
    async with asyncio.TaskGroup() as group:
        for name, priority in (("job", 9), ("chat", 0), ("second job", 9), ("second chat", 0)):
            group.create_task(wait(name, priority))
        await asyncio.sleep(0)
        assert slots.waiting == 4
        slots.give(thing)
    assert order == ["chat", "second chat", "job", "second job"]


async def test_who_stops_waiting_is_passed_over() -> None:
    slots = Slots(["one"])
    thing = await slots.take(0)
    tasks = [asyncio.get_running_loop().create_task(slots.take(0)) for _ in range(2)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    await asyncio.sleep(0)
    slots.give(thing)
    assert await tasks[1] == "one"
    assert tasks[0].cancelled()


async def test_what_was_given_to_somebody_who_left_is_not_lost() -> None:
    slots = Slots(["one"])
    thing = await slots.take(0)
    task = asyncio.get_running_loop().create_task(slots.take(0))
    await asyncio.sleep(0)
    slots.give(thing)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await slots.take(0) == "one"
