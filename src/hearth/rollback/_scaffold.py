"""RollbackScaffold: what a person needs to take an execution back, as data and as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hearth.rollback._summary import summary_of

if TYPE_CHECKING:
    from hearth.plan import RollbackHint
    from hearth.record import ExecutionStatus
    from hearth.rollback._steps import ExecutedStep

__all__ = ["RollbackScaffold"]


@dataclass(frozen=True, slots=True)
class RollbackScaffold:
    """Guidance for taking one execution back. It runs nothing.

    `rollback_hints` are the plan's, verbatim, in the order in which to follow them (the step that ran last comes
    first); none are given where a rollback is not possible or not needed. `irreversible_steps` are the indices
    of steps with a recorded effect that cannot be undone; `manual_steps` those of steps that need a person's own
    judgement: no hint, or an outcome that the record does not tell. Both have the step that ran last first.
    `executed_steps` says more about each of these indices; it, `plan_id` and `status` are not the handoff's.
    """

    execution_id: str
    is_rollback_possible: bool
    reason: str
    rollback_hints: tuple[RollbackHint, ...] = ()
    warnings: tuple[str, ...] = ()
    irreversible_steps: tuple[int, ...] = ()
    manual_steps: tuple[int, ...] = ()
    plan_id: str = ""
    status: ExecutionStatus | None = None
    executed_steps: tuple[ExecutedStep, ...] = ()

    def to_summary(self) -> str:
        """Return plain text, at most 100 characters a line, that an operator can follow step by step."""
        return summary_of(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "execution_id": self.execution_id,
            "plan_id": self.plan_id,
            "status": None if self.status is None else self.status.value,
            "is_rollback_possible": self.is_rollback_possible,
            "reason": self.reason,
            "rollback_hints": [hint.to_dict() for hint in self.rollback_hints],
            "warnings": list(self.warnings),
            "irreversible_steps": list(self.irreversible_steps),
            "manual_steps": list(self.manual_steps),
            "executed_steps": [step.to_dict() for step in self.executed_steps],
        }
