"""What the brain must know of this house: people, areas, rules, devices, and who is where.

All of it is sent anew on every connection and whenever it changes. Presence and checks are sent
again before they grow stale; when Home Assistant stops, they grow stale by themselves.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from time import time
from typing import TYPE_CHECKING, Any, Final

from homeassistant.auth import EVENT_USER_ADDED, EVENT_USER_REMOVED, EVENT_USER_UPDATED
from homeassistant.const import (
    CONF_DEVICE_ID,
    CONF_EMAIL,
    CONF_ENTITY_ID,
    CONF_NAME,
    CONF_STATE,
    STATE_HOME,
    STATE_OFF,
    STATE_ON,
    STATE_UNAVAILABLE,
    STATE_UNKNOWN,
)
from homeassistant.core import CALLBACK_TYPE, Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.helpers import area_registry as ar
from homeassistant.helpers.event import (
    async_call_later,
    async_track_state_change_event,
    async_track_time_interval,
)

from .bindings import watched
from .client import BrainClient
from .const import (
    CONF_CHECKS,
    CONF_DOOR_IDS,
    CONF_DRIVER,
    CONF_HAZARD_LEVEL,
    CONF_INFO,
    CONF_OCCUPANCY,
    CONF_OPTIONS,
    CONF_PEOPLE,
    CONF_PERSONS,
    CONF_POLICIES,
    CONF_PRESENCE,
    CONF_PRESENCE_TTL,
    CONF_REQUESTER_MAY_CONFIRM,
    CONF_REQUIRED_ROLES,
    CONF_REQUIRES_DUAL_CONFIRM,
    CONF_REQUIRES_PPE,
    CONF_REQUIRES_PRESENCE,
    CONF_ROLES,
    CONF_VOICE_MAY_CONFIRM,
    CONF_ZONE_ID,
    CONF_ZONES,
    DEFAULT_PRESENCE_TTL,
    LOGGER,
    SUBENTRY_DEVICE,
)
from .coordinator import LINK_UP, SNAPSHOT, KittyCoordinator
from .errors import BrainError, BrainUnavailable, LedgerUnwritable
from .gate import Executor
from .issues import (
    create_audit_rollback,
    create_pairing_refused,
    delete_audit_rollback,
    delete_pairing_refused,
    report_email_taken,
)
from .ledger import Ledger
from .origin import person
from .protocol import Hazard, Json, PresenceSource, PresenceStatus
from .retry import Retry

if TYPE_CHECKING:
    from . import KittyConfigEntry

# The brain believes a check for five minutes and a presence as long as the zone's policy says.
CHECK_EVERY: Final = 100.0
SHORTEST_INTERVAL: Final = 5.0
KEEP_AUDIT_EVERY: Final = 60.0

_UNKNOWN: Final = (None, STATE_UNKNOWN, STATE_UNAVAILABLE)
_USER_EVENTS: Final = (EVENT_USER_ADDED, EVENT_USER_REMOVED, EVENT_USER_UPDATED)


class Feed:
    """Keeps the brain's picture of this house true."""

    def __init__(
        self,
        hass: HomeAssistant,
        entry: KittyConfigEntry,
        client: BrainClient,
        coordinator: KittyCoordinator,
        ledger: Ledger,
        executor: Executor,
    ) -> None:
        """Take the collaborators; nothing is sent before :meth:`start`."""
        self._hass = hass
        self._entry = entry
        self._client = client
        self._coordinator = coordinator
        self._ledger = ledger
        self._executor = executor
        self._lock = asyncio.Lock()
        self._to_observe: set[str] = set()
        self._trackers: list[CALLBACK_TYPE] = []
        self._audit_kept_at = 0.0
        self._audit_is_whole = False
        self._audit_timer: CALLBACK_TYPE | None = None
        self._retry = Retry(hass, client, self._send_again)

    @callback
    def start(self) -> None:
        """Send everything now, and from now on whatever changes."""
        on_unload = self._entry.async_on_unload
        for event_type in (*_USER_EVENTS, ar.EVENT_AREA_REGISTRY_UPDATED):
            on_unload(self._hass.bus.async_listen(event_type, self._on_people_changed))
        on_unload(self._coordinator.async_listen(LINK_UP, self._on_link_up))
        on_unload(self._coordinator.async_listen("audit.head", self._on_audit_head))
        on_unload(self._coordinator.async_listen(SNAPSHOT, self._on_snapshot))
        on_unload(self._untrack)
        on_unload(self._stop_audit_timer)
        on_unload(self._retry.stop)
        self._track()
        self._start(self.send_all())

    async def send_all(self) -> None:
        """Tell the brain everything, in the order in which one thing needs another."""
        async with self._lock:
            if not await self._pair():
                return
            await self._anchor()
            await self._send_rules()
            await self._put_devices()
            await self._observe(list(self._executor.devices()))
            await self._send_evidence()
            with suppress(LedgerUnwritable):
                await self._ledger.flush(self._client.command)

    async def _pair(self) -> bool:
        """Show the brain our key; a brain that holds another one believes no decision of ours."""
        try:
            await self._client.command("integration.register", self._key())
        except BrainUnavailable:
            self._retry.later()
            return False
        except BrainError as err:
            LOGGER.error("The brain does not pair: %s", err)
            create_pairing_refused(self._hass, self._entry)
            return False
        delete_pairing_refused(self._hass, self._entry)
        return True

    async def rules_changed(self) -> None:
        """Send people, areas and rules after the options have changed."""
        self._untrack()
        self._track()
        async with self._lock:
            await self._send_rules()
            await self._send_evidence()

    async def _send_rules(self) -> None:
        """Send users, zones and policies; an account that is nobody's own is left out, and said so."""
        users, left_out = _one_account_each(await self._users())
        names = {user["id"]: user["display_name"] for user in left_out}
        if names:
            LOGGER.warning("Left out, for another person's address: %s", ", ".join(names.values()))
        report_email_taken(self._hass, self._entry, names)
        await self._command("safety.sync", self._rules(users))

    def _rules(self, users: list[Json]) -> Json:
        """Return users, zones and policies as the brain wants them."""
        options = self._entry.options
        areas = ar.async_get(self._hass)
        zones: Mapping[str, Any] = options.get(CONF_ZONES, {})
        return {
            "users": users,
            "zones": [
                {
                    "id": zone_id,
                    "name": area.name if (area := areas.async_get_area(zone_id)) else zone_id,
                    "hazard_level": zone.get(CONF_HAZARD_LEVEL, Hazard.HIGH),
                    "requires_ppe": bool(zone.get(CONF_REQUIRES_PPE)),
                    "door_ids": list(zone.get(CONF_DOOR_IDS, ())),
                }
                for zone_id, zone in zones.items()
            ],
            "policies": [
                {
                    "zone_id": zone_id,
                    "name": str(policy.get(CONF_NAME, "default")),
                    "required_roles": list(policy[CONF_REQUIRED_ROLES]),
                    "requires_dual_confirm": bool(policy.get(CONF_REQUIRES_DUAL_CONFIRM)),
                    "requires_presence": bool(policy.get(CONF_REQUIRES_PRESENCE)),
                    "requester_may_confirm": bool(policy.get(CONF_REQUESTER_MAY_CONFIRM, True)),
                    "voice_may_confirm": bool(policy.get(CONF_VOICE_MAY_CONFIRM)),
                    "presence_ttl": float(policy.get(CONF_PRESENCE_TTL, DEFAULT_PRESENCE_TTL)),
                    "checks": sorted(policy.get(CONF_CHECKS, {})),
                }
                for zone_id, policy in options.get(CONF_POLICIES, {}).items()
                if zone_id in zones and policy.get(CONF_REQUIRED_ROLES)
            ],
        }

    def _key(self) -> Json:
        return {"public_key": self._ledger.public_key}

    async def _users(self) -> list[Json]:
        """Return the people of the workshop."""
        return [
            found
            for user_id, settings in self._entry.options.get(CONF_PEOPLE, {}).items()
            if (found := await self._user(user_id, settings)) is not None
        ]

    async def _user(self, user_id: str, settings: Mapping[str, Any]) -> Json | None:
        """Return one person of the workshop; nobody without a role, nobody that is gone."""
        user = await self._hass.auth.async_get_user(user_id)
        if user is None or not settings.get(CONF_ROLES):
            return None
        return {
            "id": user.id,
            "display_name": user.name or user.id,
            "email": settings.get(CONF_EMAIL) or None,
            "roles": list(settings[CONF_ROLES]),
            "active": await person(self._hass, user_id) is not None,
        }

    async def _anchor(self) -> None:
        """Have the brain prove that its audit chain still holds what we saw in it."""
        head = self._ledger.audit_head
        answer = await self._command("audit.anchor", head) if head else {"ok": True}
        if answer is None:
            return
        self._audit_is_whole = bool(answer["ok"])
        if self._audit_is_whole:
            delete_audit_rollback(self._hass, self._entry)
            await self._keep_audit_head()
        elif head is not None:
            LOGGER.error(
                "The brain's audit chain does not hold row %s, which was there", head["seq"]
            )
            create_audit_rollback(self._hass, self._entry, seq=head["seq"])

    async def _put_devices(self) -> None:
        """Give the brain every device that was added here; take back those that were removed."""
        ours = set()
        for item in self._entry.get_subentries_of_type(SUBENTRY_DEVICE):
            ours.add(item.data[CONF_DEVICE_ID])
            await self._command(
                "devices.put",
                {
                    "device_id": item.data[CONF_DEVICE_ID],
                    "driver": item.data[CONF_DRIVER],
                    "name": item.title,
                    "zone_id": item.data.get(CONF_ZONE_ID),
                    "options": dict(item.data.get(CONF_OPTIONS, {})),
                    "info": dict(item.data[CONF_INFO]),
                },
            )
        for device_id in self._coordinator.data.devices.keys() - ours:
            await self._command("devices.remove", {"device_id": device_id})

    async def _observe(self, device_ids: list[str]) -> None:
        """Tell what the entities of these devices show now."""
        for device_id in device_ids:
            if (seen := self._executor.seen(device_id)) is not None:
                await self._command("devices.observe", {"device_id": device_id} | seen.as_dict())

    async def _observe_changed(self) -> None:
        """Tell what changed, once all entities that change together have done so."""
        await asyncio.sleep(0)
        changed, self._to_observe = sorted(self._to_observe), set()
        await self._observe(changed)

    async def _send_evidence(self) -> None:
        """Tell who is where and which checks hold, as of now."""
        options, now = self._entry.options, time()
        people = options.get(CONF_PEOPLE, {})
        areas = ar.async_get(self._hass)
        for zone_id, rule in options.get(CONF_PRESENCE, {}).items():
            area = areas.async_get_area(zone_id)
            for user_id, status in presence(self._hass, rule, area.name if area else None).items():
                if user_id in people and zone_id in options.get(CONF_ZONES, {}):
                    seen: Json = {"zone_id": zone_id, "user_id": user_id, "status": str(status)}
                    # Being there is as old as its evidence; not being there counts from now.
                    here = status is PresenceStatus.PRESENT
                    since = min(now, _reported(self._hass, rule, user_id)) if here else now
                    seen |= {"source": str(PresenceSource.SENSOR), "observed_at": since}
                    await self._command("safety.presence", seen)
        for zone_id, policy in options.get(CONF_POLICIES, {}).items():
            for name, check in policy.get(CONF_CHECKS, {}).items():
                state = self._hass.states.get(check[CONF_ENTITY_ID])
                ok = state is not None and state.state == check[CONF_STATE]
                result: Json = {"zone_id": zone_id, "name": name, "ok": ok, "observed_at": now}
                await self._command("safety.check", result)

    async def _command(self, action: str, params: Json) -> Json | None:
        """Send one thing; None where it was not taken, which is logged unless the brain cannot be told now."""
        try:
            answer: Json = await self._client.command(action, params)
        except BrainUnavailable:
            self._retry.later()
            return None
        except BrainError as err:
            LOGGER.error("The brain refused %s: %s", action, err)
            return None
        return answer

    async def _keep_audit_head(self) -> None:
        """Keep the newest head, unless the chain is in doubt or there is none yet."""
        head = self._coordinator.data.audit
        if self._audit_is_whole and "hash" in head:
            self._audit_kept_at = time()
            try:
                await self._ledger.keep_audit_head(head)
            except LedgerUnwritable as err:
                LOGGER.error("The head of the audit chain is not kept: %s", err)

    @callback
    def _track(self) -> None:
        """Follow the entities that stand for people, rooms, checks and devices."""
        options = self._entry.options
        evidence: set[str] = set()
        intervals: list[float] = []
        for zone_id, rule in options.get(CONF_PRESENCE, {}).items():
            evidence |= {*rule.get(CONF_PERSONS, ()), *rule.get(CONF_OCCUPANCY, ())}
            policy = options.get(CONF_POLICIES, {}).get(zone_id, {})
            intervals.append(float(policy.get(CONF_PRESENCE_TTL, DEFAULT_PRESENCE_TTL)) / 3)
        for policy in options.get(CONF_POLICIES, {}).values():
            checks = policy.get(CONF_CHECKS, {})
            evidence |= {check[CONF_ENTITY_ID] for check in checks.values()}
            intervals += [CHECK_EVERY] if checks else []
        if intervals:
            every = timedelta(seconds=max(SHORTEST_INTERVAL, min(intervals)))
            self._trackers.append(
                async_track_time_interval(self._hass, self._on_evidence_due, every)
            )
        self._follow(sorted(evidence), self._on_evidence_changed)
        self._follow(
            [one for item in self._executor.devices().values() for one in watched(item.options)],
            self._on_device_changed,
        )

    def _follow(self, entity_ids: list[str], action: Any) -> None:
        if entity_ids:
            self._trackers.append(async_track_state_change_event(self._hass, entity_ids, action))

    @callback
    def _untrack(self) -> None:
        for stop in self._trackers:
            stop()
        self._trackers.clear()

    @callback
    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._entry.async_create_background_task(self._hass, work, "kitty feed")

    @callback
    def _send_again(self) -> None:
        self._start(self.send_all())

    @callback
    def _on_link_up(self, _data: Json) -> None:
        self._send_again()

    @callback
    def _on_people_changed(self, _event: Event[Any]) -> None:
        self._start(self.rules_changed())

    @callback
    def _on_evidence_due(self, _now: datetime) -> None:
        self._start(self._send_evidence())

    @callback
    def _on_evidence_changed(self, _event: Event[EventStateChangedData]) -> None:
        self._start(self._send_evidence())

    @callback
    def _on_device_changed(self, event: Event[EventStateChangedData]) -> None:
        changed = [
            device_id
            for device_id, bound in self._executor.devices().items()
            if event.data["entity_id"] in watched(bound.options)
        ]
        if changed and not self._to_observe:
            self._start(self._observe_changed())
        self._to_observe.update(changed)

    @callback
    def _on_audit_head(self, _head: Json) -> None:
        if self._audit_timer is not None:
            return
        if (wait := self._audit_kept_at + KEEP_AUDIT_EVERY - time()) <= 0:
            self._start(self._keep_audit_head())
        else:
            # The last row of a burst must be kept, too, even where none comes after it.
            self._audit_timer = async_call_later(self._hass, wait, self._on_audit_due)

    @callback
    def _on_audit_due(self, _now: datetime) -> None:
        self._audit_timer = None
        self._start(self._keep_audit_head())

    @callback
    def _stop_audit_timer(self) -> None:
        if self._audit_timer is not None:
            self._audit_timer()
            self._audit_timer = None

    @callback
    def _on_snapshot(self, _data: Json) -> None:
        # A snapshot may come from an older database: the chain is in doubt until it is anchored.
        self._audit_is_whole = False


