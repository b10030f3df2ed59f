"""Volatile patterns on the command line: they let nothing be committed that the approver did not see."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hearth.observe import probe
from tests.e2e.command import document, hearth

if TYPE_CHECKING:
    from pathlib import Path

PLAN = """\
plan: caches
steps:
  - name: Run
    shell: |
      mkdir -p lib/__pycache__; date +%N > lib/__pycache__/m.pyc; date +%N > x.log
      if [ -e flag ]; then {then}; fi
    volatile: ["*.log"]
"""

pytestmark = pytest.mark.skipif(probe().name == "fallback", reason="this machine can make no sandbox")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a ledger that trusts one key, logs and caches."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    hearth("init", code=0)
    hearth("keygen", "--trust", "ann", code=0)
    for name in ("other/__pycache__/keep.pyc", "deep/auth.log", "victim"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("old\n")
    return tmp_path


@pytest.mark.parametrize(
    "then",
    [
        "true",
        "mkdir -p else/__pycache__; cp /bin/true else/__pycache__/su",
        "cp /bin/true lib/__pycache__/su; chmod 4755 lib/__pycache__/su",
        "ln -s /etc/shadow lib/__pycache__/link",
        "rm other/__pycache__/keep.pyc",
        "rm deep/auth.log",
        "chmod 666 deep/auth.log",
        "echo new > deep/new.log",
        "ln -f victim x.log",
        "chmod 6755 x.log",
    ],
)
def test_only_content_may_differ(folder: Path, then: str) -> None:
    (folder / "plan.yaml").write_text(PLAN.replace("{then}", then))
    request = document("request", "plan.yaml", "--preview", "--reason", "why")
    hearth("approve", request["request_id"], "--digest", request["plan_digest"][:8], "--reason", "ok", code=0)
    (folder / "flag").touch()
    harmless = then == "true"
    done = hearth("run", "plan.yaml", "--mode", "live", "--id", "run", code=0 if harmless else 4)
    assert ("not what was approved" in done.stderr) is not harmless
    assert (folder / "x.log").exists() is harmless
    assert (folder / "other/__pycache__/keep.pyc").exists()
    assert not (folder / "else").exists()
