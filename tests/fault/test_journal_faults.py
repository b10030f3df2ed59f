"""Disks that fail, files that vanish, processes that fork, signals at the wrong moment: the journal says so and stops.

Each fault comes in a pair where that makes a difference: what was written stands, or it does not.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import HearthError, RecorderError
from hearth.record import ExecutionStatus, SealCause, StepEventType
from hearth.recorder import ExecutionObserver, Journal, read_journal, recover_journal, verify_journal

if TYPE_CHECKING:
    from collections.abc import Callable

WRITE = "hearth.recorder._journal.os"
SYNC = "hearth.recorder._journal._fdatasync"
DISK_FULL = Path("/dev/full")


class Faulty:
    """The `os` module as the journal sees it, with another `write`."""

    def __init__(self, write: Callable[[int, bytes], int]) -> None:
        self.write = write

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal lies."""
    return tmp_path / "run.journal"


@pytest.fixture
def journal(path: Path) -> Journal:
    """A journal with a start on disk; a test kills it, and it is closed at exit."""
    return Journal.create(path)


def begun(journal: Journal) -> ExecutionObserver:
    observer = ExecutionObserver("run-1", "plan", journal=journal, live_mode="LIVE")
    observer.record_step_started(0, "first")
    observer.record_step_completed(0, "first")
    journal.sync()
    return observer


def assert_dead(observer: ExecutionObserver, journal: Journal, path: Path) -> None:
    """Every later call raises, and none of them writes anything."""
    before = path.read_bytes() if path.exists() else None
    acts: tuple[Callable[[], object], ...] = (
        lambda: observer.record_step_started(2, "late"),
        lambda: observer.record_step_completed(1, "late"),
        lambda: observer.record_step_failed(1, "late", "x"),
        lambda: observer.record_side_effect("OTHER", "late"),
        observer.mark_completed,
        observer.mark_failed,
        lambda: journal.append(b"late\n"),
        journal.sync,
    )
    for act in acts:
        with pytest.raises(RecorderError):
            act()
    with suppress(RecorderError):  # it may say once more that it is dead
        journal.close()
    assert (path.read_bytes() if path.exists() else None) == before


