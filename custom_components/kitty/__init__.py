"""KITTY: the workshop's brain, seen and held in check from Home Assistant."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import CONF_TOKEN, CONF_URL
from homeassistant.core import HomeAssistant, callback
from homeassistant.exceptions import ConfigEntryAuthFailed, ConfigEntryError, ConfigEntryNotReady
from homeassistant.helpers import config_validation as cv, device_registry as dr
from homeassistant.helpers.aiohttp_client import async_get_clientsession
from homeassistant.helpers.event import async_call_later
from homeassistant.helpers.typing import ConfigType

from . import deliveries, incident_push, outbox, shopping
from .approvals import Approvals
from .bench import Bench
from .client import BrainClient
from .const import (
    CONF_BRAIN_PUBLIC_KEY,
    CONF_INSTANCE_ID,
    CONF_PEOPLE,
    CONF_POLICIES,
    CONF_PRESENCE,
    CONF_PROVIDERS,
    CONF_REMOVED_PROVIDERS,
    CONF_REQUIRES_PPE,
    CONF_ZONES,
    DOMAIN,
    PLATFORMS,
)
from .coordinator import LINK_DOWN, LINK_REFUSED, LINK_UP, KittyCoordinator
from .deliveries import Deliveries
from .discovery import async_discover
from .energy import Energy
from .entries import HOME_PLATFORMS, async_setup_home, has_brain
from .errors import BrainUnavailable, InvalidAuth, KittyError, SchemaMismatch
from .gate import Executor
from .home import HomeCommands
from .incident_push import IncidentPush
from .issues import (
    async_check_rules,
    async_watch_exposed,
    create_brain_unreachable,
    create_unknown_outcome,
    create_version_skew,
    delete_all,
    delete_brain_unreachable,
    delete_unknown_outcome,
    delete_version_skew,
)
from .ledger import Ledger
from .llm import async_offer_api
from .panel import async_hide_panel, async_setup_panel, async_show_panel
from .people import Feed
from .protocol import CommandStatus, Json
from .providers import (
    Watch,
    async_follow_providers,
    async_forget_removed,
    provider_subentries,
)
from .replies import Replies
from .services import async_setup_services
from .troubles import Troubles
from .websocket_api import async_setup_websocket

CONFIG_SCHEMA = cv.config_entry_only_config_schema(DOMAIN)

UNREACHABLE_AFTER: Final = 60.0
# A change of these is only sent to the brain; anything else needs a reload.
_RULES: Final = frozenset({CONF_ZONES, CONF_POLICIES, CONF_PEOPLE, CONF_PRESENCE})
# What is kept for later, and changes nothing now.
_NOTES: Final = frozenset({CONF_PROVIDERS, CONF_REMOVED_PROVIDERS})

type KittyConfigEntry = ConfigEntry[KittyData]


@dataclass(frozen=True, slots=True, kw_only=True)
class KittyData:
    """What one config entry holds while it is loaded."""

    client: BrainClient
    coordinator: KittyCoordinator
    ledger: Ledger
    approvals: Approvals
    executor: Executor
    feed: Feed
    home: HomeCommands
    bench: Bench


async def async_setup(hass: HomeAssistant, _config: ConfigType) -> bool:
    """Register what works for every entry: the actions, the panel's data, its module."""
    async_setup_services(hass)
    async_setup_websocket(hass)
    async_follow_providers(hass)
    await async_setup_panel(hass)
    return True


