"""REST: the same commands as on the WebSocket, one envelope, one form of error, health without a token.

``POST /api/v1/actions`` takes ``{"action", "params", "metadata": {"timestamp", "version"}}``. Commands that
only read are also ``GET /api/v1/<action>`` with their parameters in the query. ``POST /api/v1/stream`` tells what
a command says while it runs, ``POST /api/v1/batch`` runs several, one after the other.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cached_property, partial
import gzip
import hashlib
from http import HTTPStatus
import json
import logging
import re
import resource
import time
from typing import TYPE_CHECKING, Annotated, Any, Final
import uuid

from aiohttp import web
import msgspec

from brain_server import metrics, tracing
from brain_server.api import openai, sse
from brain_server.api.auth import Tokens
from brain_server.api.dispatch import Dispatcher, decode, refused
from brain_server.api.ws import WebSockets
from brain_server.commands import Caller, Command, Params, Scope
from brain_server.devices import FINAL
from brain_server.errors import Conflict, InvalidRequest, KittyError
from brain_server.fabrication.files import Files
from brain_server.observability import Health, counters, request_id
from brain_server.protocol import MAX_FRAME_BYTES, SCHEMA, Json

if TYPE_CHECKING:
    from brain_server.api.mcp import McpServer

_LOGGER = logging.getLogger(__name__)

GZIP_ABOVE: Final = 1024
READY_TIMEOUT: Final = 2.5
# Anybody may ask; so many asking must not keep the parts busy.
READY_AGE: Final = 1.0
# What is over, of a device or in the background, was not only accepted but done.
OVER: Final = FINAL | {"completed", "dead", "cancelled"}
MAX_UPLOAD: Final = 512 * 1024 * 1024
PROBLEM: Final = "application/problem+json"
# What is a list; in an address its items stand behind one another.
_LISTS: Final = frozenset({"fields", "starts"})
_SNAKE: Final = re.compile("_([a-z0-9])")
UPLOAD_TIMEOUT: Final = 900.0
TRACING: Final = 600.0
MOST_BATCH: Final = 50
BROKEN_BODY: Final = (web.RequestPayloadError, ConnectionError)
_HTTP_CODES: Final = {
    404: "not_found",
    405: "method_not_allowed",
    411: "length_required",
    413: "too_large",
}

# What is traced: what people and programs ask, not what watches the process.
_TRACED: Final = ("/api/", "/mcp", openai.PREFIX)

type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HttpError(KittyError):
    """An error of HTTP itself: no such route, wrong method, body too large."""

    def __init__(self, status: int) -> None:
        """Make the error for an HTTP status."""
        code = _HTTP_CODES.get(status, "http_error")
        super().__init__(code, code.replace("_", " ").capitalize())
        self.status = status


class Upload(Params):
    """Where a print file goes; its content is the body of the request."""

    device_id: str
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class NewFile(Params):
    """A print file for no printer yet; its content is the body of the request."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    conversation_id: Annotated[str, msgspec.Meta(max_length=64)] | None = None


class Act(Params):
    """One command of several."""

    action: str
    params: Any = None


class Batch(Params):
    """Commands that run one after the other."""

    actions: Annotated[list[Act], msgspec.Meta(min_length=1, max_length=MOST_BATCH)]
    stop_on_error: bool = False
    metadata: Any = None


