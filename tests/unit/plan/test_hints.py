from __future__ import annotations

from typing import Any

import pytest

from hearth.errors import RollbackHintError
from hearth.plan import RollbackHint


def test_a_hint_keeps_its_words_and_its_order() -> None:
    hint = RollbackHint.from_mapping(
        {
            "step_index": 2,
            "description": "  Put it back \n",
            "actions": ["b", "a", "b"],
            "required_inputs": ("the key",),
            "risks": [],
            "estimated_duration": "5 min",
        },
        "hint 0",
    )
    assert hint == RollbackHint(2, "  Put it back \n", ("b", "a", "b"), ("the key",), (), "5 min")
    assert RollbackHint.from_mapping(hint.to_dict(), "again") == hint
    assert RollbackHint.from_mapping(hint, "as it is") is hint


def test_lists_become_tuples_and_the_rest_has_defaults() -> None:
    hint = RollbackHint(step_index=0, description="x", actions=["a"])  # type: ignore[arg-type]
    assert hint.actions == ("a",)
    assert hint.to_dict() == {
        "step_index": 0,
        "description": "x",
        "actions": ["a"],
        "required_inputs": [],
        "risks": [],
        "estimated_duration": "",
    }
    with pytest.raises(AttributeError):
        hint.description = "y"  # type: ignore[misc]


@pytest.mark.parametrize(
    "obj,problem",
    [
        ({"description": "x"}, "hint 3: step_index is missing"),
        ({"step_index": 1}, "hint 3: description is missing"),
        ({"step_index": 1, "description": ""}, "hint 3: description must be a text, not empty"),
        ({"step_index": 1, "description": None}, "hint 3: description must be a text"),
        ({"step_index": True, "description": "x"}, "hint 3: step_index must be an integer, is True"),
        ({"step_index": "1", "description": "x"}, "hint 3: step_index must be an integer, is '1'"),
        ({"step_index": 1, "description": "x", "actions": "rm"}, "hint 3: actions must be a list of texts, is 'rm'"),
        ({"step_index": 1, "description": "x", "risks": [1]}, "hint 3: risks must be a list of texts"),
        ({"step_index": 1, "description": "x", "required_inputs": None}, "hint 3: required_inputs must be a list"),
        ({"step_index": 1, "description": "x", "estimated_duration": 5}, "hint 3: estimated_duration must be a text"),
        ({"step_index": 1, "description": "x", "action": []}, "hint 3: unknown key 'action'; a hint has step_index, "),
        ({"step_index": 1, "description": "x", 5: []}, "hint 3: unknown key 5"),
        (["x"], "hint 3: must be a mapping, is a list"),
        (None, "hint 3: must be a mapping, is a NoneType"),
    ],
)
def test_a_malformed_hint_is_named(obj: Any, problem: str) -> None:
    with pytest.raises(RollbackHintError) as caught:
        RollbackHint.from_mapping(obj, "hint 3")
    assert problem in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_the_constructor_checks_as_well() -> None:
    with pytest.raises(RollbackHintError, match="rollback hint: step_index"):
        RollbackHint(step_index=None, description="x")  # type: ignore[arg-type]
    with pytest.raises(RollbackHintError) as caught:
        RollbackHint(0, "x", ["y" * 10_000, 1])  # type: ignore[arg-type]
    assert len(str(caught.value)) < 200
