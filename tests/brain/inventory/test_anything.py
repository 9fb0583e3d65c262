"""Whatever is done in whatever order: no spool holds less than nothing, and nothing is lost or made up."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random

import pytest

from brain_server.errors import KittyError
from brain_server.storage.tables import reservations, usage
from tests.brain.inventory.conftest import A, B, Shop

STEPS = 150


class Walk:
    """Somebody who does anything."""

    def __init__(self, shop: Shop, seed: int) -> None:
        self.shop = shop
        self.random = Random(seed)
        self.spools: list[str] = []
        self.number = 0

    def acts(self) -> list[Callable[[], Awaitable[object]]]:
        """Return what can be done."""
        shop, pick = self.shop, self.random
        grams = pick.choice((0.5, 40.0, 200.0, 999.0))
        spool = pick.choice(self.spools)
        holder = f"q{pick.randrange(8)}"
        material = pick.choice(("PLA", "ABS"))
        printer = pick.choice((A, B, None))
        return [
            self.add,
            lambda: shop.run("spools.use", spool_id=spool, grams=grams),
            lambda: shop.run("spools.load", spool_id=spool, device_id=printer),
            lambda: shop.run("spools.archive", spool_id=spool, archived=pick.random() < 0.3),
            lambda: shop.run("stock.limit", material=material, low_g=grams),
            lambda: shop.inventory.reserve(holder, material, grams, device_id=printer),
            lambda: shop.inventory.reserve(holder, material, grams),
            lambda: shop.inventory.release(holder),
            lambda: self.print(grams, holder),
            lambda: self.print(grams, holder),
        ]

    async def add(self) -> None:
        """Add a spool."""
        material = self.random.choice(("PLA", "ABS"))
        self.spools.append(await self.shop.add(1000, material=material))

    async def print(self, grams: float, holder: str) -> None:
        """Book a print, sometimes one that was booked."""
        self.number += self.random.random() < 0.8
        printer = self.random.choice((A, B))
        await self.shop.inventory.consume(f"j{self.number}", printer, grams=grams, holder=holder)

    async def step(self) -> None:
        """Do one thing; what is refused changes nothing."""
        with suppress(KittyError):
            await self.random.choice(self.acts())()


@pytest.mark.parametrize("seed", range(2))
async def test_after_each_step_the_books_are_right(shop: Shop, seed: int) -> None:
    walk = Walk(shop, seed)
    await walk.add()
    for _ in range(STEPS):
        await walk.step()
    await check(shop, walk.spools)


async def test_two_brains_at_once_keep_the_books_right(shops: list[Shop]) -> None:
    walks = [Walk(shop, seed) for seed, shop in enumerate(shops)]
    await asyncio.gather(*(walk.add() for walk in walks))

    async def go(walk: Walk) -> None:
        for _ in range(60):
            await walk.step()

    walks[1].number = 1000
    await asyncio.gather(*map(go, walks))
    await check(shops[0], [spool for walk in walks for spool in walk.spools])


async def check(shop: Shop, spools: list[str]) -> None:
    """Compare what is left with what was taken, and what is reserved with what there is."""
    took: defaultdict[str, float] = defaultdict(float)
    for row in await shop.rows(usage):
        took[row["spool_id"]] += row["grams"]
    held: defaultdict[str, float] = defaultdict(float)
    for row in await shop.rows(reservations):
        held[row["spool_id"]] += row["grams"]
    assert took
    found = [await shop.spool(one) for one in spools]
    assert [row["remaining_g"] for row in found] == pytest.approx(
        [max(0.0, 1000 - took[row["id"]]) for row in found], abs=0.01
    )
    assert [row["reserved_g"] for row in found] == pytest.approx(
        [held[row["id"]] for row in found], abs=0.01
    )
    assert [
        row for row in found if row["archived"] and (row["reserved_g"] or row["device_id"])
    ] == []
    places = [(row["device_id"], row["slot"]) for row in found if row["device_id"] is not None]
    assert len(places) == len(set(places))
    open_ = [row["material"] for row in await shop.procurement.open()]
    assert len(open_) == len(set(open_))
