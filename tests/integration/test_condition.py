"""Conditions: an automation goes on only while it is so, and not while nobody knows."""

from datetime import timedelta
import json
from typing import Any, Final

from freezegun.api import FrozenDateTimeFactory
from homeassistant import loader
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant, ServiceCall
from homeassistant.helpers import condition as ha_condition, entity_registry as er
from homeassistant.helpers.translation import async_get_translations
from homeassistant.setup import async_setup_component
from homeassistant.util.yaml import load_yaml_dict
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_mock_service

from custom_components.kitty.condition import CONDITIONS
from custom_components.kitty.protocol import Json

from .conftest import DOOR, ZONE
from .fake_brain import FakeBrain
from .test_manifest import HERE
from .workshop import (  # noqa: F401 - fixtures are asked for by name
    LIGHT,
    POWER,
    PRINTER,
    at,
    change,
    gone,
    printing,
    push,
    settled,
    state,
    workshop_fixture,
)

ILL: Final = {"status": "degraded", "parts": {"memory": {"ok": False, "detail": "away"}}}


@pytest.fixture
def platforms() -> tuple[Platform, ...]:
    """Load only what these tests are about."""
    return (Platform.BINARY_SENSOR, Platform.SENSOR)


@pytest.fixture
def runs(hass: HomeAssistant) -> list[ServiceCall]:
    """Return each run of the automation."""
    calls: list[ServiceCall] = async_mock_service(hass, "test", "run")
    return calls


async def automate(hass: HomeAssistant, key: str, **more: Any) -> None:
    """Set up an automation that goes on only under one condition of KITTY."""
    config = {
        "alias": "Watch",
        "triggers": {"trigger": "event", "event_type": "now"},
        "conditions": {"condition": f"kitty.{key}", **more},
        "actions": {"action": "test.run"},
    }
    assert await async_setup_component(hass, "automation", {"automation": [config]})
    await hass.async_block_till_done()


async def holds(hass: HomeAssistant, runs: list[ServiceCall]) -> bool:
    """Tell whether the automation would go on now."""
    before = len(runs)
    hass.bus.async_fire("now")
    await hass.async_block_till_done()
    return len(runs) > before


@pytest.mark.parametrize(
    ("status", "so"),
    [
        ("preparing", True),
        ("printing", True),
        ("paused", True),
        ("idle", False),
        ("completed", False),
        ("failed", False),
        ("error", False),
    ],
)
async def test_a_printer_is_printing_while_it_has_a_print(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    runs: list[ServiceCall],
    status: str,
    so: bool,
) -> None:
    """A paused one has."""
    await automate(hass, "is_printing", target={"device_id": at(hass, workshop, PRINTER)})
    await change(hass, brain, PRINTER, state=printing(status=status))
    assert await holds(hass, runs) is so


async def test_a_printer_that_is_away_is_not_known_to_print(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, runs: list[ServiceCall]
) -> None:
    """What is not known does not hold."""
    await automate(hass, "is_printing", target={"area_id": ZONE})
    assert await holds(hass, runs)
    await change(hass, brain, PRINTER, online="offline")
    assert not await holds(hass, runs)


async def test_all_of_several_do_not_print_while_one_is_not_known(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, runs: list[ServiceCall]
) -> None:
    """Home Assistant's own conditions would pass over it."""
    other = er.async_get(hass).async_get_or_create(
        "sensor", "kitty", "another", translation_key="printer_status", suggested_object_id="other"
    )
    both = ["sensor.workshop_printer_status", other.entity_id]
    await automate(hass, "is_printing", target={"entity_id": both}, options={"behavior": "all"})
    hass.states.async_set(other.entity_id, "printing")
    assert await holds(hass, runs)
    hass.states.async_set(other.entity_id, "unavailable")
    assert not await holds(hass, runs)


