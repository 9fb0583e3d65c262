"""Answers the brain on the socket whose number is the one argument; ends when the brain hangs up."""

from contextlib import suppress
import os
from pathlib import Path
from queue import SimpleQueue
import socket
import sys
import threading
from typing import TYPE_CHECKING, Final

from brain_server.errors import DeviceError
from brain_server.vision_worker.wire import (
    Answer,
    Failed,
    Judge,
    Load,
    Look,
    Order,
    next_order,
    packed,
)

if TYPE_CHECKING:
    from brain_server.vision_worker.network import Network
    from brain_server.vision_worker.stream import Stream

# When memory runs out, the kernel shall take this process and leave the brain.
OOM_SCORE: Final = "700"
NICE: Final = 5
# How long a call into a library may go on when the brain has gone.
GRACE_S: Final = 0.5


class Worker:
    """One stream or one network, and the socket to the brain."""

    def __init__(self, channel: socket.socket, grace_s: float = GRACE_S) -> None:
        """Take the socket; nothing is open yet."""
        self._channel = channel
        self._grace_s = grace_s
        self._ended = threading.Event()
        self._orders: SimpleQueue[Order | None] = SimpleQueue()
        self._stream: Stream | None = None
        self._network: Network | None = None

    def run(self) -> None:
        """Answer until the brain hangs up."""
        threading.Thread(target=self._listen, daemon=True).start()
        with suppress(BrokenPipeError, ConnectionResetError):
            while (order := self._orders.get()) is not None:
                self._channel.sendall(packed(self.answer(order)))
        self._ended.set()

    def answer(self, order: Order) -> Answer:
        """Do what an order says; what fails is an answer, too."""
        try:
            match order:
                case Look():
                    return self._look(order)
                case Load():
                    return self._load(order)
                case Judge():
                    return self._judge(order)
        except DeviceError as err:
            return Failed(code=err.code, message=err.message, fields=err.fields)

    def _listen(self) -> None:
        """Take in orders; when the brain has gone, end what a library is waiting for, too."""
        stream = self._channel.makefile("rb")
        with suppress(ConnectionResetError):
            while (order := next_order(stream)) is not None:
                self._orders.put(order)
        self._orders.put(None)
        if not self._ended.wait(self._grace_s):
            os._exit(1)

    def _look(self, order: Look) -> Answer:
        from brain_server.vision_worker.stream import Stream  # noqa: PLC0415 - libav, in this process only

        if self._stream is None or self._stream.ended:
            self._stream = Stream(order.url, order.seconds, verify_ssl=order.verify_ssl)
        return self._stream.look(order.seconds)

    def _judge(self, order: Judge) -> Answer:
        if self._network is None:
            raise DeviceError(
                "detector_unusable", "No network is loaded", reason="no network is loaded"
            )
        return self._network.judge(order.image)

    def _load(self, order: Load) -> Answer:
        try:
            from brain_server.vision_worker.network import Network  # noqa: PLC0415 - onnxruntime, in this process only
        except ImportError as err:
            raise DeviceError(
                "detector_unusable",
                "Install kitty-brain[detector] to use a network",
                reason="onnxruntime is not installed",
            ) from err
        self._network = Network(Path(order.path), threads=order.threads)
        return self._network.loaded


def step_back() -> None:
    """Let the brain go first, for the processor and for memory."""
    os.nice(NICE)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE, "ascii")


if __name__ == "__main__":
    step_back()
    with socket.socket(fileno=int(sys.argv[1])) as brain:
        Worker(brain).run()
    os._exit(0)  # a thread of libav may still read, and would be torn down under its own feet
