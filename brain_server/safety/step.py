"""One transaction at the gate, and what goes into it."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, select, update

from brain_server.errors import NotFound
from brain_server.protocol import (
    COMMAND_TRANSITIONS,
    EVENT_TRANSITIONS,
    Channel,
    CommandStatus,
    EventStatus,
    Json,
)
from brain_server.safety.audit import Chain, Head
from brain_server.safety.records import command_view, event_view
from brain_server.storage.tables import commands, events


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request as it reaches the gate: the device is known and the parameters are valid."""

    device_id: str
    device_name: str
    zone_id: str | None
    intent: str
    params: Json
    requester: str | None
    channel: Channel
    conversation_id: str | None = None
    idempotency_key: str | None = None
    # A safe direction that has to wait for the device itself, e.g. power off until it is cool.
    defer: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One person's answer, countersigned by the integration that knows who it was."""

    event_id: str
    approve: bool
    subject: str
    user_id: str
    channel: Channel
    at: float
    signature: str
    ppe: bool = False
    pin: str | None = None


class Authorized(NamedTuple):
    """What the gate made of a request; ``fresh`` is False when it only repeats an earlier one."""

    command: Json
    event: Json | None
    fresh: bool


@dataclass(slots=True)
class Step:
    """One transaction at the gate: its connection, its time, its audit rows, what to publish after."""

    connection: Connection
    chain: Chain
    now: float
    head: Head | None = None
    publish: list[tuple[str, Json]] = field(default_factory=list)

    def audit(self, kind: str, **about: Any) -> None:
        """Record something in this transaction."""
        self.head = self.chain.append(self.connection, kind, at=self.now, **about)

    def audit_command(
        self,
        kind: str,
        command: Row[Any],
        event_id: str | None,
        *,
        user_id: str | None,
        **data: Any,
    ) -> None:
        """Record something about a command."""
        about: Json = {"intent": command.intent, "device": command.device_name}
        self.audit(
            kind,
            user_id=user_id,
            device_id=command.device_id,
            command_id=command.id,
            event_id=event_id,
            data=about | data,
        )

    def one_command(self, command_id: str) -> Row[Any]:
        """Return a command row; NotFound ``command_not_found``."""
        row = self.connection.execute(select(commands).where(commands.c.id == command_id)).first()
        if row is None:
            raise NotFound("command_not_found", "There is no such command")
        return row

    def event_of(self, command_id: str) -> Row[Any] | None:
        """Return the safety event of a command, if it needed one."""
        query = select(events).where(events.c.command_id == command_id)
        return self.connection.execute(query).first()

    def move_command(self, command: Row[Any], to: CommandStatus, **columns: Any) -> bool:
        """Take a command to another state, if it is in one from which that is allowed."""
        sources = [state for state, targets in COMMAND_TRANSITIONS.items() if to in targets]
        done = self.connection.execute(
            update(commands)
            .where(commands.c.id == command.id, commands.c.status.in_(sources))
            .values(status=to, **columns)
        )
        if done.rowcount == 1:
            self.show_command(command.id)
        return done.rowcount == 1

    def move_event(self, event: Row[Any], to: EventStatus, **columns: Any) -> bool:
        """Take a safety event to another state, if that is allowed."""
        sources = [state for state, targets in EVENT_TRANSITIONS.items() if to in targets]
        done = self.connection.execute(
            update(events)
            .where(events.c.id == event.id, events.c.status.in_(sources))
            .values(status=to, **columns)
        )
        if done.rowcount == 1:
            self.show_event(event.id)
        return done.rowcount == 1

    def show_event(self, event_id: str) -> Json:
        """Publish an event as it is now, after the commit."""
        row = self.connection.execute(select(events).where(events.c.id == event_id)).one()
        view = event_view(self.connection, row, self.now)
        self.publish.append(("safety.event", view))
        return view

    def show_command(self, command_id: str) -> Json:
        """Publish a command as it is now, after the commit."""
        event = self.event_of(command_id)
        view = command_view(self.one_command(command_id), event.id if event else None)
        self.publish.append(("command.updated", view))
        return view

    def close(self, command: Row[Any], event: Row[Any], to: EventStatus, **columns: Any) -> None:
        """End an event without execution, and its command with it."""
        self.move_event(event, to, resolved_at=self.now, **columns)
        status = CommandStatus.DENIED if to is EventStatus.DENIED else CommandStatus.EXPIRED
        self.move_command(command, status, detail=columns.get("reason"))
