"""What Moonraker's messages mean; the traces were recorded from a real Klipper."""

from datetime import UTC, datetime, timedelta
from itertools import groupby
import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings, strategies as st
import pytest

from brain_server.drivers import Observation
from brain_server.drivers.moonraker.printer import Printer, unknown_command
from brain_server.protocol import Json, OnlineState

FILE = "part.gcode"
TRACES = Path(__file__).parent / "traces"
SHUTDOWN = {
    "state": "shutdown",
    "state_message": "MCU 'mcu' shutdown: Timer too close\nOnce the underlying issue is corrected, use",
}


class Told:
    """A printer that is told things, and what was published of it."""

    def __init__(self, last: Json | None = None) -> None:
        """Start at a certain moment, with what was known before."""
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.published: list[Observation] = []
        self.printer = Printer(lambda: self.now, self._changed, last or {})

    def _changed(self) -> None:
        self.published.append(self.printer.observation())

    def whole(self, state: str = "standby", *runs: Json, **more: Any) -> None:
        """Tell the whole state, as it comes after a connection was made."""
        stats = {"filename": FILE if state != "standby" else "", "state": state, "message": ""}
        stats |= {"total_duration": 0.0, "print_duration": 0.0, "filament_used": 0.0} | more
        self.printer.connecting()
        self.printer.whole({"webhooks": {"state": "ready"}, "print_stats": stats}, runs)

    def stats(self, **fields: Any) -> None:
        """Tell what has changed of the print."""
        self.printer.update({"print_stats": fields})

    def run(self, action: str, number: str, status: str = "in_progress", **job: Any) -> None:
        """Tell a change of the list of runs."""
        run = {"job_id": number, "filename": FILE, "status": status} | job
        self.printer.history({"action": action, "job": run})

    def started(self, **more: Any) -> None:
        """Tell of a print that starts and runs."""
        self.whole()
        self.stats(filename=FILE, state="printing", total_duration=0.1)
        self.run("added", "00000A")
        self.stats(total_duration=60.0, print_duration=30.0, **more)

    @property
    def state(self) -> Json:
        """Return the state as it would be published."""
        return self.printer.observation().state

    @property
    def job(self) -> Json:
        """Return the job."""
        return dict(self.state["job"])

    @property
    def status(self) -> Any:
        """Return what the printer is doing."""
        return self.state.get("status")

    @property
    def statuses(self) -> list[Any]:
        """Return every status that was published, one after the other."""
        return [status for status, _ in groupby(one.state.get("status") for one in self.published)]


def ran(number: str, status: str) -> Json:
    """Return a line of Moonraker's list of runs."""
    return {"job_id": number, "filename": FILE, "status": status}


# -- recorded from a real Klipper ---------------------------------------------------------------------

RECORDED = [
    ("shutdown", ["idle", "preparing", "paused", "printing", "failed"]),
    ("heater_fault", ["idle", "preparing", "failed"]),
    ("gcode_error", ["idle", "preparing", "failed", "preparing", "failed"]),
    ("cancelled_then_stopped", ["idle", "preparing", "aborted", "failed"]),
]


def replayed(name: str) -> Told:
    """Return a printer that was told all of a trace."""
    told = Told()
    printer = told.printer
    for line in (TRACES / f"moonraker_{name}.jsonl").read_text().splitlines():
        at, kind, content = json.loads(line)
        told.now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=at)
        hear = {
            "whole": lambda content: printer.whole(content, []),
            "update": printer.update,
            "history": printer.history,
            "disconnected": lambda _: printer.lost(),
        }
        hear.get(kind, lambda _: None)(content)
    return told


@pytest.mark.parametrize(("name", "statuses"), RECORDED)
def test_what_was_recorded_is_understood(name: str, statuses: list[str]) -> None:
    """After a fault Klipper says that the print is paused; it is not."""
    assert replayed(name).statuses == statuses


WORDS = [
    ("shutdown", "MCU 'mcu' shutdown: Stepper too far in past"),
    ("heater_fault", "Heater extruder not heating at expected rate"),
    ("gcode_error", "Move out of range: 500.000 0.000 0.000 [0.000]"),
    ("cancelled_then_stopped", "Extrude below minimum temp"),
]


