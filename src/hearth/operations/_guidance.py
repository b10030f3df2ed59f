"""The guidance in a dossier, worked out anew from the record and the plan in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hearth.errors import EvidenceError
from hearth.evidence import UncheckedError, made_by_this_version
from hearth.operations._plans import parse_kept
from hearth.record import ExecutionRecord, canonical_bytes, same_json
from hearth.rollback import RollbackPlanner

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["check_guidance_anew"]


def check_guidance_anew(document: Mapping[str, Any]) -> str:
    """Say that a dossier's guidance is what follows from its record and its plan; EvidenceError where it is not.

    UncheckedError where it says of itself that the plan's hints are not known, and where another version made it, which
    may have worked it out otherwise.
    """
    given, record = document["rollback"], ExecutionRecord.from_dict(document["record"])
    kept = None if document["plan"] is None else parse_kept(canonical_bytes(document["plan"]), "")
    made = RollbackPlanner.plan_rollback(record, None if kept is None else kept.hints).to_dict()
    if same_json(made, given):
        return "worked out anew from record and plan"
    without = RollbackPlanner.plan_rollback(record).to_dict()
    if same_json(given, {**without, "warnings": [*given["warnings"][:1], *without["warnings"]]}):
        raise UncheckedError(f"no hint of the plan is given, and why is the file's own word: {given['warnings'][0]}")
    if not made_by_this_version(document):
        raise UncheckedError("another version worked it out, and this one would do so otherwise")
    differ = sorted(name for name in made.keys() | given.keys() if not same_json(made.get(name), given.get(name)))
    raise EvidenceError(f"the guidance is not what follows from record and plan: {', '.join(differ)}")
