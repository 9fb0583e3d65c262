"""Printers that another integration has: what their sensors say, in KITTY's words.

The words of OctoPrint, PrusaLink, Moonraker and Bambu Lab are in the table; `docs/PRINTERS.md` shows it to people.
Which run a job belongs to, and how one ended where only rest is told, is worked out by the brain.
"""

from collections.abc import Mapping
from datetime import datetime
import math
from typing import Any, Final

from homeassistant.const import ATTR_UNIT_OF_MEASUREMENT, UnitOfTemperature, UnitOfTime
from homeassistant.core import HomeAssistant, State
from homeassistant.util import dt as dt_util
from homeassistant.util.unit_conversion import DurationConverter, TemperatureConverter

from .protocol import Json, PrinterStatus

OPTION_FILE: Final = "file_entity"
OPTION_PROGRESS: Final = "progress_entity"
OPTION_REMAINING: Final = "remaining_entity"
OPTION_NOZZLE: Final = "nozzle_entity"
OPTION_NOZZLE_TARGET: Final = "nozzle_target_entity"
OPTION_BED: Final = "bed_entity"
OPTION_BED_TARGET: Final = "bed_target_entity"
SENSORS: Final = (
    OPTION_FILE,
    OPTION_PROGRESS,
    OPTION_REMAINING,
    OPTION_NOZZLE,
    OPTION_NOZZLE_TARGET,
    OPTION_BED,
    OPTION_BED_TARGET,
)

# What is still going on counts as such: a print that is being paused or cancelled has not stopped yet.
WORDS: Final[Mapping[PrinterStatus, frozenset[str]]] = {
    PrinterStatus.IDLE: frozenset({"idle", "operational", "ready", "standby"}),
    PrinterStatus.PREPARING: frozenset(
        {
            "busy",
            "heating",
            "init",
            "prepare",
            "preparing",
            "slicing",
            "starting",
            "starting_sd",
            "starting_streaming",
            "transferring_file",
        }
    ),
    PrinterStatus.PRINTING: frozenset(
        {
            "cancelling",
            "finishing",
            "pausing",
            "printing",
            "printing_sd",
            "printing_streaming",
            "running",
        }
    ),
    PrinterStatus.PAUSED: frozenset({"attention", "pause", "paused", "resuming"}),
    PrinterStatus.COMPLETED: frozenset({"complete", "completed", "finish", "finished"}),
    PrinterStatus.ABORTED: frozenset({"aborted", "canceled", "cancelled", "stopped"}),
    PrinterStatus.FAILED: frozenset({"failed"}),
    PrinterStatus.ERROR: frozenset({"error", "offline_after_error", "shutdown"}),
}
AWAY: Final = frozenset(
    {"connecting", "detect_serial", "disconnected", "offline", "open_serial", "startup"}
)
STATUS: Final = {word: status for status, words in WORDS.items() for word in words}
_MOST_FILE: Final = 255


def blank() -> Json:
    """Return the state of a printer of which nothing is known."""
    unknown = {"actual": None, "target": None}
    return {"status": None, "job": None, "nozzle": unknown, "bed": dict(unknown)}


def is_away(shown: State) -> bool:
    """Tell whether an integration says that the printer itself does not answer."""
    return _word(shown) in AWAY


def read(hass: HomeAssistant, shown: State, options: Mapping[str, Any]) -> Json:
    """Return what a printer does, and the figures that are known of it."""

    def of(option: str) -> State | None:
        return hass.states.get(str(options[option])) if options.get(option) else None

    status = STATUS.get(_word(shown))
    file, progress = of(OPTION_FILE), _figure(of(OPTION_PROGRESS))
    name = file.state[:_MOST_FILE] if file is not None and _is_known(file) else None
    return {
        "status": None if status is None else str(status),
        "job": {
            "file": name,
            "progress": None if progress is None else min(max(progress, 0.0), 100.0),
            "remaining_s": _remaining(of(OPTION_REMAINING)),
        },
        "nozzle": {
            "actual": _celsius(of(OPTION_NOZZLE)),
            "target": _celsius(of(OPTION_NOZZLE_TARGET)),
        },
        "bed": {"actual": _celsius(of(OPTION_BED)), "target": _celsius(of(OPTION_BED_TARGET))},
    }


def _word(shown: State) -> str:
    return "_".join(shown.state.lower().split())


def _is_known(shown: State) -> bool:
    return shown.state not in {"", "unknown", "unavailable", "none", "None"}


def _figure(shown: State | None) -> float | None:
    try:
        found = float(shown.state) if shown is not None else math.nan
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _celsius(shown: State | None) -> float | None:
    """Return a temperature in degrees Celsius; one without a unit is taken to be in them."""
    degrees = _figure(shown)
    if shown is None or degrees is None:
        return None
    unit = shown.attributes.get(ATTR_UNIT_OF_MEASUREMENT) or UnitOfTemperature.CELSIUS
    if unit not in TemperatureConverter.VALID_UNITS:
        return None
    return TemperatureConverter.convert(degrees, unit, UnitOfTemperature.CELSIUS)


def _remaining(shown: State | None) -> float | None:
    """Return how many seconds are left, told as a duration or as the time of the end."""
    if shown is None:
        return None
    until: datetime | None = None
    if (left := _figure(shown)) is not None:
        unit = shown.attributes.get(ATTR_UNIT_OF_MEASUREMENT)
        if unit not in DurationConverter.VALID_UNITS:
            return None
        return max(0.0, DurationConverter.convert(left, unit, UnitOfTime.SECONDS))
    if _is_known(shown):
        until = dt_util.parse_datetime(shown.state)
    if until is None:
        return None
    return max(0.0, (dt_util.as_utc(until) - dt_util.utcnow()).total_seconds())
