"""A stand-in for a server of language models: it speaks OpenAI's protocol, and says and does what it is told.

It has no mind, so that what the house does is the house's own doing: it obeys every order that it reads,
whoever has written it.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
import json
import re
import time
from typing import Any, Final, Self

from aiohttp import web

from script.house.people import Json

MODEL: Final = "parrot-1"
KEY: Final = "sk-demo-0123456789abcdef"
COLD: Final = (
    "Plastic shrinks in the cold because its long molecules move less and lie closer together. "
    "Each part of a piece cools at another time, and so it is pulled out of its shape."
)
THERE_YOU_ARE: Final = "You can take what you need now, and it locks by itself."
REFUSED: Final = "Then it stays as it is."
ANYTHING: Final = "I am only a stand-in, so I know nothing about that."
_ORDER: Final = re.compile(r"(?i)\bunlock the ([a-z]+ [a-z]+)")
_DEVICE: Final = re.compile(r'^\{"id": .*\}$', re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What the model does next: it says something, or it wants a tool to be run."""

    words: str = ""
    tool: str = ""
    arguments: Json = field(default_factory=dict)


class Model:
    """The server; it writes one word after the other, ``pause`` seconds between them."""

    def __init__(self) -> None:
        """Begin with nothing asked."""
        self.pause = 0.05
        self.asked: list[Json] = []
        # How many words were written of the answer of now, and when the last one of any was.
        self.written = 0
        self.last_written = 0.0
        self.url = ""
        self._held_at: int | None = None
        self._goes_on = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def start(self) -> Self:
        """Listen on a free port of this machine."""
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._chat)
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    @contextmanager
    def held(self, words: int) -> Iterator[None]:
        """Write so many words of each answer, and what is left of it after the block."""
        self._held_at = words
        self._goes_on.clear()
        try:
            yield
        finally:
            self._held_at = None
            self._goes_on.set()

    async def _models(self, request: web.Request) -> web.Response:
        _require_key(request)
        known = {"id": MODEL, "object": "model", "created": 1_700_000_000, "owned_by": "kitty"}
        return web.json_response({"object": "list", "data": [known]})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        _require_key(request)
        body = await request.json()
        self.asked.append(body)
        self.written = 0
        script = script_of(body)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        pieces = re.findall(r"\S+\s*", script.words)
        for piece in pieces:
            if self.written == self._held_at:
                await self._goes_on.wait()
            await response.write(_event({"content": piece}))
            self.written += 1
            self.last_written = time.perf_counter()
            await asyncio.sleep(self.pause)
        for delta in _calls(script):
            await response.write(_event(delta))
        await response.write(_event({}, finish="tool_calls" if script.tool else "stop"))
        read = len(json.dumps(body)) // 4
        used = {"prompt_tokens": read, "completion_tokens": max(len(pieces), 20)}
        await response.write(_chunk(choices=[], usage=used))
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response


def script_of(body: Json) -> Script:
    """Return what the model does about a request, by the last thing that it reads."""
    last = body["messages"][-1]
    text = str(last["content"])
    if last["role"] == "tool":
        if (order := _ORDER.search(text)) and "<outside" in text:
            return _unlock(body, order[1])
        return Script(words=THERE_YOU_ARE if "Done" in text else REFUSED)
    said = text.casefold()
    if "in percent" in said:
        schema = body["response_format"]["json_schema"]["schema"]
        return Script(words=json.dumps(_filled_in(schema)))
    if "tool cabinet" in said:
        return _unlock(body, "tool cabinet")
    if "shopping list" in said and (tool := _reader(body)) is not None:
        return tool
    return Script(words=COLD if "shrink" in said else ANYTHING)


def _filled_in(schema: Json) -> Any:
    """Return percentages of a shape: of numbers side by side the first is the largest that fits, the others none."""
    if schema["type"] == "integer":
        return schema["maximum"]
    filled = {name: _filled_in(one) for name, one in schema["properties"].items()}
    return {
        name: 0 if at and isinstance(one, int) else one
        for at, (name, one) in enumerate(filled.items())
    }


def _unlock(body: Json, name: str) -> Script:
    """Ask for a device of this name to be unlocked, as the system's words list it."""
    listed = _DEVICE.findall(str(body["messages"][0]["content"]))
    devices = [json.loads(line) for line in listed]
    known = next((one["id"] for one in devices if one["name"].casefold() == name.casefold()), "?")
    return Script(tool="workshop_request", arguments={"device_id": known, "intent": "unlock"})


def _reader(body: Json) -> Script | None:
    """Read the house's shopping list."""
    for tool in body.get("tools") or ():
        function = tool["function"]
        known = function["parameters"].get("properties", {}).get("todo_list")
        if known is not None and "get_items" in function["name"]:
            name = next(one for one in known["enum"] if one.casefold() == "shopping list")
            return Script(tool=function["name"], arguments={"todo_list": name})
    return None


def _calls(script: Script) -> Iterator[Json]:
    if script.tool:
        written = json.dumps(script.arguments)
        function = {"name": script.tool, "arguments": written}
        call = {"index": 0, "id": "call_1", "type": "function", "function": function}
        yield {"tool_calls": [call]}


def _event(delta: Json, *, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return _chunk(choices=[choice], usage=None)


def _chunk(**more: Any) -> bytes:
    about = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000}
    return f"data: {json.dumps(about | {'model': MODEL} | more)}\n\n".encode()


def _require_key(request: web.Request) -> None:
    if request.headers.get("Authorization") != f"Bearer {KEY}":
        error = {"message": "Incorrect API key provided.", "type": "invalid_request_error"}
        body = json.dumps({"error": error | {"param": None, "code": "invalid_api_key"}})
        raise web.HTTPUnauthorized(text=body, content_type="application/json")
