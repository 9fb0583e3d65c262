"""Conversations: durable, each with an owner, one turn at a time, kept while something is pending."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
import re
import time
from typing import Annotated, Any, Final, Protocol
from weakref import WeakValueDictionary

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from brain_server.bus import Bus, Event
from brain_server.commands import PROCESSING_TIMEOUT, Caller, Page, Params, Scope, as_page, command
from brain_server.conversation import words
from brain_server.conversation.prompt import MOST_HISTORY, Said
from brain_server.conversation.trust import Trust
from brain_server.devices import FINAL
from brain_server.errors import Forbidden, NotFound
from brain_server.metrics import observe_stage
from brain_server.observability import Tasks, request_id
from brain_server.protocol import Channel, Json
from brain_server.routing import Attempt, Decision, Reply, Router, TierName, Turn
from brain_server.safety.gate import Gate
from brain_server.storage import Database
from brain_server.storage.tables import conversations, messages, new_id

_GO_ON: Final = re.compile(
    r"(?i)^\s*(?:please\s+)?(?:continue|go on|carry on|where were we|where did we (?:stop|leave off)|"
    r"pick up where we left off)(?:\s+(?:with\s+)?(?:our|the|my)\s+(?:last\s+)?(?:conversation|talk|chat))?\s*[.?!]*$"
)


class Resume(Protocol):
    """How a model goes on with what it was doing."""

    async def __call__(self, turn: Turn, chain: Json, outcome: str) -> Attempt | None:
        """Return what it says after it has heard the outcome; None when it is no longer there."""


class Process(Params):
    """One thing that somebody said."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=10_000)]
    conversation_id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None
    language: str = "en"
    area_id: str | None = None
    second_of_day: Annotated[int, msgspec.Meta(ge=0, lt=86_400)] | None = None
    # The day as people of the house say it, e.g. "Saturday, 21 November 2026".
    today: Annotated[str, msgspec.Meta(max_length=64)] | None = None


