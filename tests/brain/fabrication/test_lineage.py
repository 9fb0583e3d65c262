"""From words to plastic: what led to a print, what was seen of it, and what came of it."""

import asyncio
import base64
from collections.abc import AsyncIterator
import csv
import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from brain_server.app import Brain
from brain_server.bus import Event
from brain_server.commands import SYSTEM
from brain_server.errors import InvalidRequest, NotFound, Unavailable
from brain_server.fabrication import jobs as jobs_module
from brain_server.fabrication.monitor import MOST_PICTURE, Monitor
from brain_server.protocol import Json
from brain_server.storage.tables import (
    conversations,
    jobs,
    new_id,
    queue,
    reviews,
    spools,
    usage,
)
from tests.brain.fabrication.printfiles import PRUSA
from tests.brain.home import Home, Refused, at_home, puppets, running

STATE = puppets().printer
PICTURE = b"\x89PNG\r\n\x1a\n of spaghetti"


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


async def put(home: Home, table: Any, **row: Any) -> str:
    """Store a row; returns its id."""
    row = {"id": new_id(), "created_at": 1.0} | row
    row = {name: value for name, value in row.items() if name in table.c}
    await home.brain.brain_db.write(
        lambda connection: connection.execute(insert(table).values(row))
    )
    return str(row["id"])


async def job(home: Home, **more: Any) -> str:
    """Store a print job; returns its id."""
    return await put(
        home, jobs, **{"device_id": "mk4", "file": "x.gcode", "status": "printing"} | more
    )


async def content(text: str) -> AsyncIterator[bytes]:
    """Yield a file."""
    yield text.encode()


async def report(home: Home, job_id: str, kind: str = "spaghetti_detected", **more: Any) -> Json:
    """Report what was seen, with a picture of it."""
    picture = {"content_type": "image/png", "image": base64.b64encode(PICTURE).decode()}
    params = {"job_id": job_id, "type": kind, "confidence": 0.9, "source": "vision"}
    event: Json = await home.command("prints.report", params | {"picture": picture} | more)
    return event


# -- lineage ------------------------------------------------------------------------------------------


async def test_a_print_leads_back_to_what_asked_for_it(home: Home) -> None:
    """The command, the conversation and the file; with what the slicer foretold."""
    printer = await home.puppet("mk4", "printer")
    device = printer.context.device_id
    await put(home, conversations, id="talk", last_message_at=1.0)
    sent = await home.brain.files.upload(
        SYSTEM, device, "part.gcode", content(PRUSA.replace("PLA", "ABS"))
    )
    printer.shows = STATE("preparing", "part.gcode", "run-1")
    printer.show(**STATE())
    asked = await home.request(
        device,
        "print_start",
        params={"file": "part.gcode", "ventilation": True},
        conversation_id="talk",
    )
    await home.decide(asked["event"], "bob")
    await home.ended(asked["command"]["id"])
    row = await home.event("job.updated", lambda one: one["command_id"] == asked["command"]["id"])
    found = await home.command("jobs.get", {"job_id": row["id"]})
    made = found["job"]
    assert (made["artifact_id"], made["conversation_id"]) == (sent["artifact"]["id"], "talk")
    assert (made["material"], made["hazardous"]) == ("ABS", True)
    assert (made["estimated_s"], made["estimated_g"]) == (90_123, 3.7)
    assert found["command"]["id"] == asked["command"]["id"]
    assert found["command"]["params"] == {"file": "part.gcode", "ventilation": True}
    assert found["conversation"]["id"] == "talk"
    assert found["artifact"]["sha256"] == sent["artifact"]["sha256"]


