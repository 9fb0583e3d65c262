"""Projects: what is done for a goal that people agreed to, as tasks in an order, each done once.

A goal has one project, by its row. A task is *pending* until what it needs is completed, is then a piece of work,
*waits* while people, a device or a research are needed, and ends. All that happens to it is one transaction
with what follows from it: the next tasks are given out, or the project is over.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from sqlalchemy import Connection, and_, insert, select, update

from brain_server.autonomy import goals as of_goals
from brain_server.autonomy.goals import MICRO, Id
from brain_server.autonomy.plan import Plan
from brain_server.autonomy.purse import OPEN, ProjectPurse, give_back, share_of, take
from brain_server.bus import Bus
from brain_server.commands import Caller, Page, Params, Scope, as_page, command
from brain_server.conversation.trust import visible
from brain_server.errors import Conflict, NotFound
from brain_server.observability import Tasks
from brain_server.protocol import Json
from brain_server.schedule import put
from brain_server.storage import Database
from brain_server.storage.tables import goals, new_id, project_tasks, projects, work

LONGEST_RESULT: Final = 8_000
MOST_ACTIVE_SHOWN: Final = 100

type Write = Callable[[Callable[[Connection], Any]], Awaitable[Any]]
type Status = Literal["active", "completed", "failed", "cancelled"]
type TaskStatus = Literal["pending", "running", "waiting", "completed", "failed", "cancelled"]


class ProjectsPage(Page):
    """A part of the projects, of one status."""

    status: Status | None = None


class ProjectId(Params):
    """One project."""

    project_id: Id


class TasksPage(Page, kw_only=True):
    """A part of the tasks: of one project, of one status."""

    project_id: Id | None = None
    status: TaskStatus | None = None


@dataclass(slots=True)
class Touched:
    """What a transaction has changed, so that it is told when it is committed: ids."""

    tasks: set[str] = field(default_factory=set)
    projects: set[str] = field(default_factory=set)
    goals: set[str] = field(default_factory=set)


class Projects:
    """Keeps projects and their tasks."""

    def __init__(
        self, database: Database, bus: Bus, tasks: Tasks, clock: Callable[[], float]
    ) -> None:
        """Take the database, the bus, the task keeper and a clock of POSIX seconds."""
        self._db = database
        self._bus = bus
        self._tasks = tasks
        self._clock = clock
        # Stops the work of a task, and the research that it waits for; set where these are.
        self.stop: Callable[[Json], Awaitable[None]] = _nothing_to_stop

    def purse(self, project: Json) -> ProjectPurse:
        """Return what may be spent on a project."""
        return ProjectPurse(self._db, project["id"], round(project["budget"] * MICRO))

    # -- making ---------------------------------------------------------------------------------------

    async def to_plan(self) -> list[Json]:
        """Return the goals that people agreed to and that have no tasks yet, oldest first."""
        planned = select(project_tasks.c.project_id).distinct()
        query = (
            select(goals)
            .outerjoin(projects, projects.c.goal_id == goals.c.id)
            .where(
                (goals.c.status == "approved")
                | and_(projects.c.status == "active", projects.c.id.not_in(planned))
            )
            .order_by(goals.c.id)
        )
        return await self._db.read(
            lambda connection: [
                of_goals.view(dict(row)) for row in connection.execute(query).mappings()
            ]
        )

    async def claim(self, write: Write, goal_id: str) -> Json | None:
        """Make the project of a goal, or take up the one that was left without tasks; None when it is over."""
        now = self._clock()

        def work_(connection: Connection, touched: Touched) -> Json | None:
            if of_goals.move(connection, goal_id, "approved", "active"):
                goal = of_goals.row_of(connection, goal_id)
                connection.execute(
                    insert(projects).values(
                        id=new_id(),
                        goal_id=goal_id,
                        title=goal["title"],
                        status="active",
                        budget_micro=round(goal["budget"] * MICRO),
                        created_at=now,
                    )
                )
            this = (projects.c.goal_id == goal_id, projects.c.status == "active")
            found = _projects(connection, *this)
            if not found or found[0]["tasks"]:
                return None
            touched.projects.add(found[0]["id"])
            touched.goals.add(goal_id)
            return found[0]

        return await self.change(work_, write)

    async def fill(self, write: Write, project_id: str, plan: Plan) -> Json | None:
        """Give a project its tasks and begin with those that need nothing; None when it has some already."""
        now = self._clock()

        def work_(connection: Connection, touched: Touched) -> bool:
            if _active(connection, project_id) is None or _tasks_of(connection, project_id):
                return False
            rows = [
                {
                    "id": new_id(),
                    "project_id": project_id,
                    "position": at,
                    "title": one.title,
                    "kind": one.kind,
                    "needs": list(one.needs),
                    "details": one.details,
                    "status": "pending",
                    "created_at": now,
                }
                for at, one in enumerate(plan.tasks)
            ]
            connection.execute(insert(project_tasks), rows)
            touched.tasks |= {str(row["id"]) for row in rows}
            self._go_on(connection, project_id, touched)
            return True

        made = await self.change(work_, write)
        return await self.find(project_id) if made else None

    # -- going on -------------------------------------------------------------------------------------

    async def change[T](
        self, do: Callable[[Connection, Touched], T], write: Write | None = None
    ) -> T:
        """Do something in a transaction, and tell of what it changed, as it was then."""

        def work_(connection: Connection) -> tuple[T, list[tuple[str, Json]]]:
            touched = Touched()
            return do(connection, touched), _news(connection, touched)

        async def tell() -> T:
            done: T
            done, news = await (write or self._db.write)(work_)
            for topic, row in news:
                self._bus.publish(topic, row)
            return done

        # To its end, though whoever asked goes away: what is stored is told.
        return await asyncio.shield(tell())

    async def begin(self, write: Write, task_id: str) -> Json | None:
        """Take up a task as the work that it is; None when there is nothing left to do."""
        now = self._clock()

        def work_(connection: Connection, touched: Touched) -> Json | None:
            task, project = _with_project(connection, task_id)
            if project is None or task["status"] not in {"pending", "running"}:
                return None
            set_task(
                connection,
                touched,
                task_id,
                status="running",
                started_at=task["started_at"] or now,
            )
            return task | {"project": project, "before": _needed(connection, task)}

        return await self.change(work_, write)

    def wait(self, connection: Connection, touched: Touched, task: Json, **details: Any) -> bool:
        """Let a task wait, and keep what it waits for; False when it is over, and stays so."""
        found, project = _with_project(connection, task["id"])
        if project is None or found["status"] not in OPEN:
            return False
        kept = found["details"] | details
        set_task(connection, touched, task["id"], status="waiting", details=kept)
        return True

    def hand_to(
        self, connection: Connection, touched: Touched, task_id: str, person: str | None
    ) -> bool:
        """Let one person alone answer a task that waits, None: anybody again; False where another one does."""
        found, project = _with_project(connection, task_id)
        details = found["details"]
        waits = project is not None and found["status"] == "waiting" and "command_id" not in details
        if not waits or (person is not None and details.get("asked_by") not in {None, person}):
            return False
        set_task(connection, touched, task_id, details=details | {"asked_by": person})
        return True

    def set_aside(self, connection: Connection, touched: Touched, task: Json, **more: Any) -> Json:
        """Set the share of a task aside for it, note that with the task, and return what was noted."""
        found, project = _with_project(connection, task["id"])
        share = 0 if project is None else share_of(connection, found)
        take(connection, task["project_id"], share)
        noted = {"set_aside": share, **more}
        set_task(connection, touched, task["id"], details=found["details"] | noted)
        touched.projects.add(task["project_id"])
        return noted

    def end(
        self,
        connection: Connection,
        touched: Touched,
        task_id: str,
        status: str,
        *,
        result: str | None = None,
        error: str | None = None,
        **details: Any,
    ) -> bool:
        """End a task with what came of it, and do what follows; False when it had ended before."""
        task, project = _with_project(connection, task_id)
        if project is None or task["status"] not in OPEN:
            return False
        set_task(
            connection,
            touched,
            task_id,
            status=status,
            result=None if result is None else visible(result, LONGEST_RESULT),
            error=error and error[:64],
            details=task["details"] | details,
            finished_at=self._clock(),
        )
        touched.projects.add(task["project_id"])
        self._go_on(connection, task["project_id"], touched)
        return True

    def settle(self, connection: Connection, touched: Touched, task_id: str, cost: int) -> None:
        """End what a task set aside with what it cost, once, also when its project is over."""
        task = task_of(connection, task_id)
        details = task["details"]
        if "settled" in details:
            return
        # What was asked before by somebody else is paid by them.
        cost = 0 if details.get("borrowed") else cost
        give_back(connection, task["project_id"], details["set_aside"], cost)
        set_task(connection, touched, task_id, details=details | {"settled": cost})
        touched.projects.add(task["project_id"])

    async def give_out(self, write: Write) -> int:
        """Make work of every task that is ready; returns how many there were."""

        def work_(connection: Connection, touched: Touched) -> int:
            left = (
                select(project_tasks.c.project_id)
                .where(project_tasks.c.status == "pending", project_tasks.c.work_id.is_(None))
                .distinct()
            )
            for project_id in connection.execute(left).scalars().all():
                if _active(connection, project_id) is not None:
                    self._go_on(connection, project_id, touched)
            return len(touched.tasks)

        return await self.change(work_, write)

    def _go_on(self, connection: Connection, project_id: str, touched: Touched) -> None:
        """Give out what is ready, give up what never will be, and end a project of which nothing is left."""
        now, before = self._clock(), len(touched.tasks)
        all_ = _tasks_of(connection, project_id)
        status = {task["position"]: task["status"] for task in all_}
        priority = _priority(connection, project_id)
        for task in all_:
            if task["status"] != "pending" or task["work_id"] is not None:
                continue
            needed = {status[need] for need in task["needs"]}
            if needed & {"failed", "cancelled"}:
                status[task["position"]] = "cancelled"
                set_task(connection, touched, task["id"], status="cancelled", finished_at=now)
            elif needed <= {"completed"}:
                _give_out(connection, touched, task, priority, now)
        if not set(status.values()) & set(OPEN):
            is_good = set(status.values()) == {"completed"}
            _end_project(connection, project_id, "completed" if is_good else "failed", now)
        if len(touched.tasks) > before:
            touched.projects.add(project_id)

    # -- showing --------------------------------------------------------------------------------------

    async def active(self) -> list[Json]:
        """Return the projects that go on, with their tasks, for a new subscriber."""
        found = await self._db.read(
            lambda connection: _projects(connection, projects.c.status == "active")
        )
        return found[-MOST_ACTIVE_SHOWN:]

    async def find(self, project_id: str) -> Json:
        """Return a project with its tasks; NotFound ``project_not_found``."""
        found = await self._db.read(
            lambda connection: _projects(connection, projects.c.id == project_id)
        )
        if not found:
            raise NotFound("project_not_found", "There is no such project")
        return found[0]

    # -- commands -------------------------------------------------------------------------------------

    @command(
        "projects.list",
        Scope.READ,
        read_only=True,
        tool="List what is being done to make the workshop better, with its tasks.",
    )
    async def listed(self, _caller: Caller, params: ProjectsPage) -> Json:
        """List projects with their tasks, oldest first."""
        where = [projects.c.id > (params.cursor or "")]
        if params.status is not None:
            where.append(projects.c.status == params.status)
        rows = await self._db.read(
            lambda connection: _projects(connection, *where, limit=params.limit + 1)
        )
        return as_page(rows, params)

    @command("projects.get", Scope.READ, read_only=True)
    async def get(self, _caller: Caller, params: ProjectId) -> Json:
        """Return a project with its tasks; NotFound ``project_not_found``."""
        return await self.find(params.project_id)

    @command("projects.cancel", Scope.CONTROL)
    async def cancel(self, _caller: Caller, params: ProjectId) -> Json:
        """Cancel a project: nothing more of it begins. Conflict ``project_over``."""
        now = self._clock()

        def work_(connection: Connection, touched: Touched) -> list[Json]:
            row = _active(connection, params.project_id)
            if row is None:
                raise Conflict("project_over", "This project is over")
            open_ = [
                task for task in _tasks_of(connection, params.project_id) if task["status"] in OPEN
            ]
            for task in open_:
                set_task(connection, touched, task["id"], status="cancelled", finished_at=now)
            _end_project(connection, params.project_id, "cancelled", now)
            touched.projects.add(params.project_id)
            return open_

        async def cancel() -> None:
            for task in await self.change(work_):
                await self.stop(task)

        await self.find(params.project_id)
        # To its end, though the caller goes away: it is cancelled once, and its tasks would go on.
        await self._tasks.see_through(f"cancel project {params.project_id}", cancel())
        return await self.find(params.project_id)

    @command("tasks.list", Scope.READ, read_only=True)
    async def listed_tasks(self, _caller: Caller, params: TasksPage) -> Json:
        """List tasks, oldest first, with how often each was tried."""
        where = [project_tasks.c.id > (params.cursor or "")]
        if params.project_id is not None:
            where.append(project_tasks.c.project_id == params.project_id)
        if params.status is not None:
            where.append(project_tasks.c.status == params.status)
        rows = await self._db.read(
            lambda connection: tasks(connection, *where, limit=params.limit + 1)
        )
        return as_page(rows, params)


async def _nothing_to_stop(_task: Json) -> None:
    """Stand for a project whose tasks are nobody's work."""


