"""Queues that look like those of a workshop, made from a seed."""

import random
from typing import Final

from brain_server.fabrication.plan import Item, Printer, Problem, Spool

SHAPES: Final = ("mixed", "two materials", "many colours", "deadlines", "one printer", "slots")
MATERIALS: Final = ("PLA", "PETG", "ABS")
COLORS: Final = ("000000", "ffffff", "e01010", "1040e0", "10a020", "ff8000")


def queue(shape: str, count: int, seed: int, *, limit_s: float = 3.0, printers: int = 3) -> Problem:
    """Return a queue of so many items, in one of several shapes."""
    chance = random.Random(f"{shape} {count} {seed}")
    if shape == "one printer":
        printers = 1
    materials = MATERIALS[:2] if shape == "two materials" else MATERIALS
    colors = COLORS if shape == "many colours" else COLORS[:3]
    spools = [
        Spool(id=f"{material} {color} {copy}", grams=20_000.0, color=color)
        for material in materials
        for color in colors
        for copy in range(printers)
    ]
    slots = 4 if shape == "slots" else 1
    loaded = chance.sample(spools, printers * slots)
    machines = [
        Printer(
            id=f"printer {at}",
            free=chance.choice((0, 0, 30, 120)),
            loaded=loaded[at * slots].id,
            stays=[one.id for one in loaded[at * slots + 1 : (at + 1) * slots]],
            watts=chance.choice((80.0, 120.0, 300.0)),
        )
        for at in range(printers)
    ]
    items = [_item(shape, at, count, chance, machines, spools) for at in range(count)]
    return Problem(items=items, printers=machines, spools=spools, limit_s=limit_s, seed=seed)


def _item(
    shape: str,
    at: int,
    count: int,
    chance: random.Random,
    printers: list[Printer],
    spools: list[Spool],
) -> Item:
    wanted = chance.choice(spools)
    words = wanted.id.split()[:2]
    minutes = chance.choice((20, 45, 60, 90, 150, 240, 400))
    fitting = (
        printers if chance.random() < 0.7 else chance.sample(printers, max(1, len(printers) - 1))
    )
    urgent = chance.random() < (0.5 if shape == "deadlines" else 0.15)
    total = count * 140 // len(printers)
    any_color = chance.random() < 0.15
    good = [
        one.id
        for one in spools
        if one.id.split()[: 1 if any_color else 2] == words[: 1 if any_color else 2]
    ]
    return Item(
        id=f"{at:04d}",
        minutes=minutes,
        options={one.id: good for one in fitting},
        grams=float(chance.randrange(5, 200)),
        priority=8 if chance.random() < 0.05 else 5,
        deadline=chance.randrange(minutes + 60, minutes + 120 + total) if urgent else None,
    )
