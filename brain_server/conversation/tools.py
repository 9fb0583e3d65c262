"""What a model may do: a list of tools, and the one place where they run.

Four kinds of tools, and four rules that hold whatever the model says:

- what only *tells* runs; when it tells text from outside, the conversation has read something foreign;
- what is *asked of the workshop* goes to the gate, like every request, and a model never approves;
- what is *done in the house* runs with the rights of the person who speaks;
- once something foreign was read, or when the person's own words do not carry it, nothing is done before
  that person has said yes to our own description of it.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
import json
import re
from typing import Any, Final, Protocol

import msgspec

from brain_server.commands import Caller, Command, Page, input_schema
from brain_server.conversation.trust import Trust, plain_name, quoted, unquoted, visible
from brain_server.errors import KittyError
from brain_server.house import HomeAssistantLink
from brain_server.observability import request_id
from brain_server.protocol import DIRECT_CHANNELS, INTENTS, Channel, Json
from brain_server.providers import Tool, ToolCall
from brain_server.routing.privacy import Kind
from brain_server.shape import misfit

# What programs may read over MCP, and a model of this house is not offered: each tool makes every prompt longer.
BY_PROGRAMS: Final = frozenset({"goals.list", "outcomes.list", "projects.list", "research.list"})
# What is only of use beside a tool that somebody else has brought.
WITH_OTHERS: Final = frozenset({"research.get"})
REQUEST: Final = "workshop_request"
SEARCH: Final = "search_web"
READ: Final = "read_web_page"
HOME_TIMEOUT: Final = 15.0
MOST_RESULT: Final = 12_000
# A model is told the first page, the newest first where a list can be turned.
NEWEST: Final = "newest_first"
_PAGING: Final = frozenset({*Page.__struct_fields__, NEWEST})
_TOKEN: Final = re.compile(r"[A-Za-z0-9_.:+/-]{0,64}")

# The words by which people ask for an intent; a model's request for it needs one of them to be carried.
SAID: Final[Mapping[str, frozenset[str]]] = {
    "lock": frozenset({"lock", "secure", "close", "shut"}),
    "unlock": frozenset({"unlock", "open"}),
    "open": frozenset({"open", "unlock"}),
    "power_on": frozenset({"on", "power", "start", "enable"}),
    "power_off": frozenset({"off", "power", "stop", "disable", "cut"}),
    "power_cut": frozenset({"cut", "off", "kill", "now"}),
    "light_on": frozenset({"on", "light", "lights", "bright", "dark"}),
    "light_off": frozenset({"off", "light", "lights", "dark"}),
    "print_start": frozenset({"print", "start", "make"}),
    "print_pause": frozenset({"pause", "hold", "wait"}),
    "print_resume": frozenset({"resume", "continue", "carry"}),
    "print_cancel": frozenset({"cancel", "stop", "abort", "end"}),
    "heat": frozenset({"heat", "preheat", "warm", "temperature", "degrees", "cool"}),
    "gcode": frozenset({"gcode", "g-code", "send"}),
}


# The words by which people speak of a kind of thing in the house without its name.
SPOKEN_OF: Final[Mapping[str, frozenset[str]]] = {
    "light": frozenset({"light", "lights", "lamp", "lamps", "dark", "bright", "brighter", "dim"}),
    "climate": frozenset(
        {"cold", "hot", "warm", "warmer", "cooler", "heat", "heating", "freezing"}
    ),
    "fan": frozenset({"fan", "air", "stuffy", "hot"}),
    "cover": frozenset({"blind", "blinds", "shade", "shades", "curtain", "curtains", "shutters"}),
    "media": frozenset({"music", "song", "tv", "television", "loud", "quiet", "volume", "radio"}),
    "vacuum": frozenset({"vacuum", "clean", "dirty", "hoover"}),
}
_KINDS: Final[Mapping[str, Kind]] = {
    "calendar": Kind.CALENDAR,
    "memory": Kind.MEMORY,
    "research": Kind.MESSAGES,
    "runs": Kind.MESSAGES,
    "shopping": Kind.MESSAGES,
    "todo": Kind.MESSAGES,
    "person": Kind.PRESENCE,
}
_NUMBER: Final = re.compile(r"-?\d{1,15}(?:\.\d{1,15})?")
_WORD: Final = re.compile(r"[\w-]+")
_LITTLE: Final = frozenset({"the", "a", "an", "in", "on", "of", "to", "and", "true", "false", "is"})
_POINTING: Final = frozenset({"it", "them", "that", "this", "these", "those", "everything", "all"})
_ORDERS: Final = frozenset(
    {
        "turn",
        "switch",
        "set",
        "make",
        "start",
        "stop",
        "play",
        "pause",
        "dim",
        "add",
        "put",
        "raise",
    }
    | {
        "lower",
        "mute",
        "run",
        "activate",
        "increase",
        "decrease",
        "close",
        "open",
        "remove",
        "skip",
    }
)


class Effect(StrEnum):
    """What running a tool can change."""

    READ = "read"
    REQUEST = "request"
    HOME = "home"
    OUTWARD = "outward"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """A tool that a model is offered in this turn, and how it runs."""

    tool: Tool
    effect: Effect
    run: Callable[[Json], Awaitable[Ran]]
    # Where the house must know of a question before it takes a yes to it: has it look, and runs nothing.
    propose: Callable[[Json], Awaitable[Ran]] | None = None
    # What its answer is about: it is offered only to a model that may know of that.
    kind: Kind = Kind.DEVICE_STATE


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What came of a tool: words for the model, where they come from, and a row for people to see."""

    text: str
    trust: Trust = Trust.SYSTEM
    error: bool = False
    # Set where people must decide before anything goes on.
    event: Json | None = None
    command: Json | None = None
    # Set where the person who speaks must say yes first: what would be done, in our own words.
    proposal: Json | None = None


