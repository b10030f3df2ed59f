"""A run without a ledger: a journal while it lasts, a file when it ended."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from hearth.errors import GateRefusedError, LedgerError, RecorderError, StepFailedError
from hearth.operations import _standalone as module
from hearth.operations import observation_plan, run_standalone, verify_file
from hearth.record import ExecutionRecord, ExecutionStatus
from hearth.security import LiveMode, Policy
from tests.unit.operations._steps import CONFIRMED, FAIL, WRITE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hearth.plan import Plan


def test_the_record_is_a_file_that_verifies(make_plan: Callable[..., Plan], tmp_path: Path) -> None:
    outcome = run_standalone(
        make_plan(WRITE), folder=tmp_path / "out", mode=LiveMode.LIVE, confirmation=CONFIRMED, execution_id="a/b"
    )
    assert outcome.path == tmp_path / "out" / "a%2Fb.json"
    assert verify_file(outcome.path).verdict
    assert ExecutionRecord.from_dict(json.loads(outcome.path.read_bytes())) == outcome.record
    assert list((tmp_path / "out").glob("*.journal")) == []


def test_a_failed_run_is_saved_too(make_plan: Callable[..., Plan], tmp_path: Path) -> None:
    outcome = run_standalone(
        make_plan(FAIL), folder=tmp_path / "out", mode=LiveMode.LIVE, confirmation=CONFIRMED, execution_id="x"
    )
    assert isinstance(outcome.error, StepFailedError)
    assert outcome.record.status is ExecutionStatus.FAILED
    assert verify_file(outcome.path).verdict


def test_live_needs_a_confirmation_here_too(make_plan: Callable[..., Plan], tmp_path: Path) -> None:
    with pytest.raises(GateRefusedError):
        run_standalone(make_plan(WRITE), folder=tmp_path / "out", mode=LiveMode.LIVE)
    assert not (tmp_path / "out").exists()


def test_a_record_is_never_overwritten(make_plan: Callable[..., Plan], tmp_path: Path) -> None:
    run_standalone(make_plan(WRITE), folder=tmp_path / "out", execution_id="x")
    before = (tmp_path / "out" / "x.json").read_bytes()
    with pytest.raises(RecorderError, match="exists"):
        run_standalone(make_plan(WRITE), folder=tmp_path / "out", execution_id="x")
    assert (tmp_path / "out" / "x.json").read_bytes() == before


def test_the_journal_stays_when_the_record_cannot_be_saved(
    make_plan: Callable[..., Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise LedgerError("the disk is full")

    monkeypatch.setattr(module, "write_file", refuse)
    with pytest.raises(LedgerError, match="the disk is full"):
        run_standalone(make_plan(WRITE), folder=tmp_path / "out", execution_id="x")
    assert verify_file(tmp_path / "out" / "x.journal").verdict


def test_no_journal_no_action(make_plan: Callable[..., Plan], tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file where the folder should be")
    with pytest.raises(RecorderError, match="nothing was started"):
        run_standalone(make_plan(WRITE), folder=tmp_path / "out", mode=LiveMode.LIVE, confirmation=CONFIRMED)
    assert not (tmp_path / "work" / "made.txt").exists()


def test_the_observation_plan_does_what_it_says(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    plan = observation_plan(work)
    policy = Policy(
        (f"host:*:{work.resolve()}", f"file:{work.resolve()}/*", f"sql:sqlite:///{work.resolve()}/readings.db")
    )
    outcome = run_standalone(plan, folder=tmp_path / "out", mode=LiveMode.STAGING, policy=policy)
    assert outcome.record.status is ExecutionStatus.COMPLETED
    assert len(outcome.record.side_effects_report.side_effects_observed) >= 3
    assert sorted(path.name for path in work.iterdir()) == ["readings.db"]
