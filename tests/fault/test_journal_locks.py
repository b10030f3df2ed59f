"""Who only looks whether a journal is locked disturbs nobody; who recovers never takes a file for another."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from hearth.errors import JournalLockedError, RecorderError
from hearth.recorder import ExecutionObserver, Journal, journal_is_live, recover_journal, verify_journal

if TYPE_CHECKING:
    from pathlib import Path


def test_journals_are_created_while_others_look(tmp_path: Path) -> None:
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            for path in tmp_path.glob("*.journal"):
                journal_is_live(path)

    lookers = [threading.Thread(target=look) for _ in range(3)]
    for thread in lookers:
        thread.start()
    try:
        for number in range(60):
            with Journal.create(tmp_path / f"{number}.journal") as journal:
                ExecutionObserver("run", "plan", journal=journal).mark_completed()
                assert journal_is_live(journal.path)
            assert verify_journal(journal.path)
    finally:
        stop.set()
        for thread in lookers:
            thread.join()


def test_a_journal_replaced_while_it_is_opened_is_not_sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.journal"
    with Journal.create(path) as journal:
        ExecutionObserver("run", "plan", journal=journal).record_step_started(0, "a")
    before = path.read_bytes()
    from hearth.recorder import _recovery

    def replaced_meanwhile(descriptor: int) -> bool:
        copy = tmp_path / "copy"
        copy.write_bytes(before)
        copy.replace(path)
        return True

    monkeypatch.setattr(_recovery, "lock_soon", replaced_meanwhile)
    with pytest.raises(JournalLockedError, match="replaced"):
        recover_journal(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("change", ["truncate", "append", "shrink"])
def test_a_journal_changed_in_place_stops_the_run_before_the_next_step(tmp_path: Path, change: str) -> None:
    path = tmp_path / "run.journal"
    journal = Journal.create(path)
    observer = ExecutionObserver("run", "plan", journal=journal)
    observer.record_step_started(0, "a")
    size = path.stat().st_size
    if change == "append":
        with path.open("ab") as file:
            file.write(b"more\n")
    else:
        os.truncate(path, 0 if change == "truncate" else size - 10)
    with pytest.raises(RecorderError, match="changed"):
        observer.record_step_started(1, "b")
    with pytest.raises(RecorderError):
        observer.mark_completed()
    journal.close()


def test_two_observers_do_not_share_a_journal(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "run.journal") as journal:
        ExecutionObserver("run", "plan", journal=journal).mark_completed()
        with pytest.raises(RecorderError, match="another observer"):
            ExecutionObserver("run", "plan", journal=journal)
    assert verify_journal(tmp_path / "run.journal")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this platform")
def test_a_named_pipe_is_no_journal(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    os.mkfifo(path)
    with pytest.raises(RecorderError, match="regular"):
        recover_journal(path)
    with pytest.raises(RecorderError, match="regular"):
        verify_journal(path)
