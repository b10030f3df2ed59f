from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hearth.errors import PlanChangedError, TaskError
from hearth.plan import InputCopies, parse_plan
from tests.unit.plan.plan_tasks import TASKS

if TYPE_CHECKING:
    from hearth.plan import Plan


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    folder = tmp_path / "plans"
    (folder / "data" / "sub").mkdir(parents=True)
    (folder / "users.csv").write_text("a\n")
    (folder / "run.sh").write_text("true\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "data" / "sub" / "c.sql").write_text("c\n")
    (tmp_path / "near.txt").write_text("n\n")
    (tmp_path / "far.txt").write_text("f\n")
    inputs = ["users.csv", "data", "../near.txt", str(tmp_path / "far.txt")]
    steps = [{"name": "a", "shell": {"file": "run.sh"}}]
    return parse_plan({"plan": "p", "inputs": inputs, "steps": steps}, folder=folder, tasks=TASKS)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_copies_are_private_and_laid_out_as_in_the_plans_folder(plan: Plan, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        copies = InputCopies.create(plan, tmp_path / "run" / "inputs")
    finally:
        os.umask(before)
    assert copies.folder == tmp_path / "run" / "inputs"
    assert (copies.folder / "users.csv").read_text() == "a\n"
    assert (copies.folder / "data" / "sub" / "c.sql").read_text() == "c\n"
    if os.name == "posix":
        folders = [copies.folder, copies.folder / "data", copies.folder / "data" / "sub"]
        assert {mode(folder) for folder in folders} == {0o700}
        assert mode(copies.folder / "users.csv") == 0o600
        assert mode(copies.folder / "run.sh") == 0o700


def test_a_value_that_is_an_inputs_path_becomes_its_copy(plan: Plan, tmp_path: Path) -> None:
    copies = InputCopies.create(plan, tmp_path / "inputs")
    assert copies.resolve("users.csv") == str(tmp_path / "inputs" / "users.csv")
    assert copies.resolve("./users.csv") == str(tmp_path / "inputs" / "users.csv")
    assert copies.resolve(str(plan.folder / "users.csv")) == str(tmp_path / "inputs" / "users.csv")
    assert copies.resolve("data") == str(tmp_path / "inputs" / "data")
    assert copies.resolve("data/sub/c.sql") == str(tmp_path / "inputs" / "data" / "sub" / "c.sql")
    assert Path(copies.resolve("../near.txt")).read_text() == "n\n"
    assert Path(copies.resolve(str(tmp_path / "far.txt"))).read_text() == "f\n"
    for value in ("users", "cat users.csv", "", "data/sub", "a\nb", "a\0b", "x" * 9000, "backup.db", "."):
        assert copies.resolve(value) == value


def test_a_change_of_the_original_does_not_reach_the_copy(plan: Plan, tmp_path: Path) -> None:
    copies = InputCopies.create(plan, tmp_path / "inputs")
    (plan.folder / "users.csv").write_text("evil\n")
    assert Path(copies.resolve("users.csv")).read_text() == "a\n"


@pytest.mark.parametrize("change", ["content", "gone", "folder"])
def test_an_input_that_is_not_the_approved_one_is_refused_and_nothing_is_left(
    plan: Plan, tmp_path: Path, change: str
) -> None:
    (plan.folder / "users.csv").unlink()
    if change == "content":
        (plan.folder / "users.csv").write_text("b\n")
    elif change == "folder":
        (plan.folder / "users.csv").mkdir()
    with pytest.raises(PlanChangedError, match=r'plan p: the input "users\.csv"'):
        InputCopies.create(plan, tmp_path / "inputs")
    assert not (tmp_path / "inputs").exists()


def test_copies_go_into_an_empty_folder_only(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs" / "other").write_text("keep")
    with pytest.raises(TaskError, match="is not empty"):
        InputCopies.create(plan, tmp_path / "inputs")
    assert (tmp_path / "inputs" / "other").read_text() == "keep"
    (tmp_path / "inputs" / "other").unlink()
    assert InputCopies.create(plan, tmp_path / "inputs").folder.is_dir()


def test_a_folder_that_cannot_be_made_is_a_task_error(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TaskError, match="cannot make the folder for the copies"):
        InputCopies.create(plan, tmp_path / "file" / "inputs")


def test_a_disk_that_is_full_leaves_nothing_behind(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hearth.plan._copies._make_folders", full)
    with pytest.raises(TaskError, match="cannot copy the input"):
        InputCopies.create(plan, tmp_path / "inputs")
    monkeypatch.undo()
    assert not (tmp_path / "inputs").exists()


def test_large_inputs_are_copied_whole(tmp_path: Path) -> None:
    data = os.urandom(3 * 1024 * 1024 + 17)
    (tmp_path / "big.bin").write_bytes(data)
    document = {"plan": "p", "inputs": ["big.bin"], "steps": [{"name": "a", "call": 1}]}
    plan = parse_plan(document, folder=tmp_path, tasks=TASKS)
    copies = InputCopies.create(plan, tmp_path / "inputs")
    assert Path(copies.resolve("big.bin")).read_bytes() == data
