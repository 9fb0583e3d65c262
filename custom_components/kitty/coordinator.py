"""What the brain last said: one snapshot, changed by its events, and the word that it is gone."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, override

from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers.update_coordinator import DataUpdateCoordinator, UpdateFailed

from .client import BrainClient
from .const import DOMAIN, LOGGER
from .errors import MISHAPS, InvalidAuth, KittyError, SchemaMismatch, WrongBrain
from .protocol import CommandStatus, EventStatus, Json

if TYPE_CHECKING:
    from . import KittyConfigEntry

FIRST_SNAPSHOT_TIMEOUT: Final = 15.0
KEEP: Final = 100

LINK_UP: Final = "link.up"
LINK_DOWN: Final = "link.down"
LINK_REFUSED: Final = "link.refused"
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
    "schedule": Part(topic="schedule.updated", key="name"),
    "capabilities": Part(topic="capability.updated", key="name"),
    "work": Part(
        topic="work.updated", is_open=lambda row: row["status"] in {"pending", "running", "dead"}
    ),
    "goals": Part(
        topic="goal.updated",
        is_open=lambda row: row["status"] in {"identified", "approved", "active"},
    ),
    "projects": Part(topic="project.updated", is_open=lambda row: row["status"] == "active"),
    "researches": Part(
        topic="research.updated", is_open=lambda row: row["status"] in {"pending", "running"}
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
_WHOLES: Final = {"health.updated": "health"}
AUDIT_HEAD: Final = "audit.head"
MIND_UPDATED: Final = "mind.updated"
# There is one for each step of each request, and one for each answer: whoever wants them listens for them, so that
# not all have to look.
_QUIET: Final = {AUDIT_HEAD: "audit", MIND_UPDATED: "mind"}
PRESENCE: Final = "presence.updated"

# In place of a device's id: what a listener shows has nothing to do with what a single device does.
NO_DEVICE: Final = ""
# What a device does: its own entities show that. The rest of it shows elsewhere, too.
_DOINGS: Final = frozenset({"state", "online", "reason", "last_seen"})


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
    # What goes on by itself; these keys, too.
    schedule: Mapping[str, Json] = field(default_factory=dict)
    capabilities: Mapping[str, Json] = field(default_factory=dict)
    work: Mapping[str, Json] = field(default_factory=dict)
    goals: Mapping[str, Json] = field(default_factory=dict)
    projects: Mapping[str, Json] = field(default_factory=dict)
    researches: Mapping[str, Json] = field(default_factory=dict)
    # What was wrong with printers at the last look at all of them.
    fleet: Sequence[Json] = ()
    # Who was last seen where, by area and person.
    presences: Mapping[str, Json] = field(default_factory=dict)
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
        # Whose doings are being told right now, and nothing else.
        self._about: str | None = None
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

    @override
    @callback
    def async_add_listener(
        self, update_callback: CALLBACK_TYPE, context: Any = None
    ) -> Callable[[], None]:
        """Call back when something changes; with a device's id not for the doings of other devices."""

        @callback
        def tell() -> None:
            if context is None or self._about is None or context == self._about:
                _safely(update_callback)

        return super().async_add_listener(tell, context)

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
            mind=data.get("mind") or {},
            fleet=data.get("fleet") or (),
            presences={_whereabouts(row): row for row in data.get("presences") or []},
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
        elif name in _QUIET:
            quiet: dict[str, Any] = {_QUIET[name]: data}
            self.data = replace(self.data, **quiet)
        elif name == PRESENCE:
            # No entity shows it, and it comes again and again as long as somebody stays.
            seen = {**self.data.presences, _whereabouts(data): data}
            self.data = replace(self.data, presences=seen)
        elif name == "budget.updated":
            self._set(replace(self.data, budget=data))
        elif name == "fleet.updated":
            self._set(replace(self.data, fleet=data["problems"]))
        elif name == "task.updated":
            self._put_task(data)
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
            self._tell(LINK_DOWN, {"code": lost.code, "since": self.client.heard_at})
        if isinstance(lost, InvalidAuth):
            self._tell(LINK_REFUSED, {})

    def _merge(self, part: str, thing: Json) -> None:
        """Put one thing into its part of the snapshot, letting go of the oldest that are over."""
        things = getattr(self.data, part)
        about = _whose(part, thing, things.get(thing["id"]))
        self._change(part, _trim(part, {**things, thing["id"]: thing}), about)

    def _change(self, part: str, now: Json, about: str | None = None) -> None:
        """Put something else in the place of one part."""
        changed: dict[str, Any] = {part: now}
        self._set(replace(self.data, **changed), about)

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

    def _put_task(self, task: Json) -> None:
        """Put a task into its project; a project that is over has none that matter."""
        project = self.data.projects.get(task["project_id"])
        if project is not None:
            others = [one for one in project["tasks"] if one["id"] != task["id"]]
            tasks = sorted([*others, task], key=lambda one: int(one["position"]))
            self._put("projects", project | {"tasks": tasks})

    def _set(self, data: Snapshot, about: str | None = None) -> None:
        """Push a snapshot that differs, by no more than ``about`` did where that is given."""
        turned = self.last_update_success != data.connected
        if data != self.data or turned:
            self.data = data
            self.last_update_success = data.connected
            self._about = None if turned else about
            try:
                self.async_update_listeners()
            finally:
                self._about = None

    def _tell(self, name: str, data: Json) -> None:
        for action in list(self._callbacks.get(name, ())):
            _safely(action, data)


def _safely[*Given](action: Callable[[*Given], None], *given: *Given) -> None:
    """Tell one of many who listen; what breaks there is logged, and keeps nothing from the others."""
    try:
        action(*given)
    except MISHAPS:
        LOGGER.exception("What the brain told was not taken in")


def _by_id(things: list[Json]) -> dict[str, Json]:
    return {thing["id"]: thing for thing in things}


def _whose(part: str, thing: Json, before: Json | None) -> str | None:
    """Return the device of whose doings a change tells; None when more may have changed."""
    if part in {"events", "commands"}:
        return str(thing["device_id"])
    if part != "devices" or before is None:
        return None
    kept, was = ({k: v for k, v in one.items() if k not in _DOINGS} for one in (thing, before))
    return str(thing["id"]) if kept == was else None


def _whereabouts(row: Json) -> str:
    """Return by what one observation of a person in an area is known."""
    return f"{row['zone_id']}:{row['user_id']}"


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
