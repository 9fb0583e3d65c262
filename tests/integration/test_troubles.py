"""Repairs of the workshop: what lasts too long is said once, and taken back when it is well again."""

from datetime import timedelta
from typing import Any, Final

from freezegun.api import FrozenDateTimeFactory, freeze_time
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_fire_time_changed,
)

from custom_components.kitty import client
from custom_components.kitty.protocol import Json

from .conftest import heard
from .fake_brain import FakeBrain
from .shop import ITEM, JOB, camera, item, job
from .workshop import (  # noqa: F401 - fixtures are asked for by name
    CAMERA,
    POWER,
    PRINTER,
    change,
    gone,
    push,
    settled,
    workshop_fixture,
)

BLIND: Final = "camera_blind"
OFFLINE: Final = "printer_offline"
READ_ONLY: Final = "printer_read_only"
SHORT: Final = "spool_short"
RESTARTS: Final = "brain_restarts"
ILL: Final = "part_ill"


@pytest.fixture
def platforms() -> tuple[Platform, ...]:
    """Load no entities."""
    return ()


@pytest.fixture
def parts() -> dict[str, list[Json]]:
    """Return what there is: a camera before the printer."""
    return {"vision": [camera()]}


@pytest.fixture(autouse=True)
def printing(brain: FakeBrain, parts: dict[str, list[Json]]) -> None:
    """Let the printer print."""
    brain.workshop = parts
    brain.jobs = {JOB: job()}


def words(hass: HomeAssistant, entry: MockConfigEntry, kind: str, about: str) -> Any:
    """Return what fills the words of an issue, or None where there is none."""
    issue = ir.async_get(hass).async_get_issue("kitty", f"{kind}.{entry.entry_id}.{about}")
    return issue and issue.translation_placeholders


async def later(hass: HomeAssistant, freezer: FrozenDateTimeFactory, minutes: float) -> None:
    """Let time pass."""
    freezer.tick(minutes * 60)
    async_fire_time_changed(hass, dt_util.utcnow())
    await hass.async_block_till_done()


# -- cameras ------------------------------------------------------------------------------------------


async def test_a_camera_that_shows_nothing_for_half_an_hour_of_a_print_is_a_repair(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, freezer: FrozenDateTimeFactory
) -> None:
    """Not sooner: people walk by, lights go off and on."""
    await push(hass, brain, "vision.updated", camera(health="frozen"))
    await later(hass, freezer, 29)
    assert words(hass, workshop, BLIND, CAMERA) is None
    await later(hass, freezer, 2)
    assert words(hass, workshop, BLIND, CAMERA) == {
        "camera": "Eye",
        "printer": "Printer",
        "health": "the picture does not change",
        "minutes": "30",
    }


async def test_it_is_taken_back_when_the_camera_sees_again(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, freezer: FrozenDateTimeFactory
) -> None:
    """And the half hour begins anew."""
    await push(hass, brain, "vision.updated", camera(health="unreachable"))
    await later(hass, freezer, 31)
    await push(hass, brain, "vision.updated", camera())
    assert words(hass, workshop, BLIND, CAMERA) is None
    await push(hass, brain, "vision.updated", camera(health="dark"))
    await later(hass, freezer, 5)
    assert words(hass, workshop, BLIND, CAMERA) is None


async def test_it_is_taken_back_when_the_print_is_over(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, freezer: FrozenDateTimeFactory
) -> None:
    """Nobody needs to see an idle printer."""
    await push(hass, brain, "vision.updated", camera(health="frozen"))
    await later(hass, freezer, 31)
    await push(hass, brain, "job.updated", job(status="completed"))
    assert words(hass, workshop, BLIND, CAMERA) is None


# -- printers that are away ---------------------------------------------------------------------------


async def test_a_printer_that_is_away_for_hours_is_one_repair(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, freezer: FrozenDateTimeFactory
) -> None:
    """Counted from when it was last seen."""
    seen = dt_util.utcnow().timestamp() - 3 * 3600
    await change(hass, brain, POWER, state={"on": True})
    await change(hass, brain, PRINTER, online="offline", last_seen=seen)
    assert words(hass, workshop, OFFLINE, PRINTER) is None
    await later(hass, freezer, 61)
    await later(hass, freezer, 240)
    since = dt_util.as_local(dt_util.utc_from_timestamp(seen)).strftime("%Y-%m-%d %H:%M")
    assert words(hass, workshop, OFFLINE, PRINTER) == {"printer": "Printer", "since": since}
    issues = [issue for _, issue in ir.async_get(hass).issues if issue.startswith(OFFLINE)]
    assert len(issues) == 1


