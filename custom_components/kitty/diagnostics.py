"""What a person may send to a stranger: only fields named here, without secrets and names."""

from collections.abc import Mapping
import re
from typing import TYPE_CHECKING, Any, Final

from homeassistant.components.diagnostics import REDACTED
from homeassistant.const import CONF_DEVICE_ID, CONF_EMAIL, CONF_TOKEN, CONF_URL, __version__
from homeassistant.core import HomeAssistant, valid_entity_id
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.device_registry import DeviceEntry
from yarl import URL

from .const import (
    CONF_BRAIN_PUBLIC_KEY,
    CONF_DRIVER,
    CONF_INFO,
    CONF_INSTANCE_ID,
    CONF_OCCUPANCY,
    CONF_OPTIONS,
    CONF_PEOPLE,
    CONF_PERSONS,
    CONF_POLICIES,
    CONF_PRESENCE,
    CONF_ROLES,
    CONF_SLUG,
    CONF_ZONE_ID,
    CONF_ZONES,
    DOMAIN,
    SUBENTRY_DEVICE,
)
from .entries import has_brain
from .protocol import Json

if TYPE_CHECKING:
    from . import KittyConfigEntry

_DEVICE_FIELDS: Final = (
    "id",
    "driver",
    "kind",
    "zone_id",
    "capabilities",
    "online",
    "reason",
    "last_seen",
    "manufacturer",
    "model",
    "sw_version",
    "has_camera",
    "feeds",
    "power_off_when_cool",
)
_STATE_FIELDS: Final = (
    "locked",
    "open",
    "jammed",
    "on",
    "value",
    "unit",
    "status",
    "nozzle",
    "bed",
)
_COMMAND_FIELDS: Final = (
    "id",
    "device_id",
    "intent",
    "status",
    "channel",
    "created_at",
    "sent_at",
    "ack_at",
    "detail",
    "event_id",
)
_EVENT_FIELDS: Final = (
    "id",
    "command_id",
    "event_type",
    "device_id",
    "zone_id",
    "intent",
    "level",
    "status",
    "people_needed",
    "channel",
    "created_at",
    "expires_at",
    "resolved_at",
    "reason",
    "policy_version",
    "requires_ppe",
)
_JOB_FIELDS: Final = (
    "id",
    "device_id",
    "command_id",
    "status",
    "progress",
    "started_at",
    "completed_at",
)
_PROVIDER_FIELDS: Final = ("id", "provider", "tier", "uses", "enabled", "context")
_BREAKER_FIELDS: Final = ("state", "failures", "last_error", "misconfigured")
_INFO_FIELDS: Final = (
    "kind",
    "capabilities",
    "manufacturer",
    "model",
    "sw_version",
    "has_camera",
)

# Free text of devices and servers may hold addresses with passwords, or of people.
_USERINFO: Final = re.compile(r"(?<=://)[^/@\s]*@")
_QUERY: Final = re.compile(r"(?<=\?)[^\s\"'<>]*=[^\s\"'<>]*")
_EMAIL: Final = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")
# What is shorter than this is no secret, and would blank out half of the text.
_SHORTEST_OPTION: Final = 4
_SHORTEST_NAME: Final = 2


async def async_get_config_entry_diagnostics(
    hass: HomeAssistant, entry: KittyConfigEntry
) -> dict[str, Any]:
    """Return the state of the brain, its devices and the rules, without secrets and names."""
    if not has_brain(entry):
        return {"home_assistant": __version__, "entry": {"state": entry.state.value}}
    return await cleaned(hass, entry, _found(hass, entry))


async def async_get_device_diagnostics(
    hass: HomeAssistant, entry: KittyConfigEntry, device: DeviceEntry
) -> dict[str, Any]:
    """Return what is known of one device, or of the brain."""
    whole = _found(hass, entry)
    ids = {value for domain, value in device.identifiers if domain == DOMAIN}
    if entry.data[CONF_INSTANCE_ID] in ids:
        return await cleaned(hass, entry, whole)
    part = {name: whole[name] for name in ("home_assistant", "brain", "health", "issues")}
    for name in ("devices", "providers"):
        part[name] = [item for item in whole[name] if item["id"] in ids]
    for name in ("subentries", "commands", "events", "jobs"):
        part[name] = [item for item in whole[name] if item[CONF_DEVICE_ID] in ids]
    return await cleaned(hass, entry, part)


