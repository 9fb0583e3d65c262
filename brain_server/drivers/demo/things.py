"""What the simulated devices do in the time that passes; no clock and no I/O in here."""

from abc import ABC, abstractmethod
import math
from typing import ClassVar, Final, NamedTuple

from brain_server.protocol import INTENTS, Json, Kind, PrinterStatus as Status

_ROOM_C: Final = 21.0
_NOZZLE_C: Final = 205.0
_BED_C: Final = 60.0
# After so long every simulated thing has come to rest, so that a long absence costs no more.
_LONG_S: Final = 7200.0
_LAYER_S: Final = 6.0
_FILAMENT_MM_S: Final = 1.5
_FAILING: Final = "spaghetti"
_FAILS_AT: Final = 0.1
_OPEN: Final = frozenset({Status.PREPARING, Status.PRINTING, Status.PAUSED})


class Thing(ABC):
    """What a simulated device is made of; time passes only through :meth:`live`."""

    kind: ClassVar[Kind]

    def __init__(self, relock_s: float) -> None:
        """Start as a device does that was just plugged in."""
        self.relock_s = relock_s
        self.fault: str | None = None

    @property
    def capabilities(self) -> frozenset[str]:
        """Return every intent for this kind of device."""
        return frozenset(name for name, intent in INTENTS.items() if intent.kind is self.kind)

    def problem(self, intent: str) -> str | None:
        """Return why this cannot be done now, or None."""
        del intent
        return None

    def do(self, intent: str, params: Json, at: str) -> None:
        """Carry out an intent."""
        del intent, params, at

    def live(self, seconds: float) -> None:
        """Let this much time pass."""
        del seconds

    @abstractmethod
    def state(self) -> Json:
        """Return the state in KITTY's words."""


class Switch(Thing):
    """A power supply that measures what it gives."""

    kind = Kind.POWER
    watts = 120.0
    on = False

    def do(self, intent: str, params: Json, at: str) -> None:
        """Switch."""
        del params, at
        self.on = intent.endswith("_on")

    def state(self) -> Json:
        """Return on or off, and the power."""
        return {"on": self.on, "power_w": self.watts if self.on else 0.0}


class Light(Switch):
    """A lamp."""

    kind = Kind.LIGHT
    watts = 9.0


class Door(Thing):
    """A lock on a door that falls shut."""

    kind = Kind.DOOR
    left_s = math.inf
    locked = True
    open = False

    def do(self, intent: str, params: Json, at: str) -> None:
        """Lock, unlock, or open."""
        del params, at
        self.locked, self.open = intent == "lock", intent == "open"
        self.left_s = self.relock_s or math.inf

    def live(self, seconds: float) -> None:
        """Fall shut and lock again when it is time."""
        self.left_s -= seconds
        if self.left_s <= 0:
            self.locked, self.open, self.left_s = True, False, math.inf

    def state(self) -> Json:
        """Return the bolt and the leaf."""
        return {"locked": self.locked, "open": self.open, "jammed": False}


class Sensor(Thing):
    """A thermometer in a room with a day of ten minutes."""

    kind = Kind.SENSOR
    age_s = 0.0

    def live(self, seconds: float) -> None:
        """Let the day go on."""
        self.age_s += seconds

    def state(self) -> Json:
        """Return the temperature."""
        swing = 3 * math.sin(self.age_s * math.tau / 600)
        return {"value": round(_ROOM_C + swing, 1), "unit": "°C"}


class View(NamedTuple):
    """How much of the part is there and where the head is (0 to 1), if it moves, and if the part came off."""

    grown: float
    head: float
    moving: bool
    tangled: bool = False


class Scene(Thing):
    """A thing that can be looked at."""

    @abstractmethod
    def view(self) -> View:
        """Return what is to be seen."""


class Camera(Scene):
    """A camera over a bed on which something grows for ten minutes, again and again."""

    kind = Kind.CAMERA
    age_s = 0.0

    def live(self, seconds: float) -> None:
        """Let the part grow."""
        self.age_s += seconds

    def view(self) -> View:
        """Return the scene."""
        return View(self.age_s / 600 % 1, _sweep(self.age_s), moving=True)

    def state(self) -> Json:
        """A camera has no state but its picture."""
        return {}


class Heater:
    """Something that gets hot and cools down."""

    def __init__(self, degrees_per_s: float) -> None:
        """Start at room temperature."""
        self.degrees_per_s = degrees_per_s
        self.actual = _ROOM_C
        self.target = 0.0

    def live(self, seconds: float) -> None:
        """Heat fast, cool at a third of that."""
        goal = max(self.target, _ROOM_C)
        step = self.degrees_per_s * seconds * (1 if goal > self.actual else 1 / 3)
        self.actual += max(-step, min(step, goal - self.actual))

    @property
    def ready(self) -> bool:
        """Tell whether it is as hot as it should be."""
        return self.actual >= self.target - 1

    def state(self) -> Json:
        """Return both temperatures."""
        return {"actual": round(self.actual, 1), "target": self.target}


