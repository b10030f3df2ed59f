"""How a step is carried out: by a caller's function, by a task, or (DRY_RUN) not at all."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any, Protocol

from hearth.errors import ArtemisEscalationError, TaskError
from hearth.execution._environment import scrubbed_environment
from hearth.execution._results import StepOutcome, read_effect, read_outcome
from hearth.execution._task import TaskContext
from hearth.plan import Secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hearth.execution._cancellation import Cancellation
    from hearth.execution._leader import Command, Leader
    from hearth.execution._results import ObservedEffect
    from hearth.execution._signals import SignalGuard
    from hearth.execution._store import ContentStore
    from hearth.execution._task import Task
    from hearth.observe import RowChanges
    from hearth.plan import InputCopies, Plan, Step
    from hearth.record import Redactor

__all__ = ["CalledSteps", "DrySteps", "StepRunner", "TaskSteps", "reveal"]

_LONGEST_TRACEBACK = 4000


class StepRunner(Protocol):
    """Carries out one step after its intent was recorded."""

    def describe(self, step: Any) -> dict[str, Any]:  # noqa: ANN401 - any object with index and name
        """Return the details of the step's start; acts on nothing."""

    def perform(self, step: Any, report: Callable[[ObservedEffect], None]) -> StepOutcome:  # noqa: ANN401 - as above
        """Do it, once. Raises ArtemisEscalationError, and what is no Exception; all else is a failed outcome.

        `report` records an effect at once; the outcome has those only that were not reported there.
        """

    def unseen(self, step: Any) -> str | None:  # noqa: ANN401 - as above
        """Return why a step that was begun may have had effects nobody saw; "": it had none, None: nothing is known."""


class CalledSteps:
    """Steps of a plan in the handoff's style: a caller's function does them, in DRY_RUN too."""

    def __init__(self, execute_step: Callable[[Any], object], signals: SignalGuard, redactor: Redactor) -> None:
        self._execute_step = execute_step
        self._signals = signals
        self._redactor = redactor

    def describe(self, step: Any) -> dict[str, Any]:  # noqa: ANN401 - any object
        """Return the step's task type, where it has one."""
        kind = getattr(step, "task_type", None)
        return {} if kind is None else {"task_type": kind}

    def perform(self, step: Any, report: Callable[[ObservedEffect], None]) -> StepOutcome:  # noqa: ANN401, ARG002
        """Call the function; what it raises is the step's error. Its effects come with its result."""
        self._signals.raising = True
        try:
            return read_outcome(self._execute_step(step))
        except ArtemisEscalationError:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it raises, the step has failed
            return StepOutcome.failure(_said(error) or type(error).__name__, _told_of(error, self._redactor))
        finally:
            self._signals.raising = False

    def unseen(self, step: Any) -> None:  # noqa: ANN401 - any object
        """Return None: what a function does, nobody knows."""


class DrySteps:
    """Steps of a plan in DRY_RUN: what can be checked without acting is checked."""

    def __init__(self, plan: Plan, summaries: Mapping[int, str], redactor: Redactor) -> None:
        self._plan = plan
        self._summaries = summaries
        self._redactor = redactor

    def describe(self, step: Step) -> dict[str, Any]:
        """Return the task and what it would do."""
        return {"task_type": step.task_type, "summary": self._summaries[step.index]}

    def perform(self, step: Step, report: Callable[[ObservedEffect], None]) -> StepOutcome:  # noqa: ARG002 - it has none
        """Check that every secret can be had; act on nothing."""
        try:
            reveal(self._plan, step, self._redactor.add_secret)
        except TaskError as error:
            return StepOutcome.failure(str(error), {"dry_run": True})
        return StepOutcome(details={"dry_run": True, "summary": self._summaries[step.index]})

    def unseen(self, step: Step) -> str:  # noqa: ARG002 - nothing was acted on, in any step
        """Return "": a step that does not act has no effects."""
        return ""


