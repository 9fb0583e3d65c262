"""The ready automations: Home Assistant takes each, and each does what it says with real entities and phones."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
import re
from typing import Any, Final

from freezegun.api import FrozenDateTimeFactory
from homeassistant.components.automation.config import AUTOMATION_BLUEPRINT_SCHEMA
from homeassistant.components.blueprint.models import Blueprint
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
from homeassistant.util.yaml import load_yaml_dict
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_fire_time_changed,
    async_mock_service,
)
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.kitty.protocol import Json

from .conftest import ADA, BOB, DOOR, ZONE, eventually
from .fake_brain import FakeBrain
from .press import Phones
from .shop import ITEM, JOB, camera, incident, item, job, review, stock
from .workshop import (  # noqa: F401 - fixtures are asked for by name
    PRINTER,
    RealLock,
    change,
    gone,
    printing,
    push,
    real_lock_fixture,
    settled,
    state,
    workshop_fixture,
)

HERE: Final = Path(__file__).parents[2] / "blueprints" / "automation" / "kitty"
FILES: Final = sorted(path.name for path in HERE.glob("*.yaml"))
SOURCE: Final = "https://github.com/kitty-home/kitty/blob/main/blueprints/automation/kitty/"

PRINTS: Final = "event.workshop_printer_prints"
DOOR_LOCK: Final = "lock.workshop_door"
ALARM: Final = "alarm_control_panel.house"
LASER: Final = "switch.laser"
PRESENCE: Final = "binary_sensor.laser_room"
WATER: Final = "sensor.cooling_water"
INCIDENTS: Final = "event.workshop_printer_incidents"
FRAME: Final = "image.workshop_printer_last_frame"
PLUG: Final = "switch.plug"


@pytest.fixture
def platforms() -> tuple[Platform, ...]:
    """Load what the automations look at."""
    return (
        Platform.BINARY_SENSOR,
        Platform.BUTTON,
        Platform.EVENT,
        Platform.IMAGE,
        Platform.LOCK,
        Platform.SENSOR,
    )


@pytest.fixture
def parts() -> dict[str, list[Json]]:
    """Return what there is: a camera before the printer."""
    return {"vision": [camera()], "stock": [stock()]}


@pytest.fixture(autouse=True)
def filled(brain: FakeBrain, parts: dict[str, list[Json]]) -> None:
    """Let the workshop have it before anybody looks."""
    brain.workshop = parts
    brain.jobs = {JOB: job()}


@pytest.fixture
async def phones(
    hass: HomeAssistant, workshop: MockConfigEntry, hass_client_no_auth: ClientSessionGenerator
) -> AsyncIterator[Phones]:
    """Return a tablet that hangs on the wall, beside the phones of people."""
    assert await async_setup_component(hass, "notify", {})
    found = await Phones(hass).start(hass_client_no_auth)
    await found.add(ADA, "wall")
    yield found
    await found.stop()


@pytest.fixture(autouse=True)
async def quiet(hass: HomeAssistant) -> AsyncIterator[None]:
    """Let no automation wait for anything when a test is over."""
    yield
    for automation in hass.states.async_entity_ids("automation"):
        await hass.services.async_call(
            "automation", "turn_off", {"entity_id": automation}, blocking=True
        )


@pytest.fixture
def phone(hass: HomeAssistant, phones: Phones) -> str:
    """Return Home Assistant's id of the tablet."""
    [entry] = hass.config_entries.async_entries("mobile_app")
    [found] = dr.async_entries_for_config_entry(dr.async_get(hass), entry.entry_id)
    return found.id


async def automate(hass: HomeAssistant, name: str, *, works: bool = True, **given: Any) -> None:
    """Set up an automation from a blueprint, as a person does."""
    folder = Path(hass.config.path("blueprints", "automation", "kitty"))
    await hass.async_add_executor_job(_copy, folder, name)
    config = {"use_blueprint": {"path": f"kitty/{name}", "input": given}, "alias": name}
    assert await async_setup_component(hass, "automation", {"automation": [config]})
    await hass.async_block_till_done()
    [automation] = hass.states.async_entity_ids("automation")
    assert (state(hass, automation).state == "on") is works


