"""The ledger's tables, as the newest migration leaves them (a test compares the two).

Of an execution nothing is evidence of its own but `executions.record` and `disclosures`; every other column is derived
from the record's bytes and can be derived again. Of approvals, postures, reviews and tombstones the `document` or
`envelope` is the evidence, and the other columns repeat it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
)

__all__ = [
    "approval_decisions",
    "approval_requests",
    "approval_uses",
    "disclosures",
    "erasures",
    "execution_texts",
    "executions",
    "ledger_meta",
    "legal_holds",
    "logs",
    "metadata",
    "postures",
    "refusals",
    "reviews",
    "tombstones",
]

metadata = MetaData()


class _Told(TypeDecorator[str]):
    """A text that is shown to people: whatever somebody else wrote into the column is read as a text, too."""

    impl = Text
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:  # noqa: ANN401, ARG002 - SQLAlchemy's signature
        """Return bytes as a text, with escapes for what is no UTF-8, and a number as its digits."""
        if value is None or isinstance(value, str):
            return value
        return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)


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

# A request, as canonical JSON (hearth.plan.ApprovalRequest).
approval_requests = Table(
    "approval_requests",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("request_id", Text, nullable=False, unique=True),
    Column("plan_id", Text, nullable=False),
    Column("plan_digest", Text, nullable=False),
    Column("created", Text, nullable=False),
    Column("document", LargeBinary, nullable=False),
    Index("approval_requests_by_plan", "plan_digest", "created"),
    sqlite_autoincrement=True,
)

# A signed statement (DSSE envelope) for or against a request; of each key one of either kind.
approval_decisions = Table(
    "approval_decisions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("request_id", Text, ForeignKey("approval_requests.request_id"), nullable=False),
    Column("approver", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("verdict", Text, CheckConstraint("verdict IN ('approve', 'deny')", name="approval_decisions_verdict")),
    Column("created", Text, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Index("approval_decisions_by_key", "request_id", "key", "verdict", unique=True),
    sqlite_autoincrement=True,
)

# The unique row that consumes a request: one approval, one run.
approval_uses = Table(
    "approval_uses",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("request_id", Text, ForeignKey("approval_requests.request_id"), nullable=False, unique=True),
    Column("execution_id", Text, nullable=False, unique=True),
    Column("used", Text, nullable=False),
    Column("emergency", Integer, nullable=False),
    sqlite_autoincrement=True,
)

# What was said afterwards of an emergency run (DSSE envelope).
reviews = Table(
    "reviews",
    metadata,
    Column("id", Integer, primary_key=True),
    # Not unique: one whose key has left the policy counts no more, and another one takes its place.
    Column("execution_id", Text, nullable=False),
    Column("reviewer", Text, nullable=False),
    Column("created", Text, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)

# The runs that an approval's check refused: too many of them are a sensor.
refusals = Table(
    "refusals",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("created", Text, nullable=False),
    Column("plan_digest", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("who", Text, nullable=False),
    Index("refusals_by_time", "created"),
    sqlite_autoincrement=True,
)

# Every posture there was; the row with the greatest version is the present one, and a new version is a new row, so that
# of two changes at a time one fails on the key. `envelope` is the signed act of a restoration.
postures = Table(
    "postures",
    metadata,
    Column("version", Integer, primary_key=True),
    Column("security", Text, nullable=False),
    Column("boundary", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("created", Text, nullable=False),
    Column("envelope", LargeBinary),
    sqlite_autoincrement=True,
)

# What stays of a purged record: enough to prove that it was there, and what it said by its hash.
tombstones = Table(
    "tombstones",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("execution_id", Text, nullable=False, unique=True),
    Column("execution_hash", Text, nullable=False),
    Column("purged", Text, nullable=False),
    Column("document", LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)

# What must not be purged: an execution, or every record of a plan, until it is released.
legal_holds = Table(
    "legal_holds",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", Text, CheckConstraint("kind IN ('execution', 'plan')", name="legal_holds_kind"), nullable=False),
    Column("name", _Told, nullable=False),
    Column("who", _Told, nullable=False),
    Column("why", _Told, nullable=False),
    Column("created", _Told, nullable=False),
    Column("released", _Told),
    Column("released_by", _Told),
    Index("legal_holds_by_name", "kind", "name"),
    sqlite_autoincrement=True,
)

# Which disclosed values of a record were erased, when, by whom and why (canonical JSON).
erasures = Table(
    "erasures",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("execution_id", Text, nullable=False),
    Column("document", LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)

# The first verifier key of each transparency log that the ledger has had; the last row is that of now.
logs = Table(
    "logs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("log_key", Text, nullable=False),
    Column("created", Text, nullable=False),
    sqlite_autoincrement=True,
)
