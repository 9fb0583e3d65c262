"""Judging by a network in a process of its own: its verdicts, its alarms, and what happens when it breaks."""

import asyncio
from collections.abc import AsyncIterator, Iterator
import errno
import os
from pathlib import Path
import signal
import socket
import sys
import threading
from typing import Any

import numpy as np
import pytest

from brain_server.errors import DeviceError
from brain_server.observability import Tasks
from brain_server.vision.detect import Detectors, judged
from brain_server.vision_worker.__main__ import Worker
from brain_server.vision_worker.child import Child
from brain_server.vision_worker.stream import Stream
from brain_server.vision_worker.wire import (
    LENGTH,
    Answer,
    Failed,
    Judge,
    Judged,
    Load,
    Loaded,
    Look,
    Order,
    Seen,
    answer_from,
    length_of,
    packed,
)
from tests.brain.home import until
from tests.brain.soon import SOON
from tests.brain.vision.conftest import Shop, opened
from tests.standins.mjpeg_camera import jpeg, scene
from tests.standins.onnx_network import train, write_giving
from tests.standins.rtsp_camera import PYTHON, RtspCamera, is_installed

SPAGHETTI = jpeg(scene(3, spaghetti=True))
FINE = jpeg(scene(3))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a network that learned what spaghetti looks like."""
    folder = tmp_path_factory.mktemp("models")
    train(folder / "learned.onnx")
    return folder


@pytest.fixture
async def detectors(models: Path) -> AsyncIterator[Detectors]:
    """Give what judges by the networks of that folder."""
    made = Detectors(models)
    yield made
    await made.stop()


# -- verdicts -----------------------------------------------------------------------------------------


async def test_a_network_tells_spaghetti_from_a_part(detectors: Detectors) -> None:
    bad = await detectors.by_file("learned.onnx", SPAGHETTI)
    good = await detectors.by_file("learned.onnx", FINE)
    assert (bad.word, bad.what, bad.by) == ("spaghetti", "spaghetti", "file")
    assert (good.word, good.what, good.by) == ("fine", None, "file")
    assert bad.failing > 0.5 > good.failing
    assert good.confidence == pytest.approx(1 - good.failing)


async def test_a_whole_path_is_taken_too(detectors: Detectors, models: Path) -> None:
    assert (await detectors.by_file(str(models / "learned.onnx"), SPAGHETTI)).word == "spaghetti"


async def test_a_network_that_cannot_be_used_says_why(detectors: Detectors) -> None:
    with pytest.raises(DeviceError) as caught:
        await detectors.by_file("missing.onnx", FINE)
    assert caught.value.code == "detector_unusable"
    assert caught.value.fields["reason"] == "missing.onnx cannot be read"


async def test_a_picture_that_cannot_be_read_is_told(detectors: Detectors) -> None:
    with pytest.raises(DeviceError) as caught:
        await detectors.by_file("learned.onnx", b"no picture")
    assert caught.value.code == "bad_picture"


async def test_a_network_that_crashed_is_loaded_again(detectors: Detectors) -> None:
    await detectors.by_file("learned.onnx", FINE)
    (child,) = detectors._children.values()
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(DeviceError) as caught:
        await detectors.by_file("learned.onnx", FINE)
    assert caught.value.code == "vision_crashed"
    assert (await detectors.by_file("learned.onnx", SPAGHETTI)).word == "spaghetti"


def loaded(form: str) -> Loaded:
    """Return a network with two kinds of failure."""
    labels = ("ok", "spaghetti", "Nozzle Clog")
    return Loaded(labels=labels, failures=labels[1:], form=form)


def test_shares_of_several_failures_add_up() -> None:
    verdict = judged({"ok": 0.3, "spaghetti": 0.3, "Nozzle Clog": 0.4}, loaded("classes"))
    assert (verdict.word, verdict.what) == ("clog", "Nozzle Clog")
    assert verdict.confidence == pytest.approx(0.7)


def test_of_boxes_only_the_surest_counts() -> None:
    verdict = judged({"ok": 0.9, "spaghetti": 0.3, "Nozzle Clog": 0.4}, loaded("boxes"))
    assert (verdict.word, verdict.confidence, verdict.failing) == ("fine", 0.6, 0.4)


# -- in the workshop ----------------------------------------------------------------------------------


@pytest.fixture
async def shop(tmp_path: Path, models: Path) -> AsyncIterator[Shop]:
    """Give a workshop that uses the network without anybody's choice."""
    async with opened(tmp_path, detector=str(models / "learned.onnx")) as made:
        await made.furnish()
        yield made


