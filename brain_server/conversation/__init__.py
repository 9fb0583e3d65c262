"""Conversations: durable, each with an owner, one turn at a time, kept while something is pending."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any
from weakref import WeakValueDictionary

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from brain_server.commands import PROCESSING_TIMEOUT, Caller, Page, Params, Scope, as_page, command
from brain_server.errors import Forbidden
from brain_server.observability import request_id
from brain_server.protocol import Json
from brain_server.routing import Router, Turn
from brain_server.safety.gate import Gate
from brain_server.storage import Database
from brain_server.storage.tables import conversations, messages, new_id


class Process(Params):
    """One thing that somebody said."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=10_000)]
    conversation_id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None
    language: str = "en"
    area_id: str | None = None
    second_of_day: Annotated[int, msgspec.Meta(ge=0, lt=86_400)] | None = None


class MessagesPage(Page, kw_only=True):
    """A part of one conversation."""

    conversation_id: str


class Conversations:
    """Takes turns."""

    def __init__(
        self,
        database: Database,
        gate: Gate,
        router: Router,
        clock: Callable[[], float],
        *,
        ttl: float,
    ) -> None:
        """Take the database, the gate (to see what is pending), the router and the idle time to live."""
        self._db = database
        self._gate = gate
        self._router = router
        self._clock = clock
        self._ttl = ttl
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @command("conversation.process", Scope.CONTROL, streams=True, timeout=PROCESSING_TIMEOUT)
    async def process(self, caller: Caller, params: Process, emit: Callable[[Json], None]) -> Json:
        """Answer one turn; the answer is only given once it is recorded."""
        conversation_id = params.conversation_id or new_id()
        lock = self._locks.setdefault(conversation_id, asyncio.Lock())
        async with lock:
            row = None
            if params.conversation_id is not None:
                row = await self._db.read(lambda connection: _row(connection, conversation_id))
            owner = row["owner"] if row else caller.user_id
            if owner is not None and owner != caller.user_id:
                raise Forbidden(
                    "not_your_conversation", "This conversation belongs to another person"
                )
            turn = Turn(
                text=params.text,
                language=params.language,
                conversation_id=conversation_id,
                request_id=request_id.get() or new_id(),
                caller=caller,
                area_id=params.area_id,
                second_of_day=params.second_of_day,
                state=dict(row["state"]) if row else {},
                emit=emit,
            )
            decision = await self._router.answer(turn)

            def keep(connection: Connection) -> None:
                self._keep(connection, turn, row, decision.reply.text)
                self._router.record(connection, turn, decision)

            await self._db.write(keep)
        emit({"text": decision.reply.text})
        return {
            "conversation_id": conversation_id,
            "text": decision.reply.text,
            "continue_conversation": decision.reply.asks,
            "tier": decision.tier.value,
            "data": decision.reply.data,
        }

    def _keep(self, connection: Connection, turn: Turn, row: Json | None, text: str) -> None:
        now, user_id = self._clock(), turn.caller.user_id
        people = set(row["participants"] if row else []) | ({user_id} if user_id else set())
        values: dict[str, Any] = {
            "participants": sorted(people),
            "state": turn.state,
            "last_message_at": now,
        }
        same = conversations.c.id == turn.conversation_id
        # One that was there may have been forgotten while its turn was being answered.
        if not connection.execute(update(conversations).where(same).values(values)).rowcount:
            values |= {"id": turn.conversation_id, "owner": user_id, "created_at": now}
            connection.execute(insert(conversations).values(values))
        both = [("user", user_id, turn.text), ("assistant", None, text)]
        connection.execute(
            insert(messages),
            [
                {
                    "id": new_id(),
                    "conversation_id": turn.conversation_id,
                    "role": role,
                    "user_id": who,
                    "text": words,
                    "request_id": turn.request_id,
                    "created_at": now,
                }
                for role, who, words in both
            ],
        )

    @command("conversation.messages", Scope.ADMIN, read_only=True)
    async def messages(self, _caller: Caller, params: MessagesPage) -> Json:
        """List what was said in one conversation, oldest first."""
        query = (
            select(messages)
            .where(messages.c.conversation_id == params.conversation_id)
            .order_by(messages.c.id)
            .limit(params.limit + 1)
        )
        if params.cursor is not None:
            query = query.where(messages.c.id > params.cursor)
        rows = await self._db.read(
            lambda connection: [dict(row) for row in connection.execute(query).mappings()]
        )
        return as_page(rows, params)

    async def forget(self) -> None:
        """Remove conversations that have been idle too long, unless they wait for people."""
        waiting = {
            command["conversation_id"]
            for command, _event in await self._gate.open_work()
            if command["conversation_id"] is not None
        }
        limit = self._clock() - self._ttl

        def work(connection: Connection) -> None:
            old = conversations.c.last_message_at < limit
            ids = connection.execute(select(conversations.c.id).where(old)).scalars()
            gone = [one for one in ids if one not in waiting]
            connection.execute(delete(conversations).where(conversations.c.id.in_(gone)))

        await self._db.write(work)


def _row(connection: Connection, conversation_id: str) -> Json | None:
    query = select(conversations).where(conversations.c.id == conversation_id)
    row = connection.execute(query).mappings().first()
    return None if row is None else dict(row)
