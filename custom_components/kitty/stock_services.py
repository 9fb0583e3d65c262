"""Actions of the store room: spools, stock, what should be bought, and what is written down of all of it."""

import base64
from collections.abc import Callable, Coroutine
import json
from typing import TYPE_CHECKING, Any, Final

from homeassistant.const import ATTR_DEVICE_ID
from homeassistant.core import ServiceCall, ServiceResponse
from homeassistant.helpers import config_validation as cv
import probatio as vol

from .actions import (
    ENTRY,
    ONLY,
    Action,
    brain_entry,
    controlled,
    device_of,
    given,
    hands_on,
    one_device,
    tell,
    user_of_call,
)
from .disk import where_to, write
from .errors import Refused
from .protocol import Json
from .rights import (
    brain_with,
    every_item,
    require_printer,
    require_sight,
    require_worker,
    worker_hands_on,
)

if TYPE_CHECKING:
    from . import KittyConfigEntry

SYNC_TIMEOUT_S: Final = 120.0
_FORMATS: Final = ("csv", "json")
_TRAITS: Final = (
    "material",
    "name",
    "vendor",
    "color",
    "diameter_mm",
    "density",
    "full_g",
    "remaining_g",
    "price",
    "location",
)

_TEXT: Final = vol.All(cv.string, vol.Length(min=1, max=255))
_WORD: Final = vol.All(cv.string, vol.Length(min=1, max=32))
_GRAMS: Final = vol.All(vol.Coerce(float), vol.Range(min=0, max=100_000))
_SPOOL: Final[dict[Any, Any]] = {**ENTRY, vol.Required("spool_id"): cv.string}
_TRAIT_FIELDS: Final = {
    vol.Optional("name"): _TEXT,
    vol.Optional("vendor"): vol.Any(None, _TEXT),
    vol.Optional("color"): vol.Any(None, _WORD),
    vol.Optional("diameter_mm"): vol.All(vol.Coerce(float), vol.Range(min=0.5, max=5)),
    vol.Optional("density"): vol.Any(None, vol.All(vol.Coerce(float), vol.Range(min=0.2, max=20))),
    vol.Optional("full_g"): vol.All(vol.Coerce(float), vol.Range(min=1, max=100_000)),
    vol.Optional("remaining_g"): _GRAMS,
    vol.Optional("price"): vol.Any(
        None, vol.All(vol.Coerce(float), vol.Range(min=0, max=1_000_000))
    ),
    vol.Optional("location"): vol.Any(None, _TEXT),
}


def _on_spool(
    action: str, *names: str
) -> Callable[[ServiceCall], Coroutine[Any, Any, ServiceResponse]]:
    """Return an action on one spool: of those who may control the printer that it is loaded on."""

    async def run(call: ServiceCall) -> ServiceResponse:
        entry = await _spool_of(call)
        return await tell(call, entry, action, given(call, "spool_id", *names))

    return run


async def _spool_of(call: ServiceCall) -> KittyConfigEntry:
    """Return the brain that has a spool, of which the caller may make use."""
    spool_id = call.data["spool_id"]
    entry = brain_with(call, "spools", spool_id)
    row = entry.runtime_data.coordinator.data.spools.get(spool_id, {})
    if row.get("device_id") is not None:
        await require_printer(call, entry, row["device_id"])
    else:
        await require_worker(call, entry)
    return entry


async def _load_spool(call: ServiceCall) -> ServiceResponse:
    """Say where a spool is loaded; without a printer it is on the shelf."""
    entry = await _spool_of(call)
    place = given(call, "spool_id", "slot")
    if ATTR_DEVICE_ID in call.data:
        place["device_id"] = (await controlled(call)).device_id
    return await tell(call, entry, "spools.load", place)


async def _get_stock(call: ServiceCall) -> ServiceResponse:
    """Return what there is to print with: the sums by material, the spools, and what should be bought."""
    entry = brain_entry(call)
    only = given(call, "material")
    stock = await every_item(call, entry, "stock.list")
    spools = await every_item(call, entry, "spools.list", given(call, "material", "archived"))
    wanted = await every_item(call, entry, "procurements.list")
    # The brain names a material in its own way, and its spools bear that name.
    names = {spool["material"] for spool in spools} | {only.get("material", "").upper()}
    found: Json = {"stock": stock, "spools": spools, "procurements": wanted}
    if only:
        for part in ("stock", "procurements"):
            found[part] = [row for row in found[part] if row["material"].upper() in names]
    return found


async def _decide_procurement(call: ServiceCall) -> ServiceResponse:
    """Approve, reject or finish a proposal to buy something, as the person who calls."""
    if await user_of_call(call) is None:
        raise Refused("user_required")
    entry = brain_with(call, "procurements", call.data["proposal_id"])
    await require_worker(call, entry)
    return await tell(call, entry, "procurements.decide", given(call, "proposal_id", "decision"))


