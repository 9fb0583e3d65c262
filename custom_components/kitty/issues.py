"""Repair issues: what is wrong, told once and taken back when it is well again."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from homeassistant.components.homeassistant.exposed_entities import (
    KNOWN_ASSISTANTS,
    async_get_assistant_settings,
    async_listen_entity_updates,
    async_should_expose,
)
from homeassistant.config_entries import ConfigEntry
from homeassistant.const import CONF_URL, Platform
from homeassistant.core import (
    CALLBACK_TYPE,
    Event,
    HomeAssistant,
    callback,
    split_entity_id,
    valid_entity_id,
)
from homeassistant.helpers import area_registry as ar, entity_registry as er, issue_registry as ir
from homeassistant.helpers.start import async_at_started
from homeassistant.helpers.translation import async_get_cached_translations

from .const import (
    APPROVAL_KEYS,
    CONF_HAZARD_LEVEL,
    CONF_INFO,
    CONF_OPTIONS,
    CONF_PEOPLE,
    CONF_POLICIES,
    CONF_REQUIRED_ROLES,
    CONF_REQUIRES_DUAL_CONFIRM,
    CONF_ROLES,
    CONF_VOICE_MAY_CONFIRM,
    CONF_ZONE_ID,
    CONF_ZONES,
    DOMAIN,
    SUBENTRY_DEVICE,
)
from .origin import person
from .protocol import INTENTS, Hazard, Json, Role, people_needed

AREA_UNSET: Final = "area_unset"
AUDIT_ROLLBACK: Final = "audit_rollback"
BRAIN_RESTARTS: Final = "brain_restarts"
BRAIN_TOO_NEW: Final = "brain_too_new"
BRAIN_TOO_OLD: Final = "brain_too_old"
BRAIN_UNREACHABLE: Final = "brain_unreachable"
BUDGET_EXHAUSTED: Final = "budget_exhausted"
CAMERA_BLIND: Final = "camera_blind"
CLOCK_SKEW: Final = "clock_skew"
EMAIL_TAKEN: Final = "email_taken"
EXPOSED_APPROVAL: Final = "exposed_approval"
EXPOSED_RAW_ENTITY: Final = "exposed_raw_entity"
MODEL_MISSING: Final = "model_missing"
MODEL_TOO_LARGE: Final = "model_too_large"
NO_APPROVER: Final = "no_approver"
PART_ILL: Final = "part_ill"
PAIRING_REFUSED: Final = "pairing_refused"
PRINTER_OFFLINE: Final = "printer_offline"
PRINTER_READ_ONLY: Final = "printer_read_only"
PRINTER_TROUBLE: Final = "printer_trouble"
PROVIDER_ILL: Final = "provider_ill"
PROVIDER_KEY_REFUSED: Final = "provider_key_refused"
ROGUE_DISCOVERY: Final = "rogue_discovery"
SPOOL_SHORT: Final = "spool_short"
JOB_OVERDUE: Final = "job_overdue"
DEAD_LETTERS: Final = "dead_letters"
UNKNOWN_OUTCOME: Final = "unknown_outcome"

# What ails a provider, by the code of its trouble; and the details that the words then need.
_ILLNESSES: Final = {
    "model_missing": (MODEL_MISSING, ("expected", "found")),
    "model_too_large": (MODEL_TOO_LARGE, ("needs_mb", "free_mb")),
    "provider_auth": (PROVIDER_KEY_REFUSED, ()),
}
PROVIDER_KINDS: Final = (PROVIDER_ILL, PROVIDER_KEY_REFUSED, MODEL_MISSING, MODEL_TOO_LARGE)

ASSIST: Final = "conversation"

# Entities of these domains only show something; exposing one bypasses nothing.
_READ_ONLY: Final = frozenset(
    {Platform.BINARY_SENSOR, Platform.CAMERA, Platform.EVENT, Platform.IMAGE, Platform.SENSOR}
)

type IssueData = Mapping[str, str | int | float | None]
type Entry = ConfigEntry[Any]


def _issue_id(kind: str, *parts: str) -> str:
    """Return the id of an issue: its kind, the config entry, and what it is about."""
    return ".".join((kind, *parts))


def _create(
    hass: HomeAssistant,
    kind: str,
    parts: tuple[str, ...],
    placeholders: dict[str, str],
    *,
    data: dict[str, str | int | float | None] | None = None,
    severity: ir.IssueSeverity = ir.IssueSeverity.ERROR,
    persistent: bool = False,
) -> None:
    """Create an issue; with ``data`` it has a fix flow."""
    ir.async_create_issue(
        hass,
        DOMAIN,
        _issue_id(kind, *parts),
        data=None if data is None else {"kind": kind, **data},
        is_fixable=data is not None,
        is_persistent=persistent,
        severity=severity,
        translation_key=kind,
        translation_placeholders=placeholders,
    )


def _delete(hass: HomeAssistant, kind: str, *parts: str) -> None:
    """Delete an issue if it is there."""
    ir.async_delete_issue(hass, DOMAIN, _issue_id(kind, *parts))


@callback
def create_brain_unreachable(hass: HomeAssistant, entry: Entry) -> None:
    """Say that the brain does not answer; the fix opens the form with its address."""
    _create(
        hass,
        BRAIN_UNREACHABLE,
        (entry.entry_id,),
        {"name": entry.title, "url": entry.data[CONF_URL]},
        data={"entry_id": entry.entry_id},
    )


@callback
def delete_brain_unreachable(hass: HomeAssistant, entry: Entry) -> None:
    """Say that the brain answers again."""
    _delete(hass, BRAIN_UNREACHABLE, entry.entry_id)


@callback
def create_pairing_refused(hass: HomeAssistant, entry: Entry) -> None:
    """Say that the brain is paired with another Home Assistant, so that it believes nobody here."""
    _create(hass, PAIRING_REFUSED, (entry.entry_id,), {"name": entry.title})


@callback
def delete_pairing_refused(hass: HomeAssistant, entry: Entry) -> None:
    """Say that the brain takes our signature."""
    _delete(hass, PAIRING_REFUSED, entry.entry_id)


@callback
def create_version_skew(hass: HomeAssistant, entry: Entry, *, brain_is_older: bool) -> None:
    """Say which of the two must be updated, because they share no version of the wire."""
    kind, other = BRAIN_TOO_NEW, BRAIN_TOO_OLD
    if brain_is_older:
        kind, other = other, kind
    _delete(hass, other, entry.entry_id)
    _create(hass, kind, (entry.entry_id,), {"name": entry.title})


@callback
def delete_version_skew(hass: HomeAssistant, entry: Entry) -> None:
    """Say that brain and integration understand each other again."""
    _delete(hass, BRAIN_TOO_NEW, entry.entry_id)
    _delete(hass, BRAIN_TOO_OLD, entry.entry_id)


@callback
def has_version_skew(hass: HomeAssistant, entry: Entry) -> bool:
    """Tell whether one of the two must be updated before they understand each other."""
    known = ir.async_get(hass)
    found = (
        known.async_get_issue(DOMAIN, _issue_id(kind, entry.entry_id))
        for kind in (BRAIN_TOO_NEW, BRAIN_TOO_OLD)
    )
    # Those of before a restart are kept, but say nothing of now.
    return any(issue is not None and issue.active for issue in found)


@callback
def create_clock_skew(hass: HomeAssistant, entry: Entry) -> None:
    """Say that the brain takes what was decided just now for old, so that nobody can approve anything."""
    _create(hass, CLOCK_SKEW, (entry.entry_id,), {"name": entry.title})


@callback
def delete_clock_skew(hass: HomeAssistant, entry: Entry) -> None:
    """Say that the brain takes decisions again."""
    _delete(hass, CLOCK_SKEW, entry.entry_id)


@callback
def create_unknown_outcome(
    hass: HomeAssistant, entry: Entry, *, command_id: str, device_name: str, intent: str
) -> None:
    """Ask a person to look whether a command was carried out; only a person may settle it."""
    words = async_get_cached_translations(hass, hass.config.language, "selector", DOMAIN)
    deed = words.get(f"component.{DOMAIN}.selector.intent.options.{intent}", intent)
    _create(
        hass,
        UNKNOWN_OUTCOME,
        (entry.entry_id, command_id),
        {"device": device_name, "intent": deed},
        data={
            "entry_id": entry.entry_id,
            "command_id": command_id,
            "device": device_name,
            "intent": deed,
        },
        severity=ir.IssueSeverity.WARNING,
    )


@callback
def delete_unknown_outcome(hass: HomeAssistant, entry: Entry, *, command_id: str) -> None:
    """Say that the outcome of a command is known."""
    _delete(hass, UNKNOWN_OUTCOME, entry.entry_id, command_id)


@callback
def create_no_approver(hass: HomeAssistant, entry: Entry, *, zone_id: str) -> None:
    """Say that too few people can approve anything in an area; the fix opens the options."""
    area = ar.async_get(hass).async_get_area(zone_id)
    _create(
        hass,
        NO_APPROVER,
        (entry.entry_id, zone_id),
        {"area": area.name if area else zone_id},
        data={"entry_id": entry.entry_id, "area": area.name if area else zone_id},
    )


@callback
def report_email_taken(hass: HomeAssistant, entry: Entry, names: Mapping[str, str]) -> None:
    """Have exactly one issue for each user, by id, who was left out because of their address."""
    for user_id, name in names.items():
        _create(hass, EMAIL_TAKEN, (entry.entry_id, user_id), {"person": name})
    _delete_others(hass, _issue_id(EMAIL_TAKEN, entry.entry_id), set(names))


@callback
def create_audit_rollback(hass: HomeAssistant, entry: Entry, *, seq: int) -> None:
    """Say that the brain's record no longer holds what Home Assistant saw in it at row ``seq``."""
    _create(
        hass,
        AUDIT_ROLLBACK,
        (entry.entry_id,),
        {"name": entry.title, "seq": str(seq)},
        data={"entry_id": entry.entry_id, "name": entry.title, "seq": seq},
        severity=ir.IssueSeverity.CRITICAL,
        persistent=True,
    )


