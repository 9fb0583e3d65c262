"""Bad days of the work queue: clocks that jump, handlers that never end, full disks, backups, brains that pause."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
import shutil
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection

from brain_server.errors import KittyError, Unavailable
from brain_server.protocol import Json
from brain_server.schedule import Run, put, worker
from brain_server.schedule.commands import WorkId
from brain_server.storage import Database, tables
from tests.brain.gatehouse import Clock
from tests.brain.schedule.conftest import PERSON, Brain, House, eventually
from tests.brain.soon import SOON

HOUR: Final = 3600.0
# Read here, and not in the loop of a test.
BERLIN: Final = ZoneInfo("Europe/Berlin")


class Outside:
    """The world outside: what is done to it, by the key that goes with it."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def note(self, run: Run) -> Json:
        """Do something for the time for which a job runs, when the test lets it."""
        await self.go_on.wait()
        self.done.append(f"{run.kind}@{run.payload['due']:.0f}")
        return {}


@pytest.fixture
def outside() -> Outside:
    """Give a world to which nothing was done yet."""
    return Outside()


def with_job(home: House, outside: Outside, timing: str) -> Brain:
    """Make a brain that knows one job."""
    brain = home.brain()
    brain.can("note", outside.note)
    brain.schedule.every("note", timing)
    return brain


async def row_of(brain: Brain) -> Json:
    """Return the only job."""
    [row] = await brain.schedule.jobs()
    return row


async def runs(brain: Brain, count: int) -> None:
    """Wait until so many pieces are over, and a little longer for one too many."""

    async def look() -> bool:
        return len(await brain.listed(status="completed")) >= count

    await eventually(look)
    await asyncio.sleep(0.1)  # time for what must not happen


@pytest.mark.parametrize("jump", [2 * HOUR, -2 * HOUR])
async def test_a_clock_that_jumps_while_a_job_runs_neither_stops_nor_doubles_it(
    home: House, clock: Clock, outside: Outside, jump: float
) -> None:
    """Its lease is not measured by that clock, and its time has come once."""
    outside.go_on.clear()
    brain = with_job(home, outside, "daily 12:00")
    await brain.schedule.start(alone=False)
    due = (await row_of(brain))["next_at"]
    clock.now = due
    identity = (await eventually(lambda: brain.listed(status="running")))[0]["id"]
    clock.advance(jump)
    await asyncio.sleep(0.1)  # time for what must not happen
    clock.now = due + 1
    outside.go_on.set()
    row = await brain.ended(identity)
    await runs(brain, 1)
    assert [one["outcome"] for one in row["attempts"]] == ["completed"]
    assert outside.done == [f"note@{due:.0f}"]
    assert (await row_of(brain))["next_at"] == due + 24 * HOUR


@dataclass(frozen=True)
class Night:
    """A night in which the clocks change, and the times (UTC) at which a job should come in it."""

    timing: str
    begins: str
    expected: list[str]


NIGHTS: Final = {
    # 02:30 does not exist: it comes as much later as the clock jumps.
    "spring": Night(f"daily 02:30 {BERLIN}", "2030-03-30T22:00", ["2030-03-31T01:30"]),
    # It exists twice: it comes the first time.
    "autumn": Night(f"daily 02:30 {BERLIN}", "2030-10-26T22:00", ["2030-10-27T00:30"]),
    # What counts hours, and knows no times of day, does not care.
    "hours": Night(
        "every 2h",
        "2030-10-26T22:30",
        ["2030-10-27T00:00", "2030-10-27T02:00", "2030-10-27T04:00"],
    ),
}


