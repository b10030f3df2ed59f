from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth.record import ExecutionRecord, ExecutionStatus
from hearth.recorder import ExecutionObserver
from hearth.rollback import ExecutedStep, RollbackHint, RollbackPlanner, RollbackScaffold, StepOutcome
from tests.unit.rollback._runs import Kernel, hint, run

plan_rollback = RollbackPlanner.plan_rollback


def indices(scaffold: RollbackScaffold) -> list[int]:
    return [given.step_index for given in scaffold.rollback_hints]


# --- whether ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mark, status",
    [
        ("failed", ExecutionStatus.FAILED),
        ("completed", ExecutionStatus.COMPLETED_PARTIAL),
        ("interrupted", ExecutionStatus.INCOMPLETE),
        ("recovered", ExecutionStatus.INCOMPLETE),
        ("recorder_failure", ExecutionStatus.INCOMPLETE),
    ],
)
@pytest.mark.parametrize("kernel", [None, "OPERATIONAL"])
def test_possible_after_a_run_that_did_not_complete(mark: str, status: ExecutionStatus, kernel: str | None) -> None:
    record = run("0+ 1-", mark=mark, kernel=kernel and Kernel())
    scaffold = plan_rollback(record, [hint(0), hint(1)])
    assert record.status is status
    assert scaffold.is_rollback_possible
    assert scaffold.execution_id == "run-1"
    assert scaffold.status is status
    assert indices(scaffold) == [1, 0]
    assert "hints for 2 of the 2 steps that ran" in scaffold.reason


def test_not_needed_after_a_completed_run() -> None:
    scaffold = plan_rollback(run("0+ 1!+", mark="completed"), [hint(0), hint(1)])
    assert not scaffold.is_rollback_possible
    assert scaffold.reason == "Rollback is not needed: the execution completed, every step as planned."
    assert scaffold.rollback_hints == ()
    assert scaffold.manual_steps == ()
    assert scaffold.irreversible_steps == (1,)


@pytest.mark.parametrize("kernel", [None, Kernel(), Kernel(after="LOCKDOWN")])
def test_impossible_after_an_escalation(kernel: Kernel | None) -> None:
    scaffold = plan_rollback(run("0+ 1?", mark="escalation", kernel=kernel), [hint(0), hint(1)])
    assert not scaffold.is_rollback_possible
    assert "stopped by a security escalation (an intruder)" in scaffold.reason
    assert scaffold.rollback_hints == ()
    assert scaffold.manual_steps == (1, 0)


@pytest.mark.parametrize("state", ["DEGRADED", "COMPROMISED", "LOCKDOWN", "operational-ish"])
@pytest.mark.parametrize("mark", ["failed", "completed", "interrupted"])
def test_impossible_when_the_posture_is_worse_afterwards(state: str, mark: str) -> None:
    scaffold = plan_rollback(run("0+", mark=mark, kernel=Kernel(after=state)), [hint(0)])
    assert not scaffold.is_rollback_possible
    assert f"was {state.upper()}, not OPERATIONAL" in scaffold.reason
    assert scaffold.rollback_hints == ()
    assert scaffold.manual_steps == (0,)


def test_a_worse_posture_before_the_run_alone_forbids_nothing() -> None:
    assert plan_rollback(run("0-", kernel=Kernel(before="DEGRADED")), [hint(0)]).is_rollback_possible


def test_not_possible_when_a_kernel_cannot_say_its_state_at_the_end() -> None:
    kernel = Kernel()
    kernel.states.pop()
    scaffold = plan_rollback(run("0-", kernel=kernel), [hint(0)])
    assert not scaffold.is_rollback_possible
    assert "could not tell its state at the end" in scaffold.reason
    assert scaffold.rollback_hints == ()
    assert any("security state after the run is not known" in warning for warning in scaffold.warnings)


def test_not_possible_when_a_kernel_says_that_it_does_not_know() -> None:
    assert not plan_rollback(run("0-", kernel=Kernel(after="UNKNOWN")), [hint(0)]).is_rollback_possible
    assert not plan_rollback(run("0-", kernel=Kernel(after="")), [hint(0)]).is_rollback_possible


def test_a_boundary_that_a_kernel_cannot_tell_is_a_warning() -> None:
    scaffold = plan_rollback(run("0-", kernel=Kernel(boundary="")), [hint(0)])
    assert scaffold.is_rollback_possible
    assert any("boundary state after the run is not known" in warning for warning in scaffold.warnings)


def test_without_a_kernel_there_was_nobody_to_ask() -> None:
    assert plan_rollback(run("0-"), [hint(0)]).is_rollback_possible


