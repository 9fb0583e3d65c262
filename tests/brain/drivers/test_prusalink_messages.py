"""What PrusaLink's status means; most of it was recorded from a real server, the rest is its description's."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings, strategies as st
import pytest

from brain_server.drivers import Observation, Order
from brain_server.drivers.prusalink.printer import Printer
from brain_server.drivers.prusalink.wire import (
    Storages,
    calls_for,
    entries,
    first_camera,
    job_file,
    stored_name,
)
from brain_server.errors import DeviceError, InvalidRequest
from brain_server.protocol import Json, OnlineState

FILE = "part.gcode"
OPEN = {"file": FILE, "id": 7, "progress": 40.0, "elapsed_s": 60, "started_at": "2026-01-01"}
KNOWN = {"status": "printing", "job": OPEN}


class Told:
    """A printer that is looked at."""

    def __init__(self, last: Json | None = None) -> None:
        """Start at a certain moment, with what was known before."""
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.printer = Printer(lambda: self.now, last or {})
        self.statuses: list[Any] = []

    def look(
        self, state: str, job: Json | None = None, file: str | None = FILE, **more: Any
    ) -> None:
        """See a status, a second later."""
        self.now += timedelta(seconds=1)
        status = {"printer": {"state": state} | more} | ({} if job is None else {"job": job})
        wanted = self.printer.wants_file(status)
        self.printer.see(status, file if wanted else None)
        self.statuses.append(self.status)

    @property
    def seen(self) -> Observation:
        """Return what would be published."""
        return self.printer.observation()

    @property
    def job(self) -> Json:
        """Return the job, which must be there."""
        job: Json = self.seen.state["job"]
        return job

    @property
    def status(self) -> Any:
        """Return what the printer is doing."""
        return self.seen.state["status"]


# -- how a job goes and ends --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("IDLE", "preparing"),
        ("READY", "preparing"),
        ("BUSY", "preparing"),
        ("PRINTING", "printing"),
        ("PAUSED", "paused"),
        ("ATTENTION", "paused"),
        ("ERROR", "failed"),
        ("FINISHED", "completed"),
        ("STOPPED", "aborted"),
    ],
)
def test_each_state_with_a_job_has_its_status(state: str, status: str) -> None:
    """The job is shown until it has ended; a state that nobody knows changes nothing."""
    told = Told()
    told.look("PRINTING", {"id": 1})
    told.look(state, {"id": 1})
    assert told.status == status
    assert told.job["file"] == FILE


@pytest.mark.parametrize("state", ["IDLE", "READY", "BUSY", "FINISHED", "STOPPED", "PRINTING"])
def test_a_printer_without_a_job_is_idle(state: str) -> None:
    """Also when it shows an end of which we saw nothing, or a job that it has not yet."""
    told = Told()
    told.look(state)
    assert (told.status, told.job) == ("idle", None)


@pytest.mark.parametrize(
    ("state", "status", "progress"), [("FINISHED", "completed", 100.0), ("STOPPED", "aborted", 5.0)]
)
def test_a_raspberry_pi_drops_the_job_when_it_ends_and_the_state_tells_how(
    state: str, status: str, progress: float
) -> None:
    """The job is gone from the status at once, the state stays for eleven seconds."""
    told = Told()
    told.look("PRINTING", {"id": 1, "progress": 5.0, "time_remaining": 60})
    told.look(state)
    assert (told.status, told.job["progress"], told.job["remaining_s"]) == (status, progress, None)
    assert told.printer.shows_an_end
    told.look("IDLE")
    assert not told.printer.shows_an_end
    assert (told.status, told.job["error"]) == (status, None)


def test_a_printer_that_keeps_its_ended_job_takes_the_next_start_at_once() -> None:
    """It shows the end until somebody leaves the screen, and the job ends once."""
    told = Told()
    told.look("PRINTING", {"id": 1})
    told.look("FINISHED", {"id": 1, "progress": 100.0})
    told.look("FINISHED", {"id": 1, "progress": 100.0})
    assert told.statuses == ["printing", "completed", "completed"]
    assert not told.printer.shows_an_end
    ended = told.job["started_at"]
    told.look("PRINTING", {"id": 2})
    assert (told.status, told.job["id"]) == ("printing", 2)
    assert told.job["started_at"] != ended


def test_a_cancel_is_still_shown_as_printing_for_a_second() -> None:
    """And then as stopped; nothing in between is a failure."""
    told = Told()
    told.look("PRINTING", {"id": 1})
    told.printer.cancelled = True
    told.look("PRINTING", {"id": 1})
    told.look("STOPPED")
    assert told.statuses == ["printing", "printing", "aborted"]


def test_a_job_that_is_gone_and_nobody_saw_how_is_lost_at_the_second_look() -> None:
    """The first may have fallen between two words of the server."""
    told = Told()
    told.look("PRINTING", {"id": 1})
    told.look("IDLE")
    assert told.status == "printing"
    told.look("PRINTING", {"id": 1})
    told.look("BUSY")
    told.look("IDLE")
    assert told.statuses[-3:] == ["printing", "printing", "failed"]
    assert told.job["error"] == "lost"


def test_a_job_that_is_gone_after_we_cancelled_it_is_aborted() -> None:
    """Nobody saw STOPPED, but nobody else will have done it; the next job knows nothing of it."""
    told = Told()
    told.look("PRINTING", {"id": 1})
    told.printer.cancelled = True
    told.look("IDLE")
    told.look("IDLE")
    assert (told.status, told.job["error"]) == ("aborted", None)
    told.look("PRINTING", {"id": 2})
    assert not told.printer.cancelled


@pytest.mark.parametrize("state", ["PRINTING", "PAUSED", "ATTENTION"])
def test_a_state_at_work_without_its_job_is_no_end(state: str) -> None:
    """State and job are read one after the other by the server."""
    told = Told()
    told.look("PRINTING", {"id": 1})
    told.look(state)
    told.look(state)
    assert told.status == "printing"


def test_a_lost_serial_line_fails_the_job_with_the_words_of_the_server() -> None:
    """The job is gone from the status, and the printer is a fault until the line is back."""
    told = Told()
    told.look("PRINTING", {"id": 1})
    told.look("ERROR", status_printer={"ok": False, "message": "Serial device\ndoes not exist"})
    assert (told.status, told.job["error"]) == ("failed", "Serial device does not exist")
    assert told.seen.online is OnlineState.FAULT
    assert told.seen.reason == "Serial device does not exist"
    told.look("IDLE", status_printer={"ok": True, "message": "OK"})
    assert (told.seen.online, told.seen.reason, told.status) == (OnlineState.ONLINE, None, "failed")


def test_an_error_without_a_job_or_words_is_an_error_all_the_same() -> None:
    """The fields are optional everywhere."""
    told = Told()
    told.look("ERROR")
    assert (told.status, told.seen.reason) == ("error", "error")


def test_a_printer_that_wants_somebody_is_paused_and_says_why() -> None:
    """With its words where it has some, and by a name where not; and no longer than it wants somebody."""
    told = Told()
    told.look("PRINTING", {"id": 1})
    told.look("ATTENTION", {"id": 1})
    assert (told.status, told.seen.reason) == ("paused", "attention")
    told.look("ATTENTION", {"id": 1}, status_printer={"ok": False, "message": "No filament"})
    assert told.seen.reason == "No filament"
    told.look("PRINTING", {"id": 1})
    assert (told.status, told.seen.reason) == ("printing", None)
    assert told.seen.online is OnlineState.ONLINE


# -- which run it is ----------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["PRINTING", "PAUSED", "BUSY"])
def test_a_known_job_goes_on_as_the_same_run_by_its_number(state: str) -> None:
    """After a restart of ours, or a road that was cut."""
    told = Told(KNOWN)
    told.look(state, {"id": 7, "time_printing": 5})
    assert told.job["started_at"] == "2026-01-01"


@pytest.mark.parametrize(
    ("state", "status", "error"),
    [("FINISHED", "completed", None), ("STOPPED", "aborted", None), ("IDLE", "failed", "lost")],
)
@pytest.mark.parametrize("kept", [None, {"id": 7}])
def test_a_known_job_that_ended_meanwhile_ends_as_the_first_look_tells(
    state: str, status: str, error: str | None, kept: Json | None
) -> None:
    """At rest without a job there is nothing to tell it by."""
    told = Told(KNOWN)
    told.look(state, None if state == "IDLE" else kept)
    assert (told.status, told.job["error"]) == (status, error)
    assert told.job["started_at"] == "2026-01-01"


def test_an_end_that_is_shown_at_first_sight_is_history() -> None:
    """Of a job of which nothing was known, nothing is told; one that was known is lost if it is another."""
    told = Told()
    told.look("FINISHED", {"id": 9})
    assert (told.status, told.job) == ("idle", None)
    told = Told(KNOWN)
    told.look("FINISHED", {"id": 9})
    assert (told.status, told.job["error"], told.job["id"]) == ("failed", "lost", 7)


def test_an_ended_job_stays_as_it_was_known() -> None:
    """Whatever the printer still shows of it after a restart of ours."""
    told = Told({"status": "completed", "job": OPEN})
    told.look("FINISHED", {"id": 7})
    told.look("IDLE")
    assert told.statuses == ["completed", "completed"]
    assert told.job["started_at"] == "2026-01-01"


def test_a_job_that_began_and_ended_between_two_looks_is_told_whole() -> None:
    """The printer still shows it, with another number than the last one."""
    told = Told()
    told.look("IDLE")
    told.look("FINISHED", {"id": 3, "progress": 100.0})
    assert (told.status, told.job["id"], told.job["file"]) == ("completed", 3, FILE)


@pytest.mark.parametrize(
    ("job", "file"), [({"id": 8}, FILE), ({"id": 7}, "other.gcode"), ({"id": 8}, "other.gcode")]
)
def test_another_job_at_first_sight_is_another_run(job: Json, file: str) -> None:
    """By its number, or by its file where numbers began anew."""
    told = Told({"status": "printing", "job": OPEN | {"file": FILE}})
    told.printer.see({"printer": {"state": "PRINTING"}, "job": job}, file)
    assert told.job["started_at"] != "2026-01-01"
    assert told.job["file"] == file


@pytest.mark.parametrize(("elapsed", "same"), [(60, True), (90, True), (5, False)])
def test_without_numbers_a_print_that_went_back_in_time_is_another_one(
    elapsed: int, same: bool
) -> None:
    """At first sight; a Raspberry Pi has no number until it has read it from the printer's memory."""
    told = Told({"status": "printing", "job": OPEN | {"id": None}})
    told.look("PRINTING", {"time_printing": elapsed})
    assert (told.job["started_at"] == "2026-01-01") is same


