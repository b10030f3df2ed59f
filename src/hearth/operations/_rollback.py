"""The rollback scaffold of an execution, with the hints of the plan that was run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hearth.errors import LedgerError, RollbackHintError
from hearth.operations._plans import PlanArchive
from hearth.operations._verify import UNSEALED, verify_found
from hearth.rollback import RollbackPlanner

if TYPE_CHECKING:
    from hearth.operations._find import Found, Records
    from hearth.record import Verdict
    from hearth.rollback import RollbackScaffold

__all__ = ["RollbackReport", "plan_rollback"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackReport:
    """The scaffold, whether the record that it is made from holds, and what is wrong with the kept plan ("": nothing).

    Where something is wrong with either, the scaffold has no hints.
    """

    scaffold: RollbackScaffold
    verdict: Verdict
    plan_problem: str = ""

    @property
    def holds(self) -> bool:
        """Whether the record holds as far as it is written, and its plan is the one that was kept."""
        return (self.verdict.ok or self.verdict.why == UNSEALED) and not self.plan_problem

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form: the scaffold's, the record's verdict, and what is wrong with the kept plan, or null."""
        return {
            **self.scaffold.to_dict(),
            "verdict": self.verdict.to_dict(),
            "plan_problem": self.plan_problem or None,
        }


def plan_rollback(records: Records, found: Found) -> RollbackReport:
    """Return how the execution can be taken back. It runs nothing.

    The hints are those of the plan as it was kept before the run, under the SHA-256 that the record commits; where they
    cannot be found or trusted, a warning says so and none are given.
    """
    record = records.read(found)
    verdict = verify_found(records, found).verdict
    hints: list[dict[str, Any]] | None = None
    warning = problem = ""
    try:
        plan = PlanArchive(records.home).of(record)
    except LedgerError as error:
        problem = str(error)
        warning = f"The plan's hints are not given, for its kept copy cannot be trusted ({problem})."
    else:
        if plan is None:
            warning = "The record names no kept copy of its plan: hints of the plan, if it has any, are not known here."
        elif verdict.ok or verdict.why == UNSEALED:
            hints = plan.hints
        else:
            warning = "The plan's hints are not given, for the record that names its kept copy does not verify."
    try:
        scaffold = RollbackPlanner.plan_rollback(record, hints)
    except RollbackHintError as error:
        scaffold = RollbackPlanner.plan_rollback(record)
        warning = f"The kept plan's hints cannot be read ({error}): none are given."
    if warning:
        scaffold = replace(scaffold, warnings=(warning, *scaffold.warnings))
    return RollbackReport(scaffold=scaffold, verdict=verdict, plan_problem=problem)
