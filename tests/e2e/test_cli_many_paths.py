"""A step of very many paths: the record summarises, and what lay there before can still be had."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from tests.e2e.command import document, hearth
from tests.e2e.sandboxed import needs_sandbox

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = needs_sandbox
SCRIPT = "for file in out/*; do echo more >> $file; done"


def test_what_was_in_one_of_them_before_is_given_back(ledger_folder: Path) -> None:
    (ledger_folder / "out").mkdir()
    for number in range(130):
        (ledger_folder / "out" / str(number)).write_text(f"content {number}\n")
    hearth("preview", "--apply", "--yes", "--reason", "why", "--", "sh", "-c", SCRIPT, code=0)
    assert (ledger_folder / "out" / "7").read_text() == "content 7\nmore\n"
    (run,) = document("list")["executions"]
    name = run["execution_id"]
    assert len(hearth("export", name, code=0).stdout) < 10_000
    digest = sha256(b"content 7\n").hexdigest()
    assert digest not in hearth("export", name, code=0).stdout
    assert hearth("show", name, "--content", digest[:12], code=0).stdout == "content 7\n"
    assert "names no content" in hearth("show", name, "--content", "0" * 12, code=2).stderr
