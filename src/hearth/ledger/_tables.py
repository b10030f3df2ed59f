"""The ledger's tables, as the newest migration leaves them (a test compares the two).

Nothing here is evidence of its own but `ledger_meta`, `executions.record` and `disclosures`; every other
column is derived from the record's bytes and can be derived again.
"""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, LargeBinary, MetaData, Table, Text

__all__ = ["disclosures", "execution_texts", "executions", "ledger_meta", "metadata"]

metadata = MetaData()

ledger_meta = Table(
    "ledger_meta",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="ledger_meta_one_row"), primary_key=True),
    Column("ledger_id", Text, nullable=False),
    Column("created", Text, nullable=False),
    Column("schema", Text, nullable=False),
)

executions = Table(
    "executions",
    metadata,
    # AUTOINCREMENT: the number of a purged row is never given to another execution.
    Column("id", Integer, primary_key=True),
    Column("execution_id", Text, nullable=False, unique=True),
    Column("plan_id", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("live_mode", Text, nullable=False),
    Column("started", Text, nullable=False),
    Column("ended", Text, nullable=False),
    Column("stored", Text, nullable=False),
    Column("steps_completed", Integer, nullable=False),
    Column("steps_total", Integer),
    Column("entries", Integer, nullable=False),
    Column("effects", Integer, nullable=False),
    Column("execution_hash", Text, nullable=False),
    # Last, so that reading the columns above never touches a large record's overflow pages.
    Column("record", LargeBinary, nullable=False),
    Index("executions_by_start", "started", "id"),
    Index("executions_by_plan", "plan_id", "started"),
    Index("executions_by_status", "status", "started"),
    sqlite_autoincrement=True,
)

execution_texts = Table(
    "execution_texts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("execution", Integer, ForeignKey("executions.id", ondelete="CASCADE"), nullable=False),
    Column(
        "kind",
        Text,
        CheckConstraint("kind IN ('step', 'error', 'effect', 'reason')", name="execution_texts_kind"),
        nullable=False,
    ),
    Column("step_index", Integer),
    Column("text", Text, nullable=False),
    Index("execution_texts_by_execution", "execution"),
)

disclosures = Table(
    "disclosures",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("execution", Integer, ForeignKey("executions.id", ondelete="CASCADE"), nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("pointer", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("salt", Text, nullable=False),
    Column("value", Text, nullable=False),
    # One string can hold several commitments, all under one pointer.
    Index("disclosures_by_place", "execution", "sequence", "pointer", "digest", unique=True),
)
