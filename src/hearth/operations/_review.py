"""The review that an emergency run demands afterwards."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hearth.errors import ApprovalRefusedError, GateRefusedError, LedgerError, RecordError, SigningError
from hearth.execution import load_policy
from hearth.ledger import Ledger
from hearth.operations._find import Records
from hearth.plan import ApprovalDecision
from hearth.record import Redactor, canonical_bytes, format_time, strict_loads, utc_now
from hearth.security import ApprovalPolicy
from hearth.signing import Envelope, PublicKey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hearth.ledger import ApprovalUse, LedgerHome
    from hearth.operations._keys import TrustedAs

__all__ = ["REVIEW_TYPE", "emergency_runs", "review_emergency", "review_of"]

REVIEW_TYPE = "application/vnd.hearth.emergency-review.v1+json"
_MEMBERS = {"ledger_id", "execution_id", "request_id", "reviewer", "reason", "created"}


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
        if _broke_the_glass(ledger, use, {"": signer.key.public}):
            raise ApprovalRefusedError(
                f"{signer.name} broke the glass for {execution_id}; somebody else has to review it", code="untrusted"
            )
        if review_of(home, ledger, execution_id) is not None:
            raise LedgerError(f"{execution_id} was reviewed before; `hearth show {execution_id}` says by whom")
        document = {
            "ledger_id": ledger.ledger_id,
            "execution_id": execution_id,
            "request_id": use.request_id,
            "reviewer": signer.name,
            "reason": Redactor().text(reason.strip()),
            "created": format_time(utc_now()),
        }
        envelope = Envelope.sign(canonical_bytes(document), REVIEW_TYPE, signer.key)
        ledger.approvals.add_review(
            envelope, execution_id=execution_id, reviewer=signer.name, created=document["created"]
        )
    return document


def review_of(home: LedgerHome, ledger: Ledger, execution_id: str) -> dict[str, Any] | None:
    """Return what the review of an emergency run says; None where there is none that counts.

    One counts that says nothing but what reviews say, of this run in this ledger, signed by a key that the policy
    trusts to review now, and that did not break the glass. With a policy that cannot be read, none does.
    """
    use = ledger.approvals.use_by(execution_id)
    return None if use is None or not use.emergency else _counting(ledger, use, _policy(home))


def emergency_runs(home: LedgerHome, ledger: Ledger) -> dict[str, bool]:
    """Return every emergency run, by its id, oldest first, and whether it has a review that counts."""
    uses = ledger.approvals.emergencies()
    policy = _policy(home) if uses else ApprovalPolicy()
    return {use.execution_id: _counting(ledger, use, policy) is not None for use in uses}


def _policy(home: LedgerHome) -> ApprovalPolicy:
    try:
        return load_policy(home.policy).approvals
    except GateRefusedError:
        return ApprovalPolicy()  # trusts nobody


def _counting(ledger: Ledger, use: ApprovalUse, policy: ApprovalPolicy) -> dict[str, Any] | None:
    trusted = {**policy.with_role("approver"), **policy.with_role("operator")}
    keys = {name: PublicKey.parse(one.key) for name, one in trusted.items()}
    for name in _broke_the_glass(ledger, use, keys):
        del keys[name]
    said = {"ledger_id": ledger.ledger_id, "execution_id": use.execution_id, "request_id": use.request_id}
    if not ledger.approvals.decisions(use.request_id):
        return None  # somebody broke the glass; while it is not known who, nobody's word counts
    for data in ledger.approvals.reviews(use.execution_id):
        try:
            envelope = Envelope.parse(data)
            document = strict_loads(envelope.payload)
        except (SigningError, RecordError):
            continue
        if (
            envelope.payload_type == REVIEW_TYPE
            and isinstance(document, dict)
            and document.keys() == _MEMBERS
            and all(isinstance(value, str) for value in document.values())
            and document.items() >= said.items()
            and document["reviewer"] in envelope.verified_by(keys)
        ):
            return document
    return None


def _broke_the_glass(ledger: Ledger, use: ApprovalUse, keys: Mapping[str, PublicKey]) -> set[str]:
    """Return the names of the keys that approved the emergency: none of them reviews it."""
    found: set[str] = set()
    for envelope in ledger.approvals.decisions(use.request_id):
        with suppress(SigningError):
            if ApprovalDecision.read(envelope).verdict == "approve":
                found.update(envelope.verified_by(keys))
    return found
