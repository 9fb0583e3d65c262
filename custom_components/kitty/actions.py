"""What all actions share: whom they are about, who may call them, and how the brain is asked."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from homeassistant.auth.models import User
from homeassistant.auth.permissions.const import POLICY_CONTROL
from homeassistant.const import ATTR_DEVICE_ID
from homeassistant.core import (
    HomeAssistant,
    ServiceCall,
    ServiceResponse,
    SupportsResponse,
)
from homeassistant.exceptions import Unauthorized, UnknownUser
from homeassistant.helpers import (
    config_validation as cv,
    device_registry as dr,
    entity_registry as er,
)
from homeassistant.helpers.service import (
    async_get_config_entry,
    async_get_device_and_config_entry,
)
import probatio as vol

from .const import DOMAIN
from .entries import has_brain
from .errors import Refused
from .origin import caller_from
from .protocol import Json

if TYPE_CHECKING:
    from . import KittyConfigEntry


ATTR_CONFIG_ENTRY_ID: Final = "config_entry_id"
ATTR_EVENT_ID: Final = "event_id"
ATTR_IDEMPOTENCY_KEY: Final = "idempotency_key"

# Entities by which a device is acted on; the right to control one of them is the right to ask.
_ACTING: Final = frozenset({"lock", "switch", "light", "button"})
ONLY: Final = SupportsResponse.ONLY


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A device that an action is about."""

    entry: KittyConfigEntry
    device_id: str
    registry_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One action: its name, what it takes, what runs, and who may call it."""

    name: str
    run: Callable[[ServiceCall], Coroutine[Any, Any, ServiceResponse]]
    schema: dict[Any, Any]
    response: SupportsResponse = SupportsResponse.OPTIONAL
    admin: bool = False
    check: Callable[[dict[str, Any]], dict[str, Any]] | None = None


def one_device(value: Any) -> str:
    """Take one device, also from a target, which is a list."""
    devices = cv.ensure_list(value)
    if len(devices) != 1 or not isinstance(devices[0], str):
        raise vol.Invalid("exactly one device is needed")
    return devices[0]


DEVICE: Final[dict[Any, Any]] = {vol.Required(ATTR_DEVICE_ID): one_device}
ENTRY: Final[dict[Any, Any]] = {vol.Optional(ATTR_CONFIG_ENTRY_ID): cv.string}


def paging(limit: int = 50, most: int = 200) -> dict[Any, Any]:
    """Return the fields by which a list of a brain is read page by page."""
    return {
        **ENTRY,
        vol.Optional("limit", default=limit): vol.All(vol.Coerce(int), vol.Range(min=1, max=most)),
        vol.Optional("cursor"): vol.All(cv.string, vol.Length(min=1, max=64)),
    }


# A file of Home Assistant: in an allowed folder, or of a media source.
SOURCE: Final[dict[Any, Any]] = {
    vol.Exclusive("path", "source"): cv.string,
    vol.Exclusive("media", "source"): vol.Any(
        cv.string, vol.Schema({vol.Required("media_content_id"): cv.string}, extra=vol.ALLOW_EXTRA)
    ),
}


async def user_of_call(call: ServiceCall) -> User | None:
    """Return the user who calls, or None for an automation that nobody started."""
    if call.context.user_id is None:
        return None
    user = await call.hass.auth.async_get_user(call.context.user_id)
    if user is None:
        raise UnknownUser(context=call.context)
    return user


def user_of_person(hass: HomeAssistant, entity_id: str) -> str:
    """Return the user of a person entity."""
    state = hass.states.get(entity_id)
    user_id: str | None = state.attributes.get("user_id") if state else None
    if user_id is None:
        raise Refused("person_without_user", person=entity_id)
    return user_id


def may(hass: HomeAssistant, user: User | None, registry_id: str, policy: str) -> bool:
    """Tell whether a user may see or control a device, by the rights on its entities."""
    if user is None:
        return True
    entities = [
        entity
        for entity in er.async_entries_for_device(er.async_get(hass), registry_id)
        if entity.platform == DOMAIN
    ]
    if policy == POLICY_CONTROL:
        entities = [entity for entity in entities if entity.domain in _ACTING] or entities
    return any(user.permissions.check_entity(entity.entity_id, policy) for entity in entities)


async def controlled(call: ServiceCall) -> Target:
    """Return the device of a call whose caller may control it."""
    target = device_of(call)
    await require_control(call, target)
    return target


def device_of(call: ServiceCall, field: str = ATTR_DEVICE_ID) -> Target:
    """Return the device that a field of a call names; Refused ``unknown_device``."""
    device, entry = async_get_device_and_config_entry(
        call.hass, DOMAIN, call.data[field], include_child_devices=False
    )
    entry = cast("KittyConfigEntry", entry)
    devices = entry.runtime_data.coordinator.data.devices
    for domain, device_id in device.identifiers:
        if domain == DOMAIN and device_id in devices:
            return Target(entry=entry, device_id=device_id, registry_id=device.id)
    raise Refused("unknown_device", device=device.name_by_user or device.name or device.id)


async def require_control(call: ServiceCall, target: Target) -> None:
    """Refuse a user who may not control the device."""
    if not may(call.hass, await user_of_call(call), target.registry_id, POLICY_CONTROL):
        raise Unauthorized(context=call.context, permission=POLICY_CONTROL)


def registry_id(hass: HomeAssistant, entry: KittyConfigEntry, device_id: str) -> str:
    """Return Home Assistant's id of a device; empty when it has none."""
    registered = dr.async_get(hass).async_get_device_by_identifier(
        (DOMAIN, device_id), entry.entry_id
    )
    return registered.id if registered else ""


def brain_entry(call: ServiceCall) -> KittyConfigEntry:
    """Return the brain that a call is about: the one that is named, or the only one."""
    entry = async_get_config_entry(call.hass, DOMAIN, call.data.get(ATTR_CONFIG_ENTRY_ID))
    if not has_brain(entry):
        raise Refused("no_brain")
    return cast("KittyConfigEntry", entry)


async def answer(call: ServiceCall, action: str, params: Json) -> ServiceResponse:
    """Return the brain's answer to a command in the name of the caller."""
    return await tell(call, brain_entry(call), action, params)


async def tell(
    call: ServiceCall, entry: KittyConfigEntry, action: str, params: Json, **more: Any
) -> Json:
    """Return the answer of one brain to a command in the name of the caller."""
    caller = await caller_from(call.hass, call.context)
    told: Json = await entry.runtime_data.client.command(action, params, caller=caller, **more)
    return told


def hands_on(
    action: str, *names: str
) -> Callable[[ServiceCall], Coroutine[Any, Any, ServiceResponse]]:
    """Return an action that hands what it is given to one of the brain's commands."""

    async def run(call: ServiceCall) -> ServiceResponse:
        return await answer(call, action, given(call, *names))

    return run


def given(call: ServiceCall, *names: str) -> Json:
    """Return those fields of a call that were filled in."""
    return {name: call.data[name] for name in names if name in call.data}
