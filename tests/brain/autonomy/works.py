"""A workshop that works by itself: prints as rows, printers on strings, people at the gate, models on a stage, a queue.

Its clock stands still until a test moves it. :meth:`Works.begin` is a life of a brain; another one may share the
database with it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from aiohttp import ClientSession
import msgspec
import pytest
from sqlalchemy import Table, delete, insert, select, update

from brain_server.autonomy.goals import Idea
from brain_server.autonomy.jobs import Autonomy, Given
from brain_server.autonomy.plan import Plan, Planned
from brain_server.autonomy.thinker import Thinker
from brain_server.bus import Bus
from brain_server.capabilities import ALL_ON
from brain_server.commands import SYSTEM, Caller, Command, Page, Scope, collect, prepare
from brain_server.conversation.tools import Toolbox
from brain_server.drivers import DeviceInfo
from brain_server.errors import KittyError, Unavailable
from brain_server.memory import Embedder, Memory
from brain_server.observability import Health, Tasks
from brain_server.protocol import Channel, Json, Kind
from brain_server.routing import Router
from brain_server.routing.ask import Asker
from brain_server.routing.budget import Budget, Limits, SetLimits
from brain_server.routing.models import Models, Put
from brain_server.routing.privacy import Kind as PieceKind, Privacy, Rule, SetPrivacy
from brain_server.routing.slots import Slots
from brain_server.schedule import Run, Schedule
from brain_server.storage import Database, tables
from tests.brain.fabrication.prints import A, Workshop
from tests.brain.gatehouse import Clock, Gatehouse
from tests.brain.home import on_stage
from tests.brain.soon import SOON
from tests.brain.stage import FAR, NEAR

# A question that is looked up.
RESEARCH: Final = Planned(title="Why does PETG string?", kind="research")
DAY: Final = 86_400.0
TODAY: Final = "2030-03-17"


class NoHome:
    """Stands for a Home Assistant that offers nothing."""

    async def call(self, method: str, params: Json, *, timeout: float) -> Json:  # noqa: ASYNC109 - as the link has it
        raise NotImplementedError(method, params, timeout)


@dataclass
class Life:
    """One brain of those that share the work."""

    works: Works
    database: Database
    bus: Bus
    tasks: Tasks
    schedule: Schedule
    autonomy: Autonomy
    told: list[tuple[str, Json]] = field(default_factory=list)

    async def job(self, name: str) -> Json:
        """Run a job now, and return its work when it is over."""
        asked = await self.command("schedule.run", name=name)
        return await self.ended(asked["work_id"])

    async def result(self, name: str) -> Json:
        """Run a job that goes well, and return its result."""
        row = await self.job(name)
        assert (row["status"], row["error"]) == ("completed", None)
        found: Json = row["result"]
        return found

    async def ended(self, work_id: str) -> Json:
        """Return a piece of work when it is over."""

        async def look() -> Json | None:
            row = await self.command("work.get", work_id=work_id)
            return row if row["status"] in {"completed", "dead", "cancelled"} else None

        return await eventually(look)

    async def command(self, action: str, who: Caller = SYSTEM, **params: Any) -> Json:
        """Run a command as the dispatcher does."""
        services = (self.schedule, self.schedule.work, *self.autonomy.commands)
        spec = collect(*services)[action]
        found: Json = await spec.run(who, prepare(spec, who, params))
        return found

    async def items(self, action: str, **params: Any) -> list[Json]:
        """Return the items of a list."""
        found: list[Json] = (await self.command(action, **params))["items"]
        return found

    async def refused(self, action: str, who: Caller = SYSTEM, **params: Any) -> str:
        """Return the code with which a command was refused."""
        with pytest.raises(KittyError) as caught:
            await self.command(action, who, **params)
        return caught.value.code

    async def decided(self, goal: Json, *, approve: bool = True, **more: Any) -> Json:
        """Let Ada decide about a goal on her phone."""
        given = {"goal_id": goal["id"], "approve": approve} | more
        return await self.command("goals.decide", finger("ada"), **given)

    async def task(self, position: int, *statuses: str) -> Json:
        """Return a task of the only project when it is in one of these states."""

        async def look() -> Json | None:
            found = await self.items("tasks.list")
            same = [one for one in found if one["position"] == position]
            return same[0] if same and same[0]["status"] in statuses else None

        return await eventually(look)

    async def project(self, *statuses: str) -> Json:
        """Return the only project when it is in one of these states."""

        async def look() -> Json | None:
            found = await self.items("projects.list")
            return found[0] if found and found[0]["status"] in statuses else None

        return await eventually(look)

    async def by_hand(self) -> None:
        """Let no job come by itself, so that a test can let days go by."""
        for job in await self.items("schedule.list"):
            await self.command("schedule.change", name=job["name"], enabled=False)

    async def stop(self) -> None:
        """End in an orderly way."""
        await self.schedule.stop()
        await self.tasks.stop()
        if self.database is not self.works.database:
            await self.database.close()

    async def planned(self, *tasks: Planned, budget: float = 0.0, **about: Any) -> Json:
        """Return a project of a goal that was agreed to, with these tasks."""
        goal = await self.agreed(budget=budget, **about)
        write = self.database.write
        project = await self.autonomy.projects.claim(write, goal["id"])
        assert project is not None
        plan = Plan(tasks=tasks, by="test")
        made = await self.autonomy.projects.fill(write, project["id"], plan)
        assert made is not None
        return made

    async def agreed(self, *, budget: float = 0.0, **about: Any) -> Json:
        """Return a goal that was agreed to, and that nobody has begun with."""
        (goal,) = await self.works.proposed(idea(about.pop("key", "advice:1"), **about))
        values = {
            "status": "approved",
            "decided_by": "ada",
            "budget_micro": round(budget * 1_000_000),
        }
        query = update(tables.goals).where(tables.goals.c.id == goal["id"]).values(values)
        await self.database.write(lambda connection: connection.execute(query))
        return goal


class Direct(Run):
    """A piece of work that nobody can take away."""

    def __init__(self, life: Life) -> None:
        """Write as this life does."""
        self.write = life.database.write  # type: ignore[method-assign,assignment]  # the test puts its own in its place


class Switch:
    """The switches of a brain whose autonomy goes on and off."""

    on = True

    def is_on(self, name: str) -> bool:
        return self.on or name != "autonomy"

    def require(self, name: str) -> None:
        if not self.is_on(name):
            raise Unavailable("capability_off", "Autonomy is switched off", capability=name)


class Works(Workshop):
    """Prints, printers, people and models; brains come with :meth:`begin`."""

    def __init__(self, url: str, folder: Path, clock: Clock) -> None:
        """Build what all brains share; nothing is open yet."""
        super().__init__(url, folder, clock)
        self.house = Gatehouse(f"sqlite:///{folder}/safety.db", folder, clock, durable=False)
        self.lives: list[Life] = []
        self.health = Health()
        self.link: Any = NoHome()
        # What was asked of the gate: who, and what; and what became of it by the command's id.
        self.requests: list[tuple[Caller, Json]] = []
        # The questions that were to be looked up, with what each might cost.
        self.questions: list[tuple[str, int]] = []
        self.trouble: KittyError | None = None
        # What happens between a question, or a request, and the word of it.
        self.meanwhile: Callable[[], Awaitable[object]] = _nothing
        # The research in which somebody asks the same already.
        self.open_already: str | None = None
        self.switches: Any = ALL_ON

    async def furnish(self, session: ClientSession, **settings: Any) -> None:
        """Build the rest."""
        await super().furnish(session, **settings)
        await self.house.open()
        await self.house.furnish()
        self.models = Models(self.database, self.bus, self.tasks, session, self.folder, self.clock)
        self.privacy = Privacy(self.database, self.bus.publish)
        limits = Limits(daily=10.0, monthly=100.0)
        self.budget = Budget(self.database, limits, self.clock, lambda: TODAY, self.bus.publish)
        asker = Asker(self.models, self.budget, self.privacy, Slots(4))
        self.toolbox = Toolbox(self.link, _never, _never, _never, str)
        keep = Router(self.database, [], self.clock).keep
        self.thinker = Thinker(self.models, asker, self.toolbox, keep)
        embedder = Embedder(self.database, lambda: None, self.tasks, self.clock)
        self.memory = Memory(self.database, embedder, self.bus, self.tasks, self.clock)
        await self.models.start()
        await self.memory.start()

    async def close(self) -> None:
        """End everything."""
        for life in self.lives:
            await life.stop()
        await self.models.stop()
        await self.house.close()

    async def begin(
        self,
        *,
        models: bool = False,
        research: bool = False,
        apart: bool = False,
        awake: bool = True,
        alone: bool = False,
        **more: Any,
    ) -> Life:
        """Begin a life; ``models``: they may be asked, ``research``: something can look things up.

        ``apart``: it writes by itself, as another process does. Not ``awake``, it takes no work. ``alone``: all
        others are dead.
        """
        bus, tasks = Bus(), Tasks()
        database = self.database
        if apart:
            database = Database(
                self.database.url.render_as_string(hide_password=False),
                tables.brain,
                name="brain",
                durable=False,
            )
            await database.open()
        schedule = Schedule(
            database, bus, tasks, self.clock, owner=f"life-{len(self.lives)}", look_every=0.01
        )
        autonomy = Autonomy(
            Given(
                **{
                    "database": database,
                    "bus": bus,
                    "tasks": tasks,
                    "clock": self.clock,
                    "schedule": schedule,
                    "gate": self.house.gate,
                    "lives": self.registry.all,
                    "outcomes": self.outcomes,
                    "advise": self._advise,
                    "memory": self.memory,
                    "parts": self.health.run,
                    "budget": self.budget.view,
                    "request": self._request,
                    "thinker": self.thinker if models else None,
                    "research": self if research else None,
                    "switches": self.switches,
                }
                | more
            )
        )
        autonomy.register()
        life = Life(self, database, bus, tasks, schedule, autonomy)
        bus.listen(None, lambda event: life.told.append((event.name, event.data)))
        if awake:
            await schedule.start(alone=alone or not self.lives)
        self.lives.append(life)
        return life

    # -- the edges ------------------------------------------------------------------------------------

    async def _advise(self) -> Sequence[Json]:
        found: list[Json] = (await self.advice.list(SYSTEM, Page()))["items"]
        return found

    async def _request(self, caller: Caller, asked: Json) -> Json:
        """Stand for the road to the gate: the same key is the same command."""
        if self.trouble is not None:
            raise self.trouble
        self.requests.append((caller, asked))
        done = await self.house.ask(
            asked["intent"],
            by=caller.user_id,
            zone="shop",
            device=asked["device_id"],
            params=asked["params"],
            channel=caller.channel,
            idempotency_key=asked["idempotency_key"],
        )
        await self.meanwhile()
        return {"command": done.command, "event": done.event}

    async def ask(
        self, question: str, budget_micro: int, requested_by: str | None, research_id: str
    ) -> str:
        """Stand for research: take a question; the same id is the same one."""
        if self.trouble is not None:
            raise self.trouble
        self.questions.append((question, budget_micro))
        if self.open_already is not None:
            return self.open_already
        row = {
            "id": research_id,
            "question": question,
            "steps": [],
            "sources": [],
            "limits": [],
            "budget_micro": budget_micro,
            "requested_by": requested_by,
            "status": "running",
            "created_at": self.clock(),
        }
        known = {name: value for name, value in row.items() if name in tables.researches.c}
        if research_id not in [one["id"] for one in await self.rows(tables.researches)]:
            await self.insert(tables.researches, known)
        await self.meanwhile()
        return research_id

    async def cancel(self, _caller: Caller, params: Any) -> Json:
        """Stand for research: end a question."""
        return await self.looked_up(params.research_id, status="cancelled")

    async def looked_up(self, research_id: str, **values: Any) -> Json:
        """Let a research come to its end, and tell of it."""
        query = update(tables.researches).where(tables.researches.c.id == research_id)
        await self.database.write(lambda connection: connection.execute(query.values(values)))
        for life in self.lives:
            life.bus.publish("research.updated", {"id": research_id, **values})
        return {}

    async def settled(self, command_id: str, status: str) -> None:
        """Let a command have come to some end, and tell of it."""
        same = tables.commands.c.id == command_id
        query = update(tables.commands).where(same).values(status=status)
        await self.house.database.write(lambda connection: connection.execute(query))
        for life in self.lives:
            life.bus.publish("command.updated", {"id": command_id, "status": status})

    async def forget_command(self, command_id: str) -> None:
        """Let the gate know nothing of a command."""
        for table, column in ((tables.events, "command_id"), (tables.commands, "id")):
            query = delete(table).where(table.c[column] == command_id)
            await self.house.database.write(
                lambda connection, query=query: connection.execute(query)
            )

    def offer_advice(self) -> None:
        """Let models look at what prints suggest."""

        async def run(spec: Command, caller: Caller, arguments: Json) -> Any:
            return await spec.run(caller, prepare(spec, caller, arguments))

        self.toolbox.offer(collect(self.advice), run)

    # -- what is there --------------------------------------------------------------------------------

    async def near(self, **more: Any) -> str:
        """Add a model in the house."""
        return await self._add(NEAR | more)

    async def far(self, price: float | None = 1000.0, **more: Any) -> str:
        """Add a model that costs so much for a million tokens either way."""
        return await self._add(FAR | {"price_in": price, "price_out": price} | more)

    async def _add(self, given: Json) -> str:
        made = await self.models.put(SYSTEM, msgspec.convert(given, Put))
        return str(made["id"])

    async def forbid(self, kind: str) -> None:
        """Let nothing of a kind leave the house."""
        rules = SetPrivacy(rules=[Rule(kind=PieceKind(kind), allow=False)])
        await self.privacy.set(SYSTEM, rules)

    async def insert_printer_that_prints(self) -> None:
        """Set up a printer that knows all verbs of printers."""
        await self.registry.put(
            "puppet",
            {"external_id": A, "kind": "printer"},
            device_id=A,
            info=DeviceInfo(
                external_id=A,
                name="A",
                kind=Kind.PRINTER,
                capabilities=frozenset({"print_start", "print_pause", "light_on"}),
            ),
        )

    async def set_goal(self, goal_id: str, **values: Any) -> None:
        """Let a goal have come to somewhere."""
        query = update(tables.goals).where(tables.goals.c.id == goal_id).values(values)
        await self.database.write(lambda connection: connection.execute(query))

    async def set_project(self, project_id: str, **values: Any) -> None:
        """Let a project have come to somewhere."""
        query = update(tables.projects).where(tables.projects.c.id == project_id).values(values)
        await self.database.write(lambda connection: connection.execute(query))

    async def incident(self, job: Json, status: str) -> None:
        """Let a camera have seen something wrong with a print."""
        now = self.clock.now
        row = {
            "id": tables.new_id(),
            "device_id": "c" * 32,
            "job_id": job["id"],
            "type": "spaghetti_detected",
            "confidence": 0.9,
            "status": status,
            "action": "notify",
            "created_at": now,
            "seen_at": now,
        }
        await self.insert(tables.incidents, row)

    async def ran_short(self, material: str, times: int) -> None:
        """Let a material have been proposed to be bought so often."""
        for _ in range(times):
            row = {
                "id": tables.new_id(),
                "material": material,
                "grams": 1000.0,
                "reason": "below_limit",
                "status": "done",
                "created_at": self.clock.now,
            }
            await self.insert(tables.proposals, row)

    async def power(self, **options: Any) -> Any:
        """Set up a switch and return its strings."""
        live = await self.registry.put(
            "puppet", {"external_id": "power", "kind": "power"} | options
        )
        return await on_stage(live.record.external_id)

    async def spend(self, amount: float, day: str) -> None:
        """Let so much have been spent on a day."""
        row = {
            "id": tables.new_id(),
            "request_id": "r",
            "provider_id": "p" * 32,
            "tier": "frontier",
            "day": day,
            "status": "settled",
            "reserved_micro": round(amount * 1_000_000),
            "cost_micro": round(amount * 1_000_000),
            "created_at": self.clock.now,
        }
        await self.insert(tables.spending, row)

    async def cap(self, **limits: float) -> None:
        """Change what may be spent."""
        await self.budget.set_limits(SYSTEM, SetLimits(**limits))

    async def insert(self, table: Table, row: Json) -> None:
        """Store a row."""
        query = insert(table).values(row)
        await self.database.write(lambda connection: connection.execute(query))

    async def rows(self, table: Table) -> list[Json]:
        """Return every row of a table, oldest first."""
        query = select(table).order_by(table.c[0])
        return await self.database.read(
            lambda connection: [dict(row) for row in connection.execute(query).mappings()]
        )

    async def proposed(self, *ideas: Idea) -> list[Json]:
        """Store goals as the weekly cycle does."""
        goals = self.lives[0].autonomy.goals
        made = await self.database.write(lambda connection: goals.propose(connection, ideas))
        return await goals.tell(made)

    async def messages(self, of: str = "") -> list[str]:
        """Return what people were told, under keys that begin so."""
        rows = await self.rows(tables.notifications)
        return [row["message"] for row in rows if row["key"].startswith(of)]


def finger(person: str | None, channel: Channel = Channel.MOBILE) -> Caller:
    """Return a person with their own phone."""
    return Caller(token="house", scope=Scope.INTEGRATION, user_id=person, channel=channel)


def idea(key: str = "advice:1", **more: Any) -> Idea:
    """Return something that could be better."""
    given: Json = {
        "key": key,
        "title": "Print PETG on A rather than on B",
        "reason": "PETG on B: 4 of 9 failed.",
        "origin": "advice",
        "about": {"code": "prefer_printer", "material": "PETG"},
        "metric": "print_success",
    }
    return Idea(**given | more)


async def eventually[T](look: Callable[[], Awaitable[T | None]]) -> T:
    """Return the first true answer; TimeoutError when it does not come."""
    async with asyncio.timeout(SOON):
        while True:
            if found := await look():
                return found
            await asyncio.sleep(0.005)  # until the next look


@asynccontextmanager
async def works(url: str, folder: Path, clock: Clock) -> AsyncIterator[Works]:
    """Open a workshop for the time of a block."""
    made = Works(url, folder, clock)
    await made.database.open()
    try:
        async with ClientSession() as session:
            await made.furnish(session)
            yield made
            await made.close()
            await made.registry.stop()
            await made.memory.stop()
    finally:
        await made.tasks.stop()
        await made.database.close()


def ask(title: str = "Which printer fails most?", *needs: int) -> Planned:
    """Return a question to the workshop."""
    return Planned(title=title, kind="ask", needs=needs)


def cancels(life: Life) -> Callable[[], Awaitable[None]]:
    """Return what cancels the only project."""

    async def cancel() -> None:
        (project,) = await life.items("projects.list")
        cancelled = life.command("projects.cancel", project_id=project["id"])
        # Whoever cancels is not cancelled with it.
        await asyncio.shield(life.tasks.start("cancel", cancelled))

    return cancel


async def given_up(life: Life, shop: Works) -> None:
    """Let time pass until a piece of work is given up."""

    async def look() -> bool:
        shop.clock.advance(60)
        return bool(await life.items("work.list", status="dead"))

    await eventually(look)


async def _nothing() -> None:
    """Let nothing happen."""


async def _never(*_given: Any) -> Any:
    raise NotImplementedError
