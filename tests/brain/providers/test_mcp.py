"""The MCP provider: against the real servers of both SDKs, and against servers that say odd things."""

import asyncio
from collections.abc import Iterator
import json
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, web
import pytest

from brain_server.errors import InvalidRequest, ProviderError
from brain_server.protocol import Json
from brain_server.providers import ProviderContext, ToolAnswer
from brain_server.providers.mcp import (
    Mcp,
)
from brain_server.providers.mcp.tools import MOST_ANSWER
from brain_server.providers.mcp.wire import MOST_MESSAGE, STATELESS_VERSION, in_header
from tests.brain.providers.mcp_house import (
    HELLO,
    LIST,
    Again,
    Script,
    raw,
    scripted,
    talking,
)
from tests.standins.mcp_server import NEXT, McpServer
from tests.standins.web import serving

KINDS = {
    "streams": {},
    "json": {"options": ["json"]},
    "stateless": {"python": NEXT},
    "stateless json": {"python": NEXT, "options": ["json"]},
}
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
needs_next = pytest.mark.skipif(not NEXT.exists(), reason=f"needs the next MCP SDK in {NEXT}")


def started(options: list[str] | None = None, **more: Any) -> Iterator[McpServer]:
    """Run a real server for the time of a fixture."""
    server = McpServer(*(options or []), **more)
    server.start()
    yield server
    server.kill()


@pytest.fixture(
    scope="module",
    params=["streams", "json", *(pytest.param(n, marks=needs_next) for n in list(KINDS)[2:])],
)
def real(request: pytest.FixtureRequest) -> Iterator[McpServer]:
    """Give the real server of each SDK, each way of answering in turn."""
    yield from started(**KINDS[request.param])


@pytest.fixture
def mortal() -> Iterator[McpServer]:
    """Give a real server that a test may kill."""
    yield from started()


# -- the real servers ---------------------------------------------------------------------------------


async def test_only_what_says_that_it_only_reads_is_offered(real: McpServer) -> None:
    """With its schema; a tool that may change something has to be named."""
    async with talking(real.url) as mcp:
        tools = {tool.name: tool for tool in await mcp.tools()}
    assert {"web_search", "broken", "gallery", "long_text"} <= set(tools)
    assert "write_note" not in tools
    search = tools["web_search"]
    assert (search.description, search.read_only) == ("Search the web.", True)
    assert search.parameters["required"] == ["query"]


async def test_what_is_named_is_offered_and_nothing_else(real: McpServer) -> None:
    """Also what changes something; it is said that it does."""
    async with talking(real.url, tools=" write_note, web_search,") as mcp:
        tools = await mcp.tools()
        noted = await mcp.call("write_note", {"text": "x"})
    assert {tool.name: tool.read_only for tool in tools} == {
        "web_search": True,
        "write_note": False,
    }
    assert noted == ToolAnswer(text="noted x")


async def test_a_tool_answers(real: McpServer) -> None:
    """On first use, without a list being asked for before."""
    async with talking(real.url) as mcp:
        assert await mcp.call("web_search", {"query": "cats"}) == ToolAnswer(
            text="3 pages about cats"
        )


async def test_a_tool_that_fails_says_so(real: McpServer) -> None:
    """In its own words, marked as an error."""
    async with talking(real.url) as mcp:
        answer = await mcp.call("broken", {"word": "x"})
        missing = await mcp.call("web_search", {})
    assert answer.error
    assert "broken" in answer.text
    assert missing.error
    assert "query" in missing.text


async def test_what_is_no_text_is_named_and_not_shown(real: McpServer) -> None:
    """Pictures and resources."""
    async with talking(real.url) as mcp:
        answer = await mcp.call("gallery", {})
    assert answer.text.splitlines() == [
        "words",
        "[image image/png, not shown]",
        "[resource file:///a.txt]",
        "[resource memo://b]",
    ]


