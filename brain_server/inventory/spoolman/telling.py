"""What was done here, told to Spoolman once."""

from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, or_, update

from brain_server.errors import Unavailable
from brain_server.inventory import changes, rows
from brain_server.inventory.books import Books, Touched
from brain_server.inventory.materials import normal
from brain_server.inventory.spoolman.agreement import LEASE, NOTHING_TOLD, mark
from brain_server.inventory.spoolman.wire import Filament, Spool, Wire, may_have_arrived
from brain_server.protocol import Json
from brain_server.storage.tables import spools

# What no scale shows is told with what follows.
LEAST: Final = 0.05
# The longest names that Spoolman takes.
_MOST: Final = 64


@dataclass(slots=True, kw_only=True)
class Teller:
    """Tells one thing after another, and counts what went through and what was refused."""

    books: Books
    wire: Wire
    told: int = 0
    created: int = 0
    failed: list[Json] = field(default_factory=list)
    _filaments: list[Filament] | None = None

    async def tell_use(self, row: Json) -> None:
        """Tell what was used here since both agreed; nothing where that is nothing."""
        if row["telling_at"] is not None or abs(_owed(row)) < LEAST:
            return
        there = await self.wire.spool(row["spoolman_id"])
        begun = None if there is None else await self._begin_use(row["id"], there)
        if begun is None:
            return
        try:
            await self.wire.use(row["spoolman_id"], begun["telling_g"])
        except Unavailable as err:
            await self._note(begun, err)
            return
        agreed = max(0.0, begun["synced_g"] - begun["telling_g"])
        if await self._end(begun, synced_g=agreed):
            self.told += 1

    async def create(self, row: Json) -> None:
        """Add a spool of ours to Spoolman, with its maker and its kind where they are missing."""
        if row["telling_at"] is not None and self.books.clock() - row["telling_at"] < LEASE:
            return
        try:
            filament_id = await self._filament_of(row)
        except Unavailable as err:
            self._refused(row, err)
            return
        begun = await self._begin_creation(row["id"])
        if begun is None:
            return
        try:
            there = await self.wire.add_spool(_body(begun, filament_id))
        except Unavailable as err:
            await self._note(begun, err)
            return
        if await self._end(begun, spoolman_id=there.id, synced_g=begun["telling_g"]):
            self.created += 1

    async def _filament_of(self, row: Json) -> int:
        if self._filaments is None:
            self._filaments = await self.wire.filaments()
        for one in self._filaments:
            if _is_of(one, row):
                return one.id
        body: Json = {
            "name": row["name"][:_MOST],
            "material": row["material"],
            "density": row["density"],
            "diameter": row["diameter_mm"],
            "weight": row["full_g"],
            "color_hex": row["color"],
            "vendor_id": await self._vendor_of(row),
        }
        made = await self.wire.add_filament(_given(body))
        self._filaments.append(made)
        return made.id

    async def _vendor_of(self, row: Json) -> int | None:
        if row["vendor"] is None:
            return None
        name = row["vendor"][:_MOST]
        for one in await self.wire.vendors():
            if one.name.casefold() == name.casefold():
                return one.id
        return (await self.wire.add_vendor({"name": name})).id

    async def _begin_use(self, spool_id: str, there: Spool) -> Json | None:
        """Write down what is going to be told; None where another brain tells it."""

        def work(connection: Connection, _touched: Touched) -> Json | None:
            row = changes.spool_of(connection, spool_id)
            # Spoolman's count of what was used does not fall below nothing.
            grams = max(_owed(row), -there.used_weight)
            if row["telling_at"] is not None or abs(grams) < LEAST:
                return None
            values = {"telling_g": grams, "telling_from": there.used_weight}
            return self._begin(connection, row, values)

        return await self.books.write(work)

    async def _begin_creation(self, spool_id: str) -> Json | None:
        """Write down what a spool is going to begin with there; None where another brain adds it."""
        now = self.books.clock()

        def work(connection: Connection, _touched: Touched) -> Json | None:
            free = or_(spools.c.telling_at.is_(None), spools.c.telling_at <= now - LEASE)
            same = spools.c.id == spool_id, spools.c.spoolman_id.is_(None), free
            found = rows.raw_spools(connection, *same)
            return self._begin(connection, found[0], _first(found[0])) if found else None

        return await self.books.write(work)

    def _begin(self, connection: Connection, row: Json, values: Json) -> Json:
        begun = values | {"telling_at": self.books.clock()}
        connection.execute(update(spools).where(spools.c.id == row["id"]).values(begun))
        return row | begun

    async def _note(self, begun: Json, error: Unavailable) -> None:
        """Take back what certainly did not arrive; what may have is looked for later."""
        if not may_have_arrived(error):
            await self._end(begun)
        self._refused(begun, error)

    def _refused(self, row: Json, error: Unavailable) -> None:
        """Go on where only this one was refused; Unavailable where Spoolman is away."""
        if error.code == "spoolman_unreachable":
            raise error
        self.failed.append({"spool_id": row["id"], "reason": error.fields["reason"]})

    async def _end(self, begun: Json, **values: Any) -> bool:
        """End what was begun; False when somebody else has settled it meanwhile."""

        def work(connection: Connection, touched: Touched) -> bool:
            mine = spools.c.id == begun["id"], spools.c.telling_at == begun["telling_at"]
            ended = update(spools).where(*mine).values(NOTHING_TOLD | values)
            if connection.execute(ended).rowcount != 1:
                return False
            if "spoolman_id" in values:
                touched.spools.add(begun["id"])
            return True

        return await self.books.write(work)


def _owed(row: Json) -> float:
    """Return the grams that were used here and are not agreed on."""
    return float(row["synced_g"] - row["remaining_g"])


def _first(row: Json) -> Json:
    return {"telling_g": row["remaining_g"], "telling_from": None}


def _is_of(one: Filament, row: Json) -> bool:
    """Tell whether a kind of filament is the one that a spool of ours is of."""
    vendor = None if one.vendor is None else one.vendor.name.casefold()
    wanted = None if row["vendor"] is None else row["vendor"][:_MOST].casefold()
    color = (one.color_hex or "").removeprefix("#").lower()[:6] or None
    return (
        normal(one.material or "") == row["material"]
        and (vendor, color) == (wanted, row["color"])
        and abs(one.diameter - row["diameter_mm"]) < 0.01
        and abs(one.density - row["density"]) < 0.005
    )


def _body(row: Json, filament_id: int) -> Json:
    full = max(row["full_g"], row["telling_g"])
    return _given(
        {
            "filament_id": filament_id,
            "initial_weight": full,
            "used_weight": full - row["telling_g"],
            "price": rows.money(row["price_micro"]),
            "location": row["location"] and row["location"][:_MOST],
            "comment": mark(row["id"]),
        }
    )


def _given(body: Json) -> Json:
    return {name: value for name, value in body.items() if value is not None}
