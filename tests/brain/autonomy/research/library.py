"""A library: a brain that can only research, a search server, a small web, and models that say what a test says."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
import json
from pathlib import Path
from typing import Any, Final

from aiohttp import ClientSession, web
import msgspec
from sqlalchemy import Table, delete, select
from yarl import URL

from brain_server.autonomy import research_rows as rows
from brain_server.autonomy.research import Research, ResearchId, ResearchPage, Start
from brain_server.autonomy.research_model import Readers
from brain_server.autonomy.research_parts import Parts
from brain_server.bus import Bus
from brain_server.commands import SYSTEM, Caller, Scope
from brain_server.conversation.search import Search
from brain_server.fetch import Fetcher, is_public
from brain_server.memory import Embedder, Memory
from brain_server.observability import Tasks
from brain_server.protocol import Channel, Json
from brain_server.routing import Router
from brain_server.routing.ask import Asker
from brain_server.routing.budget import Budget, Limits
from brain_server.routing.models import Models, Put
from brain_server.routing.privacy import Privacy
from brain_server.routing.slots import Slots
from brain_server.schedule import Schedule
from brain_server.schedule.commands import WorkId
from brain_server.storage import Database
from brain_server.storage.tables import work
from tests.brain.gatehouse import Clock
from tests.brain.minds.double import Double
from tests.brain.providers.mcp_house import Script, raw
from tests.brain.schedule.conftest import eventually
from tests.brain.stage import FAR, NEAR

ADA: Final = Caller(token="t", scope=Scope.CONTROL, user_id="ada", channel=Channel.DASHBOARD)
BOB: Final = Caller(token="t", scope=Scope.CONTROL, user_id="bob", channel=Channel.DASHBOARD)
PROGRAM: Final = Caller(token="t", scope=Scope.CONTROL)
QUESTION: Final = "At which temperature does PETG stick best to a bed?"
ONE: Final = "PETG sticks best to a bed of 80 °C, as our tests of thirty prints have shown."
TWO: Final = "With a textured bed at 75 °C every print of PETG came off by itself when it was cold."
PAGES: Final = {
    "one.example": f"<title>Beds</title><p>About us.</p><p>{ONE}</p><p>Call now!</p>",
    "two.example": f"<title>Textured</title><p>{TWO}</p>",
}
WEB_SEARCH: Final = {
    "name": "web_search",
    "description": "Search the web",
    "inputSchema": {
        "type": "object",
        "properties": {"query": {"type": "string"}},
        "required": ["query"],
    },
    "annotations": {"readOnlyHint": True},
}

type Script_ = Callable[[Any], list[Any]]
type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def asked_for(request: Any) -> str:
    """Return what a model is asked for: queries, notes or findings."""
    return str(next(iter(request.schema["properties"])))


def of_page(request: Any, said: str) -> bool:
    """Tell whether a request shows this text."""
    return any(said in message.text for message in request.messages)


def plan(*queries: str) -> str:
    """Return a plan as a model writes it."""
    return json.dumps({"queries": list(queries)})


def notes(*noted: tuple[str, str]) -> str:
    """Return notes as a model writes them: quote and claim."""
    return json.dumps({"notes": [{"quote": quote, "claim": claim} for quote, claim in noted]})


def report(*findings: tuple[str, list[int]], answered: str = "yes") -> str:
    """Return a report as a model writes it."""
    listed = [{"text": text, "sources": sources} for text, sources in findings]
    return json.dumps({"findings": listed, "answered": answered})


def well(request: Any) -> list[Any]:
    """Read well: plan one search, note the sentence of each page, and report both."""
    match asked_for(request):
        case "queries":
            return [plan("petg bed temperature")]
        case "notes" if of_page(request, ONE):
            return [notes((ONE, "80 °C is best"))]
        case "notes" if of_page(request, TWO):
            return [notes((TWO, "75 °C on a textured bed"))]
        case "notes":
            return [notes()]
        case _:
            return [report(("It sticks best at 80 °C.", [1]), ("75 °C does, too.", [2]))]


@dataclass
class Web:
    """The public web of a test, and the server that searches it."""

    url: str = ""
    pages: dict[str, str | Handler] = field(default_factory=lambda: dict(PAGES))
    robots: dict[str, str] = field(default_factory=dict)
    # What a search finds, by its words; without an entry, all pages.
    found: dict[str, str] = field(default_factory=dict)
    tools: list[Json] = field(default_factory=lambda: [dict(WEB_SEARCH)])
    # Queries that the search server fails at.
    broken: set[str] = field(default_factory=set)
    read: list[str] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        """Return the port of every page."""
        return URL(self.url).port or 0

    def address(self, host: str) -> str:
        """Return the address of a page."""
        return f"http://{host}:{self.port}/page"

    async def page(self, request: web.Request) -> web.StreamResponse:
        """Answer a request for a page, by the name of its host."""
        host = request.url.host or ""
        if request.path == "/robots.txt":
            if host not in self.robots:
                raise web.HTTPNotFound
            match self.robots[host]:
                case "500":
                    raise web.HTTPInternalServerError
                case "picture":
                    return web.Response(body=b"x", content_type="image/png")
                case rules:
                    return web.Response(text=rules)
        self.read.append(host)
        if host not in self.pages:
            raise web.HTTPNotFound
        page = self.pages[host]
        return (
            web.Response(text=page, content_type="text/html")
            if isinstance(page, str)
            else await page(request)
        )

    async def search(self, _request: web.Request, message: Json) -> Json | web.Response:
        """Answer a search as a server of tools."""
        query = message["params"]["arguments"]["query"]
        self.queries.append(query)
        if query in self.broken:
            return raw("", 500)
        listed = "\n".join(f"- {host}: {self.address(host)}" for host in self.pages)
        return {"content": [{"type": "text", "text": self.found.get(query, listed)}]}

    def server(self) -> Script:
        """Return the server that searches."""

        async def listed(_request: web.Request, _message: Json) -> Json:
            return {"tools": self.tools}

        return Script(list=listed, call=self.search)


class Library:
    """One life of the brain that researches; :meth:`again` begins the next one on the same database."""

    def __init__(
        self, database: Database, clock: Clock, session: ClientSession, folder: Path, web_: Web
    ) -> None:
        self.database = database
        self.clock = clock
        self.web = web_
        self._given = (session, folder)
        self.lives: list[Library] = [self]
        self.bus, self.tasks = Bus(), Tasks()
        self.told: list[Json] = []
        self.bus.listen("research.updated", lambda event: self.told.append(event.data))
        self.schedule = Schedule(
            database, self.bus, self.tasks, clock, owner=f"life-{id(self)}", look_every=0.01
        )
        self.models = Models(database, self.bus, self.tasks, session, folder, clock)
        self.privacy = Privacy(database, self.bus.publish)
        limits = Limits(daily=10.0, monthly=100.0)
        self.budget = Budget(database, limits, clock, lambda: "2026-11-20", self.bus.publish)
        self.asker = Asker(self.models, self.budget, self.privacy, Slots(2))
        self.embedder = Embedder(database, lambda: None, self.tasks, clock)
        self.memory = Memory(database, self.embedder, self.bus, self.tasks, clock)
        self.parts = Parts(
            bus=self.bus,
            clock=clock,
            search=Search(self.models, self.privacy),
            fetcher=Fetcher(
                ports={web_.port},
                resolve=_here,
                allow=lambda address: address.is_loopback or is_public(address),
            ),
            privacy=self.privacy,
            readers=Readers(self.models, self.asker, self.budget, Router(database, [], clock).keep),
            memory=self.memory,
        )

    async def start(self, **more: Any) -> None:
        """Open; ``more`` replaces parts of :class:`Parts`."""
        self.parts = replace(self.parts, **more)
        self.research = Research(self.database, self.tasks, self.schedule, self.models, self.parts)
        await self.models.start()
        await self.privacy.load()
        await self.memory.start()
        await self.research.recover()
        await self.schedule.start(alone=True)

    async def again(self, **more: Any) -> Library:
        """Begin another life; the one before stands still with what it has in hand."""
        self.schedule.worker._stopping = True
        session, folder = self._given
        other = Library(self.database, self.clock, session, folder, self.web)
        other.lives = self.lives
        self.lives.append(other)
        await other.start(**more)
        return other

    async def stop(self) -> None:
        """End in an orderly way."""
        await self.schedule.stop()
        await self.memory.stop()
        await self.models.stop()
        await self.tasks.stop()

    async def furnish(self, *, search: str | None, near: bool = False, far: bool = False) -> None:
        """Set up a server that searches, a model of the house, and a paid one."""
        if search is not None:
            await self.put({"provider": "mcp", "name": "Search", "options": {"url": search}})
        if near:
            await self.put(NEAR)
        if far:
            await self.put(FAR)

    async def put(self, provider: Any) -> None:
        """Set up a provider."""
        await self.models.put(SYSTEM, msgspec.convert(provider, Put))

    async def ask(self, budget: float = 0.0, caller: Caller = ADA, question: str = QUESTION) -> str:
        """Start a research and return its id."""
        started = await self.research.start(caller, Start(question=question, budget=budget))
        return str(started["id"])

    async def ended(self, identity: str) -> Json:
        """Return a research when it is over."""
        return await self.when(identity, lambda row: row["status"] not in {"pending", "running"})

    async def when(self, identity: str, check: Callable[[Json], bool]) -> Json:
        """Return a research when a check holds."""

        async def look() -> Json | None:
            row = await self.research.get(PROGRAM, ResearchId(research_id=identity))
            return row if check(row) else None

        return await eventually(look)

    async def result(self, budget: float = 0.0) -> Json:
        """Research the question and return how it ended."""
        return await self.ended(await self.ask(budget))

    async def get(self, identity: str, caller: Caller = PROGRAM) -> Json:
        """Return a research as somebody sees it."""
        return await self.research.get(caller, ResearchId(research_id=identity))

    async def page(self, caller: Caller = PROGRAM, **given: Any) -> Json:
        """Return a page of researches."""
        return await self.research.listed(caller, ResearchPage(**given))

    async def work(self, identity: str, status: str, tries: int) -> Json:
        """Return the work of a research when it is so."""
        row = await self.get(identity)

        async def look() -> Json | None:
            found = await self.schedule.work.get(PROGRAM, WorkId(work_id=row["work_id"]))
            return found if (found["status"], found["tries"]) == (status, tries) else None

        return await eventually(look)

    async def rows(self, table: Table) -> list[Json]:
        """Return every row of a table, oldest first."""
        query = select(table).order_by(table.c.id)
        return await self.database.read(
            lambda connection: [dict(row) for row in connection.execute(query).mappings()]
        )

    async def hold(self) -> None:
        """Begin nothing more, and put back what is under way."""
        await self.schedule.worker.stop()

    async def heard(self, part: str, times: int) -> None:
        """Wait until a model was asked so often."""

        async def look() -> bool:
            return len(Double.heard.get(part, ())) >= times

        await eventually(look)

    async def gone(self) -> None:
        """Wait until this life has no work in hand."""

        async def look() -> bool:
            return not self.schedule.worker._under_way

        await eventually(look)

    async def say_over(self, identity: str) -> None:
        """Cancel it in its row alone, as another brain would."""
        now = self.clock()
        await self.database.write(lambda connection: rows.stop(connection, identity, now))

    async def lose_work(self, identity: str) -> None:
        """Remove its work, as housekeeping long after would."""
        query = delete(work).where(work.c.key == f"research:{identity}")
        await self.database.write(lambda connection: connection.execute(query))


async def _here(_host: str, _port: int) -> list[str]:
    return ["127.0.0.1"]


def steps(row: Json) -> list[tuple[str, str]]:
    """Return the steps of a research and how they stand."""
    return [(step["name"], step["status"]) for step in row["steps"]]


def limits(row: Json) -> list[str]:
    """Return the codes of what could not be done."""
    return [one["code"] for one in row["limits"]]
