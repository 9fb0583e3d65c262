"""The rows of what people are told: written with what it tells of, settled when it has arrived."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    delete,
    func,
    insert,
    select,
    update,
)

from brain_server.notify import words
from brain_server.outbox import tell
from brain_server.protocol import Json
from brain_server.schedule.queue import put as put_work
from brain_server.storage.tables import channels, deliveries, new_id, notifications, work

KIND: Final = "notify.deliver"
TOPIC: Final = "notification"
SEVERITIES: Final = ("info", "warning", "critical")
# The phones of people, which Home Assistant knows: a channel that is always there.
PUSH: Final = "push"
COOLDOWN: Final = 3600.0
MOST_KEY: Final = 160
# So many buttons a notification has room for.
MOST_ACTIONS: Final = 3
MOST_ATTEMPTS: Final = 30
KEPT: Final = 90 * 86_400.0
# What is looked at again and again until it is over, and is one attempt all the while.
WAITS: Final = frozenset({"home_assistant_offline"})
_URGENCY: Final = {"info": 4, "warning": 6, "critical": 9}


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """A button: its answer runs ``command`` as the person who pressed it, where there is one.

    A brain may die between the command and the note of the answer: given by the same person a second time it must
    change nothing, and go well.
    """

    id: str
    title: str
    command: str | None = None
    params: Json = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A notification on its way over one channel; ``channel`` is None where that is gone."""

    id: str
    status: str
    notification: Json
    channel: Json | None
    metadata: Json


def put(
    connection: Connection,
    now: float,
    *,
    key: str,
    severity: str,
    title: str,
    message: str,
    data: Json | None = None,
    user_id: str | None = None,
    cooldown: float | None = None,
    actions: Sequence[Action] = (),
) -> str | None:
    """Tell people something, in the caller's transaction, and return its id.

    ``key`` is the incident: what comes again within its cooldown, and is no worse, is only counted, and None is
    returned. ``user_id``: only this person is told, on phones alone. What is written nowhere was not told.
    """
    key = words.line(key, MOST_KEY)
    last = _last(connection, key, user_id)
    if last is not None and _is_repeat(last, now, severity, cooldown):
        this = notifications.c.id == last["id"]
        more = update(notifications).where(this).values(repeats=notifications.c.repeats + 1)
        connection.execute(more)
        return None
    row: Json = {
        "id": new_id(),
        "key": key,
        "severity": severity,
        "title": words.line(title),
        "message": words.lines(message),
        "data": words.data(data),
        "actions": [_stored(action) for action in actions[:MOST_ACTIONS]],
        "user_id": user_id,
        "created_at": now,
    }
    connection.execute(insert(notifications).values(row))
    for channel in _channels_for(connection, severity, user_id):
        _send(connection, now, row, channel)
    _announce(connection, now, "notification.created", row)
    return str(row["id"])


def letter(connection: Connection, delivery_id: str) -> Letter | None:
    """Return what is to be delivered, None where it has been forgotten."""
    found = connection.execute(select(deliveries).where(deliveries.c.id == delivery_id))
    row = found.mappings().first()
    if row is None:
        return None
    this = notifications.c.id == row["notification_id"]
    notification = connection.execute(select(notifications).where(this)).mappings().one()
    return Letter(
        id=row["id"],
        status=row["status"],
        notification=dict(notification),
        channel=channel_of(connection, row["channel_id"]),
        metadata=dict(row["metadata"]),
    )


def arrived(connection: Connection, now: float, delivery_id: str, known: Json) -> None:
    """Note that it was delivered, and what is known of it."""
    metadata = _attempted(connection, now, delivery_id, "sent") | known
    _settle(connection, delivery_id, status="sent", sent_at=now, metadata=metadata)


def failed(
    connection: Connection,
    now: float,
    delivery_id: str,
    code: str,
    *,
    http_status: int | None = None,
    over: bool = False,
) -> None:
    """Note an attempt that came to nothing; ``over``: it was the last."""
    metadata = _attempted(connection, now, delivery_id, code, http_status)
    status = "failed" if over else "queued"
    _settle(connection, delivery_id, status=status, metadata=metadata)


def answer(connection: Connection, now: float, row: Json, action_id: str, user_id: str) -> bool:
    """Note the first answer; False when somebody else was first."""
    first = update(notifications).where(
        notifications.c.id == row["id"], notifications.c.answer.is_(None)
    )
    given = {"answer": action_id, "answered_by": user_id[:64], "answered_at": now}
    if connection.execute(first.values(given)).rowcount == 0:
        return False
    _announce(connection, now, "notification.answered", row | given)
    return True


def read(
    connection: Connection,
    *where: ColumnElement[bool],
    most: int,
    newest_first: bool = False,
) -> list[Json]:
    """Return notifications as clients see them, each with its deliveries."""
    order = notifications.c.id.desc() if newest_first else notifications.c.id
    query = select(notifications).where(*where).order_by(order).limit(most)
    found = [dict(row) for row in connection.execute(query).mappings()]
    ways: dict[str, list[Json]] = {row["id"]: [] for row in found}
    told = (
        select(deliveries).where(deliveries.c.notification_id.in_(ways)).order_by(deliveries.c.id)
    )
    for row in connection.execute(told).mappings():
        ways[row["notification_id"]].append(
            {
                "channel_id": row["channel_id"],
                "status": row["status"],
                "sent_at": row["sent_at"],
                "work_id": row["work_id"],
                **row["metadata"],
            }
        )
    return [
        row | {"actions": shown(row["actions"]), "deliveries": ways[row["id"]]} for row in found
    ]


