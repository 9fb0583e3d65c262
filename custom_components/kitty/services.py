"""The actions that scripts, automations and people call; each checks what the caller may touch."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
import time
from typing import TYPE_CHECKING, Any, Final, cast

from homeassistant.auth.models import User
from homeassistant.auth.permissions.const import POLICY_CONTROL, POLICY_READ
from homeassistant.components.conversation import async_converse
from homeassistant.const import ATTR_DEVICE_ID
from homeassistant.core import (
    HomeAssistant,
    ServiceCall,
    ServiceResponse,
    SupportsResponse,
    callback,
)
from homeassistant.exceptions import Unauthorized, UnknownUser
from homeassistant.helpers import (
    area_registry as ar,
    config_validation as cv,
    device_registry as dr,
    entity_registry as er,
)
from homeassistant.helpers.service import (
    async_get_config_entry,
    async_get_device_and_config_entry,
    async_register_admin_service,
)
import probatio as vol

from .const import CONF_INSTANCE_ID, DOMAIN
from .entity import person_name
from .entries import has_brain, loaded_brains
from .errors import KittyError, Refused
from .origin import caller_from
from .protocol import INTENTS, EventStatus, Json, PresenceSource, PresenceStatus
from .uploads import upload

if TYPE_CHECKING:
    from . import KittyConfigEntry

ATTR_CONFIG_ENTRY_ID: Final = "config_entry_id"
ATTR_EVENT_ID: Final = "event_id"
ATTR_IDEMPOTENCY_KEY: Final = "idempotency_key"
ATTR_PPE: Final = "ppe"

# Entities by which a device is acted on; the right to control one of them is the right to ask.
_ACTING: Final = frozenset({"lock", "switch", "light", "button"})


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


def _one(value: Any) -> str:
    """Take one device, also from a target, which is a list."""
    devices = cv.ensure_list(value)
    if len(devices) != 1 or not isinstance(devices[0], str):
        raise vol.Invalid("exactly one device is needed")
    return devices[0]


_DEVICE: Final = {vol.Required(ATTR_DEVICE_ID): _one}
_EVENT: Final = {vol.Required(ATTR_EVENT_ID): cv.string}
_ENTRY: Final = {vol.Optional(ATTR_CONFIG_ENTRY_ID): cv.string}
_FILE_SOURCE: Final = {
    vol.Exclusive("path", "source"): cv.string,
    vol.Exclusive("media", "source"): vol.Any(
        cv.string, vol.Schema({vol.Required("media_content_id"): cv.string}, extra=vol.ALLOW_EXTRA)
    ),
    vol.Optional("name"): cv.string,
}


@callback
def async_setup_services(hass: HomeAssistant) -> None:
    """Register every action, once for all entries."""
    for action in ACTIONS:
        schema: Any = vol.Schema(action.schema)
        if action.check is not None:
            schema = vol.All(schema, action.check)
        if action.admin:
            async_register_admin_service(
                hass, DOMAIN, action.name, action.run, schema, action.response
            )
        else:
            hass.services.async_register(DOMAIN, action.name, action.run, schema, action.response)


async def _user(call: ServiceCall) -> User | None:
    """Return the user who calls, or None for an automation that nobody started."""
    if call.context.user_id is None:
        return None
    user = await call.hass.auth.async_get_user(call.context.user_id)
    if user is None:
        raise UnknownUser(context=call.context)
    return user


def _may(hass: HomeAssistant, user: User | None, registry_id: str, policy: str) -> bool:
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


async def _controlled(call: ServiceCall) -> Target:
    """Return the device of a call whose caller may control it."""
    device, entry = async_get_device_and_config_entry(
        call.hass, DOMAIN, call.data[ATTR_DEVICE_ID], include_child_devices=False
    )
    entry = cast("KittyConfigEntry", entry)
    devices = entry.runtime_data.coordinator.data.devices
    for domain, device_id in device.identifiers:
        if domain == DOMAIN and device_id in devices:
            target = Target(entry=entry, device_id=device_id, registry_id=device.id)
            await _require_control(call, target)
            return target
    raise Refused("unknown_device", device=device.name_by_user or device.name or device.id)


async def _require_control(call: ServiceCall, target: Target) -> None:
    """Refuse a user who may not control the device."""
    if not _may(call.hass, await _user(call), target.registry_id, POLICY_CONTROL):
        raise Unauthorized(context=call.context, permission=POLICY_CONTROL)


def _registry_id(hass: HomeAssistant, entry: KittyConfigEntry, device_id: str) -> str:
    """Return Home Assistant's id of a device; empty when it has none."""
    registered = dr.async_get(hass).async_get_device_by_identifier(
        (DOMAIN, device_id), entry.entry_id
    )
    return registered.id if registered else ""


