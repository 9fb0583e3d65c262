"""Grams that are set aside: from which spool, and never twice."""

import asyncio
from typing import Any

import pytest

from brain_server.errors import Conflict, InvalidRequest, Unavailable
from brain_server.protocol import Json
from brain_server.storage.tables import reservations
from tests.brain.inventory.conftest import A, B, Shop


async def reserved(
    shop: Shop, holder: str, grams: float, material: str = "PLA", **more: Any
) -> str:
    """Reserve and return which spool it is."""
    return str((await shop.inventory.reserve(holder, material, grams, **more))["id"])


async def short(shop: Shop, holder: str, grams: float, **more: Any) -> Json:
    """Return what was missing."""
    with pytest.raises(Conflict) as error:
        await shop.inventory.reserve(holder, "PLA", grams, **more)
    assert error.value.code == "filament_short"
    return error.value.fields


async def test_the_smallest_spool_that_is_enough_is_taken(shop: Shop) -> None:
    await shop.add(50)
    right, _large = await shop.add(200), await shop.add(900)
    assert await reserved(shop, "q", 120) == right


async def test_the_loaded_spool_comes_first(shop: Shop) -> None:
    await shop.add(200)
    loaded = await shop.add(900)
    await shop.run("spools.load", spool_id=loaded, device_id=A)
    assert await reserved(shop, "q", 120, device_id=A) == loaded


async def test_a_spool_on_the_shelf_is_taken_before_one_on_another_printer(shop: Shop) -> None:
    elsewhere, shelf = await shop.add(200), await shop.add(900)
    await shop.run("spools.load", spool_id=elsewhere, device_id=B)
    assert await reserved(shop, "q", 120, device_id=A) == shelf
    await shop.run("spools.load", spool_id=shelf, device_id=A)
    assert await reserved(shop, "r", 150, device_id=B) == elsewhere


async def test_what_one_has_reserved_no_other_gets(shop: Shop) -> None:
    await shop.add(300)
    await reserved(shop, "q", 200)
    assert await short(shop, "r", 101) == {"needed": 101.0, "free": 100.0, "material": "PLA"}
    assert await reserved(shop, "r", 100)


async def test_without_any_spool_nothing_is_free(shop: Shop) -> None:
    assert await short(shop, "q", 1) == {"needed": 1.0, "free": 0.0, "material": "PLA"}


async def test_reserving_again_replaces_what_was_reserved(shop: Shop) -> None:
    spool = await shop.add(300)
    await reserved(shop, "q", 200)
    again = await shop.inventory.reserve("q", "pla", 250)
    assert (again["id"], again["reserved_g"], again["free_g"]) == (spool, 250, 50)
    assert len(await shop.rows(reservations)) == 1


async def test_reserving_the_same_again_is_not_told(shop: Shop) -> None:
    """Or what plans whenever a spool changes would never come to an end."""
    await shop.add(300)
    once = await shop.inventory.reserve("q", "PLA", 200)
    shop.told.clear()
    assert await shop.inventory.reserve("q", "PLA", 200) == once
    assert shop.told == []


async def test_a_reservation_that_moves_is_told_of_both_spools(shop: Shop) -> None:
    small, large = await shop.add(200), await shop.add(900)
    await reserved(shop, "q", 150)
    shop.told.clear()
    await reserved(shop, "q", 600)
    held = {row["id"]: row["reserved_g"] for row in shop.news("spool.updated")}
    assert held == {small: 0, large: 600}


async def test_a_reservation_that_fails_leaves_the_one_before(shop: Shop) -> None:
    spool = await shop.add(300)
    await reserved(shop, "q", 200)
    await short(shop, "q", 400)
    [row] = await shop.rows(reservations)
    assert (row["spool_id"], row["grams"]) == (spool, 200)


async def test_a_release_gives_back_and_is_told(shop: Shop) -> None:
    await shop.add(300)
    await reserved(shop, "q", 200)
    assert shop.news("spool.updated")[-1]["free_g"] == 100
    assert await shop.inventory.release("q") is True
    assert shop.news("spool.updated")[-1]["free_g"] == 300
    assert await shop.inventory.release("q") is False


async def test_a_reservation_is_seen_in_the_stock(shop: Shop) -> None:
    await shop.add(300)
    await reserved(shop, "q", 200)
    row = shop.news("stock.updated")[-1]
    assert (row["total_g"], row["reserved_g"], row["free_g"]) == (300, 200, 100)


