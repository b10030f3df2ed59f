"""What a run would do, for the person who is to confirm it."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hearth.plan import Secrets, load_tasks
from hearth.record import thaw

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hearth.plan import DeclaredEffect, Plan, RollbackHint, TaskSpec

__all__ = ["Preview", "StepPreview", "plan_warnings", "preview_plan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPreview:
    """One step: the task's own line on it (`summary`), all of its parameters, what it declares and acts on.

    Without effects, `declares` tells a step that says it has none from one that says nothing about them.
    """

    index: int
    name: str
    task_type: str
    summary: str
    params: Any
    effects: tuple[DeclaredEffect, ...]
    declares: bool
    targets: tuple[str, ...]
    timeout: float | None
    env: dict[str, Any]
    rollback: RollbackHint | None
    undo: dict[str, Any] | None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "index": self.index,
            "name": self.name,
            "task_type": self.task_type,
            "summary": self.summary,
            "params": self.params,
            "effects": [effect.to_dict() for effect in self.effects],
            "targets": list(self.targets),
            "timeout": self.timeout,
            "env": self.env,
            "rollback": None if self.rollback is None else self.rollback.to_dict(),
            "undo": self.undo,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A plan as it would run here: nothing is shortened, secrets are references, inputs have their SHA-256."""

    plan_id: str
    description: str
    digest: str
    folder: str
    cwd: str
    host: str
    steps: tuple[StepPreview, ...]
    inputs: dict[str, str]
    secrets: tuple[str, ...]
    variables: dict[str, Any]
    env: dict[str, Any]
    concurrency: int

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "plan_id": self.plan_id,
            "description": self.description,
            "digest": self.digest,
            "folder": self.folder,
            "cwd": self.cwd,
            "host": self.host,
            "variables": self.variables,
            "env": self.env,
            "concurrency": self.concurrency,
            "inputs": self.inputs,
            "secrets": list(self.secrets),
            "steps": [step.to_dict() for step in self.steps],
        }


def preview_plan(plan: Plan, tasks: Mapping[str, TaskSpec] | None = None) -> Preview:
    """Return what a run of the plan would do, without doing any of it."""
    known = load_tasks() if tasks is None else tasks
    return Preview(
        plan_id=plan.id,
        description=plan.description,
        digest=plan.digest,
        folder=str(plan.folder),
        cwd=str(plan.cwd),
        host=platform.node(),
        steps=tuple(
            StepPreview(
                index=step.index,
                name=step.name,
                task_type=step.task_type,
                summary=known[step.task_type].summary(step.params),
                params=thaw(step.params),
                effects=step.effects,
                declares=plan.document["steps"][step.index].get("effects") is not None,
                targets=tuple(known[step.task_type].targets(step.params)),
                timeout=step.timeout,
                env=thaw(step.env),
                rollback=step.rollback,
                undo=None if step.undo is None else thaw(step.undo),
            )
            for step in plan.steps
        ),
        inputs=dict(plan.inputs),
        secrets=Secrets.references(plan.document),
        variables=dict(plan.variables),
        env=thaw(plan.env),
        concurrency=plan.concurrency,
    )


def plan_warnings(plan: Plan, tasks: Mapping[str, TaskSpec] | None = None) -> list[str]:
    """Return what is no error of the plan, but would keep it from running here as it is, and secrets in clear."""
    known = load_tasks() if tasks is None else tasks
    warnings = list(plan.warnings)
    if not plan.cwd.is_dir():
        warnings.append(f"cwd: {plan.cwd} is not a folder here; a run would be refused")
    for step in plan.steps:
        doubt = getattr(known[step.task_type], "doubt", None)
        said = "" if doubt is None else str(doubt(step.params))
        if said:
            warnings.append(f"steps[{step.index}] ({step.name}): {said}")
    return warnings