@pytest.mark.parametrize(("name", "words"), WORDS)
def test_a_recorded_failure_has_the_printers_own_words(name: str, words: str) -> None:
    """Without the advice what to type at its console."""
    error = replayed(name).job["error"]
    assert error.startswith(words)
    assert "FIRMWARE_RESTART" not in error


def test_a_printer_that_was_stopped_is_a_fault_until_it_is_restarted() -> None:
    """And gone while it restarts."""
    stopped = replayed("cancelled_then_stopped").printer.observation()
    gone = replayed("heater_fault").printer.observation()
    assert (stopped.online, stopped.reason) == (
        OnlineState.FAULT,
        "Shutdown due to webhooks request",
    )
    assert (gone.online, gone.reason) == (OnlineState.OFFLINE, "printer_disconnected")


# -- a run ---------------------------------------------------------------------------------------------


def test_a_print_is_prepared_until_the_first_filament_is_pushed() -> None:
    """Klipper counts the print from there, so that what came before was heat."""
    told = Told()
    told.started()
    assert told.statuses == ["idle", "preparing", "printing"]


def test_a_paused_print_of_a_printer_that_shut_down_has_failed() -> None:
    """The one difference is in another object."""
    told = Told()
    told.started()
    told.stats(state="paused")
    told.printer.update({"webhooks": SHUTDOWN})
    told.stats(state="paused", total_duration=61.0)
    assert told.statuses[-2:] == ["paused", "failed"]
    assert told.job["error"] == "MCU 'mcu' shutdown: Timer too close"


def test_layers_filament_and_the_slicers_progress_are_passed_on() -> None:
    """Where Klipper tells them."""
    told = Told()
    told.started(info={"current_layer": 3, "total_layer": 12}, filament_used=123.456)
    told.printer.update({"virtual_sdcard": {"progress": 0.5}, "display_status": {"progress": 0.4}})
    known = {key: told.job[key] for key in ("layer", "layers", "filament_mm", "progress")}
    assert known == {"layer": 3, "layers": 12, "filament_mm": 123.5, "progress": 40.0}


def test_what_remains_is_what_the_slicer_thought_or_else_what_the_file_tells() -> None:
    """The part of the file that was read is the poorer guide."""
    told = Told()
    told.started()
    told.printer.update({"virtual_sdcard": {"progress": 0.25}})
    by_file = told.job["remaining_s"]
    told.run("added", "00000A", metadata={"estimated_time": 1000})
    told.stats(total_duration=61.0)
    assert (by_file, told.job["remaining_s"]) == (90.0, 970.0)


def test_progress_never_goes_back_within_a_run() -> None:
    """The slicer's own count gives way to that of the file when it has not been heard for a time."""
    told = Told()
    told.started()
    told.printer.update({"display_status": {"progress": 0.6}})
    told.printer.update({"display_status": {"progress": 0.3}})
    assert told.job["progress"] == 60.0


@pytest.mark.parametrize(
    ("state", "status", "error"),
    [
        ("complete", "completed", None),
        ("cancelled", "aborted", None),
        ("standby", "aborted", None),
        ("error", "failed", "Must home axis first"),
    ],
)
def test_a_run_ends_as_klipper_says(state: str, status: str, error: str | None) -> None:
    """Standby is a paused print whose file somebody took away."""
    told = Told()
    told.started()
    told.stats(state=state, message="Must home axis first" if error else "")
    assert (told.status, told.job["error"]) == (status, error)
    assert (told.job["progress"] == 100) is (status == "completed")


def test_the_first_word_on_how_a_run_ended_stands() -> None:
    """A pause of a print that failed is accepted, and changes nothing."""
    told = Told()
    told.started()
    told.stats(state="error", message="Move out of range")
    told.printer.update({"pause_resume": {"is_paused": True}})
    told.stats(state="error")
    assert told.status == "failed"


def test_a_run_too_short_to_be_seen_is_known_by_its_length() -> None:
    """From complete to complete Klipper reports no change, and Moonraker lists no run."""
    told = Told()
    told.started()
    told.stats(state="complete", total_duration=90.0)
    run = told.job["started_at"]
    told.now += timedelta(minutes=5)
    told.stats(total_duration=0.1, print_duration=0.1)
    assert told.status == "completed"
    assert told.job["started_at"] != run


def test_what_is_told_after_an_end_begins_no_run() -> None:
    """Temperatures go on, and the file is put away."""
    told = Told()
    told.started()
    told.stats(state="complete", total_duration=90.0)
    run = told.job["started_at"]
    told.printer.update({"extruder": {"temperature": 100.0}})
    told.stats(state="standby", filename="", total_duration=0.0)
    assert (told.status, told.job["started_at"]) == ("completed", run)


