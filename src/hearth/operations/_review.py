"""The review that an emergency run demands afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hearth.errors import (
    ApprovalRefusedError,
    ExecutionNotFoundError,
    ExecutionPurgedError,
    GateRefusedError,
    HearthError,
    LedgerError,
    RecordError,
    SigningError,
)
from hearth.execution import load_policy
from hearth.ledger import Ledger
from hearth.operations._find import Records
from hearth.plan import ApprovalDecision
from hearth.record import Redactor, canonical_bytes, format_time, strict_loads, utc_now
from hearth.recorder import read_journal
from hearth.security import ApprovalPolicy
from hearth.signing import Envelope, PublicKey

if TYPE_CHECKING:
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
        if signer.name in _broke_the_glass(ledger, use, {signer.name: signer.key.public}):
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
    trusts to review now, and that did not break the glass. With a policy that cannot be read, none does, and none while
    it is not known who broke the glass: a damaged decision or record.
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
    data = ledger.approvals.reviews(use.execution_id)
    if not data:
        return None
    trusted = {**policy.with_role("approver"), **policy.with_role("operator")}
    keys = {name: PublicKey.parse(entry.key) for name, entry in trusted.items()}
    try:
        broke = _broke_the_glass(ledger, use, keys)
        if not ledger.approvals.decisions(use.request_id):
            return None
    except HearthError:
        return None  # somebody broke the glass; while it is not known who, nobody's word counts
    for name in broke & keys.keys():
        del keys[name]
    said = {"ledger_id": ledger.ledger_id, "execution_id": use.execution_id, "request_id": use.request_id}
    for one in data:
        try:
            envelope = Envelope.parse(one)
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
    """Return the names of those who approved the emergency, by their keys and by what entry 0 says: none reviews it.

    LedgerDamagedError or RecordError where a decision or the record is damaged: then it is not known.
    """
    found = _named_in_entry_0(ledger, use.execution_id)
    for envelope in ledger.approvals.decisions(use.request_id):
        with suppress(SigningError):
            if ApprovalDecision.read(envelope).verdict == "approve":
                found.update(envelope.verified_by(keys))
    return found


def _named_in_entry_0(ledger: Ledger, execution_id: str) -> set[str]:
    try:
        started = ledger.get(execution_id).started
    except ExecutionPurgedError:
        return set()
    except ExecutionNotFoundError:
        journal = ledger.home.journal_path(execution_id)
        if not journal.exists():
            return set()
        started = read_journal(journal).started
    approval = started.get("approval")
    names = approval.get("approvers") if isinstance(approval, Mapping) else None
    return {str(name) for name in names or ()}