def test_a_number_that_comes_late_is_taken_into_the_run() -> None:
    """And the file too, which is asked for until it was told twice."""
    told = Told()
    told.look("PRINTING", {"progress": 0.0}, file=None)
    started = told.job["started_at"]
    assert (told.job["file"], told.job["id"]) == ("", None)
    told.look("PRINTING", {"id": 4})
    told.look("PRINTING", {"id": 4})
    told.look("PRINTING", {"id": 4}, file="not asked for.gcode")
    assert (told.job["file"], told.job["id"], told.job["started_at"]) == (FILE, 4, started)


def test_the_file_of_the_job_before_is_not_kept_for_the_next_one() -> None:
    """PrusaLink may show a new job a moment before its file, and the last one's until then."""
    told = Told()
    told.look("PRINTING", {"id": 5}, file="of the job before.gcode")
    started = told.job["started_at"]
    told.look("PRINTING", {"id": 5})
    told.look("PRINTING", {"id": 5})
    assert (told.job["file"], told.job["id"], told.job["started_at"]) == (FILE, 5, started)
    assert not told.printer.wants_file({"printer": {"state": "PRINTING"}, "job": {"id": 5}})


def test_a_job_that_we_started_has_its_file_before_printers_tell_it() -> None:
    """PrusaLink shows a job first and its file later; its own word counts when it comes."""
    told = Told()
    told.look("IDLE")
    told.printer.started("ours.gcode")
    told.look("PRINTING", {"id": 4}, file=None)
    started = told.job["started_at"]
    assert told.job["file"] == "ours.gcode"
    told.look("PRINTING", {"id": 4}, file="theirs.gcode")
    assert (told.job["file"], told.job["started_at"]) == ("theirs.gcode", started)


