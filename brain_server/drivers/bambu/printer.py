"""What a Bambu printer's reports say of the printer and its job; does no I/O."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import PurePosixPath
import re
from typing import Any, Final

from brain_server.drivers import Observation
from brain_server.drivers.bambu.words import (
    CANCELLED,
    notices,
    print_error,
    signed_only,
    slots,
    stage,
)
from brain_server.lan import number, one_line, record
from brain_server.protocol import Json, OnlineState, PrinterStatus as Status

# The printer's states in which a job is at work.
_AT_WORK: Final = {
    "PREPARE": Status.PREPARING,
    "SLICING": Status.PREPARING,
    "RUNNING": Status.PRINTING,
    "PAUSE": Status.PAUSED,
}
_OPEN: Final = frozenset({Status.PREPARING, Status.PRINTING, Status.PAUSED})
_ENDED: Final = frozenset({Status.COMPLETED, Status.FAILED, Status.ABORTED})
# The parts of a report that are of use here; what else it has is not kept.
_KEPT: Final = frozenset(
    {
        *("gcode_state", "gcode_file", "subtask_name", "stg_cur", "print_error", "hms", "fun"),
        *("mc_percent", "mc_remaining_time", "layer_num", "total_layer_num"),
        *("nozzle_temper", "nozzle_target_temper", "bed_temper", "bed_target_temper"),
        *("ams", "vt_tray", "ipcam"),
    }
)
_DELTA: Final = 1
_MOST_NOTICES: Final = 3
_ENDING: Final = re.compile(r"(\.gcode)?(\.3mf)?$", re.IGNORECASE)
# For so long what was ordered may take to begin, and for so long the name of a print may come after its
# beginning, and the error that ended it after its end.
_START_GRACE: Final = timedelta(seconds=60)
_GRACE: Final = timedelta(seconds=3)


class Printer:
    """The printer and its job, as its reports tell of them."""

    def __init__(
        self, now: Callable[[], datetime], changed: Callable[[], None], last: Json
    ) -> None:
        """Start from the last state; ``changed`` is called when a report told something."""
        self._now = now
        self._changed = changed
        self._report: Json = {}
        self._job: Json | None = None
        self._status = Status.IDLE
        # Nothing counts until the first whole report: a difference alone says nothing.
        self._deaf = True
        # What was ordered: the file to print, the end of it, and that the printer wants a signature.
        self._ordered = ""
        self._accepted_at: datetime | None = None
        self._stopping = False
        self._refused = False
        # When the open run was seen to begin, and whether the printer has said since what it is.
        self._begun_at: datetime | None = None
        self._named = True
        # The printer shows an error for two seconds only.
        self._error = 0
        self._failed_at: datetime | None = None
        job = record(last.get("job"))
        known = isinstance(job.get("file"), str) and isinstance(job.get("started_at"), str)
        if known and last.get("status") in _OPEN | _ENDED:
            self._job = job
            self._status = Status(last["status"])

    @property
    def deaf(self) -> bool:
        """Tell whether there was no whole report yet since the connection was made."""
        return self._deaf

    @property
    def status(self) -> Status:
        """Return what the printer is doing."""
        return self._status

    @property
    def busy(self) -> bool:
        """Tell whether a job is open."""
        return self._status in _OPEN

    @property
    def undecided(self) -> bool:
        """Tell whether a run has just begun of which it is not known yet what it prints."""
        at, asked = self._begun_at, bool(self._ordered) and self._accepted_at is None
        return (asked or not self._named) and at is not None and self._now() - at < _GRACE

    @property
    def read_only(self) -> bool:
        """Tell whether the printer takes only orders that its maker signed; its word or its deed counts."""
        return self._refused or signed_only(self._report.get("fun"))

    @property
    def stream(self) -> str:
        """Return the address of the camera's stream as the printer tells it; empty where it is off."""
        url = record(self._report.get("ipcam")).get("rtsp_url")
        return url if isinstance(url, str) and url.startswith("rtsps://") else ""

    def connecting(self) -> None:
        """Wait for a whole report: the first after a time when nothing was seen."""
        self._deaf, self._refused = True, False
        self._report = {}
        self._failed_at = None

    def starting(self, file: str) -> None:
        """Take note that a print of this file is being ordered; an empty name takes it back."""
        self._ordered, self._accepted_at = file, None

    def started(self) -> None:
        """Take note that the printer accepted to print what was ordered."""
        self._accepted_at = self._now()
        self._name()
        self._changed()

    def stopping(self, *, ordered: bool) -> None:
        """Take note that the end of the print is being ordered, or that this was refused."""
        self._stopping = ordered

    def refuse(self) -> None:
        """Take note that the printer refused an order for want of a signature."""
        self._refused = True
        self._changed()

    def hear(self, report: Json) -> None:
        """Take one report, whole or only what differs from the one before."""
        known = {name: value for name, value in report.items() if name in _KEPT}
        whole = report.get("msg") != _DELTA and isinstance(report.get("gcode_state"), str)
        if self._deaf and not whole:
            return
        first, self._deaf = self._deaf, False
        if self._report.get("fun") != known.get("fun", self._report.get("fun")):
            self._refused = False
        self._report = {**self._report, **known} if whole else merged(self._report, known)
        named = whole or not known.keys().isdisjoint({"subtask_name", "gcode_file"})
        self._named = self._named or named
        if (code := known.get("print_error")) and isinstance(code, int):
            self._error = code
        self._look(first=first, named=named)
        self._changed()

    def look_again(self) -> None:
        """Look once more at what was reported, for what only time tells."""
        if self._failed_at is not None or not self._named:
            self._named = not self.undecided
            self._look(first=False, named=False)
            self._changed()

    def observation(self) -> Observation:
        """Return the whole state."""
        faults = [text for text, fatal in notices(self._report.get("hms")) if fatal]
        online = OnlineState.FAULT if faults else OnlineState.ONLINE
        status = self._status
        if self._job is None:
            status = Status.ERROR if faults else Status.IDLE
        state: Json = {
            "status": status.value,
            "job": dict(self._job) if self._job else None,
            "nozzle": self._heater("nozzle"),
            "bed": self._heater("bed"),
        }
        if spools := slots(self._report):
            state["slots"] = spools
        if self.read_only:
            state["read_only"] = True
        return Observation(online=online, reason=self._reason(faults), state=state)

    def _reason(self, faults: list[str]) -> str | None:
        if faults:
            return f"HMS {', '.join(faults[:_MOST_NOTICES])}"
        if self.read_only:
            return "read_only"
        code = self._report.get("print_error")
        return f"Error {print_error(code)}" if isinstance(code, int) and code else None

    def _heater(self, name: str) -> Json:
        return {
            "actual": number(self._report.get(f"{name}_temper")),
            "target": number(self._report.get(f"{name}_target_temper")),
        }

    def _look(self, *, first: bool, named: bool) -> None:
        phase = str(self._report.get("gcode_state")).upper()
        status = _AT_WORK.get(phase)
        if status is None:
            if self.busy:
                self._ended(phase, first=first)
            return
        self._failed_at = None
        if first:
            self._recognise()
        elif not self.busy:
            self._begin(named=named)
        else:
            self._name()
        self._status = status
        self._figures()

    def _told(self) -> list[str]:
        """Return the names that the report has for what is printed."""
        file = PurePosixPath(str(self._report.get("gcode_file") or "")).name
        return [name for one in (self._report.get("subtask_name"), file) if (name := one_line(one))]

    def _is_of(self, file: str) -> bool:
        """Tell whether the report is about a print of this file."""
        return any(_stem(one) == _stem(file) for one in self._told())

    def _awaited(self) -> str:
        """Return the file that was ordered a moment ago and of which the printer has not told yet."""
        at = self._accepted_at
        soon = at is not None and self._now() - at < _START_GRACE
        return self._ordered if soon and self._report.get("gcode_state") != "RUNNING" else ""

    def _recognise(self) -> None:
        """Tell the run that was known from one that began while nobody looked."""
        job = self._job
        if job is not None and self.busy and self._is_of(job["file"]):
            percent = self._report.get("mc_percent")
            if (number(percent) or 0) >= (job.get("progress") or 0):
                return
        self._end(Status.FAILED, "lost")
        self._begin(named=True)

    def _begin(self, *, named: bool) -> None:
        # The name may come later than the state, which is then not told to anybody for a moment.
        self._named = named or bool(self._awaited())
        self._begun_at = self._now()
        self._error, self._stopping = 0, False
        self._status = Status.PREPARING
        self._job = {
            "file": self._awaited() or next(iter(self._told()), ""),
            "progress": None,
            "elapsed_s": None,
            "remaining_s": None,
            "layer": None,
            "layers": None,
            "stage": None,
            "started_at": self._now().isoformat(),
            "error": None,
        }

    def _name(self) -> None:
        """Find out whether this is still the run that it was, and what it prints."""
        job, told = self._job, self._told()
        if job is None or not self.busy:
            return
        if self._status is Status.PREPARING and (file := self._awaited()):
            job["file"], self._named = file, True
        if not told or self._is_of(job["file"]):
            return
        if self._status is not Status.PREPARING:
            self._end(Status.FAILED, "lost")
            self._begin(named=True)
        elif not self._awaited():
            job["file"] = told[0]

    def _figures(self) -> None:
        job = self._job
        if job is None:
            return
        begun = datetime.fromisoformat(job["started_at"])
        job["elapsed_s"] = max(round((self._now() - begun).total_seconds()), 0)
        job["stage"] = stage(self._report.get("stg_cur"))
        percent = number(self._report.get("mc_percent"))
        # Until it prints, the figures are those of the print before.
        if self._status is Status.PREPARING or (percent == 100 and job["progress"] is None):
            return
        minutes = number(self._report.get("mc_remaining_time"))
        job["progress"] = percent
        job["remaining_s"] = None if minutes is None else minutes * 60
        for name, key in (("layer", "layer_num"), ("layers", "total_layer_num")):
            if isinstance(layer := self._report.get(key), int) and layer > 0:
                job[name] = layer

    def _ended(self, phase: str, *, first: bool) -> None:
        """Find out how the open job ended."""
        mine = not first or (self._job is not None and self._is_of(self._job["file"]))
        if mine and phase == "FINISH":
            self._end(Status.COMPLETED)
        elif self._stopping or (mine and phase == "FAILED" and self._error == CANCELLED):
            self._end(Status.ABORTED)
        elif mine and phase == "FAILED":
            self._failed(first=first)
        else:
            self._end(Status.FAILED, "lost")

    def _failed(self, *, first: bool) -> None:
        words = [f"Error {print_error(self._error)}"] if self._error else []
        if texts := [text for text, _ in notices(self._report.get("hms"))]:
            words.append(f"HMS {', '.join(texts[:_MOST_NOTICES])}")
        self._failed_at = self._failed_at or self._now()
        if words or first or self._now() - self._failed_at >= _GRACE:
            self._end(Status.FAILED, "; ".join(words) or "unknown")

    def _end(self, status: Status, error: str | None = None) -> None:
        """End the open job, if there is one."""
        self._stopping, self._failed_at = False, None
        if self._job is None or not self.busy:
            return
        self._status = status
        self._job.update(error=error, remaining_s=None, stage=None)
        if status is Status.COMPLETED:
            self._job["progress"] = 100.0


def merged(old: Any, new: Any) -> Any:
    """Return a report with a difference put in: objects by name, things in lists by their id."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{name: merged(old.get(name), value) for name, value in new.items()}}
    if not (_have_ids(old) and _have_ids(new)):
        return new
    things = {str(one["id"]): one for one in old}
    for one in new:
        # A place of which nothing but the number is said is empty.
        known = things.get(str(one["id"])) if len(one) > 1 else None
        things[str(one["id"])] = merged(known, one)
    return list(things.values())


def _have_ids(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) and "id" in one for one in value)


def _stem(file: str) -> str:
    return _ENDING.sub("", file)
