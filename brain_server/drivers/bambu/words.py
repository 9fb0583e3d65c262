"""The numbers that a Bambu printer speaks in, and what they are called."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from brain_server.protocol import Json

# The error of a print that a person ended, at the printer or from anywhere else.
CANCELLED: Final = 0x0300_400C
# The answer to an order that the maker has not signed.
UNSIGNED: Final = 0x0502_4007
# The notice that the printer itself shows then.
_UNSIGNED_NOTICE: Final = "0500-0500-0001-0007"
# The bit of ``fun`` that says so beforehand.
_SIGNED_ONLY: Final = 0x2000_0000
_FATAL: Final = 1
# The number of the spool outside of any AMS.
EXTERNAL: Final = 254
# Four AMS with four spools and eight with one, and the spool outside; no printer has more.
_MOST_SLOTS: Final = 32

# What the printer calls stages; those it has in common with printing are left out.
_STAGES: Final[Mapping[int, str]] = {
    1: "bed_leveling",
    2: "bed_heating",
    3: "vibration_check",
    4: "filament_change",
    5: "paused_by_file",
    6: "paused_filament_runout",
    7: "nozzle_heating",
    8: "extrusion_calibration",
    9: "bed_scan",
    10: "first_layer_inspection",
    11: "plate_detection",
    12: "lidar_calibration",
    13: "homing",
    14: "nozzle_cleaning",
    15: "nozzle_temperature_check",
    16: "paused_by_person",
    17: "paused_front_cover",
    18: "lidar_calibration",
    19: "flow_calibration",
    20: "paused_nozzle_temperature",
    21: "paused_bed_temperature",
    22: "filament_unloading",
    23: "paused_skipped_step",
    24: "filament_loading",
    25: "motor_noise_calibration",
    26: "paused_ams_lost",
    27: "paused_fan_speed",
    28: "paused_chamber_temperature",
    29: "chamber_cooling",
    30: "paused_by_file",
    32: "paused_nozzle_covered",
    33: "paused_cutter",
    34: "paused_first_layer",
    35: "paused_nozzle_clog",
}
# The beginning of a serial number is the model.
_MODELS: Final[Mapping[str, tuple[str, str]]] = {
    "00M": ("X1", "X1 Carbon"),
    "00W": ("X1", "X1"),
    "03W": ("X1", "X1E"),
    "01S": ("P1", "P1P"),
    "01P": ("P1", "P1S"),
    "030": ("A1", "A1 mini"),
    "039": ("A1", "A1"),
    "22E": ("P2", "P2S"),
    "093": ("H2", "H2S"),
    "094": ("H2", "H2D"),
}
SERIES: Final = ("A1", "P1", "P2", "X1", "H2")


def model(serial: str) -> tuple[str, str]:
    """Return the series and the model that a serial number stands for; of an unknown one, empty words."""
    return _MODELS.get(serial[:3].upper(), ("", ""))


def stage(number: Any) -> str | None:
    """Return the name of the stage that a print is in, if it has one worth telling."""
    return _STAGES.get(number) if isinstance(number, int) else None


def print_error(code: int) -> str:
    """Return a print error as the printer's screen shows it."""
    return f"{code >> 16:04X}-{code & 0xFFFF:04X}"


def notices(told: Any) -> Iterator[tuple[str, bool]]:
    """Yield the notices of the health system as the screen shows them, and whether each is fatal.

    The one about unsigned orders is left out: it is no trouble of the machine.
    """
    for one in told if isinstance(told, list) else ():
        attribute, code = (one.get("attr"), one.get("code")) if isinstance(one, dict) else (0, 0)
        if not isinstance(attribute, int) or not isinstance(code, int) or not attribute:
            continue
        text = f"{print_error(attribute)}-{print_error(code)}"
        if text != _UNSIGNED_NOTICE:
            yield text, code >> 16 == _FATAL


def signed_only(fun: Any) -> bool:
    """Tell whether the printer says that it takes no order which its maker has not signed."""
    try:
        return bool(int(str(fun), 16) & _SIGNED_ONLY)
    except ValueError:
        return False


def slots(report: Json) -> list[Json]:
    """Return what each place for a spool holds, by the numbers that ``ams_mapping`` takes."""
    found = []
    ams = report.get("ams")
    for unit in _each(ams.get("ams") if isinstance(ams, dict) else None):
        for tray in _each(unit.get("tray")):
            first, place = _int(unit.get("id")), _int(tray.get("id"))
            if first is not None and place is not None:
                # An AMS for one spool is numbered from 128.
                found.append(_slot(first * 4 + place if first < 128 else first, tray))
    external = [_slot(EXTERNAL, tray) for tray in _each([report.get("vt_tray")])]
    return (found + external)[:_MOST_SLOTS]


def _slot(number: int, tray: Json) -> Json:
    color, remaining = str(tray.get("tray_color") or "")[:6].lower(), tray.get("remain")
    material = str(tray.get("tray_type") or "") or None
    known = isinstance(remaining, int | float) and 0 <= remaining <= 100 and number != EXTERNAL
    return {
        "slot": number,
        "material": material,
        "color": color if material and len(color) == 6 else None,
        "remaining": remaining if material and known else None,
    }


def _each(value: Any) -> list[Json]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _int(value: Any) -> int | None:
    try:
        return int(value)
    except TypeError, ValueError, OverflowError:
        return None
