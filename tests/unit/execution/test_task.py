from __future__ import annotations

import dataclasses

import pytest

from hearth.execution import Task, TaskContext, TaskEffect, TaskResult
from hearth.plan import TaskSpec, load_tasks


def test_a_result_without_anything_is_success() -> None:
    assert TaskResult() == TaskResult(failed=False, error="", details={}, side_effects=())


def test_results_and_effects_do_not_share_their_empty_details() -> None:
    assert TaskResult().details is not TaskResult().details
    assert TaskEffect("OTHER", "x").details is not TaskEffect("OTHER", "x").details


@pytest.mark.parametrize(("thing", "name"), [(TaskResult(), "failed"), (TaskEffect("OTHER", "x"), "reversible")])
def test_results_and_effects_cannot_be_changed(thing: object, name: str) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(thing, name, True)


def test_the_context_takes_keywords_only() -> None:
    assert all(field.kw_only for field in dataclasses.fields(TaskContext))


def test_the_five_tasks_are_installed_and_fulfil_both_ports() -> None:
    tasks = load_tasks()
    assert {"file", "http", "python", "shell", "sql"} <= set(tasks)
    for name, task in tasks.items():
        assert isinstance(task, Task), name
        assert isinstance(task, TaskSpec), name
