"""Asking the models for something that is no conversation: text, data of a shape, a picture.

The same models, the same privacy, the same budget and the same record as for a conversation; but no tools
of ours and no memory. What a caller hands over is the caller's own, and is not trusted with anything.
"""

import asyncio
import base64
import binascii
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
import time
from typing import Annotated, Any, Final, Literal, Protocol

import msgspec

from brain_server.commands import PROCESSING_TIMEOUT, SYSTEM, Caller, Params, Scope, command
from brain_server.conversation.trust import visible
from brain_server.devices.evidence import image_type
from brain_server.errors import InvalidRequest, KittyError, NotFound, ProviderError, Unavailable
from brain_server.observability import request_id
from brain_server.protocol import Json
from brain_server.providers import (
    Author,
    Calls,
    Message,
    ModelRequest,
    Picture,
    TierName,
    Tool,
    ToolCall,
    Usage,
    Use,
    Words,
)
from brain_server.routing import Attempt, Decision, Reply, Spent, Turn, since
from brain_server.routing.ask import About, Asker, Bill
from brain_server.routing.judge import confidence
from brain_server.routing.models import Model, Models
from brain_server.routing.privacy import Kind, Piece
from brain_server.shape import misfit
from brain_server.storage.tables import new_id

# "auto" and the tiers stand beside the names of the providers.
AUTO: Final = "auto"
MOST_PICTURE: Final = 4 * 1024 * 1024
PICTURES: Final = frozenset({"image/jpeg", "image/png", "image/webp", "image/gif"})


class Attachment(Params):
    """A picture, as base64."""

    media_type: str
    base64: str


class Spoken(Params):
    """One message that a caller hands over."""

    role: Literal["system", "user", "assistant", "tool"]
    content: Annotated[str, msgspec.Meta(max_length=200_000)] = ""
    pictures: list[Attachment] = []
    calls: list[dict[str, Any]] = []
    call_id: str | None = None


