"""How much of each material there is, and from when on it is too little."""

from sqlalchemy import Connection, delete, insert

from brain_server.commands import Caller, Page, Params, Scope, command, paged
from brain_server.inventory import materials, rows
from brain_server.inventory.asked import Grams, Some, Word
from brain_server.inventory.books import Books, Touched
from brain_server.inventory.changes import FULL
from brain_server.protocol import Json
from brain_server.storage.tables import stock_limits


class Limit(Params):
    """From which weight on a material is short, and how much is then proposed to buy; null: never."""

    material: Word
    low_g: Grams | None
    order_g: Some = FULL


class Stock:
    """Adds spools up by material."""

    def __init__(self, books: Books) -> None:
        """Take the books."""
        self._books = books

    async def all(self) -> list[Json]:
        """Return one row for each material."""
        return await self._books.read(rows.stock_view)

    @command(
        "stock.list",
        Scope.READ,
        read_only=True,
        tool="List the filament in stock by material: grams in all, reserved, free, and whether it is too little.",
    )
    async def list(self, _caller: Caller, params: Page) -> Json:
        """List the stock, one row for each material."""
        return paged(await self.all(), params, key="material")

    @command("stock.limit", Scope.CONTROL, capability="inventory")
    async def limit(self, _caller: Caller, params: Limit) -> Json:
        """Set or remove the limit of a material; below it, something to buy is proposed."""
        name = materials.normal(params.material)

        def work(connection: Connection, touched: Touched) -> Json:
            connection.execute(delete(stock_limits).where(stock_limits.c.material == name))
            if params.low_g is not None:
                values = {"material": name, "low_g": params.low_g, "order_g": params.order_g}
                connection.execute(insert(stock_limits).values(values))
            touched.materials.add(name)
            [row] = rows.stock_view(connection, [name])
            return row

        return await self._books.write(work)