async def _open_event(call: ServiceCall) -> tuple[Target, Json]:
    """Return the safety event of a call whose caller may control its device."""
    event_id = call.data[ATTR_EVENT_ID]
    for entry in loaded_brains(call.hass):
        event = entry.runtime_data.coordinator.data.events.get(event_id)
        if event is not None:
            device_id = event["device_id"]
            target = Target(
                entry=entry,
                device_id=device_id,
                registry_id=_registry_id(call.hass, entry, device_id),
            )
            await _require_control(call, target)
            return target, event
    raise Refused("unknown_event")


def _entry(call: ServiceCall) -> KittyConfigEntry:
    """Return the brain that a call is about: the one that is named, or the only one."""
    entry = async_get_config_entry(call.hass, DOMAIN, call.data.get(ATTR_CONFIG_ENTRY_ID))
    if not has_brain(entry):
        raise Refused("no_brain")
    return cast("KittyConfigEntry", entry)


def _event_data(hass: HomeAssistant, event: Json) -> Json:
    """Return what a script may know of a safety event: nothing with which one could approve it."""
    known = (
        "id",
        "device_id",
        "device_name",
        "zone_id",
        "intent",
        "params",
        "level",
        "status",
        "people_needed",
        "created_at",
        "expires_at",
        "reason",
        "requires_ppe",
    )
    return {key: event[key] for key in known} | {
        "requested_by": person_name(hass, event["initiated_by"]),
        "approved_by": [person_name(hass, user_id) for user_id in event["approved_by"]],
        "denied_by": person_name(hass, event["denied_by"]),
    }


def _command_data(command: Json) -> Json:
    """Return what a script may know of a command."""
    known = ("id", "device_id", "intent", "params", "status", "detail", "event_id", "created_at")
    return {key: command[key] for key in known}


async def _ask(
    call: ServiceCall, intent: str, params: Json | None = None, target: Target | None = None
) -> ServiceResponse:
    """Ask the brain for something on behalf of the caller."""
    target = target or await _controlled(call)
    answer = await target.entry.runtime_data.approvals.request(
        target.device_id,
        intent,
        params,
        context=call.context,
        idempotency_key=call.data.get(ATTR_IDEMPOTENCY_KEY),
    )
    event = answer["event"]
    return {
        "command": _command_data(answer["command"]),
        "event": _event_data(call.hass, event) if event else None,
    }


async def _request(call: ServiceCall) -> ServiceResponse:
    """Ask for any intent."""
    return await _ask(call, call.data["intent"], call.data["params"])


def _asks(intent: str) -> Callable[[ServiceCall], Coroutine[Any, Any, ServiceResponse]]:
    """Return an action that asks for one intent without parameters."""

    async def run(call: ServiceCall) -> ServiceResponse:
        return await _ask(call, intent)

    return run


async def _heat(call: ServiceCall) -> ServiceResponse:
    """Ask a printer to heat its nozzle, its bed or both."""
    params = {part: call.data[part] for part in ("nozzle", "bed") if part in call.data}
    return await _ask(call, "heat", params)


async def _start_print(call: ServiceCall) -> ServiceResponse:
    """Ask a printer to print a file that it has, or one that is uploaded to it first."""
    target = await _controlled(call)
    file = call.data.get("file") or await upload(
        call.hass, target.entry, target.device_id, call.data
    )
    return await _ask(call, "print_start", {"file": file}, target)


