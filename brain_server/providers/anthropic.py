"""Anthropic's models, by the Messages API."""

import base64
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from functools import cached_property
import re
from typing import Any, Final, override

import msgspec

from brain_server.errors import ProviderError
from brain_server.protocol import Json
from brain_server.providers import (
    PATIENCE,
    Author,
    Calls,
    Message,
    ModelProvider,
    ModelRequest,
    Option,
    OptionType,
    Part,
    Picture,
    ProviderContext,
    ProviderInfo,
    TierName,
    ToolCall,
    Usage,
    Use,
    Words,
)
from brain_server.sse import (
    CONNECT_S,
    LOOK_S,
    SILENCE_S,
    Wire,
    address,
    arguments,
    cut_off,
    decoded,
    drain,
    key,
    missing,
)

VERSION: Final = "2023-06-01"
# The tool by whose arguments a structured answer is given.
ANSWER: Final = "structured_answer"

_CACHED: Final = {"cache_control": {"type": "ephemeral"}}
_FINISH: Final = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refusal",
}
_DATE: Final = re.compile(r"-\d{8}$")
_ODD: Final = re.compile(r"[^a-zA-Z0-9_-]")


class _Counted(msgspec.Struct, gc=False):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None


class _Begins(msgspec.Struct, gc=False):
    model: str | None = None
    usage: _Counted | None = None


class _Block(msgspec.Struct, gc=False):
    type: str
    id: str = ""
    name: str = ""


class _Delta(msgspec.Struct, gc=False):
    text: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class _Event(msgspec.Struct, gc=False):
    type: str
    index: int = 0
    message: _Begins | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: _Counted | None = None
    error: Any = None


class _Named(msgspec.Struct):
    id: str
    max_input_tokens: int | None = None


class _Models(msgspec.Struct):
    data: list[_Named]


_EVENT: Final = msgspec.json.Decoder(_Event)
_MODELS: Final = msgspec.json.Decoder(_Models)


class Anthropic(ModelProvider):
    """Claude."""

    name = "anthropic"
    title = "Anthropic"
    options = (
        Option(
            name="api_key",
            label="API key",
            help="From console.anthropic.com",
            type=OptionType.SECRET,
        ),
        Option(name="model", label="Model", help="e.g. claude-sonnet-4-5"),
        Option(
            name="context",
            label="Context",
            help="Tokens that the model can read at once, where Anthropic does not tell",
            type=OptionType.NUMBER,
            required=False,
            minimum=512,
        ),
        PATIENCE,
        Option(
            name="base_url",
            label="Address",
            help="Another one only for a proxy",
            type=OptionType.URL,
            required=False,
            default="https://api.anthropic.com",
        ),
    )
    tier = TierName.FRONTIER
    uses = frozenset({Use.TOOLS, Use.REASONING, Use.VISION, Use.CODE})

    def __init__(self, context: ProviderContext, *, connect_s: float = CONNECT_S) -> None:
        """Keep the context, and how long to wait for a connection."""
        super().__init__(context)
        self._connect_s = connect_s

    @override
    async def check(self) -> ProviderInfo:
        """Read the list of models; ``model_missing`` tells ``expected`` and ``found``."""
        expected = self._model
        listed = await self._wire.ask(
            "GET", "models", _MODELS, seconds=LOOK_S, model=expected, query={"limit": "1000"}
        )
        names = tuple(one.id for one in listed.data)
        # The newest comes first; an alias is the name without the date.
        alias = expected.removesuffix("-latest")
        fits = [one for one in listed.data if one.id == expected]
        fits += [one for one in listed.data if _DATE.sub("", one.id) == alias]
        if not fits:
            raise missing(expected, names)
        context = self.context.options.get("context") or fits[0].max_input_tokens
        return ProviderInfo(models=names, model=fits[0].id, context=context and int(context))

    @override
    async def stream(self, request: ModelRequest) -> AsyncGenerator[Part]:
        """Ask for a message; see :meth:`ModelProvider.stream`."""
        answer = _Answer(self._wire, self._model)
        events = self._wire.stream("messages", self._body(request), model=self._model)
        async with aclosing(events):
            async for data in events:
                event = decoded(_EVENT, data)
                if event.type == "message_stop":
                    break
                if (words := answer.hear(event)) is not None:
                    yield words
            else:
                raise cut_off()
            for part in answer.rest():
                yield part
            await drain(events)

    @override
    async def embed(self, texts: Sequence[str]) -> list[Sequence[float]]:
        """Refuse: there is no such model."""
        raise ProviderError("model_missing", "Anthropic has no embeddings", expected=Use.EMBEDDING)

    @override
    async def draw(self, prompt: str) -> Picture:
        """Refuse: there is no such model."""
        raise ProviderError("model_missing", "Anthropic draws no pictures", expected=Use.IMAGE)

    @cached_property
    def _wire(self) -> Wire:
        options = self.context.options
        secret = key(options["api_key"])
        return Wire(
            self.context.session,
            address(options["base_url"], "v1"),
            {"x-api-key": secret, "anthropic-version": VERSION},
            secret=secret,
            connect_s=self._connect_s,
            silence_s=options.get("patience") or SILENCE_S,
        )

    @property
    def _model(self) -> str:
        return str(self.context.options["model"])

    def _body(self, request: ModelRequest) -> Json:
        body: Json = {
            "model": self._model,
            "max_tokens": request.max_tokens,
            "messages": _messages(request.messages),
            "stream": True,
        }
        tools = [
            {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}
            for tool in request.tools
        ]
        if request.schema is not None:
            answer = {
                "name": ANSWER,
                "description": "Give the answer.",
                "input_schema": request.schema,
            }
            forced = {"type": "any"} if tools else {"type": "tool", "name": ANSWER}
            body["tool_choice"] = forced
            tools.append(answer)
        system: list[Json] = [
            {"type": "text", "text": message.text}
            for message in request.messages
            if message.author is Author.SYSTEM and message.text
        ]
        # What is the same in every request is kept by Anthropic: the tools, then the first words.
        for static in system[:1] or tools[-1:]:
            static.update(_CACHED)
        if tools:
            body["tools"] = tools
        if system:
            body["system"] = system
        if request.temperature is not None:
            body["temperature"] = min(request.temperature, 1.0)
        return body


