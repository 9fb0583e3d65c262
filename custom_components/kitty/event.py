"""What happened, as events: requests and decisions of each device, prints, what cameras saw, the gate's alarms.

One :class:`Bridge` per entry turns the brain's changes into the event entities here, the triggers of
automations, and the ``kitty_event`` of the bus that the logbook describes, each under the context of whoever acted.
"""

from collections.abc import Callable
from dataclasses import dataclass
import math
from typing import Final, override

from homeassistant.components.event import EventEntity, EventEntityDescription
from homeassistant.const import ATTR_DEVICE_ID, ATTR_ENTITY_ID, ATTR_NAME, EntityCategory, Platform
from homeassistant.core import CALLBACK_TYPE, Context, HomeAssistant, callback
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.helpers.dispatcher import async_dispatcher_send
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.util.signal_type import SignalType

from . import KittyConfigEntry
from .const import DOMAIN, EVENT_KITTY
from .coordinator import LINK_DOWN, SNAPSHOT, KittyCoordinator
from .entity import (
    KittyBrainEntity,
    RecordEntity,
    async_add_device_entities,
    async_load_names,
    needs_people,
    person_name,
)
from .news import LIMIT_TYPES, LIMITS, WORK, WORK_TYPES, News
from .protocol import CommandStatus, EventStatus, Json, Kind
from .workshop import device_name, printer_of, watchers

PARALLEL_UPDATES = 0

# Not described in the logbook: whoever forces a person to approve may be looking at it.
EVENT_ALARM: Final = "kitty_alarm"

REQUESTED: Final = "requested"
APPROVED: Final = "approved"
DENIED: Final = "denied"
EXPIRED: Final = "expired"
STARTED: Final = "started"
FINISHED: Final = "finished"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"
OPENED: Final = "opened"
DURESS: Final = "duress"
LOCKOUT: Final = "lockout"

_EVENT_TYPES: Final = {
    EventStatus.PENDING: REQUESTED,
    EventStatus.APPROVED: APPROVED,
    EventStatus.DENIED: DENIED,
    EventStatus.EXPIRED: EXPIRED,
}
_COMMAND_TYPES: Final = {
    CommandStatus.ACKED: "done",
    CommandStatus.FAILED: FAILED,
    CommandStatus.UNKNOWN: "unknown",
}
_JOB_TYPES: Final = {
    "printing": STARTED,
    "completed": FINISHED,
    "failed": FAILED,
    "aborted": CANCELLED,
}
# Seen of a print while it runs; how it ended is told by the job.
_SEEN_TYPES: Final = frozenset({"first_layer_ok", "spaghetti_detected", "nozzle_clog"})
_INCIDENT_TYPES: Final = {
    "open": OPENED,
    "confirmed": "confirmed",
    "false_alarm": "false_alarm",
    "over": "over",
}

# The entity by which people know a device, for the link in the logbook.
_MAIN_ENTITY: Final = {
    Kind.DOOR: (Platform.LOCK, "door"),
    Kind.POWER: (Platform.SWITCH, "power"),
    Kind.PRINTER: (Platform.SENSOR, "status"),
}

REQUEST: Final = EventEntityDescription(
    key="request",
    translation_key="request",
    event_types=[*_EVENT_TYPES.values(), *_COMMAND_TYPES.values()],
)
PRINT: Final = EventEntityDescription(
    key="print",
    translation_key="print",
    event_types=[*_JOB_TYPES.values(), *sorted(_SEEN_TYPES)],
)
INCIDENT: Final = EventEntityDescription(
    key="incident", translation_key="incident", event_types=list(_INCIDENT_TYPES.values())
)
BRAIN: Final = (
    EventEntityDescription(key=WORK, translation_key="work", event_types=list(WORK_TYPES)),
    EventEntityDescription(key=LIMITS, translation_key="limits", event_types=list(LIMIT_TYPES)),
)
# Hidden, so that it shows on no dashboard by itself; automations can use it all the same.
ALARM: Final = EventEntityDescription(
    key="alarm",
    translation_key="alarm",
    event_types=[DURESS, LOCKOUT],
    entity_category=EntityCategory.DIAGNOSTIC,
    entity_registry_visible_default=False,
)