def _copy(folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text((HERE / name).read_text())


async def later(hass: HomeAssistant, **time: float) -> None:
    """Let time pass."""
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(**time))
    await hass.async_block_till_done()


@pytest.mark.parametrize("name", FILES)
async def test_home_assistant_takes_the_blueprint(hass: HomeAssistant, name: str) -> None:
    """It has its form, and all that it asks for is used."""
    raw = await hass.async_add_executor_job(load_yaml_dict, HERE / name)
    found = Blueprint(
        raw, path=name, expected_domain="automation", schema=AUTOMATION_BLUEPRINT_SCHEMA
    )
    assert found.validate() is None
    assert found.inputs.keys() == set(re.findall(r"!input (\w+)", (HERE / name).read_text()))
    assert found.metadata["source_url"] == SOURCE + name


async def test_there_is_an_automation_for_each_thing_that_people_ask_for() -> None:
    """The documentation names these."""
    assert FILES == [
        "arm_away_locks.yaml",
        "ask_for_filament.yaml",
        "confirm_on_phone.yaml",
        "daily_digest.yaml",
        "incident.yaml",
        "laser_off_when_empty.yaml",
        "low_filament.yaml",
        "off_when_cool.yaml",
        "print_failed.yaml",
        "print_finished.yaml",
        "review_reminder.yaml",
        "start_when_cheap.yaml",
    ]


# -- prints -------------------------------------------------------------------------------------------


async def test_a_finished_print_is_told_with_its_picture(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, phones: Phones, phone: str
) -> None:
    """And whatever else people want is done."""
    calls = async_mock_service(hass, "light", "turn_on")
    extra = [{"action": "light.turn_on", "target": {"entity_id": "light.bench"}}]
    given = {"prints": PRINTS, "phone": phone, "picture": FRAME, "extra": extra}
    await automate(hass, "print_finished.yaml", **given)
    await push(hass, brain, "job.updated", job(status="completed"))
    shown = await phones.shown("wall")
    assert (shown["title"], shown["message"]) == ("Printer", "Finished: cat.gcode")
    assert shown["data"]["image"] == f"/api/image_proxy/{FRAME}"
    assert len(calls) == 1


async def test_a_finished_print_without_a_picture(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, phones: Phones, phone: str
) -> None:
    """It is told all the same."""
    await automate(hass, "print_finished.yaml", prints=PRINTS, phone=phone)
    await push(hass, brain, "job.updated", job(status="completed"))
    assert (await phones.shown("wall"))["data"] == {"tag": f"kitty-print-{JOB}", "group": "kitty"}


async def test_an_old_print_that_comes_back_with_the_brain_is_no_news(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, phones: Phones, phone: str
) -> None:
    """A reload of the entry shows the last event again."""
    await push(hass, brain, "job.updated", job(status="completed"))
    await automate(hass, "print_finished.yaml", prints=PRINTS, phone=phone)
    assert await hass.config_entries.async_reload(workshop.entry_id)
    await settled(hass, brain)
    assert state(hass, PRINTS).attributes["event_type"] == "finished"
    assert phones.pushes["wall"] == []


async def test_a_failed_print_is_told_with_its_error(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, phones: Phones, phone: str
) -> None:
    """A finished one is not."""
    given = {"prints": PRINTS, "phone": phone, "picture": "camera.eye"}
    await automate(hass, "print_failed.yaml", **given)
    await push(hass, brain, "job.updated", job(status="failed", error="Thermal runaway"))
    shown = await phones.shown("wall")
    assert shown["message"] == "Failed: cat.gcode. Thermal runaway"
    assert shown["data"]["image"] == "/api/camera_proxy/camera.eye"


