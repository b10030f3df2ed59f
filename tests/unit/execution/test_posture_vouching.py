"""vouching: the policy as it stands now says whose restoration counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hearth.errors import GateRefusedError, SigningError
from hearth.execution import vouching
from hearth.record import utc_now
from hearth.security import KeptPosture, Posture, Restoration
from hearth.signing import SigningKey

if TYPE_CHECKING:
    from pathlib import Path


def test_an_operator_of_the_policy_vouches_as_long_as_the_policy_has_the_key(tmp_path: Path) -> None:
    key, policy = SigningKey.generate(), tmp_path / "policy.yaml"
    act = Restoration(ledger_id="l", from_version=1, to=Posture(), who="ann", why="over", created=utc_now())
    kept = KeptPosture(Posture(), 2, "ann", "over", "operator", None, act.sign(key))
    vouch = vouching(policy, "l")
    with pytest.raises(SigningError):
        vouch(kept)
    policy.write_text(f'approvals: {{keys: {{ann: {{key: "{key.public}", roles: [operator]}}}}}}\n')
    assert vouch(kept) == act
    with pytest.raises(GateRefusedError, match="signed for the ledger l"):
        vouching(policy, "m")(kept)
    policy.write_text(f'approvals: {{keys: {{ann: {{key: "{key.public}", roles: [approver]}}}}}}\n')
    with pytest.raises(SigningError):
        vouch(kept)
    policy.write_text("no: [policy")
    with pytest.raises(GateRefusedError, match="policy"):
        vouch(kept)
