"""The first schema of the safety database."""

from alembic import op
import sqlalchemy as sa

from brain_server.storage.append_only import APPEND_ONLY_POSTGRES, APPEND_ONLY_SQLITE

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make all tables."""
    op.create_table(
        "audit_log",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=True),
        sa.Column("device_id", sa.String(length=32), nullable=True),
        sa.Column("event_id", sa.String(length=32), nullable=True),
        sa.Column("command_id", sa.String(length=32), nullable=True),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit_log")),
        sa.UniqueConstraint("hash", name=op.f("uq_audit_log_hash")),
    )
    op.create_index(op.f("ix_audit_log_at"), "audit_log", ["at"], unique=False)
    op.create_index(
        op.f("ix_audit_log_device_id_seq"), "audit_log", ["device_id", "seq"], unique=False
    )
    op.create_index(op.f("ix_audit_log_user_id_seq"), "audit_log", ["user_id", "seq"], unique=False)
    op.create_table(
        "device_commands",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("device_id", sa.String(length=32), nullable=False),
        sa.Column("device_name", sa.String(length=255), nullable=False),
        sa.Column("zone_id", sa.String(length=64), nullable=True),
        sa.Column("intent", sa.String(length=32), nullable=False),
        sa.Column("params", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("requested_by", sa.String(length=64), nullable=True),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("conversation_id", sa.String(length=64), nullable=True),
        sa.Column("idempotency_key", sa.String(length=160), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("claimed_at", sa.Float(), nullable=True),
        sa.Column("sent_at", sa.Float(), nullable=True),
        sa.Column("ack_at", sa.Float(), nullable=True),
        sa.Column("detail", sa.String(length=255), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_device_commands")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_device_commands_idempotency_key")),
    )
    op.create_index(
        op.f("ix_device_commands_device_id_created_at"),
        "device_commands",
        ["device_id", "created_at"],
        unique=False,
    )
    op.create_index(op.f("ix_device_commands_status"), "device_commands", ["status"], unique=False)
    op.create_table(
        "lockouts",
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_failure", sa.Float(), nullable=False),
        sa.Column("locked_until", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_lockouts")),
    )
    op.create_table(
        "safety_state",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_safety_state")),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("display_name", sa.String(length=255), nullable=False),
        sa.Column("email", sa.String(length=255), nullable=True),
        sa.Column("roles", sa.JSON(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("pin_hash", sa.LargeBinary(), nullable=True),
        sa.Column("duress_hash", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.CheckConstraint("display_name <> ''", name=op.f("ck_users_name_given")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
    )
    op.create_table(
        "zone_checks",
        sa.Column("zone_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("ok", sa.Boolean(), nullable=False),
        sa.Column("observed_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("zone_id", "name", name=op.f("pk_zone_checks")),
    )
    op.create_table(
        "zone_presence",
        sa.Column("zone_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("observed_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("zone_id", "user_id", name=op.f("pk_zone_presence")),
    )
    op.create_table(
        "zones",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("hazard_level", sa.String(length=8), nullable=False),
        sa.Column("requires_ppe", sa.Boolean(), nullable=False),
        sa.Column("door_ids", sa.JSON(), nullable=False),
        sa.CheckConstraint(
            "hazard_level IN ('low', 'medium', 'high')", name=op.f("ck_zones_level")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_zones")),
    )
    op.create_table(
        "access_policies",
        sa.Column("zone_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("required_roles", sa.JSON(), nullable=False),
        sa.Column("requires_dual_confirm", sa.Boolean(), nullable=False),
        sa.Column("requires_presence", sa.Boolean(), nullable=False),
        sa.Column("requester_may_confirm", sa.Boolean(), nullable=False),
        sa.Column("voice_may_confirm", sa.Boolean(), nullable=False),
        sa.Column("presence_ttl", sa.Float(), nullable=False),
        sa.Column("checks", sa.JSON(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["zone_id"], ["zones.id"], name=op.f("fk_access_policies_zone_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("zone_id", name=op.f("pk_access_policies")),
    )
    op.create_table(
        "safety_events",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("command_id", sa.String(length=32), nullable=False),
        sa.Column("event_type", sa.String(length=16), nullable=False),
        sa.Column("level", sa.String(length=8), nullable=False),
        sa.Column("people_needed", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("initiated_by", sa.String(length=64), nullable=True),
        sa.Column("approved_by", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("denied_by", sa.String(length=64), nullable=True),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("nonce", sa.String(length=64), nullable=False),
        sa.Column("policy_version", sa.Integer(), nullable=False),
        sa.Column("requires_ppe", sa.Boolean(), nullable=False),
        sa.Column("evidence_key", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.Column("resolved_at", sa.Float(), nullable=True),
        sa.CheckConstraint(
            "status <> 'approved' OR (approved_by IS NOT NULL AND CAST(approved_by AS VARCHAR) <> '[]')",
            name=op.f("ck_safety_events_approved_by_somebody"),
        ),
        sa.ForeignKeyConstraint(
            ["command_id"], ["device_commands.id"], name=op.f("fk_safety_events_command_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_safety_events")),
        sa.UniqueConstraint("command_id", name=op.f("uq_safety_events_command_id")),
        sa.UniqueConstraint("nonce", name=op.f("uq_safety_events_nonce")),
    )
    op.create_index(
        op.f("ix_safety_events_status_expires_at"),
        "safety_events",
        ["status", "expires_at"],
        unique=False,
    )
    op.create_table(
        "approvals",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("event_id", sa.String(length=32), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("decision", sa.String(length=8), nullable=False),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("signature", sa.String(length=128), nullable=False),
        sa.Column("ppe", sa.Boolean(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["event_id"], ["safety_events.id"], name=op.f("fk_approvals_event_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approvals")),
        sa.UniqueConstraint("event_id", "user_id", name=op.f("uq_approvals_event_id_user_id")),
        sa.UniqueConstraint("signature", name=op.f("uq_approvals_signature")),
    )
    sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in APPEND_ONLY_SQLITE if sqlite else APPEND_ONLY_POSTGRES:
        op.execute(statement)


def downgrade() -> None:
    """Remove all tables."""
    op.drop_table("approvals")
    op.drop_index(op.f("ix_safety_events_status_expires_at"), table_name="safety_events")
    op.drop_table("safety_events")
    op.drop_table("access_policies")
    op.drop_table("zones")
    op.drop_table("zone_presence")
    op.drop_table("zone_checks")
    op.drop_table("users")
    op.drop_table("safety_state")
    op.drop_table("lockouts")
    op.drop_index(op.f("ix_device_commands_status"), table_name="device_commands")
    op.drop_index(op.f("ix_device_commands_device_id_created_at"), table_name="device_commands")
    op.drop_table("device_commands")
    op.drop_index(op.f("ix_audit_log_user_id_seq"), table_name="audit_log")
    op.drop_index(op.f("ix_audit_log_device_id_seq"), table_name="audit_log")
    op.drop_index(op.f("ix_audit_log_at"), table_name="audit_log")
    op.drop_table("audit_log")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_log_refuse()")
