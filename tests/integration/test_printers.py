"""Printers that another integration has: what its sensors say, and what its buttons do."""

from datetime import UTC, datetime
from typing import Any, Final

from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.kitty.bindings import (
    action_for,
    capabilities,
    describe,
    look,
    proves,
    watched,
)
from custom_components.kitty.errors import Refused
from custom_components.kitty.issues import raw_entities
from custom_components.kitty.protocol import Json, PrinterStatus

from .conftest import ADA, kitty_entry, of, rules, set_up
from .fake_brain import FakeBrain
from .workshop import PRINTER, device, subentry

STATUS: Final = "sensor.octoprint_current_state"
OPTIONS: Final = {
    "kind": "printer",
    "entity_id": STATUS,
    "file_entity": "sensor.octoprint_current_file",
    "progress_entity": "sensor.octoprint_job_percentage",
    "remaining_entity": "sensor.octoprint_estimated_finish_time",
    "nozzle_entity": "sensor.octoprint_actual_tool0_temp",
    "nozzle_target_entity": "sensor.octoprint_target_tool0_temp",
    "bed_entity": "sensor.octoprint_actual_bed_temp",
    "bed_target_entity": "sensor.octoprint_target_bed_temp",
    "pause_button": "button.octoprint_pause_job",
    "resume_button": "button.octoprint_resume_job",
    "stop_button": "button.octoprint_stop_job",
    "camera_entity": "camera.octoprint_camera",
}
NOTHING: Final = {"actual": None, "target": None}


def octoprint(hass: HomeAssistant, status: str = "printing", **figures: str) -> None:
    """Show what OctoPrint's integration shows: its own names, words and units."""
    celsius = {"unit_of_measurement": "°C"}
    shown: dict[str, tuple[str, Json]] = {
        "sensor.octoprint_current_state": (status, {"friendly_name": "OctoPrint Current State"}),
        "sensor.octoprint_current_file": ("cat.gcode", {}),
        "sensor.octoprint_job_percentage": ("42.5", {"unit_of_measurement": "%"}),
        "sensor.octoprint_estimated_finish_time": ("2026-11-20T12:30:00+00:00", {}),
        "sensor.octoprint_actual_tool0_temp": ("209.9", celsius),
        "sensor.octoprint_target_tool0_temp": ("210.0", celsius),
        "sensor.octoprint_actual_bed_temp": ("140", {"unit_of_measurement": "°F"}),
        "sensor.octoprint_target_bed_temp": ("60", {}),
        "button.octoprint_pause_job": ("unknown", {}),
        "button.octoprint_resume_job": ("unknown", {}),
        "button.octoprint_stop_job": ("unknown", {}),
        "camera.octoprint_camera": ("idle", {}),
    }
    for entity_id, (state, attributes) in shown.items():
        name = entity_id.partition("octoprint_")[2]
        hass.states.async_set(entity_id, figures.get(name, state), attributes)


async def test_a_printer_is_shown_by_its_sensors(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory
) -> None:
    """In Celsius and seconds, whatever they are told in."""
    freezer.move_to(datetime(2026, 11, 20, 12, tzinfo=UTC))
    octoprint(hass)
    seen = look(hass, OPTIONS)
    assert (seen.online, seen.reason) == ("online", None)
    assert seen.state == {
        "status": "printing",
        "job": {"file": "cat.gcode", "progress": 42.5, "remaining_s": 1800.0},
        "nozzle": {"actual": 209.9, "target": 210.0},
        "bed": {"actual": pytest.approx(60.0), "target": 60.0},
    }


