"""The brain's models and tool servers, as far as Home Assistant looks after them."""

from typing import TYPE_CHECKING

from homeassistant.core import HomeAssistant, callback

from .const import (
    CONF_PROVIDER_ID,
    CONF_REMOVED_PROVIDERS,
    LOGGER,
    SUBENTRY_PROVIDER,
)
from .coordinator import LINK_UP
from .errors import BrainError, BrainUnavailable
from .protocol import Json

if TYPE_CHECKING:
    from . import KittyConfigEntry


def provider_subentries(entry: KittyConfigEntry) -> dict[str, str]:
    """Return the subentry of each provider that was added here, by the provider's id."""
    return {
        item.data[CONF_PROVIDER_ID]: item.subentry_id
        for item in entry.get_subentries_of_type(SUBENTRY_PROVIDER)
    }


async def forget_provider(hass: HomeAssistant, entry: KittyConfigEntry, provider_id: str) -> None:
    """Have the brain forget a provider and its secret; at once, or when it is back."""
    try:
        await entry.runtime_data.client.command("providers.remove", {"provider_id": provider_id})
    except BrainUnavailable:
        _remember(hass, entry, {*entry.data.get(CONF_REMOVED_PROVIDERS, ()), provider_id})
        return
    except BrainError as err:
        LOGGER.warning("The brain does not remove a provider: %s", err)
    _remember(hass, entry, {*entry.data.get(CONF_REMOVED_PROVIDERS, ())} - {provider_id})


def _remember(hass: HomeAssistant, entry: KittyConfigEntry, removed: set[str]) -> None:
    """Keep which providers the brain has still to forget."""
    data = {**entry.data, CONF_REMOVED_PROVIDERS: sorted(removed)}
    hass.config_entries.async_update_entry(entry, data=data)


@callback
def async_forget_removed(hass: HomeAssistant, entry: KittyConfigEntry) -> None:
    """Tell the brain, now and whenever it comes back, what was removed while it was away."""

    async def forget() -> None:
        for provider_id in entry.data.get(CONF_REMOVED_PROVIDERS, ()):
            await forget_provider(hass, entry, provider_id)

    @callback
    def start(_data: Json) -> None:
        if entry.data.get(CONF_REMOVED_PROVIDERS):
            entry.async_create_background_task(hass, forget(), "kitty removed providers")

    entry.async_on_unload(entry.runtime_data.coordinator.async_listen(LINK_UP, start))
    start({})
