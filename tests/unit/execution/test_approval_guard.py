"""A run is held to its approval before it begins and before every step."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import ApprovalRefusedError, GateRefusedError, LedgerDamagedError, StepFailedError
from hearth.kernel import HearthKernel
from hearth.ledger import Ledger
from hearth.operations import Approvals, initialise, load_key, purge, run_plan
from hearth.plan import parse_plan
from hearth.record import ExecutionStatus, canonical_bytes, utc_now
from hearth.recorder import ExecutionObserver
from hearth.security import LiveMode
from hearth.signing import Envelope
from tests import approving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hearth.ledger import LedgerHome
    from hearth.plan import Plan

FIRST: dict[str, Any] = {"name": "First", "file": {"write": "first.txt", "content": "1"}}
SECOND: dict[str, Any] = {"name": "Second", "file": {"write": "second.txt", "content": "2"}}


@pytest.fixture
def home(tmp_path: Path) -> LedgerHome:
    """A ledger."""
    return initialise(tmp_path / ".hearth").home


@pytest.fixture
def key(home: LedgerHome) -> Path:
    """A key that it trusts."""
    return approving.trust(home)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """A plan of two steps."""
    (tmp_path / "work").mkdir()
    return parse_plan({"plan": "two", "steps": [FIRST, SECOND]}, folder=tmp_path / "work")


class AfterTheFirst:
    """Does something once the first step is done."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act

    def step_finished(self, step: Any, outcome: object, seconds: float) -> None:
        if step.index == 0:
            self._act()

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def run_until_refused(home: LedgerHome, plan: Plan, request: str, act: Callable[[], object]) -> StepFailedError:
    """Run live, with `act` between the two steps; the second step must not have been done."""
    outcome = run_plan(plan, home=home, mode=LiveMode.LIVE, request_id=request, listener=AfterTheFirst(act))
    assert isinstance(outcome.error, StepFailedError), outcome
    assert outcome.record.status is ExecutionStatus.FAILED
    assert outcome.record.verify()
    assert (plan.cwd / "first.txt").exists()
    assert not (plan.cwd / "second.txt").exists()
    return outcome.error


def test_a_denial_stops_a_run_under_way(home: LedgerHome, key: Path, plan: Plan) -> None:
    request = approving.approve(home, plan, key)

    def deny() -> None:
        with Ledger.open(home) as ledger:
            Approvals(home, ledger).decide(request, load_key(home, key), verdict="deny", reason="not now")

    error = run_until_refused(home, plan, request, deny)
    assert "step 1 (Second) was not begun" in str(error)
    assert "was denied by ann: not now" in str(error)


def test_a_key_that_the_policy_drops_stops_a_run_under_way(home: LedgerHome, key: Path, plan: Plan) -> None:
    request = approving.approve(home, plan, key)
    error = run_until_refused(home, plan, request, lambda: home.policy.write_text("approvals: {self_approval: true}\n"))
    assert "no approval" in str(error)