async def test_it_can_be_asked_for_how_long(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    runs: list[ServiceCall],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A pause does not begin anew."""
    await change(hass, brain, PRINTER, state=printing(status="idle"))
    await automate(hass, "is_printing", target={"area_id": ZONE}, options={"for": {"minutes": 10}})
    await change(hass, brain, PRINTER, state=printing())
    freezer.tick(timedelta(minutes=6))
    await change(hass, brain, PRINTER, state=printing(status="paused"))
    assert not await holds(hass, runs)
    freezer.tick(timedelta(minutes=6))
    assert await holds(hass, runs)


@pytest.mark.parametrize(("device_id", "so"), [(DOOR, True), (POWER, False)])
async def test_an_approval_is_pending_where_it_was_asked_for(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    brain: FakeBrain,
    runs: list[ServiceCall],
    device_id: str,
    so: bool,
) -> None:
    """Until it is decided."""
    await automate(hass, "is_approval_pending", target={"device_id": at(hass, workshop, device_id)})
    event = brain.event(DOOR, "unlock")
    await push(hass, brain, "safety.event", event)
    assert await holds(hass, runs) is so
    await push(hass, brain, "safety.event", event | {"status": "expired"})
    assert not await holds(hass, runs)


async def test_the_brain_stands_for_all_of_its_devices(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, runs: list[ServiceCall]
) -> None:
    """Whatever waits, something does."""
    target = {"device_id": at(hass, workshop, brain.instance_id)}
    await automate(hass, "is_approval_pending", target=target)
    assert not await holds(hass, runs)
    await push(hass, brain, "safety.event", brain.event(POWER, "power_on"))
    assert await holds(hass, runs)


async def test_the_brain_is_healthy_while_nothing_ails_it_and_it_is_there(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, runs: list[ServiceCall]
) -> None:
    """Away is not healthy."""
    target = {"device_id": at(hass, workshop, brain.instance_id)}
    await automate(hass, "is_brain_healthy", target=target)
    assert await holds(hass, runs)
    await push(hass, brain, "health.updated", ILL)
    assert not await holds(hass, runs)
    await push(hass, brain, "health.updated", brain.health)
    assert await holds(hass, runs)
    await gone(hass, brain, workshop)
    assert not await holds(hass, runs)


@pytest.mark.parametrize("behavior", ["any", "all"])
@pytest.mark.parametrize("key", sorted(CONDITIONS))
async def test_nothing_holds_where_there_is_nothing_to_look_at(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    runs: list[ServiceCall],
    key: str,
    behavior: str,
) -> None:
    """All of nothing is no yes; a light neither prints nor waits nor thinks."""
    target = {"device_id": at(hass, workshop, LIGHT)}
    await automate(hass, key, target=target, options={"behavior": behavior})
    assert not await holds(hass, runs)


@pytest.mark.parametrize(
    "more", [{}, {"target": {"area_id": ZONE}, "options": {"behavior": "none"}}]
)
async def test_what_makes_no_sense_is_refused(
    hass: HomeAssistant, workshop: MockConfigEntry, more: Json
) -> None:
    """The automation shows why, and never runs."""
    await automate(hass, "is_printing", **more)
    assert state(hass, "automation.watch").state == "unavailable"


async def test_home_assistant_offers_every_condition_with_its_fields(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    """conditions.yaml is as Home Assistant wants it."""
    integration = await loader.async_get_integration(hass, "kitty")
    assert integration.has_conditions
    found = await ha_condition.async_get_all_descriptions(hass)
    fields = {key: set((found[f"kitty.{key}"] or {})["fields"]) for key in CONDITIONS}
    assert fields == {key: {"behavior", "for"} for key in CONDITIONS}


async def test_every_condition_and_field_has_its_words_and_every_condition_its_icon(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    """conditions.yaml, en.json and icons.json name the same things."""
    described = load_yaml_dict(str(HERE / "conditions.yaml"))
    words = await async_get_translations(hass, "en", "conditions", {"kitty"})
    parts = ("", ".fields.behavior", ".fields.for")
    assert set(words) == {
        f"component.kitty.conditions.{key}{part}.{text}"
        for key in CONDITIONS
        for part in parts
        for text in ("name", "description")
    }
    icons = json.loads((HERE / "icons.json").read_text())["conditions"]
    assert set(icons) == set(CONDITIONS) == {key for key in described if key[0] != "."}
