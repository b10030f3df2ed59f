"""Leaves of the log: canonical, small, and the same from the record alone."""

from __future__ import annotations

import pytest

from hearth.errors import RecordError
from hearth.record import LeafKind, leaf_bytes, named_in_leaf, parse_leaf, sealed_leaf
from hearth.recorder import ExecutionObserver

AT = "2026-11-23T00:00:00.000000Z"


def test_a_sealed_record_gives_its_leaf_whoever_makes_it() -> None:
    observer = ExecutionObserver("run-1", "plan")
    observer.record_step_started(0, "first")
    observer.record_step_completed(0, "first")
    observer.mark_completed("done")
    record = observer.get_execution_record("DRY_RUN")
    leaf = parse_leaf(sealed_leaf(record, origin="example.org/log", ledger_id="ab"))
    assert leaf == {
        "schema": "hearth.log-leaf/1",
        "kind": "execution_sealed",
        "origin": "example.org/log",
        "ledger_id": "ab",
        "at": record.to_dict()["timestamp_end"],
        "execution_id": "run-1",
        "execution_hash": record.get_execution_hash(),
        "entries": 4,
        "status": "completed",
    }
    again = type(record).from_dict(record.to_dict())
    assert sealed_leaf(again, origin="example.org/log", ledger_id="ab") == sealed_leaf(
        record, origin="example.org/log", ledger_id="ab"
    )


def test_a_record_without_seal_has_no_leaf() -> None:
    record = ExecutionObserver("run-1", "plan").get_execution_record("DRY_RUN")
    with pytest.raises(RecordError, match="not sealed"):
        sealed_leaf(record, origin="o", ledger_id="l")


def test_a_long_name_stands_in_a_leaf_by_its_hash() -> None:
    assert named_in_leaf("é" * 512) == "é" * 512
    assert named_in_leaf("é" * 513).startswith("sha256:")
    assert len(named_in_leaf("x" * 100_000)) == len("sha256:") + 64


def test_a_leaf_that_an_entry_cannot_hold_is_refused() -> None:
    with pytest.raises(RecordError, match="65535"):
        leaf_bytes(LeafKind.APPROVAL_USED, origin="o", ledger_id="l", at=AT, decisions=["0" * 64] * 1000)


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        b"[]",
        b"",
        b'{"schema":"hearth.log-leaf/1","kind":"something_else"}',
        b'{"schema":"hearth.log-leaf/1","kind":"log_created"}',  # not in canonical order
    ],
)
def test_what_is_no_leaf_is_refused(data: bytes) -> None:
    with pytest.raises(RecordError):
        parse_leaf(data)
