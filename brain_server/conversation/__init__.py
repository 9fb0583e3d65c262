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
from brain_server.capabilities import ALL_ON, UPDATED, Switches
from brain_server.commands import PROCESSING_TIMEOUT, Caller, Page, Params, Scope, as_page, command
from brain_server.conversation import threads, words
from brain_server.conversation.again import recorded
from brain_server.conversation.prompt import MOST_HISTORY, Said
from brain_server.conversation.trust import Trust
from brain_server.devices import FINAL
from brain_server.errors import Conflict, Forbidden, NotFound
from brain_server.metrics import observe_stage
from brain_server.observability import Tasks, redact, request_id
from brain_server.outbox import tell
from brain_server.protocol import Channel, Json
from brain_server.routing import Attempt, Decision, Reply, Router, TierName, Turn
from brain_server.safety.gate import Gate
from brain_server.storage import Database, page_of
from brain_server.storage.tables import conversations, messages, new_id

CAPABILITY: Final = "conversation"
# In the state of a conversation that no person began: by which token; and in each, who was answered last.
_PROGRAM: Final = "program"
_ASKED: Final = "asked"
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
    # However often it is said in this conversation by one request id, it is heard once.
    once: bool = False


class Invite(Params):
    """A person to let into a conversation."""

    conversation_id: str
    user_id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class Leave(Params):
    """A person who leaves a conversation; the caller, or somebody whom its owner sends away."""

    conversation_id: str
    user_id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None


