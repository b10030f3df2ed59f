"""The journal: what is durable when, group commit, the lock, and its end."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import JournalLockedError, RecorderError
from hearth.record import hash_entry_bytes
from hearth.recorder import ExecutionObserver, Journal, read_journal, recover_journal, verify_journal
from tests.unit.recorder._support import Disk, watch_disk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SOON = 10.0
"""Seconds that a test waits for what should take milliseconds."""


class SlowDisk:
    """A disk whose syncs wait until they are let go; `asked` says that one has begun."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = threading.Event()
        self.go = threading.Event()
        self.synced = 0
        real = getattr(os, "fdatasync", os.fsync)

        def sync(descriptor: int) -> None:
            size = os.fstat(descriptor).st_size
            self.asked.set()
            assert self.go.wait(SOON)
            real(descriptor)
            self.synced = max(self.synced, size)

        monkeypatch.setattr("hearth.recorder._journal._fdatasync", sync)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal is to lie."""
    return tmp_path / "run-1.journal"


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowDisk]:
    """A disk that waits; let go at the end in any case."""
    disk = SlowDisk(monkeypatch)
    yield disk
    disk.go.set()


def wait_until(condition: Any) -> None:
    """Wait for what another thread does; fail when it does not."""
    tick = threading.Event()
    for _ in range(int(SOON * 1000)):
        if condition():
            return
        tick.wait(0.001)
    pytest.fail("it did not happen")


def observed(journal: Journal) -> ExecutionObserver:
    return ExecutionObserver("run-1", "plan", journal=journal)


# --- the file ---------------------------------------------------------------------------------------------------------


def test_a_line_is_hash_blank_entry_and_line_feed(path: Path) -> None:
    with Journal.create(path) as journal:
        observer = observed(journal)
        observer.record_step_started(0, "a\nb", {"é": "\u2028\x85"})
        observer.mark_completed()
        head = observer.head_hash
    lines = path.read_bytes().split(b"\n")
    assert lines.pop() == b""
    assert len(lines) == 3
    for line in lines:
        assert line[64:66] == b" {"
        assert hash_entry_bytes(line[65:]).encode() == line[:64]
    assert lines[-1][:64].decode() == head


def test_the_file_is_its_owners_alone(path: Path) -> None:
    with Journal.create(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_exists_is_left_alone(path: Path) -> None:
    path.write_bytes(b"evidence of before")
    with pytest.raises(RecorderError, match="exists"):
        Journal.create(path)
    assert path.read_bytes() == b"evidence of before"


def test_a_journal_of_before_is_not_taken_up_again(path: Path) -> None:
    with Journal.create(path) as journal:
        observed(journal).mark_completed()
    before = path.read_bytes()
    with pytest.raises(RecorderError, match="recorded before"):
        Journal.create(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("place", ["missing/run.journal", "file/run.journal", ""])
def test_where_nothing_can_be_written_nothing_starts(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RecorderError):
        Journal.create(tmp_path / place)


def test_a_path_may_be_relative_and_the_folder_may_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    journal = Journal.create("run.journal")
    observer = observed(journal)
    monkeypatch.chdir(tmp_path / "elsewhere")
    observer.record_step_started(0, "a")
    observer.record_step_completed(0, "a")
    observer.mark_completed()
    assert observer.get_execution_record("LIVE").verify()
    journal.close()
    assert verify_journal(tmp_path / "run.journal")


# --- durability -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "act",
    [
        lambda observer: observer.record_step_started(0, "a", {"x": 1}),
        lambda observer: observer.mark_completed(),
        lambda observer: observer.mark_failed("x"),
        lambda observer: observer.mark_incomplete_security_escalation("x"),
    ],
    ids=["step_started", "completed", "failed", "escalation"],
)
def test_starts_and_marks_are_durable_before_they_return(path: Path, monkeypatch: pytest.MonkeyPatch, act: Any) -> None:
    disk = watch_disk(monkeypatch)
    with Journal.create(path) as journal:
        observer = observed(journal)
        observer.record_side_effect("OTHER", "before it")
        act(observer)
        raw = path.read_bytes()
        assert raw.endswith(b"\n")
        assert raw[raw.rindex(b"\n", 0, -1) + 1 :][:64].decode() == observer.head_hash, "it is in the file"
        assert disk.durable == len(raw), "and the file was synced with it"


@pytest.mark.parametrize(
    "act",
    [
        lambda observer: observer.record_step_started(0, "a"),
        lambda observer: observer.mark_completed(),
    ],
    ids=["step_started", "completed"],
)
def test_they_wait_for_the_disk(path: Path, slow: SlowDisk, act: Any) -> None:
    journal = Journal.create(path)
    observer = observed(journal)
    returned = threading.Event()

    def run() -> None:
        act(observer)
        returned.set()

    thread = threading.Thread(target=run)
    thread.start()
    assert slow.asked.wait(SOON)
    assert not returned.wait(0.05), "the disk has not answered"
    slow.go.set()
    assert returned.wait(SOON)
    thread.join()
    assert slow.synced == path.stat().st_size
    journal.close()


def test_effects_and_completions_do_not_wait_for_the_disk(path: Path, slow: SlowDisk) -> None:
    journal = Journal.create(path)
    observer = observed(journal)
    observer.record_side_effect("OTHER", "first")
    assert slow.asked.wait(SOON)
    for number in range(100):
        observer.record_side_effect("OTHER", f"effect {number}")
        observer.record_step_completed(0, "a")
        observer.record_step_failed(0, "a", "x")
    assert slow.synced == 0, "none of them waited: this thread came here first"
    slow.go.set()
    observer.mark_failed()
    assert verify_journal(path)
    journal.close()


def test_what_nobody_asks_for_is_synced_soon_by_itself(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = watch_disk(monkeypatch)

    def synced(lines: int) -> bool:
        return path.read_bytes().count(b"\n") == lines and disk.durable == path.stat().st_size

    with Journal.create(path) as journal:
        observer = observed(journal)
        for count in range(2, 6):
            observer.record_side_effect("OTHER", f"effect {count}")
            wait_until(partial(synced, count))


def test_a_group_is_one_write_and_one_sync(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = watch_disk(monkeypatch)
    with Journal.create(path) as journal:
        observer = observed(journal)
        for number in range(2000):
            observer.record_side_effect("OTHER", f"effect {number}")
        observer.record_step_started(0, "a")
        assert disk.durable == path.stat().st_size
        assert len(disk.syncs) < 1000, "far fewer syncs than events"


def test_lines_read_for_a_record_are_synced_as_well(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading hands what is in memory over to the file; it must not slip past the sync that way."""
    disk = watch_disk(monkeypatch)
    with Journal.create(path) as journal:
        observer = observed(journal)
        observer.record_side_effect("OTHER", "x")
        assert len(observer.get_execution_record("LIVE").entries) == 2
        assert len(list(journal.lines())) == 2
        wait_until(lambda: disk.durable == path.stat().st_size)


