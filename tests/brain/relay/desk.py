"""A house that tells others: its database, its outbox, and brokers that a test plays."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, override

from brain_server.brokers import Broker, Link, Message, Where, refused, unreachable
from brain_server.bus import Bus, Event
from brain_server.observability import Tasks
from brain_server.outbox import Outbox, tell
from brain_server.protocol import Json
from brain_server.storage import Database
from tests.brain.gatehouse import Clock
from tests.brain.soon import SOON

INSTANCE = "5eed"


async def eventually(true: Callable[[], object], limit: float = SOON) -> None:
    """Wait until something is true."""
    async with asyncio.timeout(limit):
        while True:
            if true():
                return
            await asyncio.sleep(0.005)  # until the next look


@dataclass
class Desk:
    """An outbox with all that is around it."""

    database: Database
    clock: Clock
    look_every: float = 0.05
    bus: Bus = field(default_factory=Bus)
    tasks: Tasks = field(default_factory=Tasks)
    heard: list[Json] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Listen to what clients are told."""
        self.outbox = Outbox(
            self.database, self.bus, self.clock, days=7, look_every=self.look_every
        )
        self.bus.listen("outbox.added", self._hear)

    def _hear(self, event: Event) -> None:
        self.heard.append(event.data)

    async def start(self) -> None:
        """Let it run."""
        await self.outbox.start()
        self.tasks.keep_up("outbox", self.outbox.run)

    async def tell(self, *numbers: int, topic: str = "job", key: str = "k", **more: Any) -> None:
        """Tell of something, one transaction each."""
        for number in numbers:
            data = {"n": number}
            await self.database.write(
                lambda connection, data=data: tell(
                    connection, self.clock(), topic, key, "said", data, **more
                )
            )

    async def again(self) -> Desk:
        """Begin anew on the same database, as after a restart."""
        await self.tasks.stop()
        desk = Desk(self.database, self.clock, self.look_every)
        await desk.start()
        return desk


class Played(Broker):
    """A broker that a test plays."""

    name = "played"
    schemes = frozenset({"played"})

    def __init__(self) -> None:
        """Start as one that is there and takes everything."""
        super().__init__(Where(url="played://here", instance_id=INSTANCE))
        self.there = True
        self.got: list[Message] = []
        self.connections = 0
        # What it does with a message before it takes it.
        self.take: Callable[[Message], object] = lambda _message: None
        self.links: list[PlayedLink] = []

    @property
    def numbers(self) -> list[int]:
        """Return what arrived, in its order."""
        return [message.data.get("n") for message in self.got]

    @override
    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[Link]:
        if not self.there:
            raise unreachable(self.where, "played")
        self.connections += 1
        link = PlayedLink(self)
        self.links.append(link)
        try:
            yield link
        finally:
            self.links.remove(link)

    def leave(self) -> None:
        """Go away, and cut every connection."""
        self.there = False
        self.cut()

    def cut(self) -> None:
        """Cut every connection."""
        for link in self.links:
            link.broken.set()

    def refusal(self) -> Exception:
        """Return how it says no."""
        return refused(self.where, "played")


class PlayedLink(Link):
    """A connection to it."""

    def __init__(self, broker: Played) -> None:
        """Open it."""
        self._broker = broker
        self.broken = asyncio.Event()

    @override
    async def publish(self, message: Message) -> None:
        if isinstance(found := self._broker.take(message), Exception):
            raise found
        self._broker.got.append(message)
        await asyncio.sleep(0)  # a broker lets others go first
        if self.broken.is_set():
            await asyncio.Event().wait()  # it was taken, and nobody can say so any more

    @override
    async def ended(self) -> None:
        await self.broken.wait()
        raise unreachable(self._broker.where, "cut")
