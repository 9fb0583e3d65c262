"""What the brain and the Home Assistant integration both know: words, hazards, hashes, frames.

This file is the same, byte for byte, in ``brain_server`` and ``custom_components/kitty``. It imports
only the standard library, holds no state, and both sides decide hazards with the tables below, so that
neither has to trust the other's arithmetic.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
import hashlib
import json
import math
from typing import Any, Final, Literal

SCHEMA: Final = 1
MIN_SCHEMA: Final = 1

MAX_FRAME_BYTES: Final = 1024 * 1024
MAX_TELEMETRY_BYTES: Final = 64 * 1024
COOL_BELOW_C: Final = 50.0

# Stands for somebody in the room whom nobody knows, where a policy takes such a word for a MEDIUM.
VOICE_PERSON: Final = "voice"

type Json = dict[str, Any]


class Hazard(StrEnum):
    """How dangerous something is; ordered by :func:`worse`."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Kind(StrEnum):
    """What a device is."""

    PRINTER = "printer"
    CAMERA = "camera"
    LIGHT = "light"
    DOOR = "door"
    POWER = "power"
    SENSOR = "sensor"


class Role(StrEnum):
    """What a person may be trusted with."""

    OPERATOR = "operator"
    ENGINEER = "engineer"
    SAFETY = "safety"
    ADMIN = "admin"


class Channel(StrEnum):
    """The road a request or a decision came by."""

    DASHBOARD = "dashboard"
    MOBILE = "mobile"
    ASSIST = "assist"
    VOICE = "voice"
    AUTOMATION = "automation"
    API = "api"
    SYSTEM = "system"


