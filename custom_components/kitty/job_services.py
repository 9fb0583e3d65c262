"""Actions on what KITTY does by itself: run a job now, change its times, try again what was given up."""

from typing import TYPE_CHECKING, Final

from homeassistant.core import ServiceCall, ServiceResponse
from homeassistant.helpers import config_validation as cv
import probatio as vol

from .actions import ENTRY, ONLY, Action, brain_entry, given, hands_on, tell, user_of_call
from .errors import Refused
from .jobs import dead
from .protocol import Json
from .rights import has_say, require_own

if TYPE_CHECKING:
    from . import KittyConfigEntry

_JOB: Final = vol.All(cv.string, vol.Length(min=1, max=64))


async def _retry(call: ServiceCall) -> ServiceResponse:
    """Try one piece of dead work again, or all of it over which the caller has a say."""
    entry, user = brain_entry(call), await user_of_call(call)
    if "work_id" in call.data:
        ids = [call.data["work_id"]]
        await _require_own_work(call, entry, {"work_id": ids[0]})
    else:
        rows = dead(entry.runtime_data.coordinator.data)
        ids = [row["id"] for row in rows if has_say(entry, user, row["requested_by"])]
    if not ids:
        raise Refused("no_dead_letters")
    return {"items": [await tell(call, entry, "work.retry", {"work_id": one}) for one in ids]}


async def _cancel(call: ServiceCall) -> ServiceResponse:
    """Cancel work of the house's or one's own; that of other people only who may."""
    entry, about = brain_entry(call), given(call, "work_id")
    await _require_own_work(call, entry, about)
    return await tell(call, entry, "work.cancel", about)


async def _require_own_work(call: ServiceCall, entry: KittyConfigEntry, about: Json) -> None:
    row = await tell(call, entry, "work.get", about)
    await require_own(call, entry, row["requested_by"])


ACTIONS: Final = (
    Action(
        name="run_job",
        run=hands_on("schedule.run", "name"),
        schema={**ENTRY, vol.Required("name"): _JOB},
    ),
    Action(
        name="change_job",
        run=hands_on("schedule.change", "name", "timing", "enabled"),
        schema={
            **ENTRY,
            vol.Required("name"): _JOB,
            vol.Optional("timing"): vol.All(cv.string, vol.Length(min=1, max=64)),
            vol.Optional("enabled"): cv.boolean,
        },
        admin=True,
    ),
    Action(
        name="retry_dead_letter",
        run=_retry,
        schema={**ENTRY, vol.Optional("work_id"): cv.string},
    ),
    Action(
        name="cancel_work",
        run=_cancel,
        schema={**ENTRY, vol.Required("work_id"): cv.string},
    ),
    Action(
        name="get_work",
        run=hands_on("work.list", "status", "kind", "limit"),
        schema={
            **ENTRY,
            vol.Optional("status"): vol.In(
                ["pending", "running", "completed", "dead", "cancelled"]
            ),
            vol.Optional("kind"): _JOB,
            vol.Optional("limit"): vol.All(vol.Coerce(int), vol.Range(min=1, max=1000)),
        },
        response=ONLY,
    ),
)