async def test_a_network_comes_before_a_model(shop: Shop) -> None:
    await shop.prints()
    row = await shop.looks()
    assert (row["verdict"], row["detector"]) == ("fine", "file")
    assert shop.mind.asked == []


async def test_a_network_raises_the_alarm(shop: Shop) -> None:
    await shop.prints()
    await shop.looks(2)
    await shop.looks(3, spaghetti=True)
    (incident,) = await shop.incidents()
    assert (incident["type"], incident["detail"]) == ("spaghetti_detected", "spaghetti")


async def test_a_model_is_asked_where_a_person_wants_it(shop: Shop) -> None:
    await shop.chooses(detector="model")
    await shop.prints()
    assert (await shop.looks())["detector"] == "model"


async def test_a_network_that_disappears_makes_the_verdict_unknown_and_never_fine(
    shop: Shop, tmp_path: Path
) -> None:
    path = tmp_path / "mine.onnx"
    write_giving(path, np.array([[0.9, 0.1]]), names=("ok", "spaghetti"))
    await shop.chooses(file=str(path))
    await shop.vision.detectors.stop()
    path.unlink()
    await shop.prints()
    row = await shop.looks()
    assert (row["verdict"], row["what"], row["detector"]) == (
        "unknown",
        "detector_unusable",
        "file",
    )


async def test_a_file_that_is_no_network_is_not_taken(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "bad.onnx").write_bytes(b"no network")
    with pytest.raises(DeviceError) as caught:
        await shop.chooses(file="bad.onnx")
    assert caught.value.code == "detector_unusable"
    assert shop.row()["settings"]["file"] is None


async def test_another_file_of_the_same_name_is_loaded_when_it_is_chosen_again(
    shop: Shop, tmp_path: Path
) -> None:
    path = tmp_path / "mine.onnx"
    await shop.prints()
    write_giving(path, np.array([[0.9, 0.1]]), names=("ok", "spaghetti"))
    await shop.chooses(file=str(path))
    assert (await shop.looks())["verdict"] == "fine"
    write_giving(path, np.array([[0.1, 0.9]]), names=("ok", "spaghetti"))
    await shop.chooses(file=str(path))
    assert (await shop.looks())["verdict"] == "spaghetti"


async def test_without_a_file_the_file_judges_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as shop:
        await shop.furnish()
        await shop.chooses(detector="file")
        await shop.prints()
        row = await shop.looks()
    assert (row["verdict"], row["what"]) == ("unknown", "no_file")


async def test_without_a_model_nobody_judges(tmp_path: Path) -> None:
    async with opened(tmp_path) as shop:
        await shop.furnish()
        shop.vision.detectors.ask = None
        await shop.prints()
        row = await shop.looks()
    assert (row["health"], row["verdict"]) == ("ok", None)


async def test_who_only_reads_hears_what_a_network_says(shop: Shop) -> None:
    shop.camera.picture = SPAGHETTI
    seen = await shop.call("vision.look", device_id=shop.camera_id)
    assert (seen["verdict"], seen["detector"]) == ("spaghetti", "file")


# -- the process --------------------------------------------------------------------------------------


@pytest.fixture
async def child() -> AsyncIterator[Child]:
    """Give a process that does not rest while a test lasts."""
    made = Child(idle_s=600)
    yield made
    await made.stop()


def lives(pid: int) -> bool:
    """Tell whether there is such a process."""
    return Path(f"/proc/{pid}").exists()