def shown(actions: Sequence[Json]) -> list[Json]:
    """Return buttons as people see them."""
    return [{"id": one["id"], "title": one["title"]} for one in actions]


def tidy(connection: Connection, now: float) -> None:
    """Call failed what nobody will deliver any more, and forget what was told long ago."""
    given_up = (
        select(deliveries.c.id, work.c.status)
        .outerjoin(work, work.c.id == deliveries.c.work_id)
        .where(
            deliveries.c.status == "queued",
            func.coalesce(work.c.status, "forgotten").not_in(("pending", "running")),
        )
    )
    for delivery_id, status in connection.execute(given_up).tuples().all():
        failed(connection, now, delivery_id, status or "forgotten", over=True)
    old = notifications.c.created_at < now - KEPT
    connection.execute(delete(notifications).where(old))


# -- channels -----------------------------------------------------------------------------------------


def all_channels(connection: Connection) -> list[Json]:
    """Return the channels, that to the phones first."""
    rows = connection.execute(select(channels).order_by(channels.c.name)).mappings()
    found = [dict(row) for row in rows]
    push = next((row for row in found if row["id"] == PUSH), _push())
    return [push, *(row for row in found if row["id"] != PUSH)]


def channel_of(connection: Connection, channel_id: str) -> Json | None:
    """Return one channel, None where there is none."""
    row = connection.execute(select(channels).where(channels.c.id == channel_id)).mappings().first()
    if row is not None:
        return dict(row)
    return _push() if channel_id == PUSH else None


def keep_channel(connection: Connection, row: Json) -> None:
    """Write a channel, new or changed."""
    same = update(channels).where(channels.c.id == row["id"]).values(row)
    if connection.execute(same).rowcount == 0:
        connection.execute(insert(channels).values(row))


def drop_channel(connection: Connection, channel_id: str) -> bool:
    """Remove a channel; False when there was none."""
    gone = connection.execute(delete(channels).where(channels.c.id == channel_id))
    return gone.rowcount > 0


def _push() -> Json:
    """Return the channel to the phones as it is before anybody changes it."""
    return {
        "id": PUSH,
        "type": PUSH,
        "name": "Phones",
        "target": "",
        "secret": None,
        "least_severity": SEVERITIES[0],
        "enabled": True,
        "created_at": 0.0,
    }


# -- inside a transaction -----------------------------------------------------------------------------


def _last(connection: Connection, key: str, user_id: str | None) -> Json | None:
    query = (
        select(notifications)
        .where(notifications.c.key == key, notifications.c.user_id == user_id)
        .order_by(notifications.c.created_at.desc())
        .limit(1)
    )
    row = connection.execute(query).mappings().first()
    return None if row is None else dict(row)


def _is_repeat(last: Json, now: float, severity: str, cooldown: float | None) -> bool:
    """Tell whether it was told lately, and as loudly; a clock that was put back ends no silence twice."""
    lately = abs(now - last["created_at"]) < (COOLDOWN if cooldown is None else cooldown)
    return lately and SEVERITIES.index(severity) <= SEVERITIES.index(last["severity"])


def _channels_for(connection: Connection, severity: str, user_id: str | None) -> list[Json]:
    loud = SEVERITIES.index(severity)
    return [
        channel
        for channel in all_channels(connection)
        if channel["enabled"]
        and (user_id is None or channel["id"] == PUSH)
        and SEVERITIES.index(channel["least_severity"]) <= loud
    ]


def _send(connection: Connection, now: float, row: Json, channel: Json) -> None:
    delivery_id = new_id()
    work_id = put_work(
        connection,
        now,
        KIND,
        {"delivery_id": delivery_id},
        key=f"{KIND}:{delivery_id}",
        priority=_URGENCY[row["severity"]],
    )
    connection.execute(
        insert(deliveries).values(
            id=delivery_id,
            notification_id=row["id"],
            channel_id=channel["id"],
            metadata={"attempts": []},
            work_id=work_id,
        )
    )


def _stored(action: Action) -> Json:
    return {
        "id": words.line(action.id, 64),
        "title": words.line(action.title, 64),
        "command": action.command,
        "params": action.params,
    }


def _announce(connection: Connection, now: float, name: str, row: Json) -> None:
    """Tell other programs; what is only for one person is told without its words."""
    fields = ["id", "key", "severity", "user_id", "created_at"]
    if row["user_id"] is None:
        fields += ["title", "message", "data"]
    fields += [field for field in ("answer", "answered_by", "answered_at") if field in row]
    said = {field: row[field] for field in fields}
    tell(connection, now, TOPIC, row["key"], name, said)


def _attempted(
    connection: Connection, now: float, delivery_id: str, code: str, http_status: int | None = None
) -> Json:
    """Return what is known of the way with one attempt more; the same again only moves its end."""
    query = select(deliveries.c.metadata).where(deliveries.c.id == delivery_id)
    metadata: Json = dict(connection.execute(query).scalar() or {})
    attempts: list[Json] = list(metadata.get("attempts", []))
    attempt: Json = {"at": now, "code": code}
    if http_status is not None:
        attempt["http_status"] = http_status
    if code in WAITS and attempts and attempts[-1]["code"] == code:
        attempt["at"] = attempts.pop()["at"]
        attempt["until"] = now
    return metadata | {"attempts": [*attempts, attempt][-MOST_ATTEMPTS:]}


def _settle(connection: Connection, delivery_id: str, **values: Any) -> None:
    connection.execute(update(deliveries).where(deliveries.c.id == delivery_id).values(values))
