"""Printers of Home Assistant: which run a job belongs to, and how it ended."""

from datetime import UTC, datetime
from typing import Final

from aiohttp import ClientSession
import pytest

from brain_server.drivers import Observation
from brain_server.drivers.home_assistant import HomeAssistant
from brain_server.drivers.home_assistant.runs import Runs
from brain_server.protocol import Json, OnlineState
from tests.brain.drivers.watch import build, watching
from tests.standins.home_assistant import FakeLink

PRINTER: Final = {"entity_id": "sensor.status", "kind": "printer"}


class House:
    """Shows states to the runs of a printer, a minute apart."""

    def __init__(self, last_state: Json | None = None) -> None:
        """Begin with what was known last."""
        self._minute = 0
        self.runs = Runs(self._now, last_state or {})

    def _now(self) -> datetime:
        self._minute += 1
        return datetime(2026, 11, 20, 12, self._minute, tzinfo=UTC)

    def show(
        self, status: str | None, progress: float | None = None, file: str | None = None
    ) -> Json:
        """Show a state and return what is made of it."""
        job = {"file": file, "progress": progress, "remaining_s": None}
        return self.runs.take({"status": status, "job": job, "nozzle": {}, "bed": {}})


def names(*states: Json) -> list[str | None]:
    """Return by what the runs of some states are known."""
    return [state["job"] and state["job"]["started_at"] for state in states]


def test_a_run_begins_when_a_printer_at_rest_begins() -> None:
    """It keeps its name until it ends, through a pause, too."""
    house = House()
    assert house.show("idle")["job"] is None
    first = house.show("preparing", 0, "cat.gcode")
    rest = house.show("printing", 10), house.show("paused", 20), house.show("printing", 30)
    assert names(first, *rest) == ["2026-11-20T12:01:00+00:00"] * 4
    assert rest[-1]["job"]["file"] == "cat.gcode"


def test_rest_after_the_whole_of_a_print_is_its_completion() -> None:
    """OctoPrint says no more; and it stays completed for as long as the printer rests."""
    house = House()
    house.show("printing", 97)
    ended = house.show("idle", 100)
    assert (ended["status"], ended["job"]["progress"]) == ("completed", 100.0)
    later = house.show("idle", 0)
    assert (later["status"], later["job"]["progress"]) == ("completed", 100.0)


def test_rest_amid_a_print_is_its_cancellation() -> None:
    """Somebody stopped it while it was watched."""
    house = House()
    house.show("printing", 42)
    ended = house.show("idle", 42)
    assert (ended["status"], ended["job"]["error"]) == ("aborted", None)


@pytest.mark.parametrize("status", ["completed", "aborted", "failed", "error"])
def test_an_end_that_is_told_is_believed(status: str) -> None:
    """Some integrations say how it ended."""
    house = House()
    begun = house.show("printing", 42)
    ended = house.show(status, 42)
    assert ended["status"] == status
    assert names(begun) == names(ended)


def test_an_end_that_nobody_saw_is_not_known() -> None:
    """The printer was away, and is at rest amid a print."""
    house = House()
    house.show("printing", 42)
    house.runs.lose()
    ended = house.show("idle", 0)
    assert (ended["status"], ended["job"]["error"]) == ("failed", "lost")


def test_a_print_that_came_to_its_end_unseen_is_completed() -> None:
    """Its progress says so."""
    house = House()
    house.show("printing", 42)
    house.runs.lose()
    assert house.show("idle", 100)["status"] == "completed"


def test_a_print_goes_on_through_a_silence() -> None:
    """It is the same one where its file is the same and its progress has not fallen."""
    house = House()
    begun = house.show("printing", 42, "cat.gcode")
    house.runs.lose()
    assert names(house.show("printing", 41, "cat.gcode")) == names(begun)


@pytest.mark.parametrize(("progress", "file"), [(2.0, "cat.gcode"), (50.0, "dog.gcode")])
def test_another_print_is_another_run(progress: float, file: str) -> None:
    """Where nobody saw the first one end."""
    house = House()
    begun = house.show("printing", 42, "cat.gcode")
    other = house.show("printing", progress, file)
    assert names(begun) != names(other)
    assert other["job"]["progress"] == progress


