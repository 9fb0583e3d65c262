"""What there is of each material, and what is proposed when it is too little."""

import asyncio
from typing import Any

from brain_server.protocol import Json
from brain_server.storage.tables import proposals
from tests.brain.inventory.conftest import A, Shop

NOBODY = "f" * 32


async def limit(shop: Shop, low: float | None = 500, **more: Any) -> Json:
    """Set the limit of PLA."""
    return await shop.run("stock.limit", **({"material": "PLA", "low_g": low} | more))


async def waiting(shop: Shop) -> list[Json]:
    """Return what should be bought."""
    return list((await shop.run("procurements.list"))["items"])


async def take(shop: Shop, spool: str, grams: float) -> None:
    """Use something."""
    await shop.run("spools.use", spool_id=spool, grams=grams)


async def decide(shop: Shop, decision: str, proposal: Json | None = None, who: str = "ada") -> Json:
    """Decide about the proposal that waits."""
    chosen = proposal or (await waiting(shop))[0]
    return await shop.run("procurements.decide", who, proposal_id=chosen["id"], decision=decision)


# -- stock --------------------------------------------------------------------------------------------


async def test_the_stock_adds_spools_up_by_material(shop: Shop) -> None:
    await shop.add(300)
    await shop.add(500)
    await shop.add(material="ABS")
    await shop.inventory.reserve("q", "PLA", 250)
    assert (await shop.run("stock.list"))["items"] == [
        {
            "material": "ABS",
            "spools": 1,
            "total_g": 1000,
            "reserved_g": 0,
            "free_g": 1000,
            "low_g": None,
            "order_g": None,
            "low": False,
            "archived": False,
        },
        {
            "material": "PLA",
            "spools": 2,
            "total_g": 800,
            "reserved_g": 250,
            "free_g": 550,
            "low_g": None,
            "order_g": None,
            "low": False,
            "archived": False,
        },
    ]


async def test_a_limit_is_shown_and_told(shop: Shop) -> None:
    await shop.add(499)
    row = await limit(shop, order_g=2000)
    assert (row["low_g"], row["order_g"], row["low"]) == (500, 2000, True)
    assert shop.news("stock.updated")[-1] == row


async def test_a_material_with_a_limit_and_no_spool_is_in_the_stock(shop: Shop) -> None:
    await limit(shop)
    [row] = (await shop.run("stock.list"))["items"]
    assert (row["spools"], row["total_g"], row["low"], row["archived"]) == (0, 0, True, False)


async def test_exactly_the_limit_is_enough(shop: Shop) -> None:
    await shop.add(500)
    assert (await limit(shop))["low"] is False


async def test_a_limit_can_be_removed(shop: Shop) -> None:
    await limit(shop)
    gone = await limit(shop, None)
    assert (gone["low_g"], gone["low"], gone["archived"]) == (None, False, True)
    assert (await shop.run("stock.list"))["items"] == []


# -- proposals ----------------------------------------------------------------------------------------


async def test_falling_below_the_limit_proposes_to_buy(shop: Shop) -> None:
    spool = await shop.add(600, price=20)
    await shop.add(0, price=30)
    await limit(shop, order_g=2000)
    assert await waiting(shop) == []
    await take(shop, spool, 101)
    [made] = await waiting(shop)
    assert (made["material"], made["grams"], made["cost"]) == ("PLA", 2000, 50.0)
    assert (made["reason"], made["status"], made["decided_by"]) == ("below_limit", "proposed", None)
    assert shop.news("procurement.updated") == [made]


async def test_a_print_proposes_as_well(shop: Shop) -> None:
    spool = await shop.add(600)
    await shop.run("spools.load", spool_id=spool, device_id=A)
    await limit(shop)
    await shop.inventory.consume("j", A, grams=200)
    assert len(await waiting(shop)) == 1


async def test_what_it_costs_is_unknown_where_no_spool_had_a_price(shop: Shop) -> None:
    await shop.add(100, price=None)
    await limit(shop)
    assert (await waiting(shop))[0]["cost"] is None


async def test_one_shortage_makes_one_proposal(shop: Shop) -> None:
    spool = await shop.add(400)
    await limit(shop)
    for _ in range(3):
        await take(shop, spool, 10)
    again = Shop(shop.database, shop.clock)  # as after a restart
    await take(again, spool, 10)
    await limit(again, 450)
    assert len(await waiting(shop)) == 1


async def test_two_brains_make_one_proposal(shops: list[Shop]) -> None:
    spool = await shops[0].add(600)
    await limit(shops[0])
    await asyncio.gather(*(take(shop, spool, 60) for shop in shops for _ in range(4)))
    assert len(await shops[0].rows(proposals)) == 1


