from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from hearth.errors import PlanChangedError, PlanError
from hearth.plan import parse_plan
from hearth.plan._limits import MAX_INPUT_FILES
from tests.unit.plan.plan_tasks import TASKS

if TYPE_CHECKING:
    from pathlib import Path

    from hearth.plan import Plan


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The plan's folder, with something beside it."""
    folder = tmp_path / "plans"
    (folder / "data" / "sub").mkdir(parents=True)
    (folder / "users.csv").write_text("a\n")
    (folder / "run.sh").write_text("true\n")
    (folder / "data" / "b.sql").write_text("b\n")
    (folder / "data" / "sub" / "c.sql").write_text("c\n")
    (tmp_path / "outside.txt").write_text("o\n")
    return folder


def plan_of(folder: Path, *inputs: str, script: str | None = None) -> Plan:
    step = {"name": "a", "shell": {"file": script}} if script else {"name": "a", "shell": "true"}
    return parse_plan({"plan": "p", "inputs": list(inputs), "steps": [step]}, folder=folder, tasks=TASKS)


def refusal(folder: Path, *inputs: str) -> str:
    with pytest.raises(PlanError) as caught:
        plan_of(folder, *inputs)
    return str(caught.value)


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_files_listed_and_files_that_a_task_names_are_inputs(folder: Path) -> None:
    plan = plan_of(folder, "users.csv", script="run.sh")
    assert plan.inputs == {"run.sh": sha("true\n"), "users.csv": sha("a\n")}
    assert plan.input_folders == ()


def test_the_files_of_an_undo_are_inputs_too(folder: Path) -> None:
    step = {"name": "a", "shell": "true", "undo": {"shell": {"file": "run.sh"}}}
    plan = parse_plan({"plan": "p", "steps": [step]}, folder=folder, tasks=TASKS)
    assert list(plan.inputs) == ["run.sh"]


def test_a_folder_is_every_file_below_it(folder: Path) -> None:
    (folder / "data" / "__pycache__").mkdir()
    (folder / "data" / "__pycache__" / "x.pyc").write_text("")
    (folder / "data" / ".hearth").mkdir()
    (folder / "data" / ".hearth" / "ledger.db").write_text("")
    (folder / "data" / ".hidden").write_text("h\n")
    plan = plan_of(folder, "data/")
    assert list(plan.inputs) == ["data/.hidden", "data/b.sql", "data/sub/c.sql"]
    assert plan.input_folders == ("data",)
    assert list(plan_of(folder, ".").inputs) == ["data/.hidden", "data/b.sql", "data/sub/c.sql", "run.sh", "users.csv"]


def test_one_file_has_one_name(folder: Path) -> None:
    plan = plan_of(folder, "users.csv", "./users.csv", "data/../users.csv", f"{folder}/users.csv")
    assert list(plan.inputs) == ["users.csv"]


def test_names_outside_the_folder_stay_relative_or_absolute_as_they_were_given(folder: Path, tmp_path: Path) -> None:
    plan = plan_of(folder, "../outside.txt", str(tmp_path / "outside.txt"))
    assert plan.inputs == {"../outside.txt": sha("o\n"), f"{tmp_path}/outside.txt": sha("o\n")}
    plan.verify_inputs()


def test_a_missing_input_is_refused_by_its_name(folder: Path) -> None:
    assert refusal(folder, "none.csv") == 'plan: inputs[0]: the input "none.csv" is not there'
    assert "is not there" in refusal(folder, "users.csv/x") or "cannot be read" in refusal(folder, "users.csv/x")
    with pytest.raises(PlanError, match=r'steps\[0\].shell: the input "gone.sh" is not there'):
        plan_of(folder, script="gone.sh")
    assert "cannot be read: File name too long" in refusal(folder, "x" * 4000)


def test_links_are_followed_within_the_folder_only(folder: Path, tmp_path: Path) -> None:
    (folder / "link.csv").symlink_to("users.csv")
    (folder / "linked").symlink_to("data")
    (folder / "data" / "up.csv").symlink_to("../users.csv")
    plan = plan_of(folder, "link.csv", "linked")
    assert plan.inputs["link.csv"] == sha("a\n")
    assert list(plan.inputs) == ["link.csv", "linked/b.sql", "linked/sub/c.sql", "linked/up.csv"]
    (folder / "out.txt").symlink_to(tmp_path / "outside.txt")
    assert f'the input "out.txt" is a symbolic link that leads out of {folder}' in refusal(folder, "out.txt")
    (folder / "away").symlink_to(tmp_path)
    assert 'the input "away" is a symbolic link that leads out' in refusal(folder, "away")
    assert 'the input "away/outside.txt" is a symbolic link that leads out' in refusal(folder, "away/outside.txt")
    (folder / "data" / "away").symlink_to(tmp_path)
    assert 'the input "data/away" is a symbolic link that leads out' in refusal(folder, "data")


