"""Whatever is loaded: a Plan comes out, or a PlanError, and nothing else."""

from __future__ import annotations

import copy
import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hearth.errors import PlanError
from hearth.plan import Plan, load_plan, parse_plan
from hearth.plan._scalars import resolve_plain
from hearth.record import canonical_bytes
from tests.unit.plan.plan_tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

VALID: dict[str, Any] = {
    "plan": "p",
    "description": "d",
    "variables": {"v": "a", "n": 1, "b": True},
    "cwd": "w",
    "env": {"A": {"secret": "env:A"}},
    "concurrency": 2,
    "inputs": ["i.txt"],
    "disclosable": ["k"],
    "steps": [
        {
            "name": "a",
            "shell": {"argv": ["x", "{{ v }}"], "stdin": "{secret: env:A}"},
            "effects": [{"file_system": "out/*", "reversible": True, "must": False}],
            "rollback": {"description": "r", "actions": ["x"], "risks": [], "estimated_duration": "1"},
            "undo": {"shell": "u"},
            "timeout": "30s",
            "volatile": ["*.log"],
            "env": {"B": "c"},
        },
        {"name": "b", "http": {"method": "GET", "url": "http://a", "expect": [200], "headers": {"K": "v"}}},
        {"name": "c", "call": {"x": [1, None, 1.5, {"y": "z"}]}},
    ],
}
YAML_PIECES = [
    "plan", "steps", "name", "shell", "call", "variables", "inputs", "env", "effects", ": ", ":", "- ", "\n", "\n  ",
    "\n    ", "[", "]", "{", "}", ", ", "'", '"', "|\n", ">-\n", "&a ", "*a", "!!str ", "<<", "? ", "---\n", "...\n",
    "%YAML 1.2\n", "#", "{{ v }}", "{{", "}}", "{secret: env:A}", "{secret: ", "0755", "1e5", ".nan", "9" * 30, "true",
    "null", "~", "x", "p", "\t", "\r", "é", "\u2028", "\u202e", "\x00", "\\u0000", "\ufeff", "😀", "30s", "i.txt", ".",
    "..", "/", "plan: p\nsteps:\n  - ",
]  # fmt: skip

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
)
objects = st.recursive(
    scalars | st.binary(max_size=4) | st.complex_numbers() | st.sets(st.integers(), max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.integers() | st.text(max_size=4), inner, max_size=3),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plans")
    (folder / "i.txt").write_text("content\n")
    return folder


def plan_or_problems(load: Callable[[], Plan]) -> Plan | tuple[str, ...]:
    """Return what comes out; every problem can be printed, and is short."""
    try:
        return load()
    except PlanError as error:
        problems = error.problems
    assert problems
    for problem in problems:
        problem.encode()
        assert len(problem) < 1000
    return problems


def outcome(path: Path) -> None:
    result = plan_or_problems(lambda: load_plan(path, tasks=TASKS))
    if not isinstance(result, Plan):
        assert all(problem.startswith(str(path)) for problem in result)


@given(st.binary(max_size=200))
def test_any_bytes(folder: Path, data: bytes) -> None:
    for name in ("plan.yaml", "plan.json"):
        (folder / name).write_bytes(data)
        outcome(folder / name)


@given(st.lists(st.sampled_from(YAML_PIECES), max_size=25).map("".join))
@example("plan: p\nsteps:\n  - {name: a, shell: 0755}\n")
@example("plan: p\nsteps:\n  - name: a\n    shell: *a\n")
@example("? ? ? [{")
def test_any_arrangement_of_the_pieces_of_yaml(folder: Path, text: str) -> None:
    (folder / "plan.yaml").write_text(text, encoding="utf-8", newline="")
    outcome(folder / "plan.yaml")


@given(trees)
def test_any_json(folder: Path, tree: object) -> None:
    for name in ("plan.yaml", "plan.json"):
        (folder / name).write_text(json.dumps(tree), encoding="utf-8")
        outcome(folder / name)


@given(objects)
def test_any_object_from_python(folder: Path, data: Any) -> None:
    for document in (data, {"plan": "p", "steps": data}, {"plan": "p", "steps": [{"name": "a", "call": data}]}):
        plan_or_problems(partial(parse_plan, document, folder=folder, tasks=TASKS))


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [path, *(place for key, child in children for place in places(child, (*path, key)))]


@given(st.data())
def test_a_valid_plan_with_one_place_changed_is_a_plan_or_a_problem_with_that_place(
    folder: Path, data: st.DataObject
) -> None:
    document = copy.deepcopy(VALID)
    place = data.draw(st.sampled_from(places(VALID)[1:]))
    holder = document
    for segment in place[:-1]:
        holder = holder[segment]
    change = data.draw(st.sampled_from(["replace", "remove", "rename", "add"]))
    value = data.draw(trees)
    if change == "remove":
        del holder[place[-1]]
    elif change == "rename" and isinstance(holder, dict):
        holder[data.draw(st.text(max_size=6))] = holder.pop(place[-1])
    elif change == "add" and isinstance(holder, dict):
        holder[data.draw(st.text(max_size=6))] = value
    else:
        holder[place[-1]] = value
    plan = plan_or_problems(lambda: parse_plan(document, folder=folder, tasks=TASKS))
    if isinstance(plan, Plan):
        assert [step.name for step in plan.steps] == [step["name"] for step in plan.document["steps"]]
        assert bytes.fromhex(plan.digest)


def test_the_plan_that_is_changed_above_is_valid(folder: Path) -> None:
    plan = parse_plan(VALID, folder=folder, tasks=TASKS)
    assert len(plan.steps) == 3


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,10})?([eE][-+]?[0-9]{1,2})?", fullmatch=True))
def test_numbers_of_json_are_the_same_numbers_in_yaml(text: str) -> None:
    value = resolve_plain(text)
    assert value == json.loads(text)
    assert type(value) is type(json.loads(text))
    assert canonical_bytes(value) == canonical_bytes(json.loads(text))