def test_a_boundary_that_was_crossed_is_a_warning() -> None:
    scaffold = plan_rollback(run("0-", kernel=Kernel(boundary="ELEVATED")), [hint(0)])
    assert scaffold.is_rollback_possible
    assert any("boundary state after the run was ELEVATED" in warning for warning in scaffold.warnings)


def test_not_possible_while_it_may_be_running() -> None:
    scaffold = plan_rollback(run("0+ 1?", mark=""), [hint(0)])
    assert not scaffold.is_rollback_possible
    assert "not sealed" in scaffold.reason
    assert "`hearth recover`" in scaffold.reason
    assert scaffold.rollback_hints == ()
    assert scaffold.manual_steps == ()
    assert scaffold.status is ExecutionStatus.STARTED


@pytest.mark.parametrize("hints", [None, [], (), {}, iter(())])
def test_not_possible_without_hints(hints: object) -> None:
    scaffold = plan_rollback(run("0+ 1-"), hints)  # type: ignore[arg-type]
    assert not scaffold.is_rollback_possible
    assert "The plan gives no rollback hints" in scaffold.reason
    assert scaffold.manual_steps == (1, 0)


def test_not_possible_when_no_hint_is_for_a_step_that_ran() -> None:
    scaffold = plan_rollback(run("0+ 1-"), [hint(2), hint(3)])
    assert not scaffold.is_rollback_possible
    assert "No rollback hint is for a step that ran" in scaffold.reason
    assert scaffold.manual_steps == (1, 0)


def test_nothing_to_take_back_when_no_step_ran() -> None:
    scaffold = plan_rollback(run(""), [hint(0)])
    assert not scaffold.is_rollback_possible
    assert scaffold.reason == "No step ran: there is nothing to take back."
    assert scaffold.manual_steps == ()


# --- which and in what order ------------------------------------------------------------------------------------------


def test_the_step_that_ran_last_comes_first() -> None:
    assert indices(plan_rollback(run("0+ 1+ 2+ 3-"), [hint(1), hint(3), hint(0), hint(2)])) == [3, 2, 1, 0]


def test_the_order_is_that_of_the_run_and_not_of_the_numbers() -> None:
    assert indices(plan_rollback(run("2+ 0+ 3+ 1-"), [hint(index) for index in range(4)])) == [1, 3, 0, 2]


def test_indices_may_repeat() -> None:
    scaffold = plan_rollback(run("0+ 1+ 0+ 2-"), [hint(0), hint(1), hint(0, description="and this"), hint(2)])
    assert [given.description for given in scaffold.rollback_hints] == ["undo 2", "undo 0", "and this", "undo 1"]
    assert scaffold.executed_steps[1].runs == 2
    assert any("Step 0" in warning and "2 times" in warning for warning in scaffold.warnings)


def test_a_step_that_failed_half_way_is_taken_back_too() -> None:
    scaffold = plan_rollback(run("0+ 1-"), [hint(1)])
    assert indices(scaffold) == [1]
    assert scaffold.manual_steps == (0,)
    assert any('Step 1 "Import" failed and may have acted' in warning for warning in scaffold.warnings)


def test_a_step_without_end_is_manual_and_keeps_its_hint() -> None:
    scaffold = plan_rollback(run("0+ 1?", mark="interrupted"), [hint(0), hint(1)])
    assert indices(scaffold) == [1, 0]
    assert scaffold.manual_steps == (1,)
    assert any('Step 1 "Import": its outcome is unknown' in warning for warning in scaffold.warnings)


def test_an_end_without_a_start_is_a_step_that_ran() -> None:
    observer = ExecutionObserver("run-1", "plan")
    observer.record_step_completed(4, "Sudden")
    observer.mark_failed()
    scaffold = plan_rollback(observer.get_execution_record("LIVE"), [hint(4)])
    assert indices(scaffold) == [4]
    assert scaffold.executed_steps[0].outcome is StepOutcome.COMPLETED


def test_an_effect_without_a_start_is_a_step_with_an_unknown_outcome() -> None:
    observer = ExecutionObserver("run-1", "plan")
    observer.record_side_effect("SYSTEM", "rebooted", step_index=4)
    observer.mark_failed()
    scaffold = plan_rollback(observer.get_execution_record("LIVE"), [hint(4)])
    assert indices(scaffold) == [4]
    assert scaffold.manual_steps == scaffold.irreversible_steps == (4,)


