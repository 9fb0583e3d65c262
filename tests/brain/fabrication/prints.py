"""Prints without a printer: rows of jobs as the brain writes them, and everything that learns from them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from aiohttp import ClientSession
import pytest
from sqlalchemy import insert, select, update

from brain_server.api.link import Link
from brain_server.bus import Bus
from brain_server.commands import Caller, Scope, collect, prepare
from brain_server.devices.registry import Registry
from brain_server.drivers import DeviceInfo
from brain_server.errors import KittyError
from brain_server.fabrication.advice import Advice
from brain_server.fabrication.costs import Costs
from brain_server.fabrication.outcomes import Outcomes
from brain_server.fabrication.predict import Predictions
from brain_server.fabrication.reviews import Reviews
from brain_server.inventory import Inventory
from brain_server.inventory.books import Books
from brain_server.observability import Tasks
from brain_server.protocol import Json, Kind
from brain_server.storage import Database, tables
from brain_server.storage.tables import jobs, new_id
from tests.brain.gatehouse import Clock
from tests.brain.home import on_stage, puppets, until

STATE: Final = puppets().printer
HOUR: Final = 3600.0
A: Final = "a" * 32
B: Final = "b" * 32
C: Final = "c" * 32
NAMES: Final = {A: "A", B: "B", C: "C"}
PNG: Final = b"\x89PNG\r\n\x1a\n and a picture"


class Prints:
    """A database of prints, and those who judge, predict and advise."""

    def __init__(self, url: str, folder: Path, clock: Clock) -> None:
        """Build them; nothing is open yet."""
        self.database = Database(url, tables.brain, name="brain", durable=False)
        self.bus, self.tasks, self.clock, self.folder = Bus(), Tasks(), clock, folder
        self.told: list[tuple[str, Json]] = []
        self.bus.listen(None, lambda event: self.told.append((event.name, event.data)))
        self.reviews = Reviews(self.database, self.bus, self.tasks, folder / "evidence", clock)
        self.outcomes = Outcomes(self.database, self.bus, clock)
        self.predictions = Predictions(self.database, self.outcomes, NAMES.get)
        self.advice = Advice(self.outcomes, NAMES.get)
        self.services: list[object] = [self.reviews, self.predictions, self.advice]

    async def run(self, action: str, who: str | None = "ada", **params: Any) -> Json:
        """Run a command as the dispatcher does."""
        caller = Caller(token="home", scope=Scope.INTEGRATION, user_id=who)
        spec = collect(*self.services)[action]
        found: Json = await spec.run(caller, prepare(spec, caller, params))
        return found

    async def refused(self, action: str, **params: Any) -> str:
        """Return the code with which a command was refused."""
        with pytest.raises(KittyError) as caught:
            await self.run(action, **params)
        return caught.value.code

    async def write(self, **columns: Any) -> Json:
        """Store a print without a word about it: an hour of PLA on A that ended well a moment ago."""
        row = _row(self.clock.now) | columns
        await self.database.write(lambda connection: connection.execute(insert(jobs).values(row)))
        return await self.job(row["id"])

    async def end(self, **columns: Any) -> Json:
        """Store a print that is over, and tell of it."""
        job = await self.write(**columns)
        self.bus.publish("job.updated", job)
        await self.quiet()
        return job

    async def many(self, *kinds: tuple[int, Json]) -> None:
        """Store so many prints of each kind, told and judged by nobody."""
        rows = [
            _row(self.clock.now - HOUR + at) | columns
            for at, columns in enumerate(one for count, one in kinds for _ in range(count))
        ]
        await self.database.write(lambda connection: connection.execute(insert(jobs), rows))

    async def change(self, job_id: str, **columns: Any) -> Json:
        """Change a print and tell of it."""
        query = update(jobs).where(jobs.c.id == job_id).values(columns)
        await self.database.write(lambda connection: connection.execute(query))
        job = await self.job(job_id)
        self.bus.publish("job.updated", job)
        await self.quiet()
        return job

    async def job(self, job_id: str) -> Json:
        """Return a print as it is stored."""
        query = select(jobs).where(jobs.c.id == job_id)
        return await self.database.read(
            lambda connection: dict(connection.execute(query).mappings().one())
        )

    async def quiet(self) -> None:
        """Wait until nothing that belongs to a print is under way."""
        await until(
            lambda: not [one for one in self.tasks._tasks if " of " in one.get_name()],
            "the end of what was under way",
        )

    def of(self, name: str) -> Sequence[Json]:
        """Return what was told under a name."""
        return [data for told, data in self.told if told == name]


class Workshop(Prints):
    """The same with a printer on strings, an inventory and the costs."""

    async def furnish(self, session: ClientSession, **settings: Any) -> None:
        """Build the printer and what counts its costs."""
        self.registry = Registry(self.database, self.bus, self.tasks, session, Link(), self.clock)
        await self.registry.start()
        self.inventory = Inventory(Books(self.database, self.bus, self.clock))
        self.costs = self.count(**settings)
        self.services += [self.inventory, self.costs]

    def count(self, **settings: Any) -> Costs:
        """Return the costs, as they are when a brain starts."""
        return Costs(
            self.database,
            self.bus,
            self.tasks,
            self.registry,
            self.inventory,
            self.clock,
            **settings,
        )

    async def printer(self, device_id: str = A, **options: Any) -> Any:
        """Set up a printer and return its strings."""
        live = await self.registry.put(
            "puppet",
            {"external_id": device_id, "kind": "printer"} | options,
            device_id=device_id,
            info=DeviceInfo(
                external_id=device_id,
                name=device_id[0].upper(),
                kind=Kind.PRINTER,
                capabilities=frozenset(),
            ),
        )
        return await on_stage(live.record.external_id)


@asynccontextmanager
async def prints(url: str, folder: Path, clock: Clock) -> AsyncIterator[Prints]:
    """Open the prints for the time of a block."""
    made = Prints(url, folder, clock)
    await made.database.open()
    try:
        yield made
    finally:
        await made.tasks.stop()
        await made.database.close()


@asynccontextmanager
async def workshop(
    url: str, folder: Path, clock: Clock, **settings: Any
) -> AsyncIterator[Workshop]:
    """Open the prints with printers and costs for the time of a block."""
    made = Workshop(url, folder, clock)
    await made.database.open()
    try:
        async with ClientSession() as session:
            await made.furnish(session, **settings)
            yield made
            await made.registry.stop()
    finally:
        await made.tasks.stop()
        await made.database.close()


def _row(now: float) -> Json:
    return {
        "id": new_id(),
        "device_id": A,
        "file": "part.gcode",
        "status": "completed",
        "run": "2026-11-21T08:00:00+00:00",
        "material": "PLA",
        "artifact_id": None,
        "error": None,
        "created_at": now - HOUR,
        "started_at": now - HOUR,
        "completed_at": now,
    }