def test_another_file_started_from_a_pause_ends_the_paused_run() -> None:
    """As Moonraker counts it too: cancelled."""
    told = Told()
    told.started()
    told.stats(state="paused")
    told.stats(filename="other.gcode", state="printing", total_duration=0.1, print_duration=0.0)
    assert (told.status, told.job["file"]) == ("preparing", "other.gcode")
    assert "failed" not in told.statuses


def test_a_pause_that_was_accepted_is_awaited_until_it_is_seen() -> None:
    """A resume in between would come too early."""
    told = Told()
    told.started()
    told.printer.accepted("print_pause")
    pausing = told.printer.pausing
    told.stats(state="paused")
    assert (pausing, told.printer.pausing) == (True, False)


def test_orders_stand_in_a_queue_while_a_heater_is_waited_for() -> None:
    """Also in the middle of a print, as when a tool is changed."""
    told = Told()
    told.started()
    told.printer.update({"extruder": {"temperature": 190.0, "target": 200.0}})
    heating = told.printer.heating
    told.printer.update({"extruder": {"temperature": 199.0}})
    assert (heating, told.printer.heating) == (True, False)


# -- after a time when nobody looked -----------------------------------------------------------------


def test_a_run_goes_on_by_its_number() -> None:
    """Whatever the clocks say."""
    told = Told()
    told.started()
    run = told.job["started_at"]
    told.now += timedelta(hours=2)
    told.whole("printing", ran("00000A", "in_progress"), total_duration=80.0, print_duration=50.0)
    assert (told.status, told.job["started_at"]) == ("printing", run)


def test_a_run_goes_on_when_moonraker_alone_was_restarted() -> None:
    """Moonraker counts it as interrupted; Klipper never stopped."""
    told = Told()
    told.started()
    run = told.job["started_at"]
    told.whole("printing", ran("00000A", "interrupted"), total_duration=80.0, print_duration=50.0)
    assert (told.status, told.job["started_at"]) == ("printing", run)
    assert "failed" not in told.statuses


def test_the_same_file_with_a_higher_number_is_another_run() -> None:
    """Though it has run for longer than the old one had."""
    told = Told()
    told.started()
    run = told.job["started_at"]
    history = (ran("00000B", "in_progress"), ran("00000A", "completed"))
    told.whole("printing", *history, total_duration=500.0, print_duration=400.0)
    assert told.status == "printing"
    assert told.job["started_at"] != run
    assert told.job["run"] == 11


def test_a_run_without_a_number_is_another_when_it_is_shorter() -> None:
    """Where Moonraker keeps no history."""
    told = Told()
    told.whole("printing", total_duration=60.0, print_duration=30.0)
    run = told.job["started_at"]
    told.whole("printing", total_duration=61.0, print_duration=31.0)
    same = told.job["started_at"]
    told.whole("printing", total_duration=5.0)
    assert same == run
    assert told.job["started_at"] != run


def test_a_run_that_nobody_saw_begin_began_when_its_stopwatch_says() -> None:
    """By our clock, for the printer's may be wrong."""
    told = Told()
    told.whole("printing", ran("00000A", "in_progress"), total_duration=600.0, print_duration=500.0)
    assert told.job["started_at"] == "2025-12-31T23:50:00+00:00"


MISSED = [
    ("completed", "completed", None),
    ("cancelled", "aborted", None),
    ("error", "failed", "error"),
    ("klippy_shutdown", "failed", "shutdown"),
    ("klippy_disconnect", "failed", "printer_disconnected"),
    ("interrupted", "failed", "lost"),
    ("server_exit", "failed", "lost"),
]


@pytest.mark.parametrize(("kept", "status", "error"), MISSED)
def test_an_end_that_was_missed_is_read_from_moonrakers_list(
    kept: str, status: str, error: str | None
) -> None:
    """Where Klipper itself knows nothing of it any more."""
    told = Told()
    told.started()
    told.whole("standby", ran("00000A", kept))
    assert (told.status, told.job["error"]) == (status, error)


def test_an_end_that_klipper_still_shows_is_believed() -> None:
    """With its words, which the list does not have."""
    told = Told()
    told.started()
    told.whole("error", ran("00000A", "error"), total_duration=70.0, message="Move out of range")
    assert (told.status, told.job["error"]) == ("failed", "Move out of range")


