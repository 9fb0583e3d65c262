"""What the snapshot says of the workshop: whose turn it is, who watches, what may come too late."""

from collections.abc import Iterator
import math
from typing import Any, Final

from .coordinator import Snapshot
from .protocol import Json

WAITING: Final = frozenset({"queued", "held"})
UNDER_WAY: Final = frozenset({"starting", "printing"})
OPEN_JOBS: Final = frozenset({"preparing", "printing", "paused"})
# A camera that has not looked yet is no trouble.
_WELL: Final = frozenset({"ok", "unknown"})


def in_order(snapshot: Snapshot) -> list[Json]:
    """Return the print queue as it will be printed: what is under way, what is planned, the rest."""
    return sorted(snapshot.queue.values(), key=_turn)


def _turn(row: Json) -> tuple[Any, ...]:
    planned = row["planned_start"]
    start = math.inf if planned is None else planned
    return row["status"] in WAITING, start, -row["priority"], row["created_at"]


def queue_of(snapshot: Snapshot, device_id: str) -> list[Json]:
    """Return what waits for a printer, in its order."""
    return [row for row in _of(snapshot, device_id) if row["status"] in WAITING]


def next_of(snapshot: Snapshot, device_id: str) -> Json | None:
    """Return what a printer prints next, also while it is being started."""
    return next((row for row in _of(snapshot, device_id) if row["status"] != "printing"), None)


def _of(snapshot: Snapshot, device_id: str) -> Iterator[Json]:
    return (row for row in in_order(snapshot) if row["device_id"] == device_id)


def job_on(snapshot: Snapshot, device_id: str) -> Json | None:
    """Return the print that runs on a printer."""
    for job in snapshot.jobs.values():
        if job["device_id"] == device_id and job["status"] in OPEN_JOBS:
            return job
    return None


def is_in_use(snapshot: Snapshot, device_id: str) -> bool:
    """Tell whether something is printed on a printer, or is about to be."""
    under_way = any(row["status"] in UNDER_WAY for row in _of(snapshot, device_id))
    return under_way or job_on(snapshot, device_id) is not None


def is_clear(snapshot: Snapshot, device_id: str) -> bool:
    """Tell whether a person said that the bed of a printer is clear, and nothing was printed since."""
    said: bool = snapshot.beds.get(device_id, {}).get("clear", False)
    return said and not is_in_use(snapshot, device_id)


def artifact_on(snapshot: Snapshot, device_id: str) -> Json | None:
    """Return the file that a printer prints, or prints next, as its picture is asked for."""
    for row in (job_on(snapshot, device_id), next(_of(snapshot, device_id), None)):
        if row is not None and row.get("artifact_id"):
            plate = {"plate": row["plate"]} if row.get("plate") else {}
            return {"artifact_id": str(row["artifact_id"]), **plate}
    return None


def is_late(row: Json) -> bool:
    """Tell whether an item of the queue likely misses its deadline, or cannot be planned at all."""
    if row["deadline"] is None or row["status"] not in WAITING:
        return False
    if row["planned_end"] is None:
        return bool(row["status"] == "held")
    return bool(row["planned_end"] > row["deadline"])


def late(snapshot: Snapshot) -> list[Json]:
    """Return what likely comes too late, the nearest deadline first."""
    found = [row for row in snapshot.queue.values() if is_late(row)]
    return sorted(found, key=lambda row: row["deadline"])


def watchers(snapshot: Snapshot, printer_id: str) -> list[Json]:
    """Return the cameras that watch a printer."""
    return [row for row in snapshot.vision.values() if row["printer_id"] == printer_id]


def blind(snapshot: Snapshot, printer_id: str) -> list[Json]:
    """Return the cameras of a printer that show nothing of use."""
    return [row for row in watchers(snapshot, printer_id) if row["health"] not in _WELL]


def verdict_on(snapshot: Snapshot, printer_id: str) -> Json | None:
    """Return the camera that last judged the print on a printer."""
    judged = [row for row in watchers(snapshot, printer_id) if row["verdict"] is not None]
    return max(judged, key=lambda row: row["at"] or 0.0, default=None)


def printer_of(snapshot: Snapshot, incident: Json) -> str:
    """Return the printer that an incident is about; without any, the camera that saw it."""
    job = snapshot.jobs.get(incident["job_id"] or "")
    if job is not None:
        return str(job["device_id"])
    seen_by = snapshot.vision.get(incident["device_id"], {})
    return str(seen_by.get("printer_id") or incident["device_id"])


def alarms(snapshot: Snapshot, printer_id: str) -> list[Json]:
    """Return the incidents of a printer that nobody has answered."""
    return [
        row
        for row in snapshot.incidents.values()
        if row["status"] == "open" and printer_of(snapshot, row) == printer_id
    ]


def filament(snapshot: Snapshot, device: Json) -> list[Json]:
    """Return what is in each slot of a printer: the spool that a person put there, else what it shows."""
    shown = {
        slot["slot"]: {
            "slot": slot["slot"],
            "material": slot.get("material"),
            "color": slot.get("color"),
            "color_name": None,
            "remaining": slot.get("remaining"),
            "spool_id": None,
        }
        for slot in (device["state"] or {}).get("slots") or ()
    }
    for spool in snapshot.spools.values():
        if spool["device_id"] == device["id"]:
            shown[spool["slot"] or 0] = {
                "slot": spool["slot"] or 0,
                "material": spool["material"],
                "color": spool["color"],
                "color_name": spool["color_name"],
                "remaining": spool["percent"],
                "spool_id": spool["id"],
            }
    return [shown[number] for number in sorted(shown)]


def device_name(snapshot: Snapshot, device_id: str | None) -> str | None:
    """Return what the brain calls a device."""
    name: str | None = snapshot.devices.get(device_id or "", {}).get("name")
    return name
