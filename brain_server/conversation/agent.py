"""The agent tier: a request of several steps is taken apart, given out, and done in order.

A model makes the plan; the plan is checked before anything runs. Each step goes to the least busy model
that is able; steps that need nothing from each other run side by side. What a step has read goes with its
result, so that a step behind it is as careful as the one that read it. Whatever is dangerous waits for
people exactly as in a conversation. A run is a row: it can be watched and cancelled, and one that was cut
off by the end of the process says so and is not repeated.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
import logging
from typing import Annotated, Any, Final, Literal

import msgspec
from sqlalchemy import Connection, insert, select, update

from brain_server.bus import Bus, Event
from brain_server.capabilities import UPDATED
from brain_server.commands import Caller, Page, Params, Scope, as_page, command
from brain_server.conversation import words
from brain_server.conversation.mind import Mind
from brain_server.conversation.prompt import build
from brain_server.conversation.search import messages as search_messages
from brain_server.conversation.tools import Effect, Offered, Ran, Reading
from brain_server.conversation.trust import Trust, quoted, visible
from brain_server.errors import Conflict, KittyError, NotFound, ProviderError
from brain_server.observability import Tasks
from brain_server.protocol import Json
from brain_server.providers import Author, Message, ModelRequest, Tool, Use, Words
from brain_server.routing import Reply, Spent, Turn
from brain_server.routing.ask import About, Asker, Bill
from brain_server.routing.models import Model, Models
from brain_server.routing.privacy import Kind, Piece
from brain_server.shape import misfit
from brain_server.storage import Database, page_of
from brain_server.storage.tables import new_id, runs

_LOGGER = logging.getLogger(__name__)

MOST_STEPS: Final = 8
BACKGROUND: Final = 10
# A run that is over so soon is answered in the same turn.
AT_ONCE: Final = 15.0
LONGEST_RUN: Final = 4 * 3600.0
OVER: Final = frozenset({"completed", "failed", "cancelled"})
USES: Final = {"tools": Use.TOOLS, "reasoning": Use.REASONING, "code": Use.CODE}
PLAN: Final = """\
Take the request apart into at most 8 steps, each of which one assistant can do with its tools. A step names \
in "needs" the ids of the steps whose results it must have, and nothing else. "kind" says what it takes: \
"tools" to read or do something, "wait" to wait until a device is in a state, "search" to look something up, \
"code" to write code, "reasoning" for everything else. A request that is only one step has one step.\
"""
PLAN_SHAPE: Final[Json] = {
    "type": "object",
    "properties": {
        "steps": {
            "type": "array",
            "minItems": 1,
            "maxItems": MOST_STEPS,
            "items": {
                "type": "object",
                "properties": {
                    "id": {"type": "string", "maxLength": 16},
                    "goal": {"type": "string", "maxLength": 300},
                    "kind": {"enum": ["tools", "wait", "search", "code", "reasoning"]},
                    "needs": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["id", "goal", "kind", "needs"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["steps"],
    "additionalProperties": False,
}
WAIT_TOOL: Final = Tool(
    name="wait_until",
    description="Wait until a device of the workshop is in a state.",
    parameters={
        "type": "object",
        "properties": {
            "device_id": {"type": "string"},
            "condition": {"enum": ["cool", "idle", "printing", "online", "on", "off", "locked"]},
            "minutes": {"type": "number", "minimum": 0, "maximum": 240},
        },
        "required": ["device_id", "condition", "minutes"],
        "additionalProperties": False,
    },
    read_only=True,
)

type Wait = Callable[[str, str, float], Awaitable[bool]]


@dataclass(slots=True, kw_only=True)
class Step:
    """One step of a run; ``foreign`` tells that its result holds words from outside."""

    id: str
    goal: str
    kind: Literal["tools", "wait", "search", "code", "reasoning"]
    needs: list[str]
    status: str = "pending"
    worker: str | None = None
    result: str = ""
    foreign: bool = False


@dataclass(slots=True, kw_only=True)
class Run:
    """A run at work."""

    id: str
    turn: Turn
    steps: list[Step]
    status: str = "running"
    cost: float = 0.0
    result: str = ""
    task: asyncio.Task[None] | None = None
    begun: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, step: Step, status: str) -> None:
        """Note where a step is, and with it the run, unless that is over by now."""
        step.status = status
        if self.status not in OVER:
            self.status = status

    def view(self) -> Json:
        """Return the run as clients see it."""
        return {
            "id": self.id,
            "conversation_id": self.turn.conversation_id,
            "goal": self.turn.text,
            "status": self.status,
            "steps": [msgspec.to_builtins(step) for step in self.steps],
            "result": self.result,
            "cost": self.cost,
        }


class RunId(Params):
    """One run."""

    run_id: str


class RunsPage(Page, kw_only=True):
    """A part of the runs."""

    status: Annotated[str, msgspec.Meta(max_length=16)] | None = None


class Agent:
    """Plans, gives out, waits, and tells what came of it."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        tasks: Tasks,
        models: Models,
        asker: Asker,
        mind: Mind,
        *,
        wait: Wait,
        outcome: Callable[[str], Awaitable[str]],
        clock: Callable[[], float],
        devices: Callable[[], list[Json]],
    ) -> None:
        """Take the database of runs, the models, the mind, and how to wait for devices and people."""
        self._db = database
        self._bus = bus
        self._tasks = tasks
        self._models = models
        self._asker = asker
        self._mind = mind
        self._wait = wait
        self._outcome = outcome
        self._clock = clock
        self._devices = devices
        self._running: dict[str, Run] = {}
        bus.listen(UPDATED, self._on_switch)
        # How many steps each model is working on.
        self._load: Counter[str] = Counter()
        # Tells a person who no longer listens how a run has ended; set by the conversations.
        self.tell: Callable[[Turn, Reply], Awaitable[None]] | None = None

    def load(self, provider_id: str) -> int:
        """Return on how many steps a model is working."""
        return self._load[provider_id]

    def _on_switch(self, event: Event) -> None:
        """End every run when conversation is switched off."""
        if event.data["name"] == "conversation" and not event.data["available"]:
            for run in self._running.values():
                self._cancel(run)

    @staticmethod
    def _cancel(run: Run) -> None:
        if run.task is not None and run.status not in OVER:
            run.status = "cancelled"
            # One that has not begun would not even record that it was cancelled: it looks for itself.
            if run.begun:
                run.task.cancel()

    async def recover(self) -> None:
        """Say of the runs of an earlier life that they were cut off; none is repeated."""
        open_ = runs.c.status.in_(("running", "waiting"))
        values = {"status": "failed", "result": words.CUT_OFF, "finished_at": self._clock()}
        await self._db.write(
            lambda connection: connection.execute(update(runs).where(open_).values(values))
        )

    async def answer(self, turn: Turn, model: Model, about: About) -> Reply | None:
        """Plan and begin; None when the request turns out to be one step."""
        bill = Bill()
        steps = await self._plan(turn, model, about, bill)
        if len(steps) < 2:
            return None
        run = Run(id=new_id(), turn=turn, steps=steps, cost=bill.cost)
        await self._insert(run)
        self._running[run.id] = run
        run.task = self._tasks.start(f"run {run.id}", self._carry_out(run))
        listed = words.plan([step.goal for step in steps])
        turn.emit({"text": f"{listed} "})
        late = False
        try:
            async with asyncio.timeout(AT_ONCE):
                await run.ended.wait()
        except TimeoutError:
            late = True
            # Whoever asked has been answered; what comes now is told later.
            self._tasks.start(f"told {run.id}", self._told_later(run))
        ended = words.UNDER_WAY if late else run.result
        if not late:
            turn.emit({"text": ended})
        return Reply(
            text=f"{listed} {ended}",
            confidence=1.0 if late or run.status == "completed" else 0.5,
            reason=f"agent:{'running' if late else run.status}",
            cost=run.cost,
            spent=Spent(provider_id=model.row.id, model=bill.model),
            outside=any(step.foreign for step in steps),
            data={"run": run.view()},
        )

    # -- commands -------------------------------------------------------------------------------------

    @command("runs.list", Scope.READ, read_only=True, tool="List what was done in several steps.")
    async def listed(self, caller: Caller, params: RunsPage) -> Json:
        """List the caller's runs, oldest first; who is nobody has those of nobody, an administrator's program all."""
        query = page_of(select(runs), runs.c.id, params)
        if caller.user_id is not None or caller.scope is not Scope.ADMIN:
            query = query.where(runs.c.requested_by == caller.user_id)
        if params.status is not None:
            query = query.where(runs.c.status == params.status)
        rows = await self._db.read(
            lambda connection: [dict(row) for row in connection.execute(query).mappings()]
        )
        return as_page(rows, params)

    @command("runs.cancel", Scope.CONTROL)
    async def cancel(self, caller: Caller, params: RunId) -> Json:
        """Cancel a run: nothing more of it begins; what devices already do goes on."""
        run = self._running.get(params.run_id)
        if run is None or run.turn.caller.user_id != caller.user_id:
            raise NotFound("run_not_found", "There is no such run")
        if run.task is None or run.status in OVER:
            raise Conflict("run_over", "It is over")
        self._cancel(run)
        await run.ended.wait()
        return run.view()

    # -- planning -------------------------------------------------------------------------------------

    async def _plan(self, turn: Turn, model: Model, about: About, bill: Bill) -> list[Step]:
        """Return the steps, checked; ProviderError ``provider_invalid`` for a plan that cannot be."""
        prompt = build(
            said=turn.text,
            moment=words.moment(turn.second_of_day, turn.today),
            devices=self._devices(),
            history=(),
            memories=(),
        )
        messages = (*prompt.messages[:1], Message(author=Author.SYSTEM, text=PLAN))
        request = ModelRequest(
            messages=(*messages, *prompt.messages[1:]), schema=PLAN_SHAPE, priority=turn.priority
        )
        text = ""
        async with aclosing(self._asker.stream(model, request, about, bill)) as parts:
            async for part in parts:
                text += part.text if isinstance(part, Words) else ""
        try:
            plan = msgspec.json.decode(text)
        except msgspec.DecodeError as err:
            raise ProviderError("provider_invalid", "The plan is no JSON") from err
        if wrong := misfit(plan, PLAN_SHAPE):
            raise ProviderError("provider_invalid", "The plan has another shape", reason=wrong)
        steps = [Step(**{**one, "goal": visible(one["goal"], 300)}) for one in plan["steps"]]
        if not _is_order(steps):
            raise ProviderError("provider_invalid", "The steps of the plan need each other")
        return steps

    # -- doing ----------------------------------------------------------------------------------------

    async def _carry_out(self, run: Run) -> None:
        """Do every step whose needs are done, side by side, until none is left."""
        run.begun = True
        try:
            if run.status not in OVER:
                async with asyncio.timeout(LONGEST_RUN):
                    await self._all_steps(run)
                failed = [step for step in run.steps if step.status != "completed"]
                run.status = "failed" if failed else "completed"
        except TimeoutError:
            run.status = "failed"
        except KittyError as err:
            _LOGGER.warning("Run %s cannot be recorded: %s", run.id, err.message)
            run.status = "failed"
        except asyncio.CancelledError:
            # By its person, or by the end of the process: the row says which.
            if run.status != "cancelled":
                raise
        finally:
            for step in run.steps:
                if step.status in ("running", "waiting", "pending"):
                    step.status = "cancelled"
        run.result = words.run_over(
            run.status, [(one.goal, one.status, one.result) for one in run.steps]
        )
        try:
            await self._update(run)
        finally:
            # Whoever waits for it hears of its end, also where that cannot be recorded.
            run.ended.set()
            self._running.pop(run.id, None)

    async def _all_steps(self, run: Run) -> None:
        done: dict[str, Step] = {}
        waiting = list(run.steps)
        under_way: dict[asyncio.Task[None], Step] = {}
        try:
            while waiting or under_way:
                ready = [step for step in waiting if all(need in done for need in step.needs)]
                for step in ready:
                    waiting.remove(step)
                    if all(done[need].status == "completed" for need in step.needs):
                        task = self._tasks.start(f"step {run.id}", self._step(run, step, done))
                        under_way[task] = step
                    else:
                        step.status, step.result = "failed", words.STEP_BEFORE_FAILED
                        done[step.id] = step
                if not under_way:
                    continue
                over, _ = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                for task in over:
                    step = under_way.pop(task)
                    done[step.id] = step
                await self._update(run)
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _step(self, run: Run, step: Step, done: dict[str, Step]) -> None:
        step.status = "running"
        await self._update(run)
        model = self._worker(step)
        if model is None:
            step.status, step.result = "failed", words.NO_WORKER
            return
        step.worker = model.row.name
        self._load[model.row.id] += 1
        try:
            reply = await self._worked(run, step, model, [done[need] for need in step.needs])
        except KittyError as err:
            step.status, step.result = "failed", words.no_answer([err])
        else:
            step.status = "completed" if reply.certain else "failed"
            step.result, step.foreign = reply.text, reply.outside
            run.cost += reply.cost
        finally:
            self._load[model.row.id] -= 1

    def _worker(self, step: Step) -> Model | None:
        """Return the least busy model that can do a step; near before far where they are even."""
        uses = [USES.get(step.kind, Use.TOOLS), Use.TOOLS, Use.REASONING]
        for use in uses:
            able = [one for one in self._models.of_use(use) if one.breaker.is_ready]
            if able:
                return min(able, key=lambda one: self._load[one.row.id])
        return None

    async def _worked(self, run: Run, step: Step, model: Model, before: Sequence[Step]) -> Reply:
        turn = run.turn
        part = Turn(
            text=step.goal,
            language=turn.language,
            conversation_id=turn.conversation_id,
            request_id=turn.request_id,
            caller=turn.caller,
            area_id=turn.area_id,
            second_of_day=turn.second_of_day,
            today=turn.today,
            state={},
            emit=lambda _said: None,
            priority=BACKGROUND,
        )
        foreign = any(one.foreign for one in before)
        asked = await self._mind.prepared(part, model)
        asked.reading = Reading(
            # What the person asked for is the whole request, not what a model made of it.
            said=turn.text,
            trust=Trust.OUTSIDE if foreign else Trust.PERSON,
        )
        asked.messages = [
            Message(author=Author.SYSTEM, text=asked.messages[0].text),
            *(_result_of(one) for one in before),
            Message(author=Author.USER, text=_task(turn.text, step.goal)),
        ]
        told = (Piece(kind=Kind.MESSAGES, area_id=part.area_id, text=one.result) for one in before)
        whole = Piece(kind=Kind.PROMPT, area_id=part.area_id, text=turn.text)
        asked.about = replace(asked.about, pieces=(*asked.about.pieces, whole, *told))
        if step.kind == "search":
            found = await self._mind.search(step.goal, turn.conversation_id)
            asked.messages = list(search_messages(step.goal, found))
            asked.reading.take(Trust.OUTSIDE)
            asked.offered = {}
        else:
            asked.offered = {**asked.offered, WAIT_TOOL.name: self._waiter()}
        reply = await self._mind.work(part, asked)
        while (chain := part.state.pop("chain", None)) is not None:
            if chain.get("command_id") is None:
                return Reply(text=reply.text, confidence=0.0, reason="needs_person", certain=False)
            run.note(step, "waiting")
            await self._update(run)
            outcome = await self._outcome(chain["command_id"])
            run.note(step, "running")
            more = await self._mind.resume(part, chain, outcome)
            if more is None:
                return Reply(text=outcome, confidence=1.0, reason="answered")
            reply = more.reply
        return reply

    def _waiter(self) -> Offered:
        async def run(arguments: Json) -> Ran:
            if wrong := misfit(arguments, WAIT_TOOL.parameters):
                return Ran(text=wrong, error=True)
            came = await self._wait(
                arguments["device_id"], arguments["condition"], float(arguments["minutes"]) * 60
            )
            return Ran(text="It is." if came else "It did not come to that.", error=not came)

        return Offered(tool=WAIT_TOOL, effect=Effect.READ, run=run)

    # -- telling --------------------------------------------------------------------------------------

    async def _told_later(self, run: Run) -> None:
        await run.ended.wait()
        if self.tell is not None:
            foreign = any(step.foreign for step in run.steps)
            await self.tell(
                run.turn,
                Reply(
                    text=run.result,
                    confidence=1.0,
                    reason=f"agent:{run.status}",
                    outside=foreign,
                ),
            )

    async def _insert(self, run: Run) -> None:
        values: dict[str, Any] = {
            "id": run.id,
            "conversation_id": run.turn.conversation_id,
            "request_id": run.turn.request_id,
            "goal": run.turn.text,
            "status": run.status,
            "steps": [msgspec.to_builtins(step) for step in run.steps],
            "requested_by": run.turn.caller.user_id,
            "created_at": self._clock(),
        }

        def work(connection: Connection) -> None:
            connection.execute(insert(runs).values(values))

        await self._db.write(work)

    async def _update(self, run: Run) -> None:
        over = run.status in OVER
        values: dict[str, Any] = {
            "status": run.status,
            "steps": [msgspec.to_builtins(step) for step in run.steps],
            "result": run.result or None,
            "finished_at": self._clock() if over else None,
        }
        same = runs.c.id == run.id
        await self._db.write(
            lambda connection: connection.execute(update(runs).where(same).values(values))
        )
        self._bus.publish("run.updated", run.view())


def _is_order(steps: Sequence[Step]) -> bool:
    """Tell whether the steps can be done one after the other: known needs, no circle, no two alike."""
    left = {step.id: set(step.needs) for step in steps}
    if len(left) != len(steps):
        return False
    while left:
        free = {name for name, needs in left.items() if not needs}
        if not free:
            return False
        left = {name: needs - free for name, needs in left.items() if name not in free}
    return True


def _result_of(step: Step) -> Message:
    text = quoted(step.result, "a step before") if step.foreign else visible(step.result, 4_000)
    return Message(author=Author.USER, text=f"Result of “{step.goal}”:\n{text}")


def _task(whole: str, goal: str) -> str:
    return (
        f"The whole request: {visible(whole, 2_000)}\nDo this step of it now, and only this: {goal}"
    )
