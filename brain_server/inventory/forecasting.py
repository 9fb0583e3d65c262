"""Which spool a print should take, and at which print of a plan each spool and each material runs out."""

from collections.abc import Mapping, Sequence
from typing import Final

from brain_server.inventory.rows import free_g
from brain_server.protocol import Json

_LEAST: Final = 0.01


def pick(spools: Sequence[Json], grams: float, device_id: str | None = None) -> Json | None:
    """Return the spool for so many grams: loaded on the printer, else the smallest that is enough."""
    enough = [row for row in spools if free_g(row) >= grams]
    return min(enough, key=lambda row: (_far(row, device_id), free_g(row), row["id"]), default=None)


def _far(row: Json, device_id: str | None) -> int:
    """Here, on the shelf, or loaded on another printer."""
    if device_id is None:
        return 0
    return 0 if row["device_id"] == device_id else 1 if row["device_id"] is None else 2


def forecast(
    plan: Sequence[tuple[str, str, float]],
    spools: Sequence[Json],
    held: Mapping[str, tuple[str, float]],
) -> Json:
    """Walk through a plan, (holder, material, grams) in order; ``held`` is what each holder reserved.

    Each item takes the spool that it reserved, else the smallest that is enough, else one spool after
    another. Places count from 1.
    """
    planned = {holder for holder, _, _ in plan}
    others = [(spool, grams) for holder, (spool, grams) in held.items() if holder not in planned]
    left = {row["id"]: row["remaining_g"] for row in spools}
    for spool, grams in others:
        left[spool] = max(0.0, left.get(spool, 0.0) - grams)
    kinds = {name: _Kind(name, spools, left) for _, name, _ in plan}
    ends: dict[str, tuple[int, str]] = {}
    items = []
    for place, (holder, name, grams) in enumerate(plan, start=1):
        first = held.get(holder, (None, 0.0))[0]
        taken, short = kinds[name].take(place, holder, grams, first)
        for spool in taken:
            if left[spool] <= _LEAST:
                ends.setdefault(spool, (place, holder))
        items.append(
            {
                "holder": holder,
                "material": name,
                "grams": grams,
                "spool_ids": taken,
                "short_g": round(short, 3),
            }
        )
    return {
        "items": items,
        "materials": [kind.view() for _, kind in sorted(kinds.items())],
        "spools": [
            {
                "spool_id": row["id"],
                "left_g": round(left[row["id"]], 3),
                "runs_out_at": ends.get(row["id"], (None, None))[0],
                "holder": ends.get(row["id"], (None, None))[1],
            }
            for row in spools
            if row["material"] in kinds
        ],
    }


class _Kind:
    """One material in a forecast."""

    def __init__(self, name: str, spools: Sequence[Json], left: dict[str, float]) -> None:
        self._name = name
        self._ids = [row["id"] for row in spools if row["material"] == name]
        self._left = left
        self._free = sum(left[one] for one in self._ids)
        self._needed = 0.0
        self._end: tuple[int | None, str | None] = (None, None)

    def take(
        self, place: int, holder: str, grams: float, first: str | None
    ) -> tuple[list[str], float]:
        """Take grams; returns the spools that gave, and what was missing."""
        self._needed += grams
        by_size = sorted(self._ids, key=lambda one: (self._left[one], one))
        enough = [one for one in by_size if self._left[one] >= grams - _LEAST]
        order = [one for one in (first,) if one in self._ids] + enough[:1] + by_size[::-1]
        taken: list[str] = []
        for one in order:
            if grams > _LEAST and self._left[one] > _LEAST:
                got = min(grams, self._left[one])
                self._left[one] -= got
                grams -= got
                taken.append(one)
        if grams <= _LEAST:
            return taken, 0.0
        if self._end[0] is None:
            self._end = (place, holder)
        return taken, grams

    def view(self) -> Json:
        """Return the material's line."""
        return {
            "material": self._name,
            "free_g": round(self._free, 3),
            "needed_g": round(self._needed, 3),
            "runs_out_at": self._end[0],
            "holder": self._end[1],
        }
