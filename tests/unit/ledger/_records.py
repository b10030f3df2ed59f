"""Sealed records made to order, hashed and linked here and not by the recorder: their time is to choose."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from hearth.ledger import Ledger
from hearth.operations import log_update
from hearth.record import GENESIS_HASH, ExecutionRecord, canonical_bytes, entry_hash, format_time
from hearth.recorder import try_lock

if TYPE_CHECKING:
    from hearth.ledger import LedgerHome

NOON = datetime(2025, 9, 1, 12, 0, tzinfo=UTC)


def make_sealed_record(
    execution_id: str = "run-1",
    *,
    plan: str = "user-import",
    started: datetime = NOON,
    status: str = "failed",
    step: str = "Import",
    error: str = "row 17: no name",
    effect: str = "INSERT INTO users: 16 rows",
    reason: str = "",
    sealed: bool = True,
) -> ExecutionRecord:
    """A record of one step with one effect; it verifies."""
    snapshot = {
        "security_state": "UNKNOWN",
        "boundary_state": "UNKNOWN",
        "context": "",
        "timestamp": format_time(started),
    }
    cause = {"failed": "failed", "incomplete": "escalation"}.get(status, "completed")
    end = (
        {"event_type": "step_failed", "error_message": error}
        if status != "completed"
        else {"event_type": "step_completed"}
    )
    content: list[dict[str, Any]] = [
        {
            "event_type": "execution_started",
            "details": {
                "plan_id": plan,
                "plan_digest": None,
                "number_of_steps": 3 if status != "completed" else 1,
                "live_mode": "LIVE",
                "security_snapshot": snapshot,
            },
        },
        {"event_type": "step_started", "step_index": 0, "step_name": step},
        {
            "event_type": "side_effect",
            "step_index": 0,
            "step_name": step,
            "category": "data_mutation",
            "description": effect,
            "reversible": False,
            "origin": "reported",
        },
        {**end, "step_index": 0, "step_name": step, "elapsed_us": 1200},
    ]
    if sealed:
        seal = {
            "status": status,
            "cause": cause,
            "reason": reason,
            "number_of_entries": 5,
            "unknown_effects": False,
            "unknown_effects_why": [],
            "security_snapshot": snapshot,
        }
        content.append({"event_type": "execution_sealed", "details": seal})
    entries: list[dict[str, Any]] = []
    for sequence, part in enumerate(content):
        entry = {
            "execution_id": execution_id,
            "sequence": sequence,
            "previous_event_hash": entries[-1]["event_hash"] if entries else GENESIS_HASH,
            "timestamp": format_time(started + timedelta(milliseconds=sequence)),
            "step_index": None,
            "step_name": None,
            "error_message": None,
            "details": {},
            **part,
        }
        entries.append({**entry, "event_hash": entry_hash(entry)})
    return ExecutionRecord.from_entries(entries)


def journal_of(record: ExecutionRecord) -> bytes:
    """Return what the journal of a record's run holds."""
    lines = []
    for entry in sorted(record.entries, key=lambda one: one.sequence):
        content = {name: value for name, value in entry.to_dict().items() if name != "event_hash"}
        lines.append(f"{entry.event_hash} ".encode() + canonical_bytes(content) + b"\n")
    return b"".join(lines)


def store_as_run(home: LedgerHome, record: ExecutionRecord) -> None:
    """Store a record as its run does: the log knows that it is open before it acts, then takes up that it is sealed."""
    opening, line_end, rest = journal_of(record).partition(b"\n")
    path = home.journal_path(record.execution_id)
    with path.open("wb", buffering=0) as journal:
        assert try_lock(journal.fileno())
        journal.write(opening + line_end)
        log_update(home)
        journal.write(rest)
        with Ledger.open(home) as ledger:
            ledger.store(record)
        path.unlink()
    log_update(home)
