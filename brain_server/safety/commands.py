"""The verbs of the gate: decisions, what is waiting, and the audit trail."""

from typing import Annotated, Literal

import msgspec
from sqlalchemy import Connection, select

from brain_server.commands import (
    PROCESSING_TIMEOUT,
    Caller,
    NoParams,
    Page,
    Params,
    Scope,
    as_page,
    command,
)
from brain_server.errors import Conflict, Forbidden, InvalidRequest, NotFound
from brain_server.protocol import VOICE_PERSON, CommandStatus, EventStatus, Json
from brain_server.safety.audit import search
from brain_server.safety.directory import Moment
from brain_server.safety.gate import Gate
from brain_server.safety.records import command_view, event_view, shown_to
from brain_server.safety.step import Decision
from brain_server.storage import Database, page_of
from brain_server.storage.tables import commands, events


class Decide(Params):
    """One person's decision with the integration's signature over ``approval_bytes``."""

    event_id: str
    decision: Literal["approve", "deny"]
    subject: str
    at: Moment
    signature: str
    ppe: bool = False
    pin: str | None = None


class EventId(Params):
    """One safety event."""

    event_id: str


class Attempt(Params):
    """A wrong, foreign or stale approval token."""

    user_id: str
    reason: Literal["wrong_token", "foreign_token", "expired_token"]
    event_id: str | None = None


class EventsPage(Page):
    """A part of the list of safety events."""

    status: EventStatus | None = None
    newest_first: bool = False


class CommandsPage(Page):
    """A part of the list of device commands."""

    device_id: str | None = None
    status: CommandStatus | None = None


class CommandId(Params):
    """One device command."""

    command_id: str


class Settle(Params):
    """What a person found when looking after an unknown outcome."""

    command_id: str
    outcome: Literal["acked", "failed"]


class AuditPage(Page):
    """A part of the audit trail."""

    device_id: str | None = None
    user_id: str | None = None
    kind: str | None = None
    since: Moment | None = None
    until: Moment | None = None
    newest_first: bool = False


class Note(Params):
    """Something that Home Assistant did while the brain was away."""

    kind: Annotated[str, msgspec.Meta(pattern="^[a-z_]{1,24}$")]
    user_id: str | None = None
    device_id: str | None = None
    data: dict[str, str | int | float | bool | None] = {}


