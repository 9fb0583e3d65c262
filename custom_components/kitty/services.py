"""The actions that scripts, automations and people call; each checks what the caller may touch."""

from collections.abc import Callable, Coroutine
import time
from typing import Any, Final

from homeassistant.auth.permissions.const import POLICY_READ
from homeassistant.const import ATTR_DEVICE_ID
from homeassistant.core import (
    HomeAssistant,
    ServiceCall,
    ServiceResponse,
    SupportsResponse,
    callback,
)
from homeassistant.exceptions import Unauthorized
from homeassistant.helpers import (
    area_registry as ar,
    config_validation as cv,
)
from homeassistant.helpers.service import (
    async_register_admin_service,
)
from homeassistant.util import dt as dt_util
import probatio as vol

from . import (
    goal_services,
    insight_services,
    job_services,
    mind_services,
    notify_services,
    record_services,
    stock_services,
    support_services,
    voice_services,
    workshop_services,
)
from .actions import (
    ATTR_EVENT_ID,
    ATTR_IDEMPOTENCY_KEY,
    DEVICE,
    ENTRY,
    ONLY,
    SOURCE,
    Action,
    Target,
    answer,
    brain_entry,
    controlled,
    given,
    hands_on,
    may,
    one_device,
    paging,
    registry_id,
    require_control,
    tell,
    user_of_call,
    user_of_person,
)
from .codes import take
from .const import DOMAIN
from .entity import person_name
from .entries import loaded_brains
from .errors import Refused
from .origin import caller_from
from .protocol import INTENTS, EventStatus, Json, PresenceSource, PresenceStatus
from .rights import sees
from .uploads import upload

ATTR_PPE: Final = "ppe"

_EVENT: Final = {vol.Required(ATTR_EVENT_ID): cv.string}
_FILE_SOURCE: Final[dict[Any, Any]] = {**SOURCE, vol.Optional("name"): cv.string}


@callback
def async_setup_services(hass: HomeAssistant) -> None:
    """Register every action, once for all entries."""
    for action in (
        *ACTIONS,
        *mind_services.ACTIONS,
        *insight_services.ACTIONS,
        *notify_services.ACTIONS,
        *workshop_services.ACTIONS,
        *stock_services.ACTIONS,
        *record_services.ACTIONS,
        *job_services.ACTIONS,
        *goal_services.ACTIONS,
        *support_services.ACTIONS,
        *voice_services.ACTIONS,
    ):
        schema: Any = vol.Schema(action.schema)
        if action.check is not None:
            schema = vol.All(schema, action.check)
        if action.admin:
            async_register_admin_service(
                hass, DOMAIN, action.name, action.run, schema, action.response
            )
        else:
            hass.services.async_register(DOMAIN, action.name, action.run, schema, action.response)


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
                registry_id=registry_id(call.hass, entry, device_id),
            )
            await require_control(call, target)
            return target, event
    raise Refused("unknown_event")


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
    target = target or await controlled(call)
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
    target = await controlled(call)
    file = call.data.get("file") or await upload(
        call.hass, target.entry, target.device_id, call.data
    )
    # Saying "no" is saying nothing: only a promise is part of what people approve.
    promised = {"ventilation": True} if call.data["ventilation"] else {}
    return await _ask(
        call, "print_start", {"file": file, **given(call, "plate"), **promised}, target
    )


async def _upload_file(call: ServiceCall) -> ServiceResponse:
    """Store a file on a printer."""
    target = await controlled(call)
    return {"file": await upload(call.hass, target.entry, target.device_id, call.data)}


def _decides(decision: str) -> Callable[[ServiceCall], Coroutine[Any, Any, ServiceResponse]]:
    """Return the action by which a known person approves or denies a request."""

    async def run(call: ServiceCall) -> ServiceResponse:
        if call.context.user_id is None:
            raise Refused("user_required")
        target, event = await _open_event(call)
        decided = await target.entry.runtime_data.approvals.decide(
            event["id"],
            decision,
            context=call.context,
            ppe=call.data.get(ATTR_PPE, False),
            pin=take(call.hass, call.context.user_id, event["id"]),
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
    user = await user_of_call(call)
    named = call.data.get("person")
    user_id = user_of_person(call.hass, named) if named else user and user.id
    # Whoever says so must be known: an automation would make a person present who is not.
    if user is None or user_id is None:
        raise Refused("user_required")
    override = call.data["source"] == PresenceSource.OVERRIDE
    if not user.is_admin and (override or user_id != user.id):
        raise Unauthorized(context=call.context)
    zone_id = call.data["area_id"]
    if ar.async_get(call.hass).async_get_area(zone_id) is None:
        raise Refused("unknown_zone")
    await brain_entry(call).runtime_data.client.command(
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


async def _reset_code(call: ServiceCall) -> None:
    """Clear the codes of another person, who has forgotten them."""
    await tell(
        call,
        brain_entry(call),
        "safety.pin_reset",
        {"user_id": user_of_person(call.hass, call.data["person"])},
    )


async def _get_audit(call: ServiceCall) -> ServiceResponse:
    """Return rows of the audit chain, newest cursor last."""
    params: Json = given(call, "kind", "limit", "cursor", "newest_first")
    if ATTR_DEVICE_ID in call.data:
        params["device_id"] = (await controlled(call)).device_id
    if "person" in call.data:
        params["user_id"] = user_of_person(call.hass, call.data["person"])
    for bound in ("since", "until"):
        if bound in call.data:
            params[bound] = dt_util.as_utc(call.data[bound]).timestamp()
    return await answer(call, "audit.list", params)


async def _pending(call: ServiceCall) -> ServiceResponse:
    """Return the requests that wait for people, of the devices that the caller may see."""
    user = await user_of_call(call)
    entry = brain_entry(call)
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
            and may(
                call.hass,
                user,
                registry_id(call.hass, entry, event["device_id"]),
                POLICY_READ,
            )
        ]
    }


