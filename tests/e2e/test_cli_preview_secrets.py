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


@pytest.mark.parametrize(
    "step",
    [
        "/bin/true; touch $SHORT",
        "/bin/true; ln -s $SHORT link",
        "mkdir token=kestrel1plover2kestrel; touch token=kestrel1plover2kestrel/f",
    ],
)
def test_neither_does_a_request_for_what_could_not_be_compared(folder: Path, step: str) -> None:
    """What is redacted cannot be compared with its preview, so nobody is asked to approve it."""
    plan = (folder / "plan.yaml").read_text().splitlines()
    shell = next(number for number, line in enumerate(plan) if "shell:" in line)
    plan[shell] = f'    shell: "{step}"'
    (folder / "plan.yaml").write_text("\n".join(plan))
    shown = " ".join(hearth("preview", "plan.yaml", code=0).output.split())
    assert "a live run would be stopped: step 0 cannot do what was shown here: a name is a secret" in shown
    told = hearth("request", "plan.yaml", "--preview", "--reason", "why", code=3).output
    assert "Call it otherwise" in " ".join(told.split())
    kept = b"".join(path.read_bytes() for path in (folder / ".hearth").rglob("*") if path.is_file())
    assert b"kestrel" not in kept
    assert "kestrel" not in shown + told
    assert list((folder / "work").iterdir()) == []


def test_a_secret_in_the_words_of_a_program_alone_can_be_approved_and_run(folder: Path) -> None:
    plan = (folder / "plan.yaml").read_text()
    (folder / "plan.yaml").write_text(plan.replace("touch $SHORT; ln -s $SHORT link;", "touch here;"))
    live(approved(), code=0)
    kept = b"".join(path.read_bytes() for path in (folder / ".hearth").rglob("*") if path.is_file())
    assert b"kestrel" not in kept
    assert record()["status"] == "completed"
    assert (folder / "work" / "here").exists()
