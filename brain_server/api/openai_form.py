"""OpenAI's words for what ``generate.text`` does: requests in, completions and chunks out, errors in its form.

What a request asks for and cannot be had is refused with the name of the field; nothing is left out in silence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
import itertools
import json
import math
import re
import time
from typing import Any, Final, Literal

import msgspec

from brain_server.errors import InvalidRequest, KittyError, ProviderError
from brain_server.protocol import Json
from brain_server.shape import misfit

# What an answer may have when nobody says: OpenAI's own has no limit.
DEFAULT_TOKENS: Final = 4096
# A schema that holds itself, or unpacks to a flood, is none.
MOST_LEVELS: Final = 64
MOST_PARTS: Final = 20_000
DONE: Final = b"data: [DONE]\n\n"

# Taken and of no effect: what a program tells about itself.
IGNORED: Final = frozenset(
    {"user", "metadata", "service_tier", "safety_identifier"}
    | {"prompt_cache_key", "prompt_cache_retention"}
)
# What a field that cannot be followed may say: that it asks for nothing.
NEUTRAL: Final[Mapping[str, tuple[Any, ...]]] = {
    "audio": (),
    "frequency_penalty": (0,),
    "function_call": ("none",),
    "functions": ([],),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "n": (1,),
    "parallel_tool_calls": (True,),
    "prediction": (),
    "presence_penalty": (0,),
    "reasoning_effort": (),
    "seed": (),
    "stop": ("", []),
    "store": (False,),
    "top_logprobs": (0,),
    "top_p": (1,),
    "verbosity": (),
    "web_search_options": (),
}

_DATA_URL: Final = re.compile(r"data:([a-zA-Z0-9.+/-]{1,64});base64,(.*)", re.DOTALL)
_PLACE: Final = re.compile(r" - at `\$\.?([^`]*)`$")
_UNKNOWN: Final = re.compile(r"unknown field `([^`]*)`")
_MARK: Final = "\0"
_FINISH: Final = {"refusal": "content_filter"}
_FORCED: Final = "Call a tool: answer with what it is to be given, as JSON alone."

# Our codes that programs know by another name: status, type, code, and the field that is meant.
_NAMES: Final[Mapping[str, tuple[int, str, str, str | None]]] = {
    "budget_exhausted": (429, "insufficient_quota", "insufficient_quota", None),
    "context_exceeded": (400, "invalid_request_error", "context_length_exceeded", "messages"),
    "invalid_token": (401, "invalid_request_error", "invalid_api_key", None),
    "model_queue_full": (429, "requests", "rate_limit_exceeded", None),
    "provider_busy": (429, "requests", "rate_limit_exceeded", None),
    "provider_not_found": (404, "invalid_request_error", "model_not_found", "model"),
    "rate_limited": (429, "requests", "rate_limit_exceeded", None),
}
# Asking again does not help: the SDK tries everything from 429 up three times unless it is told so.
_FINAL: Final = frozenset(
    {"budget_exhausted", "model_missing", "model_too_large", "no_model", "provider_auth"}
)


class Unreadable(InvalidRequest):
    """A field that is wrong, or that asks for what cannot be had."""


def unreadable(param: str, message: str, says: str = "invalid_value") -> Unreadable:
    """Return the error about a field, with a sentence and OpenAI's code."""
    return Unreadable("invalid_params", message, param=param, says=says)


# -- requests -----------------------------------------------------------------------------------------


class _Url(msgspec.Struct):
    url: str


class _Part(msgspec.Struct):
    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: _Url | None = None


class _Called(msgspec.Struct):
    name: str
    arguments: str = ""


class _Call(msgspec.Struct):
    id: str
    function: _Called
    type: Literal["function"] = "function"


class _Said(msgspec.Struct):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[_Part] | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None


