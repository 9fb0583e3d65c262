"""Tools for other agents: they see, and they ask; people approve elsewhere."""

from typing import Any

from homeassistant.components import llm as llm_component
from homeassistant.const import Platform
from homeassistant.core import Context, HomeAssistant
from homeassistant.helpers import llm
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, MockUser

from custom_components.kitty.protocol import Json

from .conftest import ADA, DOOR
from .fake_brain import FakeBrain, FakeError
from .test_services import only_entities
from .workshop import workshop_fixture  # noqa: F401 - fixtures are asked for by name


@pytest.fixture
def platforms() -> tuple[Platform, ...]:
    """Load what rights are given on."""
    return (Platform.LOCK,)


async def tools(
    hass: HomeAssistant, user_id: str | None, api_id: str = llm.LLM_API_ASSIST
) -> dict[str, llm.Tool]:
    """Return KITTY's tools as another agent is offered them."""
    assert await async_setup_component(hass, "homeassistant", {})
    assert await async_setup_component(hass, "llm", {})
    found = await llm_component.async_get_tools(hass, context(user_id), api_id)
    return {tool.name: tool for tool in found.tools if tool.integration == "kitty"}


def context(user_id: str | None) -> llm.LLMContext:
    """Return the context of an agent that speaks for somebody."""
    return llm.LLMContext(
        platform="other",
        context=Context(user_id=user_id),
        language="en",
        assistant="conversation",
        device_id=None,
    )


async def ask(hass: HomeAssistant, user_id: str, **arguments: Any) -> llm.ToolResult:
    """Call the tool that asks, as an agent does."""
    tool = (await tools(hass, user_id))["kitty__request"]
    call = llm.ToolInput(tool_name=tool.name, tool_args=arguments)
    result = await tool.async_call(hass, call, context(user_id))
    assert isinstance(result, llm.ToolResult)
    return result


async def test_tools_are_prefixed_and_honest(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    """Whoever reads the annotations knows what may happen."""
    found = await tools(hass, ADA)
    assert {name: tool.annotations.read_only for name, tool in found.items()} == {
        "kitty__status": True,
        "kitty__queue": True,
        "kitty__materials": True,
        "kitty__request": False,
    }
    assert found["kitty__request"].annotations.destructive


async def test_without_a_person_there_is_nothing_to_ask_with(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    assert list(await tools(hass, None)) == ["kitty__status", "kitty__queue", "kitty__materials"]


async def test_other_apis_get_no_tools(hass: HomeAssistant, workshop: MockConfigEntry) -> None:
    assert await tools(hass, ADA, "another") == {}


async def test_the_status_names_every_device(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    tool = (await tools(hass, ADA))["kitty__status"]
    call = llm.ToolInput(tool_name=tool.name, tool_args={})
    result = await tool.async_call(hass, call, context(ADA))
    assert isinstance(result, llm.ToolResult)
    names = {device["name"] for device in result.data["devices"]}  # type: ignore[index, union-attr]  # the shape is what is tested
    assert "Door" in names


async def test_asking_only_asks(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The answer tells whom it waits for."""
    result = await ask(hass, ADA, device="Door", intent="unlock")
    assert not result.error
    (sent,) = brain.sent("devices.request")
    assert (sent["device_id"], sent["intent"]) == (DOOR, "unlock")
    assert result.data["event"]["status"] == "pending"  # type: ignore[index, call-overload]  # the shape is what is tested
    assert brain.sent("safety.decide") == []


async def test_a_person_without_rights_cannot_ask(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, hass_read_only_user: MockUser
) -> None:
    only_entities(hass_read_only_user, "light.none")
    result = await ask(hass, hass_read_only_user.id, device="Door", intent="unlock")
    assert result.error
    assert brain.sent("devices.request") == []


async def test_a_refusal_is_told(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    async def refuse(_params: Json, _caller: Json | None) -> Json:
        raise FakeError("locked_out")

    brain.answers["devices.request"] = refuse
    result = await ask(hass, ADA, device="Door", intent="unlock")
    assert result.error
    assert result.data["error"]
