"""The MCP server: judged by the protocol's own SDK, and by messages that no SDK would send."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
import io
import json
import logging
from pathlib import Path
import re
import subprocess
from typing import Any

from aiohttp import ClientSession
import httpx
import jsonschema_rs
from mcp import ClientSession as McpSession, McpError
from mcp.client.streamable_http import streamable_http_client
from probatio import from_openapi
import pytest

from brain_server.api import mcp as server
from brain_server.app import Brain
from brain_server.commands import Scope
from brain_server.protocol import CommandStatus, Json
from brain_server.providers import ProviderContext
from brain_server.providers.mcp import Mcp
from tests.brain.home import TOKEN, Answered, Home, Rest, until
from tests.brain.soon import SOON
from tests.standins.mcp_server import NEXT

TOOLS = {
    "kitty__commands_get",
    "kitty__commands_list",
    "kitty__devices_get",
    "kitty__devices_list",
    "kitty__devices_request",
    "kitty__jobs_list",
    "kitty__safety_events",
    "kitty__system_health",
    "kitty__telemetry_list",
}
VERSION = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
}


@asynccontextmanager
async def session(brain: Brain, token: str = TOKEN) -> AsyncIterator[McpSession]:
    """Connect with the SDK that Home Assistant's own MCP client is made of."""
    async with (
        httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as client,
        streamable_http_client(f"http://127.0.0.1:{brain.port}/mcp", http_client=client) as streams,
        McpSession(*streams[:2]) as made,
    ):
        await made.initialize()
        yield made


async def told(client: McpSession, name: str, **arguments: Any) -> str:
    """Return what a tool says; an assertion fails when it is an error."""
    answer = await client.call_tool(f"kitty__{name}", arguments)
    assert not answer.isError, answer
    return str(answer.content[0].text)  # type: ignore[union-attr]  # the shape is what is tested


async def refused(client: McpSession, name: str, **arguments: Any) -> str:
    """Return the code of the error that a tool says."""
    answer = await client.call_tool(f"kitty__{name}", arguments)
    assert answer.isError, answer
    return str(answer.content[0].text).partition(":")[0]  # type: ignore[union-attr]  # the shape is what is tested


async def asked(client: McpSession, **arguments: Any) -> tuple[str, Json]:
    """Ask for something; returns the words and the command."""
    words, text = (await told(client, "devices_request", **arguments)).split("\n")
    return words, json.loads(text)["command"]


# -- what is offered ----------------------------------------------------------------------------------


async def test_a_client_is_greeted(brain: Brain) -> None:
    """With who we are, what there is, and how to use it."""
    async with session(brain) as client:
        greeting = await client.initialize()
        assert (greeting.serverInfo.name, greeting.protocolVersion) == ("kitty", "2025-11-25")
        assert greeting.capabilities.tools is not None
        assert greeting.capabilities.prompts is None
        assert "no tool can approve" in (greeting.instructions or "")
        await client.send_ping()
        assert (await client.list_resources()).resources == []
        assert (await client.list_resource_templates()).resourceTemplates == []


async def test_only_what_describes_itself_to_models_is_offered(brain: Brain) -> None:
    """Another one is a decision: it is added here, too."""
    async with session(brain) as client:
        tools = (await client.list_tools()).tools
    assert {tool.name for tool in tools} >= TOOLS
    described = {
        server.tool_name(spec)
        for spec in brain.dispatcher.commands.values()
        if spec.tool and spec.scope <= Scope.CONTROL
    }
    assert {tool.name for tool in tools} == described
    assert all(re.fullmatch("[a-zA-Z0-9_-]{1,64}", tool.name) for tool in tools)


async def test_one_tool_alone_can_change_anything(brain: Brain) -> None:
    """It says so; every other one only reads."""
    async with session(brain) as client:
        tools = (await client.list_tools()).tools
    hints = {tool.name: tool.annotations for tool in tools}
    changing = {name for name, hint in hints.items() if not (hint and hint.readOnlyHint)}
    assert changing == {"kitty__devices_request"}
    request = hints["kitty__devices_request"]
    assert request is not None
    assert (request.destructiveHint, request.openWorldHint) == (True, False)


