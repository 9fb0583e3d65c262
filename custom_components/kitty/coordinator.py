"""What the brain last said: one snapshot, changed by its events, and the word that it is gone."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, override

from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers.update_coordinator import DataUpdateCoordinator, UpdateFailed
from homeassistant.util import dt as dt_util

from .client import BrainClient
from .const import DOMAIN, LOGGER
from .errors import InvalidAuth, KittyError, SchemaMismatch, WrongBrain
from .protocol import CommandStatus, EventStatus, Json

if TYPE_CHECKING:
    from . import KittyConfigEntry

FIRST_SNAPSHOT_TIMEOUT: Final = 15.0
KEEP: Final = 100

LINK_UP: Final = "link.up"
LINK_DOWN: Final = "link.down"
SNAPSHOT: Final = "snapshot"

# An unknown outcome waits for a person, so it is never forgotten.
_OPEN_COMMANDS: Final = frozenset(
    {
        CommandStatus.PENDING,
        CommandStatus.DEFERRED,
        CommandStatus.CLAIMED,
        CommandStatus.SENT,
        CommandStatus.UNKNOWN,
    }
)
_OPEN_EVENTS: Final = frozenset({EventStatus.PENDING, EventStatus.APPROVED})
_OPEN_JOBS: Final = frozenset({"preparing", "printing", "paused"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of the snapshot that holds what is open: by which field, and how what is over shows."""

    topic: str
    key: str = "id"
    is_open: Callable[[Json], bool] = lambda _row: True


