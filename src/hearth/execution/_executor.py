"""Stage 4: ApprovalExecutor runs a plan and keeps its record."""

from __future__ import annotations

import logging
import secrets
import shutil
import threading
import weakref
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hearth.errors import ApprovalRefusedError, LedgerError, PlanError, RecorderError
from hearth.execution._announce import Announcement
from hearth.execution._approval import ApprovalGuard
from hearth.execution._bounded import bounded
from hearth.execution._called_plan import CalledPlan
from hearth.execution._concurrency import plan_slot
from hearth.execution._health import RecorderHealth, require_room
from hearth.execution._inputs import PlanGuard
from hearth.execution._listener import SafeListener
from hearth.execution._preflight import check_called_plan, check_plan, check_states, prepare_tasks
from hearth.execution._results import PlanResult
from hearth.execution._run import Run
from hearth.execution._run_folder import private_folder, run_folder
from hearth.execution._sensors import endings_reported
from hearth.execution._steps import CalledSteps, DrySteps, StepRunner, TaskSteps
from hearth.execution._store import ContentStore
from hearth.execution._watch import RunWatch
from hearth.plan import InputCopies, Plan, check_consistent, load_tasks
from hearth.record import Redactor, utc_now
from hearth.recorder import ExecutionObserver
from hearth.security import LiveMode, LiveModeGate, Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from hearth.execution._listener import RunListener
    from hearth.execution._sandbox_steps import Sandboxing
    from hearth.execution._task import Task
    from hearth.record import ExecutionRecord
    from hearth.recorder import JournalSink

__all__ = ["ApprovalExecutor", "new_execution_id"]

_log = logging.getLogger(__name__)


