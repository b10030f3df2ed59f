"""Running what a preview showed: approved by its manifest, held to it, recorded."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from hearth.cli._confirm import DIGITS, ask, is_terminal
from hearth.cli._keygen import ask_passphrase
from hearth.errors import ApprovalRefusedError, GateRefusedError

if TYPE_CHECKING:
    from hearth.cli._settings import Settings
    from hearth.ledger import LedgerHome
    from hearth.observe import Manifest
    from hearth.plan import Plan

__all__ = ["apply_preview"]


def apply_preview(
    settings: Settings, plan: Plan, manifest: Manifest, *, yes: bool, reason: str | None, key: str | None
) -> int:
    """Have the person approve the manifest, run the plan held to it, and return the exit code."""
    from hearth.cli._finish import finish
    from hearth.cli._late_signals import LateSignals
    from hearth.cli._live import RunDisplay, stopping_notice
    from hearth.operations import run_plan
    from hearth.security import LiveMode

    home = settings.find_home()
    request_id = _approved(home, plan, manifest, reason=_reason(manifest, yes=yes, reason=reason), key=key)
    screen = settings.screen()
    display = RunDisplay(screen, LiveMode.LIVE, settings.told)
    try:
        with LateSignals(keeps=settings.ends_process) as late, stopping_notice(screen, late):
            outcome = run_plan(
                plan, home=home, mode=LiveMode.LIVE, request_id=request_id, listener=late.told_by(display)
            )
    finally:
        display.close()
    return finish(screen, outcome, where=f"the ledger {home.root}")


def _reason(manifest: Manifest, *, yes: bool, reason: str | None) -> str:
    """Return why it is run, once it was confirmed; GateRefusedError where it was not."""
    if yes:
        return (reason or "").strip()
    if not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
        raise GateRefusedError(
            "to apply a preview somebody has to confirm it, and there is no terminal to ask on; give --yes and --reason"
        )
    typed = ask(f"Type the first {DIGITS} digits of the manifest's digest to apply it: ").lower()
    if len(typed) < DIGITS or not manifest.digest.startswith(typed):
        raise GateRefusedError(
            f"not applied: {typed or 'nothing'!r} is not how the digest {manifest.digest} begins; nothing was started"
        )
    why = (reason or "").strip() or ask("Why: ")
    if not why:
        raise GateRefusedError("not applied: a live run needs a reason; nothing was started")
    return why


def _approved(home: LedgerHome, plan: Plan, manifest: Manifest, *, reason: str, key: str | None) -> str:
    """Ask for an approval bound to the manifest and give it; ApprovalRefusedError where one's own does not count."""
    from hearth.ledger import Ledger
    from hearth.operations import Approvals, keep_manifest, load_key, person

    signer = load_key(home, key, passphrase=ask_passphrase)
    with Ledger.open(home) as ledger:
        approvals = Approvals(home, ledger)
        approvals.require_role(signer, "approver")
        digest = keep_manifest(home, manifest)
        view = approvals.request(plan, signer, requester=person(), reason=reason, preview_digest=digest)
        if approvals.policy.approvals.self_approval:
            view = approvals.decide(view.asked.request_id, signer, verdict="approve", reason=reason)
        if view.state != "approved":
            raise ApprovalRefusedError(
                f"{view.why}; it was asked for, and runs with `hearth run` once it is approved", code=view.state
            )
        return view.asked.request_id
