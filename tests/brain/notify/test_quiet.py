"""Quiet hours: every night, by the clock on the wall, also when that is moved."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from brain_server.errors import InvalidRequest
from brain_server.notify import quiet_hours

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, *, fold: int = 0) -> float:
    """Return a time of Berlin."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold).timestamp()


def until(window: str, now: float) -> str | None:
    """Return until when it is quiet, as people of Berlin say it."""
    quiet = quiet_hours(window)
    assert quiet is not None
    end = quiet.until(now)
    return None if end is None else datetime.fromtimestamp(end, BERLIN).strftime("%d %H:%M")


@pytest.mark.parametrize(
    ("now", "end"),
    [
        ("2030-01-10 21:59", None),
        ("2030-01-10 22:00", "11 07:00"),
        ("2030-01-11 00:30", "11 07:00"),
        ("2030-01-11 06:59", "11 07:00"),
        ("2030-01-11 07:00", None),
        ("2030-01-11 12:00", None),
    ],
)
def test_it_is_quiet_from_the_evening_to_the_morning(now: str, end: str | None) -> None:
    """From the first minute, up to the last."""
    assert until("22:00-07:00 Europe/Berlin", at(now)) == end


def test_quiet_hours_may_be_within_a_day() -> None:
    """For those who work at night."""
    assert until("09:00-15:00 Europe/Berlin", at("2030-01-10 10:00")) == "10 15:00"
    assert until("09:00-15:00 Europe/Berlin", at("2030-01-10 15:00")) is None


def test_the_night_in_which_clocks_go_forward_ends_at_the_hour_on_the_wall() -> None:
    """It has an hour less."""
    before = at("2030-03-30 23:00")
    quiet = quiet_hours("22:00-07:00 Europe/Berlin")
    assert quiet is not None
    assert quiet.until(before) == before + 7 * 3600
    assert until("22:00-07:00 Europe/Berlin", before) == "31 07:00"


def test_the_night_in_which_clocks_go_back_ends_at_the_hour_on_the_wall() -> None:
    """It has an hour more."""
    before = at("2030-10-26 23:00")
    quiet = quiet_hours("22:00-07:00 Europe/Berlin")
    assert quiet is not None
    assert quiet.until(before) == before + 9 * 3600


def test_an_end_that_the_clock_shows_twice_is_the_first_one() -> None:
    """It does not become quiet again for a day."""
    window = "22:00-02:30 Europe/Berlin"
    assert until(window, at("2030-10-27 02:10")) == "27 02:30"
    assert until(window, at("2030-10-27 02:40")) is None
    assert until(window, at("2030-10-27 02:10", fold=1)) is None


def test_an_end_that_the_clock_jumps_over_comes_after_the_jump() -> None:
    """It is not quiet until the next day."""
    assert until("22:00-02:30 Europe/Berlin", at("2030-03-31 01:59")) == "31 03:30"


def test_without_a_zone_it_is_utc() -> None:
    """As everything that comes by itself."""
    assert until("22:00-07:00", at("2030-01-10 23:30")) == "11 08:00"


def test_no_setting_is_no_quiet_hours() -> None:
    """Everything goes at once."""
    assert quiet_hours("") is None


@pytest.mark.parametrize(
    "text",
    [
        "22:00",
        "22:00-22:00",
        "25:00-07:00",
        "22:00-07:00 Atlantis/City",
        "22-7",
        "22:00-07:00 Europe/Berlin x",
    ],
)
def test_what_are_no_quiet_hours_is_refused_by_its_name(text: str) -> None:
    """A night that nobody understands would be none."""
    with pytest.raises(InvalidRequest) as caught:
        quiet_hours(text)
    assert (caught.value.code, caught.value.fields) == (
        "invalid_setting",
        {"field": "quiet_hours"},
    )