async def _upload_file(call: ServiceCall) -> ServiceResponse:
    """Store a file on a printer."""
    target = await _controlled(call)
    return {"file": await upload(call.hass, target.entry, target.device_id, call.data)}


def _decides(decision: str) -> Callable[[ServiceCall], Coroutine[Any, Any, ServiceResponse]]:
    """Return the action by which a known person approves or denies a request."""

    async def run(call: ServiceCall) -> ServiceResponse:
        if call.context.user_id is None:
            raise Refused("user_required")
        target, event = await _open_event(call)
        decided = await target.entry.runtime_data.approvals.decide(
            event["id"], decision, context=call.context, ppe=call.data.get(ATTR_PPE, False)
        )
        return {"event": _event_data(call.hass, decided)}

    return run


async def _withdraw(call: ServiceCall) -> ServiceResponse:
    """Take back a request of one's own."""
    target, event = await _open_event(call)
    withdrawn = await target.entry.runtime_data.client.command(
        "safety.withdraw",
        {"event_id": event["id"]},
        caller=await caller_from(call.hass, call.context),
    )
    return {"event": _event_data(call.hass, withdrawn)}


async def _set_presence(call: ServiceCall) -> None:
    """Say that a person is or is not in an area; for somebody else only administrators may."""
    user = await _user(call)
    named = call.data.get("person")
    user_id = _user_of(call.hass, named) if named else user and user.id
    # Whoever says so must be known: an automation would make a person present who is not.
    if user is None or user_id is None:
        raise Refused("user_required")
    override = call.data["source"] == PresenceSource.OVERRIDE
    if not user.is_admin and (override or user_id != user.id):
        raise Unauthorized(context=call.context)
    zone_id = call.data["area_id"]
    if ar.async_get(call.hass).async_get_area(zone_id) is None:
        raise Refused("unknown_zone")
    await _entry(call).runtime_data.client.command(
        "safety.presence",
        {
            "zone_id": zone_id,
            "user_id": user_id,
            "source": call.data["source"],
            "status": call.data["status"],
            "observed_at": time.time(),
        },
        caller=await caller_from(call.hass, call.context),
    )


def _user_of(hass: HomeAssistant, entity_id: str) -> str:
    """Return the user of a person entity."""
    state = hass.states.get(entity_id)
    user_id: str | None = state.attributes.get("user_id") if state else None
    if user_id is None:
        raise Refused("person_without_user", person=entity_id)
    return user_id


async def _get_audit(call: ServiceCall) -> ServiceResponse:
    """Return rows of the audit chain, newest cursor last."""
    params: Json = {key: call.data[key] for key in ("kind", "limit", "cursor") if key in call.data}
    if ATTR_DEVICE_ID in call.data:
        params["device_id"] = (await _controlled(call)).device_id
    if "person" in call.data:
        params["user_id"] = _user_of(call.hass, call.data["person"])
    if "since" in call.data:
        params["since"] = call.data["since"].timestamp()
    return await _answer(call, "audit.list", params)


def _commands(action: str) -> Callable[[ServiceCall], Coroutine[Any, Any, ServiceResponse]]:
    """Return an action that hands on the answer of one of the brain's commands."""

    async def run(call: ServiceCall) -> ServiceResponse:
        return await _answer(call, action, {})

    return run


async def _answer(call: ServiceCall, action: str, params: Json) -> ServiceResponse:
    """Return the brain's answer to a command that changes nothing."""
    caller = await caller_from(call.hass, call.context)
    answer: Json = await _entry(call).runtime_data.client.command(action, params, caller=caller)
    return answer


async def _pending(call: ServiceCall) -> ServiceResponse:
    """Return the requests that wait for people, of the devices that the caller may see."""
    user = await _user(call)
    entry = _entry(call)
    events = sorted(
        entry.runtime_data.coordinator.data.events.values(), key=lambda event: event["created_at"]
    )
    return {
        "events": [
            {
                **_event_data(call.hass, event),
                "you_may_decide": user is not None and user.id in event["eligible"],
            }
            for event in events
            if event["status"] == EventStatus.PENDING
            and _may(
                call.hass,
                user,
                _registry_id(call.hass, entry, event["device_id"]),
                POLICY_READ,
            )
        ]
    }