@pytest.mark.parametrize(("wanted", "count"), [(True, 1), (False, 0)])
async def test_a_cancelled_print_is_told_where_people_want_it(
    hass: HomeAssistant, brain: FakeBrain, phones: Phones, phone: str, wanted: bool, count: int
) -> None:
    """Mostly they know."""
    await automate(hass, "print_failed.yaml", prints=PRINTS, phone=phone, cancelled=wanted)
    await push(hass, brain, "job.updated", job(status="aborted"))
    assert len(phones.pushes["wall"]) == count


# -- alarms -------------------------------------------------------------------------------------------


def told_by_blueprint(phones: Phones) -> list[Json]:
    """Return what the automation showed, without what KITTY itself tells Ada."""
    return [one for one in phones.pushes["wall"] if one["data"]["tag"].startswith("kitty-alarm")]


@pytest.mark.parametrize(
    ("button", "intent"), [("Pause", "print_pause"), ("Cancel the print", "print_cancel")]
)
async def test_a_button_of_an_alarm_acts(
    hass: HomeAssistant, brain: FakeBrain, phones: Phones, phone: str, button: str, intent: str
) -> None:
    """In the name of the automation, so no person stands behind it."""
    await automate(hass, "incident.yaml", incidents=INCIDENTS, phone=phone)
    # Not waited for until nothing is left to do: the automation waits for a button.
    await brain.push("incident.updated", incident(action="notify"))
    await eventually(lambda: told_by_blueprint(phones))
    [shown] = told_by_blueprint(phones)
    assert shown["message"] == "Spaghetti detected: 93 %"
    actions = {one["title"]: one["action"] for one in shown["data"]["actions"]}
    await phones.press("wall", actions[button])
    asked = await brain.received_command("devices.request")
    assert (asked["device_id"], asked["intent"]) == (PRINTER, intent)
    [caller] = brain.callers("devices.request")
    assert caller is not None
    assert caller["user_id"] is None


async def test_an_answered_alarm_shows_no_new_notification(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, phones: Phones, phone: str
) -> None:
    """Only one that opens."""
    await automate(hass, "incident.yaml", incidents=INCIDENTS, phone=phone)
    await brain.push("incident.updated", incident())
    await eventually(lambda: told_by_blueprint(phones))
    await brain.push("incident.updated", incident(status="confirmed"))
    await eventually(lambda: state(hass, INCIDENTS).attributes["event_type"] == "confirmed")
    await brain.push("job.updated", job(status="completed"))
    await eventually(lambda: state(hass, PRINTS).attributes["event_type"] == "finished")
    assert len(told_by_blueprint(phones)) == 1


# -- the house ----------------------------------------------------------------------------------------


async def test_each_material_that_runs_low_is_told_once(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, phones: Phones, phone: str
) -> None:
    """Another one is news again; one that is full again is not."""
    low = hass.states.async_entity_ids("binary_sensor")
    [sensor] = [one for one in low if one.endswith("filament_low")]
    await automate(hass, "low_filament.yaml", low=sensor, phone=phone)
    await push(hass, brain, "stock.updated", stock(low=True))
    await push(hass, brain, "stock.updated", stock(low=True, total_g=10.0))
    await push(hass, brain, "stock.updated", stock(material="PETG", low=True))
    await push(hass, brain, "stock.updated", stock(low=False))
    assert [one["message"] for one in phones.pushes["wall"]] == ["PLA", "PETG, PLA"]