async def test_what_came_of_a_print_is_told_with_it(home: Home) -> None:
    """Its place in the queue, what was seen, what people said, and what it took."""
    made = await home.brain.files.take(SYSTEM, "part.gcode", content(PRUSA))
    job_id = await job(home, artifact_id=made["id"], command_id="c" * 32)
    # One that is over: of one that is on a printer the queue would see that its command is unknown.
    item = await put(
        home, queue, artifact_id=made["id"], title="Part", command_id="c" * 32, status="completed"
    )
    await report(home, job_id)
    await put(home, reviews, job_id=job_id, device_id="mk4", source="person", good=True)
    spool = await put(
        home, spools, name="Red", material="PLA", density=1.24, full_g=1000.0, remaining_g=500.0
    )
    await put(
        home,
        usage,
        spool_id=spool,
        job_id=job_id,
        grams=12.0,
        cost_micro=240_000,
        source="printer",
        at=2.0,
    )
    found = await home.command("jobs.get", {"job_id": job_id})
    assert found["queue"]["id"] == item
    assert [one["type"] for one in found["events"]] == ["spaghetti_detected"]
    assert [one["good"] for one in found["reviews"]] == [True]
    assert found["usage"] == [
        {"spool_id": spool, "grams": 12.0, "source": "printer", "at": 2.0, "cost": 0.24}
    ]
    assert (found["artifact"]["id"], found["command"], found["conversation"]) == (
        made["id"],
        None,
        None,
    )


async def test_a_print_is_tied_to_its_place_in_the_queue(home: Home) -> None:
    """Also when its command is not known any more."""
    made = await home.brain.files.take(SYSTEM, "part.gcode", content(PRUSA))
    job_id = await job(home)
    assert (await home.command("jobs.get", {"job_id": job_id}))["queue"] is None
    item = await put(home, queue, artifact_id=made["id"], title="Part")
    await home.brain.jobs.tie(job_id, item)
    assert (await home.command("jobs.get", {"job_id": job_id}))["queue"]["id"] == item


async def test_a_print_outlives_its_file(home: Home) -> None:
    """Its record does not break when the file was removed long ago."""
    job_id = await job(home, artifact_id="gone")
    assert (await home.command("jobs.get", {"job_id": job_id}))["artifact"] is None
    assert await home.refusal("jobs.get", {"job_id": "none"}) == "job_not_found"


# -- export -------------------------------------------------------------------------------------------


async def exported(home: Home, **params: Any) -> tuple[Json, str]:
    """Return an export and its text."""
    found = await home.command("jobs.export", params)
    return found, base64.b64decode(found["data"]).decode()


async def test_jobs_are_exported_for_a_spreadsheet(home: Home) -> None:
    """Which runs nothing that stands in a name."""
    await job(home, file='=HYPERLINK("http://x")', error="+1")
    await job(home, file="plain, with a comma", device_id="other")
    found, text = await exported(home)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert (found["name"], found["content_type"]) == ("jobs.csv", "text/csv; charset=utf-8")
    assert [row["file"] for row in rows] == [
        '\'=HYPERLINK("http://x")',
        "plain, with a comma",
    ]
    assert rows[0]["error"] == "'+1"
    found, text = await exported(home, device_id="other")
    assert (found["rows"], found["cursor"]) == (1, None)