async def _ask_mind(call: ServiceCall) -> ServiceResponse:
    """Ask in words, as in Assist: with the caller's rights, and in a conversation of the caller's own."""
    entry = _entry(call)
    unique_id = f"{entry.data[CONF_INSTANCE_ID]}-conversation"
    agent = er.async_get(call.hass).async_get_entity_id("conversation", DOMAIN, unique_id)
    if agent is None:
        raise Refused("no_agent")
    text = call.data["text"]
    if provider := call.data.get("provider"):
        text = f"Ask {provider}: {text}"
    found = await async_converse(
        call.hass,
        text,
        call.data.get("conversation_id"),
        call.context,
        call.data.get("language"),
        agent,
    )
    words = found.response.speech.get("plain", {}).get("speech", "")
    if found.response.error_code is not None:
        raise KittyError("not_answered", reason=words)
    return {
        "text": words,
        "conversation_id": found.conversation_id,
        "continue_conversation": found.continue_conversation,
        **found.response.speech_slots,
    }


def _own_memory(
    action: str, *names: str
) -> Callable[[ServiceCall], Coroutine[Any, Any, ServiceResponse]]:
    """Return an action on the memory of the person who calls; nobody reaches another's."""

    async def run(call: ServiceCall) -> ServiceResponse:
        if await _user(call) is None:
            raise Refused("user_required")
        return await _answer(call, action, _given(call, *names))

    return run


async def _search_memory(call: ServiceCall) -> ServiceResponse:
    """Find what is remembered for the caller, or tell all of it."""
    action = "memory.search" if "query" in call.data else "memory.list"
    return await _own_memory(action, "query", "limit")(call)


def _admin_command(
    action: str, *names: str
) -> Callable[[ServiceCall], Coroutine[Any, Any, ServiceResponse]]:
    """Return an action that hands what it is given to one of the brain's commands."""

    async def run(call: ServiceCall) -> ServiceResponse:
        return await _answer(call, action, _given(call, *names))

    return run


def _given(call: ServiceCall, *names: str) -> Json:
    """Return those fields of a call that were filled in."""
    return {name: call.data[name] for name in names if name in call.data}


_ONLY: Final = SupportsResponse.ONLY
_AMOUNT: Final = vol.All(vol.Coerce(float), vol.Range(min=0))