async def async_setup_entry(hass: HomeAssistant, entry: KittyConfigEntry) -> bool:
    """Connect to the brain and set up everything that hangs on it."""
    if not has_brain(entry):
        await async_setup_home(hass, entry)
        return True
    # Before the brain is asked: the panel says that it is away, too.
    await async_show_panel(hass)
    client = BrainClient(
        async_get_clientsession(hass),
        entry.data[CONF_URL],
        entry.data[CONF_TOKEN],
        instance_id=entry.data[CONF_INSTANCE_ID],
        public_key=entry.data[CONF_BRAIN_PUBLIC_KEY],
    )
    await _async_connect(hass, entry, client)
    entry.async_on_unload(client.close)
    ledger = Ledger(hass, entry.data[CONF_INSTANCE_ID])
    entry.async_on_unload(ledger.close)
    try:
        await ledger.load()
    except KittyError as err:
        raise _as_setup_error(ConfigEntryNotReady, err) from err
    home = HomeCommands(hass)
    entry.async_on_unload(home.start())
    coordinator = KittyCoordinator(hass, entry, client)
    executor = Executor(hass, entry, client, coordinator, ledger)
    entry.runtime_data = KittyData(
        client=client,
        coordinator=coordinator,
        ledger=ledger,
        executor=executor,
        approvals=Approvals(hass, entry, client, coordinator, ledger, executor),
        feed=Feed(hass, entry, client, coordinator, ledger, executor),
        home=home,
        bench=Bench(hass, entry, client, coordinator),
    )
    entry.async_create_background_task(
        hass,
        client.run(lambda work, name: entry.async_create_background_task(hass, work, name)),
        "kitty link",
    )
    await coordinator.async_config_entry_first_refresh()
    entry.runtime_data.feed.start()
    # From the moment at which the brain is told what there is: what changes during the rest of this counts, too.
    _listen_for_updates(hass, entry)
    entry.runtime_data.approvals.start()
    Replies(hass, coordinator, ledger).start()
    await IncidentPush(hass, entry).start()
    await Deliveries(hass, entry).start()
    await Troubles(hass, entry).start()
    await outbox.Outbox(hass, entry).start()
    Watch(hass, entry).start()
    Energy(hass, entry, client, coordinator).start()
    _follow_outcomes(hass, entry)
    _follow_link(hass, entry)
    await hass.config_entries.async_forward_entry_setups(entry, PLATFORMS)
    entry.async_create_background_task(hass, async_discover(hass), "kitty discovery")
    entry.async_on_unload(async_watch_exposed(hass, entry))
    entry.async_on_unload(async_offer_api(hass, entry))
    await async_check_rules(hass, entry)
    async_forget_removed(hass, entry)
    return True


async def async_remove_entry(hass: HomeAssistant, entry: KittyConfigEntry) -> None:
    """Take back what was said about an entry that is gone."""
    delete_all(hass, entry)
    if not any(has_brain(one) for one in hass.config_entries.async_entries(DOMAIN)):
        async_hide_panel(hass)
    if has_brain(entry):
        await deliveries.store_of(hass, entry).async_remove()
        await incident_push.store_of(hass, entry).async_remove()
        await shopping.store_of(hass, entry).async_remove()
        await outbox.store_of(hass, entry).async_remove()


async def async_unload_entry(hass: HomeAssistant, entry: KittyConfigEntry) -> bool:
    """Wait for what is being carried out, then let go of everything."""
    if not has_brain(entry):
        return await hass.config_entries.async_unload_platforms(entry, HOME_PLATFORMS)
    executor = entry.runtime_data.executor
    await executor.drain()
    unloaded = await hass.config_entries.async_unload_platforms(entry, PLATFORMS)
    # The brain is heard still: what it has ordered meanwhile is finished, too.
    await executor.drain()
    return unloaded


async def async_remove_config_entry_device(
    _hass: HomeAssistant, entry: KittyConfigEntry, device: dr.DeviceEntry
) -> bool:
    """Allow a device to be deleted when the brain no longer has it."""
    if not has_brain(entry):
        return True
    snapshot = entry.runtime_data.coordinator.data
    known = {entry.data[CONF_INSTANCE_ID], *snapshot.devices, *provider_subentries(entry)}
    return not any(domain == DOMAIN and one in known for domain, one in device.identifiers)


async def _async_connect(hass: HomeAssistant, entry: KittyConfigEntry, client: BrainClient) -> None:
    """Open the socket; what is wrong becomes the state of the entry and a repair issue."""
    try:
        await client.connect()
    except BrainUnavailable as err:
        create_brain_unreachable(hass, entry)
        raise _as_setup_error(ConfigEntryNotReady, err) from err
    except KittyError as err:
        # It answers, whatever else is wrong.
        delete_brain_unreachable(hass, entry)
        if isinstance(err, InvalidAuth):
            raise _as_setup_error(ConfigEntryAuthFailed, err) from err
        if isinstance(err, SchemaMismatch):
            create_version_skew(hass, entry, brain_is_older=err.brain_is_older)
            # A brain is updated without us, so it is tried again.
            raise _as_setup_error(ConfigEntryNotReady, err) from err
        raise _as_setup_error(ConfigEntryError, err) from err
    delete_brain_unreachable(hass, entry)
    delete_version_skew(hass, entry)


