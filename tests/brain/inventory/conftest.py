"""An inventory on a real database, and what it told everybody."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, select

from brain_server.bus import Bus
from brain_server.commands import Caller, Scope, collect, prepare
from brain_server.errors import KittyError
from brain_server.inventory import Inventory
from brain_server.inventory.books import Books
from brain_server.inventory.export import Export
from brain_server.inventory.procurement import Procurement
from brain_server.inventory.stock import Stock
from brain_server.protocol import Json
from brain_server.storage import Database, tables
from tests.brain.gatehouse import Clock

A = "a" * 32
B = "b" * 32
SPOOL = {"material": "PLA", "color": "black", "price": 20.0}


@dataclass
class Shop:
    """A brain's inventory; several may stand on one database."""

    database: Database
    clock: Clock
    known: set[str] = field(default_factory=lambda: {A, B})
    spoolman: bool = False
    told: list[tuple[str, Json]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bus = Bus()
        self.bus.listen(None, lambda event: self.told.append((event.name, event.data)))
        self.books = Books(self.database, self.bus, self.clock)
        self.inventory = Inventory(
            self.books, lambda device_id: device_id in self.known, spoolman=self.spoolman
        )
        self.stock = Stock(self.books)
        self.procurement = Procurement(self.books)
        self.services: list[object] = [
            self.inventory,
            self.stock,
            self.procurement,
            Export(self.books),
        ]

    async def run(self, action: str, who: str | None = "ada", **params: Any) -> Json:
        """Run a command as the dispatcher does."""
        caller = Caller(token="home", scope=Scope.CONTROL, user_id=who)
        spec = collect(*self.services)[action]
        found: Json = await spec.run(caller, prepare(spec, caller, params))
        return found

    async def refused(self, action: str, **params: Any) -> KittyError:
        """Return how a command was refused."""
        with pytest.raises(KittyError) as caught:
            await self.run(action, **params)
        return caught.value

    async def add(self, remaining: float = 1000.0, **more: Any) -> str:
        """Add a spool and return its id; a black PLA for 20 a kilogram if nothing else is said."""
        made = await self.run("spools.put", **(SPOOL | {"remaining_g": remaining} | more))
        return str(made["id"])

    async def spool(self, spool_id: str) -> Json:
        """Return a spool, archived or not."""
        for archived in (False, True):
            listed = await self.run("spools.list", archived=archived, limit=1000)
            for row in listed["items"]:
                if row["id"] == spool_id:
                    return dict(row)
        raise AssertionError(spool_id)

    async def rows(self, table: Table) -> list[Json]:
        """Return a table as it is stored."""
        return await self.database.read(
            lambda connection: [dict(row) for row in connection.execute(select(table)).mappings()]
        )

    def news(self, topic: str) -> list[Json]:
        """Return what was published under a name."""
        return [data for name, data in self.told if name == topic]


async def opened(url: str) -> Database:
    """Open the database of a brain."""
    made = Database(url, tables.brain, name="brain", durable=False)
    await made.open()
    return made


@pytest.fixture
async def shop(tmp_path: Path, clock: Clock) -> AsyncIterator[Shop]:
    """Give an empty inventory, in a file."""
    database = await opened(f"sqlite:///{tmp_path / 'brain.db'}")
    yield Shop(database, clock)
    await database.close()


@pytest.fixture
async def shops(database_url: str, clock: Clock) -> AsyncIterator[list[Shop]]:
    """Give the inventories of two brains on one database, of each kind in turn."""
    databases = [await opened(database_url), await opened(database_url)]
    yield [Shop(database, clock) for database in databases]
    for database in databases:
        await database.close()
