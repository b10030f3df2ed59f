"""The plan: valid, bound to its files, and every step that changes something says so and how to take it back."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from hearth.errors import PlanChangedError, PlanError
from hearth.plan import Plan, load_plan

if TYPE_CHECKING:
    from pathlib import Path

INPUTS = {"backup.py", "check.py", "importer.py", "migrations/0002_batches.sql", "users.csv"}


@pytest.fixture
def path(site: Path, example: Path) -> Path:
    """The plan beside its data, as the demo lays it out."""
    for name in (*sorted(INPUTS - {"users.csv"}), "plan.yaml"):
        (site / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(example / name, site / name)
    return site / "plan.yaml"


@pytest.fixture
def plan(path: Path) -> Plan:
    """The plan, loaded."""
    return load_plan(path)


def test_its_digest_covers_all_that_it_runs(plan: Plan) -> None:
    assert set(plan.inputs) == INPUTS
    assert [step.task_type for step in plan.steps] == [
        "python", "file", "http", "sql", "python", "sql", "shell", "python", "http", "http",
    ]  # fmt: skip


@pytest.mark.parametrize("name", sorted(INPUTS))
def test_one_changed_byte_is_noticed(path: Path, plan: Plan, name: str) -> None:
    plan.verify_inputs()
    with (path.parent / name).open("ab") as file:
        file.write(b"\n")
    with pytest.raises(PlanChangedError, match=name.rpartition("/")[2]):
        plan.verify_inputs()
    assert load_plan(path).digest != plan.digest


def test_the_faulty_run_differs_in_one_variable(path: Path, plan: Plan) -> None:
    faulty = load_plan(path, variables={"user_limit": "5000"})
    assert faulty.digest != plan.digest
    changed = [step.name for step, other in zip(plan.steps, faulty.steps, strict=True) if step.params != other.params]
    assert changed == ["Edit the configuration"]


def test_a_limit_that_is_no_number_is_refused(path: Path) -> None:
    with pytest.raises(PlanError, match="user_limit"):
        load_plan(path, variables={"user_limit": "many"})


def test_every_step_that_changes_something_says_so_and_how_to_take_it_back(plan: Plan) -> None:
    """Only the three checks need no guidance: two read the database and files, the last one asks the server."""
    checks = ["Check the data", "Check that all agrees", "Check what is served"]
    assert [step.name for step in plan.steps if step.rollback is None] == checks
    assert [step.name for step in plan.steps if not step.effects] == checks[:2]
    irreversible = [step.name for step in plan.steps if not all(effect.reversible for effect in step.effects)]
    assert irreversible == ["Tell the server to reload"]
    for step in plan.steps:
        assert step.timeout is not None
        if step.rollback is not None:
            assert step.rollback.actions
            assert step.rollback.risks


def test_no_secret_stands_in_it(plan: Plan) -> None:
    """The token is a reference, in the steps and in what they would be undone with."""
    headers = [step.params["headers"] for step in plan.steps if "headers" in step.params]
    undone = [step.undo["http"]["headers"] for step in plan.steps if step.undo is not None and "http" in step.undo]
    assert headers == undone == [{"X-Reload-Token": "{secret: env:RELOAD_TOKEN}"}]
