"""A request as it stands, what was decided on it, and the version of its plan that was approved before."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hearth.errors import SigningError
from hearth.plan import ApprovalDecision
from hearth.record import format_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hearth.ledger import ApprovalUse
    from hearth.operations._material import Material
    from hearth.plan import ApprovalRequest
    from hearth.signing import Envelope, PublicKey

__all__ = ["ApprovalView", "LastApproved", "signed_decisions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalView:
    """A request as it stands now.

    `state` is `approved` (a run may use it), or the code of what stands against it: `waiting`, `denied`, `expired`,
    `spent` …; `why` says it in words. `requester_key` and, one for each decision, `decision_keys` are the policy's
    names for the keys that signed; None where it knows none: then the name that stands there is only what was written.
    """

    asked: ApprovalRequest
    state: str
    why: str
    decisions: tuple[ApprovalDecision, ...]
    requester_key: str | None
    decision_keys: tuple[str | None, ...]
    use: ApprovalUse | None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            **self.asked.to_dict(),
            "state": self.state,
            "why": self.why,
            "requester_key": self.requester_key,
            "decisions": [
                {
                    "approver": one.approver,
                    "approver_key": key,
                    "verdict": one.verdict,
                    "reason": one.reason,
                    "created": format_time(one.created),
                }
                for one, key in zip(self.decisions, self.decision_keys, strict=True)
            ],
            "execution_id": None if self.use is None else self.use.execution_id,
            "used": None if self.use is None else self.use.used,
        }


@dataclass(frozen=True, slots=True)
class LastApproved:
    """The version of a plan that was approved before, to be held against a new one.

    `same` says that it is this very version, and then there is nothing to compare. `material` is None then, and where
    it cannot be shown any more: `why` says the reason.
    """

    view: ApprovalView
    material: Material | None
    same: bool = False
    why: str = ""


def signed_decisions(
    envelopes: Iterable[Envelope], keys: Mapping[str, PublicKey]
) -> list[tuple[ApprovalDecision, str | None]]:
    """Return what decisions say, each with the name of the key that signed it, None where none of `keys` did.

    What is no decision counts for nothing, and `hearth fsck` names it.
    """
    decisions = []
    for envelope in envelopes:
        with suppress(SigningError):
            decisions.append((ApprovalDecision.read(envelope), next(iter(envelope.verified_by(keys)), None)))
    return decisions
