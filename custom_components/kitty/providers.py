"""The brain's models and tool servers, as far as Home Assistant looks after them."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from homeassistant.config_entries import (
    SIGNAL_CONFIG_ENTRY_CHANGED,
    ConfigEntry,
    ConfigEntryChange,
)
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers.dispatcher import async_dispatcher_connect
from homeassistant.helpers.event import async_call_later

from .const import (
    CONF_PROVIDER_ID,
    CONF_PROVIDERS,
    CONF_REMOVED_PROVIDERS,
    DOMAIN,
    LOGGER,
    SUBENTRY_PROVIDER,
)
from .coordinator import LINK_UP
from .entries import client_of
from .errors import BUSY, BrainError, BrainUnavailable
from .issues import (
    create_budget_exhausted,
    create_provider_ill,
    delete_budget_exhausted,
    delete_provider_ill,
    is_provider_ill,
    keep_providers_ill,
)
from .protocol import Json
from .retry import RETRY_AFTER

ILL_AFTER: Final = 300.0
EXHAUSTED: Final = "local_only"

if TYPE_CHECKING:
    from . import KittyConfigEntry


def provider_subentries(entry: KittyConfigEntry) -> dict[str, str]:
    """Return the subentry of each provider that was added here, by the provider's id."""
    return {
        item.data[CONF_PROVIDER_ID]: item.subentry_id
        for item in entry.get_subentries_of_type(SUBENTRY_PROVIDER)
    }


async def forget_provider(hass: HomeAssistant, entry: KittyConfigEntry, provider_id: str) -> None:
    """Have the brain forget a provider and its secret; now, when it has time, is back, or the entry is loaded again."""
    # Before it is told: whatever comes between is made up for later.
    _remember(hass, entry, {*entry.data.get(CONF_REMOVED_PROVIDERS, ()), provider_id})
    while True:
        try:
            await client_of(entry).command("providers.remove", {"provider_id": provider_id})
        except BrainUnavailable as err:
            if err.code not in BUSY:
                return
            await asyncio.sleep(RETRY_AFTER)  # it says to nobody when it has time again
            continue
        except BrainError as err:
            LOGGER.warning("The brain does not remove a provider: %s", err)
        break
    _remember(hass, entry, {*entry.data.get(CONF_REMOVED_PROVIDERS, ())} - {provider_id})


def _remember(hass: HomeAssistant, entry: KittyConfigEntry, removed: set[str]) -> None:
    """Keep which providers the brain has still to forget."""
    data = {**entry.data, CONF_REMOVED_PROVIDERS: sorted(removed)}
    hass.config_entries.async_update_entry(entry, data=data)


@callback
def async_follow_providers(hass: HomeAssistant) -> None:
    """Note what is added and removed of all brains, also while their entries are loaded anew."""

    @callback
    def changed(change: ConfigEntryChange, entry: ConfigEntry[Any]) -> None:
        if entry.domain != DOMAIN or change is not ConfigEntryChange.UPDATED:
            return
        if provider_subentries(entry).keys() != {*entry.data.get(CONF_PROVIDERS, ())}:
            async_note_removed(hass, entry)

    async_dispatcher_connect(hass, SIGNAL_CONFIG_ENTRY_CHANGED, changed)


@callback
def async_note_removed(hass: HomeAssistant, entry: KittyConfigEntry) -> None:
    """Keep which providers were removed since the last look, also while Home Assistant was not running."""
    ours = provider_subentries(entry).keys()
    gone = {*entry.data.get(CONF_PROVIDERS, ())} - ours
    data = {
        **entry.data,
        CONF_PROVIDERS: sorted(ours),
        CONF_REMOVED_PROVIDERS: sorted(gone.union(entry.data.get(CONF_REMOVED_PROVIDERS, ()))),
    }
    hass.config_entries.async_update_entry(entry, data=data)


