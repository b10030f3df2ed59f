"""Documents nested more deeply than any record: refused in words, never with a crash."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from hearth.errors import RecordError
from hearth.record import ExecutionRecord, strict_loads
from hearth.recorder import ExecutionObserver


def deep(levels: int) -> Any:
    tree: Any = 1
    for _ in range(levels):
        tree = [tree]
    return tree


@pytest.mark.parametrize("levels", [260, 600, 1000, 5000, 100_000])
def test_text_is_refused(levels: int) -> None:
    with pytest.raises(RecordError):
        strict_loads(b"[" * levels + b"]" * levels)


@pytest.mark.parametrize("levels", [200, 240, 400, 900])
def test_a_record_is_read_or_refused(levels: int) -> None:
    observer = ExecutionObserver("run-1", "plan")
    observer.record_step_completed(0, "step", {"a": 1})
    observer.mark_completed()
    document = observer.get_execution_record("LIVE").to_dict()
    document["step_events"][0]["details"] = {"a": deep(levels)}
    try:
        record = ExecutionRecord.from_dict(document)
    except RecordError:
        return
    assert not record.verify()


def test_what_a_caller_nests_is_read_again() -> None:
    observer = ExecutionObserver("run-1", "plan")
    keyed: Any = 1
    for _ in range(80):
        keyed = {1: keyed}
    observer.record_step_completed(0, "step", {"lists": deep(100), "keys": keyed})
    observer.mark_completed()
    record = observer.get_execution_record("LIVE")
    again = ExecutionRecord.from_dict(strict_loads(orjson.dumps(record.to_dict())))
    assert again == record
    assert again.verify()
