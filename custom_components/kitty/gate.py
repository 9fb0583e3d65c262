"""The last gate before a service call: a grant is believed only as far as our ledger bears it out.

The brain decides, but it cannot make this house act alone: the hazard is computed from our own
options, the people are those whose decisions we recorded ourselves, and the nonce is on disk before
the call.
"""

import asyncio
import base64
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from homeassistant.components.camera import async_get_image
from homeassistant.const import CONF_DEVICE_ID, Platform
from homeassistant.core import Context, Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.exceptions import (
    HomeAssistantError,
    ServiceNotFound,
    ServiceValidationError,
    Unauthorized,
)
from homeassistant.helpers.event import async_track_state_change_event
import probatio as vol

from .bindings import (
    OPTION_CAMERA_ENTITY,
    OPTION_ENTITY,
    OPTION_FEEDS,
    Action,
    Seen,
    action_for,
    blindness,
    describe,
    domain_of,
    look,
    proves,
    watched,
)
from .client import BrainClient
from .const import (
    CONF_BRAIN_PUBLIC_KEY,
    CONF_DRIVER,
    CONF_OPTIONS,
    CONF_ZONE_ID,
    LOGGER,
    SUBENTRY_DEVICE,
)
from .coordinator import KittyCoordinator
from .errors import LedgerUnwritable, Refused
from .judgement import Grant, Ground
from .ledger import BARRED, CLOCK_SKEW, Ledger, verify
from .origin import caller_from
from .protocol import (
    INTENTS,
    MAX_FRAME_BYTES,
    CommandStatus,
    Json,
    OnlineState,
    grant_bytes,
    invalid_params,
    is_cool,
)

if TYPE_CHECKING:
    from . import KittyConfigEntry

__all__ = ["Executor", "Ledger"]

LOCAL_DRIVER: Final = "home_assistant"
# How long after the link was lost a printer may be taken to be as cool as it was.
COOL_FOR: Final = 120.0
ID_MAX: Final = 64
SNAPSHOT_WIDTH: Final = 1280
MAX_IMAGE_BYTES: Final = MAX_FRAME_BYTES * 3 // 4 - 1024

