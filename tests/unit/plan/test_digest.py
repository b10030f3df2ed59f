from __future__ import annotations

import copy
import hashlib
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from hearth.plan import load_plan, parse_plan
from hearth.record import canonical_bytes
from tests.unit.plan.plan_tasks import TASKS, Anything

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENT: dict[str, Any] = {
    "plan": "p",
    "description": "d",
    "variables": {"v": 1},
    "cwd": "w",
    "env": {"A": "b"},
    "concurrency": 2,
    "inputs": ["i.txt"],
    "disclosable": ["k"],
    "steps": [
        {
            "name": "a",
            "call": {"x": [1, 2]},
            "effects": [{"network": "n", "reversible": True, "must": False}],
            "rollback": {"description": "r", "actions": ["x"], "risks": [], "estimated_duration": "1"},
            "undo": {"shell": "u"},
            "timeout": "30s",
            "volatile": ["*.log"],
            "env": {"B": "c"},
        }
    ],
}


@pytest.fixture(autouse=True)
def _input(tmp_path: Path) -> None:
    (tmp_path / "i.txt").write_text("content\n")
    (tmp_path / "j.txt").write_text("content\n")


def digest(folder: Path, document: dict[str, Any], **tasks: Any) -> str:
    return parse_plan(document, folder=folder, tasks={**TASKS, **tasks}).digest


def test_the_digest_is_what_the_design_says(tmp_path: Path) -> None:
    content = {
        "plan": DOCUMENT,
        "inputs": {"i.txt": hashlib.sha256(b"content\n").hexdigest()},
        "tasks": {"call": "1", "shell": "1"},
    }
    expected = hashlib.sha256(b"HEARTH-plan-v1\0" + canonical_bytes(content)).hexdigest()
    assert digest(tmp_path, DOCUMENT) == expected


def changes() -> list[tuple[str, Any]]:
    def change(name: str, act: Any) -> tuple[str, Any]:
        return name, act

    return [
        change("id", lambda d: d.update(plan="q")),
        change("description", lambda d: d.update(description="e")),
        change("variable", lambda d: d["variables"].update(v=2)),
        change("new variable", lambda d: d["variables"].update(w=2)),
        change("cwd", lambda d: d.update(cwd="w/")),
        change("env", lambda d: d["env"].update(A="c")),
        change("concurrency", lambda d: d.update(concurrency=1)),
        change("other input, same content", lambda d: d.update(inputs=["j.txt"])),
        change("disclosable", lambda d: d.update(disclosable=[])),
        change("step name", lambda d: d["steps"][0].update(name="b")),
        change("params", lambda d: d["steps"][0]["call"].update(x=[2, 1])),
        change("type", lambda d: d["steps"][0]["call"].update(x=["1", 2])),
        change("effect", lambda d: d["steps"][0]["effects"][0].update(reversible=False)),
        change("default left out", lambda d: d["steps"][0]["effects"][0].pop("must")),
        change("rollback", lambda d: d["steps"][0]["rollback"].update(risks=["y"])),
        change("undo", lambda d: d["steps"][0]["undo"].update(shell="v")),
        change("timeout", lambda d: d["steps"][0].update(timeout=30)),
        change("volatile", lambda d: d["steps"][0].update(volatile=[])),
        change("step env", lambda d: d["steps"][0]["env"].update(B="d")),
        change("another step", lambda d: d["steps"].append({"name": "b", "call": 1})),
    ]


@pytest.mark.parametrize("name,act", changes())
def test_every_change_of_the_rendered_plan_changes_the_digest(tmp_path: Path, name: str, act: Any) -> None:
    changed = copy.deepcopy(DOCUMENT)
    act(changed)
    assert digest(tmp_path, changed) != digest(tmp_path, DOCUMENT), name


def test_the_order_of_keys_is_not_content_and_the_order_of_steps_is(tmp_path: Path) -> None:
    turned = {key: DOCUMENT[key] for key in reversed(DOCUMENT)}
    assert digest(tmp_path, turned) == digest(tmp_path, DOCUMENT)
    two = [{"name": "a", "call": 1}, {"name": "b", "call": 1}]
    assert digest(tmp_path, {"plan": "p", "steps": two}) != digest(tmp_path, {"plan": "p", "steps": two[::-1]})


def test_a_byte_of_an_input_changes_the_digest(tmp_path: Path) -> None:
    before = digest(tmp_path, DOCUMENT)
    (tmp_path / "j.txt").write_text("another file\n")
    assert digest(tmp_path, DOCUMENT) == before
    (tmp_path / "i.txt").write_text("content!\n")
    assert digest(tmp_path, DOCUMENT) != before


def test_a_task_of_another_version_changes_the_digest_only_where_it_is_used(tmp_path: Path) -> None:
    newer = Anything()
    newer.version = "2"
    assert digest(tmp_path, DOCUMENT, call=newer) != digest(tmp_path, DOCUMENT)
    other = {"plan": "p", "steps": [{"name": "a", "shell": "x"}]}
    assert digest(tmp_path, other, call=newer) == digest(tmp_path, other)


def test_comments_layout_and_the_files_place_are_not_content(tmp_path: Path) -> None:
    first, second = tmp_path / "one", tmp_path / "two" / "deeper"
    first.mkdir()
    (first / "i.txt").write_text("content\n")
    (first / "plan.yaml").write_text("plan: p\ninputs: [i.txt]\nsteps:\n  - {name: a, call: 1}\n")
    shutil.copytree(first, second)
    (second / "renamed.yml").write_text("# moved\nsteps: [{call: 1.0, name: 'a'}]\nplan: 'p'\ninputs:\n- i.txt\n")
    plans = [load_plan(first / "plan.yaml", tasks=TASKS), load_plan(second / "plan.yaml", tasks=TASKS)]
    plans.append(load_plan(second / "renamed.yml", tasks=TASKS))
    assert len({plan.digest for plan in plans}) == 1


def test_variables_are_fixed_before_the_digest_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("plan: p\nvariables: {v: a}\nsteps: [{name: s, call: '{{ v }}'}]\n")
    given = load_plan(path, variables={"v": "b"}, tasks=TASKS)
    path.write_text("plan: p\nvariables: {v: b}\nsteps: [{name: s, call: b}]\n")
    assert given.digest == load_plan(path, tasks=TASKS).digest
