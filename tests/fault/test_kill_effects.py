"""kill -9 of HEARTH in the middle of a step: what the step had reported until then is in the record, with its time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from hearth.kernel import HearthKernel
from hearth.ledger import LedgerHome
from hearth.record import ExecutionStatus, SealCause

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name != "posix", reason="commands need process groups")

DRIVER = """
import sys
from pathlib import Path
from hearth.kernel import HearthKernel
from hearth.plan import parse_plan

folder = Path(sys.argv[1])
plan = parse_plan({"plan": "victim", "steps": [{"name": "work", "python": {"call": "job:run"}}]}, folder=folder)
with HearthKernel.open(folder / ".hearth") as kernel:
    kernel.arm("STAGING", who="test", why="kill -9")
    kernel.executor().execute(plan, execution_id="run")
"""
JOB = """
import pathlib, time
from hearth.execution.tasks.python import report_effect

def run():
    for number in range(3):
        report_effect("NETWORK", f"sent {number}", details={"number": number})
        pathlib.Path("sent").write_text(repr(time.time()))
        time.sleep(0.1)
    pathlib.Path("waiting").touch()
    time.sleep(60)
"""


def hearth(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hearth", "--home", str(folder / ".hearth"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


def test_effects_reported_by_a_step_that_was_under_way_outlive_hearth(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(JOB)
    assert hearth(tmp_path, "init").returncode == 0
    LedgerHome(tmp_path / ".hearth").policy.write_text("staging: {targets: ['host:*']}\n")
    victim = subprocess.Popen([sys.executable, "-c", DRIVER, str(tmp_path)], cwd=tmp_path)
    try:
        give_up = time.monotonic() + 60
        while not (tmp_path / "waiting").exists():
            assert victim.poll() is None, "the run ended before its time"
            assert time.monotonic() < give_up
            time.sleep(0.01)
    finally:
        victim.send_signal(signal.SIGKILL)
        victim.wait()
    last = datetime.fromtimestamp(float((tmp_path / "sent").read_text()), UTC)

    assert hearth(tmp_path, "recover").returncode == 0
    checked = hearth(tmp_path, "fsck")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    with HearthKernel.open(tmp_path / ".hearth") as kernel:
        record = kernel.ledger.get("run")
    assert record.verify()
    assert (record.status, record.cause) == (ExecutionStatus.INCOMPLETE, SealCause.RECOVERED)
    told = record.side_effects_report.side_effects_observed
    assert [(effect.description, effect.step_index) for effect in told] == [(f"sent {n}", 0) for n in range(3)]
    # Each at its own moment, and not at the step's end: the step slept between them.
    times = [effect.timestamp for effect in told]
    assert times[2] - times[0] >= timedelta(milliseconds=150)
    assert abs(times[2] - last) < timedelta(seconds=5)
    assert 0 in {why["step_index"] for why in record.side_effects_report.unknown_effects_why}
