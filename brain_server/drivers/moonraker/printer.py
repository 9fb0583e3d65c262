"""What Moonraker tells of printer and job; does no I/O."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from brain_server.drivers import Observation
from brain_server.lan import number, one_line, record
from brain_server.protocol import Json, OnlineState, PrinterStatus as Status

# What is followed of Klipper; a printer without a bed has no ``heater_bed``, and that is no error.
OBJECTS: Final = {
    "webhooks": None,
    "print_stats": None,
    "virtual_sdcard": ["progress"],
    "display_status": ["progress"],
    "extruder": ["temperature", "target"],
    "heater_bed": ["temperature", "target"],
}
_OPEN: Final = frozenset({Status.PREPARING, Status.PRINTING, Status.PAUSED})
_ENDED: Final = frozenset({Status.COMPLETED, Status.FAILED, Status.ABORTED})
_AT_WORK: Final = frozenset({"printing", "paused"})
_OVER: Final = frozenset({"complete", "cancelled", "error"})
_LOST: Final = "lost"
_GONE: Final = "printer_disconnected"
# How a run ended by Moonraker's history. Of the others it knows only that it was not there.
_HISTORY: Final = {
    "completed": (Status.COMPLETED, None),
    "cancelled": (Status.ABORTED, None),
    "error": (Status.FAILED, "error"),
    "klippy_shutdown": (Status.FAILED, "shutdown"),
    "klippy_disconnect": (Status.FAILED, _GONE),
}
# Klipper adds to its words what a person at its console may type.
_ADVICE: Final = "\nOnce the underlying issue"
# No run takes longer than a year.
_LONGEST_S: Final = 366 * 86_400.0
# A heater that is so much below its target holds up every order but the emergency stop.
_BELOW: Final = 2.0


class Printer:
    """The printer and its job, as Moonraker tells of them."""

    def __init__(
        self, now: Callable[[], datetime], changed: Callable[[], None], last: Json
    ) -> None:
        """Start from the last state; ``changed`` is called when something was told."""
        self._now = now
        self._changed = changed
        self._online = OnlineState.OFFLINE
        self._reason: str | None = None
        self._seen: dict[str, Json] = {}
        self._job: Json | None = None
        self._status = Status.IDLE
        # What the slicer thought that the run takes, and how long it has taken.
        self._estimate: float | None = None
        self._total = 0.0
        # Until the whole state was told, a difference means nothing.
        self.deaf = True
        # Whether a pause was accepted that has not come about.
        self.pausing = False
        if last.get("job") and last.get("status") in _OPEN | _ENDED:
            self._job = dict(last["job"])
            self._status = Status(last["status"])
            self._total = number(self._job.get("elapsed_s")) or 0.0

    @property
    def status(self) -> Status:
        """Return what the printer does, or how its last job ended."""
        return self._status

    @property
    def open(self) -> bool:
        """Tell whether a job is at work."""
        return self._job is not None and self._status in _OPEN

    @property
    def heating(self) -> bool:
        """Tell whether a job waits for a heater, and every order with it."""
        return self.open and any(
            (number(heater.get("target")) or 0) > (number(heater.get("temperature")) or 0) + _BELOW
            for heater in (self._seen.get("extruder", {}), self._seen.get("heater_bed", {}))
        )

    def connecting(self) -> None:
        """Wait for the whole state: nobody looked for a time."""
        self.deaf, self.pausing, self._seen = True, False, {}

    def accepted(self, intent: str) -> None:
        """Take note that an order was accepted."""
        self.pausing = intent == "print_pause" and self._status is not Status.PAUSED

    def absent(self) -> None:
        """Take note that Klipper is not there, or not yet; what prints may go on without Moonraker."""
        self.connecting()
        self._online, self._reason = OnlineState.OFFLINE, _GONE
        self._changed()

    def lost(self) -> None:
        """Take note that Klipper has gone, and the print with it."""
        self._end(Status.FAILED, _GONE)
        self.absent()

    def whole(self, status: Json, runs: Iterable[Json]) -> None:
        """Take the whole state, the first after a time when nobody looked, and Moonraker's last runs."""
        self._seen = {name: record(fields) for name, fields in status.items()}
        self.deaf = False
        history = list(runs)
        if self.open and not self._goes_on(history):
            mine = next((run for run in history if _number_of(run) == self._run), {})
            self._end(*_HISTORY.get(str(mine.get("status")), (Status.FAILED, _LOST)))
        self._look()
        if self.open and history and history[0].get("status") == "in_progress":
            self._name(history[0])
        self._changed()

    def update(self, status: Json) -> None:
        """Take what has changed."""
        if self.deaf:
            return
        before = self._stats.get("total_duration")
        for name, fields in status.items():
            self._seen[name] = self._seen.get(name, {}) | record(fields)
        stats = self._stats
        # So short a run that it was over when Klipper next told: only its length is another.
        if (
            not self.open
            and stats.get("state") in _OVER
            and stats.get("total_duration") not in (before, 0)
            and self._ready
        ):
            self._job = self._begun()
        self._look()
        self._changed()

    def history(self, change: Json) -> None:
        """Take a change of Moonraker's list of runs: it gives the open run its number."""
        run = record(change.get("job"))
        if change.get("action") == "added" and self.open:
            self._name(run)

    def observation(self) -> Observation:
        """Return the whole state."""
        status = self._status
        if self._job is None:
            status = Status.ERROR if self._online is OnlineState.FAULT else Status.IDLE
            if self._online is OnlineState.OFFLINE:
                return Observation(online=self._online, reason=self._reason)
        return Observation(
            online=self._online,
            reason=self._reason,
            state={
                "status": status.value,
                "job": dict(self._job) if self._job else None,
                "nozzle": self._heater("extruder"),
                "bed": self._heater("heater_bed"),
            },
        )

    @property
    def _stats(self) -> Json:
        return self._seen.get("print_stats", {})

    @property
    def _ready(self) -> bool:
        return self._seen.get("webhooks", {}).get("state") == "ready"

    @property
    def _run(self) -> int | None:
        """Return Moonraker's number of the run, where it is known."""
        return self._job.get("run") if self._job else None

    def _heater(self, name: str) -> Json:
        values = self._seen.get(name, {})
        return {
            "actual": number(values.get("temperature")),
            "target": number(values.get("target")),
        }

    def _goes_on(self, history: list[Json]) -> bool:
        """Tell whether Klipper still speaks of the run that was open when somebody last looked."""
        newest = history[0] if history else {}
        # A run that goes on while Moonraker itself is restarted keeps its number, though it then counts as
        # interrupted: only a higher number is another run.
        if self._run is not None and (_number_of(newest) or 0) > self._run:
            return False
        return not self._another() and self._stats.get("state") in _AT_WORK | _OVER

    def _another(self) -> bool:
        """Tell whether Klipper speaks of another run than the open one."""
        if self._job is None:
            return True
        total = number(self._stats.get("total_duration")) or 0.0
        return self._stats.get("filename") != self._job.get("file") or total < self._total - 0.5

    def _look(self) -> None:
        """Compare what is known of the job with what Klipper says now."""
        self._connection()
        state = self._stats.get("state")
        if not self._ready:
            # print_stats goes on saying "printing", and then "paused", though nothing moves any more.
            if self._online is OnlineState.FAULT:
                self._end(Status.FAILED, self._reason)
        elif state in _AT_WORK:
            if self.open and self._another():
                self._end(Status.ABORTED)
            if not self.open or self._job is None:
                self._job = self._begun()
            self._at_work(str(state), self._job)
        elif self.open and self._job is not None:
            self._over(str(state), self._job)

    def _connection(self) -> None:
        webhooks = self._seen.get("webhooks", {})
        match webhooks.get("state"):
            case "ready":
                self._online, self._reason = OnlineState.ONLINE, None
            case "shutdown" | "error" as state:
                words = str(webhooks.get("state_message") or "").partition(_ADVICE)[0]
                self._online, self._reason = OnlineState.FAULT, one_line(words) or state
            case _:
                self._online, self._reason = OnlineState.OFFLINE, _GONE

    def _at_work(self, state: str, job: Json) -> None:
        """Take the figures of the open run."""
        stats = self._stats
        printed = number(stats.get("print_duration")) or 0.0
        self._total = number(stats.get("total_duration")) or 0.0
        if state == "paused":
            self._status, self.pausing = Status.PAUSED, False
        else:
            # It counts from the first extrusion, so that before there is only heat.
            self._status = Status.PRINTING if printed else Status.PREPARING
        share = self._share()
        job.update(
            progress=None if share is None else max(round(share * 100, 1), job["progress"] or 0.0),
            elapsed_s=self._total,
            remaining_s=self._remaining(printed, share or 0.0),
        )
        self._extras(job)

    def _share(self) -> float | None:
        """Return how much is done: by the slicer's own count, else by the part of the file that was read."""
        for name in ("display_status", "virtual_sdcard"):
            share = self._seen.get(name, {}).get("progress")
            if isinstance(share, int | float) and 0 < share <= 1:
                return float(share)
        return 0.0 if self._seen.get("virtual_sdcard") else None

    def _remaining(self, printed: float, share: float) -> float | None:
        if self._estimate is not None and self._estimate > printed:
            return number(self._estimate - printed)
        return number(printed * (1 - share) / share) if share and printed else None

    def _extras(self, job: Json) -> None:
        """Take layers and filament, where Klipper tells them."""
        info = record(self._stats.get("info"))
        told = {
            "layer": _count(info.get("current_layer")),
            "layers": _count(info.get("total_layer")),
            "filament_mm": number(self._stats.get("filament_used")),
        }
        job.update({name: value for name, value in told.items() if value is not None})

    def _over(self, state: str, job: Json) -> None:
        """End the open run as Klipper says that it ended."""
        if state in _OVER:
            self._extras(job)
        match state:
            case "complete":
                self._end(Status.COMPLETED)
            case "error":
                self._end(Status.FAILED, one_line(self._stats.get("message")) or "error")
            case _:
                # "cancelled"; or "standby", when somebody took the file away from a paused print.
                self._end(Status.ABORTED)

    def _name(self, run: Json) -> None:
        """Give the open run Moonraker's number of it."""
        if self._job is None or run.get("filename") != self._job["file"]:
            return
        self._job["run"] = _number_of(run)
        estimate = record(run.get("metadata")).get("estimated_time")
        self._estimate = number(estimate)

    def _begun(self) -> Json:
        """Return a run that begins now."""
        self._total = number(self._stats.get("total_duration")) or 0.0
        self._status, self._estimate, self.pausing = Status.PREPARING, None, False
        return {
            "file": str(self._stats.get("filename")),
            "progress": None,
            "elapsed_s": self._total,
            "remaining_s": None,
            # Counted back by Klipper's stopwatch, for its clock may be wrong.
            "started_at": self._ago(self._total).isoformat(),
            "error": None,
            "layer": None,
            "layers": None,
            "filament_mm": None,
            # Not for people: how the run is known again.
            "run": None,
        }

    def _ago(self, seconds: float) -> datetime:
        return self._now() - timedelta(seconds=min(max(seconds, 0.0), _LONGEST_S))

    def _end(self, status: Status, error: str | None = None) -> None:
        """End the open job, if there is one; the first word on how it ended stands."""
        if self._job is None or self._status not in _OPEN:
            return
        self._status, self.pausing = status, False
        self._job.update(error=error, remaining_s=None)
        if status is Status.COMPLETED:
            self._job["progress"] = 100.0


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number_of(run: Json) -> int | None:
    """Return the number of a run in Moonraker's history, which it writes in hexadecimal."""
    try:
        return int(str(run.get("job_id")), 16)
    except ValueError:
        return None


def unknown_command(said: Iterable[Any], script: str) -> str | None:
    """Return Klipper's complaint that it does not know a command of a script; it is no error to Klipper."""
    ours = {line.split()[0].upper() for line in script.splitlines() if line.split()}
    for text in said:
        line = str(text)
        if line.startswith("// Unknown command:") and line.partition('"')[2].rstrip('"') in ours:
            return one_line(line.removeprefix("// "))
    return None
