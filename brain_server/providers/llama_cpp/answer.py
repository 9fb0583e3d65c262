"""How a local model is asked, and how its answer is read while it comes.

With tools the model may only write one JSON object: what to say, or which tool with which arguments.
"""

from collections.abc import Iterable, Iterator, Sequence
import json
import re
from typing import Any, Final, Protocol
import uuid

from brain_server.errors import ProviderError
from brain_server.llama_worker.wire import Turn
from brain_server.protocol import Json
from brain_server.providers import Author, Calls, Message, ModelRequest, Part, Tool, ToolCall, Words
from brain_server.providers.llama_cpp.schema import constrained
from brain_server.shape import misfit

SAY: Final = "say"
_CUT_OFF: Final = "The answer ended in the middle"
# What stands for letters in a JSON string, whole; and the first half of a letter that takes two.
_UNIT: Final = re.compile(r'[^"\\]+|\\u[0-9a-fA-F]{4}|\\[^u]', re.DOTALL)
_HALF: Final = re.compile(r"\\u[dD][89abAB]..")


class Reader(Protocol):
    """Reads an answer as it comes."""

    def feed(self, text: str, logprobs: Sequence[float]) -> Iterator[Part]:
        """Take in some text and yield the words in it."""

    def end(self, *, whole: bool) -> Iterator[Part]:
        """Yield what is left; an answer that is none is a ProviderError."""


def reader_for(request: ModelRequest) -> tuple[Json | None, Reader]:
    """Return the schema that the model is held to, if any, and who reads its answer."""
    if request.tools:
        say = _say_word(request.tools)
        return _actions(request, say), ActionReader(say, request.schema)
    if request.schema is not None:
        return constrained(request.schema), SchemaReader(request.schema)
    return None, TextReader()


def turns(request: ModelRequest) -> tuple[Turn, ...]:
    """Return the conversation in the roles that every chat template knows, none twice in a row."""
    say = _say_word(request.tools)
    names = {call.id: call.name for one in request.messages for call in one.calls}
    found = [_turn(one, names, say if request.tools else None) for one in request.messages]
    if request.tools:
        found.insert(0, Turn(role="system", text=_instructions(request.tools, say)))
    # Only the first word is the system's.
    order = [
        *(one for one in found if one.role == "system"),
        *(one for one in found if one.role != "system"),
    ]
    return tuple(_joined(order))


def _turn(message: Message, names: dict[str, str], say: str | None) -> Turn:
    pictures = tuple(picture.data for picture in message.pictures)
    match message.author:
        case Author.TOOL:
            name = names.get(message.call_id or "", "a tool")
            return Turn(role="user", text=f"Result of {name}:\n{message.text}", pictures=pictures)
        case Author.ASSISTANT if say is not None:
            return Turn(role="assistant", text="\n".join(_as_actions(message, say)))
        case _:
            return Turn(role=message.author.value, text=message.text, pictures=pictures)


def _as_actions(message: Message, say: str) -> Iterator[str]:
    """Yield what the assistant did, in the form in which it is asked to answer."""
    if message.text:
        yield _json({"action": say, "text": message.text})
    for call in message.calls:
        yield _json({"action": call.name, "arguments": call.arguments or {}})


def _joined(found: Iterable[Turn]) -> Iterator[Turn]:
    last: Turn | None = None
    for one in found:
        if last is not None and last.role == one.role:
            text = f"{last.text}\n\n{one.text}"
            last = Turn(role=one.role, text=text, pictures=(*last.pictures, *one.pictures))
            continue
        if last is not None:
            yield last
        last = one
    if last is not None:
        yield last


def _instructions(tools: Sequence[Tool], say: str) -> str:
    lines = [
        "Answer with one JSON object and nothing else.",
        f'To speak: {{"action": "{say}", "text": "your words"}}',
        'To use a tool: {"action": "name of the tool", "arguments": {}}',
        "Tools, each with the JSON Schema of its arguments:",
        *(f"- {tool.name}: {tool.description} {_json(tool.parameters)}" for tool in tools),
    ]
    return "\n".join(lines)


def _actions(request: ModelRequest, say: str) -> Json:
    words = {"type": "string"} if request.schema is None else constrained(request.schema)
    arms = [
        *(
            ("arguments", tool.name, constrained({"type": "object", **tool.parameters}))
            for tool in request.tools
        ),
        ("text", say, words),
    ]
    return {
        "oneOf": [
            {
                "type": "object",
                "properties": {"action": {"const": action}, name: inner},
                "required": ["action", name],
                "additionalProperties": False,
            }
            for name, action, inner in arms
        ]
    }


