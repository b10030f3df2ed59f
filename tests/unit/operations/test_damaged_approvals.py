"""What is damaged among requests and decisions stops what hangs on it, is named, and hides nothing else."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from hearth.cli import cli
from hearth.errors import ApprovalRefusedError, HearthError, LedgerDamagedError
from hearth.ledger import Ledger
from hearth.operations import Approvals, fsck, load_key, read_posture, run_plan
from hearth.security import BoundaryState, LiveMode
from tests import approving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hearth.ledger import LedgerHome
    from hearth.operations import TrustedAs
    from hearth.plan import Plan

STEP: dict[str, Any] = {"name": "Say", "shell": "echo said > out.txt"}


@pytest.fixture
def plan(make_plan: Callable[..., Plan]) -> Plan:
    """The plan that is asked for."""
    return make_plan(STEP)


@pytest.fixture
def signer(home: LedgerHome, key: Path) -> TrustedAs:
    """Ann, who may do everything."""
    return load_key(home, key)


def overwrite(home: LedgerHome, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(home.database)) as connection, connection:
        assert connection.execute(statement, values).rowcount == 1


def deny(home: LedgerHome, request: str, signer: TrustedAs) -> None:
    with Ledger.open(home) as ledger:
        Approvals(home, ledger).decide(request, signer, verdict="deny", reason="not today")


def run_with(home: LedgerHome, plan: Plan, request: str | None) -> HearthError:
    with pytest.raises(HearthError) as caught:
        run_plan(plan, home=home, mode=LiveMode.LIVE, request_id=request)
    assert not (plan.folder / "out.txt").exists()
    return caught.value


def test_a_decision_that_cannot_be_read_stops_its_request_alone(
    home: LedgerHome, key: Path, plan: Plan, signer: TrustedAs
) -> None:
    bad = approving.approve(home, plan, key)
    deny(home, bad, signer)
    overwrite(home, "UPDATE approval_decisions SET envelope = ? WHERE verdict = 'deny'", b"\x00not JSON")
    with Ledger.open(home) as ledger:
        approvals = Approvals(home, ledger)
        view = approvals.view(bad)
        assert view.state == "damaged"
        assert "approval_decisions, row 2" in view.why
        assert approvals.usable(plan, LiveMode.LIVE) is None
        with pytest.raises(ApprovalRefusedError, match="row 2"):
            approvals.decide(bad, signer, verdict="approve", reason="")
        good = approvals.request(plan, signer, requester="ann", reason="once more").asked.request_id
        approvals.decide(good, signer, verdict="approve", reason="")
    assert "cannot be read" in str(run_with(home, plan, bad))
    listed = CliRunner().invoke(cli, ["--home", str(home.root), "approvals"])
    assert listed.exit_code == 0, listed.output
    assert "damaged" in listed.output
    assert "approved" in listed.output
    assert any("row 2" in finding.where for finding in fsck(home).findings)
    assert run_plan(plan, home=home, mode=LiveMode.LIVE).record.status.value == "completed"


def test_a_request_that_cannot_be_read_is_named_and_hides_no_other(
    home: LedgerHome, key: Path, plan: Plan, signer: TrustedAs
) -> None:
    bad, good = (approving.approve(home, plan, key) for _ in range(2))
    overwrite(home, "UPDATE approval_requests SET document = ? WHERE request_id = ?", b"{}", bad)
    assert isinstance(run_with(home, plan, bad), LedgerDamagedError)
    listed = CliRunner().invoke(cli, ["--home", str(home.root), "approvals"])
    assert listed.exit_code == 0, listed.output
    assert good in listed.output
    assert f"the request {bad} cannot be read" in listed.output
    with Ledger.open(home) as ledger:
        assert Approvals(home, ledger).usable(plan, LiveMode.LIVE) == good


def test_a_denial_that_was_changed_is_no_longer_none(
    home: LedgerHome, key: Path, plan: Plan, signer: TrustedAs
) -> None:
    """Its signature does not hold any more, and yet it must not count for nothing."""
    request = approving.approve(home, plan, key)
    deny(home, request, signer)
    with closing(sqlite3.connect(home.database)) as connection, connection:
        (envelope,) = connection.execute("SELECT envelope FROM approval_decisions WHERE verdict = 'deny'").fetchone()
        payload = envelope.index(b'"payload":"') + 40
        changed = envelope[:payload] + (b"B" if envelope[payload : payload + 1] != b"B" else b"C")
        connection.execute(
            "UPDATE approval_decisions SET envelope = ? WHERE verdict = 'deny'", (changed + envelope[payload + 1 :],)
        )
    refused = run_with(home, plan, request)
    assert isinstance(refused, ApprovalRefusedError)
    assert refused.code == "damaged"


def test_a_denial_that_was_moved_to_another_request_stops_the_run(
    home: LedgerHome, key: Path, plan: Plan, signer: TrustedAs
) -> None:
    request, other = (approving.approve(home, plan, key) for _ in range(2))
    deny(home, request, signer)
    overwrite(home, "UPDATE approval_decisions SET request_id = ? WHERE verdict = 'deny'", other)
    assert "it was moved there" in str(run_with(home, plan, request))


def test_a_used_approval_is_spent_whatever_became_of_the_plan(
    home: LedgerHome, key: Path, make_plan: Callable[..., Plan]
) -> None:
    """Its digest does not match any more, and that is nobody's attack."""
    plan = make_plan({"name": "Say", "shell": "echo said"})
    request = approving.approve(home, plan, key)
    run_plan(plan, home=home, mode=LiveMode.LIVE, request_id=request)
    refused = run_with(home, make_plan({"name": "Say", "shell": "echo more"}), request)
    assert isinstance(refused, ApprovalRefusedError)
    assert refused.code == "spent"
    assert read_posture(home).entry.kept.posture.boundary is BoundaryState.NOMINAL
