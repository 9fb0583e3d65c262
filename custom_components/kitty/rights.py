"""Who may do what in the workshop: what touches a printer needs the right to control that printer."""

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from homeassistant.auth.models import User
from homeassistant.auth.permissions.const import POLICY_CONTROL, POLICY_READ
from homeassistant.core import HomeAssistant, ServiceCall, ServiceResponse
from homeassistant.exceptions import Unauthorized

from .actions import brain_entry, given, may, registry_id, tell, user_of_call
from .const import CONF_PEOPLE, CONF_ROLES
from .entries import loaded_brains
from .protocol import Json, Kind, Role

if TYPE_CHECKING:
    from . import KittyConfigEntry


# Who in the workshop has a say over what another person wanted.
_OVER_OTHERS: Final = frozenset({Role.ADMIN, Role.ENGINEER})


def brain_with(call: ServiceCall, part: str, key: str) -> KittyConfigEntry:
    """Return the brain whose part of the snapshot holds this; else the one that the call is about."""
    for entry in loaded_brains(call.hass):
        if key in getattr(entry.runtime_data.coordinator.data, part):
            return entry
    return brain_entry(call)


async def require_printer(
    call: ServiceCall, entry: KittyConfigEntry, device_id: str | None
) -> None:
    """Refuse who may not control a printer; None stands for any of them, so all must be allowed."""
    if not may_print_on(call.hass, entry, await user_of_call(call), device_id):
        raise Unauthorized(context=call.context, permission=POLICY_CONTROL)


async def require_worker(call: ServiceCall, entry: KittyConfigEntry) -> None:
    """Refuse who may control no printer at all."""
    if not may_work(call.hass, entry, await user_of_call(call)):
        raise Unauthorized(context=call.context, permission=POLICY_CONTROL)


async def require_sight(call: ServiceCall, entry: KittyConfigEntry, device_id: str) -> None:
    """Refuse who may not even see a device."""
    if not sees(call, entry, await user_of_call(call), device_id):
        raise Unauthorized(context=call.context, permission=POLICY_READ)


async def require_onlooker(call: ServiceCall, entry: KittyConfigEntry) -> None:
    """Refuse who may not see any printer."""
    user = await user_of_call(call)
    if not _trusted(user) and not any(sees(call, entry, user, one) for one in _printers(entry)):
        raise Unauthorized(context=call.context, permission=POLICY_READ)


async def require_trust(call: ServiceCall) -> None:
    """Refuse whoever is neither an administrator nor an automation that nobody started."""
    if not _trusted(await user_of_call(call)):
        raise Unauthorized(context=call.context)


async def require_own(call: ServiceCall, entry: KittyConfigEntry, owner: str | None) -> None:
    """Refuse who has no say over what somebody wanted; see :func:`has_say`."""
    if not has_say(entry, await user_of_call(call), owner):
        raise Unauthorized(context=call.context)


def worker_hands_on(
    action: str, *names: str
) -> Callable[[ServiceCall], Coroutine[Any, Any, ServiceResponse]]:
    """Return an action of those who control a printer, handed on to one of the brain's commands."""

    async def run(call: ServiceCall) -> ServiceResponse:
        entry = brain_entry(call)
        await require_worker(call, entry)
        return await tell(call, entry, action, given(call, *names))

    return run


async def every_item(
    call: ServiceCall, entry: KittyConfigEntry, action: str, params: Json | None = None
) -> list[Json]:
    """Return a list of the brain as a whole, however many pages it has."""
    found: list[Json] = []
    page: Json = dict(params or {})
    while True:
        told = await tell(call, entry, action, page)
        found += told["items"]
        if not told.get("cursor"):
            return found
        page["cursor"] = told["cursor"]


def may_control(
    hass: HomeAssistant, entry: KittyConfigEntry, user: User | None, device_id: str
) -> bool:
    """Tell whether a user may control a device of the brain."""
    return may(hass, user, registry_id(hass, entry, device_id), POLICY_CONTROL)


def may_print_on(
    hass: HomeAssistant, entry: KittyConfigEntry, user: User | None, device_id: str | None
) -> bool:
    """Tell whether a user may control a printer; None stands for any of them, so all must be allowed."""
    chosen = _printers(entry) if device_id is None else [device_id]
    allowed = [may_control(hass, entry, user, one) for one in chosen]
    return _trusted(user) or (bool(allowed) and all(allowed))


def may_work(hass: HomeAssistant, entry: KittyConfigEntry, user: User | None) -> bool:
    """Tell whether a user may control any printer at all."""
    return _trusted(user) or any(may_control(hass, entry, user, one) for one in _printers(entry))


def sees(call: ServiceCall, entry: KittyConfigEntry, user: User | None, device_id: str) -> bool:
    """Tell whether a user may see a device of the brain; one that is gone only who is trusted."""
    found = registry_id(call.hass, entry, device_id)
    return _trusted(user) or may(call.hass, user, found, POLICY_READ)


def has_say(entry: KittyConfigEntry, user: User | None, owner: str | None) -> bool:
    """Tell whether a user may end or renew what somebody wanted: their own, and the house's, which has no owner."""
    return user is None or owner in (None, user.id) or may_overrule(entry, user)


def may_overrule(entry: KittyConfigEntry, user: User) -> bool:
    """Tell whether a user has that say over others: administrators, engineers and administrators of the workshop."""
    return user.is_admin or not _OVER_OTHERS.isdisjoint(_roles(entry, user))


def may_decide(entry: KittyConfigEntry, user: User) -> bool:
    """Tell whether a user agrees to goals or does not: whoever has any role in the workshop."""
    return bool(_roles(entry, user))


def _roles(entry: KittyConfigEntry, user: User) -> list[str]:
    roles: list[str] = entry.options.get(CONF_PEOPLE, {}).get(user.id, {}).get(CONF_ROLES, [])
    return roles


def _trusted(user: User | None) -> bool:
    """Tell whether nothing is forbidden: to administrators, and to automations that nobody started."""
    return user is None or user.is_admin


def _printers(entry: KittyConfigEntry) -> list[str]:
    devices = entry.runtime_data.coordinator.data.devices
    return [key for key, device in devices.items() if device["kind"] == Kind.PRINTER]
