"""What is damaged among requests and decisions stops what hangs on it, is named, and hides nothing else."""

from __future__ import annotations

import base64
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from hearth.cli import cli
from hearth.errors import ApprovalRefusedError, HearthError, LedgerDamagedError
from hearth.ledger import Ledger
from hearth.operations import (
    Approvals,
    add_hold,
    emergency_runs,
    fsck,
    keygen,
    load_key,
    read_posture,
    review_emergency,
    review_of,
    run_plan,
)
from hearth.operations._review import REVIEW_TYPE
from hearth.plan import ApprovalDecision, ApprovalRequest
from hearth.record import canonical_bytes, format_time, utc_now
from hearth.security import BoundaryState, LiveMode
from hearth.signing import Envelope, SigningKey
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


def blind_index(connection: sqlite3.Connection, over: str) -> None:
    """Give the decisions' index the entries of another one, and keep the SQL that it had."""
    name = "approval_decisions_by_key"
    (sql,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (name,)).fetchone()
    connection.execute(f"DROP INDEX {name}")
    connection.execute(f"CREATE UNIQUE INDEX {name} ON approval_decisions ({over})")
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", (sql, name))


def deny(home: LedgerHome, request: str, signer: TrustedAs) -> None:
    with Ledger.open(home) as ledger:
        Approvals(home, ledger).decide(request, signer, verdict="deny", reason="not today")


def run_with(home: LedgerHome, plan: Plan, request: str | None) -> HearthError:
    with pytest.raises(HearthError) as caught:
        run_plan(plan, home=home, mode=LiveMode.LIVE, request_id=request)
    assert not (plan.folder / "out.txt").exists()
    return caught.value


def test_a_decision_that_cannot_be_read_may_have_been_a_denial_of_every_request(
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
        # Rows can be numbered anew: where the row stands does not tell that the request is later than what it said.
        first = approvals.request(plan, signer, requester="ann", reason="once more").asked.request_id
        assert approvals.view(first).state == "waiting"
        approvals.decide(first, signer, verdict="approve", reason="")
        assert approvals.view(first).state == "damaged"
        assert f"may have been a denial of {first}" in approvals.view(first).why
    assert "cannot be read" in str(run_with(home, plan, bad))
    assert "may have been a denial" in str(run_with(home, plan, first))
    listed = CliRunner().invoke(cli, ["--home", str(home.root), "approvals"])
    assert "damaged" in listed.output
    assert any("row 2" in finding.where for finding in fsck(home).findings)


def test_a_request_that_cannot_be_read_is_named_and_hides_no_other(
    home: LedgerHome, key: Path, plan: Plan, signer: TrustedAs
) -> None:
    bad, good = (approving.approve(home, plan, key) for _ in range(2))
    overwrite(home, "UPDATE approval_requests SET document = ? WHERE request_id = ?", b"{}", bad)
    assert isinstance(run_with(home, plan, bad), LedgerDamagedError)
    listed = CliRunner().invoke(cli, ["--home", str(home.root), "approvals"])
    assert listed.exit_code == 5, listed.output
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
        if way == "twice":  # what keeps a second one out has false entries, and the right SQL
            blind_index(connection, "CASE id WHEN 2 THEN 'x' ELSE request_id END, key, verdict")
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


def emergency(home: LedgerHome, plan: Plan, signer: TrustedAs, name: str = "urgent-1") -> str:
    """Break the glass for a run, and return its request."""
    with Ledger.open(home) as ledger:
        view = Approvals(home, ledger).approve_own(
            plan, signer, requester="ann", reason="fire", mode=LiveMode.LIVE, emergency=True
        )
    run_plan(plan, home=home, mode=LiveMode.LIVE, request_id=view.asked.request_id, execution_id=name)
    return view.asked.request_id


def other_operator(home: LedgerHome) -> TrustedAs:
    path = home.root.parent / "bob.pem"
    public = keygen(path).public
    home.policy.write_text(home.policy.read_text() + f"    bob: {{key: '{public}', roles: [operator]}}\n")
    return load_key(home, path)


COMMANDS = (["approvals"], ["list"], ["state"], ["show", "urgent-1"])


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE approval_decisions SET envelope = x'00'",
        "UPDATE reviews SET envelope = 7",
        "UPDATE reviews SET envelope = 'text'",
    ],
)
def test_what_is_damaged_about_an_emergency_breaks_no_command(
    home: LedgerHome, plan: Plan, signer: TrustedAs, statement: str
) -> None:
    emergency(home, plan, signer)
    bob = other_operator(home)
    review_emergency(home, "urgent-1", bob, reason="all is well")
    with Ledger.open(home) as ledger:
        assert emergency_runs(home, ledger) == {"urgent-1": True}
    overwrite(home, statement)
    with Ledger.open(home) as ledger:
        assert emergency_runs(home, ledger) == {"urgent-1": False}
        assert review_of(home, ledger, "urgent-1") is None
    for command in COMMANDS:
        result = CliRunner().invoke(cli, ["--home", str(home.root), *command])
        assert "internal error" not in result.output
        assert "urgent-1" in result.output, command


