"""Sensors of the workshop: what waits, how it will turn out, what it cost, what is left."""

import asyncio
import time
from typing import Any

from homeassistant.const import Platform
from homeassistant.core import HomeAssistant, State
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from syrupy.assertion import SnapshotAssertion

from custom_components.kitty.protocol import Json

from .conftest import eventually
from .fake_brain import FakeBrain, FakeError
from .shop import FILE, ITEM, JOB, SPOOL, camera, item, job, review, spool, stock
from .workshop import (  # noqa: F401 - fixtures are asked for by name
    NOW,
    PRINTER,
    act,
    change,
    gone,
    printing,
    push,
    snapshot_fixture,
    state,
    workshop_fixture,
)

OF_PRINTER = "sensor.workshop_printer_"
STOCK = "sensor.brain_stock_of_pla"


@pytest.fixture
def platforms() -> tuple[Platform, ...]:
    """Load only what these tests are about."""
    return (Platform.SENSOR,)


@pytest.fixture(autouse=True)
def no_calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask at once."""
    monkeypatch.setattr("custom_components.kitty.bench.CALM_S", 0.0)


@pytest.fixture
def parts() -> dict[str, list[Json]]:
    """Return what there is: a camera before the printer, and some PLA."""
    return {"vision": [camera()], "stock": [stock()]}


@pytest.fixture(autouse=True)
def filled(brain: FakeBrain, parts: dict[str, list[Json]]) -> None:
    """Let the workshop have it before anybody looks."""
    brain.workshop = parts


def of(hass: HomeAssistant, name: str) -> State:
    """Return the state of a sensor of the printer."""
    return state(hass, OF_PRINTER + name)


def good(metric: str, mean: float) -> Json:
    """Return how the printer is getting on, of which one thing was measured."""
    nothing = {"mean": None, "n": 0, "change": None}
    found: Json = dict.fromkeys(("layers", "surface", "size"), nothing)
    return found | {"device_id": PRINTER, metric: {"mean": mean, "n": 4, "change": -3.0}}


async def shows(hass: HomeAssistant, name: str, value: str) -> None:
    """Wait until a sensor of the printer shows a value."""
    await eventually(lambda: of(hass, name).state == value)


async def idle(hass: HomeAssistant, brain: FakeBrain) -> None:
    """Let the printer rest."""
    await change(hass, brain, PRINTER, state={"status": "idle", "job": None})


async def test_the_sensors_of_a_watched_workshop_are_as_they_were(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    entity_registry: er.EntityRegistry,
    snapshot: SnapshotAssertion,
) -> None:
    """Those that only come with a camera and with filament, and their entries."""
    for entity_id in (OF_PRINTER + "camera_verdict", STOCK):
        assert entity_registry.async_get(entity_id) == snapshot(name=f"{entity_id}-entry")
        assert hass.states.get(entity_id) == snapshot(name=f"{entity_id}-state")


# -- what the printer itself tells --------------------------------------------------------------------


async def test_a_printer_tells_its_layers_and_its_filament(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Layers as counts, filament as a length."""
    told = printing()
    told["job"] |= {"layer": 12, "layers": 240, "filament_mm": 1530.0}
    await change(hass, brain, PRINTER, state=told)
    assert (of(hass, "layer").state, of(hass, "layers").state) == ("12", "240")
    used = of(hass, "filament_used")
    assert (used.state, used.attributes["unit_of_measurement"]) == ("1.53", "m")


