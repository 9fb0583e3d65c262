"""The page of system information tells how the brain is."""

import time
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import get_system_health_info

from custom_components.kitty.const import DOMAIN

from .conftest import DOOR, kitty_entry, set_up
from .fake_brain import FakeBrain
from .flows import house  # noqa: F401 - fixtures are asked for by name
from .test_manifest import EN

pytestmark = pytest.mark.usefixtures("house", "no_platforms")


async def page(hass: HomeAssistant) -> dict[str, Any]:
    """Return what the page shows, with what it has to wait for."""
    assert await async_setup_component(hass, DOMAIN, {})
    assert await async_setup_component(hass, "system_health", {})
    await hass.async_block_till_done()
    info = await get_system_health_info(hass, DOMAIN)
    return {key: await value if key == "reachable" else value for key, value in info.items()}


async def test_a_brain_that_is_connected_shows_its_health(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """Version, wire, what waits for people and how old the record is; each line has its words."""
    event = brain.event(DOOR)
    done = brain.event(DOOR, status="denied")
    brain.events = {event["id"]: event, done["id"]: done}
    brain.audit = {"seq": 4, "hash": "h4", "at": time.time() - 90}
    await set_up(hass, kitty_entry(brain, {}, ()))
    info = await page(hass)
    age = info.pop("audit_age")
    assert info == {"reachable": "ok", "version": "0.1.0", "schema": 1, "pending_approvals": 1}
    assert age.startswith("0:01:3")
    assert {*info, "audit_age"} == set(EN["system_health"]["info"])


async def test_a_brain_that_is_gone_is_shown_as_such(hass: HomeAssistant, brain: FakeBrain) -> None:
    """Nothing else is known of it."""
    entry = kitty_entry(brain, {}, ())
    entry.add_to_hass(hass)
    await brain.stop()
    assert await page(hass) == {"reachable": {"type": "failed", "error": "unreachable"}}


async def test_a_clock_that_is_ahead_makes_no_negative_age(
    hass: HomeAssistant, brain: FakeBrain
) -> None:
    """The brain may run on another machine."""
    brain.audit = {"seq": 4, "hash": "h4", "at": time.time() + 90}
    await set_up(hass, kitty_entry(brain, {}, ()))
    assert (await page(hass))["audit_age"] == "0:00:00"


async def test_without_a_brain_there_is_nothing_to_show(hass: HomeAssistant) -> None:
    """The integration was set up, its entry was removed."""
    assert await page(hass) == {}


async def test_a_brain_without_a_record_has_no_age(hass: HomeAssistant, brain: FakeBrain) -> None:
    """A new brain has written nothing yet."""
    brain.audit = {}
    await set_up(hass, kitty_entry(brain, {}, ()))
    assert "audit_age" not in await page(hass)
