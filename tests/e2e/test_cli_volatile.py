"""Volatile patterns on the command line: they let nothing be committed that the approver did not see."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.command import document, hearth
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


def test_an_approver_sees_what_may_differ(folder: Path) -> None:
    """In the preview and when asked to approve; what others run or trust stands out."""
    text = (
        "plan: p\nsteps:\n  - name: Run\n    shell: mkdir -p cron.d; echo 1 > x.log; echo 2 > cron.d/y.log; echo > z\n"
    )
    (folder / "plan.yaml").write_text(text + "    volatile: ['*.log', 'cron.d/**']\n")
    request = document("request", "plan.yaml", "--preview", "--reason", "why")
    asked = hearth("approve", request["request_id"], "--digest", request["plan_digest"][:8], "--reason", "ok", code=0)
    for shown in (asked.stderr, hearth("preview", "plan.yaml", code=0).stdout):
        lines = {
            line.split()[1].rpartition("/")[2]: line for line in shown.splitlines() if "/" in line and ": " in line
        }
        assert lines["x.log"].endswith("(volatile: name and content may differ)")
        assert lines["y.log"].endswith("(volatile: name and content may differ, and others run or trust it)")
        assert "! volatile cron.d/**: what others run or trust is not held to what is shown here" in shown
        assert "volatile" not in next(line for line in shown.splitlines() if line.strip().startswith(f"+ {folder}/z"))


def test_a_pattern_that_would_leave_nothing_to_approve_is_refused(folder: Path) -> None:
    text = "plan: p\nsteps:\n  - name: Run\n    shell: echo evil > sudoers\n    volatile: ['**']\n"
    (folder / "plan.yaml").write_text(text)
    refused = hearth("plan", "check", "plan.yaml", code=2)
    assert "steps[0].volatile[0]: matches anything: nothing would be held to what was approved" in refused.stderr
