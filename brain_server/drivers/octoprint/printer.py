"""What OctoPrint's push messages say of printer, job and serial line; does no I/O."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
import math
import re
from typing import Any, Final

from brain_server.drivers import Observation
from brain_server.protocol import Json, OnlineState, PrinterStatus as Status

_SENT: Final = re.compile(r"Send: (?:N\d+ )?(?P<line>.*?)(?:\*\d+)?")
_STATE_IDS: Final = {
    "STARTING": Status.PREPARING,
    "PRINTING": Status.PRINTING,
    "PAUSING": Status.PRINTING,
    "PAUSED": Status.PAUSED,
    "RESUMING": Status.PRINTING,
    "FINISHING": Status.PRINTING,
    "CANCELLING": Status.PRINTING,
}
_OPEN: Final = frozenset({Status.PREPARING, Status.PRINTING, Status.PAUSED})
_ENDED: Final = frozenset({Status.COMPLETED, Status.FAILED, Status.ABORTED})
# How long the event that tells a job's end may come after the printer was seen at rest.
_EVENT_GRACE: Final = timedelta(seconds=5)


class Printer:
    """The printer and its job, as OctoPrint's messages tell of them."""

    def __init__(
        self, now: Callable[[], datetime], changed: Callable[[], None], last: Json
    ) -> None:
        """Start from the last state; ``changed`` is called when a message told something."""
        # How many events were heard, so that one can be told from its absence.
        self.events = 0
        self._now = now
        self._changed = changed
        self._online = OnlineState.OFFLINE
        self._reason: str | None = None
        self._heaters: dict[str, Json] = {}
        self._job: Json | None = None
        self._status = Status.IDLE
        self._pausing = self._busy = False
        # The order that OctoPrint accepted and of which nothing was seen yet.
        self._accepted: str | None = None
        self._deaf = True
        self._first = True
        self._missed: datetime | None = None
        if last.get("job") and last.get("status") in _OPEN | _ENDED:
            self._job = dict(last["job"])
            self._status = Status(last["status"])

    @property
    def starting(self) -> bool:
        """Tell whether a print is between its start and its first line."""
        return self._accepted == "print_start" or self._status is Status.PREPARING

    @property
    def pausing(self) -> bool:
        """Tell whether a pause was asked for that has not come about."""
        asked = self._accepted == "print_pause" or self._pausing
        return self._status in {Status.PREPARING, Status.PRINTING} and asked

    @property
    def ending(self) -> bool:
        """Tell whether the job has ended and its end script has not."""
        return self._status in _ENDED and self._busy

    def accepted(self, intent: str) -> None:
        """Take note that an order was accepted, until the next word of the printer."""
        self._accepted = intent

    def connecting(self) -> None:
        """Wait for a ``history``: the first state after a time when nothing was seen."""
        self._deaf = self._first = True

    def observation(self) -> Observation:
        """Return the whole state."""
        cold = {"actual": None, "target": None}
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
                "nozzle": self._heaters.get("tool0", cold),
                "bed": self._heaters.get("bed", cold),
            },
        )

    def hear(self, message: Json) -> None:
        """Take one message of the push socket."""
        if not self._deaf and ("current" in message or "event" in message):
            self._accepted = None
        if history := record(message.get("history")):
            self._deaf = False
            self._look(history)
        elif self._deaf:
            return
        elif current := record(message.get("current")):
            self._first = False
            self._look(current)
        elif event := record(message.get("event")):
            self._first = False
            self.events += 1
            self._event(str(event.get("type")), record(event.get("payload")))
        else:
            return
        self._changed()

    def _look(self, seen: Json) -> None:
        state, progress = record(seen.get("state")), record(seen.get("progress"))
        file = record(record(seen.get("job")).get("file")).get("path")
        flags = record(state.get("flags"))
        self._connection(flags, one_line(state.get("error")))
        if self._online is OnlineState.ONLINE:
            self._temperatures(seen.get("temps"))
        status = _running(flags)
        self._pausing, self._busy = bool(flags.get("pausing")), status is not None
        if status is None:
            self._stopped(file, progress)
            return
        if str(state.get("text")).startswith("Starting"):
            status = Status.PREPARING
        self._missed = None
        if self._first:
            self._recognise(str(file), flags, progress)
        if self._job is not None and self._status in _OPEN:
            self._status = status
            self._job.update(
                progress=_number(progress.get("completion")),
                elapsed_s=_number(progress.get("printTime")),
                remaining_s=_number(progress.get("printTimeLeft")),
            )

    def _connection(self, flags: Json, error: str | None) -> None:
        """Tell OctoPrint's own connection to the printer apart from ours to OctoPrint."""
        if flags.get("operational") or _running(flags):
            self._online, self._reason = OnlineState.ONLINE, None
            return
        self._heaters = {}
        if flags.get("closedOrError") and error:
            self._online, self._reason = OnlineState.FAULT, error
        else:
            self._online, self._reason = OnlineState.OFFLINE, "printer_disconnected"

    def _temperatures(self, readings: Any) -> None:
        for reading in readings if isinstance(readings, list) else []:
            for heater in ("tool0", "bed"):
                if values := record(record(reading).get(heater)):
                    self._heaters[heater] = {
                        "actual": _number(values.get("actual")),
                        "target": _number(values.get("target")),
                    }

    def _recognise(self, file: str, flags: Json, progress: Json) -> None:
        """Tell the run that was known from one that began while nobody looked."""
        job = self._job
        if job is not None and job.get("file") == file:
            goes_on = (_number(progress.get("printTime")) or 0) >= (job.get("elapsed_s") or 0)
            ending = flags.get("finishing") or flags.get("cancelling")
            if ending or (goes_on and self._status in _OPEN):
                return
        self._end(Status.FAILED, "lost")
        self._begin(file)

    def _stopped(self, file: Any, progress: Json) -> None:
        """Find out how an open job ended of which the event was missed."""
        if self._job is None or self._status not in _OPEN:
            return
        self._missed = self._missed or self._now()
        same, done = file == self._job["file"], progress.get("completion")
        if self._online is OnlineState.FAULT:
            self._end(Status.FAILED, self._reason)
        elif not self._first and self._now() - self._missed < _EVENT_GRACE:
            return
        elif same and done == 100:
            self._end(Status.COMPLETED)
        elif same and done is None:
            self._end(Status.ABORTED)
        else:
            self._end(Status.FAILED, "lost")

    def _event(self, kind: str, payload: Json) -> None:
        match kind:
            case "PrintStarted":
                self._end(Status.FAILED, "lost")
                self._begin(str(payload.get("path")))
            case "PrinterStateChanged":
                state_id = str(payload.get("state_id"))
                self._pausing, self._busy = state_id == "PAUSING", state_id in _STATE_IDS
                if self._status in _OPEN:
                    self._status = _STATE_IDS.get(state_id, self._status)
            case "PrintDone":
                self._end(Status.COMPLETED)
            case "PrintCancelled":
                self._end(Status.ABORTED)
            case "PrintFailed" if payload.get("reason") == "cancelled":
                # Every cancel is told twice, and this is the second time.
                self._end(Status.ABORTED)
            case "PrintFailed":
                self._end(Status.FAILED, one_line(payload.get("error")) or "unknown")

    def _begin(self, file: str) -> None:
        self._status = Status.PREPARING
        self._job = {
            "file": file,
            "progress": None,
            "elapsed_s": None,
            "remaining_s": None,
            "started_at": self._now().isoformat(),
            "error": None,
        }

    def _end(self, status: Status, error: str | None = None) -> None:
        """End the open job, if there is one; the first word on how it ended stands."""
        if self._job is None or self._status not in _OPEN:
            return
        self._status, self._missed = status, None
        self._job.update(error=error, remaining_s=None)
        if status is Status.COMPLETED:
            self._job["progress"] = 100.0
        self._changed()


