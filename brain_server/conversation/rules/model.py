"""What goes into the rules and what comes out of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from brain_server.protocol import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A device as people speak of it; ``capabilities`` are the intents that it takes."""

    id: str
    name: str
    kind: Kind
    aliases: tuple[str, ...] = ()
    area_id: str | None = None
    capabilities: frozenset[str] = frozenset()
    # What a printer can print; None when the printer does not tell.
    files: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """A room as people speak of it."""

    id: str
    name: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person as others speak of them."""

    id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """Everything that has a name, at one moment."""

    devices: tuple[Named, ...] = ()
    areas: tuple[Area, ...] = ()
    people: tuple[Person, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """Where a sentence was said and what it may be an answer to."""

    area_id: str | None = None
    # This conversation has a question open that yes or no would answer.
    pending: bool = False
    # What KITTY asked to choose from: device ids, or file names.
    candidates: tuple[str, ...] = ()
    # Whether "both" or "all of them" is an answer to that question.
    several: bool = False
    # Seconds since local midnight, so that "today" and "yesterday" are exact.
    second_of_day: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Do this; hazardous intents always name exactly one device."""

    intent: str
    device_ids: tuple[str, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    confidence: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Tell how these devices are; no devices stands for everything."""

    device_ids: tuple[str, ...] = ()
    topic: Literal["state", "progress", "remaining", "temperature"] = "state"


@dataclass(frozen=True, slots=True)
class Confirm:
    """Yes, to the open question."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """No, to the open question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """These of the offered candidates."""

    candidates: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AskAudit:
    """Look in the record; ``since`` and ``until`` are seconds before now."""

    question: Literal["who", "when", "what"]
    intent: str | None = None
    device_id: str | None = None
    area_id: str | None = None
    person_id: str | None = None
    since: int | None = None
    until: int | None = None
    # Set when the question is about a decision and not about the deed.
    decision: Literal["approved", "denied", "requested"] | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """Tell what waits for approval."""


@dataclass(frozen=True, slots=True)
class Help:
    """Tell what can be said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ambiguous:
    """Ask which; each choice is a complete act. One choice alone asks "did you mean"."""

    intent: str | None
    # Device ids; file names where the files are what is not clear.
    candidates: tuple[str, ...]
    choices: tuple[Act, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NotFound:
    """There is nothing of that name; an empty name stands for one that was not said."""

    what: Literal["device", "file", "person"]
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsupported:
    """The device is known and cannot do that."""

    intent: str
    device_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BadValue:
    """The request is clear and a value is out of bounds; ``wrong`` says why, by parameter."""

    intent: str
    device_id: str
    wrong: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsModel:
    """Not for the rules; the reason is for the log."""

    reason: str


type Understood = (
    Act
    | Status
    | Confirm
    | Cancel
    | Chosen
    | AskAudit
    | Pending
    | Help
    | Ambiguous
    | NotFound
    | Unsupported
    | BadValue
    | NeedsModel
)