@dataclass(slots=True, kw_only=True)
class Reading:
    """What a turn has read so far."""

    said: str
    trust: Trust = Trust.PERSON
    ran: list[Json] = field(default_factory=list)

    @property
    def is_foreign(self) -> bool:
        """Tell whether anything that was read comes from outside."""
        return self.trust is Trust.OUTSIDE

    def take(self, trust: Trust) -> None:
        """Note that words of this trust are now before the model."""
        if trust is Trust.OUTSIDE:
            self.trust = trust


class Requests(Protocol):
    """How the workshop is asked: the devices' own road to the gate."""

    def __call__(self, caller: Caller, arguments: Json, conversation_id: str) -> Awaitable[Json]:
        """Ask; returns the command and the event, or raises KittyError."""


class Web(Protocol):
    """How the web is asked a question, apart from everything private."""

    def __call__(self, question: str, conversation_id: str) -> Awaitable[str]:
        """Return what was found, as text from outside."""


class Toolbox:
    """Offers tools for one turn and runs them."""

    def __init__(
        self,
        link: HomeAssistantLink,
        request: Requests,
        web: Web,
        read: Web,
        names: Callable[[str], str],
    ) -> None:
        """Take the roads to Home Assistant, the gate, a search and a page, and what devices are called."""
        self._link = link
        self._request = request
        self._web = web
        self._read = read
        self._names = names
        # What others bring: each returns its tool for a caller, or None where it has none now.
        self.brought: list[Callable[[Caller], Offered | None]] = []
        self._commands: Mapping[str, Command] = {}
        # What models are told of these; a schema takes time, and is made for the first who asks.
        self._described: dict[str, Tool] = {}
        self._dispatch: Callable[[Command, Caller, Json], Awaitable[Any]]

    def offer(
        self,
        commands: Mapping[str, Command],
        dispatch: Callable[[Command, Caller, Json], Awaitable[Any]],
    ) -> None:
        """Take the list of verbs; those that only read and are described for models become tools."""
        self._commands = {
            name: spec
            for name, spec in commands.items()
            if spec.tool and spec.read_only and name not in BY_PROGRAMS
        }
        self._described = {}
        self._dispatch = dispatch

    async def tools(self, caller: Caller, conversation_id: str, *, web: bool) -> dict[str, Offered]:
        """Return what a model is offered for this caller, by name."""
        others = self._others(caller)
        readers = [
            spec for name, spec in self._commands.items() if others or name not in WITH_OTHERS
        ]
        offered = [self._reader(spec, caller) for spec in readers]
        offered.append(self._requester(caller, conversation_id))
        if web:
            offered.append(self._searcher(conversation_id))
        offered.append(self._page_reader(conversation_id))
        offered += others
        offered += await self._of_house(caller)
        return {one.tool.name: one for one in offered}

    def other(self, name: str, caller: Caller) -> Offered | None:
        """Return a tool that somebody else has brought, None where there is no such."""
        return next((one for one in self._others(caller) if one.tool.name == name), None)

    def _others(self, caller: Caller) -> list[Offered]:
        return [one for bring in self.brought if (one := bring(caller)) is not None]

    async def run(self, offered: Mapping[str, Offered], call: ToolCall, reading: Reading) -> Ran:
        """Run one call of a model, or say why not; never raises for what the model did wrong."""
        one = offered.get(call.name)
        if one is None:
            return Ran(text=f"There is no tool {call.name[:64]!r}.", error=True)
        if call.arguments is None:
            return Ran(text="The arguments were not a JSON object.", error=True)
        call = replace(call, arguments=meant(call.arguments, one.tool.parameters))
        assert call.arguments is not None  # noqa: S101 - it was none above
        if wrong := misfit(call.arguments, one.tool.parameters):
            return Ran(text=f"invalid_params: {wrong}", error=True)
        ask = needs_person(one, call.arguments, reading, self._names)
        if ask and one.propose is None:
            return _proposed(call.name, call.arguments)
        try:
            ran = await (one.propose if ask and one.propose else one.run)(call.arguments)
        except msgspec.ValidationError as err:
            ran = Ran(text=f"invalid_params: {err}", error=True)
        except KittyError as err:
            ran = Ran(text=f"{err.code}: {err.message}", error=True)
        except TimeoutError:
            ran = Ran(text="timeout: No answer came in time", error=True)
        reading.take(ran.trust)
        reading.ran.append(
            {
                "name": call.name,
                "arguments": call.arguments,
                "result": {"text": visible(unquoted(ran.text), 500)},
                "error": ran.error,
            }
        )
        return ran

    # -- the kinds ------------------------------------------------------------------------------------

    def _reader(self, spec: Command, caller: Caller) -> Offered:
        turned = {NEWEST: True} if NEWEST in spec.params.__struct_fields__ else {}

        async def run(arguments: Json) -> Ran:
            found = await self._dispatch(spec, caller, turned | arguments)
            return told(found, spec.action)

        tool = self._described.get(spec.action)
        if tool is None:
            tool = self._described[spec.action] = Tool(
                name=spec.action.replace(".", "_"),
                description=spec.tool or spec.summary,
                parameters=_for_models(input_schema(spec)),
                read_only=True,
            )
        return Offered(tool=tool, effect=Effect.READ, run=run, kind=_kind_of(tool.name))

    def _requester(self, caller: Caller, conversation_id: str) -> Offered:
        async def run(arguments: Json) -> Ran:
            done = await self._request(caller, arguments, conversation_id)
            event = done["event"]
            if event is not None and event["status"] == "pending":
                return Ran(text="Waiting for people.", event=event, command=done["command"])
            return told(outcome_of(done["command"]), REQUEST)

        tool = Tool(
            name=REQUEST,
            description="Ask for something to be done with a device of the workshop. Dangerous things are "
            "then confirmed by people; you cannot confirm anything.",
            parameters={
                "type": "object",
                "properties": {
                    "device_id": {"type": "string", "description": "The id of a device"},
                    "intent": {"type": "string", "enum": sorted(INTENTS)},
                    "params": {"type": "object", "description": "e.g. file, nozzle, bed"},
                },
                "required": ["device_id", "intent"],
                "additionalProperties": False,
            },
        )
        return Offered(tool=tool, effect=Effect.REQUEST, run=run)

    def _page_reader(self, conversation_id: str) -> Offered:
        async def run(arguments: Json) -> Ran:
            found = await self._read(arguments["url"], conversation_id)
            return Ran(text=quoted(found[:MOST_RESULT], "web"), trust=Trust.OUTSIDE)

        tool = Tool(
            name=READ,
            description="Read a public web page whose address the person has given.",
            parameters={
                "type": "object",
                "properties": {"url": {"type": "string", "maxLength": 2000}},
                "required": ["url"],
                "additionalProperties": False,
            },
            read_only=True,
        )
        return Offered(tool=tool, effect=Effect.OUTWARD, run=run, kind=Kind.PROMPT)

    def _searcher(self, conversation_id: str) -> Offered:
        async def run(arguments: Json) -> Ran:
            found = await self._web(str(arguments.get("question", "")), conversation_id)
            return Ran(text=quoted(found[:MOST_RESULT], "web"), trust=Trust.OUTSIDE)

        tool = Tool(
            name=SEARCH,
            description="Look something up on the web. Put nothing private into the question.",
            parameters={
                "type": "object",
                "properties": {"question": {"type": "string", "maxLength": 300}},
                "required": ["question"],
                "additionalProperties": False,
            },
            read_only=True,
        )
        return Offered(tool=tool, effect=Effect.OUTWARD, run=run, kind=Kind.PROMPT)

    async def _of_house(self, caller: Caller) -> list[Offered]:
        """Return Home Assistant's own tools, for a person who speaks through it right now."""
        if caller.context_id is None:
            return []
        try:
            asked = {"context_id": caller.context_id}
            found = await self._link.call("ha.tools", asked, timeout=HOME_TIMEOUT)
        except KittyError, TimeoutError:
            return []  # without the house there is still the workshop
        return [self._home_tool(spec, caller) for spec in found["tools"]]

    def _home_tool(self, spec: Json, caller: Caller) -> Offered:
        async def call(arguments: Json, **how: bool) -> Ran:
            answer = await self.in_house(spec["name"], arguments, caller, **how)
            if answer.get("needs_person"):
                # Home Assistant's own words for what it found that would be done.
                what = visible(str(answer.get("what") or ""), 200)
                return _proposed(spec["name"], arguments, what=what)
            return told(answer["result"], "home", error=bool(answer.get("error")))

        async def propose(arguments: Json) -> Ran:
            return await call(arguments, propose=True)

        tool = Tool(
            name=spec["name"],
            description=visible(spec["description"], 1000),
            parameters=spec["parameters"],
            read_only=bool(spec["read_only"]),
        )
        effect = Effect.READ if tool.read_only else Effect.HOME
        return Offered(
            tool=tool, effect=effect, run=call, propose=propose, kind=_kind_of(tool.name)
        )

    async def in_house(
        self,
        name: str,
        arguments: Json,
        caller: Caller,
        *,
        confirmed: bool = False,
        propose: bool = False,
    ) -> Json:
        """Run a tool of Home Assistant for the person of this turn, or only have it looked at."""
        return await self._link.call(
            "ha.call_tool",
            {
                "context_id": caller.context_id,
                "name": name,
                "arguments": arguments,
                "confirmed": confirmed,
                "propose": propose,
                "request_id": request_id.get(),
            },
            timeout=HOME_TIMEOUT,
        )


