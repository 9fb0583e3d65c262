"""What goes to a Bambu printer: addresses, names and the bodies of orders."""

import re
from typing import Any, Final

from brain_server import lan
from brain_server.drivers import Order
from brain_server.errors import DeviceError, InvalidRequest
from brain_server.protocol import Json

_HOST: Final = re.compile(r"[A-Za-z0-9_.:-]{1,253}", re.ASCII)
_SERIAL: Final = re.compile(r"[A-Za-z0-9]{8,32}", re.ASCII)
# What FAT, the file system of the printer's card, does not take.
_NOT_IN_A_NAME: Final = re.compile(r'[<>:"|?*]')
_PROJECT: Final = ".3mf"
_PRINTABLE: Final = (_PROJECT, ".gcode")
# The series that read a project from the card by its path; the others read it by their own FTP.
_BY_PATH: Final = frozenset({"X1", "P1"})
_LARGEST_PLATE: Final = 36


def host(value: Any) -> str:
    """Return the address that a person typed; InvalidRequest when it is none."""
    text = str(value).strip()
    if not _HOST.fullmatch(text):
        raise InvalidRequest("invalid_option", "This is not a host name or address", field="host")
    return text


def serial(value: Any) -> str:
    """Return the serial number that a person typed; InvalidRequest when it is none."""
    text = str(value).strip().upper()
    if not _SERIAL.fullmatch(text):
        raise InvalidRequest("invalid_option", "This is not a serial number", field="serial")
    return text


def mapping(value: Any) -> list[int]:
    """Return the slots, one for each filament of a file; InvalidRequest when they are none."""
    try:
        slots = [int(one) for one in str(value or "").replace(",", " ").split()]
    except ValueError as err:
        raise InvalidRequest("invalid_option", "Slots are numbers", field="ams_mapping") from err
    if any(not -1 <= slot <= 254 for slot in slots):
        raise InvalidRequest("invalid_option", "There is no such slot", field="ams_mapping")
    return slots


def file_name(name: str) -> str:
    """Return the last part of a name, cleaned; InvalidRequest when nothing is left of it."""
    return _NOT_IN_A_NAME.sub("_", lan.file_name(name))


def is_printable(name: str) -> bool:
    """Tell whether a file of this name is one that can be printed."""
    return name.lower().endswith(_PRINTABLE)


def body(order: Order, options: Json, series: str) -> Json:
    """Return the command of an order; DeviceError where there is nothing to send."""
    match order.intent:
        case "print_start":
            return _start(order.params, options, series)
        case "print_pause":
            return {"command": "pause", "param": ""}
        case "print_resume":
            return {"command": "resume", "param": ""}
        case "print_cancel":
            return {"command": "stop", "param": ""}
        case "heat":
            codes = {"nozzle": "M104", "bed": "M140"}
            lines = [f"{codes[part]} S{value:g}" for part, value in order.params.items()]
        case "gcode":
            lines = [line.partition(";")[0].strip() for line in order.params["script"].splitlines()]
        case _:
            raise DeviceError("not_supported", f"A Bambu printer has no {order.intent}")
    if not any(lines):
        raise DeviceError("device_refused", "The order says nothing to do")
    # Both heaters in one command: two could end with one of them done.
    return {"command": "gcode_line", "param": "".join(f"{line}\n" for line in lines if line)}


def _start(params: Json, options: Json, series: str) -> Json:
    file = str(params["file"])
    if file_name(file) != file or not is_printable(file):
        raise DeviceError("device_refused", "There can be no print file of that name")
    if not file.lower().endswith(_PROJECT):
        return {"command": "gcode_file", "param": f"/sdcard/{file}" if series == "X1" else file}
    plate = params.get("plate") or options.get("plate") or 1
    if not isinstance(plate, int | float) or not 1 <= plate <= _LARGEST_PLATE:
        raise DeviceError("device_refused", "There is no such plate")
    slots = params.get("ams_mapping")
    slots = mapping(options.get("ams_mapping")) if slots is None else [int(one) for one in slots]
    use_ams = params.get("use_ams", options.get("use_ams"))
    return {
        "command": "project_file",
        "param": f"Metadata/plate_{int(plate)}.gcode",
        "url": f"file:///sdcard/{file}" if series in _BY_PATH else f"ftp:///{file}",
        "file": file,
        # By this name the print is known again: there are no other ids without the maker's cloud.
        "subtask_name": file,
        **dict.fromkeys(("project_id", "profile_id", "task_id", "subtask_id"), "0"),
        "md5": "",
        "bed_type": "auto",
        "timelapse": False,
        "bed_leveling": True,
        "flow_cali": False,
        "vibration_cali": True,
        "layer_inspect": False,
        "use_ams": bool(slots) if use_ams is None else bool(use_ams),
        "ams_mapping": slots,
    }