def _found(hass: HomeAssistant, entry: KittyConfigEntry) -> Json:
    """Return the fields that are named here, as they are."""
    snapshot = entry.runtime_data.coordinator.data
    hello = entry.runtime_data.client.hello
    options = entry.options
    return {
        "home_assistant": __version__,
        "entry": {
            "source": entry.source,
            "state": entry.state.value,
            "url": _hidden_host(entry.data[CONF_URL]),
            "from_app": entry.data[CONF_SLUG] is not None,
        },
        "brain": {
            "version": hello.version if hello else None,
            "schema": hello.schema if hello else None,
            "connected": snapshot.connected,
        },
        "zones": dict(options.get(CONF_ZONES, {})),
        "policies": dict(options.get(CONF_POLICIES, {})),
        "people": [
            {
                "roles": person[CONF_ROLES],
                "has_email": bool(person.get(CONF_EMAIL)),
                "phones_chosen": len(person.get("notify") or ()),
            }
            for person in options.get(CONF_PEOPLE, {}).values()
        ],
        "presence": {
            zone_id: {
                "persons": len(sources.get(CONF_PERSONS) or ()),
                "occupancy": len(sources.get(CONF_OCCUPANCY) or ()),
            }
            for zone_id, sources in options.get(CONF_PRESENCE, {}).items()
        },
        "devices": [_device(device) for device in snapshot.devices.values()],
        "subentries": [
            _subentry(item.data) for item in entry.get_subentries_of_type(SUBENTRY_DEVICE)
        ],
        "providers": [_provider(view) for view in snapshot.providers.values()],
        "budget": _only(snapshot.budget, ("step", "currency", "day", "month")),
        "mind": _only(snapshot.mind, ("cache", "memories", "queue")),
        "commands": [_only(item, _COMMAND_FIELDS) for item in snapshot.commands.values()],
        "events": [_event(event) for event in snapshot.events.values()],
        "jobs": [_only(job, _JOB_FIELDS) for job in snapshot.jobs.values()],
        "health": dict(snapshot.health),
        "audit": _only(snapshot.audit, ("seq", "at")),
        "ledger": entry.runtime_data.ledger.summary(),
        "issues": [
            issue.translation_key
            for (domain, _), issue in ir.async_get(hass).issues.items()
            if domain == DOMAIN and issue.active
        ],
    }


async def cleaned(hass: HomeAssistant, entry: KittyConfigEntry, found: Json) -> Json:
    """Return a copy without secrets and names; the parts keep their own names."""
    secrets = await _secrets(hass, entry)
    return {name: _clean(part, secrets) for name, part in found.items()}


def _hidden_host(url: str) -> str:
    """Return how the brain is reached, but not where."""
    parsed = URL(url)
    return f"{parsed.scheme}://{REDACTED}:{parsed.port}"


def _only(item: Mapping[str, Any], fields: tuple[str, ...]) -> Json:
    """Return the named fields of something."""
    return {name: item[name] for name in fields if name in item}


def _device(device: Json) -> Json:
    """Return a device without its name, and its state without the name of a file."""
    state = device.get("state") or {}
    job = state.get("job") or {}
    return _only(device, _DEVICE_FIELDS) | {
        "state": _only(state, _STATE_FIELDS),
        "job": _only(job, ("progress", "elapsed_s", "remaining_s", "started_at", "error")),
    }


def _event(event: Json) -> Json:
    """Return a safety event with the number of people instead of the people."""
    return _only(event, _EVENT_FIELDS) | {
        "approved_by": len(event.get("approved_by") or ()),
        "denied": event.get("denied_by") is not None,
        "eligible": len(event.get("eligible") or ()),
    }


def _subentry(data: Mapping[str, Any]) -> Json:
    """Return how a device was added; of its options only what cannot be a secret."""
    return {
        **_only(data, (CONF_DEVICE_ID, CONF_DRIVER, CONF_ZONE_ID)),
        CONF_INFO: _only(data[CONF_INFO], _INFO_FIELDS),
        CONF_OPTIONS: {name: _harmless(value) for name, value in data[CONF_OPTIONS].items()},
    }


def _provider(view: Json) -> Json:
    """Return a provider without its name, its options and what it said about them."""
    trouble = view.get("trouble") or {}
    return _only(view, _PROVIDER_FIELDS) | {
        "trouble": trouble.get("code"),
        "breaker": _only(view.get("breaker") or {}, _BREAKER_FIELDS),
    }


def _harmless(value: Any) -> Any:
    """Return a switch or the id of an entity as it is, and stars for any other words or numbers."""
    if (
        value is None
        or isinstance(value, bool)
        or (isinstance(value, str) and valid_entity_id(value))
    ):
        return value
    return REDACTED


async def _secrets(hass: HomeAssistant, entry: KittyConfigEntry) -> list[str]:
    """Return every secret and name that Home Assistant knows of, longest first."""
    known = {entry.data[CONF_TOKEN], entry.data[CONF_BRAIN_PUBLIC_KEY]}
    for subentry in entry.get_subentries_of_type(SUBENTRY_DEVICE):
        for value in subentry.data[CONF_OPTIONS].values():
            if isinstance(value, str) and not valid_entity_id(value):
                known.add(value if len(value) >= _SHORTEST_OPTION else "")
    for event in entry.runtime_data.coordinator.data.events.values():
        known.update(str(event.get(name) or "") for name in ("nonce", "subject"))
    for person in entry.options.get(CONF_PEOPLE, {}).values():
        known.add(person.get(CONF_EMAIL) or "")
    for user in await hass.auth.async_get_users():
        # The names of users that the system made are words such as "Home" and "Supervisor".
        if user.system_generated:
            continue
        known.update((user.id, user.name or "", *(user.name or "").split()))
    for state in hass.states.async_all("person"):
        known.update((state.object_id, state.name, *state.name.split()))
    return sorted((text for text in known if len(text) >= _SHORTEST_NAME), key=len, reverse=True)


def _clean(value: Any, secrets: list[str]) -> Any:
    """Return a copy in which no text holds a secret, a name, or the password of an address."""
    if isinstance(value, Mapping):
        return {_clean(key, secrets): _clean(item, secrets) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(item, secrets) for item in value]
    if not isinstance(value, str):
        return value
    for secret in secrets:
        value = re.sub(rf"(?i)(?<![^\W_]){re.escape(secret)}(?![^\W_])", REDACTED, value)
    value = _USERINFO.sub(f"{REDACTED}@", value)
    value = _QUERY.sub(REDACTED, value)
    return _EMAIL.sub(REDACTED, value)
