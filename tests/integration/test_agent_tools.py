"""KITTY's own API for agents: what each tool tells and to whom, and that Home Assistant serves it over MCP."""

from http import HTTPStatus
from typing import Any, Final
from unittest.mock import patch

from homeassistant.auth.const import GROUP_ID_ADMIN
from homeassistant.components.llm import async_get_tools
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import device_registry as dr, llm
from homeassistant.helpers.http import current_request
from homeassistant.setup import async_setup_component
import probatio as vol
import pytest
from pytest_homeassistant_custom_component.common import CLIENT_ID, MockConfigEntry, MockUser
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.kitty import origin
from custom_components.kitty.protocol import Json

from .conftest import ADA, BOB, EVE, kitty_entry, set_up
from .fake_brain import FakeBrain, FakeError
from .shop import SPOOL, item, job, spool
from .test_llm import context
from .test_services import only_entities
from .workshop import (  # noqa: F401 - fixtures are asked for by name
    PRINTER,
    at,
    push,
    workshop_fixture,
)

ALL: Final = [
    "kitty__status",
    "kitty__queue",
    "kitty__materials",
    "kitty__request",
    "kitty__memory",
    "kitty__research",
    "kitty__research_report",
]


@pytest.fixture
def platforms() -> tuple[Platform, ...]:
    """Load what rights are given on."""
    return (Platform.LOCK, Platform.BUTTON, Platform.SENSOR)


async def api(
    hass: HomeAssistant, entry: MockConfigEntry, user_id: str | None = ADA
) -> llm.APIInstance:
    """Return KITTY's own API as it is for somebody."""
    return await llm.async_get_api(hass, f"kitty-{entry.entry_id}", context(user_id))


async def use(
    hass: HomeAssistant, entry: MockConfigEntry, tool: str, user_id: str | None = ADA, **given: Any
) -> llm.ToolResult:
    """Use a tool as the agent of somebody does."""
    instance = await api(hass, entry, user_id)
    return await instance.async_call_tool(llm.ToolInput(tool_name=tool, tool_args=given))


def data(result: llm.ToolResult) -> Json:
    """Return what a tool told; it must not have failed."""
    assert not result.error, result.data
    return dict(result.data)


def words(result: llm.ToolResult) -> str:
    """Return the words of a refusal."""
    assert result.error
    return str(result.data["error"])


def names(instance: llm.APIInstance) -> list[str]:
    """Return the names of the tools of an API."""
    return [tool.name for tool in instance.tools]


