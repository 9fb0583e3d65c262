"""The contract of a device driver. One file in this folder is one driver; nothing else has to change.

A driver translates between one device's wire and KITTY's words. It never decides whether something is
allowed, never retries a command, and never says that a thing is done because a server accepted it: it
publishes what it observes and ``devices`` compares that with what was asked.
"""

from abc import ABC, abstractmethod
import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from brain_server.errors import DeviceError
from brain_server.house import HomeAssistantLink as HomeAssistantLink
from brain_server.plugins import Option as Option, OptionType as OptionType, Plugins
from brain_server.protocol import CommandStatus, Json, Kind, OnlineState

if TYPE_CHECKING:
    from aiohttp import ClientSession

_PUBLISH_EVERY_S: Final = 1.0

# What is known of a printer by nobody but its people; all of it may be left out.
PRINTER: Final = (
    Option(
        name="volume",
        label="Build volume",
        help="Width, depth and height in millimetres, for example 220x220x250",
        required=False,
    ),
    Option(
        name="nozzle_mm",
        label="Nozzle",
        help="Its diameter in millimetres",
        type=OptionType.NUMBER,
        required=False,
        minimum=0.1,
        maximum=3,
        unit="mm",
    ),
    Option(
        name="materials",
        label="Materials",
        help="What it can print, for example PLA, PETG; empty for anything",
        required=False,
    ),
    Option(
        name="max_nozzle",
        label="Hottest nozzle",
        help="Degrees Celsius that are never exceeded",
        type=OptionType.NUMBER,
        required=False,
        minimum=0,
        maximum=500,
        unit="°C",
    ),
    Option(
        name="max_bed",
        label="Hottest bed",
        help="Degrees Celsius that are never exceeded",
        type=OptionType.NUMBER,
        required=False,
        minimum=0,
        maximum=200,
        unit="°C",
    ),
    Option(
        name="gcode",
        label="Raw G-code",
        help="Whether people may send G-code by hand",
        type=OptionType.BOOLEAN,
        required=False,
        default=True,
    ),
    Option(
        name="watts",
        label="Power",
        help="Watts that it takes while it prints, where nothing measures it",
        type=OptionType.NUMBER,
        required=False,
        minimum=0,
        maximum=10_000,
        unit="W",
    ),
    Option(
        name="energy_entity",
        label="Energy meter",
        help="The sensor in Home Assistant that counts its electricity",
        type=OptionType.ENTITY,
        filter=("sensor",),
        required=False,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceInfo:
    """What a driver learned about its device when it first reached it."""

    external_id: str
    name: str
    kind: Kind
    capabilities: frozenset[str]
    manufacturer: str | None = None
    model: str | None = None
    sw_version: str | None = None
    has_camera: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What a driver saw: the whole state of its device at one moment, not a difference."""

    online: OnlineState
    state: Json = field(default_factory=dict)
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One claimed command on its way to a device. ``grant`` is set for devices that Home Assistant owns."""

    command_id: str
    intent: str
    params: Json
    grant: Json | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of an order where the driver itself knows it: acked, failed or unknown."""

    status: CommandStatus
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What a device tells of a print file that it holds: one that was replaced shows another size or time."""

    size: int
    # By the device's own clock; only ever compared with itself.
    written: float

    @classmethod
    def of(cls, size: Any, written: Any) -> Self | None:
        """Return what was told, None where it is not all there."""
        told = isinstance(size, int) and isinstance(written, int | float)
        return cls(size=size, written=written) if told else None

    @property
    def stamp(self) -> str:
        """Return it as it is kept."""
        return f"{self.size} {self.written!r}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverContext:
    """What a driver is given. ``publish`` may be called at any time while ``run`` runs."""

    device_id: str
    options: Mapping[str, Any]
    publish: Callable[[Observation], None]
    session: ClientSession
    home_assistant: HomeAssistantLink
    now: Callable[[], datetime]
    # The state that the device was last seen in, kept over a restart of the brain: how a driver knows
    # a job that went on, or was lost, while nobody looked. Empty when the device is new.
    last_state: Json = field(default_factory=dict)


class Driver(ABC):
    """A driver for one device. Made anew whenever the device's options change."""

    name: ClassVar[str]
    title: ClassVar[str]
    options: ClassVar[tuple[Option, ...]]
    # What a person may tell of such a device; the driver itself needs none of it.
    profile: ClassVar[tuple[Option, ...]] = ()
    # True where Home Assistant carries the command out on a signed grant.
    executes_in_home_assistant: ClassVar[bool] = False

    def __init__(self, context: DriverContext) -> None:
        """Keep the context; do no I/O here."""
        self.context = context

    @abstractmethod
    async def probe(self) -> DeviceInfo:
        """Reach the device once and describe it.

        Raises DeviceError with code ``cannot_connect`` or ``invalid_auth``, or InvalidRequest with
        code ``invalid_option``, its field named.
        """

    @abstractmethod
    async def run(self) -> None:
        """Follow the device until cancelled: connect, publish what is observed, reconnect with backoff.

        Publishes ``OnlineState.OFFLINE`` with a reason when the device goes away and raises nothing
        for it: a printer that is switched off is not an error. What it raises all the same is logged, and
        it is called again after a pause.
        """

    @abstractmethod
    async def execute(self, order: Order) -> Outcome | None:
        """Send one order, once.

        Returns None when the device accepted it and the observed state will tell, or an Outcome when
        the end is known. Raises DeviceError only when certainly nothing was done; any other failure
        (a timeout, a broken connection) is an ``Outcome`` with status ``unknown``.
        """

    def confirms(self, order: Order, before: Json, after: Json) -> bool | None:
        """Say whether an observed state proves an order done (True), undone (False), or neither (None).

        ``before`` is the state just before the order was sent. The default knows KITTY's own states.
        """
        return confirms(order.intent, order.params, before, after)

    def understand(self, seen: Observation) -> Observation:
        """Return what an observation means that somebody else made of the device; the default believes it."""
        return seen

    async def recall(self, order: Order, limit: float) -> Outcome | None:
        """After a crash, say what became of an order that may have been sent; None: look at the state.

        Never sends it again.
        """
        del order, limit
        return None

    async def files(self) -> list[str]:
        """Return the names of the print files that the device holds."""
        return []

    async def about(self, name: str) -> Stored | None:
        """Return size and time of a file that the device holds, None where it does not tell."""
        del name
        return None

    async def refresh(self) -> None:  # noqa: B027 - a driver may have nothing to show on demand
        """Publish the state as it is now, also when it has not changed: somebody waits to see it."""

    async def snapshot(self) -> bytes:
        """Return one JPEG or PNG picture; DeviceError ``no_camera`` where there is none."""
        raise DeviceError("no_camera", "This device has no camera")

    async def upload(self, name: str, content: AsyncIterator[bytes]) -> str:
        """Store a print file on the device and return the name that ``print_start`` takes."""
        del name, content
        raise DeviceError("not_supported", "This device takes no files")


class Publisher:
    """Publishes what differs: words at once, figures once a second."""

    def __init__(self, context: DriverContext) -> None:
        """Start with nothing published."""
        self._context = context
        self._last: Observation | None = None
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def again(self) -> None:
        """Publish once more what was published last, for somebody who waits to see it."""
        if self._last is not None:
            self._context.publish(self._last)

    def offer(self, seen: Observation) -> None:
        """Publish this now or soon, unless it is what was published last."""
        self.stop()
        last, loop = self._last, asyncio.get_running_loop()
        if last is None or _words(seen) != _words(last) or loop.time() >= self._due:
            self._publish(seen)
        else:
            self._timer = loop.call_at(self._due, self._publish, seen)

    def stop(self) -> None:
        """Forget what was to be published soon; for the end of ``run``."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _publish(self, seen: Observation) -> None:
        last, self._last = self._last, seen
        if seen == last:
            return
        self._due = asyncio.get_running_loop().time() + _PUBLISH_EVERY_S
        self._context.publish(seen)


def _words(seen: Observation) -> Any:
    """Return an observation without its figures."""
    return seen.online, seen.reason, _without_figures(seen.state)


def _without_figures(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_figures(part) for name, part in value.items()}
    return None if isinstance(value, int | float) and not isinstance(value, bool) else value


def confirms(intent: str, params: Json, before: Json, after: Json) -> bool | None:
    """Judge an observed state by the words of ``protocol.INTENTS``; see :meth:`Driver.confirms`."""
    match intent:
        case "lock":
            return _is(after.get("locked"), wanted=True)
        case "unlock":
            return _is(after.get("locked"), wanted=False)
        case "open":
            return _is(after.get("open"), wanted=True)
        case "power_on" | "light_on":
            return _is(after.get("on"), wanted=True)
        case "power_off" | "power_cut" | "light_off":
            return _is(after.get("on"), wanted=False)
        case "print_start":
            return _started(params, before, after)
        case "print_pause":
            return _status_in(after, {"paused"})
        case "print_resume":
            return _status_in(after, {"preparing", "printing"})
        case "print_cancel":
            return _status_in(after, {"aborted", "idle", "completed", "failed"})
        case "heat":
            return all(
                (after.get(part) or {}).get("target") == wanted for part, wanted in params.items()
            )
        case _:
            return None


def _is(value: Any, *, wanted: bool) -> bool | None:
    return None if value is None else bool(value) is wanted


def _status_in(after: Json, wanted: set[str]) -> bool | None:
    status = after.get("status")
    return None if status is None else status in wanted


def _started(params: Json, before: Json, after: Json) -> bool | None:
    """Tell a job that began from one that was there before: the file runs now and did not, or it is a new run."""
    job, old = after.get("job") or {}, before.get("job") or {}
    if after.get("status") is None:
        return None
    same_run = old.get("started_at") is not None and old.get("started_at") == job.get("started_at")
    return job.get("file") == params["file"] and not same_run and job.get("started_at") is not None


def discover() -> Plugins[type[Driver]]:
    """Return the driver classes of this folder by name; each is imported when it is first looked at."""
    return Plugins(__path__, __name__, Driver)