async def test_a_long_answer_is_cut(real: McpServer) -> None:
    """At 64 KiB, and never in the middle of a character."""
    async with talking(real.url) as mcp:
        answer = await mcp.call("long_text", {"size": 100_000})
    assert answer.text == "\u00e9" * (MOST_ANSWER // 2)


async def test_a_tool_that_was_not_offered_is_not_called(real: McpServer) -> None:
    """Although the server has it."""
    async with talking(real.url) as mcp:
        answer = await mcp.call("write_note", {"text": "x"})
    assert answer == ToolAnswer(text="There is no such tool", error=True)


async def test_a_check_lists_what_is_offered(real: McpServer) -> None:
    """A server of tools has no models; its tools are told in their place."""
    async with talking(real.url, tools="web_search") as mcp:
        found = await mcp.check()
    assert (found.models, found.model, found.context) == (("web_search",), None, None)


async def test_a_check_tells_what_is_named_and_not_there(real: McpServer) -> None:
    """A misspelt name shows at once."""
    async with talking(real.url, tools="web_search,web_serach") as mcp:
        with pytest.raises(ProviderError) as caught:
            await mcp.check()
    assert (caught.value.code, caught.value.fields) == ("model_missing", {"model": "web_serach"})


async def test_a_server_may_talk_while_it_works(mortal: McpServer) -> None:
    """It tells of progress, hears that somebody is there, and that nobody answers for a person."""
    async with talking(mortal.url) as mcp:
        answer = await mcp.call("talk", {})
    assert answer.text == "somebody is there, but: Nothing is offered here"


async def test_a_server_that_was_started_again_is_greeted_again(mortal: McpServer) -> None:
    """It no longer knows the session; whoever asks does not notice."""
    async with talking(mortal.url) as mcp:
        await mcp.tools()
        await asyncio.to_thread(mortal.kill)
        await asyncio.to_thread(mortal.start)
        assert (await mcp.call("web_search", {"query": "x"})).text == "3 pages about x"


async def test_a_session_is_ended_at_the_end(mortal: McpServer) -> None:
    """The server forgets it then."""
    async with talking(mortal.url) as mcp:
        await mcp.tools()
        assert mcp._peer is not None
        headers = mcp._headers | mcp._peer.headers
    async with (
        ClientSession() as session,
        session.post(mortal.url, json=PING, headers=headers) as response,
    ):
        assert response.status == 404


async def test_a_server_that_wants_a_token_is_given_one() -> None:
    """And without it says so."""
    server = McpServer("token=sesame")
    await asyncio.to_thread(server.start)
    async with talking(server.url, token=" sesame ") as mcp:
        assert await mcp.tools()
    async with talking(server.url, token="wrong") as mcp:
        with pytest.raises(ProviderError) as caught:
            await mcp.tools()
    await asyncio.to_thread(server.kill)
    assert caught.value.code == "provider_auth"


@needs_next
async def test_the_newest_era_is_spoken_where_it_is_known() -> None:
    """Without a session."""
    server = McpServer(python=NEXT)
    await asyncio.to_thread(server.start)
    async with talking(server.url) as mcp:
        await mcp.tools()
        assert mcp._peer is not None
        assert mcp._peer.headers == {"MCP-Protocol-Version": STATELESS_VERSION}
    await asyncio.to_thread(server.kill)


# -- servers that say odd things ----------------------------------------------------------------------


async def failure(script: Script, **options: Any) -> ProviderError:
    """Return the error with which a call ends."""
    async with scripted(script, **options) as mcp:
        with pytest.raises(ProviderError) as caught:
            await mcp.call("look", {})
    return caught.value


@pytest.mark.parametrize(
    "discover",
    [
        {"error": {"code": -32601, "message": "Method not found"}},
        {"error": {"code": -32022, "message": "no", "data": {"supported": ["2025-06-18"]}}},
        {"error": "no"},
        {"supportedVersions": ["2025-11-25"]},
        {"supportedVersions": "2026-07-28"},
        {},
        raw("", status=400),
        raw("Missing session ID", status=400, Content_Type="text/plain"),
        raw("{", status=400),
        raw("{}", status=404),
        raw("", status=405),
        raw("", status=500),
        raw("<html>", Content_Type="text/html"),
        raw("[]"),
        raw("1"),
        raw("", status=202),
    ],
)
async def test_where_the_newest_era_is_not_known_hands_are_shaken(discover: Any) -> None:
    """However a server says that it does not know it."""
    script = Script(discover=discover)
    async with scripted(script) as mcp:
        assert [tool.name for tool in await mcp.tools()] == ["look"]
    assert script.methods() == [
        "server/discover",
        "initialize",
        "notifications/initialized",
        "tools/list",
        "DELETE",
    ]
    for _, headers in script.asked[2:]:
        assert headers["Mcp-Session-Id"] == "s1"
        assert headers["MCP-Protocol-Version"] == "2025-06-18"
    assert "MCP-Protocol-Version" not in script.asked[1][1]


async def test_many_who_ask_at_once_connect_once() -> None:
    """The others wait for it."""
    script = Script(call={"content": []})
    async with scripted(script) as mcp:
        await mcp.tools()
        mcp._peer = None
        await asyncio.gather(*(mcp.call("look", {}) for _ in range(5)))
    assert script.methods().count("initialize") == 2


@pytest.mark.parametrize(
    ("status", "headers", "code", "fields"),
    [
        (401, {}, "provider_auth", {}),
        (403, {}, "provider_auth", {}),
        (429, {}, "provider_busy", {}),
        (429, {"Retry-After": "7"}, "provider_busy", {"retry_after": 7}),
        (429, {"Retry-After": "soon"}, "provider_busy", {}),
        (500, {}, "provider_failed", {"http_status": 500}),
        (400, {}, "provider_failed", {"http_status": 400}),
    ],
)
async def test_a_status_has_its_error(
    status: int, headers: dict[str, str], code: str, fields: Json
) -> None:
    """Whatever the server says about it."""
    err = await failure(Script(call=raw("x", status, **headers)))
    assert (err.code, err.fields) == (code, fields)


@pytest.mark.parametrize("place", ["discover", "initialize", "initialized", "list"])
async def test_who_may_not_come_in_is_told_at_every_step(place: str) -> None:
    """A refusal is no reason to try another era."""
    assert (await failure(Script(**{place: raw("", 401)}))).code == "provider_auth"


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ({"initialize": HELLO | {"protocolVersion": "2031-01-01"}}, "provider_invalid"),
        ({"initialize": {}}, "provider_invalid"),
        ({"initialize": {"error": {"code": -1, "message": "no"}}}, "provider_failed"),
        ({"initialized": raw("", 404)}, "provider_failed"),
        ({"list": {"tools": "none"}}, "provider_invalid"),
        ({"list": {"error": {"code": -1, "message": "no"}}}, "provider_failed"),
        ({"call": {"error": {"code": -32603, "message": "no"}}}, "provider_failed"),
        ({"call": raw("{")}, "provider_invalid"),
        ({"call": raw(b"\xff")}, "provider_invalid"),
        ({"call": raw("[]")}, "provider_invalid"),
        ({"call": raw("null")}, "provider_invalid"),
        ({"call": raw('{"result":' + "[" * 100 + "]" * 100 + "}")}, "provider_invalid"),
        ({"call": raw('{"a":' * 9999 + "1" + "}" * 9999)}, "provider_invalid"),
        ({"call": raw('{"result":' + '{"a":' * 70 + "1" + "}" * 71)}, "provider_invalid"),
        ({"call": raw('{"id": null}')}, "provider_invalid"),
        ({"call": raw("", 202)}, "provider_invalid"),
        ({"call": raw('{"id": 999, "result": {}}')}, "provider_cut_off"),
        ({"call": raw(" " * (MOST_MESSAGE + 1))}, "provider_invalid"),
        (
            {"call": raw("\n" * (MOST_MESSAGE + 1), Content_Type="text/event-stream")},
            "provider_invalid",
        ),
        ({"call": raw("data: {}", Content_Type="text/event-stream")}, "provider_cut_off"),
        ({"call": raw("data: {\n\n", Content_Type="text/event-stream")}, "provider_invalid"),
    ],
)
async def test_an_odd_answer_has_its_error(answers: Json, code: str) -> None:
    """Never anything else than an error of providers."""
    assert (await failure(Script(**answers))).code == code


