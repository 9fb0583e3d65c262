"""Money: what may be spent, what was, and that no cap is ever passed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
import contextlib
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
import json
import threading
from typing import Any

from hypothesis import given, settings, strategies as st
import pytest
from sqlalchemy import select

from brain_server import metrics
from brain_server.commands import SYSTEM, NoParams, collect, prepare
from brain_server.errors import Forbidden, InvalidRequest
from brain_server.observability import Tasks
from brain_server.protocol import Json
from brain_server.providers import TierName
from brain_server.routing.budget import (
    MOST_TOKENS,
    STALE,
    Budget,
    Limits,
    Period,
    Reservation,
    SetLimits,
    SpendingPage,
    Step,
)
from brain_server.storage import Database, tables
from tests.brain.gatehouse import Clock
from tests.brain.home import until
from tests.brain.overtaken import overtaken
from tests.brain.soon import SOON

TODAY = "2026-11-21"


@dataclass(frozen=True, kw_only=True)
class Model:
    """A provider with a price; a million tokens in for one euro, out for four."""

    id: str = "p" * 32
    tier: TierName = TierName.FRONTIER
    price_in: float | None = 1.0
    price_out: float | None = 4.0


CLOUD = Model()
# A call of this costs exactly a cent: 2,000 tokens in, 2,000 out.
CENT = (2000, 2000)


class House:
    """A budget, its clock, its calendar and what it told."""

    def __init__(self, database: Database, clock: Clock, **limits: Any) -> None:
        """Start on a day of November."""
        self.database = database
        self.clock = clock
        self.day = TODAY
        self.told: list[tuple[str, Json]] = []
        self.budget = Budget(
            database,
            Limits(**({"daily": 1.0, "monthly": 10.0} | limits)),
            clock,
            lambda: self.day,
            lambda name, data: self.told.append((name, data)),
        )

    async def reserve(
        self, model: Model = CLOUD, size: tuple[int, int] = CENT, conversation: str = "c"
    ) -> Reservation:
        """Set aside what a call costs, a cent if nothing else is said."""
        return await self.budget.reserve("r", conversation, model, *size, model="gpt")

    async def spend(self, calls: int = 1) -> None:
        """Make calls of a cent each."""
        for _ in range(calls):
            await self.budget.settle(await self.reserve(), *CENT)

    async def status(self) -> Json:
        """Return the status as a client sees it."""
        return await self.budget.status(SYSTEM, NoParams())

    async def limit(self, **limits: Any) -> Json:
        """Change limits as an admin does."""
        return await self.budget.set_limits(SYSTEM, SetLimits(**limits))

    async def rows(self) -> list[Json]:
        """Return the ledger as it is stored."""
        query = select(tables.spending).order_by(tables.spending.c.id)
        return await self.database.read(
            lambda connection: [dict(row) for row in connection.execute(query).mappings()]
        )


def at(moment: str) -> float:
    """Return a moment as the brain tells it."""
    return datetime.fromisoformat(moment).timestamp()


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    """Open the database of a brain."""
    made = Database(url, tables.brain, name="brain", durable=False)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def house(tmp_path: Any, clock: Clock) -> AsyncIterator[House]:
    """Give a budget of one euro a day and ten a month."""
    async with opened(f"sqlite:///{tmp_path / 'brain.db'}") as database:
        yield House(database, clock)


async def refused(house: House, **asked: Any) -> Forbidden:
    """Return how a call was refused."""
    with pytest.raises(Forbidden) as error:
        await house.reserve(**asked)
    return error.value


class Held:
    """Work in the thread that writes, held until a test lets it go on."""

    def __init__(self) -> None:
        """Hold it."""
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self, *_given: object) -> None:
        """Wait there."""
        self.begun.set()
        self.go.wait(SOON)


async def test_who_is_called_off_while_money_is_set_aside_gets_it_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was sent; by nobody settled, it would count as spent."""
    sums, held = house.budget._sums, Held()

    def late(*given: Any) -> Any:
        held()
        return sums(*given)

    monkeypatch.setattr(house.budget, "_sums", late)
    asking = Tasks().start("asking", house.reserve())
    await until(held.begun.is_set, "that it is being written")
    asking.cancel()
    held.go.set()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert [row["status"] for row in await house.rows()] == ["released"]
    assert (await house.status())["day"]["spent"] == 0


