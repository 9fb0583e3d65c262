"""An announcement from the wire to the card, through Home Assistant's own listener."""

from collections.abc import AsyncIterator
from ipaddress import ip_address
from typing import Any, Final
from unittest.mock import patch

from homeassistant.const import EVENT_HOMEASSISTANT_CLOSE
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
import pytest
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from .conftest import eventually, kitty_entry, set_up
from .fake_brain import FakeBrain
from .flows import house  # noqa: F401 - a fixture is asked for by name

pytestmark = pytest.mark.usefixtures("house", "no_platforms")

LOOPBACK: Final = "127.0.0.1"
ADAPTER: Final[dict[str, Any]] = {
    "name": "lo",
    "index": 1,
    "auto": False,
    "default": False,
    "enabled": True,
    "ipv4": [{"address": LOOPBACK, "network_prefix": 8}],
    "ipv6": [],
}
SERVICE: Final = "_moonraker._tcp.local."


@pytest.fixture
async def printer(brain: FakeBrain) -> AsyncIterator[AsyncZeroconf]:
    """Return the voice of a printer; made first, as Home Assistant lets nobody make another."""
    voice = AsyncZeroconf(interfaces=[LOOPBACK])
    yield voice
    await voice.async_close()


@pytest.fixture
async def ears(
    hass: HomeAssistant, brain: FakeBrain, printer: AsyncZeroconf
) -> AsyncIterator[None]:
    """Let Home Assistant listen on the loopback, and nowhere else."""
    await set_up(hass, kitty_entry(brain, {}, ()))
    adapters = "homeassistant.components.network.async_get_loaded_adapters"
    with patch(adapters, return_value=[ADAPTER]):
        assert await async_setup_component(hass, "zeroconf", {})
        await hass.async_block_till_done()
        yield
    hass.bus.async_fire(EVENT_HOMEASSISTANT_CLOSE)
    await hass.async_block_till_done()


async def test_a_printer_on_the_network_becomes_a_card(
    hass: HomeAssistant, ears: None, printer: AsyncZeroconf
) -> None:
    """As Moonraker itself announces it."""
    info = AsyncServiceInfo(
        SERVICE,
        f"Moonraker @ voron.{SERVICE}",
        addresses=[ip_address("192.168.7.20").packed],
        port=7125,
        properties={"uuid": "5f6d", "route_prefix": "", "https_port": "", "version": "v0.11"},
        server="voron.local.",
    )
    announced = await printer.async_register_service(info, cooperating_responders=True)
    await announced
    await eventually(hass.config_entries.flow.async_progress)
    [flow] = hass.config_entries.flow.async_progress()
    assert (flow["handler"], flow["step_id"]) == ("kitty", "printer")
    assert flow["context"]["title_placeholders"] == {"name": "Moonraker @ voron"}
    assert flow["context"]["configuration_url"] == "http://192.168.7.20:7125"
