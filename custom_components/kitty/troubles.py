"""What is wrong in the workshop for so long that somebody should hear of it: repair issues, each while it lasts."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.event import async_track_time_interval
from homeassistant.helpers.translation import async_get_translations
from homeassistant.util import dt as dt_util

from .const import DOMAIN
from .coordinator import LINK_UP, Snapshot
from .issues import (
    BRAIN_RESTARTS,
    CAMERA_BLIND,
    DEAD_LETTERS,
    JOB_OVERDUE,
    PART_ILL,
    PRINTER_OFFLINE,
    PRINTER_READ_ONLY,
    PRINTER_TROUBLE,
    SPOOL_SHORT,
    report_warnings,
)
from .jobs import dead
from .protocol import Json, Kind, OnlineState
from .workshop import WAITING, blind, device_name, in_order, job_on

if TYPE_CHECKING:
    from . import KittyConfigEntry

BLIND_S: Final = 30 * 60
OFFLINE_S: Final = 4 * 3600
# So many starts of the brain within so many seconds are no updates.
STARTS: Final = 4
STARTS_S: Final = 600
HEALTH: Final = "camera_health"
FLEET: Final = "fleet_trouble"
PART: Final = "brain_part"
# Parts without which nothing is safe or nothing goes on; what ails the others has words of its own.
VITAL: Final = ("brain_database", "safety_database", "tasks")
ILL_S: Final = 120
EVERY: Final = timedelta(minutes=1)
# The one driver whose printers can be told to take orders again.
_LOCKABLE: Final = "bambu"

type Words = dict[str, dict[str, str]]


class Troubles:
    """Looks at the snapshot whenever it changes, and each minute because time passes."""

    def __init__(self, hass: HomeAssistant, entry: KittyConfigEntry) -> None:
        """Take the entry."""
        self._hass = hass
        self._entry = entry
        self._coordinator = entry.runtime_data.coordinator
        # Since when each thing has been so, by what it is.
        self._since: dict[tuple[str, str], float] = {}
        self._locked: set[str] = set()
        # When each life of the brain was first met, by its epoch.
        self._lives: dict[str, float] = {}
        self._words: dict[str, str] = {}

    async def start(self) -> None:
        """Look from now on."""
        language = self._hass.config.language
        self._words = await async_get_translations(self._hass, language, "selector", {DOMAIN})
        on_unload = self._entry.async_on_unload
        on_unload(self._coordinator.async_add_listener(self._look))
        on_unload(self._coordinator.async_listen(LINK_UP, self._on_link))
        on_unload(async_track_time_interval(self._hass, self._on_time, EVERY))
        self._on_link({})

    @callback
    def _on_link(self, _data: Json) -> None:
        """Remember the life of the brain that answers now."""
        hello = self._entry.runtime_data.client.hello
        if hello is not None:
            self._lives.setdefault(hello.epoch, dt_util.utcnow().timestamp())
        self._look()

    @callback
    def _on_time(self, _now: datetime) -> None:
        self._look()

    @callback
    def _look(self) -> None:
        """Say what is wrong now; while the brain is away nobody knows, and what was said stays."""
        data = self._coordinator.data
        if not data.connected:
            return
        for kind, found in (
            (CAMERA_BLIND, self._blind(data)),
            (PRINTER_OFFLINE, self._offline(data)),
            (PRINTER_READ_ONLY, self._read_only(data)),
            (PRINTER_TROUBLE, self._fleet(data)),
            (SPOOL_SHORT, _short(data)),
            (JOB_OVERDUE, _overdue(data)),
            (DEAD_LETTERS, _given_up(data)),
            (BRAIN_RESTARTS, self._restarts()),
            (PART_ILL, self._ill(data)),
        ):
            report_warnings(self._hass, self._entry, kind, found)

    def _blind(self, data: Snapshot) -> Words:
        """Return the cameras that have shown nothing of use for long while their printer prints."""
        rows = {
            row["device_id"]: (row, printer_id)
            for printer_id in _printers(data)
            if (job_on(data, printer_id) or {}).get("status") == "printing"
            for row in blind(data, printer_id)
        }
        found: Words = {}
        for camera_id in self._for_long(CAMERA_BLIND, rows, BLIND_S):
            row, printer_id = rows[camera_id]
            found[camera_id] = {
                "camera": device_name(data, camera_id) or camera_id,
                "printer": device_name(data, printer_id) or printer_id,
                "health": self._in_words(HEALTH, row["health"], row["health"]),
                "minutes": str(BLIND_S // 60),
            }
        return found

    def _offline(self, data: Snapshot) -> Words:
        """Return the printers that have been away for long, and are not switched off."""
        away = {
            device_id: device
            for device_id, device in _printers(data).items()
            if device["online"] == OnlineState.OFFLINE and not _is_unpowered(data, device_id)
        }
        for device_id, device in away.items():
            if device["last_seen"] is not None:
                self._since.setdefault((PRINTER_OFFLINE, device_id), device["last_seen"])
        return {
            device_id: {
                "printer": away[device_id]["name"],
                "since": _local(self._since[PRINTER_OFFLINE, device_id]),
            }
            for device_id in self._for_long(PRINTER_OFFLINE, away, OFFLINE_S)
        }

    def _read_only(self, data: Snapshot) -> Words:
        """Return the printers whose firmware takes no orders; one that is away is as it was."""
        printers = {
            device_id: device
            for device_id, device in _printers(data).items()
            if device["driver"] == _LOCKABLE
        }
        self._locked = {
            device_id
            for device_id, device in printers.items()
            if (device["state"] or {}).get("read_only")
            or (device_id in self._locked and device["online"] != OnlineState.ONLINE)
        }
        return {device_id: {"printer": printers[device_id]["name"]} for device_id in self._locked}

    def _fleet(self, data: Snapshot) -> Words:
        """Return what the brain found at its last look; who is away is seen here, and sooner."""
        return {
            f"{row['device_id']}:{row['code']}": {
                "printer": device_name(data, row["device_id"]) or row["name"],
                "trouble": self._in_words(FLEET, row["code"], row["text"]),
                "since": _local(row["since"]),
            }
            for row in data.fleet
            if row["code"] != "offline" and row["device_id"] in data.devices
        }

    def _ill(self, data: Snapshot) -> Words:
        """Return the vital parts of the brain that have been ill for long."""
        parts = data.health.get("parts", {})
        ill = {name: parts[name] for name in VITAL if name in parts and not parts[name]["ok"]}
        return {
            name: {
                "part": self._in_words(PART, name, name),
                "detail": str(ill[name]["detail"]),
            }
            for name in self._for_long(PART_ILL, ill, ILL_S)
        }

    def _restarts(self) -> Words:
        """Return whether the brain begins again and again; old lives are forgotten."""
        oldest = dt_util.utcnow().timestamp() - STARTS_S
        self._lives = {epoch: at for epoch, at in self._lives.items() if at > oldest}
        if len(self._lives) < STARTS:
            return {}
        return {"brain": {"count": str(len(self._lives)), "minutes": str(STARTS_S // 60)}}

    def _for_long(self, kind: str, things: Iterable[str], seconds: float) -> list[str]:
        """Return what has been so for so many seconds; what no longer is so is forgotten."""
        now = dt_util.utcnow().timestamp()
        keys = {(kind, thing) for thing in things}
        self._since = {key: at for key, at in self._since.items() if key[0] != kind or key in keys}
        return [
            thing
            for _, thing in sorted(keys)
            if now - self._since.setdefault((kind, thing), now) >= seconds
        ]

    def _in_words(self, group: str, code: str, otherwise: str) -> str:
        """Return a code in words; a newer brain may have one without."""
        return self._words.get(f"component.{DOMAIN}.selector.{group}.options.{code}", otherwise)


def _local(moment: float) -> str:
    """Return a moment as people of this house write it."""
    local = dt_util.as_local(dt_util.utc_from_timestamp(moment))
    return local.strftime("%Y-%m-%d %H:%M")


def _printers(data: Snapshot) -> dict[str, Json]:
    return {key: one for key, one in data.devices.items() if one["kind"] == Kind.PRINTER}


def _is_unpowered(data: Snapshot, printer_id: str) -> bool:
    """Tell whether the plug of a printer is off, so that nobody can expect an answer."""
    return any(
        device["feeds"] == printer_id and (device["state"] or {}).get("on") is False
        for device in data.devices.values()
    )


def _short(data: Snapshot) -> Words:
    """Return what is next on a printer, or next of all, and waits for filament that there is not."""
    return {
        row["id"]: {
            "title": row["title"],
            "material": str(reason["material"]),
            "needed": str(round(reason["needed"])),
            "free": str(round(reason["free"])),
        }
        for row in _next(data)
        for reason in row["reasons"]
        if reason["code"] == "filament_short"
    }


def _overdue(data: Snapshot) -> Words:
    """Return the jobs that should have run and did not."""
    return {
        row["name"]: {
            "job": row["name"],
            "due": _local(row["last_at"] if row["last"] else row["next_at"]),
        }
        for row in data.schedule.values()
        if row["overdue"]
    }


def _given_up(data: Snapshot) -> Words:
    """Return all dead work as one thing: whatever broke has often broken much of it."""
    found = dead(data)
    kinds = ", ".join(sorted({row["kind"] for row in found}))
    return {"work": {"count": str(len(found)), "kinds": kinds}} if found else {}


def _next(data: Snapshot) -> Iterator[Json]:
    """Yield the first item that waits for each printer, and the first of those for none yet."""
    seen: set[str | None] = set()
    for row in in_order(data):
        if row["status"] in WAITING and row["device_id"] not in seen:
            seen.add(row["device_id"])
            yield row
