"""The handoff's planner and scaffold, imported as the handoff imports them (design, section 4)."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

from artemis.execution_observability import (
    ExecutionObserver,
    ExecutionRecord,
    ExecutionStatus,
    RollbackHint,
    RollbackPlanner,
    RollbackScaffold,
    SideEffectCategory,
)
from core.kernel import HearthKernel

HINTS = [
    RollbackHint(
        step_index=0,
        description="Restore the configuration",
        actions=("cp app.conf.bak app.conf", "systemctl reload app"),
        required_inputs=("app.conf.bak",),
        risks=("settings changed since are lost",),
        estimated_duration="2 minutes",
    ),
    RollbackHint(step_index=1, description="Drop the new table", actions=("DROP TABLE users_new",)),
    RollbackHint(step_index=2, description="Withdraw the announcement"),
]


def recorded(*, escalate: bool = False, fail: bool = True) -> ExecutionRecord:
    observer = ExecutionObserver("exec-001", "plan-001", HearthKernel())
    observer.record_step_started(0, "Configure")
    observer.record_side_effect(
        category=SideEffectCategory.CONFIGURATION, description="app.conf edited", reversible=True, step_index=0
    )
    observer.record_step_completed(0, "Configure")
    observer.record_step_started(1, "Migrate")
    observer.record_side_effect(SideEffectCategory.DATA_MUTATION, "users_new created", False, 1)
    if escalate:
        observer.mark_incomplete_security_escalation("COMPROMISED")
    elif fail:
        observer.record_step_failed(1, "Migrate", "constraint violated")
        observer.mark_failed("Migrate failed")
    else:
        observer.record_step_completed(1, "Migrate")
        observer.mark_completed()
    return observer.get_execution_record(live_mode_state="LIVE")


def test_the_signatures_are_the_handoffs() -> None:
    assert [*inspect.signature(RollbackPlanner.plan_rollback).parameters] == ["record", "rollback_hints_from_plan"]
    assert inspect.signature(RollbackPlanner.plan_rollback).parameters["rollback_hints_from_plan"].default is None
    names = {field.name for field in dataclasses.fields(RollbackScaffold)}
    assert names >= {
        "execution_id",
        "is_rollback_possible",
        "reason",
        "rollback_hints",
        "warnings",
        "irreversible_steps",
        "manual_steps",
    }
    assert [field.name for field in dataclasses.fields(RollbackHint)] == [
        "step_index",
        "description",
        "actions",
        "required_inputs",
        "risks",
        "estimated_duration",
    ]


@pytest.mark.parametrize("planner", [RollbackPlanner, RollbackPlanner()])
def test_a_failed_run_gets_a_scaffold(planner: RollbackPlanner) -> None:
    scaffold = planner.plan_rollback(recorded(), rollback_hints_from_plan=HINTS)
    assert scaffold.execution_id == "exec-001"
    assert scaffold.is_rollback_possible is True
    assert scaffold.rollback_hints == (HINTS[1], HINTS[0])
    assert scaffold.irreversible_steps == (1,)
    assert scaffold.manual_steps == ()
    assert any("step 2" in warning and "did not run" in warning for warning in scaffold.warnings)
    text = scaffold.to_summary()
    assert text.index("Drop the new table") < text.index("Restore the configuration")
    for shown in ("DROP TABLE users_new", "cp app.conf.bak app.conf", "settings changed since are lost", "2 minutes"):
        assert shown in text


def test_an_escalated_run_cannot_be_rolled_back() -> None:
    record = recorded(escalate=True)
    scaffold = RollbackPlanner.plan_rollback(record, HINTS)
    assert record.status is ExecutionStatus.INCOMPLETE
    assert scaffold.is_rollback_possible is False
    assert "escalation" in scaffold.reason


def test_a_posture_that_became_worse_forbids_it() -> None:
    kernel = HearthKernel()
    observer = ExecutionObserver("exec-001", "plan-001", kernel)
    observer.record_step_failed(0, "Configure", "no")
    kernel.escalate("DEGRADED", "a sensor says so")
    observer.mark_failed()
    scaffold = RollbackPlanner.plan_rollback(observer.get_execution_record("LIVE"), HINTS)
    assert scaffold.is_rollback_possible is False
    assert "DEGRADED" in scaffold.reason


def test_a_completed_run_needs_none() -> None:
    record = recorded(fail=False)
    scaffold = RollbackPlanner.plan_rollback(record, HINTS)
    assert record.status is ExecutionStatus.COMPLETED
    assert scaffold.is_rollback_possible is False
    assert "not needed" in scaffold.reason


def test_without_hints_it_is_not_possible() -> None:
    scaffold = RollbackPlanner.plan_rollback(recorded())
    assert scaffold.is_rollback_possible is False
    assert scaffold.manual_steps == (1, 0)
    assert scaffold.rollback_hints == ()


def test_a_scaffold_can_be_built_from_the_handoffs_fields_alone() -> None:
    scaffold = RollbackScaffold("exec-001", True, "by hand", (HINTS[1], HINTS[0]), ("take care",), (7,), (8,))
    text = scaffold.to_summary()
    assert text.index("Drop the new table") < text.index("Restore the configuration")
    for shown in ("exec-001", "by hand", "take care", "step 7", "BY HAND step 8"):
        assert shown in text
    assert scaffold.to_dict()["irreversible_steps"] == [7]
