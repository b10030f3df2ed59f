from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hearth.errors import TaskError
from hearth.execution import Task, TaskContext, TaskEffect, TaskResult
from hearth.plan import TaskSpec, load_tasks


def test_a_result_without_anything_is_success() -> None:
    assert TaskResult() == TaskResult(failed=False, error="", details={}, side_effects=())


def test_results_and_effects_do_not_share_their_empty_details() -> None:
    assert TaskResult().details is not TaskResult().details
    assert TaskEffect("OTHER", "x").details is not TaskEffect("OTHER", "x").details


@pytest.mark.parametrize("thing, name", [(TaskResult(), "failed"), (TaskEffect("OTHER", "x"), "reversible")])
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


def test_finding_the_tasks_loads_no_heavy_library() -> None:
    code = "import sys; from hearth.plan import load_tasks; load_tasks(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "hearth.execution.tasks.sql" in loaded
    assert not {"sqlalchemy", "httpx", "jinja2", "cryptography", "starlette"} & set(loaded)


@pytest.mark.parametrize(
    "task, params",
    [
        ("shell", {"file": {"secret": "env:X"}}),
        ("python", {"script": {"secret": "env:X"}}),
        ("sql", {"url": "sqlite://", "file": {"secret": "env:X"}}),
        ("http", {"method": "GET", "url": "https://h", "verify": {"secret": "env:X"}}),
        ("file", {"template": {"secret": "env:X"}, "to": "a"}),
    ],
)
def test_what_runs_cannot_be_named_by_a_secret(task: str, params: Any) -> None:
    with pytest.raises(TaskError, match="names an input of the plan, which cannot be a secret"):
        load_tasks()[task].inputs(params, Path.cwd())
    assert load_tasks()[task].summary(params)
