"""An entity of Home Assistant: it acts there, on a signed grant, and tells what is then seen."""

import asyncio
from base64 import b64decode
import binascii
from dataclasses import replace
from typing import Any, ClassVar, Final

from brain_server.drivers import (
    PRINTER,
    DeviceInfo,
    Driver,
    DriverContext,
    Observation,
    Option,
    OptionType,
    Order,
    Outcome,
)
from brain_server.drivers.home_assistant.runs import Runs
from brain_server.errors import DeviceError, InvalidRequest, KittyError, Unavailable
from brain_server.protocol import INTENTS, CommandStatus, Json, Kind, OnlineState
from brain_server.retry import backoff

_ASK_S: Final = 5.0
_PICTURE_S: Final = 15.0
LOOK_EVERY_S: Final = 30.0
_KNOCK_EVERY_S: Final = 0.5
_KINDS: Final = (Kind.DOOR, Kind.POWER, Kind.LIGHT, Kind.SENSOR, Kind.CAMERA, Kind.PRINTER)
# Figures and buttons of a printer: what Home Assistant calls them, and what they are for.
_SENSORS: Final = (
    ("file_entity", "File", "For a printer: the name of what it prints"),
    ("progress_entity", "Progress", "For a printer: in percent"),
    ("remaining_entity", "Time left", "For a printer: how long it still prints, or until when"),
    ("nozzle_entity", "Nozzle", "For a printer: how hot its nozzle is"),
    ("nozzle_target_entity", "Nozzle target", "For a printer: how hot its nozzle should be"),
    ("bed_entity", "Bed", "For a printer: how hot its bed is"),
    ("bed_target_entity", "Bed target", "For a printer: how hot its bed should be"),
)
_BUTTONS: Final = (
    ("pause_button", "Pause button", "For a printer: pauses its print"),
    ("resume_button", "Resume button", "For a printer: goes on with its print"),
    ("stop_button", "Stop button", "For a printer: cancels its print"),
)
_OFFLINE: Final = "home_assistant_offline"


