"""Devices: what they are, what they show, and the one road by which anything is done to them."""

import asyncio
import base64
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
import hashlib
import logging
from typing import Annotated, Any, Final

import msgspec

from brain_server.bus import Bus, Event
from brain_server.commands import Caller, Page, Params, Scope, command, paged
from brain_server.devices.evidence import Evidence, image_type, picture
from brain_server.devices.live import Live, began_since
from brain_server.devices.registry import PROBE_TIMEOUT, Registry
from brain_server.drivers import DeviceInfo, Observation, Option, Order, Outcome
from brain_server.errors import (
    Conflict,
    DeviceError,
    InvalidRequest,
    KittyError,
    NotFound,
    Unavailable,
)
from brain_server.lan import alike
from brain_server.observability import Tasks, checkpoint, counters
from brain_server.protocol import (
    INTENTS,
    CommandStatus,
    Json,
    Kind,
    OnlineState,
    invalid_params,
)
from brain_server.safety.commands import EventId
from brain_server.safety.gate import Gate
from brain_server.safety.records import shown_to
from brain_server.safety.step import Ask

_LOGGER = logging.getLogger(__name__)

RECOVERY_WAIT: Final = 60.0
FILES_WAIT: Final = 5.0
FINAL: Final = frozenset({"acked", "failed", "unknown", "denied", "expired"})


class DeviceId(Params):
    """One device."""

    device_id: str


class Probe(Params):
    """A driver and the options to try."""

    driver: str
    options: dict[str, Any]


class Info(Params):
    """What a probe found, so that a device can be put while it is switched off."""

    external_id: str
    name: str
    kind: Kind
    capabilities: list[str]
    manufacturer: str | None = None
    model: str | None = None
    sw_version: str | None = None
    has_camera: bool = False


class Put(Probe):
    """A device to store."""

    device_id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")] | None = None
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] | None = None
    zone_id: str | None = None
    info: Info | None = None


class Observe(Params):
    """What Home Assistant saw of a device that it owns."""

    device_id: str
    online: OnlineState
    state: dict[str, Any] = {}
    reason: str | None = None


class Request(Params):
    """One thing to do; ``wait`` seconds for the outcome, at most 25."""

    device_id: str
    intent: str
    params: dict[str, Any] = {}
    idempotency_key: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None
    conversation_id: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    wait: Annotated[float, msgspec.Meta(ge=0, le=25)] = 0.0