def _for_models(schema: Json) -> Json:
    """Return a schema without what no model needs: it is told the first page, and the description twice."""
    asked = {
        name: _present(one) for name, one in schema["properties"].items() if name not in _PAGING
    }
    kept: Json = {"type": "object", "properties": asked, "additionalProperties": False}
    return kept | ({"required": schema["required"]} if schema["required"] else {})


def _present(part: Json) -> Json:
    """Return the schema of a parameter that is left out rather than null."""
    kinds: list[Json] = [one for one in part.get("anyOf", ()) if one != {"type": "null"}]
    whole = part | (kinds[0] if len(kinds) == 1 else {"anyOf": kinds} if kinds else {})
    silent = {
        "default",
        "title",
        "description",
        "pattern",
        "minLength",
        "maxLength",
        "anyOf" if len(kinds) == 1 else "default",
    }
    return {name: one for name, one in whole.items() if name not in silent}


def _proposed(tool: str, arguments: Json, **more: str) -> Ran:
    """Return that the person must say yes first."""
    proposal = {"tool": tool, "arguments": arguments, **more}
    return Ran(text="The person is asked first.", proposal=proposal)


def _kind_of(name: str) -> Kind:
    """Return what the answer of a tool is about, by whose tool it is."""
    owner = re.split("[_.]", name.casefold())[0]
    return _KINDS.get(owner, Kind.DEVICE_STATE)