def _say_word(tools: Sequence[Tool]) -> str:
    """Return the name of the action of speaking, which is no tool's."""
    word = SAY
    while any(tool.name == word for tool in tools):
        word = f"_{word}"
    return word


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


class TextReader:
    """Plain words."""

    def __init__(self) -> None:
        """Begin."""
        self._begun = False

    def feed(self, text: str, logprobs: Sequence[float]) -> Iterator[Part]:
        """Yield the words, without the space before the first."""
        words = text if self._begun else text.lstrip()
        if words:
            self._begun = True
            yield Words(text=words, logprobs=tuple(logprobs))

    def end(self, *, whole: bool) -> Iterator[Part]:
        """Yield nothing: all has been said."""
        del whole
        return iter(())


class SchemaReader:
    """JSON that fits a schema: passed on as it comes, judged at the end."""

    def __init__(self, schema: Json) -> None:
        """Begin."""
        self._schema = schema
        self._text = ""

    def feed(self, text: str, logprobs: Sequence[float]) -> Iterator[Part]:
        """Yield the JSON."""
        self._text += text
        yield Words(text=text, logprobs=tuple(logprobs))

    def end(self, *, whole: bool) -> Iterator[Part]:
        """Yield nothing; ``provider_invalid`` when it does not fit, ``provider_cut_off`` when it ended early."""
        _required(_parsed(self._text, whole=whole), self._schema)
        return iter(())


class ActionReader:
    """One object: what to say, passed on while it comes, or a tool."""

    def __init__(self, say: str, schema: Json | None) -> None:
        """Begin; with a schema, what is said is JSON."""
        self._say = say
        self._schema = schema
        self._head = re.compile(
            rf'\s*\{{\s*"action"\s*:\s*{re.escape(_json(say))}\s*,\s*"text"\s*:\s*"'
        )
        self._text = ""
        # Where the next words begin, once it is known that the model speaks.
        self._at: int | None = None
        self._held: list[float] = []

    def feed(self, text: str, logprobs: Sequence[float]) -> Iterator[Part]:
        """Yield the words that the model speaks."""
        self._text += text
        self._held += logprobs
        if self._schema is None and self._at is None and (head := self._head.match(self._text)):
            self._at = head.end()
        if self._at is not None and (words := self._words()):
            yield Words(text=words, logprobs=tuple(self._held))
            self._held = []
        elif self._at is not None and self._at == len(self._text):
            self._held = []  # so far only the form, of which nothing was the model's choice

    def end(self, *, whole: bool) -> Iterator[Part]:
        """Yield the tool that the model wants; ``provider_cut_off`` when it ended before that is known."""
        if self._at is not None:
            return
        found = _parsed(self._text, whole=whole)
        if not isinstance(found, dict) or not isinstance(found.get("action"), str):
            raise ProviderError("provider_invalid", "The answer is no action")
        if found["action"] == self._say and self._schema is not None:
            _required(found.get("text"), self._schema)
            yield Words(text=_json(found.get("text")), logprobs=tuple(self._held))
            return
        arguments = found.get("arguments")
        call = ToolCall(
            id=uuid.uuid4().hex,
            name=found["action"],
            arguments=arguments if isinstance(arguments, dict) else None,
        )
        yield Calls(calls=(call,))

    def _words(self) -> str:
        """Return the words that have come whole since the last time, up to the closing quote."""
        assert self._at is not None  # noqa: S101 - feed() has looked
        units, at = [], self._at
        while unit := _UNIT.match(self._text, at):
            units.append(unit[0])
            at = unit.end()
        if units and not self._text.startswith('"', at) and _HALF.fullmatch(units[-1]):
            at -= len(units.pop())
        self._at = at
        words = json.loads(f'"{"".join(units)}"', strict=False)
        # Half of a pair of surrogates is no letter.
        return str(words).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _parsed(text: str, *, whole: bool) -> Any:
    try:
        return json.loads(text)
    except ValueError as err:
        if not whole:
            raise ProviderError("provider_cut_off", _CUT_OFF) from err
        raise ProviderError("provider_invalid", "The answer is not JSON") from err


def _required(value: Any, schema: Json) -> None:
    wrong = misfit(value, schema)
    if wrong is not None:
        raise ProviderError("provider_invalid", f"The answer does not fit: {wrong}")
