"""A stand-in for OpenAI's API, which says what a test wants; OpenAI's own SDK understands it."""

import base64
from collections.abc import Iterator
import json
from typing import Any, override

from aiohttp import web

from tests.standins.model_api import ModelApi, in_pieces

PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)
DONE = b"data: [DONE]\n\n"


class OpenAIApi(ModelApi):
    """Chat completions, embeddings, pictures and the list of models."""

    models = ("gpt-test", "text-embedding-test", "gpt-image-test")
    picture = PNG

    @override
    def routes(self) -> list[web.RouteDef]:
        """Return the paths of OpenAI."""
        return [
            web.post("/v1/chat/completions", self._chat),
            web.post("/v1/embeddings", self._embeddings),
            web.post("/v1/images/generations", self._images),
            web.get("/v1/models", self._models),
        ]

    @override
    def knows(self, request: web.Request) -> bool:
        """Look for the key as a bearer token."""
        return request.headers.get("Authorization") == f"Bearer {self.key}"

    @override
    def error(self, status: int, kind: str, message: str, code: Any = None) -> Any:
        """Return OpenAI's shape of an error."""
        return {"error": {"message": message, "type": kind, "param": None, "code": code}}

    def events(self, body: Any) -> Iterator[bytes]:
        """Yield the chunks of an answer."""
        reply = self.reply
        yield self._chunk({"role": "assistant", "content": "", "refusal": None})
        for piece in reply.pieces:
            sure = {"token": piece, "logprob": -0.25, "bytes": None, "top_logprobs": []}
            logprobs = {"content": [sure], "refusal": None} if body.get("logprobs") else None
            yield self._chunk({"content": piece}, logprobs=logprobs)
        for index, (name, written) in enumerate(reply.calls):
            begin = {"name": name, "arguments": ""}
            call = {"index": index, "id": f"call_{index}x", "type": "function", "function": begin}
            yield self._chunk({"tool_calls": [call]})
            for piece in in_pieces(written):
                more = {"index": index, "function": {"arguments": piece}}
                yield self._chunk({"tool_calls": [more]})
        finish = reply.finish or ("tool_calls" if reply.calls else "stop")
        yield self._chunk({}, finish=finish)
        if (body.get("stream_options") or {}).get("include_usage"):
            read, written_tokens = reply.tokens
            usage = {
                "prompt_tokens": read,
                "completion_tokens": written_tokens,
                "total_tokens": read + written_tokens,
            }
            yield self._event(choices=[], usage=usage)
        yield DONE

    def _chunk(self, delta: Any, *, finish: str | None = None, logprobs: Any = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return self._event(choices=[choice], usage=None)

    def _event(self, **more: Any) -> bytes:
        chunk = {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1700000000,
            "model": "gpt-test-2026-01-01",
            **more,
        }
        return f"data: {json.dumps(chunk)}\n\n".encode()

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = self.asked[-1]
        if body.get("model") not in self.models:
            return self._unknown(body.get("model"))
        if not body.get("messages"):
            message = "Invalid 'messages': empty array."
            return self.refuse(400, "invalid_request_error", message, "empty_array")
        return await self.stream(request, list(self.events(body)))

    async def _embeddings(self, _request: web.Request) -> web.Response:
        body = self.asked[-1]
        if body["model"] not in self.models:
            return self._unknown(body["model"])
        vectors = [
            {"object": "embedding", "index": index, "embedding": self._vector(text, body)}
            for index, text in enumerate(body["input"])
        ]
        used = {"prompt_tokens": 3, "total_tokens": 3}
        # The order is told by the index alone.
        found = {"object": "list", "data": vectors[::-1], "model": body["model"], "usage": used}
        return web.json_response(found)

    def _vector(self, text: str, body: Any) -> Any:
        assert body.get("encoding_format", "float") == "float"
        return [float(len(text)), 0.5, -1.0]

    async def _images(self, _request: web.Request) -> web.Response:
        body = self.asked[-1]
        if body["model"] not in self.models:
            return self._unknown(body["model"])
        drawn = [{"b64_json": base64.b64encode(self.picture).decode()}]
        return web.json_response({"created": 1700000000, "data": drawn})

    async def _models(self, _request: web.Request) -> web.Response:
        known = [
            {"id": name, "object": "model", "created": 1700000000, "owned_by": "system"}
            for name in self.models
        ]
        return web.json_response({"object": "list", "data": known})

    def _unknown(self, model: Any) -> web.Response:
        message = f"The model `{model}` does not exist or you do not have access to it."
        return self.refuse(404, "invalid_request_error", message, "model_not_found")
