"""What PrusaLink's status says of printer and job, one look after the other; does no I/O."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from brain_server.drivers import Observation
from brain_server.lan import number, one_line, record
from brain_server.protocol import Json, OnlineState, PrinterStatus as Status

ATTENTION: Final = "ATTENTION"
# PrusaLink's states in which a job that it shows is at work.
_AT_WORK: Final = {
    "PRINTING": Status.PRINTING,
    "PAUSED": Status.PAUSED,
    ATTENTION: Status.PAUSED,
    "BUSY": Status.PREPARING,
    "IDLE": Status.PREPARING,
    "READY": Status.PREPARING,
}
_ENDS: Final = {"FINISHED": Status.COMPLETED, "STOPPED": Status.ABORTED}
_OPEN: Final = frozenset({Status.PREPARING, Status.PRINTING, Status.PAUSED})
_ENDED: Final = frozenset({Status.COMPLETED, Status.FAILED, Status.ABORTED})
_FIGURES: Final = {
    "progress": "progress",
    "elapsed_s": "time_printing",
    "remaining_s": "time_remaining",
}
# For so long after a start was accepted, a job without a name is taken for that one.
_OURS: Final = timedelta(seconds=30)
_COLD: Final = {"actual": None, "target": None}


class Printer:
    """The printer and its job, as one status after the other tells of them."""

    def __init__(self, now: Callable[[], datetime], last: Json) -> None:
        """Start from the last state."""
        # What the last look saw: the state, the number of the job, and whether a job was shown at all.
        self.phase = ""
        self.job_id: int | None = None
        self.shows_job = False
        # A cancel that was accepted, for a job whose end is then not seen.
        self.cancelled = False
        self._now = now
        self._status = Status.IDLE
        self._job: Json | None = None
        self._words: str | None = None
        self._heaters: dict[str, Json] = {}
        self._transfer: Json | None = None
        self._first = True
        self._missed = False
        # The file of a start that was accepted, and when; PrusaLink shows the job before its file, and
        # a short one is over before that.
        self._started: tuple[str, datetime] | None = None
        # Whether PrusaLink itself has told the file of the job twice: at first it may tell that of the job before.
        self._named = False
        # Figures of the job before, which PrusaLink shows until the new one has its own.
        self._stale: Json = {}
        if last.get("job") and last.get("status") in _OPEN | _ENDED:
            self._job = dict(last["job"])
            self._named = bool(self._job.get("file"))
            self._status = Status(last["status"])

    @property
    def open(self) -> bool:
        """Tell whether a job is under way."""
        return self._status in _OPEN

    @property
    def shows_an_end(self) -> bool:
        """Tell whether it refuses a start, because it shows for some seconds how the last print ended."""
        return self.phase in _ENDS and not self.shows_job

    def started(self, file: str) -> None:
        """Take note that a start of this file was accepted."""
        self._started = file, self._now()

    def connecting(self) -> None:
        """Take the next look for the first one after a time when nothing was seen."""
        self._first, self._missed = True, False

    def wants_file(self, status: Json) -> bool:
        """Tell whether this status shows a job of which the file is not known."""
        told = record(status.get("job"))
        return bool(told) and not (self._is(told) and self._named)

    def see(self, status: Json, file: str | None) -> None:
        """Take one status; ``file`` is the name of the job that it shows, where that was asked for."""
        printer, told = record(status.get("printer")), record(status.get("job"))
        self.phase, self.shows_job = str(printer.get("state")), bool(told)
        self.job_id = told.get("id") if isinstance(told.get("id"), int) else None
        self._read(printer, record(status.get("transfer")))
        if self.phase == "ERROR":
            self._end(Status.FAILED, self._words or "error")
        elif self.phase in _ENDS:
            self._ended(told, file)
        elif told and self.phase in _AT_WORK:
            self._works(told, file)
        elif self.phase not in {"PRINTING", "PAUSED", ATTENTION}:
            self._gone()
        self._first = False

    def observation(self) -> Observation:
        """Return the whole state."""
        broken = self.phase == "ERROR"
        status = Status.ERROR if broken and self._job is None else self._status
        reason = self._words or "error" if broken else None
        if self.phase == ATTENTION:
            reason = self._words or "attention"
        state: Json = {
            "status": status.value,
            "job": dict(self._job) if self._job else None,
            "nozzle": self._heaters.get("nozzle", _COLD),
            "bed": self._heaters.get("bed", _COLD),
        }
        if self._transfer is not None:
            state["transfer"] = self._transfer
        online = OnlineState.FAULT if broken else OnlineState.ONLINE
        return Observation(online=online, state=state, reason=reason)

    def _read(self, printer: Json, transfer: Json) -> None:
        """Take what has nothing to do with the job."""
        health = record(printer.get("status_printer"))
        self._words = one_line(health.get("message")) if health.get("ok") is False else None
        for part in ("nozzle", "bed"):
            self._heaters[part] = {
                "actual": number(printer.get(f"temp_{part}")),
                "target": number(printer.get(f"target_{part}")),
            }
        self._transfer = {"progress": number(transfer.get("progress"))} if transfer else None

    def _works(self, told: Json, file: str | None) -> None:
        self._missed = False
        job = self._same(told, file)
        if job is None:
            self._end(Status.FAILED, "lost")
            job = self._begin(told, file)
        elif file and not self._named:
            self._named, job["file"] = job["file"] == file, file
        job["id"] = self.job_id or job["id"]
        self._status = _AT_WORK[self.phase]
        for figure, name in _FIGURES.items():
            value = number(told.get(name))
            if value != self._stale.get(figure):
                self._stale.pop(figure, None)
            job[figure] = None if figure in self._stale else value

    def _ended(self, told: Json, file: str | None) -> None:
        """Take the sight of a print that has ended, ours or, at first sight, any from before."""
        another = bool(told) and not self._is(told)
        if another:
            self._end(Status.FAILED, "lost")
            if self._first:
                return
        if another or (not told and not self.open and self._ours()):
            # It began and ended between two looks.
            self._begin(told, file)
            self._named = bool(file)
        self._end(_ENDS[self.phase])

    def _gone(self) -> None:
        """Take it that no job is there; for good if there was none at the last look either."""
        if not self.open:
            return
        if not self._first and not self._missed:
            self._missed = True
        elif self.cancelled:
            self._end(Status.ABORTED)
        else:
            self._end(Status.FAILED, "lost")

    def _is(self, told: Json) -> bool:
        """Tell whether this is the job that is known; without a number on either side it may be."""
        job = self._job
        return job is not None and (
            None in {self.job_id, job.get("id")} or job["id"] == told.get("id")
        )

    def _same(self, told: Json, file: str | None) -> Json | None:
        """Return the job that is known where this is its run that is shown."""
        job = self._job
        if job is None or not self.open or not self._is(told):
            return None
        if file and self._named and file != job["file"]:
            return None
        # Without numbers, a print that went back in time is another one of the same file.
        by_number = None not in {self.job_id, job.get("id")}
        back = (number(told.get("time_printing")) or 0) < (job.get("elapsed_s") or 0)
        return None if self._first and back and not by_number else job

    def _ours(self) -> str:
        """Return the file that was started just now, if one was."""
        file, at = self._started or ("", self._now())
        return file if self._now() - at < _OURS else ""

    def _begin(self, told: Json, file: str | None) -> Json:
        self._named, asked, self._started = False, self._ours(), None
        self._status, self.cancelled, self._missed = Status.PREPARING, False, False
        # Of a job that ran before we looked, the figures are its own.
        figures = {figure: number(told.get(name)) for figure, name in _FIGURES.items()}
        self._stale = {} if self._first else {name: was for name, was in figures.items() if was}
        self._job = {
            "file": file or asked,
            "id": self.job_id,
            "progress": None,
            "elapsed_s": None,
            "remaining_s": None,
            "started_at": self._now().isoformat(),
            "error": None,
        }
        return self._job

    def _end(self, status: Status, error: str | None = None) -> None:
        """End the open job, if there is one; the first word on how it ended stands."""
        if self._job is None or not self.open:
            return
        self._status, self._missed = status, False
        self._job |= {"error": error, "remaining_s": None}
        if status is Status.COMPLETED:
            self._job["progress"] = 100.0
