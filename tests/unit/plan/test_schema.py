from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import hearth.plan
from hearth.plan import plan_schema
from tests.unit.plan.plan_tasks import TASKS


def test_the_schema_is_json_and_a_valid_schema() -> None:
    schema = json.loads(json.dumps(plan_schema(TASKS)))
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_an_editor_that_uses_the_schema_accepts_and_refuses_as_hearth_does() -> None:
    validator = Draft202012Validator(json.loads(json.dumps(plan_schema(TASKS))))
    good: dict[str, Any] = {"plan": "p", "steps": [{"name": "a", "shell": {"argv": ["x"]}, "timeout": "30s"}]}
    assert validator.is_valid(good)
    bad: list[dict[str, Any]] = [
        {**good, "x": 1},
        {**good, "plan": "a b"},
        {**good, "plan": "a\n"},
        {**good, "steps": []},
        {**good, "steps": [{"name": "a"}]},
        {**good, "steps": [{"name": "a", "shell": "x", "call": 1}]},
        {**good, "steps": [{"name": "a", "shell": {"argv": [1]}}]},
        {**good, "steps": [{"name": "a", "shell": "x", "timeout": "30"}]},
        {**good, "steps": [{"name": "a", "shell": "x", "undo": {}}]},
    ]
    assert [document for document in bad if validator.is_valid(document)] == []


def test_every_key_is_described() -> None:
    schema = plan_schema(TASKS)
    assert [key for key, value in schema["properties"].items() if not value.get("description")] == []


def test_a_caller_may_change_the_schema_it_got() -> None:
    schema = plan_schema(TASKS)
    schema["properties"]["plan"].clear()
    schema["$defs"]["step"]["properties"]["env"]["additionalProperties"] = False
    assert plan_schema(TASKS)["properties"]["plan"]
    assert plan_schema(TASKS)["$defs"]["step"]["properties"]["env"]["additionalProperties"]


def test_the_public_names_are_sorted_and_load() -> None:
    assert hearth.plan.__all__ == sorted(hearth.plan.__all__, key=lambda name: (not name.isupper(), name))
    assert dir(hearth.plan) == sorted(hearth.plan.__all__)
    for name in hearth.plan.__all__:
        assert getattr(hearth.plan, name) is not None
    with pytest.raises(AttributeError):
        hearth.plan.nothing  # noqa: B018 - the access is the test


def test_importing_the_room_and_the_hints_loads_no_parser_and_no_validator() -> None:
    script = (
        "import sys, hearth.plan\n"
        "from hearth.plan import RollbackHint, DeclaredEffect, TaskSpec\n"
        "print(sorted({'yaml', 'jsonschema', 'sqlalchemy', 'httpx', 'cryptography', 'starlette'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
