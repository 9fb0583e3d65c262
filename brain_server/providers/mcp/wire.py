"""Messages of MCP over HTTP: versions, names, headers, and bodies that are one message or a stream of them."""

import base64
from collections.abc import AsyncGenerator
import json
import re
from typing import Any, Final

from aiohttp import ClientResponse
import msgspec

from brain_server import __version__
from brain_server.errors import ProviderError
from brain_server.fetch import plain
from brain_server.protocol import Json
from brain_server.sse import Events

HANDSHAKE_VERSIONS: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
STATELESS_VERSION: Final = "2026-07-28"
VERSION_HEADER: Final = "MCP-Protocol-Version"
SESSION_HEADER: Final = "Mcp-Session-Id"
VERSION_KEY: Final = "io.modelcontextprotocol/protocolVersion"
CLIENT_KEY: Final = "io.modelcontextprotocol/clientInfo"
CAPABILITIES_KEY: Final = "io.modelcontextprotocol/clientCapabilities"
SERVER_KEY: Final = "io.modelcontextprotocol/serverInfo"

PARSE_ERROR: Final = -32700
INVALID_MESSAGE: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
HEADER_MISMATCH: Final = -32020
UNSUPPORTED_VERSION: Final = -32022

EVENT_STREAM: Final = "text/event-stream"
ME: Final[Json] = {"name": "kitty", "version": __version__}
MOST_MESSAGE: Final = 2 * 1024 * 1024
MOST_WORDS: Final = 1024
MOST_LEVELS: Final = 64
_HEADER_SAFE: Final = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_WRAPPED: Final = re.compile(r"=\?base64\?.*\?=")
_HEADER_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}")


class _AnsweredError(Exception):
    """The server answered with an error."""

    def __init__(self, error: Json, http_status: int) -> None:
        """Take the error as it came, and the status with which it came."""
        self.code = error.get("code")
        self.message = plain(str(error.get("message", "")), MOST_WORDS)
        self.http_status = http_status
        super().__init__(self.message)


class RpcError(_AnsweredError):
    """An error of JSON-RPC, or the HTTP status of one."""


class SessionLostError(_AnsweredError):
    """The server no longer knows the session; it did nothing."""


async def whole(response: ClientResponse) -> AsyncGenerator[Json]:
    """Yield the one message of a body."""
    raw = bytearray()
    async for chunk in response.content.iter_any():
        raw += chunk
        if len(raw) > MOST_MESSAGE:
            raise ProviderError("provider_invalid", "The answer is too large")
    yield _message(bytes(raw))


async def events(response: ClientResponse) -> AsyncGenerator[Json]:
    """Yield the messages of a stream of events, as they come."""
    parts, size = Events(), 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > MOST_MESSAGE:
            raise ProviderError("provider_invalid", "The answer is too large")
        for data in parts.feed(chunk):
            if data:  # the first one may be empty, only to carry an id
                yield _message(data)


def _message(raw: bytes) -> Json:
    try:
        message = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as err:
        raise ProviderError("provider_invalid", "The server's answer is no JSON") from err
    if not isinstance(message, dict) or not _is_flat(message, MOST_LEVELS):
        raise ProviderError("provider_invalid", "The server's answer is no message")
    return message


def _is_flat(value: Any, levels: int) -> bool:
    """Tell whether a value can be walked through without end of the stack."""
    match value:
        case dict():
            return levels > 0 and all(_is_flat(part, levels - 1) for part in value.values())
        case list():
            return levels > 0 and all(_is_flat(part, levels - 1) for part in value)
        case _:
            return True


async def error_of(response: ClientResponse) -> Json:
    """Return the error in the body of a refusal, if there is one."""
    words: Json = {"message": f"HTTP status {response.status}"}
    if response.content_type != "application/json":
        return words
    try:
        (message,) = [message async for message in whole(response)]
    except ProviderError:
        return words
    error = message.get("error")
    return words | error if isinstance(error, dict) else words


def in_header(value: str) -> str:
    """Return a text as a header of MCP carries it: wrapped where it is more than plain letters."""
    if _HEADER_SAFE.fullmatch(value) and not _WRAPPED.fullmatch(value):
        return value
    return f"=?base64?{base64.b64encode(value.encode(errors='replace')).decode()}?="


def param_headers(schema: Json, arguments: Any) -> dict[str, str]:
    """Return the arguments that a tool's schema wants to be seen in headers, too."""
    headers: dict[str, str] = {}
    properties = schema.get("properties")
    if not isinstance(properties, dict) or not isinstance(arguments, dict):
        return headers
    for name, part in properties.items():
        value = arguments.get(name)
        if not isinstance(part, dict) or value is None:
            continue
        token = part.get("x-mcp-header")
        if (
            isinstance(token, str)
            and _HEADER_TOKEN.fullmatch(token)
            and isinstance(value, str | int)
        ):
            text = json.dumps(value) if isinstance(value, bool) else str(value)
            headers[f"Mcp-Param-{token}"] = in_header(text)
        headers |= param_headers(part, value)
    return headers