class _Function(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class _Tool(msgspec.Struct):
    function: _Function
    type: Literal["function"]


class _Named(msgspec.Struct):
    name: str


class _Choice(msgspec.Struct):
    function: _Named
    type: Literal["function"]


class _Schema(msgspec.Struct):
    name: str
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class _Format(msgspec.Struct):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: _Schema | None = None


class _Options(msgspec.Struct):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class _Chat(msgspec.Struct, forbid_unknown_fields=True):
    messages: list[_Said]
    model: str
    stream: bool | None = None
    stream_options: _Options | None = None
    tools: list[_Tool] | None = None
    tool_choice: Literal["auto", "none", "required"] | _Choice | None = None
    response_format: _Format | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """A request: what to run, and how its answer is to be told."""

    model: str
    params: Json
    stream: bool = False
    include_usage: bool = False
    # By name: what the arguments must fit, for tools that are called strictly.
    strict: Mapping[str, Json] = field(default_factory=dict)
    # The tool, or the tools, of which one must be called; and whether that one was named.
    forced: Mapping[str, Json] | None = None
    named: bool = False


def read(body: Any) -> Chat:
    """Return what a body asks for. Raises Unreadable."""
    if not isinstance(body, dict):
        raise unreadable("", "The body is not a JSON object", "invalid_type")
    for name, neutral in NEUTRAL.items():
        if (given := body.get(name)) is not None and given not in neutral:
            raise unreadable(name, f"{name} is not supported here", "unsupported_parameter")
    known = {name: body[name] for name in body if name not in IGNORED and name not in NEUTRAL}
    try:
        chat = msgspec.convert(known, _Chat)
    except msgspec.ValidationError as err:
        raise misread(str(err)) from err
    return _understood(chat)


def misread(said: str) -> Unreadable:
    """Return the refusal of what does not have the form, with the field that msgspec named."""
    if unknown := _UNKNOWN.search(said):
        return unreadable(unknown[1], f"{unknown[1]} is not known here", "unknown_parameter")
    place = _PLACE.search(said)
    return unreadable(place[1] if place else "", said.partition(" - at ")[0], "invalid_type")


def _understood(chat: _Chat) -> Chat:
    if not chat.messages:
        raise unreadable("messages", "There is no message", "empty_array")
    schemas = {one.function.name: _parameters(one, at) for at, one in enumerate(chat.tools or ())}
    most = chat.max_completion_tokens if chat.max_tokens is None else chat.max_tokens
    params: Json = {
        "model": chat.model,
        "messages": [_message(one, f"messages[{at}]") for at, one in enumerate(chat.messages)],
        "max_tokens": DEFAULT_TOKENS if most is None else most,
        "temperature": chat.temperature,
        "schema": _schema(chat.response_format),
    }
    forced, is_named = _forced(chat, schemas)
    if forced is not None:
        if params["schema"] is not None:
            raise unreadable("tool_choice", "A tool cannot be forced into a response_format")
        params["schema"] = _one_call(forced)
        params["messages"].insert(0, {"role": "system", "content": _order(chat, forced)})
    elif chat.tool_choice != "none":
        params["tools"] = [
            {
                "name": one.function.name,
                "description": one.function.description or "",
                "parameters": schemas[one.function.name],
            }
            for one in chat.tools or ()
        ]
    return Chat(
        model=chat.model,
        params=params,
        stream=bool(chat.stream),
        include_usage=bool(chat.stream_options and chat.stream_options.include_usage),
        strict={
            one.function.name: schemas[one.function.name]
            for one in chat.tools or ()
            if one.function.strict
        },
        forced=forced,
        named=is_named,
    )


def _message(said: _Said, place: str) -> Json:
    """Return one message; ``place`` is where it stands, for the refusal."""
    parts = [said.content] if isinstance(said.content, str) else said.content or []
    texts: list[str] = []
    pictures: list[Json] = []
    for at, part in enumerate(parts):
        match part:
            case str(text) | _Part(type="text", text=str(text)):
                texts.append(text)
            case _Part(type="refusal", refusal=str(text)):
                texts.append(text)
            case _Part(type="image_url", image_url=_Url(url=url)) if said.role == "user":
                pictures.append(_picture(url, f"{place}.content[{at}].image_url"))
            case _:
                where = f"{place}.content[{at}]"
                raise unreadable(where, "This part of a message is not supported here")
    if said.role == "tool" and said.tool_call_id is None:
        raise unreadable(f"{place}.tool_call_id", "A tool's answer needs the id of its call")
    return {
        "role": "system" if said.role == "developer" else said.role,
        "content": "\n".join(texts) or said.refusal or "",
        "pictures": pictures,
        "calls": [
            {"id": one.id, "name": one.function.name, "arguments": _object(one.function.arguments)}
            for one in said.tool_calls or ()
        ],
        "call_id": said.tool_call_id,
    }


def _picture(url: str, place: str) -> Json:
    found = _DATA_URL.fullmatch(url)
    if found is None:
        raise unreadable(
            f"{place}.url",
            "A picture comes as a data: URL with base64; nothing is fetched from the web",
            "invalid_image_url",
        )
    return {"media_type": found[1].lower(), "base64": found[2]}


def _object(text: str) -> Json | None:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _parameters(tool: _Tool, at: int) -> Json:
    place = f"tools[{at}].function.parameters"
    return whole(tool.function.parameters or {"type": "object", "properties": {}}, place)


def _schema(wanted: _Format | None) -> Json | None:
    match wanted:
        case _Format(type="json_object"):
            return {"type": "object"}
        case _Format(type="json_schema", json_schema=_Schema(schema=schema)):
            return whole(schema or {}, "response_format.json_schema.schema")
        case _Format(type="json_schema"):
            raise unreadable("response_format.json_schema", "The schema is missing")
        case _:
            return None


def whole(schema: Json, place: str) -> Json:
    """Return a schema without references, as models and our own check of their answers need it."""
    parts = {
        f"#/{name}/{key}": part
        for name in ("$defs", "definitions")
        for key, part in (schema.get(name) or {}).items()
    }

    count = itertools.count()

    def inlined(value: Any, depth: int) -> Any:
        if depth > MOST_LEVELS or next(count) > MOST_PARTS:
            raise unreadable(
                place, "A schema that holds itself, or is this large, is not supported"
            )
        match value:
            case {"$ref": str(name), **rest} if isinstance(parts.get(name), dict):
                return inlined(parts[name] | rest, depth + 1)
            case {"$ref": str()}:
                raise unreadable(place, "A reference of the schema leads nowhere")
            case dict():
                return {
                    key: inlined(part, depth + 1)
                    for key, part in value.items()
                    if key not in {"$defs", "definitions"}
                }
            case list():
                return [inlined(part, depth + 1) for part in value]
            case _:
                return value

    found: Json = inlined(schema, 0)
    return found


# -- a tool that must be called: the model is asked for its arguments, which then certainly fit ------------


def _forced(chat: _Chat, schemas: Mapping[str, Json]) -> tuple[Mapping[str, Json] | None, bool]:
    """Return the tools of which one must be called, if one must, and whether it was named."""
    match chat.tool_choice:
        case "required" if schemas:
            return schemas, False
        case _Choice(function=_Named(name=name)) if name in schemas:
            return {name: schemas[name]}, True
        case _Choice() | "required":
            raise unreadable("tool_choice", "There is no such tool in tools")
        case _:
            return None, False


def _one_call(forced: Mapping[str, Json]) -> Json:
    if len(forced) == 1:
        (schema,) = forced.values()
        return schema
    return {
        "type": "object",
        "properties": {
            "name": {"enum": list(forced)},
            "arguments": {"anyOf": list(forced.values())},
        },
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def _order(chat: _Chat, forced: Mapping[str, Json]) -> str:
    known = {one.function.name: one.function.description or "" for one in chat.tools or ()}
    lines = [f"{name}: {known[name]}" for name in forced]
    shape = "" if len(forced) == 1 else ' The form is {"name": ..., "arguments": {...}}.'
    return "\n".join([_FORCED + shape, *lines])


# -- answers ------------------------------------------------------------------------------------------


class Answer:
    """One answer, whole or in chunks."""

    def __init__(self, chat: Chat, number: str) -> None:
        """Take what was asked, and the id of the request."""
        self._chat = chat
        self._begun = False
        self._head: Json = {
            "id": f"chatcmpl-{number}",
            "object": "chat.completion.chunk" if chat.stream else "chat.completion",
            "created": int(time.time()),
            "model": chat.model,
        }
        self._usage: Json = {"usage": None} if chat.include_usage else {}
        if chat.stream:
            # A chunk of words without the words: nothing else differs between hundreds of them.
            frame = self._chunk({"content": _MARK}, usage=self._usage)
            self._before, self._after = frame.rsplit(json.dumps(_MARK).encode(), 1)

    def whole(self, found: Json) -> Json:
        """Return a completion. Raises ProviderError for calls that are none."""
        text, calls = self._said(found)
        content = (text or None) if calls else text
        message: Json = {"role": "assistant", "content": content, "refusal": None}
        if calls:
            message["tool_calls"] = calls
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": self._finish(found, calls),
        }
        return self._head | {"choices": [choice], "usage": _usage(found), "kitty": _about(found)}

    def delta(self, part: Json) -> bytes:
        """Return the chunk of some words."""
        return self._begin() + self._words(part["text"])

    def result(self, found: Json) -> bytes:
        """Return the last chunks: what was not told yet, the tools, the end, what it took."""
        text, calls = self._said(found)
        chunks = [self._begin()]
        # What has a shape is told only now that it is known to fit.
        if self._chat.params["schema"] is not None and text:
            chunks.append(self._words(text))
        for at, call in enumerate(calls):
            function = call["function"]
            begun = call | {"index": at, "function": {"name": function["name"], "arguments": ""}}
            more = {"index": at, "function": {"arguments": function["arguments"]}}
            chunks += [
                self._chunk({"tool_calls": [one]}, usage=self._usage) for one in (begun, more)
            ]
        about = {"kitty": _about(found)}
        finish = self._finish(found, calls)
        chunks.append(self._chunk({}, finish=finish, usage=self._usage | about))
        if self._chat.include_usage:
            chunks.append(_event(self._head | {"choices": [], "usage": _usage(found)}))
        return b"".join([*chunks, DONE])

    def error(self, err: KittyError) -> bytes:
        """Return the event that says why the answer broke off."""
        return _event(refusal(err)[1])

    def _begin(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        first = {"role": "assistant", "content": "", "refusal": None}
        return self._chunk(first, usage=self._usage)

    def _words(self, text: str) -> bytes:
        return self._before + json.dumps(text).encode() + self._after

    def _chunk(self, delta: Json, *, finish: str | None = None, usage: Json) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _event(self._head | {"choices": [choice]} | usage)

    def _finish(self, found: Json, calls: Sequence[Json]) -> str:
        finish = str(found["finish"])
        if calls:
            return "stop" if self._chat.named else "tool_calls"
        return _FINISH.get(finish, finish)

    def _said(self, found: Json) -> tuple[str, list[Json]]:
        """Return the words and the calls of tools."""
        forced = self._chat.forced
        if forced is None:
            return found["text"], [self._call(one) for one in found["calls"]]
        arguments = msgspec.json.decode(found["text"])
        (name, *others) = forced
        if others:
            name, arguments = arguments["name"], arguments["arguments"]
            if wrong := misfit(arguments, forced[name]):
                raise ProviderError("provider_invalid", "The call does not fit", reason=wrong)
        return "", [self._call({"id": "", "name": name, "arguments": arguments})]

    def _call(self, call: Json) -> Json:
        name, arguments = call["name"], call["arguments"]
        if arguments is None:
            raise ProviderError("provider_invalid", "The model called a tool with what is no JSON")
        if wrong := misfit(arguments, self._chat.strict.get(name, {})):
            raise ProviderError("provider_invalid", "The call does not fit", reason=wrong)
        return {
            "id": call["id"] or f"call_{self._head['id'][-24:]}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)},
        }


def _event(data: Json) -> bytes:
    return f"data: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


def _usage(found: Json) -> Json | None:
    """Return the tokens; None where the provider does not tell them."""
    read_, written = found["tokens_in"], found["tokens_out"]
    if read_ is None or written is None:
        return None
    return {
        "prompt_tokens": read_,
        "completion_tokens": written,
        "total_tokens": read_ + written,
    }


def _about(found: Json) -> Json:
    return {name: found[name] for name in ("tier", "model", "provider_id", "confidence", "cost")}


# -- errors -------------------------------------------------------------------------------------------


def refusal(err: KittyError) -> tuple[int, Json, dict[str, str]]:
    """Return the status, the body and the headers of an error."""
    status, kind, code, param = _NAMES.get(
        err.code, (err.status, _kind(err.status), err.fields.get("says", err.code), None)
    )
    if err.code == "invalid_params" and "param" not in err.fields:
        err_ = misread(err.message)  # what ``generate.text`` itself would not take
        param, code = err_.fields["param"] or None, err_.fields["says"]
    error = {
        "message": err.message,
        "type": kind,
        "param": err.fields.get("param", param) or None,
        "code": code,
    }
    headers = {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else {}
    if (wait := err.fields.get("retry_after")) is not None:
        headers["Retry-After"] = str(math.ceil(wait))
    if err.code in _FINAL:
        headers["x-should-retry"] = "false"
    return status, {"error": error}, headers


def _kind(status: int) -> str:
    if status == HTTPStatus.FORBIDDEN:
        return "permission_error"
    return "invalid_request_error" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error"