@pytest.mark.parametrize(("sent", "spent"), [(True, 0.01), (False, 0)])
async def test_who_is_called_off_while_it_is_settled_has_settled_it(
    house: House, *, sent: bool, spent: float
) -> None:
    """What waits for its turn to be written is not taken back."""
    aside, held = await house.reserve(size=(2000, 200_000)), Held()
    writing = Tasks().start("writing", house.database.write(held))
    await until(held.begun.is_set, "that something is being written")
    budget = house.budget
    ending = budget.settle(aside, *CENT) if sent else budget.release(aside)
    settling = Tasks().start("settling", ending)
    await until(lambda: not house.database._queue.empty(), "that it waits")
    settling.cancel()
    held.go.set()
    with pytest.raises(asyncio.CancelledError):
        await settling
    await writing
    await house.database.write(lambda _connection: None)  # what waited before is written by now
    assert (await house.status())["day"]["spent"] == spent


# -- before the call ----------------------------------------------------------------------------------


async def test_the_most_that_a_call_can_cost_is_set_aside(house: House) -> None:
    """It counts as spent at once."""
    await house.reserve()
    [row] = await house.rows()
    assert (row["status"], row["reserved_micro"], row["cost_micro"]) == ("reserved", 10_000, None)
    assert (await house.status())["day"].items() >= {"spent": 0.01, "cap": 1.0}.items()


async def test_a_call_that_would_pass_the_cap_of_the_day_is_refused(house: House) -> None:
    """One that fits to the last millionth is not."""
    await house.reserve(size=(0, 250_000 - 1))
    error = await refused(house, size=(5, 0))
    assert error.code == "budget_exhausted"
    assert error.fields == {
        "period": "day",
        "spent": 0.999996,
        "cap": 1.0,
        "currency": "EUR",
    }
    await house.reserve(size=(4, 0))
    assert (await house.status())["day"]["spent"] == 1.0


async def test_a_call_that_would_pass_the_cap_of_the_month_is_refused(house: House) -> None:
    """Even on a day on which nothing was spent."""
    await house.limit(daily=100.0)
    await house.reserve(size=(0, 2_500_000))
    house.day = "2026-11-30"
    error = await refused(house)
    assert error.fields["period"] == "month"


async def test_what_is_refused_leaves_no_trace_in_the_ledger(house: House) -> None:
    """Nothing was spent and nothing is set aside."""
    await refused(house, size=(0, 250_001))
    assert await house.rows() == []


async def test_a_new_day_has_its_own_cap(house: House) -> None:
    """What was spent yesterday counts for the month."""
    await house.spend(3)
    house.day = "2026-11-22"
    status = await house.status()
    assert (status["day"]["spent"], status["month"]["spent"]) == (0.0, 0.03)


async def test_a_new_month_starts_from_nothing(house: House) -> None:
    """Also from the last of one to the first of the next."""
    house.day = "2026-11-30"
    await house.spend()
    house.day = "2026-12-01"
    assert (await house.status())["month"]["spent"] == 0.0


FREE = [
    Model(tier=TierName.LOCAL, price_in=None, price_out=None),
    Model(tier=TierName.LOCAL),
    Model(price_in=0.0, price_out=0.0),
    Model(tier=TierName.MCP, price_in=0, price_out=0),
]


@pytest.mark.parametrize("model", FREE)
async def test_what_is_free_is_never_refused(house: House, model: Model) -> None:
    """With nothing left, too; and it takes no line in the ledger."""
    await house.limit(daily=0)
    reservation = await house.reserve(model, (10**9, 10**9))
    assert not reservation.exceeded(10**9 + 1)
    assert await house.budget.settle(reservation, 10, 10) == 0.0
    await house.budget.release(reservation)
    assert await house.rows() == []


UNKNOWN = [
    Model(price_in=None, price_out=None),
    Model(price_in=None),
    Model(price_out=None),
    Model(tier=TierName.MCP, price_in=None, price_out=0.0),
    Model(tier=TierName.AGENT, price_in=0.0, price_out=None),
]


@pytest.mark.parametrize("model", UNKNOWN)
async def test_what_has_no_known_price_is_refused_outside_the_house(
    house: House, model: Model
) -> None:
    """Nobody could say what it costs."""
    error = await refused(house, model=model)
    assert (error.code, error.fields) == ("price_unknown", {"provider": model.id})


async def test_a_price_that_floats_cannot_carry_is_counted_exactly(house: House) -> None:
    """Ten times ten cents are one euro, and not a little more."""
    dime = Model(price_in=0.1, price_out=0.0)
    for _ in range(10):
        await house.reserve(dime, (1_000_000, 0))
    assert (await house.status())["day"]["spent"] == 1.0
    assert (await refused(house, model=dime, size=(1, 0))).code == "budget_exhausted"