async def test_a_process_ends_when_nobody_asks(models: Path) -> None:
    child = Child(idle_s=0.1)
    await child.ask(Load(path=str(models / "learned.onnx")), Loaded, SOON)
    pid = child.pid
    assert pid is not None
    await until(lambda: not lives(pid), "the end of the process")
    assert child.pid is None


async def test_a_process_has_no_settings_of_the_brain(
    child: Child, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KITTY_TOKEN", "secret")
    await child.ask(Load(path=str(models / "learned.onnx")), Loaded, SOON)
    environment = await asyncio.to_thread(Path(f"/proc/{child.pid}/environ").read_bytes)
    assert b"KITTY_TOKEN" not in environment
    assert b"learned" not in await asyncio.to_thread(Path(f"/proc/{child.pid}/cmdline").read_bytes)


async def test_a_process_whose_asker_went_away_is_not_asked_again(
    child: Child, models: Path
) -> None:
    load = Load(path=str(models / "learned.onnx"))
    await child.ask(load, Loaded, SOON)
    pid = child.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await child.ask(load, Loaded, SOON)
    assert not lives(pid)
    await child.ask(load, Loaded, SOON)
    assert child.pid not in {pid, None}


async def test_a_process_that_does_not_end_by_itself_is_killed(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brain_server.vision_worker.child.STOP_S", 0.1)
    child = Child(idle_s=10)
    await child.ask(Load(path=str(models / "learned.onnx")), Loaded, SOON)
    pid = child.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    await child.stop()
    await child.stop()
    assert not lives(pid)


# -- its inside ---------------------------------------------------------------------------------------


class Line:
    """A worker in a thread of this process, and the other end of its socket."""

    def __init__(self) -> None:
        """Start it."""
        self.mine, theirs = socket.socketpair()
        self.worker = Worker(theirs, grace_s=0.2)
        self.thread = threading.Thread(target=self._run, args=(theirs,))
        self.thread.start()

    def _run(self, theirs: socket.socket) -> None:
        with theirs:
            self.worker.run()

    def say(self, order: Order) -> Answer:
        """Return the answer to an order."""
        self.mine.sendall(packed(order))
        with self.mine.makefile("rb") as stream:
            return answer_from(stream.read(length_of(stream.read(LENGTH))))


@pytest.fixture
def line() -> Iterator[Line]:
    """Give a worker, and hang up at the end."""
    made = Line()
    yield made
    made.mine.close()
    made.thread.join()


def test_a_worker_answers_until_the_brain_hangs_up(line: Line) -> None:
    first = line.say(Judge(image=SPAGHETTI))
    second = line.say(Load(path="missing.onnx"))
    line.mine.close()
    line.thread.join(SOON)
    assert not line.thread.is_alive()
    assert isinstance(first, Failed)
    assert isinstance(second, Failed)


def test_a_worker_that_hangs_in_a_library_is_ended_when_the_brain_has_gone(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int] = []
    done = threading.Event()
    monkeypatch.setattr(os, "_exit", lambda code: (ended.append(code), done.set()))
    free = threading.Event()

    def hang(_order: Order) -> Answer:
        free.wait(SOON)
        return Failed(code="late", message="")

    monkeypatch.setattr(line.worker, "answer", hang)
    line.mine.sendall(packed(Judge(image=b"")))
    line.mine.close()
    done.wait(SOON)
    free.set()
    assert ended == [1]


async def test_the_brain_goes_first(child: Child, models: Path) -> None:
    await child.ask(Load(path=str(models / "learned.onnx")), Loaded, SOON)
    assert child.pid is not None
    assert os.getpriority(os.PRIO_PROCESS, child.pid) == os.getpriority(os.PRIO_PROCESS, 0) + 5
    score = await asyncio.to_thread(Path(f"/proc/{child.pid}/oom_score_adj").read_text)
    assert int(score) == 700


async def test_an_answer_of_another_kind_is_no_answer(child: Child, models: Path) -> None:
    with pytest.raises(DeviceError) as caught:
        await child.ask(Load(path=str(models / "learned.onnx")), Seen, 10)
    assert caught.value.code == "vision_crashed"


@pytest.fixture
def worker() -> Worker:
    """Give the inside of a process that nobody talks to."""
    nobody: Any = None
    return Worker(nobody)


def test_orders_are_answered_in_the_words_of_the_wire(worker: Worker, models: Path) -> None:
    assert isinstance(worker.answer(Load(path=str(models / "learned.onnx"))), Loaded)
    answer = worker.answer(Judge(image=SPAGHETTI))
    assert isinstance(answer, Judged)
    assert answer.scores.keys() == {"ok", "spaghetti"}


def test_a_picture_before_any_network_is_refused(worker: Worker) -> None:
    answer = worker.answer(Judge(image=SPAGHETTI))
    assert isinstance(answer, Failed)
    assert answer.code == "detector_unusable"


def test_without_onnxruntime_it_says_what_to_install(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "brain_server.vision_worker.network", None)
    answer = worker.answer(Load(path="x.onnx"))
    assert isinstance(answer, Failed)
    assert "kitty-brain[detector]" in answer.message


@pytest.fixture(scope="module")
def rtsp() -> Iterator[RtspCamera]:
    """Start a camera."""
    if not is_installed():
        pytest.skip(f"No GStreamer under {PYTHON}")
    camera = RtspCamera()
    camera.start()
    yield camera
    camera.kill()


@pytest.mark.service
async def test_a_stream_that_ended_is_opened_again(worker: Worker, rtsp: RtspCamera) -> None:
    look = Look(url=rtsp.url, seconds=5)
    assert isinstance(await asyncio.to_thread(worker.answer, look), Seen)
    first = worker._stream
    assert first is not None
    await asyncio.to_thread(rtsp.kill)
    await until(lambda: first.ended, "the end of the stream")
    gone = await asyncio.to_thread(worker.answer, look)
    await asyncio.to_thread(rtsp.start)
    again = await asyncio.to_thread(worker.answer, look)
    assert isinstance(gone, Failed)
    assert gone.code == "cannot_connect"
    assert isinstance(again, Seen)


@pytest.mark.service
def test_a_stream_without_a_picture_in_time_is_told(worker: Worker, rtsp: RtspCamera) -> None:
    answer = worker.answer(Look(url=rtsp.url, seconds=0.001))
    assert isinstance(answer, Failed)
    assert answer.code in {"no_picture", "cannot_connect"}


async def test_a_stream_that_comes_to_its_end_says_so(tmp_path: Path) -> None:
    still = tmp_path / "still.jpg"
    still.write_bytes(FINE)
    stream = await asyncio.to_thread(Stream, str(still), 5, verify_ssl=True)
    await until(lambda: stream.ended, "its end")
    with pytest.raises(DeviceError) as caught:
        stream.look(0.1)
    assert (stream.ended, caught.value.code) == (True, "camera_failed")


async def test_without_anybody_to_ask_a_picture_is_unknown(tmp_path: Path) -> None:
    verdict = await Detectors(tmp_path).by_model(FINE, None)
    assert (verdict.word, verdict.what, verdict.by) == ("unknown", "no_model", None)


async def test_who_goes_away_while_a_process_is_started_is_called_off_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There is no line to it yet on which to hang up."""
    reached = asyncio.Event()

    async def connecting(*, sock: socket.socket) -> None:
        reached.set()
        with sock:
            await asyncio.Event().wait()

    monkeypatch.setattr(asyncio, "open_connection", connecting)
    child = Child(idle_s=60)
    look = Look(url="rtsp://127.0.0.1:1/", verify_ssl=True, seconds=1)
    asking = Tasks().start("asking", child.ask(look, Seen, SOON))
    await reached.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert child.pid is None


async def test_a_machine_without_room_for_a_process_has_no_picture_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever looks is told as of any other camera that fails."""

    async def full(*_command: Any, **_more: Any) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", full)
    child = Child(idle_s=60)
    with pytest.raises(DeviceError) as caught:
        await child.ask(Look(url="rtsp://127.0.0.1:1/", verify_ssl=True, seconds=1), Seen, SOON)
    assert caught.value.code == "vision_crashed"
    assert child.pid is None