async def test_the_api_has_the_name_of_the_brain_and_ends_with_it(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    """People choose it for an agent by that name."""
    known = {one.id: one.name for one in llm.async_get_apis(hass)}
    assert known[f"kitty-{workshop.entry_id}"] == "Brain"
    await hass.config_entries.async_unload(workshop.entry_id)
    assert f"kitty-{workshop.entry_id}" not in {one.id for one in llm.async_get_apis(hass)}
    await hass.config_entries.async_setup(workshop.entry_id)
    assert f"kitty-{workshop.entry_id}" in {one.id for one in llm.async_get_apis(hass)}


async def test_a_person_has_every_tool_and_none_of_them_approves(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    instance = await api(hass, workshop)
    assert names(instance) == ALL
    assert {tool.integration for tool in instance.tools} == {"kitty"}
    assert all(tool.title and tool.description for tool in instance.tools)
    assert "waits for people" in instance.api_prompt


async def test_the_annotations_say_what_a_tool_may_do(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    """Whoever reads them knows which ones act, and which ones reach out of the house."""
    found = {tool.name: tool.annotations for tool in (await api(hass, workshop)).tools}
    assert [name for name, one in found.items() if not one.read_only] == [
        "kitty__request",
        "kitty__research",
    ]
    assert [name for name, one in found.items() if one.destructive] == ["kitty__request"]
    assert [name for name, one in found.items() if one.open_world] == [
        "kitty__research",
        "kitty__research_report",
    ]


async def test_nobody_sees_and_neither_asks_nor_remembers(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    """A voice without a user has no rights of its own."""
    assert names(await api(hass, workshop, None)) == ALL[:3]


async def test_a_user_who_is_gone_gets_nothing(
    hass: HomeAssistant, workshop: MockConfigEntry
) -> None:
    instance = await api(hass, workshop, "0" * 32)
    assert instance.tools == []


@pytest.mark.parametrize(
    ("tool", "given"), [("status", {}), ("queue", {}), ("request", {"device": "Door"})]
)
async def test_assist_asks_for_the_rights_when_a_tool_is_used(
    hass: HomeAssistant, workshop: MockConfigEntry, tool: str, given: Json
) -> None:
    """Whoever was removed between the question and the call is told nothing."""
    offered = await async_get_tools(hass, context(ADA), llm.LLM_API_ASSIST)
    (chosen,) = (one for one in offered.tools if one.name == f"kitty__{tool}")
    call = llm.ToolInput(tool_name=chosen.name, tool_args=given | {"intent": "lock"})
    result = await chosen.async_call(hass, call, context("0" * 32))
    assert isinstance(result, llm.ToolResult)
    assert "may not use" in words(result)


async def test_who_may_control_nothing_is_offered_nothing_to_ask_with(
    hass: HomeAssistant, workshop: MockConfigEntry, people: dict[str, MockUser]
) -> None:
    only_entities(people[EVE], "light.none")
    assert "kitty__request" not in names(await api(hass, workshop, EVE))


async def test_only_the_devices_that_a_person_may_control_can_be_asked(
    hass: HomeAssistant, workshop: MockConfigEntry, people: dict[str, MockUser], brain: FakeBrain
) -> None:
    """The names of the others are not even told."""
    only_entities(people[EVE], "lock.workshop_door")
    instance = await api(hass, workshop, EVE)
    (tool,) = (one for one in instance.tools if one.name == "kitty__request")
    with pytest.raises(vol.Invalid, match="device"):
        tool.parameters({"device": "Printer", "intent": "print_pause"})
    assert tool.parameters({"device": "Door", "intent": "unlock"})["device"] == "Door"
    assert brain.sent("devices.request") == []


async def test_the_status_leaves_out_what_a_person_may_not_see(
    hass: HomeAssistant, workshop: MockConfigEntry, people: dict[str, MockUser]
) -> None:
    people[EVE].mock_policy({"entities": {"entity_ids": {"lock.workshop_door": {"read": True}}}})
    found = data(await use(hass, workshop, "kitty__status", EVE))
    assert [one["name"] for one in found["devices"]] == ["Door"]
    assert found["connected"] is True


async def test_two_devices_of_one_name_are_told_apart(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Else one of them would be asked in place of the other."""
    dr.async_get(hass).async_update_device(at(hass, workshop, PRINTER), name_by_user="door")
    found = [one["name"] for one in data(await use(hass, workshop, "kitty__status"))["devices"]]
    assert {"Door (d0d0)", "door (b1b1)"} <= set(found)
    offered = await async_get_tools(hass, context(ADA), llm.LLM_API_ASSIST)
    (tool,) = (one for one in offered.tools if one.name == "kitty__request")
    call = llm.ToolInput(tool_name=tool.name, tool_args={"device": "Door", "intent": "unlock"})
    result = await tool.async_call(hass, call, context(ADA))
    assert isinstance(result, llm.ToolResult)
    assert "Door" in words(result)
    assert brain.sent("devices.request") == []


async def test_a_request_of_a_hazard_only_waits(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    found = data(await use(hass, workshop, "kitty__request", device="Door", intent="unlock"))
    assert found["event"]["status"] == "pending"
    caller = brain.callers("devices.request")[0]
    assert caller is not None
    assert caller["user_id"] == ADA
    assert brain.sent("safety.decide") == []


async def test_what_a_tool_asks_is_no_finger_by_whatever_road_the_agent_came(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """Where two people are needed, whoever asks with their own finger is one of them; a model is not."""
    await use(hass, workshop, "kitty__request", device="Door", intent="unlock")
    (caller,) = brain.callers("devices.request")
    assert caller is not None
    assert (caller["user_id"], caller["channel"]) == (ADA, "automation")


async def test_the_queue_tells_what_runs_and_what_waits(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    await push(hass, brain, "job.updated", job(progress=40.0))
    await push(hass, brain, "queue.updated", item(title="Cat", conversation_id="secret"))
    found = data(await use(hass, workshop, "kitty__queue"))
    assert [(one["printer"], one["progress"]) for one in found["printing"]] == [("Printer", 40.0)]
    (waits,) = found["queue"]
    assert (waits["title"], waits["printer"]) == ("Cat", "Printer")
    assert "secret" not in str(found)
    assert found["more"] == 0


async def test_the_queue_of_a_printer_that_a_person_may_not_see_is_not_told(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain, people: dict[str, MockUser]
) -> None:
    """What no printer has yet is for everybody."""
    await push(hass, brain, "job.updated", job())
    await push(hass, brain, "queue.updated", item(title="Cat"))
    await push(hass, brain, "queue.updated", item(id="a2" * 16, title="Dog", device_id=None))
    people[EVE].mock_policy({"entities": {"entity_ids": {"lock.workshop_door": {"read": True}}}})
    found = data(await use(hass, workshop, "kitty__queue", EVE))
    assert found["printing"] == []
    assert [one["title"] for one in found["queue"]] == ["Dog"]


async def test_materials_are_told_as_the_action_tells_them(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    brain.answers["stock.list"] = lambda *_: {"items": [{"material": "PLA"}], "cursor": None}
    brain.answers["spools.list"] = lambda *_: {
        "items": [spool(), spool(id="56" * 16)],
        "cursor": None,
    }
    brain.answers["procurements.list"] = lambda *_: {"items": [], "cursor": None}
    found = data(await use(hass, workshop, "kitty__materials", material="PLA"))
    assert found["stock"] == [{"material": "PLA"}]
    assert [one["material"] for one in found["spools"]] == ["PLA", "PLA"]
    assert SPOOL not in str(found)


async def test_what_the_brain_refuses_is_told_in_words(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    async def refuse(_params: Json, _caller: Json | None) -> Json:
        raise FakeError("database_busy")

    brain.answers["stock.list"] = refuse
    assert "busy" in words(await use(hass, workshop, "kitty__materials")).lower()


async def test_memory_is_that_of_the_person_behind_the_agent(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    """The brain is told who asks, by Home Assistant and not by the agent."""
    brain.answers["memory.search"] = lambda *_: {"items": [{"text": "likes red"}]}
    found = data(await use(hass, workshop, "kitty__memory", BOB, query="colour"))
    assert found["items"] == [{"text": "likes red"}]
    caller = brain.callers("memory.search")[0]
    assert caller is not None
    assert (caller["user_id"], brain.sent("memory.search")[0]["query"]) == (BOB, "colour")


async def test_a_research_is_begun_without_money_and_read_later(
    hass: HomeAssistant, workshop: MockConfigEntry, brain: FakeBrain
) -> None:
    brain.answers["research.start"] = lambda *_: {"id": "r1", "status": "pending"}
    brain.answers["research.get"] = lambda *_: {"id": "r1", "report": "PETG: 80 degrees [1]"}
    begun = data(await use(hass, workshop, "kitty__research", question="Which bed for PETG?"))
    assert begun == {"research_id": "r1", "status": "pending"}
    assert brain.sent("research.start") == [{"question": "Which bed for PETG?"}]
    read = data(await use(hass, workshop, "kitty__research_report", research_id="r1"))
    assert read["report"] == "PETG: 80 degrees [1]"


async def test_the_tools_of_a_second_brain_bear_a_number(
    hass: HomeAssistant, workshop: MockConfigEntry, socket_enabled: None
) -> None:
    """Two workshops in one house are not mixed up."""
    other = FakeBrain()
    other.instance_id = "2d" * 16
    await other.start()
    entry = kitty_entry(other, subentries=())
    await set_up(hass, entry)
    offered = await async_get_tools(hass, context(ADA), llm.LLM_API_ASSIST)
    ours = [tool.name for tool in offered.tools if tool.integration == "kitty"]
    assert ours[4:] == [f"{name}_2" for name in ours[:4]]
    await hass.config_entries.async_unload(entry.entry_id)
    await other.stop()


class Mcp:
    """A client of Home Assistant's own MCP server, as a stranger's program is one."""

    def __init__(self, hass: HomeAssistant, client: Any, path: str, token: str) -> None:
        """Take the door and the key."""
        self._hass, self._client, self._path, self._token = hass, client, path, token

    async def post(self, method: str, params: Json | None = None) -> Any:
        """Send one message and return the answer as it came."""
        return await self._client.post(
            self._path,
            json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}},
            headers={"Authorization": f"Bearer {self._token}", "Accept": "application/json"},
        )

    async def call(self, method: str, params: Json | None = None) -> Json:
        """Send one message and return its result."""
        answer = await self.post(method, params)
        assert answer.status == HTTPStatus.OK, await answer.text()
        told: Json = (await answer.json())["result"]
        return told


async def served(
    hass: HomeAssistant, clients: ClientSessionGenerator, user: MockUser, api_id: str
) -> Mcp:
    """Return a client of an API over MCP, with the long-lived token of a user."""
    assert await async_setup_component(hass, "homeassistant", {})
    server = MockConfigEntry(
        domain="mcp_server",
        data={"llm_hass_api": ["assist"], "require_admin": True, "all_llm_apis": False},
        minor_version=3,
    )
    server.add_to_hass(hass)
    assert await hass.config_entries.async_setup(server.entry_id)
    refresh = await hass.auth.async_create_refresh_token(user, CLIENT_ID)
    token = hass.auth.async_create_access_token(refresh)
    return Mcp(hass, await clients(), f"/api/mcp/{api_id}", token)


@pytest.fixture(name="mcp")
async def mcp_fixture(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    people: dict[str, MockUser],
    hass_client_no_auth: ClientSessionGenerator,
) -> Mcp:
    """Return KITTY's API as an administrator's program reaches it."""
    admins = await hass.auth.async_get_group(GROUP_ID_ADMIN)
    assert admins is not None
    people[ADA].groups = [admins]
    return await served(hass, hass_client_no_auth, people[ADA], f"kitty-{workshop.entry_id}")


async def test_home_assistant_serves_the_api_over_mcp(mcp: Mcp) -> None:
    """Names, annotations and schemas arrive as they are."""
    tools = {tool["name"]: tool for tool in (await mcp.call("tools/list"))["tools"]}
    assert list(tools) == ALL
    assert tools["kitty__status"]["annotations"]["readOnlyHint"] is True
    asks = tools["kitty__request"]
    assert asks["annotations"]["destructiveHint"] is True
    assert set(asks["inputSchema"]["required"]) == {"device", "intent"}
    assert "Door" in asks["inputSchema"]["properties"]["device"]["enum"]


async def test_a_program_asks_over_mcp_and_people_decide_elsewhere(
    mcp: Mcp, brain: FakeBrain
) -> None:
    """It comes by the road of a program: it is no finger of the person whose token it has."""
    asked = {"name": "kitty__request", "arguments": {"device": "Door", "intent": "unlock"}}
    # All other tests are a screen; this one is the request that it is.
    with patch.object(origin, "current_request", current_request):
        told = await mcp.call("tools/call", asked)
    assert not told["isError"]
    assert '"status": "pending"' in told["content"][0]["text"]
    caller = brain.callers("devices.request")[0]
    assert caller is not None
    assert (caller["user_id"], caller["channel"]) == (ADA, "automation")
    assert brain.sent("safety.decide") == []


async def test_a_tool_that_fails_says_so_over_mcp(mcp: Mcp, brain: FakeBrain) -> None:
    async def refuse(_params: Json, _caller: Json | None) -> Json:
        raise FakeError("locked_out")

    brain.answers["devices.request"] = refuse
    asked = {"name": "kitty__request", "arguments": {"device": "Door", "intent": "unlock"}}
    assert (await mcp.call("tools/call", asked))["isError"]


async def test_wrong_words_for_a_tool_are_an_error_over_mcp(mcp: Mcp, brain: FakeBrain) -> None:
    asked = {"name": "kitty__request", "arguments": {"device": "Moon", "intent": "unlock"}}
    assert (await mcp.call("tools/call", asked))["isError"]
    assert brain.sent("devices.request") == []


async def test_only_administrators_reach_the_api_over_mcp(
    hass: HomeAssistant,
    workshop: MockConfigEntry,
    people: dict[str, MockUser],
    hass_client_no_auth: ClientSessionGenerator,
) -> None:
    """That is Home Assistant's own rule for every API but Assist."""
    mcp = await served(hass, hass_client_no_auth, people[EVE], f"kitty-{workshop.entry_id}")
    assert (await mcp.post("tools/list")).status == HTTPStatus.UNAUTHORIZED


async def test_an_api_that_is_gone_is_not_served(hass: HomeAssistant) -> None:
    with pytest.raises(HomeAssistantError, match="not found"):
        await llm.async_get_api(hass, "kitty-gone", context(ADA))
