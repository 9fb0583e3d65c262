"""Spools: what a person says of them, and what is never said of them."""

import asyncio
from typing import Any

import pytest

from brain_server.errors import Unavailable
from brain_server.inventory.materials import DENSITIES
from brain_server.observability import Tasks
from brain_server.storage.tables import usage
from tests.brain.home import until
from tests.brain.inventory.conftest import A, B, Shop

NOBODY = "f" * 32


async def test_a_new_spool_is_full_and_has_the_density_of_its_material(shop: Shop) -> None:
    made = await shop.run("spools.put", material="petg", color="Galaxy Black", vendor="Prusament")
    assert made["name"] == "Prusament PETG galaxy black"
    assert (made["material"], made["color"], made["color_name"]) == (
        "PETG",
        "000000",
        "galaxy black",
    )
    assert (made["remaining_g"], made["full_g"], made["percent"]) == (1000.0, 1000.0, 100.0)
    assert (made["density"], made["diameter_mm"]) == (DENSITIES["PETG"], 1.75)
    assert (made["price"], made["device_id"], made["archived"]) == (None, None, False)


async def test_a_new_spool_is_told_to_everybody(shop: Shop) -> None:
    made = await shop.run("spools.put", material="PLA")
    assert shop.news("spool.updated") == [made]
    assert [row["total_g"] for row in shop.news("stock.updated")] == [1000.0]


async def test_only_what_is_given_changes(shop: Shop) -> None:
    spool = await shop.add(price=25.0, location="shelf", color="#ff0000")
    changed = await shop.run("spools.put", spool_id=spool, remaining_g=400.0, price=None)
    assert (changed["remaining_g"], changed["price"]) == (400.0, None)
    assert (changed["location"], changed["color"]) == ("shelf", "ff0000")


async def test_a_change_of_nothing_changes_nothing(shop: Shop) -> None:
    spool = await shop.add()
    before = await shop.spool(spool)
    assert await shop.run("spools.put", spool_id=spool) == before


async def test_another_material_brings_its_density(shop: Shop) -> None:
    spool = await shop.add()
    changed = await shop.run("spools.put", spool_id=spool, material="abs")
    assert changed["density"] == DENSITIES["ABS"]
    told = await shop.run("spools.put", spool_id=spool, density=1.5)
    assert told["density"] == 1.5
    assert (await shop.run("spools.put", spool_id=spool, density=None))["density"] == 1.04


async def test_both_materials_of_a_changed_spool_have_their_stock_told(shop: Shop) -> None:
    spool = await shop.add()
    shop.told.clear()
    await shop.run("spools.put", spool_id=spool, material="ABS")
    told = {row["material"]: row for row in shop.news("stock.updated")}
    assert (told["PLA"]["spools"], told["PLA"]["archived"]) == (0, True)
    assert (told["ABS"]["spools"], told["ABS"]["archived"]) == (1, False)


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({}, "invalid_params"),
        ({"material": "unobtainium"}, "density_unknown"),
        ({"material": "PLA", "color": "blurple"}, "unknown_color"),
        ({"material": "PLA", "remaining_g": -1}, "invalid_params"),
        ({"material": "PLA", "full_g": 0}, "invalid_params"),
        ({"material": "PLA", "price": -0.01}, "invalid_params"),
        ({"material": "PLA", "name": "\0"}, "invalid_params"),
        ({"material": " "}, "invalid_params"),
        ({"spool_id": NOBODY, "material": "PLA"}, "spool_not_found"),
    ],
)
async def test_what_cannot_be_a_spool_is_refused(shop: Shop, params: dict, code: str) -> None:
    assert (await shop.refused("spools.put", **params)).code == code
    assert (await shop.run("spools.list"))["items"] == []


async def test_a_material_that_nobody_knows_needs_a_density(shop: Shop) -> None:
    made = await shop.run("spools.put", material="unobtainium", density=0.5)
    assert (made["material"], made["density"]) == ("UNOBTAINIUM", 0.5)


async def test_the_list_is_by_material_by_printer_and_in_pages(shop: Shop) -> None:
    first, second = await shop.add(), await shop.add(material="ABS")
    third = await shop.add()
    await shop.run("spools.load", spool_id=third, device_id=A)

    async def ids(**params: object) -> list[str]:
        return [row["id"] for row in (await shop.run("spools.list", **params))["items"]]

    assert await ids() == [first, second, third]
    assert await ids(material="pla+") == [first, third]
    assert await ids(device_id=A) == [third]
    page = await shop.run("spools.list", limit=2)
    assert page["cursor"] == second
    assert await ids(cursor=second) == [third]


