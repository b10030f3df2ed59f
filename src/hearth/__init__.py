"""HEARTH runs approved plans on live systems and keeps the flight recorder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hearth._lazy import lazy_names
from hearth._version import __version__

if TYPE_CHECKING:
    from hearth.errors import ArtemisEscalationError, HearthError
    from hearth.execution import ApprovalExecutor, PlanResult
    from hearth.kernel import HearthKernel
    from hearth.plan import Plan, RollbackHint, load_plan
    from hearth.record import (
        ExecutionRecord,
        ExecutionStatus,
        Secret,
        SecuritySnapshot,
        SideEffect,
        SideEffectCategory,
        SideEffectReport,
        StepEvent,
        StepEventType,
        Verdict,
    )
    from hearth.recorder import ExecutionObserver, Journal, recover_journal
    from hearth.rollback import RollbackPlanner, RollbackScaffold

__all__ = [
    "ApprovalExecutor",
    "ArtemisEscalationError",
    "ExecutionObserver",
    "ExecutionRecord",
    "ExecutionStatus",
    "HearthError",
    "HearthKernel",
    "Journal",
    "Plan",
    "PlanResult",
    "RollbackHint",
    "RollbackPlanner",
    "RollbackScaffold",
    "Secret",
    "SecuritySnapshot",
    "SideEffect",
    "SideEffectCategory",
    "SideEffectReport",
    "StepEvent",
    "StepEventType",
    "Verdict",
    "__version__",
    "load_plan",
    "recover_journal",
]

_NAMES = {
    **dict.fromkeys(("ArtemisEscalationError", "HearthError"), "errors"),
    **dict.fromkeys(("ApprovalExecutor", "PlanResult"), "execution"),
    "HearthKernel": "kernel",
    **dict.fromkeys(("Plan", "RollbackHint", "load_plan"), "plan"),
    **dict.fromkeys(
        (
            "ExecutionRecord",
            "ExecutionStatus",
            "Secret",
            "SecuritySnapshot",
            "SideEffect",
            "SideEffectCategory",
            "SideEffectReport",
            "StepEvent",
            "StepEventType",
            "Verdict",
        ),
        "record",
    ),
    **dict.fromkeys(("ExecutionObserver", "Journal", "recover_journal"), "recorder"),
    **dict.fromkeys(("RollbackPlanner", "RollbackScaffold"), "rollback"),
}
__getattr__, __dir__ = lazy_names(__name__, _NAMES)