class Invite(Params):
    """A person to let into a conversation."""

    conversation_id: str
    user_id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


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
        bus: Bus,
        tasks: Tasks,
    ) -> None:
        """Take the database, the gate (to see what is pending), the router and the idle time to live."""
        self._db = database
        self._gate = gate
        self._router = router
        self._clock = clock
        self._ttl = ttl
        self._bus = bus
        self._tasks = tasks
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        # Goes on with what a model was doing when it had to wait for people; set where there are models.
        self.resume: Resume | None = None
        # The commands that such a chain waits for, and its conversation.
        self._chains: dict[str, str] = {}
        self._waiters: dict[str, asyncio.Event] = {}
        bus.listen("command.updated", self._on_command)

    @command("conversation.process", Scope.CONTROL, streams=True, timeout=PROCESSING_TIMEOUT)
    async def process(self, caller: Caller, params: Process, emit: Callable[[Json], None]) -> Json:
        """Answer one turn; the answer is only given once it is recorded."""
        known = params.conversation_id or await self._left_off(caller, params.text)
        conversation_id = known or new_id()
        heard = False

        def tell(part: Json) -> None:
            nonlocal heard
            heard = heard or "text" in part
            emit(part)

        lock = self._locks.setdefault(conversation_id, asyncio.Lock())
        async with lock:
            row = None
            if known is not None:
                row = await self._db.read(lambda connection: _row(connection, conversation_id))
            if row is not None and not _is_in(row, caller.user_id):
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
                today=params.today,
                state=dict(row["state"]) if row else {},
                emit=tell,
            )
            started = time.perf_counter()
            decision = await self._router.answer(turn)
            decision = await self._gone_on(turn, decision)
            turn.stages["answer"] = time.perf_counter() - started
            started = time.perf_counter()
            await self._stored(turn, row, decision)
            turn.stages["record"] = time.perf_counter() - started
            for name, seconds in turn.stages.items():
                observe_stage(name, seconds)
        if not heard:
            emit({"text": decision.reply.text})
        return {
            "conversation_id": conversation_id,
            "text": decision.reply.text,
            "continue_conversation": decision.reply.asks,
            "tier": decision.tier.value,
            "confidence": decision.reply.confidence,
            "cost": decision.reply.cost,
            "stages": {name: round(seconds * 1000, 3) for name, seconds in turn.stages.items()},
            "data": decision.reply.data,
        }

    async def _left_off(self, caller: Caller, text: str) -> str | None:
        """Return the conversation that a person wants to go on with on another device, if that is meant."""
        if caller.user_id is None or not _GO_ON.match(text):
            return None
        query = (
            select(conversations.c.id)
            .where(conversations.c.owner == caller.user_id)
            .where(conversations.c.last_message_at > self._clock() - self._ttl)
            .order_by(conversations.c.last_message_at.desc())
            .limit(1)
        )
        return await self._db.read(lambda connection: connection.execute(query).scalar())

    @command("conversation.list", Scope.CONTROL, read_only=True)
    async def listed(self, caller: Caller, params: Page) -> Json:
        """List the conversations that the caller is in, oldest first."""
        query = select(conversations).order_by(conversations.c.id)
        if params.cursor is not None:
            query = query.where(conversations.c.id > params.cursor)
        rows = await self._db.read(
            lambda connection: [dict(row) for row in connection.execute(query).mappings()]
        )
        mine = [row for row in rows if caller.user_id is not None and _is_in(row, caller.user_id)]
        shown = [
            {name: value for name, value in row.items() if name != "state"}
            | {"waits": "chain" in row["state"] or "open" in row["state"]}
            for row in mine
        ]
        return as_page(shown[: params.limit + 1], params)

    @command("conversation.invite", Scope.CONTROL)
    async def invite(self, caller: Caller, params: Invite) -> Json:
        """Let another person into a conversation of the caller's."""
        lock = self._locks.setdefault(params.conversation_id, asyncio.Lock())
        async with lock:
            row = await self._db.read(lambda connection: _row(connection, params.conversation_id))
            if row is None:
                raise NotFound("conversation_not_found", "There is no such conversation")
            if row["owner"] is None or row["owner"] != caller.user_id:
                raise Forbidden(
                    "not_your_conversation", "This conversation belongs to another person"
                )
            people = sorted({*row["participants"], params.user_id})
            same = conversations.c.id == params.conversation_id
            await self._db.write(
                lambda connection: connection.execute(
                    update(conversations).where(same).values(participants=people)
                )
            )
        return {"participants": people}

    async def _stored(self, turn: Turn, row: Json | None, decision: Decision) -> None:
        await self._router.keep(
            turn, decision, lambda connection: self._keep(connection, turn, row, decision.reply)
        )
        self._follow(turn.conversation_id, turn.state)

    # -- chains: what a model does goes on once people have decided -------------------------------------

    async def _gone_on(self, turn: Turn, decision: Decision) -> Decision:
        """Go on at once with a chain whose question was answered in this very turn."""
        chain = turn.state.get("chain")
        if chain is None or self.resume is None:
            return decision
        outcome = chain.get("outcome") or await self._outcome(chain)
        if outcome is None:
            return decision
        turn.state.pop("chain")
        more = await self.resume(turn, chain, outcome)
        if more is None or not more.reply.text:
            return decision
        reply = replace(
            more.reply,
            text=f"{decision.reply.text} {more.reply.text}".strip(),
            data=decision.reply.data | more.reply.data,
        )
        return Decision(attempts=(replace(more, reply=reply), *decision.attempts))

    async def _outcome(self, chain: Json) -> str | None:
        """Return in words how the command of a chain has ended; None while it has not."""
        if (command_id := chain.get("command_id")) is None:
            return None
        done = await self._gate.command(command_id)
        return None if done is None or done["status"] not in FINAL else words.outcome(done)

    def _follow(self, conversation_id: str, state: Json) -> None:
        """Remember which command a chain waits for."""
        command_id = (state.get("chain") or {}).get("command_id")
        if command_id is not None:
            self._chains[command_id] = conversation_id

    def _on_command(self, event: Event) -> None:
        if (waiter := self._waiters.get(event.data["id"])) is not None:
            waiter.set()
        if event.data["status"] in FINAL and event.data["id"] in self._chains:
            conversation_id = self._chains.pop(event.data["id"])
            self._tasks.start(f"chain {event.data['id']}", self._resumed(conversation_id))

    async def recover(self) -> None:
        """Find the chains that an earlier life left, and go on with those whose people have decided."""
        rows = await self._db.read(
            lambda connection: [
                (row.id, row.state) for row in connection.execute(select(conversations))
            ]
        )
        for conversation_id, state in rows:
            if state.get("chain"):
                self._follow(conversation_id, state)
                if await self._outcome(state["chain"]) is not None:
                    self._tasks.start(f"chain {conversation_id}", self._resumed(conversation_id))

    async def _resumed(self, conversation_id: str) -> None:
        """Go on with a chain while nobody speaks; its words wait in the conversation."""
        lock = self._locks.setdefault(conversation_id, asyncio.Lock())
        async with lock:
            row = await self._db.read(lambda connection: _row(connection, conversation_id))
            chain = row["state"].get("chain") if row else None
            if row is None or chain is None or self.resume is None:
                return
            outcome = await self._outcome(chain)
            if outcome is None:
                return
            state = dict(row["state"])
            state.pop("chain")
            turn = Turn(
                text="",
                language="en",
                conversation_id=conversation_id,
                request_id=new_id(),
                # The person is no longer at the line: only what needs nobody may go on.
                caller=Caller(
                    token="conversation",  # noqa: S106 - the name of a caller
                    scope=Scope.CONTROL,
                    user_id=row["owner"],
                    channel=Channel.AUTOMATION,
                ),
                area_id=None,
                second_of_day=None,
                state=state,
                emit=lambda _part: None,
                priority=10,
            )
            more = await self.resume(turn, chain, outcome)
            if more is None:
                return
            reply = replace(more.reply, text=f"{outcome} {more.reply.text}".strip())
            await self._stored(turn, row, Decision(attempts=(replace(more, reply=reply),)))
        self._announce(conversation_id, row["owner"], reply.text)

    async def tell(self, turn: Turn, reply: Reply) -> None:
        """Tell a person who no longer listens how something that was begun in a turn has ended."""
        lock = self._locks.setdefault(turn.conversation_id, asyncio.Lock())
        async with lock:
            row = await self._db.read(lambda connection: _row(connection, turn.conversation_id))
            now = replace(turn, text="", state=dict(row["state"]) if row else {})
            attempt = Attempt(tier=TierName.AGENT, reply=reply, latency_ms=0.0)
            await self._stored(now, row, Decision(attempts=(attempt,)))
        self._announce(turn.conversation_id, turn.caller.user_id, reply.text)

    async def outcome(self, command_id: str) -> str:
        """Wait until a command is over and return in words how it ended."""
        ended = self._waiters.setdefault(command_id, asyncio.Event())
        try:
            while (done := await self._gate.command(command_id)) is not None:
                if done["status"] in FINAL:
                    return words.outcome(done)
                await ended.wait()
                ended.clear()
        finally:
            self._waiters.pop(command_id, None)
        return words.NEVER

    def _announce(self, conversation_id: str, owner: str | None, text: str) -> None:
        self._bus.publish(
            "conversation.reply",
            {"conversation_id": conversation_id, "owner": owner, "text": text},
        )

    async def said(self, conversation_id: str) -> list[Said]:
        """Return the last of what was said in a conversation, oldest first."""
        query = (
            select(messages.c.role, messages.c.text, messages.c.trust)
            .where(messages.c.conversation_id == conversation_id)
            .order_by(messages.c.id.desc())
            .limit(MOST_HISTORY)
        )
        rows = await self._db.read(lambda connection: list(connection.execute(query)))
        return [Said(role=row.role, text=row.text, trust=row.trust) for row in reversed(rows)]

    def _keep(self, connection: Connection, turn: Turn, row: Json | None, reply: Reply) -> None:
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
        trust = Trust.OUTSIDE if reply.outside else Trust.SYSTEM
        both = [
            ("user", user_id, turn.text, Trust.PERSON, None),
            ("assistant", None, reply.text, trust, list(reply.calls) or None),
        ]
        connection.execute(
            insert(messages),
            [
                {
                    "id": new_id(),
                    "conversation_id": turn.conversation_id,
                    "role": role,
                    "user_id": who,
                    "text": text,
                    "request_id": turn.request_id,
                    "created_at": now,
                    "trust": trust_.value,
                    "calls": calls,
                }
                for role, who, text, trust_, calls in both
                if text
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


def _is_in(row: Json, user_id: str | None) -> bool:
    """Tell whether a person may speak in a conversation: it is theirs, nobody's, or they were let in."""
    return row["owner"] is None or user_id == row["owner"] or user_id in row["participants"]


def _row(connection: Connection, conversation_id: str) -> Json | None:
    query = select(conversations).where(conversations.c.id == conversation_id)
    row = connection.execute(query).mappings().first()
    return None if row is None else dict(row)
