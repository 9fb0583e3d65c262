"""Every table, by the one package that owns it. Ids are 32 hex characters, times POSIX seconds (UTC)."""

from collections.abc import Callable
from typing import Final, cast
import uuid

from sqlalchemy import (
    DDL,
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
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    event,
    false,
)

from brain_server.storage.append_only import APPEND_ONLY_POSTGRES, APPEND_ONLY_SQLITE

NAMING: Final = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}

safety: Final = MetaData(naming_convention=NAMING)
brain: Final = MetaData(naming_convention=NAMING)


def new_id() -> str:
    """Return a new id; later ids sort after earlier ones."""
    return uuid.uuid7().hex


def _id() -> Column[str]:
    return Column("id", String(32), primary_key=True, default=new_id)


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
    _id(),
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
    _id(),
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
    _id(),
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

# -- devices ------------------------------------------------------------------------------------------

devices: Final = Table(
    "devices",
    brain,
    _id(),
    Column("driver", String(64), nullable=False),
    Column("external_id", String(255), nullable=False),
    Column("name", String(255), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("zone_id", String(64)),
    Column("capabilities", JSON, nullable=False),
    Column("options", JSON, nullable=False),
    Column("manufacturer", String(255)),
    Column("model", String(255)),
    Column("sw_version", String(255)),
    Column("has_camera", Boolean, nullable=False, default=False),
    Column("online", String(8), nullable=False, default="offline"),
    Column("last_seen", Float),
    Column("created_at", Float, nullable=False),
    UniqueConstraint("driver", "external_id"),
    CheckConstraint(
        "kind IN ('printer', 'camera', 'light', 'door', 'power', 'sensor')", name="kind"
    ),
    CheckConstraint("online IN ('online', 'offline', 'fault')", name="online"),
)

telemetry: Final = Table(
    "telemetry_events",
    brain,
    _id(),
    Column("device_id", ForeignKey("devices.id", ondelete="CASCADE"), nullable=False),
    Column("topic", String(255), nullable=False),
    Column("payload", Text, nullable=False),
    Column("job_id", String(32)),
    Column("conversation_id", String(64)),
    Column("recorded_at", Float, nullable=False),
    # A payload of more than 1024 bytes, packed with zlib; the text is then empty.
    Column("packed", LargeBinary),
    Index(None, "device_id", "id"),
    Index(None, "recorded_at"),
)

# -- fabrication --------------------------------------------------------------------------------------

# What was uploaded to be printed, once for each content; the bytes lie in <data_dir>/artifacts/<sha256>.
artifacts: Final = Table(
    "artifacts",
    brain,
    _id(),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("name", String(255), nullable=False),
    # "gcode", "bgcode" or "3mf"
    Column("kind", String(8), nullable=False),
    Column("size", BigInteger, nullable=False),
    # What the slicer wrote into it; see fabrication.gcode.Facts.
    Column("facts", JSON, nullable=False),
    Column("has_picture", Boolean, nullable=False, default=False),
    Column("created_by", String(64)),
    Column("conversation_id", String(64)),
    Column("created_at", Float, nullable=False),
)

# Which artifact a printer's file is, by the name that the printer gave it.
printer_files: Final = Table(
    "printer_files",
    brain,
    Column("device_id", String(32), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("artifact_id", ForeignKey("artifacts.id", ondelete="CASCADE"), nullable=False),
    Column("uploaded_at", Float, nullable=False),
)

jobs: Final = Table(
    "fabrication_jobs",
    brain,
    _id(),
    Column("device_id", String(32), nullable=False),
    Column("command_id", String(32), unique=True),
    Column("file", String(255), nullable=False),
    Column("status", String(16), nullable=False, default="preparing"),
    Column("run", String(64)),
    Column("progress", Float),
    Column("requested_by", String(64)),
    Column("error", String(255)),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("completed_at", Float),
    # From words to plastic: where it was asked for, what was printed, and its place in the queue.
    Column("conversation_id", String(64)),
    Column("artifact_id", String(32)),
    Column("queue_id", String(32)),
    Column("material", String(32)),
    Column("hazardous", Boolean, nullable=False, default=False, server_default=false()),
    Column("estimated_s", Float),
    Column("estimated_g", Float),
    # What it took: filament, electricity, money in millionths of the currency. None: not known.
    Column("used_g", Float),
    Column("energy_wh", Float),
    Column("cost_micro", BigInteger),
    CheckConstraint(
        "status IN ('preparing', 'printing', 'paused', 'completed', 'failed', 'aborted')",
        name="status",
    ),
    Index(None, "device_id", "status"),
    Index(None, "status", "id"),
)

# What was seen of a print while it ran (PrintMonitorEvent).
print_events: Final = Table(
    "print_monitor_events",
    brain,
    _id(),
    Column("job_id", ForeignKey("fabrication_jobs.id", ondelete="CASCADE"), nullable=False),
    Column("device_id", String(32), nullable=False),
    Column("type", String(24), nullable=False),
    Column("confidence", Float, nullable=False),
    # "printer", "vision" or "person"
    Column("source", String(16), nullable=False),
    # The file in <data_dir>/evidence that shows it.
    Column("picture", String(64)),
    Column("detail", String(255)),
    Column("created_at", Float, nullable=False),
    CheckConstraint(
        "type IN ('first_layer_ok', 'spaghetti_detected', 'nozzle_clog', 'completed')", name="type"
    ),
    CheckConstraint("confidence >= 0 AND confidence <= 1", name="confidence"),
    CheckConstraint(
        "picture IS NOT NULL OR type NOT IN ('spaghetti_detected', 'nozzle_clog')",
        name="failure_has_picture",
    ),
    Index(None, "job_id"),
)

queue: Final = Table(
    "queue_items",
    brain,
    _id(),
    Column("artifact_id", ForeignKey("artifacts.id"), nullable=False),
    Column("title", String(255), nullable=False),
    Column("status", String(16), nullable=False, default="queued"),
    # 1 to 10; 10 goes first.
    Column("priority", Integer, nullable=False, default=5),
    Column("deadline", Float),
    # "asap", or "cheap": when electricity costs least before the deadline.
    Column("start", String(8), nullable=False, default="asap"),
    Column("not_before", Float),
    # The one printer it may go to, where a person named one.
    Column("wanted_device_id", String(32)),
    Column("material", String(32)),
    # {"is": [...], "not": [...], "differs_from": queue id}: names of colours or "#rrggbb".
    Column("color", JSON),
    Column("nozzle_mm", Float),
    Column("grams", Float),
    Column("estimated_s", Float),
    # The plan: which printer, when, with which spool, and why, as a list of {"code", ...}.
    Column("device_id", String(32)),
    Column("spool_id", String(32)),
    Column("planned_start", Float),
    Column("planned_end", Float),
    Column("reasons", JSON, nullable=False, default=list),
    Column("attempts", Integer, nullable=False, default=0),
    Column("command_id", String(32)),
    Column("job_id", String(32)),
    Column("requested_by", String(64)),
    Column("conversation_id", String(64)),
    Column("created_at", Float, nullable=False),
    Column("ended_at", Float),
    CheckConstraint(
        "status IN ('queued', 'held', 'starting', 'printing', 'completed', 'failed', 'cancelled')",
        name="status",
    ),
    CheckConstraint("priority >= 1 AND priority <= 10", name="priority"),
    CheckConstraint("start IN ('asap', 'cheap')", name="start"),
    Index(None, "status", "id"),
)

# Whether somebody said that the bed of a printer is clear; what is not here is not.
beds: Final = Table(
    "printer_beds",
    brain,
    Column("device_id", String(32), primary_key=True),
    Column("is_clear", Boolean, nullable=False),
    # The item of the queue that took it, and when that, or the word of a person, was.
    Column("queue_id", String(32)),
    Column("changed_at", Float, nullable=False),
    Column("by_user", String(64)),
)

# What a kilowatt-hour costs from one time to another, as Home Assistant told it.
energy_prices: Final = Table(
    "energy_prices",
    brain,
    # A float key is no counter, though SQLAlchemy would make one of it.
    Column("start", Float, primary_key=True, autoincrement=False),
    Column("end", Float, nullable=False),
    Column("price", Float, nullable=False),
)

# What a person, or a picture, said of a finished print.
reviews: Final = Table(
    "print_reviews",
    brain,
    _id(),
    Column("job_id", ForeignKey("fabrication_jobs.id", ondelete="CASCADE"), nullable=False),
    Column("device_id", String(32), nullable=False),
    # "person" or "vision"
    Column("source", String(16), nullable=False),
    Column("good", Boolean, nullable=False),
    # 1 to 5
    Column("rating", Integer),
    Column("reasons", JSON, nullable=False, default=list),
    # 0 to 100 each: {"layers": 80, "surface": 65, "size": 90}
    Column("quality", JSON, nullable=False, default=dict),
    Column("note", Text),
    Column("picture", String(64)),
    Column("by_user", String(64)),
    Column("created_at", Float, nullable=False),
    CheckConstraint("rating IS NULL OR (rating >= 1 AND rating <= 5)", name="rating"),
    UniqueConstraint("job_id", "source"),
    Index(None, "device_id", "id"),
)

# The electricity meter of each printer: what it showed last, and when that was.
meters: Final = Table(
    "energy_meters",
    brain,
    Column("device_id", String(32), primary_key=True),
    # Watt-hours since the meter began, as it shows them.
    Column("shown_wh", Float, nullable=False),
    Column("at", Float, nullable=False),
)

# What each print cost, part by part, at the prices of its time.
job_costs: Final = Table(
    "job_costs",
    brain,
    Column("job_id", ForeignKey("fabrication_jobs.id", ondelete="CASCADE"), primary_key=True),
    # What the meter counted while it ran, and for how many of its seconds.
    Column("metered_wh", Float, nullable=False, default=0.0),
    Column("metered_s", Float, nullable=False, default=0.0),
    # {"filament": {...}, "energy": {...}, "machine": {...}}; None until the print is over.
    Column("parts", JSON(none_as_null=True)),
)

# -- inventory ----------------------------------------------------------------------------------------

spools: Final = Table(
    "spools",
    brain,
    _id(),
    Column("name", String(255), nullable=False),
    Column("vendor", String(255)),
    Column("material", String(32), nullable=False),
    # "rrggbb", in small letters.
    Column("color", String(6)),
    Column("color_name", String(64)),
    Column("diameter_mm", Float, nullable=False, default=1.75),
    # Grams in a cubic centimetre.
    Column("density", Float, nullable=False),
    Column("full_g", Float, nullable=False),
    Column("remaining_g", Float, nullable=False),
    # Money for the whole spool in millionths of the currency.
    Column("price_micro", BigInteger),
    Column("location", String(255)),
    # Where it is loaded now.
    Column("device_id", String(32)),
    Column("slot", Integer),
    Column("archived", Boolean, nullable=False, default=False),
    # The id of the same spool in Spoolman, and the grams that both agreed on last.
    Column("spoolman_id", Integer, unique=True),
    Column("synced_g", Float),
    # What is being told to Spoolman: the grams, its own count before, and since when. Whoever finds it
    # after a crash can see by that count whether it arrived.
    Column("telling_g", Float),
    Column("telling_from", Float),
    Column("telling_at", Float),
    Column("created_at", Float, nullable=False),
    Column("used_at", Float),
    CheckConstraint("remaining_g >= 0 AND full_g > 0", name="weight"),
    UniqueConstraint("device_id", "slot"),
    Index(None, "material"),
)

# Grams that a queued print will take from a spool.
reservations: Final = Table(
    "spool_reservations",
    brain,
    Column("holder", String(32), primary_key=True),
    Column("spool_id", ForeignKey("spools.id", ondelete="CASCADE"), nullable=False),
    Column("grams", Float, nullable=False),
    Column("created_at", Float, nullable=False),
    CheckConstraint("grams > 0", name="grams"),
    Index(None, "spool_id"),
)

usage: Final = Table(
    "spool_usage",
    brain,
    _id(),
    Column("spool_id", ForeignKey("spools.id", ondelete="CASCADE"), nullable=False),
    Column("job_id", String(32), unique=True),
    Column("grams", Float, nullable=False),
    Column("cost_micro", BigInteger),
    # "printer" (measured), "estimate" (of the slicer), "person" or "spoolman"
    Column("source", String(16), nullable=False),
    Column("at", Float, nullable=False),
    Index(None, "spool_id", "id"),
    Index(None, "at"),
)

stock_limits: Final = Table(
    "stock_limits",
    brain,
    Column("material", String(32), primary_key=True),
    Column("low_g", Float, nullable=False),
    Column("order_g", Float, nullable=False),
    CheckConstraint("low_g >= 0 AND order_g > 0", name="grams"),
)

# What should be bought; nothing ever is.
proposals: Final = Table(
    "procurement_proposals",
    brain,
    _id(),
    Column("material", String(32), nullable=False),
    Column("grams", Float, nullable=False),
    # What it likely costs, from what such spools cost before; None: not known.
    Column("cost_micro", BigInteger),
    Column("reason", String(64), nullable=False),
    Column("status", String(16), nullable=False, default="proposed"),
    Column("decided_by", String(64)),
    # The shortage that it was for is over; until then there is no other for the material.
    Column("settled", Boolean, nullable=False, default=False),
    Column("created_at", Float, nullable=False),
    Column("decided_at", Float),
    CheckConstraint("status IN ('proposed', 'approved', 'rejected', 'done')", name="status"),
    Index(None, "status", "material"),
)

# -- vision -------------------------------------------------------------------------------------------

# How each camera is watched; {"enabled", "threshold", "action", ...}, see vision.Watching.
watched: Final = Table(
    "vision_cameras",
    brain,
    Column("device_id", String(32), primary_key=True),
    Column("settings", JSON, nullable=False),
)

# One thing that went wrong before a camera, however often it was seen.
incidents: Final = Table(
    "vision_incidents",
    brain,
    _id(),
    Column("device_id", String(32), nullable=False),
    # The print that was watched; None for an incident of the camera itself.
    Column("job_id", String(32)),
    Column("type", String(24), nullable=False),
    Column("confidence", Float, nullable=False),
    Column("detail", String(255)),
    Column("picture", String(64)),
    Column("status", String(16), nullable=False, default="open"),
    # What was done about it: "notify" or "pause".
    Column("action", String(16), nullable=False),
    Column("answered_by", String(64)),
    Column("seen", Integer, nullable=False, default=1),
    Column("created_at", Float, nullable=False),
    Column("seen_at", Float, nullable=False),
    Column("closed_at", Float),
    CheckConstraint("confidence >= 0 AND confidence <= 1", name="confidence"),
    CheckConstraint("status IN ('open', 'confirmed', 'false_alarm', 'over')", name="status"),
    Index(None, "status", "device_id"),
)

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
    _id(),
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
    _id(),
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
    _id(),
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
    _id(),
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
    _id(),
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
    _id(),
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
    _id(),
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
    _id(),
    Column("name", String(64), nullable=False),
    Column("scope", String(16), nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("last_used", Float),
    # Chosen by a person as a setting, so that the next choice takes its place.
    Column("from_setting", Boolean, nullable=False, default=False, server_default=false()),
)
