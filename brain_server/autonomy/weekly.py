"""The weekly cycle: what could be better is proposed to people, some of it looked up within a budget."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from sqlalchemy import Connection, func, select

from brain_server.autonomy import ideas
from brain_server.autonomy.goals import MICRO, PERSON, WEEK, Goals, Idea, row_of
from brain_server.autonomy.ideas import FLEET, HEALTH, LOOKS, Seen
from brain_server.autonomy.metrics import WINDOW, Measures
from brain_server.errors import KittyError
from brain_server.fabrication.outcomes import Outcomes
from brain_server.notify import Action, put
from brain_server.protocol import Json
from brain_server.schedule import Run
from brain_server.storage import Database
from brain_server.storage.tables import goals as goal_rows, new_id, researches

# So many new ideas are looked up in a week, the most important first.
MOST_LOOKED_UP: Final = 2
# A week of looks at the printers, one in four hours.
FLEET_LOOKS: Final = 42

type Advise = Callable[[], Awaitable[Sequence[Json]]]
# Begins to look a question up, for so many millionths, for a person, and under an id: asked again it is the same
# one. Returns its id, or that of the one in which somebody asks this already.
type Research = Callable[[str, int, str | None, str], Awaitable[str]]


class WeeklyCycle:
    """Finds ideas by rules, proposes the new ones, and has some of them looked up."""

    def __init__(
        self,
        database: Database,
        goals: Goals,
        measures: Measures,
        outcomes: Outcomes,
        *,
        advise: Advise,
        name_of: Callable[[str], str | None],
        research: Research | None,
        budget: float,
        clock: Callable[[], float],
    ) -> None:
        """Take where ideas come from, and what may be spent a week on looking things up, in units of the currency."""
        self._db = database
        self._goals = goals
        self._measures = measures
        self._outcomes = outcomes
        self._advise = advise
        self._name_of = name_of
        self._research = research
        self._budget = round(budget * MICRO)
        self._clock = clock

    async def run(self, run: Run) -> Json:
        """Propose what is new; nothing is done for it before a person agrees."""
        found = await self._find()

        def propose(connection: Connection) -> Json:
            made = self._goals.propose(connection, found)
            if made:
                self._told(connection, made)
            return {"goals": made}

        made = (await run.once("propose", propose))["goals"]
        proposed = await self._goals.tell(made)
        could_not = await self._look_up(run, proposed)
        return {"found": len(found), "proposed": made, "could_not": could_not}

    async def _find(self) -> list[Idea]:
        now = self._clock()
        checks, fleet, short = await self._db.read(
            lambda connection: (
                ideas.results(connection, HEALTH, LOOKS),
                ideas.results(connection, FLEET, FLEET_LOOKS),
                ideas.shortages(connection, now),
            )
        )
        seen = Seen(
            advice=await self._advise(),
            outcomes=await self._outcomes.all(),
            shortages=short,
            checks=checks,
            fleet=fleet,
            waste=await self._measures.measure("filament_waste", {}, now - WINDOW, now),
        )
        return ideas.find(seen, self._name_of, now)

    def _told(self, connection: Connection, made: Sequence[str]) -> None:
        """Tell people that something waits for them; where it is one thing, with its buttons."""
        one = row_of(connection, made[0])
        count = len(made)
        put(
            connection,
            self._clock(),
            key=f"goals:{made[0]}",
            severity="info",
            title="What could be better",
            message=f"{one['title']}. {one['reason']}"
            if count == 1
            else f"{count} ideas wait for your decision.",
            data={"goal_ids": list(made)},
            actions=[
                Action(
                    id=name,
                    title=title,
                    command="goals.decide",
                    params={"goal_id": made[0], "approve": name == "approve"},
                )
                for name, title in (("approve", "Do it"), ("reject", "No"))
                if count == 1
            ],
        )

    async def _look_up(self, run: Run, proposed: Sequence[Json]) -> list[Json]:
        """Have the first ideas of which the world may know something looked up; returns what could not be done."""
        wanted = [goal for goal in proposed if goal["about"].get("question")][:MOST_LOOKED_UP]
        if not wanted:
            return []
        if self._research is None:
            return [{"what": "research", "code": "search_not_configured"}]
        research = self._research
        could_not: list[Json] = []

        def shared(connection: Connection) -> Json:
            # Once: no try asks for another one, or for more.
            left = max(0, self._budget - _spent(connection, self._clock() - WEEK))
            ids = {goal["id"]: new_id() for goal in wanted}
            return {"ids": ids, "share": left // len(wanted)}

        given = await run.once("researches", shared)
        share = given["share"]
        for goal in wanted:
            # As it is now: nothing is spent on what somebody has said no to meanwhile.
            if (await self._goals.get(goal["id"]))["status"] == "rejected":
                continue
            question, wanted_id = goal["about"]["question"], given["ids"][goal["id"]]

            async def begin(question: str = question, wanted_id: str = wanted_id) -> Json:
                return {"research_id": await research(question, share, None, wanted_id)}

            try:
                begun = await run.step(f"research {goal['id']}", begin)
            except KittyError as err:
                could_not.append({"what": "research", "goal_id": goal["id"], "code": err.code})
            else:
                await self._goals.attach(goal["id"], begun["research_id"])
        return could_not


def _spent(connection: Connection, since: float) -> int:
    """Return what was given to look up the ideas of the house since a moment, in millionths."""
    query = (
        select(func.coalesce(func.sum(researches.c.budget_micro), 0))
        .join(goal_rows, goal_rows.c.research_id == researches.c.id)
        .where(goal_rows.c.origin != PERSON, researches.c.created_at > since)
    )
    return int(connection.execute(query).scalar_one())
