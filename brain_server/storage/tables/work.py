"""What goes on by itself: leases, work, the schedule, what is told to others, goals and research."""

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
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    true,
)

from brain_server.storage.tables.base import brain, id_column

# -- schedule -----------------------------------------------------------------------------------------

# Who does what only one may do. The fence grows with every new owner, so that a late one is known by it.
leases: Final = Table(
    "leases",
    brain,
    Column("name", String(64), primary_key=True),
    Column("owner", String(64), nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("until", Float, nullable=False),
    Column("info", JSON, nullable=False),
)

# The work that comes again: its times, as a person left them, and when it is next due.
schedule: Final = Table(
    "schedule",
    brain,
    Column("name", String(64), primary_key=True),
    Column("timing", String(64), nullable=False),
    Column("enabled", Boolean, nullable=False, default=True, server_default=true()),
    # Changed by a person, so that a new version of the program does not take its own default.
    Column("is_set", Boolean, nullable=False, default=False, server_default=false()),
    Column("next_at", Float),
    Column("last_at", Float),
    # The run that was last due, or asked for.
    Column("work_id", String(32)),
)

work: Final = Table(
    "work",
    brain,
    id_column(),
    Column("kind", String(64), nullable=False),
    # What makes it this piece and no other; a second one with the same key is the first one.
    Column("key", String(160), unique=True),
    Column("payload", JSON, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("status", String(16), nullable=False, default="pending"),
    Column("due_at", Float, nullable=False),
    # The order in which it is taken: how long it has waited, moved forward by its priority.
    Column("rank", Float, nullable=False),
    Column("tries", Integer, nullable=False, default=0),
    Column("owner", String(64)),
    Column("fence", BigInteger, nullable=False, default=0),
    Column("lease_until", Float),
    Column("cancelling", Boolean, nullable=False, default=False, server_default=false()),
    Column("progress", Float),
    Column("note", String(255)),
    Column("result", JSON(none_as_null=True)),
    Column("error", JSON(none_as_null=True)),
    Column("requested_by", String(64)),
    Column("request_id", String(64)),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("finished_at", Float),
    CheckConstraint(
        "status IN ('pending', 'running', 'completed', 'dead', 'cancelled')", name="status"
    ),
    CheckConstraint("priority BETWEEN 1 AND 10", name="priority"),
    Index(None, "status", "rank"),
    Index(None, "kind", "id"),
)

# Each try of a piece of work, by its fence.
work_tries: Final = Table(
    "work_tries",
    brain,
    Column("work_id", ForeignKey("work.id", ondelete="CASCADE"), primary_key=True),
    Column("fence", BigInteger, primary_key=True),
    Column("owner", String(64), nullable=False),
    Column("started_at", Float, nullable=False),
    Column("finished_at", Float),
    # "completed", "failed", "timed_out", "cancelled", "lost"; None while it runs
    Column("outcome", String(16)),
    Column("error", JSON(none_as_null=True)),
)

# What a piece of work has done for good, so that the next try goes on behind it.
work_steps: Final = Table(
    "work_steps",
    brain,
    Column("work_id", ForeignKey("work.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("result", JSON, nullable=False),
    Column("at", Float, nullable=False),
)

# -- outbox -------------------------------------------------------------------------------------------

# What others are told, in order; written with what it tells of.
outbox: Final = Table(
    "outbox",
    brain,
    Column(
        "id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    ),
    Column("topic", String(64), nullable=False),
    # Those of one key arrive in their order.
    Column("key", String(160), nullable=False),
    Column("name", String(64), nullable=False),
    Column("data", JSON, nullable=False),
    # The row that it was made from, where that is in another database; told once.
    Column("source", String(160), unique=True),
    Column("request_id", String(64)),
    Column("created_at", Float, nullable=False),
    sqlite_autoincrement=True,
)

outbox_cursors: Final = Table(
    "outbox_cursors",
    brain,
    Column("sink", String(64), primary_key=True),
    Column("last_id", BigInteger, nullable=False),
    Column("updated_at", Float, nullable=False),
)

# -- capabilities -------------------------------------------------------------------------------------

capabilities: Final = Table(
    "capabilities",
    brain,
    Column("name", String(64), primary_key=True),
    Column("enabled", Boolean, nullable=False),
    Column("changed_by", String(64)),
    Column("changed_at", Float, nullable=False),
)

# -- notify -------------------------------------------------------------------------------------------

# The roads to people, besides the phones that Home Assistant knows.
channels: Final = Table(
    "notify_channels",
    brain,
    id_column(),
    Column("type", String(16), nullable=False),
    Column("name", String(64), nullable=False, unique=True),
    Column("target", String(255), nullable=False),
    # What a signed webhook is signed with.
    Column("secret", String(128)),
    Column("least_severity", String(16), nullable=False),
    Column("enabled", Boolean, nullable=False, default=True, server_default=true()),
    Column("created_at", Float, nullable=False),
    CheckConstraint("type IN ('push', 'email', 'slack', 'webhook')", name="type"),
)

notifications: Final = Table(
    "notifications",
    brain,
    id_column(),
    # One incident: what comes again within its cooldown is the same one.
    Column("key", String(160), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("title", String(255), nullable=False),
    Column("message", Text, nullable=False),
    Column("data", JSON, nullable=False),
    # What can be answered: ``[{"id", "title"}]``, with the command that an answer runs, where it runs one.
    Column("actions", JSON, nullable=False),
    # Only for this person; None: whoever is to be told of this severity.
    Column("user_id", String(64)),
    Column("repeats", Integer, nullable=False, default=0, server_default="0"),
    Column("answer", String(64)),
    Column("answered_by", String(64)),
    Column("answered_at", Float),
    Column("created_at", Float, nullable=False),
    Index(None, "key", "created_at"),
    CheckConstraint("severity IN ('info', 'warning', 'critical')", name="severity"),
)

deliveries: Final = Table(
    "notify_deliveries",
    brain,
    id_column(),
    Column("notification_id", ForeignKey("notifications.id", ondelete="CASCADE"), nullable=False),
    Column("channel_id", String(32), nullable=False),
    Column("status", String(16), nullable=False, default="queued"),
    # ``{"attempts": [{"at", "code"}]}`` and what else is known of the way.
    Column("metadata", JSON, nullable=False),
    Column("sent_at", Float),
    Column("work_id", String(32)),
    UniqueConstraint("notification_id", "channel_id"),
    CheckConstraint("status IN ('queued', 'sent', 'failed')", name="status"),
)

# -- autonomy -----------------------------------------------------------------------------------------

goals: Final = Table(
    "goals",
    brain,
    id_column(),
    # What makes it this idea and no other.
    Column("key", String(160), nullable=False, unique=True),
    Column("title", String(255), nullable=False),
    Column("reason", Text, nullable=False),
    Column("origin", String(16), nullable=False),
    # What it is about, as far as it is known: {"code", "device_id", "material", "artifact_id", ...}.
    Column("about", JSON, nullable=False),
    Column("status", String(16), nullable=False, default="identified"),
    Column("priority", Integer, nullable=False, default=5),
    # What is measured before and after, e.g. "print_success"; None: nothing is.
    Column("metric", String(64)),
    Column("research_id", String(32)),
    Column("budget_micro", BigInteger, nullable=False, default=0),
    Column("created_by", String(64)),
    Column("decided_by", String(64)),
    Column("created_at", Float, nullable=False),
    Column("decided_at", Float),
    Column("completed_at", Float),
    CheckConstraint(
        "status IN ('identified', 'approved', 'rejected', 'active', 'completed', 'failed')",
        name="status",
    ),
    CheckConstraint("priority BETWEEN 1 AND 10", name="priority"),
)

projects: Final = Table(
    "projects",
    brain,
    id_column(),
    Column("goal_id", ForeignKey("goals.id"), nullable=False, unique=True),
    Column("title", String(255), nullable=False),
    Column("status", String(16), nullable=False, default="active"),
    Column("budget_micro", BigInteger, nullable=False, default=0),
    Column("spent_micro", BigInteger, nullable=False, default=0),
    Column("created_at", Float, nullable=False),
    Column("finished_at", Float),
    CheckConstraint("status IN ('active', 'completed', 'failed', 'cancelled')", name="status"),
)

project_tasks: Final = Table(
    "project_tasks",
    brain,
    id_column(),
    Column("project_id", ForeignKey("projects.id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("title", String(255), nullable=False),
    Column("kind", String(16), nullable=False),
    # The positions of the tasks whose results it must have.
    Column("needs", JSON, nullable=False),
    # What its kind needs to know, and what it waits for: {"device_id", "intent", "params", "command_id", ...}.
    Column("details", JSON, nullable=False),
    Column("status", String(16), nullable=False, default="pending"),
    Column("work_id", String(32)),
    Column("result", Text),
    Column("error", String(64)),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("finished_at", Float),
    UniqueConstraint("project_id", "position"),
    CheckConstraint(
        "status IN ('pending', 'running', 'waiting', 'completed', 'failed', 'cancelled')",
        name="status",
    ),
)

outcomes: Final = Table(
    "outcomes",
    brain,
    Column("goal_id", ForeignKey("goals.id"), primary_key=True),
    Column("metric", String(64), nullable=False),
    Column("baseline", JSON, nullable=False),
    Column("result", JSON(none_as_null=True)),
    # How much better it is, in the metric's own unit; None: not measured, or too little was seen.
    Column("score", Float),
    Column("started_at", Float, nullable=False),
    Column("measured_at", Float),
)

researches: Final = Table(
    "researches",
    brain,
    id_column(),
    Column("question", Text, nullable=False),
    Column("status", String(16), nullable=False, default="pending"),
    Column("steps", JSON, nullable=False),
    Column("report", Text),
    Column("sources", JSON, nullable=False),
    # What could not be done, each ``{"code", "text"}``.
    Column("limits", JSON, nullable=False),
    # Whether the sources answer the question: "yes", "partly", "no"; None: nobody has judged.
    Column("answered", String(8)),
    # The code of the error that it ended with.
    Column("error", String(64)),
    Column("budget_micro", BigInteger, nullable=False),
    Column("cost_micro", BigInteger, nullable=False, default=0),
    # Set aside for the questions to models that are under way.
    Column("reserved_micro", BigInteger, nullable=False, default=0),
    Column("requested_by", String(64)),
    Column("work_id", String(32)),
    Column("created_at", Float, nullable=False),
    Column("finished_at", Float),
    CheckConstraint(
        "status IN ('pending', 'running', 'completed', 'failed', 'cancelled')", name="status"
    ),
)

research_notes: Final = Table(
    "research_notes",
    brain,
    id_column(),
    Column("research_id", ForeignKey("researches.id", ondelete="CASCADE"), nullable=False),
    # The number by which the report cites it.
    Column("position", Integer, nullable=False),
    Column("url", Text, nullable=False),
    Column("title", String(255), nullable=False),
    Column("text", Text, nullable=False),
    # The page's own sentences that the text rests on.
    Column("quotes", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
    UniqueConstraint("research_id", "position"),
)
