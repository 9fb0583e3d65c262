"""When something should be bought: one proposal for each shortage, however often it is looked at.

A proposal belongs to a shortage until it is *settled*. While one is not, there is no other for its
material; so one that was rejected comes back only after the stock has been above its limit.
"""

from collections.abc import Collection
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, insert, not_, or_, select, update

from brain_server.inventory.rows import price_per_gram
from brain_server.protocol import Json
from brain_server.storage.tables import new_id, proposals

BELOW: Final = "below_limit"
# How many spools, the last ones that were bought, tell what the next one likely costs.
PRICES: Final = 5


def review(
    connection: Connection, stock: list[Json], added: Collection[str], now: float
) -> set[str]:
    """Propose what is missing and close what is no longer; returns the proposals that changed."""
    changed: set[str] = set()
    for row in stock:
        if row["material"] in added:
            changed |= _close(connection, row["material"], now, proposals.c.status == "approved")
        if not row["low"]:
            changed |= _close(connection, row["material"], now, proposals.c.status != "approved")
        elif (made := _propose(connection, row, now)) is not None:
            changed.add(made)
    return changed


def _close(
    connection: Connection, material: str, now: float, which: ColumnElement[bool]
) -> set[str]:
    """Settle proposals of a shortage that is over; one that nobody rejected is done."""
    open_ = and_(proposals.c.material == material, not_(proposals.c.settled), which)
    found = connection.execute(select(proposals.c.id, proposals.c.status).where(open_)).all()
    if not found:
        return set()
    ids = [row.id for row in found]
    done = [row.id for row in found if row.status in {"proposed", "approved"}]
    connection.execute(update(proposals).where(proposals.c.id.in_(ids)).values(settled=True))
    connection.execute(
        update(proposals).where(proposals.c.id.in_(done)).values(status="done", decided_at=now)
    )
    return set(done)


def _propose(connection: Connection, row: Json, now: float) -> str | None:
    same = and_(proposals.c.material == row["material"], not_(proposals.c.settled))
    if connection.execute(select(proposals.c.id).where(same)).first() is not None:
        return None
    price = price_per_gram(connection, row["material"], PRICES)
    made = new_id()
    connection.execute(
        insert(proposals).values(
            id=made,
            material=row["material"],
            grams=row["order_g"],
            cost_micro=None if price is None else round(price * row["order_g"]),
            reason=BELOW,
            status="proposed",
            settled=False,
            created_at=now,
        )
    )
    return made


def to_show() -> ColumnElement[bool]:
    """Return what tells the proposals that wait for somebody."""
    return or_(proposals.c.status == "proposed", proposals.c.status == "approved")
