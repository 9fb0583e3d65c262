"""Actions of the workshop: the print queue, what becomes of prints, and the cameras that watch them."""

import base64
import binascii
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, get_args

from homeassistant.const import ATTR_DEVICE_ID
from homeassistant.core import ServiceCall, ServiceResponse
from homeassistant.helpers import config_validation as cv
from homeassistant.util import dt as dt_util
import probatio as vol

from .actions import (
    DEVICE,
    ENTRY,
    ONLY,
    SOURCE,
    Action,
    brain_entry,
    controlled,
    device_of,
    given,
    one_device,
    tell,
    user_of_call,
)
from .disk import where_to, write
from .errors import Refused
from .protocol import Json, Reason
from .rights import brain_with, every_item, require_printer, require_sight
from .uploads import MAX_PHOTO, add_file, photo
from .workshop import printer_of

if TYPE_CHECKING:
    from . import KittyConfigEntry

PLAN_TIMEOUT_S: Final = 60.0
LOOK_TIMEOUT_S: Final = 60.0
MOST_BASE64: Final = MAX_PHOTO * 4 // 3
_WISHES: Final = ("title", "priority", "start", "material", "nozzle_mm", "grams")
_METRICS: Final = ("layers", "surface", "size")
_WATCHING: Final = (
    "enabled",
    "every_s",
    "threshold",
    "needed",
    "of",
    "action",
    "mute_layers",
    "mute_minutes",
    "detector",
    "file",
)


def _number(low: float, high: float) -> Any:
    return vol.All(vol.Coerce(float), vol.Range(min=low, max=high))


def _whole(low: int, high: int) -> Any:
    return vol.All(vol.Coerce(int), vol.Range(min=low, max=high))


def _word(most: int) -> Any:
    return vol.All(cv.string, vol.Length(min=1, max=most))


def _base64(value: str) -> str:
    """Take what is base64."""
    try:
        base64.b64decode(value, validate=True)
    except binascii.Error as err:
        raise vol.Invalid("this is no base64") from err
    return value


def _or_nothing(kind: Any) -> Any:
    """Take null, too: it takes a wish back."""
    return vol.Any(None, kind)


_COLORS: Final = vol.All(cv.ensure_list, [_word(255)], vol.Length(max=16))
_QUEUE_ID: Final[dict[Any, Any]] = {**ENTRY, vol.Required("queue_id"): cv.string}
_JOB: Final[dict[Any, Any]] = {**ENTRY, vol.Required("job_id"): cv.string}


def _wishes(call: ServiceCall) -> Json:
    """Return what a call wishes of a print, as the brain takes it."""
    wishes = given(call, *_WISHES)
    for name in ("deadline", "not_before"):
        if name in call.data:
            wishes[name] = _seconds(call.data[name])
    if "duration" in call.data:
        wished: timedelta | None = call.data["duration"]
        wishes["estimated_s"] = None if wished is None else wished.total_seconds()
    if any(name in call.data for name in ("color", "avoid_color", "differs_from")):
        rule = {
            "is": call.data.get("color"),
            "not": call.data.get("avoid_color"),
            "differs_from": call.data.get("differs_from"),
        }
        wishes["color"] = {name: part for name, part in rule.items() if part} or None
    return wishes


def _seconds(moment: datetime | None) -> float | None:
    """Return a moment as the brain counts; one without a zone is of this house."""
    return None if moment is None else dt_util.as_utc(moment).timestamp()


async def _queue_print(call: ServiceCall) -> ServiceResponse:
    """Put a file into the queue of one printer, or of whichever is best."""
    wishes = _wishes(call) | given(call, "file", "artifact_id", "plate", "ventilation")
    if ATTR_DEVICE_ID in call.data:
        target = await controlled(call)
        entry, wishes["device_id"] = target.entry, target.device_id
    else:
        entry = brain_entry(call)
        await require_printer(call, entry, None)
    if "path" in call.data or "media" in call.data:
        wishes["artifact_id"] = await add_file(call.hass, entry, call.data)
    return await tell(call, entry, "queue.add", wishes)


async def _item(call: ServiceCall) -> tuple[KittyConfigEntry, Json]:
    """Return an open item of a queue whose printer the caller may control."""
    queue_id = call.data["queue_id"]
    entry = brain_with(call, "queue", queue_id)
    row = entry.runtime_data.coordinator.data.queue.get(queue_id)
    if row is None:
        raise Refused("queue_item_not_found")
    await require_printer(call, entry, row["wanted_device_id"] or row["device_id"])
    return entry, row


