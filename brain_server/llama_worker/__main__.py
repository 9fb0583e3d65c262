"""Answers the brain on the socket whose number is the one argument; ends when the brain hangs up."""

from contextlib import suppress
import math
import os
from pathlib import Path
from queue import SimpleQueue
import socket
import sys
import threading
from typing import TYPE_CHECKING, Final

from brain_server.errors import ProviderError
from brain_server.llama_worker.wire import (
    Answer,
    Ask,
    Cancel,
    Embed,
    Failed,
    Load,
    Order,
    next_order,
    packed,
)

if TYPE_CHECKING:
    from brain_server.llama_worker.engine import Engine

type Request = Load | Ask | Embed

# How long a call into llama.cpp may go on when the brain has gone.
GRACE_S: Final = 5.0
# When memory runs out, the kernel shall take the model and leave the brain.
OOM_SCORE: Final = "500"
NICE: Final = 5


class Worker:
    """One model and the socket to the brain."""

    def __init__(self, channel: socket.socket, grace_s: float = GRACE_S) -> None:
        """Take the socket; nothing is loaded yet."""
        self._channel = channel
        self._stream = channel.makefile("rb")
        self._orders: SimpleQueue[Request | None] = SimpleQueue()
        self._grace_s = grace_s
        self._ended = threading.Event()
        # Requests up to this number are to be left; infinity when the brain has gone.
        self._left: float = -1
        self._current = 0
        self._engine: Engine | None = None

    def run(self) -> None:
        """Answer until the brain hangs up."""
        threading.Thread(target=self._listen, daemon=True).start()
        with suppress(BrokenPipeError, ConnectionResetError):
            while (order := self._orders.get()) is not None:
                self._answer(order)
        if self._engine is not None:
            self._engine.close()
        self._ended.set()

    def stopped(self) -> bool:
        """Say whether nobody wants the present answer any more."""
        return self._left >= self._current

    def _listen(self) -> None:
        """Take in orders while a model works, so that it can be stopped at any time."""
        while (order := self._heard()) is not None:
            if isinstance(order, Cancel):
                self._left = max(self._left, order.id)
            else:
                self._orders.put(order)
        self._left = math.inf
        self._orders.put(None)
        if not self._ended.wait(self._grace_s):
            os._exit(1)

    def _heard(self) -> Order | None:
        try:
            return next_order(self._stream)
        except ConnectionResetError:
            return None

    def _answer(self, order: Request) -> None:
        self._current = number = 0 if isinstance(order, Load) else order.id
        try:
            match order:
                case Load():
                    self._load(order)
                case Ask():
                    for part in self._model().ask(order):
                        self._say(part)
                case _:
                    self._say(self._model().embed(order))
        except ProviderError as err:
            self._say(Failed(id=number, code=err.code, message=err.message, fields=err.fields))

    def _load(self, order: Load) -> None:
        # llama.cpp is imported in this process only, and only when a model is wanted.
        try:
            from brain_server.llama_worker.engine import Engine  # noqa: PLC0415 - llama.cpp itself, once the process is ready for it
        except ImportError as err:
            raise ProviderError(
                "provider_unreachable", "llama-cpp-python is not installed"
            ) from err
        self._engine = Engine(order, self.stopped)
        self._say(self._engine.loaded)

    def _model(self) -> Engine:
        if self._engine is None:
            raise ProviderError("model_loading", "The model is not loaded")
        return self._engine

    def _say(self, answer: Answer) -> None:
        self._channel.sendall(packed(answer))


def step_back() -> None:
    """Let the brain go first, for the processor and for memory."""
    os.nice(NICE)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE, "ascii")


if __name__ == "__main__":
    step_back()
    with socket.socket(fileno=int(sys.argv[1])) as brain:
        Worker(brain).run()
