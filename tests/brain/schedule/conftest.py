"""A house that works by itself: a database, a clock that tests set, and brains that share them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from brain_server.bus import Bus
from brain_server.commands import Caller, Scope
from brain_server.observability import Tasks
from brain_server.protocol import Channel, Json
from brain_server.schedule import Kind, Run, Schedule
from brain_server.schedule.commands import WorkId, WorkPage
from brain_server.storage import Database, tables
from tests.brain.gatehouse import Clock
from tests.brain.soon import SOON

PERSON = Caller(token="t", scope=Scope.CONTROL, user_id="anna", channel=Channel.DASHBOARD)


async def eventually[T](look: Callable[[], Awaitable[T | None]], limit: float = SOON) -> T:
    """Return the first true answer; TimeoutError after so many seconds."""
    async with asyncio.timeout(limit):
        while True:
            if found := await look():
                return found
            await asyncio.sleep(0.005)  # until the next look


@dataclass
class Brain:
    """One of the brains that share the work."""

    schedule: Schedule
    bus: Bus
    tasks: Tasks

    def can(self, name: str, run: Callable[[Run], Awaitable[Json | None]], **given: Any) -> None:
        """Let this brain do one kind of work."""
        self.schedule.worker.register(Kind(name=name, run=run, **{"first_wait": 0.0, **given}))

    async def stop(self) -> None:
        """End it in an orderly way."""
        await self.schedule.stop()
        await self.tasks.stop()

    async def ended(self, identity: str, *statuses: str) -> Json:
        """Return a piece of work when it is in one of these states."""
        wanted = statuses or ("completed", "dead", "cancelled")

        async def look() -> Json | None:
            row: Json = await self.schedule.work.get(PERSON, WorkId(work_id=identity))
            return row if row["status"] in wanted else None

        return await eventually(look)

    async def listed(self, **given: Any) -> list[Json]:
        """Return the work as clients see it."""
        page: Json = await self.schedule.work.listed(PERSON, WorkPage(**given))
        items: list[Json] = page["items"]
        return items


class House:
    """Makes brains that share one database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self.database = database
        self.clock = clock
        self.brains: list[Brain] = []

    def brain(self, *, lease: float = 10.0) -> Brain:
        """Make one more brain, not yet started."""
        bus, tasks = Bus(), Tasks()
        schedule = Schedule(
            self.database,
            bus,
            tasks,
            self.clock,
            owner=f"brain-{len(self.brains)}",
            lease=lease,
            look_every=0.01,
        )
        self.brains.append(Brain(schedule, bus, tasks))
        return self.brains[-1]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Give the open database of a brain, of each kind."""
    made = Database(database_url, tables.brain, name="brain", durable=False)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def home(database: Database, clock: Clock) -> AsyncIterator[House]:
    """Give a house without a brain."""
    made = House(database, clock)
    yield made
    for brain in made.brains:
        await brain.stop()


@pytest.fixture
async def brain(home: House) -> Brain:
    """Give a brain that is not yet started."""
    return home.brain()
