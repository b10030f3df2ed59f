"""Sensors of what commands find: damage in the ledger, and approvals that are refused again and again."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from hearth.errors import HearthError
from hearth.execution import load_policy
from hearth.kernel import HearthKernel
from hearth.record import utc_now
from hearth.security import BoundaryState, Finding, SecurityState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hearth.ledger import LedgerHome
    from hearth.operations._fsck._report import FsckReport
    from hearth.operations._recover import Recovered
    from hearth.operations._verify import Verified

__all__ = ["record_refusal", "sense_recovered", "sense_verified", "tell_damage", "tell_findings"]

_log = logging.getLogger(__name__)
_WINDOW = timedelta(hours=1)
_LONGEST = 2000
_WORDS = {
    "missing": "there was none",
    "denied": "it was denied",
    "expired": "it had expired",
    "not_yet": "its time had not come",
    "spent": "another run had used it",
    "plan": "the plan or an input was not what was approved",
    "host": "it was for another host",
    "mode": "it was for another mode",
    "ledger": "it was for another ledger",
    "posture": "the posture was worse than it bore",
    "preview": "it was for another preview",
    "untrusted": "no key that the policy trusts had given it",
    "damaged": "what was decided on it was changed, or cannot be read",
}


def sense_verified(verified: Verified) -> Finding | None:
    """Return what a check of this ledger's own content found; None where it holds, or is nothing of the ledger's.

    Bytes that cannot be read may be a bad disk: DEGRADED. What reads well and contradicts its hashes was changed:
    COMPROMISED.
    """
    if verified.verdict or verified.kind == "record" or verified.verdict.why == "unsealed":
        return None
    unreadable = verified.verdict.first_bad is None and verified.execution_hash is None
    return Finding(
        security=SecurityState.DEGRADED if unreadable else SecurityState.COMPROMISED,
        reason=f"{verified.subject} is not verified: {verified.verdict.why}"[:_LONGEST],
        source="verify",
        lasting=True,
    )


def sense_recovered(recovered: Recovered) -> Finding | None:
    """Return what recovery found: a journal that is damaged before its end was tampered with, or the disk is bad."""
    if recovered.outcome != "damaged":
        return None
    reason = f"the journal of {recovered.execution_id or recovered.journal.name} is damaged: {recovered.message}"
    return Finding(security=SecurityState.COMPROMISED, reason=reason[:_LONGEST], source="recover", lasting=True)


def tell_findings(home: LedgerHome, findings: Iterable[Finding | None]) -> None:
    """Worsen the ledger's posture for what was found; a ledger that cannot take it is warned of, not raised.

    The command has its own error or verdict to tell, and that says more.
    """
    found = [finding for finding in findings if finding is not None]
    if not found:
        return
    try:
        with HearthKernel.open(home) as kernel:
            for finding in found:
                kernel.report(finding)
    except HearthError as error:
        _log.warning("the posture could not be worsened for it: %s", error)


def tell_damage(home: LedgerHome, report: FsckReport) -> None:
    """Worsen the ledger's posture for the damage of evidence that fsck found, where there is any."""
    damage = [finding for finding in report.findings if not finding.repairable]
    if damage:
        more = f" (and {len(damage) - 1} more)" if len(damage) > 1 else ""
        reason = f"fsck: {damage[0].where}: {damage[0].what}"[:_LONGEST] + more
        tell_findings(home, [Finding(security=SecurityState.COMPROMISED, reason=reason, source="fsck", lasting=True)])


def record_refusal(kernel: HearthKernel, *, plan_digest: str, code: str, who: str) -> None:
    """Keep that a run was refused for want of an approval; too many within an hour make the boundary ELEVATED.

    The policy's `sensors: refused_approvals` says how many. Refusals before the last restoration do not count: an
    operator has answered for them. Nor does one that only waits for its approvers: looking whether they have spoken
    is no attack.
    """
    if kernel.home is None or code == "waiting":
        return
    now = utc_now()
    approvals, postures = kernel.ledger.approvals, kernel.ledger.postures
    approvals.add_refusal(plan_digest=plan_digest, code=code, who=who, now=now)
    restored = [kept.created for kept in postures.history() if kept.envelope is not None and kept.created is not None]
    number = approvals.refusals_since(max([now - _WINDOW, *restored[-1:]]))
    if number >= load_policy(kernel.home.policy).refused_approvals:
        kernel.report(
            Finding(
                boundary=BoundaryState.ELEVATED,
                reason=f"{number} runs were refused for want of an approval within an hour, the last one because "
                f"{_WORDS.get(code, code)}",
                source="approvals",
                who=who,
            )
        )
