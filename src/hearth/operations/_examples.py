"""Six small examples of recording, each a function that a reader can copy; it yields what there is to learn from it.

The names come from `hearth` here; `artemis.execution_observability`, `core.kernel` and `stage4.approval_executor` give
the same ones. `run_observability_examples.py` runs them.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from hearth.errors import ArtemisEscalationError, StepFailedError
from hearth.execution import ApprovalExecutor
from hearth.kernel import HearthKernel
from hearth.record import ExecutionStatus, SideEffectCategory
from hearth.recorder import ExecutionObserver
from hearth.rollback import RollbackHint, RollbackPlanner
from hearth.security import SecurityState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hearth.record import ExecutionRecord

__all__ = ["EXAMPLES", "Example"]


@dataclass(frozen=True, slots=True)
class Example:
    """One example: `run` yields lines for a reader, and raises when something is not as the lines say."""

    name: str
    run: Callable[[], Iterator[str]]


def basic_record() -> Iterator[str]:
    """Record two steps by hand, and look at what is kept."""
    observer = ExecutionObserver("restart-2025-09-30", "restart-web", HearthKernel())
    with observer.step(0, "Stop the server") as step:
        step.details["pid"] = 4711
    with observer.step(1, "Start the server") as step:
        step.details["pid"] = 4712
    observer.mark_completed("restarted")

    record = observer.get_execution_record("DRY_RUN")
    yield f"{record.execution_id} is {record.status} after {len(record.step_events)} step events"
    for entry in record.entries:
        yield f"  {entry.sequence}  {entry.event_type:<18} {entry.step_name or '':<17} {entry.event_hash[:12]}…"
    yield "Each entry names the hash of the one before: nothing can be changed, added or taken out unseen."
    yield f"Verdict: {record.verify()}"
    _expect(record.verify().ok and record.status is ExecutionStatus.COMPLETED)


def failed_execution() -> Iterator[str]:
    """Let Stage 4 run a plan whose second step fails."""

    def execute_step(step: Any) -> object:  # noqa: ANN401 - any object with index and name
        if step.index == 1:
            return SimpleNamespace(failed=True, error="row 17 has no e-mail address", details={}, side_effects=[])
        return None

    plan = _plan("import-users", "Back up", "Import", "Report")
    record = _failed(lambda: ApprovalExecutor(execute_step=execute_step).execute(plan))
    yield f"execute() raised StepFailedError; its record is {record.status}, cause {record.cause}"
    for event in record.step_events:
        yield f"  step {event.step_index} {event.event_type}" + (
            f": {event.error_message}" if event.error_message else ""
        )
    yield "Step 2 never began, and nothing is retried. The record is sealed all the same."
    _expect(record.status is ExecutionStatus.FAILED and bool(record.verify()))


def side_effects() -> Iterator[str]:
    """Record what steps changed, and whether that can be undone."""
    observer = ExecutionObserver("deploy-2025-09-30", "deploy")
    with observer.step(0, "Write the configuration") as step:
        step.effect(SideEffectCategory.CONFIGURATION, "/etc/app.ini replaced", reversible=True, details={"bytes": 812})
    with observer.step(1, "Tell the customers") as step:
        step.effect(SideEffectCategory.NETWORK, "4 812 e-mails sent")
    observer.mark_completed()

    report = observer.get_execution_record("DRY_RUN").side_effects_report
    for effect in report.side_effects_observed:
        can = "can be undone" if effect.reversible else "cannot be undone"
        yield f"  step {effect.step_index}: {effect.category}: {effect.description} ({can}, {effect.origin})"
    yield f"Unknown effects: {report.unknown_effects}, because {report.unknown_effects_why[0]['why']}."
    _expect([effect.reversible for effect in report.side_effects_observed] == [True, False])


def escalation() -> Iterator[str]:
    """Let the security state become worse during a run."""
    kernel = HearthKernel()

    def execute_step(step: Any) -> None:  # noqa: ANN401 - as above
        if step.index == 0:
            kernel.escalate(SecurityState.COMPROMISED, "a detector saw an unknown login")

    plan = _plan("rotate-keys", "Make new keys", "Distribute them")
    try:
        ApprovalExecutor(kernel, execute_step).execute(plan)
    except ArtemisEscalationError as error:
        yield f"execute() raised: {error}"
        record = error.execution_record
    else:
        record = None
    if record is None or record.security_snapshot_post is None:
        raise AssertionError("the run was not stopped")
    before, after = record.security_snapshot_pre, record.security_snapshot_post
    yield f"{record.status}, cause {record.cause}: {before.security_state} before, {after.security_state} after"
    yield f"  steps that began: {', '.join(sorted({str(event.step_name) for event in record.step_events}))}"
    yield "The next step did not begin. Whoever reads the record sees how far it came, and why no further."
    _expect(record.status is ExecutionStatus.INCOMPLETE)


def rollback_scaffold() -> Iterator[str]:
    """Make guidance for taking a failed run back."""
    observer = ExecutionObserver("migrate-2025-09-30", "migrate")
    with observer.step(0, "Back up") as step:
        step.effect(SideEffectCategory.FILE_SYSTEM, "backup.db written", reversible=True)
    with observer.step(1, "Migrate") as step:
        step.effect(SideEffectCategory.DATA_MUTATION, "3 tables altered")
    observer.record_step_started(2, "Check")
    observer.record_step_failed(2, "Check", "2 rows are missing")
    observer.mark_failed("2 rows are missing")
    record = observer.get_execution_record("DRY_RUN")

    hints = (
        RollbackHint(0, "Remove the backup, when all is well again", actions=("rm backup.db",)),
        RollbackHint(
            1, "Put the backup in the database's place", actions=("cp backup.db app.db",), risks=("Stop writers first",)
        ),
    )
    scaffold = RollbackPlanner.plan_rollback(record, hints)
    yield from scaffold.to_summary().splitlines()
    _expect([hint.step_index for hint in scaffold.rollback_hints] == [1, 0])


def summary() -> Iterator[str]:
    """Look at several records at once."""
    records = []
    for name, mark in (
        ("nightly-1", "mark_completed"),
        ("nightly-2", "mark_failed"),
        ("nightly-3", "mark_incomplete_security_escalation"),
    ):
        observer = ExecutionObserver(name, "nightly", HearthKernel())
        with observer.step(0, "Clean up") as step:
            step.effect(SideEffectCategory.FILE_SYSTEM, "old files removed")
        getattr(observer, mark)("for the example")
        records.append(observer.get_execution_record("DRY_RUN"))
    for record in records:
        effects = len(record.side_effects_report.side_effects_observed)
        holds = "verified" if record.verify() else "NOT VERIFIED"
        yield f"  {record.execution_id:<10} {record.status:<11} cause {record.cause:<11} {effects} effect  {holds}"
    verified = sum(bool(record.verify()) for record in records)
    yield f"{len(records)} records, {verified} verified; to_dict() gives each as JSON."
    _expect([str(record.status) for record in records] == ["completed", "failed", "incomplete"])


EXAMPLES = (
    Example("basic record", basic_record),
    Example("failed execution", failed_execution),
    Example("side effects", side_effects),
    Example("escalation", escalation),
    Example("rollback scaffold", rollback_scaffold),
    Example("summary", summary),
)


def _plan(plan_id: str, *names: str) -> SimpleNamespace:
    """Return a plan in the handoff's style: any object with `id` and `steps`."""
    steps = [SimpleNamespace(index=index, name=name, task_type="example") for index, name in enumerate(names)]
    return SimpleNamespace(id=plan_id, steps=steps)


def _failed(run: Callable[[], object]) -> ExecutionRecord:
    """Return the record of a run that must fail."""
    try:
        run()
    except StepFailedError as error:
        if error.execution_record is not None:
            return error.execution_record
    raise AssertionError("the run did not fail with a record")


def _expect(as_told: bool) -> None:
    if not as_told:
        raise AssertionError("this example did not come out as its lines say")
