"""Real processes, real signals: Ctrl-C and friends, a killed recorder, an escalation from elsewhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import ArtemisEscalationError
from hearth.execution import ApprovalExecutor
from hearth.execution.tasks.shell import SHELL
from hearth.kernel import HearthKernel
from hearth.plan import parse_plan
from hearth.record import ExecutionRecord, ExecutionStatus, SealCause
from hearth.recorder import read_journal, recover_journal

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(os.name != "posix", reason="process groups and signals as on POSIX")

# Runs a plan of one shell step, or a function, and says how it ended.
CHILD = """
import json, signal, sys, time
from pathlib import Path
from types import SimpleNamespace
from hearth.errors import RunInterruptedError
from hearth.execution import ApprovalExecutor
from hearth.execution.tasks.shell import SHELL
from hearth.kernel import HearthKernel
from hearth.plan import parse_plan
from hearth.recorder import Journal

folder, script = Path(sys.argv[1]), sys.argv[2]
before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
kernel = HearthKernel()
journal = lambda _: Journal.create(folder / "run.journal")

def execute_step(step):
    if step.index == 1:
        (folder / "started").touch()
        time.sleep(30)

if script == "function":
    plan = SimpleNamespace(id="p", steps=[SimpleNamespace(index=i, name=str(i), task_type="t") for i in range(3)])
    executor = ApprovalExecutor(kernel, execute_step, journal=journal)
else:
    kernel.arm("LIVE", who="Ada", why="a test")
    scripts = {"first": "true", "long": script, "never": "touch never"}
    steps = [{"name": name, "shell": text} for name, text in scripts.items()]
    plan = parse_plan({"plan": "p", "steps": steps}, folder=folder, tasks={"shell": SHELL})
    executor = ApprovalExecutor(kernel, tasks={"shell": SHELL}, journal=journal)
try:
    executor.execute(plan)
except RunInterruptedError as error:
    told = {"error": str(error), "signum": error.signum, "status": str(error.execution_record.status)}
    told["restored"] = before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    print(json.dumps(told))
"""

OBEDIENT = "echo $$ > pid; touch started; exec sleep 30"
STUBBORN = "trap '' TERM INT HUP; echo $$ > pid; touch started; while :; do sleep 0.05; done"


@contextmanager
def running(folder: Path, script: str) -> Iterator[subprocess.Popen[str]]:
    """Start the child and yield it once its long step really runs."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder), script],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},  # what a killed process leaves behind goes with the test
    )
    with child:
        try:
            wait_for(lambda: (folder / "started").exists() or child.poll() is not None)
            assert child.poll() is None, "the child ended before its step ran"
            yield child
        finally:
            child.kill()
            with suppress(OSError, ValueError):
                os.kill(int((folder / "pid").read_text()), signal.SIGKILL)