def test_a_shutdown_that_was_missed_fails_the_run() -> None:
    """print_stats says that it is paused."""
    told = Told()
    told.started()
    stats = {"filename": FILE, "state": "paused", "total_duration": 70.0}
    told.printer.connecting()
    told.printer.whole({"webhooks": SHUTDOWN, "print_stats": stats}, [])
    assert (told.status, told.printer.observation().online) == ("failed", OnlineState.FAULT)


def test_a_run_that_is_nowhere_any_more_is_lost() -> None:
    """Also where a list has nonsense in it."""
    told = Told()
    told.started()
    told.whole("standby", {"job_id": None, "status": "completed"})
    assert (told.status, told.job["error"]) == ("failed", "lost")


def test_the_last_state_of_an_earlier_life_is_taken_up() -> None:
    """Its run goes on, or its end stands."""
    told = Told()
    told.started()
    later = Told(told.state)
    later.whole("printing", ran("00000A", "in_progress"), total_duration=99.0, print_duration=60.0)
    assert later.job["started_at"] == told.job["started_at"]


# -- what is no news ----------------------------------------------------------------------------------


def test_a_difference_before_the_whole_means_nothing() -> None:
    """It comes when others subscribe."""
    told = Told()
    told.stats(state="printing")
    assert told.published == []


def test_a_klipper_that_is_not_there_ends_no_run_that_it_may_still_be_at() -> None:
    """Moonraker finds it a moment after its own start; but one that goes takes the print with it."""
    told = Told()
    told.started()
    told.printer.absent()
    waiting = told.status
    told.whole("printing", ran("00000A", "interrupted"), total_duration=61.0, print_duration=31.0)
    told.printer.lost()
    assert (waiting, told.status, told.job["error"]) == (
        "printing",
        "failed",
        "printer_disconnected",
    )


def test_a_printer_that_was_never_seen_to_print_has_no_state_when_it_is_gone() -> None:
    """And an error of its own when it cannot start."""
    told = Told()
    told.printer.absent()
    gone = told.printer.observation()
    told.printer.whole({"webhooks": {"state": "error", "state_message": "Option 'x' is bad"}}, [])
    assert gone.state == {}
    assert (told.status, told.printer.observation().reason) == ("error", "Option 'x' is bad")


def test_a_run_of_another_file_gives_no_number() -> None:
    """As when somebody else was faster."""
    told = Told()
    told.whole()
    told.stats(filename=FILE, state="printing", total_duration=0.1)
    told.run("added", "00000B", filename="other.gcode")
    told.run("finished", "00000A")
    assert told.job["run"] is None


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (['// Unknown command:"FOO"'], 'Unknown command:"FOO"'),
        (['// Unknown command:"BAR"'], None),
        (["B:25.0 /0.0 T0:25.0 /0.0", None, 7], None),
    ],
)
def test_an_unknown_command_of_ours_is_told_from_those_of_others(
    said: list[Any], complaint: str | None
) -> None:
    """Klipper takes it for no error."""
    assert unknown_command(said, "foo X1\n\nG28") == complaint


values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8) | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2)
    ),
    max_leaves=4,
)
objects = st.dictionaries(
    st.sampled_from(["webhooks", "print_stats", "virtual_sdcard", "display_status", "extruder"]),
    values
    | st.fixed_dictionaries(
        {},
        optional={
            "state": st.sampled_from(
                ["ready", "shutdown", "printing", "paused", "complete", "error"]
            ),
            "total_duration": values,
            "print_duration": values,
            "progress": values,
            "temperature": values,
            "target": values,
            "info": values,
            "filename": values,
            "message": values,
        },
    ),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(objects, max_size=8), values)
def test_no_message_can_break_it(messages: list[Json], run: Any) -> None:
    """Whatever comes, the state is plain JSON and a status that there is."""
    told = Told()
    told.whole("printing", total_duration=1.0)
    for message in messages:
        told.printer.update(message)
        told.printer.history({"action": "added", "job": run})
        json.dumps(told.printer.observation().state, allow_nan=False)
    told.printer.connecting()
    told.printer.whole(messages[0] if messages else {}, [{"job_id": "x"}])
    json.dumps(told.printer.observation().state, allow_nan=False)