class Rest:
    """Serves HTTP."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        tokens: Tokens,
        sockets: WebSockets,
        health: Health,
        files: Files,
        *,
        debug: bool,
        version: str,
        awake: Callable[[], bool] = lambda: True,
    ) -> None:
        """Take the parts; ``awake`` tells whether this is the brain that acts, where there are several."""
        self._dispatcher = dispatcher
        self._tokens = tokens
        self._sockets = sockets
        self._health = health
        self._files = files
        self._started = time.time()
        self._judged_at = float("-inf")
        self._parts: list[Json] = []
        self._judging = asyncio.Lock()
        self._debug = debug
        self._awake = awake
        self._version = version
        self._openai = openai.OpenAi(dispatcher, tokens)

    def application(self) -> web.Application:
        """Return the web application; every route that is not named here needs a token."""
        app = web.Application(middlewares=[self._outermost], client_max_size=MAX_FRAME_BYTES)
        app.router.add_get("/ws", self._sockets.handle)
        app.router.add_post("/mcp", self._ask_mcp)
        app.router.add_get("/health", self._live)
        app.router.add_get("/ready", self._ready)
        app.router.add_get("/awake", self._tell_awake)
        app.router.add_get("/stats", self._stats)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/api/v1/openapi.json", self._describe)
        app.router.add_post("/api/v1/actions", self._action)
        app.router.add_post("/api/v1/batch", self._batch)
        app.router.add_post("/api/v1/stream", self._stream)
        app.router.add_put("/api/v1/devices/{device_id}/files/{name}", self._upload)
        app.router.add_post("/api/v1/files", self._take)
        app.router.add_get("/api/v1/{action}", self._read)
        self._openai.add_routes(app.router)
        if self._debug:
            app.router.add_get("/debug/memory", self._memory)
            app.router.add_get("/debug/profile", self._profile)
        return app

    @web.middleware
    async def _outermost(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Give every answer its ids, its envelope and, when it is large, its compression."""
        given = request.headers.get("X-Correlation-ID") or request.headers.get("X-Request-ID") or ""
        trace = given if given.isprintable() and 0 < len(given) <= 64 else uuid.uuid4().hex
        request_id.set(trace)
        counters["requests"] += 1
        if not request.path.startswith(_TRACED):
            return await self._respond(request, handler, trace)
        found = request.match_info.route.resource
        route = "?" if found is None else found.canonical
        with tracing.trace("request", trace, method=request.method, route=route):
            return await self._respond(request, handler, trace)

    async def _respond(
        self, request: web.Request, handler: Handler, trace: str
    ) -> web.StreamResponse:
        started = time.perf_counter()
        try:
            await self._tokens.look_up(request.headers.get("Authorization"))
            response = await handler(request)
        except web.HTTPException as err:
            response = self._failed(request, HttpError(err.status), trace, started)
            response.headers.extend({"Allow": allow} if (allow := err.headers.get("Allow")) else {})
        except KittyError as err:
            response = self._failed(request, err, trace, started)
        if not response.prepared:
            response.headers["X-Request-ID"] = response.headers["X-Correlation-ID"] = trace
        return response

    def _caller(self, request: web.Request) -> Caller:
        return self._tokens.caller(request.headers.get("Authorization"))

    # -- without a token: nothing that tells a stranger anything --------------------------------------

    async def _live(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _ready(self, _request: web.Request) -> web.Response:
        """Answer 503 while a part is ill or the process is going down; within three seconds."""
        # Who asks meanwhile hears what is found, and not what was found before.
        async with self._judging:
            if time.monotonic() - self._judged_at > READY_AGE:
                self._parts = await self._health.run(limit=READY_TIMEOUT)
                self._judged_at = time.monotonic()
            parts = self._parts
        if self._dispatcher.draining:
            return web.json_response({"status": "shutting_down"}, status=503)
        well = bool(parts) and all(part["ok"] for part in parts)
        return web.json_response(
            {"status": "ok" if well else "degraded"}, status=200 if well else 503
        )

    async def _tell_awake(self, _request: web.Request) -> web.Response:
        """Answer 200 where requests belong, however ill a part is: whoever is sent away could not make it well."""
        if self._dispatcher.draining:
            return web.json_response({"status": "shutting_down"}, status=503)
        if not self._awake():
            return web.json_response({"status": "standby"}, status=503)
        return web.json_response({"status": "awake"})

    # -- other programs -------------------------------------------------------------------------------

    @cached_property
    def _mcp(self) -> McpServer:
        """Return what speaks MCP; made for the first who does."""
        from brain_server.api.mcp import McpServer  # noqa: PLC0415 - 0.4 MB that only such a program needs

        return McpServer(self._dispatcher, self._tokens, self._version)

    async def _ask_mcp(self, request: web.Request) -> web.Response:
        return await self._mcp.handle(request)

    # -- with a token ---------------------------------------------------------------------------------

    async def _stats(self, request: web.Request) -> web.Response:
        self._caller(request)
        durations = sorted(self._dispatcher.durations)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        stats: Json = {
            "uptime_s": round(time.time() - self._started, 1),
            "clients": [
                {"token": client.caller.token, "since": client.since}
                for client in self._sockets.clients
            ],
            "running": self._dispatcher.running,
            "counters": dict(sorted(counters.items())),
            "command_ms": {
                name: round(durations[int(len(durations) * share)] * 1000, 2) if durations else None
                for name, share in (("p50", 0.5), ("p99", 0.99))
            },
            "rss_max_mb": round(usage.ru_maxrss / 1024, 1),
        }
        return self._answer(request, stats, time.perf_counter())

    async def _metrics(self, request: web.Request) -> web.Response:
        """Return what Prometheus reads; it counts itself by ``up``."""
        self._caller(request)
        now = {"commands_running": self._dispatcher.running, "clients": len(self._sockets.clients)}
        text = await asyncio.to_thread(metrics.render, dict(counters), **now)
        answer = _compressed(request, text.encode(), "text/plain", 200)
        answer.headers["Content-Type"] = metrics.CONTENT_TYPE
        return answer

    @cached_property
    def _openapi(self) -> bytes:
        """Return the description of everything; few ask for it, and it weighs some megabytes to make."""
        from brain_server.api.openapi import describe  # noqa: PLC0415 - see above

        return json.dumps(describe(self._dispatcher.commands, self._version)).encode()

    async def _describe(self, request: web.Request) -> web.Response:
        self._caller(request)
        return _compressed(request, self._openapi, "application/json", 200)

    async def _action(self, request: web.Request) -> web.Response:
        caller = self._caller(request)
        started = time.perf_counter()
        body = await self._asked(request, caller)
        spec = self._dispatcher.spec(body.get("action"))
        params = body.get("params")
        result = await self._dispatcher.run(spec, caller, {} if params is None else params)
        open_ = spec.accepts and result.get("command", result)["status"] not in OVER
        return self._answer(request, result, started, status=202 if open_ else 200)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """Run a command that talks while it runs; it is cancelled when the caller hangs up."""
        caller = self._caller(request)
        body = await self._asked(request, caller)
        spec, params = self._dispatcher.spec(body.get("action")), body.get("params")
        if not spec.streams:
            raise InvalidRequest(
                "not_streamed", f"{spec.action} does not stream", action=spec.action
            )

        async def run(emit: sse.Emit) -> Any:
            given = {} if params is None else params
            return await self._dispatcher.run(spec, caller, given, emit=emit)

        may = partial(self._tokens.alive, caller.token)
        return await sse.stream(request, run, sse.Events(), may)

    async def _batch(self, request: web.Request) -> web.Response:
        """Run several commands in their order; each counts as one request of its token."""
        caller = self._caller(request)
        started = time.perf_counter()
        try:
            asked = msgspec.convert(await self._asked(request, caller), Batch)
        except msgspec.ValidationError as err:
            raise InvalidRequest("invalid_params", str(err), reason=str(err)) from err
        items: list[Json] = []
        for at, one in enumerate(asked.actions):
            try:
                caller = self._caller(request) if at else caller
                spec = self._dispatcher.spec(one.action)
                params = {} if one.params is None else one.params
                data = await self._dispatcher.run(spec, caller, params)
                items.append({"status": "success", "data": data})
            except KittyError as err:
                refused(err, one.action[:64])
                error = err.as_dict() | {"trace_id": request_id.get()}
                items.append({"status": "error", "error": error})
                if asked.stop_on_error:
                    break
        return self._answer(request, {"items": items}, started)

    async def _read(self, request: web.Request) -> web.Response:
        caller = self._caller(request)
        started = time.perf_counter()
        spec = self._dispatcher.commands.get(request.match_info["action"])
        if spec is None or not spec.read_only:
            raise HttpError(404)
        query: Json = dict(request.query)
        for name in _LISTS & query.keys():
            query[name] = query[name].split(",")
        result = await self._dispatcher.run(spec, caller, query, strict=False)
        tag = f'"{hashlib.sha256(json.dumps(result).encode()).hexdigest()[:32]}"'
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers={"ETag": tag})
        response = self._answer(request, result, started)
        response.headers["ETag"] = tag
        response.headers["Cache-Control"] = "private, no-cache"
        return response

    async def _upload(self, request: web.Request) -> web.Response:
        """Take in a print file and send it to its device."""

        async def store(caller: Caller, params: Upload) -> Json:
            name = _checked_name(params.name)
            content = self._content(request, caller)
            return await self._files.upload(caller, params.device_id, name, content)

        spec = Command(
            action="devices.upload",
            scope=Scope.CONTROL,
            timeout=UPLOAD_TIMEOUT,
            params=Upload,
            run=store,
        )
        return await self._taken(request, spec, dict(request.match_info))

    async def _take(self, request: web.Request) -> web.Response:
        """Take in a print file that goes to no printer yet."""

        async def store(caller: Caller, params: NewFile) -> Json:
            name = _checked_name(params.name)
            content = self._content(request, caller)
            return await self._files.take(caller, name, content, params.conversation_id)

        spec = Command(
            action="files.add",
            scope=Scope.CONTROL,
            timeout=UPLOAD_TIMEOUT,
            params=NewFile,
            run=store,
        )
        return await self._taken(request, spec, dict(request.query))

    async def _taken(self, request: web.Request, spec: Command, params: Json) -> web.Response:
        caller = self._caller(request)
        started = time.perf_counter()
        size = request.content_length
        if size is None:
            raise HttpError(411)
        if size > MAX_UPLOAD:
            raise HttpError(413)
        result = await self._dispatcher.run(spec, caller, params)
        return self._answer(request, result, started, status=201)

    async def _asked(self, request: web.Request, caller: Caller) -> Json:
        """Return the body of a request of one whose token still counts now that it is here."""
        body = await _asked(request)
        self._tokens.check(caller)
        return body

    async def _content(self, request: web.Request, caller: Caller) -> AsyncIterator[bytes]:
        """Yield the body; what is whole only after the token has ended is refused."""
        async for chunk in _body(request):
            yield chunk
        self._tokens.check(caller)

    async def _memory(self, request: web.Request) -> web.Response:
        import tracemalloc  # noqa: PLC0415 - only who looks for lost memory needs it

        self._need_admin(request)
        if not tracemalloc.is_tracing():
            tracemalloc.start()
            # Tracing slows everything down, and whoever began it may not come back.
            asyncio.get_running_loop().call_later(TRACING, tracemalloc.stop)
            return self._answer(request, {"tracing": True}, time.perf_counter())
        top = tracemalloc.take_snapshot().statistics("lineno")[:25]
        tracemalloc.stop()
        lines = [{"where": str(one.traceback), "kib": one.size // 1024} for one in top]
        return self._answer(request, {"top": lines}, time.perf_counter())

    async def _profile(self, request: web.Request) -> web.Response:
        self._need_admin(request)
        stacks = [str(task.get_coro()) for task in asyncio.all_tasks()]
        return self._answer(request, {"tasks": sorted(stacks)}, time.perf_counter())

    def _need_admin(self, request: web.Request) -> None:
        if self._caller(request).scope < Scope.ADMIN:
            raise HttpError(404)

    # -- envelopes ------------------------------------------------------------------------------------

    def _answer(
        self, request: web.Request, data: Any, started: float, *, status: int = 200
    ) -> web.Response:
        if request.headers.get("X-Case") == "camel":
            data = camel_case(data)
        body = {"status": "success", "data": data, "metadata": _metadata(started)}
        return _compressed(request, json.dumps(body).encode(), "application/json", status)

    def _failed(
        self, request: web.Request, err: KittyError, trace: str, started: float
    ) -> web.Response:
        refused(err, request.path)
        tracing.fail(err.code)
        if request.path.startswith(openai.PREFIX):
            return openai.failed(err)
        headers = {"WWW-Authenticate": "Bearer"} if err.status == HTTPStatus.UNAUTHORIZED else {}
        if "retry_after" in err.fields:
            headers["Retry-After"] = str(err.fields["retry_after"])
        if PROBLEM in request.headers.get("Accept", ""):
            problem = {
                "type": f"urn:kitty:error:{err.code}",
                "title": err.code.replace("_", " ").capitalize(),
                "status": err.status,
                "detail": err.message,
                "instance": request.path,
                "code": err.code,
                "correlation_id": trace,
            }
            text, kind = json.dumps(problem), PROBLEM
        else:
            body = {
                "status": "error",
                "error": err.as_dict() | {"trace_id": trace},
                "metadata": _metadata(started),
            }
            text, kind = json.dumps(body), "application/json"
        return web.Response(text=text, status=err.status, content_type=kind, headers=headers)


def camel_case(value: Any) -> Any:
    """Return JSON with every key in camelCase, for clients that ask with ``X-Case: camel``."""
    if isinstance(value, dict):
        return {_SNAKE.sub(lambda m: m[1].upper(), k): camel_case(v) for k, v in value.items()}
    if isinstance(value, list):
        return [camel_case(item) for item in value]
    return value


async def _asked(request: web.Request) -> Json:
    """Return the body of a request for commands. Raises Conflict ``version_mismatch`` for another version."""
    try:
        body = decode(await request.read())
    except BROKEN_BODY as err:
        raise InvalidRequest("body_cut_off", "The body did not arrive whole") from err
    if not isinstance(body, dict):
        raise InvalidRequest("invalid_json", "The body is not a JSON object")
    metadata = body.get("metadata") or {}
    version = metadata.get("version", SCHEMA) if isinstance(metadata, dict) else None
    if str(version) != str(SCHEMA):
        raise Conflict(
            "version_mismatch", "This is another version of the protocol", version=str(version)
        )
    return body


def _checked_name(name: str) -> str:
    if name.strip(" .") == "" or not name.isprintable() or "/" in name or "\\" in name:
        raise InvalidRequest("invalid_file_name", "This is not a file name")
    return name


async def _body(request: web.Request) -> AsyncIterator[bytes]:
    """Yield the body, at most so much of it even when it unpacks to more than it announced."""
    size = 0
    try:
        async for chunk in request.content.iter_chunked(64 * 1024):
            size += len(chunk)
            if size > MAX_UPLOAD:
                raise HttpError(413)
            yield chunk
    except BROKEN_BODY as err:
        raise InvalidRequest("body_cut_off", "The body did not arrive whole") from err


def _metadata(started: float) -> Json:
    return {
        "request_id": request_id.get(),
        "processing_time_ms": round((time.perf_counter() - started) * 1000, 3),
        "timestamp": time.time(),
    }


def _compressed(request: web.Request, body: bytes, kind: str, status: int) -> web.Response:
    if len(body) > GZIP_ABOVE and "gzip" in request.headers.get("Accept-Encoding", ""):
        packed = gzip.compress(body, compresslevel=5)
        headers = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        return web.Response(body=packed, status=status, content_type=kind, headers=headers)
    return web.Response(body=body, status=status, content_type=kind)
