"""The journal tells that it died: once, from whichever thread notices, never under its own locks."""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from hearth.errors import RecorderError
from hearth.recorder import ExecutionObserver, Journal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SYNC = "hearth.recorder._journal._fdatasync"


class Alarm:
    """Keeps what it is told, and by which thread; `during` is done in the call."""

    def __init__(self, during: Callable[[], object] = lambda: None) -> None:
        self.told: list[str] = []
        self.threads: list[str] = []
        self.rung = threading.Event()
        self._during = during

    def __call__(self, why: str) -> None:
        self.told.append(why)
        self.threads.append(threading.current_thread().name)
        self.rung.set()
        self._during()


def no_disk(_: int) -> None:
    raise OSError(errno.EIO, "Input/output error")


def test_it_is_called_once_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alarm = Alarm()
    journal = Journal.create(tmp_path / "run.journal", on_failure=alarm)
    observer = ExecutionObserver("run-1", "plan", journal=journal)
    monkeypatch.setattr(SYNC, no_disk)
    for _ in range(3):
        with pytest.raises(RecorderError):
            observer.record_step_started(0, "first")
    journal.close()
    (why,) = alarm.told
    assert "run.journal" in why
    assert "Input/output error" in why
    assert "hearth recover" in why


def test_a_journal_that_is_closed_or_lives_tells_nothing(tmp_path: Path) -> None:
    alarm = Alarm()
    with Journal.create(tmp_path / "run.journal", on_failure=alarm) as journal:
        ExecutionObserver("run-1", "plan", journal=journal).mark_completed()
    with pytest.raises(RecorderError, match="closed"):
        journal.check()
    assert alarm.told == []


def test_the_thread_that_writes_in_the_background_tells_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alarm = Alarm()
    journal = Journal.create(tmp_path / "run.journal", on_failure=alarm)
    monkeypatch.setattr(SYNC, no_disk)
    journal.append(b"a line\n")
    assert alarm.rung.wait(10)
    assert alarm.threads == ["hearth-journal"]
    with pytest.raises(RecorderError):
        journal.check()
    journal.close()


def test_while_a_caller_hangs_in_its_sync_the_watchdog_tells_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alarm, disk = Alarm(), threading.Event()
    journal = Journal.create(tmp_path / "run.journal", deadline=0.2, on_failure=alarm)
    monkeypatch.setattr(SYNC, lambda _: disk.wait(30))
    errors: list[RecorderError] = []

    def start() -> None:
        try:
            ExecutionObserver("run-1", "plan", journal=journal).record_step_started(0, "first")
        except RecorderError as error:
            errors.append(error)

    caller = threading.Thread(target=start)
    caller.start()
    assert alarm.rung.wait(10)
    assert caller.is_alive(), "it is held until the disk answers"
    assert errors == []
    assert "did not answer within 0.2 s" in alarm.told[0]
    disk.set()
    caller.join(10)
    assert len(errors) == len(alarm.told) == 1
    journal.close()


def test_a_write_in_the_background_that_hangs_shows_at_the_next_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alarm, disk, hangs = Alarm(), threading.Event(), threading.Event()
    journal = Journal.create(tmp_path / "run.journal", deadline=0.2, on_failure=alarm)

    def hang(_: int) -> None:
        hangs.set()
        disk.wait(30)

    monkeypatch.setattr(SYNC, hang)
    journal.append(b"a line\n")
    assert hangs.wait(10)
    time.sleep(0.3)
    with pytest.raises(RecorderError, match="did not answer"):
        journal.check()
    assert len(alarm.told) == 1
    disk.set()
    journal.close()


def test_none_of_the_journal_s_locks_is_held_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread, which the alarm waits for, uses the journal."""
    journals: list[Journal] = []
    refused: list[str] = []

    def use() -> None:
        def another() -> None:
            for act in (journals[0].sync, journals[0].check, lambda: journals[0].append(b"x\n")):
                with pytest.raises(RecorderError) as caught:
                    act()
                refused.append(str(caught.value))

        thread = threading.Thread(target=another)
        thread.start()
        thread.join(10)
        assert not thread.is_alive()

    alarm = Alarm(use)
    journals.append(Journal.create(tmp_path / "run.journal", on_failure=alarm))
    monkeypatch.setattr(SYNC, no_disk)
    observer = ExecutionObserver("run-1", "plan", journal=journals[0])
    with pytest.raises(RecorderError):
        observer.record_step_started(0, "first")
    assert len(alarm.told) == 1
    assert len(refused) == 3
    journals[0].close()


def test_an_alarm_that_raises_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise ValueError("no bell")

    journal = Journal.create(tmp_path / "run.journal", on_failure=Alarm(fail))
    monkeypatch.setattr(SYNC, no_disk)
    with caplog.at_level(logging.ERROR), pytest.raises(RecorderError, match="Input/output error"):
        ExecutionObserver("run-1", "plan", journal=journal).record_step_started(0, "first")
    assert "no bell" in caplog.text
    journal.close()


@pytest.mark.parametrize("how", ["unlinked", "renamed", "replaced"])
def test_a_check_sees_that_the_file_is_gone(tmp_path: Path, how: str) -> None:
    alarm, path = Alarm(), tmp_path / "run.journal"
    journal = Journal.create(path, on_failure=alarm)
    observer = ExecutionObserver("run-1", "plan", journal=journal)
    observer.record_step_started(0, "first")
    journal.check()
    if how == "unlinked":
        path.unlink()
    elif how == "renamed":
        path.rename(tmp_path / "elsewhere")
    else:
        (tmp_path / "copy").write_bytes(path.read_bytes())
        (tmp_path / "copy").rename(path)
    with pytest.raises(RecorderError, match=r"run\.journal.*(is gone|taken its place)"):
        journal.check()
    with pytest.raises(RecorderError):
        observer.record_step_started(1, "second")
    assert len(alarm.told) == 1
    journal.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_in_a_forked_child_the_alarm_is_the_parent_s_affair(tmp_path: Path) -> None:
    alarm = Alarm()
    journal = Journal.create(tmp_path / "run.journal", on_failure=alarm)
    child = os.fork()
    if child == 0:
        try:
            journal.check()
        except RecorderError:
            os._exit(len(alarm.told))
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    journal.close()
