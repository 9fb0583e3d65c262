"""The road from the brain to Home Assistant: requests over the integration's own socket."""

import asyncio
from collections.abc import Callable
import itertools
from typing import Final

from brain_server.errors import KittyError, Unavailable
from brain_server.protocol import Json

GONE: Final = "home_assistant_offline"

type Send = Callable[[Json], None]


class HomeAssistantError(KittyError):
    """Home Assistant answered a request with an error."""

    status = 502


class Link:
    """Asks the integration that connected last; one that goes takes its open questions with it."""

    def __init__(self) -> None:
        """Start without Home Assistant."""
        self._sends: list[Send] = []
        self._ids = itertools.count(1)
        self._open: dict[int, tuple[Send, asyncio.Future[Json]]] = {}

    @property
    def connected(self) -> bool:
        """Tell whether Home Assistant is there."""
        return bool(self._sends)

    def attach(self, send: Send) -> None:
        """Use this socket from now on."""
        if send in self._sends:
            self._sends.remove(send)
        self._sends.append(send)

    def detach(self, send: Send) -> None:
        """Forget a socket; what was asked over it will not be answered."""
        if send in self._sends:
            self._sends.remove(send)
        for used, future in self._open.values():
            if used == send and not future.done():
                future.set_exception(TimeoutError("Home Assistant went away"))

    async def call(self, method: str, params: Json, *, timeout: float) -> Json:  # noqa: ASYNC109 - the answer comes over a wire, which has its own clock
        """Ask and return the answer.

        Raises Unavailable ``home_assistant_offline`` when nothing was sent, HomeAssistantError with its
        code when it refused, TimeoutError when it may or may not have acted.
        """
        if not self._sends:
            raise Unavailable(GONE, "Home Assistant is not connected")
        number, send = next(self._ids), self._sends[-1]
        future: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._open[number] = send, future
        try:
            send({"type": "request", "id": number, "method": method, "params": params})
            async with asyncio.timeout(timeout):
                return await future
        finally:
            del self._open[number]

    def answer(self, send: Send, frame: Json) -> None:
        """Take an answer from a socket; one that it was not asked for is ignored."""
        number = frame.get("id")
        asked = self._open.get(number) if isinstance(number, int) else None
        if asked is None or asked[0] != send or asked[1].done():
            return
        future = asked[1]
        error = frame.get("error")
        if isinstance(error, dict):
            code, words = str(error.get("code", "unknown")), str(error.get("message", ""))
            future.set_exception(HomeAssistantError(code, words))
        elif isinstance(frame.get("data"), dict):
            future.set_result(frame["data"])
        else:
            future.set_exception(HomeAssistantError("invalid_answer", "The answer has no data"))
