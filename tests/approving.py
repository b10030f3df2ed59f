"""A key that a test's ledger trusts, so that it can run plans live."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hearth.ledger import Ledger
from hearth.operations import Approvals, TrustedAs, keygen, load_key, trust_key
from hearth.security import LiveMode

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hearth.ledger import LedgerHome
    from hearth.plan import Plan

__all__ = ["ROLES", "approve", "trust"]

ROLES = ("approver", "operator", "emergency")


def trust(home: LedgerHome, name: str = "ann", roles: Sequence[str] = ROLES) -> Path:
    """Make a key beside the ledger, have its policy trust it alone, and return its file."""
    path = home.root.parent / f"{name}.pem"
    trust_key(home, name, keygen(path), roles)
    return path


def approve(home: LedgerHome, plan: Plan, key: Path | TrustedAs, *, reason: str = "a test") -> str:
    """Ask for a live run of the plan, approve it with the same key, and return the request's id."""
    signer = key if isinstance(key, TrustedAs) else load_key(home, key)
    with Ledger.open(home) as ledger:
        view = Approvals(home, ledger).approve_own(plan, signer, requester="ann", reason=reason, mode=LiveMode.LIVE)
    assert view.state == "approved", view.why
    return view.asked.request_id