def test_a_job_that_we_started_and_that_is_over_before_it_was_seen_is_told_whole() -> None:
    """A Raspberry Pi shows the end, and no longer the job."""
    told = Told()
    told.look("IDLE")
    told.printer.started("short.gcode")
    told.look("FINISHED")
    told.look("FINISHED")
    assert told.statuses == ["idle", "completed", "completed"]
    assert (told.job["file"], told.job["progress"]) == ("short.gcode", 100)


def test_a_start_that_came_to_nothing_gives_its_name_to_no_later_job() -> None:
    """Somebody declined it at the printer, and prints something else a minute later."""
    told = Told()
    told.look("IDLE")
    told.printer.started("declined.gcode")
    told.now += timedelta(minutes=1)
    told.look("PRINTING", {"id": 4}, file=None)
    assert told.job["file"] == ""


def test_a_job_that_prints_again_after_it_had_ended_is_told_as_a_new_run() -> None:
    """A printer that moves is never shown at rest."""
    told = Told({"status": "failed", "job": OPEN})
    told.look("PRINTING", {"id": 7})
    assert told.status == "printing"
    assert told.job["started_at"] != "2026-01-01"


# -- figures ------------------------------------------------------------------------------------------


def test_the_figures_of_the_job_before_are_not_those_of_the_new_one() -> None:
    """PrusaLink shows the old ones until the new print has its own."""
    told = Told()
    told.look("IDLE")
    told.look("PRINTING", {"id": 3, "progress": 30.0, "time_printing": 11, "time_remaining": 0})
    assert (told.job["progress"], told.job["elapsed_s"], told.job["remaining_s"]) == (None, None, 0)
    told.look("PRINTING", {"id": 3, "progress": 0.0, "time_printing": 11, "time_remaining": 90})
    assert (told.job["progress"], told.job["elapsed_s"], told.job["remaining_s"]) == (0, None, 90)
    told.look("PRINTING", {"id": 3, "progress": 30.0, "time_printing": 2, "time_remaining": 60})
    assert (told.job["progress"], told.job["elapsed_s"], told.job["remaining_s"]) == (30, 2, 60)


