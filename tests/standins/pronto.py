"""The printer of ``docs/DRIVERS.md``: it does not exist, but it answers."""

from datetime import UTC, datetime
import time
from typing import Any

from aiohttp import web

WARM_UP_S = 0.3
HOLD_S = 0.3
BYTES_PER_S = 1000


class Pronto:
    """A printer that warms up, runs, can be held and stopped, and breaks."""

    key = "pronto-key"

    def __init__(self) -> None:
        """Start with nothing to do."""
        self.files: dict[str, int] = {}
        self.phase = "ready"
        self.file: str | None = None
        self.since: str | None = None
        self.error: str | None = None
        self.left = 0.0
        self.total = 1.0
        self._hold_at: float | None = None
        self._at = time.monotonic()

    def app(self) -> web.Application:
        """Return its web server."""
        app = web.Application(middlewares=[self._guard])
        app.add_routes(
            [
                web.get("/about", self._about),
                web.get("/state", self._state),
                web.get("/files", self._files),
                web.put("/files/{name}", self._store),
                web.post("/{verb}", self._verb),
            ]
        )
        return app

    def break_down(self) -> None:
        """Overheat."""
        self.phase, self.error = "broken", "Thermal runaway"

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.headers.get("X-Key") != self.key:
            return web.json_response({}, status=401)
        self._pass_time()
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _about(self, _request: web.Request) -> web.Response:
        return web.json_response({"serial": "P-1", "name": "Pronto"})

    async def _state(self, _request: web.Request) -> web.Response:
        hot = [200.0, 200.0] if self.phase in {"warming", "running", "held"} else [20.0, 0.0]
        return web.json_response(
            {
                "phase": self.phase,
                "file": self.file,
                "since": self.since,
                "percent": round(100 * (1 - max(self.left, 0.0) / self.total), 1),
                "error": self.error,
                "nozzle": hot,
                "bed": hot,
            }
        )

    async def _files(self, _request: web.Request) -> web.Response:
        return web.json_response({"names": list(self.files)})

    async def _store(self, request: web.Request) -> web.Response:
        self.files[request.match_info["name"]] = len(await request.read())
        return web.json_response({}, status=201)

    async def _verb(self, request: web.Request) -> web.Response:
        busy = self.phase in {"warming", "running", "held"}
        match request.match_info["verb"]:
            case "start" if not busy:
                self.file = (await request.json())["file"]
                self.left = self.total = self.files[self.file] / BYTES_PER_S + WARM_UP_S
                self.since = datetime.now(UTC).isoformat()
                self.phase, self.error = "warming", None
            case "hold" if self.phase in {"warming", "running"}:
                self._hold_at = time.monotonic() + HOLD_S
            case "go" if self.phase == "held":
                self.phase = "running"
            case "stop" if busy:
                self.phase = "stopped"
            case _:
                return web.json_response({"why": self.phase}, status=409)
        return web.json_response({}, status=202)

    def _pass_time(self) -> None:
        now = time.monotonic()
        passed, self._at = now - self._at, now
        if self.phase not in {"warming", "running"}:
            return
        self.left -= passed
        if self.total - self.left >= WARM_UP_S:
            self.phase = "running"
        if self.left <= 0:
            self.phase = "done"
        elif self._hold_at is not None and now >= self._hold_at:
            self.phase, self._hold_at = "held", None