# -- rows, in the caller's transaction ----------------------------------------------------------------


def task_of(connection: Connection, task_id: str) -> Json:
    """Return a task; NotFound ``task_not_found``."""
    found = tasks(connection, project_tasks.c.id == task_id)
    if not found:
        raise NotFound("task_not_found", "There is no such task")
    return found[0]


def tasks(connection: Connection, *where: Any, limit: int | None = None) -> list[Json]:
    """Return tasks as clients see them, in the order in which they were made."""
    query = (
        select(project_tasks, work.c.tries)
        .outerjoin(work, work.c.id == project_tasks.c.work_id)
        .where(*where)
        .order_by(project_tasks.c.id)
        .limit(limit)
    )
    return [
        dict(row) | {"tries": row["tries"] or 0} for row in connection.execute(query).mappings()
    ]


def _news(connection: Connection, touched: Touched) -> list[tuple[str, Json]]:
    """Return what is told of a transaction: a topic with a row."""
    changed = _projects(connection, projects.c.id.in_(touched.projects))
    over = {project["goal_id"] for project in changed if project["status"] != "active"}
    return [
        *(
            ("task.updated", task)
            for task in tasks(connection, project_tasks.c.id.in_(touched.tasks))
        ),
        *(("project.updated", project) for project in changed),
        *(
            ("goal.updated", of_goals.row_of(connection, goal_id))
            for goal_id in sorted(touched.goals | over)
        ),
    ]


