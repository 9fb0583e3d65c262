"""The one road by which spools change: one transaction, then everybody is told what became of it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Connection

from brain_server.bus import Bus
from brain_server.inventory import rows, shortage
from brain_server.protocol import Json
from brain_server.storage import Database
from brain_server.storage.tables import proposals, spools


@dataclass(slots=True, kw_only=True)
class Touched:
    """What a transaction changed, noted while it runs."""

    spools: set[str] = field(default_factory=set)
    # Materials whose stock changed though none of their spools did.
    materials: set[str] = field(default_factory=set)
    # Materials of which a spool was added.
    added: set[str] = field(default_factory=set)
    proposals: set[str] = field(default_factory=set)


type Work[T] = Callable[[Connection, Touched], T]


class Books:
    """Writes to the inventory, alone among all brains of a database."""

    def __init__(self, database: Database, bus: Bus, clock: Callable[[], float]) -> None:
        """Take the database, the bus and the clock."""
        self._db = database
        self._bus = bus
        self.clock = clock

    async def read[T](self, work: Callable[[Connection], T]) -> T:
        """Run a query."""
        return await self._db.read(work)

    async def write[T](self, work: Work[T]) -> T:
        """Change spools; stock and proposals follow in the same transaction, what changed is published."""
        now = self.clock()

        def run(connection: Connection) -> tuple[T, list[tuple[str, Json]]]:
            touched = Touched()
            result = work(connection, touched)
            return result, _news(connection, touched, now)

        async def tell() -> T:
            result, news = await self._db.write(run)
            for topic, row in news:
                self._bus.publish(topic, row)
            return result

        # To its end, though whoever asked goes away: what is stored is told.
        return await asyncio.shield(tell())


def _news(connection: Connection, touched: Touched, now: float) -> list[tuple[str, Json]]:
    found = rows.raw_spools(connection, spools.c.id.in_(touched.spools)) if touched.spools else []
    materials = touched.materials | touched.added | {row["material"] for row in found}
    stock = rows.stock_view(connection, materials) if materials else []
    decided = touched.proposals | shortage.review(connection, stock, touched.added, now)
    told = rows.proposal_views(connection, proposals.c.id.in_(decided)) if decided else []
    return [
        *(("spool.updated", rows.spool_view(row)) for row in found),
        *(("stock.updated", row) for row in stock),
        *(("procurement.updated", row) for row in told),
    ]
