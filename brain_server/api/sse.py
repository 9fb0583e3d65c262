"""Answers that come in pieces, as server-sent events, and callers that hang up before the end.

Only what reads or talks is cancelled when its caller leaves: commands that do something are seen through.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
import json
from typing import Any, Final, Protocol

from aiohttp import web

from brain_server.api.dispatch import refused
from brain_server.errors import KittyError
from brain_server.observability import request_id
from brain_server.protocol import Json

HEARTBEAT: Final = 10.0
# aiohttp tells nobody that a caller has left: somebody has to look.
LOOK_EVERY: Final = 0.25
BEAT: Final = b": still here\n\n"
HEADERS: Final = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}

type Emit = Callable[[Json], None]


class Form(Protocol):
    """How the parts of an answer are written."""

    def delta(self, part: Json) -> bytes:
        """Return what the command emitted as an event."""

    def result(self, found: Any) -> bytes:
        """Return the last events of an answer that is whole. Raises KittyError for one that is none."""

    def error(self, err: KittyError) -> bytes:
        """Return the last event of an answer that broke off."""


class Events:
    """The events of ``POST /api/v1/stream``: ``delta``, then ``result`` or ``error``."""

    def delta(self, part: Json) -> bytes:
        """Return one part."""
        return event("delta", part)

    def result(self, found: Any) -> bytes:
        """Return what the command returned."""
        return event("result", found)

    def error(self, err: KittyError) -> bytes:
        """Return the error as it is everywhere else."""
        return event("error", err.as_dict() | {"trace_id": request_id.get()})


def event(name: str, data: Any) -> bytes:
    """Return one server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


@contextmanager
def while_connected(request: web.Request, may: Callable[[], bool]) -> Iterator[None]:
    """Cancel the block when the caller hangs up, or may hear no more; only around what may be left half way."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a handler runs in a task
    loop = task.get_loop()
    timer: asyncio.TimerHandle

    def look() -> None:
        nonlocal timer
        transport = request.transport
        if transport is None or transport.is_closing() or not may():
            task.cancel()
        else:
            timer = loop.call_later(LOOK_EVERY, look)

    timer = loop.call_later(LOOK_EVERY, look)
    try:
        yield
    finally:
        timer.cancel()


async def stream(
    request: web.Request,
    run: Callable[[Emit], Awaitable[Any]],
    form: Form,
    may: Callable[[], bool],
) -> web.StreamResponse:
    """Answer with the events of a command while it runs; it is cancelled when the caller hangs up.

    So it is, without another word, when the caller ``may`` not hear it any more.

    Raises what the command raises before anything was sent; later that is the last event.
    """
    found, failed = None, None
    with while_connected(request, may):
        async with asyncio.TaskGroup() as group:
            flow = _Stream(request, form, group)
            try:
                found = await run(flow.emit)
            except KittyError as err:
                failed = err
            finally:
                flow.stop()
        if failed is None:
            try:
                last = form.result(found)
            except KittyError as err:
                failed = err
        if failed is not None:
            if not flow.begun:
                raise failed
            refused(failed, request.path)
            last = form.error(failed)
        return await flow.end(last)


class _Stream:
    """What waits to be sent to one caller."""

    def __init__(self, request: web.Request, form: Form, group: asyncio.TaskGroup) -> None:
        self._request = request
        self._form = form
        self._group = group
        self._waiting: list[bytes] = []
        self._news = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(HEARTBEAT, self._add, BEAT)
        trace = request_id.get() or ""
        self._response = web.StreamResponse(
            headers=HEADERS | {"X-Request-ID": trace, "X-Correlation-ID": trace}
        )

    @property
    def begun(self) -> bool:
        """Tell whether the caller has heard, or is about to hear, that all is well."""
        return self._writer is not None

    def emit(self, part: Json) -> None:
        """Take one part of the answer."""
        self._add(self._form.delta(part))

    def stop(self) -> None:
        """Send nothing more but the end."""
        self._timer.cancel()
        if self._writer is not None:
            self._writer.cancel()

    def _add(self, data: bytes) -> None:
        self._waiting.append(data)
        if self._writer is None:
            # The first word goes out at once, not when the model pauses for the first time.
            self._writer = self._group.create_task(self._write(), eager_start=True)
        else:
            self._news.set()

    async def _write(self) -> None:
        """Send what comes as it comes, and a sign of life when nothing does; for ever."""
        # When nobody listens any more, whoever looks for that ends the command.
        with suppress(ConnectionError):
            while True:
                await self._send()
                try:
                    async with asyncio.timeout(HEARTBEAT):
                        await self._news.wait()
                except TimeoutError:
                    self._waiting.append(BEAT)
                self._news.clear()

    async def end(self, last: bytes) -> web.StreamResponse:
        """Send the rest, and the last events."""
        self._waiting.append(last)
        # Who goes in the last moment misses it; there is nothing left to be cancelled.
        with suppress(ConnectionError):
            await self._send()
            await self._response.write_eof()
        return self._response

    async def _send(self) -> None:
        if not self._response.prepared:
            await self._response.prepare(self._request)
        # From the list to the socket without a pause: whoever is cancelled here has sent all of it.
        data = b"".join(self._waiting)
        self._waiting.clear()
        await self._response.write(data)
