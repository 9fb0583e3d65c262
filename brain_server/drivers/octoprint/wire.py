"""What goes to OctoPrint and what comes back: paths, bodies, names and texts."""

from collections.abc import Iterator
import json
from pathlib import PurePosixPath
import re
from typing import Any, Final

from aiohttp import ClientResponse
from yarl import URL

from brain_server.drivers import Order, Outcome
from brain_server.drivers.octoprint.printer import SERIAL_LOG, one_line, record
from brain_server.errors import DeviceError, InvalidRequest
from brain_server.protocol import CommandStatus, Json

type Path = tuple[str, ...]

_MARKUP: Final = re.compile(r"<[a-zA-Z!/]")
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


def address(value: Any, field: str) -> URL:
    """Return a web address that a person typed; InvalidRequest names the field."""
    try:
        url = URL(str(value).strip())
    except ValueError as err:
        raise InvalidRequest("invalid_option", "This is not a web address", field=field) from err
    if url.scheme not in {"http", "https"} or not url.host:
        raise InvalidRequest("invalid_option", "This is not a web address", field=field)
    return url


def file_name(name: str) -> str:
    """Return the last part of a name, cleaned; InvalidRequest when nothing is left of it."""
    last = PurePosixPath(name.replace("\\", "/")).name
    safe = "".join(char for char in last if char.isprintable() and char != '"').strip(" .")
    if not safe or len(safe) > 200:
        raise InvalidRequest("invalid_file_name", "This is not a file name")
    return safe


def paths(folder: Json) -> Iterator[str]:
    """Yield the print files of a folder and of those in it."""
    for entry in map(record, folder.get("files") or folder.get("children") or ()):
        if entry.get("type") == "machinecode":
            yield entry["path"]
        yield from paths(entry)


async def read(response: ClientResponse, limit: int) -> bytes:
    """Return the body; of one that is too large, only so much that it shows."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            break
    return bytes(body)


def error_text(status: int, answer: Json) -> str:
    """Return the server's own sentence if it sent one as JSON; never its HTML."""
    text = one_line(answer.get("error"))
    return text if text and not _MARKUP.search(text) else f"OctoPrint answered HTTP {status}"


def unknown(detail: str) -> Outcome:
    """Return the outcome of an order that may or may not have been carried out."""
    return Outcome(status=CommandStatus.UNKNOWN, detail=detail)


def parsed(text: str | bytes) -> Any:
    """Return what a JSON text says, and None for any other text."""
    try:
        return json.loads(text)
    except ValueError:
        return None