async def test_a_part_of_a_millionth_is_rounded_up(house: House) -> None:
    """What costs something is never free."""
    cheap = Model(price_in=0.05, price_out=0.0)
    reservation = await house.reserve(cheap, (1, 1))
    assert await house.budget.settle(reservation, 1, 1) == 0.000001


# -- during the call ----------------------------------------------------------------------------------


async def test_an_answer_may_grow_to_what_was_set_aside_and_no_further(house: House) -> None:
    """Whoever streams it cuts it there."""
    reservation = await house.reserve(size=(10, 100))
    assert not reservation.exceeded(100)
    assert reservation.exceeded(101)


# -- after the call -----------------------------------------------------------------------------------


async def test_a_call_costs_what_it_used(house: House) -> None:
    """The rest of what was set aside is free again."""
    reservation = await house.reserve()
    assert await house.budget.settle(reservation, 1000, 250, model="gpt-6") == 0.002
    [row] = await house.rows()
    assert (row["status"], row["cost_micro"]) == ("settled", 2000)
    assert (row["tokens_in"], row["tokens_out"], row["model"]) == (1000, 250, "gpt-6")
    assert row["settled_at"] == house.clock.now
    assert (await house.status())["day"]["spent"] == 0.002


UNTOLD = [
    ((None, None), 0.01),
    ((None, 0), 0.002),
    ((0, None), 0.008),
    ((-1, -5), 0.01),
    ((MOST_TOKENS + 1, 10**40), 0.01),
]


@pytest.mark.parametrize(("used", "cost"), UNTOLD)
async def test_what_a_provider_does_not_tell_costs_what_was_set_aside(
    house: House, used: tuple[int | None, int | None], cost: float
) -> None:
    """Neither silence nor nonsense makes a call free."""
    assert await house.budget.settle(await house.reserve(), *used) == cost


async def test_more_than_was_set_aside_is_recorded_as_it_is(house: House) -> None:
    """The ledger tells the truth, and the next call is refused."""
    await house.budget.settle(await house.reserve(), 3_000_000, 0)
    assert (await house.status())["day"]["spent"] == 3.0
    assert (await refused(house)).fields["spent"] == 3.0


async def test_what_was_not_sent_costs_nothing(house: House) -> None:
    """It stays in the ledger, as given back."""
    await house.budget.release(await house.reserve())
    [row] = await house.rows()
    assert (row["status"], row["cost_micro"]) == ("released", 0)
    assert (await house.status())["day"]["spent"] == 0.0


async def test_a_call_ends_only_once(house: House) -> None:
    """A second end changes nothing."""
    metrics.clear()
    reservation = await house.reserve()
    await house.budget.settle(reservation, *CENT)
    await house.budget.settle(reservation, 0, 0)
    await house.budget.settle(reservation, 1000, 1000)
    await house.budget.release(reservation)
    [row] = await house.rows()
    assert (row["status"], row["cost_micro"]) == ("settled", 10_000)
    seen = await asyncio.to_thread(metrics.render, {})
    assert 'kitty_tokens_total{tier="frontier",direction="in"} 2000\n' in seen


async def test_a_price_beyond_all_reason_breaks_nothing(house: House) -> None:
    """It is refused before, and recorded as the most that there is after."""
    absurd = Model(price_in=1e30, price_out=0.0)
    assert (await refused(house, model=absurd)).code == "budget_exhausted"
    reservation = await house.reserve(absurd, (0, 0))
    await house.budget.settle(reservation, 1000, 0)
    assert await house.budget.level() is Step.LOCAL_ONLY


async def test_what_is_told_of_a_change_can_also_be_asked(house: House) -> None:
    """For who comes later."""
    await house.spend(80)
    [(_, told)] = house.told
    assert await house.budget.view() == told


async def test_a_call_that_ends_after_midnight_counts_on_the_day_it_began(house: House) -> None:
    """Whose cap allowed it."""
    reservation = await house.reserve()
    house.day = "2026-11-22"
    await house.budget.settle(reservation, *CENT)
    assert (await house.status())["day"]["spent"] == 0.0
    assert [row["day"] for row in await house.rows()] == [TODAY]