async def test_jobs_are_exported_for_programs(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Word for word, in as many parts as fit into an answer."""
    monkeypatch.setattr(jobs_module, "MOST_ROWS", 2)
    ids = [await job(home, file=f"={at}") for at in range(3)]
    first, text = await exported(home, format="json")
    rest, more = await exported(home, format="json", cursor=first["cursor"])
    rows = json.loads(text) + json.loads(more)
    assert [row["id"] for row in rows] == ids
    assert rows[0]["file"] == "=0"
    assert (first["rows"], rest["rows"], rest["cursor"]) == (2, 1, None)


# -- what was seen ------------------------------------------------------------------------------------


async def test_a_failure_is_kept_with_its_picture(home: Home, brain: Brain) -> None:
    """Under its SHA-256, and everybody hears of it."""
    job_id = await job(home)
    event = await report(home, job_id, detail="strings everywhere")
    digest = hashlib.sha256(PICTURE).hexdigest()
    assert (event["picture"], event["device_id"]) == (digest, "mk4")
    assert (brain.settings.data_dir / "evidence" / digest).read_bytes() == PICTURE
    assert (await home.event("print.event")) == event
    assert (await home.command("prints.events", {"job_id": job_id}))["items"] == [event]
    shown = await home.command("prints.picture", {"event_id": event["id"]})
    assert base64.b64decode(shown["image"]) == PICTURE
    assert shown["device_id"] == "mk4"
    assert await home.refusal("prints.picture", {"event_id": "none"}) == "no_evidence"


@pytest.mark.parametrize("kind", ["spaghetti_detected", "nozzle_clog"])
async def test_a_failure_without_a_picture_is_refused(home: Home, kind: str) -> None:
    """Nobody has to believe it."""
    job_id = await job(home)
    with pytest.raises(Refused) as caught:
        await report(home, job_id, kind, picture=None)
    assert caught.value.code == "picture_needed"
    assert (await home.command("prints.events", {"job_id": job_id}))["items"] == []


@pytest.mark.parametrize("kind", ["first_layer_ok", "completed"])
async def test_what_went_well_needs_no_picture(home: Home, kind: str) -> None:
    """But how sure one is has to be said."""
    job_id = await job(home)
    event = await report(home, job_id, kind, picture=None)
    assert (event["type"], event["picture"]) == (kind, None)
    assert await home.refusal("prints.picture", {"event_id": event["id"]}) == "no_evidence"
    for confidence in (None, 1.5, -0.1):
        with pytest.raises(Refused) as caught:
            await report(home, job_id, kind, picture=None, confidence=confidence)
        assert caught.value.code == "invalid_params"


async def test_what_is_no_picture_is_refused(home: Home) -> None:
    """So is one that is too large, and one of no print."""
    job_id = await job(home)
    svg = {"content_type": "image/svg+xml", "image": base64.b64encode(b"<svg/>").decode()}
    with pytest.raises(Refused) as caught:
        await report(home, job_id, picture=svg)
    assert caught.value.code == "invalid_picture"
    with pytest.raises(Refused) as caught:
        await report(home, "none")
    assert caught.value.code == "job_not_found"


async def test_a_camera_reports_by_the_same_road(home: Home, brain: Brain) -> None:
    """With bytes instead of words."""
    monitor = Monitor(
        brain.brain_db, brain.bus, brain.tasks, brain.clock, brain.settings.data_dir / "evidence"
    )
    job_id = await job(home)
    event = await monitor.note(
        job_id=job_id, kind="nozzle_clog", confidence=0.8, picture=PICTURE, detail="x" * 999
    )
    assert (event["source"], len(event["detail"])) == ("vision", 255)
    with pytest.raises(InvalidRequest, match="8 MiB"):
        await monitor.note(
            job_id=job_id, kind="nozzle_clog", confidence=1, picture=PICTURE + bytes(MOST_PICTURE)
        )
    with pytest.raises(NotFound):
        await monitor.note(job_id="none", kind="completed", confidence=1)


async def test_a_printer_that_is_done_was_seen_to_be(home: Home) -> None:
    """Its word is an event like the others."""
    printer = await home.puppet("mk4", "printer")
    printer.show(**STATE("printing", "x.gcode", "run-1"))
    row = await home.event("job.updated")
    printer.show(**STATE("completed", "x.gcode", "run-1"))
    event = await home.event("print.event")
    assert (event["job_id"], event["type"], event["source"]) == (row["id"], "completed", "printer")
    assert event["confidence"] == 1


async def test_a_printer_that_is_done_while_the_database_is_busy_was_seen_to_be(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so once."""
    job_id = await job(home)
    about, first = home.brain.workshop.monitor, asyncio.Event()
    note = about.note

    async def busy_once(**seen: Any) -> Json:
        if not first.is_set():
            first.set()
            raise Unavailable("database_busy", "Busy")
        return await note(**seen)

    monkeypatch.setattr(home.brain.tasks, "_pause_s", 0.0)
    monkeypatch.setattr(about, "note", busy_once)
    about._on_job(Event(1, "job.updated", {"id": job_id, "status": "completed"}))
    assert (await home.event("print.event"))["job_id"] == job_id


async def test_what_was_seen_is_listed_in_pages(home: Home) -> None:
    """Oldest first."""
    job_id = await job(home)
    made = [(await report(home, job_id))["id"] for _ in range(3)]
    first = await home.command("prints.events", {"job_id": job_id, "limit": 2})
    cursor = {"job_id": job_id, "cursor": first["cursor"]}
    rest = await home.command("prints.events", cursor)
    assert [one["id"] for one in first["items"] + rest["items"]] == made


# -- jobs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["idle", "error"])
async def test_a_run_that_the_printer_gave_up_has_failed(home: Home, status: str) -> None:
    """It shows the run still, and works on it no more."""
    printer = await home.puppet("mk4", "printer")
    printer.show(**STATE("printing", "x.gcode", "run-1"))
    row = await home.event("job.updated")
    printer.show(**STATE(status, "x.gcode", "run-1", error="thermal runaway"))
    ended = await home.event("job.updated", lambda one: one["status"] == "failed")
    assert (ended["id"], ended["error"]) == (row["id"], "thermal runaway")


async def test_a_start_beside_a_run_leaves_it_alone(home: Home) -> None:
    """Only what never began is given up for a new start."""
    printer = await home.puppet("mk4", "printer")
    printer.show(**STATE("printing", "old.gcode", "run-1"))
    old = await home.event("job.updated")
    asked = await home.request(
        printer.context.device_id, "print_start", params={"file": "new.gcode"}
    )
    await home.decide(asked["event"], "bob")
    new = await home.event("job.updated", lambda one: one["file"] == "new.gcode")
    rows = {one["id"]: one["status"] for one in (await home.command("jobs.list"))["items"]}
    assert rows == {old["id"]: "printing", new["id"]: "preparing"}


async def test_a_start_that_failed_before_it_was_a_job_leaves_none(home: Home) -> None:
    """There is nothing to end."""
    failed = {"id": new_id(), "intent": "print_start", "status": "failed", "device_id": "mk4"}
    home.brain.bus.publish("command.updated", failed)
    assert await home.jobs() == []


async def test_a_start_that_failed_while_the_database_is_busy_is_a_failed_job(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be shown as beginning until the next start on that printer."""
    failed = {"id": new_id(), "intent": "print_start", "status": "failed", "device_id": "mk4"}
    job_id = await put(
        home, jobs, device_id="mk4", file="x", status="preparing", command_id=failed["id"]
    )
    read, tries = home.brain.brain_db.read, 0

    async def busy_once(work: Any) -> Any:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise Unavailable("database_busy", "Busy")
        return await read(work)

    monkeypatch.setattr(home.brain.tasks, "_pause_s", 0.0)
    monkeypatch.setattr(home.brain.brain_db, "read", busy_once)
    home.brain.bus.publish("command.updated", failed | {"detail": "device_refused"})
    ended = await home.event("job.updated")
    assert (ended["id"], ended["status"], ended["error"]) == (job_id, "failed", "device_refused")


async def test_a_picture_that_nothing_tells_of_any_more_is_tidied_away(home: Home) -> None:
    """One that was taken back by a better one, say; not evidence, and not what has just come."""
    await report(home, await job(home))
    folder = home.brain.settings.data_dir / "evidence"
    (needed,) = [one.name for one in folder.iterdir()]
    for name in ("0" * 64, "1" * 64, "2" * 32):
        (folder / name).write_bytes(b"x")
    for name in (needed, "0" * 64, "2" * 32):
        os.utime(folder / name, (1, 1))
    await home.brain.workshop.tidy()
    assert {one.name for one in folder.iterdir()} == {needed, "1" * 64, "2" * 32}
