"""A process of vision, as the brain sees it: started when needed, asked one thing at a time, ended when it hangs."""

import asyncio
import signal
from typing import Final

import msgspec

from brain_server import subprocesses
from brain_server.errors import DeviceError
from brain_server.vision_worker.wire import (
    LENGTH,
    Answer,
    Failed,
    Load,
    Order,
    answer_from,
    length_of,
    packed,
)

# How much longer than an order allows the process may take before it counts as hung.
GRACE_S: Final = 1.0
STOP_S: Final = 2.0


class Child:
    """One process that runs only while somebody asks, and for some seconds after."""

    def __init__(self, *, idle_s: float, first: Load | None = None) -> None:
        """Say how long it may be idle, and what it is told when it starts; nothing runs yet."""
        self._idle_s = idle_s
        self._first = first
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter
        self._one_at_a_time = asyncio.Lock()
        self._rest: asyncio.TimerHandle | None = None

    @property
    def pid(self) -> int | None:
        """Return the number of the process, None while there is none."""
        return self._process.pid if self._process else None

    async def ask[T](self, order: Order, kind: type[T], limit: float) -> T:
        """Return the answer; DeviceError with the code of what failed, ``vision_hung`` or ``vision_crashed``.

        A process that does not answer in ``limit`` seconds and a bit is killed, and so is one whose
        asker goes away: its answer would be taken for that of the next order.
        """
        async with self._one_at_a_time:
            self._wake()
            try:
                async with asyncio.timeout(limit + GRACE_S):
                    answer = await self._asked(order)
            except TimeoutError as err:
                await self._kill()
                raise DeviceError(
                    "vision_hung", "The picture took too long and was given up"
                ) from err
            except asyncio.CancelledError:
                await self._kill()
                raise
            self._let_rest()
        if isinstance(answer, Failed):
            raise DeviceError(answer.code, answer.message, **answer.fields)
        if not isinstance(answer, kind):
            raise DeviceError("vision_crashed", "What opens pictures talks nonsense", ended="?")
        return answer

    async def stop(self) -> None:
        """End the process."""
        self._wake()
        process = self._hang_up()
        if process is not None:
            await _end(process)

    async def _asked(self, order: Order) -> Answer:
        """Say it, to a process that is started first if there is none."""
        if self._process is None or self._process.returncode is not None:
            await self._spawn()
            if self._first is not None and not isinstance(order, Load):
                answer = await self._said(self._first)
                if isinstance(answer, Failed):
                    return answer
        return await self._said(order)

    async def _said(self, order: Order) -> Answer:
        try:
            self._writer.write(packed(order))
            await self._writer.drain()
            size = length_of(await self._reader.readexactly(LENGTH))
            return answer_from(await self._reader.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError, msgspec.MsgspecError) as err:
            code = await self._kill()
            ended = signal.Signals(-code).name if code < 0 else f"exit {code}"
            raise DeviceError(
                "vision_crashed", f"What opens pictures crashed ({ended})", ended=ended
            ) from err

    async def _spawn(self) -> None:
        """Start one; DeviceError ``vision_crashed`` where there are no more processes, files or memory."""
        self._hang_up()
        try:
            # Deaf to its complaints: libav tells addresses with passwords there.
            line = await subprocesses.start_on_line("brain_server.vision_worker")
        except OSError as err:
            words = f"What opens pictures cannot be started: {err.strerror}"
            raise DeviceError("vision_crashed", words, ended="not started") from err
        # At once: whoever ends the process hangs up on it.
        self._process, self._reader, self._writer = line

    def _wake(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None

    def _let_rest(self) -> None:
        """Have it end by itself when nobody asks for a while."""
        self._rest = asyncio.get_running_loop().call_later(self._idle_s, self._hang_up)

    def _hang_up(self) -> asyncio.subprocess.Process | None:
        """Close the line, at once: the process then ends. Returns it."""
        process, self._process = self._process, None
        if process is not None:
            self._writer.close()
        return process

    async def _kill(self) -> int:
        """End it now; returns its code."""
        process = self._hang_up()
        return await _end(process, now=True) if process is not None else 0


async def _end(process: asyncio.subprocess.Process, *, now: bool = False) -> int:
    """Wait for a process that was hung up on, not for long; ``now``: hardly at all."""
    try:
        async with asyncio.timeout(0.05 if now else STOP_S):
            return await process.wait()
    except TimeoutError:
        if process.returncode is None:
            process.kill()
        return await process.wait()