class SerialLog:
    """Watches OctoPrint's serial log for lines that were ordered."""

    def __init__(self) -> None:
        """Start with nothing to watch for."""
        self._one_at_a_time = asyncio.Lock()
        self._lines: list[str] = []
        self._seen: asyncio.Event | None = None

    @asynccontextmanager
    async def expect(self, lines: list[str]) -> AsyncIterator[asyncio.Event]:
        """Give an event, set when all lines were sent in order and the last one answered."""
        async with self._one_at_a_time:
            self._lines, self._seen = [line.casefold() for line in lines], asyncio.Event()
            try:
                yield self._seen
            finally:
                self._seen = None

    def hear(self, message: Json) -> None:
        """Take one message; ``history`` repeats old lines and proves nothing."""
        if self._seen is None:
            return
        for line in record(message.get("current")).get("logs") or ():
            sent = _SENT.fullmatch(line)
            if self._lines and sent and sent["line"].casefold() == self._lines[0]:
                del self._lines[0]
            elif not self._lines and line.startswith("Recv: ok"):
                self._seen.set()


def _running(flags: Json) -> Status | None:
    """Return what the flags say of a running job."""
    # First, because OctoPrint 2 leaves ``printing`` set while paused.
    if flags.get("paused"):
        return Status.PAUSED
    busy = ("printing", "pausing", "resuming", "finishing", "cancelling")
    return Status.PRINTING if any(flags.get(flag) for flag in busy) else None


def one_line(text: Any) -> str | None:
    """Return a text from outside as one line that fits a notice."""
    return " ".join(str(text).split())[:200] or None if text else None


def _number(value: Any) -> float | None:
    known = isinstance(value, int | float) and math.isfinite(value)
    return round(float(value), 1) if known else None


def record(value: Any) -> Json:
    """Return a JSON object as it is, and anything else as an empty one."""
    return dict(value) if isinstance(value, Mapping) else {}