def set_task(connection: Connection, touched: Touched, task_id: str, **values: Any) -> None:
    """Change a task."""
    connection.execute(update(project_tasks).where(project_tasks.c.id == task_id).values(values))
    touched.tasks.add(task_id)


def _projects(connection: Connection, *where: Any, limit: int | None = None) -> list[Json]:
    query = select(projects).where(*where).order_by(projects.c.id).limit(limit)
    rows = connection.execute(query).mappings().all()
    of_these = tasks(connection, project_tasks.c.project_id.in_([row["id"] for row in rows]))
    return [_project(dict(row), of_these) for row in rows]


def _project(row: Json, of_these: Sequence[Json]) -> Json:
    hidden: Collection[str] = {"budget_micro", "spent_micro"}
    mine = [task for task in of_these if task["project_id"] == row["id"]]
    return {name: value for name, value in row.items() if name not in hidden} | {
        "budget": row["budget_micro"] / MICRO,
        "spent": row["spent_micro"] / MICRO,
        "tasks": sorted(mine, key=lambda task: task["position"]),
    }


def _active(connection: Connection, project_id: str) -> Json | None:
    """Return a project that goes on."""
    this = (projects.c.id == project_id, projects.c.status == "active")
    row = connection.execute(select(projects).where(*this)).mappings().first()
    return None if row is None else _project(dict(row), [])