async def test_what_is_used_shows_in_the_metrics(house: House) -> None:
    """Money and tokens by tier, those of free calls, too."""
    metrics.clear()
    await house.spend()
    await house.budget.settle(await house.reserve(FREE[0]), 7, 3)
    lines = (await asyncio.to_thread(metrics.render, {})).splitlines()
    assert 'kitty_cost_total{tier="frontier"} 0.01' in lines
    assert 'kitty_tokens_total{tier="frontier",direction="in"} 2000' in lines
    assert 'kitty_tokens_total{tier="local",direction="out"} 3' in lines


# -- after a crash ------------------------------------------------------------------------------------


async def test_what_a_dead_process_left_open_counts_as_spent(house: House, clock: Clock) -> None:
    """The money may be gone: nobody saw the end of the answer."""
    await house.reserve()
    clock.now += 1
    after = House(house.database, clock)
    assert await after.budget.recover() == 1
    [row] = await after.rows()
    assert (row["status"], row["cost_micro"]) == ("lost", 10_000)
    assert (await after.status())["day"]["spent"] == 0.01


async def test_what_this_process_has_open_is_not_given_up(house: House) -> None:
    """Until it is so long past that nobody can be waiting for it."""
    house.clock.now += 10
    await house.reserve()
    house.clock.now += STALE
    assert await house.budget.recover() == 0
    house.clock.now += 1
    assert await house.budget.recover() == 1


async def test_a_call_that_was_given_up_may_still_tell_what_it_cost(
    house: House, clock: Clock
) -> None:
    """The truth is better than a guess."""
    reservation = await house.reserve()
    clock.now += 1
    after = House(house.database, clock)
    await after.budget.recover()
    await after.budget.settle(reservation, 1000, 0)
    [row] = await after.rows()
    assert (row["status"], row["cost_micro"]) == ("settled", 1000)


# -- steps --------------------------------------------------------------------------------------------


async def test_from_the_soft_share_on_what_is_cheap_is_preferred(
    house: House, berlin: None
) -> None:
    """Told once, and since when it counts."""
    await house.spend(79)
    assert await house.budget.level() is Step.NORMAL
    await house.spend(3)
    assert await house.budget.level() is Step.SOFT
    [(name, data)] = house.told
    assert name == "budget.updated"
    assert data == {
        "step": "soft",
        "today": TODAY,
        "day": {"spent": 0.8, "cap": 1.0, "since": at("2026-11-20T23:00Z")},
        "month": {"spent": 0.8, "cap": 10.0, "since": at("2026-10-31T23:00Z")},
        "soft": 0.8,
        "currency": "EUR",
    }


async def test_at_the_cap_only_what_is_free_is_left(house: House) -> None:
    """Each step is told once."""
    await house.spend(100)
    await refused(house)
    assert await house.budget.level() is Step.LOCAL_ONLY
    assert [data["step"] for _, data in house.told] == ["soft", "local_only"]


@pytest.mark.parametrize("ask", ["level", "status"])
async def test_what_was_read_before_the_last_cent_is_not_told_after_it(
    house: House, monkeypatch: pytest.MonkeyPatch, ask: str
) -> None:
    read = house.database.read

    async def late(work: Any) -> Any:
        monkeypatch.undo()
        found = await read(work)
        await house.reserve(size=(1_000_000, 0))
        return found

    monkeypatch.setattr(house.database, "read", late)
    await (house.budget.level() if ask == "level" else house.status())
    assert [data["step"] for _, data in house.told] == ["local_only"]
    assert await house.budget.level() is Step.LOCAL_ONLY


async def test_the_caps_that_came_last_are_told_last(house: House) -> None:
    """However long it takes to read what they were before."""
    await overtaken(house.database, lambda: house.limit(daily=2.0), lambda: house.limit(daily=3.0))
    assert house.told[-1][1]["day"]["cap"] == 3.0


async def test_the_month_has_the_same_steps(house: House) -> None:
    """The harder of the two holds."""
    await house.limit(daily=100.0, monthly=0.1)
    await house.spend(8)
    assert await house.budget.level() is Step.SOFT
    await house.spend(2)
    assert await house.budget.level() is Step.LOCAL_ONLY


async def test_a_new_day_takes_the_steps_back(house: House) -> None:
    """Whoever asks for the level brings it to light."""
    await house.spend(100)
    house.day = "2026-11-22"
    assert await house.budget.level() is Step.NORMAL
    assert [data["step"] for _, data in house.told] == ["soft", "local_only", "normal"]


