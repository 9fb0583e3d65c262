"""Goals: what could be better, said by people or found by rules; nothing is done for one before a person agrees.

A goal is *identified*, then *approved* or *rejected* by a person; approved, it is *active* while its project
goes on, then *completed* or *failed*. Its key makes it this idea and no other, however often it is found.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
import hashlib
from typing import Annotated, Any, Final, Literal

import msgspec
from sqlalchemy import Connection, and_, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from brain_server.autonomy.metrics import METRICS
from brain_server.bus import Bus
from brain_server.commands import Caller, Page, Params, Scope, as_page, command
from brain_server.conversation.trust import visible
from brain_server.errors import Conflict, Forbidden, InvalidRequest, NotFound
from brain_server.protocol import DIRECT_CHANNELS, Json
from brain_server.safety.gate import Gate
from brain_server.safety.policy import Refusal
from brain_server.safety.records import as_person
from brain_server.safety.step import Step
from brain_server.schedule import put
from brain_server.storage import Database, page_of
from brain_server.storage.tables import goals, new_id, outcomes, users

MICRO: Final = 1_000_000
CAPABILITY: Final = "autonomy"
# The kind of work that makes projects of what was agreed to.
GENERATION: Final = "project_generation_cycle"
PERSON: Final = "person"
OPEN: Final = ("identified", "approved", "active")
OVER: Final = ("rejected", "completed", "failed")
# So many ideas of the house wait for people at most; a longer list is not read.
MOST_WAITING: Final = 10
# And so many come in one week: a little less, because the next may begin a few seconds earlier than this one.
MOST_NEW: Final = 5
WEEK: Final = 6.5 * 86_400.0
# And so many of people's own.
MOST_SAID: Final = 100
# An idea that people have decided about, or that was carried out, does not come back sooner.
REST: Final = 180 * 86_400.0
MOST_OPEN_SHOWN: Final = 200
_TITLE: Final = 200
_REASON: Final = 2_000

type Id = Annotated[str, msgspec.Meta(max_length=32)]
type Status = Literal["identified", "approved", "rejected", "active", "completed", "failed"]
type Metric = Annotated[str, msgspec.Meta(max_length=64)]
type Money = Annotated[float, msgspec.Meta(ge=0, le=1_000_000)]
type Baseline = Callable[[Json], Awaitable[Json | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Idea:
    """Something that could be better, found by a rule."""

    key: str
    title: str
    reason: str
    origin: str
    about: Json = field(default_factory=dict)
    metric: str | None = None
    priority: int = 5


class GoalsPage(Page):
    """A part of the goals, of one status."""

    status: Status | None = None


class AddGoal(Params):
    """What a person would like to be better; ``metric`` is what tells whether it helped."""

    title: Annotated[str, msgspec.Meta(min_length=3, max_length=_TITLE)]
    reason: Annotated[str, msgspec.Meta(max_length=_REASON)] = ""
    metric: Metric | None = None
    priority: Annotated[int, msgspec.Meta(ge=1, le=10)] = 5
    device_id: Id | None = None
    material: Annotated[str, msgspec.Meta(max_length=32)] | None = None


class DecideGoal(Params):
    """A person's yes or no, and with a yes what may be spent on it: nothing, if nothing is said."""

    goal_id: Id
    approve: bool
    budget: Money = 0.0


