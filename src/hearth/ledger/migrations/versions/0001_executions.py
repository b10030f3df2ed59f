"""Sealed records, their searchable texts, and disclosed values beside them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the first schema."""
    op.create_table(
        "ledger_meta",
        sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1", name="ledger_meta_one_row"), primary_key=True),
        sa.Column("ledger_id", sa.Text, nullable=False),
        sa.Column("created", sa.Text, nullable=False),
        sa.Column("schema", sa.Text, nullable=False),
    )
    op.create_table(
        "executions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("execution_id", sa.Text, nullable=False, unique=True),
        sa.Column("plan_id", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("live_mode", sa.Text, nullable=False),
        sa.Column("started", sa.Text, nullable=False),
        sa.Column("ended", sa.Text, nullable=False),
        sa.Column("stored", sa.Text, nullable=False),
        sa.Column("steps_completed", sa.Integer, nullable=False),
        sa.Column("steps_total", sa.Integer),
        sa.Column("entries", sa.Integer, nullable=False),
        sa.Column("effects", sa.Integer, nullable=False),
        sa.Column("execution_hash", sa.Text, nullable=False),
        sa.Column("record", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("executions_by_start", "executions", ["started", "id"])
    op.create_index("executions_by_plan", "executions", ["plan_id", "started"])
    op.create_index("executions_by_status", "executions", ["status", "started"])
    op.create_table(
        "execution_texts",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("execution", sa.Integer, sa.ForeignKey("executions.id", ondelete="CASCADE"), nullable=False),
        sa.Column(
            "kind",
            sa.Text,
            sa.CheckConstraint("kind IN ('step', 'error', 'effect', 'reason')", name="execution_texts_kind"),
            nullable=False,
        ),
        sa.Column("step_index", sa.Integer),
        sa.Column("text", sa.Text, nullable=False),
    )
    op.create_index("execution_texts_by_execution", "execution_texts", ["execution"])
    op.create_table(
        "disclosures",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("execution", sa.Integer, sa.ForeignKey("executions.id", ondelete="CASCADE"), nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("pointer", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("salt", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_index("disclosures_by_place", "disclosures", ["execution", "sequence", "pointer", "digest"], unique=True)