def test_a_hint_for_a_step_that_did_not_run_is_left_out_with_a_warning() -> None:
    scaffold = plan_rollback(run("0+ 1-"), [hint(0), hint(2, description="unpublish")])
    assert indices(scaffold) == [0]
    assert "The hint for step 2 (unpublish) is left out: that step did not run." in scaffold.warnings


def test_irreversible_steps_come_from_the_recorded_effects() -> None:
    scaffold = plan_rollback(run("0~+ 1!+ 2!~- 3-"), [hint(0)])
    assert scaffold.irreversible_steps == (2, 1)
    assert any(text == 'Step 2 "Tell" did what cannot be undone: network: POST of Tell.' for text in scaffold.warnings)
    assert scaffold.executed_steps[1].irreversible == ("network: POST of Tell",)


def test_an_irreversible_effect_of_no_step_is_a_warning() -> None:
    observer = ExecutionObserver("run-1", "plan")
    observer.record_side_effect("OTHER", "sent a mail")
    observer.record_side_effect("OTHER", "wrote a note", reversible=True)
    observer.mark_failed()
    scaffold = plan_rollback(observer.get_execution_record("LIVE"))
    assert scaffold.irreversible_steps == ()
    assert "Outside of any step, something was done that cannot be undone: other: sent a mail." in scaffold.warnings


def test_many_irreversible_effects_are_counted() -> None:
    observer = ExecutionObserver("run-1", "plan")
    observer.record_step_started(0, "Mail")
    for number in range(9):
        observer.record_side_effect("OTHER", f"mail {number}", step_index=0)
    observer.record_step_failed(0, "Mail", "")
    observer.mark_failed()
    scaffold = plan_rollback(observer.get_execution_record("LIVE"), [hint(0)])
    assert any("other: mail 4; and 4 more" in warning for warning in scaffold.warnings)
    assert len(scaffold.executed_steps[0].irreversible) == 9
    assert "other: mail 8" in scaffold.to_summary()


@pytest.mark.parametrize("cause", ["recovered", "recorder_failure"])
def test_a_record_that_may_lack_its_end_is_a_warning(cause: str) -> None:
    scaffold = plan_rollback(run("0+ 1?", mark=cause), [hint(0)])
    assert any(f"may lack its last entries (cause: {cause})" in warning for warning in scaffold.warnings)


def test_unknown_effects_are_a_warning_with_their_reason() -> None:
    scaffold = plan_rollback(run("0-"), [hint(0)])
    assert any("nothing observed the step" in warning for warning in scaffold.warnings)
    observer = ExecutionObserver("run-1", "plan")
    observer.set_unknown_effects([])
    observer.record_step_failed(0, "x", "")
    observer.mark_failed()
    assert not any(
        "may be effects" in text for text in plan_rollback(observer.get_execution_record(), [hint(0)]).warnings
    )


@pytest.mark.parametrize(
    "details, effect, acts",
    [
        ({"dry_run": True}, False, False),
        ({"dry_run": True}, True, True),
        ({}, True, True),
        ({}, False, True),
        ({"dry_run": "so it says"}, False, True),
    ],
)
def test_a_dry_run_is_a_warning_which_says_that_nothing_was_acted_on_only_of_tasks(
    details: dict[str, object], effect: bool, acts: bool
) -> None:
    observer = ExecutionObserver("run-1", "plan", live_mode="DRY_RUN")
    observer.record_step_started(0, "x")
    if effect:
        observer.record_side_effect("DATA_MUTATION", "3 tables altered", step_index=0)
    observer.record_step_failed(0, "x", "", details)
    observer.mark_failed()
    scaffold = plan_rollback(observer.get_execution_record(), [hint(0)])
    assert scaffold.is_rollback_possible
    (warning,) = [warning for warning in scaffold.warnings if "DRY_RUN" in warning]
    assert ("acts on nothing" in warning) is not acts
    assert ("`execute_step=`" in warning) is acts


@pytest.mark.parametrize("mark", ["failed", "completed", "interrupted"])
def test_not_possible_when_the_record_does_not_verify(mark: str) -> None:
    document = run("0+ 1-" if mark != "completed" else "0+ 1+", mark=mark).to_dict()
    document["step_events"][1]["step_name"] = "Something else"
    scaffold = plan_rollback(ExecutionRecord.from_dict(document), [hint(0)])
    assert not scaffold.is_rollback_possible
    assert scaffold.reason.startswith("The record does not verify (entry 2 was changed")
    assert scaffold.rollback_hints == ()
    assert scaffold.manual_steps == (1, 0)
    assert scaffold.warnings[0].startswith("The record does not verify (entry 2 was changed")


