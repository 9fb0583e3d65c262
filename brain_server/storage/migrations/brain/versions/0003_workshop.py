"""Files, queue, spools, reviews and what cameras saw."""

from alembic import op
import sqlalchemy as sa

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the tables of the workshop."""
    op.create_table(
        "artifacts",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("has_picture", sa.Boolean(), nullable=False),
        sa.Column("created_by", sa.String(length=64), nullable=True),
        sa.Column("conversation_id", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_artifacts")),
        sa.UniqueConstraint("sha256", name=op.f("uq_artifacts_sha256")),
    )
    op.create_table(
        "energy_meters",
        sa.Column("device_id", sa.String(length=32), nullable=False),
        sa.Column("shown_wh", sa.Float(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("device_id", name=op.f("pk_energy_meters")),
    )
    op.create_table(
        "energy_prices",
        sa.Column("start", sa.Float(), autoincrement=False, nullable=False),
        sa.Column("end", sa.Float(), nullable=False),
        sa.Column("price", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("start", name=op.f("pk_energy_prices")),
    )
    op.create_table(
        "printer_beds",
        sa.Column("device_id", sa.String(length=32), nullable=False),
        sa.Column("is_clear", sa.Boolean(), nullable=False),
        sa.Column("queue_id", sa.String(length=32), nullable=True),
        sa.Column("changed_at", sa.Float(), nullable=False),
        sa.Column("by_user", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("device_id", name=op.f("pk_printer_beds")),
    )
    op.create_table(
        "procurement_proposals",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("material", sa.String(length=32), nullable=False),
        sa.Column("grams", sa.Float(), nullable=False),
        sa.Column("cost_micro", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("decided_by", sa.String(length=64), nullable=True),
        sa.Column("settled", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("decided_at", sa.Float(), nullable=True),
        sa.CheckConstraint(
            "status IN ('proposed', 'approved', 'rejected', 'done')",
            name=op.f("ck_procurement_proposals_status"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_procurement_proposals")),
    )
    op.create_index(
        op.f("ix_procurement_proposals_status_material"),
        "procurement_proposals",
        ["status", "material"],
        unique=False,
    )
    op.create_table(
        "spools",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("vendor", sa.String(length=255), nullable=True),
        sa.Column("material", sa.String(length=32), nullable=False),
        sa.Column("color", sa.String(length=6), nullable=True),
        sa.Column("color_name", sa.String(length=64), nullable=True),
        sa.Column("diameter_mm", sa.Float(), nullable=False),
        sa.Column("density", sa.Float(), nullable=False),
        sa.Column("full_g", sa.Float(), nullable=False),
        sa.Column("remaining_g", sa.Float(), nullable=False),
        sa.Column("price_micro", sa.BigInteger(), nullable=True),
        sa.Column("location", sa.String(length=255), nullable=True),
        sa.Column("device_id", sa.String(length=32), nullable=True),
        sa.Column("slot", sa.Integer(), nullable=True),
        sa.Column("archived", sa.Boolean(), nullable=False),
        sa.Column("spoolman_id", sa.Integer(), nullable=True),
        sa.Column("synced_g", sa.Float(), nullable=True),
        sa.Column("telling_g", sa.Float(), nullable=True),
        sa.Column("telling_from", sa.Float(), nullable=True),
        sa.Column("telling_at", sa.Float(), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("used_at", sa.Float(), nullable=True),
        sa.CheckConstraint("remaining_g >= 0 AND full_g > 0", name=op.f("ck_spools_weight")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_spools")),
        sa.UniqueConstraint("device_id", "slot", name=op.f("uq_spools_device_id_slot")),
        sa.UniqueConstraint("spoolman_id", name=op.f("uq_spools_spoolman_id")),
    )
    op.create_index(op.f("ix_spools_material"), "spools", ["material"], unique=False)
    op.create_table(
        "stock_limits",
        sa.Column("material", sa.String(length=32), nullable=False),
        sa.Column("low_g", sa.Float(), nullable=False),
        sa.Column("order_g", sa.Float(), nullable=False),
        sa.CheckConstraint("low_g >= 0 AND order_g > 0", name=op.f("ck_stock_limits_grams")),
        sa.PrimaryKeyConstraint("material", name=op.f("pk_stock_limits")),
    )
    op.create_table(
        "vision_cameras",
        sa.Column("device_id", sa.String(length=32), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("device_id", name=op.f("pk_vision_cameras")),
    )
    op.create_table(
        "vision_incidents",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("device_id", sa.String(length=32), nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=True),
        sa.Column("type", sa.String(length=24), nullable=False),
        sa.Column("confidence", sa.Float(), nullable=False),
        sa.Column("detail", sa.String(length=255), nullable=True),
        sa.Column("picture", sa.String(length=64), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("answered_by", sa.String(length=64), nullable=True),
        sa.Column("seen", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("seen_at", sa.Float(), nullable=False),
        sa.Column("closed_at", sa.Float(), nullable=True),
        sa.CheckConstraint(
            "status IN ('open', 'confirmed', 'false_alarm', 'over')",
            name=op.f("ck_vision_incidents_status"),
        ),
        sa.CheckConstraint(
            "confidence >= 0 AND confidence <= 1", name=op.f("ck_vision_incidents_confidence")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vision_incidents")),
    )
    op.create_index(
        op.f("ix_vision_incidents_status_device_id"),
        "vision_incidents",
        ["status", "device_id"],
        unique=False,
    )
    op.create_table(
        "job_costs",
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("metered_wh", sa.Float(), nullable=False),
        sa.Column("metered_s", sa.Float(), nullable=False),
        sa.Column("parts", sa.JSON(none_as_null=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["job_id"],
            ["fabrication_jobs.id"],
            name=op.f("fk_job_costs_job_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_job_costs")),
    )
    op.create_table(
        "print_monitor_events",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("device_id", sa.String(length=32), nullable=False),
        sa.Column("type", sa.String(length=24), nullable=False),
        sa.Column("confidence", sa.Float(), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("picture", sa.String(length=64), nullable=True),
        sa.Column("detail", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.CheckConstraint(
            "picture IS NOT NULL OR type NOT IN ('spaghetti_detected', 'nozzle_clog')",
            name=op.f("ck_print_monitor_events_failure_has_picture"),
        ),
        sa.CheckConstraint(
            "type IN ('first_layer_ok', 'spaghetti_detected', 'nozzle_clog', 'completed')",
            name=op.f("ck_print_monitor_events_type"),
        ),
        sa.CheckConstraint(
            "confidence >= 0 AND confidence <= 1", name=op.f("ck_print_monitor_events_confidence")
        ),
        sa.ForeignKeyConstraint(
            ["job_id"],
            ["fabrication_jobs.id"],
            name=op.f("fk_print_monitor_events_job_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_print_monitor_events")),
    )
    op.create_index(
        op.f("ix_print_monitor_events_job_id"), "print_monitor_events", ["job_id"], unique=False
    )
    op.create_table(
        "print_reviews",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("device_id", sa.String(length=32), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("good", sa.Boolean(), nullable=False),
        sa.Column("rating", sa.Integer(), nullable=True),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("quality", sa.JSON(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("picture", sa.String(length=64), nullable=True),
        sa.Column("by_user", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.CheckConstraint(
            "rating IS NULL OR (rating >= 1 AND rating <= 5)", name=op.f("ck_print_reviews_rating")
        ),
        sa.ForeignKeyConstraint(
            ["job_id"],
            ["fabrication_jobs.id"],
            name=op.f("fk_print_reviews_job_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_print_reviews")),
        sa.UniqueConstraint("job_id", "source", name=op.f("uq_print_reviews_job_id_source")),
    )
    op.create_index(
        op.f("ix_print_reviews_device_id_id"), "print_reviews", ["device_id", "id"], unique=False
    )
    op.create_table(
        "printer_files",
        sa.Column("device_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("artifact_id", sa.String(length=32), nullable=False),
        sa.Column("uploaded_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["artifact_id"],
            ["artifacts.id"],
            name=op.f("fk_printer_files_artifact_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("device_id", "name", name=op.f("pk_printer_files")),
    )
    op.create_table(
        "queue_items",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("artifact_id", sa.String(length=32), nullable=False),
        sa.Column("title", sa.String(length=255), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("deadline", sa.Float(), nullable=True),
        sa.Column("start", sa.String(length=8), nullable=False),
        sa.Column("not_before", sa.Float(), nullable=True),
        sa.Column("wanted_device_id", sa.String(length=32), nullable=True),
        sa.Column("material", sa.String(length=32), nullable=True),
        sa.Column("color", sa.JSON(), nullable=True),
        sa.Column("nozzle_mm", sa.Float(), nullable=True),
        sa.Column("grams", sa.Float(), nullable=True),
        sa.Column("estimated_s", sa.Float(), nullable=True),
        sa.Column("device_id", sa.String(length=32), nullable=True),
        sa.Column("spool_id", sa.String(length=32), nullable=True),
        sa.Column("planned_start", sa.Float(), nullable=True),
        sa.Column("planned_end", sa.Float(), nullable=True),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("command_id", sa.String(length=32), nullable=True),
        sa.Column("job_id", sa.String(length=32), nullable=True),
        sa.Column("requested_by", sa.String(length=64), nullable=True),
        sa.Column("conversation_id", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.CheckConstraint("start IN ('asap', 'cheap')", name=op.f("ck_queue_items_start")),
        sa.CheckConstraint(
            "status IN ('queued', 'held', 'starting', 'printing', 'completed', 'failed', 'cancelled')",
            name=op.f("ck_queue_items_status"),
        ),
        sa.CheckConstraint(
            "priority >= 1 AND priority <= 10", name=op.f("ck_queue_items_priority")
        ),
        sa.ForeignKeyConstraint(
            ["artifact_id"], ["artifacts.id"], name=op.f("fk_queue_items_artifact_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_queue_items")),
    )
    op.create_index(op.f("ix_queue_items_status_id"), "queue_items", ["status", "id"], unique=False)
    op.create_table(
        "spool_reservations",
        sa.Column("holder", sa.String(length=32), nullable=False),
        sa.Column("spool_id", sa.String(length=32), nullable=False),
        sa.Column("grams", sa.Float(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.CheckConstraint("grams > 0", name=op.f("ck_spool_reservations_grams")),
        sa.ForeignKeyConstraint(
            ["spool_id"],
            ["spools.id"],
            name=op.f("fk_spool_reservations_spool_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("holder", name=op.f("pk_spool_reservations")),
    )
    op.create_index(
        op.f("ix_spool_reservations_spool_id"), "spool_reservations", ["spool_id"], unique=False
    )
    op.create_table(
        "spool_usage",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("spool_id", sa.String(length=32), nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=True),
        sa.Column("grams", sa.Float(), nullable=False),
        sa.Column("cost_micro", sa.BigInteger(), nullable=True),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["spool_id"], ["spools.id"], name=op.f("fk_spool_usage_spool_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_spool_usage")),
        sa.UniqueConstraint("job_id", name=op.f("uq_spool_usage_job_id")),
    )
    op.create_index(op.f("ix_spool_usage_at"), "spool_usage", ["at"], unique=False)
    op.create_index(
        op.f("ix_spool_usage_spool_id_id"), "spool_usage", ["spool_id", "id"], unique=False
    )
    op.add_column(
        "fabrication_jobs", sa.Column("conversation_id", sa.String(length=64), nullable=True)
    )
    op.add_column("fabrication_jobs", sa.Column("artifact_id", sa.String(length=32), nullable=True))
    op.add_column("fabrication_jobs", sa.Column("queue_id", sa.String(length=32), nullable=True))
    op.add_column("fabrication_jobs", sa.Column("material", sa.String(length=32), nullable=True))
    op.add_column(
        "fabrication_jobs",
        sa.Column("hazardous", sa.Boolean(), server_default=sa.false(), nullable=False),
    )
    op.add_column("fabrication_jobs", sa.Column("estimated_s", sa.Float(), nullable=True))
    op.add_column("fabrication_jobs", sa.Column("estimated_g", sa.Float(), nullable=True))
    op.add_column("fabrication_jobs", sa.Column("used_g", sa.Float(), nullable=True))
    op.add_column("fabrication_jobs", sa.Column("energy_wh", sa.Float(), nullable=True))
    op.add_column("fabrication_jobs", sa.Column("cost_micro", sa.BigInteger(), nullable=True))
    op.create_index(
        op.f("ix_fabrication_jobs_status_id"), "fabrication_jobs", ["status", "id"], unique=False
    )
    op.add_column("telemetry_events", sa.Column("packed", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    """Remove them."""
    op.drop_column("telemetry_events", "packed")
    op.drop_index(op.f("ix_fabrication_jobs_status_id"), table_name="fabrication_jobs")
    op.drop_column("fabrication_jobs", "cost_micro")
    op.drop_column("fabrication_jobs", "energy_wh")
    op.drop_column("fabrication_jobs", "used_g")
    op.drop_column("fabrication_jobs", "estimated_g")
    op.drop_column("fabrication_jobs", "estimated_s")
    op.drop_column("fabrication_jobs", "hazardous")
    op.drop_column("fabrication_jobs", "material")
    op.drop_column("fabrication_jobs", "queue_id")
    op.drop_column("fabrication_jobs", "artifact_id")
    op.drop_column("fabrication_jobs", "conversation_id")
    op.drop_index(op.f("ix_spool_usage_spool_id_id"), table_name="spool_usage")
    op.drop_index(op.f("ix_spool_usage_at"), table_name="spool_usage")
    op.drop_table("spool_usage")
    op.drop_index(op.f("ix_spool_reservations_spool_id"), table_name="spool_reservations")
    op.drop_table("spool_reservations")
    op.drop_index(op.f("ix_queue_items_status_id"), table_name="queue_items")
    op.drop_table("queue_items")
    op.drop_table("printer_files")
    op.drop_index(op.f("ix_print_reviews_device_id_id"), table_name="print_reviews")
    op.drop_table("print_reviews")
    op.drop_index(op.f("ix_print_monitor_events_job_id"), table_name="print_monitor_events")
    op.drop_table("print_monitor_events")
    op.drop_table("job_costs")
    op.drop_index(op.f("ix_vision_incidents_status_device_id"), table_name="vision_incidents")
    op.drop_table("vision_incidents")
    op.drop_table("vision_cameras")
    op.drop_table("stock_limits")
    op.drop_index(op.f("ix_spools_material"), table_name="spools")
    op.drop_table("spools")
    op.drop_index(
        op.f("ix_procurement_proposals_status_material"), table_name="procurement_proposals"
    )
    op.drop_table("procurement_proposals")
    op.drop_table("printer_beds")
    op.drop_table("energy_prices")
    op.drop_table("energy_meters")
    op.drop_table("artifacts")