class HomeAssistant(Driver):
    """A door, a power supply, a lamp, a sensor, a camera or a printer that Home Assistant already knows."""

    name: ClassVar[str] = "home_assistant"
    title: ClassVar[str] = "Home Assistant entity"
    executes_in_home_assistant: ClassVar[bool] = True
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            name="entity_id",
            label="Entity",
            help="What KITTY is to use; of a printer, the sensor that says what it does",
            type=OptionType.ENTITY,
            filter=(
                "lock",
                "button",
                "select",
                "switch",
                "cover",
                "light",
                "sensor",
                "binary_sensor",
                "camera",
            ),
        ),
        Option(
            name="kind",
            label="Kind",
            help="Needed for a switch that is a lamp, and for a printer",
            type=OptionType.SELECT,
            choices=tuple(kind.value for kind in _KINDS),
            required=False,
        ),
        Option(
            name="state_entity",
            label="State entity",
            help="What shows the result, for a button or select that does not; or a door contact",
            type=OptionType.ENTITY,
            filter=("binary_sensor", "lock", "sensor"),
            required=False,
        ),
        Option(
            name="locked_option",
            label="Choice that locks",
            help="For a select: its choice that locks the door",
            required=False,
        ),
        Option(
            name="unlocked_option",
            label="Choice that unlocks",
            help="For a select: its choice that unlocks the door",
            required=False,
        ),
        Option(
            name="camera_entity",
            label="Camera",
            help="A camera that looks at this device",
            type=OptionType.ENTITY,
            filter=("camera",),
            required=False,
        ),
        Option(
            name="feeds",
            label="Feeds",
            help="For a power supply: the printer behind it, which then keeps it on while hot",
            type=OptionType.DEVICE,
            filter=(Kind.PRINTER.value,),
            required=False,
        ),
        *(
            Option(
                name=name,
                label=label,
                help=help_,
                type=OptionType.ENTITY,
                filter=("sensor",),
                required=False,
            )
            for name, label, help_ in _SENSORS
        ),
        *(
            Option(
                name=name,
                label=label,
                help=help_,
                type=OptionType.ENTITY,
                filter=("button", "input_button"),
                required=False,
            )
            for name, label, help_ in _BUTTONS
        ),
    )
    profile: ClassVar[tuple[Option, ...]] = PRINTER

    def __init__(self, context: DriverContext) -> None:
        """Start without having seen anything."""
        super().__init__(context)
        self._away: str | None = None
        prints = context.options.get("kind") == Kind.PRINTER
        self._runs = Runs(context.now, context.last_state) if prints else None

    async def probe(self) -> DeviceInfo:
        """Have Home Assistant describe the entity; see :meth:`Driver.probe`."""
        options = {name: value for name, value in self.context.options.items() if value}
        try:
            found = await self._ask("ha.describe", {"options": options})
            kind = Kind(found["kind"])
        except DeviceError as err:
            if err.code in {_OFFLINE, "no_answer"}:
                raise DeviceError("cannot_connect", err.message) from err
            raise InvalidRequest(
                "invalid_option", err.message, field="entity_id", reason=err.code
            ) from err
        except (KeyError, ValueError) as err:
            raise DeviceError("cannot_connect", "Home Assistant's answer makes no sense") from err
        return DeviceInfo(
            external_id=str(found["external_id"]),
            name=str(found["name"]),
            kind=kind,
            capabilities=frozenset(found["capabilities"]) & INTENTS.keys(),
            manufacturer=found.get("manufacturer"),
            model=found.get("model"),
            has_camera=bool(found.get("has_camera", kind is Kind.CAMERA)),
        )

    async def run(self) -> None:
        """Look now and then, for what was not pushed; see :meth:`Driver.run`."""
        waits = backoff()
        while True:
            await self.refresh()
            if self._away is None:
                waits = backoff()
                await asyncio.sleep(LOOK_EVERY_S)
            else:
                await asyncio.sleep(min(next(waits), LOOK_EVERY_S))

    async def execute(self, order: Order) -> Outcome | None:
        """Hand over the grant, once; the outcome is what Home Assistant then saw."""
        if order.grant is None:
            raise DeviceError("grant_missing", "Home Assistant acts only on a signed grant")
        try:
            answer = await self.context.home_assistant.call(
                "ha.execute", order.grant, timeout=INTENTS[order.intent].deadline + 5
            )
        except TimeoutError:
            return Outcome(status=CommandStatus.UNKNOWN, detail="no_answer")
        except Unavailable as err:
            raise DeviceError(_OFFLINE, "Home Assistant is not connected") from err
        except KittyError as err:
            return await self._refused(order, err)
        return _outcome(answer)

    async def recall(self, order: Order, limit: float) -> Outcome | None:
        """Ask what became of this command's grant, waiting for Home Assistant to connect."""
        try:
            async with asyncio.timeout(limit):
                while True:
                    try:
                        answer = await self._ask("ha.outcome", {"command_id": order.command_id})
                        break
                    except DeviceError as err:
                        if err.code != _OFFLINE:
                            raise
                    await asyncio.sleep(_KNOCK_EVERY_S)
        except TimeoutError as err:
            raise DeviceError("no_answer", "Home Assistant does not answer") from err
        if not answer.get("spent"):
            return Outcome(status=CommandStatus.FAILED, detail="never_sent")
        return _outcome(answer)

    async def refresh(self) -> None:
        """Have Home Assistant look at the entity, and publish what it sees."""
        try:
            seen = await self._ask("ha.observe", {"device_id": self.context.device_id})
            observation = Observation(
                online=OnlineState(seen["online"]),
                state=seen.get("state") or {},
                reason=seen.get("reason"),
            )
        except DeviceError as err:
            self._lose(err.code)
        except KeyError, ValueError:
            self._lose("invalid_answer")
        else:
            self._away = None
            self.context.publish(self.understand(observation))

    def understand(self, seen: Observation) -> Observation:
        """Tell the runs of a printer apart; see :meth:`Driver.understand`."""
        if self._runs is None:
            return seen
        if seen.online is not OnlineState.ONLINE:
            self._runs.lose()
            return seen
        return replace(seen, state=self._runs.take(dict(seen.state)))

    async def snapshot(self) -> bytes:
        """Return the picture of the camera entity; DeviceError where there is none."""
        answer = await self._ask(
            "ha.snapshot", {"device_id": self.context.device_id}, limit=_PICTURE_S
        )
        try:
            return b64decode(answer["image"], validate=True)
        except (KeyError, TypeError, binascii.Error) as err:
            raise DeviceError("camera_failed", "Home Assistant sent no picture") from err

    async def _refused(self, order: Order, refusal: KittyError) -> Outcome:
        """Return the outcome if the grant was used all the same; DeviceError when it was not."""
        try:
            answer = await self._ask("ha.outcome", {"command_id": order.command_id})
        except DeviceError:
            return Outcome(status=CommandStatus.UNKNOWN, detail=refusal.code)
        if answer.get("spent") is False:
            raise DeviceError(refusal.code, refusal.message) from refusal
        return _outcome(answer)

    def _lose(self, reason: str) -> None:
        """Publish once that nothing can be seen."""
        if self._runs is not None:
            self._runs.lose()
        if reason != self._away:
            self.context.publish(Observation(online=OnlineState.OFFLINE, reason=reason))
        self._away = reason

    async def _ask(self, method: str, params: Json, limit: float = _ASK_S) -> Json:
        """Ask something that has no effect; DeviceError when there is no answer."""
        try:
            return await self.context.home_assistant.call(method, params, timeout=limit)
        except TimeoutError as err:
            raise DeviceError("no_answer", "Home Assistant does not answer") from err
        except Unavailable as err:
            raise DeviceError(_OFFLINE, "Home Assistant is not connected") from err
        except KittyError as err:
            raise DeviceError(err.code, err.message) from err


def _outcome(answer: Json) -> Outcome:
    """Return what Home Assistant says of an order; a word that nobody knows is no success."""
    words: dict[Any, CommandStatus] = {
        status.value: status for status in (CommandStatus.ACKED, CommandStatus.FAILED)
    }
    return Outcome(
        status=words.get(answer.get("status"), CommandStatus.UNKNOWN),
        detail=str(answer["detail"]) if answer.get("detail") else None,
    )
