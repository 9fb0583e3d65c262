"""The two kinds of entries: one with a brain, and one with home commands only."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import CONF_URL, Platform
from homeassistant.core import HomeAssistant

from .client import BrainClient
from .const import DOMAIN
from .errors import BrainUnavailable
from .home import HomeCommands

if TYPE_CHECKING:
    from . import KittyConfigEntry, KittyData

# The unique id of the entry without a brain.
HOME_ONLY: Final = "home"
HOME_PLATFORMS: Final = (Platform.CONVERSATION,)


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeData:
    """What an entry without a brain holds while it is loaded."""

    home: HomeCommands


def has_brain(entry: ConfigEntry[Any]) -> bool:
    """Tell whether an entry is one of a brain; the other kind has home commands only."""
    return CONF_URL in entry.data


def loaded_brains(hass: HomeAssistant) -> list[KittyConfigEntry]:
    """Return the loaded entries that have a brain."""
    entries = hass.config_entries.async_loaded_entries(DOMAIN)
    return [cast("KittyConfigEntry", entry) for entry in entries if has_brain(entry)]


def client_of(entry: ConfigEntry[Any]) -> BrainClient:
    """Return the client of an entry with a brain; BrainUnavailable while the entry is not loaded."""
    data: KittyData | None = getattr(entry, "runtime_data", None)
    if data is None:
        raise BrainUnavailable
    return data.client


async def async_setup_home(hass: HomeAssistant, entry: ConfigEntry[Any]) -> None:
    """Set up the home commands alone: one conversation entity, and nothing else."""
    home = HomeCommands(hass)
    entry.async_on_unload(home.start())
    entry.runtime_data = HomeData(home=home)
    await hass.config_entries.async_forward_entry_setups(entry, HOME_PLATFORMS)