class Devices:
    """Executes: every request of every road comes to :meth:`request`, and there to the gate."""

    def __init__(
        self, registry: Registry, gate: Gate, bus: Bus, tasks: Tasks, evidence: Evidence
    ) -> None:
        """Take the registry, the gate, the bus, the task keeper and who takes pictures."""
        self.registry = registry
        self._evidence = evidence
        self._gate = gate
        self._tasks = tasks
        self._running: set[str] = set()
        self._carrying: set[asyncio.Task[None]] = set()
        self._watchers: dict[str, list[asyncio.Future[Json]]] = {}
        self._deferred: dict[str, str] = {}
        self._held: list[Json] = []
        # How many files of a name are on their way to a printer.
        self._uploads: Counter[tuple[str, str]] = Counter()
        # Tells what is known of a printer's file, None for nothing; see ``fabrication.files``.
        self.facts_of: Callable[[str, str], Awaitable[Json | None]] = _nothing_known
        bus.listen("safety.event", self._on_event)
        bus.listen("command.updated", self._on_command)
        registry.listeners.append(self._on_device)

    # -- the one road ---------------------------------------------------------------------------------

    @command(
        "devices.request",
        Scope.CONTROL,
        accepts=True,
        tool="Ask for something to be done with one device. `intent` is one of that device's `capabilities`; "
        '`params` belong to the intent, for example {"file": …} to print_start or {"nozzle": …, "bed": …} '
        "to heat. What is dangerous is only asked for: it then waits until people approve it, which no tool "
        "can do. `wait` seconds for the outcome.",
    )
    async def request(self, caller: Caller, params: Request) -> Json:
        """Ask for something to be done; returns the command and, when people must decide, the event."""
        live, given = self._checked(params)
        if params.intent == "print_start":
            await self._must_fit(live, given)
        ask = Ask(
            device_id=params.device_id,
            device_name=live.record.name,
            zone_id=live.record.zone_id,
            intent=params.intent,
            params=given,
            requester=caller.user_id,
            channel=caller.channel,
            conversation_id=params.conversation_id,
            idempotency_key=_scoped_key(caller, params.idempotency_key),
            defer=params.intent == "power_off" and not self._may_cut(live),
        )
        # What is recorded as claimed must also be started, whether or not the caller still listens.
        done, event = await self._tasks.see_through("request", self._enter(live, ask))
        waiting = (CommandStatus.CLAIMED, CommandStatus.SENT)
        if params.wait and done["status"] in waiting:
            with self.watch(done["id"]) as outcome:
                done = await outcome(params.wait) or done
        return {"command": done, "event": event and shown_to(caller.scope, event)}

    async def _enter(self, live: Live, ask: Ask) -> tuple[Json, Json | None]:
        done, event, fresh = await self._gate.authorize(ask)
        checkpoint("authorized")
        counters[f"requests_{done['status']}"] += 1
        if done["status"] == CommandStatus.DEFERRED:
            self._defer(live, done["id"])
        elif fresh and done["status"] == CommandStatus.CLAIMED:
            self._start(done, event)
        return done, event

    @contextmanager
    def watch(self, command_id: str) -> Iterator[Callable[[float], Awaitable[Json | None]]]:
        """Watch for the end of a command; yields a function that waits some seconds for it."""
        future: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        watchers = self._watchers.setdefault(command_id, [])
        watchers.append(future)

        async def outcome(limit: float) -> Json | None:
            try:
                async with asyncio.timeout(limit):
                    return await asyncio.shield(future)
            except TimeoutError:
                return None

        try:
            yield outcome
        finally:
            watchers.remove(future)
            if not watchers:
                self._watchers.pop(command_id, None)

    def _checked(self, params: Request) -> tuple[Live, Json]:
        """Refuse, before anything is recorded, what can never be carried out."""
        live = self.registry.get(params.device_id)
        if params.intent not in INTENTS:
            raise InvalidRequest("unknown_intent", "There is no such intent", intent=params.intent)
        if params.intent not in live.record.capabilities:
            raise InvalidRequest(
                "not_capable", f"{live.record.name} cannot do this", intent=params.intent
            )
        if wrong := invalid_params(params.intent, params.params):
            field, problem = next(iter(wrong.items()))
            raise InvalidRequest(
                "invalid_params", f"{field}: {problem}", field=field, reason=problem
            )
        given = {name: value for name, value in params.params.items() if value is not None}
        if params.intent == "heat":
            live.record.limits.check_heat(given)
        elif params.intent == "gcode":
            live.record.limits.check_gcode(given["script"])
        return live, given

    async def _must_fit(self, live: Live, given: Json) -> None:
        """Refuse a print that this printer does not have, cannot make, or that would be breathed in."""
        file = given["file"]
        if self._uploads[live.record.id, _last(file)]:
            raise _in_use()
        with suppress(
            TimeoutError, DeviceError
        ):  # whoever cannot tell now is asked again by the order
            async with asyncio.timeout(FILES_WAIT):
                names = await live.driver.files()
                if names and file not in names:
                    raise NotFound("no_such_file", "The printer has no such file", file=file)
        facts = await self.facts_of(live.record.id, file)
        if facts is None:
            return
        if misfits := live.record.limits.misfits(facts):
            what = ", ".join(one["what"] for one in misfits)
            raise Conflict(
                "does_not_fit",
                f"{live.record.name} cannot print this: {what}",
                what=what,
                misfits=misfits,
            )
        if facts.get("hazardous") and given.get("ventilation") is not True:
            raise Conflict(
                "ventilation_unconfirmed",
                "This material needs moving air: confirm the ventilation",
                materials=", ".join(one["material"] for one in facts.get("hazards", ())),
            )

    def _may_cut(self, power: Live) -> bool:
        """Tell whether this supply can be switched off without harm to what it feeds."""
        if power.record.feeds is None:
            return True
        try:
            return self.registry.get(power.record.feeds).is_cool()
        except NotFound:
            return False

    def _start(self, command_: Json, event: Json | None) -> None:
        self._running.add(command_["id"])
        task = self._tasks.start(f"command {command_['id']}", self._carry_out(command_, event))
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)

    async def _carry_out(self, claimed: Json, event: Json | None) -> None:
        """Send a claimed command to its device, once, and settle what then is observed."""
        checkpoint("claimed")
        try:
            live = self.registry.get(claimed["device_id"])
        except NotFound as err:
            await self._gate.settle(claimed["id"], CommandStatus.FAILED, err.code)
            return
        if claimed["intent"] == "power_on" and live.off_when_cool:
            self._release(live)
            await self._gate.drop_deferred(live.record.id, "superseded")
        order = Order(
            command_id=claimed["id"],
            intent=claimed["intent"],
            params=claimed["params"],
            grant=self._gate.grant(claimed, event)
            if live.driver.executes_in_home_assistant
            else None,
        )
        deadline = INTENTS[order.intent].deadline
        outcome = await self._send(live, order, deadline)
        checkpoint("effect")
        await self._gate.settle(order.command_id, outcome.status, outcome.detail)
        checkpoint("settled")
        if event is not None:
            await self._evidence.take(event["id"], live.record.zone_id)

    async def _send(self, live: Live, order: Order, deadline: float) -> Outcome:
        before = live.observed.state
        watch = self._tasks.start(
            f"watch {order.command_id}",
            live.wait_for(lambda after: live.driver.confirms(order, before, after), deadline),
        )
        await asyncio.sleep(0)  # from here on it watches, however fast the device is
        accepted = False
        try:
            async with asyncio.timeout(deadline + 10):
                outcome = await live.driver.execute(order)
            accepted = True
            checkpoint("sent")
            if outcome is not None:
                return outcome
            # Written while the effect is looked for: its row only has to come before that of the end.
            noted = self._tasks.start(f"sent {order.command_id}", self._gate.sent(order.command_id))
            try:
                await live.driver.refresh()
                return _judged(await watch)
            finally:
                await noted
        except DeviceError as err:
            # Only an order that was not taken has certainly failed.
            status = CommandStatus.UNKNOWN if accepted else CommandStatus.FAILED
            return Outcome(status=status, detail=err.code)
        except TimeoutError:
            return Outcome(status=CommandStatus.UNKNOWN, detail="no_answer")
        # A driver's own mistake: the device may have acted, so nobody may try again.
        except Exception:
            _LOGGER.exception("Driver %s failed", live.driver.name)
            return Outcome(status=CommandStatus.UNKNOWN, detail="driver_failed")
        finally:
            watch.cancel()

    async def finish(self, limit: float) -> None:
        """Wait, at most ``limit`` seconds, for the commands that are on their way to a device.

        What then is still on its way is left as it is, for the next life to read back.
        """
        try:
            async with asyncio.timeout(limit):
                while self._running:
                    with self.watch(next(iter(self._running))) as outcome:
                        await outcome(limit)
        except TimeoutError:
            _LOGGER.warning("%d commands were on their way at shutdown", len(self._running))
            for task in self._carrying:
                task.cancel()

    async def wait_until(self, device_id: str, condition: str, seconds: float) -> bool:
        """Wait until a device is in a state (see :meth:`Live.is_in`); False when it did not come to it."""
        live = self.registry.get(device_id)
        if live.is_in(condition):
            return True
        return await live.wait_for(lambda _state: live.is_in(condition), seconds) is True

    # -- what sets it going ---------------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        if event.data["status"] == "approved" and event.data["resolved_at"] is None:
            self._tasks.start(f"claim {event.data['command_id']}", self._claim(event.data))

    async def _claim(self, event: Json) -> None:
        if event["command_id"] in self._running:
            return
        checkpoint("approved")
        try:
            live = self.registry.get(event["device_id"])
            claimed = await self._gate.claim(event["command_id"], live.record.zone_id)
        except KittyError as err:
            _LOGGER.info("Command %s was not claimed: %s", event["command_id"], err.code)
            return
        self._start(claimed, event)

    def _on_command(self, event: Event) -> None:
        """Wake who waits for an outcome."""
        if event.data["status"] not in FINAL:
            return
        self._running.discard(event.data["id"])
        for live in self.registry.all():
            if self._deferred.get(live.record.id) == event.data["id"]:
                self._release(live)  # voided or superseded: nothing waits any more
        for future in self._watchers.get(event.data["id"], ()):
            if not future.done():
                future.set_result(event.data)

    def _defer(self, power: Live, command_id: str) -> None:
        self._deferred[power.record.id] = command_id
        power.off_when_cool = True
        power.changed(power)

    def _on_device(self, live: Live) -> None:
        """Carry out what was waiting for this device to be cool."""
        for power in self.registry.all():
            if live.record.id in (power.record.feeds, power.record.id):
                self._off_when_cool(power)

    def _off_when_cool(self, power: Live) -> None:
        waiting = self._deferred.get(power.record.id)
        if waiting and waiting not in self._running and self._may_cut(power):
            self._running.add(waiting)
            self._tasks.start(f"deferred {waiting}", self._run_deferred(power, waiting))

    def _release(self, power: Live) -> None:
        self._deferred.pop(power.record.id, None)
        power.off_when_cool = False
        power.changed(power)

    async def _run_deferred(self, power: Live, command_id: str) -> None:
        try:
            claimed = await self._gate.claim(command_id, power.record.zone_id)
        except KittyError as err:
            _LOGGER.info("Deferred command %s was not claimed: %s", command_id, err.code)
            self._running.discard(command_id)
            if not isinstance(err, Unavailable):  # else the next word of the printer tries again
                self._release(power)
            return
        self._release(power)
        self._start(claimed, None)

    # -- after a restart ------------------------------------------------------------------------------

    async def recover(self, *, paired: bool) -> None:
        """Take up what was open when the process ended. What may have been sent is never sent again.

        What was approved waits, where a Home Assistant is ``paired``, until that has found its own view of
        the audit trail in this database: a restored copy must not do again what was done already.
        """
        for open_, event in await self._gate.open_work():
            match open_["status"]:
                case "pending" if event is not None and event["status"] == "approved":
                    self._held.append(event)
                case "claimed" | "sent":
                    self._tasks.start(f"read back {open_['id']}", self._read_back(open_))
                case "deferred":
                    self._resume_deferred(open_)

        if not paired:
            self.claim_held()

    def claim_held(self) -> None:
        """Carry out what was approved before the process ended, as far as it still may be."""
        while self._held:
            event = self._held.pop()
            self._tasks.start(f"claim {event['command_id']}", self._claim(event))

    def _resume_deferred(self, open_: Json) -> None:
        try:
            power = self.registry.get(open_["device_id"])
        except NotFound:
            return
        self._defer(power, open_["id"])

    async def _read_back(self, open_: Json) -> None:
        """Settle a command of the last life by what its device shows; unknown when that proves nothing."""
        order = Order(command_id=open_["id"], intent=open_["intent"], params=open_["params"])
        try:
            live = self.registry.get(open_["device_id"])
            outcome = await live.driver.recall(order, RECOVERY_WAIT)
            proven = None
            if outcome is None:
                proven = await self._look(live, order, open_["claimed_at"])
        except (NotFound, DeviceError, Unavailable) as err:
            outcome, proven = Outcome(status=CommandStatus.UNKNOWN, detail=err.code), None
        if outcome is None:
            status = CommandStatus.ACKED if proven else CommandStatus.UNKNOWN
            outcome = Outcome(status=status, detail="read_back")
        await self._gate.settle(open_["id"], outcome.status, outcome.detail)

    async def _look(self, live: Live, order: Order, claimed_at: float) -> bool | None:
        def proven(state: Json) -> bool | None:
            if order.intent == "print_start" and not began_since(
                state.get("job") or {}, claimed_at
            ):
                return None
            return live.driver.confirms(order, {}, state)

        if live.observed.online is OnlineState.ONLINE:
            return proven(live.observed.state)
        first = await live.wait_for(lambda _state: True, RECOVERY_WAIT)
        return proven(live.observed.state) if first else None

    # -- the rest of the verbs ------------------------------------------------------------------------

    @command("drivers.list", Scope.READ, read_only=True)
    async def drivers(self, _caller: Caller, params: Page) -> Json:
        """List the drivers and the options with which a device is added."""
        items = [
            {
                "name": driver.name,
                "title": driver.title,
                "executes_in_home_assistant": driver.executes_in_home_assistant,
                "options": _form(driver.options),
                "profile": _form(driver.profile),
            }
            for driver in await asyncio.to_thread(self.registry.all_drivers)
        ]
        return paged(items, params, key="name")

    @command(
        "devices.list",
        Scope.READ,
        read_only=True,
        tool="List the devices of the workshop with their ids, zones, capabilities and what they show now.",
    )
    async def list(self, _caller: Caller, params: Page) -> Json:
        """List the devices with their state."""
        return paged([live.view() for live in self.registry.all()], params)

    @command(
        "devices.get",
        Scope.READ,
        read_only=True,
        tool="Tell what one device shows now, for example whether a door is locked or how far a print is.",
    )
    async def get(self, _caller: Caller, params: DeviceId) -> Json:
        """Return one device."""
        return self.registry.get(params.device_id).view()

    @command("devices.probe", Scope.INTEGRATION)
    async def probe(self, _caller: Caller, params: Probe) -> Json:
        """Reach a device once, to check its options before it is added."""
        try:
            async with asyncio.timeout(PROBE_TIMEOUT):
                found = await self.registry.probe(params.driver, params.options)
        except TimeoutError as err:
            raise DeviceError("cannot_connect", "The device does not answer") from err
        return asdict(found) | {"capabilities": sorted(found.capabilities)}

    @command("devices.put", Scope.INTEGRATION)
    async def put(self, _caller: Caller, params: Put) -> Json:
        """Add or change a device."""
        info = None
        if params.info is not None:
            known = {name: getattr(params.info, name) for name in params.info.__struct_fields__}
            info = DeviceInfo(**known | {"capabilities": frozenset(params.info.capabilities)})
        before = self.registry.find(params.device_id)
        live = await self.registry.put(
            params.driver,
            params.options,
            device_id=params.device_id,
            name=params.name,
            zone_id=params.zone_id,
            info=info,
        )
        if before is not None and before.bound_to != live.record.bound_to:
            await self._gate.void_all("device_changed", live.record.id)
        return live.view()

    @command("devices.remove", Scope.INTEGRATION)
    async def remove(self, _caller: Caller, params: DeviceId) -> Json:
        """Remove a device."""
        await self.registry.remove(params.device_id)
        return {}

    @command("devices.observe", Scope.INTEGRATION)
    async def observe(self, _caller: Caller, params: Observe) -> Json:
        """Take what Home Assistant saw of an entity that it owns."""
        self.registry.observe(
            params.device_id,
            Observation(online=params.online, state=params.state, reason=params.reason),
        )
        return {}

    @command("devices.snapshot", Scope.READ)
    async def snapshot(self, _caller: Caller, params: DeviceId) -> Json:
        """Return one picture of a device, base64."""
        image = await picture(self.registry.get(params.device_id))
        return {"content_type": image_type(image), "image": base64.b64encode(image).decode()}

    @command("safety.evidence", Scope.READ)
    async def evidence(self, _caller: Caller, params: EventId) -> Json:
        """Return the picture that was taken when an approved command was carried out, base64."""
        image = await self._evidence.read(params.event_id)
        return {"content_type": image_type(image), "image": base64.b64encode(image).decode()}

    async def upload(
        self, caller: Caller, device_id: str, name: str, content: AsyncIterator[bytes]
    ) -> str:
        """Store a print file on a device, and its SHA-256 in the audit trail.

        Conflict ``file_in_use`` while people decide about a print of that name.
        """
        live = self.registry.get(device_id)
        with self._sending(device_id, name) as file:
            for open_, _event in await self._gate.open_work():
                known = open_["params"].get("file")
                if open_["device_id"] == device_id and known and _last(known) == file:
                    raise _in_use()
            return await self._upload(live, caller, name, content)

    async def _upload(
        self, live: Live, caller: Caller, name: str, content: AsyncIterator[bytes]
    ) -> str:
        device_id, digest = live.record.id, hashlib.sha256()

        async def seen() -> AsyncIterator[bytes]:
            async for chunk in content:
                digest.update(chunk)
                yield chunk

        file = await live.driver.upload(name, seen())
        about = {"file": file, "sha256": digest.hexdigest(), "token": caller.token}
        await self._gate.step(
            lambda step: step.audit(
                "uploaded", user_id=caller.user_id, device_id=device_id, data=about
            )
        )
        return file

    @contextmanager
    def _sending(self, device_id: str, name: str) -> Iterator[str]:
        """Note that a file is on its way; yields its name as the pickiest printer has it."""
        file = _last(name)
        self._uploads[device_id, file] += 1
        try:
            yield file
        finally:
            self._uploads[device_id, file] -= 1
            self._uploads += Counter()  # forgets what is at zero

    @command("devices.files", Scope.READ)
    async def files(self, _caller: Caller, params: DeviceId) -> Json:
        """List the print files that a device holds."""
        names = await self.registry.get(params.device_id).driver.files()
        return {"items": names, "cursor": None}


def _last(name: str) -> str:
    """Return what a printer may make of the last part of a file's name."""
    return alike(name).rpartition("/")[2]


def _in_use() -> Conflict:
    return Conflict("file_in_use", "People are deciding about a file of this name")


async def _nothing_known(_device_id: str, _file: str) -> Json | None:
    return None


def _form(options: tuple[Option, ...]) -> list[Json]:
    return [
        asdict(option) | {"choices": list(option.choices), "filter": list(option.filter)}
        for option in options
    ]


def _judged(proven: bool | None) -> Outcome:
    match proven:
        case True:
            return Outcome(status=CommandStatus.ACKED, detail="observed")
        case False:
            return Outcome(status=CommandStatus.FAILED, detail="not_observed")
        case _:
            return Outcome(status=CommandStatus.UNKNOWN, detail="nothing_observed")


def _scoped_key(caller: Caller, key: str | None) -> str | None:
    """Return an idempotency key that no other person or token can hit."""
    return f"{caller.user_id or caller.token}:{key}" if key is not None else None