def wait_for(condition: Any, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def alive(folder: Path) -> bool:
    """Whether the step's process is there, and no zombie."""
    try:
        state = Path(f"/proc/{int((folder / 'pid').read_text())}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def ended(child: subprocess.Popen[str], seconds: float = 8) -> dict[str, Any]:
    output, _ = child.communicate(timeout=seconds)
    assert child.returncode == 0
    told: dict[str, Any] = json.loads(output)
    return told


def kinds(record: ExecutionRecord) -> list[tuple[str, int | None]]:
    return [(str(entry.event_type), entry.step_index) for entry in record.entries]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_stops_the_step_and_seals_the_record(tmp_path: Path, number: signal.Signals) -> None:
    with running(tmp_path, OBEDIENT) as child:
        child.send_signal(number)
        told = ended(child)
    assert told == {
        "error": f"interrupted by {number.name}; one step completed before",
        "signum": number,
        "status": "incomplete",
        "restored": True,
    }
    assert not alive(tmp_path)
    assert not (tmp_path / "never").exists()
    record = read_journal(tmp_path / "run.journal")
    assert record.verify()
    assert (record.status, record.cause) == (ExecutionStatus.INCOMPLETE, SealCause.INTERRUPTED)
    assert kinds(record)[-2:] == [("step_failed", 1), ("execution_sealed", None)]
    assert f"interrupted by {number.name}" in (record.step_events[-1].error_message or "")


def test_the_second_signal_kills_at_once(tmp_path: Path) -> None:
    with running(tmp_path, STUBBORN) as child:
        child.send_signal(signal.SIGINT)
        time.sleep(0.2)
        assert child.poll() is None, "the first signal leaves a grace"
        assert alive(tmp_path)
        sent = time.monotonic()
        child.send_signal(signal.SIGINT)
        told = ended(child)
        assert time.monotonic() - sent < 1.5, "the grace of two seconds was waited for"
    assert told["status"] == "incomplete"
    assert not alive(tmp_path)
    assert read_journal(tmp_path / "run.journal").verify()


def test_the_first_signal_becomes_a_kill_after_the_grace(tmp_path: Path) -> None:
    with running(tmp_path, STUBBORN) as child:
        child.send_signal(signal.SIGTERM)
        told = ended(child)
    assert told["signum"] == signal.SIGTERM
    assert not alive(tmp_path)


def test_a_function_that_cannot_be_cancelled_is_interrupted(tmp_path: Path) -> None:
    with running(tmp_path, "function") as child:
        child.send_signal(signal.SIGTERM)
        told = ended(child)
    assert (told["signum"], told["status"], told["restored"]) == (signal.SIGTERM, "incomplete", True)
    record = read_journal(tmp_path / "run.journal")
    assert record.verify()
    assert kinds(record)[-2:] == [("step_failed", 1), ("execution_sealed", None)]
    assert ("step_started", 2) not in kinds(record)


@pytest.mark.parametrize("script", ["function", OBEDIENT], ids=["function", "task"])
def test_several_signals_at_once_still_seal_the_record(tmp_path: Path, script: str) -> None:
    with running(tmp_path, script) as child:
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            child.send_signal(number)
        told = ended(child)
    assert told["status"] == "incomplete"
    assert read_journal(tmp_path / "run.journal").verify()


def test_a_stopped_run_that_is_told_to_end_ends_when_it_goes_on(tmp_path: Path) -> None:
    """A shell's `kill %1`: signals that wait for a stopped process may be taken by any of its threads."""
    with running(tmp_path, OBEDIENT) as child:
        child.send_signal(signal.SIGSTOP)
        time.sleep(0.2)
        child.send_signal(signal.SIGTERM)
        child.send_signal(signal.SIGCONT)
        told = ended(child)
    assert (told["signum"], told["status"]) == (signal.SIGTERM, "incomplete")
    assert not alive(tmp_path)


def test_a_killed_recorder_leaves_the_intent_of_every_step_that_ran(tmp_path: Path) -> None:
    with running(tmp_path, OBEDIENT) as child:
        child.kill()
        child.wait()
    recovery = recover_journal(tmp_path / "run.journal")
    assert recovery.outcome == "recovered"
    assert recovery.record is not None
    assert recovery.record.verify()
    assert (recovery.record.status, recovery.record.cause) == (ExecutionStatus.INCOMPLETE, SealCause.RECOVERED)
    assert kinds(recovery.record)[-2:] == [("step_started", 1), ("execution_sealed", None)]


@pytest.mark.parametrize("script", [OBEDIENT, STUBBORN, f"({STUBBORN}) & wait"], ids=["obedient", "stubborn", "child"])
def test_an_escalation_from_another_thread_kills_the_running_step(tmp_path: Path, script: str) -> None:
    kernel = HearthKernel()
    kernel.arm("LIVE", who="Ada", why="a test")
    steps = [{"name": "long", "shell": script}, {"name": "never", "shell": "touch never"}]
    plan = parse_plan({"plan": "p", "steps": steps}, folder=tmp_path, tasks={"shell": SHELL})
    escalated: list[float] = []

    def alarm() -> None:
        wait_for((tmp_path / "started").exists)
        escalated.append(time.monotonic())
        kernel.escalate("LOCKDOWN", "the kill switch")

    thread = threading.Thread(target=alarm)
    thread.start()
    with pytest.raises(ArtemisEscalationError) as caught:
        ApprovalExecutor(kernel, tasks={"shell": SHELL}).execute(plan)
    thread.join()
    assert time.monotonic() - escalated[0] < 1, "killed without grace"
    assert not alive(tmp_path)
    assert not (tmp_path / "never").exists()
    record = caught.value.execution_record
    assert record is not None
    assert record.verify()
    assert record.cause is SealCause.ESCALATION
    assert "LOCKDOWN: the kill switch" in (record.step_events[-1].error_message or "")
