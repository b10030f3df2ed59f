"""What a ledger's database consists of, written down a second time; a test compares it with the migrations."""

from __future__ import annotations

__all__ = [
    "APPLICATION_ID",
    "DECIDING",
    "INDEXES",
    "LAST_OF",
    "MADE_BY",
    "NUMBERED",
    "REVISIONS",
    "TABLES",
    "columns_of",
    "number_of",
]

APPLICATION_ID = 0x48525448
REVISIONS = ("0001", "0002", "0003", "0004")

TABLES = {
    "alembic_version": "version_num",
    "ledger_meta": "id ledger_id created schema",
    "executions": "id execution_id plan_id status cause live_mode started ended stored steps_completed steps_total "
    "entries effects execution_hash record",
    "execution_texts": "id execution kind step_index text",
    "disclosures": "id execution sequence pointer digest salt value",
    "approval_requests": "id request_id plan_id plan_digest created document",
    "approval_decisions": "id request_id approver key verdict created envelope",
    "approval_uses": "id request_id execution_id used emergency",
    "reviews": "id execution_id reviewer created envelope",
    "refusals": "id created plan_digest code who",
    "postures": "version security boundary who why source created envelope",
    "tombstones": "id execution_id execution_hash purged document",
    "legal_holds": "id kind name who why created released released_by",
    "erasures": "id execution_id document",
    "logs": "id log_key created",
}
"""Each table's columns, in their order."""

LAST_OF = {"0001": "disclosures", "0002": "legal_holds", "0003": "erasures"}
"""The last of these tables that an older revision has."""

MADE_BY = {
    "alembic_version": "c85bfd889cff304bc45779b35249633d",
    "ledger_meta": "2fde15276fa4cb1b5159ba60056e7240",
    "executions": "283b31b6e1a1f4349f64275b7909811a",
    "execution_texts": "e46b625442720b3792208faed316ef78",
    "disclosures": "fb810ec274855a0b17bb2305f5ef30cc",
    "approval_requests": "3701f6cbeaba48bd8e41b19b9000510a",
    "approval_decisions": "8f2934a22f027228b7a1e02b2aa54724",
    "approval_uses": "208d5aaedb6ac9c102976e23c1c9b562",
    "reviews": "cc39d0a208d7478c1a4cc45c2bfbcd32",
    "refusals": "f7fe6aca5d61b81fc5e4c7031d05de09",
    "postures": "9528013f9f06b7d1f5b2f64cb517f41d",
    "tombstones": "ae3d28d5b4c7910cc80f10822234e31b",
    "legal_holds": "2fe24f1bc3a6075bb473a605791b60b4",
    "erasures": "09396afc3e76374fcda4b4e85b25934c",
    "logs": "b449424b85adadf8b0fdadf56341b8f4",
    "sqlite_sequence": "4cb1eaf14467f226196148cb56885696",
}
"""Each table's SQL, as the first half of its SHA-256 (hex): each run of white space is one space."""

INDEXES = {
    "executions_by_start": ("executions", "started, id", False),
    "executions_by_plan": ("executions", "plan_id, started", False),
    "executions_by_status": ("executions", "status, started", False),
    "execution_texts_by_execution": ("execution_texts", "execution", False),
    "disclosures_by_place": ("disclosures", "execution, sequence, pointer, digest", True),
    "approval_requests_by_plan": ("approval_requests", "plan_digest, created", False),
    "approval_decisions_by_key": ("approval_decisions", "request_id, key, verdict", True),
    "refusals_by_time": ("refusals", "created", False),
    "legal_holds_by_name": ("legal_holds", "kind, name", False),
}
"""Each index: its table, its columns, whether it is unique."""

NUMBERED = (
    "executions", "approval_requests", "approval_decisions", "approval_uses", "reviews", "refusals", "tombstones",
    "legal_holds", "postures", "erasures", "logs",
)  # fmt: skip
"""Tables whose rows are numbered without a gap, for none is ever removed (but for purged executions)."""


DECIDING = frozenset({"approval_requests", "approval_decisions", "approval_uses", "postures"})
"""Tables whose rows decide on what runs: an index that does not have them all may have hidden one."""


def number_of(table: str) -> str:
    """Return the column that numbers a table's rows: the first one."""
    return columns_of(table)[0]


def columns_of(table: str) -> tuple[str, ...]:
    """Return a table's columns."""
    return tuple(TABLES[table].split())
