"""What is damaged among requests and decisions stops what hangs on it, is named, and hides nothing else."""

from __future__ import annotations

import base64
import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from hearth.cli import cli
from hearth.errors import ApprovalRefusedError, HearthError, LedgerDamagedError
from hearth.ledger import Ledger
from hearth.operations import Approvals, fsck, load_key, read_posture, run_plan
from hearth.record import canonical_bytes
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
        # What cannot be read may have been a denial of whatever was asked for since the last good decision.
        first = approvals.request(plan, signer, requester="ann", reason="once more").asked.request_id
        approvals.decide(first, signer, verdict="approve", reason="")
        good = approving.approve(home, plan, key)
        assert (approvals.view(first).state, approvals.view(good).state) == ("damaged", "approved")
        assert f"may have been a denial of {first}" in approvals.view(first).why
        assert approvals.usable(plan, LiveMode.LIVE) == good
    assert "cannot be read" in str(run_with(home, plan, bad))
    assert "may have been a denial" in str(run_with(home, plan, first))
    listed = CliRunner().invoke(cli, ["--home", str(home.root), "approvals"])
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
    with Ledger.open(home) as ledger:
        assert Approvals(home, ledger).view(request).state == "damaged"
        assert Approvals(home, ledger).view(other).state == "damaged"
        assert Approvals(home, ledger).usable(plan, LiveMode.LIVE) is None
    assert "it was moved there" in str(run_with(home, plan, request))


def _change_payload(envelope: bytes, **signature: str) -> bytes:
    """Return an envelope with another reason, unsigned, and with what it says of who signed."""
    document = json.loads(envelope)
    payload = json.loads(base64.b64decode(document["payload"])) | {"reason": "fine"}
    document["payload"] = base64.b64encode(canonical_bytes(payload)).decode()
    document["signatures"] = [{"sig": document["signatures"][0]["sig"], **signature}]
    return json.dumps(document).encode()


@pytest.mark.parametrize("way", ["copied", "another key", "no key", "no bytes", "its columns", "twice"])
def test_a_denial_that_says_something_else_now_stops_the_run(
    home: LedgerHome, key: Path, plan: Plan, signer: TrustedAs, way: str
) -> None:
    request = approving.approve(home, plan, key)
    deny(home, request, signer)
    with closing(sqlite3.connect(home.database)) as connection, connection:
        (approval,), (denial,) = connection.execute("SELECT envelope FROM approval_decisions ORDER BY id").fetchall()
        if way == "twice":  # the index that keeps a second one out is gone, and its name still there
            connection.execute("DROP INDEX approval_decisions_by_key")
            connection.execute("CREATE INDEX approval_decisions_by_key ON approval_decisions (request_id)")
            connection.execute("UPDATE approval_decisions SET verdict = 'approve'")
        if way == "its columns":
            connection.execute("UPDATE approval_decisions SET verdict = 'approve', key = 'none' WHERE id = 2")
        new = {
            "copied": approval,
            "another key": _change_payload(denial, keyid="00" * 32),
            "no key": _change_payload(denial),
            "no bytes": 7,
            "its columns": approval,
            "twice": approval,
        }[way]
        connection.execute("UPDATE approval_decisions SET envelope = ? WHERE id = 2", (new,))
    with Ledger.open(home) as ledger:
        assert Approvals(home, ledger).view(request).state == "damaged"
    refused = run_with(home, plan, request)
    assert isinstance(refused, ApprovalRefusedError | LedgerDamagedError)
    assert "approval_decisions" in str(refused)


def test_a_row_in_its_place_does_not_swallow_a_denial(
    home: LedgerHome, key: Path, plan: Plan, signer: TrustedAs
) -> None:
    request = approving.approve(home, plan, key)
    with closing(sqlite3.connect(home.database)) as connection, connection:
        connection.execute(
            "INSERT INTO approval_decisions (request_id, approver, key, verdict, created, envelope) "
            "SELECT request_id, approver, key, 'deny', created, envelope FROM approval_decisions"
        )
    with pytest.raises(LedgerDamagedError, match=r"was NOT kept.*hearth lockdown"):
        deny(home, request, signer)
    assert "row 2" in str(run_with(home, plan, request))


def test_saying_so_twice_is_said_of_a_good_row(home: LedgerHome, key: Path, plan: Plan, signer: TrustedAs) -> None:
    request = approving.approve(home, plan, key)
    with Ledger.open(home) as ledger, pytest.raises(ApprovalRefusedError, match="has said so"):
        Approvals(home, ledger).decide(request, signer, verdict="approve", reason="")


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
