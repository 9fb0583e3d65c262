"""A house that tells people: a real queue and database, and a Home Assistant and receivers that tests play."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
import hmac
from typing import Any

from aiohttp import web
import pytest
from sqlalchemy import select

from brain_server.bus import Bus
from brain_server.commands import Caller, Scope, collect, prepare
from brain_server.errors import KittyError, Unavailable
from brain_server.notify import Channels, Courier, Notify, Webhooks, quiet_hours
from brain_server.observability import Tasks
from brain_server.protocol import Channel, Json
from brain_server.schedule import Schedule
from brain_server.storage import Database, tables
from tests.brain.gatehouse import Clock
from tests.brain.soon import SOON

ADMIN = Caller(token="admin", scope=Scope.ADMIN)
HOUSE = Caller(token="house", scope=Scope.INTEGRATION)
# How long it is until each further try.
WAITS = [5, 10, 20, 40, 80, 160, 320, 640, 900, 900, 900]
TOKEN = Caller(token="script", scope=Scope.CONTROL)


def person(user_id: str) -> Caller:
    """Return a person, as Home Assistant names them."""
    return Caller(token="house", scope=Scope.INTEGRATION, user_id=user_id, channel=Channel.MOBILE)


@dataclass
class HomeAssistant:
    """The other end of the link: what it was asked, and what it answers."""

    there: bool = True
    asked: list[Json] = field(default_factory=list)
    answers: Callable[[Json], Json] = lambda asked: {"told": [asked["user_id"] or "ada"]}

    async def call(self, method: str, params: Json, *, timeout: float) -> Json:  # noqa: ASYNC109 - as the link has it
        """Answer as the integration does."""
        assert (method, timeout > 0) == ("ha.notify", True)
        if not self.there:
            raise Unavailable("home_assistant_offline", "Home Assistant is not connected")
        self.asked.append(params)
        return self.answers(params)


class Receiver:
    """A web server that takes webhooks, and answers them as a test says."""

    def __init__(self) -> None:
        """Take everything; ``statuses`` come first."""
        self.statuses: list[int] = []
        self.status = 200
        self.headers: dict[str, str] = {}
        self.taken: list[tuple[dict[str, str], bytes]] = []
        # What happens when one has come, before it is answered.
        self.before: Callable[[], None] = lambda: None
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        """Take one."""
        named = {name.lower(): value for name, value in request.headers.items()}
        self.taken.append((named, await request.read()))
        self.before()
        status = self.statuses.pop(0) if self.statuses else self.status
        return web.Response(status=status, headers=self.headers)


@dataclass
class Desk:
    """A brain that tells people."""

    database: Database
    clock: Clock
    quiet: str = ""
    ran: list[tuple[str, Caller, Json]] = field(default_factory=list)
    audited: list[tuple[str, str | None, Json]] = field(default_factory=list)
    off: set[str] = field(default_factory=set)
    refusal: KittyError | None = None

    def __post_init__(self) -> None:
        self.bus, self.tasks, self.home = Bus(), Tasks(), HomeAssistant()
        self.told: list[tuple[str, Json]] = []
        self.bus.listen(None, lambda event: self.told.append((event.name, event.data)))
        self.schedule = Schedule(
            self.database, self.bus, self.tasks, self.clock, owner="brain", look_every=0.01
        )
        self.courier = Courier(
            self.database,
            self.home,
            Webhooks(own_port=1, allow=lambda address: address.is_loopback),
            self.clock,
            quiet=quiet_hours(self.quiet),
            switches=self,
        )
        self.notify = Notify(
            self.database, self.bus, self.clock, wake=self.schedule.worker.wake, run=self.run
        )
        self.channels = Channels(self.database, self.courier, self.clock, self.audit)
        self.commands = collect(self.notify, self.channels)
        self.schedule.worker.register(self.courier.kind)

    def is_on(self, name: str) -> bool:
        """Tell whether a part is switched on."""
        return name not in self.off

    def require(self, name: str) -> None:
        """Pass where a part is switched on."""
        if name in self.off:
            raise Unavailable("capability_off", "It is switched off")

    async def run(self, action: str, caller: Caller, params: Json) -> None:
        """Run a command for an answer."""
        if self.refusal is not None:
            raise self.refusal
        self.ran.append((action, caller, params))

    async def audit(self, kind: str, user_id: str | None, about: Json) -> None:
        """Write down what is done."""
        self.audited.append((kind, user_id, about))

    async def say(self, action: str, params: Json | None = None, caller: Caller = ADMIN) -> Json:
        """Run a command as clients do."""
        spec = self.commands[action]
        found: Json = await spec.run(caller, prepare(spec, caller, params or {}))
        return found

    async def tell(self, **given: Any) -> str | None:
        """Tell people something."""
        usual: Json = {"key": "k", "severity": "warning", "title": "T", "message": "M"}
        return await self.notify.tell(**(usual | given))

    async def listed(self, caller: Caller = ADMIN, **given: Any) -> list[Json]:
        """Return the notifications as clients see them."""
        items: list[Json] = (await self.say("notifications.list", given, caller))["items"]
        return items

    async def way(self, number: int = 0) -> Json:
        """Return how the only delivery of a notification stands."""
        (found,) = (await self.listed())[number]["deliveries"]
        way: Json = found
        return way

    async def work(self) -> list[Json]:
        """Return the rows of the work queue."""
        query = select(tables.work).order_by(tables.work.c.id)
        return await self.database.read(
            lambda connection: [dict(row) for row in connection.execute(query).mappings()]
        )

    async def until(self, true: Callable[[Json], object]) -> Json:
        """Wait until something is true of the first piece of work."""
        async with asyncio.timeout(SOON):
            while True:
                row = (await self.work())[0]
                if true(row):
                    return row
                await asyncio.sleep(0.005)  # until the next look

    async def all_done(self) -> None:
        """Wait until all work is completed."""
        async with asyncio.timeout(SOON):
            while {one["status"] for one in await self.work()} != {"completed"}:  # noqa: ASYNC110 - nobody sends news
                await asyncio.sleep(0.005)  # until the next look

    async def rested(self, *statuses: str) -> Json:
        """Wait until the first piece of work is in one of these states."""
        return await self.until(lambda row: row["status"] in statuses)

    async def next_try(self, tries: int) -> float:
        """Wait until so many tries have failed, let time pass to the next, and return how long that was."""
        row = await self.until(lambda row: row["status"] == "pending" and row["tries"] == tries)
        wait = float(row["due_at"]) - self.clock.now
        self.clock.now = row["due_at"]
        return wait

    async def put_off(self) -> float:
        """Wait until a delivery is put off, without a try, and return for how long."""
        row = await self.until(
            lambda row: row["status"] == "pending" and row["due_at"] > self.clock.now
        )
        return float(row["due_at"]) - self.clock.now


@pytest.fixture
def quiet() -> str:
    """Give the quiet hours of the house: none, unless a test wants some."""
    return ""


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Give the open database of a brain, of each kind."""
    made = Database(database_url, tables.brain, name="brain", durable=False)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def still(database: Database, clock: Clock, quiet: str) -> AsyncIterator[Desk]:
    """Give a desk whose work nobody does yet."""
    made = Desk(database, clock, quiet)
    yield made
    await made.schedule.stop()
    await made.tasks.stop()


@pytest.fixture
async def desk(still: Desk) -> Desk:
    """Give a desk at work."""
    await still.schedule.start(alone=True)
    return still


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Give a receiver of webhooks."""
    made = Receiver()
    app = web.Application()
    app.router.add_post("/{path:.*}", made.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield made
    await runner.cleanup()


async def hook(desk: Desk, receiver: Receiver, **given: Any) -> Json:
    """Set a webhook up as the only channel; returns it with its secret."""
    await desk.say("channels.put", {"channel_id": "push", "enabled": False})
    return await desk.say(
        "channels.put", {"type": "webhook", "name": "Flow", "target": receiver.url} | given
    )


async def eventually(true: Callable[[], object]) -> None:
    """Wait until something is true of which nobody sends news."""
    async with asyncio.timeout(SOON):
        while not true():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.005)  # until the next look


async def enough(desk: Desk) -> None:
    """Give whoever waits for nobody time enough to be done."""
    for _ in range(10):
        await desk.listed()
        await desk.database.write(lambda _connection: None)


def same(one: str, other: str) -> bool:
    """Compare signatures as a receiver should."""
    return hmac.compare_digest(one, other)
