"""Approvals and their use, postures, reviews, and what retention needs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables; what is there stays as it is."""
    op.create_table(
        "approval_requests",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("request_id", sa.Text, nullable=False, unique=True),
        sa.Column("plan_id", sa.Text, nullable=False),
        sa.Column("plan_digest", sa.Text, nullable=False),
        sa.Column("created", sa.Text, nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("approval_requests_by_plan", "approval_requests", ["plan_digest", "created"])
    op.create_table(
        "approval_decisions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("request_id", sa.Text, sa.ForeignKey("approval_requests.request_id"), nullable=False),
        sa.Column("approver", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column(
            "verdict", sa.Text, sa.CheckConstraint("verdict IN ('approve', 'deny')", name="approval_decisions_verdict")
        ),
        sa.Column("created", sa.Text, nullable=False),
        sa.Column("envelope", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("approval_decisions_by_key", "approval_decisions", ["request_id", "key", "verdict"], unique=True)
    op.create_table(
        "approval_uses",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("request_id", sa.Text, sa.ForeignKey("approval_requests.request_id"), nullable=False, unique=True),
        sa.Column("execution_id", sa.Text, nullable=False, unique=True),
        sa.Column("used", sa.Text, nullable=False),
        sa.Column("emergency", sa.Integer, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "reviews",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("execution_id", sa.Text, nullable=False),
        sa.Column("reviewer", sa.Text, nullable=False),
        sa.Column("created", sa.Text, nullable=False),
        sa.Column("envelope", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "refusals",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("created", sa.Text, nullable=False),
        sa.Column("plan_digest", sa.Text, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("refusals_by_time", "refusals", ["created"])
    op.create_table(
        "postures",
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("security", sa.Text, nullable=False),
        sa.Column("boundary", sa.Text, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("created", sa.Text, nullable=False),
        sa.Column("envelope", sa.LargeBinary),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "tombstones",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("execution_id", sa.Text, nullable=False, unique=True),
        sa.Column("execution_hash", sa.Text, nullable=False),
        sa.Column("purged", sa.Text, nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "legal_holds",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "kind",
            sa.Text,
            sa.CheckConstraint("kind IN ('execution', 'plan')", name="legal_holds_kind"),
            nullable=False,
        ),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("created", sa.Text, nullable=False),
        sa.Column("released", sa.Text),
        sa.Column("released_by", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("legal_holds_by_name", "legal_holds", ["kind", "name"])
