"""A Qdrant server as the real ``qdrant-client`` sees it: the REST calls that it makes for one collection."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
import numpy as np

type Json = dict[str, Any]


class FakeQdrant:
    """Collections in memory. ``down`` closes every connection, ``answer`` is said instead of anything."""

    def __init__(self, api_key: str | None = None) -> None:
        """Start without collections."""
        self.api_key = api_key
        self.collections: dict[str, Json] = {}
        self.asked: list[str] = []
        self.down = False
        self.answer: web.Response | None = None
        self.url = ""
        self._runner: web.AppRunner
        self._port = 0

    def points(self, collection: str = "kitty_memory") -> dict[str, Json]:
        """Return the points of a collection by id."""
        return self.collections[collection]["points"]

    async def start(self) -> None:
        """Listen; on the same port as before."""
        app = web.Application(middlewares=[self._guard], client_max_size=64 * 1024 * 1024)
        at = "/collections/{name}"
        app.router.add_get(f"{at}/exists", self._exists)
        app.router.add_put(at, self._create)
        app.router.add_delete(at, self._delete)
        app.router.add_put(f"{at}/index", self._ok)
        app.router.add_put(f"{at}/points", self._upsert)
        app.router.add_post(f"{at}/points", self._retrieve)
        app.router.add_post(f"{at}/points/query", self._query)
        app.router.add_post(f"{at}/points/delete", self._remove)
        app.router.add_post(f"{at}/points/count", self._count)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self._port}"

    async def stop(self) -> None:
        """Be gone; what is stored stays."""
        await self._runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path}")
        if self.down:
            assert request.transport is not None
            request.transport.close()
            raise web.HTTPServiceUnavailable
        if self.answer is not None:
            said = self.answer
            return web.Response(status=said.status, body=said.body, headers=said.headers)
        if self.api_key is not None and request.headers.get("api-key") != self.api_key:
            return web.json_response({"status": {"error": "no"}}, status=401)
        return await handler(request)

    def _found(self, request: web.Request) -> Json:
        name = request.match_info["name"]
        if name not in self.collections:
            text = f'{{"status":{{"error":"Not found: Collection `{name}` doesn\'t exist!"}}}}'
            raise web.HTTPNotFound(text=text, content_type="application/json")
        return self.collections[name]

    async def _exists(self, request: web.Request) -> web.Response:
        return _said({"exists": request.match_info["name"] in self.collections})

    async def _create(self, request: web.Request) -> web.Response:
        body = await request.json()
        assert body["vectors"]["distance"] == "Cosine"
        size = body["vectors"]["size"]
        self.collections[request.match_info["name"]] = {"size": size, "points": {}}
        return _said(result=True)

    async def _delete(self, request: web.Request) -> web.Response:
        return _said(result=self.collections.pop(request.match_info["name"], None) is not None)

    async def _ok(self, request: web.Request) -> web.Response:
        self._found(request)
        return _said({"operation_id": 1, "status": "completed"})

    async def _upsert(self, request: web.Request) -> web.Response:
        collection = self._found(request)
        for point in (await request.json())["points"]:
            if len(point["vector"]) != collection["size"]:
                text = '{"status":{"error":"Wrong input: Vector dimension error"}}'
                raise web.HTTPBadRequest(text=text, content_type="application/json")
            collection["points"][point["id"]] = point
        return _said({"operation_id": 1, "status": "completed"})

    async def _retrieve(self, request: web.Request) -> web.Response:
        wanted, points = (await request.json())["ids"], self._found(request)["points"]
        return _said([points[one] for one in wanted if one in points])

    async def _query(self, request: web.Request) -> web.Response:
        body, points = await request.json(), self._found(request)["points"]
        asked = np.asarray(body["query"]["nearest"], dtype=np.float32)
        scored = [
            {"id": key, "version": 1, "score": _cosine(asked, point["vector"])}
            for key, point in points.items()
            if _fits(point["payload"], body["filter"])
        ]
        scored.sort(key=lambda one: one["score"], reverse=True)
        return _said({"points": scored[: body["limit"]]})

    async def _remove(self, request: web.Request) -> web.Response:
        points = self._found(request)["points"]
        for one in (await request.json())["points"]:
            points.pop(one, None)
        return _said({"operation_id": 1, "status": "completed"})

    async def _count(self, request: web.Request) -> web.Response:
        body, points = await request.json(), self._found(request)["points"]
        return _said(
            {"count": sum(_fits(one["payload"], body["filter"]) for one in points.values())}
        )


def _said(result: Any) -> web.Response:
    return web.json_response({"result": result, "status": "ok", "time": 0.0001})


def _cosine(one: Any, other: list[float]) -> float:
    both = np.asarray(other, dtype=np.float32)
    return float(one @ both / (np.linalg.norm(one) * np.linalg.norm(both)))


def _fits(payload: Json, wanted: Json) -> bool:
    return all(_matches(payload.get(one["key"]), one["match"]) for one in wanted["must"])


def _matches(value: Any, match: Json) -> bool:
    return value in match["any"] if "any" in match else value == match["value"]


@asynccontextmanager
async def qdrant(api_key: str | None = None) -> AsyncIterator[FakeQdrant]:
    """Serve for the time of a block."""
    made = FakeQdrant(api_key)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()
