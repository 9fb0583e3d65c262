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
def while_connected(request: web.Request) -> Iterator[None]:
    """Cancel the block when the caller hangs up; only around what may be left half way."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a handler runs in a task
    loop = task.get_loop()
    timer: asyncio.TimerHandle | None = None

    def look() -> None:
        nonlocal timer
        transport = request.transport
        if transport is None or transport.is_closing():
            task.cancel()
        else:
            timer = loop.call_later(LOOK_EVERY, look)

    look()
    try:
        yield
    finally:
        if timer is not None:
            timer.cancel()


async def stream(
    request: web.Request, run: Callable[[Emit], Awaitable[Any]], form: Form
) -> web.StreamResponse:
    """Answer with the events of a command while it runs; it is cancelled when the caller hangs up.

    Raises what the command raises before anything was sent; later that is the last event.
    """
    stream = _Stream(request, form)
    found, failed = None, None
    with while_connected(request):
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(stream.write())
            try:
                found = await run(stream.emit)
            except KittyError as err:
                failed = err
            finally:
                writer.cancel()
        if failed is None:
            try:
                last = form.result(found)
            except KittyError as err:
                failed = err
        if failed is not None:
            if not stream.begun:
                raise failed
            refused(failed, request.path)
            last = form.error(failed)
        return await stream.end(last)


class _Stream:
    """What waits to be sent to one caller."""

    def __init__(self, request: web.Request, form: Form) -> None:
        self._request = request
        self._form = form
        self._waiting: list[bytes] = []
        self._news = asyncio.Event()
        trace = request_id.get() or ""
        self._response = web.StreamResponse(
            headers=HEADERS | {"X-Request-ID": trace, "X-Correlation-ID": trace}
        )

    @property
    def begun(self) -> bool:
        """Tell whether the caller has heard, or is about to hear, that all is well."""
        return self._response.prepared or bool(self._waiting)

    def emit(self, part: Json) -> None:
        """Take one part of the answer."""
        self._waiting.append(self._form.delta(part))
        self._news.set()

    async def write(self) -> None:
        """Send what comes as it comes, and a sign of life when nothing does; for ever."""
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT):
                    await self._news.wait()
            except TimeoutError:
                self._waiting.append(BEAT)
            self._news.clear()
            try:
                await self._send()
            except ConnectionError:
                return  # nobody listens any more; whoever looks for that ends the command

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
