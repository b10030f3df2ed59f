"""No secret is shown or kept with what a sandbox saw of a step: not in words of programs, not in paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.command import hearth
from tests.e2e.sandboxed import approved, live, needs_sandbox, record

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = needs_sandbox

LONG = "".join(f"kestrel{number}plover" for number in range(100))
PLAN = """\
plan: secret
steps:
  - name: Use
    shell: "/bin/true first $WORD last; touch $SHORT; ln -s $SHORT link; /bin/true $SHORT >&2; echo $SHORT"
    env: {WORD: {secret: env:GIVEN_WORD}, SHORT: {secret: env:SHORT_WORD}}
    effects: [{file_system: "*"}]
"""


@pytest.fixture(autouse=True)
def folder(ledger_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a ledger above it, so that the plan may declare all that is in it."""
    work = ledger_folder / "work"
    work.mkdir()
    monkeypatch.setenv("GIVEN_WORD", LONG)
    monkeypatch.setenv("SHORT_WORD", "kestrel-short-plover")
    (ledger_folder / "plan.yaml").write_text(PLAN.replace("steps:", "cwd: work\nsteps:"))
    return ledger_folder


def test_a_preview_shows_and_keeps_none(folder: Path) -> None:
    shown = hearth("preview", "plan.yaml", "--whole", "--diff", "-o", "manifest.json", code=0)
    kept = (
        (folder / "manifest.json").read_text() + shown.output + hearth("run", "plan.yaml", "--id", "dry", code=0).output
    )
    assert "/bin/true first [redacted" in kept
    assert "kestrel" not in kept
    assert "plover" not in kept


def test_neither_does_an_approved_run_which_is_stopped_where_a_path_is_a_secret(folder: Path) -> None:
    """What is redacted cannot be compared, so it is not committed."""
    told = live(approved(), code=4).output
    kept = b"".join(path.read_bytes() for path in (folder / ".hearth").rglob("*") if path.is_file())
    assert b"kestrel" not in kept
    assert "kestrel" not in told + hearth("export", "run", code=0).stdout
    assert list((folder / "work").iterdir()) == []


def test_a_secret_in_the_words_of_a_program_alone_can_be_approved_and_run(folder: Path) -> None:
    plan = (folder / "plan.yaml").read_text()
    (folder / "plan.yaml").write_text(plan.replace("touch $SHORT; ln -s $SHORT link;", "touch here;"))
    live(approved(), code=0)
    kept = b"".join(path.read_bytes() for path in (folder / ".hearth").rglob("*") if path.is_file())
    assert b"kestrel" not in kept
    assert record()["status"] == "completed"
    assert (folder / "work" / "here").exists()