# The service refused before anything reached the device.
_NEVER_SENT: Final = (ServiceNotFound, ServiceValidationError, Unauthorized, vol.Invalid)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One device that Home Assistant owns, as a person added it."""

    device_id: str
    name: str
    zone_id: str | None
    options: Mapping[str, Any]


class Executor:
    """Carries out grants, at most once each, and tells what was then seen."""

    def __init__(
        self,
        hass: HomeAssistant,
        entry: KittyConfigEntry,
        client: BrainClient,
        coordinator: KittyCoordinator,
        ledger: Ledger,
    ) -> None:
        """Answer the brain's requests about the devices of this entry."""
        self._hass = hass
        self._entry = entry
        self._client = client
        self._coordinator = coordinator
        self._ledger = ledger
        # By the command that has a grant; what is done without one has a key that nobody knows.
        self._running: dict[object, asyncio.Event] = {}
        client.register("ha.execute", self._async_execute)
        client.register("ha.outcome", self._async_outcome)
        client.register("ha.observe", self._async_observe)
        client.register("ha.describe", self._async_describe)
        client.register("ha.snapshot", self._async_snapshot)

    def devices(self) -> dict[str, Bound]:
        """Return the devices that Home Assistant owns, by id."""
        return {
            item.data[CONF_DEVICE_ID]: Bound(
                device_id=item.data[CONF_DEVICE_ID],
                name=item.title,
                zone_id=item.data.get(CONF_ZONE_ID),
                options=item.data.get(CONF_OPTIONS, {}),
            )
            for item in self._entry.get_subentries_of_type(SUBENTRY_DEVICE)
            if item.data.get(CONF_DRIVER) == LOCAL_DRIVER
        }

    def seen(self, device_id: str) -> Seen | None:
        """Return what the entities of a device show now; None where it is not Home Assistant's."""
        bound = self.devices().get(device_id)
        return look(self._hass, bound.options) if bound else None

    async def run_safe(self, device_id: str, intent: str, context: Context) -> Json:
        """Carry out a safe direction without the brain, and keep a report for it."""
        bound = self._bound(device_id)
        if intent not in INTENTS or not INTENTS[intent].safe:
            raise Refused("brain_unavailable")
        action = action_for(self._hass, bound.options, intent)
        if intent == "power_off" and not self._load_is_cool(bound):
            raise Refused("load_may_be_hot", device=bound.name)
        caller = await caller_from(self._hass, context)
        note: Json = {
            "intent": intent,
            "channel": str(caller.channel),
            "outcome": "unknown",
            "at": self._ledger.now(),
        }
        params: Json = {
            "kind": "safe_direction",
            "user_id": caller.user_id,
            "device_id": device_id,
            "data": note,
        }
        key = object()
        done = self._running[key] = asyncio.Event()
        try:
            await self._kept(self._ledger.enqueue("audit.note", params, ready=False))
            status, detail = await self._perform(bound, intent, action, context)
            note["outcome"] = str(status)
            await self._kept(self._ledger.complete(params))
        finally:
            del self._running[key]
            done.set()
        await self._kept(self._ledger.flush(self._client.command))
        return {
            "command": {
                "id": None,
                "device_id": device_id,
                "intent": intent,
                "params": {},
                "status": str(status),
                "detail": detail,
                "requested_by": caller.user_id,
                "channel": str(caller.channel),
                "created_at": self._ledger.now(),
                "event_id": None,
            },
            "event": None,
        }

    async def drain(self) -> None:
        """Wait until nothing is being carried out, so that an unload does not lose an outcome."""
        while self._running:
            await next(iter(self._running.values())).wait()

    async def _async_execute(self, params: Json) -> Json:
        """Carry out a signed grant; anything that does not hold is refused with a stable code."""
        raw = params["grant"]
        try:
            grant, bound, action = await self._judge(raw, str(params["signature"]))
        except Refused as err:
            LOGGER.warning("Refused a grant of the brain: %s (%s)", err.code, _label(raw))
            raise
        if self._ledger.is_spent(raw):
            raise Refused("grant_spent")
        # No await between the look and the entry: of two equal frames only one gets past.
        done = self._running[grant.command_id] = asyncio.Event()
        outcome: tuple[CommandStatus, str | None] | None = None
        try:
            await self._ledger.spend(raw)
            outcome = status, detail = await self._carry_out(grant, bound, action)
        finally:
            self._hass.async_create_task(
                self._end(grant, done, outcome), f"kitty outcome {grant.command_id}"
            )
        return {"status": str(status), "detail": detail}

    async def _end(
        self, grant: Grant, done: asyncio.Event, outcome: tuple[CommandStatus, str | None] | None
    ) -> None:
        """Keep how a grant ended; nobody waits for the disk, because without it the end is unknown."""
        try:
            if outcome is not None:
                status, detail = outcome
                await self._kept(self._ledger.record_outcome(grant.nonce, str(status), detail))
        finally:
            del self._running[grant.command_id]
            done.set()

    async def _carry_out(
        self, grant: Grant, bound: Bound, action: Action
    ) -> tuple[CommandStatus, str | None]:
        """Act on a spent grant; it may have worked, so no error says that nothing was done."""
        known = self._ledger.event(grant.event_id) or {}
        context = Context(parent_id=known.get("context_id"))
        try:
            return await self._perform(bound, grant.intent, action, context)
        except (HomeAssistantError, ValueError, KeyError, TypeError, AttributeError) as err:
            LOGGER.warning("The effect of command %s is unknown: %r", grant.command_id, err)
            return CommandStatus.UNKNOWN, _words(err)

    async def _async_outcome(self, params: Json) -> Json:
        """Tell what became of a command's grant; used without a known end is unknown."""
        command_id = params["command_id"]
        if not isinstance(command_id, str) or not 0 < len(command_id) <= ID_MAX:
            raise Refused("invalid_params", fields="command_id")
        if (done := self._running.get(command_id)) is not None:
            await done.wait()
        found = self._ledger.spent_for(command_id)
        if found is None:
            # An answer is a promise: from now on no grant of this command is carried out.
            await self._ledger.bar(command_id)
        if found is None or found[1]["status"] == BARRED:
            return {"spent": False, "status": None}
        return {"spent": True, "status": found[1]["status"] or str(CommandStatus.UNKNOWN)}

    async def _async_observe(self, params: Json) -> Json:
        return look(self._hass, self._bound(params["device_id"]).options).as_dict()

    async def _async_describe(self, params: Json) -> Json:
        return describe(self._hass, params["options"])

    async def _async_snapshot(self, params: Json) -> Json:
        """Return a picture small enough for one frame."""
        options = self._bound(params["device_id"]).options
        entity_id = options.get(OPTION_CAMERA_ENTITY) or options[OPTION_ENTITY]
        if domain_of(entity_id) != Platform.CAMERA:
            raise Refused("no_camera")
        image = await async_get_image(self._hass, entity_id)
        if len(image.content) > MAX_IMAGE_BYTES:
            image = await async_get_image(self._hass, entity_id, width=SNAPSHOT_WIDTH)
        if len(image.content) > MAX_IMAGE_BYTES:
            raise Refused("image_too_large", size=len(image.content))
        return {
            "content_type": image.content_type,
            "image": base64.b64encode(image.content).decode(),
        }

    async def _judge(self, raw: Any, signature: str) -> tuple[Grant, Bound, Action]:
        """Return what a grant allows; Refused with the reason where it allows nothing."""
        grant = Grant.read(raw)
        if not verify(self._entry.data[CONF_BRAIN_PUBLIC_KEY], signature, grant_bytes(raw)):
            raise Refused("grant_bad_signature")
        if self._ledger.is_spent(raw):
            raise Refused("grant_spent")
        now = self._ledger.now()
        if not now < grant.expires_at:
            # Spent from now on, so that no clock can bring it back.
            await self._ledger.spend(raw, status=BARRED)
            raise Refused("grant_expired")
        if grant.issued_at > now + CLOCK_SKEW:
            raise Refused("grant_not_yet_valid")
        bound = self._bound(grant.device_id)
        if grant.intent not in INTENTS:
            raise Refused("intent_not_supported", intent=grant.intent)
        seen = look(self._hass, bound.options)
        if seen.online is OnlineState.OFFLINE and not INTENTS[grant.intent].safe:
            raise Refused("device_offline", reason=seen.reason)
        action = action_for(self._hass, bound.options, grant.intent)
        if wrong := invalid_params(grant.intent, grant.params):
            raise Refused("invalid_params", fields=", ".join(sorted(wrong)))
        ground = Ground.of(self._entry, bound.zone_id, grant.intent)
        await ground.check(self._hass, grant, self._ledger.event(grant.event_id), now)
        return grant, bound, action

    def _bound(self, device_id: str) -> Bound:
        if (bound := self.devices().get(device_id)) is None:
            raise Refused("device_unknown")
        return bound

    def _load_is_cool(self, bound: Bound) -> bool:
        """Tell whether what an outlet feeds was cool and at rest when it was heard a moment ago."""
        feeds = bound.options.get(OPTION_FEEDS)
        if not feeds:
            return True
        fed = self._coordinator.data.devices.get(feeds, {})
        if fed.get("online") != OnlineState.ONLINE or not self._coordinator.is_fresh(COOL_FOR):
            return False
        return is_cool(fed.get("state", {}))

    async def _perform(
        self, bound: Bound, intent: str, action: Action, context: Context
    ) -> tuple[CommandStatus, str | None]:
        """Call the service once and return what was then seen within the deadline."""
        news, fresh = asyncio.Event(), False

        @callback
        def changed(_event: Event[EventStateChangedData]) -> None:
            nonlocal fresh
            fresh = True
            news.set()

        stop = async_track_state_change_event(self._hass, watched(bound.options), changed)
        call = self._entry.async_create_background_task(
            self._hass,
            self._hass.services.async_call(
                action.domain, action.service, action.data, blocking=True, context=context
            ),
            f"kitty {intent} {bound.name}",
        )
        call.add_done_callback(lambda _: news.set())
        try:
            async with asyncio.timeout(INTENTS[intent].deadline):
                while True:
                    error = _error_of(call)
                    if isinstance(error, _NEVER_SENT):
                        return CommandStatus.FAILED, _words(error)
                    if call.done() and (blind := blindness(self._hass, bound.options)):
                        return CommandStatus.UNKNOWN, _words(error) or blind
                    # A state that was there before proves nothing unless the call went well, too.
                    if proves(intent, look(self._hass, bound.options).state) and (
                        fresh or (call.done() and not call.cancelled() and error is None)
                    ):
                        return CommandStatus.ACKED, None
                    news.clear()
                    await news.wait()
        except TimeoutError:
            return self._too_late(bound, call)
        finally:
            stop()
            call.add_done_callback(_log_failure)

    def _too_late(self, bound: Bound, call: asyncio.Task[Any]) -> tuple[CommandStatus, str | None]:
        """Return the outcome of an order whose effect was not seen in time."""
        seen = look(self._hass, bound.options)
        if seen.state.get("jammed"):
            return CommandStatus.FAILED, "jammed"
        error = _error_of(call)
        offline = seen.reason if seen.online is OnlineState.OFFLINE else None
        return CommandStatus.UNKNOWN, _words(error) or offline or "not_observed"

    async def _kept(self, write: Coroutine[Any, Any, object]) -> None:
        """Await a write that must not change what is told: the deed is done or harmless."""
        try:
            await write
        except LedgerUnwritable as err:
            LOGGER.error("The ledger cannot be written: %s", err)


@callback
def _log_failure(call: asyncio.Task[Any]) -> None:
    """Log how a service call failed."""
    if (error := _error_of(call)) is not None:
        LOGGER.warning("%s failed: %r", call.get_name(), error)


def _error_of(call: asyncio.Task[Any]) -> BaseException | None:
    """Return how a service call failed; None while it runs, and when it went well."""
    return call.exception() if call.done() and not call.cancelled() else None


def _words(error: BaseException | None) -> str | None:
    """Return what an error says, for the command's detail."""
    if error is None:
        return None
    return str(error) if isinstance(error, HomeAssistantError) else repr(error)


def _label(raw: Any) -> str:
    """Return which grant this is, for the log; nothing in it is trusted."""
    if not isinstance(raw, dict):
        return "not a grant"
    return ", ".join(f"{name} {raw.get(name)!r}" for name in ("command_id", "device_id", "intent"))
