"""ApprovalGuard: holds a run to its approval, from before it begins until its last step."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

from hearth.errors import ApprovalRefusedError
from hearth.plan import ApprovalRequest, Circumstances, Grant, grant
from hearth.record import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from datetime import datetime

    from hearth.plan import ApprovalStore, Plan
    from hearth.security import LiveMode, Policy, Posture
    from hearth.signing import Envelope

__all__ = ["ApprovalGuard"]


class ApprovalGuard:
    """One run's approval; not used again for another run.

    States: new → `begin` (the approval holds) → `consume` (it is this run's, and nobody else's) → `check`, before
    every step. Forbidden: a step before `consume`; a second `consume`.
    `policy` is called whenever the policy may have changed: a key that is no longer trusted approves nothing.
    """

    def __init__(
        self,
        store: ApprovalStore,
        request_id: str,
        *,
        ledger_id: str,
        policy: Callable[[], Policy],
        posture: Callable[[], Posture],
        preview_digest: str | None = None,
        host: str | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._store = store
        self._request_id = request_id
        self._ledger_id = ledger_id
        self._policy = policy
        self._posture = posture
        self._preview_digest = preview_digest
        self._host = platform.node() if host is None else host
        self._now = now
        self._plan: Plan | None = None
        self._mode: LiveMode | None = None
        self._grant: Grant | None = None
        self._seen: tuple[Hashable, Policy] | None = None
        self._run: str | None = None

    def begin(self, plan: Plan, mode: LiveMode) -> None:
        """Find out whether the approval holds for this run; ApprovalRefusedError says why not."""
        self._plan, self._mode = plan, mode
        self._evaluate()

    def consume(self, execution_id: str) -> None:
        """Use the approval up for this run, durably; ApprovalRefusedError (`spent`) when another run has it."""
        if self._grant is None or self._run is not None:
            raise ApprovalRefusedError(f"the approval {self._request_id} is not this run's to use", code="spent")
        self._run = execution_id
        asked = self._grant.request
        before = self._store.use(self._request_id, execution_id, now=self._now(), emergency=asked.emergency)
        if before is not None:
            raise ApprovalRefusedError(
                f"the approval {self._request_id} was used by the run {before.execution_id} at {before.used}; "
                "one approval is one run: ask for another with `hearth request`",
                code="spent",
            )

    def check(self) -> None:
        """Raise ApprovalRefusedError where it does not hold any more: expired, denied since, a worse posture."""
        if self._run is None or self._grant is None:
            raise ApprovalRefusedError(f"the approval {self._request_id} was not used up by this run", code="missing")
        if self._seen == (self._store.mark(self._request_id, self._run), self._policy()):
            self._grant.check(self._circumstances())
        else:
            self._evaluate()

    def to_dict(self) -> dict[str, Any]:
        """Return what entry 0 says of the approval."""
        if self._grant is None:
            raise ApprovalRefusedError(f"the approval {self._request_id} was not looked at", code="missing")
        return self._grant.to_dict()

    def _evaluate(self) -> None:
        request: Envelope = self._store.find(self._request_id).request
        signed = ApprovalRequest.read(request).request_id
        if signed != self._request_id:
            # Used up is what stands in the row; two rows for one signed request would be two runs.
            raise ApprovalRefusedError(
                f"what lies in the ledger as the request {self._request_id} was signed as {signed}; this is tampering: "
                "look with `hearth fsck`",
                code="untrusted",
            )
        mark = self._store.mark(self._request_id, self._run)  # before: what comes in between is looked at again
        decisions = self._store.decisions(self._request_id)
        policy = self._policy()
        self._grant = grant(request, decisions, policy=policy.approvals, circumstances=self._circumstances())
        # Whoever moves or damages a denial has to add one first, or to change a row: both give another mark.
        self._store.require_whole(self._request_id)
        self._seen = (mark, policy)

    def _circumstances(self) -> Circumstances:
        if self._plan is None or self._mode is None:
            raise ApprovalRefusedError(f"the approval {self._request_id} is for no plan yet", code="missing")
        return Circumstances(
            ledger_id=self._ledger_id,
            plan_digest=self._plan.digest,
            preview_digest=self._preview_digest,
            mode=self._mode,
            host=self._host,
            posture=self._posture(),
            now=self._now(),
        )
