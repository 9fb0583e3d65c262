"""Conversations, models, memory, and the keys of the API."""

from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
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
    false,
)

from brain_server.storage.tables.base import brain, id_column

# -- conversation and routing -------------------------------------------------------------------------

conversations: Final = Table(
    "conversations",
    brain,
    Column("id", String(64), primary_key=True),
    Column("context_key", String(255)),
    Column("owner", String(64)),
    Column("participants", JSON, nullable=False, default=list),
    Column("state", JSON, nullable=False, default=dict),
    Column("created_at", Float, nullable=False),
    Column("last_message_at", Float, nullable=False),
    Index(None, "last_message_at"),
)

messages: Final = Table(
    "conversation_messages",
    brain,
    id_column(),
    Column("conversation_id", ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
    Column("role", String(16), nullable=False),
    Column("user_id", String(64)),
    Column("text", Text, nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("created_at", Float, nullable=False),
    # Where the words came from ("person", "system" or "outside"), and the tools that ran for them.
    Column("trust", String(8), nullable=False, default="person", server_default="person"),
    Column("calls", JSON),
    Index(None, "conversation_id", "id"),
)

decisions: Final = Table(
    "routing_decisions",
    brain,
    id_column(),
    Column("conversation_id", String(64)),
    Column("request_id", String(64), nullable=False),
    Column("input_hash", String(64), nullable=False),
    Column("tier", String(16), nullable=False),
    Column("confidence", Float, nullable=False),
    Column("cost", Float, nullable=False, default=0.0),
    Column("latency_ms", Float, nullable=False),
    Column("reason", String(64), nullable=False),
    Column("performed_by", String(64)),
    Column("created_at", Float, nullable=False),
    Column("provider_id", String(32)),
    Column("model", String(255)),
    Column("cached", Boolean, nullable=False, default=False, server_default=false()),
    Column("tokens_in", Integer),
    Column("tokens_out", Integer),
    # Milliseconds by stage: {"recall": 1.2, "model": 340.0}
    Column("stages", JSON),
    CheckConstraint("confidence >= 0 AND confidence <= 1", name="confidence"),
    Index(None, "conversation_id"),
    Index(None, "request_id"),
    Index(None, "created_at"),
)

providers: Final = Table(
    "providers",
    brain,
    id_column(),
    Column("provider", String(64), nullable=False),
    Column("name", String(64), nullable=False, unique=True),
    Column("tier", String(16), nullable=False),
    Column("uses", JSON, nullable=False),
    Column("options", JSON, nullable=False),
    # Money for a million tokens, in the currency of the budget; None: not known.
    Column("price_in", Float),
    Column("price_out", Float),
    Column("enabled", Boolean, nullable=False, default=True),
    Column("created_at", Float, nullable=False),
    CheckConstraint("tier IN ('local', 'mcp', 'frontier', 'agent')", name="tier"),
)

spending: Final = Table(
    "spending",
    brain,
    id_column(),
    Column("request_id", String(64), nullable=False),
    Column("conversation_id", String(64)),
    Column("provider_id", String(32), nullable=False),
    Column("tier", String(16), nullable=False),
    Column("model", String(255)),
    # The day in the house's own time, "2026-11-21"; its first seven letters are the month.
    Column("day", String(10), nullable=False),
    Column("status", String(16), nullable=False, default="reserved"),
    # Money in millionths of the currency, so that sums are exact.
    Column("reserved_micro", BigInteger, nullable=False),
    Column("cost_micro", BigInteger),
    Column("tokens_in", Integer),
    Column("tokens_out", Integer),
    Column("created_at", Float, nullable=False),
    Column("settled_at", Float),
    CheckConstraint("status IN ('reserved', 'settled', 'released', 'lost')", name="status"),
    CheckConstraint(
        "reserved_micro >= 0 AND (cost_micro IS NULL OR cost_micro >= 0)", name="money"
    ),
    # Has all that the sums of a day and a month need.
    Index("ix_spending_sums", "day", "status", "cost_micro", "reserved_micro"),
    Index(None, "status", "created_at"),
)

# What was changed while running: "budget" and "privacy".
routing_settings: Final = Table(
    "routing_settings",
    brain,
    Column("key", String(64), primary_key=True),
    Column("value", JSON, nullable=False),
)

runs: Final = Table(
    "agent_runs",
    brain,
    id_column(),
    Column("conversation_id", String(64)),
    Column("request_id", String(64), nullable=False),
    Column("goal", Text, nullable=False),
    Column("status", String(16), nullable=False, default="running"),
    # [{"id", "goal", "needs": [id], "worker", "status", "result"}]
    Column("steps", JSON, nullable=False),
    Column("result", Text),
    Column("requested_by", String(64)),
    Column("created_at", Float, nullable=False),
    Column("finished_at", Float),
    CheckConstraint(
        "status IN ('running', 'waiting', 'completed', 'failed', 'cancelled')", name="status"
    ),
    Index(None, "status"),
)

# -- memory -------------------------------------------------------------------------------------------

memories: Final = Table(
    "memories",
    brain,
    id_column(),
    # Home Assistant's user id, or "house" for what everybody may know.
    Column("namespace", String(64), nullable=False),
    Column("text", Text, nullable=False),
    Column("text_hash", String(64), nullable=False),
    # How it came in: said, conversation, file, web, tool or import.
    Column("source", String(16), nullable=False),
    # "person", "system" or "outside"
    Column("trust", String(8), nullable=False),
    Column("conversation_id", String(64)),
    Column("embedder", String(255)),
    Column("vector", LargeBinary),
    Column("created_at", Float, nullable=False),
    UniqueConstraint("namespace", "text_hash"),
    CheckConstraint("trust IN ('person', 'system', 'outside')", name="trust"),
    Index(None, "namespace", "id"),
)

# The people who do not want to be remembered.
memory_off: Final = Table(
    "memory_off",
    brain,
    Column("namespace", String(64), primary_key=True),
    Column("since", Float, nullable=False),
)

embeddings: Final = Table(
    "embeddings",
    brain,
    Column("text_hash", String(64), primary_key=True),
    Column("embedder", String(255), primary_key=True),
    Column("vector", LargeBinary, nullable=False),
    Column("used_at", Float, nullable=False),
    Index(None, "used_at"),
)

# Filled at an orderly stop and emptied at the next start: after a crash there are no kept answers.
cached: Final = Table(
    "cache_entries",
    brain,
    id_column(),
    # SHA-256 of whatever must be the same for the answer to hold: person, context, tools, versions.
    Column("scope", String(64), nullable=False),
    Column("topic", String(64), nullable=False),
    Column("question", Text, nullable=False),
    Column("question_hash", String(64), nullable=False),
    Column("embedder", String(255)),
    Column("vector", LargeBinary),
    Column("answer", JSON, nullable=False),
    Column("size", Integer, nullable=False),
    Column("hits", Integer, nullable=False, default=0),
    Column("created_at", Float, nullable=False),
    Column("used_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    UniqueConstraint("scope", "question_hash"),
)

# -- api ----------------------------------------------------------------------------------------------

tokens: Final = Table(
    "api_keys",
    brain,
    id_column(),
    Column("name", String(64), nullable=False),
    Column("scope", String(16), nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("last_used", Float),
    # Chosen by a person as a setting, so that the next choice takes its place.
    Column("from_setting", Boolean, nullable=False, default=False, server_default=false()),
)