class ApprovalExecutor:
    """Runs plans, one record each; the same executor may run several, also at the same time.

    `kernel` says posture and live mode (any object with `get_security_state` and `get_boundary_state`; without a
    `live_mode`, or without a kernel, it is DRY_RUN). `execute_step(step)` does the steps of plans in the handoff's
    style, any object with `id` and `steps`; without it a plan is a `hearth.plan.Plan`, whose tasks do them. A `Plan` is
    held to its digest and inputs in either case, so its tasks must be known: installed, or given as `tasks`.
    `journal` makes the journal of an execution id, `store` keeps outputs (else they last as long as this object),
    `runs_folder` takes the private copies of inputs while a run lasts, `locks_folder` counts runs against the plan's
    `concurrency`, `plan_copy` is the SHA-256 (hex) of the copy that is kept of the plan (entry 0 names it), `policy`
    says what STAGING may act on, `approval` is what lets it run (an `ApprovalGuard`, without which nothing runs LIVE on
    a ledger; otherwise it may be a mapping, which entry 0 repeats), `announce` is called with the run's id before the
    first step, `keep` takes each sealed record, with the values that the plan marks as disclosable beside it; results
    and errors carry it without them. With a `sandbox` the tasks of a plan run in sandboxes: a DRY_RUN then previews,
    else what a step did is compared and committed. Without, they run on the host, observed where that can be had
    (`InPlaceSteps`); `in_place` says that this was asked for.
    """

    def __init__(
        self,
        kernel: Any = None,  # noqa: ANN401 - any object with the two states
        execute_step: Callable[[Any], object] | None = None,
        *,
        journal: Callable[[str], JournalSink] | None = None,
        tasks: Mapping[str, Task] | None = None,
        initiator: str | None = None,
        listener: RunListener | None = None,
        store: ContentStore | None = None,
        runs_folder: Path | None = None,
        locks_folder: Path | None = None,
        ledger_id: str | None = None,
        approval: ApprovalGuard | Mapping[str, Any] | None = None,
        plan_copy: str | None = None,
        policy: Policy | None = None,
        keep: Callable[[ExecutionRecord], None] | None = None,
        announce: Callable[[str], object] | None = None,
        sandbox: Sandboxing | None = None,
        in_place: bool = False,
    ) -> None:
        self._sandbox = sandbox
        self._in_place = in_place
        self._kernel = bounded(kernel)
        self._execute_step = execute_step
        self._journal = journal
        self._tasks = tasks
        self._initiator = initiator
        self._listener = listener
        self._store = store
        self._runs_folder = runs_folder
        self._locks_folder = locks_folder
        self._ledger_id = ledger_id
        self._approval = approval
        self._plan_copy = plan_copy
        self._policy = policy or Policy()
        self._keep = keep
        self._announce = announce
        self._lock = threading.Lock()

    @property
    def store(self) -> ContentStore:
        """Where outputs are kept whole; a temporary folder, unless one was given."""
        with self._lock:
            if self._store is None:
                folder = private_folder("hearth-outputs-", None)
                weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
                self._store = ContentStore(folder, durable=False)
            return self._store

    def execute(
        self,
        plan: Any,  # noqa: ANN401 - see the class
        *,
        execution_id: str | None = None,
        mode: LiveMode | None = None,
    ) -> PlanResult:
        """Run `plan` once, in the kernel's live mode, and return its result when every step completed.

        With a `mode` it runs in that one or, where the gate has fallen back from it meanwhile, not at all.
        DRY_RUN acts on nothing: it checks and records. Raises, before anything is recorded, RefusedErrors (gate,
        posture, policy, changed inputs, concurrency), PlanError and TaskError; with the sealed record as
        `execution_record` StepFailedError, ArtemisEscalationError, RunInterruptedError and RecorderUnfitError (no room
        for the journal); another RecorderError when something could not be recorded (the run stopped there, its journal
        is for `hearth recover`); LedgerError when the record of a run that completed could not be stored. After another
        end a failed store is a note of the error raised. SIGINT, SIGTERM and SIGHUP, in the main thread, stop the run;
        the second one without grace.
        """
        plan = self._readable(plan)
        execution_id = _recorded(new_execution_id(str(plan.id)) if execution_id is None else execution_id)
        listener = SafeListener(self._listener)
        with ExitStack() as stack:
            stack.enter_context(endings_reported(self._kernel))  # entered first: what it tells comes after the run
            begin = getattr(self._kernel, "begin_run", None)
            if callable(begin):
                stack.callback(begin())
            watch = stack.enter_context(RunWatch(self._kernel))
            # After the posture: a gate that fell back since then fell with a posture that stops the run.
            gate = LiveModeGate.of(self._kernel)
            mode = gate.passed(mode)
            watch.start.refuse(mode, acts=self._execute_step is not None)
            check_states(self._policy, self._kernel, mode, plan.steps)
            approval = self._approved(plan, mode)
            if self._execute_step is None:
                prepared = self._prepare_tasks(plan, mode, execution_id, watch, listener, stack)
            else:
                prepared = self._prepare_calls(plan, mode, self._execute_step, watch)
            if approval is not None:
                if self._runs_folder is not None:
                    # On the ledger's volume, as the journal: an approval is not used up for a run that has no room.
                    require_room(self._runs_folder.parent, self._policy)
                approval.consume(execution_id)
            journal = None
            if self._journal is not None:
                journal = self._journal(execution_id)
                stack.callback(_close_quietly, journal)
            observer = ExecutionObserver(
                execution_id,
                str(plan.id),
                self._kernel,
                journal=journal,
                plan=plan,
                live_mode=mode,
                initiator=self._initiator,
                approval=self._said_of_approval(approval, gate),
                ledger_id=self._ledger_id,
                plan_copy=self._plan_copy,
                redactor=prepared.redactor,
            )
            listener.tell("run_started", plan, execution_id)
            told = Announcement(execution_id, journal, self._announce).before(prepared.check)
            run = Run(
                prepared.steps,
                prepared.runner,
                observer=observer,
                watch=watch,
                check=RecorderHealth(journal, self._policy).before(told),
                listener=listener,
                completion_reason=prepared.completion_reason,
            )
            ending = run.go()
            record = observer.get_execution_record(mode)
            if journal is not None:
                journal.close()
            unkept = self._give_to_keep(record.with_disclosures(observer.disclosures))
            listener.tell("run_finished", record)
            if ending is not None:
                error = ending(record)
                if unkept is not None:
                    error.add_note(str(unkept))
                raise error
            if unkept is not None:
                raise unkept
            return PlanResult(record.status, run.completed, record)

    def _readable(self, plan: Any) -> Plan | CalledPlan:  # noqa: ANN401 - any object
        if isinstance(plan, Plan):
            return plan
        if self._execute_step is None:
            raise PlanError(
                f"what is to run is of the type {type(plan).__name__}, and no hearth.plan.Plan: load one with "
                "load_plan, or give execute_step= to do its steps"
            )
        return CalledPlan.of(plan)

    def _prepare_calls(
        self,
        plan: Any,  # noqa: ANN401 - any plan
        mode: LiveMode,
        execute_step: Callable[[Any], object],
        watch: RunWatch,
    ) -> _Prepared:
        steps = check_called_plan(plan, mode)
        guard = None
        if isinstance(plan, Plan):
            guard = PlanGuard(plan)
            check_consistent(plan, self._known_tasks())
            plan.verify_inputs()
        watch.start_thread(polls=False)  # a function cannot be cancelled when the posture worsens, only interrupted
        redactor = _redactor_of(plan)
        return _Prepared(steps, CalledSteps(execute_step, watch.signals, redactor), redactor, self._check(mode, guard))

    def _prepare_tasks(
        self,
        plan: Plan,
        mode: LiveMode,
        execution_id: str,
        watch: RunWatch,
        listener: SafeListener,
        stack: ExitStack,
    ) -> _Prepared:
        redactor = _redactor_of(plan)
        tasks = self._known_tasks()
        guard = PlanGuard(plan)
        summaries = check_plan(plan, mode, tasks=tasks, policy=self._policy, register=redactor.add_secret, guard=guard)
        check_consistent(plan, tasks)
        plan.verify_inputs()  # also sees what has appeared in a folder, and would not be copied
        dry = mode is LiveMode.DRY_RUN
        if dry and self._sandbox is None:
            runner = DrySteps(plan, summaries, redactor)
            return _Prepared(plan.steps, runner, redactor, self._check(mode, guard), "dry run: nothing was acted on")
        if self._locks_folder is not None and not dry:
            stack.enter_context(plan_slot(self._locks_folder, plan.id, plan.concurrency, execution_id))
        prepare_tasks(plan, tasks)
        copies = InputCopies.create(plan, stack.enter_context(run_folder(self._runs_folder, execution_id)))
        guard.add_copies(plan, copies)
        watch.start_thread(polls=True)
        acting = TaskSteps(
            plan,
            tasks,
            summaries,
            copies=copies,
            store=self.store,
            redactor=redactor,
            cancellation=watch.cancellation,
            output=lambda step, stream, chunk: listener.tell("output", step, stream, chunk),
        )
        if self._sandbox is None:
            from hearth.execution._in_place_steps import InPlaceSteps

            in_place = InPlaceSteps(plan, acting, self._policy, ignore=(str(copies.folder),), asked=self._in_place)
            return _Prepared(plan.steps, in_place, redactor, self._check(mode, guard))
        from hearth.execution._committed_steps import CommittedSteps
        from hearth.execution._previewed_steps import PreviewedSteps

        ignore = (str(copies.folder),)
        if dry:
            previewed = PreviewedSteps(plan, acting, self._sandbox, listener, ignore=ignore)
            return _Prepared(plan.steps, previewed, redactor, self._check(mode, guard), previewed.reason)
        committed = CommittedSteps(plan, acting, self._sandbox, listener, ignore=ignore, execution_id=execution_id)
        return _Prepared(plan.steps, committed, redactor, self._check(mode, guard))

    def _known_tasks(self) -> Mapping[str, Any]:
        """Return the tasks by name. A plan's digest covers their versions, also where a function does its steps."""
        return load_tasks() if self._tasks is None else self._tasks

    def _check(self, mode: LiveMode, guard: PlanGuard | None) -> Callable[[Any], None]:
        """Return what is checked before every step, besides the posture and signals."""

        def check(step: Any) -> None:  # noqa: ANN401 - one of the plan's
            LiveModeGate.of(self._kernel).check(mode)
            check_states(self._policy, self._kernel, mode, (step,))
            if mode is not LiveMode.DRY_RUN and isinstance(self._approval, ApprovalGuard):
                self._approval.check()
            if guard is not None:
                guard.check(step)

        return check

    def _approved(self, plan: Any, mode: LiveMode) -> ApprovalGuard | None:  # noqa: ANN401 - any plan
        """Return the approval that this run is to use up; ApprovalRefusedError where there is none that holds."""
        if mode is LiveMode.DRY_RUN:
            return None
        if isinstance(self._approval, ApprovalGuard):
            self._approval.begin(plan, mode)
            return self._approval
        if mode is LiveMode.LIVE and self._ledger_id is not None:
            raise ApprovalRefusedError(
                f"a LIVE run of the plan {plan.id} needs a signed approval; ask for one with `hearth request`",
                code="missing",
            )
        return None

    def _said_of_approval(self, approval: ApprovalGuard | None, gate: LiveModeGate) -> Mapping[str, Any] | None:
        if approval is not None:
            return approval.to_dict()
        return (None if isinstance(self._approval, ApprovalGuard) else self._approval) or _armed(gate)

    def _give_to_keep(self, record: ExecutionRecord) -> LedgerError | None:
        """Have the record kept; return what is to be said when that failed."""
        if self._keep is None:
            return None
        try:
            self._keep(record)
        except Exception as error:  # noqa: BLE001 - whatever it is, the record is not where it should be
            unkept = LedgerError(
                f"{record.execution_id} is sealed as {record.status}, but its record could not be stored: {error}; "
                "its journal is kept, `hearth recover` stores it"
            )
            unkept.__cause__ = error
            _log.error("%s", unkept)
            return unkept
        return None


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What a run needs, once it may begin."""

    steps: tuple[Any, ...]
    runner: StepRunner
    redactor: Redactor
    check: Callable[[Any], None]
    completion_reason: str = ""


def new_execution_id(plan_id: str) -> str:
    """Return a fresh id, `<plan>-YYYYMMDDTHHMMSSZ-<8 hex digits>` (UTC)."""
    return f"{plan_id}-{utc_now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


def _recorded(execution_id: str) -> str:
    """Return an id as the record has it; from here on it is that of the journal's name too."""
    if not isinstance(execution_id, str):
        return execution_id  # which the observer refuses
    return execution_id.encode("utf-8", "backslashreplace").decode()


def _armed(gate: LiveModeGate) -> dict[str, str] | None:
    """Return who armed the gate for LIVE, and why, as what entry 0 says where no approval was given."""
    if gate.mode is not LiveMode.LIVE or not gate.who:
        return None
    return {"kind": "armed", "by": gate.who, "reason": gate.why}


def _redactor_of(plan: Any) -> Redactor:  # noqa: ANN401 - any plan
    """Return a redactor that knows what the plan says of its secrets, those in its variables by their names."""
    if not isinstance(plan, Plan):
        return Redactor()
    redactor = Redactor(disclosable=plan.disclosable)
    for value in plan.secret_variables(redactor.telling):
        redactor.add_secret(value)
    return redactor


def _close_quietly(journal: JournalSink) -> None:
    """Let go of a journal after an error that says more than this one could."""
    try:
        journal.close()
    except RecorderError as error:
        _log.warning("%s", error)
