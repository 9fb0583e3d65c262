"""Who may do what, what was asked, decided and done: the database that survives a power loss."""

from collections.abc import Callable
from typing import Final, cast

from sqlalchemy import (
    DDL,
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    event,
)

from brain_server.storage.append_only import APPEND_ONLY_POSTGRES, APPEND_ONLY_SQLITE
from brain_server.storage.tables.base import id_column, safety

# -- safety: who, where, under which rule -------------------------------------------------------------

users: Final = Table(
    "users",
    safety,
    Column("id", String(64), primary_key=True),  # Home Assistant's user id
    Column("display_name", String(255), nullable=False),
    Column("email", String(255), unique=True),
    Column("roles", JSON, nullable=False),
    Column("active", Boolean, nullable=False, default=True),
    Column("pin_hash", LargeBinary),
    Column("duress_hash", LargeBinary),
    Column("created_at", Float, nullable=False),
    CheckConstraint("display_name <> ''", name="name_given"),
)

zones: Final = Table(
    "zones",
    safety,
    Column("id", String(64), primary_key=True),  # Home Assistant's area id
    Column("name", String(255), nullable=False),
    Column("hazard_level", String(8), nullable=False, default="low"),
    Column("requires_ppe", Boolean, nullable=False, default=False),
    Column("door_ids", JSON, nullable=False, default=list),
    CheckConstraint("hazard_level IN ('low', 'medium', 'high')", name="level"),
)

policies: Final = Table(
    "access_policies",
    safety,
    Column("zone_id", String(64), ForeignKey("zones.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("required_roles", JSON, nullable=False),
    Column("requires_dual_confirm", Boolean, nullable=False),
    Column("requires_presence", Boolean, nullable=False),
    Column("requester_may_confirm", Boolean, nullable=False),
    Column("voice_may_confirm", Boolean, nullable=False),
    Column("presence_ttl", Float, nullable=False),
    Column("checks", JSON, nullable=False, default=list),
    Column("version", Integer, nullable=False),
)

presence: Final = Table(
    "zone_presence",
    safety,
    Column("zone_id", String(64), primary_key=True),
    Column("user_id", String(64), primary_key=True),
    Column("source", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("observed_at", Float, nullable=False),
)

checks: Final = Table(
    "zone_checks",
    safety,
    Column("zone_id", String(64), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("ok", Boolean, nullable=False),
    Column("observed_at", Float, nullable=False),
)

lockouts: Final = Table(
    "lockouts",
    safety,
    Column("user_id", String(64), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last_failure", Float, nullable=False),
    Column("locked_until", Float, nullable=False, default=0.0),
)

# -- safety: what was asked, decided and done ---------------------------------------------------------

commands: Final = Table(
    "device_commands",
    safety,
    id_column(),
    Column("device_id", String(32), nullable=False),
    Column("device_name", String(255), nullable=False),
    Column("zone_id", String(64)),
    Column("intent", String(32), nullable=False),
    Column("params", JSON, nullable=False),
    Column("status", String(16), nullable=False, default="pending"),
    Column("requested_by", String(64)),
    Column("channel", String(16), nullable=False),
    Column("conversation_id", String(64)),
    Column("idempotency_key", String(160), unique=True),
    Column("created_at", Float, nullable=False),
    Column("claimed_at", Float),
    Column("sent_at", Float),
    Column("ack_at", Float),
    Column("detail", String(255)),
    Index(None, "device_id", "created_at"),
    Index(None, "status"),
)

events: Final = Table(
    "safety_events",
    safety,
    id_column(),
    Column("command_id", ForeignKey("device_commands.id"), nullable=False, unique=True),
    Column("event_type", String(16), nullable=False),
    Column("level", String(8), nullable=False),
    Column("people_needed", Integer, nullable=False),
    Column("status", String(16), nullable=False, default="pending"),
    Column("initiated_by", String(64)),
    Column("approved_by", JSON(none_as_null=True)),
    Column("denied_by", String(64)),
    Column("reason", String(64)),
    Column("subject", String(64), nullable=False),
    Column("nonce", String(64), nullable=False, unique=True),
    Column("policy_version", Integer, nullable=False),
    Column("requires_ppe", Boolean, nullable=False),
    Column("evidence_key", String(255)),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("resolved_at", Float),
    CheckConstraint(
        "status <> 'approved' OR "
        "(approved_by IS NOT NULL AND CAST(approved_by AS VARCHAR) <> '[]')",
        name="approved_by_somebody",
    ),
    Index(None, "status", "expires_at"),
)

approvals: Final = Table(
    "approvals",
    safety,
    id_column(),
    Column("event_id", ForeignKey("safety_events.id"), nullable=False),
    Column("user_id", String(64), nullable=False),
    Column("decision", String(8), nullable=False),
    Column("channel", String(16), nullable=False),
    Column("signature", String(128), nullable=False, unique=True),
    Column("ppe", Boolean, nullable=False),
    Column("at", Float, nullable=False),
    UniqueConstraint("event_id", "user_id"),
)

audit: Final = Table(
    "audit_log",
    safety,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", Float, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("user_id", String(64)),
    Column("device_id", String(32)),
    Column("event_id", String(32)),
    Column("command_id", String(32)),
    Column("request_id", String(64)),
    Column("data", JSON, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
    Index(None, "device_id", "seq"),
    Index(None, "user_id", "seq"),
    Index(None, "at"),
)

safety_state: Final = Table(
    "safety_state", safety, Column("key", String(64), primary_key=True), Column("value", Text)
)

_ddl: Final = cast("Callable[[str], DDL]", DDL)  # SQLAlchemy leaves its constructor untyped
for _statement in APPEND_ONLY_SQLITE:
    event.listen(audit, "after_create", _ddl(_statement).execute_if(dialect="sqlite"))
for _statement in APPEND_ONLY_POSTGRES:
    event.listen(audit, "after_create", _ddl(_statement).execute_if(dialect="postgresql"))
