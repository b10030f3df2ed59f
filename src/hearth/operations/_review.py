"""The review that an emergency run demands afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hearth.errors import ApprovalRefusedError, LedgerError, SigningError
from hearth.ledger import Ledger
from hearth.operations._find import Records
from hearth.plan import ApprovalDecision
from hearth.record import Redactor, canonical_bytes, format_time, strict_loads, utc_now
from hearth.signing import Envelope

if TYPE_CHECKING:
    from hearth.ledger import LedgerHome
    from hearth.operations._keys import TrustedAs

__all__ = ["REVIEW_TYPE", "review_emergency", "review_of"]

REVIEW_TYPE = "application/vnd.hearth.emergency-review.v1+json"


def review_emergency(home: LedgerHome, execution: str, signer: TrustedAs, *, reason: str) -> dict[str, Any]:
    """Sign and keep the review of an emergency run, and return what was signed.

    What looks like a secret does not stay in the reason; SigningError for a blank one. ApprovalRefusedError for a key
    that is neither an operator's nor an approver's, and for the one that broke the glass; LedgerError for a run that
    was no emergency, or was reviewed before.
    """
    if not reason.strip():
        raise SigningError("a review needs a reason: what it found; give --reason TEXT")
    if signer.name is None or not {"operator", "approver"} & set(signer.roles):
        raise ApprovalRefusedError(
            f"the policy does not trust {signer.path} to review an emergency (role operator or approver)",
            code="untrusted",
        )
    with Records(home) as records:
        execution_id = records.find(execution).execution_id
    with Ledger.open(home) as ledger:
        use = ledger.approvals.use_by(execution_id)
        if use is None or not use.emergency:
            raise LedgerError(f"{execution_id} was no emergency run; there is nothing to review")
        for envelope in ledger.approvals.decisions(use.request_id):
            if ApprovalDecision.read(envelope).verdict == "approve" and envelope.verified_by({"": signer.key.public}):
                raise ApprovalRefusedError(
                    f"{signer.name} broke the glass for {execution_id}; somebody else has to review it",
                    code="untrusted",
                )
        document = {
            "ledger_id": ledger.ledger_id,
            "execution_id": execution_id,
            "request_id": use.request_id,
            "reviewer": signer.name,
            "reason": Redactor().text(reason.strip()),
            "created": format_time(utc_now()),
        }
        envelope = Envelope.sign(canonical_bytes(document), REVIEW_TYPE, signer.key)
        if not ledger.approvals.add_review(
            envelope, execution_id=execution_id, reviewer=signer.name, created=document["created"]
        ):
            raise LedgerError(f"{execution_id} was reviewed before; `hearth show {execution_id}` says by whom")
    return document


def review_of(ledger: Ledger, execution_id: str) -> dict[str, Any] | None:
    """Return what the review of an emergency run says; None where there is none. Its signature `fsck` looks at."""
    envelope = ledger.approvals.review(execution_id)
    if envelope is None or envelope.payload_type != REVIEW_TYPE:
        return None
    document = strict_loads(envelope.payload)
    names = {"reviewer", "reason", "created"}
    return document if isinstance(document, dict) and names <= document.keys() else None
