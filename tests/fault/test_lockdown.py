"""The kill switch between processes: what runs on a ledger stops, whatever happens to the ledger meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import GateRefusedError, LedgerError
from hearth.execution import RunsUnderWay
from hearth.kernel import HearthKernel
from hearth.ledger import Ledger, LedgerHome
from hearth.operations import initialise, lock_down
from hearth.record import ExecutionStatus, SealCause
from hearth.security import KeptPosture, Posture, SecurityState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif(os.name != "posix", reason="process groups as on POSIX")

SLEEP = "echo $$ > pid.new; mv pid.new pid; sleep 300 & wait"
# Much more than the budget, which benchmarks hold: a timed test on a busy machine would fail for no fault of ours.
SOON = 20.0


@pytest.fixture
def home(tmp_path: Path) -> LedgerHome:
    home = initialise(tmp_path / ".hearth").home
    home.policy.write_text('staging:\n  targets: ["host:*"]\n', encoding="utf-8")
    steps = [{"name": "Sleep", "shell": SLEEP}, {"name": "Never", "shell": "touch never"}]
    (tmp_path / "plan.json").write_text(json.dumps({"plan": "sleepy", "steps": steps}), encoding="utf-8")
    return home


@contextmanager
def running(folder: Path, name: str = "run-1") -> Iterator[subprocess.Popen[str]]:
    """A real `hearth run`, once its step sleeps."""
    run = subprocess.Popen(
        [sys.executable, "-m", "hearth", "run", "plan.json", "--mode", "staging", "--id", name, "--json"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with run:
        try:
            wait_for(lambda: (folder / "pid").exists() or run.poll() is not None)
            assert run.poll() is None, run.communicate()
            yield run
        finally:
            run.kill()
            with suppress(OSError, ValueError):
                os.killpg(int((folder / "pid").read_text()), signal.SIGKILL)


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def group_lives(folder: Path) -> bool:
    group = (folder / "pid").read_text().strip()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if fields[2] == group and fields[0] not in "ZX":
                return True
    return False


def ended(run: subprocess.Popen[str]) -> dict[str, Any]:
    output, errors = run.communicate(timeout=SOON)
    assert run.returncode == 4, errors
    told: dict[str, Any] = json.loads(output)
    return told


def test_a_lockdown_of_another_process_kills_the_step_and_seals_the_record(home: LedgerHome, tmp_path: Path) -> None:
    with running(tmp_path) as run:
        locked = lock_down(home, who="Ada", why="an intruder")
        wait_for(lambda: not group_lives(tmp_path))
        told = ended(run)
    assert [(one.execution_id, one.plan_id, one.outcome) for one in locked.runs] == [("run-1", "sleepy", "incomplete")]
    assert (told["status"], told["cause"]) == ("incomplete", "escalation")
    with Ledger.open(home) as ledger:
        record = ledger.get("run-1")
    assert record.verify()
    assert (record.status, record.cause) == (ExecutionStatus.INCOMPLETE, SealCause.ESCALATION)
    assert record.completion_reason == "security state escalated to LOCKDOWN: an intruder (by Ada)"
    assert record.security_snapshot_post is not None
    assert record.security_snapshot_post.security_state == "LOCKDOWN"
    assert not (tmp_path / "never").exists()
    assert list(home.journals.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="whether a process is stopped is read from /proc")
class TestHearthIsStopped:
    """By Ctrl-Z, or by the step: it runs as the same user. What is stopped sees no lockdown."""

    def test_it_is_woken_and_ends_the_run(self, home: LedgerHome, tmp_path: Path) -> None:
        with running(tmp_path) as run:
            run.send_signal(signal.SIGSTOP)
            locked = lock_down(home, who="Ada", why="an intruder", wait=SOON)
            assert not group_lives(tmp_path)
            told = ended(run)
        assert [one.outcome for one in locked.runs] == ["incomplete"]
        assert "was continued" in locked.runs[0].note
        assert (told["status"], told["cause"]) == ("incomplete", "escalation")

    def test_one_that_is_stopped_again_and_again_does_not_keep_the_step_alive(
        self, home: LedgerHome, tmp_path: Path
    ) -> None:
        with running(tmp_path) as run:
            with subprocess.Popen(["sh", "-c", f"while kill -STOP {run.pid} 2>/dev/null; do :; done"]) as stopper:
                try:
                    status = Path(f"/proc/{run.pid}/stat")
                    wait_for(lambda: status.read_text().rpartition(")")[2].split()[0] == "T")
                    locked = lock_down(home, who="Ada", why="an intruder", wait=SOON)
                finally:
                    stopper.kill()  # it would go on for as long as nobody has waited for the run's process
            wait_for(lambda: not group_lives(tmp_path))
        assert [one.outcome for one in locked.runs] in (["incomplete"], ["killed"])
        assert "its HEARTH process was stopped" in locked.runs[0].note


def test_nothing_starts_and_nothing_restores_unsigned_after_it(home: LedgerHome, tmp_path: Path) -> None:
    lock_down(home, who="Ada", why="an intruder")
    run = subprocess.run(
        [sys.executable, "-m", "hearth", "run", "plan.json"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 3
    assert "LOCKDOWN/NOMINAL does not permit a run in DRY_RUN" in run.stderr
    with HearthKernel.open(home) as kernel, pytest.raises(GateRefusedError, match="only by a signed act"):
        kernel.restore(who="Mallory", why="let me")


def test_nobody_restores_under_a_run_of_another_process(home: LedgerHome, tmp_path: Path) -> None:
    with running(tmp_path):
        with pytest.raises(GateRefusedError, match="1 under way"), RunsUnderWay(home.locks).none("no"):
            pytest.fail("a run is under way")
        with HearthKernel.open(home) as kernel, pytest.raises(GateRefusedError, match="is not restored during a run"):
            kernel.restore(who="Ada", why="x", envelope=b"{}")


def test_a_report_of_a_detector_stops_runs_too(home: LedgerHome, tmp_path: Path) -> None:
    with running(tmp_path) as run:
        report = {"boundary": "COMPROMISED", "reason": "a shell in a container", "source": "falco"}
        (home.reports / "new").write_text(json.dumps(report))
        (home.reports / "new").rename(home.reports / "1.json")
        told = ended(run)
    assert told["reason"] == "boundary state escalated to COMPROMISED: a shell in a container"
    with Ledger.open(home) as ledger:
        assert ledger.postures.load().source == "falco"


@pytest.mark.parametrize("damage", ["overwritten", "removed", "replaced"])
def test_a_database_that_cannot_be_read_stops_the_run(home: LedgerHome, tmp_path: Path, damage: str) -> None:
    kept = home.database.read_bytes()
    with running(tmp_path) as run:
        if damage == "overwritten":
            with home.database.open("r+b") as file:
                file.write(b"\0" * 4096)
        else:
            home.database.rename(tmp_path / "aside")
        if damage == "replaced":
            home.database.write_bytes(kept)
        wait_for(lambda: not group_lives(tmp_path))
        output, errors = run.communicate(timeout=SOON)
    assert run.returncode == 4, output + errors
    assert "the posture cannot be read, so it may be LOCKDOWN" in output
    assert not (tmp_path / "never").exists()
    assert (home.journals / "run-1.journal").exists(), "the record could not be stored, so its journal stays"


def test_rows_that_were_taken_away_during_a_run_stop_it(home: LedgerHome, tmp_path: Path) -> None:
    with Ledger.open(home) as ledger:
        ledger.postures.compare_and_set(0, KeptPosture(Posture(SecurityState.DEGRADED), 1, "", "noise", "test"))
        with running(tmp_path) as run:
            with pytest.raises(LedgerError, match="rows were removed"):
                _remove_rows(home, ledger)
            output, _ = run.communicate(timeout=SOON)
    assert run.returncode == 4
    assert "rows were removed" in output


def _remove_rows(home: LedgerHome, ledger: Ledger) -> None:
    import sqlite3
    from contextlib import closing

    ledger.postures.load()
    with closing(sqlite3.connect(home.database)) as connection, connection:
        connection.execute("DELETE FROM postures")
    ledger.postures.load()


ESCALATE = """
import sys
from hearth.kernel import HearthKernel
with HearthKernel.open(sys.argv[1]) as kernel:
    for state in ("DEGRADED", "COMPROMISED", "LOCKDOWN"):
        kernel.escalate(state, f"by {sys.argv[2]}", who=sys.argv[2])
        kernel.report_boundary(state.replace("DEGRADED", "ELEVATED"), f"by {sys.argv[2]}", who=sys.argv[2])
"""


def test_of_ten_processes_that_escalate_no_word_is_lost(home: LedgerHome) -> None:
    racers = [
        subprocess.Popen([sys.executable, "-c", ESCALATE, str(home.root), str(number)], stderr=subprocess.PIPE)
        for number in range(10)
    ]
    errors = [racer.communicate(timeout=60)[1].decode() for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * 10, errors
    with Ledger.open(home) as ledger:
        history = ledger.postures.history()
    assert str(history[-1].posture) == "LOCKDOWN/LOCKDOWN"
    assert len(history) <= 6, "each change worsens something"
    assert all(later.posture.worse_than(earlier.posture) for earlier, later in pairwise(history))
