"""The guidance in a dossier, worked out anew from the record and the plan in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hearth.errors import EvidenceError
from hearth.evidence import made_by_this_version
from hearth.operations._plans import parse_kept
from hearth.record import ExecutionRecord, canonical_bytes
from hearth.rollback import RollbackPlanner

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["check_guidance_anew"]

_NOT_GIVEN = "The plan's hints are not given, for "


def check_guidance_anew(document: Mapping[str, Any]) -> str:
    """Say that a dossier's guidance is what follows from its record and its plan; EvidenceError where it is not.

    Another version may have worked it out otherwise: then that is said, and nothing is compared.
    """
    given = document["rollback"]
    if document["plan"] is None:
        return ""
    kept = parse_kept(canonical_bytes(document["plan"]), "")
    withheld = given["warnings"][:1] if not given["rollback_hints"] else []
    record = ExecutionRecord.from_dict(document["record"])
    if withheld and str(withheld[0]).startswith(_NOT_GIVEN):
        made = RollbackPlanner.plan_rollback(record).to_dict()
        made["warnings"] = [*withheld, *made["warnings"]]
    else:
        made = RollbackPlanner.plan_rollback(record, None if kept is None else kept.hints).to_dict()
    if made == given:
        return "worked out anew from record and plan"
    if not made_by_this_version(document):
        return "another version worked it out, and this one would do so otherwise"
    differ = sorted(name for name in made.keys() | given.keys() if made.get(name) != given.get(name))
    raise EvidenceError(f"the guidance is not what follows from record and plan: {', '.join(differ)}")
