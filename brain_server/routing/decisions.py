"""What was decided: which tier answered which turn, and what a conversation cost in all."""

from typing import Annotated, Final

import msgspec
from sqlalchemy import func, select

from brain_server.commands import Caller, Page, Params, Scope, as_page, command
from brain_server.protocol import Json
from brain_server.storage import Database
from brain_server.storage.tables import decisions

# The hash of the question stays here: short words can be guessed from it.
SHOWN: Final = tuple(column for column in decisions.c if column.name != "input_hash")
_MICRO: Final = 1e6


class DecisionsPage(Page):
    """A part of the list of decisions."""

    conversation_id: str | None = None
    request_id: str | None = None
    since: float | None = None


class ConversationId(Params):
    """One conversation."""

    conversation_id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class Decisions:
    """Lists decisions; the router writes them."""

    def __init__(self, database: Database) -> None:
        """Take the database of decisions."""
        self._db = database

    @command("decisions.list", Scope.READ, read_only=True)
    async def list(self, _caller: Caller, params: DecisionsPage) -> Json:
        """List which tier answered what, how surely, for how much and how fast; oldest first."""
        query = select(*SHOWN).order_by(decisions.c.id).limit(params.limit + 1)
        if params.conversation_id is not None:
            query = query.where(decisions.c.conversation_id == params.conversation_id)
        if params.request_id is not None:
            query = query.where(decisions.c.request_id == params.request_id)
        if params.since is not None:
            query = query.where(decisions.c.created_at >= params.since)
        if params.cursor is not None:
            query = query.where(decisions.c.id > params.cursor)
        rows = await self._db.read(
            lambda connection: [dict(row) for row in connection.execute(query).mappings()]
        )
        return as_page(rows, params)

    @command("decisions.summary", Scope.READ, read_only=True)
    async def summary(self, _caller: Caller, params: ConversationId) -> Json:
        """Return what a conversation cost: the sum of its decisions, also of those that failed."""
        # In whole millionths, so that the sum is that of the rows to the last digit.
        cost = func.sum(func.round(decisions.c.cost * _MICRO)).label("cost")
        columns = (
            func.count().label("decisions"),
            cost,
            func.coalesce(func.sum(decisions.c.tokens_in), 0).label("tokens_in"),
            func.coalesce(func.sum(decisions.c.tokens_out), 0).label("tokens_out"),
        )
        query = (
            select(decisions.c.tier, *columns)
            .where(decisions.c.conversation_id == params.conversation_id)
            .group_by(decisions.c.tier)
            .order_by(decisions.c.tier)
        )
        tiers = await self._db.read(
            lambda connection: [dict(row) for row in connection.execute(query).mappings()]
        )
        total = {
            name: sum(row[name] for row in tiers)
            for name in ("decisions", "cost", "tokens_in", "tokens_out")
        }
        return {
            "conversation_id": params.conversation_id,
            **_money(total),
            "tiers": [_money(row) for row in tiers],
        }


def _money(row: Json) -> Json:
    return row | {"cost": int(row["cost"]) / _MICRO}
