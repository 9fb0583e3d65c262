"""The process of one local model, as the brain sees it: started when needed, asked one thing at a time."""

import asyncio
import itertools
import logging
import math
from pathlib import Path
import signal
import time
from typing import Final

import msgspec

from brain_server import subprocesses
from brain_server.errors import ProviderError
from brain_server.llama_worker import room
from brain_server.llama_worker.wire import (
    LENGTH,
    Answer,
    Cancel,
    Done,
    Failed,
    Load,
    Loaded,
    Order,
    Vectors,
    answer_from,
    length_of,
    packed,
)
from brain_server.observability import Tasks
from brain_server.retry import backoff

_LOGGER = logging.getLogger(__name__)

# How long a request waits for a model that is being loaded, before others are asked instead.
LOAD_PATIENCE_S: Final = 20.0
# How long a request that nobody wants may go on, before its process is ended.
CANCEL_S: Final = 0.8
STOP_S: Final = 2.0
# After so many crashes in a row it is left alone for a while.
PATIENCE: Final = 2
_ERRORS_KEPT: Final = 2000


class Child:
    """One process; whoever has taken it is the only one to use it."""

    def __init__(
        self, load: Load, tasks: Tasks, *, idle_s: float = 0, root: Path = Path("/")
    ) -> None:
        """Say what it loads, and how long it may be idle (0: for ever); nothing runs yet."""
        self._load = load
        self._tasks = tasks
        self._idle_s = idle_s
        self._root = root
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter
        self._loading: asyncio.Task[ProviderError | None] | None = None
        self._rest: asyncio.TimerHandle | None = None
        self._ids = itertools.count(1)
        # The request whose end has not been seen, and the frame of which only the head has.
        self._open: int | None = None
        self._head: bytes | None = None
        self._errors = ""
        self._crashes = 0
        self._waits = backoff(1.0, 60.0)
        self._not_before = 0.0
        self._is_closed = False

    @property
    def pid(self) -> int | None:
        """Return the number of the process, None while there is none."""
        return self._process.pid if self._process else None

    def next_id(self) -> int:
        """Return a number for a request; they rise."""
        return next(self._ids)

    async def ready(self, patience_s: float | None = LOAD_PATIENCE_S) -> None:
        """Wait until the model is loaded, starting that if need be; ``model_loading`` when it takes long."""
        if self._is_closed:
            raise self._away()
        task = self._start()
        done, _ = await asyncio.wait({task}, timeout=patience_s)
        if not done:
            raise ProviderError("model_loading", f"{self._name} is still being loaded")
        if task.cancelled():  # by who closes the provider: whoever asked was not called off
            raise self._away()
        if (error := task.result()) is not None:
            raise error
        self._wake()

    def _start(self) -> asyncio.Task[ProviderError | None]:
        """Begin to load the model, unless it is loaded or being loaded."""
        self._wake()
        ended = self._process is None or self._process.returncode is not None
        if self._loading is None or (self._loading.done() and ended):
            self._drop()  # it may have ended while nobody asked
            self._loading = self._tasks.start("llama load", self._loaded())
        return self._loading

    async def send(self, order: Order) -> None:
        """Ask something; ``model_crashed`` when nobody is there."""
        if not isinstance(order, Load | Cancel):
            self._open = order.id
        try:
            self._writer.write(packed(order))
            await self._writer.drain()
        except ConnectionError as err:
            raise await self._crash() from err

    async def receive(self) -> Answer:
        """Wait for what it says next; raises what has failed, or ``model_crashed``."""
        try:
            if self._head is None:
                self._head = await self._reader.readexactly(LENGTH)
            answer = answer_from(await self._reader.readexactly(length_of(self._head)))
        except (asyncio.IncompleteReadError, ConnectionError, msgspec.MsgspecError) as err:
            raise await self._crash() from err
        self._head = None
        if isinstance(answer, Done | Vectors | Failed):
            self._open = None
            self._crashes, self._waits = 0, backoff(1.0, 60.0)
        if isinstance(answer, Failed):
            raise ProviderError(answer.code, answer.message, **answer.fields)
        return answer

    async def calm(self) -> None:
        """End a request that nobody wants any more, the process too if it does not listen."""
        if self._open is None:
            return
        number = self._open
        try:
            async with asyncio.timeout(CANCEL_S):
                await self.send(Cancel(id=number))
                while self._open is not None:
                    await self.receive()
        except TimeoutError:
            _LOGGER.warning("%s did not stop in time; it is started again when needed", self._name)
            await self.stop()
        except ProviderError as err:
            _LOGGER.info("%s ended while it was stopped: %s", self._name, err.message)

    def let_rest(self) -> None:
        """Give the memory back when nobody asks for a while."""
        if self._idle_s and self._process is not None:
            loop = asyncio.get_running_loop()
            self._rest = loop.call_later(self._idle_s, self._fall_asleep)

    async def stop(self) -> None:
        """End the process."""
        await _end(self._drop())

    async def close(self) -> None:
        """End the process; whoever still waits for it starts no other."""
        self._is_closed = True
        await self.stop()

    @property
    def _name(self) -> str:
        return Path(self._load.path).name

    def _away(self) -> ProviderError:
        return ProviderError("provider_cut_off", f"{self._name} was put away")

    def _wake(self) -> None:
        if self._rest is not None:
            self._rest.cancel()

    def _fall_asleep(self) -> None:
        self._tasks.start("llama rest", _end(self._drop()))

    async def _loaded(self) -> ProviderError | None:
        """Start the process and load the model; returns what went wrong, for whoever waits."""
        wait = self._not_before - time.monotonic()
        if wait > 0:
            return ProviderError(
                "model_crashed",
                f"{self._name} crashed {self._crashes} times; it is left alone for a while",
                retry_after=math.ceil(wait),
            )
        eyes = Path(self._load.eyes) if self._load.eyes else None
        try:
            await asyncio.to_thread(
                room.require, Path(self._load.path), self._load.context, eyes=eyes, root=self._root
            )
            await self._spawn()
            await self.send(self._load)
            answer = await self.receive()
        except ProviderError as err:
            await self.stop()
            return err
        except OSError as err:  # there are no more processes, files or memory to be had
            await self.stop()
            words = f"{self._name} cannot be started: {err.strerror}"
            return ProviderError("provider_unreachable", words)
        except asyncio.CancelledError:
            await self.stop()
            raise
        if isinstance(answer, Loaded):
            self.let_rest()
            return None
        await self.stop()
        return ProviderError("provider_invalid", f"{self._name} answered something else")

    async def _spawn(self) -> None:
        line = await subprocesses.start_on_line(
            "brain_server.llama_worker", stderr=asyncio.subprocess.PIPE
        )
        # At once: whoever puts the process away hangs up on it.
        self._process, self._reader, self._writer = line
        self._head, self._errors = None, ""
        assert self._process.stderr is not None  # noqa: S101 - asked for above
        self._tasks.start("llama errors", self._keep_errors(self._process.stderr))

    async def _keep_errors(self, stream: asyncio.StreamReader) -> None:
        """Keep the end of what the process complains about, for the log of a crash."""
        while data := await stream.read(_ERRORS_KEPT):
            self._errors = (self._errors + data.decode("utf-8", "replace"))[-_ERRORS_KEPT:]

    def _drop(self) -> asyncio.subprocess.Process | None:
        """Hang up, at once; returns the process, which then ends."""
        self._wake()
        process, self._process = self._process, None
        self._loading = self._open = self._head = None
        if process is not None:
            self._writer.close()
        return process

    async def _crash(self) -> ProviderError:
        """Clean up after a process that has gone, and return the error for whoever waited for it."""
        code = await _end(self._drop())
        if code is None:
            return self._away()
        self._crashes += 1
        if self._crashes >= PATIENCE:
            self._not_before = time.monotonic() + next(self._waits)
        ended = signal.Signals(-code).name if code < 0 else f"exit {code}"
        _LOGGER.error("%s crashed (%s)", self._name, ended, extra={"stderr": self._errors})
        return ProviderError("model_crashed", f"{self._name} crashed ({ended})", ended=ended)


async def _end(process: asyncio.subprocess.Process | None) -> int | None:
    """Wait for a process that was hung up on, not for long; returns its code, None where there is none."""
    if process is None:
        return None
    try:
        async with asyncio.timeout(STOP_S):
            return await process.wait()
    except TimeoutError:
        process.kill()
        return await process.wait()