def test_a_seal_that_was_tampered_with_raises_nothing() -> None:
    for change in ({}, {"cause": "splendid"}, {"cause": None}):
        document = run("0-").to_dict()
        document["marks"][1]["details"] = change
        scaffold = plan_rollback(ExecutionRecord.from_dict(document), [hint(0)])
        assert scaffold.warnings[0].startswith("The record does not verify")


# --- what it is -------------------------------------------------------------------------------------------------------


def test_planner_and_scaffold_change_nothing() -> None:
    record = run("0+ 1-")
    before = record.to_dict()
    hints = [hint(0)]
    scaffold = plan_rollback(record, hints)
    assert record.to_dict() == before
    assert hints == [hint(0)]
    assert RollbackPlanner().plan_rollback(record, hints) == scaffold
    with pytest.raises(FrozenInstanceError):
        scaffold.reason = "else"  # type: ignore[misc]
    assert isinstance(scaffold.rollback_hints, tuple)
    assert isinstance(scaffold.executed_steps[0], ExecutedStep)


def test_the_record_may_come_from_a_file() -> None:
    record = run("0!+ 1-", kernel=Kernel())
    again = ExecutionRecord.from_dict(json.loads(json.dumps(record.to_dict(), indent=2)))
    assert plan_rollback(again, [hint(0)]) == plan_rollback(record, [hint(0)])


def test_the_json_form_has_everything() -> None:
    scaffold = plan_rollback(
        run("0+ 1!-"), [hint(1, risks=["data"], required_inputs=["a key"], estimated_duration="1 h")]
    )
    document = json.loads(json.dumps(scaffold.to_dict()))
    assert document == {
        "execution_id": "run-1",
        "plan_id": "user-import",
        "status": "failed",
        "is_rollback_possible": True,
        "reason": scaffold.reason,
        "rollback_hints": [
            {
                "step_index": 1,
                "description": "undo 1",
                "actions": ["undo --step 1"],
                "required_inputs": ["a key"],
                "risks": ["data"],
                "estimated_duration": "1 h",
            }
        ],
        "warnings": list(scaffold.warnings),
        "irreversible_steps": [1],
        "manual_steps": [0],
        "executed_steps": [
            {
                "step_index": 1,
                "step_name": "Import",
                "outcome": "failed",
                "runs": 1,
                "error_message": "Import has failed",
                "irreversible": ["network: POST of Import"],
                "earlier": [],
            },
            {
                "step_index": 0,
                "step_name": "Back up",
                "outcome": "completed",
                "runs": 1,
                "error_message": "",
                "irreversible": [],
                "earlier": [],
            },
        ],
    }


def test_the_room_stays_light() -> None:
    code = (
        "import sys; from hearth.rollback import RollbackPlanner, RollbackScaffold, RollbackHint\n"
        "heavy = ('sqlalchemy', 'alembic', 'sqlite3', 'yaml', 'jsonschema', 'httpx', 'cryptography', 'rich', 'click')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_the_hint_is_the_plans_own_class() -> None:
    from hearth.plan import RollbackHint as Original

    assert RollbackHint is Original


STEPS = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from(["", "!", "~", "!~"]), st.sampled_from("+-?")).map(
        lambda parts: "".join(map(str, parts))
    ),
    max_size=12,
)


@given(
    STEPS,
    st.lists(st.integers(0, 7), max_size=8),
    st.sampled_from(["failed", "completed", "interrupted", "escalation", ""]),
)
def test_whatever_happened_the_scaffold_is_consistent(steps: list[str], hinted: list[int], mark: str) -> None:
    scaffold = plan_rollback(run(" ".join(steps), mark=mark), [hint(index) for index in hinted])
    last_start = {int(step.rstrip("+-?!~")): position for position, step in enumerate(steps)}
    latest_first = sorted(last_start, key=lambda index: -last_start[index])
    assert [step.step_index for step in scaffold.executed_steps] == latest_first
    offered = indices(scaffold)
    assert offered == sorted(offered, key=latest_first.index)
    assert scaffold.is_rollback_possible == bool(offered)
    if scaffold.is_rollback_possible:
        assert sorted(offered) == sorted(index for index in hinted if index in last_start)
        assert set(scaffold.manual_steps) | set(offered) == set(last_start)
    assert list(scaffold.irreversible_steps) == [
        index for index in latest_first if any(step.startswith(f"{index}!") for step in steps)
    ]
    assert all(len(line) <= 100 for line in scaffold.to_summary().splitlines())
