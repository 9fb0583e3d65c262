"""Actions that tell what is written down: prints, reviews, alarms, files, pictures, and the rules of the house."""

from typing import TYPE_CHECKING, Final

from homeassistant.auth.models import User
from homeassistant.const import ATTR_DEVICE_ID
from homeassistant.core import ServiceCall, ServiceResponse
from homeassistant.helpers import config_validation as cv
from homeassistant.util import dt as dt_util
import probatio as vol

from .actions import (
    ENTRY,
    ONLY,
    Action,
    brain_entry,
    device_of,
    given,
    one_device,
    paging,
    tell,
    user_of_call,
)
from .const import CONF_PEOPLE
from .protocol import Json
from .rights import (
    brain_with,
    every_item,
    require_onlooker,
    require_sight,
    require_trust,
    sees,
)
from .workshop import printer_of

if TYPE_CHECKING:
    from . import KittyConfigEntry

_ID: Final = vol.All(cv.string, vol.Length(min=1, max=64))
_PAGE: Final = {**paging(), vol.Optional(ATTR_DEVICE_ID): one_device}
_JOB_STATES: Final = ("preparing", "printing", "paused", "completed", "failed", "aborted")
_INCIDENT_STATES: Final = ("open", "confirmed", "false_alarm", "over")
# Whose picture it is, and by which command it is fetched.
_PICTURES: Final = {
    "job_id": "reviews.picture",
    "incident_id": "incidents.picture",
    "print_event_id": "prints.picture",
    "event_id": "safety.evidence",
    "artifact_id": "files.picture",
}
_PICTURE_TIMEOUT_S: Final = 60.0


async def _page_of(
    call: ServiceCall, action: str, *names: str
) -> tuple[KittyConfigEntry, list[Json], Json]:
    """Return a page of a list, newest first, as the brain tells it, and what to answer but its rows."""
    entry, asked = brain_entry(call), given(call, "limit", "cursor", *names)
    if ATTR_DEVICE_ID in call.data:
        target = device_of(call)
        await require_sight(call, target.entry, target.device_id)
        entry, asked["device_id"] = target.entry, target.device_id
    told = await tell(call, entry, action, asked | {"newest_first": True})
    return entry, told.pop("items"), told


async def _get_jobs(call: ServiceCall) -> ServiceResponse:
    """Return prints, the newest first, of the printers that the caller may see."""
    entry, rows, told = await _page_of(call, "jobs.list", "status")
    return told | {"items": await _seen(call, entry, rows)}


async def _get_reviews(call: ServiceCall) -> ServiceResponse:
    """Return what was said of finished prints, the newest first."""
    entry, rows, told = await _page_of(call, "reviews.list", "waiting")
    return told | {"items": await _seen(call, entry, rows)}


async def _get_incidents(call: ServiceCall) -> ServiceResponse:
    """Return what cameras saw go wrong, the newest first, each with its printer."""
    entry, rows, told = await _page_of(call, "incidents.list", "status")
    snapshot = entry.runtime_data.coordinator.data
    found = [row | {"printer_id": printer_of(snapshot, row)} for row in rows]
    return told | {"items": await _seen(call, entry, found, "printer_id", "device_id")}


async def _get_files(call: ServiceCall) -> ServiceResponse:
    """Return the files that can be printed; all of them, or those that a printer holds."""
    if ATTR_DEVICE_ID in call.data:
        target = device_of(call)
        await require_sight(call, target.entry, target.device_id)
        return await _files(call, target.entry, {"device_id": target.device_id})
    entry = brain_entry(call)
    await require_onlooker(call, entry)
    return await _files(call, entry, {})


async def _files(call: ServiceCall, entry: KittyConfigEntry, asked: Json) -> Json:
    """Return a list of files as a whole."""
    return {"items": await every_item(call, entry, "files.list", asked)}


async def _get_picture(call: ServiceCall) -> ServiceResponse:
    """Return a picture that is kept, to those who may see what it shows."""
    (name,) = given(call, *_PICTURES)
    entry, device_id = await _subject(call, name)
    asked = given(call, name)
    if name == "artifact_id":
        asked |= given(call, "kind", "plate")
    told = await tell(call, entry, _PICTURES[name], asked, timeout=_PICTURE_TIMEOUT_S)
    if (owner := told.pop("device_id", None) or device_id) is not None:
        await require_sight(call, entry, owner)
    return told