def moment(text: str) -> float:
    """Return a time of UTC in POSIX seconds."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize("night", NIGHTS.values(), ids=NIGHTS)
async def test_in_the_nights_in_which_clocks_change_each_time_comes_once(
    home: House, clock: Clock, outside: Outside, night: Night
) -> None:
    """By half hours through six of them."""
    clock.now = moment(night.begins)
    brain = with_job(home, outside, night.timing)
    await brain.schedule.start(alone=True)
    for _ in range(12):
        clock.advance(HOUR / 2)

        async def looked() -> bool:
            return bool((await row_of(brain))["next_at"] > clock())

        await eventually(looked)
    await runs(brain, len(night.expected))
    assert outside.done == [f"note@{moment(one):.0f}" for one in night.expected]


async def test_a_handler_that_never_returns_is_stopped_tried_again_and_given_up(
    brain: Brain,
) -> None:
    """Each of its tries ends after its time, and the last one is the end of it."""

    async def hang(_run: Run) -> None:
        await asyncio.Event().wait()

    brain.can("hang", hang, timeout=0.05, tries=3)
    await brain.schedule.start(alone=True)
    row = await brain.ended(await brain.schedule.add("hang", {}))
    assert [one["outcome"] for one in row["attempts"]] == ["timed_out"] * 3
    assert (row["status"], row["error"]["code"]) == ("dead", "work_timeout")


async def test_a_handler_that_does_not_even_stop_holds_nobody_up(
    brain: Brain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is given up beside its own task, what it writes later is refused, and others of its kind go on."""
    monkeypatch.setattr(worker, "STOP", 0.05)
    let_go, refused = asyncio.Event(), []

    async def deaf(run: Run) -> None:
        while "deaf" in run.payload and not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue
        try:
            await run.write(lambda _connection: None)
        except KittyError as err:
            refused.append(err.code)

    brain.can("deaf", deaf, timeout=0.05, tries=1)
    await brain.schedule.start(alone=True)
    row = await brain.ended(await brain.schedule.add("deaf", {"deaf": True}))
    assert (row["status"], row["error"]["code"]) == ("dead", "work_timeout")
    other = await brain.ended(await brain.schedule.add("deaf", {}))
    assert other["status"] == "completed"
    let_go.set()
    await eventually(lambda: asyncio.sleep(0, refused))
    assert refused == ["lease_lost"]


@dataclass
class Deaf:
    """A handler that does not even stop when it is told to, until a test lets it go."""

    let_go: asyncio.Event

    async def run(self, _run: Run) -> None:
        """Go on."""
        while not self.let_go.is_set():
            with suppress(asyncio.CancelledError):
                await self.let_go.wait()


