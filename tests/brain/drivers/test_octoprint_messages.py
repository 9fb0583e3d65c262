"""What OctoPrint's push messages mean; they were recorded from real servers."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings, strategies as st
import pytest

from brain_server.drivers import Observation
from brain_server.drivers.octoprint.printer import Printer, SerialLog
from brain_server.lan import one_line
from brain_server.protocol import Json, OnlineState

OPERATIONAL = ("operational", "ready")
PRINTING = ("operational", "printing")
PAUSED = ("operational", "paused")
FILE = "part.gcode"


class Told:
    """A printer that is told things, and what was published of it."""

    def __init__(self, last: Json | None = None) -> None:
        """Start at a certain moment, with what was known before."""
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.published: list[Observation] = []
        self.printer = Printer(lambda: self.now, self._changed, last or {})

    def _changed(self) -> None:
        self.published.append(self.printer.observation())

    def current(self, *flags: str, message: str = "current", **more: Any) -> None:
        """Tell the state, as it comes once a second."""
        progress = {"completion": more.get("completion"), "printTime": more.get("elapsed")}
        self.printer.hear(
            {
                message: {
                    "state": {
                        "text": more.get("text"),
                        "flags": dict.fromkeys(flags, True),
                        "error": more.get("error", ""),
                    },
                    "job": {"file": {"path": more.get("file", FILE)}},
                    "progress": progress | {"printTimeLeft": more.get("left")},
                    "temps": more.get("temps", []),
                }
            }
        )

    def history(self, *flags: str, **more: Any) -> None:
        """Tell the state, as it comes after a connection was made."""
        self.printer.connecting()
        self.current(*flags, message="history", **more)

    def event(self, kind: str, **payload: Any) -> None:
        """Tell an event."""
        self.printer.hear({"event": {"type": kind, "payload": payload}})

    def started(self) -> None:
        """Tell of a print that starts and runs."""
        self.history(*OPERATIONAL, file=None)
        self.event("PrinterStateChanged", state_id="STARTING")
        self.event("PrintStarted", path=FILE)
        self.event("PrinterStateChanged", state_id="PRINTING")
        self.current(*PRINTING, completion=10.0, elapsed=30)

    @property
    def state(self) -> Json:
        """Return the state as it would be published."""
        return self.printer.observation().state

    @property
    def status(self) -> Any:
        """Return what the printer is doing."""
        return self.state.get("status")

    @property
    def statuses(self) -> list[Any]:
        """Return every status that was published."""
        return [seen.state.get("status") for seen in self.published]


def test_a_print_is_prepared_until_the_printer_says_that_it_prints() -> None:
    """STARTING comes first; heating after it counts as printing, for OctoPrint does not tell."""
    told = Told()
    told.started()
    assert told.statuses == ["idle", "idle", "preparing", "printing", "printing"]


def test_a_cancel_that_is_told_twice_is_aborted() -> None:
    """The second word is PrintFailed with the reason cancelled, 10 ms later."""
    told = Told()
    told.started()
    told.event("PrinterStateChanged", state_id="CANCELLING")
    told.event("PrintCancelled", path=FILE, reason="cancelled")
    told.event("PrintFailed", path=FILE, reason="cancelled")
    told.current(*OPERATIONAL)
    assert told.status == "aborted"
    assert "failed" not in told.statuses


def test_the_first_word_on_how_a_job_ended_stands() -> None:
    """Nothing that is told later changes it, and a new print does not fail the old one."""
    told = Told()
    told.started()
    told.event("PrintDone", path=FILE)
    told.event("PrintFailed", path=FILE, reason="error", error="too late")
    assert (told.status, told.state["job"]["error"]) == ("completed", None)
    told.event("PrintStarted", path=FILE)
    assert "failed" not in told.statuses


def test_the_second_word_of_a_cancel_does_not_end_the_next_print() -> None:
    """It may come late, when that one has begun."""
    told = Told()
    told.started()
    told.event("PrintCancelled", path=FILE)
    told.event("PrinterStateChanged", state_id="OPERATIONAL")
    told.event("PrintStarted", path=FILE)
    told.event("PrintFailed", path=FILE, reason="cancelled")
    assert told.status == "preparing"
    told.event("PrintCancelled", path=FILE)
    assert told.status == "aborted"


@pytest.mark.parametrize(
    ("state_id", "old", "new", "status"),
    [
        ("PAUSED", PRINTING, PAUSED, "paused"),
        ("PRINTING", PAUSED, PRINTING, "printing"),
        ("OPERATIONAL", PRINTING, OPERATIONAL, "printing"),
    ],
)
def test_a_state_that_octoprint_held_back_does_not_undo_a_newer_event(
    state_id: str, old: tuple[str, ...], new: tuple[str, ...], status: str
) -> None:
    """It comes up to a second later and says what was so before."""
    told = Told()
    told.started()
    told.event("PrinterStateChanged", state_id=state_id)
    count = len(told.published)
    told.current(*old)
    told.current(*new)
    assert set(told.statuses[count:]) == {status}


def test_a_state_that_goes_on_saying_otherwise_is_believed() -> None:
    """An event may have been missed."""
    told = Told()
    told.started()
    told.event("PrinterStateChanged", state_id="PAUSED")
    told.now += timedelta(seconds=3)
    told.current(*PRINTING)
    assert told.status == "printing"


def test_a_cancel_of_which_only_the_second_word_came_is_aborted() -> None:
    """The reason counts, not the name of the event."""
    told = Told()
    told.started()
    told.event("PrintFailed", path=FILE, reason="cancelled")
    assert told.status == "aborted"


@pytest.mark.parametrize("completion", [100.0, None])
def test_operational_says_nothing_of_how_a_job_ended(completion: float | None) -> None:
    """It is the same word after success, after a cancel and before the first print."""
    told = Told()
    told.history(*OPERATIONAL, completion=completion)
    assert (told.status, told.state["job"]) == ("idle", None)


def test_only_print_done_completes() -> None:
    """A completion of 100 % while printing does not."""
    told = Told()
    told.started()
    told.current(*PRINTING, completion=100.0, elapsed=60)
    assert told.status == "printing"
    told.event("PrintDone", path=FILE)
    assert told.status == "completed"
    assert told.state["job"]["progress"] == 100


def test_the_end_script_after_print_done_does_not_begin_a_new_run() -> None:
    """OctoPrint still says printing and finishing for half a second."""
    told = Told()
    told.started()
    told.event("PrintDone", path=FILE)
    run = told.state["job"]["started_at"]
    told.now += timedelta(seconds=1)
    told.current("operational", "printing", "finishing", completion=100.0, elapsed=31)
    told.history("operational", "printing", "finishing", completion=100.0, elapsed=31)
    told.current(*OPERATIONAL, completion=100.0)
    assert told.status == "completed"
    assert told.state["job"]["started_at"] == run


def test_a_pause_is_seen_where_printing_stays_set() -> None:
    """OctoPrint 2 leaves the printing flag on; 1.11 clears it."""
    told = Told()
    told.started()
    told.now += timedelta(seconds=3)
    told.current("operational", "printing", "paused")
    assert told.status == "paused"


@pytest.mark.parametrize("flag", ["pausing", "resuming", "finishing", "cancelling"])
def test_what_lies_between_two_states_is_still_printing(flag: str) -> None:
    """An order to pause is not a pause."""
    told = Told()
    told.started()
    told.current("operational", "printing", flag)
    assert told.status == "printing"


def test_a_print_is_starting_until_its_first_line() -> None:
    """A pause that OctoPrint accepts in that time is forgotten."""
    told = Told()
    told.history(*OPERATIONAL, file=None)
    told.event("PrinterStateChanged", state_id="STARTING")
    told.event("PrintStarted", path=FILE)
    assert told.printer.starting is True
    told.current(*PRINTING, text="Starting")
    assert told.printer.starting is True
    told.event("PrinterStateChanged", state_id="PRINTING")
    assert told.printer.starting is False


def test_a_printer_is_pausing_until_it_is_paused() -> None:
    """A resume that OctoPrint accepts in that time does nothing."""
    told = Told()
    told.started()
    told.event("PrinterStateChanged", state_id="PAUSING")
    assert told.printer.pausing is True
    told.current("operational", "printing", "pausing")
    assert told.printer.pausing is True
    told.event("PrinterStateChanged", state_id="PAUSED")
    assert told.printer.pausing is False


@pytest.mark.parametrize(
    ("intent", "between"), [("print_start", "starting"), ("print_pause", "pausing")]
)
def test_an_accepted_order_counts_until_the_printer_says_something(
    intent: str, between: str
) -> None:
    """Its event may still be on the way."""
    told = Told()
    told.started()
    told.printer.accepted(intent)
    told.current(*PRINTING)
    assert getattr(told.printer, between) is True
    told.event("PrinterStateChanged", state_id="PRINTING")
    assert getattr(told.printer, between) is False


def test_a_job_is_ending_until_its_end_script_is_done() -> None:
    """A start in that time is refused."""
    told = Told()
    told.started()
    assert told.printer.ending is False
    told.event("PrinterStateChanged", state_id="FINISHING")
    told.event("PrintDone", path=FILE)
    assert told.printer.ending is True
    told.current("operational", "printing", "finishing", completion=100.0)
    assert told.printer.ending is True
    told.event("PrinterStateChanged", state_id="OPERATIONAL")
    assert told.printer.ending is False


def test_a_pause_that_ends_after_a_cancel_does_not_bring_the_job_back() -> None:
    """A cancel while pausing is followed by PrintPaused."""
    told = Told()
    told.started()
    told.event("PrinterStateChanged", state_id="PAUSING")
    told.event("PrintCancelled", path=FILE)
    told.event("PrintPaused", path=FILE)
    told.event("PrinterStateChanged", state_id="PAUSED")
    told.event("PrintFailed", path=FILE, reason="cancelled")
    assert told.status == "aborted"


@pytest.mark.parametrize("state_id", ["OFFLINE", "CLOSED"])
def test_a_printer_unplugged_from_octoprint_is_offline_whatever_its_version_calls_it(
    state_id: str,
) -> None:
    """1.11 says OFFLINE and 2.0 CLOSED; the flag is the same."""
    told = Told()
    told.started()
    told.event("PrinterStateChanged", state_id=state_id)
    told.event("PrintFailed", path=FILE, reason="error", error="")
    told.current("closedOrError", file=None)
    seen = told.printer.observation()
    assert (seen.online, seen.reason) == (OnlineState.OFFLINE, "printer_disconnected")
    assert (told.status, told.state["job"]["error"]) == ("failed", "unknown")


def test_a_firmware_error_is_a_fault_with_the_printers_words() -> None:
    """Also when the event of it was missed."""
    told = Told()
    told.started()
    told.history("closedOrError", file=None, error="Thermal Runaway,\n system stopped!")
    seen = told.printer.observation()
    assert (seen.online, seen.reason) == (OnlineState.FAULT, "Thermal Runaway, system stopped!")
    assert (told.status, told.state["job"]["error"]) == ("failed", seen.reason)


def test_the_words_of_a_fault_may_come_in_an_event_alone() -> None:
    """As from OctoPrint 2."""
    told = Told()
    told.started()
    told.event("PrinterStateChanged", state_id="ERROR")
    told.event("Error", error="Thermal Runaway", reason="firmware")
    told.event("PrintFailed", path=FILE, reason="error", error="unknown")
    told.event("PrinterStateChanged", state_id="CLOSED_WITH_ERROR")
    told.current("closedOrError", file=None, text="Offline after error")
    seen = told.printer.observation()
    assert (seen.online, seen.reason) == (OnlineState.FAULT, "Thermal Runaway")
    assert told.state["job"]["error"] == "Thermal Runaway"


def test_a_fault_without_words_is_a_fault() -> None:
    """As after an emergency stop of OctoPrint 2."""
    told = Told()
    told.started()
    told.event("PrinterStateChanged", state_id="CLOSED_WITH_ERROR")
    told.event("PrintFailed", path=FILE, reason="error", error="unknown")
    told.current("closedOrError", file=None, text="Offline after error")
    seen = told.printer.observation()
    assert (seen.online, seen.reason) == (OnlineState.FAULT, "Offline after error")
    assert told.state["job"]["error"] == "unknown"


def test_a_fault_without_a_job_is_an_error() -> None:
    """There is nothing that could have failed."""
    told = Told()
    told.history("closedOrError", file=None, error="Halted")
    assert told.status == "error"


def test_a_failed_job_stays_failed_when_the_printer_is_back() -> None:
    """Until the next one begins."""
    told = Told()
    told.started()
    told.event("PrintFailed", path=FILE, reason="error", error="Halted")
    told.current("closedOrError", file=None, error="Halted")
    told.current(*OPERATIONAL, file=None)
    assert (told.printer.observation().online, told.status) == (OnlineState.ONLINE, "failed")


AWAY = [
    (OPERATIONAL, {"file": None}, "failed", "lost"),
    (OPERATIONAL, {"file": "other.gcode", "completion": 100.0}, "failed", "lost"),
    (OPERATIONAL, {"completion": 100.0}, "completed", None),
    (OPERATIONAL, {"completion": None}, "aborted", None),
    ((), {"file": None}, "failed", "lost"),
    (PRINTING, {"elapsed": 40}, "printing", None),
    (PAUSED, {"elapsed": 30}, "paused", None),
]


@pytest.mark.parametrize(("flags", "more", "status", "error"), AWAY)
def test_a_job_that_was_open_before_is_reconciled_after(
    flags: tuple[str, ...], more: Json, status: str, error: str | None
) -> None:
    """What is seen first after a connection tells how it went on."""
    told = Told()
    told.started()
    run = told.state["job"]["started_at"]
    told.now += timedelta(seconds=60)
    told.history(*flags, **more)
    assert (told.status, told.state["job"]["error"]) == (status, error)
    assert told.state["job"]["started_at"] == run


@pytest.mark.parametrize("status", ["preparing", "printing", "paused"])
def test_a_job_that_a_dead_brain_left_open_is_reconciled_too(status: str) -> None:
    """From the state that was kept."""
    job = {"file": FILE, "elapsed_s": 30.0, "started_at": "2025-12-31", "error": None}
    told = Told({"status": status, "job": job})
    told.history(*OPERATIONAL, file=None)
    assert (told.status, told.state["job"]["error"]) == ("failed", "lost")
    assert told.state["job"]["started_at"] == "2025-12-31"


def test_another_run_of_the_same_file_is_told_from_the_one_that_was_known() -> None:
    """Its clock went back, so the old run is lost and a new one has begun."""
    told = Told()
    told.started()
    run = told.state["job"]["started_at"]
    told.now += timedelta(seconds=60)
    told.history(*PRINTING, elapsed=5)
    assert told.statuses[-2:] == ["failed", "printing"]
    assert told.state["job"]["started_at"] != run


def test_a_job_that_ran_before_anyone_looked_is_taken_up() -> None:
    """Somebody started it at the printer."""
    told = Told()
    told.history(*PRINTING, elapsed=500, completion=40.0)
    assert told.status == "printing"
    assert told.state["job"]["started_at"] == told.now.isoformat()


def test_an_idle_printer_in_an_open_job_is_given_five_seconds_for_the_event() -> None:
    """The state may overtake the event."""
    told = Told()
    told.started()
    told.now += timedelta(seconds=3)
    told.current(*OPERATIONAL, completion=None)
    told.now += timedelta(seconds=4)
    told.current(*OPERATIONAL, completion=None)
    assert told.status == "printing"
    told.event("PrintFailed", path=FILE, reason="error", error="Halted")
    assert told.status == "failed"


def test_an_event_that_never_comes_is_not_waited_for() -> None:
    """After the five seconds the state decides."""
    told = Told()
    told.started()
    told.now += timedelta(seconds=3)
    told.current(*OPERATIONAL, completion=100.0)
    told.now += timedelta(seconds=6)
    told.current(*OPERATIONAL, completion=100.0)
    assert told.status == "completed"


def test_temperatures_are_kept_between_messages_and_forgotten_with_the_printer() -> None:
    """Most messages carry none; old heat must not count as known heat."""
    told = Told()
    reading = {"tool0": {"actual": 204.96, "target": 205}, "bed": {"actual": 60.0, "target": 60.0}}
    told.history(*OPERATIONAL, temps=[{"tool0": {"actual": 20.0, "target": 0.0}}, reading])
    told.current(*OPERATIONAL)
    assert told.state["nozzle"] == {"actual": 205.0, "target": 205.0}
    told.current("closedOrError", error="Halted", temps=[reading])
    assert told.state["nozzle"] == {"actual": None, "target": None}
    assert told.state["bed"] == {"actual": None, "target": None}


def test_nothing_is_published_before_the_first_state() -> None:
    """An event alone does not tell what else is so."""
    told = Told()
    told.printer.connecting()
    told.event("PrintStarted", path=FILE)
    told.current(*PRINTING)
    assert told.published == []


KEYS = [
    *("history", "current", "event", "state", "flags", "printing", "job", "file", "path"),
    *("progress", "completion", "printTime", "temps", "tool0", "actual", "type", "payload"),
    *("reason", "error", "state_id"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda part: (
        st.lists(part, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS),
            part,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(KEYS), JSON)))
def test_no_message_breaks_the_driver(messages: list[Json]) -> None:
    """A server that talks nonsense is not a reason to stop watching the printer."""
    told = Told()
    told.started()
    for message in messages:
        told.printer.hear(message)
    assert told.printer.observation().online in set(OnlineState)


async def test_gcode_is_seen_when_its_last_line_was_sent_and_answered() -> None:
    """In order, with or without a line number, in the words of either version."""
    log = SerialLog()
    async with log.expect(["G28", "M104 S50"]) as seen:
        log.hear({"current": {"logs": ["Recv: ok", "Send: M104 S50", "Send: N7 G28*3"]}})
        log.hear({"current": {"logs": ["Recv: ok"]}})
        assert not seen.is_set()
        log.hear({"current": {"logs": [">>> N8 M104 S50*94"]}})
        assert not seen.is_set()
        log.hear({"current": {"logs": ["<<< ok T:20"]}})
        assert seen.is_set()


async def test_lines_that_are_repeated_from_before_the_order_prove_nothing() -> None:
    """A history has them all."""
    log = SerialLog()
    async with log.expect(["G28"]) as seen:
        log.hear({"history": {"logs": ["Send: G28", "Recv: ok"]}})
        assert not seen.is_set()
    log.hear({"current": {"logs": ["Send: G28", "Recv: ok"]}})


def test_a_text_from_outside_is_one_short_line() -> None:
    """Whatever a firmware prints."""
    assert one_line("a\n\n b\t" + "c" * 500) == "a b " + "c" * 196
    assert one_line(" \n") is None
    assert one_line(None) is None
