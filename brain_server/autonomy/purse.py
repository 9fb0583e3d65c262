"""Money of what goes on by itself: what a question costs at most, what is set aside for it, what a project has left.

What is set aside counts as spent until it is settled: a process that dies in between has spent it.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from decimal import ROUND_CEILING, Decimal
from typing import Any, Final, Protocol

from sqlalchemy import Connection, select, update

from brain_server.errors import KittyError
from brain_server.protocol import Json
from brain_server.providers import ModelRequest
from brain_server.routing.ask import tokens_of
from brain_server.routing.models import Model
from brain_server.storage import Database
from brain_server.storage.tables import project_tasks, projects

# The kinds of tasks that spend.
SPENDING: Final = frozenset({"research", "ask"})
OPEN: Final = ("pending", "running", "waiting")


class Purse(Protocol):
    """The money of one research or one project, in millionths."""

    @property
    def budget(self) -> int: ...  # noqa: D102 - the class says what these are

    async def set_aside(self, micro: int) -> bool:
        """Set so much aside; False where the cap does not allow it."""

    async def settle(self, micro: int, cost: int) -> None:
        """End what was set aside with what it cost."""


class ProjectPurse:
    """What may be spent on one project, in its own row."""

    def __init__(self, database: Database, project_id: str, budget: int) -> None:
        """Take the project and its cap, in millionths."""
        self._db = database
        self._id = project_id
        self.budget = budget

    async def set_aside(self, micro: int) -> bool:
        """Set so much aside; False where the cap does not allow it."""
        if micro == 0:
            return True
        return await self._db.write(lambda connection: take(connection, self._id, micro))

    async def settle(self, micro: int, cost: int) -> None:
        """End what was set aside with what it cost."""
        if micro == cost:
            return
        await self._db.write(lambda connection: give_back(connection, self._id, micro, cost))


async def set_aside(purse: Purse, micro: int) -> bool:
    """Set so much aside; who is called off meanwhile asks nobody, and gives it back."""
    taken: list[bool] = []

    async def reach() -> None:
        taken.append(await purse.set_aside(micro))

    try:
        await _to_its_end(reach())
    except asyncio.CancelledError:
        if any(taken):
            with suppress(KittyError):  # then it counts as spent
                await settle(purse, micro, 0)
        raise
    return taken[0]


async def settle(purse: Purse, micro: int, cost: int) -> None:
    """End what was set aside with what it cost; who is called off meanwhile has spent it all the same."""
    await _to_its_end(purse.settle(micro, cost))


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Do something to its end; who is called off meanwhile goes when it is done."""
    done = asyncio.Event()

    async def do() -> None:
        try:
            await work
        finally:
            done.set()

    try:
        await asyncio.shield(do())
    except asyncio.CancelledError:
        await done.wait()
        raise


def most_cost(model: Model, request: ModelRequest) -> int | None:
    """Return what a question can cost at most, in millionths; None where nobody knows."""
    row = model.row
    if row.is_free:
        return 0
    if row.price_in is None or row.price_out is None:
        return None
    # For a token in millionths: the price of a million in whole units.
    cost = tokens_of(request) * Decimal(str(row.price_in))
    cost += request.max_tokens * Decimal(str(row.price_out))
    return int(cost.to_integral_value(ROUND_CEILING))


# -- rows, in the caller's transaction ----------------------------------------------------------------


def take(connection: Connection, project_id: str, micro: int) -> bool:
    """Set something aside of what a project has left; False where that is too little, or where it is over."""
    spent = projects.c.spent_micro + micro
    goes_on = (projects.c.id == project_id, projects.c.status == "active")
    query = update(projects).where(*goes_on, spent <= projects.c.budget_micro)
    return connection.execute(query.values(spent_micro=spent)).rowcount == 1


def give_back(connection: Connection, project_id: str, micro: int, cost: int) -> None:
    """End what was set aside with what it cost."""
    spent = projects.c.spent_micro - micro + cost
    query = update(projects).where(projects.c.id == project_id).values(spent_micro=spent)
    connection.execute(query)


def share_of(connection: Connection, task: Json) -> int:
    """Return what a task may set aside: of what is left the same as each that has yet to spend."""
    query = select(projects.c.budget_micro - projects.c.spent_micro)
    left = connection.execute(query.where(projects.c.id == task["project_id"])).scalar_one()
    spend = (
        project_tasks.c.project_id == task["project_id"],
        project_tasks.c.kind.in_(SPENDING),
        project_tasks.c.status.in_(OPEN),
    )
    details = connection.execute(select(project_tasks.c.details).where(*spend)).scalars()
    heads = sum("set_aside" not in one for one in details)
    return max(0, int(left)) // max(1, heads)