def test_the_figures_of_a_job_that_ran_before_we_looked_are_its_own() -> None:
    """They are right from the first look."""
    told = Told()
    told.look("PRINTING", {"id": 3, "progress": 30.0, "time_printing": 11})
    assert (told.job["progress"], told.job["elapsed_s"]) == (30, 11)


def test_heaters_and_a_transfer_are_told_where_they_are() -> None:
    """What is not on the wire is unknown, not zero."""
    told = Told()
    told.look("IDLE", temp_nozzle=200.04, target_nozzle=200)
    state = told.seen.state
    assert state["nozzle"] == {"actual": 200.0, "target": 200.0}
    assert state["bed"] == {"actual": None, "target": None}
    assert "transfer" not in state
    told.printer.see({"printer": {"state": "IDLE"}, "transfer": {"id": 1, "progress": 12.5}}, None)
    assert told.seen.state["transfer"] == {"progress": 12.5}


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
STATES = st.sampled_from(["IDLE", "BUSY", "PRINTING", "PAUSED", "FINISHED", "ERROR", "ATTENTION"])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(STATES, JSON, JSON), max_size=6))
def test_no_status_whatever_is_in_it_breaks_the_driver(looks: list[tuple[str, Any, Any]]) -> None:
    """The fields are optional, and what is in them is not ours."""
    told = Told()
    for state, job, more in looks:
        printer = {"state": state, "status_printer": more, "temp_bed": more}
        status = {"printer": printer, "job": job, "transfer": more}
        told.printer.see(status, FILE if told.printer.wants_file(status) else None)
        assert told.status in {
            *("idle", "preparing", "printing", "paused"),
            *("completed", "failed", "aborted", "error"),
        }


# -- names and places ---------------------------------------------------------------------------------

PI = Storages.of(
    {
        "storage_list": [
            {"path": "/local", "name": "PrusaLink gcodes", "available": True, "read_only": False},
            {"path": "/sdcard", "name": "SD Card", "available": True, "read_only": True},
        ]
    },
    "",
)
STICK = Storages.of(
    {"storage_list": [{"path": "/usb/", "name": "USB", "type": "USB", "available": True}]}, ""
)


@pytest.mark.parametrize(
    ("storages", "file", "name"),
    [
        (PI, {"name": "a.gcode", "path": "/PrusaLink gcodes/a.gcode"}, "a.gcode"),
        (PI, {"name": "a.gcode", "path": "/PrusaLink gcodes/deep/er/a.gcode"}, "deep/er/a.gcode"),
        (PI, {"name": "a.gcode", "path": "/SD Card/a.gcode"}, "sdcard/a.gcode"),
        (
            PI,
            {"name": "a.gcode", "path": "/PrusaLink gcodes/sdcard/a.gcode"},
            "local/sdcard/a.gcode",
        ),
        (
            STICK,
            {"name": "LONGNA~1.BGC", "display_name": "Long.bgcode", "path": "/usb"},
            "Long.bgcode",
        ),
        (
            STICK,
            {"name": "A~1.G", "display_name": "A long.g", "path": "/usb/IN~1"},
            "IN~1/A long.g",
        ),
        (STICK, {"name": "A~1.G", "display_name": "A.g", "path": "/usb/A~1.G"}, "A.g"),
        (STICK, {"name": "alone.gcode"}, "alone.gcode"),
        (STICK, {"path": "/usb"}, None),
        (STICK, {"name": 7}, None),
    ],
)
def test_a_job_has_the_name_by_which_it_is_started(
    storages: Storages, file: Json, name: str | None
) -> None:
    """The long one, with its storage where that is not the default, on every kind of printer."""
    assert job_file({"file": file}, storages) == name


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a.gcode", ("local", "a.gcode")),
        ("deep/a.gcode", ("local", "deep", "a.gcode")),
        ("sdcard/a.gcode", ("sdcard", "a.gcode")),
        ("local/sdcard/a.gcode", ("local", "sdcard", "a.gcode")),
        ("sdcard", ("local", "sdcard")),
    ],
)
def test_a_name_leads_to_its_storage(name: str, path: tuple[str, ...]) -> None:
    """Plain ones to the default."""
    assert PI.place(name) == ("v1", "files", *path)


