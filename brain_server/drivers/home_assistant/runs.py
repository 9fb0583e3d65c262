"""The runs of a printer of which Home Assistant tells only states: when each began, and how it ended.

Its integrations say "operational" both before and after a print, and name no run. A run is known again by its file
and by its progress, which never goes back.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from brain_server.protocol import Json, PrinterStatus

OPEN: Final = frozenset({PrinterStatus.PREPARING, PrinterStatus.PRINTING, PrinterStatus.PAUSED})
ENDED: Final = frozenset({PrinterStatus.COMPLETED, PrinterStatus.FAILED, PrinterStatus.ABORTED})
# What a print has reached that came to its end; figures are rounded on their way.
WHOLE: Final = 99.9
# Progress may tremble, but never falls so far within one run.
BACK: Final = 5.0
LOST: Final = "lost"


class Runs:
    """Makes whole printer states of what is told; one run is open at a time."""

    def __init__(self, now: Callable[[], datetime], last_state: Json) -> None:
        """Take up the run that was open when the brain ended; nobody saw what happened since."""
        self._now = now
        self._status: Any = last_state.get("status")
        self._job: Json | None = last_state.get("job")
        self._unwatched = True

    def lose(self) -> None:
        """Note that nobody watches: an end that nobody saw is not known."""
        self._unwatched = True

    def take(self, state: Json) -> Json:
        """Return a state with its run; a status that nobody understands changes nothing."""
        status, told = state.get("status"), state.get("job") or {}
        if status in OPEN:
            self._go_on(status, told)
        elif self._status in OPEN and status is not None:
            self._end(status, told)
        elif status is not None and not (status == "idle" and self._status in ENDED):
            self._status = status
        if status is not None:
            self._unwatched = False
        return state | {"status": status and self._status, "job": self._job}

    def _go_on(self, status: Any, told: Json) -> None:
        if self._status not in OPEN or self._job is None or self._is_another(told, self._job):
            self._job = {
                "file": None,
                "progress": None,
                "elapsed_s": None,
                "remaining_s": None,
                "started_at": self._now().isoformat(),
                "error": None,
            }
        known = {name: value for name, value in told.items() if value is not None}
        self._job = self._job | known
        self._status = status

    def _is_another(self, told: Json, job: Json) -> bool:
        """Tell whether another run is told of than the one that was open."""
        file, progress = told.get("file"), told.get("progress")
        if file and job["file"] and file != job["file"]:
            return True
        return (
            progress is not None
            and job["progress"] is not None
            and progress < job["progress"] - BACK
        )

    def _end(self, status: Any, told: Json) -> None:
        """End the open run; where only rest is told, its progress tells how."""
        job = self._job or {}
        progress = max(job.get("progress") or 0.0, told.get("progress") or 0.0)
        error = None
        if status == PrinterStatus.IDLE:
            if progress >= WHOLE:
                status = PrinterStatus.COMPLETED
            elif self._unwatched:
                status, error = PrinterStatus.FAILED, LOST
            else:
                status = PrinterStatus.ABORTED
        if status == PrinterStatus.COMPLETED:
            progress = 100.0
        if self._job is not None:
            self._job = self._job | {"progress": progress, "remaining_s": None, "error": error}
        self._status = str(status)
