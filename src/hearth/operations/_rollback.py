"""The rollback scaffold of an execution, with the hints of the plan that was run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hearth.errors import LedgerError, RollbackHintError
from hearth.operations._plans import PlanArchive
from hearth.operations._verify import verify_found
from hearth.rollback import RollbackPlanner

if TYPE_CHECKING:
    from hearth.operations._find import Found, Records
    from hearth.operations._plans import KeptPlan
    from hearth.record import Verdict
    from hearth.rollback import RollbackScaffold

__all__ = ["RollbackReport", "plan_rollback"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackReport:
    """The scaffold, and whether the record that it is made from holds."""

    scaffold: RollbackScaffold
    verdict: Verdict

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form: the scaffold's, and the record's verdict."""
        return {**self.scaffold.to_dict(), "verdict": self.verdict.to_dict()}


def plan_rollback(records: Records, found: Found) -> RollbackReport:
    """Return how the execution can be taken back. It runs nothing.

    The hints are those of the plan as it was run, kept under the digest that the record commits; where they cannot be
    trusted or found, a warning says so and none are given.
    """
    record = records.read(found)
    verdict = verify_found(records, found).verdict
    plan, warning = _kept_plan(records, record.started.get("plan_digest"))
    try:
        scaffold = RollbackPlanner.plan_rollback(record, None if plan is None else plan.hints)
    except RollbackHintError as error:
        scaffold = RollbackPlanner.plan_rollback(record)
        warning = f"The kept plan's hints cannot be read ({error}): none are given."
    if warning:
        scaffold = replace(scaffold, warnings=(warning, *scaffold.warnings))
    return RollbackReport(scaffold=scaffold, verdict=verdict)


def _kept_plan(records: Records, digest: object) -> tuple[KeptPlan | None, str]:
    """Return the plan, and what an operator has to know of it."""
    if not isinstance(digest, str):
        return None, "The record names no plan digest: hints of the plan, if it has any, are not known here."
    try:
        plan = PlanArchive(records.home).find(digest)
    except LedgerError as error:
        return None, f"The plan's hints are not given, for its kept copy cannot be trusted ({error})."
    if plan is None:
        return None, f"The plan with the digest {digest} is not kept in this ledger: its hints are not known here."
    if not plan.whole and plan.hints:
        return plan, (
            "The plan held a secret in clear, so its copy was kept without it, and its digest cannot be checked: "
            "compare the hints with the plan file."
        )
    return plan, ""
