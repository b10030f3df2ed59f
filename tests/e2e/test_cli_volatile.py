"""Volatile patterns on the command line: they let nothing be committed that the approver did not see."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.sandboxed import approved, live, needs_sandbox

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

pytestmark = needs_sandbox


@pytest.fixture(autouse=True)
def folder(ledger_folder: Path) -> Path:
    """The current folder, with a ledger that trusts one key, logs and caches."""
    for name in ("other/__pycache__/keep.pyc", "deep/auth.log", "victim"):
        (ledger_folder / name).parent.mkdir(parents=True, exist_ok=True)
        (ledger_folder / name).write_text("old\n")
    return ledger_folder


@pytest.mark.parametrize(
    "then",
    [
        "true",
        "mkdir -p else/__pycache__; cp /bin/true else/__pycache__/su",
        "cp /bin/true lib/__pycache__/su; chmod 4755 lib/__pycache__/su",
        "ln -s /etc/shadow lib/__pycache__/link",
        "rm other/__pycache__/keep.pyc",
        "ln -f victim x.log",
    ],
)
def test_only_content_may_differ(folder: Path, then: str) -> None:
    (folder / "plan.yaml").write_text(PLAN.replace("{then}", then))
    request = approved()
    (folder / "flag").touch()
    harmless = then == "true"
    done = live(request, code=0 if harmless else 4)
    assert ("not what was approved" in done.stdout) is not harmless
    assert (folder / "x.log").exists() is harmless
    assert (folder / "other/__pycache__/keep.pyc").exists()
    assert not (folder / "else").exists()
