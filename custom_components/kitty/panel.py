"""The panel in the sidebar, and the module with which cards and dashboards come: one file, built by script/frontend."""

from pathlib import Path
from typing import Final

from homeassistant.components import frontend, panel_custom
from homeassistant.components.http import StaticPathConfig
from homeassistant.core import HomeAssistant, callback
from homeassistant.util.hass_dict import HassKey

from .const import DOMAIN, LOGGER

BUILT: Final = Path(__file__).parent / "frontend"
STATIC: Final = "/kitty_static"
ELEMENT: Final = "kitty-panel"
ICON: Final = "mdi:cat"

# The address of the module; None where it was not built.
_MODULE: Final[HassKey[str | None]] = HassKey("kitty_module")


async def async_setup_panel(hass: HomeAssistant) -> None:
    """Serve the module, and load it in every page: cards may stand in any dashboard."""
    name = await hass.async_add_executor_job(_module)
    hass.data[_MODULE] = name and f"{STATIC}/{name}"
    if name is None:
        LOGGER.error("The panel and the cards are not built: run script/frontend")
        return
    # The name changes with the content, so browsers may keep it for good.
    await hass.http.async_register_static_paths([StaticPathConfig(STATIC, str(BUILT), True)])
    frontend.add_extra_js_url(hass, f"{STATIC}/{name}")


async def async_show_panel(hass: HomeAssistant) -> None:
    """Put KITTY into the sidebar, once for all brains."""
    module = hass.data[_MODULE]
    if module is None or frontend.async_panel_exists(hass, DOMAIN):
        return
    await panel_custom.async_register_panel(
        hass,
        DOMAIN,
        ELEMENT,
        sidebar_title="KITTY",
        sidebar_icon=ICON,
        module_url=module,
    )


@callback
def async_hide_panel(hass: HomeAssistant) -> None:
    """Take KITTY out of the sidebar."""
    frontend.async_remove_panel(hass, DOMAIN, warn_if_unknown=False)


def _module() -> str | None:
    """Return the name of the module: the newest, should an update have left an older one."""
    found = sorted(BUILT.glob("kitty-*.js"), key=lambda path: path.stat().st_mtime)
    return found[-1].name if found else None
