"""A process of a run that is to end: woken where it was stopped, killed where that does not help, else left alone."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from hearth.execution import StoppedProcesses, _unstop
from hearth.execution._kin import look
from hearth.execution._supervised import can_supervise
from tests.strays import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(not can_supervise(), reason="/proc and descriptors of processes are Linux")

HOLD = "import sys, time; file = open(sys.argv[1]); print('held', flush=True); time.sleep(60)"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_unstop, "_PATIENCE", 0.0)
    monkeypatch.setattr(_unstop, "_LOOK_EVERY", 0.0)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "run.journal"
    path.touch()
    return path


@pytest.fixture
def process(journal: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds the journal open, as a run does."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(journal)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        (journal.parent / "under-way.0.run").write_text(f"pid {process.pid}\n")
        yield process
        with suppress(ProcessLookupError):
            process.kill()


def stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGSTOP)
    assert wait_until(lambda: is_stopped(process))


def is_stopped(process: subprocess.Popen[bytes]) -> bool:
    seen = look(process.pid)
    return seen is not None and seen.stopped


def test_it_is_woken_and_that_is_said(journal: Path, process: subprocess.Popen[bytes]) -> None:
    stopped = StoppedProcesses(journal.parent)
    stop(process)
    stopped.attend([journal])
    assert wait_until(lambda: not is_stopped(process))
    stop(process)
    stopped.attend([journal])
    assert wait_until(lambda: not is_stopped(process)), "again, where it was stopped again"
    assert "was continued so that it could end the run" in stopped.said_of(journal)
    assert process.poll() is None


def test_it_is_killed_where_that_does_not_help(
    journal: Path, process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = StoppedProcesses(journal.parent)
    stop(process)
    stopped.attend([journal])
    assert wait_until(lambda: not is_stopped(process))
    monkeypatch.setattr(_unstop, "_SECONDS_AWAKE", 0.0)
    stopped.attend([journal])
    assert process.wait(20) == -signal.SIGKILL
    assert "and was killed" in stopped.said_of(journal)


def test_one_that_was_never_stopped_is_left_alone(
    journal: Path, process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_unstop, "_SECONDS_AWAKE", 0.0)
    stopped = StoppedProcesses(journal.parent)
    for _ in range(3):
        stopped.attend([journal])
    assert process.poll() is None
    assert stopped.said_of(journal) == ""


def test_a_number_that_is_another_s_by_now_is_never_hit(tmp_path: Path, process: subprocess.Popen[bytes]) -> None:
    """The file of a run stays behind with the number of its process, which does not hold the journal of this one."""
    other = tmp_path / "other.journal"
    other.touch()
    stopped = StoppedProcesses(tmp_path)
    stop(process)
    stopped.attend([other])
    stopped.attend([tmp_path / "gone.journal"])
    time.sleep(0.05)
    assert is_stopped(process)
    assert stopped.said_of(other) == ""


@pytest.mark.parametrize("text", ["", "pid\n", "pid x\n", "pid 999999999\n", "pid 0\n", "\xff"])
def test_files_that_name_no_process_are_passed_over(journal: Path, text: str) -> None:
    (journal.parent / "under-way.0.run").write_text(text, encoding="latin-1")
    StoppedProcesses(journal.parent).attend([journal])
