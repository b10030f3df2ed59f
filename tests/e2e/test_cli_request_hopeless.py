"""What a live run could not commit as its preview showed it is not asked for: the approval would be wasted."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.e2e.command import hearth
from tests.e2e.sandboxed import needs_sandbox

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = needs_sandbox


def refused(*words: str) -> None:
    told = hearth("request", "plan.yaml", "--preview", "--reason", "why", code=3).stderr
    for word in (*words, "nothing was asked for: change the step, or run it in place"):
        assert word in told
    assert "no approval was asked for" in hearth("approvals", code=0).stdout


def two_names(folder: Path, second: str) -> None:
    (folder / "one").write_text("as it was\n")
    (folder / "other").hardlink_to(folder / "one")
    (folder / "plan.yaml").write_text(
        "plan: names\nsteps:\n"
        '  - {name: Write, shell: "echo more >> one", effects: [{file_system: "o*"}]}\n'
        f'  - {{name: Read, shell: "{second}", effects: [{{file_system: "o*"}}]}}\n'
    )


def test_a_step_that_found_a_file_as_it_was_before_an_earlier_one(ledger_folder: Path) -> None:
    two_names(ledger_folder, "cat other > out")
    refused("step 1 cannot do what was shown here", f"an earlier step changed {ledger_folder}/other")
    assert "a live run would be stopped" in hearth("preview", "plan.yaml", code=0).stdout


def test_but_one_that_changed_nothing_by_it_can_be_asked_for(ledger_folder: Path) -> None:
    two_names(ledger_folder, "true")
    hearth("request", "plan.yaml", "--preview", "--reason", "why", code=0)


def test_a_database_that_another_process_has_open(ledger_folder: Path) -> None:
    change = "import sqlite3; db = sqlite3.connect('app.db'); db.execute('INSERT INTO t VALUES (2)'); db.commit()"
    (ledger_folder / "change.py").write_text(change)
    (ledger_folder / "plan.yaml").write_text(
        "plan: held\ninputs: [change.py]\nsteps:\n"
        '  - {name: Change, shell: "python3 change.py", effects: [{file_system: "*.db*"}]}\n'
    )
    holds = (
        "import sqlite3, sys; db = sqlite3.connect('app.db'); db.execute('CREATE TABLE t (a)'); db.commit();"
        "print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", holds], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdout.readline()
        refused("step 0 cannot do what was shown here", f"other processes have {ledger_folder}/app.db open")
        other.stdin.close()