_BUS_EVENTS: Final = {REQUEST.key: EVENT_KITTY, ALARM.key: EVENT_ALARM}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that happened: to which device, by whom, and what people may know of it."""

    topic: str
    type: str
    device_id: str | None
    attributes: Json
    context: Context


type Listener = Callable[[Change], None]

# Every change of every brain, for the triggers of automations, which outlive a reload of an entry.
SIGNAL_CHANGE: Final[SignalType[KittyConfigEntry, Change]] = SignalType("kitty_change")


async def async_setup_entry(
    hass: HomeAssistant,
    entry: KittyConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the event entities, and the bridge that feeds them and the bus."""
    await async_load_names(hass)
    bridge = Bridge(hass, entry)
    entry.async_on_unload(bridge.start())
    async_add_entities(
        BrainEvent(entry.runtime_data.coordinator, description, bridge)
        for description in (ALARM, *BRAIN)
    )

    def build(coordinator: KittyCoordinator, device: Json) -> list[DeviceEvent]:
        events = []
        if needs_people(device):
            events.append(DeviceEvent(coordinator, device, REQUEST, bridge))
        if device["kind"] == Kind.PRINTER:
            events.append(DeviceEvent(coordinator, device, PRINT, bridge))
            if watchers(coordinator.data, device["id"]):
                events.append(DeviceEvent(coordinator, device, INCIDENT, bridge))
        return events

    async_add_device_entities(entry, async_add_entities, build)