@pytest.mark.parametrize("name", ["../x.gcode", "a//b.gcode", "/x.gcode", "a/./b", ""])
def test_a_name_that_leads_out_of_the_storage_is_refused(name: str) -> None:
    """Before anything is sent."""
    with pytest.raises(DeviceError) as raised:
        PI.place(name)
    assert raised.value.code == "device_refused"


@pytest.mark.parametrize(
    ("wanted", "default"), [("", "local"), ("sdcard", "sdcard"), ("usb", "local")]
)
def test_the_storage_is_the_one_that_was_chosen_where_there_is_such(
    wanted: str, default: str
) -> None:
    """Otherwise the first to which something can be written."""
    answer = {
        "storage_list": [
            {"path": "/sdcard", "available": True, "read_only": True},
            {"path": "/local", "available": True},
        ]
    }
    assert Storages.of(answer, wanted).default == default


@pytest.mark.parametrize(
    ("answer", "default"),
    [
        ({}, "local"),
        ({"storage_list": "?"}, "local"),
        ({"storage_list": [{"path": "/usb", "available": False}]}, "usb"),
    ],
)
def test_without_a_storage_to_write_to_there_is_still_a_name_for_one(
    answer: Json, default: str
) -> None:
    """As when the stick is not in the printer."""
    assert Storages.of(answer, "").default == default


@pytest.mark.parametrize(
    ("given_name", "stored"),
    [
        ("part.gcode", "part.gcode"),
        ("../../etc/100% é.GCODE", "100 é.GCODE"),
        ("C:\\temp\\a.bgcode", "a.bgcode"),
        ('say "what?" <now>#1|2*.g', "say what now12.g"),
    ],
)
def test_a_name_loses_what_printers_cannot_store(given_name: str, stored: str) -> None:
    """PrusaLink would refuse it, and a stick with FAT could not hold it."""
    assert stored_name(given_name) == stored


@pytest.mark.parametrize("name", ["part.txt", "gcode", ".gcode", "é" * 130 + ".gcode"])
def test_what_is_no_print_file_is_not_stored(name: str) -> None:
    """PrusaLink would keep it and never show it."""
    with pytest.raises(InvalidRequest) as raised:
        stored_name(name)
    assert raised.value.code == "invalid_file_name"


def test_a_folder_gives_its_files_by_long_and_its_folders_by_short_names() -> None:
    """As the jobs are told; what is neither is left out."""
    children = [
        {"type": "PRINT_FILE", "name": "A~1.GCO", "display_name": "A long one.gcode"},
        {"type": "PRINT_FILE", "name": "b.gcode"},
        {"type": "FOLDER", "name": "IN~1", "display_name": "Inside"},
        {"type": "FIRMWARE", "name": "mk3.hex"},
        {"type": "PRINT_FILE"},
        {"type": "FOLDER"},
        "nonsense",
    ]
    found = list(entries({"children": children}))
    assert found == [("A long one.gcode", False), ("b.gcode", False), ("IN~1", True)]
    assert list(entries({"children": "nonsense"})) == []


@pytest.mark.parametrize(
    ("answer", "camera"),
    [
        ({}, None),
        ({"camera_list": [{"camera_id": "a", "connected": False}]}, None),
        ({"camera_list": [{"connected": True}, {"camera_id": "b", "connected": True}]}, "b"),
    ],
)
def test_the_camera_is_the_first_that_is_connected(answer: Json, camera: str | None) -> None:
    """In the order that the owner set."""
    assert first_camera(answer) == camera


def test_an_order_to_a_job_names_it_by_its_number() -> None:
    """Where none is known there is nothing that could be meant."""

    def order(intent: str) -> Order:
        return Order(command_id="1", intent=intent, params={})

    found = [calls_for(order(intent), PI, 7)[0] for intent in ("print_pause", "print_cancel")]
    assert [(call.method, call.path) for call in found] == [
        ("PUT", ("v1", "job", "7", "pause")),
        ("DELETE", ("v1", "job", "7")),
    ]
    with pytest.raises(DeviceError) as raised:
        calls_for(order("print_pause"), PI, None)
    assert raised.value.code == "device_refused"
