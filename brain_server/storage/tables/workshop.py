"""Devices, what they make, of what, and what cameras saw of it."""

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

# -- devices ------------------------------------------------------------------------------------------

devices: Final = Table(
    "devices",
    brain,
    id_column(),
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
    id_column(),
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
    id_column(),
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
    # By what the printer tells this content from another of the same name; None where it cannot.
    Column("stamp", String(255)),
)

jobs: Final = Table(
    "fabrication_jobs",
    brain,
    id_column(),
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
    # Which plate of a project; None where nobody knows, and for other files.
    Column("plate", Integer),
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
    id_column(),
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
    id_column(),
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
    # Which plate of a project; None for the first that there is, and for other files.
    Column("plate", Integer),
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
    id_column(),
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
    id_column(),
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
    id_column(),
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
    id_column(),
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
    id_column(),
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
