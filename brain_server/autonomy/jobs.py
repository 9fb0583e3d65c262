"""Autonomy, put together: the seven jobs, when each comes, and what does it."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from brain_server.autonomy.fleet import FleetHealth
from brain_server.autonomy.generation import Generation
from brain_server.autonomy.goals import CAPABILITY, GENERATION, Goals
from brain_server.autonomy.health import DailyHealth
from brain_server.autonomy.knowledge import KnowledgeUpdate, ReadAgain
from brain_server.autonomy.metrics import Measures
from brain_server.autonomy.outcomes import OutcomeMeasurement
from brain_server.autonomy.plan import Planner
from brain_server.autonomy.projects import Projects
from brain_server.autonomy.research import Research, ResearchId
from brain_server.autonomy.tasks import Ask, Hands, ProjectTasks
from brain_server.autonomy.thinker import Thinker
from brain_server.autonomy.weekly import Advise, WeeklyCycle
from brain_server.bus import Bus
from brain_server.capabilities import ALL_ON, Switches
from brain_server.commands import SYSTEM
from brain_server.devices.live import Live
from brain_server.errors import Conflict, NotFound
from brain_server.fabrication.outcomes import Outcomes
from brain_server.memory import Memory
from brain_server.observability import Tasks
from brain_server.protocol import Json
from brain_server.safety.gate import Gate
from brain_server.schedule import Kind, Run, Schedule
from brain_server.schedule.commands import WorkId
from brain_server.storage import Database

# The times of the jobs, UTC; a person changes them by ``schedule.change``.
TIMES: Final = {
    "daily_health_check": "daily 12:00",
    "weekly_research_cycle": "weekly mon 13:00",
    "knowledge_base_update": "weekly mon 14:30",
    GENERATION: "daily 12:30",
    "task_execution_cycle": "every 15m",
    "outcome_measurement_cycle": "daily 14:00",
    "printer_fleet_health_check": "every 4h",
}
# These only look, and go on when nothing else does.
LOOKING: Final = frozenset({"daily_health_check", "printer_fleet_health_check"})
TIMEOUTS: Final = {
    GENERATION: 1800.0,
    "weekly_research_cycle": 600.0,
    "knowledge_base_update": 1800.0,
}
STANDARD_TIMEOUT: Final = 300.0

type Handler = Callable[[Run], Awaitable[Json | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What autonomy is given: the parts that it looks at, and those that it asks."""

    database: Database
    bus: Bus
    tasks: Tasks
    clock: Callable[[], float]
    schedule: Schedule
    gate: Gate
    lives: Callable[[], Sequence[Live]]
    outcomes: Outcomes
    advise: Advise
    memory: Memory
    parts: Callable[[], Awaitable[Sequence[Json]]]
    budget: Callable[[], Awaitable[Json]]
    # The road to the gate, as whoever says yes.
    request: Ask
    thinker: Thinker | None = None
    research: Research | None = None
    read_again: ReadAgain | None = None
    # What may be spent a week on looking things up before anybody agreed to anything.
    weekly_budget: float = 0.0
    switches: Switches = ALL_ON


class Autonomy:
    """Everything that goes on for goals. :meth:`register` before the schedule starts."""

    def __init__(self, given: Given) -> None:
        """Build the parts."""
        self._given = given
        database, bus, clock = given.database, given.bus, given.clock
        measures = self.measures = Measures(database, given.outcomes, clock)
        ask = given.research.ask if given.research is not None else None
        self.goals = Goals(database, bus, clock, given.gate, measures.baseline)
        self.projects = Projects(database, bus, given.tasks, clock)
        self.projects.stop = self._stop
        planner = Planner(
            given.thinker,
            lambda: [live.view() for live in given.lives()],
            researches=ask is not None,
        )
        generation = Generation(self.projects, planner, self._blocked)
        hands = Hands(
            measures=measures,
            thinker=given.thinker,
            research=ask,
            request=given.request,
            command_of=given.gate.command,
            name_of=self._name_of,
        )
        self.tasks = ProjectTasks(database, bus, given.tasks, self.projects, hands, clock)
        self.outcomes = OutcomeMeasurement(database, bus, clock, measures)
        health = DailyHealth(
            database,
            parts=given.parts,
            devices=given.lives,
            jobs=given.schedule.jobs,
            budget=given.budget,
            clock=clock,
        )
        self.fleet = FleetHealth(database, bus, printers=given.lives, clock=clock)
        weekly = WeeklyCycle(
            database,
            self.goals,
            measures,
            given.outcomes,
            advise=given.advise,
            name_of=self._name_of,
            research=ask,
            budget=given.weekly_budget,
            clock=clock,
        )
        knowledge = KnowledgeUpdate(
            database,
            given.memory,
            given.outcomes,
            self._name_of,
            clock,
            read_again=given.read_again,
        )
        self._handlers: dict[str, Handler] = {
            "daily_health_check": health.run,
            "weekly_research_cycle": weekly.run,
            "knowledge_base_update": knowledge.run,
            GENERATION: generation.run,
            "task_execution_cycle": self.tasks.cycle,
            "outcome_measurement_cycle": self.outcomes.run,
            "printer_fleet_health_check": self.fleet.run,
        }
        self.commands: list[object] = [self.goals, self.projects, self.tasks, self.outcomes]

    def register(self) -> None:
        """Make the jobs and the kinds of tasks known to the schedule, before it starts."""
        schedule = self._given.schedule
        for name, timing in TIMES.items():
            schedule.worker.register(
                Kind(
                    name=name,
                    run=self._handlers[name],
                    timeout=TIMEOUTS.get(name, STANDARD_TIMEOUT),
                    blocked=(lambda: None) if name in LOOKING else self._blocked,
                )
            )
            schedule.every(name, timing)
        for kind in self.tasks.kinds(self._blocked):
            schedule.worker.register(kind)

    async def snapshot(self) -> Json:
        """Return what is open, for a new subscriber."""
        return {
            "goals": await self.goals.open(),
            "projects": await self.projects.active(),
            "fleet": await self.fleet.open(),
        }

    def _name_of(self, device_id: str) -> str | None:
        names = (live.record.name for live in self._given.lives() if live.record.id == device_id)
        return next(names, None)

    def _blocked(self) -> str | None:
        """Tell why nothing is done for a goal now, or None."""
        return None if self._given.switches.is_on(CAPABILITY) else "capability_off"

    async def _stop(self, task: Json) -> None:
        """Stop the work of a task whose project was cancelled, and the research that it began."""
        with suppress(Conflict, NotFound):  # it may have ended a moment ago
            if task["work_id"] is not None:
                await self._given.schedule.work.cancel(SYSTEM, WorkId(work_id=task["work_id"]))
        research, research_id = self._given.research, task["details"].get("research_id")
        if research is None or research_id is None:
            return
        if task["details"].get("borrowed"):
            # Who began it waits for it; if they were cancelled before, this was the last, and it is ended now.
            await self.tasks.follow()
        elif not await self.tasks.is_shared(task):
            with suppress(Conflict, NotFound):
                await research.cancel(SYSTEM, ResearchId(research_id=research_id))