def _one_account_each(users: list[Json]) -> tuple[list[Json], list[Json]]:
    """Return the users whose address is their own, and those with one that another has already.

    Two accounts of one person must not count as two people; one that is in use is kept before one that is not.
    """
    owners: dict[str, str] = {}
    for user in sorted(users, key=lambda one: not one["active"]):
        owners.setdefault((user["email"] or user["id"]).casefold(), user["id"])
    own = set(owners.values())
    return [one for one in users if one["id"] in own], [
        one for one in users if one["id"] not in own
    ]


def presence(
    hass: HomeAssistant, rule: Mapping[str, Any], area_name: str | None
) -> dict[str, PresenceStatus]:
    """Return who is known to be in an area.

    A person entity speaks for its user; an empty room overrules it; an occupied room names a person
    only where exactly one could be in it.
    """
    rooms = [_state(hass, entity_id) for entity_id in rule.get(CONF_OCCUPANCY, ())]
    found: dict[str, PresenceStatus] = {}
    for entity_id in rule.get(CONF_PERSONS, ()):
        state = hass.states.get(entity_id)
        if state is not None and (user_id := state.attributes.get("user_id")):
            found[user_id] = _own_word(state.state, area_name, alone=not rooms)
    if not rooms:
        return found
    if STATE_ON not in rooms:
        empty = all(room == STATE_OFF for room in rooms)
        return dict.fromkeys(found, PresenceStatus.VACATED if empty else PresenceStatus.UNKNOWN)
    if len(rule.get(CONF_PERSONS, ())) == 1:
        away = PresenceStatus.VACATED in found.values()
        return dict.fromkeys(found, PresenceStatus.UNKNOWN if away else PresenceStatus.PRESENT)
    return found