async def test_what_is_not_known_of_a_printer_is_nothing(hass: HomeAssistant) -> None:
    """Its status alone is enough; a sensor that is away is no figure."""
    octoprint(
        hass,
        current_file="unknown",
        job_percentage="unavailable",
        estimated_finish_time="unknown",
        actual_tool0_temp="nan",
        target_bed_temp="warm",
    )
    hass.states.async_set(OPTIONS["bed_entity"], "60", {"unit_of_measurement": "bananas"})
    state = look(hass, OPTIONS).state
    assert state["job"] == {"file": None, "progress": None, "remaining_s": None}
    assert (state["nozzle"]["actual"], state["bed"]) == (None, NOTHING)
    alone = look(hass, {"kind": "printer", "entity_id": STATUS}).state
    assert alone["status"] == "printing"
    assert (alone["nozzle"], alone["bed"]) == (NOTHING, NOTHING)


LEFT: Final = [
    ("90", "min", 5400.0),
    ("1.5", "h", 5400.0),
    ("-5", "s", 0.0),
    ("90", "%", None),
    ("90", None, None),
    ("soon", None, None),
    ("2026-11-20T11:00:00+00:00", None, 0.0),
]


@pytest.mark.parametrize(("shown", "unit", "seconds"), LEFT)
async def test_the_time_that_is_left_is_told_as_a_duration_or_as_its_end(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    shown: str,
    unit: str | None,
    seconds: float | None,
) -> None:
    """A bare number could be anything."""
    freezer.move_to(datetime(2026, 11, 20, 12, tzinfo=UTC))
    octoprint(hass)
    attributes = {"unit_of_measurement": unit} if unit else {}
    hass.states.async_set(OPTIONS["remaining_entity"], shown, attributes)
    assert look(hass, OPTIONS).state["job"]["remaining_s"] == seconds


WORDS: Final = [
    # OctoPrint
    ("operational", "idle"),
    ("starting", "preparing"),
    ("transferring_file", "preparing"),
    ("printing_sd", "printing"),
    ("cancelling", "printing"),
    ("pausing", "printing"),
    ("resuming", "paused"),
    ("finishing", "printing"),
    ("offline_after_error", "error"),
    # PrusaLink
    ("idle", "idle"),
    ("busy", "preparing"),
    ("attention", "paused"),
    ("finished", "completed"),
    ("stopped", "aborted"),
    # Moonraker
    ("standby", "idle"),
    ("complete", "completed"),
    ("cancelled", "aborted"),
    ("shutdown", "error"),
    # Bambu Lab
    ("prepare", "preparing"),
    ("running", "printing"),
    ("pause", "paused"),
    ("finish", "completed"),
    ("failed", "failed"),
    # Others, as people name things
    ("Printing", "printing"),
    ("Transferring file", "preparing"),
    ("sleeping", None),
    ("unknown", None),
]


@pytest.mark.parametrize(("word", "status"), WORDS)
async def test_each_word_of_an_integration_is_one_of_kitty(
    hass: HomeAssistant, word: str, status: str | None
) -> None:
    """A word that nobody knows says nothing."""
    octoprint(hass, word)
    seen = look(hass, OPTIONS)
    assert (seen.online, seen.state["status"]) == ("online", status)
    assert status is None or status in set(PrinterStatus)


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("offline", "printer_offline"),
        ("connecting", "printer_offline"),
        ("unavailable", "entity_unavailable"),
        (None, "entity_missing"),
    ],
)
async def test_a_printer_that_does_not_answer_is_offline(
    hass: HomeAssistant, word: str | None, reason: str
) -> None:
    """Its integration may be well, and say so."""
    octoprint(hass, word or "idle")
    if word is None:
        hass.states.async_remove(STATUS)
    seen = look(hass, OPTIONS)
    assert (seen.online, seen.reason, seen.state["status"]) == ("offline", reason, None)


