"""The handoff's names for recording an execution and planning its rollback; the code lives in `hearth`."""

from __future__ import annotations

from hearth.record import (
    ExecutionRecord,
    ExecutionStatus,
    SecuritySnapshot,
    SideEffect,
    SideEffectCategory,
    SideEffectReport,
    StepEvent,
    StepEventType,
)
from hearth.recorder import ExecutionObserver
from hearth.rollback import RollbackHint, RollbackPlanner, RollbackScaffold

__all__ = [
    "ExecutionObserver",
    "ExecutionRecord",
    "ExecutionStatus",
    "RollbackHint",
    "RollbackPlanner",
    "RollbackScaffold",
    "SecuritySnapshot",
    "SideEffect",
    "SideEffectCategory",
    "SideEffectReport",
    "StepEvent",
    "StepEventType",
]
