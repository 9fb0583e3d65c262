"""The cycle that makes projects of the goals that people agreed to."""

from collections.abc import Callable
from typing import Final

from brain_server.autonomy.plan import Planner
from brain_server.autonomy.projects import Projects
from brain_server.protocol import Json
from brain_server.schedule import Later, Run

# How long it waits where autonomy was switched off while it ran.
OFF: Final = 60.0


class Generation:
    """Plans every goal that people agreed to, once."""

    def __init__(
        self, projects: Projects, planner: Planner, blocked: Callable[[], str | None]
    ) -> None:
        """Take where projects are kept, who makes plans, and what tells why nothing is done now, or None."""
        self._projects = projects
        self._planner = planner
        self._blocked = blocked

    async def run(self, run: Run) -> Json:
        """Make the projects; one that was left without tasks by a crash is planned anew."""
        made: list[str] = []
        troubles: Json = {}
        for goal in await self._projects.to_plan():
            if self._blocked() is not None:
                raise Later(OFF)
            project = await self._projects.claim(run.write, goal["id"])
            if project is None:
                continue
            plan = await self._planner.plan(goal, self._projects.purse(project))
            if await self._projects.fill(run.write, project["id"], plan) is not None:
                made.append(project["id"])
                if plan.trouble is not None:
                    troubles[project["id"]] = plan.trouble
        return {"projects": made, "without_model": troubles}
