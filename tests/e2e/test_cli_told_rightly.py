"""Small things that a person reads and acts on: what to copy, what need not be taken back, what is not shown."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from hearth.cli._manifest_text import copyable
from hearth.observe import program_text
from tests.e2e.command import hearth
from tests.e2e.sandboxed import needs_sandbox, unapproved

if TYPE_CHECKING:
    from pathlib import Path


@needs_sandbox
def test_the_command_to_copy_has_its_line_breaks_as_escapes(ledger_folder: Path) -> None:
    told = hearth("preview", "--", "sh", "-c", "touch 'a b'\ntouch c", code=0).stdout
    assert r"""hearth preview --apply -- sh -c 'touch '"'"'a b'"'"$'\ntouch c'""" in told
    assert shlex.split(copyable(program_text(["sh", "-c", "echo a"]))) == ["sh", "-c", "echo a"]


@needs_sandbox
def test_nothing_is_to_be_taken_back_of_a_step_that_was_not_committed(ledger_folder: Path) -> None:
    (ledger_folder / "plan.yaml").write_text(
        "plan: back\nsteps:\n"
        '  - {name: Kept, shell: "echo 1 > one", effects: [{file_system: one}]}\n'
        '  - {name: Stopped, shell: "echo 2 > two", effects: []}\n'
    )
    unapproved(code=4)
    told = " ".join(hearth("rollback", "run").stdout.split())
    assert 'Step 1 "Stopped" failed, and nothing of it was committed: there is nothing to take back.' in told
    assert "may have acted" not in told
    assert "effects beyond the plan are likely" not in told
    assert 'BY HAND step 0 "Kept"' in told
    assert 'BY HAND step 1 "Stopped"' not in told


@needs_sandbox
def test_of_a_long_text_it_is_said_that_no_difference_is_shown(ledger_folder: Path) -> None:
    (ledger_folder / "long").write_text("line\n" * 300_000)
    told = hearth("preview", "--diff", "--", "sh", "-c", "echo more >> long", code=0).stdout
    assert "(more than 1 MiB: no difference is shown)" in told