def _as_setup_error[E: ConfigEntryNotReady | ConfigEntryAuthFailed | ConfigEntryError](
    kind: type[E], err: KittyError
) -> E:
    """Return an error as Home Assistant wants it while an entry is set up."""
    return kind(
        translation_domain=err.translation_domain,
        translation_key=err.translation_key,
        translation_placeholders=err.translation_placeholders,
    )


@callback
def _follow_outcomes(hass: HomeAssistant, entry: KittyConfigEntry) -> None:
    """Keep a repair issue for every command of which nobody knows how it ended."""
    coordinator = entry.runtime_data.coordinator
    shown: set[str] = set()

    @callback
    def follow() -> None:
        unknown = {
            key: command
            for key, command in coordinator.data.commands.items()
            if command["status"] == CommandStatus.UNKNOWN
        }
        for command_id in shown - unknown.keys():
            delete_unknown_outcome(hass, entry, command_id=command_id)
        for command_id in unknown.keys() - shown:
            command = unknown[command_id]
            device = coordinator.data.devices.get(command["device_id"], {})
            create_unknown_outcome(
                hass,
                entry,
                command_id=command_id,
                device_name=str(device.get("name", command["device_id"])),
                intent=command["intent"],
            )
        shown.clear()
        shown.update(unknown)

    follow()
    entry.async_on_unload(coordinator.async_add_listener(follow))


@callback
def _follow_link(hass: HomeAssistant, entry: KittyConfigEntry) -> None:
    """Raise a repair issue when the brain stays away, and clear it when it answers, if only with a no."""
    coordinator = entry.runtime_data.coordinator
    timers: list[Any] = []

    @callback
    def stop() -> None:
        while timers:
            timers.pop()()

    @callback
    def away(_data: Json) -> None:
        stop()
        timers.append(async_call_later(hass, UNREACHABLE_AFTER, unreachable))

    @callback
    def unreachable(_now: object) -> None:
        timers.clear()
        create_brain_unreachable(hass, entry)

    @callback
    def answers(_data: Json) -> None:
        stop()
        delete_brain_unreachable(hass, entry)

    entry.async_on_unload(coordinator.async_listen(LINK_DOWN, away))
    entry.async_on_unload(coordinator.async_listen(LINK_UP, answers))
    entry.async_on_unload(coordinator.async_listen(LINK_REFUSED, answers))
    entry.async_on_unload(stop)
    if not coordinator.data.connected:
        away({})  # since the first snapshot


@callback
def _listen_for_updates(hass: HomeAssistant, entry: KittyConfigEntry) -> None:
    """Reload after a change, unless it is one of rules, which only has to be sent, or of notes."""
    seen, rules = _rest(entry), _rules(entry)

    async def updated(hass: HomeAssistant, entry: KittyConfigEntry) -> None:
        nonlocal seen, rules
        before, seen = seen, _rest(entry)
        sent, rules = rules, _rules(entry)
        if before != seen:
            await hass.config_entries.async_reload(entry.entry_id)
        elif sent != rules:
            await async_check_rules(hass, entry)
            await entry.runtime_data.feed.rules_changed()

    entry.async_on_unload(entry.add_update_listener(updated))


def _rules(entry: KittyConfigEntry) -> Mapping[str, Any]:
    """Return everything of an entry whose change only has to be sent."""
    return {key: one for key, one in entry.options.items() if key in _RULES}


def _rest(entry: KittyConfigEntry) -> Mapping[str, Any]:
    """Return everything of an entry whose change needs a reload."""
    return {
        "data": {key: one for key, one in entry.data.items() if key not in _NOTES},
        "title": entry.title,
        "options": {key: one for key, one in entry.options.items() if key not in _RULES},
        # The name of an approve button says whether equipment must be worn.
        "ppe": {
            key
            for key, zone in entry.options.get(CONF_ZONES, {}).items()
            if zone.get(CONF_REQUIRES_PPE)
        },
        "subentries": {key: (one.title, dict(one.data)) for key, one in entry.subentries.items()},
    }