@callback
def async_forget_removed(hass: HomeAssistant, entry: KittyConfigEntry) -> None:
    """Tell the brain, now and whenever it comes back, what was removed while it could not be told."""
    async_note_removed(hass, entry)
    under_way: asyncio.Task[None] | None = None

    async def forget() -> None:
        for provider_id in entry.data.get(CONF_REMOVED_PROVIDERS, ()):
            await forget_provider(hass, entry, provider_id)

    @callback
    def start(_data: Json) -> None:
        nonlocal under_way
        if under_way is not None and not under_way.done():
            return
        if entry.data.get(CONF_REMOVED_PROVIDERS):
            under_way = entry.async_create_background_task(
                hass, forget(), "kitty removed providers"
            )

    entry.async_on_unload(entry.runtime_data.coordinator.async_listen(LINK_UP, start))
    start({})


def trouble_of(view: Json) -> Json | None:
    """Return what ails a provider that is in use; None where it works, or may for all we know."""
    if not view["enabled"]:
        return None
    trouble: Json | None = view["trouble"]
    breaker = view["breaker"]
    if trouble is None and (breaker["state"] == "open" or breaker.get("misconfigured")):
        code = str(breaker.get("last_error"))
        return {"code": code, "message": code}
    return trouble


class Watch:
    """Says when a provider has been ill for long, or the money is gone; and takes it back."""

    def __init__(self, hass: HomeAssistant, entry: KittyConfigEntry) -> None:
        """Take the entry; nothing is looked at before :meth:`start`."""
        self._hass = hass
        self._entry = entry
        # The providers that are ill, by their subentry: the timer until people are told, then None.
        self._ill: dict[str, CALLBACK_TYPE | None] = {}

    @callback
    def start(self) -> None:
        """Look now, and whenever something changes."""
        coordinator = self._entry.runtime_data.coordinator
        self._entry.async_on_unload(coordinator.async_add_listener(self._look))
        self._entry.async_on_unload(self._stop)
        ours = set(provider_subentries(self._entry).values())
        keep_providers_ill(self._hass, self._entry, ours)
        for subentry_id in ours:
            # Whoever was told before the entry was loaded again need not be told anew.
            if is_provider_ill(self._hass, self._entry, subentry_id=subentry_id):
                self._ill[subentry_id] = None
        self._look()

    @callback
    def _look(self) -> None:
        """Compare; while the brain is away nothing is known, and nothing is said or taken back."""
        data = self._entry.runtime_data.coordinator.data
        if not data.connected:
            return
        for provider_id, subentry_id in provider_subentries(self._entry).items():
            view = data.providers.get(provider_id)
            trouble = trouble_of(view) if view is not None else None
            if view is None or trouble is None:
                self._well(subentry_id)
            elif subentry_id not in self._ill:
                self._wait(subentry_id)
            elif self._ill[subentry_id] is None:
                create_provider_ill(
                    self._hass,
                    self._entry,
                    subentry_id=subentry_id,
                    name=view["name"],
                    trouble=trouble,
                )
        self._look_at_budget(data.budget)

    @callback
    def _wait(self, subentry_id: str) -> None:
        """Give a provider some time to get well by itself."""

        @callback
        def still_ill(_now: object) -> None:
            self._ill[subentry_id] = None
            self._look()

        self._ill[subentry_id] = async_call_later(self._hass, ILL_AFTER, still_ill)

    @callback
    def _well(self, subentry_id: str) -> None:
        """Take back what was said, or was about to be."""
        if (timer := self._ill.pop(subentry_id, None)) is not None:
            timer()
        delete_provider_ill(self._hass, self._entry, subentry_id=subentry_id)

    @callback
    def _look_at_budget(self, budget: Mapping[str, Any]) -> None:
        """Tell that the money is gone; a limit of nothing is what people wanted."""
        full = [
            amount
            for amount in (budget.get("day"), budget.get("month"))
            if amount and 0 < amount["cap"] <= amount["spent"]
        ]
        if budget.get("step") != EXHAUSTED or not full:
            delete_budget_exhausted(self._hass, self._entry)
            return
        create_budget_exhausted(
            self._hass,
            self._entry,
            spent=full[-1]["spent"],
            cap=full[-1]["cap"],
            currency=str(budget.get("currency")),
        )

    @callback
    def _stop(self) -> None:
        """Let go of the timers."""
        for timer in self._ill.values():
            if timer is not None:
                timer()
        self._ill.clear()