def disk_full(_: int, __: bytes) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def half_then_full() -> Callable[[int, bytes], int]:
    """A disk that takes half of a write and then nothing."""
    calls = iter((True,))

    def write(descriptor: int, data: bytes) -> int:
        if next(calls, False):
            return os.write(descriptor, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    return write


def nothing_taken(_: int, __: bytes) -> int:
    return 0


def no_memory(_: int, __: bytes) -> int:
    raise MemoryError


WRITE_FAULTS: dict[str, Callable[[], Callable[[int, bytes], int]]] = {
    "full": lambda: disk_full,
    "half, then full": half_then_full,
    "nothing taken": lambda: nothing_taken,
    "no memory": lambda: no_memory,
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("fault", WRITE_FAULTS)
def test_a_write_that_fails_stops_the_run(
    path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    observer = begun(journal)
    whole = path.read_bytes()
    monkeypatch.setattr(WRITE, Faulty(WRITE_FAULTS[fault]()))
    with pytest.raises((RecorderError, MemoryError)):
        observer.record_step_started(1, "second")
    monkeypatch.undo()
    assert_dead(observer, journal, path)
    assert path.read_bytes().startswith(whole)
    assert not path.read_bytes()[len(whole) :].endswith(b"\n"), "not a whole line more"
    record = observer.get_execution_record()
    assert (record.status, len(record.entries)) == (ExecutionStatus.STARTED, 3), "the partial record is kept"
    recovery = recover_journal(path)
    assert recovery.outcome == "recovered"
    assert recovery.record is not None
    assert recovery.record.verify()
    assert len(recovery.record.step_events) == 2


@pytest.mark.parametrize("written", [False, True])
def test_a_sync_that_fails_stops_the_run(
    path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch, written: bool
) -> None:
    """What it left behind is unknown, whether the line stands or not; recovery then finds out."""
    observer = begun(journal)
    whole = path.read_bytes()

    def fail(descriptor: int) -> None:
        if not written:
            os.ftruncate(descriptor, len(whole))
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(SYNC, fail)
    with pytest.raises(RecorderError, match="Input/output error"):
        observer.record_step_started(1, "second")
    monkeypatch.undo()
    assert_dead(observer, journal, path)
    recovery = recover_journal(path)
    assert recovery.record is not None
    assert recovery.record.verify()
    assert len(recovery.record.step_events) == 2 + written


def test_a_sync_that_failed_once_is_not_believed_the_second_time(
    path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failed fsync Linux reports the next one as good, though the pages are lost."""
    observer = begun(journal)
    failed = threading.Event()

    def fail_once(descriptor: int) -> None:
        if not failed.is_set():
            failed.set()
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(SYNC, fail_once)
    observer.record_side_effect("OTHER", "in the background")
    assert failed.wait(10)
    with pytest.raises(RecorderError):
        observer.record_step_started(1, "second")
    assert_dead(observer, journal, path)


def test_the_message_says_what_where_and_what_to_do(
    path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    observer = begun(journal)
    monkeypatch.setattr(WRITE, Faulty(disk_full))
    with pytest.raises(RecorderError, match=r"run\.journal.*No space left.*hearth recover"):
        observer.record_step_started(1, "second")


@pytest.mark.skipif(not DISK_FULL.exists(), reason="the system has no /dev/full")
def test_a_disk_that_is_really_full() -> None:
    descriptor = os.open(DISK_FULL, os.O_RDWR)
    real = Journal(DISK_FULL, descriptor, 30.0)
    observer = ExecutionObserver("run-1", "plan", journal=real)
    with pytest.raises(RecorderError, match="No space left"):
        observer.record_step_started(0, "first")
    with pytest.raises(RecorderError):
        observer.mark_failed()
    real.close()


LIMITED = """
import resource, sys
from hearth.errors import RecorderError
from hearth.recorder import ExecutionObserver, Journal

resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
journal = Journal.create(sys.argv[1])
observer = ExecutionObserver("run-1", "plan", journal=journal)
acted = 0
try:
    for index in range(1000):
        observer.record_step_started(index, "step")
        acted += 1
        observer.record_step_completed(index, "step")
except RecorderError as error:
    print(acted, type(error).__name__)
try:
    observer.mark_failed()
except RecorderError:
    print("still dead")
print(len(observer.get_execution_record("LIVE").entries))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
def test_a_file_that_may_not_grow_any_more(path: Path) -> None:
    run = subprocess.run([sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, check=True)
    acted, error, *rest = run.stdout.split()
    assert (error, rest[:2]) == ("RecorderError", ["still", "dead"])
    assert path.stat().st_size <= 20_000
    before = read_journal(path)
    starts = sum(event.event_type is StepEventType.STEP_STARTED for event in before.step_events)
    assert starts in {int(acted), int(acted) + 1}, "every step that acted has its intent on disk"
    assert int(rest[2]) == len(before.entries)
    recovery = recover_journal(path)
    assert recovery.record is not None
    assert recovery.record.verify()
    assert recovery.record.status is ExecutionStatus.INCOMPLETE


# --- files that vanish ------------------------------------------------------------------------------------------------


def removed(path: Path) -> None:
    path.unlink()


def moved(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))


def replaced(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.replace(path)


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be removed there")
@pytest.mark.parametrize("vanish", [removed, moved, replaced])
def test_a_file_that_is_gone_stops_the_run(path: Path, journal: Journal, vanish: Callable[[Path], None]) -> None:
    observer = begun(journal)
    vanish(path)
    with pytest.raises(RecorderError):
        observer.record_step_started(1, "second")
    assert_dead(observer, journal, path)


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be removed there")
def test_the_partial_record_outlives_its_file(path: Path, journal: Journal) -> None:
    observer = begun(journal)
    path.unlink()
    with pytest.raises(RecorderError):
        observer.record_step_started(1, "second")
    with suppress(HearthError):  # either is right; nothing else may come out
        assert len(observer.get_execution_record().entries) >= 3


# --- disks that hang --------------------------------------------------------------------------------------------------


def test_a_disk_that_does_not_answer_stops_the_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Law 1: a sink that hangs past its deadline is one that cannot write, also when it answers in the end."""
    go = threading.Event()
    slow = Journal.create(path, deadline=0.2)
    observer = begun(slow)
    outcome: list[str] = []

    def start() -> None:
        try:
            observer.record_step_started(1, "second")
        except RecorderError as error:
            outcome.append(str(error))
        else:
            outcome.append("acted")

    monkeypatch.setattr(SYNC, lambda _: go.wait(30))
    caller = threading.Thread(target=start)
    caller.start()
    try:
        give_up = time.monotonic() + 20
        refused = ""
        while not refused and time.monotonic() < give_up:
            time.sleep(0.01)
            try:
                slow.append(b"")
            except RecorderError as error:
                refused = str(error)
        assert "did not answer" in refused
        assert not outcome, "held by the disk, it does not act"
        with pytest.raises(RecorderError):
            observer.record_side_effect("OTHER", "late")
    finally:
        go.set()
        caller.join()
    assert "did not answer" in outcome[0]
    assert_dead(observer, slow, path)


def test_a_group_commit_that_hangs_stops_the_next_step(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller finds the file in the thread's hands, and waits no longer than the deadline."""
    go = threading.Event()
    hangs = threading.Event()
    slow = Journal.create(path, deadline=0.2)
    observer = begun(slow)

    def hang(_: int) -> None:
        hangs.set()
        go.wait(30)

    monkeypatch.setattr(SYNC, hang)
    observer.record_side_effect("OTHER", "committed by the thread")
    assert hangs.wait(10)
    try:
        with pytest.raises(RecorderError, match="did not answer"):
            observer.record_step_started(1, "second")
    finally:
        go.set()
    assert_dead(observer, slow, path)


# --- Ctrl-C in the middle of a commit ---------------------------------------------------------------------------------


def before_writing(_: int, __: bytes) -> int:
    raise KeyboardInterrupt


def after_half(descriptor: int, data: bytes) -> int:
    os.write(descriptor, data[: len(data) // 2])
    raise KeyboardInterrupt


def after_all(descriptor: int, data: bytes) -> int:
    os.write(descriptor, data)
    raise KeyboardInterrupt


@pytest.mark.parametrize("write", [before_writing, after_half, after_all])
def test_the_next_commit_carries_on_where_an_interrupt_broke_one_off(
    path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch, write: Callable[[int, bytes], int]
) -> None:
    observer = begun(journal)
    with journal._io:  # Ctrl-C strikes no thread but the main one
        monkeypatch.setattr(WRITE, Faulty(write))
        with pytest.raises(KeyboardInterrupt):
            observer.record_step_started(1, "second")
        monkeypatch.undo()
    observer.mark_incomplete(SealCause.INTERRUPTED, "Ctrl-C")
    journal.close()
    record = read_journal(path)
    assert record.verify(), record.verify()
    assert [str(entry.event_type) for entry in record.entries][-2:] == ["step_started", "execution_sealed"]


def test_an_interrupted_commit_is_not_carried_on_over_other_bytes(
    path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    observer = begun(journal)
    with journal._io:  # as above; nor does the thread carry it on before the bytes are others
        monkeypatch.setattr(WRITE, Faulty(after_half))
        with pytest.raises(KeyboardInterrupt):
            observer.record_step_started(1, "second")
        monkeypatch.undo()
        with path.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"?")
        with pytest.raises(RecorderError, match="somebody else"):
            journal.sync()
    assert_dead(observer, journal, path)


# --- processes and signals --------------------------------------------------------------------------------------------

FORKED = """
import os, signal, sys
from hearth.errors import RecorderError
from hearth.recorder import ExecutionObserver, Journal

journal = Journal.create(sys.argv[1])
observer = ExecutionObserver("run-1", "plan", journal=journal)
observer.record_step_started(0, "step")
observer.record_side_effect("OTHER", "not yet on disk when the fork comes")
child = os.fork()
if child == 0:
    signal.alarm(20)
    refused = 0
    acts = (
        lambda: observer.record_side_effect("OTHER", "by the child"),
        lambda: observer.record_step_started(1, "by the child"),
        lambda: observer.mark_completed(),
        lambda: journal.append(b"by the child"),
        lambda: journal.sync(),
    )
    for act in acts:
        try:
            act()
        except RecorderError:
            refused += 1
    journal.close()
    os.write(1, f"refused {refused}\\n".encode())
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
observer.record_step_completed(0, "step")
observer.mark_completed()
journal.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_cannot_write(path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED, str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert run.stdout == "refused 5\n", run.stderr
    record = read_journal(path)
    assert record.verify(), record.verify()
    assert len(record.entries) == 5
    assert b"by the child" not in path.read_bytes()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_while_another_thread_records_hangs_neither_side(path: Path) -> None:
    script = """
import os, signal, sys, threading
from hearth.errors import RecorderError
from hearth.recorder import ExecutionObserver, Journal

journal = Journal.create(sys.argv[1])
observer = ExecutionObserver("run-1", "plan", journal=journal)
stop = threading.Event()

def work():
    while not stop.is_set():
        observer.record_side_effect("OTHER", "by a thread")

thread = threading.Thread(target=work, daemon=True)
thread.start()
for _ in range(20):
    child = os.fork()
    if child == 0:
        signal.alarm(5)
        try:
            observer.record_step_started(0, "by the child")
        except RecorderError:
            os._exit(0)
        os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert status == 0, status
stop.set()
thread.join()
observer.mark_completed()
journal.close()
"""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert verify_journal(path)
    assert b"by the child" not in path.read_bytes()


INTERRUPTED = """
import os, signal, sys, threading, time
import hearth.recorder._journal as module
from hearth.recorder import ExecutionObserver, Journal

real = module._fdatasync
waiting, go = threading.Event(), threading.Event()

def slow(descriptor):
    waiting.set()
    go.wait(5)
    real(descriptor)

journal = Journal.create(sys.argv[1])
observer = ExecutionObserver("run-1", "plan", journal=journal)
observer.record_step_started(0, "first")
module._fdatasync = slow

def strike():
    waiting.wait(20)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=strike, daemon=True).start()
try:
    observer.record_step_started(1, "second")
except KeyboardInterrupt:
    print("interrupted")
go.set()
observer.record_step_failed(1, "second", "interrupted")
observer.mark_incomplete("interrupted", "Ctrl-C")
journal.close()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_an_interrupt_while_waiting_for_the_disk_loses_nothing(path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout == "interrupted\n"
    assert verify_journal(path), verify_journal(path)
    record = read_journal(path)
    assert [event.step_name for event in record.step_events] == ["first", "second", "second"]


HANDLER = """
import os, signal, sys, threading
from hearth.errors import RecorderError
from hearth.recorder import ExecutionObserver, Journal

journal = Journal.create(sys.argv[1])
observer = ExecutionObserver("run-1", "plan", journal=journal)

def handle(signum, frame):
    observer.mark_incomplete("interrupted", "SIGTERM")

signal.signal(signal.SIGTERM, handle)
signal.alarm(30)
timer = threading.Timer(float(sys.argv[2]), os.kill, (os.getpid(), signal.SIGTERM))
timer.start()
try:
    index = 0
    while True:
        observer.record_step_started(index, "step")
        observer.record_step_completed(index, "step")
        index += 1
except RecorderError as error:
    print(type(error).__name__)
journal.close()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
@pytest.mark.parametrize("after", ["0.02", "0.031", "0.047"])
def test_a_signal_handler_may_seal_at_any_moment(path: Path, after: str) -> None:
    """Neither a deadlock nor a forked chain: the run ends, and its journal is whole."""
    run = subprocess.run(
        [sys.executable, "-c", HANDLER, str(path), after], capture_output=True, text=True, check=False, timeout=60
    )
    assert run.returncode == 0, run.stderr
    verdict = verify_journal(path)
    assert verdict, verdict
    assert read_journal(path).status is ExecutionStatus.INCOMPLETE