async def test_archived_spools_and_other_materials_are_not_reserved(shop: Shop) -> None:
    await shop.run("spools.archive", spool_id=await shop.add())
    await shop.add(material="ABS")
    assert (await short(shop, "q", 10))["free"] == 0


@pytest.mark.parametrize(
    "color", ["black", "#202020", {"is": ["white", "black"]}, {"not": ["red"]}, {}, None]
)
async def test_a_colour_that_fits_is_taken(shop: Shop, color: Any) -> None:
    spool = await shop.add(color="#101010")
    assert await reserved(shop, "q", 10, color=color) == spool


@pytest.mark.parametrize(
    "color", ["white", "#808080", {"is": ["red", "nonsense"]}, {"not": ["black"]}]
)
async def test_a_colour_that_does_not_fit_is_not(shop: Shop, color: Any) -> None:
    await shop.add(color="#101010")
    assert (await short(shop, "q", 10, color=color))["free"] == 0


async def test_a_spool_of_unknown_colour_is_taken_only_where_no_colour_is_asked(shop: Shop) -> None:
    spool = await shop.add(color=None)
    await short(shop, "q", 10, color="black")
    assert await reserved(shop, "q", 10, color={"not": ["black"]}) == spool


@pytest.mark.parametrize("grams", [0, -1, float("nan"), float("inf")])
async def test_what_is_no_weight_is_not_reserved(shop: Shop, grams: float) -> None:
    await shop.add()
    with pytest.raises(InvalidRequest) as error:
        await shop.inventory.reserve("q", "PLA", grams)
    assert error.value.code == "invalid_params"


async def won(shop: Shop, holder: str) -> bool:
    """Try to reserve until there is an answer."""
    while True:
        try:
            await shop.inventory.reserve(holder, "PLA", 100)
        except Conflict:
            return False
        except Unavailable:  # the other brain is writing
            continue
        return True


async def test_two_brains_never_reserve_more_than_there_is(shops: list[Shop]) -> None:
    for _ in range(3):
        await shops[0].add(310)
    tries = [
        won(shop, f"{place}{number}") for place, shop in enumerate(shops) for number in range(8)
    ]
    assert sum(await asyncio.gather(*tries)) == 9
    spools = [row["reserved_g"] for row in await shops[0].inventory.open_spools()]
    assert spools == [300, 300, 300]


# -- what comes ---------------------------------------------------------------------------------------


async def test_a_forecast_tells_at_which_print_a_material_runs_out(shop: Shop) -> None:
    await shop.add(300)
    told = await shop.inventory.forecast([("1", "PLA", 120), ("2", "pla", 120), ("3", "PLA", 120)])
    assert told["materials"] == [
        {"material": "PLA", "free_g": 300, "needed_g": 360, "runs_out_at": 3, "holder": "3"}
    ]
    assert [item["short_g"] for item in told["items"]] == [0, 0, 60]


async def test_a_forecast_tells_at_which_print_a_spool_runs_out(shop: Shop) -> None:
    small, large = await shop.add(100), await shop.add(500)
    told = await shop.inventory.forecast([("1", "PLA", 90), ("2", "PLA", 200), ("3", "PLA", 310)])
    assert [item["spool_ids"] for item in told["items"]] == [[small], [large], [large, small]]
    ends = {row["spool_id"]: (row["runs_out_at"], row["holder"]) for row in told["spools"]}
    assert ends == {small: (3, "3"), large: (3, "3")}


async def test_a_forecast_keeps_to_what_is_reserved(shop: Shop) -> None:
    small, large = await shop.add(200), await shop.add(500)
    await shop.run("spools.load", spool_id=large, device_id=A)
    await reserved(shop, "1", 150, device_id=A)
    await reserved(shop, "somebody else", 180)
    told = await shop.inventory.forecast([("1", "PLA", 150), ("2", "PLA", 30)])
    assert [item["spool_ids"] for item in told["items"]] == [[large], [large]]
    left = {row["spool_id"]: row["left_g"] for row in told["spools"]}
    assert left == {small: 20, large: 320}


async def test_a_forecast_of_what_there_is_none_of_is_short_at_once(shop: Shop) -> None:
    await shop.add()
    told = await shop.inventory.forecast([("1", "ABS", 10), ("2", "ABS", 10)])
    assert (told["materials"][0]["runs_out_at"], told["spools"]) == (1, [])


async def test_a_forecast_of_nothing_is_empty(shop: Shop) -> None:
    assert await shop.inventory.forecast([]) == {"items": [], "materials": [], "spools": []}