async def test_it_is_taken_back_when_the_printer_is_there_again(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """By itself."""
    await change(hass, brain, POWER, state={"on": True})
    await change(hass, brain, PRINTER, online="offline", last_seen=1.0)
    assert words(hass, workshop, OFFLINE, PRINTER) is not None
    await change(hass, brain, PRINTER, online="online")
    assert words(hass, workshop, OFFLINE, PRINTER) is None


async def test_a_printer_that_was_never_seen_is_away_since_somebody_looked(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, freezer: FrozenDateTimeFactory
) -> None:
    """It may just have been added."""
    await change(hass, brain, POWER, state={"on": True})
    await change(hass, brain, PRINTER, online="offline", last_seen=None)
    await later(hass, freezer, 200)
    assert words(hass, workshop, OFFLINE, PRINTER) is None
    await later(hass, freezer, 60)
    assert words(hass, workshop, OFFLINE, PRINTER) is not None


async def test_a_printer_whose_plug_is_off_is_no_repair(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """It was switched off on purpose."""
    await change(hass, brain, PRINTER, online="offline", last_seen=1.0)
    assert brain.devices[POWER]["state"] == {"on": False}
    assert words(hass, workshop, OFFLINE, PRINTER) is None


async def test_while_the_brain_is_away_nothing_is_taken_back(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, freezer: FrozenDateTimeFactory
) -> None:
    """Nobody knows how it is."""
    await change(hass, brain, POWER, state={"on": True})
    await change(hass, brain, PRINTER, online="offline", last_seen=1.0)
    await gone(hass, brain, workshop)
    await later(hass, freezer, 2)
    assert words(hass, workshop, OFFLINE, PRINTER) is not None


# -- printers that take no orders ---------------------------------------------------------------------


async def test_a_locked_bambu_printer_is_a_repair_until_it_is_unlocked(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Switched off meanwhile it is as locked as before."""
    locked = {"driver": "bambu", "state": {"status": "idle", "read_only": True}}
    await change(hass, brain, PRINTER, **locked)
    assert words(hass, workshop, READ_ONLY, PRINTER) == {"printer": "Printer"}
    await change(hass, brain, PRINTER, driver="bambu", online="offline", state={})
    assert words(hass, workshop, READ_ONLY, PRINTER) is not None
    await change(hass, brain, PRINTER, driver="bambu", online="online", state={"status": "idle"})
    assert words(hass, workshop, READ_ONLY, PRINTER) is None


async def test_what_is_only_shown_on_purpose_is_no_repair(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """A printer that is bound without buttons takes no orders either."""
    await change(hass, brain, PRINTER, state={"status": "idle", "read_only": True})
    assert words(hass, workshop, READ_ONLY, PRINTER) is None


# -- filament -----------------------------------------------------------------------------------------


def short(**changes: Any) -> Json:
    """Return an item for which there is not enough filament."""
    reason = {"code": "filament_short", "material": "PLA", "needed": 120.4, "free": 80.2}
    return item(status="held", device_id=None, reasons=[reason]) | changes


async def test_too_little_filament_for_what_is_next_is_a_repair(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """With what is missing."""
    await push(hass, brain, "queue.updated", short())
    assert words(hass, workshop, SHORT, ITEM) == {
        "title": "Cat",
        "material": "PLA",
        "needed": "120",
        "free": "80",
    }
    await push(hass, brain, "queue.updated", item())
    assert words(hass, workshop, SHORT, ITEM) is None


async def test_what_comes_later_may_still_be_bought(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Only what is next is said."""
    await push(hass, brain, "queue.updated", item(id="a0" * 16, device_id=None, priority=9))
    await push(hass, brain, "queue.updated", short(planned_start=None))
    assert words(hass, workshop, SHORT, ITEM) is None


async def lives(
    hass: HomeAssistant, entry: MockConfigEntry, brain: FakeBrain, count: int, *, new: bool = True
) -> None:
    """Let the brain end and come back so many times, as another life of it or as the same."""
    for _ in range(count):
        known = len(brain.subscriptions)
        if new:
            brain.restarted()
        await brain.drop()
        await brain.until(lambda known=known: len(brain.subscriptions) > known)
        await heard(entry)


async def test_a_brain_that_starts_again_and_again_is_named(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Four lives in ten minutes; ten minutes of peace end it."""
    monkeypatch.setattr(client, "BACKOFF_FIRST", 0.01)
    await lives(hass, workshop, brain, 2)
    assert words(hass, workshop, RESTARTS, "brain") is None
    await lives(hass, workshop, brain, 1)
    assert words(hass, workshop, RESTARTS, "brain") == {"count": "4", "minutes": "10"}
    with freeze_time(dt_util.utcnow() + timedelta(seconds=660)):
        async_fire_time_changed(hass, dt_util.utcnow())
        await hass.async_block_till_done()
    assert words(hass, workshop, RESTARTS, "brain") is None


async def test_a_line_that_breaks_is_no_restart(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The brain lives on behind it."""
    monkeypatch.setattr(client, "BACKOFF_FIRST", 0.01)
    await lives(hass, workshop, brain, 4, new=False)
    assert words(hass, workshop, RESTARTS, "brain") is None


@pytest.mark.parametrize(
    ("part", "called"),
    [
        ("safety_database", "the database of approvals"),
        ("brain_database", "the brain's database"),
        ("tasks", "its own work"),
    ],
)
async def test_a_vital_part_that_stays_ill_is_named(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    freezer: FrozenDateTimeFactory,
    part: str,
    called: str,
) -> None:
    """Not at once: a database may be busy for a moment; and it goes when the part is well."""
    ill = {"ok": False, "detail": "There is no space left"}
    await push(hass, brain, "health.updated", {"status": "degraded", "parts": {part: ill}})
    assert words(hass, workshop, ILL, part) is None
    freezer.tick(130)
    async_fire_time_changed(hass, dt_util.utcnow())
    await hass.async_block_till_done()
    named = words(hass, workshop, ILL, part)
    assert named == {"part": called, "detail": "There is no space left"}
    well = {"ok": True, "detail": None}
    await push(hass, brain, "health.updated", {"status": "ok", "parts": {part: well}})
    assert words(hass, workshop, ILL, part) is None


async def test_a_part_with_a_repair_of_its_own_is_not_named_twice(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    freezer: FrozenDateTimeFactory,
) -> None:
    """A model that is ill has words of its own."""
    ill = {"ok": False, "detail": "Qwen: no answer"}
    await push(hass, brain, "health.updated", {"status": "degraded", "parts": {"models": ill}})
    freezer.tick(130)
    async_fire_time_changed(hass, dt_util.utcnow())
    await hass.async_block_till_done()
    assert words(hass, workshop, ILL, "models") is None