async def broken_off(request: web.Request, _message: Json) -> web.StreamResponse:
    """Begin an answer, and hang up."""
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b"{")
    assert request.transport is not None
    request.transport.close()
    return response


async def silence(_request: web.Request, _message: Json) -> web.StreamResponse:
    """Say nothing for longer than anybody waits."""
    await asyncio.sleep(5)
    return web.Response()


@pytest.mark.parametrize("answer", [broken_off, silence])
async def test_an_answer_that_does_not_come_is_cut_off(answer: Any) -> None:
    """The tool may have run."""
    async with scripted(Script(call=answer), timeout=1) as mcp:
        await mcp.tools()
        with pytest.raises(ProviderError) as caught:
            await mcp.call("look", {})
    assert caught.value.code == "provider_cut_off"


async def test_who_does_not_listen_cannot_be_reached() -> None:
    """Nothing was asked."""
    async with serving() as url:
        pass
    async with talking(f"{url}/mcp") as mcp:
        with pytest.raises(ProviderError) as caught:
            await mcp.check()
    assert caught.value.code == "provider_unreachable"


async def test_what_is_not_http_is_no_answer() -> None:
    """And the token is in no traceback of it."""

    async def shout(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(shout, "127.0.0.1", 0)
    async with server, talking(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as mcp:
        with pytest.raises(ProviderError) as caught:
            await mcp.tools()
    assert (caught.value.code, caught.value.__cause__) == ("provider_invalid", None)


async def test_a_token_is_not_carried_elsewhere() -> None:
    """A redirect is not followed."""
    elsewhere = Script()
    async with serving(mcp=elsewhere) as url:
        moved = raw("", 307, Location=f"{url}/mcp")
        err = await failure(Script(discover=moved, initialize=moved), token="t")
    assert (err.fields, elsewhere.asked) == ({"http_status": 307}, [])


@pytest.mark.parametrize(
    "lost",
    [
        raw("", 404),
        raw('{"error": {"code": -32000, "message": "Bad Request: No valid session ID"}}', 400),
    ],
)
async def test_a_lost_session_is_made_anew_once(lost: Again) -> None:
    """Whether the server says it by the rules or not."""
    script = Script(call=[lost, {"content": [{"type": "text", "text": "seen"}]}])
    async with scripted(script) as mcp:
        assert (await mcp.call("look", {})).text == "seen"
    assert script.methods().count("initialize") == 2


async def test_a_session_that_is_lost_again_and_again_is_an_error() -> None:
    """Twice is enough."""
    script = Script(call=raw("", 404))
    err = await failure(script)
    assert (err.code, err.fields) == ("provider_failed", {"http_status": 404})
    assert script.methods().count("tools/call") == 2


async def test_a_session_that_another_has_made_anew_is_used() -> None:
    """Of two that lose it at once, the second finds a new one."""
    seen = {"content": [{"type": "text", "text": "seen"}]}
    both = asyncio.Event()

    async def first(_request: web.Request, _message: Json) -> web.Response:
        await both.wait()
        return raw("", 404)

    async def second(_request: web.Request, _message: Json) -> web.Response:
        both.set()
        return raw("", 404)

    script = Script(call=[first, second, seen, seen])
    async with scripted(script) as mcp:
        await mcp.tools()
        answers = await asyncio.gather(mcp.call("look", {}), mcp.call("look", {}))
    assert [answer.text for answer in answers] == ["seen", "seen"]
    assert 2 <= script.methods().count("initialize") <= 3


async def test_a_server_may_refuse_our_answer_to_its_question() -> None:
    """The call goes on."""
    events = [{"method": "ping"}, {"id": 7, "method": "ping"}, {"id": 8, "method": "roots/list"}]

    async def asks(_request: web.Request, message: Json) -> web.Response:
        told = [*events, {"id": message["id"], "result": {"content": []}}]
        body = "id: 1\ndata:\n\n" + "".join(f"data: {json.dumps(one)}\r\n\r\n" for one in told)
        return raw(body, Content_Type="text/event-stream")

    script = Script(call=asks, none=raw("", 404))
    async with scripted(script) as mcp:
        assert (await mcp.call("look", {})).text == ""
    answers = [message for message, _ in script.asked if "method" not in message]
    nothing = {"code": -32601, "message": "Nothing is offered here"}
    assert answers == [
        {"jsonrpc": "2.0", "id": 7, "result": {}},
        {"jsonrpc": "2.0", "id": 8, "error": nothing},
    ]


async def test_a_session_that_cannot_be_ended_is_left() -> None:
    """The server is gone."""
    async with ClientSession() as session:
        async with serving(mcp=Script()) as url:
            mcp = Mcp(
                ProviderContext(
                    provider_id="p",
                    options={"url": f"{url}/mcp"},
                    session=session,
                    data_dir=Path(),
                )
            )
            await mcp.tools()
        await mcp.close()
    assert mcp._peer is None


@pytest.mark.parametrize(
    "url", ["", "x", "ftp://x/", "http://", "http://[::1", "http://user:word@x/", "http://x:99999"]
)
def test_what_is_no_address_is_refused_at_once(url: str) -> None:
    """The field is named."""
    with pytest.raises(InvalidRequest) as caught:
        Mcp(ProviderContext(provider_id="p", options={"url": url}, session=None, data_dir=Path()))  # type: ignore[arg-type]  # refused before any session is used
    assert caught.value.fields == {"field": "url"}


@pytest.mark.parametrize("token", ["two words", "two\nlines", "caf\u00e9"])
def test_what_is_no_token_is_refused_at_once(token: str) -> None:
    """It would not fit into a header."""
    options = {"url": "http://x/", "token": token}
    with pytest.raises(InvalidRequest) as caught:
        Mcp(ProviderContext(provider_id="p", options=options, session=None, data_dir=Path()))  # type: ignore[arg-type]  # refused before any session is used
    assert caught.value.fields == {"field": "token"}


# -- without state ------------------------------------------------------------------------------------

STATELESS: Json = {"discover": {"supportedVersions": [STATELESS_VERSION, "2027-01-01"]}}


async def test_without_state_each_message_says_all_of_itself() -> None:
    """In the message, and in the headers by which others may route it."""
    schema = {
        "type": "object",
        "properties": {
            "place": {"type": "string", "x-mcp-header": "Place"},
            "deep": {"properties": {"on": {"type": "boolean", "x-mcp-header": "On"}}},
            "count": {"type": "integer", "x-mcp-header": "Count"},
            "none": {"type": "string", "x-mcp-header": "None"},
            "bad": {"type": "string", "x-mcp-header": "no header"},
            "list": {"type": "array", "x-mcp-header": "List"},
            "odd": True,
        },
    }
    tool = LIST["tools"][0] | {"name": "l\u00f6\u00f6k here", "inputSchema": schema}
    script = Script(
        **STATELESS, list={"tools": [tool]}, call={"content": [], "resultType": "complete"}
    )
    arguments = {
        "place": "Z\u00fcrich",
        "deep": {"on": True},
        "count": 3,
        "none": None,
        "bad": "x",
        "list": [1],
        "odd": 1,
    }
    async with scripted(script) as mcp:
        assert not (await mcp.call("l_k_here", arguments)).error
    assert script.methods() == ["server/discover", "tools/list", "tools/call"]
    for message, headers in script.asked:
        meta = message["params"]["_meta"]
        assert headers["Mcp-Method"] == message["method"]
        assert headers["MCP-Protocol-Version"] == STATELESS_VERSION
        assert meta["io.modelcontextprotocol/protocolVersion"] == STATELESS_VERSION
        assert meta["io.modelcontextprotocol/clientCapabilities"] == {}
        assert meta["io.modelcontextprotocol/clientInfo"]["name"] == "kitty"
        assert "Mcp-Session-Id" not in headers
    told = {name: value for name, value in script.asked[-1][1].items() if name.startswith("Mcp-")}
    assert told == {
        "Mcp-Method": "tools/call",
        "Mcp-Name": "=?base64?bMO2w7ZrIGhlcmU=?=",
        "Mcp-Param-Place": "=?base64?WsO8cmljaA==?=",
        "Mcp-Param-On": "true",
        "Mcp-Param-Count": "3",
    }


async def test_a_tool_that_wants_to_ask_back_has_failed() -> None:
    """There is nobody whom it could ask."""
    result = {"resultType": "input_required", "inputRequests": {}}
    async with scripted(Script(**STATELESS, call=result)) as mcp:
        answer = await mcp.call("look", {})
    assert answer.error
    assert "ask back" in answer.text


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("plain text", "plain text"),
        (" edge", "=?base64?IGVkZ2U=?="),
        ("", "=?base64??="),
        ("line\nbreak", "=?base64?bGluZQpicmVhaw==?="),
        ("=?base64?eA==?=", "=?base64?PT9iYXNlNjQ/ZUE9PT89?="),
        ("\ud800", "=?base64?Pw==?="),
    ],
)
def test_a_text_in_a_header_is_wrapped_where_it_must(text: str, header: str) -> None:
    """So that what is read is what was meant."""
    assert in_header(text) == header