class _Answer:
    """What has come of one answer, block by block."""

    def __init__(self, wire: Wire, model: str) -> None:
        """Start with nothing."""
        self._wire = wire
        self._asked = model
        self._model = model
        self._usage = _Counted()
        self._finish: str | None = None
        self._begun = False
        self._calls: dict[int, tuple[_Block, list[str]]] = {}
        # The block that is the structured answer, and whether something of it has come.
        self._answer: int | None = None
        self._told = False

    def hear(self, event: _Event) -> Words | None:
        """Take one event and return the words in it."""
        match event.type:
            case "content_block_delta" if event.delta is not None:
                return self._more(event.index, event.delta)
            case "content_block_start" if event.content_block is not None:
                self._begin(event.index, event.content_block)
            case "content_block_stop" if event.index == self._answer and not self._told:
                self._told = True
                return Words(text="{}")
            case "message_start" if event.message is not None:
                self._begun = True
                self._model = event.message.model or self._model
                self._count(event.message.usage)
            case "message_delta":
                self._count(event.usage)
                self._finish = (event.delta and event.delta.stop_reason) or self._finish
            case "error":
                raise self._wire.stumbled(event.error, model=self._asked)
        return None

    def rest(self) -> Iterator[Part]:
        """Return what comes after the words."""
        if not self._begun:
            raise ProviderError("provider_invalid", "There is no answer in the answer")
        if self._calls:
            yield Calls(calls=tuple(_whole(*call) for call in self._calls.values()))
        usage = self._usage
        read = (
            usage.input_tokens,
            usage.cache_creation_input_tokens,
            usage.cache_read_input_tokens,
        )
        yield Usage(
            tokens_in=None if usage.input_tokens is None else sum(part or 0 for part in read),
            tokens_out=usage.output_tokens,
            finish=_FINISH.get(self._finish or "", "tool_calls" if self._calls else "stop"),
            model=self._model,
        )

    def _begin(self, index: int, block: _Block) -> None:
        if block.type != "tool_use":
            return
        if block.name == ANSWER:
            self._answer = index
        else:
            self._calls[index] = (block, [])

    def _more(self, index: int, delta: _Delta) -> Words | None:
        if delta.text:
            return Words(text=delta.text)
        if not delta.partial_json:
            return None
        if index == self._answer:
            self._told = True
            return Words(text=delta.partial_json)
        if index in self._calls:
            self._calls[index][1].append(delta.partial_json)
        return None

    def _count(self, usage: _Counted | None) -> None:
        """Take over what is told now; the last word on each figure holds."""
        for name in _Counted.__struct_fields__ if usage is not None else ():
            if (tokens := getattr(usage, name)) is not None:
                setattr(self._usage, name, tokens)


def _whole(block: _Block, pieces: list[str]) -> ToolCall:
    return ToolCall(id=block.id, name=block.name, arguments=arguments("".join(pieces)))


def _messages(messages: Sequence[Message]) -> list[Json]:
    """Return the messages, neighbours of one side as one; answers of tools belong to the user's side."""
    turns: list[Json] = []
    for message in messages:
        if message.author is Author.SYSTEM or not (blocks := list(_blocks(message))):
            continue
        side = "assistant" if message.author is Author.ASSISTANT else "user"
        if turns and turns[-1]["role"] == side:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": side, "content": blocks})
    if turns and turns[0]["role"] != "user":  # the beginning was left out to make it fit
        turns.insert(0, {"role": "user", "content": [{"type": "text", "text": "…"}]})
    return turns


def _blocks(message: Message) -> Iterator[Json]:
    """Yield the content of a message; there are no empty blocks."""
    words = [{"type": "text", "text": message.text}] if message.text.strip() else []
    shown = [*words, *map(_picture, message.pictures)]
    if message.author is Author.TOOL:
        call_id = _ODD.sub("_", message.call_id or "")
        result: Json = {"type": "tool_result", "tool_use_id": call_id}
        yield result | {"content": shown} if shown else result
        return
    yield from shown
    for call in message.calls:
        yield {
            "type": "tool_use",
            "id": _ODD.sub("_", call.id),
            "name": call.name,
            "input": call.arguments or {},
        }


def _picture(picture: Picture) -> Json:
    data = base64.b64encode(picture.data).decode()
    source = {"type": "base64", "media_type": picture.media_type, "data": data}
    return {"type": "image", "source": source}