def test_so_many_lines_that_memory_would_grow_are_written_and_synced(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = watch_disk(monkeypatch)
    with Journal.create(path) as journal:
        observer = observed(journal)
        encoded = 0
        for number in range(10_000):
            observer.record_side_effect("OTHER", f"effect {number}")
            encoded = max(encoded, len(journal._pending))
        assert encoded <= 8192, "the caller is held back"
        wait_until(lambda: path.read_bytes().count(b"\n") == 10_001 and disk.durable == path.stat().st_size)
    assert verify_journal(path).why == "unsealed"


def test_a_disk_that_takes_a_few_bytes_at_a_time_gets_them_all(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Few:
        def __getattr__(self, name: str) -> Any:
            return getattr(os, name)

        def write(self, descriptor: int, data: bytes) -> int:
            return os.write(descriptor, data[:7])

    monkeypatch.setattr("hearth.recorder._journal.os", Few())
    with Journal.create(path) as journal:
        observer = observed(journal)
        observer.record_step_started(0, "a")
        observer.mark_completed()
    assert verify_journal(path), verify_journal(path)


# --- its end ----------------------------------------------------------------------------------------------------------


def test_closing_syncs_what_was_accepted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = watch_disk(monkeypatch)
    journal = Journal.create(path)
    observer = observed(journal)
    observer.record_side_effect("OTHER", "x")
    journal.close()
    assert path.read_bytes().count(b"\n") == 2
    assert disk.durable == path.stat().st_size
    journal.close()


def test_after_closing_nothing_is_accepted(path: Path) -> None:
    journal = Journal.create(path)
    observer = observed(journal)
    journal.close()
    raw = path.read_bytes()
    acts: tuple[Callable[[], object], ...] = (
        lambda: journal.append(b"x\n"),
        journal.sync,
        lambda: observer.record_side_effect("OTHER", "x"),
        lambda: observer.record_step_started(0, "a"),
        observer.mark_completed,
    )
    for act in acts:
        with pytest.raises(RecorderError):
            act()
    assert path.read_bytes() == raw


def test_the_record_can_be_had_after_closing(path: Path) -> None:
    with Journal.create(path) as journal:
        observer = observed(journal)
        observer.mark_completed()
    record = observer.get_execution_record("LIVE")
    assert record.verify()
    assert read_journal(path).entries == record.entries


def test_no_thread_is_left_behind(path: Path) -> None:
    before = threading.active_count()
    with Journal.create(path) as journal:
        observed(journal).record_step_started(0, "a")
    assert threading.active_count() == before


def test_a_process_that_ends_without_closing_loses_nothing(path: Path) -> None:
    script = """
import sys
from hearth.recorder import ExecutionObserver, Journal
observer = ExecutionObserver("run-1", "plan", journal=Journal.create(sys.argv[1]))
for number in range(20):
    observer.record_side_effect("OTHER", f"effect {number}")
"""
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)
    assert path.read_bytes().count(b"\n") == 21


# --- the lock ---------------------------------------------------------------------------------------------------------


def test_a_live_journal_is_locked(path: Path) -> None:
    journal = Journal.create(path)
    observed(journal).record_step_started(0, "a")
    with pytest.raises(JournalLockedError, match=r"run-1\.journal"):
        recover_journal(path)
    assert read_journal(path).status.value == "started", "reading needs no lock"
    journal.close()
    assert recover_journal(path).outcome == "recovered"


OTHER_PROCESS = """
import sys
from hearth.errors import JournalLockedError, RecorderError
from hearth.recorder import Journal, recover_journal
try:
    recover_journal(sys.argv[1])
except JournalLockedError:
    print("locked")
try:
    Journal.create(sys.argv[1])
except RecorderError as error:
    print(type(error).__name__)
"""


def test_it_is_locked_to_other_processes(path: Path) -> None:
    journal = Journal.create(path)
    observer = observed(journal)
    observer.record_step_started(0, "a")
    run = subprocess.run([sys.executable, "-c", OTHER_PROCESS, str(path)], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["locked", "RecorderError"]
    observer.record_step_completed(0, "a")
    observer.mark_completed()
    journal.close()
    assert verify_journal(path), "and what the other one tried did no harm"


def test_threads_share_a_journal(path: Path) -> None:
    threads, events = 8, 500
    with Journal.create(path) as journal:
        observer = observed(journal)

        def work(index: int) -> None:
            for number in range(events):
                observer.record_side_effect("OTHER", f"{index}/{number}", step_index=index, details={"n": number})

        workers = [threading.Thread(target=work, args=(index,)) for index in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        observer.mark_completed()
        record = observer.get_execution_record("LIVE")
    assert record.verify(), record.verify()
    effects = record.side_effects_report.side_effects_observed
    assert len(effects) == threads * events
    for index in range(threads):
        mine = [effect.details["n"] for effect in effects if effect.step_index == index]
        assert mine == list(range(events)), "each thread's events in its own order"
    assert verify_journal(path)


def test_a_watched_disk_counts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or else the tests of durability above could not fail."""
    disk: Disk = watch_disk(monkeypatch)
    with Journal.create(path) as journal:
        journal.append(b"x\n")
        journal.sync()
        assert disk.syncs
        assert disk.durable == 2
