"""A clock that a test sets, for a process of its own: libfaketime, which leaves the seconds since the start alone."""

from datetime import datetime
from pathlib import Path
import time

FOLDERS = ("/usr/lib/*/faketime", "/usr/lib/faketime")


def library() -> Path:
    """Return the library that is loaded before all others; FileNotFoundError without it."""
    for folder in FOLDERS:
        for found in Path("/").glob(f"{folder[1:]}/libfaketime.so.1"):
            return found
    message = "faketime is not installed: script/setup --services"
    raise FileNotFoundError(message)


class SetClock:
    """The clock of a process."""

    def __init__(self, path: Path, moment: str) -> None:
        """Show this time of UTC; ``path`` is where the process reads it."""
        self._path = path
        self.set(moment)

    @property
    def environment(self) -> dict[str, str]:
        """Return what a process needs to go by this clock."""
        return {
            "LD_PRELOAD": str(library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._path),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "TZ": "UTC",
        }

    def set(self, moment: str) -> None:
        """Let it go on from this time of UTC, within a second."""
        ahead = datetime.fromisoformat(f"{moment}+00:00").timestamp() - time.time()
        other = self._path.with_suffix(".new")
        other.write_text(f"{ahead:+.3f}\n")
        # At once, or a process would read half of it.
        other.replace(self._path)
