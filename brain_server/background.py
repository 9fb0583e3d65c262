"""Puts together what goes on by itself: telling people, telling other programs, research, goals and the jobs."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final

import msgspec

from brain_server.autonomy.jobs import Autonomy, Given
from brain_server.autonomy.research import Research
from brain_server.autonomy.research_model import Readers
from brain_server.autonomy.research_parts import Parts
from brain_server.autonomy.thinker import Thinker
from brain_server.brokers import Where, find
from brain_server.bus import Bus, Event
from brain_server.capabilities import Capabilities
from brain_server.commands import SYSTEM, Caller, Page
from brain_server.conversation.generate import Keep
from brain_server.conversation.search import Search
from brain_server.conversation.tools import Toolbox
from brain_server.devices import Devices, Request
from brain_server.diagnosis import Diagnosis
from brain_server.fabrication.advice import Advice
from brain_server.fabrication.outcomes import Outcomes
from brain_server.fetch import Fetcher
from brain_server.house import HomeAssistantLink
from brain_server.memory import Memory
from brain_server.notify import Channels, Courier, Notify, Webhooks, quiet_hours
from brain_server.notify.rows import KIND as DELIVERY
from brain_server.observability import Health, Tasks
from brain_server.outbox import Outbox
from brain_server.protocol import Json
from brain_server.relay import Relay
from brain_server.relay.commands import Inbound
from brain_server.relay.published import Events
from brain_server.relay.trail import Trail
from brain_server.routing.ask import Asker
from brain_server.routing.budget import Budget
from brain_server.routing.models import Models
from brain_server.routing.privacy import Privacy
from brain_server.safety.gate import Gate
from brain_server.safety.policy import Refusal
from brain_server.safety.step import Step
from brain_server.schedule import Run, Schedule
from brain_server.settings import Settings
from brain_server.storage import Database

_DAY: Final = 86_400.0
_EVERYTHING: Final = Page(limit=1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """The brain around it: what is looked at, asked and told."""

    settings: Settings
    database: Database
    safety: Database
    bus: Bus
    tasks: Tasks
    clock: Callable[[], float]
    schedule: Schedule
    gate: Gate
    instance_id: str
    link: HomeAssistantLink
    switches: Capabilities
    health: Health
    devices: Devices
    outcomes: Outcomes
    advice: Advice
    models: Models
    asker: Asker
    budget: Budget
    privacy: Privacy
    memory: Memory
    toolbox: Toolbox
    search: Search
    keep: Keep
    # Whether this is the brain that acts, where there are several.
    awake: Callable[[], bool]


class Background:
    """Everything that goes on by itself. It moves nothing but by ``Devices.request``."""

    def __init__(self, around: Around) -> None:
        """Build the parts, before the schedule starts."""
        self._around = around
        database, bus, clock = around.database, around.bus, around.clock
        settings, schedule = around.settings, around.schedule
        self.outbox = Outbox(database, bus, clock, days=settings.outbox_days)
        self.notify = Notify(database, bus, clock, wake=schedule.worker.wake)
        courier = Courier(
            database,
            around.link,
            Webhooks(own_port=settings.port),
            clock,
            quiet=quiet_hours(settings.quiet_hours),
            switches=around.switches,
        )
        schedule.worker.register(courier.kind)
        parts = Parts(
            bus=bus,
            clock=clock,
            search=around.search,
            fetcher=Fetcher(),
            privacy=around.privacy,
            readers=Readers(around.models, around.asker, around.budget, around.keep),
            memory=around.memory,
            switches=around.switches,
        )
        self.research = Research(database, around.tasks, schedule, around.models, parts)
        around.toolbox.brought.append(self.research.offer)
        self.autonomy = Autonomy(
            Given(
                database=database,
                bus=bus,
                tasks=around.tasks,
                clock=clock,
                schedule=schedule,
                gate=around.gate,
                lives=around.devices.registry.all,
                outcomes=around.outcomes,
                advise=self._advise,
                memory=around.memory,
                parts=around.health.run,
                budget=around.budget.view,
                request=self._request,
                thinker=Thinker(around.models, around.asker, around.toolbox, around.keep),
                research=self.research,
                read_again=partial(_read_again, database, parts),
                weekly_budget=settings.research_budget,
                switches=around.switches,
            )
        )
        self.autonomy.register()
        self._relays = list(self._relayed())
        self._trail = Trail(around.safety, database, self.outbox, bus, clock, may=around.awake)
        diagnosis = Diagnosis(database, around.health, settings, clock, is_on=around.switches.is_on)
        self.commands: list[object] = [
            diagnosis,
            self.outbox,
            Events(database, bus, clock),
            self.notify,
            Channels(database, courier, clock, self.audit),
            self.research,
            *self.autonomy.commands,
        ]
        bus.listen("work.updated", self._on_work)

    async def start(self, opened: AsyncExitStack) -> None:
        """Take up what was open; what was started is stopped by ``opened``."""
        around = self._around
        await self.outbox.start()
        await self.outbox.tell_status(around.instance_id, "online")
        opened.push_async_callback(self.outbox.tell_status, around.instance_id, "offline")
        await self.research.recover()
        around.tasks.keep_up("outbox", self.outbox.run)
        around.tasks.keep_up("trail", self._trail.run)
        for name, relay in self._relays:
            around.tasks.keep_up(f"relay to {name}", relay.run)
            around.health.add(name, relay.health, is_on=partial(around.switches.is_on, name))
        opened.push_async_callback(around.schedule.stop)
        await around.schedule.start(alone=True)

    async def snapshot(self) -> Json:
        """Return what is open, for a new subscriber."""
        schedule = self._around.schedule
        return {
            "schedule": await schedule.jobs(),
            "work": await schedule.work.open(),
            "capabilities": self._around.switches.rows(),
            "researches": await self.research.open(),
            **await self.autonomy.snapshot(),
        }

    async def tidy(self) -> None:
        """Let go of what nobody needs any more."""
        await self.notify.tidy()
        await self.outbox.tidy()
        await self.research.tidy()

    async def audit(self, kind: str, user_id: str | None, data: Json) -> None:
        """Write a line of the audit trail."""
        await audit(self._around.gate, kind, user_id, data)

    def _relayed(self) -> Sequence[tuple[str, Relay]]:
        """Return a relay for each broker that is set up, by the switch that it has."""
        around, settings = self._around, self._around.settings
        found = []
        for name, url, setting in (
            ("mqtt", settings.mqtt_url, "mqtt_url"),
            ("broker", settings.broker_url, "broker_url"),
        ):
            around.switches.tell_set_up(name, partial(bool, url))
            if not url:
                continue
            takes = name == "mqtt" and settings.mqtt_commands
            where = Where(
                url=url,
                instance_id=around.instance_id,
                prefix=settings.mqtt_prefix,
                take=Inbound(self._request).take if takes else None,
            )
            broker = find(where, setting)
            relay = Relay(
                self.outbox,
                broker,
                sink=name,
                may=partial(self._may_tell, name),
                content=settings.mqtt_content,
            )
            found.append((name, relay))
        return found

    def _may_tell(self, name: str) -> bool:
        return self._around.awake() and self._around.switches.is_on(name)

    async def _request(self, caller: Caller, params: Json) -> Json:
        """Ask for something by the one road to devices."""
        return await self._around.devices.request(caller, msgspec.convert(params, Request))

    async def _advise(self) -> Sequence[Json]:
        found = await self._around.advice.list(SYSTEM, _EVERYTHING)
        items: list[Json] = found["items"]
        return items

    def _on_work(self, event: Event) -> None:
        """Tell people of work that was given up, once a day for each kind of it."""
        row = event.data
        # What could not be told cannot be told of, either.
        if row["status"] == "dead" and row["kind"] != DELIVERY:
            self._around.tasks.start("tell of dead work", self._tell_of_dead(row))

    async def _tell_of_dead(self, row: Json) -> None:
        why = (row["error"] or {}).get("message", "")
        await self.notify.tell(
            key=f"dead:{row['kind']}",
            severity="warning",
            title="Work was given up",
            message=f"{row['kind']}: {why}",
            cooldown=_DAY,
        )


async def _read_again(database: Database, parts: Parts, run: Run, since: float) -> Json:
    """Read again what researches cite."""
    from brain_server.autonomy.rereading import Rereading  # noqa: PLC0415 - 0.5 MB that only a research pays

    return await Rereading(database, parts).run(run, since)


async def audit(gate: Gate, kind: str, user_id: str | None, data: Json) -> None:
    """Write a line of the audit trail that is about no device."""

    def line(step: Step) -> Refusal | None:
        step.audit(kind, user_id=user_id, data=data)
        return None

    await gate.step(line)
