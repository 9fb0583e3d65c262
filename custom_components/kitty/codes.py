"""A person's own code on its way to an approval: for a moment, in memory, and never in the data of an action.

What an action is called with is an event that Home Assistant records; a code must not be there.
"""

from dataclasses import dataclass
from time import monotonic
from typing import Final

from homeassistant.core import HomeAssistant, callback
from homeassistant.util.hass_dict import HassKey

KEPT_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Code:
    """What was handed over for which request, and until when it is kept."""

    event_id: str
    code: str
    until: float


# Of each person the newest alone.
_CODES: Final[HassKey[dict[str, _Code]]] = HassKey("kitty_codes")


@callback
def hand_over(hass: HomeAssistant, user_id: str, event_id: str, code: str) -> None:
    """Keep the code of a person for their next approval of this request."""
    now = monotonic()
    kept = hass.data.setdefault(_CODES, {})
    for key in [key for key, one in kept.items() if one.until < now]:
        del kept[key]
    kept[user_id] = _Code(event_id=event_id, code=code, until=now + KEPT_S)


@callback
def take(hass: HomeAssistant, user_id: str, event_id: str) -> str | None:
    """Return the code that was handed over for this, once; None where there is none."""
    kept = hass.data.get(_CODES, {})
    found = kept.get(user_id)
    if found is None or found.event_id != event_id:
        return None
    del kept[user_id]
    return found.code if found.until >= monotonic() else None
