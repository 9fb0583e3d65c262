"""Devices: what they are, what they show, and the one road by which anything is done to them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager, suppress
import hashlib
import logging
from typing import Annotated, Any, Final

import msgspec

from brain_server.bus import Bus, Event
from brain_server.capabilities import ALL_ON, Switches
from brain_server.commands import Caller, Params, Scope, command
from brain_server.devices.evidence import Evidence
from brain_server.devices.live import Live, began_since
from brain_server.devices.registry import Registry
from brain_server.drivers import Order, Outcome, Stored
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
from brain_server.safety.gate import Gate
from brain_server.safety.records import shown_to
from brain_server.safety.step import Ask

_LOGGER = logging.getLogger(__name__)

RECOVERY_WAIT: Final = 60.0
FILES_WAIT: Final = 5.0
# What printers do that is no safe direction: the capability "prints".
PRINTS: Final = frozenset(
    name for name, intent in INTENTS.items() if intent.kind is Kind.PRINTER and not intent.safe
)
# The end of the name of a file with plates.
PROJECT: Final = ".3mf"
FINAL: Final = frozenset({"acked", "failed", "unknown", "denied", "expired"})


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
        self,
        registry: Registry,
        gate: Gate,
        bus: Bus,
        tasks: Tasks,
        evidence: Evidence,
        switches: Switches = ALL_ON,
    ) -> None:
        """Take the registry, the gate, the bus, the task keeper, who takes pictures, and what is switched on."""
        self.switches = switches
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
        # Tells what is known of a plate of a printer's file, None for nothing; see ``fabrication.files``.
        self.facts_of: Callable[[str, str, int], Awaitable[Json | None]] = _nothing_known
        # Tells whether a file is certainly no longer the one that was sent to a printer under its name.
        self.is_replaced: Callable[[str, str], Awaitable[bool]] = _nothing_replaced
        # Raises Unavailable where another brain is awake: what was claimed here is then not sent any more.
        self.may_send: Callable[[], Awaitable[None]] = _surely
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

    async def retract(self, caller: Caller, keys: Collection[str], reason: str) -> None:
        """Take back what this caller asked for under these keys; Conflict ``still_under_way`` where it is begun."""
        await self._gate.retract([f"{_scoped_key(caller, key)}" for key in keys], reason)

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
        if params.intent in PRINTS:
            self.switches.require("prints")
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
        if await self._is_replaced(live, file):
            words = "Another program has replaced this file on the printer; send it again"
            raise Conflict("file_replaced", words, file=file)
        plate = given.get("plate") or live.record.plate
        if plate != 1 and "plate" in given and not file.lower().endswith(PROJECT):
            raise NotFound("no_such_plate", f"This file has no plate {plate}", plate=plate)
        facts = await self.facts_of(live.record.id, file, plate)
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

    async def about(self, device_id: str, file: str) -> Stored | None:
        """Return what a device tells of a print file, None where it does not tell; DeviceError."""
        return await self.registry.get(device_id).driver.about(file)

    async def _is_replaced(self, live: Live, file: str) -> bool:
        try:
            async with asyncio.timeout(FILES_WAIT):
                return await self.is_replaced(live.record.id, file)
        except TimeoutError, KittyError:
            return False  # nobody can tell now

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
        if claimed["intent"] in PRINTS and not self.switches.is_on("prints"):
            # Switched off after it was asked for, however it was approved.
            await self._gate.settle(claimed["id"], CommandStatus.FAILED, "capability_off")
            return
        if claimed["intent"] == "print_start" and await self._is_replaced(
            live, claimed["params"]["file"]
        ):
            # It was replaced while people decided: it is not what they approved.
            await self._gate.settle(claimed["id"], CommandStatus.FAILED, "file_replaced")
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
        try:
            await self.may_send()
        except Unavailable as err:
            if err.code == "not_awake":
                self._leave(claimed)  # it is settled by the brain that is awake
                return
            await self._gate.settle(order.command_id, CommandStatus.FAILED, err.code)
            return
        if order.intent == "power_off" and not self._may_cut(live):
            # It was cool when this was taken up, and may be hot or printing by now.
            await self._gate.settle(order.command_id, CommandStatus.FAILED, "not_cool")
            return
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
        self._leave(event.data)
        for live in self.registry.all():
            if self._deferred.get(live.record.id) == event.data["id"]:
                self._release(live)  # voided or superseded: nothing waits any more

    def _leave(self, command_: Json) -> None:
        """Have no more to do with a command, and let nobody wait for it."""
        self._running.discard(command_["id"])
        for future in self._watchers.get(command_["id"], ()):
            if not future.done():
                future.set_result(command_)

    def _defer(self, power: Live, command_id: str) -> None:
        self._deferred[power.record.id] = command_id
        self._promise(power, is_waiting=True)

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
        self._promise(power, is_waiting=False)

    def _promise(self, power: Live, *, is_waiting: bool) -> None:
        """Show whether a supply goes off when cool; it may have got other options, or be gone, by now."""
        with suppress(NotFound):
            now = self.registry.get(power.record.id)
            now.off_when_cool = is_waiting
            now.changed(now)

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

    # -- files ----------------------------------------------------------------------------------------

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


def _last(name: str) -> str:
    """Return what a printer may make of the last part of a file's name."""
    return alike(name).rpartition("/")[2]


def _in_use() -> Conflict:
    return Conflict("file_in_use", "People are deciding about a file of this name")


async def _surely() -> None:
    """Let everything be sent: there is no other brain."""


async def _nothing_replaced(_device_id: str, _file: str) -> bool:
    return False


async def _nothing_known(_device_id: str, _file: str, _plate: int) -> Json | None:
    return None


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
