"""The Assist agent of a house that has no brain."""

from collections.abc import AsyncIterator

from homeassistant.components import conversation
from homeassistant.components.conversation import ConversationResult
from homeassistant.components.homeassistant.exposed_entities import async_expose_entity
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import Context, HomeAssistant
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.intent import IntentResponseType
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_mock_service


@pytest.fixture
async def agent(hass: HomeAssistant, enable_custom_integrations: None) -> AsyncIterator[str]:
    """Return the agent of home commands alone."""
    for component in ("homeassistant", "conversation"):
        assert await async_setup_component(hass, component, {})
    entry = MockConfigEntry(domain="kitty", unique_id="home", data={})
    entry.add_to_hass(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    (item,) = er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id)
    yield item.entity_id
    assert await hass.config_entries.async_unload(entry.entry_id)
    assert entry.state is ConfigEntryState.NOT_LOADED


async def speak(
    hass: HomeAssistant, agent: str, text: str, conversation_id: str | None = None
) -> ConversationResult:
    """Say something to the agent."""
    return await conversation.async_converse(
        hass, text, conversation_id, Context(), language="en", agent_id=agent
    )


def lamp(hass: HomeAssistant, entity_id: str, name: str) -> None:
    """Add a lamp that people may speak of."""
    hass.states.async_set(entity_id, "off", {"friendly_name": name})
    async_expose_entity(hass, "conversation", entity_id, True)


async def test_what_needs_no_brain_is_done_without_one(hass: HomeAssistant, agent: str) -> None:
    """One call, and a sentence about it."""
    lamp(hass, "light.mirror", "Mirror")
    calls = async_mock_service(hass, "light", "turn_on")
    result = await speak(hass, agent, "turn on the mirror")
    assert result.response.speech["plain"]["speech"] == "Turned on Mirror."
    assert [call.data["entity_id"] for call in calls] == ["light.mirror"]
    assert not result.continue_conversation


async def test_a_question_stays_open_until_it_is_answered(hass: HomeAssistant, agent: str) -> None:
    """The microphone stays on."""
    lamp(hass, "light.left_sconce", "Left sconce")
    lamp(hass, "light.right_sconce", "Right sconce")
    calls = async_mock_service(hass, "light", "turn_on")
    asked = await speak(hass, agent, "turn on the sconce")
    assert asked.continue_conversation
    await speak(hass, agent, "the right one", asked.conversation_id)
    assert [call.data["entity_id"] for call in calls] == ["light.right_sconce"]


async def test_what_needs_a_brain_is_said_to_need_one(hass: HomeAssistant, agent: str) -> None:
    """An error, so that another agent may try."""
    result = await speak(hass, agent, "why is the sky blue")
    assert result.response.response_type is IntentResponseType.ERROR
    assert "brain" in result.response.speech["plain"]["speech"]
