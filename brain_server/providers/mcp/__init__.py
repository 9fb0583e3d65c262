"""MCP: tools of a server that speaks the Model Context Protocol over HTTP, for example a web search.

The newest era of the protocol (2026-07-28) needs no connection; where a server does not know it, the
handshake of the eras before is made. Everything that a server says is text from outside.
"""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus
import itertools
import logging
from typing import Any, ClassVar, Final, override

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientResponseError,
    ClientSSLError,
    ClientTimeout,
    ConnectionTimeoutError,
)
from yarl import URL

from brain_server.errors import InvalidRequest, ProviderError
from brain_server.fetch import plain
from brain_server.protocol import Json
from brain_server.providers import (
    Option,
    OptionType,
    ProviderContext,
    ProviderInfo,
    TierName,
    Tool,
    ToolAnswer,
    ToolServer,
)
from brain_server.providers.mcp.tools import (
    answer_of,
    search_argument as search_argument,
    search_tool as search_tool,
    tool_of,
)
from brain_server.providers.mcp.wire import (
    CAPABILITIES_KEY,
    CLIENT_KEY,
    EVENT_STREAM,
    HANDSHAKE_VERSIONS,
    INVALID_PARAMS,
    ME,
    METHOD_NOT_FOUND,
    MOST_WORDS,
    SESSION_HEADER,
    STATELESS_VERSION,
    VERSION_HEADER,
    VERSION_KEY,
    RpcError,
    SessionLostError,
    error_of,
    events,
    in_header,
    param_headers,
    whole,
)

_LOGGER = logging.getLogger(__name__)

