"""What ends while a request is under way: a token that is revoked, a part that is switched off."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
import json

from aiohttp import ClientError
import pytest

from brain_server.app import Brain
from brain_server.protocol import Json
from tests.brain.api.sdk import scripts
from tests.brain.home import Home, Rest, until
from tests.brain.minds.double import Double
from tests.brain.stage import Scripts, near

__all__ = ["scripts"]

HELLO: Json = {"messages": [{"role": "user", "content": "Say hello."}]}
CHAT: Json = {"model": "auto"} | HELLO
CALL: Json = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "kitty__system_health"},
}
COMMAND: Json = {"action": "system.info"}
TALK: Json = {"action": "generate.text", "params": HELLO}
ROADS = {
    "a command": ("/api/v1/actions", json.dumps(COMMAND)),
    "several": ("/api/v1/batch", json.dumps({"actions": [COMMAND]})),
    "a stream": ("/api/v1/stream", json.dumps(TALK)),
    "a file": ("/api/v1/files?name=x.gcode", "G28\nG1 X10 E1\n"),
    "a tool": ("/mcp", json.dumps(CALL)),
    "a completion": ("/v1/chat/completions", json.dumps(CHAT)),
}
STREAMS = {
    "a stream": ("/api/v1/stream", TALK),
    "chunks": ("/v1/chat/completions", CHAT | {"stream": True}),
    "a whole completion": ("/v1/chat/completions", CHAT),
}


async def guest_of(home: Home) -> Json:
    """Make a token that nobody has used."""
    made: Json = await home.command("tokens.create", {"name": "guest", "scope": "control"})
    return made


@asynccontextmanager
async def half_sent(
    brain: Brain, token: Json, path: str, body: str
) -> AsyncIterator[asyncio.Future[tuple[int, Json]]]:
    """Send all of a request but its last byte, which follows the block; yields its answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", brain.port)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: brain\r\nConnection: close\r\n"
        f"Authorization: Bearer {token['token']}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write((head + body[:-1]).encode())
    await until(lambda: brain.tokens._by_id[token["id"]].last_used, "that it is let in")
    answer: asyncio.Future[tuple[int, Json]] = asyncio.get_running_loop().create_future()
    yield answer
    writer.write(body[-1:].encode())
    raw_head, _, raw_body = (await reader.read()).partition(b"\r\n\r\n")
    answer.set_result((int(raw_head.split()[1]), json.loads(raw_body)))
    writer.close()


@pytest.mark.parametrize(("path", "body"), ROADS.values(), ids=ROADS)
async def test_a_request_whose_token_is_revoked_before_it_is_here_whole_is_refused(
    home: Home, path: str, body: str
) -> None:
    """Whoever began one in time cannot keep it back for later."""
    guest = await guest_of(home)
    async with half_sent(home.brain, guest, path, body) as answer:
        await home.command("tokens.revoke", {"token_id": guest["id"]})
    status, told = answer.result()
    assert (status, told["error"]["code"]) in {(401, "invalid_token"), (401, "invalid_api_key")}
    assert (await home.command("files.list"))["items"] == []


@pytest.mark.parametrize(
    ("name", "road"), [("mcp", "a tool"), ("openai", "a completion")], ids=["mcp", "openai"]
)
async def test_a_request_to_a_part_that_is_switched_off_before_it_is_here_whole_is_refused(
    home: Home, name: str, road: str
) -> None:
    """Off is off for what comes after it."""
    guest = await guest_of(home)
    admin = {"user_id": "dan", "channel": "dashboard"}
    async with half_sent(home.brain, guest, *ROADS[road]) as answer:
        await home.command("capabilities.set", {"name": name, "enabled": False}, caller=admin)
    assert answer.result()[1]["error"]["code"] == "capability_off"


@pytest.mark.parametrize(("path", "body"), STREAMS.values(), ids=STREAMS)
async def test_a_stream_whose_token_is_revoked_ends_at_once(
    home: Home, scripts: Scripts, path: str, body: Json
) -> None:
    """As a socket does: not another word is heard, and the model stops."""
    await near(home)
    gate = asyncio.Event()
    scripts["near"] = lambda _request: ["First ", gate, "last."]
    guest = await guest_of(home)
    heard = b""

    async def listen() -> None:
        nonlocal heard
        async with Rest(home.brain, guest["token"]) as rest:
            with suppress(ClientError):
                async with rest.session.post(f"{rest.url}{path}", json=body) as answer:
                    async for chunk in answer.content.iter_any():
                        heard += chunk

    listening = asyncio.get_running_loop().create_task(listen())
    await until(lambda: "near" in Double.heard, "the question")
    await home.command("tokens.revoke", {"token_id": guest["id"]})
    await until(lambda: Double.cancelled, "the end of the model")
    gate.set()
    await listening
    await until(lambda: not home.brain.dispatcher.running, "the end of the command")
    assert b"last." not in heard