class Bridge:
    """Turns each new status of the brain's things into one change, also after a gap in the wire."""

    def __init__(self, hass: HomeAssistant, entry: KittyConfigEntry) -> None:
        """Take what is known now as old news."""
        self._hass = hass
        self._entry = entry
        self._coordinator = entry.runtime_data.coordinator
        self._listeners: list[Listener] = []
        self._gap_from = math.inf
        data = self._coordinator.data
        self._statuses: dict[str, str] = {
            thing["id"]: thing["status"]
            for part in (data.events, data.commands, data.jobs, data.incidents)
            for thing in part.values()
        }

    @callback
    def start(self) -> CALLBACK_TYPE:
        """Listen to the brain; returns how to stop."""
        listen = self._coordinator.async_listen
        stops = [
            *News(self._entry, self._tell_of_brain).start(),
            listen("safety.event", self._on_event),
            listen("command.updated", self._on_command),
            listen("job.updated", self._on_job),
            listen("print.event", self._on_seen),
            listen("incident.updated", self._on_incident),
            listen("safety.duress", self._on_duress),
            listen("safety.lockout", self._on_lockout),
            listen(LINK_DOWN, self._on_link_down),
            listen(SNAPSHOT, self._on_snapshot),
        ]

        def stop() -> None:
            for end in stops:
                end()

        return stop

    @callback
    def async_listen(self, listener: Listener) -> CALLBACK_TYPE:
        """Call the listener with every change; returns how to stop."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    @callback
    def _on_link_down(self, data: Json) -> None:
        """Remember since when we hear nothing."""
        self._gap_from = data["since"]

    @callback
    def _on_snapshot(self, data: Json) -> None:
        """Tell what changed while we heard nothing; what is older and unknown is no news."""
        for part, tell in (
            ("events", self._on_event),
            ("commands", self._on_command),
            ("jobs", self._on_job),
            ("incidents", self._on_incident),
        ):
            for thing in data.get(part) or ():
                born = thing.get("created_at") or thing.get("started_at") or 0.0
                if thing["id"] in self._statuses or born >= self._gap_from:
                    tell(thing)
                else:
                    self._statuses[thing["id"]] = thing["status"]
        self._gap_from = math.inf

    @callback
    def _on_event(self, event: Json) -> None:
        """Tell of a request or a decision."""
        if not self._is_news(event):
            return
        kind = _EVENT_TYPES[EventStatus(event["status"])]
        actor = {
            APPROVED: (event["approved_by"] or [None])[-1],
            DENIED: event["denied_by"],
            REQUESTED: event["initiated_by"],
        }.get(kind)
        actor = self._proven(event["id"], actor)
        self._tell(REQUEST.key, kind, event["device_id"], self._about(event), actor)

    @callback
    def _on_command(self, command: Json) -> None:
        """Tell of the end of a command."""
        if not self._is_news(command):
            return
        kind = _COMMAND_TYPES.get(command["status"])
        device = self._coordinator.data.devices.get(command["device_id"])
        if kind is None or device is None or not needs_people(device):
            return
        event = self._coordinator.data.events.get(command["event_id"] or "", {})
        about = self._about(event) | {
            "intent": command["intent"],
            "requested_by": person_name(self._hass, command["requested_by"]),
            "channel": command["channel"],
            "command_id": command["id"],
            "detail": command["detail"],
        }
        actor = (event.get("approved_by") or [command["requested_by"]])[-1]
        actor = self._proven(command["event_id"], actor)
        self._tell(REQUEST.key, kind, command["device_id"], about, actor)

    @callback
    def _on_job(self, job: Json) -> None:
        """Tell of the start or the end of a print."""
        paused = self._statuses.get(job["id"]) == "paused"
        if not self._is_news(job) or (paused and job["status"] == "printing"):
            return
        if (kind := _JOB_TYPES.get(job["status"])) is not None:
            about = {"file": job["file"], "job_id": job["id"], "error": job["error"]}
            command = self._coordinator.data.commands.get(job["command_id"] or "", {})
            # Who asked for a print is who started it; its end is nobody's deed.
            asked = job["requested_by"] if kind == STARTED else None
            actor = self._proven(command.get("event_id"), asked)
            self._tell(PRINT.key, kind, job["device_id"], about, actor)

    @callback
    def _on_seen(self, seen: Json) -> None:
        """Tell what a camera or a printer saw of a print."""
        if seen["type"] not in _SEEN_TYPES:
            return
        job = self._coordinator.data.jobs.get(seen["job_id"], {})
        about = {
            "file": job.get("file"),
            "job_id": seen["job_id"],
            "print_event_id": seen["id"],
            "confidence": seen["confidence"],
            "source": seen["source"],
            "detail": seen["detail"],
        }
        self._tell(PRINT.key, seen["type"], seen["device_id"], about, None)

    @callback
    def _on_incident(self, incident: Json) -> None:
        """Tell what became of an alarm; its picture is fetched by its id."""
        if not self._is_news(incident):
            return
        data = self._coordinator.data
        job = data.jobs.get(incident["job_id"] or "", {})
        about = {
            "incident_id": incident["id"],
            "kind": incident["type"],
            "confidence": incident["confidence"],
            "detail": incident["detail"],
            "action": incident["action"],
            "camera": device_name(data, incident["device_id"]),
            "job_id": incident["job_id"],
            "file": job.get("file"),
            "answered_by": person_name(self._hass, incident["answered_by"]),
        }
        kind = _INCIDENT_TYPES[incident["status"]]
        self._tell(INCIDENT.key, kind, printer_of(data, incident), about, None)

    @callback
    def _on_duress(self, data: Json) -> None:
        """Tell, silently, that a person was forced."""
        about = {"person": person_name(self._hass, data["user_id"]), "event_id": data["event_id"]}
        self._tell(ALARM.key, DURESS, data["device_id"], about, None)

    @callback
    def _on_lockout(self, data: Json) -> None:
        """Tell that a person may not decide for a while."""
        about = {
            "person": person_name(self._hass, data["user_id"]),
            "until": data["until"],
            "reason": data["reason"],
        }
        self._tell(ALARM.key, LOCKOUT, None, about, None)

    def _proven(self, event_id: str | None, user_id: str | None) -> str | None:
        """Return the user if our own ledger says that this person asked or decided; else nobody."""
        known = self._entry.runtime_data.ledger.event(event_id) or {}
        mine = {known.get("requester"), *known.get("decisions", ())}
        return user_id if user_id in mine else None

    def _is_news(self, thing: Json) -> bool:
        """Tell whether the thing has a status that was not told of."""
        if self._statuses.get(thing["id"]) == thing["status"]:
            return False
        self._statuses[thing["id"]] = thing["status"]
        self._trim()
        return True

    def _trim(self) -> None:
        """Forget what the snapshot has forgotten."""
        data = self._coordinator.data
        known = (data.events, data.commands, data.jobs, data.incidents)
        if len(self._statuses) > 2 * sum(map(len, known)) + 100:
            ids = {key for part in known for key in part}
            self._statuses = {k: v for k, v in self._statuses.items() if k in ids}

    def _about(self, event: Json) -> Json:
        """Return what people may know of a safety event; nothing in it could approve one."""
        if not event:
            return {}
        approvers = [person_name(self._hass, user_id) for user_id in event["approved_by"]]
        return {
            "event_id": event["id"],
            "intent": event["intent"],
            "level": event["level"],
            "requested_by": person_name(self._hass, event["initiated_by"]),
            "channel": event["channel"],
            "approved_by": [name for name in approvers if name],
            "denied_by": person_name(self._hass, event["denied_by"]),
            "reason": event["reason"],
        }

    def _tell_of_brain(self, topic: str, kind: str, about: Json) -> None:
        """Tell of something that is of no device, and of nobody's doing."""
        self._tell(topic, kind, None, about, None)

    def _tell(
        self, topic: str, kind: str, device_id: str | None, about: Json, actor: str | None
    ) -> None:
        """Fire requests and alarms of the gate on the bus, and hand every change to entities and triggers."""
        change = Change(
            topic=topic,
            type=kind,
            device_id=device_id,
            attributes=about,
            context=Context(user_id=actor),
        )
        if (event_type := _BUS_EVENTS.get(topic)) is not None:
            data = {"type": kind, **self._where(device_id), **about}
            self._hass.bus.async_fire(event_type, data, context=change.context)
        for listener in list(self._listeners):
            listener(change)
        async_dispatcher_send(self._hass, SIGNAL_CHANGE, self._entry, change)

    def _where(self, device_id: str | None) -> Json:
        """Return the name and the registry ids of a device, by which Home Assistant finds it."""
        device = self._coordinator.data.devices.get(device_id or "")
        if device is None:
            return {ATTR_NAME: None, ATTR_DEVICE_ID: None, ATTR_ENTITY_ID: None}
        identifier = (DOMAIN, device["id"])
        registered = dr.async_get(self._hass).async_get_device_by_identifier(
            identifier, self._entry.entry_id
        )
        platform, key = _MAIN_ENTITY.get(device["kind"], (Platform.EVENT, REQUEST.key))
        return {
            ATTR_NAME: (registered and registered.name_by_user) or device["name"],
            ATTR_DEVICE_ID: registered.id if registered else None,
            ATTR_ENTITY_ID: er.async_get(self._hass).async_get_entity_id(
                platform, DOMAIN, f"{device['id']}-{key}"
            ),
        }