async def test_a_printer_can_do_what_it_has_buttons_for(hass: HomeAssistant) -> None:
    """It is given no files and starts nothing: that takes KITTY's own driver."""
    octoprint(hass)
    described = describe(hass, OPTIONS)
    assert described["kind"] == "printer"
    assert set(described["capabilities"]) == {"print_pause", "print_resume", "print_cancel"}
    assert described["has_camera"]
    fewer = {name: value for name, value in OPTIONS.items() if name != "resume_button"}
    assert set(capabilities(hass, fewer)) == {"print_pause", "print_cancel"}
    with pytest.raises(Refused) as refused:
        action_for(hass, fewer, "print_resume")
    assert refused.value.code == "intent_not_supported"


@pytest.mark.parametrize("option", ["pause_button", "progress_entity"])
async def test_a_button_or_sensor_that_does_not_exist_is_found_out(
    hass: HomeAssistant, option: str
) -> None:
    """When the printer is added, and not when it should stop."""
    octoprint(hass)
    with pytest.raises(Refused) as refused:
        describe(hass, OPTIONS | {option: "button.nowhere"})
    assert refused.value.code == "entity_not_found"


async def test_a_printer_is_watched_by_all_its_sensors_and_no_button() -> None:
    """A button changes when it is pressed, which says nothing of the printer."""
    assert set(watched(OPTIONS)) == {
        value for value in OPTIONS.values() if value.startswith("sensor.")
    }


PROOFS: Final = [
    ("print_pause", "paused", True),
    ("print_pause", "printing", False),
    ("print_resume", "printing", True),
    ("print_resume", "preparing", True),
    ("print_resume", "paused", False),
    ("print_cancel", "aborted", True),
    ("print_cancel", "idle", True),
    ("print_cancel", "printing", False),
    ("print_cancel", None, False),
]


@pytest.mark.parametrize(("intent", "status", "proof"), PROOFS)
def test_what_proves_an_order_to_a_printer(intent: str, status: str | None, proof: bool) -> None:
    """Not that a button was pressed."""
    assert proves(intent, {"status": status}) is proof


# -- a whole printer, made of helpers of Home Assistant -----------------------------------------------

HELPERS: Final = {
    "kind": "printer",
    "entity_id": "sensor.printer_status",
    "progress_entity": "sensor.printer_progress",
    "pause_button": "input_button.pause",
    "resume_button": "input_button.resume",
}


@pytest.fixture
async def helpers(hass: HomeAssistant) -> None:
    """Make a printer of helpers: an automation lets its buttons do something."""
    sensor = {
        "printer_status": "{{ states('input_select.status') }}",
        "printer_progress": "{{ states('input_number.progress') }}",
    }
    for domain, config in (
        ("input_select", {"status": {"options": ["Operational", "Printing", "Paused"]}}),
        ("input_number", {"progress": {"min": 0, "max": 100, "initial": 40}}),
        ("input_button", {"pause": {}, "resume": {}}),
        (
            "template",
            {"sensor": [{"name": name, "state": state} for name, state in sensor.items()]},
        ),
        (
            "automation",
            {
                "triggers": {"trigger": "state", "entity_id": "input_button.pause"},
                "actions": {
                    "action": "input_select.select_option",
                    "target": {"entity_id": "input_select.status"},
                    "data": {"option": "Paused"},
                },
            },
        ),
    ):
        assert await async_setup_component(hass, domain, {domain: config})
    await hass.async_block_till_done()
    await choose(hass, "Printing")


async def choose(hass: HomeAssistant, status: str) -> None:
    """Let the printer of helpers do something."""
    await hass.services.async_call(
        "input_select",
        "select_option",
        {"entity_id": "input_select.status", "option": status},
        blocking=True,
    )
    await hass.async_block_till_done()


@pytest.fixture
async def bound(
    hass: HomeAssistant,
    no_platforms: None,
    brain: FakeBrain,
    people: dict[str, Any],
    helpers: None,
) -> MockConfigEntry:
    """Return an entry whose printer is made of helpers."""
    people[ADA].mock_policy({"entities": True})
    brain.devices = {PRINTER: device(PRINTER, "printer", "Printer", driver="home_assistant")}
    added = subentry(
        device(
            PRINTER,
            "printer",
            "Printer",
            driver="home_assistant",
            capabilities=["print_pause", "print_resume"],
        )
    )
    added["data"] = {**added["data"], "options": HELPERS}
    entry = await set_up(hass, kitty_entry(brain, rules(), (added,)))
    await brain.received_command("devices.observe")
    return entry


