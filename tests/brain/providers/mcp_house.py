"""MCP servers that a test writes the answers of, and the provider that asks them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, web

from brain_server.protocol import Json
from brain_server.providers import ProviderContext
from brain_server.providers.mcp import Mcp
from tests.standins.web import serving

LIST: Json = {
    "tools": [
        {
            "name": "look",
            "description": "Look",
            "inputSchema": {"type": "object"},
            "annotations": {"readOnlyHint": True},
        }
    ]
}
HELLO: Json = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {}}


@asynccontextmanager
async def talking(url: str, **options: Any) -> AsyncIterator[Mcp]:
    """Give a provider for the time of a block."""
    async with ClientSession() as session:
        made = Mcp(
            ProviderContext(
                provider_id="p", options={"url": url} | options, session=session, data_dir=Path()
            )
        )
        yield made
        await made.close()


class Script:
    """A server that answers each method as it is told, and keeps what it was asked."""

    def __init__(self, **answers: Any) -> None:
        """Take the answers by the last word of the method: a result, an error, or a whole response."""
        self.answers = {
            "discover": {"error": {"code": -32601, "message": "Method not found"}},
            "initialize": HELLO,
            "initialized": raw("", 202),
            "list": LIST,
        } | answers
        self.asked: list[tuple[Json, dict[str, str]]] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Answer one POST."""
        if request.method == "DELETE":
            self.asked.append(({"method": "DELETE"}, dict(request.headers)))
            return web.Response(status=405)
        message = await request.json()
        self.asked.append((message, dict(request.headers)))
        answer = self.answers[str(message.get("method", "none")).rpartition("/")[2]]
        if isinstance(answer, list):
            answer = answer.pop(0)
        if callable(answer):
            answer = await answer(request, message)
        if isinstance(answer, web.StreamResponse):
            return answer.clone() if isinstance(answer, Again) else answer
        told = answer if "error" in answer else {"result": answer}
        session = {"Mcp-Session-Id": "s1"} if message.get("method") == "initialize" else {}
        return web.json_response({"jsonrpc": "2.0", "id": message["id"]} | told, headers=session)

    def methods(self) -> list[str]:
        """Return the methods that were asked, in order."""
        return [message.get("method", "answer") for message, _ in self.asked]


class Again(web.Response):
    """A response that can be sent more than once."""

    def clone(self) -> web.Response:
        """Return another one like it."""
        return web.Response(body=self.body, status=self.status, headers=self.headers)


def raw(body: bytes | str, status: int = 200, **headers: str) -> Again:
    """Return an answer byte for byte."""
    data = body.encode() if isinstance(body, str) else body
    told = {"Content-Type": "application/json"} | {
        k.replace("_", "-"): v for k, v in headers.items()
    }
    return Again(body=data, status=status, headers=told)


@asynccontextmanager
async def scripted(script: Script, **options: Any) -> AsyncIterator[Mcp]:
    """Give a provider of a scripted server."""
    async with serving(mcp=script) as url, talking(f"{url}/mcp", **options) as mcp:
        yield mcp
