"""Whether a run may go on: the request and the decisions on it, held against the policy and the present."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from hearth.errors import ApprovalRefusedError, SigningError
from hearth.plan._approval import ApprovalDecision, ApprovalRequest
from hearth.record import format_time
from hearth.security import Posture

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hearth.security import ApprovalPolicy, LiveMode, TrustedKey
    from hearth.signing import Envelope, PublicKey

__all__ = ["Circumstances", "Grant", "grant"]

# So far the clock of whoever asked may be ahead; beyond that a date would only stretch how long an approval holds.
_CLOCKS_APART = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What is to run, and where and when: what an approval is held against."""

    ledger_id: str
    plan_digest: str
    preview_digest: str | None
    mode: LiveMode
    host: str
    posture: Posture
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """An approval that holds: the request, who approved, and the narrowest of what they allowed.

    `requester_key` is the policy's name for the key that signed the request (None: it knows none), whatever name the
    request itself gives.
    """

    request: ApprovalRequest
    requester_key: str | None
    approvers: tuple[str, ...]
    hosts: frozenset[str]
    not_before: datetime
    expires: datetime
    worst_security: Posture

    def check(self, circumstances: Circumstances) -> None:
        """Raise ApprovalRefusedError (`not_yet`, `expired`, `host`, `posture`) where it does not hold any more."""
        request, now = self.request, circumstances.now
        what = f"the approval {request.request_id} of the plan {request.plan_id}"
        _refuse_expired(what, self.expires, now)
        if now < self.not_before:
            raise ApprovalRefusedError(
                f"{what} holds from {format_time(self.not_before)} on; wait until then", code="not_yet"
            )
        if "*" not in self.hosts and circumstances.host not in self.hosts:
            named = ", ".join(sorted(self.hosts)) or "no host that all approvers named"
            raise ApprovalRefusedError(
                f"{what} is for {named}, and this is {circumstances.host}; run it there, or ask anew with --host",
                code="host",
            )
        if circumstances.posture.worse_than(self.worst_security):
            raise ApprovalRefusedError(
                f"{what} bears no worse posture than {self.worst_security}, and it is {circumstances.posture}; "
                "restore the posture, or have the plan approved for this one",
                code="posture",
            )

    def to_dict(self) -> dict[str, Any]:
        """Return what entry 0 of the record says of the approval."""
        request = self.request
        return {
            "kind": "emergency" if request.emergency else "approval",
            "request_id": request.request_id,
            "requester": request.requester,
            "requester_key": self.requester_key,
            "approvers": list(self.approvers),
            "reason": request.reason,
            "expires": format_time(self.expires),
            "preview_digest": request.preview_digest,
        }


def grant(
    request: Envelope, decisions: Iterable[Envelope], *, policy: ApprovalPolicy, circumstances: Circumstances
) -> Grant:
    """Return the grant of a run, or raise ApprovalRefusedError with the `code` of what stands against it.

    Signatures of keys that the policy does not trust (or no longer trusts) count for nothing: where they are all that
    is missing the code is `untrusted`, where nobody has spoken it is `waiting`. One denial by a trusted approver
    outweighs every approval, and so does what was one and cannot be read any more (`damaged`); then comes what no
    further approval could mend, such as the time. That a request was used before, the store knows.
    """
    asked = _asked(request, policy, circumstances)
    approvals, strange = _approvals(asked, decisions, policy)
    longest = timedelta(seconds=math.ceil(policy.break_glass_for if asked.emergency else policy.valid_for))
    what = f"the request {asked.request_id} for the plan {asked.plan_id}"
    _refuse_expired(what, min(asked.expires, _after(asked.created, longest)), circumstances.now)
    if asked.created > circumstances.now + _CLOCKS_APART:
        raise ApprovalRefusedError(
            f"{what} is dated {format_time(asked.created)}, and it is {format_time(circumstances.now)}; set the clock "
            "of this host or of the one that asked, and ask anew",
            code="not_yet",
        )
    needed = 1 if asked.emergency else policy.quorum
    signers = request.verified_by(_keys(policy.keys))
    if not asked.emergency and not policy.self_approval:
        if not signers:
            raise ApprovalRefusedError(
                f"the request {asked.request_id} is not signed by a key that the policy knows, so it cannot be told "
                "whether its requester approved it; add the requester's key to the policy, or set self_approval",
                code="untrusted",
            )
        own = [approvals.pop(name) for name in signers if name in approvals]
        hint = " (the requester's own does not count)" if own else ""
    else:
        hint = ""
    if len(approvals) < needed:
        have = f"{len(approvals)} of {needed} approvals" if needed > 1 or approvals else "no approval"
        if strange:
            hint += f" ({strange} more by no key that the policy trusts for it, or on other words than these)"
        raise ApprovalRefusedError(
            f"{what} has {have}{hint}; somebody whom the policy trusts runs `hearth approve {asked.request_id}`",
            code="untrusted" if strange else "waiting",
        )
    every = (asked, *approvals.values())
    hosts: frozenset[str] | None = None
    for one in every:
        if "*" not in one.hosts:
            hosts = frozenset(one.hosts) if hosts is None else hosts & frozenset(one.hosts)
    found = Grant(
        request=asked,
        requester_key=signers[0] if signers else None,
        approvers=tuple(approvals),
        hosts=frozenset("*") if hosts is None else hosts,
        not_before=max(one.not_before for one in every),
        expires=min(*(one.expires for one in every), _after(asked.created, longest)),
        worst_security=Posture(
            min(one.worst_posture.security for one in every), min(one.worst_posture.boundary for one in every)
        ),
    )
    found.check(circumstances)
    return found


