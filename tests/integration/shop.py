"""What is open in the workshop, as the brain tells it: rows of the queue, of spools, of cameras."""

import base64
import time
from typing import Any, Final

from custom_components.kitty.protocol import Json

from .workshop import CAMERA, NOW, PRINTER

ITEM: Final = "a1" * 16
JOB: Final = "0b" * 16
FILE: Final = "f1" * 16
SPOOL: Final = "55" * 16
PROPOSAL: Final = "b5" * 16
INCIDENT: Final = "1c" * 16
SEEN: Final = "5e" * 16
PIXEL: Final = b"\x89PNG\r\n\x1a\npixel"


def item(**changes: Any) -> Json:
    """Return an item of the queue that is planned on the printer."""
    return {
        "id": ITEM,
        "artifact_id": FILE,
        "title": "Cat",
        "status": "queued",
        "priority": 5,
        "deadline": None,
        "start": "asap",
        "not_before": None,
        "wanted_device_id": None,
        "material": "PLA",
        "color": None,
        "nozzle_mm": 0.4,
        "grams": 20.0,
        "estimated_s": 3600.0,
        "device_id": PRINTER,
        "spool_id": None,
        "planned_start": NOW,
        "planned_end": NOW + 3600,
        "reasons": [{"code": "same_material", "material": "PLA"}],
        "attempts": 0,
        "command_id": None,
        "job_id": None,
        "requested_by": None,
        "conversation_id": None,
        "created_at": NOW - 60,
        "ended_at": None,
    } | changes


def job(**changes: Any) -> Json:
    """Return a print on the printer."""
    return {
        "id": JOB,
        "device_id": PRINTER,
        "command_id": None,
        "file": "cat.gcode",
        "status": "printing",
        "progress": 0.0,
        "artifact_id": None,
        "started_at": NOW,
        "completed_at": None,
        "requested_by": None,
        "error": None,
        "cost_micro": None,
        "used_g": None,
        "energy_wh": None,
    } | changes


def spool(**changes: Any) -> Json:
    """Return a spool on the shelf."""
    return {
        "id": SPOOL,
        "name": "Galaxy",
        "vendor": "Prusament",
        "material": "PLA",
        "color": "1a1a2e",
        "color_name": "Galaxy black",
        "diameter_mm": 1.75,
        "density": 1.24,
        "full_g": 1000.0,
        "remaining_g": 800.0,
        "reserved_g": 20.0,
        "free_g": 780.0,
        "percent": 80.0,
        "price": 25.0,
        "location": None,
        "device_id": None,
        "slot": None,
        "archived": False,
        "spoolman_id": None,
        "created_at": NOW,
        "used_at": None,
    } | changes


def stock(**changes: Any) -> Json:
    """Return how much PLA there is."""
    return {
        "material": "PLA",
        "spools": 1,
        "total_g": 800.0,
        "reserved_g": 20.0,
        "free_g": 780.0,
        "low_g": 200.0,
        "order_g": 1000.0,
        "low": False,
        "archived": False,
    } | changes


def proposal(**changes: Any) -> Json:
    """Return something that should be bought."""
    return {
        "id": PROPOSAL,
        "material": "PETG",
        "grams": 1000.0,
        "cost": 24.9,
        "reason": "below_limit",
        "status": "proposed",
        "decided_by": None,
        "created_at": NOW,
        "decided_at": None,
    } | changes


def camera(**changes: Any) -> Json:
    """Return the camera that watches the printer."""
    return {
        "device_id": CAMERA,
        "printer_id": PRINTER,
        "health": "ok",
        "reason": None,
        "verdict": None,
        "confidence": None,
        "what": None,
        "detector": None,
        "at": None,
        "job_id": None,
        "watching": True,
        "picture": None,
        "muted_until_layer": None,
        "muted_until": None,
        "settings": {},
    } | changes


def incident(**changes: Any) -> Json:
    """Return something that the camera saw go wrong."""
    return {
        "id": INCIDENT,
        "device_id": CAMERA,
        "job_id": JOB,
        "type": "spaghetti_detected",
        "confidence": 0.93,
        "detail": "strings everywhere",
        "picture": "p1c",
        "status": "open",
        "action": "pause",
        "answered_by": None,
        "seen": 3,
        "created_at": NOW,
        "seen_at": NOW,
        "closed_at": None,
    } | changes


def seen(**changes: Any) -> Json:
    """Return what was seen of a print."""
    return {
        "id": SEEN,
        "job_id": JOB,
        "device_id": PRINTER,
        "type": "first_layer_ok",
        "confidence": 0.97,
        "source": "vision",
        "picture": "p2c",
        "detail": None,
        "created_at": NOW,
    } | changes


def review(**changes: Any) -> Json:
    """Return a print that waits for somebody's word."""
    return {
        "job_id": JOB,
        "device_id": PRINTER,
        "file": "cat.gcode",
        "material": "PLA",
        "status": "waiting",
        "outcome": "completed",
        "error": None,
        "ended_at": NOW,
        "good": None,
        "rating": None,
        "reasons": [],
        "quality": {},
        "note": None,
        "has_picture": False,
        "by_user": None,
        "reviewed_at": None,
    } | changes


def picture(content: bytes = PIXEL) -> Json:
    """Return a picture as it goes over the wire."""
    return {"content_type": "image/png", "image": base64.b64encode(content).decode()}


def soon(seconds: float) -> float:
    """Return a time in so many seconds."""
    return time.time() + seconds