class ConversationsPage(Page):
    """A part of a person's conversations."""

    newest_first: bool = False


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
        switches: Switches = ALL_ON,
    ) -> None:
        """Take the database, the gate (to see what is pending), the router, the idle time to live and the switches."""
        self._switches = switches
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
        # Whether what is said goes along when others are told of a turn.
        self.tells_words = False
        # The commands that such a chain waits for, and its conversation.
        self._chains: dict[str, str] = {}
        # Of each command one event for all who wait for its next change; it goes with the last of them.
        self._waiters: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()
        bus.listen("command.updated", self._on_command)
        bus.listen(UPDATED, self._on_switch)

    @command("conversation.process", Scope.CONTROL, streams=True, timeout=PROCESSING_TIMEOUT)
    async def process(self, caller: Caller, params: Process, emit: Callable[[Json], None]) -> Json:
        """Answer one turn; the answer is only given once it is recorded.

        While conversation is switched off only what makes things safer is done, e.g. a lock or a no.
        """
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
            if row is not None and not _may_speak(row, caller):
                raise Forbidden(
                    "not_your_conversation", "This conversation belongs to another person"
                )
            if params.once and (before := await self._recorded(row, params.text)):
                emit({"text": before["text"]})
                return before
            turn = Turn(
                text=params.text,
                language=params.language,
                conversation_id=conversation_id,
                request_id=request_id.get() or new_id(),
                caller=caller,
                area_id=params.area_id,
                second_of_day=params.second_of_day,
                today=params.today,
                state=_before(row["state"], caller) if row else _begun(caller),
                emit=tell,
            )
            started = time.perf_counter()
            decision = await self._decided(turn)
            turn.stages["answer"] = time.perf_counter() - started
            turn.state[_ASKED] = caller.user_id
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

    async def _decided(self, turn: Turn) -> Decision:
        if not self._switches.is_on(CAPABILITY):
            decision = await self._router.answer_safely(turn)
            if decision is not None:
                return decision
            self._switches.require(CAPABILITY)
        return await self._gone_on(turn, await self._router.answer(turn))

    async def _recorded(self, row: Json | None, text: str) -> Json | None:
        """Return what was answered to this very request before."""
        request = request_id.get()
        if row is None or request is None:
            return None
        return await self._db.read(lambda connection: recorded(connection, row, request, text))

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
    async def listed(self, caller: Caller, params: ConversationsPage) -> Json:
        """List the conversations that the caller is in, oldest first; with newest_first, the last spoken in first."""

        def work(connection: Connection) -> Json:
            rows = threads.of(connection, caller.user_id)
            if params.newest_first:
                rows.sort(key=lambda row: (row["last_message_at"], row["id"]), reverse=True)
            known = [row["id"] for row in rows]
            # One that was forgotten meanwhile is no place to go on from.
            after = known.index(params.cursor) + 1 if params.cursor in known else 0
            part = rows[after : after + params.limit + 1]
            return as_page(threads.views(connection, part), params)

        return await self._db.read(work)

    @command("conversation.get", Scope.CONTROL, read_only=True)
    async def get(self, caller: Caller, params: MessagesPage) -> Json:
        """Return a conversation of the caller's and what was said in it, newest first."""
        person, about = threads.person_of(caller.user_id), params.conversation_id
        view, rows, more = await self._db.read(
            lambda connection: threads.said(connection, about, person, params.cursor, params.limit)
        )
        cursor = rows[-1]["id"] if more else None
        return {"conversation": view, "items": rows, "cursor": cursor}

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
            await self._let_in(params.conversation_id, people)
        return {"participants": people}

    @command("conversation.leave", Scope.CONTROL)
    async def leave(self, caller: Caller, params: Leave) -> Json:
        """Leave a conversation of others, or send somebody away from the caller's own; gone already is gone.

        Raises Conflict ``owner_stays``: what still waits in a conversation runs in its owner's name.
        """
        person = threads.person_of(caller.user_id)
        who = params.user_id or person
        lock = self._locks.setdefault(params.conversation_id, asyncio.Lock())
        async with lock:
            row = await self._db.read(lambda connection: _row(connection, params.conversation_id))
            if row is None or not threads.takes_part(row, person):
                raise NotFound("conversation_not_found", "There is no such conversation")
            if person not in {who, row["owner"]}:
                raise Forbidden(
                    "not_your_conversation", "This conversation belongs to another person"
                )
            if who == row["owner"]:
                raise Conflict("owner_stays", "A conversation stays with whoever began it")
            people = [one for one in row["participants"] if one != who]
            await self._let_in(params.conversation_id, people)
        return {"participants": people}

    async def _let_in(self, conversation_id: str, people: list[str]) -> None:
        same = conversations.c.id == conversation_id
        await self._db.write(
            lambda connection: connection.execute(
                update(conversations).where(same).values(participants=people)
            )
        )

    async def _stored(self, turn: Turn, row: Json | None, decision: Decision) -> None:
        await self._router.keep(
            turn, decision, lambda connection: self._keep(connection, turn, row, decision)
        )
        if (command_id := self._follow(turn.conversation_id, turn.state)) is not None:
            # It may have been over before it was followed: nobody would tell of it again.
            self._tasks.start(f"chain {command_id}", self._resumed(turn.conversation_id))

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

    def _follow(self, conversation_id: str, state: Json) -> str | None:
        """Remember which command a chain waits for, and return its id."""
        command_id: str | None = (state.get("chain") or {}).get("command_id")
        if command_id is not None:
            self._chains[command_id] = conversation_id
        return command_id

    def _on_command(self, event: Event) -> None:
        if (changed := self._waiters.pop(event.data["id"], None)) is not None:
            changed.set()
        if event.data["status"] in FINAL and event.data["id"] in self._chains:
            conversation_id = self._chains.pop(event.data["id"])
            self._tasks.start(f"chain {event.data['id']}", self._resumed(conversation_id))

    def _on_switch(self, event: Event) -> None:
        if event.data["name"] == CAPABILITY and event.data["available"]:
            self._tasks.start("chains", self.recover())

    async def recover(self) -> None:
        """Find the chains that were left, e.g. by an earlier life, and go on with those whose people have decided."""
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
            if not self._switches.is_on(CAPABILITY):
                return  # it goes on when conversation is switched on
            outcome = await self._outcome(chain)
            if outcome is None:
                return
            self._chains.pop(chain["command_id"], None)
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
        while True:
            # Before the look: a change that comes during it is not missed.
            changed = self._waiters.setdefault(command_id, asyncio.Event())
            if (done := await self._gate.command(command_id)) is None:
                return words.NEVER
            if done["status"] in FINAL:
                return words.outcome(done)
            await changed.wait()

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

    def _keep(
        self, connection: Connection, turn: Turn, row: Json | None, decision: Decision
    ) -> None:
        now, user_id, reply = self._clock(), turn.caller.user_id, decision.reply
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

        self._tell(connection, now, turn, decision)

    def _tell(self, connection: Connection, now: float, turn: Turn, decision: Decision) -> None:
        """Tell others what a conversation is at, without its words unless a person wants them told."""
        reply = decision.reply
        data: Json = {
            "tier": decision.tier.value,
            "confidence": reply.confidence,
            "pending": reply.asks or "chain" in turn.state or "open" in turn.state,
        }
        if self.tells_words:
            data |= {"text": redact(turn.text), "reply": redact(reply.text)}
        name = "answered" if turn.text else "told"
        tell(connection, now, "conversation", turn.conversation_id, name, data)

    @command("conversation.messages", Scope.ADMIN, read_only=True)
    async def messages(self, _caller: Caller, params: MessagesPage) -> Json:
        """List what was said in one conversation, oldest first."""
        mine = messages.c.conversation_id == params.conversation_id
        query = page_of(select(messages).where(mine), messages.c.id, params)
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


def _begun(caller: Caller) -> Json:
    """Return what a new conversation starts from: whose it is where no person is known."""
    return {} if caller.user_id is not None else {_PROGRAM: caller.token}


def _before(state: Json, caller: Caller) -> Json:
    """Return what a turn goes on from: what another person was asked is no question to this one."""
    now = dict(state)
    if now.get(_ASKED, caller.user_id) != caller.user_id:
        now.pop("open", None)
        if (now.get("chain") or {}).get("command_id") is None:
            now.pop("chain", None)
    return now


def _may_speak(row: Json, caller: Caller) -> bool:
    """Tell whether a caller may speak in a conversation: it is theirs, or they were let in.

    What nobody known began goes on with the same program and nobody known. Else whoever learns an id would be
    told what was said there.
    """
    if caller.user_id is not None:
        return threads.takes_part(row, caller.user_id)
    program = row["state"].get(_PROGRAM, caller.token)
    return row["owner"] is None and not row["participants"] and program == caller.token


def _row(connection: Connection, conversation_id: str) -> Json | None:
    query = select(conversations).where(conversations.c.id == conversation_id)
    row = connection.execute(query).mappings().first()
    return None if row is None else dict(row)