class TaskSteps:
    """Steps of a plan in STAGING and LIVE: tasks do them, on private copies of the inputs."""

    def __init__(
        self,
        plan: Plan,
        tasks: Mapping[str, Task],
        summaries: Mapping[int, str],
        *,
        copies: InputCopies,
        store: ContentStore,
        redactor: Redactor,
        cancellation: Cancellation,
        output: Callable[[Step, str, bytes], None],
    ) -> None:
        self._plan = plan
        self._tasks = tasks
        self._summaries = summaries
        self._copies = copies
        self._store = store
        self._redactor = redactor
        self._cancellation = cancellation
        self._output = output
        self._raised: dict[int, str] = {}

    def describe(self, step: Step) -> dict[str, Any]:
        """Return the task and what it will do."""
        return {"task_type": step.task_type, "summary": self._summaries[step.index]}

    def task(self, step: Step) -> Task:
        """Return the task of a step."""
        return self._tasks[step.task_type]

    @property
    def cancellation(self) -> Cancellation:
        """What says that the run is to stop."""
        return self._cancellation

    @property
    def store(self) -> ContentStore:
        """Where outputs and earlier contents are kept."""
        return self._store

    @property
    def redactor(self) -> Redactor:
        """What knows the plan's secrets, those of steps from their start on."""
        return self._redactor

    def perform(
        self,
        step: Step,
        report: Callable[[ObservedEffect], None],
        *,
        start: Callable[[Command, Callable[[], None]], Leader] | None = None,
        run: Callable[[Any, TaskContext], object] | None = None,
        before_commit: Callable[[tuple[RowChanges, ...], tuple[str, ...]], None] | None = None,
        in_place: bool = False,
    ) -> StepOutcome:
        """Run the task; one that raises, against its contract, has failed.

        In a sandbox `start` starts the task's commands there, or `run` has the whole task carried out there.
        `before_commit` and `in_place` are the context's.
        """
        try:
            params, plan_env, step_env = reveal(self._plan, step, self._redactor.add_secret)
            context = TaskContext(
                step=step,
                cwd=self._plan.cwd,
                env=scrubbed_environment(plan_env, step_env, self._copies),
                inputs=self._copies,
                timeout=step.timeout,
                cancellation=self._cancellation,
                output=lambda stream, chunk: self._output(step, stream, chunk),
                report=lambda effect: report(read_effect(effect)),
                store=self._store,
                redactor=self._redactor,
                folder=self._plan.folder,
                start=start,
                before_commit=before_commit,
                in_place=in_place,
            )
            return read_outcome((run or self._tasks[step.task_type].run)(params, context))
        except ArtemisEscalationError:
            raise
        except TaskError as error:
            return StepOutcome.failure(str(error))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a task of somebody else's may raise anything
            self._raised[step.index] = f"the task raised {type(error).__name__}; what it did before is not known"
            return StepOutcome.failure(f"{type(error).__name__}: {_said(error)}", _told_of(error, self._redactor))

    def raised(self, step: Step) -> str:
        """Return what is unknown of a step whose task raised, against its contract; "" where it did not."""
        return self._raised.get(step.index, "")

    def unseen(self, step: Step) -> str:
        """Return what the task says that it cannot see; one that does not say may have done anything."""
        if step.index in self._raised:
            return self._raised[step.index]
        say = getattr(self._tasks[step.task_type], "unseen", None)
        if say is None:
            return f"the task {step.task_type} does not say what it cannot see of its own effects"
        try:
            return str(say(step.params))
        except Exception as error:  # noqa: BLE001 - a task of somebody else's may raise anything
            return f"the task {step.task_type} cannot say what it cannot see: {type(error).__name__}"


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except (Exception, SystemExit):  # noqa: BLE001 - an exception of somebody else's
        return ""


def _told_of(error: BaseException, redactor: Redactor) -> dict[str, str]:
    """Return an exception's type and traceback as details of the step that failed."""
    try:
        lines = "".join(traceback.format_exception(error))
    except (Exception, SystemExit):  # noqa: BLE001 - as above
        lines = ""
    # Cut after secrets are out: half of one would not be found any more. Both ends: a message may be long.
    lines = redactor.text(lines)
    if len(lines) > _LONGEST_TRACEBACK:
        half = _LONGEST_TRACEBACK // 2
        lines = f"{lines[:half]}\n… ({len(lines)} characters) …\n{lines[-half:]}"
    return {"error_type": type(error).__qualname__, "traceback": lines}


def reveal(plan: Plan, step: Step, register: Callable[[str], None]) -> tuple[Any, Mapping[str, str], Mapping[str, str]]:
    """Return the step's parameters and the two environments with their secrets; each goes to `register` first.

    TaskError names a secret that cannot be had.
    """
    params, plan_env, step_env = (
        Secrets.resolve(value, folder=plan.folder, register=register) for value in (step.params, plan.env, step.env)
    )
    return params, plan_env, step_env
