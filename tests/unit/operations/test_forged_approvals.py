"""Whoever writes the database past HEARTH neither hides a denial nor uses an approval twice."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from hearth.cli import cli
from hearth.errors import ApprovalRefusedError, HearthError, LedgerDamagedError, LedgerError
from hearth.ledger import Ledger
from hearth.operations import Approvals, fsck, load_key, run_plan
from hearth.plan import ApprovalDecision
from hearth.record import format_time, utc_now
from hearth.security import LiveMode
from tests import approving
from tests.unit.operations.test_damaged_approvals import blind_index, deny, run_with

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hearth.ledger import LedgerHome
    from hearth.operations import TrustedAs
    from hearth.plan import Plan

BLIND = "CASE verdict WHEN 'deny' THEN 'x' ELSE request_id END, key, verdict"


@pytest.fixture
def plan(make_plan: Callable[..., Plan]) -> Plan:
    """Two steps."""
    first: dict[str, Any] = {"name": "Say", "shell": "echo said > out.txt"}
    return make_plan(first, {"name": "More", "shell": "echo more > more.txt"})


@pytest.fixture
def signer(home: LedgerHome, key: Path) -> TrustedAs:
    """Ann, who may do everything."""
    return load_key(home, key)


def change(home: LedgerHome, *statements: str) -> None:
    """Write past HEARTH, foreign keys and constraints."""
    with closing(sqlite3.connect(home.database)) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for statement in statements:
            connection.execute(statement)


def blind(home: LedgerHome) -> None:
    with closing(sqlite3.connect(home.database)) as connection, connection:
        blind_index(connection, BLIND)


class AfterTheFirst:
    """A listener of a run that does something once the first step is done."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act

    def step_finished(self, step: Any, *_: object) -> None:
        if step.index == 0:
            self._act()

    def __getattr__(self, _: str) -> Any:
        return lambda *_: None


def test_an_index_with_false_entries_hides_no_denial(
    home: LedgerHome, key: Path, plan: Plan, signer: TrustedAs
) -> None:
    request = approving.approve(home, plan, key)
    deny(home, request, signer)
    blind(home)
    with Ledger.open(home) as ledger:
        assert Approvals(home, ledger).view(request).state == "denied"
        assert [view.state for view in Approvals(home, ledger).listing()] == ["denied"]
        assert Approvals(home, ledger).usable(plan, LiveMode.LIVE) is None
    refused = run_with(home, plan, request)
    assert isinstance(refused, ApprovalRefusedError)
    assert refused.code == "denied"


def test_an_index_with_false_entries_hides_no_denial_from_a_run_under_way(
    home: LedgerHome, key: Path, plan: Plan, signer: TrustedAs, tmp_path: Path
) -> None:
    request = approving.approve(home, plan, key)
    there = tmp_path / "work"

    def hide() -> None:
        assert (there / "out.txt").exists()
        deny(home, request, signer)
        blind(home)

    outcome = run_plan(plan, home=home, mode=LiveMode.LIVE, request_id=request, listener=AfterTheFirst(hide))
    assert "was denied by ann" in str(outcome.error)
    assert not (there / "more.txt").exists()


def test_an_index_with_false_entries_is_damage_and_stays_it(
    home: LedgerHome, key: Path, plan: Plan, signer: TrustedAs
) -> None:
    request = approving.approve(home, plan, key)
    deny(home, request, signer)
    blind(home)
    for report in (fsck(home), fsck(home, repair=True), fsck(home)):
        assert report.damaged
        assert any("approval_decisions_by_key" in one.what for one in report.findings if not one.repairable)


