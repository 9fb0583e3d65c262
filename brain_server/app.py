"""The composition root: builds every object, top to bottom; the only place that knows them all."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
import time
from typing import TYPE_CHECKING, Final

from aiohttp import ClientSession, ClientTimeout, web
import msgspec

from brain_server import __version__, metrics, tracing
from brain_server.api.auth import Tokens
from brain_server.api.dispatch import Dispatcher
from brain_server.api.link import Link
from brain_server.api.rest import Rest
from brain_server.api.system import System
from brain_server.api.ws import WebSockets
from brain_server.background import Around, Background, audit
from brain_server.bus import Bus
from brain_server.capabilities import Capabilities
from brain_server.cluster.standby import listen
from brain_server.commands import Caller, Command, collect
from brain_server.conversation import Conversations
from brain_server.conversation.agent import Agent
from brain_server.conversation.first_tier import OUTCOME_WAIT, FirstTier
from brain_server.conversation.generate import Generate, Keep
from brain_server.conversation.home import HomeTier
from brain_server.conversation.kept import MEMORY, Kept
from brain_server.conversation.mind import Mind, Sources
from brain_server.conversation.overview import Overview
from brain_server.conversation.proposals import Proposals
from brain_server.conversation.relations import Relations
from brain_server.conversation.remembering import Remembering, Told
from brain_server.conversation.search import Pages, Search
from brain_server.conversation.tools import Toolbox, spoken
from brain_server.devices import Devices, Request
from brain_server.devices.commands import DeviceCommands
from brain_server.devices.evidence import Evidence
from brain_server.devices.registry import Registry
from brain_server.devices.telemetry import Telemetry
from brain_server.fetch import Fetcher
from brain_server.memory import Memory
from brain_server.memory.cache import Answers
from brain_server.memory.embedder import Embedder
from brain_server.observability import Health, Tasks
from brain_server.protocol import Json
from brain_server.providers import Use
from brain_server.routing import Router
from brain_server.routing.ask import Asker
from brain_server.routing.budget import Budget, Limits
from brain_server.routing.decisions import Decisions
from brain_server.routing.lessons import Lessons
from brain_server.routing.models import Models
from brain_server.routing.privacy import Privacy
from brain_server.routing.slots import Slots
from brain_server.safety.commands import SafetyCommands
from brain_server.safety.directory import Directory
from brain_server.safety.gate import Gate
from brain_server.safety.keys import Keys
from brain_server.schedule import Schedule
from brain_server.settings import Settings
from brain_server.storage import Database, tables
from brain_server.storage.tables import new_id
from brain_server.workshop import Workshop

if TYPE_CHECKING:
    # Only an app of Home Assistant has one.
    from brain_server.addon.host import Host

    # It takes PostgreSQL's client, which SQLite needs not.
    from brain_server.cluster.lease import Lease

    # Only where a Qdrant server is set up.
    from brain_server.memory.qdrant import Qdrant

DRAIN: Final = 8.0
HOUSEKEEPING: Final = 600.0
HEALTH_EVERY: Final = 10.0


class Brain:
    """The whole process: :meth:`start`, then :meth:`stop`."""

    dispatcher: Dispatcher
    sockets: WebSockets

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], float] = time.time,
        lease: Lease | None = None,
    ) -> None:
        """Build the parts that need no running loop; the clock tells POSIX seconds.

        With a lease, which is won already, nothing is written or sent once another brain has it.
        """
        self.settings = settings
        self.clock = clock
        self.lease = lease
        # Called when the brain is about to listen: whoever answered for it until now has to go.
        self.make_way: Callable[[], Awaitable[None]] | None = None
        # Where the brain is an app of Home Assistant: its page, and who announces it.
        self.host: Host | None = None
        slow = settings.slow_query_ms
        safety_url = lease.url if lease else settings.safety_url
        brain_url = lease.url if lease else settings.brain_url
        self.safety_db = Database(
            safety_url, tables.safety, name="safety", durable=True, slow_ms=slow
        )
        self.brain_db = Database(brain_url, tables.brain, name="brain", durable=False, slow_ms=slow)
        if lease:
            self.safety_db.fence = self.brain_db.fence = lease.check
        self.bus = Bus()
        self.tasks = Tasks()
        self.health = Health()
        self._last_health: Json | None = None
        self.port = settings.port

    async def start(self) -> None:
        """Open the databases, build the rest, recover what was open, and listen."""
        async with AsyncExitStack() as opened:
            await self._build(opened)
            self._opened = opened.pop_all()

    async def _build(self, opened: AsyncExitStack) -> None:
        settings = self.settings
        keys, _ = await asyncio.gather(self.open_safety(), self.brain_db.open())
        self.keys = keys
        opened.push_async_callback(self.safety_db.close)
        opened.push_async_callback(self.brain_db.close)
        if self.lease:
            await self.lease.settle()
            self.health.add("awake", self.lease.health)
        session = await opened.enter_async_context(ClientSession(timeout=ClientTimeout(total=30)))
        opened.push_async_callback(self.tasks.stop)
        await self._trace(session, opened)
        metrics.follow(self.bus)
        self.link = Link()
        self.schedule = Schedule(self.brain_db, self.bus, self.tasks, self.clock, owner=new_id())
        self.switches = Capabilities(self.brain_db, self.bus, self.clock, partial(audit, self.gate))
        await self.switches.load()
        self.registry = Registry(
            self.brain_db, self.bus, self.tasks, session, self.link, self.clock
        )
        evidence = Evidence(self.registry, self.gate, settings.data_dir / "evidence")
        self.devices = Devices(
            self.registry, self.gate, self.bus, self.tasks, evidence, self.switches
        )
        self.devices.may_send = self._may_send
        self.workshop = Workshop(
            settings,
            self.devices,
            self.gate,
            lambda *asked: self.generate.judge(*asked),  # noqa: PLW0108 - it is built below
            database=self.brain_db,
            bus=self.bus,
            tasks=self.tasks,
            session=session,
            clock=self.clock,
        )
        self.files, self.jobs = self.workshop.files, self.workshop.jobs
        telemetry = Telemetry(
            self.brain_db, self.registry, self.clock, days=settings.telemetry_days
        )
        mind = await self._build_mind(await self._build_models(session, opened))
        self.tokens = Tokens(
            self.brain_db, self.clock, rate=settings.request_rate, burst=settings.request_burst
        )
        await self.tokens.load(settings.token, settings.data_dir / "token")
        opened.push_async_callback(self.tokens.note_uses)
        system = System(self.health, self.bus, keys)
        commands = collect(
            system,
            self.tokens,
            self.devices,
            DeviceCommands(self.registry, self.gate, evidence),
            self.directory,
            SafetyCommands(self.gate, self.safety_db),
            *self.workshop.commands,
            telemetry,
            self.schedule,
            self.schedule.work,
            self.switches,
            *self.background.commands,
            *mind,
        )
        self._build_api(commands)
        self._add_health()
        # Nobody may see a house that is not complete; and whoever gets the port is the only one.
        opened.push_async_callback(self.registry.stop)
        await self.registry.start()
        await self._listen(opened)
        opened.push_async_callback(self.sockets.close)
        opened.push_async_callback(self.devices.finish, DRAIN / 2)
        opened.push_async_callback(self.dispatcher.drain, DRAIN / 2)
        await self._begin(opened, telemetry)

    def _build_api(self, commands: dict[str, Command]) -> None:
        """Build what runs the commands, and who is told of what happens."""
        settings, keys = self.settings, self.keys
        self.toolbox.offer(commands, self._run_tool)
        self.dispatcher = Dispatcher(commands, most=settings.max_requests, switches=self.switches)
        self.background.notify.run = self._answer
        self.sockets = WebSockets(
            self.bus,
            self.dispatcher,
            self.tokens,
            self.link,
            self.tasks,
            snapshot=self.snapshot,
            hello=lambda nonce: {
                "instance_id": keys.instance_id,
                "public_key": keys.public_key,
                "proof": keys.prove(nonce),
            },
            most_clients=settings.max_clients,
            queue=settings.client_queue,
        )

    async def _begin(self, opened: AsyncExitStack, telemetry: Telemetry) -> None:
        """Take up what was open, and start what goes on for ever."""
        self.directory.anchored = self.devices.claim_held
        await self.devices.recover(paired=await self.directory.is_paired())
        await self.conversations.recover()
        await self.workshop.start(opened, self.health)
        await self.background.start(opened)
        self.tasks.keep_up("expiry", self.gate.run)
        self.tasks.keep_up("tokens", self.tokens.keep_uses)
        self.tasks.keep_up("housekeeping", lambda: self._housekeeping(telemetry))
        self.tasks.keep_up("health", self._watch_health)
        self.tasks.keep_up("models", self.models.watch)
        self.tasks.keep_up("budget", self.budget.keep_days)
        if self.host is not None:
            token = await self.tokens.of_file(self.settings.data_dir / "token")
            self.host.begin(self.keys, self.port, token, self.tasks, self.health)

    async def _build_models(self, session: ClientSession, opened: AsyncExitStack) -> Asker:
        """Build the models, what they may cost and see, and what is remembered."""
        settings, db = self.settings, self.brain_db
        self.models = Models(
            db,
            self.bus,
            self.tasks,
            session,
            settings.data_dir,
            self.clock,
            switches=self.switches,
        )
        limits = Limits(
            daily=settings.budget_daily,
            monthly=settings.budget_monthly,
            soft=settings.budget_soft,
            currency=settings.currency,
        )
        self.budget = Budget(db, limits, self.clock, self._today, self.bus.publish)
        self.privacy = Privacy(db, self.bus.publish)
        self.slots = Slots(settings.model_slots)
        asker = Asker(self.models, self.budget, self.privacy, self.slots, self.switches)
        self.embedder = Embedder(
            db, lambda: asker.source(self.models.of_use(Use.EMBEDDING)), self.tasks, self.clock
        )
        store = _qdrant(settings) if settings.qdrant_url else None
        self.memory = Memory(
            db, self.embedder, self.bus, self.tasks, self.clock, store, switches=self.switches
        )
        self.answers = Answers(
            db,
            self.embedder,
            self.tasks,
            self.clock,
            most_bytes=settings.answers_mb * 1024 * 1024,
            switches=self.switches,
        )
        self.lessons = Lessons(db, self.clock)
        await asyncio.gather(
            self.models.start(),
            self.privacy.load(),
            self.budget.recover(),
            self.answers.start(),
            self.lessons.start(),
        )
        opened.push_async_callback(self.answers.stop)
        opened.push_async_callback(self.lessons.stop)
        opened.push_async_callback(self.models.stop)
        await self.memory.start()
        opened.push_async_callback(self.memory.stop)
        self.health.add("models", self.models.health)
        self.health.add("memory", self.memory.health, is_on=partial(self.switches.is_on, "memory"))
        self.switches.tell_set_up(
            "models.far", self.models.has_far, "provider.updated", "provider.removed"
        )
        self.bus.listen("provider.updated", lambda _event: self.memory.wake())
        self.overview = Overview(
            self.bus,
            self.tasks,
            answers=self.answers,
            memory=self.memory,
            slots=self.slots,
            budget=self.budget,
        )
        self.memory.listeners.append(lambda _namespace: self.answers.touch(MEMORY))
        return asker

    async def _build_mind(self, asker: Asker) -> list[object]:
        """Build what thinks, from the rules to the models; returns what has commands."""
        db = self.brain_db
        search = Search(self.models, self.privacy, self.switches)
        first_tier = FirstTier(self.devices, self.gate, self.safety_db, self.bus, self.clock)
        remembering = Remembering(self.memory, self.embedder)
        pages = Pages(Fetcher(), self.privacy, self.switches)
        self.toolbox = Toolbox(self.link, self._request, search, pages, first_tier.name_of)
        proposals = Proposals(first_tier, self.toolbox, search, pages)
        things = lambda: [live.view() for live in self.registry.all()]  # noqa: E731 - a name for two uses
        mind = Mind(
            self.models,
            asker,
            self.budget,
            self.toolbox,
            search=search,
            ask=proposals.ask,
            sources=Sources(
                history=lambda one: self.conversations.said(one),  # noqa: PLW0108 - they are built below
                recall=remembering.recall,
                meaning=remembering.meaning,
                devices=things,
            ),
            kept=Kept(self.answers),
            lessons=self.lessons,
        )
        tiers = [
            proposals,
            Told(self.memory, self.embedder),
            first_tier,
            HomeTier(self.link),
            remembering,
        ]
        router = Router(db, tiers, self.clock, mind, self.overview.note)
        self.conversations = Conversations(
            db,
            self.gate,
            router,
            self.clock,
            ttl=self.settings.session_ttl,
            bus=self.bus,
            tasks=self.tasks,
            switches=self.switches,
        )
        agent = Agent(
            db,
            self.bus,
            self.tasks,
            self.models,
            asker,
            mind,
            wait=self.devices.wait_until,
            outcome=self.conversations.outcome,
            clock=self.clock,
            devices=things,
        )
        self.conversations.resume = mind.resume
        self.conversations.tells_words = self.settings.mqtt_content
        mind.agent, agent.tell = agent, self.conversations.tell
        self.generate = Generate(self.models, asker, router.keep)
        await agent.recover()
        self._build_background(asker, search, router.keep)
        relations = Relations(self.models, self.registry.all, agent.load)
        return [
            relations,
            self.models,
            self.budget,
            self.privacy,
            self.memory,
            self.answers,
            self.conversations,
            agent,
            self.generate,
            Decisions(db),
        ]

    def _build_background(self, asker: Asker, search: Search, keep: Keep) -> None:
        """Build what goes on by itself."""
        self.background = Background(
            Around(
                settings=self.settings,
                database=self.brain_db,
                safety=self.safety_db,
                bus=self.bus,
                tasks=self.tasks,
                clock=self.clock,
                schedule=self.schedule,
                gate=self.gate,
                instance_id=self.keys.instance_id,
                link=self.link,
                switches=self.switches,
                health=self.health,
                devices=self.devices,
                outcomes=self.workshop.outcomes,
                advice=self.workshop.advice,
                models=self.models,
                asker=asker,
                budget=self.budget,
                privacy=self.privacy,
                memory=self.memory,
                toolbox=self.toolbox,
                search=search,
                keep=keep,
                awake=lambda: self.lease is None or self.lease.fresh,
            )
        )

    async def _trace(self, session: ClientSession, opened: AsyncExitStack) -> None:
        """Send traces away, where a person wants them."""
        settings = self.settings
        if not settings.otlp_endpoint:
            return
        exporter = await tracing.connect(
            session, settings.otlp_endpoint, sample=settings.trace_sample, version=__version__
        )
        if exporter is not None:
            opened.push_async_callback(exporter.close)
            self.tasks.keep_up("traces", exporter.run)

    async def _request(self, caller: Caller, arguments: Json, conversation_id: str) -> Json:
        """Ask the workshop for what a model wants: as the person, and never as the person's finger."""
        given: Json = {
            name: arguments[name] for name in ("device_id", "intent") if name in arguments
        }
        given |= {"params": arguments.get("params") or {}, "wait": OUTCOME_WAIT}
        asked = msgspec.convert(given | {"conversation_id": conversation_id}, Request)
        return await self.devices.request(replace(caller, channel=spoken(caller.channel)), asked)

    async def _answer(self, action: str, caller: Caller, params: Json) -> object:
        """Run the command that somebody's answer to a notification stands for, as that person."""
        return await self.dispatcher.run(self.dispatcher.spec(action), caller, params)

    async def _run_tool(self, spec: Command, caller: Caller, arguments: Json) -> Json:
        found: Json = await self.dispatcher.run(spec, caller, arguments)
        return found

    def _today(self) -> str:
        """Return the day of the house, in the time zone of this process."""
        return time.strftime("%Y-%m-%d", time.localtime(self.clock()))

    async def open_safety(self) -> Keys:
        """Open what decisions need, and nothing else."""
        settings = self.settings
        keys = await asyncio.to_thread(Keys.load, settings.data_dir / "keys.json")
        await self.safety_db.open()
        self.gate = Gate(
            self.safety_db, keys, self.bus, self.clock, lockout_attempts=settings.lockout_attempts
        )
        self.directory = Directory(self.gate, self.safety_db, keys.instance_id)
        return keys

    async def _listen(self, opened: AsyncExitStack) -> None:
        settings = self.settings
        rest = Rest(
            self.dispatcher,
            self.tokens,
            self.sockets,
            self.health,
            self.files,
            debug=settings.debug,
            version=__version__,
            awake=lambda: self.lease is None or self.lease.fresh,
        )
        application = rest.application()
        if self.host is not None:
            self.host.join(
                application.router,
                self.keys,
                health=self._look_at_health,
                is_connected=lambda: self.link.connected,
                is_paired=self.directory.is_paired,
                unpair=self.directory.unpair,
            )
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        opened.push_async_callback(runner.cleanup)
        if self.make_way is not None:
            await self.make_way()
        self.port = await listen(runner, settings.host, settings.port)

    async def stop(self) -> None:
        """Finish what runs, within eight seconds, tell clients to come back, and close."""
        await self._opened.aclose()

    async def snapshot(self) -> Json:
        """Return all state for a new subscriber."""
        work = await self.gate.open_work()
        return {
            "devices": [live.view() for live in self.registry.all()],
            "events": [event for _, event in work if event is not None],
            "commands": [command for command, _ in work],
            "presences": await self.directory.seen(),
            "health": await self._look_at_health(),
            "providers": [model.view() for model in self.models.all()],
            "budget": await self.budget.view(),
            "mind": self.overview.view(),
            **await self.workshop.snapshot(),
            **await self.background.snapshot(),
            "audit": (await self.safety_db.read(self.gate.chain.head)).as_dict(),
        }

    def _add_health(self) -> None:
        self.health.add("safety_database", self.safety_db.check)
        self.health.add("brain_database", self.brain_db.check)
        self.health.add("tasks", self._tasks_check)
        self.health.add("schedule", self.schedule.health)
        self.health.add("home_assistant", self._link_check)

    async def _may_send(self) -> None:
        """Raise Unavailable where another brain is awake."""
        if self.lease:
            await self.brain_db.read(self.lease.confirm)

    async def _tasks_check(self) -> str | None:
        broken = self.tasks.broken
        return None if not broken else f"Broken: {', '.join(sorted(broken))}"

    async def _link_check(self) -> str | None:
        paired = (await self.directory.is_paired()) and not self.link.connected
        return "Home Assistant is not connected" if paired else None

    async def _watch_health(self) -> None:
        """Look at every part now and then."""
        while True:
            await self._look_at_health()
            await asyncio.sleep(HEALTH_EVERY)

    async def _look_at_health(self) -> Json:
        """Return how the parts are; clients are told when one falls ill or is well again, whoever looked."""
        now = System.summary(await self.health.run())
        if self._last_health not in (None, now):
            self.bus.publish("health.updated", now)
        self._last_health = now
        return now

    async def _housekeeping(self, telemetry: Telemetry) -> None:
        while True:
            await self.registry.remember(self.registry.all())
            await telemetry.forget()
            await self.workshop.tidy()
            await self.background.tidy()
            await self.conversations.forget()
            await self.budget.recover()
            await asyncio.sleep(HOUSEKEEPING)


def _qdrant(settings: Settings) -> Qdrant:
    """Return the other store of vectors."""
    from brain_server.memory.qdrant import Qdrant  # noqa: PLC0415 - only where there is such a server

    return Qdrant(settings.qdrant_url, settings.qdrant_api_key)