async def _get_requests(call: ServiceCall) -> ServiceResponse:
    """Return requests, decided ones too, the newest first, of the devices that the caller may see."""
    user = await user_of_call(call)
    entry = brain_entry(call)
    asked = given(call, "status", "limit", "cursor") | {"newest_first": True}
    told = await tell(call, entry, "safety.events", asked)
    return {
        "items": [
            _event_data(call.hass, event) | {"has_evidence": event["evidence_key"] is not None}
            for event in told["items"]
            if sees(call, entry, user, event["device_id"])
        ],
        "cursor": told["cursor"],
    }


ACTIONS: Final = (
    Action(
        name="request",
        run=_request,
        schema={
            **DEVICE,
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
            **DEVICE,
            **_FILE_SOURCE,
            vol.Exclusive("file", "source"): cv.string,
            vol.Optional("plate"): vol.All(vol.Coerce(int), vol.Range(min=1, max=999)),
            vol.Optional("ventilation", default=False): cv.boolean,
            vol.Optional(ATTR_IDEMPOTENCY_KEY): cv.string,
        },
        check=cv.has_at_least_one_key("file", "path", "media"),
    ),
    Action(
        name="upload_file",
        run=_upload_file,
        schema={**DEVICE, **_FILE_SOURCE},
        check=cv.has_at_least_one_key("path", "media"),
    ),
    Action(name="pause_print", run=_asks("print_pause"), schema=DEVICE),
    Action(name="resume_print", run=_asks("print_resume"), schema=DEVICE),
    Action(name="cancel_print", run=_asks("print_cancel"), schema=DEVICE),
    Action(name="power_off_now", run=_asks("power_cut"), schema=DEVICE),
    Action(
        name="heat",
        run=_heat,
        schema={
            **DEVICE,
            vol.Optional("nozzle"): vol.All(vol.Coerce(float), vol.Range(min=0, max=350)),
            vol.Optional("bed"): vol.All(vol.Coerce(float), vol.Range(min=0, max=150)),
        },
        check=cv.has_at_least_one_key("nozzle", "bed"),
    ),
    Action(
        name="set_presence",
        run=_set_presence,
        schema={
            **ENTRY,
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
        name="reset_code",
        run=_reset_code,
        schema={**ENTRY, vol.Required("person"): cv.entity_domain("person")},
        response=SupportsResponse.NONE,
        admin=True,
    ),
    Action(
        name="get_audit",
        run=_get_audit,
        schema={
            **paging(100, 1000),
            vol.Optional(ATTR_DEVICE_ID): one_device,
            vol.Optional("person"): cv.entity_domain("person"),
            vol.Optional("kind"): cv.string,
            vol.Optional("since"): cv.datetime,
            vol.Optional("until"): cv.datetime,
            vol.Optional("newest_first"): cv.boolean,
        },
        response=ONLY,
        admin=True,
    ),
    Action(
        name="verify_audit",
        run=hands_on("audit.verify"),
        schema=ENTRY,
        response=ONLY,
        admin=True,
    ),
    Action(
        name="diagnose",
        run=hands_on("system.diagnose"),
        schema=ENTRY,
        response=ONLY,
        admin=True,
    ),
    Action(name="pending", run=_pending, schema=ENTRY, response=ONLY),
    Action(
        name="get_requests",
        run=_get_requests,
        schema={
            **paging(),
            vol.Optional("status"): vol.In([str(status) for status in EventStatus]),
        },
        response=ONLY,
    ),
    Action(name="get_times", run=hands_on("system.times"), schema=ENTRY, response=ONLY),
)