async def test_the_filament_that_is_loaded_shows_slot_by_slot(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """A spool that a person put into a slot is believed more than the slot."""
    slots = [
        {"slot": 1, "material": "PETG", "color": "ff0000", "remaining": 40},
        {"slot": 0, "material": "PLA", "color": "000000", "remaining": None},
    ]
    await change(hass, brain, PRINTER, state=printing(slots=slots))
    await push(hass, brain, "spool.updated", spool(device_id=PRINTER, slot=0))
    shown = of(hass, "filament")
    assert shown.state == "PLA Galaxy black, PETG #ff0000"
    assert shown.attributes["slots"] == [
        {
            "slot": 0,
            "material": "PLA",
            "color": "1a1a2e",
            "color_name": "Galaxy black",
            "remaining": 80.0,
            "spool_id": SPOOL,
        },
        {
            "slot": 1,
            "material": "PETG",
            "color": "ff0000",
            "color_name": None,
            "remaining": 40,
            "spool_id": None,
        },
    ]


async def test_without_filament_nothing_is_claimed(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """A printer without slots and spools has an unknown filament."""
    await push(hass, brain, "spool.updated", spool())
    assert of(hass, "filament").state == "unknown"


# -- the queue ----------------------------------------------------------------------------------------


async def test_what_waits_for_a_printer_is_counted_and_named(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The next one has its time, its material and its reasons."""
    await push(hass, brain, "queue.updated", item(id="b" * 32, planned_start=NOW + 9, title="Dog"))
    await push(hass, brain, "queue.updated", item())
    await push(hass, brain, "queue.updated", item(id="c" * 32, device_id=None, title="Owl"))
    assert (of(hass, "queue").state, of(hass, "next_print").state) == ("2", "Cat")
    assert [one["title"] for one in of(hass, "queue").attributes["items"]] == ["Cat", "Dog"]
    about = of(hass, "next_print").attributes
    assert (about["queue_id"], about["material"]) == (ITEM, "PLA")
    assert (about["starts"].timestamp(), about["because"]) == (NOW, ["same_material"])


async def test_what_is_being_printed_is_no_longer_next(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """It does not wait any more."""
    await push(hass, brain, "queue.updated", item(status="printing"))
    assert (of(hass, "queue").state, of(hass, "next_print").state) == ("0", "unknown")


async def test_the_whole_queue_is_counted(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """With what no printer has yet, in the order of the plan, then of importance."""
    held = {"status": "held", "device_id": None, "planned_start": None, "planned_end": None}
    await push(hass, brain, "queue.updated", item(id="b" * 32, title="Dog", **held))
    await push(hass, brain, "queue.updated", item(id="c" * 32, title="Owl", priority=9, **held))
    await push(hass, brain, "queue.updated", item())
    await push(hass, brain, "queue.updated", item(id="d" * 32, status="printing"))
    shown = state(hass, "sensor.brain_print_queue")
    assert shown.state == "3"
    assert [one["title"] for one in shown.attributes["items"]] == ["Cat", "Owl", "Dog"]


@pytest.mark.parametrize(
    ("changes", "at_risk"),
    [
        ({"deadline": NOW + 1800}, True),
        ({"deadline": NOW + 7200}, False),
        ({"status": "held", "planned_end": None, "deadline": NOW + 7200}, True),
        ({"planned_end": None, "deadline": NOW + 7200}, False),
        ({"status": "printing", "deadline": NOW + 1800}, False),
    ],
)
async def test_a_deadline_that_will_likely_be_missed_is_named(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    changes: dict[str, Any],
    at_risk: bool,
) -> None:
    """By its plan, or because it has none though it should."""
    await push(hass, brain, "queue.updated", item(**changes))
    shown = state(hass, "sensor.brain_deadline_at_risk")
    assert (shown.state != "unknown") is at_risk
    assert len(shown.attributes["items"]) == at_risk


async def test_the_nearest_deadline_at_risk_is_the_state(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The others are in the attributes."""
    await push(hass, brain, "queue.updated", item(deadline=NOW + 1800))
    await push(hass, brain, "queue.updated", item(id="b" * 32, deadline=NOW + 60))
    shown = state(hass, "sensor.brain_deadline_at_risk")
    assert shown.state == "2026-11-18T11:07:40+00:00"


async def test_prints_that_wait_for_a_word_are_counted(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Until somebody has said it."""
    await push(hass, brain, "review.updated", review())
    shown = state(hass, "sensor.brain_reviews_waiting")
    assert (shown.state, shown.attributes["prints"][0]["file"]) == ("1", "cat.gcode")
    await push(hass, brain, "review.updated", review(status="done"))
    assert state(hass, "sensor.brain_reviews_waiting").state == "0"


# -- what the brain tells when it is asked ------------------------------------------------------------


async def test_the_chance_of_the_next_print_shows_what_it_rests_on(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """A number of few prints says so."""
    brain.answers["predictions.get"] = lambda _params, _caller: {
        "probability": 0.873,
        "low": 0.61,
        "high": 0.97,
        "n": 3,
        "cold": True,
        "because": [{"kind": "house", "what": "all prints", "failed": 1, "of": 9}],
        "text": "Perhaps 87%.",
    }
    await push(hass, brain, "queue.updated", item())
    await shows(hass, "chance_of_success", "87.3")
    about = of(hass, "chance_of_success").attributes
    assert (about["low"], about["high"], about["n"], about["few_prints"]) == (61.0, 97.0, 3, True)
    assert brain.sent("predictions.get") == [
        {"device_id": PRINTER, "artifact_id": FILE, "material": "PLA"}
    ]


async def test_the_chance_goes_with_the_print_it_was_for(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """An empty queue has no chances."""
    brain.answers["predictions.get"] = lambda _params, _caller: {
        "probability": 0.5, "low": 0.1, "high": 0.9, "n": 0, "cold": True, "because": [], "text": "",
    }  # fmt: skip
    await push(hass, brain, "queue.updated", item())
    await shows(hass, "chance_of_success", "50.0")
    await push(hass, brain, "queue.updated", item(status="cancelled"))
    await shows(hass, "chance_of_success", "unknown")


async def test_the_quality_is_the_mean_of_what_was_measured(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Asked anew when somebody has judged a print; what nobody measured does not count."""
    found = good("layers", 80.0) | {"surface": {"mean": 90.0, "n": 2, "change": None}}
    await eventually(lambda: brain.sent("quality.list"))
    assert of(hass, "quality").state == "unknown"
    brain.answers["quality.list"] = lambda _params, _caller: {"items": [], "printers": [found]}
    await push(hass, brain, "review.updated", review(status="done"))
    await shows(hass, "quality", "85.0")
    assert of(hass, "quality").attributes["layers"] == {"mean": 80.0, "n": 4, "change": -3.0}


async def test_a_print_shows_what_it_cost(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """In the currency of the house, with its parts, once they are counted."""
    parts = [{"what": "filament", "cost": 0.42, "grams": 20.0}]
    costs: list[Json] = [
        {"total": None, "currency": "EUR", "parts": [], "estimated": [], "unknown": []},
        {"total": 0.42, "currency": "EUR", "parts": parts, "estimated": [], "unknown": ["energy"]},
    ]
    brain.answers["costs.get"] = lambda _params, _caller: costs.pop(0)
    await push(hass, brain, "job.updated", job())
    await push(hass, brain, "job.updated", job(status="completed", completed_at=NOW))
    await eventually(lambda: len(costs) == 1)
    assert of(hass, "cost_of_the_last_print").state == "unknown"
    counted = job(status="completed", completed_at=NOW, cost_micro=420_000)
    await push(hass, brain, "job.updated", counted)
    await shows(hass, "cost_of_the_last_print", "0.42")
    shown = of(hass, "cost_of_the_last_print").attributes
    assert (shown["unit_of_measurement"], shown["parts"], shown["unknown"]) == (
        "EUR",
        parts,
        ["energy"],
    )
    assert brain.sent("costs.get") == [{"job_id": JOB}] * 2


async def test_what_a_print_cost_is_known_after_a_restart(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The brain told it once; nobody has to look it up."""
    parts = [{"what": "machine", "cost": 1.5}]
    brain.answers["costs.get"] = lambda _params, _caller: {
        "total": 1.5, "currency": "EUR", "parts": parts, "estimated": [], "unknown": [],
    }  # fmt: skip
    await push(hass, brain, "job.updated", job(status="completed", completed_at=NOW))
    await shows(hass, "cost_of_the_last_print", "1.5")
    brain.jobs = {}
    await hass.config_entries.async_reload(workshop.entry_id)
    await hass.async_block_till_done()
    shown = of(hass, "cost_of_the_last_print")
    assert (shown.state, shown.attributes["unit_of_measurement"]) == ("1.5", "EUR")
    assert (shown.attributes["parts"], len(brain.sent("costs.get"))) == (parts, 1)


async def test_a_print_that_ended_while_nobody_listened_is_found_among_the_reviews(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """A brain that restarted does not tell of its end again."""
    parts = [{"what": "machine", "cost": 1.5}]
    brain.answers["costs.get"] = lambda _params, _caller: {
        "total": 1.5, "currency": "EUR", "parts": parts, "estimated": [], "unknown": [],
    }  # fmt: skip
    brain.workshop["reviews"] = [review()]
    brain.restarted()
    await brain.drop()
    await shows(hass, "cost_of_the_last_print", "1.5")


@pytest.mark.parametrize(("clear", "shown"), [(True, "clear"), (False, "to_clear")])
async def test_the_bed_is_what_people_said_of_it(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    clear: bool,
    shown: str,
) -> None:
    """Until something is printed on it."""
    await push(hass, brain, "bed.updated", {"device_id": PRINTER, "clear": clear})
    assert of(hass, "bed").state == shown
    await push(hass, brain, "job.updated", job())
    assert of(hass, "bed").state == "in_use"


async def test_a_bed_that_nobody_has_cleared_yet_is_not_clear(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    """As the queue takes it."""
    assert of(hass, "bed").state == "to_clear"


async def test_what_is_about_to_be_printed_uses_the_bed(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The queue has claimed it."""
    await push(hass, brain, "queue.updated", item(status="starting"))
    assert of(hass, "bed").state == "in_use"


async def test_a_brain_that_cannot_tell_leaves_the_sensors_unknown(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """An older one, or one that refuses; it is not asked the same again and again."""

    def refuse(_params: Json, _caller: Json | None) -> Json:
        raise FakeError("unknown_action")

    brain.answers["predictions.get"] = refuse
    await push(hass, brain, "queue.updated", item())
    await eventually(lambda: brain.sent("predictions.get"))
    await push(hass, brain, "queue.updated", item(planned_start=NOW + 5))
    await push(hass, brain, "review.updated", review())
    await eventually(lambda: len(brain.sent("predictions.get")) == 2)
    assert of(hass, "chance_of_success").state == "unknown"


async def test_everything_is_asked_again_when_the_brain_is_back(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Prints may have been judged meanwhile."""
    await eventually(lambda: brain.sent("quality.list"))
    await brain.drop()
    await eventually(lambda: len(brain.sent("quality.list")) == 2)


async def test_an_answer_that_the_wire_lost_is_asked_for_again(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Nobody knows what it was."""
    lost = asyncio.Event()

    async def lose(_params: Json, _caller: Json | None) -> Json:
        if not lost.is_set():
            lost.set()
            await brain.drop()
        return {"items": [], "printers": [good("layers", 70.0)]}

    await eventually(lambda: brain.sent("quality.list"))
    brain.answers["quality.list"] = lose
    await brain.push("review.updated", review(status="done"))
    await lost.wait()
    await shows(hass, "quality", "70.0")


# -- cameras ------------------------------------------------------------------------------------------


async def test_the_verdict_of_the_camera_shows_as_a_score(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """How sure it is, and of what."""
    seen = camera(verdict="fine", confidence=0.955, detector="file", at=NOW)
    await push(hass, brain, "vision.updated", seen)
    shown = of(hass, "camera_verdict")
    assert float(shown.state) == pytest.approx(95.5)
    assert (shown.attributes["verdict"], shown.attributes["camera"]) == ("fine", "Eye")


async def test_a_camera_that_has_not_judged_has_no_score(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    """Unknown is no zero."""
    assert of(hass, "camera_verdict").state == "unknown"


@pytest.mark.parametrize("parts", [{}])
async def test_a_printer_that_is_watched_later_gets_its_score_then(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Somebody pointed a camera at it, and no restart is needed."""
    assert hass.states.get(OF_PRINTER + "camera_verdict") is None
    await push(hass, brain, "vision.updated", camera())
    assert of(hass, "camera_verdict").state == "unknown"


# -- stock --------------------------------------------------------------------------------------------


async def test_each_material_has_its_stock(hass: HomeAssistant, workshop: MockConfigEntry) -> None:
    """In grams, with what is promised."""
    shown = state(hass, STOCK)
    assert (shown.state, shown.attributes["unit_of_measurement"]) == ("800.0", "g")
    assert (shown.attributes["reserved"], shown.attributes["free"]) == (20.0, 780.0)
    assert (shown.attributes["limit"], shown.attributes["low"]) == (200.0, False)


async def test_a_spool_that_is_added_shows_within_a_second(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Somebody added the first one of its material, by the action."""
    added = spool(material="PETG", remaining_g=1000.0)

    async def put(_params: Json, _caller: Json | None) -> Json:
        await brain.push("spool.updated", added)
        await brain.push("stock.updated", stock(material="PETG", total_g=1000.0))
        return added

    brain.answers["spools.put"] = put
    # By the processor's time, and Home Assistant's own stands still: nothing comes by waiting for a next look.
    began = time.process_time()
    await act(hass, "add_spool", material="PETG")
    await eventually(lambda: hass.states.get("sensor.brain_stock_of_petg"))
    assert state(hass, "sensor.brain_stock_of_petg").state == "1000.0"
    assert time.process_time() - began < 1.0


async def test_a_material_that_is_gone_takes_its_sensor_with_it(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    entity_registry: er.EntityRegistry,
) -> None:
    """And comes back with it."""
    await push(hass, brain, "stock.updated", stock(archived=True))
    assert hass.states.get(STOCK) is None
    assert entity_registry.async_get(STOCK) is None
    await push(hass, brain, "stock.updated", stock(total_g=5.0))
    assert state(hass, STOCK).state == "5.0"


async def test_a_material_that_went_while_we_slept_is_removed(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    entity_registry: er.EntityRegistry,
) -> None:
    """The registry of entities remembers what the brain has forgotten."""
    brain.workshop["stock"] = []
    await hass.config_entries.async_reload(workshop.entry_id)
    await hass.async_block_till_done()
    assert entity_registry.async_get(STOCK) is None


async def test_a_sensor_that_a_person_deleted_does_no_harm(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    entity_registry: er.EntityRegistry,
) -> None:
    """It is gone already when its material goes."""
    entity_registry.async_remove(STOCK)
    await push(hass, brain, "stock.updated", stock(archived=True))
    assert hass.states.get(STOCK) is None


# -- availability -------------------------------------------------------------------------------------


async def test_a_printer_that_is_off_keeps_its_queue_and_its_costs(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """What the brain knows does not depend on a plug."""
    await change(hass, brain, PRINTER, online="offline", state={})
    shown = {name: of(hass, name).state for name in ("queue", "layer", "filament")}
    assert shown == {"queue": "0", "layer": "unavailable", "filament": "unknown"}


async def test_without_the_brain_nothing_is_known_of_the_workshop(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Old figures would be believed."""
    await gone(hass, brain, workshop)
    names = (OF_PRINTER + "queue", OF_PRINTER + "quality", STOCK, "sensor.brain_print_queue")
    assert {state(hass, name).state for name in names} == {"unavailable"}