MOST_TOOLS: Final = 128
MOST_PAGES: Final = 20
DEFAULT_TIMEOUT: Final = 30
_CONNECT_S: Final = 5.0
_CLOSE_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Peer:
    """How a server wants to be spoken to; without a version: not known yet."""

    version: str | None = None
    session_id: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Return what every message to it carries."""
        told = {VERSION_HEADER: self.version, SESSION_HEADER: self.session_id}
        return {name: value for name, value in told.items() if value is not None}


class Mcp(ToolServer):
    """One server. Tools that may change something are offered only when they are named."""

    name: ClassVar[str] = "mcp"
    title: ClassVar[str] = "MCP server"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            name="url",
            label="Address",
            help="Of the server's streamable HTTP endpoint, for example http://nas.local:8080/mcp",
            type=OptionType.URL,
        ),
        Option(
            name="token",
            label="Token",
            help="Sent as a bearer token, where the server asks for one",
            type=OptionType.SECRET,
            required=False,
        ),
        Option(
            name="tools",
            label="Tools",
            help="Names of the tools to offer, with commas. Empty: all that say that they only read",
            required=False,
        ),
        Option(
            name="timeout",
            label="Seconds to wait",
            help="For one answer",
            type=OptionType.NUMBER,
            required=False,
            default=DEFAULT_TIMEOUT,
            minimum=1,
            maximum=300,
        ),
    )
    tier: ClassVar[TierName] = TierName.MCP

    def __init__(self, context: ProviderContext) -> None:
        """Keep the options; InvalidRequest ``invalid_option`` for what is no address or no token."""
        super().__init__(context)
        options = context.options
        self._url = _address(options["url"])
        self._headers = {"Accept": f"application/json, {EVENT_STREAM}"} | _credential(
            options.get("token")
        )
        named = (options.get("tools") or "").split(",")
        self._named = frozenset(name.strip() for name in named if name.strip())
        total = float(options.get("timeout") or DEFAULT_TIMEOUT)
        self._timeout = ClientTimeout(total=total, connect=min(_CONNECT_S, total))
        self._ids = itertools.count(1)
        self._connecting = asyncio.Lock()
        self._peer: _Peer | None = None
        # By the name under which a tool is offered: as the server calls it, and what it wants in headers.
        self._offered: dict[str, tuple[str, Json]] | None = None

    @override
    async def check(self) -> ProviderInfo:
        """Connect and list the tools; ``model_missing`` when one that is named is not there."""
        found = await self.tools()
        there = {real for real, _ in (self._offered or {}).values()}
        if missing := sorted(self._named - there):
            raise ProviderError(
                "model_missing", f"The server has no tool {missing[0]}", model=missing[0]
            )
        return ProviderInfo(models=tuple(tool.name for tool in found), model=None, context=None)

    @override
    async def tools(self) -> tuple[Tool, ...]:
        """Return what the server offers; see :meth:`ToolServer.tools`."""
        offered: dict[str, tuple[str, Json]] = {}
        found: list[Tool] = []
        for raw in await self._list():
            tool = tool_of(raw)
            if tool is None or tool.name in offered or not self._wants(raw["name"], tool):
                continue
            offered[tool.name] = (raw["name"], raw["inputSchema"])
            found.append(tool)
        self._offered = dict(itertools.islice(offered.items(), MOST_TOOLS))
        return tuple(found[:MOST_TOOLS])

    @override
    async def call(self, tool: str, arguments: Json) -> ToolAnswer:
        """Run one tool that was offered; see :meth:`ToolServer.call`."""
        if self._offered is None:
            await self.tools()
        real, schema = (self._offered or {}).get(tool, (None, {}))
        if real is None:
            return ToolAnswer(text="There is no such tool", error=True)
        params = {"name": real, "arguments": arguments}
        headers = {"Mcp-Name": in_header(real)} | param_headers(schema, arguments)
        try:
            return answer_of(await self._ask("tools/call", params, headers))
        except RpcError as err:
            if err.code == INVALID_PARAMS:
                # The one error that whoever called can mend.
                return ToolAnswer(text=err.message, error=True)
            raise _failed(err) from err

    @override
    async def close(self) -> None:
        """Tell the server that the session is over; whether it hears that is its own affair."""
        peer, self._peer = self._peer, None
        if peer is None or peer.session_id is None:
            return
        try:
            async with self.context.session.delete(
                self._url,
                headers=self._headers | peer.headers,
                timeout=ClientTimeout(total=_CLOSE_S),
                allow_redirects=False,
            ):
                pass
        except (ClientError, OSError) as err:
            _LOGGER.debug("Session was not ended: %s", type(err).__name__)

    def _wants(self, real: str, tool: Tool) -> bool:
        return real in self._named if self._named else tool.read_only

    async def _list(self) -> list[Any]:
        found: list[Any] = []
        params: Json = {}
        for _ in range(MOST_PAGES):
            try:
                page = await self._ask("tools/list", params)
            except RpcError as err:
                raise _failed(err) from err
            if not isinstance(tools := page.get("tools"), list):
                raise ProviderError("provider_invalid", "The server's list of tools is none")
            found += tools
            if not isinstance(cursor := page.get("nextCursor"), str):
                break
            params = {"cursor": cursor}
        return found

    # -- the two eras ---------------------------------------------------------------------------------

    async def _ask(
        self, method: str, params: Json, headers: Mapping[str, str] | None = None
    ) -> Json:
        """Return a result, connected; a session that the server has forgotten is made anew once."""
        peer = await self._connected()
        try:
            return (await self._request(peer, method, params, headers))[0]
        except SessionLostError:
            if self._peer is peer:
                self._peer = None
        peer = await self._connected()
        try:
            return (await self._request(peer, method, params, headers))[0]
        except SessionLostError as err:
            raise _failed(err) from err

    async def _connected(self) -> _Peer:
        """Return the server as it wants to be spoken to; found out once."""
        async with self._connecting:
            if self._peer is None:
                try:
                    self._peer = await self._discover() or await self._initialize()
                except (RpcError, SessionLostError) as err:
                    raise _failed(err) from err
            return self._peer

    async def _discover(self) -> _Peer | None:
        """Ask as since 2026-07-28; None where that is not understood."""
        peer = _Peer(version=STATELESS_VERSION)
        try:
            found, _ = await self._request(peer, "server/discover", {})
        except RpcError:
            return None
        except ProviderError as err:
            # Some answer what they do not know with something that is no answer at all.
            if err.code != "provider_invalid":
                raise
            return None
        versions = found.get("supportedVersions")
        return peer if isinstance(versions, list) and STATELESS_VERSION in versions else None

    async def _initialize(self) -> _Peer:
        """Shake hands as up to 2025-11-25."""
        hello = {"protocolVersion": HANDSHAKE_VERSIONS[-1], "capabilities": {}, "clientInfo": ME}
        found, session_id = await self._request(_Peer(), "initialize", hello)
        if (version := found.get("protocolVersion")) not in HANDSHAKE_VERSIONS:
            raise ProviderError("provider_invalid", "The server speaks no version that is known")
        peer = _Peer(version=version, session_id=session_id)
        await self._post(peer, {"method": "notifications/initialized"})
        return peer

    # -- the wire -------------------------------------------------------------------------------------

    async def _request(
        self, peer: _Peer, method: str, params: Json, headers: Mapping[str, str] | None = None
    ) -> tuple[Json, str | None]:
        """Send one request; return its result, and the session that came with it."""
        message: Json = {"id": next(self._ids), "method": method, "params": params}
        if peer.version == STATELESS_VERSION:
            headers = {"Mcp-Method": method} | dict(headers or {})
            meta = {VERSION_KEY: peer.version, CLIENT_KEY: ME, CAPABILITIES_KEY: {}}
            message["params"] = params | {"_meta": meta}
        found, session_id = await self._post(peer, message, headers)
        if found is None:
            raise ProviderError("provider_invalid", "The server gave no answer")
        if isinstance(result := found.get("result"), dict):
            return result, session_id
        if not isinstance(error := found.get("error"), dict):
            raise ProviderError("provider_invalid", "The server's answer is none")
        raise RpcError(error, HTTPStatus.OK)

    async def _post(
        self, peer: _Peer, message: Json, headers: Mapping[str, str] | None = None
    ) -> tuple[Json | None, str | None]:
        """Send a message; return the answer to it, None where none was given, and the session."""
        try:
            async with self.context.session.post(
                self._url,
                json={"jsonrpc": "2.0"} | message,
                headers=self._headers | peer.headers | dict(headers or {}),
                timeout=self._timeout,
                allow_redirects=False,  # the token is for this host alone
            ) as response:
                await _accepted(peer, response)
                session_id = response.headers.get(SESSION_HEADER)
                if "method" not in message or "id" not in message:
                    return None, session_id
                return await self._answer(peer, response, message["id"]), session_id
        except (ClientConnectorError, ClientSSLError, ConnectionTimeoutError) as err:
            raise ProviderError("provider_unreachable", "The server does not answer") from err
        except ClientResponseError as err:
            # Its repr shows the headers that were sent: it must not become the cause of another error.
            odd = plain(err.message, MOST_WORDS)
        except (ClientError, OSError) as err:
            raise ProviderError("provider_cut_off", "The answer ended in the middle") from err
        raise ProviderError("provider_invalid", f"The answer is not HTTP: {odd}")

    async def _answer(self, peer: _Peer, response: ClientResponse, number: int) -> Json | None:
        """Return the answer to the request of this number, None where the server owes it."""
        if response.status == HTTPStatus.ACCEPTED:
            return None
        streamed = response.content_type == EVENT_STREAM
        async with aclosing(events(response) if streamed else whole(response)) as messages:
            async for message in messages:
                if "method" in message:
                    await self._decline(peer, message)
                elif message.get("id") in {number, None}:
                    return message
        raise ProviderError("provider_cut_off", "The answer ended in the middle")

    async def _decline(self, peer: _Peer, asked: Json) -> None:
        """Answer what a server asks in the middle of an answer: that we are here, and can do nothing."""
        if asked.get("id") is None:
            return
        answer: Json = {"error": {"code": METHOD_NOT_FOUND, "message": "Nothing is offered here"}}
        if asked["method"] == "ping":
            answer = {"result": {}}
        try:
            await self._post(peer, {"id": asked["id"]} | answer)
        except (RpcError, SessionLostError) as err:
            _LOGGER.debug("An answer was not taken: %s", err)


def _address(text: str) -> URL:
    try:
        url = URL(text.strip())
    except ValueError as err:
        raise InvalidRequest("invalid_option", "This is not a web address", field="url") from err
    if url.scheme not in {"http", "https"} or not url.raw_host or url.raw_user is not None:
        raise InvalidRequest("invalid_option", "This is not a web address", field="url")
    return url


def _credential(token: str | None) -> dict[str, str]:
    found = (token or "").strip()
    if not all("!" <= character <= "~" for character in found):
        raise InvalidRequest("invalid_option", "This is not a token", field="token")
    return {"Authorization": f"Bearer {found}"} if found else {}


async def _accepted(peer: _Peer, response: ClientResponse) -> None:
    """Raise what the status of an answer says."""
    status = response.status
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        raise ProviderError("provider_auth", "The server does not take this token")
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        wait = response.headers.get("Retry-After", "")
        fields = {"retry_after": int(wait)} if wait.isdecimal() else {}
        raise ProviderError("provider_busy", "The server has too much to do", **fields)
    error = await error_of(response)
    # The rule is 404; some say 400, and mean the same.
    forgotten = status == HTTPStatus.NOT_FOUND or (
        status == HTTPStatus.BAD_REQUEST and "session" in str(error.get("message")).lower()
    )
    if peer.session_id is not None and forgotten:
        raise SessionLostError(error, status)
    raise RpcError(error, status)


def _failed(err: RpcError | SessionLostError) -> ProviderError:
    return ProviderError("provider_failed", err.message, http_status=err.http_status)
