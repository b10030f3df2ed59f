from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from hearth.errors import PlanError
from hearth.plan import TaskSpec, load_plan, load_tasks, plan_schema
from tests.unit.plan.plan_tasks import TASKS, Anything, Command

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HERE = "tests.unit.plan.test_tasks"


class ShellClass(Command):
    """An entry point may name a class; it is called without arguments."""


class NoTask:
    name = "notask"


class WrongName(Anything):
    name = "other"


class Reserved(Anything):
    name = "timeout"


class UpperCase(Anything):
    name = "Upper"


class NoVersion(Anything):
    name = "noversion"
    version = ""


class NoSchema(Anything):
    name = "noschema"
    schema: Any = None


class Explodes(Anything):
    name = "explodes"

    def __init__(self) -> None:
        message = "no driver"
        raise RuntimeError(message)


SHELL = Command()
TEXT = "not a task"


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    load_tasks.cache_clear()
    yield
    load_tasks.cache_clear()


def install(monkeypatch: pytest.MonkeyPatch, **points: str) -> None:
    found = tuple(EntryPoint(name.rstrip("_"), f"{HERE}:{value}", "hearth.tasks") for name, value in points.items())
    monkeypatch.setattr("hearth.plan._tasks.entry_points", lambda **_: found)


def test_tasks_come_from_the_entry_points_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, shell="SHELL", call="Anything")
    tasks = load_tasks()
    assert list(tasks) == ["call", "shell"]
    assert tasks["shell"] is SHELL
    assert load_tasks() is tasks
    with pytest.raises(TypeError):
        tasks["x"] = SHELL  # type: ignore[index]
    (tmp_path / "plan.yaml").write_text("plan: p\nsteps: [{name: a, shell: x}]\n")
    assert load_plan(tmp_path / "plan.yaml").steps[0].task_type == "shell"


def test_one_entry_point_found_twice_is_one_task(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, shell="SHELL", shell_="SHELL")
    assert list(load_tasks()) == ["shell"]


@pytest.mark.parametrize(
    "name,value,problem",
    [
        ("gone", "missing", "cannot be loaded: AttributeError"),
        ("explodes", "Explodes", "cannot be loaded: RuntimeError: no driver"),
        ("notask", "NoTask", "is no task: it lacks version, schema, inputs, targets, summary"),
        ("text", "TEXT", "is no task: it lacks name, version"),
        ("wrong", "WrongName", "the task calls itself 'other'; both names must be equal"),
        ("timeout", "Reserved", "is no key of a step"),
        ("Upper", "UpperCase", "lower-case letters"),
        ("noversion", "NoVersion", "the task has no version"),
        ("noschema", "NoSchema", "the task's schema is not a mapping"),
    ],
)
def test_a_broken_entry_point_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, problem: str) -> None:
    install(monkeypatch, shell="SHELL", **{name: value})
    with pytest.raises(PlanError) as caught:
        load_tasks()
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(f"entry point {name} = {HERE}:{value} of hearth.tasks: ")
    assert problem in caught.value.problems[0]


def test_two_entry_points_of_one_name_are_both_named(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, shell="SHELL", shell_="ShellClass")
    with pytest.raises(PlanError) as caught:
        load_tasks()
    assert "SHELL" in str(caught.value)
    assert "ShellClass" in str(caught.value)
    assert "has the same name; uninstall one of the two" in str(caught.value)


def test_no_entry_point_at_all_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hearth.plan._tasks.entry_points", lambda **_: ())
    with pytest.raises(PlanError, match="install the distribution hearth-recorder"):
        load_tasks()


def test_the_tests_own_tasks_fulfil_the_port() -> None:
    assert all(isinstance(task, TaskSpec) for task in TASKS.values())
    assert not isinstance(NoTask(), TaskSpec)


def test_the_installed_tasks_have_valid_schemas_that_describe_plans() -> None:
    for name, task in load_tasks().items():
        Draft202012Validator.check_schema(dict(task.schema))
        assert task.name == name
    Draft202012Validator.check_schema(plan_schema())