# -- use ----------------------------------------------------------------------------------------------


async def test_what_a_person_takes_is_gone_and_costs(shop: Shop) -> None:
    spool = await shop.add()
    used = await shop.run("spools.use", spool_id=spool, grams=250)
    assert (used["grams"], used["cost"], used["warnings"]) == (250, 5.0, [])
    assert used["spool"]["remaining_g"] == 750.0
    [row] = await shop.rows(usage)
    assert (row["source"], row["cost_micro"], row["job_id"]) == ("person", 5_000_000, None)


async def test_millimetres_become_grams_by_the_spool(shop: Shop) -> None:
    thin, thick = await shop.add(), await shop.add(diameter_mm=2.85)
    one = await shop.run("spools.use", spool_id=thin, mm=1000)
    other = await shop.run("spools.use", spool_id=thick, mm=1000)
    assert one["grams"] == pytest.approx(2.983, abs=0.001)
    assert other["grams"] == pytest.approx(7.910, abs=0.001)


async def test_a_spool_never_holds_less_than_nothing(shop: Shop) -> None:
    spool = await shop.add(100)
    used = await shop.run("spools.use", spool_id=spool, grams=130)
    assert (used["grams"], used["overdrawn_g"]) == (130, 30)
    assert used["warnings"] == ["spool_overdrawn"]
    assert (used["spool"]["remaining_g"], used["spool"]["percent"]) == (0.0, 0.0)


async def test_use_is_in_grams_or_in_millimetres(shop: Shop) -> None:
    spool = await shop.add()
    assert (await shop.refused("spools.use", spool_id=spool)).code == "invalid_params"
    both = await shop.refused("spools.use", spool_id=spool, grams=1, mm=1)
    assert both.code == "invalid_params"


async def test_the_list_of_uses_has_sums_of_all_of_them(shop: Shop) -> None:
    pla, abs_ = await shop.add(), await shop.add(material="ABS", price=None)
    for spool, grams in ((pla, 10), (pla, 20), (abs_, 5)):
        shop.clock.now += 1
        await shop.run("spools.use", spool_id=spool, grams=grams)
    page = await shop.run("inventory.usage", limit=1)
    assert page["materials"] == [
        {"material": "ABS", "uses": 1, "grams": 5, "cost": None},
        {"material": "PLA", "uses": 2, "grams": 30, "cost": 0.6},
    ]
    assert [row["grams"] for row in page["items"]] == [10]
    rest = await shop.run("inventory.usage", cursor=page["cursor"])
    assert [row["grams"] for row in rest["items"]] == [20, 5]


async def test_uses_are_found_by_spool_material_and_time(shop: Shop) -> None:
    pla, abs_ = await shop.add(), await shop.add(material="ABS")
    await shop.run("spools.use", spool_id=pla, grams=10)
    shop.clock.now += 100
    await shop.run("spools.use", spool_id=abs_, grams=5)

    async def grams(**params: object) -> list[float]:
        return [row["grams"] for row in (await shop.run("inventory.usage", **params))["items"]]

    assert await grams(spool_id=pla) == [10]
    assert await grams(material="abs") == [5]
    assert await grams(since=shop.clock.now) == [5]


# -- where it is --------------------------------------------------------------------------------------


async def test_loading_a_spool_unloads_the_one_that_was_there(shop: Shop) -> None:
    first, second = await shop.add(), await shop.add()
    await shop.run("spools.load", spool_id=first, device_id=A, slot=1)
    shop.told.clear()
    await shop.run("spools.load", spool_id=second, device_id=A, slot=1)
    places = {row["id"]: (row["device_id"], row["slot"]) for row in shop.news("spool.updated")}
    assert places == {first: (None, None), second: (A, 1)}


async def test_a_printer_with_slots_has_several_spools(shop: Shop) -> None:
    first, second = await shop.add(), await shop.add()
    await shop.run("spools.load", spool_id=first, device_id=A, slot=0)
    await shop.run("spools.load", spool_id=second, device_id=A, slot=1)
    assert [row["slot"] for row in (await shop.run("spools.list", device_id=A))["items"]] == [0, 1]


async def test_a_spool_moves_from_one_printer_to_another_and_to_the_shelf(shop: Shop) -> None:
    spool = await shop.add()
    await shop.run("spools.load", spool_id=spool, device_id=A, slot=2)
    await shop.run("spools.load", spool_id=spool, device_id=B)
    assert (await shop.spool(spool))["device_id"] == B
    shelved = await shop.run("spools.load", spool_id=spool)
    assert (shelved["device_id"], shelved["slot"]) == (None, None)


