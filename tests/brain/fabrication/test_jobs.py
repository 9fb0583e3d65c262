"""Print jobs: from the words that asked for them to the outcome that the printer showed."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
import itertools
from pathlib import Path
import time
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from brain_server.app import Brain
from brain_server.errors import Conflict, DeviceError, Unavailable
from brain_server.observability import counters
from brain_server.protocol import Json
from brain_server.storage.tables import conversations, jobs, new_id
from tests.brain.home import Home, at_home, on_stage, puppets, running, until

STATE = puppets().printer
STATES = ("preparing", "printing", "paused", "completed", "failed", "aborted")
# preparing -> printing -> (paused <-> printing) -> an end; an end may come at any time.
ALLOWED = {
    ("preparing", "printing"),
    ("printing", "paused"),
    ("paused", "printing"),
    *itertools.product(("preparing", "printing", "paused"), ("completed", "failed", "aborted")),
}
PAIRS = list(itertools.product(STATES, STATES))


@pytest.fixture
async def brain(tmp_path: Path) -> AsyncIterator[Brain]:
    """Give a brain."""
    async with running(tmp_path) as made:
        yield made


@pytest.fixture
async def home(brain: Brain) -> AsyncIterator[Home]:
    """Give its Home Assistant."""
    async with at_home(brain) as made:
        yield made


def now(ahead: float = 0.0) -> str:
    """Return a time as printers name their runs."""
    return datetime.fromtimestamp(time.time() + ahead, UTC).isoformat()


async def listed(home: Home) -> list[Json]:
    """Return all jobs."""
    items: list[Json] = (await home.command("jobs.list"))["items"]
    return items


async def printing(home: Home, file: str = "benchy.gcode") -> tuple[Any, Json]:
    """Start a print that a person approved; returns the printer and the command."""
    printer = await home.puppet("mk4", "printer")
    printer.shows = STATE("preparing", file, now())
    printer.show(**STATE())
    params = {"file": file}
    asked = await home.request(printer.context.device_id, "print_start", params=params)
    await home.decide(asked["event"], "bob")
    await home.ended(asked["command"]["id"])
    await home.jobs()
    return printer, asked["command"]


def run_of(printer: Any) -> str:
    """Return the name of the run that a printer started."""
    return str(printer.shows["job"]["started_at"])


# -- states -------------------------------------------------------------------------------------------


async def put(brain: Brain, status: str) -> str:
    """Store a job in some state."""
    row = {"id": new_id(), "device_id": "d", "file": "f", "status": status, "created_at": 1.0}
    await brain.brain_db.write(lambda connection: connection.execute(insert(jobs).values(row)))
    return str(row["id"])


async def status_of(brain: Brain, job_id: str) -> str:
    """Return the state of a job."""
    query = select(jobs.c.status).where(jobs.c.id == job_id)
    return str(await brain.brain_db.read(lambda connection: connection.execute(query).scalar()))


@pytest.mark.parametrize(("before", "after"), sorted(ALLOWED))
async def test_a_job_moves_only_forward(brain: Brain, before: str, after: str) -> None:
    """Each step that makes sense is taken, and told."""
    job_id = await put(brain, before)
    told: list[Json] = []
    brain.bus.listen("job.updated", lambda event: told.append(event.data))
    await brain.jobs.move(job_id, after)
    assert await status_of(brain, job_id) == after
    assert [(job["id"], job["status"]) for job in told] == [(job_id, after)]


@pytest.mark.parametrize(("before", "after"), [pair for pair in PAIRS if pair not in ALLOWED])
async def test_every_other_step_is_refused(brain: Brain, before: str, after: str) -> None:
    """A job that is over stays over, and nothing begins twice."""
    job_id = await put(brain, before)
    with pytest.raises(Conflict) as caught:
        await brain.jobs.move(job_id, after)
    assert caught.value.code == "impossible_transition"
    assert await status_of(brain, job_id) == before


async def test_a_step_that_is_taken_is_told_though_nothing_can_be_read_then(
    brain: Brain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not taken a second time: the queue, the costs and people would never hear of it."""
    job_id = await put(brain, "printing")
    told: list[str] = []
    brain.bus.listen("job.updated", lambda event: told.append(event.data["status"]))

    async def busy(_work: Any) -> Any:
        raise Unavailable("database_busy", "Busy")

    with monkeypatch.context() as once:
        once.setattr(brain.brain_db, "read", busy)
        await brain.jobs.move(job_id, "completed")
    assert told == ["completed"]