def test_who_broke_the_glass_does_not_review_it_by_damaging_the_decision(
    home: LedgerHome, plan: Plan, signer: TrustedAs
) -> None:
    """Entry 0 names who approved; a decision that another key has signed does not outweigh it."""
    request = emergency(home, plan, signer)
    with Ledger.open(home) as ledger:
        asked = ApprovalRequest.read(ledger.approvals.find(request).request)
    stranger = SigningKey.generate()
    decision = ApprovalDecision.on(asked, approver="eve", verdict="approve", reason="", now=utc_now()).sign(stranger)
    overwrite(
        home,
        "UPDATE approval_decisions SET approver = 'eve', key = ?, envelope = ?",
        str(stranger.public),
        decision.to_json(),
    )
    with pytest.raises(ApprovalRefusedError, match="broke the glass"):
        review_emergency(home, "urgent-1", signer, reason="all is well")
    with Ledger.open(home) as ledger:
        document = {
            "ledger_id": ledger.ledger_id, "execution_id": "urgent-1", "request_id": request,
            "reviewer": "ann", "reason": "all is well", "created": format_time(utc_now()),
        }  # fmt: skip
        own = Envelope.sign(canonical_bytes(document), REVIEW_TYPE, signer.key)
        ledger.approvals.add_review(own, execution_id="urgent-1", reviewer="ann", created=document["created"])
        assert review_of(home, ledger, "urgent-1") is None


def test_a_damaged_decision_keeps_whoever_it_was_from_reviewing(
    home: LedgerHome, plan: Plan, signer: TrustedAs
) -> None:
    emergency(home, plan, signer)
    overwrite(home, "UPDATE approval_decisions SET envelope = x'00'")
    for reviewer in (signer, other_operator(home)):
        with pytest.raises(HearthError, match=r"broke the glass|cannot be read"):
            review_emergency(home, "urgent-1", reviewer, reason="all is well")


def test_a_hold_with_another_type_of_name_is_still_listed(home: LedgerHome) -> None:
    add_hold(home, "plan", "court", reason="a suit")
    overwrite(home, "UPDATE legal_holds SET name = x'ff41', why = 7")
    for arguments in (["hold", "list"], ["hold", "list", "--json"]):
        result = CliRunner().invoke(cli, ["--home", str(home.root), *arguments])
        assert result.exit_code == 0, result.output
        assert "xffA" in result.output


def test_a_request_of_another_type_is_named(home: LedgerHome, key: Path, plan: Plan) -> None:
    bad = approving.approve(home, plan, key)
    overwrite(home, "UPDATE approval_requests SET document = 'text'")
    refused = run_with(home, plan, None)
    assert isinstance(refused, ApprovalRefusedError)
    assert refused.code == "damaged"
    assert f"the request {bad} cannot be read" in str(refused)
    listed = CliRunner().invoke(cli, ["--home", str(home.root), "approvals"])
    assert f"the request {bad} cannot be read" in listed.output


def test_a_request_dated_at_the_end_of_time_hides_no_other(
    home: LedgerHome, key: Path, plan: Plan, signer: TrustedAs
) -> None:
    last = datetime.max.replace(tzinfo=UTC)
    good = approving.approve(home, plan, key)
    with Ledger.open(home) as ledger:
        approvals = Approvals(home, ledger)
        asked = ApprovalRequest.read(ledger.approvals.find(good).request)
        far = replace(asked, request_id="f" * 16, created=last, not_before=last, expires=last)
        ledger.approvals.add_request(
            far.sign(signer.key), request_id=far.request_id, plan_id=far.plan_id, plan_digest=far.plan_digest,
            created=format_time(last),
        )  # fmt: skip
        assert [view.state for view in approvals.listing()] == ["not_yet", "approved"]
    assert run_plan(plan, home=home, mode=LiveMode.LIVE).record.status.value == "completed"


def test_a_use_row_alone_makes_no_version_that_was_approved(
    home: LedgerHome, key: Path, signer: TrustedAs, make_plan: Callable[..., Plan]
) -> None:
    with Ledger.open(home) as ledger:
        approvals = Approvals(home, ledger)
        before = make_plan({"name": "Say", "shell": "echo before"})
        asked = approvals.request(before, signer, requester="ann", reason="a test").asked
        ledger.approvals.use(asked.request_id, "made-up", now=utc_now(), emergency=False)
        after = approvals.request(make_plan({"name": "Say", "shell": "echo after"}), signer, requester="a", reason="b")
        assert approvals.last_approved(after) is None
    assert any(f"{asked.request_id}, which made-up used up, has 0 of 1" in note for note in fsck(home).notes)


def test_a_denial_that_is_moved_once_a_run_has_looked_keeps_it_from_using_the_approval(
    home: LedgerHome, key: Path, plan: Plan, signer: TrustedAs
) -> None:
    """Between the look and the use somebody may have moved it: the use looks again, as the only writer."""
    request, other = (approving.approve(home, plan, key) for _ in range(2))
    deny(home, request, signer)
    overwrite(home, "UPDATE approval_decisions SET request_id = ? WHERE verdict = 'deny'", other)
    with Ledger.open(home) as ledger:
        with pytest.raises(LedgerDamagedError, match="moved there"):
            ledger.approvals.use(request, "one", now=utc_now(), emergency=False)
        assert ledger.approvals.use_by("one") is None
