"""What Spoolman says of its spools, brought into our rows in one transaction."""

import re
from typing import Any, Final

from sqlalchemy import Connection

from brain_server.inventory import changes, colors, materials, rows
from brain_server.inventory.books import Touched, Work
from brain_server.inventory.spoolman.wire import Spool
from brain_server.protocol import Json

# Less than a pinch: two sides that count in floats do not argue about it.
PINCH: Final = 0.01
# No spool weighs or costs more.
MOST: Final = 1e6
# So long after it began, what is being told has arrived, or never will.
LEASE: Final = 120.0
NOTHING_TOLD: Final[Json] = {"telling_g": None, "telling_from": None, "telling_at": None}
_MARK: Final = re.compile(r"kitty:([0-9a-f]{32})")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]+")


def mark(spool_id: str) -> str:
    """Return the comment by which a spool that we made there is known again."""
    return f"Added by KITTY (kitty:{spool_id})"


def is_open(row: Json, now: float) -> bool:
    """Tell whether something may still be on its way to Spoolman."""
    return row["telling_at"] is not None and now - row["telling_at"] < LEASE


def pull(connection: Connection, touched: Touched, there: list[Spool], now: float) -> Json:
    """Bring what Spoolman has into our rows; returns what was done."""
    ours = rows.raw_spools(connection)
    linked = {row["spoolman_id"]: row for row in ours if row["spoolman_id"] is not None}
    unlinked = {row["id"]: row for row in ours if row["spoolman_id"] is None}
    done: Json = {"seen": len(there), "added": 0, "changed": 0, "skipped": []}
    for one in there:
        row = linked.get(one.id) or unlinked.pop(_marked(one), None)
        reason = _unusable(one)
        if reason is not None:
            done["skipped"].append({"spoolman_id": one.id, "reason": reason})
        elif row is None:
            _add(connection, touched, one, now)
            done["added"] += 1
        elif not is_open(row, now) or row["spoolman_id"] is None:
            done["changed"] += _agree(connection, touched, row, one, now)
    return done


def forgetting(row: Json) -> Work[None]:
    """Return what puts away a spool that Spoolman no longer has."""

    def work(connection: Connection, touched: Touched) -> None:
        if not row["archived"]:
            changes.put_away(connection, touched, row, archived=True)
        values = NOTHING_TOLD | {"spoolman_id": None, "synced_g": None}
        changes.change(connection, touched, row["id"], **values)

    return work


def _marked(one: Spool) -> str:
    found = _MARK.search(one.comment or "")
    return found[1] if found else ""


def _unusable(one: Spool) -> str | None:
    """Say why a spool cannot be counted here, or None."""
    if one.full_g is None or not 1 <= one.full_g <= MOST or one.filament.density <= 0:
        return "no_weight"
    return None if _clean(one.filament.material, 32) else "no_material"


def _agree(connection: Connection, touched: Touched, row: Json, one: Spool, now: float) -> int:
    """Bring one spool of both sides together; 1 when something of ours changed."""
    full_g = one.full_g or 0.0
    left = one.left_g(full_g)
    agreed, values = _settled(row, one, left)
    fields = _fields(one, full_g)
    if fields["color"] == row["color"]:
        del fields["color_name"]
    used = agreed - left
    if abs(used) > PINCH:
        values["synced_g"] = left
        if used > 0:
            changes.book(connection, touched, row, used, "spoolman", now)
        else:
            values["remaining_g"] = row["remaining_g"] - used
    values |= {name: value for name, value in fields.items() if value != row[name]}
    if values:
        touched.materials.add(row["material"])
        changes.change(connection, touched, row["id"], **values)
    if row["archived"] != one.archived:
        changes.put_away(connection, touched, row | values, archived=one.archived)
    return int(bool(values) or row["archived"] != one.archived)


def _settled(row: Json, one: Spool, left: float) -> tuple[float, Json]:
    """Return what both agreed on, after it is clear whether what was being told arrived."""
    if row["spoolman_id"] is None:
        # We made it there, and did not live to see it: it began with what we told.
        agreed = left if row["telling_g"] is None else row["telling_g"]
        return agreed, NOTHING_TOLD | {"spoolman_id": one.id, "synced_g": agreed}
    agreed = row["synced_g"]
    if row["telling_at"] is None:
        return agreed, {}
    if arrived(row["telling_g"], one.used_weight - row["telling_from"]):
        agreed = max(0.0, agreed - row["telling_g"])
    return agreed, NOTHING_TOLD | {"synced_g": agreed}


def arrived(told: float, moved: float) -> bool:
    """Tell from how far Spoolman's count moved whether our grams are in it.

    Where somebody else used at least as much meanwhile, nobody can know; then it counts as arrived, so that
    it is never counted twice.
    """
    return moved >= told - PINCH if told > 0 else moved <= told + PINCH


def _add(connection: Connection, touched: Touched, one: Spool, now: float) -> None:
    full_g = one.full_g or 0.0
    left = one.left_g(full_g)
    agreed = {"remaining_g": left, "synced_g": left, "spoolman_id": one.id}
    row = changes.add(connection, touched, _fields(one, full_g) | agreed, now)
    if one.archived:
        touched.added.discard(row["material"])
        changes.put_away(connection, touched, row, archived=True)


def _fields(one: Spool, full_g: float) -> dict[str, Any]:
    """Return what Spoolman decides about a spool, as our columns."""
    filament = one.filament
    material = materials.normal(_clean(filament.material, 32) or "")[:32]
    vendor = _clean(filament.vendor.name, 255) if filament.vendor is not None else None
    price = filament.price if one.price is None else one.price
    told = filament.color_hex or (filament.multi_color_hexes or "").partition(",")[0]
    return {
        "name": _clean(filament.name, 255) or " ".join(filter(None, (vendor, material))),
        "vendor": vendor,
        "material": material,
        "color": colors.parsed(f"#{told.removeprefix('#')}") if told else None,
        "color_name": None,
        "diameter_mm": filament.diameter,
        "density": filament.density,
        "full_g": full_g,
        "price_micro": None if price is None else rows.micro(min(max(0.0, price), MOST)),
        "location": _clean(one.location, 255),
    }


def _clean(text: str | None, most: int) -> str | None:
    """Return one line of text of at most so many letters, or None where nothing is left."""
    return _CONTROL.sub(" ", text or "").strip()[:most] or None
