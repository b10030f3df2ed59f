"""No secret is shown or kept with what a sandbox saw of a step: not in words of programs, not in paths."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from hearth.observe import probe
from tests.e2e.command import document, hearth

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(probe().name == "fallback", reason="this machine can make no sandbox")

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
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a ledger above it, so that the plan may declare all that is in it."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    monkeypatch.setenv("GIVEN_WORD", LONG)
    monkeypatch.setenv("SHORT_WORD", "kestrel-short-plover")
    hearth("init", code=0)
    hearth("keygen", "--trust", "ann", code=0)
    (tmp_path / "plan.yaml").write_text(PLAN.replace("steps:", "cwd: work\nsteps:"))
    return tmp_path


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
    request = document("request", "plan.yaml", "--preview", "--reason", "why")
    hearth("approve", request["request_id"], "--digest", request["plan_digest"][:8], "--reason", "ok", code=0)
    options = ("--mode", "live", "--approval", request["request_id"], "--id", "run")
    told = hearth("run", "plan.yaml", *options, code=4).output
    kept = b"".join(path.read_bytes() for path in (folder / ".hearth").rglob("*") if path.is_file())
    assert b"kestrel" not in kept
    assert "kestrel" not in told + hearth("export", "run", code=0).stdout
    assert list((folder / "work").iterdir()) == []


def test_a_secret_in_the_words_of_a_program_alone_can_be_approved_and_run(folder: Path) -> None:
    plan = (folder / "plan.yaml").read_text()
    (folder / "plan.yaml").write_text(plan.replace("touch $SHORT; ln -s $SHORT link;", "touch here;"))
    request = document("request", "plan.yaml", "--preview", "--reason", "why")
    hearth("approve", request["request_id"], "--digest", request["plan_digest"][:8], "--reason", "ok", code=0)
    hearth("run", "plan.yaml", "--mode", "live", "--approval", request["request_id"], "--id", "run", code=0)
    kept = b"".join(path.read_bytes() for path in (folder / ".hearth").rglob("*") if path.is_file())
    assert b"kestrel" not in kept
    assert json.loads(hearth("export", "run", code=0).stdout)["status"] == "completed"
    assert (folder / "work" / "here").exists()
