"""From the announcement of the app in its container to an entry in Home Assistant that works."""

from collections.abc import AsyncIterator
from typing import Any

from aiohttp.test_utils import unused_port
from homeassistant.config_entries import SOURCE_HASSIO, ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.service_info.hassio import HassioServiceInfo
from homeassistant.setup import async_setup_component
import pytest
import pytest_asyncio
from pytest_homeassistant_custom_component.common import async_test_home_assistant

from tests.app import lab
from tests.app.conftest import App

pytestmark = [pytest.mark.image, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session")
async def home(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[HomeAssistant]:
    """Return a Home Assistant."""
    folder = str(tmp_path_factory.mktemp("config"))
    async with async_test_home_assistant(config_dir=folder) as hass:
        hass.data.pop("custom_components", None)
        assert await async_setup_component(hass, "homeassistant", {})
        # Somebody else may have the usual port of this machine.
        where = {"server_host": ["127.0.0.1"], "server_port": unused_port()}
        assert await async_setup_component(hass, "http", {"http": where})
        yield hass
        await hass.async_stop(force=True)


def told(app: App, slug: str = "abc_kitty", **changes: Any) -> HassioServiceInfo:
    """Return the announcement as the Supervisor passes it on; this machine knows no names of containers."""
    config = app.message["config"] | {"host": lab.APP} | changes
    return HassioServiceInfo(config=config, name="KITTY", slug=slug, uuid="5f1e")


async def announce(hass: HomeAssistant, info: HassioServiceInfo) -> Any:
    """Start the flow that an announcement starts."""
    return await hass.config_entries.flow.async_init(
        "kitty", context={"source": SOURCE_HASSIO}, data=info
    )


async def test_one_click_connects_home_assistant_with_the_app(
    home: HomeAssistant, app: App
) -> None:
    """The entry works, is bound to the app and to its key, and the app's page shows it."""
    flow = await announce(home, told(app))
    assert (flow["type"], flow["step_id"]) == (FlowResultType.FORM, "hassio_confirm")
    made = await home.config_entries.flow.async_configure(flow["flow_id"], {})
    await home.async_block_till_done()
    entry = made["result"]
    assert (made["type"], entry.state) == (FlowResultType.CREATE_ENTRY, ConfigEntryState.LOADED)
    assert entry.unique_id == app.message["config"]["instance_id"]
    assert entry.data["slug"] == "abc_kitty"
    assert entry.data["brain_public_key"] == app.message["config"]["public_key"]
    page = await home.async_add_executor_job(lab.ask, lab.SUPERVISOR, "/pairing")
    assert "<td>connected</td>" in page.text
    # The same again changes nothing, and another app that says so is refused.
    assert (await announce(home, told(app)))["reason"] == "already_configured"
    assert (await announce(home, told(app, slug="evil")))["reason"] == "rogue_discovery"
    assert (await announce(home, told(app, public_key="another")))["reason"] == "rogue_discovery"
    assert {key for _, key in ir.async_get(home).issues if key.endswith(".evil")} == {
        f"rogue_discovery.{entry.entry_id}.evil"
    }
    assert await home.config_entries.async_unload(entry.entry_id)