@callback
def delete_audit_rollback(hass: HomeAssistant, entry: Entry) -> None:
    """Say that the brain's record is whole."""
    _delete(hass, AUDIT_ROLLBACK, entry.entry_id)


@callback
def create_rogue_discovery(hass: HomeAssistant, entry: Entry, *, app: str, slug: str) -> None:
    """Say that an app pretended to be the brain; it was refused."""
    _create(
        hass,
        ROGUE_DISCOVERY,
        (entry.entry_id, slug),
        {"name": entry.title, "app": app, "slug": slug},
        data={"entry_id": entry.entry_id, "name": entry.title, "app": app, "slug": slug},
        severity=ir.IssueSeverity.CRITICAL,
        persistent=True,
    )


@callback
def create_provider_ill(
    hass: HomeAssistant, entry: Entry, *, subentry_id: str, name: str, trouble: Json
) -> None:
    """Say what ails a language model or tool server; the fix opens its form."""
    kind, needed = _ILLNESSES.get(str(trouble["code"]), (PROVIDER_ILL, ()))
    details: Json = trouble.get("details") or {}
    if not set(needed) <= details.keys():
        kind, needed = PROVIDER_ILL, ()
    words = {"name": name, "error": str(trouble["message"])}
    words |= {key: _listed(details[key]) for key in needed}
    for other in PROVIDER_KINDS:
        if other != kind:
            _delete(hass, other, entry.entry_id, subentry_id)
    data: dict[str, str | int | float | None] = {"entry_id": entry.entry_id, **words}
    data["subentry_id"] = subentry_id
    _create(
        hass,
        kind,
        (entry.entry_id, subentry_id),
        words,
        data=data,
        severity=ir.IssueSeverity.WARNING,
    )


