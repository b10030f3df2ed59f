"""The record and the keys are out of reach of a step in a sandbox, whatever the plan declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hearth.ledger import LedgerHome
from hearth.operations import fsck
from tests.e2e.command import document, hearth
from tests.e2e.sandboxed import needs_sandbox

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = needs_sandbox


LEDGER = """\
plan: hide
steps:
  - name: Write
    shell: "echo 1 > one"
    effects: [{file_system: one}]
  - name: Tamper
    shell: "{script}"
    effects: [{file_system: '.hearth/**'}, {file_system: gone}]
"""


@pytest.mark.parametrize(
    "script",
    [
        "rm .hearth/policy.yaml",
        "rm -rf .hearth/runs",
        "mkdir -p .hearth/journals2 && touch .hearth/journals2/x",
        "mv .hearth gone",
    ],
)
def test_a_step_can_change_nothing_of_its_own_record_whatever_it_declares(ledger_folder: Path, script: str) -> None:
    (ledger_folder / "plan.yaml").write_text(LEDGER.replace("{script}", script))
    before = {path for path in (ledger_folder / ".hearth").rglob("*") if "outputs" not in path.parts}
    told = document("preview", "plan.yaml", code=1)
    assert "its own record" in told["error"] or "exit code" in told["error"]
    options = ("--mode", "live", "--sandbox", "--yes", "--reason", "why", "--id", "run")
    result = hearth("run", "plan.yaml", *options)
    assert result.exit_code in (1, 4)
    assert (ledger_folder / "one").read_text() == "1\n"
    assert {
        path for path in before if not path.exists() and path.name not in ("ledger.db-wal", "ledger.db-shm")
    } == set()
    assert fsck(LedgerHome(ledger_folder / ".hearth")).ok


def test_a_step_sees_neither_the_ledger_nor_the_key(ledger_folder: Path) -> None:
    script = "cat .hearth/* .hearth/*/* settings/hearth/* | wc -c; ls .hearth/journals .hearth/outputs settings/hearth"
    shown = hearth("preview", "--", "sh", "-c", f"({script}) 2>/dev/null; true", code=0)
    written = [line.strip() for line in shown.stderr.splitlines()[1:]]
    ignored = len((ledger_folder / ".hearth" / ".gitignore").read_bytes())
    assert written[0] in ("0", str(ignored))
    assert [line for line in written[1:] if line and not line.endswith(":")] == []
