"""The newest schema as SQLite keeps it: the SQL of every table and index, and those that belong to a constraint."""

from __future__ import annotations

__all__ = ["CONSTRAINTS", "LAYOUT"]

LAYOUT = {
    "alembic_version": (
        "CREATE TABLE alembic_version ( version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY "
        "KEY (version_num) )"
    ),
    "ledger_meta": (
        "CREATE TABLE ledger_meta ( id INTEGER NOT NULL CONSTRAINT ledger_meta_one_row CHECK (id = 1), ledger_id "
        "TEXT NOT NULL, created TEXT NOT NULL, schema TEXT NOT NULL, PRIMARY KEY (id) )"
    ),
    "executions": (
        "CREATE TABLE executions ( id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, execution_id TEXT NOT NULL, "
        "plan_id TEXT NOT NULL, status TEXT NOT NULL, cause TEXT NOT NULL, live_mode TEXT NOT NULL, started TEXT "
        "NOT NULL, ended TEXT NOT NULL, stored TEXT NOT NULL, steps_completed INTEGER NOT NULL, steps_total "
        "INTEGER, entries INTEGER NOT NULL, effects INTEGER NOT NULL, execution_hash TEXT NOT NULL, record BLOB "
        "NOT NULL, UNIQUE (execution_id) )"
    ),
    "execution_texts": (
        "CREATE TABLE execution_texts ( id INTEGER NOT NULL, execution INTEGER NOT NULL, kind TEXT NOT NULL "
        "CONSTRAINT execution_texts_kind CHECK (kind IN ('step', 'error', 'effect', 'reason')), step_index "
        "INTEGER, text TEXT NOT NULL, PRIMARY KEY (id), FOREIGN KEY(execution) REFERENCES executions (id) ON "
        "DELETE CASCADE )"
    ),
    "disclosures": (
        "CREATE TABLE disclosures ( id INTEGER NOT NULL, execution INTEGER NOT NULL, sequence INTEGER NOT NULL, "
        "pointer TEXT NOT NULL, digest TEXT NOT NULL, salt TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (id), "
        "FOREIGN KEY(execution) REFERENCES executions (id) ON DELETE CASCADE )"
    ),
    "approval_requests": (
        "CREATE TABLE approval_requests ( id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, request_id TEXT NOT "
        "NULL, plan_id TEXT NOT NULL, plan_digest TEXT NOT NULL, created TEXT NOT NULL, document BLOB NOT NULL, "
        "UNIQUE (request_id) )"
    ),
    "approval_decisions": (
        "CREATE TABLE approval_decisions ( id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, request_id TEXT NOT "
        'NULL, approver TEXT NOT NULL, "key" TEXT NOT NULL, verdict TEXT CONSTRAINT approval_decisions_verdict '
        "CHECK (verdict IN ('approve', 'deny')), created TEXT NOT NULL, envelope BLOB NOT NULL, FOREIGN "
        "KEY(request_id) REFERENCES approval_requests (request_id) )"
    ),
    "approval_uses": (
        "CREATE TABLE approval_uses ( id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, request_id TEXT NOT NULL, "
        "execution_id TEXT NOT NULL, used TEXT NOT NULL, emergency INTEGER NOT NULL, UNIQUE (request_id), "
        "FOREIGN KEY(request_id) REFERENCES approval_requests (request_id), UNIQUE (execution_id) )"
    ),
    "reviews": (
        "CREATE TABLE reviews ( id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, execution_id TEXT NOT NULL, "
        "reviewer TEXT NOT NULL, created TEXT NOT NULL, envelope BLOB NOT NULL )"
    ),
    "refusals": (
        "CREATE TABLE refusals ( id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, created TEXT NOT NULL, "
        "plan_digest TEXT NOT NULL, code TEXT NOT NULL, who TEXT NOT NULL )"
    ),
    "postures": (
        "CREATE TABLE postures ( version INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, security TEXT NOT NULL, "
        "boundary TEXT NOT NULL, who TEXT NOT NULL, why TEXT NOT NULL, source TEXT NOT NULL, created TEXT NOT "
        "NULL, envelope BLOB )"
    ),
    "tombstones": (
        "CREATE TABLE tombstones ( id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, execution_id TEXT NOT NULL, "
        "execution_hash TEXT NOT NULL, purged TEXT NOT NULL, document BLOB NOT NULL, UNIQUE (execution_id) )"
    ),
    "legal_holds": (
        "CREATE TABLE legal_holds ( id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL CONSTRAINT "
        "legal_holds_kind CHECK (kind IN ('execution', 'plan')), name TEXT NOT NULL, who TEXT NOT NULL, why TEXT "
        "NOT NULL, created TEXT NOT NULL, released TEXT, released_by TEXT )"
    ),
    "erasures": (
        "CREATE TABLE erasures ( id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, execution_id TEXT NOT NULL, document "
        "BLOB NOT NULL )"
    ),
    "logs": (
        "CREATE TABLE logs ( id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, log_key TEXT NOT NULL, created TEXT NOT "
        "NULL )"
    ),
    "executions_by_start": ("CREATE INDEX executions_by_start ON executions (started, id)"),
    "executions_by_plan": ("CREATE INDEX executions_by_plan ON executions (plan_id, started)"),
    "executions_by_status": ("CREATE INDEX executions_by_status ON executions (status, started)"),
    "execution_texts_by_execution": ("CREATE INDEX execution_texts_by_execution ON execution_texts (execution)"),
    "disclosures_by_place": (
        "CREATE UNIQUE INDEX disclosures_by_place ON disclosures (execution, sequence, pointer, digest)"
    ),
    "approval_requests_by_plan": ("CREATE INDEX approval_requests_by_plan ON approval_requests (plan_digest, created)"),
    "approval_decisions_by_key": (
        'CREATE UNIQUE INDEX approval_decisions_by_key ON approval_decisions (request_id, "key", verdict)'
    ),
    "refusals_by_time": ("CREATE INDEX refusals_by_time ON refusals (created)"),
    "legal_holds_by_name": ("CREATE INDEX legal_holds_by_name ON legal_holds (kind, name)"),
    "sqlite_sequence": "CREATE TABLE sqlite_sequence(name,seq)",
}
"""By name; each run of white space is one space. A test compares it with what the migrations make."""

CONSTRAINTS = frozenset(
    {
        "sqlite_autoindex_alembic_version_1",
        "sqlite_autoindex_approval_requests_1",
        "sqlite_autoindex_approval_uses_1",
        "sqlite_autoindex_approval_uses_2",
        "sqlite_autoindex_executions_1",
        "sqlite_autoindex_tombstones_1",
    }
)
"""The indexes that SQLite makes for `UNIQUE` and `PRIMARY KEY`; they have no SQL."""
