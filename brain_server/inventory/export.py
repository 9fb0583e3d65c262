"""Spools, stock and use as files that a spreadsheet opens, and that run nothing in it."""

import base64
import io
import json
import re
from typing import Any, Final, Literal

from sqlalchemy import Connection, select

from brain_server.commands import Caller, Params, Scope, command
from brain_server.inventory import rows
from brain_server.inventory.asked import Id
from brain_server.inventory.books import Books
from brain_server.protocol import Json
from brain_server.storage.tables import spools, usage

# So many rows fit into one answer; the cursor leads to the rest.
MOST_ROWS: Final = 1000
# With these a spreadsheet takes a cell for a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
# Some take these for the end of a cell, too.
_AFTER: Final = re.compile(r"([;\t\r\n] *)(?=[=+\-@])")
_TYPES: Final = {"csv": "text/csv; charset=utf-8", "json": "application/json"}


class ExportParams(Params):
    """What to export, and in which form."""

    format: Literal["csv", "json"] = "csv"
    what: Literal["spools", "stock", "usage"] = "spools"
    cursor: Id | None = None


class Export:
    """Writes the inventory as files."""

    def __init__(self, books: Books) -> None:
        """Take the books."""
        self._books = books

    @command("inventory.export", Scope.READ, read_only=True)
    async def export(self, _caller: Caller, params: ExportParams) -> Json:
        """Return spools (archived ones, too), stock or use as a CSV or JSON file, oldest first."""

        def work(connection: Connection) -> list[Json]:
            return _found(connection, params.what, params.cursor or "")

        found = await self._books.read(work)
        part = found if params.what == "stock" else found[:MOST_ROWS]
        text = as_csv(part) if params.format == "csv" else json.dumps(part, ensure_ascii=False)
        return {
            "name": f"{params.what}.{params.format}",
            "content_type": _TYPES[params.format],
            "data": base64.b64encode(text.encode()).decode(),
            "rows": len(part),
            "cursor": part[-1]["id"] if len(found) > len(part) else None,
        }


def _found(connection: Connection, what: str, after: str) -> list[Json]:
    """Return the rows after a cursor, one more than fit."""
    if what == "stock":
        return [] if after else rows.stock_view(connection)
    if what == "spools":
        found = rows.raw_spools(connection, spools.c.id > after)
        return [rows.spool_view(row) for row in found[: MOST_ROWS + 1]]
    query = (
        select(usage, spools.c.material, spools.c.name)
        .select_from(usage.join(spools))
        .where(usage.c.id > after)
        .order_by(usage.c.id)
        .limit(MOST_ROWS + 1)
    )
    return [rows.usage_view(dict(row)) for row in connection.execute(query).mappings()]


def as_csv(found: list[Json]) -> str:
    """Return rows as CSV; text that a spreadsheet would run is marked as text with an apostrophe."""
    import csv  # noqa: PLC0415 - only who exports needs it

    out = io.StringIO()
    writer = csv.DictWriter(out, list(found[0]) if found else [])
    if found:
        writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in found)
    return out.getvalue()


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = _AFTER.sub(r"\1'", value)
    return f"'{text}" if value.lstrip(" ").startswith(_FORMULA) else text
