"""Work is done once, whoever dies over it, and what cannot be done is not lost."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from itertools import chain, repeat
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, select

from brain_server.errors import Conflict, InvalidRequest, NotFound, Unavailable
from brain_server.protocol import Json
from brain_server.schedule import Later, Run, put
from brain_server.schedule.commands import WorkId, WorkPage
from brain_server.schedule.queue import LATER, MOST_LOST, Outcome, Rows
from brain_server.storage import Database, tables
from brain_server.storage.tables import outbox, stock_limits, work
from tests.brain.gatehouse import Clock
from tests.brain.home import until
from tests.brain.schedule.conftest import PERSON, Brain, House


async def nothing(_run: Run) -> Json:
    """Do work that gives a result."""
    return {"done": True}


async def for_ever(_run: Run) -> None:
    """Never return."""
    await asyncio.Event().wait()


async def test_work_is_done_and_says_what_came_of_it(brain: Brain) -> None:
    """A piece goes from pending to completed, with its result."""
    brain.can("sum", nothing)
    await brain.schedule.start(alone=True)
    row = await brain.ended(await brain.schedule.add("sum", {}))
    assert (row["status"], row["result"], len(row["attempts"])) == ("completed", {"done": True}, 1)


async def test_the_same_key_is_the_same_work(brain: Brain) -> None:
    """A double tap makes one piece."""
    first = await brain.schedule.add("sum", {}, key="once")
    assert await brain.schedule.add("sum", {}, key="once") == first
    assert len(await brain.listed()) == 1


async def test_work_of_another_transaction_comes_with_it_or_not_at_all(
    brain: Brain, database: Database, clock: Clock
) -> None:
    """What is put in a transaction that fails was never there."""

    def broken(connection: Connection) -> None:
        put(connection, clock(), "sum", {})
        raise Conflict("no", "No")

    with pytest.raises(Conflict):
        await database.write(broken)
    assert await brain.listed() == []


async def test_the_more_urgent_comes_first_and_the_old_is_not_starved(
    brain: Brain, clock: Clock
) -> None:
    """Ten comes before one; but what has waited for two hours comes before a new ten."""
    order: list[str] = []

    async def note(run: Run) -> None:
        order.append(run.payload["name"])

    brain.can("note", note)
    await brain.schedule.add("note", {"name": "old and low"}, priority=1)
    clock.advance(7200)
    await brain.schedule.add("note", {"name": "new and low"}, priority=1)
    await brain.schedule.add("note", {"name": "new and high"}, priority=10)
    await brain.schedule.start(alone=True)
    await until(lambda: len(order) == 3, "all done")
    assert order == ["old and low", "new and high", "new and low"]


@pytest.mark.parametrize("priority", [0, 11])
async def test_a_priority_out_of_range_is_refused(brain: Brain, priority: int) -> None:
    """Priorities are 1 to 10."""
    with pytest.raises(InvalidRequest) as caught:
        await brain.schedule.add("sum", {}, priority=priority)
    assert caught.value.code == "invalid_priority"


async def test_one_slow_piece_does_not_hold_up_the_others(brain: Brain) -> None:
    """Of five, one hangs; four are done meanwhile, and then it times out and is tried again."""
    begun: Counter[int] = Counter()

    async def work_on(run: Run) -> None:
        number = run.payload["number"]
        begun[number] += 1
        if number == 0 and begun[0] == 1:
            await asyncio.Event().wait()

    brain.can("five", work_on, concurrency=5, timeout=0.3)
    ids = [await brain.schedule.add("five", {"number": number}) for number in range(5)]
    await brain.schedule.start(alone=True)
    rows = [await brain.ended(identity) for identity in ids]
    assert {row["status"] for row in rows} == {"completed"}
    assert [one["outcome"] for one in rows[0]["attempts"]] == ["timed_out", "completed"]
    assert [begun[number] for number in range(5)] == [2, 1, 1, 1, 1]


async def test_work_that_fails_is_tried_again_with_growing_waits_and_then_given_up(
    brain: Brain, clock: Clock
) -> None:
    """Three tries, then it is dead, and says why; a person can have it tried again."""
    broken = True
    waits: list[float] = []

    async def fail(_run: Run) -> Json:
        if broken:
            raise Unavailable("printer_offline", "The printer is away")
        return {}

    brain.can("print", fail, first_wait=10.0)
    identity = await brain.schedule.add("print", {})
    await brain.schedule.start(alone=True)
    for tries in (1, 2):
        row = await _tried(brain, identity, tries)
        waits.append(row["due_at"] - clock())
        clock.advance(waits[-1])
    dead = await brain.ended(identity, "dead")
    assert (waits, dead["error"]["code"]) == ([10, 20], "printer_offline")
    broken = False
    await brain.schedule.work.retry(PERSON, WorkId(work_id=identity))
    assert (await brain.ended(identity))["status"] == "completed"


async def _tried(brain: Brain, identity: str, tries: int) -> Json:
    while True:
        row = await brain.ended(identity, "pending")
        if len([one for one in row["attempts"] if one["finished_at"] is not None]) == tries:
            return row
        await asyncio.sleep(0.005)  # until the next look


async def test_what_can_never_work_is_given_up_at_once(brain: Brain) -> None:
    """Words that are wrong do not become right by saying them three times."""

    async def refuse(_run: Run) -> None:
        raise InvalidRequest("invalid_params", "No such thing")

    brain.can("wrong", refuse)
    await brain.schedule.start(alone=True)
    row = await brain.ended(await brain.schedule.add("wrong", {}))
    assert (row["status"], len(row["attempts"])) == ("dead", 1)


async def test_a_programming_error_is_a_failure_like_any_other(brain: Brain) -> None:
    """It neither stops the worker nor shows its insides."""

    async def broken(_run: Run) -> None:
        raise ZeroDivisionError("secret")

    brain.can("broken", broken, tries=1)
    brain.can("sum", nothing)
    await brain.schedule.start(alone=True)
    row = await brain.ended(await brain.schedule.add("broken", {}))
    assert row["error"] == {"code": "internal_error", "message": "ZeroDivisionError"}
    assert (await brain.ended(await brain.schedule.add("sum", {})))["status"] == "completed"


async def test_work_that_cannot_go_on_yet_comes_back_at_no_cost(brain: Brain, clock: Clock) -> None:
    """Waiting is no failure."""
    tries: list[int] = []

    async def wait(run: Run) -> None:
        tries.append(run.tries)
        if len(tries) < 5:
            raise Later(60)

    brain.can("wait", wait)
    identity = await brain.schedule.add("wait", {})
    await brain.schedule.start(alone=True)
    for round_ in range(1, 5):
        await until(lambda: len(tries) == round_, "waits")  # noqa: B023 - used at once
        await brain.ended(identity, "pending")
        clock.advance(60)
    row = await brain.ended(identity, "completed")
    assert tries == [1, 1, 1, 1, 1]
    # Nor is it written down: what waits for days looks again thousands of times.
    assert [one["outcome"] for one in row["attempts"]] == ["completed"]


async def test_cancelled_work_stops_or_never_begins(brain: Brain) -> None:
    """What waits is gone at once, what runs is stopped."""
    brain.can("long", for_ever)
    running = await brain.schedule.add("long", {})
    waiting = await brain.schedule.add("long", {})
    await brain.schedule.start(alone=True)
    await brain.ended(running, "running")
    await brain.schedule.work.cancel(PERSON, WorkId(work_id=waiting))
    await brain.schedule.work.cancel(PERSON, WorkId(work_id=running))
    assert (await brain.ended(running))["status"] == "cancelled"
    assert (await brain.ended(waiting))["attempts"] == []
    with pytest.raises(Conflict) as caught:
        await brain.schedule.work.cancel(PERSON, WorkId(work_id=running))
    assert caught.value.code == "work_over"


async def test_what_is_cancelled_may_clear_up(brain: Brain) -> None:
    """What a handler does at its end, such as booking what was spent, is not broken off."""
    begun, cleared = asyncio.Event(), asyncio.Event()

    async def work_on(_run: Run) -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)  # as long as a write takes
            cleared.set()

    brain.can("tidy", work_on)
    await brain.schedule.start(alone=True)
    identity = await brain.schedule.add("tidy", {})
    await begun.wait()
    await brain.schedule.work.cancel(PERSON, WorkId(work_id=identity))
    assert (await brain.ended(identity))["status"] == "cancelled"
    assert cleared.is_set()


async def test_work_held_by_another_brain_is_cancelled_there(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever holds it hears of it when it next renews its lease."""
    monkeypatch.setattr("brain_server.schedule.worker.RENEW", 0.05)
    one, other = home.brain(), home.brain()
    one.can("long", for_ever)
    await one.schedule.start(alone=True)
    identity = await one.schedule.add("long", {})
    await one.ended(identity, "running")
    await other.schedule.work.cancel(PERSON, WorkId(work_id=identity))
    assert (await one.ended(identity))["status"] == "cancelled"


