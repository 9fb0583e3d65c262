"""Days and times as they are spoken."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from .lexicon import Lexicon

# How a duration is told: the largest unit that it holds and the next one.
_UNITS: Final = (("days", 86400), ("hours", 3600), ("minutes", 60), ("seconds", 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A stretch of time that a sentence names."""

    start: datetime
    end: datetime
    name: str


def day_start(now: datetime, days: int = 0) -> datetime:
    """Return midnight of today or of a day near it."""
    day = now.date() + timedelta(days=days)
    return datetime.combine(day, datetime.min.time(), tzinfo=now.tzinfo)


def span_of(said: str, now: datetime, lexicon: Lexicon) -> Span | None:
    """Return the stretch of time that words name; None where they name none."""
    words = [word for word in said.split() if word not in lexicon.fillers]
    named = lexicon.spans.get(" ".join(words)) or lexicon.spans.get(said)
    if named is not None:
        kind, first, length = named
        if kind == "day":
            return Span(start=day_start(now, first), end=day_start(now, first + length), name=said)
        if kind == "week":
            start = 7 * first - now.weekday() if first else 0
            end = 7 * (first + 1) - now.weekday()
            return Span(start=day_start(now, start), end=day_start(now, end), name=said)
        if kind == "weekend":
            start = 5 - now.weekday() + 7 * first
            return Span(
                start=day_start(now, max(0, start)), end=day_start(now, start + 2), name=said
            )
        return Span(start=day_start(now), end=day_start(now, length), name=said)
    for word in words:
        if word in lexicon.days:
            ahead = (lexicon.days[word] - now.weekday()) % 7
            if lexicon.next_word in words and ahead == 0:
                ahead = 7
            return Span(start=day_start(now, ahead), end=day_start(now, ahead + 1), name=said)
    return None


def past_span(said: Mapping[str, str], now: datetime, lexicon: Lexicon) -> Span | None:
    """Return the stretch of the past that a question names, until now at the latest."""
    name = said["past"]
    if (unit := said.get("unit")) is not None:
        length = timedelta(seconds=lexicon.units[lexicon.stem(unit)] * int(said.get("m", "1")))
        return Span(start=now - length, end=now, name=name)
    span = span_of(name, now, lexicon)
    if span is None:
        return None
    weekly = lexicon.spans[name][0] == "week"
    start = day_start(now, -now.weekday()) if weekly else span.start
    return Span(start=start, end=min(span.end, now), name=name)


def spoken_duration(seconds: float, lexicon: Lexicon) -> str:
    """Return a duration as people say it: "2 h 5 min"."""
    left, parts = round(seconds), []
    for name, length in _UNITS:
        count, left = divmod(left, length)
        if count:
            parts.append(lexicon.said[name].format(count=count))
        elif parts:
            break
    return " ".join(parts[:2]) or lexicon.said["not_at_all"]


def spoken_day(day: date, today: date, lexicon: Lexicon) -> str:
    """Return a day as people say it."""
    apart = (day - today).days
    if apart in (-1, 0, 1):
        return lexicon.said[("yesterday", "today", "tomorrow")[apart + 1]]
    weekday = lexicon.said[f"weekday_{day.weekday()}"]
    if 0 < apart < 7:
        return lexicon.said["on_day"].format(day=weekday)
    month = lexicon.said[f"month_{day.month}"]
    return lexicon.said["on_date"].format(weekday=weekday, day=day.day, month=month)


def spoken_time(when: datetime, now: datetime, lexicon: Lexicon) -> str:
    """Return a day and time as people say it."""
    day = spoken_day(when.date(), now.date(), lexicon)
    return lexicon.said["at_time"].format(day=day, time=f"{when:%H:%M}")