def test_there_are_thirty_six_pairs() -> None:
    """All of them are in one of the two tests above."""
    assert (len(PAIRS), len(ALLOWED)) == (36, 12)


# -- a print ------------------------------------------------------------------------------------------


async def test_an_approved_print_becomes_a_job(home: Home) -> None:
    """With the command, the file and who asked; when the printer shows the run, it is known."""
    printer, command = await printing(home)
    (job,) = await listed(home)
    assert (job["command_id"], job["file"], job["requested_by"]) == (
        command["id"],
        "benchy.gcode",
        "ada",
    )
    assert (job["status"], job["run"], job["device_id"]) == (
        "preparing",
        run_of(printer),
        printer.context.device_id,
    )
    assert job["started_at"] >= job["created_at"]


@pytest.mark.parametrize(
    ("end", "error"), [("completed", None), ("failed", "Nozzle clogged"), ("aborted", None)]
)
async def test_a_job_follows_the_printer_to_the_end(
    home: Home, end: str, error: str | None
) -> None:
    """Printing, paused, printing again, over; each is told once."""
    printer, _ = await printing(home)
    run = run_of(printer)
    for status in ("printing", "paused", "printing", end):
        state = STATE(status, "benchy.gcode", run, error=error)
        state["job"]["progress"] = 42.0
        printer.show(**state)
        await home.event("job.updated", lambda job, wanted=status: job["status"] == wanted)
    (job,) = await home.jobs()
    assert (job["status"], job["error"], job["progress"]) == (end, error, 42.0)
    assert job["completed_at"] >= job["started_at"]
    told = [one["data"]["status"] for one in home.events if one["event"] == "job.updated"]
    assert told == ["preparing", "printing", "paused", "printing", end]


async def test_what_a_printer_repeats_is_taken_once(home: Home) -> None:
    """A temperature is no news of the job."""
    printer, _ = await printing(home)
    for degrees in range(20):
        state = STATE("printing", "benchy.gcode", run_of(printer))
        printer.show(**state | {"nozzle": {"actual": degrees, "target": 200}})
    await home.jobs()
    told = [one["data"]["status"] for one in home.events if one["event"] == "job.updated"]
    assert told == ["preparing", "printing"]


async def test_following_a_printer_breaks_nothing(home: Home) -> None:
    """One command is one job, however often its state is told, and no task breaks."""
    before = counters["tasks_broken"]
    printer, _ = await printing(home)
    printer.show(**STATE("completed", "benchy.gcode", run_of(printer)))
    (job,) = await home.jobs()
    assert (job["status"], counters["tasks_broken"]) == ("completed", before)


async def test_a_run_that_began_before_its_row_was_written_is_that_of_its_order(home: Home) -> None:
    """Where the disk is slow and the print short, the order is what the run must not be older than."""
    printer = await home.puppet("mk4", "printer")
    printer.show(**STATE())
    device_id = printer.context.device_id
    asked = await home.request(device_id, "print_start", params={"file": "benchy.gcode"})
    async with home.brain.jobs._locks[device_id]:
        await home.decide(asked["event"], "bob")
        await until(lambda: puppets().Puppet.orders.get("mk4"), "the order")
        printer.show(**STATE("completed", "benchy.gcode", now()))
        await asyncio.sleep(0.01)
    (job,) = await home.jobs()
    assert (job["status"], job["command_id"]) == ("completed", asked["command"]["id"])


