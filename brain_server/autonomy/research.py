"""Research: a question, answered from the web in steps that can be watched, with sources that can be looked up.

It is work of the queue: it survives a restart and goes on behind the last step that was finished, and it can be
cancelled at any time. It spends nothing but what was given to it.
"""

import asyncio
from contextlib import suppress
from decimal import Decimal
from typing import Annotated, Final

import msgspec

from brain_server.autonomy import research_rows as rows
from brain_server.autonomy.research_parts import CAPABILITY, LONGEST_QUESTION, UPDATED, Parts
from brain_server.bus import Event
from brain_server.commands import Caller, Page, Params, Scope, as_page, command
from brain_server.conversation.tools import Effect, Offered, Ran
from brain_server.errors import Conflict, KittyError, NotFound, Unavailable
from brain_server.observability import Tasks
from brain_server.protocol import Json
from brain_server.providers import Tool
from brain_server.routing.budget import MICRO, MOST_MONEY
from brain_server.routing.models import Models
from brain_server.routing.privacy import Kind as PieceKind, Piece
from brain_server.schedule import Kind, Run, Schedule
from brain_server.schedule.commands import WorkId
from brain_server.storage import Database
from brain_server.storage.tables import new_id

# A model of the house may take minutes for a page.
TIMEOUT: Final = 3 * 3600.0
TRIES: Final = 3
# As long as what the web said is remembered; with a report go its notes.
KEPT: Final = 180 * 86_400.0
FIRST_WAIT: Final = 30.0
CHECK_TIMEOUT: Final = 5.0
TOOL: Final = Tool(
    name="start_research",
    description="Begin to research a question on the web in the background: several searches and pages, a report "
    "with sources after some minutes. Put nothing private into the question.",
    parameters={
        "type": "object",
        "properties": {"question": {"type": "string", "minLength": 3, "maxLength": 300}},
        "required": ["question"],
        "additionalProperties": False,
    },
)


class Start(Params):
    """What to find out, and how much money it may cost; without any it costs nothing."""

    question: Annotated[str, msgspec.Meta(min_length=3, max_length=LONGEST_QUESTION)]
    budget: Annotated[float, msgspec.Meta(ge=0, le=MOST_MONEY)] = 0.0


class ResearchPage(Page, kw_only=True):
    """A part of the researches: of one status."""

    status: Annotated[str, msgspec.Meta(max_length=16)] | None = None


class ResearchId(Params):
    """One research."""

    research_id: str


