"""Stage 4 as the integration handoff uses it: any plan with id and steps, and a function that does them."""

from __future__ import annotations

import enum
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from core.kernel import HearthKernel
from hearth.errors import GateRefusedError, PlanError, RunInterruptedError, StepFailedError
from hearth.record import ExecutionRecord, ExecutionStatus, SideEffectCategory
from hearth.recorder import Journal
from stage4.approval_executor import ApprovalExecutor, ArtemisEscalationError, PlanResult

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Plan:
    def __init__(self, *names: str) -> None:
        self.id = "plan-2024-001"
        self.steps = [SimpleNamespace(index=index, name=name, task_type="shell") for index, name in enumerate(names)]


class Result:
    def __init__(self, failed: bool = False, error: str | None = None, side_effects: Any = ()) -> None:
        self.failed = failed
        self.error = error
        self.details = {"took": 3}
        self.side_effects = side_effects


class Effect:
    category = "FILE_SYSTEM"
    description = "Wrote /tmp/backup.db"
    reversible = True


class ForeignKernel:
    def __init__(self) -> None:
        self.security = "OPERATIONAL"

    def get_security_state(self) -> str:
        return self.security

    def get_boundary_state(self) -> str:
        return "NOMINAL"


def record_of(error: Any) -> ExecutionRecord:
    assert isinstance(error.execution_record, ExecutionRecord)
    assert error.execution_record.verify()
    return error.execution_record


@pytest.mark.parametrize("kernel", [None, HearthKernel(), ForeignKernel()], ids=["none", "ours", "foreign"])
def test_a_plan_runs_to_its_end(kernel: object) -> None:
    done: list[str] = []

    def execute_step(step: Any) -> Result:
        done.append(step.name)
        return Result(side_effects=[Effect()])

    result = ApprovalExecutor(kernel, execute_step).execute(Plan("Backup", "Import"))
    assert isinstance(result, PlanResult)
    assert done == ["Backup", "Import"]
    assert (result.status, result.steps_completed) == (ExecutionStatus.COMPLETED, 2)
    assert result.status == "completed"
    record = result.execution_record
    assert record.verify()
    assert (record.plan_id, record.live_mode_state) == ("plan-2024-001", "DRY_RUN")
    assert record.step_events[0].details == {"task_type": "shell"}
    assert record.step_events[1].details == {"took": 3}
    (first, _) = record.side_effects_report.side_effects_observed
    assert (first.category, first.description, first.reversible, first.step_index) == (
        SideEffectCategory.FILE_SYSTEM, "Wrote /tmp/backup.db", True, 0,
    )  # fmt: skip


def test_it_runs_in_staging_but_never_in_live() -> None:
    done: list[Any] = []
    kernel = HearthKernel()
    executor = ApprovalExecutor(kernel, done.append)
    kernel.arm("STAGING", who="Ada", why="try")
    assert executor.execute(Plan("a")).execution_record.live_mode_state == "STAGING"
    kernel.arm("LIVE", who="Ada", why="really")
    with pytest.raises(GateRefusedError, match="does not run in LIVE"):
        executor.execute(Plan("a"))
    assert len(done) == 1


def test_a_failed_result_ends_the_run() -> None:
    done: list[str] = []

    def execute_step(step: Any) -> Result:
        done.append(step.name)
        return Result(failed=step.index == 1, error="Database connection failed", side_effects=[Effect()])

    with pytest.raises(StepFailedError) as caught:
        ApprovalExecutor(HearthKernel(), execute_step).execute(Plan("Backup", "Import", "Tell"))
    assert str(caught.value) == "Database connection failed"
    assert done == ["Backup", "Import"]
    record = record_of(caught.value)
    assert record.status is ExecutionStatus.FAILED
    assert [str(event.event_type) for event in record.step_events] == [
        "step_started", "step_completed", "step_started", "step_failed",
    ]  # fmt: skip
    assert record.step_events[-1].error_message == "Database connection failed"
    assert len(record.side_effects_report.side_effects_observed) == 2, "a failed step may have acted"


@pytest.mark.parametrize(
    "error,text", [(ValueError("no such user"), "no such user"), (KeyError(), "KeyError"), (SystemExit(3), "3")]
)
def test_an_exception_is_the_step_s_error(error: BaseException, text: str) -> None:
    def execute_step(_: object) -> None:
        raise error

    with pytest.raises(StepFailedError) as caught:
        ApprovalExecutor(None, execute_step).execute(Plan("a", "b"))
    assert str(caught.value) == text
    assert record_of(caught.value).step_events[-1].error_message == text


@pytest.mark.parametrize("result", [None, SimpleNamespace(), {"failed": False}, Result()])
def test_what_is_missing_in_a_result_is_no_failure(result: object) -> None:
    assert ApprovalExecutor(None, lambda _: result).execute(Plan("a")).steps_completed == 1


def test_an_escalation_raised_by_a_step() -> None:
    kernel = HearthKernel()
    done: list[str] = []

    def execute_step(step: Any) -> None:
        done.append(step.name)
        if step.index == 1:
            raise ArtemisEscalationError("COMPROMISED", "an unknown key was used")

    with pytest.raises(ArtemisEscalationError) as caught:
        ApprovalExecutor(kernel, execute_step).execute(Plan("a", "b", "c"))
    assert (caught.value.new_state, caught.value.reason) == ("COMPROMISED", "an unknown key was used")
    assert done == ["a", "b"]
    record = record_of(caught.value)
    assert record.status is ExecutionStatus.INCOMPLETE
    assert record.cause == "escalation"
    assert record.step_events[-1].event_type == "step_failed"
    assert kernel.get_security_state() == "COMPROMISED", "the kernel knows what the step knew"


