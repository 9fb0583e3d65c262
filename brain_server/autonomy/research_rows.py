"""The rows of research; each function is one step of a transaction."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, or_, select, update

from brain_server.errors import Conflict
from brain_server.protocol import Json
from brain_server.routing.budget import MICRO
from brain_server.schedule import put
from brain_server.storage.tables import new_id, research_notes, researches, work

if TYPE_CHECKING:
    from brain_server.autonomy.research_text import Source

KIND: Final = "research.run"
OPEN: Final = ("pending", "running")
MOST_OPEN: Final = 20
# Below what people wait for.
PRIORITY: Final = 3
_WHOLE: Final = frozenset({"report", "sources"})
_MONEY: Final = frozenset({"budget_micro", "cost_micro", "reserved_micro"})


def add(
    connection: Connection,
    now: float,
    question: str,
    budget: int,
    requested_by: str | None,
    identity: str,
) -> Json:
    """Store a new research with its piece of work; the same open question of the same person is the same one.

    So is one of this id. Raises Conflict ``research_full``.
    """
    same = and_(_open(), researches.c.question == question, _of(requested_by))
    this = or_(researches.c.id == identity, same)
    # Of two, the one that was asked for by its id.
    query = select(researches).where(this).order_by(researches.c.id != identity)
    known = connection.execute(query).mappings().first()
    if known is not None:
        return dict(known)
    count = connection.execute(select(func.count()).where(_open())).scalar_one()
    if count >= MOST_OPEN:
        raise Conflict("research_full", "Enough researches are open already", most=MOST_OPEN)
    held = put(
        connection,
        now,
        KIND,
        {"research_id": identity},
        key=f"research:{identity}",
        priority=PRIORITY,
        requested_by=requested_by,
    )
    values = {
        "id": identity,
        "question": question,
        "steps": [],
        "sources": [],
        "limits": [],
        "budget_micro": budget,
        "requested_by": requested_by,
        "work_id": held,
        "created_at": now,
    }
    connection.execute(insert(researches).values(values))
    return row(connection, identity)


def row(connection: Connection, identity: str) -> Json:
    """Return one that there is."""
    query = select(researches).where(researches.c.id == identity)
    return dict(connection.execute(query).mappings().one())


def find(connection: Connection, identity: str) -> Json | None:
    """Return one whole, with its notes; None where there is none."""
    query = select(researches).where(researches.c.id == identity)
    found = connection.execute(query).mappings().first()
    if found is None:
        return None
    notes = (
        select(research_notes)
        .where(research_notes.c.research_id == identity)
        .order_by(research_notes.c.position)
    )
    shown = ("url", "title", "text", "quotes", "created_at")
    listed = [
        {"number": note["position"]} | {name: note[name] for name in shown}
        for note in connection.execute(notes).mappings()
    ]
    return dict(found) | {"notes": listed}


def page(
    connection: Connection, person: str | None, status: str | None, cursor: str | None, limit: int
) -> list[Json]:
    """Return those of a person and of the house, oldest first; without a person, all."""
    query = select(researches).order_by(researches.c.id).limit(limit)
    if person is not None:
        query = query.where(or_(_of(person), _of(None)))
    if status is not None:
        query = query.where(researches.c.status == status)
    if cursor is not None:
        query = query.where(researches.c.id > cursor)
    return [dict(found) for found in connection.execute(query).mappings()]


def open_ones(connection: Connection) -> list[Json]:
    """Return those that are not over, oldest first."""
    query = select(researches).where(_open()).order_by(researches.c.id)
    return [dict(found) for found in connection.execute(query).mappings()]


# -- while it runs ------------------------------------------------------------------------------------


def begin(connection: Connection, identity: str) -> Json | None:
    """Begin or go on; None where it is over. What was set aside and never settled counts as spent."""
    may = and_(researches.c.id == identity, researches.c.status.in_((*OPEN, "failed")))
    values = {
        "status": "running",
        "error": None,
        "finished_at": None,
        "cost_micro": researches.c.cost_micro + researches.c.reserved_micro,
        "reserved_micro": 0,
    }
    begun = connection.execute(update(researches).where(may).values(values)).rowcount == 1
    return row(connection, identity) if begun else None


def show(connection: Connection, identity: str, steps: list[Json]) -> Json | None:
    """Note the steps; None where it is over."""
    return _while_running(connection, identity, {"steps": steps})


def set_aside(connection: Connection, identity: str, micro: int) -> Json | None:
    """Set money aside where the cap allows it; the row tells by its change; None where it is over."""
    total = researches.c.cost_micro + researches.c.reserved_micro + micro
    fits = and_(_running(identity), total <= researches.c.budget_micro)
    values = {"reserved_micro": researches.c.reserved_micro + micro}
    done = connection.execute(update(researches).where(fits).values(values)).rowcount == 1
    found = row(connection, identity)
    return found | {"set_aside": done} if found["status"] == "running" else None


def settle(connection: Connection, identity: str, micro: int, cost: int) -> Json:
    """End what was set aside with what it cost, also of one that was cancelled meanwhile."""
    values = {
        "reserved_micro": researches.c.reserved_micro - micro,
        "cost_micro": researches.c.cost_micro + cost,
    }
    same = researches.c.id == identity
    connection.execute(update(researches).where(same).values(values))
    return row(connection, identity)


def finish(
    connection: Connection, identity: str, now: float, values: Json, sources: Iterable[Source]
) -> Json:
    """Store how it ended, with its notes, and return it; one that was over before stays as it is."""
    ended = _while_running(connection, identity, values | {"finished_at": now})
    if ended is None:
        return row(connection, identity)
    notes = research_notes.c.research_id == identity
    connection.execute(delete(research_notes).where(notes))
    for source in sources:
        quotes = [{"claim": one.claim, "quote": one.quote} for one in source.quotes]
        connection.execute(
            insert(research_notes).values(
                id=new_id(),
                research_id=identity,
                position=source.number,
                url=source.url,
                title=source.title[:255],
                text="\n".join(one.claim or one.quote for one in source.quotes),
                quotes=quotes,
                created_at=now,
            )
        )
    return ended


# -- how it ends otherwise ----------------------------------------------------------------------------


def stop(connection: Connection, identity: str, now: float) -> Json | None:
    """Cancel it and return it; None where it was over."""
    may = and_(researches.c.id == identity, _open())
    values = {"status": "cancelled", "finished_at": now}
    done = connection.execute(update(researches).where(may).values(values))
    return row(connection, identity) if done.rowcount == 1 else None


def end_lost(connection: Connection, now: float) -> list[Json]:
    """End those whose work has ended without them, and return them."""
    query = (
        select(researches.c.id, work.c.status, work.c.error)
        .outerjoin(work, work.c.id == researches.c.work_id)
        .where(_open(), or_(work.c.id.is_(None), work.c.status.not_in(OPEN)))
    )
    ended = []
    for found in connection.execute(query).all():
        code = (found.error or {}).get("code", "work_lost")
        cancelled = found.status == "cancelled"
        values: dict[str, Any] = {
            "status": "cancelled" if cancelled else "failed",
            "error": None if cancelled else code[:64],
            "finished_at": now,
        }
        same = researches.c.id == found.id
        connection.execute(update(researches).where(same).values(values))
        ended.append(row(connection, found.id))
    return ended


def forget(connection: Connection, before: float) -> None:
    """Forget those that were over before a moment, with their notes."""
    ended = func.coalesce(researches.c.finished_at, researches.c.created_at)
    connection.execute(delete(researches).where(~_open(), ended < before))


def view(found: Json, *, whole: bool = False) -> Json:
    """Return a row as clients see it: money in units of the currency, the report only where it is wanted."""
    left_out = _MONEY | {"set_aside"} | (frozenset() if whole else _WHOLE)
    shown = {name: value for name, value in found.items() if name not in left_out}
    return shown | {
        "budget": found["budget_micro"] / MICRO,
        "cost": (found["cost_micro"] + found["reserved_micro"]) / MICRO,
    }


def _while_running(connection: Connection, identity: str, values: Json) -> Json | None:
    done = connection.execute(update(researches).where(_running(identity)).values(values))
    return row(connection, identity) if done.rowcount == 1 else None


def _running(identity: str) -> ColumnElement[bool]:
    return and_(researches.c.id == identity, researches.c.status == "running")


def _open() -> ColumnElement[bool]:
    return researches.c.status.in_(OPEN)


def _of(person: str | None) -> ColumnElement[bool]:
    return (
        researches.c.requested_by.is_(None)
        if person is None
        else researches.c.requested_by == person
    )
