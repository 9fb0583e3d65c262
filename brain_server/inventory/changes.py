"""How spools change, inside a transaction of the books."""

from typing import Any, Final

from sqlalchemy import Connection, delete, insert, select, update

from brain_server.errors import Conflict, InvalidRequest, NotFound
from brain_server.inventory import colors, materials, rows
from brain_server.inventory.books import Touched
from brain_server.protocol import Json
from brain_server.storage.tables import new_id, reservations, spools, usage

# A hundredth of a gram is not a shortage.
EPSILON: Final = 0.01
FULL: Final = 1000.0
# What a printer says beyond this, in grams or in millimetres, is no measurement.
MOST: Final = 1e8


def put_away(connection: Connection, touched: Touched, row: Json, *, archived: bool) -> None:
    """Archive a spool, or take it back."""
    if archived:
        connection.execute(delete(reservations).where(reservations.c.spool_id == row["id"]))
        change(connection, touched, row["id"], archived=True, device_id=None, slot=None)
    else:
        touched.added.add(row["material"])
        change(connection, touched, row["id"], archived=False)


def spool_of(connection: Connection, spool_id: str) -> Json:
    """Return the row of a spool; NotFound ``spool_not_found``."""
    found = rows.raw_spools(connection, spools.c.id == spool_id)
    if not found:
        raise NotFound("spool_not_found", "There is no such spool")
    return found[0]


def usable(connection: Connection, spool_id: str) -> Json:
    """Return the row of a spool that is not archived; Conflict ``spool_archived``."""
    row = spool_of(connection, spool_id)
    if row["archived"]:
        raise Conflict("spool_archived", "This spool is archived")
    return row


def change(connection: Connection, touched: Touched, spool_id: str, **values: Any) -> None:
    """Change columns of a spool, and have it told."""
    if values:
        connection.execute(update(spools).where(spools.c.id == spool_id).values(values))
    touched.spools.add(spool_id)


def held_by(connection: Connection, holder: str) -> Json | None:
    """Return what a holder has reserved, or None."""
    query = select(reservations).where(reservations.c.holder == holder)
    row = connection.execute(query).mappings().first()
    return None if row is None else dict(row)


def release(connection: Connection, touched: Touched, holder: str) -> bool:
    """Drop what a holder has reserved; False when it had nothing."""
    held = held_by(connection, holder)
    if held is None:
        return False
    connection.execute(delete(reservations).where(reservations.c.holder == holder))
    touched.spools.add(held["spool_id"])
    return True


def columns(given: Json) -> Json:
    """Return what a person gave as columns."""
    values = dict(given)
    if "material" in values:
        values["material"] = materials.normal(values["material"])
    if "color" in values:
        values["color"], values["color_name"] = colors.given(values["color"])
    if "price" in values:
        values["price_micro"] = rows.micro(values.pop("price"))
    return values


def changes(row: Json, values: Json) -> Json:
    """Return what changes; another material brings its own density, where none is told."""
    if "density" in values or values.get("material", row["material"]) != row["material"]:
        material = str(values.get("material", row["material"]))
        return values | {"density": materials.density_of(material, values.get("density"))}
    return values


def add(connection: Connection, touched: Touched, values: Json, now: float) -> Json:
    """Add a spool; it is full and named for what it is, where nothing else is said."""
    if "material" not in values:
        raise InvalidRequest("invalid_params", "A spool has a material", reason="material")
    material = values["material"]
    full = values.get("full_g", FULL)
    words = (values.get("vendor"), material, values.get("color_name") or values.get("color"))
    standard: Json = {
        "id": new_id(),
        "name": " ".join(word for word in words if word),
        "full_g": full,
        "remaining_g": full,
        "archived": False,
        "created_at": now,
    }
    density = materials.density_of(material, values.get("density"))
    row = standard | values | {"density": density}
    connection.execute(insert(spools).values(row))
    touched.spools.add(row["id"])
    touched.added.add(material)
    return spool_of(connection, row["id"])


def spool_of_job(
    connection: Connection,
    device_id: str,
    material: str | None,
    holder: str | None,
    slot: int | None,
) -> Json | None:
    """Return the spool that a print was fed from, as far as anybody knows."""
    found = None if holder is None else held_by(connection, holder)
    held = None if found is None else found["spool_id"]
    loaded = [
        row
        for row in rows.raw_spools(connection, spools.c.device_id == device_id)
        if material in {None, row["material"]} and slot in {None, row["slot"]}
    ]
    if loaded:
        return min(loaded, key=lambda row: (row["id"] != held, row["slot"]))
    return None if held is None else spool_of(connection, held)


def book(
    connection: Connection,
    touched: Touched,
    row: Json,
    grams: float,
    source: str,
    now: float,
    *,
    job_id: str | None = None,
) -> Json:
    """Take grams from a spool, down to nothing, and write down who took how much."""
    booked: Json = {
        "id": new_id(),
        "spool_id": row["id"],
        "job_id": job_id,
        "grams": grams,
        "cost_micro": rows.cost_of(row, grams),
        "source": source,
        "at": now,
    }
    connection.execute(insert(usage).values(booked))
    left = max(0.0, row["remaining_g"] - grams)
    change(connection, touched, row["id"], remaining_g=left, used_at=now)
    return told(booked, grams, max(0.0, grams - row["remaining_g"]))


def measure(amount: float | None) -> float:
    """Return a weight or a length that can be one; InvalidRequest otherwise."""
    if amount is None or not 0 <= amount <= MOST:
        raise InvalidRequest("invalid_params", "grams or mm must be a number", reason="grams, mm")
    return float(amount)


def weigh(grams: float | None, mm: float | None, spool: Json) -> float:
    """Return the grams that were taken from a spool."""
    if grams is not None:
        return grams
    return materials.grams_of(mm or 0.0, spool["density"], spool["diameter_mm"])


def guess(grams: float | None, mm: float | None, material: str | None) -> float | None:
    """Return the grams that were taken from some spool that nobody told us of."""
    density = materials.DENSITIES.get(material or "")
    if grams is not None or mm is None or density is None:
        return grams
    return materials.grams_of(mm, density)


def told(booked: Json | None, grams: float | None, overdrawn: float = 0.0) -> Json:
    """Return what is answered of a use; without a spool nothing was booked."""
    cost = None if booked is None else booked["cost_micro"]
    return {
        "spool_id": None if booked is None else booked["spool_id"],
        "grams": None if grams is None else round(grams, 3),
        "cost": rows.money(cost),
        "cost_micro": cost,
        "overdrawn_g": round(overdrawn, 3),
        "warnings": ["spool_overdrawn"] if overdrawn > EPSILON else [],
        "again": False,
    }
