"""What a person sees of conversations: those that they are in, and what was said in one of them."""

from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, func, select

from brain_server.errors import Forbidden, NotFound
from brain_server.protocol import Json
from brain_server.storage.tables import conversations, messages

LONGEST_TITLE: Final = 120
# A page stays well below what a frame may carry: what tools have told can be long.
MOST_BYTES: Final = 512 * 1024


def person_of(user_id: str | None) -> str:
    """Return whose conversations are wanted; Forbidden ``person_needed`` for a program."""
    if user_id is None:
        raise Forbidden(
            "person_needed", "Memory and conversations belong to a person, and nobody is named"
        )
    return user_id


def takes_part(row: Json, user_id: str) -> bool:
    """Tell whether a conversation is a person's own, or they have spoken or been let in there."""
    return user_id == row["owner"] or user_id in row["participants"]


def of(connection: Connection, user_id: str | None) -> list[Json]:
    """Return the conversations that a person is in, oldest first; a program is in none."""
    if user_id is None:
        return []
    query = select(conversations).order_by(conversations.c.id)
    rows = [dict(row) for row in connection.execute(query).mappings()]
    return [row for row in rows if takes_part(row, user_id)]


def views(connection: Connection, rows: list[Json]) -> list[Json]:
    """Return conversations as their people see them: with the first words, and how often somebody spoke."""
    spoken = (
        messages.c.role == "user",
        messages.c.conversation_id.in_([row["id"] for row in rows]),
    )
    counts = (
        select(
            messages.c.conversation_id,
            func.count().label("turns"),
            func.min(messages.c.id).label("first"),
        )
        .where(*spoken)
        .group_by(messages.c.conversation_id)
        .subquery()
    )
    query = select(counts.c.conversation_id, counts.c.turns, messages.c.text).join(
        messages, messages.c.id == counts.c.first
    )
    about = {row.conversation_id: row for row in connection.execute(query)}
    return [_view(row, about.get(row["id"])) for row in rows]


def said(
    connection: Connection, conversation_id: str, user_id: str, cursor: str | None, limit: int
) -> tuple[Json, list[Json], bool]:
    """Return a conversation, the last of what was said before the cursor, newest first, and whether there is more.

    Raises NotFound ``conversation_not_found``, also for one of other people.
    """
    query = select(conversations).where(conversations.c.id == conversation_id)
    found = connection.execute(query).mappings().first()
    if found is None or not takes_part(dict(found), user_id):
        raise NotFound("conversation_not_found", "There is no such conversation")
    (view,) = views(connection, [dict(found)])
    which: list[ColumnElement[bool]] = [messages.c.conversation_id == conversation_id]
    if cursor is not None:
        which.append(messages.c.id < cursor)
    wanted = select(messages).where(*which).order_by(messages.c.id.desc()).limit(limit + 1)
    rows = [dict(row) for row in connection.execute(wanted).mappings()]
    kept = _fitting(rows[:limit])
    return view, kept, len(kept) < len(rows)


def _view(row: Json, about: Any) -> Json:
    shown = {name: value for name, value in row.items() if name != "state"}
    return shown | {
        "waits": "chain" in row["state"] or "open" in row["state"],
        "title": about.text[:LONGEST_TITLE] if about else None,
        "turns": about.turns if about else 0,
    }


def _fitting(rows: list[Json]) -> list[Json]:
    """Return the first rows that a page has room for, at least one."""
    size = 0
    for at, row in enumerate(rows):
        size += len(msgspec.json.encode(row))
        if size > MOST_BYTES and at > 0:
            return rows[:at]
    return rows
