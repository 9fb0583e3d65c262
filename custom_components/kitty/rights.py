"""Who may do what in the workshop: what touches a printer needs the right to control that printer."""

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from homeassistant.auth.models import User
from homeassistant.auth.permissions.const import POLICY_CONTROL, POLICY_READ
from homeassistant.core import ServiceCall, ServiceResponse
from homeassistant.exceptions import Unauthorized

from .actions import brain_entry, given, may, registry_id, tell, user_of_call
from .entries import loaded_brains
from .protocol import Json, Kind

if TYPE_CHECKING:
    from . import KittyConfigEntry


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
    user = await user_of_call(call)
    chosen = _printers(entry) if device_id is None else [device_id]
    allowed = [may_control(call, entry, user, one) for one in chosen]
    if not _trusted(user) and not (allowed and all(allowed)):
        raise Unauthorized(context=call.context, permission=POLICY_CONTROL)


async def require_worker(call: ServiceCall, entry: KittyConfigEntry) -> None:
    """Refuse who may control no printer at all."""
    user = await user_of_call(call)
    if not _trusted(user) and not any(
        may_control(call, entry, user, one) for one in _printers(entry)
    ):
        raise Unauthorized(context=call.context, permission=POLICY_CONTROL)


async def require_sight(call: ServiceCall, entry: KittyConfigEntry, device_id: str) -> None:
    """Refuse who may not even see a device."""
    user = await user_of_call(call)
    found = registry_id(call.hass, entry, device_id)
    if not _trusted(user) and not may(call.hass, user, found, POLICY_READ):
        raise Unauthorized(context=call.context, permission=POLICY_READ)


async def require_trust(call: ServiceCall) -> None:
    """Refuse whoever is neither an administrator nor an automation that nobody started."""
    if not _trusted(await user_of_call(call)):
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
    call: ServiceCall, entry: KittyConfigEntry, user: User | None, device_id: str
) -> bool:
    """Tell whether a user may control a device of the brain."""
    return may(call.hass, user, registry_id(call.hass, entry, device_id), POLICY_CONTROL)


def _trusted(user: User | None) -> bool:
    """Tell whether nothing is forbidden: to administrators, and to automations that nobody started."""
    return user is None or user.is_admin


def _printers(entry: KittyConfigEntry) -> list[str]:
    devices = entry.runtime_data.coordinator.data.devices
    return [key for key, device in devices.items() if device["kind"] == Kind.PRINTER]