def _with_project(connection: Connection, task_id: str) -> tuple[Json, Json | None]:
    """Return a task, and its project if that goes on."""
    task = task_of(connection, task_id)
    return task, _active(connection, task["project_id"])


def _tasks_of(connection: Connection, project_id: str) -> list[Json]:
    found = tasks(connection, project_tasks.c.project_id == project_id)
    return sorted(found, key=lambda task: task["position"])


def _needed(connection: Connection, task: Json) -> list[Json]:
    """Return the tasks whose results a task must have."""
    return [
        one for one in _tasks_of(connection, task["project_id"]) if one["position"] in task["needs"]
    ]


def _priority(connection: Connection, project_id: str) -> int:
    query = select(goals.c.priority).join(projects).where(projects.c.id == project_id)
    return int(connection.execute(query).scalar_one())


def _give_out(
    connection: Connection, touched: Touched, task: Json, priority: int, now: float
) -> None:
    payload = {"task_id": task["id"]}
    key = f"task:{task['id']}"
    made = put(connection, now, f"task.{task['kind']}", payload, key=key, priority=priority)
    set_task(connection, touched, task["id"], work_id=made)


def _end_project(connection: Connection, project_id: str, status: str, now: float) -> None:
    """End a project that goes on, and its goal with it."""
    query = update(projects).where(projects.c.id == project_id)
    connection.execute(query.values(status=status, finished_at=now))
    of_it = select(projects.c.goal_id).where(projects.c.id == project_id)
    goal_id = connection.execute(of_it).scalar_one()
    after = "completed" if status == "completed" else "failed"
    of_goals.move(connection, goal_id, "active", after, completed_at=now)
