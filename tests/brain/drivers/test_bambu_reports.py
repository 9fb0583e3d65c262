"""What a Bambu printer's reports mean."""

from datetime import UTC, datetime, timedelta
import json
from typing import Any

from hypothesis import given, settings, strategies as st
import pytest

from brain_server.drivers import Observation
from brain_server.drivers.bambu.printer import Printer, merged
from brain_server.protocol import Json, OnlineState, PrinterStatus

CANCELLED = 50348044
FATAL = {"attr": 0x03000200, "code": 0x00010001}
UNSIGNED_NOTICE = {"attr": 0x05000500, "code": 0x00010007}
LOCKED_FUN, OPEN_FUN = "3EC1AFFF9CFF", "3EC18FFF9CFF"


class Told:
    """A printer that is told things, and what was published of it."""

    def __init__(self, last: Json | None = None) -> None:
        """Start at a certain moment, with what was known before."""
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.published: list[Observation] = []
        self.printer = Printer(lambda: self.now, self._changed, last or {})

    def _changed(self) -> None:
        if not self.printer.undecided:
            self.published.append(self.printer.observation())

    def whole(self, gcode_state: str, name: str = "part.gcode", **more: Any) -> None:
        """Tell everything, as it comes when it is asked for."""
        self.printer.hear(
            {"msg": 0, "gcode_state": gcode_state, "subtask_name": name, "gcode_file": name} | more
        )

    def delta(self, **changes: Any) -> None:
        """Tell what differs."""
        self.printer.hear({"msg": 1, **changes})

    def later(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    def again(self, gcode_state: str, name: str = "part.gcode", **more: Any) -> None:
        """Be connected anew, and tell everything."""
        self.printer.connecting()
        self.whole(gcode_state, name, **more)

    def running(self) -> None:
        """Tell of a print that starts and runs."""
        self.whole("IDLE", "")
        self.delta(gcode_state="PREPARE", subtask_name="part.gcode", gcode_file="part.gcode")
        self.delta(gcode_state="RUNNING", mc_percent=10, mc_remaining_time=9)

    @property
    def seen(self) -> Observation:
        """Return the observation as it would be published."""
        return self.printer.observation()

    @property
    def state(self) -> Json:
        """Return the state as it would be published."""
        return self.seen.state

    @property
    def end(self) -> tuple[str, str | None]:
        """Return how the job ended, and why."""
        return self.state["status"], self.state["job"]["error"]

    @property
    def statuses(self) -> list[str]:
        """Return every status that was published."""
        return [seen.state["status"] for seen in self.published]


@pytest.mark.parametrize("history", ["FINISH", "FAILED", "IDLE", "INIT"])
def test_the_end_that_is_seen_first_is_history(history: str) -> None:
    """It persists until the next print, and is no job of anybody's."""
    told = Told()
    told.whole(history, mc_percent=100, print_error=0)
    assert (told.state["status"], told.state["job"]) == ("idle", None)


def test_differences_count_only_after_the_whole() -> None:
    """Of what they are differences is not known before."""
    told = Told()
    told.delta(gcode_state="RUNNING", mc_percent=50)
    assert told.published == []
    told.whole("IDLE")
    assert told.statuses == ["idle"]


@pytest.mark.parametrize(
    ("phase", "status"),
    [
        ("PREPARE", "preparing"),
        ("SLICING", "preparing"),
        ("RUNNING", "printing"),
        ("PAUSE", "paused"),
        ("FINISH", "completed"),
    ],
)
def test_a_state_of_the_printer_is_a_status(phase: str, status: str) -> None:
    """Of the print that runs."""
    told = Told()
    told.running()
    told.delta(gcode_state=phase)
    assert told.state["status"] == status


def test_a_print_has_figures_layers_and_a_stage() -> None:
    """The time that has passed is counted here: the printer does not say it."""
    told = Told()
    told.running()
    told.later(30)
    told.delta(
        mc_percent=42, mc_remaining_time=7, layer_num=12, total_layer_num=40, stg_cur=6,
        nozzle_temper=219.97, nozzle_target_temper=220, bed_temper=60.0, bed_target_temper=60.0,
    )  # fmt: skip
    job = told.state["job"]
    assert (job["progress"], job["remaining_s"], job["elapsed_s"]) == (42, 420, 30)
    assert (job["layer"], job["layers"], job["stage"]) == (12, 40, "paused_filament_runout")
    assert told.state["nozzle"] == {"actual": 220.0, "target": 220}
    assert told.state["bed"] == {"actual": 60.0, "target": 60.0}


def test_figures_of_the_print_before_are_not_those_of_this_one() -> None:
    """Until it prints, and for a moment after, the printer still says 100 %."""
    told = Told()
    told.whole("FINISH", "old.gcode", mc_percent=100, layer_num=60, total_layer_num=60)
    told.delta(gcode_state="PREPARE", subtask_name="part.gcode")
    told.delta(gcode_state="RUNNING")
    assert (told.state["job"]["progress"], told.state["job"]["layer"]) == (None, None)
    told.delta(mc_percent=1, layer_num=1)
    assert (told.state["job"]["progress"], told.state["job"]["layer"]) == (1, 1)


# -- how prints end -----------------------------------------------------------------------------------


def test_a_cancel_is_known_by_an_error_that_is_gone_after_a_moment() -> None:
    """It comes before the state and is cleared soon: it is remembered."""
    told = Told()
    told.running()
    told.delta(print_error=CANCELLED)
    told.delta(print_error=0)
    told.delta(gcode_state="FAILED")
    assert told.end == ("aborted", None)
    assert "failed" not in told.statuses


def test_the_error_of_a_cancel_may_come_after_the_state() -> None:
    """For a moment it is waited for."""
    told = Told()
    told.running()
    told.delta(gcode_state="FAILED")
    assert told.state["status"] == "printing"
    told.delta(print_error=CANCELLED)
    assert told.end == ("aborted", None)


def test_a_failure_without_an_error_is_told_after_a_moment() -> None:
    """Nobody says why."""
    told = Told()
    told.running()
    told.delta(gcode_state="FAILED")
    told.later(4)
    told.printer.look_again()
    assert told.end == ("failed", "unknown")


def test_a_failure_is_told_in_the_codes_that_the_screen_shows() -> None:
    """So that a person can look them up."""
    told = Told()
    told.running()
    told.delta(gcode_state="FAILED", print_error=0x03008003, hms=[FATAL])
    assert told.end == ("failed", "Error 0300-8003; HMS 0300-0200-0001-0001")


def test_the_error_of_an_earlier_print_is_not_this_ones() -> None:
    """A cancelled print, and then one that fails."""
    told = Told()
    told.running()
    told.delta(print_error=CANCELLED, gcode_state="FAILED")
    told.delta(gcode_state="PREPARE", print_error=0, subtask_name="part.gcode")
    told.delta(gcode_state="FAILED")
    told.later(4)
    told.printer.look_again()
    assert told.end == ("failed", "unknown")


@pytest.mark.parametrize(("phase", "status"), [("IDLE", "aborted"), ("FINISH", "completed")])
def test_an_end_that_was_ordered_is_an_abort_unless_it_was_done_already(
    phase: str, status: str
) -> None:
    """Also where the printer shows no error for it."""
    told = Told()
    told.running()
    told.printer.stopping(ordered=True)
    told.delta(gcode_state=phase)
    assert told.end == (status, None)


@pytest.mark.parametrize(
    ("phase", "more", "end"),
    [
        ("FINISH", {}, ("completed", None)),
        ("FAILED", {"print_error": CANCELLED}, ("aborted", None)),
        ("FAILED", {}, ("failed", "unknown")),
        ("IDLE", {}, ("failed", "lost")),
        ("FINISH", {"name": "other.gcode"}, ("failed", "lost")),
    ],
)
def test_a_print_that_ended_while_nobody_looked(
    phase: str, more: dict[str, Any], end: tuple[str, str | None]
) -> None:
    """It is known by its name; there is no other id in the house's own network."""
    told = Told()
    told.running()
    told.again(phase, **more)
    assert told.end == end


# -- which run it is ----------------------------------------------------------------------------------


def test_a_print_goes_on_as_the_same_run_when_it_is_further() -> None:
    """After a time when nothing was seen, also to a brain that was restarted."""
    told = Told()
    told.running()
    last = told.state
    other = Told(last)
    other.later(600)
    other.again("RUNNING", mc_percent=60)
    assert other.state["job"]["started_at"] == last["job"]["started_at"]


def test_a_print_that_is_less_far_is_another_run() -> None:
    """The one that was known ended unseen."""
    told = Told()
    told.running()
    begun = told.state["job"]["started_at"]
    told.later(600)
    told.again("RUNNING", mc_percent=3)
    assert told.state["job"]["started_at"] != begun
    assert told.state["job"]["progress"] == 3


def test_another_name_in_the_midst_of_a_print_is_another_run() -> None:
    """Its end was not seen."""
    told = Told()
    told.running()
    told.later(60)
    told.delta(subtask_name="other.gcode", gcode_file="other.gcode", mc_percent=1)
    assert told.state["job"]["file"] == "other.gcode"
    assert told.state["job"]["started_at"] == told.now.isoformat()


def test_a_print_is_told_when_its_name_is_known() -> None:
    """The state comes first, with the name of the print before."""
    told = Told()
    told.whole("FINISH", "old.gcode")
    told.delta(gcode_state="PREPARE")
    assert told.statuses == ["idle"]
    told.delta(subtask_name="new.gcode", gcode_file="new.gcode")
    assert told.published[-1].state["job"]["file"] == "new.gcode"


def test_a_print_of_the_same_name_is_told_after_a_moment() -> None:
    """A name that does not differ does not come at all."""
    told = Told()
    told.whole("FINISH")
    told.delta(gcode_state="PREPARE")
    told.later(4)
    told.printer.look_again()
    assert told.published[-1].state["job"]["file"] == "part.gcode"
    assert told.statuses[-1] == "preparing"


def test_what_was_ordered_and_accepted_is_what_begins() -> None:
    """Whatever name the printer still shows, until it prints."""
    told = Told()
    told.whole("FINISH", "old.gcode")
    told.printer.starting("new.gcode.3mf")
    told.delta(gcode_state="PREPARE")
    assert told.statuses == ["idle"]
    told.printer.started()
    assert told.published[-1].state["job"]["file"] == "new.gcode.3mf"
    told.delta(subtask_name="new", gcode_file="/data/Metadata/plate_1.gcode")
    told.delta(gcode_state="RUNNING")
    assert told.state["job"]["file"] == "new.gcode.3mf"


def test_what_was_ordered_and_refused_is_not_what_begins() -> None:
    """Somebody else was faster."""
    told = Told()
    told.whole("IDLE", "")
    told.printer.starting("mine.gcode")
    told.delta(gcode_state="PREPARE")
    told.printer.starting("")
    told.delta(subtask_name="theirs.gcode", gcode_file="theirs.gcode")
    assert told.published[-1].state["job"]["file"] == "theirs.gcode"


def test_what_was_accepted_long_ago_does_not_name_a_print() -> None:
    """The printer took the order and did nothing with it."""
    told = Told()
    told.whole("IDLE", "")
    told.printer.starting("mine.gcode")
    told.printer.started()
    told.later(3600)
    told.delta(gcode_state="PREPARE", subtask_name="theirs.gcode")
    assert told.state["job"]["file"] == "theirs.gcode"


# -- troubles, locks and spools -----------------------------------------------------------------------


def test_a_fatal_notice_is_a_fault_and_a_lesser_one_is_not() -> None:
    """Without a job the printer is then in error."""
    told = Told()
    told.whole("IDLE", hms=[{"attr": 0x03000200, "code": 0x00020001}, "nonsense", {}])
    assert (told.seen.online, told.seen.reason) == (OnlineState.ONLINE, None)
    told.delta(hms=[FATAL])
    assert (told.seen.online, told.state["status"]) == (OnlineState.FAULT, "error")
    assert told.seen.reason == "HMS 0300-0200-0001-0001"
    told.delta(hms=[])
    assert (told.seen.online, told.state["status"]) == (OnlineState.ONLINE, "idle")


def test_an_error_that_stops_a_print_is_the_reason() -> None:
    """As the screen shows it; the stage says it in words."""
    told = Told()
    told.running()
    told.delta(gcode_state="PAUSE", print_error=0x07008011, stg_cur=6)
    assert told.seen.reason == "Error 0700-8011"
    assert told.state["job"]["stage"] == "paused_filament_runout"


def test_a_printer_that_wants_signed_orders_is_read_only() -> None:
    """It says so by one bit; the notice on its screen about it is no fault."""
    told = Told()
    told.whole("IDLE", fun=LOCKED_FUN, hms=[UNSIGNED_NOTICE])
    assert told.state["read_only"] is True
    assert (told.seen.online, told.seen.reason) == (OnlineState.ONLINE, "read_only")
    told.delta(fun=OPEN_FUN)
    assert "read_only" not in told.state
    assert told.seen.reason is None


def test_a_printer_that_refused_is_read_only_whatever_it_says() -> None:
    """Until it says something else, or is connected anew."""
    told = Told()
    told.whole("IDLE", fun=OPEN_FUN)
    told.printer.refuse()
    told.delta(nozzle_temper=30)
    assert told.state["read_only"] is True
    told.again("IDLE", fun=OPEN_FUN)
    assert "read_only" not in told.state


def test_spools_are_numbered_as_the_printer_wants_them_mapped() -> None:
    """Four to an AMS, one to a small AMS, and the one outside."""
    orange = {"tray_type": "PLA", "tray_color": "FF6A13FF", "remain": 62}
    told = Told()
    told.whole(
        "IDLE",
        ams={
            "ams": [
                {"id": "0", "tray": [{"id": "0", **orange}, {"id": "1"}]},
                {"id": "1", "tray": [{"id": "3", **orange, "remain": -1}, {"id": "x"}]},
                {"id": "128", "tray": [{"id": "0", **orange}]},
            ]
        },
        vt_tray={"id": "254", "tray_type": "PETG", "tray_color": "000000FF", "remain": 0},
    )
    known = {"material": "PLA", "color": "ff6a13"}
    assert told.state["slots"] == [
        {"slot": 0, **known, "remaining": 62},
        {"slot": 1, "material": None, "color": None, "remaining": None},
        {"slot": 7, **known, "remaining": None},
        {"slot": 128, **known, "remaining": 62},
        {"slot": 254, "material": "PETG", "color": "000000", "remaining": None},
    ]


def test_a_difference_changes_one_spool_and_empties_another() -> None:
    """A place of which only the number is said is empty."""
    old = {"ams": [{"id": "0", "tray": [{"id": "0", "remain": 62}, {"id": "1", "remain": 5}]}]}
    new = {"ams": [{"id": "0", "tray": [{"id": "0", "remain": 61}, {"id": "1"}]}], "version": 3}
    assert merged(old, new) == {
        "ams": [{"id": "0", "tray": [{"id": "0", "remain": 61}, {"id": "1"}]}],
        "version": 3,
    }


def test_a_whole_report_forgets_an_ams_that_is_gone() -> None:
    """Only differences are put together."""
    told = Told()
    unit = {"id": "0", "tray": [{"id": "0", "tray_type": "PLA"}]}
    told.whole("IDLE", ams={"ams": [unit, {**unit, "id": "1"}]})
    told.whole("IDLE", ams={"ams": [unit]})
    assert [slot["slot"] for slot in told.state["slots"]] == [0]


def test_what_another_driver_left_behind_is_no_job() -> None:
    """The last state may be anybody's."""
    told = Told({"status": "printing", "job": {"file": None}})
    told.whole("FINISH")
    assert told.state["job"] is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "ams", "tray", "remain", "attr", "code", "tray_type"]), inner
        )
    ),
    max_leaves=8,
)
REPORT = st.dictionaries(
    st.sampled_from(
        ["gcode_state", "mc_percent", "mc_remaining_time", "layer_num", "nozzle_temper", "hms", "ams",
         "vt_tray", "print_error", "stg_cur", "fun", "subtask_name", "gcode_file", "msg", "ipcam"]
    ),
    JSON | st.sampled_from(["IDLE", "PREPARE", "RUNNING", "FAILED", "FINISH", 10**400, {"ams": [{}]}]),
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(REPORT, max_size=6))
def test_whatever_is_reported_a_state_comes_of_it(reports: list[Json]) -> None:
    """No report of any shape does harm, and what is published is plain."""
    told = Told()
    told.whole("IDLE", "")
    for report in reports:
        told.printer.hear(report)
        told.later(2)
        told.printer.look_again()
    json.dumps(told.state, allow_nan=False)
    assert told.state["status"] in set(PrinterStatus)