async def _sync_spoolman(call: ServiceCall) -> ServiceResponse:
    """Have the brain look at Spoolman now."""
    entry = brain_entry(call)
    await require_worker(call, entry)
    return await tell(call, entry, "spoolman.sync", {}, timeout=SYNC_TIMEOUT_S)


async def _export_jobs(call: ServiceCall) -> ServiceResponse:
    """Return the prints as a file."""
    if ATTR_DEVICE_ID not in call.data:
        return await _export(call, brain_entry(call), "jobs.export", {})
    target = device_of(call)
    await require_sight(call, target.entry, target.device_id)
    return await _export(call, target.entry, "jobs.export", {"device_id": target.device_id})


async def _export_inventory(call: ServiceCall) -> ServiceResponse:
    """Return the store room as a file."""
    return await _export(call, brain_entry(call), "inventory.export", given(call, "what"))


async def _export(
    call: ServiceCall, entry: KittyConfigEntry, action: str, params: Json
) -> ServiceResponse:
    """Return a whole export as text, or write it to where the call wants it."""
    format_ = call.data["format"]
    path = await where_to(call, f".{format_}")
    parts: list[str] = []
    rows, asked = 0, params | {"format": format_}
    while True:
        told = await tell(call, entry, action, asked)
        parts.append(base64.b64decode(told["data"]).decode())
        rows += told["rows"]
        if told["cursor"] is None:
            break
        asked = asked | {"cursor": told["cursor"]}
    text = _joined(parts, format_)
    answer: Json = {"name": told["name"], "content_type": told["content_type"], "rows": rows}
    if path is None:
        return answer | {"text": text}
    await write(call.hass, path, text.encode())
    return answer | {"path": str(path)}


def _joined(parts: list[str], format_: str) -> str:
    """Return the pages of an export as one file: one list, or one table with one head."""
    if format_ == "json":
        return json.dumps([row for part in parts for row in json.loads(part)], ensure_ascii=False)
    return parts[0] + "".join(part.partition("\r\n")[2] for part in parts[1:])


_EXPORT: Final = {
    **ENTRY,
    vol.Optional("format", default="csv"): vol.In(_FORMATS),
    vol.Optional("path"): cv.string,
}

ACTIONS: Final = (
    Action(
        name="add_spool",
        run=worker_hands_on("spools.put", *_TRAITS),
        schema={**ENTRY, vol.Required("material"): _WORD, **_TRAIT_FIELDS},
    ),
    Action(
        name="update_spool",
        run=_on_spool("spools.put", *_TRAITS),
        schema={**_SPOOL, vol.Optional("material"): _WORD, **_TRAIT_FIELDS},
        check=cv.has_at_least_one_key(*_TRAITS),
    ),
    Action(
        name="use_filament",
        run=_on_spool("spools.use", "grams", "mm"),
        schema={
            **_SPOOL,
            vol.Exclusive("grams", "amount"): vol.All(_GRAMS, vol.Range(min=0.001)),
            vol.Exclusive("mm", "amount"): vol.All(
                vol.Coerce(float), vol.Range(min=0.001, max=100_000_000)
            ),
        },
        check=cv.has_at_least_one_key("grams", "mm"),
    ),
    Action(
        name="load_spool",
        run=_load_spool,
        schema={
            **_SPOOL,
            vol.Optional(ATTR_DEVICE_ID): one_device,
            vol.Optional("slot"): vol.All(vol.Coerce(int), vol.Range(min=0, max=255)),
        },
    ),
    Action(
        name="archive_spool",
        run=_on_spool("spools.archive", "archived"),
        schema={**_SPOOL, vol.Optional("archived", default=True): cv.boolean},
    ),
    Action(
        name="get_stock",
        run=_get_stock,
        schema={
            **ENTRY,
            vol.Optional("material"): _WORD,
            vol.Optional("archived", default=False): cv.boolean,
        },
        response=ONLY,
    ),
    Action(
        name="set_stock_limit",
        run=hands_on("stock.limit", "material", "low_g", "order_g"),
        schema={
            **ENTRY,
            vol.Required("material"): _WORD,
            vol.Optional("low_g", default=None): vol.Any(None, _GRAMS),
            vol.Optional("order_g"): vol.All(_GRAMS, vol.Range(min=0.001)),
        },
        admin=True,
    ),
    Action(
        name="decide_procurement",
        run=_decide_procurement,
        schema={
            **ENTRY,
            vol.Required("proposal_id"): cv.string,
            vol.Required("decision"): vol.In(["approve", "reject", "done"]),
        },
    ),
    Action(name="sync_spoolman", run=_sync_spoolman, schema=ENTRY),
    Action(
        name="export_jobs",
        run=_export_jobs,
        schema={**_EXPORT, vol.Optional(ATTR_DEVICE_ID): one_device},
        response=ONLY,
    ),
    Action(
        name="export_inventory",
        run=_export_inventory,
        schema={
            **_EXPORT,
            vol.Optional("what", default="spools"): vol.In(["spools", "stock", "usage"]),
        },
        response=ONLY,
    ),
)
