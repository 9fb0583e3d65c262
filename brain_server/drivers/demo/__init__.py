"""A device that does not exist: a simulation to try KITTY with, and to count what it really did."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
import json
import os
from pathlib import Path
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
    Publisher,
)
from brain_server.drivers.demo.picture import draw
from brain_server.drivers.demo.things import THINGS, Printer, Scene
from brain_server.errors import DeviceError, InvalidRequest
from brain_server.protocol import CommandStatus, Json, Kind, OnlineState

_TICK_S: Final = 0.2
_UPLOAD: Final = "upload"


class Demo(Driver):
    """A simulated device; with ``journal`` it outlives the brain, as a real one does."""

    name: ClassVar[str] = "demo"
    title: ClassVar[str] = "Demonstration"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            name="kind",
            label="Kind",
            help="What it pretends to be",
            type=OptionType.SELECT,
            choices=tuple(Kind),
            default=Kind.PRINTER.value,
        ),
        Option(name="name", label="Name", help="How it introduces itself", default="Demo"),
        Option(
            name="feeds",
            label="Feeds",
            help="For a power supply: the printer behind it",
            type=OptionType.DEVICE,
            filter=(Kind.PRINTER,),
            required=False,
        ),
        Option(
            name="speed",
            label="Speed",
            help="How many times faster than life",
            type=OptionType.NUMBER,
            default=1.0,
            minimum=0.1,
            maximum=10_000,
        ),
        Option(
            name="relock_s",
            label="Locks itself after",
            help="Seconds; 0 for a door that stays unlocked",
            type=OptionType.NUMBER,
            default=0.0,
            minimum=0,
            maximum=3600,
        ),
        Option(
            name="latency_s",
            label="Delay",
            help="Seconds between an order and its effect",
            type=OptionType.NUMBER,
            default=0.0,
            minimum=0,
            maximum=60,
        ),
        Option(
            name="journal",
            label="Journal file",
            help="Keeps every effect: they can be counted, and the device outlives a restart",
            required=False,
        ),
    )
    profile: ClassVar[tuple[Option, ...]] = PRINTER

    def __init__(self, context: DriverContext) -> None:
        """Build the thing; what it did before is read when it first does something."""
        super().__init__(context)
        self._speed = float(self._option("speed"))
        self._thing = THINGS[Kind(self._option("kind"))](float(self._option("relock_s")))
        self._publisher = Publisher(context)
        self._one_at_a_time = asyncio.Lock()
        self._executed = 0
        self._at: datetime | None = None

    async def probe(self) -> DeviceInfo:
        """Describe the simulation; InvalidRequest when its journal cannot be one."""
        await self._wake()
        return DeviceInfo(
            external_id=f"demo-{self._option('kind')}-{self._option('name')}",
            name=str(self._option("name")),
            kind=Kind(self._option("kind")),
            capabilities=self._thing.capabilities,
            manufacturer="KITTY",
            model="Simulation",
            has_camera=isinstance(self._thing, Scene),
        )

    async def run(self) -> None:
        """Let the simulation go on; see :meth:`Driver.run`."""
        try:
            while True:
                await self._wake()
                self._show()
                await asyncio.sleep(_TICK_S)
        finally:
            self._publisher.stop()

    async def execute(self, order: Order) -> Outcome | None:
        """Do what was ordered after the delay, and count it; see :meth:`Driver.execute`."""
        if order.intent not in self._thing.capabilities:
            raise DeviceError("not_supported", f"This device has no {order.intent}")
        await asyncio.sleep(float(self._option("latency_s")))
        await self._wake()
        async with self._one_at_a_time:
            if problem := self._thing.problem(order.intent):
                raise DeviceError("device_refused", problem)
            effect = {
                "at": self.context.now().isoformat(),
                "command_id": order.command_id,
                "intent": order.intent,
                "params": order.params,
            }
            try:
                await self._write(effect)
            except OSError as err:
                return Outcome(status=CommandStatus.UNKNOWN, detail=f"Journal: {err.strerror}")
            self._do(effect)
        self._show()
        return Outcome(status=CommandStatus.ACKED) if order.intent == "gcode" else None

    async def refresh(self) -> None:
        """Publish the state as it is now."""
        await self._wake()
        self._show()
        self._publisher.again()

    async def snapshot(self) -> bytes:
        """Draw the print bed; DeviceError where the thing has no eye on one."""
        if not isinstance(self._thing, Scene):
            return await super().snapshot()
        await self._wake()
        self._pass_time(self.context.now())
        return await asyncio.to_thread(draw, *self._thing.view())

    async def files(self) -> list[str]:
        """Return the files of the simulated printer."""
        await self._wake()
        return sorted(self._thing.files) if isinstance(self._thing, Printer) else []

    async def upload(self, name: str, content: AsyncIterator[bytes]) -> str:
        """Take a file; its size says how long it prints."""
        if not isinstance(self._thing, Printer):
            return await super().upload(name, content)
        safe = name.replace("\\", "/").rpartition("/")[2].strip(" .")
        if not safe:
            raise InvalidRequest("invalid_file_name", "This is not a file name")
        size = 0
        async for chunk in content:
            size += len(chunk)
        await self._wake()
        effect = {
            "at": self.context.now().isoformat(),
            "command_id": None,
            "intent": _UPLOAD,
            "params": {"file": safe, "size": size},
        }
        async with self._one_at_a_time:
            try:
                await self._write(effect)
            except OSError as err:
                problem = f"Journal: {err.strerror}"
                raise DeviceError("device_refused", problem) from err
            self._do(effect)
        return safe

    async def _wake(self) -> None:
        """Once, do again what the journal says was done before."""
        async with self._one_at_a_time:
            if self._at is not None:
                return
            journal = self._option("journal")
            for effect in await asyncio.to_thread(_replay, Path(journal)) if journal else ():
                self._do(effect)
            self._pass_time(self.context.now())

    async def _write(self, effect: Json) -> None:
        if journal := self._option("journal"):
            await asyncio.to_thread(_append, Path(journal), effect)

    def _do(self, effect: Json) -> None:
        self._pass_time(datetime.fromisoformat(effect["at"]))
        # A file that lies in a printer has moved nothing.
        self._executed += effect["intent"] != _UPLOAD
        self._thing.do(effect["intent"], effect["params"], effect["at"])

    def _pass_time(self, now: datetime) -> None:
        passed = (now - (self._at or now)).total_seconds()
        self._thing.live(max(passed, 0.0) * self._speed)
        self._at = now

    def _show(self) -> None:
        self._pass_time(self.context.now())
        fault = self._thing.fault
        self._publisher.offer(
            Observation(
                online=OnlineState.FAULT if fault else OnlineState.ONLINE,
                state=self._thing.state() | {"executed": self._executed},
                reason=fault,
            )
        )

    def _option(self, name: str) -> Any:
        default = next(option.default for option in self.options if option.name == name)
        given = self.context.options.get(name)
        return default if given is None else given


def _append(journal: Path, effect: Json) -> None:
    """Write down an effect so that no power cut loses it; written means done."""
    with journal.open("ab") as file:
        file.write(json.dumps(effect).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _replay(journal: Path) -> list[Json]:
    """Return the effects of a journal; InvalidRequest for a file that is something else."""
    if not journal.exists():
        return []
    try:
        content = journal.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        effects = [json.loads(line) for line in whole.splitlines()]
        for effect in effects:
            datetime.fromisoformat(effect["at"])
        # A line without an end is an effect that a crash cut short: it was not done.
        os.truncate(journal, len(whole))
    except (OSError, ValueError, KeyError, TypeError) as err:
        message = "This file is not a journal"
        raise InvalidRequest("invalid_option", message, field="journal") from err
    return effects