async def test_a_print_of_which_a_crash_took_the_row_is_known_when_its_order_is_read_back(
    home: Home,
) -> None:
    """It began and ended while there was no brain; the printer still shows it."""
    printer = await home.puppet("mk4", "printer")
    command = {
        "id": new_id(),
        "intent": "print_start",
        "status": "acked",
        "device_id": printer.context.device_id,
        "params": {"file": "benchy.gcode"},
        "claimed_at": time.time() - 60,
        "requested_by": "ada",
        "conversation_id": None,
    }
    printer.show(**STATE("completed", "benchy.gcode", now(-30)))
    assert await home.jobs() == []
    home.brain.bus.publish("command.updated", command)
    (job,) = await home.jobs()
    assert (job["status"], job["command_id"]) == ("completed", command["id"])


async def test_a_run_that_was_taken_for_nobodys_is_not_recorded_twice(home: Home) -> None:
    """The queue ties it to its order."""
    _, command = await printing(home)
    same = jobs.c.command_id == command["id"]
    orphaned = update(jobs).where(same).values(command_id=None)
    await home.brain.brain_db.write(lambda connection: connection.execute(orphaned))
    known = await home.command("commands.get", {"command_id": command["id"]})
    home.brain.bus.publish("command.updated", known | {"status": "acked"})
    assert len(await home.jobs()) == 1