class DeviceEvent(RecordEntity, EventEntity):
    """The last thing that happened to the requests, the prints, or the alarms of a device."""

    _unrecorded_attributes = frozenset({"detail", "error"})

    def __init__(
        self,
        coordinator: KittyCoordinator,
        device: Json,
        description: EventEntityDescription,
        bridge: Bridge,
    ) -> None:
        """Listen to the bridge once added."""
        super().__init__(coordinator, device, description)
        self._bridge = bridge

    @override
    async def async_added_to_hass(self) -> None:
        """Subscribe."""
        await super().async_added_to_hass()
        self.async_on_remove(self._bridge.async_listen(self._on_change))

    @callback
    def _on_change(self, change: Change) -> None:
        """Take over a change of this device and topic."""
        if change.device_id == self._device_id and change.topic == self.entity_description.key:
            self.async_set_context(change.context)
            self._trigger_event(change.type, change.attributes)
            self.async_write_ha_state()


class BrainEvent(KittyBrainEntity, EventEntity):
    """The last alarm of the gate, end of a work of the brain, or limit of the house that was reached."""

    def __init__(
        self, coordinator: KittyCoordinator, description: EventEntityDescription, bridge: Bridge
    ) -> None:
        """Listen to the bridge once added."""
        super().__init__(coordinator, description)
        self._bridge = bridge

    @override
    async def async_added_to_hass(self) -> None:
        """Subscribe."""
        await super().async_added_to_hass()
        self.async_on_remove(self._bridge.async_listen(self._on_change))

    @callback
    def _on_change(self, change: Change) -> None:
        """Take over a change of this topic."""
        if change.topic == self.entity_description.key:
            self._trigger_event(change.type, change.attributes)
            self.async_write_ha_state()
