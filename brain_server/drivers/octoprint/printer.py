"""What OctoPrint's push messages say of printer, job and serial line; does no I/O."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
import re
from typing import Any, Final

from brain_server.drivers import Observation
from brain_server.lan import number, one_line, record
from brain_server.protocol import Json, OnlineState, PrinterStatus as Status

# What goes over the serial line, in the words of version 1.11 and of 2.0.
SERIAL_LOG: Final = "^(Send|>>>|Recv: ok|<<< ok)"
_SENT: Final = re.compile(r"(?:Send:|>>>) (?:N\d+ )?(?P<line>.*?)(?:\*\d+)?")
_TAKEN: Final = ("Recv: ok", "<<< ok")
# OctoPrint's states in which a job is at work.
_AT_WORK: Final = {
    "STARTING": Status.PREPARING,
    "PRINTING": Status.PRINTING,
    "PAUSING": Status.PRINTING,
    "PAUSED": Status.PAUSED,
    "RESUMING": Status.PRINTING,
    "FINISHING": Status.PRINTING,
    "CANCELLING": Status.PRINTING,
}
# Version 1.11 says OFFLINE where 2.0 says CLOSED.
_CLOSED: Final = frozenset({"OFFLINE", "CLOSED", "ERROR", "CLOSED_WITH_ERROR"})
_UNKNOWN: Final = "unknown"
_OPEN: Final = frozenset({Status.PREPARING, Status.PRINTING, Status.PAUSED})
_ENDED: Final = frozenset({Status.COMPLETED, Status.FAILED, Status.ABORTED})
# How long the event that tells a job's end may come after the printer was seen at rest.
_EVENT_GRACE: Final = timedelta(seconds=5)
# OctoPrint holds "current" messages back and sends them old: for so long an event counts more.
_HELD_BACK: Final = timedelta(seconds=2)


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
        self._words: str | None = None
        self._heaters: dict[str, Json] = {}
        self._job: Json | None = None
        self._status = Status.IDLE
        # Where OctoPrint says the printer is; as of when, if an event said so.
        self._phase = "CLOSED"
        self._told_at: datetime | None = None
        # A cancel is told twice; whether its second word is still to come.
        self._echo = False
        # The order that OctoPrint accepted and of which nothing was seen yet.
        self._accepted = ""
        self._deaf = True
        self._first = True
        self._missed: datetime | None = None
        if last.get("job") and last.get("status") in _OPEN | _ENDED:
            self._job = dict(last["job"])
            self._status = Status(last["status"])

    @property
    def starting(self) -> bool:
        """Tell whether a print is between its start and its first line."""
        return "print_start" in self._accepted or self._phase == "STARTING"

    @property
    def pausing(self) -> bool:
        """Tell whether a pause was asked for that has not come about."""
        asked = "print_pause" in self._accepted and self._phase != "PAUSED"
        return asked or self._phase == "PAUSING"

    @property
    def ending(self) -> bool:
        """Tell whether the job has ended and its end script has not."""
        return self._status in _ENDED and self._phase in _AT_WORK

    def accepted(self, intent: str) -> None:
        """Take note that an order was accepted, until the next event."""
        self._accepted = intent

    def connecting(self) -> None:
        """Wait for a ``history``: the first state after a time when nothing was seen."""
        self._deaf = self._first = True
        self._echo = False
        self._told_at = None

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
        if history := record(message.get("history")):
            self._deaf, self._accepted, self._told_at = False, "", None
            self._look(history)
        elif self._deaf:
            return
        elif current := record(message.get("current")):
            self._first = False
            self._look(current)
        elif event := record(message.get("event")):
            self._first, self._accepted = False, ""
            self.events += 1
            self._event(str(event.get("type")), record(event.get("payload")))
        else:
            return
        self._changed()

    def _look(self, seen: Json) -> None:
        state, progress = record(seen.get("state")), record(seen.get("progress"))
        file = record(record(seen.get("job")).get("file")).get("path")
        phase = _phase(record(state.get("flags")), state.get("text"))
        if self._told_at and phase != self._phase and self._now() - self._told_at < _HELD_BACK:
            return
        self._phase = phase
        self._connection(one_line(state.get("error")), one_line(state.get("text")))
        if self._online is OnlineState.ONLINE:
            self._temperatures(seen.get("temps"))
        if phase not in _AT_WORK:
            self._stopped(file, progress)
            return
        self._missed = None
        if self._first:
            self._recognise(str(file), progress)
        if self._job is not None and self._status in _OPEN:
            self._status = _AT_WORK[phase]
            self._job.update(
                progress=number(progress.get("completion")),
                elapsed_s=number(progress.get("printTime")),
                remaining_s=number(progress.get("printTimeLeft")),
            )

    def _connection(self, error: str | None, text: str | None) -> None:
        """Tell OctoPrint's own connection to the printer apart from ours to OctoPrint."""
        if self._phase == "OPERATIONAL" or self._phase in _AT_WORK:
            self._online, self._reason, self._words = OnlineState.ONLINE, None, None
            return
        self._heaters = {}
        # OctoPrint 2 has the words in an event alone, or only says that there was an error.
        if self._phase == "CLOSED" and (error or "error" in str(text)):
            self._online, self._reason = OnlineState.FAULT, error or self._words or text
        else:
            self._online, self._reason = OnlineState.OFFLINE, "printer_disconnected"

    def _temperatures(self, readings: Any) -> None:
        for reading in readings if isinstance(readings, list) else []:
            for heater in ("tool0", "bed"):
                if values := record(record(reading).get(heater)):
                    self._heaters[heater] = {
                        "actual": number(values.get("actual")),
                        "target": number(values.get("target")),
                    }

    def _recognise(self, file: str, progress: Json) -> None:
        """Tell the run that was known from one that began while nobody looked."""
        job = self._job
        if job is not None and job.get("file") == file:
            goes_on = (number(progress.get("printTime")) or 0) >= (job.get("elapsed_s") or 0)
            if self._phase in {"FINISHING", "CANCELLING"} or (goes_on and self._status in _OPEN):
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
        elif same:
            self._end(Status.ABORTED)
        else:
            self._end(Status.FAILED, "lost")

    def _event(self, kind: str, payload: Json) -> None:
        match kind:
            case "PrinterStateChanged":
                self._enter(str(payload.get("state_id")))
            case "PrintStarted":
                self._end(Status.FAILED, "lost")
                self._begin(str(payload.get("path")))
            case "PrintDone":
                self._end(Status.COMPLETED)
            case "PrintCancelled":
                self._echo = True
                self._end(Status.ABORTED)
            case "PrintFailed" if payload.get("reason") == "cancelled":
                # The echo may come when the next print has begun, and must not end that one.
                if not self._echo:
                    self._end(Status.ABORTED)
                self._echo = False
            case "PrintFailed":
                told = one_line(payload.get("error")) or _UNKNOWN
                self._end(Status.FAILED, (self._words or told) if told == _UNKNOWN else told)
            case "Error":
                self._words = one_line(payload.get("error"))

    def _enter(self, state_id: str) -> None:
        """Take a state by its name; the names that do not matter here are left to ``current``."""
        phase = "CLOSED" if state_id in _CLOSED else state_id
        if phase not in _AT_WORK and phase not in {"CLOSED", "OPERATIONAL"}:
            self._told_at = None
            return
        self._phase, self._told_at = phase, self._now()
        if self._status in _OPEN:
            self._status = _AT_WORK.get(phase, self._status)

    def _begin(self, file: str) -> None:
        self._status = _AT_WORK.get(self._phase, Status.PREPARING)
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
            elif not self._lines and line.startswith(_TAKEN):
                self._seen.set()


def _phase(flags: Json, text: Any) -> str:
    """Return the state that the flags stand for."""
    # First, because OctoPrint 2 leaves ``printing`` set while paused.
    for flag in ("paused", "pausing", "resuming", "finishing", "cancelling", "printing"):
        if flags.get(flag):
            starting = flag == "printing" and str(text).startswith("Starting")
            return "STARTING" if starting else flag.upper()
    if flags.get("closedOrError"):
        return "CLOSED"
    return "OPERATIONAL" if flags.get("operational") else "CONNECTING"