def test_nothing_that_decides_or_vouches_is_described_to_models(brain: Brain) -> None:
    """Not even to one with every right."""
    described = {spec.action for spec in brain.dispatcher.commands.values() if spec.tool}
    deciding = {"safety.decide", "safety.withdraw", "commands.settle", "conversation.process"}
    assert not described & deciding
    assert not {
        name for name in described if name.startswith(("tokens.", "integration.", "audit."))
    }


async def test_every_schema_stands_alone_and_every_client_can_read_it(brain: Brain) -> None:
    """Also Home Assistant's own, which knows no references."""
    async with session(brain) as client:
        tools = (await client.list_tools()).tools
    for tool in tools:
        jsonschema_rs.meta.validate(tool.inputSchema)
        assert tool.inputSchema["type"] == "object"
        assert "$ref" not in json.dumps(tool.inputSchema)
        from_openapi(tool.inputSchema)
    request = next(tool for tool in tools if tool.name == "kitty__devices_request")
    assert request.inputSchema["required"] == ["device_id", "intent"]


async def test_a_token_that_may_only_read_is_offered_only_that(home: Home) -> None:
    """And is refused the rest, as on every road."""
    token = await home.token("read")
    async with session(home.brain, token) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        code = await refused(client, "devices_request", device_id="x", intent="lock")
    assert "kitty__devices_list" in names
    assert "kitty__devices_request" not in names
    assert code == "scope_required"


# -- what is called -----------------------------------------------------------------------------------


async def test_a_tool_answers_as_its_command_does(home: Home, rest: Rest) -> None:
    """The same data, as text."""
    door = await home.puppet("door", "door")
    async with session(home.brain) as client:
        listed = json.loads(await told(client, "devices_list", limit=1))
        one = json.loads(await told(client, "devices_get", device_id=door.context.device_id))
    assert listed == (await rest.get("/api/v1/devices.list?limit=1")).data
    assert one == listed["items"][0]