class ToolSpec(Params):
    """A tool that the caller, not the brain, will run."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    description: str = ""
    parameters: dict[str, Any] = {}


class Text(Params):
    """What to write; ``model`` is "auto", a tier, or the name or id of a provider."""

    messages: Annotated[list[Spoken], msgspec.Meta(min_length=1, max_length=500)]
    model: str = AUTO
    schema: dict[str, Any] | None = None
    tools: Annotated[list[ToolSpec], msgspec.Meta(max_length=128)] = []
    max_tokens: Annotated[int, msgspec.Meta(ge=1, le=32_000)] = 1024
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None


class Data(Params):
    """What a task wants: words, or data of a shape."""

    instructions: Annotated[str, msgspec.Meta(min_length=1, max_length=100_000)]
    schema: dict[str, Any] | None = None
    attachments: Annotated[list[Attachment], msgspec.Meta(max_length=8)] = []
    task_name: str = ""
    model: str = AUTO


class Draw(Params):
    """What a picture should show."""

    instructions: Annotated[str, msgspec.Meta(min_length=1, max_length=10_000)]


class Keep(Protocol):
    """How a decision that belongs to no conversation is recorded."""

    async def __call__(self, turn: Turn, decision: Decision) -> None:
        """Write it, and return when it is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a model wrote, the tools that it wants the caller to run, and how that went."""

    text: str
    calls: tuple[ToolCall, ...]
    finish: str
    attempt: Attempt


@dataclass(slots=True, kw_only=True)
class _Asked:
    """One model that is asked, since when, for how much, and whether anybody has heard it."""

    model: Model
    bill: Bill
    started: float = field(default_factory=time.perf_counter)
    heard: bool = False

    def attempt(self, *, text: str, confidence: float, reason: str) -> Attempt:
        """Return it as it is recorded."""
        spent = Spent(
            provider_id=self.model.row.id,
            model=self.bill.model,
            tokens_in=self.bill.tokens_in,
            tokens_out=self.bill.tokens_out,
        )
        reply = Reply(
            text=text, confidence=confidence, reason=reason, cost=self.bill.cost, spent=spent
        )
        return Attempt(tier=self.model.row.tier, reply=reply, latency_ms=since(self.started))

    def failed(self, reason: str) -> Attempt:
        """Return it as one that came to nothing."""
        return self.attempt(text="", confidence=0.0, reason=reason)


class Generate:
    """Writes, fills in, draws."""

    def __init__(self, models: Models, asker: Asker, keep: Keep) -> None:
        """Take the models, the road to them, and how decisions are recorded."""
        self._models = models
        self._asker = asker
        self._keep = keep

    @command(
        "generate.text",
        Scope.CONTROL,
        streams=True,
        timeout=PROCESSING_TIMEOUT,
        capability="generate",
    )
    async def text(self, caller: Caller, params: Text, emit: Callable[[Json], None]) -> Json:
        """Let a model write; words come as they are written."""
        request = ModelRequest(
            messages=tuple(_message(one) for one in params.messages),
            tools=tuple(
                Tool(name=one.name, description=one.description, parameters=one.parameters)
                for one in params.tools
            ),
            schema=params.schema,
            max_tokens=params.max_tokens,
            temperature=params.temperature,
        )
        written = await self._write(caller, params.model, request, emit)
        return _result(written) | {
            "text": written.text,
            "calls": [msgspec.to_builtins(call) for call in written.calls],
            "finish": written.finish,
        }

    @command("generate.data", Scope.CONTROL, timeout=PROCESSING_TIMEOUT, capability="generate")
    async def data(self, caller: Caller, params: Data) -> Json:
        """Do a task: words, or with a schema data that certainly fits it."""
        return await self._fill_in(caller, params, None)

    async def _fill_in(self, caller: Caller, params: Data, area_id: str | None) -> Json:
        pictures = tuple(_picture(one) for one in params.attachments)
        request = ModelRequest(
            messages=(
                Message(author=Author.SYSTEM, text="Do the task. Answer with the result alone."),
                Message(
                    author=Author.USER,
                    text=visible(params.instructions, 100_000),
                    pictures=pictures,
                ),
            ),
            schema=params.schema,
        )
        written = await self._write(
            caller, params.model, request, lambda _part: None, area_id=area_id
        )
        if params.schema is None:
            return _result(written) | {"text": written.text}
        return _result(written) | {"data": msgspec.json.decode(written.text)}

    async def judge(
        self, instructions: str, image: bytes, area_id: str | None, schema: Json
    ) -> Json:
        """Let a model say what a picture of an area shows; data that certainly fits the schema."""
        shown = Attachment(
            media_type=image_type(image), base64=base64.b64encode(image).decode("ascii")
        )
        asked = Data(instructions=instructions, schema=schema, attachments=[shown])
        found: Json = (await self._fill_in(SYSTEM, asked, area_id))["data"]
        return found

    @command("generate.image", Scope.CONTROL, timeout=PROCESSING_TIMEOUT, capability="generate")
    async def image(self, caller: Caller, params: Draw) -> Json:
        """Draw a picture; Unavailable ``no_image_model`` where none can."""
        pieces = (Piece(kind=Kind.PROMPT, text=params.instructions),)
        about = About(request_id=request_id.get() or new_id(), conversation_id=None, pieces=pieces)
        able = self._models.of_use(Use.IMAGE)
        if not able:
            raise Unavailable("no_image_model", "There is no model that draws")
        started = time.perf_counter()
        model = able[0]
        picture, cost = await self._asker.draw(model, visible(params.instructions), about)
        reply = Reply(
            text="",
            confidence=1.0,
            reason="drawn",
            cost=cost,
            spent=Spent(provider_id=model.row.id, model=model.row.name),
        )
        attempt = Attempt(tier=model.row.tier, reply=reply, latency_ms=since(started))
        await self._recorded(caller, params.instructions, [attempt])
        return {
            "base64": base64.b64encode(picture.data).decode(),
            "media_type": picture.media_type,
            "model": model.row.name,
            "cost": cost,
        }

    def candidates(self, wanted: str, uses: Sequence[Use]) -> list[Model]:
        """Return whom to ask for what is wanted; NotFound ``provider_not_found`` for an unknown name."""
        if wanted in {"", AUTO}:
            return next((able for use in uses if (able := self._models.of_use(use))), [])
        if wanted in set(TierName):
            able = [one for use in uses for one in self._models.of_use(use)]
            return [one for one in dict.fromkeys(able) if one.row.tier == wanted]
        name = wanted.casefold()
        for one in self._models.all():
            if one.row.enabled and name in {one.row.name.casefold(), one.row.id}:
                return [one]
        raise NotFound("provider_not_found", f"There is no model {wanted[:64]}")

    async def _write(
        self,
        caller: Caller,
        wanted: str,
        request: ModelRequest,
        emit: Callable[[Json], None],
        *,
        area_id: str | None = None,
    ) -> Written:
        """Ask one candidate after the other until one has written what was asked for."""
        seen = any(message.pictures for message in request.messages)
        uses = (Use.VISION,) if seen else (Use.REASONING, Use.TOOLS, Use.CODE)
        about = About(
            request_id=request_id.get() or new_id(),
            conversation_id=None,
            pieces=(
                *(Piece(kind=Kind.PROMPT, text=message.text) for message in request.messages),
                *((Piece(kind=Kind.CAMERA, area_id=area_id),) if seen else ()),
            ),
        )
        tried: list[Attempt] = []
        last: KittyError | None = None
        question = request.messages[-1].text
        for model in self.candidates(wanted, uses):
            asked = _Asked(model=model, bill=Bill(model=model.row.name))
            try:
                written = await self._one(asked, request, about, emit)
            except KittyError as err:
                last = err
                tried.append(asked.failed(err.code))
                if asked.heard:
                    break
            except asyncio.CancelledError:
                # Nobody waits for it any more; what it cost is written down all the same.
                await self._recorded(caller, question, [asked.failed("cancelled"), *tried])
                raise
            else:
                await self._recorded(caller, question, [written.attempt, *tried])
                return written
        if tried:
            await self._recorded(caller, question, tried)
        raise last or Unavailable("no_model", "No model is configured for that")

    async def _one(
        self,
        asked: _Asked,
        request: ModelRequest,
        about: About,
        emit: Callable[[Json], None],
    ) -> Written:
        text, finish = "", "stop"
        logprobs: list[float] = []
        calls: tuple[ToolCall, ...] = ()
        async with aclosing(self._asker.stream(asked.model, request, about, asked.bill)) as parts:
            async for part in parts:
                match part:
                    case Words():
                        text += part.text
                        logprobs += part.logprobs
                        if request.schema is None and part.text:
                            asked.heard = True
                            emit({"text": part.text})
                    case Calls():
                        calls = part.calls
                    case Usage():
                        finish = part.finish
        if request.schema is not None and not calls:
            _check(text, request.schema)
        sure = confidence(
            text,
            logprobs,
            finish=finish,
            is_local=not asked.model.row.leaves_house,
            calls=len(calls),
            broken_calls=sum(call.arguments is None for call in calls),
        )
        attempt = asked.attempt(text=text, confidence=sure, reason="generated")
        return Written(text=text, calls=calls, finish=finish, attempt=attempt)

    async def _recorded(self, caller: Caller, question: str, attempts: Sequence[Attempt]) -> None:
        turn = Turn(
            text=question,
            language="",
            conversation_id="",
            request_id=request_id.get() or new_id(),
            caller=caller,
            area_id=None,
            second_of_day=None,
            state={},
            emit=lambda _part: None,
        )
        await self._keep(turn, Decision(attempts=tuple(attempts)))


def _message(one: Spoken) -> Message:
    return Message(
        author=Author(one.role),
        text=one.content,
        pictures=tuple(_picture(picture) for picture in one.pictures),
        calls=tuple(_call(call) for call in one.calls),
        call_id=one.call_id,
    )


def _call(given: Json) -> ToolCall:
    try:
        return msgspec.convert(given, ToolCall)
    except msgspec.ValidationError as err:
        raise InvalidRequest("invalid_params", f"calls: {err}", field="calls") from err


def _picture(one: Attachment) -> Picture:
    if one.media_type not in PICTURES:
        raise InvalidRequest(
            "unsupported_type", "Only pictures can be attached", media_type=one.media_type[:64]
        )
    try:
        data = base64.b64decode(one.base64, validate=True)
    except binascii.Error as err:
        raise InvalidRequest("invalid_params", "This is not base64", reason="base64") from err
    if len(data) > MOST_PICTURE:
        raise InvalidRequest("too_large", "The picture is too large", most=MOST_PICTURE)
    return Picture(data=data, media_type=one.media_type)


def _check(text: str, schema: Json) -> None:
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError as err:
        raise ProviderError("provider_invalid", "The model wrote no JSON") from err
    if wrong := misfit(value, schema):
        raise ProviderError("provider_invalid", "The model wrote something else", reason=wrong)


def _result(written: Written) -> Json:
    reply = written.attempt.reply
    spent = reply.spent
    return {
        "tier": written.attempt.tier.value,
        "model": spent.model if spent else None,
        "provider_id": spent.provider_id if spent else None,
        "confidence": reply.confidence,
        "cost": reply.cost,
        "tokens_in": spent.tokens_in if spent else None,
        "tokens_out": spent.tokens_out if spent else None,
        "conversation_id": None,
    }
