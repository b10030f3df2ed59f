from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING, Protocol

import pytest

from hearth.errors import PlanError
from hearth.plan import load_plan
from tests.unit.plan.plan_tasks import TASKS

if TYPE_CHECKING:
    from pathlib import Path

    from hearth.plan import Plan


class Load(Protocol):
    def __call__(self, text: str, *, name: str = ..., variables: dict[str, str] | None = ...) -> Plan: ...


class Refuse(Protocol):
    def __call__(self, text: str, *, name: str = ..., variables: dict[str, str] | None = ...) -> list[str]: ...


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Write a plan file and load it with the tests' tasks."""

    def load_text(text: str, *, name: str = "plan.yaml", variables: dict[str, str] | None = None) -> Plan:
        path = tmp_path / name
        path.write_text(dedent(text), encoding="utf-8")
        return load_plan(path, variables=variables, tasks=TASKS)

    return load_text


@pytest.fixture
def refuse(load: Load, tmp_path: Path) -> Refuse:
    """Load a plan that must be refused; return the problems without the folder's path."""

    def refuse_text(text: str, *, name: str = "plan.yaml", variables: dict[str, str] | None = None) -> list[str]:
        with pytest.raises(PlanError) as caught:
            load(text, name=name, variables=variables)
        return [problem.replace(f"{tmp_path}/", "") for problem in caught.value.problems]

    return refuse_text
