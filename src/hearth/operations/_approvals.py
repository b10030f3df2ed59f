"""Asking for approvals, giving them, and finding the one that a run may use."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hearth.errors import ApprovalRefusedError, SigningError
from hearth.execution import load_policy
from hearth.operations._material import Material, keep_inputs, material_of
from hearth.operations._plans import PlanArchive
from hearth.plan import ApprovalDecision, ApprovalRequest, Circumstances, grant
from hearth.record import format_time, utc_now
from hearth.security import LiveMode, Posture

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from hearth.ledger import ApprovalRow, ApprovalUse, Ledger, LedgerHome
    from hearth.operations._keys import TrustedAs
    from hearth.operations._plans import KeptPlan
    from hearth.plan import Plan
    from hearth.security import Policy

__all__ = ["ApprovalView", "Approvals"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalView:
    """A request as it stands now.

    `state` is `approved` (a run may use it), or the code of what stands against it: `missing`, `denied`, `expired`,
    `spent` …; `why` says it in words. `approvers` are those whose approval holds, whatever else is missing.
    """

    asked: ApprovalRequest
    state: str
    why: str
    decisions: tuple[ApprovalDecision, ...]
    use: ApprovalUse | None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            **self.asked.to_dict(),
            "state": self.state,
            "why": self.why,
            "decisions": [
                {
                    "approver": one.approver,
                    "verdict": one.verdict,
                    "reason": one.reason,
                    "created": format_time(one.created),
                }
                for one in self.decisions
            ],
            "execution_id": None if self.use is None else self.use.execution_id,
            "used": None if self.use is None else self.use.used,
        }


class Approvals:
    """The approvals of one open ledger, under its policy."""

    def __init__(self, home: LedgerHome, ledger: Ledger) -> None:
        self.home = home
        self.ledger = ledger
        self.policy: Policy = load_policy(home.policy)
        self._store = ledger.approvals

    def request(
        self,
        plan: Plan,
        signer: TrustedAs,
        *,
        requester: str,
        reason: str,
        mode: LiveMode = LiveMode.LIVE,
        hosts: Sequence[str] = (),
        valid_for: float | None = None,
        not_before: datetime | None = None,
        worst_posture: Posture | None = None,
        emergency: bool = False,
        preview_digest: str | None = None,
    ) -> ApprovalView:
        """Ask for one run of a plan; the plan and its inputs are kept, so that approvers elsewhere can read them.

        Without hosts it is for this one. SigningError where the policy cannot take the request.
        """
        self._require_known(signer)
        if not reason.strip():
            raise SigningError("a request needs a reason; give --reason TEXT")
        now = utc_now()
        rules = self.policy.approvals
        longest = rules.break_glass_for if emergency else rules.valid_for
        seconds = longest if valid_for is None else valid_for
        if seconds > longest:
            raise SigningError(f"{self.home.policy} lets an approval hold for {longest:g} s at most, not {seconds:g}")
        keep_inputs(self.home, plan)
        asked = ApprovalRequest(
            request_id=ApprovalRequest.new_id(),
            ledger_id=self.ledger.ledger_id,
            plan_id=plan.id,
            plan_digest=plan.digest,
            preview_digest=preview_digest,
            mode=mode,
            hosts=tuple(hosts) or (platform.node() or "localhost",),
            not_before=now if not_before is None else not_before,
            expires=now + timedelta(seconds=seconds),
            worst_posture=worst_posture or Posture(),
            reason=reason.strip(),
            created=now,
            requester=signer.name or requester,
            plan_copy=PlanArchive(self.home).keep(plan),
            emergency=emergency,
        )
        self._store.add_request(
            asked.sign(signer.key),
            request_id=asked.request_id,
            plan_id=asked.plan_id,
            plan_digest=asked.plan_digest,
            created=format_time(now),
        )
        return self.view(asked.request_id)

    def decide(self, request_id: str, signer: TrustedAs, *, verdict: str, reason: str) -> ApprovalView:
        """Sign an approval or a denial. ApprovalRefusedError where this key's word would count for nothing."""
        row = self._store.find(request_id)
        asked = ApprovalRequest.read(row.request)
        name = self.require_role(signer, "emergency" if asked.emergency and verdict == "approve" else "approver")
        now = utc_now()
        if verdict == "approve":
            self._refuse_pointless(row, asked, signer, now)
        decision = ApprovalDecision.on(asked, approver=name, verdict=verdict, reason=reason.strip(), now=now)
        added = self._store.add_decision(
            decision.sign(signer.key),
            request_id=asked.request_id,
            approver=name,
            key=str(signer.key.public),
            verdict=verdict,
            created=format_time(now),
        )
        if not added:
            raise ApprovalRefusedError(
                f"{name} has said so of the request {asked.request_id} before; once is enough", code="spent"
            )
        return self.view(asked.request_id)

    def require_role(self, signer: TrustedAs, role: str) -> str:
        """Return the name by which the policy knows a key with this role; ApprovalRefusedError for any other key."""
        if signer.name is None or role not in signer.roles:
            raise ApprovalRefusedError(
                f"the policy does not trust {signer.path} as {role}, so what it signs counts for nothing; "
                f"its public key is {signer.key.public}",
                code="untrusted",
            )
        return signer.name

    def approve_own(
        self, plan: Plan, signer: TrustedAs, *, requester: str, reason: str, mode: LiveMode, emergency: bool = False
    ) -> ApprovalView:
        """Ask for a run and approve it with the same key, where the policy lets one's own approval count.

        An emergency (`emergency`) needs a key with that role. The view says what is missing where that is not enough.
        """
        self.require_role(signer, "emergency" if emergency else "approver")
        view = self.request(plan, signer, requester=requester, reason=reason, mode=mode, emergency=emergency)
        if not emergency and not self.policy.approvals.self_approval:
            return view
        return self.decide(view.asked.request_id, signer, verdict="approve", reason=reason)

    def view(self, beginning: str) -> ApprovalView:
        """Return one request as it stands now; RequestNotFoundError."""
        return self._view(self._store.find(beginning))

    def listing(self, *, plan_id: str | None = None, limit: int = 100) -> list[ApprovalView]:
        """Return the newest requests first."""
        return [self._view(row) for row in self._store.listing(plan_id=plan_id, limit=limit)]

    def usable(self, plan: Plan, mode: LiveMode) -> str | None:
        """Return the oldest request whose approval a run of this plan may use now; None where there is none."""
        found = [self._view(row) for row in self._store.listing(plan_digest=plan.digest)]
        return next(
            (view.asked.request_id for view in reversed(found) if view.state == "approved" and view.asked.mode is mode),
            None,
        )

    def refusal(self, plan: Plan, mode: LiveMode) -> ApprovalRefusedError:
        """Return why no approval lets this plan run now: what the newest request lacks, or that there is none."""
        for row in self._store.listing(plan_digest=plan.digest):
            view = self._view(row)
            if view.asked.mode is mode and view.state != "approved":
                return ApprovalRefusedError(view.why, code=view.state)
        older = self._store.listing(plan_id=plan.id, limit=1)
        if older:
            return ApprovalRefusedError(
                f"the plan {plan.id} or one of its inputs is not what was approved: its digest is {plan.digest} now, "
                f"and the newest request {older[0].request_id} is for {older[0].plan_digest}; "
                "ask anew with `hearth request`",
                code="plan",
            )
        if not self.policy.approvals.with_role("approver"):
            return ApprovalRefusedError(
                f"a {mode} run of the plan {plan.id} needs a signed approval, and nobody is trusted yet by "
                f"{self.home.policy}; `hearth keygen --trust` trusts your key there, and makes one where you have none",
                code="missing",
            )
        return ApprovalRefusedError(
            f"a {mode} run of the plan {plan.id} needs a signed approval; ask for one: `hearth request PLAN`",
            code="missing",
        )

    def material(self, view: ApprovalView, plan: Plan | None = None) -> Material:
        """Return the plan and the inputs that are to be approved; ApprovalRefusedError where they cannot be shown."""
        return material_of(self.home, view.asked, self._kept(view.asked), plan)

    def last_approved(self, view: ApprovalView) -> tuple[ApprovalView, Material] | None:
        """Return the newest other version of this plan that ran with an approval; None where there is none to read."""
        for row in self._store.listing(plan_id=view.asked.plan_id):
            if row.use is None or row.request_id == view.asked.request_id or row.plan_digest == view.asked.plan_digest:
                continue
            before = self._view(row)
            try:
                return before, self.material(before)
            except ApprovalRefusedError:
                continue
        return None

    def _kept(self, asked: ApprovalRequest) -> KeptPlan | None:
        return PlanArchive(self.home).read(asked.plan_copy)

    def _view(self, row: ApprovalRow) -> ApprovalView:
        asked = ApprovalRequest.read(row.request)
        decisions = []
        for envelope in row.decisions:
            try:
                decisions.append(ApprovalDecision.read(envelope))
            except SigningError:
                continue  # it counts for nothing; `hearth fsck` names it
        state, why = "approved", ""
        if row.use is not None:
            state = "spent"
            why = (
                f"the approval {asked.request_id} was used by the run {row.use.execution_id} at {row.use.used}; "
                "one approval is one run: ask for another with `hearth request`"
            )
        else:
            try:
                grant(row.request, row.decisions, policy=self.policy.approvals, circumstances=self._here(asked))
            except ApprovalRefusedError as refusal:
                state, why = refusal.code, str(refusal)
        return ApprovalView(asked=asked, state=state, why=why, decisions=tuple(decisions), use=row.use)

    def _here(self, asked: ApprovalRequest) -> Circumstances:
        return Circumstances(
            ledger_id=self.ledger.ledger_id,
            plan_digest=asked.plan_digest,
            preview_digest=asked.preview_digest,
            mode=asked.mode,
            host=platform.node() or "localhost",
            posture=Posture(),
            now=utc_now(),
        )

    def _require_known(self, signer: TrustedAs) -> None:
        if signer.name is None and not self.policy.approvals.self_approval:
            raise ApprovalRefusedError(
                f"the policy does not know {signer.path}, so it could not be told whether a requester approved; "
                f"add the public key {signer.key.public} to {self.home.policy} (roles: [requester])",
                code="untrusted",
            )

    def _refuse_pointless(self, row: ApprovalRow, asked: ApprovalRequest, signer: TrustedAs, now: datetime) -> None:
        if row.use is not None:
            raise ApprovalRefusedError(
                f"the request {asked.request_id} was used by the run {row.use.execution_id} already", code="spent"
            )
        if now >= asked.expires:
            raise ApprovalRefusedError(
                f"the request {asked.request_id} expired at {format_time(asked.expires)}; ask for a new one",
                code="expired",
            )
        own = row.request.verified_by({"": signer.key.public})
        if own and not asked.emergency and not self.policy.approvals.self_approval:
            raise ApprovalRefusedError(
                f"the request {asked.request_id} is {signer.name}'s own, and the policy wants somebody else's approval",
                code="untrusted",
            )
