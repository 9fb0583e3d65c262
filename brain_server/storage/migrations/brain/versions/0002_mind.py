"""Models, money, memory and the answers that are kept."""

from alembic import op
import sqlalchemy as sa

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables of the mind."""
    op.create_table(
        "agent_runs",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("conversation_id", sa.String(length=64), nullable=True),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("goal", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("steps", sa.JSON(), nullable=False),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("requested_by", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("finished_at", sa.Float(), nullable=True),
        sa.CheckConstraint(
            "status IN ('running', 'waiting', 'completed', 'failed', 'cancelled')",
            name=op.f("ck_agent_runs_status"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent_runs")),
    )
    op.create_index(op.f("ix_agent_runs_status"), "agent_runs", ["status"], unique=False)
    op.create_table(
        "cache_entries",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("scope", sa.String(length=64), nullable=False),
        sa.Column("topic", sa.String(length=64), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("question_hash", sa.String(length=64), nullable=False),
        sa.Column("embedder", sa.String(length=255), nullable=True),
        sa.Column("vector", sa.LargeBinary(), nullable=True),
        sa.Column("answer", sa.JSON(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("hits", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("used_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cache_entries")),
        sa.UniqueConstraint(
            "scope", "question_hash", name=op.f("uq_cache_entries_scope_question_hash")
        ),
    )
    op.create_table(
        "embeddings",
        sa.Column("text_hash", sa.String(length=64), nullable=False),
        sa.Column("embedder", sa.String(length=255), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.Column("used_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("text_hash", "embedder", name=op.f("pk_embeddings")),
    )
    op.create_index(op.f("ix_embeddings_used_at"), "embeddings", ["used_at"], unique=False)
    op.create_table(
        "memories",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("namespace", sa.String(length=64), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("text_hash", sa.String(length=64), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("trust", sa.String(length=8), nullable=False),
        sa.Column("conversation_id", sa.String(length=64), nullable=True),
        sa.Column("embedder", sa.String(length=255), nullable=True),
        sa.Column("vector", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.CheckConstraint(
            "trust IN ('person', 'system', 'outside')", name=op.f("ck_memories_trust")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_memories")),
        sa.UniqueConstraint("namespace", "text_hash", name=op.f("uq_memories_namespace_text_hash")),
    )
    op.create_index(op.f("ix_memories_namespace_id"), "memories", ["namespace", "id"], unique=False)
    op.create_table(
        "memory_off",
        sa.Column("namespace", sa.String(length=64), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", name=op.f("pk_memory_off")),
    )
    op.create_table(
        "providers",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("provider", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("tier", sa.String(length=16), nullable=False),
        sa.Column("uses", sa.JSON(), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("price_in", sa.Float(), nullable=True),
        sa.Column("price_out", sa.Float(), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.CheckConstraint(
            "tier IN ('local', 'mcp', 'frontier', 'agent')", name=op.f("ck_providers_tier")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_providers")),
        sa.UniqueConstraint("name", name=op.f("uq_providers_name")),
    )
    op.create_table(
        "routing_settings",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_routing_settings")),
    )
    op.create_table(
        "spending",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("conversation_id", sa.String(length=64), nullable=True),
        sa.Column("provider_id", sa.String(length=32), nullable=False),
        sa.Column("tier", sa.String(length=16), nullable=False),
        sa.Column("model", sa.String(length=255), nullable=True),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("reserved_micro", sa.BigInteger(), nullable=False),
        sa.Column("cost_micro", sa.BigInteger(), nullable=True),
        sa.Column("tokens_in", sa.Integer(), nullable=True),
        sa.Column("tokens_out", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("settled_at", sa.Float(), nullable=True),
        sa.CheckConstraint(
            "status IN ('reserved', 'settled', 'released', 'lost')", name=op.f("ck_spending_status")
        ),
        sa.CheckConstraint(
            "reserved_micro >= 0 AND (cost_micro IS NULL OR cost_micro >= 0)",
            name=op.f("ck_spending_money"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_spending")),
    )
    op.create_index(
        op.f("ix_spending_status_created_at"), "spending", ["status", "created_at"], unique=False
    )
    op.create_index(
        "ix_spending_sums",
        "spending",
        ["day", "status", "cost_micro", "reserved_micro"],
        unique=False,
    )
    op.add_column(
        "api_keys",
        sa.Column("from_setting", sa.Boolean(), server_default=sa.false(), nullable=False),
    )
    op.add_column(
        "conversation_messages",
        sa.Column("trust", sa.String(length=8), server_default="person", nullable=False),
    )
    op.add_column("conversation_messages", sa.Column("calls", sa.JSON(), nullable=True))
    op.add_column(
        "routing_decisions", sa.Column("provider_id", sa.String(length=32), nullable=True)
    )
    op.add_column("routing_decisions", sa.Column("model", sa.String(length=255), nullable=True))
    op.add_column(
        "routing_decisions",
        sa.Column("cached", sa.Boolean(), server_default=sa.false(), nullable=False),
    )
    op.add_column("routing_decisions", sa.Column("tokens_in", sa.Integer(), nullable=True))
    op.add_column("routing_decisions", sa.Column("tokens_out", sa.Integer(), nullable=True))
    op.add_column("routing_decisions", sa.Column("stages", sa.JSON(), nullable=True))
    op.create_index(
        op.f("ix_routing_decisions_created_at"), "routing_decisions", ["created_at"], unique=False
    )


def downgrade() -> None:
    """Remove them."""
    op.drop_index(op.f("ix_routing_decisions_created_at"), table_name="routing_decisions")
    op.drop_column("routing_decisions", "stages")
    op.drop_column("routing_decisions", "tokens_out")
    op.drop_column("routing_decisions", "tokens_in")
    op.drop_column("routing_decisions", "cached")
    op.drop_column("routing_decisions", "model")
    op.drop_column("routing_decisions", "provider_id")
    op.drop_column("conversation_messages", "calls")
    op.drop_column("conversation_messages", "trust")
    op.drop_column("api_keys", "from_setting")
    op.drop_index("ix_spending_sums", table_name="spending")
    op.drop_index(op.f("ix_spending_status_created_at"), table_name="spending")
    op.drop_table("spending")
    op.drop_table("routing_settings")
    op.drop_table("providers")
    op.drop_table("memory_off")
    op.drop_index(op.f("ix_memories_namespace_id"), table_name="memories")
    op.drop_table("memories")
    op.drop_index(op.f("ix_embeddings_used_at"), table_name="embeddings")
    op.drop_table("embeddings")
    op.drop_table("cache_entries")
    op.drop_index(op.f("ix_agent_runs_status"), table_name="agent_runs")
    op.drop_table("agent_runs")
