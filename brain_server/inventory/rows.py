"""Spools, stock, use and proposals as they are stored, and as everybody sees them."""

from collections import defaultdict
from collections.abc import Collection
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, func, select

from brain_server.protocol import Json
from brain_server.storage.tables import proposals, reservations, spools, stock_limits, usage

MICRO: Final = 1_000_000
MOST: Final = 2**62  # what a column holds, and then some
_HIDDEN: Final = frozenset({"price_micro", "synced_g", "telling_g", "telling_from", "telling_at"})


def micro(money: float | None) -> int | None:
    """Return money in millionths of the currency."""
    return None if money is None else int((Decimal(str(money)) * MICRO).to_integral_value())


def money(amount: int | None) -> float | None:
    """Return millionths as units of the currency."""
    return None if amount is None else amount / MICRO


def cost_of(spool: Json, grams: float) -> int | None:
    """Return what so many grams of a spool cost, in millionths; None where its price is not known."""
    price = spool["price_micro"]
    return None if price is None else min(round(price * grams / spool["full_g"]), MOST)


def raw_spools(connection: Connection, *where: ColumnElement[bool]) -> list[Json]:
    """Return the rows of spools, oldest first, each with the grams that are reserved on it."""
    taken = (
        select(reservations.c.spool_id, func.sum(reservations.c.grams).label("grams"))
        .group_by(reservations.c.spool_id)
        .subquery()
    )
    query = (
        select(spools, func.coalesce(taken.c.grams, 0.0).label("reserved_g"))
        .outerjoin(taken, taken.c.spool_id == spools.c.id)
        .where(*where)
        .order_by(spools.c.id)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def free_g(spool: Json) -> float:
    """Return the grams of a spool that nobody has reserved."""
    return max(0.0, float(spool["remaining_g"] - spool["reserved_g"]))


def spool_view(row: Json) -> Json:
    """Return a spool as everybody sees it."""
    seen = {name: value for name, value in row.items() if name not in _HIDDEN}
    return seen | {
        "remaining_g": round(row["remaining_g"], 3),
        "reserved_g": round(row["reserved_g"], 3),
        "free_g": round(free_g(row), 3),
        "percent": round(min(100.0, 100 * row["remaining_g"] / row["full_g"]), 1),
        "price": money(row["price_micro"]),
    }


def stock_view(connection: Connection, materials: Collection[str] | None = None) -> list[Json]:
    """Return one row for each material: of these, or of all that there are or that have a limit."""
    limits = {row["material"]: row for row in connection.execute(select(stock_limits)).mappings()}
    here = spools.c.archived.is_(False)
    chosen = [here] if materials is None else [here, spools.c.material.in_(materials)]
    by_material: defaultdict[str, list[Json]] = defaultdict(list)
    for row in raw_spools(connection, *chosen):
        by_material[row["material"]].append(row)
    names = {*by_material, *limits} if materials is None else materials
    return [_stock(name, by_material[name], limits.get(name)) for name in sorted(names)]


def _stock(material: str, rows: list[Json], limit: Any) -> Json:
    total = sum(row["remaining_g"] for row in rows)
    return {
        "material": material,
        "spools": len(rows),
        "total_g": round(total, 3),
        "reserved_g": round(sum(row["reserved_g"] for row in rows), 3),
        "free_g": round(sum(free_g(row) for row in rows), 3),
        "low_g": None if limit is None else limit["low_g"],
        "order_g": None if limit is None else limit["order_g"],
        "low": limit is not None and total < limit["low_g"],
        # Neither a spool nor a limit is left: whoever keeps a row of it may drop it.
        "archived": not rows and limit is None,
    }


def proposal_views(connection: Connection, *where: ColumnElement[bool]) -> list[Json]:
    """Return proposals as everybody sees them, oldest first."""
    query = select(proposals).where(*where).order_by(proposals.c.id)
    return [proposal_view(dict(row)) for row in connection.execute(query).mappings()]


def proposal_view(row: Json) -> Json:
    """Return a proposal as everybody sees it."""
    hidden = {"settled", "cost_micro"}
    seen = {name: value for name, value in row.items() if name not in hidden}
    return seen | {"cost": money(row["cost_micro"])}


def usage_view(row: Json) -> Json:
    """Return a use as everybody sees it."""
    seen = {name: value for name, value in row.items() if name != "cost_micro"}
    return seen | {"grams": round(row["grams"], 3), "cost": money(row["cost_micro"])}


def price_per_gram(connection: Connection, material: str, among: int) -> float | None:
    """Return millionths for a gram, from the last spools of a material that had a price."""
    query = (
        select(spools.c.price_micro, spools.c.full_g)
        .where(spools.c.material == material, spools.c.price_micro.is_not(None))
        .order_by(spools.c.id.desc())
        .limit(among)
    )
    found = connection.execute(query).all()
    return sum(price for price, _ in found) / sum(full for _, full in found) if found else None


def used_by(connection: Connection, job_id: str) -> Json | None:
    """Return what was booked for a print, or None."""
    row = connection.execute(select(usage).where(usage.c.job_id == job_id)).mappings().first()
    return None if row is None else dict(row)