@pytest.mark.parametrize("outcome", ["failed", "cancelled", LATER])
async def test_what_was_cancelled_while_its_try_ended_is_not_tried_again(
    rows: tuple[Rows, Rows, Ticks], sqlite_brain: Database, clock: Clock, outcome: str
) -> None:
    """It failed, or its process went, or it had to wait; whoever cancelled it was told that it ends."""
    one, two, _ = rows
    identity = await _one(one, clock, sqlite_brain)
    [held] = await one.take({"sum": 1}, 1, no_word)
    await two.cancel(identity)
    told: list[str] = []
    row = await one.end(
        held,
        Outcome(status="pending", outcome=outcome),
        lambda _connection, _held, ended: told.append(ended.status),
    )
    assert (row["status"], row["finished_at"], told) == ("cancelled", clock(), ["cancelled"])
    assert await one.take({"sum": 1}, 1, no_word) == []


async def test_an_answer_about_an_earlier_try_ends_no_later_one(
    brain: Brain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease was being renewed when the first try ended; the second was begun before the answer."""
    worker, begun, asked = brain.schedule.worker, asyncio.Event(), asyncio.Event()
    fail, go, tries = asyncio.Event(), asyncio.Event(), []

    async def work_on(run: Run) -> Json:
        tries.append(run.tries)
        if len(tries) == 1:
            await fail.wait()
            raise Unavailable("no", "Not now")
        begun.set()
        await go.wait()
        return {"done": True}

    renew = worker._rows.renew

    async def late(held: Mapping[str, int]) -> dict[str, bool]:
        asked.set()
        await begun.wait()
        return await renew(held)

    monkeypatch.setattr(worker._rows, "renew", late)
    brain.can("sum", work_on)
    await brain.schedule.start(alone=True)
    identity = await brain.schedule.add("sum", {})
    await until(lambda: tries, "the first try")
    renewing = brain.tasks.start("renewing", worker._renew())
    await asked.wait()
    fail.set()
    await renewing
    go.set()
    row = await brain.ended(identity)
    assert [one["outcome"] for one in row["attempts"]] == ["failed", "completed"]


async def test_an_orderly_end_puts_work_back(home: House) -> None:
    """What was under way is done by the next life, and the try that was cut off does not count."""
    first, second = home.brain(), home.brain()
    first.can("sum", for_ever)
    await first.schedule.start(alone=True)
    identity = await first.schedule.add("sum", {})
    await first.ended(identity, "running")
    await first.schedule.stop()
    second.can("sum", nothing, tries=1)
    await second.schedule.start(alone=True)
    row = await second.ended(identity)
    assert [one["outcome"] for one in row["attempts"]] == ["cancelled", "completed"]


async def test_two_brains_do_each_piece_once(home: House) -> None:
    """Twenty pieces, two takers: one try each."""
    done: Counter[str] = Counter()

    async def count(run: Run) -> None:
        await asyncio.sleep(0)  # so that the other brain takes its share
        done[run.id] += 1

    brains = [home.brain(), home.brain()]
    for brain in brains:
        brain.can("count", count, concurrency=4)
    ids = [await brains[0].schedule.add("count", {}) for _ in range(20)]
    for brain in brains:
        await brain.schedule.start(alone=False)
    rows = [await brains[0].ended(identity) for identity in ids]
    assert [len(row["attempts"]) for row in rows] == [1] * 20
    assert dict(done) == dict.fromkeys(ids, 1)


async def test_no_more_of_a_kind_runs_at_once_than_it_may_in_the_whole_house(home: House) -> None:
    """The bound holds for all brains together."""
    running, most = 0, 0

    async def watch(_run: Run) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)  # work that takes its time
        running -= 1

    brains = [home.brain(), home.brain()]
    for brain in brains:
        brain.can("narrow", watch, concurrency=2)
    ids = [await brains[0].schedule.add("narrow", {}) for _ in range(10)]
    for brain in brains:
        await brain.schedule.start(alone=False)
    for identity in ids:
        await brains[0].ended(identity)
    assert most == 2


class Ticks:
    """The seconds by which leases are measured."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def rows(sqlite_brain: Database, clock: Clock) -> tuple[Rows, Rows, Ticks]:
    """Give two owners of the work, and their clock."""
    ticks = Ticks()
    return (
        Rows(sqlite_brain, clock, "one", ticks=ticks),
        Rows(sqlite_brain, clock, "two", ticks=ticks),
        ticks,
    )


@pytest.fixture
async def sqlite_brain(tmp_path: Path) -> AsyncIterator[Database]:
    """Give an open database in a file."""
    made = Database(f"sqlite:///{tmp_path}/b.db", tables.brain, name="brain", durable=False)
    await made.open()
    yield made
    await made.close()


def no_word(*_given: object) -> None:
    """Tell nobody."""


async def _one(rows: Rows, clock: Clock, database: Database) -> str:
    return await database.write(lambda connection: put(connection, clock(), "sum", {}))


async def test_who_comes_back_late_can_write_nothing(
    rows: tuple[Rows, Rows, Ticks], sqlite_brain: Database, clock: Clock
) -> None:
    """After a pause longer than the lease the work is another's, and the fence tells."""
    one, two, ticks = rows
    await _one(one, clock, sqlite_brain)
    [held] = await one.take({"sum": 1}, 1, no_word)
    assert await two.take({"sum": 1}, 1, no_word) == []
    ticks.now += 10.5
    [taken] = await two.take({"sum": 1}, 1, no_word)
    assert taken.fence == held.fence + 1
    for late in (
        one.write(held, lambda connection: connection.execute(insert(stock_limits))),
        one.once(held, "effect", lambda _connection: {}),
        one.note(held, 0.5, "late"),
    ):
        with pytest.raises(Conflict) as caught:
            await late
        assert caught.value.code == "lease_lost"
    assert await one.renew({held.id: held.fence}) == {}


async def test_who_renews_in_time_keeps_it(
    rows: tuple[Rows, Rows, Ticks], sqlite_brain: Database, clock: Clock
) -> None:
    """A lease lasts as long as it is renewed."""
    one, two, ticks = rows
    await _one(one, clock, sqlite_brain)
    [held] = await one.take({"sum": 1}, 1, no_word)
    for _ in range(3):
        ticks.now += 8
        assert await one.renew({held.id: held.fence}) == {held.id: False}
        assert await two.take({"sum": 1}, 1, no_word) == []


async def test_a_lease_of_another_life_of_the_machine_is_void(
    rows: tuple[Rows, Rows, Ticks], sqlite_brain: Database, clock: Clock
) -> None:
    """The seconds since the start begin anew; what was held until then is not held for ever."""
    one, two, ticks = rows
    await _one(one, clock, sqlite_brain)
    await one.take({"sum": 1}, 1, no_word)
    ticks.now = 5
    assert len(await two.take({"sum": 1}, 1, no_word)) == 1


async def test_a_change_of_the_clock_takes_no_work_away(
    rows: tuple[Rows, Rows, Ticks], sqlite_brain: Database, clock: Clock
) -> None:
    """Two hours forth or back, and whoever holds work still holds it."""
    one, two, _ = rows
    await _one(one, clock, sqlite_brain)
    [held] = await one.take({"sum": 1}, 1, no_word)
    for jump in (7200, -14_400):
        clock.advance(jump)
        assert await two.take({"sum": 1}, 1, no_word) == []
    assert await one.renew({held.id: held.fence}) == {held.id: False}


@pytest.mark.parametrize("ahead", [7200, 3 * 365 * 86_400])
async def test_what_waits_for_its_next_try_does_not_wait_for_a_clock_that_was_ahead(
    brain: Brain, clock: Clock, ahead: float
) -> None:
    """Its time was told by that clock; when this is right again, it is due."""
    tries: list[float] = []

    async def fail(_run: Run) -> None:
        tries.append(clock.now)
        if len(tries) < 2:
            raise Unavailable("no_answer", "Nobody answers")

    brain.can("fail", fail, first_wait=10.0)
    right = clock.now
    clock.advance(ahead)
    identity = await brain.schedule.add("fail", {})
    await brain.schedule.start(alone=True)
    await until(lambda: len(tries) == 1, "the first try")
    await brain.ended(identity, "pending")
    clock.now = right
    assert (await brain.ended(identity))["status"] == "completed"
    assert tries == [right + ahead, right]


async def test_what_is_to_come_later_comes_not_before(brain: Brain, clock: Clock) -> None:
    """Also where the clocks of two brains differ by some seconds."""
    brain.can("sum", nothing)
    identity = await brain.schedule.add("sum", {}, due_at=clock.now + 60)
    clock.advance(-30)
    await brain.schedule.start(alone=True)
    await asyncio.sleep(0.1)  # time for what must not happen
    assert (await brain.ended(identity, "pending"))["status"] == "pending"
    clock.advance(100)
    assert (await brain.ended(identity))["status"] == "completed"


async def test_what_kills_whoever_takes_it_is_given_up(
    rows: tuple[Rows, Rows, Ticks], sqlite_brain: Database, clock: Clock
) -> None:
    """After eleven holders that vanished it is dead, and no twelfth follows them."""
    one, _, ticks = rows
    identity = await _one(one, clock, sqlite_brain)
    for _ in range(MOST_LOST + 1):
        assert len(await one.take({"sum": 1}, 1, no_word)) == 1
        ticks.now += 11
    assert await one.take({"sum": 1}, 1, no_word) == []
    status = select(work.c.status, work.c.error).where(work.c.id == identity)
    row = await sqlite_brain.read(lambda connection: connection.execute(status).one())
    assert (row.status, row.error["code"]) == ("dead", "work_lost")


async def test_a_step_is_done_once_however_often_the_work_is_tried(brain: Brain) -> None:
    """The second try finds what the first one had done."""
    done: Counter[str] = Counter()

    async def stepwise(run: Run) -> Json:
        async def first() -> Json:
            done["first"] += 1
            return {"number": done["first"]}

        found = await run.step("first", first)
        await run.once("booked", lambda connection: _book(connection, run.id))
        if run.tries == 1:
            raise Unavailable("busy", "Later")
        return found

    def _book(_connection: object, _id: str) -> Json:
        done["booked"] += 1
        return {}

    brain.can("steps", stepwise)
    await brain.schedule.start(alone=True)
    row = await brain.ended(await brain.schedule.add("steps", {}))
    assert (row["result"], dict(done)) == ({"number": 1}, {"first": 1, "booked": 1})


async def test_progress_is_seen_while_it_runs(brain: Brain) -> None:
    """Whoever watches sees how far it is."""
    seen: list[tuple[float, str]] = []
    brain.bus.listen(
        "work.updated",
        lambda event: seen.append((event.data["progress"], event.data["note"])),
    )

    async def steps(run: Run) -> None:
        await run.progress(0.5, "Half of it")

    brain.can("steps", steps)
    await brain.schedule.start(alone=True)
    await brain.ended(await brain.schedule.add("steps", {}))
    assert (0.5, "Half of it") in seen


async def test_others_are_told_of_work_that_is_theirs_to_know(
    brain: Brain, database: Database
) -> None:
    """A task message for each try, a result message at the end, in the transaction of each."""

    async def second_time(run: Run) -> Json:
        if run.tries == 1:
            raise Unavailable("busy", "Later")
        return {"sum": 3}

    brain.can("told", second_time, told=True)
    brain.can("quiet", nothing)
    await brain.schedule.start(alone=True)
    await brain.ended(await brain.schedule.add("quiet", {}))
    identity = await brain.ended(await brain.schedule.add("told", {"a": 1}))
    told = await database.read(
        lambda connection: [
            (row.topic, row.data) for row in connection.execute(select(outbox).order_by("id"))
        ]
    )
    assert [topic for topic, _ in told] == ["task", "task", "result"]
    assert [data["retry_count"] for _, data in told[:2]] == [0, 1]
    result = told[2][1]
    assert (result["task_id"], result["status"], result["error"]) == (
        identity["id"],
        "SUCCESS",
        None,
    )


async def test_work_that_no_version_knows_is_kept_a_day_and_then_given_up(
    brain: Brain, clock: Clock
) -> None:
    """An upgrade that lost its code loses no work in silence."""
    identity = await brain.schedule.add("gone", {})
    await brain.schedule.start(alone=True)
    await brain.schedule.tidy()
    assert (await brain.ended(identity, "pending"))["kind"] == "gone"
    clock.advance(86_500)
    await brain.schedule.tidy()
    row = await brain.ended(identity)
    assert (row["status"], row["error"]["code"]) == ("dead", "unknown_kind")


async def test_what_has_long_been_over_is_forgotten_the_dead_later(
    brain: Brain, clock: Clock
) -> None:
    """A month for what went well, three for what did not."""

    async def refuse(_run: Run) -> None:
        raise InvalidRequest("invalid_params", "No")

    brain.can("sum", nothing)
    brain.can("wrong", refuse)
    await brain.schedule.start(alone=True)
    good = await brain.schedule.add("sum", {})
    bad = await brain.schedule.add("wrong", {})
    await brain.ended(good)
    await brain.ended(bad)
    clock.advance(31 * 86_400)
    await brain.schedule.tidy()
    assert [row["id"] for row in await brain.listed()] == [bad]
    clock.advance(60 * 86_400)
    await brain.schedule.tidy()
    assert await brain.listed() == []


async def test_blocked_work_waits(brain: Brain) -> None:
    """What is switched off is not taken, and not lost."""
    why: str | None = "autonomy"
    brain.can("sum", nothing, blocked=lambda: why)
    identity = await brain.schedule.add("sum", {})
    await brain.schedule.start(alone=True)
    await asyncio.sleep(0.05)  # time for what must not happen
    assert (await brain.ended(identity, "pending"))["attempts"] == []
    why = None
    assert (await brain.ended(identity))["status"] == "completed"


async def test_unknown_work_is_not_found(brain: Brain) -> None:
    """Nobody can look at, cancel or retry what is not there."""
    nowhere = WorkId(work_id="nowhere")
    for verb in (brain.schedule.work.get, brain.schedule.work.cancel, brain.schedule.work.retry):
        with pytest.raises(NotFound) as caught:
            await verb(PERSON, nowhere)
        assert caught.value.code == "work_not_found"


async def test_only_dead_work_is_tried_again(brain: Brain) -> None:
    """What waits needs no help."""
    identity = await brain.schedule.add("sum", {})
    with pytest.raises(Conflict) as caught:
        await brain.schedule.work.retry(PERSON, WorkId(work_id=identity))
    assert caught.value.code == "work_not_dead"


async def test_the_list_is_read_in_parts_and_by_state(brain: Brain) -> None:
    """A page at a time, of one kind, of one status."""
    for _ in range(3):
        await brain.schedule.add("sum", {})
    await brain.schedule.add("other", {})
    page = await brain.schedule.work.listed(PERSON, WorkPage(limit=2, kind="sum", status="pending"))
    rest = await brain.schedule.work.listed(
        PERSON, WorkPage(limit=2, kind="sum", status="pending", cursor=page["cursor"])
    )
    assert (len(page["items"]), len(rest["items"]), rest["cursor"]) == (2, 1, None)
    assert len(await brain.schedule.work.open()) == 4


async def test_what_was_given_up_hides_nothing_that_goes_on(
    brain: Brain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of more than can be shown the oldest dead are left out."""

    async def fail(_run: Run) -> None:
        raise InvalidRequest("wrong", "It is wrong")

    monkeypatch.setattr("brain_server.schedule.commands.MOST_SHOWN", 3)
    brain.can("wrong", fail)
    await brain.schedule.start(alone=True)
    dead = [await brain.schedule.add("wrong", {}) for _ in range(3)]
    for one in dead:
        await brain.ended(one, "dead")
    waiting = await brain.schedule.add("sum", {})
    assert [row["id"] for row in await brain.schedule.work.open()] == [*dead[1:], waiting]


async def test_work_whose_holder_vanished_is_done_by_another(home: House) -> None:
    """The lease runs out, by the clock that both share, and the one that comes back changes nothing."""
    paused, other = home.brain(lease=0.2), home.brain(lease=0.2)
    back, refused = asyncio.Event(), asyncio.Event()
    asleep = chain([None], repeat("asleep"))

    async def pause(run: Run) -> None:
        await back.wait()
        try:
            await run.write(lambda connection: put(connection, 0, "never", {}))
        except Conflict:
            refused.set()
            raise

    paused.can("sum", pause, blocked=lambda: next(asleep))
    other.can("sum", nothing)
    identity = await paused.schedule.add("sum", {})
    await paused.schedule.start(alone=False)
    await paused.ended(identity, "running")
    await other.schedule.start(alone=False)
    row = await other.ended(identity)
    back.set()
    await refused.wait()
    assert [one["outcome"] for one in row["attempts"]] == ["lost", "completed"]
    assert [row["kind"] for row in await other.listed()] == ["sum"]


async def test_after_a_crash_a_brain_alone_goes_on_at_once(home: House) -> None:
    """Nobody else can hold the work, so it waits for no lease."""
    dead, alive = home.brain(), home.brain()
    dead.can("sum", for_ever)
    await dead.schedule.start(alone=True)
    identity = await dead.schedule.add("sum", {})
    await dead.ended(identity, "running")
    await dead.tasks.stop()
    alive.can("sum", nothing)
    await alive.schedule.start(alone=True)
    assert (await alive.ended(identity))["status"] == "completed"
