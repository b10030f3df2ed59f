"""How much memory a record takes: bounded for an event without a journal, flat with one."""

from __future__ import annotations

import gc
import os
import tracemalloc
from pathlib import Path

import pytest

from hearth.recorder import ExecutionObserver, Journal
from hearth.recorder._memory import EntryMemory

STATM = Path("/proc/self/statm")

MEGABYTE = 1 << 20


def record_events(observer: ExecutionObserver, count: int) -> None:
    """Typical events: an id, an index, a name, four details, a time."""
    for number in range(count):
        details = {"path": f"/srv/data/{number}.csv", "rows": number, "changed": True, "owner": "ann"}
        observer.record_step_completed(number % 50, "Import users", details)


def test_an_event_in_memory_takes_at_most_450_bytes() -> None:
    count = 20_000
    observer = ExecutionObserver("user-import-0a1b2c3d", "user-import")
    record_events(observer, 100)
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        record_events(observer, count)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    stored = sum(map(len, observer._memory)) / (count + 101)
    assert stored > 330, "the events are typical ones"
    assert (after - before) / count <= 450


def resident() -> int:
    """Bytes of memory that this process holds now."""
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def grown_with_journal(path: Path, count: int) -> int:
    """How many bytes the process has grown by after `count` events with a journal."""
    with Journal.create(path) as journal:
        observer = ExecutionObserver("run-1", "plan", journal=journal)
        record_events(observer, 10_000)
        journal.sync()
        gc.collect()
        before = resident()
        record_events(observer, count)
        gc.collect()
        return resident() - before


@pytest.mark.skipif(not STATM.exists(), reason="only Linux says how much memory a process holds at present")
def test_with_a_journal_memory_is_flat(tmp_path: Path) -> None:
    """The same events in memory would take forty megabytes."""
    assert grown_with_journal(tmp_path / "a.journal", 100_000) < 10 * MEGABYTE


@pytest.mark.soak
def test_with_a_journal_a_million_events_grow_it_by_less_than_20_megabytes(tmp_path: Path) -> None:
    assert grown_with_journal(tmp_path / "a.journal", 1_000_000) < 20 * MEGABYTE


def test_entries_come_back_in_order_whether_joined_or_not() -> None:
    memory = EntryMemory()
    entries = [f'{{"sequence":{number}}}'.encode() for number in range(10)]
    for number, entry in enumerate(entries):
        assert list(memory) == entries[:number]
        memory.recent.append(entry)
        if number % 4 == 3:
            memory.fold()
    assert list(memory) == entries


def test_a_record_is_the_same_on_both_sides_of_a_join() -> None:
    observer = ExecutionObserver("run-1", "plan")
    for number in range(600):
        observer.record_side_effect("OTHER", f"effect {number}")
        if number % 100 == 50:
            record_events(observer, 1)
    observer.mark_completed()
    record = observer.get_execution_record("LIVE")
    assert record.verify()
    assert [entry.sequence for entry in record.entries] == list(range(608))