@pytest.fixture
async def deaf(brain: Brain, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """Give a piece of work in the hands of one that has five minutes and does not stop."""
    monkeypatch.setattr(worker, "STOP", 0.05)
    handler = Deaf(asyncio.Event())
    brain.can("deaf", handler.run, timeout=300.0)
    await brain.schedule.start(alone=True)
    identity = await brain.schedule.add("deaf", {})
    await brain.ended(identity, "running")
    yield identity
    handler.let_go.set()


async def test_a_brain_ends_also_where_a_handler_does_not_stop(brain: Brain, deaf: str) -> None:
    """Its work is put back for the next life."""
    async with asyncio.timeout(SOON):
        await brain.schedule.stop()
    assert (await brain.ended(deaf, "pending"))["status"] == "pending"


async def test_work_that_is_taken_while_the_brain_ends_is_put_back(
    brain: Brain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database has given it away, and the brain has not heard of it yet."""
    mine = brain.schedule.worker
    take, given, heard = mine._rows.take, asyncio.Event(), asyncio.Event()

    async def slow(*what: Any) -> Any:
        if held := await take(*what):
            given.set()
            await heard.wait()
        return held

    monkeypatch.setattr(mine._rows, "take", slow)
    brain.can("work", lambda _run: asyncio.Event().wait())
    await brain.schedule.start(alone=True)
    identity = await brain.schedule.add("work", {})
    async with asyncio.timeout(SOON):
        await given.wait()
        ending = brain.tasks.start("ending", brain.schedule.stop())
        while not mine._stopping:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0)  # one turn of the loop, until it is told to stop
        heard.set()
        await ending
    row = await brain.schedule.work.get(PERSON, WorkId(work_id=identity))
    assert (row["status"], row["tries"]) == ("pending", 0)


async def test_work_that_does_not_stop_is_cancelled_all_the_same(brain: Brain, deaf: str) -> None:
    """Whoever cancelled it does not wait for its five minutes."""
    await brain.schedule.work.cancel(PERSON, WorkId(work_id=deaf))
    async with asyncio.timeout(SOON):
        assert (await brain.ended(deaf))["status"] == "cancelled"


async def test_a_poisoned_piece_stops_none_behind_it(brain: Brain) -> None:
    """One of five can only fail; the four others are done, and it is kept for a person to see and to retry."""

    async def swallow(run: Run) -> Json:
        return {"share": 1 / run.payload["number"]}

    brain.can("five", swallow, tries=2)
    await brain.schedule.start(alone=True)
    ids = [await brain.schedule.add("five", {"number": number}) for number in range(5)]
    rows = [await brain.ended(one) for one in ids]
    assert [row["status"] for row in rows] == ["dead", *["completed"] * 4]
    assert rows[0]["error"] == {"code": "internal_error", "message": "ZeroDivisionError"}
    assert [row["id"] for row in await brain.listed(status="dead")] == [ids[0]]


# -- a disk that is full, and a backup ------------------------------------------------------------------


class Files:
    """Brains that own a file of SQLite, so that a test can fill it, copy it and put it back."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.path = folder / "brain.db"
        self.clock = clock
        self.database: Database
        self.brain: Brain

    async def start(self, outside: Outside) -> None:
        """Start a brain on the file."""
        self.database = Database(
            f"sqlite:///{self.path}", tables.brain, name="brain", durable=False
        )
        await self.database.open()
        home = House(self.database, self.clock)
        self.brain = with_job(home, outside, "every 1h")
        await self.brain.schedule.start(alone=True)

    async def stop(self) -> None:
        """End it in an orderly way."""
        await self.brain.stop()
        await self.database.close()

    async def allow(self, more: int) -> None:
        """Let the file grow by so many pages and no more."""

        def run(connection: Connection) -> None:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages + more}")

        await self.database.write(run)


@pytest.fixture
def files(tmp_path: Path, clock: Clock) -> Files:
    """Give a folder for the file of a brain."""
    return Files(tmp_path, clock)


async def test_a_full_database_loses_no_work_and_no_time(
    files: Files, clock: Clock, outside: Outside
) -> None:
    """What was taken in is done when there is space again, the time that came meanwhile too, and each once."""
    outside.go_on.clear()
    await files.start(outside)
    due = (await row_of(files.brain))["next_at"]
    clock.now = due
    await eventually(lambda: files.brain.listed(status="running"))
    await files.allow(0)
    await _fill(files)
    outside.go_on.set()
    clock.now = due + HOUR
    await asyncio.sleep(0.3)  # time for what must not happen
    assert outside.done == [f"note@{due:.0f}"]
    await files.allow(1000)
    await runs(files.brain, 2)
    await files.stop()
    assert outside.done == [f"note@{due:.0f}", f"note@{due + HOUR:.0f}"]


async def _fill(files: Files) -> None:
    """Write until there is no space left for a row of any kind."""
    for size in (4000, 200, 1):
        while await _fits(files, {"padding": "x" * size}):
            pass


async def _fits(files: Files, payload: Json) -> bool:
    """Write one row, if there is space."""
    try:
        await files.database.write(lambda connection: put(connection, 0, "no", payload))
    except Unavailable:
        return False
    return True


async def test_a_restored_backup_makes_up_for_the_latest_time_of_its_own_and_for_no_other(
    files: Files, clock: Clock, outside: Outside, tmp_path: Path
) -> None:
    """What the backup had before it is not done again; the time that it waited for comes once, with its own name.

    So whoever outside knows that name, as an idempotency key, does nothing twice.
    """
    await files.start(outside)
    due = (await row_of(files.brain))["next_at"]
    clock.now = due
    await runs(files.brain, 1)
    await files.stop()
    shutil.copy(files.path, tmp_path / "backup")
    await files.start(outside)
    for number in (1, 2, 3):
        clock.now = due + number * HOUR
        await runs(files.brain, number + 1)
    await files.stop()
    before = list(outside.done)

    clock.now = due + 5.5 * HOUR
    shutil.copy(tmp_path / "backup", files.path)
    for rest in ("-wal", "-shm"):
        files.path.with_name(f"brain.db{rest}").unlink(missing_ok=True)
    await files.start(outside)
    await runs(files.brain, 2)
    following = (await row_of(files.brain))["next_at"]
    await files.stop()
    assert before == [f"note@{due + number * HOUR:.0f}" for number in range(4)]
    assert outside.done[len(before) :] == [f"note@{due + HOUR:.0f}"]
    assert following == due + 6 * HOUR