def meant(arguments: Json, schema: Json) -> Json:
    """Return arguments as they were meant: one thing for a list of one, digits for a number, null for nothing."""
    types = {
        name: one.get("type")
        for name, one in (schema.get("properties") or {}).items()
        if isinstance(one, dict)
    }
    return {
        name: _meant(value, types.get(name))
        for name, value in arguments.items()
        if value is not None or "anyOf" in (schema.get("properties") or {}).get(name, {})
    }


def _meant(value: Any, kind: Any) -> Any:
    if kind == "array" and not isinstance(value, list):
        return [value]
    if kind in ("integer", "number") and isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value) if "." in value else int(value)
    return value


def spoken(channel: Channel) -> Channel:
    """Return the road of what a model asks for: whoever spoke, no finger stands behind it."""
    return Channel.ASSIST if channel in DIRECT_CHANNELS else channel


def needs_person(
    one: Offered, arguments: Json, reading: Reading, names: Callable[[str], str]
) -> bool:
    """Tell whether the person must say yes before this runs."""
    match one.effect:
        case Effect.READ:
            return False
        case Effect.OUTWARD:
            # An address that nobody has said may hold anything in its words.
            url = arguments.get("url")
            return reading.is_foreign or (url is not None and str(url) not in reading.said)
        case Effect.HOME:
            return reading.is_foreign or not _home_carried(arguments, _words(reading.said))
        case Effect.REQUEST:
            return reading.is_foreign or not _carried(arguments, _words(reading.said), names)


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))


