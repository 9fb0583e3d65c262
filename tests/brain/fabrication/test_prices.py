"""What electricity costs when: told prices, and hours by the clock on the wall."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
import time
from typing import Any

import pytest

from brain_server.bus import Bus
from brain_server.commands import SYSTEM
from brain_server.errors import InvalidRequest, Unavailable
from brain_server.fabrication.prices import KEPT_S, QUARTER_S, Prices, Slot, Slots, window_of
from brain_server.observability import Tasks
from brain_server.storage import Database, tables
from tests.brain.gatehouse import NOW, Clock

HOUR = 3600.0


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """Give the database of a brain."""
    made = Database(f"sqlite:///{tmp_path}/brain.db", tables.brain, name="brain", durable=False)
    await made.open()
    yield made
    await made.close()


async def tell(prices: Prices, *slots: tuple[float, float, float]) -> Any:
    """Tell prices, in hours from now."""
    return await prices.put(
        SYSTEM,
        Slots(
            slots=[
                Slot(start=NOW + begin * HOUR, end=NOW + end * HOUR, price=price)
                for begin, end, price in slots
            ]
        ),
    )


async def test_prices_are_told_and_outlive_a_restart(database: Database) -> None:
    """And those who plan hear of them."""
    bus, told = Bus(), []
    bus.listen("energy.updated", lambda event: told.append(event.data))
    assert await tell(Prices(database, bus, Clock()), (0, 1, 0.3), (1, 2, 0.1)) == {"slots": 2}
    again = Prices(database, bus, Clock())
    await again.start()
    assert again.quarters(NOW) == [0.3] * 4 + [0.1] * 4
    assert told == [{"slots": 2}]


async def test_what_is_told_again_replaces_what_was(database: Database) -> None:
    """Of these times only."""
    prices = Prices(database, Bus(), Clock())
    await tell(prices, (0, 1, 0.3), (1, 2, 0.1))
    await tell(prices, (1, 2, 0.5))
    assert prices.quarters(NOW) == [0.3] * 4 + [0.5] * 4


async def test_of_prices_that_are_told_at_once_the_last_are_known(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though whoever told the first looks at them later."""
    prices, read = Prices(database, Bus(), Clock()), database.read
    begun, go = asyncio.Event(), asyncio.Event()

    async def late(work: Any) -> Any:
        found = await read(work)
        begun.set()
        await go.wait()
        return found

    with monkeypatch.context() as once:
        once.setattr(database, "read", late)
        telling = Tasks().start("telling", tell(prices, (0, 1, 0.3)))
        asked = Tasks().start("asked", begun.wait())
        await asyncio.wait([telling, asked], return_when=asyncio.FIRST_COMPLETED)
    await tell(prices, (0, 1, 0.5))
    go.set()
    begun.set()
    await telling
    await asked
    assert prices.quarters(NOW) == [0.5] * 4


async def test_prices_are_known_though_nothing_can_be_read_then(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Home Assistant tells them once."""

    async def busy(_work: Any) -> Any:
        raise Unavailable("database_busy", "Busy")

    prices = Prices(database, Bus(), Clock())
    monkeypatch.setattr(database, "read", busy)
    assert await tell(prices, (0, 1, 0.3)) == {"slots": 1}
    assert prices.quarters(NOW) == [0.3] * 4


async def test_prices_that_are_stored_are_known_though_whoever_told_them_went_away(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And those who plan hear of them."""
    bus, told = Bus(), asyncio.Event()
    bus.listen("energy.updated", lambda _event: told.set())
    prices, write = Prices(database, bus, Clock()), database.write
    stored, go = asyncio.Event(), asyncio.Event()

    async def late(work: Any) -> Any:
        found = await write(work)
        stored.set()
        await go.wait()
        return found

    monkeypatch.setattr(database, "write", late)
    telling = Tasks().start("telling", tell(prices, (0, 1, 0.3)))
    await stored.wait()
    telling.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await telling
    async with asyncio.timeout(5):
        await told.wait()
    assert prices.quarters(NOW) == [0.3] * 4


async def test_prices_of_long_ago_are_forgotten(database: Database) -> None:
    """Those of the last days are what prints of the last days cost."""
    clock = Clock()
    prices = Prices(database, Bus(), clock)
    await tell(prices, (0, 1, 0.3))
    clock.advance(KEPT_S + 2 * HOUR)
    assert await tell(prices) == {"slots": 0}


async def test_prices_are_known_up_to_the_first_gap(database: Database) -> None:
    """What comes behind it may be anything."""
    prices = Prices(database, Bus(), Clock())
    await tell(prices, (-2, -1, 9.0), (-1, 1, 0.3), (2, 3, 0.1))
    assert prices.quarters(NOW) == [0.3] * 4
    assert prices.quarters(NOW + 1.5 * HOUR) == []


@pytest.mark.parametrize(
    "slots", [[(1, 1, 0.1)], [(2, 1, 0.1)], [(0, 25, 0.1)], [(0, 2, 0.1), (1, 3, 0.2)]]
)
async def test_slots_that_make_no_sense_are_refused(
    database: Database, slots: list[tuple[float, float, float]]
) -> None:
    """Nothing of them is kept."""
    prices = Prices(database, Bus(), Clock())
    with pytest.raises(InvalidRequest) as caught:
        await tell(prices, *slots)
    assert (caught.value.code, prices.quarters(NOW)) == ("invalid_params", [])


async def test_the_mean_price_is_that_of_the_time(database: Database) -> None:
    """None where part of it is not known."""
    prices = Prices(database, Bus(), Clock())
    await tell(prices, (0, 1, 0.4), (1, 2, 0.2))
    assert prices.mean(NOW, NOW + 2 * HOUR) == pytest.approx(0.3)
    assert prices.mean(NOW + 0.5 * HOUR, NOW + HOUR) == pytest.approx(0.4)
    assert prices.mean(NOW + HOUR, NOW + 3 * HOUR) is None
    assert prices.mean(NOW + 5 * HOUR, NOW + 6 * HOUR) is None


async def test_without_prices_and_hours_nothing_is_known(database: Database) -> None:
    """And nothing is guessed."""
    assert Prices(database, Bus(), Clock()).quarters(NOW) == []


def cheap_hours(window: str, day: str) -> list[str]:
    """Return the beginnings of the quarters, on the wall, that are cheap on a day."""
    begin = time.mktime(time.strptime(day, "%Y-%m-%d"))
    database: Any = None
    quarters = Prices(database, Bus(), Clock(begin), window=window).quarters(begin)
    walls = [time.localtime(begin + at * QUARTER_S) for at in range(len(quarters))]
    return [
        time.strftime("%H:%M", wall)
        for wall, price in zip(walls, quarters, strict=True)
        if price == 1.0 and time.strftime("%Y-%m-%d", wall) == day
    ]


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("day", "count"), [("2026-10-24", 20), ("2026-10-25", 24), ("2026-03-29", 16)]
)
def test_cheap_hours_are_right_on_long_and_short_days(day: str, count: int) -> None:
    """01:00 to 06:00 is five hours, six on the day of 25 and four on that of 23."""
    found = cheap_hours("01:00-06:00", day)
    assert (len(found), found[0], found[-1]) == (count, "01:00", "05:45")


