"""A stand-in for Anthropic's API, which says what a test wants; Anthropic's own SDK understands it."""

from collections.abc import Iterator
import json
from typing import Any, override

from aiohttp import web

from tests.standins.model_api import ModelApi, in_pieces


class AnthropicApi(ModelApi):
    """Messages and the list of models."""

    models = ("claude-test-4-20260101", "claude-test-4-20250601", "claude-small-20250101")

    @override
    def routes(self) -> list[web.RouteDef]:
        """Return the paths of Anthropic."""
        return [web.post("/v1/messages", self._messages), web.get("/v1/models", self._models)]

    @override
    def knows(self, request: web.Request) -> bool:
        """Look for the key in the header that Anthropic has for it, and for the version."""
        version = request.headers.get("anthropic-version")
        return request.headers.get("x-api-key") == self.key and version == "2023-06-01"

    @override
    def error(self, status: int, kind: str, message: str, code: Any = None) -> Any:
        """Return Anthropic's shape of an error."""
        error = {"type": kind, "message": message}
        return {"type": "error", "error": error, "request_id": "req_1"}

    def events(self, body: Any) -> Iterator[bytes]:
        """Yield the events of an answer; a forced tool says the words as its arguments."""
        reply = self.reply
        read, written = reply.tokens
        forced = (body.get("tool_choice") or {}).get("name")
        calls = [(forced, "".join(reply.pieces))] if forced else list(reply.calls)
        usage = {
            "input_tokens": read - 5,
            "cache_creation_input_tokens": 2,
            "cache_read_input_tokens": 3,
            "output_tokens": 1,
        }
        message = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-test-4-20260101",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage,
        }
        yield _event("message_start", message=message)
        yield _event("ping")
        index = 0
        if reply.pieces and not forced:
            deltas = [{"type": "text_delta", "text": piece} for piece in reply.pieces]
            yield from _block(0, {"type": "text", "text": ""}, deltas)
            index = 1
        for at, (name, arguments) in enumerate(calls, index):
            deltas = [
                {"type": "input_json_delta", "partial_json": piece}
                for piece in ["", *in_pieces(arguments)]
            ]
            block = {"type": "tool_use", "id": f"toolu_{at}", "name": name, "input": {}}
            yield from _block(at, block, deltas)
        finish = reply.finish or ("tool_use" if calls else "end_turn")
        delta = {"stop_reason": finish, "stop_sequence": None}
        yield _event("message_delta", delta=delta, usage={"output_tokens": written})
        yield _event("message_stop")

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        body = self.asked[-1]
        if not any(name.startswith(str(body.get("model"))) for name in self.models):
            return self.refuse(404, "not_found_error", f"model: {body.get('model')}")
        if "max_tokens" not in body:
            return self.refuse(400, "invalid_request_error", "max_tokens: Field required")
        return await self.stream(request, list(self.events(body)))

    async def _models(self, _request: web.Request) -> web.Response:
        known = [
            {
                "type": "model",
                "id": name,
                "display_name": name,
                "created_at": "2026-01-01T00:00:00Z",
                "max_input_tokens": 200_000,
                "max_tokens": 64_000,
            }
            for name in self.models
        ]
        ends = {"first_id": known[0]["id"], "last_id": known[-1]["id"], "has_more": False}
        return web.json_response({"data": known, **ends})


def _block(index: int, block: Any, deltas: list[Any]) -> Iterator[bytes]:
    yield _event("content_block_start", index=index, content_block=block)
    for delta in deltas:
        yield _event("content_block_delta", index=index, delta=delta)
    yield _event("content_block_stop", index=index)


def _event(kind: str, **more: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n".encode()
