"""The action that packs what helps somebody who helps; nothing in it is a secret or a name."""

import json
from typing import Final

from homeassistant.core import ServiceCall, ServiceResponse
from homeassistant.helpers import config_validation as cv
import probatio as vol

from .actions import ENTRY, ONLY, Action, brain_entry, tell
from .diagnostics import async_get_config_entry_diagnostics, cleaned
from .disk import where_to, write
from .protocol import Json


async def _bundle(call: ServiceCall) -> ServiceResponse:
    """Return the diagnosis of the brain and what Home Assistant knows of it, or write it to a file."""
    path = await where_to(call, ".json")
    entry = brain_entry(call)
    told = await tell(call, entry, "system.support", {})
    bundle: Json = {
        "brain": await cleaned(call.hass, entry, told),
        "home_assistant": await async_get_config_entry_diagnostics(call.hass, entry),
    }
    if path is None:
        return bundle
    await write(call.hass, path, json.dumps(bundle, indent=2, default=str).encode())
    return {"path": str(path)}


ACTIONS: Final = (
    Action(
        name="get_support_bundle",
        run=_bundle,
        schema={**ENTRY, vol.Optional("path"): cv.string},
        response=ONLY,
        admin=True,
    ),
)
