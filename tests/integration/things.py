"""The brain's things as they come over the wire: a workshop with one of each, and ways to vary them."""

from typing import Any, Final

from custom_components.kitty.protocol import INTENTS, Json, subject_hash

DOOR: Final = "d0" * 16
POWER: Final = "50" * 16
PRINTER: Final = "b1" * 16
LIGHT: Final = "11" * 16
SENSOR: Final = "5e" * 16
CAMERA: Final = "ca" * 16

NOW: Final = 1_795_000_000.0


def device(device_id: str, kind: str, name: str, **changes: Any) -> Json:
    """Return a device that is online, of a driver of the brain, in no area."""
    return {
        "id": device_id,
        "driver": "demo",
        "name": name,
        "kind": kind,
        "zone_id": None,
        "capabilities": [],
        "online": "online",
        "reason": None,
        "last_seen": NOW,
        "state": {},
        "manufacturer": "Demo",
        "model": f"Demo {kind}",
        "sw_version": "1.0",
        "has_camera": False,
        "external_id": f"{kind}-1",
        "feeds": None,
        "power_off_when_cool": False,
    } | changes


def door(**changes: Any) -> Json:
    """Return a locked door."""
    state = {"locked": True, "open": False, "jammed": False}
    capabilities = ["lock", "unlock", "open"]
    return device(DOOR, "door", "Workshop door", state=state, capabilities=capabilities) | changes


def power(**changes: Any) -> Json:
    """Return an outlet that is off and feeds the printer."""
    capabilities = ["power_on", "power_off", "power_cut"]
    more = {"state": {"on": False}, "capabilities": capabilities, "feeds": PRINTER}
    return device(POWER, "power", "Printer power", **more) | changes


def printer(**changes: Any) -> Json:
    """Return a printer half through a job."""
    state = {
        "status": "printing",
        "job": {
            "file": "cat.gcode",
            "progress": 50.0,
            "elapsed_s": 600,
            "remaining_s": 1200,
            "started_at": NOW - 600,
            "error": None,
        },
        "nozzle": {"actual": 209.6, "target": 210.0},
        "bed": {"actual": 60.1, "target": 60.0},
    }
    capabilities = ["print_start", "print_pause", "print_resume", "print_cancel", "heat"]
    more = {"state": state, "capabilities": capabilities, "has_camera": True}
    return device(PRINTER, "printer", "Printer", **more) | changes


def light(**changes: Any) -> Json:
    """Return a light that is on."""
    capabilities = ["light_on", "light_off"]
    return device(LIGHT, "light", "Bench", state={"on": True}, capabilities=capabilities) | changes


def sensor(**changes: Any) -> Json:
    """Return a thermometer."""
    return device(SENSOR, "sensor", "Air", state={"value": 21.5, "unit": "°C"}) | changes


def camera(**changes: Any) -> Json:
    """Return a camera."""
    return device(CAMERA, "camera", "Eye", has_camera=True) | changes


def workshop() -> list[Json]:
    """Return one device of each kind."""
    return [door(), power(), printer(), light(), sensor(), camera()]


def event(intent: str = "unlock", device_id: str = DOOR, **changes: Any) -> Json:
    """Return a request that waits for one person; ``id`` also names its command."""
    number: str = changes.get("id", "e1" * 16)
    params: Json = changes.get("params", {})
    found = {
        "id": number,
        "command_id": f"c{number[1:]}",
        "event_type": INTENTS[intent].event_type,
        "device_id": device_id,
        "device_name": "Workshop door",
        "zone_id": None,
        "intent": intent,
        "params": params,
        "level": "medium",
        "status": "pending",
        "people_needed": 1,
        "people": [],
        "initiated_by": None,
        "channel": "dashboard",
        "created_at": NOW,
        "expires_at": NOW + 60,
        "resolved_at": None,
        "approved_by": [],
        "denied_by": None,
        "reason": None,
        "nonce": "no" * 16,
        "policy_version": 1,
        "requires_ppe": False,
        "eligible": [],
        "evidence_key": None,
    } | changes
    found["subject"] = subject_hash(
        device_id=device_id,
        intent=intent,
        params=params,
        zone_id=found["zone_id"],
        policy_version=found["policy_version"],
        expires_at=found["expires_at"],
        nonce=found["nonce"],
    )
    return found


def command(intent: str = "unlock", device_id: str = DOOR, **changes: Any) -> Json:
    """Return a command that waits for its event."""
    return {
        "id": "c1" * 16,
        "device_id": device_id,
        "intent": intent,
        "params": {},
        "status": "pending",
        "requested_by": None,
        "channel": "dashboard",
        "created_at": NOW,
        "sent_at": None,
        "ack_at": None,
        "detail": None,
        "event_id": None,
        "conversation_id": None,
        "idempotency_key": None,
    } | changes


def job(**changes: Any) -> Json:
    """Return a job that is printing."""
    return {
        "id": "0b" * 16,
        "device_id": PRINTER,
        "command_id": None,
        "file": "cat.gcode",
        "status": "printing",
        "progress": 50.0,
        "started_at": NOW - 600,
        "completed_at": None,
        "requested_by": None,
        "error": None,
    } | changes
