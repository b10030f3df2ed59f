"""Sensors: what an error says about the system, what a look finds, and the rules of the states."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import (
    ApprovalRefusedError,
    ExecutionSealedError,
    GateRefusedError,
    HearthError,
    JournalDamagedError,
    JournalLockedError,
    LedgerError,
    PlanChangedError,
    RecorderError,
    StepFailedError,
    TaskError,
)
from hearth.execution import ApprovalExecutor, Sensors, finding_of
from hearth.kernel import HearthKernel
from hearth.security import BoundaryState, Finding, LiveMode, Policy, Posture, SecurityState
from tests.unit.execution.executor_support import MemorySink, Note, handoff_plan, make_plan, notes

if TYPE_CHECKING:
    from pathlib import Path


def caused(error: HearthError, cause: HearthError) -> HearthError:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error, states, source",
    [
        (PlanChangedError("other bytes"), (BoundaryState.ELEVATED,), "inputs"),
        (caused(StepFailedError("not begun"), PlanChangedError("x")), (BoundaryState.ELEVATED,), "inputs"),
        (ApprovalRefusedError("another digest", code="plan"), (BoundaryState.ELEVATED,), "inputs"),
        (JournalDamagedError("j", 3, "a hash"), (SecurityState.COMPROMISED,), "journal"),
        (RecorderError("disk full"), (SecurityState.DEGRADED,), "recorder"),
    ],
)
def test_an_error_may_say_something_about_the_system(error: HearthError, states: Any, source: str) -> None:
    finding = finding_of(error)
    assert finding is not None
    assert (finding.states, finding.source) == (states, source)
    assert finding.reason == str(error)


@pytest.mark.parametrize(
    "error",
    [
        ApprovalRefusedError("x", code="missing"),
        JournalLockedError("x"),
        ExecutionSealedError("x"),
        TaskError("x"),
        StepFailedError("x"),
        LedgerError("x"),
    ],
)
def test_other_errors_say_nothing(error: HearthError) -> None:
    assert finding_of(error) is None


def test_all_sensors_are_looked_at_when_a_ledger_opens(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(json.dumps({"security": "LOCKDOWN", "reason": "x", "source": "edr"}))
    told: list[Finding] = []
    sensors = Sensors(tmp_path, last_written=lambda: datetime(2999, 1, 1, tzinfo=UTC), tell=told.append)
    sensors.open()
    assert [finding.source for finding in told] == ["clock", "edr"]
    sensors.look()
    assert len(told) == 2


def test_a_folder_of_reports_that_cannot_be_read_is_doubt(tmp_path: Path) -> None:
    (tmp_path / "reports").touch()
    told: list[Finding] = []
    Sensors(tmp_path / "reports", last_written=lambda: None, tell=told.append).look()
    assert [(finding.security, finding.source) for finding in told] == [(SecurityState.DEGRADED, "reports")]


def test_inputs_that_changed_elevate_the_boundary(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("approved")
    task = Note()
    plan = make_plan(tmp_path, [{"text": "a"}], task=task, inputs=["data"])
    (tmp_path / "data").write_text("changed")
    kernel = HearthKernel()
    kernel.arm("LIVE", who="Ada", why="x")
    with pytest.raises(PlanChangedError):
        ApprovalExecutor(kernel, tasks={"note": task}).execute(plan)
    assert kernel.posture == Posture(boundary=BoundaryState.ELEVATED)
    assert "data" in kernel.kept_posture.why
    assert kernel.kept_posture.source == "inputs"


def test_a_recorder_that_fails_degrades(tmp_path: Path) -> None:
    kernel = HearthKernel()
    kernel.arm("STAGING", who="Ada", why="x")
    executor = ApprovalExecutor(kernel, lambda _: None, journal=lambda _: MemorySink(("sync", 2)))
    with pytest.raises(RecorderError):
        executor.execute(handoff_plan("one", "two"))
    assert (kernel.get_security_state(), kernel.kept_posture.source) == (SecurityState.DEGRADED, "recorder")


def test_a_posture_that_cannot_be_worsened_is_a_note_of_the_error() -> None:
    class Broken:
        def get_security_state(self) -> str:
            return "OPERATIONAL"

        def get_boundary_state(self) -> str:
            return "NOMINAL"

        def report(self, finding: Finding) -> None:
            raise LedgerError(f"no {finding.source}")

    executor = ApprovalExecutor(Broken(), lambda _: None, journal=lambda _: MemorySink(("sync", 1)))
    with pytest.raises(RecorderError) as caught:
        executor.execute(handoff_plan("one"))
    assert caught.value.__notes__ == ["the posture could not be worsened for it: no recorder"]


RULES = {"DEGRADED": {"modes": ["DRY_RUN", "STAGING"], "tasks": ["file"]}, "ELEVATED": {"modes": ["DRY_RUN"]}}


def staging(posture: str = "", boundary: str = "", **rules: Any) -> tuple[HearthKernel, Policy]:
    policy = Policy.from_mapping({"staging": {"targets": ["*"]}, "states": rules or RULES}, "policy.yaml")
    kernel = HearthKernel()
    if posture:
        kernel.escalate(posture, "a test")
    if boundary:
        kernel.report_boundary(boundary, "a test")
    kernel.arm("STAGING", who="Ada", why="x")
    return kernel, policy


@pytest.mark.parametrize(
    "posture, boundary, why",
    [
        ("DEGRADED", "", "does not allow the task note in the state DEGRADED"),
        ("", "ELEVATED", "does not allow STAGING in the state ELEVATED"),
    ],
)
def test_the_policy_s_rules_for_a_state_hold_before_the_run(
    tmp_path: Path, posture: str, boundary: str, why: str
) -> None:
    kernel, policy = staging(posture, boundary)
    task = Note()
    with pytest.raises(GateRefusedError, match=why):
        ApprovalExecutor(kernel, tasks={"note": task}, policy=policy).execute(make_plan(tmp_path, [{}], task=task))
    assert notes(tmp_path) == []


def test_the_rules_are_asked_again_before_every_step(tmp_path: Path) -> None:
    """A kernel of somebody else's, whose boundary changes to a state of its own rules without being worse."""
    task = Note(hooks={"degrade": lambda _: setattr(kernel, "state", "OPERATIONAL")})
    kernel = SimpleNamespace(state="DEGRADED", live_mode="STAGING", get_boundary_state=lambda: "NOMINAL")
    kernel.get_security_state = lambda: kernel.state
    policy = Policy.from_mapping(
        {"staging": {"targets": ["*"]}, "states": {"OPERATIONAL": {"tasks": ["file"]}}}, "policy.yaml"
    )
    plan = make_plan(tmp_path, [{"text": "one", "call": "degrade"}, {"text": "two"}], task=task)
    with pytest.raises(StepFailedError, match=r"note 1\) was not begun: policy\.yaml does not allow the task note"):
        ApprovalExecutor(kernel, tasks={"note": task}, policy=policy).execute(plan)
    assert notes(tmp_path) == ["one"]


def test_a_run_that_asks_for_a_mode_never_runs_in_a_lesser_one(tmp_path: Path) -> None:
    kernel = HearthKernel()
    kernel.arm("STAGING", who="Ada", why="x")
    kernel.escalate("DEGRADED", "between arming and running")
    with pytest.raises(GateRefusedError, match=r"STAGING is not armed, the gate stands at DRY_RUN \(fell back"):
        ApprovalExecutor(kernel, tasks={"note": Note()}).execute(make_plan(tmp_path, [{}]), mode=LiveMode.STAGING)
