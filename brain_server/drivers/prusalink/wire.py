"""What goes to PrusaLink and what comes back: paths, bodies, names and texts."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Self

from brain_server.drivers import Order, Outcome
from brain_server.errors import DeviceError, InvalidRequest
from brain_server.lan import file_name, record, sentence
from brain_server.protocol import CommandStatus, Json

type Path = tuple[str, ...]

# What PrusaLink refuses in a name, and what the cards and sticks of printers cannot hold.
_FORBIDDEN: Final = frozenset('\\?"%¯°#ˇ<>:|*')
_ENDINGS: Final = (".gcode", ".gco", ".gc", ".g", ".bgcode", ".bgc")
_MOST_BYTES: Final = 248
_JOB: Final = {
    "print_pause": ("PUT", ("pause",)),
    "print_resume": ("PUT", ("resume",)),
    "print_cancel": ("DELETE", ()),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request that carries an order or a part of one."""

    method: str
    path: Path
    body: Json | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Storages:
    """Where a printer keeps its files. A name without a storage is one in the default storage."""

    default: str = "local"
    # For each beginning of a path that PrusaLink shows: the name of the storage in its API.
    roots: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, answer: Json, wanted: str) -> Self:
        """Read the list of storages; the default is the one that is wanted, or the first to write to."""
        roots: dict[str, str] = {}
        writable: list[str] = []
        listed = answer.get("storage_list")
        for storage in map(record, listed if isinstance(listed, list) else ()):
            name = str(storage.get("path")).strip("/")
            roots |= {name: name, str(storage.get("name") or name): name}
            if storage.get("available") and not storage.get("read_only"):
                writable.append(name)
        first = [name for name in (wanted, *writable, *roots.values()) if name in roots.values()]
        return cls(default=first[0] if first else "local", roots=roots)

    def named(self, storage: str, steps: list[str]) -> str:
        """Return the name of a file, as a start takes it."""
        plain = storage == self.default and steps[0] not in self.roots.values()
        return "/".join(steps if plain else [storage, *steps])

    def place(self, name: str) -> Path:
        """Return the path of a file in the API; DeviceError where there can be no such file."""
        steps = name.split("/")
        if not all(steps) or {".", ".."} & set(steps):
            raise DeviceError("device_refused", "There can be no file of that name")
        if len(steps) == 1 or steps[0] not in self.roots.values():
            steps.insert(0, self.default)
        return ("v1", "files", *steps)


def calls_for(order: Order, storages: Storages, job_id: int | None) -> list[Call]:
    """Return what carries an order; DeviceError where there is nothing to send."""
    match order.intent:
        case "print_start":
            return [Call(method="POST", path=storages.place(order.params["file"]))]
        case "print_pause" | "print_resume" | "print_cancel":
            if job_id is None:
                raise DeviceError("device_refused", "The printer shows no job")
            method, verb = _JOB[order.intent]
            return [Call(method=method, path=("v1", "job", str(job_id), *verb))]
        case "heat":
            return [_heat(part, value) for part, value in order.params.items()]
        case _:
            raise DeviceError("not_supported", f"PrusaLink has no {order.intent}")


def _heat(part: str, celsius: float) -> Call:
    wanted: Json = {"target": celsius} if part == "bed" else {"targets": {"tool0": celsius}}
    path = ("printer", "bed" if part == "bed" else "tool")
    return Call(method="POST", path=path, body={"command": "target"} | wanted)


def stored_name(name: str) -> str:
    """Return a file's name as PrusaLink takes it; InvalidRequest when it is no print file."""
    kept = file_name("".join(char for char in name.replace("\\", "/") if char not in _FORBIDDEN))
    if not kept.lower().endswith(_ENDINGS) or len(kept.encode()) > _MOST_BYTES:
        raise InvalidRequest("invalid_file_name", "This is not the name of a print file")
    return kept


def job_file(job: Json, storages: Storages) -> str | None:
    """Return the name of the file of a job, as a start takes it."""
    file = record(job.get("file"))
    # A printer with a processor of its own has short names (8.3) beside those that people gave.
    shown = file.get("display_name") or file.get("name")
    if not isinstance(shown, str) or not shown:
        return None
    # A Raspberry Pi gives the whole path, a printer by itself only the folder.
    steps = [step for step in str(file.get("path") or "").split("/") if step]
    if steps and steps[-1] in {shown, file.get("name")}:
        steps.pop()
    storage = storages.roots.get(steps[0], storages.default) if steps else storages.default
    return storages.named(storage, [*steps[1:], shown])


def entries(folder: Json) -> Iterator[tuple[str, bool]]:
    """Yield what is in a folder: its step in a path, and whether it is a folder again."""
    children = folder.get("children")
    for child in map(record, children if isinstance(children, list) else ()):
        short, shown = child.get("name"), child.get("display_name")
        if child.get("type") == "FOLDER" and short:
            yield str(short), True
        elif child.get("type") == "PRINT_FILE" and (shown or short):
            yield str(shown or short), False


def error_text(status: int, answer: Json) -> str:
    """Return PrusaLink's own sentence if it sent one."""
    return sentence(answer.get("message"), f"PrusaLink answered HTTP {status}")


def unknown(detail: str) -> Outcome:
    """Return the outcome of an order that may or may not have been carried out."""
    return Outcome(status=CommandStatus.UNKNOWN, detail=detail)


def first_camera(answer: Json) -> str | None:
    """Return the id of the first camera that is connected."""
    listed: Any = answer.get("camera_list")
    for camera in map(record, listed if isinstance(listed, list) else ()):
        if camera.get("connected") and isinstance(camera.get("camera_id"), str):
            return str(camera["camera_id"])
    return None