async def test_prints_that_nobody_judged_are_told_at_their_time(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    phones: Phones,
    phone: str,
    freezer: FrozenDateTimeFactory,
) -> None:
    """Once a day, and only if there are any; also on a day of 25 hours."""
    freezer.move_to("2027-11-06T20:00:00+00:00")
    [sensor] = [
        one for one in hass.states.async_entity_ids("sensor") if one.endswith("reviews_waiting")
    ]
    at = dt_util.as_local(dt_util.utcnow() + timedelta(hours=1)).strftime("%H:%M:00")
    await automate(hass, "review_reminder.yaml", reviews=sensor, phone=phone, at=at)
    await later(hass, hours=1, minutes=1)
    assert phones.pushes["wall"] == []
    await push(hass, brain, "review.updated", review())
    await later(hass, days=1, hours=2, minutes=2)
    assert (await phones.shown("wall"))["message"] == "cat.gcode"


async def test_cheap_electricity_releases_what_a_person_held(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """What waits for somebody's hands stays where it is: to release that says that it was done."""
    by_person = {"code": "held_by_person", "user_id": ADA}
    by_us = {"code": "load_filament", "device_id": PRINTER, "slot": 0}
    common = {"status": "held", "device_id": None, "planned_start": None}
    other = item(id="a0" * 16, reasons=[by_us, by_person], priority=9, **common)
    await push(hass, brain, "queue.updated", other)
    await push(hass, brain, "queue.updated", item(reasons=[by_person], **common))
    [queue] = [one for one in hass.states.async_entity_ids("sensor") if one.endswith("print_queue")]
    hass.states.async_set("sensor.price", "0.30")
    given = {"price": "sensor.price", "limit": 0.2, "queue": queue}
    await automate(hass, "start_when_cheap.yaml", **given)
    hass.states.async_set("sensor.price", "0.10")
    assert (await brain.received_command("queue.release"))["queue_id"] == ITEM
    await settled(hass, brain)
    assert len(brain.sent("queue.release")) == 1


@pytest.fixture
async def cooling(hass: HomeAssistant, workshop: MockConfigEntry) -> list[Any]:
    """Set up what switches a printer off; returns the calls."""
    hass.states.async_set(PLUG, "on")
    calls: list[Any] = async_mock_service(hass, "switch", "turn_off")
    await automate(
        hass,
        "off_when_cool.yaml",
        status="sensor.workshop_printer_status",
        nozzle="sensor.workshop_printer_nozzle_temperature",
        waiting="sensor.workshop_printer_queue",
        plug=PLUG,
    )
    return calls


COLD: Final = {"nozzle": {"actual": 30.0, "target": 0.0}, "job": None}


async def test_a_cool_printer_with_nothing_to_do_is_switched_off(
    hass: HomeAssistant, brain: FakeBrain, cooling: list[Any]
) -> None:
    """After a while."""
    await change(hass, brain, PRINTER, state=printing(status="completed", **COLD))
    await later(hass, minutes=10)
    assert cooling == []
    await later(hass, minutes=16)
    assert cooling[0].data["entity_id"] == [PLUG]


async def test_a_printer_that_prints_stays_on(
    hass: HomeAssistant, brain: FakeBrain, cooling: list[Any]
) -> None:
    """However cold its nozzle is."""
    await change(hass, brain, PRINTER, state=printing(status="printing", **COLD))
    await later(hass, minutes=16)
    assert cooling == []


async def test_a_printer_for_which_something_waits_stays_on(
    hass: HomeAssistant, brain: FakeBrain, cooling: list[Any]
) -> None:
    """It would only be switched on again."""
    await push(hass, brain, "queue.updated", item())
    await change(hass, brain, PRINTER, state=printing(status="completed", **COLD))
    await later(hass, minutes=16)
    assert cooling == []


# -- approvals ----------------------------------------------------------------------------------------


async def test_a_request_is_shown_with_a_picture_and_then_how_it_was_decided(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, phones: Phones, phone: str
) -> None:
    """The second message takes the place of the first; neither has a button, so nothing here decides."""
    given = {"devices": {"area_id": ZONE}, "phone": phone, "picture": "camera.door"}
    await automate(hass, "confirm_on_phone.yaml", **given)
    event = brain.event(DOOR, "power_on", initiated_by=ADA)
    await push(hass, brain, "safety.event", event)
    await push(hass, brain, "safety.event", event | {"status": "approved", "approved_by": [BOB]})
    asked, decided = [one for one in phones.pushes["wall"] if _is_of(one, event)]
    assert (asked["title"], asked["message"]) == ("Door", "Ada asks: power on")
    assert asked["data"]["image"] == "/api/camera_proxy/camera.door"
    assert asked["data"]["clickAction"] == "/kitty/approvals"
    assert decided["message"] == "Approved by Bob: power on"
    assert "actions" not in asked["data"] | decided["data"]
    assert brain.sent("safety.decide") == []


@pytest.mark.parametrize(
    ("decided", "message"),
    [
        ({"status": "denied", "denied_by": BOB}, "Denied by Bob: unlock"),
        ({"status": "denied", "denied_by": None}, "Denied by KITTY: unlock"),
        ({"status": "expired"}, "Nobody decided in time: unlock"),
    ],
)
async def test_a_request_that_came_to_nothing_is_told(
    hass: HomeAssistant, brain: FakeBrain, phones: Phones, phone: str, decided: Json, message: str
) -> None:
    """Who asked is not always known."""
    await automate(hass, "confirm_on_phone.yaml", devices={"area_id": ZONE}, phone=phone)
    event = brain.event(DOOR, "unlock")
    await push(hass, brain, "safety.event", event)
    await push(hass, brain, "safety.event", event | decided)
    asked, told = [one for one in phones.pushes["wall"] if _is_of(one, event)]
    assert (asked["message"], told["message"]) == ("Somebody asks: unlock", message)
    assert "image" not in asked["data"]


def _is_of(shown: Json, event: Json) -> bool:
    """Tell whether the automation has shown this; KITTY itself asks Ada, too."""
    return bool(shown["data"]["tag"] == f"kitty-asked-{event['id']}")


# -- leaving ------------------------------------------------------------------------------------------


async def leave(hass: HomeAssistant, phone: str, *locks: str) -> None:
    """Leave the house: everything is to be locked."""
    hass.states.async_set(ALARM, "disarmed")
    given = {"alarm": ALARM, "locks": list(locks), "phone": phone}
    await automate(hass, "arm_away_locks.yaml", **given)
    hass.states.async_set(ALARM, "armed_away")


async def out_of_patience(hass: HomeAssistant) -> None:
    """Let time pass until the automation has done what it does; when it waits is not seen."""
    # Not under a timeout, which would pass with the time.
    for _ in range(50):
        if not state(hass, "automation.arm_away_locks_yaml").attributes["current"]:
            return
        async_fire_time_changed(hass, dt_util.utcnow() + timedelta(minutes=2))
        await asyncio.sleep(0.05)
    pytest.fail("The automation still runs")


def door(*, locked: bool) -> Json:
    """Return what is seen of the door."""
    return {"state": {"locked": locked, "open": False, "jammed": False}}


async def obey(hass: HomeAssistant, brain: FakeBrain) -> None:
    """Let the brain lock the door."""
    [command] = brain.commands.values()
    await brain.push("device.updated", brain.devices[DOOR] | door(locked=True))
    await brain.push("command.updated", command | {"status": "acked"})
    await eventually(lambda: state(hass, DOOR_LOCK).state == "locked")


async def test_the_workshop_is_locked_when_the_house_is_left(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, phones: Phones, phone: str
) -> None:
    """Nobody has to approve that, and nobody is told."""
    await change(hass, brain, DOOR, **door(locked=False))
    await leave(hass, phone, DOOR_LOCK)
    asked = await brain.received_command("devices.request")
    assert (asked["device_id"], asked["intent"]) == (DOOR, "lock")
    await obey(hass, brain)
    await out_of_patience(hass)
    assert phones.pushes["wall"] == []


async def test_the_workshop_is_locked_also_without_the_brain(
    hass: HomeAssistant,
    real_lock: RealLock,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    phone: str,
) -> None:
    """The way out is not its affair."""
    real_lock.show(locked=False)
    await gone(hass, brain, workshop)
    await leave(hass, phone, DOOR_LOCK)
    await eventually(lambda: real_lock.calls)
    await out_of_patience(hass)
    assert state(hass, DOOR_LOCK).state == "locked"


async def test_doors_that_do_not_lock_are_told_and_keep_no_other_open(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, phones: Phones, phone: str
) -> None:
    """One is not there at all, one is stuck, the third one locks."""
    hass.states.async_set("lock.gate", "unavailable")
    hass.states.async_set("lock.shed", "unlocked", {"friendly_name": "Shed"})
    await change(hass, brain, DOOR, **door(locked=False))
    await leave(hass, phone, "lock.gate", "lock.shed", DOOR_LOCK)
    assert (await brain.received_command("devices.request"))["intent"] == "lock"
    await obey(hass, brain)
    await out_of_patience(hass)
    shown = await phones.shown("wall")
    assert shown["message"] == "lock.gate: unavailable, Shed: unlocked"


async def test_whoever_comes_back_at_once_is_not_told(
    hass: HomeAssistant, workshop: MockConfigEntry, phones: Phones, phone: str
) -> None:
    """The alarm is off again, and so the door may be open."""
    hass.states.async_set("lock.shed", "unlocked")
    await leave(hass, phone, "lock.shed")
    running = "automation.arm_away_locks_yaml"
    await eventually(lambda: state(hass, running).attributes["current"] == 1)
    hass.states.async_set(ALARM, "disarmed")
    await out_of_patience(hass)
    assert phones.pushes["wall"] == []


# -- the laser ----------------------------------------------------------------------------------------


@pytest.fixture
async def forgotten(hass: HomeAssistant, phone: str, freezer: FrozenDateTimeFactory) -> list[Any]:
    """Leave a laser that is on; returns the calls that switch it off."""
    hass.states.async_set(LASER, "on")
    hass.states.async_set(PRESENCE, "on")
    hass.states.async_set(WATER, "55", {"unit_of_measurement": "°C"})
    calls: list[Any] = async_mock_service(hass, "switch", "turn_off")
    given = {"laser": LASER, "presence": [PRESENCE], "temperature": WATER, "phone": phone}
    await automate(hass, "laser_off_when_empty.yaml", **given)
    hass.states.async_set(PRESENCE, "off")
    await hass.async_block_till_done()
    return calls


async def pass_time(hass: HomeAssistant, freezer: FrozenDateTimeFactory, minutes: int) -> None:
    """Let time pass on every clock."""
    freezer.tick(timedelta(minutes=minutes))
    async_fire_time_changed(hass)
    await hass.async_block_till_done()


async def test_a_laser_that_was_forgotten_goes_off_when_it_is_cool(
    hass: HomeAssistant, forgotten: list[Any], freezer: FrozenDateTimeFactory
) -> None:
    """Not while it is hot, and not at once."""
    await pass_time(hass, freezer, 12)
    assert forgotten == []
    hass.states.async_set(WATER, "25", {"unit_of_measurement": "°C"})
    await hass.async_block_till_done()
    assert [one.data["entity_id"] for one in forgotten] == [[LASER]]


@pytest.mark.parametrize("seen", ["on", "unavailable", "unknown"])
async def test_a_laser_stays_on_while_somebody_is_there_or_nobody_knows(
    hass: HomeAssistant, forgotten: list[Any], freezer: FrozenDateTimeFactory, seen: str
) -> None:
    """Only what is seen to be empty is empty."""
    hass.states.async_set(PRESENCE, seen)
    hass.states.async_set(WATER, "25", {"unit_of_measurement": "°C"})
    await pass_time(hass, freezer, 30)
    await pass_time(hass, freezer, 61)
    assert forgotten == []


@pytest.mark.parametrize(
    ("water", "told"),
    [
        ("55", "It is not cool: 55 °C. Have a look."),
        ("unavailable", "The thermometer tells nothing. Have a look."),
    ],
)
async def test_a_laser_that_does_not_get_cool_is_told_and_stays_on(
    hass: HomeAssistant,
    forgotten: list[Any],
    freezer: FrozenDateTimeFactory,
    phones: Phones,
    water: str,
    told: str,
) -> None:
    """A thermometer that is away knows of no coolness."""
    hass.states.async_set(WATER, water, {"unit_of_measurement": "°C"})
    for _ in range(7):
        await pass_time(hass, freezer, 10)
    assert forgotten == []
    [shown] = phones.pushes["wall"]
    assert shown["message"] == told


async def test_a_laser_that_was_forgotten_before_a_restart_goes_off(
    hass: HomeAssistant, phone: str, freezer: FrozenDateTimeFactory
) -> None:
    """Nothing changes any more, and still it is looked at."""
    for entity_id, seen in ((LASER, "on"), (PRESENCE, "off"), (WATER, "25")):
        hass.states.async_set(entity_id, seen)
    calls: list[Any] = async_mock_service(hass, "switch", "turn_off")
    given = {"laser": LASER, "presence": [PRESENCE], "temperature": WATER, "phone": phone}
    await automate(hass, "laser_off_when_empty.yaml", **given)
    await pass_time(hass, freezer, 16)
    assert len(calls) == 1


# -- the day ------------------------------------------------------------------------------------------


@pytest.fixture
async def evening(hass: HomeAssistant, workshop: MockConfigEntry, phone: str) -> None:
    """Have the day told in an hour."""
    at = dt_util.as_local(dt_util.utcnow() + timedelta(hours=1)).strftime("%H:%M:00")
    await automate(hass, "daily_digest.yaml", phone=phone, at=at)


async def test_the_day_is_told(
    hass: HomeAssistant, brain: FakeBrain, evening: None, phones: Phones
) -> None:
    """What was printed since yesterday, what waits, what runs low."""
    now = dt_util.utcnow().timestamp()
    rows = [
        job(status="completed", completed_at=now),
        job(status="failed", file="dog.gcode", completed_at=now),
        job(status="completed", file="old.gcode", completed_at=now - 90_000),
        job(file="running.gcode"),
    ]
    brain.answers |= {
        "jobs.list": lambda _params, _caller: {"items": rows},
        "stock.list": lambda _params, _caller: {"items": [stock(low=True)]},
        "spools.list": lambda _params, _caller: {"items": []},
        "procurements.list": lambda _params, _caller: {"items": []},
        "reviews.list": lambda _params, _caller: {"items": [review()]},
    }
    await push(hass, brain, "safety.event", brain.event(DOOR))
    await later(hass, hours=1, minutes=1)
    await eventually(lambda: _of_day(phones))
    assert _of_day(phones)[0]["message"].splitlines() == [
        "Printed: cat.gcode",
        "Failed: dog.gcode",
        "Waiting for approval: 1",
        "Running low: PLA",
        "Prints to judge: 1",
    ]


async def test_a_day_without_anything_is_not_told(
    hass: HomeAssistant, brain: FakeBrain, evening: None, phones: Phones
) -> None:
    """Unless somebody wants that."""
    names = ("jobs.list", "stock.list", "spools.list", "procurements.list", "reviews.list")
    brain.answers |= {name: lambda _params, _caller: {"items": []} for name in names}
    await later(hass, hours=1, minutes=1)
    await brain.received_command("reviews.list")
    await settled(hass, brain)
    assert _of_day(phones) == []


async def test_that_the_brain_is_away_in_the_evening_is_told(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, evening: None, phones: Phones
) -> None:
    """No news would look like good news."""
    await gone(hass, brain, workshop)
    await later(hass, hours=1, minutes=1)
    await eventually(lambda: _of_day(phones))
    assert _of_day(phones)[0]["message"] == "KITTY could not be asked. Is its brain running?"


def _of_day(phones: Phones) -> list[Json]:
    return [one for one in phones.pushes["wall"] if one["data"]["tag"] == "kitty-day"]


# -- bad days -----------------------------------------------------------------------------------------

WITH_PHONE: Final[dict[str, Json]] = {
    "arm_away_locks.yaml": {"alarm": ALARM, "locks": [DOOR_LOCK]},
    "confirm_on_phone.yaml": {"devices": {"area_id": ZONE}},
    "daily_digest.yaml": {},
    "incident.yaml": {"incidents": INCIDENTS},
    "laser_off_when_empty.yaml": {
        "laser": LASER,
        "presence": [PRESENCE],
        "temperature": WATER,
    },
    "low_filament.yaml": {"low": "binary_sensor.brain_filament_low"},
    "print_failed.yaml": {"prints": PRINTS},
    "print_finished.yaml": {"prints": PRINTS},
    "review_reminder.yaml": {"reviews": "sensor.brain_reviews_waiting"},
}


@pytest.mark.parametrize("name", sorted(WITH_PHONE))
async def test_a_phone_that_is_gone_shows_at_once_and_not_when_it_matters(
    hass: HomeAssistant, workshop: MockConfigEntry, phones: Phones, name: str
) -> None:
    """Home Assistant says that the automation is broken, and why."""
    await automate(hass, name, works=False, phone="no-such-device", **WITH_PHONE[name])
    [automation] = hass.states.async_entity_ids("automation")
    assert state(hass, automation).state == "unavailable"


async def test_a_phone_that_is_not_reached_stops_nothing_else(
    hass: HomeAssistant, brain: FakeBrain, phones: Phones, phone: str
) -> None:
    """What is to happen then happens."""
    calls = async_mock_service(hass, "light", "turn_on")
    extra = [{"action": "light.turn_on", "target": {"entity_id": "light.bench"}}]
    await automate(hass, "print_finished.yaml", prints=PRINTS, phone=phone, extra=extra)
    phones.failing.add("wall")
    await push(hass, brain, "job.updated", job(status="completed"))
    await eventually(lambda: calls)
    assert len(calls) == 1


async def test_a_brain_that_goes_and_comes_is_no_news_of_filament(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, phones: Phones, phone: str
) -> None:
    """What was low before is low after it."""
    low = "binary_sensor.brain_filament_low"
    await push(hass, brain, "stock.updated", stock(low=True))
    await automate(hass, "low_filament.yaml", low=low, phone=phone)
    brain.workshop["stock"] = [stock(low=True)]
    await gone(hass, brain, workshop)
    assert state(hass, low).state == "unavailable"
    brain.restarted()
    await brain.start()
    await brain.until(lambda: len(brain.subscriptions) == 2)
    await settled(hass, brain)
    assert state(hass, low).state == "on"
    assert phones.pushes["wall"] == []


async def test_a_price_that_is_not_known_releases_nothing(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Unavailable is not cheap."""
    held = item(status="held", reasons=[{"code": "held_by_person", "user_id": ADA}])
    await push(hass, brain, "queue.updated", held)
    [queue] = [one for one in hass.states.async_entity_ids("sensor") if one.endswith("print_queue")]
    hass.states.async_set("sensor.price", "0.30")
    given = {"price": "sensor.price", "limit": 0.2, "queue": queue}
    await automate(hass, "start_when_cheap.yaml", **given)
    hass.states.async_set("sensor.price", "unavailable")
    await settled(hass, brain)
    assert brain.sent("queue.release") == []


async def test_a_printer_of_which_nothing_is_known_stays_on(
    hass: HomeAssistant, brain: FakeBrain, cooling: list[Any]
) -> None:
    """It may be printing."""
    await change(hass, brain, PRINTER, online="offline")
    await later(hass, minutes=16)
    assert cooling == []