async def test_the_brain_is_told_what_a_printer_does_all_at_once(
    hass: HomeAssistant, bound: MockConfigEntry, brain: FakeBrain
) -> None:
    """A status and a figure that change together are one observation, with both."""
    before = len(brain.sent("devices.observe"))
    hass.states.async_set("sensor.printer_status", "Operational")
    hass.states.async_set("sensor.printer_progress", "100")
    told = await brain.received_command("devices.observe", before + 1)
    assert (told["state"]["status"], told["state"]["job"]["progress"]) == ("idle", 100.0)
    await bound.runtime_data.client.command("devices.list")
    assert len(brain.sent("devices.observe")) == before + 1


async def test_a_grant_presses_the_button_and_is_proven_by_the_status(
    hass: HomeAssistant, bound: MockConfigEntry, brain: FakeBrain
) -> None:
    """Pausing needs nobody's approval."""
    grant = brain.grant(device_id=PRINTER, intent="print_pause")
    answer = await brain.ask("ha.execute", grant)
    assert answer["data"] == {"status": "acked", "detail": None}
    state = hass.states.get("sensor.printer_status")
    assert state is not None
    assert state.state == "Paused"


@pytest.mark.usefixtures("short_deadlines")
async def test_a_button_that_does_nothing_is_not_believed(
    hass: HomeAssistant, bound: MockConfigEntry, brain: FakeBrain
) -> None:
    """It was pressed; the printer prints on."""
    await hass.services.async_call("automation", "turn_off", {"entity_id": "all"}, blocking=True)
    answer = await brain.ask("ha.execute", brain.grant(device_id=PRINTER, intent="print_pause"))
    assert answer["data"] == {"status": "unknown", "detail": "not_observed"}


async def test_nobody_resumes_a_printer_without_an_approval(
    hass: HomeAssistant, bound: MockConfigEntry, brain: FakeBrain
) -> None:
    """The brain alone cannot: Home Assistant knows of nobody who approved."""
    await choose(hass, "Paused")
    answer = await brain.ask(
        "ha.execute", brain.grant(device_id=PRINTER, intent="print_resume", level="medium")
    )
    assert answer["error"]["code"] == "grant_event_unknown"
    state = hass.states.get("input_button.resume")
    assert state is not None
    assert state.state == "unknown"


async def test_a_printer_is_paused_without_the_brain(
    hass: HomeAssistant, bound: MockConfigEntry
) -> None:
    """What is safe is never held up."""
    answer = await bound.runtime_data.executor.run_safe(PRINTER, "print_pause", of(ADA))
    assert answer["command"]["status"] == "acked"


async def test_the_buttons_of_a_printer_are_no_way_round_the_gate(
    bound: MockConfigEntry,
) -> None:
    """No assistant presses them, and people are told if one could."""
    assert {entity_id for entity_id, _name in raw_entities(bound)} == {
        "input_button.pause",
        "input_button.resume",
    }


async def test_a_printer_is_one_and_the_same_after_its_sensor_was_renamed(
    hass: HomeAssistant, entity_registry: er.EntityRegistry
) -> None:
    """It is known by what is registered, and not by a name."""
    entry = MockConfigEntry(domain="octoprint")
    entry.add_to_hass(hass)
    item = entity_registry.async_get_or_create(
        "sensor", "octoprint", "Current State-1", config_entry=entry
    )
    hass.states.async_set(item.entity_id, "operational")
    found = describe(hass, {"kind": "printer", "entity_id": item.entity_id})
    assert (found["external_id"], found["capabilities"]) == (item.id, [])