def test_a_link_outside_the_folder_may_not_lead_away_from_its_own(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "near").symlink_to("outside.txt")
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "far").symlink_to("../outside.txt")
    assert list(plan_of(folder, "../near").inputs) == ["../near"]
    assert "leads out of" in refusal(folder, "../beside/far")
    assert "leads out of" in refusal(folder, "../beside")


def test_a_link_to_a_folder_above_is_refused_instead_of_walked_for_ever(folder: Path) -> None:
    (folder / "data" / "loop").symlink_to(".")
    assert "is a symbolic link to a folder above it" in refusal(folder, "data")
    (folder / "data" / "loop").unlink()
    (folder / "data" / "sub" / "loop").symlink_to("..")
    assert "is a symbolic link to a folder above it" in refusal(folder, "data")


def test_a_dangling_link_is_a_missing_input(folder: Path) -> None:
    (folder / "data" / "dangling").symlink_to("nowhere")
    assert 'the input "data/dangling" is not there' in refusal(folder, "data")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are a POSIX thing")
def test_what_is_neither_file_nor_folder_is_refused_without_waiting(folder: Path) -> None:
    os.mkfifo(folder / "data" / "pipe")
    assert 'the input "data/pipe" is not a regular file' in refusal(folder, "data")
    assert 'the input "data/pipe" is not a regular file' in refusal(folder, "data/pipe")
    assert 'the input "/dev/null" is not a regular file' in refusal(folder, "/dev/null")


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes on POSIX only")
def test_a_name_that_is_not_utf_8_is_refused(folder: Path) -> None:
    try:
        (folder / "data" / "caf\udce9").write_text("")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    problem = refusal(folder, "data")
    assert "has a name that is not UTF-8; rename it" in problem
    problem.encode()


def test_too_many_files_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_INPUT_FILES == 10_000
    monkeypatch.setattr("hearth.plan._inputs.MAX_INPUT_FILES", 3)
    (folder / "data" / "d.sql").write_text("")
    (folder / "data" / "e.sql").write_text("")
    assert "more than 3 input files; pack them into an archive" in refusal(folder, "data")
    for number in range(9):
        (folder / "data" / f"{number}.txt").write_text("")
    assert 'the input folder "data" holds more than 3 files' in refusal(folder, "data")


def test_a_problem_of_an_input_has_its_line(folder: Path, tmp_path: Path) -> None:
    from hearth.plan import load_plan

    path = folder / "plan.yaml"
    path.write_text("plan: p\ninputs:\n  - users.csv\n  - none.csv\nsteps:\n  - {name: a, shell: {file: none.sh}}\n")
    with pytest.raises(PlanError) as caught:
        load_plan(path, tasks=TASKS)
    assert caught.value.problems == (
        f'{path}:4: inputs[1]: the input "none.csv" is not there',
        f'{path}:6: steps[0].shell: the input "none.sh" is not there',
    )


def test_verify_inputs_passes_while_nothing_has_changed(folder: Path) -> None:
    plan = plan_of(folder, "users.csv", "data", "../outside.txt")
    (folder / "users.csv").touch()
    (folder / "data" / "__pycache__").mkdir()
    (folder / "data" / "__pycache__" / "x.pyc").write_text("")
    plan.verify_inputs()


def test_verify_inputs_names_the_input_that_changed(folder: Path) -> None:
    plan = plan_of(folder, "users.csv", "data")
    (folder / "users.csv").write_text("b\n")
    with pytest.raises(PlanChangedError) as caught:
        plan.verify_inputs()
    assert str(caught.value) == (
        f'plan p: the input "users.csv" is not what was approved: its SHA-256 is {sha("b" + chr(10))}, was '
        f"{sha('a' + chr(10))}; restore it, or have the plan approved as it is now"
    )
    (folder / "users.csv").write_text("a\n")
    plan.verify_inputs()


@pytest.mark.parametrize("change", ["remove", "folder", "appear", "link", "folder gone"])
def test_verify_inputs_sees_every_kind_of_change(folder: Path, change: str) -> None:
    plan = plan_of(folder, "users.csv", "data")
    match change:
        case "remove":
            (folder / "users.csv").unlink()
        case "folder":
            (folder / "users.csv").unlink()
            (folder / "users.csv").mkdir()
        case "appear":
            (folder / "data" / "sub" / "new.sql").write_text("")
        case "link":
            (folder.parent / "same.csv").write_text("a\n")
            (folder / "users.csv").unlink()
            (folder / "users.csv").symlink_to("../same.csv")
        case _:
            (folder / "data" / "b.sql").unlink()
            (folder / "data" / "sub" / "c.sql").unlink()
            (folder / "data" / "sub").rmdir()
            (folder / "data").rmdir()
    with pytest.raises(PlanChangedError, match=r"users\.csv|new\.sql|data"):
        plan.verify_inputs()