class SafetyCommands:
    """Puts the gate on the wire."""

    def __init__(self, gate: Gate, database: Database) -> None:
        """Take the gate and its database, for reading."""
        self._gate = gate
        self._db = database

    @command("safety.decide", Scope.INTEGRATION)
    async def decide(self, caller: Caller, params: Decide) -> Json:
        """Approve or deny a safety event as the person that the integration vouches for."""
        return await self._gate.decide(
            Decision(
                event_id=params.event_id,
                approve=params.decision == "approve",
                subject=params.subject,
                user_id=caller.user_id or VOICE_PERSON,
                channel=caller.channel,
                at=params.at,
                signature=params.signature,
                ppe=params.ppe,
                pin=params.pin,
            )
        )

    @command("safety.withdraw", Scope.CONTROL)
    async def withdraw(self, caller: Caller, params: EventId) -> Json:
        """Take back one's own request."""
        return shown_to(caller.scope, await self._gate.withdraw(params.event_id, caller.user_id))

    @command("safety.attempt", Scope.INTEGRATION)
    async def attempt(self, _caller: Caller, params: Attempt) -> Json:
        """Count a wrong approval token against the person who used it."""
        await self._gate.attempt(params.user_id, params.reason, params.event_id)
        return {}

    @command(
        "safety.events",
        Scope.READ,
        read_only=True,
        tool="List the requests that people decide or decided about; status is pending, approved, denied or "
        "expired.",
    )
    async def events(self, caller: Caller, params: EventsPage) -> Json:
        """List safety events, oldest first unless the newest are wanted first."""
        query = page_of(select(events), events.c.id, params, newest_first=params.newest_first)
        if params.status is not None:
            query = query.where(events.c.status == params.status)
        rows = await self._db.read(
            lambda connection: [
                shown_to(caller.scope, event_view(connection, row, self._gate.now()))
                for row in connection.execute(query)
            ]
        )
        return as_page(rows, params)

    @command("safety.event", Scope.READ, read_only=True)
    async def event(self, caller: Caller, params: EventId) -> Json:
        """Return one safety event."""
        query = select(events).where(events.c.id == params.event_id)

        def read(connection: Connection) -> Json | None:
            row = connection.execute(query).first()
            return None if row is None else event_view(connection, row, self._gate.now())

        found = await self._db.read(read)
        if found is None:
            raise NotFound("event_not_found", "There is no such request")
        return shown_to(caller.scope, found)

    @command(
        "commands.list",
        Scope.READ,
        read_only=True,
        tool="List what devices were asked to do, and what came of it.",
    )
    async def commands(self, _caller: Caller, params: CommandsPage) -> Json:
        """List device commands, oldest first."""
        found = select(commands, events.c.id.label("event_id")).outerjoin(
            events, events.c.command_id == commands.c.id
        )
        query = page_of(found, commands.c.id, params)
        if params.device_id is not None:
            query = query.where(commands.c.device_id == params.device_id)
        if params.status is not None:
            query = query.where(commands.c.status == params.status)
        rows = await self._db.read(
            lambda connection: [
                command_view(row, row.event_id) for row in connection.execute(query)
            ]
        )
        return as_page(rows, params)

    @command(
        "commands.get",
        Scope.READ,
        read_only=True,
        tool="Tell what came of one command, by the id that a request returned.",
    )
    async def get(self, _caller: Caller, params: CommandId) -> Json:
        """Return one device command."""
        query = (
            select(commands, events.c.id.label("event_id"))
            .outerjoin(events, events.c.command_id == commands.c.id)
            .where(commands.c.id == params.command_id)
        )
        row = await self._db.read(lambda connection: connection.execute(query).first())
        if row is None:
            raise NotFound("command_not_found", "There is no such command")
        return command_view(row, row.event_id)

    @command("commands.settle", Scope.CONTROL)
    async def settle(self, caller: Caller, params: Settle) -> Json:
        """Settle an unknown outcome, after a person has looked."""
        if caller.user_id is None:
            raise Forbidden("person_required", "Only a person who has looked can settle this")
        known = await self.get(caller, CommandId(command_id=params.command_id))
        if known["status"] != CommandStatus.UNKNOWN:
            raise Conflict("not_unknown", "The outcome of this command is known")
        return await self._gate.settle(
            params.command_id,
            CommandStatus(params.outcome),
            "settled by a person",
            user_id=caller.user_id,
        )

    # Of the scope of an administrator, because it tells who has a code and who was forced.
    @command("audit.list", Scope.ADMIN, read_only=True)
    async def audit(self, _caller: Caller, params: AuditPage) -> Json:
        """List what happened; the cursor is a sequence number."""
        try:
            after = max(0, min(int(params.cursor or 0), 2**63 - 1))  # what a database can hold
        except ValueError as err:
            raise InvalidRequest(
                "invalid_cursor", "The cursor is a number", field="cursor"
            ) from err
        rows = await self._db.read(
            lambda connection: search(
                connection,
                after=after,
                limit=params.limit + 1,
                kinds=(params.kind,) if params.kind else (),
                device_id=params.device_id,
                user_id=params.user_id,
                since=params.since,
                until=params.until,
                newest_first=params.newest_first,
            )
        )
        return as_page(rows, params, key="seq")

    @command("audit.verify", Scope.READ, read_only=True, timeout=PROCESSING_TIMEOUT)
    async def verify(self, _caller: Caller, _params: NoParams) -> Json:
        """Recompute the whole chain."""
        head, problem = await self._db.read(self._gate.chain.verify)
        return {
            "ok": problem is None,
            "rows": head.seq,
            "head": head.as_dict(),
            "problem": problem,
        }

    @command("audit.note", Scope.INTEGRATION)
    async def note(self, _caller: Caller, params: Note) -> Json:
        """Record what Home Assistant did while the brain was away."""
        await self._gate.step(
            lambda step: step.audit(
                f"ha_{params.kind}",
                user_id=params.user_id,
                device_id=params.device_id,
                data=dict(params.data),
            )
        )
        return {}
