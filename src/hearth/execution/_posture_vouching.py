"""Who vouches for a restored posture: the operators whom a policy trusts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hearth.execution._policy_file import PolicyFile
from hearth.security import Restoration

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hearth.security import KeptPosture

__all__ = ["vouching"]


def vouching(policy: Path, ledger_id: str) -> Callable[[KeptPosture], Restoration]:
    """Return what tells whether an operator of the policy signed a kept posture of this ledger.

    It returns the signed act, or raises SigningError (nobody whom the policy trusts now signed it) or GateRefusedError
    (another change was signed, or the policy cannot be read).
    """
    file = PolicyFile(policy)

    def vouch(kept: KeptPosture) -> Restoration:
        return Restoration.of(kept, ledger_id=ledger_id, operators=file.load().approvals.with_role("operator"))

    return vouch