class EventStatus(StrEnum):
    """Life of a safety event."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"


class CommandStatus(StrEnum):
    """Life of a device command; ``claimed`` is durable before anything is sent."""

    PENDING = "pending"
    DEFERRED = "deferred"
    CLAIMED = "claimed"
    SENT = "sent"
    ACKED = "acked"
    FAILED = "failed"
    UNKNOWN = "unknown"
    DENIED = "denied"
    EXPIRED = "expired"


# What was wrong with a print.
type Reason = Literal[
    "stringing",
    "warping",
    "layer_shift",
    "under_extrusion",
    "blobs",
    "poor_adhesion",
    "wrong_size",
    "surface",
    "spaghetti",
    "clog",
    "other",
]


class PresenceSource(StrEnum):
    """Where a presence observation came from."""

    UNIFI = "unifi"
    SENSOR = "sensor"
    MANUAL = "manual"
    OVERRIDE = "override"


class PresenceStatus(StrEnum):
    """What a presence observation says."""

    PRESENT = "present"
    UNKNOWN = "unknown"
    VACATED = "vacated"


class OnlineState(StrEnum):
    """Whether a device answers."""

    ONLINE = "online"
    OFFLINE = "offline"
    FAULT = "fault"


class PrinterStatus(StrEnum):
    """What a printer is doing; the last four describe the job that just ended."""

    IDLE = "idle"
    PREPARING = "preparing"
    PRINTING = "printing"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    ABORTED = "aborted"
    ERROR = "error"


# What a printer does when nothing moves; an error has stopped it.
_AT_REST: Final = frozenset(
    {
        PrinterStatus.IDLE,
        PrinterStatus.COMPLETED,
        PrinterStatus.FAILED,
        PrinterStatus.ABORTED,
        PrinterStatus.ERROR,
    }
)

# Roads that carry a person's own authenticated finger, so that they may decide a HIGH.
DIRECT_CHANNELS: Final = frozenset({Channel.DASHBOARD, Channel.MOBILE})

EVENT_TRANSITIONS: Final[Mapping[EventStatus, frozenset[EventStatus]]] = {
    EventStatus.PENDING: frozenset({EventStatus.APPROVED, EventStatus.DENIED, EventStatus.EXPIRED}),
    # An approval that is not used in time, or whose ground has gone, expires; it is never denied later.
    EventStatus.APPROVED: frozenset({EventStatus.EXPIRED}),
    EventStatus.DENIED: frozenset(),
    EventStatus.EXPIRED: frozenset(),
}

COMMAND_TRANSITIONS: Final[Mapping[CommandStatus, frozenset[CommandStatus]]] = {
    CommandStatus.PENDING: frozenset(
        {CommandStatus.CLAIMED, CommandStatus.DENIED, CommandStatus.EXPIRED}
    ),
    CommandStatus.DEFERRED: frozenset(
        {CommandStatus.CLAIMED, CommandStatus.DENIED, CommandStatus.EXPIRED}
    ),
    CommandStatus.CLAIMED: frozenset(
        {CommandStatus.SENT, CommandStatus.ACKED, CommandStatus.FAILED, CommandStatus.UNKNOWN}
    ),
    CommandStatus.SENT: frozenset(
        {CommandStatus.ACKED, CommandStatus.FAILED, CommandStatus.UNKNOWN}
    ),
    # Only a person, having looked, settles an unknown outcome.
    CommandStatus.UNKNOWN: frozenset({CommandStatus.ACKED, CommandStatus.FAILED}),
    CommandStatus.ACKED: frozenset(),
    CommandStatus.FAILED: frozenset(),
    CommandStatus.DENIED: frozenset(),
    CommandStatus.EXPIRED: frozenset(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """One parameter of an intent: its JSON type, bounds and whether it must be there."""

    type: type
    required: bool = True
    minimum: float | None = None
    maximum: float | None = None
    max_length: int = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """One thing a device can be asked to do."""

    kind: Kind
    hazard: Hazard
    # A safe direction (lock, pause, cancel) is never raised by its zone and never held up.
    safe: bool = False
    event_type: str = "hazard_request"
    params: Mapping[str, Param] = field(default_factory=dict)
    # Seconds for the people to decide, and for the device to show the result.
    approval_ttl: float = 300.0
    deadline: float = 15.0


_FILE: Final = Param(type=str)
_PLATE: Final = Param(type=int, required=False, minimum=1, maximum=999)
_CELSIUS: Final = Param(type=float, required=False, minimum=0, maximum=350)

INTENTS: Final[Mapping[str, Intent]] = {
    "lock": Intent(kind=Kind.DOOR, hazard=Hazard.LOW, safe=True),
    "unlock": Intent(kind=Kind.DOOR, hazard=Hazard.MEDIUM, event_type="unlock", approval_ttl=60.0),
    "open": Intent(kind=Kind.DOOR, hazard=Hazard.MEDIUM, event_type="unlock", approval_ttl=60.0),
    "power_on": Intent(kind=Kind.POWER, hazard=Hazard.MEDIUM, event_type="power_enable"),
    # Safe because a hot or busy load defers it; see `power_cut` for "off, now".
    "power_off": Intent(kind=Kind.POWER, hazard=Hazard.LOW, safe=True),
    "power_cut": Intent(kind=Kind.POWER, hazard=Hazard.HIGH, event_type="override"),
    "light_on": Intent(kind=Kind.LIGHT, hazard=Hazard.LOW),
    "light_off": Intent(kind=Kind.LIGHT, hazard=Hazard.LOW),
    "print_start": Intent(
        kind=Kind.PRINTER,
        hazard=Hazard.MEDIUM,
        # ``ventilation``: somebody saw to moving air, for a material that needs it.
        # ``plate``: which one of a project; without it that of the printer's options, else the first.
        params={"file": _FILE, "plate": _PLATE, "ventilation": Param(type=bool, required=False)},
        deadline=60.0,
    ),
    "print_pause": Intent(kind=Kind.PRINTER, hazard=Hazard.LOW, safe=True, deadline=60.0),
    "print_resume": Intent(kind=Kind.PRINTER, hazard=Hazard.MEDIUM, deadline=60.0),
    "print_cancel": Intent(kind=Kind.PRINTER, hazard=Hazard.LOW, safe=True, deadline=60.0),
    "heat": Intent(
        kind=Kind.PRINTER,
        hazard=Hazard.MEDIUM,
        params={
            "nozzle": _CELSIUS,
            "bed": Param(type=float, required=False, minimum=0, maximum=150),
        },
    ),
    "gcode": Intent(
        kind=Kind.PRINTER,
        hazard=Hazard.HIGH,
        event_type="override",
        params={"script": Param(type=str, max_length=4096)},
    ),
}


def worse(*levels: Hazard) -> Hazard:
    """Return the highest of the given hazard levels."""
    order = list(Hazard)
    return max(levels, key=order.index)


def hazard_level(intent: str, zone: Hazard) -> Hazard:
    """Return the level of an intent in a zone: the higher of both, but a safe direction stays low."""
    spec = INTENTS[intent]
    return (
        Hazard.LOW
        if spec.safe
        else worse(spec.hazard, zone if spec.hazard != "low" else Hazard.LOW)
    )


def people_needed(level: Hazard, *, dual_confirm: bool = False) -> int:
    """Return how many different people stand behind an action of this level."""
    if level is Hazard.LOW:
        return 0
    return 2 if level is Hazard.HIGH or dual_confirm else 1


def people_behind(
    level: Hazard,
    *,
    dual_confirm: bool,
    requester: str | None,
    channel: str,
    approvers: frozenset[str],
) -> frozenset[str]:
    """Return the people who count for an action.

    Where two are needed, a requester who asked with his own finger is one of them; a request by voice,
    automation or program has nobody behind it. Where one is needed, only approvals count.
    """
    direct = requester is not None and channel in DIRECT_CHANNELS
    if people_needed(level, dual_confirm=dual_confirm) == 2 and direct and requester is not None:
        return approvers | {requester}
    return approvers


def is_cool(state: Mapping[str, Any]) -> bool:
    """Tell whether a printer that shows this is certainly at rest and cool; what is not known is not."""
    heats = [(state.get(part) or {}).get("actual") for part in ("nozzle", "bed")]
    return state.get("status") in _AT_REST and all(
        isinstance(heat, int | float) and heat < COOL_BELOW_C for heat in heats
    )


def invalid_params(intent: str, params: Mapping[str, Any]) -> dict[str, str]:
    """Return what is wrong with the parameters of an intent, by field; empty when all is well."""
    spec = INTENTS[intent].params
    wrong = {name: "unknown" for name in params if name not in spec}
    for name, rule in spec.items():
        value = params.get(name)
        if value is None:
            if rule.required:
                wrong[name] = "required"
        elif rule.type in {int, float}:
            kind = int if rule.type is int else int | float
            if isinstance(value, bool) or not isinstance(value, kind):
                wrong[name] = "must be a number" if rule.type is float else "must be a whole number"
            elif not math.isfinite(value) or not (
                (rule.minimum is None or value >= rule.minimum)
                and (rule.maximum is None or value <= rule.maximum)
            ):
                wrong[name] = f"must be between {rule.minimum:g} and {rule.maximum:g}"
        elif not isinstance(value, rule.type):
            wrong[name] = f"must be of type {rule.type.__name__}"
        elif isinstance(value, str) and not 0 < len(value) <= rule.max_length:
            wrong[name] = f"must have 1 to {rule.max_length} characters"
    if spec and not params:
        wrong[next(iter(spec))] = "required"
    return wrong


def canonical(value: Json) -> bytes:
    """Return the one byte string that stands for a JSON object: sorted, compact, ASCII, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


