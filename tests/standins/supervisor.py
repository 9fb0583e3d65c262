"""A Supervisor as an app sees it that has no right but to announce itself and to ask for the broker.

It answers in the Supervisor's envelope, and refuses all other paths with 403, as the real one does for an app
without ``hassio_api`` and ``homeassistant_api``. What was refused is counted.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
import socket
from typing import Any

from aiohttp import web

type Json = dict[str, Any]


class FakeSupervisor:
    """Knows one app, by its token and its slug.

    ``broker`` is what it tells of MQTT, None while there is none; ``down`` answers nobody.
    """

    def __init__(
        self, token: str, slug: str = "abc_kitty", discovery: tuple[str, ...] = ("kitty",)
    ) -> None:
        """Say who the app is and what it may announce."""
        self.token = token
        self.slug = slug
        self.broker: Json | None = None
        self.down = False
        self.messages: list[Json] = []
        self.asked: list[str] = []
        self.refused: list[str] = []
        self.heard = asyncio.Event()
        self.url = ""
        self._may_announce = discovery

    @asynccontextmanager
    async def serving(self, at: socket.socket) -> AsyncIterator[FakeSupervisor]:
        """Answer on a socket that is bound already."""
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/services/mqtt", self._mqtt)
        app.router.add_post("/discovery", self._discovery)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        host, port = at.getsockname()
        self.url = f"http://{host}:{port}"
        await web.SockSite(runner, at).start()
        try:
            yield self
        finally:
            await runner.cleanup()

    async def announced(self, limit: float = 30.0) -> Json:
        """Return what the app announces next, or has announced and nobody asked for."""
        await asyncio.wait_for(self.heard.wait(), limit)
        self.heard.clear()
        return self.messages[-1]

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        line = f"{request.method} {request.path}"
        self.asked.append(line)
        if self.down:
            return web.Response(status=502, text="Bad gateway")
        if "Authorization" not in request.headers:
            return _error(401, "No token")
        if request.headers["Authorization"] != f"Bearer {self.token}":
            self.refused.append(line)
            return _error(403, "Wrong token")
        try:
            response: web.StreamResponse = await handler(request)
        except web.HTTPException:
            self.refused.append(line)
            return _error(403, "No right")
        return response

    async def _mqtt(self, _request: web.Request) -> web.Response:
        return _error(400, "Service not enabled") if self.broker is None else _ok(self.broker)

    async def _discovery(self, request: web.Request) -> web.Response:
        message = await request.json()
        if message["service"] not in self._may_announce:
            raise web.HTTPForbidden
        self.messages.append(message)
        self.heard.set()
        return _ok({"uuid": "5f1e"})


def _ok(data: Json) -> web.Response:
    return web.json_response({"result": "ok", "data": data})


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"result": "error", "message": message}, status=status)
