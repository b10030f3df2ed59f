from __future__ import annotations

from collections import UserDict
from types import SimpleNamespace

import pytest

from hearth.errors import RollbackHintError
from hearth.rollback import RollbackHint, RollbackPlanner
from tests.unit.rollback._runs import hint, run

VERBATIM = "  rm -rf '$HOME'/\t*\n# ünïcode \x1b[31m; trailing  "


def plan(hints: object) -> tuple[RollbackHint, ...]:
    return RollbackPlanner.plan_rollback(run("0+ 1+ 2-"), hints).rollback_hints  # type: ignore[arg-type]


def test_texts_are_passed_on_verbatim() -> None:
    given = hint(
        1,
        description=VERBATIM,
        actions=[VERBATIM, ""],
        risks=(VERBATIM,),
        required_inputs=[VERBATIM],
        estimated_duration=VERBATIM,
    )
    (read,) = plan([given])
    assert read == RollbackHint(1, VERBATIM, (VERBATIM, ""), (VERBATIM,), (VERBATIM,), VERBATIM)
    assert isinstance(read.actions, tuple)
    assert isinstance(read.risks, tuple)


@pytest.mark.parametrize(
    "hints",
    [
        [RollbackHint(0, "undo 0"), RollbackHint(1, "undo 1")],
        (RollbackHint(1, "undo 1"), {"step_index": 0, "description": "undo 0"}),
        iter([{"step_index": 0, "description": "undo 0"}, {"step_index": 1, "description": "undo 1"}]),
        {0: {"description": "undo 0"}, 1: {"step_index": 1, "description": "undo 1"}},
        {"0": {"description": "undo 0"}, "1": RollbackHint(1, "undo 1")},
        {1: RollbackHint(1, "undo 1"), 0: RollbackHint(0, "undo 0")}.values(),
        UserDict({0: {"description": "undo 0"}, 1: UserDict({"description": "undo 1"})}),
    ],
)
def test_hints_come_in_many_shapes(hints: object) -> None:
    assert plan(hints) == (RollbackHint(1, "undo 1"), RollbackHint(0, "undo 0"))


@pytest.mark.parametrize("single", [RollbackHint(1, "undo 1"), {"step_index": 1, "description": "undo 1"}])
def test_one_hint_may_come_alone(single: object) -> None:
    assert plan(single) == (RollbackHint(1, "undo 1"),)


@pytest.mark.parametrize(
    "malformed, field",
    [
        ({"description": "undo"}, "step_index is missing"),
        ({"step_index": 1}, "description is missing"),
        ({"step_index": "1", "description": "undo"}, "step_index must be an integer"),
        ({"step_index": True, "description": "undo"}, "step_index must be an integer"),
        ({"step_index": 1.0, "description": "undo"}, "step_index must be an integer"),
        ({"step_index": None, "description": "undo"}, "step_index must be an integer"),
        ({"step_index": 1, "description": ""}, "description must be a text"),
        ({"step_index": 1, "description": 7}, "description must be a text"),
        ({"step_index": 1, "description": "undo", "actions": "rm x"}, "actions must be a list"),
        ({"step_index": 1, "description": "undo", "actions": [1]}, "actions must be a list"),
        ({"step_index": 1, "description": "undo", "risks": None}, "risks must be a list"),
        ({"step_index": 1, "description": "undo", "required_inputs": {"a": 1}}, "required_inputs must be a list"),
        ({"step_index": 1, "description": "undo", "estimated_duration": 5}, "estimated_duration must be a text"),
        ({"step_index": 1, "description": "undo", "action": ["rm x"]}, "unknown key 'action'"),
        (None, "NoneType"),
        ("rm x", "str"),
        (7, "int"),
        ([1, "undo"], "list"),
        (SimpleNamespace(step_index=1, description="undo"), "SimpleNamespace"),
    ],
)
def test_a_malformed_hint_is_named_by_position_and_field(malformed: object, field: str) -> None:
    with pytest.raises(RollbackHintError, match=f"rollback hint 1.*{field}"):
        plan([hint(0), malformed, hint(2)])


@pytest.mark.parametrize(
    "hints, why",
    [
        ({0: {"step_index": 1, "description": "undo"}}, "under 0.*step_index is 1"),
        ({"first": {"description": "undo"}}, "under 'first'.*not a step's index"),
        ({True: {"description": "undo"}}, "under True.*not a step's index"),
        ({"²": {"description": "undo"}}, "under '²'.*not a step's index"),
        ({0: "undo"}, "under 0.*str"),
        ({0: {"actions": []}}, "under 0.*description is missing"),
        ("undo everything", "rollback hints are a str"),
        (b"undo", "rollback hints are a bytes"),
        (7, "rollback hints are a int"),
    ],
)
def test_what_are_no_hints_is_refused(hints: object, why: str) -> None:
    with pytest.raises(RollbackHintError, match=why):
        plan(hints)


@pytest.mark.parametrize("mark", ["completed", "escalation", ""])
def test_a_malformed_hint_is_an_error_whatever_became_of_the_run(mark: str) -> None:
    with pytest.raises(RollbackHintError, match="rollback hint 0"):
        RollbackPlanner.plan_rollback(run("0+", mark=mark), [{"step_index": 0}])
