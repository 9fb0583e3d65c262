"""Switches of the parts of the brain: what they show, who may turn them, and what they say."""

import json
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

from homeassistant.components.homeassistant.exposed_entities import async_should_expose
from homeassistant.const import EntityCategory, Platform
from homeassistant.core import Context, HomeAssistant
from homeassistant.exceptions import HomeAssistantError, Unauthorized
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.translation import async_get_translations
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, MockUser

import custom_components.kitty
from custom_components.kitty.capability import slug
from custom_components.kitty.const import CAPABILITIES, DOMAIN
from custom_components.kitty.errors import BrainError
from custom_components.kitty.protocol import Json

from .conftest import ADA, EVE
from .fake_brain import FakeBrain, FakeError
from .workshop import (  # noqa: F401 - fixtures are asked for by name
    gone,
    push,
    state,
    workshop_fixture,
)

SEARCH = "switch.brain_search"
RESEARCH = "switch.brain_research"


def row(name: str, **changes: object) -> Json:
    """Return a capability that works."""
    return {
        "name": name,
        "title": name.title(),
        "enabled": True,
        "available": True,
        "because": None,
        "needs": [],
        "set_up": True,
        "changed_by": None,
        "changed_at": None,
    } | changes


RESEARCH_OFF = row("research", needs=["search"], available=False, because="search")


@pytest.fixture
def platforms() -> tuple[Platform, ...]:
    """Load only what these tests are about."""
    return (Platform.SWITCH,)


@pytest.fixture
def brain(brain: FakeBrain) -> FakeBrain:
    """Return a brain with some parts, one of which is not set up."""
    brain.workshop["capabilities"] = [
        row("search"),
        row("research", needs=["search"]),
        row("models.far", set_up=False),
        row("teleporter", title="The teleporter"),
    ]
    return brain


@pytest.fixture
async def board(people: dict[str, MockUser], workshop: MockConfigEntry) -> MockConfigEntry:
    """Return the entry with its switches; Ada is an administrator, Eve is not."""
    people[ADA].is_owner = True
    return workshop


async def turn(
    hass: HomeAssistant, entity_id: str, service: str, user_id: str | None = ADA
) -> None:
    """Turn a switch as somebody, or as an automation that nobody started."""
    context = Context(user_id=user_id)
    data = {"entity_id": entity_id}
    await hass.services.async_call("switch", service, data, blocking=True, context=context)


# -- what they show -----------------------------------------------------------------------------------


async def test_each_part_that_is_set_up_has_a_switch(
    hass: HomeAssistant, board: MockConfigEntry
) -> None:
    """On the brain's device, among its settings, and no assistant gets it by itself."""
    entries = er.async_entries_for_config_entry(er.async_get(hass), board.entry_id)
    found = {one.entity_id: one for one in entries if one.entity_category is EntityCategory.CONFIG}
    assert set(found) == {SEARCH, RESEARCH, "switch.brain_the_teleporter"}
    assert found[SEARCH].unique_id == f"{'1d' * 16}-capability_search"
    assert state(hass, SEARCH).state == "on"
    assert not async_should_expose(hass, "conversation", SEARCH)


async def test_a_part_that_is_set_up_later_gets_its_switch_then(
    hass: HomeAssistant, board: MockConfigEntry, brain: FakeBrain
) -> None:
    """Nobody has to reload anything; without the part it shows that there is none."""
    entity_id = "switch.brain_models_outside_the_house"
    assert hass.states.get(entity_id) is None
    await push(hass, brain, "capability.updated", row("models.far"))
    assert state(hass, entity_id).state == "on"
    await push(hass, brain, "capability.updated", row("models.far", set_up=False))
    assert state(hass, entity_id).state == "unavailable"


async def test_a_part_says_what_keeps_it_from_working(
    hass: HomeAssistant, board: MockConfigEntry, brain: FakeBrain
) -> None:
    """Its own switch stays on; what needs nothing has nothing to say."""
    assert state(hass, RESEARCH).attributes["because"] is None
    await push(hass, brain, "capability.updated", RESEARCH_OFF)
    shown = state(hass, RESEARCH)
    assert (shown.state, shown.attributes["because"]) == ("on", "search")
    assert "because" not in state(hass, SEARCH).attributes


