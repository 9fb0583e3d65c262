"""A driver that does and shows what a test says; the brain finds it as it finds every driver."""

import asyncio
from collections.abc import AsyncIterator
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
    Stored,
)
from brain_server.errors import DeviceError
from brain_server.protocol import INTENTS, Json, Kind, OnlineState

COLD: Final = {"actual": 21.0, "target": 0.0}
HOT: Final = {"actual": 205.0, "target": 205.0}


class Puppet(Driver):
    """A device on strings. ``on_stage`` holds the one that runs now, by external id."""

    name: ClassVar[str] = "puppet"
    title: ClassVar[str] = "Puppet"
    options: ClassVar[tuple[Option, ...]] = (
        Option(name="external_id", label="Id", help="What it is known by"),
        Option(name="kind", label="Kind", help="What it is", choices=tuple(Kind)),
        Option(name="feeds", label="Feeds", help="", type=OptionType.DEVICE, required=False),
        Option(name="secret", label="Key", help="", type=OptionType.SECRET, required=False),
        Option(
            name="level",
            label="Level",
            help="",
            type=OptionType.NUMBER,
            required=False,
            minimum=1,
            maximum=10,
        ),
        Option(name="flag", label="Flag", help="", type=OptionType.BOOLEAN, required=False),
    )
    profile: ClassVar[tuple[Option, ...]] = PRINTER
    on_stage: ClassVar[dict[str, Puppet]] = {}
    # By external id, over all lives: every order that reached the device.
    orders: ClassVar[dict[str, list[Order]]] = {}

    # By external id: what it shows before anybody asks.
    first_word: ClassVar[dict[str, Json]] = {}

    def __init__(self, context: DriverContext) -> None:
        """Hang still."""
        super().__init__(context)
        self.id = str(context.options["external_id"])
        self.kind = Kind(context.options["kind"])
        # What an order does: an Outcome or None, an error to raise, or an Event to wait for first.
        self.reaction: Outcome | BaseException | asyncio.Event | None = None
        # What each refresh shows; None: nothing new.
        self.shows: Json | None = None
        self.blind = False
        self.recalls: Outcome | None = None
        self.reading: BaseException | asyncio.Event | None = None
        self.picture: bytes | BaseException = b"\x89PNG of " + self.id.encode()
        self.stored: dict[str, bytes] = {}
        # When files were stored, by their names; what is not here is not told of.
        self.written: dict[str, float] = {}
        self.cut = asyncio.Event()
        self.error: BaseException | None = None

    async def probe(self) -> DeviceInfo:
        """Describe it; one called ``absent`` refuses, one called ``asleep`` never answers."""
        if self.id == "absent":
            raise DeviceError("cannot_connect", "The puppet does not answer")
        if self.id == "asleep":
            await asyncio.Event().wait()
        return DeviceInfo(
            external_id=self.id,
            name=self.id.title(),
            kind=self.kind,
            capabilities=frozenset(
                name for name, intent in INTENTS.items() if intent.kind is self.kind
            ),
        )

    async def run(self) -> None:
        """Come on stage until the strings are cut."""
        self.on_stage[self.id] = self
        if self.id in self.first_word:
            self.show(**self.first_word[self.id])
        try:
            await self.cut.wait()
            if self.error is not None:
                raise self.error
        finally:
            if self.on_stage.get(self.id) is self:
                del self.on_stage[self.id]

    async def execute(self, order: Order) -> Outcome | None:
        """Count the order, and react as told."""
        self.orders.setdefault(self.id, []).append(order)
        match self.reaction:
            case BaseException():
                raise self.reaction
            case asyncio.Event():
                await self.reaction.wait()
                return None
            case _:
                return self.reaction

    async def refresh(self) -> None:
        """Show what is to be seen after an order."""
        if self.blind:
            raise DeviceError("cannot_connect", "The puppet does not answer any more")
        if self.shows is not None:
            self.show(**self.shows)

    async def recall(self, order: Order, limit: float) -> Outcome | None:
        """Tell what the test says became of an order."""
        del order, limit
        return self.recalls

    async def files(self) -> list[str]:
        """Return what was stored, when there is nothing to wait for and nothing to break."""
        match self.reading:
            case BaseException():
                raise self.reading
            case asyncio.Event():
                await self.reading.wait()
        return sorted(self.stored)

    async def about(self, name: str) -> Stored | None:
        """Tell of a file of which it is known when it was stored."""
        if isinstance(self.reading, BaseException):
            raise self.reading
        if name not in self.written:
            return None
        return Stored(size=len(self.stored[name]), written=self.written[name])

    async def upload(self, name: str, content: AsyncIterator[bytes]) -> str:
        """Keep a file."""
        self.stored[name] = b"".join([chunk async for chunk in content])
        return name

    async def snapshot(self) -> bytes:
        """Return a picture, or what keeps it from being one."""
        if isinstance(self.picture, BaseException):
            raise self.picture
        return self.picture

    def show(self, **state: Any) -> None:
        """Publish a state."""
        self.context.publish(Observation(online=OnlineState.ONLINE, state=state))

    def vanish(self, reason: str = "unplugged") -> None:
        """Publish that it cannot be reached."""
        self.context.publish(Observation(online=OnlineState.OFFLINE, reason=reason))


def printer(
    status: str = "idle",
    file: str | None = None,
    run: str | None = None,
    *,
    hot: bool = False,
    error: str | None = None,
) -> Json:
    """Return the state of a printer."""
    job = {"file": file, "started_at": run, "error": error, "progress": None} if file else None
    heat = HOT if hot else COLD
    return {"status": status, "job": job, "nozzle": dict(heat), "bed": dict(heat)}
