"""Asking for approvals, giving them, and finding the one that a run may use."""

from __future__ import annotations

import math
import platform
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from hearth.errors import (
    ApprovalRefusedError,
    ExecutionNotFoundError,
    ExecutionPurgedError,
    HearthError,
    LedgerDamagedError,
    RecordError,
    SigningError,
)
from hearth.execution import load_policy
from hearth.operations._approval_view import ApprovalView, LastApproved, signed_decisions
from hearth.operations._material import Material, keep_inputs, material_of
from hearth.operations._plans import PlanArchive
from hearth.plan import ApprovalDecision, ApprovalRequest, Circumstances, grant
from hearth.record import Redactor, format_time, utc_now
from hearth.recorder import journal_is_live
from hearth.security import LiveMode, Posture
from hearth.signing import PublicKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from hearth.ledger import ApprovalRow, ApprovalUse, Ledger, LedgerHome
    from hearth.operations._keys import TrustedAs
    from hearth.operations._plans import KeptPlan
    from hearth.plan import Plan
    from hearth.security import Policy

__all__ = ["Approvals"]

# What a further approval, or time, lets run: there a denial that is lost would be missed.
_CURABLE = {"approved", "waiting", "untrusted", "not_yet"}


class Approvals:
    """The approvals of one open ledger, under its policy."""

    def __init__(self, home: LedgerHome, ledger: Ledger) -> None:
        self.home = home
        self.ledger = ledger
        self.policy: Policy = load_policy(home.policy)
        self._store = ledger.approvals
        self._require_whole: Callable[[str], None] | None = None

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
            raise SigningError(
                f"{self.home.policy} lets an approval hold for {_time_text(longest)} at most, not {_time_text(seconds)}"
            )
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
            reason=_clean(reason, plan),
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
        """Sign an approval or a denial; what looks like a secret does not stay in the reason.

        ApprovalRefusedError where this key's word would count for nothing: it is not trusted, the request was denied,
        is expired, or was used (for a denial: by a run that is over). SigningError for a denial without a reason.
        """
        row = self._store.find(request_id)
        asked = ApprovalRequest.read(row.request)
        name = self.require_role(signer, "emergency" if asked.emergency and verdict == "approve" else "approver")
        if verdict == "approve":
            self._refuse_pointless(row, self._view(row), signer)
        elif not reason.strip():
            raise SigningError("a denial needs a reason; give --reason TEXT")
        elif row.use is not None:
            self._refuse_late(row.use)
        now = utc_now()
        decision = ApprovalDecision.on(asked, approver=name, verdict=verdict, reason=_clean(reason), now=now)
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

    def require_open(self, view: ApprovalView) -> None:
        """Raise ApprovalRefusedError where no further approval could let a run use this request."""
        if view.state in {"denied", "spent", "expired", "damaged"}:
            raise ApprovalRefusedError(view.why, code=view.state)

    def view(self, beginning: str) -> ApprovalView:
        """Return one request as it stands now; RequestNotFoundError."""
        self._require_whole = None
        return self._view(self._store.find(beginning))

    def listing(
        self, *, plan_id: str | None = None, limit: int = 100, unreadable: list[str] | None = None
    ) -> list[ApprovalView]:
        """Return the newest requests first; of those that cannot be read, the problems are added to `unreadable`."""
        return [view for _, view in self._views(self._store.listing(plan_id=plan_id, limit=limit), unreadable)]

    def usable(self, plan: Plan, mode: LiveMode) -> str | None:
        """Return the oldest request whose approval a run of this plan may use now; None where there is none."""
        for _, view in self._views(self._store.each(plan_digest=plan.digest, unused=True, oldest_first=True)):
            if view.state == "approved" and view.asked.mode is mode:
                return view.asked.request_id
        return None

    def refusal(self, plan: Plan, mode: LiveMode) -> ApprovalRefusedError:
        """Return why no approval lets this plan run now: what the newest request lacks, or that there is none."""
        unreadable: list[str] = []
        for _, view in self._views(self._store.each(plan_digest=plan.digest), unreadable):
            if unreadable:
                break
            if view.asked.mode is mode and view.state != "approved":
                return ApprovalRefusedError(view.why, code=view.state)
        if unreadable:  # the newest one, of which nobody knows what it asks for
            return ApprovalRefusedError(f"{unreadable[0]}; ask anew with `hearth request PLAN`", code="damaged")
        for row, view in self._views(self._store.each(plan_id=plan.id, unused=True)):
            # Approved, waiting for its run, and then another plan comes in its name. Of a plan that was worked on after
            # its last run, nobody has said that it is approved.
            if view.state == "approved":
                return ApprovalRefusedError(
                    f"the plan {plan.id} or one of its inputs is not what was approved: its digest is {plan.digest} "
                    f"now, and the request {row.request_id} was approved for {row.plan_digest}; "
                    "ask anew with `hearth request`",
                    code="plan",
                )
        if not self.policy.approvals.with_role("approver"):
            return ApprovalRefusedError(
                f"a {mode} run of the plan {plan.id} needs a signed approval, and nobody is trusted yet by "
                f"{self.home.policy}; `hearth keygen --trust` trusts your key there, and makes one where you have none",
                code="missing",
            )
        older = " (it was changed since the last request)" if self._store.listing(plan_id=plan.id, limit=1) else ""
        return ApprovalRefusedError(
            f"a {mode} run of the plan {plan.id} needs a signed approval{older}; ask for one: `hearth request PLAN`",
            code="missing",
        )

    def material(self, view: ApprovalView, plan: Plan | None = None) -> Material:
        """Return the plan and the inputs that are to be approved, from the plan's file where it is given.

        ApprovalRefusedError where the plan cannot be shown; an input that cannot be shown says why.
        """
        kept = self._kept(view.asked) if plan is None else None
        return material_of(self.home, view.asked, kept, plan)

    def last_approved(self, view: ApprovalView) -> LastApproved | None:
        """Return the version of this plan that was approved last, apart from the request itself; None for the first.

        A run may have used the approval, or it may lie there still or have expired.
        """
        for row, before in self._views(self._store.each(plan_id=view.asked.plan_id)):
            if row.request_id == view.asked.request_id or not self._was_approved(row, before):
                continue
            if before.asked.plan_digest == view.asked.plan_digest:
                return LastApproved(before, None, same=True)
            try:
                return LastApproved(before, self.material(before))
            except HearthError as error:
                return LastApproved(before, None, why=str(error))
        return None

    def _was_approved(self, row: ApprovalRow, view: ApprovalView) -> bool:
        """Whether it ever had the approvals that it needs: judged at the time of the last one, by today's keys."""
        times = [one.created for one in view.decisions if one.verdict == "approve"]
        if not times:
            return False
        then = replace(self._here(view.asked), now=max(*times, view.asked.not_before))
        try:
            grant(row.request, row.decisions, policy=self.policy.approvals, circumstances=then)
        except (ApprovalRefusedError, LedgerDamagedError):
            return False
        return True

    def _kept(self, asked: ApprovalRequest) -> KeptPlan | None:
        return PlanArchive(self.home).read(asked.plan_copy)

    def _views(
        self, rows: Iterable[ApprovalRow], unreadable: list[str] | None = None
    ) -> Iterator[tuple[ApprovalRow, ApprovalView]]:
        """Yield what can be read; one request that was damaged does not hide the others."""
        self._require_whole = None
        for row in rows:
            try:
                yield row, self._view(row)
            except HearthError as error:
                if unreadable is not None:
                    unreadable.append(f"the request {row.request_id} cannot be read: {error}")

    def _view(self, row: ApprovalRow) -> ApprovalView:
        request = row.request
        asked = ApprovalRequest.read(request)
        if asked.request_id != row.request_id:
            raise LedgerDamagedError(
                f"what lies there (approval_requests, row {row.number}) was signed as {asked.request_id}; this is "
                "tampering: look with `hearth fsck`"
            )
        keys = {name: PublicKey.parse(trusted.key) for name, trusted in self.policy.approvals.keys.items()}
        state, why = "approved", ""
        try:
            envelopes = row.decisions
        except LedgerDamagedError as error:
            envelopes, state, why = (), "damaged", str(error)
        signed = signed_decisions(envelopes, keys)
        decisions = tuple(decision for decision, _ in signed)
        if state == "approved" and (row.use is None or any(one.verdict == "deny" for one in decisions)):
            try:
                grant(request, envelopes, policy=self.policy.approvals, circumstances=self._here(asked))
            except ApprovalRefusedError as refusal:
                state, why = refusal.code, str(refusal)
        if row.use is None and state in _CURABLE:
            try:
                self._surveyed()(row.request_id)
            except LedgerDamagedError as error:
                state, why = "damaged", str(error)
        if row.use is not None and row.use.wrong:
            state, why = "damaged", f"which run used the request {asked.request_id} is not known: {row.use.wrong}"
        elif row.use is not None and state != "denied":
            state = "spent"
            why = (
                f"the approval {asked.request_id} was used by the run {row.use.execution_id} at {row.use.used}; "
                "one approval is one run: ask for another with `hearth request`"
            )
        return ApprovalView(
            asked=asked,
            state=state,
            why=why,
            requester_key=next(iter(request.verified_by(keys)), None),
            decisions=decisions,
            decision_keys=tuple(key for _, key in signed),
            use=row.use,
        )

    def _surveyed(self) -> Callable[[str], None]:
        """Return what asks whether all decisions on a request lie under it; they are read once for one look."""
        if self._require_whole is None:
            self._require_whole = self._store.survey()
        return self._require_whole

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

    def _refuse_pointless(self, row: ApprovalRow, view: ApprovalView, signer: TrustedAs) -> None:
        """Refuse an approval that could not let anything run."""
        self.require_open(view)
        own = row.request.verified_by({"": signer.key.public})
        if own and not view.asked.emergency and not self.policy.approvals.self_approval:
            raise ApprovalRefusedError(
                f"the request {view.asked.request_id} is {signer.name}'s own, and the policy wants somebody else's "
                "approval",
                code="untrusted",
            )

    def _refuse_late(self, use: ApprovalUse) -> None:
        """Refuse a denial of what is over: it would stop nothing. A run that is just beginning is not over."""
        try:
            self.ledger.get_bytes(use.execution_id)
        except ExecutionNotFoundError:
            journal = self.home.journal_path(use.execution_id)
            over = journal.exists() and not journal_is_live(journal)
        except (ExecutionPurgedError, RecordError):
            over = True
        else:
            over = True
        if over:
            raise ApprovalRefusedError(
                f"the request {use.request_id} was used by the run {use.execution_id}, which is over; a denial changes "
                f"nothing of it any more: `hearth show {use.execution_id}` says what it did",
                code="spent",
            )


def _clean(reason: str, plan: Plan | None = None) -> str:
    """Return a reason as it is signed: what is recognised as a secret, or is one of the plan's, does not stay in it."""
    redactor = Redactor()
    if plan is not None:
        for value in plan.secret_variables(redactor.telling):
            redactor.add_secret(value)
    return redactor.text(reason.strip())


def _time_text(seconds: float) -> str:
    """Return a time in the units in which a policy writes it: `1d 3h`, `99d`, `90s`."""
    rest = math.ceil(seconds)
    parts = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        number, rest = divmod(rest, size)
        if number:
            parts.append(f"{number}{unit}")
    return " ".join(parts) or "0s"
