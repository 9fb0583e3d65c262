"""The panel in the sidebar: there while there is a brain, one module for everything."""

import os
from pathlib import Path
from typing import Any
from unittest.mock import patch

from homeassistant.components import frontend
from homeassistant.core import HomeAssistant
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, MockUser
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from .conftest import kitty_entry, set_up
from .fake_brain import FakeBrain

OLD = "kitty-old.js"
NEW = "kitty-new.js"


@pytest.fixture(autouse=True)
def built(tmp_path: Path, enable_custom_integrations: None, no_platforms: None) -> Any:
    """Return the folder with what was built; an update has left an older module."""
    folder = tmp_path / "built"
    folder.mkdir()
    for at, name in enumerate((OLD, NEW)):
        module = folder / name
        module.write_text(f"// {name}", "utf-8")
        os.utime(module, (at, at))
    with patch("custom_components.kitty.panel.BUILT", folder):
        yield folder


def panel(hass: HomeAssistant) -> Any:
    """Return KITTY's panel, or None."""
    return hass.data[frontend.DATA_PANELS].get("kitty")


def modules(hass: HomeAssistant) -> set[str]:
    """Return the modules that every page loads."""
    return set(hass.data[frontend.DATA_EXTRA_MODULE_URL].urls)


async def test_a_brain_brings_the_panel_into_the_sidebar(
    hass: HomeAssistant, kitty: MockConfigEntry
) -> None:
    """It is for everybody, and its module is the newest."""
    found = panel(hass)
    assert (found.sidebar_title, found.require_admin) == ("KITTY", False)
    assert found.config["_panel_custom"]["name"] == "kitty-panel"
    assert found.config["_panel_custom"]["module_url"] == f"/kitty_static/{NEW}"
    assert found.config["_panel_custom"]["embed_iframe"] is False


async def test_the_gear_of_the_integration_still_leads_to_the_options(
    hass: HomeAssistant, kitty: MockConfigEntry
) -> None:
    """A panel that calls itself the configuration of an integration takes the place of its options."""
    assert panel(hass).config_panel_domain is None


async def test_panel_and_cards_are_one_module(hass: HomeAssistant, kitty: MockConfigEntry) -> None:
    """The same address is loaded once."""
    assert modules(hass) == {f"/kitty_static/{NEW}"}


async def test_the_module_is_served_for_good(
    hass: HomeAssistant, kitty: MockConfigEntry, hass_client_no_auth: ClientSessionGenerator
) -> None:
    """Another content has another name, so browsers may keep it."""
    client = await hass_client_no_auth()
    answer = await client.get(f"/kitty_static/{NEW}")
    assert await answer.text() == f"// {NEW}"
    assert "max-age=2678400" in answer.headers["Cache-Control"]


async def test_the_panel_stays_when_the_brain_is_away(
    hass: HomeAssistant, brain: FakeBrain, people: dict[str, MockUser]
) -> None:
    """It says so itself."""
    await brain.stop()
    await set_up(hass, kitty_entry(brain))
    assert panel(hass) is not None


async def test_a_reload_leaves_the_panel_where_it_is(
    hass: HomeAssistant, kitty: MockConfigEntry
) -> None:
    """Who looks at it is not thrown out."""
    before = panel(hass)
    await hass.config_entries.async_reload(kitty.entry_id)
    assert panel(hass) is before


async def test_the_panel_goes_with_the_last_brain(
    hass: HomeAssistant, kitty: MockConfigEntry
) -> None:
    """While there is another one it stays."""
    second = kitty_entry(FakeBrain())
    second.add_to_hass(hass)
    await hass.config_entries.async_remove(kitty.entry_id)
    assert panel(hass) is not None
    await hass.config_entries.async_remove(second.entry_id)
    assert panel(hass) is None


async def test_home_commands_alone_have_no_panel(hass: HomeAssistant) -> None:
    """Without a brain there is nothing to show."""
    entry = MockConfigEntry(domain="kitty", unique_id="home", data={})
    await set_up(hass, entry)
    assert panel(hass) is None
    await hass.config_entries.async_remove(entry.entry_id)


async def test_what_was_not_built_is_said_and_nothing_else_fails(
    hass: HomeAssistant,
    brain: FakeBrain,
    people: dict[str, MockUser],
    built: Path,
) -> None:
    """A checkout without a build has everything but the panel."""
    for name in (OLD, NEW):
        (built / name).unlink()
    with patch("custom_components.kitty.panel.LOGGER.error") as told:
        entry = await set_up(hass, kitty_entry(brain))
    assert "script/frontend" in told.call_args[0][0]
    assert entry.state.value == "loaded"
    assert panel(hass) is None
    assert modules(hass) == set()
