"""Outcomes: whether what was done has helped, told thirty days after it was done, or said to be unknown."""

from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection, Row, select, update

from brain_server.autonomy.metrics import WINDOW, Measures, compare, in_words
from brain_server.bus import Bus
from brain_server.commands import Caller, Page, Scope, as_page, command
from brain_server.notify import put
from brain_server.protocol import Json
from brain_server.schedule import Run
from brain_server.storage import Database, page_of
from brain_server.storage.tables import goals, outcomes

_COLUMNS: Final = (
    outcomes,
    goals.c.title,
    goals.c.status,
    goals.c.about,
    goals.c.completed_at,
)


class OutcomeMeasurement:
    """Measures what was completed long enough ago, once."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        clock: Callable[[], float],
        measures: Measures,
    ) -> None:
        """Take what works figures out."""
        self._db = database
        self._bus = bus
        self._clock = clock
        self._measures = measures

    async def run(self, run: Run) -> Json:
        """Measure every goal that was completed thirty days ago or more and has no result yet."""
        query = (
            select(*_COLUMNS)
            .join(goals, goals.c.id == outcomes.c.goal_id)
            .where(
                goals.c.status == "completed",
                goals.c.completed_at <= self._clock() - WINDOW,
                outcomes.c.measured_at.is_(None),
            )
            .order_by(goals.c.id)
        )
        due = await self._db.read(lambda connection: connection.execute(query).all())
        measured = [row.goal_id for row in due if await self._measure(run, row)]
        return {"measured": measured}

    async def _measure(self, run: Run, row: Row[tuple[object, ...]]) -> bool:
        start = row.completed_at
        result = await self._measures.measure(row.metric, row.about, start, start + WINDOW)
        score, sure = compare(row.metric, row.baseline, result)
        now = self._clock()
        values = {
            "result": result | {"better_probability": sure},
            "score": score,
            "measured_at": now,
        }
        before, after = (in_words(row.metric, one) for one in (row.baseline, result))
        name = row.metric.replace("_", " ")

        def work(connection: Connection) -> Json | None:
            this = (outcomes.c.goal_id == row.goal_id, outcomes.c.measured_at.is_(None))
            if connection.execute(update(outcomes).where(*this).values(values)).rowcount != 1:
                return None
            put(
                connection,
                now,
                key=f"outcome:{row.goal_id}",
                severity="info",
                title=row.title,
                message=f"{_verdict(score)} {name}: {before}, then {after}.",
                data={"goal_id": row.goal_id},
            )
            query = select(*_COLUMNS).join(goals).where(outcomes.c.goal_id == row.goal_id)
            return dict(connection.execute(query).mappings().one())

        measured = await run.write(work)
        if measured is None:
            return False
        self._bus.publish("outcome.updated", measured)
        return True

    @command(
        "outcomes.list",
        Scope.READ,
        read_only=True,
        tool="List whether improvements of the workshop have helped: the figure before and after, with counts.",
    )
    async def listed(self, _caller: Caller, params: Page) -> Json:
        """List goals with what was measured before them, and since: thirty days after they were completed."""
        query = page_of(select(*_COLUMNS).join(goals), outcomes.c.goal_id, params)
        rows = await self._db.read(
            lambda connection: [dict(row) for row in connection.execute(query).mappings()]
        )
        return as_page(rows, params, key="goal_id")


def _verdict(score: float | None) -> str:
    if score is None:
        return "Too little was seen to say whether it helped."
    if score == 0:
        return "It changed nothing."
    return "It is better now." if score > 0 else "It is worse now."