async def test_the_switches_are_unavailable_while_the_brain_is_away(
    hass: HomeAssistant, board: MockConfigEntry, brain: FakeBrain
) -> None:
    """Nobody knows where they are."""
    await gone(hass, brain, board)
    assert state(hass, SEARCH).state == "unavailable"


# -- who turns them -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("service", "enabled"), [("turn_on", True), ("turn_off", False)])
async def test_an_administrator_turns_a_switch(
    hass: HomeAssistant, board: MockConfigEntry, brain: FakeBrain, service: str, enabled: bool
) -> None:
    """The brain is told who it was; what is shown is what the brain says then."""
    await turn(hass, SEARCH, service)
    assert brain.sent("capabilities.set") == [{"name": "search", "enabled": enabled}]
    (caller,) = brain.callers("capabilities.set")
    assert caller is not None
    assert caller["user_id"] == ADA
    await push(hass, brain, "capability.updated", row("search", enabled=enabled, available=enabled))
    assert state(hass, SEARCH).state == ("on" if enabled else "off")


async def test_an_automation_that_nobody_started_turns_a_switch(
    hass: HomeAssistant, board: MockConfigEntry, brain: FakeBrain
) -> None:
    """As at night, when nothing should print."""
    await turn(hass, SEARCH, "turn_off", None)
    assert brain.sent("capabilities.set") == [{"name": "search", "enabled": False}]


@pytest.mark.parametrize("service", ["turn_on", "turn_off"])
async def test_nobody_else_turns_a_switch(
    hass: HomeAssistant, board: MockConfigEntry, brain: FakeBrain, service: str
) -> None:
    """Whoever may use the workshop may not silence it."""
    with pytest.raises(Unauthorized):
        await turn(hass, SEARCH, service, EVE)
    assert brain.sent("capabilities.set") == []


async def test_a_voice_that_nobody_knows_turns_no_switch(
    hass: HomeAssistant, board: MockConfigEntry, brain: FakeBrain
) -> None:
    """Also where somebody has exposed it to the assistant."""
    speaking = SimpleNamespace(get=object)
    with (
        # Nothing but a model at work sets it, and none runs here.
        patch("custom_components.kitty.origin.current_chat_log", speaking),
        pytest.raises(Unauthorized),
    ):
        await turn(hass, SEARCH, "turn_off", None)
    assert brain.sent("capabilities.set") == []


async def test_what_the_brain_refuses_is_said(
    hass: HomeAssistant, board: MockConfigEntry, brain: FakeBrain
) -> None:
    """In words of the translations."""

    def refuse(_params: Json, _caller: Json | None) -> Json:
        raise FakeError("unknown_capability", name="search")

    brain.answers["capabilities.set"] = refuse
    with pytest.raises(HomeAssistantError) as caught:
        await turn(hass, SEARCH, "turn_off")
    assert caught.value.translation_key == "unknown_capability"


async def test_what_is_switched_off_is_said_in_plain_words(
    hass: HomeAssistant, board: MockConfigEntry
) -> None:
    """As it is spoken, whatever was asked for."""
    details = {"capability": "research", "because": "search", "what": "Search"}
    err = BrainError("capability_off", "Search is switched off", details)
    words = await async_get_translations(hass, "en", "exceptions", {DOMAIN})
    message = words[f"component.{DOMAIN}.exceptions.{err.translation_key}.message"]
    assert message.format(**(err.translation_placeholders or {})) == "Search is switched off"


# -- their words --------------------------------------------------------------------------------------


async def test_every_part_that_is_known_has_a_name_and_an_icon(hass: HomeAssistant) -> None:
    """And no other has."""
    folder = Path(custom_components.kitty.__file__).parent
    icons = json.loads((folder / "icons.json").read_text("utf-8"))["entity"]["switch"]
    words = await async_get_translations(hass, "en", "entity", {DOMAIN})
    prefix = f"component.{DOMAIN}.entity.switch.capability_"
    named = {key.removeprefix(prefix).partition(".")[0] for key in words if key.startswith(prefix)}
    keys = {f"capability_{slug(name)}" for name in CAPABILITIES}
    assert {f"capability_{name}" for name in named} == keys
    assert {key for key in icons if key.startswith("capability_")} == keys
