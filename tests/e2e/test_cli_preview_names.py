"""Names of a file (hard links) that nobody was shown: a sandboxed run does not write to what they lead to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e import sandboxed
from tests.e2e.command import document, hearth

pytestmark = sandboxed.needs_sandbox
PLAN = """
plan: names
steps:
  - {name: Append, shell: "echo more >> kept/a.txt", effects: [{file_system: kept}]}
"""


@pytest.fixture
def folder(ledger_folder: Path) -> Path:
    Path("plan.yaml").write_text(PLAN)
    Path("kept").mkdir()
    Path("kept/a.txt").write_text("old\n")
    return ledger_folder


def outsider(folder: Path) -> Path:
    """Give the file another name, where nobody looks for one."""
    there = folder.with_name(f"{folder.name}-outsider")
    os.link("kept/a.txt", there)
    return there


def test_a_name_that_was_added_after_the_approval_is_a_deviation(folder: Path) -> None:
    request = sandboxed.approved()
    there = outsider(folder)
    sandboxed.live(request, code=4)
    sandboxed.stopped("a.txt was not what it was in the preview before the step already: number of names")
    assert there.read_text() == "old\n"


def test_what_an_approver_was_told_of_is_written(folder: Path) -> None:
    there = outsider(folder)
    (step,) = document("preview", "plan.yaml")["steps"]
    assert step["unseen"] == [f"{folder}/kept/a.txt has 2 names, and only 1 were found"]
    sandboxed.live(sandboxed.approved(), code=0)
    assert there.read_text() == "old\nmore\n"


def test_without_an_approved_preview_it_is_not_written(folder: Path) -> None:
    there = outsider(folder)
    told = sandboxed.unapproved(code=1)
    assert "more names (hard links) lead to what was written than were found" in " ".join(told.stdout.split())
    assert there.read_text() == "old\n"


def test_a_name_elsewhere_in_the_folder_of_the_plan_is_found(folder: Path) -> None:
    Path("other").mkdir()
    os.link("kept/a.txt", "other/b.txt")
    (step,) = document("preview", "plan.yaml")["steps"]
    assert [Path(one["path"]).name for one in step["changes"]] == ["a.txt", "b.txt"]
    assert step["unseen"] == []
    told = hearth("preview", "plan.yaml", code=0)
    assert "b.txt" in told.stdout


def test_links_that_several_steps_make_and_remove_are_as_in_the_preview(folder: Path) -> None:
    Path("plan.yaml").write_text("""
plan: links
steps:
  - {name: Link, shell: "ln kept/a.txt kept/c; echo more >> kept/c; echo 1 > kept/x; ln kept/x kept/y"}
  - {name: Again, shell: "ln kept/c kept/d; rm kept/a.txt; mv kept/y kept/z; echo 2 >> kept/x"}
  - {name: Last, shell: "rm kept/d; echo 3 >> kept/z; chmod 600 kept/c"}
""")
    sandboxed.live(sandboxed.approved(), code=0)
    found = {path.name: (path.stat().st_nlink, path.read_text()) for path in Path("kept").iterdir()}
    assert found == {"c": (1, "old\nmore\n"), "x": (2, "1\n2\n3\n"), "z": (2, "1\n2\n3\n")}