def test_a_run_on_a_request_that_was_denied_before_is_named(
    home: LedgerHome, key: Path, plan: Plan, signer: TrustedAs
) -> None:
    request = approving.approve(home, plan, key)
    run_plan(plan, home=home, mode=LiveMode.LIVE, request_id=request, execution_id="one")
    assert not fsck(home).damaged
    with Ledger.open(home) as ledger:
        asked = Approvals(home, ledger).view(request).asked
        early = utc_now() - timedelta(minutes=1)
        denial = ApprovalDecision.on(asked, approver="ann", verdict="deny", reason="no", now=early)
        ledger.approvals.add_decision(
            denial.sign(signer.key),
            request_id=request,
            approver="ann",
            key=str(signer.key.public),
            verdict="deny",
            created=format_time(early),
        )
    found = [one for one in fsck(home).findings if "the denial was hidden from it" in one.what]
    assert [one.records for one in found] == [("one",)]


def renumber(home: LedgerHome, way: str, first: str) -> None:
    """Number the decisions anew, so that the denial (the last row) seems to be older than all that was asked."""
    last = "(SELECT max(id) FROM approval_decisions)"
    if way in {"0, damaged", "0, another text"}:
        new = "envelope = x'00', verdict = NULL" if way == "0, damaged" else "envelope = x'7b7d'"
        change(home, f"UPDATE approval_decisions SET id = 0, request_id = '{first}', {new} WHERE verdict = 'deny'")
    elif way == "exchanged":
        change(
            home,
            "UPDATE approval_decisions SET id = -9 WHERE id = 1",
            f"UPDATE approval_decisions SET id = 1, request_id = '{first}', verdict = NULL, envelope = x'00' "
            f"WHERE id = {last}",
            "UPDATE approval_decisions SET id = 4 WHERE id = -9",
        )
    else:
        change(
            home,
            "UPDATE approval_decisions SET id = -id",
            f"UPDATE approval_decisions SET id = 1, request_id = '{first}', verdict = NULL, envelope = x'00' "
            "WHERE id = -4",
            "UPDATE approval_decisions SET id = 1 - id WHERE id < 0",
        )


@pytest.mark.parametrize("way", ["0, damaged", "0, another text", "exchanged", "shifted"])
def test_a_denial_that_was_numbered_anew_still_counts(
    home: LedgerHome, key: Path, plan: Plan, signer: TrustedAs, way: str
) -> None:
    first, _, request = (approving.approve(home, plan, key) for _ in range(3))
    deny(home, request, signer)
    renumber(home, way, first)
    refused = run_with(home, plan, request)
    assert isinstance(refused, ApprovalRefusedError | LedgerDamagedError)
    assert "renumbered" in str(refused) or "may have been a denial" in str(refused)


def used_once(home: LedgerHome, plan: Plan, key: Path) -> tuple[str, str]:
    """Return a request that the run `one` has used, and another one that waits."""
    request, other = (approving.approve(home, plan, key) for _ in range(2))
    run_plan(plan, home=home, mode=LiveMode.LIVE, request_id=request, execution_id="one")
    (plan.folder / "out.txt").unlink()
    return request, other


@pytest.mark.parametrize(
    "old, new",
    [
        ('"request_id":', '"request_id" :'),
        ('"request_id":', '"\\u0072equest_id":'),
        ("{first}", "\\u00{code:x}{rest}"),
        ('"marks":', '"m\\u0061rks":'),
        ('"{request}"', '"{other}"'),
        ("{", "["),
    ],
    ids=["space", "escaped key", "escaped id", "escaped place", "swapped id of another run", "no JSON"],
)
def test_an_approval_is_not_used_again_by_another_spelling_of_its_record(
    home: LedgerHome, key: Path, plan: Plan, old: str, new: str
) -> None:
    request, other = used_once(home, plan, key)
    third = approving.approve(home, plan, key)
    words = {"request": request, "other": third, "first": request, "code": ord(request[0]), "rest": request[1:]}
    with closing(sqlite3.connect(home.database)) as connection, connection:
        (record,) = connection.execute("SELECT record FROM executions").fetchone()
        was, now = (old, new) if len(old) == 1 else (old.format(**words), new.format(**words))
        changed = record.replace(was.encode(), now.encode())
        assert changed != record
        connection.execute("UPDATE executions SET record = ?", (changed,))
        connection.execute("UPDATE approval_uses SET request_id = ?", (other,))
    refused = run_with(home, plan, request)
    assert isinstance(refused, ApprovalRefusedError | LedgerDamagedError)
    assert (
        "was used by the run one" in str(refused) or "approval_uses" in str(refused) or "record of one" in str(refused)
    )


