"""The program of the real MCP server; it runs with the SDK that Home Assistant pins, and with the next one."""

import asyncio
import base64
import socket
import sys
from typing import Any

import uvicorn

try:
    from mcp import McpError, types
    from mcp.server.fastmcp import Context, FastMCP as Server, Image
    from mcp.shared.message import ServerMessageMetadata
except ImportError:
    from mcp.server.mcpserver import Image, MCPServer as Server
    import mcp_types as types

    Context = None

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
READING = types.ToolAnnotations.model_validate({"readOnlyHint": True})


def furnish(server: Any) -> None:
    """Give a server its tools; they are the same in both SDKs."""

    @server.tool(annotations=READING)
    def web_search(query: str, count: int = 3) -> str:
        """Search the web."""
        return f"{count} pages about {query}"

    @server.tool(annotations=READING)
    def broken(word: str) -> str:
        """Fail."""
        raise ValueError(word)

    @server.tool(annotations=READING, structured_output=False)
    def gallery() -> list[Any]:
        """Return all sorts of things."""
        link = types.ResourceLink(type="resource_link", name="a", uri="file:///a.txt")
        text = types.TextResourceContents(uri="memo://b", text="inside")
        return [
            "words",
            Image(data=PIXEL, format="png"),
            link,
            types.EmbeddedResource(type="resource", resource=text),
        ]

    @server.tool(annotations=READING)
    def long_text(size: int) -> str:
        """Return much."""
        return "\u00e9" * size

    @server.tool()
    def write_note(text: str) -> str:
        """Change something."""
        return f"noted {text}"


async def talk(ctx: Any) -> str:
    """Tell of progress, ask whether anybody is there, and ask a person something."""
    await ctx.report_progress(1, 2)
    await ctx.info("working")
    here = ServerMessageMetadata(related_request_id=ctx.request_id)
    ping = types.ServerRequest(types.PingRequest())
    await ctx.session.send_request(ping, types.EmptyResult, metadata=here)
    try:
        await ctx.session.elicit("Really?", {"type": "object", "properties": {}}, ctx.request_id)
    except McpError as err:
        return f"somebody is there, but: {err}"
    return "somebody answered"


def application(*, whole: bool) -> Any:
    """Return the web application of whichever SDK is installed."""
    if Context is None:
        server = Server("stand-in")
        furnish(server)
        return server.streamable_http_app(json_response=whole)
    server = Server("stand-in", json_response=whole)
    furnish(server)
    if not whole:  # without a stream nothing can be said in the middle
        talk.__annotations__["ctx"] = Context
        server.tool(annotations=READING)(talk)
    return server.streamable_http_app()


def guarded(app: Any, token: str) -> Any:
    """Let in only who has the token."""

    async def guard(scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope.get("headers", ()))
        if scope["type"] != "http" or headers.get(b"authorization") == f"Bearer {token}".encode():
            await app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 401, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return guard


def main(port: int, *options: str) -> None:
    """Serve until killed."""
    app = application(whole="json" in options)
    for option in options:
        if option.startswith("token="):
            app = guarded(app, option.removeprefix("token="))
    # Named as TCP, so that answers in two parts do not wait for each other.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    listening.listen()
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    config = uvicorn.Config(app, log_level="error", lifespan="on")
    asyncio.run(uvicorn.Server(config).serve(sockets=[listening]))


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