def test_an_approval_that_expires_stops_a_run_under_way(
    home: LedgerHome, key: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = approving.approve(home, plan, key)
    later = utc_now() + timedelta(days=2)
    error = run_until_refused(home, plan, request, lambda: _turn_clock(monkeypatch, later))
    assert "expired" in str(error)


def _turn_clock(monkeypatch: pytest.MonkeyPatch, later: Any) -> None:
    from hearth.execution import ApprovalGuard

    original = ApprovalGuard._circumstances

    def circumstances(self: ApprovalGuard) -> Any:
        self._now = lambda: later
        return original(self)

    monkeypatch.setattr(ApprovalGuard, "_circumstances", circumstances)


def test_a_changed_policy_that_cannot_be_read_stops_a_run_under_way(home: LedgerHome, key: Path, plan: Plan) -> None:
    request = approving.approve(home, plan, key)
    error = run_until_refused(home, plan, request, lambda: home.policy.write_text("approvals: [\n"))
    assert "policy" in str(error)


def test_one_approval_is_one_run(home: LedgerHome, key: Path, plan: Plan) -> None:
    request = approving.approve(home, plan, key)
    first = run_plan(plan, home=home, mode=LiveMode.LIVE, request_id=request)
    assert first.record.status is ExecutionStatus.COMPLETED
    with pytest.raises(ApprovalRefusedError) as caught:
        run_plan(plan, home=home, mode=LiveMode.LIVE, request_id=request)
    assert caught.value.code == "spent"
    assert first.record.execution_id in str(caught.value)


def test_without_one_nothing_runs_live_on_a_ledger(home: LedgerHome, plan: Plan) -> None:
    with HearthKernel.open(home) as kernel:
        kernel.arm("LIVE", who="ann", why="to try")
        with pytest.raises(ApprovalRefusedError):
            kernel.executor().execute(plan)
        with pytest.raises(ApprovalRefusedError):
            kernel.executor(approval={"kind": "made up"}).execute(plan)
        assert kernel.ledger.count() == 0
    assert not (plan.cwd / "first.txt").exists()


def test_a_refusal_is_counted(home: LedgerHome, plan: Plan) -> None:
    before = utc_now() - timedelta(seconds=1)
    with pytest.raises(ApprovalRefusedError):
        run_plan(plan, home=home, mode=LiveMode.LIVE)
    with Ledger.open(home) as ledger:
        assert ledger.approvals.refusals_since(before) == 1


def test_a_dry_run_needs_none_and_uses_none(home: LedgerHome, key: Path, plan: Plan) -> None:
    request = approving.approve(home, plan, key)
    assert run_plan(plan, home=home, request_id=request).record.status is ExecutionStatus.COMPLETED
    with Ledger.open(home) as ledger:
        assert Approvals(home, ledger).view(request).state == "approved"


def test_a_volume_without_room_uses_no_approval_up(home: LedgerHome, key: Path, plan: Plan) -> None:
    request = approving.approve(home, plan, key)
    before = home.policy.read_text()
    home.policy.write_text(before + "journal: {free_space_mb: 1000000}\n")
    with pytest.raises(GateRefusedError, match="make room"):
        run_plan(plan, home=home, mode=LiveMode.LIVE, request_id=request)
    home.policy.write_text(before)
    with Ledger.open(home) as ledger:
        assert Approvals(home, ledger).view(request).state == "approved"


def change(home: LedgerHome, *statements: str) -> None:
    with closing(sqlite3.connect(home.database)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def refused(home: LedgerHome, plan: Plan, request: str) -> str:
    with pytest.raises((ApprovalRefusedError, LedgerDamagedError)) as caught:
        run_plan(plan, home=home, mode=LiveMode.LIVE, request_id=request)
    assert not (plan.cwd / "first.txt").exists()
    return str(caught.value)


def used_before(home: LedgerHome, plan: Plan, key: Path) -> str:
    """Return a request that a run has used; what the run did is taken back, so that a second one would show."""
    request = approving.approve(home, plan, key)
    run_plan(plan, home=home, mode=LiveMode.LIVE, request_id=request, execution_id="one")
    (plan.cwd / "first.txt").unlink()
    return request


def test_rows_under_other_names_make_no_second_run(home: LedgerHome, key: Path, plan: Plan) -> None:
    """A copied request that names a row which holds the used one: each is signed as something else than its row."""
    request = used_before(home, plan, key)
    with Ledger.open(home) as ledger:
        row = ledger.approvals.find(request)
    document = json.loads(row.request.payload) | {"request_id": "y" * 16}
    crossed = Envelope(canonical_bytes(document), row.request.payload_type, row.request.signatures)
    with closing(sqlite3.connect(home.database)) as connection, connection:
        for name, envelope in (("x" * 16, crossed), ("y" * 16, row.request)):
            connection.execute(
                "INSERT INTO approval_requests (request_id, plan_id, plan_digest, created, document) "
                "VALUES (?, ?, ?, ?, ?)",
                (name, row.plan_id, row.plan_digest, row.created, envelope.to_json()),
            )
    assert "was signed as" in refused(home, plan, "x" * 16)
    assert "was signed as" in refused(home, plan, "y" * 16)
    change(
        home,
        "INSERT INTO approval_decisions (request_id, approver, key, verdict, created, envelope) "
        f"SELECT '{'x' * 16}', approver, key, verdict, created, envelope FROM approval_decisions",
    )
    assert "was signed as" in refused(home, plan, "x" * 16)


@pytest.mark.parametrize("purged", [False, True])
def test_a_use_whose_row_was_moved_is_known_from_the_record(
    home: LedgerHome, key: Path, plan: Plan, purged: bool
) -> None:
    request = used_before(home, plan, key)
    if purged:
        home.policy.write_text(home.policy.read_text() + "retention: {minimum_age: 1s}\n")
        time.sleep(1.1)
        assert [one.outcome for one in purge(home, executions=["one"], reason="tidy").records] == ["purged"]
    change(home, "UPDATE approval_uses SET request_id = 'elsewhere'")
    assert "was used by the run one" in refused(home, plan, request)


@pytest.mark.parametrize("table", ["approval_uses", "approval_decisions", "approval_requests"])
def test_no_approval_is_used_where_rows_are_missing(home: LedgerHome, key: Path, plan: Plan, table: str) -> None:
    request = approving.approve(home, plan, key)
    other = approving.approve(home, plan, key)
    run_plan(plan, home=home, mode=LiveMode.LIVE, request_id=other)
    (plan.cwd / "first.txt").unlink()
    change(home, f"DELETE FROM {table} WHERE request_id = '{other}'")
    assert f"rows of the table {table} were removed" in refused(home, plan, request)


def test_a_decision_that_goes_stops_a_run_under_way(home: LedgerHome, key: Path, plan: Plan) -> None:
    request = approving.approve(home, plan, key)

    def deny_and_cover() -> None:
        with Ledger.open(home) as ledger:
            Approvals(home, ledger).decide(request, load_key(home, key), verdict="deny", reason="not now")
        change(home, "DELETE FROM approval_decisions WHERE verdict = 'approve'")

    assert "approval_decisions were removed" in str(run_until_refused(home, plan, request, deny_and_cover))


def deny(home: LedgerHome, key: Path, request: str) -> None:
    with Ledger.open(home) as ledger:
        Approvals(home, ledger).decide(request, load_key(home, key), verdict="deny", reason="not now")


@pytest.mark.parametrize(
    "statement, told",
    [
        ("UPDATE approval_decisions SET request_id = '{other}' WHERE verdict = 'deny'", "was moved there"),
        (
            "UPDATE approval_decisions SET request_id = '{other}', envelope = x'00' WHERE verdict = 'deny'",
            "a denial of",
        ),
        ("DELETE FROM approval_decisions WHERE verdict = 'deny'", "were removed"),
        (
            "UPDATE approval_decisions SET envelope = (SELECT envelope FROM approval_decisions LIMIT 1) WHERE id > 2",
            "is not what its row says",
        ),
    ],
    ids=["moved", "moved and damaged", "deleted", "overwritten"],
)
def test_a_denial_that_is_gone_again_stops_a_run_under_way(
    home: LedgerHome, key: Path, plan: Plan, statement: str, told: str
) -> None:
    other, request = (approving.approve(home, plan, key) for _ in range(2))

    def deny_and_hide() -> None:
        deny(home, key, request)
        change(home, statement.format(other=other))

    assert told in str(run_until_refused(home, plan, request, deny_and_hide))


@pytest.mark.parametrize(
    "statement, told",
    [
        ("DELETE FROM approval_uses", "rows of the table approval_uses were removed"),
        ("UPDATE approval_uses SET execution_id = 'another'", "is not there any more, or names another run"),
        ("UPDATE approval_uses SET request_id = 'another'", "is not there any more, or names another run"),
        ("UPDATE approval_decisions SET envelope = x'00'", "(approval_decisions, row 1) cannot be read"),
        ("UPDATE approval_decisions SET key = 'ed25519:A'", "(approval_decisions, row 1) cannot be read"),
        ("UPDATE approval_requests SET document = x'00'", "cannot be read"),
        ("CREATE INDEX more ON postures(who)", "somebody has changed the ledger's schema"),
        (
            "CREATE TRIGGER more AFTER INSERT ON postures BEGIN DELETE FROM postures; END",
            "somebody has changed the ledger's schema",
        ),
    ],
)
def test_rows_and_schemas_that_change_stop_a_run_under_way(
    home: LedgerHome, key: Path, plan: Plan, statement: str, told: str
) -> None:
    request = approving.approve(home, plan, key)
    assert told in str(run_until_refused(home, plan, request, lambda: change(home, statement)))


def test_what_hearth_itself_does_to_the_schema_stops_no_run(home: LedgerHome, key: Path, plan: Plan) -> None:
    request = approving.approve(home, plan, key)
    with closing(sqlite3.connect(home.database)) as connection:
        tidy = AfterTheFirst(lambda: connection.execute("VACUUM"))  # as a purge does; it counts the schema up
        outcome = run_plan(plan, home=home, mode=LiveMode.LIVE, request_id=request, listener=tidy)
    assert outcome.record.status is ExecutionStatus.COMPLETED


def test_a_killed_runs_journal_names_what_it_used(home: LedgerHome, key: Path, plan: Plan) -> None:
    request, other = (approving.approve(home, plan, key) for _ in range(2))
    run_plan(
        plan, home=home, mode=LiveMode.LIVE, request_id=request, execution_id="one",
        listener=AfterTheFirst(lambda: shutil.copy(home.journal_path("one"), home.root / "kept")),
    )  # fmt: skip
    change(home, "DELETE FROM execution_texts", "DELETE FROM executions")  # as if it had been killed and never sealed
    (home.root / "kept").rename(home.journal_path("one"))
    for name in ("first.txt", "second.txt"):
        (plan.cwd / name).unlink()
    change(home, f"UPDATE approval_uses SET request_id = '{'z' * 16}'")
    assert "was used by the run one" in refused(home, plan, request)
    assert "the journal of one says that it used" in refused(home, plan, other)


def test_a_date_beside_a_record_hides_no_use(home: LedgerHome, key: Path, plan: Plan) -> None:
    request = used_before(home, plan, key)
    change(
        home,
        "UPDATE approval_uses SET request_id = 'elsewhere'",
        "UPDATE executions SET started = '2000-01-01T00:00:00.000000Z'",
    )
    assert "was used by the run one" in refused(home, plan, request)


def test_what_a_step_writes_down_uses_no_approval_up(home: LedgerHome, key: Path, plan: Plan) -> None:
    request = approving.approve(home, plan, key)
    observer = ExecutionObserver("spender", "plan", live_mode="DRY_RUN")
    observer.record_step_started(0, "Spend", {"approval": {"request_id": request}})
    observer.record_step_completed(0, "Spend")
    observer.mark_completed()
    with Ledger.open(home) as ledger:
        ledger.store(observer.get_execution_record())
        assert f'"request_id":"{request}"'.encode() in ledger.get_bytes("spender")
    outcome = run_plan(plan, home=home, mode=LiveMode.LIVE, request_id=request)
    assert outcome.record.status is ExecutionStatus.COMPLETED