class Goals:
    """Keeps the goals, and who decided about them."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        clock: Callable[[], float],
        gate: Gate,
        baseline: Baseline,
    ) -> None:
        """Take the gate that knows people, and what a goal's metric is today (None: it has none)."""
        self._db = database
        self._bus = bus
        self._clock = clock
        self._gate = gate
        self._baseline = baseline
        # One decision after the other: what is audited as decided is what was.
        self._deciding = asyncio.Lock()

    # -- ideas of the house ---------------------------------------------------------------------------

    def propose(self, connection: Connection, ideas: Sequence[Idea]) -> list[str]:
        """Store the ideas that are new, the most important first, as many as there is room for; returns their ids."""
        now = self._clock()
        count = select(func.count()).where(goals.c.origin != PERSON)
        waiting = connection.execute(count.where(goals.c.status == "identified")).scalar_one()
        new = connection.execute(count.where(goals.c.created_at > now - WEEK)).scalar_one()
        room = min(MOST_NEW - new, MOST_WAITING - waiting)
        made: list[str] = []
        for idea in sorted(ideas, key=lambda idea: (-idea.priority, idea.key)):
            if len(made) < room and _is_new(connection, idea.key, now):
                made.append(_insert(connection, idea, now)["id"])
        return made

    async def tell(self, goal_ids: Sequence[str]) -> list[Json]:
        """Publish goals as they are now, and return them."""
        query = select(goals).where(goals.c.id.in_(goal_ids)).order_by(goals.c.id)
        return self._tell(await self._db.read_in_turn(_rows(query)))

    async def attach(self, goal_id: str, research_id: str) -> None:
        """Say which research belongs to a goal that waits for its decision."""

        def work(connection: Connection) -> list[Json]:
            this = (goals.c.id == goal_id, goals.c.research_id.is_(None))
            connection.execute(update(goals).where(*this).values(research_id=research_id))
            return [row_of(connection, goal_id)]

        await self._kept(work)

    async def open(self) -> list[Json]:
        """Return what is not over, for a new subscriber."""
        query = (
            select(goals)
            .where(goals.c.status.in_(OPEN))
            .order_by(goals.c.id.desc())
            .limit(MOST_OPEN_SHOWN)
        )
        return (await self._db.read(_rows(query)))[::-1]

    # -- commands -------------------------------------------------------------------------------------

    @command(
        "goals.list",
        Scope.READ,
        read_only=True,
        tool="List what could be better in the workshop: ideas that wait for a decision, and what came of others.",
    )
    async def listed(self, _caller: Caller, params: GoalsPage) -> Json:
        """List goals, oldest first."""
        query = page_of(select(goals), goals.c.id, params)
        if params.status is not None:
            query = query.where(goals.c.status == params.status)
        return as_page(await self._db.read(_rows(query)), params)

    @command("goals.add", Scope.CONTROL, capability=CAPABILITY)
    async def add(self, caller: Caller, params: AddGoal) -> Json:
        """Say what could be better; it waits for a decision, as every goal does.

        Raises Conflict ``goal_exists`` or ``goals_full``, InvalidRequest ``unknown_metric``.
        """
        if params.metric is not None and params.metric not in METRICS:
            raise InvalidRequest(
                "unknown_metric",
                f"There is no metric {params.metric}; there are {', '.join(METRICS)}",
                metric=params.metric,
                known=", ".join(METRICS),
            )
        about = {"device_id": params.device_id, "material": params.material}
        idea = Idea(
            key=_key_of(params.title),
            title=params.title,
            reason=params.reason,
            origin=PERSON,
            about={name: value for name, value in about.items() if value is not None},
            metric=params.metric,
            priority=params.priority,
        )
        now = self._clock()

        def work(connection: Connection) -> list[Json]:
            said = (goals.c.status == "identified", goals.c.origin == PERSON)
            if connection.execute(select(func.count()).where(*said)).scalar_one() >= MOST_SAID:
                raise Conflict("goals_full", "Enough goals wait for a decision", most=MOST_SAID)
            # A person may say again what was decided: only what is open is there already.
            if _is_new(connection, idea.key, now, rest=0.0):
                return [_insert(connection, idea, now, created_by=caller.user_id)]
            raise Conflict("goal_exists", "There is such a goal already")

        try:
            made = await self._kept(work)
        except IntegrityError as err:  # somebody said it at the same moment, to another brain
            raise Conflict("goal_exists", "There is such a goal already") from err
        return made[0]

    @command("goals.decide", Scope.CONTROL, capability=CAPABILITY)
    async def decide(self, caller: Caller, params: DecideGoal) -> Json:
        """Agree to a goal, or do not: a person of the workshop does, with their own finger; twice the same is once.

        Raises Forbidden ``person_decides``, ``not_registered`` or ``direct_approval_required``, Conflict
        ``already_decided``.
        """
        if caller.user_id is None:
            raise Forbidden("person_decides", "Only a person can decide this")
        person = caller.user_id
        if caller.channel not in DIRECT_CHANNELS:
            raise Forbidden(
                "direct_approval_required", "Approve this with your own phone or dashboard"
            )
        # To its end, though its time is over: what is audited as decided is what was.
        return await asyncio.shield(self._decided(person, params))

    async def _decided(self, person: str, params: DecideGoal) -> Json:
        async with self._deciding:
            return await self._decide(person, params)

    async def _decide(self, person: str, params: DecideGoal) -> Json:
        goal = await self.get(params.goal_id)
        if _is_decided(goal, person, params):
            return goal
        baseline = await self._baseline(goal) if params.approve else None
        await self._gate.step(lambda step: _audited(step, person, goal, params))
        now = self._clock()
        values: Json = {
            "status": "approved" if params.approve else "rejected",
            "decided_by": person,
            "decided_at": now,
            "budget_micro": round(params.budget * MICRO) if params.approve else 0,
        }

        def work(connection: Connection) -> Json:
            this = (goals.c.id == params.goal_id, goals.c.status == "identified")
            changed = connection.execute(update(goals).where(*this).values(values)).rowcount
            row = row_of(connection, params.goal_id)
            if not changed and _is_decided(row, person, params):
                return row
            if params.approve:
                # What was agreed to need not wait for the hour of the cycle.
                put(
                    connection,
                    now,
                    GENERATION,
                    {},
                    key=f"plan:{row['id']}",
                    priority=row["priority"],
                )
            if baseline is not None:
                # With the decision, so that there is a "before" whatever happens next.
                connection.execute(
                    insert(outcomes).values(
                        goal_id=row["id"],
                        metric=row["metric"],
                        baseline=baseline,
                        started_at=now,
                    )
                )
            return row

        return self._tell([await self._db.write(work)])[0]

    async def get(self, goal_id: str) -> Json:
        """Return a goal; NotFound ``goal_not_found``."""
        return await self._db.read(lambda connection: row_of(connection, goal_id))

    async def _kept(self, work: Callable[[Connection], list[Json]]) -> list[Json]:
        """Change goals and tell of them, to its end, though whoever asked goes away: what is stored is told."""

        async def keep() -> list[Json]:
            return self._tell(await self._db.write(work))

        return await asyncio.shield(keep())

    def _tell(self, rows: list[Json]) -> list[Json]:
        for row in rows:
            self._bus.publish("goal.updated", row)
        return rows


