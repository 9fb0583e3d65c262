"""What electricity costs when: prices that Home Assistant tells, else the hours that a person called cheap."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import pairwise
import re
import time
from typing import Annotated, Final

import msgspec
from sqlalchemy import Connection, and_, delete, insert, select

from brain_server.bus import Bus
from brain_server.commands import Caller, Params, Scope, command
from brain_server.errors import InvalidRequest
from brain_server.fabrication.plan import QUARTER
from brain_server.protocol import Json
from brain_server.storage import Database
from brain_server.storage.tables import energy_prices

QUARTER_S: Final = QUARTER * 60.0
# How far ahead a cheap beginning is looked for where only daily hours are known.
WINDOW_S: Final = 48 * 3600.0
PRESENT_S: Final = 3600.0
# Prices of the past are kept so long, for what prints of the past cost.
KEPT_S: Final = 14 * 86_400.0
# What an hour costs beside a cheap one, where nobody knows money: any number above 1 says the same.
_DEAR: Final = 2.0
_CHEAP: Final = 1.0
_WINDOW: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
_MOST_SLOTS: Final = 1000
_MOST_SLOT_S: Final = 86_400.0


class Slot(Params):
    """What a kilowatt-hour costs from one time to another, in POSIX seconds; it may be below zero."""

    start: Annotated[float, msgspec.Meta(ge=0, le=1e11)]
    end: Annotated[float, msgspec.Meta(ge=0, le=1e11)]
    price: Annotated[float, msgspec.Meta(ge=-100, le=100)]


class Slots(Params):
    """Prices; what was told before of these times is forgotten. The rest replaces a setting until it is null."""

    slots: Annotated[list[Slot], msgspec.Meta(max_length=_MOST_SLOTS)] = []
    # What a kilowatt-hour costs at times of which no slot tells.
    price: Annotated[float, msgspec.Meta(ge=0, le=100)] | msgspec.UnsetType | None = msgspec.UNSET
    cheap_hours: str | msgspec.UnsetType | None = msgspec.UNSET


class Prices:
    """Knows prices; :meth:`start` reads those that were told before."""

    def __init__(
        self, database: Database, bus: Bus, clock: Callable[[], float], *, window: str = ""
    ) -> None:
        """Take the hours of every day that are cheap, ``22:00-06:00`` by the clock on the wall; empty: none."""
        self._db = database
        self._bus = bus
        self._clock = clock
        self._setting = window_of(window)
        self._window = self._setting
        self._price: float | None = None
        self._slots: list[Slot] = []

    async def start(self) -> None:
        """Read the prices that are known."""
        self._slots = await self._db.read(_stored)

    @command("energy.prices", Scope.INTEGRATION)
    async def put(self, _caller: Caller, params: Slots) -> Json:
        """Take what electricity costs, slot by slot."""
        for slot in params.slots:
            if not 0 < slot.end - slot.start <= _MOST_SLOT_S:
                raise InvalidRequest(
                    "invalid_params",
                    "slots: each must end after it starts, within a day",
                    field="slots",
                    reason="order",
                )
        new = sorted(params.slots, key=lambda slot: slot.start)
        if any(one.end > other.start for one, other in pairwise(new)):
            raise InvalidRequest(
                "invalid_params", "slots: two overlap", field="slots", reason="overlap"
            )
        if params.cheap_hours is not msgspec.UNSET:
            told = params.cheap_hours
            self._window = self._setting if told is None else window_of(told)
        if params.price is not msgspec.UNSET:
            self._price = params.price
        old = self._clock() - KEPT_S

        def work(connection: Connection) -> list[Slot]:
            connection.execute(delete(energy_prices).where(energy_prices.c.end < old))
            for slot in new:
                _replace(connection, slot)
            return _stored(connection)

        async def put() -> None:
            self._slots = await self._db.write(work)
            self._bus.publish("energy.updated", {"slots": len(self._slots)})

        # To its end, though its time is over: what is stored is what is reckoned with.
        await asyncio.shield(put())
        return {"slots": len(self._slots)}

    def mean(self, start: float, end: float) -> float | None:
        """Return the mean price of a kilowatt-hour between two times, None where nothing tells it."""
        parts = [
            (min(end, slot.end) - max(start, slot.start), slot.price)
            for slot in self._slots
            if slot.start < end and slot.end > start
        ]
        known = sum(seconds for seconds, _ in parts)
        if not parts or known < (end - start) * (1 - 1e-6):
            return self._price
        return sum(seconds * price for seconds, price in parts) / known

    def quarters(self, now: float) -> list[float]:
        """Return the prices of the quarters of an hour from now on, as far as they are known; else none."""
        told = self._told(now)
        # A price that is known for the present hour only says nothing of when it is cheap.
        if told and (self._window is None or told[-1].end - now > PRESENT_S):
            return _steps(told, now)
        if self._window is None:
            return []
        begin, end = self._window
        return [
            _CHEAP if _within(now + (at + 0.5) * QUARTER_S, begin, end) else _DEAR
            for at in range(int(WINDOW_S / QUARTER_S))
        ]

    def _told(self, now: float) -> list[Slot]:
        """Return the slots from now on, up to the first gap."""
        found: list[Slot] = []
        reached = now
        for slot in self._slots:
            if slot.end <= now:
                continue
            if slot.start > reached + 1:
                break
            found.append(slot)
            reached = slot.end
        return found


def _stored(connection: Connection) -> list[Slot]:
    query = select(energy_prices).order_by(energy_prices.c.start)
    return [Slot(**row) for row in connection.execute(query).mappings()]


def _replace(connection: Connection, slot: Slot) -> None:
    """Put a slot in the place of what was told of its time; what was told of other times stays."""
    table = energy_prices.c
    over = and_(table.start < slot.end, table.end > slot.start)
    found = connection.execute(select(energy_prices).where(over)).mappings().all()
    connection.execute(delete(energy_prices).where(over))
    rows = [msgspec.structs.asdict(slot)]
    rows += [dict(row) | {"end": slot.start} for row in found if row["start"] < slot.start]
    rows += [dict(row) | {"start": slot.end} for row in found if row["end"] > slot.end]
    connection.execute(insert(energy_prices).values(rows))


def _steps(slots: Sequence[Slot], now: float) -> list[float]:
    found: list[float] = []
    at = 0
    middle = now + QUARTER_S / 2
    while middle < slots[-1].end:
        while slots[at].end <= middle:
            at += 1
        found.append(slots[at].price)
        middle += QUARTER_S
    return found


def _within(moment: float, begin: int, end: int) -> bool:
    """Tell whether the clock on the wall is within the window: so it is right on days of 23 and 25 hours."""
    there = time.localtime(moment)
    minute = there.tm_hour * 60 + there.tm_min
    return begin <= minute < end if begin < end else minute >= begin or minute < end


def window_of(text: str) -> tuple[int, int] | None:
    """Return the minutes of the day at which a window begins and ends; InvalidRequest ``invalid_setting``."""
    if not text:
        return None
    found = _WINDOW.fullmatch(text)
    hours = [int(part) for part in found.groups()] if found else [0, 0, 0, 0]
    begin, end = hours[0] * 60 + hours[1], hours[2] * 60 + hours[3]
    if begin == end:
        raise InvalidRequest(
            "invalid_setting",
            "Setting cheap_hours must be two times, e.g. 22:00-06:00",
            field="cheap_hours",
        )
    return begin, end
