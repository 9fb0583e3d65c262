"""The page under Settings > System > Repairs > System information."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from homeassistant.components import system_health
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import CONF_URL
from homeassistant.core import HomeAssistant, callback
from homeassistant.util import dt as dt_util

from .const import DOMAIN
from .entries import has_brain
from .protocol import EventStatus

if TYPE_CHECKING:
    from . import KittyConfigEntry


@callback
def async_register(hass: HomeAssistant, register: system_health.SystemHealthRegistration) -> None:
    """Add KITTY to the page."""
    register.async_register_info(_info, "/config/integrations/integration/kitty")


async def _info(hass: HomeAssistant) -> dict[str, Any]:
    """Return how the brain is; only whether it is there while KITTY is not loaded."""
    entries: list[KittyConfigEntry] = [
        entry
        for entry in hass.config_entries.async_entries(
            DOMAIN, include_ignore=False, include_disabled=False
        )
        if has_brain(entry)
    ]
    if not entries:
        return {}
    entry = entries[0]
    url = f"{entry.data[CONF_URL]}/health"
    info: dict[str, Any] = {"reachable": system_health.async_check_can_reach_url(hass, url)}
    if entry.state is not ConfigEntryState.LOADED:
        return info
    snapshot, hello = entry.runtime_data.coordinator.data, entry.runtime_data.client.hello
    info |= {
        "version": hello and hello.version,
        "schema": hello and hello.schema,
        "pending_approvals": sum(
            event["status"] == EventStatus.PENDING for event in snapshot.events.values()
        ),
    }
    if (at := snapshot.audit.get("at")) is not None:
        age = max(0, round(dt_util.utcnow().timestamp() - at))
        info["audit_age"] = str(timedelta(seconds=age))
    return info
