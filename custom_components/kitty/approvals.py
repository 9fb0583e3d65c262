"""Requests and decisions of people: who asked, who is asked, and whose finger it was."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from homeassistant.core import CALLBACK_TYPE, Context, Event, EventOrigin, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.event import async_call_later

from .client import BrainClient
from .const import CONF_ZONE_ID, LOGGER, SUBENTRY_DEVICE
from .coordinator import SNAPSHOT, KittyCoordinator
from .errors import BrainError, BrainUnavailable, KittyError, LedgerUnwritable, Refused
from .gate import Executor
from .issues import create_clock_skew, create_no_approver, delete_clock_skew
from .judgement import Ground
from .ledger import ACCEPTED, REFUSED, Ledger, check_subject
from .origin import Caller, caller_from, person
from .phones import ACTION_PREFIXES, Phones
from .protocol import (
    INTENTS,
    VOICE_PERSON,
    Channel,
    EventStatus,
    Hazard,
    Json,
    approval_bytes,
    worse,
)

if TYPE_CHECKING:
    from . import KittyConfigEntry

EVENT_MOBILE_ACTION: Final = "mobile_app_notification_action"

APPROVE: Final = "approve"
DENY: Final = "deny"
# What the brain says when its clock is ahead of ours, or a decision came late.
STALE: Final = "stale_decision"

WRONG_TOKEN: Final = "wrong_token"  # noqa: S105 - the name of an attempt
FOREIGN_TOKEN: Final = "foreign_token"  # noqa: S105 - see above
EXPIRED_TOKEN: Final = "expired_token"  # noqa: S105 - see above

type Press = Callable[[Event[Mapping[str, Any]]], Coroutine[Any, Any, None]]


@callback
def async_listen_to_presses(
    hass: HomeAssistant, entry: KittyConfigEntry, press: Press
) -> CALLBACK_TYPE:
    """Call back for every press on a phone; an unload waits for its end, as the next life reads what it wrote."""

    @callback
    def pressed(event: Event[Mapping[str, Any]]) -> None:
        entry.async_create_task(hass, press(event), "kitty press")

    return hass.bus.async_listen(EVENT_MOBILE_ACTION, pressed)


class Approvals:
    """Sends requests, collects decisions, and asks the phones of those who may decide."""

    def __init__(
        self,
        hass: HomeAssistant,
        entry: KittyConfigEntry,
        client: BrainClient,
        coordinator: KittyCoordinator,
        ledger: Ledger,
        executor: Executor,
    ) -> None:
        """Take the collaborators; nothing happens before :meth:`start`."""
        self._hass = hass
        self._entry = entry
        self._client = client
        self._coordinator = coordinator
        self._ledger = ledger
        self._executor = executor
        self._phones = Phones(hass, entry, ledger)
        self._deciding: dict[tuple[str, str], asyncio.Lock] = {}
        self._asking: dict[str, asyncio.Lock] = {}
        self._timers: dict[str, CALLBACK_TYPE] = {}

    @callback
    def start(self) -> None:
        """Listen to the phones and to the brain, and take up what was pending before a restart."""
        on_unload = self._entry.async_on_unload
        on_unload(async_listen_to_presses(self._hass, self._entry, self._async_on_press))
        on_unload(self._coordinator.async_listen("safety.event", self._on_event))
        on_unload(self._coordinator.async_listen(SNAPSHOT, self._on_snapshot))
        on_unload(self._stop_timers)
        self._on_snapshot({})

    async def request(
        self,
        device_id: str,
        intent: str,
        params: Json | None,
        context: Context,
        idempotency_key: str | None = None,
        *,
        channel: Channel | None = None,
    ) -> Json:
        """Ask the brain for something; returns ``{"command", "event"}`` before anybody has decided.

        A safe direction of a device of Home Assistant's own is done here when the brain is away.
        ``channel`` only from a handler that has itself checked whose finger it was.
        """
        caller = await caller_from(self._hass, context, channel=channel)
        wish: Json = {"device_id": device_id, "intent": intent, "params": params or {}}
        if idempotency_key is not None:
            wish["idempotency_key"] = idempotency_key
        try:
            answer: Json = await self._client.command("devices.request", wish, caller=caller)
        except BrainUnavailable:
            # A hazard is never tried again by ourselves: it may have been carried out.
            if intent in INTENTS and INTENTS[intent].safe:
                return await self._executor.run_safe(device_id, intent, context)
            raise
        except BrainError as err:
            device = self._coordinator.data.devices.get(device_id, {})
            if err.code == "no_approver" and (zone_id := device.get("zone_id")):
                create_no_approver(self._hass, self._entry, zone_id=zone_id)
            raise
        command, event = answer["command"], answer["event"]
        if event is not None:
            await self._record_request(wish, event, caller)
            self._coordinator.async_note("events", event)
        self._coordinator.async_note("commands", command)
        return answer

    async def decide(
        self,
        event_id: str,
        decision: str,
        *,
        context: Context,
        ppe: bool = False,
        channel: Channel | None = None,
        subject: str | None = None,
        pin: str | None = None,
    ) -> Json:
        """Record the decision of the person of this context, then send it; returns the event.

        The same decision a second time is the first one. ``channel`` only from a handler that has
        itself checked that the person's finger was on it, or that a yes was said to our own
        question; ``subject`` is what that person was shown.
        """
        caller = await caller_from(self._hass, context, channel=channel)
        spoken = caller.channel in (Channel.ASSIST, Channel.VOICE)
        if spoken and channel is None and decision == APPROVE:
            raise Refused("direct_approval_required")
        user_id = caller.user_id
        if user_id is None and caller.channel is Channel.VOICE:
            user_id = VOICE_PERSON
        if user_id is None:
            raise Refused("user_required")
        if (event := self._coordinator.data.events.get(event_id)) is None:
            raise Refused("unknown_event")
        if subject not in (None, event["subject"]):
            raise Refused("wrong_subject")
        lock = self._deciding.setdefault((event_id, user_id), asyncio.Lock())
        async with lock:
            return await self._decide(event, user_id, decision, caller, ppe=ppe, pin=pin)

    async def _record_request(self, wish: Json, event: Json, caller: Caller) -> None:
        """Record who asked, if the event is about what was asked and is new."""
        if any(event[name] != wish[name] for name in ("device_id", "intent", "params")):
            LOGGER.error("The brain answered a request with an event about something else")
            raise KittyError("brain_mismatch")
        if event["initiated_by"] == caller.user_id:
            await self._ledger.record_request(event, caller)

    async def _decide(
        self,
        event: Json,
        user_id: str,
        decision: str,
        caller: Caller,
        *,
        ppe: bool,
        pin: str | None,
    ) -> Json:
        """Judge a decision here, record it, and send it."""
        event_id = event["id"]
        if self._is_known(event_id, user_id, decision):
            return self._coordinator.data.events.get(event_id, event)
        await self._require_open(event)
        await self._require_entitled(event, user_id, decision, str(caller.channel), ppe=ppe)
        if not self._client.connected:
            raise BrainUnavailable
        began, anew = self._ledger.now(), False
        while True:
            made = await self._ledger.record_decision(
                event, user_id, decision, channel=str(caller.channel), ppe=ppe, anew=anew
            )
            try:
                answer = await self._send(event, user_id, caller, made, pin)
            except BrainError as err:
                # What never arrived, and is said again much later, is said now.
                anew = err.code == STALE and made["at"] < began
                if anew:
                    continue
                if err.code == STALE:
                    create_clock_skew(self._hass, self._entry)
                raise
            delete_clock_skew(self._hass, self._entry)
            return answer

    async def _send(
        self, event: Json, user_id: str, caller: Caller, made: Json, pin: str | None
    ) -> Json:
        """Send a decision that is recorded, and record what the brain said."""
        event_id, decision = event["id"], made["decision"]
        signed = approval_bytes(
            event_id=event_id,
            subject=event["subject"],
            user_id=user_id,
            decision=decision,
            channel=made["channel"],
            ppe=made["ppe"],
            at=made["at"],
        )
        params: Json = {
            "event_id": event_id,
            "decision": decision,
            "subject": event["subject"],
            "at": made["at"],
            "signature": self._ledger.sign(signed),
            "ppe": made["ppe"],
        }
        if pin is not None:
            params["pin"] = pin
        # The road that is signed, also where an unanswered decision is sent again by another.
        sender = Caller(
            user_id=caller.user_id,
            name=caller.name,
            channel=Channel(made["channel"]),
            context_id=caller.context_id,
        )
        try:
            answer: Json = await self._client.command("safety.decide", params, caller=sender)
        except BrainError as err:
            # An approval that the brain refused counts for nothing; a denial stands all the same.
            if decision == APPROVE:
                await self._ledger.mark_decision(event_id, user_id, REFUSED, err.code)
            raise
        await self._ledger.mark_decision(event_id, user_id, ACCEPTED)
        return answer

    def _is_known(self, event_id: str, user_id: str, decision: str) -> bool:
        """Tell whether the brain has this very decision already."""
        made = (self._ledger.event(event_id) or {}).get("decisions", {}).get(user_id)
        return bool(made and made["decision"] == decision and made["status"] == ACCEPTED)

    async def _require_open(self, event: Json) -> None:
        """Refuse what is decided, or expired by any clock that ever said so."""
        latest = self._coordinator.data.events.get(event["id"], event)
        closed = (self._ledger.event(event["id"]) or {}).get("closed")
        if latest["status"] == EventStatus.EXPIRED or closed == EventStatus.EXPIRED:
            raise Refused("expired")
        if latest["status"] != EventStatus.PENDING or closed is not None:
            raise Refused("already_decided")
        if not self._ledger.now() < event["expires_at"]:
            await self._ledger.close_event(event["id"], EventStatus.EXPIRED)
            raise Refused("expired")

    async def _require_entitled(
        self, event: Json, user_id: str, decision: str, channel: str, *, ppe: bool
    ) -> None:
        """Refuse an approval that our own options do not allow; anybody here may deny."""
        if event["intent"] not in INTENTS:
            raise Refused("intent_not_supported", intent=event["intent"])
        zone_id = self._zone_of(event["device_id"])
        if event["zone_id"] != zone_id:
            raise Refused("wrong_subject")
        ground = Ground.of(self._entry, zone_id, event["intent"])
        if decision == DENY:
            return
        if worse(ground.level, Hazard(event["level"])) != event["level"]:
            raise Refused("level_too_low")
        if not ground.known_zone:
            raise Refused("no_zone")
        requester = (self._ledger.event(event["id"]) or event).get("requester")
        code = await ground.why_not(
            self._hass,
            user_id,
            channel,
            ppe=ppe,
            requester=requester or event["initiated_by"],
        )
        if code is not None:
            raise Refused(code)

    def _zone_of(self, device_id: str) -> str | None:
        """Return the area of a device as it was set up here."""
        for item in self._entry.get_subentries_of_type(SUBENTRY_DEVICE):
            if item.data.get("device_id") == device_id:
                zone_id: str | None = item.data.get(CONF_ZONE_ID)
                return zone_id
        raise Refused("device_unknown")

    async def _async_on_press(self, event: Event[Mapping[str, Any]]) -> None:
        """Take the press of a button in a notification: whose it is, only the context tells."""
        action = str(event.data.get("action", ""))
        prefix = next((one for one in ACTION_PREFIXES if action.startswith(one)), None)
        if prefix is None:
            return
        token, user_id = action.removeprefix(prefix), event.context.user_id
        record = self._ledger.token(token)
        if record is None or event.origin is not EventOrigin.remote:
            await self._report(user_id, WRONG_TOKEN, record)
        elif record["user_id"] != user_id or await person(self._hass, user_id) is None:
            await self._report(user_id, FOREIGN_TOKEN, record)
        elif not self._is_waiting(record):
            await self._report(user_id, EXPIRED_TOKEN, record)
            await self._phones.clear(record["event_id"], [record["user_id"]])
        elif not record["used"]:
            await self._press(record, token, event.context)

    async def _press(self, record: Json, token: str, context: Context) -> None:
        """Decide for the person whose token this is, and tell them when it was not taken."""
        event = self._coordinator.data.events[record["event_id"]]
        try:
            await self.decide(
                record["event_id"],
                record["decision"],
                context=context,
                channel=Channel.MOBILE,
                subject=record.get("subject", ""),
                ppe=bool(event["requires_ppe"]),
            )
            await self._ledger.use_token(token)
        except BrainUnavailable as err:
            await self._ask_again(record, str(err))
        except HomeAssistantError as err:
            await self._phones.tell(event, record["user_id"], str(err))

    async def _ask_again(self, record: Json, why: str) -> None:
        """Show a request to somebody once more, unless it was decided while the brain was asked."""
        event_id = record["event_id"]
        async with self._asking.setdefault(event_id, asyncio.Lock()):
            if self._is_waiting(record):
                event = self._coordinator.data.events[event_id]
                await self._phones.ask(event, record["user_id"], note=why, again=True)
        if event_id not in self._timers:
            self._asking.pop(event_id, None)

    def _is_waiting(self, record: Json) -> bool:
        """Tell whether the event of a token can still be decided, as far as is known here."""
        event = self._coordinator.data.events.get(record["event_id"], {})
        closed = (self._ledger.event(record["event_id"]) or {}).get("closed")
        in_time = self._ledger.now() < record["expires_at"]
        return event.get("status") == EventStatus.PENDING and in_time and closed is None

    async def _report(self, user_id: str | None, reason: str, record: Json | None) -> None:
        """Tell the brain of a token that was wrong, foreign or stale; kept until it has heard."""
        LOGGER.warning("An approval from a phone was refused: %s", reason)
        event_id = record["event_id"] if record else None
        if user_id is None:
            about: Json = {"reason": reason, "event_id": event_id, "at": self._ledger.now()}
            note: Json = {"kind": "approval_token", "user_id": None, "device_id": None}
            action, params = "audit.note", note | {"data": about}
        else:
            action = "safety.attempt"
            params = {"user_id": user_id, "reason": reason, "event_id": event_id}
        try:
            await self._ledger.enqueue(action, params)
            await self._ledger.flush(self._client.command)
        except LedgerUnwritable as err:
            LOGGER.error("A report is not kept: %s", err)

    @callback
    def _on_event(self, event: Json) -> None:
        self._follow(event["id"])

    @callback
    def _on_snapshot(self, _data: Json) -> None:
        pending = {
            event["id"]
            for event in self._coordinator.data.events.values()
            if event["status"] == EventStatus.PENDING
        }
        for event_id in pending | self._ledger.uncleared():
            self._follow(event_id)

    @callback
    def _follow(self, event_id: str) -> None:
        """Bring phones in line with an event, in the background."""
        self._entry.async_create_background_task(
            self._hass, self._async_follow(event_id), f"kitty phones {event_id}"
        )

    async def _async_follow(self, event_id: str) -> None:
        async with self._asking.setdefault(event_id, asyncio.Lock()):
            event = self._coordinator.data.events.get(event_id)
            try:
                if event is None:
                    await self._end(event_id, EventStatus.EXPIRED)
                elif event["status"] != EventStatus.PENDING:
                    await self._end(event_id, event["status"])
                elif self._ledger.now() < event["expires_at"]:
                    await self._ask(event)
                else:
                    await self._end(event_id, EventStatus.EXPIRED)
            except LedgerUnwritable as err:
                LOGGER.error("Nobody can be asked: %s", err)
        if event_id not in self._timers:
            self._asking.pop(event_id, None)

    async def _ask(self, event: Json) -> None:
        """Ask those who may decide now, and no longer those who have."""
        try:
            check_subject(event)
        except Refused:
            LOGGER.error("Nobody is asked: the brain shows an event that is not what it signs")
            return
        eligible = [one for one in event["eligible"] if await person(self._hass, one)]
        if not eligible and event["zone_id"] is not None:
            create_no_approver(self._hass, self._entry, zone_id=event["zone_id"])
        done = self._ledger.asked(event["id"]) - set(eligible)
        await self._phones.clear(event["id"], sorted(done))
        for user_id in eligible:
            await self._phones.ask(event, user_id)
        if event["id"] not in self._timers:
            self._timers[event["id"]] = async_call_later(
                self._hass, event["expires_at"] - self._ledger.now(), self._expiry(event["id"])
            )

    def _expiry(self, event_id: str) -> Callable[[datetime], None]:
        """Return what looks at an event again once its time is over."""

        @callback
        def over(_now: datetime) -> None:
            self._timers.pop(event_id, None)
            self._follow(event_id)

        return over

    async def _end(self, event_id: str, status: str) -> None:
        """Take an event off every phone; one that was not approved stays closed for good."""
        if (cancel := self._timers.pop(event_id, None)) is not None:
            cancel()
        if status != EventStatus.APPROVED:
            await self._ledger.close_event(event_id, status)
        await self._phones.clear(event_id, sorted(self._ledger.asked(event_id)), over=True)
        for key in [key for key in self._deciding if key[0] == event_id]:
            if not self._deciding[key].locked():
                del self._deciding[key]

    @callback
    def _stop_timers(self) -> None:
        for cancel in self._timers.values():
            cancel()
        self._timers.clear()
