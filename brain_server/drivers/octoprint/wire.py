"""What goes to OctoPrint and what comes back: paths, bodies and texts."""

from collections.abc import Iterator
from typing import Final

from brain_server.drivers import Order, Outcome
from brain_server.drivers.octoprint.printer import SERIAL_LOG
from brain_server.errors import DeviceError
from brain_server.lan import record, sentence
from brain_server.protocol import CommandStatus, Json

type Path = tuple[str, ...]

_EVENTS: Final = (
    "PrinterStateChanged",
    "PrintStarted",
    "PrintDone",
    "PrintCancelled",
    "PrintFailed",
    "Error",
)


def request_for(order: Order) -> tuple[Path, Json]:
    """Return the API path and the body of an order; DeviceError where there is nothing to send."""
    match order.intent:
        case "print_start":
            path = order.params["file"].split("/")
            if not all(path) or {".", ".."} & set(path):
                raise DeviceError("device_refused", "There can be no file of that name")
            return ("files", "local", *path), {"command": "select", "print": True}
        case "print_pause":
            return ("job",), {"command": "pause", "action": "pause"}
        case "print_resume":
            return ("job",), {"command": "pause", "action": "resume"}
        case "print_cancel":
            return ("job",), {"command": "cancel"}
        case "heat":
            codes = {"nozzle": "M104", "bed": "M140"}
            lines = [f"{codes[part]} S{value:g}" for part, value in order.params.items()]
        case "gcode":
            lines = [line.partition(";")[0].strip() for line in order.params["script"].splitlines()]
        case _:
            raise DeviceError("not_supported", f"OctoPrint has no {order.intent}")
    if not any(lines):
        raise DeviceError("device_refused", "The order says nothing to do")
    # Both heaters in one request: two could end with one of them done.
    return ("printer", "command"), {"commands": [line for line in lines if line]}


def subscription(*, logs: bool) -> Json:
    """Return the filter of the push socket; without one, every G4 in a print is an event."""
    wanted = SERIAL_LOG if logs else False
    return {
        "subscribe": {
            "state": {"logs": wanted, "messages": False},
            "events": list(_EVENTS),
            "plugins": False,
        }
    }


def paths(folder: Json) -> Iterator[str]:
    """Yield the print files of a folder and of those in it."""
    for entry in map(record, folder.get("files") or folder.get("children") or ()):
        if entry.get("type") == "machinecode":
            yield entry["path"]
        yield from paths(entry)


def error_text(status: int, answer: Json) -> str:
    """Return the server's own sentence if it sent one as JSON; never its HTML."""
    return sentence(answer.get("error"), f"OctoPrint answered HTTP {status}")


def unknown(detail: str) -> Outcome:
    """Return the outcome of an order that may or may not have been carried out."""
    return Outcome(status=CommandStatus.UNKNOWN, detail=detail)
