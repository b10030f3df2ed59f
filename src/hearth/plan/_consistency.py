"""Whether a plan's parts are still what its digest was taken of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hearth.errors import PlanChangedError, PlanError
from hearth.plan._digest import plan_digest
from hearth.plan._inputs import input_name
from hearth.plan._load import parts_of
from hearth.record import canonical_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hearth.plan._model import Plan, Step
    from hearth.plan._ports import TaskSpec

__all__ = ["check_consistent"]


def check_consistent(plan: Plan, tasks: Mapping[str, TaskSpec]) -> None:
    """Take the digest anew and build the steps again from the document; PlanChangedError where either is another.

    A `Plan` is a value that code can copy with other steps: what is approved and recorded is the digest, so what runs
    must follow from what it covers. A task of which the plan needs another version changes the digest as well.
    """
    used = sorted({name for step in plan.steps for name in (step.task_type, *(step.undo or ()))})
    unknown = [name for name in used if name not in tasks]
    if unknown:
        raise PlanError(
            f"plan {plan.id}: there is no task {unknown[0]} to run it; there are {', '.join(sorted(tasks)) or 'none'}"
        )
    digest = plan_digest(plan.document, plan.inputs, {name: tasks[name].version for name in used})
    if digest != plan.digest:
        raise PlanChangedError(
            f"plan {plan.id}: what it says has the digest {digest}, not {plan.digest}: it was changed after it was "
            "loaded, or a task has another version now; load it again and have it approved as it is"
        )
    try:
        wanted = parts_of(plan, tasks)
    except (PlanError, LookupError, TypeError, ValueError, AttributeError):
        wanted = {}
    exact = [_exact(step) for step in wanted.get("steps", ())]
    if exact != [_exact(step) for step in plan.steps]:  # in Python, 1, 1.0 and True are equal
        wanted.pop("steps", None)
    for name in ("id", "steps", "cwd", "env", "concurrency", "disclosable", "variables"):
        if name not in wanted or wanted[name] != getattr(plan, name):
            raise PlanChangedError(
                f"plan {plan.id}: its {name} do not follow from the document that its digest covers: the plan was "
                "changed after it was loaded; load it again"
            )
    for name in plan.document.get("inputs", ()):
        if input_name(name, plan.folder) not in (*plan.inputs, *plan.input_folders):
            raise PlanChangedError(f"plan {plan.id}: {name} is no input of it any more; load it again")


def _exact(step: Step) -> bytes:
    return canonical_bytes([step.params, step.env, step.undo, step.timeout])