@pytest.mark.parametrize("kernel", [HearthKernel(), ForeignKernel()], ids=["ours", "foreign"])
def test_an_escalation_of_the_kernel_between_steps(kernel: Any) -> None:
    done: list[str] = []

    def execute_step(step: Any) -> None:
        done.append(step.name)
        if isinstance(kernel, HearthKernel):
            kernel.escalate("LOCKDOWN", "the operator said so")
        else:
            kernel.security = "LOCKDOWN"

    with pytest.raises(ArtemisEscalationError) as caught:
        ApprovalExecutor(kernel, execute_step).execute(Plan("a", "b"))
    assert caught.value.new_state == "LOCKDOWN"
    assert done == ["a"]
    record = record_of(caught.value)
    assert record.status is ExecutionStatus.INCOMPLETE
    assert record.security_snapshot_post is not None
    assert record.security_snapshot_post.security_state == "LOCKDOWN"


def test_ctrl_c_inside_a_step_seals_the_record() -> None:
    def execute_step(step: Any) -> None:
        if step.index == 1:
            raise KeyboardInterrupt

    with pytest.raises(RunInterruptedError) as caught:
        ApprovalExecutor(None, execute_step).execute(Plan("a", "b", "c"))
    record = record_of(caught.value)
    assert (record.status, record.cause) == (ExecutionStatus.INCOMPLETE, "interrupted")
    assert len(record.step_events) == 4


def test_indices_may_repeat_and_names_may_be_missing() -> None:
    plan = SimpleNamespace(id="p", steps=[SimpleNamespace(index=3), SimpleNamespace(index=3)])
    record = ApprovalExecutor(None, lambda _: None).execute(plan).execution_record
    assert [event.step_index for event in record.step_events] == [3, 3, 3, 3]
    assert record.step_events[0].step_name == "step 3"
    assert record.status is ExecutionStatus.COMPLETED


@pytest.mark.parametrize("states", [("BREACHED", "NOMINAL"), ("OPERATIONAL", "BREACHED"), ("", "NOMINAL")])
def test_a_posture_of_unknown_severity_lets_nothing_act(states: tuple[str, str]) -> None:
    kernel = SimpleNamespace(get_security_state=lambda: states[0], get_boundary_state=lambda: states[1])
    acted: list[object] = []
    with pytest.raises(GateRefusedError):
        ApprovalExecutor(kernel, acted.append).execute(Plan("a"))
    assert acted == []


def test_a_plan_without_steps_is_completed() -> None:
    result = ApprovalExecutor(None, lambda _: None).execute(SimpleNamespace(id="p", steps=[]))
    assert (result.status, result.steps_completed) == (ExecutionStatus.COMPLETED, 0)


class Mute:
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Restless:
    index = 0

    @property
    def name(self) -> str:
        raise RuntimeError("not now")


class One(enum.IntEnum):
    INDEX = 0


def step(**attributes: Any) -> SimpleNamespace:
    return SimpleNamespace(**{"index": 0, "name": "only", "task_type": "custom", **attributes})


@pytest.mark.parametrize(
    "plan, why",
    [
        (SimpleNamespace(steps=[]), "no id"),
        (SimpleNamespace(id=Mute(), steps=[]), "id has no text"),
        (SimpleNamespace(id="p"), "no steps"),
        (SimpleNamespace(id="p", steps=4), "steps cannot be read"),
        (SimpleNamespace(id="p", steps=[step(index=One.INDEX)]), r"steps\[0\].index is <One"),
        (SimpleNamespace(id="p", steps=[step(index=2**60)]), r"steps\[0\].index is 1152921504606846976"),
        (SimpleNamespace(id="p", steps=[step(name=Mute())]), r"steps\[0\]: name has no text"),
        (SimpleNamespace(id="p", steps=[step(task_type=Mute())]), r"steps\[0\]: task_type has no text"),
        (SimpleNamespace(id="p", steps=[Restless()]), r"steps\[0\]: name cannot be read: RuntimeError: not now"),
    ],
)
def test_a_plan_that_cannot_be_recorded_is_refused_before_anything_is(tmp_path: Path, plan: Any, why: str) -> None:
    def journal(execution_id: str) -> Journal:
        return Journal.create(tmp_path / f"{execution_id}.journal")

    called: list[object] = []
    with pytest.raises(PlanError, match=why):
        ApprovalExecutor(HearthKernel(), called.append, journal=journal).execute(plan)
    assert called == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("digest", [lambda: "abc", b"\0" * 32, 7, None, "abc"])
def test_a_digest_that_is_no_text_is_none(digest: object) -> None:
    plan = SimpleNamespace(id="p", steps=[step()], digest=digest)
    record = ApprovalExecutor(None, lambda _: None).execute(plan).execution_record
    assert record.started["plan_digest"] == (digest if digest == "abc" else None)
    assert record.verify()


@pytest.mark.parametrize("effects", [5, list, None, "writes a file", ["writes a file"], [object()]])
def test_effects_that_mean_something_else_declare_nothing(effects: object) -> None:
    plan = SimpleNamespace(id="p", steps=[step(effects=effects)])
    record = ApprovalExecutor(None, lambda _: None).execute(plan).execution_record
    assert record.side_effects_report.side_effects_declared == []
    assert record.verify()


def test_steps_that_can_be_read_once_only_are_all_run_and_counted() -> None:
    def steps() -> Iterator[SimpleNamespace]:
        yield step()
        yield step(index=1)

    result = ApprovalExecutor(None, lambda _: None).execute(SimpleNamespace(id="p", steps=steps()))
    assert (result.status, result.steps_completed) == (ExecutionStatus.COMPLETED, 2)
    assert result.execution_record.started["number_of_steps"] == 2
