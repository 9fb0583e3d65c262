"""One list of verbs for the WebSocket, REST, model tools and the schedule.

A command is a method of a service, marked with ``@command``. Its parameters are a msgspec struct; the
wire form, the validation and the OpenAPI text all come from that struct.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import IntEnum
import inspect
import itertools
from typing import Any, Final

import msgspec

from brain_server.errors import Forbidden, InvalidRequest
from brain_server.protocol import Channel, Json

STANDARD_TIMEOUT: Final = 30.0
PROCESSING_TIMEOUT: Final = 60.0
DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1000


class Scope(IntEnum):
    """What a token may do; each includes those before it."""

    READ = 1
    CONTROL = 2
    ADMIN = 3
    INTEGRATION = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who runs a command: the token, and the person that the integration vouches for."""

    token: str
    scope: Scope
    user_id: str | None = None
    name: str | None = None
    channel: Channel = Channel.API
    context_id: str | None = None


SYSTEM: Final = Caller(token="system", scope=Scope.INTEGRATION, channel=Channel.SYSTEM)  # noqa: S106 - a name, no secret


class Params(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Base of all parameters: unknown fields are refused."""


class NoParams(Params):
    """For commands that take nothing."""


class Page(Params):
    """The part of a list that a caller wants."""

    limit: int = DEFAULT_LIMIT
    cursor: str | None = None
    fields: list[str] | None = None

    def __post_init__(self) -> None:
        """Refuse a page that is too large."""
        if not 1 <= self.limit <= MAX_LIMIT:
            message = f"limit must be between 1 and {MAX_LIMIT}"
            raise ValueError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A verb: its action name, who may say it, its parameters and how long it may take."""

    action: str
    scope: Scope
    timeout: float = STANDARD_TIMEOUT
    read_only: bool = False
    streams: bool = False
    # Over REST the answer is 202 while the command in it is not over.
    accepts: bool = False
    # What a model is told of it; None: no model is offered it.
    tool: str | None = None
    # The part that must be switched on for it; None: it always works.
    capability: str | None = None
    summary: str = ""
    params: type[Params] = NoParams
    run: Callable[..., Any] = field(default=lambda: None)


def command[F: Callable[..., Any]](
    action: str,
    scope: Scope,
    *,
    timeout: float = STANDARD_TIMEOUT,
    read_only: bool = False,
    streams: bool = False,
    accepts: bool = False,
    tool: str | None = None,
    capability: str | None = None,
) -> Callable[[F], F]:
    """Mark ``async def method(self, caller, params)`` as a command; the docstring is its summary.

    ``tool`` describes it to models. What is not described is offered to none. While ``capability`` is switched
    off, it is refused.
    """

    def mark(method: F) -> F:
        summary = (inspect.getdoc(method) or "").partition("\n")[0]
        method.__dict__["command"] = Command(
            action=action,
            scope=scope,
            timeout=timeout,
            read_only=read_only,
            streams=streams,
            accepts=accepts,
            tool=tool,
            capability=capability,
            summary=summary,
        )
        return method

    return mark


def collect(*services: object) -> dict[str, Command]:
    """Return the commands of the services by action; two of one name are a programming error."""
    found: dict[str, Command] = {}
    for service, name in itertools.chain.from_iterable(
        ((service, name) for name in dir(type(service))) for service in services
    ):
        marked = getattr(getattr(type(service), name), "__dict__", {}).get("command")
        if not isinstance(marked, Command):
            continue
        method = getattr(service, name)
        if marked.action in found:
            message = f"Two commands are called {marked.action}"
            raise ValueError(message)
        _caller, params, *_emit = inspect.signature(method, eval_str=True).parameters.values()
        found[marked.action] = replace(marked, run=method, params=params.annotation)
    return dict(sorted(found.items()))


def prepare(spec: Command, caller: Caller, params: Json, *, strict: bool = True) -> Params:
    """Check the caller's scope and turn wire parameters into the command's struct.

    Raises Forbidden ``scope_required`` and InvalidRequest ``invalid_params`` with the path of the field.
    """
    if caller.scope < spec.scope:
        raise Forbidden(
            "scope_required",
            f"This needs a token of scope {spec.scope.name.lower()}",
            scope=spec.scope.name.lower(),
        )
    try:
        return msgspec.convert(params, spec.params, strict=strict)
    except msgspec.ValidationError as err:
        raise InvalidRequest("invalid_params", str(err), reason=str(err)) from err


def input_schema(spec: Command) -> Json:
    """Return the JSON Schema of a command's parameters, whole: no reference leads out of it or into it."""
    schema = msgspec.json.schema(spec.params)
    parts = schema.get("$defs", {})

    def whole(value: Any) -> Any:
        match value:
            case {"$ref": str(place)}:
                return whole(parts[place.removeprefix("#/$defs/")])
            case dict():
                return {name: whole(part) for name, part in value.items() if name != "$defs"}
            case list():
                return [whole(part) for part in value]
            case _:
                return value

    found: Json = whole(schema)
    del found["title"]
    return found


def paged(items: list[Json], page: Page, *, key: str = "id") -> Json:
    """Return one page of a complete list, ordered by ``key``; stable while others insert."""
    ordered = sorted(items, key=lambda item: item[key])
    if page.cursor is not None:
        ordered = [item for item in ordered if str(item[key]) > page.cursor]
    return as_page(ordered[: page.limit + 1], page, key=key)


def as_page(rows: list[Json], page: Page, *, key: str = "id") -> Json:
    """Return rows, read with one more than the limit, as a page with its next cursor."""
    items = rows[: page.limit]
    more = len(rows) > page.limit
    cursor = str(items[-1][key]) if more else None
    if page.fields is not None:
        items = [{name: item[name] for name in page.fields if name in item} for item in items]
    return {"items": items, "cursor": cursor}