class Research:
    """Takes questions and answers them in the background."""

    def __init__(
        self, database: Database, tasks: Tasks, schedule: Schedule, models: Models, parts: Parts
    ) -> None:
        """Take the parts, and register with the schedule, which must not have been started."""
        self._db = database
        self._tasks = tasks
        self._schedule = schedule
        self._models = models
        self._parts = parts
        self._bus = parts.bus
        self._clock = parts.clock
        schedule.worker.register(
            Kind(
                name=rows.KIND,
                run=self._run,
                timeout=TIMEOUT,
                tries=TRIES,
                first_wait=FIRST_WAIT,
                blocked=lambda: None if parts.switches.is_on(CAPABILITY) else "capability_off",
            )
        )
        parts.bus.listen("work.updated", self._on_work)

    async def ask(
        self, question: str, budget_micro: int, requested_by: str | None, research_id: str
    ) -> str:
        """Begin a research, with at most so many millionths, and return its id.

        One of this id, however it ended, or an open one with the same question is that one.

        Raises Unavailable ``search_not_configured`` or ``capability_off``, Forbidden ``offline_mode`` or
        ``privacy_refused``, Conflict ``research_full``.
        """
        row = await self._begin(question, budget_micro, requested_by, research_id)
        return str(row["id"])

    async def find(self, research_id: str) -> Json:
        """Return one as ``research.get`` does; NotFound ``research_not_found``."""
        row = await self._db.read(lambda connection: rows.find(connection, research_id))
        if row is None:
            raise NotFound("research_not_found", "There is no such research")
        return rows.view(row, whole=True)

    async def open(self) -> list[Json]:
        """Return those that are not over, for a new subscriber."""
        return [rows.view(row) for row in await self._db.read(rows.open_ones)]

    async def recover(self) -> None:
        """End those whose work was given up or lost while nobody listened; good to call now and then."""
        now = self._clock()
        for row in await self._db.write(lambda connection: rows.end_lost(connection, now)):
            self._bus.publish(UPDATED, rows.view(row))

    async def tidy(self) -> None:
        """End what was lost, and forget what was over long ago."""
        await self.recover()
        before = self._clock() - KEPT
        await self._db.write(lambda connection: rows.forget(connection, before))

    def offer(self, caller: Caller) -> Offered | None:
        """Return the tool by which a model begins a research for a person: one that costs nothing."""
        if not self._parts.switches.is_on(CAPABILITY) or not self._models.tool_servers():
            return None

        async def run(arguments: Json) -> Ran:
            begun = await self.start(caller, Start(question=arguments["question"]))
            told = f"The research has begun and takes some minutes. Its id is {begun['id']}."
            return Ran(text=told)

        return Offered(tool=TOOL, effect=Effect.OUTWARD, run=run, kind=PieceKind.PROMPT)

    # -- commands -------------------------------------------------------------------------------------

    @command("research.start", Scope.CONTROL, accepts=True, capability=CAPABILITY)
    async def start(self, caller: Caller, params: Start) -> Json:
        """Begin to find something out on the web; it goes on by itself and can be watched and cancelled."""
        micro = int(Decimal(str(params.budget)) * MICRO)
        return rows.view(await self._begin(params.question, micro, caller.user_id, new_id()))

    @command(
        "research.list",
        Scope.READ,
        read_only=True,
        tool="List the questions that were researched on the web, or are right now.",
    )
    async def listed(self, caller: Caller, params: ResearchPage) -> Json:
        """List the caller's researches and those of the house, oldest first; without a person, all."""
        found = await self._db.read(
            lambda connection: rows.page(
                connection, caller.user_id, params.status, params.cursor, params.limit + 1
            )
        )
        return as_page([rows.view(row) for row in found], params)

    @command(
        "research.get",
        Scope.READ,
        read_only=True,
        tool="Tell what a research has found, with its sources.",
    )
    async def get(self, caller: Caller, params: ResearchId) -> Json:
        """Return a research with its report, sources and notes."""
        return await self._own(caller, params.research_id)

    @command("research.cancel", Scope.CONTROL)
    async def cancel(self, caller: Caller, params: ResearchId) -> Json:
        """Cancel a research: what is under way is stopped, and nothing more is spent."""
        row = await self._own(caller, params.research_id)
        # To its end, though the caller goes away: it is cancelled once, and its work would go on.
        cancelling = self._cancel(caller, row)
        return await self._tasks.see_through(f"cancel research {row['id']}", cancelling)

    async def _cancel(self, caller: Caller, row: Json) -> Json:
        now = self._clock()
        stopped = await self._db.write(lambda connection: rows.stop(connection, row["id"], now))
        if stopped is None:
            raise Conflict("research_over", "It is over")
        shown = rows.view(stopped)
        self._bus.publish(UPDATED, shown)
        with suppress(Conflict, NotFound):  # its work may have ended a moment ago
            await self._schedule.work.cancel(caller, WorkId(work_id=row["work_id"]))
        return shown

    # -- beginning and ending ---------------------------------------------------------------------------

    async def _begin(
        self, question: str, budget: int, requested_by: str | None, research_id: str
    ) -> Json:
        self._parts.switches.require(CAPABILITY)
        question = " ".join(question.split())
        self._parts.privacy.check(
            leaves_house=True, pieces=(Piece(kind=PieceKind.PROMPT, text=question),)
        )
        await self._look_for_search()
        now = self._clock()
        row = await self._db.write(
            lambda connection: rows.add(
                connection, now, question, budget, requested_by, research_id
            )
        )
        self._schedule.worker.wake()
        self._bus.publish(UPDATED, rows.view(row))
        return row

    async def _look_for_search(self) -> None:
        """Raise where certainly nobody can search; who does not answer now may do so later."""
        from brain_server.providers.mcp.tools import search_tool  # noqa: PLC0415 - on first use

        for model, server in self._models.tool_servers():
            try:
                async with asyncio.timeout(CHECK_TIMEOUT):
                    with model.breaker.call():
                        tools = await server.tools()
            except KittyError, TimeoutError:
                return
            if search_tool(tools) is not None:
                return
        raise Unavailable("search_not_configured", "There is no server that can search the web")

    async def _own(self, caller: Caller, research_id: str) -> Json:
        """Return one that the caller may see: their own, or the house's; a program sees all."""
        row = await self.find(research_id)
        if caller.user_id is not None and row["requested_by"] not in {None, caller.user_id}:
            raise NotFound("research_not_found", "There is no such research")
        return row

    async def _run(self, run: Run) -> Json | None:
        """Do a piece of work; what is over is left alone."""
        from brain_server.autonomy.research_run import Over, Researching  # noqa: PLC0415 - 0.5 MB on first use

        research_id = run.payload["research_id"]
        row = await run.write(lambda connection: rows.begin(connection, research_id))
        if row is None:
            return None
        try:
            return await Researching(self._parts, run, row).carry_out()
        except Over:
            return None

    def _on_work(self, event: Event) -> None:
        """A research ends with its work, however that ends."""
        if event.data["kind"] == rows.KIND and event.data["status"] not in rows.OPEN:
            self._tasks.start("end of research", self.recover())
