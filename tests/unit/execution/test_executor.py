"""ApprovalExecutor: the order of every step, what may run in which mode, and how each run ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import stat
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import (
    ArtemisEscalationError,
    ConcurrencyRefusedError,
    GateRefusedError,
    LedgerError,
    PlanChangedError,
    PlanError,
    RecorderError,
    RunInterruptedError,
    SigningError,
    StepFailedError,
    TaskError,
)
from hearth.execution import ApprovalExecutor, StepOutcome, TaskContext, TaskEffect, TaskResult, new_execution_id
from hearth.execution._concurrency import plan_slot
from hearth.kernel import HearthKernel
from hearth.record import ExecutionRecord, ExecutionStatus, SealCause
from hearth.recorder import Journal
from hearth.security import LiveMode, LiveModeGate, Policy, SecurityState
from tests.unit.execution.executor_support import MemorySink, Note, handoff_plan, make_plan, notes

if TYPE_CHECKING:
    from hearth.plan import Plan


def armed(mode: str = "LIVE") -> HearthKernel:
    kernel = HearthKernel()
    kernel.arm(mode, who="Ada", why="a test")
    return kernel


def events(record: ExecutionRecord) -> list[tuple[str, int | None]]:
    """The chain, entry by entry."""
    return [(str(entry.event_type), entry.step_index) for entry in record.entries]


def run(plan: Plan, task: Note, kernel: Any = None, **keywords: Any) -> Any:
    return ApprovalExecutor(kernel or armed(), tasks={"note": task}, **keywords).execute(plan)


# --- a run that reaches its end --------------------------------------------------------------------------


def test_every_step_once_in_order_with_its_intent_first(tmp_path: Path) -> None:
    task = Note()
    result = run(make_plan(tmp_path, [{"text": "one"}, {"text": "two"}], task=task), task)
    assert notes(tmp_path) == ["one", "two"]
    assert (result.status, result.steps_completed) == (ExecutionStatus.COMPLETED, 2)
    record = result.execution_record
    assert record.verify()
    assert record.cause is SealCause.COMPLETED
    assert record.live_mode_state == "LIVE"
    step = ["step_started", "side_effect", "step_completed"]
    assert events(record) == [
        ("execution_started", None),
        *((kind, 0) for kind in step),
        *((kind, 1) for kind in step),
        ("execution_sealed", None),
    ]
    started, completed = record.step_events[:2]
    assert started.details == {"task_type": "note", "summary": "note one"}
    assert completed.details == {"noted": True, "ran": "in-place"}
    (effect, _) = record.side_effects_report.side_effects_observed
    assert (effect.category.name, effect.reversible, effect.details) == ("FILE_SYSTEM", True, {"bytes": 2})


def test_entry_0_commits_plan_mode_initiator_approval_and_ledger(tmp_path: Path) -> None:
    task = Note()
    plan = make_plan(tmp_path, [{"text": "one"}], task=task)
    keywords = {"initiator": "ada@example.org", "ledger_id": "ledger-1", "approval": {"nonce": "n"}}
    start = run(plan, task, HearthKernel(), **keywords).execution_record.started
    assert (start["plan_digest"], start["number_of_steps"], start["live_mode"]) == (plan.digest, 1, "DRY_RUN")
    assert (start["initiator"], start["ledger_id"], start["approval"]) == (
        "ada@example.org",
        "ledger-1",
        {"nonce": "n"},
    )


def test_an_execution_id_is_made_of_plan_time_and_chance(tmp_path: Path) -> None:
    assert re.fullmatch(r"user-import-\d{8}T\d{6}Z-[0-9a-f]{8}", new_execution_id("user-import"))
    assert new_execution_id("p") != new_execution_id("p")
    task = Note()
    executor = ApprovalExecutor(tasks={"note": task})
    result = executor.execute(make_plan(tmp_path, [{}], task=task), execution_id="mine")
    assert result.execution_record.execution_id == "mine"


def test_what_a_task_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORD", "open-sesame")
    monkeypatch.setenv("UNRELATED", "of HEARTH's own")
    (tmp_path / "script").write_text("echo\n")
    task = Note()
    steps = [{"text": "x", "reads": ["script"], "password": {"secret": "env:WORD"}}]
    plan = make_plan(tmp_path, steps, task=task, env={"COLOUR": "blue", "WORD": {"secret": "env:WORD"}})
    result = run(plan, task)
    (context,) = task.contexts
    assert task.params[0]["password"] == "open-sesame"
    assert context.cwd == context.folder == tmp_path
    assert (context.env["COLOUR"], context.env["WORD"]) == ("blue", "open-sesame")
    assert "UNRELATED" not in context.env
    assert context.inputs is not None
    copy = Path(context.inputs.resolve("script"))
    assert copy.parent == Path(context.env["HEARTH_INPUTS"])
    assert "open-sesame" not in str(result.execution_record.to_dict())


@pytest.mark.parametrize("mode, calls", [("LIVE", ["prepare", "run", "run"]), ("DRY_RUN", [])])
def test_a_task_may_get_ready_once_before_a_run_that_acts(tmp_path: Path, mode: str, calls: list[str]) -> None:
    seen: list[str] = []

    class Slow(Note):
        def prepare(self) -> None:
            seen.append("prepare")

        def run(self, params: Any, context: TaskContext) -> TaskResult:
            seen.append("run")
            return super().run(params, context)

    task = Slow()
    run(make_plan(tmp_path, [{}, {}], task=task), task, armed(mode))
    assert seen == calls


def test_steps_read_private_copies_that_go_with_the_run(tmp_path: Path) -> None:
    (tmp_path / "script").write_text("approved\n")
    runs = tmp_path / "runs"
    seen: list[tuple[str, int]] = []

    def look(context: TaskContext) -> None:
        assert context.inputs is not None
        copy = Path(context.inputs.resolve("script"))
        assert runs in copy.parents
        seen.append((copy.read_text(), stat.S_IMODE(copy.parent.stat().st_mode)))

    task = Note(hooks={"look": look})
    plan = make_plan(tmp_path, [{"call": "look", "reads": ["script"]}], task=task)
    run(plan, task, runs_folder=runs)
    assert seen == [("approved\n", 0o700)]
    assert list(runs.iterdir()) == []


def unknown(record: ExecutionRecord) -> list[tuple[int | None, str]]:
    report = record.side_effects_report
    assert report.unknown_effects == bool(report.unknown_effects_why)
    return [(item["step_index"], item["why"]) for item in report.unknown_effects_why]


def test_what_could_not_be_seen_is_said_of_each_step_that_was_begun(tmp_path: Path) -> None:
    def explode(_: TaskContext) -> None:
        raise ZeroDivisionError

    task = Note(hooks={"explode": explode})
    steps = [{}, {"unseen": "triggers"}, {"call": "explode"}, {"unseen": "never begun"}]
    with pytest.raises(StepFailedError) as caught:
        run(make_plan(tmp_path, steps, task=task), task)
    assert caught.value.execution_record is not None
    raised = "the task raised ZeroDivisionError; what it did before is not known"
    assert unknown(caught.value.execution_record) == [(1, "triggers"), (2, raised)]


def test_an_effect_is_recorded_when_it_is_reported_and_stays_in_order(tmp_path: Path) -> None:
    sink = MemorySink()
    heard: list[StepOutcome] = []
    at: list[int] = []

    def work(context: TaskContext) -> TaskResult:
        for name in ("first", "second"):
            context.report(TaskEffect("NETWORK", name, reversible=True, details={"n": 1}))
            at.append(len(sink.accepted))
        return TaskResult(side_effects=(TaskEffect("OTHER", "third"),))

    class Listener:
        def step_finished(self, step: object, result: StepOutcome, seconds: float) -> None:
            heard.append(result)

    task = Note(hooks={"work": work})
    plan = make_plan(tmp_path, [{"call": "work"}], task=task)
    record = run(plan, task, journal=lambda _: sink, listener=Listener()).execution_record
    assert at == [3, 4], "entry 0, the start, then each effect at once"
    told = record.side_effects_report.side_effects_observed
    assert [(effect.description, effect.step_index, effect.sequence) for effect in told] == [
        ("first", 0, 2), ("second", 0, 3), ("third", 0, 4),
    ]  # fmt: skip
    assert (told[0].category.name, told[0].reversible, told[0].details) == ("NETWORK", True, {"n": 1})
    assert [effect.description for effect in heard[0].side_effects] == ["first", "second", "third"]


def test_effects_reported_before_a_task_raises_are_kept(tmp_path: Path) -> None:
    def work(context: TaskContext) -> None:
        context.report(TaskEffect("NETWORK", "sent"))
        raise ZeroDivisionError

    task = Note(hooks={"work": work})
    with pytest.raises(StepFailedError) as caught:
        run(make_plan(tmp_path, [{"call": "work"}], task=task), task)
    record = caught.value.execution_record
    assert record is not None
    assert [effect.description for effect in record.side_effects_report.side_effects_observed] == ["sent"]


def test_a_recorder_that_fails_at_a_report_ends_the_run_whatever_the_task_makes_of_it(tmp_path: Path) -> None:
    sink = MemorySink(("append", 3))

    def work(context: TaskContext) -> TaskResult:
        with contextlib.suppress(Exception):
            context.report(TaskEffect("NETWORK", "sent"))
        return TaskResult()

    task = Note(hooks={"work": work})
    with pytest.raises(RecorderError, match="the disk refused the append"):
        run(make_plan(tmp_path, [{"call": "work"}, {}], task=task), task, journal=lambda _: sink)
    assert len(task.params) == 1
    assert len(sink.accepted) == 2


def test_a_result_says_what_of_its_effects_was_not_seen(tmp_path: Path) -> None:
    task = Note(hooks={"work": lambda _: TaskResult(unseen="one was lost")})
    plan = make_plan(tmp_path, [{"call": "work", "unseen": "triggers"}, {"call": "work"}, {}], task=task)
    assert unknown(run(plan, task).execution_record) == [(0, "triggers; one was lost"), (1, "one was lost")]


def test_an_effect_that_cannot_be_read_is_said_to_be_unknown(tmp_path: Path) -> None:
    class Evasive(TaskEffect):
        def __getattribute__(self, name: str) -> object:
            raise RuntimeError("not now")

    good = TaskEffect("NETWORK", "asked", reversible=True)
    result = TaskResult(side_effects=(good, Evasive("NETWORK", "sent"), good))
    task = Note(hooks={"report": lambda _: result})
    with pytest.raises(StepFailedError, match=r"side_effects\[1\]: RuntimeError: not now") as caught:
        run(make_plan(tmp_path, [{"call": "report"}], task=task), task)
    record = caught.value.execution_record
    assert record is not None
    assert [effect.description for effect in record.side_effects_report.side_effects_observed] == ["asked", "asked"]
    ((index, why),) = unknown(record)
    assert index == 0
    assert "side_effects[1]" in why


def test_a_task_that_does_not_say_what_it_cannot_see_may_have_done_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Note, "unseen")
    task = Note()
    record = run(make_plan(tmp_path, [{}], task=task), task).execution_record
    assert unknown(record) == [(0, "the task note does not say what it cannot see of its own effects")]


def test_where_everything_was_seen_or_nothing_was_done_nothing_is_unknown(tmp_path: Path) -> None:
    task = Note()
    assert unknown(run(make_plan(tmp_path, [{}], task=task), task).execution_record) == []
    plan = make_plan(tmp_path, [{"unseen": "triggers"}], task=task)
    assert unknown(run(plan, task, HearthKernel()).execution_record) == []
    (only,) = unknown(ApprovalExecutor(None, lambda _: None).execute(handoff_plan("a")).execution_record)
    assert only[0] is None, "of what a function does, nothing is known"


# --- modes -----------------------------------------------------------------------------------------------


def test_dry_run_checks_records_and_acts_on_nothing(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("x")
    task = Note()
    plan = make_plan(tmp_path, [{"text": "one"}, {"text": "two"}], task=task, inputs=["data"])
    before = sorted(path.name for path in tmp_path.iterdir())
    result = run(plan, task, HearthKernel(), runs_folder=tmp_path / "runs", locks_folder=tmp_path / "locks")
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert task.contexts == []
    record = result.execution_record
    assert (record.status, record.live_mode_state) == (ExecutionStatus.COMPLETED, "DRY_RUN")
    assert record.completion_reason == "dry run: nothing was acted on"
    assert [event.details for event in record.step_events if event.event_type == "step_completed"] == [
        {"dry_run": True, "summary": "note one"},
        {"dry_run": True, "summary": "note two"},
    ]
    assert record.verify()


def test_without_a_kernel_or_with_one_that_has_no_live_mode_it_is_dry_run(tmp_path: Path) -> None:
    task = Note()
    plan = make_plan(tmp_path, [{"text": "one"}], task=task)
    foreign = SimpleNamespace(get_security_state=lambda: "OPERATIONAL", get_boundary_state=lambda: "NOMINAL")
    for kernel in (None, foreign):
        record = ApprovalExecutor(kernel, tasks={"note": task}).execute(plan).execution_record
        assert record.live_mode_state == "DRY_RUN"
    assert notes(tmp_path) == []


def test_staging_acts_on_what_the_policy_lists(tmp_path: Path) -> None:
    task = Note()
    plan = make_plan(tmp_path, [{"text": "one"}, {"text": "two", "targets": ["http:127.0.0.1:80"]}], task=task)
    here = f"host:{socket.gethostname()}:{tmp_path.resolve()}"
    both = Policy((here, "http:127.0.0.1:*"))
    assert run(plan, task, armed("STAGING"), policy=both).execution_record.live_mode_state == "STAGING"
    assert notes(tmp_path) == ["one", "two"]


def test_staging_refuses_a_plan_with_one_target_that_is_not_listed(tmp_path: Path) -> None:
    task = Note()
    plan = make_plan(tmp_path, [{"text": "one"}, {"text": "two", "targets": ["http:example.org:80"]}], task=task)
    here = f"host:{socket.gethostname()}:{tmp_path.resolve()}"
    with pytest.raises(GateRefusedError, match=re.escape('add `- "http:example.org:80"` under `staging: targets:`')):
        run(plan, task, armed("STAGING"), policy=Policy((here,)))
    with pytest.raises(GateRefusedError, match=re.escape(f"step 0 (note 0) acts on {here}")):
        run(plan, task, armed("STAGING"))
    assert notes(tmp_path) == []


def test_staging_refuses_a_step_that_does_not_say_what_it_acts_on(tmp_path: Path) -> None:
    task = Note()
    with pytest.raises(GateRefusedError, match="does not say what it acts on"):
        run(make_plan(tmp_path, [{"targets": []}], task=task), task, armed("STAGING"), policy=Policy(("*",)))


def test_a_link_as_working_folder_counts_as_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "listed").symlink_to("real")
    task = Note()
    plan = make_plan(tmp_path, [{}], task=task, cwd="listed")
    with pytest.raises(GateRefusedError, match=re.escape(str((tmp_path / "real").resolve()))):
        run(plan, task, armed("STAGING"), policy=Policy((f"host:*:{tmp_path}/listed",)))


@pytest.mark.parametrize(
    "state,mode,acts",
    [("DEGRADED", "DRY_RUN", True), ("COMPROMISED", "DRY_RUN", False), ("LOCKDOWN", "DRY_RUN", None)],
)
def test_the_posture_decides_what_may_begin(tmp_path: Path, state: str, mode: str, acts: bool | None) -> None:
    kernel = HearthKernel()
    kernel.escalate(state, "x")
    task = Note()
    plan = make_plan(tmp_path, [{}], task=task)
    if acts is None:
        with pytest.raises(GateRefusedError):
            run(plan, task, kernel)
    else:
        assert run(plan, task, kernel).execution_record.live_mode_state == mode
    called: list[Any] = []
    executor = ApprovalExecutor(kernel, called.append)
    if acts:
        executor.execute(handoff_plan("a"))
        assert len(called) == 1
    else:
        with pytest.raises(GateRefusedError):
            executor.execute(handoff_plan("a"))
        assert called == []


def test_a_kernel_that_cannot_tell_its_posture_lets_nothing_begin() -> None:
    kernel = SimpleNamespace(get_security_state=lambda: 1 / 0, get_boundary_state=lambda: "NOMINAL")
    with pytest.raises(GateRefusedError, match="nothing is run in an unknown posture"):
        ApprovalExecutor(kernel, lambda _: None).execute(handoff_plan("a"))


# --- refusals before anything begins ---------------------------------------------------------------------


def test_refusals_leave_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("approved")
    task = Note()
    plan = make_plan(tmp_path, [{"text": "one"}], task=task, inputs=["data"])
    (tmp_path / "data").write_text("changed")
    journals: list[str] = []
    runs = tmp_path / "runs"

    def journal(execution_id: str) -> MemorySink:
        journals.append(execution_id)
        return MemorySink()

    for kernel in (armed(), HearthKernel()):
        with pytest.raises(PlanChangedError, match="data"):
            run(plan, task, kernel, journal=journal, runs_folder=runs)
    assert journals == []
    assert notes(tmp_path) == []
    assert not runs.exists() or list(runs.iterdir()) == []


@pytest.mark.parametrize("mode", ["DRY_RUN", "LIVE"])
def test_a_file_that_appeared_in_an_input_folder_refuses_the_run(tmp_path: Path, mode: str) -> None:
    (tmp_path / "sql").mkdir()
    (tmp_path / "sql" / "1.sql").write_text("SELECT 1")
    task = Note()
    plan = make_plan(tmp_path, [{"text": "one"}], task=task, inputs=["sql"])
    (tmp_path / "sql" / "2.sql").write_text("DROP TABLE users")
    with pytest.raises(PlanChangedError, match=r"2\.sql"):
        run(plan, task, armed(mode))
    assert notes(tmp_path) == []


def test_a_folder_for_runs_that_cannot_be_made_refuses_the_run(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("in the way")
    task = Note()
    with pytest.raises(TaskError, match=r"no private folder can be made: .*nothing was started"):
        run(make_plan(tmp_path, [{"text": "one"}], task=task), task, runs_folder=tmp_path / "runs")
    assert notes(tmp_path) == []


def test_a_missing_secret_is_refused_before_the_first_step(tmp_path: Path) -> None:
    task = Note()
    plan = make_plan(tmp_path, [{"text": "one"}, {"key": {"secret": "env:NOT_SET_ANYWHERE"}}], task=task)
    for kernel in (armed(), HearthKernel()):
        with pytest.raises(TaskError, match="NOT_SET_ANYWHERE"):
            run(plan, task, kernel)
    assert notes(tmp_path) == []


@pytest.mark.parametrize("what", ["steps", "digest", "document", "cwd", "env", "concurrency"])
@pytest.mark.parametrize("mode", ["DRY_RUN", "LIVE"])
def test_a_plan_whose_parts_are_not_its_digests_is_refused(tmp_path: Path, what: str, mode: str) -> None:
    task = Note()
    plan = make_plan(tmp_path, [{"text": "approved"}], task=task)
    (tmp_path / "other").mkdir()
    other = make_plan(tmp_path, [{"text": "evil"}], task=task, cwd="other", env={"A": "b"}, concurrency=7)
    forged = replace(plan, **{what: getattr(other, what)})
    with pytest.raises(PlanChangedError, match="load it again"):
        run(forged, task, armed(mode))
    assert notes(tmp_path) == []
    assert not (tmp_path / "other" / "notes").exists()


@pytest.mark.parametrize("what", ["steps", "digest", "document", "cwd", "env", "concurrency"])
@pytest.mark.parametrize("mode", ["DRY_RUN", "STAGING"])
def test_a_forged_plan_is_refused_too_where_a_function_does_its_steps(tmp_path: Path, what: str, mode: str) -> None:
    task = Note()
    plan = make_plan(tmp_path, [{"text": "approved"}], task=task)
    other = make_plan(tmp_path, [{"text": "evil"}], task=task, cwd="other", env={"A": "b"}, concurrency=7)
    done: list[Any] = []
    executor = ApprovalExecutor(armed(mode), done.append, tasks={"note": task})
    with pytest.raises(PlanChangedError, match="load it again"):
        executor.execute(replace(plan, **{what: getattr(other, what)}))
    with pytest.raises(PlanChangedError, match="a task has another version"):
        ApprovalExecutor(armed(mode), done.append, tasks={"note": Note(version="2")}).execute(plan)
    with pytest.raises(PlanError, match="there is no task note"):  # its version cannot be known
        ApprovalExecutor(armed(mode), done.append).execute(plan)
    assert done == []
    assert executor.execute(plan).steps_completed == 1


def test_parameters_changed_before_the_run_are_refused(tmp_path: Path) -> None:
    task = Note()
    plan = make_plan(tmp_path, [{"text": "approved"}], task=task)
    object.__setattr__(plan.steps[0], "params", {"text": "evil"})
    with pytest.raises(PlanChangedError, match="its steps do not follow"):
        run(plan, task)
    assert notes(tmp_path) == []


def test_a_task_of_another_version_is_another_plan(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, [{"text": "approved"}])
    newer = Note()
    newer.version = "2"
    with pytest.raises(PlanChangedError, match="a task has another version"):
        run(plan, newer)


def test_an_id_is_the_records_everywhere(tmp_path: Path) -> None:
    task = Note()
    ids = []

    def journal(execution_id: str) -> Journal:
        ids.append(execution_id)
        return Journal.create(tmp_path / "one.journal")

    plan = make_plan(tmp_path, [{"text": "one"}], task=task)
    executor = ApprovalExecutor(armed(), tasks={"note": task}, journal=journal)
    result = executor.execute(plan, execution_id="odd-\udcff")
    assert ids == [result.execution_record.execution_id] == ["odd-\\udcff"]


@pytest.mark.parametrize("given", [None, {"kind": "signed"}])
def test_the_first_entry_says_who_armed_the_gate_where_no_approval_was_given(
    tmp_path: Path, given: dict[str, str] | None
) -> None:
    task = Note()
    kernel = HearthKernel()
    kernel.arm("LIVE", who="Ada", why="change 17")
    result = run(make_plan(tmp_path, [{"text": "one"}], task=task), task, kernel, approval=given)
    told = {"kind": "armed", "by": "Ada", "reason": "change 17"}
    assert result.execution_record.started["approval"] == (given or told)


def test_a_task_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, [{"text": "one"}])
    with pytest.raises(
        PlanError, match=re.escape("steps[0] (note 0): there is no task note to run it; there are none")
    ):
        ApprovalExecutor(armed(), tasks={}).execute(plan)
    half = SimpleNamespace(name="note", version="1", schema={})
    with pytest.raises(PlanError, match="there is no task note"):
        ApprovalExecutor(armed(), tasks={"note": half}).execute(plan)


def test_a_working_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    task = Note()
    plan = make_plan(tmp_path, [{}], task=task, cwd="nowhere")
    with pytest.raises(PlanError, match="nowhere is not a folder"):
        run(plan, task)


@pytest.mark.parametrize("plan", [handoff_plan("a"), object(), None, {"plan": "p", "steps": []}])
def test_a_plan_that_is_none_needs_a_function(plan: object) -> None:
    with pytest.raises(PlanError, match="give execute_step="):
        ApprovalExecutor().execute(plan)


@pytest.mark.parametrize("index", [True, "0", None, 1.0])
def test_an_index_that_is_no_int_is_refused(index: object) -> None:
    plan = SimpleNamespace(id="p", steps=[SimpleNamespace(index=index, name="a", task_type="t")])
    with pytest.raises(PlanError, match=re.escape("steps[0].index is")):
        ApprovalExecutor(None, lambda _: None).execute(plan)


def test_as_many_runs_as_the_plan_allows(tmp_path: Path) -> None:
    locks = tmp_path / "locks"
    task = Note()
    plan = make_plan(tmp_path, [{"text": "one"}], task=task)
    with plan_slot(locks, plan.id, 1, "the-other-run"):
        with pytest.raises(ConcurrencyRefusedError, match="the-other-run"):
            run(plan, task, locks_folder=locks)
        assert notes(tmp_path) == []
        run(plan, task, HearthKernel(), locks_folder=locks)  # a dry run acts on nothing, and is not counted
    run(plan, task, locks_folder=locks)
    assert notes(tmp_path) == ["one"]


def test_a_plan_whose_steps_a_function_does_is_looked_at_again_as_well(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("approved")
    plan = make_plan(tmp_path, [{}, {}], inputs=["data"])
    done: list[int] = []

    def change(step: Any) -> None:
        done.append(step.index)
        (tmp_path / "data").write_text("changed")

    executor = ApprovalExecutor(None, change, tasks={"note": Note()})
    with pytest.raises(StepFailedError, match="the input data is not the approved one") as caught:
        executor.execute(plan)
    assert caught.value.execution_record is not None
    assert caught.value.execution_record.started["plan_digest"] == plan.digest
    with pytest.raises(PlanChangedError):
        executor.execute(plan)
    assert done == [0]


# --- a step that fails -----------------------------------------------------------------------------------


def test_a_failed_step_ends_the_run_with_its_error_and_no_retry(tmp_path: Path) -> None:
    task = Note()
    plan = make_plan(tmp_path, [{"text": "one"}, {"text": "two", "fail": "disk full"}, {"text": "three"}], task=task)
    with pytest.raises(StepFailedError) as caught:
        run(plan, task)
    assert str(caught.value) == "disk full"
    assert (caught.value.step_index, caught.value.step_name) == (1, "note 1")
    assert notes(tmp_path) == ["one", "two"]
    record = caught.value.execution_record
    assert record is not None
    assert (record.status, record.cause) == (ExecutionStatus.FAILED, SealCause.FAILED)
    assert record.completion_reason == "step 1 (note 1) failed: disk full"
    assert events(record)[-3:] == [("side_effect", 1), ("step_failed", 1), ("execution_sealed", None)]
    assert record.verify()


def test_a_secret_in_an_error_is_in_neither_record_nor_exception(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORD", "open-sesame-9")
    task = Note(hooks={"blurt": lambda _: TaskResult(failed=True, error="refused: open-sesame-9")})
    plan = make_plan(tmp_path, [{"call": "blurt", "key": {"secret": "env:WORD"}}], task=task)
    with pytest.raises(StepFailedError, match=r"refused: \[redacted:") as caught:
        run(plan, task)
    assert caught.value.execution_record is not None
    assert "open-sesame-9" not in str(caught.value.execution_record.to_dict())


def test_a_secret_of_a_later_step_is_kept_out_of_what_an_earlier_one_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORD", "open-sesame-9")
    said: list[str] = []

    def blurt(context: TaskContext) -> TaskResult:
        said.append(context.redactor.text("the word is open-sesame-9"))
        return TaskResult(details={"found": "open-sesame-9"})

    task = Note(hooks={"blurt": blurt})
    plan = make_plan(tmp_path, [{"call": "blurt"}, {"key": {"secret": "env:WORD"}}], task=task)
    record = run(plan, task).execution_record
    assert "open-sesame-9" not in str(record.to_dict())
    assert "[redacted:" in record.step_events[1].details["found"]
    assert said[0].startswith("the word is [redacted:")


def test_a_task_that_raises_has_failed(tmp_path: Path) -> None:
    def explode(_: TaskContext) -> None:
        raise ZeroDivisionError("division by zero")

    task = Note(hooks={"explode": explode})
    with pytest.raises(StepFailedError, match=r"^ZeroDivisionError: division by zero$") as caught:
        run(make_plan(tmp_path, [{"call": "explode"}, {"text": "two"}], task=task), task)
    assert notes(tmp_path) == [""]
    assert caught.value.execution_record is not None
    assert "explode" in caught.value.execution_record.step_events[-1].details["traceback"]


def test_a_failure_without_a_word_still_says_something(tmp_path: Path) -> None:
    task = Note(hooks={"mute": lambda _: TaskResult(failed=True)})
    with pytest.raises(StepFailedError, match=r"^the step failed without saying why$"):
        run(make_plan(tmp_path, [{"call": "mute"}], task=task), task)


# --- before every step the plan is looked at again -------------------------------------------------------


@pytest.mark.parametrize("what", ["original", "copy"])
def test_an_input_changed_by_a_step_stops_the_next_one(tmp_path: Path, what: str) -> None:
    (tmp_path / "data").write_text("approved")

    def change(context: TaskContext) -> None:
        assert context.inputs is not None
        path = tmp_path / "data" if what == "original" else Path(context.inputs.resolve("data"))
        path.write_text("tampered")

    task = Note(hooks={"change": change})
    plan = make_plan(tmp_path, [{"call": "change"}, {"text": "two"}], task=task, inputs=["data"])
    with pytest.raises(StepFailedError, match=r"step 1 \(note 1\) was not begun: the .*input data is not") as caught:
        run(plan, task)
    assert isinstance(caught.value.__cause__, PlanChangedError)
    assert notes(tmp_path) == [""]
    record = caught.value.execution_record
    assert record is not None
    assert record.status is ExecutionStatus.FAILED
    assert ("step_started", 1) not in events(record)
    assert record.completion_reason == str(caught.value)


def test_a_gate_that_is_disarmed_stops_the_next_step(tmp_path: Path) -> None:
    kernel = armed()
    task = Note(hooks={"disarm": lambda _: kernel.arm("DRY_RUN", who="Ada", why="enough")})
    plan = make_plan(tmp_path, [{"call": "disarm"}, {"text": "two"}], task=task)
    with pytest.raises(StepFailedError, match="LIVE is not armed") as caught:
        run(plan, task, kernel)
    assert isinstance(caught.value.__cause__, GateRefusedError)
    assert notes(tmp_path) == [""]


# --- escalation ------------------------------------------------------------------------------------------


def test_an_escalation_during_a_step_cancels_it_and_stops_the_run(tmp_path: Path) -> None:
    kernel = armed()

    def wait(context: TaskContext) -> TaskResult:
        threading.Thread(target=kernel.escalate, args=("LOCKDOWN", "key stolen")).start()
        assert context.cancellation.wait(5)
        assert context.cancellation.immediate
        return TaskResult(failed=True, error="killed")

    task = Note(hooks={"wait": wait})
    plan = make_plan(tmp_path, [{"text": "one"}, {"call": "wait"}, {"text": "three"}], task=task)
    with pytest.raises(ArtemisEscalationError) as caught:
        run(plan, task, kernel)
    assert caught.value.new_state is SecurityState.LOCKDOWN
    assert caught.value.reason == "key stolen"
    assert notes(tmp_path) == ["one", ""]
    record = caught.value.execution_record
    assert record is not None
    assert (record.status, record.cause) == (ExecutionStatus.INCOMPLETE, SealCause.ESCALATION)
    assert record.security_snapshot_pre.security_state == "OPERATIONAL"
    assert record.security_snapshot_post is not None
    assert record.security_snapshot_post.security_state == "LOCKDOWN"
    assert record.step_events[-1].error_message == "killed (security state escalated to LOCKDOWN: key stolen)"
    assert record.verify()


def test_a_step_that_completed_all_the_same_is_recorded_so_and_none_follows(tmp_path: Path) -> None:
    kernel = armed()
    task = Note(hooks={"worsen": lambda _: kernel.escalate("DEGRADED", "noise")})
    plan = make_plan(tmp_path, [{"call": "worsen"}, {"text": "two"}], task=task)
    with pytest.raises(ArtemisEscalationError) as caught:
        run(plan, task, kernel)
    assert caught.value.execution_record is not None
    assert events(caught.value.execution_record)[-2:] == [("step_completed", 0), ("execution_sealed", None)]
    assert notes(tmp_path) == [""]


def test_an_escalation_in_the_last_step_is_not_lost(tmp_path: Path) -> None:
    kernel = armed()
    task = Note(hooks={"worsen": lambda _: kernel.report_boundary("ELEVATED", "a write outside")})
    with pytest.raises(ArtemisEscalationError) as caught:
        run(make_plan(tmp_path, [{"call": "worsen"}], task=task), task, kernel)
    assert caught.value.execution_record is not None
    assert caught.value.execution_record.status is ExecutionStatus.INCOMPLETE


def test_an_escalation_after_the_last_check_keeps_the_action_from_starting(tmp_path: Path) -> None:
    kernel = armed()

    class Alarm:
        def step_started(self, _step: object) -> None:
            kernel.escalate("COMPROMISED", "at the last moment")

    task = Note()
    with pytest.raises(ArtemisEscalationError) as caught:
        run(make_plan(tmp_path, [{"text": "one"}], task=task), task, kernel, listener=Alarm())
    assert notes(tmp_path) == []
    assert caught.value.execution_record is not None
    assert caught.value.execution_record.step_events[-1].error_message == (
        "not begun (security state escalated to COMPROMISED: at the last moment)"
    )


@pytest.mark.parametrize("steps", [0, 2])
def test_an_escalation_before_the_first_step_lets_none_begin(steps: int) -> None:
    kernel = HearthKernel()
    done: list[object] = []

    class Alarm:
        def run_started(self, _plan: object, _execution_id: str) -> None:
            kernel.escalate("DEGRADED", "as it began")

    listener: Any = Alarm()
    with pytest.raises(ArtemisEscalationError) as caught:
        ApprovalExecutor(kernel, done.append, listener=listener).execute(handoff_plan(*"ab"[:steps]))
    assert done == []
    assert caught.value.execution_record is not None
    assert events(caught.value.execution_record) == [("execution_started", None), ("execution_sealed", None)]
    assert caught.value.execution_record.status is ExecutionStatus.INCOMPLETE


def test_a_foreign_kernel_is_asked_while_a_task_runs(tmp_path: Path) -> None:
    states = {"security": "OPERATIONAL"}
    kernel = SimpleNamespace(
        get_security_state=lambda: states["security"], get_boundary_state=lambda: "NOMINAL", live_mode="LIVE"
    )

    def wait(context: TaskContext) -> TaskResult:
        states["security"] = "LOCKDOWN"
        assert context.cancellation.wait(5), "nobody noticed"
        return TaskResult(failed=True, error="killed")

    task = Note(hooks={"wait": wait})
    with pytest.raises(ArtemisEscalationError) as caught:
        run(make_plan(tmp_path, [{"call": "wait"}], task=task), task, kernel)
    assert caught.value.new_state is SecurityState.LOCKDOWN


def test_a_better_posture_stops_nothing(tmp_path: Path) -> None:
    states = {"security": "DEGRADED"}
    kernel = SimpleNamespace(get_security_state=lambda: states["security"], get_boundary_state=lambda: "NOMINAL")

    def improve(step: Any) -> None:
        states["security"] = "OPERATIONAL"

    assert ApprovalExecutor(kernel, improve).execute(handoff_plan("a", "b")).steps_completed == 2


# --- interruption without a signal -----------------------------------------------------------------------


def test_a_keyboard_interrupt_out_of_a_step_is_an_interruption(tmp_path: Path) -> None:
    def interrupt(_: TaskContext) -> None:
        raise KeyboardInterrupt

    task = Note(hooks={"interrupt": interrupt})
    with pytest.raises(RunInterruptedError) as caught:
        run(make_plan(tmp_path, [{"text": "one"}, {"call": "interrupt"}, {"text": "three"}], task=task), task)
    assert caught.value.signum == 2
    record = caught.value.execution_record
    assert record is not None
    assert (record.status, record.cause) == (ExecutionStatus.INCOMPLETE, SealCause.INTERRUPTED)
    assert record.step_events[-1].error_message == "its outcome is unknown (interrupted by SIGINT)"
    assert unknown(record) == [(1, "the step was cut short; what it did before is not known")]
    assert str(caught.value) == "interrupted by SIGINT; one step completed before"
    assert notes(tmp_path) == ["one", ""]


@pytest.mark.parametrize("kind", [GeneratorExit, asyncio.CancelledError])
def test_what_is_no_exception_is_raised_again_after_the_seal(tmp_path: Path, kind: type[BaseException]) -> None:
    sealed: list[ExecutionRecord] = []

    def stop(_: TaskContext) -> None:
        raise kind("stop")

    task = Note(hooks={"stop": stop})
    with pytest.raises(kind):
        run(make_plan(tmp_path, [{"call": "stop"}, {"text": "two"}], task=task), task, keep=sealed.append)
    (record,) = sealed
    assert (record.status, record.cause) == (ExecutionStatus.INCOMPLETE, SealCause.INTERRUPTED)
    assert notes(tmp_path) == [""]


def test_a_step_that_exits_has_failed(tmp_path: Path) -> None:
    def leave(_: TaskContext) -> None:
        raise SystemExit(3)

    task = Note(hooks={"leave": leave})
    with pytest.raises(StepFailedError, match=r"^SystemExit: 3$"):
        run(make_plan(tmp_path, [{"call": "leave"}], task=task), task)


# --- keeping the record, and telling ---------------------------------------------------------------------


class Listener:
    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def run_started(self, plan: Any, execution_id: str) -> None:
        self.told.append(("run_started", execution_id))

    def step_started(self, step: Any) -> None:
        self.told.append(("step_started", step.index))

    def output(self, step: Any, stream: str, chunk: bytes) -> None:
        self.told.append(("output", (step.index, stream, chunk)))

    def step_progress(self, step: Any, doing: str) -> None:
        self.told.append(("step_progress", (step.index, doing)))

    def step_finished(self, step: Any, result: StepOutcome, seconds: float) -> None:
        assert seconds >= 0
        self.told.append(("step_finished", (step.index, result.failed, result.error)))

    def run_finished(self, record: ExecutionRecord) -> None:
        self.told.append(("run_finished", record.status))


def test_a_listener_is_told_everything_in_order(tmp_path: Path) -> None:
    listener = Listener()
    task = Note(hooks={"speak": lambda context: context.output("stdout", b"hello\n")})
    plan = make_plan(tmp_path, [{"call": "speak"}, {"fail": "no"}], task=task)
    with pytest.raises(StepFailedError):
        ApprovalExecutor(armed(), tasks={"note": task}, listener=listener).execute(plan, execution_id="run-1")
    assert listener.told == [
        ("run_started", "run-1"),
        ("step_started", 0),
        ("output", (0, "stdout", b"hello\n")),
        ("step_finished", (0, False, "")),
        ("step_started", 1),
        ("step_finished", (1, True, "no")),
        ("run_finished", ExecutionStatus.FAILED),
    ]


@pytest.mark.parametrize("method", ["run_started", "step_started", "step_finished", "run_finished"])
def test_a_listener_that_raises_breaks_nothing(tmp_path: Path, method: str, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: object) -> None:
        raise BrokenPipeError("the terminal is gone")

    listener: Any = SimpleNamespace(**{method: broken})
    task = Note()
    with caplog.at_level(logging.ERROR):
        result = run(make_plan(tmp_path, [{}, {}], task=task), task, listener=listener)
    assert result.execution_record.verify()
    assert f"raised in {method} and is told nothing more" in caplog.text
    assert len(caplog.records) == 1


def test_the_sealed_record_is_kept_after_success_and_after_failure(tmp_path: Path) -> None:
    kept: list[ExecutionRecord] = []
    task = Note()
    result = run(make_plan(tmp_path, [{}], task=task), task, keep=kept.append)
    with pytest.raises(StepFailedError) as caught:
        run(make_plan(tmp_path, [{"fail": "no"}], task=task), task, keep=kept.append)
    assert kept == [result.execution_record, caught.value.execution_record]


def test_a_record_that_could_not_be_kept_is_reported(tmp_path: Path) -> None:
    def refuse(_: ExecutionRecord) -> None:
        raise LedgerError("no space left")

    task = Note()
    executor = ApprovalExecutor(armed(), tasks={"note": task}, keep=refuse)
    with pytest.raises(LedgerError, match="run-1 is sealed as completed, but its record could not be stored: no space"):
        executor.execute(make_plan(tmp_path, [{}], task=task), execution_id="run-1")
    with pytest.raises(StepFailedError) as caught:
        executor.execute(make_plan(tmp_path, [{"fail": "no"}], task=task), execution_id="run-2")
    assert str(caught.value) == "no"
    (note,) = caught.value.__notes__
    assert "run-2 is sealed as failed, but its record could not be stored" in note
    assert "`hearth recover` stores it" in note


def test_a_journal_is_closed_before_the_record_is_kept(tmp_path: Path) -> None:
    sink = MemorySink()
    closed: list[bool] = []
    task = Note()
    run(make_plan(tmp_path, [{}], task=task), task, journal=lambda _: sink, keep=lambda _: closed.append(sink.closed))
    assert closed == [True]


def test_a_journal_that_cannot_be_made_lets_nothing_begin(tmp_path: Path) -> None:
    def journal(_: str) -> MemorySink:
        raise RecorderError("the journal cannot be created")

    task = Note()
    runs = tmp_path / "runs"
    with pytest.raises(RecorderError, match="cannot be created"):
        run(make_plan(tmp_path, [{}], task=task), task, journal=journal, runs_folder=runs)
    assert notes(tmp_path) == []
    assert list(runs.iterdir()) == []


def test_one_executor_runs_several_plans_at_the_same_time(tmp_path: Path) -> None:
    """Also in threads, where no signals are taken; each run has its own record and folder."""
    task = Note()
    executor = ApprovalExecutor(armed(), tasks={"note": task})
    plans = []
    for number in range(8):
        (tmp_path / str(number)).mkdir()
        plans.append(make_plan(tmp_path / str(number), [{"text": "a"}, {"text": "b"}], task=task))
    results: list[Any] = []
    threads = [threading.Thread(target=lambda plan=plan: results.append(executor.execute(plan))) for plan in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({result.execution_record.execution_id for result in results}) == 8
    assert all(result.execution_record.verify() for result in results)
    assert all(notes(plan.folder) == ["a", "b"] for plan in plans)


def test_outputs_are_kept_as_long_as_the_executor(tmp_path: Path) -> None:
    digests: list[str] = []
    task = Note(hooks={"keep": lambda context: digests.append(context.store.put(b"whole"))})
    executor = ApprovalExecutor(armed(), tasks={"note": task})
    executor.execute(make_plan(tmp_path, [{"call": "keep"}], task=task))
    assert executor.store.read(digests[0]) == b"whole"
    folder = executor.store.folder
    del executor
    task.contexts.clear()
    assert not folder.exists()


def test_a_run_under_way_keeps_the_posture_from_being_restored(tmp_path: Path) -> None:
    kernel = armed()
    refusals: list[str] = []

    def restore(_: TaskContext) -> None:
        kernel.escalate("DEGRADED", "noise")
        try:
            kernel.restore(who="the step", why="to go on")
        except GateRefusedError as refusal:
            refusals.append(str(refusal))

    task = Note(hooks={"restore": restore})
    with pytest.raises(ArtemisEscalationError):
        run(make_plan(tmp_path, [{"call": "restore"}], task=task), task, kernel)
    assert "during a run" in refusals[0]
    assert kernel.live_mode is LiveMode.DRY_RUN
    kernel.restore(who="Ada", why="it was noise")


@pytest.mark.parametrize("error", [SigningError("a decision cannot be read"), OSError("gone"), ValueError("odd")])
def test_a_check_that_cannot_be_made_stops_the_run_and_keeps_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def check(_: object, *__: object) -> None:
        raise error

    task = Note(hooks={"break": lambda _: monkeypatch.setattr(LiveModeGate, "check", check)})
    with pytest.raises(StepFailedError, match="was not begun") as caught:
        run(make_plan(tmp_path, [{"call": "break"}, {"text": "two"}], task=task), task)
    assert notes(tmp_path) == [""]
    record = caught.value.execution_record
    assert record is not None
    assert (record.status, bool(record.verify())) == (ExecutionStatus.FAILED, True)
    assert str(error) in record.completion_reason


def test_what_a_function_raises_is_recorded_with_its_type_and_where(tmp_path: Path) -> None:
    def explode(_: object) -> None:
        raise KeyError("x")

    with pytest.raises(StepFailedError) as caught:
        ApprovalExecutor(None, explode).execute(handoff_plan("a"))
    assert str(caught.value) == "'x'"  # the handoff's own word for it
    assert caught.value.execution_record is not None
    failed = caught.value.execution_record.step_events[-1]
    assert (failed.error_message, failed.details["error_type"]) == ("'x'", "KeyError")
    assert "in explode" in failed.details["traceback"]


def test_an_error_without_words_fails_its_step() -> None:
    class Mute(Exception):  # noqa: N818 - somebody's
        def __str__(self) -> str:
            raise ValueError("no words")

    def explode(_: object) -> None:
        raise Mute

    with pytest.raises(StepFailedError, match="Mute"):
        ApprovalExecutor(None, explode).execute(handoff_plan("a"))


def test_a_posture_that_only_the_check_sees_to_be_worse_is_an_escalation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = armed()
    real = LiveModeGate.check

    def check(self: LiveModeGate, mode: LiveMode) -> None:
        if notes(tmp_path):  # between the look at the posture and this check
            kernel.escalate("DEGRADED", "meanwhile")
            raise GateRefusedError("the posture is worse")
        real(self, mode)

    monkeypatch.setattr(LiveModeGate, "check", check)
    task = Note()
    with pytest.raises(ArtemisEscalationError) as caught:
        run(make_plan(tmp_path, [{"text": "one"}, {"text": "two"}], task=task), task, kernel)
    assert notes(tmp_path) == ["one"]
    record = caught.value.execution_record
    assert record is not None
    assert record.status is ExecutionStatus.INCOMPLETE
    assert [entry.step_index for entry in record.step_events][-1] == 0


@pytest.mark.parametrize("code", [ValueError, SystemExit])
def test_an_error_whose_words_fail_or_are_too_many_keeps_its_place(code: type[BaseException]) -> None:
    class Odd(Exception):  # noqa: N818 - somebody's
        def __str__(self) -> str:
            raise code

    def explode(_: object) -> None:
        raise Odd

    with pytest.raises(StepFailedError, match="Odd") as caught:
        ApprovalExecutor(None, explode).execute(handoff_plan("a"))
    record = caught.value.execution_record
    assert record is not None
    assert record.status is ExecutionStatus.FAILED

    def shout(_: object) -> None:
        raise ValueError("x" * 100_000)

    with pytest.raises(StepFailedError) as caught:
        ApprovalExecutor(None, shout).execute(handoff_plan("a"))
    assert caught.value.execution_record is not None
    assert "in shout" in caught.value.execution_record.step_events[-1].details["traceback"]
