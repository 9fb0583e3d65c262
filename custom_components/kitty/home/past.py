"""When something was last so, from the recorder where there is one."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from homeassistant.core import HomeAssistant, State
from homeassistant.util import dt as dt_util

LOOK_BACK: Final = timedelta(days=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """How long something was so within a stretch of time, and how often it became so."""

    seconds: float
    times: int


async def last_time(
    hass: HomeAssistant, entity_id: str, so: Callable[[State], bool]
) -> datetime | None:
    """Return when an entity last became so; None where nobody kept it."""
    if "recorder" not in hass.config.components:
        return None
    from homeassistant.components.recorder import get_instance  # noqa: PLC0415 - optional
    from homeassistant.components.recorder.history import (  # noqa: PLC0415 - optional
        state_changes_during_period,
    )

    now = dt_util.utcnow()

    def read() -> datetime | None:
        kept = state_changes_during_period(
            hass, now - LOOK_BACK, now, entity_id, no_attributes=False, descending=False
        )
        found: datetime | None = None
        before = False
        for row in kept.get(entity_id, ()):
            # A row of the recorder knows neither its domain nor its name.
            is_so = so(State(entity_id, row.state, row.attributes))
            if is_so and not before:
                found = row.last_changed
            before = is_so
        return found

    return await get_instance(hass).async_add_executor_job(read)


async def spent(
    hass: HomeAssistant,
    entity_id: str,
    so: Callable[[State], bool],
    start: datetime,
    end: datetime,
) -> Spent | None:
    """Return how long and how often an entity was so; None where nobody kept it."""
    if "recorder" not in hass.config.components:
        return None
    from homeassistant.components.recorder import get_instance  # noqa: PLC0415 - optional
    from homeassistant.components.recorder.history import (  # noqa: PLC0415 - optional
        state_changes_during_period,
    )

    def read() -> Spent | None:
        kept = state_changes_during_period(hass, start, end, entity_id, no_attributes=False)
        rows = kept.get(entity_id, ())
        seconds, times = 0.0, 0
        since: datetime | None = None
        for row in rows:
            at = max(row.last_updated, start)
            if not so(State(entity_id, row.state, row.attributes)):
                seconds += (at - since).total_seconds() if since else 0.0
                since = None
            elif since is None:
                since = at
                times += at > start
        seconds += (end - since).total_seconds() if since else 0.0
        return Spent(seconds=seconds, times=times) if rows else None

    return await get_instance(hass).async_add_executor_job(read)
