"""The parrot of ``docs/PROVIDERS.md``: it does not exist, but it answers."""

from collections.abc import Iterator
import json
from typing import Any, override

from aiohttp import web

from tests.standins.model_api import ModelApi


class ParrotApi(ModelApi):
    """A server of birds."""

    models = ("polly", "coco")

    @override
    def routes(self) -> list[web.RouteDef]:
        """Return what birds do."""
        return [web.post("/v1/talk", self._talk), web.get("/v1/birds", self._birds)]

    @override
    def knows(self, request: web.Request) -> bool:
        """Look at the ring."""
        return request.headers.get("Authorization") == f"Bearer {self.key}"

    @override
    def error(self, status: int, kind: str, message: str, code: Any = None) -> Any:
        """Return what a bird says when it will not."""
        return {"error": message}

    def events(self) -> Iterator[bytes]:
        """Yield what a bird says."""
        reply = self.reply
        for piece in reply.pieces:
            yield _event(say=piece)
        for tool, written in reply.calls:
            yield _event(want={"tool": tool, "input": written})
        read, said = reply.tokens
        end = reply.finish or ("tools" if reply.calls else "done")
        yield _event(end=end, read=read, said=said, model="polly")

    async def _talk(self, request: web.Request) -> web.StreamResponse:
        return await self.stream(request, list(self.events()))

    async def _birds(self, _request: web.Request) -> web.Response:
        return web.json_response({"birds": self.models})


def _event(**more: Any) -> bytes:
    return f"data: {json.dumps(more)}\n\n".encode()