async def _change_queued_print(call: ServiceCall) -> ServiceResponse:
    """Change the wishes of an item that is not on its way."""
    entry, row = await _item(call)
    wishes = _wishes(call) | {"queue_id": row["id"]}
    if ATTR_DEVICE_ID in call.data and call.data[ATTR_DEVICE_ID] is None:
        await require_printer(call, entry, None)
        wishes["device_id"] = None
    elif ATTR_DEVICE_ID in call.data:
        wishes["device_id"] = (await controlled(call)).device_id
    return await tell(call, entry, "queue.change", wishes)


def _on_item(action: str) -> Callable[[ServiceCall], Coroutine[Any, Any, ServiceResponse]]:
    """Return an action on one item of the queue."""

    async def run(call: ServiceCall) -> ServiceResponse:
        entry, row = await _item(call)
        return await tell(call, entry, action, {"queue_id": row["id"]})

    return run


async def _plan_queue(call: ServiceCall) -> ServiceResponse:
    """Plan the queue now."""
    return await tell(call, brain_entry(call), "queue.plan", {}, timeout=PLAN_TIMEOUT_S)


async def _clear_bed(call: ServiceCall) -> ServiceResponse:
    """Say that the bed of a printer is clear."""
    target = await controlled(call)
    return await tell(call, target.entry, "printers.cleared", {"device_id": target.device_id})


async def _job_of(call: ServiceCall) -> tuple[KittyConfigEntry, Json]:
    """Return a print with all that belongs to it."""
    job_id = call.data["job_id"]
    entry = brain_with(call, "jobs", job_id)
    return entry, await tell(call, entry, "jobs.get", {"job_id": job_id})


async def _get_job(call: ServiceCall) -> ServiceResponse:
    """Return all that is known of a print; a conversation only to those whose it is."""
    entry, told = await _job_of(call)
    await require_sight(call, entry, told["job"]["device_id"])
    user, talk = await user_of_call(call), told.get("conversation")
    if talk and user is not None and not user.is_admin and talk.get("user_id") != user.id:
        told["conversation"] = None
    return told


async def _get_costs(call: ServiceCall) -> ServiceResponse:
    """Return what a print cost, part by part."""
    job_id = call.data["job_id"]
    return await tell(call, brain_with(call, "jobs", job_id), "costs.get", {"job_id": job_id})


async def _review_print(call: ServiceCall) -> ServiceResponse:
    """Keep what a person says of a finished print."""
    entry, told = await _job_of(call)
    await require_printer(call, entry, told["job"]["device_id"])
    review = given(call, "job_id", "good", "rating", "reasons", "note")
    review["quality"] = given(call, *_METRICS)
    if "picture" in call.data or "path" in call.data or "media" in call.data:
        image = call.data.get("picture") or await photo(call.hass, call.data)
        # The brain looks at the picture itself, and believes no name.
        review["picture"] = {"content_type": "image/jpeg", "image": image}
    return await tell(call, entry, "reviews.put", review)


async def _get_prediction(call: ServiceCall) -> ServiceResponse:
    """Return how likely a print turns out well on a printer."""
    target = device_of(call)
    await require_sight(call, target.entry, target.device_id)
    asked = given(call, "material", "artifact_id") | {"device_id": target.device_id}
    return await tell(call, target.entry, "predictions.get", asked)


async def _get_advice(call: ServiceCall) -> ServiceResponse:
    """Return what finished prints suggest."""
    found: list[Any] = await every_item(call, brain_entry(call), "advice.list")
    return {"items": found}


async def _look_at_print(call: ServiceCall) -> ServiceResponse:
    """Look through a camera now; the picture itself is only written to a file."""
    target = await controlled(call)
    path = await where_to(call, ".jpg", ".jpeg", ".png")
    asked = {"device_id": target.device_id}
    told = await tell(call, target.entry, "vision.look", asked, timeout=LOOK_TIMEOUT_S)
    image = base64.b64decode(told.pop("image"))
    if path is not None:
        await write(call.hass, path, image)
        told["path"] = str(path)
    return told


async def _answer_incident(call: ServiceCall) -> ServiceResponse:
    """Say whether what a camera saw is true."""
    incident_id = call.data["incident_id"]
    entry = brain_with(call, "incidents", incident_id)
    snapshot = entry.runtime_data.coordinator.data
    incident = snapshot.incidents.get(incident_id)
    if incident is None:
        raise Refused("incident_not_found")
    await require_printer(call, entry, printer_of(snapshot, incident))
    said = given(call, "incident_id", "verdict", "mute_layers")
    return await tell(call, entry, "vision.answer", said)


async def _watch_camera(call: ServiceCall) -> ServiceResponse:
    """Choose how a camera watches."""
    target = device_of(call)
    choices = given(call, *_WATCHING) | {"device_id": target.device_id}
    if "printer" in call.data:
        named = call.data["printer"]
        choices["printer_id"] = named and device_of(call, "printer").device_id
    return await tell(call, target.entry, "vision.configure", choices)