def test_a_print_after_a_print_is_another_run() -> None:
    """Of the same file, too."""
    house = House()
    begun = house.show("printing", 100, "cat.gcode")
    house.show("idle", 100)
    assert names(house.show("printing", 100, "cat.gcode")) != names(begun)


def test_a_word_that_nobody_understands_ends_nothing() -> None:
    """The run goes on when the printer is understood again."""
    house = House()
    begun = house.show("printing", 42)
    riddle = house.show(None)
    assert riddle["status"] is None
    assert names(begun, riddle, house.show("printing", 43)) == names(begun) * 3


def test_a_run_outlives_a_restart_of_the_brain() -> None:
    """By the state that was known last; how it ended meanwhile nobody saw."""
    last = House().show("printing", 42, "cat.gcode")
    assert names(House(last).show("printing", 60, "cat.gcode")) == names(last)
    ended = House(last).show("idle", 0)
    assert (ended["status"], ended["job"]["error"]) == ("failed", "lost")


def test_an_old_state_without_a_run_is_no_run() -> None:
    """Whatever it was, it is given a name now."""
    assert names(House({"status": "printing", "job": None}).show("printing", 5)) == [
        "2026-11-20T12:01:00+00:00"
    ]
    assert House({"status": "printing", "job": None}).show("idle")["job"] is None


def test_what_is_on_show_first_is_history() -> None:
    """No job is made of an end that belongs to nothing."""
    first = House().show("completed", 100)
    assert (first["status"], first["job"]) == ("completed", None)


# -- the driver ---------------------------------------------------------------------------------------


def seen(status: str, progress: float) -> Json:
    """Return what Home Assistant says of a printer."""
    job = {"file": "cat.gcode", "progress": progress, "remaining_s": None}
    return {"online": "online", "state": {"status": status, "job": job}, "reason": None}


async def test_a_printer_that_is_looked_at_has_runs() -> None:
    """Also what is looked at in between."""
    link = FakeLink(observe=seen("printing", 42))
    async with watching(HomeAssistant, PRINTER, home_assistant=link) as watch:
        state = (await watch.online()).state
    assert state["job"]["started_at"] is not None
    assert (state["status"], state["job"]["progress"]) == ("printing", 42)


async def test_while_home_assistant_is_away_nobody_watches() -> None:
    """An end that nobody saw is not known."""
    link = FakeLink(observe=seen("printing", 42))
    async with watching(HomeAssistant, PRINTER, home_assistant=link) as watch:
        await watch.online()
        link.up = False
        await watch.driver.refresh()
        assert watch.seen[-1].reason == "home_assistant_offline"
        link.up, link.answers["ha.observe"] = True, seen("idle", 0)
        await watch.driver.refresh()
        assert (watch.state["status"], watch.state["job"]["error"]) == ("failed", "lost")


async def test_what_home_assistant_pushes_is_understood_in_the_same_way() -> None:
    """And while it says that the printer is away, nobody watches."""
    async with ClientSession() as session:
        driver = build(HomeAssistant, PRINTER, session, home_assistant=FakeLink())
    job = {"file": "cat.gcode", "progress": 42}
    driver.understand(
        Observation(online=OnlineState.ONLINE, state={"status": "printing", "job": job})
    )
    away = Observation(online=OnlineState.OFFLINE, reason="printer_offline")
    assert driver.understand(away) is away
    ended = driver.understand(
        Observation(online=OnlineState.ONLINE, state={"status": "idle", "job": None})
    )
    assert (ended.state["status"], ended.state["job"]["error"]) == ("failed", "lost")


async def test_what_is_no_printer_is_believed_as_it_is() -> None:
    """A door has no runs."""
    async with ClientSession() as session:
        driver = build(HomeAssistant, {"entity_id": "lock.x"}, session, home_assistant=FakeLink())
    door = Observation(online=OnlineState.ONLINE, state={"locked": True})
    assert driver.understand(door) is door