def _after(moment: datetime, span: timedelta) -> datetime:
    """Return a time so much later, the last one there is where that is too far: a request may have any date."""
    try:
        return moment + span
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def _refuse_expired(what: str, expires: datetime, now: datetime) -> None:
    if now >= expires:
        raise ApprovalRefusedError(
            f"{what} expired at {format_time(expires)}; ask for a new one with `hearth request`", code="expired"
        )


def _asked(envelope: Envelope, policy: ApprovalPolicy, here: Circumstances) -> ApprovalRequest:
    asked = ApprovalRequest.read(envelope)
    what = f"the request {asked.request_id}"
    if asked.ledger_id != here.ledger_id:
        raise ApprovalRefusedError(f"{what} was made for another ledger ({asked.ledger_id})", code="ledger")
    if asked.plan_digest != here.plan_digest:
        raise ApprovalRefusedError(
            f"{what} is for the plan digest {asked.plan_digest}, and the plan or an input has another one now "
            f"({here.plan_digest}); restore it, or ask for an approval of the plan as it is now",
            code="plan",
        )
    if asked.mode is not here.mode:
        raise ApprovalRefusedError(f"{what} is for a run in {asked.mode}, not in {here.mode}", code="mode")
    if asked.preview_digest != here.preview_digest and here.preview_digest is not None:
        raise ApprovalRefusedError(
            f"{what} was made for another preview; preview the plan and ask anew", code="preview"
        )
    if policy.require_preview and asked.preview_digest is None:
        raise ApprovalRefusedError(f"{what} has no preview, which the policy demands; preview the plan", code="preview")
    return asked


def _approvals(
    asked: ApprovalRequest, decisions: Iterable[Envelope], policy: ApprovalPolicy
) -> tuple[dict[str, ApprovalDecision], int]:
    """Return the valid approvals by the name of the key that gave each, and how many others pretend to be some.

    A valid denial raises.
    """
    trusted = _keys(policy.with_role("emergency" if asked.emergency else "approver"))
    denying = _keys(policy.with_role("approver"))
    approvals: dict[str, ApprovalDecision] = {}
    strange = 0
    every = _keys(policy.keys)
    for envelope in decisions:
        if _changed(envelope, every):
            raise ApprovalRefusedError(
                f"a decision on the request {asked.request_id} was changed after it was signed, and may have been a "
                "denial; look with `hearth fsck`, and ask anew with `hearth request`",
                code="damaged",
            )
        try:
            decision = ApprovalDecision.read(envelope)
        except SigningError:
            strange += 1  # whatever it is, it approves nothing; `hearth fsck` names it
            continue
        if not _belongs(decision, asked):
            strange += 1
            continue
        if decision.verdict == "deny":
            for name in envelope.verified_by(denying):
                raise ApprovalRefusedError(
                    f"the request {asked.request_id} was denied by {name}: {decision.reason or 'no reason given'}; "
                    "ask anew once that is settled",
                    code="denied",
                )
            continue
        names = envelope.verified_by(trusted)
        strange += not names
        for name in names:
            approvals.setdefault(name, decision)
    return approvals, strange


def _changed(envelope: Envelope, keys: Mapping[str, PublicKey]) -> bool:
    """Whether it claims a key that the policy knows, and that key has not signed what lies there."""
    known = {key.key_id: name for name, key in keys.items()}
    claimed = {known[signature.key_id] for signature in envelope.signatures if signature.key_id in known}
    return not claimed <= set(envelope.verified_by({name: keys[name] for name in claimed}))


def _belongs(decision: ApprovalDecision, asked: ApprovalRequest) -> bool:
    """Whether the decision is on this very request: not a word of it may have changed since."""
    return (
        decision.request_digest == asked.digest
        and decision.request_id == asked.request_id
        and decision.ledger_id == asked.ledger_id
        and decision.plan_id == asked.plan_id
        and decision.plan_digest == asked.plan_digest
        and decision.preview_digest == asked.preview_digest
        and decision.mode is asked.mode
    )


def _keys(trusted: Mapping[str, TrustedKey]) -> dict[str, PublicKey]:
    from hearth.signing import PublicKey  # loads cryptography: only where signatures are looked at

    keys = {}
    for name, entry in trusted.items():
        try:
            keys[name] = PublicKey.parse(entry.key)
        except SigningError as error:
            raise ApprovalRefusedError(f"the policy's key of {name}: {error}", code="untrusted") from None
    return keys
