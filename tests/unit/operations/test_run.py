"""Running a plan with a ledger: what is refused, what is recorded, what an end means."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from hearth.errors import ApprovalRefusedError, DuplicateExecutionError, GateRefusedError, LedgerError, StepFailedError
from hearth.operations import Confirmation, PlanArchive, Records, person, run_plan
from hearth.record import ExecutionStatus, format_time, thaw
from hearth.security import LiveMode
from tests import approving
from tests.unit.operations._steps import CONFIRMED, FAIL, WRITE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hearth.ledger import LedgerHome
    from hearth.operations import RunOutcome
    from hearth.plan import Plan


def test_without_a_word_it_is_a_dry_run(home: LedgerHome, make_plan: Callable[..., Plan], tmp_path: Path) -> None:
    outcome = run_plan(make_plan(WRITE), home=home)
    assert outcome.record.live_mode_state == "DRY_RUN"
    assert outcome.record.status is ExecutionStatus.COMPLETED
    assert not (tmp_path / "work" / "made.txt").exists()


@pytest.mark.parametrize("confirmation", [None, CONFIRMED])
def test_live_needs_an_approval_not_a_confirmation(
    home: LedgerHome, make_plan: Callable[..., Plan], tmp_path: Path, confirmation: Confirmation | None
) -> None:
    with pytest.raises(ApprovalRefusedError, match="hearth keygen --trust"):
        run_plan(make_plan(WRITE), home=home, mode=LiveMode.LIVE, confirmation=confirmation)
    assert not (tmp_path / "work" / "made.txt").exists()
    with Records(home) as records:
        assert records.ledger.count() == 0
        assert records.journals() == []


def test_who_approved_and_why_stands_in_entry_0(
    run: Callable[..., RunOutcome], records: Records, tmp_path: Path
) -> None:
    outcome = run(WRITE, execution_id="one")
    assert (tmp_path / "work" / "made.txt").read_text() == "made\n"
    stored = records.ledger.get("one")
    assert stored == outcome.record
    said = thaw(stored.started["approval"])
    assert said.pop("expires") > format_time(stored.timestamp_start)
    with Records(records.home) as again:
        (asked,) = again.ledger.approvals.listing()
    assert said == {
        "kind": "approval",
        "request_id": asked.request_id,
        "requester": "ann",
        "requester_key": "ann",
        "approvers": ["ann"],
        "reason": "a test",
        "preview_digest": None,
    }
    assert asked.use is not None
    assert asked.use.execution_id == "one"
    assert stored.started["initiator"] == person()
    assert stored.started["ledger_id"] == records.ledger.ledger_id
    assert stored.verify()


def test_a_failed_step_is_an_outcome(run: Callable[..., RunOutcome], records: Records) -> None:
    outcome = run(WRITE, FAIL, execution_id="two")
    assert isinstance(outcome.error, StepFailedError)
    assert outcome.record.status is ExecutionStatus.FAILED
    assert records.ledger.get("two") == outcome.record


def test_the_plan_is_kept_before_it_runs(run: Callable[..., RunOutcome], home: LedgerHome) -> None:
    outcome = run(WRITE)
    kept = PlanArchive(home).of(outcome.record)
    assert kept is not None
    assert kept.digest == outcome.record.started["plan_digest"]
    assert kept.copy == outcome.record.started["plan_copy"]


def test_a_plan_that_cannot_be_kept_does_not_run(
    home: LedgerHome, key: Path, make_plan: Callable[..., Plan], tmp_path: Path
) -> None:
    request = approving.approve(home, make_plan(WRITE), key)
    shutil.rmtree(home.root / "plans")
    (home.root / "plans").write_text("in the way")
    with pytest.raises(LedgerError, match="nothing was started"):
        run_plan(make_plan(WRITE), home=home, mode=LiveMode.LIVE, request_id=request)
    assert not (tmp_path / "work" / "made.txt").exists()


def test_an_id_is_used_once(run: Callable[..., RunOutcome], tmp_path: Path) -> None:
    run(WRITE, execution_id="same")
    (tmp_path / "work" / "made.txt").unlink()
    with pytest.raises(DuplicateExecutionError):
        run(WRITE, execution_id="same")
    assert not (tmp_path / "work" / "made.txt").exists()


def test_staging_needs_the_policy_not_a_confirmation(
    home: LedgerHome, make_plan: Callable[..., Plan], tmp_path: Path
) -> None:
    with pytest.raises(GateRefusedError, match="does not list for STAGING"):
        run_plan(make_plan(WRITE), home=home, mode=LiveMode.STAGING)
    home.policy.write_text('staging: {targets: ["file:*/made.txt"]}\n')
    outcome = run_plan(make_plan(WRITE), home=home, mode=LiveMode.STAGING)
    assert outcome.record.live_mode_state == "STAGING"
    assert (tmp_path / "work" / "made.txt").exists()


def test_a_record_that_cannot_be_stored_is_a_note_of_a_failed_run(
    run: Callable[..., RunOutcome], home: LedgerHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hearth.ledger import Ledger

    def refuse(*_: object) -> bool:
        raise LedgerError("the disk is full")

    monkeypatch.setattr(Ledger, "store", refuse)
    outcome = run(FAIL, execution_id="unkept")
    assert outcome.record.status is ExecutionStatus.FAILED
    assert any("the disk is full" in note and "hearth recover" in note for note in outcome.notes)
    assert not outcome.stored
    assert home.journal_path("unkept").exists()