def test_records_that_speak_of_a_request_or_of_escapes_use_nothing(
    home: LedgerHome, key: Path, make_plan: Callable[..., Plan]
) -> None:
    plan = make_plan({"name": "Say", "shell": "echo 'a \\u0061 \\u003c'"})
    request = approving.approve(home, plan, key)
    plan_of_it = make_plan({"name": "Say", "shell": f"echo {request}"})
    told = approving.approve(home, plan_of_it, key)
    assert run_plan(plan_of_it, home=home, mode=LiveMode.LIVE, request_id=told).record.status.value == "completed"
    assert run_plan(plan, home=home, mode=LiveMode.LIVE, request_id=request).record.status.value == "completed"
    assert isinstance(run_with(home, plan, request), ApprovalRefusedError)


SWALLOW = (
    "ALTER TABLE approval_decisions ADD COLUMN x TEXT GENERATED ALWAYS AS "
    "(CASE verdict WHEN 'deny' THEN NULL ELSE 1 END) VIRTUAL NOT NULL ON CONFLICT IGNORE"
)


def test_a_denial_that_is_not_kept_says_so(home: LedgerHome, key: Path, plan: Plan, signer: TrustedAs) -> None:
    request = approving.approve(home, plan, key)
    with Ledger.open(home) as ledger:
        approvals = Approvals(home, ledger)
        change(home, SWALLOW)
        with pytest.raises(LedgerError, match="somebody has changed the ledger's schema"):
            approvals.decide(request, signer, verdict="deny", reason="no")
    denied = CliRunner().invoke(cli, ["--home", str(home.root), "deny", request, "--reason", "no", "--key", str(key)])
    assert denied.exit_code != 0
    assert "changed the ledger's schema" in denied.output


def test_a_decision_is_read_back(
    home: LedgerHome, key: Path, plan: Plan, signer: TrustedAs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever keeps the row out: here what looks at the schema is made blind."""
    request = approving.approve(home, plan, key)
    with Ledger.open(home) as ledger:
        change(home, SWALLOW)
        monkeypatch.setattr("hearth.ledger._approvals.require_own_schema", lambda *_: None)
        with pytest.raises(LedgerError, match=r"of ann was NOT kept: it is not there.*hearth lockdown"):
            Approvals(home, ledger).decide(request, signer, verdict="deny", reason="no")


@pytest.mark.parametrize(
    "statement",
    [
        "PRAGMA application_id = 0",
        "UPDATE alembic_version SET version_num = '0009'",
        "DELETE FROM alembic_version",
        "UPDATE alembic_version SET version_num = CAST(x'ff' AS TEXT)",
        "ALTER TABLE postures RENAME COLUMN why TO why2",
        "ALTER TABLE refusals ADD COLUMN x TEXT",
    ],
)
def test_a_run_under_way_stops_when_the_schema_is_not_what_it_was(
    home: LedgerHome, key: Path, plan: Plan, tmp_path: Path, statement: str
) -> None:
    request = approving.approve(home, plan, key)
    outcome = None
    with suppress(HearthError):  # the record cannot be stored
        outcome = run_plan(
            plan,
            home=home,
            mode=LiveMode.LIVE,
            request_id=request,
            listener=AfterTheFirst(lambda: change(home, statement)),
        )
    assert outcome is None or outcome.record.status.value != "completed"
    assert (tmp_path / "work/out.txt").exists()
    assert not (tmp_path / "work/more.txt").exists()