async def test_what_a_printer_showed_while_nothing_could_be_written_is_taken_later(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the next word of the printer, be it the same."""
    printer, _ = await printing(home)
    run = run_of(printer)

    async def locked(*_: Any, **__: Any) -> None:
        raise Unavailable("connection_timeout", "The database did not answer in time")

    with monkeypatch.context() as patch:
        patch.setattr(home.brain.jobs, "move", locked)
        printer.show(**STATE("completed", "benchy.gcode", run))
        await home.jobs()
    printer.show(**STATE("completed", "benchy.gcode", run) | {"bed": {"actual": 40, "target": 0}})
    (job,) = await home.jobs()
    assert job["status"] == "completed"


async def test_a_print_is_seen_to_be_done_once(home: Home) -> None:
    """However often its row is told afterwards, as with its costs."""
    printer, _ = await printing(home)
    printer.show(**STATE("completed", "benchy.gcode", run_of(printer)))
    (job,) = await home.jobs()
    home.brain.bus.publish("job.updated", job | {"cost_micro": 1})
    await until(
        lambda: not [one for one in home.brain.tasks._tasks if "print event" in one.get_name()],
        "the events",
    )
    seen = (await home.command("prints.events", {"job_id": job["id"]}))["items"]
    assert [one["type"] for one in seen] == ["completed"]


async def test_a_print_that_was_refused_by_the_printer_is_a_failed_job(home: Home) -> None:
    """With the reason."""
    printer = await home.puppet("mk4", "printer")
    printer.reaction = DeviceError("device_refused", "The printer is busy")
    params = {"file": "a.gcode"}
    asked = await home.request(printer.context.device_id, "print_start", params=params)
    await home.decide(asked["event"], "bob")
    await home.ended(asked["command"]["id"])
    (job,) = await home.jobs()
    assert (job["status"], job["error"]) == ("failed", "device_refused")


async def test_a_print_that_nobody_approved_is_no_job(home: Home) -> None:
    """Neither while it waits nor after it was denied."""
    printer = await home.puppet("mk4", "printer")
    params = {"file": "a.gcode"}
    asked = await home.request(printer.context.device_id, "print_start", params=params)
    assert await home.jobs() == []
    await home.decide(asked["event"], "bob", "deny")
    await home.ended(asked["command"]["id"])
    assert await home.jobs() == []


async def test_the_words_the_command_and_the_job_join(home: Home, brain: Brain) -> None:
    """From what was said to what was printed, by three ids."""
    printer = await home.puppet("mk4", "printer", name="Prusa")
    printer.stored = {"benchy.gcode": b""}
    printer.shows = STATE("preparing", "benchy.gcode", now())
    printer.show(**STATE())
    asked = await home.say("print benchy.gcode on the Prusa")
    said = await home.say("confirm", conversation_id=asked["conversation_id"])
    assert said["text"] == "Done: Prusa has started benchy.gcode."
    (job,) = await home.jobs()
    command = await home.command("commands.get", {"command_id": job["command_id"]})
    query = select(conversations.c.owner).where(conversations.c.id == command["conversation_id"])
    owner = await brain.brain_db.read(lambda connection: connection.execute(query).scalar())
    assert (command["conversation_id"], owner) == (asked["conversation_id"], "ada")


# -- what happened while nobody looked ----------------------------------------------------------------


async def test_a_run_that_somebody_started_at_the_printer_is_recorded_too(home: Home) -> None:
    """Without a command and without a name."""
    printer = await home.puppet("mk4", "printer")
    printer.show(**STATE("printing", "by hand.gcode", "run-1"))
    (job,) = await home.jobs()
    assert (job["command_id"], job["requested_by"], job["file"], job["status"]) == (
        None,
        None,
        "by hand.gcode",
        "printing",
    )


async def test_a_printer_that_was_long_done_makes_no_job(home: Home) -> None:
    """What is over when it is first seen is history."""
    printer = await home.puppet("mk4", "printer")
    for state in (STATE("completed", "old.gcode", "run-1"), STATE(), STATE("error"), {}):
        printer.show(**state)
    assert await home.jobs() == []


AWAY = [
    ("goes on", STATE("printing", "benchy.gcode", "RUN"), ["printing"], None),
    ("was paused", STATE("paused", "benchy.gcode", "RUN"), ["paused"], None),
    ("is done", STATE("completed", "benchy.gcode", "RUN"), ["completed"], None),
    ("failed", STATE("failed", "benchy.gcode", "RUN", error="x"), ["failed"], "x"),
    ("is free", STATE(), ["failed"], "outcome not seen"),
    ("is broken", STATE("error"), ["failed"], "outcome not seen"),
    (
        "prints another",
        STATE("printing", "other.gcode", "run-2"),
        ["failed", "printing"],
        "outcome not seen",
    ),
    (
        "prints the same again",
        STATE("printing", "benchy.gcode", "run-2"),
        ["failed", "printing"],
        "outcome not seen",
    ),
    (
        "has done another",
        STATE("completed", "other.gcode", "run-2"),
        ["failed"],
        "outcome not seen",
    ),
]


@pytest.mark.parametrize(
    ("state", "statuses", "error"), [case[1:] for case in AWAY], ids=[case[0] for case in AWAY]
)
async def test_after_a_break_the_job_is_what_the_printer_shows(
    home: Home, state: Json, statuses: list[str], error: str | None
) -> None:
    """While it was away nothing is guessed; when it is back, all is known that can be."""
    printer, _ = await printing(home)
    run = run_of(printer)
    printer.show(**STATE("printing", "benchy.gcode", run))
    printer.vanish()
    assert [job["status"] for job in await home.jobs()] == ["printing"]
    printer.show(**_named(state, run))
    found = await home.jobs()
    assert [job["status"] for job in found] == statuses
    assert found[0]["error"] == error


def _named(state: Json, run: str) -> Json:
    """Return a state whose run is that of the job where it said so."""
    job = dict(state["job"] or {})
    job["started_at"] = {"RUN": run}.get(job.get("started_at"), job.get("started_at"))
    return state | {"job": job if state["job"] else None}


async def test_a_job_goes_on_over_a_restart_of_the_brain(tmp_path: Path) -> None:
    """The printer prints on; the brain takes the job up where it is."""
    async with running(tmp_path) as brain, at_home(brain) as home:
        printer, command = await printing(home)
        run = run_of(printer)
        printer.show(**STATE("printing", "benchy.gcode", run))
        await home.jobs()
    async with running(tmp_path, life=2) as brain, at_home(brain) as home:
        printer = await on_stage("mk4")
        assert printer.context.last_state["job"]["started_at"] == run
        printer.show(**STATE("completed", "benchy.gcode", run))
        (job,) = await home.jobs()
    assert (job["command_id"], job["status"]) == (command["id"], "completed")


async def test_the_last_print_of_the_same_file_is_not_taken_for_the_new_one(home: Home) -> None:
    """What was done yesterday does not complete what is ordered today."""
    printer = await home.puppet("mk4", "printer")
    printer.show(**STATE("completed", "benchy.gcode", now(-86_400)))
    params = {"file": "benchy.gcode"}
    asked = await home.request(printer.context.device_id, "print_start", params=params)
    await home.decide(asked["event"], "bob")
    await until(lambda: printer.orders.get("mk4"), "the order")
    printer.show(**STATE("idle", "benchy.gcode", now(-86_400)))
    printer.show(**STATE("completed", "benchy.gcode", now(-86_400)))
    (job,) = await home.jobs()
    assert (job["status"], job["run"]) == ("preparing", None)
    printer.show(**STATE("completed", "benchy.gcode", now(+60)))
    (job,) = await home.jobs()
    assert job["status"] == "completed"


async def test_the_run_of_somebody_else_is_not_taken_for_ours(home: Home) -> None:
    """Another file on the printer says nothing of the one that was ordered."""
    printer = await home.puppet("mk4", "printer")
    printer.show(**STATE())
    params = {"file": "ours.gcode"}
    asked = await home.request(printer.context.device_id, "print_start", params=params)
    await home.decide(asked["event"], "bob")
    await until(lambda: printer.orders.get("mk4"), "the order")
    printer.show(**STATE("printing", "theirs.gcode", "run-1"))
    (job,) = await home.jobs()
    assert (job["file"], job["status"]) == ("ours.gcode", "preparing")
    printer.show(**STATE("printing", "ours.gcode", now()))
    (job,) = await home.jobs()
    assert job["status"] == "printing"


async def test_a_print_that_never_began_ends_with_the_next_one(home: Home) -> None:
    """No job is open for ever."""
    printer = await home.puppet("mk4", "printer")
    printer.reaction = TimeoutError()
    for file in ("first.gcode", "second.gcode"):
        params = {"file": file}
        asked = await home.request(printer.context.device_id, "print_start", params=params)
        await home.decide(asked["event"], "bob")
        await home.ended(asked["command"]["id"])
        await home.jobs()
    first, second = await listed(home)
    assert (first["status"], first["error"]) == ("failed", "outcome not seen")
    assert (second["status"], second["file"]) == ("preparing", "second.gcode")


async def test_a_driver_that_breaks_says_nothing_of_the_job(home: Home) -> None:
    """We lost sight of the printer, and it may well go on."""
    printer, _ = await printing(home)
    printer.show(**STATE("printing", "benchy.gcode", run_of(printer)))
    printer.error = RuntimeError("a wire is loose")
    printer.cut.set()
    await home.event("device.updated", lambda one: one["online"] == "fault")
    (job,) = await home.jobs()
    assert job["status"] == "printing"


async def test_jobs_are_listed_by_printer_and_in_pages(home: Home) -> None:
    """Oldest first."""
    first, second = await home.puppet("one", "printer"), await home.puppet("two", "printer")
    for printer in (first, second):
        printer.show(**STATE("printing", "a.gcode", "run-1"))
        await home.jobs()
    page = await home.command("jobs.list", {"limit": 1})
    rest = await home.command("jobs.list", {"limit": 1, "cursor": page["cursor"]})
    assert [page["items"][0]["device_id"], rest["items"][0]["device_id"]] == [
        first.context.device_id,
        second.context.device_id,
    ]
    mine = await home.command("jobs.list", {"device_id": second.context.device_id})
    assert [job["device_id"] for job in mine["items"]] == [second.context.device_id]
    snapshot = await home.subscribe()
    assert len(snapshot["data"]["jobs"]) == 2


async def test_the_newest_jobs_come_first_where_somebody_looks_back(home: Home) -> None:
    """In pages, too, and of one status."""
    printers = [await home.puppet(name, "printer") for name in ("one", "two")]
    for printer in printers:
        printer.show(**STATE("printing", "a.gcode", "run-1"))
        await home.jobs()
    back = {"limit": 1, "newest_first": True}
    page = await home.command("jobs.list", back)
    rest = await home.command("jobs.list", back | {"cursor": page["cursor"]})
    assert [page["items"][0]["device_id"], rest["items"][0]["device_id"]] == [
        one.context.device_id for one in reversed(printers)
    ]
    assert rest["cursor"] is None
    assert (await home.command("jobs.list", {"status": "failed"}))["items"] == []
