"""Any server that speaks OpenAI's chat completions: Ollama, llama.cpp, LM Studio, vLLM and many more."""

import base64
import binascii
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, ClassVar, Final, override

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
    Tool,
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

BATCH: Final = 64
DRAW_S: Final = 180.0
EMBED_S: Final = 60.0

_DONE: Final = b"[DONE]"
_FINISH: Final = {"length": "length", "content_filter": "refusal"}
_ENFORCED: Final = frozenset(
    {"type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf"}
    | {"title", "description"}
)
_PICTURES: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"RIFF", "image/webp"),
)


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | Json | None = None


class _Call(msgspec.Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct, gc=False):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Token(msgspec.Struct, gc=False):
    logprob: float | None = None


class _Logprobs(msgspec.Struct, gc=False):
    content: list[_Token] | None = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta | None = None
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Counted(msgspec.Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: _Counted | None = None
    model: str | None = None
    error: Any = None


class _Named(msgspec.Struct):
    id: str
    # How large its context is: in the words of vLLM, OpenRouter and Groq.
    max_model_len: int | None = None
    context_length: int | None = None
    context_window: int | None = None


class _Models(msgspec.Struct):
    data: list[_Named] | None = None


class _Vector(msgspec.Struct):
    index: int
    embedding: list[float]


class _Vectors(msgspec.Struct):
    data: list[_Vector]


class _Drawn(msgspec.Struct):
    b64_json: str


class _Drawings(msgspec.Struct):
    data: list[_Drawn]


_CHUNK: Final = msgspec.json.Decoder(_Chunk)
_MODELS: Final = msgspec.json.Decoder(_Models)
_VECTORS: Final = msgspec.json.Decoder(_Vectors)
_DRAWINGS: Final = msgspec.json.Decoder(_Drawings)


class OpenAICompatible(ModelProvider):
    """A server with chat completions, in this house unless its tier says otherwise."""

    name = "openai_compatible"
    title = "OpenAI-compatible server (Ollama, llama.cpp, LM Studio, vLLM)"
    options = (
        Option(
            name="base_url",
            label="Address",
            help="e.g. http://192.168.1.20:11434 for Ollama; /v1 is added where there is no path",
            type=OptionType.URL,
        ),
        Option(name="model", label="Model", help="As the server calls it, e.g. qwen3:8b"),
        Option(
            name="api_key",
            label="API key",
            help="Only if the server wants one",
            type=OptionType.SECRET,
            required=False,
        ),
        Option(
            name="context",
            label="Context",
            help="Tokens that the server keeps; Ollama silently forgets what is beyond its own setting",
            type=OptionType.NUMBER,
            required=False,
            minimum=512,
        ),
        Option(
            name="schema",
            label="Structured answers",
            help="How a schema is asked for; json_object for the server of llama-cpp-python",
            type=OptionType.SELECT,
            required=False,
            default="json_schema",
            choices=("json_schema", "json_object"),
        ),
        Option(
            name="logprobs",
            label="Log-probabilities",
            help="Ask how sure each word is; switch it off for a server that refuses that",
            type=OptionType.BOOLEAN,
            required=False,
            default=True,
        ),
        Option(
            name="embedding_model",
            label="Model for embeddings",
            help="Where it is another one",
            required=False,
        ),
        Option(
            name="image_model",
            label="Model for pictures",
            help="Where it is another one",
            required=False,
        ),
        PATIENCE,
    )
    tier = TierName.LOCAL
    uses = frozenset(Use)
    # What a limit of tokens is called.
    limit: ClassVar[str] = "max_tokens"

    def __init__(self, context: ProviderContext, *, connect_s: float = CONNECT_S) -> None:
        """Keep the context, and how long to wait for a connection."""
        super().__init__(context)
        self._connect_s = connect_s

    @override
    async def check(self) -> ProviderInfo:
        """Read the server's list of models; ``model_missing`` tells ``expected`` and ``found``."""
        listed = await self._wire.ask(
            "GET", "models", _MODELS, seconds=LOOK_S, model=self._model(None)
        )
        models = listed.data or []
        names = tuple(one.id for one in models)
        wanted = [None, *(use for use in (Use.EMBEDDING, Use.IMAGE) if use in self.context.uses)]
        for use in wanted:
            expected = self._model(use)
            if not any(same_model(expected, name) for name in names):
                raise missing(expected, names)
        (found, *_) = (one for one in models if same_model(self._model(None), one.id))
        told = found.max_model_len or found.context_length or found.context_window
        context = self.context.options.get("context") or told
        return ProviderInfo(models=names, model=found.id, context=context and int(context))

    @override
    async def stream(self, request: ModelRequest) -> AsyncGenerator[Part]:
        """Ask for chat completions; see :meth:`ModelProvider.stream`."""
        model = self._model(None)
        answer = _Answer(self._wire, model)
        events = self._wire.stream("chat/completions", self._body(request, model), model=model)
        async with aclosing(events):
            async for data in events:
                if data == _DONE:
                    break
                if (words := answer.hear(decoded(_CHUNK, data))) is not None:
                    yield words
            else:
                raise cut_off()
            for part in answer.rest():
                yield part
            await drain(events)

    @override
    async def embed(self, texts: Sequence[str]) -> list[Sequence[float]]:
        """Ask for embeddings, some dozens at a time; see :meth:`ModelProvider.embed`."""
        model = self._model(Use.EMBEDDING)
        vectors: list[Sequence[float]] = []
        for start in range(0, len(texts), BATCH):
            batch = list(texts[start : start + BATCH])
            found = await self._wire.ask(
                "POST",
                "embeddings",
                _VECTORS,
                seconds=EMBED_S,
                model=model,
                body={"model": model, "input": batch, "encoding_format": "float"},
            )
            ordered = sorted(found.data, key=lambda one: one.index)
            if [one.index for one in ordered] != list(range(len(batch))):
                raise ProviderError("provider_invalid", "There is not one vector for each text")
            vectors += [one.embedding for one in ordered]
        return vectors

    @override
    async def draw(self, prompt: str) -> Picture:
        """Ask for one picture; see :meth:`ModelProvider.draw`."""
        model = self._model(Use.IMAGE)
        body = {"model": model, "prompt": prompt, "n": 1}
        if "gpt-image" not in model:  # those send nothing else, and refuse to be told so
            body["response_format"] = "b64_json"
        found = await self._wire.ask(
            "POST", "images/generations", _DRAWINGS, seconds=DRAW_S, model=model, body=body
        )
        if not found.data:
            raise ProviderError("provider_invalid", "There is no picture in the answer")
        return _picture(found.data[0].b64_json)

    @cached_property
    def _wire(self) -> Wire:
        options = self.context.options
        secret = key(options.get("api_key"))
        return Wire(
            self.context.session,
            address(options["base_url"], "v1"),
            {"Authorization": f"Bearer {secret}"} if secret else {},
            secret=secret,
            connect_s=self._connect_s,
            silence_s=options.get("patience") or SILENCE_S,
        )

    def _model(self, use: Use | None) -> str:
        """Return the name of the model for a use; for words without one."""
        named = {Use.EMBEDDING: "embedding_model", Use.IMAGE: "image_model"}
        options = self.context.options
        if use is not None and use not in self.context.uses:
            raise ProviderError("model_missing", f"It is not set up for {use}", expected=use.value)
        special = options.get(named[use]) if use is not None else None
        return str(special or options["model"])

    def _body(self, request: ModelRequest, model: str) -> Json:
        body: Json = {
            "model": model,
            "messages": list(_messages(request.messages)),
            "stream": True,
            "stream_options": {"include_usage": True},
            self.limit: request.max_tokens,
        }
        if request.tools:
            body["tools"] = [_tool(tool) for tool in request.tools]
            body["tool_choice"] = "auto"
        if request.schema is not None:
            body["response_format"] = self._format(request.schema)
        return body | self._taste(request)

    def _format(self, schema: Json) -> Json:
        if self.context.options.get("schema") == "json_object":
            return {"type": "json_object", "schema": schema}
        wanted = {"name": "answer", "schema": schema, "strict": _is_closed(schema)}
        return {"type": "json_schema", "json_schema": wanted}

    def _taste(self, request: ModelRequest) -> Json:
        """Return how the words are to be chosen, and whether to tell how sure they are."""
        body: Json = {}
        if request.temperature is not None:
            body["temperature"] = request.temperature
        # llama.cpp refuses them in a stream with tools; its Python server gives none without a number.
        if self.context.options.get("logprobs") and not request.tools:
            body |= {"logprobs": True, "top_logprobs": 1}
        return body


class _Answer:
    """What has come of one answer; tool calls arrive in pieces."""

    def __init__(self, wire: Wire, model: str) -> None:
        """Start with nothing."""
        self._wire = wire
        self._asked = model
        self._model = model
        self._usage = _Counted()
        self._finish: str | None = None
        self._refused = False
        self._begun = False
        self._calls: list[_Begun] = []
        self._at: dict[int, _Begun] = {}

    def hear(self, chunk: _Chunk) -> Words | None:
        """Take one chunk and return the words in it."""
        if chunk.error is not None:
            raise self._wire.stumbled(chunk.error, model=self._asked)
        self._model = chunk.model or self._model
        self._usage = chunk.usage or self._usage
        if not chunk.choices:
            return None
        self._begun = True
        choice = chunk.choices[0]
        self._finish = choice.finish_reason or self._finish
        delta = choice.delta
        if delta is None:
            return None
        for call in delta.tool_calls or ():
            self._gather(call)
        if delta.refusal:
            self._refused = True
        text = delta.content or delta.refusal
        if not text:
            return None
        if choice.logprobs is None or not choice.logprobs.content:
            return Words(text=text)
        told = (token.logprob for token in choice.logprobs.content)
        return Words(text=text, logprobs=tuple(one for one in told if one is not None))

    def rest(self) -> Iterator[Part]:
        """Return what comes after the words."""
        if not self._begun:
            raise ProviderError("provider_invalid", "There is no answer in the answer")
        if self._calls:
            yield Calls(calls=tuple(call.whole(at) for at, call in enumerate(self._calls)))
        finish = _FINISH.get(self._finish or "", "tool_calls" if self._calls else "stop")
        yield Usage(
            tokens_in=self._usage.prompt_tokens,
            tokens_out=self._usage.completion_tokens,
            finish="refusal" if self._refused else finish,
            model=self._model,
        )

    def _gather(self, piece: _Call) -> None:
        """Add a piece to its call. Some servers number every call 0, some give each piece an id of its own."""
        function = piece.function or _Function()
        index = len(self._calls) if piece.index is None else piece.index
        call = self._at.get(index)
        if call is None or (function.name and piece.id and piece.id != call.id):
            call = self._at[index] = _Begun()
            self._calls.append(call)
        call.id = call.id or piece.id or ""
        call.name = call.name or function.name or ""
        if isinstance(function.arguments, dict):
            call.arguments.append(msgspec.json.encode(function.arguments).decode())
        else:
            call.arguments.append(function.arguments or "")


class _Begun(msgspec.Struct):
    """A tool call of which some has come."""

    id: str = ""
    name: str = ""
    arguments: list[str] = []

    def whole(self, at: int) -> ToolCall:
        """Return it as it is at the end of the answer."""
        found = arguments("".join(self.arguments))
        return ToolCall(id=self.id or f"call_{at}", name=self.name, arguments=found)


def same_model(wanted: str, listed: str) -> bool:
    """Tell whether a name means a model of the list: Ollama adds ``:latest``, llama.cpp lists a file's path."""
    path = PurePosixPath(listed.replace("\\", "/"))
    return wanted in {
        listed,
        listed.removesuffix(":latest"),
        f"{listed}:latest",
        *((path.name, path.stem) if path.suffix == ".gguf" else ()),
    }


def _messages(messages: Sequence[Message]) -> Iterator[Json]:
    shown: list[Picture] = []
    for message in messages:
        if message.author is not Author.TOOL and shown:
            yield {"role": "user", "content": _content("", shown)}
            shown = []
        match message.author:
            case Author.TOOL:
                yield {"role": "tool", "tool_call_id": message.call_id, "content": message.text}
                # A tool's answer holds words only: its pictures follow once all tools have answered.
                shown += message.pictures
            case Author.ASSISTANT if message.calls:
                calls = [_call(call) for call in message.calls]
                yield {"role": "assistant", "content": message.text, "tool_calls": calls}
            case author:
                content = _content(message.text, message.pictures)
                yield {"role": author.value, "content": content}
    if shown:
        yield {"role": "user", "content": _content("", shown)}


def _content(text: str, pictures: Sequence[Picture]) -> str | list[Json]:
    if not pictures:
        return text
    parts: list[Json] = [{"type": "text", "text": text}] if text else []
    for picture in pictures:
        data = base64.b64encode(picture.data).decode()
        url = f"data:{picture.media_type};base64,{data}"
        parts.append({"type": "image_url", "image_url": {"url": url}})
    return parts


def _call(call: ToolCall) -> Json:
    written = msgspec.json.encode(call.arguments or {}).decode()
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": written},
    }


def _tool(tool: Tool) -> Json:
    return {
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters,
        },
    }


def _is_closed(schema: Any) -> bool:
    """Tell whether OpenAI can enforce a schema: it must leave nothing open, and say nothing unusual."""
    if not isinstance(schema, dict) or not schema.keys() <= _ENFORCED:
        return False
    properties = schema.get("properties", {})
    if schema.get("type") == "object":
        is_open = schema.get("additionalProperties") is not False
        if is_open or set(schema.get("required", ())) != set(properties):
            return False
    items = [schema["items"]] if "items" in schema else []
    return all(map(_is_closed, [*properties.values(), *items, *schema.get("anyOf", ())]))


def _picture(text: str) -> Picture:
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as err:
        raise ProviderError("provider_invalid", "The picture is not base64") from err
    for head, media_type in _PICTURES:
        if data.startswith(head):
            return Picture(data=data, media_type=media_type)
    raise ProviderError("provider_invalid", "The picture is of no known kind")
