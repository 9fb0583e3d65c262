"""The queue knows which plate of a project is printed."""

from alembic import op
import sqlalchemy as sa

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add it; None is the first that there is."""
    op.add_column("queue_items", sa.Column("plate", sa.Integer(), nullable=True))


def downgrade() -> None:
    """Remove it."""
    op.drop_column("queue_items", "plate")
