"""What a run would do, for the person who confirms it: all of it, and nothing revealed."""

from __future__ import annotations

import json
import platform
from typing import TYPE_CHECKING

from hearth.operations import preview_plan
from tests.unit.operations._steps import WRITE

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from hearth.plan import Plan

LONG = "echo " + "x" * 5_000


def test_nothing_is_cut(make_plan: Callable[..., Plan]) -> None:
    preview = preview_plan(make_plan({"name": "Long", "shell": LONG}))
    assert preview.steps[0].params == LONG


def test_everything_that_decides_is_there(make_plan: Callable[..., Plan]) -> None:
    plan = make_plan(
        {**WRITE, "undo": {"file": {"delete": "made.txt"}}, "timeout": "30s", "env": {"A": "1"}},
        {"name": "Ask", "sql": {"url": "sqlite:///x.db", "statement": "SELECT 1"}},
        variables={"x": "y"},
    )
    preview = preview_plan(plan)
    first, second = preview.steps
    assert (preview.plan_id, preview.digest, preview.host) == (plan.id, plan.digest, platform.node())
    assert preview.cwd == str(plan.cwd)
    assert preview.variables == {"x": "y"}
    assert [effect.pattern for effect in first.effects] == ["made.txt"]
    assert (first.timeout, first.env, first.targets) == (30.0, {"A": "1"}, ("file:made.txt",))
    assert first.undo == {"file": {"delete": "made.txt"}}
    assert second.targets == ("sql:sqlite:///x.db",)


def test_secrets_stay_references(make_plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_TOKEN", "very-secret-value")
    step = {"name": "Call", "shell": "true", "env": {"TOKEN": {"secret": "env:THE_TOKEN"}}}
    preview = preview_plan(make_plan(step))
    assert preview.secrets == ("env:THE_TOKEN",)
    assert "very-secret-value" not in json.dumps(preview.to_dict())