def _listed(value: Any) -> str:
    """Return one or more things as people read them."""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


@callback
def delete_provider_ill(hass: HomeAssistant, entry: Entry, *, subentry_id: str) -> None:
    """Say that a language model or tool server does its work."""
    for kind in PROVIDER_KINDS:
        _delete(hass, kind, entry.entry_id, subentry_id)


@callback
def keep_providers_ill(hass: HomeAssistant, entry: Entry, subentry_ids: set[str]) -> None:
    """Take back what was said about any but these."""
    for kind in PROVIDER_KINDS:
        _delete_others(hass, _issue_id(kind, entry.entry_id), subentry_ids)


@callback
def is_provider_ill(hass: HomeAssistant, entry: Entry, *, subentry_id: str) -> bool:
    """Tell whether people know already that a provider is ill."""
    registry = ir.async_get(hass)
    return any(
        registry.async_get_issue(DOMAIN, _issue_id(kind, entry.entry_id, subentry_id))
        for kind in PROVIDER_KINDS
    )


@callback
def create_budget_exhausted(
    hass: HomeAssistant, entry: Entry, *, spent: float, cap: float, currency: str
) -> None:
    """Say that nothing more may be spent on models; only those that are free are asked."""
    amounts = {"spent": f"{spent:.2f}", "cap": f"{cap:.2f}", "currency": currency}
    _create(
        hass,
        BUDGET_EXHAUSTED,
        (entry.entry_id,),
        {"name": entry.title, **amounts},
        severity=ir.IssueSeverity.WARNING,
    )


