"""The hours in which only what is critical may wake somebody."""

from dataclasses import dataclass
import re
from typing import Final

from brain_server.errors import InvalidRequest
from brain_server.schedule.timing import Timing, parse

_WINDOW: Final = re.compile(r"(\d\d:\d\d)-(\d\d:\d\d)( \S+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """When it becomes quiet and when it ends, every day, by the clock on the wall of a time zone."""

    begin: Timing
    end: Timing

    def until(self, now: float) -> float | None:
        """Return when it ends, or None where it is not quiet."""
        # Between the two whichever the clock does in spring and autumn: what comes first, comes first.
        end = self.end.after(now)
        return end if end < self.begin.after(now) else None


def quiet_hours(text: str) -> Quiet | None:
    """Read ``22:00-07:00 Europe/Berlin``; InvalidRequest ``invalid_setting`` for anything else but nothing."""
    if not text:
        return None
    found = _WINDOW.fullmatch(text)
    try:
        if found is None or found[1] == found[2]:
            raise _wrong()
        begin, end, zone = found[1], found[2], found[3] or ""
        return Quiet(begin=parse(f"daily {begin}{zone}"), end=parse(f"daily {end}{zone}"))
    except InvalidRequest as err:
        raise _wrong() from err


def _wrong() -> InvalidRequest:
    return InvalidRequest(
        "invalid_setting",
        "Setting quiet_hours must be two times and a zone, e.g. 22:00-07:00 Europe/Berlin",
        field="quiet_hours",
    )
