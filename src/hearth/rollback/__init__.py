"""How to take an execution back: `RollbackPlanner` makes a `RollbackScaffold` from a record and the plan's hints.

Nothing here runs anything; a scaffold is guidance for a person (docs/EXECUTION_OBSERVABILITY_SPEC.md).
"""

from __future__ import annotations

from hearth.plan import RollbackHint
from hearth.rollback._planner import RollbackPlanner
from hearth.rollback._scaffold import RollbackScaffold
from hearth.rollback._steps import ExecutedStep, StepOutcome, earlier_content

__all__ = ["ExecutedStep", "RollbackHint", "RollbackPlanner", "RollbackScaffold", "StepOutcome", "earlier_content"]