async def test_loading_again_what_is_loaded_changes_nothing(shop: Shop) -> None:
    spool = await shop.add()
    once = await shop.run("spools.load", spool_id=spool, device_id=A)
    assert await shop.run("spools.load", spool_id=spool, device_id=A) == once


async def test_a_spool_is_loaded_only_on_a_printer_that_there_is(shop: Shop) -> None:
    spool = await shop.add()
    error = await shop.refused("spools.load", spool_id=spool, device_id=NOBODY)
    assert error.code == "device_not_found"


async def test_the_spools_of_a_printer_that_is_removed_go_back_to_the_shelf(shop: Shop) -> None:
    gone, stays = await shop.add(), await shop.add()
    await shop.run("spools.load", spool_id=gone, device_id=A, slot=1)
    await shop.run("spools.load", spool_id=stays, device_id=B)
    tasks, done = Tasks(), asyncio.Event()
    shop.inventory.follow(shop.bus, tasks)
    shop.bus.listen("spool.updated", lambda _event: done.set())
    shop.bus.publish("device.removed", {"id": A})
    await done.wait()
    assert (await shop.spool(gone))["device_id"] is None
    assert (await shop.spool(gone))["slot"] is None
    assert (await shop.spool(stays))["device_id"] == B
    await tasks.stop()


async def test_the_spools_of_a_printer_that_is_removed_come_off_though_the_database_is_busy(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody tells of it a second time."""
    spool = await shop.add()
    await shop.run("spools.load", spool_id=spool, device_id=A)
    write, tries = shop.database.write, 0

    async def busy(work: Any) -> Any:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise Unavailable("database_busy", "Busy")
        return await write(work)

    monkeypatch.setattr(shop.database, "write", busy)
    tasks = Tasks(pause_s=0.0)
    shop.inventory.follow(shop.bus, tasks)
    shop.bus.publish("device.removed", {"id": A})
    await until(lambda: not tasks._tasks, "the end of it")
    assert (await shop.spool(spool))["device_id"] is None


async def test_what_is_stored_is_told_though_whoever_asked_went_away(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else would tell people that filament is low."""
    spool = await shop.add()
    await shop.run("stock.limit", material="PLA", low_g=500)
    shop.told.clear()
    write, stored, go = shop.database.write, asyncio.Event(), asyncio.Event()

    async def late(work: Any) -> Any:
        found = await write(work)
        stored.set()
        await go.wait()
        return found

    monkeypatch.setattr(shop.database, "write", late)
    using = Tasks().start("using", shop.run("spools.use", spool_id=spool, grams=900))
    await stored.wait()
    using.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await using
    await until(lambda: shop.told, "that it is told")
    assert [name for name, _ in shop.told] == [
        "spool.updated",
        "stock.updated",
        "procurement.updated",
    ]


# -- put away -----------------------------------------------------------------------------------------


async def test_an_archived_spool_is_unloaded_unreserved_and_out_of_the_stock(shop: Shop) -> None:
    spool = await shop.add()
    await shop.run("spools.load", spool_id=spool, device_id=A)
    await shop.inventory.reserve("q", "PLA", 100)
    shop.told.clear()
    away = await shop.run("spools.archive", spool_id=spool)
    assert (away["archived"], away["device_id"], away["reserved_g"]) == (True, None, 0.0)
    assert shop.news("spool.updated") == [away]
    assert shop.news("stock.updated")[-1]["spools"] == 0
    assert (await shop.run("spools.list"))["items"] == []
    assert await shop.inventory.open_spools() == []


async def test_an_archived_spool_can_be_taken_back_and_not_be_used_before(shop: Shop) -> None:
    spool = await shop.add()
    await shop.run("spools.archive", spool_id=spool)
    assert (await shop.refused("spools.use", spool_id=spool, grams=1)).code == "spool_archived"
    assert (await shop.refused("spools.load", spool_id=spool)).code == "spool_archived"
    await shop.run("spools.archive", spool_id=spool, archived=False)
    assert [row["id"] for row in await shop.inventory.open_spools()] == [spool]


async def test_archiving_twice_is_archiving_once(shop: Shop) -> None:
    spool = await shop.add()
    once = await shop.run("spools.archive", spool_id=spool)
    shop.told.clear()
    assert await shop.run("spools.archive", spool_id=spool) == once
    assert shop.told == []
