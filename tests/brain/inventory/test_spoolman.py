"""Spoolman and ours: both sides count, and nothing counts twice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from random import Random
from typing import Any

from aiohttp import ClientSession, web
import pytest

from brain_server.errors import Conflict, InvalidRequest, Unavailable
from brain_server.inventory.spoolman import Spoolman, wire
from brain_server.inventory.spoolman.agreement import LEASE
from brain_server.observability import Tasks
from brain_server.protocol import Json
from brain_server.storage.tables import spools, usage
from tests.brain.inventory.conftest import A, Shop
from tests.brain.soon import SOON
from tests.standins.spoolman import FakeSpoolman, spoolman

BROKEN = web.json_response({"message": "no"}, status=500)


class Both:
    """Our inventory and a Spoolman beside it."""

    def __init__(self, shop: Shop, there: FakeSpoolman, session: ClientSession) -> None:
        self.shop = shop
        self.there = there
        self._session = session
        self.tasks = Tasks()
        self.again()

    def again(self, **more: Any) -> Spoolman:
        """Make ours anew, as after a restart."""
        self.spoolman = Spoolman(
            self.shop.books, self.shop.bus, self.tasks, self._session, self.there.url, **more
        )
        return self.spoolman

    async def sync(self) -> Json:
        """Make both alike."""
        return await self.spoolman.once()

    async def lose(self) -> Unavailable:
        """Try to, and return why it did not work."""
        with pytest.raises(Unavailable) as error:
            await self.sync()
        return error.value

    async def here(self) -> list[Json]:
        """Return our spools, archived or not."""
        return await self.shop.rows(spools)

    async def only(self) -> Json:
        """Return our only spool."""
        [row] = await self.here()
        return row

    async def take(self, grams: float, spool: str | None = None) -> None:
        """Use something here."""
        chosen = spool or (await self.only())["id"]
        await self.shop.run("spools.use", spool_id=chosen, grams=grams)

    async def left(self) -> tuple[float, float]:
        """Return what is left of the only spool: here and there."""
        row = await self.only()
        return round(row["remaining_g"], 6), round(self.there.left(row["spoolman_id"]), 6)


@pytest.fixture
async def both(shop: Shop) -> AsyncIterator[Both]:
    """Give an empty inventory and an empty Spoolman."""
    async with spoolman() as there, ClientSession() as session:
        made = Both(shop, there, session)
        yield made
        await made.tasks.stop()


# -- from there to here -------------------------------------------------------------------------------


async def test_a_spool_of_spoolman_comes_with_all_that_it_is(both: Both) -> None:
    number = both.there.add(
        name="Galaxy Black",
        vendor="Prusament",
        material="pla+",
        color_hex="1A1A1A",
        density=1.25,
        diameter=2.85,
        initial_weight=800.0,
        used_weight=300.0,
        price=24.5,
        location="shelf",
    )
    assert await both.sync() == {
        "seen": 1,
        "added": 1,
        "changed": 0,
        "skipped": [],
        "gone": 0,
        "told": 0,
        "created": 0,
        "failed": [],
    }
    [row] = await both.shop.inventory.open_spools()
    expected = {
        "name": "Galaxy Black",
        "vendor": "Prusament",
        "material": "PLA",
        "color": "1a1a1a",
        "density": 1.25,
        "diameter_mm": 2.85,
        "full_g": 800,
        "remaining_g": 500,
        "price": 24.5,
        "location": "shelf",
        "spoolman_id": number,
    }
    assert {name: row[name] for name in expected} == expected
    assert both.shop.news("spool.updated") == [row]


async def test_a_spool_that_says_little_is_named_for_what_it_is(both: Both) -> None:
    both.there.add(vendor="eSun", material="PETG", multi_color_hexes="ff0000,00ff00")
    both.there.add(material="ABS\n")
    await both.sync()
    found = [(row["name"], row["color"], row["price_micro"]) for row in await both.here()]
    assert found == [("eSun PETG", "ff0000", None), ("ABS", None, None)]


async def test_looking_again_changes_nothing(both: Both) -> None:
    both.there.add(vendor="eSun", color_hex="#FF0000FF", filament_price=20)
    await both.sync()
    before = await both.here()
    both.shop.told.clear()
    done = await both.sync()
    assert (done["added"], done["changed"]) == (0, 0)
    assert await both.here() == before
    assert both.shop.told == []
    assert both.there.changes == []


async def test_what_changes_there_changes_here(both: Both) -> None:
    number = both.there.add(vendor="eSun")
    await both.sync()
    both.there.vendors[1]["name"] = "Sunlu"
    both.there.filaments[1] |= {"material": "PETG", "density": 1.27, "color_hex": "112233"}
    both.there.spools[number]["location"] = "dry box"
    assert (await both.sync())["changed"] == 1
    row = await both.only()
    assert (row["vendor"], row["material"], row["density"]) == ("Sunlu", "PETG", 1.27)
    assert (row["location"], row["color"]) == ("dry box", "112233")
    assert {row["material"] for row in both.shop.news("stock.updated")} == {"PLA", "PETG"}


async def test_the_price_of_the_filament_counts_where_the_spool_has_none(both: Both) -> None:
    number = both.there.add()
    both.there.filaments[1]["price"] = 20.0
    await both.sync()
    assert (await both.only())["price_micro"] == 20_000_000
    both.there.spools[number]["price"] = 15.0
    await both.sync()
    assert (await both.only())["price_micro"] == 15_000_000


async def test_what_is_used_there_is_used_here(both: Both) -> None:
    number = both.there.add()
    await both.sync()
    both.there.use(number, 120)
    await both.sync()
    assert await both.left() == (880, 880)
    [row] = await both.shop.rows(usage)
    assert (row["grams"], row["source"]) == (120, "spoolman")


async def test_what_is_put_back_there_is_put_back_here(both: Both) -> None:
    number = both.there.add(used_weight=500.0)
    await both.sync()
    both.there.use(number, -100)
    await both.sync()
    assert await both.left() == (600, 600)
    assert await both.shop.rows(usage) == []


async def test_an_archived_spool_is_archived_here_and_comes_back(both: Both) -> None:
    number = both.there.add()
    await both.sync()
    both.there.spools[number]["archived"] = True
    assert (await both.sync())["changed"] == 1
    assert (await both.only())["archived"] is True
    both.there.spools[number]["archived"] = False
    await both.sync()
    assert (await both.only())["archived"] is False


async def test_a_spool_that_is_archived_already_comes_archived(both: Both) -> None:
    both.there.add(archived=True)
    await both.sync()
    assert (await both.only())["archived"] is True


async def test_a_spool_that_is_gone_there_is_put_away_here(both: Both) -> None:
    number = both.there.add()
    await both.sync()
    await both.shop.run("spools.load", spool_id=(await both.only())["id"], device_id=A)
    del both.there.spools[number]
    assert (await both.sync())["gone"] == 1
    row = await both.only()
    assert (row["archived"], row["device_id"], row["spoolman_id"]) == (True, None, None)
    assert (await both.sync())["created"] == 0


async def test_a_spool_that_was_archived_and_is_gone_is_no_longer_asked_for(both: Both) -> None:
    number = both.there.add(archived=True)
    await both.sync()
    del both.there.spools[number]
    assert (await both.sync())["gone"] == 1
    assert (await both.sync())["gone"] == 0


async def test_a_spool_that_only_the_list_lost_stays(both: Both) -> None:
    both.there.add()
    await both.sync()
    both.there.refuse["GET /spool"] = web.json_response([])
    assert (await both.sync())["gone"] == 0
    assert (await both.only())["archived"] is False


async def test_a_spool_without_weight_or_material_is_left_out_and_told(both: Both) -> None:
    one = both.there.add(weight=None)
    absurd = both.there.add(weight=1e300)
    other = both.there.add(material=" ")
    assert (await both.sync())["skipped"] == [
        {"spoolman_id": one, "reason": "no_weight"},
        {"spoolman_id": absurd, "reason": "no_weight"},
        {"spoolman_id": other, "reason": "no_material"},
    ]
    assert await both.here() == []


@pytest.mark.parametrize("pages", [True, False])
async def test_many_spools_come_in_pages(both: Both, pages: bool) -> None:
    both.there.pages = pages
    for _ in range(2 * wire.PAGE):
        both.there.add()
    assert (await both.sync())["added"] == 2 * wire.PAGE


async def test_a_new_spool_of_spoolman_ends_an_approved_proposal(both: Both) -> None:
    await both.shop.run("stock.limit", material="PLA", low_g=100)
    [proposal] = await both.shop.procurement.open()
    await both.shop.run("procurements.decide", proposal_id=proposal["id"], decision="approve")
    both.there.add()
    await both.sync()
    assert await both.shop.procurement.open() == []


# -- from here to there -------------------------------------------------------------------------------


async def test_what_is_used_here_is_used_there(both: Both) -> None:
    both.there.add()
    await both.sync()
    await both.take(120)
    assert (await both.sync())["told"] == 1
    assert await both.left() == (880, 880)
    assert both.there.changes == ["PUT /spool/1/use"]


async def test_what_both_sides_use_counts_on_both(both: Both) -> None:
    number = both.there.add()
    await both.sync()
    await both.take(120)
    both.there.use(number, 30)
    await both.sync()
    assert await both.left() == (850, 850)
    assert (await both.sync())["told"] == 0


async def test_what_a_person_weighs_here_is_told_there(both: Both) -> None:
    both.there.add(used_weight=500.0)
    await both.sync()
    spool = (await both.only())["id"]
    await both.shop.run("spools.put", spool_id=spool, remaining_g=530)
    await both.sync()
    assert await both.left() == (530, 530)


async def test_more_than_a_full_spool_stays_ours(both: Both) -> None:
    both.there.add(used_weight=4.0)
    await both.sync()
    spool = (await both.only())["id"]
    await both.shop.run("spools.put", spool_id=spool, remaining_g=1010)
    await both.sync()
    await both.sync()
    assert await both.left() == (1010, 1000)
    assert await both.shop.rows(usage) == []
    await both.take(30)
    await both.sync()
    assert await both.left() == (980, 980)


async def test_a_new_spool_of_ours_is_added_there_with_its_maker(both: Both) -> None:
    spool = await both.shop.add(
        600, vendor="eSun", color="#FF8000", location="shelf", name="Orange"
    )
    done = await both.sync()
    assert (done["created"], done["added"]) == (1, 0)
    assert both.there.changes == ["POST /vendor", "POST /filament", "POST /spool"]
    assert both.there.vendors[1]["name"] == "eSun"
    kind = both.there.filaments[1]
    assert (kind["name"], kind["material"], kind["color_hex"]) == ("Orange", "PLA", "ff8000")
    made = both.there.spools[1]
    assert (made["initial_weight"], made["used_weight"], made["price"]) == (1000, 400, 20)
    assert (made["location"], spool in made["comment"]) == ("shelf", True)
    assert (await both.only())["spoolman_id"] == 1
    assert (await both.sync())["created"] == 0
    assert len(await both.here()) == 1


async def test_makers_and_kinds_that_are_there_are_used(both: Both) -> None:
    both.there.add(vendor="Sunlu")
    both.there.add(vendor="ESUN", material="PLA+", color_hex="000000")
    await both.shop.add(vendor="eSun")
    await both.shop.add(vendor="eSun", color="white")
    await both.shop.add(vendor="eSun", color="white")
    await both.shop.add(vendor=None)
    assert (await both.sync())["created"] == 4
    assert (len(both.there.vendors), len(both.there.filaments)) == (2, 4)


async def test_a_spool_that_holds_more_than_it_should_is_full_there(both: Both) -> None:
    await both.shop.add(1020)
    await both.sync()
    assert await both.left() == (1020, 1020)


async def test_long_names_are_cut_as_spoolman_wants_them(both: Both) -> None:
    await both.shop.add(name="n" * 100, vendor="v" * 100, location="l" * 100)
    assert (await both.sync())["failed"] == []
    await both.shop.add(name="n" * 100, vendor="v" * 100)
    await both.sync()
    assert (len(both.there.vendors), len(both.there.filaments)) == (1, 1)


async def test_archived_spools_are_not_told(both: Both) -> None:
    spool = await both.shop.add()
    await both.shop.run("spools.archive", spool_id=spool)
    both.there.add(archived=True)
    await both.sync()
    assert both.there.changes == []


async def test_what_spoolman_decides_cannot_be_changed_here(shop: Shop) -> None:
    strict = Shop(shop.database, shop.clock, spoolman=True)
    async with spoolman() as there, ClientSession() as session:
        made = Both(strict, there, session)
        there.add()
        await made.sync()
        spool = (await made.only())["id"]
        refused = await strict.refused("spools.put", spool_id=spool, location="bin")
        assert refused.code == "spoolman_decides"
        refused = await strict.refused("spools.archive", spool_id=spool)
        assert refused.code == "spoolman_decides"
        weighed = await strict.run("spools.put", spool_id=spool, remaining_g=5)
        assert weighed["remaining_g"] == 5


# -- when it does not work ----------------------------------------------------------------------------


async def test_while_spoolman_is_away_use_waits_in_the_database(
    both: Both, caplog: pytest.LogCaptureFixture
) -> None:
    both.there.add()
    await both.sync()
    await both.there.stop()
    for _ in range(3):
        await both.take(10)
        assert (await both.lose()).code == "spoolman_unreachable"
    assert await both.spoolman.health() == "Spoolman does not answer"
    assert [record.message for record in caplog.records] == [
        "Spoolman does not answer; what changes here waits for it"
    ]
    await both.there.start()
    await both.sync()
    assert await both.left() == (970, 970)
    assert await both.spoolman.health() is None


async def test_an_answer_that_is_lost_is_not_counted_twice(both: Both) -> None:
    both.there.add()
    await both.sync()
    await both.take(100)
    both.there.lost = True
    assert (await both.lose()).code == "spoolman_unreachable"
    assert both.there.left(1) == 900
    assert both.there.changes == ["PUT /spool/1/use"]
    both.there.lost = False
    await both.sync()  # still too early to say
    both.shop.clock.now += LEASE
    await both.sync()
    assert await both.left() == (900, 900)
    assert both.there.changes == ["PUT /spool/1/use"]


async def test_a_request_that_is_lost_is_told_again(both: Both) -> None:
    both.there.add()
    await both.sync()
    await both.take(100)
    both.there.refuse["PUT /spool/1/use"] = BROKEN
    [failed] = (await both.sync())["failed"]
    assert failed["reason"] == "500 no"
    both.there.refuse.clear()
    assert (await both.sync())["told"] == 0
    both.shop.clock.now += LEASE
    assert (await both.sync())["told"] == 1
    assert await both.left() == (900, 900)


async def test_what_spoolman_refuses_is_tried_again_at_once(both: Both) -> None:
    both.there.add()
    await both.sync()
    await both.take(100)
    both.there.refuse["PUT /spool/1/use"] = web.json_response({"message": "no"}, status=400)
    assert (await both.sync())["failed"][0]["reason"] == "400 no"
    both.there.refuse.clear()
    assert (await both.sync())["told"] == 1
    assert await both.left() == (900, 900)


async def test_a_refusal_is_logged_once(both: Both, caplog: pytest.LogCaptureFixture) -> None:
    await both.shop.add()
    both.there.refuse["POST /filament"] = web.Response(status=422, text="plain words")
    assert (await both.sync())["failed"][0]["reason"] == "422"
    await both.sync()
    assert len(caplog.records) == 1
    both.there.refuse.clear()
    assert (await both.sync())["created"] == 1


async def test_a_spool_whose_creation_is_lost_is_not_made_twice(both: Both) -> None:
    spool = await both.shop.add()
    both.there.lost = True
    both.there.filaments[1] = {"id": 1, "material": "PLA", "density": 1.24, "diameter": 1.75}
    both.there.filaments[1] |= {"color_hex": "000000"}
    await both.lose()
    assert len(both.there.spools) == 1
    both.there.lost = False
    await both.take(50)
    both.there.use(1, 20)
    await both.sync()
    assert (await both.only())["id"] == spool
    assert await both.left() == (930, 930)
    assert len(both.there.spools) == 1


async def test_a_spool_whose_creation_failed_is_made_later(both: Both) -> None:
    await both.shop.add()
    both.there.refuse["POST /spool"] = BROKEN
    assert len((await both.sync())["failed"]) == 1
    both.there.refuse.clear()
    assert (await both.sync())["created"] == 0
    both.shop.clock.now += LEASE
    assert (await both.sync())["created"] == 1
    assert len(both.there.spools) == 1


@pytest.mark.parametrize("others", [0.0, 40.0])
async def test_a_brain_that_dies_after_telling_does_not_tell_again(
    both: Both, others: float
) -> None:
    number = both.there.add()
    await both.sync()
    await both.take(100)
    both.there.gate = asyncio.Event()
    dying = both.tasks.start("sync", both.sync())
    while not both.there.changes:  # noqa: ASYNC110 - the other side has no signal
        await asyncio.sleep(0.01)
    dying.cancel()
    with suppress(asyncio.CancelledError):
        await dying
    both.there.gate = None
    both.there.use(number, others)
    both.again()
    both.shop.clock.now += LEASE
    await both.sync()
    assert await both.left() == (900 - others, 900 - others)
    assert len(both.there.changes) == 1


@pytest.fixture
async def pair(shops: list[Shop]) -> AsyncIterator[list[Both]]:
    """Give two brains on one database, of each kind in turn, and their Spoolman."""
    async with spoolman() as there, ClientSession() as session:
        made = [Both(shop, there, session) for shop in shops]
        yield made
        for one in made:
            await one.tasks.stop()


async def held(both: Both, request: str) -> asyncio.Task[Json]:
    """Begin to sync, and come back when Spoolman has carried a request out and not answered yet."""
    both.there.gate = asyncio.Event()
    begun = both.tasks.start("sync", both.sync())
    await until(lambda: request in both.there.asked)
    return begun


async def test_while_one_brain_tells_the_other_keeps_quiet(pair: list[Both]) -> None:
    one, other = pair
    one.there.add()
    await one.sync()
    await one.take(100)
    first = await held(one, "PUT /spool/1/use")
    assert (await other.sync())["told"] == 0
    one.there.gate.set()
    assert (await first)["told"] == 1
    assert await one.left() == (900, 900)
    assert one.there.changes == ["PUT /spool/1/use"]


async def test_what_takes_too_long_to_answer_is_settled_by_the_other(pair: list[Both]) -> None:
    one, other = pair
    one.there.add()
    await one.sync()
    await one.take(100)
    first = await held(one, "PUT /spool/1/use")
    one.shop.clock.now += LEASE
    assert (await other.sync())["told"] == 0
    one.there.gate.set()
    assert (await first)["told"] == 0
    assert await one.left() == (900, 900)
    assert one.there.changes == ["PUT /spool/1/use"]


async def test_two_brains_add_a_spool_once(pair: list[Both]) -> None:
    one, other = pair
    await one.shop.add()
    first = await held(one, "POST /filament")
    second = other.tasks.start("sync", other.sync())
    await until(lambda: "POST /spool" in one.there.asked)
    one.there.gate.set()
    assert (await first)["created"] + (await second)["created"] == 1
    assert (len(one.there.spools), (await one.only())["spoolman_id"]) == (1, 1)


async def test_a_spool_that_takes_too_long_to_add_is_linked_by_the_other(pair: list[Both]) -> None:
    one, other = pair
    one.there.add(material="PLA", color_hex="000000")
    await one.shop.add(600)
    first = await held(one, "POST /spool")
    await other.sync()
    one.there.gate.set()
    assert (await first)["created"] == 0
    assert sorted(row["spoolman_id"] for row in await one.here()) == [1, 2]
    assert one.there.left(2) == 600


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(text="<html>"),
        web.json_response([{"id": 1}]),
        web.json_response({"message": "busy"}, status=503),
        web.Response(status=302, headers={"Location": "http://elsewhere.invalid/"}),
        web.Response(body=b" " * (wire.MOST_BYTES + 1)),
    ],
    ids=["words", "another shape", "busy", "elsewhere", "too much"],
)
async def test_an_answer_that_is_none_changes_nothing(both: Both, answer: web.Response) -> None:
    both.there.add()
    await both.sync()
    before = await both.here()
    both.there.answer = answer
    assert (await both.lose()).code == "spoolman_refused"
    assert await both.here() == before
    assert str(await both.spoolman.health()).startswith("Spoolman answered")


async def test_a_spool_that_cannot_be_asked_for_is_not_gone(both: Both) -> None:
    number = both.there.add()
    await both.sync()
    both.there.refuse = {"GET /spool": web.json_response([]), f"GET /spool/{number}": BROKEN}
    assert (await both.lose()).code == "spoolman_refused"
    assert (await both.only())["archived"] is False


async def test_a_spool_that_goes_while_it_is_told_of_is_left_alone(both: Both) -> None:
    both.there.add()
    await both.sync()
    await both.take(10)
    both.there.refuse["GET /spool/1"] = web.json_response({"message": "gone"}, status=404)
    assert (await both.sync())["told"] == 0


async def test_however_often_it_breaks_both_sides_agree_in_the_end(both: Both) -> None:
    """Use on both sides, lost answers, broken servers and restarts, in any order."""
    random = Random(7)
    number = both.there.add(initial_weight=100_000.0)
    await both.sync()
    used = 0.0
    for _ in range(60):
        grams = random.choice((0.0, 5.0, 50.0, 120.0))
        used += grams
        if grams and random.random() < 0.5:
            await both.take(grams)
        else:
            both.there.use(number, grams)
        both.there.lost = random.random() < 0.3
        both.there.refuse = {"PUT /spool/1/use": BROKEN} if random.random() < 0.3 else {}
        with suppress(Unavailable):
            await both.sync()
        # What is in doubt is settled before anybody uses more: with both at once nobody could know.
        both.there.lost, both.there.refuse = False, {}
        both.shop.clock.now += LEASE
        both.again()
        await both.sync()
    assert await both.left() == (100_000 - used, 100_000 - used)


# -- by itself ----------------------------------------------------------------------------------------


async def until(tells: Any) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(SOON):
        while not tells():  # noqa: ASYNC110 - several sides change
            await asyncio.sleep(0.01)


async def test_it_looks_by_itself_and_tells_a_change_at_once(both: Both) -> None:
    both.there.add()
    both.again(every=60, together=0.01).start()
    await until(lambda: both.shop.news("spool.updated"))
    await both.take(25)
    await until(lambda: both.there.left(1) == 975)


async def test_it_looks_again_by_and_by_also_when_spoolman_was_away(both: Both) -> None:
    both.there.down = True
    both.again(every=0.05, together=0.01).start()
    await until(lambda: len(both.there.asked) > 4)
    both.there.down = False
    both.there.add()
    await until(lambda: both.shop.news("spool.updated"))
    both.there.use(1, 5)
    await until(lambda: both.shop.news("spool.updated")[-1]["remaining_g"] == 995)


async def test_the_command_looks_now(both: Both) -> None:
    both.there.add()
    both.shop.services.append(both.spoolman)
    assert (await both.shop.run("spoolman.sync"))["added"] == 1


async def test_without_an_address_there_is_no_spoolman(shop: Shop) -> None:
    async with ClientSession() as session:
        none = Spoolman(shop.books, shop.bus, Tasks(), session, "")
        none.start()
        with pytest.raises(Conflict) as error:
            await none.once()
    assert error.value.code == "spoolman_off"
    assert await none.health() is None


async def test_what_nobody_took_certainly_did_not_arrive(both: Both) -> None:
    await both.there.stop()
    async with ClientSession() as session:
        with pytest.raises(Unavailable) as error:
            await wire.Wire(session, wire.address(both.there.url)).use(1, 5)
    assert error.value.code == "spoolman_unreachable"
    assert wire.may_have_arrived(error.value) is False


@pytest.mark.parametrize("url", ["spoolman:7912", "ftp://spoolman", "http://", "http://[", "/x"])
async def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        wire.address(url)
    assert error.value.fields == {"field": "spoolman_url"}


@pytest.mark.parametrize(
    ("url", "api"),
    [
        ("http://spoolman:7912", "http://spoolman:7912/api/v1"),
        ("https://house/spoolman/", "https://house/spoolman/api/v1"),
        (" http://spoolman:7912/api/v1 ", "http://spoolman:7912/api/v1"),
    ],
)
async def test_an_address_may_have_a_path(url: str, api: str) -> None:
    assert str(wire.address(url)) == api