@pytest.mark.usefixtures("berlin")
def test_cheap_hours_may_go_over_midnight() -> None:
    """The evening and the early morning of each day."""
    found = cheap_hours("22:00-06:00", "2026-06-01")
    assert (len(found), found[0], found[23], found[24]) == (32, "00:00", "05:45", "22:00")


@pytest.mark.parametrize("text", ["22-6", "24:00-06:00", "06:00-06:00", "22:00 06:00", "night"])
def test_hours_that_are_none_are_refused(text: str) -> None:
    """When the brain starts."""
    with pytest.raises(InvalidRequest) as caught:
        window_of(text)
    assert (caught.value.code, caught.value.fields["field"]) == ("invalid_setting", "cheap_hours")


async def test_what_was_told_of_the_time_around_a_slot_stays(database: Database) -> None:
    """A price that changes within the hour takes nothing from what was paid before."""
    prices = Prices(database, Bus(), Clock())
    await tell(prices, (0, 3, 0.4))
    await tell(prices, (1, 2, 0.1))
    assert prices.quarters(NOW) == [0.4] * 4 + [0.1] * 4 + [0.4] * 4


async def test_a_fixed_price_is_for_times_of_which_no_slot_tells(database: Database) -> None:
    """Home Assistant takes it back with null."""
    prices = Prices(database, Bus(), Clock())
    await tell(prices, (0, 1, 0.4))
    await prices.put(SYSTEM, Slots(price=0.3))
    assert prices.mean(NOW, NOW + HOUR) == pytest.approx(0.4)
    assert prices.mean(NOW + HOUR, NOW + 2 * HOUR) == 0.3
    await prices.put(SYSTEM, Slots(price=None))
    assert prices.mean(NOW + HOUR, NOW + 2 * HOUR) is None


async def test_the_hours_of_home_assistant_go_before_those_of_the_settings(
    database: Database, berlin: None
) -> None:
    """Until it takes them back."""
    prices = Prices(database, Bus(), Clock(), window="22:00-06:00")
    by_setting = prices.quarters(NOW)
    await prices.put(SYSTEM, Slots(cheap_hours="10:00-12:00"))
    assert prices.quarters(NOW).count(1.0) == 16
    await prices.put(SYSTEM, Slots(cheap_hours=None))
    assert prices.quarters(NOW) == by_setting
    with pytest.raises(InvalidRequest):
        await prices.put(SYSTEM, Slots(cheap_hours="nonsense"))


async def test_the_price_of_the_present_hour_does_not_hide_the_cheap_hours(
    database: Database, berlin: None
) -> None:
    """It says nothing of when it is cheap; the prices of a day do."""
    prices = Prices(database, Bus(), Clock(), window="22:00-06:00")
    await tell(prices, (0, 1, 0.4))
    assert set(prices.quarters(NOW)) == {1.0, 2.0}
    await tell(prices, (1, 2, 0.1))
    assert set(prices.quarters(NOW)) == {0.4, 0.1}
