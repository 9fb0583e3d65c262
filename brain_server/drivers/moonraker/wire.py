"""What goes to Moonraker and what comes back: paths, bodies and texts."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from brain_server import __version__
from brain_server.drivers import Order, Outcome
from brain_server.drivers.moonraker.printer import OBJECTS
from brain_server.errors import DeviceError
from brain_server.lan import record, sentence
from brain_server.protocol import CommandStatus, Json

type Path = tuple[str, ...]

# The numbers of our calls on the socket, by which their answers are known.
HELLO: Final = 1
INFO: Final = 2
HISTORY: Final = 3
STATUS: Final = 4
ECHO: Final = 5
# Klipper has answered these with its last breath, or, for the first, would queue it behind a heater.
_WITHOUT_QUEUE: Final = {
    "M112": ("printer", "emergency_stop"),
    "RESTART": ("printer", "restart"),
    "FIRMWARE_RESTART": ("printer", "firmware_restart"),
}
_PRINT: Final = {"print_pause": "pause", "print_resume": "resume", "print_cancel": "cancel"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One POST to Moonraker."""

    path: Path
    query: dict[str, str] = field(default_factory=dict)
    body: Json | None = None


def request_for(order: Order) -> Call:
    """Return the call that carries an order; DeviceError where there is nothing to send."""
    match order.intent:
        case "print_start":
            file = order.params["file"]
            steps = file.split("/")
            if not all(steps) or {".", ".."} & set(steps):
                raise DeviceError("device_refused", "There can be no file of that name")
            return Call(path=("printer", "print", "start"), query={"filename": file})
        case "print_pause" | "print_resume" | "print_cancel":
            return Call(path=("printer", "print", _PRINT[order.intent]))
        case "heat":
            codes = {"nozzle": "M104", "bed": "M140"}
            return _script([f"{codes[part]} S{value:g}" for part, value in order.params.items()])
        case "gcode":
            lines = [line.partition(";")[0].strip() for line in order.params["script"].splitlines()]
            return _script([line for line in lines if line])
        case _:
            raise DeviceError("not_supported", f"Moonraker has no {order.intent}")


def _script(lines: list[str]) -> Call:
    if not lines:
        raise DeviceError("device_refused", "The order says nothing to do")
    if len(lines) == 1 and (path := _WITHOUT_QUEUE.get(lines[0].upper())):
        return Call(path=path)
    return Call(path=("printer", "gcode", "script"), body={"script": "\n".join(lines)})


def rpc(number: int, method: str, **params: Any) -> Json:
    """Return a call on the socket."""
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


def hello() -> Json:
    """Return how we introduce ourselves, so that a person sees in Moonraker's log who it was."""
    return rpc(
        HELLO,
        "server.connection.identify",
        client_name="KITTY",
        version=__version__,
        type="other",
        url="https://github.com/kitty-home/kitty",
    )


def history() -> Json:
    """Return the question for the last runs, the newest first."""
    return rpc(HISTORY, "server.history.list", limit=5, order="desc")


def subscription() -> Json:
    """Return the question for the state, and for its changes from then on."""
    return rpc(STATUS, "printer.objects.subscribe", objects=OBJECTS)


def runs(answer: Json) -> list[Json]:
    """Return the runs of an answer; where Moonraker keeps no history there are none."""
    jobs = record(answer.get("result")).get("jobs")
    return [record(job) for job in jobs] if isinstance(jobs, list) else []


def paths(listing: Any) -> Iterator[str]:
    """Yield the print files of a listing."""
    for entry in listing if isinstance(listing, list) else []:
        if isinstance(path := record(entry).get("path"), str):
            yield path


def error_text(status: int, answer: Json) -> str:
    """Return Moonraker's own sentence; never the program lines that it sends along."""
    words = record(answer.get("error")).get("message")
    return sentence(words, f"Moonraker answered HTTP {status}")


def unknown(detail: str) -> Outcome:
    """Return the outcome of an order that may or may not have been carried out."""
    return Outcome(status=CommandStatus.UNKNOWN, detail=detail)