class Printer(Scene):
    """A printer that heats, prints, ends and cools; its G-code ``FAULT <why>`` breaks it.

    A file with ``spaghetti`` in its name comes off the bed, as its camera shows.
    """

    kind = Kind.PRINTER

    def __init__(self, relock_s: float) -> None:
        """Start cold and idle, with two files in its memory."""
        super().__init__(relock_s)
        self.files = {"benchy.gcode": 60_000, "bracket.gcode": 12_000}
        self.nozzle, self.bed = Heater(8.0), Heater(2.5)
        self.status = Status.IDLE
        self.job: Json | None = None
        self.duration_s = 0.0
        self.done_s = 0.0
        # A pause is only seen after the move that the printer is in, as on a real one.
        self.pausing_s = math.inf

    def problem(self, intent: str) -> str | None:
        """Return why the printer cannot do this as it is now."""
        busy = self.status in _OPEN
        match intent:
            case "print_start" if busy:
                return "The printer is already printing"
            case "print_start" if self.fault:
                return "The printer is not operational"
            case "print_pause" if self.status not in {Status.PREPARING, Status.PRINTING}:
                return "The printer is not printing"
            case "print_resume" if self.status is not Status.PAUSED:
                return "The printer is not paused"
            case "print_cancel" if not busy:
                return "The printer is neither printing nor paused"
        return None

    def do(self, intent: str, params: Json, at: str) -> None:
        """Start, hold, go on, end, heat, or take G-code."""
        match intent:
            case "upload":
                self.files[params["file"]] = params["size"]
            case "print_start":
                self._start(params["file"], at)
            case "print_pause":
                self.pausing_s = 1.2
            case "print_resume":
                self.status = Status.PREPARING
            case "print_cancel":
                self._end(Status.ABORTED)
            case "heat":
                self.nozzle.target = params.get("nozzle", self.nozzle.target)
                self.bed.target = params.get("bed", self.bed.target)
            case "gcode" if params["script"].startswith("FAULT"):
                self.fault = params["script"].removeprefix("FAULT").strip() or "Unknown fault"
                self._end(Status.FAILED, self.fault)
            case "gcode" if params["script"].startswith("RESET"):
                self.fault = None

    def live(self, seconds: float) -> None:
        """Heat, print, end and cool, in steps of at most a second."""
        seconds = min(seconds, _LONG_S)
        while seconds > 0:
            step = min(seconds, 1.0)
            seconds -= step
            self.nozzle.live(step)
            self.bed.live(step)
            self._print(step)

    def _print(self, step: float) -> None:
        if self.status not in {Status.PREPARING, Status.PRINTING}:
            return
        self.pausing_s -= step
        if self.pausing_s <= 0:
            self.status, self.pausing_s = Status.PAUSED, math.inf
        elif self.nozzle.ready and self.bed.ready:
            self.status = Status.PRINTING
            self.done_s += step
        if self.done_s >= self.duration_s:
            self._end(Status.COMPLETED)

    def _start(self, file: str, at: str) -> None:
        self.status, self.done_s, self.pausing_s = Status.PREPARING, 0.0, math.inf
        self.duration_s = min(max(self.files.get(file, 30_000) / 100, 20.0), 3600.0)
        self.nozzle.target, self.bed.target = _NOZZLE_C, _BED_C
        self.job = {"file": file, "started_at": at, "error": None}

    def _end(self, status: Status, error: str | None = None) -> None:
        self.nozzle.target = self.bed.target = 0.0
        if self.job is not None and self.status in _OPEN:
            self.status, self.pausing_s = status, math.inf
            self.job["error"] = error

    def state(self) -> Json:
        """Return status, job and heat."""
        status = Status.ERROR if self.fault and self.job is None else self.status
        job = None
        if self.job is not None:
            left = max(self.duration_s - self.done_s, 0.0)
            layers = max(math.ceil(self.duration_s / _LAYER_S), 1)
            job = self.job | {
                "progress": round(min(100 * self.done_s / self.duration_s, 100.0), 1),
                "elapsed_s": round(self.done_s, 1),
                "remaining_s": round(left, 1) if self.status in _OPEN else None,
                "layer": min(math.ceil(self.done_s / _LAYER_S), layers),
                "layers": layers,
                "filament_mm": round(self.done_s * _FILAMENT_MM_S, 1),
            }
        return {
            "status": status.value,
            "job": job,
            "nozzle": self.nozzle.state(),
            "bed": self.bed.state(),
        }

    def view(self) -> View:
        """Return the scene."""
        grown = self.done_s / self.duration_s if self.duration_s else 0.0
        moving = self.status is Status.PRINTING
        file = self.job["file"] if self.job else ""
        return View(
            min(grown, 1.0),
            _sweep(self.done_s) if moving else 0.08,
            moving,
            tangled=_FAILING in file.casefold() and grown > _FAILS_AT,
        )


THINGS: Final[dict[Kind, type[Thing]]] = {
    Kind.PRINTER: Printer,
    Kind.DOOR: Door,
    Kind.POWER: Switch,
    Kind.CAMERA: Camera,
    Kind.LIGHT: Light,
    Kind.SENSOR: Sensor,
}


def _sweep(seconds: float) -> float:
    """Return where a head is that goes to and fro."""
    return 0.5 + 0.32 * math.sin(seconds * 2.1)