WORKSHOP: Final[Mapping[str, Part]] = {
    "queue": Part(
        topic="queue.updated",
        is_open=lambda row: row["status"] in {"queued", "held", "starting", "printing"},
    ),
    "beds": Part(topic="bed.updated", key="device_id", is_open=lambda row: not row.get("archived")),
    "spools": Part(topic="spool.updated", is_open=lambda row: not row["archived"]),
    "stock": Part(
        topic="stock.updated", key="material", is_open=lambda row: not row.get("archived")
    ),
    "procurements": Part(
        topic="procurement.updated", is_open=lambda row: row["status"] in {"proposed", "approved"}
    ),
    "incidents": Part(
        topic="incident.updated",
        # A confirmed one stays confirmed when its print is over.
        is_open=lambda row: row["status"] in {"open", "confirmed"} and not row.get("closed_at"),
    ),
    "vision": Part(
        topic="vision.updated", key="device_id", is_open=lambda row: not row.get("archived")
    ),
    "reviews": Part(
        topic="review.updated", key="job_id", is_open=lambda row: row["status"] == "waiting"
    ),
}
_PARTS_BY_TOPIC: Final = {part.topic: name for name, part in WORKSHOP.items()}
# What each other topic brings: one thing of a part, the end of one, or a part as a whole.
_THINGS: Final = {
    "device.updated": "devices",
    "safety.event": "events",
    "command.updated": "commands",
    "job.updated": "jobs",
    "provider.updated": "providers",
}
_REMOVALS: Final = {"device.removed": "devices", "provider.removed": "providers"}
_WHOLES: Final = {"health.updated": "health", "audit.head": "audit", "mind.updated": "mind"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything that the brain tells, by id; ``connected`` is whether it is told still."""

    devices: Mapping[str, Json] = field(default_factory=dict)
    events: Mapping[str, Json] = field(default_factory=dict)
    commands: Mapping[str, Json] = field(default_factory=dict)
    jobs: Mapping[str, Json] = field(default_factory=dict)
    health: Mapping[str, Any] = field(default_factory=dict)
    audit: Mapping[str, Any] = field(default_factory=dict)
    providers: Mapping[str, Json] = field(default_factory=dict)
    budget: Mapping[str, Any] = field(default_factory=dict)
    # When the budget was told: what it says of a day is over with that day.
    budget_told: datetime | None = None
    mind: Mapping[str, Any] = field(default_factory=dict)
    # The workshop, as far as it is open; the keys are in WORKSHOP.
    queue: Mapping[str, Json] = field(default_factory=dict)
    beds: Mapping[str, Json] = field(default_factory=dict)
    spools: Mapping[str, Json] = field(default_factory=dict)
    stock: Mapping[str, Json] = field(default_factory=dict)
    procurements: Mapping[str, Json] = field(default_factory=dict)
    incidents: Mapping[str, Json] = field(default_factory=dict)
    vision: Mapping[str, Json] = field(default_factory=dict)
    reviews: Mapping[str, Json] = field(default_factory=dict)
    connected: bool = False


class KittyCoordinator(DataUpdateCoordinator[Snapshot]):
    """Pushes the brain's snapshot to the entities; available means connected."""

    config_entry: KittyConfigEntry

    def __init__(self, hass: HomeAssistant, entry: KittyConfigEntry, client: BrainClient) -> None:
        """Listen to the client."""
        super().__init__(hass, LOGGER, config_entry=entry, name=DOMAIN, always_update=False)
        self.data = Snapshot()
        self.client = client
        self._first = asyncio.Event()
        self._down_logged = False
        self._lost_at: float | None = None
        self._callbacks: dict[str, list[Callable[[Json], None]]] = {}
        client.on_snapshot = self._on_snapshot
        client.on_event = self._on_event
        client.on_link = self._on_link

    @override
    async def _async_update_data(self) -> Snapshot:
        """Wait for the first snapshot; from then on the brain pushes."""
        try:
            async with asyncio.timeout(FIRST_SNAPSHOT_TIMEOUT):
                await self._first.wait()
        except TimeoutError as err:
            raise UpdateFailed(translation_domain=DOMAIN, translation_key="brain_timeout") from err
        return self.data

    @callback
    def async_listen(self, event_name: str, action: Callable[[Json], None]) -> CALLBACK_TYPE:
        """Call the action with the data of every event of this name; returns how to stop."""
        actions = self._callbacks.setdefault(event_name, [])
        actions.append(action)
        return lambda: actions.remove(action)

    def is_fresh(self, seconds: float) -> bool:
        """Tell whether the brain is connected, or was less than this many seconds ago."""
        if self.data.connected:
            return True
        return self._lost_at is not None and monotonic() - self._lost_at < seconds

    def pending_for(self, device_id: str, intent: str | None = None) -> Json | None:
        """Return the newest safety event of a device that waits for people, if there is one."""
        waiting = [
            event
            for event in self.data.events.values()
            if event["device_id"] == device_id
            and event["status"] == EventStatus.PENDING
            and intent in (None, event["intent"])
        ]
        return max(waiting, key=lambda event: float(event["created_at"]), default=None)

    def running_for(self, device_id: str, intent: str | None = None) -> Json | None:
        """Return the newest command of a device that is still under way, if there is one."""
        running = [
            command
            for command in self.data.commands.values()
            if command["device_id"] == device_id
            and command["status"] in _OPEN_COMMANDS - {CommandStatus.UNKNOWN}
            and intent in (None, command["intent"])
        ]
        return max(running, key=lambda command: float(command["created_at"]), default=None)

    @callback
    def async_note(self, part: str, thing: Json) -> None:
        """Take over a new thing that came as the answer to a command; its event may be older."""
        if thing["id"] not in getattr(self.data, part):
            self._merge(part, thing)

    @callback
    def _on_snapshot(self, data: Json) -> None:
        snapshot = Snapshot(
            devices=_by_id(data["devices"]),
            events=_by_id(data["events"]),
            commands=_by_id(data["commands"]),
            jobs=_by_id(data["jobs"]),
            health=data["health"],
            audit=data["audit"],
            providers=_by_id(data.get("providers") or []),
            budget=data.get("budget") or {},
            budget_told=dt_util.utcnow(),
            mind=data.get("mind") or {},
            connected=True,
            **{
                name: {row[part.key]: row for row in data.get(name) or [] if part.is_open(row)}
                for name, part in WORKSHOP.items()
            },
        )
        self._first.set()
        self._set(snapshot)
        self._tell(SNAPSHOT, data)

    @callback
    def _on_event(self, name: str, data: Json) -> None:
        if name in _PARTS_BY_TOPIC:
            self._put(_PARTS_BY_TOPIC[name], data)
        elif name in _THINGS:
            self._merge(_THINGS[name], data)
        elif name in _REMOVALS:
            self._remove(_REMOVALS[name], data["id"])
        elif name in _WHOLES:
            self._change(_WHOLES[name], data)
        elif name == "budget.updated":
            self._set(replace(self.data, budget=data, budget_told=dt_util.utcnow()))
        self._tell(name, data)

    @callback
    def _on_link(self, lost: KittyError | None) -> None:
        if lost is None:
            if self._down_logged:
                LOGGER.info("The brain is back")
            self._down_logged = False
            self._set(replace(self.data, connected=True))
            self._tell(LINK_UP, {})
            return
        if not self._down_logged:
            LOGGER.info("The brain is away: %s", lost)
        self._down_logged = True
        if isinstance(lost, InvalidAuth):
            self.config_entry.async_start_reauth(self.hass)
        elif isinstance(lost, SchemaMismatch | WrongBrain):
            # The setup says what is wrong, and a person has to act.
            self.hass.config_entries.async_schedule_reload(self.config_entry.entry_id)
        if self.data.connected:
            self._lost_at = monotonic()
            self.data = replace(self.data, connected=False)
            self.last_update_success = False
            self.last_exception = lost
            self.async_update_listeners()
            self._tell(LINK_DOWN, {"code": lost.code})

    def _merge(self, part: str, thing: Json) -> None:
        """Put one thing into its part of the snapshot, letting go of the oldest that are over."""
        self._change(part, _trim(part, {**getattr(self.data, part), thing["id"]: thing}))

    def _change(self, part: str, now: Json) -> None:
        """Put something else in the place of one part."""
        changed: dict[str, Any] = {part: now}
        self._set(replace(self.data, **changed))

    def _remove(self, part: str, thing_id: str) -> None:
        """Take one thing out of its part of the snapshot."""
        left = {key: one for key, one in getattr(self.data, part).items() if key != thing_id}
        self._change(part, left)

    def _put(self, name: str, row: Json) -> None:
        """Put a row into a part of the workshop, or take it out when it is over."""
        part, rows = WORKSHOP[name], dict(getattr(self.data, name))
        rows.pop(row[part.key], None)
        if part.is_open(row):
            rows[row[part.key]] = row
        self._change(name, rows)

    def _set(self, data: Snapshot) -> None:
        """Push a snapshot that differs."""
        if data != self.data or self.last_update_success != data.connected:
            self.data = data
            self.last_update_success = data.connected
            self.async_update_listeners()

    def _tell(self, name: str, data: Json) -> None:
        for action in list(self._callbacks.get(name, ())):
            action(data)


def _by_id(things: list[Json]) -> dict[str, Json]:
    return {thing["id"]: thing for thing in things}


def _trim(part: str, things: dict[str, Json]) -> dict[str, Json]:
    """Forget the oldest things that are over, beyond the number that is kept."""
    still: Mapping[str, frozenset[Any]] = {
        "events": _OPEN_EVENTS,
        "commands": _OPEN_COMMANDS,
        "jobs": _OPEN_JOBS,
    }
    if part not in still:
        return things
    over = [key for key, thing in things.items() if thing["status"] not in still[part]]
    for key in over[:-KEEP]:
        del things[key]
    return things
