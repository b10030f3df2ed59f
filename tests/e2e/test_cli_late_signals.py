"""Signals at the edges of `hearth`: while it is being loaded, and when a run is over but the process is not."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hearth.operations import Records, initialise
from hearth.record import ExecutionStatus, SealCause

if TYPE_CHECKING:
    from hearth.ledger import LedgerHome

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

ROOT = Path(__file__).resolve().parents[2]
PLAN = "plan: quick\nsteps:\n  - {name: Write, file: {write: written.txt, content: x}}\n"
FAILING = PLAN + "  - {name: Fail, file: {delete: nothing.txt}}\n"
ENDING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP] if os.name == "posix" else []

INTERRUPT_AT_CLICK = """
import os, runpy, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "click":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
sys.argv = ["hearth", "--help"]
"""

# {place} is where the signal comes: a function that is called after the run, which sends it first.
LATE = """
import atexit, importlib, os, signal, sys
def send():
    for _ in range({times}):
        os.kill(os.getpid(), {number})
def late(module, name):
    place = importlib.import_module(module)
    for part in name.split(".")[:-1]:
        place = getattr(place, part)
    last = name.split(".")[-1]
    original = getattr(place, last)
    def call(*arguments, **options):
        send()
        return original(*arguments, **options)
    setattr(place, last, call)
{place}
sys.argv = ["hearth", *{arguments!r}]
from hearth.cli import {entry} as main
main()
"""
LIVE = ("--mode", "live", "--yes", "--reason", "a test")
PLACES = {
    "the ledger is closed": "late('hearth.kernel', 'HearthKernel.close')",
    "the end is printed": "late('hearth.cli._finish', 'finish')",
    "the output is flushed": "late('hearth.cli._group', '_flushed')",
    "the interpreter ends": "atexit.register(send)",
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LedgerHome:
    """A ledger and two plans in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.yaml").write_text(PLAN)
    (tmp_path / "failing.yaml").write_text(FAILING)
    return initialise(tmp_path / ".hearth").home


def python(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter."""
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | {"PYTHONUTF8": "1"},
    )


def late(*arguments: str, place: str, number: int, times: int = 1) -> subprocess.CompletedProcess[str]:
    """Run `hearth` with a signal that comes late."""
    return python(LATE.format(place=place, number=int(number), times=times, arguments=arguments, entry="main"))


@pytest.mark.parametrize(
    "start",
    [
        pytest.param("runpy.run_module('hearth', run_name='__main__', alter_sys=True)", id="python -m hearth"),
        pytest.param("from hearth.cli import main; sys.exit(main())", id="hearth"),
        pytest.param(f"runpy.run_path({str(ROOT / 'stage4_cli.py')!r}, run_name='__main__')", id="stage4_cli.py"),
    ],
)
def test_ctrl_c_while_it_is_loaded_is_quiet(start: str) -> None:
    done = python(INTERRUPT_AT_CLICK + start)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("place", list(PLACES.values()), ids=list(PLACES))
def test_a_signal_after_the_run_leaves_its_exit_code(home: LedgerHome, place: str, number: int) -> None:
    done = late("run", "plan.yaml", "--id", "one", place=place, number=number)
    assert (done.returncode, done.stderr) == (0, "")
    assert "completed  1 of 1 step in" in done.stdout
    assert "hearth show one" in done.stdout  # to the last line
    assert "stopping" not in done.stdout
    with Records(home) as records:
        assert records.ledger.get("one").status is ExecutionStatus.COMPLETED


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_after_a_run_that_failed_leaves_its_exit_code_too(home: LedgerHome, number: int) -> None:
    place = "late('hearth.cli._stage4', 'finish')"
    done = python(
        LATE.format(place=place, number=int(number), times=1, arguments=("failing.yaml", *LIVE), entry="stage4")
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert "failed  1 of 2 steps" in done.stdout


def test_exec_keeps_its_exit_code_and_its_document(home: LedgerHome) -> None:
    place = "late('hearth.cli._finish', 'finish_command')"
    arguments = ("exec", "--mode", "dry-run", "--json", "--", "true")
    done = late(*arguments, place=place, number=signal.SIGTERM)
    assert done.returncode == 0
    assert '"status": "completed"' in done.stdout


def test_the_handoffs_script_keeps_its_exit_code(home: LedgerHome, tmp_path: Path) -> None:
    place = "late('hearth.operations._standalone', 'write_file')"
    done = python(
        LATE.format(place=place, number=int(signal.SIGTERM), times=1, arguments=("plan.yaml", *LIVE), entry="stage4")
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [path.suffix for path in (tmp_path / "executions").iterdir() if path.is_file()] == [".json"]


def test_a_second_late_signal_ends_a_process_that_waits_for_its_reader(home: LedgerHome) -> None:
    place = PLACES["the end is printed"]
    done = late("run", "plan.yaml", "--id", "one", place=place, number=signal.SIGTERM, times=2)
    assert (done.returncode, done.stderr) == (-signal.SIGTERM, "")
    with Records(home) as records:  # nothing is lost by it
        assert records.ledger.get("one").status is ExecutionStatus.COMPLETED
        assert records.journals() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_at_any_moment_the_exit_code_is_the_records(home: LedgerHome, number: int) -> None:
    """Forbidden: a run that completed and says 128 + n, a run that was stopped and says 0."""
    moments = random.Random(7)  # noqa: S311 - where to strike, not a secret
    for turn in range(3):
        command = [sys.executable, "-m", "hearth", "run", "plan.yaml", "--id", f"run-{turn}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()  # the run has begun, and is over in a moment
            time.sleep(moments.uniform(0, 0.06))
            process.send_signal(number)
            _, errors = process.communicate(timeout=30)
        assert "Traceback" not in errors
        with Records(home) as records:
            record = records.ledger.get(f"run-{turn}")
            assert records.journals() == []
        if record.status is ExecutionStatus.COMPLETED:
            assert process.returncode == 0
        else:
            assert (record.cause, process.returncode) == (SealCause.INTERRUPTED, 128 + number)
