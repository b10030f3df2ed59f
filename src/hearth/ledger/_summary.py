"""One line about an execution, as lists show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hearth.record import format_time

if TYPE_CHECKING:
    from datetime import datetime

    from hearth.record import ExecutionStatus, SealCause

__all__ = ["ExecutionSummary"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionSummary:
    """What the ledger's index knows about one sealed execution.

    `started` and `ended` are aware UTC datetimes. `steps_completed` counts step_completed entries;
    `steps_total` is the plan's number of steps, None where no plan was known. `effects` counts the recorded
    side effects. The record itself is the truth; this is derived from it.
    """

    execution_id: str
    plan_id: str
    status: ExecutionStatus
    cause: SealCause
    live_mode: str
    started: datetime
    ended: datetime
    steps_completed: int
    steps_total: int | None
    effects: int
    execution_hash: str

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON, times written as everywhere."""
        return {
            "execution_id": self.execution_id,
            "plan_id": self.plan_id,
            "status": self.status.value,
            "cause": self.cause.value,
            "live_mode": self.live_mode,
            "started": format_time(self.started),
            "ended": format_time(self.ended),
            "steps_completed": self.steps_completed,
            "steps_total": self.steps_total,
            "effects": self.effects,
            "execution_hash": self.execution_hash,
        }
