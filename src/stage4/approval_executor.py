"""The import path `stage4.approval_executor` of the integration handoff; the code lives in `hearth`."""

from __future__ import annotations

from hearth.errors import ArtemisEscalationError, RunInterruptedError, StepFailedError
from hearth.execution import ApprovalExecutor, PlanResult

__all__ = ["ApprovalExecutor", "ArtemisEscalationError", "PlanResult", "RunInterruptedError", "StepFailedError"]
