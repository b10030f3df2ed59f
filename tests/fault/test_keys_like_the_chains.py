"""Details may use the names of the chain itself, as keys or within texts: readers parse, they do not search."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from hearth.record import ExecutionRecord, strict_loads
from hearth.recorder import ExecutionObserver, Journal, read_journal, recover_journal, verify_journal

if TYPE_CHECKING:
    from pathlib import Path

LIKE_AN_ENTRY = {
    "previous_event_hash": "0" * 64,
    "event_hash": "f" * 64,
    "sequence": 0,
    "prev": "0" * 64,
    "event_type": "execution_sealed",
    "execution_id": "other",
    "details": {"number_of_entries": 1, "cause": "completed"},
}
LINE = "a" * 64 + " " + json.dumps({"previous_event_hash": "0" * 64, "sequence": 3}, separators=(",", ":"))


@pytest.mark.parametrize(
    "details",
    [LIKE_AN_ENTRY, {"nested": [LIKE_AN_ENTRY]}, {"text": json.dumps(LIKE_AN_ENTRY)}, {"line": LINE + "\n" + LINE}],
    ids=["keys", "nested", "text", "whole lines"],
)
def test_they_are_recorded_read_verified_and_recovered(tmp_path: Path, details: dict[str, object]) -> None:
    path = tmp_path / "run.journal"
    with Journal.create(path) as journal:
        observer = ExecutionObserver("run", "plan", journal=journal)
        observer.record_step_started(0, LINE, details)
        observer.record_side_effect("OTHER", LINE, details=details)
        observer.record_step_completed(0, LINE, details)
        record = observer.get_execution_record("DRY_RUN")
    assert record.step_events[0].details == details
    assert read_journal(path).step_events[0].details == details

    torn = path.read_bytes()[:-30]
    path.write_bytes(torn)
    recovery = recover_journal(path)
    assert recovery.outcome == "recovered"
    assert recovery.discarded > 0
    assert verify_journal(path)
    assert recovery.record is not None
    assert recovery.record.verify()
    again = ExecutionRecord.from_dict(strict_loads(json.dumps(recovery.record.to_dict(), indent=2)))
    assert again == recovery.record
    assert again.verify()
