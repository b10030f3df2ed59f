"""What is checked before a run begins; whatever is refused here has left nothing behind."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hearth.errors import GateRefusedError, PlanError, TaskError
from hearth.execution._steps import reveal
from hearth.execution._task import Task
from hearth.security import LiveMode, PostureReading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from hearth.execution._inputs import PlanGuard
    from hearth.plan import Plan, Step
    from hearth.security import Policy

__all__ = ["check_called_plan", "check_plan", "check_states", "prepare_tasks"]


def check_states(policy: Policy, kernel: object, mode: LiveMode, steps: Iterable[Any]) -> None:
    """Raise GateRefusedError where the policy's rules for the present states forbid the mode or a step's task.

    A kernel's own states, of unknown severity, have no rules; without rules nothing is asked.
    """
    posture = PostureReading.of(kernel).known if policy.states.rules else None
    if posture is not None:
        policy.states.check(posture, mode)
        for step in steps:
            policy.states.check(posture, mode, getattr(step, "task_type", None))


def check_called_plan(plan: Any, mode: LiveMode) -> tuple[Any, ...]:  # noqa: ANN401 - any object with id and steps
    """Return the steps of a plan that a caller's function does; GateRefusedError in LIVE."""
    if mode is LiveMode.LIVE:
        raise GateRefusedError(
            f"the plan {plan.id} is done by execute_step=, which acts without tasks or approval, so it does not run in "
            "LIVE; write it as a plan with tasks, or arm STAGING"
        )
    return tuple(plan.steps)


def check_plan(
    plan: Plan,
    mode: LiveMode,
    *,
    tasks: Mapping[str, Task],
    policy: Policy,
    register: Callable[[str], None],
    guard: PlanGuard | None = None,
) -> dict[int, str]:
    """Check a plan whose steps are tasks, and return a line on each, by its index.

    Every secret that the plan names goes to `register`. All of them must be there at the start, in every mode: what
    is known is kept out of the record from the first entry on, and a run does not stop half-way for want of one.
    Raises PlanError, TaskError, and in STAGING GateRefusedError for a target that the policy does
    not list; a `guard` asks the policy again before each step, for links may lead elsewhere by then.
    """
    for step in plan.steps:
        if not isinstance(tasks.get(step.task_type), Task):
            raise PlanError(
                f"plan {plan.id}: steps[{step.index}] ({step.name}): there is no task {step.task_type} to run it; "
                f"there are {', '.join(sorted(tasks)) or 'none'}"
            )
    if not plan.cwd.is_dir():
        raise PlanError(f"plan {plan.id}: cwd: {plan.cwd} is not a folder; make it, or correct the plan")
    if mode is LiveMode.STAGING:

        def in_the_policy(step: Step) -> None:
            policy.check_staging(_targets(plan, step, tasks))

        for step in plan.steps:
            in_the_policy(step)
        if guard is not None:
            guard.also(in_the_policy)
    summaries = {step.index: tasks[step.task_type].summary(step.params) for step in plan.steps}
    for step in plan.steps:
        reveal(plan, step, register)
    return summaries


def prepare_tasks(plan: Plan, tasks: Mapping[str, Task]) -> None:
    """Let the plan's tasks begin what takes them a while, so that the first step need not wait for it."""
    for name in dict.fromkeys(step.task_type for step in plan.steps):
        prepare = getattr(tasks[name], "prepare", None)
        if prepare is not None:
            prepare()


def _targets(plan: Plan, step: Step, tasks: Mapping[str, Task]) -> Iterator[tuple[str, str]]:
    """Yield what a step acts on, as the policy names it: real paths, so that a pattern means what is really changed."""
    where = f"step {step.index} ({step.name})"
    cwd = Path(os.path.realpath(plan.cwd))
    task = tasks[step.task_type]
    locate = getattr(task, "acts_on", None)  # a task that can say more than its parameters do
    try:
        targets = task.targets(step.params) if locate is None else locate(step.params, cwd)
    except TaskError as error:
        raise GateRefusedError(f"{where} does not run in STAGING: {error}") from error
    if not targets:
        raise GateRefusedError(f"{where} does not say what it acts on, so it does not run in STAGING")
    for target in targets:
        yield where, f"host:{socket.gethostname()}:{cwd}" if target == "host" else target