@pytest.mark.parametrize(
    ("name", "arguments", "code"),
    [
        ("devices_get", {"device_id": "x"}, "device_not_found"),
        ("devices_get", {}, "invalid_params"),
        ("devices_get", {"device_id": 7}, "invalid_params"),
        ("devices_get", {"device_id": "x", "other": 1}, "invalid_params"),
        ("devices_list", {"limit": 0}, "invalid_params"),
        ("devices_request", {"device_id": "x", "intent": "unlock"}, "device_not_found"),
        ("commands_get", {"command_id": "x"}, "command_not_found"),
    ],
)
async def test_what_goes_wrong_in_a_tool_is_told_to_the_model(
    brain: Brain, name: str, arguments: Json, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    """By its code; and to the log, once."""
    caplog.set_level(logging.INFO, "brain_server.api.dispatch")
    async with session(brain) as client:
        assert await refused(client, name, **arguments) == code
    action = name.replace("_", ".", 1)
    assert caplog.messages == [f"{action} refused: {code}"]


@pytest.mark.parametrize(
    "name",
    [
        "kitty__safety_decide",
        "kitty__tokens_create",
        "kitty__audit_list",
        "safety.decide",
        "devices_list",
        "devices.list",
        "",
    ],
)
async def test_what_is_not_offered_cannot_be_called(brain: Brain, name: str) -> None:
    """Although there is such a command, and although the token may run it elsewhere."""
    async with session(brain) as client:
        with pytest.raises(McpError) as caught:
            await client.call_tool(name, {})
    assert (caught.value.error.code, caught.value.error.message) == (
        -32602,
        "There is no such tool",
    )


async def test_what_is_dangerous_is_only_asked_for(home: Home) -> None:
    """The answer says for how many people it waits; nothing is sent."""
    door = await home.puppet("door", "door", "shop")
    vault = await home.puppet("vault", "door", "lab")
    async with session(home.brain) as client:
        one, command = await asked(client, device_id=door.context.device_id, intent="unlock")
        two, _ = await asked(client, device_id=vault.context.device_id, intent="unlock")
    assert one.startswith("Asked for, and not done. It waits for one person to approve it")
    assert two.startswith("Asked for, and not done. It waits for 2 people to approve it")
    assert (command["status"], command["channel"], command["requested_by"]) == (
        "pending",
        "api",
        None,
    )
    assert door.orders == {}


async def test_what_people_then_approve_is_done(home: Home) -> None:
    """The model can see it, and had no part in it."""
    door = await home.puppet("door", "door", "shop")
    door.shows = {"locked": False}
    async with session(home.brain) as client:
        _, command = await asked(client, device_id=door.context.device_id, intent="unlock")
        (event,) = json.loads(await told(client, "safety_events"))["items"]
        asked_of = await home.event("safety.event", lambda one: one["id"] == event["id"])
        await home.decide(asked_of, "ada")
        await home.ended(command["id"])
        done = json.loads(await told(client, "commands_get", command_id=command["id"]))
    assert (done["status"], event["status"]) == ("acked", "pending")


async def test_no_answer_holds_what_an_approval_is_made_of(home: Home) -> None:
    """Not even for the token of Home Assistant, which sees it elsewhere."""
    door = await home.puppet("door", "door", "shop")
    async with session(home.brain) as client:
        first = await told(
            client, "devices_request", device_id=door.context.device_id, intent="unlock"
        )
        again = await told(client, "safety_events")
    (event,) = (await home.command("safety.events"))["items"]
    assert event["nonce"]
    assert event["nonce"] not in first + again
    assert "nonce" not in first + again


async def test_what_harms_nobody_is_done_at_once(home: Home) -> None:
    """And said to be done when it was observed."""
    light = await home.puppet("light", "light", "hall")
    light.shows = {"on": True}
    async with session(home.brain) as client:
        words, command = await asked(
            client, device_id=light.context.device_id, intent="light_on", wait=5
        )
    assert (words, command["status"]) == ("Done; the new state was observed.", "acked")


async def test_what_is_still_under_way_is_said_to_be(home: Home) -> None:
    """Without waiting for it."""
    light = await home.puppet("light", "light", "hall")
    light.reaction, light.shows = asyncio.Event(), {"on": True}
    async with session(home.brain) as client:
        words, command = await asked(client, device_id=light.context.device_id, intent="light_on")
        light.reaction.set()
        await home.ended(command["id"])
    assert words == "Under way; kitty__commands_get tells what comes of it."


async def test_what_can_never_be_allowed_is_refused(home: Home) -> None:
    """By the gate's own reason."""
    door = await home.puppet("door", "door", None)
    async with session(home.brain) as client:
        code = await refused(
            client, "devices_request", device_id=door.context.device_id, intent="unlock"
        )
    assert code == "no_zone"


def test_there_are_words_for_whatever_becomes_of_a_request() -> None:
    """And they name no tool that is not there."""
    assert set(server._COMES) == set(CommandStatus)
    named = set(re.findall(r"kitty__\w+", " ".join(server._COMES.values()) + server.INSTRUCTIONS))
    assert named <= TOOLS


async def test_an_answer_that_is_too_large_is_none(
    brain: Brain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model is told to ask for less."""
    monkeypatch.setattr(server, "MAX_FRAME_BYTES", 10)
    async with session(brain) as client:
        assert await refused(client, "system_health") == "answer_too_large"


async def test_half_of_a_character_does_not_break_an_answer(home: Home) -> None:
    """A device may say anything."""
    door = await home.puppet("door", "door")
    door.show(note="\ud83d")
    device = home.brain.registry.get(door.context.device_id)
    await until(lambda: device.observed.state, "the state")
    async with session(home.brain) as client:
        one = json.loads(await told(client, "devices_get", device_id=door.context.device_id))
    assert one["state"]["note"] == "?"


async def test_a_brain_that_goes_down_says_so(brain: Brain) -> None:
    """As on every road."""
    async with session(brain) as client:
        brain.dispatcher.draining = True
        assert await refused(client, "system_health") == "shutting_down"


# -- messages -----------------------------------------------------------------------------------------


async def send(rest: Rest, message: Any, **headers: str) -> Answered:
    """Send one message, as it is when it is bytes."""
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    told = {"Content-Type": "application/json"} | {
        k.replace("_", "-"): v for k, v in headers.items()
    }
    return await rest.call("POST", "/mcp", data=body, headers=told)


def call(method: str, number: Any = 1, **params: Any) -> Json:
    """Return a request."""
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


NO_MESSAGES: list[tuple[Any, int]] = [
    (b"", -32700),
    (b"{", -32700),
    (b"\xff", -32700),
    (b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"a": NaN}}', -32700),
    (b"[" * 100_000, -32700),
    ([call("ping")], -32600),
    ([], -32600),
    ("ping", -32600),
    (None, -32600),
    ({}, -32600),
    (call("ping") | {"jsonrpc": "1.0"}, -32600),
    (call("ping") | {"method": 7}, -32600),
    (call("ping") | {"params": [1]}, -32600),
    (call("ping") | {"params": None}, -32600),
    (call("ping", None), -32600),
    (call("ping", True), -32600),
    (call("ping", 1.5), -32600),
    (call("ping", {}), -32600),
    ({"jsonrpc": "2.0", "id": 1, "result": {}}, -32600),
]


async def test_what_is_no_message_is_refused(rest: Rest) -> None:
    """With the code of JSON-RPC, and in words of HTTP."""
    answers = [await send(rest, message) for message, _ in NO_MESSAGES]
    assert [one.json["error"]["code"] for one in answers] == [code for _, code in NO_MESSAGES]
    assert {(one.status, one.json["jsonrpc"], one.json["id"]) for one in answers} == {
        (400, "2.0", None)
    }


async def test_an_answer_has_the_number_of_its_question(rest: Rest) -> None:
    """Whatever that is."""
    numbers = [0, -7, "", "a", 2**63 - 1]
    answers = [(await send(rest, call("ping", number))).json for number in numbers]
    assert answers == [{"jsonrpc": "2.0", "id": number, "result": {}} for number in numbers]


async def test_a_notification_is_taken_without_a_word(rest: Rest) -> None:
    """In both eras."""
    message = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    for headers in ({}, {"MCP_Protocol_Version": VERSION}):
        answer = await send(rest, message, **headers)
        assert (answer.status, answer.body) == (202, b"")


async def test_a_method_that_is_not_there_is_an_error(rest: Rest) -> None:
    """After a handshake with status 200, as its clients expect it."""
    for method in ("prompts/list", "server/discover", "resources/read", "x"):
        answer = await send(rest, call(method))
        assert (answer.status, answer.json["error"]["code"]) == (200, -32601)


async def test_a_handshake_agrees_on_a_version(rest: Rest) -> None:
    """On the client's where it is known, else on our newest."""
    known = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"]
    unknown: list[Any] = ["2026-07-28", "1999-01-01", None, []]
    hellos = [call("initialize", protocolVersion=version) for version in [*known, *unknown]]
    answers = [await send(rest, hello) for hello in hellos]
    agreed = [one.json["result"]["protocolVersion"] for one in answers]
    assert agreed == known + ["2025-11-25"] * len(unknown)
    assert not any("Mcp-Session-Id" in one.headers for one in answers)


async def test_a_call_without_a_tool_is_an_error(rest: Rest) -> None:
    """Of the message, not of a tool."""
    odd: list[Json] = [{}, {"name": 7}, {"name": ["kitty__system_health"]}]
    answers = [(await send(rest, call("tools/call", **params))).json for params in odd]
    assert [one["error"]["code"] for one in answers] == [-32602] * 3


async def test_arguments_that_are_no_object_are_told_to_the_model(rest: Rest) -> None:
    """Nothing ran."""
    odd: list[Any] = [[], "x", 7]
    calls = [call("tools/call", name="kitty__devices_get", arguments=one) for one in odd]
    results = [(await send(rest, one)).json["result"] for one in calls]
    assert [one["isError"] for one in results] == [True] * 3
    assert {one["content"][0]["text"].partition(":")[0] for one in results} == {"invalid_params"}


async def test_a_call_needs_no_arguments_where_the_tool_needs_none(rest: Rest) -> None:
    """Left out, or null."""
    for params in ({}, {"arguments": None}):
        answer = await send(rest, call("tools/call", name="kitty__system_health", **params))
        assert not answer.json["result"]["isError"]


# -- without state ------------------------------------------------------------------------------------


async def modern(rest: Rest, method: str, meta: Any = META, **params: Any) -> Answered:
    """Send a request as since 2026-07-28."""
    headers = {"MCP_Protocol_Version": VERSION, "Mcp_Method": method}
    if "name" in params:
        headers["Mcp_Name"] = params["name"]
    return await send(rest, call(method, _meta=meta, **params), **headers)


async def test_a_server_is_discovered(rest: Rest) -> None:
    """Its version, its name, and for how long and for whom the answer holds."""
    result = (await modern(rest, "server/discover")).json["result"]
    assert result["supportedVersions"] == [VERSION]
    assert result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "kitty"
    assert (result["resultType"], result["cacheScope"]) == ("complete", "private")
    assert result["ttlMs"] > 0


async def test_without_state_the_same_tools_answer_the_same(rest: Rest) -> None:
    """With what that era adds."""
    listed = (await modern(rest, "tools/list")).json["result"]
    before = (await send(rest, call("tools/list"))).json["result"]
    health = (await modern(rest, "tools/call", name="kitty__system_health")).json["result"]
    assert listed["tools"] == before["tools"]
    assert (listed["resultType"], health["resultType"]) == ("complete", "complete")
    assert "ttlMs" not in health
    assert json.loads(health["content"][0]["text"])["status"] == "ok"


async def test_without_state_what_is_not_there_is_not_found(rest: Rest) -> None:
    """In words of HTTP, too."""
    answers = [await modern(rest, method) for method in ("initialize", "ping", "prompts/list")]
    assert {(one.status, one.json["error"]["code"]) for one in answers} == {(404, -32601)}


async def test_a_name_may_be_wrapped_in_its_header(rest: Rest) -> None:
    """It is the same name."""
    message = call("tools/call", name="caf\u00e9", _meta=META)
    headers = {"MCP_Protocol_Version": VERSION, "Mcp_Method": "tools/call"}
    right = await send(rest, message, Mcp_Name="=?base64?Y2Fmw6k=?=", **headers)
    wrong = await send(rest, message, Mcp_Name="=?base64?Y2Fm?=", **headers)
    assert (right.status, right.json["error"]["message"]) == (400, "There is no such tool")
    assert (wrong.status, wrong.json["error"]["code"]) == (400, -32020)


HEADERS = {"MCP_Protocol_Version": VERSION, "Mcp_Method": "tools/call", "Mcp_Name": "a"}


DECEITS: list[tuple[dict[str, str], Json, int]] = [
    (HEADERS, {"name": "a"}, -32602),
    (HEADERS, {"name": "a", "_meta": None}, -32602),
    (HEADERS, {"name": "a", "_meta": {}}, -32602),
    (
        HEADERS,
        {"name": "a", "_meta": META | {"io.modelcontextprotocol/protocolVersion": 7}},
        -32020,
    ),
    (HEADERS | {"Mcp_Method": "tools/list"}, {"name": "a", "_meta": META}, -32020),
    (HEADERS | {"Mcp_Name": "b"}, {"name": "a", "_meta": META}, -32020),
    (HEADERS, {"name": 7, "_meta": META}, -32020),
    (HEADERS, {"_meta": META}, -32020),
    ({"MCP_Protocol_Version": VERSION}, {"name": "a", "_meta": META}, -32020),
    (HEADERS | {"MCP_Protocol_Version": "2027-01-01"}, {"name": "a", "_meta": META}, -32020),
    (
        HEADERS | {"MCP_Protocol_Version": "2027-01-01"},
        {
            "name": "a",
            "_meta": META | {"io.modelcontextprotocol/protocolVersion": "2027-01-01"},
        },
        -32022,
    ),
]


async def test_headers_that_say_something_else_than_the_message_are_refused(rest: Rest) -> None:
    """Whoever routes by them would be deceived."""
    answers = [await send(rest, call("tools/call", **said), **told) for told, said, _ in DECEITS]
    assert [one.json["error"]["code"] for one in answers] == [code for *_, code in DECEITS]
    assert {(one.status, one.json["id"]) for one in answers} == {(400, 1)}


async def test_a_version_that_is_not_known_is_answered_with_those_that_are(rest: Rest) -> None:
    """Also a notification of it."""
    message = {"jsonrpc": "2.0", "method": "notifications/x"}
    answer = await send(rest, message, MCP_Protocol_Version="2027-01-01")
    assert (answer.status, answer.json["error"]["code"]) == (400, -32022)
    assert answer.json["error"]["data"]["requested"] == "2027-01-01"
    assert {VERSION, "2024-11-05"} <= set(answer.json["error"]["data"]["supported"])


JUDGE = """
import asyncio, json, sys
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

async def main(url, token):
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(headers=headers) as http:
        async with Client(streamable_http_client(url, http_client=http)) as client:
            names = [tool.name for tool in (await client.list_tools()).tools]
            answer = await client.call_tool("kitty__system_health", {})
            missing = await client.call_tool("kitty__devices_get", {"device_id": "x"})
            print(json.dumps([client.protocol_version, names, answer.is_error, missing.is_error]))

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.skipif(not NEXT.exists(), reason=f"needs the next MCP SDK in {NEXT}")
async def test_the_next_sdk_speaks_the_newest_era_with_us(brain: Brain) -> None:
    """By itself, as it finds us."""
    url = f"http://127.0.0.1:{brain.port}/mcp"
    process = await asyncio.create_subprocess_exec(
        NEXT, "-c", JUDGE, url, TOKEN, stdout=subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), SOON)
    version, names, failed, missing = json.loads(out)
    assert (version, failed, missing) == (VERSION, False, True)
    assert set(names) >= TOOLS


async def test_our_own_client_understands_us(home: Home) -> None:
    """One brain may ask another; it is offered only what reads."""
    async with ClientSession() as made:
        url, token = f"http://127.0.0.1:{home.brain.port}/mcp", await home.token("control")
        options = {"url": url, "token": token}
        client = Mcp(
            ProviderContext(provider_id="p", options=options, session=made, data_dir=Path())
        )
        names = {tool.name for tool in await client.tools()}
        answer = await client.call("kitty__system_health", {})
    assert TOOLS - names == {"kitty__devices_request"}
    assert json.loads(answer.text)["status"] == "ok"


# -- who may come in ----------------------------------------------------------------------------------


async def test_without_a_token_nothing_is_told(brain: Brain) -> None:
    """Not even that a message is wrong."""
    async with Rest(brain, token="guess") as stranger:
        for message in (call("ping"), b"{", call("initialize")):
            answer = await send(stranger, message)
            assert (answer.status, answer.code) == (401, "invalid_token")
            assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_a_web_page_may_not_come_in(rest: Rest) -> None:
    """Wherever it says that it is from."""
    origins = ["http://evil.example", "http://127.0.0.1:8100", "null", ""]
    answers = [await send(rest, call("ping"), Origin=origin) for origin in origins]
    assert {(one.status, one.code) for one in answers} == {(403, "origin_refused")}


async def test_there_is_no_stream_and_no_session(rest: Rest) -> None:
    """One message is one POST."""
    headers = {"Accept": "text/event-stream"}
    methods = ("GET", "DELETE", "PUT", "OPTIONS")
    answers = [await rest.call(method, "/mcp", headers=headers) for method in methods]
    assert {(one.status, one.headers["Allow"]) for one in answers} == {(405, "POST")}


async def test_a_message_that_is_too_large_is_not_read(rest: Rest) -> None:
    """A megabyte is the most."""
    answer = await rest.call("POST", "/mcp", data=io.BytesIO(b" " * (1024 * 1024 + 1)))
    assert (answer.status, answer.code) == (413, "too_large")


async def test_a_message_that_does_not_arrive_whole_is_refused(brain: Brain) -> None:
    """Instead of being answered with an error of ours."""
    reader, writer = await asyncio.open_connection("127.0.0.1", brain.port)
    head = f"POST /mcp HTTP/1.1\r\nHost: b\r\nAuthorization: Bearer {TOKEN}\r\n"
    writer.write(f"{head}Content-Encoding: deflate\r\nContent-Length: 4\r\n\r\nxxxx".encode())
    line = await asyncio.wait_for(reader.readline(), SOON)
    writer.close()
    assert line.split()[1] == b"400"