ACTIONS: Final = (
    Action(
        name="request",
        run=_request,
        schema={
            **_DEVICE,
            vol.Required("intent"): vol.In(list(INTENTS)),
            vol.Optional("params", default=dict): dict,
            vol.Optional(ATTR_IDEMPOTENCY_KEY): cv.string,
        },
    ),
    Action(
        name="approve",
        run=_decides("approve"),
        schema={**_EVENT, vol.Optional(ATTR_PPE, default=False): cv.boolean},
    ),
    Action(name="deny", run=_decides("deny"), schema=_EVENT),
    Action(name="withdraw", run=_withdraw, schema=_EVENT),
    Action(
        name="start_print",
        run=_start_print,
        schema={
            **_DEVICE,
            **_FILE_SOURCE,
            vol.Exclusive("file", "source"): cv.string,
            vol.Optional(ATTR_IDEMPOTENCY_KEY): cv.string,
        },
        check=cv.has_at_least_one_key("file", "path", "media"),
    ),
    Action(
        name="upload_file",
        run=_upload_file,
        schema={**_DEVICE, **_FILE_SOURCE},
        check=cv.has_at_least_one_key("path", "media"),
    ),
    Action(name="pause_print", run=_asks("print_pause"), schema=_DEVICE),
    Action(name="resume_print", run=_asks("print_resume"), schema=_DEVICE),
    Action(name="cancel_print", run=_asks("print_cancel"), schema=_DEVICE),
    Action(name="power_off_now", run=_asks("power_cut"), schema=_DEVICE),
    Action(
        name="heat",
        run=_heat,
        schema={
            **_DEVICE,
            vol.Optional("nozzle"): vol.All(vol.Coerce(float), vol.Range(min=0, max=350)),
            vol.Optional("bed"): vol.All(vol.Coerce(float), vol.Range(min=0, max=150)),
        },
        check=cv.has_at_least_one_key("nozzle", "bed"),
    ),
    Action(
        name="set_presence",
        run=_set_presence,
        schema={
            **_ENTRY,
            vol.Required("area_id"): cv.string,
            vol.Required("status"): vol.In([str(status) for status in PresenceStatus]),
            vol.Optional("person"): cv.entity_domain("person"),
            vol.Optional("source", default=str(PresenceSource.MANUAL)): vol.In(
                [str(PresenceSource.MANUAL), str(PresenceSource.OVERRIDE)]
            ),
        },
        response=SupportsResponse.NONE,
    ),
    Action(
        name="get_audit",
        run=_get_audit,
        schema={
            **_ENTRY,
            vol.Optional(ATTR_DEVICE_ID): _one,
            vol.Optional("person"): cv.entity_domain("person"),
            vol.Optional("kind"): cv.string,
            vol.Optional("since"): cv.datetime,
            vol.Optional("limit", default=100): vol.All(
                vol.Coerce(int), vol.Range(min=1, max=1000)
            ),
            vol.Optional("cursor"): cv.string,
        },
        response=_ONLY,
        admin=True,
    ),
    Action(
        name="verify_audit",
        run=_commands("audit.verify"),
        schema=_ENTRY,
        response=_ONLY,
        admin=True,
    ),
    Action(
        name="diagnose",
        run=_commands("system.diagnose"),
        schema=_ENTRY,
        response=_ONLY,
        admin=True,
    ),
    Action(name="pending", run=_pending, schema=_ENTRY, response=_ONLY),
    Action(
        name="ask",
        run=_ask_mind,
        schema={
            **_ENTRY,
            vol.Required("text"): vol.All(cv.string, vol.Length(min=1, max=9000)),
            vol.Optional("provider"): vol.All(cv.string, vol.Match(r"^[\w .:-]{2,40}$")),
            vol.Optional("conversation_id"): cv.string,
            vol.Optional("language"): cv.string,
        },
        response=_ONLY,
    ),
    Action(
        name="remember",
        run=_own_memory("memory.remember", "text", "shared"),
        schema={
            **_ENTRY,
            vol.Required("text"): vol.All(cv.string, vol.Length(min=1)),
            vol.Optional("shared", default=False): cv.boolean,
        },
    ),
    Action(
        name="search_memory",
        run=_search_memory,
        schema={
            **_ENTRY,
            vol.Optional("query"): vol.All(cv.string, vol.Length(min=1)),
            vol.Optional("limit", default=10): vol.All(vol.Coerce(int), vol.Range(min=1, max=50)),
        },
        response=_ONLY,
    ),
    Action(
        name="forget_memory",
        run=_own_memory("memory.forget", "memory_id", "all"),
        schema={
            **_ENTRY,
            vol.Exclusive("memory_id", "which"): cv.string,
            vol.Exclusive("all", "which"): vol.All(cv.boolean, vol.Equal(True)),
        },
        check=cv.has_at_least_one_key("memory_id", "all"),
    ),
    Action(
        name="clear_cache",
        run=_admin_command("cache.clear", "key", "topic", "all"),
        schema={
            **_ENTRY,
            vol.Exclusive("key", "which"): cv.string,
            vol.Exclusive("topic", "which"): cv.string,
            vol.Exclusive("all", "which"): vol.All(cv.boolean, vol.Equal(True)),
        },
        check=cv.has_at_least_one_key("key", "topic", "all"),
        admin=True,
    ),
    Action(
        name="set_budget",
        run=_admin_command("budget.set_limits", "daily", "monthly", "soft", "currency"),
        schema={
            **_ENTRY,
            vol.Optional("daily"): _AMOUNT,
            vol.Optional("monthly"): _AMOUNT,
            vol.Optional("soft"): vol.All(vol.Coerce(float), vol.Range(min=0.01, max=1)),
            vol.Optional("currency"): vol.All(cv.string, vol.Match(r"^[A-Z]{3}$")),
        },
        check=cv.has_at_least_one_key("daily", "monthly", "soft", "currency"),
        admin=True,
    ),
)
