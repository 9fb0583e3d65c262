"""OpenAI's routes: every program that can talk to OpenAI can use the models of this house.

A completion is the command ``generate.text`` and nothing else: the same privacy, budget, record and limits.
"""

from functools import partial
import json
import time
from typing import Any, Final

from aiohttp import web

from brain_server.api import sse
from brain_server.api.auth import Tokens
from brain_server.api.dispatch import Dispatcher, decode
from brain_server.commands import Caller
from brain_server.errors import InvalidRequest, KittyError, NotFound
from brain_server.observability import request_id
from brain_server.protocol import MAX_FRAME_BYTES, Json
from brain_server.providers import TierName, Use

PREFIX: Final = "/v1/"
# Pictures come as text, a third larger than they are.
MOST_BODY: Final = 16 * 1024 * 1024
# The names that stand for more than one provider.
CHOICES: Final = ("auto", TierName.LOCAL.value, TierName.FRONTIER.value)
WORDS: Final = frozenset({Use.TOOLS, Use.REASONING, Use.VISION, Use.CODE})


class OpenAi:
    """Serves ``/v1``."""

    def __init__(self, dispatcher: Dispatcher, tokens: Tokens) -> None:
        """Take who runs commands, and who knows callers."""
        self._dispatcher = dispatcher
        self._tokens = tokens
        self._started = int(time.time())

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the routes."""
        router.add_post(f"{PREFIX}chat/completions", self.complete)
        router.add_get(f"{PREFIX}models", self.models)
        router.add_get(f"{PREFIX}models/{{model}}", self.model)

    async def complete(self, request: web.Request) -> web.StreamResponse:
        """Answer ``POST /v1/chat/completions``; the model stops when the caller hangs up."""
        from brain_server.api.openai_form import Answer, read  # noqa: PLC0415 - only such a program needs it

        caller = self._caller(request)
        body = await _body(request)
        self._check(caller)
        chat = read(decode(body))
        answer = Answer(chat, request_id.get() or "")
        spec = self._dispatcher.spec("generate.text")

        async def run(emit: sse.Emit) -> Any:
            return await self._dispatcher.run(spec, caller, chat.params, emit=emit)

        may = partial(self._tokens.alive, caller.token)
        if chat.stream:
            return await sse.stream(request, run, answer, may)
        with sse.while_connected(request, may):
            found = await run(lambda _part: None)
        return _json(answer.whole(found))

    async def models(self, request: web.Request) -> web.Response:
        """Answer ``GET /v1/models``."""
        listed = await self._listed(self._caller(request))
        return _json({"object": "list", "data": listed})

    async def model(self, request: web.Request) -> web.Response:
        """Answer ``GET /v1/models/{model}``."""
        wanted = request.match_info["model"]
        for one in await self._listed(self._caller(request)):
            if one["id"] == wanted:
                return _json(one)
        raise NotFound("provider_not_found", f"There is no model {wanted[:64]}")

    async def _listed(self, caller: Caller) -> list[Json]:
        spec = self._dispatcher.spec("providers.list")
        found = await self._dispatcher.run(spec, caller, {})
        able = [one for one in found["items"] if one["enabled"] and WORDS & set(one["uses"])]
        return [
            {"id": name, "object": "model", "created": self._started, "owned_by": owner}
            for name, owner in (
                *((name, "kitty") for name in CHOICES),
                *((one["name"], one["provider"]) for one in able),
            )
        ]

    def _caller(self, request: web.Request) -> Caller:
        caller = self._tokens.caller(request.headers.get("Authorization"))
        self._dispatcher.switches.require("openai")
        return caller

    def _check(self, caller: Caller) -> None:
        """Refuse who was let in, and may no longer be since."""
        self._tokens.check(caller)
        self._dispatcher.switches.require("openai")


def failed(err: KittyError) -> web.Response:
    """Return an error in OpenAI's form."""
    from brain_server.api.openai_form import refusal  # noqa: PLC0415 - see above

    status, body, headers = refusal(err)
    return web.json_response(body, status=status, headers=headers)


async def _body(request: web.Request) -> bytes:
    """Return the body, which may be larger than elsewhere."""
    known = request.content_length
    if known is None or known > MAX_FRAME_BYTES:
        request = request.clone(client_max_size=MOST_BODY)
    try:
        return await request.read()
    except (web.RequestPayloadError, ConnectionError) as err:
        raise InvalidRequest("body_cut_off", "The body did not arrive whole") from err


def _json(body: Json) -> web.Response:
    return web.Response(body=json.dumps(body).encode(), content_type="application/json")
