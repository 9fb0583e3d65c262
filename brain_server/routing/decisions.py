"""What was decided: which tier answered which turn, and what a conversation cost in all."""

import math
from typing import Annotated, Any, Final

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    String,
    and_,
    bindparam,
    case,
    cast,
    func,
    select,
)

from brain_server.commands import Caller, Page, Params, Scope, as_page, command
from brain_server.protocol import Json
from brain_server.storage import Database, page_of
from brain_server.storage.tables import decisions

# The hash of the question stays here: short words can be guessed from it.
SHOWN: Final = tuple(column for column in decisions.c if column.name != "input_hash")
MOST_DAYS: Final = 400
_MICRO: Final = 1e6
# Of the attempts on the way to an answer only the one that counted has the stages of the turn; and what
# nobody is sure of at all is an excuse: no model, no money.
_IS_ANSWER: Final = and_(cast(decisions.c.stages, String) != "null", decisions.c.confidence > 0)
# Made once, as a year has many days: SQLAlchemy remembers with the statement what it has worked out about it.
_OF_A_DAY: Final = (
    select(
        decisions.c.tier,
        func.count().label("answers"),
        func.sum(case((decisions.c.cached, 1), else_=0)).label("cached"),
    )
    .where(
        decisions.c.created_at >= bindparam("start"),
        decisions.c.created_at < bindparam("end"),
        _IS_ANSWER,
    )
    .group_by(decisions.c.tier)
    .order_by(decisions.c.tier)
)

type Moment = Annotated[float, msgspec.Meta(ge=0, le=1e11)]


class DecisionsPage(Page):
    """A part of the list of decisions."""

    conversation_id: str | None = None
    request_id: str | None = None
    since: float | None = None


class ConversationId(Params):
    """One conversation."""

    conversation_id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class Times(Params):
    """When days begin, oldest first; the last one goes on until now. Only whoever asks knows the time of the house."""

    starts: Annotated[list[Moment], msgspec.Meta(min_length=1, max_length=MOST_DAYS)]


class Decisions:
    """Lists decisions; the router writes them."""

    def __init__(self, database: Database) -> None:
        """Take the database of decisions."""
        self._db = database

    @command("decisions.list", Scope.READ, read_only=True)
    async def list(self, _caller: Caller, params: DecisionsPage) -> Json:
        """List which tier answered what, how surely, for how much and how fast; oldest first."""
        query = page_of(select(*SHOWN), decisions.c.id, params)
        if params.conversation_id is not None:
            query = query.where(decisions.c.conversation_id == params.conversation_id)
        if params.request_id is not None:
            query = query.where(decisions.c.request_id == params.request_id)
        if params.since is not None:
            query = query.where(decisions.c.created_at >= params.since)
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

    @command("decisions.figures", Scope.READ, read_only=True)
    async def figures(self, _caller: Caller, params: Times) -> Json:
        """Return how many turns each tier answered by day, how many from the cache, and how fast each was."""
        starts = sorted(params.starts)
        ends = [*starts[1:], math.inf]

        def work(connection: Connection) -> Json:
            days = [
                {"start": start} | dict(row)
                for start, end in zip(starts, ends, strict=True)
                for row in connection.execute(_OF_A_DAY, {"start": start, "end": end}).mappings()
            ]
            return {"days": days, "tiers": _speeds(connection, starts[0])}

        return await self._db.read(work)


def _speeds(connection: Connection, since: float) -> list[Json]:
    """Return by tier how many of its own answers there were, and in which time half of them and nearly all came."""
    own = (decisions.c.created_at >= since, _IS_ANSWER, decisions.c.cached.is_(False))
    # SQLite knows no percentiles, and PostgreSQL needs three times as long to rank every row.
    query = _ranked(*own) if connection.dialect.name == "sqlite" else _percentiles(*own)
    return [dict(row) for row in connection.execute(query).mappings()]


def _percentiles(*own: ColumnElement[bool]) -> Select[Any]:
    def at(share: float) -> ColumnElement[float]:
        return func.percentile_disc(share).within_group(decisions.c.latency_ms)

    tier = decisions.c.tier
    columns = (func.count().label("answers"), at(0.5).label("p50_ms"), at(0.99).label("p99_ms"))
    return select(tier, *columns).where(*own).group_by(tier).order_by(tier)


def _ranked(*own: ColumnElement[bool]) -> Select[Any]:
    tier = decisions.c.tier
    place = func.row_number().over(partition_by=tier, order_by=decisions.c.latency_ms)
    answers = func.count().over(partition_by=tier)
    ranked = (
        select(tier, decisions.c.latency_ms, place.label("place"), answers.label("answers"))
        .where(*own)
        .subquery()
    )

    def at(percent: int) -> ColumnElement[float]:
        # The smallest time in which so many percent had come, counted in whole numbers.
        enough = ranked.c.place * 100 >= ranked.c.answers * percent
        return func.min(case((enough, ranked.c.latency_ms)))

    columns = (
        func.max(ranked.c.answers).label("answers"),
        at(50).label("p50_ms"),
        at(99).label("p99_ms"),
    )
    return select(ranked.c.tier, *columns).group_by(ranked.c.tier).order_by(ranked.c.tier)


def _money(row: Json) -> Json:
    return row | {"cost": int(row["cost"]) / _MICRO}