async def test_two_materials_have_a_proposal_each(shop: Shop) -> None:
    await limit(shop)
    await limit(shop, material="ABS")
    assert [row["material"] for row in await waiting(shop)] == ["PLA", "ABS"]


async def test_who_approved_is_written_down(shop: Shop) -> None:
    await limit(shop)
    shop.clock.now += 5
    approved = await decide(shop, "approve", who="bob")
    assert (approved["status"], approved["decided_by"]) == ("approved", "bob")
    assert approved["decided_at"] == shop.clock.now
    assert shop.news("procurement.updated")[-1] == approved
    assert await waiting(shop) == [approved]


async def test_a_program_without_a_person_decides_as_nobody(shop: Shop) -> None:
    await limit(shop)
    [proposal] = await waiting(shop)
    made = await shop.run(
        "procurements.decide", None, proposal_id=proposal["id"], decision="reject"
    )
    assert made["decided_by"] is None


async def test_an_approved_one_is_done_when_a_spool_of_it_comes(shop: Shop) -> None:
    await limit(shop)
    await decide(shop, "approve")
    await shop.add(material="ABS")
    assert len(await waiting(shop)) == 1
    await shop.add()
    assert await waiting(shop) == []
    assert shop.news("procurement.updated")[-1]["status"] == "done"


async def test_an_approved_one_stays_while_nothing_comes(shop: Shop) -> None:
    spool = await shop.add(100)
    await limit(shop)
    await decide(shop, "approve")
    await shop.run("spools.put", spool_id=spool, remaining_g=900)  # somebody weighed it
    await take(shop, spool, 800)
    assert [row["status"] for row in await waiting(shop)] == ["approved"]
    assert len(await shop.rows(proposals)) == 1


async def test_a_spool_that_is_too_little_is_followed_by_a_new_proposal(shop: Shop) -> None:
    await limit(shop)
    await decide(shop, "approve")
    await shop.add(200)
    assert [row["status"] for row in await waiting(shop)] == ["proposed"]


async def test_one_that_nobody_decided_is_done_when_there_is_enough(shop: Shop) -> None:
    await limit(shop)
    await shop.add()
    assert await waiting(shop) == []
    [done] = (await shop.run("procurements.list", status="done"))["items"]
    assert (done["decided_by"], done["decided_at"]) == (None, shop.clock.now)


async def test_a_rejected_one_does_not_come_back_before_there_was_enough(shop: Shop) -> None:
    spool = await shop.add(400)
    await limit(shop)
    rejected = await decide(shop, "reject")
    await take(shop, spool, 10)
    await take(Shop(shop.database, shop.clock), spool, 10)
    assert await waiting(shop) == []
    new = await shop.add(1000)
    await take(shop, new, 900)
    [again] = await waiting(shop)
    assert again["id"] != rejected["id"]
    assert [
        row["id"] for row in (await shop.run("procurements.list", status="rejected"))["items"]
    ] == [rejected["id"]]


async def test_one_that_is_done_does_not_come_back_before_there_was_enough(shop: Shop) -> None:
    spool = await shop.add(400)
    await limit(shop)
    await decide(shop, "done")
    await take(shop, spool, 10)
    assert await waiting(shop) == []


async def test_an_approved_one_can_still_be_rejected(shop: Shop) -> None:
    await limit(shop)
    approved = await decide(shop, "approve")
    assert (await decide(shop, "reject", approved))["status"] == "rejected"


async def test_what_is_decided_is_not_decided_again(shop: Shop) -> None:
    await limit(shop)
    rejected = await decide(shop, "reject")
    error = await shop.refused(
        "procurements.decide", proposal_id=rejected["id"], decision="approve"
    )
    assert (error.code, error.fields) == ("already_decided", {"status": "rejected"})


async def test_what_is_not_there_is_not_decided(shop: Shop) -> None:
    error = await shop.refused("procurements.decide", proposal_id=NOBODY, decision="approve")
    assert error.code == "proposal_not_found"


async def test_proposals_come_in_pages(shop: Shop) -> None:
    await limit(shop)
    await limit(shop, material="ABS")
    page = await shop.run("procurements.list", limit=1)
    rest = await shop.run("procurements.list", cursor=page["cursor"])
    assert [row["material"] for row in (*page["items"], *rest["items"])] == ["PLA", "ABS"]


async def test_the_snapshot_has_what_is_open(shop: Shop) -> None:
    await limit(shop)
    assert [row["material"] for row in await shop.stock.all()] == ["PLA"]
    assert await shop.procurement.open() == await waiting(shop)