def _carried(arguments: Json, heard: set[str], names: Callable[[str], str]) -> bool:
    """Tell whether the person's own words carry a request: its verb, and something of the device's name."""
    verbs = SAID.get(str(arguments.get("intent")), frozenset())
    said = any(word == verb or word.startswith(verb + "e") for word in heard for verb in verbs)
    return said and bool(heard & _words(names(str(arguments.get("device_id")))))


def _home_carried(arguments: Json, heard: set[str]) -> bool:
    """Tell whether the person's own words carry something done in the house.

    They speak of what it is done to, by its name or its kind, or they give an order and point at it.
    """
    told = " ".join(str(value) for value in arguments.values())
    named = _words(told.replace("_", " ")) - _LITTLE
    kinds = set().union(*(SPOKEN_OF.get(word, frozenset()) for word in named))
    points = bool(heard & _POINTING) and bool(heard & _ORDERS)
    return bool(heard & (named | kinds)) or points


def told(value: Any, source: str, *, error: bool = False) -> Ran:
    """Return a result as a model reads it: as it is where all of it is plain, else as text from outside."""
    text = json.dumps(value, ensure_ascii=False, default=str)[:MOST_RESULT]
    if _is_plain(value):
        return Ran(text=visible(text), error=error)
    return Ran(text=quoted(text, source), trust=Trust.OUTSIDE, error=error)


def outcome_of(command: Json) -> Json:
    """Return of a command what a model needs to know."""
    return {name: command[name] for name in ("device_name", "intent", "status", "detail")}


def _is_plain(value: Any) -> bool:
    match value:
        case dict():
            return all(_is_plain(part) for pair in value.items() for part in pair)
        case list() | tuple():
            return all(_is_plain(part) for part in value)
        case str():
            return bool(_TOKEN.fullmatch(value)) or plain_name(value) is not None
        case _:
            return True