def _own_word(state: str, area_name: str | None, *, alone: bool) -> PresenceStatus:
    """Return what a person entity says: in the zone that is named like the area, or at home.

    Somebody at home may be in any room: that is presence only where no sensor knows better.
    """
    if state in _UNKNOWN:
        return PresenceStatus.UNKNOWN
    if (area_name or "").casefold() == state.casefold():
        return PresenceStatus.PRESENT
    if state == STATE_HOME:
        return PresenceStatus.PRESENT if alone else PresenceStatus.UNKNOWN
    return PresenceStatus.VACATED


def _reported(hass: HomeAssistant, rule: Mapping[str, Any], user_id: str) -> float:
    """Return when the newest evidence for a person in an area was last reported."""
    states = [hass.states.get(entity_id) for entity_id in rule.get(CONF_PERSONS, ())]
    own = [one for one in states if one and one.attributes.get("user_id") == user_id]
    rooms = [hass.states.get(entity_id) for entity_id in rule.get(CONF_OCCUPANCY, ())]
    taken = [one for one in rooms if one and one.state == STATE_ON]
    return max((one.last_reported.timestamp() for one in (*own, *taken)), default=0.0)


def _state(hass: HomeAssistant, entity_id: str) -> str | None:
    state = hass.states.get(entity_id)
    return state.state if state else None