# -- rows, in the caller's transaction ----------------------------------------------------------------


def _rows(query: Any) -> Callable[[Connection], list[Json]]:
    return lambda connection: [view(dict(row)) for row in connection.execute(query).mappings()]


def row_of(connection: Connection, goal_id: str) -> Json:
    """Return a goal as clients see it; NotFound ``goal_not_found``."""
    row = connection.execute(select(goals).where(goals.c.id == goal_id)).mappings().first()
    if row is None:
        raise NotFound("goal_not_found", "There is no such goal")
    return view(dict(row))


def move(connection: Connection, goal_id: str, before: str, after: str, **columns: Any) -> bool:
    """Take a goal from one status to another; False when it was not in that."""
    this = (goals.c.id == goal_id, goals.c.status == before)
    values = {"status": after, **columns}
    return connection.execute(update(goals).where(*this).values(values)).rowcount == 1


def view(row: Json) -> Json:
    """Return a row as clients see it."""
    seen = {name: value for name, value in row.items() if name not in {"key", "budget_micro"}}
    return seen | {"budget": row["budget_micro"] / MICRO}


def _insert(
    connection: Connection, idea: Idea, now: float, *, created_by: str | None = None
) -> Json:
    row: Json = asdict(idea) | {
        "id": new_id(),
        "title": visible(" ".join(idea.title.split()), _TITLE),
        "reason": visible(idea.reason, _REASON),
        "status": "identified",
        "budget_micro": 0,
        "created_by": created_by,
        "created_at": now,
    }
    connection.execute(insert(goals).values(row))
    return row_of(connection, row["id"])


def _holds(connection: Connection, key: str, now: float, rest: float = REST) -> Json | None:
    """Return the goal that keeps an idea from being stored again, if there is one."""
    row = connection.execute(select(goals).where(goals.c.key == key)).mappings().first()
    if row is None:
        return None
    ended = row["completed_at"] or row["decided_at"] or row["created_at"]
    return None if row["status"] in OVER and ended <= now - rest else dict(row)


def _is_new(connection: Connection, key: str, now: float, *, rest: float = REST) -> bool:
    """Tell whether an idea may be stored; what rested long enough makes room for itself."""
    if _holds(connection, key, now, rest) is not None:
        return False
    # Not one that another brain has just made: that one keeps its key, and ours is refused.
    before = and_(goals.c.key == key, goals.c.status.in_(OVER))
    connection.execute(update(goals).where(before).values(key=goals.c.key + "@" + goals.c.id))
    return True


def _key_of(title: str) -> str:
    same = " ".join(title.casefold().split())
    return f"{PERSON}:{hashlib.sha256(same.encode()).hexdigest()[:32]}"


def _is_decided(goal: Json, person: str, params: DecideGoal) -> bool:
    """Tell whether a person has decided just so before; Conflict ``already_decided`` where it was otherwise."""
    if goal["status"] == "identified":
        return False
    approved = goal["status"] != "rejected"
    wanted = round(params.budget * MICRO) if params.approve else 0
    said = (person, params.approve, wanted)
    if (goal["decided_by"], approved, round(goal["budget"] * MICRO)) != said:
        raise Conflict("already_decided", f"This goal is {goal['status']}", status=goal["status"])
    return True


def _audited(step: Step, person: str, goal: Json, params: DecideGoal) -> Refusal | None:
    """Write down who decides what, where that person may; people of any role may."""
    row = step.connection.execute(select(users).where(users.c.id == person)).first()
    known = as_person(row) if row is not None else None
    if known is None or not known.active or not known.roles:
        return Refusal("not_registered", "This person has no role in the workshop")
    step.audit(
        "goal_decided",
        user_id=person,
        data={
            "goal_id": goal["id"],
            "title": goal["title"],
            "approve": params.approve,
            "budget": params.budget,
        },
    )
    return None