async def test_a_new_day_is_told_though_nobody_asks(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once: what shows the budget shows nothing spent."""
    await house.spend()
    monkeypatch.setattr("brain_server.routing.budget.LOOK_EVERY", 0.001)
    looks = Tasks().start("days", house.budget.keep_days())
    for day in ("2026-11-22", "2026-12-01"):
        house.day = day
        await until(lambda day=day: house.told and house.told[-1][1]["today"] == day, day)
        await asyncio.sleep(0.02)  # nothing more comes
    looks.cancel()
    assert [(data["day"]["spent"], data["month"]["spent"]) for _, data in house.told] == [
        (0.0, 0.01),
        (0.0, 0.0),
    ]


async def test_what_is_given_back_takes_a_step_back(house: House) -> None:
    """Told like any other."""
    reservation = await house.reserve(size=(0, 250_000))
    await house.budget.release(reservation)
    assert [data["step"] for _, data in house.told] == ["local_only", "normal"]


async def test_with_a_cap_of_nothing_only_what_is_free_is_left(house: House) -> None:
    """From the first moment on."""
    await house.limit(monthly=0)
    assert await house.budget.level() is Step.LOCAL_ONLY
    assert (await refused(house)).fields["period"] == "month"


# -- limits -------------------------------------------------------------------------------------------


async def test_limits_change_at_once_and_outlive_the_process(house: House, clock: Clock) -> None:
    """What is left out stays as it was."""
    assert (await house.limit(daily=0.02, currency="USD"))["day"]["cap"] == 0.02
    await house.limit(soft=0.5)
    after = House(house.database, clock)
    await after.spend(1)
    status = await after.status()
    assert (status["currency"], status["soft"], status["step"]) == ("USD", 0.5, "soft")
    assert (status["day"]["cap"], status["month"]["cap"]) == (0.02, 10.0)


BAD = [
    {"daily": -1},
    {"monthly": -0.01},
    {"daily": 1e10},
    {"soft": 0},
    {"soft": 1.1},
    {"currency": "euro"},
    {"weekly": 3},
]


@pytest.mark.parametrize("params", BAD)
async def test_limits_that_make_no_sense_are_refused(house: House, params: Json) -> None:
    """Before anything is changed."""
    spec = collect(house.budget)["budget.set_limits"]
    with pytest.raises(InvalidRequest) as error:
        prepare(spec, SYSTEM, params)
    assert error.value.code == "invalid_params"


# -- what clients see ---------------------------------------------------------------------------------


async def test_the_status_tells_on_what_the_money_went(house: House) -> None:
    """The dearest first; what was given back does not count."""
    agent = Model(id="a" * 32, tier=TierName.AGENT)
    await house.spend(2)
    await house.budget.settle(await house.reserve(agent), 30_000, 0, model="deep")
    await house.budget.release(await house.reserve())
    assert (await house.status())["models"] == [
        {
            "tier": "agent",
            "provider_id": "a" * 32,
            "model": "deep",
            "calls": 1,
            "cost": 0.03,
            "tokens_in": 30_000,
            "tokens_out": 0,
        },
        {
            "tier": "frontier",
            "provider_id": "p" * 32,
            "model": "gpt",
            "calls": 2,
            "cost": 0.02,
            "tokens_in": 4000,
            "tokens_out": 4000,
        },
    ]


async def test_the_ledger_is_listed_in_pages(house: House) -> None:
    """Oldest first, in units of the currency."""
    await house.spend(2)
    await house.reserve()
    first = await house.budget.list(SYSTEM, SpendingPage(limit=2))
    rest = await house.budget.list(SYSTEM, SpendingPage(limit=2, cursor=first["cursor"]))
    found = [*first["items"], *rest["items"]]
    assert [(row["status"], row["reserved"], row["cost"]) for row in found] == [
        ("settled", 0.01, 0.01),
        ("settled", 0.01, 0.01),
        ("reserved", 0.01, None),
    ]
    assert rest["cursor"] is None


async def test_the_ledger_of_one_conversation_or_day_can_be_listed(house: House) -> None:
    """By either or both."""
    await house.reserve(conversation="one")
    house.day = "2026-11-22"
    await house.reserve(conversation="one")
    await house.reserve(conversation="two")
    pages = [
        SpendingPage(conversation_id="one"),
        SpendingPage(day="2026-11-22"),
        SpendingPage(conversation_id="one", day="2026-11-22"),
    ]
    found = [await house.budget.list(SYSTEM, page) for page in pages]
    assert [len(page["items"]) for page in found] == [2, 2, 1]


# -- several at once ----------------------------------------------------------------------------------


async def test_no_cap_is_passed_by_two_processes_that_reserve_at_once(
    database_url: str, clock: Clock
) -> None:
    """Of fifty calls that come together exactly those go through that the cap allows."""
    async with opened(database_url) as one, opened(database_url) as other:
        houses = [House(one, clock, daily=0.2), House(other, clock, daily=0.2)]
        asked = [houses[number % 2].reserve() for number in range(50)]
        ended = await asyncio.gather(*asked, return_exceptions=True)
        went = [end for end in ended if isinstance(end, Reservation)]
        codes = {end.code for end in ended if isinstance(end, Forbidden)}
        assert (len(went), codes) == (20, {"budget_exhausted"})
        assert (await houses[0].status())["day"]["spent"] == 0.2


@pytest.mark.service
async def test_what_another_process_has_open_is_not_given_up(postgres: Any, clock: Clock) -> None:
    """Only what is long past, on a database that several may use."""
    url = postgres.new_database()
    async with opened(url) as one, opened(url) as other:
        await House(one, clock).reserve()
        clock.now += 60
        after = House(other, clock)
        assert await after.budget.recover() == 0
        clock.now += STALE
        assert await after.budget.recover() == 1
        json.dumps([await after.status(), await after.budget.list(SYSTEM, SpendingPage())])
    postgres.give_back(url)


ENDS: dict[str, Callable[[Budget, Reservation, float], Awaitable[object]]] = {
    "settle": lambda budget, call, share: budget.settle(
        call, int(call.tokens_in * share), int(call.max_tokens_out * share)
    ),
    "untold": lambda budget, call, _share: budget.settle(call, None, None),
    "release": lambda budget, call, _share: budget.release(call),
    "crash": lambda _budget, _call, _share: asyncio.sleep(0),
}
CALLS = st.lists(
    st.tuples(
        st.tuples(st.integers(0, 40_000), st.integers(0, 20_000)),
        st.sampled_from(sorted(ENDS)),
        st.floats(0, 1),
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=25)
@given(calls=CALLS)
async def test_whatever_happens_the_sum_is_that_of_the_rows_and_under_the_cap(
    calls: list[tuple[tuple[int, int], str, float]],
) -> None:
    """As long as no call uses more than was set aside for it."""
    async with opened("sqlite:///file:money?mode=memory&uri=true&cache=shared") as database:
        house = House(database, Clock(), daily=0.1)
        for size, end, share in calls:
            with contextlib.suppress(Forbidden):
                await ENDS[end](house.budget, await house.reserve(size=size), share)
        page = await house.budget.list(SYSTEM, SpendingPage())
        amounts = [row["reserved"] if row["cost"] is None else row["cost"] for row in page["items"]]
        spent = (await house.status())["day"]["spent"]
        assert spent == pytest.approx(sum(amounts), abs=1e-9)
        assert spent <= 0.1


# -- by day -------------------------------------------------------------------------------------------


async def test_what_was_spent_is_told_by_day_and_model(house: House) -> None:
    """Oldest day first, the dearest first; what was before does not count."""
    house.day = "2026-10-22"
    await house.spend()
    house.day = "2026-10-23"
    await house.spend(2)
    house.day = TODAY
    await house.spend()
    dear = await house.reserve(Model(id="d" * 32, price_in=2.0, price_out=8.0))
    await house.budget.settle(dear, *CENT)
    found = await house.budget.summary(SYSTEM, Period(days=30))
    assert {name: found[name] for name in ("since", "today", "currency")} == {
        "since": "2026-10-23",
        "today": TODAY,
        "currency": "EUR",
    }
    rows = [
        (row["day"], row["provider_id"][0], row["calls"], row["cost"]) for row in found["items"]
    ]
    assert rows == [("2026-10-23", "p", 2, 0.02), (TODAY, "d", 1, 0.02), (TODAY, "p", 1, 0.01)]


async def test_a_call_that_was_never_sent_is_in_no_sum(house: House) -> None:
    await house.budget.release(await house.reserve())
    assert (await house.budget.summary(SYSTEM, Period()))["items"] == []


async def test_new_limits_are_told_also_where_the_step_stays(house: House) -> None:
    """Once; somebody else may be looking at them."""
    await house.status()
    await house.limit(daily=7.5)
    [(name, told)] = house.told
    assert (name, told["step"], told["day"]["cap"]) == ("budget.updated", "normal", 7.5)
    assert "models" not in told


async def test_limits_that_change_the_step_are_told_once(house: House) -> None:
    await house.limit(daily=0.0)
    assert [told["step"] for _name, told in house.told] == ["local_only"]
