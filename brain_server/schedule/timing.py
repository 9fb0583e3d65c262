"""When work comes again: ``every 15m``, ``daily 12:00``, ``weekly mon,thu 13:00 Europe/Berlin``.

Times of day are of a zone, UTC where none is named. A time that a clock jumps over in spring comes as much
later as the clock jumps; one that it shows twice in autumn comes once, the first time.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
import math
import re
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from brain_server.errors import InvalidRequest

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_EVERY: Final = re.compile(r"every ([1-9]\d{0,4})(s|m|h)")
_AT: Final = re.compile(
    r"(?:daily|weekly (?P<days>[a-z]{3}(?:,[a-z]{3}){0,6})) "
    r"(?P<hour>[01]\d|2[0-3]):(?P<minute>[0-5]\d)(?: (?P<zone>[A-Za-z][\w+/-]{0,63}))?"
)
_UNIT: Final = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, slots=True, kw_only=True)
class Every:
    """Again and again, counted from the beginning of time, so that a restart moves nothing."""

    seconds: int

    def after(self, moment: float) -> float:
        """Return the next time, in POSIX seconds, later than ``moment``."""
        return (math.floor(moment / self.seconds) + 1) * float(self.seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class At:
    """At a time of some days."""

    days: frozenset[int]
    time: time
    zone: tzinfo

    def after(self, moment: float) -> float:
        """Return the next time, in POSIX seconds, later than ``moment``."""
        day = datetime.fromtimestamp(moment, self.zone).date() - timedelta(days=1)
        while True:
            day += timedelta(days=1)
            due = datetime.combine(day, self.time, self.zone).timestamp()
            if day.weekday() in self.days and due > moment:
                return due


type Timing = Every | At


def parse(text: str) -> Timing:
    """Read a timing; InvalidRequest ``invalid_timing`` says how one looks."""
    if match := _EVERY.fullmatch(text):
        return Every(seconds=int(match[1]) * _UNIT[match[2]])
    match = _AT.fullmatch(text)
    days = (match["days"] or ",".join(DAYS)).split(",") if match else []
    if match is None or not set(days) <= set(DAYS):
        raise InvalidRequest(
            "invalid_timing",
            f'"{text}" is no timing; write e.g. "every 15m", "daily 12:00" or'
            ' "weekly mon 13:00 Europe/Berlin"',
            timing=text,
        )
    return At(
        days=frozenset(DAYS.index(day) for day in days),
        time=time(int(match["hour"]), int(match["minute"])),
        zone=_zone(match["zone"]),
    )


def _zone(name: str | None) -> tzinfo:
    if name is None or name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as err:  # a folder of zones is an OSError
        raise InvalidRequest(
            "invalid_timing", f'There is no time zone "{name}"', timing=name
        ) from err
