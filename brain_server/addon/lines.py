"""The last lines of the log, for the app's page."""

from collections import deque
from datetime import UTC, datetime
import logging
from typing import Final, NamedTuple

from brain_server.observability import redact

MOST_LINES: Final = 500
MOST_CHARACTERS: Final = 2000


class Line(NamedTuple):
    """One line, without secrets, at the time of the house."""

    at: datetime
    level: int
    source: str
    text: str


class Lines(logging.Handler):
    """Keeps the last lines in memory."""

    def __init__(self) -> None:
        """Start with none."""
        super().__init__()
        self._lines: deque[Line] = deque(maxlen=MOST_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line, and the first words of what broke."""
        try:
            text = record.getMessage()
        except KeyError, TypeError, ValueError:  # its values do not fit its words
            self.handleError(record)
            return
        if record.exc_info and record.exc_info[1] is not None:
            text += f" ({type(record.exc_info[1]).__name__}: {record.exc_info[1]})"
        at = datetime.fromtimestamp(record.created, UTC).astimezone()
        source = record.name.removeprefix("brain_server.")
        self._lines.append(Line(at, record.levelno, source, redact(text)[:MOST_CHARACTERS]))

    def newest(self, level: int) -> list[Line]:
        """Return the lines of at least a level, the newest first."""
        # At once: other threads log meanwhile.
        lines = [*self._lines]
        return [line for line in reversed(lines) if line.level >= level]
