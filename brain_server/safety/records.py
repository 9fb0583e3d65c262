"""Rows of the safety database as facts and as wire objects."""

from typing import Any, Final

from sqlalchemy import Connection, Row, select

from brain_server.commands import Scope
from brain_server.protocol import Channel, Hazard, Json, Role
from brain_server.safety.policy import (
    Check,
    Facts,
    Person,
    Policy,
    Presence,
    Wish,
    Zone,
    eligible,
    people,
)
from brain_server.storage import tables

DEFAULT_VERSION: Final = "default_version"
INTEGRATION_KEY: Final = "integration_key"
OPEN_COMMANDS: Final = ("pending", "deferred", "claimed", "sent", "unknown")


def read_facts(connection: Connection, zone_id: str | None, now: float) -> Facts:
    """Read all that a judgement about one zone may look at."""
    zone = connection.execute(select(tables.zones).where(tables.zones.c.id == zone_id)).first()
    rule = connection.execute(
        select(tables.policies).where(tables.policies.c.zone_id == zone_id)
    ).first()
    seen = select(tables.presence).where(tables.presence.c.zone_id == zone_id)
    results = select(tables.checks).where(tables.checks.c.zone_id == zone_id)
    return Facts(
        now=now,
        zone=None if zone is None else as_zone(zone),
        policy=_default(connection) if rule is None else as_policy(rule),
        people={row.id: as_person(row) for row in connection.execute(select(tables.users))},
        presence={
            row.user_id: Presence(status=row.status, source=row.source, observed_at=row.observed_at)
            for row in connection.execute(seen)
        },
        checks={
            row.name: Check(ok=row.ok, observed_at=row.observed_at)
            for row in connection.execute(results)
        },
        locked_until={
            row.user_id: row.locked_until for row in connection.execute(select(tables.lockouts))
        },
    )


def read_state(connection: Connection, key: str) -> str | None:
    """Return one of the few values that the gate keeps beside its tables."""
    query = select(tables.safety_state.c.value).where(tables.safety_state.c.key == key)
    return connection.execute(query).scalar()


def _default(connection: Connection) -> Policy:
    """Return the rule of a zone without one; its version is new whenever any zone has lost its own."""
    return Policy(version=int(read_state(connection, DEFAULT_VERSION) or 0))


def as_zone(row: Row[Any]) -> Zone:
    """Return a zone row as a fact."""
    return Zone(
        id=row.id,
        name=row.name,
        hazard_level=Hazard(row.hazard_level),
        requires_ppe=row.requires_ppe,
    )


def as_policy(row: Row[Any]) -> Policy:
    """Return a policy row as a fact."""
    return Policy(
        name=row.name,
        required_roles=frozenset(Role(role) for role in row.required_roles),
        requires_dual_confirm=row.requires_dual_confirm,
        requires_presence=row.requires_presence,
        requester_may_confirm=row.requester_may_confirm,
        voice_may_confirm=row.voice_may_confirm,
        presence_ttl=row.presence_ttl,
        checks=tuple(row.checks),
        version=row.version,
    )


def as_person(row: Row[Any]) -> Person:
    """Return a user row as a fact."""
    return Person(id=row.id, name=row.display_name, roles=frozenset(row.roles), active=row.active)


def wish_of(command: Row[Any]) -> Wish:
    """Return what a command row asks for."""
    return Wish(
        intent=command.intent, requester=command.requested_by, channel=Channel(command.channel)
    )


def approvers_of(connection: Connection, event_id: str) -> frozenset[str]:
    """Return the people who approved an event."""
    query = select(tables.approvals.c.user_id).where(
        tables.approvals.c.event_id == event_id, tables.approvals.c.decision == "approve"
    )
    return frozenset(connection.execute(query).scalars())


def command_view(row: Row[Any], event_id: str | None) -> Json:
    """Return a command as it goes over the wire."""
    names = [
        "id",
        "device_id",
        "device_name",
        "intent",
        "params",
        "status",
        "requested_by",
        "channel",
        "created_at",
        "claimed_at",
        "sent_at",
        "ack_at",
        "detail",
        "conversation_id",
        "idempotency_key",
    ]
    return {name: getattr(row, name) for name in names} | {"event_id": event_id}


def shown_to(scope: Scope, event: Json) -> Json:
    """Return what a token of this scope sees of an event: the nonce is for Home Assistant alone."""
    if scope is Scope.INTEGRATION:
        return event
    return {name: value for name, value in event.items() if name != "nonce"}


def event_view(connection: Connection, event: Row[Any], now: float) -> Json:
    """Return a safety event as it goes over the wire, with who may still decide it."""
    command = connection.execute(
        select(tables.commands).where(tables.commands.c.id == event.command_id)
    ).one()
    approvers = approvers_of(connection, event.id)
    wish, facts = wish_of(command), read_facts(connection, command.zone_id, now)
    pending = event.status == "pending"
    names = [
        "id",
        "command_id",
        "event_type",
        "level",
        "people_needed",
        "status",
        "initiated_by",
        "denied_by",
        "reason",
        "subject",
        "nonce",
        "policy_version",
        "requires_ppe",
        "evidence_key",
        "created_at",
        "expires_at",
        "resolved_at",
    ]
    return {name: getattr(event, name) for name in names} | {
        "device_id": command.device_id,
        "device_name": command.device_name,
        "zone_id": command.zone_id,
        "intent": command.intent,
        "params": command.params,
        "channel": command.channel,
        "conversation_id": command.conversation_id,
        "approved_by": event.approved_by or [],
        "people": sorted(people(wish, facts, approvers)),
        "eligible": eligible(wish, facts, approvers) if pending else [],
        "voice_may_confirm": facts.policy.voice_may_confirm and event.people_needed == 1,
    }
