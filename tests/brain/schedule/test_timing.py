"""When work comes again, in the time of a place."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from brain_server.errors import InvalidRequest
from brain_server.schedule.timing import parse

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, zone: ZoneInfo | None = None) -> float:
    """Return a moment in POSIX seconds."""
    return datetime.fromisoformat(text).replace(tzinfo=zone or UTC).timestamp()


@pytest.mark.parametrize(
    ("timing", "now", "next_"),
    [
        ("every 15m", "2026-11-21T10:07:00", "2026-11-21T10:15:00"),
        ("every 15m", "2026-11-21T10:15:00", "2026-11-21T10:30:00"),
        ("every 4h", "2026-11-21T23:00:00", "2026-11-22T00:00:00"),
        ("every 30s", "2026-11-21T23:00:01", "2026-11-21T23:00:30"),
        ("daily 12:00", "2026-11-21T11:59:59", "2026-11-21T12:00:00"),
        ("daily 12:00", "2026-11-21T12:00:00", "2026-11-22T12:00:00"),
        ("daily 12:00 UTC", "2026-12-31T12:00:01", "2027-01-01T12:00:00"),
        ("weekly mon 13:00", "2026-11-21T10:00:00", "2026-11-23T13:00:00"),
        ("weekly mon 13:00", "2026-11-23T13:00:00", "2026-11-30T13:00:00"),
        ("weekly tue,sat 09:30", "2026-11-21T09:30:00", "2026-11-24T09:30:00"),
    ],
)
def test_work_comes_next_at(timing: str, now: str, next_: str) -> None:
    """The next time is the first that is later than now."""
    assert parse(timing).after(at(now)) == at(next_)


def test_a_time_of_day_is_that_of_its_place() -> None:
    """Noon in Berlin is eleven o'clock UTC in winter."""
    found = parse("daily 12:00 Europe/Berlin").after(at("2026-11-21T00:00:00"))
    assert found == at("2026-11-21T11:00:00")


def test_a_time_that_spring_jumps_over_comes_an_hour_later() -> None:
    """There is no half past two on that night in March; the job comes at half past three, once."""
    timing = parse("daily 02:30 Europe/Berlin")
    first = timing.after(at("2026-03-28T12:00:00", BERLIN))
    assert first == at("2026-03-29T03:30:00", BERLIN)
    assert timing.after(first) == at("2026-03-30T02:30:00", BERLIN)


def test_a_time_that_autumn_shows_twice_comes_once() -> None:
    """Half past two comes twice on that night in October; the job does not."""
    timing = parse("daily 02:30 Europe/Berlin")
    first = timing.after(at("2026-10-24T12:00:00", BERLIN))
    assert first == at("2026-10-25T00:30:00")
    assert timing.after(first) == at("2026-10-26T01:30:00")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "daily",
        "daily 24:00",
        "daily 12:60",
        "daily 12:00 Middle/Earth",
        "daily 12:00 ../etc/passwd",
        "weekly 12:00",
        "weekly someday 12:00",
        "weekly mon,xyz 12:00",
        "every 0m",
        "every 5d",
        "* * * * *",
        "every 15m Europe/Berlin",
    ],
)
def test_what_is_no_timing_is_refused_with_an_example(text: str) -> None:
    """Whoever writes it wrong reads how it is written."""
    with pytest.raises(InvalidRequest) as caught:
        parse(text)
    assert caught.value.code == "invalid_timing"