async def _subject(call: ServiceCall, name: str) -> tuple[KittyConfigEntry, str | None]:
    """Return the brain that has a picture, and the device that it shows; None where the brain will say."""
    key = call.data[name]
    if name == "job_id":
        entry = brain_with(call, "jobs", key)
        found = await tell(call, entry, "jobs.get", {"job_id": key})
        return entry, str(found["job"]["device_id"])
    if name == "event_id":
        entry = brain_with(call, "events", key)
        event = entry.runtime_data.coordinator.data.events.get(key)
        if event is None:
            # What happened long ago may have shown anything.
            await require_trust(call)
            return entry, None
        return entry, str(event["device_id"])
    entry = brain_with(call, "incidents", key) if name == "incident_id" else brain_entry(call)
    if name == "artifact_id":
        await require_onlooker(call, entry)
    return entry, None


async def _get_usage(call: ServiceCall) -> ServiceResponse:
    """Return what filament was used, oldest first, and the sums of each material."""
    asked = given(call, "material", "spool_id")
    if "since" in call.data:
        asked["since"] = dt_util.as_utc(call.data["since"]).timestamp()
    entry = brain_entry(call)
    rows = await every_item(call, entry, "inventory.usage", asked | {"limit": 1000})
    sums = await tell(call, entry, "inventory.usage", asked | {"limit": 1})
    return {"items": rows, "materials": sums["materials"]}


async def _get_rules(call: ServiceCall) -> ServiceResponse:
    """Return areas with their rules; who is who and who is where only to the people of the workshop."""
    entry, user = brain_entry(call), await user_of_call(call)
    devices = entry.runtime_data.coordinator.data.devices.values()
    shown = {one["zone_id"] for one in devices if sees(call, entry, user, one["id"])}
    policies = {one["zone_id"]: one for one in await every_item(call, entry, "safety.policies")}
    checks = await every_item(call, entry, "safety.checks")
    told: Json = {
        "zones": [
            zone
            | {
                "policy": policies.get(zone["id"]),
                "checks": [_plain(one) for one in checks if one["zone_id"] == zone["id"]],
            }
            for zone in await every_item(call, entry, "safety.zones")
            if zone["id"] in shown
        ],
        "people": None,
        "presence": None,
    }
    if user is None or user.is_admin or user.id in entry.options.get(CONF_PEOPLE, {}):
        told["people"] = [
            {name: one[name] for name in ("id", "display_name", "roles", "active")}
            | {"has_code": _has_code(user, one)}
            for one in await every_item(call, entry, "safety.users")
        ]
        presences = await every_item(call, entry, "safety.presences")
        told["presence"] = [_plain(one) for one in presences if one["zone_id"] in shown]
    return told


def _has_code(user: User | None, row: Json) -> bool | None:
    """Return whether a person has a code of their own; None to whom that is no business."""
    if user is None or not (user.is_admin or user.id == row["id"]):
        return None
    return bool(row.get("has_code"))


def _plain(row: Json) -> Json:
    """Return a row without the id that only its list needs."""
    return {name: value for name, value in row.items() if name != "id"}


async def _seen(
    call: ServiceCall, entry: KittyConfigEntry, rows: list[Json], *names: str
) -> list[Json]:
    """Return the rows of devices that the caller may see."""
    user = await user_of_call(call)
    return [
        row
        for row in rows
        if any(sees(call, entry, user, row[name]) for name in names or ("device_id",))
    ]


ACTIONS: Final = (
    Action(
        name="get_jobs",
        run=_get_jobs,
        schema={**_PAGE, vol.Optional("status"): vol.In(_JOB_STATES)},
        response=ONLY,
    ),
    Action(
        name="get_reviews",
        run=_get_reviews,
        schema={**_PAGE, vol.Optional("waiting"): cv.boolean},
        response=ONLY,
    ),
    Action(
        name="get_incidents",
        run=_get_incidents,
        schema={**_PAGE, vol.Optional("status"): vol.In(_INCIDENT_STATES)},
        response=ONLY,
    ),
    Action(
        name="get_files",
        run=_get_files,
        schema={**ENTRY, vol.Optional(ATTR_DEVICE_ID): one_device},
        response=ONLY,
    ),
    Action(
        name="get_picture",
        run=_get_picture,
        schema={
            **ENTRY,
            **{vol.Exclusive(name, "subject"): _ID for name in _PICTURES},
            vol.Optional("kind", default="thumbnail"): vol.In(["thumbnail", "preview"]),
            vol.Optional("plate"): vol.All(vol.Coerce(int), vol.Range(min=1, max=999)),
        },
        response=ONLY,
        check=cv.has_at_least_one_key(*_PICTURES),
    ),
    Action(
        name="get_usage",
        run=_get_usage,
        schema={
            **ENTRY,
            vol.Optional("since"): cv.datetime,
            vol.Optional("material"): vol.All(cv.string, vol.Length(min=1, max=32)),
            vol.Optional("spool_id"): _ID,
        },
        response=ONLY,
    ),
    Action(name="get_rules", run=_get_rules, schema=ENTRY, response=ONLY),
)