@callback
def delete_budget_exhausted(hass: HomeAssistant, entry: Entry) -> None:
    """Say that there is money again."""
    _delete(hass, BUDGET_EXHAUSTED, entry.entry_id)


@callback
def report_warnings(
    hass: HomeAssistant, entry: Entry, kind: str, found: Mapping[str, dict[str, str]]
) -> None:
    """Have exactly one warning of a kind, which goes away by itself, for each thing that was found."""
    for about, words in found.items():
        _create(hass, kind, (entry.entry_id, about), words, severity=ir.IssueSeverity.WARNING)
    _delete_others(hass, _issue_id(kind, entry.entry_id), set(found))


@callback
def delete_all(hass: HomeAssistant, entry: Entry) -> None:
    """Delete every issue of an entry that is removed; some outlive restarts."""
    for domain, issue_id in list(ir.async_get(hass).issues):
        if domain == DOMAIN and issue_id.split(".")[1] == entry.entry_id:
            ir.async_delete_issue(hass, DOMAIN, issue_id)


async def async_check_rules(hass: HomeAssistant, entry: Entry) -> None:
    """Raise or clear the issue of each area in which devices can do nothing, for want of rules or people."""
    _check_areas(hass, entry)
    holders = {
        user_id: set(settings[CONF_ROLES])
        for user_id, settings in entry.options.get(CONF_PEOPLE, {}).items()
        if await person(hass, user_id)
    }
    policies = entry.options.get(CONF_POLICIES, {})
    short = set()
    for zone_id, zone in entry.options.get(CONF_ZONES, {}).items():
        policy = policies.get(zone_id, {})
        needed = set(policy.get(CONF_REQUIRED_ROLES, Role))
        able = [user_id for user_id, roles in holders.items() if roles & needed]
        if len(able) < _people_needed(zone, policy):
            short.add(zone_id)
            create_no_approver(hass, entry, zone_id=zone_id)
    _delete_others(hass, _issue_id(NO_APPROVER, entry.entry_id), short)


def _people_needed(zone: Json, policy: Json) -> int:
    """Return how many people an area must trust, so that anything dangerous can be approved there."""
    level = Hazard.HIGH if zone[CONF_HAZARD_LEVEL] == Hazard.HIGH else Hazard.MEDIUM
    dual = bool(policy.get(CONF_REQUIRES_DUAL_CONFIRM))
    needed = people_needed(level, dual_confirm=dual)
    return 0 if needed == 1 and policy.get(CONF_VOICE_MAY_CONFIRM) else needed


@callback
def _check_areas(hass: HomeAssistant, entry: Entry) -> None:
    """Have exactly one issue for each area with guarded devices of which nobody said how dangerous it is."""
    areas = ar.async_get(hass)
    unset: dict[str, list[str]] = {}
    for title, data in _guarded(entry):
        if data[CONF_ZONE_ID] not in entry.options.get(CONF_ZONES, {}):
            unset.setdefault(data[CONF_ZONE_ID], []).append(title)
    told = set()
    for zone_id, titles in unset.items():
        if area := areas.async_get_area(zone_id):
            told.add(zone_id)
            words = {"area": area.name, "devices": ", ".join(titles)}
            _create(
                hass,
                AREA_UNSET,
                (entry.entry_id, zone_id),
                words,
                data={"entry_id": entry.entry_id, **words},
            )
    _delete_others(hass, _issue_id(AREA_UNSET, entry.entry_id), told)


