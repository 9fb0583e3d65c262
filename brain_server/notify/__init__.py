"""What people are told by the house itself: once, over the roads they want, and not at night.

Whoever has something to tell puts it into the transaction of what it tells of. From there it goes through the
work queue, a piece for each channel, until it has arrived or was tried long enough.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Annotated, Final
from weakref import WeakValueDictionary

import msgspec
from sqlalchemy import ColumnElement, Connection, select

from brain_server.bus import Bus
from brain_server.commands import Caller, Page, Params, Scope, as_page, command
from brain_server.errors import Conflict, Forbidden, InvalidRequest, NotFound
from brain_server.notify import rows
from brain_server.notify.channels import Channels, Name, Severity
from brain_server.notify.courier import Courier
from brain_server.notify.quiet import Quiet, quiet_hours
from brain_server.notify.rows import MOST_ACTIONS, Action, put
from brain_server.notify.webhook import Webhooks
from brain_server.protocol import Json
from brain_server.storage import Database
from brain_server.storage.tables import new_id, notifications

__all__ = [
    "Action",
    "Channels",
    "Courier",
    "Notify",
    "Quiet",
    "Webhooks",
    "put",
    "quiet_hours",
]

ANSWERED: Final = "notification.answered"

# Runs a command by its name as somebody.
type RunCommand = Callable[[str, Caller, Json], Awaitable[object]]


class NotificationsPage(Page):
    """A part of the notifications."""

    severity: Severity | None = None
    newest_first: bool = False


class Button(Params):
    """An answer that is offered; which was given is told as an event."""

    id: Name
    title: Name


class Send(Params):
    """Something to tell people, or one person."""

    message: Annotated[str, msgspec.Meta(min_length=1, max_length=8000)]
    title: Annotated[str, msgspec.Meta(max_length=255)] = ""
    severity: Severity = "info"
    # One incident: what comes again within its cooldown is only counted.
    key: Annotated[str, msgspec.Meta(min_length=1, max_length=160)] | None = None
    cooldown: Annotated[float, msgspec.Meta(ge=0, le=30 * 86_400)] | None = None
    user_id: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    data: Json = {}
    actions: Annotated[list[Button], msgspec.Meta(max_length=MOST_ACTIONS)] = []


class Answer(Params):
    """Which button was pressed."""

    notification_id: str
    action: str


class Notify:
    """Tells people, and takes their answers."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        clock: Callable[[], float],
        *,
        wake: Callable[[], None] = lambda: None,
        run: RunCommand | None = None,
    ) -> None:
        """``wake`` has work looked for; ``run``, set before anybody can answer, runs what an answer stands for."""
        self._db = database
        self._bus = bus
        self._clock = clock
        self._wake = wake
        self.run = run
        # Of one notification one answer after the other, so that none is acted upon that does not count.
        self._answering: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def tell(
        self,
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
        """Tell people something, as :func:`put` does, in a transaction of its own."""
        now = self._clock()
        told = await self._db.write(
            lambda connection: put(
                connection,
                now,
                key=key,
                severity=severity,
                title=title,
                message=message,
                data=data,
                user_id=user_id,
                cooldown=cooldown,
                actions=actions,
            )
        )
        self._wake()
        return told

    async def tidy(self) -> None:
        """Call failed what nobody will deliver any more, and forget what was told long ago."""
        now = self._clock()
        await self._db.write(lambda connection: rows.tidy(connection, now))

    # -- commands -------------------------------------------------------------------------------------

    @command("notifications.list", Scope.READ, read_only=True)
    async def list(self, caller: Caller, params: NotificationsPage) -> Json:
        """List what people were told and how it went; what is for one person, only that person sees."""
        column = notifications.c.id
        where: list[ColumnElement[bool]] = []
        if caller.user_id is not None:
            own = notifications.c.user_id == caller.user_id
            where.append(notifications.c.user_id.is_(None) | own)
        elif caller.scope < Scope.ADMIN:
            where.append(notifications.c.user_id.is_(None))
        if params.severity is not None:
            where.append(notifications.c.severity == params.severity)
        if params.cursor is not None:
            before = params.newest_first
            where.append(column < params.cursor if before else column > params.cursor)
        found = await self._db.read(
            lambda connection: rows.read(
                connection, *where, most=params.limit + 1, newest_first=params.newest_first
            )
        )
        return as_page(found, params)

    @command("notifications.send", Scope.CONTROL)
    async def send(self, _caller: Caller, params: Send) -> Json:
        """Tell people something; what was told lately, with the same key, is only counted."""
        told = await self.tell(
            key=params.key or f"sent:{new_id()}",
            severity=params.severity,
            title=params.title,
            message=params.message,
            data=params.data,
            user_id=params.user_id,
            cooldown=params.cooldown,
            actions=[Action(id=one.id, title=one.title) for one in params.actions],
        )
        return {"id": told, "repeated": told is None}

    @command("notifications.answer", Scope.INTEGRATION)
    async def answer(self, caller: Caller, params: Answer) -> Json:
        """Take the answer of a person who was told; the first one counts."""
        lock = self._answering.setdefault(params.notification_id, asyncio.Lock())
        await lock.acquire()
        try:
            row, action = await self._chosen(caller, params)
            if action["command"] is not None:
                assert self.run is not None  # noqa: S101 - who composes the brain sets it
                # Whether it may, and whether it has been done before, the command itself knows.
                finger = replace(caller, scope=min(caller.scope, Scope.CONTROL))
                await self.run(action["command"], finger, action["params"])
        except BaseException:
            lock.release()
            raise
        # To its end, though its time is over: what is kept is also told, and until then no other one is acted upon.
        return await asyncio.shield(self._settled(lock, row, action["id"], str(caller.user_id)))

    async def _chosen(self, caller: Caller, params: Answer) -> tuple[Json, Json]:
        """Return what was asked and the button that was pressed; refuse what is no answer to it."""
        row = await self._asked(params.notification_id)
        action = next((one for one in row["actions"] if one["id"] == params.action), None)
        if action is None:
            raise InvalidRequest("unknown_answer", "This was not among the answers")
        if caller.user_id is None or row["user_id"] not in (None, caller.user_id):
            raise Forbidden("not_addressed", "Somebody else was asked")
        if row["answer"] is not None:
            raise _answered(row["answer"])
        return row, action

    async def _settled(self, lock: asyncio.Lock, row: Json, action_id: str, user_id: str) -> Json:
        try:
            return await self._settle(row, action_id, user_id)
        finally:
            lock.release()

    async def _settle(self, row: Json, action_id: str, user_id: str) -> Json:
        """Keep an answer and tell of it; Conflict ``already_answered``."""
        now = self._clock()
        if not await self._db.write(
            lambda connection: rows.answer(connection, now, row, action_id, user_id)
        ):
            raise _answered((await self._asked(row["id"]))["answer"])
        told: Json = {"id": row["id"], "key": row["key"], "action": action_id}
        told |= {"user_id": user_id}
        self._bus.publish(ANSWERED, told)
        return told

    async def _asked(self, notification_id: str) -> Json:
        def read(connection: Connection) -> Json | None:
            this = select(notifications).where(notifications.c.id == notification_id)
            row = connection.execute(this).mappings().first()
            return None if row is None else dict(row)

        row = await self._db.read(read)
        if row is None:
            raise NotFound("notification_not_found", "There is no such notification")
        return row


def _answered(answer: str) -> Conflict:
    return Conflict("already_answered", f'Somebody has answered "{answer}"', answer=answer)