# Exactly what people are asked to approve; a safety event shows all of it.
SUBJECT_FIELDS: Final = (
    "device_id",
    "intent",
    "params",
    "zone_id",
    "level",
    "people_needed",
    "requires_ppe",
    "initiated_by",
    "channel",
    "policy_version",
    "expires_at",
    "nonce",
)


def subject_hash(asked: Mapping[str, Any]) -> str:
    """Return the SHA-256 hex digest of exactly what people are asked to approve."""
    subject = {name: asked[name] for name in SUBJECT_FIELDS}
    return hashlib.sha256(canonical(subject)).hexdigest()


def approval_bytes(
    *, event_id: str, subject: str, user_id: str, decision: str, channel: str, ppe: bool, at: float
) -> bytes:
    """Return what the integration's Ed25519 key signs for one person's decision."""
    return b"kitty-approval-2\n" + canonical(
        {
            "event_id": event_id,
            "subject": subject,
            "user_id": user_id,
            "decision": decision,
            "channel": channel,
            "ppe": ppe,
            "at": at,
        }
    )


def hello_bytes(*, nonce: str, instance_id: str) -> bytes:
    """Return what the brain's Ed25519 key signs to prove, for a client's nonce, who answers."""
    return b"kitty-hello-1\n" + canonical({"nonce": nonce, "instance_id": instance_id})


def grant_bytes(grant: Json) -> bytes:
    """Return what the brain's Ed25519 key signs for one single-use grant."""
    return b"kitty-grant-1\n" + canonical(grant)