def _delete_others(hass: HomeAssistant, prefix: str, keep: set[str]) -> None:
    """Delete the issues below a prefix except those whose last part is to be kept."""
    for domain, issue_id in list(ir.async_get(hass).issues):
        kind, below, about = issue_id.partition(f"{prefix}.")
        if domain == DOMAIN and below and not kind and about not in keep:
            ir.async_delete_issue(hass, DOMAIN, issue_id)


def raw_entities(entry: Entry) -> Iterator[tuple[str, str]]:
    """Yield each entity that acts on a guarded device directly, with the device's name."""
    for title, data in _guarded(entry):
        for value in data[CONF_OPTIONS].values():
            entity_id = value if isinstance(value, str) and valid_entity_id(value) else ""
            if entity_id and split_entity_id(entity_id)[0] not in _READ_ONLY:
                yield entity_id, title


def _guarded(entry: Entry) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield name and data of each device that can do something dangerous."""
    for subentry in entry.subentries.values():
        if subentry.subentry_type != SUBENTRY_DEVICE:
            continue
        intents = [INTENTS.get(name) for name in subentry.data[CONF_INFO].get("capabilities", ())]
        if any(intent is None or intent.hazard is not Hazard.LOW for intent in intents):
            yield subentry.title, subentry.data


@callback
def async_scan_exposed(hass: HomeAssistant, entry: Entry) -> None:
    """Raise or clear an issue for each entity that lets an assistant go round the gate."""
    raw = {
        entity_id: {"entity_id": entity_id, "device": name}
        for entity_id, name in raw_entities(entry)
        if _exposed(hass, entity_id)
    }
    _report(hass, entry, EXPOSED_RAW_ENTITY, raw)
    buttons = {
        item.entity_id: {"entity_id": item.entity_id}
        for item in er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id)
        if item.translation_key in APPROVAL_KEYS and _exposed(hass, item.entity_id)
    }
    _report(hass, entry, EXPOSED_APPROVAL, buttons)


def _report(hass: HomeAssistant, entry: Entry, kind: str, found: dict[str, dict[str, str]]) -> None:
    """Have exactly one issue of a kind for each entity that was found."""
    for entity_id, words in found.items():
        _create(hass, kind, (entry.entry_id, entity_id), words, data={**words})
    _delete_others(hass, _issue_id(kind, entry.entry_id), set(found))


def _exposed(hass: HomeAssistant, entity_id: str) -> bool:
    """Tell whether a voice may use an entity; one of the cloud only where a person said so."""
    known = er.async_get(hass).async_get(entity_id) or hass.states.get(entity_id)
    if known is not None and async_should_expose(hass, ASSIST, entity_id):
        return True
    return any(
        async_get_assistant_settings(hass, name).get(entity_id, {}).get("should_expose")
        for name in KNOWN_ASSISTANTS
    )


@callback
def async_watch_exposed(hass: HomeAssistant, entry: Entry) -> CALLBACK_TYPE:
    """Scan now, and again whenever an exposure or one of the entities changes; returns the end."""

    @callback
    def scan(_hass: HomeAssistant | None = None) -> None:
        async_scan_exposed(hass, entry)

    @callback
    def registry_changed(event: Event[er.EventEntityRegistryUpdatedData]) -> None:
        entity_id = event.data["entity_id"]
        item = er.async_get(hass).async_get(entity_id)
        ours = item is not None and item.config_entry_id == entry.entry_id
        if ours or any(entity_id == raw for raw, _name in raw_entities(entry)):
            scan()

    ends = [async_listen_entity_updates(hass, name, scan) for name in KNOWN_ASSISTANTS]
    ends.append(hass.bus.async_listen(er.EVENT_ENTITY_REGISTRY_UPDATED, registry_changed))
    # Entities without registration are only there when everything has started.
    ends.append(async_at_started(hass, scan))
    scan()

    @callback
    def stop() -> None:
        for end in ends:
            end()

    return stop
