"""What the stand-ins for APIs of models have in common: a script of the next answer, and what was asked."""

from abc import ABC, abstractmethod
import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
import json
from typing import Any, Self

from aiohttp import web

FOREVER_S = 3600.0


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What the API answers: words, calls of tools, or trouble."""

    pieces: tuple[str, ...] = ("Hello", " there")
    # Name and arguments, as the model wrote them; they come in pieces of seven characters.
    calls: tuple[tuple[str, str], ...] = ()
    finish: str | None = None
    tokens: tuple[int, int] = (12, 34)
    # An answer that is no stream: a refusal, or something odd.
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    # Before which event it falls silent, ends too early, or breaks the connection.
    silent_at: int | None = None
    end_at: int | None = None
    break_at: int | None = None
    # Sent in place of the event there.
    odd_at: int | None = None
    odd: bytes = b""


class ModelApi(ABC):
    """An API of models, with one key, that answers as the test says."""

    key = "sk-planted-0123456789abcdef"

    def __init__(self) -> None:
        """Answer well."""
        self.reply = Reply()
        self.asked: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.connections: set[int] = set()
        self.was_asked = asyncio.Event()
        self.hung_up = asyncio.Event()
        self.url = ""

    @classmethod
    @asynccontextmanager
    async def serve(cls) -> AsyncIterator[Self]:
        """Serve for the time of a block."""
        api = cls()
        app = web.Application(middlewares=[api._guard], client_max_size=64 * 1024 * 1024)
        app.add_routes(api.routes())
        runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        api.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield api
        finally:
            await runner.cleanup()

    @abstractmethod
    def routes(self) -> list[web.RouteDef]:
        """Return the paths that the API has."""

    @abstractmethod
    def knows(self, request: web.Request) -> bool:
        """Tell whether a request has the key."""

    @abstractmethod
    def error(self, status: int, kind: str, message: str, code: Any = None) -> Any:
        """Return the body of a refusal."""

    def refuse(self, status: int, kind: str, message: str, code: Any = None) -> web.Response:
        """Return a refusal."""
        return web.json_response(self.error(status, kind, message, code), status=status)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.headers.append(dict(request.headers))
        self.connections.add(id(request.transport))
        body = await request.read()
        self.asked.append(json.loads(body) if body else None)
        self.was_asked.set()
        if not self.knows(request):
            return self.refuse(401, "authentication_error", "invalid key", "invalid_api_key")
        reply = self.reply
        if reply.status != 200 or reply.body is not None:
            raw = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            headers = {"Content-Type": "application/json", **reply.headers}
            return web.Response(status=reply.status, body=raw, headers=headers)
        answer: web.StreamResponse = await handler(request)
        return answer

    async def stream(self, request: web.Request, events: Sequence[bytes]) -> web.StreamResponse:
        """Send events one by one, with whatever is to happen between them."""
        reply = self.reply
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        try:
            await response.prepare(request)
            for at, event in enumerate(events):
                if at == reply.end_at:
                    break
                if at == reply.break_at and request.transport is not None:
                    request.transport.abort()
                if at == reply.silent_at:
                    await asyncio.sleep(FOREVER_S)
                await response.write(reply.odd if at == reply.odd_at else event)
                await asyncio.sleep(0)
            await response.write_eof()
        except asyncio.CancelledError, ConnectionError:
            self.hung_up.set()
            raise
        return response


def in_pieces(text: str, size: int = 7) -> list[str]:
    """Return a text in the pieces in which a model writes it."""
    return [text[start : start + size] for start in range(0, len(text), size)]