_WISH_FIELDS: Final = {
    vol.Optional("title"): _word(255),
    vol.Optional("priority"): _whole(1, 10),
    vol.Optional("start"): vol.In(["asap", "cheap"]),
}
_PRINT_FIELDS: Final = {
    "deadline": cv.datetime,
    "not_before": cv.datetime,
    "material": _word(32),
    "color": _COLORS,
    "avoid_color": _COLORS,
    "differs_from": _word(255),
    "nozzle_mm": _number(0.05, 3),
    "grams": _number(0, 100_000),
    "duration": vol.All(cv.time_period, cv.positive_timedelta),
}

ACTIONS: Final = (
    Action(
        name="queue_print",
        run=_queue_print,
        schema={
            **ENTRY,
            **_WISH_FIELDS,
            **{vol.Optional(name): kind for name, kind in _PRINT_FIELDS.items()},
            **SOURCE,
            vol.Exclusive("file", "source"): _word(255),
            vol.Exclusive("artifact_id", "source"): cv.string,
            vol.Optional("name"): cv.string,
            vol.Optional("plate"): _whole(1, 999),
            vol.Optional(ATTR_DEVICE_ID): one_device,
            vol.Optional("ventilation", default=False): cv.boolean,
        },
        check=cv.has_at_least_one_key("file", "artifact_id", "path", "media"),
    ),
    Action(
        name="change_queued_print",
        run=_change_queued_print,
        schema={
            **_QUEUE_ID,
            **_WISH_FIELDS,
            **{vol.Optional(name): _or_nothing(kind) for name, kind in _PRINT_FIELDS.items()},
            vol.Optional(ATTR_DEVICE_ID): _or_nothing(one_device),
        },
        check=cv.has_at_least_one_key(
            *(str(field) for field in _WISH_FIELDS), *_PRINT_FIELDS, ATTR_DEVICE_ID
        ),
    ),
    Action(name="cancel_queued_print", run=_on_item("queue.cancel"), schema=_QUEUE_ID),
    Action(name="hold_queued_print", run=_on_item("queue.hold"), schema=_QUEUE_ID),
    Action(name="release_queued_print", run=_on_item("queue.release"), schema=_QUEUE_ID),
    Action(name="plan_queue", run=_plan_queue, schema=ENTRY, response=ONLY),
    Action(name="clear_bed", run=_clear_bed, schema=DEVICE),
    Action(name="get_job", run=_get_job, schema=_JOB, response=ONLY),
    Action(name="get_costs", run=_get_costs, schema=_JOB, response=ONLY),
    Action(
        name="review_print",
        run=_review_print,
        schema={
            **_JOB,
            **SOURCE,
            vol.Exclusive("picture", "source"): vol.All(
                cv.string, vol.Length(max=MOST_BASE64), _base64
            ),
            vol.Required("good"): cv.boolean,
            vol.Optional("rating"): _whole(1, 5),
            vol.Optional("reasons"): vol.All(cv.ensure_list, [vol.In(get_args(Reason.__value__))]),
            vol.Optional("note"): vol.All(cv.string, vol.Length(max=2000)),
            **{vol.Optional(name): _number(0, 100) for name in _METRICS},
        },
    ),
    Action(
        name="get_prediction",
        run=_get_prediction,
        schema={
            **DEVICE,
            vol.Optional("material"): _word(32),
            vol.Optional("artifact_id"): cv.string,
        },
        response=ONLY,
    ),
    Action(name="get_advice", run=_get_advice, schema=ENTRY, response=ONLY),
    Action(
        name="look_at_print",
        run=_look_at_print,
        schema={**DEVICE, vol.Optional("path"): cv.string},
    ),
    Action(
        name="answer_incident",
        run=_answer_incident,
        schema={
            **ENTRY,
            vol.Required("incident_id"): cv.string,
            vol.Required("verdict"): vol.In(["confirmed", "false_alarm"]),
            vol.Optional("mute_layers"): _whole(1, 10_000),
        },
    ),
    Action(
        name="watch_camera",
        run=_watch_camera,
        schema={
            **DEVICE,
            vol.Optional("enabled"): cv.boolean,
            vol.Optional("printer"): _or_nothing(one_device),
            vol.Optional("every_s"): _number(1, 3600),
            vol.Optional("threshold"): _number(0.05, 1),
            vol.Optional("needed"): _whole(1, 20),
            vol.Optional("of"): _whole(1, 20),
            vol.Optional("action"): vol.In(["notify", "pause"]),
            vol.Optional("mute_layers"): _whole(1, 10_000),
            vol.Optional("mute_minutes"): _number(0.1, 1440),
            vol.Optional("detector"): vol.In(["auto", "file", "model", "none"]),
            vol.Optional("file"): _or_nothing(_word(1024)),
        },
        admin=True,
    ),
)
